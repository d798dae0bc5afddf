/*
 * Sockets as sinks, against real peers on loopback and in a directory of our own: peers that are
 * away, come back, read slowly, talk, close in the middle, or refuse.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "report/report.h"
#include "transport/transport.h"

#define MS 1000000ull

static struct transport *open_url(const char *url)
{
    struct address a;
    struct transport_options o = {.saved_stdout = -1, .saved_stderr = -1, .mode = 0600};

    assert_int_equal(address_parse(url, &a, NULL), 0);
    struct transport *t = transport_new(&a, &o);
    assert_non_null(t);
    return t;
}

static int send_text(struct transport *t, const char *text)
{
    return transport_send(t, text, strlen(text), now_mono() + 2000 * MS);
}

/* A bound socket on a free port of 127.0.0.1 or ::1. */
static int serve(int family, int type, uint16_t *port)
{
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(*port)};
    struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(*port)};
    struct sockaddr *a = family == AF_INET ? (void *)&v4 : (void *)&v6;
    socklen_t size = family == AF_INET ? sizeof(v4) : sizeof(v6);
    int fd = socket(family, type | SOCK_CLOEXEC, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, a, size) < 0) {
        close(fd);
        return -1;
    }
    if (type == SOCK_STREAM)
        listen(fd, 8);
    getsockname(fd, a, &size);
    *port = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
    return fd;
}

static int serve_unix(const char *path, int type)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    strcpy(a.sun_path, path);
    if (*path == '@') {
        a.sun_path[0] = '\0';
        size--;
    } else {
        unlink(path);
    }
    assert_int_equal(bind(fd, (void *)&a, size), 0);
    if (type == SOCK_STREAM)
        listen(fd, 8);
    return fd;
}

static void url_of(char *out, const char *scheme, const char *host, uint16_t port)
{
    sprintf(out, "%s://%s:%u", scheme, host, port);
}

/* Reads until `size` bytes have come or the peer closed. */
static size_t read_all(int fd, char *out, size_t size)
{
    size_t have = 0;

    while (have < size) {
        ssize_t n = read(fd, out + have, size - have);
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    return have;
}

/* ------------------------------------------------------------------ streams */

static void a_stream_takes_units(void **state)
{
    (void)state;
    const char *const hosts[] = {"127.0.0.1", "[::1]", "localhost"};
    char url[64], got[64];

    for (int i = 0; i < 3; i++) {
        uint16_t port = 0;
        int server = serve(i == 1 ? AF_INET6 : AF_INET, SOCK_STREAM, &port);
        assert_true(server >= 0);
        url_of(url, "tcp", hosts[i], port);
        struct transport *t = open_url(url);
        assert_int_equal(send_text(t, "one\n"), 0);
        assert_int_equal(send_text(t, "two\n"), 0);
        int peer = accept(server, NULL, NULL);
        assert_int_equal(read_all(peer, got, 8), 8);
        assert_memory_equal(got, "one\ntwo\n", 8);
        assert_false(transport_is_datagram(t));
        assert_int_equal(transport_unit_max(t), SIZE_MAX);
        transport_free(t);
        assert_int_equal(read_all(peer, got, 1), 0);
        close(peer);
        close(server);
    }
}

static void localhost_means_both_families(void **state)
{
    (void)state;
    char url[64], got[8];
    uint16_t port = 0;
    int server = serve(AF_INET6, SOCK_STREAM, &port);
    url_of(url, "tcp", "LocalHost", port);
    struct transport *t = open_url(url);

    assert_int_equal(send_text(t, "one\n"), 0);
    int peer = accept(server, NULL, NULL);
    assert_int_equal(read_all(peer, got, 4), 4);
    close(peer);
    close(server);
    transport_free(t);

    server = serve(AF_INET6, SOCK_DGRAM, &port);
    url_of(url, "udp", "localhost", port);
    t = open_url(url);
    assert_int_equal(send_text(t, "one"), 0);
    assert_int_equal(recv(server, got, sizeof(got), 0), 3);
    close(server);
    transport_free(t);
}

static void a_unix_stream_takes_units(void **state)
{
    (void)state;
    char path[64], url[96], got[8];

    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), i ? "@scope-test-%d" : "/tmp/scope-test-%d.sock", getpid());
        snprintf(url, sizeof(url), "unix://%s", path);
        int server = serve_unix(path, SOCK_STREAM);
        struct transport *t = open_url(url);
        assert_int_equal(send_text(t, "one\n"), 0);
        int peer = accept(server, NULL, NULL);
        assert_int_equal(read_all(peer, got, 4), 4);
        close(peer);
        close(server);
        transport_free(t);
        if (!i)
            unlink(path);
    }
}

static void the_wrong_kind_of_unix_socket_is_named(void **state)
{
    (void)state;
    char name[64], url[96];
    snprintf(name, sizeof(name), "/tmp/scope-kind-%d", getpid());
    snprintf(url, sizeof(url), "unix://%s", name);
    int server = serve_unix(name, SOCK_DGRAM);
    struct transport *t = open_url(url);

    assert_int_equal(send_text(t, "one\n"), -EAGAIN);
    assert_non_null(strstr(transport_reason(t), "unixgram://"));
    close(server);
    unlink(name);
    transport_free(t);
}

static void a_peer_that_is_away_is_found_when_it_comes(void **state)
{
    (void)state;
    char url[64], got[16];
    uint16_t port = 0;
    int server = serve(AF_INET, SOCK_STREAM, &port);
    close(server);
    url_of(url, "tcp", "127.0.0.1", port);
    struct transport *t = open_url(url);

    assert_int_equal(send_text(t, "one\n"), -EAGAIN);
    assert_string_equal(transport_reason(t), "connect: the connection was refused");
    server = serve(AF_INET, SOCK_STREAM, &port);
    assert_int_equal(send_text(t, "one\n"), 0);
    int peer = accept(server, NULL, NULL);
    assert_int_equal(read_all(peer, got, 4), 4);

    /* It closes; the next unit must not be written to nobody. */
    close(peer);
    assert_int_equal(send_text(t, "two\n"), 0);
    peer = accept(server, NULL, NULL);
    assert_int_equal(read_all(peer, got, 4), 4);
    assert_memory_equal(got, "two\n", 4);

    /* It closes with unread data, which resets the connection. */
    assert_int_equal(send_text(t, "three\n"), 0);
    usleep(2000);
    close(peer);
    assert_int_equal(send_text(t, "four\n"), 0);
    peer = accept(server, NULL, NULL);
    assert_int_equal(read_all(peer, got, 5), 5);
    assert_memory_equal(got, "four\n", 5);
    close(peer);
    close(server);
    assert_int_equal(send_text(t, "five\n"), -EAGAIN);
    transport_free(t);
}

static void what_the_peer_says_is_passed_over(void **state)
{
    (void)state;
    char url[64], got[16];
    static char talk[1 << 16];
    uint16_t port = 0;
    int server = serve(AF_INET, SOCK_STREAM, &port);
    url_of(url, "tcp", "127.0.0.1", port);
    struct transport *t = open_url(url);

    assert_int_equal(send_text(t, "one\n"), 0);
    int peer = accept(server, NULL, NULL);
    fcntl(peer, F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 400; i++) { /* more than any socket buffer holds */
        if (write(peer, talk, sizeof(talk)) < 0)
            assert_int_equal(send_text(t, "x\n"), 0);
        read(peer, got, sizeof(got));
    }
    fcntl(peer, F_SETFL, 0);
    transport_free(t);
    close(peer);
    close(server);
}

struct reader {
    int fd;
    char *data;
    size_t size, have;
};

static void *read_slowly(void *argument)
{
    struct reader *r = argument;

    while (r->have < r->size) {
        size_t n = read_all(r->fd, r->data + r->have,
                            r->size - r->have < 20000 ? r->size - r->have : 20000);
        if (!n)
            break;
        r->have += n;
        usleep(300);
    }
    return NULL;
}

/* Deadlines pass inside units; each goes on where it stopped, so the stream is exact. */
static void a_slow_reader_gets_every_byte_once(void **state)
{
    (void)state;
    enum { UNIT = 65536, COUNT = 150 };
    char url[64];
    uint16_t port = 0;
    int server = serve(AF_INET, SOCK_STREAM, &port), small = 4096;
    setsockopt(server, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    url_of(url, "tcp", "127.0.0.1", port);
    struct transport *t = open_url(url);
    char *unit = malloc(UNIT), *got = calloc(COUNT, UNIT);
    unsigned stopped = 0;
    struct reader r = {.data = got, .size = (size_t)UNIT * COUNT};
    pthread_t thread;

    assert_int_equal(send_text(t, "hello\n"), 0);
    r.fd = accept(server, NULL, NULL);
    read_all(r.fd, got, 6);
    pthread_create(&thread, NULL, read_slowly, &r);
    for (int i = 0; i < COUNT; i++) {
        memset(unit, 'a' + i % 26, UNIT - 1);
        unit[UNIT - 1] = '\n';
        int result;
        while ((result = transport_send(t, unit, UNIT, now_mono() + MS / 2)) == -EAGAIN)
            stopped++;
        assert_int_equal(result, 0);
    }
    pthread_join(thread, NULL);
    assert_true(stopped > 0);
    assert_int_equal(r.have, r.size);
    for (size_t i = 0; i < r.size; i++) {
        char want = i % UNIT == UNIT - 1 ? '\n' : (char)('a' + i / UNIT % 26);
        if (got[i] != want)
            fail_msg("byte %zu", i);
    }
    close(r.fd);
    close(server);
    transport_free(t);
    free(unit);
    free(got);
}

/* The peer dies inside a unit: the next connection gets the unit from its start. */
static void a_broken_unit_is_sent_again_from_its_start(void **state)
{
    (void)state;
    enum { UNIT = 8 << 20 };
    char url[64], first[10];
    uint16_t port = 0;
    int server = serve(AF_INET, SOCK_STREAM, &port);
    url_of(url, "tcp", "127.0.0.1", port);
    struct transport *t = open_url(url);
    char *unit = malloc(UNIT), *got = malloc(UNIT);
    for (int i = 0; i < UNIT; i++)
        unit[i] = (char)(i % 100 == 99 ? '\n' : '0' + i / 100 % 10);

    assert_int_equal(transport_send(t, unit, UNIT, now_mono() + 20 * MS), -EAGAIN);
    assert_int_equal(transport_partial(t), 0);
    assert_true(transport_moved(t));
    int peer = accept(server, NULL, NULL);
    read_all(peer, first, sizeof(first));
    close(peer);
    struct reader r = {.data = got, .size = UNIT};
    assert_int_equal(transport_send(t, unit, UNIT, now_mono() + 20 * MS), -EAGAIN);
    r.fd = accept(server, NULL, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, read_slowly, &r);
    assert_int_equal(transport_send(t, unit, UNIT, now_mono() + 20000 * MS), 0);
    pthread_join(thread, NULL);
    assert_int_equal(r.have, UNIT);
    assert_memory_equal(got, unit, UNIT);
    close(r.fd);

    /* A unit that was begun and is then replaced by another must not be mixed with it. */
    assert_int_equal(transport_send(t, unit, UNIT, now_mono() + 20 * MS), -EAGAIN);
    peer = accept(server, NULL, NULL);
    assert_int_equal(send_text(t, "other\n"), 0);
    int second = accept(server, NULL, NULL);
    assert_int_equal(read_all(second, got, 6), 6);
    assert_memory_equal(got, "other\n", 6);
    close(peer);
    close(second);
    close(server);
    transport_free(t);
    free(unit);
    free(got);
}

/* A listener whose backlog is full answers nothing: the deadline holds, and the connect goes on. */
static void a_connect_without_an_answer_keeps_to_the_deadline(void **state)
{
    (void)state;
    char url[64], got[8];
    uint16_t port = 0;
    int server = serve(AF_INET, SOCK_STREAM, &port), filler[8], peer = -1;
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    listen(server, 0);
    for (int i = 0; i < 8; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(filler[i], (void *)&a, sizeof(a));
    }
    url_of(url, "tcp", "127.0.0.1", port);
    struct transport *t = open_url(url);
    assert_int_equal(transport_send(t, "one\n", 4, now_mono() + 30 * MS), -EAGAIN);
    assert_string_equal(transport_reason(t), "connect: no answer in time");
    /* Room is made: SYNs are sent again after a second, and the same connect succeeds. */
    listen(server, 64);
    for (int i = 0; i < 8; i++)
        close(filler[i]);
    int r = -EAGAIN;
    for (int i = 0; i < 80 && r == -EAGAIN; i++)
        r = transport_send(t, "one\n", 4, now_mono() + 100 * MS);
    assert_int_equal(r, 0);
    for (int i = 0; i < 10; i++) {
        peer = accept(server, NULL, NULL);
        if (read_all(peer, got, 4) == 4)
            break;
        close(peer);
    }
    assert_memory_equal(got, "one\n", 4);
    close(peer);
    close(server);
    transport_free(t);
}

static void a_name_that_is_not_there_is_said(void **state)
{
    (void)state;
    struct transport *t = open_url("tcp://no-such-host.invalid:1");

    assert_int_equal(send_text(t, "one\n"), -EAGAIN);
    assert_non_null(strstr(transport_reason(t), "name"));
    transport_free(t);
}

/* ------------------------------------------------------------------ datagrams */

static void datagrams_keep_their_bounds(void **state)
{
    (void)state;
    char url[64], got[64];
    uint16_t port = 0;
    int server = serve(AF_INET, SOCK_DGRAM, &port);
    url_of(url, "udp", "127.0.0.1", port);
    struct transport *t = open_url(url);
    static char big[70000];

    assert_true(transport_is_datagram(t));
    assert_int_equal(transport_unit_max(t), 1432);
    assert_int_equal(send_text(t, "a:1|c"), 0);
    assert_int_equal(send_text(t, "b:2|c"), 0);
    assert_int_equal(recv(server, got, sizeof(got), 0), 5);
    assert_memory_equal(got, "a:1|c", 5);
    assert_int_equal(recv(server, got, sizeof(got), 0), 5);
    assert_memory_equal(got, "b:2|c", 5);
    assert_int_equal(transport_send(t, big, sizeof(big), now_mono() + MS), -EMSGSIZE);
    assert_int_equal(send_text(t, "c:3|c"), 0); /* goes on */
    close(server);
    transport_free(t);
}

static void a_refused_datagram_was_not_taken(void **state)
{
    (void)state;
    const char *const hosts[] = {"127.0.0.1", "localhost"};
    char url[64], got[64];

    for (int i = 0; i < 2; i++) {
        uint16_t port = 0;
        int server = serve(AF_INET, SOCK_DGRAM, &port);
        close(server);
        url_of(url, "udp", hosts[i], port);
        struct transport *t = open_url(url);
        for (int k = 0; k < 4; k++)
            assert_int_equal(send_text(t, "lost?"), -EAGAIN);
        assert_string_equal(transport_reason(t), "send: the connection was refused");
        server = serve(AF_INET, SOCK_DGRAM, &port);
        assert_int_equal(send_text(t, "here"), 0);
        assert_int_equal(recv(server, got, sizeof(got), 0), 4);
        close(server);
        transport_free(t);
    }
}

static void unix_datagrams_come_back_and_can_be_full(void **state)
{
    (void)state;
    char path[64], url[96], got[64];
    snprintf(path, sizeof(path), "/tmp/scope-gram-%d.sock", getpid());
    snprintf(url, sizeof(url), "unixgram://%s", path);
    struct transport *t = open_url(url);

    assert_int_equal(transport_unit_max(t), 8192);
    assert_int_equal(send_text(t, "1"), -EAGAIN);
    assert_string_equal(transport_reason(t), "send: no such file or directory");
    int server = serve_unix(path, SOCK_DGRAM);
    assert_int_equal(send_text(t, "1"), 0);
    close(server);
    assert_int_equal(send_text(t, "2"), -EAGAIN);
    server = serve_unix(path, SOCK_DGRAM); /* another socket of the same name */
    assert_int_equal(send_text(t, "2"), 0);
    assert_int_equal(recv(server, got, sizeof(got), 0), 1);
    assert_int_equal(*got, '2');

    int sent = 0, r = 0;
    while (!r && sent < 100000) {
        r = transport_send(t, "full", 4, now_mono() + MS);
        sent += !r;
    }
    assert_int_equal(r, -EAGAIN);
    assert_string_equal(transport_reason(t), "send: full");
    for (int i = 0; i < sent; i++)
        assert_int_equal(recv(server, got, sizeof(got), MSG_DONTWAIT), 4);
    assert_int_equal(recv(server, got, sizeof(got), MSG_DONTWAIT), -1);
    assert_int_equal(transport_send(t, "full", 4, now_mono() + MS), 0);
    close(server);
    unlink(path);
    transport_free(t);
}

static void sockets_are_close_on_exec_and_let_go_of(void **state)
{
    (void)state;
    char url[64];
    uint16_t port = 0;
    int server = serve(AF_INET, SOCK_STREAM, &port), lowest = dup(0);
    close(lowest);
    url_of(url, "tcp", "127.0.0.1", port);
    struct transport *t = open_url(url);

    assert_int_equal(send_text(t, "one\n"), 0);
    assert_true(fcntl(lowest, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(lowest, F_GETFL) & O_NONBLOCK);
    transport_after_fork(t);
    assert_true(fcntl(lowest, F_GETFD) >= 0); /* the number was not touched */
    close(lowest);
    transport_free(t);
    close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_takes_units),
        cmocka_unit_test(localhost_means_both_families),
        cmocka_unit_test(a_unix_stream_takes_units),
        cmocka_unit_test(the_wrong_kind_of_unix_socket_is_named),
        cmocka_unit_test(a_peer_that_is_away_is_found_when_it_comes),
        cmocka_unit_test(what_the_peer_says_is_passed_over),
        cmocka_unit_test(a_slow_reader_gets_every_byte_once),
        cmocka_unit_test(a_broken_unit_is_sent_again_from_its_start),
        cmocka_unit_test(a_connect_without_an_answer_keeps_to_the_deadline),
        cmocka_unit_test(a_name_that_is_not_there_is_said),
        cmocka_unit_test(datagrams_keep_their_bounds),
        cmocka_unit_test(a_refused_datagram_was_not_taken),
        cmocka_unit_test(unix_datagrams_come_back_and_can_be_full),
        cmocka_unit_test(sockets_are_close_on_exec_and_let_go_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
