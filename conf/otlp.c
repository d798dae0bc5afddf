/*
 * OTLP's endpoints: what each signal takes from the general options, the sink that is there when
 * none was named, and what the usual variables say of proxies and certificates.
 */
#include "conf/internal.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_ENDPOINT "http://localhost:4318"

static const char *const signal_names[OTLP_SIGNALS] = {
    [OTLP_METRICS] = "metrics", [OTLP_LOGS] = "logs", [OTLP_TRACES] = "traces"};

static bool was_set(const struct loader *l, const struct option *o)
{
    return origin_get(l->to, o).kind != ORIGIN_DEFAULT;
}

/* base and v1/SIGNAL, with one slash between them. */
static char *signal_url(struct loader *l, const char *base, const char *signal)
{
    char url[1100];
    size_t length = strlen(base);
    bool slash = length && base[length - 1] == '/';
    /* A unix socket without a path: the path begins behind a colon. */
    bool bare = strncmp(base, "http+unix://", 12) == 0 && !strchr(base + 12, ':');
    int n = snprintf(url, sizeof(url), "%s%s%sv1/%s", base, bare ? ":" : "",
                     slash && !bare ? "" : "/", signal);
    return n > 0 && (size_t)n < sizeof(url) ? pool_copy(&l->to->pool, url, (size_t)n) : NULL;
}

/* Where the signal's own option was not set, the general one counts. */
static void inherit(struct loader *l, struct conf_otlp *o, const char *signal)
{
    static const struct {
        const char *name;
        uint16_t offset, size;
    } members[] = {
#define MEMBER(name) \
    {#name, offsetof(struct conf_otlp, name), sizeof(((struct conf_otlp *)0)->name)}
        MEMBER(protocol), MEMBER(timeout),     MEMBER(compression),
        MEMBER(ca_file),  MEMBER(client_cert), MEMBER(client_key),
#undef MEMBER
    };
    char key[40];
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        snprintf(key, sizeof(key), "otlp.%s.%s", signal, members[i].name);
        if (!was_set(l, option_find(0, key)))
            memcpy((char *)o + members[i].offset,
                   (const char *)&l->to->conf.otlp_all + members[i].offset, members[i].size);
    }
    if (o->headers.count)
        return;
    snprintf(key, sizeof(key), "otlp.%s.headers", signal);
    o->headers = l->to->conf.otlp_all.headers;
    l->to->pair_origins[pairs_list(option_find(0, key))] =
        l->to->pair_origins[pairs_list(option_find(0, "otlp.headers"))];
}

static void settle_signal(struct loader *l, unsigned signal, const char *base)
{
    struct conf_otlp *o = &l->to->conf.otlp[signal];
    char key[40];
    snprintf(key, sizeof(key), "otlp.%s.to", signal_names[signal]);
    const struct option *to = option_find(0, key);
    if (!was_set(l, to))
        o->to = base && *base ? signal_url(l, base, signal_names[signal]) : NULL;
    if (!o->enabled || (o->to && !*o->to))
        o->to = NULL;
    if (!o->to)
        return;
    if (strncmp(o->to, "http", 4) != 0) {
        struct origin from = origin_get(l->to, to);
        loader_trouble(l, from.name ? from.name : "otlp.to", from.line, from.column,
                       "%s: OTLP goes to http, https and http+unix URLs only", key);
        o->to = NULL;
        return;
    }
    inherit(l, o, signal_names[signal]);
    if (o->queue && o->batch > o->queue)
        o->batch = o->queue;
}

/* The first of these variables that is set. */
static char *variable(struct loader *l, const char *const *names)
{
    for (; *names; names++) {
        const char *value = environment_get(l, *names, strlen(*names));
        if (value)
            return pool_copy(&l->to->pool, value, strlen(value));
    }
    return NULL;
}

/* Upper case HTTP_PROXY is what a web server makes of a client's Proxy header: it is not read. */
static void settle_ways(struct loader *l)
{
    static const char *const http[] = {"http_proxy", "all_proxy", "ALL_PROXY", NULL};
    static const char *const https[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                        NULL};
    static const char *const none[] = {"no_proxy", "NO_PROXY", NULL};
    static const char *const certificates[] = {"SSL_CERT_FILE", NULL};
    struct conf *conf = &l->to->conf;
    if (!conf->http_proxy)
        conf->http_proxy = variable(l, http);
    if (!conf->https_proxy)
        conf->https_proxy = variable(l, https);
    if (!conf->no_proxy)
        conf->no_proxy = variable(l, none);
    if (!conf->tls_ca_file)
        conf->tls_ca_file = variable(l, certificates);
}

/* What Datadog's own clients read, where Datadog's format is sent. */
static void settle_origin(struct loader *l)
{
    static const char *const entity[] = {"DD_ENTITY_ID", NULL};
    static const char *const external[] = {"DD_EXTERNAL_ENV", NULL};
    struct conf *conf = &l->to->conf;

    if (!conf->statsd_to || conf->statsd_format != STATSD_DOGSTATSD || l->input->privileged)
        return;
    if (!conf->statsd_entity)
        conf->statsd_entity = variable(l, entity);
    if (!conf->statsd_external)
        conf->statsd_external = variable(l, external);
}

static bool over_http(const char *to)
{
    return to && (strncmp(to, "http", 4) == 0 || strncmp(to, "tls:", 4) == 0);
}

void otlp_settle(struct loader *l)
{
    struct conf *conf = &l->to->conf;
    bool named = conf->ndjson_to || conf->statsd_to;
    const char *base = conf->otlp_all.to;
    bool any = base != NULL, http = over_http(conf->ndjson_to) || over_http(conf->statsd_to);

    for (unsigned i = 0; i < OTLP_SIGNALS; i++)
        any = any || conf->otlp[i].to;
    if (!any) {
        /* `otlp.to: off` names no sink, and is no wish for the implicit one. */
        conf->otlp_implicit =
            !named && !l->input->privileged && !was_set(l, option_find(0, "otlp.to"));
        base = conf->otlp_implicit ? DEFAULT_ENDPOINT : NULL;
    }
    settle_origin(l);
    if (base || any) {
        for (unsigned i = 0; i < OTLP_SIGNALS; i++)
            settle_signal(l, i, base);
        http = true;
    }
    if (http && !l->input->privileged)
        settle_ways(l);
}
