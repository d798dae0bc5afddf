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
#include "report/lifecycle.h"

#define BLOCK(type, name, parameters, arguments) \
    EXPORT type name parameters                  \
    {                                            \
        REAL(name);                              \
        before_blocking();                       \
        return real arguments;                   \
    }

/* The same for one that older libcs lack, and which nobody can call there. */
#define BLOCK_NEW(type, name, parameters, arguments) \
    extern type name parameters;                     \
    EXPORT type name parameters                      \
    {                                                \
        REAL_OR(name, errno = ENOSYS; return -1)     \
        before_blocking();                           \
        return real arguments;                       \
    }

BLOCK(int, nanosleep, (const struct timespec *time, struct timespec *left), (time, left))
BLOCK(int, clock_nanosleep,
      (clockid_t clock, int flags, const struct timespec *time, struct timespec *left),
      (clock, flags, time, left))
BLOCK(int, usleep, (useconds_t time), (time))
BLOCK(unsigned, sleep, (unsigned time), (time))
BLOCK(int, pause, (void), ())

BLOCK(int, select, (int n, fd_set *in, fd_set *out, fd_set *bad, struct timeval *time),
      (n, in, out, bad, time))
BLOCK(int, pselect,
      (int n, fd_set *in, fd_set *out, fd_set *bad, const struct timespec *time,
       const sigset_t *mask),
      (n, in, out, bad, time, mask))
BLOCK(int, poll, (struct pollfd * fds, nfds_t n, int time), (fds, n, time))
BLOCK(int, ppoll,
      (struct pollfd * fds, nfds_t n, const struct timespec *time, const sigset_t *mask),
      (fds, n, time, mask))
BLOCK_NEW(int, __poll_chk, (struct pollfd * fds, nfds_t n, int time, size_t size),
          (fds, n, time, size))
BLOCK_NEW(int, __ppoll_chk,
          (struct pollfd * fds, nfds_t n, const struct timespec *time, const sigset_t *mask,
           size_t size),
          (fds, n, time, mask, size))

BLOCK(int, epoll_wait, (int fd, struct epoll_event *events, int n, int time), (fd, events, n, time))
BLOCK(int, epoll_pwait, (int fd, struct epoll_event *events, int n, int time, const sigset_t *mask),
      (fd, events, n, time, mask))
BLOCK_NEW(int, epoll_pwait2,
          (int fd, struct epoll_event *events, int n, const struct timespec *time,
           const sigset_t *mask),
          (fd, events, n, time, mask))

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
BLOCK(int, sem_wait, (sem_t * semaphore), (semaphore))
BLOCK(int, sem_timedwait, (sem_t * semaphore, const struct timespec *time), (semaphore, time))
