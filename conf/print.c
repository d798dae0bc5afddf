/*
 * scope config: every value in force, and where it came from, as YAML that reads back.
 */
#include "conf/write.h"

#include <errno.h>
#include <string.h>

static void write_origin(FILE *out, struct origin o)
{
    char text[256];
    if (o.kind == ORIGIN_DEFAULT) {
        fputs("  # default\n", out);
        return;
    }
    /* A variable's or a file's name may hold anything but must not end the comment. */
    snprintf(text, sizeof(text), "%s", o.name ? o.name : "");
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    if (!value_is_utf8(text))
        for (char *c = text; *c; c++)
            *c = *c & 0x80 ? '?' : *c;
    fprintf(out, "  # %s", text);
    if (o.line)
        fprintf(out, ":%u:%u", o.line, o.column);
    if (o.custom)
        fprintf(out, ", item %u of custom", o.custom);
    fputc('\n', out);
}

static void print_pairs(const struct loaded *loaded, const struct option *o, int indent, FILE *out)
{
    const struct conf_pairs *pairs = write_pairs_of(&loaded->conf, o);
    const struct origin *origins = loaded->pair_origins[pairs_list(o)];
    if (!pairs->count) {
        fprintf(out, "%*s%s: {}", indent, "", option_leaf(o));
        write_origin(out, origin_get(loaded, o));
        return;
    }
    fprintf(out, "%*s%s:\n", indent, "", option_leaf(o));
    for (size_t i = 0; i < pairs->count; i++) {
        fprintf(out, "%*s", indent + 2, "");
        write_text(out, pairs->items[i].key);
        fputs(": ", out);
        if (o->secret)
            fputs("\"***\"", out);
        else
            write_pair_value(out, pairs->items[i].value);
        write_origin(out, origins[i]);
    }
}

int conf_print(const struct conf *conf, FILE *out)
{
    const struct loaded *loaded = conf->origins;
    fprintf(out, "# %s%s\n", conf->path ? "scope.yml: " : "no scope.yml was read",
            conf->path ? conf->path : "");
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        int indent = 2 * option_depth(o);
        if (o->type == OPTION_CUSTOM)
            continue; /* its values stand where they count */
        if (o->type == OPTION_SECTION) {
            fprintf(out, "%*s%s:\n", indent, "", option_leaf(o));
        } else if (o->type == OPTION_PAIRS) {
            print_pairs(loaded, o, indent, out);
        } else {
            fprintf(out, "%*s%s: ", indent, "", option_leaf(o));
            write_value(out, conf, o);
            write_origin(out, origin_get(loaded, o));
        }
    }
    return ferror(out) ? -EIO : 0;
}
