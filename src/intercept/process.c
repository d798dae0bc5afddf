/*
 * Watches processes being made and ended: fork and its kin, clone, the exit family, and calls that
 * need a process of one thread.
 */
#include "intercept/process.h"

#include <errno.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "intercept/common.h"
#include "report/lifecycle.h"

/* ------------------------------------------------------------------ reading the program's memory
 */

/*
 * The kernel reads the mask before it finds that there is no such way to change one: EFAULT or
 * EINVAL, and nothing else happens. (Containers refuse process_vm_readv, not this.)
 */
bool peek_ok(struct peek *peek, const void *p)
{
    enum { NO_WAY = -1, MASK = sizeof(uint64_t) };
    uintptr_t page = (uintptr_t)p & ~(uintptr_t)4095;

    if (page && page == peek->page)
        return true;
    if (!p)
        return false;
    if ((!hook_region || !hook_region->sandboxed) &&
        sys(rt_sigprocmask, NO_WAY, (uintptr_t)p & ~(uintptr_t)(MASK - 1), NULL, MASK) == -EFAULT)
        return false;
    peek->page = page;
    return true;
}

long peek_length(struct peek *peek, const char *p, size_t most)
{
    for (size_t n = 0; n < most; n++) {
        if (!peek_ok(peek, p + n))
            return -1;
        if (!p[n])
            return (long)n;
    }
    return (long)most;
}

/* ------------------------------------------------------------------ fork */

_Static_assert(offsetof(struct lane, attention) == 4, "vfork.S knows where it is");

/* vfork.S jumps there. */
__attribute__((visibility("hidden"))) void *process_vfork;
__attribute__((visibility("hidden"))) void *process_before_vfork(void);

static void *find_vfork(void)
{
    void *real = hook_next("vfork");
    __atomic_store_n(&process_vfork, real, __ATOMIC_RELAXED);
    return real;
}

/* Where vfork.S finds no lane or no function: binds and marks the one, and returns the other. */
void *process_before_vfork(void)
{
    struct lane *lane = hook_lane();
    if (lane)
        __atomic_fetch_or(&lane->attention, LANE_VFORK, __ATOMIC_RELAXED);
    return process_vfork ? process_vfork : find_vfork();
}

static int quick_status;

int process_quick_status(void)
{
    return quick_status;
}

void process_start(const struct conf *conf, bool observed)
{
    find_vfork();
    env_start(conf, observed);
    if (observed)
        env_trace_start();
    else
        env_trace_unseen();
}

void process_made(struct lane *lane, enum op op, uint64_t start, int64_t result)
{
    if (!lane)
        return;
    struct record record = {
        .type = RECORD_FORK,
        .op = (uint8_t)op,
        .kind = KIND_NONE,
        .start = start,
        .end = ticks_now(),
        .fd = -1,
        .result = result,
    };
    count_call(hook_region, lane, op, KIND_NONE, start, record.end, 0,
               result < 0 ? (int)-result : 0);
    if (hook_region->watch & WATCH_PROCESSES)
        record_write(hook_region, lane, &record, NULL, 0);
    after_call();
}

EXPORT pid_t fork(void)
{
    REAL(fork);
    uint64_t start = ticks_now();
    pid_t pid = real();
    if (pid != 0)
        process_made(hook_lane(), OP_FORK, start, with_errno(pid));
    return pid;
}

pid_t __fork(void);
EXPORT pid_t __fork(void) __attribute__((alias("fork"), nothrow));

extern pid_t _Fork(void);

/* It runs no atfork handlers, so what they do for us is done here. */
EXPORT pid_t _Fork(void)
{
    REAL_OR(_Fork, errno = ENOSYS; return -1)
    uint64_t start = ticks_now();
    reporter_fork_begin();
    pid_t pid = real();
    if (pid == 0) {
        reporter_child();
        return 0;
    }
    reporter_fork_end();
    if (pid != 0)
        process_made(hook_lane(), OP_FORK, start, with_errno(pid));
    return pid;
}

/* ------------------------------------------------------------------ clone */

struct clone_start {
    int (*function)(void *);
    void *argument;
};

/* The child's first function, when it has a copy of everything: it is a process of its own. */
static int clone_child(void *argument)
{
    const struct clone_start *start = argument;

    reporter_child();
    return start->function(start->argument);
}

/*
 * The child never comes back into this frame: it begins with the function that it is given. What is
 * variable in the parameters are three pointers, of which those not passed are not looked at.
 */
EXPORT int clone(int (*function)(void *), void *stack, int flags, void *argument, ...)
{
    REAL(clone);
    va_list rest;
    va_start(rest, argument);
    void *parent_tid = va_arg(rest, void *);
    void *tls = va_arg(rest, void *);
    void *child_tid = va_arg(rest, void *);
    va_end(rest);

    uint64_t start = ticks_now();
    struct lane *lane = hook_lane();
    struct clone_start box = {function, argument};
    int pid;
    if (!function || !stack) {
        return real(function, stack, flags, argument, parent_tid, tls, child_tid);
    } else if (flags & CLONE_VM) {
        /* The child uses this memory, and this thread's block if it gets no other. */
        if (lane && !(flags & (CLONE_THREAD | CLONE_SETTLS)))
            __atomic_fetch_or(&lane->attention, LANE_VFORK | LANE_TOLD, __ATOMIC_RELAXED);
        pid = real(function, stack, flags, argument, parent_tid, tls, child_tid);
    } else {
        reporter_fork_begin();
        pid = real(clone_child, stack, flags, &box, parent_tid, tls, child_tid);
        reporter_fork_end();
    }
    if (pid != 0 && !(flags & CLONE_THREAD))
        process_made(hook_lane(), OP_CLONE, start, with_errno(pid));
    return pid;
}

/* ------------------------------------------------------------------ the end */

EXPORT void _exit(int status)
{
    REAL(_exit);
    (void)hook_lane(); /* a vfork's child leaves its number with its parent */
    reporter_end(OP_EXIT, status);
    real(status);
    __builtin_unreachable();
}

EXPORT void _Exit(int status)
{
    REAL(_Exit);
    (void)hook_lane();
    reporter_end(OP_EXIT, status);
    real(status);
    __builtin_unreachable();
}

/* Its handlers run first; ours, registered before all others, is the last of them. */
EXPORT void quick_exit(int status)
{
    REAL(quick_exit);
    quick_status = status;
    real(status);
    __builtin_unreachable();
}

EXPORT void abort(void)
{
    REAL(abort);
    struct {
        uintptr_t handler;
        unsigned long flags;
        void *restorer;
        uint64_t mask;
    } action = {0};
    /* A handler may jump out of it: then nothing has ended. */
    if (hook_region && !hook_region->sandboxed &&
        sys(rt_sigaction, SIGABRT, NULL, &action, sizeof(action.mask)) == 0 &&
        action.handler <= (uintptr_t)SIG_IGN) {
        reporter_end(OP_ABORT, 128 + SIGABRT);
    } else {
        reporter_deliver();
        reporter_goes_on();
    }
    real();
    __builtin_unreachable();
}

/* Its parent side leaves inside libc, unseen. */
EXPORT int daemon(int no_chdir, int no_close)
{
    REAL(daemon);
    reporter_deliver();
    reporter_daemon(true);
    int r = real(no_chdir, no_close);
    reporter_daemon(false);
    reporter_goes_on();
    return r;
}

/* ------------------------------------------------------------------ processes of one thread */

EXPORT int unshare(int flags)
{
    REAL(unshare);
    if (flags & (CLONE_NEWUSER | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM))
        reporter_step_aside();
    int r = real(flags);
    if (r == 0 && (flags & CLONE_NEWNS))
        hook_cwd_changed();
    return r;
}

/* Entering a user or time namespace needs one thread, a mount namespace a directory of its own. */
static bool setns_needs_one(int fd, int type)
{
    enum { NS_GET_NSTYPE_ = 0xb703, NEW_TIME = 0x80 };
    long kind = type ? type : sys(ioctl, fd, NS_GET_NSTYPE_);

    return kind < 0 || (kind & (CLONE_NEWUSER | CLONE_NEWNS | NEW_TIME));
}

EXPORT int setns(int fd, int type)
{
    REAL(setns);
    if (setns_needs_one(fd, type))
        reporter_step_aside();
    int r = real(fd, type);
    if (r == 0)
        hook_cwd_changed();
    return r;
}
