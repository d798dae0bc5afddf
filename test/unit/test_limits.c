/*
 * Limits of attributes: which are said, how much of each, what is counted; and that the JSON
 * formats obey (OTLP's have their own test).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "report/limits.h"
#include "report/sink.h"

static struct conf conf;

static int fresh(void **state)
{
    (void)state;
    memset(&conf, 0, sizeof(conf));
    return 0;
}

static struct conf_limit at_most(uint32_t n)
{
    return (struct conf_limit){true, n};
}

static struct attribute text_attribute(const char *key, const char *value)
{
    struct attribute a = {.key = text_of(key), .type = VALUE_TEXT};
    a.text = text_of(value);
    return a;
}

/* "a,b" of what is said. */
static void said_is(enum said_of what, const struct attributes *own, const char *want,
                    uint32_t dropped)
{
    struct said s = said_of(&conf, what, own);
    const struct attribute *a;
    char all[100] = "";

    while ((a = said_next(&s))) {
        strcat(all, all[0] ? "," : "");
        strncat(all, a->key.data, a->key.length);
    }
    assert_string_equal(all, want);
    assert_int_equal(s.dropped, dropped);
    assert_true(s.count + dropped - own->dropped <= said_room(&s));
}

static void each_kind_has_its_own_limit(void **state)
{
    (void)state;
    struct attribute a[] = {text_attribute("a", ""), text_attribute("b", ""),
                            text_attribute("c", "")};
    struct attributes own = {a, 3, 0};
    struct conf_pair tags[] = {{(char *)(uintptr_t) "b", (char *)(uintptr_t) "v"},
                               {(char *)(uintptr_t) "t", (char *)(uintptr_t) "v"}};

    conf.tags = (struct conf_pairs){tags, 2};
    said_is(SAID_OF_RECORD, &own, "a,b,c,t", 0); /* no limit; what it says itself is its own */
    conf.limits_log.attributes = at_most(3);
    conf.limits_span.attributes = at_most(2);
    conf.event_attributes = at_most(1);
    conf.link_attributes = at_most(0);
    said_is(SAID_OF_RECORD, &own, "a,b,c", 1); /* a tag is an attribute */
    said_is(SAID_OF_SPAN, &own, "a,b", 2);
    said_is(SAID_OF_EVENT, &own, "a", 2);
    said_is(SAID_OF_LINK, &own, "", 3);
    /* Points must not lose what tells them apart; the resource has no limits. */
    conf.limits_all.attributes = at_most(0);
    said_is(SAID_OF_POINT, &own, "a,b,c,t", 0);
    said_is(SAID_OF_RESOURCE, &own, "a,b,c", 0);
    own.dropped = 5;
    said_is(SAID_OF_LINK, &own, "", 8);
}

static void texts_are_cut_between_characters(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t limit;
        const char *want;
    } cases[] = {
        {"abc", -1, "abc"},
        {"abc", 3, "abc"},
        {"abc", 2, "ab"},
        {"abc", 0, ""},
        {"", 0, ""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z", 3, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xc3\xa9\xe2\x82\xac", 1, "\xc3\xa9"},
        {"\xff\xff", 3, ""}, /* it will be written as four */
        {"\xff\xff", 4, "\xff"},
        {"\xff\xff", 8, "\xff\xff"},
        {"\\\\", 2, "\\\\"},
        {"\\\\\xff", 3, "\\"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct conf_limit limit = {cases[i].limit >= 0, (uint32_t)cases[i].limit};
        struct text t = limits_text(text_of(cases[i].text), limit);
        if (!text_is(t, cases[i].want))
            fail_msg("%s, %lld: %.*s", cases[i].text, (long long)cases[i].limit, (int)t.length,
                     t.data);
    }
}

/* ------------------------------------------------------------------ the JSON formats */

static char lines[8192];

static void keep(void *context, const void *data, size_t length, size_t items)
{
    (void)context;
    (void)items;
    snprintf(lines, sizeof(lines), "%.*s", (int)length, (const char *)data);
}

static void has(const struct sink_encoder *encoder, const struct batch *b, const char *want)
{
    assert_int_equal(encoder->encode(b, &conf, 65536, keep, NULL), 0);
    if (!strstr(lines, want))
        fail_msg("%s: no %s in %s", encoder->name, want, lines);
}

static void records_in_json(void **state)
{
    (void)state;
    struct text items[] = {TEXT("12345"),
                           TEXT("\xff"
                                "2345"),
                           TEXT("1")};
    struct attribute a[] = {text_attribute("a", "12345"),
                            {.key = TEXT("l"), .type = VALUE_TEXTS, .texts = {items, 3}},
                            {.key = TEXT("n"), .type = VALUE_INT, .integer = 123456},
                            text_attribute("z", "z")};
    struct attribute of[] = {text_attribute("whole", "12345")};
    struct resource resource = {{of, 1, 0}, 1};
    struct log_record record = {.time = 1, .body = TEXT("123456"), .attributes = {a, 4, 1}};
    struct batch b = {.signal = SIGNAL_LOGS, .resource = &resource, .logs = &record, .count = 1};
    const struct sink_encoder *const formats[] = {&ndjson_encoder, &splunk_encoder};

    conf.limits_log = (struct conf_limits){at_most(3), at_most(3)};
    conf.limits_span = (struct conf_limits){at_most(0), at_most(0)};
    for (size_t i = 0; i < 2; i++) {
        has(formats[i], &b,
            "\"attributes\":{\"a\":\"123\",\"l\":[\"123\",\"\",\"1\"],\"n\":123456}");
        has(formats[i], &b, "\"attributes_dropped\":2");
        has(formats[i], &b, "\"body\":\"123456\"");
        has(formats[i], &b, "\"whole\":\"12345\"");
    }
    conf.limits_log.attributes = at_most(0);
    for (size_t i = 0; i < 2; i++) {
        has(formats[i], &b, "\"attributes\":{},\"attributes_dropped\":5");
        has(formats[i], &b, "\"body\":\"123456\"");
    }
}

static void spans_in_json(void **state)
{
    (void)state;
    struct attribute a[] = {text_attribute("a", "12345"), text_attribute("b", "1")};
    struct span_event events[] = {{.time = 1, .name = TEXT("one"), .attributes = {a, 2, 0}},
                                  {.time = 2, .name = TEXT("two")}};
    struct span_link links[] = {{.trace_id = {1}, .attributes = {a, 2, 0}}, {.trace_id = {2}}};
    struct span span = {.name = TEXT("s"),
                        .start_time = 1,
                        .end_time = 2,
                        .attributes = {a, 2, 0},
                        .events = events,
                        .event_count = 2,
                        .dropped_events = 1,
                        .links = links,
                        .link_count = 2};
    struct batch b = {.signal = SIGNAL_TRACES, .spans = &span, .count = 1};

    conf.limits_log = (struct conf_limits){at_most(0), at_most(0)};
    conf.limits_span = (struct conf_limits){at_most(1), at_most(2)};
    conf.span_events = at_most(1);
    conf.event_attributes = at_most(1);
    conf.link_attributes = at_most(0);
    has(&ndjson_encoder, &b,
        "\"name\":\"one\",\"attributes\":{\"a\":\"12\"},\"attributes_dropped\":1}],"
        "\"events_dropped\":2");
    has(&ndjson_encoder, &b, "\"attributes\":{},\"attributes_dropped\":2},{");
    has(&ndjson_encoder, &b, "],\"attributes\":{\"a\":\"12\"},\"attributes_dropped\":1");
    conf.span_events = conf.span_links = at_most(0);
    has(&ndjson_encoder, &b, "\"events_dropped\":3,\"links_dropped\":2");
    assert_null(strstr(lines, "\"events\""));
}

static void points_in_json(void **state)
{
    (void)state;
    struct attribute a[] = {text_attribute("a", "12345"), text_attribute("b", "1")};
    struct metric_point point = {.time = 1, .is_int = true, .integer = 1, .attributes = {a, 2, 0}};
    struct metric metric = {.name = TEXT("m"), .type = METRIC_SUM, .points = &point, .count = 1};
    struct batch b = {.signal = SIGNAL_METRICS, .metrics = &metric, .count = 1};

    conf.limits_all = conf.limits_log = conf.limits_span =
        (struct conf_limits){at_most(0), at_most(0)};
    has(&ndjson_encoder, &b, "\"attributes\":{\"a\":\"12345\",\"b\":\"1\"}");
    has(&splunk_encoder, &b, "\"a\":\"12345\",\"b\":\"1\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_kind_has_its_own_limit, fresh),
        cmocka_unit_test_setup(texts_are_cut_between_characters, fresh),
        cmocka_unit_test_setup(records_in_json, fresh),
        cmocka_unit_test_setup(spans_in_json, fresh),
        cmocka_unit_test_setup(points_in_json, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
