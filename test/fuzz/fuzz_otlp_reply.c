/*
 * Fuzzes what a collector answers: the first byte chooses the status and the content type, the rest
 * is the body. Whatever it is, the verdict is the status's, and its message is one line of UTF-8,
 * for OTLP as for Splunk's collector.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ndjson/json.h"
#include "otlp/otlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_message(const struct verdict *verdict)
{
    size_t length = strnlen(verdict->message, sizeof(verdict->message));

    if (length == sizeof(verdict->message) ||
        !json_is_utf8((struct text){verdict->message, length}))
        abort();
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)verdict->message[i];
        if (c < 0x20 || c == 0x7f)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 503, 400, 204};
    static const enum outcome outcomes[] = {OUTCOME_TAKEN, OUTCOME_RETRY, OUTCOME_REFUSED,
                                            OUTCOME_TAKEN};
    static const char *const types[] = {"application/x-protobuf", "application/json", "text/plain",
                                        ""};
    struct verdict verdict, again;

    if (!size)
        return 0;
    /* A copy of its own, so that reading past its end is seen. */
    size_t length = size - 1;
    uint8_t *body = malloc(length ? length : 1);
    if (!body)
        abort();
    memcpy(body, data + 1, length);
    struct reply reply = {.status = statuses[data[0] & 3],
                          .content_type = types[data[0] >> 2 & 3],
                          .body = body,
                          .length = length};
    otlp_encoder.judge(&reply, &verdict);
    check_message(&verdict);
    if (verdict.outcome != outcomes[data[0] & 3])
        abort();
    if (verdict.rejected && (verdict.outcome != OUTCOME_TAKEN || verdict.rejected > INT64_MAX))
        abort();
    otlp_encoder.judge(&reply, &again);
    if (again.rejected != verdict.rejected || strcmp(again.message, verdict.message) != 0)
        abort();
    splunk_encoder.judge(&reply, &verdict);
    check_message(&verdict);
    if (verdict.outcome != outcomes[data[0] & 3] || verdict.rejected)
        abort();
    free(body);
    return 0;
}
