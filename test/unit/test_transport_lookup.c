/* Host names: files of our own making, and a name server of our own on loopback. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report/report.h"
#include "transport/lookup.h"

#define MS 1000000ull

static char hosts[64], conf[64];
static struct endpoint e[ENDPOINTS_MAX];

static void write_file(char *path, const char *text)
{
    if (!*path) {
        strcpy(path, "/tmp/test_lookup_XXXXXX");
        close(mkstemp(path));
    }
    FILE *out = fopen(path, "w");
    fputs(text, out);
    fclose(out);
}

static int remove_files(void **state)
{
    (void)state;
    unlink(hosts);
    unlink(conf);
    return 0;
}

static const char *shown(int i)
{
    static char out[64];
    char address[INET6_ADDRSTRLEN];

    if (e[i].any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &e[i].v4.sin_addr, address, sizeof(address));
        snprintf(out, sizeof(out), "%s %d", address, ntohs(e[i].v4.sin_port));
        assert_int_equal(e[i].length, sizeof(struct sockaddr_in));
    } else {
        inet_ntop(AF_INET6, &e[i].v6.sin6_addr, address, sizeof(address));
        snprintf(out, sizeof(out), "%s %d", address, ntohs(e[i].v6.sin6_port));
        assert_int_equal(e[i].length, sizeof(struct sockaddr_in6));
    }
    return out;
}

/* ------------------------------------------------------------------ a name server */

enum behaviour { USUAL, SILENT, REFUSING, LYING, NO_AAAA };

struct server {
    int fd;
    uint16_t port;
    pid_t pid;
};

static size_t put_answer(uint8_t *out, uint8_t type, const void *data, uint8_t size)
{
    const uint8_t head[] = {0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, size};

    memcpy(out, head, sizeof(head));
    memcpy(out + sizeof(head), data, size);
    return sizeof(head) + size;
}

/* Knows collector.example and collector.ns.svc (A and AAAA), and v4.example (A alone). */
static size_t answer(uint8_t *m, size_t length, enum behaviour how)
{
    char name[300] = "";
    size_t at = 12, n = 0;
    const uint8_t v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 7}, v4[4] = {192, 0, 2, 7};

    while (m[at]) {
        memcpy(name + n, m + at + 1, m[at]);
        n += m[at];
        name[n++] = '.';
        at += m[at] + 1u;
    }
    uint8_t type = m[at + 2];
    int both = !strcasecmp(name, "collector.example.") || !strcasecmp(name, "collector.ns.svc.");
    int one = both || !strcasecmp(name, "v4.example.");
    m[2] |= 0x80;
    m[3] = (uint8_t)(how == REFUSING ? 2 : one ? 0 : 3);
    if (how == REFUSING || !one)
        return length;
    if (type == 1)
        length += put_answer(m + length, 1, v4, 4), m[7]++;
    if (type == 28 && both)
        length += put_answer(m + length, 28, v6, 16), m[7]++;
    return length;
}

static void serve(int fd, enum behaviour how)
{
    uint8_t m[600], lie[600];
    struct sockaddr_in peer;

    for (;;) {
        socklen_t size = sizeof(peer);
        ssize_t n = recvfrom(fd, m, 300, 0, (void *)&peer, &size);
        if (n < 17 || how == SILENT)
            continue;
        if (how ==
            LYING) { /* first what was not asked: wrong id, wrong name, a question, garbage */
            memcpy(lie, m, (size_t)n);
            lie[0] ^= 1;
            size_t k = answer(lie, (size_t)n, USUAL);
            sendto(fd, lie, k, 0, (void *)&peer, size);
            memcpy(lie, m, (size_t)n);
            lie[13] = 'x';
            k = answer(lie, (size_t)n, USUAL);
            sendto(fd, lie, k, 0, (void *)&peer, size);
            sendto(fd, m, (size_t)n, 0, (void *)&peer, size);
            sendto(fd, "?", 1, 0, (void *)&peer, size);
        }
        if (how == NO_AAAA && m[n - 3] == 28)
            continue;
        size_t k = answer(m, (size_t)n, how);
        sendto(fd, m, k, 0, (void *)&peer, size);
    }
}

static struct server start(const char *address, uint16_t port, enum behaviour how)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t size = sizeof(a);
    struct server s = {.fd = socket(AF_INET, SOCK_DGRAM, 0)};

    inet_pton(AF_INET, address, &a.sin_addr);
    assert_int_equal(bind(s.fd, (void *)&a, size), 0);
    getsockname(s.fd, (void *)&a, &size);
    s.port = ntohs(a.sin_port);
    s.pid = fork();
    if (!s.pid)
        serve(s.fd, how);
    return s;
}

static void stop(struct server s)
{
    kill(s.pid, SIGKILL);
    waitpid(s.pid, NULL, 0);
    close(s.fd);
}

static int ask(const char *name, uint16_t port, unsigned ms)
{
    struct lookup_sources from = {hosts, conf, port};

    memset(e, 0, sizeof(e));
    return lookup(name, 8125, &from, e, now_mono() + ms * MS);
}

/* ------------------------------------------------------------------ tests */

static void hosts_come_first(void **state)
{
    (void)state;
    write_file(hosts, "# comment\n\n10.1.2.3\tagent agent.local # not-this\n bad line\n"
                      "::7 AGENT\n10.9.9.9 other\n999.1.1.1 agent\n10.1.2.4 agent");
    write_file(conf, "nameserver 127.0.0.1\n");

    assert_int_equal(ask("Agent", 1, 200), 3);
    assert_string_equal(shown(0), "::7 8125");
    assert_string_equal(shown(1), "10.1.2.3 8125");
    assert_string_equal(shown(2), "10.1.2.4 8125");
    assert_int_equal(ask("agent.local", 1, 200), 1);
    assert_true(ask("not-this", 1, 20) < 0);
    write_file(hosts, "");
}

static void names_are_asked_for(void **state)
{
    (void)state;
    struct server s = start("127.0.0.1", 0, USUAL);
    write_file(conf, "; comment\nnameserver 127.0.0.1 # here\noptions ndots:2 timeout:1\nsearch "
                     "example ns.svc\n");

    assert_int_equal(ask("collector.example", s.port, 3000), 2);
    assert_string_equal(shown(0), "2001:db8::7 8125");
    assert_string_equal(shown(1), "192.0.2.7 8125");
    assert_int_equal(ask("COLLECTOR.example.", s.port, 3000), 2);
    assert_int_equal(ask("v4", s.port, 3000), 1); /* by the search list */
    assert_string_equal(shown(0), "192.0.2.7 8125");
    assert_int_equal(ask("collector", s.port, 3000), 2);
    assert_int_equal(ask("nobody.example", s.port, 3000), -ENOENT);
    assert_int_equal(ask("collector.", s.port, 3000), -ENOENT); /* absolute: no search */
    write_file(conf, "nameserver 127.0.0.1\nsearch ns.svc\nsearch wrong\n");
    assert_int_equal(ask("collector", s.port, 3000), -ENOENT); /* the last list counts */
    stop(s);
}

static void names_that_cannot_be_are_not_asked_for(void **state)
{
    (void)state;
    char label[80] = "", whole[400] = "";
    memset(label, 'a', 64);
    for (int i = 0; i < 45; i++)
        strcat(whole, "abcde.");
    struct server s = start("127.0.0.1", 0, SILENT);
    write_file(conf, "nameserver 127.0.0.1\n");

    assert_int_equal(ask(label, s.port, 3000), -ENOENT);
    assert_int_equal(ask(whole, s.port, 3000), -ENOENT);
    assert_int_equal(ask("a..b", s.port, 3000), -ENOENT);
    assert_int_equal(ask(".", s.port, 3000), -ENOENT);
    stop(s);
}

static void the_deadline_holds(void **state)
{
    (void)state;
    struct server s = start("127.0.0.1", 0, SILENT);
    write_file(conf, "nameserver 127.0.0.1\n");
    alarm(30);
    assert_int_equal(ask("collector.example", s.port, 30), -EAGAIN);
    alarm(0);
    stop(s);
}

static void another_server_is_asked(void **state)
{
    (void)state;
    const enum behaviour bad[] = {SILENT, REFUSING};

    for (int i = 0; i < 2; i++) {
        struct server first = start("127.0.0.2", 0, bad[i]);
        struct server second = start("127.0.0.3", first.port, USUAL);
        write_file(conf, "nameserver 127.0.0.2\nnameserver 127.0.0.3\noptions timeout:1\n");
        assert_int_equal(ask("collector.example", first.port, 10000), 2);
        stop(first);
        assert_int_equal(ask("collector.example", second.port, 10000), 2); /* nobody listens */
        stop(second);
    }
}

static void what_was_not_asked_is_not_believed(void **state)
{
    (void)state;
    struct server s = start("127.0.0.1", 0, LYING);
    write_file(conf, "nameserver 127.0.0.1\n");

    assert_int_equal(ask("v4.example", s.port, 3000), 1);
    assert_string_equal(shown(0), "192.0.2.7 8125");
    stop(s);
}

static void half_an_answer_is_better_than_none(void **state)
{
    (void)state;
    struct server s = start("127.0.0.1", 0, NO_AAAA);
    write_file(conf, "nameserver 127.0.0.1\n");

    assert_int_equal(ask("collector.example", s.port, 1000), 1);
    assert_string_equal(shown(0), "192.0.2.7 8125");
    stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_come_first),
        cmocka_unit_test(names_are_asked_for),
        cmocka_unit_test(names_that_cannot_be_are_not_asked_for),
        cmocka_unit_test(the_deadline_holds),
        cmocka_unit_test(another_server_is_asked),
        cmocka_unit_test(what_was_not_asked_is_not_believed),
        cmocka_unit_test(half_an_answer_is_better_than_none),
    };
    return cmocka_run_group_tests(tests, NULL, remove_files);
}
