/*
 * Which sinks are on when nothing or something is said, and what presets set.
 */
#include "test_conf.h"

static void implicit_sink(void **state)
{
    (void)state;
    static const struct {
        const char *variable;
        const char *set;
        bool implicit;
    } cases[] = {
        {"A=b", NULL, true},
        {"SCOPE_NDJSON_TO=/x", NULL, false},
        {"SCOPE_STATSD_TO=udp://h:1", NULL, false},
        {"SCOPE_NDJSON_TO=off", NULL, true},
        {"SCOPE_OTLP_TO=off", NULL, false},
        {"A=b", "otlp.to=http://c", false},
        {"A=b", "otlp.logs.to=http://c", false},
        {"OTEL_EXPORTER_OTLP_ENDPOINT=http://c", NULL, false},
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c", NULL, false},
        {"SCOPE_PRESET=splunk", "ndjson.token=t", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reported r;
        struct conf *c = load_with(ENVIRONMENT((char *)cases[i].variable),
                                   ENVIRONMENT((char *)cases[i].set), &r);
        empty(&r);
        if (c->otlp_implicit != cases[i].implicit)
            fail_msg("%s %s", cases[i].variable, cases[i].set ? cases[i].set : "");
        if (cases[i].implicit)
            assert_non_null(c->otlp[OTLP_LOGS].to);
        conf_free(c);
    }
    struct reported r;
    struct conf *c = load_with(NULL, ENVIRONMENT((char *)"otlp.traces=off"), &r);
    all_to(c, "http://localhost:4318/v1/metrics", "http://localhost:4318/v1/logs", NULL);
    conf_free(c);
    c = load_with(NULL, ENVIRONMENT((char *)"otlp.traces.to=off", (char *)"otlp.to=http://c"), &r);
    all_to(c, "http://c/v1/metrics", "http://c/v1/logs", NULL);
    conf_free(c);
    /* Options alone name no sink, and hold for the implicit one. */
    c = load_with(NULL, ENVIRONMENT((char *)"otlp.timeout=3s", (char *)"otlp.headers.a=b"), &r);
    assert_true(c->otlp_implicit);
    assert_int_equal(c->otlp[OTLP_LOGS].timeout, 3 * SECONDS);
    assert_string_equal(header(&c->otlp[OTLP_LOGS].headers, "a"), "b");
    conf_free(c);
}

static void privileged_processes_send_nothing(void **state)
{
    (void)state;
    struct reported r;
    memset(&r, 0, sizeof(r));
    struct conf_input input = {
        .environ = ENVIRONMENT((char *)"OTEL_EXPORTER_OTLP_ENDPOINT=http://c",
                               (char *)"SCOPE_PRESET=collector", (char *)"https_proxy=http://p:1",
                               (char *)"SSL_CERT_FILE=/x"),
        .sets = ENVIRONMENT((char *)"otlp.to=http://c"),
        .privileged = true};
    struct conf *c = conf_load(&input, keep_report, &r);
    empty(&r);
    all_to(c, NULL, NULL, NULL);
    assert_false(c->otlp_implicit);
    assert_null(c->https_proxy);
    assert_null(c->tls_ca_file);
    conf_free(c);
}

/* ------------------------------------------------------------------ presets */

static void preset_newrelic(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(
        ENVIRONMENT((char *)"SCOPE_PRESET=NewRelic", (char *)"NEW_RELIC_LICENSE_KEY=SESAME"), NULL,
        &r);
    empty(&r);
    assert_string_equal(c->otlp[OTLP_LOGS].to, "https://otlp.nr-data.net/v1/logs");
    assert_string_equal(header(&c->otlp[OTLP_METRICS].headers, "api-key"), "SESAME");
    assert_int_equal(c->temporality, TEMPORALITY_PREFER_DELTA);
    assert_int_equal(c->otlp_histograms, HISTOGRAMS_EXPONENTIAL);
    assert_int_equal(c->otlp[OTLP_METRICS].compression, OTLP_GZIP);
    assert_int_equal(c->otlp_request_max, 900000);
    assert_int_equal(c->limits_log.value_length.most, 4095);
    assert_int_equal(c->limits_span.attributes.most, 64);
    char *text = printed(c);
    assert_non_null(strstr(text, "  value_length: 4095  # preset newrelic\n"));
    assert_non_null(strstr(text, "api-key: \"***\"  # preset newrelic\n"));
    assert_non_null(strstr(text, "preset: newrelic  # SCOPE_PRESET\n"));
    assert_null(strstr(text, "SESAME"));
    free(text);
    conf_free(c);
    /* Without its key: located. */
    c = load_text("\npreset: newrelic", (struct conf_input){NOWHERE}, &r);
    assert_string_equal(r.all, "f:2:9: preset newrelic needs a license key; allowed: "
                               "NEW_RELIC_LICENSE_KEY, or api-key in otlp.headers\n");
    conf_free(c);
    c = load_text("preset: newrelic\notlp: {headers: {API-KEY: x}}", (struct conf_input){NOWHERE},
                  &r);
    empty(&r);
    conf_free(c);
}

/* Weaker than all that its own source or a stronger one says, stronger than the rest. */
static void preset_precedence(void **state)
{
    (void)state;
    static const char yaml[] = "preset: newrelic\n"
                               "limits: {attributes: 9}\n"
                               "otlp: {headers: {api-key: file}}\n";
    struct reported r;
    struct conf *c =
        load_text(yaml,
                  (struct conf_input){
                      .environ = ENVIRONMENT((char *)"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT=5",
                                             (char *)"NEW_RELIC_LICENSE_KEY=variable",
                                             (char *)"OTEL_EXPORTER_OTLP_ENDPOINT=http://weak",
                                             (char *)"SCOPE_OTLP_COMPRESSION=none")},
                  &r);
    empty(&r);
    assert_int_equal(c->limits_span.attributes.most, 9); /* the same source */
    assert_string_equal(header(&c->otlp[OTLP_LOGS].headers, "api-key"), "file"); /* too */
    assert_int_equal(c->otlp[OTLP_LOGS].compression, OTLP_NO_COMPRESSION); /* a stronger one */
    assert_int_equal(c->limits_log.value_length.most, 4095);               /* a weaker one */
    assert_string_equal(c->otlp[OTLP_LOGS].to, "https://otlp.nr-data.net/v1/logs");
    conf_free(c);
    c = load_text(yaml, (struct conf_input){.environ = ENVIRONMENT((char *)"SCOPE_PRESET=none")},
                  &r);
    assert_true(c->otlp_implicit);
    conf_free(c);
    c = load_with(NULL, ENVIRONMENT((char *)"preset=new"), &r);
    assert_string_equal(r.all, "--set:0:0: preset: \"new\" is none of the choices; allowed: none, "
                               "collector, newrelic, datadog, splunk, grafana\n");
    conf_free(c);
}

static void preset_datadog(void **state)
{
    (void)state;
    static const struct {
        const char *variables[3];
        const char *statsd, *traces;
    } cases[] = {
        {{"A=", "A=", "A="}, "udp://127.0.0.1:8125", "http://localhost:4318/v1/traces"},
        {{"DD_AGENT_HOST=agent", "DD_DOGSTATSD_PORT=9", "A="},
         "udp://agent:9",
         "http://agent:4318/v1/traces"},
        {{"DD_AGENT_HOST=::1", "A=", "A="}, "udp://[::1]:8125", "http://[::1]:4318/v1/traces"},
        {{"DD_DOGSTATSD_URL=unix:///var/run/dsd.socket", "A=", "A="},
         "unixgram:///var/run/dsd.socket",
         "http://localhost:4318/v1/traces"},
        {{"DD_DOGSTATSD_URL=udp://h", "DD_AGENT_HOST=other", "A="},
         "udp://h:8125",
         "http://other:4318/v1/traces"},
        {{"DD_DOGSTATSD_URL=udp://h:7", "A=", "A="},
         "udp://h:7",
         "http://localhost:4318/v1/traces"},
        {{"DD_DOGSTATSD_URL=udp://[::1]", "A=", "A="},
         "udp://[::1]:8125",
         "http://localhost:4318/v1/traces"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reported r;
        struct conf *c =
            load_with(ENVIRONMENT((char *)cases[i].variables[0], (char *)cases[i].variables[1],
                                  (char *)cases[i].variables[2], (char *)"DD_ENV=prod",
                                  (char *)"DD_SERVICE=shop", (char *)"DD_VERSION=1.2"),
                      ENVIRONMENT((char *)"preset=datadog"), &r);
        empty(&r);
        assert_string_equal(c->statsd_to, cases[i].statsd);
        assert_int_equal(c->statsd_format, STATSD_DOGSTATSD);
        assert_string_equal(c->otlp[OTLP_TRACES].to, cases[i].traces);
        assert_non_null(strstr(c->otlp[OTLP_LOGS].to, ":4318/v1/logs"));
        assert_null(c->otlp[OTLP_METRICS].to); /* not twice */
        assert_int_equal(c->temporality, TEMPORALITY_PREFER_DELTA);
        assert_string_equal(c->service_name, "shop");
        assert_string_equal(header(&c->attributes, "deployment.environment.name"), "prod");
        assert_string_equal(header(&c->attributes, "service.version"), "1.2");
        assert_string_equal(header(&c->tags, "env"), "prod");
        assert_string_equal(header(&c->tags, "version"), "1.2");
        conf_free(c);
    }
    struct reported r;
    struct conf *c = load_with(ENVIRONMENT((char *)"DD_DOGSTATSD_URL=unixstream:///x"),
                               ENVIRONMENT((char *)"preset=datadog"), &r);
    assert_int_equal(r.count, 1);
    assert_non_null(strstr(r.all, "--set:0:0: preset datadog needs another DD_DOGSTATSD_URL"));
    conf_free(c);
}

static void preset_splunk_grafana_collector(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(ENVIRONMENT((char *)"SPLUNK_HEC_TOKEN=SESAME"),
                               ENVIRONMENT((char *)"preset=splunk"), &r);
    empty(&r);
    assert_string_equal(c->ndjson_to, "https://localhost:8088/services/collector/event");
    assert_string_equal(c->ndjson_token, "SESAME");
    assert_int_equal(c->ndjson_format, NDJSON_SPLUNK);
    all_to(c, NULL, NULL, NULL);
    conf_free(c);
    c = load_with(ENVIRONMENT((char *)"SPLUNK_HEC_URL=https://u:SESAME@s"),
                  ENVIRONMENT((char *)"preset=splunk"), &r);
    assert_int_equal(r.count, 2); /* the URL, and that there is no token */
    assert_null(strstr(r.all, "SESAME"));
    conf_free(c);

    c = load_with(ENVIRONMENT((char *)"GRAFANA_OTLP_ENDPOINT=https://g.net/otlp",
                              (char *)"GRAFANA_INSTANCE_ID=123", (char *)"GRAFANA_API_TOKEN=glc_x"),
                  ENVIRONMENT((char *)"preset=grafana"), &r);
    empty(&r);
    assert_string_equal(c->otlp[OTLP_TRACES].to, "https://g.net/otlp/v1/traces");
    assert_string_equal(header(&c->otlp[OTLP_LOGS].headers, "Authorization"), "Basic MTIzOmdsY194");
    conf_free(c);
    static const struct {
        const char *token, *encoded;
    } tokens[] = {{"a", "Basic MTph"}, {"ab", "Basic MTphYg=="}, {"abc", "Basic MTphYmM="}};
    for (size_t i = 0; i < 3; i++) {
        char token[40];
        snprintf(token, sizeof(token), "GRAFANA_API_TOKEN=%s", tokens[i].token);
        c = load_with(ENVIRONMENT((char *)"GRAFANA_OTLP_ENDPOINT=https://g.net", token,
                                  (char *)"GRAFANA_INSTANCE_ID=1"),
                      ENVIRONMENT((char *)"preset=grafana"), &r);
        assert_string_equal(header(&c->otlp[OTLP_LOGS].headers, "Authorization"),
                            tokens[i].encoded);
        conf_free(c);
    }
    c = load_with(NULL, ENVIRONMENT((char *)"preset=grafana"), &r);
    assert_int_equal(r.count, 2);
    all_to(c, NULL, NULL, NULL); /* and not to localhost, which nobody named */
    conf_free(c);

    c = load_with(NULL, ENVIRONMENT((char *)"preset=collector"), &r);
    empty(&r);
    all_to(c, "http://localhost:4318/v1/metrics", "http://localhost:4318/v1/logs",
           "http://localhost:4318/v1/traces");
    assert_false(c->otlp_implicit);
    conf_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(implicit_sink),   cmocka_unit_test(privileged_processes_send_nothing),
        cmocka_unit_test(preset_newrelic), cmocka_unit_test(preset_precedence),
        cmocka_unit_test(preset_datadog),  cmocka_unit_test(preset_splunk_grafana_collector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
