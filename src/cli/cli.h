/*
 * cli: the scope command. One function for each subcommand; each takes the arguments behind its name
 * (argv[0] is the subcommand) and returns the exit status. Runs in its own process: stdio, malloc and
 * exit are its own. Errors go to standard error with the subcommand's name in front.
 */
#ifndef SCOPE_CLI_CLI_H
#define SCOPE_CLI_CLI_H

#include <stddef.h>

int cli_run(int argc, char **argv);
int cli_config(int argc, char **argv);
int cli_summary(int argc, char **argv);
int cli_trace(int argc, char **argv);
int cli_doctor(int argc, char **argv);

#endif
