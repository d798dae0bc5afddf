/*
 * turn: what one thread does between two waits for events, in an event loop. It serves many, and
 * only what it reads and writes tells for whom: a context holds until it turns to another
 * descriptor. Loops put work off, too, to the end of the turn or to a timer, and nothing tells then
 * whose it is. So a context ends where such work may begin.
 *
 * Called on application threads, for their own lane. Freestanding as all of capture.
 */
#ifndef SCOPE_CAPTURE_TURN_H
#define SCOPE_CAPTURE_TURN_H

#include <errno.h>

#include "capture/capture.h"
#include "capture/trace.h"

/* When this process's loops do what they put off. */
enum turn_order {
    TURN_UNKNOWN, /* at any time in the turn: what follows a second event may be of the first */
    TURN_TOLD,    /* behind the events, and turn_put_off is called before (node) */
    TURN_NEVER,   /* but for timers: an event's work is done before the next is taken (nginx) */
};
extern uint8_t turn_order;        /* set by the constructor; of this process */
extern uint64_t turn_ticks_of_ms; /* ticks of a millisecond; 0: not known */

/* A wait for the events of many is over; it began at `start`, for at most `wait` ms (-1: ever). */
void turn_begin(struct region_head *region, struct lane *lane, uint64_t start, int wait);

/* What comes now was put off before: nobody's. */
void turn_put_off(struct region_head *region, struct lane *lane);

/* The thread turns to a descriptor. Returns whether it is known for whom it works from here on. */
int turn_to(struct lane *lane, int fd);

/* It does so where nothing tells for whom. */
void turn_to_unknown(struct region_head *region, struct lane *lane, int fd);

/* A descriptor was read, or its connect has come to an end; `entry` is as it was before. */
static inline void turn_read(struct region_head *region, struct lane *lane, int fd, fd_entry entry)
{
    if (unlikely(lane->turns) && lane->turn_fd != fd && !(entry & FD_FLOW) &&
        (entry & FD_NONBLOCK || FD_KIND(entry) == KIND_EVENT))
        turn_to_unknown(region, lane, fd);
}

/* A read gave nothing: the stream has ended, or failed; or there is nothing yet, which is no event.
 */
static inline void turn_read_none(struct region_head *region, struct lane *lane, int fd,
                                  int64_t result)
{
    if (unlikely(lane->turns) && lane->turn_fd != fd && result != -EAGAIN && result != -EINTR)
        turn_to_unknown(region, lane, fd);
}

/* Whether the lane's context, if it has one, is still that of what the thread does at `now`. */
static inline int turn_holds(const struct lane *lane, uint64_t now)
{
    return likely(!lane->turn_until) || now < lane->turn_until;
}

#endif
