/*
 * OpenTelemetry's own configuration: the variables OTEL_*, read as the specification has it, and
 * the declarative file that OTEL_CONFIG_FILE names, of which what has a meaning here is taken.
 */
#include "conf/internal.h"

#include <stdio.h>
#include <string.h>

static unsigned line_of(const struct loader *l)
{
    return l->place ? l->place->line : 0;
}

static unsigned column_of(const struct loader *l)
{
    return l->place ? l->place->column : 0;
}

static const char *trim_end(const char *from, char *end)
{
    while (end > from && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = 0;
    return from;
}

static char *skip_space(char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    return text;
}

/* One member k=v of OTEL_RESOURCE_ATTRIBUTES, NUL-ended. NULL: cannot be decoded (or no memory). */
static struct node *decode_member(struct loader *l, char *item)
{
    char *key = skip_space(item), *equals = strchr(key, '=');
    struct node *n = node_new(l, NODE_SCALAR);
    if (!equals || !n)
        return NULL;
    *equals = 0;
    char *value = skip_space(equals + 1);
    trim_end(key, equals);
    trim_end(value, value + strlen(value));
    if (!value_percent_decode(key) || !value_percent_decode(value) || !*key)
        return NULL;
    n->key = key;
    n->text = value;
    return n;
}

/* All of it or nothing, as the specification has it. */
static void otel_pairs(struct loader *l, const struct option *o, const char *text,
                       const struct source *s)
{
    char *copy = pool_copy(&l->scratch, text, strlen(text));
    struct node *map = node_new(l, NODE_MAPPING);
    if (!copy || !map)
        return;
    for (char *item = copy; item;) {
        char *comma = strchr(item, ',');
        if (comma)
            *comma = 0;
        struct node *n = decode_member(l, item);
        if (!n) {
            loader_trouble(
                l, s->name, 0, 0,
                "cannot be decoded from its character %u on, all of it is left out; "
                "allowed: KEY=VALUE,KEY=VALUE with `,`, `=` and `%%` as %%2C, %%3D, %%25",
                (unsigned)(item - copy) + 1);
            return;
        }
        node_add(map, n);
        item = comma ? comma + 1 : NULL;
    }
    /* Of two members with one key the last counts. */
    for (const struct node *n = map->first; n; n = n->next)
        conf_set_pair(l, o, n->key, n->text, n, s);
}

static void otel_milliseconds(struct loader *l, const struct option *o, const char *text,
                              const struct source *s)
{
    uint64_t value;
    char duration[40];
    if (strlen(text) > 20 || value_count(text, &value) != 0) {
        loader_trouble(l, s->name, line_of(l), column_of(l),
                       "\"%.60s\" is not a number; allowed: a whole number of milliseconds", text);
        return;
    }
    snprintf(duration, sizeof(duration), "%sms", text);
    conf_set_text(l, o, duration, s);
}

static void otel_disables(struct loader *l, const struct option *o, const char *text,
                          const struct source *s)
{
    if (value_same(text, "true"))
        conf_set_text(l, o, "false", s);
    else if (!value_same(text, "false"))
        loader_trouble(l, s->name, line_of(l), column_of(l),
                       "\"%.60s\" is taken as false; allowed: true, false", text);
}

/* OpenTelemetry's name of a choice, and ours. */
static const struct {
    const char *otel, *ours;
} otel_choices[] = {
    {"http/protobuf", "protobuf"},
    {"http/json", "json"},
    {"lowmemory", "delta"},
    {"delta", "delta"},
    {"cumulative", "cumulative"},
    {"gzip", "gzip"},
    {"none", "none"},
    {"explicit_bucket_histogram", "explicit"},
    {"base2_exponential_bucket_histogram", "exponential"},
    {"debug", "debug"},
    {"info", "info"},
    {"warn", "warn"},
    {"error", "error"},
};

/* One that is not ours is not used, and said to be so. */
static void otel_name(struct loader *l, const struct option *o, const char *text,
                      const struct source *s)
{
    for (size_t i = 0; i < sizeof(otel_choices) / sizeof(otel_choices[0]); i++) {
        if (value_same(otel_choices[i].otel, text)) {
            conf_set_text(l, o, otel_choices[i].ours, s);
            return;
        }
    }
    loader_trouble(l, s->name, line_of(l), column_of(l), "\"%.60s\" is not used; %s has %s", text,
                   o->key, o->names);
}

/* otlp, none, console, or several: whether this signal goes out over OTLP. */
static void otel_exporter(struct loader *l, const struct option *o, const char *text,
                          const struct source *s)
{
    /* Not console: the program's standard output is its own. `ndjson.to: stdout` is our way to say it. */
    if (value_same(text, "otlp") || value_same(text, "none"))
        conf_set_text(l, o, value_same(text, "otlp") ? "true" : "false", s);
    else
        loader_trouble(l, s->name, line_of(l), column_of(l),
                       "\"%.60s\" is not used; allowed: otlp, none", text);
}

static void otel_set(struct loader *l, const struct option *o, const char *text,
                     const struct source *s)
{
    switch (o->rule) {
    case RULE_TEXT:
        conf_set_text(l, o, text, s);
        break;
    case RULE_MILLISECONDS:
        otel_milliseconds(l, o, text, s);
        break;
    case RULE_DISABLES:
        otel_disables(l, o, text, s);
        break;
    case RULE_NAMES:
        otel_name(l, o, text, s);
        break;
    case RULE_EXPORTER:
        otel_exporter(l, o, text, s);
        break;
    default:
        otel_pairs(l, o, text, s);
        break;
    }
}

/* ------------------------------------------------------------------ the variables */

static void otel_variables(struct loader *l)
{
    for (char *const *e = l->input->environ; e && *e; e++) {
        if (strncmp(*e, "OTEL_", 5) != 0)
            continue;
        size_t length = strcspn(*e, "=");
        if (!(*e)[length] || !(*e)[length + 1])
            continue; /* empty is unset */
        for (size_t i = 0; i < option_count; i++) {
            if (!options[i].rule || strncmp(options[i].otel, *e, length) != 0 ||
                options[i].otel[length])
                continue;
            struct source s = environment_source(l, *e, length, ORIGIN_OTEL);
            otel_set(l, &options[i], *e + length + 1, &s);
        }
    }
}

/* ------------------------------------------------------------------ OTEL_CONFIG_FILE */

static const struct node *child(const struct node *n, const char *key)
{
    if (!n || n->kind != NODE_MAPPING)
        return NULL;
    for (const struct node *c = n->first; c; c = c->next)
        if (strcmp(c->key, key) == 0)
            return c;
    return NULL;
}

/* A scalar with its references replaced; NULL: there is none, or it is empty. */
static const char *scalar_of(struct loader *l, const struct node *n, const struct source *s)
{
    const char *text = n && n->kind == NODE_SCALAR ? environment_expand(l, n->text, n, s) : NULL;
    return text && text[0] && !(n->plain && value_same(text, "null")) ? text : NULL;
}

/* The source of one value in the file; the rules of the variables apply to it. */
static void take(struct loader *l, const char *key, const struct node *n, const struct source *s)
{
    const char *text = scalar_of(l, n, s);
    if (!text)
        return;
    l->place = n;
    otel_set(l, option_find(0, key), text, s);
    l->place = NULL;
}

static void take_attributes(struct loader *l, const struct node *resource, const struct source *s)
{
    const struct option *o = option_find(0, "resource.attributes");
    const struct node *list = child(resource, "attributes");
    take(l, o->key, child(resource, "attributes_list"), s);
    for (const struct node *n = list && list->kind == NODE_SEQUENCE ? list->first : NULL; n;
         n = n->next) {
        const char *name = scalar_of(l, child(n, "name"), s);
        const char *value = scalar_of(l, child(n, "value"), s);
        if (name && value)
            conf_set_pair(l, o, name, value, n, s);
    }
}

/* provider.LIST[].KIND.MEMBER of the first item that has it. */
static const struct node *in_pipeline(const struct node *provider, const char *list,
                                      const char *kind, const char *member)
{
    const struct node *items = child(provider, list), *found = NULL;
    if (items && items->kind == NODE_SEQUENCE)
        for (const struct node *n = items->first; n && !found; n = n->next)
            found = child(child(n, kind), member);
    return found;
}

/* exporter.otlp_http of one signal's pipeline. */
static void take_exporter(struct loader *l, const char *signal, const struct node *exporter,
                          const struct source *s)
{
    static const struct {
        const char *member, *option;
    } members[] = {{"endpoint", "to"},
                   {"compression", "compression"},
                   {"timeout", "timeout"},
                   {"headers_list", "headers"}};
    static const struct {
        const char *member, *option;
    } files[] = {{"ca_file", "ca_file"}, {"cert_file", "client_cert"}, {"key_file", "client_key"}};
    const struct node *http = child(exporter, "otlp_http");
    char key[40];
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        snprintf(key, sizeof(key), "otlp.%s.%s", signal, members[i].option);
        take(l, key, child(http, members[i].member), s);
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(key, sizeof(key), "otlp.%s.%s", signal, files[i].option);
        take(l, key, child(child(http, "tls"), files[i].member), s);
    }
    snprintf(key, sizeof(key), "otlp.%s.headers", signal);
    const struct node *list = child(http, "headers");
    for (const struct node *n = list && list->kind == NODE_SEQUENCE ? list->first : NULL; n;
         n = n->next) {
        const char *name = scalar_of(l, child(n, "name"), s);
        const char *value = scalar_of(l, child(n, "value"), s);
        if (name && value)
            conf_set_pair(l, option_find(0, key), name, value, n, s);
    }
    take(l, "metrics.temporality", child(http, "temporality_preference"), s);
    take(l, "otlp.histograms", child(http, "default_histogram_aggregation"), s);
}

static void take_batch(struct loader *l, const char *signal, const struct node *provider,
                       const struct source *s)
{
    static const struct {
        const char *member, *option;
    } members[] = {{"schedule_delay", "interval"},
                   {"max_queue_size", "queue"},
                   {"max_export_batch_size", "batch"}};
    char key[40];
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        snprintf(key, sizeof(key), "otlp.%s.%s", signal, members[i].option);
        take(l, key, in_pipeline(provider, "processors", "batch", members[i].member), s);
    }
    take_exporter(l, signal, in_pipeline(provider, "processors", "batch", "exporter"), s);
}

static void take_pipelines(struct loader *l, const struct node *root, const struct source *s)
{
    const struct node *metrics = child(root, "meter_provider");
    const struct node *limits = child(root, "attribute_limits");
    take(l, "otlp.metrics.interval", in_pipeline(metrics, "readers", "periodic", "interval"), s);
    take_exporter(l, "metrics", in_pipeline(metrics, "readers", "periodic", "exporter"), s);
    take_batch(l, "logs", child(root, "logger_provider"), s);
    take_batch(l, "traces", child(root, "tracer_provider"), s);
    take(l, "limits.attributes", child(limits, "attribute_count_limit"), s);
    take(l, "limits.value_length", child(limits, "attribute_value_length_limit"), s);
    take(l, "diagnostics.level", child(root, "log_level"), s);
}

static void otel_file(struct loader *l, const char *path)
{
    const char *copy = pool_copy(&l->to->pool, path, strlen(path));
    struct source s = {.name = copy ? copy : "", .kind = ORIGIN_OTEL};
    const struct node *root = file_tree(l, path, s.name, false);
    if (!root)
        return;
    const char *format = scalar_of(l, child(root, "file_format"), &s);
    if (!format || strncmp(format, "1.", 2) != 0) {
        loader_trouble(l, s.name, root->line, root->column,
                       "file_format is not 1.x; nothing of this file is used");
        return;
    }
    take(l, "enabled", child(root, "disabled"), &s);
    take_attributes(l, child(root, "resource"), &s);
    take_pipelines(l, root, &s);
}

void environment_otel(struct loader *l)
{
    const char *path = environment_get(l, "OTEL_CONFIG_FILE", 16);
    if (!path) {
        otel_variables(l);
        return;
    }
    /* It silences the other variables, whether it can be read or not. */
    if (path[0] == '/')
        otel_file(l, path);
    else
        loader_trouble(l, "OTEL_CONFIG_FILE", 0, 0,
                       "\"%.60s\" is not used; allowed: an absolute path", path);
}
