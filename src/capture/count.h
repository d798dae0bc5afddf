/*
 * Counting, the hot path: a handful of instructions after every watched call, inlined into its
 * wrapper; what is rare is in count.c. Part of capture.h, which see.
 */
#ifndef SCOPE_CAPTURE_COUNT_H
#define SCOPE_CAPTURE_COUNT_H

#include "capture/capture.h"
#include "capture/primitive.h"

/* The first count of an operation and kind on a lane (allots a cell), or one on the shared cells.
 */
void count_slow(struct region_head *region, struct lane *lane, unsigned op, unsigned kind,
                uint64_t ticks, uint64_t bytes);
/* Widens the range of a cell: durations that beat what was seen. */
void count_extreme(struct cell *cell, uint64_t ticks);
/* An operation failed with errno `error`. */
void count_error(struct region_head *region, struct lane *lane, unsigned op, unsigned kind,
                 int error);
/*
 * Makes the place `t` that of `key`; `outer` is what lane->counter held. Returns 1, or 0 where a
 * signal handler must not because it interrupted an addition, or there is no room for the record.
 */
int totals_claim(struct region_head *region, struct lane *lane, struct totals *t, uint64_t key,
                 uint64_t outer);
/* One operation's totals as a record of their own. */
void totals_direct(struct region_head *region, struct lane *lane, uint64_t key, uint64_t end,
                   uint64_t ticks, int64_t result, int direction);

/* A file operation within a context that is to be told of by itself, if it is: RECORD_OPERATION. */
void count_remark(struct region_head *region, struct lane *lane, enum op op, int fd, fd_entry entry,
                  uint64_t start, uint64_t end, int64_t result);

/* Whether an operation in a context was slow or failed, so that it gets a span of its own. */
static inline int count_is_remarkable(const struct region_head *region, const struct lane *lane,
                                      uint64_t ticks, int64_t result)
{
    return unlikely(lane->context_number) && region->slow_ticks &&
           (ticks >= region->slow_ticks || result < 0);
}

/* The bucket of a duration: bounds are so far apart that two fall into one power of two at most. */
static inline unsigned count_bucket(const struct region_head *region, uint64_t ticks)
{
    unsigned b = region->bucket_from[63 - __builtin_clzll(ticks | 1)];
    b += ticks > region->bound_ticks[b];
    b += ticks > region->bound_ticks[b];
    return b;
}

static inline uint64_t count_ticks(uint64_t start, uint64_t end)
{
    return likely(end > start) ? end - start : 0; /* counters of two cores may differ by a hair */
}

static inline void count_cell(struct region_head *region, struct lane *lane, unsigned op,
                              unsigned kind, uint64_t ticks, uint64_t bytes)
{
    unsigned at = (unsigned)lane->cell_of[op][kind] - 1;
    if (unlikely(at >= LANE_CELLS)) {
        count_slow(region, lane, op, kind, ticks, bytes);
        return;
    }
    struct cell *cell = &lane->cell[at];
    /* Asking whether it is the same bucket again is a branch, which is foretold; looking the bucket
       up is a chain of loads that the next reading of the clock waits for: 11 ns, measured. */
    unsigned bucket = *(volatile uint32_t *)&cell->recent;
    if (unlikely(bucket > HISTOGRAM_BOUNDS || ticks < region->least_ticks[bucket] ||
                 ticks > region->bound_ticks[bucket]))
        *(volatile uint32_t *)&cell->recent = bucket = count_bucket(region, ticks);
    if (bytes)
        lane_add64(&cell->bytes, bytes);
    lane_add64(&cell->ticks, ticks);
    lane_add32(&cell->bucket[bucket], 1);
    if (unlikely(ticks < cell->min || ticks > cell->max))
        count_extreme(cell, ticks);
}

/*
 * One call on an operation and kind. bytes: what moved (0 on failure). error: 0 or a positive
 * errno. Counts, and puts end - start into the histogram. Does nothing unless WATCH_METRICS.
 */
static inline void count_call(struct region_head *region, struct lane *lane, enum op op,
                              enum kind kind, uint64_t start, uint64_t end, uint64_t bytes,
                              int error)
{
    if (unlikely(!(region->watch & WATCH_METRICS)))
        return;
    count_cell(region, lane, op, kind, count_ticks(start, end), bytes);
    if (unlikely(error))
        count_error(region, lane, op, kind, error);
}

/* Adds one operation to the totals of a life of fd. */
static inline void totals_put(struct region_head *region, struct lane *lane, int fd, fd_entry entry,
                              uint64_t end, uint64_t ticks, int64_t result, int direction)
{
    uint64_t key = (entry & 0xffffffff00000000ULL) | (uint32_t)fd;
    struct totals *t = &lane->totals[(unsigned)fd % LANE_TOTALS];
    uint64_t outer = lane->counter;
    *(volatile uint64_t *)&lane->counter = stack_pointer();
    compiler_barrier();
    if (unlikely(*(volatile uint64_t *)&t->key != key)) {
        if (!totals_claim(region, lane, t, key, outer)) {
            totals_direct(region, lane, key, end, ticks, result, direction);
            goto out;
        }
        outer = 0;
    }
    if (direction == 'r') {
        lane_add32(&t->read_ops, 1);
        if (result > 0)
            lane_add64(&t->read_bytes, (uint64_t)result);
    } else if (direction == 'w') {
        lane_add32(&t->write_ops, 1);
        if (result > 0)
            lane_add64(&t->write_bytes, (uint64_t)result);
    } else {
        lane_add32(&t->other_ops, 1);
    }
    if (unlikely(result < 0))
        lane_add32(&t->errors, 1);
    lane_add64(&t->ticks, ticks);
    __atomic_store_n(&t->last, end, __ATOMIC_RELAXED);
out:
    compiler_barrier();
    *(volatile uint64_t *)&lane->counter = outer;
}

/* The descriptor was not open, so this says nothing about a life of it. */
#define COUNT_EBADF 9

/*
 * The same for a call on a descriptor: counts, and adds to the descriptor's totals. direction:
 * 'r' or 'w' for bytes read and written, 0 for other operations. An entry of 0 (never met) counts
 * as KIND_UNKNOWN and has no totals.
 */
static inline void count_io(struct region_head *region, struct lane *lane, enum op op, int fd,
                            fd_entry entry, uint64_t start, uint64_t end, int64_t result,
                            int direction)
{
    uint32_t watch = region->watch;
    uint64_t ticks = count_ticks(start, end);
    if (unlikely(!(watch & (WATCH_METRICS | WATCH_FILES | WATCH_SOCKETS)) || entry & FD_IGNORED))
        return;
    if (likely(watch & WATCH_METRICS)) {
        unsigned kind = likely(entry) ? FD_KIND(entry) : KIND_UNKNOWN;
        count_cell(region, lane, op, kind, ticks, direction && result > 0 ? (uint64_t)result : 0);
        if (unlikely(result < 0))
            count_error(region, lane, op, kind, (int)-result);
    }
    if (count_is_remarkable(region, lane, ticks, result))
        count_remark(region, lane, op, fd, entry, start, end, result);
    if (watch & WATCH_NO_TOTALS)
        return;
    if (likely(FD_GENERATION(entry) && result != -COUNT_EBADF))
        totals_put(region, lane, fd, entry, end, ticks, result, direction);
}

/*
 * The second descriptor of a copy (sendfile, splice, copy_file_range): adds to that descriptor's
 * totals as count_io does, and counts no second operation.
 */
static inline void totals_add(struct region_head *region, struct lane *lane, int fd, fd_entry entry,
                              uint64_t end, int64_t result, int direction)
{
    if (FD_GENERATION(entry) && !(entry & FD_IGNORED) && result != -COUNT_EBADF &&
        region->watch & (WATCH_METRICS | WATCH_FILES | WATCH_SOCKETS) &&
        !(region->watch & WATCH_NO_TOTALS))
        totals_put(region, lane, fd, entry, end, 0, result, direction);
}

/*
 * Takes what this lane holds of a life of fd out of its totals, for RECORD_CLOSE. Returns 1 and
 * fills *out, or 0 with *out zero but for fd and generation when the lane holds nothing of it. What
 * other lanes hold is fetched by drain when it meets the RECORD_CLOSE.
 */
int totals_take(struct lane *lane, int fd, uint32_t generation, struct totals *out);

#endif
