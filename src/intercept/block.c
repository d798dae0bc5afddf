/*
 * Calls that wait: counted nowhere. They are the moments when a forked child may start its reporter
 * (never in an arbitrary call, which may be inside malloc or a handler): a load and a branch each.
 */
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <time.h>
#include <unistd.h>

#include "intercept/common.h"
#include "intercept/flow.h"
#include "report/lifecycle.h"

/* `before` runs ahead of the call, `after` behind it; r is what it returned. */
#define BLOCK_OR(type, name, parameters, arguments, otherwise, before, after) \
    EXPORT type name parameters                                               \
    {                                                                         \
        REAL_OR(name, otherwise)                                              \
        before_blocking();                                                    \
        before;                                                               \
        type r = real arguments;                                              \
        after;                                                                \
        return r;                                                             \
    }

#define NOTHING ((void)0)
#define BLOCK(type, name, parameters, arguments) \
    BLOCK_OR(type, name, parameters, arguments, __builtin_unreachable(), NOTHING, NOTHING)
#define EVENTS(name, parameters, arguments)                                           \
    BLOCK_OR(int, name, parameters, arguments, __builtin_unreachable(), EVENTS_START, \
             after_events(events_start, time))
#define EVENTS_START \
    before_events(); \
    uint64_t events_start = ticks_now()
#define WAIT(name, parameters, arguments) \
    BLOCK_OR(int, name, parameters, arguments, __builtin_unreachable(), before_waiting(), NOTHING)
#define POLL(name, parameters, arguments) \
    BLOCK_OR(int, name, parameters, arguments, __builtin_unreachable(), NOTHING, polled(fds, n, r))
#define SELECT(name, parameters, arguments) \
    BLOCK_OR(int, name, parameters, arguments, __builtin_unreachable(), NOTHING, selected(n, in, r))

/* The same for ones that older libcs lack, and which nobody can call there. */
#define BLOCK_NEW(name, parameters, arguments, before, after) \
    extern int name parameters;                               \
    BLOCK_OR(int, name, parameters, arguments, errno = ENOSYS; return -1, before, after)

/* At most that many, rounded down; -1: for ever. */
static int milliseconds(const struct timespec *time)
{
    if (!time)
        return -1;
    return time->tv_sec < 1000000 ? (int)(time->tv_sec * 1000 + time->tv_nsec / 1000000) : -1;
}

static bool has_context(void)
{
    struct lane *lane = hook_self;
    return (uintptr_t)lane > 1 && !trace_is_none(&lane->context);
}

/*
 * Who waits for a new connection, or for the next request on one, has left the request that he was
 * at. Waiting for an answer, or for room to send, is part of the work on it.
 */
static __attribute__((noinline)) void polled_slow(const struct pollfd *fds, nfds_t n)
{
    for (nfds_t i = 0; i < n; i++) {
        if (fds[i].fd >= 0 && fds[i].events & POLLIN &&
            fd_get(fds[i].fd) & (FD_LISTENS | FD_SERVER)) {
            flow_idle(hook_region, hook_self);
            return;
        }
    }
}

static inline void polled(const struct pollfd *fds, nfds_t n, int result)
{
    if (unlikely(result >= 0 && has_context()))
        polled_slow(fds, n);
}

static __attribute__((noinline)) void selected_slow(int n, const fd_set *in)
{
    for (int fd = 0; fd < n && fd < FD_SETSIZE; fd++) { /* the set has no more */
        if (FD_ISSET(fd, in) && fd_get(fd) & (FD_LISTENS | FD_SERVER)) {
            flow_idle(hook_region, hook_self);
            return;
        }
    }
}

/* Of a select only what was ready is left to be seen. */
static inline void selected(int n, const fd_set *in, int result)
{
    if (unlikely(result > 0 && in && has_context()))
        selected_slow(n, in);
}

BLOCK(int, nanosleep, (const struct timespec *time, struct timespec *left), (time, left))
BLOCK(int, clock_nanosleep,
      (clockid_t clock, int flags, const struct timespec *time, struct timespec *left),
      (clock, flags, time, left))
BLOCK(int, usleep, (useconds_t time), (time))
BLOCK(unsigned, sleep, (unsigned time), (time))
BLOCK(int, pause, (void), ())

SELECT(select, (int n, fd_set *in, fd_set *out, fd_set *bad, struct timeval *time),
       (n, in, out, bad, time))
SELECT(pselect,
       (int n, fd_set *in, fd_set *out, fd_set *bad, const struct timespec *time,
        const sigset_t *mask),
       (n, in, out, bad, time, mask))
POLL(poll, (struct pollfd * fds, nfds_t n, int time), (fds, n, time))
POLL(ppoll, (struct pollfd * fds, nfds_t n, const struct timespec *time, const sigset_t *mask),
     (fds, n, time, mask))
BLOCK_NEW(__poll_chk, (struct pollfd * fds, nfds_t n, int time, size_t size), (fds, n, time, size),
          NOTHING, polled(fds, n, r))
BLOCK_NEW(__ppoll_chk,
          (struct pollfd * fds, nfds_t n, const struct timespec *time, const sigset_t *mask,
           size_t size),
          (fds, n, time, mask, size), NOTHING, polled(fds, n, r))

EVENTS(epoll_wait, (int fd, struct epoll_event *events, int n, int time), (fd, events, n, time))
EVENTS(epoll_pwait, (int fd, struct epoll_event *events, int n, int time, const sigset_t *mask),
       (fd, events, n, time, mask))
BLOCK_NEW(epoll_pwait2,
          (int fd, struct epoll_event *events, int n, const struct timespec *time,
           const sigset_t *mask),
          (fd, events, n, time, mask), EVENTS_START, after_events(events_start, milliseconds(time)))

BLOCK(int, sigsuspend, (const sigset_t *set), (set))
BLOCK(int, sigwait, (const sigset_t *set, int *number), (set, number))
BLOCK(int, sigwaitinfo, (const sigset_t *set, siginfo_t *info), (set, info))
BLOCK(int, sigtimedwait, (const sigset_t *set, siginfo_t *info, const struct timespec *time),
      (set, info, time))

BLOCK(ssize_t, msgrcv, (int queue, void *message, size_t size, long type, int flags),
      (queue, message, size, type, flags))
BLOCK(int, semop, (int set, struct sembuf *operations, size_t n), (set, operations, n))
BLOCK(int, semtimedop, (int set, struct sembuf *operations, size_t n, const struct timespec *time),
      (set, operations, n, time))

/* Where worker processes wait for work: multiprocessing in Python, for one. */
WAIT(sem_wait, (sem_t * semaphore), (semaphore))
/*
 * Not pthread_cond_wait: libc has two of it, for two layouts of the condition, and a library that
 * was linked without naming libc's versions is bound to the old one of each function of the family.
 * Ours in the place of one of them, it would wait on one layout and signal on the other.
 */
BLOCK_NEW(sem_clockwait, (sem_t * semaphore, clockid_t clock, const struct timespec *time),
          (semaphore, clock, time), before_waiting(), NOTHING)
WAIT(sem_timedwait, (sem_t * semaphore, const struct timespec *time), (semaphore, time))
