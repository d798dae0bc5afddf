/*
 * status: what an observed process says of itself when it is asked (`status` in its control file):
 * a small JSON object, for scope doctor.
 *
 * Pure: from a struct to text. Filled and written on the reporter's thread.
 */
#ifndef SCOPE_REPORT_STATUS_H
#define SCOPE_REPORT_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/layout.h"

enum { STATUS_SINKS = 7, STATUS_BYTES = 96 * 1024 };

enum sink_state {
    SINK_IDLE,   /* nothing was sent yet */
    SINK_OK,     /* took what it was last sent */
    SINK_AWAY,   /* did not */
    SINK_BROKEN, /* cannot be used at all: its address, or no memory */
};

struct status_sink {
    const char *name; /* "ndjson", "statsd" */
    const char *to;   /* its URL; none of ours holds a secret */
    enum sink_state state;
    const char *reason; /* of AWAY, BROKEN; may be "" */
    uint64_t queued;    /* items that wait */
    uint64_t sent;      /* items taken, since the start or the last reload */
};

/* What is pointed to is borrowed until status_encode() returns. */
struct status {
    int32_t pid;
    uint64_t time; /* CLOCK_REALTIME, ns */
    bool enabled;
    bool sandboxed;                    /* a seccomp filter was set */
    uint32_t watch;                    /* WATCH_* */
    const char *stdio;                 /* NULL: its tables are ours; else why they are not */
    unsigned got_patched, got_refused; /* libraries opened with RTLD_DEEPBIND */
    uint32_t lanes_used, lanes;
    uint32_t chunks_free, chunks;
    struct status_sink sink[STATUS_SINKS];
    unsigned sinks;
    uint64_t drops[DROP_COUNT];
    uint32_t notes;            /* 1 << enum note, for each that was seen */
    const char *configuration; /* the scope.yml that was read, NULL: none */
    unsigned troubles;         /* found in the configuration */
};

/* Takes what the region itself tells. */
void status_of_region(struct status *s, struct region_head *region);

/* Writes it as JSON, a member a line. Returns the length, or 0 where there is not enough room. */
size_t status_encode(const struct status *s, char *out, size_t size);

/* "pool_empty" and so on; NULL: no such cause. */
const char *status_drop_name(unsigned cause);

/* Stands in the library's file before its version, so that a file can be asked which it is. */
#define STATUS_VERSION_MARK "scope-library-version="

#endif
