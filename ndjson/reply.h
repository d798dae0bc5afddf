/*
 * reply: what a server's words mean, read without building anything. For the encoders that go over
 * HTTP; pure, bounded by the text and by a depth, tolerant: members that are not known are passed
 * over.
 */
#ifndef SCOPE_NDJSON_REPLY_H
#define SCOPE_NDJSON_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "report/sink.h"

struct reply_said {
    int64_t rejected;   /* 0: nothing said */
    int64_t code;       /* of reply_json_text; -1: nothing said */
    char message[1024]; /* the first bytes of it, any bytes, unescaped */
    size_t length;
};

/*
 * Of an Export...ServiceResponse, or of a google.rpc.Status if `status` is set, what is known:
 * *said is complete if true. False: it is not JSON, or not an object.
 */
bool reply_json(struct text text, bool status, struct reply_said *said);
/* Of {"text":"...","code":9}, Splunk's; "message" and "error" are taken for a text too. */
bool reply_json_text(struct text text, struct reply_said *said);

/*
 * The server's words on one line, into the verdict: what cannot be printed becomes a space (control
 * characters) or a question mark (what is not UTF-8), spaces at the ends go, and a character is
 * never divided.
 */
void reply_print(struct verdict *verdict, const char *data, size_t length);

/* What OTLP has a client do after this status. */
enum outcome reply_outcome(int status);

/*
 * For encoders whose requests are lines of JSON: the status decides, the text (and code) of a JSON
 * body, or a plain one, is the message.
 */
void reply_judge(const struct reply *reply, struct verdict *verdict);

#endif
