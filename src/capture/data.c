/* What is written to logs and to standard output: recognised, bounded, copied. */
#include "capture/internal.h"

enum {
    BINARY_LOOK = 512, /* bytes of a write that are searched for a NUL */
    PART = 8064,       /* of one record: two such slots fill a chunk */
};
_Static_assert(2 * (PART + sizeof(struct record)) <= CHUNK_SIZE - CHUNK_DATA &&
                   (PART + sizeof(struct record)) % SLOT_ALIGN == 0 &&
                   PART <= (int)RECORD_PAYLOAD_MAX,
               "parts pack");

/* How often `byte` stands among `length` bytes from `skip` on; stops at `most`. */
static uint64_t occurrences(const struct piece *pieces, unsigned count, uint64_t skip,
                            uint64_t length, uint8_t byte, uint64_t most)
{
    uint64_t found = 0;
    for (unsigned i = 0; i < count && length && found < most; i++) {
        const uint8_t *p = pieces[i].data;
        uint64_t n = pieces[i].length;
        if (skip >= n) {
            skip -= n;
            continue;
        }
        p += skip;
        n -= skip;
        skip = 0;
        if (n > length)
            n = length;
        length -= n;
        for (; n && found < most; n--)
            found += *p++ == byte;
    }
    return found;
}

static int budget_take(struct region_head *region, uint64_t n)
{
    uint64_t left = __atomic_load_n(&region->log_budget, __ATOMIC_RELAXED);
    do {
        if (left < n)
            return 0;
    } while (!__atomic_compare_exchange_n(&region->log_budget, &left, left - n, 0, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return 1;
}

void record_data(struct region_head *region, struct lane *lane, enum op op, int fd, fd_entry entry,
                 uint64_t start, uint64_t end, int64_t result, const struct piece *pieces,
                 unsigned count, uint32_t flags)
{
    uint64_t whole = 0;
    for (unsigned i = 0; i < count; i++)
        whole += pieces[i].length;
    if (result <= 0 || !whole)
        return;
    if (whole > (uint64_t)result)
        whole = (uint64_t)result;
    uint64_t length = whole < region->data_max ? whole : region->data_max;
    struct record r = {.type = RECORD_DATA,
                       .op = (uint8_t)op,
                       .kind = (uint8_t)FD_KIND(entry),
                       .start = start,
                       .end = end,
                       .fd = fd,
                       .generation = FD_GENERATION(entry),
                       .result = result,
                       .a = (uint64_t)result};
    flags &= ~(uint32_t)(RECORD_MORE | RECORD_TRUNCATED | RECORD_BINARY);
    /* of a stream that was binary before, text at the beginning of a write proves nothing */
    uint64_t look = entry & FD_BINARY ? length : BINARY_LOOK;
    if (occurrences(pieces, count, 0, look < whole ? look : whole, 0, 1)) {
        drop_count(region, DROP_LOG_BINARY, 1);
        if (entry & FD_BINARY)
            return;
        fd_change(fd, FD_GENERATION(entry), FD_BINARY, 0);
        r.flags = flags | RECORD_BINARY;
        record_part(region, lane, &r, pieces, count, 0, 0);
        return;
    }
    if (!length)
        return;
    if (!budget_take(region, length)) {
        uint64_t lines = occurrences(pieces, count, 0, length, '\n', ~0ULL);
        drop_count(region, DROP_LOG_RATE, lines ? lines : 1);
        return;
    }
    for (uint64_t at = 0; at < length;) {
        uint64_t n = length - at < PART ? length - at : PART;
        r.b = at;
        r.flags = flags;
        if (at + n < length)
            r.flags |= RECORD_MORE;
        else if (length < whole)
            r.flags |= RECORD_TRUNCATED;
        if (record_part(region, lane, &r, pieces, count, at, (uint32_t)n))
            return;
        at += n;
    }
}

/* `*` any run, `?` any one character. Goes back to the last star alone, so it needs no stack. */
static int glob_matches(const char *glob, const char *glob_end, const char *s)
{
    const char *star = NULL, *retry = NULL;
    while (*s) {
        if (glob < glob_end && *glob == '*') {
            star = ++glob;
            retry = s;
        } else if (glob < glob_end && (*glob == '?' || *glob == *s)) {
            glob++;
            s++;
        } else if (star) {
            glob = star;
            s = ++retry;
        } else {
            return 0;
        }
    }
    while (glob < glob_end && *glob == '*')
        glob++;
    return glob == glob_end;
}

int is_log_name(const struct region_head *region, const char *path)
{
    const char *globs = region->log_globs, *end = globs + LOG_GLOBS_SIZE;
    while (globs < end && *globs) {
        const char *glob_end = globs;
        while (glob_end < end && *glob_end)
            glob_end++;
        if (glob_matches(globs, glob_end, path))
            return 1;
        globs = glob_end + 1;
    }
    return 0;
}
