/* Spans, their events and log records out of a recording's lines: flat ones, and OTLP's. */
#include "cli/trace.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/recording.h"

enum { TEXT_MAX = 1024, ERROR = SEVERITY_ERROR };

/* A text that many nodes share: equal ones are the same pointer. */
struct interned {
    struct interned *bucket;
    size_t length;
    char text[];
};

/* What the spans and records of one line (or of one scope) have in common. */
struct around {
    struct trace_store *store;
    struct arena *arena; /* for what the line is about */
    const char *service;
};

/* ------------------------------------------------------------------ texts */

static size_t hash(const void *data, size_t length)
{
    const uint8_t *p = data;
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < length; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 29) % TRACE_BUCKETS;
}

/* NULL: no text, or no room. */
static const char *intern_bytes(const struct around *a, const char *data, size_t length)
{
    length = length > TEXT_MAX ? TEXT_MAX : length;
    struct interned **bucket = &a->store->interned[hash(data, length)];

    for (struct interned *i = *bucket; i; i = i->bucket) {
        if (i->length == length && !memcmp(i->text, data, length))
            return i->text;
    }
    struct interned *made = arena_take(a->arena, sizeof(*made) + length + 1);
    if (!made)
        return NULL;
    memcpy(made->text, data, length);
    /* Shown as other control characters are. */
    for (size_t i = 0; i < length; i++)
        made->text[i] = made->text[i] ? made->text[i] : '\x01';
    made->length = length;
    made->bucket = *bucket;
    *bucket = made;
    return made->text;
}

static const char *intern(const struct around *a, const json_t *text)
{
    return json_is_string(text) ? intern_bytes(a, json_string_value(text), json_string_length(text))
                                : NULL;
}

/* ------------------------------------------------------------------ values of both formats */

/* The member of this name: in flat lines attributes are an object, in OTLP a list of pairs. */
static const json_t *attribute(const json_t *attributes, const char *key)
{
    static const char *const types[] = {"stringValue", "intValue", "doubleValue"};
    size_t i;
    json_t *pair;

    if (json_is_object(attributes))
        return json_object_get(attributes, key);
    json_array_foreach(attributes, i, pair)
    {
        const char *own = line_text(pair, "key");
        const json_t *value = json_object_get(pair, "value");
        if (!own || strcmp(own, key))
            continue;
        for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
            if (json_object_get(value, types[t]))
                return json_object_get(value, types[t]);
        }
    }
    return NULL;
}

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* False: not that many bytes in hexadecimal, or all of them zero, which is no id. */
static bool read_id(uint8_t *id, size_t size, const json_t *value)
{
    const char *text = json_string_value(value);
    bool any = false;

    if (!text || json_string_length(value) != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        id[i] = (uint8_t)(high << 4 | low);
        any = any || id[i];
    }
    return any;
}

static uint64_t from_seconds(double seconds)
{
    return seconds > 0 && seconds < 1.8e10 ? (uint64_t)llround(seconds * 1e9) : 0;
}

/*
 * The time that a flat line begins with. The text is asked, because a double knows no nanoseconds
 * of today; lines that another program has put in another order lose a quarter of a microsecond.
 */
static uint64_t flat_time(const json_t *line, const char *text)
{
    static const char before[] = "{\"time\":";
    char *end;

    if (strncmp(text, before, sizeof(before) - 1) != 0 || !isdigit((unsigned char)text[8]))
        return from_seconds(line_number(line, "time"));
    uint64_t seconds = strtoull(text + 8, &end, 10);
    if (*end != '.' || strspn(end + 1, "0123456789") != 9 || seconds >= UINT64_MAX / 1000000000)
        return from_seconds(line_number(line, "time"));
    return seconds * 1000000000 + strtoull(end + 1, NULL, 10);
}

/* OTLP's 64-bit numbers are strings, or numbers. */
static uint64_t otlp_number(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);

    if (json_is_string(v))
        return strtoull(json_string_value(v), NULL, 10);
    return json_is_integer(v) && json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : 0;
}

/* A number of an enumeration, or its name (with what OTLP puts in front) in `names`; else 0. */
static uint8_t enumerated(const json_t *value, const char *before, const char *const *names,
                          uint8_t count)
{
    const char *text = json_string_value(value);

    if (json_is_integer(value)) {
        json_int_t n = json_integer_value(value);
        return n > 0 && n <= count ? (uint8_t)n : 0;
    }
    if (text && !strncmp(text, before, strlen(before)))
        text += strlen(before);
    for (uint8_t i = 0; text && i < count; i++) {
        if (!strcasecmp(text, names[i]))
            return (uint8_t)(i + 1);
    }
    return 0;
}

static uint8_t kind_of(const json_t *value)
{
    static const char *const names[] = {"internal", "server", "client", "producer", "consumer"};
    return enumerated(value, "SPAN_KIND_", names, 5);
}

static bool is_error(const json_t *value)
{
    static const char *const names[] = {"ok", "error"};
    return enumerated(value, "STATUS_CODE_", names, 2) == STATUS_ERROR;
}

/* ------------------------------------------------------------------ the store */

static bool is_wanted(const struct trace_store *s, const uint8_t *id)
{
    char text[2 * TRACE_ID + 1];

    for (size_t i = 0; s->prefix && i < TRACE_ID; i++)
        snprintf(text + 2 * i, 3, "%02x", id[i]);
    return !s->prefix || !strncmp(text, s->prefix, strlen(s->prefix));
}

static struct trace *find_trace(const struct around *a, const uint8_t *id)
{
    struct trace_store *s = a->store;
    struct trace **bucket = &s->buckets[hash(id, TRACE_ID)], *t = *bucket;

    while (t && memcmp(t->id, id, TRACE_ID) != 0)
        t = t->bucket;
    if (t)
        return t;
    t = arena_take(a->arena, sizeof(*t));
    if (!t)
        return NULL;
    memcpy(t->id, id, TRACE_ID);
    t->bucket = *bucket;
    *bucket = t;
    s->traces++;
    return t;
}

static struct node *add_node(const struct around *a, struct trace *trace, enum node_type type)
{
    struct node *n = trace ? arena_take(a->arena, sizeof(*n)) : NULL;

    if (!n)
        return NULL;
    n->type = type;
    n->count = 1;
    n->next = trace->nodes;
    trace->nodes = n;
    return n;
}

/* "message [error.type]", as far as they are there. */
static const char *why_failed(const struct around *a, const json_t *message, const json_t *type)
{
    char both[TEXT_MAX];
    const char *m = json_string_value(message), *t = json_string_value(type);

    if (json_is_integer(type))
        return m ? intern(a, message)
                 : intern_bytes(a, both,
                                (size_t)snprintf(both, sizeof(both), "%lld",
                                                 (long long)json_integer_value(type)));
    if (!m || !*m || !t || !strcmp(m, t))
        return intern(a, m && *m ? message : type);
    snprintf(both, sizeof(both), "%.*s [%.200s]", TEXT_MAX - 256, m, t);
    return intern_bytes(a, both, strlen(both));
}

static void add_event(const struct around *of, struct trace *trace, struct node *span,
                      const json_t *event, uint64_t time)
{
    const struct around own = {of->store, of->store->notes_arena, of->service}, *a = &own;
    const json_t *attributes = json_object_get(event, "attributes");
    struct node *n = add_node(a, trace, NODE_EVENT);

    if (!n) {
        a->store->logs_left_out++;
        return;
    }
    n->parent = span;
    n->start = time;
    n->name = intern(a, json_object_get(event, "name"));
    n->why = why_failed(a, attribute(attributes, "exception.message"),
                        attribute(attributes, "exception.type"));
}

/* ------------------------------------------------------------------ details */

/* A value as text; in OTLP it has its type around it. */
static const char *value_text(const struct around *a, const json_t *value, bool otlp)
{
    const json_t *inner = otlp ? json_object_iter_value(json_object_iter((json_t *)value)) : value;
    char *dumped;

    if (json_is_string(inner))
        return intern(a, inner);
    dumped = inner ? json_dumps(inner, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    const char *text = dumped ? intern_bytes(a, dumped, strlen(dumped)) : NULL;
    free(dumped);
    return text;
}

/* Adds at *last; where the next one goes. */
static struct detail **add_detail(const struct around *a, struct detail **last, const char *name,
                                  const char *value)
{
    struct detail *d = name && value ? arena_take(a->arena, sizeof(*d)) : NULL;

    if (!d)
        return last;
    d->name = name;
    d->value = value;
    *last = d;
    return &d->next;
}

static struct detail **add_links(const struct around *a, struct detail **last, const json_t *links,
                                 bool otlp)
{
    size_t i;
    json_t *link;

    json_array_foreach(links, i, link)
    {
        char text[128];
        const char *trace = line_text(link, otlp ? "traceId" : "trace_id");
        const char *span = line_text(link, otlp ? "spanId" : "span_id");
        snprintf(text, sizeof(text), "trace %.32s span %.16s", trace ? trace : "?",
                 span ? span : "?");
        last = add_detail(a, last, "link", intern_bytes(a, text, strlen(text)));
    }
    return last;
}

static void add_details(const struct around *of, struct node *n, const json_t *line, bool otlp)
{
    static const char *const kinds[] = {NULL,     "internal", "server",
                                        "client", "producer", "consumer"};
    const struct around own = {of->store, of->store->notes_arena, of->service}, *a = &own;
    json_t *attributes = json_object_get(line, "attributes"), *value;
    struct detail **last = add_detail(a, &n->details, "kind", kinds[n->kind]);
    const char *key;
    size_t i;

    json_object_foreach(attributes, key, value)
    {
        last = add_detail(a, last, intern_bytes(a, key, strlen(key)), value_text(a, value, false));
    }
    json_array_foreach(attributes, i, value)
    {
        last = add_detail(a, last, intern(a, json_object_get(value, "key")),
                          value_text(a, json_object_get(value, "value"), true));
    }
    add_links(a, last, json_object_get(line, "links"), otlp);
}

/* ------------------------------------------------------------------ spans and records */

/* A span of either format, its times known. NULL: it is left out, and counted. */
static struct node *add_span(const struct around *a, struct trace **trace, const json_t *line,
                             bool otlp, uint64_t start, uint64_t end)
{
    struct trace_store *s = a->store;
    uint8_t trace_id[TRACE_ID], id[SPAN_ID], parent[SPAN_ID];

    if (!read_id(trace_id, TRACE_ID, json_object_get(line, otlp ? "traceId" : "trace_id")) ||
        !read_id(id, SPAN_ID, json_object_get(line, otlp ? "spanId" : "span_id"))) {
        s->malformed++;
        return NULL;
    }
    if (!is_wanted(s, trace_id))
        return NULL;
    *trace = find_trace(a, trace_id);
    struct node *n = add_node(a, *trace, NODE_SPAN);
    if (!n) {
        s->left_out++;
        return NULL;
    }
    memcpy(n->id, id, SPAN_ID);
    if (read_id(parent, SPAN_ID, json_object_get(line, otlp ? "parentSpanId" : "parent_span_id")))
        memcpy(n->parent_id, parent, SPAN_ID);
    n->start = start;
    n->end = start && end >= start ? end : 0;
    n->name = intern(a, json_object_get(line, "name"));
    n->service = a->service;
    n->kind = kind_of(json_object_get(line, "kind"));

    const json_t *status = json_object_get(line, "status");
    const json_t *message =
        otlp ? json_object_get(status, "message") : json_object_get(line, "status_message");
    const json_t *attributes = json_object_get(line, "attributes");
    n->failed = is_error(otlp ? json_object_get(status, "code") : status);
    if (n->failed)
        n->why = why_failed(a, message, attribute(attributes, "error.type"));
    if (s->details)
        add_details(a, n, line, otlp);
    (*trace)->spans++;
    (*trace)->failed += n->failed;
    if (start && (!(*trace)->first || start < (*trace)->first))
        (*trace)->first = start;
    if ((n->end ? n->end : start) > (*trace)->last)
        (*trace)->last = n->end ? n->end : start;
    return n;
}

static void add_log(const struct around *a, const json_t *line, bool otlp, uint64_t time)
{
    struct trace_store *s = a->store;
    uint8_t trace_id[TRACE_ID];
    const json_t *body = json_object_get(line, "body");

    if (!read_id(trace_id, TRACE_ID, json_object_get(line, otlp ? "traceId" : "trace_id")) ||
        !is_wanted(s, trace_id))
        return;
    struct trace *trace = find_trace(a, trace_id);
    struct node *n = add_node(a, trace, NODE_LOG);
    if (!n) {
        s->logs_left_out++;
        return;
    }
    if (!read_id(n->parent_id, SPAN_ID, json_object_get(line, otlp ? "spanId" : "span_id")))
        memset(n->parent_id, 0, SPAN_ID);
    if (otlp)
        body = json_object_get(body, "stringValue");
    if (!json_is_string(body))
        body = json_object_get(line, otlp ? "eventName" : "name");
    double severity = line_number(line, otlp ? "severityNumber" : "severity_number");
    n->severity = severity >= 1 && severity <= 24 ? (uint8_t)severity : 0;
    n->start = time;
    n->name = intern(a, body);
    n->service = a->service;
    trace->logs++;
    trace->errors += n->severity >= ERROR;
}

/* ------------------------------------------------------------------ flat */

static const char *service_of(const struct around *a, const json_t *resource)
{
    const json_t *attributes = json_object_get(resource, "attributes");
    const json_t *in = json_is_array(attributes) ? attributes : resource;
    const json_t *name = attribute(in, "service.name");

    return intern(a, json_is_string(name) ? name : attribute(in, "process.executable.name"));
}

static void take_flat(const struct around *a, const char *signal, const json_t *line,
                      const char *text)
{
    struct trace *trace = NULL;
    uint64_t start = flat_time(line, text);
    const json_t *duration = json_object_get(line, "duration");
    size_t i;
    json_t *event;

    if (!strcmp(signal, "log")) {
        add_log(a, line, false, start);
        return;
    }
    uint64_t end = json_is_number(duration) && json_number_value(duration) >= 0
                       ? start + from_seconds(json_number_value(duration))
                       : 0;
    struct node *span = add_span(a, &trace, line, false, start, end);
    json_array_foreach(span ? json_object_get(line, "events") : NULL, i, event)
        add_event(a, trace, span, event, from_seconds(line_number(event, "time")));
}

/* ------------------------------------------------------------------ OTLP */

static void take_otlp_span(const struct around *a, const json_t *line)
{
    struct trace *trace = NULL;
    struct node *span = add_span(a, &trace, line, true, otlp_number(line, "startTimeUnixNano"),
                                 otlp_number(line, "endTimeUnixNano"));
    size_t i;
    json_t *event;

    json_array_foreach(span ? json_object_get(line, "events") : NULL, i, event)
        add_event(a, trace, span, event, otlp_number(event, "timeUnixNano"));
}

static void take_otlp(struct trace_store *s, const json_t *resources, bool spans)
{
    size_t i, j, k;
    json_t *resource, *scope, *item;

    json_array_foreach(resources, i, resource)
    {
        struct around a = {s, spans ? s->spans_arena : s->notes_arena, NULL};
        a.service = service_of(&a, json_object_get(resource, "resource"));
        const json_t *scopes = json_object_get(resource, spans ? "scopeSpans" : "scopeLogs");
        json_array_foreach(scopes, j, scope)
        {
            const json_t *items = json_object_get(scope, spans ? "spans" : "logRecords");
            json_array_foreach(items, k, item)
            {
                uint64_t time = otlp_number(item, "timeUnixNano");
                if (spans)
                    take_otlp_span(&a, item);
                else
                    add_log(&a, item, true,
                            time ? time : otlp_number(item, "observedTimeUnixNano"));
            }
        }
    }
}

void trace_take_line(void *context, json_t *line, const char *text)
{
    struct trace_store *s = context;
    const char *signal = line_text(line, "signal");

    s->lines++;
    if (signal && (!strcmp(signal, "span") || !strcmp(signal, "log"))) {
        struct around a = {s, *signal == 's' ? s->spans_arena : s->notes_arena, NULL};
        a.service = service_of(&a, json_object_get(line, "resource"));
        take_flat(&a, signal, line, text);
    }
    take_otlp(s, json_object_get(line, "resourceSpans"), true);
    take_otlp(s, json_object_get(line, "resourceLogs"), false);
}
