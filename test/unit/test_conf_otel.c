/*
 * OpenTelemetry's general variables and its declarative file, one test for each paragraph of the
 * specification.
 */
#include "test_conf.h"

/* ------------------------------------------------------------------ 2.6 */

static void sdk_disabled_is_only_true(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool enabled, warned;
    } cases[] = {{"true", false, false}, {"TRUE", false, false}, {"false", true, false},
                 {"", true, false},      {"1", true, true},      {"yes", true, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char variable[60];
        struct reported r;
        snprintf(variable, sizeof(variable), "OTEL_SDK_DISABLED=%s", cases[i].value);
        struct conf *c = load_with(ENVIRONMENT(variable), NULL, &r);
        assert_int_equal(c->enabled, cases[i].enabled);
        assert_int_equal(r.count, cases[i].warned);
        conf_free(c);
    }
}

static void log_level(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int level;
        int warned;
    } cases[] = {{"INFO", DIAGNOSTICS_INFO, 0},
                 {"debug", DIAGNOSTICS_DEBUG, 0},
                 {"trace", DIAGNOSTICS_DEBUG, 0},
                 {"fatal", DIAGNOSTICS_ERROR, 0},
                 {"loud", DIAGNOSTICS_WARN, 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char variable[60];
        struct reported r;
        snprintf(variable, sizeof(variable), "OTEL_LOG_LEVEL=%s", cases[i].value);
        struct conf *c = load_with(ENVIRONMENT(variable), NULL, &r);
        assert_int_equal(c->diagnostics_level, cases[i].level);
        assert_int_equal(r.count, cases[i].warned);
        conf_free(c);
    }
}

static void propagators(void **state)
{
    (void)state;
    static const struct {
        const char *value, *want;
        int warned;
    } cases[] = {{"", "tracecontext baggage ", 0},
                 {"b3", "b3 ", 0},
                 {"baggage, TraceContext,baggage", "baggage tracecontext ", 0},
                 {"b3multi,jaeger", "b3multi ", 1},
                 {"none", "", 0},
                 {"xray", "tracecontext baggage ", 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char variable[80], got[100] = "";
        struct reported r;
        snprintf(variable, sizeof(variable), "OTEL_PROPAGATORS=%s", cases[i].value);
        struct conf *c = load_with(ENVIRONMENT(variable), NULL, &r);
        for (size_t k = 0; k < c->propagators.count; k++)
            snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s ", c->propagators.items[k]);
        assert_string_equal(got, cases[i].want);
        assert_int_equal(r.count, cases[i].warned);
        conf_free(c);
    }
}

static void samplers(void **state)
{
    (void)state;
    static const struct {
        const char *sampler, *argument;
        int want;
        double ratio;
        int warned;
    } cases[] = {
        {"", "", SAMPLER_PARENT_ALWAYS_ON, 1, 0},
        {"always_on", "", SAMPLER_ALWAYS_ON, 1, 0},
        {"ALWAYS_OFF", "", SAMPLER_ALWAYS_OFF, 1, 0},
        {"traceidratio", "0.25", SAMPLER_RATIO, 0.25, 0},
        {"parentbased_always_on", "", SAMPLER_PARENT_ALWAYS_ON, 1, 0},
        {"parentbased_always_off", "", SAMPLER_PARENT_ALWAYS_OFF, 1, 0},
        {"parentbased_traceidratio", "0", SAMPLER_PARENT_RATIO, 0, 0},
        {"traceidratio", "1.5", SAMPLER_RATIO, 1, 1},
        {"traceidratio", "-0.5", SAMPLER_RATIO, 1, 1},
        {"traceidratio", "half", SAMPLER_RATIO, 1, 1},
        {"traceidratio", "", SAMPLER_RATIO, 1, 0},
        {"", "0.25", SAMPLER_PARENT_ALWAYS_ON, 1, 0},       /* only if SAMPLER is set */
        {"jaeger", "0.25", SAMPLER_PARENT_ALWAYS_ON, 1, 1}, /* unknown is unset */
        {"on", "", SAMPLER_PARENT_ALWAYS_ON, 1, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char sampler[80], argument[80];
        snprintf(sampler, sizeof(sampler), "OTEL_TRACES_SAMPLER=%s", cases[i].sampler);
        snprintf(argument, sizeof(argument), "OTEL_TRACES_SAMPLER_ARG=%s", cases[i].argument);
        for (int order = 0; order < 2; order++) {
            struct reported r;
            struct conf *c = load_with(
                ENVIRONMENT(order ? sampler : argument, order ? argument : sampler), NULL, &r);
            if (c->sampler != (enum sampler_choice)cases[i].want ||
                c->sampler_ratio != cases[i].ratio || r.count != cases[i].warned)
                fail_msg("%s %s: %d %g %s", sampler, argument, (int)c->sampler, c->sampler_ratio,
                         r.all);
            conf_free(c);
        }
    }
}

static void exporters(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool otlp;
        int warned;
    } cases[] = {{"otlp", true, 0},
                 {"", true, 0},
                 {"none", false, 0},
                 {"None", false, 0},
                 {"console", true, 1},
                 {"otlp,console", true, 1},
                 {"none,console", false, 1},
                 {"otlp/stdout", true, 1},
                 {" otlp , zipkin", true, 1},
                 {"prometheus", true, 1},
                 {",", true, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char variable[80];
        struct reported r;
        snprintf(variable, sizeof(variable), "OTEL_TRACES_EXPORTER=%s", cases[i].value);
        struct conf *c = load_with(
            ENVIRONMENT(variable, (char *)"OTEL_EXPORTER_OTLP_ENDPOINT=http://c"), NULL, &r);
        if ((c->otlp[OTLP_TRACES].to != NULL) != cases[i].otlp || c->ndjson_to ||
            r.count != cases[i].warned)
            fail_msg("%s: %s", variable, r.all);
        assert_non_null(c->otlp[OTLP_LOGS].to);
        conf_free(c);
    }
    /* The implicit sink obeys too. */
    struct reported r;
    struct conf *c = load_with(ENVIRONMENT((char *)"OTEL_METRICS_EXPORTER=none"), NULL, &r);
    all_to(c, NULL, "http://localhost:4318/v1/logs", "http://localhost:4318/v1/traces");
    conf_free(c);
}

static void holds(struct conf_limit limit, int64_t want)
{
    if (limit.limited != (want >= 0) || (limit.limited && limit.most != want))
        fail_msg("%s %u, not %lld", limit.limited ? "limited to" : "not limited", limit.most,
                 (long long)want);
}

enum { NO_LIMIT = -1 };

static void limits(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(NULL, NULL, &r);
    holds(c->limits_all.attributes, 128);
    holds(c->limits_all.value_length, NO_LIMIT);
    holds(c->limits_log.attributes, 128);
    holds(c->limits_log.value_length, NO_LIMIT);
    holds(c->limits_span.attributes, 128);
    holds(c->limits_span.value_length, NO_LIMIT);
    holds(c->span_events, 128);
    holds(c->span_links, 128);
    holds(c->event_attributes, 128);
    holds(c->link_attributes, 128);
    conf_free(c);
    /* What is said of one kind holds for it, what is said of all for the others. */
    c = load_with(ENVIRONMENT((char *)"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=5",
                              (char *)"OTEL_ATTRIBUTE_COUNT_LIMIT=40",
                              (char *)"OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT=70",
                              (char *)"OTEL_SPAN_EVENT_COUNT_LIMIT=6",
                              (char *)"OTEL_SPAN_LINK_COUNT_LIMIT=0",
                              (char *)"OTEL_LINK_ATTRIBUTE_COUNT_LIMIT=8"),
                  NULL, &r);
    empty(&r);
    holds(c->limits_span.attributes, 5);
    holds(c->limits_log.attributes, 40);
    holds(c->limits_log.value_length, 70);
    holds(c->limits_span.value_length, NO_LIMIT);
    holds(c->span_events, 6);
    holds(c->span_links, 0);
    holds(c->event_attributes, 40);
    holds(c->link_attributes, 8);
    conf_free(c);
    c = load_with(ENVIRONMENT((char *)"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT=9",
                              (char *)"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT=3",
                              (char *)"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT=90",
                              (char *)"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT=0"),
                  NULL, &r);
    empty(&r);
    holds(c->limits_log.attributes, 9);
    holds(c->limits_span.attributes, 128);
    holds(c->event_attributes, 3);
    holds(c->limits_span.value_length, 90);
    holds(c->limits_log.value_length, 0); /* nothing of any text: not the same as no limit */
    conf_free(c);
    /* What is no number is told and passed over; `none` is a word of ours. */
    c = load_with(ENVIRONMENT((char *)"OTEL_ATTRIBUTE_COUNT_LIMIT=-1",
                              (char *)"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=none",
                              (char *)"OTEL_SPAN_EVENT_COUNT_LIMIT=",
                              (char *)"OTEL_SPAN_LINK_COUNT_LIMIT=99999999999999999999999"),
                  NULL, &r);
    assert_int_equal(r.count, 3);
    holds(c->limits_span.attributes, 128);
    holds(c->span_events, 128);
    holds(c->span_links, 128);
    conf_free(c);
    c = load_with(ENVIRONMENT((char *)"OTEL_ATTRIBUTE_COUNT_LIMIT=7",
                              (char *)"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT=7"),
                  ENVIRONMENT((char *)"limits.attributes=none", (char *)"limits.value_length=0"),
                  &r);
    empty(&r);
    holds(c->limits_log.attributes, NO_LIMIT);
    holds(c->limits_span.value_length, 0);
    char *text = printed(c);
    assert_non_null(strstr(text, "  attributes: none  # --set"));
    assert_non_null(strstr(text, "  span_value_length: 0  # --set"));
    conf_free(c);
    free(text);
}

/* ------------------------------------------------------------------ OTEL_ENTITIES */

static void list_is(const struct conf_list *list, const char *want)
{
    char all[200] = "";
    for (size_t i = 0; i < list->count; i++) {
        strcat(all, i ? "," : "");
        strcat(all, list->items[i]);
    }
    assert_string_equal(all, want);
}

static void entities(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(
        ENVIRONMENT(
            (char *)"OTEL_RESOURCE_ATTRIBUTES=host.name=mine",
            (char *)"OTEL_ENTITIES=; service{service.name=a%2Cb , service.instance.id=1}"
                    "[service.version=1.0]@https://opentelemetry.io/schemas/1.21.0 ;;"
                    "host{host.id=h-1}[host.name=web,zone=%5Bz%5D];k8s.pod{k8s.pod.uid=u}[]"),
        NULL, &r);
    empty(&r);
    assert_int_equal(c->entity_count, 3);
    assert_string_equal(c->entities[0].type, "service");
    assert_string_equal(c->entities[0].schema_url, "https://opentelemetry.io/schemas/1.21.0");
    list_is(&c->entities[0].id, "service.name,service.instance.id");
    list_is(&c->entities[0].description, "service.version");
    assert_string_equal(c->entities[1].type, "host");
    assert_null(c->entities[1].schema_url);
    list_is(&c->entities[1].description, "host.name,zone");
    list_is(&c->entities[2].description, "");
    /* Their attributes are the resource's, unless OTEL_RESOURCE_ATTRIBUTES says otherwise. */
    assert_string_equal(c->service_name, "a,b");
    assert_string_equal(header(&c->attributes, "service.instance.id"), "1");
    assert_string_equal(header(&c->attributes, "host.name"), "mine");
    assert_string_equal(header(&c->attributes, "zone"), "[z]");
    assert_string_equal(header(&c->attributes, "k8s.pod.uid"), "u");
    conf_free(c);
}

/* What is wrong in one is told, and the others are used. */
static void entities_that_cannot_be_read(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        size_t count;
        int warned;
        const char *key, *want; /* an attribute; NULL: there is none of this key */
    } cases[] = {
        {"", 0, 0, "a", NULL},
        {";;", 0, 0, "a", NULL},
        {"service{a=1};invalid{syntax;host{b=2}", 2, 1, "b", "2"},
        {"service{};host{a=1}", 1, 1, "a", "1"},
        {"{a=1}", 0, 1, "a", NULL},
        {"9p{a=1}", 0, 1, "a", NULL},
        {"s{a}", 0, 1, "a", NULL},
        {"s{=1}", 0, 1, "", NULL},
        {"s{a=1=2}", 0, 1, "a", NULL},
        {"s{a=%zz}", 0, 1, "a", NULL},
        {"s{a=%00}", 0, 1, "a", NULL},
        {"s{a=1}[b", 0, 1, "a", NULL},
        {"s{a=1}[b]", 0, 1, "a", NULL},
        {"s{a=1}x", 0, 1, "a", NULL},
        {"s{a=1}@no url", 1, 1, "a", "1"},
        {"s{a=1}@", 1, 1, "a", "1"},
        {"s{a=1}[v=1];s{a=1}[v=2]", 1, 1, "v", "2"},
        {"s{a=1}[w=1];s{a=2}", 1, 1, "w", NULL},
        {"s{a=1};s{b=2}", 2, 0, "b", "2"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char variable[200];
        struct reported r;
        snprintf(variable, sizeof(variable), "OTEL_ENTITIES=%s", cases[i].value);
        struct conf *c = load_with(ENVIRONMENT(variable), NULL, &r);
        const char *got = header(&c->attributes, cases[i].key);
        if (c->entity_count != cases[i].count || r.count != cases[i].warned ||
            (cases[i].want ? !got || strcmp(got, cases[i].want) != 0 : got != NULL))
            fail_msg("%s: %zu, %s", variable, c->entity_count, r.all);
        assert_true(!r.count || strncmp(r.all, "OTEL_ENTITIES:0:0: ", 19) == 0);
        for (size_t k = 0; k < c->entity_count; k++)
            assert_null(c->entities[k].schema_url);
        conf_free(c);
    }
}

static void known_methods(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(NULL, NULL, &r);
    list_is(&c->traces_methods, "CONNECT,DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT,QUERY,TRACE");
    conf_free(c);
    /* They replace the default, and their letters count. */
    c = load_with(
        ENVIRONMENT((char *)"OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS= get, PURGE,,PROPFIND "), NULL,
        &r);
    empty(&r);
    list_is(&c->traces_methods, "get,PURGE,PROPFIND");
    conf_free(c);
    c = load_with(ENVIRONMENT((char *)"OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS=,"), NULL, &r);
    assert_int_equal(c->traces_methods.count, 10);
    conf_free(c);
}

static void exemplar_filter(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(NULL, NULL, &r);
    assert_int_equal(c->exemplars, EXEMPLARS_TRACE_BASED);
    conf_free(c);
    c = load_with(ENVIRONMENT((char *)"OTEL_METRICS_EXEMPLAR_FILTER=Always_On"), NULL, &r);
    assert_int_equal(c->exemplars, EXEMPLARS_ALWAYS_ON);
    conf_free(c);
    c = load_with(ENVIRONMENT((char *)"OTEL_METRICS_EXEMPLAR_FILTER=some"), NULL, &r);
    assert_int_equal(c->exemplars, EXEMPLARS_TRACE_BASED);
    assert_string_equal(
        r.all, "OTEL_METRICS_EXEMPLAR_FILTER:0:0: \"some\" is not supported, metrics.exemplars is "
               "as if it were unset; allowed: trace_based, always_on, always_off\n");
    conf_free(c);
}

static void temporality_and_histograms(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int want;
    } cases[] = {{"cumulative", TEMPORALITY_PREFER_CUMULATIVE},
                 {"DELTA", TEMPORALITY_PREFER_DELTA},
                 {"lowmemory", TEMPORALITY_PREFER_DELTA},
                 {"auto", TEMPORALITY_AUTO}}; /* ours, and none of the variable's */
    for (size_t i = 0; i < 4; i++) {
        char variable[100];
        struct reported r;
        snprintf(variable, sizeof(variable), "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=%s",
                 cases[i].value);
        struct conf *c = load_with(ENVIRONMENT(variable), NULL, &r);
        assert_int_equal(c->temporality, cases[i].want);
        assert_int_equal(r.count, i == 3);
        conf_free(c);
    }
    struct reported r;
    struct conf *c =
        load_with(ENVIRONMENT((char *)"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION="
                                      "base2_exponential_bucket_histogram"),
                  NULL, &r);
    assert_int_equal(c->otlp_histograms, HISTOGRAMS_EXPONENTIAL);
    conf_free(c);
}

static void numbers_that_are_none_are_passed_over(void **state)
{
    (void)state;
    static const char *const bad[] = {"-1", "1.5", "10s", "x", " 1", "99999999999999999999"};
    static const char *const names[] = {"OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_BSP_SCHEDULE_DELAY",
                                        "OTEL_BLRP_MAX_QUEUE_SIZE", "OTEL_METRIC_EXPORT_INTERVAL",
                                        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"};
    for (size_t n = 0; n < 5; n++) {
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
            char variable[100];
            struct reported r;
            snprintf(variable, sizeof(variable), "%s=%s", names[n], bad[i]);
            struct conf *c = load_with(ENVIRONMENT(variable), NULL, &r);
            if (r.count != 1 || strncmp(r.all, names[n], strlen(names[n])) != 0)
                fail_msg("%s: %s", variable, r.all);
            assert_int_equal(c->otlp[OTLP_LOGS].timeout, 10 * SECONDS);
            assert_int_equal(c->otlp[OTLP_TRACES].interval, 5 * SECONDS);
            assert_int_equal(c->otlp[OTLP_LOGS].queue, 2048);
            conf_free(c);
        }
    }
}

static void empty_is_unset_and_unsupported_names_are_no_trouble(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(
        ENVIRONMENT(
            (char *)"OTEL_EXPORTER_OTLP_ENDPOINT=", (char *)"OTEL_EXPORTER_OTLP_HEADERS=",
            (char *)"OTEL_CONFIG_FILE=", (char *)"OTEL_ENTITIES=x{a=b}",
            (char *)"OTEL_SPAN_EVENT_COUNT_LIMIT=1", (char *)"OTEL_SPAN_LINK_COUNT_LIMIT=1",
            (char *)"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT=1", (char *)"OTEL_EXPORTER_PROMETHEUS_PORT=1",
            (char *)"OTEL_EXPORTER_ZIPKIN_ENDPOINT=x", (char *)"OTEL_EXPERIMENTAL_CONFIG_FILE=x",
            (char *)"OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS=GET"),
        NULL, &r);
    empty(&r);
    assert_true(c->otlp_implicit);
    conf_free(c);
}

/* ------------------------------------------------------------------ 2.7 */

static const char whole[] =
    "file_format: \"1.1\"\n"
    "log_level: debug2\n"
    "resource: {attributes: [{name: team, value: x}]}\n"
    "attribute_limits: {attribute_count_limit: 20, attribute_value_length_limit: 300}\n"
    "propagator: {composite: [{b3: null}, {tracecontext: {}}], composite_list: 'b3,baggage'}\n"
    "tracer_provider:\n"
    "  processors:\n"
    "  - batch:\n"
    "      schedule_delay: 2000\n"
    "      export_timeout: 4000\n"
    "      max_queue_size: 64\n"
    "      max_export_batch_size: 32\n"
    "      exporter:\n"
    "        otlp_http:\n"
    "          endpoint: ${SCHEME:-https}://t:4318/v1/traces\n"
    "          headers: [{name: api-key, value: '${env:KEY}'}]\n"
    "          headers_list: api-key=weak,other=o%2C\n"
    "          tls: {ca_file: /ca, key_file: /key, cert_file: /cert}\n"
    "          compression: none\n"
    "          timeout: 9000\n"
    "          encoding: json\n"
    "  sampler: {parent_based: {root: {trace_id_ratio_based: {ratio: 0.5}}}}\n"
    "  limits: {attribute_count_limit: 10, event_count_limit: 11, link_count_limit: 12,\n"
    "           event_attribute_count_limit: 13, link_attribute_count_limit: 14}\n"
    "  id_generator: {random: {}}\n"
    "meter_provider:\n"
    "  exemplar_filter: always_off\n"
    "  readers:\n"
    "  - pull: {exporter: {prometheus/development: {}}}\n"
    "  - periodic:\n"
    "      interval: 3000\n"
    "      timeout: 2000\n"
    "      exporter:\n"
    "        otlp_http:\n"
    "          temporality_preference: low_memory\n"
    "          default_histogram_aggregation: base2_exponential_bucket_histogram\n"
    "          max_request_size: 100000\n"
    "logger_provider:\n"
    "  processors: [{simple: {exporter: {otlp_http: }}}]\n"
    "  limits: {attribute_value_length_limit: 0}\n"
    "instrumentation/development: {general: {http: {server: {known_methods: [GET, Purge]}}}}\n";

static void declarative_file(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_declarative(whole, "KEY=strong", &r);
    empty(&r);
    const struct conf_otlp *t = &c->otlp[OTLP_TRACES];
    assert_int_equal(c->diagnostics_level, DIAGNOSTICS_DEBUG);
    assert_string_equal(c->attributes.items[0].key, "team");
    holds(c->limits_all.attributes, 20);
    holds(c->limits_log.attributes, 20);
    holds(c->limits_log.value_length, 0);
    holds(c->limits_span.attributes, 10);
    holds(c->limits_span.value_length, 300);
    holds(c->span_events, 11);
    holds(c->span_links, 12);
    holds(c->event_attributes, 13);
    holds(c->link_attributes, 14);
    list_is(&c->traces_methods, "GET,Purge");
    assert_int_equal(c->propagators.count, 3);
    assert_string_equal(c->propagators.items[0], "b3");
    assert_string_equal(c->propagators.items[2], "baggage");
    /* Endpoints are whole URLs. */
    all_to(c, "http://localhost:4318/v1/metrics", "http://localhost:4318/v1/logs",
           "https://t:4318/v1/traces");
    assert_false(c->otlp_implicit);
    assert_int_equal(t->interval, 2 * SECONDS);
    assert_int_equal(t->export_timeout, 4 * SECONDS);
    assert_int_equal(t->timeout, 4 * SECONDS);
    assert_int_equal(t->queue, 64);
    assert_int_equal(t->batch, 32);
    assert_string_equal(header(&t->headers, "api-key"), "strong");
    assert_string_equal(header(&t->headers, "other"), "o,");
    assert_string_equal(t->ca_file, "/ca");
    assert_string_equal(t->client_key, "/key");
    assert_string_equal(t->client_cert, "/cert");
    assert_int_equal(t->compression, OTLP_NO_COMPRESSION);
    assert_int_equal(t->protocol, OTLP_JSON);
    assert_int_equal(c->sampler, SAMPLER_PARENT_RATIO);
    assert_true(c->sampler_ratio == 0.5);
    assert_int_equal(c->exemplars, EXEMPLARS_ALWAYS_OFF);
    assert_int_equal(c->otlp[OTLP_METRICS].interval, 3 * SECONDS);
    assert_int_equal(c->otlp[OTLP_METRICS].timeout, 2 * SECONDS);
    assert_int_equal(c->temporality, TEMPORALITY_PREFER_DELTA);
    assert_int_equal(c->otlp_histograms, HISTOGRAMS_EXPONENTIAL);
    assert_int_equal(c->otlp_request_max, 100000);
    assert_int_equal(c->otlp[OTLP_LOGS].headers.count, 0);
    conf_free(c);
}

static void declarative_file_silences_the_variables(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c =
        load_declarative("file_format: '1.0'\n", "OTEL_EXPORTER_OTLP_ENDPOINT=http://other", &r);
    empty(&r);
    assert_true(c->otlp_implicit);
    conf_free(c);
    /* Signals without an exporter are not sent where another has one. */
    c = load_declarative("file_format: '1.0'\n"
                         "meter_provider: {readers: [{periodic: {exporter: {otlp_http: {}}}}]}\n",
                         "A=b", &r);
    all_to(c, "http://localhost:4318/v1/metrics", NULL, NULL);
    conf_free(c);
}

static void declarative_samplers(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        int want;
        double ratio;
        int warned;
    } cases[] = {{"{always_on: }", SAMPLER_ALWAYS_ON, 1, 0},
                 {"{always_off: {}}", SAMPLER_ALWAYS_OFF, 1, 0},
                 {"{trace_id_ratio_based: {ratio: 0.125}}", SAMPLER_RATIO, 0.125, 0},
                 {"{trace_id_ratio_based: {}}", SAMPLER_RATIO, 1, 0},
                 {"{trace_id_ratio_based: {ratio: 2}}", SAMPLER_RATIO, 1, 1},
                 {"{probability/development: {ratio: 0}}", SAMPLER_RATIO, 0, 0},
                 {"{parent_based: }", SAMPLER_PARENT_ALWAYS_ON, 1, 0},
                 {"{parent_based: {root: {always_off: }}}", SAMPLER_PARENT_ALWAYS_OFF, 1, 0},
                 {"{parent_based: [x]}", SAMPLER_PARENT_ALWAYS_ON, 1, 1},
                 {"{jaeger_remote/development: {}}", SAMPLER_PARENT_ALWAYS_ON, 1, 1},
                 {"always_on", SAMPLER_PARENT_ALWAYS_ON, 1, 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char yaml[200];
        struct reported r;
        snprintf(yaml, sizeof(yaml), "file_format: '1.0'\ntracer_provider:\n  sampler: %s\n",
                 cases[i].yaml);
        struct conf *c = load_declarative(yaml, "A=b", &r);
        if (c->sampler != (enum sampler_choice)cases[i].want ||
            c->sampler_ratio != cases[i].ratio || r.count != cases[i].warned ||
            (r.count && !strstr(r.all, ":3:")))
            fail_msg("%s: %d %g %s", yaml, (int)c->sampler, c->sampler_ratio, r.all);
        conf_free(c);
    }
}

/* What is wrong is told with its place, and its neighbours are used. */
static void declarative_troubles_are_located(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *trouble;
    } cases[] = {
        {"log_level: [x]", ":2:12: log_level is of the wrong type; allowed: a value\n"},
        {"resource: x", ":2:11: resource is of the wrong type; allowed: a mapping\n"},
        {"attribute_limits: {attribute_count_limit: many}", ":2:43: \"many\" is not a number"},
        {"propagator: {composite: [{xray: }]}", ":2:25: \"xray\" is not supported"},
        {"tracer_provider: {processors: {}}",
         ":2:31: processors is of the wrong type; allowed: a list\n"},
        {"tracer_provider: {processors: [x]}",
         ":2:32: an item is of the wrong type; allowed: a mapping\n"},
        {"tracer_provider: {processors: [{batch: {max_queue_size: -1}}]}",
         ":2:57: otlp.traces.queue: \"-1\""},
        {"tracer_provider: {processors: [{batch: {exporter: {otlp_grpc: {}}}}]}",
         ":2:52: otlp_grpc is not supported; allowed: otlp_http\n"},
        {"logger_provider: {processors: [{simple: {exporter: {console: }}}]}",
         ":2:53: console is not supported; allowed: otlp_http\n"},
        {"tracer_provider: {processors: [{batch: {exporter: {otlp_http: x}}}]}",
         ":2:63: otlp_http is of the wrong type; allowed: a mapping\n"},
        {"tracer_provider: {processors: [{batch: {exporter: {otlp_http: {timeout: 1s}}}}]}",
         ":2:73: \"1s\" is not a number; allowed: a whole number of milliseconds\n"},
        {"tracer_provider: {processors: [{batch: {exporter: {otlp_http: {endpoint: "
         "'http://u:SESAME@h'}}}}]}",
         ":2:74: otlp.traces.to: \"***\""},
        {"tracer_provider: {processors: [{batch: {exporter: {otlp_http: {headers: [{name: a, "
         "value: 'SESAME${'}]}}}}]}",
         ":2:91: \"***\" cannot be expanded"},
        {"meter_provider: {exemplar_filter: all}", ":2:35: \"all\" is not supported"},
        {"meter_provider: {readers: [{periodic: {interval: soon}}]}", ":2:50: \"soon\""},
        {"unknown_to_us: [x]\nloggers: 5", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char yaml[400];
        struct reported r;
        snprintf(yaml, sizeof(yaml), "file_format: '1.0'\n%s\n%s\n", cases[i].yaml,
                 strstr(cases[i].yaml, "resource") ? "attribute_limits: {attribute_count_limit: 7}"
                                                   : "resource: {attributes_list: 'a=b'}");
        struct conf *c = load_declarative(yaml, "A=b", &r);
        if (cases[i].trouble ? r.count != 1 || !strstr(r.all, cases[i].trouble) : r.count)
            fail_msg("%s: %s", yaml, r.all);
        assert_null(strstr(r.all, "SESAME"));
        assert_true(c->attributes.count == 1 || c->limits_log.attributes.most == 7);
        conf_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sdk_disabled_is_only_true),
        cmocka_unit_test(log_level),
        cmocka_unit_test(propagators),
        cmocka_unit_test(samplers),
        cmocka_unit_test(exporters),
        cmocka_unit_test(limits),
        cmocka_unit_test(entities),
        cmocka_unit_test(entities_that_cannot_be_read),
        cmocka_unit_test(known_methods),
        cmocka_unit_test(exemplar_filter),
        cmocka_unit_test(temporality_and_histograms),
        cmocka_unit_test(numbers_that_are_none_are_passed_over),
        cmocka_unit_test(empty_is_unset_and_unsupported_names_are_no_trouble),
        cmocka_unit_test(declarative_file),
        cmocka_unit_test(declarative_file_silences_the_variables),
        cmocka_unit_test(declarative_samplers),
        cmocka_unit_test(declarative_troubles_are_located),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
