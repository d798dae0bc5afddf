/* Which thread worked on which request when, and what is known of a trace beside its ids. */
#include <stdlib.h>
#include <string.h>

#include "report/fold_trace.h"

struct traces *traces_of(struct fold *f)
{
    if (!f->traces) {
        f->traces = calloc(1, sizeof(*f->traces));
        if (f->traces)
            f->traces->ready_end = &f->traces->ready;
    }
    return f->traces;
}

static struct thread_context *place_of(struct traces *t, int32_t tid)
{
    return &t->context[(uint32_t)tid * 2654435761u % CONTEXTS];
}

/* Two threads that share a place take it from one another: the other's records then have none. */
void context_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    struct traces *t = traces_of(f);
    if (!t || r->payload < sizeof(struct trace_ids))
        return;
    struct thread_context *c = place_of(t, tid);
    c->tid = tid;
    c->number = (uint32_t)r->a;
    c->files = 0;
    memcpy(&c->ids, payload, sizeof(c->ids));
}

struct thread_context *context_place(struct fold *f, const struct record *r, int32_t tid)
{
    uint32_t number = r->flags >> RECORD_CONTEXT_SHIFT;
    if (!number || !f->traces)
        return NULL;
    struct thread_context *c = place_of(f->traces, tid);
    return c->tid == tid && c->number == number ? c : NULL;
}

const struct trace_ids *context_of(struct fold *f, const struct record *r, int32_t tid)
{
    const struct thread_context *c = context_place(f, r, tid);
    return c ? &c->ids : NULL;
}

/* ------------------------------------------------------------------ what came with a trace */

static struct known_trace *known_set(struct traces *t, const uint8_t trace_id[16])
{
    uint32_t hash;
    memcpy(&hash, trace_id + 12, sizeof(hash));
    return &t->known[hash % (KNOWN_TRACES / KNOWN_WAYS) * KNOWN_WAYS];
}

static struct known_trace *known_find(struct traces *t, const uint8_t trace_id[16])
{
    struct known_trace *set = known_set(t, trace_id);
    for (unsigned i = 0; i < KNOWN_WAYS; i++)
        if (set[i].known && !memcmp(set[i].local, trace_id, 16))
            return &set[i];
    return NULL;
}

/* A place for one that is new: the oldest of those whose request is over, or of all. */
static struct known_trace *known_take(struct fold *f, const uint8_t trace_id[16])
{
    struct known_trace *set = known_set(f->traces, trace_id), *oldest = NULL;
    for (unsigned i = 0; i < KNOWN_WAYS; i++) {
        struct known_trace *k = &set[i];
        bool better = !oldest || (oldest->live && !k->live) ||
                      (oldest->live == k->live && k->age < oldest->age);
        if (better)
            oldest = k;
    }
    if (oldest->live)
        f->drops[DROP_STATE]++;
    *oldest = (struct known_trace){.known = true, .live = true, .age = ++f->traces->known_next};
    memcpy(oldest->local, trace_id, 16);
    return oldest;
}

void trace_over(struct fold *f, const struct trace_ids *local)
{
    struct known_trace *k = f->traces ? known_find(f->traces, local->trace_id) : NULL;
    if (k)
        k->live = false;
}

static struct known_state *state_place(struct traces *t, const uint8_t span_id[8])
{
    uint32_t hash;
    memcpy(&hash, span_id, sizeof(hash));
    return &t->state[hash % KNOWN_TRACES];
}

/* Several requests of one trace may each bring another state: it is its span's, not the trace's. */
static void state_learn(struct traces *t, const uint8_t span_id[8], struct text state)
{
    struct known_state *k = state_place(t, span_id);
    char *copy = strndup(state.data, state.length);
    free(k->text);
    k->text = copy;
    memcpy(k->span_id, span_id, 8);
}

static const char *state_of(struct traces *t, const uint8_t span_id[8])
{
    const struct known_state *k = state_place(t, span_id);
    return memcmp(k->span_id, span_id, 8) ? NULL : k->text;
}

void trace_learn(struct fold *f, const struct trace_ids *local, const struct trace_ids *remote,
                 struct text state)
{
    struct traces *t = traces_of(f);
    if (!t)
        return;
    if (state.length)
        state_learn(t, local->span_id, state);
    if (!memcmp(local->trace_id, remote->trace_id, 16))
        return;
    struct known_trace *k = known_find(t, local->trace_id);
    if (!k)
        k = known_take(f, local->trace_id);
    k->remote = *remote;
    if (f->region->sampler != SAMPLER_PARENT) {
        k->remote.flags &= (uint8_t)~TRACE_SAMPLED;
        k->remote.flags |= trace_is_below(f->region, remote->trace_id) ? TRACE_SAMPLED : 0;
    }
    memcpy(k->remote.span_id, local->span_id, 8); /* whose parent it is */
}

void trace_learn_child(struct fold *f, const struct trace_ids *child)
{
    const char *state = f->traces ? state_of(f->traces, child->parent_id) : NULL;
    if (state)
        state_learn(f->traces, child->span_id, text_of(state));
}

struct trace_ids trace_told(struct fold *f, const struct trace_ids *local, struct text *state)
{
    struct trace_ids told = *local;
    *state = (struct text){0};
    if (!f->traces)
        return told;
    const char *own = state_of(f->traces, local->span_id);
    *state = text_of(own ? own : state_of(f->traces, local->parent_id));
    const struct known_trace *k = known_find(f->traces, local->trace_id);
    if (!k)
        return told;
    memcpy(told.trace_id, k->remote.trace_id, 16);
    if (!memcmp(k->remote.span_id, local->span_id, 8)) {
        memcpy(told.parent_id, k->remote.parent_id, 8);
        told.remote = 1;
    }
    told.flags = k->remote.flags;
    return told;
}

void traces_free(struct fold *f)
{
    if (!f->traces)
        return;
    spans_free(f);
    for (unsigned i = 0; i < KNOWN_TRACES; i++)
        free(f->traces->state[i].text);
    if (f->traces->arena)
        arena_free(f->traces->arena);
    free(f->traces);
    f->traces = NULL;
}
