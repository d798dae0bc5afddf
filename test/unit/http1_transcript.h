/*
 * A conversation fed to the framer of HTTP/1 in calls of any size, and what it said of it in a form
 * that does not depend on these sizes: two feedings are the same when their transcripts are.
 * Includers define REQUIRE(condition). The bytes of every call end where an allocation does, so
 * that sanitizers see a read beyond them.
 */
#ifndef SCOPE_TEST_HTTP1_TRANSCRIPT_H
#define SCOPE_TEST_HTTP1_TRANSCRIPT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/http1_frame.h"

enum part_kind { PART_NONE, PART_BYTES, PART_UNSEEN, PART_END };

struct part {
    enum part_kind kind;
    enum frame_side side;
    const char *data; /* PART_BYTES */
    size_t length;    /* PART_BYTES, PART_UNSEEN */
};

#define Q(text)                                          \
    {                                                    \
        PART_BYTES, SIDE_REQUEST, text, sizeof(text) - 1 \
    }
#define R(text)                                           \
    {                                                     \
        PART_BYTES, SIDE_RESPONSE, text, sizeof(text) - 1 \
    }
#define Q_UNSEEN(n)                        \
    {                                      \
        PART_UNSEEN, SIDE_REQUEST, NULL, n \
    }
#define R_UNSEEN(n)                         \
    {                                       \
        PART_UNSEEN, SIDE_RESPONSE, NULL, n \
    }
#define Q_END                           \
    {                                   \
        PART_END, SIDE_REQUEST, NULL, 0 \
    }
#define R_END                            \
    {                                    \
        PART_END, SIDE_RESPONSE, NULL, 0 \
    }

enum { HEAD_KEPT = 256 };

struct transcript_side {
    int head_open, in_body, lost, upgraded;
    uint32_t number;
    uint64_t head, hash; /* of the head that is being told */
    char first[HEAD_KEPT], last;
};

struct transcript {
    struct http1_frame frame;
    struct transcript_side side[2];
    uint64_t hash; /* of all that was said */
    size_t length;
    char text[4096]; /* its beginning */
};

static void transcript_put(struct transcript *t, const char *what)
{
    for (; *what; what++) {
        t->hash = (t->hash ^ (uint8_t)*what) * 0x100000001b3u;
        if (t->length < sizeof(t->text) - 1)
            t->text[t->length++] = *what;
    }
}

static void transcript_head(struct transcript *t, enum frame_side side, const uint8_t *bytes,
                            const struct frame_step *step)
{
    struct transcript_side *s = &t->side[side];

    if (step->flags & FRAME_FIRST) {
        REQUIRE(!s->head_open && !s->in_body && step->number);
        REQUIRE(side == SIDE_RESPONSE || step->number == s->number + 1);
        REQUIRE(side == SIDE_REQUEST || step->number == s->number || step->number == s->number + 1);
        s->head_open = 1;
        s->number = step->number;
        s->head = s->hash = 0;
        memset(s->first, 0, sizeof(s->first));
    }
    REQUIRE(s->head_open && step->number == s->number);
    REQUIRE(!!(step->flags & FRAME_CUT) == (s->head >= FRAME_HEAD_MAX));
    for (size_t i = 0; i < step->used; i++, s->head++) {
        if (s->head < sizeof(s->first) - 1)
            s->first[s->head] = (char)bytes[i];
        s->hash = (s->hash ^ bytes[i]) * 0x100000001b3u;
        s->last = (char)bytes[i];
    }
    REQUIRE((step->flags & FRAME_CUT) || s->head <= FRAME_HEAD_MAX);
    if (!(step->flags & FRAME_HEAD_END)) {
        REQUIRE(!(step->flags & (FRAME_END | FRAME_INTERIM)));
        return;
    }
    REQUIRE(s->last == '\n' && s->head >= 10);
    s->head_open = 0;
    s->in_body = !(step->flags & FRAME_END);
    s->first[strcspn(s->first, "\r\n")] = 0;
    char line[HEAD_KEPT + 160];
    snprintf(line, sizeof(line), "%s%s%u{%s", t->length ? " " : "", side ? "r" : "q", step->number,
             s->first);
    transcript_put(t, line);
    size_t length;
    const uint8_t *context = side ? NULL : http1_traceparent(&t->frame, &length);
    if (context) {
        REQUIRE(length <= FRAME_CONTEXT);
        snprintf(line, sizeof(line), "|%.*s", (int)length, (const char *)context);
        transcript_put(t, line);
    }
    transcript_put(t, step->flags & FRAME_INTERIM ? "}i" : "}");
    /* The text is for people; lengths and bytes of heads are in the hash alone. */
    t->hash = (t->hash ^ s->head ^ s->hash) * 0x100000001b3u;
}

static void transcript_end(struct transcript *t, enum frame_side side,
                           const struct frame_step *step)
{
    char line[64];

    if (!(step->flags & FRAME_END))
        return;
    REQUIRE(!t->side[side].head_open && step->number == t->side[side].number);
    t->side[side].in_body = 0;
    if (step->flags & FRAME_INTERIM)
        return;
    snprintf(line, sizeof(line), " %s%u=%llu", side ? "r" : "q", step->number,
             (unsigned long long)step->body);
    transcript_put(t, line);
}

static void transcript_state(struct transcript *t, enum frame_side side, int *was, const char *word)
{
    t->side[side].head_open = t->side[side].in_body = 0;
    if (*was)
        return;
    *was = 1;
    transcript_put(t, t->length ? " " : "");
    transcript_put(t, side ? "r" : "q");
    transcript_put(t, word);
}

/* A copy of the bytes that ends with its allocation; lasts until the next one is made. */
static uint8_t *transcript_copy(const char *bytes, size_t length)
{
    static uint8_t *room;
    static size_t size;

    if (length > size) {
        free(room);
        size = length > 4096 ? length : 4096;
        room = malloc(size);
        REQUIRE(room);
    }
    return memcpy(room + size - length, bytes, length);
}

/* One call. bytes NULL: unseen. */
static void transcript_feed(struct transcript *t, enum frame_side side, const char *bytes,
                            size_t length)
{
    const uint8_t *copy = bytes ? transcript_copy(bytes, length) : NULL;
    size_t at = 0;

    while (at < length) {
        struct transcript_side *s = &t->side[side];
        struct frame_step step;
        memset(&step, 0xa5, sizeof(step));
        http1_step(&t->frame, side, copy ? copy + at : NULL, length - at, &step);
        REQUIRE(step.used >= 1 && step.used <= length - at);
        REQUIRE(!s->upgraded || step.what == FRAME_UPGRADED);
        REQUIRE(!s->lost || step.what == FRAME_LOST || step.what == FRAME_UPGRADED);
        if (step.what == FRAME_HEAD) {
            REQUIRE(copy);
            transcript_head(t, side, copy + at, &step);
        } else if (step.what == FRAME_BODY && step.number) {
            REQUIRE(s->in_body && step.number == s->number);
            REQUIRE(!(step.flags & ~FRAME_END));
        } else if (step.what == FRAME_BODY) {
            REQUIRE(!s->in_body && !s->head_open && side == SIDE_REQUEST && !step.flags);
        } else if (step.what == FRAME_LOST) {
            transcript_state(t, side, &s->lost, "LOST");
        } else {
            REQUIRE(step.what == FRAME_UPGRADED);
            transcript_state(t, side, &s->upgraded, "UPGRADED");
        }
        transcript_end(t, side, &step);
        REQUIRE(http1_outstanding(&t->frame) <= HTTP1_OUTSTANDING);
        at += step.used;
    }
}

/* How many of the `length` bytes at `at` of the conversation the next call has: 1 to length. */
typedef size_t (*transcript_split)(void *how, size_t at, size_t length);

static void transcript_run(struct transcript *t, const struct part *parts, size_t count,
                           transcript_split split, void *how)
{
    size_t at = 0;

    memset(t, 0, sizeof(*t));
    for (; count && parts->kind; parts++, count--) {
        struct frame_step step;
        if (parts->kind == PART_UNSEEN) {
            transcript_feed(t, parts->side, NULL, parts->length);
        } else if (parts->kind == PART_END && http1_end(&t->frame, parts->side, &step)) {
            REQUIRE(step.what == FRAME_BODY && step.used == 0 && step.flags == FRAME_END);
            transcript_end(t, parts->side, &step);
        }
        for (size_t i = 0, n; parts->kind == PART_BYTES && i < parts->length; i += n, at += n) {
            n = split ? split(how, at, parts->length - i) : parts->length - i;
            transcript_feed(t, parts->side, parts->data + i, n);
        }
    }
}

#endif
