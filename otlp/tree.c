/*
 * What every signal's messages are made of: texts, ids, attributes.
 */
#include "otlp/tree.h"

#include <string.h>

#include "ndjson/json.h"

void *tree_take(struct tree *t, size_t size)
{
    void *p = arena_take(t->arena, size);

    if (!p)
        t->full = true;
    return p;
}

void *tree_messages(struct tree *t, const ProtobufCMessageDescriptor *descriptor, size_t count,
                    void *list)
{
    size_t size = descriptor->sizeof_message;
    char *first = NULL;
    void **pointers = NULL;

    if (count && count < SIZE_MAX / 2 / (size + sizeof(void *)))
        first = tree_take(t, count * (size + sizeof(void *)));
    if (first) {
        pointers = (void **)(void *)(first + count * size);
        for (size_t i = 0; i < count; i++) {
            ProtobufCMessage *m = (ProtobufCMessage *)(void *)(first + i * size);
            m->descriptor = descriptor;
            pointers[i] = m;
        }
    }
    if (list)
        *(void ***)list = pointers;
    return first;
}

/* ------------------------------------------------------------------ texts */

static ProtobufCBinaryData data_of(const char *data, size_t length)
{
    /* protobuf-c only reads what is to be packed, but its structures are for unpacking too. */
    return (ProtobufCBinaryData){length, (uint8_t *)(uintptr_t)data};
}

/* The length of at most `bytes` bytes of UTF-8 (0: all). */
static size_t front(struct text text, size_t bytes, bool *too_long)
{
    const char *p = text.data, *end = text.data + text.length;

    if (bytes && text.length > bytes) {
        *too_long = true;
        end = text.data + bytes;
        while (end > p && ((unsigned char)*end & 0xc0) == 0x80)
            end--;
    }
    return (size_t)(end - p);
}

/* What the byte or sequence of *length at p is written as; out has room for four. */
static const char *escape(const char *p, const char *end, size_t *length, size_t *wide, char *out)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = json_sequence(p, end);
    unsigned char c = (unsigned char)*p;

    *length = n ? n : 1;
    *wide = *length;
    if (n && c != '\\')
        return p;
    out[0] = '\\';
    out[1] = n ? '\\' : 'x';
    out[2] = hex[c >> 4];
    out[3] = hex[c & 15];
    *wide = n ? 2 : 4;
    return out;
}

/* The escaped form into `to` (NULL: only its length), at most `bytes` of it (0: all). */
static size_t escaped(struct text text, size_t bytes, bool *too_long, char *to)
{
    const char *p = text.data, *end = p + text.length;
    size_t total = 0, length, wide;
    char four[4];

    for (; p < end; p += length) {
        const char *from = escape(p, end, &length, &wide, four);
        if (bytes && total + wide > bytes) {
            *too_long = true;
            break;
        }
        if (to)
            memcpy(to + total, from, wide);
        total += wide;
    }
    return total;
}

static ProtobufCBinaryData within(struct tree *t, struct text text, size_t bytes, bool *too_long)
{
    ProtobufCBinaryData data = {0, NULL};

    if (!text.length)
        return data;
    if (json_is_utf8(text)) {
        data = data_of(text.data, front(text, bytes, too_long));
    } else {
        size_t length = escaped(text, bytes, too_long, NULL);
        char *copy = tree_take(t, length + 1);
        if (copy)
            escaped(text, bytes, too_long, copy);
        data = data_of(copy, copy ? length : 0);
    }
    return data;
}

ProtobufCBinaryData tree_name(struct tree *t, struct text name)
{
    bool too_long = false;

    return within(t, name, 0, &too_long);
}

ProtobufCBinaryData tree_text(struct tree *t, struct text text, uint32_t *cut)
{
    bool too_long = false;
    ProtobufCBinaryData data = within(t, text, t->text_max, &too_long);

    if (too_long)
        ++*cut;
    return data;
}

ProtobufCBinaryData tree_id(const uint8_t *id, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (id[i])
            return data_of((const char *)id, size);
    }
    return data_of(NULL, 0);
}

/* ------------------------------------------------------------------ attributes */

static void texts(struct tree *t, const struct attribute *a, struct conf_limit length,
                  uint32_t *cut, Otlp__AnyValue *out)
{
    Otlp__ArrayValue *array = tree_messages(t, &otlp__array_value__descriptor, 1, NULL);
    Otlp__AnyValue *values;

    if (!array)
        return;
    out->value_case = OTLP__ANY_VALUE__VALUE_ARRAY_VALUE;
    out->array_value = array;
    values = tree_messages(t, &otlp__any_value__descriptor, a->texts.count, &array->values);
    if (!values)
        return;
    array->n_values = a->texts.count;
    for (size_t i = 0; i < a->texts.count; i++) {
        values[i].value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
        values[i].string_value = tree_text(t, limits_text(a->texts.items[i], length), cut);
    }
}

static void value(struct tree *t, const struct attribute *a, struct conf_limit length,
                  uint32_t *cut, Otlp__AnyValue *out)
{
    switch (a->type) {
    case VALUE_TEXT:
        out->value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
        out->string_value = tree_text(t, limits_text(a->text, length), cut);
        break;
    case VALUE_BOOL:
        out->value_case = OTLP__ANY_VALUE__VALUE_BOOL_VALUE;
        out->bool_value = a->boolean;
        break;
    case VALUE_INT:
        out->value_case = OTLP__ANY_VALUE__VALUE_INT_VALUE;
        out->int_value = a->integer;
        break;
    case VALUE_DOUBLE:
        out->value_case = OTLP__ANY_VALUE__VALUE_DOUBLE_VALUE;
        out->double_value = a->number;
        break;
    case VALUE_TEXTS:
        texts(t, a, length, cut, out);
        break;
    }
}

/* A key and its value lie side by side. */
struct pair {
    Otlp__KeyValue key;
    Otlp__AnyValue value;
};

struct tree_attributes tree_attributes(struct tree *t, const struct attributes *attributes,
                                       enum said_of what)
{
    struct said said = said_of(t->conf, what, attributes);
    size_t room = said_room(&said);
    struct tree_attributes out = {.dropped = attributes->dropped};
    const struct attribute *a;
    uint32_t cut = 0;
    struct pair *pairs = room ? tree_take(t, room * (sizeof(*pairs) + sizeof(void *))) : NULL;

    if (!pairs)
        return out;
    out.items = (Otlp__KeyValue **)(void *)(pairs + room);
    while ((a = said_next(&said))) {
        struct pair *p = &pairs[out.count];
        p->key.base.descriptor = &otlp__key_value__descriptor;
        p->key.key = tree_name(t, a->key);
        p->key.value = &p->value;
        p->value.base.descriptor = &otlp__any_value__descriptor;
        value(t, a, said.limits.value_length, &cut, &p->value);
        out.items[out.count++] = &p->key;
    }
    out.dropped = said.dropped + cut;
    return out;
}
