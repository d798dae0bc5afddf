/*
 * The scope command: hands over to the subcommand that was named.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static int cli_version(int argc, char **argv);
static int cli_help(int argc, char **argv);

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"run", cli_run, "run a command and record what it and its children do"},
    {"summary", cli_summary, "show what happened in a recording"},
    {"trace", cli_trace, "show the traces of a recording as waterfalls"},
    {"config", cli_config, "show, check or explain the configuration"},
    {"doctor", cli_doctor, "tell whether a process is observed, and if not, why"},
    {"version", cli_version, "show the version"},
    {"help", cli_help, "show this"},
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void print_help(FILE *out)
{
    fputs("usage: scope COMMAND [ARGUMENT]...\n\n", out);
    for (unsigned i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].help);
    fputs("\nscope COMMAND --help tells more about one of them.\n", out);
}

static int cli_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("scope " SCOPE_VERSION);
    return 0;
}

static int find(const char *name)
{
    for (unsigned i = 0; i < COMMANDS; i++) {
        if (!strcmp(commands[i].name, name))
            return (int)i;
    }
    return -1;
}

static int cli_help(int argc, char **argv)
{
    static char option[] = "--help";
    int i = argc > 1 ? find(argv[1]) : -1;

    if (i < 0 || commands[i].run == cli_help || commands[i].run == cli_version) {
        print_help(stdout);
        return 0;
    }
    char *arguments[] = {argv[1], option, NULL};
    return commands[i].run(2, arguments);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
        return cli_version(argc - 1, argv + 1);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return cli_help(1, argv);
    int i = find(argv[1]);
    if (i < 0) {
        fprintf(stderr, "scope: %s: no such command\n\n", argv[1]);
        print_help(stderr);
        return 2;
    }
    return commands[i].run(argc - 1, argv + 1);
}
