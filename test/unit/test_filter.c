/* Filters: include, exclude, patterns that are wrong, patterns that would never end. */
#include "fold_fixture.h"

static char *items_in[] = {"^/etc/", "\\.conf$"};
static char *items_out[] = {"passwd"};
static char *items_bad[] = {"(", "ok"};
static char *items_slow[] = {"(a+)+$"};

static void both(void **state)
{
    (void)state;
    struct trouble_list troubles = {0};
    struct conf_list in = {items_in, 2}, out = {items_out, 1}, none = {0};
    struct filter *f = filter_new(&in, &out, "x", &troubles);
    assert_non_null(f);
    assert_true(filter_pass(f, text_of("/etc/hosts")));
    assert_true(filter_pass(f, text_of("/home/a.conf")));
    assert_false(filter_pass(f, text_of("/home/a.txt")));
    assert_false(filter_pass(f, text_of("/etc/passwd")));
    assert_false(filter_pass(f, (struct text){NULL, 0}));
    filter_free(f);
    f = filter_new(&none, &out, "x", &troubles);
    assert_true(filter_pass(f, text_of("anything")));
    assert_false(filter_pass(f, text_of("/etc/passwd")));
    filter_free(f);
    assert_null(filter_new(&none, &none, "x", &troubles));
    assert_true(filter_pass(NULL, text_of("x")));
    assert_int_equal(troubles.count, 0);
}

static unsigned told;
static void on_trouble(void *context, const struct conf_trouble *t)
{
    (void)context;
    told++;
    assert_string_equal(t->origin, "events.file");
    assert_non_null(strstr(t->text, "'('"));
}

static void bad_pattern(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    x->conf.events_file.include = (struct conf_list){items_bad, 2};
    fixture_start(x);
    told = 0;
    fold_troubles(x->fold, on_trouble, NULL);
    fold_troubles(x->fold, on_trouble, NULL);
    assert_int_equal(told, 1);
    assert_true(filter_pass(x->fold->filter_file, text_of("ok")));
    assert_false(filter_pass(x->fold->filter_file, text_of("no")));
    fixture_free(x);
}

static void never_ends(void **state)
{
    (void)state;
    struct trouble_list troubles = {0};
    struct conf_list slow = {items_slow, 1}, none = {0};
    char line[4097];
    memset(line, 'a', 4096);
    line[4095] = 'b';
    line[4096] = 0;
    struct filter *f = filter_new(&none, &slow, "logs", &troubles);
    for (int i = 0; i < 1000; i++) /* would take longer than the universe has been there */
        assert_true(filter_pass(f, text_of(line)));
    assert_int_equal(troubles.count, 1);
    assert_true(filter_pass(f, text_of("aaa"))); /* switched off */
    filter_free(f);
    f = filter_new(&slow, &none, "logs", &troubles);
    for (int i = 0; i < 10; i++) /* what cannot be told apart is kept */
        assert_true(filter_pass(f, text_of(line)));
    filter_free(f);
    trouble_take(&troubles, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(both), cmocka_unit_test(bad_pattern),
                                       cmocka_unit_test(never_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
