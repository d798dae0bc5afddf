/* retry_after: the value of a Retry-After header. Pure; any thread. */
#ifndef SCOPE_TRANSPORT_RETRY_AFTER_H
#define SCOPE_TRANSPORT_RETRY_AFTER_H

#include <stdint.h>

/*
 * Seconds, or a date in one of RFC 9110's three forms, as ns from `now` (CLOCK_REALTIME ns) on.
 * 0: it is none, or has passed. At most RETRY_AFTER_MAX.
 */
uint64_t retry_after(const char *value, uint64_t now);

#define RETRY_AFTER_MAX (366ull * 86400 * 1000000000) /* more is no wait but an end */

#endif
