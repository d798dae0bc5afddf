/* Fields of a message by name, and those that configuration allows to leave as attributes. */
#include "protocol/http_message.h"

#include "protocol/http_text.h"

size_t http_token_length(struct text t)
{
    static const bool allowed[256] = {
        ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true,
        ['#'] = true,         ['$'] = true,         ['%'] = true,         ['&'] = true,
        ['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true,
        ['.'] = true,         ['^'] = true,         ['_'] = true,         ['`'] = true,
        ['|'] = true,         ['~'] = true,
    };

    size_t n = 0;

    while (n < t.length && allowed[(unsigned char)t.data[n]])
        n++;
    return n;
}

bool http_token(struct text t)
{
    return t.length > 0 && http_token_length(t) == t.length;
}

size_t http_field_count(const struct http_message *m, const char *name, struct text *first)
{
    size_t count = 0, length = strlen(name);

    *first = (struct text){NULL, 0};
    for (size_t i = 0; i < m->field_count; i++) {
        if (m->fields[i].name.length == length && http_text_like(m->fields[i].name, name) &&
            !count++)
            *first = m->fields[i].value;
    }
    return count;
}

struct text http_field(const struct http_message *m, const char *name)
{
    struct text first;

    http_field_count(m, name, &first);
    return first;
}

struct text http_method_name(struct text method)
{
    /* QUERY is in development, and listed with the others. */
    static const char *const known[] = {"GET",     "HEAD",    "POST",  "PUT",   "DELETE",
                                        "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"};

    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (text_is(method, known[i]))
            return text_of(known[i]);
    }
    return TEXT("_OTHER");
}

static bool contains(struct text t, const char *part)
{
    size_t length = strlen(part);

    for (size_t i = 0; i + length <= t.length; i++) {
        if (http_text_like(http_piece(t, i, i + length), part))
            return true;
    }
    return false;
}

static bool one_of(struct text t, const char *const *names)
{
    while (*names && !http_text_like(t, *names))
        names++;
    return *names;
}

bool http_header_secret(struct text name)
{
    static const char *const names[] = {"authorization", "proxy-authorization", "cookie",
                                        "set-cookie", NULL};
    static const char *const parts[] = {"token",   "secret", "password", "api-key",
                                        "api_key", "apikey", NULL};

    for (const char *const *part = parts; *part; part++) {
        if (contains(name, *part))
            return true;
    }
    return one_of(name, names);
}

/* What may be said of one value. */
static struct text value_said(struct text name, struct text value, bool raw, struct arena *arena)
{
    static const char *const urls[] = {"referer", "location", "content-location", NULL};

    if (raw)
        return value;
    if (http_header_secret(name))
        return TEXT(HTTP_REDACTED);
    return one_of(name, urls) ? http_url_redacted(value, arena) : value;
}

/* "http.request.header.<name>", NUL-ended, in lower case whatever the configuration's. */
static char *header_key(bool is_request, struct text name, struct arena *arena)
{
    const char *prefix = is_request ? "http.request.header." : "http.response.header.";
    size_t length = strlen(prefix);
    char *key = arena_take(arena, length + name.length + 1);

    if (!key)
        return NULL;
    memcpy(key, prefix, length);
    for (size_t i = 0; i < name.length; i++)
        key[length + i] = http_lower(name.data[i]);
    return key;
}

/* The fields of one entry of the list. Returns whether it has become an attribute. */
static bool header_add(const struct http_message *m, struct text name, bool raw,
                       struct attribute_list *list)
{
    size_t count = 0, room = 0;

    for (size_t i = 0; i < m->field_count; i++)
        room += http_text_same(m->fields[i].name, name);
    if (!room)
        return false;

    struct text *values = arena_take(list->arena, room * sizeof(*values));
    char *key = header_key(m->is_request, name, list->arena);
    if (!values || !key) {
        list->dropped++;
        return false;
    }
    for (size_t i = 0; i < m->field_count; i++) {
        if (http_text_same(m->fields[i].name, name))
            values[count++] = value_said(name, m->fields[i].value, raw, list->arena);
    }
    uint32_t dropped = list->dropped;
    attributes_texts(list, key, values, count);
    return list->dropped == dropped;
}

size_t http_headers_allowed(const struct http_message *m, const char *const *allowed, size_t count,
                            struct attribute_list *list)
{
    size_t added = 0;

    for (size_t i = 0; i < count; i++) {
        struct text name = text_of(allowed[i]);
        bool raw = name.length && name.data[name.length - 1] == '!';
        name.length -= raw;
        if (http_token(name))
            added += header_add(m, name, raw, list);
    }
    return added;
}
