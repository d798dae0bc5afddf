/*
 * Fuzzes scope.yml and the declarative file: any bytes load, check and print; what is printed loads
 * again without a complaint.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(void *context, const struct conf_trouble *trouble)
{
    if (!trouble->origin || !trouble->text[0] || strchr(trouble->text, '\n'))
        abort();
    /* That a preset lacks its key is as true of what is printed. */
    if (strncmp(trouble->text, "preset ", 7) != 0)
        ++*(unsigned *)context;
}

static int file_of(const void *data, size_t size, char *path)
{
    int fd = memfd_create("scope.yml", 0);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    sprintf(path, "/proc/self/fd/%d", fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *const arguments[] = {(char *)"nginx", (char *)"-x", NULL};
    char path[40], again[40], declarative[60], *printed = NULL;
    char *environ_[] = {(char *)"A=b", declarative, NULL};
    size_t length;
    unsigned troubles = 0;
    int fd = file_of(data, size, path);
    /* The same bytes as OpenTelemetry's declarative file. */
    sprintf(declarative, "OTEL_CONFIG_FILE=%s", path);
    struct conf_input input = {.environ = environ_,
                               .file = path,
                               .executable = "/usr/bin/nginx",
                               .arguments = arguments,
                               .user = "www-data",
                               .uid = 33};
    struct conf *conf = conf_load(&input, count, &troubles);
    if (!conf || troubles > 200)
        abort();
    conf_observes(conf, &input);
    if (conf_check(path, count, &troubles) < 0)
        abort();
    FILE *out = open_memstream(&printed, &length);
    conf_print(conf, out);
    fclose(out);
    int second = file_of(printed, length, again);
    troubles = 0;
    if (conf_check(again, count, &troubles) != 0 && length < 1 << 20) {
        /* Expressions that do not compile are found by the check alone. */
        input.file = again;
        input.environ = NULL;
        troubles = 0;
        struct conf *reloaded = conf_load(&input, count, &troubles);
        conf_free(reloaded);
        if (troubles) {
            fwrite(printed, 1, length, stderr);
            abort();
        }
    }
    close(second);
    close(fd);
    free(printed);
    conf_free(conf);
    return 0;
}
