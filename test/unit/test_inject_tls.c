/*
 * A traceparent in what goes through OpenSSL and GnuTLS: a write that is to be tried again is
 * finished as it was begun, and the program sees its own bytes counted.
 */
#include "intercept/inject.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "capture/flow_internal.h"
#include "intercept/tls.h"
#include "region_fixture.h"

struct region_head *hook_region;
__thread struct lane *hook_self __attribute__((tls_model("initial-exec")));
static struct lane *lane;
enum { FD = 7 };

struct lane *hook_lane_slow(void)
{
    return NULL;
}

void *hook_next(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}

fd_entry hook_fd(struct lane *of, int fd)
{
    (void)of;
    return fd_get(fd);
}

void intercept_late(void)
{
}

#define HEAD "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\n"
enum { PLACE = sizeof(HEAD) - 1 - 2, SIZE = sizeof(HEAD) - 1 + 400 };
static uint8_t request[SIZE];

static struct flow *flow(void)
{
    return flow_place(FD);
}

static void feed(int direction, const void *bytes, size_t size)
{
    struct flow_bytes m = {lane, FD, fd_get(FD), ticks_now(), ticks_now(), direction};
    struct piece piece = {bytes, (uint32_t)size};
    flow_moved(region, &m, &piece, 1, size);
}

/* What came out at the other end: the request with its line in it. */
static void check_with_line(const uint8_t *got, size_t length)
{
    uint8_t line[INJECT_LINE];
    inject_line(&flow()->ids, line);
    assert_int_equal(length, SIZE + INJECT_LINE);
    assert_memory_equal(got, request, PLACE);
    assert_memory_equal(got + PLACE, line, INJECT_LINE);
    assert_memory_equal(got + PLACE + INJECT_LINE, request + PLACE, SIZE - PLACE);
    assert_int_equal(flow()->state, FLOW_HTTP1);
    assert_true(flow()->plain);
    assert_false(flow()->drawn);
    assert_int_equal(http1_outstanding(&flow()->http1), 1);
    assert_int_equal(inject_waiting, 0);
}

static int begin(void **state)
{
    (void)state;
    region_open(16, 4);
    hook_region = region;
    region->watch |= WATCH_FLOWS | WATCH_TRACES | WATCH_INJECT;
    region->random_seed = 0x1234567890abcdefULL;
    region->sample_below = 1ULL << 56;
    lane = hook_self = lane_bind(region, 1, 1);
    fd_table = calloc(FD_TABLE_SIZE, sizeof(*fd_table));
    flow_table = mmap(NULL, (size_t)FLOW_MAX * FLOW_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    fd_opened(region, FD, KIND_TCP, FD_CONNECTED);
    memset(request, 'b', SIZE);
    memcpy(request, HEAD, sizeof(HEAD) - 1);
    return 0;
}

static int end(void **state)
{
    (void)state;
    munmap(flow_table, (size_t)FLOW_MAX * FLOW_SIZE);
    free(fd_table);
    region_close();
    return 0;
}

/* ------------------------------------------------------------------ OpenSSL */

static struct tls_openssl openssl;
static SSL_CTX *client_context, *server_context;

static void *by_dlsym(void *context, const char *name)
{
    return dlsym(context, name);
}

static int make_contexts(void **state)
{
    (void)state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    if (!tls_openssl_fill(&openssl, by_dlsym, RTLD_DEFAULT))
        return -1;
    client_context = SSL_CTX_new(TLS_client_method());
    server_context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_num_tickets(server_context, 0);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    SSL_CTX_use_certificate(server_context, certificate);
    SSL_CTX_use_PrivateKey(server_context, key);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return 0;
}

/* Two sessions, and between them buffers that hold `room` bytes. */
struct pair {
    SSL *client, *server;
    BIO *out, *in; /* the far ends */
};

/* What the client wrote goes to the server, and the other way round. */
static void pump(struct pair *p)
{
    uint8_t bytes[4096];
    int n;
    while ((n = BIO_read(p->out, bytes, sizeof(bytes))) > 0) {
        if (!SSL_is_init_finished(p->client))
            feed('w', bytes, (size_t)n);
        BIO_write(p->in, bytes, n);
    }
    while ((n = BIO_read(p->in, bytes, sizeof(bytes))) > 0) {
        for (int at = 0; at < n;) {
            int some = BIO_write(p->out, bytes + at, n - at);
            at += some > 0 ? some : 0;
            SSL_do_handshake(p->client);
        }
    }
}

static struct pair connected(size_t room)
{
    struct pair p = {SSL_new(client_context), SSL_new(server_context), NULL, NULL};
    BIO *near, *server_near;
    assert_int_equal(BIO_new_bio_pair(&near, room, &p.out, room), 1);
    assert_int_equal(BIO_new_bio_pair(&server_near, 65536, &p.in, 65536), 1);
    SSL_set_bio(p.client, near, near);
    SSL_set_bio(p.server, server_near, server_near);
    SSL_set_connect_state(p.client);
    SSL_set_accept_state(p.server);
    for (int i = 0; i < 100 && !(SSL_is_init_finished(p.client) && SSL_is_init_finished(p.server));
         i++) {
        SSL_do_handshake(p.client);
        pump(&p);
        SSL_do_handshake(p.server);
        pump(&p);
    }
    assert_true(SSL_is_init_finished(p.client) && SSL_is_init_finished(p.server));
    return p;
}

static void gone(struct pair *p)
{
    tls_openssl_release(&openssl, p->client);
    SSL_free(p->server);
    BIO_free(p->out);
    BIO_free(p->in);
}

static size_t received(struct pair *p, uint8_t *bytes, size_t size)
{
    size_t length = 0;
    int n;
    pump(p);
    while ((n = SSL_read(p->server, bytes + length, (int)(size - length))) > 0)
        length += (size_t)n;
    return length;
}

/* One write in a form; returns the program's bytes, 0 where it is to be tried again. */
static size_t write_by(int form, SSL *ssl, const void *bytes, size_t size)
{
    size_t done = 12345;
    int r = form == 0   ? tls_openssl_write(&openssl, ssl, bytes, (int)size)
            : form == 1 ? tls_openssl_write_ex(&openssl, ssl, bytes, size, &done)
                        : tls_openssl_write(&openssl, ssl, bytes, (int)size);
    if (r <= 0) {
        assert_int_equal(SSL_get_error(ssl, r), SSL_ERROR_WANT_WRITE);
        return 0;
    }
    return form == 1 ? done : (size_t)r;
}

static void openssl_write_is_finished_as_begun(void **state)
{
    (void)state;
    static const long modes[] = {
        0, SSL_MODE_ENABLE_PARTIAL_WRITE, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER,
        SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER};
    static const size_t rooms[] = {65536, 400, 100, 7};
    for (unsigned i = 0; i < 4 * 4 * 2; i++) {
        long mode = modes[i % 4];
        size_t room = rooms[i / 4 % 4];
        int form = (int)(i / 16);
        fd_opened(region, FD, KIND_TCP, FD_CONNECTED);
        struct pair p = connected(room);
        uint8_t got[4096], moved[2][SIZE];
        size_t length = 0, n = 0;
        unsigned tries = 0;
        SSL_clear_mode(p.client,
                       SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_set_mode(p.client, mode);
        mode = SSL_get_mode(p.client);
        while (!n) {
            const uint8_t *from = request;
            if (mode & SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER)
                from = memcpy(moved[tries % 2], request, SIZE);
            n = write_by(form, p.client, from, SIZE);
            assert_int_equal(SSL_get_mode(p.client), mode);
            assert_int_equal(inject_waiting, n ? 0 : 1);
            length += received(&p, got + length, sizeof(got) - length);
            assert_true(++tries < 1000);
        }
        assert_int_equal(n, SIZE);
        assert_true(room > 60000 ? tries == 1 : tries > 1);
        check_with_line(got, length);
        gone(&p);
    }
}

/* What OpenSSL would refuse it refuses. */
static void openssl_bad_retry_stays_one(void **state)
{
    (void)state;
    for (int with = 0; with < 2; with++) {
        fd_opened(region, FD, KIND_TCP, FD_CONNECTED);
        struct pair p = connected(100);
        uint8_t other[SIZE];
        region->watch =
            with ? region->watch | WATCH_INJECT : region->watch & ~(uint32_t)WATCH_INJECT;
        memcpy(other, request, SIZE);
        SSL_clear_mode(p.client, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        assert_int_equal(write_by(0, p.client, request, SIZE), 0);
        ERR_clear_error();
        int r = tls_openssl_write(&openssl, p.client, other, SIZE);
        assert_int_equal(r, -1);
        assert_int_equal(SSL_get_error(p.client, r), SSL_ERROR_SSL);
        /* the length is looked at first, and what is kept is longer by the line */
        assert_int_equal(ERR_GET_REASON(ERR_get_error()),
                         with ? SSL_R_BAD_LENGTH : SSL_R_BAD_WRITE_RETRY);
        assert_int_equal(inject_waiting, 0);
        gone(&p);
    }
}

static void openssl_session_that_ends_keeps_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) { /* more than there is room for at a time */
        fd_opened(region, FD, KIND_TCP, FD_CONNECTED);
        struct pair p = connected(100);
        assert_int_equal(write_by(0, p.client, request, SIZE), 0);
        assert_int_equal(inject_waiting, 1);
        if (i % 2)
            tls_openssl_clear(&openssl, p.client);
        else
            gone(&p);
        assert_int_equal(inject_waiting, 0);
        if (i % 2)
            gone(&p);
    }
}

/* At most so many at once; those beyond go as they are. */
static void openssl_is_bounded(void **state)
{
    (void)state;
    struct pair p[70];
    unsigned lines = 0;
    for (int i = 0; i < 70; i++) {
        fd_opened(region, FD, KIND_TCP, FD_CONNECTED);
        p[i] = connected(100);
        write_by(0, p[i].client, request, SIZE);
        lines = inject_waiting;
    }
    assert_int_equal(lines, 64);
    for (int i = 0; i < 70; i++)
        gone(&p[i]);
    assert_int_equal(inject_waiting, 0);
}

/* Not the first flight, not a server's, not one that is too long. */
static void openssl_leaves_others_alone(void **state)
{
    (void)state;
    uint8_t got[65536];
    static uint8_t large[20000];
    struct pair p = connected(65536);
    memset(large, 'b', sizeof(large));
    memcpy(large, "POST / HTTP/1.1\r\nContent-Length: 19961\r\n\r\n", 42);
    assert_int_equal(write_by(0, p.client, large, sizeof(large)), sizeof(large));
    assert_int_equal(received(&p, got, sizeof(got)), sizeof(large));
    assert_memory_equal(got, large, sizeof(large));
    gone(&p);

    fd_opened(region, FD, KIND_TCP, FD_CONNECTED);
    p = connected(65536);
    assert_int_equal(tls_openssl_write(&openssl, p.server, request, SIZE), SIZE);
    BIO_flush(p.in);
    pump(&p);
    assert_int_equal(SSL_read(p.client, got, sizeof(got)), SIZE);
    gone(&p);
}

/* ------------------------------------------------------------------ GnuTLS */

static struct tls_gnutls gnutls;
static uint8_t channel[2][1 << 17];
static size_t channel_length[2], channel_read[2];
static long channel_room; /* what the next pushes of the client take; -1: everything */

struct side {
    int from, to;
};
static struct side sides[2] = {{1, 0}, {0, 1}};
static gnutls_session_t sessions[2];

static ssize_t push(gnutls_transport_ptr_t context, const void *bytes, size_t size)
{
    struct side *s = context;
    if (s == &sides[0] && channel_room >= 0) {
        if (!channel_room) {
            gnutls_transport_set_errno(sessions[0], EAGAIN);
            channel_room = 50;
            return -1;
        }
        size = (size_t)channel_room < size ? (size_t)channel_room : size;
        channel_room -= (long)size;
    }
    if (s == &sides[0] && !(flow()->plain && flow()->generation == FD_GENERATION(fd_get(FD))))
        feed('w', bytes, size);
    memcpy(channel[s->to] + channel_length[s->to], bytes, size);
    channel_length[s->to] += size;
    return (ssize_t)size;
}

static ssize_t pull(gnutls_transport_ptr_t context, void *bytes, size_t size)
{
    struct side *s = context;
    size_t left = channel_length[s->from] - channel_read[s->from];
    if (!left) {
        gnutls_transport_set_errno(sessions[s - sides], EAGAIN);
        return -1;
    }
    size = left < size ? left : size;
    memcpy(bytes, channel[s->from] + channel_read[s->from], size);
    channel_read[s->from] += size;
    return (ssize_t)size;
}

static void gnutls_write_is_finished_as_begun(void **state)
{
    (void)state;
    if (!tls_gnutls_fill(&gnutls, by_dlsym, RTLD_DEFAULT))
        skip();
    for (int how = 0; how < 3; how++) { /* at once; again with the same; again with nothing */
        gnutls_anon_client_credentials_t client;
        gnutls_anon_server_credentials_t server;
        gnutls_anon_allocate_client_credentials(&client);
        gnutls_anon_allocate_server_credentials(&server);
        memset(channel_length, 0, sizeof(channel_length));
        memset(channel_read, 0, sizeof(channel_read));
        channel_room = -1;
        fd_opened(region, FD, KIND_TCP, FD_CONNECTED);
        for (int i = 0; i < 2; i++) {
            gnutls_init(&sessions[i], (i ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK);
            gnutls_priority_set_direct(sessions[i], "NORMAL:+ANON-ECDH:+ANON-DH:-VERS-TLS1.3",
                                       NULL);
            gnutls_credentials_set(sessions[i], GNUTLS_CRD_ANON,
                                   i ? (void *)server : (void *)client);
            gnutls_transport_set_ptr(sessions[i], &sides[i]);
            gnutls_transport_set_push_function(sessions[i], push);
            gnutls_transport_set_pull_function(sessions[i], pull);
        }
        int done[2] = {-1, -1};
        for (int i = 0; i < 50 && (done[0] || done[1]); i++)
            done[i % 2] = done[i % 2] ? gnutls_handshake(sessions[i % 2]) : 0;
        assert_int_equal(done[0] | done[1], 0);
        channel_room = how ? 50 : -1;
        ssize_t n = tls_gnutls_send(&gnutls, sessions[0], request, SIZE);
        unsigned tries = 1;
        for (; n == GNUTLS_E_AGAIN; tries++) {
            assert_int_equal(inject_waiting, 1);
            n = how == 1 ? tls_gnutls_send(&gnutls, sessions[0], request, SIZE)
                         : tls_gnutls_send(&gnutls, sessions[0], NULL, 0);
            assert_true(tries < 100);
        }
        assert_int_equal(n, SIZE);
        assert_true(how ? tries > 5 : tries == 1);
        uint8_t got[4096];
        size_t length = 0;
        while ((n = gnutls_record_recv(sessions[1], got + length, sizeof(got) - length)) > 0)
            length += (size_t)n;
        if (how < 2) {
            check_with_line(got, length);
        } else { /* what was sent at the end is not known: no more than that it came */
            assert_int_equal(length, SIZE + INJECT_LINE);
            assert_int_equal(inject_waiting, 0);
        }
        tls_gnutls_deinit(&gnutls, sessions[0]);
        gnutls_deinit(sessions[1]);
        gnutls_anon_free_client_credentials(client);
        gnutls_anon_free_server_credentials(server);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(openssl_write_is_finished_as_begun),
        TEST(openssl_bad_retry_stays_one),
        TEST(openssl_session_that_ends_keeps_nothing),
        TEST(openssl_is_bounded),
        TEST(openssl_leaves_others_alone),
        TEST(gnutls_write_is_finished_as_begun),
    };
    return cmocka_run_group_tests(tests, make_contexts, NULL);
}
