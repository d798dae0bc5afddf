/*
 * Reads YAML into a tree, with the place of every value; the only user of libyaml. Bounded in depth
 * and in nodes, and without aliases, so that no input makes it large or slow.
 */
#include "conf/internal.h"
#include "os/sys.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

struct reading {
    struct loader *l;
    const char *origin;
    int fd;
    size_t bytes;                   /* read so far */
    struct node *stack[NODE_DEPTH]; /* open collections, the root at 0 */
    size_t depth;
    size_t skip;      /* inside a key that is no scalar: how deep */
    struct node *key; /* of a mapping: read, its value is next */
    struct node *root;
};

static void trouble_at(struct reading *r, yaml_mark_t mark, const char *what)
{
    loader_trouble(r->l, r->origin, (unsigned)mark.line + 1, (unsigned)mark.column + 1, "%s", what);
}

/* Puts a value where it belongs. A scalar in a mapping may be the next key. */
static void place(struct reading *r, struct node *n)
{
    struct node *parent = r->depth ? r->stack[r->depth - 1] : NULL;
    if (!parent) {
        r->root = n;
        return;
    }
    if (parent->kind == NODE_MAPPING) {
        if (!r->key) {
            r->key = n;
            return;
        }
        n->key = r->key->kind == NODE_SCALAR ? r->key->text : NULL;
        n->key_line = r->key->line;
        n->key_column = r->key->column;
        r->key = NULL;
        if (!n->key)
            return; /* a key that cannot be: reported, and left out with its value */
    }
    node_add(parent, n);
}

static bool is_key(const struct reading *r)
{
    return r->depth && r->stack[r->depth - 1]->kind == NODE_MAPPING && !r->key;
}

static struct node *scalar(struct reading *r, const yaml_event_t *e)
{
    struct node *n = node_new(r->l, NODE_SCALAR);
    if (!n)
        return NULL;
    const char *text = (const char *)e->data.scalar.value;
    size_t length = e->data.scalar.length;
    n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (memchr(text, 0, length)) {
        trouble_at(r, e->start_mark, "a text with a NUL character cannot be used");
        n->kind = NODE_BROKEN;
        return n;
    }
    n->text = pool_copy(&r->l->scratch, text, length);
    return n->text ? n : NULL;
}

/* One event. False: stop, it has been reported, or memory is out. */
static bool take(struct reading *r, const yaml_event_t *e)
{
    struct node *n = NULL;
    if (++r->l->nodes > NODE_MAX) {
        trouble_at(r, e->start_mark, "too many values in this file: nothing of it is used");
        return false;
    }
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        if (r->skip)
            return true;
        n = scalar(r, e);
        break;
    case YAML_ALIAS_EVENT:
        if (r->skip)
            return true;
        trouble_at(r, e->start_mark, "aliases are not supported: write the value out");
        n = node_new(r->l, NODE_BROKEN);
        break;
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        if (r->depth + r->skip >= NODE_DEPTH) {
            trouble_at(r, e->start_mark, "nested too deeply: nothing of this file is used");
            return false;
        }
        if (r->skip) {
            r->skip++;
            return true;
        }
        if (is_key(r)) {
            trouble_at(r, e->start_mark, "a key must be a plain text");
            r->skip = 1;
            n = node_new(r->l, NODE_BROKEN);
            break;
        }
        n = node_new(r->l, e->type == YAML_MAPPING_START_EVENT ? NODE_MAPPING : NODE_SEQUENCE);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        if (r->skip)
            r->skip--;
        else
            r->depth--;
        return true;
    default:
        return true;
    }
    if (!n)
        return false;
    n->line = (uint32_t)e->start_mark.line + 1;
    n->column = (uint32_t)e->start_mark.column + 1;
    place(r, n);
    if (n->kind == NODE_MAPPING || n->kind == NODE_SEQUENCE)
        r->stack[r->depth++] = n;
    return true;
}

static void syntax_trouble(struct reading *r, const yaml_parser_t *p)
{
    yaml_mark_t mark = p->problem_mark;
    if (p->error == YAML_READER_ERROR)
        mark = p->mark;
    loader_trouble(r->l, r->origin, (unsigned)mark.line + 1, (unsigned)mark.column + 1,
                   "not YAML, nothing of this file is used: %s%s%s", p->context ? p->context : "",
                   p->context ? ": " : "", p->problem ? p->problem : "cannot be read");
}

/* Straight from the file into libyaml's buffer. 0 stops libyaml with an error. */
static int read_more(void *context, unsigned char *buffer, size_t size, size_t *length)
{
    struct reading *r = context;
    long n;
    do
        n = sys(read, r->fd, buffer, size);
    while (n == -EINTR);
    if (n < 0 || (r->bytes += (size_t)n) > FILE_SIZE_MAX)
        return 0;
    *length = (size_t)n;
    return 1;
}

struct node *yaml_tree(struct loader *l, int fd, const char *origin)
{
    struct reading r = {.l = l, .origin = origin, .fd = fd};
    yaml_parser_t parser;
    l->nodes = 0;
    if (!yaml_parser_initialize(&parser)) {
        l->scratch.failed = true;
        return NULL;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input(&parser, read_more, &r);
    bool good = true, more = true;
    unsigned documents = 0;
    while (good && more) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            if (parser.error == YAML_MEMORY_ERROR)
                l->scratch.failed = true;
            else
                syntax_trouble(&r, &parser);
            good = false;
            break;
        }
        if (event.type == YAML_DOCUMENT_START_EVENT && ++documents > 1) {
            trouble_at(&r, event.start_mark, "a second document is not read");
            more = false;
        } else {
            good = take(&r, &event);
            more = event.type != YAML_STREAM_END_EVENT;
        }
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return good ? r.root : NULL;
}
