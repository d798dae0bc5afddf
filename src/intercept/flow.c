/* Bytes of connections on their way to flows. */
#include "intercept/flow.h"

#include "intercept/inject.h"
#include "intercept/socket.h"

enum {
    PIECES = 16,   /* 256 bytes of stack at a time */
    SHOWN = 16384, /* what is longer is no request's head: it is told behind the call */
};

/* Returns whether the flow took them. */
static int tell(const struct flow_bytes *m, bool before, const struct piece *pieces, unsigned count,
                uint64_t length)
{
    if (before)
        return flow_sending(hook_region, m, pieces, count, length);
    flow_moved(hook_region, m, pieces, count, length);
    return 1;
}

static __attribute__((noinline)) int vector(const struct flow_bytes *m, bool before, uint64_t left,
                                            const struct iovec *iov, uint64_t parts)
{
    struct piece pieces[PIECES];
    uint64_t next = 0;
    while (left && next < parts) {
        unsigned count = 0;
        uint64_t length = 0;
        for (; count < PIECES && next < parts && length < left; next++) {
            uint64_t n = iov[next].iov_len;
            if (!n)
                continue;
            if (n > left - length)
                n = left - length;
            pieces[count].data = iov[next].iov_base;
            pieces[count++].length = (uint32_t)n;
            length += n;
        }
        if (!count || !tell(m, before, pieces, count, length))
            return 0;
        left -= length;
    }
    return 1;
}

static struct flow_bytes sending(struct lane *lane, int fd, fd_entry entry, uint64_t start)
{
    return (struct flow_bytes){
        .lane = lane, .fd = fd, .entry = entry, .start = start, .end = start, .direction = 'w'};
}

__attribute__((noinline)) fd_entry before_flow(struct lane *lane, int fd, fd_entry entry,
                                               uint64_t start, const void *buffer, uint64_t size)
{
    if (!(hook_region->watch & WATCH_FLOWS) || !size || size > SHOWN ||
        !inject_readable(buffer, size))
        return entry;
    struct flow_bytes m = sending(lane, fd, entry, start);
    struct piece piece = {buffer, (uint32_t)size};
    return tell(&m, true, &piece, 1, size) ? entry | FD_SHOWN : entry;
}

static uint64_t size_of(const struct iovec *iov, uint64_t parts)
{
    uint64_t size = 0;
    for (uint64_t i = 0; i < parts; i++)
        size += iov[i].iov_len;
    return size;
}

__attribute__((noinline)) fd_entry before_flow_vector(struct lane *lane, int fd, fd_entry entry,
                                                      uint64_t start, const struct iovec *iov,
                                                      uint64_t parts)
{
    if (!(hook_region->watch & WATCH_FLOWS) || parts > PIECES ||
        !inject_readable(iov, parts * sizeof(*iov)))
        return entry;
    uint64_t size = size_of(iov, parts);
    if (!size || size > SHOWN)
        return entry;
    for (uint64_t i = 0; i < parts; i++)
        if (!inject_readable(iov[i].iov_base, iov[i].iov_len))
            return entry;
    struct flow_bytes m = sending(lane, fd, entry, start);
    return vector(&m, true, size, iov, parts) ? entry | FD_SHOWN : entry;
}

fd_entry before_flow_message(struct lane *lane, int fd, fd_entry entry, uint64_t start,
                             const struct msghdr *message)
{
    return inject_readable(message, sizeof(*message))
               ? before_flow_vector(lane, fd, entry, start, message->msg_iov, message->msg_iovlen)
               : entry;
}

void after_shown(int fd, fd_entry entry, int64_t result, uint64_t size, const struct iovec *iov,
                 uint64_t parts)
{
    struct flow_bytes m = {.fd = fd, .entry = entry, .direction = 'w'};
    uint64_t asked = iov ? size_of(iov, parts) : size;
    uint64_t gone = result > 0 ? (uint64_t)result : 0;
    if (gone < asked)
        flow_unsent(&m, asked - gone);
}

__attribute__((noinline)) void after_flow(struct lane *lane, int fd, fd_entry entry, uint64_t start,
                                          uint64_t end, int64_t bytes, const void *buffer,
                                          const struct iovec *iov, uint64_t parts, int direction)
{
    if (!(hook_region->watch & WATCH_FLOWS) || bytes <= 0)
        return;
    struct flow_bytes m = {
        .lane = lane, .fd = fd, .entry = entry, .start = start, .end = end, .direction = direction};
    if (iov) {
        vector(&m, false, (uint64_t)bytes, iov, parts);
    } else if (buffer) {
        struct piece piece = {buffer, (uint32_t)bytes};
        flow_moved(hook_region, &m, &piece, 1, (uint64_t)bytes);
    } else {
        flow_moved(hook_region, &m, NULL, 0, (uint64_t)bytes);
    }
}

void after_flow_connect(struct lane *lane, int fd, fd_entry entry, uint64_t start, uint64_t end)
{
    unsigned kind = FD_KIND(entry);
    if (!(hook_region->watch & WATCH_FLOWS) || (kind != KIND_TCP && kind != KIND_UNIX_STREAM))
        return;
    struct flow_bytes m = {.lane = lane, .fd = fd, .entry = entry, .start = start, .end = end};
    flow_connects(hook_region, &m);
}

void after_flow_end(struct lane *lane, int fd, fd_entry entry, uint64_t start, uint64_t end,
                    int direction)
{
    unsigned kind = FD_KIND(entry);
    if (!(hook_region->watch & WATCH_FLOWS) || (kind != KIND_TCP && kind != KIND_UNIX_STREAM))
        return;
    struct flow_bytes m = {
        .lane = lane, .fd = fd, .entry = entry, .start = start, .end = end, .direction = direction};
    flow_ended(hook_region, &m);
}
