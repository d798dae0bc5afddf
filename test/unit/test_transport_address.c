/* Addresses of sinks: every form that is documented, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "transport/internal.h"

static void known_forms_are_understood(void **state)
{
    (void)state;
    const struct {
        const char *url;
        enum address_type type;
        const char *host, *port, *path, *formatted, *target;
    } cases[] = {
        {"stdout", ADDRESS_STDOUT, "", "", "", "stdout", ""},
        {"stderr", ADDRESS_STDERR, "", "", "", "stderr", ""},
        {"file:///var/log/a.ndjson", ADDRESS_FILE, "", "", "/var/log/a.ndjson",
         "file:///var/log/a.ndjson", ""},
        {"/tmp/a b%41", ADDRESS_FILE, "", "", "/tmp/a b%41", "file:///tmp/a b%2541", ""},
        {"file:///tmp/a%20b%zz", ADDRESS_FILE, "", "", "/tmp/a b%zz", "file:///tmp/a b%25zz", ""},
        {"out.ndjson", ADDRESS_FILE, "", "", "out.ndjson", "out.ndjson", ""},
        {"tcp://localhost:9109", ADDRESS_TCP, "localhost", "9109", "", "tcp://localhost:9109", ""},
        {"tcp://10.0.0.1:09109/", ADDRESS_TCP, "10.0.0.1", "9109", "", "tcp://10.0.0.1:9109", ""},
        {"udp://[::1]:8125", ADDRESS_UDP, "::1", "8125", "", "udp://[::1]:8125", ""},
        {"udp://[fe80::1%lo]:1", ADDRESS_UDP, "fe80::1%lo", "1", "", "udp://[fe80::1%lo]:1", ""},
        {"unix:///run/x.sock", ADDRESS_UNIX, "", "", "/run/x.sock", "unix:///run/x.sock", ""},
        {"unix://@name", ADDRESS_UNIX, "", "", "@name", "unix://@name", ""},
        {"unixgram:///run/d", ADDRESS_UNIXGRAM, "", "", "/run/d", "unixgram:///run/d", ""},
        {"unixgram://@d", ADDRESS_UNIXGRAM, "", "", "@d", "unixgram://@d", ""},
        {"tls://h:6514", ADDRESS_TLS, "h", "6514", "", "tls://h:6514", ""},
        {"http://localhost", ADDRESS_HTTP, "localhost", "80", "", "http://localhost:80/", "/"},
        {"http://c:4318/v1/logs", ADDRESS_HTTP, "c", "4318", "", "http://c:4318/v1/logs",
         "/v1/logs"},
        {"https://[::1]?a=b", ADDRESS_HTTPS, "::1", "443", "", "https://[::1]:443/?a=b", "/?a=b"},
        {"http+unix:///run/c.sock:/v1", ADDRESS_HTTP_UNIX, "", "", "/run/c.sock",
         "http+unix:///run/c.sock:/v1", "/v1"},
        {"http+unix://@c", ADDRESS_HTTP_UNIX, "", "", "@c", "http+unix://@c:/", "/"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct address a, again;
        const char *error = NULL;
        char out[1100];

        assert_int_equal(address_parse(cases[i].url, &a, &error), 0);
        assert_int_equal(a.type, cases[i].type);
        assert_string_equal(a.host, cases[i].host);
        assert_string_equal(a.port, cases[i].port);
        assert_string_equal(a.path, cases[i].path);
        assert_string_equal(a.target, cases[i].target);
        assert_int_equal(address_format(&a, out, sizeof(out)), strlen(cases[i].formatted));
        assert_string_equal(out, cases[i].formatted);
        assert_int_equal(address_parse(out, &again, &error), 0);
        assert_memory_equal(&a, &again, sizeof(a));
    }
}

static void wrong_forms_are_refused_with_a_reason(void **state)
{
    (void)state;
    char host[400] = "tcp://", path[1100] = "/", name[140] = "unix://@";
    memset(host + 6, 'h', 300);
    strcpy(host + 306, ":1");
    memset(path + 1, 'p', 1050);
    memset(name + 8, 'n', 107);
    const char *const urls[] = {
        "",
        "gopher://x:1",
        "http://",
        "http://x:0",
        "http://x:/",
        "http://user@x",
        "https://user:password@x:1/",
        "http://x/a b",
        "http://x/#f",
        "http+unix://x:/",
        "http+unix://",
        "tls://x",
        "tcp://host",
        "tcp://host:",
        "tcp://host:0",
        "tcp://host:65536",
        "tcp://host:99999999999",
        "tcp://host:80x",
        "tcp://:80",
        "tcp://::1:80",
        "tcp://[::1]80",
        "tcp://[::1",
        "tcp://a@b:80",
        "tcp://a/b:80",
        "tcp://ho st:80",
        "file://host/path",
        "file://",
        "unix://relative",
        "unix://",
        "unix://@",
        "unixgram://x",
        "file:///a%00b",
        host,
        path,
        name,
    };

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct address a;
        const char *error = NULL;
        if (address_parse(urls[i], &a, &error) != -EINVAL)
            fail_msg("taken: %s", urls[i]);
        assert_non_null(error);
        assert_int_equal(a.type, ADDRESS_NONE);
        assert_int_equal(address_parse(urls[i], &a, NULL), -EINVAL);
    }
}

static void formatting_always_ends(void **state)
{
    (void)state;
    struct address a;
    char out[8];

    assert_int_equal(address_parse("tcp://example:1", &a, NULL), 0);
    for (size_t size = 1; size <= sizeof(out); size++) {
        memset(out, 'x', sizeof(out));
        size_t n = address_format(&a, out, size);
        assert_int_equal(n, size - 1);
        assert_int_equal(out[n], '\0');
    }
}

static void numeric_hosts_need_nobody(void **state)
{
    (void)state;
    struct endpoint e;

    assert_true(resolve_numeric("127.0.0.1", 80, &e));
    assert_int_equal(e.v4.sin_family, AF_INET);
    assert_int_equal(ntohs(e.v4.sin_port), 80);
    assert_int_equal(ntohl(e.v4.sin_addr.s_addr), INADDR_LOOPBACK);
    assert_true(resolve_numeric("::1", 81, &e));
    assert_memory_equal(&e.v6.sin6_addr, &in6addr_loopback, 16);
    assert_true(resolve_numeric("fe80::1%7", 81, &e));
    assert_int_equal(e.v6.sin6_scope_id, 7);
    assert_true(resolve_numeric("fe80::1%lo", 81, &e));
    assert_int_equal(e.v6.sin6_scope_id, 1);
    assert_false(resolve_numeric("localhost", 1, &e));
    assert_false(resolve_numeric("127.0.0.1%lo", 1, &e));
    assert_false(resolve_numeric("300.1.1.1", 1, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_forms_are_understood),
        cmocka_unit_test(wrong_forms_are_refused_with_a_reason),
        cmocka_unit_test(formatting_always_ends),
        cmocka_unit_test(numeric_hosts_need_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
