/*
 * Heads of HTTP/1 and what is read out of them: targets, proxies' words, redaction, routes,
 * headers. Every head is parsed from memory of exactly its size, so that ASan sees a read beyond
 * it.
 */
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
#include "traceparent_stand_in.h"

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

static struct given parse_bytes(const char *bytes, size_t length)
{
    struct given g = {.bytes = malloc(length ? length : 1), .arena = arena_new(1 << 20)};

    assert_non_null(g.bytes);
    assert_non_null(g.arena);
    if (length)
        memcpy(g.bytes, bytes, length);
    g.result = http1_parse(g.bytes, length, g.arena, &g.m);
    return g;
}

static struct given parse(const char *head)
{
    return parse_bytes(head, strlen(head));
}

static void done(struct given *g)
{
    arena_free(g->arena);
    free(g->bytes);
}

static void is_text(const char *what, struct text t, const char *expected)
{
    if (!text_is(t, expected))
        fail_msg("%s: \"%.*s\" is not \"%s\"", what, (int)t.length, t.length ? t.data : "",
                 expected);
}

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

/* ---- targets */

struct target_row {
    const char *head;
    bool server, tls;
    const char *scheme, *host;
    int port;
    const char *path, *query;
    const char *url_full; /* NULL: not looked at */
};

static void check_target(const struct target_row *row)
{
    struct given g = parse(row->head);
    struct http_target t;

    if (g.result)
        fail_msg("refused: %s", row->head);
    http_target_of(&g.m, row->server, row->tls, g.arena, &t);
    is_text(row->head, t.scheme, row->scheme);
    is_text(row->head, t.host, row->host);
    if (t.port != row->port)
        fail_msg("%s: port %d", row->head, t.port);
    is_text(row->head, t.path, row->path);
    is_text(row->head, t.query, row->query ? row->query : "");
    assert_int_equal(t.has_query, row->query != NULL);
    if (row->url_full)
        is_text(row->head,
                http_url_full(&g.m, row->tls, text_of("192.0.2.7"), row->tls ? 8443 : 80, g.arena),
                row->url_full);
    done(&g);
}

static void test_targets(void **state)
{
    static const struct target_row rows[] = {
        /* Origin form. */
        {R("/a/b?c=d") "Host: a.example" END, CLIENT, false, "http", "a.example", 80, "/a/b", "c=d",
         "http://a.example/a/b?c=d"},
        {R("/") "Host: a.example" END, CLIENT, true, "https", "a.example", 443, "/", NULL,
         "https://a.example/"},
        {R("/?") "Host: a.example:8080" END, CLIENT, false, "http", "a.example", 8080, "/", "",
         "http://a.example:8080/?"},
        {R("/a#b?c") "Host: a" END, CLIENT, false, "http", "a", 80, "/a", NULL, "http://a/a"},
        {R("/a?b#c") "Host: a" END, CLIENT, false, "http", "a", 80, "/a", "b", "http://a/a?b"},
        {R("/%41?%20=%zz") "Host: a" END, CLIENT, false, "http", "a", 80, "/%41", "%20=%zz",
         "http://a/%41?%20=%zz"},
        {R("//u:p@x/y") "Host: a" END, CLIENT, false, "http", "a", 80, "//u:p@x/y", NULL, NULL},
        {R("/a?b?c") "Host: a" END, SERVER, false, "http", "a", 80, "/a", "b?c", NULL},
        /* Host. */
        {R("/") "Host: [2001:db8::1]" END, CLIENT, false, "http", "2001:db8::1", 80, "/", NULL,
         "http://[2001:db8::1]/"},
        {R("/") "Host: [::1]:8443" END, CLIENT, true, "https", "::1", 8443, "/", NULL,
         "https://[::1]:8443/"},
        {R("/") "Host: a.example:" END, CLIENT, false, "http", "a.example", 80, "/", NULL, NULL},
        {R("/") "Host: 192.0.2.1:80" END, CLIENT, true, "https", "192.0.2.1", 80, "/", NULL, NULL},
        {R("/") "Host: ::1" END, SERVER, false, "http", "", 0, "/", NULL, ""},
        {R("/") "Host: [::1" END, SERVER, false, "http", "", 0, "/", NULL, ""},
        {R("/") "Host: [::1]x" END, SERVER, false, "http", "", 0, "/", NULL, ""},
        {R("/") "Host: [a.example]" END, SERVER, false, "http", "", 0, "/", NULL, ""},
        {R("/") "Host: a:b" END, SERVER, false, "http", "", 0, "/", NULL, ""},
        {R("/") "Host: a:65536" END, SERVER, false, "http", "", 0, "/", NULL, ""},
        {R("/") "Host: a:0" END, SERVER, false, "http", "", 0, "/", NULL, ""},
        {R("/") "Host: a:-1" END, SERVER, false, "http", "", 0, "/", NULL, ""},
        {R("/") "Host: a/b" END, SERVER, false, "http", "", 0, "/", NULL, ""},
        {R("/") "Host: a b" END, SERVER, false, "http", "", 0, "/", NULL, ""},
        {R("/") "Host: :80" END, SERVER, false, "http", "", 0, "/", NULL, ""},
        {R("/") "Host: a\r\nHost: b" END, SERVER, false, "http", "", 0, "/", NULL, NULL},
        {R("/") "Host: a\r\nHost: A" END, SERVER, false, "http", "a", 80, "/", NULL, NULL},
        {R("/") "Host: u:p@a.example" END, SERVER, false, "http", "a.example", 80, "/", NULL,
         "http://REDACTED:REDACTED@a.example/"},
        /* Without Host the peer is asked. */
        {"GET /x HTTP/1.0" END, CLIENT, false, "http", "", 0, "/x", NULL, "http://192.0.2.7/x"},
        {"GET /x HTTP/1.0" END, CLIENT, true, "https", "", 0, "/x", NULL,
         "https://192.0.2.7:8443/x"},
        {R("/x") "Host:" END, CLIENT, false, "http", "", 0, "/x", NULL, "http://192.0.2.7/x"},
        {R("/x") "Host: a\r\nHost: b" END, CLIENT, false, "http", "", 0, "/x", NULL, ""},
        {R("/x") "Host:\r\nHost: b" END, CLIENT, false, "http", "", 0, "/x", NULL, ""},
        {R("/x") "Host: a b" END, CLIENT, false, "http", "", 0, "/x", NULL, ""},
        /* But not where Host may be in what is missing. */
        {R("/x") "A: b\r\n", CLIENT, false, "http", "", 0, "/x", NULL, ""},
        {R("/x") "Host: exam", CLIENT, false, "http", "", 0, "/x", NULL, ""},
        {R("/x") "Host : a" END, CLIENT, false, "http", "", 0, "/x", NULL, ""},
        /* Absolute form: through a proxy. */
        {R("http://b.example/a?b") "Host: a.example" END, CLIENT, false, "http", "b.example", 80,
         "/a", "b", "http://b.example/a?b"},
        {R("HTTPS://b.example:1/a") "Host: a" END, CLIENT, false, "https", "b.example", 1, "/a",
         NULL, "HTTPS://b.example:1/a"},
        {R("http://b.example") "Host: a" END, CLIENT, false, "http", "b.example", 80, "/", NULL,
         "http://b.example"},
        {R("http://b.example?q") "Host: a" END, CLIENT, false, "http", "b.example", 80, "/", "q",
         "http://b.example?q"},
        {R("http://u:p@b.example/") "Host: a" END, CLIENT, false, "http", "b.example", 80, "/",
         NULL, "http://REDACTED:REDACTED@b.example/"},
        {R("http://u@b.example/") "Host: a" END, CLIENT, false, "http", "b.example", 80, "/", NULL,
         "http://REDACTED:REDACTED@b.example/"},
        {R("http://u:p@q@b.example/") "Host: a" END, CLIENT, false, "http", "b.example", 80, "/",
         NULL, "http://REDACTED:REDACTED@b.example/"},
        {R("http://b:p/q@b/") "Host: a" END, CLIENT, false, "http", "", 0, "/q@b/", NULL, ""},
        {R("http:///q") "Host: a" END, CLIENT, false, "http", "a", 80, "/q", NULL, ""},
        {R("ftp://b.example/a") "Host: a" END, CLIENT, false, "", "b.example", 0, "/a", NULL,
         "ftp://b.example/a"},
        /* Authority form. */
        {"CONNECT b.example:443 HTTP/1.1\r\nHost: a.example" END, CLIENT, false, "http",
         "b.example", 443, "", NULL, "b.example:443"},
        {"CONNECT [::1]:22 HTTP/1.1" END, CLIENT, false, "http", "::1", 22, "", NULL, "[::1]:22"},
        {"CONNECT b.example HTTP/1.1" END, CLIENT, false, "http", "b.example", 0, "", NULL,
         "b.example"},
        {"CONNECT u:p@b:1 HTTP/1.1" END, CLIENT, false, "http", "b", 1, "", NULL,
         "REDACTED:REDACTED@b:1"},
        {"CONNECT / HTTP/1.1\r\nHost: a" END, CLIENT, false, "http", "", 0, "", NULL, ""},
        /* Asterisk form. */
        {"OPTIONS * HTTP/1.1\r\nHost: a.example:81" END, CLIENT, false, "http", "a.example", 81, "",
         NULL, "http://a.example:81"},
        {"OPTIONS http://b.example HTTP/1.1\r\nHost: a" END, CLIENT, false, "http", "b.example", 80,
         "", NULL, "http://b.example"},
        /* No form at all. */
        {R("a.example/b?sig=c") "Host: a" END, SERVER, false, "http", "a", 80, "", NULL, ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check_target(&rows[i]);
}

static void test_what_proxies_say(void **state)
{
    static const struct target_row rows[] = {
        {R("/") "Host: in:8080\r\nForwarded: for=192.0.2.1;host=out.example;proto=https" END,
         SERVER, false, "https", "out.example", 443, "/", NULL, NULL},
        {R("/") "Host: in\r\nforwarded: FOR=x; Proto=HTTPS ; Host=\"out:99\"" END, SERVER, false,
         "https", "out", 99, "/", NULL, NULL},
        {R("/") "Host: in\r\nForwarded: host=a.example, host=b.example;proto=https" END, SERVER,
         false, "https", "a.example", 443, "/", NULL, NULL},
        {R("/") "Host: in\r\nForwarded: for=_x\r\nForwarded: host=b.example" END, SERVER, false,
         "http", "b.example", 80, "/", NULL, NULL},
        {R("/") "Host: in\r\nForwarded: host=\"[::1]:8\"" END, SERVER, false, "http", "::1", 8, "/",
         NULL, NULL},
        {R("/") "Host: in\r\nForwarded: host=\"a\\.ex\\ample\"" END, SERVER, false, "http",
         "a.example", 80, "/", NULL, NULL},
        {R("/") "Host: in\r\nForwarded: ext=\"a;host=no, \\\"x\";host=yes" END, SERVER, false,
         "http", "yes", 80, "/", NULL, NULL},
        {R("/") "Host: in\r\nForwarded: host=out.example\r\nX-Forwarded-Host: other" END, SERVER,
         false, "http", "out.example", 80, "/", NULL, NULL},
        {R("/") "Host: in\r\nForwarded: proto=http\r\nX-Forwarded-Proto: https" END, SERVER, true,
         "http", "in", 80, "/", NULL, NULL},
        /* Malformed from some place on: nothing behind it is taken. */
        {R("/") "Host: in\r\nForwarded: host=\"out" END, SERVER, false, "http", "in", 80, "/", NULL,
         NULL},
        {R("/") "Host: in\r\nForwarded: x\"y;host=out" END, SERVER, false, "http", "in", 80, "/",
         NULL, NULL},
        {R("/") "Host: in\r\nForwarded: for=\"a\"b;host=out" END, SERVER, false, "http", "in", 80,
         "/", NULL, NULL},
        {R("/") "Host: in\r\nForwarded: proto=javascript;host=a/b" END, SERVER, false, "http", "in",
         80, "/", NULL, NULL},
        {R("/") "Host: in\r\nForwarded: host=\r\nForwarded: =x;" END, SERVER, false, "http", "in",
         80, "/", NULL, NULL},
        /* X-Forwarded-*. */
        {R("/") "Host: in:1\r\nX-Forwarded-Host: out.example\r\nX-Forwarded-Proto: https" END,
         SERVER, false, "https", "out.example", 443, "/", NULL, NULL},
        {R("/") "Host: in\r\nX-Forwarded-Host: , a:7 , b\r\nX-Forwarded-Proto: https,http" END,
         SERVER, false, "https", "a", 7, "/", NULL, NULL},
        {R("/") "Host: in\r\nX-Forwarded-Proto: gopher" END, SERVER, true, "https", "in", 443, "/",
         NULL, NULL},
        {R("/") "Host: in\r\nX-Forwarded-Host: a b" END, SERVER, false, "http", "in", 80, "/", NULL,
         NULL},
        {R("http://abs/") "Host: in\r\nX-Forwarded-Host: out" END, SERVER, true, "http", "out", 80,
         "/", NULL, NULL},
        {R("http://abs/") "Host: in" END, SERVER, true, "http", "abs", 80, "/", NULL, NULL},
        /* A client's own words are no proxy's. */
        {R("/") "Host: in\r\nForwarded: host=out;proto=https\r\nX-Forwarded-Proto: https" END,
         CLIENT, false, "http", "in", 80, "/", NULL, "http://in/"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check_target(&rows[i]);
}

/* As the HTTP/2 decoder hands messages over. */
static void test_http2_targets(void **state)
{
    struct arena *arena = arena_new(1 << 16);
    struct http_message m = {.is_request = true,
                             .major = 2,
                             .method = TEXT("GET"),
                             .target = TEXT("/a?sig=b"),
                             .scheme = TEXT("https"),
                             .authority = TEXT("a.example"),
                             .fields = {{TEXT("host"), TEXT("b.example")}},
                             .field_count = 1};
    struct http_target t;

    (void)state;
    http_target_of(&m, true, false, arena, &t);
    is_text("scheme", t.scheme, "https");
    is_text("host", t.host, "a.example");
    assert_int_equal(t.port, 443);
    is_text("query", t.query, "sig=REDACTED");
    is_text("url", http_url_full(&m, false, TEXT("::1"), 5, arena),
            "https://a.example/a?sig=REDACTED");

    m.authority = (struct text){NULL, 0};
    is_text("url by host", http_url_full(&m, false, TEXT("::1"), 5, arena),
            "https://b.example/a?sig=REDACTED");
    m.field_count = 0;
    is_text("url by peer", http_url_full(&m, false, TEXT("::1"), 5, arena),
            "https://[::1]:5/a?sig=REDACTED");
    is_text("url by peer's name", http_url_full(&m, false, TEXT("c.example"), 443, arena),
            "https://c.example/a?sig=REDACTED");
    is_text("a path is no host", http_url_full(&m, false, TEXT("/run/x.sock"), 443, arena), "");
    is_text("no peer", http_url_full(&m, false, (struct text){NULL, 0}, 0, arena), "");

    m.method = TEXT("CONNECT");
    m.authority = TEXT("a.example:22");
    is_text("extended connect", http_url_full(&m, false, TEXT("::1"), 5, arena),
            "https://a.example:22/a?sig=REDACTED");
    m.target = m.scheme = (struct text){NULL, 0};
    http_target_of(&m, false, true, arena, &t);
    assert_int_equal(t.port, 22);
    is_text("path", t.path, "");
    is_text("tunnel", http_url_full(&m, true, TEXT("::1"), 5, arena), "a.example:22");
    arena_free(arena);
}

static void test_client_address(void **state)
{
    /* NULL: nobody spoke of a client; "": somebody hides it. */
    static const char *const rows[][2] = {
        {"X: y", NULL},
        {"Forwarded: for=192.0.2.43", "192.0.2.43"},
        {"Forwarded: for=192.0.2.43, for=198.51.100.17", "192.0.2.43"},
        {"Forwarded: for=192.0.2.43\r\nForwarded: for=198.51.100.17", "192.0.2.43"},
        {"Forwarded: For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"},
        {"Forwarded: for=\"[2001:db8::1]\";proto=http", "2001:db8::1"},
        {"Forwarded: proto=http;by=203.0.113.43 ;for=\"192.0.2.60:80\"", "192.0.2.60"},
        {"Forwarded: for=\"192.0.2.60:_p\"", "192.0.2.60"},
        {"Forwarded: for=[2001:db8::2]:1", "2001:db8::2"},
        {"Forwarded: for=2001:db8::3", "2001:db8::3"},
        {"Forwarded: for=\"1\\92.0.2.1\"", "192.0.2.1"},
        {"Forwarded: for=_gazonk", ""},
        {"Forwarded: for=\"_SEVKISEK:1\"", ""},
        {"Forwarded: for=unknown", ""},
        {"Forwarded: for=Unknown, for=198.51.100.17", ""},
        {"Forwarded: for=unknown\r\nX-Forwarded-For: 192.0.2.1", ""},
        {"Forwarded: for=999.0.2.1", NULL},
        {"Forwarded: for=example.com", NULL},
        {"Forwarded: for=\"[::1\"", NULL},
        {"Forwarded: for=\"[::1]x\"", NULL},
        {"Forwarded: for=\"192.0.2.1", NULL},
        {"Forwarded: host=x\r\nX-Forwarded-For: 192.0.2.1", "192.0.2.1"},
        {"Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.2", "192.0.2.1"},
        {"X-Forwarded-For: 192.0.2.1, 192.0.2.2", "192.0.2.1"},
        {"X-Forwarded-For: , 192.0.2.1", "192.0.2.1"},
        {"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2", "192.0.2.1"},
        {"X-Forwarded-For: 192.0.2.1:5678", "192.0.2.1"},
        {"X-Forwarded-For: 2001:db8::1", "2001:db8::1"},
        {"X-Forwarded-For: [2001:db8::1]:443", "2001:db8::1"},
        {"X-Forwarded-For: unknown, 192.0.2.1", ""},
        {"X-Forwarded-For: <script>, 192.0.2.1", NULL},
        {"X-Forwarded-For:", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char head[256];
        snprintf(head, sizeof(head), R("/") "%s" END, rows[i][0]);
        struct given g = parse(head);
        struct text address = http_client_address(&g.m, g.arena);
        if ((rows[i][1] != NULL) != (address.data != NULL))
            fail_msg("%s: said or not said", rows[i][0]);
        if (rows[i][1])
            is_text(rows[i][0], address, rows[i][1]);
        done(&g);
    }
}

/* ---- redaction */

static void test_query_redaction(void **state)
{
    static const char *const rows[][2] = {
        {"X-Amz-Signature=s", "X-Amz-Signature=REDACTED"},
        {"X-Amz-Credential=s", "X-Amz-Credential=REDACTED"},
        {"X-Amz-Security-Token=s", "X-Amz-Security-Token=REDACTED"},
        {"AWSAccessKeyId=s", "AWSAccessKeyId=REDACTED"},
        {"Signature=s", "Signature=REDACTED"},
        {"sig=s", "sig=REDACTED"},
        {"X-Goog-Signature=s", "X-Goog-Signature=REDACTED"},
        {"a=b&sig=s&c=d", "a=b&sig=REDACTED&c=d"},
        {"sig=s&sig=t&Signature=u", "sig=REDACTED&sig=REDACTED&Signature=REDACTED"},
        {"sig=", "sig=REDACTED"},
        {"sig=a=b=c&d", "sig=REDACTED&d"},
        {"sig=a%26b&c", "sig=REDACTED&c"},
        {"%73i%67=s", "%73i%67=REDACTED"},
        {"X%2dAmz-Signature=s", "X%2dAmz-Signature=REDACTED"},
        {"a=b;sig=s;t&c", "a=b;sig=REDACTED&c"},
        {"to=https://x/?sig=s&c", "to=https://x/?sig=REDACTED&c"},
        {"&&sig=s&&", "&&sig=REDACTED&&"},
        /* Keys are compared with their case, and whole. */
        {"SIG=s", "SIG=s"},
        {"Sig=s", "Sig=s"},
        {"signature=s", "signature=s"},
        {"x-amz-signature=s", "x-amz-signature=s"},
        {"sigx=s", "sigx=s"},
        {"xsig=s", "xsig=s"},
        {"si=s", "si=s"},
        {"sig", "sig"},
        {"sig&a=b", "sig&a=b"},
        {"a=sig", "a=sig"},
        {"%7sig=s", "%7sig=s"},
        {"a=%41+%zz&b", "a=%41+%zz&b"},
        {"", ""},
    };
    struct arena *arena = arena_new(1 << 16), *full = arena_new(0);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct text query = text_of(rows[i][0]), out = http_query_redacted(query, arena);
        is_text(rows[i][0], out, rows[i][1]);
        if (!strcmp(rows[i][0], rows[i][1]))
            assert_ptr_equal(out.data, query.data);
        else
            is_text("without memory", http_query_redacted(query, full), "");
    }
    arena_free(arena);
    arena_free(full);
}

static void test_url_redaction(void **state)
{
    static const char *const rows[][2] = {
        {"https://u:p@a.example/b?sig=c#d", "https://REDACTED:REDACTED@a.example/b?sig=REDACTED"},
        {"//u:p@a.example/b", "//REDACTED:REDACTED@a.example/b"},
        {"/b@c?a=b", "/b@c?a=b"},
        {"b?sig=c", "b?sig=REDACTED"},
        {"https://a.example#access_token=x", "https://a.example"},
        {"", ""},
    };
    struct arena *arena = arena_new(1 << 16);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        is_text(rows[i][0], http_url_redacted(text_of(rows[i][0]), arena), rows[i][1]);
    arena_free(arena);
}

static void test_no_secret_without_memory(void **state)
{
    struct given g = parse(R("http://u:pass@a/?sig=s3cret") "Host: a" END);
    struct arena *full = arena_new(0);
    struct http_target t;

    (void)state;
    is_text("url", http_url_full(&g.m, false, TEXT("::1"), 80, full), "");
    http_target_of(&g.m, true, false, full, &t);
    is_text("query", t.query, "");
    is_text("host", t.host, "a");
    assert_true(t.has_query);
    arena_free(full);
    done(&g);
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
    static const char *const allowed[] = {"accept",       "authorization", "cookie!", "x-api-key",
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
                                        "GET / HTTP/1.1\r\ntracestate: ",
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
            http_target_of(&g.m, true, false, g.arena, &t);
            http_url_full(&g.m, true, TEXT("::1"), 1, g.arena);
            http_client_address(&g.m, g.arena);
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
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_what_proxies_say),
        cmocka_unit_test(test_http2_targets),
        cmocka_unit_test(test_client_address),
        cmocka_unit_test(test_query_redaction),
        cmocka_unit_test(test_url_redaction),
        cmocka_unit_test(test_no_secret_without_memory),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_headers_allowed),
        cmocka_unit_test(test_headers_of_responses),
        cmocka_unit_test(test_secret_names),
        cmocka_unit_test(test_hostile_heads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
