/*
 * The encoder for Splunk's HTTP event collector: events and log lines, spans, and metric points,
 * several of which share one line where their dimensions and time are the same. What each member
 * means stands in docs/sinks.md.
 */
#include "ndjson/jsonl.h"
#include "ndjson/reply.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry/number.h"

enum {
    WINDOW = 4096,     /* points among which those with the same dimensions are looked for */
    HEADS = 1024,      /* a power of two */
    GROUP_MAX = 64,    /* points to a line */
    SMALL_UNIT = 8192, /* below it, points go alone: together they might not fit */
    NAME_ROOM = 512,
    NONE = UINT16_MAX,
};

/* A sum or gauge. */
struct entry {
    const struct metric *metric;
    const struct metric_point *point;
    uint16_t next; /* the next one with the same hash, further behind */
    bool taken;
};

struct window {
    size_t count;
    uint16_t heads[HEADS];
    struct entry entries[];
};

/* One batch under way, and what the line at hand is about. */
struct hec {
    struct jsonl lines; /* the first member: writers are given it, and know the whole */
    const struct batch *batch;
    const struct attributes *resource;
    struct text host, source;
    size_t group_max;
    const struct entry *group[GROUP_MAX];
    size_t group_count;
};

/* ------------------------------------------------------------------ the envelope */

/* Microseconds: as many digits as Splunk's own readers of times are known to take. */
static void open_line(struct hec *h, uint64_t time, const char *sourcetype)
{
    struct jsonl *l = &h->lines;
    char fraction[6];

    JSON_RAW(&l->out, "{\"time\":");
    json_unsigned(&l->out, time / 1000000000);
    JSON_RAW(&l->out, ".");
    number_padded(fraction, time % 1000000000 / 1000, sizeof(fraction));
    json_raw(&l->out, fraction, sizeof(fraction));
    if (h->host.length)
        JSONL_TEXT(l, "host", h->host);
    JSONL_TEXT(l, "source", h->source);
    JSONL_TEXT(l, "sourcetype", text_of(sourcetype));
}

/* ------------------------------------------------------------------ log records and spans */

/* ,"fields":{...}} and the newline: what Splunk indexes takes strings and arrays of them. */
static void write_fields(struct jsonl *l, const void *what)
{
    const struct hec *h = what;

    for (size_t i = 0; i < h->resource->count; i++) {
        if (i)
            JSON_RAW(&l->out, ",");
        else
            JSON_RAW(&l->out, ",\"fields\":{");
        jsonl_attribute_string(l, "fields.", &h->resource->items[i]);
    }
    if (h->resource->count)
        JSON_RAW(&l->out, "}");
    JSON_RAW(&l->out, "}\n");
}

static void write_log(struct jsonl *l, const void *what)
{
    struct hec *h = (struct hec *)l;
    const struct log_record *r = what;

    open_line(h, jsonl_log_time(r), r->event_name.length ? "scope:event" : "scope:log");
    JSON_RAW(&l->out, ",\"event\":{\"signal\":\"log\"");
    jsonl_log(l, r);
    jsonl_escaped(l);
    JSON_RAW(&l->out, "}");
    json_raw(&l->out, l->tail.data, l->tail.length);
}

static void write_span(struct jsonl *l, const void *what)
{
    struct hec *h = (struct hec *)l;
    const struct span *s = what;

    open_line(h, s->start_time, "scope:span");
    JSON_RAW(&l->out, ",\"event\":{\"signal\":\"span\"");
    jsonl_span(l, s);
    jsonl_escaped(l);
    JSON_RAW(&l->out, "}");
    json_raw(&l->out, l->tail.data, l->tail.length);
}

/* ------------------------------------------------------------------ dimensions */

static bool is_tag(const struct conf *conf, struct text key)
{
    for (size_t i = 0; i < conf->tags.count; i++) {
        if (text_is(key, conf->tags.items[i].key))
            return true;
    }
    return false;
}

/* The resource says an array only of what no one counts by: the arguments of a command. */
static bool is_dimension(const struct hec *h, const struct attribute *a)
{
    return a->type != VALUE_TEXTS && !(a->type == VALUE_TEXT && !a->text.length) &&
           !is_tag(h->lines.conf, a->key);
}

/* The resource's part of them, without the keys that `but` has; NULL: all. */
static void resource_dimensions(struct jsonl *l, const struct hec *h, const struct attributes *but)
{
    for (size_t i = 0; i < h->resource->count; i++) {
        const struct attribute *a = &h->resource->items[i];
        if (!is_dimension(h, a) || (but && jsonl_has_key(but, a->key)))
            continue;
        JSON_RAW(&l->out, ",");
        jsonl_attribute_string(l, "", a);
    }
}

static void write_dimensions(struct jsonl *l, const void *what)
{
    resource_dimensions(l, what, NULL);
    JSON_RAW(&l->out, "}}\n");
}

static bool shadows(const struct hec *h, const struct attributes *point)
{
    for (size_t i = 0; i < point->count; i++) {
        if (jsonl_has_key(h->resource, point->items[i].key))
            return true;
    }
    return false;
}

/* The point's own, then the configuration's, then the resource's; each key once. Ends the line. */
static void dimensions(struct hec *h, const struct attributes *point)
{
    struct jsonl *l = &h->lines;
    const struct conf_pairs *tags = &l->conf->tags;

    for (size_t i = 0; i < point->count; i++) {
        const struct attribute *a = &point->items[i];
        if (a->type == VALUE_TEXT && !a->text.length)
            continue;
        JSON_RAW(&l->out, ",");
        jsonl_attribute_string(l, "", a);
    }
    for (size_t i = 0; i < tags->count; i++) {
        struct attribute tag = {.key = text_of(tags->items[i].key), .type = VALUE_TEXT};
        tag.text = text_of(tags->items[i].value);
        if (!tag.text.length || jsonl_has_key(point, tag.key))
            continue;
        JSON_RAW(&l->out, ",");
        jsonl_attribute_string(l, "", &tag);
    }
    jsonl_escaped(l);
    if (!shadows(h, point)) {
        json_raw(&l->out, l->tail.data, l->tail.length);
        return;
    }
    resource_dimensions(l, h, point);
    JSON_RAW(&l->out, "}}\n");
}

/* ------------------------------------------------------------------ metrics */

static void open_metric(struct hec *h, uint64_t time)
{
    open_line(h, time, "scope:metric");
    JSON_RAW(&h->lines.out, ",\"event\":\"metric\",\"fields\":{");
}

/* "metric_name:NAME.part": to which the value follows. */
static void metric_name(struct jsonl *l, const struct metric *m, const char *part)
{
    static const char front[] = "metric_name:";
    char name[NAME_ROOM];
    size_t n = sizeof(front) - 1, length = strlen(part);

    if (m->name.length > sizeof(name) - n - length) {
        l->unsayable = true;
        return;
    }
    memcpy(name, front, n);
    if (m->name.length)
        memcpy(name + n, m->name.data, m->name.length);
    n += m->name.length;
    memcpy(name + n, part, length);
    struct text whole = {name, n + length};
    if (json_is_utf8(whole))
        json_text(&l->out, whole);
    else
        json_text_escaped(&l->out, whole);
    JSON_RAW(&l->out, ":");
}

static void measured(struct jsonl *l, const struct metric *m, const char *part, double value)
{
    if (!isfinite(value))
        return;
    JSON_RAW(&l->out, ",");
    metric_name(l, m, part);
    json_double(&l->out, value);
}

static void write_group(struct jsonl *l, const void *what)
{
    struct hec *h = (struct hec *)l;
    const struct entry *first = what;

    open_metric(h, first->point->time);
    for (size_t i = 0; i < h->group_count; i++) {
        const struct entry *e = h->group[i];
        if (i)
            JSON_RAW(&l->out, ",");
        metric_name(l, e->metric, "");
        if (e->point->is_int)
            json_signed(&l->out, e->point->integer);
        else
            json_double(&l->out, e->point->number);
    }
    dimensions(h, &first->point->attributes);
}

/* Splunk's form of a bucket: how many were at most `le`, cumulative as in Prometheus. */
static void bucket_line(struct hec *h, const struct entry *e, size_t i, uint64_t below)
{
    const struct histogram *g = &e->point->histogram;
    struct jsonl *l = &h->lines;

    open_metric(h, e->point->time);
    metric_name(l, e->metric, "_bucket");
    json_unsigned(&l->out, below);
    JSON_RAW(&l->out, ",\"le\":\"");
    if (i == g->bound_count) {
        JSON_RAW(&l->out, "+Inf");
    } else {
        char number[NUMBER_PLAIN_MAX];
        json_raw(&l->out, number, number_plain(number, g->bounds[i]));
    }
    JSON_RAW(&l->out, "\"");
    dimensions(h, &e->point->attributes);
}

static void write_histogram(struct jsonl *l, const void *what)
{
    struct hec *h = (struct hec *)l;
    const struct entry *e = what;
    const struct histogram *g = &e->point->histogram;
    const struct exponential *x = &e->point->exponential;
    bool explicit = e->metric->type == METRIC_HISTOGRAM;

    open_metric(h, e->point->time);
    metric_name(l, e->metric, ".count");
    json_unsigned(&l->out, explicit ? g->count : x->count);
    measured(l, e->metric, ".sum", explicit ? g->sum : x->sum);
    if (explicit ? g->has_extremes : x->has_extremes) {
        measured(l, e->metric, ".min", explicit ? g->min : x->min);
        measured(l, e->metric, ".max", explicit ? g->max : x->max);
    }
    dimensions(h, &e->point->attributes);
    uint64_t below = 0;
    for (size_t i = 0; explicit && g->count && g->buckets && i <= g->bound_count; i++) {
        below += g->buckets[i];
        bucket_line(h, e, i, below);
    }
}

/* ------------------------------------------------------------------ points that share a line */

static bool same_text(struct text a, struct text b)
{
    return a.length == b.length && (!a.length || !memcmp(a.data, b.data, a.length));
}

static bool same_attribute(const struct attribute *a, const struct attribute *b)
{
    if (a->type != b->type || !same_text(a->key, b->key))
        return false;
    switch (a->type) {
    case VALUE_TEXT:
        return same_text(a->text, b->text);
    case VALUE_BOOL:
        return a->boolean == b->boolean;
    case VALUE_INT:
        return a->integer == b->integer;
    case VALUE_DOUBLE:
        return !memcmp(&a->number, &b->number, sizeof(a->number));
    case VALUE_TEXTS:
        break; /* rare: such points go alone */
    }
    return false;
}

static bool share(const struct metric_point *a, const struct metric_point *b)
{
    if (a->time != b->time || a->attributes.count != b->attributes.count)
        return false;
    for (size_t i = 0; i < a->attributes.count; i++) {
        if (!same_attribute(&a->attributes.items[i], &b->attributes.items[i]))
            return false;
    }
    return true;
}

static uint32_t hash_point(const struct metric_point *p)
{
    uint64_t x = p->time;

    for (size_t i = 0; i < p->attributes.count; i++) {
        const struct attribute *a = &p->attributes.items[i];
        x = (x ^ a->key.length) * 0x9e3779b97f4a7c15u;
        if (a->type == VALUE_INT)
            x ^= (uint64_t)a->integer;
        for (size_t k = 0; a->type == VALUE_TEXT && k < a->text.length; k++)
            x = (x ^ (uint8_t)a->text.data[k]) * 0x100000001b3u;
    }
    return (uint32_t)(x * 0x9e3779b97f4a7c15u >> 40);
}

static bool has_name(const struct hec *h, struct text name)
{
    for (size_t i = 0; i < h->group_count; i++) {
        if (same_text(h->group[i]->metric->name, name))
            return true;
    }
    return false;
}

static void put_groups(struct hec *h, struct window *w)
{
    memset(w->heads, 0xff, sizeof(w->heads));
    for (size_t i = w->count; i-- > 0;) {
        uint16_t *head = &w->heads[hash_point(w->entries[i].point) % HEADS];
        w->entries[i].next = *head;
        *head = (uint16_t)i;
    }
    for (size_t i = 0; i < w->count; i++) {
        struct entry *first = &w->entries[i];
        if (first->taken)
            continue;
        h->group[0] = first;
        h->group_count = 1;
        for (unsigned k = first->next; k != NONE && h->group_count < h->group_max;) {
            struct entry *e = &w->entries[k];
            k = e->next;
            if (e->taken || !share(first->point, e->point) || has_name(h, e->metric->name))
                continue;
            e->taken = true;
            h->group[h->group_count++] = e;
        }
        jsonl_put(&h->lines, h->group_count, write_group, first);
    }
    w->count = 0;
}

static void put_point(struct hec *h, struct window *w, const struct metric *m,
                      const struct metric_point *p)
{
    struct entry e = {.metric = m, .point = p};

    if (m->type == METRIC_HISTOGRAM || m->type == METRIC_EXPONENTIAL) {
        jsonl_put(&h->lines, 1, write_histogram, &e);
        return;
    }
    if (!p->is_int && !isfinite(p->number)) {
        h->lines.left_out++; /* JSON has no word for it, and Splunk wants a number */
        return;
    }
    if (w->count == WINDOW)
        put_groups(h, w);
    w->entries[w->count++] = e;
}

static void put_metrics(struct hec *h, size_t points)
{
    size_t room = points < WINDOW ? points : WINDOW;
    struct window *w = malloc(sizeof(*w) + room * sizeof(w->entries[0]));

    if (!w) {
        h->lines.left_out += points;
        return;
    }
    w->count = 0;
    for (size_t i = 0; i < h->batch->count; i++) {
        const struct metric *m = &h->batch->metrics[i];
        for (size_t k = 0; k < m->count; k++)
            put_point(h, w, m, &m->points[k]);
    }
    put_groups(h, w);
    free(w);
}

/* ------------------------------------------------------------------ batches */

static struct text find(const struct attributes *attributes, const char *key, struct text otherwise)
{
    for (size_t i = 0; i < attributes->count; i++) {
        const struct attribute *a = &attributes->items[i];
        if (a->type == VALUE_TEXT && a->text.length && text_is(a->key, key))
            return a->text;
    }
    return otherwise;
}

static size_t splunk_encode(const struct batch *batch, const struct conf *conf, size_t unit_max,
                            sink_emit *emit, void *context)
{
    static const struct attributes nothing;
    struct hec h = {.lines = {.conf = conf, .emit = emit, .context = context},
                    .batch = batch,
                    .resource = batch->resource ? &batch->resource->attributes : &nothing,
                    .group_max = unit_max < SMALL_UNIT ? 1 : GROUP_MAX};
    size_t items = batch_items(batch);
    bool metrics = batch->signal == SIGNAL_METRICS;

    h.host = find(h.resource, "host.name", (struct text){NULL, 0});
    h.source = find(h.resource, "service.name", TEXT("scope"));
    if (!items || !jsonl_begin(&h.lines, unit_max, metrics ? write_dimensions : write_fields, &h))
        return items;
    if (metrics)
        put_metrics(&h, items);
    for (size_t i = 0; batch->signal == SIGNAL_LOGS && i < batch->count; i++)
        jsonl_put(&h.lines, 1, write_log, &batch->logs[i]);
    for (size_t i = 0; batch->signal == SIGNAL_TRACES && i < batch->count; i++)
        jsonl_put(&h.lines, 1, write_span, &batch->spans[i]);
    return jsonl_end(&h.lines);
}

const struct sink_encoder splunk_encoder = {
    .name = "splunk",
    .temporality = TEMPORALITY_DELTA,
    .encode = splunk_encode,
    .judge = reply_judge,
};
