/*
 * Log records on their way out: events are put together here, wait here, and leave in batches.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/fold_state.h"

struct event *event_begin(struct fold *f, const char *name, const struct telemetry_scope *scope,
                          uint64_t ticks, int32_t tid)
{
    struct event *e = &f->event;
    memset(&e->record, 0, sizeof(e->record));
    e->count = e->text_count = e->scratch_used = 0;
    e->record.event_name = text_of(name);
    e->record.scope = scope;
    e->record.time = fold_unix(f, ticks);
    e->record.severity = name ? SEVERITY_INFO : SEVERITY_NONE;
    if (tid > 0)
        event_int(e, "thread.id", tid);
    return e;
}

static struct attribute *next(struct event *e, const char *key, enum value_type type)
{
    if (e->count == EVENT_ATTRIBUTES) {
        e->record.attributes.dropped++;
        return NULL;
    }
    struct attribute *a = &e->attributes[e->count++];
    *a = (struct attribute){.key = text_of(key), .type = type};
    return a;
}

void event_text(struct event *e, const char *key, struct text value)
{
    struct attribute *a = next(e, key, VALUE_TEXT);
    if (a)
        a->text = value;
}

void event_string(struct event *e, const char *key, const char *value)
{
    if (value)
        event_text(e, key, text_of(value));
}

void event_int(struct event *e, const char *key, int64_t value)
{
    struct attribute *a = next(e, key, VALUE_INT);
    if (a)
        a->integer = value;
}

void event_double(struct event *e, const char *key, double value)
{
    struct attribute *a = next(e, key, VALUE_DOUBLE);
    if (a)
        a->number = value;
}

void event_bool(struct event *e, const char *key, bool value)
{
    struct attribute *a = next(e, key, VALUE_BOOL);
    if (a)
        a->boolean = value;
}

void event_list(struct event *e, const char *key, const struct text *items, size_t count)
{
    if (count > EVENT_TEXTS - e->text_count)
        count = EVENT_TEXTS - e->text_count;
    struct attribute *a = next(e, key, VALUE_TEXTS);
    if (!a)
        return;
    struct text *own = &e->texts[e->text_count];
    memcpy(own, items, count * sizeof(*items));
    e->text_count += count;
    a->texts.items = own;
    a->texts.count = count;
}

char *event_scratch(struct event *e, size_t size)
{
    if (size > EVENT_SCRATCH - e->scratch_used)
        return NULL;
    char *p = e->scratch + e->scratch_used;
    e->scratch_used += size;
    return p;
}

void event_error(struct event *e, int64_t result)
{
    if (result >= 0)
        return;
    char *room = event_scratch(e, 16);
    if (room)
        event_string(e, "error.type", errno_name((int)-result, room));
}

/* ------------------------------------------------------------------ the queue */

static size_t string_bytes(const struct event *e)
{
    size_t n = e->record.body.length + e->record.severity_text.length;
    for (size_t i = 0; i < e->count; i++)
        if (e->attributes[i].type == VALUE_TEXT)
            n += e->attributes[i].text.length;
    for (size_t i = 0; i < e->text_count; i++)
        n += e->texts[i].length;
    return n;
}

/* The block: struct ready, attributes, texts, strings. */
bool ready_put(struct fold *f, const struct event *e)
{
    size_t size = sizeof(struct ready) + e->count * sizeof(struct attribute) +
                  e->text_count * sizeof(struct text) + string_bytes(e);
    struct ready *r = f->ready_bytes + size <= READY_BYTES_MAX ? malloc(size) : NULL;
    if (!r) {
        f->drops[DROP_STATE]++;
        return false;
    }
    struct attribute *attributes = (struct attribute *)(r + 1);
    struct text *texts = (struct text *)(attributes + e->count);
    char *at = (char *)(texts + e->text_count);
    r->next = NULL;
    r->size = size;
    r->record = e->record;
    r->record.body = text_keep(&at, e->record.body);
    r->record.severity_text = text_keep(&at, e->record.severity_text);
    for (size_t i = 0; i < e->text_count; i++)
        texts[i] = text_keep(&at, e->texts[i]);
    for (size_t i = 0; i < e->count; i++) {
        attributes[i] = e->attributes[i];
        if (attributes[i].type == VALUE_TEXT)
            attributes[i].text = text_keep(&at, attributes[i].text);
        else if (attributes[i].type == VALUE_TEXTS)
            attributes[i].texts.items = texts + (e->attributes[i].texts.items - e->texts);
    }
    r->record.attributes.items = attributes;
    r->record.attributes.count = e->count;
    *f->ready_end = r;
    f->ready_end = &r->next;
    f->ready_bytes += size;
    return true;
}

void event_submit(struct fold *f, struct event *e)
{
    if (!rate_allows(&f->event_rate, f->conf->events_rate, e->record.time, 1)) {
        f->drops[DROP_EVENT_RATE]++;
        return;
    }
    (void)ready_put(f, e);
}

/* A pointer into the block that moved from `from` to `to`. */
static struct text moved(struct text t, const char *from, const char *to)
{
    if (t.data)
        t.data = to + (t.data - from);
    return t;
}

static void unpack(const struct ready *r, char *to, struct log_record *out)
{
    const char *from = (const char *)r;
    memcpy(to, r, r->size);
    struct ready *copy = (struct ready *)to;
    struct attribute *attributes = (struct attribute *)(copy + 1);
    *out = copy->record;
    out->body = moved(out->body, from, to);
    out->severity_text = moved(out->severity_text, from, to);
    out->attributes.items = attributes;
    for (size_t i = 0; i < out->attributes.count; i++) {
        struct attribute *a = &attributes[i];
        if (a->type == VALUE_TEXT) {
            a->text = moved(a->text, from, to);
        } else if (a->type == VALUE_TEXTS) {
            struct text *items = (struct text *)(to + ((const char *)a->texts.items - from));
            for (size_t k = 0; k < a->texts.count; k++)
                items[k] = moved(items[k], from, to);
            a->texts.items = items;
        }
    }
}

static void pop(struct fold *f)
{
    struct ready *r = f->ready;
    f->ready = r->next;
    if (!f->ready)
        f->ready_end = &f->ready;
    f->ready_bytes -= r->size;
    free(r);
}

size_t ready_take(struct fold *f, size_t max, struct arena *arena, struct batch *batch)
{
    size_t room = 0;
    for (struct ready *r = f->ready; r && room < max; r = r->next)
        room++;
    struct log_record *logs = room ? arena_take(arena, room * sizeof(*logs)) : NULL;
    if (!logs)
        return 0;
    uint64_t now = now_unix();
    size_t n = 0;
    while (n < room) {
        char *to = arena_take(arena, f->ready->size);
        if (!to)
            break;
        unpack(f->ready, to, &logs[n]);
        logs[n++].observed_time = now;
        pop(f);
    }
    if (!n) { /* too big for any batch */
        f->drops[DROP_STATE]++;
        pop(f);
        return 0;
    }
    *batch = (struct batch){
        .signal = SIGNAL_LOGS, .resource = fold_resource(f), .logs = logs, .count = n};
    return n;
}

void ready_free(struct fold *f)
{
    while (f->ready)
        pop(f);
}
