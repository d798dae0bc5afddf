/*
 * reply_json: what a collector's JSON says, read without building anything. For otlp/ alone; pure,
 * bounded by the text and by a depth, tolerant: members that it does not know are passed over.
 */
#ifndef SCOPE_OTLP_REPLY_JSON_H
#define SCOPE_OTLP_REPLY_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "telemetry/telemetry.h"

struct reply_said {
    int64_t rejected;   /* 0: nothing said */
    char message[1024]; /* the first bytes of it, any bytes, unescaped */
    size_t length;
};

/*
 * Of an Export...ServiceResponse, or of a google.rpc.Status if `status` is set, what is known:
 * *said is complete if true. False: it is not JSON, or not an object.
 */
bool reply_json(struct text text, bool status, struct reply_said *said);

#endif
