/*
 * What the readers of HTTP share among themselves: ASCII letters, pieces of texts, URLs in parts.
 */
#ifndef SCOPE_PROTOCOL_HTTP_TEXT_H
#define SCOPE_PROTOCOL_HTTP_TEXT_H

#include <string.h>

#include "protocol/http_message.h"

#define HTTP_REDACTED "REDACTED"

/* No locale: a protocol's letters are ASCII. */
static inline char http_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline bool http_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool http_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Whether t, without regard to case, is `name` (lower case). */
static inline bool http_text_like(struct text t, const char *name)
{
    size_t i = 0;

    for (; i < t.length && name[i]; i++) {
        if (http_lower(t.data[i]) != name[i])
            return false;
    }
    return i == t.length && !name[i];
}

/* Whether both are the same but for case. */
static inline bool http_text_same(struct text a, struct text b)
{
    size_t i = 0;

    while (i < a.length && i < b.length && http_lower(a.data[i]) == http_lower(b.data[i]))
        i++;
    return i == a.length && i == b.length;
}

/* From offset `from` to before `to`; never NULL, so that an empty piece can be pointed into. */
static inline struct text http_piece(struct text t, size_t from, size_t to)
{
    return to > from ? (struct text){t.data + from, to - from} : TEXT("");
}

static inline struct text http_trimmed(struct text t)
{
    size_t from = 0, to = t.length;

    while (from < to && http_blank(t.data[from]))
        from++;
    while (to > from && http_blank(t.data[to - 1]))
        to--;
    return http_piece(t, from, to);
}

/* The offset of the first `c` at or behind `from`; the length when there is none. */
static inline size_t http_find(struct text t, size_t from, char c)
{
    const char *found = from < t.length ? memchr(t.data + from, c, t.length - from) : NULL;

    return found ? (size_t)(found - t.data) : t.length;
}

/* The next element of a comma-separated list from *at on, trimmed; false: there is none left. */
static inline bool http_element(struct text list, size_t *at, struct text *element)
{
    if (*at >= list.length)
        return false;
    size_t comma = http_find(list, *at, ',');
    *element = http_trimmed(http_piece(list, *at, comma));
    *at = comma + 1;
    return true;
}

/* A token of RFC 9110, section 5.6.2, and how many of the first bytes could be of one. */
bool http_token(struct text t);
size_t http_token_length(struct text t);

/* The one field of this name (lower case). Returns how many there are. */
size_t http_field_count(const struct http_message *m, const char *name, struct text *first);

/* A URL or a request's target in parts; those that are not there are empty. A fragment is none. */
struct http_url {
    struct text scheme;    /* of "scheme://" */
    struct text authority; /* behind "//", as it came */
    struct text path;
    struct text query; /* without '?', as it came */
    bool has_query;
};
/* What is behind `path` in *out: the rest of a URL, from its path on. */
void http_url_rest(struct text rest, struct http_url *out);
/* Whether it begins with "scheme://"; *out is filled if so. */
bool http_url_absolute(struct text url, struct http_url *out);

#endif
