/*
 * Fuzzes the environment: the input is NUL-separated variables; a first byte of '=' puts the rest
 * behind OTEL_RESOURCE_ATTRIBUTES, one of ':' (taken for '=') behind OTEL_EXPORTER_OTLP_HEADERS.
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char attributes[] = "OTEL_RESOURCE_ATTRIBUTES";
    static const char headers[] = "OTEL_EXPORTER_OTLP_HEADERS";
    char *variables[VARIABLES + 2], *printed = NULL;
    size_t count = 0, length;
    bool is_headers = size && data[0] == ':';
    const char *name = is_headers ? headers : size && data[0] == '=' ? attributes : "";
    size_t prefix = strlen(name);
    char *text = malloc(prefix + size + 1);
    memcpy(text, name, prefix);
    memcpy(text + prefix, data, size);
    if (is_headers)
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
