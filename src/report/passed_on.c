/*
 * Proxies that hand a request's traceparent on as it came: what they ask their upstream for hangs
 * below their own span, not beside it, even where the thread's context did not last (a handshake
 * with the upstream came in between) or capture could not read it (HTTP/2).
 */
#include <string.h>

#include "report/fold_trace.h"

static bool is_of(const struct passing *p, const struct trace_ids *said)
{
    return p->used && !memcmp(p->said.trace_id, said->trace_id, 16) &&
           !memcmp(p->said.parent_id, said->parent_id, 8);
}

void passing_begins(struct fold *f, const struct trace_ids *local, const struct trace_ids *said)
{
    struct traces *t = traces_of(f);
    if (!t)
        return;
    struct passing *p = &t->passing[t->passing_next++ % PASSING];
    *p = (struct passing){.used = true, .local = *local, .said = *said};
}

void passing_ends(struct fold *f, const struct trace_ids *local)
{
    for (unsigned i = 0; f->traces && i < PASSING; i++) {
        struct passing *p = &f->traces->passing[i];
        if (p->used && !memcmp(p->local.span_id, local->span_id, 8))
            p->used = false;
    }
}

void passed_on(struct fold *f, struct trace_ids *ids, const struct trace_ids *said)
{
    static const uint8_t none[8];
    const struct passing *found = NULL;
    /* what hangs below something of this process already is in its place */
    bool as_said =
        !memcmp(ids->trace_id, said->trace_id, 16) && !memcmp(ids->parent_id, said->parent_id, 8);
    if (!f->traces || (!as_said && memcmp(ids->parent_id, none, 8) != 0))
        return;
    for (unsigned i = 0; i < PASSING; i++) {
        const struct passing *p = &f->traces->passing[i];
        if (!is_of(p, said))
            continue;
        if (found)
            return; /* of several that came with one context it is not known which */
        found = p;
    }
    if (!found)
        return;
    memcpy(ids->trace_id, found->local.trace_id, 16);
    memcpy(ids->parent_id, found->local.span_id, 8);
}
