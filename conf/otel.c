/*
 * OpenTelemetry's own variables OTEL_*, read as the specification has it: what is wrong is told and
 * passed over.
 */
#include "conf/internal.h"

#include <errno.h>
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

static void otel_count(struct loader *l, const struct option *o, const char *text,
                       const struct source *s)
{
    uint64_t value;
    if (value_count(text, &value) == -EINVAL)
        loader_trouble(l, s->name, line_of(l), column_of(l),
                       "\"%.60s\" is not a number; allowed: a whole number", text);
    else
        conf_set_text(l, o, text, s);
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

/* OpenTelemetry's name of a choice, and ours; of several those that the option has. */
static const struct {
    char otel[40], ours[16];
} otel_choices[] = {
    {"http/protobuf", "protobuf"},
    {"http/json", "json"},
    {"cumulative", "cumulative"},
    {"delta", "delta"},
    {"lowmemory", "delta"},
    {"low_memory", "delta"},
    {"gzip", "gzip"},
    {"none", "none"},
    {"explicit_bucket_histogram", "explicit"},
    {"base2_exponential_bucket_histogram", "exponential"},
    {"trace_based", "trace_based"},
    {"always_on", "always_on"},
    {"always_off", "always_off"},
    {"always_on", "on"},
    {"always_off", "off"},
    {"traceidratio", "ratio"},
    {"parentbased_always_on", "parent_on"},
    {"parentbased_always_off", "parent_off"},
    {"parentbased_traceidratio", "parent_ratio"},
    {"trace", "debug"},
    {"debug", "debug"},
    {"info", "info"},
    {"warn", "warn"},
    {"error", "error"},
    {"fatal", "error"},
};
enum { OTEL_CHOICES = sizeof(otel_choices) / sizeof(otel_choices[0]) };

static void otel_name(struct loader *l, const struct option *o, const char *text,
                      const struct source *s)
{
    char allowed[200];
    size_t n = 0;
    for (size_t i = 0; i < OTEL_CHOICES; i++) {
        if (!option_has_choice(o, otel_choices[i].ours))
            continue;
        if (value_same(otel_choices[i].otel, text)) {
            conf_set_text(l, o, otel_choices[i].ours, s);
            return;
        }
        if (n < sizeof(allowed))
            n += (size_t)snprintf(allowed + n, sizeof(allowed) - n, "%s%s", n ? ", " : "",
                                  otel_choices[i].otel);
    }
    loader_trouble(l, s->name, line_of(l), column_of(l),
                   "\"%.60s\" is not supported, %s is as if it were unset; allowed: %s", text,
                   o->key, allowed);
}

static void otel_ratio(struct loader *l, const struct option *o, const char *text,
                       const struct source *s)
{
    double value;
    if (!conf_was_set(l, offsetof(struct conf, sampler)))
        return; /* it is a sampler's, and none is named */
    if (value_ratio(text, &value)) {
        conf_set_text(l, o, text, s);
        return;
    }
    loader_trouble(l, s->name, line_of(l), column_of(l),
                   "\"%.60s\" is taken as 1; allowed: a number from 0 to 1", text);
    conf_set_text(l, o, "1", s);
}

/* Calls `each` for the items of a list with commas, without the blanks around them. */
static void otel_items(struct loader *l, const char *text, void *context,
                       void (*each)(struct loader *l, void *context, const char *item))
{
    char *copy = pool_copy(&l->scratch, text, strlen(text));
    for (char *item = copy; item;) {
        char *comma = strchr(item, ',');
        if (comma)
            *comma = 0;
        char *from = skip_space(item);
        trim_end(from, from + strlen(from));
        if (*from)
            each(l, context, from);
        item = comma ? comma + 1 : NULL;
    }
}

struct named {
    const struct source *source;
    bool otlp, none;
    struct node *list;
};

static void one_exporter(struct loader *l, void *context, const char *item)
{
    struct named *n = context;
    if (value_same(item, "otlp"))
        n->otlp = true;
    else if (value_same(item, "none"))
        n->none = true;
    else
        loader_trouble(l, n->source->name, line_of(l), column_of(l),
                       "\"%.60s\" is not supported; allowed: otlp, none", item);
}

/* Whether this signal goes out over OTLP; a list of which nothing is known says nothing. */
static void otel_exporter(struct loader *l, const struct option *o, const char *text,
                          const struct source *s)
{
    struct named n = {.source = s};
    otel_items(l, text, &n, one_exporter);
    if (n.otlp || n.none)
        conf_set_text(l, o, n.otlp ? "true" : "false", s);
}

static void one_propagator(struct loader *l, void *context, const char *item)
{
    static const char known[][16] = {"tracecontext", "baggage", "b3", "b3multi"};
    struct named *n = context;
    const char *name = NULL;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (value_same(item, known[i]))
            name = known[i];
    n->none |= value_same(item, "none");
    if (!name && !value_same(item, "none"))
        loader_trouble(l, n->source->name, line_of(l), column_of(l),
                       "\"%.60s\" is not supported; allowed: tracecontext, baggage, b3, b3multi, "
                       "none",
                       item);
    for (const struct node *c = name ? n->list->first : NULL; c; c = c->next)
        if (strcmp(c->text, name) == 0)
            return;
    struct node *child = name ? node_new(l, NODE_SCALAR) : NULL;
    if (child) {
        child->text = name;
        node_add(n->list, child);
    }
}

static void otel_propagators(struct loader *l, const struct option *o, const char *text,
                             const struct source *s)
{
    struct named n = {.source = s, .list = node_new(l, NODE_SEQUENCE)};
    if (!n.list)
        return;
    otel_items(l, text, &n, one_propagator);
    if (n.list->first || n.none)
        conf_set(l, o, n.list, s);
}

static void one_item(struct loader *l, void *context, const char *item)
{
    struct named *n = context;
    struct node *child = node_new(l, NODE_SCALAR);
    if (child) {
        child->text = item;
        node_add(n->list, child);
    }
}

static void otel_list(struct loader *l, const struct option *o, const char *text,
                      const struct source *s)
{
    struct named n = {.source = s, .list = node_new(l, NODE_SEQUENCE)};
    if (!n.list)
        return;
    otel_items(l, text, &n, one_item);
    if (n.list->first)
        conf_set(l, o, n.list, s);
}

void otel_take(struct loader *l, const struct option *o, const char *text, const struct source *s)
{
    switch (o->rule) {
    case RULE_COUNT:
        otel_count(l, o, text, s);
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
    case RULE_RATIO:
        otel_ratio(l, o, text, s);
        break;
    case RULE_PROPAGATORS:
        otel_propagators(l, o, text, s);
        break;
    case RULE_LIST:
        otel_list(l, o, text, s);
        break;
    case RULE_NONE: /* a value that only the file has */
    case RULE_TEXT:
        conf_set_text(l, o, text, s);
        break;
    default:
        otel_pairs(l, o, text, s);
        break;
    }
}

/* ------------------------------------------------------------------ the variables */

static void one_variable(struct loader *l, const char *variable, size_t length)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        if (o->rule == RULE_NONE || o->rule == RULE_RATIO ||
            strncmp(o->otel, variable, length) != 0 || o->otel[length])
            continue;
        struct source s = environment_source(l, variable, length, ORIGIN_OTEL);
        otel_take(l, o, variable + length + 1, &s);
    }
}

static void otel_variables(struct loader *l)
{
    bool any = false;
    entities_load(l); /* weaker than OTEL_RESOURCE_ATTRIBUTES */
    for (char *const *e = l->input->environ; e && *e; e++) {
        if (strncmp(*e, "OTEL_", 5) != 0)
            continue;
        size_t length = strcspn(*e, "=");
        if (!(*e)[length] || !(*e)[length + 1])
            continue; /* empty is unset */
        one_variable(l, *e, length);
        any = true;
    }
    if (!any)
        return;
    /* After the sampler that it belongs to, wherever it stands. */
    const struct option *ratio = option_at(offsetof(struct conf, sampler_ratio));
    const char *text = environment_get(l, ratio->otel, strlen(ratio->otel));
    struct source s = environment_source(l, ratio->otel, strlen(ratio->otel), ORIGIN_OTEL);
    if (text)
        otel_take(l, ratio, text, &s);
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
        declarative_load(l, path);
    else
        loader_trouble(l, "OTEL_CONFIG_FILE", 0, 0,
                       "\"%.60s\" is not used; allowed: an absolute path", path);
}
