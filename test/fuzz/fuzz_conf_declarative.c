/*
 * Fuzzes OpenTelemetry's declarative file: any bytes behind a good head load; what is settled holds
 * together whatever they say; it prints, and what is printed holds no header's value.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/conf.h"
#include "transport/transport.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_trouble(void *context, const struct conf_trouble *trouble)
{
    (void)context;
    if (!trouble->origin || !trouble->text[0] || strchr(trouble->text, '\n'))
        abort();
}

static void check_signal(const struct conf_otlp *o)
{
    struct address address;
    if (o->to && (address_parse(o->to, &address, NULL) < 0 || strncmp(o->to, "http", 4) != 0))
        abort();
    if (o->to && (o->batch > o->queue && o->queue))
        abort();
    for (size_t i = 0; i < o->headers.count; i++)
        if (!o->headers.items[i].key[0] || strpbrk(o->headers.items[i].key, " :\r\n") ||
            strpbrk(o->headers.items[i].value, "\r\n"))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char head[] = "file_format: '1.0'\n";
    char variable[60], *printed = NULL;
    size_t length;
    int fd = memfd_create("declarative", 0);
    if (fd < 0 || write(fd, head, sizeof(head) - 1) != (ssize_t)sizeof(head) - 1 ||
        write(fd, data, size) != (ssize_t)size)
        abort();
    sprintf(variable, "OTEL_CONFIG_FILE=/proc/self/fd/%d", fd);
    char *environment[] = {variable, (char *)"KEY=value", (char *)"SCOPE_CONFIG=/dev/null", NULL};
    struct conf_input input = {.environ = environment, .executable = "/bin/x"};
    struct conf *conf = conf_load(&input, check_trouble, NULL);
    if (!conf || !(conf->sampler_ratio >= 0 && conf->sampler_ratio <= 1) ||
        conf->sampler > SAMPLER_PARENT_RATIO || conf->propagators.count > 4)
        abort();
    for (int i = 0; i < OTLP_SIGNALS; i++)
        check_signal(&conf->otlp[i]);
    FILE *out = open_memstream(&printed, &length);
    conf_print(conf, out);
    fclose(out);
    free(printed);
    conf_free(conf);
    close(fd);
    return 0;
}
