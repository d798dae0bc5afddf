/* Bytes of connections on their way to flows. */
#include "intercept/flow.h"

#include "intercept/socket.h"

enum { PIECES = 16 }; /* 256 bytes of stack at a time */

static __attribute__((noinline)) void vector(const struct flow_bytes *m, int64_t bytes,
                                             const struct iovec *iov, uint64_t parts)
{
    struct piece pieces[PIECES];
    uint64_t next = 0, left = (uint64_t)bytes;
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
        if (!count)
            return;
        flow_moved(hook_region, m, pieces, count, length);
        left -= length;
    }
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
        vector(&m, bytes, iov, parts);
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
