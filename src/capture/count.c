/* Counting, what is rare: first counts, extremes, errors, totals that have to make room. */
#include "capture/internal.h"

enum { SHARED = 255 };

void count_extreme(struct cell *cell, uint64_t ticks)
{
    uint64_t min, max;
    while (ticks < (min = __atomic_load_n(&cell->min, __ATOMIC_RELAXED)) &&
           !own_replace64(&cell->min, min, ticks))
        ;
    while (ticks > (max = __atomic_load_n(&cell->max, __ATOMIC_RELAXED)) &&
           !own_replace64(&cell->max, max, ticks))
        ;
}

/* On the region's own cells any thread may count: locked. There min is 0, too, before the first. */
static void count_shared(struct region_head *region, unsigned op, unsigned kind, uint64_t ticks,
                         uint64_t bytes)
{
    struct cell *cell = &region->shared_cell[op][kind];
    uint64_t least = ticks ? ticks : 1;
    __atomic_store_n(&region->shared_used, 1, __ATOMIC_RELAXED);
    uint64_t min = __atomic_load_n(&cell->min, __ATOMIC_RELAXED);
    while ((!min || least < min) &&
           !__atomic_compare_exchange_n(&cell->min, &min, least, 0, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        ;
    uint64_t max = __atomic_load_n(&cell->max, __ATOMIC_RELAXED);
    while (ticks > max && !__atomic_compare_exchange_n(&cell->max, &max, ticks, 0, __ATOMIC_RELAXED,
                                                       __ATOMIC_RELAXED))
        ;
    __atomic_fetch_add(&cell->bytes, bytes, __ATOMIC_RELAXED);
    __atomic_fetch_add(&cell->ticks, ticks, __ATOMIC_RELAXED);
    __atomic_fetch_add(&cell->bucket[count_bucket(region, ticks)], 1, __ATOMIC_RELAXED);
}

void count_slow(struct region_head *region, struct lane *lane, unsigned op, unsigned kind,
                uint64_t ticks, uint64_t bytes)
{
    if (op >= OP_COUNT || kind >= KIND_COUNT)
        return;
    uint8_t *of = &lane->cell_of[op][kind];
    if (!__atomic_load_n(of, __ATOMIC_RELAXED)) {
        uint32_t n = LANE_CELLS;
        if (lane->next_cell < LANE_CELLS)
            n = own_xadd32(&lane->next_cell, 1);
        if (n < LANE_CELLS) {
            __atomic_store_n(&lane->cell[n].min, ~0ULL, __ATOMIC_RELAXED);
            compiler_barrier();
        }
        /* A handler may have allotted one meanwhile: then that stays, and cell n is never used. */
        own_replace8(of, 0, n < LANE_CELLS ? (uint8_t)(n + 1) : SHARED);
    }
    if (*(volatile uint8_t *)of == SHARED)
        count_shared(region, op, kind, ticks, bytes);
    else
        count_cell(region, lane, op, kind, ticks, bytes);
}

static void error_shared(struct region_head *region, uint32_t key)
{
    __atomic_store_n(&region->shared_used, 1, __ATOMIC_RELAXED);
    uint32_t at = (key ^ key >> 16) % SHARED_ERRORS;
    for (unsigned i = 0; i < SHARED_ERRORS; i++, at = (at + 1) % SHARED_ERRORS) {
        struct error_count *e = &region->shared_error[at];
        uint32_t there = __atomic_load_n(&e->key, __ATOMIC_RELAXED);
        if (!there && __atomic_compare_exchange_n(&e->key, &there, key, 0, __ATOMIC_RELAXED,
                                                  __ATOMIC_RELAXED))
            there = key;
        if (there == key) {
            __atomic_fetch_add(&e->count, 1, __ATOMIC_RELAXED);
            return;
        }
    }
    drop_count(region, DROP_CARDINALITY, 1);
}

void count_remark(struct region_head *region, struct lane *lane, enum op op, int fd, fd_entry entry,
                  uint64_t start, uint64_t end, int64_t result)
{
    unsigned kind = FD_KIND(entry);
    if (kind != KIND_FILE && kind != KIND_DIRECTORY)
        return;
    struct record r = {.type = RECORD_OPERATION,
                       .op = (uint8_t)op,
                       .kind = (uint8_t)kind,
                       .start = start,
                       .end = end,
                       .fd = fd,
                       .generation = FD_GENERATION(entry),
                       .result = result};
    record_write(region, lane, &r, NULL, 0);
}

void count_error(struct region_head *region, struct lane *lane, unsigned op, unsigned kind,
                 int error)
{
    uint32_t key = 1u << 31 | op << 20 | kind << 16 | ((uint32_t)error & 0xffff);
    unsigned at = (op ^ (unsigned)error) % LANE_ERRORS;
    for (unsigned i = 0; i < LANE_ERRORS; i++, at = (at + 1) % LANE_ERRORS) {
        struct error_count *e = &lane->error[at];
        uint32_t there = __atomic_load_n(&e->key, __ATOMIC_RELAXED);
        if (!there) {
            own_replace32(&e->key, 0, key);
            there = __atomic_load_n(&e->key, __ATOMIC_RELAXED);
        }
        if (there == key) {
            lane_add32(&e->count, 1);
            return;
        }
    }
    error_shared(region, key);
}

/* ------------------------------------------------------------------ totals */

static int write_totals(struct region_head *region, struct lane *lane, const struct totals *t)
{
    struct record r = {.type = RECORD_TOTALS,
                       .start = t->last,
                       .end = t->last, /* so that it sorts before the close that comes later */
                       .fd = t->fd,
                       .generation = t->generation};
    struct piece piece = {t, sizeof(*t)};
    return record_try(region, lane, &r, &piece, 1, 0, sizeof(*t));
}

static void copy_totals(struct totals *out, const struct totals *t)
{
    out->fd = (int32_t)((uint32_t)t->fd & ~TOTALS_LEAVING);
    out->generation = t->generation;
    out->read_bytes = t->read_bytes;
    out->write_bytes = t->write_bytes;
    out->read_ops = t->read_ops;
    out->write_ops = t->write_ops;
    out->errors = t->errors;
    out->other_ops = t->other_ops;
    out->ticks = t->ticks;
    out->last = t->last;
    out->claim = t->claim;
    out->spare = 0;
}

/* The reporter may be reading: its look is void, as the claim changes, but no store is torn. */
static void clear_sums(struct totals *t)
{
    uint64_t *const wide[] = {&t->read_bytes, &t->write_bytes, &t->ticks, &t->last};
    uint32_t *const narrow[] = {&t->read_ops, &t->write_ops, &t->errors, &t->other_ops};
    for (unsigned i = 0; i < 4; i++) {
        __atomic_store_n(wide[i], 0, __ATOMIC_RELAXED);
        __atomic_store_n(narrow[i], 0, __ATOMIC_RELAXED);
    }
}

/*
 * Nobody adds to a place whose key says LEAVING, so what the record says of it is all there is. A
 * jump out of here leaves it at that: whoever claims the place next writes the record once more,
 * and drain, which knows the claim, takes what it has already seen off it.
 */
int totals_claim(struct region_head *region, struct lane *lane, struct totals *t, uint64_t key,
                 uint64_t outer)
{
    if (outer && !lane_outer_gone(lane, outer, stack_pointer()))
        return 0;
    if (t->generation) {
        uint64_t was = t->key;
        __atomic_store_n(&t->key, was | TOTALS_LEAVING, __ATOMIC_RELEASE);
        compiler_barrier();
        struct totals leaving;
        copy_totals(&leaving, t);
        if (write_totals(region, lane, &leaving)) {
            __atomic_store_n(&t->key, was & ~(uint64_t)TOTALS_LEAVING, __ATOMIC_RELEASE);
            return 0;
        }
        __atomic_store_n(&t->key, 0, __ATOMIC_RELEASE);
    }
    compiler_barrier();
    clear_sums(t);
    __atomic_store_n(&t->claim, t->claim + 1 ? t->claim + 1 : 1, __ATOMIC_RELEASE);
    __atomic_store_n(&t->key, key, __ATOMIC_RELEASE);
    compiler_barrier();
    return 1;
}

void totals_direct(struct region_head *region, struct lane *lane, uint64_t key, uint64_t end,
                   uint64_t ticks, int64_t result, int direction)
{
    struct totals t = {.key = key, .ticks = ticks, .last = end, .errors = result < 0};
    uint64_t bytes = result > 0 ? (uint64_t)result : 0;
    if (direction == 'r') {
        t.read_ops = 1;
        t.read_bytes = bytes;
    } else if (direction == 'w') {
        t.write_ops = 1;
        t.write_bytes = bytes;
    } else {
        t.other_ops = 1;
    }
    if (write_totals(region, lane, &t))
        drop_count(region, DROP_POOL_EMPTY, 1);
}

int totals_take(struct lane *lane, int fd, uint32_t generation, struct totals *out)
{
    struct totals *t = &lane->totals[(unsigned)fd % LANE_TOTALS];
    uint64_t key = (uint64_t)generation << 32 | (uint32_t)fd;
    uint64_t outer = lane->counter;
    int found = 0, nested = outer && !lane_outer_gone(lane, outer, stack_pointer());
    __atomic_store_n(&lane->counter, nested ? outer : stack_pointer(), __ATOMIC_RELAXED);
    compiler_barrier();
    *out = (struct totals){.key = key};
    if (generation && t->key == key) {
        found = 1;
        if (!nested)
            __atomic_store_n(&t->key, key | TOTALS_LEAVING, __ATOMIC_RELEASE);
        compiler_barrier();
        copy_totals(out, t);
        compiler_barrier();
        /* Under an addition that a handler interrupted the place stays; it is evicted some time. */
        if (!nested)
            __atomic_store_n(&t->key, 0, __ATOMIC_RELEASE);
    }
    compiler_barrier();
    __atomic_store_n(&lane->counter, nested ? outer : 0, __ATOMIC_RELAXED);
    return found;
}
