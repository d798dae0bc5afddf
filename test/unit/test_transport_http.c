/*
 * HTTP as a transport, against a scripted server: what it answers, how it breaks, how slow it is.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <zlib.h>

#include "http_server.h"
#include "os/heap.h"
#include "report/report.h"
#include "report/sink.h"
#include "transport/lifeline.h"
#include "http_library.h"
#include "transport/transport.h"

#define MS 1000000ull
#define SCRIPT(...)                                        \
    static const struct scripted script[] = {__VA_ARGS__}; \
    struct server *s = server_start(script, sizeof(script) / sizeof(script[0]))
#define ANSWER(text) \
    {                \
        .data = text \
    }

static struct transport *open_url(const char *url, const struct http_options *http)
{
    struct address a;
    struct transport_options o = {
        .http = http, .saved_stdout = -1, .saved_stderr = -1, .mode = 0600};

    assert_int_equal(address_parse(url, &a, NULL), 0);
    struct transport *t = transport_new(&a, &o);
    assert_non_null(t);
    return t;
}

static struct transport *open_server(const struct server *s, const struct http_options *http)
{
    char url[64];

    sprintf(url, "http://127.0.0.1:%u/v1/traces?x=%%20", s->port);
    return open_url(url, http);
}

static int post(struct transport *t, const char *text)
{
    return transport_send(t, text, strlen(text), now_mono() + 5000 * MS);
}

static int status_of(struct transport *t)
{
    return transport_reply(t)->status;
}

/* First, while the library is not loaded yet. */
static void nobody_there_does_not_load_the_library(void **state)
{
    (void)state;
    SCRIPT(ANSWER(NULL));
    struct transport *t = open_server(s, NULL);
    server_end(s);

    assert_int_equal(post(t, "x"), -EAGAIN);
    assert_string_equal(transport_reason(t), "connect: the connection was refused");
    assert_false(transport_http_loaded());
    assert_true(transport_is_http(t));
    assert_false(transport_is_datagram(t));
    assert_int_equal(transport_unit_max(t), SIZE_MAX);
    transport_free(t);
}

static void a_request_is_as_asked_for(void **state)
{
    (void)state;
    const struct transport_header headers[] = {
        {"Authorization", "Bearer a=b; c"},
        {"X-Odd", "\xc3\xa4\x80 \"'%s"},
        {"X-Empty", ""},
        {"X-Split", "a\r\nX-Evil: b"},
    };
    const struct http_options o = {.headers = headers,
                                   .header_count = 4,
                                   .content_type = "application/x-protobuf",
                                   .user_agent = "scope/2"};
    SCRIPT(ANSWER("HTTP/1.1 202 Accepted\r\nContent-Type: Application/JSON; charset=utf-8\r\n"
                  "Content-Length: 3\r\n\r\nyes"));
    struct transport *t = open_server(s, &o);

    setenv("http_proxy", "http://127.0.0.1:1", 1);
    assert_int_equal(transport_send(t, "a\0b", 3, now_mono() + 5000 * MS), 0);
    unsetenv("http_proxy");
    const struct reply *r = transport_reply(t);
    assert_int_equal(r->status, 202);
    assert_string_equal(r->content_type, "application/json");
    assert_int_equal(r->length, 3);
    assert_memory_equal(r->body, "yes", 3);
    assert_false(r->too_large);
    assert_int_equal(transport_retry_after(t), 0);
    assert_true(transport_http_loaded());
    transport_free(t);
    assert_int_equal(server_length(s), 3);
    assert_memory_equal(server_body(s), "a\0b", 3);
    assert_memory_equal(server_head(s), "POST /v1/traces?x=%20 HTTP/1.1\r\n", 32);
    assert_non_null(strstr(server_head(s), "\r\nContent-Type: application/x-protobuf\r\n"));
    assert_non_null(strstr(server_head(s), "\r\nUser-Agent: scope/2\r\n"));
    assert_non_null(strstr(server_head(s), "\r\nAuthorization: Bearer a=b; c\r\n"));
    assert_non_null(strstr(server_head(s), "\r\nX-Odd: \xc3\xa4\x80 \"'%s\r\n"));
    assert_non_null(strstr(server_head(s), "\r\nX-Empty:"));
    assert_non_null(strstr(server_head(s), "\r\nAccept-Encoding: gzip\r\n"));
    assert_null(strstr(server_head(s), "Expect"));
    assert_null(strstr(server_head(s), "X-Evil"));
    assert_null(strstr(server_head(s), "Content-Encoding"));
    server_end(s);
}

static void every_status_is_an_answer(void **state)
{
    (void)state;
    SCRIPT(
        ANSWER("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ANSWER("HTTP/1.1 204 No Content\r\n\r\n"),
        ANSWER("HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
        ANSWER("HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno"),
        ANSWER("HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"),
        ANSWER("HTTP/1.1 100 Continue\r\nRetry-After: 9\r\n\r\n"
               "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"),
        ANSWER("HTTP/1.1 503 Away\r\nretry-after:  -1 \r\nContent-Length: 0\r\n\r\n"));
    const int want[] = {200, 204, 301, 400, 401, 429, 503};
    struct transport *t = open_server(s, NULL);

    for (int i = 0; i < 7; i++) {
        assert_int_equal(post(t, "x"), 0);
        assert_int_equal(status_of(t), want[i]);
        assert_int_equal(transport_retry_after(t), i == 5 ? 7000 * MS : 0);
    }
    assert_int_equal(server_connections(s), 1); /* kept */
    transport_free(t);
    server_end(s);
}

static void chunks_are_put_together(void **state)
{
    (void)state;
    SCRIPT(ANSWER("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n"
                  "0\r\nX-Trailer: 1\r\n\r\n"),
           ANSWER(NULL), {.data = "HTTP/1.1 200 OK\r\n\r\nto the end", .how = CLOSES});
    struct transport *t = open_server(s, NULL);

    assert_int_equal(post(t, "x"), 0);
    assert_int_equal(transport_reply(t)->length, 7);
    assert_memory_equal(transport_reply(t)->body, "abcdefg", 7);
    assert_int_equal(post(t, "x"), 0);
    assert_int_equal(post(t, "x"), 0);
    assert_memory_equal(transport_reply(t)->body, "to the end", 10);
    assert_int_equal(server_connections(s), 1);
    transport_free(t);
    server_end(s);
}

/* A reply with `size` zeros, compressed. */
static size_t bomb(char *out, size_t room, size_t size)
{
    static uint8_t zeros[65536];
    char packed[32768];
    z_stream z = {.next_out = (void *)packed, .avail_out = sizeof(packed)};

    deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
    for (size_t left = size; left;) {
        size_t part = left < sizeof(zeros) ? left : sizeof(zeros);
        z.next_in = zeros;
        z.avail_in = (uInt)part;
        left -= part;
        deflate(&z, left ? Z_NO_FLUSH : Z_FINISH);
    }
    deflateEnd(&z);
    int n = snprintf(out, room,
                     "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %lu\r\n\r\n",
                     z.total_out);
    memcpy(out + n, packed, z.total_out);
    return (size_t)n + z.total_out;
}

static void compressed_replies_are_unpacked_within_bounds(void **state)
{
    (void)state;
    static char small[40000], big[40000];
    static struct scripted script[] = {
        {.data = small},
        {.data = big},
        {.data = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"},
        {.data = NULL},
    };
    script[0].length = bomb(small, sizeof(small), 100000);
    script[1].length = bomb(big, sizeof(big), 20 << 20);
    struct server *s = server_start(script, 4);
    struct transport *t = open_server(s, NULL);
    size_t before = heap_bytes();

    assert_int_equal(post(t, "x"), 0);
    assert_int_equal(transport_reply(t)->length, 100000);
    assert_int_equal(post(t, "x"), 0);
    assert_int_equal(status_of(t), 200);
    assert_true(transport_reply(t)->too_large);
    assert_int_equal(transport_reply(t)->length, 0);
    assert_true(heap_bytes() < before + (9 << 20)); /* the limit, and its half while it grew */
    assert_int_equal(post(t, "x"), 0);              /* its status stands */
    assert_int_equal(status_of(t), 200);
    assert_int_equal(transport_reply(t)->length, 0);
    assert_int_equal(post(t, "x"), 0);
    transport_free(t);
    server_end(s);
}

static void a_reply_has_a_limit(void **state)
{
    (void)state;
    const char head[] = "HTTP/1.1 500 Oh\r\nContent-Length: 5242880\r\n\r\n";
    static char large[5242880 + sizeof(head) - 1], headers[90000];
    static struct scripted script[] = {
        {.data = large, .length = sizeof(large)},
        {.data = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n12345678901"},
        {.data = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1234567890"},
        {.data = headers},
    };
    memset(large, 'x', sizeof(large));
    memcpy(large, head, sizeof(head) - 1);
    size_t n = (size_t)sprintf(headers, "HTTP/1.1 200 OK\r\n");
    while (n < 80000)
        n += (size_t)sprintf(headers + n, "X-%zu: %0500d\r\n", n, 0);
    strcpy(headers + n, "Content-Length: 0\r\n\r\n");
    struct server *s = server_start(script, 1);
    struct transport *t = open_server(s, NULL);

    assert_int_equal(post(t, "x"), 0);
    assert_int_equal(status_of(t), 500);
    assert_true(transport_reply(t)->too_large);
    transport_free(t);
    server_end(s);

    const struct http_options o = {.reply_max = 10};
    s = server_start(script + 1, 3);
    t = open_server(s, &o);
    assert_int_equal(post(t, "x"), 0);
    assert_true(transport_reply(t)->too_large);
    assert_int_equal(post(t, "x"), 0);
    assert_false(transport_reply(t)->too_large);
    assert_int_equal(transport_reply(t)->length, 10);
    assert_int_equal(post(t, "x"), -EAGAIN);
    assert_string_equal(transport_reason(t), "the headers of the reply are too long");
    transport_free(t);
    server_end(s);
}

static void a_body_is_compressed_where_it_gains(void **state)
{
    (void)state;
    const struct http_options o = {.gzip = true};
    SCRIPT(ANSWER(NULL), ANSWER(NULL), ANSWER(NULL));
    struct transport *t = open_server(s, &o);
    static char text[100000], noise[4096], out[200000];
    unsigned seed = 1;

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i / 10 % 26);
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)((seed = seed * 1103515245 + 12345) >> 16);
    assert_int_equal(transport_send(t, text, sizeof(text), now_mono() + 5000 * MS), 0);
    assert_non_null(strstr(server_head(s), "\r\nContent-Encoding: gzip\r\n"));
    assert_true(server_length(s) < sizeof(text) / 4);
    z_stream z = {.next_in = (void *)server_body(s),
                  .avail_in = (uInt)server_length(s),
                  .next_out = (void *)out,
                  .avail_out = sizeof(out)};
    inflateInit2(&z, 31);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.total_out, sizeof(text));
    inflateEnd(&z);
    assert_memory_equal(out, text, sizeof(text));
    assert_int_equal(transport_send(t, noise, sizeof(noise), now_mono() + 5000 * MS), 0);
    assert_null(strstr(server_head(s), "Content-Encoding"));
    assert_int_equal(server_length(s), sizeof(noise));
    assert_int_equal(transport_send(t, text, 1000, now_mono() + 5000 * MS), 0);
    assert_null(strstr(server_head(s), "Content-Encoding"));
    transport_free(t);
    server_end(s);
}

static void a_broken_exchange_is_not_an_answer(void **state)
{
    (void)state;
    SCRIPT({.data = "", .how = RESETS | UNREAD, .length = 0}, {.data = "", .how = RESETS},
           {.data = "HTTP/1.1 200 OK\r\nContent-Le", .how = CLOSES},
           {.data = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", .how = CLOSES},
           {.data = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", .how = RESETS},
           {.data = "garbage\r\n\r\n", .how = CLOSES}, ANSWER(NULL));
    struct transport *t = open_server(s, NULL);

    for (int i = 0; i < 6; i++) {
        if (post(t, "x") != -EAGAIN)
            fail_msg("%d: %d", i, status_of(t));
        assert_true(strlen(transport_reason(t)) > 5);
    }
    assert_int_equal(post(t, "x"), 0);
    transport_free(t);
    server_end(s);
}

static void a_kept_connection_that_ended_is_replaced(void **state)
{
    (void)state;
    SCRIPT({.how = CLOSES}, {.how = RESETS}, ANSWER(NULL), {.data = NULL, .how = 0});
    struct transport *t = open_server(s, NULL);

    assert_int_equal(post(t, "1"), 0);
    usleep(20000);
    assert_int_equal(post(t, "2"), 0);
    usleep(20000);
    assert_int_equal(post(t, "3"), 0);
    assert_int_equal(post(t, "4"), 0);
    assert_int_equal(server_connections(s), 3);
    assert_int_equal(server_requests(s), 4);
    transport_free(t);
    server_end(s);
}

/* Closed in the very moment of the next request: that one is sent once more, and only once. */
static void a_connection_lost_under_a_request_is_tried_once_more(void **state)
{
    (void)state;
    SCRIPT(ANSWER(NULL), {.data = "", .how = CLOSES}, ANSWER(NULL));
    struct transport *t = open_server(s, NULL);

    assert_int_equal(post(t, "1"), 0);
    int r = post(t, "2");
    if (r == -EAGAIN)
        r = post(t, "2");
    assert_int_equal(r, 0);
    assert_int_equal(server_requests(s), 3);
    transport_free(t);
    server_end(s);
}

static void a_slow_answer_is_waited_for_again(void **state)
{
    (void)state;
    SCRIPT({.wait = 150}, {.wait = 150}, ANSWER(NULL));
    struct transport *t = open_server(s, NULL);
    char *copy = strdup("unit");
    int r, stops = 0;

    while ((r = transport_send(t, stops % 2 ? copy : "unit", 4, now_mono() + 20 * MS)) ==
           -EINPROGRESS)
        stops++;
    assert_int_equal(r, 0);
    assert_true(stops >= 3);
    assert_int_equal(server_requests(s), 1);
    /* Another unit: what is under way is given up, with its connection. */
    assert_int_equal(transport_send(t, "unit", 4, now_mono() + 20 * MS), -EINPROGRESS);
    assert_int_equal(post(t, "other"), 0);
    assert_int_equal(server_length(s), 5);
    assert_int_equal(server_connections(s), 2);
    free(copy);
    transport_free(t);
    server_end(s);
}

static void an_attempt_has_its_time(void **state)
{
    (void)state;
    const struct http_options o = {.attempt_timeout = 60 * MS};
    SCRIPT({.wait = 200}, ANSWER(NULL));
    struct transport *t = open_server(s, &o);
    uint64_t start = now_mono();

    assert_int_equal(post(t, "x"), -EAGAIN);
    assert_string_equal(transport_reason(t), "no answer in time");
    assert_in_range(now_mono() - start, 50 * MS, 190 * MS);
    usleep(300000);
    assert_int_equal(post(t, "x"), 0);
    transport_free(t);
    server_end(s);
}

static void unix_sockets_speak_http(void **state)
{
    (void)state;
    static const struct scripted script[] = {ANSWER(NULL), ANSWER(NULL)};
    char path[64], url[128];

    for (int i = 0; i < 2; i++) {
        struct server *s = calloc(1, sizeof(*s));
        snprintf(path, sizeof(path), i ? "@scope-http-%d" : "/tmp/scope-http-%d.sock", getpid());
        snprintf(url, sizeof(url), "http+unix://%s:/v1/logs", path);
        server_listen(s, script, 2, NULL, path);
        struct transport *t = open_url(url, NULL);
        if (post(t, "one") != 0)
            fail_msg("%s: %s", url, transport_reason(t));
        assert_int_equal(post(t, "two"), 0);
        assert_int_equal(server_connections(s), 1);
        assert_memory_equal(server_head(s), "POST /v1/logs HTTP/1.1\r\nHost: localhost\r\n", 41);
        transport_free(t);
        server_end(s);
        unlink(path);
    }
}

static void proxies_are_asked(void **state)
{
    (void)state;
    char proxy[64];
    SCRIPT(ANSWER(NULL), ANSWER(NULL));
    sprintf(proxy, "http://user:pw@127.0.0.1:%u", s->port);
    const struct http_options o = {.proxy = proxy, .no_proxy = "direct.invalid"};
    struct transport *t = open_url("http://collector.invalid:4318/v1/logs", &o);

    assert_int_equal(post(t, "x"), 0);
    assert_memory_equal(server_head(s), "POST http://collector.invalid:4318/v1/logs HTTP/1.1\r\n",
                        53);
    assert_non_null(strstr(server_head(s), "\r\nProxy-Authorization: Basic dXNlcjpwdw==\r\n"));
    transport_free(t);
    t = open_url("http://direct.invalid/", &o);
    assert_int_equal(post(t, "x"), -EAGAIN);
    assert_non_null(strstr(transport_reason(t), "name"));
    transport_free(t);
    t = open_server(s, NULL);
    assert_int_equal(post(t, "x"), 0);
    transport_free(t);
    server_end(s);

    const struct http_options wrong = {.proxy = "socks5://user:pw@x:1"};
    t = open_url("http://c/", &wrong);
    assert_int_equal(post(t, "x"), -EAGAIN);
    assert_null(strstr(transport_reason(t), "pw"));
    transport_free(t);
}

/* ------------------------------------------------------------------ forks */

/* The child frees what it inherited, and has something else under that number. */
static void a_child_touches_no_descriptor(void **state)
{
    (void)state;
    SCRIPT(ANSWER(NULL), ANSWER(NULL), ANSWER(NULL));
    int lowest = dup(0), status;
    close(lowest);
    struct transport *t = open_server(s, NULL);

    assert_int_equal(post(t, "1"), 0);
    assert_true(fcntl(lowest, F_GETFD) & FD_CLOEXEC);
    lifeline_before_fork(now_mono() + 50 * MS);
    pid_t child = fork();
    if (!child) {
        lifeline_after_fork_child();
        transport_after_fork(t);
        bool same = fcntl(lowest, F_GETFD) >= 0;
        transport_free(t);
        same = same && fcntl(lowest, F_GETFD) >= 0;
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        _exit(same ? 0 : 1);
    }
    lifeline_after_fork();
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(post(t, "2"), 0); /* the parent's goes on */
    assert_int_equal(post(t, "3"), 0);
    assert_int_equal(server_connections(s), 1);
    transport_free(t);
    server_end(s);
}

static void a_library_at_work_is_not_used_in_the_child(void **state)
{
    (void)state;
    SCRIPT(ANSWER(NULL), ANSWER(NULL), ANSWER(NULL));
    struct transport *t = open_server(s, NULL);
    int status;

    assert_int_equal(post(t, "1"), 0);
    lifeline_begin();
    lifeline_before_fork(now_mono() + 5 * MS);
    pid_t child = fork();
    if (!child) {
        lifeline_after_fork_child();
        transport_after_fork(t);
        int r = post(t, "x");
        bool said = strstr(transport_reason(t), "fork") != NULL;
        transport_free(t);
        _exit(r == -EAGAIN && said ? 0 : 1);
    }
    lifeline_after_fork();
    lifeline_end();
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(post(t, "2"), 0);
    assert_int_equal(post(t, "3"), 0);
    transport_free(t);
    server_end(s);
}

int main(void)
{
    use_http_library();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_there_does_not_load_the_library),
        cmocka_unit_test(a_request_is_as_asked_for),
        cmocka_unit_test(every_status_is_an_answer),
        cmocka_unit_test(chunks_are_put_together),
        cmocka_unit_test(compressed_replies_are_unpacked_within_bounds),
        cmocka_unit_test(a_reply_has_a_limit),
        cmocka_unit_test(a_body_is_compressed_where_it_gains),
        cmocka_unit_test(a_broken_exchange_is_not_an_answer),
        cmocka_unit_test(a_kept_connection_that_ended_is_replaced),
        cmocka_unit_test(a_connection_lost_under_a_request_is_tried_once_more),
        cmocka_unit_test(a_slow_answer_is_waited_for_again),
        cmocka_unit_test(an_attempt_has_its_time),
        cmocka_unit_test(unix_sockets_speak_http),
        cmocka_unit_test(proxies_are_asked),
        cmocka_unit_test(a_child_touches_no_descriptor),
        cmocka_unit_test(a_library_at_work_is_not_used_in_the_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
