/*
 * scope.yml: where it is looked for, reading it, and applying what it says.
 */
#include "conf/internal.h"
#include "os/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_SIZE = 1024, KEY_SIZE = 64 };

struct seen {
    uint64_t options[OPTIONS_MAX / 64];
};

struct level {
    const char *prefix; /* of the keys here, with its dot; "" */
    size_t from;        /* index in the table of the first key that can stand here */
    struct seen *seen;
    const struct source *source;
    const struct node **custom; /* where to leave `custom` for later; NULL: not allowed here */
};

static void apply_mapping(struct loader *l, const struct node *map, const struct level *level);

/* ------------------------------------------------------------------ applying */

/* Names the keys that could stand beside a mistaken one. */
static void keys_here(const char *prefix, char *out, size_t size)
{
    size_t n = strlen(prefix), at = 0;
    out[0] = 0;
    for (size_t i = 0; i < option_count && at < size; i++) {
        const char *leaf = options[i].key + n;
        if (strncmp(options[i].key, prefix, n) == 0 && !strchr(leaf, '.'))
            at += (size_t)snprintf(out + at, size - at, "%s%s", at ? ", " : "", leaf);
    }
}

static void unknown_key(struct loader *l, const struct node *n, const char *path,
                        const struct level *level)
{
    char here[240];
    if (!l->report)
        return;
    const char *nearest = option_nearest(path);
    keys_here(level->prefix, here, sizeof(here));
    loader_trouble(l, level->source->name, n->key_line, n->key_column,
                   "unknown key \"%.100s\"%s%s%s; allowed here: %s", path,
                   nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "",
                   here);
}

/* Nothing at all, which leaves the default: `key:`, `key: ~`. */
static bool is_null(const struct node *n)
{
    return n->kind == NODE_SCALAR && n->plain &&
           (!n->text[0] || strcmp(n->text, "~") == 0 || value_same(n->text, "null"));
}

static bool first_time(struct loader *l, const struct option *o, const struct node *n,
                       const struct level *level)
{
    size_t i = (size_t)(o - options);
    uint64_t bit = 1ull << (i % 64), *word = &level->seen->options[i / 64];
    if (*word & bit) {
        loader_trouble(l, level->source->name, n->key_line, n->key_column,
                       "%s stands here twice, the first is used", o->key);
        return false;
    }
    *word |= bit;
    return true;
}

static void apply_section(struct loader *l, const struct option *o, const struct node *n,
                          const struct level *level)
{
    char prefix[KEY_SIZE];
    size_t index = (size_t)(o - options), length = strlen(o->key);
    memcpy(prefix, o->key, length);
    memcpy(prefix + length, ".enabled", 9);
    if (n->kind == NODE_MAPPING) {
        struct level inner = *level;
        prefix[length + 1] = 0;
        inner.prefix = prefix;
        inner.from = index + 1;
        apply_mapping(l, n, &inner);
        return;
    }
    const struct option *enabled = option_find(index, prefix);
    if (enabled && n->kind == NODE_SCALAR) {
        if (first_time(l, enabled, n, level))
            conf_set(l, enabled, n, level->source);
    } else if (n->kind != NODE_BROKEN) {
        char here[240];
        prefix[length + 1] = 0;
        keys_here(prefix, here, sizeof(here));
        loader_trouble(l, level->source->name, n->line, n->column,
                       "%s is of the wrong type; allowed: a mapping of %s", o->key, here);
    }
}

static void apply_mapping(struct loader *l, const struct node *map, const struct level *level)
{
    size_t prefix = strlen(level->prefix);
    char path[KEY_SIZE + 1];
    memcpy(path, level->prefix, prefix);
    for (const struct node *n = map->first; n; n = n->next) {
        size_t length = strlen(n->key);
        const struct option *o = NULL;
        if (length > KEY_SIZE - prefix)
            length = KEY_SIZE - prefix; /* no key is that long: unknown */
        memcpy(path + prefix, n->key, length);
        path[prefix + length] = 0;
        o = option_find(level->from, path);
        if (o && o->type == OPTION_CUSTOM && !level->custom) {
            loader_trouble(l, level->source->name, n->key_line, n->key_column,
                           "custom cannot stand inside custom");
        } else if (!o) {
            unknown_key(l, n, path, level);
        } else if (first_time(l, o, n, level)) {
            if (is_null(n))
                continue;
            if (o->type == OPTION_SECTION)
                apply_section(l, o, n, level);
            else if (o->type == OPTION_CUSTOM)
                *level->custom = n;
            else
                conf_set(l, o, n, level->source);
        }
    }
}

/* One item of custom. What is meant for other processes is checked, and goes nowhere. */
static void apply_override(struct loader *l, const struct node *item, struct source source)
{
    const struct node *match = NULL, *config = NULL;
    struct conf_match rule;
    struct seen seen = {0};
    for (const struct node *n = item->first; n; n = n->next) {
        const struct node **to = strcmp(n->key, "match") == 0    ? &match
                                 : strcmp(n->key, "config") == 0 ? &config
                                                                 : NULL;
        if (!to || *to)
            loader_trouble(l, source.name, n->key_line, n->key_column,
                           "custom: \"%.60s\" %s; allowed: match, config", n->key,
                           to ? "stands here twice, the first is used" : "is an unknown key");
        else
            *to = n;
    }
    if (!match || !config) {
        loader_trouble(l, source.name, item->line, item->column,
                       "custom: an item needs `match` and `config`");
        return;
    }
    source.dry = true;
    bool applies = match_read(l, match, &source, &rule) && l->input->executable &&
                   !l->scratch.failed && match_applies(&rule, l->input);
    source.dry = !applies;
    if (config->kind == NODE_MAPPING)
        apply_mapping(l, config, &(struct level){.prefix = "", .seen = &seen, .source = &source});
    else if (config->kind != NODE_BROKEN && !is_null(config))
        loader_trouble(l, source.name, config->line, config->column,
                       "custom: config must be a mapping of keys");
}

static void apply_custom(struct loader *l, const struct node *custom, struct source source)
{
    source.kind = ORIGIN_CUSTOM;
    if (custom->kind != NODE_SEQUENCE) {
        if (custom->kind != NODE_BROKEN)
            loader_trouble(l, source.name, custom->line, custom->column,
                           "custom is of the wrong type; allowed: a list of mappings with `match` "
                           "and `config`");
        return;
    }
    for (const struct node *item = custom->first; item; item = item->next) {
        source.custom++;
        if (item->kind == NODE_MAPPING)
            apply_override(l, item, source);
        else if (item->kind != NODE_BROKEN)
            loader_trouble(l, source.name, item->line, item->column,
                           "custom: an item must be a mapping with `match` and `config`");
    }
}

static void apply_file(struct loader *l, int fd)
{
    struct source source = {.name = l->to->conf.path, .kind = ORIGIN_FILE};
    const struct node *custom = NULL, *root = yaml_tree(l, fd, source.name);
    struct seen seen = {0};
    if (!root || root->kind == NODE_BROKEN || is_null(root))
        return;
    if (root->kind != NODE_MAPPING) {
        loader_trouble(l, source.name, root->line, root->column,
                       "the file must be a mapping of keys");
        return;
    }
    apply_mapping(
        l, root,
        &(struct level){.prefix = "", .seen = &seen, .source = &source, .custom = &custom});
    if (custom)
        apply_custom(l, custom, source);
}

/* ------------------------------------------------------------------ reading */

/* -EFBIG: too large, -ENXIO: no regular file, -EPERM: not to be trusted. */
static int open_regular(const struct loader *l, const char *path, bool ours)
{
    struct stat st;
    int fd = (int)sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    int r = (int)sys(fstat, fd, &st);
    if (r == 0 && !S_ISREG(st.st_mode))
        r = -ENXIO;
    else if (r == 0 && st.st_size > FILE_SIZE_MAX)
        r = -EFBIG;
    else if (r == 0 && ours &&
             ((st.st_uid != l->input->uid && st.st_uid != 0) || st.st_mode & S_IWOTH))
        r = -EPERM;
    if (r == 0)
        return fd;
    sys(close, fd);
    return r;
}

/* With `ours`: only what the user or root owns and not everybody may write. */
static int load(struct loader *l, const char *path, bool ours)
{
    if (strcmp(path, "/dev/null") == 0)
        return 0; /* says: no file at all */
    int fd = open_regular(l, path, ours);
    if (fd < 0)
        return fd;
    l->to->conf.path = pool_copy(&l->to->pool, path, strlen(path));
    if (l->to->conf.path)
        apply_file(l, fd);
    sys(close, fd);
    return 0;
}

int file_load(struct loader *l, const char *path)
{
    return load(l, path, false);
}

static void unreadable(struct loader *l, const char *path, int error)
{
    static const struct {
        int error;
        const char *text;
    } texts[] = {
        {-ENOENT, "does not exist"},
        {-EACCES, "may not be read by this process"},
        {-ENXIO, "is not a regular file"},
        {-EFBIG, "is larger than 1 MiB"},
        {-EPERM, "belongs to another user or may be written by everybody"},
        {-ENOTDIR, "does not exist"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].error == error) {
            loader_trouble(l, path, 0, 0, "%s; it is not used", texts[i].text);
            return;
        }
    }
    loader_trouble(l, path, 0, 0, "cannot be read (error %d); it is not used", -error);
}

struct node *file_tree(struct loader *l, const char *path, const char *origin, bool ours)
{
    int fd = open_regular(l, path, ours);
    if (fd < 0) {
        unreadable(l, origin, fd);
        return NULL;
    }
    struct node *tree = yaml_tree(l, fd, origin);
    sys(close, fd);
    return tree;
}

/* One place of the search order. True: the search ends here. */
static bool try(struct loader *l, const char *folder, const char *rest, bool ours)
{
    char path[PATH_SIZE];
    size_t length = folder ? strlen(folder) : 0;
    if (!length || folder[0] != '/' || length + strlen(rest) >= sizeof(path))
        return false;
    memcpy(path, folder, length);
    memcpy(path + length, rest, strlen(rest) + 1);
    int r = load(l, path, ours);
    if (r && r != -ENOENT && r != -ENOTDIR)
        unreadable(l, path, r);
    return r == 0;
}

void file_search(struct loader *l)
{
    const char *named = l->input->file;
    if (!named) {
        named = environment_get(l, "SCOPE_CONFIG", 12);
        if (named && named[0] != '/') {
            /* Every process would find another file, wherever it happens to be. */
            loader_trouble(l, "SCOPE_CONFIG", 0, 0,
                           "\"%.60s\" is not used; allowed: an absolute path", named);
            return;
        }
    }
    if (named) {
        int r = load(l, named, false);
        if (r)
            unreadable(l, named, r);
        return;
    }
    if (try(l, environment_get(l, "XDG_CONFIG_HOME", 15), "/scope/scope.yml", true) ||
        try(l, environment_get(l, "HOME", 4), "/.config/scope/scope.yml", true))
        return;
    try(l, "/etc/scope", "/scope.yml", false);
}
