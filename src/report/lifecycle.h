/*
 * lifecycle: when and where the reporter runs inside a host program: its thread, a forked child,
 * exec and exit. Only in libscope.so.
 *
 * Owns: the reporter's thread, the exit bound, the atfork and exit handlers. Called by the hook's
 * constructor (lifecycle_start) and by wrappers on application threads; see also hook/hook.h for
 * reporter_wake, reporter_deliver, reporter_late, reporter_before_blocking. Keeps errno everywhere.
 * Must not be waited on beyond the exit bound, whatever a sink does.
 */
#ifndef SCOPE_REPORT_LIFECYCLE_H
#define SCOPE_REPORT_LIFECYCLE_H

#include "conf/conf.h"
#include "hook/hook.h"

/*
 * From the constructor, once the region stands and `conf` says that this process is observed (conf
 * is kept, not copied). Registers the fork and exit handlers, keeps what exec needs of the
 * environment, starts the thread. 0, or -errno when there is no thread: what is recorded is then
 * delivered in place, at exec and at exit.
 */
int reporter_start(const struct conf *conf, struct region_head *region);

/* Not 0: something is to be done before a thread blocks (a forked child without its reporter). */
extern uint32_t reporter_wanted;

/* First thing in every wrapper that may block for long: a load and a branch. */
static inline void before_blocking(void)
{
    if (unlikely(__atomic_load_n(&reporter_wanted, __ATOMIC_RELAXED)))
        reporter_before_blocking();
}

/* Last thing in every wrapper: while the process ends, what was recorded is handed over at once. */
static inline void after_call(void)
{
    if (unlikely(hook_region && hook_region->late))
        reporter_late();
}

/*
 * The process ends by `op` (OP_EXIT, OP_ABORT) with this status: writes RECORD_EXIT unless it was
 * written before, and delivers within the bound. Does nothing in a vfork's child.
 */
void reporter_end(enum op op, int status);

/*
 * Around daemon(): the next forked child is this process under another number, so that its span is
 * the same one.
 */
void reporter_daemon(bool coming);

/*
 * A process that shares no memory with its parent and has not run the atfork handlers: _Fork, raw
 * clone. In the child, before anything else of it is recorded. Async-signal-safe.
 */
void reporter_child(void);
/* Around such a fork, in the parent: nothing of ours changes while memory is copied. */
void reporter_fork_begin(void);
void reporter_fork_end(void);

/* Whether this is the process that the region belongs to (false in a vfork's child). One getpid. */
bool reporter_is_ours(void);

/*
 * Before calls that need a process of one thread (unshare, setns): delivers, ends the reporter's
 * thread and waits until the kernel has let go of it, within the exit bound. The next blocking call
 * starts it again.
 */
void reporter_step_aside(void);

/*
 * Before a process gives up a user's identity or its root directory: a forked child without its
 * reporter starts it now, and waits (100 ms at most) until it has opened the files it reports to,
 * which the new user may not be allowed to.
 */
void reporter_before_privileges(void);

/* An exec failed: the process lives on, with a new bound when it ends. */
void reporter_goes_on(void);

#endif
