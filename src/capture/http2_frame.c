/*
 * The framer of HTTP/2: finds header blocks, sums up bodies and sees streams end, from any split of
 * the bytes and with a state of fixed size, however many streams there are.
 */
#include "capture/http2_frame.h"

/* What the next bytes are. */
enum phase {
    PHASE_START, /* the client's preface */
    PHASE_FRAME, /* a frame's header */
    PHASE_PAD,   /* the length of its padding */
    PHASE_FIELD, /* a fixed field of `need` bytes */
    PHASE_BLOCK, /* of a header block */
    PHASE_DATA,
    PHASE_SKIP, /* padding, or what a frame has that nobody wants */
    PHASE_LOST,
};

enum type {
    TYPE_DATA,
    TYPE_HEADERS,
    TYPE_PRIORITY,
    TYPE_RST_STREAM,
    TYPE_SETTINGS,
    TYPE_PUSH_PROMISE,
    TYPE_PING,
    TYPE_GOAWAY,
    TYPE_WINDOW_UPDATE,
    TYPE_CONTINUATION,
};

enum {
    FLAG_END_STREAM = 1,
    FLAG_ACK = 1,
    FLAG_END_HEADERS = 4,
    FLAG_PADDED = 8,
    FLAG_PRIORITY = 32,
};

enum {
    HEADER = 9,
    FRAME_MAX = 16384, /* before the other side has said that it takes more */
    SETTING = 6,
    SETTING_TABLE_SIZE = 1,
    GRPC_PREFIX = 5,
    GRPC_NONE = 255, /* the run is no messages, or where one begins is not known */
};

#define STREAM_MASK 0x7fffffffu

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
_Static_assert(sizeof(preface) - 1 == HTTP2_PREFACE, "RFC 9113, section 3.4");

int http2_sniff(const uint8_t *bytes, size_t length)
{
    if (!length)
        return -1;
    if (bytes[0] == (uint8_t)preface[0]) {
        for (size_t i = 1; i < length && i < HTTP2_PREFACE; i++) {
            if (bytes[i] != (uint8_t)preface[i])
                return 0;
        }
        return length < HTTP2_PREFACE ? -1 : 1;
    }
    if (bytes[0] || (length > 3 && bytes[3] != TYPE_SETTINGS))
        return 0;
    if (length >= 3) {
        int payload = bytes[1] << 8 | bytes[2];
        if (payload % SETTING || payload > FRAME_MAX)
            return 0;
    }
    for (size_t i = 4; i < length && i < HEADER; i++) {
        if (bytes[i])
            return 0;
    }
    return length < HEADER ? -1 : 2;
}

static void lost(struct http2_side *s, struct frame_step *out)
{
    s->phase = PHASE_LOST;
    *out = (struct frame_step){.what = FRAME_LOST};
}

/* -------- gRPC: where messages begin in the run, and in streams whose message was interrupted */

/* Where the stream is parked, or HTTP2_PARKED. Of stream 0: a free place. */
static unsigned parked(const struct http2_side *s, uint32_t stream)
{
    unsigned i = 0;

    while (i < HTTP2_PARKED && s->parked_stream[i] != stream)
        i++;
    return i;
}

/*
 * Keeps what is known of the run's stream. A stream between two messages needs no place. Where all
 * are taken the lowest number goes: it is the oldest, and the fewest others are forgotten with it.
 */
static void run_park(struct http2_side *s)
{
    unsigned place = parked(s, 0);

    if (!s->run || (!s->run_have && !s->run_left))
        return;
    if (place == HTTP2_PARKED) {
        place = 0;
        for (unsigned i = 1; i < HTTP2_PARKED; i++) {
            if (s->parked_stream[i] < s->parked_stream[place])
                place = i;
        }
        uint32_t oldest = s->parked_stream[place] < s->run ? s->parked_stream[place] : s->run;
        if (oldest > s->unknown)
            s->unknown = oldest;
        if (oldest == s->run)
            return;
    }
    s->parked_stream[place] = s->run;
    s->parked_left[place] = s->run_left;
    s->parked_have[place] = s->run_have;
}

/* A run of another stream begins. Its own place is free before one is wanted. */
static void run_switch(struct http2_side *s, uint32_t stream)
{
    unsigned place = parked(s, stream);
    uint32_t left = 0;
    uint8_t have = stream <= s->unknown ? GRPC_NONE : 0;

    if (place < HTTP2_PARKED) {
        left = s->parked_left[place];
        have = s->parked_have[place];
        s->parked_stream[place] = 0;
    }
    run_park(s);
    s->run = stream;
    s->run_left = left;
    s->run_have = have;
    s->messages = 0;
}

/* Takes some of the n > 0 bytes, of a message's prefix. */
static size_t grpc_prefix(struct http2_side *s, const uint8_t *bytes, size_t n)
{
    if (!s->run_have && *bytes > 1) { /* neither plain nor compressed */
        s->run_have = GRPC_NONE;
        return 1;
    }
    if (!s->run_have && n >= GRPC_PREFIX) { /* a body of zeros is many of these */
        s->run_left = (uint32_t)bytes[1] << 24 | (uint32_t)bytes[2] << 16 |
                      (uint32_t)bytes[3] << 8 | bytes[4];
        s->messages += !s->run_left;
        return GRPC_PREFIX;
    }
    s->run_left = s->run_have ? s->run_left << 8 | *bytes : 0;
    if (++s->run_have == GRPC_PREFIX) {
        s->run_have = 0;
        s->messages += !s->run_left;
    }
    return 1;
}

/* bytes NULL: they were not seen. */
static void grpc_data(struct http2_side *s, const uint8_t *bytes, size_t n)
{
    size_t at = 0;

    while (at < n && s->run_have != GRPC_NONE) {
        if (s->run_have || !s->run_left) {
            if (bytes)
                at += grpc_prefix(s, bytes + at, n - at);
            else
                s->run_have = GRPC_NONE;
            continue;
        }
        size_t some = s->run_left < n - at ? s->run_left : n - at;
        s->run_left -= (uint32_t)some;
        at += some;
        s->messages += !s->run_left;
    }
}

/* -------- runs and ends */

/* Tells of the run's bytes; it may go on. */
static void run_tell(struct http2_side *s, struct frame_step *out)
{
    out->what = FRAME_BODY;
    out->number = s->run;
    out->body = s->body;
    out->messages = s->run_have == GRPC_NONE ? 0 : s->messages;
    out->flags = s->run_have == GRPC_NONE ? 0 : FRAME_GRPC;
    s->body = 0;
    s->messages = 0;
}

/* The stream is over in this direction: forgets it, and says whether it lay between messages. */
static int stream_forget(struct http2_side *s, uint32_t stream)
{
    unsigned place = parked(s, stream);
    int between = place == HTTP2_PARKED && stream > s->unknown;

    if (place < HTTP2_PARKED)
        s->parked_stream[place] = 0;
    if (stream == s->run) {
        between = !s->run_have && !s->run_left;
        s->run = 0;
    }
    return between;
}

/* Adds to *out that the frame's stream ends. */
static void stream_end(struct http2_side *s, struct frame_step *out)
{
    uint16_t between = stream_forget(s, s->stream) ? FRAME_GRPC : 0;

    out->flags = (uint16_t)((out->flags & ~FRAME_GRPC) | FRAME_END | between);
    if (!between)
        out->messages = 0;
}

/* -------- frames */

/* Whether a frame of this kind may stand here, at this length, on this stream. */
static int frame_allowed(const struct http2_side *s, enum frame_side side)
{
    uint32_t pad = s->flags & FLAG_PADDED ? 1 : 0;
    int ours = s->stream && (side == SIDE_RESPONSE || s->stream & 1);

    if (s->block)
        return s->type == TYPE_CONTINUATION && s->stream == s->block;
    switch (s->type) {
    case TYPE_DATA:
        return ours && s->left >= pad;
    case TYPE_HEADERS:
        return ours && s->left >= pad + (s->flags & FLAG_PRIORITY ? 5u : 0u);
    case TYPE_PRIORITY: /* its length is the stream's trouble, not the connection's */
        return s->stream != 0;
    case TYPE_RST_STREAM:
        return s->stream && s->left == 4;
    case TYPE_SETTINGS:
        return !s->stream && (s->flags & FLAG_ACK ? !s->left : s->left % SETTING == 0);
    case TYPE_PUSH_PROMISE:
        return side == SIDE_RESPONSE && (s->stream & 1) && s->left >= pad + 4;
    case TYPE_PING:
        return !s->stream && s->left == 8;
    case TYPE_GOAWAY:
        return !s->stream && s->left >= 8;
    case TYPE_WINDOW_UPDATE:
        return s->left == 4;
    case TYPE_CONTINUATION:
        return 0;
    default:
        return 1;
    }
}

static void field_begin(struct http2_side *s, uint8_t need)
{
    s->phase = PHASE_FIELD;
    s->need = need;
    s->have = 0;
    s->field = 0;
}

/* What stands behind the frame's header and the length of its padding. */
static void payload_begin(struct http2_side *s)
{
    switch (s->type) {
    case TYPE_DATA:
        s->phase = PHASE_DATA;
        break;
    case TYPE_HEADERS:
        s->phase = PHASE_BLOCK;
        if (s->flags & FLAG_PRIORITY)
            field_begin(s, 5);
        break;
    case TYPE_CONTINUATION:
        s->phase = PHASE_BLOCK;
        break;
    case TYPE_PUSH_PROMISE:
    case TYPE_RST_STREAM:
        field_begin(s, 4);
        break;
    case TYPE_SETTINGS:
        field_begin(s, SETTING);
        break;
    case TYPE_GOAWAY:
        field_begin(s, 8);
        break;
    default:
        s->phase = PHASE_SKIP;
    }
}

static void block_open(struct http2_side *s)
{
    s->block = s->stream;
    s->number = s->stream;
    s->kept = 0;
    s->block_flags = FRAME_FIRST;
    if (s->type == TYPE_PUSH_PROMISE)
        s->block_flags |= FRAME_PUSH;
    else if (s->flags & FLAG_END_STREAM)
        s->block_flags |= FRAME_END;
}

/* The frame's header is complete. */
static void frame_begin(struct http2_side *s, enum frame_side side, struct frame_step *out)
{
    s->stream &= STREAM_MASK;
    s->pad = 0;
    s->told = 0;
    if (!frame_allowed(s, side)) {
        lost(s, out);
        return;
    }
    if (s->type == TYPE_HEADERS || s->type == TYPE_PUSH_PROMISE)
        block_open(s);
    /* One without bytes may end its stream with this very step, and takes no part in a run. */
    if (s->type == TYPE_DATA && s->left && s->stream != s->run) {
        if (s->body)
            run_tell(s, out);
        run_switch(s, s->stream);
    }
    payload_begin(s);
    if (s->flags & FLAG_PADDED &&
        (s->type == TYPE_DATA || s->type == TYPE_HEADERS || s->type == TYPE_PUSH_PROMISE))
        s->phase = PHASE_PAD;
}

/* The last byte of the frame has gone by. */
static void frame_end(struct http2_side *s, struct frame_step *out)
{
    s->phase = PHASE_FRAME;
    s->have = 0;
    if (s->type == TYPE_SETTINGS) {
        out->what = s->flags & FLAG_ACK ? FRAME_SETTLED : FRAME_SETTINGS;
        if (out->what == FRAME_SETTINGS) {
            out->body = s->told ? s->table : FRAME_UNSAID;
            out->number = s->told ? s->least : 0;
        }
    } else if (s->type == TYPE_DATA && s->flags & FLAG_END_STREAM) {
        if (s->stream == s->run)
            run_tell(s, out);
        out->number = s->stream;
        stream_end(s, out);
    }
}

static void setting(struct http2_side *s)
{
    uint32_t value = (uint32_t)s->field;

    if (s->field >> 32 != SETTING_TABLE_SIZE)
        return;
    s->least = s->told && s->least < value ? s->least : value;
    s->table = value;
    s->told = 1;
}

/* A fixed field is complete. */
static void field_end(struct http2_side *s, struct frame_step *out)
{
    uint32_t low = (uint32_t)s->field;

    s->phase = PHASE_BLOCK;
    switch (s->type) {
    case TYPE_PUSH_PROMISE:
        s->number = low & STREAM_MASK;
        if (!s->number || s->number & 1)
            lost(s, out);
        return;
    case TYPE_RST_STREAM:
        stream_forget(s, s->stream);
        *out = (struct frame_step){.what = FRAME_RESET, .number = s->stream, .body = low};
        s->phase = PHASE_SKIP;
        return;
    case TYPE_GOAWAY:
        *out = (struct frame_step){
            .what = FRAME_GOAWAY, .number = (uint32_t)(s->field >> 32) & STREAM_MASK, .body = low};
        s->phase = PHASE_SKIP;
        return;
    case TYPE_SETTINGS:
        setting(s);
        field_begin(s, SETTING);
        return;
    default: /* HEADERS: a priority that nobody wants */
        return;
    }
}

/* The header block is complete, as *out says. */
static void block_end(struct http2_side *s, struct frame_step *out)
{
    out->number = s->number;
    out->flags |=
        (uint16_t)(FRAME_HEAD_END | (s->block_flags & (FRAME_FIRST | FRAME_PUSH | FRAME_CUT)));
    if (s->block_flags & FRAME_END)
        stream_end(s, out);
    s->block = 0;
}

/* What follows without another byte: parts that are empty, and the end of the frame. */
static void settle(struct http2_side *s, struct frame_step *out)
{
    if (s->phase == PHASE_BLOCK && s->left == s->pad) {
        if (s->flags & FLAG_END_HEADERS && s->block)
            block_end(s, out);
        s->phase = PHASE_SKIP;
    }
    if (s->phase == PHASE_DATA && s->left == s->pad)
        s->phase = PHASE_SKIP;
    if (!s->left && (s->phase == PHASE_SKIP || s->phase == PHASE_FIELD))
        frame_end(s, out);
}

/* -------- bytes */

static void preface_byte(struct http2_side *s, uint8_t byte, struct frame_step *out)
{
    if (byte != (uint8_t)preface[s->have]) {
        lost(s, out);
        return;
    }
    if (++s->have == HTTP2_PREFACE) {
        s->phase = PHASE_FRAME;
        s->have = 0;
    }
}

static void header_byte(struct http2_side *s, enum frame_side side, uint8_t byte,
                        struct frame_step *out)
{
    switch (s->have++) {
    case 0:
        s->left = 0; /* and so on */
        __attribute__((fallthrough));
    case 1:
    case 2:
        s->left = s->left << 8 | byte;
        return;
    case 3:
        s->type = byte;
        return;
    case 4:
        s->flags = byte;
        s->stream = 0;
        /* Ahead of the stream's end, and now, since such a frame may be empty. */
        if ((s->type == TYPE_HEADERS || s->type == TYPE_RST_STREAM) && s->body)
            run_tell(s, out);
        return;
    default:
        s->stream = s->stream << 8 | byte;
    }
    if (s->have < HEADER)
        return;
    if (!s->begun && (s->type != TYPE_SETTINGS || s->flags & FLAG_ACK))
        lost(s, out);
    else
        frame_begin(s, side, out);
    s->begun = 1;
    if (s->phase != PHASE_LOST)
        settle(s, out);
}

static void pad_byte(struct http2_side *s, uint8_t byte, struct frame_step *out)
{
    uint32_t fixed = s->type == TYPE_PUSH_PROMISE                            ? 4
                     : s->type == TYPE_HEADERS && (s->flags & FLAG_PRIORITY) ? 5
                                                                             : 0;

    s->pad = byte;
    s->left--;
    if (s->left < fixed + byte) {
        lost(s, out);
        return;
    }
    payload_begin(s);
    settle(s, out);
}

static void field_byte(struct http2_side *s, uint8_t byte, struct frame_step *out)
{
    s->field = s->field << 8 | byte;
    s->left--;
    if (++s->have < s->need)
        return;
    field_end(s, out);
    if (s->phase != PHASE_LOST)
        settle(s, out);
}

/* Bytes of a header block: a step of their own, so that they are kept and nothing else is. */
static size_t block_bytes(struct http2_side *s, size_t n, struct frame_step *out)
{
    size_t room = FRAME_HEAD_MAX - (size_t)s->kept;
    size_t some = s->left - s->pad;

    if (some > n)
        some = n;
    if (some > room && room)
        some = room;
    s->left -= (uint32_t)some;
    if (room) {
        out->what = FRAME_HEAD;
        out->number = s->number;
        out->flags = s->block_flags & (FRAME_FIRST | FRAME_PUSH);
        s->kept = (uint16_t)(s->kept + some);
    } else {
        s->block_flags |= FRAME_CUT;
    }
    if (s->left == s->pad && s->flags & FLAG_END_HEADERS)
        block_end(s, out);
    s->block_flags &= (uint16_t)~FRAME_FIRST;
    settle(s, out);
    return some;
}

static size_t data_bytes(struct http2_side *s, const uint8_t *bytes, size_t n,
                         struct frame_step *out)
{
    size_t some = s->left - s->pad;

    if (some > n)
        some = n;
    grpc_data(s, bytes, some);
    s->body += some;
    s->left -= (uint32_t)some;
    settle(s, out);
    return some;
}

static size_t skip_bytes(struct http2_side *s, size_t n, struct frame_step *out)
{
    size_t some = s->left < n ? s->left : n;

    s->left -= (uint32_t)some;
    settle(s, out);
    return some;
}

/* Takes some of the n > 0 bytes. */
static size_t take(struct http2_side *s, enum frame_side side, const uint8_t *bytes, size_t n,
                   struct frame_step *out)
{
    switch (s->phase) {
    case PHASE_BLOCK:
        return block_bytes(s, n, out);
    case PHASE_DATA:
        return data_bytes(s, bytes, n, out);
    case PHASE_SKIP:
        return skip_bytes(s, n, out);
    case PHASE_START:
        preface_byte(s, *bytes, out);
        return 1;
    case PHASE_FRAME:
        header_byte(s, side, *bytes, out);
        return 1;
    case PHASE_PAD:
        pad_byte(s, *bytes, out);
        return 1;
    default:
        field_byte(s, *bytes, out);
        return 1;
    }
}

/* Whether all of n bytes that nobody saw are of a body. */
static int unseen_allowed(const struct http2_side *s, size_t n)
{
    return s->phase == PHASE_DATA ? n <= s->left - s->pad : s->phase == PHASE_SKIP && n <= s->left;
}

void http2_step(struct http2_frame *f, enum frame_side side, const uint8_t *bytes, size_t length,
                struct frame_step *out)
{
    struct http2_side *s = &f->side[side];
    size_t used = 0;

    *out = (struct frame_step){.what = FRAME_BODY};
    if (s->phase == PHASE_START && side == SIDE_RESPONSE)
        s->phase = PHASE_FRAME;
    if (!bytes && !unseen_allowed(s, length))
        lost(s, out);
    while (used < length && s->phase != PHASE_LOST) {
        if (s->phase == PHASE_BLOCK && used)
            break;
        used += take(s, side, bytes ? bytes + used : NULL, length - used, out);
        if (out->what != FRAME_BODY || out->flags || out->body)
            break;
    }
    if (s->phase == PHASE_LOST) {
        *out = (struct frame_step){.what = FRAME_LOST};
        used = length;
    }
    out->used = used;
}
