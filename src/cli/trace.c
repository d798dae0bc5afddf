/* scope trace: the traces of a recording as waterfalls, the slowest first. */
#include "cli/trace.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/recording.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "conf/conf.h"

enum { LIMIT = 10, CANDIDATES = 5 };
#define MEMORY ((uint64_t)256 << 20)

struct options {
    const char *path;
    char prefix[2 * TRACE_ID + 1];
    uint64_t slower, memory;
    size_t limit;
    bool errors, all, details;
};

static const char usage[] =
    "usage: scope trace [OPTION]... [DIR|FILE|-]\n"
    "Shows the traces of a recording of `scope run`, or of any NDJSON or OTLP JSON file of ours: a "
    "bar\n"
    "for each span, its log records and events at their time, the slowest trace first.\n"
    "Without an argument: the newest recording.\n"
    "\n"
    "  --id TRACE         only this one; the beginning of its id suffices, if no other begins so\n"
    "  --slower-than D    only traces that took longer: 250ms, 1.5s\n"
    "  --errors           only traces in which a span failed or an error was logged\n"
    "  --limit N          so many traces at most, 10 by default\n"
    "  --all              every span, record and event of each; equal ones apart\n"
    "  --details          each span's kind, attributes and links\n"
    "  --memory SIZE      what is read may take so much, 256MiB by default; the rest is left out\n"
    "\n"
    "Marks: ! failed, ? its parent is not in the recording, < begins before its parent (clocks\n"
    "differ), > its end is not known. \"x 40\": so many equal spans, the slowest as the last "
    "column says.\n";

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "scope trace: %s: %s\n", what, why);
    return 2;
}

/* ------------------------------------------------------------------ arguments */

/* Hexadecimal, in lower case. False: no beginning of an id. */
static bool read_prefix(char *out, const char *text)
{
    size_t length = strlen(text);

    if (!length || length > 2 * TRACE_ID || strspn(text, "0123456789abcdefABCDEF") != length)
        return false;
    for (size_t i = 0; i <= length; i++)
        out[i] = (char)(text[i] >= 'A' && text[i] <= 'F' ? text[i] + 'a' - 'A' : text[i]);
    return true;
}

/* 0: go on. Else the exit status plus one. */
static int take_option(struct options *o, int option, char **argv)
{
    char *end;

    switch (option) {
    case 'i':
        if (!read_prefix(o->prefix, optarg))
            return complain(optarg, "--id takes up to 32 hexadecimal digits") + 1;
        return 0;
    case 's':
        if (conf_parse_duration(optarg, &o->slower) != 0)
            return complain(optarg, "--slower-than takes a duration: 250ms, 1.5s") + 1;
        return 0;
    case 'm':
        if (conf_parse_size(optarg, &o->memory) != 0 || o->memory < 1 << 16 ||
            o->memory > SIZE_MAX / 2)
            return complain(optarg, "--memory takes a size from 64KiB: 1GiB") + 1;
        return 0;
    case 'n':
        o->limit = strtoul(optarg, &end, 10);
        if (*end || !o->limit || *optarg == '-')
            return complain(optarg, "--limit takes a number from 1") + 1;
        return 0;
    case 'e':
        o->errors = true;
        return 0;
    case 'a':
        o->all = true;
        return 0;
    case 'd':
        o->details = true;
        return 0;
    case 'h':
        fputs(usage, stdout);
        return 1;
    default:
        complain(argv[optind - 1], option == ':' ? "a value is missing" : "no such option");
        fputs("Try: scope trace --help\n", stderr);
        return 3;
    }
}

static int parse(struct options *o, int argc, char **argv)
{
    static const struct option options[] = {{"id", required_argument, NULL, 'i'},
                                            {"slower-than", required_argument, NULL, 's'},
                                            {"errors", no_argument, NULL, 'e'},
                                            {"limit", required_argument, NULL, 'n'},
                                            {"all", no_argument, NULL, 'a'},
                                            {"details", no_argument, NULL, 'd'},
                                            {"memory", required_argument, NULL, 'm'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option, r;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        r = take_option(o, option, argv);
        if (r)
            return r;
    }
    if (argc - optind > 1)
        return complain(argv[optind + 1], "one recording at a time") + 1;
    o->path = optind < argc ? argv[optind] : NULL;
    return 0;
}

/* ------------------------------------------------------------------ choosing */

static bool is_shown(const struct options *o, const struct trace *t)
{
    return t->spans && (!o->slower || t->last - t->first > o->slower) &&
           (!o->errors || t->failed || t->errors);
}

static int slowest_first(const void *a, const void *b)
{
    const struct trace *x = *(struct trace *const *)a, *y = *(struct trace *const *)b;
    uint64_t p = x->last - x->first, q = y->last - y->first;

    if (p != q)
        return p < q ? 1 : -1;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return memcmp(x->id, y->id, TRACE_ID);
}

/* Those to show, ordered; owned by the caller. */
static struct trace **choose(const struct options *o, const struct trace_store *s, size_t *count)
{
    struct trace **chosen = malloc((s->traces + 1) * sizeof(struct trace *));

    *count = 0;
    for (size_t i = 0; chosen && i < TRACE_BUCKETS; i++) {
        for (struct trace *t = s->buckets[i]; t; t = t->bucket) {
            if (is_shown(o, t))
                chosen[(*count)++] = t;
        }
    }
    if (chosen && *count)
        qsort(chosen, *count, sizeof(struct trace *), slowest_first);
    return chosen;
}

/* ------------------------------------------------------------------ showing */

static void count_of(FILE *out, size_t count, const char *what)
{
    char text[32];

    fprintf(out, "%s %s%s", table_count(text, (double)count), what, count == 1 ? "" : "s");
}

static void print_path(FILE *out, const char *path)
{
    terminal_text(out, path, strlen(path), INT_MAX);
}

/* What was not understood or had no room, once, where it does not get between the traces. */
static void tell_losses(const struct options *o, const struct trace_store *s, size_t bad)
{
    if (bad) {
        fputs("scope trace: ", stderr);
        count_of(stderr, bad, "line");
        fputs(bad == 1 ? " was no JSON object and was passed over\n"
                       : " were no JSON objects and were passed over\n",
              stderr);
    }
    if (s->malformed) {
        fputs("scope trace: ", stderr);
        count_of(stderr, s->malformed, "span");
        fputs(" without a valid id left out\n", stderr);
    }
    if (s->left_out || s->logs_left_out) {
        char size[32];
        fputs("scope trace: ", stderr);
        count_of(stderr, s->left_out, "span");
        fprintf(stderr, " and %s log records or events",
                table_count(size, (double)s->logs_left_out));
        fprintf(stderr, " left out: no room in %s (--memory; --id keeps one trace only)\n",
                table_bytes(size, (double)o->memory));
    }
}

static int tell_ambiguous(const struct options *o, struct trace **traces, size_t count)
{
    fprintf(stderr, "scope trace: %s: %zu traces begin so:\n", o->prefix, count);
    for (size_t i = 0; i < count && i < CANDIDATES; i++) {
        fputs("  ", stderr);
        for (unsigned b = 0; b < TRACE_ID; b++)
            fprintf(stderr, "%02x", traces[i]->id[b]);
        fputc('\n', stderr);
    }
    if (count > CANDIDATES)
        fputs("  ...\n", stderr);
    return 1;
}

static void show_heading(const struct options *o, const struct trace_store *s, size_t count)
{
    size_t spans = 0, traces = 0;

    for (size_t i = 0; i < TRACE_BUCKETS; i++) {
        for (const struct trace *t = s->buckets[i]; t; t = t->bucket) {
            spans += t->spans;
            traces += t->spans > 0;
        }
    }
    print_path(stdout, o->path);
    fputs(": ", stdout);
    if (!traces) {
        fputs("no spans in ", stdout);
        count_of(stdout, s->lines, "line");
    } else {
        count_of(stdout, spans, "span");
        fputs(" in ", stdout);
        count_of(stdout, traces, "trace");
    }
    if (traces && (o->slower || o->errors))
        printf(", %zu of them as asked for", count);
    if (s->left_out || s->logs_left_out)
        fputs(" (not all: there was no room)", stdout);
    if (count > o->limit && o->limit > 1)
        printf("; the %zu slowest", o->limit);
    else if (count > o->limit)
        fputs("; the slowest", stdout);
    fputc('\n', stdout);
}

static int show(const struct options *o, const struct trace_store *s)
{
    struct canvas canvas = {stdout, terminal_width(), terminal_colour()};
    size_t count, i;
    struct trace **traces = choose(o, s, &count);
    int status = 0;

    if (!traces)
        return complain("traces", strerror(ENOMEM)) - 1;
    if (o->prefix[0] && count > 1) {
        status = tell_ambiguous(o, traces, count);
    } else if (o->prefix[0] && !s->traces) {
        status = complain(o->prefix, "no trace here begins so") - 1;
    } else {
        show_heading(o, s, count);
        for (i = 0; i < count && i < o->limit && !status; i++) {
            struct tree tree;
            if (tree_build(&tree, traces[i], o->all)) {
                trace_draw(&canvas, traces[i], &tree);
                tree_free(&tree);
            } else {
                status = complain("traces", strerror(ENOMEM)) - 1;
            }
        }
        if (i < count && !status) {
            fputs("\n... ", stdout);
            count_of(stdout, count - i, "more trace");
            fputs(": --limit shows more, --errors and --slower-than choose\n", stdout);
        }
    }
    free(traces);
    return status;
}

int cli_trace(int argc, char **argv)
{
    static struct trace_store store;
    struct options o = {.limit = LIMIT, .memory = MEMORY};
    char newest[PATH_MAX];
    size_t bad = 0;
    int r = parse(&o, argc, argv);

    if (r)
        return r - 1;
    if (!o.path && recording_newest(newest, sizeof(newest)) != 0) {
        fputs("scope trace: there is no recording yet: `scope run -- COMMAND` makes one\n", stderr);
        return 1;
    }
    o.path = o.path ? o.path : newest;
    store.spans_arena = arena_new((size_t)o.memory / 4 * 3);
    store.notes_arena = arena_new((size_t)o.memory / 4);
    store.details = o.details;
    store.prefix = o.prefix[0] ? o.prefix : NULL;
    if (!store.spans_arena || !store.notes_arena)
        return complain("traces", strerror(ENOMEM)) - 1;
    r = recording_read(o.path, trace_take_line, &store, &bad);
    if (r) {
        bool empty = r == -ENOENT && access(o.path, F_OK) == 0;
        fputs("scope trace: ", stderr);
        print_path(stderr, o.path);
        fprintf(stderr, ": %s\n",
                empty ? "nothing was recorded there (it has no telemetry.ndjson)" : strerror(-r));
    } else if (bad && !store.lines) {
        fputs("scope trace: ", stderr);
        print_path(stderr, o.path);
        fputs(": not NDJSON\n", stderr);
        r = 1;
    } else {
        tell_losses(&o, &store, bad);
        r = show(&o, &store);
    }
    arena_free(store.spans_arena);
    arena_free(store.notes_arena);
    return r || ferror(stdout) || fflush(stdout) ? 1 : 0;
}
