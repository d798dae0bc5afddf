/* Traces as trees: who is whose child, what is equal and shown as one, what is left out. */
#include "cli/trace.h"

#include <stdlib.h>
#include <string.h>

/* Equal siblings from so many on are one; so many spans and so many records and events are shown.
 */
enum { FOLD_MIN = 4, SPANS_MAX = 60, NOTES_MAX = 40, PATH_LONG = 30, PATH_SHORT = 3 };

static int compare_numbers(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_pointers(const void *a, const void *b)
{
    return compare_numbers((uintptr_t)a, (uintptr_t)b);
}

static uint64_t duration(const struct node *n)
{
    return n->count > 1 ? n->total : n->end ? n->end - n->start : 0;
}

/* ------------------------------------------------------------------ parents */

/* Spans by id, the copies of one beside each other; all else behind them. */
static int by_id(const void *a, const void *b)
{
    const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;

    if (x->type != y->type && (x->type == NODE_SPAN || y->type == NODE_SPAN))
        return x->type == NODE_SPAN ? -1 : 1;
    int order = x->type == NODE_SPAN ? memcmp(x->id, y->id, SPAN_ID) : 0;
    order = order ? order : compare_numbers(x->start, y->start);
    order = order ? order : compare_numbers(x->end, y->end);
    return order ? order : compare_pointers(x->name, y->name);
}

static bool is_copy(const struct node *a, const struct node *b)
{
    return !memcmp(a->id, b->id, SPAN_ID) && a->start == b->start && a->end == b->end &&
           a->name == b->name;
}

static struct node *find_span(struct node **spans, size_t count, const uint8_t *id)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(spans[middle]->id, id, SPAN_ID) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && !memcmp(spans[low]->id, id, SPAN_ID) ? spans[low] : NULL;
}

/* A span that is its own ancestor loses its parent. `folded` serves as the mark of who was seen. */
static void break_circles(struct tree *t, size_t spans)
{
    for (size_t i = 0; i < spans; i++) {
        struct node *self = t->nodes[i];
        struct node *n = self;
        for (; n != &t->root && !n->folded; n = n->parent)
            n->folded = self;
        if (n != &t->root && n->folded == self) {
            n->parent = &t->root;
            n->lost = true;
        }
    }
    for (size_t i = 0; i < spans; i++)
        t->nodes[i]->folded = NULL;
}

static bool has_id(const uint8_t *id)
{
    static const uint8_t none[SPAN_ID];
    return memcmp(id, none, SPAN_ID) != 0;
}

static void find_parents(struct tree *t)
{
    size_t spans = 0;

    qsort(t->nodes, t->count, sizeof(*t->nodes), by_id);
    while (spans < t->count && t->nodes[spans]->type == NODE_SPAN)
        spans++;
    for (size_t i = 0; i < t->count; i++) {
        struct node *n = t->nodes[i];
        n->hidden = i && i < spans && is_copy(t->nodes[i - 1], n);
        t->twice += n->hidden;
        if (n->type == NODE_EVENT)
            continue;
        n->parent = has_id(n->parent_id) ? find_span(t->nodes, spans, n->parent_id) : NULL;
        n->lost = !n->parent && has_id(n->parent_id);
        n->parent = n->parent ? n->parent : &t->root;
    }
    break_circles(t, spans);
    for (size_t i = 0; i < t->count; i++) {
        struct node *n = t->nodes[i];
        n->hidden = n->hidden || (n->type == NODE_EVENT && n->parent->hidden);
        if (n->hidden)
            continue;
        if (n->type == NODE_LOG && n->severity >= SEVERITY_ERROR)
            n->parent->troubled = true;
        t->failed += n->failed;
        t->lost += n->type == NODE_SPAN && n->lost;
        t->early += n->type == NODE_SPAN && n->start && n->start < n->parent->start;
    }
}

/* ------------------------------------------------------------------ order */

/* Latest first: each is then put in front of its siblings. */
static int latest_first(const void *a, const void *b)
{
    const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;
    int order = compare_numbers(y->start, x->start);

    order = order ? order : compare_numbers(y->type, x->type);
    /* What lasts longer comes first, as it would hold the other. */
    order = order ? order : compare_numbers(duration(x), duration(y));
    return order ? order : memcmp(y->id, x->id, SPAN_ID);
}

static void link_children(struct tree *t)
{
    qsort(t->nodes, t->count, sizeof(*t->nodes), latest_first);
    for (size_t i = 0; i < t->count; i++) {
        struct node *n = t->nodes[i];
        if (n->hidden)
            continue;
        n->sibling = n->parent->child;
        n->parent->child = n;
    }
}

/* ------------------------------------------------------------------ folding */

static bool may_fold(const struct node *n)
{
    return n->type == NODE_SPAN && !n->hidden && !n->child && !n->failed && !n->troubled;
}

static int compare_kin(const struct node *x, const struct node *y)
{
    int order = compare_pointers(x->parent, y->parent);

    order = order ? order : compare_pointers(x->name, y->name);
    order = order ? order : compare_pointers(x->service, y->service);
    order = order ? order : compare_numbers(x->lost, y->lost);
    return order ? order : compare_numbers(x->kind, y->kind);
}

/* What may be folded, equal ones beside each other by time; all else behind. */
static int by_kin(const void *a, const void *b)
{
    const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;

    if (may_fold(x) != may_fold(y))
        return may_fold(x) ? -1 : 1;
    if (!may_fold(x))
        return compare_pointers(x, y);
    int order = compare_kin(x, y);
    order = order ? order : compare_numbers(x->start, y->start);
    return order ? order : memcmp(x->id, y->id, SPAN_ID);
}

static void fold_run(struct node **nodes, size_t count)
{
    struct node *head = nodes[0];
    uint64_t total = 0;

    for (size_t i = 0; i < count; i++) {
        total += duration(nodes[i]);
        head->slowest = duration(nodes[i]) > head->slowest ? duration(nodes[i]) : head->slowest;
        nodes[i]->hidden = i > 0;
        nodes[i]->folded = i + 1 < count ? nodes[i + 1] : NULL;
    }
    head->total = total;
    head->count = (uint32_t)count;
}

static void fold(struct tree *t)
{
    size_t foldable = 0;

    qsort(t->nodes, t->count, sizeof(*t->nodes), by_kin);
    while (foldable < t->count && may_fold(t->nodes[foldable]))
        foldable++;
    for (size_t i = 0, n; i < foldable; i += n) {
        for (n = 1; i + n < foldable && !compare_kin(t->nodes[i], t->nodes[i + n]);)
            n++;
        if (n >= FOLD_MIN)
            fold_run(t->nodes + i, n);
    }
}

/* ------------------------------------------------------------------ choosing */

/* 2: it failed. 1: an error was logged in it, or is one. */
static unsigned badness(const struct node *n)
{
    return n->failed ? 2 : n->troubled || n->severity >= SEVERITY_ERROR;
}

/* The severity, or what stands for it where there is none: events of a span are rare and say much.
 */
static unsigned gravity(const struct node *n)
{
    return n->severity             ? n->severity
           : n->type == NODE_EVENT ? SEVERITY_WARN
           : n->type == NODE_LOG   ? SEVERITY_INFO
                                   : 0;
}

/* Spans, then the rest; what failed, then what was slow or grave, then what was first. */
static int by_weight(const void *a, const void *b)
{
    const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;

    if (x->type != y->type && (x->type == NODE_SPAN || y->type == NODE_SPAN))
        return x->type == NODE_SPAN ? -1 : 1;
    int order = compare_numbers(badness(y), badness(x));
    order = order ? order : compare_numbers(gravity(y), gravity(x));
    order = order ? order : compare_numbers(duration(y), duration(x));
    order = order ? order : compare_numbers(x->start, y->start);
    return order ? order : memcmp(x->id, y->id, SPAN_ID);
}

/*
 * Shows a span with all that it is in, if so many are allowed; how many that were. What is bad is
 * shown even where its whole path has no room: with the nearest ones around it.
 */
static size_t show_path(struct tree *t, struct node *node, size_t most)
{
    size_t needed = 0;
    struct node *n = node;

    for (; n != &t->root && !n->shown && needed <= PATH_LONG && needed <= most; n = n->parent)
        needed++;
    bool whole = n == &t->root || n->shown;
    if (needed > most || (!whole && !badness(node)))
        return 0;
    needed = !whole && needed > PATH_SHORT ? PATH_SHORT : needed;
    n = node;
    for (size_t i = 0; i < needed; i++, n = n->parent)
        n->shown = true;
    return needed;
}

static void choose(struct tree *t, bool all)
{
    size_t spans = all ? SIZE_MAX : SPANS_MAX, notes = all ? SIZE_MAX : NOTES_MAX;

    t->root.shown = true;
    qsort(t->nodes, t->count, sizeof(*t->nodes), by_weight);
    for (size_t i = 0; i < t->count; i++) {
        struct node *n = t->nodes[i];
        if (n->hidden)
            continue;
        if (n->type == NODE_SPAN) {
            spans -= show_path(t, n, spans);
        } else if (n->parent->shown && notes) {
            n->shown = true;
            notes--;
        }
    }
    for (size_t i = 0; i < t->count; i++) {
        struct node *n = t->nodes[i];
        if (n->hidden || n->shown)
            continue;
        if (n->type == NODE_SPAN)
            t->spans_cut += n->count;
        else
            t->notes_cut++;
        t->failed_cut += n->failed;
    }
}

static int by_service(const void *a, const void *b)
{
    const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;

    return compare_pointers(x->service, y->service);
}

static void count_services(struct tree *t)
{
    const char *before = NULL;

    qsort(t->nodes, t->count, sizeof(*t->nodes), by_service);
    for (size_t i = 0; i < t->count; i++) {
        t->services += t->nodes[i]->service != before;
        before = t->nodes[i]->service;
    }
}

bool tree_build(struct tree *t, struct trace *trace, bool all)
{
    size_t count = 0;

    memset(t, 0, sizeof(*t));
    for (struct node *n = trace->nodes; n; n = n->next)
        count++;
    t->nodes = malloc((count ? count : 1) * sizeof(struct node *));
    if (!t->nodes)
        return false;
    for (struct node *n = trace->nodes; n; n = n->next)
        t->nodes[t->count++] = n;
    count_services(t);
    find_parents(t);
    link_children(t);
    if (!all)
        fold(t);
    choose(t, all);
    return true;
}

void tree_free(struct tree *t)
{
    free(t->nodes);
}

struct node *tree_next(const struct tree *t, struct node *node, int *depth)
{
    do {
        if (node ? node->child != NULL : t->root.child != NULL) {
            *depth += node != NULL;
            node = node ? node->child : t->root.child;
            continue;
        }
        while (node && !node->sibling) {
            node = node->parent == &t->root ? NULL : node->parent;
            --*depth;
        }
        if (!node)
            return NULL;
        node = node->sibling;
    } while (!node->shown || node->hidden);
    return node;
}
