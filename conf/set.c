/*
 * Takes values for options: checks type and range, converts, stores, and notes where each came
 * from.
 */
#include "conf/internal.h"

#include <errno.h>
#include <string.h>

enum { TEXT_MAX = 4096, ITEMS_MAX = 1000, PAIRS_LIMIT = 128, NAME_MAX_BYTES = 255 };

static void *member(const struct loader *l, const struct option *o)
{
    return (char *)&l->to->conf + o->offset;
}

static struct pool *pool_of(struct loader *l, const struct source *s)
{
    return s->dry ? &l->scratch : &l->to->pool;
}

static struct origin origin_of(const struct node *n, const struct source *s)
{
    return (struct origin){.name = s->name,
                           .line = n->line,
                           .column = n->column,
                           .custom = s->custom,
                           .kind = s->kind};
}

struct origin *origin_note(struct loaded *to, const struct option *o)
{
    if (!to->origins)
        to->origins = pool_take(&to->pool, option_count * sizeof(*to->origins));
    return to->origins ? &to->origins[o - options] : NULL;
}

struct origin origin_get(const struct loaded *loaded, const struct option *o)
{
    return loaded->origins ? loaded->origins[o - options] : (struct origin){0};
}

static void note(struct loader *l, const struct option *o, const struct node *n,
                 const struct source *s)
{
    struct origin *origin = origin_note(l->to, o);
    if (origin)
        *origin = origin_of(n, s);
}

static void wrong(struct loader *l, const struct option *o, const struct node *n,
                  const struct source *s, const char *what)
{
    char allowed[256];
    option_allowed(o, allowed, sizeof(allowed));
    /* What may hold a password is not repeated. */
    bool url = o->type == OPTION_URL || o->type == OPTION_ENDPOINT;
    bool hide = o->secret || l->hide || (url && n->kind == NODE_SCALAR && strpbrk(n->text, "@?"));
    if (n->kind == NODE_SCALAR)
        loader_trouble(l, s->name, n->line, n->column, "%s: \"%.60s\" %s; allowed: %s", o->key,
                       hide ? "***" : n->text, what, allowed);
    else
        loader_trouble(l, s->name, n->line, n->column, "%s: %s %s; allowed: %s", o->key,
                       n->kind == NODE_MAPPING ? "a mapping" : "a list", what, allowed);
}

/* ------------------------------------------------------------------ scalars */

static const char *range_wrong(const struct option *o, int error, uint64_t value, const char *what)
{
    if (error == -ERANGE || (error == 0 && (value < o->low || value > o->high)))
        return "is out of range";
    return error ? what : NULL;
}

static const char *read_number(const struct option *o, const char *text, uint64_t *value)
{
    int r;
    bool truth;
    switch (o->type) {
    case OPTION_BOOL:
        if (!value_bool(text, &truth))
            return "is not a truth value";
        *value = truth;
        return NULL;
    case OPTION_LIMIT:
        if (value_same(text, "none")) {
            *value = UNLIMITED;
            return NULL;
        }
        r = value_count(text, value);
        return range_wrong(o, r, *value, "is not a whole number");
    case OPTION_COUNT:
        r = value_count(text, value);
        return range_wrong(o, r, *value, "is not a whole number");
    case OPTION_SIZE:
    case OPTION_SIZE32:
        r = conf_parse_size(text, value);
        return range_wrong(o, r, *value, "is not a size");
    case OPTION_DURATION:
        r = conf_parse_duration(text, value);
        return range_wrong(o, r, *value, "is not a duration (a number and its unit)");
    default:
        break;
    }
    *value = 0; /* a choice */
    for (const char *name = o->names; *name; (*value)++) {
        const char *end = strchr(name, '|');
        size_t length = end ? (size_t)(end - name) : strlen(name);
        char one[32];
        memcpy(one, name, length);
        one[length] = 0;
        if (value_same(one, text))
            return NULL;
        name += length + (end != NULL);
    }
    return "is none of the choices";
}

static void store_number(const struct loader *l, const struct option *o, uint64_t value)
{
    void *to = member(l, o);
    if (o->type == OPTION_BOOL)
        *(bool *)to = value != 0;
    else if (o->type == OPTION_CHOICE)
        *(unsigned *)to = (unsigned)value;
    else if (o->type == OPTION_LIMIT)
        *(struct conf_limit *)to = value == UNLIMITED ? (struct conf_limit){0}
                                                      : (struct conf_limit){true, (uint32_t)value};
    else if (o->type == OPTION_COUNT || o->type == OPTION_SIZE32)
        *(uint32_t *)to = (uint32_t)value;
    else
        *(uint64_t *)to = value;
}

static void set_ratio(struct loader *l, const struct option *o, const struct node *n,
                      const struct source *s)
{
    double value;
    if (!value_ratio(n->text, &value)) {
        wrong(l, o, n, s, "is no such number");
    } else if (!s->dry) {
        *(double *)member(l, o) = value;
        note(l, o, n, s);
    }
}

static const char *text_wrong(const struct option *o, const char *text)
{
    if (strlen(text) > TEXT_MAX)
        return "is too long";
    if (o->type == OPTION_URL)
        return value_url_wrong(text);
    if (o->type == OPTION_ENDPOINT)
        return value_endpoint_wrong(text);
    if (o->type == OPTION_PATH && text[0] != '/')
        return "is not an absolute path";
    return NULL;
}

static void set_text(struct loader *l, const struct option *o, const struct node *n,
                     const struct source *s)
{
    bool nowhere =
        o->type != OPTION_TEXT && (value_same(n->text, "off") || value_same(n->text, "none"));
    const char *text = nowhere ? "" : n->text;
    const char *what = *text ? text_wrong(o, text) : NULL;
    if (what) {
        wrong(l, o, n, s, what);
        return;
    }
    if (s->dry)
        return;
    char *copy =
        *text || o->number == EMPTY_KEPT ? pool_copy(&l->to->pool, text, strlen(text)) : NULL;
    *(char **)member(l, o) = copy;
    note(l, o, n, s);
}

/* ------------------------------------------------------------------ lists */

static bool is_defaults(const struct node *n)
{
    return n->kind == NODE_SCALAR && strcmp(n->text, "+defaults") == 0;
}

static size_t default_count(const struct option *o)
{
    size_t count = 0;
    for (const char *item = option_items(o); *item; item += strlen(item) + 1)
        count++;
    return count;
}

/* Room for what a list holds at most. */
static size_t list_room(const struct option *o, const struct node *n)
{
    size_t room = 0;
    for (const struct node *c = n->first; c; c = c->next)
        room += is_defaults(c) ? default_count(o) : 1;
    return room;
}

/* NULL, or what keeps a text from being an item of this list. */
static const char *item_wrong(const struct option *o, const char *text)
{
    char name[NAME_MAX_BYTES + 2];
    size_t length = strlen(text);
    if (!length)
        return "is an empty item";
    if (length > TEXT_MAX)
        return "is too long";
    if (o->type == OPTION_NAMES && !option_has_choice(o, text))
        return "is none of the choices";
    if (o->type == OPTION_ROUTES && text[0] != '/')
        return "does not begin with a slash";
    if (o->type != OPTION_FIELDS)
        return NULL;
    if (length > NAME_MAX_BYTES)
        return "is too long";
    memcpy(name, text, length + 1);
    if (length > 1 && name[length - 1] == '!')
        name[length - 1] = 0;
    return value_is_field_name(name) ? NULL : "is no header's name";
}

/* Whether an item of a list can be used; else it is reported. */
static bool item_read(struct loader *l, const struct option *o, const struct node *c,
                      const struct source *s)
{
    char text[160];
    if (c->kind == NODE_BROKEN)
        return false;
    if (c->kind != NODE_SCALAR) {
        wrong(l, o, c, s, "cannot be an item");
    } else if (item_wrong(o, c->text)) {
        wrong(l, o, c, s, item_wrong(o, c->text));
    } else if (o->type == OPTION_REGEXES && l->checking &&
               regex_wrong(c->text, text, sizeof(text))) {
        loader_trouble(l, s->name, c->line, c->column,
                       "%s: \"%.60s\" is not a regular expression: %s", o->key, c->text, text);
    } else {
        return true;
    }
    return false;
}

static void set_list(struct loader *l, const struct option *o, const struct node *n,
                     const struct source *s)
{
    struct pool *pool = pool_of(l, s);
    struct conf_list list = {.items = pool_take(pool, (list_room(o, n) + 1) * sizeof(char *))};
    size_t bytes = 0;
    if (!list.items)
        return;
    for (const struct node *c = n->first; c; c = c->next) {
        if (is_defaults(c)) {
            const char *item = option_items(o);
            for (; *item; item += strlen(item) + 1) {
                list.items[list.count++] = (char *)item;
                bytes += strlen(item) + 1;
            }
            continue;
        }
        if (!item_read(l, o, c, s))
            continue;
        size_t length = strlen(c->text);
        if (list.count >= ITEMS_MAX || (o->high && bytes + length + 1 > o->high)) {
            wrong(l, o, c, s, "is one item too many, it and what follows is left out");
            break;
        }
        char *copy = pool_copy(pool, c->text, length);
        if (!copy)
            return;
        bytes += length + 1;
        list.items[list.count++] = copy;
    }
    if (s->dry)
        return;
    *(struct conf_list *)member(l, o) = list;
    note(l, o, n, s);
}

static void store_matches(struct loader *l, const struct option *o, struct conf_match *items,
                          size_t count)
{
    *(struct conf_match **)member(l, o) = items;
    *(size_t *)((char *)&l->to->conf + o->count_offset) = count;
}

static void set_matches(struct loader *l, const struct option *o, const struct node *n,
                        const struct source *s)
{
    struct conf_match *items = pool_take(pool_of(l, s), (list_room(o, n) + 1) * sizeof(*items));
    size_t count = 0;
    if (!items)
        return;
    for (const struct node *c = n->first; c; c = c->next) {
        if (count >= ITEMS_MAX) {
            wrong(l, o, c, s, "is one item too many, it and what follows is left out");
            break;
        }
        if (is_defaults(c)) {
            const char *item = option_items(o);
            for (; *item; item += strlen(item) + 1)
                items[count++].executable = (char *)item;
        } else if (match_read(l, c, s, &items[count])) {
            count++;
        }
    }
    if (s->dry)
        return;
    store_matches(l, o, items, count);
    note(l, o, n, s);
}

/* ------------------------------------------------------------------ pairs */

static struct origin **pair_origins(struct loader *l, const struct option *o)
{
    return &l->to->pair_origins[pairs_list(o)];
}

static void remove_pair(struct conf_pairs *pairs, struct origin *origins, size_t at)
{
    size_t after = --pairs->count - at;
    memmove(&pairs->items[at], &pairs->items[at + 1], after * sizeof(pairs->items[0]));
    memmove(&origins[at], &origins[at + 1], after * sizeof(origins[0]));
}

/* Doubles the room at each power of two. False: no memory. */
static bool grow_pairs(struct loader *l, struct conf_pairs *pairs, struct origin **origins)
{
    size_t n = pairs->count;
    if (n & (n - 1))
        return true;
    size_t room = n ? 2 * n : 1;
    struct conf_pair *items = pool_take(&l->to->pool, room * sizeof(*items));
    struct origin *places = pool_take(&l->to->pool, room * sizeof(*places));
    if (!items || !places)
        return false;
    if (n) {
        memcpy(items, pairs->items, n * sizeof(*items));
        memcpy(places, *origins, n * sizeof(*places));
    }
    pairs->items = items;
    *origins = places;
    return true;
}

/* A line break in a value would begin another header. */
static bool is_field_value(const char *value)
{
    for (const char *c = value; *c; c++)
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
            return false;
    return true;
}

static bool header_wrong(struct loader *l, const struct option *o, const char *key,
                         const char *value, const struct node *n, const struct source *s)
{
    bool name = value_is_field_name(key);
    if (!o->secret || (name && is_field_value(value)))
        return false;
    loader_trouble(l, s->name, n->line, n->column,
                   "%s: \"%.60s\" %s; allowed: the name of a header, and a text of one line",
                   o->key, name ? key : "***",
                   name ? "has a value that is none" : "is no header's name");
    return true;
}

/* Headers are the same in any case of their letters. */
static bool same_key(const struct option *o, const char *a, const char *b)
{
    return o->secret ? value_same(a, b) : strcmp(a, b) == 0;
}

void conf_set_pair(struct loader *l, const struct option *o, const char *key, const char *value,
                   const struct node *n, const struct source *s)
{
    struct conf_pairs *pairs = member(l, o);
    struct origin **origins = pair_origins(l, o);
    size_t i = 0;
    if (!key[0] || strlen(key) > NAME_MAX_BYTES || strlen(value) > TEXT_MAX) {
        loader_trouble(l, s->name, n->line, n->column,
                       "%s: \"%.60s\" %s; allowed: NAME=VALUE, the name up to %d bytes, the value "
                       "up to %d",
                       o->key,
                       o->secret ? "***"
                       : key[0]  ? key
                                 : value,
                       key[0] ? "is too long" : "has no name", NAME_MAX_BYTES, TEXT_MAX);
        return;
    }
    if (header_wrong(l, o, key, value, n, s) || s->dry)
        return;
    while (i < pairs->count && !same_key(o, pairs->items[i].key, key))
        i++;
    if (!value[0]) {
        if (i < pairs->count)
            remove_pair(pairs, *origins, i);
        return;
    }
    if (i == pairs->count) {
        if (i >= PAIRS_LIMIT) {
            loader_trouble(l, s->name, n->line, n->column, "%s: \"%.60s\" is left out: %d at most",
                           o->key, key, PAIRS_LIMIT);
            return;
        }
        if (!grow_pairs(l, pairs, origins))
            return;
        pairs->items[i].key = pool_copy(&l->to->pool, key, strlen(key));
    }
    char *copy = pool_copy(&l->to->pool, value, strlen(value));
    if (!copy || !pairs->items[i].key)
        return;
    pairs->items[i].value = copy;
    (*origins)[i] = origin_of(n, s);
    pairs->count += i == pairs->count;
}

static void set_pairs(struct loader *l, const struct option *o, const struct node *n,
                      const struct source *s)
{
    bool file = s->kind == ORIGIN_FILE || s->kind == ORIGIN_CUSTOM;
    size_t count = 0;
    for (const struct node *c = n->first; c; c = c->next) {
        const struct node *same = n->first;
        if (c->kind == NODE_BROKEN)
            continue;
        if (count++ >= 2 * PAIRS_LIMIT) {
            wrong(l, o, c, s, "is one too many, it and what follows is left out");
            return;
        }
        while (same != c && strcmp(same->key, c->key) != 0)
            same = same->next;
        if (same != c) {
            loader_trouble(l, s->name, c->key_line, c->key_column,
                           "%s.%.60s stands here twice, the first is used", o->key,
                           o->secret && !value_is_field_name(c->key) ? "***" : c->key);
        } else if (c->kind != NODE_SCALAR) {
            wrong(l, o, c, s, "cannot be a value");
        } else {
            l->hide = o->secret;
            const char *value = file ? environment_expand(l, c->text, c, s) : c->text;
            l->hide = false;
            if (value)
                conf_set_pair(l, o, c->key, value, c, s);
        }
    }
}

/* ------------------------------------------------------------------ any */

void conf_set(struct loader *l, const struct option *o, const struct node *n,
              const struct source *s)
{
    uint64_t value = 0;
    const char *what;
    enum node_kind want = o->type == OPTION_PAIRS  ? NODE_MAPPING
                          : o->type >= OPTION_LIST ? NODE_SEQUENCE
                                                   : NODE_SCALAR;
    if (n->kind == NODE_BROKEN)
        return;
    if (n->kind != want) {
        wrong(l, o, n, s, "is of the wrong type");
        return;
    }
    switch (o->type) {
    case OPTION_BOOL:
    case OPTION_COUNT:
    case OPTION_LIMIT:
    case OPTION_SIZE:
    case OPTION_SIZE32:
    case OPTION_DURATION:
    case OPTION_CHOICE:
        what = read_number(o, n->text, &value);
        if (what) {
            wrong(l, o, n, s, what);
        } else if (!s->dry) {
            store_number(l, o, value);
            note(l, o, n, s);
        }
        break;
    case OPTION_RATIO:
        set_ratio(l, o, n, s);
        break;
    case OPTION_TEXT:
    case OPTION_PATH:
    case OPTION_URL:
    case OPTION_ENDPOINT:
        set_text(l, o, n, s);
        break;
    case OPTION_PAIRS:
        set_pairs(l, o, n, s);
        break;
    case OPTION_MATCHES:
        set_matches(l, o, n, s);
        break;
    default:
        set_list(l, o, n, s);
        break;
    }
}
