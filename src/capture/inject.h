/*
 * inject: a traceparent for a request that goes out: where in its head it may stand, which ids it
 * has, and what of it is still to be sent.
 *
 * Owns nothing; what must outlive a call stands in the connection's flow. Called by
 * src/intercept/inject*.c around the call that sends, on application threads. Freestanding as all
 * of capture; reads the bytes that it is given alone.
 *
 * The order of things: flow_inject says where the line goes, and draws the ids of the request's
 * span; the caller sends; if any of the line went, flow_injected; then the program's own bytes are
 * given to flow_moved or flow_plain, where the request is found and gets those ids. If nothing of
 * the line went the ids are forgotten.
 */
#ifndef SCOPE_CAPTURE_INJECT_H
#define SCOPE_CAPTURE_INJECT_H

#include "capture/flow.h"

enum {
    INJECT_HEAD_MAX = 4096, /* longer heads are left alone: servers have bounds, 8 KiB and more */
    INJECT_FIELDS_MAX = 64, /* so with the number of fields: 100 and more */
    INJECT_LINE = 13 + TRACEPARENT_LENGTH + 2,
};

/*
 * Where a field line may be added to the request head that these bytes begin with: the offset of
 * its empty line. 0: they do not begin with a whole head, or with one that is to be left alone: a
 * method that is not known, CONNECT, an upgrade, a version other than 1.0 and 1.1, a context of its
 * own (traceparent, tracestate, B3), or anything that is not by RFC 9112 to the letter.
 */
uint32_t inject_place(const uint8_t *bytes, uint64_t length);

/* Whether a request may begin with the next bytes: cheap, before any of them is looked at. */
int flow_may_inject(const struct flow_bytes *m, int plain);

/*
 * The bytes that are about to be sent: where the line goes (0: it does not), and the ids. plain:
 * they go through a TLS library.
 */
uint32_t flow_inject(struct region_head *region, const struct flow_bytes *m, const uint8_t *bytes,
                     uint64_t length, int plain, struct trace_ids *ids);

/* The line was sent, but for its last `left` bytes. Returns 0 where the flow cannot hold it. */
int flow_injected(struct region_head *region, const struct flow_bytes *m,
                  const struct trace_ids *ids, unsigned left);

/* What is left of a line on this descriptor, copied to the front of `line`. 0: nothing. */
unsigned flow_line_left(const struct flow_bytes *m, uint8_t line[INJECT_LINE]);

/* So many bytes of that were sent. */
void flow_line_sent(const struct flow_bytes *m, unsigned bytes);

/* "traceparent: ...\r\n" */
void inject_line(const struct trace_ids *ids, uint8_t line[INJECT_LINE]);

#endif
