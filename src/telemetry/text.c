/*
 * Text helpers of the data model.
 */
#include "telemetry/telemetry.h"

#include <string.h>

struct text text_of(const char *string)
{
    return (struct text){string, string ? strlen(string) : 0};
}

bool text_is(struct text t, const char *string)
{
    size_t length = strlen(string);

    return t.length == length && (!length || !memcmp(t.data, string, length));
}
