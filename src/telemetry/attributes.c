/*
 * Attribute lists under construction, in an arena: few enough that a scan finds a key.
 */
#include "telemetry/telemetry.h"

#include <string.h>

/* The attribute of this key, made if need be; NULL at the arena's limit (counted as dropped). */
static struct attribute *slot(struct attribute_list *list, const char *key)
{
    size_t length = strlen(key);

    for (size_t i = 0; i < list->count; i++) {
        struct text has = list->items[i].key;
        if (has.length == length && (has.data == key || !memcmp(has.data, key, length)))
            return &list->items[i];
    }
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 8;
        struct attribute *items = arena_take(list->arena, room * sizeof(*items));
        if (!items) {
            list->dropped++;
            return NULL;
        }
        if (list->count)
            memcpy(items, list->items, list->count * sizeof(*items));
        list->items = items;
        list->room = room;
    }
    struct attribute *a = &list->items[list->count++];
    a->key = (struct text){key, length};
    return a;
}

void attributes_text(struct attribute_list *list, const char *key, struct text value)
{
    struct attribute *a = slot(list, key);

    if (a) {
        a->type = VALUE_TEXT;
        a->text = value;
    }
}

void attributes_int(struct attribute_list *list, const char *key, int64_t value)
{
    struct attribute *a = slot(list, key);

    if (a) {
        a->type = VALUE_INT;
        a->integer = value;
    }
}

void attributes_double(struct attribute_list *list, const char *key, double value)
{
    struct attribute *a = slot(list, key);

    if (a) {
        a->type = VALUE_DOUBLE;
        a->number = value;
    }
}

void attributes_bool(struct attribute_list *list, const char *key, bool value)
{
    struct attribute *a = slot(list, key);

    if (a) {
        a->type = VALUE_BOOL;
        a->boolean = value;
    }
}

void attributes_texts(struct attribute_list *list, const char *key, const struct text *items,
                      size_t count)
{
    struct attribute *a = slot(list, key);

    if (a) {
        a->type = VALUE_TEXTS;
        a->texts.items = items;
        a->texts.count = count;
    }
}

struct attributes attributes_done(const struct attribute_list *list)
{
    return (struct attributes){list->items, list->count, list->dropped};
}
