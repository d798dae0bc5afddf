/*
 * The heap of everything of ours inside a host program: its own pages from mmap, so that the
 * program's allocator, leak checker and mallinfo never see us. In libscope.so the linker sends every
 * malloc, calloc, realloc, free, strdup and strndup of ours and of the static libraries here
 * (--wrap). Thread-safe by one spinning lock that is held for a few instructions; not for use in
 * hooks. Blocks are 16-aligned.
 */
#ifndef SCOPE_OS_HEAP_H
#define SCOPE_OS_HEAP_H

#include <stddef.h>

void *heap_alloc(size_t size);
void *heap_zalloc(size_t count, size_t size);
void *heap_realloc(void *p, size_t size);
void heap_free(void *p);
size_t heap_bytes(void); /* taken from the kernel now */

/*
 * Around a fork, in the process that forks: nobody may be in here while memory is copied, for the
 * copy is made page by page. heap_after_fork() ends it, there and in the child.
 */
void heap_before_fork(void);

/* In a forked child: the lock may have been held by a thread that is gone. Keeps all blocks. */
void heap_after_fork(void);

#endif
