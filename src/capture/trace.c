/* Contexts and ids: what a new span's parent is, and its ids, drawn without a lock or a call. */
#include "capture/internal.h"
#include "capture/turn.h"

#define GAMMA 0x9e3779b97f4a7c15ULL /* odd: a counter that steps by it meets every value once */

/* A permutation of 64-bit words in which every bit of the input moves about half of the output. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93ULL;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93ULL;
    return x ^ x >> 32;
}

uint64_t trace_mix(uint64_t seed, uint64_t salt)
{
    uint64_t mixed = mix(seed + mix(salt + GAMMA));
    return mixed ? mixed : GAMMA;
}

/*
 * random[0] is a key of the lane, random[1] a counter. A handler that draws between two
 * instructions of ours takes another value of the counter, so that no two draws of a lane are the
 * same. The key is written last: whoever sees it sees the counter, too.
 */
static void seed(const struct region_head *region, struct lane *lane)
{
    uint64_t ticks = ticks_now();
    uint64_t place = (uint64_t)lane->number << 32 | (uint32_t)lane->tid;
    uint64_t counter = trace_mix(region->random_seed, ticks);
    uint64_t key = trace_mix(trace_mix(region->random_seed, place), ticks);

    own_replace64(&lane->random[1], 0, counter);
    compiler_barrier();
    own_replace64(&lane->random[0], 0, key);
}

static uint64_t draw(const struct region_head *region, struct lane *lane, uint64_t which)
{
    uint64_t frame;

    if (!lane) /* threads that got none: the place of the frame tells them apart at one moment */
        return trace_mix(trace_mix(region->random_seed, ticks_now()),
                         trace_mix((uintptr_t)&frame, which));
    if (unlikely(!__atomic_load_n(&lane->random[0], __ATOMIC_RELAXED)))
        seed(region, lane);
    uint64_t counter = own_xadd64(&lane->random[1], GAMMA);
    return mix(mix(counter) + lane->random[0]);
}

static void put(uint8_t *to, uint64_t word)
{
    word = word ? word : GAMMA; /* never zero: that says "none" */
    __builtin_memcpy(to, &word, sizeof(word));
}

/* A context that lasts too long, or has had too many children, is one that was never left. */
static int adopts(const struct region_head *region, const struct lane *lane)
{
    uint64_t now = ticks_now();
    return turn_holds(lane, now) &&
           (!region->adopt_children || lane->context_children < region->adopt_children) &&
           (!region->adopt_ticks || now - lane->context_since < region->adopt_ticks);
}

void trace_current(const struct region_head *region, const struct lane *lane, struct trace_ids *out)
{
    *out = lane && trace_has_trace(&lane->context) && adopts(region, lane) ? lane->context
                                                                           : region->process;
}

/* The last 7 bytes, as W3C says that they are random and OpenTelemetry's samplers read them. */
int trace_is_below(const struct region_head *region, const uint8_t trace_id[16])
{
    uint64_t number;
    __builtin_memcpy(&number, trace_id + 8, sizeof(number));
    number = __builtin_bswap64(number) & 0xffffffffffffffULL;
    return number < region->sample_below;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "trace_is_below");

void trace_begin(const struct region_head *region, struct lane *lane,
                 const struct trace_ids *parent, struct trace_ids *out)
{
    struct trace_ids ids = {0};
    int sampled;

    if (trace_has_trace(parent)) {
        int received = trace_is_none(parent);
        __builtin_memcpy(ids.trace_id, parent->trace_id, 16);
        __builtin_memcpy(ids.parent_id, received ? parent->parent_id : parent->span_id, 8);
        ids.remote = (uint8_t)received;
        ids.local = parent->local;
        ids.flags = parent->flags & TRACE_RANDOM;
        sampled = region->sampler == SAMPLER_PARENT ? parent->flags & TRACE_SAMPLED
                                                    : trace_is_below(region, ids.trace_id);
    } else {
        put(ids.trace_id, draw(region, lane, 1));
        put(ids.trace_id + 8, draw(region, lane, 2));
        ids.flags = TRACE_RANDOM;
        sampled = trace_is_below(region, ids.trace_id);
    }
    put(ids.span_id, draw(region, lane, 3));
    if (sampled)
        ids.flags |= TRACE_SAMPLED;
    *out = ids;
}
