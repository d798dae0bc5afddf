/* What the files of flows share with one another, and with nobody else. */
#ifndef SCOPE_CAPTURE_FLOW_INTERNAL_H
#define SCOPE_CAPTURE_FLOW_INTERNAL_H

#include "capture/flow.h"
#include "capture/http1_frame.h"
#include "capture/http2_frame.h"
#include "capture/internal.h"

enum flow_state {
    FLOW_NEW, /* nothing decided: the first bytes are looked at */
    FLOW_HTTP1,
    FLOW_HTTP2,
    FLOW_CIPHER, /* TLS, whose plaintext has not come (yet) */
    FLOW_OTHER,  /* nothing that we read, or no longer */
};

enum { FLOW_HOLD = 48 }; /* a ClientHello's random ends at byte 43 */

/* The first bytes of one direction, until it is known what they are. */
struct flow_first {
    uint8_t length;
    uint8_t bytes[FLOW_HOLD];
};

struct flow {
    uint32_t generation; /* of the descriptor; 0: never used */
    uint8_t state;       /* enum flow_state */
    uint8_t plain;       /* what is read here is plaintext of TLS */
    uint8_t requests;    /* the direction in which requests go: 'r', 'w'; 0 not known */
    uint8_t has_random;  /* the direction in which the ClientHello went; 0: none has */
    uint8_t busy[2]; /* by direction: it is being fed */
    uint8_t lost[2]; /* it cannot be followed any more */
    uint32_t sequence[2];
    uint64_t ahead;       /* bytes shown before they were sent that the program will send again */
    uint64_t held_at[2];  /* ticks: when the first bytes came, while they are held */
    uint8_t random[32];   /* of the ClientHello that went by */
    struct trace_ids ids; /* of the latest request's span */
    uint8_t adopted; /* client: its parent is a thread's context, that a response brings back */
    uint8_t told_lost[2]; /* by direction: that its framer is lost was counted */
    uint8_t spare[5];
    struct flow_first first[2];
    union {
        struct http1_frame http1;
        struct http2_frame http2;
    };
};
_Static_assert(sizeof(struct flow) <= FLOW_SIZE, "a flow fits its place");

/* One call's work on a flow. */
struct flow_call {
    struct region_head *region;
    const struct flow_bytes *m;
    struct flow *flow;
    unsigned way;      /* 0 'r', 1 'w': index of its direction */
    uint64_t first_at; /* ticks for the first bytes of a message: held ones came earlier; 0: m's */
    unsigned requests; /* whose heads were completed in this call */
};

static inline unsigned flow_way(int direction)
{
    return direction == 'w';
}

/*
 * Shows bytes to the framer of a flow that is HTTP/1 or HTTP/2, and records what it finds. Returns
 * how many it has taken: fewer where the connection speaks something else from there on.
 */
uint64_t flow_feed(struct flow_call *call, const uint8_t *bytes, uint64_t length);

/* A direction has ended: what runs to the end of the stream is complete. */
void flow_feed_end(struct flow_call *call);

#endif
