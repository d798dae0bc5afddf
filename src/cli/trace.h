/*
 * trace: what `scope trace` is made of: reading spans and logs of a recording, making trees of
 * them, drawing these. For src/cli/trace*.c alone; one thread.
 *
 * All that is read lies in one arena of the caller's, whose limit bounds it; texts are borrowed
 * from it and NUL-ended (a NUL inside one has become a control character). Times are nanoseconds
 * since the Unix epoch, 0 when they are not known.
 */
#ifndef SCOPE_CLI_TRACE_H
#define SCOPE_CLI_TRACE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "telemetry/telemetry.h"

/* An attribute, a link and so on, in a person's words; in the order of the line. */
struct detail {
    struct detail *next;
    const char *name, *value;
};

enum node_type { NODE_SPAN, NODE_EVENT, NODE_LOG };
enum { TRACE_ID = 16, SPAN_ID = 8 };

/* A span, one of its events, or a log record. */
struct node {
    struct node *next;                       /* of the trace, in no order */
    struct node *parent, *child, *sibling;   /* the tree: tree_build's; children by time */
    struct node *folded;                     /* the next one of those that are shown as one */
    uint64_t start, end;                     /* end 0: not known */
    uint64_t total, slowest;                 /* a folded one: of all, nanoseconds */
    const char *name;                        /* of a log record: its body, or the event's name */
    const char *service;                     /* NULL: not known */
    const char *why;                         /* what is known about a failure, or NULL */
    struct detail *details;                  /* only if the store keeps them */
    uint32_t count;                          /* how many are shown as this one; 1: itself */
    uint8_t id[SPAN_ID], parent_id[SPAN_ID]; /* of a log record only parent_id: its span */
    enum node_type type;
    uint8_t kind, severity; /* as OpenTelemetry numbers them; 0: not known */
    bool failed;            /* a span whose status is error */
    bool lost;              /* its parent is named and not there, or is its own descendant */
    bool troubled;          /* an error was logged in it */
    bool hidden, shown;     /* folded into another, or there twice; chosen to be drawn */
};

struct trace {
    struct trace *bucket; /* the next one of the same hash */
    uint8_t id[TRACE_ID];
    struct node *nodes;
    uint64_t first, last;               /* of its spans: the earliest start, the latest end */
    size_t spans, logs, failed, errors; /* errors: log records of severity error and above */
};

/* ------------------------------------------------------------------ reading (trace_read.c) */

enum { TRACE_BUCKETS = 1 << 16 };

struct trace_store {
    struct arena *spans_arena, *notes_arena; /* apart: many records must not leave spans no room */
    const char *prefix; /* only traces whose id begins so (lower-case hexadecimal); NULL: all */
    struct trace *buckets[TRACE_BUCKETS];
    struct interned *interned[TRACE_BUCKETS];
    size_t traces;
    bool details; /* spans keep their kind, attributes and links */
    size_t lines;
    size_t malformed;               /* spans without a valid id */
    size_t left_out, logs_left_out; /* spans and log records for which there was no room */
};

/* Takes one line of a recording (flat or OTLP) into the store `context`. */
void trace_take_line(void *context, json_t *line, const char *text);

/* ------------------------------------------------------------------ trees (trace_tree.c) */

struct tree {
    struct node root;    /* no span itself: its children are the trace's roots, and what has none */
    struct node **nodes; /* owned */
    size_t count;
    size_t twice, lost, early; /* early: spans that begin before their parents */
    size_t services, failed;
    size_t spans_cut, failed_cut, notes_cut; /* not shown */
};

/* Makes the tree of a trace and chooses what is shown; `all`: everything. False: no memory. */
bool tree_build(struct tree *tree, struct trace *trace, bool all);
void tree_free(struct tree *tree);
/* The next node that is shown, depth first, or NULL; *depth is kept by the caller, 0 at first. */
struct node *tree_next(const struct tree *tree, struct node *node, int *depth);

/* ------------------------------------------------------------------ drawing (trace_draw.c) */

struct canvas {
    FILE *out;
    int width;
    bool colour;
};

void trace_draw(const struct canvas *canvas, const struct trace *trace, const struct tree *tree);

#endif
