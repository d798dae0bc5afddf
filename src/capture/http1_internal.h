/* What the two halves of the framer of HTTP/1 share: heads (http1_head.c) and the rest. */
#ifndef SCOPE_CAPTURE_HTTP1_INTERNAL_H
#define SCOPE_CAPTURE_HTTP1_INTERNAL_H

#include "capture/http1_frame.h"

/* Where the next byte of a side stands. In this order: between messages, head, body, nothing. */
enum http1_state {
    AT_START, /* a message begins, or an empty line before it */
    AT_EMPTY, /* the LF of an empty line before a message */

    AT_METHOD,
    AT_TARGET,
    AT_VERSION,
    AT_MINOR,
    AT_SPACE, /* before the status */
    AT_STATUS,
    AT_STATUS_END, /* a space, or the end of the line */
    AT_REASON,
    AT_LINE_END,
    AT_LINE_LF,
    AT_FIELD, /* the first byte of a field line, or of the empty line */
    AT_NAME,
    AT_VALUE,
    AT_VALUE_LF,
    AT_HEAD_LF,
    AT_HEAD_END, /* the head is complete: nobody waits here */

    AT_BODY,       /* measured */
    AT_BODY_CLOSE, /* to the end of the connection */
    AT_CHUNK_SIZE,
    AT_CHUNK_SPACE,     /* behind the size */
    AT_CHUNK_EXTENSION, /* ignored */
    AT_CHUNK_SIZE_LF,
    AT_CHUNK_DATA,
    AT_CHUNK_CR,
    AT_CHUNK_LF,
    AT_TRAILER, /* the first byte of a trailer's line, or of the empty line */
    AT_TRAILER_LINE,
    AT_TRAILER_LF,
    AT_TRAILERS_LF,

    AT_CLOSED, /* the last message was said to be the last */
    AT_LOST,
};

/* What the fields of a head said. */
enum {
    SAID_LENGTH = 1,
    SAID_CODING = 2,
    SAID_CHUNKED = 4, /* the last coding so far */
    SAID_CLOSE = 8,
    SAID_KEEP_ALIVE = 16,
    SAID_UPGRADE = 32,
};

enum { METHOD_OTHER, METHOD_HEAD, METHOD_CONNECT };

/*
 * Reads a head on, from a state between AT_METHOD and AT_HEAD_LF; returns the first byte it did not
 * use. Afterwards the state is AT_HEAD_END, AT_LOST, or one of those, and then all bytes are used.
 * f: where a traceparent goes; NULL for a response.
 */
const uint8_t *http1_head(struct http1_frame *f, struct http1_side *s, const uint8_t *p,
                          const uint8_t *end);

/* The first byte from p on that is CR, LF or NUL; end: there is none. */
const uint8_t *http1_value_end(const uint8_t *p, const uint8_t *end);

/* Of any byte: its lower case if it may stand in a token, else 0. */
extern const uint8_t http1_token[256];

#endif
