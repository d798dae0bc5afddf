/*
 * intercept: what every family of wrappers shares.
 *
 * A wrapper finds the real function, its lane and the descriptor's entry, takes the time around the
 * real call, and hands all of it to an after_...() function, which counts and records. Rules:
 * nothing is held across the real call (it may be cancelled, jumped out of, or run a handler that
 * comes back here); errno is what the real call left; a pointer is followed only after the kernel
 * has. Called on any application thread and in its signal handlers.
 */
#ifndef SCOPE_INTERCEPT_COMMON_H
#define SCOPE_INTERCEPT_COMMON_H

#include <errno.h>
#include <stdint.h>
#include <sys/types.h>

#include "hook/hook.h"
#include "os/sys.h"

/* Declares `lane`. Where there is none to record on, the real call is all that happens. */
#define INTERCEPT_LANE(call)         \
    struct lane *lane = hook_lane(); \
    if (unlikely(!lane))             \
    return call

/* What a call returned, or -errno: how capture wants results. */
static inline int64_t with_errno(int64_t r)
{
    return likely(r != -1) ? r : -(int64_t)errno;
}

/* The other way round, for a raw system call that stands in for a function that libc lacks. */
static inline long raw_result(long r)
{
    if (unlikely((unsigned long)r >= (unsigned long)-4095L)) {
        errno = (int)-r;
        return -1;
    }
    return r;
}

/* A descriptor's entry; one that was not seen being opened is asked about, once. */
static inline fd_entry entry_of(struct lane *lane, int fd)
{
    fd_entry entry = fd_get(fd);
    return likely(entry & FD_OPEN) ? entry : hook_fd(lane, fd);
}

/* Numbers 1 and 2 are standard output and error, whatever they lead to. */
static inline uint32_t fd_number_flags(int fd)
{
    return fd == 1 ? FD_OUT : fd == 2 ? FD_ERR : 0;
}

/* The process is ending: hands over and waits. Keeps errno. */
void intercept_late(void);

static inline void after_any(const struct region_head *region)
{
    if (unlikely(__atomic_load_n(&region->late, __ATOMIC_RELAXED)))
        intercept_late();
}

/* A call on a name, or on nothing, that is counted and timed only. result: as of with_errno. */
void after_count(struct lane *lane, enum op op, uint64_t start, int64_t result);

/* A call on a descriptor that is counted and timed only. */
void after_fd(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
              int64_t result);

/*
 * A whole wrapper. `after` sees lane, start, the parameters, r (what the call returned) and result
 * (r, or -errno). WRAP_FD loads `entry` for descriptor `fd` before the call. `otherwise` in WRAP_OR
 * is what stands in for a function that this libc does not have.
 */
#define WRAP_OR(type, name, parameters, arguments, otherwise, after) \
    EXPORT type name parameters                                      \
    {                                                                \
        REAL_OR(name, real = otherwise)                              \
        INTERCEPT_LANE(real arguments);                              \
        uint64_t start = ticks_now();                                \
        type r = real arguments;                                     \
        int64_t result = with_errno(r);                              \
        after;                                                       \
        return r;                                                    \
    }

#define WRAP(type, name, parameters, arguments, after) \
    WRAP_OR(type, name, parameters, arguments, ({      \
                __builtin_unreachable();               \
                real;                                  \
            }),                                        \
            after)

#define WRAP_FD_OR(type, name, parameters, arguments, fd, otherwise, after) \
    EXPORT type name parameters                                             \
    {                                                                       \
        REAL_OR(name, real = otherwise)                                     \
        INTERCEPT_LANE(real arguments);                                     \
        fd_entry entry = entry_of(lane, fd);                                \
        uint64_t start = ticks_now();                                       \
        type r = real arguments;                                            \
        int64_t result = with_errno(r);                                     \
        after;                                                              \
        return r;                                                           \
    }

#define WRAP_FD(type, name, parameters, arguments, fd, after) \
    WRAP_FD_OR(type, name, parameters, arguments, fd, ({      \
                   __builtin_unreachable();                   \
                   real;                                      \
               }),                                            \
               after)

#endif
