/* Descriptors that come and go without a name: close, dup, fcntl, pipes, and what epoll and its
 * like give. */
#include "intercept/file.h"
#include "intercept/flow.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Flags that belong to what is open, not to its number: a duplicate has them too. */
#define FD_FLAGS 0xffffff00u
#define FD_OF_FILE (FD_FLAGS & ~(uint32_t)(FD_OUT | FD_ERR | FD_DIALED))

/* Whether anybody wants to hear that this descriptor came or went. */
static int is_watched(const struct region_head *region, fd_entry entry)
{
    if (entry & (FD_OUT | FD_ERR | FD_LOG))
        return 1;
    return (region->watch & (kind_is_socket(FD_KIND(entry)) ? WATCH_SOCKETS : WATCH_FILES)) != 0;
}

static __attribute__((noinline)) void record_close(struct lane *lane, enum op op, int fd,
                                                   fd_entry was, uint64_t start, uint64_t end,
                                                   int64_t result)
{
    struct totals totals;
    struct record r = {
        .type = RECORD_CLOSE,
        .op = (uint8_t)op,
        .kind = (uint8_t)FD_KIND(was),
        .start = start,
        .end = end,
        .fd = fd,
        .generation = FD_GENERATION(was),
        .result = result,
        .a = flow_tls_of(fd, was),
        .flags = was & FD_SERVER ? RECORD_SERVER : 0,
    };
    totals_take(lane, fd, FD_GENERATION(was), &totals);
    if (!is_watched(hook_region, was))
        return;
    struct piece piece = {&totals, sizeof(totals)};
    record_write(hook_region, lane, &r, &piece, 1);
}

/* What after_close does, where the flow has been told of the end. */
static void closed(struct lane *lane, enum op op, int fd, fd_entry was, uint64_t start,
                   int64_t result)
{
    uint64_t end = ticks_now();
    struct region_head *region = hook_region;
    if (was & FD_IGNORED)
        return;
    /* Linux gives the number back whatever went wrong, unless a filter kept the call from it */
    int kept = result == -EPERM || result == -EACCES || result == -ENOSYS;
    if (kept)
        fd_reopened(fd, was);
    count_call(region, lane, op,
               was & (FD_OPEN | FD_INHERITED) ? (enum kind)FD_KIND(was) : KIND_UNKNOWN, start, end,
               0, result < 0 ? (int)-result : 0);
    if ((was & FD_OPEN) && !kept)
        record_close(lane, op, fd, was, start, end, result);
    after_any(region);
}

/* Best before the kernel may give the number, and the place of its flow, to another thread. */
static inline void flow_closes(struct lane *lane, int fd, fd_entry was, uint64_t now)
{
    if ((was & FD_OPEN) && !(was & FD_IGNORED))
        after_flow_end(lane, fd, was, now, now, 0);
}

void after_close(struct lane *lane, enum op op, int fd, fd_entry was, uint64_t start,
                 int64_t result)
{
    flow_closes(lane, fd, was, start);
    closed(lane, op, fd, was, start, result);
}

#define CLOSE(name)                                            \
    EXPORT int name(int fd)                                    \
    {                                                          \
        REAL(name)                                             \
        INTERCEPT_LANE(real(fd));                              \
        fd_entry was = fd_closing(fd);                         \
        uint64_t start = ticks_now();                          \
        flow_closes(lane, fd, was, start);                     \
        int r = real(fd);                                      \
        closed(lane, OP_CLOSE, fd, was, start, with_errno(r)); \
        return r;                                              \
    }
int __close(int fd);
CLOSE(close)
CLOSE(__close)

/* Ends every life between two numbers, after the kernel has closed them. */
static void close_between(struct lane *lane, unsigned first, unsigned last, uint64_t start)
{
    uint64_t end = ticks_now();
    unsigned high = fd_high();
    for (unsigned fd = first; fd <= last && fd < high; fd++) {
        if (!(fd_get((int)fd) & FD_OPEN))
            continue;
        fd_entry was = fd_closing((int)fd);
        flow_closes(lane, (int)fd, was, start);
        if ((was & FD_OPEN) && !(was & FD_IGNORED))
            record_close(lane, OP_CLOSE_RANGE, (int)fd, was, start, end, 0);
    }
}

enum { RANGE_CLOEXEC = 1u << 2 }; /* the flag that closes nothing now */

static int raw_close_range(unsigned first, unsigned last, int flags)
{
    return (int)raw_result(sys(close_range, first, last, flags));
}

static void raw_closefrom(int first)
{
    if (sys(close_range, first < 0 ? 0 : first, ~0u, 0) == 0)
        return;
    for (int fd = first < 0 ? 0 : first; fd < (int)FD_TABLE_SIZE; fd++)
        sys(close, fd);
}

void after_close_range(struct lane *lane, unsigned first, unsigned last, int flags, uint64_t start,
                       int64_t result)
{
    after_count(lane, OP_CLOSE_RANGE, start, result);
    if (result == 0 && !(flags & RANGE_CLOEXEC))
        close_between(lane, first, last, start);
}

int close_range(unsigned first, unsigned last, int flags);
void closefrom(int first);

/* clang-format off */
WRAP_OR(int, close_range, (unsigned first, unsigned last, int flags), (first, last, flags),
        raw_close_range, after_close_range(lane, first, last, flags, start, result))
/* clang-format on */

EXPORT void closefrom(int first)
{
    REAL_OR(closefrom, real = raw_closefrom)
    INTERCEPT_LANE((void)real(first));
    uint64_t start = ticks_now();
    real(first);
    after_close_range(lane, first < 0 ? 0 : (unsigned)first, ~0u, 0, start, 0);
}

__attribute__((noinline)) void after_dup(struct lane *lane, enum op op, int fd, fd_entry entry,
                                         fd_entry replaced, uint64_t start, int64_t result)
{
    uint64_t end = ticks_now();
    struct region_head *region = hook_region;
    if (entry & FD_IGNORED)
        return;
    count_io(region, lane, op, fd, entry, start, end, result, 0);
    if (result >= 0 && result != fd) {
        int to = (int)result;
        flow_closes(lane, to, replaced, start);
        if (replaced & FD_OPEN)
            record_close(lane, op, to, replaced, start, end, 0);
        uint32_t numbered = fd_number_flags(to);
        if (entry & FD_ERR) /* `echo ... >&2` in a shell: number 1 leads to standard error */
            numbered = 0;
        uint32_t set = (uint32_t)entry & (numbered ? FD_OF_FILE : FD_FLAGS);
        fd_entry made = fd_opened(region, to, (enum kind)FD_KIND(entry), set | numbered | FD_OPEN);
        struct record r = {
            .type = RECORD_DUP,
            .op = (uint8_t)op,
            .kind = (uint8_t)FD_KIND(entry),
            .start = start,
            .end = end,
            .fd = fd,
            .generation = FD_GENERATION(entry),
            .result = result,
            .a = (uint64_t)to,
            .b = FD_GENERATION(made),
        };
        if (is_watched(region, entry) || numbered)
            record_write(region, lane, &r, NULL, 0);
    }
    after_any(region);
}

int __dup2(int fd, int to);

/* clang-format off */
WRAP_FD(int, dup, (int fd), (fd), fd, after_dup(lane, OP_DUP, fd, entry, 0, start, result))
/* clang-format on */

#define DUP_TO(name, parameters, arguments, op)                         \
    EXPORT int name parameters                                          \
    {                                                                   \
        REAL(name)                                                      \
        INTERCEPT_LANE(real arguments);                                 \
        fd_entry entry = entry_of(lane, fd), replaced = fd_get(to);     \
        uint64_t start = ticks_now();                                   \
        int r = real arguments;                                         \
        after_dup(lane, op, fd, entry, replaced, start, with_errno(r)); \
        return r;                                                       \
    }
DUP_TO(dup2, (int fd, int to), (fd, to), OP_DUP2)
DUP_TO(__dup2, (int fd, int to), (fd, to), OP_DUP2)
DUP_TO(dup3, (int fd, int to, int flags), (fd, to, flags), OP_DUP3)

/* Flags of a descriptor changed: what is written to it later is described by them. */
static void status_flags(int fd, fd_entry entry, int flags)
{
    uint32_t set = (flags & O_APPEND ? FD_APPEND : 0) | (flags & O_NONBLOCK ? FD_NONBLOCK : 0);
    fd_change(fd, FD_GENERATION(entry), set, (FD_APPEND | FD_NONBLOCK) & ~set);
}

void after_fcntl(struct lane *lane, int fd, fd_entry entry, int command, long argument,
                 uint64_t start, int64_t result)
{
    if (unlikely(!(entry & FD_OPEN)))
        entry = result == -EBADF ? KIND_UNKNOWN : hook_fd(lane, fd);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) {
        after_dup(lane, OP_FCNTL, fd, entry, 0, start, result);
        return;
    }
    if (command == F_SETFL && result >= 0)
        status_flags(fd, entry, (int)argument);
    after_fd(lane, OP_FCNTL, fd, entry, start, result);
}

/*
 * The third argument is a number, a pointer or nothing; as one word it is passed on in any case. A
 * number that was never met is asked about afterwards, if it was open at all: programs try them
 * all.
 */
#define FCNTL(name)                                                            \
    EXPORT int name(int fd, int command, ...)                                  \
    {                                                                          \
        va_list list;                                                          \
        va_start(list, command);                                               \
        long argument = va_arg(list, long);                                    \
        va_end(list);                                                          \
        REAL(name)                                                             \
        INTERCEPT_LANE(real(fd, command, argument));                           \
        fd_entry entry = fd_get(fd);                                           \
        uint64_t start = ticks_now();                                          \
        int r = real(fd, command, argument);                                   \
        after_fcntl(lane, fd, entry, command, argument, start, with_errno(r)); \
        return r;                                                              \
    }
int __fcntl(int fd, int command, ...);
FCNTL(fcntl)
FCNTL(fcntl64)
FCNTL(__fcntl)

/* Not counted: only FIONBIO says something that is kept. */
EXPORT int ioctl(int fd, unsigned long request, ...)
{
    va_list list;
    va_start(list, request);
    long argument = va_arg(list, long);
    va_end(list);
    REAL(ioctl)
    int r = real(fd, request, argument);
    if (unlikely(request == FIONBIO) && r == 0 && hook_lane()) {
        uint32_t set = *(const int *)argument ? FD_NONBLOCK : 0;
        fd_change(fd, FD_GENERATION(fd_get(fd)), set, FD_NONBLOCK & ~set);
    }
    return r;
}

__attribute__((noinline)) void after_pipe(struct lane *lane, enum op op, const int ends[2],
                                          int flags, uint64_t start, int64_t result)
{
    uint64_t end = ticks_now();
    struct region_head *region = hook_region;
    count_call(region, lane, op, result < 0 ? KIND_NONE : KIND_PIPE, start, end, 0,
               result < 0 ? (int)-result : 0);
    if (result == 0) {
        uint32_t set = FD_OPEN | (flags & O_NONBLOCK ? FD_NONBLOCK : 0);
        fd_entry from = fd_opened(region, ends[0], KIND_PIPE, set | FD_READ_END);
        fd_entry to = fd_opened(region, ends[1], KIND_PIPE, set);
        struct record r = {
            .type = RECORD_PIPE,
            .op = (uint8_t)op,
            .kind = KIND_PIPE,
            .start = start,
            .end = end,
            .fd = ends[0],
            .generation = FD_GENERATION(from),
            .result = 0,
            .a = (uint64_t)ends[1],
            .b = FD_GENERATION(to),
        };
        if (region->watch & WATCH_FILES)
            record_write(region, lane, &r, NULL, 0);
    }
    after_any(region);
}

int __pipe(int ends[2]);

/* The last argument of each of these: what /proc/self/fd calls it. */
#define EVENT(op, name, flags) \
    after_open_unnamed(lane, op, KIND_EVENT, "anon_inode:" name, O_RDWR | (flags), start, result)

/* clang-format off */
WRAP(int, pipe, (int ends[2]), (ends), after_pipe(lane, OP_PIPE, ends, 0, start, result))
WRAP(int, __pipe, (int ends[2]), (ends), after_pipe(lane, OP_PIPE, ends, 0, start, result))
WRAP(int, pipe2, (int ends[2], int flags), (ends, flags),
     after_pipe(lane, OP_PIPE2, ends, flags, start, result))
WRAP(int, eventfd, (unsigned count, int flags), (count, flags),
     EVENT(OP_EVENTFD, "[eventfd]", flags))
WRAP(int, epoll_create, (int size), (size), EVENT(OP_EPOLL_CREATE, "[eventpoll]", 0))
WRAP(int, epoll_create1, (int flags), (flags), EVENT(OP_EPOLL_CREATE, "[eventpoll]", flags))
WRAP(int, timerfd_create, (int clock, int flags), (clock, flags),
     EVENT(OP_TIMERFD, "[timerfd]", flags))
WRAP(int, inotify_init, (void), (), EVENT(OP_INOTIFY, "inotify", 0))
WRAP(int, inotify_init1, (int flags), (flags), EVENT(OP_INOTIFY, "inotify", flags))
/* clang-format on */

/* With a descriptor given, it changes that one, and opens nothing. */
EXPORT int signalfd(int fd, const sigset_t *mask, int flags)
{
    REAL(signalfd)
    INTERCEPT_LANE(real(fd, mask, flags));
    uint64_t start = ticks_now();
    int r = real(fd, mask, flags);
    int64_t result = with_errno(r);
    if (fd == -1)
        EVENT(OP_SIGNALFD, "[signalfd]", flags);
    else
        after_fd(lane, OP_SIGNALFD, fd, entry_of(lane, fd), start, result);
    return r;
}
