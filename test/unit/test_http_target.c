/* What a request asked for, what proxies say of it, and all of that without its secrets. */
#include "http_given.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_what_proxies_say),
        cmocka_unit_test(test_http2_targets),
        cmocka_unit_test(test_client_address),
        cmocka_unit_test(test_query_redaction),
        cmocka_unit_test(test_url_redaction),
        cmocka_unit_test(test_no_secret_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
