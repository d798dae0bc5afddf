/*
 * The framer of HTTP/1.0 and 1.1 (RFC 9112). See frame.h for what a framer is and may do.
 *
 * Header blocks run from the first byte of the start line to the empty line, that included;
 * trailers of a chunked body are skipped, as framing around it. A body is measured as RFC 9112,
 * section 6.3, says: none after HEAD, 1xx, 204, 304 and a 2xx to CONNECT; chunked; by
 * Content-Length; to the end of the connection. Its size is that of its content, without chunked
 * framing. Empty lines before a request line are skipped (FRAME_BODY, number 0), bare LF ends a
 * line of a head or trailer.
 *
 * FRAME_LOST is what two readers could measure differently: Content-Length with Transfer-Encoding,
 * or given twice with different values, or a list, or no number; a chunked coding that is not the
 * last or stands twice, an empty member, a coding that RFC 9112 does not know, any with HTTP/1.0; a
 * body behind CONNECT; a space before a colon, a folded line, NUL, CR without LF; LF without CR in
 * chunked framing. So is a start line that is none, a response to no request whose head was told, a
 * 101 that nobody asked for, more than HTTP1_OUTSTANDING requests without an answer, and what comes
 * behind a message that said it is the last ("close", or HTTP/1.0 without "keep-alive").
 *
 * What is lost stays lost: bytes that look like a start line may be of a body whose measure was not
 * understood, so there is no later place that is certain. Only FRAME_UPGRADED may follow, on both
 * sides, since a side that spoke the new protocol before the answer was seen looks lost. Requests
 * that were told behind the one whose answer upgraded the connection are void: they were bytes of
 * the new protocol.
 *
 * FRAME_INTERIM, FRAME_HEAD_END and, without a body, FRAME_END stand in one step. FRAME_CUT is said
 * of bytes beyond FRAME_HEAD_MAX only: no step has bytes on both sides of that bound. A 101 is
 * final. The bytes of FRAME_UPGRADED are the first of the other protocol, and are not looked at.
 */
#ifndef SCOPE_CAPTURE_HTTP1_FRAME_H
#define SCOPE_CAPTURE_HTTP1_FRAME_H

#include "capture/frame.h"

enum {
    HTTP1_OUTSTANDING = 64, /* requests without a final response */
    HTTP1_NAME = 18,        /* longer than any name or coding that is understood */
};

/* One direction. Only the thread that feeds it touches it. */
struct http1_side {
    uint64_t left;            /* of the body or the chunk; in a head: Content-Length */
    uint64_t body;            /* bytes of the body so far; in a head: the value being read */
    uint32_t number;          /* of the message */
    uint32_t head;            /* bytes of the header block so far, counted to FRAME_HEAD_MAX */
    uint16_t said;            /* what the fields said */
    uint16_t status;          /* of a response */
    uint8_t state;            /* where in the protocol the next byte stands */
    uint8_t part;             /* where in a value or number it stands */
    uint8_t field;            /* whose value it is of */
    uint8_t minor;            /* 0: HTTP/1.0 */
    uint8_t method;           /* of a request: what matters of it */
    uint8_t text_length;      /* HTTP1_NAME: that or longer */
    uint8_t text[HTTP1_NAME]; /* the name or word being read, as far as earlier calls had it */
};

/* One connection. Opaque: the functions below alone look inside. */
struct http1_frame {
    struct http1_side side[2];
    /* Written by the requests' thread, read by the responses'. Bit: number % HTTP1_OUTSTANDING. */
    uint64_t head;     /* was HEAD */
    uint64_t connect;  /* was CONNECT */
    uint64_t upgrade;  /* asked for an upgrade */
    uint32_t requests; /* heads that are complete */
    /* Written by the responses' thread, read by the requests'. */
    uint32_t answered; /* requests with a whole final response */
    uint32_t upgraded; /* the request whose answer ended HTTP/1 here; 0: none did */
    uint8_t response_lost;
    /* The requests' thread alone. */
    uint8_t context_length; /* more than FRAME_CONTEXT: there was more */
    uint8_t contexts;       /* traceparent fields, counted to 2 */
    uint8_t spare;
    uint32_t asked; /* the last request that was CONNECT or asked for an upgrade; 0: none */
    uint8_t context[FRAME_CONTEXT];
};
_Static_assert(sizeof(struct http1_frame) <= 256, "one of these for every connection");

/* How many of the first bytes decide, at most, whether this is HTTP/1. */
enum { HTTP1_SNIFF = 16 };

/*
 * Whether these first bytes of a direction begin a message: 1 a request, 2 a response, 0 it cannot
 * be, -1 more bytes are needed (never with HTTP1_SNIFF or more). A method is a known one, followed
 * by a space.
 */
int http1_sniff(const uint8_t *bytes, size_t length);

/*
 * The next run of bytes of a side. bytes NULL: `length` bytes went by unseen (sendfile); that is
 * FRAME_LOST unless all of them are of a body (for a chunked one: of the data of one chunk). length
 * is at least 1, and so is what `used` says. A step of FRAME_BODY has all the bytes of the body
 * that are there; a head and its body are told in two steps.
 */
void http1_step(struct http1_frame *f, enum frame_side side, const uint8_t *bytes, size_t length,
                struct frame_step *out);

/*
 * The side has ended (end of stream, or close): a body that runs to the end is complete: true, and
 * *out is its FRAME_BODY with FRAME_END and used 0.
 */
int http1_end(struct http1_frame *f, enum frame_side side, struct frame_step *out);

/*
 * Valid after a request's FRAME_HEAD_END until the next step of that side: the value of its
 * traceparent, *length bytes, NULL when it has none, more than one, or one that is longer.
 */
const uint8_t *http1_traceparent(const struct http1_frame *f, size_t *length);

/*
 * Requests whose head is complete and whose final response is not; the next response answers the
 * oldest of them. 0 once the connection is upgraded. Safe on any thread.
 */
uint32_t http1_outstanding(const struct http1_frame *f);

/*
 * Whether the next request is one of HTTP/1 for certain: no answer that is still to come may end
 * it, and answers can be told. For the requests' thread.
 */
int http1_stays(const struct http1_frame *f);

#endif
