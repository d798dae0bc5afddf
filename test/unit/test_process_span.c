/* The process as a span: what it says, and when there is none. */
#include "fold_fixture.h"

#include <errno.h>
#include <stdio.h>

#include "report/fold_process.h"

static struct fixture *begin(void)
{
    struct fixture *x = fixture_new();
    x->region->watch = WATCH_TRACES | WATCH_PROCESS_SPAN;
    x->region->process_since = EPOCH + SEC;
    x->region->process.flags = TRACE_SAMPLED | TRACE_RANDOM;
    x->region->process.remote = 1;
    for (int i = 0; i < 16; i++)
        x->region->process.trace_id[i] = (uint8_t)(i + 1);
    memset(x->region->process.span_id, 0xab, 8);
    memset(x->region->process.parent_id, 0xcd, 8);
    fixture_start(x);
    return x;
}

static struct record end_of(enum op op, int64_t result)
{
    return (struct record){
        .type = RECORD_EXIT, .op = (uint8_t)op, .start = 3 * SEC, .end = 3 * SEC, .result = result};
}

static bool make(struct fixture *x, enum op op, int64_t result, struct span *span)
{
    struct record r = end_of(op, result);
    return process_span(x->fold, &r, x->arena, span);
}

static void whole(void **state)
{
    (void)state;
    struct fixture *x = begin();
    struct span s;
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[n] = 0;

    assert_true(make(x, OP_EXIT, 0, &s));
    assert_true(text_is(s.name, strrchr(exe, '/') + 1));
    assert_int_equal(s.kind, SPAN_INTERNAL);
    assert_int_equal(s.start_time, EPOCH + SEC);
    assert_int_equal(s.end_time, EPOCH + 3 * SEC);
    assert_memory_equal(s.trace_id, x->region->process.trace_id, 16);
    assert_memory_equal(s.span_id, x->region->process.span_id, 8);
    assert_memory_equal(s.parent_span_id, x->region->process.parent_id, 8);
    assert_int_equal(s.flags, 0x303);
    assert_int_equal(s.status, STATUS_UNSET);
    assert_true(text_is(s.scope->name, "scope.process"));
    has_text(s.attributes, "process.executable.name", strrchr(exe, '/') + 1);
    has_int(s.attributes, "process.pid", getpid());
    has_int(s.attributes, "process.parent_pid", getppid());
    has_int(s.attributes, "process.exit.code", 0);
    has_not(s.attributes, "error.type");
    const struct attribute *arguments = find(s.attributes, "process.command_args");
    assert_int_equal(arguments->type, VALUE_TEXTS);
    assert_int_equal(arguments->texts.count, 1);
    assert_int_equal(s.trace_state.length, 0);
    fixture_free(x);
}

static void failures(void **state)
{
    (void)state;
    struct fixture *x = begin();
    struct span s;

    assert_true(make(x, OP_EXIT, 256 + 3, &s)); /* exit(259): the parent sees 3 */
    assert_int_equal(s.status, STATUS_ERROR);
    has_int(s.attributes, "process.exit.code", 3);
    has_text(s.attributes, "error.type", "3");
    assert_true(make(x, OP_EXIT, 256, &s));
    assert_int_equal(s.status, STATUS_UNSET);
    has_int(s.attributes, "process.exit.code", 0);
    assert_true(make(x, OP_EXIT, -1, &s));
    has_int(s.attributes, "process.exit.code", 255);
    assert_true(make(x, OP_ABORT, 134, &s));
    assert_int_equal(s.status, STATUS_ERROR);
    has_text(s.attributes, "error.type", "SIGABRT");
    has_not(s.attributes, "process.exit.code");
    fixture_free(x);
}

static void roots_and_clocks(void **state)
{
    (void)state;
    struct fixture *x = begin();
    struct span s;
    static const uint8_t none[8];

    x->region->process.remote = 0;
    memset(x->region->process.parent_id, 0, 8);
    x->region->process_since = EPOCH + 9 * SEC; /* the wall clock was set back meanwhile */
    assert_true(make(x, OP_EXIT, 0, &s));
    assert_memory_equal(s.parent_span_id, none, 8);
    assert_int_equal(s.flags, 0x103);
    assert_int_equal(s.end_time, s.start_time);
    fixture_free(x);
}

static void none_where_none_is(void **state)
{
    (void)state;
    struct fixture *x = begin();
    struct span s;

    x->region->process.flags = TRACE_RANDOM;
    assert_false(make(x, OP_EXIT, 0, &s));
    x->region->process.flags = TRACE_SAMPLED;
    x->region->watch = WATCH_TRACES; /* region->process came from outside */
    assert_false(make(x, OP_EXIT, 0, &s));
    fixture_free(x);
}

/* An exec is no end, and one that fails is none either. */
static void put_at_the_end_alone(void **state)
{
    (void)state;
    struct fixture *x = begin();
    struct batch batch;

    put(x, (struct record){.type = RECORD_EXEC, .op = OP_EXEC, .end = SEC}, "/bin/ls\0ls", 10);
    take(x, true);
    assert_int_equal(fold_spans(x->fold, 9, x->arena, &batch), 0);
    put(x,
        (struct record){.type = RECORD_EXEC_FAILED, .op = OP_EXEC, .end = SEC, .result = -ENOENT},
        "/bin/ls", 7);
    take(x, true);
    assert_int_equal(fold_spans(x->fold, 9, x->arena, &batch), 0);
    put(x, end_of(OP_EXIT, 127), NULL, 0);
    assert_int_equal(fold_spans(x->fold, 9, x->arena, &batch), 1);
    has_int(batch.spans[0].attributes, "process.exit.code", 127);
    take(x, true);
    assert_int_equal(fold_spans(x->fold, 9, x->arena, &batch), 0);
    fixture_free(x);
}

static void state_goes_with_its_trace(void **state)
{
    (void)state;
    struct fixture *x = begin();
    static const char same[] =
        "A=1\0TRACESTATE=k=v,l=w\0"
        "TRACEPARENT=00-0102030405060708090a0b0c0d0e0f10-1111111111111111-01";
    static const char other[] =
        "TRACESTATE=k=v\0TRACEPARENT=00-f102030405060708090a0b0c0d0e0f10-1111111111111111-01";
    static const char broken[] =
        "TRACESTATE=k=v\0TRACEPARENT=00-0102030405060708090a0b0c0d0e0f10-1111111111111111";
    static const char alone[] = "TRACESTATE=k=v";
#define STATE_OF(environment) \
    process_read_trace_state(x->fold, x->arena, environment, sizeof(environment))

    assert_true(text_is(STATE_OF(same), "k=v,l=w"));
    assert_int_equal(STATE_OF(other).length, 0);
    assert_int_equal(STATE_OF(broken).length, 0);
    assert_int_equal(STATE_OF(alone).length, 0);
    assert_int_equal(process_read_trace_state(x->fold, x->arena, NULL, 0).length, 0);
    x->region->watch = 0;
    assert_int_equal(STATE_OF(same).length, 0);
    fixture_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),
        cmocka_unit_test(failures),
        cmocka_unit_test(roots_and_clocks),
        cmocka_unit_test(none_where_none_is),
        cmocka_unit_test(put_at_the_end_alone),
        cmocka_unit_test(state_goes_with_its_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
