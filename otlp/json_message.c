/*
 * Any message as JSON, by its descriptor.
 */
#include "otlp/json_message.h"

#include <math.h>
#include <string.h>

/* What a field of bytes holds; protobuf's own types do not tell (common.proto says why). */
enum bytes_kind { BYTES_TEXT, BYTES_ID, BYTES_ANY };

static enum bytes_kind kind_of(const char *name)
{
    size_t length = strlen(name);

    if (length >= 7 && strcmp(name + length - 3, "_id") == 0)
        return BYTES_ID;
    return strcmp(name, "bytes_value") == 0 ? BYTES_ANY : BYTES_TEXT;
}

static void base64(struct json *j, const uint8_t *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    JSON_RAW(j, "\"");
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t v = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                     (left > 2 ? bytes[i + 2] : 0);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], left > 1 ? digits[v >> 6 & 63] : '=',
                        left > 2 ? digits[v & 63] : '='};
        json_raw(j, four, 4);
    }
    JSON_RAW(j, "\"");
}

static void bytes(struct json *j, const char *name, const ProtobufCBinaryData *data)
{
    switch (kind_of(name)) {
    case BYTES_TEXT:
        json_text(j, (struct text){(const char *)data->data, data->len});
        break;
    case BYTES_ID:
        json_hex(j, data->data, data->len);
        break;
    case BYTES_ANY:
        base64(j, data->data, data->len);
        break;
    }
}

static void number(struct json *j, double n)
{
    if (isnan(n))
        JSON_RAW(j, "\"NaN\"");
    else if (isinf(n) && n > 0)
        JSON_RAW(j, "\"Infinity\"");
    else if (isinf(n))
        JSON_RAW(j, "\"-Infinity\"");
    else
        json_double(j, n);
}

static void quoted_signed(struct json *j, int64_t n)
{
    JSON_RAW(j, "\"");
    json_signed(j, n);
    JSON_RAW(j, "\"");
}

static void quoted_unsigned(struct json *j, uint64_t n)
{
    JSON_RAW(j, "\"");
    json_unsigned(j, n);
    JSON_RAW(j, "\"");
}

/* The value that lies at p; in an array, messages and strings are pointers as well. */
static void value(struct json *j, const ProtobufCFieldDescriptor *f, const void *p)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_ENUM:
        json_signed(j, *(const int32_t *)p);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        json_unsigned(j, *(const uint32_t *)p);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        quoted_signed(j, *(const int64_t *)p);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        quoted_unsigned(j, *(const uint64_t *)p);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        number(j, (double)*(const float *)p);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        number(j, *(const double *)p);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        if (*(const protobuf_c_boolean *)p)
            JSON_RAW(j, "true");
        else
            JSON_RAW(j, "false");
        break;
    case PROTOBUF_C_TYPE_STRING:
        json_text(j, text_of(*(char *const *)p));
        break;
    case PROTOBUF_C_TYPE_BYTES:
        bytes(j, f->name, p);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        json_message(j, *(const ProtobufCMessage *const *)p);
        break;
    }
}

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}

static void array(struct json *j, const ProtobufCFieldDescriptor *f, const char *message)
{
    size_t count = *(const size_t *)(const void *)(message + f->quantifier_offset);
    const char *items = *(const char *const *)(const void *)(message + f->offset);

    JSON_RAW(j, "[");
    for (size_t i = 0; i < count && !j->full; i++) {
        if (i)
            JSON_RAW(j, ",");
        value(j, f, items + i * size_of(f->type));
    }
    JSON_RAW(j, "]");
}

/* Whether the field has something that is to be said. */
static bool is_set(const ProtobufCFieldDescriptor *f, const char *message)
{
    static const char zero[8];
    const void *p = message + f->offset;

    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)(const void *)(message + f->quantifier_offset) != 0;
    if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return *(const uint32_t *)(const void *)(message + f->quantifier_offset) == f->id;
    if (f->type == PROTOBUF_C_TYPE_BYTES)
        return ((const ProtobufCBinaryData *)p)->len != 0;
    if (f->type == PROTOBUF_C_TYPE_DOUBLE) /* protobuf-c leaves -0.0 out as well */
        return *(const double *)p < 0 || *(const double *)p > 0 || isnan(*(const double *)p);
    return memcmp(p, zero, size_of(f->type)) != 0;
}

/* "lowerCamelCase": of a name in snake_case, with a comma before it unless it is the first. */
static void key(struct json *j, const char *name, bool first)
{
    char out[64];
    size_t n = 0;

    if (!first)
        out[n++] = ',';
    out[n++] = '"';
    for (; *name && n < sizeof(out) - 2; name++) {
        if (*name == '_' && name[1] >= 'a' && name[1] <= 'z')
            out[n++] = (char)(*++name - 'a' + 'A');
        else
            out[n++] = *name;
    }
    out[n++] = '"';
    out[n++] = ':';
    json_raw(j, out, n);
}

void json_message(struct json *j, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *d = message->descriptor;
    const char *base = (const char *)message;
    bool first = true;

    JSON_RAW(j, "{");
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if (!is_set(f, base))
            continue;
        key(j, f->name, first);
        first = false;
        if (f->label == PROTOBUF_C_LABEL_REPEATED)
            array(j, f, base);
        else
            value(j, f, base + f->offset);
    }
    JSON_RAW(j, "}");
}
