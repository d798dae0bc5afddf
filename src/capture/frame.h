/*
 * frame: which bytes of a conversation matter. A framer is shown every byte of one direction of a
 * connection, in order, however they were split, and says of each run of them: part of a header
 * block (to be kept), part of a body (to be skipped), the end of a message.
 *
 * Owns: nothing; a framer's whole state is the structure it is given, all zero at the start, no
 * pointers in it. Called by flow.c, on application threads and in their signal handlers, inside the
 * call that moved the bytes. Freestanding as all of capture: no libc, no allocation, no system
 * call, frames under 512 bytes. The two directions of a connection may be fed on two threads at
 * once; what they share is read and written by atomics.
 *
 * A framer never invents: bytes that do not follow the protocol give FRAME_LOST, and nothing more
 * until it has found a place where a message begins for certain, if it ever does. What was told of
 * a message before FRAME_LOST without FRAME_HEAD_END is void.
 */
#ifndef SCOPE_CAPTURE_FRAME_H
#define SCOPE_CAPTURE_FRAME_H

#include <stddef.h>
#include <stdint.h>

/* Which way the bytes go: requests or responses. (HTTP/2: from the client, from the server.) */
enum frame_side { SIDE_REQUEST, SIDE_RESPONSE };

enum frame_what {
    FRAME_HEAD = 1, /* `used` bytes are of a header block: keep them */
    FRAME_BODY,     /* `used` bytes are of a body, or framing around it: nothing to keep */
    FRAME_LOST,     /* `used` bytes do not follow the protocol; the connection is read no further
                       in this direction, unless FRAME_HEAD with FRAME_FIRST comes again */
    FRAME_UPGRADED, /* from here on the connection speaks something else (`used` may be 0);
                       both directions of it, once the response said so */
    FRAME_RESET,    /* HTTP/2: RST_STREAM; body: the error code */
    FRAME_GOAWAY,   /* HTTP/2: body: the error code, number: the last stream */
    FRAME_SETTINGS, /* HTTP/2: body: SETTINGS_HEADER_TABLE_SIZE of the sender, number: the least
                       value where the frame gives several; body FRAME_UNSAID: it gives none */
    FRAME_SETTLED,  /* HTTP/2: the sender acknowledges the oldest SETTINGS of the other side that it
                       has not yet: its header blocks heed them from here on */
};

enum {
    FRAME_FIRST = 1u,    /* the first bytes of a message */
    FRAME_HEAD_END = 2u, /* the header block is complete with these bytes */
    FRAME_END = 4u,      /* the message is complete with these bytes; body: the size of its body */
    FRAME_INTERIM = 8u,  /* a 1xx response: not the answer yet */
    FRAME_TRAILER = 16u, /* a header block behind the body */
    FRAME_PUSH = 32u,    /* PUSH_PROMISE: number: the promised stream */
    FRAME_CUT = 64u,     /* the head is longer than FRAME_HEAD_MAX; the rest is not kept */
    FRAME_GRPC = 128u,   /* messages counts whole length-prefixed messages */
};

enum {
    FRAME_HEAD_MAX = 16384, /* bytes of one header block that are kept */
    FRAME_CONTEXT = 56,     /* bytes of a traceparent that are kept; version 00 has 55 */
};

#define FRAME_UNSAID UINT64_MAX

/* What one step found out about the first `used` bytes of what it was given. */
struct frame_step {
    size_t used;
    uint16_t what;     /* enum frame_what */
    uint16_t flags;    /* FRAME_* */
    uint32_t number;   /* HTTP/1: the message in its direction, from 1; a response has the number of
                          the request that it answers. HTTP/2: the stream */
    uint64_t body;     /* see above; only with what says so */
    uint32_t messages; /* with FRAME_GRPC */
};

#endif
