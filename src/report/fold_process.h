/*
 * What /proc and the kernel tell about the observed process; shared by process.c and resource.c.
 * Raw system calls only. Whatever cannot be read is absent.
 */
#ifndef SCOPE_REPORT_FOLD_PROCESS_H
#define SCOPE_REPORT_FOLD_PROCESS_H

#include "report/fold_state.h"

enum { CLOCK_TICKS = 100 }; /* USER_HZ: what /proc counts in, on every architecture of ours */

struct process_stat {
    int32_t parent;
    uint64_t user_ticks, system_ticks, minor_faults, major_faults;
    uint64_t threads, start_ticks;   /* since boot */
    uint64_t virtual_size, resident; /* bytes */
};

bool process_is_self(const struct fold *f); /* the reporter runs inside the observed process */
/* "/proc/self/NAME" or "/proc/PID/NAME". */
void process_path(const struct fold *f, const char *name, char *out, size_t size);
bool process_read_stat(const struct fold *f, struct process_stat *out);
/* Takes a stat line apart; false when it is none. */
bool process_parse_stat(const char *text, size_t length, struct process_stat *out);
int64_t process_count_entries(int directory);   /* without "." and ".." */
struct text process_executable(struct fold *f); /* its path; empty: not known */
uint64_t process_start_time(struct fold *f);    /* unix ns; when it began to be observed */

/* Reads a whole file, at most `size` bytes. Its length, or -errno. */
long read_file(const char *path, char *out, size_t size);

#endif
