/*
 * Which sinks the configuration asks for, and how each is made.
 */
#include "report/sinks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/diagnostics.h"

enum { BURST = 512 }; /* records */
enum { ALL_SIGNALS = 1u << SIGNAL_METRICS | 1u << SIGNAL_LOGS | 1u << SIGNAL_TRACES };

static const uint64_t ATTEMPT = 10000000000u; /* ns: one request, where a batch may take any time */

static const char *const signal_names[SIGNAL_COUNT] = {
    [SIGNAL_METRICS] = "metrics", [SIGNAL_LOGS] = "logs", [SIGNAL_TRACES] = "traces"};

/* What a sink is made from. */
struct plan {
    const struct sink_encoder *encoder;
    const char *to;
    unsigned signals;
    const struct conf_otlp *otlp;     /* NULL: another sink */
    const struct conf_pairs *headers; /* NULL: none */
    const char *authorization;        /* a whole value, NULL: none */
};

/* ------------------------------------------------------------------ what a transport is told */

static bool fill_headers(struct sink *s, const struct plan *plan, struct http_options *http)
{
    size_t count = plan->headers ? plan->headers->count : 0;

    s->headers = calloc(count + 1, sizeof(*s->headers));
    if (!s->headers)
        return false;
    for (size_t i = 0; i < count; i++)
        s->headers[i] =
            (struct transport_header){plan->headers->items[i].key, plan->headers->items[i].value};
    if (plan->authorization)
        s->headers[count++] = (struct transport_header){"Authorization", plan->authorization};
    http->headers = s->headers;
    http->header_count = count;
    return true;
}

static char *user_agent(const struct conf *conf, bool otlp)
{
    const char *own = otlp ? "scope/" SCOPE_VERSION " OTel-OTLP-Exporter-C/" SCOPE_VERSION
                           : "scope/" SCOPE_VERSION;
    const char *before = conf->user_agent ? conf->user_agent : "";
    size_t room = strlen(before) + strlen(own) + 2;
    char *text = malloc(room);

    if (text)
        snprintf(text, room, "%s%s%s", before, *before ? " " : "", own);
    return text;
}

static bool fill_http(struct sink *s, const struct plan *plan, const struct conf *conf,
                      struct http_options *http)
{
    const struct conf_otlp *o = plan->otlp;
    bool https = !strncmp(plan->to, "https:", 6);

    *http = (struct http_options){
        .content_type =
            o && o->protocol == OTLP_PROTOBUF ? "application/x-protobuf" : "application/json",
        .ca_file = o && o->ca_file ? o->ca_file : conf->tls_ca_file,
        .client_cert = o && o->client_cert ? o->client_cert : conf->tls_client_cert,
        .client_key = o && o->client_key ? o->client_key : conf->tls_client_key,
        .proxy = https ? conf->https_proxy : conf->http_proxy,
        .no_proxy = conf->no_proxy,
        .gzip = !o || o->compression == OTLP_GZIP,
        .attempt_timeout = o && o->timeout ? o->timeout : ATTEMPT,
    };
    s->texts[0] = user_agent(conf, o != NULL);
    http->user_agent = s->texts[0];
    return s->texts[0] && fill_headers(s, plan, http);
}

/* ------------------------------------------------------------------ what becomes of what is sent
 */

static void done(void *context, uint64_t items, const char *error)
{
    struct sink *s = context;
    enum drop cause = DROP_SINK_FAILED;

    if (!error && !s->is_otlp)
        return; /* others say how much they took in `scope doctor` */
    if (error && !strcmp(error, "queue_full")) {
        fold_note_processed(s->fold, s->processor, s->told, error, items);
        fold_note_drop(s->fold, DROP_QUEUE_FULL, items);
        return;
    }
    fold_note_export(s->fold, s->exporter, s->told, error, items);
    if (!error)
        return;
    if (!strcmp(error, "rejected"))
        cause = DROP_REJECTED;
    else if (!strcmp(error, "timeout"))
        cause = DROP_TIMEOUT;
    fold_note_drop(s->fold, cause, items);
}

static void begun(void *context, uint64_t items)
{
    struct sink *s = context;

    if (s->is_otlp && s->told != SIGNAL_METRICS)
        fold_note_processed(s->fold, s->processor, s->told, NULL, items);
}

static void ended(void *context, uint64_t duration, const char *error)
{
    struct sink *s = context;

    if (s->is_otlp)
        fold_note_operation(s->fold, s->exporter, error, duration);
}

static bool keep(void *context, size_t from, size_t items)
{
    struct sink *s = context;

    if (!s->outstanding)
        return false;
    fold_metrics_back(s->fold, s->reader, from, items);
    fold_note_export(s->fold, s->exporter, s->told, "timeout", items);
    return true;
}

/* ------------------------------------------------------------------ opening */

/* As OpenTelemetry's conventions name the types of components. */
static void name_components(struct sink *s, const struct conf_otlp *o)
{
    static const char *const exporters[SIGNAL_COUNT][2] = {
        [SIGNAL_METRICS] = {"otlp_http_metric_exporter", "otlp_http_json_metric_exporter"},
        [SIGNAL_LOGS] = {"otlp_http_log_exporter", "otlp_http_json_log_exporter"},
        [SIGNAL_TRACES] = {"otlp_http_span_exporter", "otlp_http_json_span_exporter"}};
    static const char *const processors[SIGNAL_COUNT] = {
        [SIGNAL_METRICS] = "periodic_metric_reader",
        [SIGNAL_LOGS] = "batching_log_processor",
        [SIGNAL_TRACES] = "batching_span_processor"};

    s->exporter = o ? exporters[s->told][o->protocol == OTLP_JSON] : s->encoder->name;
    s->processor = o ? processors[s->told] : s->encoder->name;
}

static enum temporality temporality_of(const struct sink_encoder *encoder, const struct conf *conf)
{
    /* StatsD has no other. */
    if (encoder == &statsd_encoder || conf->temporality == TEMPORALITY_AUTO)
        return encoder->temporality;
    return conf->temporality == TEMPORALITY_PREFER_DELTA ? TEMPORALITY_DELTA
                                                         : TEMPORALITY_CUMULATIVE;
}

static void schedule(struct sink *s, const struct plan *plan, const struct conf *conf, uint64_t now)
{
    const struct conf_otlp *o = plan->otlp;

    s->logs_interval = o ? o->interval : conf->events_interval;
    s->metrics_interval = o ? o->interval : conf->metrics_interval;
    s->next_metrics = now + s->metrics_interval;
    s->batch = o && o->batch ? o->batch : SIZE_MAX;
}

static void sink_close(struct sink *s)
{
    if (s->queue)
        queue_free(s->queue);
    free(s->headers);
    free(s->to);
    for (unsigned i = 0; i < sizeof(s->texts) / sizeof(s->texts[0]); i++)
        free(s->texts[i]);
    *s = (struct sink){0};
}

static void sink_open(struct sink *s, const struct plan *plan, const struct reporter_options *ro,
                      struct fold *fold, uint64_t now)
{
    const struct conf *conf = ro->conf;
    struct http_options http;
    const char *error = "no memory";

    if (!plan->to || !*plan->to)
        return;
    *s = (struct sink){
        .encoder = plan->encoder,
        .to = strdup(plan->to),
        .signals = plan->signals,
        .temporality = temporality_of(plan->encoder, conf),
        .exponential = plan->otlp && conf->otlp_histograms == HISTOGRAMS_EXPONENTIAL,
        .is_otlp = plan->otlp != NULL,
        .fold = fold,
        .told = plan->signals == 1u << SIGNAL_METRICS  ? SIGNAL_METRICS
                : plan->signals == 1u << SIGNAL_TRACES ? SIGNAL_TRACES
                                                       : SIGNAL_LOGS,
    };
    name_components(s, plan->otlp);
    s->capacity = plan->otlp ? plan->otlp->queue : 0;
    s->keeps = s->is_otlp && s->told == SIGNAL_METRICS && s->temporality == TEMPORALITY_DELTA &&
               plan->otlp->timeout;
    schedule(s, plan, conf, now);
    if (s->to && fill_http(s, plan, conf, &http)) {
        struct queue_options options = {
            .encoder = plan->encoder,
            .url = s->to,
            .conf = conf,
            .http = &http,
            .unit_max = plan->otlp ? (size_t)conf->otlp_request_max : 0,
            .limit = plan->otlp ? plan->otlp->timeout : 0,
            .items_max = plan->otlp ? plan->otlp->queue : 0,
            .done = done,
            .begun = begun,
            .ended = ended,
            .keep = keep,
            .context = s,
            .saved_stdout = ro->saved_stdout,
            .saved_stderr = ro->saved_stderr,
        };
        s->queue = queue_new(&options, &error);
    }
    if (!s->queue)
        diagnostics(DIAGNOSTICS_ERROR, "%s sink: %s: %s", plan->encoder->name, plan->to, error);
}

/* /var/log/app.jsonl and "logs": /var/log/app-logs.jsonl. One signal to a file. NULL: no memory. */
static char *file_of_signal(const char *to, enum signal signal)
{
    const char *slash = strrchr(to, '/'), *dot = strrchr(slash ? slash : to, '.');
    size_t front = dot && dot > (slash ? slash + 1 : to) ? (size_t)(dot - to) : strlen(to);
    size_t room = strlen(to) + strlen(signal_names[signal]) + 2;
    char *text = malloc(room);

    if (text)
        snprintf(text, room, "%.*s-%s%s", (int)front, to, signal_names[signal], to + front);
    return text;
}

static struct sink *open_ndjson(struct sink *s, const struct reporter_options *ro,
                                struct fold *fold, uint64_t now)
{
    const struct conf *conf = ro->conf;
    struct plan plan = {.encoder = &ndjson_encoder,
                        .to = conf->ndjson_to,
                        .signals = ALL_SIGNALS,
                        .headers = &conf->ndjson_headers};
    char *token = NULL;
    struct address address;

    if (!plan.to || !*plan.to)
        return s;
    bool is_file = address_parse(plan.to, &address, NULL) == 0 && address.type == ADDRESS_FILE;
    if (conf->ndjson_format == NDJSON_OTLP && is_file) {
        plan.encoder = &otlp_lines_encoder;
        for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
            char *file = file_of_signal(conf->ndjson_to, i);
            plan.to = file;
            plan.signals = 1u << i;
            sink_open(s++, &plan, ro, fold, now);
            free(file);
        }
        return s;
    }
    if (conf->ndjson_format == NDJSON_OTLP)
        plan.encoder = &otlp_lines_encoder;
    if (conf->ndjson_format == NDJSON_SPLUNK) {
        plan.encoder = &splunk_encoder;
        size_t room = conf->ndjson_token ? strlen(conf->ndjson_token) + sizeof("Splunk ") : 0;
        token = room ? malloc(room) : NULL;
        if (token)
            snprintf(token, room, "Splunk %s", conf->ndjson_token);
        plan.authorization = token;
    }
    sink_open(s, &plan, ro, fold, now);
    if (s->encoder)
        s->texts[1] = token;
    else
        free(token);
    return s + 1;
}

void sinks_open(struct sinks *sinks, const struct reporter_options *ro, struct fold *fold,
                uint64_t now)
{
    const struct conf *conf = ro->conf;
    unsigned readers = 0;

    *sinks = (struct sinks){.logs_interval = UINT64_MAX, .gather = BURST};
    struct sink *s = open_ndjson(sinks->all, ro, fold, now);
    sink_open(s++,
              &(struct plan){.encoder = &statsd_encoder,
                             .to = conf->statsd_to,
                             .signals = 1u << SIGNAL_METRICS},
              ro, fold, now);
    for (unsigned i = 0; i < OTLP_SIGNALS; i++)
        sink_open(s++,
                  &(struct plan){.encoder = &otlp_encoder,
                                 .to = conf->otlp[i].to,
                                 .signals = 1u << i,
                                 .otlp = &conf->otlp[i],
                                 .headers = &conf->otlp[i].headers},
                  ro, fold, now);
    for (unsigned i = 0; i < SINKS_MAX; i++) {
        struct sink *one = &sinks->all[i];
        if (sink_takes(one, SIGNAL_METRICS))
            one->reader = readers++;
        if (sink_takes(one, SIGNAL_LOGS) && one->logs_interval < sinks->logs_interval)
            sinks->logs_interval = one->logs_interval;
        if (sink_takes(one, SIGNAL_LOGS) && one->batch < sinks->gather)
            sinks->gather = one->batch;
    }
    _Static_assert((int)SINKS_MAX == (int)STATUS_SINKS, "a place for each sink");
    _Static_assert((int)OTLP_METRICS == (int)SIGNAL_METRICS && (int)OTLP_LOGS == (int)SIGNAL_LOGS &&
                       (int)OTLP_TRACES == (int)SIGNAL_TRACES,
                   "one order");
    if (sinks->logs_interval == UINT64_MAX)
        sinks->logs_interval = conf->events_interval;
    /* Who wants lines less often than they are collected lets them gather. */
    for (unsigned i = 0; i < SINKS_MAX; i++) {
        struct sink *one = &sinks->all[i];
        if (sink_takes(one, SIGNAL_LOGS) && one->logs_interval > sinks->logs_interval)
            one->next_flush = now + one->logs_interval;
    }
}

void sinks_close(struct sinks *sinks)
{
    for (unsigned i = 0; i < SINKS_MAX; i++)
        sink_close(&sinks->all[i]);
}

bool sinks_use(const struct conf *conf, enum address_type type)
{
    const char *const to[] = {conf->ndjson_to, conf->statsd_to};
    struct address address;

    for (unsigned i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
        if (to[i] && *to[i] && address_parse(to[i], &address, NULL) == 0 && address.type == type)
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------ in and out */

void sink_put(struct sink *s, const struct batch *batch)
{
    uint64_t dropped = queue_put(s->queue, batch);

    s->used = true;
    if (dropped)
        done(s, dropped, "queue_full");
}

bool sink_put_metrics(struct sink *s, const struct batch *batch, uint64_t *left_out)
{
    bool alone = !queue_items(s->queue);

    s->used = true;
    if (!queue_put_whole(s->queue, batch, left_out))
        return false;
    s->outstanding = s->keeps && alone && !*left_out;
    if (s->outstanding)
        fold_metrics_remember(s->fold, s->reader, s->temporality);
    fold_metrics_taken(s->fold, s->reader, s->temporality);
    return true;
}

void sinks_tell(const struct sinks *sinks)
{
    for (unsigned i = 0; i < SINKS_MAX; i++) {
        const struct sink *s = &sinks->all[i];
        if (!s->queue || !s->is_otlp || !s->used)
            continue;
        size_t inflight = queue_inflight(s->queue);
        fold_note_queue(s->fold, s->told,
                        &(struct queue_levels){.processor = s->processor,
                                               .exporter = s->exporter,
                                               .waiting = queue_items(s->queue) - inflight,
                                               .inflight = inflight,
                                               .capacity = s->capacity});
    }
}

void sink_flush(struct sink *s, uint64_t deadline, bool insist)
{
    uint64_t failed = 0;
    bool empty = queue_flush(s->queue, deadline, insist, &failed);

    if (queue_is_under_way(s->queue))
        return; /* neither here nor there */
    if (empty && !failed) {
        if (s->away)
            diagnostics(DIAGNOSTICS_INFO, "%s sink: delivers again", s->encoder->name);
        s->away = false;
    } else if (!s->away) {
        const char *reason = queue_reason(s->queue);
        s->away = true;
        diagnostics(DIAGNOSTICS_WARN, "%s sink: %s", s->encoder->name,
                    reason && *reason ? reason : "does not take what it is sent");
    }
}

size_t sinks_waiting(const struct sinks *sinks)
{
    size_t n = 0;

    for (unsigned i = 0; i < SINKS_MAX; i++) {
        if (sinks->all[i].queue)
            n += queue_items(sinks->all[i].queue);
    }
    return n;
}

/* ------------------------------------------------------------------ status */

void sinks_status(const struct sinks *sinks, struct status *out)
{
    out->sinks = 0;
    for (unsigned i = 0; i < SINKS_MAX; i++) {
        const struct sink *s = &sinks->all[i];
        if (!s->encoder || !s->to)
            continue;
        struct status_sink *o = &out->sink[out->sinks++];
        *o = (struct status_sink){.name = s->encoder->name, .to = s->to, .state = SINK_BROKEN};
        if (!s->queue)
            continue;
        o->queued = queue_items(s->queue);
        o->sent = queue_sent(s->queue);
        o->state = s->away ? SINK_AWAY : o->sent ? SINK_OK : SINK_IDLE;
        if (s->away)
            o->reason = queue_reason(s->queue);
    }
}
