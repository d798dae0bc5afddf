/*
 * Descriptors' totals: what lanes hold of them, and what of that is news.
 *
 * A place in a lane's totals has one tenant after the other, each with a number (claim); its sums
 * only grow. They are read where they lie, and once more in the record that evicts them: what was
 * handed out before is taken off, so that the fold may add up all it is given, in whatever order.
 */
#include "report/drain_internal.h"

#include <stdlib.h>

enum { SEEN_MAX = 4 * LANE_TOTALS };

static uint32_t place_of(const struct totals *t)
{
    return (uint32_t)t->fd % LANE_TOTALS;
}

/* The memory of this tenancy, forgetting those before it whose record has come. */
static struct totals_seen *seen_find(struct drain_lane *lane, const struct totals *t, bool final)
{
    struct totals_seen *found = NULL;
    for (uint32_t i = 0; i < lane->seen_count;) {
        struct totals_seen *s = &lane->seen[i];
        if (s->place == place_of(t)) {
            if (s->sum.claim == t->claim) {
                found = s;
            } else if (final && (int32_t)(s->sum.claim - t->claim) < 0) {
                *s = lane->seen[--lane->seen_count];
                if (found == &lane->seen[lane->seen_count])
                    found = s;
                continue;
            }
        }
        i++;
    }
    return found;
}

static struct totals_seen *seen_add(struct drain_lane *lane, const struct totals *t)
{
    if (lane->seen_count == lane->seen_room) {
        uint32_t room = lane->seen_room ? lane->seen_room * 2 : 4;
        if (room > SEEN_MAX)
            return NULL;
        struct totals_seen *seen = realloc(lane->seen, room * sizeof(*seen));
        if (!seen)
            return NULL;
        lane->seen = seen;
        lane->seen_room = room;
    }
    struct totals_seen *s = &lane->seen[lane->seen_count++];
    *s = (struct totals_seen){.place = place_of(t)};
    s->sum.claim = t->claim;
    return s;
}

/* Leaves in *t what is new in it since *seen, and notes it there. */
static bool subtract(struct totals *t, struct totals *seen)
{
    struct totals now = *t;
    if ((int64_t)(t->ticks - seen->ticks) < 0) /* older than what was read since */
        now = *t = *seen;
    t->read_bytes -= seen->read_bytes;
    t->write_bytes -= seen->write_bytes;
    t->read_ops -= seen->read_ops;
    t->write_ops -= seen->write_ops;
    t->errors -= seen->errors;
    t->other_ops -= seen->other_ops;
    t->ticks -= seen->ticks;
    t->claim = 0;
    *seen = now;
    return t->read_bytes || t->write_bytes || t->read_ops || t->write_ops || t->errors ||
           t->other_ops || t->ticks;
}

bool totals_news(struct drain *d, uint32_t lane, struct totals *t)
{
    if (!t->claim) /* amounts, not sums */
        return true;
    struct drain_lane *l = &d->lane[lane];
    struct totals_seen *s = seen_find(l, t, true);
    if (!s)
        s = seen_add(l, t);
    if (!s) {
        t->claim = 0;
        return true;
    }
    return subtract(t, &s->sum);
}

void totals_closing(struct drain *d, const struct record *record)
{
    uint64_t key = (uint64_t)record->generation << 32 | (uint32_t)record->fd;
    if (d->close_count < CLOSES_MAX)
        d->closes[d->close_count] = key;
    d->close_count++;
}

/* A consistent copy of what stands in a place; false when it changes hands just now. */
static bool place_read(const struct totals *place, struct totals *out)
{
    uint32_t claim = __atomic_load_n(&place->claim, __ATOMIC_ACQUIRE);
    uint64_t key = __atomic_load_n(&place->key, __ATOMIC_ACQUIRE);
    out->key = key & ~(uint64_t)TOTALS_LEAVING;
    out->read_bytes = __atomic_load_n(&place->read_bytes, __ATOMIC_ACQUIRE);
    out->write_bytes = __atomic_load_n(&place->write_bytes, __ATOMIC_ACQUIRE);
    out->read_ops = __atomic_load_n(&place->read_ops, __ATOMIC_ACQUIRE);
    out->write_ops = __atomic_load_n(&place->write_ops, __ATOMIC_ACQUIRE);
    out->errors = __atomic_load_n(&place->errors, __ATOMIC_ACQUIRE);
    out->other_ops = __atomic_load_n(&place->other_ops, __ATOMIC_ACQUIRE);
    out->ticks = __atomic_load_n(&place->ticks, __ATOMIC_ACQUIRE);
    out->last = __atomic_load_n(&place->last, __ATOMIC_ACQUIRE);
    out->claim = claim;
    out->spare = 0;
    uint64_t after = __atomic_load_n(&place->key, __ATOMIC_ACQUIRE) & ~(uint64_t)TOTALS_LEAVING;
    return claim && out->generation && after == out->key &&
           __atomic_load_n(&place->claim, __ATOMIC_ACQUIRE) == claim;
}

static void look_at(struct drain *d, uint32_t number, uint32_t place)
{
    struct lane *lane = drain_lane_at(d, number);
    struct totals t;
    if (!place_read(&lane->totals[place], &t) || place_of(&t) != place ||
        !drain_lane_room(d, number))
        return;
    struct drain_lane *l = &d->lane[number];
    struct totals_seen *s = seen_find(l, &t, false);
    if (!s)
        s = seen_add(l, &t);
    if (!s || !subtract(&t, &s->sum))
        return;
    struct record r = {.type = RECORD_TOTALS,
                       .start = t.last,
                       .end = t.last,
                       .fd = t.fd,
                       .generation = t.generation,
                       .payload = sizeof(t)};
    struct record *copy = batch_add(&d->batch, &r, l->tid);
    if (copy)
        *(struct totals *)(copy + 1) = t;
}

void totals_look(struct drain *d, bool all)
{
    uint32_t high = __atomic_load_n(&d->region->lanes_high, __ATOMIC_ACQUIRE);
    if (d->close_count > CLOSES_MAX)
        all = true;
    for (uint32_t i = 0; i < high && i < d->lanes; i++) {
        const struct lane *lane = drain_lane_at(d, i);
        for (uint32_t p = 0; all && p < LANE_TOTALS; p++) {
            if (__atomic_load_n(&lane->totals[p].key, __ATOMIC_RELAXED))
                look_at(d, i, p);
        }
        for (uint32_t c = 0; !all && c < d->close_count; c++) {
            uint32_t p = (uint32_t)d->closes[c] % LANE_TOTALS;
            uint64_t key = __atomic_load_n(&lane->totals[p].key, __ATOMIC_RELAXED);
            if ((key & ~(uint64_t)TOTALS_LEAVING) == d->closes[c])
                look_at(d, i, p);
        }
    }
}
