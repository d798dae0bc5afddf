/*
 * Fuzzes the OTLP encoders: the input's bytes are the texts, the limits and the bound of one batch.
 * Whatever they are: each unit is within the bound, each item is in one or is counted, protobuf can
 * be read again, JSON is JSON in UTF-8, and both say the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "otlp/json_message.h"
#include "otlp/logs.pb-c.h"
#include "otlp/metrics.pb-c.h"
#include "otlp/otlp.h"
#include "ndjson/reply.h"
#include "otlp/trace.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ITEMS = 6, ATTRIBUTES = 4, WHOLE = 1 << 20 };

static struct text next(const uint8_t **data, const uint8_t *end)
{
    size_t left = (size_t)(end - *data), length = left ? **data : 0;
    struct text t = {(const char *)*data + 1, 0};

    if (!left)
        return (struct text){NULL, 0};
    /* Now and then a long one. */
    length = length < 250 ? length % 40 : length * 8;
    t.length = length < left - 1 ? length : left - 1;
    *data += 1 + t.length;
    return t;
}

static struct {
    struct attribute attributes[ITEMS][ATTRIBUTES];
    struct text lists[ITEMS][2];
    struct log_record logs[ITEMS];
    struct span spans[ITEMS];
    struct span_event events[ITEMS];
    struct metric_point points[ITEMS];
    struct metric metrics[2];
    struct telemetry_scope scopes[2];
    struct resource resource;
} made;

static struct attributes attributes(unsigned i, const uint8_t **data, const uint8_t *end)
{
    for (unsigned k = 0; k < ATTRIBUTES; k++) {
        struct attribute *a = &made.attributes[i][k];
        a->key = next(data, end);
        a->type = *data < end ? (enum value_type)(**data % 5) : VALUE_BOOL;
        if (a->type == VALUE_TEXTS) {
            made.lists[i][0] = next(data, end);
            made.lists[i][1] = next(data, end);
            a->texts.items = made.lists[i];
            a->texts.count = 2;
        } else if (a->type == VALUE_TEXT) {
            a->text = next(data, end);
        } else if (a->type == VALUE_BOOL) {
            a->boolean = *data < end && **data & 1;
        } else if (end - *data >= 8) {
            memcpy(&a->integer, *data, 8); /* or the double */
            *data += 8;
        }
    }
    return (struct attributes){made.attributes[i], ATTRIBUTES, i};
}

static void make(const uint8_t *data, const uint8_t *end)
{
    memset(&made, 0, sizeof(made));
    made.scopes[0].name = next(&data, end);
    made.scopes[1].name = next(&data, end);
    for (unsigned i = 0; i < ITEMS; i++) {
        struct attributes a = attributes(i, &data, end);
        const struct telemetry_scope *scope = i % 3 == 2 ? NULL : &made.scopes[i % 3];
        struct text text = next(&data, end);
        made.logs[i] =
            (struct log_record){.time = i, .body = text, .attributes = a, .scope = scope};
        made.events[i] = (struct span_event){.name = text, .attributes = a};
        made.spans[i] = (struct span){.name = next(&data, end),
                                      .attributes = a,
                                      .scope = scope,
                                      .status = STATUS_ERROR,
                                      .status_message = text,
                                      .events = &made.events[i],
                                      .event_count = i % 2};
        made.points[i] = (struct metric_point){.time = i, .attributes = a, .number = 0.5};
    }
    made.resource.attributes = (struct attributes){made.attributes[0], 1, 0};
    for (unsigned i = 0; i < 2; i++)
        made.metrics[i] = (struct metric){.name = made.scopes[i].name,
                                          .type = METRIC_GAUGE,
                                          .scope = &made.scopes[i],
                                          .points = made.points + 3 * i,
                                          .count = 3};
}

static struct {
    enum signal signal;
    bool json;
    size_t bound, items, units, length;
    char text[WHOLE * 2]; /* the last unit, as JSON */
} got;

static const ProtobufCMessageDescriptor *const requests[SIGNAL_COUNT] = {
    [SIGNAL_METRICS] = &otlp__export_metrics_service_request__descriptor,
    [SIGNAL_LOGS] = &otlp__export_logs_service_request__descriptor,
    [SIGNAL_TRACES] = &otlp__export_trace_service_request__descriptor,
};

static void take(void *context, const void *data, size_t length, size_t items)
{
    struct json j = {.data = got.text, .room = sizeof(got.text)};
    struct reply_said said;

    (void)context;
    got.units++;
    got.items += items;
    if (!length || length > got.bound || !items)
        abort();
    if (got.json) {
        json_raw(&j, data, length);
    } else {
        ProtobufCMessage *m = protobuf_c_message_unpack(requests[got.signal], NULL, length, data);
        if (!m || m->n_unknown_fields)
            abort();
        json_message(&j, m);
        protobuf_c_message_free_unpacked(m, NULL);
    }
    struct text text = {j.data, j.length};
    if (j.full || !json_is_utf8(text) || !reply_json(text, false, &said))
        abort();
    got.length = j.length;
}

static void encode(const struct batch *b, struct conf *conf, bool json, size_t bound)
{
    got.signal = b->signal;
    got.json = json;
    got.bound = bound;
    got.items = got.units = got.length = 0;
    conf->otlp[b->signal].protocol = json ? OTLP_JSON : OTLP_PROTOBUF;
    size_t left = otlp_encoder.encode(b, conf, bound, take, NULL);
    if (got.items + left != ITEMS)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char copy[WHOLE * 2];
    struct conf conf = {.enabled = true};

    if (size < 4)
        return 0;
    conf.limits_log.attributes = conf.limits_span.attributes = conf.event_attributes =
        conf.link_attributes = conf.span_events = (struct conf_limit){data[0] % 8 < 6, data[0] % 8};
    conf.limits_log.value_length = conf.limits_span.value_length =
        (struct conf_limit){data[1] % 65 < 64, data[1] % 65};
    size_t bound = (size_t)data[2] * 16 + 1;
    for (unsigned s = 0; s < SIGNAL_COUNT; s++)
        conf.otlp[s].batch = data[3] % 8;
    make(data + 4, data + size);
    for (unsigned s = 0; s < SIGNAL_COUNT; s++) {
        struct batch b = {.signal = (enum signal)s, .resource = &made.resource, .count = ITEMS};
        if (s == SIGNAL_METRICS)
            b.metrics = made.metrics, b.count = 2;
        else if (s == SIGNAL_LOGS)
            b.logs = made.logs;
        else
            b.spans = made.spans;
        encode(&b, &conf, false, bound);
        encode(&b, &conf, true, bound);
        encode(&b, &conf, false, WHOLE);
        size_t length = got.length;
        memcpy(copy, got.text, length);
        encode(&b, &conf, true, WHOLE);
        if (!length || length != got.length || memcmp(copy, got.text, length) != 0)
            abort();
    }
    return 0;
}
