/*
 * The heap of everything of ours inside a host program: size classes on pages from mmap, and a
 * mapping of its own for every big block.
 *
 * A fork may happen while another thread is anywhere in here, and the child goes on with what it
 * finds: so the shared state changes by single stores only (a list's head, the current region, a
 * region's fill), each of which leaves it consistent. The worst that a fork can do is leak a block.
 */
#include "os/heap.h"
#include "os/sys.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum {
    HEAD = 16,                /* bytes before every block */
    CLASSES = 44,             /* four to a doubling, 32 bytes to 32 KiB */
    SMALL_MAX = 32768,        /* a block with its head; bigger ones are mapped */
    REGION_SIZE = 256 * 1024, /* mapped at once; pages are resident only once used */
    PAGE = 4096,
    CLASS_BIG = 255,
    SPARE_SIZE =
        80 * 1024, /* of a mapping for anything up to that: one serves as well as another */
    SPARES = 6,    /* freed ones that are kept: what a busy sink takes and gives */
};

#define MAGIC_LIVE 0x53c09e11u
#define MAGIC_FREE 0x53c09ef0u

struct head {
    uint32_t
        magic; /* tells a block of ours from one of the program's, and a live from a freed one */
    uint32_t kind;
    uint64_t size; /* of the block with its head; of the mapping for a big one */
};
_Static_assert(sizeof(struct head) == HEAD, "blocks stay 16-aligned");

struct free_block {
    struct head head;
    struct free_block *next;
};

struct region {
    size_t used; /* bytes handed out, this structure included */
    size_t size;
};

static struct {
    uint32_t lock;
    size_t bytes;
    struct region *region;
    struct free_block *free[CLASSES];
    struct head *spare[SPARES];
} heap;

static void lock(void)
{
    unsigned spins = 0;

    while (__atomic_exchange_n(&heap.lock, 1, __ATOMIC_ACQUIRE)) {
        while (__atomic_load_n(&heap.lock, __ATOMIC_RELAXED)) {
            if (++spins % 128 == 0)
                sys(sched_yield);
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        }
    }
}

static void unlock(void)
{
    __atomic_store_n(&heap.lock, 0, __ATOMIC_RELEASE);
}

static void *map_pages(size_t size)
{
    long p = sys(mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p < 0 && p > -4096)
        return NULL;
    sys(madvise, p, size, MADV_DONTDUMP); /* log lines and names stay out of core dumps */
    __atomic_fetch_add(&heap.bytes, size, __ATOMIC_ACQUIRE); /* after whoever had these pages */
    return (void *)p;
}

/* 32, 40, 48, 56, 64, 80, ... rounded up to 16: the size of a class. */
static size_t class_size(unsigned kind)
{
    size_t base = (size_t)32 << (kind / 4);

    return (base + base / 4 * (kind % 4) + 15) & ~(size_t)15;
}

static unsigned class_of(size_t size)
{
    unsigned kind = 0;

    if (size > 32) {
        unsigned top = 63 - (unsigned)__builtin_clzl(size - 1);
        kind = (top - 5) * 4 + (unsigned)((size - 1) >> (top - 2) & 3);
    }
    while (class_size(kind) < size)
        kind++;
    return kind;
}

static struct head *carve(size_t size)
{
    struct region *r = heap.region;

    if (!r || r->size - r->used < size) {
        /* What is left of the old region is given up: less than one block of this class. */
        r = map_pages(REGION_SIZE);
        if (!r)
            return NULL;
        r->size = REGION_SIZE;
        r->used = HEAD;
        __atomic_store_n(&heap.region, r, __ATOMIC_RELEASE);
    }
    struct head *h = (struct head *)((char *)r + r->used);
    __atomic_store_n(&r->used, r->used + size, __ATOMIC_RELEASE);
    return h;
}

static void unmap(struct head *h)
{
    size_t size = h->size;

    __atomic_fetch_sub(&heap.bytes, size, __ATOMIC_RELEASE);
    sys(munmap, h, size);
}

/* Keeps a freed mapping for the next, or gives it back to the kernel. */
static void spare_put(struct head *h)
{
    for (unsigned i = 0; h->size == SPARE_SIZE && i < SPARES; i++) {
        struct head *none = NULL;
        if (__atomic_compare_exchange_n(&heap.spare[i], &none, h, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED))
            return;
    }
    unmap(h);
}

/* One that was freed. Each place changes by one exchange: no lock. */
static struct head *spare_take(void)
{
    for (unsigned i = 0; i < SPARES; i++) {
        struct head *h = __atomic_exchange_n(&heap.spare[i], NULL, __ATOMIC_ACQ_REL);
        if (h)
            return h;
    }
    return NULL;
}

static size_t big_size(size_t size)
{
    size_t total = (size + HEAD + PAGE - 1) & ~(size_t)(PAGE - 1);

    return total < SPARE_SIZE ? SPARE_SIZE : total;
}

static void *alloc_big(size_t size, bool *fresh)
{
    size_t total = big_size(size);
    struct head *h = total == SPARE_SIZE ? spare_take() : NULL;

    *fresh = !h;
    if (!h)
        h = map_pages(total);
    if (!h)
        return NULL;
    *h = (struct head){MAGIC_LIVE, CLASS_BIG, total};
    return h + 1;
}

/* *fresh: the block comes straight from the kernel, and is zero. */
static void *take(size_t size, bool *fresh)
{
    *fresh = true;
    if (size > PTRDIFF_MAX - 2 * PAGE)
        return NULL;
    if (size + HEAD > SMALL_MAX)
        return alloc_big(size, fresh);

    unsigned kind = class_of(size + HEAD);
    size_t total = class_size(kind);
    struct head *h;
    lock();
    if (heap.free[kind]) {
        h = &heap.free[kind]->head;
        __atomic_store_n(&heap.free[kind], heap.free[kind]->next, __ATOMIC_RELEASE);
        *fresh = false;
    } else {
        h = carve(total);
    }
    unlock();
    if (!h)
        return NULL;
    *h = (struct head){MAGIC_LIVE, kind, total};
    return h + 1;
}

void *heap_alloc(size_t size)
{
    bool fresh;

    return take(size, &fresh);
}

void *heap_zalloc(size_t count, size_t size)
{
    size_t total;
    bool fresh;

    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *p = take(total, &fresh);
    if (p && !fresh) /* what nobody had is zero: its pages are not even touched */
        memset(p, 0, total);
    return p;
}

void heap_free(void *p)
{
    if (!p)
        return;

    struct head *h = (struct head *)p - 1;
    /* Not ours (libc made it, for one of our libraries), or freed twice: leaking it is the safe
     * way. */
    if (h->magic != MAGIC_LIVE)
        return;
    if (h->kind == CLASS_BIG) {
        h->magic = MAGIC_FREE;
        spare_put(h);
        return;
    }
    if (h->kind >= CLASSES)
        return;

    struct free_block *b = (struct free_block *)h;
    lock();
    b->head.magic = MAGIC_FREE;
    b->next = heap.free[h->kind];
    __atomic_store_n(&heap.free[h->kind], b, __ATOMIC_RELEASE);
    unlock();
}

static void *resize_big(struct head *h, size_t size)
{
    size_t total = big_size(size);

    if (total == h->size)
        return h + 1;
    size_t before = h->size;
    long p = sys(mremap, h, before, total, MREMAP_MAYMOVE);
    if (p < 0 && p > -4096)
        return NULL;
    h = (struct head *)p;
    h->size = total;
    __atomic_fetch_add(&heap.bytes, total - before, __ATOMIC_RELAXED);
    return h + 1;
}

void *heap_realloc(void *p, size_t size)
{
    if (!p)
        return heap_alloc(size);

    struct head *h = (struct head *)p - 1;
    if (h->magic != MAGIC_LIVE || size > PTRDIFF_MAX - 2 * PAGE)
        return NULL;
    if (h->kind == CLASS_BIG && size + HEAD > SMALL_MAX)
        return resize_big(h, size);

    size_t room = h->size - HEAD;
    if (h->kind != CLASS_BIG && size <= room && size + HEAD > room / 4)
        return p;
    void *q = heap_alloc(size);
    if (!q)
        return NULL;
    memcpy(q, p, size < room ? size : room);
    heap_free(p);
    return q;
}

size_t heap_bytes(void)
{
    return __atomic_load_n(&heap.bytes, __ATOMIC_RELAXED);
}

void heap_before_fork(void)
{
    lock();
}

void heap_after_fork(void)
{
    unlock();
}
