/* What the files of src/capture share with one another, and with nobody else. */
#ifndef SCOPE_CAPTURE_INTERNAL_H
#define SCOPE_CAPTURE_INTERNAL_H

#include "capture/capture.h"

/* -------- lane.c */

/*
 * Whether whoever had stack pointer `theirs` when it began on this lane has been left for good (a
 * signal handler jumped out of it), seen from a frame of the same thread at `ours`.
 */
int lane_outer_gone(const struct lane *lane, uint64_t theirs, uint64_t ours);

/* -------- chunk.c */

/*
 * Takes chunk `c` (its index plus one; 0 none) off the lane, if it is still there, for the
 * reporter, and puts an empty one there. Returns the lane's chunk now, or 0 when the pool is empty.
 */
uint32_t chunk_change(struct region_head *region, struct lane *lane, uint32_t c);

/* -------- record.c */

/* record_write with the `length` bytes of the pieces that begin at `skip`. */
int record_part(struct region_head *region, struct lane *lane, const struct record *record,
                const struct piece *pieces, unsigned count, uint64_t skip, uint32_t length);

/* The same, but counts no drop where there is no room. */
int record_try(struct region_head *region, struct lane *lane, const struct record *record,
               const struct piece *pieces, unsigned count, uint64_t skip, uint32_t length);

#endif
