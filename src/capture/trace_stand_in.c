/* Stands in for trace_ids.c until that is there: weak, so that the real ones win. To be deleted. */
#include <errno.h>

#include "capture/internal.h"

static int digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_hex(const uint8_t *from, uint8_t *to, unsigned bytes)
{
    int any = 0;
    for (unsigned i = 0; i < bytes; i++) {
        int high = digit(from[2 * i]), low = digit(from[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        to[i] = (uint8_t)(high << 4 | low);
        any |= to[i];
        compiler_barrier();
    }
    return any != 0;
}

__attribute__((weak)) int traceparent_parse(const uint8_t *value, size_t length,
                                            struct trace_ids *out)
{
    struct trace_ids ids = {0};
    uint8_t version, flags;

    *out = ids;
    if (length < TRACEPARENT_LENGTH || value[2] != '-' || value[35] != '-' || value[52] != '-' ||
        read_hex(value, &version, 1) < 0 || version == 0xff ||
        (length > TRACEPARENT_LENGTH && (!version || value[55] != '-')) ||
        read_hex(value + 3, ids.trace_id, 16) <= 0 || read_hex(value + 36, ids.parent_id, 8) <= 0 ||
        read_hex(value + 53, &flags, 1) < 0)
        return -EINVAL;
    ids.flags = flags & (TRACE_SAMPLED | TRACE_RANDOM);
    *out = ids;
    return 0;
}

static void write_hex(const uint8_t *from, uint8_t *to, unsigned bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < bytes; i++) {
        to[2 * i] = (uint8_t)digits[from[i] >> 4];
        to[2 * i + 1] = (uint8_t)digits[from[i] & 15];
        compiler_barrier();
    }
}

__attribute__((weak)) void traceparent_print(const struct trace_ids *ids,
                                             uint8_t out[TRACEPARENT_LENGTH])
{
    out[0] = out[1] = '0';
    out[2] = out[35] = out[52] = '-';
    write_hex(ids->trace_id, out + 3, 16);
    write_hex(ids->span_id, out + 36, 8);
    write_hex(&ids->flags, out + 53, 1);
}
