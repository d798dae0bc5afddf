/*
 * The encoder for Splunk's HTTP event collector: exact bytes, which a JSON parser of other make
 * takes too, points that share a line, units, and what the collector's replies mean.
 */
#include "units.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/sink.h"

/* Each line is an object whose event is a string or an object and whose fields are flat. */
static void check_line(const char *p, size_t length)
{
    json_error_t error;
    json_t *line = json_loadb(p, length, JSON_REJECT_DUPLICATES, &error), *value;
    const char *key;
    if (!line)
        fail_msg("%s: %.*s", error.text, (int)length, p);
    json_t *event = json_object_get(line, "event");
    bool metric = json_is_string(event);
    assert_true(metric || (json_is_object(event) && json_object_size(event)));
    json_object_foreach(json_object_get(line, "fields"), key, value)
    {
        bool number = metric && !strncmp(key, "metric_name:", 12);
        assert_int_equal(json_is_number(value), number);
        assert_true(number || json_is_string(value) || json_is_array(value));
    }
    json_decref(line);
}

static size_t encode(const struct batch *batch, const struct conf *conf, size_t unit_max)
{
    size_t left_out = encode_with(&splunk_encoder, batch, conf, unit_max);

    for (const char *p = got.data, *next; *p; p = next + 1) {
        next = strchr(p, '\n');
        check_line(p, (size_t)(next - p));
    }
    return left_out;
}

/* A resource as a process has it. */
static const struct text arguments[] = {TEXT("shop"), TEXT("-v")};
static struct attribute resource_items[4];
static const struct resource *shop(void)
{
    static struct resource r = {{resource_items, 4, 0}, 1};
    resource_items[0] = text_attribute("service.name", "shop");
    resource_items[1] = text_attribute("host.name", "h1");
    resource_items[2] =
        (struct attribute){.key = TEXT("process.pid"), .type = VALUE_INT, .integer = 42};
    resource_items[3] = (struct attribute){
        .key = TEXT("process.command_args"), .type = VALUE_TEXTS, .texts = {arguments, 2}};
    return &r;
}
#define ENVELOPE(sourcetype) "\"host\":\"h1\",\"source\":\"shop\",\"sourcetype\":\"" sourcetype "\""
#define FIELDS                                                                           \
    "\"fields\":{\"service.name\":\"shop\",\"host.name\":\"h1\",\"process.pid\":\"42\"," \
    "\"process.command_args\":[\"shop\",\"-v\"]}"
#define DIMENSIONS "\"service.name\":\"shop\",\"host.name\":\"h1\",\"process.pid\":\"42\"}}\n"

static void lines_and_events(void **state)
{
    (void)state;
    static const struct telemetry_scope file_scope = {TEXT("scope.file"), TEXT("2.0.0")};
    struct attribute a[] = {text_attribute("file.path", "/etc/hosts"),
                            {.key = TEXT("n"), .type = VALUE_INT, .integer = 3}};
    struct log_record r[] = {{.time = 1700000000123456789,
                              .body = TEXT("disk \"full\""),
                              .severity = 17,
                              .trace_id = {1},
                              .span_id = {2}},
                             {.observed_time = 1700000001000000000,
                              .event_name = TEXT("scope.file.closed"),
                              .attributes = {a, 2, 0},
                              .scope = &file_scope}};
    struct batch b = {.signal = SIGNAL_LOGS, .resource = shop(), .logs = r, .count = 2};

    assert_int_equal(encode(&b, NULL, 1 << 20), 0);
    assert_int_equal(got.items, 2);
    assert_string_equal(
        got.data, "{\"time\":1700000000.123456," ENVELOPE(
                      "scope:log") ",\"event\":{\"signal\":\"log\","
                                   "\"body\":\"disk "
                                   "\\\"full\\\"\",\"severity\":\"ERROR\",\"severity_number\":17,"
                                   "\"trace_id\":\"01000000000000000000000000000000\",\"span_id\":"
                                   "\"0200000000000000\","
                                   "\"attributes\":{}}," FIELDS "}\n"
                                   "{\"time\":1700000001.000000," ENVELOPE(
                                       "scope:event") ",\"event\":{\"signal\":\"log\","
                                                      "\"name\":\"scope.file.closed\",\"scope\":"
                                                      "\"scope.file\","
                                                      "\"attributes\":{\"file.path\":\"/etc/"
                                                      "hosts\",\"n\":3}}," FIELDS "}\n");
}

static void spans(void **state)
{
    (void)state;
    struct span s = {.trace_id = {1},
                     .span_id = {2},
                     .name = TEXT("GET"),
                     .kind = SPAN_SERVER,
                     .start_time = 1700000000000000000,
                     .end_time = 1700000000250000000};
    struct batch b = {.signal = SIGNAL_TRACES, .resource = shop(), .spans = &s, .count = 1};

    assert_int_equal(encode(&b, NULL, 1 << 20), 0);
    assert_string_equal(
        got.data, "{\"time\":1700000000.000000," ENVELOPE(
                      "scope:span") ",\"event\":{\"signal\":\"span\","
                                    "\"name\":\"GET\",\"kind\":\"server\",\"duration\":0.250000000,"
                                    "\"trace_id\":\"01000000000000000000000000000000\",\"span_id\":"
                                    "\"0200000000000000\","
                                    "\"attributes\":{}}," FIELDS "}\n");
}

/* Nobody says who it is about: no host, a source that says what made it, no empty fields. */
static void without_a_resource(void **state)
{
    (void)state;
    struct log_record r = {.time = 5, .body = TEXT("\xff\\")};
    struct batch b = {.signal = SIGNAL_LOGS, .logs = &r, .count = 1};

    assert_int_equal(encode(&b, NULL, 1 << 20), 0);
    assert_string_equal(got.data,
                        "{\"time\":0.000000,\"source\":\"scope\",\"sourcetype\":\"scope:log\","
                        "\"event\":{\"signal\":\"log\",\"body\":\"\\\\xff\\\\\\\\\","
                        "\"attributes\":{},\"escaped\":[\"body\"]}}\n");
}

static void points_with_the_same_dimensions_share_a_line(void **state)
{
    (void)state;
    struct attribute read[] = {text_attribute("op", "read")},
                     write[] = {text_attribute("op", "write")};
    struct metric_point counts[] = {
        {.attributes = {read, 1, 0}, .time = 2000000000, .is_int = true, .integer = 7},
        {.attributes = {write, 1, 0}, .time = 2000000000, .is_int = true, .integer = 8}};
    struct metric_point bytes[] = {
        {.attributes = {write, 1, 0}, .time = 2000000000, .number = 0.5},
        {.attributes = {read, 1, 0}, .time = 3000000000, .is_int = true, .integer = 9}};
    struct metric_point none = {.time = 2000000000, .number = NAN};
    struct metric m[] = {
        {.name = TEXT("ops"), .type = METRIC_SUM, .points = counts, .count = 2},
        {.name = TEXT("bytes"), .type = METRIC_GAUGE, .points = bytes, .count = 2},
        {.name = TEXT("nan"), .type = METRIC_GAUGE, .points = &none, .count = 1},
    };
    struct batch b = {.signal = SIGNAL_METRICS, .resource = shop(), .metrics = m, .count = 3};

    assert_int_equal(encode(&b, NULL, 1 << 20), 1);
    assert_int_equal(got.items, 4);
#define METRIC(time) \
    "{\"time\":" time "," ENVELOPE("scope:metric") ",\"event\":\"metric\",\"fields\":{"
    assert_string_equal(
        got.data,
        METRIC("2.000000") "\"metric_name:ops\":7,\"op\":\"read\"," DIMENSIONS METRIC(
            "2.000000") "\"metric_name:ops\":8,\"metric_name:bytes\":0.5,\"op\":"
                        "\"write\"," DIMENSIONS METRIC(
                            "3.000000") "\"metric_name:bytes\":9,\"op\":\"read\"," DIMENSIONS);

    /* A name twice would be one member twice. */
    m[1].name = m[0].name;
    assert_int_equal(encode(&b, NULL, 1 << 20), 1);
    assert_int_equal(got.items, 4);
}

static void a_dimension_is_said_once(void **state)
{
    (void)state;
    struct attribute own[] = {text_attribute("host.name", "h2"),
                              text_attribute("empty", ""),
                              {.key = TEXT("b"), .type = VALUE_BOOL, .boolean = true}};
    struct conf_pair pairs[] = {{(char *)"service.name", (char *)"tagged"},
                                {(char *)"b", (char *)"no"}};
    struct conf conf = {.tags = {pairs, 2}};
    struct metric_point p = {
        .attributes = {own, 3, 0}, .time = 1000000, .is_int = true, .integer = -1};
    struct metric m = {.name = TEXT("g"), .type = METRIC_GAUGE, .points = &p, .count = 1};
    struct batch b = {.signal = SIGNAL_METRICS, .resource = shop(), .metrics = &m, .count = 1};

    assert_int_equal(encode(&b, &conf, 1 << 20), 0);
    assert_string_equal(got.data, METRIC("0.001000") "\"metric_name:g\":-1,\"host.name\":\"h2\","
                                                     "\"b\":\"true\",\"service.name\":\"tagged\","
                                                     "\"process.pid\":\"42\"}}\n");
}

static void histograms(void **state)
{
    (void)state;
    const double bounds[] = {0.001, 5};
    const uint64_t buckets[] = {2, 0, 1};
    struct attribute a[] = {text_attribute("op", "read")};
    struct metric_point p = {.attributes = {a, 1, 0},
                             .time = 1000000000,
                             .histogram = {.count = 3,
                                           .sum = 7.5,
                                           .min = 0.25,
                                           .max = 7,
                                           .has_extremes = true,
                                           .bounds = bounds,
                                           .buckets = buckets,
                                           .bound_count = 2}};
    struct metric m = {.name = TEXT("d"), .type = METRIC_HISTOGRAM, .points = &p, .count = 1};
    struct batch b = {.signal = SIGNAL_METRICS, .resource = shop(), .metrics = &m, .count = 1};
#define BUCKET(n, le)  \
    METRIC("1.000000") \
    "\"metric_name:d_bucket\":" n ",\"le\":\"" le "\",\"op\":\"read\"," DIMENSIONS
    assert_int_equal(encode(&b, NULL, 1 << 20), 0);
    assert_int_equal(got.items, 1);
    assert_string_equal(got.data,
                        METRIC("1.000000") "\"metric_name:d.count\":3,\"metric_name:d.sum\":7.5,"
                                           "\"metric_name:d.min\":0.25,\"metric_name:d.max\":7.0,"
                                           "\"op\":\"read\"," DIMENSIONS BUCKET("2", "0.001")
                                               BUCKET("2", "5") BUCKET("3", "+Inf"));
    p.exponential = (struct exponential){
        .count = 2, .sum = 1.5, .scale = 3, .buckets = buckets, .bucket_count = 1};
    m.type = METRIC_EXPONENTIAL;
    assert_int_equal(encode(&b, NULL, 1 << 20), 0);
    assert_string_equal(got.data,
                        METRIC("1.000000") "\"metric_name:d.count\":2,"
                                           "\"metric_name:d.sum\":1.5,\"op\":\"read\"," DIMENSIONS);
}

/* Many points: none is lost, none comes twice, and no unit is too long. */
static void everything_comes_through_once(void **state)
{
    (void)state;
    enum { METRICS = 3, POINTS = 3000 };
    static struct metric_point p[METRICS][POINTS];
    static struct attribute a[POINTS];
    static char values[POINTS][16];
    struct metric m[METRICS];
    const char *names[METRICS] = {"a", "b", "c"};
    const size_t maxima[] = {600, 1432, 65536, 1 << 20};

    for (int i = 0; i < METRICS; i++) {
        m[i] = (struct metric){
            .name = text_of(names[i]), .type = METRIC_SUM, .points = p[i], .count = POINTS};
        for (int k = 0; k < POINTS; k++) {
            snprintf(values[k], sizeof(values[k]), "v%d", k);
            a[k] = text_attribute("key", values[k]);
            p[i][k] = (struct metric_point){
                .attributes = {&a[k], 1, 0}, .time = 9, .is_int = true, .integer = i * POINTS + k};
        }
    }
    struct batch b = {.signal = SIGNAL_METRICS, .resource = shop(), .metrics = m, .count = METRICS};
    for (int u = 0; u < 4; u++) {
        static unsigned char seen[METRICS * POINTS];
        memset(seen, 0, sizeof(seen));
        assert_int_equal(encode(&b, NULL, maxima[u]), 0);
        assert_int_equal(got.items, METRICS * POINTS);
        assert_true(got.biggest <= maxima[u]);
        assert_true(u < 2 ? lines() == METRICS * POINTS : lines() < METRICS * POINTS);
        for (const char *v = got.data; (v = strstr(v, "\"metric_name:"));) {
            v += sizeof("\"metric_name:x\":") - 1;
            seen[atoi(v)]++;
        }
        for (int i = 0; i < METRICS * POINTS; i++)
            assert_int_equal(seen[i], 1);
    }
}

static void what_does_not_fit_is_counted(void **state)
{
    (void)state;
    static char body[300000];
    struct log_record r[] = {{.time = 1, .body = TEXT("a")},
                             {.time = 2, .body = {body, sizeof(body)}},
                             {.time = 3, .body = TEXT("b")}};
    struct batch b = {.signal = SIGNAL_LOGS, .resource = shop(), .logs = r, .count = 3};

    memset(body, 'x', sizeof(body));
    assert_int_equal(encode(&b, NULL, 1 << 20), 1);
    assert_int_equal(got.items, 2);
    assert_int_equal(encode(&b, NULL, 40), 3);
    assert_int_equal(got.units, 0);
}

/* ------------------------------------------------------------------ replies */

static struct verdict judge(int status, const char *body)
{
    struct reply r = {.status = status,
                      .content_type = "application/json",
                      .body = (const uint8_t *)body,
                      .length = strlen(body)};
    struct verdict v;
    memset(&v, 0x55, sizeof(v));
    splunk_encoder.judge(&r, &v);
    assert_int_equal(v.rejected, 0);
    return v;
}

static void replies(void **state)
{
    (void)state;
    const struct {
        int status;
        const char *body;
        enum outcome outcome;
        const char *message;
    } cases[] = {
        {200, "{\"text\":\"Success\",\"code\":0}", OUTCOME_TAKEN, ""},
        {200, "{\"text\":\"Success\",\"code\":0,\"ackId\":7}", OUTCOME_TAKEN, ""},
        {200, "", OUTCOME_TAKEN, ""},
        {503, "{\"text\":\"Server is busy\",\"code\":9}", OUTCOME_RETRY, "Server is busy (code 9)"},
        {500, "{\"text\":\"Internal server error\",\"code\":8}", OUTCOME_RETRY,
         "Internal server error (code 8)"},
        {429, "", OUTCOME_RETRY, ""},
        {502, "<html>", OUTCOME_RETRY, ""},
        {504, "", OUTCOME_RETRY, ""},
        {501, "", OUTCOME_REFUSED, ""},
        {400, "{\"text\":\"Invalid data format\",\"code\":6,\"invalid-event-number\":0}",
         OUTCOME_REFUSED, "Invalid data format (code 6)"},
        {401, "{\"text\":\"Token is required\",\"code\":2}", OUTCOME_REFUSED,
         "Token is required (code 2)"},
        {403, "{\"code\":4,\"text\":\"Invalid\\n token\\u0007\"}", OUTCOME_REFUSED,
         "Invalid token (code 4)"},
        {404, "{\"text\":", OUTCOME_REFUSED, ""},
        {301, "", OUTCOME_REFUSED, ""},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct verdict v = judge(cases[i].status, cases[i].body);
        assert_int_equal(v.outcome, cases[i].outcome);
        assert_string_equal(v.message, cases[i].message);
    }
    char long_[3000];
    memset(long_, 'x', sizeof(long_) - 1);
    memcpy(long_, "{\"text\":\"", 9);
    memcpy(long_ + sizeof(long_) - 3, "\"}", 3);
    assert_true(strlen(judge(400, long_).message) < sizeof(((struct verdict *)0)->message));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_and_events),
        cmocka_unit_test(spans),
        cmocka_unit_test(without_a_resource),
        cmocka_unit_test(points_with_the_same_dimensions_share_a_line),
        cmocka_unit_test(a_dimension_is_said_once),
        cmocka_unit_test(histograms),
        cmocka_unit_test(everything_comes_through_once),
        cmocka_unit_test(what_does_not_fit_is_counted),
        cmocka_unit_test(replies),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(got.data);
    return failed;
}
