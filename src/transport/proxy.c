/*
 * Proxies: as curl and most programs read HTTP_PROXY and NO_PROXY, for it is us who connect.
 */
#include "transport/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ------------------------------------------------------------------ exceptions */

struct number {
    int family; /* 0: it is a name */
    unsigned char bytes[16];
};

static struct number numeric(const char *host)
{
    struct number n = {0};

    if (inet_pton(AF_INET, host, n.bytes) == 1)
        n.family = AF_INET;
    else if (inet_pton(AF_INET6, host, n.bytes) == 1)
        n.family = AF_INET6;
    return n;
}

static bool same_network(const struct number *a, const struct number *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (a->family != b->family || bits > (a->family == AF_INET ? 32u : 128u) ||
        memcmp(a->bytes, b->bytes, whole) != 0)
        return false;
    return !rest || !((a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest));
}

/* Digits alone, up to three. False: something else. */
static bool small_number(const char *text, unsigned *out)
{
    size_t n = strspn(text, "0123456789");

    if (!n || n > 3 || text[n])
        return false;
    *out = 0;
    for (; *text; text++)
        *out = *out * 10 + (unsigned)(*text - '0');
    return true;
}

static void cut_last_dot(char *name)
{
    size_t n = strlen(name);

    if (n && name[n - 1] == '.')
        name[n - 1] = '\0';
}

/* Takes `:port` off an entry, and brackets. False: the entry means another port. */
static bool port_fits(char **entry, const char *port)
{
    char *e = *entry, *colon = NULL;

    if (*e == '[') {
        char *end = strchr(e, ']');
        if (!end)
            return false;
        *end = '\0';
        *entry = e + 1;
        colon = end[1] == ':' ? end + 1 : NULL;
    } else if (strchr(e, ':') == strrchr(e, ':')) {
        colon = strchr(e, ':'); /* with more, it is an IPv6 address */
        if (colon)
            *colon = '\0';
    }
    return !colon || !strcmp(colon + 1, port);
}

static bool fits(char *entry, const char *host, const struct number *number, const char *port)
{
    unsigned bits;

    if (!strcmp(entry, "*"))
        return true;
    char *slash = strchr(entry, '/');
    if (slash) {
        *slash = '\0';
        struct number network = numeric(entry);
        return number->family && network.family && small_number(slash + 1, &bits) &&
               same_network(number, &network, bits);
    }
    if (!port_fits(&entry, port))
        return false;
    if (number->family) {
        struct number other = numeric(entry);
        return other.family && same_network(number, &other, other.family == AF_INET ? 32 : 128);
    }
    entry += !strncmp(entry, "*.", 2) ? 2 : *entry == '.';
    cut_last_dot(entry);
    size_t n = strlen(entry), h = strlen(host);
    return n && h >= n && !strcasecmp(host + h - n, entry) && (h == n || host[h - n - 1] == '.');
}

bool proxy_is_excepted(const char *no_proxy, const char *host, const char *port)
{
    char entry[256], plain[256];
    size_t h = strcspn(host, "%"); /* without a zone */

    if (!no_proxy || h >= sizeof(plain))
        return false;
    memcpy(plain, host, h);
    plain[h] = '\0';
    cut_last_dot(plain);
    struct number number = numeric(plain);
    for (const char *p = no_proxy; *p;) {
        p += strspn(p, ", \t");
        size_t n = strcspn(p, ", \t");
        if (n && n < sizeof(entry)) {
            memcpy(entry, p, n);
            entry[n] = '\0';
            if (fits(entry, plain, &number, port))
                return true;
        }
        p += n;
    }
    return false;
}

/* ------------------------------------------------------------------ where it is */

int proxy_parse(const char *proxy, struct address *peer, char *url, size_t size, const char **error)
{
    bool secure = !strncasecmp(proxy, "https://", 8);
    const char *rest = strstr(proxy, "://");
    char plain[320];

    if (rest && !secure && strncasecmp(proxy, "http://", 7) != 0) {
        *error = "the proxy is of an unknown kind: http:// and https:// are known";
        return -EINVAL;
    }
    rest = rest ? rest + 3 : proxy;
    size_t length = strcspn(rest, "/?#"), user = 0;
    for (size_t i = 0; i < length; i++) {
        if (rest[i] == '@')
            user = i + 1;
    }
    int n = snprintf(plain, sizeof(plain), "http%s://%.*s/", secure ? "s" : "",
                     (int)(length - user), rest + user);
    struct address a;
    if (n < 0 || (size_t)n >= sizeof(plain) || address_parse(plain, &a, error) < 0) {
        *error = "the proxy is no URL of the form http://host:port";
        return -EINVAL;
    }
    bool v6 = strchr(a.host, ':');
    n = snprintf(url, size, "http%s://%.*s%s%s%s:%s", secure ? "s" : "", (int)user, rest,
                 v6 ? "[" : "", a.host, v6 ? "]" : "", a.port);
    if (n < 0 || (size_t)n >= size) {
        *error = "the proxy's URL is too long";
        return -EINVAL;
    }
    memcpy(peer->host, a.host, sizeof(peer->host));
    memcpy(peer->port, a.port, sizeof(peer->port));
    peer->type = ADDRESS_TCP;
    return 0;
}
