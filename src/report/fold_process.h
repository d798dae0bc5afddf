/*
 * What /proc and the kernel tell about the observed process; shared by process.c and resource.c.
 * Raw system calls only. Whatever cannot be read is absent.
 */
#ifndef SCOPE_REPORT_FOLD_PROCESS_H
#define SCOPE_REPORT_FOLD_PROCESS_H

#include "report/fold_state.h"

enum { CLOCK_TICKS = 100 }; /* USER_HZ: what /proc counts in, on every architecture of ours */

bool process_is_self(const struct fold *f);  /* the reporter runs inside the observed process */
int process_directory(const struct fold *f); /* /proc/PID, to be closed, or -errno */
/* directory: of process_directory. What was read a moment ago is good enough. */
bool process_read_stat(struct fold *f, int directory, struct process_stat *out);
/* Takes a stat line apart; false when it is none. */
bool process_parse_stat(const char *text, size_t length, struct process_stat *out);
int64_t process_count_entries(int directory);   /* without "." and ".." */
struct text process_executable(struct fold *f); /* its path; empty: not known */

/* Reads a whole file, at most `size` bytes. Its length, or -errno. */
long read_file(const char *path, char *out, size_t size);
long read_at(int directory, const char *path, char *out, size_t size);

/*
 * process_span.c: the tracestate in an environment (NAME=VALUE NUL ...), copied to arena; empty
 * where it did not come with the process's trace.
 */
struct text process_read_trace_state(const struct fold *f, struct arena *arena,
                                     const char *environment, size_t length);

/* fold_container.c: container.id, from arena; empty where none is told. directory: /proc/PID. */
struct text container_id(struct arena *arena, int directory, bool kubernetes);
/* The first run of 64 hex digits in text that is a name of its own; with `after` right before it.
 */
struct text container_find(const char *text, size_t length, const char *after);

#endif
