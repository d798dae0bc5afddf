/*
 * Writes values as YAML that reads back to the same values.
 */
#include "conf/write.h"

#include <string.h>

enum { COLUMNS = 100, ITEM_SIZE = 400 };

const char *option_leaf(const struct option *o)
{
    const char *dot = strrchr(o->key, '.');
    return dot ? dot + 1 : o->key;
}

int option_depth(const struct option *o)
{
    int depth = 0;
    for (const char *c = o->key; *c; c++)
        depth += *c == '.';
    return depth;
}

static const void *member(const struct conf *conf, const struct option *o)
{
    return (const char *)conf + o->offset;
}

const struct conf_pairs *write_pairs_of(const struct conf *conf, const struct option *o)
{
    return member(conf, o);
}

/* Whether it may stand without quotes, also inside [] and {}. */
static bool is_simple(const char *text)
{
    static const char inside[] = "._-/+@=";
    if (!text[0] || value_same(text, "null"))
        return false;
    for (const char *c = text; *c; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '/';
        bool rest = (*c >= '0' && *c <= '9') || strchr(inside, *c);
        if (!letter && !(rest && c > text))
            return false;
    }
    return true;
}

/* What YAML takes for a line break or refuses, though it is good UTF-8; *code: the character. */
static bool needs_escape(const unsigned char *c, unsigned *code)
{
    if (c[0] < 0x20 || c[0] == 0x7f) {
        *code = c[0];
        return true;
    }
    if (c[0] == 0xc2 && c[1] < 0xa0) {
        *code = c[1];
        return true;
    }
    if (c[0] < 0xe0 || c[0] >= 0xf0)
        return false;
    *code = (c[0] & 0xfu) << 12 | (c[1] & 0x3fu) << 6 | (c[2] & 0x3fu);
    return *code == 0x2028 || *code == 0x2029 || *code == 0xfeff || *code >= 0xfffe;
}

static void write_quoted(FILE *out, const char *text, char doubled)
{
    bool utf8 = value_is_utf8(text);
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        unsigned code;
        if (*c == '"' || *c == '\\') {
            fprintf(out, "\\%c", *c);
        } else if (!utf8 && *c >= 0x80) {
            fprintf(out, "\\x%02X", *c);
        } else if (needs_escape(c, &code)) {
            fprintf(out, "\\u%04X", code);
            c += code < 0x80 ? 0 : code < 0x800 ? 1 : 2;
        } else {
            fputc(*c, out);
            if (*c == doubled)
                fputc(*c, out);
        }
    }
    fputc('"', out);
}

void write_text(FILE *out, const char *text)
{
    if (is_simple(text))
        fputs(text, out);
    else
        write_quoted(out, text, 0);
}

void write_pair_value(FILE *out, const char *text)
{
    if (is_simple(text))
        fputs(text, out);
    else
        write_quoted(out, text, '$');
}

static void write_number(FILE *out, const struct option *o, uint64_t value)
{
    char text[32];
    if (o->type == OPTION_DURATION)
        value_format_duration(value, text);
    else if (o->type == OPTION_SIZE || o->type == OPTION_SIZE32)
        value_format_size(value, text);
    else
        snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    fputs(text, out);
}

static void write_choice(FILE *out, const struct option *o, unsigned value)
{
    const char *name = o->names;
    while (value-- && strchr(name, '|'))
        name = strchr(name, '|') + 1;
    fprintf(out, "%.*s", (int)strcspn(name, "|"), name);
}

static void write_match(FILE *out, const struct conf_match *m)
{
    const struct {
        const char *name, *value;
    } parts[] = {{"executable", m->executable}, {"argument", m->argument}, {"user", m->user}};
    const char *comma = "";
    /* A glob alone, unless it would read as something else. */
    if (m->executable && !m->argument && !m->user && !strchr(m->executable, '=') &&
        m->executable[0] != '+') {
        write_text(out, m->executable);
        return;
    }
    fputc('{', out);
    for (size_t i = 0; i < 3; i++) {
        if (!parts[i].value)
            continue;
        fprintf(out, "%s%s: ", comma, parts[i].name);
        write_text(out, parts[i].value);
        comma = ", ";
    }
    fputc('}', out);
}

static size_t item_count(const struct conf *conf, const struct option *o)
{
    if (o->type == OPTION_MATCHES)
        return *(const size_t *)(const void *)((const char *)conf + o->count_offset);
    if (o->type == OPTION_PAIRS)
        return write_pairs_of(conf, o)->count;
    return ((const struct conf_list *)member(conf, o))->count;
}

static void write_item(FILE *out, const struct conf *conf, const struct option *o, size_t i)
{
    if (o->type == OPTION_MATCHES) {
        write_match(out, &(*(struct conf_match *const *)member(conf, o))[i]);
    } else if (o->type == OPTION_PAIRS) {
        write_text(out, write_pairs_of(conf, o)->items[i].key);
        fputs(": ", out);
        write_pair_value(out, write_pairs_of(conf, o)->items[i].value);
    } else {
        write_text(out, ((const struct conf_list *)member(conf, o))->items[i]);
    }
}

static void write_scalar(FILE *out, const struct conf *conf, const struct option *o)
{
    const void *at = member(conf, o);
    switch (o->type) {
    case OPTION_BOOL:
        fputs(*(const bool *)at ? "true" : "false", out);
        break;
    case OPTION_CHOICE:
        write_choice(out, o, *(const unsigned *)at);
        break;
    case OPTION_RATIO: {
        char text[16];
        size_t n = (size_t)snprintf(text, sizeof(text), "%.9f", *(const double *)at);
        while (text[n - 1] == '0')
            text[--n] = 0;
        if (text[n - 1] == '.')
            text[n - 1] = 0;
        fputs(text, out);
        break;
    }
    case OPTION_LIMIT: {
        const struct conf_limit *limit = at;
        if (limit->limited)
            write_number(out, o, limit->most);
        else
            fputs("none", out);
        break;
    }
    case OPTION_COUNT:
        write_number(out, o, *(const uint32_t *)at);
        break;
    case OPTION_SIZE:
    case OPTION_SIZE32:
    case OPTION_DURATION:
        write_number(out, o,
                     o->type == OPTION_SIZE32 ? *(const uint32_t *)at : *(const uint64_t *)at);
        break;
    default: {
        const char *text = *(char *const *)at ? *(char *const *)at : "";
        write_text(out, o->secret && *text ? "***" : text);
        break;
    }
    }
}

void write_value_wrapped(FILE *out, const struct conf *conf, const struct option *o,
                         const char *first, const char *start)
{
    if (o->type == OPTION_CUSTOM || o->type < OPTION_LIST) {
        fputs(first, out);
        if (o->type == OPTION_CUSTOM)
            fputs("[]", out);
        else
            write_scalar(out, conf, o);
        return;
    }
    size_t count = item_count(conf, o), column = strlen(first) + 1;
    fprintf(out, "%s%c", first, o->type == OPTION_PAIRS ? '{' : '[');
    for (size_t i = 0; i < count; i++) {
        char item[ITEM_SIZE] = "";
        FILE *memory = start ? fmemopen(item, sizeof(item) - 1, "w") : NULL;
        if (memory) {
            write_item(memory, conf, o, i);
            fclose(memory);
        }
        if (start && i && column + strlen(item) + 3 > COLUMNS) {
            fprintf(out, ",\n%s", start);
            column = strlen(start);
        } else if (i) {
            fputs(", ", out);
            column += 2;
        }
        write_item(out, conf, o, i);
        column += strlen(item);
    }
    fputc(o->type == OPTION_PAIRS ? '}' : ']', out);
}

void write_value(FILE *out, const struct conf *conf, const struct option *o)
{
    write_value_wrapped(out, conf, o, "", NULL);
}
