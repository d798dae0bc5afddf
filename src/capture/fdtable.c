/* The descriptor table: one word for each number, changed without locks. */
#include "capture/internal.h"

uint64_t *fd_table;

#define FLAGS_MASK 0xffffff00u

static uint32_t high; /* one more than the highest number that was ever open */

unsigned fd_high(void)
{
    return __atomic_load_n(&high, __ATOMIC_RELAXED);
}

static void reach(uint32_t end)
{
    uint32_t was = __atomic_load_n(&high, __ATOMIC_RELAXED);
    while (was < end &&
           !__atomic_compare_exchange_n(&high, &was, end, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

fd_entry fd_opened(struct region_head *region, int fd, enum kind kind, uint32_t flags)
{
    if (fd < 0 || !fd_table)
        return 0;
    if (fd >= FD_TABLE_SIZE) {
        drop_count(region, DROP_DESCRIPTOR, 1);
        return 0;
    }
    if ((kind == KIND_TCP || kind == KIND_UNIX_STREAM) && region->watch & WATCH_FLOWS &&
        !(flags & (FD_TLS | FD_LISTENS)))
        flags |= FD_FLOW;
    uint32_t generation;
    do {
        generation = __atomic_add_fetch(&region->next_generation, 1, __ATOMIC_RELAXED);
    } while (!generation);
    fd_entry entry =
        (uint64_t)generation << 32 | (flags & FLAGS_MASK) | FD_OPEN | ((uint32_t)kind & 0xff);
    __atomic_store_n(&fd_table[fd], entry, __ATOMIC_RELEASE);
    reach((uint32_t)fd + 1);
    return entry;
}

fd_entry fd_closing(int fd)
{
    if ((unsigned)fd >= FD_TABLE_SIZE || !fd_table)
        return 0;
    return __atomic_fetch_and(&fd_table[fd], ~(uint64_t)(FD_OPEN | FD_INHERITED), __ATOMIC_ACQ_REL);
}

/* Clears and sets bits in the word of this life of fd. */
static void change(int fd, uint32_t generation, uint32_t clear, uint32_t set)
{
    if ((unsigned)fd >= FD_TABLE_SIZE || !fd_table)
        return;
    uint64_t was = __atomic_load_n(&fd_table[fd], __ATOMIC_RELAXED);
    while (was && FD_GENERATION(was) == generation &&
           !__atomic_compare_exchange_n(&fd_table[fd], &was, (was & ~(uint64_t)clear) | set, 0,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        ;
}

void fd_after_fork(void)
{
    for (unsigned fd = 0, end = fd_high(); fd_table && fd < end; fd++) {
        uint64_t was = __atomic_load_n(&fd_table[fd], __ATOMIC_RELAXED);
        if (was & FD_OPEN)
            __atomic_store_n(&fd_table[fd], (was & ~(uint64_t)FD_OPEN) | FD_INHERITED,
                             __ATOMIC_RELAXED);
    }
}

void fd_forget(void)
{
    for (unsigned fd = 0, end = fd_high(); fd_table && fd < end; fd++) {
        if (__atomic_load_n(&fd_table[fd], __ATOMIC_RELAXED))
            __atomic_store_n(&fd_table[fd], 0, __ATOMIC_RELAXED);
    }
}

void fd_reopened(int fd, fd_entry was)
{
    change(fd, FD_GENERATION(was), 0, (uint32_t)was & (FD_OPEN | FD_INHERITED));
}

void fd_change(int fd, uint32_t generation, uint32_t set, uint32_t clear)
{
    change(fd, generation, clear & FLAGS_MASK, set & FLAGS_MASK);
}
