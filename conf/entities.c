/*
 * OTEL_ENTITIES, "type{id=..,id=..}[description=..]@schema;...": which things the process belongs
 * to. What is wrong in one of them is told, and the others are used.
 */
#include "conf/internal.h"

#include <string.h>

enum { ENTITIES_MAX = 32 };

static const char variable[] = "OTEL_ENTITIES";

/* One of them under construction; texts are cut out of one copy of the variable. */
struct entity {
    char *type, *schema_url;
    struct node *id, *description; /* mappings */
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A type or a key: a letter, then letters, digits, and any of ._- */
static bool is_name(const char *text)
{
    const char *c = text;
    if (!is_letter(*c))
        return false;
    while (is_letter(*c) || (*c >= '0' && *c <= '9') || *c == '.' || *c == '_' || *c == '-')
        c++;
    return !*c;
}

/* A scheme of letters, a colon, and something behind it without blanks. */
static bool is_schema_url(const char *text)
{
    const char *c = text;
    while (is_letter(*c))
        c++;
    return c > text && *c == ':' && c[1] && !strpbrk(text, " \t");
}

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t n = strlen(text);
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\t'))
        text[--n] = 0;
    return text;
}

/* "key=value,key=value", which is cut up. NULL: it is no such list, or no memory. */
static struct node *read_pairs(struct loader *l, char *text)
{
    struct node *map = node_new(l, NODE_MAPPING);
    while (map && text) {
        char *comma = strchr(text, ','), *equals;
        if (comma)
            *comma = 0;
        equals = strchr(text, '=');
        struct node *n = node_new(l, NODE_SCALAR);
        if (!n || !equals)
            return NULL;
        *equals = 0;
        char *key = trim(text), *value = trim(equals + 1);
        if (!is_name(key) || strpbrk(value, "{}[]@;=") || !value_percent_decode(value))
            return NULL;
        n->key = key;
        n->text = value;
        node_add(map, n);
        text = comma ? comma + 1 : NULL;
    }
    return map;
}

/* Ends the block that `at` opens, and steps behind it. NULL: it is not closed. */
static char *close_block(char *at, char with, char **behind)
{
    char *end = strchr(at + 1, with);
    if (!end)
        return NULL;
    *end = 0;
    *behind = trim(end + 1);
    return at + 1;
}

/* NULL, or what is wrong with it. */
static const char *read_entity(struct loader *l, char *text, struct entity *e)
{
    char *brace = strchr(text, '{'), *rest, *id;
    *e = (struct entity){0};
    if (!brace || !(id = close_block(brace, '}', &rest)))
        return "has no {KEY=VALUE}";
    *brace = 0;
    e->type = trim(text);
    if (!is_name(e->type))
        return "has no type";
    e->id = read_pairs(l, id);
    if (!e->id)
        return "has no identifying attributes that can be read";
    if (*rest == '[') {
        char *block = close_block(rest, ']', &rest);
        e->description = block ? (*trim(block) ? read_pairs(l, block) : NULL) : NULL;
        if (!block || (!e->description && *trim(block)))
            return "has descriptive attributes that cannot be read";
    }
    if (*rest == '@')
        e->schema_url = rest + 1;
    else if (*rest)
        return "has something behind its end";
    return NULL;
}

static const struct node *pair_of(const struct node *map, const char *key)
{
    const struct node *n = map ? map->first : NULL;
    while (n && strcmp(n->key, key) != 0)
        n = n->next;
    return n;
}

/* The same thing, said again; or another, of which there can only be one: the last counts. */
static bool replaces(const struct entity *later, const struct entity *earlier)
{
    if (strcmp(later->type, earlier->type) != 0)
        return false;
    for (const struct node *n = earlier->id->first; n; n = n->next)
        if (pair_of(later->id, n->key))
            return true;
    return false;
}

static struct conf_list keys_of(struct loader *l, const struct node *map)
{
    struct conf_list list = {0};
    size_t count = 0;
    for (const struct node *n = map ? map->first : NULL; n; n = n->next)
        count++;
    list.items = pool_take(&l->to->pool, (count + 1) * sizeof(*list.items));
    for (const struct node *n = map ? map->first : NULL; n && list.items; n = n->next)
        if ((list.items[list.count] = pool_copy(&l->to->pool, n->key, strlen(n->key))))
            list.count++;
    return list;
}

static void keep(struct loader *l, const struct entity *e, struct conf_entity *to)
{
    const struct option *o = option_find(0, "resource.attributes");
    struct source s = environment_source(l, variable, sizeof(variable) - 1, ORIGIN_OTEL);
    struct node *const maps[] = {e->id, e->description};
    for (size_t i = 0; i < 2; i++)
        for (const struct node *n = maps[i] ? maps[i]->first : NULL; n; n = n->next)
            conf_set_pair(l, o, n->key, n->text, n, &s);
    to->type = pool_copy(&l->to->pool, e->type, strlen(e->type));
    to->schema_url =
        e->schema_url ? pool_copy(&l->to->pool, e->schema_url, strlen(e->schema_url)) : NULL;
    to->id = keys_of(l, e->id);
    to->description = keys_of(l, e->description);
}

/* The valid ones, each thing once: the last that is said of it. */
static size_t read_all(struct loader *l, char *text, struct entity *all)
{
    size_t count = 0;
    for (char *item = text; item;) {
        char *end = strchr(item, ';');
        struct entity e;
        if (end)
            *end = 0;
        char *said = trim(item);
        unsigned number = (unsigned)(item - text) + 1;
        item = end ? end + 1 : NULL;
        if (!*said)
            continue;
        const char *wrong = count == ENTITIES_MAX ? "is one too many" : read_entity(l, said, &e);
        if (wrong) {
            loader_trouble(l, variable, 0, 0,
                           "what begins at its character %u %s, it is left out; allowed: "
                           "TYPE{KEY=VALUE,...}[KEY=VALUE,...]@SCHEMA;...",
                           number, wrong);
            continue;
        }
        if (e.schema_url && !is_schema_url(e.schema_url)) {
            loader_trouble(l, variable, 0, 0,
                           "what begins at its character %u has a schema that is no URL: it is "
                           "used without; allowed: TYPE{KEY=VALUE,...}[KEY=VALUE,...]@SCHEMA;...",
                           number);
            e.schema_url = NULL;
        }
        size_t at = 0;
        while (at < count && !replaces(&e, &all[at]))
            at++;
        if (at < count)
            loader_trouble(l, variable, 0, 0,
                           "\"%.60s\" stands there twice, the last is used; allowed: each once",
                           e.type);
        all[at] = e;
        count += at == count;
    }
    return count;
}

void entities_load(struct loader *l)
{
    const char *text = environment_get(l, variable, sizeof(variable) - 1);
    char *copy = text ? pool_copy(&l->scratch, text, strlen(text)) : NULL;
    struct entity *all = copy ? pool_take(&l->scratch, ENTITIES_MAX * sizeof(*all)) : NULL;
    if (!all)
        return;
    size_t count = read_all(l, copy, all);
    l->to->conf.entities = pool_take(&l->to->pool, (count + 1) * sizeof(*l->to->conf.entities));
    if (!l->to->conf.entities)
        return;
    for (size_t i = 0; i < count; i++)
        keep(l, &all[i], &l->to->conf.entities[i]);
    l->to->conf.entity_count = count;
}
