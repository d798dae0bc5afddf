/* read, write and their families: every name under which glibc has them. */
#include "intercept/flow.h"
#include "intercept/inject.h"
#include "intercept/io.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "report/lifecycle.h"

/* Names that the headers have only under _FORTIFY_SOURCE, or not at all. */
ssize_t __read(int fd, void *buffer, size_t count);
ssize_t __write(int fd, const void *buffer, size_t count);
ssize_t __pread64(int fd, void *buffer, size_t count, off64_t offset);
ssize_t __pwrite64(int fd, const void *buffer, size_t count, off64_t offset);
ssize_t __read_chk(int fd, void *buffer, size_t count, size_t room);
ssize_t __pread_chk(int fd, void *buffer, size_t count, off_t offset, size_t room);
ssize_t __pread64_chk(int fd, void *buffer, size_t count, off64_t offset, size_t room);

/*
 * A forked child that waits for what another process writes starts its reporter here, if it has not
 * yet; files do not wait.
 */
static __attribute__((noinline, cold)) void wanted_before_read(fd_entry entry)
{
    unsigned kind = FD_KIND(entry);
    if (!(entry & FD_NONBLOCK) &&
        (kind == KIND_PIPE || kind == KIND_TTY || kind == KIND_EVENT || kind_is_socket(kind)))
        reporter_before_blocking();
}

/*
 * One wrapper; `after` is the call to after_read and its like. waits: whether it may wait for
 * another process. call: the real one, or what stands for it.
 */
#define IO(name, parameters, arguments, waits, after) \
    IO_BY(name, parameters, arguments, waits, real arguments, (void)0, after)
/* before: may show what is about to be sent. */
#define IO_BY(name, parameters, arguments, waits, call, before, after)              \
    EXPORT ssize_t name parameters                                                  \
    {                                                                               \
        REAL(name)                                                                  \
        INTERCEPT_LANE(real arguments);                                             \
        fd_entry entry = entry_of(lane, fd);                                        \
        if (waits && unlikely(__atomic_load_n(&reporter_wanted, __ATOMIC_RELAXED))) \
            wanted_before_read(entry);                                              \
        uint64_t start = ticks_now();                                               \
        before;                                                                     \
        ssize_t n = call;                                                           \
        after;                                                                      \
        return n;                                                                   \
    }

/* 0 bytes asked for: the 0 that comes back is no end of a stream */
#define ASKED (count ? buffer : NULL)
#define WAITS 1
#define AFTER_READ(op) after_read(lane, op, fd, entry, start, n, ASKED)
#define AFTER_WRITE(op) after_write(lane, op, fd, entry, start, n, ASKED)

/* A request must be known before another thread reads its answer: flow.h. */
#define SHOW                  \
    if (may_be_overtaken(entry)) \
    entry = before_flow(lane, fd, entry, start, buffer, count)
#define SHOW_IOV              \
    if (may_be_overtaken(entry)) \
    entry = before_flow_vector(lane, fd, entry, start, iov, (uint64_t)iovcnt)
#define AFTER_SHOWN(op)                                    \
    if (unlikely(entry & FD_SHOWN))                        \
        after_shown(fd, entry, n, count, NULL, 0);         \
    AFTER_WRITE(op)
#define AFTER_SHOWN_IOV(op)                                \
    if (unlikely(entry & FD_SHOWN))                        \
        after_shown(fd, entry, n, 0, iov, (uint64_t)iovcnt); \
    AFTER_WRITEV(op)
#define ASKED_IOV (iovcnt > 0 && n != 0 ? iov : asked_iov(iov, iovcnt))
#define AFTER_READV(op) after_readv(lane, op, fd, entry, start, n, ASKED_IOV, iovcnt)
#define AFTER_WRITEV(op) after_writev(lane, op, fd, entry, start, n, iov, iovcnt)

/* A vector that the kernel has read (the call gave 0): NULL if all of its parts are empty. */
static const struct iovec *asked_iov(const struct iovec *iov, int iovcnt)
{
    for (int i = 0; i < iovcnt; i++) {
        if (iov[i].iov_len)
            return iov;
    }
    return NULL;
}

/* clang-format off */
#define READ(name) IO(name, (int fd, void *buffer, size_t count), (fd, buffer, count), WAITS, AFTER_READ(OP_READ))
READ(read)
READ(__read)
IO(__read_chk, (int fd, void *buffer, size_t count, size_t room), (fd, buffer, count, room),
   WAITS, AFTER_READ(OP_READ))

#define PREAD(name, type)                                                                          \
    IO(name, (int fd, void *buffer, size_t count, type offset), (fd, buffer, count, offset),       \
       0, AFTER_READ(OP_PREAD))
PREAD(pread, off_t)
PREAD(pread64, off64_t)
PREAD(__pread64, off64_t)

#define PREAD_CHK(name, type)                                                                      \
    IO(name, (int fd, void *buffer, size_t count, type offset, size_t room),                       \
       (fd, buffer, count, offset, room), 0, AFTER_READ(OP_PREAD))
PREAD_CHK(__pread_chk, off_t)
PREAD_CHK(__pread64_chk, off64_t)

#define SENDING (&(struct sending){lane, fd, entry, start})
#define WRITE(name)                                                                                \
    IO_BY(name, (int fd, const void *buffer, size_t count), (fd, buffer, count), 0,                \
          injects(entry) ? inject_write(SENDING, real, buffer, count) : real(fd, buffer, count),   \
          SHOW, AFTER_SHOWN(OP_WRITE))
WRITE(write)
WRITE(__write)

#define PWRITE(name, type)                                                                         \
    IO(name, (int fd, const void *buffer, size_t count, type offset), (fd, buffer, count, offset), \
       0, AFTER_WRITE(OP_PWRITE))
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)
PWRITE(__pwrite64, off64_t)

#define VECTOR (int fd, const struct iovec *iov, int iovcnt)
#define VECTOR_AT(type) (int fd, const struct iovec *iov, int iovcnt, type offset)
#define VECTOR_V2(type) (int fd, const struct iovec *iov, int iovcnt, type offset, int flags)

IO(readv, VECTOR, (fd, iov, iovcnt), WAITS, AFTER_READV(OP_READV))
IO(preadv, VECTOR_AT(off_t), (fd, iov, iovcnt, offset), 0, AFTER_READV(OP_PREADV))
IO(preadv64, VECTOR_AT(off64_t), (fd, iov, iovcnt, offset), 0, AFTER_READV(OP_PREADV))
IO(preadv2, VECTOR_V2(off_t), (fd, iov, iovcnt, offset, flags), 0, AFTER_READV(OP_PREADV2))
IO(preadv64v2, VECTOR_V2(off64_t), (fd, iov, iovcnt, offset, flags), 0, AFTER_READV(OP_PREADV2))

IO_BY(writev, VECTOR, (fd, iov, iovcnt), 0,
      injects(entry) ? inject_writev(SENDING, real, iov, iovcnt) : real(fd, iov, iovcnt),
      SHOW_IOV, AFTER_SHOWN_IOV(OP_WRITEV))
IO(pwritev, VECTOR_AT(off_t), (fd, iov, iovcnt, offset), 0, AFTER_WRITEV(OP_PWRITEV))
IO(pwritev64, VECTOR_AT(off64_t), (fd, iov, iovcnt, offset), 0, AFTER_WRITEV(OP_PWRITEV))
IO(pwritev2, VECTOR_V2(off_t), (fd, iov, iovcnt, offset, flags), 0, AFTER_WRITEV(OP_PWRITEV2))
IO(pwritev64v2, VECTOR_V2(off64_t), (fd, iov, iovcnt, offset, flags), 0, AFTER_WRITEV(OP_PWRITEV2))

/* They read and write the eight bytes of the counter by internal calls of libc. */
WRAP_FD(int, eventfd_read, (int fd, eventfd_t *value), (fd, value), fd,
        after_read(lane, OP_READ, fd, entry, start, result == 0 ? 8 : r, value))
WRAP_FD(int, eventfd_write, (int fd, eventfd_t value), (fd, value), fd,
        after_write(lane, OP_WRITE, fd, entry, start, result == 0 ? 8 : r, NULL))

#define SEEK(name, type)                                                                           \
    WRAP_FD(type, name, (int fd, type offset, int whence), (fd, offset, whence), fd,               \
            after_fd(lane, OP_LSEEK, fd, entry, start, result))
__off_t __lseek(int fd, __off_t offset, int whence);
SEEK(lseek, off_t)
SEEK(lseek64, off64_t)
SEEK(__lseek, off_t)
/* clang-format on */
