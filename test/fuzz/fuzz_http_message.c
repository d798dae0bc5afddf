/*
 * Any bytes as a header section, and everything that is asked of one: no overrun, results that keep
 * their promises, no secret in what was redacted, and what is written is read again as it was.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http_message.h"

/* Not in any seed; but libFuzzer learns it from comparisons, and such inputs are passed over. */
#define SECRET "s3cr3t-7f2c91d04be6"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
    if (!holds)
        __builtin_trap();
}

static bool contains(struct text t, const char *part)
{
    return t.length && memmem(t.data, t.length, part, strlen(part));
}

static bool same(struct text a, struct text b)
{
    return a.length == b.length && (!a.length || !memcmp(a.data, b.data, a.length));
}

/* Every byte of it may be read: ASan says if not. */
static void touch(struct text t)
{
    for (size_t i = 0; i < t.length; i++)
        (void)*(const volatile char *)&t.data[i];
}

/* Independent of the code under test: no "sig=" and its like with another value. */
static void require_redacted(struct text query)
{
    static const char *const keys[] = {
        "X-Amz-Signature=",  "X-Amz-Credential=", "X-Amz-Security-Token=",
        "AWSAccessKeyId=",   "Signature=",        "sig=",
        "X-Goog-Signature=",
    };

    for (size_t from = 0, to; from < query.length; from = to + 1) {
        for (to = from; to < query.length && query.data[to] != '&'; to++)
            ;
        for (size_t k = 0; k < sizeof(keys) / sizeof(*keys); k++) {
            size_t n = strlen(keys[k]);
            if (to - from >= n && !memcmp(query.data + from, keys[k], n))
                require(to - from - n == 8 && !memcmp(query.data + from + n, "REDACTED", 8));
        }
    }
}

static void check_query(struct text query, struct arena *arena)
{
    struct text once = http_query_redacted(query, arena);

    touch(once);
    require_redacted(once);
    require(same(http_query_redacted(once, arena), once));
}

static void check_host(struct text host)
{
    for (size_t i = 0; i < host.length; i++) {
        unsigned char c = (unsigned char)host.data[i];
        require(c > ' ' && c != '/' && c != '@' && c != '[' && c != ']' && c != '?' && c != '#');
    }
}

/* A URL, if there is one, says the same once more when it is asked for as such. */
static void check_url(const struct http_message *m, bool tls, struct arena *arena)
{
    struct text url = http_url_full(m, tls, TEXT("2001:db8::1"), 8080, arena), again;
    struct http_target asked, heard;
    struct http_message absolute = {.is_request = true, .major = 1, .method = TEXT("GET")};
    struct text scheme_end;

    touch(url);
    http_target_of(m, false, tls, arena, &asked);
    if (!url.length || !(scheme_end.data = memmem(url.data, url.length, "://", 3)))
        return;
    require_redacted(asked.query);
    char *head = malloc(url.length + 32);
    size_t length = 0;
    memcpy(head, "GET ", 4);
    memcpy(head + 4, url.data, url.length);
    length = 4 + url.length;
    memcpy(head + length, " HTTP/1.1\r\n\r\n", 13);
    require(http1_parse(head, length + 13, arena, &absolute) == 0);
    again = http_url_full(&absolute, tls, TEXT("x"), 1, arena);
    require(same(again, url));
    http_target_of(&absolute, false, tls, arena, &heard);
    require(same(asked.query, heard.query) && asked.has_query == heard.has_query);
    if (asked.host.length)
        require(same(asked.host, heard.host) && (!asked.port || asked.port == heard.port));
    free(head);
}

static void check_targets(const struct http_message *m, struct arena *arena)
{
    static const char *const templates[] = {"/a/{b}", "/{c}/{d}/...", "/{e...}"};

    for (int i = 0; i < 4; i++) {
        struct http_target t;
        http_target_of(m, i & 1, i & 2, arena, &t);
        require(t.port >= 0 && t.port <= 65535);
        require(!t.scheme.length || text_is(t.scheme, "http") || text_is(t.scheme, "https"));
        require(t.has_query || !t.query.length);
        touch(t.path);
        require_redacted(t.query);
        check_host(t.host);
        const char *route = http_route(templates, 3, t.path);
        require((t.path.length && t.path.data[0] == '/') == (route != NULL));
    }
    check_url(m, false, arena);
    check_url(m, true, arena);
    check_host(http_client_address(m, arena));
}

static void check_headers(const struct http_message *m, struct arena *arena)
{
    static const char *const allowed[] = {"authorization", "cookie", "set-cookie", "x-auth-token",
                                          "referer",       "host!",  "accept",     "x"};
    struct attribute_list list = {.arena = arena};
    size_t added = http_headers_allowed(m, allowed, 8, &list);

    require(added <= 8 && added == list.count);
    for (size_t i = 0; i < list.count; i++) {
        const struct attribute *a = &list.items[i];
        struct text name = {a->key.data + strlen("http.request.header."), 0};
        require(a->type == VALUE_TEXTS && a->texts.count > 0);
        name.length = a->key.length - strlen("http.request.header.") - !m->is_request;
        name.data += !m->is_request;
        for (size_t j = 0; j < a->texts.count; j++) {
            touch(a->texts.items[j]);
            require(!http_header_secret(name) || text_is(a->texts.items[j], "REDACTED"));
        }
    }
}

static void check_context(const struct http_message *m, bool b3, struct arena *arena)
{
    static const uint8_t zero[16];
    struct trace_ids ids;
    struct text state;
    bool deferred;

    memset(&ids, 0xa5, sizeof(ids));
    if (!http_context(m, b3 ? HTTP_CONTEXT_W3C_B3 : HTTP_CONTEXT_W3C, &ids, &state, &deferred,
                      arena)) {
        require(!state.length && !deferred && !memcmp(ids.trace_id, zero, 16) && !ids.flags);
        return;
    }
    require(memcmp(ids.trace_id, zero, 16) && memcmp(ids.parent_id, zero, 8) && ids.remote == 1);
    require(!(ids.flags & ~(TRACE_SAMPLED | TRACE_RANDOM)) && !memcmp(ids.span_id, zero, 8));
    require(!deferred || (b3 && !ids.flags && !http_field(m, "traceparent").data));
    if (!state.length)
        return;

    /* Handed on, it is read as the same. */
    struct http_message on = {.is_request = true, .field_count = 2};
    struct trace_ids again;
    struct text state_again;
    on.fields[0] = (struct http_field){
        TEXT("traceparent"), TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")};
    on.fields[1] = (struct http_field){TEXT("tracestate"), state};
    require(http_context(&on, b3 ? HTTP_CONTEXT_W3C_B3 : HTTP_CONTEXT_W3C, &again, &state_again,
                         &deferred, arena));
    require(same(state, state_again));
}

/* The input's bytes around a planted secret: none of it may come out. */
static void check_planted(const uint8_t *data, size_t size, struct arena *arena)
{
    static const char *const keys[] = {"X-Amz-Signature", "%73ig", "Signature", "AWSAccessKeyId"};
    size_t half = size / 2, n = 0;
    char *text;

    if (contains((struct text){(const char *)data, size}, SECRET) || !(text = malloc(size + 128)))
        return;
    memcpy(text, data, half);
    n = half;
    n += (size_t)sprintf(text + n, "&%s=" SECRET "%s", keys[size % 4], size % 2 ? "&" : "");
    memcpy(text + n, data + half, size - half);
    n += size - half;
    require(!contains(http_query_redacted((struct text){text, n}, arena), SECRET));

    n = (size_t)sprintf(text, "http://u:" SECRET "@");
    memcpy(text + n, data, size);
    struct text url = {text, n + size};
    /* A '/', '?' or '#' in the password would end the authority; there is none before '@'. */
    require(!contains(http_url_redacted(url, arena), SECRET));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_message m;
    struct arena *arena = arena_new(size % 7 ? 1 << 22 : size % 512);
    char *exact = malloc(size ? size : 1);

    if (!arena || !exact)
        abort();
    if (size)
        memcpy(exact, data, size);
    memset(&m, 0xa5, sizeof(m));
    if (http1_parse(exact, size, arena, &m) == 0) {
        require(m.field_count <= HTTP_FIELDS_MAX && m.major == 1 && m.minor <= 9);
        require(m.is_request ? m.method.length && m.target.length && !m.status
                             : m.status >= 100 && m.status <= 999 && !m.method.length);
        for (size_t i = 0; i < m.field_count; i++) {
            require(m.fields[i].name.length > 0 &&
                    !memchr(m.fields[i].name.data, ':', m.fields[i].name.length));
            require(!contains(m.fields[i].value, "\r") && !contains(m.fields[i].value, "\n"));
            touch(m.fields[i].value);
        }
        require(http_method_name(m.method).length > 0);
        check_headers(&m, arena);
        check_context(&m, false, arena);
        check_context(&m, true, arena);
        if (size % 7)
            check_targets(&m, arena);
        else
            http_url_full(&m, true, TEXT("a"), 1, arena);
    }
    if (size % 7) {
        check_query((struct text){exact, size}, arena);
        check_planted(data, size, arena);
    }
    arena_free(arena);
    free(exact);
    return 0;
}
