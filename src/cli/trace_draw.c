/* A trace as a waterfall: a line for each span with its bar, and its records and events below it.
 */
#include "cli/trace.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "cli/table.h"
#include "cli/terminal.h"

#define BOLD "\033[1m"
#define DIM "\033[2m"
#define RED "\033[31m"
#define YELLOW "\033[33m"
#define CYAN "\033[36m"
#define RESET "\033[0m"

/* Columns of a line: two marks, the name, the bar between two edges, the duration. */
enum {
    MARKS = 3,
    DURATION = 9,
    EDGES = 4,
    NAME_MIN = 18,
    NAME_ENOUGH = 12,
    NAME_LEAST = 4,
    BAR_MAX = 400
};

struct layout {
    const struct canvas *canvas;
    const struct trace *trace;
    int name, bar;
};

static void colour(const struct canvas *c, const char *code)
{
    if (c->colour)
        fputs(code, c->out);
}

static void spaces(FILE *out, int count)
{
    for (; count > 0; count--)
        fputc(' ', out);
}

static int put(const struct canvas *c, const char *text, int width)
{
    return width > 0 && text ? terminal_text(c->out, text, strlen(text), width) : 0;
}

static char *seconds(char out[32], uint64_t nanoseconds)
{
    if (nanoseconds)
        return table_seconds(out, (double)nanoseconds / 1e9);
    return strcpy(out, "0 s");
}

/* Where a child's line begins: two columns for each level, as many as leave room for its name. */
static int indent(const struct layout *l, int depth)
{
    int most = l->name - NAME_MIN > 4 ? (l->name - NAME_MIN) / 2 * 2 : 4;

    return 2 * depth < most ? 2 * depth : most;
}

/* Levels that the indent does not show, as "(12) ". */
static int deeper(const struct layout *l, int depth)
{
    int more = depth - indent(l, depth) / 2;

    return more > 0 ? fprintf(l->canvas->out, "(%d) ", more) : 0;
}

/* ------------------------------------------------------------------ spans */

static const char *parent_service(const struct node *n)
{
    return n->parent->type == NODE_SPAN ? n->parent->service : NULL;
}

/* "service: name", the service where it is not the parent's; "x 40, 12 ms in all" behind equal
 * ones. */
static void draw_name(const struct layout *l, const struct node *n, int depth)
{
    const struct canvas *c = l->canvas;
    int room = l->name - indent(l, depth);
    char behind[96] = "", total[32];

    spaces(c->out, l->name - room);
    room -= deeper(l, depth);
    if (n->count > 1)
        snprintf(behind, sizeof(behind), " x %u, %s in all", n->count, seconds(total, n->total));
    if (n->count > 1 && room - (int)strlen(behind) < NAME_ENOUGH)
        snprintf(behind, sizeof(behind), " x %u", n->count);
    int kept = (int)strlen(behind);
    int share = (room - kept) / 2 > 8 ? (room - kept) / 2 : 8;
    share = share < room - NAME_LEAST - 2 ? share : room - NAME_LEAST - 2;
    if (n->service && n->service != parent_service(n) && share >= NAME_LEAST) {
        colour(c, BOLD);
        room -= put(c, n->service, share);
        room -= put(c, ": ", 2);
        colour(c, RESET);
        colour(c, n->failed ? RED : "");
    }
    const char *name = n->name && *n->name ? n->name : "(no name)";
    if (room - kept < NAME_LEAST)
        kept = 0;
    room -= put(c, name, room - kept);
    room -= put(c, behind, room);
    spaces(c->out, room);
}

/* Where a time is, in cells from the left. */
static double position(const struct layout *l, uint64_t time)
{
    uint64_t all = l->trace->last - l->trace->first;

    return all ? (double)(time - l->trace->first) / (double)all * l->bar : 0;
}

/* A span takes each cell that it touches; one whose end is not known shows where it began. */
static void fill(const struct layout *l, char *cells, const struct node *n)
{
    if (!n->start)
        return;
    int from = (int)position(l, n->start);
    from = from < l->bar ? from : l->bar - 1;
    int to = n->end ? (int)ceil(position(l, n->end)) : from + 1;
    to = to <= from ? from + 1 : to > l->bar ? l->bar : to;
    memset(cells + from, n->failed ? '#' : '=', (size_t)(to - from));
    if (!n->end)
        cells[from] = '>';
}

static void draw_bar(const struct layout *l, const struct node *n)
{
    char cells[BAR_MAX];

    memset(cells, ' ', sizeof(cells));
    for (const struct node *one = n; one; one = one->folded)
        fill(l, cells, one);
    fputs(" |", l->canvas->out);
    colour(l->canvas, n->failed ? RED : CYAN);
    fwrite(cells, 1, (size_t)l->bar, l->canvas->out);
    colour(l->canvas, RESET);
    fputs("| ", l->canvas->out);
}

static void draw_details(const struct layout *l, const struct node *n, int depth)
{
    const struct canvas *c = l->canvas;

    /* Of several in one line the first's would say nothing of the others. */
    for (const struct detail *d = n->count > 1 ? NULL : n->details; d; d = d->next) {
        int room = c->width - MARKS - indent(l, depth) - 4;
        colour(c, DIM);
        spaces(c->out, c->width - room);
        room -= put(c, d->name, room / 2);
        room -= put(c, " = ", 3);
        put(c, d->value, room);
        colour(c, RESET);
        fputc('\n', c->out);
    }
}

static void draw_span(const struct layout *l, const struct node *n, int depth)
{
    const struct canvas *c = l->canvas;
    bool early = n->start && n->start < n->parent->start;
    char text[32], most[36];

    colour(c, n->failed ? RED : "");
    fputc(n->failed ? '!' : ' ', c->out);
    fputc(n->lost ? '?' : early ? '<' : ' ', c->out);
    fputc(' ', c->out);
    draw_name(l, n, depth);
    draw_bar(l, n);
    if (n->count > 1)
        snprintf(most, sizeof(most), "<=%s", seconds(text, n->slowest));
    else
        snprintf(most, sizeof(most), "%s", n->end ? seconds(text, n->end - n->start) : "?");
    fprintf(c->out, "%*s\n", DURATION, most);
    if (n->failed && n->why) {
        colour(c, RED);
        fputs("!  ", c->out);
        spaces(c->out, indent(l, depth) + 2);
        fputs("error: ", c->out);
        put(c, n->why, c->width - MARKS - indent(l, depth) - 2 - 7);
        colour(c, RESET);
        fputc('\n', c->out);
    }
    draw_details(l, n, depth);
}

/* ------------------------------------------------------------------ records and events */

static const char *severity_name(const struct node *n)
{
    static const char *const names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"};

    if (n->type == NODE_EVENT)
        return "event";
    return n->severity ? names[(n->severity - 1) / 4] : "log";
}

/* How long after the trace's beginning, with a sign: a clock may be behind. */
static char *offset(char out[40], const struct trace *t, uint64_t time)
{
    char text[32];
    bool before = time < t->first;

    if (time && t->first)
        snprintf(out, 40, "%c%s", before ? '-' : '+',
                 seconds(text, before ? t->first - time : time - t->first));
    else
        strcpy(out, "?");
    return out;
}

static void draw_note(const struct layout *l, const struct node *n, int depth)
{
    const struct canvas *c = l->canvas;
    bool bad = n->severity >= SEVERITY_ERROR;
    char at[40];

    colour(c, bad ? RED : n->severity >= SEVERITY_WARN ? YELLOW : DIM);
    fprintf(c->out, "%c%c ", bad ? '!' : ' ', n->lost ? '?' : ' ');
    spaces(c->out, indent(l, depth));
    int room = c->width - MARKS - indent(l, depth);
    room -= fprintf(c->out, "%s %s ", offset(at, l->trace, n->start), severity_name(n));
    if (n->service && n->service != parent_service(n)) {
        room -= put(c, n->service, room / 3);
        room -= put(c, ": ", room);
    }
    room -= put(c, n->name ? n->name : "(empty)", room);
    if (n->type == NODE_EVENT && n->why && room > 4) {
        room -= put(c, ": ", room);
        put(c, n->why, room);
    }
    colour(c, RESET);
    fputc('\n', c->out);
}

/* ------------------------------------------------------------------ the whole */

static void draw_date(const struct canvas *c, uint64_t time)
{
    time_t whole = (time_t)(time / 1000000000);
    struct tm utc;
    char text[48];

    if (time && gmtime_r(&whole, &utc) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &utc))
        fprintf(c->out, "  %s.%03u UTC", text, (unsigned)(time / 1000000 % 1000));
}

static void draw_count(const struct canvas *c, size_t count, const char *one, const char *many)
{
    char text[32];

    if (count)
        fprintf(c->out, ", %s%s", table_count(text, (double)count), count == 1 ? one : many);
}

static void draw_heading(const struct canvas *c, const struct trace *t, const struct tree *tree)
{
    char text[32];

    fputc('\n', c->out);
    colour(c, BOLD);
    for (unsigned i = 0; i < TRACE_ID; i++)
        fprintf(c->out, "%02x", t->id[i]);
    fprintf(c->out, "  %s", t->last ? seconds(text, t->last - t->first) : "?");
    colour(c, RESET);
    draw_date(c, t->first);
    size_t spans = t->spans - tree->twice;
    fprintf(c->out, "\n  %s span%s", table_count(text, (double)spans), spans == 1 ? "" : "s");
    if (tree->services > 1)
        draw_count(c, tree->services, "", " services");
    draw_count(c, tree->failed, " failed (!)", " failed (!)");
    draw_count(c, tree->lost, " parent missing (?)", " parents missing (?)");
    draw_count(c, tree->early, " before its parent (<)", " before their parents (<)");
    draw_count(c, tree->twice, " was there twice", " were there twice");
    fputc('\n', c->out);
}

static void draw_rest(const struct canvas *c, const struct tree *tree)
{
    char text[32];

    if (!tree->spans_cut && !tree->notes_cut)
        return;
    fputs("   ... ", c->out);
    if (tree->spans_cut)
        fprintf(c->out, "%s more span%s", table_count(text, (double)tree->spans_cut),
                tree->spans_cut == 1 ? "" : "s");
    if (tree->failed_cut)
        fprintf(c->out, " (%s failed)", table_count(text, (double)tree->failed_cut));
    if (tree->notes_cut)
        fprintf(c->out, "%s%s more log record%s or event%s", tree->spans_cut ? ", " : "",
                table_count(text, (double)tree->notes_cut), tree->notes_cut == 1 ? "" : "s",
                tree->notes_cut == 1 ? "" : "s");
    fputs(": --all shows them\n", c->out);
}

void trace_draw(const struct canvas *c, const struct trace *t, const struct tree *tree)
{
    struct layout l = {.canvas = c, .trace = t};
    int room = c->width - MARKS - EDGES - DURATION, depth = 0;

    l.name = room * 55 / 100 < 70 ? room * 55 / 100 : 70;
    l.name = l.name < NAME_MIN ? NAME_MIN : l.name;
    l.bar = room - l.name < BAR_MAX ? room - l.name : BAR_MAX;
    draw_heading(c, t, tree);
    for (struct node *n = NULL; (n = tree_next(tree, n, &depth));) {
        if (n->type == NODE_SPAN)
            draw_span(&l, n, depth);
        else
            draw_note(&l, n, depth);
    }
    draw_rest(c, tree);
}
