/*
 * Where the linker sends every allocation of ours and of the static libraries in libscope.so
 * (--wrap=malloc and so on): to our own heap, never to the program's.
 */
#include "os/heap.h"

#include <string.h>

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t max);

void *__wrap_malloc(size_t size)
{
    return heap_alloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return heap_zalloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return heap_realloc(p, size);
}

void __wrap_free(void *p)
{
    heap_free(p);
}

static char *duplicate(const char *s, size_t length)
{
    char *copy = heap_alloc(length + 1);

    if (copy) {
        memcpy(copy, s, length);
        copy[length] = '\0';
    }
    return copy;
}

char *__wrap_strdup(const char *s)
{
    return duplicate(s, strlen(s));
}

char *__wrap_strndup(const char *s, size_t max)
{
    return duplicate(s, strnlen(s, max));
}
