/*
 * Datagrams, over UDP and unix sockets: connected, so that a refusal is learned of.
 */
#include "transport/internal.h"

#include <errno.h>
#include <poll.h>

#include "os/clock.h"
#include "os/sys.h"

enum { FULL_PATIENCE = 50 * 1000000 }; /* a receiver that is behind gets this long */

static int datagram_open(struct transport *t, uint64_t deadline)
{
    int r = t->endpoint_count ? 0 : resolve(t, deadline);
    int error = 0;

    for (unsigned i = 0; !r && i < t->endpoint_count; i++) {
        const struct endpoint *e = &t->endpoints[t->endpoint];
        long fd = sys(socket, e->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        error = fd < 0 ? (int)fd : (int)sys(connect, fd, &e->any, e->length);
        if (!error) {
            t->fd = (int)fd;
            return 0;
        }
        if (fd >= 0)
            sys(close, fd);
        t->endpoint = (t->endpoint + 1) % t->endpoint_count;
    }
    return r < 0 ? r : error ? error : -ENOENT;
}

/* Sends once; a refusal that the kernel reports at once (loopback) is this datagram's. */
static int send_once(struct transport *t, const void *data, size_t length, uint64_t deadline)
{
    uint64_t patience = now_mono() + FULL_PATIENCE;

    if (patience > deadline)
        patience = deadline;
    for (;;) {
        long n = sys(sendto, t->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
        if (n >= 0)
            break;
        if (n == -EINTR)
            continue;
        if (n != -EAGAIN && n != -ENOBUFS)
            return (int)n;
        if (n == -ENOBUFS || wait_for(t->fd, POLLOUT, patience) <= 0)
            return -EAGAIN;
    }
    if (t->address.type == ADDRESS_UDP) {
        int error = 0;
        socklen_t size = sizeof(error);
        if (sys(getsockopt, t->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error)
            return -error;
    }
    return 0;
}

int datagram_send(struct transport *t, const void *data, size_t length, uint64_t deadline)
{
    int r = -ECONNREFUSED;
    unsigned tries = 0;

    /* Each address once, and once more the first: its refusal may have been of an earlier datagram.
     */
    do {
        if (t->fd < 0) {
            r = datagram_open(t, deadline);
            if (r == -EAGAIN)
                return r; /* the reason is set */
            if (r < 0)
                break;
        }
        r = send_once(t, data, length, deadline);
        if (r == 0)
            return 0;
        if (r == -EMSGSIZE) {
            transport_away(t, "send", EMSGSIZE);
            return r;
        }
        if (r == -EAGAIN)
            return transport_away(t, "send", EAGAIN);
        transport_close(t);
        if (t->endpoint_count)
            t->endpoint = (t->endpoint + 1) % t->endpoint_count;
    } while (tries++ < t->endpoint_count);

    transport_close(t);
    t->endpoint_count = 0; /* resolved anew next time */
    return transport_away(t, "send", -r);
}
