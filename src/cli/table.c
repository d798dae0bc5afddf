/* Tallies by key and prints them as aligned tables. */
#include "cli/table.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/terminal.h"

static size_t hash_text(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 0x100000001b3u;
    return (size_t)(h ^ h >> 29);
}

static bool index_grow(struct tally *t)
{
    size_t room = t->index_room ? t->index_room * 2 : 64;
    size_t *index = calloc(room, sizeof(*index));
    if (!index)
        return false;
    for (size_t i = 0; i < t->count; i++) {
        size_t at = hash_text(t->rows[i].key) & (room - 1);
        while (index[at])
            at = (at + 1) & (room - 1);
        index[at] = i + 1;
    }
    free(t->index);
    t->index = index;
    t->index_room = room;
    return true;
}

struct tally_row *tally_row(struct tally *t, const char *key)
{
    if (t->count * 2 >= t->index_room && !index_grow(t))
        return NULL;
    size_t at = hash_text(key) & (t->index_room - 1);
    for (; t->index[at]; at = (at + 1) & (t->index_room - 1))
        if (!strcmp(t->rows[t->index[at] - 1].key, key))
            return &t->rows[t->index[at] - 1];
    if (t->count == t->room) {
        size_t room = t->room ? t->room * 2 : 32;
        struct tally_row *rows = realloc(t->rows, room * sizeof(*rows));
        if (!rows)
            return NULL;
        t->rows = rows;
        t->room = room;
    }
    struct tally_row *row = &t->rows[t->count];
    memset(row, 0, sizeof(*row));
    row->key = strdup(key);
    if (!row->key)
        return NULL;
    t->index[at] = ++t->count;
    return row;
}

static unsigned sort_column;

static int by_column(const void *a, const void *b)
{
    const struct tally_row *x = a, *y = b;
    double p = x->value[sort_column], q = y->value[sort_column];
    return p < q ? 1 : p > q ? -1 : strcmp(x->key, y->key);
}

void tally_sort(struct tally *t, unsigned column)
{
    sort_column = column;
    if (t->count)
        qsort(t->rows, t->count, sizeof(*t->rows), by_column);
    memset(t->index, 0, t->index_room * sizeof(*t->index));
    for (size_t i = 0; i < t->count; i++) {
        size_t at = hash_text(t->rows[i].key) & (t->index_room - 1);
        while (t->index[at])
            at = (at + 1) & (t->index_room - 1);
        t->index[at] = i + 1;
    }
}

void tally_free(struct tally *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->rows[i].key);
        free(t->rows[i].note);
    }
    free(t->rows);
    free(t->index);
    memset(t, 0, sizeof(*t));
}

char *table_bytes(char *out, double bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    unsigned u = 0;
    for (; fabs(bytes) >= 1024 && u < 5; u++)
        bytes /= 1024;
    snprintf(out, 32, u ? "%.1f %s" : "%.0f %s", bytes, unit[u]);
    return out;
}

char *table_seconds(char *out, double s)
{
    if (s <= 0)
        snprintf(out, 32, "-");
    else if (s < 1e-3)
        snprintf(out, 32, "%.3g us", s * 1e6);
    else if (s < 1)
        snprintf(out, 32, "%.3g ms", s * 1e3);
    else if (s < 1000)
        snprintf(out, 32, "%.3g s", s);
    else
        snprintf(out, 32, "%.0f s", s);
    return out;
}

char *table_count(char *out, double count)
{
    char digits[32];
    int n = snprintf(digits, sizeof(digits), "%.0f", count);
    char *to = out;
    for (int i = 0; i < n && to < out + 30; i++) {
        if (i && (n - i) % 3 == 0 && digits[i - 1] != '-')
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = 0;
    return out;
}

/* What stands before a path in a key, parted by two spaces (an error, an operation). */
static size_t before_path(const char *text, int width)
{
    size_t head = 0;
    for (const char *p = text; (p = strstr(p, "  ")) && p - text < width / 2; p++)
        head = (size_t)(p - text) + 2;
    return head;
}

void table_text(FILE *out, const char *text, int width)
{
    const char *end = text + strlen(text);
    struct terminal_piece piece;
    int length = terminal_columns(text, (size_t)(end - text));
    /* The end of a path says more than its beginning. */
    int skip = length > width ? length - width + 3 : 0;
    if (skip) {
        size_t head = before_path(text, width);
        terminal_text(out, text, head, width);
        text += head;
        fputs("...", out);
    }
    for (const char *p = text; p < end;) {
        p += terminal_next(p, end, &piece);
        if (skip > 0)
            skip -= piece.columns;
        else
            fwrite(piece.data, 1, piece.length, out);
    }
    for (; length < width; length++)
        fputc(' ', out);
}

void table_heading(FILE *out, bool colour, const char *heading)
{
    fprintf(out, colour ? "\n\033[1m%s\033[0m\n" : "\n%s\n", heading);
}

static const char *cell_format(char *out, enum cell_type type, double value)
{
    if (type == CELL_BYTES)
        return table_bytes(out, value);
    if (type == CELL_SECONDS)
        return table_seconds(out, value);
    return table_count(out, value);
}

void table_print(FILE *out, bool colour, const char *heading, const char *key_title,
                 const struct table_column *columns, size_t count, const struct tally *t,
                 size_t most)
{
    enum { KEY_MAX = 60 };
    char cell[32];
    if (!t->count)
        return;
    size_t shown = t->count < most ? t->count : most;
    int width = (int)strlen(key_title);
    int column[TALLY_COLUMNS];
    for (size_t i = 0; i < shown; i++) {
        int n = (int)strlen(t->rows[i].key);
        width = n > width ? n : width;
    }
    width = width > KEY_MAX ? KEY_MAX : width;
    for (size_t c = 0; c < count; c++) {
        column[c] = (int)strlen(columns[c].title);
        for (size_t i = 0; i < shown; i++) {
            double v = t->rows[i].value[columns[c].value];
            int n = (int)strlen(cell_format(cell, columns[c].type, v));
            column[c] = n > column[c] ? n : column[c];
        }
    }
    table_heading(out, colour, heading);
    fputs(colour ? "  \033[2m" : "  ", out);
    table_text(out, key_title, width);
    for (size_t c = 0; c < count; c++)
        fprintf(out, "  %*s", column[c], columns[c].title);
    fputs(colour ? "\033[0m\n" : "\n", out);
    for (size_t i = 0; i < shown; i++) {
        fputs("  ", out);
        table_text(out, t->rows[i].key, width);
        for (size_t c = 0; c < count; c++)
            fprintf(out, "  %*s", column[c],
                    cell_format(cell, columns[c].type, t->rows[i].value[columns[c].value]));
        if (t->rows[i].note) {
            fputs("  ", out);
            table_text(out, t->rows[i].note, 0 + (int)strlen(t->rows[i].note));
        }
        fputc('\n', out);
    }
    if (shown < t->count)
        fprintf(out, "  ... and %zu more\n", t->count - shown);
}
