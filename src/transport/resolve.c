/*
 * From an address to socket addresses. Numbers and `localhost` need nobody; other names are looked
 * up, and the answer is kept until the connection fails.
 */
#include "transport/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "os/sys.h"
#include "transport/lookup.h"

static uint16_t port_of(const struct transport *t)
{
    unsigned port = 0;

    for (const char *p = t->address.port; *p >= '0' && *p <= '9'; p++)
        port = port * 10 + (unsigned)(*p - '0');
    return (uint16_t)port;
}

/* The number of an interface, given by number or name; 0: there is none. */
static uint32_t zone_number(const char *zone)
{
    struct ifreq request;
    uint32_t number = 0;
    const char *p = zone;

    for (; *p >= '0' && *p <= '9' && p - zone < 9; p++)
        number = number * 10 + (uint32_t)(*p - '0');
    if (!*p || strlen(zone) >= sizeof(request.ifr_name))
        return number;
    memset(&request, 0, sizeof(request));
    memcpy(request.ifr_name, zone, strlen(zone));
    long fd = sys(socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    long r = sys(ioctl, fd, 0x8933 /* SIOCGIFINDEX */, &request);
    sys(close, fd);
    return r < 0 ? 0 : (uint32_t)request.ifr_ifindex;
}

bool resolve_numeric(const char *host, uint16_t port, struct endpoint *endpoint)
{
    char plain[64];
    const char *zone = strchr(host, '%');
    size_t length = zone ? (size_t)(zone - host) : strlen(host);

    memset(endpoint, 0, sizeof(*endpoint));
    if (length >= sizeof(plain))
        return false;
    memcpy(plain, host, length);
    plain[length] = '\0';
    if (!zone && inet_pton(AF_INET, plain, &endpoint->v4.sin_addr) == 1) {
        endpoint->v4.sin_family = AF_INET;
        endpoint->v4.sin_port = htons(port);
        endpoint->length = sizeof(endpoint->v4);
        return true;
    }
    if (inet_pton(AF_INET6, plain, &endpoint->v6.sin6_addr) != 1)
        return false;
    endpoint->v6.sin6_family = AF_INET6;
    endpoint->v6.sin6_port = htons(port);
    endpoint->v6.sin6_scope_id = zone ? zone_number(zone + 1) : 0;
    endpoint->length = sizeof(endpoint->v6);
    return true;
}

static int resolve_unix(struct transport *t)
{
    struct endpoint *e = &t->endpoints[0];
    size_t length = strlen(t->address.path);

    memset(e, 0, sizeof(*e));
    e->un.sun_family = AF_UNIX;
    if (length >= sizeof(e->un.sun_path))
        return transport_away(t, "connect", ENAMETOOLONG);
    memcpy(e->un.sun_path, t->address.path, length);
    e->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (e->un.sun_path[0] == '@')
        e->un.sun_path[0] = '\0';
    else
        e->length++;
    t->endpoint_count = 1;
    return 0;
}

static int resolve_name(struct transport *t, uint16_t port, uint64_t deadline)
{
    const struct lookup_sources usual = {0};
    int n = lookup(t->address.host, port, &usual, t->endpoints, deadline);

    if (n == -ENOENT)
        return transport_away(t, "there is no host of that name", 0);
    if (n < 0)
        return transport_away(t, "no name server answered for the host's name", 0);
    t->endpoint_count = (unsigned)n;
    return 0;
}

int resolve(struct transport *t, uint64_t deadline)
{
    const char *host = t->address.host;
    uint16_t port = port_of(t);

    t->endpoint = 0;
    t->endpoint_count = 0;
    if (t->address.type == ADDRESS_UNIX || t->address.type == ADDRESS_UNIXGRAM)
        return resolve_unix(t);
    if (!strcasecmp(host, "localhost")) {
        resolve_numeric("127.0.0.1", port, &t->endpoints[0]);
        resolve_numeric("::1", port, &t->endpoints[1]);
        t->endpoint_count = 2;
        return 0;
    }
    if (resolve_numeric(host, port, &t->endpoints[0])) {
        t->endpoint_count = 1;
        return 0;
    }
    return resolve_name(t, port, deadline);
}
