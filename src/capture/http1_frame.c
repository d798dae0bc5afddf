/* The framer of HTTP/1: measures bodies, and pairs each response with its request. */
#include "capture/http1_internal.h"

enum { CHUNK_DIGITS = 15 }; /* of a chunk's size: no sum of such overflows soon */

static struct frame_step step_of(enum frame_what what, size_t used, uint32_t number)
{
    return (struct frame_step){.what = (uint16_t)what, .used = used, .number = number};
}

static void lost(struct http1_frame *f, enum frame_side side, size_t length, struct frame_step *out)
{
    f->side[side].state = AT_LOST;
    if (side == SIDE_RESPONSE)
        __atomic_store_n(&f->response_lost, 1, __ATOMIC_RELAXED);
    *out = step_of(FRAME_LOST, length, 0);
}

static void add(uint64_t *sum, uint64_t n)
{
    /* Lengths of unseen bytes are not bounded by memory. */
    if (__builtin_add_overflow(*sum, n, sum))
        *sum = UINT64_MAX;
}

/* -------- which request is answered */

static uint64_t bit_of(uint32_t number)
{
    return (uint64_t)1 << (number % HTTP1_OUTSTANDING);
}

static int has(const uint64_t *set, uint32_t number)
{
    return (__atomic_load_n(set, __ATOMIC_RELAXED) & bit_of(number)) != 0;
}

/* Only the requests' thread writes sets. */
static void put(uint64_t *set, uint32_t number, int in)
{
    uint64_t now = in ? *set | bit_of(number) : *set & ~bit_of(number);

    if (now != *set)
        __atomic_store_n(set, now, __ATOMIC_RELAXED);
}

/* 0: too many wait already. */
static int request_publish(struct http1_frame *f, const struct http1_side *s)
{
    uint32_t answered = __atomic_load_n(&f->answered, __ATOMIC_ACQUIRE);

    if (f->requests - answered >= HTTP1_OUTSTANDING)
        return 0;
    put(&f->head, s->number, s->method == METHOD_HEAD);
    put(&f->connect, s->number, s->method == METHOD_CONNECT);
    put(&f->upgrade, s->number, s->said & SAID_UPGRADE);
    if (s->method == METHOD_CONNECT || s->said & SAID_UPGRADE)
        f->asked = s->number;
    __atomic_store_n(&f->requests, s->number, __ATOMIC_RELEASE);
    return 1;
}

/* Whether it is no longer known if this is HTTP/1: who could tell the answer is lost. */
static int upgrade_unknown(const struct http1_frame *f)
{
    return f->asked && __atomic_load_n(&f->response_lost, __ATOMIC_RELAXED) &&
           (int32_t)(f->asked - __atomic_load_n(&f->answered, __ATOMIC_ACQUIRE)) > 0;
}

uint32_t http1_outstanding(const struct http1_frame *f)
{
    /* In this order, or there might be more answers than requests. */
    uint32_t answered = __atomic_load_n(&f->answered, __ATOMIC_ACQUIRE);
    uint32_t requests = __atomic_load_n(&f->requests, __ATOMIC_ACQUIRE);

    return __atomic_load_n(&f->upgraded, __ATOMIC_ACQUIRE) ? 0 : requests - answered;
}

int http1_stays(const struct http1_frame *f)
{
    uint32_t answered = __atomic_load_n(&f->answered, __ATOMIC_ACQUIRE);

    return !__atomic_load_n(&f->upgraded, __ATOMIC_ACQUIRE) &&
           !__atomic_load_n(&f->response_lost, __ATOMIC_RELAXED) &&
           (!f->asked || (int32_t)(f->asked - answered) <= 0);
}

/* -------- where messages begin and end */

static void message_begin(struct http1_frame *f, enum frame_side side)
{
    struct http1_side *s = &f->side[side];

    s->left = 0;
    s->body = 0;
    s->number++;
    s->head = 0;
    s->said = 0;
    s->status = 0;
    s->part = 0;
    s->text_length = 0;
    if (side == SIDE_RESPONSE) {
        s->number = f->answered + 1;
        s->state = AT_VERSION;
        return;
    }
    f->contexts = 0;
    f->context_length = 0;
    s->state = AT_METHOD;
}

/* The message is complete. Returns FRAME_END. */
static uint16_t message_end(struct http1_frame *f, enum frame_side side)
{
    struct http1_side *s = &f->side[side];
    int stays = !(s->said & SAID_CLOSE) && (s->minor || s->said & SAID_KEEP_ALIVE);

    s->state = stays ? AT_START : AT_CLOSED;
    if (side == SIDE_RESPONSE)
        __atomic_store_n(&f->answered, s->number, __ATOMIC_RELEASE);
    return FRAME_END;
}

/* The message that ends HTTP/1 on this connection. */
static uint16_t message_last(struct http1_frame *f)
{
    struct http1_side *s = &f->side[SIDE_RESPONSE];

    __atomic_store_n(&f->answered, s->number, __ATOMIC_RELEASE);
    __atomic_store_n(&f->upgraded, s->number, __ATOMIC_RELEASE);
    s->state = AT_CLOSED;
    return FRAME_END;
}

/* A measured or chunked body follows, or none. The number of bytes is in `left`. */
static uint16_t body_begin(struct http1_frame *f, enum frame_side side)
{
    struct http1_side *s = &f->side[side];

    s->part = 0;
    s->body = 0;
    if (s->said & SAID_CHUNKED)
        s->state = AT_CHUNK_SIZE;
    else if (s->left)
        s->state = AT_BODY;
    else
        return message_end(f, side);
    return 0;
}

/* -1: two readers could measure it differently. Otherwise flags. */
static int request_head_end(struct http1_frame *f)
{
    struct http1_side *s = &f->side[SIDE_REQUEST];

    if (s->said & SAID_CODING && !(s->said & SAID_CHUNKED))
        return -1;
    if (s->method == METHOD_CONNECT && (s->said & SAID_CODING || s->left))
        return -1;
    if (!request_publish(f, s))
        return -1;
    return body_begin(f, SIDE_REQUEST);
}

static int response_head_end(struct http1_frame *f)
{
    struct http1_side *s = &f->side[SIDE_RESPONSE];
    uint32_t n = s->number;

    if ((int32_t)(__atomic_load_n(&f->requests, __ATOMIC_ACQUIRE) - n) < 0)
        return -1;
    if (s->status == 101)
        return has(&f->upgrade, n) ? message_last(f) : -1;
    if (s->status < 200) {
        s->state = AT_START;
        return FRAME_INTERIM | FRAME_END;
    }
    if (s->status < 300 && has(&f->connect, n))
        return message_last(f);
    if (has(&f->head, n) || s->status == 204 || s->status == 304)
        return message_end(f, SIDE_RESPONSE);
    if (s->said & (SAID_CHUNKED | SAID_LENGTH))
        return body_begin(f, SIDE_RESPONSE);
    s->state = AT_BODY_CLOSE;
    return 0;
}

static int head_end(struct http1_frame *f, enum frame_side side)
{
    struct http1_side *s = &f->side[side];

    if (s->said & SAID_CODING && (s->said & SAID_LENGTH || !s->minor))
        return -1;
    return side == SIDE_REQUEST ? request_head_end(f) : response_head_end(f);
}

/* -------- steps */

static void head_step(struct http1_frame *f, enum frame_side side, const uint8_t *bytes,
                      size_t length, struct frame_step *out)
{
    struct http1_side *s = &f->side[side];
    size_t room = FRAME_HEAD_MAX - s->head;
    size_t n = room && length > room ? room : length;
    unsigned flags = (s->head ? 0 : FRAME_FIRST) | (room ? 0 : FRAME_CUT);
    const uint8_t *p = http1_head(side == SIDE_REQUEST ? f : NULL, s, bytes, bytes + n);

    *out = step_of(FRAME_HEAD, (size_t)(p - bytes), s->number);
    if (room)
        s->head += (uint32_t)out->used;
    if (s->state == AT_HEAD_END) {
        int more = head_end(f, side);
        if (more < 0)
            s->state = AT_LOST;
        flags |= FRAME_HEAD_END | (unsigned)more;
    }
    if (s->state == AT_LOST)
        lost(f, side, length, out);
    else
        out->flags = (uint16_t)flags;
}

/* -1: no hexadecimal digit. */
static int nibble(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of framing around a chunked body. */
static void chunk_byte(struct http1_side *s, uint8_t c)
{
    int digit = nibble(c);

    if (s->state == AT_CHUNK_SIZE && digit >= 0 && s->part < CHUNK_DIGITS) {
        s->left = s->left << 4 | (unsigned)digit;
        s->part++;
    } else if (s->state == AT_CHUNK_CR && c == '\r') {
        s->state = AT_CHUNK_LF;
    } else if (s->state == AT_CHUNK_LF && c == '\n') {
        s->state = AT_CHUNK_SIZE;
        s->part = 0;
    } else if (s->state == AT_CHUNK_SIZE_LF && c == '\n') {
        s->state = s->left ? AT_CHUNK_DATA : AT_TRAILER;
    } else if ((s->state == AT_CHUNK_SIZE && s->part) || s->state == AT_CHUNK_SPACE) {
        s->state = c == '\r'               ? AT_CHUNK_SIZE_LF
                   : c == ';'              ? AT_CHUNK_EXTENSION
                   : c == ' ' || c == '\t' ? AT_CHUNK_SPACE
                                           : AT_LOST;
    } else {
        s->state = AT_LOST;
    }
}

/* What runs to the end of a line: a chunk's extension, or a trailer. */
static const uint8_t *chunk_line(struct http1_side *s, const uint8_t *p, const uint8_t *end)
{
    int trailer = s->state == AT_TRAILER_LINE;

    p = http1_value_end(p, end);
    if (p == end)
        return p;
    if (*p == '\r')
        s->state = trailer ? AT_TRAILER_LF : AT_CHUNK_SIZE_LF;
    else
        s->state = trailer && *p == '\n' ? AT_TRAILER : AT_LOST;
    return p + 1;
}

/* Returns whether the message is complete, which is when the byte is the last of its trailers. */
static int trailer_byte(struct http1_side *s, uint8_t c)
{
    if (s->state == AT_TRAILER_LF) {
        s->state = c == '\n' ? AT_TRAILER : AT_LOST;
    } else if (s->state == AT_TRAILERS_LF || c == '\n') {
        s->state = c == '\n' ? AT_TRAILERS_LF : AT_LOST;
        return c == '\n';
    } else {
        s->state = c == '\r' ? AT_TRAILERS_LF : c ? AT_TRAILER_LINE : AT_LOST;
    }
    return 0;
}

/* Data of the body; returns how many of the bytes are. */
static size_t data(struct http1_side *s, size_t length)
{
    size_t n = s->left < length ? (size_t)s->left : length;

    s->left -= n;
    add(&s->body, n);
    return n;
}

static const uint8_t *chunked(struct http1_side *s, const uint8_t *p, const uint8_t *end, int *done)
{
    while (p < end && !*done && s->state != AT_LOST) {
        if (s->state == AT_CHUNK_DATA) {
            p += data(s, (size_t)(end - p));
            if (!s->left)
                s->state = AT_CHUNK_CR;
        } else if (s->state == AT_CHUNK_EXTENSION || s->state == AT_TRAILER_LINE) {
            p = chunk_line(s, p, end);
        } else if (s->state >= AT_TRAILER) {
            *done = trailer_byte(s, *p++);
        } else {
            chunk_byte(s, *p++);
        }
    }
    return p;
}

static void body_step(struct http1_frame *f, enum frame_side side, const uint8_t *bytes,
                      size_t length, struct frame_step *out)
{
    struct http1_side *s = &f->side[side];
    size_t used = length;
    int done = 0;

    if (s->state == AT_BODY_CLOSE) {
        add(&s->body, length);
    } else if (s->state == AT_BODY) {
        used = data(s, length);
        done = !s->left;
    } else if (bytes) {
        used = (size_t)(chunked(s, bytes, bytes + length, &done) - bytes);
    } else {
        data(s, length);
        if (!s->left)
            s->state = AT_CHUNK_CR;
    }
    if (s->state == AT_LOST) {
        lost(f, side, length, out);
        return;
    }
    *out = step_of(FRAME_BODY, used, s->number);
    if (done) {
        out->body = s->body;
        out->flags = message_end(f, side);
    }
}

/* Empty lines before a request; 0: the first byte is of something else. */
static size_t empty_lines(struct http1_side *s, const uint8_t *bytes, size_t length)
{
    size_t n = 0;

    for (; n < length; n++) {
        if (bytes[n] == '\n')
            s->state = AT_START;
        else if (bytes[n] == '\r' && s->state == AT_START)
            s->state = AT_EMPTY;
        else
            break;
    }
    return n;
}

static void start_step(struct http1_frame *f, enum frame_side side, const uint8_t *bytes,
                       size_t length, struct frame_step *out)
{
    struct http1_side *s = &f->side[side];

    if (side == SIDE_REQUEST) {
        size_t n = empty_lines(s, bytes, length);
        if (n) {
            *out = step_of(FRAME_BODY, n, 0);
            return;
        }
        if (s->state == AT_EMPTY || upgrade_unknown(f)) {
            lost(f, side, length, out);
            return;
        }
    }
    message_begin(f, side);
    head_step(f, side, bytes, length, out);
}

/* Whether bytes that went by unseen can only be of a body. */
static int unseen_fit(const struct http1_side *s, size_t length)
{
    return s->state == AT_BODY_CLOSE ||
           ((s->state == AT_BODY || s->state == AT_CHUNK_DATA) && length <= s->left);
}

static int in_body(const struct http1_side *s)
{
    return s->state >= AT_BODY && s->state < AT_CLOSED;
}

void http1_step(struct http1_frame *f, enum frame_side side, const uint8_t *bytes, size_t length,
                struct frame_step *out)
{
    struct http1_side *s = &f->side[side];
    uint32_t upgraded = __atomic_load_n(&f->upgraded, __ATOMIC_ACQUIRE);

    /* A request is completed before the other protocol begins. */
    if (upgraded && !(side == SIDE_REQUEST && s->number == upgraded && in_body(s)))
        *out = step_of(FRAME_UPGRADED, length, 0);
    else if (s->state >= AT_CLOSED || (!bytes && !unseen_fit(s, length)))
        lost(f, side, length, out);
    else if (in_body(s))
        body_step(f, side, bytes, length, out);
    else if (s->state <= AT_EMPTY)
        start_step(f, side, bytes, length, out);
    else
        head_step(f, side, bytes, length, out);
}

int http1_end(struct http1_frame *f, enum frame_side side, struct frame_step *out)
{
    struct http1_side *s = &f->side[side];
    int complete = s->state == AT_BODY_CLOSE;

    *out = (struct frame_step){0};
    if (complete) {
        *out = step_of(FRAME_BODY, 0, s->number);
        out->body = s->body;
        out->flags = message_end(f, side);
    }
    if (s->state != AT_LOST)
        s->state = AT_CLOSED;
    return complete;
}

const uint8_t *http1_traceparent(const struct http1_frame *f, size_t *length)
{
    if (f->contexts != 1)
        return NULL;
    /* what a later version has behind the dash that the last of these must be is not ours to read */
    *length = f->context_length < FRAME_CONTEXT ? f->context_length : FRAME_CONTEXT;
    return f->context;
}
