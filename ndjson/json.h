/*
 * json: text into a buffer of fixed size, as JSON. For ndjson/ and report/status.c; pure, one
 * thread.
 *
 * What does not fit sets `full` and writes nothing more: the caller looks once, at a line's end.
 */
#ifndef SCOPE_NDJSON_JSON_H
#define SCOPE_NDJSON_JSON_H

#include "telemetry/telemetry.h"

struct json {
    char *data;
    size_t length, room;
    bool full;
};

void json_raw(struct json *j, const char *data, size_t length);
#define JSON_RAW(j, literal) json_raw(j, literal, sizeof(literal) - 1)
void json_unsigned(struct json *j, uint64_t n);
void json_signed(struct json *j, int64_t n);
void json_double(struct json *j, double number);                   /* NaN and infinities: null */
void json_time(struct json *j, uint64_t nanoseconds);              /* seconds, nine decimals */
void json_hex(struct json *j, const uint8_t *bytes, size_t count); /* a string of hex digits */

/* Whether all of it is UTF-8 (no overlong forms, no surrogates, nothing beyond U+10FFFF). */
bool json_is_utf8(struct text text);
/* Bytes of the UTF-8 sequence at p (ASCII: 1); 0: p begins none. p < end. */
size_t json_sequence(const char *p, const char *end);

/*
 * A string. Plain: text that is known to be UTF-8, as it is. Escaped: for bytes that are not: each
 * byte that belongs to no valid sequence becomes \xNN (two lower-case hex digits) and each
 * backslash becomes two, in the string's value; so the bytes can be had back.
 */
void json_text(struct json *j, struct text text);
void json_text_escaped(struct json *j, struct text text);
/* Writes a string that is ASCII without anything to escape, as most are; else false, and nothing is
   written. */
bool json_text_plain(struct json *j, struct text text);

#endif
