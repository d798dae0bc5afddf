/*
 * NO_PROXY: which hosts are reached without the proxy.
 */
#include "transport/http_client.h"

#include <string.h>
#include <strings.h>

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
        if (length && entry_means(p, length, host, port))
            return true;
        p += length;
    }
    return false;
}
