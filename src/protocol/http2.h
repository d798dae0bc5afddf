/*
 * HTTP/2's header compression (RFC 7541), by nghttp2: blocks in, messages out. One decoder for each
 * direction of a connection. On the reporter's thread; input is hostile; memory is bounded by the
 * table size that the peer may set, and HTTP2_TABLE_MAX.
 */
#ifndef SCOPE_PROTOCOL_HTTP2_H
#define SCOPE_PROTOCOL_HTTP2_H

#include "protocol/http_message.h"

enum { HTTP2_TABLE_MAX = 65536, HTTP2_HEAD_MAX = 65536 };

struct http2_decoder;
struct http2_decoder *http2_decoder_new(void); /* NULL: no memory */
void http2_decoder_free(struct http2_decoder *d);

/*
 * A SETTINGS frame of the decoding end of this direction: its last SETTINGS_HEADER_TABLE_SIZE and
 * the least one, or `says` false when it gives none. Counts from when the encoding end acknowledges
 * it, so every frame must be told of, in order, and every acknowledgement (FRAME_SETTLED of this
 * direction) between the blocks where it stood.
 */
void http2_decoder_settings(struct http2_decoder *d, bool says, uint32_t least, uint32_t last);
void http2_decoder_settled(struct http2_decoder *d);

/*
 * One whole header block. Fields are copied to the arena (which may drop them, as may
 * HTTP2_HEAD_MAX bytes of names and values: fields_dropped). A block without pseudo fields is a
 * trailer: is_request false, status 0. :protocol (RFC 8441) is kept as a field. Returns 0; -EPROTO:
 * its pseudo fields are those of no message, and what is in *out means nothing; -ENOMEM: the arena
 * has no room for them; after these two the next block can be decoded; -EBADMSG: the block is
 * malformed, and the decoder is of no use any more.
 */
int http2_decode(struct http2_decoder *d, const uint8_t *block, size_t length, struct arena *arena,
                 struct http_message *out);

/* Whether a response of HTTP/1.1 says that the connection goes on as HTTP/2 in the clear. */
bool http2_is_upgrade(const struct http_message *response);
/*
 * What HTTP2-Settings (the request's: base64url of a SETTINGS frame's payload) says of
 * SETTINGS_HEADER_TABLE_SIZE: the last value and the least. False: nothing, or it is malformed.
 */
bool http2_settings_read(struct text value, uint32_t *least, uint32_t *last);

/* ---- gRPC (over HTTP/2): by content-type application/grpc and its kin */

bool grpc_is(const struct http_message *request);
/* "package.Service/Method", without the leading slash; empty when the path has not that shape. */
struct text grpc_method(const struct http_message *request);
/* The name of grpc-status in a trailer or a trailers-only response: "OK", "CANCELLED", ...; the
   number itself where it has no name; empty when there is none. *code -1 then. */
struct text grpc_status(const struct http_message *m, int *code);
/* Whether a status is an error, for a client (all but OK) or a server (section 3.7). -1, none: no.
 */
bool grpc_is_error(int code, bool server);

#endif
