/*
 * For the tests of conf/: loads a configuration from texts, and keeps what was reported.
 */
#ifndef TEST_CONF_H
#define TEST_CONF_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"

struct reported {
    int count;
    char all[65536]; /* "ORIGIN:LINE:COLUMN: TEXT\n", one after another */
};

static inline void keep_report(void *context, const struct conf_trouble *t)
{
    struct reported *r = context;
    size_t at = strlen(r->all);
    const char *slash = strrchr(t->origin, '/');
    snprintf(r->all + at, sizeof(r->all) - at, "%s:%u:%u: %s\n", slash ? slash + 1 : t->origin,
             t->line, t->column, t->text);
    r->count++;
}

static inline char *temporary_file(const char *text, size_t length)
{
    char *path = strdup("/tmp/scope-conf-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, length), (ssize_t)length);
    close(fd);
    return path;
}

/* An input that sees nothing of the machine. */
#define NOWHERE                           \
    .environ = (char *[])                 \
    {                                     \
        (char *)"HOME=/nonexistent", NULL \
    }

/* Loads a file with this text (its reported name is f), beside what `input` says. */
static inline struct conf *load_text(const char *yaml, struct conf_input input, struct reported *r)
{
    char *path = temporary_file(yaml, strlen(yaml)), base[64];
    input.file = path;
    memset(r, 0, sizeof(*r));
    struct conf *conf = conf_load(&input, keep_report, r);
    assert_non_null(conf);
    unlink(path);
    /* The random name is of no interest. */
    snprintf(base, sizeof(base), "%s", strrchr(path, '/') + 1);
    for (char *at; (at = strstr(r->all, base));) {
        *at = 'f';
        memmove(at + 1, at + strlen(base), strlen(at + strlen(base)) + 1);
    }
    free(path);
    return conf;
}

static inline struct conf *load_with(char *const *variables, char *const *sets, struct reported *r)
{
    struct conf_input input = {.environ = variables, .sets = sets, .file = "/dev/null"};
    memset(r, 0, sizeof(*r));
    struct conf *conf = conf_load(&input, keep_report, r);
    assert_non_null(conf);
    return conf;
}

#define ENVIRONMENT(...) ((char *[]){__VA_ARGS__, NULL})

#define SECONDS 1000000000ull

static inline void empty(struct reported *r)
{
    if (r->count)
        fail_msg("%s", r->all);
}

static inline char *printed(const struct conf *c)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(conf_print(c, out), 0);
    fclose(out);
    return text;
}

/* Loads with a declarative file of this text. */
static inline struct conf *load_declarative(const char *yaml, const char *more, struct reported *r)
{
    char variable[100], *path = temporary_file(yaml, strlen(yaml));
    snprintf(variable, sizeof(variable), "OTEL_CONFIG_FILE=%s", path);
    struct conf *c = load_with(ENVIRONMENT((char *)more, variable), NULL, r);
    unlink(path);
    free(path);
    return c;
}

static inline const char *header(const struct conf_pairs *pairs, const char *key)
{
    for (size_t i = 0; i < pairs->count; i++)
        if (strcmp(pairs->items[i].key, key) == 0)
            return pairs->items[i].value;
    return NULL;
}

static inline void all_to(const struct conf *c, const char *metrics, const char *logs,
                          const char *traces)
{
    const char *const want[OTLP_SIGNALS] = {
        [OTLP_METRICS] = metrics, [OTLP_LOGS] = logs, [OTLP_TRACES] = traces};
    for (int i = 0; i < OTLP_SIGNALS; i++) {
        if (!want[i])
            assert_null(c->otlp[i].to);
        else if (!c->otlp[i].to || strcmp(c->otlp[i].to, want[i]) != 0)
            fail_msg("signal %d: %s, not %s", i, c->otlp[i].to ? c->otlp[i].to : "off", want[i]);
    }
}

#endif
