/*
 * HTTPS and streams over TLS, against a server with certificates made here: right, and wrong in
 * each way that matters.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>

#include "http_server.h"
#include "report/report.h"
#include "report/sink.h"
#include "http_library.h"
#include "transport/transport.h"

#define MS 1000000ull

static char directory[] = "/tmp/scope-tls-XXXXXX";

static const char *in(const char *name)
{
    static char paths[8][64];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

static int make_certificates(void **state)
{
    (void)state;
    char command[2048];

    if (!mkdtemp(directory))
        return -1;
    signal(SIGPIPE, SIG_IGN); /* the server's own writes */
    snprintf(
        command, sizeof(command),
        "cd %s && unset LD_PRELOAD && exec >log 2>&1 && set -e\n"
        "new='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'\n"
        "for ca in ca other; do\n"
        "  openssl req -x509 $new -keyout $ca.key -out $ca.pem -subj /CN=$ca -days 10\n"
        "done\n"
        "make() {\n"
        "  openssl req $new -keyout $1.key -out $1.csr -subj /CN=$1 -addext subjectAltName=$2\n"
        "  openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days $3 "
        "-copy_extensions copy -out $1.pem\n"
        "}\n"
        "make good IP:127.0.0.1,DNS:localhost 5\n"
        "make wrong DNS:elsewhere.invalid 5\n"
        "make expired IP:127.0.0.1 -1\n"
        "make client DNS:client 5\n",
        directory);
    return system(command) == 0 ? 0 : -1;
}

static int remove_certificates(void **state)
{
    (void)state;
    char command[64];

    snprintf(command, sizeof(command), "rm -r %s", directory);
    return system(command);
}

static SSL_CTX *certificate(const char *name, bool asks)
{
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());
    char pem[32], key[32];

    sprintf(pem, "%s.pem", name);
    sprintf(key, "%s.key", name);
    assert_int_equal(SSL_CTX_use_certificate_file(c, in(pem), SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(c, in(key), SSL_FILETYPE_PEM), 1);
    if (asks) {
        SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        assert_int_equal(SSL_CTX_load_verify_locations(c, in("ca.pem"), NULL), 1);
    }
    return c;
}

static struct server *tls_server(const struct scripted *script, size_t count, SSL_CTX *tls)
{
    struct server *s = calloc(1, sizeof(*s));

    server_listen(s, script, count, tls, NULL);
    return s;
}

static struct transport *open_url(const char *scheme, const char *host, uint16_t port,
                                  const struct http_options *http)
{
    struct address a;
    struct transport_options o = {
        .http = http, .saved_stdout = -1, .saved_stderr = -1, .mode = 0600};
    char url[64];

    sprintf(url, "%s://%s:%u", scheme, host, port);
    assert_int_equal(address_parse(url, &a, NULL), 0);
    struct transport *t = transport_new(&a, &o);
    assert_non_null(t);
    return t;
}

static int post(struct transport *t, const char *text)
{
    return transport_send(t, text, strlen(text), now_mono() + 5000 * MS);
}

static const struct scripted two[] = {{.data = NULL}, {.data = NULL}};

static void a_good_certificate_is_taken(void **state)
{
    (void)state;
    const char *const hosts[] = {"127.0.0.1", "localhost"};
    const struct http_options o = {.ca_file = in("ca.pem")};

    for (int i = 0; i < 2; i++) {
        SSL_CTX *tls = certificate("good", false);
        struct server *s = tls_server(two, 2, tls);
        struct transport *t = open_url("https", hosts[i], s->port, &o);
        if (post(t, "one") != 0)
            fail_msg("%s", transport_reason(t));
        assert_int_equal(post(t, "two"), 0);
        assert_false(transport_exposed(t));
        assert_int_equal(transport_reply(t)->status, 200);
        assert_int_equal(server_connections(s), 1);
        transport_free(t);
        assert_memory_equal(server_body(s), "two", 3);
        server_end(s);
        SSL_CTX_free(tls);
    }
}

static void refused(const char *name, const char *ca, const char *words)
{
    SSL_CTX *tls = certificate(name, false);
    struct server *s = tls_server(two, 1, tls);
    const struct http_options o = {.ca_file = ca};
    struct transport *t = open_url("https", "127.0.0.1", s->port, &o);

    assert_int_equal(post(t, "secret"), -EAGAIN);
    if (!strstr(transport_reason(t), words))
        fail_msg("%s", transport_reason(t));
    assert_false(transport_exposed(t)); /* the server cannot have taken it */
    transport_free(t);
    server_end(s);
    SSL_CTX_free(tls);
}

static void a_bad_certificate_is_refused_and_named(void **state)
{
    (void)state;
    refused("wrong", in("ca.pem"), "no alternative certificate subject name matches");
    refused("expired", in("ca.pem"), "certificate has expired");
    refused("good", in("other.pem"), "unable to get local issuer certificate");
    refused("good", NULL, "unable to get local issuer certificate");
    refused("good", in("none.pem"), "the file of CA certificates cannot be read");
}

static void a_client_has_a_certificate(void **state)
{
    (void)state;
    const struct http_options o = {
        .ca_file = in("ca.pem"), .client_cert = in("client.pem"), .client_key = in("client.key")};
    const struct http_options none = {.ca_file = in("ca.pem")};
    const struct http_options lost = {.ca_file = in("ca.pem"), .client_cert = in("none.pem")};
    SSL_CTX *tls = certificate("good", true);
    struct server *s = tls_server(two, 2, tls);
    struct transport *t = open_url("https", "127.0.0.1", s->port, &none);

    assert_int_equal(post(t, "x"), -EAGAIN);
    assert_true(strlen(transport_reason(t)) > 10);
    transport_free(t);
    t = open_url("https", "127.0.0.1", s->port, &o);
    if (post(t, "x") != 0)
        fail_msg("%s", transport_reason(t));
    transport_free(t);
    server_end(s);
    SSL_CTX_free(tls);

    tls = certificate("good", true);
    s = tls_server(two, 1, tls);
    t = open_url("https", "127.0.0.1", s->port, &lost);
    assert_int_equal(post(t, "x"), -EAGAIN);
    assert_string_equal(transport_reason(t), "the client certificate cannot be read");
    transport_free(t);
    server_end(s);
    SSL_CTX_free(tls);
}

static void old_tls_and_no_tls_are_refused(void **state)
{
    (void)state;
    const struct http_options o = {.ca_file = in("ca.pem")};
    SSL_CTX *tls = certificate("good", false);

    SSL_CTX_set_security_level(tls, 0);
    SSL_CTX_set_min_proto_version(tls, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(tls, TLS1_1_VERSION);
    struct server *s = tls_server(two, 1, tls);
    struct transport *t = open_url("https", "127.0.0.1", s->port, &o);
    assert_int_equal(post(t, "x"), -EAGAIN);
    transport_free(t);
    server_end(s);
    SSL_CTX_free(tls);

    static const struct scripted plain[] = {
        {.data = "HTTP/1.1 400 Bad\r\n\r\n", .how = UNREAD | CLOSES}};
    s = server_start(plain, 1);
    t = open_url("https", "127.0.0.1", s->port, &o);
    assert_int_equal(post(t, "x"), -EAGAIN);
    assert_true(strlen(transport_reason(t)) > 10);
    transport_free(t);
    server_end(s);
}

/* ------------------------------------------------------------------ streams */

/* Takes what comes on one connection after another; each until the peer closes, or `most` bytes. */
struct sink {
    int listener;
    uint16_t port;
    SSL_CTX *tls;
    pthread_t thread;
    unsigned connections, delay; /* us between reads */
    size_t most[2], have[2];
    char *data[2];
};

static void *take_streams(void *argument)
{
    struct sink *s = argument;

    for (unsigned i = 0; i < s->connections; i++) {
        struct peer p = {.fd = accept(s->listener, NULL, NULL)};
        p.ssl = SSL_new(s->tls);
        SSL_set_fd(p.ssl, p.fd);
        long n = SSL_accept(p.ssl);
        while (n > 0 && s->have[i] < s->most[i]) {
            size_t room = s->most[i] - s->have[i];
            n = SSL_read(p.ssl, s->data[i] + s->have[i], room < 20000 ? (int)room : 20000);
            if (n > 0)
                s->have[i] += (size_t)n;
            usleep(s->delay);
        }
        peer_close(&p, i + 1 < s->connections);
    }
    return NULL;
}

static struct sink *sink_start(unsigned connections, size_t first, size_t second, unsigned delay)
{
    struct sink *s = calloc(1, sizeof(*s));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);
    int small = 4096;

    *s = (struct sink){.connections = connections, .most = {first, second}, .delay = delay};
    s->data[0] = malloc(first);
    s->data[1] = malloc(second + 1);
    s->tls = certificate("good", false);
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s->listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    assert_int_equal(bind(s->listener, (void *)&a, size), 0);
    listen(s->listener, 4);
    getsockname(s->listener, (void *)&a, &size);
    s->port = ntohs(a.sin_port);
    pthread_create(&s->thread, NULL, take_streams, s);
    return s;
}

static void sink_free(struct sink *s)
{
    close(s->listener);
    SSL_CTX_free(s->tls);
    free(s->data[0]);
    free(s->data[1]);
    free(s);
}

static void fill(char *unit, size_t size, char letter)
{
    for (size_t i = 0; i < size; i++)
        unit[i] = (char)(i % 100 == 99 ? '\n' : letter);
}

/* Deadlines pass inside units; each goes on where it stopped, so the stream is exact. */
static void a_stream_over_tls_is_exact(void **state)
{
    (void)state;
    enum { UNIT = 64000, COUNT = 150 };
    const struct http_options o = {.ca_file = in("ca.pem")};
    struct sink *s = sink_start(1, (size_t)UNIT * COUNT, 0, 600);
    struct transport *t = open_url("tls", "127.0.0.1", s->port, &o);
    char *unit = malloc(UNIT);
    unsigned stopped = 0;

    assert_false(transport_is_http(t));
    assert_int_equal(transport_unit_max(t), SIZE_MAX);
    for (int i = 0; i < COUNT; i++) {
        int r;
        fill(unit, UNIT, (char)('a' + i % 26));
        for (unsigned tries = 0;
             (r = transport_send(t, unit, UNIT, now_mono() + 3 * MS)) == -EAGAIN && tries < 5000;
             tries++) {
            stopped++;
            char *moved = malloc(UNIT); /* the same bytes, elsewhere */
            memcpy(moved, unit, UNIT);
            free(unit);
            unit = moved;
        }
        if (r != 0)
            fail_msg("%d: %s", i, transport_reason(t));
    }
    transport_free(t);
    pthread_join(s->thread, NULL);
    assert_true(stopped > 0);
    assert_int_equal(s->have[0], (size_t)UNIT * COUNT);
    for (size_t i = 0; i < s->have[0]; i++) {
        if (s->data[0][i] != (i % UNIT % 100 == 99 ? '\n' : (char)('a' + i / UNIT % 26)))
            fail_msg("byte %zu", i);
    }
    free(unit);
    sink_free(s);
}

static void a_unit_that_broke_comes_again_from_its_start(void **state)
{
    (void)state;
    enum { UNIT = 4000000 };
    const struct http_options o = {.ca_file = in("ca.pem")};
    struct sink *s = sink_start(2, 50000, UNIT, 0);
    struct transport *t = open_url("tls", "127.0.0.1", s->port, &o);
    char *unit = malloc(UNIT);
    int r = -EAGAIN;

    fill(unit, UNIT, 'u');
    for (int i = 0; i < 100 && r == -EAGAIN; i++)
        r = transport_send(t, unit, UNIT, now_mono() + 1000 * MS);
    assert_int_equal(r, 0);
    transport_free(t);
    pthread_join(s->thread, NULL);
    assert_int_equal(s->have[1], UNIT);
    assert_memory_equal(s->data[1], unit, UNIT);
    free(unit);
    sink_free(s);
}

static void a_stream_needs_the_right_certificate(void **state)
{
    (void)state;
    const struct http_options o = {.ca_file = in("other.pem")};
    struct sink *s = sink_start(1, 10, 0, 0);
    struct transport *t = open_url("tls", "127.0.0.1", s->port, &o);

    assert_int_equal(post(t, "secret\n"), -EAGAIN);
    if (!strstr(transport_reason(t), "unable to get local issuer certificate"))
        fail_msg("%s", transport_reason(t));
    transport_free(t);
    pthread_join(s->thread, NULL);
    assert_int_equal(s->have[0], 0);
    sink_free(s);
}

int main(void)
{
    use_http_library();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_certificate_is_taken),
        cmocka_unit_test(a_bad_certificate_is_refused_and_named),
        cmocka_unit_test(a_client_has_a_certificate),
        cmocka_unit_test(old_tls_and_no_tls_are_refused),
        cmocka_unit_test(a_stream_over_tls_is_exact),
        cmocka_unit_test(a_unit_that_broke_comes_again_from_its_start),
        cmocka_unit_test(a_stream_needs_the_right_certificate),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
