/*
 * lifeline: the library of http.h is in use. Its state is not ours to look after: a fork in the
 * middle of a step would leave the child with locks that nobody gives back. So the forking thread
 * waits, for a little while, until no step is under way; and where that was not enough the child
 * does without.
 */
#ifndef SCOPE_TRANSPORT_LIFELINE_H
#define SCOPE_TRANSPORT_LIFELINE_H

#include <stdbool.h>
#include <stdint.h>

/* Around each use of the library, on the thread that uses it. Waits while a fork is under way. */
void lifeline_begin(void);
void lifeline_end(void);

/* In the thread that forks: until no step is under way, or the deadline (CLOCK_MONOTONIC ns). */
void lifeline_before_fork(uint64_t deadline);
void lifeline_after_fork(void);       /* in the parent */
void lifeline_after_fork_child(void); /* in the child */
/* The child of a fork that could not wait. */
bool lifeline_is_cut(void);

#endif
