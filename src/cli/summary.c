/* scope summary: what a recording says happened, for a person. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/recording.h"
#include "cli/table.h"
#include "cli/terminal.h"

enum { COUNT, BYTES_IN, BYTES_OUT, SECONDS, FAILED, MOST, EXTRA };

struct summary {
    double first, last; /* Unix seconds of the earliest and latest line; 0: none */
    size_t lines;
    struct tally processes, files, connections, names, errors, calls, logs, drops, failures;
};

static void add(struct tally *t, const char *key, unsigned column, double n)
{
    struct tally_row *row = tally_row(t, key);
    if (row)
        row->value[column] += n;
}

static void note(struct tally *t, const char *key, const char *text)
{
    struct tally_row *row = tally_row(t, key);
    if (row && text) {
        free(row->note);
        row->note = strdup(text);
    }
}

/* The process a line is about, as one key: "nginx 1234". */
static const char *process_key(const json_t *resource)
{
    static char key[512];
    const char *name = line_text(resource, "process.executable.name");
    snprintf(key, sizeof(key), "%s %.0f", name ? name : "?", line_number(resource, "process.pid"));
    return key;
}

static void take_file(struct summary *s, const char *event, const json_t *a, const char *path)
{
    if (!strcmp(event, "scope.file.close")) {
        add(&s->files, path, COUNT, 1);
        add(&s->files, path, BYTES_IN, line_number(a, "scope.io.read.bytes"));
        add(&s->files, path, BYTES_OUT, line_number(a, "scope.io.write.bytes"));
        add(&s->files, path, SECONDS, line_number(a, "scope.io.time"));
    } else if (line_text(a, "error.type")) {
        char key[PATH_MAX + 128];
        const char *operation = line_text(a, "scope.operation");
        snprintf(key, sizeof(key), "%s  %s  %s", line_text(a, "error.type"),
                 operation ? operation : event, path);
        add(&s->failures, key, COUNT, 1);
    }
}

static void peer_key(char *key, size_t size, const json_t *a)
{
    const char *role = line_text(a, "scope.connection.role");
    const char *transport = line_text(a, "network.transport");
    const char *address = line_text(a, "network.peer.address");
    double port = line_number(a, "network.peer.port");
    /* A server's clients come from ports that mean nothing: its own port says what they came for.
     */
    if (role && !strcmp(role, "server")) {
        double own = line_number(a, "network.local.port");
        const char *local = line_text(a, "network.local.address");
        if (own > 0)
            snprintf(key, size, "from %s to port %.0f (%s)", address ? address : "?", own,
                     transport ? transport : "?");
        else
            snprintf(key, size, "at %s (%s)", local ? local : "?", transport ? transport : "?");
        return;
    }
    if (port > 0)
        snprintf(key, size, "to %s:%.0f (%s)", address ? address : "?", port,
                 transport ? transport : "?");
    else
        snprintf(key, size, "to %s (%s)", address && *address ? address : "a peer without a name",
                 transport ? transport : "?");
}

static void take_connection(struct summary *s, const char *event, const json_t *a)
{
    char key[512];
    peer_key(key, sizeof(key), a);
    if (!strcmp(event, "scope.connection.close")) {
        add(&s->connections, key, COUNT, 1);
        add(&s->connections, key, BYTES_IN, line_number(a, "scope.io.read.bytes"));
        add(&s->connections, key, BYTES_OUT, line_number(a, "scope.io.write.bytes"));
        add(&s->connections, key, SECONDS, line_number(a, "scope.duration"));
    } else if (line_text(a, "error.type")) {
        char failure[640];
        snprintf(failure, sizeof(failure), "%s  connect  %s", line_text(a, "error.type"), key);
        add(&s->failures, failure, COUNT, 1);
    }
}

static void take_process(struct summary *s, const char *event, const json_t *a, const json_t *r)
{
    const char *key = process_key(r);
    if (!strcmp(event, "scope.process.exit")) {
        const json_t *own = json_object_get(a, "process.pid");
        if (own && json_number_value(own) != line_number(r, "process.pid"))
            return; /* what a parent learnt of a child */
        char text[64];
        snprintf(text, sizeof(text), "exit %.0f", line_number(a, "process.exit.code"));
        note(&s->processes, key, text);
    }
}

static void take_event(struct summary *s, const char *event, const json_t *a, const json_t *r)
{
    const char *path = line_text(a, "file.path");
    if (!strncmp(event, "scope.file.", 11) && path)
        take_file(s, event, a, path);
    else if (!strncmp(event, "scope.connection.", 17))
        take_connection(s, event, a);
    else if (!strncmp(event, "scope.process.", 14))
        take_process(s, event, a, r);
    else if (!strcmp(event, "scope.name.lookup")) {
        const char *name = line_text(a, "dns.question.name");
        name = name ? name : "?";
        add(&s->names, name, COUNT, 1);
        add(&s->names, name, SECONDS, line_number(a, "scope.duration"));
        add(&s->names, name, FAILED, line_text(a, "error.type") ? 1 : 0);
    }
}

static void take_log(struct summary *s, const json_t *line, const json_t *a)
{
    const char *stream = line_text(a, "log.file.path");
    if (!stream)
        stream = line_text(a, "log.iostream");
    if (!stream)
        stream = "syslog";
    const json_t *body = json_object_get(line, "body");
    double severity = line_number(line, "severity_number");
    add(&s->logs, stream, COUNT, 1);
    add(&s->logs, stream, BYTES_IN, (double)json_string_length(body));
    add(&s->logs, stream, EXTRA, severity >= 13 && severity < 17);
    add(&s->logs, stream, FAILED, severity >= 17);
}

static void take_metric(struct summary *s, const char *name, const json_t *line, const json_t *a,
                        const json_t *r)
{
    const json_t *value = json_object_get(line, "value");
    const char *operation = line_text(a, "scope.operation");
    double number = json_number_value(value);

    if (strstr(name, ".operation.duration") && operation) {
        char key[128];
        const char *kind = line_text(a, "scope.descriptor.kind");
        if (kind && strcmp(kind, "none"))
            snprintf(key, sizeof(key), "%s (%s)", operation, kind);
        else
            snprintf(key, sizeof(key), "%s", operation);
        struct tally_row *row = tally_row(&s->calls, key);
        if (row) {
            row->value[COUNT] += line_number(value, "count");
            row->value[SECONDS] += line_number(value, "sum");
            row->value[MOST] = fmax(row->value[MOST], line_number(value, "max"));
        }
        add(&s->processes, process_key(r), COUNT, line_number(value, "count"));
    } else if (strstr(name, ".operation.errors") && operation) {
        char key[192];
        const char *type = line_text(a, "error.type");
        snprintf(key, sizeof(key), "%s  %s", type ? type : "?", operation);
        add(&s->errors, key, COUNT, number);
    } else if (!strcmp(name, "scope.dropped")) {
        const char *cause = line_text(a, "scope.drop.cause");
        add(&s->drops, cause ? cause : "?", COUNT, number);
    } else if (!strcmp(name, "process.cpu.time")) {
        add(&s->processes, process_key(r), SECONDS, number);
    } else if (!strcmp(name, "process.memory.usage")) {
        struct tally_row *row = tally_row(&s->processes, process_key(r));
        if (row)
            row->value[MOST] = fmax(row->value[MOST], number);
    } else if (!strcmp(name, "scope.file.io") || !strcmp(name, "scope.socket.io")) {
        const char *way = line_text(a, "scope.io.direction");
        if (!way)
            way = line_text(a, "network.io.direction");
        bool in = way && (!strcmp(way, "read") || !strcmp(way, "receive"));
        add(&s->processes, process_key(r), in ? BYTES_IN : BYTES_OUT, number);
    }
}

static void take_line(void *context, json_t *line, const char *text)
{
    (void)text;
    struct summary *s = context;
    const char *signal = line_text(line, "signal"), *name = line_text(line, "name");
    const json_t *a = line_object(line, "attributes"), *r = line_object(line, "resource");
    double time = line_number(line, "time");

    s->lines++;
    if (time > 0) {
        s->first = s->first > 0 ? fmin(s->first, time) : time;
        s->last = fmax(s->last, time);
    }
    tally_row(&s->processes, process_key(r));
    if (!signal)
        return;
    if (!strcmp(signal, "metric") && name)
        take_metric(s, name, line, a, r);
    else if (!strcmp(signal, "log") && name && *name)
        take_event(s, name, a, r);
    else if (!strcmp(signal, "log"))
        take_log(s, line, a);
}

static void show(struct summary *s, const char *path, size_t bad, size_t most)
{
    bool colour = terminal_colour();
    char count[32], span[32];
    FILE *out = stdout;

    terminal_text(out, path, strlen(path), INT_MAX);
    fprintf(out, ": %zu process%s in %s, %s lines", s->processes.count,
            s->processes.count == 1 ? "" : "es", table_seconds(span, s->last - s->first),
            table_count(count, (double)s->lines));
    fprintf(out, bad ? ", %zu of them unreadable\n" : "\n", bad);

#define COLUMNS(...)                            \
    (const struct table_column[]){__VA_ARGS__}, \
        sizeof((const struct table_column[]){__VA_ARGS__}) / sizeof(struct table_column)
    tally_sort(&s->processes, COUNT);
    table_print(out, colour, "Processes", "process and pid",
                COLUMNS({"calls", CELL_COUNT, COUNT}, {"read", CELL_BYTES, BYTES_IN},
                        {"written", CELL_BYTES, BYTES_OUT}, {"CPU", CELL_SECONDS, SECONDS},
                        {"memory", CELL_BYTES, MOST}),
                &s->processes, most);
    tally_sort(&s->files, SECONDS);
    table_print(out, colour, "Busiest files", "path",
                COLUMNS({"opened", CELL_COUNT, COUNT}, {"read", CELL_BYTES, BYTES_IN},
                        {"written", CELL_BYTES, BYTES_OUT},
                        {"time in calls", CELL_SECONDS, SECONDS}),
                &s->files, most);
    tally_sort(&s->connections, COUNT);
    table_print(out, colour, "Connections", "peer",
                COLUMNS({"count", CELL_COUNT, COUNT}, {"received", CELL_BYTES, BYTES_IN},
                        {"sent", CELL_BYTES, BYTES_OUT}, {"time open", CELL_SECONDS, SECONDS}),
                &s->connections, most);
    tally_sort(&s->names, COUNT);
    table_print(out, colour, "Names looked up", "name",
                COLUMNS({"lookups", CELL_COUNT, COUNT}, {"failed", CELL_COUNT, FAILED},
                        {"time", CELL_SECONDS, SECONDS}),
                &s->names, most);
    tally_sort(&s->failures, COUNT);
    table_print(out, colour, "What failed", "error, operation, where",
                COLUMNS({"times", CELL_COUNT, COUNT}), &s->failures, most);
    tally_sort(&s->errors, COUNT);
    table_print(out, colour, "Errors by operation", "error, operation",
                COLUMNS({"times", CELL_COUNT, COUNT}), &s->errors, most);
    tally_sort(&s->calls, MOST);
    table_print(out, colour, "Slowest calls", "operation",
                COLUMNS({"slowest", CELL_SECONDS, MOST}, {"calls", CELL_COUNT, COUNT},
                        {"time in all", CELL_SECONDS, SECONDS}),
                &s->calls, most);
    tally_sort(&s->logs, COUNT);
    table_print(out, colour, "Logs", "stream",
                COLUMNS({"lines", CELL_COUNT, COUNT}, {"size", CELL_BYTES, BYTES_IN},
                        {"warnings", CELL_COUNT, EXTRA}, {"errors", CELL_COUNT, FAILED}),
                &s->logs, most);
    tally_sort(&s->drops, COUNT);
    if (s->drops.count)
        table_print(out, colour, "Dropped (docs/operations.md says what each cause means)", "cause",
                    COLUMNS({"count", CELL_COUNT, COUNT}), &s->drops, most);
    else
        fputs("\nNothing was dropped.\n", out);
#undef COLUMNS
}

static void usage(FILE *out)
{
    fputs(
        "usage: scope summary [--rows N] [DIR|FILE|-]\n"
        "Shows what a recording of `scope run`, or any NDJSON file of ours, says happened.\n"
        "Without an argument: the newest recording. Plain text in a pipe, colour on a terminal.\n",
        out);
}

int cli_summary(int argc, char **argv)
{
    static const struct option options[] = {
        {"rows", required_argument, NULL, 'n'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct summary s = {0};
    char newest[PATH_MAX];
    const char *path = newest;
    size_t bad = 0, most = 10;
    int option, e;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":n:h", options, NULL)) != -1) {
        char *end;
        switch (option) {
        case 'n':
            most = strtoul(optarg, &end, 10);
            if (*end || !most) {
                fprintf(stderr, "scope summary: --rows takes a number from 1, not '%s'\n", optarg);
                return 2;
            }
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            fprintf(stderr, "scope summary: %s: %s\n", argv[optind - 1],
                    option == ':' ? "a value is missing" : "no such option");
            usage(stderr);
            return 2;
        }
    }
    if (argc - optind > 1) {
        usage(stderr);
        return 2;
    }
    if (optind < argc)
        path = argv[optind];
    else if ((e = recording_newest(newest, sizeof(newest)))) {
        fprintf(stderr,
                "scope summary: there is no recording yet: `scope run -- COMMAND` makes one\n");
        return 1;
    }
    e = recording_read(path, take_line, &s, &bad);
    if (e) {
        bool empty = e == -ENOENT && access(path, F_OK) == 0;
        fprintf(stderr, "scope summary: %s: %s\n", path,
                empty ? "nothing was recorded there (it has no telemetry.ndjson)" : strerror(-e));
        return 1;
    }
    if (bad && !s.lines) {
        fprintf(stderr, "scope summary: %s: not NDJSON\n", path);
        return 1;
    }
    show(&s, path, bad, most);
    struct tally *all[] = {&s.processes, &s.files, &s.connections, &s.names,   &s.errors,
                           &s.calls,     &s.logs,  &s.drops,       &s.failures};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        tally_free(all[i]);
    return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
