/*
 * io: what happens after bytes went through a descriptor, for files, sockets and stdio alike.
 *
 * The inline part is the way of a plain descriptor: one test, one count. Everything else (console
 * and log data, DNS, the end of a stream, a connect under way, the end of the process) is io_slow.
 * start is the time before the real call, n is what it returned (errno as it left it).
 */
#ifndef SCOPE_INTERCEPT_IO_H
#define SCOPE_INTERCEPT_IO_H

#include <sys/uio.h>

#include "capture/turn.h"
#include "intercept/common.h"
#include "intercept/socket.h"

enum {
    /* entries that need more than a count when bytes came in, and when bytes went out */
    IO_READ_SLOW = FD_DNS | FD_JOURNAL | FD_CONNECTING | FD_IGNORED | FD_FLOW,
    IO_WRITE_SLOW = IO_READ_SLOW | FD_OUT | FD_ERR | FD_LOG,
};

/*
 * direction: 'r' or 'w'. Either buffer (iov NULL) or iov of iovcnt parts; both NULL where nothing
 * was asked for, so that a 0 is not taken for the end of a stream. result: as of with_errno.
 */
void io_slow(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start, uint64_t end,
             int64_t result, const void *buffer, const struct iovec *iov, int iovcnt,
             int direction);

#define IO_AFTER(mask, buffer, iov, iovcnt, direction)                   \
    uint64_t end = ticks_now();                                          \
    struct region_head *region = hook_region;                            \
    if (likely(n > 0 && !(((uint32_t)entry & (mask)) | region->late))) { \
        count_io(region, lane, op, fd, entry, start, end, n, direction); \
        if (direction == 'r')                                            \
            turn_read(region, lane, fd, entry);                          \
        return;                                                          \
    }                                                                    \
    io_slow(lane, op, fd, entry, start, end, with_errno(n), buffer, iov, iovcnt, direction)

/* Give buf as NULL when the call asked for no bytes. */
static inline void after_read(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                              ssize_t n, const void *buf)
{
    IO_AFTER(IO_READ_SLOW, buf, 0, 0, 'r');
}

static inline void after_write(struct lane *lane, enum op op, int fd, fd_entry entry,
                               uint64_t start, ssize_t n, const void *buf)
{
    IO_AFTER(IO_WRITE_SLOW, buf, 0, 0, 'w');
}

/* The same of vectors. Give iov as NULL when the call asked for no bytes. */
void after_readv(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start, ssize_t n,
                 const struct iovec *iov, int iovcnt);
void after_writev(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start, ssize_t n,
                  const struct iovec *iov, int iovcnt);

#endif
