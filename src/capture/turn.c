/* The turns of event loops: which context holds in them, and until when. */
#include "capture/turn.h"

#include "capture/flow.h"

uint8_t turn_order;
uint64_t turn_ticks_of_ms;

void turn_begin(struct region_head *region, struct lane *lane, uint64_t start, int wait)
{
    if (!(region->watch & WATCH_TRACES))
        return;
    lane->turns = 1;
    lane->turn_fd = -1;
    lane->turn_events = 0;
    lane->crowd = 0;
    /* A timer of before the turn is due when the wait would have ended for want of events. */
    lane->turn_until =
        turn_order == TURN_TOLD || wait < 0 ? 0 : start + (uint64_t)wait * turn_ticks_of_ms + 1;
    if (!trace_is_none(&lane->context))
        flow_idle(region, lane);
}

void turn_put_off(struct region_head *region, struct lane *lane)
{
    lane->turn_fd = -1;
    trace_leave(region, lane);
}

int turn_to(struct lane *lane, int fd)
{
    if (!lane->turns)
        return 1;
    if (lane->turn_fd != fd) {
        lane->turn_fd = fd;
        lane->turn_events++;
    }
    return turn_order != TURN_UNKNOWN || lane->turn_events <= 1;
}

void turn_to_unknown(struct region_head *region, struct lane *lane, int fd)
{
    turn_to(lane, fd);
    if (!trace_is_none(&lane->context))
        trace_leave(region, lane);
}
