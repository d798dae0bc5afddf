/*
 * The tree of values that files, variables and --set are all turned into before they are looked at.
 */
#include "conf/internal.h"

#include <string.h>

struct node *node_new(struct loader *l, enum node_kind kind)
{
    struct node *n = pool_take(&l->scratch, sizeof(*n));
    if (n) {
        n->kind = (uint8_t)kind;
        n->text = "";
    }
    return n;
}

void node_add(struct node *parent, struct node *child)
{
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
}

static const char *trim(char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    size_t n = strlen(text);
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\t'))
        text[--n] = 0;
    return text;
}

/* Ends the item at text, unescapes its `\,` in place, and returns what follows, NULL at the end. */
static char *split(char *text)
{
    char *to = text;
    for (; *text && *text != ','; text++) {
        if (text[0] == '\\' && text[1] == ',')
            text++;
        *to++ = *text;
    }
    char *rest = *text ? text + 1 : NULL;
    *to = 0;
    return rest;
}

struct node *node_of_text(struct loader *l, const struct option *o, const char *text)
{
    bool pairs = o->type == OPTION_PAIRS, list = o->type >= OPTION_LIST && !pairs;
    struct node *root = node_new(l, pairs ? NODE_MAPPING : list ? NODE_SEQUENCE : NODE_SCALAR);
    char *copy = pool_copy(&l->scratch, text, strlen(text));
    if (!root || !copy)
        return NULL;
    if (root->kind == NODE_SCALAR) {
        root->text = copy;
        return root;
    }
    if (strcmp(text, "[]") == 0)
        return root;
    for (char *rest = copy; rest;) {
        char *item = rest;
        rest = split(item);
        struct node *child = node_new(l, NODE_SCALAR);
        if (!child)
            return NULL;
        child->text = trim(item);
        if (!child->text[0])
            continue;
        if (pairs) {
            char *equals = strchr(item, '=');
            child->key = "";
            if (equals) {
                *equals = 0;
                child->key = trim(item);
                child->text = trim(equals + 1);
            }
        }
        node_add(root, child);
    }
    return root;
}
