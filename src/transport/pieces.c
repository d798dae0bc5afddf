/*
 * Lines into what can be full: pipes, terminals, stream sockets on standard output. Never blocks
 * beyond the deadline, and a line that another writer could interrupt goes out in one piece.
 */
#include "transport/internal.h"

#include <errno.h>
#include <poll.h>

#include "os/sys.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

/*
 * The descriptor shares its flags with the program's own standard output, which must stay blocking:
 * so it is asked first. A pipe that says it is writable has room for PIPE_BUF bytes; where another
 * writer takes that room in between, RWF_NOWAIT (pipes, Linux 6.4) or else only luck avoids a wait.
 */
static long write_carefully(int fd, const struct iovec *parts, int count)
{
    int events = wait_for(fd, POLLOUT, 0);

    if (events < 0)
        return events;
    if (!(events & (POLLOUT | POLLERR)))
        return -EAGAIN;
    if (!(events & POLLERR)) {
        long n = sys(pwritev2, fd, parts, count, -1, -1, RWF_NOWAIT);
        if (n != -EOPNOTSUPP && n != -ENOSYS && n != -EINVAL && n != -ESPIPE)
            return n;
    }
    return write_quietly(fd, parts, count);
}

static long write_piece(int fd, enum piece_way way, const struct iovec *parts, int count)
{
    if (way == PIECES_SEND) {
        struct msghdr m = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
        return sys(sendmsg, fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return way == PIECES_CAREFUL ? write_carefully(fd, parts, count)
                                 : write_quietly(fd, parts, count);
}

/* As many whole lines as fit into one piece; of a line that does not fit, a part. */
static size_t piece_length(const char *data, size_t length, size_t max)
{
    if (length <= max)
        return length;
    size_t whole = whole_lines(data, max);
    return whole ? whole : max;
}

static int give_up(struct transport *t, const char *data, size_t length, size_t at)
{
    size_t whole = whole_lines(data, at);

    t->partial = whole;
    unit_stopped(t, data + whole, length - whole, at - whole);
    if (at)
        t->mend = at != whole;
    return transport_away(t, "write", EAGAIN);
}

int pieces_send(struct transport *t, int fd, enum piece_way way, const char *data, size_t length,
                uint64_t deadline)
{
    size_t at = unit_resume(t, data, length);

    if (at)
        t->mend = false; /* goes on with the very line that was interrupted */
    while (at < length) {
        size_t mend = t->mend ? 1 : 0;
        struct iovec parts[2] = {
            {.iov_base = "\n", .iov_len = mend},
            {.iov_base = (void *)(data + at),
             .iov_len = piece_length(data + at, length - at, PIECE_MAX - mend)}};
        long n = write_piece(fd, way, parts + !mend, mend ? 2 : 1);
        if (n > 0) {
            t->mend = false;
            t->moved = true;
            at += (size_t)n - mend;
            continue;
        }
        if (n == -EINTR)
            continue;
        if (n != -EAGAIN)
            return n ? (int)n : -EIO;
        int events = wait_for(fd, POLLOUT, deadline);
        if (events == 0)
            return give_up(t, data, length, at);
        if (events < 0)
            return events;
        if (!(events & POLLOUT))
            return -EPIPE;
    }
    return 0;
}
