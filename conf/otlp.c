/*
 * OTLP's endpoints: what each signal takes from the general options, the sink that is there when
 * none was named, and what the usual variables say of proxies and certificates.
 */
#include "conf/internal.h"

#include <string.h>

static const char signal_names[OTLP_SIGNALS][8] = {
    [OTLP_METRICS] = "metrics", [OTLP_LOGS] = "logs", [OTLP_TRACES] = "traces"};

bool conf_was_set(const struct loader *l, size_t offset)
{
    return l->to->origins && origin_get(l->to, option_at(offset)).kind != ORIGIN_DEFAULT;
}

static size_t offset_of_signal(unsigned signal)
{
    return offsetof(struct conf, otlp) + signal * sizeof(struct conf_otlp);
}

/* ------------------------------------------------------------------ what a signal inherits */

void conf_inherit(struct loader *l, size_t to, size_t from, size_t size)
{
    char *conf = (char *)&l->to->conf;
    if (conf_was_set(l, to) || !conf_was_set(l, from))
        return;
    memcpy(conf + to, conf + from, size);
    *origin_note(l->to, option_at(to)) = origin_get(l->to, option_at(from));
}

/* Headers are replaced as a whole: half of one server's and half of another's fit neither. */
static void inherit_headers(struct loader *l, unsigned signal)
{
    struct conf *conf = &l->to->conf;
    const struct option *general = option_at(offsetof(struct conf, otlp_all.headers));
    const struct option *own =
        option_at(offset_of_signal(signal) + offsetof(struct conf_otlp, headers));
    if (conf->otlp[signal].headers.count)
        return;
    conf->otlp[signal].headers = conf->otlp_all.headers;
    l->to->pair_origins[pairs_list(own)] = l->to->pair_origins[pairs_list(general)];
}

/* Where the signal's own option was not set, the general one counts, and is told as its origin. */
static void inherit(struct loader *l, unsigned signal)
{
    static const struct {
        uint16_t offset, size;
    } members[] = {
#define MEMBER(name) {offsetof(struct conf_otlp, name), sizeof(((struct conf_otlp *)0)->name)}
        MEMBER(protocol), MEMBER(timeout),     MEMBER(compression),
        MEMBER(ca_file),  MEMBER(client_cert), MEMBER(client_key),
#undef MEMBER
    };
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        size_t from = offsetof(struct conf, otlp_all) + members[i].offset;
        conf_inherit(l, offset_of_signal(signal) + members[i].offset, from, members[i].size);
    }
    if (l->to->conf.otlp_all.headers.count)
        inherit_headers(l, signal);
}

/* ------------------------------------------------------------------ where it goes */

static char *signal_url(struct loader *l, const char *base, const char *signal)
{
    char url[1100];
    int n = conf_otlp_url(base, signal, url, sizeof(url));
    return n > 0 ? pool_copy(&l->to->pool, url, (size_t)n) : NULL;
}

/* A request of more than may wait would never be filled. */
static void settle_bounds(struct loader *l, unsigned signal)
{
    struct conf_otlp *o = &l->to->conf.otlp[signal];
    if (o->export_timeout && (!o->timeout || o->timeout > o->export_timeout))
        o->timeout = o->export_timeout;
    if (!o->queue || o->batch <= o->queue)
        return;
    struct origin batch =
        origin_get(l->to, option_at(offset_of_signal(signal) + offsetof(struct conf_otlp, batch)));
    struct origin queue =
        origin_get(l->to, option_at(offset_of_signal(signal) + offsetof(struct conf_otlp, queue)));
    struct origin from = batch.kind >= queue.kind ? batch : queue;
    loader_trouble(l, from.name ? from.name : "", from.line, from.column,
                   "otlp.%s.batch: %u is more than otlp.%s.queue holds; %u is used",
                   signal_names[signal], o->batch, signal_names[signal], o->queue);
    o->batch = o->queue;
}

static void settle_signal(struct loader *l, unsigned signal)
{
    struct conf *conf = &l->to->conf;
    struct conf_otlp *o = &conf->otlp[signal];
    size_t offset = offset_of_signal(signal) + offsetof(struct conf_otlp, to);
    size_t general = offsetof(struct conf, otlp_all.to);
    if (conf_was_set(l, offset)) {
        o->to = o->to ? signal_url(l, o->to, NULL) : NULL;
    } else if (conf->otlp_all.to) {
        o->to = signal_url(l, conf->otlp_all.to, signal_names[signal]);
        if (conf_was_set(l, general))
            *origin_note(l->to, option_at(offset)) = origin_get(l->to, option_at(general));
    }
    if (!o->enabled)
        o->to = NULL;
    if (!o->to)
        return;
    inherit(l, signal);
    settle_bounds(l, signal);
}

/* Nothing has been said about OTLP's options, or the signal is off. */
static void settle_implicit(struct loader *l)
{
    static const char urls[OTLP_SIGNALS][40] = {[OTLP_METRICS] = "http://localhost:4318/v1/metrics",
                                                [OTLP_LOGS] = "http://localhost:4318/v1/logs",
                                                [OTLP_TRACES] = "http://localhost:4318/v1/traces"};
    for (unsigned i = 0; i < OTLP_SIGNALS; i++) {
        struct conf_otlp *o = &l->to->conf.otlp[i];
        size_t offset = offset_of_signal(i) + offsetof(struct conf_otlp, to);
        if (!o->enabled || conf_was_set(l, offset)) /* set to nothing: off */
            continue;
        o->to = (char *)urls[i];
        inherit(l, i);
        settle_bounds(l, i);
    }
}

/* ------------------------------------------------------------------ from other variables */

/* The first of these variables that is set, if the option is not. */
static void from_variable(struct loader *l, size_t offset, const char *names)
{
    char **to = (char **)(void *)((char *)&l->to->conf + offset);
    for (; *names && !*to; names += strlen(names) + 1) {
        const char *value = environment_get(l, names, strlen(names));
        const struct option *o = value ? option_at(offset) : NULL;
        /* The variable is others': what is no path for us is passed over in silence. */
        if (!o || conf_was_set(l, offset) || (o->type == OPTION_PATH && value[0] != '/'))
            continue;
        struct source s = environment_source(l, names, strlen(names), ORIGIN_OTEL);
        conf_set_text(l, o, value, &s);
    }
}

/* Upper case HTTP_PROXY is what a web server makes of a client's Proxy header: it is not read. */
static void settle_ways(struct loader *l)
{
    from_variable(l, offsetof(struct conf, http_proxy), "http_proxy\0all_proxy\0ALL_PROXY\0");
    from_variable(l, offsetof(struct conf, https_proxy),
                  "https_proxy\0HTTPS_PROXY\0all_proxy\0ALL_PROXY\0");
    from_variable(l, offsetof(struct conf, no_proxy), "no_proxy\0NO_PROXY\0");
    from_variable(l, offsetof(struct conf, tls_ca_file), "SSL_CERT_FILE\0");
}

/* What Datadog's own clients read, where Datadog's format is sent. */
static void settle_origin(struct loader *l)
{
    const struct conf *conf = &l->to->conf;
    if (!conf->statsd_to || conf->statsd_format != STATSD_DOGSTATSD)
        return;
    from_variable(l, offsetof(struct conf, statsd_entity), "DD_ENTITY_ID\0");
    from_variable(l, offsetof(struct conf, statsd_external), "DD_EXTERNAL_ENV\0");
}

static bool over_tls_or_http(const char *to)
{
    return to && (strncmp(to, "http", 4) == 0 || strncmp(to, "tls:", 4) == 0);
}

void otlp_settle(struct loader *l)
{
    struct conf *conf = &l->to->conf;
    bool named = conf->ndjson_to || conf->statsd_to || conf->otlp_all.to;
    for (unsigned i = 0; i < OTLP_SIGNALS; i++)
        named = named || conf->otlp[i].to;
    /* `otlp.to: off` names no sink, and is no wish for the implicit one; nor is a preset. */
    conf->otlp_implicit = !named && !l->input->privileged && conf->preset == PRESET_NONE &&
                          !conf_was_set(l, offsetof(struct conf, otlp_all.to));
    bool http = over_tls_or_http(conf->ndjson_to) || over_tls_or_http(conf->statsd_to);
    if (conf->otlp_implicit)
        settle_implicit(l);
    else if (l->to->origins)
        for (unsigned i = 0; i < OTLP_SIGNALS; i++)
            settle_signal(l, i);
    for (unsigned i = 0; i < OTLP_SIGNALS; i++)
        http = http || conf->otlp[i].to;
    if (l->input->privileged)
        return;
    settle_origin(l);
    if (http)
        settle_ways(l);
}
