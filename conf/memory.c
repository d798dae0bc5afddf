/*
 * Bump allocation for one load: many small strings, a handful of calls to malloc.
 */
#include "conf/internal.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_SIZE = 2000 }; /* what a start without a file needs of two pools: not a page each */

void *pool_take(struct pool *p, size_t size)
{
    size = (size + 7) & ~(size_t)7;
    if ((size_t)(p->end - p->at) < size) {
        size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        struct block *b = malloc(sizeof(*b) + room);
        if (!b) {
            p->failed = true;
            return NULL;
        }
        b->next = p->blocks;
        b->room = room;
        p->blocks = b;
        p->at = (char *)(b + 1);
        p->end = p->at + room;
    }
    void *taken = p->at;
    p->at += size;
    return memset(taken, 0, size);
}

char *pool_copy(struct pool *p, const char *text, size_t length)
{
    char *copy = pool_take(p, length + 1);
    if (copy)
        memcpy(copy, text, length);
    return copy;
}

void pool_free(struct pool *p)
{
    while (p->blocks) {
        struct block *b = p->blocks;
        p->blocks = b->next;
        free(b);
    }
}
