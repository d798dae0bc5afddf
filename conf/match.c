/*
 * Rules about processes: reading one, and asking whether it means this process.
 */
#include "conf/internal.h"

#include <stdio.h>
#include <string.h>

static const char allowed[] = "a glob on the executable, or executable, argument, user";

static char **condition(struct conf_match *m, const char *name, size_t length)
{
    if (length == 10 && memcmp(name, "executable", 10) == 0)
        return &m->executable;
    if (length == 8 && memcmp(name, "argument", 8) == 0)
        return &m->argument;
    if (length == 4 && memcmp(name, "user", 4) == 0)
        return &m->user;
    return NULL;
}

static void store(struct loader *l, const struct source *s, char **to, const char *text,
                  size_t length)
{
    *to = pool_copy(s->dry ? &l->scratch : &l->to->pool, text, length);
}

/* "glob", or "executable=...;argument=...;user=...", as variables and --set have it. */
static bool read_text(struct loader *l, const struct node *n, const struct source *s,
                      struct conf_match *m)
{
    const char *text = n->text, *equals = strchr(text, '=');
    if (!equals || !condition(m, text, (size_t)(equals - text))) {
        store(l, s, &m->executable, text, strlen(text));
        return true;
    }
    while (*text) {
        size_t length = strcspn(text, ";");
        equals = memchr(text, '=', length);
        char **to = equals ? condition(m, text, (size_t)(equals - text)) : NULL;
        if (!to || *to || equals + 1 == text + length) {
            loader_trouble(l, s->name, n->line, n->column,
                           "\"%.60s\" is no rule; allowed: GLOB, or "
                           "executable=GLOB;argument=GLOB;user=GLOB",
                           n->text);
            return false;
        }
        store(l, s, to, equals + 1, (size_t)(text + length - equals - 1));
        text += length + (text[length] == ';');
    }
    return true;
}

static bool read_mapping(struct loader *l, const struct node *n, const struct source *s,
                         struct conf_match *m)
{
    bool good = true;
    for (const struct node *c = n->first; c; c = c->next) {
        char **to = condition(m, c->key, strlen(c->key));
        if (!to || *to) {
            loader_trouble(l, s->name, c->key_line, c->key_column,
                           to ? "\"%.60s\" stands here twice; allowed: %s"
                              : "unknown key \"%.60s\" in a rule; allowed: %s",
                           c->key, allowed);
            good = false;
        } else if (c->kind != NODE_SCALAR || !c->text[0]) {
            if (c->kind != NODE_BROKEN)
                loader_trouble(l, s->name, c->line, c->column,
                               "%s: a rule's value must be a text that is not empty", c->key);
            good = false;
        } else {
            store(l, s, to, c->text, strlen(c->text));
        }
    }
    return good;
}

bool match_read(struct loader *l, const struct node *n, const struct source *s,
                struct conf_match *out)
{
    struct conf_match m = {0};
    bool good = false;
    if (n->kind == NODE_BROKEN)
        return false;
    if (n->kind == NODE_MAPPING)
        good = read_mapping(l, n, s, &m);
    else if (n->kind == NODE_SCALAR && n->text[0])
        good = read_text(l, n, s, &m);
    if (good && (m.executable || m.argument || m.user)) {
        *out = m;
        return true;
    }
    /* A rule that says less than was meant would mean more processes than it should. */
    if (good || n->kind == NODE_SEQUENCE || (n->kind == NODE_SCALAR && !n->text[0]))
        loader_trouble(l, s->name, n->line, n->column, "a rule must say something; allowed: %s",
                       allowed);
    return false;
}

static bool executable_is(const char *pattern, const char *path)
{
    if (!path)
        return false;
    if (!strchr(pattern, '/')) {
        const char *slash = strrchr(path, '/');
        path = slash ? slash + 1 : path;
    }
    return conf_glob(pattern, path);
}

static bool argument_is(const char *pattern, char *const *arguments)
{
    for (; arguments && *arguments; arguments++)
        if (conf_glob(pattern, *arguments))
            return true;
    return false;
}

static bool is_number(const char *text)
{
    return text[strspn(text, "0123456789")] == 0;
}

/* The name is looked up only where a rule asks for one. */
static bool user_is(const char *pattern, const struct conf_input *input)
{
    char number[16], name[64];
    const char *user = input->user;
    if (!user && !is_number(pattern) && user_name(input->uid, name, sizeof(name)))
        user = name;
    if (user && conf_glob(pattern, user))
        return true;
    snprintf(number, sizeof(number), "%u", input->uid);
    return conf_glob(pattern, number);
}

bool match_applies(const struct conf_match *m, const struct conf_input *input)
{
    return (!m->executable || executable_is(m->executable, input->executable)) &&
           (!m->argument || argument_is(m->argument, input->arguments)) &&
           (!m->user || user_is(m->user, input));
}

static bool any(const struct conf_match *items, size_t count, const struct conf_input *input)
{
    for (size_t i = 0; i < count; i++)
        if (match_applies(&items[i], input))
            return true;
    return false;
}

bool conf_observes(const struct conf *conf, const struct conf_input *input)
{
    if (!conf->enabled)
        return false;
    if (!input->executable)
        return true;
    return (conf->include_count == 0 || any(conf->include, conf->include_count, input)) &&
           !any(conf->exclude, conf->exclude_count, input);
}

const struct conf_match *conf_excluded_by(const struct conf *conf, const struct conf_input *input)
{
    for (size_t i = 0; input->executable && i < conf->exclude_count; i++)
        if (match_applies(&conf->exclude[i], input))
            return &conf->exclude[i];
    return NULL;
}
