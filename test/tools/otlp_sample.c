/*
 * Writes one batch of each signal, the same every time and with all that the data model can hold,
 * as OTLP: otlp_sample DIRECTORY. test_otlp_encoding.py knows what is in it.
 *
 * DIRECTORY gets SIGNAL.pb, SIGNAL.json and SIGNAL.jsonl, and the three with "-small" before the
 * dot: the same in units of at most 2500 bytes, numbered.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp/otlp.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT_VALUE(k, v)                                    \
    {                                                       \
        .key = TEXT(k), .type = VALUE_TEXT, .text = TEXT(v) \
    }

static const struct telemetry_scope http = {TEXT("scope.http"), TEXT("2.0.0")};
static const struct telemetry_scope http_again = {TEXT("scope.http"), TEXT("2.0.0")};
static const struct telemetry_scope file = {TEXT("scope.file"), TEXT("2.0.0")};

static const struct text arguments[] = {TEXT("nginx"), TEXT("-g"), TEXT(""), TEXT("bad \xff\\")};
static const struct attribute resource_attributes[] = {
    TEXT_VALUE("service.name", "w\xc3\xa9"
                               "b"),
    {.key = TEXT("process.pid"), .type = VALUE_INT, .integer = 1234},
    {.key = TEXT("process.command_args"), .type = VALUE_TEXTS, .texts = {arguments, 4}},
};
static const struct resource resource = {{resource_attributes, COUNT(resource_attributes), 2}, 7};

static const struct attribute all[] = {
    TEXT_VALUE("text", "plain"),
    TEXT_VALUE("empty", ""),
    TEXT_VALUE("nul", "a\0b"),
    TEXT_VALUE("controls", "\x01\x1f\x7f\"\\/\n"),
    TEXT_VALUE("wide", "\xf0\x9f\x98\x80\xe2\x82\xac"),
    TEXT_VALUE("latin", "caf\xe9 c:\\x"),
    TEXT_VALUE("b\xff"
               "d",
               "key"),
    {.key = TEXT("yes"), .type = VALUE_BOOL, .boolean = true},
    {.key = TEXT("no"), .type = VALUE_BOOL, .boolean = false},
    {.key = TEXT("zero"), .type = VALUE_INT, .integer = 0},
    {.key = TEXT("most"), .type = VALUE_INT, .integer = INT64_MAX},
    {.key = TEXT("least"), .type = VALUE_INT, .integer = INT64_MIN},
    {.key = TEXT("tenth"), .type = VALUE_DOUBLE, .number = 0.1},
    {.key = TEXT("tiny"), .type = VALUE_DOUBLE, .number = 5e-324},
    {.key = TEXT("huge"), .type = VALUE_DOUBLE, .number = 1.7976931348623157e308},
    {.key = TEXT("nan"), .type = VALUE_DOUBLE, .number = NAN},
    {.key = TEXT("infinite"), .type = VALUE_DOUBLE, .number = INFINITY},
    {.key = TEXT("below"), .type = VALUE_DOUBLE, .number = -INFINITY},
    {.key = TEXT("list"), .type = VALUE_TEXTS, .texts = {arguments, 4}},
    {.key = TEXT("none"), .type = VALUE_TEXTS, .texts = {NULL, 0}},
};
static const struct attribute few[] = {TEXT_VALUE("url.path", "/cart")};

/* ------------------------------------------------------------------ traces */

static const struct span_event events[] = {
    {.time = 1700000000000000001, .name = TEXT("exception"), .attributes = {all, COUNT(all), 1}},
    {.time = 2, .name = TEXT("e\xff")},
};
static const struct span_link links[] = {{.trace_id = {9, 8, 7},
                                          .span_id = {6},
                                          .flags = 0x301,
                                          .trace_state = TEXT("a=b"),
                                          .attributes = {few, 1, 4}},
                                         {.trace_id = {1}, .span_id = {1}}};
static const struct span spans[] = {
    {.trace_id = {0x5b, 0x8e, [15] = 0x0c},
     .span_id = {0xee, [7] = 0x74},
     .parent_span_id = {0, [7] = 1},
     .flags = 769,
     .trace_state = TEXT("vendor=1"),
     .name = TEXT("GET"),
     .kind = SPAN_SERVER,
     .start_time = 1581452772000000321,
     .end_time = 1581452773000000789,
     .attributes = {all, COUNT(all), 3},
     .events = events,
     .event_count = 2,
     .links = links,
     .link_count = 2,
     .dropped_events = 5,
     .dropped_links = 6,
     .status = STATUS_ERROR,
     .status_message = TEXT("broken \xc3"),
     .scope = &http},
    {.trace_id = {1}, .span_id = {2}, .name = TEXT("read"), .kind = SPAN_INTERNAL, .scope = &file},
    {.trace_id = {1},
     .span_id = {3},
     .name = TEXT("POST"),
     .kind = SPAN_CLIENT,
     .start_time = UINT64_MAX - 1,
     .end_time = UINT64_MAX,
     .attributes = {few, 1, 0},
     .status = STATUS_OK,
     .scope = &http_again},
    {.trace_id = {1}, .span_id = {4}, .name = TEXT("orphan"), .kind = SPAN_CONSUMER},
};

/* ------------------------------------------------------------------ metrics */

static const double bounds[] = {0.005, 0.5, 10};
static const uint64_t buckets[] = {1, 0, 2, UINT32_MAX};
static const uint64_t powers[] = {1, 0, 300, 2};
static const struct exemplar exemplars[] = {
    {.time = 3, .value = 0.25, .trace_id = {1}, .span_id = {2}, .filtered = {few, 1, 0}},
    {.time = 4, .value = 7},
};
static const struct metric_point sums[] = {
    {.attributes = {all, COUNT(all), 3},
     .start_time = 1700000000000000001,
     .time = 1700000010500000000,
     .is_int = true,
     .integer = INT64_MAX,
     .exemplars = exemplars,
     .exemplar_count = 2},
    {.time = 5, .is_int = true, .integer = 0, .attributes = {few, 1, 0}},
    {.time = 5, .is_int = true, .integer = INT64_MIN},
};
static const struct metric_point gauges[] = {{.time = 5, .number = NAN},
                                             {.time = 6, .number = 0, .attributes = {few, 1, 0}}};
static const struct metric_point histograms[] = {
    {.start_time = 1,
     .time = 2,
     .attributes = {few, 1, 0},
     .histogram = {.count = 3 + (uint64_t)UINT32_MAX,
                   .sum = 1.5,
                   .min = 0,
                   .max = 1,
                   .has_extremes = true,
                   .bounds = bounds,
                   .buckets = buckets,
                   .bound_count = 3},
     .exemplars = exemplars,
     .exemplar_count = 1},
    {.time = 2, .histogram = {.count = 9, .sum = 0}},
};
static const struct metric_point exponentials[] = {
    {.start_time = 1,
     .time = 2,
     .exponential = {.count = 308,
                     .sum = 12.5,
                     .min = 0.001,
                     .max = 3,
                     .has_extremes = true,
                     .scale = -3,
                     .zero_count = 5,
                     .offset = -7,
                     .buckets = powers,
                     .bucket_count = 4},
     .exemplars = exemplars,
     .exemplar_count = 1},
    {.time = 2, .exponential = {.count = 1, .zero_count = 1, .scale = 20}},
};
static const struct metric metrics[] = {
    {.name = TEXT("scope.file.io"),
     .unit = TEXT("By"),
     .description = TEXT("Bytes \xff."),
     .scope = &file,
     .type = METRIC_SUM,
     .temporality = TEMPORALITY_CUMULATIVE,
     .monotonic = true,
     .points = sums,
     .count = 3},
    {.name = TEXT("nothing"), .scope = &file, .type = METRIC_SUM},
    {.name = TEXT("open"),
     .unit = TEXT("{file}"),
     .scope = &http,
     .type = METRIC_SUM,
     .temporality = TEMPORALITY_DELTA,
     .points = sums,
     .count = 1},
    {.name = TEXT("gauge"), .unit = TEXT("1"), .type = METRIC_GAUGE, .points = gauges, .count = 2},
    {.name = TEXT("duration"),
     .unit = TEXT("s"),
     .scope = &file,
     .type = METRIC_HISTOGRAM,
     .temporality = TEMPORALITY_DELTA,
     .points = histograms,
     .count = 2},
    {.name = TEXT("exponential"),
     .unit = TEXT("s"),
     .scope = &http_again,
     .type = METRIC_EXPONENTIAL,
     .temporality = TEMPORALITY_CUMULATIVE,
     .points = exponentials,
     .count = 2},
};

/* ------------------------------------------------------------------ logs */

static const struct log_record logs[] = {
    {.time = 1700000000000000001,
     .observed_time = 1700000000000000002,
     .body = TEXT("GET /caf\xe9 \\ 200"),
     .severity = SEVERITY_ERROR,
     .severity_text = TEXT("err"),
     .attributes = {all, COUNT(all), 3},
     .scope = &file,
     .trace_id = {0x5b, [15] = 1},
     .span_id = {0xee},
     .trace_flags = 1},
    {.observed_time = 5, .scope = &file},
    {.time = 6,
     .observed_time = 6,
     .event_name = TEXT("scope.connection.open"),
     .attributes = {few, 1, 0},
     .scope = &http},
    {.time = 7, .event_name = TEXT("named"), .body = TEXT("and said"), .severity = 24},
};

/* ------------------------------------------------------------------ writing */

struct out {
    const char *directory, *signal, *ending;
    bool small, lines;
    unsigned units;
    size_t items;
};

static void write_unit(void *context, const void *data, size_t length, size_t items)
{
    struct out *o = context;
    char path[4096];

    if (o->small)
        snprintf(path, sizeof(path), "%s/%s-small.%u.%s", o->directory, o->signal, o->units,
                 o->ending);
    else
        snprintf(path, sizeof(path), "%s/%s.%s", o->directory, o->signal, o->ending);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, length, f) != length || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
    o->units++;
    o->items += items;
}

static void write_batch(const char *directory, const char *signal, const struct batch *batch)
{
    static const char *const endings[] = {"pb", "json", "jsonl"};
    static char tag_key[] = "tag", tag_value[] = "t\xff", path_key[] = "url.path";
    static struct conf_pair tags[] = {{tag_key, tag_value}, {path_key, tag_value}};
    struct conf conf = {.tags = {tags, 2}};

    for (unsigned i = 0; i < 6; i++) {
        struct out out = {directory, signal, endings[i % 3], i >= 3, i % 3 == 2, 0, 0};
        conf.otlp[batch->signal].protocol = i % 3 == 1 ? OTLP_JSON : OTLP_PROTOBUF;
        const struct sink_encoder *encoder = out.lines ? &otlp_lines_encoder : &otlp_encoder;
        size_t left = encoder->encode(batch, &conf, out.small ? 2500 : 4 << 20, write_unit, &out);
        printf("%s %s %s units %u items %zu left %zu\n", signal, out.small ? "small" : "whole",
               out.ending, out.units, out.items, left);
    }
}

int main(int count, char **argv)
{
    struct batch b = {.resource = &resource};

    if (count != 2) {
        fprintf(stderr, "usage: otlp_sample DIRECTORY\n");
        return 2;
    }
    b.signal = SIGNAL_TRACES;
    b.spans = spans;
    b.count = COUNT(spans);
    write_batch(argv[1], "traces", &b);
    b.signal = SIGNAL_METRICS;
    b.metrics = metrics;
    b.count = COUNT(metrics);
    write_batch(argv[1], "metrics", &b);
    b.signal = SIGNAL_LOGS;
    b.logs = logs;
    b.count = COUNT(logs);
    write_batch(argv[1], "logs", &b);
    return 0;
}
