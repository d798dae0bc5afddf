/*
 * json_message: a protobuf-c message as OTLP's JSON. For otlp/ alone; pure.
 */
#ifndef SCOPE_OTLP_JSON_MESSAGE_H
#define SCOPE_OTLP_JSON_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include "ndjson/json.h"

/*
 * By what protobuf says of JSON but for what OTLP wants otherwise: trace and span ids are hex,
 * enums are numbers. Bytes that are text (see common.proto) must be UTF-8. What does not fit sets
 * j->full.
 */
void json_message(struct json *j, const ProtobufCMessage *message);

#endif
