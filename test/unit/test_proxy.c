/* Proxies: which hosts are excepted, and where a proxy is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "transport/proxy.h"

static void exceptions(void **state)
{
    (void)state;
    const struct {
        const char *list, *host, *port;
        bool excepted;
    } cases[] = {
        {NULL, "a", "80", false},
        {"", "a", "80", false},
        {"*", "a", "80", true},
        {"a.b", "a.b", "80", true},
        {"a.b", "x.a.b", "80", true},
        {"a.b", "xa.b", "80", false},
        {".a.b", "x.a.b", "80", true},
        {".a.b", "a.b", "80", true},
        {"*.a.b", "x.a.b", "80", true},
        {"A.B", "x.a.b", "80", true},
        {"a.b.", "a.b", "80", true},
        {"a.b", "a.b.", "80", true},
        {"x, y ,a.b", "a.b", "80", true},
        {"x y a.b", "a.b", "80", true},
        {"a.b:81", "a.b", "80", false},
        {"a.b:80", "a.b", "80", true},
        {"10.0.0.1", "10.0.0.1", "80", true},
        {"0.0.1", "10.0.0.1", "80", false}, /* no suffix of an address */
        {"10.0.0.0/8", "10.1.2.3", "80", true},
        {"10.0.0.0/8", "11.1.2.3", "80", false},
        {"10.0.0.0/9", "10.200.0.1", "80", false},
        {"10.0.0.0/33", "10.0.0.0", "80", false},
        {"0.0.0.0/0", "10.0.0.0", "80", true},
        {"10.0.0.0/8", "10.name", "80", false},
        {"fd00::/8", "fd12::1", "80", true},
        {"fd00::/8", "10.0.0.1", "80", false},
        {"::1", "::1", "80", true},
        {"::1", "0:0:0:0:0:0:0:1", "80", true},
        {"[::1]:80", "::1", "80", true},
        {"[::1]:81", "::1", "80", false},
        {"fe80::1", "fe80::1%eth0", "80", true},
        {".", "a", "80", false},
        {",,", "a", "80", false},
        {"10.0.0.0/", "10.0.0.0", "80", false},
        {"[::1", "::1", "80", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (proxy_is_excepted(cases[i].list, cases[i].host, cases[i].port) != cases[i].excepted)
            fail_msg("%s: %s", cases[i].list, cases[i].host);
    }
}

static void places(void **state)
{
    (void)state;
    const struct {
        const char *proxy, *host, *port, *url;
    } cases[] = {
        {"http://p:3128", "p", "3128", "http://p:3128"},
        {"p:3128", "p", "3128", "http://p:3128"},
        {"HTTP://p/", "p", "80", "http://p:80"},
        {"https://p", "p", "443", "https://p:443"},
        {"http://u:p%40w@p:1", "p", "1", "http://u:p%40w@p:1"},
        {"http://[::1]:8", "::1", "8", "http://[::1]:8"},
    };
    const char *const wrong[] = {"", "socks5://p:1", "http://", "http://u:secret@", "p:x", "p:0"};
    struct address peer;
    const char *error;
    char url[256];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(proxy_parse(cases[i].proxy, &peer, url, sizeof(url), &error), 0);
        assert_string_equal(peer.host, cases[i].host);
        assert_string_equal(peer.port, cases[i].port);
        assert_string_equal(url, cases[i].url);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        error = NULL;
        assert_int_equal(proxy_parse(wrong[i], &peer, url, sizeof(url), &error), -EINVAL);
        assert_non_null(error);
        assert_null(strstr(error, "secret"));
    }
    assert_int_equal(proxy_parse("http://p:3128", &peer, url, 8, &error), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exceptions),
        cmocka_unit_test(places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
