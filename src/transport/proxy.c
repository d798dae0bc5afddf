/*
 * NO_PROXY: which hosts are reached without the proxy: names, addresses, IPv4 networks.
 */
#include "transport/http_client.h"

#include <string.h>
#include <strings.h>

/* Four numbers with dots between, and nothing behind them but `end`. */
static bool ipv4(const char *text, size_t length, uint32_t *out)
{
    unsigned parts = 0, digits = 0, value = 0;

    *out = 0;
    for (size_t i = 0; i <= length; i++) {
        if (i < length && text[i] >= '0' && text[i] <= '9' && digits < 3) {
            value = value * 10 + (unsigned)(text[i] - '0');
            digits++;
        } else if (digits && value < 256 && (i == length || text[i] == '.')) {
            *out = *out << 8 | value;
            parts++;
            digits = value = 0;
        } else {
            return false;
        }
    }
    return parts == 4;
}

/* 10.0.0.0/8 and the like. */
static bool network_means(const char *entry, size_t length, const char *host)
{
    const char *slash = memchr(entry, '/', length);
    uint32_t network, address, bits = 0;

    if (!slash || !ipv4(entry, (size_t)(slash - entry), &network) ||
        !ipv4(host, strlen(host), &address))
        return false;
    for (const char *p = slash + 1; p < entry + length; p++) {
        if (*p < '0' || *p > '9' || bits > 32)
            return false;
        bits = bits * 10 + (uint32_t)(*p - '0');
    }
    if (slash + 1 == entry + length || bits > 32)
        return false;
    uint32_t mask = bits ? ~(uint32_t)0 << (32 - bits) : 0;
    return (network & mask) == (address & mask);
}

/* One entry: a name that it or a part of it behind a dot ends in, a port behind a colon, or `*`. */
static bool entry_means(const char *entry, size_t length, const char *host, const char *port)
{
    const char *colon = memrchr(entry, ':', length);
    bool v6 = colon && memchr(entry, ':', (size_t)(colon - entry)) && entry[length - 1] != ']' &&
              *entry != '[';

    if (colon && !v6 && memrchr(entry, ']', (size_t)(entry + length - colon)) == NULL) {
        size_t digits = (size_t)(entry + length - colon) - 1;
        if (strlen(port) != digits || memcmp(colon + 1, port, digits) != 0)
            return false;
        length = (size_t)(colon - entry);
    }
    if (length >= 2 && *entry == '[' && entry[length - 1] == ']') {
        entry++;
        length -= 2;
    }
    if (length == 1 && *entry == '*')
        return true;
    if (length && *entry == '.') {
        entry++;
        length--;
    }
    size_t all = strlen(host);
    if (!length || all < length || strncasecmp(host + all - length, entry, length) != 0)
        return false;
    return all == length || host[all - length - 1] == '.';
}

bool proxy_passes_by(const char *no_proxy, const char *host, const char *port)
{
    for (const char *p = no_proxy; p && *p;) {
        p += strspn(p, ", \t");
        size_t length = strcspn(p, ", \t");
        if (length && network_means(p, length, host))
            return true;
        if (length && entry_means(p, length, host, port))
            return true;
        p += length;
    }
    return false;
}
