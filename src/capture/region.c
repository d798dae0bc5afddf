/* The region as a whole: laid out, given its clock, and made anew in a forked child. */
#include "capture/internal.h"

#include <errno.h>
#include <time.h>

#include "os/sys.h"

enum { PAGE = 4096 };

static int clock_by_call(int id, void *out)
{
    return (int)sys(clock_gettime, id, out);
}

uint32_t ticks_are_tsc;
int (*ticks_clock)(int, void *) = clock_by_call;

uint64_t ticks_slow(void)
{
    struct timespec t = {0, 0};
    ticks_clock(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* By words: bit by bit, 16,384 lanes took most of a process start. */
static void all_free(uint64_t *bits, uint32_t count)
{
    for (uint32_t w = 0; w < count / 64; w++)
        bits[w] = ~0ULL;
    if (count % 64)
        bits[count / 64] = (1ULL << count % 64) - 1;
}

int region_init(struct region_head *memory, uint64_t size, uint32_t chunks, uint32_t lanes)
{
    uint64_t at = (sizeof(struct region_head) + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    if (!chunks || !lanes || size < at + CHUNK_SIZE + LANE_SIZE)
        return -EINVAL;
    uint64_t room = (size - at - LANE_SIZE) / CHUNK_SIZE;
    if (chunks > CHUNK_MAX)
        chunks = CHUNK_MAX;
    if (chunks > room)
        chunks = (uint32_t)room;
    memory->chunks_at = at;
    memory->lanes_at = at + (uint64_t)chunks * CHUNK_SIZE;
    room = (size - memory->lanes_at) / LANE_SIZE;
    if (lanes > LANES_MAX)
        lanes = LANES_MAX;
    if (lanes > room)
        lanes = (uint32_t)room;
    memory->chunks = chunks;
    memory->lanes = lanes;
    memory->size = size;
    memory->size_of_head = sizeof(struct region_head);
    all_free(memory->chunk_free, chunks);
    all_free(memory->lane_free, lanes);
    struct clock_relation nanoseconds = {.mult = 1ULL << 32};
    region_set_clock(memory, &nanoseconds);
    memory->version = LAYOUT_VERSION;
    memory->magic = LAYOUT_MAGIC;
    return 0;
}

void region_set_clock(struct region_head *region, const struct clock_relation *clock)
{
    static const uint32_t steps[3] = {1, 2, 5};
    uint64_t mult = clock->mult ? clock->mult : 1ULL << 32;

    region->clock = *clock;
    region->clock.mult = mult;
    uint64_t decade = 1000; /* nanoseconds: 1 us */
    for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
        /* the last tick that is not longer; 128 bits by hand, as a library call would be needed */
        uint64_t nano = decade * steps[i % 3];
        uint64_t whole = nano / mult, rest = nano % mult, ticks = whole << 32;
        int bit = 31;
        if (rest >> 32 == 0) { /* the usual clock ticks faster than a nanosecond */
            ticks |= (rest << 32) / mult;
            bit = -1;
        }
        for (; bit >= 0; bit--) {
            rest <<= 1;
            if (rest >= mult) {
                rest -= mult;
                ticks |= 1ULL << bit;
            }
        }
        region->bound_ticks[i] = ticks;
        if (i % 3 == 2)
            decade *= 10;
    }
    region->bound_ticks[HISTOGRAM_BOUNDS] = ~0ULL;
    region->bound_ticks[HISTOGRAM_BOUNDS + 1] = ~0ULL;
    for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++)
        region->least_ticks[i + 1] = region->bound_ticks[i] + 1;
    unsigned b = 0;
    for (unsigned n = 0; n < 64; n++) {
        while (b < HISTOGRAM_BOUNDS && region->bound_ticks[b] < 1ULL << n)
            b++;
        region->bucket_from[n] = (uint8_t)b;
    }
}

/*
 * What the parent recorded in chunks; only what was used of them is touched. `busy`: the chunk
 * (plus one) that the forking thread's interrupted writer may still write into once its handler,
 * which forked, returns: it stays out of the pool until the reporter finds it.
 */
static void forget_chunks(struct region_head *region, uint32_t busy)
{
    uint32_t words = (region->chunks + 63) / 64;
    for (uint32_t w = 0; w < words; w++) {
        uint64_t all = ~0ULL;
        if (w == words - 1 && region->chunks % 64)
            all = (1ULL << region->chunks % 64) - 1;
        uint64_t used = all & ~region->chunk_free[w];
        for (; used; used &= used - 1) {
            struct chunk *chunk = region_chunk(region, w * 64 + (uint32_t)__builtin_ctzll(used));
            uint32_t head = chunk->head;
            if (head)
                words_clear(chunk, head < CHUNK_SIZE ? (head + 7) & ~7u : CHUNK_SIZE);
        }
        if (busy && (busy - 1) / 64 == w)
            all &= ~(1ULL << (busy - 1) % 64);
        region->chunk_free[w] = all;
        if (region->chunk_full[w])
            region->chunk_full[w] = 0;
    }
    region->chunks_used = busy != 0;
}

/* A page that holds nothing is not written to: that would copy it. */
static void clear_pages(void *at, size_t size)
{
    for (uint8_t *p = at; size; p += PAGE, size -= size < PAGE ? size : PAGE) {
        size_t n = size < PAGE ? size : PAGE;
        if (!words_are_zero(p, n))
            words_clear(p, n);
    }
}

static void keep_lane(struct lane *own, uint32_t forks, int32_t pid, int32_t tid)
{
    own->forks = forks;
    own->chunk = 0;
    own->reclaim = 0;
    own->pid = pid;
    own->tid = tid;
    own->thread_said = 0;
    own->next_sequence = 0;
    own->context_number = 0; /* nobody has told this process's reporter of it */
    own->random[0] = own->random[1] = 0; /* the parent goes on drawing from these */
    for (unsigned i = 0; i < LANE_ERRORS; i++)
        own->error[i] = (struct error_count){0, 0};
    for (unsigned i = 0; i < LANE_TOTALS; i++) {
        if (own->totals[i].claim)
            words_clear(&own->totals[i], sizeof(struct totals));
    }
    /* cells stay allotted to the operations that they are for */
    uint32_t cells = own->next_cell < LANE_CELLS ? own->next_cell : LANE_CELLS;
    for (uint32_t i = 0; i < cells; i++) {
        words_clear(&own->cell[i], sizeof(struct cell));
        own->cell[i].min = ~0ULL;
    }
}

void region_after_fork(struct region_head *region, struct lane *own, int32_t pid, int32_t tid)
{
    forget_chunks(region, own && own->writer ? own->chunk : 0);
    region->forks++;
    region->random_seed =
        trace_mix(region->random_seed ^ ticks_now(), (uint64_t)(uint32_t)pid << 32 | region->forks);
    uint32_t high = region->lanes_high < region->lanes ? region->lanes_high : region->lanes;
    for (uint32_t i = 0; i < high; i++)
        region->lane_free[i / 64] |= 1ULL << i % 64;
    /* Lanes above our own are cleared when they are bound: until then nobody looks at them. */
    region->lanes_high = own ? own->number + 1 : 0;
    for (uint32_t i = 0; own && i < own->number; i++)
        clear_pages(region_lane(region, i), LANE_SIZE);
    if (own) {
        region->lane_free[own->number / 64] &= ~(1ULL << own->number % 64);
        keep_lane(own, region->forks, pid, tid);
    }
    for (unsigned i = 0; i < DROP_COUNT; i++)
        region->drops[i] = 0;
    if (region->shared_used) {
        region->shared_used = 0;
        for (unsigned i = 0; i < SHARED_ERRORS; i++)
            region->shared_error[i] = (struct error_count){0, 0};
        clear_pages(region->shared_cell, sizeof(region->shared_cell));
    }
    region->pid = pid;
    region->late = 0;
    region->reporter_sleeps = 0;
}
