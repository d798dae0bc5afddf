/*
 * The section traces: defaults, every source, and what cannot be used.
 */
#include "test_conf.h"

static void one(const struct conf_list *list, size_t at, const char *want)
{
    assert_true(list->count > at);
    assert_string_equal(list->items[at], want);
}

static void defaults(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(ENVIRONMENT((char *)"A=b"), NULL, &r);
    empty(&r);
    assert_true(c->traces);
    assert_int_equal(c->sampler, SAMPLER_PARENT_ALWAYS_ON);
    assert_true(c->sampler_ratio == 1);
    assert_int_equal(c->propagators.count, 2);
    one(&c->propagators, 0, "tracecontext");
    one(&c->propagators, 1, "baggage");
    assert_false(c->traces_inject);
    assert_int_equal(c->traces_routes.count, 0);
    assert_int_equal(c->traces_headers.count, 0);
    assert_int_equal(c->traces_processes, TRACES_PROCESSES_AUTO);
    assert_int_equal(c->traces_adopt_age, 300 * SECONDS);
    assert_int_equal(c->traces_adopt_children, 1000);
    assert_int_equal(c->traces_file_slow, SECONDS / 100);
    assert_int_equal(c->traces_sdk, TRACES_SDK_AUTO);
    assert_int_equal(c->exemplars, EXEMPLARS_TRACE_BASED);
    conf_free(c);
}

static void all_set(const struct conf *c)
{
    assert_int_equal(c->sampler, SAMPLER_RATIO);
    assert_true(c->sampler_ratio == 0.25);
    assert_int_equal(c->propagators.count, 2);
    one(&c->propagators, 0, "b3");
    one(&c->propagators, 1, "b3multi");
    assert_true(c->traces_inject);
    assert_int_equal(c->traces_routes.count, 2);
    one(&c->traces_routes, 0, "/users/{id}");
    one(&c->traces_routes, 1, "/files/{name}/raw");
    assert_int_equal(c->traces_headers.count, 2);
    one(&c->traces_headers, 0, "x-request-id");
    one(&c->traces_headers, 1, "X-Api-Key!");
    assert_int_equal(c->traces_processes, TRACES_PROCESSES_ON);
    assert_int_equal(c->traces_adopt_age, 90 * SECONDS);
    assert_int_equal(c->traces_adopt_children, 7);
    assert_int_equal(c->traces_file_slow, 0);
    assert_int_equal(c->traces_sdk, TRACES_SDK_IGNORE);
}

static void of_the_file(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_text("traces:\n  sampler: ratio\n  ratio: 0.25\n"
                               "  propagators: [b3, b3multi]\n  inject: on\n"
                               "  routes: ['/users/{id}', '/files/{name}/raw']\n"
                               "  headers: [x-request-id, X-Api-Key!]\n  processes: on\n"
                               "  adopt_age: 90s\n  adopt_children: 7\n  file_slow: 0s\n"
                               "  sdk: ignore\n",
                               (struct conf_input){NOWHERE}, &r);
    empty(&r);
    assert_true(c->traces);
    all_set(c);
    /* What is printed reads back. */
    char *text = printed(c);
    conf_free(c);
    c = load_text(text, (struct conf_input){NOWHERE}, &r);
    empty(&r);
    all_set(c);
    conf_free(c);
    free(text);
    c = load_text("traces: off\n", (struct conf_input){NOWHERE}, &r);
    empty(&r);
    assert_false(c->traces);
    conf_free(c);
}

static void of_variables(void **state)
{
    (void)state;
    struct reported r;
    char *variables[] = {
        (char *)"SCOPE_TRACES_SAMPLER=ratio", (char *)"SCOPE_TRACES_RATIO=0.25",
        (char *)"SCOPE_TRACES_PROPAGATORS=b3,b3multi", (char *)"SCOPE_TRACES_INJECT=true",
        (char *)"SCOPE_TRACES_ROUTES=/users/{id},/files/{name}/raw",
        (char *)"SCOPE_TRACES_HEADERS=x-request-id,X-Api-Key!", (char *)"SCOPE_TRACES_PROCESSES=on",
        (char *)"SCOPE_TRACES_ADOPT_AGE=90s", (char *)"SCOPE_TRACES_ADOPT_CHILDREN=7",
        (char *)"SCOPE_TRACES_FILE_SLOW=0s", (char *)"SCOPE_TRACES_SDK=ignore",
        (char *)"SCOPE_TRACES=false",
        /* Ours are stronger than OpenTelemetry's. */
        (char *)"OTEL_TRACES_SAMPLER=always_off", (char *)"OTEL_PROPAGATORS=none", NULL};
    struct conf *c = load_with(variables, NULL, &r);
    empty(&r);
    assert_false(c->traces);
    all_set(c);
    conf_free(c);
    c = load_with(variables, ENVIRONMENT((char *)"traces.enabled=true", (char *)"traces.headers="),
                  &r);
    empty(&r);
    assert_true(c->traces);
    assert_int_equal(c->traces_headers.count, 0);
    conf_free(c);
}

/* What cannot be used is told with its place; its neighbours are used. */
static void troubles(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *report;
    } cases[] = {
        {"routes: [users, /a]", "f:1:19: traces.routes: \"users\" does not begin with a slash; "
                                "allowed: a list of paths such as /users/{id}\n"},
        {"headers: ['a b', a]",
         "f:1:20: traces.headers: \"a b\" is no header's name; allowed: a list of names of "
         "headers, with ! behind what is not redacted\n"},
        {"headers: [a, 'x: y!']",
         "f:1:23: traces.headers: \"x: y!\" is no header's name; allowed: a list of names of "
         "headers, with ! behind what is not redacted\n"},
        {"propagators: [xray, b3]", "f:1:24: traces.propagators: \"xray\" is none of the choices; "
                                    "allowed: a list of tracecontext, baggage, b3, b3multi\n"},
        {"ratio: 1.5", "f:1:17: traces.ratio: \"1.5\" is no such number; allowed: a number from 0 "
                       "to 1\n"},
        {"sampler: always_on",
         "f:1:19: traces.sampler: \"always_on\" is none of the choices; allowed: parent_on, on, "
         "off, ratio, parent_off, parent_ratio\n"},
        {"processes: maybe", "f:1:21: traces.processes: \"maybe\" is none of the choices; allowed: "
                             "auto, on, off\n"},
        {"sdk: off", "f:1:15: traces.sdk: \"off\" is none of the choices; allowed: auto, ignore\n"},
        {"adopt_age: 5", "f:1:21: traces.adopt_age: \"5\" is not a duration (a number and its "
                         "unit); allowed: a duration such as 10s or 500ms, from 0s to 1d\n"},
        {"adopt_children: -1",
         "f:1:26: traces.adopt_children: \"-1\" is not a whole number; allowed: a whole number "
         "from 0 to 100000000\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char yaml[200];
        struct reported r;
        snprintf(yaml, sizeof(yaml), "traces: {%s, inject: on}\n", cases[i].yaml);
        struct conf *c = load_text(yaml, (struct conf_input){NOWHERE}, &r);
        if (strcmp(r.all, cases[i].report) != 0)
            fail_msg("%s: %s", yaml, r.all);
        assert_true(c->traces_inject);
        if (strstr(yaml, "routes:"))
            one(&c->traces_routes, 0, "/a");
        if (strstr(yaml, "headers:"))
            one(&c->traces_headers, 0, "a");
        conf_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(of_the_file),
        cmocka_unit_test(of_variables),
        cmocka_unit_test(troubles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
