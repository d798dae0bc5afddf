/* What bytes need beyond a count: log and console data, DNS, connects under way, ends of streams.
 */
#include "intercept/io.h"

#include "intercept/flow.h"

enum { PIECES = 16 }; /* parts of an iovec handed over at a time: 256 bytes of stack */

/* A read of 0 bytes, or an error that a connection does not survive. Said once for each life. */
static void note_end(struct region_head *region, struct lane *lane, enum op op, int fd,
                     fd_entry entry, uint64_t start, uint64_t end, int64_t result)
{
    if (entry & FD_ENDED)
        return;
    fd_change(fd, FD_GENERATION(entry), FD_ENDED, 0);
    after_flow_end(lane, fd, entry, start, end, 'r');
    if (!(region->watch & WATCH_SOCKETS))
        return;
    struct record r = {
        .type = RECORD_END,
        .op = (uint8_t)op,
        .kind = (uint8_t)FD_KIND(entry),
        .start = start,
        .end = end,
        .fd = fd,
        .generation = FD_GENERATION(entry),
        .result = result,
        .flags =
            (entry & FD_SERVER ? RECORD_SERVER : 0) | (entry & FD_NONBLOCK ? RECORD_NONBLOCK : 0),
    };
    record_write(region, lane, &r, NULL, 0);
}

/* Whether this result tells how a connect under way ended. */
static int tells_outcome(int64_t result)
{
    switch (result) {
    case -EAGAIN:
    case -EINTR:
    case -EFAULT:
    case -EINVAL:
    case -EBADF:
    case -EALREADY:
    case -EINPROGRESS:
    case -ENOMEM:
    case -ENOBUFS:
    case -ENOTCONN: /* a UDP or unix socket that was never connected, or a SYN still on its way */
        return 0;
    default:
        return 1;
    }
}

struct moved {
    struct lane *lane;
    enum op op;
    int fd;
    fd_entry entry;
    uint64_t start, end;
    int direction;
    uint32_t flags; /* RECORD_OUT, RECORD_ERR */
    int is_log;
};

static void hand_on(const struct region_head *region, const struct moved *m, int64_t bytes,
                    const struct piece *pieces, unsigned count, uint32_t more)
{
    if (m->entry & (FD_DNS | FD_JOURNAL))
        socket_data(m->lane, m->op, m->fd, m->entry, m->start, m->end, bytes, pieces, count,
                    m->direction);
    if (m->is_log)
        record_data((struct region_head *)region, m->lane, m->op, m->fd, m->entry, m->start, m->end,
                    bytes, pieces, count, m->flags | more);
}

/* Gives the parts of a vector on, a handful at a time; a DNS message has few, and goes whole. */
static void hand_on_vector(const struct region_head *region, const struct moved *m, int64_t bytes,
                           const struct iovec *iov, int iovcnt)
{
    struct piece pieces[PIECES];
    int next = 0;
    while (bytes > 0 && next < iovcnt) {
        unsigned count = 0;
        int64_t length = 0;
        for (; count < PIECES && next < iovcnt && length < bytes; next++) {
            if (!iov[next].iov_len)
                continue;
            uint64_t rest = (uint64_t)(bytes - length);
            uint64_t part = iov[next].iov_len < rest ? iov[next].iov_len : rest;
            pieces[count].data = iov[next].iov_base;
            pieces[count++].length = (uint32_t)part;
            length += (int64_t)part;
        }
        bytes -= length;
        hand_on(region, m, length, pieces, count, bytes > 0 && next < iovcnt ? RECORD_MORE : 0);
    }
}

/* Whether what is written through this entry goes to the logs, as configured now. */
static int is_logged(const struct region_head *region, fd_entry entry)
{
    uint32_t watch = region->watch;
    return ((entry & (FD_OUT | FD_ERR)) && (watch & WATCH_CONSOLE)) ||
           ((entry & FD_LOG) && (watch & WATCH_LOGS));
}

static __attribute__((noinline)) void data_moved(const struct region_head *region,
                                                 const struct moved *m, int64_t bytes,
                                                 const void *buffer, const struct iovec *iov,
                                                 int iovcnt)
{
    if (iov) {
        hand_on_vector(region, m, bytes, iov, iovcnt);
    } else if (buffer) {
        struct piece piece = {buffer, (uint32_t)bytes};
        hand_on(region, m, bytes, &piece, 1, 0);
    }
}

__attribute__((noinline)) void io_slow(struct lane *lane, enum op op, int fd, fd_entry entry,
                                       uint64_t start, uint64_t end, int64_t result,
                                       const void *buffer, const struct iovec *iov, int iovcnt,
                                       int direction)
{
    struct region_head *region = hook_region;
    if (entry & FD_IGNORED)
        return;
    count_io(region, lane, op, fd, entry, start, end, result, direction);
    if ((entry & FD_CONNECTING) && (buffer || iov) && tells_outcome(result))
        socket_connect_outcome(lane, op, fd, entry, start, end, result);
    if (result <= 0) {
        unsigned kind = FD_KIND(entry);
        if (kind == KIND_TCP || kind == KIND_UNIX_STREAM) {
            int ended = result == 0 ? direction == 'r' && (buffer || iov)
                                    : result == -ECONNRESET || result == -EPIPE;
            if (ended)
                note_end(region, lane, op, fd, entry, start, end, result);
        }
    } else if ((entry & (FD_FLOW | FD_SHOWN)) == FD_FLOW) {
        after_flow(lane, fd, entry, start, end, result, buffer, iov, (uint64_t)iovcnt, direction);
    }
    if (result > 0 && entry & (FD_OUT | FD_ERR | FD_LOG | FD_DNS | FD_JOURNAL)) {
        struct moved m = {
            .lane = lane,
            .op = op,
            .fd = fd,
            .entry = entry,
            .start = start,
            .end = end,
            .direction = direction,
            .flags = (entry & FD_OUT ? RECORD_OUT : 0) | (entry & FD_ERR ? RECORD_ERR : 0),
            .is_log = direction == 'w' && is_logged(region, entry),
        };
        if (m.is_log || (entry & (FD_DNS | FD_JOURNAL)))
            data_moved(region, &m, result, buffer, iov, iovcnt);
    }
    after_any(region);
}

void after_readv(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start, ssize_t n,
                 const struct iovec *iov, int iovcnt)
{
    IO_AFTER(IO_READ_SLOW, NULL, iov, iovcnt, 'r');
}

void after_writev(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start, ssize_t n,
                  const struct iovec *iov, int iovcnt)
{
    IO_AFTER(IO_WRITE_SLOW, NULL, iov, iovcnt, 'w');
}

void after_count(struct lane *lane, enum op op, uint64_t start, int64_t result)
{
    uint64_t end = ticks_now();
    struct region_head *region = hook_region;
    count_call(region, lane, op, KIND_NONE, start, end, 0, result < 0 ? (int)-result : 0);
    after_any(region);
}

void after_fd(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start, int64_t result)
{
    uint64_t end = ticks_now();
    struct region_head *region = hook_region;
    count_io(region, lane, op, fd, entry, start, end, result, 0);
    after_any(region);
}

__attribute__((cold, noinline)) void intercept_late(void)
{
    int saved = errno;
    reporter_late();
    errno = saved;
}
