/*
 * stdio: the jump tables of libc's FILEs, for the wrappers of the calls that make FILEs. Any
 * thread; not in signal handlers (those calls are not allowed there either). Keeps errno.
 */
#ifndef SCOPE_HOOK_STDIO_H
#define SCOPE_HOOK_STDIO_H

#include <stdbool.h>
#include <stdio.h>

/* Patches the table of a FILE that libc has just made. False: it stays unobserved. */
bool stdio_patch_file(FILE *file);

/* Why stdio is not seen now, in words; NULL: its table is ours. Any thread. */
const char *stdio_unseen(void);

#endif
