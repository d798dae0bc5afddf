/*
 * The NDJSON encoder: each metric point, log record and span as one self-contained JSON object on a
 * line of its own. What each member means stands in docs/sinks.md.
 */
#include "ndjson/jsonl.h"
#include "ndjson/reply.h"

#include <string.h>

/* ------------------------------------------------------------------ lines */

static void start_line(struct jsonl *l, uint64_t time, const char *signal)
{
    JSON_RAW(&l->out, "{\"time\":");
    json_time(&l->out, time);
    JSON_RAW(&l->out, ",\"signal\":\"");
    json_raw(&l->out, signal, strlen(signal));
    JSON_RAW(&l->out, "\"");
}

static void summary(struct json *j, uint64_t count, double sum)
{
    JSON_RAW(j, "{\"count\":");
    json_unsigned(j, count);
    JSON_RAW(j, ",\"sum\":");
    json_double(j, sum);
}

static void extremes(struct json *j, double min, double max)
{
    JSON_RAW(j, ",\"min\":");
    json_double(j, min);
    JSON_RAW(j, ",\"max\":");
    json_double(j, max);
}

static void buckets(struct json *j, const uint64_t *counts, size_t count)
{
    JSON_RAW(j, ",\"buckets\":[");
    for (size_t i = 0; i < count; i++) {
        if (i)
            JSON_RAW(j, ",");
        json_unsigned(j, counts[i]);
    }
    JSON_RAW(j, "]}");
}

static void histogram_value(struct json *j, const struct histogram *h)
{
    summary(j, h->count, h->sum);
    if (h->has_extremes)
        extremes(j, h->min, h->max);
    JSON_RAW(j, ",\"bounds\":[");
    for (size_t i = 0; i < h->bound_count; i++) {
        if (i)
            JSON_RAW(j, ",");
        json_double(j, h->bounds[i]);
    }
    JSON_RAW(j, "]");
    buckets(j, h->buckets, h->buckets ? h->bound_count + 1 : 0);
}

static void exponential_value(struct json *j, const struct exponential *x)
{
    summary(j, x->count, x->sum);
    if (x->has_extremes)
        extremes(j, x->min, x->max);
    JSON_RAW(j, ",\"scale\":");
    json_signed(j, x->scale);
    JSON_RAW(j, ",\"zero_count\":");
    json_unsigned(j, x->zero_count);
    JSON_RAW(j, ",\"offset\":");
    json_signed(j, x->offset);
    buckets(j, x->buckets, x->bucket_count);
}

static void metric_line(struct jsonl *l, const struct metric *m, const struct metric_point *p)
{
    struct json *j = &l->out;

    start_line(l, p->time, "metric");
    JSONL_TEXT(l, "name", m->name);
    JSONL_TEXT(l, "unit", m->unit);
    if (m->type == METRIC_GAUGE)
        JSON_RAW(j, ",\"type\":\"gauge\"");
    else if (m->type == METRIC_SUM)
        JSON_RAW(j, ",\"type\":\"sum\"");
    else if (m->type == METRIC_HISTOGRAM)
        JSON_RAW(j, ",\"type\":\"histogram\"");
    else
        JSON_RAW(j, ",\"type\":\"exponential_histogram\"");
    if (m->type != METRIC_GAUGE) {
        if (m->temporality == TEMPORALITY_DELTA)
            JSON_RAW(j, ",\"temporality\":\"delta\"");
        else
            JSON_RAW(j, ",\"temporality\":\"cumulative\"");
    }
    if (m->type == METRIC_SUM) {
        if (m->monotonic)
            JSON_RAW(j, ",\"monotonic\":true");
        else
            JSON_RAW(j, ",\"monotonic\":false");
    }
    if (p->start_time) {
        JSON_RAW(j, ",\"start\":");
        json_time(j, p->start_time);
    }
    JSON_RAW(j, ",\"value\":");
    if (m->type == METRIC_HISTOGRAM)
        histogram_value(j, &p->histogram);
    else if (m->type == METRIC_EXPONENTIAL)
        exponential_value(j, &p->exponential);
    else if (p->is_int)
        json_signed(j, p->integer);
    else
        json_double(j, p->number);
    jsonl_exemplars(l, p);
    jsonl_attributes(l, SAID_OF_POINT, m->scope, &p->attributes);
}

/* ------------------------------------------------------------------ batches */

struct item {
    const struct batch *batch;
    size_t i, point;
};

static void write_item(struct jsonl *l, const void *what)
{
    const struct item *item = what;

    if (item->batch->signal == SIGNAL_METRICS) {
        const struct metric *m = &item->batch->metrics[item->i];
        metric_line(l, m, &m->points[item->point]);
    } else if (item->batch->signal == SIGNAL_LOGS) {
        const struct log_record *r = &item->batch->logs[item->i];
        start_line(l, jsonl_log_time(r), "log");
        jsonl_log(l, r);
    } else {
        const struct span *s = &item->batch->spans[item->i];
        start_line(l, s->start_time, "span");
        jsonl_span(l, s);
    }
    jsonl_escaped(l);
    json_raw(&l->out, l->tail.data, l->tail.length);
}

/* ,"resource":{...}} and the newline, once for all lines. */
static void write_tail(struct jsonl *l, const void *what)
{
    const struct resource *resource = what;

    JSON_RAW(&l->out, ",\"resource\":{");
    for (size_t i = 0; resource && i < resource->attributes.count; i++) {
        if (i)
            JSON_RAW(&l->out, ",");
        jsonl_attribute(l, "resource.", &resource->attributes.items[i]);
    }
    JSON_RAW(&l->out, "}}\n");
}

static size_t ndjson_encode(const struct batch *batch, const struct conf *conf, size_t unit_max,
                            sink_emit *emit, void *context)
{
    struct jsonl l = {.conf = conf, .emit = emit, .context = context};
    size_t items = batch_items(batch);

    if (!items || !jsonl_begin(&l, unit_max, write_tail, batch->resource))
        return items;
    for (size_t i = 0; i < batch->count; i++) {
        size_t points = batch->signal == SIGNAL_METRICS ? batch->metrics[i].count : 1;
        for (size_t point = 0; point < points; point++)
            jsonl_put(&l, 1, write_item, &(struct item){batch, i, point});
    }
    return jsonl_end(&l);
}

const struct sink_encoder ndjson_encoder = {
    .name = "ndjson",
    .temporality = TEMPORALITY_DELTA,
    .encode = ndjson_encode,
    .judge = reply_judge,
};
