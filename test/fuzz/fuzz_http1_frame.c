/*
 * Any conversation of HTTP/1, fed whole, byte by byte and in calls of pseudo-random sizes: the same
 * messages, the invariants of frame.h, no read beyond a call's bytes.
 *
 * Input: a byte that seeds the sizes, then parts; byte 0xff and one more begin a part: '>' bytes of
 * the requests, '<' of the responses, '}' and '{' unseen ones (decimal), ')' and '(' the side ends.
 */
#include <stddef.h>
#include <stdint.h>

#define REQUIRE(condition)    \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)
#include "test/unit/http1_transcript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PARTS = 64 };

static size_t read_parts(const uint8_t *data, size_t size, struct part *parts)
{
    size_t count = 0;

    for (size_t i = 0; i + 1 < size && count < PARTS;) {
        if (data[i] != 0xff)
            break;
        uint8_t kind = data[i + 1];
        size_t from = i + 2, to = from, number = 0;
        for (; to < size && data[to] != 0xff; to++)
            number = number * 10 + data[to] % 10;
        struct part *p = &parts[count++];
        *p = (struct part){PART_BYTES, SIDE_REQUEST, (const char *)data + from, to - from};
        if (kind == '<' || kind == '{' || kind == '(')
            p->side = SIDE_RESPONSE;
        if (kind == '{' || kind == '}')
            *p = (struct part){PART_UNSEEN, p->side, NULL, number ? number : 1};
        if (kind == '(' || kind == ')')
            p->kind = PART_END;
        i = to;
    }
    return count;
}

static size_t bytewise(void *how, size_t at, size_t length)
{
    (void)how, (void)at, (void)length;
    return 1;
}

static size_t randomly(void *how, size_t at, size_t length)
{
    uint32_t *seed = how;

    (void)at;
    *seed = *seed * 1664525u + 1013904223u;
    size_t n = *seed >> 28 ? *seed >> 27 : *seed >> 20;
    return n == 0 ? 1 : n < length ? n : length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct transcript whole, split;
    struct part parts[PARTS];

    if (!size)
        return 0;
    uint32_t seed = data[0] * 2654435761u;
    size_t count = read_parts(data + 1, size - 1, parts);
    transcript_run(&whole, parts, count, NULL, NULL);
    transcript_run(&split, parts, count, bytewise, NULL);
    REQUIRE(whole.hash == split.hash && !strcmp(whole.text, split.text));
    transcript_run(&split, parts, count, randomly, &seed);
    REQUIRE(whole.hash == split.hash && !strcmp(whole.text, split.text));
    int verdict = size > 3 ? http1_sniff(data + 3, size - 3) : 0;
    REQUIRE(verdict >= -1 && verdict <= 2 && (verdict >= 0 || size - 3 < HTTP1_SNIFF));
    return 0;
}
