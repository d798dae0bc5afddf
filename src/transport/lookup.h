/*
 * lookup: host names, without libc. getaddrinfo inside a host program would load modules, allocate
 * with the program's allocator, hold locks that a fork copies held, and pass any deadline; so names
 * are looked up here as `hosts: files dns` does: /etc/hosts, then the servers of /etc/resolv.conf.
 * For src/transport alone; any thread, no state.
 */
#ifndef SCOPE_TRANSPORT_LOOKUP_H
#define SCOPE_TRANSPORT_LOOKUP_H

#include "transport/internal.h"

struct lookup_sources {
    const char *hosts;       /* NULL: /etc/hosts */
    const char *resolv_conf; /* NULL: /etc/resolv.conf */
    uint16_t port;           /* of the name servers; 0: 53 */
};

/*
 * Addresses of a name, IPv6 first, into endpoints (room for ENDPOINTS_MAX). Their number, -ENOENT:
 * there is no such name, -EAGAIN: no server answered by the deadline (CLOCK_MONOTONIC ns).
 */
int lookup(const char *host, uint16_t port, const struct lookup_sources *sources,
           struct endpoint *endpoints, uint64_t deadline);

#endif
