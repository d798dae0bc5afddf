/* Records on their way from the ring to the fold: copied, sorted by their end, handed out. */
#include "report/drain_internal.h"

#include <stdlib.h>
#include <string.h>

enum { KEEP_BYTES = 256 * 1024, KEEP_ENTRIES = 4096 };

static bool more_entries(struct drain_batch *b)
{
    size_t room = b->room ? b->room * 2 : 256;
    struct batch_entry *entry = realloc(b->entry, room * sizeof(*entry));
    if (!entry)
        return false;
    b->entry = entry;
    struct batch_entry *other = realloc(b->other, room * sizeof(*other));
    if (!other)
        return false;
    b->other = other;
    b->room = room;
    return true;
}

static bool more_bytes(struct drain_batch *b, size_t need)
{
    size_t size = b->size ? b->size : 16384;
    while (size - b->used < need)
        size *= 2;
    uint8_t *bytes = realloc(b->bytes, size);
    if (!bytes)
        return false;
    b->bytes = bytes;
    b->size = size;
    return true;
}

struct record *batch_add(struct drain_batch *b, const struct record *record, int32_t tid)
{
    size_t need = sizeof(*record) + ((record->payload + 7u) & ~(size_t)7);
    if (b->count == b->room && !more_entries(b))
        return NULL;
    if (b->size - b->used < need && !more_bytes(b, need))
        return NULL;
    b->entry[b->count++] = (struct batch_entry){record->end, b->used, tid, false};
    struct record *copy = (struct record *)(b->bytes + b->used);
    *copy = *record;
    b->used += need;
    return copy;
}

void batch_undo(struct drain_batch *b)
{
    b->used = b->entry[--b->count].at;
}

static void merge(const struct batch_entry *from, struct batch_entry *to, size_t lo, size_t mid,
                  size_t hi)
{
    size_t a = lo, b = mid;
    if (mid >= hi || from[mid - 1].end <= from[mid].end) {
        memcpy(&to[lo], &from[lo], (hi - lo) * sizeof(*to));
        return;
    }
    for (size_t i = lo; i < hi; i++)
        to[i] = b >= hi || (a < mid && from[a].end <= from[b].end) ? from[a++] : from[b++];
}

/* Stable, so that records of one lane that end in the same tick keep their order. */
static void sort(struct drain_batch *b)
{
    size_t n = b->count, i = 1;
    while (i < n && b->entry[i - 1].end <= b->entry[i].end)
        i++;
    if (i >= n)
        return;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * width) {
            size_t mid = lo + width < n ? lo + width : n;
            size_t hi = mid + width < n ? mid + width : n;
            merge(b->entry, b->other, lo, mid, hi);
        }
        struct batch_entry *sorted = b->other;
        b->other = b->entry;
        b->entry = sorted;
    }
}

/* After a burst the memory goes back. */
static void shrink(struct drain_batch *b)
{
    if (b->size > KEEP_BYTES) {
        free(b->bytes);
        b->bytes = NULL;
        b->size = 0;
    }
    if (b->room > KEEP_ENTRIES) {
        free(b->entry);
        free(b->other);
        b->entry = b->other = NULL;
        b->room = 0;
    }
}

size_t batch_hand_out(struct drain_batch *b, uint64_t horizon, drain_take *take, void *context)
{
    size_t given = 0;
    struct drain_batch kept = {0};
    sort(b);
    for (size_t i = 0; i < b->count; i++) {
        const struct batch_entry *e = &b->entry[i];
        const struct record *record = (const struct record *)(b->bytes + e->at);
        if (e->end > horizon && !e->waited) {
            struct record *copy = batch_add(&kept, record, e->tid);
            if (copy) {
                memcpy(copy + 1, record + 1, record->payload);
                kept.entry[kept.count - 1].waited = true;
                continue;
            } /* no memory to keep it in: better early than never */
        }
        take(context, record, (const uint8_t *)(record + 1), e->tid);
        given++;
    }
    if (kept.count) {
        batch_free(b);
        *b = kept;
        return given;
    }
    b->count = 0;
    b->used = 0;
    shrink(b);
    return given;
}

void batch_free(struct drain_batch *b)
{
    free(b->entry);
    free(b->other);
    free(b->bytes);
    *b = (struct drain_batch){0};
}
