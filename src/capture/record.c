/* Records: a slot reserved, filled, committed. */
#include "capture/internal.h"
#include "capture/turn.h"

#include <errno.h>

enum {
    TRIES = 8, /* signal handlers can fill each new chunk before we get a slot in it */
    WRITERS_MASK = 63,
    SLOT_MAX = CHUNK_SIZE - CHUNK_DATA,
};
_Static_assert(sizeof(struct record) + RECORD_PAYLOAD_MAX <= SLOT_MAX, "the longest record fits");

/* A slot of `length` bytes in the lane's chunk, not yet opened; NULL when there is no room. */
static struct record *reserve(struct region_head *region, struct lane *lane, uint32_t length,
                              uint32_t depth)
{
    for (unsigned i = 0; i < TRIES; i++) {
        uint32_t c = __atomic_load_n(&lane->chunk, __ATOMIC_RELAXED);
        if (unlikely(!c || __atomic_load_n(&lane->reclaim, __ATOMIC_RELAXED))) {
            c = chunk_change(region, lane, c);
            if (!c)
                return NULL;
        }
        struct chunk *chunk = region_chunk(region, c - 1);
        uint32_t at = own_xadd32(&chunk->head, length);
        if (likely(at <= CHUNK_SIZE - length))
            return (struct record *)((uint8_t *)chunk + at);
        if (at < CHUNK_SIZE) {
            struct record *filler = (struct record *)((uint8_t *)chunk + at);
            __atomic_store_n(&filler->word, (CHUNK_SIZE - at) << 8 | depth << 2 | SLOT_COMMITTED,
                             __ATOMIC_RELEASE);
        }
        if (!chunk_change(region, lane, c))
            return NULL;
    }
    return NULL;
}

static void fill(uint8_t *to, const struct piece *pieces, unsigned count, uint64_t skip,
                 uint32_t length)
{
    for (unsigned i = 0; i < count && length; i++) {
        uint32_t n = pieces[i].length;
        if (skip >= n) {
            skip -= n;
            continue;
        }
        n -= (uint32_t)skip;
        if (n > length)
            n = length;
        bytes_copy(to, (const uint8_t *)pieces[i].data + skip, n);
        skip = 0;
        to += n;
        length -= n;
    }
}

static int record_put(struct region_head *region, struct lane *lane, const struct record *record,
                      const struct piece *pieces, unsigned count, uint64_t skip, uint32_t length)
{
    uint64_t sp = stack_pointer();
    uint64_t outer = lane->writer;
    uint32_t depth = 0;
    if (unlikely(outer)) {
        if (lane_outer_gone(lane, outer & ~(uint64_t)WRITERS_MASK, sp))
            outer = 0;
        else
            depth = (uint32_t)outer & WRITERS_MASK;
    }
    uint64_t inner = outer ? outer + (depth < WRITERS_MASK) : (sp & ~(uint64_t)WRITERS_MASK) | 1;
    __atomic_store_n(&lane->writer, inner, __ATOMIC_RELAXED);
    compiler_barrier();

    uint32_t size =
        (uint32_t)(sizeof(struct record) + length + SLOT_ALIGN - 1) & ~(uint32_t)(SLOT_ALIGN - 1);
    struct record *slot = reserve(region, lane, size, depth);
    if (likely(slot)) {
        uint32_t word = size << 8 | depth << 2;
        __atomic_store_n(&slot->word, word | SLOT_OPEN, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_RELEASE); /* who sees any of the rest sees this word */
        slot->type = record->type;
        slot->op = record->op;
        slot->kind = record->kind;
        slot->start = record->start;
        slot->end = record->end;
        slot->fd = record->fd;
        slot->generation = record->generation;
        slot->result = record->result;
        slot->a = record->a;
        slot->b = record->b;
        slot->payload = length;
        uint32_t context = turn_holds(lane, record->start) ? lane->context_number : 0;
        slot->flags = record->flags | context << RECORD_CONTEXT_SHIFT;
        fill((uint8_t *)(slot + 1), pieces, count, skip, length);
        __atomic_store_n(&slot->word, word | SLOT_COMMITTED, __ATOMIC_RELEASE);
    }
    compiler_barrier();
    __atomic_store_n(&lane->writer, outer, __ATOMIC_RELEASE);
    return slot ? 0 : -ENOSPC;
}

/* Tells which thread writes on the lane from here on. */
static int say_thread(struct region_head *region, struct lane *lane, uint64_t now)
{
    int32_t tid = lane->tid;
    struct record r = {.type = RECORD_THREAD, .start = now, .end = now, .fd = tid};
    int error = record_put(region, lane, &r, NULL, 0, 0, 0);
    if (!error)
        lane->thread_said = (uint32_t)tid;
    return error;
}

int record_try(struct region_head *region, struct lane *lane, const struct record *record,
               const struct piece *pieces, unsigned count, uint64_t skip, uint32_t length)
{
    if (unlikely(lane->thread_said != (uint32_t)lane->tid)) {
        int error = say_thread(region, lane, record->end);
        if (error)
            return error;
    }
    return record_put(region, lane, record, pieces, count, skip, length);
}

int record_part(struct region_head *region, struct lane *lane, const struct record *record,
                const struct piece *pieces, unsigned count, uint64_t skip, uint32_t length)
{
    int error = record_try(region, lane, record, pieces, count, skip, length);
    if (unlikely(error))
        drop_count(region, DROP_POOL_EMPTY, 1);
    return error;
}

int record_write(struct region_head *region, struct lane *lane, const struct record *record,
                 const struct piece *pieces, unsigned count)
{
    uint64_t length = 0;
    for (unsigned i = 0; i < count; i++)
        length += pieces[i].length;
    if (unlikely(length > RECORD_PAYLOAD_MAX)) {
        struct record cut = *record;
        cut.flags |= RECORD_TRUNCATED;
        return record_part(region, lane, &cut, pieces, count, 0, RECORD_PAYLOAD_MAX);
    }
    return record_part(region, lane, record, pieces, count, 0, (uint32_t)length);
}
