/*
 * The OTLP encoders: a batch becomes as few requests as the limits allow.
 */
#include "otlp/otlp.h"

#include <stdlib.h>
#include <string.h>

#include "otlp/json_message.h"
#include "otlp/tree.h"

enum {
    TREE_MAX = 4 * 1024 * 1024, /* of one unit: more items than fit go into another */
    BASE_MAX = 4 * 1024 * 1024, /* of what is the same in every unit */
    ROOM_FIRST = 16 * 1024,
    ROOM_KEPT = 256 * 1024, /* a larger buffer is not kept */
    CUT_LEAST = 64,         /* bytes: a text is not cut to less */
};

/*
 * The envelopes of the three signals have the same members in the same places, so one set of types
 * builds all of them; protobuf-c itself reads by the descriptor's offsets.
 */
#define SAME(a, b, member) \
    _Static_assert(offsetof(a, member) == offsetof(b, member), "the envelopes differ")
#define SAME_ENVELOPES(X, x)                                                                     \
    _Static_assert(sizeof(Otlp__Scope##X) == sizeof(Otlp__ScopeSpans), "the envelopes differ");  \
    _Static_assert(sizeof(Otlp__Resource##X) == sizeof(Otlp__ResourceSpans), "and so do these"); \
    SAME(Otlp__Scope##X, Otlp__ScopeSpans, scope);                                               \
    SAME(Otlp__Scope##X, Otlp__ScopeSpans, schema_url);                                          \
    SAME(Otlp__Resource##X, Otlp__ResourceSpans, resource);                                      \
    SAME(Otlp__Resource##X, Otlp__ResourceSpans, schema_url);                                    \
    _Static_assert(offsetof(Otlp__Resource##X, scope_##x) ==                                     \
                       offsetof(Otlp__ResourceSpans, scope_spans),                               \
                   "the envelopes differ")
SAME_ENVELOPES(Metrics, metrics);
SAME_ENVELOPES(Logs, logs);

static const struct shape {
    const ProtobufCMessageDescriptor *request, *resource, *scope, *item;
} shapes[SIGNAL_COUNT] = {
    [SIGNAL_METRICS] = {&otlp__export_metrics_service_request__descriptor,
                        &otlp__resource_metrics__descriptor, &otlp__scope_metrics__descriptor,
                        &otlp__metric__descriptor},
    [SIGNAL_LOGS] = {&otlp__export_logs_service_request__descriptor,
                     &otlp__resource_logs__descriptor, &otlp__scope_logs__descriptor,
                     &otlp__log_record__descriptor},
    [SIGNAL_TRACES] = {&otlp__export_trace_service_request__descriptor,
                       &otlp__resource_spans__descriptor, &otlp__scope_spans__descriptor,
                       &otlp__span__descriptor},
};

/* Where a unit is written: kept from batch to batch, for fresh memory costs more than encoding. */
struct buffer {
    size_t room;
    char data[];
};
static struct buffer *spare;

struct scope {
    const struct telemetry_scope *of; /* NULL: items that name none */
    Otlp__InstrumentationScope *message;
    size_t count, filled; /* of the unit under construction */
    Otlp__ScopeSpans *envelope;
};

struct encoding {
    const struct batch *batch;
    const struct shape *shape;
    struct tree base; /* resource and scopes: the same in every unit */
    struct tree unit;
    Otlp__Resource *resource;
    struct scope *scopes;
    size_t scope_count, scope_room;
    uint32_t *scope_of; /* by metric, record or span */
    bool json, lines;
    size_t unit_max;
    struct buffer *buffer;
    size_t left_out;
    sink_emit *emit;
    void *context;
};

static const struct text schema_url = {TELEMETRY_SCHEMA_URL, sizeof(TELEMETRY_SCHEMA_URL) - 1};

/* ------------------------------------------------------------------ resource and scopes */

static const struct telemetry_scope *item_scope(const struct batch *b, size_t i)
{
    switch (b->signal) {
    case SIGNAL_METRICS:
        return b->metrics[i].scope;
    case SIGNAL_LOGS:
        return b->logs[i].scope;
    default:
        return b->spans[i].scope;
    }
}

static bool same_text(struct text a, struct text b)
{
    return a.length == b.length && (!a.length || memcmp(a.data, b.data, a.length) == 0);
}

static bool same_scope(const struct telemetry_scope *a, const struct telemetry_scope *b)
{
    if (a == b || !a || !b)
        return a == b;
    return same_text(a->name, b->name) && same_text(a->version, b->version);
}

static bool scope_add(struct encoding *e, const struct telemetry_scope *of)
{
    struct scope *s;

    if (e->scope_count == e->scope_room) {
        size_t room = e->scope_room ? 2 * e->scope_room : 8;
        s = tree_take(&e->base, room * sizeof(*s));
        if (!s)
            return false;
        if (e->scope_count)
            memcpy(s, e->scopes, e->scope_count * sizeof(*s));
        e->scopes = s;
        e->scope_room = room;
    }
    s = &e->scopes[e->scope_count++];
    s->of = of;
    if (!of)
        return true;
    s->message = tree_messages(&e->base, &otlp__instrumentation_scope__descriptor, 1, NULL);
    if (!s->message)
        return false;
    s->message->name = tree_name(&e->base, of->name);
    s->message->version = tree_name(&e->base, of->version);
    return true;
}

static bool find_scopes(struct encoding *e)
{
    size_t count = e->batch->count;

    if (count > UINT32_MAX / sizeof(*e->scope_of))
        return false;
    e->scope_of = tree_take(&e->base, count * sizeof(*e->scope_of));
    if (!e->scope_of)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct telemetry_scope *of = item_scope(e->batch, i);
        size_t n = 0;
        while (n < e->scope_count && e->scopes[n].of != of && !same_scope(e->scopes[n].of, of))
            n++;
        if (n == e->scope_count && !scope_add(e, of))
            return false;
        e->scope_of[i] = (uint32_t)n;
    }
    return true;
}

static bool has_keys(const struct attributes *attributes, const struct conf_list *keys)
{
    size_t found = 0;

    for (size_t k = 0; k < keys->count; k++) {
        size_t i = 0;
        while (i < attributes->count && !text_is(attributes->items[i].key, keys->items[k]))
            i++;
        found += i < attributes->count;
    }
    return found == keys->count;
}

static size_t key_list(struct tree *t, const struct conf_list *keys, ProtobufCBinaryData **out)
{
    ProtobufCBinaryData *all = keys->count ? tree_take(t, keys->count * sizeof(*all)) : NULL;

    *out = all;
    for (size_t i = 0; all && i < keys->count; i++)
        all[i] = tree_name(t, text_of(keys->items[i]));
    return all ? keys->count : 0;
}

/* Those whose attributes the resource has: a setting may have taken one away. */
static void entity_refs(struct tree *t, const struct attributes *attributes, Otlp__Resource *to)
{
    const struct conf *conf = t->conf;
    Otlp__EntityRef *refs =
        tree_messages(t, &otlp__entity_ref__descriptor, conf->entity_count, &to->entity_refs);

    for (size_t i = 0; refs && i < conf->entity_count; i++) {
        const struct conf_entity *e = &conf->entities[i];
        Otlp__EntityRef *ref = &refs[to->n_entity_refs];
        if (!has_keys(attributes, &e->id) || !has_keys(attributes, &e->description))
            continue;
        ref->type = tree_name(t, text_of(e->type));
        ref->schema_url = tree_name(t, text_of(e->schema_url));
        ref->n_id_keys = key_list(t, &e->id, &ref->id_keys);
        ref->n_description_keys = key_list(t, &e->description, &ref->description_keys);
        to->n_entity_refs++;
    }
}

static bool make_base(struct encoding *e)
{
    const struct resource *resource = e->batch->resource;

    e->resource = tree_messages(&e->base, &otlp__resource__descriptor, 1, NULL);
    if (!e->resource)
        return false;
    if (resource) {
        struct tree_attributes a =
            tree_attributes(&e->base, &resource->attributes, SAID_OF_RESOURCE);
        e->resource->n_attributes = a.count;
        e->resource->attributes = a.items;
        e->resource->dropped_attributes_count = a.dropped;
        entity_refs(&e->base, &resource->attributes, e->resource);
    }
    return find_scopes(e) && !e->base.full;
}

/* ------------------------------------------------------------------ one unit's tree */

/* A run of items: of metrics, points counted through all metrics. */
struct run {
    size_t first, count;
};

/* The metrics, records or spans that a run touches; of the first metric, the points before it. */
struct entries {
    size_t first, count;
    size_t skip;
};

static struct entries entries_of(const struct batch *b, struct run run)
{
    struct entries out = {run.first, run.count, 0};

    if (b->signal != SIGNAL_METRICS)
        return out;
    size_t at = 0, i = 0;
    while (run.first - at >= b->metrics[i].count)
        at += b->metrics[i++].count;
    out.first = i;
    out.skip = run.first - at;
    while (at < run.first + run.count)
        at += b->metrics[i++].count;
    out.count = i - out.first;
    return out;
}

/* A metric without points is not sent. */
static bool is_empty(const struct batch *b, size_t i)
{
    return b->signal == SIGNAL_METRICS && !b->metrics[i].count;
}

/* Envelopes for the scopes that the unit has something of. */
static bool make_scopes(struct encoding *e, const struct entries *entries, Otlp__ResourceSpans *r)
{
    size_t used = 0;
    Otlp__ScopeSpans *envelopes;

    for (size_t n = 0; n < e->scope_count; n++)
        e->scopes[n].count = e->scopes[n].filled = 0;
    for (size_t i = entries->first; i < entries->first + entries->count; i++) {
        if (!is_empty(e->batch, i))
            used += e->scopes[e->scope_of[i]].count++ == 0;
    }
    envelopes = tree_messages(&e->unit, e->shape->scope, used, &r->scope_spans);
    if (!envelopes)
        return false;
    r->n_scope_spans = used;
    for (size_t n = 0; n < e->scope_count; n++) {
        struct scope *s = &e->scopes[n];
        if (!s->count)
            continue;
        s->envelope = envelopes++;
        s->envelope->scope = s->message;
        s->envelope->schema_url = tree_name(&e->unit, schema_url);
        s->envelope->spans = tree_take(&e->unit, s->count * sizeof(void *));
        if (!s->envelope->spans)
            return false;
        s->envelope->n_spans = s->count;
    }
    return true;
}

static void fill(struct encoding *e, const struct entries *entries, struct run run, char *items)
{
    const struct batch *b = e->batch;
    size_t skip = entries->skip, left = run.count;

    for (size_t i = 0; i < entries->count && !e->unit.full; i++) {
        size_t n = entries->first + i;
        void *item = items + i * e->shape->item->sizeof_message;
        struct scope *s = &e->scopes[e->scope_of[n]];
        if (is_empty(b, n))
            continue;
        s->envelope->spans[s->filled++] = item;
        if (b->signal == SIGNAL_METRICS) {
            size_t points = b->metrics[n].count - skip;
            points = points < left ? points : left;
            tree_metric(&e->unit, &b->metrics[n], skip, points, item);
            left -= points;
            skip = 0;
        } else if (b->signal == SIGNAL_LOGS) {
            tree_record(&e->unit, &b->logs[n], item);
        } else {
            tree_span(&e->unit, &b->spans[n], item);
        }
    }
}

/* The request that carries a run; NULL: the arena does not hold it. */
static const ProtobufCMessage *make_request(struct encoding *e, struct run run)
{
    struct entries entries = entries_of(e->batch, run);
    struct tree *t = &e->unit;

    arena_reset(t->arena);
    t->full = false;
    Otlp__ExportTraceServiceRequest *request = tree_messages(t, e->shape->request, 1, NULL);
    if (!request)
        return NULL;
    Otlp__ResourceSpans *r = tree_messages(t, e->shape->resource, 1, &request->resource_spans);
    char *items = tree_messages(t, e->shape->item, entries.count, NULL);
    if (!r || !items)
        return NULL;
    request->n_resource_spans = 1;
    r->resource = e->resource;
    r->schema_url = tree_name(t, schema_url);
    if (!make_scopes(e, &entries, r))
        return NULL;
    fill(e, &entries, run, items);
    return t->full ? NULL : &request->base;
}

/* ------------------------------------------------------------------ one unit's bytes */

static bool buffer_room(struct encoding *e, size_t room)
{
    if (e->buffer && e->buffer->room >= room)
        return true;
    free(e->buffer);
    e->buffer = malloc(sizeof(*e->buffer) + room);
    if (e->buffer)
        e->buffer->room = room;
    return e->buffer;
}

/* Each returns the length, or 0: it does not fit. */
static size_t write_protobuf(struct encoding *e, const ProtobufCMessage *request)
{
    size_t length = protobuf_c_message_get_packed_size(request);

    if (length > e->unit_max || !buffer_room(e, length < ROOM_FIRST ? ROOM_FIRST : length))
        return 0;
    return protobuf_c_message_pack(request, (uint8_t *)e->buffer->data);
}

static size_t write_json(struct encoding *e, const ProtobufCMessage *request)
{
    size_t room = e->buffer ? e->buffer->room : ROOM_FIRST;

    for (;; room *= 2) {
        if (!buffer_room(e, room))
            return 0;
        struct json j = {.data = e->buffer->data};
        j.room = e->buffer->room < e->unit_max ? e->buffer->room : e->unit_max;
        json_message(&j, request);
        if (e->lines)
            JSON_RAW(&j, "\n");
        if (!j.full)
            return j.length;
        if (j.room == e->unit_max)
            return 0;
        room = e->buffer->room;
    }
}

static bool write_unit(struct encoding *e, struct run run)
{
    const ProtobufCMessage *request = make_request(e, run);
    size_t length = 0;

    if (request)
        length = e->json ? write_json(e, request) : write_protobuf(e, request);
    if (!length)
        return false;
    e->emit(e->context, e->buffer->data, length, run.count);
    return true;
}

/* ------------------------------------------------------------------ units */

/*
 * One item that is too large: its long texts are cut. Not a point's: its attributes are what tells
 * it from another, and two must not become one.
 */
static void write_cut(struct encoding *e, struct run run)
{
    bool done = false;

    for (size_t max = e->unit_max / 2; max >= CUT_LEAST && !done; max /= 2) {
        if (e->batch->signal == SIGNAL_METRICS)
            break;
        e->unit.text_max = max;
        done = write_unit(e, run);
    }
    e->unit.text_max = 0;
    if (!done)
        e->left_out++;
}

static void write_run(struct encoding *e, struct run run)
{
    if (write_unit(e, run))
        return;
    if (run.count == 1) {
        write_cut(e, run);
        return;
    }
    write_run(e, (struct run){run.first, run.count / 2});
    write_run(e, (struct run){run.first + run.count / 2, run.count - run.count / 2});
}

static void write_all(struct encoding *e, size_t items, size_t most)
{
    if (!most || most > items)
        most = items;
    e->buffer = __atomic_exchange_n(&spare, NULL, __ATOMIC_ACQ_REL);
    for (size_t first = 0; first < items; first += most)
        write_run(e, (struct run){first, items - first < most ? items - first : most});
    if (e->buffer && e->buffer->room > ROOM_KEPT) {
        free(e->buffer);
        e->buffer = NULL;
    }
    if (e->buffer)
        free(__atomic_exchange_n(&spare, e->buffer, __ATOMIC_ACQ_REL));
}

static size_t encode(struct encoding *e, const struct conf *conf)
{
    size_t items = batch_items(e->batch);

    if (!items)
        return 0;
    e->left_out = items;
    e->shape = &shapes[e->batch->signal];
    e->base = (struct tree){.arena = arena_new(BASE_MAX), .conf = conf};
    e->unit = (struct tree){.arena = arena_new(TREE_MAX), .conf = conf};
    if (e->base.arena && e->unit.arena && make_base(e)) {
        e->left_out = 0;
        write_all(e, items, conf->otlp[e->batch->signal].batch);
    }
    arena_free(e->unit.arena);
    arena_free(e->base.arena);
    return e->left_out;
}

static size_t otlp_encode(const struct batch *batch, const struct conf *conf, size_t unit_max,
                          sink_emit *emit, void *context)
{
    struct encoding e = {.batch = batch,
                         .unit_max = unit_max,
                         .json = conf->otlp[batch->signal].protocol == OTLP_JSON,
                         .emit = emit,
                         .context = context};

    return encode(&e, conf);
}

size_t otlp_json_lines(const struct batch *batch, const struct conf *conf, size_t unit_max,
                       sink_emit *emit, void *context)
{
    struct encoding e = {.batch = batch,
                         .unit_max = unit_max,
                         .json = true,
                         .lines = true,
                         .emit = emit,
                         .context = context};

    return encode(&e, conf);
}

const struct sink_encoder otlp_encoder = {
    .name = "otlp",
    .temporality = TEMPORALITY_CUMULATIVE,
    .encode = otlp_encode,
    .whole = true,
    .judge = otlp_judge,
};

const struct sink_encoder otlp_lines_encoder = {
    .name = "otlp-lines",
    .temporality = TEMPORALITY_DELTA,
    .encode = otlp_json_lines,
};
