/*
 * conf: every option in one table; parsing, validation, defaults, documentation.
 *
 * Owns: struct conf, made once by conf_load and immutable afterwards (a reload makes a new one).
 * Called by: the library's constructor (on the program's main thread, before main), the reporter (a
 * reload) and the scope command. Memory comes from malloc, which inside libscope.so is our own heap
 * (os/heap.h). The only user of libyaml. Never prints: troubles are handed to the caller.
 *
 * Precedence, highest first: --set (SCOPE_SET), SCOPE_*, scope.yml, OTEL_CONFIG_FILE (which
 * silences the other OTEL_*), OTEL_*, defaults. What a preset sets is as strong as the source that
 * names the preset, and weaker than all that this source says itself. A sink that is named anywhere
 * switches off the implicit one.
 */
#ifndef SCOPE_CONF_CONF_H
#define SCOPE_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct conf_list {
    char **items; /* NUL-ended strings */
    size_t count;
};

struct conf_pair {
    char *key, *value;
};
struct conf_pairs {
    struct conf_pair *items;
    size_t count;
};

/* How many at most, 0 included. All zero: as many as there are. */
struct conf_limit {
    bool limited;
    uint32_t most;
};
struct conf_limits {
    struct conf_limit attributes;
    struct conf_limit value_length; /* characters of a text, or of each of an array of them */
};

/* What OTEL_ENTITIES says: which attributes of the resource mean which thing. */
struct conf_entity {
    char *type, *schema_url;          /* schema_url NULL: none */
    struct conf_list id, description; /* keys of conf.attributes, or service.name */
};

/* Which processes a rule means; every member that is set must match. Globs (`*`, `?`). */
struct conf_match {
    char *executable; /* base name or, with a slash, absolute path; NULL: any */
    char *argument;   /* any element of argv */
    char *user;       /* name or number */
};

enum temporality_preference {
    TEMPORALITY_AUTO,
    TEMPORALITY_PREFER_DELTA,
    TEMPORALITY_PREFER_CUMULATIVE
};
enum otlp_protocol { OTLP_PROTOBUF, OTLP_JSON };
enum otlp_compression { OTLP_GZIP, OTLP_NO_COMPRESSION };
enum histogram_preference { HISTOGRAMS_AUTO, HISTOGRAMS_EXPLICIT, HISTOGRAMS_EXPONENTIAL };
enum ndjson_format { NDJSON_FLAT, NDJSON_OTLP, NDJSON_SPLUNK };
enum exemplar_filter { EXEMPLARS_TRACE_BASED, EXEMPLARS_ALWAYS_ON, EXEMPLARS_ALWAYS_OFF };
enum sampler_choice {
    SAMPLER_PARENT_ALWAYS_ON,
    SAMPLER_ALWAYS_ON,
    SAMPLER_ALWAYS_OFF,
    SAMPLER_RATIO,
    SAMPLER_PARENT_ALWAYS_OFF,
    SAMPLER_PARENT_RATIO
};
enum traces_processes { TRACES_PROCESSES_AUTO, TRACES_PROCESSES_ON, TRACES_PROCESSES_OFF };
enum traces_sdk { TRACES_SDK_AUTO, TRACES_SDK_IGNORE };
enum preset {
    PRESET_NONE,
    PRESET_COLLECTOR,
    PRESET_NEWRELIC,
    PRESET_DATADOG,
    PRESET_SPLUNK,
    PRESET_GRAFANA
};
enum statsd_format { STATSD_DOGSTATSD, STATSD_PLAIN };
enum diagnostics_level { DIAGNOSTICS_ERROR, DIAGNOSTICS_WARN, DIAGNOSTICS_INFO, DIAGNOSTICS_DEBUG };

/*
 * OTLP/HTTP, one signal. After conf_load each of conf.otlp is complete: what is said for all
 * signals has been filled in where the signal has nothing of its own.
 */
struct conf_otlp {
    bool enabled;
    char *to; /* the whole URL, with path; NULL: this signal is not sent */
    enum otlp_protocol protocol;
    enum otlp_compression compression;
    struct conf_pairs headers; /* values are secrets: never shown */
    uint64_t timeout;          /* ns: of one batch, with its retries (10 s); 0: no limit */
    uint64_t export_timeout;   /* ns: bounds timeout, and has done so; 0: does not */
    uint64_t interval;         /* ns between two exports: metrics 60 s, logs 1 s, traces 5 s */
    uint32_t batch;            /* records or spans of one request at most (512) */
    uint32_t queue; /* records or spans that wait at most (2048); memory.queue bounds too */
    char *ca_file, *client_cert, *client_key; /* PEM; NULL: none */
};
enum { OTLP_METRICS, OTLP_LOGS, OTLP_TRACES, OTLP_SIGNALS }; /* as enum signal of telemetry.h */

/* A family of events: on or off, and which. Regular expressions (PCRE2), unanchored. */
struct conf_events {
    bool enabled;
    struct conf_list include; /* empty: all */
    struct conf_list exclude;
};

struct conf {
    bool enabled;       /* enabled */
    enum preset preset; /* preset; what it sets stands in the members below */
    bool follow;        /* processes.follow: children of exec carry the library on */

    struct conf_match *include, *exclude; /* processes.include, processes.exclude */
    size_t include_count, exclude_count;

    char *service_name;           /* resource.service_name; NULL: fallback */
    struct conf_pairs attributes; /* resource.attributes */
    struct conf_entity *entities; /* from OTEL_ENTITIES alone */
    size_t entity_count;
    struct conf_pairs tags; /* tags: on every metric point, log record and span */

    bool metrics;                            /* metrics.enabled */
    uint64_t metrics_interval;               /* metrics.interval, nanoseconds (10 s) */
    enum temporality_preference temporality; /* metrics.temporality */
    enum exemplar_filter exemplars;          /* metrics.exemplars */
    uint32_t cardinality_limit; /* metrics.cardinality_limit: points per metric (2000) */
    bool metrics_file, metrics_socket, metrics_http, metrics_name, metrics_process; /* metrics.file ... */

    uint64_t events_interval; /* events.interval, nanoseconds (1 s): events and logs */
    uint32_t events_rate;     /* events.rate: events a second at most (10000), 0: no limit */
    struct conf_events events_file, events_connection, events_name, events_process;

    bool traces;                     /* traces.enabled */
    enum sampler_choice sampler;     /* traces.sampler */
    double sampler_ratio;            /* traces.ratio, 0 to 1 */
    struct conf_list propagators;    /* traces.propagators: tracecontext, baggage, b3, b3multi */
    bool traces_inject;              /* traces.inject: traceparent into outgoing HTTP/1.1 */
    struct conf_list traces_routes;  /* traces.routes: path templates */
    struct conf_list traces_headers; /* traces.headers: names; `!` behind one: not redacted */
    struct conf_list traces_methods; /* traces.methods: of HTTP; case counts */
    enum traces_processes traces_processes; /* traces.processes; auto: under scope run */
    uint64_t traces_adopt_age;              /* traces.adopt_age, nanoseconds (5 min) */
    uint32_t traces_adopt_children;         /* traces.adopt_children (1000) */
    uint64_t traces_file_slow;              /* traces.file_slow, nanoseconds (10 ms) */
    enum traces_sdk traces_sdk;             /* traces.sdk: what a program's own SDK makes */

    bool logs_console;           /* logs.console */
    bool logs_syslog;            /* logs.syslog */
    struct conf_list logs_files; /* logs.files: globs; a path that matches is a log */
    struct conf_list logs_include, logs_exclude; /* logs.include: regexes on the line */
    uint32_t logs_line_max;                      /* logs.line_max, bytes (16 KiB) */
    uint32_t logs_rate;                          /* logs.rate, lines a second (5000), 0: no limit */
    bool logs_continuation; /* logs.continuation: stack traces are kept together */

    char *ndjson_to;                  /* ndjson.to: a URL (transport.h), NULL: off */
    uint64_t ndjson_rotate;           /* ndjson.rotate_size, bytes, 0: never */
    uint32_t ndjson_keep;             /* ndjson.rotate_keep */
    char *statsd_to;                  /* statsd.to */
    enum statsd_format statsd_format; /* statsd.format: dogstatsd, plain */
    char *statsd_prefix;              /* statsd.prefix, "" */
    struct conf_list statsd_tags;     /* statsd.tags: which resource attributes become tags */
    char *statsd_entity;              /* statsd.entity_id, from DD_ENTITY_ID; NULL: none */
    char *statsd_external;            /* statsd.external_data, from DD_EXTERNAL_ENV; NULL: none */

    enum ndjson_format ndjson_format; /* ndjson.format: flat, otlp, splunk */
    struct conf_pairs ndjson_headers; /* ndjson.headers: over HTTP */
    char *ndjson_token;               /* ndjson.token: Splunk's, a secret; NULL: none */

    struct conf_otlp otlp_all;           /* otlp.to and so on, as they were said */
    struct conf_otlp otlp[OTLP_SIGNALS]; /* otlp.metrics ..., settled */
    bool otlp_implicit;                  /* no sink was named: it goes to the default endpoint */
    enum histogram_preference otlp_histograms; /* otlp.histograms; auto: explicit */
    uint64_t otlp_request_max; /* otlp.request_max: bytes before compression (4 MiB) */
    char *user_agent;          /* otlp.user_agent: put before ours; NULL: nothing */

    struct conf_limits limits_all;              /* limits.attributes ..., as they were said */
    struct conf_limits limits_log, limits_span; /* limits.log_attributes ..., settled */
    struct conf_limit span_events, span_links;  /* limits.span_events, limits.span_links (128) */
    struct conf_limit event_attributes, link_attributes; /* limits.event_attributes ..., settled */

    char *http_proxy, *https_proxy, *no_proxy; /* proxy.http ..., from HTTP_PROXY ...; NULL: none */
    char *tls_ca_file, *tls_client_cert, *tls_client_key; /* tls.*: for every sink over TLS */

    uint64_t memory_pool;    /* memory.pool, bytes (4 MiB) */
    uint64_t memory_queue;   /* memory.queue: for each sink, bytes (1 MiB) */
    uint32_t memory_threads; /* memory.threads: lanes at most (16384) */

    uint64_t exit_bound; /* exit.bound, nanoseconds (500 ms) */

    bool control;      /* control.enabled */
    char *control_dir; /* control.dir; NULL: $XDG_RUNTIME_DIR/scope or /tmp/scope-UID */

    char *diagnostics_to; /* diagnostics.to: a file path, or NULL: nowhere. Never stderr. */
    enum diagnostics_level diagnostics_level; /* diagnostics.level */

    char *path;    /* the scope.yml that was read, NULL: none */
    void *origins; /* conf's own: where each value came from */
};

/* Something wrong in the configuration; the rest is used. */
struct conf_trouble {
    const char *origin;    /* a file's path, an environment variable's name, or "--set" */
    unsigned line, column; /* 1-based; 0: not in a file */
    const char *text;      /* what is wrong, and the values that are allowed */
};
typedef void conf_report(void *context, const struct conf_trouble *trouble);

/* What conf_load reads. */
struct conf_input {
    char *const *environ;   /* NULL-ended NAME=value */
    bool privileged;        /* AT_SECURE, or uid != euid: nothing is read but defaults */
    const char *file;       /* --config; NULL: SCOPE_CONFIG, else the search order */
    char *const *sets;      /* --set KEY=VALUE, NULL-ended; NULL none */
    const char *executable; /* for processes.* and overrides; NULL: none are applied */
    char *const *arguments; /* argv, NULL-ended; may be NULL */
    const char
        *user; /* name of the effective user; NULL: /etc/passwd is asked when a rule needs it */
    uint32_t uid;
};

/*
 * Loads the configuration. Never fails but for want of memory (NULL): what is wrong goes to report
 * (may be NULL), once each, and the default stands.
 */
struct conf *conf_load(const struct conf_input *input, conf_report *report, void *context);
void conf_free(struct conf *conf);

/* Whether the process of conf_load's input is to be observed: enabled, and not excluded. */
bool conf_observes(const struct conf *conf, const struct conf_input *input);

/*
 * The rule of processes.exclude that leaves this process alone; NULL: none does (it may still not
 * be observed: `enabled` is off, or processes.include means others).
 */
const struct conf_match *conf_excluded_by(const struct conf *conf, const struct conf_input *input);

/* `scope config`: every key, its value and where the value came from, as YAML with comments. */
int conf_print(const struct conf *conf, FILE *out);
/* `scope config check`: 0, or the number of errors reported. -errno if the file cannot be read. */
int conf_check(const char *file, conf_report *report, void *context);
/* Generators for scope.yml, the reference page and --help, all from the table. */
int conf_write_example(FILE *out);
int conf_write_reference(FILE *out);

/* Sizes and durations as options take them: "4MiB", "64k", "10s", "500ms". 0 or -EINVAL, -ERANGE.
 */
int conf_parse_size(const char *text, uint64_t *bytes);
int conf_parse_duration(const char *text, uint64_t *nanoseconds);
bool conf_glob(const char *pattern, const char *text); /* `*` any run, `?` any one character */

#endif
