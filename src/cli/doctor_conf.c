/*
 * What the configuration means for a program: whether it may be observed, and where its data goes.
 */
#include "cli/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void tell_trouble(void *context, const struct conf_trouble *t)
{
    struct doctor *d = context;

    if (t->line)
        fact(d, FACT_NO, "configuration", "%s:%u:%u: %s", t->origin, t->line, t->column, t->text);
    else
        fact(d, FACT_NO, "configuration", "%s: %s", t->origin, t->text);
}

struct conf *doctor_conf(struct doctor *d, const struct conf_input *input)
{
    struct conf *conf = conf_load(input, tell_trouble, d);

    if (!conf)
        fact(d, FACT_NO, "configuration", "no memory");
    else if (conf->path)
        fact(d, FACT_OK, "configuration", "%s, and the environment", conf->path);
    else
        fact(d, FACT_OK, "configuration", "the environment and defaults: there is no scope.yml");
    return conf;
}

/* Where a value came from, as scope config says it: the comment of that line. */
static void origin_of(const struct conf *conf, const char *line_start, char *out, size_t size)
{
    char *text = NULL;
    size_t length, n = strlen(line_start);
    FILE *memory = open_memstream(&text, &length);

    snprintf(out, size, "the configuration");
    if (!memory)
        return;
    conf_print(conf, memory);
    if (fclose(memory) != 0 || !text)
        return;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (strncmp(line, line_start, n) != 0)
            continue;
        char *comment = NULL;
        for (char *p = line; (p = strstr(p, "  # ")); p += 4)
            comment = p + 4;
        if (comment)
            snprintf(out, size, "%s", !strcmp(comment, "default") ? "the default" : comment);
        break;
    }
    free(text);
}

static void describe(const struct conf_match *rule, char *out, size_t size)
{
    const struct {
        const char *name, *value;
    } parts[] = {
        {"executable", rule->executable}, {"argument", rule->argument}, {"user", rule->user}};
    size_t n = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < 3 && n < size; i++) {
        if (parts[i].value)
            n += (size_t)snprintf(out + n, size - n, "%s%s \"%s\"", n ? ", " : "", parts[i].name,
                                  parts[i].value);
    }
}

bool doctor_rules(struct doctor *d, const struct conf *conf, const struct conf_input *input)
{
    const struct conf_match *rule = conf_excluded_by(conf, input);
    char origin[512], text[512];

    if (conf_observes(conf, input)) {
        fact(d, FACT_OK, "rules", "no rule leaves it alone");
        return true;
    }
    if (!conf->enabled) {
        origin_of(conf, "enabled: ", origin, sizeof(origin));
        fact(d, FACT_NO, "rules", "observing is switched off: enabled is false (%s)", origin);
    } else if (rule) {
        origin_of(conf, "  exclude: ", origin, sizeof(origin));
        describe(rule, text, sizeof(text));
        fact(d, FACT_NO, "rules", "it is left alone by the rule %s of processes.exclude (%s)", text,
             origin);
    } else {
        origin_of(conf, "  include: ", origin, sizeof(origin));
        fact(d, FACT_NO, "rules", "processes.include (%s) names others only", origin);
    }
    return false;
}

static unsigned sink_facts(struct doctor *d, const char *name, const char *to,
                           const struct process *from)
{
    char text[512];

    if (!to || !*to)
        return 0;
    enum fact_state state = doctor_probe(to, from, text, sizeof(text));
    fact(d, state, "sink", "%s to %s: %s", name, to, text);
    return 1;
}

unsigned doctor_sinks(struct doctor *d, const struct conf *conf, const struct process *from)
{
    static const char *const names[] = {"otlp metrics", "otlp logs", "otlp traces"};
    unsigned n = sink_facts(d, "ndjson", conf->ndjson_to, from) +
                 sink_facts(d, "statsd", conf->statsd_to, from);

    /* A command that is yet to be run need not have the implicit sink: scope run records. */
    for (unsigned i = 0; i < OTLP_SIGNALS && (from || !conf->otlp_implicit); i++)
        n += sink_facts(d, names[i], conf->otlp[i].to, from);
    return n;
}

void doctor_control_directory(const struct conf *conf, const char *runtime, uid_t uid, char *out,
                              size_t size)
{
    out[0] = '\0';
    if (!conf->control)
        return;
    if (conf->control_dir)
        snprintf(out, size, "%s", conf->control_dir);
    else if (runtime && *runtime == '/')
        snprintf(out, size, "%s/scope", runtime);
    else
        snprintf(out, size, "/tmp/scope-%u", uid);
}
