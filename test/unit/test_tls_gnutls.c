/* The wrappers of GnuTLS around the real library: what they tell, byte for byte. */
#include "tls_fixture.h"

#include <errno.h>
#include <signal.h>
#include <gnutls/gnutls.h>

#include "intercept/tls_gnutls.c"
#include "intercept/tls_session.c"

static struct tls_gnutls api_table;
static const struct tls_gnutls *const api = &api_table;
static gnutls_psk_client_credentials_t client_key;
static gnutls_psk_server_credentials_t server_key;

struct pair {
    int fds[2];
    gnutls_session_t client, server;
};

static int give_key(gnutls_session_t session, const char *user, gnutls_datum_t *key)
{
    (void)session, (void)user;
    key->data = gnutls_malloc(16);
    memset(key->data, 7, 16);
    key->size = 16;
    return 0;
}

static int make_credentials(void **state)
{
    (void)state;
    const gnutls_datum_t key = {(unsigned char *)"07070707070707070707070707070707", 32};
    signal(SIGPIPE, SIG_IGN);
    if (!tls_gnutls_fill(&api_table, by_dlsym, RTLD_DEFAULT))
        return -1;
    gnutls_psk_allocate_client_credentials(&client_key);
    gnutls_psk_allocate_server_credentials(&server_key);
    gnutls_psk_set_client_credentials(client_key, "somebody", &key, GNUTLS_PSK_KEY_HEX);
    gnutls_psk_set_server_credentials_function(server_key, give_key);
    return 0;
}

static int drop_credentials(void **state)
{
    (void)state;
    gnutls_psk_free_client_credentials(client_key);
    gnutls_psk_free_server_credentials(server_key);
    return 0;
}

static void open_pair(struct pair *p)
{
    static const char priorities[] = "NORMAL:-KX-ALL:+PSK:+DHE-PSK:+ECDHE-PSK";
    gnutls_datum_t protocol = {(unsigned char *)"h2", 2};
    connect_pair(p->fds);
    gnutls_init(&p->client, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
    gnutls_init(&p->server, GNUTLS_SERVER | GNUTLS_NONBLOCK);
    assert_int_equal(gnutls_priority_set_direct(p->client, priorities, NULL), 0);
    assert_int_equal(gnutls_priority_set_direct(p->server, priorities, NULL), 0);
    gnutls_credentials_set(p->client, GNUTLS_CRD_PSK, client_key);
    gnutls_credentials_set(p->server, GNUTLS_CRD_PSK, server_key);
    gnutls_server_name_set(p->client, GNUTLS_NAME_DNS, "example.org", 11);
    gnutls_alpn_set_protocols(p->client, &protocol, 1, 0);
    gnutls_alpn_set_protocols(p->server, &protocol, 1, 0);
    gnutls_transport_set_int(p->client, p->fds[0]);
    gnutls_transport_set_int(p->server, p->fds[1]);
}

static void close_sessions(struct pair *p)
{
    tls_gnutls_deinit(api, p->client);
    tls_gnutls_deinit(api, p->server);
    close_pair(p->fds);
}

static void shake(struct pair *p)
{
    int c = -1, s = -1;
    for (unsigned i = 0; i < 10 && (c || s); i++) {
        if (c)
            c = tls_gnutls_handshake(api, p->client);
        if (s)
            s = tls_gnutls_handshake(api, p->server);
    }
    assert_int_equal(c, 0);
    assert_int_equal(s, 0);
}

static void test_handshake_is_told_once_by_each_side(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p);
    uint64_t before_it = ticks_now();
    assert_int_equal(tls_gnutls_handshake(api, p.client), GNUTLS_E_AGAIN);
    uint64_t first = ticks_now();
    assert_int_equal(shaken[p.fds[0]].count, 0);
    shake(&p);
    for (unsigned i = 0; i < 2; i++) {
        int fd = p.fds[i];
        assert_int_equal(shaken[fd].count, 1);
        assert_int_equal(shaken[fd].result, 0);
        assert_int_equal(shaken[fd].what.version, 0x0304);
        assert_int_equal(shaken[fd].what.server, i);
        assert_int_equal(shaken[fd].what.library, TLS_GNUTLS);
        assert_string_equal(shaken[fd].name, i ? "example.org" : "");
        assert_string_equal(shaken[fd].protocol, "h2");
    }
    assert_in_range(shaken[p.fds[0]].start, before_it, first);
    assert_true(shaken[p.fds[0]].end > first);
    close_sessions(&p);
}

static void test_failed_handshake(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p);
    assert_int_equal(tls_gnutls_handshake(api, p.client), GNUTLS_E_AGAIN);
    shutdown(p.fds[1], SHUT_RDWR);
    assert_true(gnutls_error_is_fatal(tls_gnutls_handshake(api, p.client)));
    assert_int_equal(shaken[p.fds[0]].count, 1);
    assert_true(shaken[p.fds[0]].result < 0);
    assert_int_equal(shaken[p.fds[0]].what.version, 0);
    close_sessions(&p);
}

static void test_bytes_of_every_form(void **state)
{
    (void)state;
    struct pair p;
    char out[16];
    uint8_t sequence[8];
    gnutls_packet_t packet;
    open_pair(&p);
    shake(&p);
    assert_int_equal(tls_gnutls_send(api, p.client, "one", 3), 3);
    assert_int_equal(tls_gnutls_recv(api, p.server, out, 2), 2);
    assert_int_equal(tls_gnutls_recv(api, p.server, out, 16), 1);
    assert_int_equal(tls_gnutls_send2(api, p.client, "two", 3, 5, 0), 3);
    assert_int_equal(tls_gnutls_recv_seq(api, p.server, out, 16, sequence), 3);
    assert_int_equal(tls_gnutls_send(api, p.client, "three", 5), 5);
    assert_int_equal(tls_gnutls_recv_packet(api, p.server, (void **)&packet), 5);
    gnutls_packet_deinit(packet);
    const gnutls_range_st range = {4, 4};
    assert_int_equal(tls_gnutls_send_range(api, p.client, "four", 4, &range), 4);
    assert_int_equal(tls_gnutls_recv(api, p.server, out, 16), 4);
    assert_int_equal(tls_gnutls_recv(api, p.server, out, 16), GNUTLS_E_AGAIN);
    assert_told(p.fds[0], 'w', "onetwothreefour", 15);
    assert_told(p.fds[1], 'r', "onetwothreefour", 15);
    assert_told(p.fds[1], 'w', "", 0);
    close_sessions(&p);
}

/* What is corked is the program's once it was given away; sending it later adds nothing. */
static void test_corked_bytes_count_once(void **state)
{
    (void)state;
    struct pair p;
    char out[16];
    open_pair(&p);
    shake(&p);
    gnutls_record_cork(p.client);
    assert_int_equal(tls_gnutls_send(api, p.client, "one", 3), 3);
    assert_int_equal(tls_gnutls_send(api, p.client, "two", 3), 3);
    assert_int_equal(gnutls_record_uncork(p.client, 0), 6);
    assert_int_equal(tls_gnutls_recv(api, p.server, out, 16), 6);
    assert_told(p.fds[0], 'w', "onetwo", 6);
    assert_told(p.fds[1], 'r', "onetwo", 6);
    close_sessions(&p);
}

static void test_a_file_is_counted_unseen(void **state)
{
    (void)state;
    struct pair p;
    char out[16];
    off_t at = 2;
    FILE *file = tmpfile();
    fputs("0123456789", file);
    rewind(file); /* it counts from where the file stands */
    open_pair(&p);
    shake(&p);
    assert_int_equal(tls_gnutls_send_file(api, p.client, fileno(file), &at, 8), 8);
    assert_int_equal(tls_gnutls_recv(api, p.server, out, 16), 8);
    assert_int_equal(told[p.fds[0]][1].unseen, 8);
    assert_told(p.fds[0], 'w', "", 0);
    assert_told(p.fds[1], 'r', "23456789", 8);
    fclose(file);
    close_sessions(&p);
}

/* With a retry that gives the data again, and with one that gives none. */
static void test_sends_that_had_to_wait(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    for (unsigned null = 0; null < 2; null++) {
        struct pair p;
        uint8_t *sent = malloc(SIZE), *got = malloc(SIZE);
        size_t out = 0, in = 0;
        unsigned refused = 0;
        bool waits = false;
        for (size_t i = 0; i < SIZE; i++)
            sent[i] = (uint8_t)(i * 31 + i / 251);
        open_pair(&p);
        shake(&p);
        while (in < SIZE) {
            ssize_t w = 0;
            if (out < SIZE) {
                bool nothing = waits && null;
                w = tls_gnutls_send(api, p.client, nothing ? NULL : sent + out,
                                    nothing ? 0 : SIZE - out);
                waits = w == GNUTLS_E_AGAIN;
                refused += waits;
            }
            if (w > 0)
                out += (size_t)w;
            assert_int_equal(told[p.fds[0]][1].length + told[p.fds[0]][1].unseen, out);
            if (w > 0 && out < SIZE)
                continue; /* until it takes no more */
            ssize_t r = tls_gnutls_recv(api, p.server, got + in, SIZE - in);
            in += r > 0 ? (size_t)r : 0;
        }
        assert_true(refused > 0);
        assert_memory_equal(sent, got, SIZE);
        assert_told(p.fds[1], 'r', got, SIZE);
        if (null)
            assert_true(told[p.fds[0]][1].unseen > 0);
        else
            assert_told(p.fds[0], 'w', sent, SIZE);
        close_sessions(&p);
        forget_told();
        free(sent);
        free(got);
    }
}

/* ------------------------------------------------------------------ transports of the program's
 * own */

static ssize_t pull(gnutls_transport_ptr_t own, void *data, size_t size)
{
    return recv(*(int *)own, data, size, 0);
}

static ssize_t push(gnutls_transport_ptr_t own, const void *data, size_t size)
{
    return send(*(int *)own, data, size, 0);
}

static void test_a_pointer_is_no_descriptor(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p);
    gnutls_transport_set_ptr(p.client, &p.fds[0]);
    gnutls_transport_set_push_function(p.client, push);
    gnutls_transport_set_pull_function(p.client, pull);
    shake(&p);
    assert_int_equal(shaken[p.fds[0]].count, 0);
    assert_int_equal(tls_gnutls_send(api, p.client, "one", 3), 3);
    assert_int_equal(tls_gnutls_send(api, p.client, "two", 3), 3);
    assert_int_equal(hook_region->drops[DROP_FLOW], 1);
    gnutls_datum_t random, other;
    gnutls_session_get_random(p.client, &random, &other);
    memcpy(randoms[0].random, random.data, 32);
    randoms[0].fd = p.fds[0];
    assert_int_equal(tls_gnutls_send(api, p.client, "three", 5), 5);
    assert_told(p.fds[0], 'w', "three", 5);
    close_sessions(&p);
}

static void test_a_small_pointer_that_is_no_socket(void **state)
{
    (void)state;
    struct pair p;
    int file = open("/dev/null", O_RDWR);
    fd_opened(hook_region, file, KIND_DEVICE, FD_OPEN);
    open_pair(&p);
    gnutls_transport_set_ptr(p.client, (gnutls_transport_ptr_t)(intptr_t)file);
    assert_true(tls_gnutls_send(api, p.client, "one", 3) < 0);
    assert_told(file, 'w', "", 0);
    assert_int_equal(descriptor(api, p.client, hook_self, 'w'), -1);
    assert_int_equal(descriptor(api, p.server, hook_self, 'w'), p.fds[1]);
    close_sessions(&p);
    close(file);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, tls_open)
    const struct CMUnitTest tests[] = {
        TEST(test_handshake_is_told_once_by_each_side),
        TEST(test_failed_handshake),
        TEST(test_bytes_of_every_form),
        TEST(test_corked_bytes_count_once),
        TEST(test_a_file_is_counted_unseen),
        TEST(test_sends_that_had_to_wait),
        TEST(test_a_pointer_is_no_descriptor),
        TEST(test_a_small_pointer_that_is_no_socket),
    };
    return cmocka_run_group_tests(tests, make_credentials, drop_credentials);
}
