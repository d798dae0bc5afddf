/* Chunks: from the pool to a lane, from a lane to the reporter, and the reporter's waking. */
#include "capture/internal.h"

#include <linux/futex.h>

#include "os/sys.h"

void region_wake(struct region_head *region)
{
    if (!__atomic_load_n(&region->reporter_sleeps, __ATOMIC_RELAXED) || region->sandboxed)
        return;
    if (__atomic_exchange_n(&region->reporter_sleeps, 0, __ATOMIC_SEQ_CST))
        sys(futex, &region->reporter_sleeps, FUTEX_WAKE, 1, 0, 0, 0);
}

/* Puts a chunk that was not written into back into the pool. */
static void give_back(struct region_head *region, uint32_t i)
{
    struct chunk *chunk = region_chunk(region, i);
    __atomic_store_n(&chunk->head, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&chunk->lane, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&chunk->sequence, 0, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&region->chunks_used, 1, __ATOMIC_RELAXED);
    __atomic_fetch_or(&region->chunk_free[i / 64], 1ULL << i % 64, __ATOMIC_RELEASE);
}

/* An empty chunk, its header filled in; its index plus one, or 0. */
static uint32_t take_free(struct region_head *region, struct lane *lane)
{
    uint32_t words = (region->chunks + 63) / 64;
    uint32_t w = lane->number % words; /* lanes begin at different words, so that few meet */
    for (uint32_t n = 0; n < words; n++, w = w + 1 < words ? w + 1 : 0) {
        uint64_t *word = &region->chunk_free[w];
        uint64_t free_ones;
        while ((free_ones = __atomic_load_n(word, __ATOMIC_RELAXED)) != 0) {
            unsigned bit = (unsigned)__builtin_ctzll(free_ones);
            uint64_t mask = 1ULL << bit;
            if (!(__atomic_fetch_and(word, ~mask, __ATOMIC_ACQUIRE) & mask))
                continue;
            uint32_t i = w * 64 + bit;
            struct chunk *chunk = region_chunk(region, i);
            uint32_t sequence = own_xadd32(&lane->next_sequence, 1);
            __atomic_store_n(&chunk->lane, lane->number, __ATOMIC_RELAXED);
            __atomic_store_n(&chunk->sequence, sequence, __ATOMIC_RELAXED);
            __atomic_store_n(&chunk->head, CHUNK_DATA, __ATOMIC_RELEASE);
            uint32_t used = __atomic_add_fetch(&region->chunks_used, 1, __ATOMIC_RELAXED);
            if (used > region->chunks / 4 * 3)
                region_wake(region); /* many idle threads may hold one each, and none be full */
            return i + 1;
        }
    }
    region_wake(region);
    return 0;
}

uint32_t chunk_change(struct region_head *region, struct lane *lane, uint32_t c)
{
    if (c) {
        uint32_t expected = c;
        if (__atomic_compare_exchange_n(&lane->chunk, &expected, 0, 0, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
            __atomic_fetch_or(&region->chunk_full[(c - 1) / 64], 1ULL << (c - 1) % 64,
                              __ATOMIC_SEQ_CST);
            region_wake(region);
        }
    }
    /* Only now: the reporter takes a chunk only while it is the one that it saw, see drain.c. */
    __atomic_store_n(&lane->reclaim, 0, __ATOMIC_RELEASE);
    uint32_t fresh = take_free(region, lane);
    uint32_t there = 0;
    if (!fresh)
        return __atomic_load_n(&lane->chunk, __ATOMIC_RELAXED);
    if (__atomic_compare_exchange_n(&lane->chunk, &there, fresh, 0, __ATOMIC_SEQ_CST,
                                    __ATOMIC_RELAXED))
        return fresh;
    give_back(region, fresh - 1); /* a signal handler was here meanwhile */
    return there;
}
