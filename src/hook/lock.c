/*
 * mlockall makes every page of the process resident, and our lanes are room for thousands of
 * threads that most programs never have: what no thread uses is kept out of it.
 */
#include "hook/internal.h"

#include <sys/mman.h>

#include "capture/flow.h"
#include "os/sys.h"

enum { PAGE = 4096 };

static uint64_t all_free(const struct region_head *region, uint32_t word)
{
    uint32_t rest = region->lanes - word * 64;
    return rest < 64 ? (1ULL << rest) - 1 : ~0ULL;
}

static uint8_t *lane_address(struct region_head *region, uint32_t word)
{
    return (uint8_t *)region_lane(region, word * 64);
}

uint32_t lock_hold_unused(struct region_head *region)
{
    uint32_t words = (region->lanes + 63) / 64, from = words;
    while (from > 0) {
        uint64_t expected = all_free(region, from - 1);
        if (!__atomic_compare_exchange_n(&region->lane_free[from - 1], &expected, 0, false,
                                         __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            break;
        /* The reporter reads every lane that was ever used, and a fork clears it. */
        if (__atomic_load_n(&region->lanes_high, __ATOMIC_ACQUIRE) > (from - 1) * 64) {
            __atomic_store_n(&region->lane_free[from - 1], expected, __ATOMIC_RELEASE);
            break;
        }
        from--;
    }
    uint8_t *low = lane_address(region, from),
            *high = (uint8_t *)region_lane(region, region->lanes);
    if (low < high)
        sys(mprotect, low, high - low, PROT_NONE);
    return from;
}

/*
 * Flows of descriptors that there never were. A new one that loses what is in these pages meanwhile
 * is met again from its next bytes on, which is a flow less.
 */
static void flows_unlock(void)
{
    if (!flow_table)
        return;
    uintptr_t low = (uintptr_t)flow_table + (uint64_t)fd_high() * FLOW_SIZE;
    uintptr_t high = (uintptr_t)flow_table + (uint64_t)FLOW_MAX * FLOW_SIZE;
    low = (low + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    if (low < high && sys(munlock, low, high - low) == 0)
        sys(madvise, low, high - low, MADV_DONTNEED);
}

void lock_give_back(struct region_head *region, uint32_t from)
{
    flows_unlock();
    uint32_t words = (region->lanes + 63) / 64;
    uint8_t *low = lane_address(region, from),
            *high = (uint8_t *)region_lane(region, region->lanes);
    /* unlocked first: locked pages that become writable are made resident at once */
    if (low >= high || sys(munlock, low, high - low) != 0 ||
        sys(mprotect, low, high - low, PROT_READ | PROT_WRITE) != 0)
        return;
    for (uint32_t w = from; w < words; w++)
        __atomic_store_n(&region->lane_free[w], all_free(region, w), __ATOMIC_RELEASE);
}
