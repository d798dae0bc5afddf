/*
 * flow: the conversation on one connected descriptor: which protocol it speaks, and where in it
 * both directions are. Bytes come in as the program moved them; out come RECORD_MESSAGE,
 * RECORD_CONTEXT and the thread's context.
 *
 * Owns: a table of flows by descriptor number, process private as the descriptor table is (a forked
 * child has its copy), mapped by hook's constructor where traces or HTTP metrics are wanted. A flow
 * begins when the first byte moves, and is told from an earlier one by the generation. Called by
 * src/intercept on application threads and in their signal handlers. Freestanding; no system call.
 *
 * Concurrency: the two directions of a flow may be fed at once. One direction fed twice at once
 * (two threads that write, or a handler on top) cannot be read in order: that direction is lost,
 * and counted (DROP_FLOW).
 */
#ifndef SCOPE_CAPTURE_FLOW_H
#define SCOPE_CAPTURE_FLOW_H

#include "capture/capture.h"

enum {
    FLOW_MAX = 1 << 16,
    FLOW_SIZE = 512
}; /* descriptors above have no flow: DROP_FLOW, once each */

extern uint8_t
    *flow_table; /* FLOW_MAX * FLOW_SIZE bytes, zero where untouched; NULL: none wanted */

/* Bytes that moved, for flow_moved. */
struct flow_bytes {
    struct lane *lane;
    int fd;
    fd_entry entry;      /* as it was before the call */
    uint64_t start, end; /* ticks of the call */
    int direction;       /* 'r' or 'w' */
};

/*
 * `length` > 0 bytes moved in one call; pieces as the program gave them, at least that many bytes,
 * or NULL where they went by unseen (sendfile, splice). For descriptors with FD_FLOW alone; takes
 * the flag away when nothing in the flow is of interest any more.
 */
void flow_moved(struct region_head *region, const struct flow_bytes *m, const struct piece *pieces,
                unsigned count, uint64_t length);

/*
 * `length` > 0 bytes are about to be sent on a connection that this process made. Another thread
 * may read the answer before the call that sends is back: what it answers must be known by then.
 * Returns whether they were taken; then flow_moved is not told of them, and flow_unsent of those
 * that did not go, which the program sends again or never. m->end is to be m->start.
 */
int flow_sending(struct region_head *region, const struct flow_bytes *m, const struct piece *pieces,
                 unsigned count, uint64_t length);
void flow_unsent(const struct flow_bytes *m, uint64_t length);

/*
 * The thread connects m->fd. An event loop sends the first request later, when it has no context
 * any more: it is then the child of the request that it connects for now, unless that has been
 * answered.
 */
void flow_connects(struct region_head *region, const struct flow_bytes *m);

/* The stream has ended in a direction ('r': the peer's end; 'w': shutdown), or in both (0: close).
 */
void flow_ended(struct region_head *region, const struct flow_bytes *m);

/*
 * TLS: plaintext that a library gave to the program ('r') or took from it ('w'). m->fd must be the
 * connection's descriptor. From the first of it on, flow_moved of this flow, which sees ciphertext,
 * tells nothing more.
 */
void flow_plain(struct region_head *region, const struct flow_bytes *m, const void *bytes,
                uint64_t length);

/* Of the life of m->fd that ends: an enum close_tls. */
unsigned flow_tls(const struct flow_bytes *m);

/* A handshake has ended on m->fd (start to end), well if result is 0. name: of the server,
 * protocol: ALPN. */
void flow_handshake(struct region_head *region, const struct flow_bytes *m,
                    const struct tls_handshake *what, const char *name, const char *protocol,
                    int64_t result);

/*
 * The descriptor on which a ClientHello with this random went by lately, or -1: for libraries that
 * work on memory buffers. direction: 'w' it went out (of a client), 'r' it came in; 0: either (both
 * ends may be in one process). *entry is that of its life.
 */
int flow_by_random(const uint8_t random[32], int direction, fd_entry *entry);

/* The thread goes back to its event loop: what comes has another cause. */
void flow_idle(struct region_head *region, struct lane *lane);

/*
 * The thread waits for another one (a condition, a semaphore). Its context goes on if the request
 * is not answered yet; behind the answer, it may be about to take up anything.
 */
void flow_wait(struct region_head *region, struct lane *lane);

/* The lane has no context any more. */
void trace_leave(struct region_head *region, struct lane *lane);

/* Tells the context again: in a forked child, whose reporter has not heard of it. */
void trace_tell(struct region_head *region, struct lane *lane);

/*
 * The ids that a child, or a request that goes out, would have as its parent: the thread's context,
 * else that of the process (region->process), else all zero. span_id is the parent's.
 */
void trace_current(const struct region_head *region, const struct lane *lane,
                   struct trace_ids *out);

/* Draws ids of a new span below `parent` (all zero: of a new trace, sampled as the region says). */
void trace_begin(const struct region_head *region, struct lane *lane,
                 const struct trace_ids *parent, struct trace_ids *out);

#endif
