/*
 * Tables for a person: rows keyed by a string, sums by column, the busiest first, aligned columns,
 * sizes and durations in readable units. Colour only where the caller found a terminal.
 */
#ifndef SCOPE_CLI_TABLE_H
#define SCOPE_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TALLY_COLUMNS = 8 };

struct tally_row {
    char *key;
    char *note; /* free text, owned; may be NULL */
    double value[TALLY_COLUMNS];
};

/* Rows by key. Zero-initialised is empty. */
struct tally {
    struct tally_row *rows;
    size_t count, room;
    size_t *index; /* open addressing: row + 1 */
    size_t index_room;
};

/* The row of this key, made if it is not there; NULL only without memory. Valid until the next
 * call. */
struct tally_row *tally_row(struct tally *tally, const char *key);
/* Orders rows by a column, greatest first; equal ones by key. */
void tally_sort(struct tally *tally, unsigned column);
void tally_free(struct tally *tally);

enum cell_type { CELL_COUNT, CELL_BYTES, CELL_SECONDS };

struct table_column {
    const char *title;
    enum cell_type type;
    unsigned value; /* which of the row's values */
};

/* Prints at most `most` rows under a heading; says how many more there are. Nothing when empty. */
void table_print(FILE *out, bool colour, const char *heading, const char *key_title,
                 const struct table_column *columns, size_t count, const struct tally *tally,
                 size_t most);
void table_heading(FILE *out, bool colour, const char *heading);

/* "12.3 KiB", "4.56 ms", "1,234": into a buffer of at least 32 bytes; returned. */
char *table_bytes(char *out, double bytes);
char *table_seconds(char *out, double seconds);
char *table_count(char *out, double count);

/* Writes text for a terminal (terminal.h says how it is made harmless): at most `width` columns,
 * cut in front. */
void table_text(FILE *out, const char *text, int width);

#endif
