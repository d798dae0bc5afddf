/*
 * The NDJSON encoder, judged by a JSON parser of other make (jansson, which refuses invalid UTF-8):
 * shape, exactness of numbers and bytes, units, locale.
 */
#include "units.h"

#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "ndjson/json.h"

static const struct telemetry_scope file_scope = {TEXT("scope.file"), TEXT("2.0.0")};

/* ------------------------------------------------------------------ collecting */

static size_t encode(const struct batch *batch, const struct conf *conf, size_t unit_max)
{
    return encode_with(&ndjson_encoder, batch, conf, unit_max);
}

/* The line at p, parsed. */
static json_t *parse_line(const char *p)
{
    json_error_t error;
    int length = (int)(strchr(p, '\n') - p);
    json_t *j = json_loadb(p, (size_t)length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);

    if (!j)
        fail_msg("%s: %.*s", error.text, length, p);
    return j;
}

static json_t *line(size_t n)
{
    const char *p = got.data;

    while (n--)
        p = strchr(p, '\n') + 1;
    return parse_line(p);
}

static json_t *at(json_t *j, const char *key)
{
    json_t *v = json_object_get(j, key);
    if (!v)
        fail_msg("no %s", key);
    return v;
}

static json_t *one_log(const struct log_record *r, const struct resource *resource)
{
    struct batch b = {.signal = SIGNAL_LOGS, .resource = resource, .logs = r, .count = 1};

    assert_int_equal(encode(&b, NULL, 1 << 18), 0);
    assert_int_equal(lines(), 1);
    assert_int_equal(got.items, 1);
    return line(0);
}

/* ------------------------------------------------------------------ shape */

static void metrics_have_the_documented_shape(void **state)
{
    (void)state;
    struct attribute a[] = {text_attribute("file.operation", "read"),
                            {.key = TEXT("n"), .type = VALUE_INT, .integer = 7}};
    struct attribute r[] = {text_attribute("service.name", "web")};
    struct resource resource = {{r, 1, 0}, 1};
    const double bounds[] = {0.000001, 0.5, 10};
    const uint64_t buckets[] = {1, 0, 2, 0};
    struct metric_point sums[] = {
        {.attributes = {a, 2, 3},
         .start_time = 1700000000000000001,
         .time = 1700000010500000000,
         .is_int = true,
         .integer = INT64_MAX},
        {.time = 1700000010500000000, .number = 0.25},
    };
    struct metric_point histogram = {.time = 5,
                                     .histogram = {.count = 3,
                                                   .sum = 1.5,
                                                   .min = 0.0000001,
                                                   .max = 1,
                                                   .has_extremes = true,
                                                   .bounds = bounds,
                                                   .buckets = buckets,
                                                   .bound_count = 3}};
    struct metric_point gauge = {.time = 5, .number = NAN};
    struct metric metrics[] = {
        {.name = TEXT("scope.file.io"),
         .unit = TEXT("By"),
         .scope = &file_scope,
         .type = METRIC_SUM,
         .temporality = TEMPORALITY_DELTA,
         .monotonic = true,
         .points = sums,
         .count = 2},
        {.name = TEXT("h"),
         .unit = TEXT("s"),
         .type = METRIC_HISTOGRAM,
         .temporality = TEMPORALITY_CUMULATIVE,
         .points = &histogram,
         .count = 1},
        {.name = TEXT("g"), .unit = TEXT("1"), .type = METRIC_GAUGE, .points = &gauge, .count = 1},
    };
    struct batch b = {
        .signal = SIGNAL_METRICS, .resource = &resource, .metrics = metrics, .count = 3};

    assert_int_equal(encode(&b, NULL, 1 << 18), 0);
    assert_int_equal(lines(), 4);
    assert_int_equal(got.items, 4);
    const char *first = "{\"time\":1700000010.500000000,\"signal\":\"metric\",\"name\":\"scope."
                        "file.io\",\"unit\":\"By\",\"type\":\"sum\","
                        "\"temporality\":\"delta\",\"monotonic\":true,\"start\":1700000000."
                        "000000001,\"value\":9223372036854775807,"
                        "\"scope\":\"scope.file\",\"attributes\":{\"file.operation\":\"read\","
                        "\"n\":7},\"attributes_dropped\":3,"
                        "\"resource\":{\"service.name\":\"web\"}}\n";
    assert_memory_equal(got.data, first, strlen(first));
    json_t *j = line(1);
    assert_true(json_real_value(at(j, "value")) == 0.25);
    assert_int_equal(json_object_size(at(j, "attributes")), 0);
    assert_null(json_object_get(j, "start"));
    json_decref(j);
    j = line(2);
    json_t *v = at(j, "value");
    assert_int_equal(json_integer_value(at(v, "count")), 3);
    assert_true(json_real_value(at(v, "sum")) == 1.5);
    assert_true(json_real_value(at(v, "min")) == 0.0000001);
    assert_true(json_real_value(at(v, "max")) == 1);
    assert_int_equal(json_array_size(at(v, "bounds")), 3);
    assert_true(json_real_value(json_array_get(at(v, "bounds"), 0)) == 0.000001);
    assert_int_equal(json_array_size(at(v, "buckets")), 4);
    assert_int_equal(json_integer_value(json_array_get(at(v, "buckets"), 2)), 2);
    assert_string_equal(json_string_value(at(j, "temporality")), "cumulative");
    json_decref(j);
    j = line(3);
    assert_true(json_is_null(at(j, "value")));
    assert_string_equal(json_string_value(at(j, "type")), "gauge");
    assert_null(json_object_get(j, "temporality"));
    json_decref(j);
}

static void logs_have_the_documented_shape(void **state)
{
    (void)state;
    struct text items[] = {TEXT("a"), TEXT("b\"c")};
    struct attribute a[] = {
        {.key = TEXT("ok"), .type = VALUE_BOOL, .boolean = true},
        {.key = TEXT("d"), .type = VALUE_DOUBLE, .number = 5},
        {.key = TEXT("i"), .type = VALUE_INT, .integer = INT64_MIN},
        {.key = TEXT("inf"), .type = VALUE_DOUBLE, .number = INFINITY},
        {.key = TEXT("list"), .type = VALUE_TEXTS, .texts = {items, 2}},
    };
    struct log_record r = {.time = 1700000000123456789,
                           .observed_time = 1700000001000000000,
                           .body = TEXT("disk full"),
                           .severity = 18,
                           .severity_text = TEXT("err"),
                           .attributes = {a, 5, 0},
                           .trace_id = {0xab, [15] = 1},
                           .span_id = {[7] = 0x10}};
    struct resource resource = {{NULL, 0, 0}, 1};

    json_t *j = one_log(&r, &resource);
    assert_non_null(strstr(
        got.data, "{\"time\":1700000000.123456789,\"signal\":\"log\",\"body\":\"disk full\""));
    assert_string_equal(json_string_value(at(j, "severity")), "ERROR2");
    assert_int_equal(json_integer_value(at(j, "severity_number")), 18);
    assert_string_equal(json_string_value(at(j, "severity_text")), "err");
    assert_string_equal(json_string_value(at(j, "trace_id")), "ab000000000000000000000000000001");
    assert_string_equal(json_string_value(at(j, "span_id")), "0000000000000010");
    json_t *own = at(j, "attributes");
    assert_true(json_is_true(at(own, "ok")));
    assert_true(json_is_real(at(own, "d")));
    assert_true(json_integer_value(at(own, "i")) == INT64_MIN);
    assert_true(json_is_null(at(own, "inf")));
    assert_string_equal(json_string_value(json_array_get(at(own, "list"), 1)), "b\"c");
    assert_null(json_object_get(j, "escaped"));
    json_decref(j);

    struct log_record event = {.observed_time = 7,
                               .event_name = TEXT("scope.file.closed"),
                               .severity = 9,
                               .severity_text = TEXT("INFO")};
    j = one_log(&event, NULL);
    assert_string_equal(json_string_value(at(j, "name")), "scope.file.closed");
    assert_string_equal(json_string_value(at(j, "severity")), "INFO");
    assert_null(json_object_get(j, "severity_text"));
    assert_null(json_object_get(j, "body"));
    assert_null(json_object_get(j, "trace_id"));
    assert_int_equal(json_object_size(at(j, "resource")), 0);
    assert_non_null(strstr(got.data, "\"time\":0.000000007"));
    json_decref(j);

    struct log_record empty = {.observed_time = 1};
    j = one_log(&empty, NULL);
    assert_string_equal(json_string_value(at(j, "body")), "");
    assert_null(json_object_get(j, "severity"));
    json_decref(j);
}

static void spans_have_the_documented_shape(void **state)
{
    (void)state;
    struct span s = {.trace_id = {1},
                     .span_id = {2},
                     .parent_span_id = {3},
                     .name = TEXT("GET"),
                     .kind = SPAN_CLIENT,
                     .start_time = 1700000000000000000,
                     .end_time = 1700000001000000002,
                     .status = STATUS_ERROR,
                     .status_message = TEXT("no"),
                     .trace_state = TEXT("k=v")};
    struct batch b = {.signal = SIGNAL_TRACES, .spans = &s, .count = 1};

    assert_int_equal(encode(&b, NULL, 1 << 18), 0);
    json_t *j = line(0);
    assert_string_equal(json_string_value(at(j, "signal")), "span");
    assert_string_equal(json_string_value(at(j, "kind")), "client");
    assert_string_equal(json_string_value(at(j, "status")), "error");
    assert_string_equal(json_string_value(at(j, "parent_span_id")), "0300000000000000");
    assert_non_null(strstr(got.data, "\"duration\":1.000000002"));
    json_decref(j);
    s.end_time = 5; /* not known */
    s.status = STATUS_UNSET;
    encode(&b, NULL, 1 << 18);
    j = line(0);
    assert_null(json_object_get(j, "duration"));
    assert_null(json_object_get(j, "status"));
    json_decref(j);
}

static void exponential_histograms_and_exemplars(void **state)
{
    (void)state;
    const uint64_t buckets[] = {1, 0, 2};
    struct attribute a[] = {text_attribute("k", "v\xff")};
    struct exemplar exemplars[] = {
        {.time = 1500000000, .value = 0.5, .trace_id = {1}, .span_id = {2}},
        {.time = 2500000000, .value = 2, .filtered = {a, 1, 0}}};
    struct metric_point p = {.start_time = 1000000000,
                             .time = 3000000000,
                             .exponential = {.count = 4,
                                             .sum = 2.5,
                                             .min = 0,
                                             .max = 2,
                                             .has_extremes = true,
                                             .scale = -1,
                                             .zero_count = 1,
                                             .offset = -3,
                                             .buckets = buckets,
                                             .bucket_count = 3},
                             .exemplars = exemplars,
                             .exemplar_count = 2};
    struct metric m = {.name = TEXT("x"),
                       .unit = TEXT("s"),
                       .type = METRIC_EXPONENTIAL,
                       .temporality = TEMPORALITY_DELTA,
                       .points = &p,
                       .count = 1};
    struct batch b = {.signal = SIGNAL_METRICS, .metrics = &m, .count = 1};

    assert_int_equal(encode(&b, NULL, 1 << 18), 0);
    json_decref(line(0));
    assert_string_equal(
        got.data,
        "{\"time\":3.000000000,\"signal\":\"metric\",\"name\":\"x\",\"unit\":\"s\","
        "\"type\":\"exponential_histogram\",\"temporality\":\"delta\",\"start\":1.000000000,"
        "\"value\":{\"count\":4,\"sum\":2.5,\"min\":0.0,\"max\":2.0,\"scale\":-1,"
        "\"zero_count\":1,\"offset\":-3,\"buckets\":[1,0,2]},"
        "\"exemplars\":[{\"time\":1.500000000,\"value\":0.5,"
        "\"trace_id\":\"01000000000000000000000000000000\",\"span_id\":\"0200000000000000\"},"
        "{\"time\":2.500000000,\"value\":2.0,\"attributes\":{\"k\":\"v\\\\xff\"}}],"
        "\"attributes\":{},\"escaped\":[\"exemplars.attributes.k\"],\"resource\":{}}\n");
}

static void spans_tell_their_events_and_links(void **state)
{
    (void)state;
    struct attribute a[] = {text_attribute("exception.type", "E")};
    struct span_event events[] = {{.time = 5, .name = TEXT("exception"), .attributes = {a, 1, 2}},
                                  {.time = 6, .name = TEXT("b\xff")}};
    struct span_link links[] = {
        {.trace_id = {1}, .span_id = {2}, .trace_state = TEXT("k=v"), .attributes = {a, 1, 0}},
        {.trace_id = {3}, .span_id = {4}}};
    struct span s = {.name = TEXT("n"),
                     .start_time = 4,
                     .end_time = 7,
                     .events = events,
                     .event_count = 2,
                     .links = links,
                     .link_count = 2,
                     .dropped_events = 1,
                     .dropped_links = 9};
    struct batch b = {.signal = SIGNAL_TRACES, .spans = &s, .count = 1};

    assert_int_equal(encode(&b, NULL, 1 << 18), 0);
    json_decref(line(0));
    assert_string_equal(
        got.data,
        "{\"time\":0.000000004,\"signal\":\"span\",\"name\":\"n\",\"duration\":0.000000003,"
        "\"events\":[{\"time\":0.000000005,\"name\":\"exception\","
        "\"attributes\":{\"exception.type\":\"E\"},\"attributes_dropped\":2},"
        "{\"time\":0.000000006,\"name\":\"b\\\\xff\"}],\"events_dropped\":1,"
        "\"links\":[{\"trace_id\":\"01000000000000000000000000000000\","
        "\"span_id\":\"0200000000000000\",\"trace_state\":\"k=v\","
        "\"attributes\":{\"exception.type\":\"E\"}},"
        "{\"trace_id\":\"03000000000000000000000000000000\",\"span_id\":\"0400000000000000\"}],"
        "\"links_dropped\":9,\"attributes\":{},\"escaped\":[\"events.name\"],\"resource\":{}}\n");
}

static void configured_tags_are_on_every_line(void **state)
{
    (void)state;
    struct conf_pair pairs[] = {{(char *)"team", (char *)"core"}, {(char *)"own", (char *)"tag"}};
    struct conf conf = {.tags = {pairs, 2}};
    struct attribute a[] = {text_attribute("own", "attribute")};
    struct log_record r = {.attributes = {a, 1, 0}};
    struct batch b = {.signal = SIGNAL_LOGS, .logs = &r, .count = 1};

    encode(&b, &conf, 1 << 18);
    json_t *j = line(0), *own = at(j, "attributes");
    assert_string_equal(json_string_value(at(own, "team")), "core");
    assert_string_equal(json_string_value(at(own, "own")), "attribute");
    json_decref(j);
}

/* ------------------------------------------------------------------ bytes */

/* What docs/sinks.md tells a reader to do with a string that is named in `escaped`. */
static size_t decode(const char *in, size_t length, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < length; i++) {
        if (in[i] != '\\') {
            out[n++] = in[i];
        } else if (in[i + 1] == '\\') {
            out[n++] = '\\';
            i++;
        } else {
            char hex[3] = {in[i + 2], in[i + 3]};
            assert_int_equal(in[i + 1], 'x');
            out[n++] = (char)strtol(hex, NULL, 16);
            i += 3;
        }
    }
    return n;
}

static int is_escaped(json_t *j, const char *name)
{
    json_t *list = json_object_get(j, "escaped"), *v;
    size_t i;

    json_array_foreach(list, i, v)
    {
        if (!strcmp(json_string_value(v), name))
            return 1;
    }
    return 0;
}

static void check_bytes(const char *bytes, size_t length)
{
    struct attribute a = {.key = TEXT("k"), .type = VALUE_TEXT};
    a.text = (struct text){bytes, length};
    struct log_record r = {.body = {bytes, length}, .attributes = {&a, 1, 0}};
    char out[4096];

    json_t *j = one_log(&r, NULL), *strings[] = {at(j, "body"), at(at(j, "attributes"), "k")};
    const char *names[] = {"body", "attributes.k"};
    bool valid = json_is_utf8(a.text);
    for (int i = 0; i < 2; i++) {
        const char *s = json_string_value(strings[i]);
        size_t n = json_string_length(strings[i]);
        assert_int_equal(is_escaped(j, names[i]), !valid);
        if (!valid) {
            n = decode(s, n, out);
            s = out;
        }
        assert_int_equal(n, length);
        assert_memory_equal(s, bytes, length);
    }
    json_decref(j);
}

static void any_bytes_can_be_had_back(void **state)
{
    (void)state;
    const struct text cases[] = {
        TEXT("plain"),        TEXT("C:\\temp\\x41 \\\\ \"q\"\n\t\r\b\f\x01\x1f\x7f"),
        TEXT("a\0b"),         TEXT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
        TEXT("\xff"),         TEXT("a\\xff\xff\\"),
        TEXT("\\x41\xc3"),    TEXT("\xc0\x80"),
        TEXT("\xed\xa0\x80"), TEXT("\xf4\x90\x80\x80"),
        TEXT("\xe2\x82"),     TEXT("\xf0\x9f\x98"),
        TEXT("\xe0\x80\x80"), TEXT("\xf0\x80\x80\x80"),
        TEXT("\x80"),         TEXT("\xc3\xa9\xff\n\"\\"),
        TEXT("\xef\xbf\xbf"),
    };
    char bytes[300];
    uint64_t x = 0x9e3779b97f4a7c15u;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_bytes(cases[i].data, cases[i].length);
    for (int round = 0; round < 4000; round++) {
        size_t n = 0;
        while (n < 250) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            unsigned kind = x >> 40 & 15;
            if (n && !(x >> 50 & 63))
                break;
            if (kind < 6)
                bytes[n++] = (char)('a' + (x >> 8) % 26);
            else if (kind < 8)
                bytes[n++] = '\\';
            else if (kind < 9)
                bytes[n++] = (char)(x >> 8 & 31);
            else if (kind < 12)
                n += (size_t)sprintf(bytes + n, "\xc3\xa9");
            else if (round % 2)
                bytes[n++] = (char)(x >> 8);
        }
        check_bytes(bytes, n);
    }
}

static void every_pair_of_bytes_is_judged_as_jansson_does(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 65536; i++) {
        char two[4] = {(char)(i >> 8), (char)i, (char)(i * 31 >> 4 | 0x80), 'x'};
        for (size_t n = 2; n <= 4; n++) {
            json_t *j = json_stringn(two, n);
            assert_int_equal(json_is_utf8((struct text){two, n}), j != NULL);
            json_decref(j);
        }
    }
}

/* Texts are looked at eight bytes at a time: one byte of each kind at every place of every length.
 */
static void one_byte_that_is_not_plain_is_found_anywhere(void **state)
{
    static const char odd[] = {'"', '\\', '\n', 0, 0x1f, (char)0x80, (char)0xff};
    static const char even[] = {' ', '!', '#', '[', ']', 0x7f, '~'};
    char bytes[40], out[300];
    (void)state;
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        for (size_t place = 0; place <= length; place++) {
            for (size_t kind = 0; kind < sizeof(odd); kind++) {
                struct json j = {.data = out, .room = sizeof(out)};
                memset(bytes, 'x', sizeof(bytes));
                if (place < length)
                    bytes[place] = odd[kind];
                bool plain = json_text_plain(&j, (struct text){bytes, length});
                assert_int_equal(plain, place == length);
                assert_int_equal(j.length, plain ? length + 2 : 0);
                if (place < length)
                    bytes[place] = even[kind];
                assert_true(json_text_plain(&j, (struct text){bytes, length}));
                assert_memory_equal(out + j.length - 1 - length, bytes, length);
            }
        }
    }
}

static void escaped_keys_and_resources_are_named(void **state)
{
    (void)state;
    struct attribute a[] = {text_attribute("k\xff\\", "v\\"), text_attribute("fine", "\\")};
    struct attribute own[] = {text_attribute("process.command", "\xfe")};
    struct resource resource = {{own, 1, 0}, 1};
    struct log_record r[2] = {{.body = TEXT("b"), .attributes = {a, 2, 0}},
                              {.event_name = TEXT("\x80")}};
    struct batch b = {.signal = SIGNAL_LOGS, .resource = &resource, .logs = r, .count = 2};

    assert_int_equal(encode(&b, NULL, 1 << 18), 0);
    json_t *j = line(0);
    assert_true(is_escaped(j, "attributes.k\\xff\\\\"));
    assert_true(is_escaped(j, "resource.process.command"));
    assert_int_equal(json_array_size(at(j, "escaped")), 2);
    assert_string_equal(json_string_value(at(at(j, "attributes"), "k\\xff\\\\")), "v\\\\");
    assert_string_equal(json_string_value(at(at(j, "attributes"), "fine")), "\\");
    assert_string_equal(json_string_value(at(at(j, "resource"), "process.command")), "\\xfe");
    json_decref(j);
    j = line(1);
    assert_true(is_escaped(j, "name"));
    assert_int_equal(json_array_size(at(j, "escaped")), 2);
    json_decref(j);
}

/* ------------------------------------------------------------------ units */

static void units_hold_whole_lines_up_to_their_size(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    static struct log_record r[COUNT];
    static char body[300000];
    struct batch b = {.signal = SIGNAL_LOGS, .logs = r, .count = COUNT};
    const size_t maxima[] = {1432, 8192, 65507, 1 << 18};
    memset(body, 'x', sizeof(body));

    for (int m = 0; m < 4; m++) {
        size_t too_long = 0, rest = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            r[i] = (struct log_record){.time = i, .body = {body, i * 37 % 1300}};
            if (i % 1000 == 999)
                r[i].body.length = i * 90;
        }
        size_t left_out = encode(&b, NULL, maxima[m]);
        size_t n = 0;
        for (const char *p = got.data; *p; p = strchr(p, '\n') + 1, n++) {
            json_t *j = parse_line(p);
            unsigned number = (unsigned)(json_real_value(at(j, "time")) * 1e9 + 0.5);
            while (n < number) { /* what was left out is what could not fit */
                assert_true(r[n].body.length + 70 > maxima[m]);
                too_long++;
                n++;
            }
            assert_int_equal(json_string_length(at(j, "body")), r[number].body.length);
            json_decref(j);
            rest = COUNT - 1 - n;
        }
        assert_int_equal(left_out, too_long + rest);
        assert_int_equal(got.items + left_out, COUNT);
        assert_int_equal(lines(), got.items);
        assert_true(got.biggest <= maxima[m]);
        assert_true(got.units < got.items || maxima[m] == 1432);
    }
}

static void an_empty_batch_is_no_unit(void **state)
{
    (void)state;
    struct metric m = {.name = TEXT("m")};
    struct batch logs = {.signal = SIGNAL_LOGS},
                 metrics = {.signal = SIGNAL_METRICS, .metrics = &m, .count = 1};

    assert_int_equal(encode(&logs, NULL, 1000), 0);
    assert_int_equal(got.units, 0);
    assert_int_equal(encode(&metrics, NULL, 1000), 0);
    assert_int_equal(got.units, 0);
}

static void a_resource_that_does_not_fit_leaves_all_out(void **state)
{
    (void)state;
    struct attribute own[] = {text_attribute("k", "a value longer than the unit")};
    struct resource resource = {{own, 1, 0}, 1};
    struct log_record r[2] = {{.time = 1}, {.time = 2}};
    struct batch b = {.signal = SIGNAL_LOGS, .resource = &resource, .logs = r, .count = 2};

    for (size_t max = 1; max < 130; max++) {
        size_t left_out = encode(&b, NULL, max);
        assert_int_equal(left_out + got.items, 2);
        assert_true(got.biggest <= max);
    }
}

/*
 * A locale with a decimal comma, made for the test if the machine has none. The encoder must not
 * notice; that the locale is in force is checked first.
 */
static void the_programs_locale_has_no_say(void **state)
{
    (void)state;
    char dir[] = "/tmp/test_locale_XXXXXX", command[512], shown[32];
    assert_non_null(mkdtemp(dir));
    if (!setlocale(LC_ALL, "de_DE.UTF-8")) {
        snprintf(command, sizeof(command),
                 "localedef -c -i de_DE -f UTF-8 %s/de_DE.UTF-8 >%s/out 2>&1", dir, dir);
        setenv("LOCPATH", dir, 1);
        (void)!system(command);
    }
    if (!setlocale(LC_ALL, "de_DE.UTF-8"))
        skip();
    snprintf(shown, sizeof(shown), "%g", 0.5);
    assert_string_equal(shown, "0,5");

    struct metric_point p = {.time = 1500000000, .number = 1234.5};
    struct metric m = {.name = TEXT("g"), .type = METRIC_GAUGE, .points = &p, .count = 1};
    struct batch b = {.signal = SIGNAL_METRICS, .metrics = &m, .count = 1};
    encode(&b, NULL, 1000);
    assert_non_null(strstr(got.data, "\"time\":1.500000000"));
    assert_non_null(strstr(got.data, "\"value\":1234.5,"));
    setlocale(LC_ALL, "C");
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    (void)!system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_have_the_documented_shape),
        cmocka_unit_test(logs_have_the_documented_shape),
        cmocka_unit_test(spans_have_the_documented_shape),
        cmocka_unit_test(exponential_histograms_and_exemplars),
        cmocka_unit_test(spans_tell_their_events_and_links),
        cmocka_unit_test(configured_tags_are_on_every_line),
        cmocka_unit_test(any_bytes_can_be_had_back),
        cmocka_unit_test(every_pair_of_bytes_is_judged_as_jansson_does),
        cmocka_unit_test(one_byte_that_is_not_plain_is_found_anywhere),
        cmocka_unit_test(escaped_keys_and_resources_are_named),
        cmocka_unit_test(units_hold_whole_lines_up_to_their_size),
        cmocka_unit_test(an_empty_batch_is_no_unit),
        cmocka_unit_test(a_resource_that_does_not_fit_leaves_all_out),
        cmocka_unit_test(the_programs_locale_has_no_say),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(got.data);
    return failed;
}
