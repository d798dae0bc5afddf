/*
 * What the subcommands need to know of a terminal: its width, whether it takes colour, and text
 * that strangers wrote in a form that it can take no harm from.
 *
 * One thread; the first call of terminal_next sets this thread's character type locale to UTF-8.
 */
#ifndef SCOPE_CLI_TERMINAL_H
#define SCOPE_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* $COLUMNS, or the terminal's columns, or 80 where standard output is none. 40 to 1000. */
int terminal_width(void);
/* Standard output is a terminal that takes colour, and NO_COLOR is not set. */
bool terminal_colour(void);

/* A character of a text, as it may be printed. */
struct terminal_piece {
    const char *data;
    size_t length;
    int columns; /* 0 (a combining mark), 1 or 2 */
};

/*
 * The character at p (p < end), and how many bytes of the text it was. What could steer a terminal
 * (control characters, C1 and DEL among them, marks that turn the direction of writing, characters
 * that show nothing) and each byte that is no UTF-8 becomes "?".
 */
size_t terminal_next(const char *p, const char *end, struct terminal_piece *piece);

/* The columns that the text takes. */
int terminal_columns(const char *text, size_t length);
/* Writes the text, its end cut off to fit `width` columns ("..." says so). The columns written. */
int terminal_text(FILE *out, const char *text, size_t length, int width);

#endif
