/*
 * gRPC over HTTP/2: which messages are of it, the method that is called, and how it went.
 */
#include "protocol/http2.h"

#include <string.h>
#include <strings.h>

/* By number; an array of arrays, since one of pointers would be written to at every start. */
static const char status_names[][20] = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

enum {
    STATUS_OK_CODE = 0,
    STATUS_UNKNOWN = 2,
    STATUS_DEADLINE_EXCEEDED = 4,
    STATUS_UNIMPLEMENTED = 12,
    STATUS_INTERNAL = 13,
    STATUS_UNAVAILABLE = 14,
    STATUS_DATA_LOSS = 15,
    STATUS_NAMES = sizeof(status_names) / sizeof(*status_names),
    STATUS_DIGITS = 9, /* fit an int */
};

bool grpc_is(const struct http_message *request)
{
    static const char type[] = "application/grpc";
    size_t length = sizeof(type) - 1;
    struct text value = http_field(request, "content-type");

    if (value.length < length || strncasecmp(value.data, type, length) != 0)
        return false;
    /* "application/grpc-web" frames its trailers otherwise, and is no gRPC. */
    return value.length == length || memchr("+; \t", value.data[length], 4);
}

struct text grpc_method(const struct http_message *request)
{
    struct text path = request->target;
    const struct text none = {NULL, 0};

    if (path.length < 4 || path.data[0] != '/')
        return none;
    path.data++;
    path.length--;
    const char *slash = memchr(path.data, '/', path.length);
    if (!slash || slash == path.data || slash == path.data + path.length - 1)
        return none;
    size_t behind = (size_t)(path.data + path.length - (slash + 1));
    if (memchr(slash + 1, '/', behind) || memchr(path.data, '?', path.length))
        return none;
    return path;
}

struct text grpc_status(const struct http_message *m, int *code)
{
    struct text value = http_field(m, "grpc-status");
    int number = 0;

    *code = -1;
    if (!value.length || value.length > STATUS_DIGITS)
        return (struct text){NULL, 0};
    for (size_t i = 0; i < value.length; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return (struct text){NULL, 0};
        number = number * 10 + (value.data[i] - '0');
    }
    *code = number;
    return number < (int)STATUS_NAMES ? text_of(status_names[number]) : value;
}

bool grpc_is_error(int code, bool server)
{
    if (!server)
        return code > STATUS_OK_CODE;
    return code == STATUS_UNKNOWN || code == STATUS_DEADLINE_EXCEEDED ||
           code == STATUS_UNIMPLEMENTED || code == STATUS_INTERNAL || code == STATUS_UNAVAILABLE ||
           code == STATUS_DATA_LOSS;
}
