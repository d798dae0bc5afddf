/* What the files of drain share with one another, and with nobody else. */
#ifndef SCOPE_REPORT_DRAIN_INTERNAL_H
#define SCOPE_REPORT_DRAIN_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/layout.h"
#include "report/report.h"

/* Where a record that was copied out lies, and what it is sorted by. */
struct batch_entry {
    uint64_t end;
    size_t at; /* in the batch's bytes */
    int32_t tid;
    bool waited; /* it was left for this run by the one before */
};

/* Records copied out of the ring, to be handed out in order. */
struct drain_batch {
    struct batch_entry *entry;
    struct batch_entry *other; /* room for sorting; as many */
    size_t count, room;
    uint8_t *bytes;
    size_t used, size;
};

/* What was already handed out of one tenancy of a place in a lane's totals. */
struct totals_seen {
    struct totals sum;
    uint32_t place;
};

struct drain_lane {
    bool active;         /* stands in drain.active */
    uint32_t first;      /* its chunks in their order: index plus one */
    int32_t tid;         /* of the thread that RECORD_THREAD named last */
    uint64_t stalled_at; /* chunk and offset of the slot that is waited for */
    uint64_t stalled_since;
    struct totals_seen *seen;
    uint32_t seen_count, seen_room;
};

enum chunk_is {
    CHUNK_IDLE,  /* in the pool, as far as we know */
    CHUNK_EMPTY, /* taken out of it, and nothing is in it yet */
    CHUNK_LINKED /* in its lane's list */
};

struct drain_chunk {
    uint32_t lane, sequence;
    uint32_t next;  /* index plus one */
    uint32_t at;    /* read up to here */
    uint64_t since; /* EMPTY: when it was first met, and how often since */
    uint32_t met;
    uint64_t left;   /* when it was first seen not to be the one that its lane writes into, or 0 */
    uint64_t hold;   /* it is not reused before */
    uint8_t is;      /* enum chunk_is */
    bool silent;     /* proven: nobody can write into it any more */
    bool outer_seen; /* a record of depth 0 was read in it */
};

struct drain {
    struct region_head *region;
    /* the region's shape as it was checked once: it is not looked up again */
    uint64_t chunks_at, lanes_at;
    uint32_t chunks, lanes;
    struct drain_chunk *chunk;
    uint64_t met[CHUNK_MAX / 64]; /* a bit for each chunk that may be other than CHUNK_IDLE */
    struct drain_lane *lane; /* grows with the lanes that are used */
    uint32_t lane_room;
    uint32_t *active; /* lanes that have chunks */
    uint32_t active_count;
    struct drain_batch batch;
    uint64_t *closes; /* keys of the descriptors whose RECORD_CLOSE came in this run */
    uint32_t close_count;
    uint64_t now, born; /* CLOCK_MONOTONIC of this run, and of drain_new */
    int membarrier;     /* 0 not asked yet, 1 registered, -1 there is none */
};

static inline struct chunk *drain_chunk_at(const struct drain *d, uint32_t i)
{
    return (struct chunk *)((uint8_t *)d->region + d->chunks_at + (uint64_t)i * CHUNK_SIZE);
}

static inline struct lane *drain_lane_at(const struct drain *d, uint32_t i)
{
    return (struct lane *)((uint8_t *)d->region + d->lanes_at + (uint64_t)i * LANE_SIZE);
}

static inline void drain_drop(struct drain *d, enum drop cause)
{
    __atomic_fetch_add(&d->region->drops[cause], 1, __ATOMIC_RELAXED);
}

/* -------- drain_batch.c */

/* Room for a record with its payload; NULL when there is no memory. */
struct record *batch_add(struct drain_batch *b, const struct record *record, int32_t tid);
/* Takes back what batch_add added last. */
void batch_undo(struct drain_batch *b);
/* Hands out in order what ended up to `horizon`, or has waited once; keeps the rest. */
size_t batch_hand_out(struct drain_batch *b, uint64_t horizon, drain_take *take, void *context);
void batch_free(struct drain_batch *b);

/* -------- drain_totals.c */

enum { CLOSES_MAX = 32 }; /* beyond that all totals are looked at */

/* Takes what was handed out before off totals that came in a record. False: nothing is left. */
bool totals_news(struct drain *d, uint32_t lane, struct totals *t);
/* Notes a RECORD_CLOSE: what other lanes hold of that descriptor is wanted. */
void totals_closing(struct drain *d, const struct record *record);
/* Fetches from the lanes what they hold of descriptors that were closed, or of all. */
void totals_look(struct drain *d, bool all);

/* Makes sure that d->lane has an element for `number`. */
bool drain_lane_room(struct drain *d, uint32_t number);

#endif
