/*
 * Hands what moved through a connection to its flow (capture/flow.h): the part that all families of
 * calls share. Called on application threads after the real call; keeps errno.
 */
#ifndef SCOPE_INTERCEPT_FLOW_H
#define SCOPE_INTERCEPT_FLOW_H

#include <stdint.h>
#include <sys/uio.h>

#include "capture/flow.h"
#include "intercept/common.h"

/*
 * bytes > 0 moved through a descriptor with FD_FLOW: of `buffer`, or of the iovec's parts; both
 * NULL where they went by unseen. direction: 'r' or 'w'.
 */
void after_flow(struct lane *lane, int fd, fd_entry entry, uint64_t start, uint64_t end,
                int64_t bytes, const void *buffer, const struct iovec *iov, uint64_t parts,
                int direction);

/*
 * Before a call that sends on a connection: where another thread could read the answer before the
 * call is back, its bytes are shown to the flow now, and the entry that is returned says so
 * (FD_SHOWN). after_shown: behind that call, which asked for `size` bytes, or iov's.
 */
fd_entry before_flow(struct lane *lane, int fd, fd_entry entry, uint64_t start, const void *buffer,
                     uint64_t size);
fd_entry before_flow_vector(struct lane *lane, int fd, fd_entry entry, uint64_t start,
                            const struct iovec *iov, uint64_t parts);
struct msghdr;
fd_entry before_flow_message(struct lane *lane, int fd, fd_entry entry, uint64_t start,
                             const struct msghdr *message);
void after_shown(int fd, fd_entry entry, int64_t result, uint64_t size, const struct iovec *iov,
                 uint64_t parts);

/* A connect succeeded, or is under way. */
void after_flow_connect(struct lane *lane, int fd, fd_entry entry, uint64_t start, uint64_t end);

/* The connection has ended in a direction, or in both (0). */
void after_flow_end(struct lane *lane, int fd, fd_entry entry, uint64_t start, uint64_t end,
                    int direction);

/* A thread that is alone reads no answer before its own call is back. */
static inline bool may_be_overtaken(fd_entry entry)
{
    const fd_entry not = FD_SERVER | FD_CONNECTING | FD_TLS, is = FD_FLOW | FD_CONNECTED;
    return unlikely((entry & (is | not )) == is) && hook_region->lanes_high > 1 &&
           !(hook_region->watch & WATCH_INJECT) && !hook_region->sandboxed;
}

/* Whether plaintext was seen in a life that ends: an enum close_tls. */
static inline uint64_t flow_tls_of(int fd, fd_entry was)
{
    const struct flow_bytes m = {.fd = fd, .entry = was};
    return was & FD_TLS ? flow_tls(&m) : CLOSE_NO_TLS;
}

/* Before a call that waits: for events, whatever they are, or for another thread. */
static inline void before_events(void)
{
    struct lane *lane = hook_self;
    if ((uintptr_t)lane > 1 &&
        unlikely(!trace_is_none(&lane->context) || lane->crowd || !lane->event_loop))
        flow_idle(hook_region, lane);
}

static inline void before_waiting(void)
{
    struct lane *lane = hook_self;
    if ((uintptr_t)lane > 1 && unlikely(!trace_is_none(&lane->context)))
        flow_wait(hook_region, lane);
}

#endif
