/* The queue of log records: whole in, whole out, bounded in number and in bytes. */
#include "fold_fixture.h"

#include <stdio.h>

static struct event *begin(struct fixture *x, const char *name, uint64_t at)
{
    return event_begin(x->fold, name, &scope_file, at, 0);
}

static void kept_whole(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    fixture_start(x);
    char changing[8] = "before";
    struct text list[2] = {text_of(changing), TEXT("")};
    struct event *e = begin(x, "scope.test", SEC);
    event_text(e, "t", text_of(changing));
    event_string(e, "none", NULL);
    event_int(e, "i", -5);
    event_double(e, "d", 0.5);
    event_bool(e, "b", true);
    event_list(e, "l", list, 2);
    e->record.body = text_of(changing);
    event_submit(x->fold, e);
    memset(changing, 'x', 6); /* what was borrowed may change now */
    begin(x, "scope.other", SEC);
    take(x, false);
    assert_int_equal(x->log_count, 1);
    const struct log_record *r = &x->logs[0];
    assert_int_equal(r->attributes.count, 5);
    has_text(r->attributes, "t", "before");
    has_int(r->attributes, "i", -5);
    has_double(r->attributes, "d", 0.5);
    assert_true(find(r->attributes, "b")->boolean);
    const struct attribute *l = find(r->attributes, "l");
    assert_int_equal(l->texts.count, 2);
    assert_true(text_is(l->texts.items[0], "before") && text_is(l->texts.items[1], ""));
    assert_true(text_is(r->body, "before"));
    fixture_free(x);
}

static void too_many_attributes(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    fixture_start(x);
    struct event *e = begin(x, "scope.test", SEC);
    for (int i = 0; i < EVENT_ATTRIBUTES + 3; i++)
        event_int(e, "k", i);
    event_submit(x->fold, e);
    take(x, false);
    assert_int_equal(x->logs[0].attributes.count, EVENT_ATTRIBUTES);
    assert_int_equal(x->logs[0].attributes.dropped, 3);
    fixture_free(x);
}

static void rate(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    x->conf.events_rate = 5;
    fixture_start(x);
    for (int i = 0; i < 8; i++)
        event_submit(x->fold, begin(x, "scope.test", SEC));
    for (int i = 0; i < 3; i++)
        event_submit(x->fold, begin(x, "scope.test", 2 * SEC));
    take(x, false);
    assert_int_equal(x->log_count, 8);
    assert_int_equal(x->fold->drops[DROP_EVENT_RATE], 3);
    fixture_free(x);
}

static void bounded(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    fixture_start(x);
    static char big[64 << 10];
    memset(big, 'x', sizeof(big));
    unsigned n = 2 * (unsigned)READY_BYTES_MAX / sizeof(big);
    for (unsigned i = 0; i < n; i++) {
        struct event *e = begin(x, "scope.test", SEC);
        e->record.body = (struct text){big, sizeof(big)};
        event_submit(x->fold, e);
    }
    assert_true(x->fold->ready_bytes <= READY_BYTES_MAX);
    take(x, false);
    assert_int_equal(x->log_count + x->fold->drops[DROP_STATE], n);
    assert_true(x->log_count >= n / 2 - 2);
    assert_int_equal(x->fold->ready_bytes, 0);
    fixture_free(x);
}

/* An arena that is full ends the batch; what does not fit into any is left out, counted. */
static void small_arena(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    fixture_start(x);
    static char big[20000];
    memset(big, 'x', sizeof(big));
    for (int i = 0; i < 3; i++) {
        struct event *e = begin(x, "scope.test", SEC);
        e->record.body = (struct text){big, i == 1 ? sizeof(big) : 10};
        event_submit(x->fold, e);
    }
    struct arena *small = arena_new(4096);
    struct batch batch;
    size_t total = 0;
    for (int i = 0; i < 5; i++) {
        arena_reset(small);
        total += fold_logs(x->fold, false, 100, small, &batch);
    }
    arena_free(small);
    assert_int_equal(total, 2);
    assert_int_equal(x->fold->drops[DROP_STATE], 1);
    fixture_free(x);
}

static void at_most(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    fixture_start(x);
    for (int i = 0; i < 10; i++)
        event_submit(x->fold, begin(x, "scope.test", SEC));
    struct batch batch;
    assert_int_equal(fold_logs(x->fold, false, 4, x->arena, &batch), 4);
    assert_int_equal(batch.count, 4);
    assert_int_equal(batch.signal, SIGNAL_LOGS);
    assert_non_null(batch.resource);
    assert_int_equal(fold_logs(x->fold, false, 4, x->arena, &batch), 4);
    assert_int_equal(fold_logs(x->fold, false, 4, x->arena, &batch), 2);
    assert_int_equal(fold_logs(x->fold, false, 4, x->arena, &batch), 0);
    fixture_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_whole),  cmocka_unit_test(too_many_attributes),
        cmocka_unit_test(rate),        cmocka_unit_test(bounded),
        cmocka_unit_test(small_arena), cmocka_unit_test(at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
