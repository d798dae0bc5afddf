/*
 * Values, sources and their precedence, the process rules.
 */
#include "test_conf.h"

#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>

static void sizes_and_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int error;
        uint64_t value;
    } sizes[] = {
        {"0", 0, 0},
        {"1", 0, 1},
        {"64k", 0, 65536},
        {"4MiB", 0, 4194304},
        {"1.5K", 0, 1536},
        {"2 GiB", 0, 2147483648u},
        {"3kB", 0, 3000},
        {"7MB", 0, 7000000},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", -ERANGE, 0},
        {"18446744073709551615k", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"k", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"+1", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"1 ", -EINVAL, 0},
        {"1.", -EINVAL, 0},
        {".5M", -EINVAL, 0},
        {"1,5M", -EINVAL, 0},
        {"0x10", -EINVAL, 0},
        {"4MiBs", -EINVAL, 0},
        {"99999999999999999999 parsecs", -EINVAL, 0},
    };
    static const struct {
        const char *text;
        int error;
        uint64_t value;
    } durations[] = {
        {"0", 0, 0},
        {"10s", 0, 10000000000u},
        {"500ms", 0, 500000000},
        {"1.5s", 0, 1500000000},
        {"0.000000001s", 0, 1},
        {"0.0000000019s", 0, 1},
        {"250 us", 0, 250000},
        {"3ns", 0, 3},
        {"2m", 0, 120000000000u},
        {"2min", 0, 120000000000u},
        {"1h", 0, 3600000000000u},
        {"1d", 0, 86400000000000u},
        {"10", -EINVAL, 0},
        {"s", -EINVAL, 0},
        {"1S", -EINVAL, 0},
        {"-1s", -EINVAL, 0},
        {"1m30s", -EINVAL, 0},
        {"213503982d", -ERANGE, 0},
    };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint64_t value = 0;
        if (conf_parse_size(sizes[i].text, &value) != sizes[i].error ||
            (!sizes[i].error && value != sizes[i].value))
            fail_msg("size \"%s\": %llu", sizes[i].text, (unsigned long long)value);
    }
    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        uint64_t value = 0;
        if (conf_parse_duration(durations[i].text, &value) != durations[i].error ||
            (!durations[i].error && value != durations[i].value))
            fail_msg("duration \"%s\": %llu", durations[i].text, (unsigned long long)value);
    }
}

static void globs(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "a/b", true},
        {"a*c", "abbc", true},
        {"a*c", "abbd", false},
        {"*.log", "/var/x.log", true},
        {"*.log", "/var/x.log.1", false},
        {"*/log/*", "/var/log/x", true},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"a?c",
         "a\xc3\xa9"
         "c",
         true},
        {"?", "\xe2\x82\xac", true},
        {"a?", "a\xff", true},
        {"**a**", "bab", true},
        {"a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
        {"A", "a", false},
        {"[a]", "a", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (conf_glob(cases[i].pattern, cases[i].text) != cases[i].matches)
            fail_msg("\"%s\" on \"%s\"", cases[i].pattern, cases[i].text);
}

static void defaults(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(ENVIRONMENT((char *)"PATH=/bin"), NULL, &r);
    assert_string_equal(r.all, "");
    assert_true(c->enabled && c->follow && c->metrics && c->metrics_file && c->metrics_process);
    assert_int_equal(c->include_count, 0);
    assert_true(c->exclude_count > 40);
    assert_null(c->service_name);
    assert_int_equal(c->metrics_interval, 10000000000u);
    assert_int_equal(c->temporality, TEMPORALITY_AUTO);
    assert_int_equal(c->cardinality_limit, 2000);
    assert_int_equal(c->events_interval, 1000000000u);
    assert_int_equal(c->events_rate, 10000);
    assert_true(c->events_file.enabled && c->events_name.enabled);
    assert_int_equal(c->logs_line_max, 16384);
    assert_int_equal(c->logs_rate, 5000);
    assert_int_equal(c->logs_files.count, 3);
    assert_string_equal(c->logs_files.items[0], "*.log");
    assert_null(c->ndjson_to);
    assert_null(c->statsd_to);
    assert_string_equal(c->statsd_prefix, "");
    assert_int_equal(c->memory_pool, 4 << 20);
    assert_int_equal(c->memory_queue, 1 << 20);
    assert_int_equal(c->memory_threads, 16384);
    assert_int_equal(c->exit_bound, 500000000);
    assert_null(c->diagnostics_to);
    assert_int_equal(c->diagnostics_level, DIAGNOSTICS_WARN);
    assert_null(c->path);
    conf_free(c);
    conf_free(NULL);
}

static void precedence(void **state)
{
    (void)state;
    /* Each source in turn is the strongest of those that speak. */
    static const struct {
        const char *otel, *file, *custom, *scope, *set;
        uint64_t milliseconds;
        const char *origin;
    } rows[] = {
        {NULL, NULL, NULL, NULL, NULL, 60000, "# default"},
        {"2000", NULL, NULL, NULL, NULL, 2000, "# OTEL_METRIC_EXPORT_INTERVAL"},
        {"2000", "3s", NULL, NULL, NULL, 3000, ":1:28"},
        {"2000", "3s", "4s", NULL, NULL, 4000, "item 1 of custom"},
        {"2000", "3s", "4s", "5s", NULL, 5000, "# SCOPE_OTLP_METRICS_INTERVAL"},
        {"2000", "3s", "4s", "5s", "6s", 6000, "# --set"},
        {NULL, "3s", NULL, NULL, "6s", 6000, "# --set"},
        {"2000", NULL, NULL, "5s", NULL, 5000, "# SCOPE_OTLP_METRICS_INTERVAL"},
        {"", "", NULL, "", NULL, 60000, "# default"},
        {"2000", "nonsense", NULL, NULL, NULL, 2000, "# OTEL_METRIC_EXPORT_INTERVAL"},
        {"2000", "3s", "4s", "5 parsecs", "7 parsecs", 4000, "item 1 of custom"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char otel[80], scope[80], set[80], yaml[400], *printed = NULL;
        size_t size, n = 0;
        struct reported r;
        snprintf(otel, sizeof(otel), "OTEL_METRIC_EXPORT_INTERVAL=%s",
                 rows[i].otel ? rows[i].otel : "");
        snprintf(scope, sizeof(scope), "SCOPE_OTLP_METRICS_INTERVAL=%s",
                 rows[i].scope ? rows[i].scope : "");
        snprintf(set, sizeof(set), "otlp.metrics.interval=%s", rows[i].set ? rows[i].set : "");
        yaml[0] = 0;
        if (rows[i].file)
            n = (size_t)snprintf(yaml, sizeof(yaml), "otlp: {metrics: {interval: %s}}\n",
                                 rows[i].file);
        if (rows[i].custom)
            snprintf(
                yaml + n, sizeof(yaml) - n,
                "custom:\n- match: {executable: prog}\n  config: {otlp.metrics.interval: %s}\n",
                rows[i].custom);
        struct conf *c =
            load_text(yaml,
                      (struct conf_input){.environ = ENVIRONMENT(otel, scope),
                                          .sets = rows[i].set ? ENVIRONMENT(set) : NULL,
                                          .executable = "/opt/prog"},
                      &r);
        if (c->otlp[OTLP_METRICS].interval != rows[i].milliseconds * 1000000)
            fail_msg("row %zu: %llu", i, (unsigned long long)c->otlp[OTLP_METRICS].interval);
        FILE *out = open_memstream(&printed, &size);
        assert_int_equal(conf_print(c, out), 0);
        fclose(out);
        char *line = strstr(strstr(printed, "\notlp:"), "  interval: ");
        *strchr(line, '\n') = 0;
        if (!strstr(line, rows[i].origin))
            fail_msg("row %zu: %s", i, line);
        free(printed);
        conf_free(c);
    }
}

static void scope_set(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c =
        load_with(ENVIRONMENT((char *)"SCOPE_EVENTS_RATE=1",
                              (char *)"SCOPE_SET=events.rate=2\nlogs.rate=3\n\nevents.rate=4\n"
                                      "tags.team=a=b\nresource.attributes.x.y=z"),
                  ENVIRONMENT((char *)"logs.rate=5"), &r);
    assert_string_equal(r.all, "");
    assert_int_equal(c->events_rate, 4);
    assert_int_equal(c->logs_rate, 5);
    assert_int_equal(c->tags.count, 1);
    assert_string_equal(c->tags.items[0].key, "team");
    assert_string_equal(c->tags.items[0].value, "a=b");
    assert_string_equal(c->attributes.items[0].key, "x.y");
    conf_free(c);

    c = load_with(ENVIRONMENT((char *)"SCOPE_TAG_a=1"),
                  ENVIRONMENT((char *)"tags=", (char *)"logs.files=", (char *)"statsd.prefix=",
                              (char *)"events.file=off", (char *)"novalue",
                              (char *)"metric.interval=1s", (char *)"custom=x", (char *)"=",
                              (char *)"tags.=x", (char *)"ndjson=/x", (char *)"memory=1M"),
                  &r);
    assert_int_equal(c->tags.count, 0);
    assert_int_equal(c->logs_files.count, 0);
    assert_string_equal(c->statsd_prefix, "");
    assert_false(c->events_file.enabled);
    assert_string_equal(
        r.all, "--set:0:0: \"novalue\" has no value; allowed: KEY=VALUE\n"
               "--set:0:0: unknown key \"metric.interval\"; did you mean metrics.interval?\n"
               "--set:0:0: only a file can have the key \"custom\"\n"
               "--set:0:0: unknown key \"\"\n"
               "--set:0:0: tags: \"x\" has no name; allowed: NAME=VALUE, the name up to "
               "255 bytes, the value up to 4096\n"
               "--set:0:0: unknown key \"ndjson\"; did you mean ndjson.to?\n"
               "--set:0:0: unknown key \"memory\"\n");
    conf_free(c);
}

static void variables(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(
        ENVIRONMENT(
            (char *)"SCOPE_ENABLED=No", (char *)"SCOPE_LOGS_FILES=*.out, a\\,b ,,c",
            (char *)"SCOPE_PROCESSES_INCLUDE=nginx,executable=/bin/*;user=root,argument=--x=y",
            (char *)"SCOPE_TAGS=a=1, b = 2 ,c=", (char *)"SCOPE_TAG_team.x=Q",
            (char *)"SCOPE_NDJSON_TO=unixgram://@x", (char *)"SCOPE_STATSD_TO=OFF",
            (char *)"SCOPE_EVENTS_NAME=off", (char *)"SCOPE_LOGS_LINE_MAX=64",
            (char *)"SCOPE_EVENTS_FILE_INCLUDE=[]", (char *)"SCOPE_LOGS_INCLUDE=^a{1\\,2}$",
            (char *)"SCOPE_STATSD_FORMAT=Plain", (char *)"SCOPE_HOME=/x", (char *)"SCOPE_",
            (char *)"SCOPE_=1", (char *)"SCOPE_TAG_=", (char *)"NOEQUALS"),
        NULL, &r);
    assert_string_equal(r.all, "");
    assert_false(c->enabled);
    assert_int_equal(c->logs_files.count, 3);
    assert_string_equal(c->logs_files.items[1], "a,b");
    assert_int_equal(c->include_count, 3);
    assert_string_equal(c->include[0].executable, "nginx");
    assert_string_equal(c->include[1].executable, "/bin/*");
    assert_string_equal(c->include[1].user, "root");
    assert_string_equal(c->include[2].argument, "--x=y");
    assert_null(c->include[2].executable);
    assert_int_equal(c->tags.count, 3);
    assert_string_equal(c->tags.items[1].key, "b");
    assert_string_equal(c->tags.items[1].value, "2");
    assert_string_equal(c->tags.items[2].key, "team.x");
    assert_string_equal(c->ndjson_to, "unixgram://@x");
    assert_null(c->statsd_to);
    assert_false(c->events_name.enabled);
    assert_int_equal(c->logs_line_max, 64);
    assert_string_equal(c->logs_include.items[0], "^a{1,2}$");
    assert_int_equal(c->statsd_format, STATSD_PLAIN);
    conf_free(c);

    c = load_with(ENVIRONMENT((char *)"SCOPE_METRIC_INTERVAL=1s", (char *)"SCOPE_TAGS=x",
                              (char *)"SCOPE_LOGS_RATE=-1", (char *)"SCOPE_CONTROL_DIR=run",
                              (char *)"SCOPE_PROCESSES_INCLUDE=executable=;user=x,nginx",
                              (char *)"SCOPE_NDJSON_TO=ftp://x\n"),
                  NULL, &r);
    assert_string_equal(
        r.all,
        "SCOPE_METRIC_INTERVAL:0:0: unknown variable; did you mean SCOPE_METRICS_INTERVAL?\n"
        "SCOPE_TAGS:0:0: tags: \"x\" has no name; allowed: NAME=VALUE, the name up to 255 bytes, "
        "the value up to 4096\n"
        "SCOPE_LOGS_RATE:0:0: logs.rate: \"-1\" is not a whole number; allowed: a whole number "
        "from "
        "0 to 100000000\n"
        "SCOPE_CONTROL_DIR:0:0: control.dir: \"run\" is not an absolute path; allowed: an absolute "
        "path\n"
        "SCOPE_PROCESSES_INCLUDE:0:0: \"executable=;user=x\" is no rule; allowed: GLOB, or "
        "executable=GLOB;argument=GLOB;user=GLOB\n"
        "SCOPE_NDJSON_TO:0:0: ndjson.to: \"ftp://x?\" is no address (a path must be absolute); "
        "allowed: /path, file:///path, stdout, stderr, tcp://host:port, tls://host:port, "
        "udp://host:port, "
        "unix:///path, unixgram:///path, http://host/path, https://host/path, "
        "http+unix:///socket:/path, off\n");
    assert_int_equal(c->include_count, 1);
    assert_string_equal(c->include[0].executable, "nginx");
    conf_free(c);
}

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool good;
    } cases[] = {
        {"/x", true},
        {"file:///x", true},
        {"stdout", true},
        {"stderr", true},
        {"tcp://h:1", true},
        {"udp://[::1]:65535", true},
        {"unix:///x", true},
        {"unix://@x", true},
        {"x.json", false},
        {"file://x", false},
        {"tcp://h", false},
        {"tcp://:1", false},
        {"tcp://h:0", false},
        {"tcp://h:65536", false},
        {"tcp://h:1x", false},
        {"udp://::1:80", false},
        {"udp://[::1]80", false},
        {"udp://[]:80", false},
        {"unix://x", false},
        {"unix://@", false},
        {"http://h:1", true},
        {"https://[::1]/a?b=c", true},
        {"http+unix:///run/c.sock:/v1", true},
        {"tls://h:1", true},
        {"http://u:p@h", false},
        {"http://h/#f", false},
        {"ftp://h", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char set[100];
        struct reported r;
        snprintf(set, sizeof(set), "ndjson.to=%s", cases[i].url);
        struct conf *c = load_with(NULL, ENVIRONMENT(set), &r);
        if ((r.count == 0) != cases[i].good || (c->ndjson_to != NULL) != cases[i].good)
            fail_msg("%s: %s", cases[i].url, r.all);
        conf_free(c);
    }
}

static void otel(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_with(
        ENVIRONMENT((char *)"OTEL_RESOURCE_ATTRIBUTES=a=1,service.name=late, b.c = x%2Cy%3D%25 ,"
                            "utf8=%C3%A9,a=2,e=",
                    (char *)"OTEL_BLRP_SCHEDULE_DELAY=250", (char *)"OTEL_SDK_DISABLED=TRUE"),
        NULL, &r);
    assert_string_equal(r.all, "");
    assert_int_equal(c->attributes.count, 3);
    assert_string_equal(c->attributes.items[0].value, "2");
    assert_string_equal(c->attributes.items[1].key, "b.c");
    assert_string_equal(c->attributes.items[1].value, "x,y=%");
    assert_string_equal(c->attributes.items[2].value, "\xc3\xa9");
    assert_string_equal(c->service_name, "late");
    assert_int_equal(c->otlp[OTLP_LOGS].interval, 250000000);
    assert_false(c->enabled);
    conf_free(c);

    /* OTEL_SERVICE_NAME beats service.name beside it, in either order. */
    for (int i = 0; i < 2; i++) {
        char *vars[] = {(char *)"OTEL_RESOURCE_ATTRIBUTES=service.name=attribute,k=v",
                        (char *)"OTEL_SERVICE_NAME=variable"};
        c = load_with(ENVIRONMENT(vars[i], vars[1 - i]), NULL, &r);
        assert_string_equal(c->service_name, "variable");
        assert_int_equal(c->attributes.count, 1);
        conf_free(c);
    }
    c = load_text("resource: {attributes: {service.name: file}}",
                  (struct conf_input){.environ = ENVIRONMENT((char *)"OTEL_SERVICE_NAME=variable")},
                  &r);
    assert_string_equal(c->service_name, "file");
    conf_free(c);

    c = load_with(ENVIRONMENT((char *)"OTEL_SDK_DISABLED=1",
                              (char *)"OTEL_METRIC_EXPORT_INTERVAL=10s",
                              (char *)"OTEL_BLRP_SCHEDULE_DELAY=1", (char *)"OTEL_SERVICE_NAME="),
                  NULL, &r);
    assert_string_equal(
        r.all, "OTEL_SDK_DISABLED:0:0: \"1\" is taken as false; allowed: true, false\n"
               "OTEL_METRIC_EXPORT_INTERVAL:0:0: \"10s\" is not a number; allowed: a whole "
               "number of milliseconds\n"
               "OTEL_BLRP_SCHEDULE_DELAY:0:0: otlp.logs.interval: \"1ms\" is out of range; "
               "allowed: a duration such as 10s or 500ms, from 10ms to 1d\n");
    assert_true(c->enabled);
    assert_null(c->service_name);
    conf_free(c);
}

static void otel_undecodable(void **state)
{
    (void)state;
    static const char *const bad[] = {"a=1,b", "a=%",      "a=%4",         "a=%zz",
                                      "=x",    "a=1,,b=2", "a=1,",         "a=%00",
                                      "a=%ff", "%41%=x",   "a=%C3%28,b=1", "a=\xff"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char variable[100];
        struct reported r;
        snprintf(variable, sizeof(variable), "OTEL_RESOURCE_ATTRIBUTES=%s", bad[i]);
        struct conf *c = load_with(ENVIRONMENT(variable), NULL, &r);
        if (c->attributes.count || r.count != 1 ||
            strncmp(r.all, "OTEL_RESOURCE_ATTRIBUTES:0:0: cannot be decoded", 47) != 0)
            fail_msg("%s: %zu attributes, %s", bad[i], c->attributes.count, r.all);
        conf_free(c);
    }
}

static void otel_file(void **state)
{
    (void)state;
    static const char yaml[] =
        "file_format: \"1.0\"\ndisabled: ${OFF:-false}\n"
        "resource:\n  attributes:\n  - {name: service.name, value: '${env:NAME}'}\n"
        "  - {name: a, value: 1, type: int}\n  - {name: l, value: [x]}\n  - x\n"
        "  attributes_list: a=weak,b=2%2C\n"
        "tracer_provider: {processors: []}\n"
        "meter_provider:\n  readers:\n  - pull: {}\n  - periodic: {interval: 5000}\n"
        "logger_provider:\n  processors:\n  - batch: {schedule_delay: soon}\n";
    struct reported r;
    char variable[100], *path = temporary_file(yaml, sizeof(yaml) - 1);
    snprintf(variable, sizeof(variable), "OTEL_CONFIG_FILE=%s", path);
    char *const environment[] = {(char *)"OTEL_BLRP_SCHEDULE_DELAY=20", (char *)"NAME=named",
                                 (char *)"OTEL_RESOURCE_ATTRIBUTES=c=3", variable, NULL};
    struct conf *c = load_with(environment, NULL, &r);
    assert_string_equal(c->service_name, "named");
    assert_int_equal(c->attributes.count, 2);
    assert_string_equal(c->attributes.items[0].key, "a");
    assert_string_equal(c->attributes.items[0].value, "1");
    assert_string_equal(c->attributes.items[1].value, "2,");
    assert_int_equal(c->otlp[OTLP_METRICS].interval, 5000000000u);
    assert_int_equal(c->otlp[OTLP_LOGS].interval, 1000000000u); /* the variable is silenced */
    assert_true(c->enabled);
    assert_non_null(strstr(r.all, ":17:29: \"soon\" is not a number; allowed: a whole number of "
                                  "milliseconds\n"));
    assert_non_null(strstr(r.all, ":8:5: an item is of the wrong type; allowed: a mapping\n"));
    assert_int_equal(r.count, 2);
    conf_free(c);
    /* scope.yml is stronger. */
    c = load_text("otlp: {metrics: {interval: 7s}}", (struct conf_input){.environ = environment},
                  &r);
    assert_int_equal(c->otlp[OTLP_METRICS].interval, 7000000000u);
    assert_string_equal(c->service_name, "named");
    conf_free(c);
    unlink(path);
    free(path);
    /* Also one that cannot be read silences the variables. */
    c = load_with(environment, NULL, &r);
    assert_int_equal(r.count, 1);
    assert_non_null(strstr(r.all, "does not exist"));
    assert_int_equal(c->attributes.count, 0);
    conf_free(c);
    c = load_with(ENVIRONMENT((char *)"OTEL_CONFIG_FILE=x.yml"), NULL, &r);
    assert_string_equal(r.all,
                        "OTEL_CONFIG_FILE:0:0: \"x.yml\" is not used; allowed: an absolute path\n");
    conf_free(c);
    path = temporary_file("disabled: true", 14);
    snprintf(variable, sizeof(variable), "OTEL_CONFIG_FILE=%s", path);
    c = load_with(ENVIRONMENT(variable), NULL, &r);
    assert_non_null(strstr(r.all, ":1:1: file_format is not 1.x; nothing of this file is used\n"));
    assert_true(c->enabled);
    conf_free(c);
    unlink(path);
    free(path);
}

static void privileged(void **state)
{
    (void)state;
    struct reported r;
    struct conf *c = load_text(
        "events: {rate: 1}\nnonsense: 1\n",
        (struct conf_input){.environ = ENVIRONMENT((char *)"SCOPE_LOGS_RATE=1",
                                                   (char *)"OTEL_SERVICE_NAME=x",
                                                   (char *)"SCOPE_SET=ndjson.to=/etc/passwd",
                                                   (char *)"SCOPE_NDJSON_TO=/etc/passwd"),
                            .sets = ENVIRONMENT((char *)"exit.bound=0"),
                            .privileged = true},
        &r);
    assert_int_equal(r.count, 0);
    assert_int_equal(c->events_rate, 10000);
    assert_int_equal(c->logs_rate, 5000);
    assert_int_equal(c->exit_bound, 500000000);
    assert_null(c->service_name);
    assert_null(c->ndjson_to);
    assert_null(c->path);
    conf_free(c);
}

static void write_rate(const char *folder, const char *rest, int rate, mode_t mode)
{
    char path[300];
    snprintf(path, sizeof(path), "mkdir -p %s/$(dirname %s)", folder, rest);
    assert_int_equal(system(path), 0);
    snprintf(path, sizeof(path), "%s/%s", folder, rest);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "events: {rate: %d}\n", rate);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static uint32_t rate_of(char *const *variables, const char *file, struct reported *r)
{
    struct conf_input input = {.environ = variables, .file = file, .uid = geteuid()};
    memset(r, 0, sizeof(*r));
    struct conf *c = conf_load(&input, keep_report, r);
    uint32_t rate = c->events_rate;
    conf_free(c);
    return rate;
}

static void search_order(void **state)
{
    (void)state;
    char folder[] = "/tmp/scope-search-XXXXXX", home[60], xdg[60], config[80], relative[80],
         before[1000];
    struct reported r;
    if (access("/etc/scope/scope.yml", F_OK) == 0)
        skip();
    assert_non_null(mkdtemp(folder));
    assert_non_null(getcwd(before, sizeof(before)));
    snprintf(home, sizeof(home), "HOME=%s/home", folder);
    snprintf(xdg, sizeof(xdg), "XDG_CONFIG_HOME=%s/xdg", folder);
    snprintf(config, sizeof(config), "SCOPE_CONFIG=%s/named.yml", folder);
    write_rate(folder, "home/.config/scope/scope.yml", 2, 0644);
    write_rate(folder, "xdg/scope/scope.yml", 3, 0600);
    write_rate(folder, "named.yml", 4, 0666);
    write_rate(folder, "scope.yml", 5, 0644);
    write_rate(folder, "conf/scope.yml", 6, 0644);
    write_rate(folder, "scope/scope.yml", 7, 0644);
    write_rate(folder, ".config/scope/scope.yml", 8, 0644);
    assert_int_equal(chdir(folder), 0);

    assert_int_equal(rate_of(ENVIRONMENT(home), NULL, &r), 2);
    assert_int_equal(rate_of(ENVIRONMENT(home, xdg), NULL, &r), 3);
    assert_int_equal(rate_of(ENVIRONMENT(home, xdg, config), NULL, &r), 4);
    assert_int_equal(rate_of(ENVIRONMENT(home, (char *)"SCOPE_CONFIG="), NULL, &r), 2);
    assert_int_equal(rate_of(ENVIRONMENT(home, config), "scope.yml", &r), 5);
    assert_int_equal(rate_of(ENVIRONMENT(home, (char *)"SCOPE_CONFIG=/dev/null"), NULL, &r), 10000);
    assert_string_equal(r.all, "");

    /* The current directory is never looked into. */
    assert_int_equal(rate_of(ENVIRONMENT((char *)"HOME="), NULL, &r), 10000);
    assert_int_equal(rate_of(ENVIRONMENT((char *)"HOME=.", (char *)"XDG_CONFIG_HOME=."), NULL, &r),
                     10000);
    assert_int_equal(rate_of(NULL, NULL, &r), 10000);
    assert_string_equal(r.all, "");
    snprintf(relative, sizeof(relative), "SCOPE_CONFIG=scope.yml");
    assert_int_equal(rate_of(ENVIRONMENT(home, relative), NULL, &r), 10000);
    assert_string_equal(r.all,
                        "SCOPE_CONFIG:0:0: \"scope.yml\" is not used; allowed: an absolute path\n");

    /* A named file that is not there is not silently replaced by another. */
    unlink("named.yml");
    assert_int_equal(rate_of(ENVIRONMENT(home, config), NULL, &r), 10000);
    assert_string_equal(r.all, "named.yml:0:0: does not exist; it is not used\n");

    /* What everybody may write is not obeyed; the next place is. */
    write_rate(folder, "xdg/scope/scope.yml", 3, 0646);
    assert_int_equal(rate_of(ENVIRONMENT(home, xdg), NULL, &r), 2);
    assert_string_equal(r.all, "scope.yml:0:0: belongs to another user or may be written by "
                               "everybody; it is not used\n");
    assert_int_equal(chdir(before), 0);
    snprintf(before, sizeof(before), "rm -r %s", folder);
    assert_int_equal(system(before), 0);
}

static void odd_files(void **state)
{
    (void)state;
    struct reported r;
    char folder[] = "/tmp/scope-odd-XXXXXX", path[60];
    assert_int_equal(rate_of(NULL, "/tmp", &r), 10000);
    assert_string_equal(r.all, "tmp:0:0: is not a regular file; it is not used\n");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(rate_of(NULL, path, &r), 10000); /* and does not wait for a writer */
    assert_string_equal(r.all, "fifo:0:0: is not a regular file; it is not used\n");
    assert_int_equal(conf_check(path, keep_report, &r), -ENXIO);
    unlink(path);
    FILE *f = fopen(path, "w");
    fputs("events: {rate: 9}\n", f);
    assert_int_equal(ftruncate(fileno(f), (1 << 20) + 1), 0);
    fclose(f);
    assert_int_equal(rate_of(NULL, path, &r), 10000);
    assert_string_equal(r.all, "fifo:0:0: is larger than 1 MiB; it is not used\n");
    assert_int_equal(conf_check(path, keep_report, &r), -EFBIG);
    unlink(path);
    assert_int_equal(conf_check(path, keep_report, &r), -ENOENT);
    rmdir(folder);
}

static bool observed(const char *rules, const char *executable, char *const *arguments,
                     const char *user, uint32_t uid)
{
    struct reported r;
    struct conf_input input = {.environ = NULL,
                               .executable = executable,
                               .arguments = arguments,
                               .user = user,
                               .uid = uid};
    struct conf *c = load_text(rules, input, &r);
    assert_string_equal(r.all, "");
    bool answer = conf_observes(c, &input);
    conf_free(c);
    return answer;
}

static void include_and_exclude(void **state)
{
    (void)state;
    char *const python[] = {(char *)"python3", (char *)"-m", (char *)"http.server", NULL};
    assert_true(observed("", "/usr/sbin/nginx", NULL, "root", 0));
    assert_false(observed("enabled: off", "/usr/sbin/nginx", NULL, "root", 0));
    assert_true(observed("", NULL, NULL, "root", 0));
    /* The default list. */
    static const char *const alone[] = {"/sbin/init",          "/lib/systemd/systemd",
                                        "/usr/sbin/sshd",      "/usr/bin/dpkg",
                                        "/usr/bin/apt-get",    "/usr/bin/rpm",
                                        "/usr/bin/dnf",        "/usr/bin/yum",
                                        "/usr/bin/containerd", "/usr/bin/containerd-shim-runc-v2",
                                        "/usr/bin/dockerd",    "/usr/bin/runc",
                                        "/usr/bin/crun",       "/usr/bin/podman",
                                        "/usr/bin/sudo",       "/usr/lib/systemd/systemd-journald"};
    for (size_t i = 0; i < sizeof(alone) / sizeof(alone[0]); i++)
        if (observed("", alone[i], NULL, NULL, 0))
            fail_msg("%s is watched", alone[i]);
    assert_true(observed("processes: {exclude: []}", "/usr/sbin/sshd", NULL, NULL, 0));
    assert_true(observed("processes: {exclude: [x]}", "/usr/sbin/sshd", NULL, NULL, 0));
    assert_false(observed("processes: {exclude: [x, +defaults]}", "/sbin/sshd", NULL, NULL, 0));
    assert_false(observed("processes: {exclude: [x, +defaults]}", "/sbin/x", NULL, NULL, 0));
    /* A rule without a slash means the base name, one with a slash the path. */
    assert_true(observed("processes: {include: [ngin?]}", "/opt/nginx", NULL, NULL, 0));
    assert_false(observed("processes: {include: [ngin?]}", "/opt/nginx/other", NULL, NULL, 0));
    assert_true(observed("processes: {include: [/opt/*]}", "/opt/a/b", NULL, NULL, 0));
    assert_false(observed("processes: {include: [/opt/*]}", "/usr/opt/b", NULL, NULL, 0));
    /* All conditions of one rule, any rule of a list, and exclude wins. */
    const char *rules = "processes:\n"
                        "  include:\n"
                        "  - {executable: 'python*', argument: http.server}\n"
                        "  - {user: '1000'}\n"
                        "  - user: www-*\n"
                        "  exclude:\n"
                        "  - {executable: python3, user: mallory}\n";
    assert_true(observed(rules, "/usr/bin/python3", python, "bob", 7));
    assert_false(observed(rules, "/usr/bin/python3", NULL, "bob", 7));
    assert_false(observed(rules, "/usr/bin/perl", python, "bob", 7));
    assert_true(observed(rules, "/usr/bin/perl", python, NULL, 1000));
    assert_true(observed(rules, "/usr/bin/perl", python, "www-data", 33));
    assert_false(observed(rules, "/usr/bin/python3", python, "mallory", 1000));
    /* Without a name from the caller, /etc/passwd has it. */
    assert_true(observed("processes: {include: [{user: ro?t}]}", "/bin/x", NULL, NULL, 0));
    assert_false(observed("processes: {include: [{user: root}]}", "/bin/x", NULL, NULL, 54321));
    struct passwd *last = NULL;
    setpwent();
    for (struct passwd *p; (p = getpwent());) { /* every one of them, also at a buffer's end */
        char rule[200];
        uint32_t uid = p->pw_uid;
        snprintf(rule, sizeof(rule), "processes: {include: [{user: '%s'}]}", p->pw_name);
        last = p;
        if (strcmp(getpwuid(uid)->pw_name, p->pw_name) == 0)
            assert_true(observed(rule, "/bin/x", NULL, NULL, uid));
    }
    assert_non_null(last);
    endpwent();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_durations),
        cmocka_unit_test(globs),
        cmocka_unit_test(defaults),
        cmocka_unit_test(precedence),
        cmocka_unit_test(scope_set),
        cmocka_unit_test(variables),
        cmocka_unit_test(addresses),
        cmocka_unit_test(otel),
        cmocka_unit_test(otel_undecodable),
        cmocka_unit_test(otel_file),
        cmocka_unit_test(privileged),
        cmocka_unit_test(search_order),
        cmocka_unit_test(odd_files),
        cmocka_unit_test(include_and_exclude),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
