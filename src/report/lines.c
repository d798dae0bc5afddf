/*
 * The line cutter: bytes in, log entries out; stack traces stay in one piece.
 */
#include <stdlib.h>
#include <string.h>

#include "report/fold_lines.h"
#include "report/fold_severity.h"

static const uint64_t GROUP_IDLE = 1000000000ULL;   /* ns: then an entry is complete */
static const uint64_t PARTIAL_IDLE = 5000000000ULL; /* ns: then an unfinished line is handed over */
enum { BLANKS_MAX = 8, ROOM_KEPT = 1024 };

void lines_init(struct lines *l)
{
    memset(l, 0, sizeof(*l));
}

void lines_clear(struct lines *l)
{
    free(l->partial);
    free(l->group);
    lines_init(l);
}

/* ------------------------------------------------------------------ what continues what */

static bool begins(struct text t, const char *with)
{
    size_t n = strlen(with);
    return t.length >= n && !memcmp(t.data, with, n);
}

static bool ends(struct text t, const char *with)
{
    size_t n = strlen(with);
    return t.length >= n && !memcmp(t.data + t.length - n, with, n);
}

static bool has(struct text t, const char *what)
{
    return memmem(t.data, t.length, what, strlen(what)) != NULL;
}

static bool is_indented(struct text t)
{
    return t.length && (t.data[0] == ' ' || t.data[0] == '\t');
}

static bool is_blank(struct text t)
{
    for (size_t i = 0; i < t.length; i++)
        if (t.data[i] != ' ' && t.data[i] != '\t')
            return false;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "... 23 more" */
static bool is_more(struct text t)
{
    return begins(t, "... ") && t.length > 4 && is_digit(t.data[4]) && ends(t, " more");
}

/* "goroutine 12 [running]:" */
static bool is_goroutine(struct text t)
{
    return begins(t, "goroutine ") && t.length > 10 && is_digit(t.data[10]) && has(t, " [");
}

/* "rip    0x45c5c1", as Go prints a thread's registers */
static bool is_register(struct text t)
{
    size_t i = 0;
    while (i < t.length && i < 7 && ((t.data[i] >= 'a' && t.data[i] <= 'z') || is_digit(t.data[i])))
        i++;
    if (i < 2 || i == t.length || t.data[i] != ' ')
        return false;
    while (i < t.length && t.data[i] == ' ')
        i++;
    return t.length - i > 2 && !memcmp(t.data + i, "0x", 2);
}

static const char python_head[] = "Traceback (most recent call last):";

/* The state that a first line opens. */
static enum trace_state opens(struct text t)
{
    if (ends(t, python_head))
        return TRACE_PYTHON;
    if (begins(t, "panic: ") || begins(t, "fatal error: "))
        return TRACE_GO;
    if (is_goroutine(t))
        return TRACE_GO_STACK;
    if (begins(t, "thread '") && has(t, " panicked at "))
        return ends(t, ":") ? TRACE_RUST_MESSAGE : TRACE_RUST;
    return TRACE_NONE;
}

static bool continues_go(struct lines *l, struct text t)
{
    if (is_goroutine(t) || begins(t, "runtime stack:")) {
        l->state = TRACE_GO_STACK;
        return true;
    }
    if (l->state == TRACE_GO)
        return !l->blanks && (is_indented(t) || begins(t, "[signal ") || begins(t, "panic: "));
    if (is_register(t) || begins(t, "exit status "))
        return true;
    return !l->blanks && (is_indented(t) || begins(t, "created by ") ||
                          begins(t, "...additional ") || (ends(t, ")") && has(t, "(")));
}

static bool continues_python(struct lines *l, struct text t)
{
    switch (l->state) {
    case TRACE_PYTHON: /* frames are indented; the first line that is not names the exception */
        if (!is_indented(t))
            l->state = TRACE_PYTHON_END;
        return true;
    case TRACE_PYTHON_CHAIN:
        if (!begins(t, python_head))
            return false;
        l->state = TRACE_PYTHON;
        return true;
    default:
        if (begins(t, "During handling of the above exception") ||
            begins(t, "The above exception was the direct cause")) {
            l->state = TRACE_PYTHON_CHAIN;
            return true;
        }
        return !l->blanks && is_indented(t);
    }
}

/* A line behind one that opened nothing in particular. */
static bool continues_any(struct lines *l, struct text t)
{
    if (is_indented(t))
        return !l->loose;
    if (begins(t, "Caused by: ") || is_more(t))
        return true;
    if (begins(t, "at ") && ends(t, ")") && has(t, "("))
        return true;
    if (begins(t, "Stack trace:")) {
        l->state = TRACE_PHP;
        return true;
    }
    if (begins(t, "stack backtrace:")) {
        l->state = TRACE_RUST;
        return true;
    }
    if (begins(t, python_head)) { /* logging.exception: the message, then the traceback */
        const char *end = memchr(l->group, '\n', l->group_length);
        struct text first = {l->group, end ? (size_t)(end - l->group) : l->group_length};
        if (severity_of_line(first, NULL) < SEVERITY_ERROR)
            return false;
        l->state = TRACE_PYTHON;
        return true;
    }
    return false;
}

static bool continues(struct lines *l, struct text t)
{
    switch (l->state) {
    case TRACE_PYTHON:
    case TRACE_PYTHON_END:
    case TRACE_PYTHON_CHAIN:
        return continues_python(l, t);
    case TRACE_GO:
    case TRACE_GO_STACK:
        return continues_go(l, t);
    case TRACE_RUST_MESSAGE:
        l->state = TRACE_RUST;
        return true;
    case TRACE_RUST:
        return begins(t, "note: ") || begins(t, "stack backtrace:") ||
               (!l->blanks && is_indented(t));
    case TRACE_PHP:
        return !l->blanks &&
               (is_indented(t) || (t.length > 1 && t.data[0] == '#' && is_digit(t.data[1])));
    case TRACE_NONE:
        break;
    }
    return !l->blanks && continues_any(l, t);
}

/* ------------------------------------------------------------------ entries */

static void group_end(struct lines *l, const struct lines_sink *sink)
{
    if (l->group_lines) {
        struct line_entry entry = {
            .body = {l->group, l->group_length},
            .origin = l->group_origin,
            .lines = l->group_lines,
            .cut = l->group_cut,
        };
        sink->entry(sink->context, &entry);
    }
    l->group_length = 0;
    l->group_lines = l->group_cut = l->blanks = 0;
}

static bool room_for(char **data, size_t *room, size_t need)
{
    if (need <= *room)
        return true;
    size_t size = *room ? *room : 128;
    while (size < need)
        size *= 2;
    char *p = realloc(*data, size);
    if (!p)
        return false;
    *data = p;
    *room = size;
    return true;
}

/* What was not written in one context as a whole belongs to none. */
static void origin_join(struct line_origin *first, const struct line_origin *next)
{
    if (first->traced && (!next->traced || memcmp(first->ids.span_id, next->ids.span_id, 8) != 0))
        first->traced = false;
}

static bool group_add(struct lines *l, struct text t, bool cut, const struct line_origin *origin)
{
    size_t parting = l->group_lines ? l->blanks + 1u : 0;
    if (!room_for(&l->group, &l->group_room, l->group_length + parting + t.length))
        return false;
    memset(l->group + l->group_length, '\n', parting);
    l->group_length += parting;
    memcpy(l->group + l->group_length, t.data, t.length);
    l->group_length += t.length;
    if (!l->group_lines)
        l->group_origin = *origin;
    else
        origin_join(&l->group_origin, origin);
    l->group_lines++;
    l->group_cut += cut;
    l->blanks = 0;
    return true;
}

/* One whole line. Blank lines are no entries: they only part the lines of one. */
static bool line_put(struct lines *l, const struct lines_options *o, struct text t, bool cut,
                     const struct line_origin *origin, const struct lines_sink *sink)
{
    if (!o->continuation) {
        struct line_entry entry = {.body = t, .origin = *origin, .lines = 1, .cut = cut};
        if (!is_blank(t))
            sink->entry(sink->context, &entry);
        return true;
    }
    if (is_blank(t)) {
        if (l->state == TRACE_NONE || ++l->blanks > BLANKS_MAX) {
            group_end(l, sink);
            l->state = TRACE_NONE;
        }
        return true;
    }
    if (l->group_lines && continues(l, t)) {
        if (l->group_length + l->blanks + 1 + t.length > o->line_max)
            group_end(l, sink); /* the trace goes on in another entry */
        return group_add(l, t, cut, origin);
    }
    group_end(l, sink);
    l->state = opens(t);
    l->loose = is_indented(t);
    return group_add(l, t, cut, origin);
}

/* Where to cut, at most max: not inside a UTF-8 sequence. data holds one byte more than max. */
static size_t cut_at(const char *data, size_t max)
{
    size_t at = max;
    while (at > 0 && max - at < 3 && ((uint8_t)data[at] & 0xc0) == 0x80)
        at--;
    return ((uint8_t)data[at] & 0xc0) == 0x80 || at == 0 ? max : at;
}

/* The end of the line: `t` is its first bytes, one more than line_max if there are more. */
static bool line_end(struct lines *l, const struct lines_options *o, struct text t, bool cut,
                     const struct line_origin *origin, const struct lines_sink *sink)
{
    bool binary = l->binary;
    l->binary = l->started = l->skip = false;
    l->partial_length = 0;
    if (!cut && t.length && t.length <= o->line_max + 1 && t.data[t.length - 1] == '\r')
        t.length--;
    if (t.length > o->line_max) {
        t.length = cut_at(t.data, o->line_max);
        cut = true;
    }
    if (binary) {
        group_end(l, sink);
        l->state = TRACE_NONE;
        sink->binary(sink->context, 1);
        return true;
    }
    return line_put(l, o, t, cut, origin, sink);
}

/* Part of a line whose end has not come. One byte more than line_max is kept, and marks the rest.
 */
static bool partial_add(struct lines *l, const struct lines_options *o, struct text t,
                        const struct line_origin *origin)
{
    if (!l->started) {
        l->started = true;
        l->partial_origin = *origin;
    } else {
        origin_join(&l->partial_origin, origin);
    }
    if (!l->binary && memchr(t.data, 0, t.length))
        l->binary = true;
    size_t max = o->line_max + 2; /* two: a CR is only a line's end when it is the last byte */
    if (l->partial_length >= max)
        return true;
    if (t.length > max - l->partial_length)
        t.length = max - l->partial_length;
    if (!room_for(&l->partial, &l->partial_room, l->partial_length + t.length))
        return false;
    memcpy(l->partial + l->partial_length, t.data, t.length);
    l->partial_length += t.length;
    return true;
}

bool lines_put(struct lines *l, const struct lines_options *o, const char *data, size_t length,
               const struct line_origin *origin, const struct lines_sink *sink)
{
    bool good = true;
    if (length)
        l->last = origin->mono_nano;
    while (length) {
        const char *end = memchr(data, '\n', length);
        struct text t = {data, end ? (size_t)(end - data) : length};
        size_t taken = t.length + (end ? 1 : 0);
        if (l->skip) {
            l->skip = end == NULL;
        } else if (!end) {
            good = partial_add(l, o, t, origin) && good;
        } else if (l->started) {
            good = partial_add(l, o, t, origin) && good;
            struct line_origin first = l->partial_origin;
            t = (struct text){l->partial, l->partial_length};
            good = line_end(l, o, t, false, &first, sink) && good;
        } else {
            l->binary = memchr(t.data, 0, t.length) != NULL;
            good = line_end(l, o, t, false, origin, sink) && good;
        }
        data += taken;
        length -= taken;
    }
    return good;
}

/* Hands over the line under way as it stands. */
static void partial_end(struct lines *l, const struct lines_options *o, bool cut,
                        const struct lines_sink *sink)
{
    if (!l->started)
        return;
    struct line_origin origin = l->partial_origin;
    struct text t = {l->partial, l->partial_length};
    (void)line_end(l, o, t, cut, &origin, sink);
}

void lines_gap(struct lines *l, const struct lines_options *o, const struct lines_sink *sink)
{
    partial_end(l, o, true, sink);
    l->skip = false;
}

void lines_tick(struct lines *l, const struct lines_options *o, uint64_t now,
                const struct lines_sink *sink)
{
    if (now < l->last)
        return;
    if (l->started && now - l->last >= PARTIAL_IDLE) {
        bool over = l->partial_length > o->line_max;
        partial_end(l, o, false, sink);
        l->skip = over;
    }
    if (!l->started && now - l->last >= GROUP_IDLE) {
        group_end(l, sink);
        l->state = TRACE_NONE;
    }
}

void lines_relax(struct lines *l)
{
    if (lines_pending(l))
        return;
    if (l->partial_room > ROOM_KEPT) {
        free(l->partial);
        l->partial = NULL;
        l->partial_room = 0;
    }
    if (l->group_room > ROOM_KEPT) {
        free(l->group);
        l->group = NULL;
        l->group_room = 0;
    }
}

void lines_flush(struct lines *l, const struct lines_options *o, const struct lines_sink *sink)
{
    partial_end(l, o, false, sink);
    l->skip = false;
    group_end(l, sink);
    l->state = TRACE_NONE;
}
