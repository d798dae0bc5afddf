/* Spans on their way out: copied when they are over, handed out in batches. */
#include <stdlib.h>
#include <string.h>

#include "report/fold_trace.h"

/* A span with everything that it points to, in one block. */
struct span_block {
    struct span_block *next;
    size_t size;
    struct span span;
};

struct arena *span_arena(struct fold *f)
{
    struct traces *t = traces_of(f);
    if (!t)
        return NULL;
    if (t->arena)
        arena_reset(t->arena);
    else
        t->arena = arena_new(SPAN_ARENA);
    return t->arena;
}

void span_ids(const struct trace_ids *ids, struct span *span)
{
    memcpy(span->trace_id, ids->trace_id, 16);
    memcpy(span->span_id, ids->span_id, 8);
    memcpy(span->parent_span_id, ids->parent_id, 8);
    span->flags = ids->flags | 1u << 8 | (uint32_t)(ids->remote != 0) << 9;
}

void span_identify(struct fold *f, const struct trace_ids *ids, struct span *span)
{
    struct trace_ids told = trace_told(f, ids, &span->trace_state);
    span_ids(&told, span);
}

void log_identify(struct fold *f, const struct trace_ids *ids, struct log_record *log)
{
    if (sdk_tells(f))
        return; /* the request has another span, that we do not know */
    struct text state;
    struct trace_ids told = trace_told(f, ids, &state);
    memcpy(log->trace_id, told.trace_id, 16);
    memcpy(log->span_id, told.span_id, 8);
    log->trace_flags = told.flags;
}

/* Ids that only the reporter draws: never zero. */
static uint64_t draw(struct fold *f)
{
    struct traces *t = traces_of(f);
    uint64_t seed = f->region->random_seed ^ f->started ^ (uint64_t)f->pid << 32;
    return trace_mix(seed, t ? ++t->drawn : 0);
}

static struct trace_ids span_below(struct fold *f, const struct trace_ids *parent)
{
    struct trace_ids ids = *parent;
    uint64_t id = draw(f);
    memcpy(ids.parent_id, parent->span_id, 8);
    memcpy(ids.span_id, &id, 8);
    ids.remote = 0;
    return ids;
}

void span_child(struct fold *f, const struct trace_ids *parent, struct span *span, int64_t error,
                struct attribute_list *list)
{
    struct trace_ids ids = span_below(f, parent);
    char room[16];
    span->kind = SPAN_INTERNAL;
    if (error < 0) {
        attributes_text(list, "error.type", text_of(errno_name((int)-error, room)));
        span->status = STATUS_ERROR;
    }
    span_identify(f, &ids, span);
    span->attributes = attributes_done(list);
    spans_put(f, span);
}

/* ------------------------------------------------------------------ copies */

static size_t attributes_size(const struct attributes *a)
{
    size_t n = a->count * sizeof(struct attribute);
    for (size_t i = 0; i < a->count; i++) {
        n += a->items[i].key.length;
        if (a->items[i].type == VALUE_TEXT)
            n += a->items[i].text.length;
        for (size_t k = 0; a->items[i].type == VALUE_TEXTS && k < a->items[i].texts.count; k++)
            n += sizeof(struct text) + a->items[i].texts.items[k].length;
    }
    return n;
}

static size_t block_size(const struct span *s)
{
    size_t n = sizeof(struct span_block) + attributes_size(&s->attributes) + s->name.length +
               s->status_message.length + s->trace_state.length;
    for (size_t i = 0; i < s->event_count; i++)
        n += sizeof(struct span_event) + s->events[i].name.length +
             attributes_size(&s->events[i].attributes);
    for (size_t i = 0; i < s->link_count; i++)
        n += sizeof(struct span_link) + s->links[i].trace_state.length +
             attributes_size(&s->links[i].attributes);
    return n;
}

/* Structures are taken from the front of a block, bytes from its back. */
struct packing {
    char *front, *back;
};

static struct text pack_text(struct packing *p, struct text t)
{
    p->back -= t.length;
    if (t.length)
        memcpy(p->back, t.data, t.length);
    return (struct text){p->back, t.length};
}

static void *pack_array(struct packing *p, const void *items, size_t size)
{
    void *to = p->front;
    p->front += size;
    if (size)
        memcpy(to, items, size);
    return to;
}

static struct attributes pack_attributes(struct packing *p, const struct attributes *a)
{
    struct attribute *to = pack_array(p, a->items, a->count * sizeof(*to));
    for (size_t i = 0; i < a->count; i++) {
        to[i].key = pack_text(p, to[i].key);
        if (to[i].type == VALUE_TEXT) {
            to[i].text = pack_text(p, to[i].text);
        } else if (to[i].type == VALUE_TEXTS) {
            size_t count = to[i].texts.count;
            struct text *items = pack_array(p, to[i].texts.items, count * sizeof(*items));
            for (size_t k = 0; k < count; k++)
                items[k] = pack_text(p, items[k]);
            to[i].texts.items = items;
        }
    }
    return (struct attributes){to, a->count, a->dropped};
}

static void pack(struct span_block *b, const struct span *s)
{
    struct packing p = {(char *)(b + 1), (char *)b + b->size};
    b->span = *s;
    b->span.attributes = pack_attributes(&p, &s->attributes);
    struct span_event *events = pack_array(&p, s->events, s->event_count * sizeof(*events));
    b->span.events = events;
    struct span_link *links = pack_array(&p, s->links, s->link_count * sizeof(*links));
    b->span.links = links;
    for (size_t i = 0; i < s->event_count; i++) {
        events[i].attributes = pack_attributes(&p, &events[i].attributes);
        events[i].name = pack_text(&p, events[i].name);
    }
    for (size_t i = 0; i < s->link_count; i++) {
        links[i].attributes = pack_attributes(&p, &links[i].attributes);
        links[i].trace_state = pack_text(&p, links[i].trace_state);
    }
    b->span.name = pack_text(&p, s->name);
    b->span.status_message = pack_text(&p, s->status_message);
    b->span.trace_state = pack_text(&p, s->trace_state);
}

void spans_put(struct fold *f, const struct span *span)
{
    struct traces *t = traces_of(f);
    if (!(span->flags & TRACE_SAMPLED))
        return;
    size_t size = block_size(span);
    struct span_block *b = t && t->ready_bytes + size <= READY_BYTES_MAX ? malloc(size) : NULL;
    if (!b) {
        f->drops[DROP_STATE]++;
        return;
    }
    b->next = NULL;
    b->size = size;
    pack(b, span);
    *t->ready_end = b;
    t->ready_end = &b->next;
    t->ready_bytes += size;
}

/* ------------------------------------------------------------------ batches */

static void free_out(struct traces *t)
{
    while (t->out) {
        struct span_block *b = t->out;
        t->out = b->next;
        free(b);
    }
}

size_t fold_spans(struct fold *f, size_t max, struct arena *arena, struct batch *batch)
{
    struct traces *t = f->traces;
    size_t n = 0;
    if (!t)
        return 0;
    free_out(t);
    for (struct span_block *b = t->ready; b && n < max; b = b->next)
        n++;
    struct span *spans = n ? arena_take(arena, n * sizeof(*spans)) : NULL;
    if (!spans)
        return 0;
    for (size_t i = 0; i < n; i++) {
        struct span_block *b = t->ready;
        spans[i] = b->span;
        t->ready = b->next;
        t->ready_bytes -= b->size;
        b->next = t->out;
        t->out = b;
    }
    if (!t->ready)
        t->ready_end = &t->ready;
    *batch = (struct batch){
        .signal = SIGNAL_TRACES, .resource = fold_resource(f), .spans = spans, .count = n};
    return n;
}

void spans_free(struct fold *f)
{
    struct traces *t = f->traces;
    free_out(t);
    t->out = t->ready;
    free_out(t);
    t->ready = NULL;
}
