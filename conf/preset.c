/*
 * Presets: one word for what a place to send to needs. What a preset sets is as strong as the
 * source that names it, and weaker than all that this source or a stronger one says itself.
 */
#include "conf/internal.h"

#include <stdio.h>
#include <string.h>

enum { VALUE_SIZE = 1100 };

struct giving {
    struct loader *l;
    struct source source; /* "preset newrelic" */
    struct origin origin; /* where the preset is named */
};

#define OFFSET(member) offsetof(struct conf, member)

/* Whether this option, set or not, gives way to the preset. */
static bool gives_way(const struct giving *g, size_t offset)
{
    struct origin now = origin_get(g->l->to, option_at(offset));
    return now.kind == ORIGIN_DEFAULT || now.kind < g->source.kind;
}

static void give(const struct giving *g, size_t offset, const char *text)
{
    if (gives_way(g, offset))
        conf_set_text(g->l, option_at(offset), text, &g->source);
}

static const struct origin *origin_of_pair(const struct giving *g, size_t offset, const char *key)
{
    const struct option *o = option_at(offset);
    const struct conf_pairs *pairs = (const void *)((const char *)&g->l->to->conf + offset);
    for (size_t i = 0; i < pairs->count; i++)
        if (o->secret ? value_same(pairs->items[i].key, key)
                      : strcmp(pairs->items[i].key, key) == 0)
            return &g->l->to->pair_origins[pairs_list(o)][i];
    return NULL;
}

static void give_pair(const struct giving *g, size_t offset, const char *key, const char *value)
{
    static const struct node nowhere = {.kind = NODE_SCALAR};
    const struct origin *now = origin_of_pair(g, offset, key);
    if (!now || now->kind < g->source.kind)
        conf_set_pair(g->l, option_at(offset), key, value, &nowhere, &g->source);
}

static const char *variable(const struct giving *g, const char *name)
{
    return environment_get(g->l, name, strlen(name));
}

/* A file that is checked will be used with variables that are not there yet. */
static void lacks(const struct giving *g, const char *what)
{
    if (!g->l->checking)
        loader_trouble(g->l, g->origin.name, g->origin.line, g->origin.column, "%s needs %s",
                       g->source.name, what);
}

/* ------------------------------------------------------------------ New Relic, Splunk */

static void newrelic(const struct giving *g)
{
    const char *key = variable(g, "NEW_RELIC_LICENSE_KEY");
    give(g, OFFSET(otlp_all.to), "https://otlp.nr-data.net");
    if (key)
        give_pair(g, OFFSET(otlp_all.headers), "api-key", key);
    else if (!origin_of_pair(g, OFFSET(otlp_all.headers), "api-key"))
        lacks(g, "a license key; allowed: NEW_RELIC_LICENSE_KEY, or api-key in otlp.headers");
    give(g, OFFSET(otlp_all.compression), "gzip");
    give(g, OFFSET(temporality), "delta");
    give(g, OFFSET(otlp_histograms), "exponential");
    give(g, OFFSET(otlp_request_max), "900000");
    give(g, OFFSET(limits_all.attributes), "64");
    give(g, OFFSET(limits_all.value_length), "4095");
}

static void splunk(const struct giving *g)
{
    const char *url = variable(g, "SPLUNK_HEC_URL"), *token = variable(g, "SPLUNK_HEC_TOKEN");
    give(g, OFFSET(ndjson_to), url ? url : "https://localhost:8088/services/collector/event");
    give(g, OFFSET(ndjson_format), "splunk");
    if (token)
        give(g, OFFSET(ndjson_token), token);
    else if (!g->l->to->conf.ndjson_token)
        lacks(g, "a token; allowed: SPLUNK_HEC_TOKEN, or ndjson.token");
}

/* ------------------------------------------------------------------ Datadog */

/* A host, in brackets if it is an IPv6 address. */
static void write_host(const char *host, char *out, size_t size)
{
    bool bare = strchr(host, ':') && host[0] != '[';
    snprintf(out, size, "%s%.255s%s", bare ? "[" : "", host, bare ? "]" : "");
}

/* Datadog's unix:// is a socket of datagrams; false: its streams have a framing of their own. */
static bool statsd_address(const struct giving *g, const char *host, char *out, size_t size)
{
    const char *url = variable(g, "DD_DOGSTATSD_URL"), *port = variable(g, "DD_DOGSTATSD_PORT");
    if (!port)
        port = "8125";
    if (!url) {
        snprintf(out, size, "udp://%s:%.16s", host, port);
    } else if (strncmp(url, "unix://", 7) == 0) {
        snprintf(out, size, "unixgram://%.900s", url + 7);
    } else if (strncmp(url, "unixstream://", 13) == 0) {
        lacks(g, "another DD_DOGSTATSD_URL: unixstream is not supported; allowed: udp, unix, "
                 "unixgram");
        return false;
    } else {
        bool bare = strncmp(url, "udp://", 6) == 0 &&
                    !strchr(strrchr(url, ']') ? strrchr(url, ']') : url + 6, ':');
        snprintf(out, size, "%.900s%s%.16s", url, bare ? ":" : "", bare ? port : "");
    }
    return true;
}

static void datadog(const struct giving *g)
{
    /* As OpenTelemetry names them, and as Datadog's tags are called. */
    static const struct {
        char variable[12], attribute[28], tag[8];
    } tags[] = {{"DD_ENV", "deployment.environment.name", "env"},
                {"DD_VERSION", "service.version", "version"}};
    char host[264], text[VALUE_SIZE];
    const char *named = variable(g, "DD_AGENT_HOST"), *service = variable(g, "DD_SERVICE");
    write_host(named ? named : "127.0.0.1", host, sizeof(host));
    if (statsd_address(g, host, text, sizeof(text)))
        give(g, OFFSET(statsd_to), text);
    give(g, OFFSET(statsd_format), "dogstatsd");
    if (service)
        give(g, OFFSET(service_name), service);
    for (size_t i = 0; i < 2; i++) {
        const char *value = variable(g, tags[i].variable);
        if (!value)
            continue;
        give_pair(g, OFFSET(attributes), tags[i].attribute, value);
        give_pair(g, OFFSET(tags), tags[i].tag, value);
    }
    /* Metrics go by StatsD: not twice. */
    write_host(named ? named : "localhost", host, sizeof(host));
    snprintf(text, sizeof(text), "http://%s:4318/v1/logs", host);
    give(g, OFFSET(otlp[OTLP_LOGS].to), text);
    snprintf(text, sizeof(text), "http://%s:4318/v1/traces", host);
    give(g, OFFSET(otlp[OTLP_TRACES].to), text);
    give(g, OFFSET(temporality), "delta");
}

/* ------------------------------------------------------------------ Grafana */

static void base64(const char *text, char *out, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *c = (const unsigned char *)text;
    size_t left = strlen(text), n = 0;
    for (; left && n + 5 <= size; c += left < 3 ? left : 3, left -= left < 3 ? left : 3) {
        uint32_t three =
            (uint32_t)c[0] << 16 | (left > 1 ? (uint32_t)c[1] << 8 : 0) | (left > 2 ? c[2] : 0);
        out[n++] = digits[three >> 18];
        out[n++] = digits[three >> 12 & 63];
        out[n++] = left > 1 ? digits[three >> 6 & 63] : '=';
        out[n++] = left > 2 ? digits[three & 63] : '=';
    }
    out[n] = 0;
}

static void grafana(const struct giving *g)
{
    const char *endpoint = variable(g, "GRAFANA_OTLP_ENDPOINT");
    const char *id = variable(g, "GRAFANA_INSTANCE_ID"), *token = variable(g, "GRAFANA_API_TOKEN");
    char both[VALUE_SIZE], value[2 * VALUE_SIZE] = "Basic ";
    if (endpoint)
        give(g, OFFSET(otlp_all.to), endpoint);
    else if (gives_way(g, OFFSET(otlp_all.to)) && !g->l->to->conf.otlp_all.to)
        lacks(g, "an endpoint; allowed: GRAFANA_OTLP_ENDPOINT, or otlp.to");
    int n = id && token ? snprintf(both, sizeof(both), "%s:%s", id, token) : -1;
    if (n > 0 && (size_t)n < sizeof(both)) {
        base64(both, value + 6, sizeof(value) - 6);
        give_pair(g, OFFSET(otlp_all.headers), "Authorization", value);
    } else if (!origin_of_pair(g, OFFSET(otlp_all.headers), "Authorization")) {
        lacks(g, "GRAFANA_INSTANCE_ID and GRAFANA_API_TOKEN, or Authorization in otlp.headers");
    }
}

/* ------------------------------------------------------------------ any */

void preset_apply(struct loader *l)
{
    static const char names[][24] = {
        [PRESET_COLLECTOR] = "preset collector", [PRESET_NEWRELIC] = "preset newrelic",
        [PRESET_DATADOG] = "preset datadog",     [PRESET_SPLUNK] = "preset splunk",
        [PRESET_GRAFANA] = "preset grafana",
    };
    enum preset preset = l->to->conf.preset;
    if (preset == PRESET_NONE)
        return;
    struct giving g = {.l = l, .origin = origin_get(l->to, option_at(OFFSET(preset)))};
    g.source = (struct source){.name = names[preset], .kind = g.origin.kind};
    switch (preset) {
    case PRESET_COLLECTOR:
        give(&g, OFFSET(otlp_all.to), "http://localhost:4318");
        break;
    case PRESET_NEWRELIC:
        newrelic(&g);
        break;
    case PRESET_DATADOG:
        datadog(&g);
        break;
    case PRESET_SPLUNK:
        splunk(&g);
        break;
    default:
        grafana(&g);
        break;
    }
}
