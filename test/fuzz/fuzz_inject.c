/*
 * Any bytes that a program may send: where a line is added to a head, the framer and nobody else
 * sees one more field, and the message is what it was.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "capture/http1_frame.h"
#include "capture/inject.h"

#define REQUIRE(condition)    \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t place = inject_place(data, size);
    if (!place)
        return 0;
    struct http1_frame bare = {0}, with = {0};
    struct frame_step was, is;
    struct trace_ids ids, found;
    size_t length;
    uint8_t *bytes = malloc(size + INJECT_LINE);
    memset(&ids, 0xa5, sizeof(ids));
    memcpy(bytes, data, place);
    inject_line(&ids, bytes + place);
    memcpy(bytes + place + INJECT_LINE, data + place, size - place);
    REQUIRE(place + 2 <= size && place + 2 <= INJECT_HEAD_MAX);
    REQUIRE(place == inject_place(data, place + 2)); /* nothing behind the head matters */
    REQUIRE(!inject_place(bytes, size + INJECT_LINE));
    http1_step(&bare, SIDE_REQUEST, data, size, &was);
    http1_step(&with, SIDE_REQUEST, bytes, size + INJECT_LINE, &is);
    REQUIRE(was.what == is.what);
    if (was.what == FRAME_HEAD) {
        REQUIRE(was.used == place + 2 && is.used == was.used + INJECT_LINE);
        REQUIRE(was.flags == is.flags && was.flags & FRAME_HEAD_END);
        REQUIRE(!http1_traceparent(&bare, &length));
        const uint8_t *value = http1_traceparent(&with, &length);
        REQUIRE(value && traceparent_parse(value, length, &found) == 0);
        REQUIRE(!memcmp(found.trace_id, ids.trace_id, 16) &&
                !memcmp(found.parent_id, ids.span_id, 8));
    }
    free(bytes);
    return 0;
}
