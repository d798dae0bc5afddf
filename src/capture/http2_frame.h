/*
 * The framer of HTTP/2 (RFC 9113). See frame.h for what a framer is and may do.
 *
 * Header block fragments of HEADERS, CONTINUATION and PUSH_PROMISE are kept without padding,
 * priority fields and the promised stream's number, in the order in which they stand on the wire:
 * header compression depends on it, so every one is told of, whatever its stream. DATA is not kept:
 * runs of it on one stream are summed up and told with FRAME_BODY when another frame comes, or the
 * stream ends (FRAME_END). The client's preface is skipped. A frame longer than 16 MiB - 1 cannot
 * be; what breaks the rules of framing (a CONTINUATION that does not continue, padding longer than
 * the frame, the wrong stream number) is FRAME_LOST.
 */
#ifndef SCOPE_CAPTURE_HTTP2_FRAME_H
#define SCOPE_CAPTURE_HTTP2_FRAME_H

#include "capture/frame.h"

/* One connection. At most 256 bytes. */
struct http2_frame;

enum { HTTP2_PREFACE = 24 };

/*
 * Whether these first bytes of a direction begin HTTP/2: 1 the client's preface, 2 the server's
 * first SETTINGS frame, 0 it cannot be, -1 more are needed (9 decide for 2, HTTP2_PREFACE for 1).
 */
int http2_sniff(const uint8_t *bytes, size_t length);

/* After "101 Switching Protocols" to h2c: the server begins with frames, the client with a preface.
 */

/*
 * The next run of bytes of a side, as http1_step. A step of DATA whose message goes on may be told
 * with a later call: what = FRAME_BODY, flags = 0, body = bytes since the stream's last one.
 */
void http2_step(struct http2_frame *f, enum frame_side side, const uint8_t *bytes, size_t length,
                struct frame_step *out);

#endif
