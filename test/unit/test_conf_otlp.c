/*
 * What OpenTelemetry's specification asks of an OTLP exporter's configuration: endpoints, requests,
 * batches; one test for each of its paragraphs. Secrets stay secret.
 */
#include "test_conf.h"

static void default_endpoint_is_localhost_4318(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(ENVIRONMENT((char *)"A=b"), NULL, &r);
    empty(&r);
    all_to(c, "http://localhost:4318/v1/metrics", "http://localhost:4318/v1/logs",
           "http://localhost:4318/v1/traces");
    assert_true(c->otlp_implicit);
    conf_free(c);
}

static void schemes_and_default_ports_are_kept(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *metrics; /* NULL: refused */
    } cases[] = {
        {"http://c", "http://c/v1/metrics"}, /* no port is 80, never 4318 */
        {"https://c", "https://c/v1/metrics"},
        {"https://c:4318/", "https://c:4318/v1/metrics"},
        {"http://[::1]:4318", "http://[::1]:4318/v1/metrics"},
        {"http+unix:///run/otel.sock", "http+unix:///run/otel.sock:/v1/metrics"},
        {"http+unix:///run/otel.sock:/my", "http+unix:///run/otel.sock:/my/v1/metrics"},
        {"http+unix://@name:", "http+unix://@name:/v1/metrics"},
        {"grpc://c:4317", NULL},
        {"ftp://c", NULL},
        {"c:4318", NULL},
        {"/file", NULL},
        {"stdout", NULL},
        {"http://", NULL},
        {"http://c:99999", NULL},
        {"http://c/x#y", NULL},
        {"http://c/a b", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char variable[100];
        struct reported r;
        snprintf(variable, sizeof(variable), "OTEL_EXPORTER_OTLP_ENDPOINT=%s", cases[i].url);
        struct conf *c = load_with(ENVIRONMENT(variable), NULL, &r);
        if ((r.count == 0) != (cases[i].metrics != NULL))
            fail_msg("%s: %s", cases[i].url, r.all);
        if (cases[i].metrics)
            assert_string_equal(c->otlp[OTLP_METRICS].to, cases[i].metrics);
        else
            assert_non_null(strstr(r.all, "OTEL_EXPORTER_OTLP_ENDPOINT:0:0: otlp.to: "));
        conf_free(c);
    }
}

static void endpoint_is_a_base(void **state)
{
    (void)state;
    static const char *const urls[] = {"http://c:4318/my", "http://c:4318/my/"};
    for (size_t i = 0; i < 2; i++) {
        char variable[100];
        struct reported r;
        snprintf(variable, sizeof(variable), "OTEL_EXPORTER_OTLP_ENDPOINT=%s", urls[i]);
        struct conf *c = load_with(ENVIRONMENT(variable), NULL, &r);
        empty(&r);
        all_to(c, "http://c:4318/my/v1/metrics", "http://c:4318/my/v1/logs",
               "http://c:4318/my/v1/traces");
        assert_false(c->otlp_implicit);
        conf_free(c);
    }
    struct reported r;
    struct conf *c = load_with(NULL, ENVIRONMENT((char *)"otlp.to=http://c/my?k=a/b"), &r);
    assert_string_equal(c->otlp[OTLP_LOGS].to, "http://c/my/v1/logs?k=a/b");
    conf_free(c);
}

static void endpoint_of_a_signal_is_used_as_it_is(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c =
        load_with(ENVIRONMENT((char *)"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://t:1/my/",
                              (char *)"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=https://m:2",
                              (char *)"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://l?x=y"),
                  NULL, &r);
    empty(&r);
    all_to(c, "https://m:2/", "http://l/?x=y", "http://t:1/my/");
    conf_free(c);
    /* One alone names a sink, and switches off the implicit one of the others. */
    c = load_with(ENVIRONMENT((char *)"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http+unix:///s"), NULL, &r);
    all_to(c, NULL, "http+unix:///s:/", NULL);
    conf_free(c);
}

static void signal_wins_over_generic_for_every_option(void **state)
{
    (void)state;
    struct reported r;
    /* Generic from the strongest source, the signal's from the weakest. */
    struct conf *c =
        load_with(ENVIRONMENT((char *)"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://l/own",
                              (char *)"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL=http/json",
                              (char *)"OTEL_EXPORTER_OTLP_LOGS_HEADERS=b=2",
                              (char *)"OTEL_EXPORTER_OTLP_LOGS_TIMEOUT=2000",
                              (char *)"OTEL_EXPORTER_OTLP_LOGS_COMPRESSION=gzip",
                              (char *)"OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE=/l/ca",
                              (char *)"OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY=/l/key",
                              (char *)"OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE=/l/cert"),
                  ENVIRONMENT((char *)"otlp.to=http://g", (char *)"otlp.protocol=protobuf",
                              (char *)"otlp.headers=a=1", (char *)"otlp.timeout=7s",
                              (char *)"otlp.compression=none", (char *)"otlp.ca_file=/g/ca",
                              (char *)"otlp.client_key=/g/key", (char *)"otlp.client_cert=/g/cert"),
                  &r);
    empty(&r);
    const struct conf_otlp *logs = &c->otlp[OTLP_LOGS], *traces = &c->otlp[OTLP_TRACES];
    assert_string_equal(logs->to, "http://l/own");
    assert_int_equal(logs->protocol, OTLP_JSON);
    assert_int_equal(logs->headers.count, 1);
    assert_string_equal(header(&logs->headers, "b"), "2");
    assert_int_equal(logs->timeout, 2 * SECONDS);
    assert_int_equal(logs->compression, OTLP_GZIP);
    assert_string_equal(logs->ca_file, "/l/ca");
    assert_string_equal(logs->client_key, "/l/key");
    assert_string_equal(logs->client_cert, "/l/cert");
    assert_string_equal(traces->to, "http://g/v1/traces");
    assert_int_equal(traces->protocol, OTLP_PROTOBUF);
    assert_string_equal(header(&traces->headers, "a"), "1");
    assert_int_equal(traces->timeout, 7 * SECONDS);
    assert_int_equal(traces->compression, OTLP_NO_COMPRESSION);
    assert_string_equal(traces->ca_file, "/g/ca");
    assert_string_equal(traces->client_key, "/g/key");
    assert_string_equal(traces->client_cert, "/g/cert");
    /* scope config tells where it is from, and does not stumble over what was inherited. */
    char *text = printed(c);
    assert_non_null(strstr(text, "compression: none  # --set"));
    assert_non_null(strstr(text, "\"***\"  # OTEL_EXPORTER_OTLP_LOGS_HEADERS"));
    free(text);
    conf_free(c);
}

/* ------------------------------------------------------------------ 2.2 */

static void protocols(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int protocol;
        bool good;
    } cases[] = {{"http/protobuf", OTLP_PROTOBUF, true},
                 {"HTTP/Json", OTLP_JSON, true},
                 {"grpc", OTLP_PROTOBUF, false},
                 {"none", OTLP_PROTOBUF, false},
                 {"x", OTLP_PROTOBUF, false},
                 {"", OTLP_PROTOBUF, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char variable[100];
        struct reported r;
        snprintf(variable, sizeof(variable), "OTEL_EXPORTER_OTLP_PROTOCOL=%s", cases[i].name);
        struct conf *c = load_with(ENVIRONMENT(variable), NULL, &r);
        assert_int_equal(c->otlp[OTLP_TRACES].protocol, cases[i].protocol);
        if (cases[i].good != (r.count == 0))
            fail_msg("%s: %s", cases[i].name, r.all);
        if (!cases[i].good)
            assert_non_null(strstr(r.all, "is not supported, otlp.protocol is as if it were unset; "
                                          "allowed: http/protobuf, http/json\n"));
        conf_free(c);
    }
}

static void compression_is_gzip_or_none(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(NULL, NULL, &r);
    assert_int_equal(c->otlp[OTLP_LOGS].compression, OTLP_GZIP);
    conf_free(c);
    c = load_with(ENVIRONMENT((char *)"OTEL_EXPORTER_OTLP_COMPRESSION=None"), NULL, &r);
    empty(&r);
    assert_int_equal(c->otlp[OTLP_LOGS].compression, OTLP_NO_COMPRESSION);
    conf_free(c);
    c = load_with(ENVIRONMENT((char *)"OTEL_EXPORTER_OTLP_COMPRESSION=zstd"), NULL, &r);
    assert_int_equal(r.count, 1);
    assert_int_equal(c->otlp[OTLP_LOGS].compression, OTLP_GZIP);
    conf_free(c);
}

static void headers_are_decoded_like_baggage(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c =
        load_with(ENVIRONMENT((char *)"OTEL_EXPORTER_OTLP_HEADERS=api-key=se%63ret%2C1, "
                                      "Authorization = Basic%20YTpi%3D ,x=a;b=c,eq=a=b"),
                  NULL, &r);
    empty(&r);
    const struct conf_pairs *h = &c->otlp[OTLP_METRICS].headers;
    assert_int_equal(h->count, 4);
    assert_string_equal(header(h, "api-key"), "secret,1");
    assert_string_equal(header(h, "Authorization"), "Basic YTpi=");
    assert_string_equal(header(h, "x"), "a;b=c"); /* there are no properties: a value is a value */
    assert_string_equal(header(h, "eq"), "a=b");
    conf_free(c);
    /* The same header in other letters is the same header. */
    c = load_with(ENVIRONMENT((char *)"OTEL_EXPORTER_OTLP_HEADERS=API-Key=weak"),
                  ENVIRONMENT((char *)"otlp.headers.api-key=strong"), &r);
    empty(&r);
    assert_int_equal(c->otlp[OTLP_LOGS].headers.count, 1);
    assert_string_equal(c->otlp[OTLP_LOGS].headers.items[0].value, "strong");
    conf_free(c);
}

/* Whatever is wrong about a secret, the secret is not in what is said about it. */
static void secrets_are_told_to_nobody(void **state)
{
    (void)state;
    static const char *const variables[] = {
        "OTEL_EXPORTER_OTLP_HEADERS=api-key=SESAME%",
        "OTEL_EXPORTER_OTLP_HEADERS=api-key:SESAME",
        "OTEL_EXPORTER_OTLP_HEADERS=api key SESAME=x",
        "OTEL_EXPORTER_OTLP_HEADERS=a=SESAME%0d%0aX: y",
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS==SESAME",
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://user:SESAME@host",
        "OTEL_EXPORTER_OTLP_ENDPOINT=user:SESAME@host",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://SESAME@host/",
        "SCOPE_OTLP_HEADERS=api-key SESAME",
        "SCOPE_OTLP_HEADERS=api-key: SESAME=",
        "SCOPE_NDJSON_TO=tcp://user:SESAME@host:1",
        "SCOPE_NDJSON_TO=tcp://SESAME@host:1",
        "SCOPE_NDJSON_TO=https://SESAME@host:1",
        "SCOPE_SET=ndjson.headers.a b=SESAME",
        "SCOPE_SET=otlp.header.api-key=SESAME",
    };
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        struct reported r;
        struct conf *c = load_with(ENVIRONMENT((char *)variables[i]), NULL, &r);
        char *text = printed(c);
        if (r.count != 1 || strstr(r.all, "SESAME") || strstr(text, "SESAME"))
            fail_msg("%s: %s", variables[i], r.all);
        free(text);
        conf_free(c);
    }
    static const char *const files[] = {
        "otlp: {headers: 'a=SESAME'}",
        "otlp: {headers: {a: 'SESAME${'}}",
        "otlp: {headers: {'a: SESAME': b}}",
        "otlp: {headers: {'a: SESAME': b, 'a: SESAME': c}}",
        "otlp: {headers: {a: \"SESAME\\nX: y\"}}",
        "otlp: {headers: [SESAME]}",
        "otlp: {to: 'http://user:SESAME@host'}",
        "ndjson: {token: [SESAME]}",
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct reported r;
        struct conf *c = load_text(files[i], (struct conf_input){NOWHERE}, &r);
        char *text = printed(c);
        if (!r.count || strstr(r.all, "SESAME") || strstr(text, "SESAME") || r.all[1] != ':')
            fail_msg("%s: %s", files[i], r.all);
        free(text);
        conf_free(c);
    }
    struct reported r;
    struct conf *c = load_with(ENVIRONMENT((char *)"OTEL_EXPORTER_OTLP_HEADERS=api-key=SESAME",
                                           (char *)"SCOPE_NDJSON_TOKEN=SESAME",
                                           (char *)"http_proxy=http://u:SESAME@p:1"),
                               NULL, &r);
    char *text = printed(c);
    empty(&r);
    assert_string_equal(c->http_proxy, "http://u:SESAME@p:1");
    assert_null(strstr(text, "SESAME"));
    assert_non_null(strstr(text, "api-key: \"***\"  # OTEL_EXPORTER_OTLP_HEADERS"));
    free(text);
    conf_free(c);
}

static void tls_files(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(ENVIRONMENT((char *)"OTEL_EXPORTER_OTLP_CERTIFICATE=/ca",
                                           (char *)"OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE=ca.pem",
                                           (char *)"OTEL_EXPORTER_OTLP_INSECURE=true",
                                           (char *)"SSL_CERT_FILE=/system"),
                               NULL, &r);
    assert_int_equal(r.count, 1);
    assert_non_null(strstr(r.all, "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE:0:0: "));
    assert_string_equal(c->otlp[OTLP_TRACES].ca_file, "/ca");
    assert_string_equal(c->tls_ca_file, "/system");
    conf_free(c);
}

static void proxies_of_the_environment(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(ENVIRONMENT((char *)"HTTP_PROXY=http://evil:1",
                                           (char *)"HTTPS_PROXY=http://s:1", (char *)"NO_PROXY=n"),
                               NULL, &r);
    empty(&r);
    assert_null(c->http_proxy); /* a web server makes it of a client's header */
    assert_string_equal(c->https_proxy, "http://s:1");
    assert_string_equal(c->no_proxy, "n");
    conf_free(c);
    c = load_with(ENVIRONMENT((char *)"all_proxy=http://a:1", (char *)"http_proxy=http://h:1"),
                  NULL, &r);
    assert_string_equal(c->http_proxy, "http://h:1");
    assert_string_equal(c->https_proxy, "http://a:1");
    conf_free(c);
    c = load_with(ENVIRONMENT((char *)"http_proxy=http://h:1"), ENVIRONMENT((char *)"proxy.http="),
                  &r);
    assert_null(c->http_proxy); /* said to be none */
    conf_free(c);
}

/* ------------------------------------------------------------------ 2.5 */

static void batching_defaults(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(NULL, NULL, &r);
    assert_int_equal(c->otlp[OTLP_TRACES].interval, 5 * SECONDS);
    assert_int_equal(c->otlp[OTLP_LOGS].interval, 1 * SECONDS);
    assert_int_equal(c->otlp[OTLP_METRICS].interval, 60 * SECONDS);
    for (int i = 0; i < OTLP_SIGNALS; i++) {
        assert_int_equal(c->otlp[i].timeout, 10 * SECONDS);
        assert_int_equal(c->otlp[i].export_timeout, 0);
        if (i != OTLP_METRICS) {
            assert_int_equal(c->otlp[i].batch, 512);
            assert_int_equal(c->otlp[i].queue, 2048);
        }
    }
    conf_free(c);
}

static void batching_variables(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(
        ENVIRONMENT(
            (char *)"OTEL_BSP_SCHEDULE_DELAY=1500", (char *)"OTEL_BSP_MAX_QUEUE_SIZE=100",
            (char *)"OTEL_BSP_MAX_EXPORT_BATCH_SIZE=50", (char *)"OTEL_BSP_EXPORT_TIMEOUT=3000",
            (char *)"OTEL_BLRP_SCHEDULE_DELAY=250", (char *)"OTEL_BLRP_MAX_QUEUE_SIZE=9",
            (char *)"OTEL_BLRP_EXPORT_TIMEOUT=0", (char *)"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE=8",
            (char *)"OTEL_METRIC_EXPORT_INTERVAL=9000", (char *)"OTEL_METRIC_EXPORT_TIMEOUT=20000"),
        NULL, &r);
    empty(&r);
    const struct conf_otlp *t = &c->otlp[OTLP_TRACES], *l = &c->otlp[OTLP_LOGS];
    assert_int_equal(t->interval, 1500000000);
    assert_int_equal(t->queue, 100);
    assert_int_equal(t->batch, 50);
    assert_int_equal(t->timeout, 3 * SECONDS); /* bounded */
    assert_int_equal(l->interval, 250000000);
    assert_int_equal(l->queue, 9);
    assert_int_equal(l->batch, 8);
    assert_int_equal(l->timeout, 10 * SECONDS); /* 0: no bound */
    assert_int_equal(c->otlp[OTLP_METRICS].interval, 9 * SECONDS);
    assert_int_equal(c->otlp[OTLP_METRICS].timeout, 10 * SECONDS); /* is within its bound */
    assert_int_equal(c->metrics_interval, 10 * SECONDS);
    assert_int_equal(c->events_interval, 1 * SECONDS);
    conf_free(c);
    /* A timeout without end is bounded too. */
    c = load_with(ENVIRONMENT((char *)"OTEL_EXPORTER_OTLP_TIMEOUT=0",
                              (char *)"OTEL_BLRP_EXPORT_TIMEOUT=30000"),
                  NULL, &r);
    assert_int_equal(c->otlp[OTLP_TRACES].timeout, 0);
    assert_int_equal(c->otlp[OTLP_LOGS].timeout, 30 * SECONDS);
    conf_free(c);
}

static void batch_is_at_most_the_queue(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(ENVIRONMENT((char *)"OTEL_BSP_MAX_QUEUE_SIZE=10"), NULL, &r);
    assert_string_equal(r.all, "OTEL_BSP_MAX_QUEUE_SIZE:0:0: otlp.traces.batch: 512 is more than "
                               "otlp.traces.queue holds; 10 is used\n");
    assert_int_equal(c->otlp[OTLP_TRACES].batch, 10);
    conf_free(c);
    c = load_text("otlp:\n  logs:\n    batch: 9999\n", (struct conf_input){NOWHERE}, &r);
    assert_string_equal(r.all, "f:3:12: otlp.logs.batch: 9999 is more than otlp.logs.queue holds; "
                               "2048 is used\n");
    conf_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_endpoint_is_localhost_4318),
        cmocka_unit_test(schemes_and_default_ports_are_kept),
        cmocka_unit_test(endpoint_is_a_base),
        cmocka_unit_test(endpoint_of_a_signal_is_used_as_it_is),
        cmocka_unit_test(signal_wins_over_generic_for_every_option),
        cmocka_unit_test(protocols),
        cmocka_unit_test(compression_is_gzip_or_none),
        cmocka_unit_test(headers_are_decoded_like_baggage),
        cmocka_unit_test(secrets_are_told_to_nobody),
        cmocka_unit_test(tls_files),
        cmocka_unit_test(proxies_of_the_environment),
        cmocka_unit_test(batching_defaults),
        cmocka_unit_test(batching_variables),
        cmocka_unit_test(batch_is_at_most_the_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
