/*
 * run: where a recording goes and what the command is started with, for scope run and for others
 * that start programs under the library (doctor).
 */
#ifndef SCOPE_CLI_RUN_H
#define SCOPE_CLI_RUN_H

#include <stddef.h>

/*
 * The library that belongs to this command: SCOPE_LIBRARY, beside the executable, ../lib and below,
 * the usual places. Absolute. 0, or -ENOENT, or -EINVAL where its path holds what LD_PRELOAD
 * cannot.
 */
int run_find_library(char *out, size_t size);

/* Sets LD_PRELOAD in our own environment: behind what stands there. 0 or -ENOMEM. */
int run_preload(const char *library);

#endif
