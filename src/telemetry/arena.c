/*
 * Memory that lives as long as one batch: blocks that are filled from the front and freed as a
 * whole.
 */
#include "telemetry/telemetry.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first block is what most arenas need: more would lie between pages that are in use. */
enum { BLOCK_SIZE = 32 * 1024, BLOCK_FIRST = 7 * 1024 };

struct block {
    struct block *next;
    size_t size, used; /* of data */
    _Alignas(16) char data[];
};

struct arena {
    size_t limit, taken; /* bytes handed out, at most and so far */
    struct block *first; /* the one being filled; full ones behind it */
};

struct arena *arena_new(size_t limit)
{
    struct arena *arena = calloc(1, sizeof(*arena));

    if (arena)
        arena->limit = limit;
    return arena;
}

static struct block *block_add(struct arena *arena, size_t size)
{
    /* A thing bigger than a quarter of a block gets its own, and the current one stays in use. */
    size_t room = (arena->first ? BLOCK_SIZE : BLOCK_FIRST) - sizeof(struct block) - 64;
    bool own = size > room / 4;
    struct block *b = malloc(sizeof(*b) + (own ? size : room));

    if (!b)
        return NULL;
    b->size = own ? size : room;
    b->used = 0;
    if (own && arena->first) {
        b->next = arena->first->next;
        arena->first->next = b;
    } else {
        b->next = arena->first;
        arena->first = b;
    }
    return b;
}

void *arena_take(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + 15) & ~(size_t)15;
    if (size > arena->limit - arena->taken)
        return NULL;

    struct block *b = arena->first;
    if (!b || b->size - b->used < size)
        b = block_add(arena, size);
    if (!b)
        return NULL;
    void *p = b->data + b->used;
    b->used += size;
    arena->taken += size;
    return memset(p, 0, size);
}

struct text arena_copy(struct arena *arena, const char *data, size_t length)
{
    char *copy = arena_take(arena, length + 1);

    if (!copy)
        return (struct text){NULL, 0};
    if (length)
        memcpy(copy, data, length);
    return (struct text){copy, length};
}

struct text arena_format(struct arena *arena, const char *format, ...)
{
    char small[256];
    va_list args;

    va_start(args, format);
    int n = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (n < 0)
        return (struct text){NULL, 0};
    if ((size_t)n < sizeof(small))
        return arena_copy(arena, small, (size_t)n);

    char *out = arena_take(arena, (size_t)n + 1);
    if (!out)
        return (struct text){NULL, 0};
    va_start(args, format);
    vsnprintf(out, (size_t)n + 1, format, args);
    va_end(args);
    return (struct text){out, (size_t)n};
}

/* Keeps one block, a large one if there is one: a steady batch asks the heap for nothing. */
void arena_reset(struct arena *arena)
{
    struct block *keep = NULL;

    for (struct block *b = arena->first, *next; b; b = next) {
        next = b->next;
        bool usual = b->size == BLOCK_SIZE - sizeof(struct block) - 64 ||
                     b->size == BLOCK_FIRST - sizeof(struct block) - 64;
        if (usual && (!keep || b->size > keep->size)) {
            free(keep);
            keep = b;
        } else {
            free(b);
        }
    }
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
    }
    arena->first = keep;
    arena->taken = 0;
}

void arena_free(struct arena *arena)
{
    if (!arena)
        return;
    for (struct block *b = arena->first, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(arena);
}
