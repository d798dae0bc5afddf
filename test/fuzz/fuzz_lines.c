/*
 * The line cutter: whatever the split of a stream, the same entries come out, and with continuation
 * off every kept byte of every line is there. Severity is looked for in each.
 *
 * Input: line_max, a seed of splits, then the stream.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "report/fold_lines.h"
#include "report/fold_severity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct out {
    char *data;
    size_t length, room;
    uint64_t lines, cut, binary;
    size_t line_max;
};

static void add(struct out *o, const char *data, size_t length)
{
    if (o->length + length > o->room) {
        o->room = (o->length + length) * 2 + 64;
        o->data = realloc(o->data, o->room);
    }
    if (length)
        memcpy(o->data + o->length, data, length);
    o->length += length;
}

static void on_entry(void *context, const struct line_entry *e)
{
    struct out *o = context;
    struct text word;
    uint8_t n = severity_of_line(e->body, &word);
    if (e->body.length > o->line_max || !e->lines || n > 24 || (n && !word.length))
        abort();
    add(o, "\1", 1);
    add(o, e->body.data, e->body.length);
    o->lines += e->lines;
    o->cut += e->cut;
}

static void on_binary(void *context, uint64_t lines)
{
    struct out *o = context;
    add(o, "\2", 1);
    o->binary += lines;
}

/* seed 0: all at once */
static struct out run(const char *data, size_t size, size_t line_max, bool continuation,
                      uint32_t seed)
{
    struct out out = {.line_max = line_max};
    struct lines l;
    struct lines_options o = {line_max, continuation};
    struct lines_sink sink = {on_entry, on_binary, &out};
    struct line_origin origin = {.unix_nano = 1, .mono_nano = 1, .tid = 1};
    lines_init(&l);
    while (size) {
        size_t n = size;
        if (seed) {
            seed = (seed * 1664525u + 1013904223u) | 1;
            n = seed >> 16 & 1 ? 1 + (seed >> 24) % 7 : 1 + (seed >> 20) % 300;
        }
        if (n > size)
            n = size;
        /* a copy of its own, so that a read beyond it is seen */
        char *part = malloc(n);
        memcpy(part, data, n);
        if (!lines_put(&l, &o, part, n, &origin, &sink))
            abort();
        free(part);
        data += n;
        size -= n;
    }
    lines_flush(&l, &o, &sink);
    if (lines_pending(&l))
        abort();
    lines_clear(&l);
    return out;
}

static void same(const struct out *a, const struct out *b)
{
    if (a->length != b->length || (a->length && memcmp(a->data, b->data, a->length)) ||
        a->lines != b->lines || a->cut != b->cut || a->binary != b->binary)
        abort();
}

static bool is_blank(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (line[i] != ' ' && line[i] != '\t')
            return false;
    return true;
}

/*
 * Without continuation, said another way: each line that is not binary, without its CR, cut at
 * line_max (not inside a UTF-8 sequence), is there unless it is blank.
 */
static void against_model(const char *data, size_t size, const struct out *got)
{
    struct out model = {.line_max = got->line_max};
    for (size_t at = 0; at < size;) {
        const char *line = data + at;
        const char *end = memchr(line, '\n', size - at);
        size_t length = end ? (size_t)(end - line) : size - at;
        at += length + 1;
        if (length && memchr(line, 0, length)) {
            add(&model, "\2", 1);
            model.binary++;
            continue;
        }
        bool cut = false;
        if (length && length <= model.line_max + 1 && line[length - 1] == '\r')
            length--;
        if (length > model.line_max) {
            cut = true;
            length = model.line_max;
            size_t back = length;
            while (back && length - back < 3 && (line[back] & 0xc0) == 0x80)
                back--;
            if (back && (line[back] & 0xc0) != 0x80)
                length = back;
        }
        if (is_blank(line, length))
            continue;
        add(&model, "\1", 1);
        add(&model, line, length);
        model.lines++;
        model.cut += cut;
    }
    same(&model, got);
    free(model.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    size_t line_max = 1 + data[0] * 4u;
    uint32_t seed = 1u + data[1] + 256u * data[2];
    const char *text = (const char *)data + 3;
    size -= 3;
    for (int continuation = 0; continuation < 2; continuation++) {
        struct out whole = run(text, size, line_max, continuation, 0);
        struct out split = run(text, size, line_max, continuation, seed);
        same(&whole, &split);
        if (!continuation)
            against_model(text, size, &whole);
        free(whole.data);
        free(split.data);
    }
    return 0;
}
