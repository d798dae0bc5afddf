/*
 * OpenTelemetry's declarative configuration, the file that OTEL_CONFIG_FILE names: what has a
 * meaning here is taken. Keys without one belong to other SDKs and are passed over; a value of the
 * wrong type is told with its place.
 */
#include "conf/internal.h"

#include <stdio.h>
#include <string.h>

struct document {
    struct loader *l;
    struct source source;
};

static const char signal_names[OTLP_SIGNALS][8] = {
    [OTLP_METRICS] = "metrics", [OTLP_LOGS] = "logs", [OTLP_TRACES] = "traces"};

/* ------------------------------------------------------------------ finding values */

static bool is_null(const struct node *n)
{
    return n->kind == NODE_SCALAR && n->plain &&
           (!n->text[0] || strcmp(n->text, "~") == 0 || value_same(n->text, "null"));
}

static const struct node *child(const struct node *n, const char *key)
{
    if (!n || n->kind != NODE_MAPPING)
        return NULL;
    for (const struct node *c = n->first; c; c = c->next)
        if (strcmp(c->key, key) == 0)
            return c;
    return NULL;
}

/* A member that must be of this kind: else NULL, and it is told unless it is absent or null. */
static const struct node *of_kind(struct document *d, const struct node *n, const char *key,
                                  enum node_kind kind)
{
    static const char names[][12] = {"a value", "a list", "a mapping"};
    const struct node *c = child(n, key);
    if (!c || (c->kind == NODE_SCALAR && is_null(c)) || c->kind == NODE_BROKEN)
        return NULL;
    if (c->kind == kind)
        return c;
    loader_trouble(d->l, d->source.name, c->line, c->column, "%s is of the wrong type; allowed: %s",
                   key, names[kind]);
    return NULL;
}

static const struct node *mapping(struct document *d, const struct node *n, const char *key)
{
    return of_kind(d, n, key, NODE_MAPPING);
}

/* The items of a list that are mappings: the first, and what follows one. */
static const struct node *next_item(struct document *d, const struct node *n)
{
    for (; n && n->kind != NODE_MAPPING; n = n->next)
        if (n->kind != NODE_BROKEN)
            loader_trouble(d->l, d->source.name, n->line, n->column,
                           "an item is of the wrong type; allowed: a mapping");
    return n;
}

static const struct node *items(struct document *d, const struct node *n, const char *key)
{
    const struct node *list = of_kind(d, n, key, NODE_SEQUENCE);
    return list ? next_item(d, list->first) : NULL;
}

/* A scalar with its references replaced; NULL: there is none, or it is empty. */
static const char *text_of(struct document *d, const struct node *n, const char *key)
{
    const struct node *c = of_kind(d, n, key, NODE_SCALAR);
    const char *text = c ? environment_expand(d->l, c->text, c, &d->source) : NULL;
    return text && text[0] && !(c->plain && value_same(text, "null")) ? text : NULL;
}

/* ------------------------------------------------------------------ taking them */

/* The rules of the variables apply, with the place in the file. */
static void give(struct document *d, const struct node *place, const char *option, const char *text)
{
    const struct option *o = option_find(0, option);
    if (!text)
        return;
    d->l->place = place;
    otel_take(d->l, o, text, &d->source);
    d->l->place = NULL;
}

static void take(struct document *d, const struct node *n, const char *key, const char *option)
{
    d->l->hide = option_find(0, option)->secret;
    const char *text = text_of(d, n, key);
    d->l->hide = false;
    give(d, child(n, key), option, text);
}

static void take_of_signal(struct document *d, const struct node *n, const char *key,
                           unsigned signal, const char *leaf)
{
    char option[48];
    snprintf(option, sizeof(option), "otlp.%s.%s", signal_names[signal], leaf);
    take(d, n, key, option);
}

/* A list of {name, value}, which is stronger than the same as one text, KEY_list. */
static void take_pairs(struct document *d, const struct node *n, const char *key,
                       const struct option *o)
{
    char list[32];
    snprintf(list, sizeof(list), "%s_list", key);
    take(d, n, list, o->key);
    for (const struct node *i = items(d, n, key); i; i = next_item(d, i->next)) {
        d->l->hide = o->secret;
        const char *name = text_of(d, i, "name");
        /* Arrays are values too in the schema; here they have no meaning. */
        const struct node *value = child(i, "value");
        const char *text = value && value->kind == NODE_SCALAR ? text_of(d, i, "value") : NULL;
        d->l->hide = false;
        if (name && text)
            conf_set_pair(d->l, o, name, text, i, &d->source);
    }
}

static void take_http(struct document *d, const struct node *http, unsigned signal)
{
    char option[48];
    struct conf_otlp *o = &d->l->to->conf.otlp[signal];
    snprintf(option, sizeof(option), "otlp.%s.headers", signal_names[signal]);
    take_of_signal(d, http, "endpoint", signal, "to");
    take_pairs(d, http, "headers", option_find(0, option));
    take_of_signal(d, http, "compression", signal, "compression");
    take_of_signal(d, http, "timeout", signal, "timeout");
    const struct node *tls = mapping(d, http, "tls");
    take_of_signal(d, tls, "ca_file", signal, "ca_file");
    take_of_signal(d, tls, "cert_file", signal, "client_cert");
    take_of_signal(d, tls, "key_file", signal, "client_key");
    take(d, http, "max_request_size", "otlp.request_max");
    const char *encoding = text_of(d, http, "encoding");
    if (encoding) {
        char name[16];
        /* The variable of the same option says http/json. */
        snprintf(name, sizeof(name), "http/%.10s", encoding);
        snprintf(option, sizeof(option), "otlp.%s.protocol", signal_names[signal]);
        give(d, child(http, "encoding"), option, name);
    }
    if (signal == OTLP_METRICS) {
        take(d, http, "temporality_preference", "metrics.temporality");
        take(d, http, "default_histogram_aggregation", "otlp.histograms");
    }
    if (!child(http, "endpoint") && !o->to) {
        char url[64];
        snprintf(url, sizeof(url), "http://localhost:4318/v1/%s", signal_names[signal]);
        snprintf(option, sizeof(option), "otlp.%s.to", signal_names[signal]);
        give(d, http, option, url);
    }
}

/* What is inside a processor or a reader. */
static void take_exporter(struct document *d, const struct node *holder, unsigned signal)
{
    const struct node *exporter = mapping(d, holder, "exporter");
    static const char others[][12] = {"otlp_grpc", "console"};
    const struct node *http = child(exporter, "otlp_http");
    if (http && (is_null(http) || mapping(d, exporter, "otlp_http")))
        take_http(d, http, signal);
    for (size_t i = 0; i < 2; i++) {
        const struct node *other = child(exporter, others[i]);
        if (other)
            loader_trouble(d->l, d->source.name, other->key_line, other->key_column,
                           "%s is not supported; allowed: otlp_http", others[i]);
    }
}

static void take_processors(struct document *d, const struct node *provider, unsigned signal)
{
    for (const struct node *i = items(d, provider, "processors"); i; i = next_item(d, i->next)) {
        const struct node *batch = mapping(d, i, "batch");
        take_of_signal(d, batch, "schedule_delay", signal, "interval");
        take_of_signal(d, batch, "export_timeout", signal, "export_timeout");
        take_of_signal(d, batch, "max_queue_size", signal, "queue");
        take_of_signal(d, batch, "max_export_batch_size", signal, "batch");
        take_exporter(d, batch ? batch : mapping(d, i, "simple"), signal);
    }
}

static void take_readers(struct document *d, const struct node *provider)
{
    for (const struct node *i = items(d, provider, "readers"); i; i = next_item(d, i->next)) {
        const struct node *periodic = mapping(d, i, "periodic");
        take_of_signal(d, periodic, "interval", OTLP_METRICS, "interval");
        take_of_signal(d, periodic, "timeout", OTLP_METRICS, "export_timeout");
        take_exporter(d, periodic, OTLP_METRICS);
    }
}

/* `of`: "", "log_", "span_". */
static void take_limits(struct document *d, const struct node *n, const char *of)
{
    char option[48];
    snprintf(option, sizeof(option), "limits.%sattributes", of);
    take(d, n, "attribute_count_limit", option);
    snprintf(option, sizeof(option), "limits.%svalue_length", of);
    take(d, n, "attribute_value_length_limit", option);
}

static void take_span_limits(struct document *d, const struct node *n)
{
    take_limits(d, n, "span_");
    take(d, n, "event_count_limit", "limits.span_events");
    take(d, n, "link_count_limit", "limits.span_links");
    take(d, n, "event_attribute_count_limit", "limits.event_attributes");
    take(d, n, "link_attribute_count_limit", "limits.link_attributes");
}

/* ------------------------------------------------------------------ sampler and propagators */

/* One sampler is the one key of a mapping: {trace_id_ratio_based: {ratio: 0.5}}. */
static void take_sampler(struct document *d, const struct node *n, bool parent)
{
    static const char kinds[][8] = {"on", "off", "ratio"};
    static const char keys[][24] = {"always_on", "always_off", "trace_id_ratio_based",
                                    "probability/development"};
    const struct node *based = parent ? NULL : child(n, "parent_based");
    char name[16];
    if (based) {
        const struct node *root = based->kind == NODE_MAPPING ? mapping(d, based, "root") : NULL;
        if (root)
            take_sampler(d, root, true);
        else if (is_null(based) || mapping(d, n, "parent_based"))
            conf_set_text(d->l, option_find(0, "traces.sampler"), "parent_on", &d->source);
        return;
    }
    for (size_t i = 0; i < 4; i++) {
        if (!child(n, keys[i]))
            continue;
        snprintf(name, sizeof(name), "%s%s", parent ? "parent_" : "", kinds[i < 2 ? i : 2]);
        d->l->place = child(n, keys[i]);
        conf_set_text(d->l, option_find(0, "traces.sampler"), name, &d->source);
        d->l->place = NULL;
        take(d, mapping(d, n, keys[i]), "ratio", "traces.ratio");
        return;
    }
    if (n)
        loader_trouble(d->l, d->source.name, n->line, n->column,
                       "this sampler is not supported; allowed: always_on, always_off, "
                       "trace_id_ratio_based, parent_based");
}

/* composite: a list of mappings of one key each; composite_list: the same as one text. */
static void take_propagators(struct document *d, const struct node *propagator)
{
    char names[200];
    size_t n = 0;
    const struct node *first = items(d, propagator, "composite");
    for (const struct node *i = first; i; i = next_item(d, i->next))
        if (i->first && n < sizeof(names))
            n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%.40s", n ? "," : "",
                                  i->first->key);
    const char *list = text_of(d, propagator, "composite_list");
    if (list && n < sizeof(names))
        n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%.100s", n ? "," : "", list);
    if (n)
        give(d, child(propagator, first ? "composite" : "composite_list"), "traces.propagators",
             names);
}

/* Of servers and clients the same holds here; the server's is asked first. */
static void take_methods(struct document *d, const struct node *root)
{
    static const char sides[][8] = {"server", "client"};
    const struct node *http =
        mapping(d, mapping(d, mapping(d, root, "instrumentation/development"), "general"), "http");
    for (size_t i = 0; i < 2; i++) {
        const struct node *side = mapping(d, http, sides[i]);
        const struct node *list = of_kind(d, side, "known_methods", NODE_SEQUENCE);
        if (!list)
            continue;
        conf_set(d->l, option_find(0, "traces.methods"), list, &d->source);
        return;
    }
}

/* trace, debug, debug2 ... fatal4. */
static void take_log_level(struct document *d, const struct node *root)
{
    const char *text = text_of(d, root, "log_level");
    char name[64];
    if (!text)
        return;
    snprintf(name, sizeof(name), "%s", text);
    size_t n = strlen(name);
    if (n > 1 && name[n - 1] >= '2' && name[n - 1] <= '4')
        name[n - 1] = 0;
    give(d, child(root, "log_level"), "diagnostics.level", name);
}

/* ------------------------------------------------------------------ all of it */

static void take_all(struct document *d, const struct node *root)
{
    const struct node *traces = mapping(d, root, "tracer_provider");
    const struct node *metrics = mapping(d, root, "meter_provider");
    const struct node *logs = mapping(d, root, "logger_provider");
    const struct node *sampler = mapping(d, traces, "sampler");
    take(d, root, "disabled", "enabled");
    take_log_level(d, root);
    take_pairs(d, mapping(d, root, "resource"), "attributes",
               option_find(0, "resource.attributes"));
    take_limits(d, mapping(d, root, "attribute_limits"), "");
    take_limits(d, mapping(d, logs, "limits"), "log_");
    take_span_limits(d, mapping(d, traces, "limits"));
    take_propagators(d, mapping(d, root, "propagator"));
    if (sampler)
        take_sampler(d, sampler, false);
    take(d, metrics, "exemplar_filter", "metrics.exemplars");
    take_readers(d, metrics);
    take_processors(d, logs, OTLP_LOGS);
    take_processors(d, traces, OTLP_TRACES);
    take_methods(d, root);
}

void declarative_load(struct loader *l, const char *path)
{
    const char *copy = pool_copy(&l->to->pool, path, strlen(path));
    struct document d = {.l = l, .source = {.name = copy ? copy : "", .kind = ORIGIN_OTEL}};
    const struct node *root = file_tree(l, path, d.source.name, false);
    if (!root)
        return;
    const char *format = text_of(&d, root, "file_format");
    if (!format || strncmp(format, "1.", 2) != 0) {
        loader_trouble(l, d.source.name, root->line, root->column,
                       "file_format is not 1.x; nothing of this file is used");
        return;
    }
    take_all(&d, root);
}
