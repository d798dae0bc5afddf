/*
 * The framer of HTTP/1.0 and 1.1 (RFC 9112). See frame.h for what a framer is and may do.
 *
 * Header blocks run from the first byte of the start line to the empty line, that included;
 * trailers of a chunked body are skipped. A body is measured as RFC 9112, section 6.3, says: none
 * after HEAD, 1xx, 204, 304 and a 2xx to CONNECT; chunked; by Content-Length; to the end of the
 * connection. What two readers could measure differently (Content-Length with Transfer-Encoding, or
 * given twice with different values; a chunked coding that is not the last; a space before a colon)
 * is FRAME_LOST, as is a start line that is none. Empty lines before a request line are skipped,
 * bare LF ends a line.
 */
#ifndef SCOPE_CAPTURE_HTTP1_FRAME_H
#define SCOPE_CAPTURE_HTTP1_FRAME_H

#include "capture/frame.h"

/* One connection. At most 256 bytes. */
struct http1_frame;

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
 * FRAME_LOST unless all of them are of a body. length is at least 1, and so is what `used` says.
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
 * Requests that have no final response yet, and whether `number` is the oldest of them, the one
 * that the next response answers. Safe on any thread.
 */
uint32_t http1_outstanding(const struct http1_frame *f);

#endif
