/*
 * The NDJSON encoder: each metric point, log record and span as one self-contained JSON object on a
 * line of its own. What each member means stands in docs/sinks.md.
 */
#include "ndjson/json.h"
#include "report/sink.h"

#include <stdlib.h>
#include <string.h>

enum {
    UNIT_SIZE = 64 * 1024,
    ESCAPED_ROOM = 4096,
    ROOM_FIRST = 24 * 1024 - 64, /* what a short process says fits */
    ROOM_MOST = 4 * UNIT_SIZE,
};

/* Where lines are written: kept from batch to batch, for fresh memory costs more than the lines. */
struct buffer {
    size_t room;
    char data[]; /* `room` bytes for the unit, and ESCAPED_ROOM behind them */
};
static struct buffer *spare;

/* The lines of one batch under construction. */
struct lines {
    struct json out;     /* the unit */
    struct json escaped; /* names of the line's strings that are escaped, each with a comma after */
    struct json tail;    /* the same for every line: the resource */
    size_t tail_escaped; /* how much of `escaped` is the resource's */
    struct buffer *buffer;
    size_t room_max; /* bytes of `out` at most */
    const struct conf *conf;
    size_t pack;  /* units are at most this long, or one line */
    size_t items; /* lines in the unit */
    size_t left_out;
    sink_emit *emit;
    void *context;
};

/* ------------------------------------------------------------------ members */

static void note_escaped(struct lines *l, const char *group, struct text name)
{
    struct text whole[] = {text_of(group), name};
    struct json *e = &l->escaped;

    JSON_RAW(e, "\"");
    for (unsigned i = 0; i < 2; i++) {
        size_t start = e->length;
        json_text_escaped(e, whole[i]);
        /* two strings in one: without the quotes between them */
        if (!e->full) {
            memmove(e->data + start, e->data + start + 1, e->length - start - 2);
            e->length -= 2;
        }
    }
    JSON_RAW(e, "\",");
}

/* ,"name":"text" */
static void member_text(struct lines *l, const char *member, size_t length, const char *name,
                        struct text text)
{
    json_raw(&l->out, member, length);
    if (json_is_utf8(text)) {
        json_text(&l->out, text);
    } else {
        json_text_escaped(&l->out, text);
        note_escaped(l, "", text_of(name));
    }
}
#define MEMBER_TEXT(l, name, text) \
    member_text(l, ",\"" name "\":", sizeof(",\"" name "\":") - 1, name, text)

static void string(struct json *j, struct text text, bool escaped)
{
    if (escaped)
        json_text_escaped(j, text);
    else
        json_text(j, text);
}

static bool is_clean(const struct attribute *a)
{
    if (!json_is_utf8(a->key))
        return false;
    if (a->type == VALUE_TEXT)
        return json_is_utf8(a->text);
    for (size_t i = 0; a->type == VALUE_TEXTS && i < a->texts.count; i++) {
        if (!json_is_utf8(a->texts.items[i]))
            return false;
    }
    return true;
}

static void value(struct json *j, const struct attribute *a, bool escaped)
{
    switch (a->type) {
    case VALUE_TEXT:
        string(j, a->text, escaped);
        break;
    case VALUE_BOOL:
        if (a->boolean)
            JSON_RAW(j, "true");
        else
            JSON_RAW(j, "false");
        break;
    case VALUE_INT:
        json_signed(j, a->integer);
        break;
    case VALUE_DOUBLE:
        json_double(j, a->number);
        break;
    case VALUE_TEXTS:
        JSON_RAW(j, "[");
        for (size_t i = 0; i < a->texts.count; i++) {
            if (i)
                JSON_RAW(j, ",");
            string(j, a->texts.items[i], escaped);
        }
        JSON_RAW(j, "]");
        break;
    }
}

static void attribute(struct lines *l, struct json *j, const char *group, const struct attribute *a,
                      bool first)
{
    bool escaped = !is_clean(a);

    if (!first)
        JSON_RAW(j, ",");
    string(j, a->key, escaped);
    JSON_RAW(j, ":");
    value(j, a, escaped);
    if (escaped)
        note_escaped(l, group, a->key);
}

static bool has_key(const struct attributes *attributes, const char *key)
{
    for (size_t i = 0; i < attributes->count; i++) {
        if (text_is(attributes->items[i].key, key))
            return true;
    }
    return false;
}

static void attributes_object(struct lines *l, const struct attributes *attributes)
{
    const struct conf_pairs *tags = &l->conf->tags;
    bool first = true;

    JSON_RAW(&l->out, ",\"attributes\":{");
    for (size_t i = 0; i < attributes->count; i++, first = false)
        attribute(l, &l->out, "attributes.", &attributes->items[i], first);
    for (size_t i = 0; i < tags->count; i++) {
        if (has_key(attributes, tags->items[i].key))
            continue;
        struct attribute tag = {.key = text_of(tags->items[i].key), .type = VALUE_TEXT};
        tag.text = text_of(tags->items[i].value);
        attribute(l, &l->out, "attributes.", &tag, first);
        first = false;
    }
    JSON_RAW(&l->out, "}");
    if (attributes->dropped) {
        JSON_RAW(&l->out, ",\"attributes_dropped\":");
        json_unsigned(&l->out, attributes->dropped);
    }
}

static bool is_set(const uint8_t *id, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (id[i])
            return true;
    }
    return false;
}

static void member_id(struct json *j, const char *member, size_t length, const uint8_t *id,
                      size_t size)
{
    if (is_set(id, size)) {
        json_raw(j, member, length);
        json_hex(j, id, size);
    }
}
#define MEMBER_ID(j, name, id) \
    member_id(j, ",\"" name "\":", sizeof(",\"" name "\":") - 1, id, sizeof(id))

/* ------------------------------------------------------------------ lines */

static void start_line(struct lines *l, uint64_t time, const char *signal)
{
    JSON_RAW(&l->out, "{\"time\":");
    json_time(&l->out, time);
    JSON_RAW(&l->out, ",\"signal\":\"");
    json_raw(&l->out, signal, strlen(signal));
    JSON_RAW(&l->out, "\"");
}

static void end_line(struct lines *l, const struct telemetry_scope *scope,
                     const struct attributes *attributes)
{
    if (scope && scope->name.length)
        MEMBER_TEXT(l, "scope", scope->name);
    attributes_object(l, attributes);
    if (l->escaped.length) {
        JSON_RAW(&l->out, ",\"escaped\":[");
        json_raw(&l->out, l->escaped.data, l->escaped.length - 1);
        JSON_RAW(&l->out, "]");
    }
    json_raw(&l->out, l->tail.data, l->tail.length);
}

static void histogram_value(struct json *j, const struct histogram *h)
{
    JSON_RAW(j, "{\"count\":");
    json_unsigned(j, h->count);
    JSON_RAW(j, ",\"sum\":");
    json_double(j, h->sum);
    if (h->has_extremes) {
        JSON_RAW(j, ",\"min\":");
        json_double(j, h->min);
        JSON_RAW(j, ",\"max\":");
        json_double(j, h->max);
    }
    JSON_RAW(j, ",\"bounds\":[");
    for (size_t i = 0; i < h->bound_count; i++) {
        if (i)
            JSON_RAW(j, ",");
        json_double(j, h->bounds[i]);
    }
    JSON_RAW(j, "],\"buckets\":[");
    for (size_t i = 0; h->buckets && i <= h->bound_count; i++) {
        if (i)
            JSON_RAW(j, ",");
        json_unsigned(j, h->buckets[i]);
    }
    JSON_RAW(j, "]}");
}

static void metric_line(struct lines *l, const struct metric *m, const struct metric_point *p)
{
    struct json *j = &l->out;

    start_line(l, p->time, "metric");
    MEMBER_TEXT(l, "name", m->name);
    MEMBER_TEXT(l, "unit", m->unit);
    if (m->type == METRIC_GAUGE)
        JSON_RAW(j, ",\"type\":\"gauge\"");
    else if (m->type == METRIC_SUM)
        JSON_RAW(j, ",\"type\":\"sum\"");
    else
        JSON_RAW(j, ",\"type\":\"histogram\"");
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
    else if (p->is_int)
        json_signed(j, p->integer);
    else
        json_double(j, p->number);
    end_line(l, m->scope, &p->attributes);
}

/* "INFO", "INFO2" and so on, as the log data model names the numbers; empty: not known. */
static struct text severity_name(unsigned number, char out[8])
{
    static const char *const names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"};

    if (number < 1 || number > 24)
        return (struct text){out, 0};
    struct text t = {out, strlen(names[(number - 1) / 4])};
    memcpy(out, names[(number - 1) / 4], t.length);
    if ((number - 1) % 4)
        out[t.length++] = (char)('1' + (number - 1) % 4);
    return t;
}

static void log_line(struct lines *l, const struct log_record *r)
{
    char name[8];
    struct text severity = severity_name(r->severity, name);

    start_line(l, r->time ? r->time : r->observed_time, "log");
    if (r->event_name.length)
        MEMBER_TEXT(l, "name", r->event_name);
    if (r->body.length || !r->event_name.length)
        MEMBER_TEXT(l, "body", r->body);
    if (severity.length) {
        MEMBER_TEXT(l, "severity", severity);
        JSON_RAW(&l->out, ",\"severity_number\":");
        json_unsigned(&l->out, r->severity);
    }
    if (r->severity_text.length &&
        (r->severity_text.length != severity.length ||
         memcmp(r->severity_text.data, severity.data, severity.length) != 0))
        MEMBER_TEXT(l, "severity_text", r->severity_text);
    MEMBER_ID(&l->out, "trace_id", r->trace_id);
    MEMBER_ID(&l->out, "span_id", r->span_id);
    end_line(l, r->scope, &r->attributes);
}

static void span_line(struct lines *l, const struct span *s)
{
    static const char *const kinds[] = {"internal", "server", "client", "producer", "consumer"};
    struct json *j = &l->out;

    start_line(l, s->start_time, "span");
    MEMBER_TEXT(l, "name", s->name);
    if (s->kind >= SPAN_INTERNAL && s->kind <= SPAN_CONSUMER)
        MEMBER_TEXT(l, "kind", text_of(kinds[s->kind - SPAN_INTERNAL]));
    if (s->end_time >= s->start_time) {
        JSON_RAW(j, ",\"duration\":");
        json_time(j, s->end_time - s->start_time);
    }
    if (s->status == STATUS_ERROR)
        JSON_RAW(j, ",\"status\":\"error\"");
    else if (s->status == STATUS_OK)
        JSON_RAW(j, ",\"status\":\"ok\"");
    if (s->status_message.length)
        MEMBER_TEXT(l, "status_message", s->status_message);
    MEMBER_ID(j, "trace_id", s->trace_id);
    MEMBER_ID(j, "span_id", s->span_id);
    MEMBER_ID(j, "parent_span_id", s->parent_span_id);
    if (s->trace_state.length)
        MEMBER_TEXT(l, "trace_state", s->trace_state);
    end_line(l, s->scope, &s->attributes);
}

/* ------------------------------------------------------------------ the buffer */

static bool buffer_new(struct lines *l, size_t room)
{
    struct buffer *b = malloc(sizeof(*b) + room + ESCAPED_ROOM);

    if (!b)
        return false;
    b->room = room;
    if (l->out.length)
        memcpy(b->data, l->out.data, l->out.length);
    if (l->escaped.length)
        memcpy(b->data + room, l->escaped.data, l->escaped.length);
    free(l->buffer);
    l->buffer = b;
    return true;
}

static void buffer_use(struct lines *l)
{
    l->out.data = l->buffer->data;
    l->out.room = l->buffer->room < l->room_max ? l->buffer->room : l->room_max;
    l->escaped.data = l->buffer->data + l->buffer->room;
    l->escaped.room = ESCAPED_ROOM;
}

static bool buffer_take(struct lines *l)
{
    l->buffer = __atomic_exchange_n(&spare, NULL, __ATOMIC_ACQ_REL);
    if (!l->buffer && !buffer_new(l, ROOM_FIRST))
        return false;
    buffer_use(l);
    return true;
}

static void buffer_give(struct lines *l)
{
    free(__atomic_exchange_n(&spare, l->buffer, __ATOMIC_ACQ_REL));
}

static bool buffer_grow(struct lines *l)
{
    size_t room = 2 * l->buffer->room;

    if (l->out.room >= l->room_max || !buffer_new(l, room < ROOM_MOST ? room : ROOM_MOST))
        return false;
    buffer_use(l);
    return true;
}

/* ------------------------------------------------------------------ units */

static void emit_front(struct lines *l, size_t length)
{
    if (length)
        l->emit(l->context, l->out.data, length, l->items);
    l->items = 0;
    memmove(l->out.data, l->out.data + length, l->out.length - length);
    l->out.length -= length;
}

/* The line from `start` on is complete. False: it did not fit behind the others; write it again. */
static bool line_done(struct lines *l, size_t start)
{
    bool full = l->out.full || l->escaped.full, small = l->out.full;

    l->out.full = l->escaped.full = false;
    l->escaped.length = l->tail_escaped;
    if (full) {
        l->out.length = start;
        if (small && start <= l->pack && buffer_grow(l))
            return false;
        if (start) {
            emit_front(l, start);
            return false;
        }
        l->left_out++;
        return true;
    }
    if (start && l->out.length > l->pack)
        emit_front(l, start);
    l->items++;
    if (l->out.length > l->pack)
        emit_front(l, l->out.length);
    return true;
}

static void write_line(struct lines *l, const struct batch *batch, size_t i, size_t point)
{
    size_t start;

    do {
        start = l->out.length;
        if (batch->signal == SIGNAL_METRICS)
            metric_line(l, &batch->metrics[i], &batch->metrics[i].points[point]);
        else if (batch->signal == SIGNAL_LOGS)
            log_line(l, &batch->logs[i]);
        else
            span_line(l, &batch->spans[i]);
    } while (!line_done(l, start));
}

/* ,"resource":{...}} and the newline, once for all lines. False: no memory, or it does not fit. */
static bool make_tail(struct lines *l, const struct resource *resource)
{
    struct json *j = &l->out;

    do {
        j->full = false;
        j->length = l->escaped.length = 0;
        JSON_RAW(j, ",\"resource\":{");
        for (size_t i = 0; resource && i < resource->attributes.count; i++)
            attribute(l, j, "resource.", &resource->attributes.items[i], i == 0);
        JSON_RAW(j, "}}\n");
    } while (j->full && !l->escaped.full && buffer_grow(l));
    l->tail_escaped = l->escaped.length;
    if (j->full || l->escaped.full)
        return false;
    l->tail.data = malloc(j->length);
    if (!l->tail.data)
        return false;
    l->tail.room = l->tail.length = j->length;
    memcpy(l->tail.data, j->data, j->length);
    j->length = 0;
    return true;
}

static size_t count_items(const struct batch *batch)
{
    size_t n = batch->count;

    if (batch->signal == SIGNAL_METRICS) {
        n = 0;
        for (size_t i = 0; i < batch->count; i++)
            n += batch->metrics[i].count;
    }
    return n;
}

static size_t ndjson_encode(const struct batch *batch, const struct conf *conf, size_t unit_max,
                            sink_emit *emit, void *context)
{
    struct lines l = {.conf = conf, .emit = emit, .context = context};
    size_t items = count_items(batch);

    if (!items)
        return 0;
    l.pack = unit_max < UNIT_SIZE ? unit_max : UNIT_SIZE;
    l.room_max = unit_max < ROOM_MOST ? unit_max : ROOM_MOST;
    if (!buffer_take(&l))
        return items;
    if (!make_tail(&l, batch->resource)) {
        buffer_give(&l);
        return items;
    }
    for (size_t i = 0; i < batch->count; i++) {
        size_t points = batch->signal == SIGNAL_METRICS ? batch->metrics[i].count : 1;
        for (size_t point = 0; point < points; point++)
            write_line(&l, batch, i, point);
    }
    emit_front(&l, l.out.length);
    free(l.tail.data);
    buffer_give(&l);
    return l.left_out;
}

const struct sink_encoder ndjson_encoder = {
    .name = "ndjson",
    .temporality = TEMPORALITY_DELTA,
    .encode = ndjson_encode,
};
