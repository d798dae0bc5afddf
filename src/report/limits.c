/*
 * Limits of attributes, for every format.
 */
#include "report/limits.h"

#include "ndjson/json.h"

enum { ESCAPED_BYTE = 4, ESCAPED_BACKSLASH = 2 }; /* characters: \xff, and two for one */

size_t limits_count(size_t count, struct conf_limit limit)
{
    return limit.limited && count > limit.most ? limit.most : count;
}

struct text limits_text(struct text text, struct conf_limit limit)
{
    if (!limit.limited || text.length <= limit.most / ESCAPED_BYTE)
        return text;
    const char *p = text.data, *end = p + text.length;
    size_t characters = 0;
    bool escaped = !json_is_utf8(text);
    if (!escaped && text.length <= limit.most)
        return text;
    while (p < end) {
        size_t n = json_sequence(p, end);
        characters += !n ? ESCAPED_BYTE : escaped && *p == '\\' ? ESCAPED_BACKSLASH : 1;
        if (characters > limit.most)
            break;
        p += n ? n : 1;
    }
    return (struct text){text.data, (size_t)(p - text.data)};
}

struct said said_of(const struct conf *conf, enum said_of what, const struct attributes *own)
{
    struct said s = {.own = own, .dropped = own->dropped};

    if (what == SAID_OF_POINT || what == SAID_OF_RECORD || what == SAID_OF_SPAN)
        s.tags = &conf->tags;
    if (what == SAID_OF_RECORD)
        s.limits = conf->limits_log;
    else if (what > SAID_OF_RECORD)
        s.limits = conf->limits_span;
    if (what == SAID_OF_EVENT)
        s.limits.attributes = conf->event_attributes;
    else if (what == SAID_OF_LINK)
        s.limits.attributes = conf->link_attributes;
    return s;
}

size_t said_room(const struct said *s)
{
    return s->own->count + (s->tags ? s->tags->count : 0);
}

static bool has_key(const struct attributes *attributes, const char *key)
{
    for (size_t i = 0; i < attributes->count; i++) {
        if (text_is(attributes->items[i].key, key))
            return true;
    }
    return false;
}

/* The i-th of the item's own and the tags; NULL: a tag that the item says otherwise. */
static const struct attribute *at(struct said *s, size_t i)
{
    if (i < s->own->count)
        return &s->own->items[i];
    const struct conf_pair *tag = &s->tags->items[i - s->own->count];
    if (has_key(s->own, tag->key))
        return NULL;
    s->tag = (struct attribute){.key = text_of(tag->key), .type = VALUE_TEXT};
    s->tag.text = text_of(tag->value);
    return &s->tag;
}

const struct attribute *said_next(struct said *s)
{
    size_t room = said_room(s);

    while (s->next < room) {
        const struct attribute *a = at(s, s->next++);
        if (!a)
            continue;
        if (!s->limits.attributes.limited || s->count < s->limits.attributes.most) {
            s->count++;
            return a;
        }
        s->dropped++;
    }
    return NULL;
}
