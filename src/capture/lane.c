/* Lanes: bound to a thread, given back, and who is at work on one. */
#include "capture/internal.h"

int lane_outer_gone(const struct lane *lane, uint64_t theirs, uint64_t ours)
{
    int their_alt = theirs - lane->alt_lo < lane->alt_hi - lane->alt_lo;
    int our_alt = ours - lane->alt_lo < lane->alt_hi - lane->alt_lo;
    if (their_alt != our_alt)
        return their_alt; /* a handler leaves the alternate stack by returning or by a jump alone */
    return ours + SIGNAL_FRAME_MIN > theirs;
}

struct lane *lane_bind(struct region_head *region, int32_t pid, int32_t tid)
{
    uint32_t words = (region->lanes + 63) / 64;
    for (uint32_t w = 0; w < words; w++) {
        uint64_t *word = &region->lane_free[w];
        uint64_t free_ones;
        while ((free_ones = __atomic_load_n(word, __ATOMIC_RELAXED)) != 0) {
            unsigned bit = (unsigned)__builtin_ctzll(free_ones);
            uint64_t mask = 1ULL << bit;
            if (!(__atomic_fetch_and(word, ~mask, __ATOMIC_ACQUIRE) & mask))
                continue;
            uint32_t number = w * 64 + bit;
            struct lane *lane = region_lane(region, number);
            lane->number = number; /* written before it is read: one page fault, not two */
            if (lane->forks != region->forks) {
                words_clear(lane, sizeof(*lane));
                lane->forks = region->forks;
            }
            lane->number = number;
            lane->writer = 0;
            lane->counter = 0;
            lane->attention = 0;
            lane->alt_lo = lane->alt_hi = 0;
            lane->context = (struct trace_ids){0};
            lane->context_number = 0;
            lane->pid = pid;
            __atomic_store_n(&lane->tid, tid, __ATOMIC_RELEASE);
            uint32_t high = __atomic_load_n(&region->lanes_high, __ATOMIC_RELAXED);
            while (high <= number &&
                   !__atomic_compare_exchange_n(&region->lanes_high, &high, number + 1, 0,
                                                __ATOMIC_RELEASE, __ATOMIC_RELAXED))
                ;
            return lane;
        }
    }
    drop_count(region, DROP_NO_LANE, 1);
    return NULL;
}

void lane_release(struct region_head *region, struct lane *lane)
{
    uint32_t number = lane->number;
    /* the thread's own end and the sweep for threads that are gone may both come here */
    if (!__atomic_exchange_n(&lane->tid, 0, __ATOMIC_ACQ_REL))
        return;
    __atomic_fetch_or(&region->lane_free[number / 64], 1ULL << number % 64, __ATOMIC_RELEASE);
}

void lane_hand_over(struct region_head *region, struct lane *lane)
{
    (void)lane;
    region_wake(region);
}
