/*
 * A head that a test gives, parsed from memory of exactly its size, so that ASan sees a read beyond
 * it.
 */
#ifndef SCOPE_TEST_HTTP_GIVEN_H
#define SCOPE_TEST_HTTP_GIVEN_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http_message.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define END "\r\n\r\n"

enum view { CLIENT = false, SERVER = true };
#define R(target) "GET " target " HTTP/1.1\r\n"

struct given {
    char *bytes;
    struct arena *arena;
    struct http_message m;
    int result;
};

static inline struct given parse_bytes(const char *bytes, size_t length)
{
    struct given g = {.bytes = malloc(length ? length : 1), .arena = arena_new(1 << 20)};

    assert_non_null(g.bytes);
    assert_non_null(g.arena);
    if (length)
        memcpy(g.bytes, bytes, length);
    g.result = http1_parse(g.bytes, length, g.arena, &g.m);
    return g;
}

static inline struct given parse(const char *head)
{
    return parse_bytes(head, strlen(head));
}

static inline void done(struct given *g)
{
    arena_free(g->arena);
    free(g->bytes);
}

static inline void is_text(const char *what, struct text t, const char *expected)
{
    if (!text_is(t, expected))
        fail_msg("%s: \"%.*s\" is not \"%s\"", what, (int)t.length, t.length ? t.data : "",
                 expected);
}

#endif
