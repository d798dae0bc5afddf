/*
 * Fuzzes the environment: the input is NUL-separated variables; a first byte (taken for '=') of '='
 * puts the rest behind OTEL_RESOURCE_ATTRIBUTES, of ':' behind OTEL_EXPORTER_OTLP_HEADERS, of ';'
 * behind OTEL_ENTITIES.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VARIABLES = 64 };

static void check(void *context, const struct conf_trouble *trouble)
{
    (void)context;
    if (!trouble->origin || !trouble->text[0] || strchr(trouble->text, '\n'))
        abort();
}

static void check_keys(const struct conf_list *keys, size_t least)
{
    if (keys->count < least)
        abort();
    for (size_t i = 0; i < keys->count; i++)
        if (!keys->items[i][0] || strpbrk(keys->items[i], "{}[]@;,= "))
            abort();
}

/* Each thing is there once. */
static void check_entities(const struct conf *conf)
{
    for (size_t i = 0; i < conf->entity_count; i++) {
        const struct conf_entity *e = &conf->entities[i];
        if (!e->type[0] || (e->schema_url && !strchr(e->schema_url, ':')))
            abort();
        check_keys(&e->id, 1);
        check_keys(&e->description, 0);
        for (size_t k = 0; k < i; k++)
            if (strcmp(conf->entities[k].type, e->type) == 0 &&
                strcmp(conf->entities[k].id.items[0], e->id.items[0]) == 0)
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char names[][32] = {"OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_HEADERS",
                                     "OTEL_ENTITIES"};
    static const char firsts[] = "=:;";
    char *variables[VARIABLES + 2], *printed = NULL;
    size_t count = 0, length;
    const char *first = size && data[0] ? strchr(firsts, data[0]) : NULL;
    const char *name = first ? names[first - firsts] : "";
    size_t prefix = strlen(name);
    char *text = malloc(prefix + size + 1);
    memcpy(text, name, prefix);
    memcpy(text + prefix, data, size);
    if (first)
        text[prefix] = '=';
    text[prefix + size] = 0;
    for (char *at = text; at < text + prefix + size && count < VARIABLES; at += strlen(at) + 1)
        variables[count++] = at;
    variables[count++] = (char *)"SCOPE_CONFIG=/dev/null"; /* nothing of this machine */
    variables[count] = NULL;
    if (!memmem(text, prefix + size, "SCOPE_CONFIG", 12) &&
        !memmem(text, prefix + size, "OTEL_CONFIG_FILE", 16)) {
        struct conf_input input = {.environ = variables, .executable = "/bin/x"};
        struct conf *conf = conf_load(&input, check, NULL);
        if (!conf)
            abort();
        for (size_t i = 0; i < conf->attributes.count; i++)
            if (!conf->attributes.items[i].key[0] || !conf->attributes.items[i].value[0])
                abort();
        check_entities(conf);
        const struct conf_pairs *all = &conf->otlp_all.headers;
        for (size_t i = 0; i < all->count; i++)
            if (!all->items[i].key[0] || strpbrk(all->items[i].key, " :\r\n") ||
                strpbrk(all->items[i].value, "\r\n"))
                abort();
        conf_observes(conf, &input);
        FILE *out = open_memstream(&printed, &length);
        conf_print(conf, out);
        fclose(out);
        free(printed);
        conf_free(conf);
    }
    free(text);
    return 0;
}
