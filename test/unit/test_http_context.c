/*
 * Contexts that come with a request: one row for every clause of W3C trace context that binds a
 * receiver, and B3 in both of its forms.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http_message.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define T "4bf92f3577b34da6a3ce929d0e0e4736"
#define S "00f067aa0ba902b7"
#define TP "traceparent: 00-" T "-" S "-01\r\n"

struct row {
    const char *clause, *lines;
    bool b3, found;
    unsigned flags;
    const char *state;
    bool deferred;
};

static void hex(const uint8_t *bytes, size_t count, char *out)
{
    for (size_t i = 0; i < count; i++)
        sprintf(out + 2 * i, "%02x", bytes[i]);
}

/* As the row says; trace: the expected id. */
static void check(const struct row *row, const char *lines, const char *trace)
{
    static const struct trace_ids none;
    size_t room = strlen(lines) + 64;
    char *head = malloc(room), id[33], span[17];
    size_t length = (size_t)snprintf(head, room, "GET / HTTP/1.1\r\n%s\r\n", lines);
    char *exact = realloc(head, length);
    struct arena *arena = arena_new(1 << 20);
    struct http_message m;
    struct trace_ids ids;
    struct text state;
    bool deferred;

    memset(&ids, 0xa5, sizeof(ids));
    assert_int_equal(http1_parse(exact, length, arena, &m), 0);
    bool found = http_context(&m, row->b3 ? HTTP_CONTEXT_W3C_B3 : HTTP_CONTEXT_W3C, &ids, &state,
                              &deferred, arena);
    if (found != row->found)
        fail_msg("%s: %s a context", row->clause, found ? "took" : "refused");
    if (!text_is(state, row->state ? row->state : ""))
        fail_msg("%s: state \"%.*s\"", row->clause, (int)state.length, state.data);
    if (deferred != row->deferred)
        fail_msg("%s: deferred", row->clause);
    if (found) {
        hex(ids.trace_id, 16, id);
        hex(ids.parent_id, 8, span);
        if (strcmp(id, trace) || strcmp(span, S))
            fail_msg("%s: %s %s", row->clause, id, span);
        if (ids.flags != row->flags)
            fail_msg("%s: flags %02x", row->clause, ids.flags);
        assert_int_equal(ids.remote, 1);
        assert_memory_equal(ids.span_id, none.span_id, sizeof(none.span_id));
    } else {
        assert_memory_equal(&ids, &none, sizeof(none));
    }
    arena_free(arena);
    free(exact);
}

static void test_traceparent(void **state)
{
#define IN(value) "traceparent: " value "\r\ntracestate: a=1\r\n"
    static const struct row rows[] = {
        {"00-<32>-<16>-<2>", IN("00-" T "-" S "-01"), .found = true, .flags = 1, .state = "a=1"},
        {"not sampled", IN("00-" T "-" S "-00"), .found = true, .flags = 0, .state = "a=1"},
        {"random alone", IN("00-" T "-" S "-02"), .found = true, .flags = 2, .state = "a=1"},
        {"random is continued", IN("00-" T "-" S "-03"), .found = true, .flags = 3, .state = "a=1"},
        {"other bits are not", IN("00-" T "-" S "-ff"), .found = true, .flags = 3, .state = "a=1"},
        {"other bits alone", IN("00-" T "-" S "-fc"), .found = true, .flags = 0, .state = "a=1"},
        {"white space around", IN(" \t00-" T "-" S "-01\t "), .found = true, .flags = 1,
         .state = "a=1"},
        {"trace id zero", IN("00-00000000000000000000000000000000-" S "-01"), .b3 = false},
        {"span id zero", IN("00-" T "-0000000000000000-01"), .b3 = false},
        {"version ff", IN("ff-" T "-" S "-01"), .b3 = false},
        {"version ff, longer", IN("ff-" T "-" S "-01-x"), .b3 = false},
        {"higher version", IN("cc-" T "-" S "-01"), .found = true, .flags = 1, .state = "a=1"},
        {"higher version, more", IN("01-" T "-" S "-01-what the future will be like"),
         .found = true, .flags = 1, .state = "a=1"},
        {"higher version, dash", IN("cc-" T "-" S "-01-"), .found = true, .flags = 1,
         .state = "a=1"},
        {"higher version, no dash", IN("cc-" T "-" S "-01.what"), .b3 = false},
        {"higher version, more hex", IN("cc-" T "-" S "-012"), .b3 = false},
        {"higher version, short", IN("cc-" T "-" S "-0"), .b3 = false},
        {"version 00, longer", IN("00-" T "-" S "-01-x"), .b3 = false},
        {"version 00, dash", IN("00-" T "-" S "-01-"), .b3 = false},
        {"version 00, short", IN("00-" T "-" S "-1"), .b3 = false},
        {"version upper case", IN("CC-" T "-" S "-01"), .b3 = false},
        {"version not hex", IN(".0-" T "-" S "-01"), .b3 = false},
        {"trace upper case", IN("00-4BF92F3577B34DA6A3CE929D0E0E4736-" S "-01"), .b3 = false},
        {"span upper case", IN("00-" T "-00F067AA0BA902B7-01"), .b3 = false},
        {"flags upper case", IN("00-" T "-" S "-0B"), .b3 = false},
        {"trace not hex", IN("00-4bf92f3577b34da6a3ce929d0e0e473g-" S "-01"), .b3 = false},
        {"trace short", IN("00-4bf92f3577b34da6a3ce929d0e0e473-" S "-01"), .b3 = false},
        {"underscores", IN("00_" T "_" S "_01"), .b3 = false},
        {"empty", IN(""), .b3 = false},
        {"a list", IN("00-" T "-" S "-01,00-" T "-" S "-01"), .b3 = false},
        {"twice", IN("00-" T "-" S "-01") IN("00-" T "-" S "-01"), .b3 = false},
        {"twice, one bad", IN("00-" T "-" S "-01") IN("x"), .b3 = false},
        {"tracestate alone", "tracestate: a=1\r\n", .b3 = false},
        {"nothing", "host: a\r\n", .b3 = false},
        {"names without regard to case", "TraceParent: 00-" T "-" S "-01\r\nTRACESTATE: a=1\r\n",
         .found = true, .flags = 1, .state = "a=1"},
        {"the name whole", "trace-parent: 00-" T "-" S "-01\r\n", .b3 = false},
        {"no white space in front of the colon", "traceparent : 00-" T "-" S "-01\r\n",
         .b3 = false},
        {"cut in the middle", "traceparent: 00-" T "-" S "-01\r\ntracestate: a=1\r\nhost: a",
         .found = true, .flags = 1, .state = "a=1"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check(&rows[i], rows[i].lines, T);
}

#define K10 "abcdefghij"
#define K50 K10 K10 K10 K10 K10
#define K250 K50 K50 K50 K50 K50
#define M8 "a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8"
#define STATE(value) TP "tracestate: " value "\r\n"

static void test_tracestate(void **state)
{
    static const struct row rows[] = {
        {"one", STATE("a=1"), .state = "a=1"},
        {"order is kept", STATE("b=2,a=1"), .state = "b=2,a=1"},
        {"several fields combine in order",
         TP "tracestate: a=1\r\nhost: x\r\nTraceState: b=2,c=3\r\ntracestate: d=4\r\n",
         .state = "a=1,b=2,c=3,d=4"},
        {"state before parent", "tracestate: a=1\r\n" TP, .state = "a=1"},
        {"white space around members", STATE("a=1 \t,\t b=2 "), .state = "a=1,b=2"},
        {"white space within a value", STATE("a=1 2,b= 3"), .state = "a=1 2,b= 3"},
        {"empty members", STATE(",a=1,, ,b=2,"), .state = "a=1,b=2"},
        {"empty fields", TP "tracestate:\r\ntracestate: a=1\r\ntracestate: ,\r\n", .state = "a=1"},
        {"empty", STATE(""), .b3 = false},
        {"nothing but commas", STATE(",,,"), .b3 = false},
        {"others' keys are not touched", STATE("a=1,a=2,ot=th:8;rv:1"),
         .state = "a=1,a=2,ot=th:8;rv:1"},
        {"key of every kind", STATE("0a_*/@-z=1"), .state = "0a_*/@-z=1"},
        {"tenant and system", STATE("t@s=1"), .state = "t@s=1"},
        {"value of every kind", STATE("a=!\"#$%&'()*+-./:;<>?@[\\]^_`{|}~"),
         .state = "a=!\"#$%&'()*+-./:;<>?@[\\]^_`{|}~"},
        {"32 members", STATE(M8 "," M8 "," M8 "," M8), .state = M8 "," M8 "," M8 "," M8},
        {"32 in several fields", STATE(M8 "," M8) "tracestate: " M8 "," M8 "\r\n",
         .state = M8 "," M8 "," M8 "," M8},
        {"33 members", STATE(M8 "," M8 "," M8 "," M8 ",i=9"), .b3 = false},
        {"33 in several fields", STATE(M8 "," M8 "," M8 "," M8) "tracestate: i=9\r\n", .b3 = false},
        {"key of 256", STATE(K250 "abcdef=1"), .state = K250 "abcdef=1"},
        {"key of 257", STATE(K250 "abcdefg=1"), .b3 = false},
        {"value of 256", STATE("a=" K250 "abcdef"), .state = "a=" K250 "abcdef"},
        {"value of 257", STATE("a=" K250 "abcdefg"), .b3 = false},
        {"512 characters and more", STATE("a=" K250 ",b=" K250 ",c=" K250),
         .state = "a=" K250 ",b=" K250 ",c=" K250},
        {"key begins with _", STATE("_a=1"), .b3 = false},
        {"key begins with @", STATE("@a=1"), .b3 = false},
        {"key upper case", STATE("A=1"), .b3 = false},
        {"key upper case within", STATE("aB=1"), .b3 = false},
        {"key with a dot", STATE("a.b=1"), .b3 = false},
        {"white space in a key", STATE("a b=1"), .b3 = false},
        {"white space behind a key", STATE("a =1"), .b3 = false},
        {"key beyond ASCII", STATE("a\xc3\xa4=1"), .b3 = false},
        {"no key", STATE("=1"), .b3 = false},
        {"no value", STATE("a="), .b3 = false},
        {"no =", STATE("a"), .b3 = false},
        {"= in a value", STATE("a=1=2"), .b3 = false},
        {"control in a value", STATE("a=1\x01"), .b3 = false},
        {"tab in a value", STATE("a=1\t2"), .b3 = false},
        {"value beyond ASCII", STATE("a=\xc3\xa4"), .b3 = false},
        {"DEL", STATE("a=\x7f"), .b3 = false},
        {"one bad voids all", STATE("a=1,B=2,c=3"), .b3 = false},
        {"a bad one in another field", STATE("a=1") "tracestate: B=2\r\n", .b3 = false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct row row = rows[i];
        row.found = true;
        row.flags = 1;
        check(&row, row.lines, T);
    }
}

static void test_b3_single(void **state)
{
    static const struct row rows[] = {
        {"accept", "b3: " T "-" S "-1\r\n", .b3 = true, .found = true, .flags = 1},
        {"deny", "b3: " T "-" S "-0\r\n", .b3 = true, .found = true},
        {"debug", "b3: " T "-" S "-d\r\n", .b3 = true, .found = true, .flags = 1},
        {"deferred", "B3: " T "-" S "\r\n", .b3 = true, .found = true, .deferred = true},
        {"with parent", "b3: " T "-" S "-1-05e3ac9a4f6e3b90\r\n", .b3 = true, .found = true,
         .flags = 1},
        {"not asked for", "b3: " T "-" S "-1\r\n", .b3 = false},
        {"traceparent goes before", TP "b3: " T "-" S "-0\r\n", .b3 = true, .found = true,
         .flags = 1},
        {"a bad traceparent too", "traceparent: x\r\nb3: " T "-" S "-1\r\n", .b3 = true},
        {"two traceparents too", TP TP "b3: " T "-" S "-1\r\n", .b3 = true},
        {"no state of another's", "tracestate: a=1\r\nb3: " T "-" S "-1\r\n", .b3 = true,
         .found = true, .flags = 1},
        {"decision alone", "b3: 0\r\n", .b3 = true},
        {"decision alone goes before several",
         "b3: 0\r\nX-B3-TraceId: " T "\r\nX-B3-SpanId: " S "\r\n", .b3 = true},
        {"bad one, several good",
         "b3: x\r\nX-B3-TraceId: " T "\r\nX-B3-SpanId: " S "\r\nX-B3-Sampled: 1\r\n", .b3 = true,
         .found = true, .flags = 1},
        {"twice", "b3: " T "-" S "-1\r\nb3: " T "-" S "-1\r\n", .b3 = true},
        {"empty", "b3:\r\n", .b3 = true},
        {"trace alone", "b3: " T "\r\n", .b3 = true},
        {"trace zero", "b3: 00000000000000000000000000000000-" S "-1\r\n", .b3 = true},
        {"span zero", "b3: " T "-0000000000000000-1\r\n", .b3 = true},
        {"upper case", "b3: 4BF92F3577B34DA6A3CE929D0E0E4736-" S "-1\r\n", .b3 = true},
        {"span long", "b3: " T "-" T "-1\r\n", .b3 = true},
        {"decision unknown", "b3: " T "-" S "-2\r\n", .b3 = true},
        {"decision a word", "b3: " T "-" S "-true\r\n", .b3 = true},
        {"decision empty", "b3: " T "-" S "-\r\n", .b3 = true},
        {"parent bad", "b3: " T "-" S "-1-x\r\n", .b3 = true},
        {"parent empty", "b3: " T "-" S "-1-\r\n", .b3 = true},
        {"too much", "b3: " T "-" S "-1-05e3ac9a4f6e3b90-1\r\n", .b3 = true},
    };
    static const struct row is_short = {"8 bytes", "", .b3 = true, .found = true, .flags = 1};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check(&rows[i], rows[i].lines, T);
    check(&is_short, "b3: a3ce929d0e0e4736-" S "-1\r\n", "0000000000000000a3ce929d0e0e4736");
    check(&is_short, "x-b3-traceid: a3ce929d0e0e4736\r\nx-b3-spanid: " S "\r\nx-b3-sampled: 1\r\n",
          "0000000000000000a3ce929d0e0e4736");
}

static void test_b3_several(void **state)
{
#define IDS "X-B3-TraceId: " T "\r\nX-B3-SpanId: " S "\r\n"
    static const struct row rows[] = {
        {"accept", IDS "X-B3-Sampled: 1\r\n", .b3 = true, .found = true, .flags = 1},
        {"deny", IDS "X-B3-Sampled: 0\r\n", .b3 = true, .found = true},
        {"as of old", IDS "X-B3-Sampled: true\r\n", .b3 = true, .found = true, .flags = 1},
        {"as of old, deny", IDS "x-b3-sampled: False\r\n", .b3 = true, .found = true},
        {"debug", IDS "X-B3-Flags: 1\r\n", .b3 = true, .found = true, .flags = 1},
        {"debug accepts", IDS "X-B3-Flags: 1\r\nX-B3-Sampled: 0\r\n", .b3 = true, .found = true,
         .flags = 1},
        {"no debug", IDS "X-B3-Flags: 0\r\nX-B3-Sampled: 1\r\n", .b3 = true, .found = true,
         .flags = 1},
        {"deferred", IDS "X-B3-ParentSpanId: 05e3ac9a4f6e3b90\r\n", .b3 = true, .found = true,
         .deferred = true},
        {"a decision that we do not know", IDS "X-B3-Sampled: maybe\r\n", .b3 = true, .found = true,
         .deferred = true},
        {"two decisions", IDS "X-B3-Sampled: 1\r\nX-B3-Sampled: 0\r\n", .b3 = true, .found = true,
         .deferred = true},
        {"single goes before", "b3: " T "-" S "-1\r\n" IDS "X-B3-Sampled: 0\r\n", .b3 = true,
         .found = true, .flags = 1},
        {"not asked for", IDS "X-B3-Sampled: 1\r\n", .b3 = false},
        {"no span", "X-B3-TraceId: " T "\r\nX-B3-Sampled: 1\r\n", .b3 = true},
        {"no trace", "X-B3-SpanId: " S "\r\nX-B3-Sampled: 1\r\n", .b3 = true},
        {"two spans", IDS "X-B3-SpanId: " S "\r\n", .b3 = true},
        {"two traces", IDS "X-B3-TraceId: " T "\r\n", .b3 = true},
        {"bad span", "X-B3-TraceId: " T "\r\nX-B3-SpanId: x\r\n", .b3 = true},
        {"bad trace", "X-B3-TraceId: " S T "\r\nX-B3-SpanId: " S "\r\n", .b3 = true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check(&rows[i], rows[i].lines, T);
}

/* What is not asked for is not looked at: not even what would go before, or void the other. */
static void test_formats(void **state)
{
    static const char both[] = "GET / HTTP/1.1\r\n" TP "b3: a3ce929d0e0e4736-" S "-1\r\n\r\n";
    static const char bad[] = "GET / HTTP/1.1\r\ntraceparent: x\r\nb3: " T "-" S "-1\r\n\r\n";
    struct arena *arena = arena_new(1 << 20);
    struct http_message m;
    struct trace_ids ids;
    struct text text;
    bool deferred;

    (void)state;
    assert_int_equal(http1_parse(both, sizeof(both) - 1, arena, &m), 0);
    assert_true(http_context(&m, HTTP_CONTEXT_W3C_B3, &ids, &text, &deferred, arena));
    assert_int_equal(ids.trace_id[0], 0x4b);
    assert_true(http_context(&m, HTTP_CONTEXT_B3, &ids, &text, &deferred, arena));
    assert_int_equal(ids.trace_id[0], 0);
    assert_int_equal(ids.trace_id[8], 0xa3);
    assert_false(http_context(&m, HTTP_CONTEXT_NONE, &ids, &text, &deferred, arena));
    assert_int_equal(http1_parse(bad, sizeof(bad) - 1, arena, &m), 0);
    assert_false(http_context(&m, HTTP_CONTEXT_W3C_B3, &ids, &text, &deferred, arena));
    assert_true(http_context(&m, HTTP_CONTEXT_B3, &ids, &text, &deferred, arena));
    arena_free(arena);
}

static void test_state_needs_memory(void **state)
{
    static const char one[] = "GET / HTTP/1.1\r\n" TP "tracestate: a=1\r\n\r\n";
    static const char two[] = "GET / HTTP/1.1\r\n" TP "tracestate: a=1\r\ntracestate: b=2\r\n\r\n";
    struct arena *full = arena_new(0);
    struct http_message m;
    struct trace_ids ids;
    struct text text;
    bool deferred;

    (void)state;
    assert_int_equal(http1_parse(one, sizeof(one) - 1, full, &m), 0);
    assert_true(http_context(&m, HTTP_CONTEXT_W3C, &ids, &text, &deferred, full));
    assert_true(text_is(text, "a=1"));
    assert_true(text.data > one && text.data < one + sizeof(one));
    assert_int_equal(http1_parse(two, sizeof(two) - 1, full, &m), 0);
    assert_true(http_context(&m, HTTP_CONTEXT_W3C, &ids, &text, &deferred, full));
    assert_int_equal(text.length, 0);
    arena_free(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traceparent), cmocka_unit_test(test_tracestate),
        cmocka_unit_test(test_b3_single),   cmocka_unit_test(test_b3_several),
        cmocka_unit_test(test_formats),     cmocka_unit_test(test_state_needs_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
