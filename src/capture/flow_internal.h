/* What the files of flows share with one another, and with nobody else. */
#ifndef SCOPE_CAPTURE_FLOW_INTERNAL_H
#define SCOPE_CAPTURE_FLOW_INTERNAL_H

#include "capture/flow.h"
#include "capture/http1_frame.h"
#include "capture/http2_frame.h"
#include "capture/internal.h"
#include "capture/turn.h"

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

/* The request that a thread worked on when it connected, which its connection's flow still has. */
struct flow_cause {
    uint8_t span_id[8]; /* all zero: it is not known for whom */
    int32_t fd;         /* of that connection */
    uint32_t generation;
    uint64_t since; /* ticks */
    int32_t tid;    /* of the thread; 0: it worked on none */
};

enum flow_lost {
    LOST_ORDER = 1, /* it cannot be followed any more */
    LOST_TOLD = 2,  /* its framer is lost, which was counted */
};

struct flow {
    uint32_t generation; /* of the descriptor; 0: never used */
    uint8_t state;       /* enum flow_state */
    uint8_t plain;       /* what is read here is plaintext of TLS */
    uint8_t requests;    /* the direction in which requests go: 'r', 'w'; 0 not known */
    uint8_t has_random;  /* the direction in which the ClientHello went; 0: none has */
    uint8_t busy[2];     /* by direction: it is being fed */
    uint8_t lost[2];     /* enum flow_lost */
    uint32_t sequence[2];
    uint64_t held_at[2];     /* ticks: when the first bytes came, while they are held */
    uint8_t random[32];      /* of the ClientHello that went by */
    struct trace_ids ids;    /* of the latest request's span */
    struct flow_cause cause; /* client, until its first request has gone out */
    uint8_t adopted;   /* client: its parent is a thread's context, that a response brings back */
    uint8_t drawn;     /* `ids` are those of the request whose head is being sent: inject.h */
    uint8_t line_left; /* bytes of their line that must go before anything else */
    uint8_t spare;
    uint32_t ahead; /* bytes shown before they were sent that the program will send again */
    uint32_t open;  /* HTTP/2: requests that came in and whose answer has not ended */
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

/* The place of a descriptor's flow; NULL: none has one. */
struct flow *flow_place(int fd);

/* Of this life of the descriptor, as far as it has begun; NULL: not yet, or none. */
struct flow *flow_now(const struct flow_bytes *m);

/* The flow of this life of the descriptor, begun if need be; NULL where it has none. */
struct flow *flow_of(struct region_head *region, const struct flow_bytes *m);

static inline unsigned flow_way(int direction)
{
    return direction == 'w';
}

/*
 * Whose child a request is that goes out on a flow (NULL: it has none yet): all zero if nobody's.
 * Returns whether it is that of a thread's context, which the answer brings back.
 */
int flow_client_parent(struct region_head *region, const struct flow_bytes *m, const struct flow *f,
                       struct trace_ids *parent);

/*
 * Shows bytes to the framer of a flow that is HTTP/1 or HTTP/2, and records what it finds. Returns
 * how many it has taken: fewer where the connection speaks something else from there on.
 */
uint64_t flow_feed(struct flow_call *call, const uint8_t *bytes, uint64_t length);

/* A direction has ended: what runs to the end of the stream is complete. */
void flow_feed_end(struct flow_call *call);

#endif
