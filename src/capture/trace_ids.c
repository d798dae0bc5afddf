/* Reads and writes a trace context as W3C's traceparent has it. */
#include "capture/trace.h"

#include <errno.h>

/* -1: no lower case hexadecimal digit. */
static int nibble(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 2 * n digits; returns the or of all bytes, -1 when they are none. */
static int hex_read(const uint8_t *from, unsigned n, uint8_t *to)
{
    int any = 0;

    for (unsigned i = 0; i < n; i++) {
        int high = nibble(from[2 * i]), low = nibble(from[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        to[i] = (uint8_t)(high << 4 | low);
        any |= to[i];
    }
    return any;
}

static uint8_t *hex_write(uint8_t *to, const uint8_t *from, unsigned n)
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned i = 0; i < n; i++) {
        *to++ = (uint8_t)digits[from[i] >> 4];
        *to++ = (uint8_t)digits[from[i] & 15];
    }
    return to;
}

int traceparent_parse(const uint8_t *value, size_t length, struct trace_ids *out)
{
    uint8_t version, flags;

    *out = (struct trace_ids){0};
    if (length < TRACEPARENT_LENGTH || value[2] != '-' || value[35] != '-' || value[52] != '-')
        return -EINVAL;
    if (hex_read(value, 1, &version) < 0 || hex_read(value + 53, 1, &flags) < 0 || version == 0xff)
        return -EINVAL;
    if (length > TRACEPARENT_LENGTH && (!version || value[TRACEPARENT_LENGTH] != '-'))
        return -EINVAL;
    if (hex_read(value + 3, 16, out->trace_id) <= 0 ||
        hex_read(value + 36, 8, out->parent_id) <= 0) {
        *out = (struct trace_ids){0};
        return -EINVAL;
    }
    out->flags = flags & (TRACE_SAMPLED | TRACE_RANDOM);
    return 0;
}

void traceparent_print(const struct trace_ids *ids, uint8_t out[TRACEPARENT_LENGTH])
{
    const uint8_t version = 0, flags = ids->flags & (TRACE_SAMPLED | TRACE_RANDOM);

    out = hex_write(out, &version, 1);
    *out++ = '-';
    out = hex_write(out, ids->trace_id, 16);
    *out++ = '-';
    out = hex_write(out, ids->span_id, 8);
    *out++ = '-';
    hex_write(out, &flags, 1);
}
