/*
 * The decoder of header blocks against blocks that nghttp2's deflater made, and malformed ones; and
 * what gRPC reads in the messages.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http2.h"

static nghttp2_hd_deflater *encoder;
static struct http2_decoder *decoder;
static struct arena *arena;
static struct http_message m;

static int begin(void **state)
{
    (void)state;
    decoder = http2_decoder_new();
    arena = arena_new(1 << 20);
    return nghttp2_hd_deflate_new(&encoder, HTTP2_TABLE_MAX) || !decoder || !arena;
}

static int end(void **state)
{
    (void)state;
    nghttp2_hd_deflate_del(encoder);
    http2_decoder_free(decoder);
    arena_free(arena);
    return 0;
}

/* Names and values alternate. */
static size_t encode(uint8_t *block, size_t room, const char *const *texts, size_t count)
{
    nghttp2_nv nv[200];

    for (size_t i = 0; i < count; i += 2)
        nv[i / 2] = (nghttp2_nv){(uint8_t *)(uintptr_t)texts[i], (uint8_t *)(uintptr_t)texts[i + 1],
                                 strlen(texts[i]), strlen(texts[i + 1]), NGHTTP2_NV_FLAG_NONE};
    ssize_t n = nghttp2_hd_deflate_hd(encoder, block, room, nv, count / 2);
    assert_true(n >= 0);
    return (size_t)n;
}

/* From memory of exactly the block's size, so that ASan sees overruns. */
static int decode(const void *bytes, size_t n)
{
    uint8_t *block = malloc(n ? n : 1);

    assert_non_null(block);
    memcpy(block, bytes, n);
    memset(&m, 0xa5, sizeof(m));
    int result = http2_decode(decoder, block, n, arena, &m);
    free(block);
    return result;
}

static int pass(const char *const *texts, size_t count)
{
    static uint8_t block[400000];

    return decode(block, encode(block, sizeof(block), texts, count));
}
#define PASS(...)                            \
    pass((const char *const[]){__VA_ARGS__}, \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void is(struct text t, const char *want)
{
    if (!text_is(t, want))
        fail_msg("\"%.*s\" is not \"%s\"", (int)t.length, t.data ? t.data : "", want);
}

static void test_a_request(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) { /* the second time by the table */
        assert_int_equal(PASS(":method", "GET", ":path", "/a?b", ":scheme", "https", ":authority",
                              "example:8443", "accept", "*/*", "x-long", "1234567890123456",
                              "x-none", ""),
                         0);
        assert_true(m.is_request);
        assert_int_equal(m.major, 2);
        assert_int_equal(m.minor, 0);
        assert_int_equal(m.status, 0);
        is(m.method, "GET");
        is(m.target, "/a?b");
        is(m.scheme, "https");
        is(m.authority, "example:8443");
        assert_int_equal(m.field_count, 3);
        assert_int_equal(m.fields_dropped, 0);
        is(m.fields[0].name, "accept");
        is(m.fields[0].value, "*/*");
        is(m.fields[1].value, "1234567890123456");
        is(m.fields[2].name, "x-none");
        is(m.fields[2].value, "");
    }
}

static void test_responses_and_trailers(void **state)
{
    (void)state;
    assert_int_equal(PASS(":status", "103", "link", "</a>"), 0);
    assert_false(m.is_request);
    assert_int_equal(m.status, 103);
    assert_int_equal(PASS(":status", "404", "a", " \t b c\t "), 0);
    assert_int_equal(m.status, 404);
    is(m.fields[0].value, "b c");
    assert_int_equal(PASS("grpc-status", "0"), 0);
    assert_false(m.is_request);
    assert_int_equal(m.status, 0);
    assert_null(m.method.data);
    assert_int_equal(m.field_count, 1);
    assert_int_equal(http2_decode(decoder, NULL, 0, arena, &m), 0);
    assert_int_equal(m.field_count, 0);
    assert_int_equal(PASS(":method", "CONNECT", ":authority", "example:443"), 0);
    assert_true(m.is_request);
    assert_null(m.target.data);
    assert_int_equal(
        PASS(":method", "CONNECT", ":protocol", "websocket", ":path", "/", ":scheme", "https"), 0);
    assert_true(m.is_request);
    is(m.fields[0].name, ":protocol");
}

static void test_no_messages_leave_the_decoder_whole(void **state)
{
    (void)state;
    assert_int_equal(PASS(":method", "GET", ":method", "GET", ":path", "/", "x", "table"), -EPROTO);
    assert_int_equal(PASS("a", "b", ":status", "200"), -EPROTO);
    assert_int_equal(PASS(":status", "200", ":path", "/"), -EPROTO);
    assert_int_equal(PASS(":path", "/"), -EPROTO);
    assert_int_equal(PASS(":method", "", ":path", "/"), -EPROTO);
    assert_int_equal(PASS(":what", "x"), -EPROTO);
    assert_int_equal(PASS(":status", "200", ":status", "200"), -EPROTO);
    const char *const statuses[] = {"", "20", "2000", "2x0", "099", "-20", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++)
        assert_int_equal(PASS(":status", statuses[i]), -EPROTO);
    assert_int_equal(PASS(":status", "200", "x", "table"), 0);
    assert_int_equal(m.status, 200);
    is(m.fields[0].value, "table");
}

static void test_malformed_blocks_end_it(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } bad[] = {
        {"\x80", 1},                             /* index 0 */
        {"\xbf\xff", 2},                         /* far beyond the table */
        {"\xff\xff\xff\xff\xff\xff\xff\xff", 8}, /* a number without end */
        {"\x40\x01", 2},                         /* cut within a name */
        {"\x40\x01x\x05oops", 8},                /* cut within a value */
        {"\x40\x81\xff\x01x", 5},                /* Huffman: padding of 8 bits */
        {"\x3f\xe1\xff\x03\x88", 5},             /* a table above what was allowed */
        {"\x88\x20", 2},                         /* a table size behind a field */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        http2_decoder_free(decoder);
        decoder = http2_decoder_new();
        assert_int_equal(decode("\x88", 1), 0);
        assert_int_equal(m.status, 200);
        assert_int_equal(decode(bad[i].bytes, bad[i].length), -EBADMSG);
        assert_int_equal(decode("\x88", 1), -EBADMSG);
        http2_decoder_settings(decoder, true, 4096, 4096);
        http2_decoder_settled(decoder);
        assert_int_equal(decode("\x88", 1), -EBADMSG);
    }
}

/* The table is in use before, between and behind. */
static void table(uint32_t least, uint32_t last)
{
    if (least < last)
        assert_int_equal(nghttp2_hd_deflate_change_table_size(encoder, least), 0);
    assert_int_equal(nghttp2_hd_deflate_change_table_size(encoder, last), 0);
}

static void test_table_sizes_count_from_their_acknowledgement(void **state)
{
    static const uint32_t sizes[][2] = {{0, 0},   {4096, 4096},   {100, 100}, {0, 65536},
                                        {60, 60}, {65536, 65536}, {0, 4096},  {1, 2}};
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        assert_int_equal(PASS(":status", "200", "x-a", "1", "x-b", "2222"), 0);
        http2_decoder_settings(decoder, true, sizes[i][0], sizes[i][1]);
        http2_decoder_settings(decoder, false, 0, 0);
        assert_int_equal(PASS(":status", "200", "x-a", "1", "x-c", "333"), 0); /* not yet */
        table(sizes[i][0], sizes[i][1]);
        http2_decoder_settled(decoder);
        for (int j = 0; j < 2; j++) {
            assert_int_equal(PASS(":status", "200", "x-a", "1", "x-d", "44"), 0);
            assert_int_equal(m.field_count, 2);
            is(m.fields[1].value, "44");
        }
        http2_decoder_settled(decoder);
        http2_decoder_settled(decoder); /* of nothing: ignored */
    }
    /* An encoder that takes more than it was given. */
    table(65536, 65536);
    http2_decoder_settings(decoder, true, 1000, 1000);
    http2_decoder_settled(decoder);
    assert_int_equal(PASS(":status", "200"), -EBADMSG);
}

static void test_an_encoder_that_ignores_a_smaller_table(void **state)
{
    (void)state;
    assert_int_equal(PASS(":status", "200"), 0);
    http2_decoder_settings(decoder, true, 0, 4096);
    http2_decoder_settled(decoder);
    assert_int_equal(PASS(":status", "200"), -EBADMSG);
}

static void test_a_table_is_never_larger_than_the_maximum(void **state)
{
    (void)state;
    http2_decoder_settings(decoder, true, UINT32_MAX, UINT32_MAX);
    http2_decoder_settled(decoder);
    assert_int_equal(decode("\x3f\xe1\xff\x03\x88", 5), 0);        /* 65536 */
    assert_int_equal(decode("\x3f\xe2\xff\x03\x88", 5), -EBADMSG); /* 65537 */
}

static void test_too_many_settings_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++)
        http2_decoder_settings(decoder, false, 0, 0);
    assert_int_equal(PASS(":status", "200"), 0);
    http2_decoder_settings(decoder, false, 0, 0);
    assert_int_equal(PASS(":status", "200"), -EBADMSG);
}

static void test_many_and_large_fields_are_dropped_and_counted(void **state)
{
    const char *texts[200 * 2];
    static char large[30001];

    (void)state;
    for (size_t i = 0; i < 200; i++) {
        texts[2 * i] = "n";
        texts[2 * i + 1] = "v";
    }
    assert_int_equal(pass(texts, sizeof(texts) / sizeof(*texts)), 0);
    assert_int_equal(m.field_count, HTTP_FIELDS_MAX);
    assert_int_equal(m.fields_dropped, 200 - HTTP_FIELDS_MAX);

    memset(large, 'x', sizeof(large) - 1);
    assert_int_equal(PASS(":status", "200", "a", large, "b", large, "c", large, "d", "small"), 0);
    assert_int_equal(m.field_count, 3);
    assert_int_equal(m.fields_dropped, 1);
    is(m.fields[2].value, "small");
}

static void test_a_small_block_cannot_take_much_memory(void **state)
{
    static char large[2801];
    uint8_t many[16384];
    struct arena *small = arena_new((size_t)HTTP2_HEAD_MAX + 64 * HTTP_FIELDS_MAX);

    (void)state;
    memset(large, 'x', sizeof(large) - 1);
    assert_int_equal(PASS("a", large), 0);
    memset(many, 0xbe, sizeof(many)); /* the first entry of the dynamic table */
    assert_int_equal(http2_decode(decoder, many, sizeof(many), small, &m), 0);
    assert_int_equal(m.field_count, HTTP2_HEAD_MAX / (int)sizeof(large));
    assert_int_equal(m.field_count + m.fields_dropped, sizeof(many));
    arena_free(small);
}

static void test_an_arena_without_room(void **state)
{
    struct arena *none = arena_new(40);
    static uint8_t block[1000];

    (void)state;
    size_t n =
        encode(block, sizeof(block),
               (const char *const[]){":status", "200", "x-name", "value", "x-other", "value"}, 6);
    assert_int_equal(http2_decode(decoder, block, n, none, &m), 0);
    assert_int_equal(m.field_count + m.fields_dropped, 2);
    assert_true(m.fields_dropped > 0);
    n = encode(block, sizeof(block),
               (const char *const[]){":method", "GET", ":path", "/", "x-name", "value"}, 6);
    assert_int_equal(http2_decode(decoder, block, n, none, &m), -ENOMEM);
    arena_free(none);
    assert_int_equal(PASS(":status", "200", "x-name", "value"), 0);
    is(m.fields[0].value, "value");
}

/* -------- gRPC */

static void test_grpc_is(void **state)
{
    static const char *const yes[] = {"application/grpc", "application/grpc+proto",
                                      "Application/gRPC+json", "application/grpc; charset=x"};
    static const char *const no[] = {"",
                                     "application/grp",
                                     "application/grpc-web",
                                     "application/grpc-web+proto",
                                     "application/grpcx",
                                     "text/html"};
    (void)state;
    for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
        assert_int_equal(PASS(":method", "POST", "content-type", yes[i]), 0);
        assert_true(grpc_is(&m));
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++) {
        assert_int_equal(PASS(":method", "POST", "content-type", no[i]), 0);
        assert_false(grpc_is(&m));
    }
    assert_int_equal(PASS(":method", "POST"), 0);
    assert_false(grpc_is(&m));
}

static void test_grpc_method(void **state)
{
    static const char *const none[] = {"",    "/",      "//",    "/a",     "/a/",   "//b",
                                       "a/b", "/a/b/c", "/a/b/", "/a/b?c", "/a?/b", "*"};

    (void)state;
    assert_int_equal(PASS(":method", "POST", ":path", "/pkg.v1.Service/Method"), 0);
    is(grpc_method(&m), "pkg.v1.Service/Method");
    assert_int_equal(PASS(":method", "POST", ":path", "/S/M"), 0);
    is(grpc_method(&m), "S/M");
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++) {
        assert_int_equal(PASS(":method", "POST", ":path", none[i]), 0);
        assert_int_equal(grpc_method(&m).length, 0);
    }
    assert_int_equal(PASS(":method", "POST"), 0);
    assert_int_equal(grpc_method(&m).length, 0);
}

static void test_grpc_status(void **state)
{
    static const struct {
        const char *value, *name;
        int code;
        bool client, server;
    } table_of[] = {
        {"0", "OK", 0, false, false},
        {"1", "CANCELLED", 1, true, false},
        {"2", "UNKNOWN", 2, true, true},
        {"3", "INVALID_ARGUMENT", 3, true, false},
        {"4", "DEADLINE_EXCEEDED", 4, true, true},
        {"5", "NOT_FOUND", 5, true, false},
        {"6", "ALREADY_EXISTS", 6, true, false},
        {"7", "PERMISSION_DENIED", 7, true, false},
        {"8", "RESOURCE_EXHAUSTED", 8, true, false},
        {"9", "FAILED_PRECONDITION", 9, true, false},
        {"10", "ABORTED", 10, true, false},
        {"11", "OUT_OF_RANGE", 11, true, false},
        {"12", "UNIMPLEMENTED", 12, true, true},
        {"13", "INTERNAL", 13, true, true},
        {"14", "UNAVAILABLE", 14, true, true},
        {"15", "DATA_LOSS", 15, true, true},
        {"16", "UNAUTHENTICATED", 16, true, false},
        {"17", "17", 17, true, false},
        {"999999999", "999999999", 999999999, true, false},
        {"", "", -1, false, false},
        {"-1", "", -1, false, false},
        {"OK", "", -1, false, false},
        {"1x", "", -1, false, false},
        {"4294967296", "", -1, false, false},
    };
    int code;

    (void)state;
    for (size_t i = 0; i < sizeof(table_of) / sizeof(*table_of); i++) {
        assert_int_equal(PASS("grpc-message", "m", "grpc-status", table_of[i].value), 0);
        is(grpc_status(&m, &code), table_of[i].name);
        assert_int_equal(code, table_of[i].code);
        assert_int_equal(grpc_is_error(code, false), table_of[i].client);
        assert_int_equal(grpc_is_error(code, true), table_of[i].server);
    }
    assert_int_equal(PASS("grpc-message", "m"), 0);
    assert_int_equal(grpc_status(&m, &code).length, 0);
    assert_int_equal(code, -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

/* ------------------------------------------------------------------ h2c */

static bool settings(const char *value, uint32_t *least, uint32_t *last)
{
    *least = *last = 7;
    return http2_settings_read((struct text){value, strlen(value)}, least, last);
}

static void test_settings_of_an_upgrade(void **state)
{
    (void)state;
    uint32_t least, last;
    assert_false(settings("AAMAAABkAAQCAAAAAAIAAAAA", &least, &last)); /* curl's: no table size */
    assert_true(settings("AAEAAAAA", &least, &last));
    assert_true(least == 0 && last == 0);
    assert_true(settings("AAMAAABkAAEAAQAA", &least, &last));
    assert_true(least == 65536 && last == 65536);
    assert_true(settings("AAEAAABkAAEAABAA", &least, &last)); /* 100, then 4096 */
    assert_true(least == 100 && last == 4096);
    assert_false(settings("AAEAAAA", &least, &last)); /* one byte is missing */
    assert_false(settings("AAEA+AAA", &least, &last));
    assert_false(settings("", &least, &last));
}

static void test_an_upgrade_to_h2c(void **state)
{
    (void)state;
    static const char yes[] =
        "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: H2C\r\n\r\n";
    static const char no[] = "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n";
    static const char refused[] = "HTTP/1.1 200 OK\r\nUpgrade: h2c\r\n\r\n";
    assert_int_equal(http1_parse(yes, sizeof(yes) - 1, arena, &m), 0);
    assert_true(http2_is_upgrade(&m));
    assert_int_equal(http1_parse(no, sizeof(no) - 1, arena, &m), 0);
    assert_false(http2_is_upgrade(&m));
    assert_int_equal(http1_parse(refused, sizeof(refused) - 1, arena, &m), 0);
    assert_false(http2_is_upgrade(&m));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_request),
        TEST(test_responses_and_trailers),
        TEST(test_no_messages_leave_the_decoder_whole),
        TEST(test_malformed_blocks_end_it),
        TEST(test_table_sizes_count_from_their_acknowledgement),
        TEST(test_an_encoder_that_ignores_a_smaller_table),
        TEST(test_a_table_is_never_larger_than_the_maximum),
        TEST(test_too_many_settings_at_once),
        TEST(test_many_and_large_fields_are_dropped_and_counted),
        TEST(test_a_small_block_cannot_take_much_memory),
        TEST(test_an_arena_without_room),
        TEST(test_grpc_is),
        TEST(test_grpc_method),
        TEST(test_grpc_status),
        TEST(test_settings_of_an_upgrade),
        TEST(test_an_upgrade_to_h2c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
