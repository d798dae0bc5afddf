/*
 * The OTLP encoders, judged by decoding what they wrote (test_otlp_encoding.py has the published
 * decoder do it too): limits, divisions, what is cut and what is left out.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp/json_message.h"
#include "otlp/logs.pb-c.h"
#include "otlp/metrics.pb-c.h"
#include "otlp/otlp.h"
#include "otlp/trace.pb-c.h"

enum { MANY = 1000, ROOMY = 4 << 20 };

static const struct telemetry_scope file_scope = {TEXT("scope.file"), TEXT("2.0.0")};
static struct conf conf;

/* ------------------------------------------------------------------ collecting */

static struct unit {
    uint8_t *data;
    size_t length, items;
} units[MANY];
static size_t unit_count;

static void collect(void *context, const void *data, size_t length, size_t items)
{
    struct unit *u = &units[unit_count++];

    (void)context;
    assert_true(unit_count <= MANY);
    assert_true(length > 0);
    u->data = malloc(length + 1);
    memcpy(u->data, data, length);
    u->data[length] = 0;
    u->length = length;
    u->items = items;
}

static size_t encode(const struct batch *batch, size_t unit_max)
{
    while (unit_count)
        free(units[--unit_count].data);
    size_t left = otlp_encoder.encode(batch, &conf, unit_max, collect, NULL);
    for (size_t i = 0; i < unit_count; i++)
        assert_true(units[i].length <= unit_max);
    return left;
}

static int fresh(void **state)
{
    (void)state;
    memset(&conf, 0, sizeof(conf));
    return 0;
}

static void use(enum otlp_protocol protocol)
{
    for (unsigned i = 0; i < OTLP_SIGNALS; i++)
        conf.otlp[i].protocol = protocol;
}

static void is_text(ProtobufCBinaryData data, const char *text)
{
    if (data.len != strlen(text) || (data.len && memcmp(data.data, text, data.len) != 0))
        fail_msg("\"%.*s\", not \"%s\"", (int)data.len, (const char *)data.data, text);
}

static Otlp__ExportLogsServiceRequest *logs_of(size_t n)
{
    Otlp__ExportLogsServiceRequest *r =
        otlp__export_logs_service_request__unpack(NULL, units[n].length, units[n].data);

    assert_non_null(r);
    return r;
}

/* The only record of the only unit, as protobuf; *whole is to be freed. */
static Otlp__LogRecord *only_record(const struct log_record *r, size_t unit_max,
                                    Otlp__ExportLogsServiceRequest **whole)
{
    struct batch b = {.signal = SIGNAL_LOGS, .logs = r, .count = 1};

    use(OTLP_PROTOBUF);
    assert_int_equal(encode(&b, unit_max), 0);
    assert_int_equal(unit_count, 1);
    assert_int_equal(units[0].items, 1);
    *whole = logs_of(0);
    assert_int_equal((*whole)->n_resource_logs, 1);
    assert_int_equal((*whole)->resource_logs[0]->n_scope_logs, 1);
    assert_int_equal((*whole)->resource_logs[0]->scope_logs[0]->n_log_records, 1);
    return (*whole)->resource_logs[0]->scope_logs[0]->log_records[0];
}

static void free_logs(Otlp__ExportLogsServiceRequest *r)
{
    otlp__export_logs_service_request__free_unpacked(r, NULL);
}

static struct attribute text_attribute(const char *key, const char *value)
{
    struct attribute a = {.key = text_of(key), .type = VALUE_TEXT};
    a.text = text_of(value);
    return a;
}

/* ------------------------------------------------------------------ shape */

static void a_log_record_has_its_envelope(void **state)
{
    (void)state;
    struct attribute r[] = {text_attribute("service.name", "web")};
    struct resource resource = {{r, 1, 2}, 1};
    struct log_record record = {.time = 5, .body = TEXT("a line"), .scope = &file_scope};
    struct batch b = {.signal = SIGNAL_LOGS, .resource = &resource, .logs = &record, .count = 1};

    assert_int_equal(encode(&b, ROOMY), 0);
    Otlp__ExportLogsServiceRequest *q = logs_of(0);
    Otlp__ResourceLogs *of = q->resource_logs[0];
    is_text(of->schema_url, TELEMETRY_SCHEMA_URL);
    assert_int_equal(of->resource->n_attributes, 1);
    assert_int_equal(of->resource->dropped_attributes_count, 2);
    is_text(of->resource->attributes[0]->key, "service.name");
    is_text(of->resource->attributes[0]->value->string_value, "web");
    is_text(of->scope_logs[0]->scope->name, "scope.file");
    is_text(of->scope_logs[0]->scope->version, "2.0.0");
    is_text(of->scope_logs[0]->schema_url, TELEMETRY_SCHEMA_URL);
    free_logs(q);
}

static void ids_of_zero_are_absent(void **state)
{
    (void)state;
    struct log_record record = {.body = TEXT("x")};
    struct span span = {.trace_id = {1}, .span_id = {2}, .name = TEXT("s"), .kind = SPAN_SERVER};
    struct batch b = {.signal = SIGNAL_TRACES, .spans = &span, .count = 1};
    Otlp__ExportLogsServiceRequest *q;
    Otlp__LogRecord *r = only_record(&record, ROOMY, &q);

    assert_int_equal(r->trace_id.len, 0);
    assert_int_equal(r->span_id.len, 0);
    free_logs(q);

    use(OTLP_JSON);
    assert_int_equal(encode(&b, ROOMY), 0);
    const char *text = (const char *)units[0].data;
    assert_non_null(strstr(text, "\"traceId\":\"01000000000000000000000000000000\""));
    assert_non_null(strstr(text, "\"spanId\":\"0200000000000000\""));
    assert_null(strstr(text, "parentSpanId"));
    assert_null(strstr(text, "flags"));
    assert_null(strstr(text, "status"));
}

static void an_event_without_a_body_has_none(void **state)
{
    (void)state;
    struct log_record event = {.event_name = TEXT("e")}, empty = {.time = 1};
    Otlp__ExportLogsServiceRequest *q;
    Otlp__LogRecord *r = only_record(&event, ROOMY, &q);

    is_text(r->event_name, "e");
    assert_null(r->body);
    free_logs(q);
    r = only_record(&empty, ROOMY, &q);
    assert_int_equal(r->body->value_case, OTLP__ANY_VALUE__VALUE_STRING_VALUE);
    assert_int_equal(r->body->string_value.len, 0);
    free_logs(q);
}

static void nothing_makes_no_request(void **state)
{
    (void)state;
    struct metric empty[2] = {{.name = TEXT("a"), .type = METRIC_SUM}, {.name = TEXT("b")}};
    struct batch b = {.signal = SIGNAL_METRICS, .metrics = empty, .count = 2};

    assert_int_equal(encode(&b, ROOMY), 0);
    assert_int_equal(unit_count, 0);
    for (unsigned signal = 0; signal < SIGNAL_COUNT; signal++) {
        struct batch none = {.signal = (enum signal)signal};
        assert_int_equal(encode(&none, ROOMY), 0);
        assert_int_equal(otlp_json_lines(&none, &conf, ROOMY, collect, NULL), 0);
        assert_int_equal(unit_count, 0);
    }
}

static void json_keeps_numbers_exact_in_any_locale(void **state)
{
    (void)state;
    struct attribute a[] = {{.key = TEXT("i"), .type = VALUE_INT, .integer = INT64_MIN},
                            {.key = TEXT("d"), .type = VALUE_DOUBLE, .number = 0.1}};
    struct log_record record = {.time = UINT64_MAX, .attributes = {a, 2, 0}};
    struct batch b = {.signal = SIGNAL_LOGS, .logs = &record, .count = 1};

    use(OTLP_JSON);
    setlocale(LC_ALL, "de_DE.UTF-8");
    assert_int_equal(encode(&b, ROOMY), 0);
    setlocale(LC_ALL, "C");
    const char *text = (const char *)units[0].data;
    assert_non_null(strstr(text, "\"timeUnixNano\":\"18446744073709551615\""));
    assert_non_null(strstr(text, "{\"intValue\":\"-9223372036854775808\"}"));
    assert_non_null(strstr(text, "{\"doubleValue\":0.1}"));
    json_t *j = json_loadb(text, units[0].length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(j);
    json_decref(j);
}

static void bytes_are_base64(void **state)
{
    (void)state;
    static const char *const expected[] = {"", "AP8=", "AP8B", "AP8B+g=="};
    static uint8_t data[] = {0, 0xff, 1, 0xfa};
    char out[100];

    for (size_t i = 1; i < 4; i++) {
        Otlp__AnyValue value = OTLP__ANY_VALUE__INIT;
        struct json j = {.data = out, .room = sizeof(out)};
        char whole[100];
        value.value_case = OTLP__ANY_VALUE__VALUE_BYTES_VALUE;
        value.bytes_value = (ProtobufCBinaryData){i + 1, data};
        json_message(&j, &value.base);
        snprintf(whole, sizeof(whole), "{\"bytesValue\":\"%s\"}", expected[i]);
        assert_int_equal(j.length, strlen(whole));
        assert_memory_equal(out, whole, j.length);
    }
}

/* ------------------------------------------------------------------ text */

static void text_that_is_not_utf8_is_escaped(void **state)
{
    (void)state;
    static const struct {
        struct text from;
        const char *to;
    } table[] = {
        {TEXT("plain \\ back"), "plain \\ back"},
        {TEXT("\xff\\"), "\\xff\\\\"},
        {TEXT("\xc3"), "\\xc3"},
        {TEXT("\xed\xa0\x80"), "\\xed\\xa0\\x80"},
        {TEXT("\xc3\xa9\xfe"), "\xc3\xa9\\xfe"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct log_record record = {.body = table[i].from};
        Otlp__ExportLogsServiceRequest *q;
        is_text(only_record(&record, ROOMY, &q)->body->string_value, table[i].to);
        free_logs(q);
    }
}

static void limits_hold_and_are_counted(void **state)
{
    (void)state;
    struct attribute a[] = {text_attribute("a", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"),
                            text_attribute("b", "\xff\xff"), text_attribute("c", "x\\\xff"),
                            text_attribute("d", "never seen")};
    struct text list[] = {TEXT("123456"), TEXT("12")};
    struct attribute texts = {.key = TEXT("l"), .type = VALUE_TEXTS, .texts = {list, 2}};
    struct log_record record = {.body = TEXT("123456"), .attributes = {a, 4, 3}};
    struct conf_pair tag = {(char *)(uintptr_t) "t", (char *)(uintptr_t) "v"};
    Otlp__ExportLogsServiceRequest *q;

    conf.limits_log = (struct conf_limits){{true, 3}, {true, 3}};
    conf.tags = (struct conf_pairs){&tag, 1};
    Otlp__LogRecord *r = only_record(&record, ROOMY, &q);
    assert_int_equal(r->n_attributes, 3);
    assert_int_equal(r->dropped_attributes_count, 3 + 1 + 1);
    is_text(r->attributes[0]->value->string_value, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    is_text(r->attributes[1]->value->string_value, ""); /* \xff is four characters */
    is_text(r->attributes[2]->value->string_value,
            "x\\");                           /* what is not UTF-8 was cut off: no escapes */
    is_text(r->body->string_value, "123456"); /* a body is no attribute */
    free_logs(q);

    record.attributes = (struct attributes){&texts, 1, 0};
    r = only_record(&record, ROOMY, &q);
    is_text(r->attributes[0]->value->array_value->values[0]->string_value, "123");
    is_text(r->attributes[0]->value->array_value->values[1]->string_value, "12");
    is_text(r->attributes[1]->key, "t");
    assert_int_equal(r->dropped_attributes_count, 0);
    free_logs(q);
}

static void a_resource_has_no_limits(void **state)
{
    (void)state;
    struct attribute a[] = {text_attribute("a", "12345"), text_attribute("b", "12345")};
    struct resource resource = {{a, 2, 0}, 1};
    struct log_record record = {.body = TEXT("x")};
    struct batch b = {.signal = SIGNAL_LOGS, .resource = &resource, .logs = &record, .count = 1};

    conf.limits_all = conf.limits_log = conf.limits_span =
        (struct conf_limits){{true, 1}, {true, 1}};
    assert_int_equal(encode(&b, ROOMY), 0);
    Otlp__ExportLogsServiceRequest *q = logs_of(0);
    assert_int_equal(q->resource_logs[0]->resource->n_attributes, 2);
    is_text(q->resource_logs[0]->resource->attributes[1]->value->string_value, "12345");
    free_logs(q);
}

/* ------------------------------------------------------------------ divisions */

static void a_batch_is_divided_by_count(void **state)
{
    (void)state;
    static struct log_record records[1001];
    struct batch b = {.signal = SIGNAL_LOGS, .logs = records, .count = 1001};

    for (size_t i = 0; i < 1001; i++)
        records[i] = (struct log_record){.time = i + 1, .body = TEXT("x")};
    conf.otlp[SIGNAL_LOGS].batch = 400;
    assert_int_equal(encode(&b, ROOMY), 0);
    assert_int_equal(unit_count, 3);
    uint64_t next = 1;
    for (size_t u = 0; u < 3; u++) {
        Otlp__ExportLogsServiceRequest *q = logs_of(u);
        Otlp__ScopeLogs *s = q->resource_logs[0]->scope_logs[0];
        assert_null(s->scope);
        assert_int_equal(s->n_log_records, units[u].items);
        assert_true(s->n_log_records <= 400);
        for (size_t i = 0; i < s->n_log_records; i++)
            assert_int_equal(s->log_records[i]->time_unix_nano, next++);
        free_logs(q);
    }
    assert_int_equal(next, 1002);
    conf.otlp[SIGNAL_LOGS].batch = 0;
    assert_int_equal(encode(&b, ROOMY), 0);
    assert_int_equal(unit_count, 1);
}

static void a_batch_is_divided_by_size(void **state)
{
    (void)state;
    static struct log_record records[300];
    static char body[2000];
    struct batch b = {.signal = SIGNAL_LOGS, .logs = records, .count = 300};
    size_t items = 0;

    memset(body, 'b', sizeof(body));
    for (size_t i = 0; i < 300; i++)
        records[i] = (struct log_record){.time = i + 1, .body = {body, i % 7 == 0 ? 2000 : 10}};
    for (unsigned protocol = OTLP_PROTOBUF; protocol <= OTLP_JSON; protocol++) {
        use((enum otlp_protocol)protocol);
        items = 0;
        assert_int_equal(encode(&b, 5000), 0);
        assert_true(unit_count > 15);
        for (size_t i = 0; i < unit_count; i++)
            items += units[i].items;
        assert_int_equal(items, 300);
    }
}

static void metrics_are_divided_by_points(void **state)
{
    (void)state;
    static struct metric_point points[3][10];
    struct metric metrics[4] = {{.name = TEXT("a"), .points = points[0], .count = 10},
                                {.name = TEXT("none")},
                                {.name = TEXT("b"), .points = points[1], .count = 10},
                                {.name = TEXT("c"), .points = points[2], .count = 10}};
    struct batch b = {.signal = SIGNAL_METRICS, .metrics = metrics, .count = 4};
    uint64_t next = 1;

    for (size_t i = 0; i < 30; i++)
        points[i / 10][i % 10] = (struct metric_point){.time = i + 1, .is_int = true};
    for (size_t i = 0; i < 4; i++)
        metrics[i].type = METRIC_SUM;
    conf.otlp[SIGNAL_METRICS].batch = 7;
    assert_int_equal(encode(&b, ROOMY), 0);
    assert_int_equal(unit_count, 5);
    for (size_t u = 0; u < unit_count; u++) {
        Otlp__ExportMetricsServiceRequest *q =
            otlp__export_metrics_service_request__unpack(NULL, units[u].length, units[u].data);
        assert_non_null(q);
        Otlp__ScopeMetrics *s = q->resource_metrics[0]->scope_metrics[0];
        for (size_t m = 0; m < s->n_metrics; m++) {
            assert_true(s->metrics[m]->sum->n_data_points > 0);
            for (size_t i = 0; i < s->metrics[m]->sum->n_data_points; i++, next++) {
                assert_int_equal(s->metrics[m]->sum->data_points[i]->time_unix_nano, next);
                is_text(s->metrics[m]->name, next <= 10 ? "a" : next <= 20 ? "b" : "c");
            }
        }
        otlp__export_metrics_service_request__free_unpacked(q, NULL);
    }
    assert_int_equal(next, 31);
}

static void a_record_that_is_too_large_is_cut(void **state)
{
    (void)state;
    static char body[8001];

    for (size_t i = 0; i < 8000; i += 2)
        memcpy(body + i, "\xc3\xa9", 2);
    struct attribute a[] = {text_attribute("small", "kept"), text_attribute("large", body)};
    struct log_record record = {.body = {body, 8000}, .attributes = {a, 2, 1}};
    Otlp__ExportLogsServiceRequest *q;
    Otlp__LogRecord *r = only_record(&record, 3000, &q);
    assert_in_range(r->body->string_value.len, 100, 2999);
    assert_int_equal(r->body->string_value.len % 2, 0);
    is_text(r->attributes[0]->value->string_value, "kept");
    is_text(r->attributes[1]->key, "large");
    assert_in_range(r->attributes[1]->value->string_value.len, 100, 2999);
    assert_int_equal(r->dropped_attributes_count, 1 + 2);
    free_logs(q);
}

static void what_cannot_be_cut_is_left_out_and_counted(void **state)
{
    (void)state;
    static char long_name[5000];
    memset(long_name, 'n', sizeof(long_name));
    struct attribute large = {.key = TEXT("a"), .type = VALUE_TEXT};
    large.text = (struct text){long_name, sizeof(long_name)};
    struct span spans[3] = {{.name = TEXT("a"), .trace_id = {1}, .span_id = {1}},
                            {.name = {long_name, sizeof(long_name)}},
                            {.name = TEXT("c"), .trace_id = {1}, .span_id = {1}}};
    struct metric_point points[2] = {{.time = 1, .is_int = true},
                                     {.time = 2, .is_int = true, .attributes = {&large, 1, 0}}};
    struct metric metric = {.name = TEXT("m"), .type = METRIC_SUM, .points = points, .count = 2};
    struct batch b = {.signal = SIGNAL_TRACES, .spans = spans, .count = 3};
    struct batch m = {.signal = SIGNAL_METRICS, .metrics = &metric, .count = 1};

    for (unsigned protocol = OTLP_PROTOBUF; protocol <= OTLP_JSON; protocol++) {
        use((enum otlp_protocol)protocol);
        assert_int_equal(encode(&b, 1000), 1);
        assert_int_equal(unit_count, 2);
        /* A point with another attribute would be another series. */
        assert_int_equal(encode(&m, 1000), 1);
        assert_int_equal(unit_count, 1);
        /* Not even the envelope fits. */
        assert_int_equal(encode(&b, 20), 3);
        assert_int_equal(unit_count, 0);
    }
}

static void a_large_batch_fits_the_bounded_memory(void **state)
{
    (void)state;
    enum { LARGE = 40000 };
    struct log_record *records = calloc(LARGE, sizeof(*records));
    struct batch b = {.signal = SIGNAL_LOGS, .logs = records, .count = LARGE};
    size_t items = 0;

    for (size_t i = 0; i < LARGE; i++)
        records[i].body = TEXT("x");
    assert_int_equal(encode(&b, 64 << 20), 0);
    assert_true(unit_count > 1);
    for (size_t i = 0; i < unit_count; i++)
        items += units[i].items;
    assert_int_equal(items, LARGE);
    free(records);
}

static void lines_are_the_same_json(void **state)
{
    (void)state;
    struct log_record records[] = {{.body = TEXT("a\nb")}, {.body = TEXT("c")}};
    struct batch b = {.signal = SIGNAL_LOGS, .logs = records, .count = 2};

    use(OTLP_JSON);
    assert_int_equal(encode(&b, ROOMY), 0);
    assert_int_equal(otlp_lines_encoder.encode(&b, &conf, ROOMY, collect, NULL), 0);
    assert_int_equal(unit_count, 2);
    assert_int_equal(units[1].length, units[0].length + 1);
    assert_memory_equal(units[0].data, units[1].data, units[0].length);
    assert_int_equal(units[1].data[units[0].length], '\n');
    assert_ptr_equal(strchr((char *)units[1].data, '\n'), units[1].data + units[0].length);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_log_record_has_its_envelope, fresh),
        cmocka_unit_test_setup(ids_of_zero_are_absent, fresh),
        cmocka_unit_test_setup(an_event_without_a_body_has_none, fresh),
        cmocka_unit_test_setup(nothing_makes_no_request, fresh),
        cmocka_unit_test_setup(json_keeps_numbers_exact_in_any_locale, fresh),
        cmocka_unit_test(bytes_are_base64),
        cmocka_unit_test_setup(text_that_is_not_utf8_is_escaped, fresh),
        cmocka_unit_test_setup(limits_hold_and_are_counted, fresh),
        cmocka_unit_test_setup(a_resource_has_no_limits, fresh),
        cmocka_unit_test_setup(a_batch_is_divided_by_count, fresh),
        cmocka_unit_test_setup(a_batch_is_divided_by_size, fresh),
        cmocka_unit_test_setup(metrics_are_divided_by_points, fresh),
        cmocka_unit_test_setup(a_record_that_is_too_large_is_cut, fresh),
        cmocka_unit_test_setup(what_cannot_be_cut_is_left_out_and_counted, fresh),
        cmocka_unit_test_setup(a_large_batch_fits_the_bounded_memory, fresh),
        cmocka_unit_test_setup(lines_are_the_same_json, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
