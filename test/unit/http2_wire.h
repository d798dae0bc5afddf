/*
 * What test_http2_session.c and fuzz_http2_frame.c share: the framer and the decoders as the fold
 * uses them, on both directions of a connection, and what they found of each stream.
 */
#ifndef SCOPE_TEST_HTTP2_WIRE_H
#define SCOPE_TEST_HTTP2_WIRE_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/http2_frame.h"
#include "protocol/http2.h"

enum { WIRE_STREAMS = 512 };

static inline void wire_require(int holds, const char *what, int line)
{
    if (!holds) {
        fprintf(stderr, "line %d: %s\n", line, what);
        abort();
    }
}
#define REQUIRE(condition) wire_require(condition, #condition, __LINE__)

/* Text that grows. */
struct wire_text {
    char *data;
    size_t length, room;
};

static inline void wire_bytes(struct wire_text *t, const void *bytes, size_t n)
{
    if (t->length + n + 1 > t->room) {
        t->room = (t->length + n + 1) * 2;
        t->data = realloc(t->data, t->room);
        REQUIRE(t->data != NULL);
    }
    if (n)
        memcpy(t->data + t->length, bytes, n);
    t->length += n;
    t->data[t->length] = '\0';
}

__attribute__((format(printf, 2, 3))) static inline void wire_format(struct wire_text *t,
                                                                     const char *format, ...)
{
    char line[256];
    va_list args;

    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    REQUIRE(n >= 0 && (size_t)n < sizeof(line));
    wire_bytes(t, line, (size_t)n);
}

/* A frame's header; its payload is for the caller to put behind it. */
static inline void wire_frame(struct wire_text *t, size_t length, unsigned type, unsigned flags,
                              uint32_t stream)
{
    const uint8_t header[9] = {
        (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length,
        (uint8_t)type,           (uint8_t)flags,         (uint8_t)(stream >> 24),
        (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    wire_bytes(t, header, sizeof(header));
}

/* The stream's number in a frame's header. */
static inline uint32_t wire_number(const uint8_t *header)
{
    return ((uint32_t)header[5] << 24 | (uint32_t)header[6] << 16 | (uint32_t)header[7] << 8 |
            header[8]) &
           0x7fffffff;
}

/* A stream in one direction. */
struct wire_stream {
    uint32_t number;
    uint64_t body;
    uint32_t messages;
    bool ended, reset, known; /* known: the messages are */
};

struct wire_side {
    struct http2_decoder *decoder; /* NULL: blocks are not decoded */
    struct wire_text block;        /* the open one */
    struct wire_text heads;        /* every header block, in order */
    bool open, lost, cut, undecodable;
    struct wire_stream streams[WIRE_STREAMS];
    size_t stream_count;
    struct wire_text steps; /* everything that was told, whatever the split */
    uint64_t at;            /* bytes shown */
};

struct wire {
    struct http2_frame *frame;
    struct wire_side side[2];
};

static inline void wire_begin(struct wire *w, bool decode)
{
    memset(w, 0, sizeof(*w));
    w->frame = calloc(1, sizeof(*w->frame));
    REQUIRE(w->frame != NULL);
    for (int i = 0; decode && i < 2; i++) {
        w->side[i].decoder = http2_decoder_new();
        REQUIRE(w->side[i].decoder != NULL);
    }
}

static inline void wire_end(struct wire *w)
{
    for (int i = 0; i < 2; i++) {
        http2_decoder_free(w->side[i].decoder);
        free(w->side[i].block.data);
        free(w->side[i].heads.data);
        free(w->side[i].steps.data);
    }
    free(w->frame);
}

/* NULL: there are too many. */
static inline struct wire_stream *wire_stream(struct wire_side *s, uint32_t number)
{
    for (size_t i = s->stream_count; i--;) {
        if (s->streams[i].number == number)
            return &s->streams[i];
    }
    if (s->stream_count == WIRE_STREAMS)
        return NULL;
    s->streams[s->stream_count] = (struct wire_stream){.number = number, .known = true};
    return &s->streams[s->stream_count++];
}

static inline void wire_field(struct wire_text *t, const char *name, struct text value)
{
    if (!value.data)
        return;
    wire_format(t, "%s=", name);
    wire_bytes(t, value.data, value.length);
    wire_bytes(t, "\n", 1);
}

/* A message as text; the other side of the comparison is made by test_http2_session.c. */
static inline void wire_message(struct wire_text *t, const struct http_message *m)
{
    wire_field(t, ":method", m->method);
    wire_field(t, ":path", m->target);
    wire_field(t, ":scheme", m->scheme);
    wire_field(t, ":authority", m->authority);
    if (m->status)
        wire_format(t, ":status=%u\n", m->status);
    for (size_t i = 0; i < m->field_count; i++) {
        wire_bytes(t, m->fields[i].name.data, m->fields[i].name.length);
        wire_field(t, "", m->fields[i].value);
    }
}

static inline void wire_decode(struct wire_side *s, const struct frame_step *step)
{
    static struct http_message m;

    if (step->flags & FRAME_CUT)
        s->cut = true;
    if (!s->decoder || s->cut || s->undecodable)
        return;
    struct arena *arena = arena_new(1 << 20);
    int failed =
        http2_decode(s->decoder, (const uint8_t *)s->block.data, s->block.length, arena, &m);
    wire_format(&s->heads, "%s %u %d\n", step->flags & FRAME_PUSH ? "push" : "head", step->number,
                failed);
    if (!failed)
        wire_message(&s->heads, &m);
    s->undecodable = failed == -EBADMSG;
    REQUIRE(m.field_count <= HTTP_FIELDS_MAX);
    arena_free(arena);
}

static inline void wire_told(struct wire *w, enum frame_side side, const struct frame_step *step)
{
    struct wire_side *s = &w->side[side], *other = &w->side[!side];
    bool stream = (step->what == FRAME_BODY || step->what == FRAME_HEAD) && step->number &&
                  !(step->flags & FRAME_PUSH);
    struct wire_stream *of = stream ? wire_stream(s, step->number) : NULL;

    if (of && (step->body || step->flags & FRAME_END)) {
        of->known = of->known && step->flags & FRAME_GRPC;
        of->body += step->body;
        of->messages += step->messages;
        of->ended = of->ended || step->flags & FRAME_END;
    }
    if (step->what == FRAME_RESET && (of = wire_stream(s, step->number)) != NULL)
        of->reset = true;
    if (step->what == FRAME_SETTINGS && other->decoder)
        http2_decoder_settings(other->decoder, step->body != FRAME_UNSAID, step->number,
                               (uint32_t)step->body);
    if (step->what == FRAME_SETTLED && s->decoder)
        http2_decoder_settled(s->decoder);
}

/* What a step must keep to, wherever it was cut. */
static inline void wire_check(struct wire_side *s, const struct frame_step *step, size_t given)
{
    REQUIRE(step->used >= 1 && step->used <= given);
    REQUIRE(step->what >= FRAME_HEAD && step->what <= FRAME_SETTLED &&
            step->what != FRAME_UPGRADED);
    REQUIRE(!(step->flags & (FRAME_INTERIM | FRAME_TRAILER)));
    REQUIRE(!s->lost || step->what == FRAME_LOST);
    if (step->flags & FRAME_FIRST)
        REQUIRE(!s->open);
    else if (step->what == FRAME_HEAD)
        REQUIRE(s->open);
    if (step->flags & FRAME_HEAD_END)
        REQUIRE(s->open || step->flags & FRAME_FIRST);
    REQUIRE(step->flags & FRAME_GRPC || !step->messages);
    REQUIRE(step->messages <= step->body / 5 + 1);
}

/* One split of bytes. */
static inline void wire_show(struct wire *w, enum frame_side side, const uint8_t *bytes, size_t n)
{
    struct wire_side *s = &w->side[side];

    while (n) {
        struct frame_step step;
        memset(&step, 0xa5, sizeof(step));
        http2_step(w->frame, side, bytes, n, &step);
        wire_check(s, &step, n);
        s->at += step.used;
        if (step.flags & FRAME_FIRST) {
            s->block.length = 0;
            s->open = true;
        }
        if (step.what == FRAME_HEAD)
            wire_bytes(&s->block, bytes, step.used);
        REQUIRE(s->block.length <= FRAME_HEAD_MAX);
        if (step.flags & FRAME_HEAD_END) {
            s->open = false;
            wire_format(&s->steps, "block %zu:", s->block.length);
            wire_bytes(&s->steps, s->block.data, s->block.length);
            wire_decode(s, &step);
        }
        wire_told(w, side, &step);
        /* Parts of a block, and where a loss is told, are the split's own. */
        unsigned own = FRAME_FIRST;
        if (step.what == FRAME_LOST && !s->lost)
            wire_format(&s->steps, "lost\n");
        else if (step.what > FRAME_LOST || step.flags & FRAME_HEAD_END ||
                 (step.what == FRAME_BODY && (step.flags || step.body)))
            wire_format(&s->steps, "%u %x %u %llu %u at %llu\n", step.what, step.flags & ~own,
                        step.number, (unsigned long long)step.body, step.messages,
                        (unsigned long long)s->at);
        s->lost = step.what == FRAME_LOST;
        bytes += step.used;
        n -= step.used;
    }
}

static inline bool wire_same(const struct wire_text *a, const struct wire_text *b)
{
    return a->length == b->length && (!a->length || !memcmp(a->data, b->data, a->length));
}

/* -------- what gRPC messages there are in a body, with all the memory in the world */

struct wire_grpc {
    uint8_t have;
    bool none; /* these are no messages */
    uint32_t left, count;
};

static inline void wire_grpc(struct wire_grpc *g, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n && !g->none; i++) {
        if (g->have < 5) {
            g->none = g->have == 0 && bytes[i] > 1;
            g->left = g->have++ ? g->left << 8 | bytes[i] : 0;
        } else {
            g->left--;
        }
        if (g->have == 5 && !g->left) {
            g->count++;
            g->have = 0;
        }
    }
}

#endif
