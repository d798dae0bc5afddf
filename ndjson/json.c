/*
 * JSON into a buffer: strings of any bytes, numbers without the program's locale.
 */
#include "ndjson/json.h"

#include <math.h>
#include <string.h>

#include "telemetry/number.h"

static const char hex_digits[] = "0123456789abcdef";

/* Room for so many bytes, or NULL. */
static char *reserve(struct json *j, size_t length)
{
    if (j->full || j->room - j->length < length) {
        j->full = true;
        return NULL;
    }
    return j->data + j->length;
}

void json_raw(struct json *j, const char *data, size_t length)
{
    char *out = reserve(j, length);

    if (out && length) {
        memcpy(out, data, length);
        j->length += length;
    }
}

void json_unsigned(struct json *j, uint64_t n)
{
    char *out = reserve(j, NUMBER_INT_MAX);

    if (out)
        j->length += number_unsigned(out, n);
}

void json_signed(struct json *j, int64_t n)
{
    char *out = reserve(j, NUMBER_INT_MAX);

    if (out)
        j->length += number_signed(out, n);
}

void json_double(struct json *j, double number)
{
    if (!isfinite(number)) {
        JSON_RAW(j, "null");
        return;
    }
    char *out = reserve(j, NUMBER_DOUBLE_MAX);
    if (out)
        j->length += number_double(out, number);
}

void json_time(struct json *j, uint64_t nanoseconds)
{
    char *out = reserve(j, NUMBER_INT_MAX + 10);

    if (!out)
        return;
    size_t n = number_unsigned(out, nanoseconds / 1000000000);
    out[n++] = '.';
    n += number_padded(out + n, nanoseconds % 1000000000, 9);
    j->length += n;
}

void json_hex(struct json *j, const uint8_t *bytes, size_t count)
{
    char *out = reserve(j, 2 * count + 2);

    if (!out)
        return;
    *out++ = '"';
    for (size_t i = 0; i < count; i++) {
        *out++ = hex_digits[bytes[i] >> 4];
        *out++ = hex_digits[bytes[i] & 15];
    }
    *out = '"';
    j->length += 2 * count + 2;
}

/* ------------------------------------------------------------------ strings */

/* Bytes of the valid UTF-8 sequence at p, which is not ASCII; 0: there is none. */
static size_t sequence(const unsigned char *p, const unsigned char *end)
{
    size_t left = (size_t)(end - p);
    unsigned lead = p[0];

    if (lead >= 0xc2 && lead <= 0xdf)
        return left >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (lead >= 0xe0 && lead <= 0xef) {
        unsigned low = lead == 0xe0 ? 0xa0 : 0x80, high = lead == 0xed ? 0x9f : 0xbf;
        return left >= 3 && p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 ? 3 : 0;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        unsigned low = lead == 0xf0 ? 0x90 : 0x80, high = lead == 0xf4 ? 0x8f : 0xbf;
        return left >= 4 && p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 &&
                       (p[3] & 0xc0) == 0x80
                   ? 4
                   : 0;
    }
    return 0;
}

size_t json_sequence(const char *p, const char *end)
{
    const unsigned char *at = (const unsigned char *)p;

    return *at < 0x80 ? 1 : sequence(at, (const unsigned char *)end);
}

bool json_is_utf8(struct text text)
{
    const unsigned char *p = (const unsigned char *)text.data;
    const unsigned char *end = text.length ? p + text.length : p; /* data may be NULL */

    while (p < end) {
        uint64_t eight;
        if (end - p >= 8 && (memcpy(&eight, p, 8), !(eight & 0x8080808080808080u))) {
            p += 8;
        } else if (*p < 0x80) {
            p++;
        } else {
            size_t n = sequence(p, end);
            if (!n)
                return false;
            p += n;
        }
    }
    return true;
}

/*
 * Of eight bytes: not 0 when one is a control character, a quote or a backslash, or has its bit in
 * `besides` set.
 */
static uint64_t marks(uint64_t v, uint64_t besides)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t quote = v ^ ones * '"', slash = v ^ ones * '\\';
    /* A byte below the subtracted one borrows into its top bit, if that was clear. */
    uint64_t hit = ((v - ones * 0x20) & ~v) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash);

    return (hit & high) | (v & besides);
}

/* The last bytes, fewer than eight of at least four, or eight: some of them for the second time. */
static uint64_t last_word(const unsigned char *end, size_t length)
{
    uint32_t low, high;
    uint64_t v;

    if (length >= 8) {
        memcpy(&v, end - 8, 8);
        return v;
    }
    memcpy(&low, end - length, 4);
    memcpy(&high, end - 4, 4);
    return (uint64_t)high << 32 | low;
}

/*
 * Bytes at p that JSON takes as they are: no control character, quote or backslash; none that has
 * its bit in `besides` set, which is the same for each of eight.
 */
static size_t plain_run(const unsigned char *p, size_t length, uint64_t besides)
{
    size_t n = 0;
    uint64_t v;

    for (; length - n >= 8; n += 8) {
        memcpy(&v, p + n, 8);
        if (marks(v, besides))
            break;
    }
    if (n == length ||
        (length >= 4 && length - n < 8 && !marks(last_word(p + length, length), besides)))
        return length;
    while (n < length && p[n] >= 0x20 && p[n] != '"' && p[n] != '\\' && !(p[n] & (besides & 0xff)))
        n++;
    return n;
}

static void escape(struct json *j, unsigned char c)
{
    static const char shorts[] = "\bb\tt\nn\ff\rr\"\"\\\\";
    char out[6] = {'\\', 'u', '0', '0', hex_digits[c >> 4], hex_digits[c & 15]};

    for (const char *s = shorts; *s; s += 2) {
        if ((unsigned char)*s == c) {
            out[1] = s[1];
            json_raw(j, out, 2);
            return;
        }
    }
    json_raw(j, out, 6);
}

bool json_text_plain(struct json *j, struct text text)
{
    const unsigned char *p = (const unsigned char *)text.data;

    if (plain_run(p, text.length, 0x8080808080808080u) != text.length)
        return false;
    char *out = reserve(j, text.length + 2);
    if (!out)
        return true;
    *out++ = '"';
    if (text.length)
        memcpy(out, p, text.length);
    out[text.length] = '"';
    j->length += text.length + 2;
    return true;
}

void json_text(struct json *j, struct text text)
{
    const unsigned char *p = (const unsigned char *)text.data;
    const unsigned char *end = text.length ? p + text.length : p;

    JSON_RAW(j, "\"");
    while (p < end) {
        size_t run = plain_run(p, (size_t)(end - p), 0);
        json_raw(j, (const char *)p, run);
        p += run;
        if (p < end)
            escape(j, *p++);
    }
    JSON_RAW(j, "\"");
}

void json_text_escaped(struct json *j, struct text text)
{
    const unsigned char *p = (const unsigned char *)text.data;
    const unsigned char *end = text.length ? p + text.length : p;

    JSON_RAW(j, "\"");
    while (p < end) {
        size_t n = *p < 0x80 ? 1 : sequence(p, end);
        if (!n) {
            char out[5] = {'\\', '\\', 'x', hex_digits[*p >> 4], hex_digits[*p & 15]};
            json_raw(j, out, sizeof(out));
            n = 1;
        } else if (*p == '\\') {
            JSON_RAW(j, "\\\\\\\\");
        } else if (*p < 0x20 || *p == '"') {
            escape(j, *p);
        } else {
            json_raw(j, (const char *)p, n);
        }
        p += n;
    }
    JSON_RAW(j, "\"");
}
