/*
 * scope config: shows the configuration in force, checks a file, writes the example and the
 * reference.
 */
#include "cli/cli.h"
#include "conf/conf.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static const char usage[] =
    "usage: scope config [--config FILE] [--set KEY=VALUE]... [--for EXECUTABLE [ARGUMENT]...]\n"
    "       scope config check FILE\n"
    "       scope config example\n"
    "       scope config reference\n"
    "\n"
    "Without a word: every value in force here, and where it comes from; with --for, as that\n"
    "program would have it. check: prints FILE:LINE:COLUMN: what is wrong, exits 1 if anything "
    "is.\n"
    "example: a scope.yml with every default. reference: docs/configuration.md.\n";

static void print_trouble(void *context, const struct conf_trouble *t)
{
    FILE *out = context;
    if (t->line)
        fprintf(out, "%s:%u:%u: %s\n", t->origin, t->line, t->column, t->text);
    else
        fprintf(out, "%s: %s\n", t->origin, t->text);
}

static void tell_trouble(void *context, const struct conf_trouble *t)
{
    fputs("scope config: ", context);
    print_trouble(context, t);
}

static int check(int argc, char **argv)
{
    if (argc != 2) {
        fputs("scope config check: one FILE is wanted\n", stderr);
        return 2;
    }
    int r = conf_check(argv[1], print_trouble, stdout);
    if (r >= 0)
        return r ? 1 : 0;
    fprintf(stderr, "scope config check: %s: %s\n", argv[1],
            r == -EFBIG   ? "larger than 1 MiB"
            : r == -ENXIO ? "not a regular file"
                          : strerror(-r));
    return 2;
}

static int written(int r)
{
    if (r == 0 && fflush(stdout) != 0)
        r = -errno;
    if (r == 0)
        return 0;
    fprintf(stderr, "scope config: %s\n", strerror(-r));
    return 1;
}

static int show(const struct conf_input *input)
{
    struct conf *conf = conf_load(input, tell_trouble, stderr);
    if (!conf)
        return written(-ENOMEM);
    int r = conf_print(conf, stdout);
    if (r == 0 && input->executable)
        printf("# %s is %s\n", input->executable,
               conf_observes(conf, input) ? "watched" : "left alone");
    conf_free(conf);
    return written(r);
}

int cli_config(int argc, char **argv)
{
    struct passwd *user = getpwuid(geteuid());
    char **sets = calloc((size_t)argc + 1, sizeof(*sets));
    struct conf_input input = {
        .environ = environ, .sets = sets, .user = user ? user->pw_name : NULL, .uid = geteuid()};
    size_t set_count = 0;
    int i = 1, status = 2;
    if (!sets)
        return 1;
    for (; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--config") == 0 && more) {
            input.file = argv[++i];
        } else if (strcmp(argv[i], "--set") == 0 && more) {
            sets[set_count++] = argv[++i];
        } else if (strncmp(argv[i], "--config=", 9) == 0) {
            input.file = argv[i] + 9;
        } else if (strncmp(argv[i], "--set=", 6) == 0) {
            sets[set_count++] = argv[i] + 6;
        } else if (strcmp(argv[i], "--for") == 0 && more) {
            input.executable = argv[i + 1];
            input.arguments = argv + i + 1;
            i = argc;
        } else {
            break;
        }
    }
    if (i >= argc) {
        status = show(&input);
    } else if (strcmp(argv[i], "check") == 0) {
        status = check(argc - i, argv + i);
    } else if (strcmp(argv[i], "example") == 0 && i + 1 == argc) {
        status = written(conf_write_example(stdout));
    } else if (strcmp(argv[i], "reference") == 0 && i + 1 == argc) {
        status = written(conf_write_reference(stdout));
    } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
        fputs(usage, stdout);
        status = 0;
    } else {
        fputs(usage, stderr);
    }
    free(sets);
    return status;
}
