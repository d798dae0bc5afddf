/*
 * The wrappers of OpenSSL around the real library: what they tell, byte for byte, and that the
 * program finds results, errno and the error queue as without them.
 */
#include "tls_fixture.h"

#include <errno.h>
#include <signal.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "intercept/tls_openssl.c"
#include "intercept/tls_session.c"

static struct tls_openssl api_table;
static const struct tls_openssl *const api = &api_table;
static SSL_CTX *client_context, *server_context;

struct pair {
    int fds[2];
    SSL *client, *server;
};

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *length,
                           const unsigned char *in, unsigned in_length, void *context)
{
    (void)ssl, (void)in_length, (void)context;
    *out = in + 1;
    *length = in[0];
    return SSL_TLSEXT_ERR_OK;
}

static void make_certificate(SSL_CTX *context)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_int_equal(SSL_CTX_use_certificate(context, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static int make_contexts(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    if (!tls_openssl_fill(&api_table, by_dlsym, RTLD_DEFAULT))
        return -1;
    client_context = SSL_CTX_new(TLS_client_method());
    server_context = SSL_CTX_new(TLS_server_method());
    make_certificate(server_context);
    SSL_CTX_set_alpn_protos(client_context, (const uint8_t *)"\x02h2", 3);
    SSL_CTX_set_alpn_select_cb(server_context, choose_protocol, NULL);
    SSL_CTX_set_max_early_data(server_context, 16384);
    return 0;
}

static int drop_contexts(void **state)
{
    (void)state;
    SSL_CTX_free(client_context);
    SSL_CTX_free(server_context);
    return 0;
}

static void open_pair(struct pair *p)
{
    connect_pair(p->fds);
    p->client = SSL_new(client_context);
    p->server = SSL_new(server_context);
    SSL_set_tlsext_host_name(p->client, "example.org");
    SSL_set_fd(p->client, p->fds[0]);
    SSL_set_fd(p->server, p->fds[1]);
}

static void close_pair_ssl(struct pair *p)
{
    tls_openssl_release(api, p->client);
    tls_openssl_release(api, p->server);
    close_pair(p->fds);
    assert_int_equal(ERR_peek_error(), 0);
}

static void shake(struct pair *p)
{
    int c = 0, s = 0;
    for (unsigned i = 0; i < 10 && (c != 1 || s != 1); i++) {
        if (c != 1)
            c = tls_openssl_connect(api, p->client);
        if (s != 1)
            s = tls_openssl_accept(api, p->server);
    }
    assert_int_equal(c, 1);
    assert_int_equal(s, 1);
}

static void assert_shaken(const struct pair *p, int version)
{
    for (unsigned i = 0; i < 2; i++) {
        int fd = p->fds[i];
        assert_int_equal(shaken[fd].count, 1);
        assert_int_equal(shaken[fd].result, 0);
        assert_int_equal(shaken[fd].what.version, version);
        assert_int_equal(shaken[fd].what.server, i);
        assert_int_equal(shaken[fd].what.library, TLS_OPENSSL);
        assert_string_equal(shaken[fd].name, "example.org");
        assert_string_equal(shaken[fd].protocol, "h2");
        assert_true(shaken[fd].start && shaken[fd].end > shaken[fd].start);
    }
}

static void test_handshake_is_told_once_by_each_side(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p);
    uint64_t before_it = ticks_now();
    assert_int_equal(tls_openssl_connect(api, p.client), -1);
    uint64_t first = ticks_now();
    assert_int_equal(shaken[p.fds[0]].count, 0);
    shake(&p);
    assert_shaken(&p, TLS1_3_VERSION);
    /* it began with the first of the client's calls */
    assert_in_range(shaken[p.fds[0]].start, before_it, first);
    assert_int_equal(tls_openssl_do_handshake(api, p.client), 1);
    assert_int_equal(shaken[p.fds[0]].count, 1);
    close_pair_ssl(&p);
}

static void test_implicit_handshake(void **state)
{
    (void)state;
    struct pair p;
    char out[8];
    size_t n = 0;
    open_pair(&p);
    SSL_set_connect_state(p.client);
    SSL_set_accept_state(p.server);
    SSL_set_max_proto_version(p.client, TLS1_2_VERSION);
    int w = -1, r = -1;
    for (unsigned i = 0; i < 10 && r != 1; i++) {
        if (w <= 0)
            w = tls_openssl_write(api, p.client, "hello", 5);
        r = tls_openssl_read_ex(api, p.server, out, sizeof(out), &n);
    }
    assert_int_equal(w, 5);
    assert_int_equal(n, 5);
    assert_shaken(&p, TLS1_2_VERSION);
    assert_told(p.fds[0], 'w', "hello", 5);
    assert_told(p.fds[1], 'r', "hello", 5);
    close_pair_ssl(&p);
}

/* Tickets are read within the client's SSL_read: a handshake that is over does not end again. */
static void test_what_follows_a_handshake_is_none(void **state)
{
    (void)state;
    struct pair p;
    char out[8];
    open_pair(&p);
    shake(&p);
    assert_int_equal(tls_openssl_read(api, p.client, out, sizeof(out)), -1);
    assert_int_equal(SSL_key_update(p.server, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(tls_openssl_write(api, p.server, "x", 1), 1);
    assert_int_equal(tls_openssl_read(api, p.client, out, sizeof(out)), 1);
    assert_int_equal(shaken[p.fds[0]].count, 1);
    assert_int_equal(shaken[p.fds[1]].count, 1);
    close_pair_ssl(&p);
}

static void test_bytes_of_every_form(void **state)
{
    (void)state;
    struct pair p, q;
    char out[16] = "";
    size_t n = 99;
    open_pair(&p);
    open_pair(&q);
    shake(&p);
    shake(&q);
    /* two sessions in turn on one thread */
    assert_int_equal(tls_openssl_write(api, p.client, "one", 3), 3);
    assert_int_equal(tls_openssl_write(api, q.client, "ONE", 3), 3);
    assert_int_equal(tls_openssl_write_ex(api, p.client, "two", 3, &n), 1);
    assert_int_equal(n, 3);
    assert_int_equal(SSL_peek(p.server, out, 2), 2);
    assert_told(p.fds[1], 'r', "", 0);
    assert_int_equal(tls_openssl_read(api, p.server, out, 2), 2);
    assert_int_equal(tls_openssl_read_ex(api, p.server, out, sizeof(out), &n), 1);
    assert_int_equal(n, 1);
    assert_int_equal(tls_openssl_read_ex(api, p.server, out, sizeof(out), &n), 1);
    assert_int_equal(tls_openssl_read(api, q.server, out, sizeof(out)), 3);
    assert_told(p.fds[0], 'w', "onetwo", 6);
    assert_told(p.fds[1], 'r', "onetwo", 6);
    assert_told(q.fds[0], 'w', "ONE", 3);
    assert_told(q.fds[1], 'r', "ONE", 3);
    assert_told(p.fds[0], 'r', "", 0);
    close_pair_ssl(&p);
    close_pair_ssl(&q);
}

/* What one side sent and the other got, through a connection that takes a little at a time. */
static void move_much(bool partial)
{
    enum { SIZE = 1 << 20 };
    struct pair p;
    uint8_t *sent = malloc(SIZE), *got = malloc(SIZE);
    size_t out = 0, in = 0;
    unsigned refused = 0;
    for (size_t i = 0; i < SIZE; i++)
        sent[i] = (uint8_t)(i * 31 + i / 251);
    open_pair(&p);
    SSL_set_mode(p.client, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                               (partial ? SSL_MODE_ENABLE_PARTIAL_WRITE : 0));
    shake(&p);
    while (in < SIZE) {
        int w = out < SIZE ? tls_openssl_write(api, p.client, sent + out, (int)(SIZE - out)) : 0;
        if (w > 0)
            out += (size_t)w;
        else if (out < SIZE)
            refused += SSL_get_error(p.client, w) == SSL_ERROR_WANT_WRITE;
        assert_int_equal(told[p.fds[0]][1].length, out);
        if (w > 0 && out < SIZE)
            continue; /* until it takes no more */
        int r = tls_openssl_read(api, p.server, got + in, (int)(SIZE - in));
        in += r > 0 ? (size_t)r : 0;
        assert_int_equal(told[p.fds[1]][0].length, in);
    }
    assert_true(refused > 0);
    assert_told(p.fds[0], 'w', sent, SIZE);
    assert_told(p.fds[1], 'r', got, SIZE);
    assert_memory_equal(sent, got, SIZE);
    assert_true(partial ? told[p.fds[0]][1].calls > 1 : told[p.fds[0]][1].calls == 1);
    close_pair_ssl(&p);
    free(sent);
    free(got);
}

static void test_partial_writes(void **state)
{
    (void)state;
    move_much(true);
}

static void test_retried_writes(void **state)
{
    (void)state;
    move_much(false);
}

static void test_early_data(void **state)
{
    (void)state;
    struct pair p;
    char out[8];
    size_t n = 0;
    open_pair(&p);
    shake(&p);
    assert_int_equal(tls_openssl_read(api, p.client, out, sizeof(out)), -1);
    SSL_SESSION *session = SSL_get1_session(p.client);
    SSL_shutdown(p.client); /* or the session counts as broken */
    SSL_shutdown(p.server);
    close_pair_ssl(&p);
    forget_told();

    open_pair(&p);
    SSL_set_session(p.client, session);
    assert_int_equal(tls_openssl_write_early_data(api, p.client, "early", 5, &n), 1);
    assert_int_equal(tls_openssl_read_early_data(api, p.server, out, sizeof(out), &n), 1);
    assert_int_equal(n, 5);
    assert_told(p.fds[0], 'w', "early", 5);
    assert_told(p.fds[1], 'r', "early", 5);
    int c = -1;
    for (unsigned i = 0; i < 10 && (c != 1 || SSL_in_init(p.server)); i++) {
        c = tls_openssl_connect(api, p.client);
        int r = tls_openssl_read_early_data(api, p.server, out, sizeof(out), &n);
        if (r == SSL_READ_EARLY_DATA_FINISH)
            tls_openssl_accept(api, p.server);
    }
    assert_int_equal(shaken[p.fds[0]].count, 1);
    assert_int_equal(shaken[p.fds[1]].count, 1);
    assert_told(p.fds[1], 'r', "early", 5);
    SSL_SESSION_free(session);
    close_pair_ssl(&p);
}

static void test_failed_handshakes(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p);
    SSL_set_min_proto_version(p.client, TLS1_3_VERSION);
    SSL_set_max_proto_version(p.server, TLS1_2_VERSION);
    assert_int_equal(tls_openssl_connect(api, p.client), -1);
    assert_int_equal(tls_openssl_accept(api, p.server), -1);
    assert_true(ERR_peek_error() != 0);
    ERR_clear_error();
    assert_int_equal(tls_openssl_connect(api, p.client), -1);
    ERR_clear_error();
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(shaken[p.fds[i]].count, 1);
        assert_int_equal(shaken[p.fds[i]].result, -EPROTO);
        assert_int_equal(shaken[p.fds[i]].what.version, 0);
    }
    close_pair_ssl(&p);
    forget_told();

    /* the peer goes away */
    open_pair(&p);
    assert_int_equal(tls_openssl_connect(api, p.client), -1);
    shutdown(p.fds[1], SHUT_RDWR);
    assert_true(tls_openssl_connect(api, p.client) <= 0);
    ERR_clear_error();
    assert_int_equal(shaken[p.fds[0]].count, 1);
    assert_true(shaken[p.fds[0]].result < 0);
    close_pair_ssl(&p);
    forget_told();

    /* an error of long ago says nothing about one that waits */
    open_pair(&p);
    ERR_raise(ERR_LIB_USER, 7);
    assert_int_equal(tls_openssl_connect(api, p.client), -1);
    assert_int_equal(shaken[p.fds[0]].count, 0);
    ERR_clear_error();
    shake(&p);
    assert_int_equal(shaken[p.fds[0]].result, 0);
    close_pair_ssl(&p);
}

/* Every entry of the queue, and errno, after `call` in a queue that held `old` before. */
static unsigned queue_after(int (*call)(SSL *, bool), SSL *ssl, bool wrapped, bool old,
                            unsigned long codes[8], int *error)
{
    unsigned n = 0;
    ERR_clear_error();
    if (old)
        ERR_raise(ERR_LIB_USER, 42);
    errno = 0;
    call(ssl, wrapped);
    *error = errno;
    while (n < 8 && (codes[n] = ERR_get_error()))
        n++;
    return n;
}

static char buffer[16];
static size_t done;
#define BOTH(name, real, ours)              \
    static int name(SSL *ssl, bool wrapped) \
    {                                       \
        return wrapped ? ours : real;       \
    }
/* clang-format off */
BOTH(do_read, SSL_read(ssl, buffer, 16), tls_openssl_read(api, ssl, buffer, 16))
BOTH(do_read_ex, SSL_read_ex(ssl, buffer, 16, &done), tls_openssl_read_ex(api, ssl, buffer, 16, &done))
BOTH(do_write, SSL_write(ssl, "x", 1), tls_openssl_write(api, ssl, "x", 1))
BOTH(do_write_ex, SSL_write_ex(ssl, "x", 1, &done), tls_openssl_write_ex(api, ssl, "x", 1, &done))
BOTH(do_sendfile, (int)SSL_sendfile(ssl, 0, 0, 1, 0), (int)tls_openssl_sendfile(api, ssl, 0, 0, 1, 0))
BOTH(do_shake, SSL_do_handshake(ssl), tls_openssl_do_handshake(api, ssl))
BOTH(do_connect, SSL_connect(ssl), tls_openssl_connect(api, ssl))
BOTH(do_accept, SSL_accept(ssl), tls_openssl_accept(api, ssl))
BOTH(do_early, SSL_write_early_data(ssl, "x", 1, &done), tls_openssl_write_early_data(api, ssl, "x", 1, &done))
BOTH(do_read_early, SSL_read_early_data(ssl, buffer, 16, &done), tls_openssl_read_early_data(api, ssl, buffer, 16, &done))
BOTH(do_clear, SSL_clear(ssl), tls_openssl_clear(api, ssl))
/* clang-format on */

static void test_error_queue_and_errno_are_the_real_ones(void **state)
{
    (void)state;
    int (*const calls[])(SSL *, bool) = {do_read,  do_read_ex,  do_write,     do_write_ex,
                                         do_shake, do_connect,  do_accept,    do_early,
                                         do_clear, do_sendfile, do_read_early};
    /* without a BIO; with one that waits; whose peer is gone; and after a handshake */
    for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]) * 8; i++) {
        unsigned how = i % 4;
        bool old = i / 4 % 2;
        unsigned long codes[2][8];
        unsigned n[2];
        int error[2];
        for (unsigned wrapped = 0; wrapped < 2; wrapped++) {
            struct pair p;
            open_pair(&p);
            SSL *lone = SSL_new(client_context);
            if (how == 2)
                shutdown(p.fds[1], SHUT_RDWR);
            if (how == 3)
                shake(&p);
            SSL *ssl = how ? p.client : lone;
            n[wrapped] =
                queue_after(calls[i / 8], ssl, wrapped, old, codes[wrapped], &error[wrapped]);
            SSL_free(lone);
            close_pair_ssl(&p);
        }
        assert_int_equal(n[0], n[1]);
        assert_int_equal(error[0], error[1]);
        assert_memory_equal(codes[0], codes[1], n[0] * sizeof(codes[0][0]));
    }
}

/* ------------------------------------------------------------------ memory buffers */

/* A client and a server whose bytes the program carries itself. */
static void open_memory(struct pair *p)
{
    BIO *a, *b;
    connect_pair(p->fds);
    p->client = SSL_new(client_context);
    p->server = SSL_new(server_context);
    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(p->client, a, a);
    SSL_set_bio(p->server, b, b);
}

/* The descriptor is known from when the ClientHello went by. */
static void know_random(unsigned place_of, SSL *ssl, int fd)
{
    assert_int_equal(SSL_get_client_random(ssl, randoms[place_of].random, 32), 32);
    randoms[place_of].fd = fd;
}

static void test_memory_buffers_are_placed_by_the_random(void **state)
{
    (void)state;
    struct pair p;
    char out[16];
    open_memory(&p);
    assert_int_equal(tls_openssl_connect(api, p.client), -1);
    know_random(0, p.client, p.fds[0]); /* out of one, into the other: one random */
    know_random(1, p.client, p.fds[1]);
    randoms[0].direction = 'w';
    randoms[1].direction = 'r';
    shake(&p);
    assert_int_equal(shaken[p.fds[0]].count, 1);
    assert_int_equal(shaken[p.fds[1]].count, 1);
    assert_int_equal(shaken[p.fds[1]].what.server, 1);
    assert_int_equal(tls_openssl_write(api, p.client, "ping", 4), 4);
    assert_int_equal(tls_openssl_read(api, p.server, out, 16), 4);
    assert_int_equal(tls_openssl_write(api, p.server, "pong!", 5), 5);
    assert_int_equal(tls_openssl_read(api, p.client, out, 16), 5);
    assert_told(p.fds[0], 'w', "ping", 4);
    assert_told(p.fds[0], 'r', "pong!", 5);
    assert_told(p.fds[1], 'r', "ping", 4);
    assert_told(p.fds[1], 'w', "pong!", 5);
    assert_int_equal(hook_region->drops[DROP_FLOW], 0);

    /* what was found holds after the ClientHello is forgotten, until the descriptor has a new life
     */
    memset(randoms, 0, sizeof(randoms));
    assert_int_equal(tls_openssl_write(api, p.client, "more", 4), 4);
    assert_int_equal(told[p.fds[0]][1].length, 8);
    fd_closing(p.fds[0]);
    fd_opened(hook_region, p.fds[0], KIND_UNIX_STREAM, FD_OPEN);
    assert_int_equal(tls_openssl_write(api, p.client, "lost", 4), 4);
    assert_int_equal(told[p.fds[0]][1].length, 8);
    assert_int_equal(hook_region->drops[DROP_FLOW], 1);
    close_pair_ssl(&p);
}

static void test_what_cannot_be_placed_is_counted_once_a_session(void **state)
{
    (void)state;
    struct pair p;
    char out[16];
    open_memory(&p);
    shake(&p);
    assert_int_equal(hook_region->drops[DROP_FLOW], 0); /* no plaintext yet */
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(tls_openssl_write(api, p.client, "ping", 4), 4);
        assert_int_equal(tls_openssl_read(api, p.server, out, 16), 4);
    }
    assert_int_equal(hook_region->drops[DROP_FLOW], 2); /* the client's and the server's */
    close_pair_ssl(&p);
}

/* An end that went by unseen leaves nothing to whoever gets the address next. */
static void test_a_reused_address_is_another_session(void **state)
{
    (void)state;
    struct pair p;
    open_memory(&p);
    shake(&p);
    know_random(0, p.client, p.fds[0]);
    assert_int_equal(tls_openssl_write(api, p.client, "old", 3), 3);
    assert_told(p.fds[0], 'w', "old", 3);
    SSL *old = p.client;
    SSL_clear(p.client); /* not through us */
    SSL_clear(p.server);
    BIO *a, *b;
    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(p.client, a, a);
    SSL_set_bio(p.server, b, b);
    shake(&p);
    assert_ptr_equal(old, p.client);
    assert_int_equal(tls_openssl_write(api, p.client, "new", 3), 3);
    assert_told(p.fds[0], 'w', "old", 3);
    know_random(1, p.client, p.fds[1]);
    assert_int_equal(tls_openssl_write(api, p.client, "newer", 5), 5);
    assert_told(p.fds[1], 'w', "newer", 5);
    close_pair_ssl(&p);
}

/* More sessions at once than are remembered: each is still told on its own descriptor. */
static void test_many_sessions(void **state)
{
    (void)state;
    for (uintptr_t i = 1; i <= 4 * SESSIONS; i++)
        tls_handshake_begins((void *)(i * 64), i);
    unsigned kept = 0;
    for (uintptr_t i = 1; i <= 4 * SESSIONS; i++) {
        uint64_t since = tls_handshake_ends((void *)(i * 64));
        assert_true(since == 0 || since == i);
        kept += since != 0;
        tls_forget((void *)(i * 64));
    }
    assert_in_range(kept, SESSIONS / 2, SESSIONS);
}

static void test_nothing_is_told_where_nothing_is_watched(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p);
    hook_region->watch = 0;
    shake(&p);
    assert_int_equal(tls_openssl_write(api, p.client, "ping", 4), 4);
    hook_region->watch = WATCH_FLOWS;
    struct lane *lane = hook_self;
    hook_self = HOOK_OFF;
    assert_int_equal(tls_openssl_write(api, p.client, "ping", 4), 4);
    hook_self = lane;
    assert_told(p.fds[0], 'w', "", 0);
    assert_int_equal(shaken[p.fds[0]].count, 0);
    assert_int_equal(tls_openssl_write(api, p.client, "ping", 4), 4);
    assert_told(p.fds[0], 'w', "ping", 4);
    close_pair_ssl(&p);
}

static void *no_random(void *context, const char *name)
{
    return strcmp(name, "SSL_get_client_random") == 0 ? NULL : by_dlsym(context, name);
}

/* An old or foreign library: its functions work, nothing is observed. */
static void test_a_library_without_the_helpers_is_left_alone(void **state)
{
    (void)state;
    struct tls_openssl strange;
    struct pair p;
    open_pair(&p);
    shake(&p);
    assert_false(tls_openssl_fill(&strange, no_random, RTLD_DEFAULT));
    assert_int_equal(tls_openssl_write(&strange, p.client, "ping", 4), 4);
    assert_told(p.fds[0], 'w', "", 0);
    close_pair_ssl(&p);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, tls_open)
    const struct CMUnitTest tests[] = {
        TEST(test_handshake_is_told_once_by_each_side),
        TEST(test_implicit_handshake),
        TEST(test_what_follows_a_handshake_is_none),
        TEST(test_bytes_of_every_form),
        TEST(test_partial_writes),
        TEST(test_retried_writes),
        TEST(test_early_data),
        TEST(test_failed_handshakes),
        TEST(test_error_queue_and_errno_are_the_real_ones),
        TEST(test_memory_buffers_are_placed_by_the_random),
        TEST(test_what_cannot_be_placed_is_counted_once_a_session),
        TEST(test_a_reused_address_is_another_session),
        TEST(test_many_sessions),
        TEST(test_nothing_is_told_where_nothing_is_watched),
        TEST(test_a_library_without_the_helpers_is_left_alone),
    };
    return cmocka_run_group_tests(tests, make_contexts, drop_contexts);
}
