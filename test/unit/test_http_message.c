/* Heads of HTTP/1, whole, cut, odd and hostile; routes; headers that may leave. */
#include "http_given.h"

/* ---- the header section */

static void test_start_lines(void **state)
{
    static const struct {
        const char *head, *method, *target, *scheme, *authority;
        unsigned status, minor;
    } good[] = {
        {"GET / HTTP/1.1" END, "GET", "/", "", "", 0, 1},
        {"GET / HTTP/1.0\n\n", "GET", "/", "", "", 0, 0},
        {"\r\n\n\r\nGET /after/empty/lines HTTP/1.1" END, "GET", "/after/empty/lines", "", "", 0,
         1},
        {"GET  /two/spaces  HTTP/1.1 " END, "GET", "/two/spaces", "", "", 0, 1},
        {"GET /cut/behind HTTP/1.1", "GET", "/cut/behind", "", "", 0, 1},
        {"GET /cut/in/crlf HTTP/1.1\r", "GET", "/cut/in/crlf", "", "", 0, 1},
        {"get / HTTP/1.1" END, "get", "/", "", "", 0, 1},
        {"M-SEARCH * HTTP/1.1" END, "M-SEARCH", "*", "", "", 0, 1},
        {"GET /\xff\xc3\xa4 HTTP/1.1" END, "GET", "/\xff\xc3\xa4", "", "", 0, 1},
        {"CONNECT a.example:443 HTTP/1.1" END, "CONNECT", "a.example:443", "", "a.example:443", 0,
         1},
        {"GET http://u:p@a.example:8080/x?y HTTP/1.1" END, "GET", "http://u:p@a.example:8080/x?y",
         "http", "u:p@a.example:8080", 0, 1},
        {"GET /r?to=http://b.example/ HTTP/1.1" END, "GET", "/r?to=http://b.example/", "", "", 0,
         1},
        {"HTTP/1.1 200 OK" END, "", "", "", "", 200, 1},
        {"HTTP/1.0 404 Not Found here" END, "", "", "", "", 404, 0},
        {"HTTP/1.1 204" END, "", "", "", "", 204, 1},
        {"HTTP/1.1 500 " END, "", "", "", "", 500, 1},
        {"HTTP/1.1 999 x" END, "", "", "", "", 999, 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct given g = parse(good[i].head);
        if (g.result)
            fail_msg("refused: %s", good[i].head);
        assert_int_equal(g.m.is_request, good[i].status == 0);
        assert_int_equal(g.m.major, 1);
        assert_int_equal(g.m.minor, good[i].minor);
        assert_int_equal(g.m.status, good[i].status);
        is_text(good[i].head, g.m.method, good[i].method);
        is_text(good[i].head, g.m.target, good[i].target);
        is_text(good[i].head, g.m.scheme, good[i].scheme);
        is_text(good[i].head, g.m.authority, good[i].authority);
        assert_int_equal(g.m.field_count, 0);
        assert_int_equal(g.m.fields_dropped, 0);
        done(&g);
    }
}

static void test_start_lines_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "\r\n",
        "\r\n\r\n",
        "GET",
        "GET /" END,
        "GET / " END,
        "GET  HTTP/1.1" END,
        " GET / HTTP/1.1" END,
        "GET / HTTP/1.",
        "GET / HTTP/1.1x" END,
        "GET / HTTP/1.11" END,
        "GET / HTTP/2.0" END,
        "PRI * HTTP/2.0" END,
        "GET / http/1.1" END,
        "GET / FTP/1.1" END,
        "GET /a b HTTP/1.1" END,
        "GET / HTTP/1.1 x" END,
        "GET /a HTTP/1.1 HTTP/1.1" END,
        "GET\t/ HTTP/1.1" END,
        "GET /\t HTTP/1.1" END,
        "GET /\x01 HTTP/1.1" END,
        "GET /\x7f HTTP/1.1" END,
        "GET /\r/ HTTP/1.1" END,
        "G(T / HTTP/1.1" END,
        "G\xc3\x84T / HTTP/1.1" END,
        "HTTP/1.1 20",
        "HTTP/1.1 20 OK" END,
        "HTTP/1.1 2000 OK" END,
        "HTTP/1.1 099 OK" END,
        "HTTP/1.1 2x0 OK" END,
        "HTTP/1.1 -20 OK" END,
        "HTTP/1.1" END,
        "HTTP/2 200" END,
        "HTTP/1.1200 OK" END,
        "ICY 200 OK" END,
        "\x16\x03\x01\x02",
    };
    static const struct http_message none;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct given g = parse(bad[i]);
        if (g.result != -EBADMSG)
            fail_msg("taken: %s", bad[i]);
        assert_memory_equal(&g.m, &none, sizeof(none));
        done(&g);
    }
    struct given g = parse_bytes("GET /\0 HTTP/1.1\r\n\r\n", 19);
    assert_int_equal(g.result, -EBADMSG);
    done(&g);
    assert_int_equal(http1_parse(NULL, 0, NULL, &g.m), -EBADMSG);
}

/* What behind "GET / HTTP/1.1\r\n" becomes of the field x; NULL: left out. */
static void test_fields(void **state)
{
    static const struct {
        const char *lines, *value;
        unsigned kept, dropped;
    } rows[] = {
        {"X: y" END, "y", 1, 0},
        {"x:y" END, "y", 1, 0},
        {"x: \t y z \t" END, "y z", 1, 0},
        {"x:" END, "", 1, 0},
        {"x: a:b" END, "a:b", 1, 0},
        {"x: \xff\xfe\x01" END, "\xff\xfe\x01", 1, 0},
        {"x: y\n\n", "y", 1, 0},
        {"x: y\r\n", "y", 1, 0},
        {"x: y\n", "y", 1, 0},
        {"x: y\r", "y", 1, 0},
        {"x: y\r\n\r", "y", 1, 0},
        {"x: first\r\nX: second" END, "first", 2, 0},
        {"x: y" END "z: behind the end" END, "y", 1, 0},
        /* Cut in the middle: nobody knows what the rest was. */
        {"x: y", NULL, 0, 1},
        {"x: y\r\n z", NULL, 0, 1},
        {"a: b\r\nx: y", NULL, 1, 1},
        {"x", NULL, 0, 1},
        /* Several lines. */
        {"x: a\r\n b" END, "a b", 1, 0},
        {"x: a  \r\n\t  b  \n \tc" END, "a b c", 1, 0},
        {"x:\r\n a" END, "a", 1, 0},
        {"x: a\r\n \r\n b" END, "a b", 1, 0},
        {"x: a\r\n " END, "a", 1, 0},
        {"x:\r\n " END, "", 1, 0},
        {"x: a\r\n b: c\r\nd: e" END, "a b: c", 2, 0},
        /* No fields. */
        {" x: y\r\na: b" END, NULL, 1, 1},
        {"x : y" END, NULL, 0, 1},
        {"x\t: y" END, NULL, 0, 1},
        {"x y\r\na: b" END, NULL, 1, 1},
        {": y" END, NULL, 0, 1},
        {"x(: y" END, NULL, 0, 1},
        {"x\xc3\xa4: y" END, NULL, 0, 1},
        {"x: a\rb" END, NULL, 0, 1},
        {"x: a\rx: b" END, NULL, 0, 1},
        {"x: a\r\n b\rc" END, NULL, 0, 1},
        {"no field\r\n of two lines\r\nx: y" END, "y", 1, 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char head[256];
        snprintf(head, sizeof(head), "GET / HTTP/1.1\r\n%s", rows[i].lines);
        struct given g = parse(head);
        struct text x = http_field(&g.m, "x");
        assert_int_equal(g.result, 0);
        if (g.m.field_count != rows[i].kept || g.m.fields_dropped != rows[i].dropped)
            fail_msg("%s: %zu kept, %u dropped", rows[i].lines, g.m.field_count,
                     g.m.fields_dropped);
        if (rows[i].value)
            is_text(rows[i].lines, x, rows[i].value);
        else
            assert_null(x.data);
        done(&g);
    }
    struct given g = parse_bytes("HTTP/1.1 200 OK\r\nx: a\0b\r\ny: z\r\n\r\n", 33);
    assert_int_equal(g.m.field_count, 1);
    assert_int_equal(g.m.fields_dropped, 1);
    is_text("behind NUL", http_field(&g.m, "y"), "z");
    done(&g);
}

static void test_fields_beyond_the_limit_are_counted(void **state)
{
    char *head = calloc(1, 64 * (HTTP_FIELDS_MAX + 10));
    size_t length = (size_t)sprintf(head, "GET / HTTP/1.1\r\n");

    (void)state;
    for (int i = 0; i < HTTP_FIELDS_MAX + 7; i++)
        length += (size_t)sprintf(head + length, "x-%d: %d\r\n", i, i);
    struct given g = parse_bytes(head, length);
    assert_int_equal(g.m.field_count, HTTP_FIELDS_MAX);
    assert_int_equal(g.m.fields_dropped, 7);
    is_text("first", http_field(&g.m, "x-0"), "0");
    is_text("last", http_field(&g.m, "x-127"), "127");
    done(&g);
    free(head);
}

static void test_folded_value_needs_memory(void **state)
{
    static const char head[] = "GET / HTTP/1.1\r\nx: a\r\n b\r\ny: c\r\n\r\n";
    struct http_message m;

    (void)state;
    assert_int_equal(http1_parse(head, sizeof(head) - 1, NULL, &m), 0);
    assert_int_equal(m.field_count, 1);
    assert_int_equal(m.fields_dropped, 1);
    is_text("the other", http_field(&m, "y"), "c");
}

/* A head cut at every place: never a field that the whole head does not have. */
static void test_cut_anywhere(void **state)
{
    static const char head[] =
        "GET /path?q HTTP/1.1\r\nHost: a.example\r\nX: one\r\n  two\r\nY: z" END;
    struct given whole = parse(head);

    (void)state;
    for (size_t n = 0; n < sizeof(head); n++) {
        struct given g = parse_bytes(head, n);
        assert_int_equal(g.result, n < 20 ? -EBADMSG : 0);
        for (size_t i = 0; i < g.m.field_count; i++) {
            /* A continuation that did not come is the one thing that a cut can hide. */
            if (i == 1 && g.m.field_count == 2 && g.m.fields[1].value.length == 3)
                continue;
            assert_int_equal(g.m.fields[i].value.length, whole.m.fields[i].value.length);
        }
        done(&g);
    }
    done(&whole);
}

static void test_says_whether_it_was_cut(void **state)
{
    static const char *const cut[] = {R("/"), R("/") "A: b\r\n", R("/") "A: b", R("/") "A: b\r\n c",
                                      "GET / HTTP/1.1"};
    static const char *const whole[] = {R("/") "\r\n", R("/") "\n", R("/") "\r", R("/") "A: b" END,
                                        R("/") "A: b\r\n c" END "x"};

    (void)state;
    for (size_t i = 0; i < COUNT(cut); i++) {
        struct given c = parse(cut[i]), w = parse(whole[i]);
        if (!c.m.cut || w.m.cut)
            fail_msg("row %zu", i);
        done(&c);
        done(&w);
    }
}

static void test_methods(void **state)
{
    static const char *const rows[][2] = {
        {"GET", "GET"},       {"HEAD", "HEAD"},       {"POST", "POST"},   {"PUT", "PUT"},
        {"DELETE", "DELETE"}, {"CONNECT", "CONNECT"}, {"TRACE", "TRACE"}, {"OPTIONS", "OPTIONS"},
        {"PATCH", "PATCH"},   {"QUERY", "QUERY"},     {"get", "_OTHER"},  {"Get", "_OTHER"},
        {"GETT", "_OTHER"},   {"GE", "_OTHER"},       {"", "_OTHER"},     {"PROPFIND", "_OTHER"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        is_text(rows[i][0], http_method_name(text_of(rows[i][0])), rows[i][1]);
}

/* ---- routes */

static void test_routes(void **state)
{
    static const char *const templates[] = {
        "/",
        "/users/me",
        "/users/{id}",
        "/users/{id}/posts/{post}",
        "/files/{p...}",
        "/static/...",
        "/a//b",
        "/t/",
        NULL,
        "relative",
        "/{x...}/y",
        "/{odd",
    };
    static const char *const rows[][2] = {
        {"/", "/"},
        {"/users/me", "/users/me"},
        {"/users/7", "/users/{id}"},
        {"/users/%2F", "/users/{id}"},
        {"/users/", NULL},
        {"/users", NULL},
        {"/users/7/", NULL},
        {"/Users/7", NULL},
        {"/users/7/posts/8", "/users/{id}/posts/{post}"},
        {"/users/7/posts/", NULL},
        {"/users//posts/8", NULL},
        {"/users/7/posts/8/9", NULL},
        {"/files/", "/files/{p...}"},
        {"/files/a", "/files/{p...}"},
        {"/files/a/b/", "/files/{p...}"},
        {"/files", NULL},
        {"/filesystem", NULL},
        {"/static/a/b", "/static/..."},
        {"/static", NULL},
        {"/a//b", "/a//b"},
        {"/a/b", NULL},
        {"/t/", "/t/"},
        {"/t", NULL},
        {"//", NULL},
        /* A rest in the middle is one segment. */
        {"/q/y", "/{x...}/y"},
        {"/q/q/y", NULL},
        {"/{odd", "/{odd"},
        {"/odd", NULL},
        {"relative", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *route = http_route(templates, COUNT(templates), text_of(rows[i][0]));
        if ((route != NULL) != (rows[i][1] != NULL) || (route && strcmp(route, rows[i][1])))
            fail_msg("%s: %s", rows[i][0], route ? route : "none");
    }
    assert_null(http_route(templates, 0, TEXT("/")));
    static const char *const all[] = {"/users/{id}", "/{rest...}"};
    assert_string_equal(http_route(all, 2, TEXT("/")), "/{rest...}");
    assert_string_equal(http_route(all, 2, TEXT("/users/1")), "/users/{id}");
}

/* ---- headers */

static const struct attribute *attribute(const struct attribute_list *list, const char *key)
{
    for (size_t i = 0; i < list->count; i++) {
        if (text_is(list->items[i].key, key))
            return &list->items[i];
    }
    fail_msg("no attribute %s", key);
    return NULL;
}

static void test_headers_allowed(void **state)
{
    struct given g = parse(R("/") "Accept: a\r\nACCEPT: b\r\naccept:\r\nAuthorization: Bearer 1\r\n"
                                  "Cookie: c=1\r\nX-Api-Key: k\r\nX-Auth-Token: t\r\nX-Other: o\r\n"
                                  "Referer: https://u:p@a/?sig=s" END);
    static const char *const allowed[] = {"Accept",       "Authorization", "cookie!", "x-api-key",
                                          "x-auth-token", "absent",        "",        "!",
                                          "referer",      "bad name"};
    struct attribute_list list = {.arena = g.arena};

    (void)state;
    assert_int_equal(http_headers_allowed(&g.m, allowed, COUNT(allowed), &list), 6);
    assert_int_equal(list.count, 6);
    const struct attribute *a = attribute(&list, "http.request.header.accept");
    assert_int_equal(a->type, VALUE_TEXTS);
    assert_int_equal(a->texts.count, 3);
    is_text("first", a->texts.items[0], "a");
    is_text("second", a->texts.items[1], "b");
    is_text("third", a->texts.items[2], "");
    static const char *const expected[][2] = {
        {"http.request.header.authorization", "REDACTED"},
        {"http.request.header.cookie", "c=1"},
        {"http.request.header.x-api-key", "REDACTED"},
        {"http.request.header.x-auth-token", "REDACTED"},
        {"http.request.header.referer", "https://REDACTED:REDACTED@a/?sig=REDACTED"},
    };
    for (size_t i = 0; i < COUNT(expected); i++) {
        a = attribute(&list, expected[i][0]);
        assert_int_equal(a->texts.count, 1);
        is_text(expected[i][0], a->texts.items[0], expected[i][1]);
    }
    done(&g);
}

static void test_headers_of_responses(void **state)
{
    struct given g = parse("HTTP/1.1 302 Found\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
                           "Location: /x?sig=1" END);
    static const char *const allowed[] = {"set-cookie", "location!"};
    struct attribute_list list = {.arena = g.arena};

    (void)state;
    assert_int_equal(http_headers_allowed(&g.m, allowed, 2, &list), 2);
    const struct attribute *a = attribute(&list, "http.response.header.set-cookie");
    assert_int_equal(a->texts.count, 2);
    is_text("one", a->texts.items[0], "REDACTED");
    is_text("two", a->texts.items[1], "REDACTED");
    a = attribute(&list, "http.response.header.location");
    is_text("as it came", a->texts.items[0], "/x?sig=1");

    struct attribute_list none = {.arena = arena_new(0)};
    assert_int_equal(http_headers_allowed(&g.m, allowed, 2, &none), 0);
    assert_int_equal(none.dropped, 2);
    arena_free(none.arena);
    done(&g);
}

static void test_secret_names(void **state)
{
    static const char *const secret[] = {"authorization", "Proxy-Authorization",
                                         "COOKIE",        "set-cookie",
                                         "x-csrf-token",  "tokens",
                                         "x-secret-1",    "x-password",
                                         "api-key",       "x-API-Key",
                                         "apikey",        "x-api_key"};
    static const char *const plain[] = {"accept",  "host", "x-key", "authorization-info",
                                        "cookies", "toke", ""};

    (void)state;
    for (size_t i = 0; i < COUNT(secret); i++)
        assert_true(http_header_secret(text_of(secret[i])));
    for (size_t i = 0; i < COUNT(plain); i++)
        assert_false(http_header_secret(text_of(plain[i])));
}

#define TRACED \
    "GET / HTTP/1.1\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"

/* Heads that somebody wrote to do harm: what matters is that each comes back, and within bounds. */
static void test_hostile_heads(void **state)
{
    enum { BIG = 40000 };
    static const char *const fill[] = {
        "\r",   "\n", "\r\n", " ", "\t",   ":",       "a",        "%",
        "%2",   ";",  ",",    "=", "\"",   "\\",      "@",        "[",
        "]",    "&",  "?",    "/", "\xff", "a:\r\n ", "x: y\r\n", "Forwarded: for=\"",
        "sig=&"};
    static const char *const start[] = {"",
                                        "GET /",
                                        "GET /?",
                                        "GET http://",
                                        "CONNECT ",
                                        "GET / HTTP/1.1\r\n",
                                        "GET / HTTP/1.1\r\nHost: ",
                                        "GET / HTTP/1.1\r\nForwarded: ",
                                        "GET / HTTP/1.1\r\nX-Forwarded-For: ",
                                        TRACED "tracestate: ",
                                        "HTTP/1.1 200 "};
    static const char *const end[] = {"", " HTTP/1.1\r\n\r\n", "\r\n\r\n"};
    char *head = malloc(BIG + 64);

    (void)state;
    for (size_t s = 0; s < COUNT(start); s++) {
        for (size_t f = 0; f < COUNT(fill) * COUNT(end); f++) {
            const char *part = fill[f / COUNT(end)];
            size_t n = strlen(start[s]);
            memcpy(head, start[s], n);
            for (; n < BIG; n += strlen(part))
                memcpy(head + n, part, strlen(part));
            memcpy(head + n, end[f % COUNT(end)], strlen(end[f % COUNT(end)]));
            struct given g = parse_bytes(head, n + strlen(end[f % COUNT(end)]));
            struct http_target t;
            struct trace_ids ids;
            struct text text;
            bool deferred;
            http_target_of(&g.m, true, false, g.arena, &t);
            http_url_full(&g.m, true, TEXT("::1"), 1, g.arena);
            http_client_address(&g.m, g.arena);
            http_context(&g.m, HTTP_CONTEXT_W3C_B3, &ids, &text, &deferred, g.arena);
            assert_int_equal(ids.remote, http_field(&g.m, "traceparent").length > 0);
            assert_in_range(g.m.field_count, 0, HTTP_FIELDS_MAX);
            assert_in_range(t.port, 0, 65535);
            done(&g);
        }
    }
    free(head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_lines),
        cmocka_unit_test(test_start_lines_refused),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_fields_beyond_the_limit_are_counted),
        cmocka_unit_test(test_folded_value_needs_memory),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_says_whether_it_was_cut),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_headers_allowed),
        cmocka_unit_test(test_headers_of_responses),
        cmocka_unit_test(test_secret_names),
        cmocka_unit_test(test_hostile_heads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
