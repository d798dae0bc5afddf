/*
 * traceparent_parse for tests until src/capture/trace_ids.c has it; that one goes before this weak
 * one. Delete this file and what includes it then.
 */
#ifndef SCOPE_TEST_TRACEPARENT_STAND_IN_H
#define SCOPE_TEST_TRACEPARENT_STAND_IN_H

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "capture/trace.h"

static bool stand_in_hex(const uint8_t *at, size_t count, uint8_t *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < count; i++) {
        const char *high = memchr(digits, at[2 * i], 16), *low = memchr(digits, at[2 * i + 1], 16);
        if (!high || !low)
            return false;
        out[i] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    return true;
}

__attribute__((weak)) int traceparent_parse(const uint8_t *value, size_t length,
                                            struct trace_ids *out)
{
    static const struct trace_ids none;
    struct trace_ids ids = none;
    uint8_t version = 0xff;

    *out = none;
    if (length < TRACEPARENT_LENGTH || value[2] != '-' || value[35] != '-' || value[52] != '-' ||
        !stand_in_hex(value, 1, &version) || !stand_in_hex(value + 3, 16, ids.trace_id) ||
        !stand_in_hex(value + 36, 8, ids.parent_id) || !stand_in_hex(value + 53, 1, &ids.flags) ||
        version == 0xff || !memcmp(ids.trace_id, none.trace_id, 16) ||
        !memcmp(ids.parent_id, none.parent_id, 8) ||
        (length > TRACEPARENT_LENGTH && (!version || value[TRACEPARENT_LENGTH] != '-')))
        return -EINVAL;
    ids.flags &= TRACE_SAMPLED | TRACE_RANDOM;
    *out = ids;
    return 0;
}

#endif
