/*
 * scope doctor: tells whether a program is observed, and if not, why.
 */
#include "cli/doctor.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

enum { EXIT_USAGE = 2, SETS_MAX = 64 };

static const char usage[] =
    "usage: scope doctor [--json] PID\n"
    "       scope doctor [--json] [--config FILE] [--set KEY=VALUE]... -- COMMAND [ARGUMENT]...\n"
    "       scope doctor [--json] [--config FILE] [--set KEY=VALUE]...\n"
    "\n"
    "Tells whether a running process is observed, by which hooks, what of it is not seen and why,\n"
    "whether its sinks are reached, and what was dropped; or, before it is started, whether\n"
    "scope run could observe COMMAND (it is not run); or, with neither, whether this installation\n"
    "works. Each line is ok, no (something is wrong) or note (worth knowing).\n"
    "\n"
    "  --json            for machines\n"
    "  --config FILE     read this scope.yml\n"
    "  --set KEY=VALUE   set one option (see scope config); may be given more than once\n"
    "\n"
    "Exits with 0 if it is observed and nothing is wrong, 1 if not, 2 on a wrong command line.\n";

/* ------------------------------------------------------------------ facts */

json_t *doctor_text(const char *bytes)
{
    json_t *text = json_string(bytes);
    if (text)
        return text;
    char *copy = strdup(bytes);
    for (char *p = copy; p && *p; p++) {
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    }
    text = copy ? json_string(copy) : NULL;
    free(copy);
    return text ? text : json_string("");
}

/* Nothing that a terminal would obey: C0 and, in UTF-8, C1. */
static void print_plain(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
            p++;
        else if (*p >= ' ' && *p != 127) {
            putchar(*p);
            continue;
        }
        putchar('?');
    }
}

void fact(struct doctor *d, enum fact_state state, const char *topic, const char *format, ...)
{
    static const char *const names[] = {"ok", "no", "note"};
    static const char *const colours[] = {"\033[32m", "\033[1;31m", "\033[33m"};
    char *text;
    va_list args;

    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        return;
    if (state == FACT_NO)
        d->wrong = true;
    if (d->json) {
        json_array_append_new(d->facts, json_pack("{s:s, s:s, s:o}", "state", names[state], "topic",
                                                  topic, "text", doctor_text(text)));
    } else {
        printf("%s%-4s%s  %-13s ", d->colour ? colours[state] : "", names[state],
               d->colour ? "\033[0m" : "", topic);
        print_plain(text);
        putchar('\n');
        fflush(stdout);
    }
    free(text);
}

/* ------------------------------------------------------------------ the conclusion */

static void conclude(struct doctor *d, const char *yes, const char *no)
{
    if (d->json) {
        json_t *all =
            json_pack("{s:s, s:O, s:b, s:b, s:O}", "version", SCOPE_VERSION, "target", d->target,
                      "observed", d->observed, "wrong", d->wrong, "facts", d->facts);
        if (d->inside)
            json_object_set(all, "inside", d->inside);
        json_dumpf(all, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
        putchar('\n');
        json_decref(all);
        return;
    }
    const char *colour = !d->colour     ? ""
                         : !d->observed ? "\033[1;31m"
                         : d->wrong     ? "\033[1;33m"
                                        : "\033[1;32m";
    printf("\n%s%s%s%s\n", colour, d->observed ? yes : no,
           d->observed && d->wrong ? ", but something is wrong: see above"
           : d->observed           ? ", and nothing is wrong"
                                   : ": see above",
           d->colour ? "\033[0m" : "");
}

/* ------------------------------------------------------------------ arguments */

struct question {
    int pid;        /* 0: none */
    char **command; /* NULL: none */
    struct doctor_options options;
    char *sets[SETS_MAX + 1];
};

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "scope doctor: %s: %s\n", what, why);
    return EXIT_USAGE;
}

static int parse_pid(const char *text)
{
    char *end;

    errno = 0;
    long n = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno && n > 0 && n < INT_MAX ? (int)n : 0;
}

static int parse_rest(struct question *q, int argc, char **argv, bool dashes)
{
    if (dashes) {
        if (optind == argc)
            return complain("--", "a command is wanted behind it");
        q->command = argv + optind;
        return 0;
    }
    if (optind == argc)
        return 0;
    q->pid = parse_pid(argv[optind]);
    if (!q->pid)
        return complain(argv[optind], "is no process id; a command stands behind --");
    if (optind + 1 < argc)
        return complain(argv[optind + 1], "one process id is enough; a command stands behind --");
    if (q->options.config || q->sets[0])
        return complain("--config, --set", "a running process has its own configuration");
    return 0;
}

/* 0: go on; -1: done; else the exit status. */
static int parse(struct question *q, struct doctor *d, int argc, char **argv)
{
    enum { CONFIG = 1, SET, JSON };
    static const struct option options[] = {
        {"config", required_argument, NULL, CONFIG},
        {"set", required_argument, NULL, SET},
        {"json", no_argument, NULL, JSON},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    unsigned sets = 0;
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "+:h", options, NULL)) != -1) {
        switch (c) {
        case CONFIG:
            if (access(optarg, R_OK) != 0)
                return complain(optarg, strerror(errno));
            q->options.config = optarg;
            break;
        case SET:
            if (!strchr(optarg, '=') || strchr(optarg, '\n'))
                return complain(optarg, "--set takes KEY=VALUE");
            if (sets == SETS_MAX)
                return complain(optarg, "more than 64 --set");
            q->sets[sets++] = optarg;
            break;
        case JSON:
            d->json = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return -1;
        case ':':
            return complain(argv[optind - 1], "a value is missing");
        default:
            complain(argv[optind - 1], "no such option");
            fputs("Try: scope doctor --help\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (sets)
        q->options.sets = q->sets;
    return parse_rest(q, argc, argv, optind > 1 && !strcmp(argv[optind - 1], "--"));
}

static json_t *command_target(char **command)
{
    json_t *words = json_array();

    for (char **word = command; *word; word++)
        json_array_append_new(words, doctor_text(*word));
    return json_pack("{s:o}", "command", words);
}

int cli_doctor(int argc, char **argv)
{
    static struct question q;
    struct doctor d = {0};

    int r = parse(&q, &d, argc, argv);
    if (r)
        return r < 0 ? 0 : r;
    d.colour = !d.json && isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    d.facts = json_array();
    if (q.pid) {
        d.target = json_pack("{s:i}", "pid", q.pid);
        doctor_running(&d, q.pid);
        conclude(&d, "It is observed", "It is not observed");
    } else if (q.command) {
        d.target = command_target(q.command);
        doctor_command(&d, q.command, &q.options);
        conclude(&d, "It would be observed", "It would not be observed");
    } else {
        d.target = json_pack("{s:s}", "installation", SCOPE_VERSION);
        doctor_installation(&d, &q.options);
        conclude(&d, "The library works here", "The library does not work here");
    }
    json_decref(d.facts);
    json_decref(d.target);
    json_decref(d.inside);
    return d.observed && !d.wrong ? 0 : 1;
}
