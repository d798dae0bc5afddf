/* Terminals: width, colour, and text of strangers made harmless. */
#include "cli/terminal.h"

#include <locale.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "ndjson/json.h"

enum { NARROWEST = 40, USUAL = 80, WIDEST = 1000, MARKS_MAX = 2 };

int terminal_width(void)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size;
    long width = columns ? strtol(columns, NULL, 10) : 0;

    if (width <= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        width = size.ws_col;
    if (width <= 0)
        width = USUAL;
    return width < NARROWEST ? NARROWEST : width > WIDEST ? WIDEST : (int)width;
}

bool terminal_colour(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && !(no && *no) && !(term && !strcmp(term, "dumb"));
}

/* ------------------------------------------------------------------ text */

static wchar_t decode(const char *p, size_t length)
{
    static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned c = (unsigned char)*p & lead[length];

    for (size_t i = 1; i < length; i++)
        c = c << 6 | ((unsigned char)p[i] & 0x3f);
    return (wchar_t)c;
}

/* Characters that wcwidth lets pass and that show nothing, or change what is around them. */
static bool is_hidden(unsigned c)
{
    return c == 0xad || c == 0x61c || c == 0x180e || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
           (c >= 0xfff0 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

static int columns_of(wchar_t c)
{
    static bool ready, known;

    if (!ready) {
        locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
        known = utf8 && uselocale(utf8);
        ready = true;
    }
    if (c < 0x20 || (c >= 0x7f && c < 0xa0) || is_hidden((unsigned)c))
        return -1;
    return c < 0x7f || !known ? 1 : wcwidth(c);
}

size_t terminal_next(const char *p, const char *end, struct terminal_piece *piece)
{
    size_t length = json_sequence(p, end);
    int columns = length ? columns_of(decode(p, length)) : -1;

    *piece = columns < 0 ? (struct terminal_piece){"?", 1, 1}
                         : (struct terminal_piece){p, length, columns};
    return length ? length : 1;
}

int terminal_columns(const char *text, size_t length)
{
    struct terminal_piece piece;
    int columns = 0;

    for (const char *p = text, *end = text + length; p < end;) {
        p += terminal_next(p, end, &piece);
        columns += piece.columns;
    }
    return columns;
}

int terminal_text(FILE *out, const char *text, size_t length, int width)
{
    bool fits = terminal_columns(text, length) <= width;
    int room = fits ? width : width - 3, used = 0, marks = 0;
    struct terminal_piece piece;

    for (const char *p = text, *end = text + length; p < end;) {
        p += terminal_next(p, end, &piece);
        if (used + piece.columns > room)
            break;
        /* A pile of marks would grow into the lines above. */
        marks = piece.columns ? 0 : marks + 1;
        if (marks > MARKS_MAX)
            continue;
        fwrite(piece.data, 1, piece.length, out);
        used += piece.columns;
    }
    for (int dots = 0; !fits && dots < 3 && used < width; dots++, used++)
        fputc('.', out);
    return used;
}
