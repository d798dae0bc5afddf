/*
 * The two clocks that everything outside capture uses: the kernel's, not libc's, which the program
 * or another library may have replaced to be told another time (libfaketime).
 */
#include "os/clock.h"

#include <time.h>

#include "capture/capture.h"

static uint64_t read_clock(clockid_t id)
{
    struct timespec ts = {0, 0};

    ticks_clock(id, &ts); /* fails only for a clock that does not exist */
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t now_mono(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t now_unix(void)
{
    return read_clock(CLOCK_REALTIME);
}
