/*
 * SCOPE_* variables and --set; and ${NAME} in files.
 */
#include "conf/internal.h"

#include <stdio.h>
#include <string.h>

enum { EXPANDED_MAX = 4096 };

const char *environment_get(const struct loader *l, const char *name, size_t length)
{
    for (char *const *e = l->input->environ; e && *e; e++)
        if ((*e)[0] == name[0] && strncmp(*e, name, length) == 0 && (*e)[length] == '=')
            return (*e)[length + 1] ? *e + length + 1 : NULL;
    return NULL;
}

struct source environment_source(struct loader *l, const char *name, size_t length,
                                 enum origin_kind kind)
{
    const char *copy = pool_copy(&l->to->pool, name, length);
    return (struct source){.name = copy ? copy : "", .kind = (uint8_t)kind};
}

void conf_set_text(struct loader *l, const struct option *o, const char *text,
                   const struct source *s)
{
    struct node *n = node_of_text(l, o, text);
    if (!n)
        return;
    if (l->place) {
        n->line = l->place->line;
        n->column = l->place->column;
    }
    conf_set(l, o, n, s);
}

/* ------------------------------------------------------------------ SCOPE_* */

static const struct option *option_of_set(const char *key)
{
    char path[48];
    const struct option *o = option_find(0, key);
    if (o && o->type == OPTION_SECTION) {
        snprintf(path, sizeof(path), "%s.enabled", key);
        o = option_find(0, path);
    }
    return o && o->type != OPTION_CUSTOM ? o : NULL;
}

/* The option that may have been meant: of a section that cannot be switched, where it sends to. */
static const struct option *option_meant(const char *key)
{
    char path[64];
    const char *nearest = option_nearest(key);
    if (!nearest || option_of_set(nearest))
        return nearest ? option_find(0, nearest) : NULL;
    snprintf(path, sizeof(path), "%s.to", nearest);
    return option_find(0, path);
}

/* A variable that means nothing here may be another program's; one that is nearly ours is not. */
static void unknown_variable(struct loader *l, const char *name, size_t length)
{
    char key[64], variable[48];
    if (!l->report || length <= 6 || length - 6 >= sizeof(key))
        return;
    for (size_t i = 6; i < length; i++)
        key[i - 6] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] - 'A' + 'a') : name[i];
    key[length - 6] = 0;
    const struct option *o = option_meant(key);
    if (!o || o->type == OPTION_SECTION || o->type == OPTION_CUSTOM)
        return;
    option_variable(o, variable);
    struct source s = environment_source(l, name, length, ORIGIN_ENV);
    loader_trouble(l, s.name, 0, 0, "unknown variable; did you mean %s?", variable);
}

static void scope_variable(struct loader *l, const char *name, size_t length, const char *text)
{
    static const char tag[] = "SCOPE_TAG_";
    static const struct node nowhere = {.kind = NODE_SCALAR};
    if ((length == 12 && memcmp(name, "SCOPE_CONFIG", 12) == 0) ||
        (length == 9 && memcmp(name, "SCOPE_SET", 9) == 0))
        return;
    bool is_tag = length > sizeof(tag) - 1 && memcmp(name, tag, sizeof(tag) - 1) == 0;
    const struct option *o = option_of_variable(name + 6, length - 6);
    if (!is_tag && !o) {
        unknown_variable(l, name, length);
        return;
    }
    struct source s = environment_source(l, name, length, ORIGIN_ENV);
    if (is_tag)
        conf_set_pair(l, option_find(0, "tags"), s.name + sizeof(tag) - 1, text, &nowhere, &s);
    else
        conf_set_text(l, o, text, &s);
}

void environment_scope(struct loader *l)
{
    for (char *const *e = l->input->environ; e && *e; e++) {
        if (strncmp(*e, "SCOPE_", 6) != 0)
            continue;
        size_t length = strcspn(*e, "=");
        if ((*e)[length] && (*e)[length + 1])
            scope_variable(l, *e, length, *e + length + 1);
    }
}

/* ------------------------------------------------------------------ --set */

/* One pair: tags.NAME, otlp.headers.NAME and so on. NULL: the key is none. */
static const struct option *pair_option(const char *key, const char **name)
{
    for (size_t i = 0; i < option_count; i++) {
        size_t n = options[i].type == OPTION_PAIRS ? strlen(options[i].key) : 0;
        if (n && strncmp(key, options[i].key, n) == 0 && key[n] == '.') {
            *name = key + n + 1;
            return &options[i];
        }
    }
    return NULL;
}

static void set_one(struct loader *l, const char *text, size_t length)
{
    static const struct source s = {.name = "--set", .kind = ORIGIN_SET};
    static const struct node nowhere = {.kind = NODE_SCALAR};
    char *key = pool_copy(&l->scratch, text, length);
    if (!key)
        return;
    char *value = strchr(key, '=');
    if (!value) {
        loader_trouble(l, s.name, 0, 0, "\"%.60s\" has no value; allowed: KEY=VALUE", key);
        return;
    }
    *value++ = 0;
    const char *name;
    const struct option *o = pair_option(key, &name);
    if (o) {
        conf_set_pair(l, o, name, value, &nowhere, &s);
        return;
    }
    o = option_of_set(key);
    if (!o) {
        bool file_only = strcmp(key, "custom") == 0;
        const struct option *meant = file_only ? NULL : option_meant(key);
        loader_trouble(l, s.name, 0, 0, "%s \"%.60s\"%s%s%s",
                       file_only ? "only a file can have the key" : "unknown key", key,
                       meant ? "; did you mean " : "", meant ? meant->key : "", meant ? "?" : "");
        return;
    }
    if (o->type == OPTION_PAIRS && !*value)
        ((struct conf_pairs *)(void *)((char *)&l->to->conf + o->offset))->count = 0;
    else
        conf_set_text(l, o, value, &s);
}

void environment_sets(struct loader *l)
{
    const char *text = environment_get(l, "SCOPE_SET", 9);
    while (text && *text) {
        size_t length = strcspn(text, "\n");
        if (length)
            set_one(l, text, length);
        text += length + (text[length] == '\n');
    }
    for (char *const *set = l->input->sets; set && *set; set++)
        set_one(l, *set, strlen(*set));
}

/* ------------------------------------------------------------------ ${NAME} */

static size_t name_length(const char *c)
{
    size_t n = 0;
    while ((c[n] >= 'A' && c[n] <= 'Z') || (c[n] >= 'a' && c[n] <= 'z') || c[n] == '_' ||
           (n && c[n] >= '0' && c[n] <= '9'))
        n++;
    return n;
}

/* What one ${...} stands for; *end is moved behind it. NULL: malformed. */
static const char *reference(const struct loader *l, const char **end, size_t *length)
{
    const char *name = *end + 2;
    if (strncmp(name, "env:", 4) == 0)
        name += 4;
    const char *after = name + name_length(name), *close = strchr(after, '}');
    if (after == name || !close || (after != close && strncmp(after, ":-", 2) != 0))
        return NULL;
    *end = close + 1;
    const char *value = environment_get(l, name, (size_t)(after - name));
    *length = value ? strlen(value) : 0;
    if (!value && after != close) {
        value = after + 2;
        *length = (size_t)(close - value);
    }
    return value ? value : "";
}

const char *environment_expand(struct loader *l, const char *text, const struct node *n,
                               const struct source *s)
{
    if (!strchr(text, '$'))
        return text;
    char out[EXPANDED_MAX + 1];
    size_t at = 0;
    for (const char *c = text; *c;) {
        const char *piece = c;
        size_t length = 1;
        if (c[0] == '$' && c[1] == '{') {
            piece = reference(l, &c, &length);
        } else {
            c += c[0] == '$' && c[1] == '$' ? 2 : 1;
        }
        if (!piece || at + length > EXPANDED_MAX) {
            loader_trouble(l, s->name, n->line, n->column, "\"%.60s\" %s", l->hide ? "***" : text,
                           piece ? "becomes too long"
                                 : "cannot be expanded; allowed: ${NAME}, ${NAME:-default}, $$");
            return NULL;
        }
        memcpy(out + at, piece, length);
        at += length;
    }
    return pool_copy(&l->scratch, out, at);
}
