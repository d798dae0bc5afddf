/*
 * The line cutter: a stream of bytes, however it was split into writes, becomes log entries: one
 * for each line, or for a line with the lines that continue it (a stack trace). The same bytes give
 * the same entries whatever the split. Bounded by line_max. Pure but for its buffers: time is
 * handed in.
 */
#ifndef SCOPE_REPORT_FOLD_LINES_H
#define SCOPE_REPORT_FOLD_LINES_H

#include "capture/trace.h"
#include "telemetry/telemetry.h"

struct lines_options {
    size_t line_max;   /* bytes of one entry at most; 1 at least */
    bool continuation; /* keep stack traces together */
};

/* Where bytes came from: kept with the entry that starts with them. */
struct line_origin {
    uint64_t unix_nano; /* when the write ended */
    uint64_t mono_nano; /* the same, CLOCK_MONOTONIC: for the bounds in time */
    int32_t tid;
    bool traced;          /* ids says which context it was written in */
    struct trace_ids ids; /* local ones */
};

/* One entry. Borrowed: valid during the call only. */
struct line_entry {
    struct text body; /* without its last newline; lines in it are parted by '\n' */
    struct line_origin origin;
    uint32_t lines; /* how many lines are in it */
    uint32_t cut;   /* how many of them were cut at line_max */
};

struct lines_sink {
    void (*entry)(void *context, const struct line_entry *entry);
    void (*binary)(void *context, uint64_t lines); /* lines with NUL bytes, left out */
    void *context;
};

enum trace_state {
    TRACE_NONE,
    TRACE_PYTHON,       /* in the frames of a Traceback */
    TRACE_PYTHON_END,   /* the exception was named; another may be chained */
    TRACE_PYTHON_CHAIN, /* "During handling of ..." was said: a Traceback follows */
    TRACE_GO,           /* panic: or fatal error:, its text */
    TRACE_GO_STACK,     /* in a goroutine's frames */
    TRACE_RUST_MESSAGE, /* the panic's message is on the next line */
    TRACE_RUST,         /* notes and the backtrace may follow */
    TRACE_PHP,          /* "Stack trace:" was said */
};

struct lines {
    char *partial; /* the line under way */
    size_t partial_length, partial_room;
    bool binary;  /* a NUL was in the line under way */
    bool started; /* something of this line has come, even if nothing of it is kept */
    bool skip;    /* the line's start was handed over, cut: its rest is left out */
    struct line_origin partial_origin;

    char *group; /* lines that belong together so far */
    size_t group_length, group_room;
    uint32_t group_lines, group_cut;
    uint32_t blanks; /* empty lines behind it: part of it only if it goes on */
    struct line_origin group_origin;
    enum trace_state state;
    bool loose;    /* its first line is indented: indentation does not bind others to it */
    uint64_t last; /* mono_nano of the latest bytes */
};

void lines_init(struct lines *l);
void lines_clear(struct lines *l); /* frees its buffers; what was held is gone */

/* More bytes of the stream. Returns false when memory ran out: bytes were lost. */
bool lines_put(struct lines *l, const struct lines_options *o, const char *data, size_t length,
               const struct line_origin *origin, const struct lines_sink *sink);

/* Bytes of the stream are missing here: the line under way ends, cut. */
void lines_gap(struct lines *l, const struct lines_options *o, const struct lines_sink *sink);

/*
 * Time has passed: an entry whose last line is a second old is complete, an unfinished line after
 * five seconds. now: CLOCK_MONOTONIC ns.
 */
void lines_tick(struct lines *l, const struct lines_options *o, uint64_t now,
                const struct lines_sink *sink);

/* The end: everything held is handed over. */
void lines_flush(struct lines *l, const struct lines_options *o, const struct lines_sink *sink);

/* Gives large buffers back if nothing is held. */
void lines_relax(struct lines *l);

/* Whether anything is held back. */
static inline bool lines_pending(const struct lines *l)
{
    return l->started || l->group_lines;
}

#endif
