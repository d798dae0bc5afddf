/*
 * reporter: one turn of the loop that takes what capture wrote and sends it on, wherever it runs: a
 * thread in the process, in place while the process ends, a companion process.
 *
 * Owns: the drain, the fold, the sinks' queues and the schedule of one region. One caller at a time
 * (lifecycle.c sees to it). Runs on at most 100 KiB of stack. Memory from malloc.
 */
#ifndef SCOPE_REPORT_REPORTER_H
#define SCOPE_REPORT_REPORTER_H

#include "report/report.h"

struct reporter;

/* What a turn is for. */
enum {
    PASS_FINAL = 1u,      /* the process may end after it: all metrics, unfinished lines, insist */
    PASS_KEEP_LINES = 2u, /* but for unfinished lines: more output is still to come */
};

/* NULL: no memory. Opens nothing yet. What is wrong with a sink goes to diagnostics. */
struct reporter *reporter_new(const struct reporter_options *options, int32_t pid);
void reporter_free(struct reporter *r);

/* Opens sinks that are files while they can be reached: the program may give up its privileges. */
void reporter_prepare(struct reporter *r);

/*
 * One turn: drain, fold, queue what is due, flush. Returns when the next is due (CLOCK_MONOTONIC
 * ns); *rest, if not NULL: items that still wait in queues. Ends at `deadline`, or soon after it.
 */
uint64_t reporter_pass(struct reporter *r, unsigned flags, uint64_t deadline, size_t *rest);

/* Most of the pool is in use: take the next turn at once. */
bool reporter_is_tight(const struct reporter *r);

/*
 * Closes the sinks' descriptors: for a reporter that runs in the program's own descriptor table and
 * may leave nothing there after its turn. A sink that could not be reached keeps what waits for it,
 * unless force: then that is dropped, and counted.
 */
void reporter_close_sinks(struct reporter *r, bool force);

/* A forked child that copied it: gives its memory back without touching the parent's connections.
 */
void reporter_free_copy(struct reporter *r);

/* A new configuration: the sinks are rebuilt where they changed. conf must outlive the reporter. */
void reporter_set_conf(struct reporter *r, const struct conf *conf);

/* Fills in what the reporter knows: sinks, drops, notes, the configuration's file. */
struct status;
void reporter_status(const struct reporter *r, struct status *s);

/* When metrics are collected: releases the lanes of threads that are gone (hook_sweep). */
extern void (*reporter_sweep)(void);

#endif
