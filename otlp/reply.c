/*
 * What a collector meant by its reply: the rules are OTLP's, the words its own.
 */
#include "otlp/otlp.h"

#include <stdlib.h>
#include <string.h>

#include "ndjson/reply.h"
#include "otlp/reply.pb-c.h"

enum { MEMORY_MAX = 256 * 1024 }; /* a reply that needs more to be read is none of ours */

/* ------------------------------------------------------------------ protobuf */

/* A reply is a stranger's: what it makes us allocate is bounded. */
static void *bounded_alloc(void *context, size_t size)
{
    size_t *left = context;

    if (size > *left)
        return NULL;
    *left -= size;
    return malloc(size);
}

static void bounded_free(void *context, void *p)
{
    (void)context;
    free(p);
}

static void keep(struct reply_said *said, const ProtobufCBinaryData *text)
{
    said->length = text->len < sizeof(said->message) ? text->len : sizeof(said->message);
    if (said->length)
        memcpy(said->message, text->data, said->length);
}

static bool reply_protobuf(struct text text, bool status, struct reply_said *said)
{
    size_t left = MEMORY_MAX;
    ProtobufCAllocator allocator = {bounded_alloc, bounded_free, &left};
    const uint8_t *data = (const uint8_t *)text.data;

    said->rejected = 0;
    said->length = 0;
    if (status) {
        Otlp__ErrorStatus *s = otlp__error_status__unpack(&allocator, text.length, data);
        if (!s)
            return false;
        keep(said, &s->message);
        otlp__error_status__free_unpacked(s, &allocator);
        return true;
    }
    Otlp__ExportServiceResponse *r =
        otlp__export_service_response__unpack(&allocator, text.length, data);
    if (!r)
        return false;
    if (r->partial_success) {
        said->rejected = r->partial_success->rejected;
        keep(said, &r->partial_success->error_message);
    }
    otlp__export_service_response__free_unpacked(r, &allocator);
    return true;
}

/* ------------------------------------------------------------------ verdicts */

static void say(struct verdict *verdict, const char *words)
{
    reply_print(verdict, words, strlen(words));
}

enum format { FORMAT_PROTOBUF, FORMAT_JSON, FORMAT_PLAIN, FORMAT_OTHER };

static enum format format_of(const struct reply *reply)
{
    const char *type = reply->content_type ? reply->content_type : "";
    size_t i = 0;

    if (strcmp(type, "application/x-protobuf") == 0 || strcmp(type, "application/protobuf") == 0)
        return FORMAT_PROTOBUF;
    if (strcmp(type, "application/json") == 0)
        return FORMAT_JSON;
    if (strcmp(type, "text/plain") == 0)
        return FORMAT_PLAIN;
    if (type[0])
        return FORMAT_OTHER;
    while (i < reply->length && strchr(" \t\r\n", reply->body[i]) && reply->body[i])
        i++;
    return i < reply->length && reply->body[i] == '{' ? FORMAT_JSON : FORMAT_PROTOBUF;
}

static bool read_body(const struct reply *reply, bool status, struct reply_said *said)
{
    struct text text = {(const char *)reply->body, reply->length};

    switch (format_of(reply)) {
    case FORMAT_PROTOBUF:
        return reply_protobuf(text, status, said);
    case FORMAT_JSON:
        return reply_json(text, status, said);
    case FORMAT_PLAIN:
        if (!status)
            return false;
        said->rejected = 0;
        keep(said, &(ProtobufCBinaryData){text.length, (uint8_t *)(uintptr_t)text.data});
        return true;
    default:
        return false;
    }
}

void otlp_judge(const struct reply *reply, struct verdict *verdict)
{
    struct reply_said said = {.length = 0};

    memset(verdict, 0, sizeof(*verdict));
    verdict->outcome = reply_outcome(reply->status);
    if (reply->too_large) {
        verdict->outcome = OUTCOME_REFUSED;
        say(verdict, "the reply is too large");
        return;
    }
    if (!reply->length)
        return;
    bool taken = verdict->outcome == OUTCOME_TAKEN;
    if (!read_body(reply, !taken, &said)) {
        if (taken)
            say(verdict, "reply not understood");
        return;
    }
    if (taken && said.rejected > 0)
        verdict->rejected = (uint64_t)said.rejected;
    reply_print(verdict, said.message, said.length);
}
