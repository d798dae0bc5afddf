/* The StatsD encoder: every line against the grammar of its format, and exact texts. */
#include "units.h"

#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/sink.h"

static size_t encode(const struct batch *batch, const struct conf *conf, size_t unit_max)
{
    return encode_with(&statsd_encoder, batch, conf, unit_max);
}

/* Each line must match the format's grammar as its servers read it. */
static void check_grammar(enum statsd_format format)
{
    const char *pattern = format == STATSD_PLAIN
                              ? "^[A-Za-z0-9_.]+:-?[0-9.]+\\|(c|g|ms)$"
                              : "^[A-Za-z0-9_.]+:-?[0-9.]+(:-?[0-9.]+)*\\|(c|g|d)"
                                "(\\|#[^|,:#@]+:[^|,#@]+(,[^|,:#@]+:[^|,#@]+)*)?(\\|c:[A-Za-z0-9_.-"
                                "]+)?(\\|e:[A-Za-z0-9_.,:/-]+)?$";
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    char *copy = strdup(got.data), *rest = copy, *line;
    while (*(line = strsep(&rest, "\n"))) {
        if (regexec(&regex, line, 0, NULL, 0))
            fail_msg("not in the grammar: %s", line);
    }
    free(copy);
    regfree(&regex);
}

static size_t encode_one(const struct metric *m, const struct conf *conf,
                         const struct resource *resource)
{
    struct batch b = {.signal = SIGNAL_METRICS, .resource = resource, .metrics = m, .count = 1};
    size_t left_out = encode(&b, conf, 1432);
    check_grammar(conf->statsd_format);
    return left_out;
}

static struct metric sum(const struct metric_point *p, enum temporality temporality, bool monotonic)
{
    return (struct metric){.name = TEXT("scope.file.io"),
                           .unit = TEXT("By"),
                           .type = METRIC_SUM,
                           .temporality = temporality,
                           .monotonic = monotonic,
                           .points = p,
                           .count = 1};
}

static void counters_and_gauges(void **state)
{
    (void)state;
    struct attribute a[] = {text_attribute("file.operation", "read"),
                            {.key = TEXT("n"), .type = VALUE_INT, .integer = -3},
                            {.key = TEXT("b"), .type = VALUE_BOOL, .boolean = true},
                            {.key = TEXT("d"), .type = VALUE_DOUBLE, .number = 0.5}};
    struct metric_point p = {.attributes = {a, 4, 0}, .is_int = true, .integer = 13312};
    struct conf dog = {0}, plain = {.statsd_format = STATSD_PLAIN};

    struct metric m = sum(&p, TEMPORALITY_DELTA, true);
    assert_int_equal(encode_one(&m, &dog, NULL), 0);
    assert_string_equal(got.data, "scope.file.io:13312|c|#file.operation:read,n:-3,b:true,d:0.5\n");
    assert_int_equal(encode_one(&m, &plain, NULL), 0);
    assert_string_equal(got.data, "scope.file.io.file_operation_read.n__3.b_true.d_0_5:13312|c\n");

    /* A total since the start is not a count: adding it up again and again would be wrong. */
    m = sum(&p, TEMPORALITY_CUMULATIVE, true);
    p.attributes.count = 0;
    encode_one(&m, &dog, NULL);
    assert_string_equal(got.data, "scope.file.io:13312|g\n");

    m = (struct metric){
        .name = TEXT("process.cpu"), .type = METRIC_GAUGE, .points = &p, .count = 1};
    p.is_int = false;
    p.number = 1e-9;
    encode_one(&m, &dog, NULL);
    assert_string_equal(got.data, "process.cpu:0.000000001|g\n");
    p.number = 1e21;
    encode_one(&m, &dog, NULL);
    assert_string_equal(got.data, "process.cpu:1000000000000000000000|g\n");

    /* To a plain server a gauge of -2 means two less. */
    p.number = -2;
    encode_one(&m, &dog, NULL);
    assert_string_equal(got.data, "process.cpu:-2|g\n");
    encode_one(&m, &plain, NULL);
    assert_string_equal(got.data, "process.cpu:0|g\nprocess.cpu:-2|g\n");

    p.number = NAN;
    assert_int_equal(encode_one(&m, &dog, NULL), 1);
    assert_int_equal(got.units, 0);
}

static void histograms_are_sent_without_invention(void **state)
{
    (void)state;
    const double bounds[] = {1}, values[] = {0.25, 3, 0.001};
    const uint64_t buckets[] = {2, 1};
    struct metric_point p = {.histogram = {.count = 3,
                                           .sum = 3.251,
                                           .min = 0.001,
                                           .max = 3,
                                           .has_extremes = true,
                                           .bounds = bounds,
                                           .buckets = buckets,
                                           .bound_count = 1}};
    struct metric m = {.name = TEXT("d"),
                       .unit = TEXT("s"),
                       .type = METRIC_HISTOGRAM,
                       .temporality = TEMPORALITY_DELTA,
                       .points = &p,
                       .count = 1};
    struct conf dog = {0}, plain = {.statsd_format = STATSD_PLAIN};

    encode_one(&m, &dog, NULL);
    assert_string_equal(got.data, "d.count:3|c\nd.sum:3.251|c\nd.min:0.001|g\nd.max:3|g\n");
    assert_int_equal(got.items, 1);
    p.histogram.values = values;
    encode_one(&m, &dog, NULL);
    assert_string_equal(got.data,
                        "d.count:3|c\nd.sum:3.251|c\nd.min:0.001|g\nd.max:3|g\nd:0.25:3:0.001|d\n");
    encode_one(&m, &plain, NULL);
    assert_string_equal(
        got.data,
        "d.count:3|c\nd.sum:3.251|c\nd.min:0.001|g\nd.max:3|g\nd:250|ms\nd:3000|ms\nd:1|ms\n");
    m.temporality = TEMPORALITY_CUMULATIVE;
    p.histogram.has_extremes = false;
    encode_one(&m, &dog, NULL);
    assert_string_equal(got.data, "d.count:3|g\nd.sum:3.251|g\n");
    m.temporality = TEMPORALITY_DELTA;
    p.histogram =
        (struct histogram){.bounds = bounds, .buckets = (const uint64_t[]){0, 0}, .bound_count = 1};
    assert_int_equal(encode_one(&m, &dog, NULL), 0);
    assert_int_equal(got.units, 0);
}

static void exponential_histograms_are_counts_and_sums(void **state)
{
    (void)state;
    const uint64_t buckets[] = {2, 1};
    struct metric_point p = {.exponential = {.count = UINT32_MAX,
                                             .sum = 3.25,
                                             .min = 0,
                                             .max = 3,
                                             .has_extremes = true,
                                             .scale = 4,
                                             .zero_count = 1,
                                             .buckets = buckets,
                                             .bucket_count = 2}};
    struct metric m = {.name = TEXT("x"),
                       .unit = TEXT("s"),
                       .type = METRIC_EXPONENTIAL,
                       .temporality = TEMPORALITY_DELTA,
                       .points = &p,
                       .count = 1};
    struct conf dog = {0}, plain = {.statsd_format = STATSD_PLAIN};

    assert_int_equal(encode_one(&m, &dog, NULL), 0);
    assert_string_equal(got.data, "x.count:4294967295|c\nx.sum:3.25|c\nx.min:0|g\nx.max:3|g\n");
    encode_one(&m, &plain, NULL);
    assert_string_equal(got.data, "x.count:4294967295|c\nx.sum:3.25|c\nx.min:0|g\nx.max:3|g\n");
    m.temporality = TEMPORALITY_CUMULATIVE;
    p.exponential.has_extremes = false;
    encode_one(&m, &dog, NULL);
    assert_string_equal(got.data, "x.count:4294967295|g\nx.sum:3.25|g\n");
    m.temporality = TEMPORALITY_DELTA;
    p.exponential = (struct exponential){0};
    assert_int_equal(encode_one(&m, &dog, NULL), 0);
    assert_int_equal(got.units, 0);
}

static void long_distributions_are_split_between_lines(void **state)
{
    (void)state;
    enum { COUNT = 40000 };
    static double values[COUNT];
    for (int i = 0; i < COUNT; i++)
        values[i] = i / 1000.0;
    struct attribute a[] = {text_attribute("k", "v")};
    struct metric_point p = {.attributes = {a, 1, 0},
                             .histogram = {.count = COUNT, .sum = 1, .values = values}};
    struct metric m = {.name = TEXT("d"),
                       .unit = TEXT("By"),
                       .type = METRIC_HISTOGRAM,
                       .temporality = TEMPORALITY_DELTA,
                       .points = &p,
                       .count = 1};
    struct conf formats[] = {{.statsd_format = STATSD_DOGSTATSD}, {.statsd_format = STATSD_PLAIN}};

    for (int f = 0; f < 2; f++) {
        assert_int_equal(encode_one(&m, &formats[f], NULL), 0);
        assert_int_equal(got.items, 1);
        assert_true(got.biggest <= 1432);
        int n = 0;
        char *copy = strdup(got.data), *rest = copy, *line;
        while (*(line = strsep(&rest, "\n"))) {
            if (strncmp(line, "d:", 2) && strncmp(line, "d.k_v:", 6))
                continue;
            for (char *v = strchr(line, ':'); *v == ':';) {
                double value = strtod(v + 1, &v);
                assert_true(value == values[n++]);
            }
        }
        free(copy);
        assert_int_equal(n, COUNT);
    }
}

static void names_and_tags_are_sanitised(void **state)
{
    (void)state;
    struct attribute a[] = {text_attribute("p:a|t,h", "/a b|c,d#e@f\ng:h"),
                            text_attribute("empty", ""),
                            text_attribute("\xc3\xa9", "\xc3\xa9\xff")};
    struct metric_point p = {.attributes = {a, 3, 0}, .is_int = true, .integer = 1};
    struct metric m = {.name = TEXT("a-b:c|d@e#f g\n.h\xc3\xa9"),
                       .type = METRIC_SUM,
                       .temporality = TEMPORALITY_DELTA,
                       .points = &p,
                       .count = 1};
    struct conf dog = {.statsd_prefix = (char *)"my:app."}, plain = dog;
    plain.statsd_format = STATSD_PLAIN;

    encode_one(&m, &dog, NULL);
    assert_string_equal(
        got.data,
        "my_app.a_b_c_d_e_f_g_.h__:1|c|#p_a_t_h:/a b_c_d_e_f_g:h,\xc3\xa9:\xc3\xa9\xff\n");
    encode_one(&m, &plain, NULL);
    assert_string_equal(got.data,
                        "my_app.a_b_c_d_e_f_g_.h__.p_a_t_h__a_b_c_d_e_f_g_h.______:1|c\n");
}

static void tags_come_from_configuration_and_resource_once(void **state)
{
    (void)state;
    struct text items[] = {TEXT("x"), TEXT("y")};
    struct attribute own[] = {text_attribute("service.name", "web"),
                              text_attribute("host.name", "h1"),
                              text_attribute("container.id", "83c0|a9"),
                              text_attribute("other", "o"),
                              {.key = TEXT("many"), .type = VALUE_TEXTS, .texts = {items, 2}}};
    struct resource resource = {{own, 5, 0}, 1};
    struct conf_pair pairs[] = {{(char *)"env", (char *)"prod"},
                                {(char *)"host.name", (char *)"mine"}};
    char *chosen[] = {(char *)"service.name", (char *)"host.name", (char *)"absent",
                      (char *)"many"};
    struct conf conf = {.tags = {pairs, 2}, .statsd_tags = {chosen, 4}};
    struct attribute a[] = {text_attribute("env", "test")};
    struct metric_point p = {.is_int = true, .integer = 1};
    struct metric m = {.name = TEXT("m"), .type = METRIC_GAUGE, .points = &p, .count = 1};

    encode_one(&m, &conf, &resource);
    assert_string_equal(
        got.data, "m:1|g|#env:prod,host.name:mine,service.name:web,many:x,many:y|c:83c0_a9\n");
    p.attributes = (struct attributes){a, 1, 0};
    encode_one(&m, &conf, &resource);
    assert_string_equal(
        got.data, "m:1|g|#env:test,host.name:mine,service.name:web,many:x,many:y|c:83c0_a9\n");
    conf.statsd_format = STATSD_PLAIN;
    encode_one(&m, &conf, &resource);
    assert_string_equal(got.data, "m.env_test.host_name_mine.service_name_web.many_x.many_y:1|g\n");
}

/* As Datadog's agent gets it from a pod: tags, the entity, the container, the external data. */
static void datadogs_agent_is_told_the_origin(void **state)
{
    (void)state;
    struct attribute own[] = {text_attribute("service.name", "web"),
                              text_attribute("container.id", "83c0a9")};
    struct resource resource = {{own, 2, 0}, 1};
    struct conf_pair pairs[] = {{(char *)"env", (char *)"prod"},
                                {(char *)"version", (char *)"1.2"}};
    char *chosen[] = {(char *)"service.name"};
    struct conf conf = {.tags = {pairs, 2},
                        .statsd_tags = {chosen, 1},
                        .statsd_entity = (char *)"6f1c-uid",
                        .statsd_external = (char *)"it-false,cn-web,pu-6f|1c\n"};
    struct attribute a[] = {text_attribute("file.operation", "read")};
    const double values[] = {0.5, 0.25};
    struct metric_point p[] = {{.attributes = {a, 1, 0}, .is_int = true, .integer = 512},
                               {.histogram = {.count = 2,
                                              .sum = 0.75,
                                              .min = 0.25,
                                              .max = 0.5,
                                              .has_extremes = true,
                                              .values = values}}};
    struct metric m[] = {{.name = TEXT("scope.file.io"),
                          .type = METRIC_SUM,
                          .temporality = TEMPORALITY_DELTA,
                          .points = p,
                          .count = 1},
                         {.name = TEXT("d"),
                          .type = METRIC_HISTOGRAM,
                          .temporality = TEMPORALITY_DELTA,
                          .points = p + 1,
                          .count = 1}};
    struct batch b = {.signal = SIGNAL_METRICS, .resource = &resource, .metrics = m, .count = 2};
#define COMMON "env:prod,version:1.2,service.name:web,dd.internal.entity_id:6f1c-uid"
#define ORIGIN "|c:83c0a9|e:it-false,cn-web,pu-6f_1c_\n"

    assert_int_equal(encode(&b, &conf, 1432), 0);
    check_grammar(STATSD_DOGSTATSD);
    assert_int_equal(got.units, 1);
    assert_string_equal(got.data, "scope.file.io:512|c|#file.operation:read," COMMON ORIGIN
                                  "d.count:2|c|#" COMMON ORIGIN "d.sum:0.75|c|#" COMMON ORIGIN
                                  "d.min:0.25|g|#" COMMON ORIGIN "d.max:0.5|g|#" COMMON ORIGIN
                                  "d:0.5:0.25|d|#" COMMON ORIGIN);
    conf.statsd_format = STATSD_PLAIN; /* which has no such fields */
    encode(&b, &conf, 1432);
    assert_non_null(strstr(got.data, "version_1_2.service_name_web:512|c\n"));
}

static void units_are_packed_and_lines_never_split(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    static struct metric_point p[COUNT];
    static char paths[COUNT][2000];
    static struct attribute a[COUNT];
    struct conf conf = {0};
    struct metric m = {.name = TEXT("scope.test"),
                       .type = METRIC_SUM,
                       .temporality = TEMPORALITY_DELTA,
                       .points = p,
                       .count = COUNT};
    struct batch b = {.signal = SIGNAL_METRICS, .metrics = &m, .count = 1};
    const size_t maxima[] = {512, 1432, 8192, SIZE_MAX};

    for (int i = 0; i < COUNT; i++) {
        memset(paths[i], 'p', (size_t)(i % 50 ? i % 300 : 1500));
        a[i] = text_attribute("file.path", paths[i]);
        p[i] = (struct metric_point){
            .attributes = {&a[i], i % 3 ? 1 : 0, 0}, .is_int = true, .integer = i};
    }
    for (int k = 0; k < 4; k++) {
        size_t fitting = 0;
        for (int i = 0; i < COUNT; i++) {
            char number[16];
            size_t tags = p[i].attributes.count && paths[i][0] ? 2 + 10 + strlen(paths[i]) : 0;
            size_t line = (size_t)sprintf(number, "%d", i) + 11 + 2 + tags + 1;
            fitting += line <= maxima[k];
        }
        assert_int_equal(encode(&b, &conf, maxima[k]), COUNT - fitting);
        check_grammar(STATSD_DOGSTATSD);
        assert_int_equal(got.items, fitting);
        assert_true(got.biggest <= maxima[k]);
        assert_true(got.biggest <= 65536);
        if (maxima[k] < 10000)
            assert_true(got.length / got.units > maxima[k] / 2); /* they are packed */
    }
}

static void logs_and_spans_are_none_of_its_business(void **state)
{
    (void)state;
    struct log_record r = {.body = TEXT("x")};
    struct span s = {.name = TEXT("x")};
    struct conf conf = {0};
    struct batch logs = {.signal = SIGNAL_LOGS, .logs = &r, .count = 1},
                 spans = {.signal = SIGNAL_TRACES, .spans = &s, .count = 1};

    assert_int_equal(encode(&logs, &conf, 1432), 0);
    assert_int_equal(encode(&spans, &conf, 1432), 0);
    assert_int_equal(got.units, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_and_gauges),
        cmocka_unit_test(histograms_are_sent_without_invention),
        cmocka_unit_test(exponential_histograms_are_counts_and_sums),
        cmocka_unit_test(datadogs_agent_is_told_the_origin),
        cmocka_unit_test(long_distributions_are_split_between_lines),
        cmocka_unit_test(names_and_tags_are_sanitised),
        cmocka_unit_test(tags_come_from_configuration_and_resource_once),
        cmocka_unit_test(units_are_packed_and_lines_never_split),
        cmocka_unit_test(logs_and_spans_are_none_of_its_business),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(got.data);
    return failed;
}
