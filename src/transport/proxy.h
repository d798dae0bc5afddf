/* proxy: which requests go through a proxy, and where that is. Pure; any thread. */
#ifndef SCOPE_TRANSPORT_PROXY_H
#define SCOPE_TRANSPORT_PROXY_H

#include "transport/transport.h"

/*
 * Whether NO_PROXY's list takes this host (a name, or an address without brackets) and port out.
 * Entries, by comma or space: `*`; a domain (`a.b`, `.a.b`, `*.a.b`: that host and all below);
 * an address; a network (10.0.0.0/8, fd00::/8); each with or without `:port`.
 */
bool proxy_is_excepted(const char *no_proxy, const char *host, const char *port);

/*
 * Where a proxy is ([http[s]://][user:password@]host[:port]) into *peer (host and port), and the
 * same with everything said into url (curl's form). 0, or -EINVAL with *error (static, names no
 * part of it).
 */
int proxy_parse(const char *proxy, struct address *peer, char *url, size_t size,
                const char **error);

#endif
