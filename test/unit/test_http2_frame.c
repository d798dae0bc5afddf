/*
 * The framer of HTTP/2 against frames written out by hand from RFC 9113: what each must tell, in
 * whatever pieces it comes, and what is against the rules.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "http2_wire.h"

enum {
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION,
    ALTSVC
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, WITH_PRIORITY = 32 };

static struct wire_text bytes; /* the direction under construction */

static void frame(unsigned type, unsigned flags, uint32_t stream, const void *payload, size_t n)
{
    wire_frame(&bytes, n, type, flags, stream);
    wire_bytes(&bytes, payload, n);
}
#define FRAME(type, flags, stream, literal) frame(type, flags, stream, literal, sizeof(literal) - 1)

static void begin(enum frame_side side)
{
    bytes.length = 0;
    if (side == SIDE_REQUEST)
        wire_bytes(&bytes, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP2_PREFACE);
    FRAME(SETTINGS, 0, 0, "");
}

/* What was told when `first` bytes came, then pieces of `piece`. Blocks are in brackets. */
static char *told(enum frame_side side, size_t first, size_t piece)
{
    struct http2_frame f = {0};
    struct wire_text out = {0}, block = {0};
    size_t at = 0;

    while (at < bytes.length) {
        size_t n = at == 0 && first ? first : piece;
        n = n > bytes.length - at ? bytes.length - at : n;
        /* Memory of exactly this size, so that ASan sees overruns. */
        uint8_t *given = malloc(n);
        REQUIRE(given != NULL);
        memcpy(given, bytes.data + at, n);
        at += n;
        for (size_t used = 0; used < n;) {
            struct frame_step step;
            http2_step(&f, side, given + used, n - used, &step);
            REQUIRE(step.used >= 1 && step.used <= n - used);
            if (step.flags & FRAME_FIRST)
                wire_format(&block, "%s%u ", step.flags & FRAME_PUSH ? "push" : "", step.number);
            if (step.what == FRAME_HEAD)
                wire_bytes(&block, given + used, step.used);
            if (step.flags & FRAME_HEAD_END) {
                wire_format(&out, "[%s]", block.data);
                block.length = 0;
            }
            if (step.flags & FRAME_CUT && step.flags & FRAME_HEAD_END)
                wire_format(&out, "cut");
            if (step.what == FRAME_BODY && !(step.flags & FRAME_HEAD_END) &&
                (step.body || step.flags & FRAME_END))
                wire_format(&out, "%u+%llu", step.number, (unsigned long long)step.body);
            if (step.flags & FRAME_END)
                wire_format(&out, "end");
            if (step.flags & FRAME_GRPC)
                wire_format(&out, "g%u", step.messages);
            if (step.what == FRAME_RESET)
                wire_format(&out, "reset%u:%llu", step.number, (unsigned long long)step.body);
            if (step.what == FRAME_GOAWAY)
                wire_format(&out, "goaway%u:%llu", step.number, (unsigned long long)step.body);
            if (step.what == FRAME_SETTINGS)
                wire_format(&out, "settings%u:%lld", step.number, (long long)step.body);
            if (step.what == FRAME_SETTLED)
                wire_format(&out, "settled");
            if (step.what == FRAME_LOST) {
                wire_format(&out, "lost");
                at = bytes.length;
                used = n;
                continue;
            }
            used += step.used;
            if (step.flags || step.what != FRAME_BODY || step.body)
                wire_bytes(&out, " ", step.what != FRAME_HEAD || step.flags & FRAME_HEAD_END);
        }
        free(given);
    }
    if (out.length && out.data[out.length - 1] == ' ')
        out.data[--out.length] = '\0';
    free(block.data);
    return out.data ? out.data : strdup("");
}

/* The same whatever the split: every split in two, and every size of pieces. */
static void expect(enum frame_side side, const char *want)
{
    for (size_t i = 0; i <= bytes.length; i++) {
        char *two = told(side, i, bytes.length);
        assert_string_equal(two, want);
        free(two);
    }
    for (size_t piece = 1; piece <= bytes.length && piece < 100; piece++) {
        char *many = told(side, 0, piece);
        assert_string_equal(many, want);
        free(many);
    }
}

static void test_sniff(void **state)
{
    static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    static const uint8_t settings[] = {0, 0, 12, 4, 0, 0, 0, 0, 0, 99};

    (void)state;
    assert_int_equal(http2_sniff(preface, 0), -1);
    for (size_t n = 1; n < HTTP2_PREFACE; n++) {
        uint8_t wrong[HTTP2_PREFACE];
        assert_int_equal(http2_sniff(preface, n), -1);
        memcpy(wrong, preface, n);
        wrong[n - 1] ^= 0x20;
        assert_int_equal(http2_sniff(wrong, n), 0);
    }
    assert_int_equal(http2_sniff(preface, HTTP2_PREFACE), 1);
    for (size_t n = 1; n < 9; n++)
        assert_int_equal(http2_sniff(settings, n), -1);
    assert_int_equal(http2_sniff(settings, 9), 2);
    assert_int_equal(http2_sniff(settings, 10), 2);
    for (size_t i = 0; i < 9; i++) {
        uint8_t wrong[9];
        memcpy(wrong, settings, 9);
        wrong[i]++;
        assert_int_equal(http2_sniff(wrong, 9), 0);
    }
    assert_int_equal(http2_sniff((const uint8_t *)"HTTP/1.1 200 OK\r\n", 17), 0);
}

static void test_a_request_and_its_response(void **state)
{
    (void)state;
    begin(SIDE_REQUEST);
    FRAME(HEADERS, END_HEADERS | END_STREAM, 1, "abc");
    FRAME(HEADERS, END_HEADERS, 3, "d");
    FRAME(DATA, END_STREAM, 3, "<html>");
    expect(SIDE_REQUEST, "settings0:-1 [1 abc]endg0 [3 d] 3+6end");

    begin(SIDE_RESPONSE);
    FRAME(HEADERS, END_HEADERS, 1, "abc");
    FRAME(DATA, 0, 1, "<html>");
    FRAME(DATA, 0, 1, "</html>");
    FRAME(HEADERS, END_HEADERS | END_STREAM, 1, "trailer");
    expect(SIDE_RESPONSE, "settings0:-1 [1 abc] 1+13 [1 trailer]end");
}

static void test_fragments_padding_and_priority(void **state)
{
    (void)state;
    begin(SIDE_RESPONSE);
    FRAME(HEADERS, END_HEADERS | PADDED, 1, "\2abcxx");
    FRAME(HEADERS, END_HEADERS | WITH_PRIORITY, 3, "\0\0\0\1\20abc");
    FRAME(HEADERS, END_HEADERS | PADDED | WITH_PRIORITY, 5, "\3\0\0\0\1\20abcxxx");
    FRAME(PUSH_PROMISE, END_HEADERS | PADDED, 5, "\1\0\0\0\2pushx");
    FRAME(HEADERS, END_STREAM | PADDED, 7, "\1abx");
    FRAME(CONTINUATION, 0, 7, "cd");
    FRAME(CONTINUATION, END_HEADERS, 7, "ef");
    FRAME(PUSH_PROMISE, 0, 5, "\0\0\0\4pu");
    FRAME(CONTINUATION, END_HEADERS, 5, "sh");
    expect(SIDE_RESPONSE,
           "settings0:-1 [1 abc] [3 abc] [5 abc] [push2 push] [7 abcdef]endg0 [push4 push]");
}

static void test_blocks_with_empty_parts(void **state)
{
    (void)state;
    begin(SIDE_RESPONSE);
    FRAME(HEADERS, END_HEADERS | END_STREAM, 1, "");
    FRAME(HEADERS, END_HEADERS | PADDED, 3, "\2xx");
    FRAME(HEADERS, END_HEADERS | WITH_PRIORITY, 5, "\0\0\0\1\20");
    FRAME(HEADERS, 0, 7, "");
    FRAME(CONTINUATION, 0, 7, "ab");
    FRAME(CONTINUATION, END_HEADERS, 7, "");
    FRAME(HEADERS, END_STREAM, 9, "");
    FRAME(CONTINUATION, END_HEADERS, 9, "");
    FRAME(PUSH_PROMISE, END_HEADERS, 7, "\0\0\0\2");
    expect(SIDE_RESPONSE, "settings0:-1 [1 ]endg0 [3 ] [5 ] [7 ab] [9 ]endg0 [push2 ]");
}

static void test_data_is_summed_up_by_runs(void **state)
{
    (void)state;
    begin(SIDE_RESPONSE);
    FRAME(DATA, 0, 1, "<1234");
    FRAME(DATA, PADDED, 1, "\3<1234xxx");
    FRAME(DATA, PADDED, 1, "\3xxx");
    FRAME(PING, 0, 0, "12345678");
    FRAME(WINDOW_UPDATE, 0, 0, "\0\0\1\0");
    FRAME(PRIORITY, 0, 9, "\0\0\0\1\20");
    FRAME(ALTSVC, 0xff, 0, "anything");
    FRAME(0xee, 0xff, 77, "");
    FRAME(DATA, 0, 1, "");
    FRAME(DATA, 0, 1, "!");
    FRAME(DATA, END_STREAM, 3, ""); /* ends another one, and not the run */
    FRAME(DATA, 0, 1, "!");
    FRAME(DATA, 0, 3, "<");
    FRAME(DATA, END_STREAM | PADDED, 1, "\2!!xx");
    FRAME(DATA, END_STREAM | PADDED, 5, "\0");
    FRAME(DATA, 0, 7, "<<<<");
    FRAME(RST_STREAM, 0, 7, "\0\0\0\10");
    expect(SIDE_RESPONSE, "settings0:-1 3+0endg0 1+12 3+1 1+2end 5+0endg0 7+4 reset7:8");
}

static void test_settings_and_what_ends_a_connection(void **state)
{
    (void)state;
    bytes.length = 0;
    FRAME(SETTINGS, 0, 0, "\0\3\0\0\0\144\0\1\0\0\20\0");
    FRAME(SETTINGS, ACK, 0, "");
    FRAME(SETTINGS, 0, 0, "\0\1\0\0\2\0\0\1\0\0\0\7\0\1\0\0\1\0");
    FRAME(SETTINGS, 0, 0, "\0\1\377\377\377\377");
    FRAME(RST_STREAM, 0, 5, "\0\0\0\2");
    FRAME(GOAWAY, 0, 0, "\200\0\0\7\0\0\0\13because");
    FRAME(GOAWAY, 0, 0, "\0\0\0\7\0\0\0\0");
    expect(SIDE_RESPONSE, "settings4096:4096 settled settings7:256 settings4294967295:4294967295 "
                          "reset5:2 goaway7:11 goaway7:0");
}

static void test_the_reserved_bit_is_nobodys(void **state)
{
    (void)state;
    begin(SIDE_RESPONSE);
    FRAME(HEADERS, 0, 0x80000001, "ab");
    FRAME(CONTINUATION, END_HEADERS, 1, "cd");
    FRAME(PUSH_PROMISE, END_HEADERS, 1, "\200\0\0\2p");
    FRAME(DATA, END_STREAM, 0x80000001, "<");
    expect(SIDE_RESPONSE, "settings0:-1 [1 abcd] [push2 p] 1+1end");
}

static void test_grpc_messages(void **state)
{
    (void)state;
    begin(SIDE_RESPONSE);
    /* Two whole ones, one without bytes; in three frames, cut within prefix and message. */
    FRAME(DATA, 0, 1, "\0\0\0");
    FRAME(DATA, 0, 1, "\0\3ab");
    FRAME(DATA, END_STREAM, 1, "c\1\0\0\0\0");
    /* Nothing but a trailer. */
    FRAME(HEADERS, END_HEADERS | END_STREAM, 3, "t");
    /* Whole ones, and the trailer behind them. */
    FRAME(DATA, 0, 5, "\0\0\0\0\1a\0\0\0\0\1b");
    FRAME(HEADERS, END_HEADERS | END_STREAM, 5, "t");
    /* It ends within a message, and it is none. */
    FRAME(DATA, END_STREAM, 7, "\0\0\0\0\2a");
    FRAME(DATA, END_STREAM, 9, "\0\0\0\0\0\2");
    FRAME(DATA, END_STREAM, 11, "\2\0\0\0\0");
    expect(SIDE_RESPONSE,
           "settings0:-1 1+13endg2 [3 t]endg0 5+12g2 [5 t]endg0 7+6end 9+6end 11+5end");
}

static void test_grpc_messages_that_interleave(void **state)
{
    struct wire_text want = {0};
    uint32_t most = 2 * (HTTP2_PARKED + 1) - 1;

    (void)state;
    /* As many as can be followed: within prefix and within message. */
    begin(SIDE_RESPONSE);
    wire_format(&want, "settings0:-1");
    for (uint32_t s = 1; s <= most; s += 2) {
        FRAME(DATA, 0, s, "\0\0\0");
        wire_format(&want, " %u+3g0", s);
    }
    for (uint32_t s = 1; s <= most; s += 2) {
        FRAME(DATA, 0, s, "\0\2a");
        wire_format(&want, " %u+3g0", s);
    }
    for (uint32_t s = 1; s <= most; s += 2) {
        FRAME(DATA, END_STREAM, s, "b");
        wire_format(&want, " %u+1endg1", s);
    }
    expect(SIDE_RESPONSE, want.data);

    /* One more: the oldest is given up, and only that. */
    begin(SIDE_RESPONSE);
    want.length = 0;
    wire_format(&want, "settings0:-1");
    for (uint32_t s = 1; s <= most + 2; s += 2) {
        FRAME(DATA, 0, s, "\0\0\0\0\2a");
        wire_format(&want, " %u+6g0", s);
    }
    for (uint32_t s = 3; s <= most + 2; s += 2) {
        FRAME(DATA, END_STREAM, s, "b");
        wire_format(&want, " %u+1endg1", s);
    }
    FRAME(DATA, END_STREAM, 1, "b");
    wire_format(&want, " 1+1end");
    FRAME(DATA, END_STREAM, most + 4, "\0\0\0\0\1b");
    wire_format(&want, " %u+6endg1", most + 4);
    expect(SIDE_RESPONSE, want.data);
    free(want.data);
}

static void test_streams_that_are_reset_give_their_places_back(void **state)
{
    struct wire_text want = {0};
    uint32_t most = 2 * (HTTP2_PARKED + 1) - 1;

    (void)state;
    begin(SIDE_RESPONSE);
    wire_format(&want, "settings0:-1");
    for (uint32_t s = 101; s <= 100 + most; s += 2) {
        FRAME(DATA, 0, s, "\0");
        wire_format(&want, " %u+1g0", s);
    }
    for (uint32_t s = 101; s <= 100 + most; s += 2) {
        FRAME(RST_STREAM, 0, s, "\0\0\0\1");
        wire_format(&want, " reset%u:1", s);
    }
    for (uint32_t s = 1; s <= most; s += 2) {
        FRAME(DATA, 0, s, "\0\0\0");
        wire_format(&want, " %u+3g0", s);
    }
    for (uint32_t s = 1; s <= most; s += 2) {
        FRAME(DATA, END_STREAM, s, "\0\0");
        wire_format(&want, " %u+2endg1", s);
    }
    expect(SIDE_RESPONSE, want.data);
    free(want.data);
}

static void test_streams_between_messages_need_no_place(void **state)
{
    struct wire_text want = {0};

    (void)state;
    begin(SIDE_RESPONSE);
    for (uint32_t s = 1; s < 4000; s += 2)
        FRAME(DATA, 0, s, "\0\0\0\0\1a");
    for (uint32_t s = 1; s < 4000; s += 2)
        FRAME(DATA, END_STREAM, s, "\0\0\0\0\1b");
    wire_format(&want, "settings0:-1");
    for (uint32_t s = 1; s < 4000; s += 2)
        wire_format(&want, " %u+6g1", s);
    for (uint32_t s = 1; s < 4000; s += 2)
        wire_format(&want, " %u+6endg1", s);
    char *got = told(SIDE_RESPONSE, 0, bytes.length);
    assert_string_equal(got, want.data);
    free(got);
    free(want.data);
}

static void test_bytes_that_went_by_unseen(void **state)
{
    struct http2_frame f = {0};
    struct frame_step step;

    (void)state;
    begin(SIDE_RESPONSE);
    frame(DATA, END_STREAM, 1, "", 0);
    bytes.data[bytes.length - 7] = 100; /* the length of the payload that follows */
    for (size_t at = 0; at < bytes.length; at += step.used)
        http2_step(&f, SIDE_RESPONSE, (uint8_t *)bytes.data + at, bytes.length - at, &step);
    struct http2_frame more = f;
    http2_step(&f, SIDE_RESPONSE, NULL, 60, &step);
    assert_int_equal(step.used, 60);
    assert_int_equal(step.flags, 0);
    http2_step(&f, SIDE_RESPONSE, NULL, 40, &step);
    assert_int_equal(step.used, 40);
    assert_int_equal(step.what, FRAME_BODY);
    assert_int_equal(step.flags, FRAME_END); /* what the messages are is not known */
    assert_int_equal(step.body, 100);

    http2_step(&more, SIDE_RESPONSE, NULL, 101, &step);
    assert_int_equal(step.what, FRAME_LOST);
    assert_int_equal(step.used, 101);
}

static void test_a_block_that_is_too_long(void **state)
{
    const size_t sizes[][3] = {{FRAME_HEAD_MAX, 0, 0}, {FRAME_HEAD_MAX + 1, 0, 0}, {10000, 6384, 0},
                               {10000, 6385, 0},       {10000, 6384, 1},           {0, 17000, 9}};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct http2_frame f = {0};
        size_t total = 0, kept = 0, ends = 0, cut = 0;
        char *whole = calloc(1, 20000);
        begin(SIDE_RESPONSE);
        for (size_t j = 0; j < 3; j++) {
            frame(j ? CONTINUATION : HEADERS, (j ? 0u : END_STREAM) | (j == 2 ? END_HEADERS : 0u),
                  1, whole, sizes[i][j]);
            total += sizes[i][j];
        }
        FRAME(HEADERS, END_HEADERS, 3, "next");
        for (size_t at = 0, n; at < bytes.length; at += n) {
            struct frame_step step;
            n = 1 + at % 3000;
            n = n > bytes.length - at ? bytes.length - at : n;
            http2_step(&f, SIDE_RESPONSE, (uint8_t *)bytes.data + at, n, &step);
            n = step.used;
            kept += step.what == FRAME_HEAD && step.number == 1 ? n : 0;
            ends += (step.flags & (FRAME_HEAD_END | FRAME_END)) == (FRAME_HEAD_END | FRAME_END);
            cut += (step.flags & FRAME_CUT) != 0;
            assert_true(!(step.flags & FRAME_CUT) || step.number == 1);
            assert_int_not_equal(step.what, FRAME_LOST);
        }
        assert_int_equal(kept, total > FRAME_HEAD_MAX ? FRAME_HEAD_MAX : total);
        assert_int_equal(ends, 1);
        assert_int_equal(cut, total > FRAME_HEAD_MAX);
        free(whole);
    }
}

static void test_what_breaks_the_rules_is_lost(void **state)
{
    static const struct {
        enum frame_side side;
        unsigned type, flags;
        uint32_t stream;
        const char *payload;
        size_t length;
    } bad[] = {
        {SIDE_REQUEST, DATA, 0, 0, "a", 1},
        {SIDE_REQUEST, DATA, 0, 2, "a", 1},
        {SIDE_RESPONSE, DATA, PADDED, 1, "", 0},
        {SIDE_RESPONSE, DATA, PADDED, 1, "\1", 1},
        {SIDE_RESPONSE, DATA, PADDED, 1, "\3ab", 3},
        {SIDE_REQUEST, HEADERS, END_HEADERS, 0, "a", 1},
        {SIDE_REQUEST, HEADERS, END_HEADERS, 4, "a", 1},
        {SIDE_REQUEST, HEADERS, END_HEADERS | WITH_PRIORITY, 1, "abcd", 4},
        {SIDE_REQUEST, HEADERS, END_HEADERS | WITH_PRIORITY | PADDED, 1, "\1abcde", 6},
        {SIDE_REQUEST, HEADERS, END_HEADERS | PADDED, 1, "\4abc", 4},
        {SIDE_REQUEST, PRIORITY, 0, 0, "abcde", 5},
        {SIDE_REQUEST, RST_STREAM, 0, 0, "abcd", 4},
        {SIDE_REQUEST, RST_STREAM, 0, 1, "abcde", 5},
        {SIDE_REQUEST, SETTINGS, 0, 1, "", 0},
        {SIDE_REQUEST, SETTINGS, 0, 0, "abcde", 5},
        {SIDE_REQUEST, SETTINGS, ACK, 0, "\0\1\0\0\0\0", 6},
        {SIDE_REQUEST, PUSH_PROMISE, END_HEADERS, 1, "\0\0\0\2p", 5},
        {SIDE_RESPONSE, PUSH_PROMISE, END_HEADERS, 0, "\0\0\0\2p", 5},
        {SIDE_RESPONSE, PUSH_PROMISE, END_HEADERS, 1, "\0\0\0\0p", 5},
        {SIDE_RESPONSE, PUSH_PROMISE, END_HEADERS, 1, "\0\0\0\3p", 5},
        {SIDE_RESPONSE, PUSH_PROMISE, END_HEADERS, 1, "\0\0\2", 3},
        {SIDE_REQUEST, PING, 0, 1, "12345678", 8},
        {SIDE_REQUEST, PING, 0, 0, "1234567", 7},
        {SIDE_REQUEST, GOAWAY, 0, 0, "1234567", 7},
        {SIDE_REQUEST, GOAWAY, 0, 1, "12345678", 8},
        {SIDE_REQUEST, WINDOW_UPDATE, 0, 1, "abc", 3},
        {SIDE_REQUEST, CONTINUATION, END_HEADERS, 1, "a", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        begin(bad[i].side);
        frame(bad[i].type, bad[i].flags, bad[i].stream, bad[i].payload, bad[i].length);
        FRAME(HEADERS, END_HEADERS, 1, "never");
        expect(bad[i].side, "settings0:-1 lost");
    }
    /* A block is open: nothing else may come. */
    for (unsigned type = 0; type < 20; type++) {
        begin(SIDE_RESPONSE);
        FRAME(HEADERS, 0, 1, "ab");
        frame(type, END_HEADERS, type == CONTINUATION ? 3 : 1, "abcd", 4);
        expect(SIDE_RESPONSE, "settings0:-1 lost");
    }
    /* It begins with no preface, or with no SETTINGS. */
    begin(SIDE_RESPONSE);
    expect(SIDE_REQUEST, "lost");
    begin(SIDE_REQUEST);
    expect(SIDE_RESPONSE, "lost");
    bytes.length = 0;
    FRAME(SETTINGS, ACK, 0, "");
    expect(SIDE_RESPONSE, "lost");
    bytes.length = 0;
    FRAME(PING, 0, 0, "12345678");
    expect(SIDE_RESPONSE, "lost");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sniff),
        cmocka_unit_test(test_a_request_and_its_response),
        cmocka_unit_test(test_fragments_padding_and_priority),
        cmocka_unit_test(test_blocks_with_empty_parts),
        cmocka_unit_test(test_data_is_summed_up_by_runs),
        cmocka_unit_test(test_settings_and_what_ends_a_connection),
        cmocka_unit_test(test_the_reserved_bit_is_nobodys),
        cmocka_unit_test(test_grpc_messages),
        cmocka_unit_test(test_grpc_messages_that_interleave),
        cmocka_unit_test(test_streams_that_are_reset_give_their_places_back),
        cmocka_unit_test(test_streams_between_messages_need_no_place),
        cmocka_unit_test(test_bytes_that_went_by_unseen),
        cmocka_unit_test(test_a_block_that_is_too_long),
        cmocka_unit_test(test_what_breaks_the_rules_is_lost),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(bytes.data);
    return failed;
}
