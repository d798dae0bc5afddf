/* The framer of HTTP/1, however the bytes are split, and W3C's traceparent. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>

#define REQUIRE(condition) assert_true(condition)
#include "test/unit/http1_conversations.h"

#include "capture/trace.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct transcript whole, split;

static size_t bytewise(void *how, size_t at, size_t length)
{
    (void)how, (void)at, (void)length;
    return 1;
}

/* A call ends before the byte *how of the conversation, the others with their part. */
static size_t once(void *how, size_t at, size_t length)
{
    size_t point = *(size_t *)how;

    return at < point && point < at + length ? point - at : length;
}

static size_t randomly(void *how, size_t at, size_t length)
{
    uint32_t *seed = how;

    (void)at;
    *seed = *seed * 1664525u + 1013904223u;
    size_t n = (*seed >> 24) % 3 ? *seed >> 29 : *seed >> 26;
    return n == 0 ? 1 : n < length ? n : length;
}

static void same(const struct conversation *c, const char *how, size_t which)
{
    if (strcmp(split.text, whole.text) || split.hash != whole.hash)
        fail_msg("fed %s %zu:\n%s\nnot:\n%s", how, which, split.text, c->expected);
}

static void found(const struct conversation *c)
{
    size_t parts = COUNT(c->parts), bytes = 0;

    transcript_run(&whole, c->parts, parts, NULL, NULL);
    assert_string_equal(whole.text, c->expected);
    transcript_run(&split, c->parts, parts, bytewise, NULL);
    same(c, "byte by byte", 0);
    for (size_t i = 0; i < parts; i++)
        bytes += c->parts[i].kind == PART_BYTES ? c->parts[i].length : 0;
    for (size_t point = 1; point < bytes; point++) {
        transcript_run(&split, c->parts, parts, once, &point);
        same(c, "split at", point);
    }
    for (uint32_t i = 0; i < 64; i++) {
        uint32_t seed = i;
        transcript_run(&split, c->parts, parts, randomly, &seed);
        same(c, "at random", i);
    }
}

static void conversations_however_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(conversations); i++)
        found(&conversations[i]);
}

static void hostile_forms_however_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(hostile); i++)
        found(&hostile[i]);
}

/* -------- bounds */

static void requests_beyond_the_bound(void **state)
{
    (void)state;
    struct transcript *t = &whole;

    memset(t, 0, sizeof(*t));
    for (unsigned i = 0; i < HTTP1_OUTSTANDING; i++) {
        transcript_feed(t, SIDE_REQUEST, GET, sizeof(GET) - 1);
        assert_int_equal(http1_outstanding(&t->frame), i + 1);
    }
    assert_false(t->side[SIDE_REQUEST].lost);
    transcript_feed(t, SIDE_REQUEST, GET, sizeof(GET) - 1);
    assert_true(t->side[SIDE_REQUEST].lost);
    /* Those that were told are answered all the same, and nothing else is. */
    for (unsigned i = HTTP1_OUTSTANDING; i; i--) {
        static const char answer[] = OK "Content-Length: 1\r\n\r\na";
        transcript_feed(t, SIDE_RESPONSE, answer, sizeof(answer) - 1);
        assert_int_equal(http1_outstanding(&t->frame), i - 1);
        assert_int_equal(t->side[SIDE_RESPONSE].number, HTTP1_OUTSTANDING + 1 - i);
    }
    transcript_feed(t, SIDE_RESPONSE, OK, sizeof(OK) - 1);
    transcript_feed(t, SIDE_RESPONSE, "\r\n", 2);
    assert_true(t->side[SIDE_RESPONSE].lost);
}

static void slots_of_requests_are_used_again(void **state)
{
    (void)state;
    struct transcript *t = &whole;
    static const char head[] = "HEAD / HTTP/1.1\r\nUpgrade: x\r\n\r\n", get[] = GET;
    static const char answer[] = OK "Content-Length: 1\r\n\r\n";

    memset(t, 0, sizeof(*t));
    /* A period that does not divide the number of slots: each is HEAD in one round, not in the
       next. */
    for (unsigned i = 0; i < 7 * HTTP1_OUTSTANDING; i++) {
        int is_head = i % 5 == 0;
        transcript_feed(t, SIDE_REQUEST, is_head ? head : get,
                        is_head ? sizeof(head) - 1 : sizeof(get) - 1);
        transcript_feed(t, SIDE_RESPONSE, answer, sizeof(answer) - 1);
        assert_int_equal(http1_outstanding(&t->frame), !is_head);
        if (!is_head)
            transcript_feed(t, SIDE_RESPONSE, "x", 1);
        assert_int_equal(http1_outstanding(&t->frame), 0);
    }
    assert_false(t->side[0].lost || t->side[1].lost);
}

/* A head of `length` bytes, in calls of `step`: what of it is kept. */
static size_t kept(size_t length, size_t step)
{
    static char head[3 * FRAME_HEAD_MAX];
    size_t keep = 0, at = 0;
    struct http1_frame f = {0};
    struct frame_step out = {0};

    memset(head, 'x', length);
    memcpy(head, "GET / HTTP/1.1\r\nLong:", 21);
    memcpy(head + length - 23, "\r\nContent-Length: 2\r\n\r\n", 23);
    while (!(out.flags & FRAME_HEAD_END)) {
        size_t n = length - at < step ? length - at : step;
        http1_step(&f, SIDE_REQUEST, (const uint8_t *)head + at, n, &out);
        assert_int_equal(out.what, FRAME_HEAD);
        at += out.used;
        keep += out.flags & FRAME_CUT ? 0 : out.used;
        assert_int_equal(!!(out.flags & FRAME_CUT), at > FRAME_HEAD_MAX);
    }
    assert_int_equal(at, length);
    /* What was cut is understood all the same. */
    http1_step(&f, SIDE_REQUEST, (const uint8_t *)"ab", 2, &out);
    assert_true(out.what == FRAME_BODY && out.flags == FRAME_END && out.body == 2);
    return keep;
}

static void heads_are_kept_up_to_the_bound(void **state)
{
    (void)state;
    const size_t steps[] = {1, 7, 1000, FRAME_HEAD_MAX, 3 * FRAME_HEAD_MAX};

    for (size_t i = 0; i < COUNT(steps); i++) {
        assert_int_equal(kept(FRAME_HEAD_MAX - 1, steps[i]), FRAME_HEAD_MAX - 1);
        assert_int_equal(kept(FRAME_HEAD_MAX, steps[i]), FRAME_HEAD_MAX);
        assert_int_equal(kept(FRAME_HEAD_MAX + 1, steps[i]), FRAME_HEAD_MAX);
        assert_int_equal(kept(3 * FRAME_HEAD_MAX, steps[i]), FRAME_HEAD_MAX);
    }
}

/* Long names, words and values leave the state as large as it is: sanitizers see to the rest. */
static void long_words_split_anywhere(void **state)
{
    (void)state;
    static char word[2000];
    struct transcript *t = &whole;

    memset(word, 'c', sizeof(word) - 1);
    for (size_t step = 1; step < 40; step += 13) {
        const char *const parts[] = {word, " / HTTP/1.1\r\n", word, ": ",
                                     word, "\r\nConnection:", word, "\r\nUpgrade: ",
                                     word, "\r\n\r\n"};
        memset(t, 0, sizeof(*t));
        for (size_t i = 0; i < COUNT(parts); i++) {
            for (size_t at = 0, n, length = strlen(parts[i]); at < length; at += n) {
                n = length - at < step ? length - at : step;
                transcript_feed(t, SIDE_REQUEST, parts[i] + at, n);
            }
        }
        assert_int_equal(t->side[SIDE_REQUEST].number, 1);
        assert_int_equal(http1_outstanding(&t->frame), 1);
    }
}

static void a_body_is_one_step(void **state)
{
    (void)state;
    static const char bytes[] = OK CHUNKED "3\r\nabc\r\n1;x\r\nd\r\n0\r\nA: b\r\n\r\n";
    struct http1_frame f = {0};
    struct frame_step out;
    size_t length = sizeof(bytes) - 1;

    http1_step(&f, SIDE_REQUEST, (const uint8_t *)GET, sizeof(GET) - 1, &out);
    assert_int_equal(out.flags, FRAME_FIRST | FRAME_HEAD_END | FRAME_END);
    http1_step(&f, SIDE_RESPONSE, (const uint8_t *)bytes, length, &out);
    assert_int_equal(out.flags, FRAME_FIRST | FRAME_HEAD_END);
    assert_int_equal(out.used, sizeof(OK CHUNKED) - 1);
    length -= out.used;
    http1_step(&f, SIDE_RESPONSE, (const uint8_t *)bytes + out.used, length, &out);
    assert_true(out.what == FRAME_BODY && out.flags == FRAME_END && out.used == length);
    assert_int_equal(out.body, 4);
    assert_int_equal(out.number, 1);
}

/* -------- two threads */

enum { EXCHANGES = 20000 };

/* Requests, never more than the bound ahead of the responses. */
static void *ask(void *frame)
{
    struct http1_frame *f = frame;
    struct frame_step out;
    uintptr_t wrong = 0;

    for (unsigned i = 1; i <= EXCHANGES; i++) {
        const char *text = i % 3 ? GET : "HEAD / HTTP/1.1\r\n\r\n";
        while (http1_outstanding(f) == HTTP1_OUTSTANDING)
            sched_yield();
        http1_step(f, SIDE_REQUEST, (const uint8_t *)text, strlen(text), &out);
        wrong += out.what != FRAME_HEAD || out.number != i || !(out.flags & FRAME_END);
    }
    return (void *)wrong;
}

static void sides_are_fed_on_two_threads(void **state)
{
    (void)state;
    static struct http1_frame f;
    static const char answer[] = OK "Content-Length: 1\r\n\r\n";
    struct frame_step out;
    unsigned wrong = 0;
    void *wrong_there;
    pthread_t thread;

    memset(&f, 0, sizeof(f));
    assert_int_equal(pthread_create(&thread, NULL, ask, &f), 0);
    for (unsigned i = 1; i <= EXCHANGES; i++) {
        while (!http1_outstanding(&f))
            sched_yield();
        http1_step(&f, SIDE_RESPONSE, (const uint8_t *)answer, sizeof(answer) - 1, &out);
        wrong += out.what != FRAME_HEAD || out.number != i;
        wrong += !(out.flags & FRAME_END) != (i % 3 != 0);
        if (i % 3)
            http1_step(&f, SIDE_RESPONSE, (const uint8_t *)"x", 1, &out);
        wrong += !(out.flags & FRAME_END);
    }
    pthread_join(thread, &wrong_there);
    assert_int_equal(wrong, 0);
    assert_null(wrong_there);
    assert_int_equal(http1_outstanding(&f), 0);
}

/* -------- the first bytes of a connection */

static void first_bytes_decide(void **state)
{
    (void)state;
    const struct {
        const char *bytes;
        int verdict;
    } cases[] = {
        {"GET / HTTP/1.1", 1},   {"PROPPATCH /", 1}, {"CONNECT a:1", 1}, {"GET ", 1},
        {"HTTP/1.1 200 OK", 2},  {"HTTP/1.0 4", 2},  {"GET", -1},        {"P", -1},
        {"HTTP/1.1", -1},        {"H", -1},          {"HTTP/1.x", 0},    {"HTTP/2 200", 0},
        {"PRI * HTTP/2.0\r", 0}, {"get / HTTP", 0},  {"GETX /", 0},      {"SSH-2.0-x", 0},
        {"\x16\x03\x01", 0},     {"\r\n", 0},        {"HTTP/1.1x", 0},   {"FETCH / HTTP/1.1", 0},
        {"OPTIONS", -1},         {"GET\t/", 0},      {"HTTP/1.12", 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t length = strlen(cases[i].bytes);
        uint8_t *exact = malloc(length);
        memcpy(exact, cases[i].bytes, length);
        assert_int_equal(http1_sniff(exact, length), cases[i].verdict);
        free(exact);
    }
}

/* -------- W3C trace context */

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

static int parse(const char *text, struct trace_ids *out)
{
    size_t length = strlen(text);
    uint8_t *exact = malloc(length ? length : 1);

    memcpy(exact, text, length);
    memset(out, 0xa5, sizeof(*out));
    int result = traceparent_parse(exact, length, out);
    free(exact);
    return result;
}

static void contexts_that_are_sound(void **state)
{
    (void)state;
    const struct {
        const char *value;
        uint8_t flags;
    } cases[] = {
        {"00-" TRACE "-" SPAN "-00", 0},
        {"00-" TRACE "-" SPAN "-01", TRACE_SAMPLED},
        {"00-" TRACE "-" SPAN "-02", TRACE_RANDOM},
        {"00-" TRACE "-" SPAN "-03", TRACE_SAMPLED | TRACE_RANDOM},
        {"00-" TRACE "-" SPAN "-ff", TRACE_SAMPLED | TRACE_RANDOM},
        {"00-" TRACE "-" SPAN "-f8", 0},
        {"01-" TRACE "-" SPAN "-01", TRACE_SAMPLED},
        {"cc-" TRACE "-" SPAN "-01-what-the-future-brings", TRACE_SAMPLED},
        {"fe-" TRACE "-" SPAN "-01-", TRACE_SAMPLED},
    };
    static const uint8_t trace[16] = {0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd,
                                      0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c};
    static const uint8_t span[8] = {0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31};

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct trace_ids expected = {.flags = cases[i].flags}, out;
        memcpy(expected.trace_id, trace, 16);
        memcpy(expected.parent_id, span, 8);
        assert_int_equal(parse(cases[i].value, &out), 0);
        assert_memory_equal(&out, &expected, sizeof(out));
    }
}

static void contexts_that_are_none(void **state)
{
    (void)state;
    const char *const cases[] = {
        "",
        "00",
        "00-" TRACE "-" SPAN,
        "00-" TRACE "-" SPAN "-0",
        "00-" TRACE "-" SPAN "-01-",
        "00-" TRACE "-" SPAN "-011",
        "01-" TRACE "-" SPAN "-01.x",
        "01-" TRACE "-" SPAN "-011",
        "ff-" TRACE "-" SPAN "-01",
        "0g-" TRACE "-" SPAN "-01",
        "FE-" TRACE "-" SPAN "-01",
        " 0-" TRACE "-" SPAN "-01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01",
        "00-" TRACE "-B7AD6B7169203331-01",
        "00-" TRACE "-" SPAN "-0A",
        "00-" TRACE "-" SPAN "-0x",
        "00_" TRACE "-" SPAN "-01",
        "00-" TRACE "_" SPAN "-01",
        "00-" TRACE "-" SPAN "_01",
        "00-.af7651916cd43dd8448eb211c80319c-" SPAN "-01",
        "00-" TRACE "-.7ad6b7169203331-01",
    };
    static const struct trace_ids none;

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct trace_ids out;
        assert_int_equal(parse(cases[i], &out), -EINVAL);
        assert_memory_equal(&out, &none, sizeof(out));
    }
}

static void contexts_are_printed(void **state)
{
    (void)state;
    struct trace_ids ids, back;
    char text[TRACEPARENT_LENGTH + 2];

    /* A version that is not known, and flags that are not, go on as version 00 without them. */
    assert_int_equal(parse("5f-" TRACE "-" SPAN "-ff-more", &ids), 0);
    memcpy(ids.span_id, ids.parent_id, 8);
    memset(ids.parent_id, 0x77, 8);
    ids.flags |= 0xf0;
    memset(text, '!', sizeof(text));
    traceparent_print(&ids, (uint8_t *)text);
    assert_int_equal(text[TRACEPARENT_LENGTH], '!');
    text[TRACEPARENT_LENGTH] = 0;
    assert_string_equal(text, "00-" TRACE "-" SPAN "-03");
    assert_int_equal(parse(text, &back), 0);
    assert_memory_equal(back.trace_id, ids.trace_id, 16);
    assert_memory_equal(back.parent_id, ids.span_id, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversations_however_split),
        cmocka_unit_test(hostile_forms_however_split),
        cmocka_unit_test(requests_beyond_the_bound),
        cmocka_unit_test(slots_of_requests_are_used_again),
        cmocka_unit_test(heads_are_kept_up_to_the_bound),
        cmocka_unit_test(long_words_split_anywhere),
        cmocka_unit_test(a_body_is_one_step),
        cmocka_unit_test(sides_are_fed_on_two_threads),
        cmocka_unit_test(first_bytes_decide),
        cmocka_unit_test(contexts_that_are_sound),
        cmocka_unit_test(contexts_that_are_none),
        cmocka_unit_test(contexts_are_printed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
