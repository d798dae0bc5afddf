/*
 * The framer of HTTP/2 (RFC 9113). See frame.h for what a framer is and may do.
 *
 * Header block fragments of HEADERS, CONTINUATION and PUSH_PROMISE are kept without padding,
 * priority fields and the promised stream's number, in the order in which they stand on the wire:
 * header compression depends on it, so every one is told of, whatever its stream. DATA is not kept:
 * runs of it on one stream are summed up and told with FRAME_BODY when DATA of another stream,
 * HEADERS or RST_STREAM come, or the stream ends (FRAME_END): a stream that just goes on is silent.
 * The client's preface is skipped. A frame longer than 16 MiB - 1 cannot be; what breaks the rules
 * of framing (a CONTINUATION that does not continue, padding longer than the frame, the wrong
 * stream number) is FRAME_LOST.
 */
#ifndef SCOPE_CAPTURE_HTTP2_FRAME_H
#define SCOPE_CAPTURE_HTTP2_FRAME_H

#include "capture/frame.h"

/* Streams whose gRPC message is remembered while DATA of others come. */
enum { HTTP2_PARKED = 6 };

/* One direction. All zero at the start. */
struct http2_side {
    uint64_t body;         /* of the run, not yet told */
    uint64_t field;        /* bytes of a fixed field, as far as they have come */
    uint32_t left;         /* payload of the frame that is still to come, with its padding */
    uint32_t stream;       /* of the frame */
    uint32_t block;        /* the stream whose header block is open; 0: none */
    uint32_t number;       /* the block's: the stream, or the promised one */
    uint32_t run;          /* the stream that the last DATA were of; 0: none */
    uint32_t run_left;     /* bytes that the run's gRPC message still lacks, or its length so far */
    uint32_t messages;     /* whole ones of the run, not yet told */
    uint32_t table, least; /* SETTINGS_HEADER_TABLE_SIZE of the frame: the last, the least */
    uint32_t unknown;      /* of streams up to this number that are not parked nothing is known */
    uint32_t parked_stream[HTTP2_PARKED];
    uint32_t parked_left[HTTP2_PARKED];
    uint8_t parked_have[HTTP2_PARKED];
    uint8_t run_have; /* bytes of a gRPC message's prefix that have come, or GRPC_NONE */
    uint8_t phase, have, need;
    uint8_t begun;       /* the first frame's header has gone by */
    uint8_t type, flags; /* of the frame */
    uint8_t pad;         /* of its payload, at the end */
    uint8_t told;        /* of SETTINGS: there was a table size */
    uint16_t kept;       /* of the block */
    uint16_t block_flags;
};

/* One connection. The two sides share nothing. */
struct http2_frame {
    struct http2_side side[2];
};
_Static_assert(sizeof(struct http2_frame) <= 256, "half of a flow");

enum { HTTP2_PREFACE = 24 };

/*
 * Whether these first bytes of a direction begin HTTP/2: 1 the client's preface, 2 the server's
 * first SETTINGS frame, 0 it cannot be, -1 more are needed (9 decide for 2, HTTP2_PREFACE for 1).
 */
int http2_sniff(const uint8_t *bytes, size_t length);

/*
 * The next run of bytes of a side, as http1_step. The first frame of either side must be SETTINGS,
 * whether the connection began as HTTP/2 or after "101 Switching Protocols" to h2c; the preface
 * comes before the client's. number is the stream, but for FRAME_PUSH and FRAME_GOAWAY.
 *
 * FRAME_HEAD: `used` bytes are of the block, none of them is framing. FRAME_FIRST comes with the
 * first step that tells of the block, FRAME_HEAD_END with the last byte of the block that is in the
 * frame which ends it, ahead of that frame's padding. Where that frame has none (its part of the
 * block is empty), FRAME_HEAD_END comes with FRAME_BODY: the block is complete, and these bytes are
 * framing, not to be kept. FRAME_END with FRAME_HEAD_END: no body follows. A block longer than
 * FRAME_HEAD_MAX is told of to its end, without the bytes, and FRAME_HEAD_END has FRAME_CUT: what
 * was not kept may have changed the compression, so no later block of this side can be read, but
 * where streams end is known still. Whether a block is a trailer or a 1xx is not known here.
 *
 * FRAME_BODY without flags and body: framing, nothing to tell. body and messages are of the stream
 * since the last step that told of it, with FRAME_END too: whoever adds them up has the whole. A
 * stream's messages are known if every FRAME_BODY with a body, and the step with FRAME_END, have
 * FRAME_GRPC; what the bytes mean is for the content-type to say. It is off where messages of more
 * than HTTP2_PARKED + 1 streams were under way at once, and for what is not such messages.
 */
void http2_step(struct http2_frame *f, enum frame_side side, const uint8_t *bytes, size_t length,
                struct frame_step *out);

#endif
