/*
 * Fuzzes the environment: the input is NUL-separated variables; a first byte of '=' puts the rest
 * behind OTEL_RESOURCE_ATTRIBUTES.
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
    char *variables[VARIABLES + 2], *printed = NULL;
    size_t count = 0, length;
    size_t prefix = size && data[0] == '=' ? sizeof(attributes) - 1 : 0;
    char *text = malloc(prefix + size + 1);
    memcpy(text, attributes, prefix);
    memcpy(text + prefix, data, size);
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
