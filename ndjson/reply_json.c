/*
 * A scanner of JSON for the few members that a server's reply may have.
 */
#include "ndjson/reply.h"

#include <string.h>

enum { DEPTH_MAX = 64 };

struct scan {
    const char *at, *end;
    unsigned depth;
    bool status;
    struct reply_said *said;
};

/* A string's value, as far as it fits; data NULL: nobody wants it. */
struct string {
    char *data;
    size_t length, room;
};

static bool value(struct scan *s);

static char peek(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
    return s->at < s->end ? *s->at : '\0';
}

static bool take(struct scan *s, char c)
{
    if (peek(s) != c || s->at == s->end)
        return false;
    s->at++;
    return true;
}

/* ------------------------------------------------------------------ strings */

static void put(struct string *out, const char *data, size_t length)
{
    if (!out->data || out->room - out->length < length) {
        out->room = out->length; /* what comes after would be out of place */
        return;
    }
    memcpy(out->data + out->length, data, length);
    out->length += length;
}

static bool hex4(struct scan *s, uint32_t *out)
{
    *out = 0;
    if (s->end - s->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = *s->at++;
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            digit = (uint32_t)((c | 0x20) - 'a') + 10;
        else
            return false;
        *out = *out << 4 | digit;
    }
    return true;
}

static void put_character(struct string *out, uint32_t c)
{
    char utf8[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = n; i-- > 1; c >>= 6)
        utf8[i] = (char)(0x80 | (c & 0x3f));
    utf8[0] = (char)(leads[n] | c);
    put(out, utf8, n);
}

/* What is behind \u: one half of a pair alone becomes U+FFFD. */
static bool unicode(struct scan *s, struct string *out)
{
    uint32_t c, low;

    if (!hex4(s, &c))
        return false;
    if (c >= 0xd800 && c < 0xdc00 && s->end - s->at >= 6 && s->at[0] == '\\' && s->at[1] == 'u') {
        const char *back = s->at;
        s->at += 2;
        if (!hex4(s, &low))
            return false;
        if (low >= 0xdc00 && low < 0xe000)
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        else
            s->at = back;
    }
    put_character(out, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
    return true;
}

static bool escaped(struct scan *s, struct string *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

    if (s->at == s->end)
        return false;
    char c = *s->at++;
    if (c == 'u')
        return unicode(s, out);
    const char *found = c ? strchr(from, c) : NULL;
    if (!found)
        return false;
    put(out, &to[found - from], 1);
    return true;
}

static bool string(struct scan *s, struct string *out)
{
    if (!take(s, '"'))
        return false;
    while (s->at < s->end && *s->at != '"') {
        const char *start = s->at;
        if (*s->at == '\\') {
            s->at++;
            if (!escaped(s, out))
                return false;
            continue;
        }
        /* a byte at a time where it might not fit, else in one go */
        while (s->at < s->end && *s->at != '"' && *s->at != '\\' && (size_t)(s->at - start) < 64)
            s->at++;
        put(out, start, (size_t)(s->at - start));
    }
    return s->at < s->end && *s->at++ == '"';
}

/* ------------------------------------------------------------------ values */

static bool is_name(const struct string *name, const char *a, const char *b)
{
    return (name->length == strlen(a) && memcmp(name->data, a, name->length) == 0) ||
           (name->length == strlen(b) && memcmp(name->data, b, name->length) == 0);
}

static bool word(struct scan *s)
{
    static const char *const words[] = {"true", "false", "null"};

    for (unsigned i = 0; i < 3; i++) {
        size_t length = strlen(words[i]);
        if ((size_t)(s->end - s->at) >= length && memcmp(s->at, words[i], length) == 0) {
            s->at += length;
            return true;
        }
    }
    return false;
}

static bool number(struct scan *s)
{
    const char *start = s->at;

    while (s->at < s->end && *s->at && strchr("0123456789+-.eE", *s->at))
        s->at++;
    return s->at > start;
}

/* Whole digits, up to what an int64 holds; negative, fractions and what is too big say nothing. */
static int64_t digits(const char *p, size_t length)
{
    uint64_t n = 0;

    if (!length || length > 18)
        return 0;
    for (size_t i = 0; i < length; i++) {
        if (p[i] < '0' || p[i] > '9')
            return 0;
        n = 10 * n + (uint64_t)(p[i] - '0');
    }
    return (int64_t)n;
}

/* A count, which protobuf's JSON writes as a string and many as a number. */
static bool count(struct scan *s, int64_t *out)
{
    char text[24];
    struct string string_ = {text, 0, sizeof(text)};

    if (peek(s) == '"') {
        if (!string(s, &string_))
            return false;
        *out = digits(text, string_.length);
        return true;
    }
    const char *start = s->at;
    if (!value(s))
        return false;
    *out = digits(start, (size_t)(s->at - start));
    return true;
}

static bool message(struct scan *s)
{
    struct string out = {s->said->message, 0, sizeof(s->said->message)};

    if (peek(s) != '"')
        return value(s);
    if (!string(s, &out))
        return false;
    s->said->length = out.length;
    return true;
}

static bool object(struct scan *s, bool (*member)(struct scan *s, const struct string *name))
{
    char text[32];

    if (!take(s, '{'))
        return false;
    if (take(s, '}'))
        return true;
    do {
        struct string name = {text, 0, sizeof(text)};
        if (!string(s, &name) || !take(s, ':'))
            return false;
        if (!(member ? member(s, &name) : value(s)))
            return false;
    } while (take(s, ','));
    return take(s, '}');
}

static bool array(struct scan *s)
{
    if (!take(s, '['))
        return false;
    if (take(s, ']'))
        return true;
    do {
        if (!value(s))
            return false;
    } while (take(s, ','));
    return take(s, ']');
}

static bool value(struct scan *s)
{
    struct string nobody = {NULL, 0, 0};
    char c = peek(s);
    bool good;

    if (s->depth == DEPTH_MAX)
        return false;
    s->depth++;
    if (c == '{')
        good = object(s, NULL);
    else if (c == '[')
        good = array(s);
    else if (c == '"')
        good = string(s, &nobody);
    else
        good = word(s) || number(s);
    s->depth--;
    return good;
}

/* ------------------------------------------------------------------ what is known */

static bool of_partial_success(struct scan *s, const struct string *name)
{
    if (is_name(name, "rejectedSpans", "rejected_spans") ||
        is_name(name, "rejectedDataPoints", "rejected_data_points") ||
        is_name(name, "rejectedLogRecords", "rejected_log_records"))
        return count(s, &s->said->rejected);
    if (is_name(name, "errorMessage", "error_message"))
        return message(s);
    return value(s);
}

static bool of_reply(struct scan *s, const struct string *name)
{
    if (s->status && is_name(name, "message", "message"))
        return message(s);
    if (!s->status && is_name(name, "partialSuccess", "partial_success") && peek(s) == '{')
        return object(s, of_partial_success);
    return value(s);
}

static bool of_text(struct scan *s, const struct string *name)
{
    if (is_name(name, "code", "code"))
        return count(s, &s->said->code);
    if (is_name(name, "text", "message") || is_name(name, "error", "error"))
        return message(s);
    return value(s);
}

static bool whole(struct text text, bool status, struct reply_said *said,
                  bool (*member)(struct scan *s, const struct string *name))
{
    struct scan s = {.at = text.data, .end = text.data + text.length, .status = status};

    said->rejected = 0;
    said->code = -1;
    said->length = 0;
    s.said = said;
    return text.length && object(&s, member) && peek(&s) == '\0' && s.at == s.end;
}

bool reply_json(struct text text, bool status, struct reply_said *said)
{
    return whole(text, status, said, of_reply);
}

bool reply_json_text(struct text text, struct reply_said *said)
{
    return whole(text, false, said, of_text);
}
