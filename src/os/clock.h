/* The clocks of everything outside capture, in nanoseconds. Any thread; never fails. */
#ifndef SCOPE_OS_CLOCK_H
#define SCOPE_OS_CLOCK_H

#include <stdint.h>

uint64_t now_mono(void); /* CLOCK_MONOTONIC */
uint64_t now_unix(void); /* CLOCK_REALTIME */

#endif
