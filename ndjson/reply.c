/*
 * What a server meant that takes lines of JSON over HTTP: Splunk's collector, Cribl, and others.
 */
#include "ndjson/reply.h"

#include <stdio.h>
#include <string.h>

#include "ndjson/json.h"

void reply_print(struct verdict *verdict, const char *data, size_t length)
{
    const char *p = data, *end = data + length;
    size_t n = 0, size;

    for (; p < end; p += size) {
        unsigned char c = (unsigned char)*p;
        size = json_sequence(p, end);
        bool control =
            c < 0x20 || c == 0x7f || (size == 2 && c == 0xc2 && (unsigned char)p[1] < 0xa0);
        /* U+2028 and U+2029 end lines too; U+202A to U+202E turn the text around. */
        bool turning = size == 3 && c == 0xe2 && (unsigned char)p[1] == 0x80 &&
                       (unsigned char)p[2] >= 0xa8 && (unsigned char)p[2] <= 0xae;
        const char *from = size == 0 ? "?" : control || turning ? " " : p;
        size_t wide = from == p ? size : 1;
        size = size ? size : 1;
        if (*from == ' ' && (n == 0 || verdict->message[n - 1] == ' '))
            continue;
        if (n + wide >= sizeof(verdict->message))
            break;
        memcpy(verdict->message + n, from, wide);
        n += wide;
    }
    while (n && verdict->message[n - 1] == ' ')
        n--;
    verdict->message[n] = '\0';
}

enum outcome reply_outcome(int status)
{
    if (status >= 200 && status < 300)
        return OUTCOME_TAKEN;
    switch (status) {
    case 429:
    case 502:
    case 503:
    case 504:
        return OUTCOME_RETRY;
    default:
        return OUTCOME_REFUSED;
    }
}

void reply_judge(const struct reply *reply, struct verdict *verdict)
{
    struct reply_said said;
    char words[sizeof(said.message) + 32];
    struct text text = {(const char *)reply->body, reply->length};
    const char *type = reply->content_type ? reply->content_type : "";
    bool whole = !reply->too_large && reply->length;

    memset(verdict, 0, sizeof(*verdict));
    verdict->outcome = reply_outcome(reply->status);
    /*
     * Splunk calls 500 an internal error that passes and tells clients to try again, as with 503
     * (busy), where OTLP gives up. What else is 5xx (501, 505) will be the same the next time.
     */
    if (reply->status == 500)
        verdict->outcome = OUTCOME_RETRY;
    if (whole && reply_json_text(text, &said)) {
        if (verdict->outcome == OUTCOME_TAKEN && said.code <= 0)
            return; /* "Success", code 0 */
        int n = snprintf(words, sizeof(words), "%.*s", (int)said.length, said.message);
        if (said.code >= 0)
            n += snprintf(words + n, sizeof(words) - (size_t)n, " (code %lld)",
                          (long long)said.code);
        reply_print(verdict, words, (size_t)n);
    } else if (whole && verdict->outcome != OUTCOME_TAKEN && !strcmp(type, "text/plain")) {
        reply_print(verdict, text.data, text.length);
    }
}
