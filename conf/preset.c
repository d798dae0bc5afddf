/*
 * Presets: one word for where to send. Each is a list of options and values in this configuration's
 * own words, used wherever the option was not set by anybody; keys come from the variables that the
 * vendors' own agents read.
 */
#include "conf/internal.h"

#include <stdio.h>
#include <string.h>

/* One value; ${NAME} stands for a variable. Of pairs, `name` is the pair's. */
struct preset_value {
    uint8_t preset;
    const char *key, *name, *value;
    const char *needs; /* a variable without which it is not used */
    bool must;         /* and without which nothing will be taken: that is told */
};

static const struct preset_value values[] = {
    {PRESET_COLLECTOR, "otlp.to", NULL, "http://localhost:4318", NULL, false},

    {PRESET_NEWRELIC, "otlp.to", NULL, "https://otlp.nr-data.net", NULL, false},
    {PRESET_NEWRELIC, "otlp.headers", "api-key", "${NEW_RELIC_LICENSE_KEY}",
     "NEW_RELIC_LICENSE_KEY", true},
    {PRESET_NEWRELIC, "metrics.temporality", NULL, "delta", NULL, false},
    {PRESET_NEWRELIC, "otlp.histograms", NULL, "exponential", NULL, false},
    {PRESET_NEWRELIC, "otlp.request_max", NULL, "900000", NULL, false},
    {PRESET_NEWRELIC, "limits.value_length", NULL, "4095", NULL, false},
    {PRESET_NEWRELIC, "limits.attributes", NULL, "64", NULL, false},

    {PRESET_DATADOG, "statsd.to", NULL, "${DD_DOGSTATSD_URL}", "DD_DOGSTATSD_URL", false},
    {PRESET_DATADOG, "statsd.to", NULL,
     "udp://${DD_AGENT_HOST:-127.0.0.1}:${DD_DOGSTATSD_PORT:-8125}", NULL, false},
    {PRESET_DATADOG, "otlp.logs.to", NULL, "http://${DD_AGENT_HOST:-localhost}:4318/v1/logs", NULL,
     false},
    {PRESET_DATADOG, "otlp.traces.to", NULL, "http://${DD_AGENT_HOST:-localhost}:4318/v1/traces",
     NULL, false},
    {PRESET_DATADOG, "resource.service_name", NULL, "${DD_SERVICE}", "DD_SERVICE", false},
    {PRESET_DATADOG, "tags", "env", "${DD_ENV}", "DD_ENV", false},
    {PRESET_DATADOG, "tags", "version", "${DD_VERSION}", "DD_VERSION", false},

    {PRESET_SPLUNK, "ndjson.format", NULL, "splunk", NULL, false},
    {PRESET_SPLUNK, "ndjson.to", NULL,
     "${SPLUNK_HEC_URL:-https://localhost:8088/services/collector/event}", NULL, false},
    {PRESET_SPLUNK, "ndjson.token", NULL, "${SPLUNK_HEC_TOKEN}", "SPLUNK_HEC_TOKEN", true},

    {PRESET_GRAFANA, "otlp.to", NULL, "${GRAFANA_OTLP_ENDPOINT}", "GRAFANA_OTLP_ENDPOINT", true},
};

static bool pair_is_set(const struct loader *l, const struct option *o, const char *name)
{
    const struct conf_pairs *pairs = (const void *)((const char *)&l->to->conf + o->offset);
    for (size_t i = 0; i < pairs->count; i++)
        if (value_same(pairs->items[i].key, name))
            return true;
    return false;
}

static void take(struct loader *l, const struct option *o, const char *name, const char *text,
                 const struct source *s)
{
    static const struct node nowhere = {.kind = NODE_SCALAR};
    if (name)
        conf_set_pair(l, o, name, text, &nowhere, s);
    else
        conf_set_text(l, o, text, s);
}

static bool is_set(const struct loader *l, const struct option *o, const char *name)
{
    return name ? pair_is_set(l, o, name) : origin_get(l->to, o).kind != ORIGIN_DEFAULT;
}

/* RFC 4648, with padding. out has room for 4 characters for each 3 bytes begun, and one more. */
static void base64(const char *text, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i += 3) {
        size_t n = length - i < 3 ? length - i : 3;
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < n ? (uint8_t)text[i + k] : 0u);
        for (size_t k = 0; k < 4; k++)
            *out++ = k <= n ? digits[bits >> (18 - 6 * k) & 63] : '=';
    }
    *out = 0;
}

/* Grafana takes an instance's number and a token as user and password. */
static void take_basic(struct loader *l, const struct source *s)
{
    const struct option *o = option_find(0, "otlp.headers");
    const char *user = environment_get(l, "GRAFANA_INSTANCE_ID", 19);
    const char *token = environment_get(l, "GRAFANA_API_TOKEN", 17);
    char pair[600], header[sizeof("Basic ") + sizeof(pair) / 3 * 4 + 8] = "Basic ";
    if (pair_is_set(l, o, "Authorization"))
        return;
    if (!user || !token || strlen(user) > 299 || strlen(token) > 299) {
        loader_trouble(
            l, s->name, 0, 0,
            "GRAFANA_INSTANCE_ID and GRAFANA_API_TOKEN are not set: who sends is not said");
        return;
    }
    snprintf(pair, sizeof(pair), "%.299s:%.299s", user, token);
    base64(pair, header + 6);
    take(l, o, "Authorization", header, s);
}

void preset_apply(struct loader *l)
{
    static const char *const names[] = {"",
                                        "preset collector",
                                        "preset newrelic",
                                        "preset datadog",
                                        "preset splunk",
                                        "preset grafana"};
    unsigned preset = l->to->conf.preset;
    struct source s = {.name = names[preset], .kind = ORIGIN_OTEL};
    static const struct node nowhere = {.kind = NODE_SCALAR};
    if (preset == PRESET_NONE)
        return;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        const struct preset_value *v = &values[i];
        const struct option *o = option_find(0, v->key);
        if (v->preset != preset || is_set(l, o, v->name))
            continue;
        if (v->needs && !environment_get(l, v->needs, strlen(v->needs))) {
            if (v->must)
                loader_trouble(l, s.name, 0, 0, "%s is not set, nor is %s", v->needs, v->key);
            continue;
        }
        const char *text = environment_expand(l, v->value, &nowhere, &s);
        if (text)
            take(l, o, v->name, text, &s);
    }
    if (preset == PRESET_GRAFANA)
        take_basic(l, &s);
}
