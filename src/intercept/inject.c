/* A traceparent on its way through write, writev, send and sendmsg. */
#include "intercept/inject.h"

#include <limits.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

enum {
    PARTS = 16, /* of a program's vector; longer ones are left alone */
    PAGE = 4096,
    /* flags with which a send is nothing but one */
    PLAIN_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE | MSG_CONFIRM,
    BY_WRITE = -1, /* in place of flags */
};

static struct flow_bytes moved(const struct sending *s)
{
    return (struct flow_bytes){.lane = s->lane,
                               .fd = s->fd,
                               .entry = s->entry,
                               .start = s->start,
                               .end = s->start,
                               .direction = 'w'};
}

bool inject_readable(const void *memory, size_t bytes)
{
    uintptr_t at = (uintptr_t)memory, last = at + bytes - 1;

    if (!bytes)
        return true;
    if (last < at)
        return false;
    for (uintptr_t page = at & ~(uintptr_t)(PAGE - 1); page <= last; page += PAGE) {
        if (sys(rt_sigprocmask, -1, page + 8, NULL, 8) == -EFAULT) /* 0 would be none to read */
            return false;
    }
    return true;
}

bool inject_has_room(int fd, uint64_t bytes)
{
    int queued = 0, room = 0;
    socklen_t length = sizeof(room);

    if (hook_region->sandboxed || sys(ioctl, fd, SIOCOUTQ, &queued) < 0 ||
        sys(getsockopt, fd, SOL_SOCKET, SO_SNDBUF, &room, &length) < 0)
        return false;
    /* the kernel counts its own structures, too */
    return room > queued && (uint64_t)(room - queued) / 2 > bytes;
}

/* ------------------------------------------------------------------ what is left of a line */

static ssize_t send_by(int fd, int flags, struct iovec *iov, unsigned count)
{
    if (flags == BY_WRITE) {
        REAL(writev)
        return real(fd, iov, (int)count);
    }
    REAL(sendmsg)
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
    return real(fd, &message, flags);
}

static __attribute__((noinline)) bool settle(const struct flow_bytes *m, int flags)
{
    uint8_t line[INJECT_LINE];
    unsigned left;

    while ((left = flow_line_left(m, line))) {
        struct iovec rest = {line, left};
        ssize_t n = send_by(m->fd, flags, &rest, 1);
        if (n < 0)
            return false;
        flow_line_sent(m, (unsigned)n);
    }
    return true;
}

bool inject_settle(const struct sending *s, int flags)
{
    struct flow_bytes m = moved(s);
    return settle(&m, flags < 0 ? BY_WRITE : flags & (MSG_DONTWAIT | MSG_NOSIGNAL));
}

/* At once, if it can be: the program is not made to wait, or told of it. */
static void settle_quietly(const struct flow_bytes *m)
{
    uint8_t line[INJECT_LINE];
    unsigned left = flow_line_left(m, line);
    long n = left ? sys(sendto, m->fd, line, left, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0) : 0;
    if (n > 0)
        flow_line_sent(m, (unsigned)n);
}

/* ------------------------------------------------------------------ a call with a line in it */

/* The count of the program's own bytes, when `n` of all of them went. */
static ssize_t own_bytes(const struct flow_bytes *m, const struct trace_ids *ids, uint32_t place,
                         ssize_t n)
{
    if (n <= (ssize_t)place) /* of the line nothing: it is not missed */
        return n;
    if (n >= (ssize_t)place + INJECT_LINE) {
        flow_injected(hook_region, m, ids, 0);
        return n - INJECT_LINE;
    }
    flow_injected(hook_region, m, ids, (unsigned)((ssize_t)place + INJECT_LINE - n));
    settle_quietly(m);
    return (ssize_t)place;
}

/* iov[0] has the head; its line is at `place`. */
static __attribute__((noinline)) ssize_t send_with(const struct flow_bytes *m, int flags,
                                                   const struct iovec *iov, unsigned count,
                                                   uint32_t place, const struct trace_ids *ids)
{
    uint8_t line[INJECT_LINE];
    struct iovec with[PARTS + 2] = {
        {iov[0].iov_base, place},
        {line, INJECT_LINE},
        {(uint8_t *)iov[0].iov_base + place, iov[0].iov_len - place},
    };
    for (unsigned i = 1; i < count; i++)
        with[i + 2] = iov[i];
    inject_line(ids, line);
    ssize_t n = send_by(m->fd, flags, with, count + 2);
    return n < 0 ? n : own_bytes(m, ids, place, n);
}

/* Where the line goes; 0: nowhere. count: at most PARTS. *skip: empty parts before the head's. */
static __attribute__((noinline)) uint32_t place_of(const struct flow_bytes *m,
                                                   const struct iovec *iov, unsigned count,
                                                   unsigned *skip, struct trace_ids *ids)
{
    uint64_t whole = INJECT_LINE;
    unsigned first = 0;

    while (first < count && !iov[first].iov_len)
        first++;
    for (unsigned i = first; i < count; i++) {
        if (iov[i].iov_len > INT_MAX / 2 || (whole += iov[i].iov_len) > INT_MAX / 2)
            return 0;
    }
    if (first == count)
        return 0;
    size_t head = iov[first].iov_len;
    *skip = first;
    if (!inject_readable(iov[first].iov_base, head < INJECT_HEAD_MAX ? head : INJECT_HEAD_MAX))
        return 0;
    uint32_t place = flow_inject(hook_region, m, iov[first].iov_base, head, 0, ids);
    return place && inject_has_room(m->fd, whole) ? place : 0;
}

static bool may(const struct flow_bytes *m)
{
    return !hook_region->sandboxed && !(m->entry & FD_TLS) && flow_may_inject(m, 0);
}

#define INJECT(flags, iov, count, skip_call)                \
    struct trace_ids ids;                                   \
    unsigned skip = 0;                                      \
    uint32_t place = place_of(&m, iov, count, &skip, &ids); \
    if (!place)                                             \
        return skip_call;                                   \
    return send_with(&m, flags, (iov) + skip, (count)-skip, place, &ids)

__attribute__((noinline)) ssize_t inject_write(const struct sending *s,
                                               ssize_t (*real)(int, const void *, size_t),
                                               const void *buffer, size_t size)
{
    struct flow_bytes m = moved(s);
    struct iovec iov = {(void *)(uintptr_t)buffer, size};

    if (!settle(&m, BY_WRITE))
        return -1;
    if (!may(&m))
        return real(s->fd, buffer, size);
    INJECT(BY_WRITE, &iov, 1u, real(s->fd, buffer, size));
}

__attribute__((noinline)) ssize_t inject_writev(const struct sending *s,
                                                ssize_t (*real)(int, const struct iovec *, int),
                                                const struct iovec *iov, int count)
{
    struct flow_bytes m = moved(s);

    if (!settle(&m, BY_WRITE))
        return -1;
    if (count <= 0 || count > PARTS || !may(&m) ||
        !inject_readable(iov, (size_t)count * sizeof(*iov)))
        return real(s->fd, iov, count);
    INJECT(BY_WRITE, iov, (unsigned)count, real(s->fd, iov, count));
}

__attribute__((noinline)) ssize_t inject_send(const struct sending *s,
                                              ssize_t (*real)(int, const void *, size_t, int),
                                              const void *buffer, size_t size, int flags)
{
    struct flow_bytes m = moved(s);
    struct iovec iov = {(void *)(uintptr_t)buffer, size};

    if (!settle(&m, flags & (MSG_DONTWAIT | MSG_NOSIGNAL)))
        return -1;
    if (flags & ~PLAIN_FLAGS || !may(&m))
        return real(s->fd, buffer, size, flags);
    INJECT(flags, &iov, 1u, real(s->fd, buffer, size, flags));
}

/* A message with an address or with control data does more than send bytes. */
static bool is_plain(const struct msghdr *message)
{
    return inject_readable(message, sizeof(*message)) && !message->msg_name &&
           !message->msg_namelen && !message->msg_control && !message->msg_controllen &&
           message->msg_iovlen && message->msg_iovlen <= PARTS &&
           inject_readable(message->msg_iov, message->msg_iovlen * sizeof(struct iovec));
}

__attribute__((noinline)) ssize_t inject_sendmsg(const struct sending *s,
                                                 ssize_t (*real)(int, const struct msghdr *, int),
                                                 const struct msghdr *message, int flags)
{
    struct flow_bytes m = moved(s);

    if (!settle(&m, flags & (MSG_DONTWAIT | MSG_NOSIGNAL)))
        return -1;
    if (flags & ~PLAIN_FLAGS || !may(&m) || !is_plain(message))
        return real(s->fd, message, flags);
    INJECT(flags, message->msg_iov, (unsigned)message->msg_iovlen, real(s->fd, message, flags));
}
