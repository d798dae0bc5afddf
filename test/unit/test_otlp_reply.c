/*
 * What a collector's reply means to the OTLP sink.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "otlp/otlp.h"

#define PB "application/x-protobuf"
#define JS "application/json"
#define BODY(literal) literal, sizeof(literal) - 1

static const struct {
    int status;
    const char *type, *body;
    size_t length;
    enum outcome outcome;
    uint64_t rejected;
    const char *message;
} replies[] = {
    {200, PB, BODY(""), OUTCOME_TAKEN, 0, ""},
    {204, "", BODY(""), OUTCOME_TAKEN, 0, ""},
    {202, JS, BODY("{}"), OUTCOME_TAKEN, 0, ""},
    {200, PB, BODY("\x0a\x00"), OUTCOME_TAKEN, 0, ""},
    {200, PB, BODY("\x0a\x06\x08\x02\x12\x02no"), OUTCOME_TAKEN, 2, "no"},
    {200, "", BODY("\x0a\x06\x08\x02\x12\x02no"), OUTCOME_TAKEN, 2, "no"},
    {200, PB, BODY("\x0a\x04\x12\x02no"), OUTCOME_TAKEN, 0, "no"},
    {200, PB, BODY("\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), OUTCOME_TAKEN, 0, ""},
    {200, PB, BODY("\x0a\x06\x08\x02\x12\x02\xff!"), OUTCOME_TAKEN, 2, "?!"},
    {200, PB, BODY("\x0a\x7f"), OUTCOME_TAKEN, 0, "reply not understood"},
    {200, JS, BODY("<html>"), OUTCOME_TAKEN, 0, "reply not understood"},
    {200, "text/html", BODY("<html>"), OUTCOME_TAKEN, 0, "reply not understood"},
    {200, "text/plain", BODY("ok"), OUTCOME_TAKEN, 0, "reply not understood"},
    {200, JS, BODY("{\"partialSuccess\":{\"rejectedSpans\":\"2\",\"errorMessage\":\"no\"}}"),
     OUTCOME_TAKEN, 2, "no"},
    {200, "", BODY(" {\"partialSuccess\":{\"rejectedSpans\":2}}"), OUTCOME_TAKEN, 2, ""},
    {200, JS, BODY("{\"partialSuccess\" : { \"rejectedDataPoints\" : 12 , \"x\":[1,{}] } }"),
     OUTCOME_TAKEN, 12, ""},
    {200, JS, BODY("{\"partial_success\":{\"rejected_log_records\":\"3\"}}"), OUTCOME_TAKEN, 3, ""},
    {200, JS, BODY("{\"partialSuccess\":{\"rejectedLogRecords\":-3}}"), OUTCOME_TAKEN, 0, ""},
    {200, JS, BODY("{\"partialSuccess\":{\"rejectedLogRecords\":null}}"), OUTCOME_TAKEN, 0, ""},
    {200, JS, BODY("{\"partialSuccess\":{\"rejectedSpans\":99999999999999999999}}"), OUTCOME_TAKEN,
     0, ""},
    {200, JS, BODY("{\"partialSuccess\":null,\"other\":[true,false,1e5,\"\\u00e9\"]}"),
     OUTCOME_TAKEN, 0, ""},
    {200, JS,
     BODY("{\"partialSuccess\":{\"errorMessage\":\"a\\u00e9\\ud83d\\ude00\\n\\u0007 b\"}}"),
     OUTCOME_TAKEN, 0, "a\xc3\xa9\xf0\x9f\x98\x80 b"},
    {200, JS, BODY("{\"rejectedSpans\":5}"), OUTCOME_TAKEN, 0, ""},
    {200, JS, BODY("{} x"), OUTCOME_TAKEN, 0, "reply not understood"},
    {200, JS, BODY("{\"partialSuccess\":{\"rejectedSpans\":\"2\""), OUTCOME_TAKEN, 0,
     "reply not understood"},
    {200, JS, BODY("{\"a\":\"\0\"}"), OUTCOME_TAKEN, 0, ""},
    {200, JS, BODY("{}\0{"), OUTCOME_TAKEN, 0, "reply not understood"},
    {429, PB, BODY("\x08\x08\x12\x04slow"), OUTCOME_RETRY, 0, "slow"},
    {502, "text/html", BODY("<html>"), OUTCOME_RETRY, 0, ""},
    {503, JS, BODY("{\"code\":14,\"message\":\"later\",\"details\":[]}"), OUTCOME_RETRY, 0,
     "later"},
    {504, "", BODY(""), OUTCOME_RETRY, 0, ""},
    {400, JS, BODY("{\"message\":\"bad\"}"), OUTCOME_REFUSED, 0, "bad"},
    {400, JS, BODY("{\"partialSuccess\":{\"rejectedSpans\":2}}"), OUTCOME_REFUSED, 0, ""},
    {401, "text/plain", BODY("who\r\nare you? \xff"), OUTCOME_REFUSED, 0, "who are you? ?"},
    {404, "", BODY(""), OUTCOME_REFUSED, 0, ""},
    {500, PB, BODY("\x12\x03oh!"), OUTCOME_REFUSED, 0, "oh!"},
    {501, PB, BODY("\xff\xff\xff"), OUTCOME_REFUSED, 0, ""},
    {301, "", BODY(""), OUTCOME_REFUSED, 0, ""},
    {100, "", BODY(""), OUTCOME_REFUSED, 0, ""},
    {0, "", BODY(""), OUTCOME_REFUSED, 0, ""},
    {599, "", BODY(""), OUTCOME_REFUSED, 0, ""},
};

static void replies_mean_what_the_protocol_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(replies) / sizeof(*replies); i++) {
        struct reply reply = {.status = replies[i].status,
                              .content_type = replies[i].type,
                              .body = (const uint8_t *)replies[i].body,
                              .length = replies[i].length};
        struct verdict verdict;
        memset(&verdict, 0x5a, sizeof(verdict));
        otlp_encoder.judge(&reply, &verdict);
        if (verdict.outcome != replies[i].outcome || verdict.rejected != replies[i].rejected ||
            strcmp(verdict.message, replies[i].message) != 0)
            fail_msg("reply %zu, %d %s: outcome %d, rejected %llu, \"%s\"", i, reply.status,
                     replies[i].body, (int)verdict.outcome, (unsigned long long)verdict.rejected,
                     verdict.message);
    }
}

static void a_reply_that_is_too_large_is_not_retried(void **state)
{
    (void)state;
    static const int statuses[] = {200, 503, 400};
    struct verdict verdict;

    for (size_t i = 0; i < 3; i++) {
        struct reply reply = {statuses[i], JS, (const uint8_t *)"{", 1, true};
        otlp_encoder.judge(&reply, &verdict);
        assert_int_equal(verdict.outcome, OUTCOME_REFUSED);
        assert_int_equal(verdict.rejected, 0);
        assert_true(verdict.message[0]);
    }
}

static void a_long_message_is_cut_between_characters(void **state)
{
    (void)state;
    char body[5000] = "{\"message\":\"x";
    struct reply reply = {400, JS, (const uint8_t *)body, 0, false};
    struct verdict verdict;
    size_t n = strlen(body);

    while (n < 4900) {
        memcpy(body + n, "\xe2\x82\xac", 3);
        n += 3;
    }
    memcpy(body + n, "\"}", 2);
    reply.length = n + 2;
    otlp_encoder.judge(&reply, &verdict);
    assert_int_equal(verdict.outcome, OUTCOME_REFUSED);
    assert_int_equal(strlen(verdict.message), 1 + 63 * 3);
    assert_int_equal((unsigned char)verdict.message[189], 0xac);
}

static void a_hostile_reply_allocates_little(void **state)
{
    (void)state;
    size_t length = 2 << 20;
    char *body = malloc(length);
    struct verdict verdict;

    /* Unknown fields, two bytes each, that protobuf-c would keep a structure for. */
    for (size_t i = 0; i < length; i += 2)
        memcpy(body + i, "\x20\x01", 2);
    struct reply reply = {200, PB, (const uint8_t *)body, length, false};
    otlp_encoder.judge(&reply, &verdict);
    assert_int_equal(verdict.outcome, OUTCOME_TAKEN);
    assert_string_equal(verdict.message, "reply not understood");
    memset(body, '[', length);
    body[0] = '{';
    memcpy(body + 1, "\"a\":", 4);
    reply.content_type = JS;
    otlp_encoder.judge(&reply, &verdict);
    assert_string_equal(verdict.message, "reply not understood");
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_mean_what_the_protocol_says),
        cmocka_unit_test(a_reply_that_is_too_large_is_not_retried),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
        cmocka_unit_test(a_hostile_reply_allocates_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
