/*
 * Streams, over TCP and unix sockets: connecting without blocking, writing on where it stopped, and
 * noticing a peer that went away before something is written to nobody.
 */
#include "transport/http_client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "os/clock.h"
#include "os/sys.h"

#define CONNECT_LIMIT (10ull * SECOND_NS)

enum { USER_TIMEOUT_MS = 30000, DRAIN_READS = 64 };

static void tune(const struct transport *t)
{
    const int on = 1, timeout = USER_TIMEOUT_MS;

    if (t->address.type != ADDRESS_TCP)
        return;
    sys(setsockopt, t->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    sys(setsockopt, t->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    sys(setsockopt, t->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
}

/* Waits for a connect that is under way. 0, -EAGAIN: still under way, -errno: closed. */
static int connect_finish(struct transport *t, uint64_t deadline)
{
    int error = 0;
    socklen_t size = sizeof(error);
    int events = wait_for(t->fd, POLLOUT, deadline);

    if (events == 0 && now_mono() - t->connect_started < CONNECT_LIMIT)
        return -EAGAIN;
    if (events == 0)
        error = ETIMEDOUT;
    else if (events < 0)
        error = -events;
    else if (sys(getsockopt, t->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = EIO;
    t->connecting = false;
    if (error)
        transport_close(t);
    return -error;
}

static int connect_start(struct transport *t, const struct endpoint *e)
{
    long fd = sys(socket, e->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return (int)fd;
    t->fd = (int)fd;
    tune(t);
    t->connect_started = now_mono();
    long r = sys(connect, fd, &e->any, e->length);
    if (r == -EINPROGRESS) {
        t->connecting = true;
        return 0;
    }
    if (r < 0)
        transport_close(t);
    return (int)r;
}

/* Connected after it, or not: 0 or -errno; -EAGAIN: under way, or the reason is set. */
int stream_connect(struct transport *t, uint64_t deadline)
{
    int r = 0;

    if (!t->endpoint_count) {
        r = resolve(t, deadline);
        if (r < 0)
            return r;
    }
    for (unsigned i = 0; i < t->endpoint_count; i++) {
        if (t->fd < 0)
            r = connect_start(t, &t->endpoints[t->endpoint]);
        if (t->connecting) {
            /* Each address that is left gets its share of the time. */
            uint64_t now = now_mono(), left = deadline > now ? deadline - now : 0;
            r = connect_finish(t, now + left / (t->endpoint_count - i));
            if (r == -EAGAIN && i + 1 == t->endpoint_count)
                return transport_away(t, "connect", ETIMEDOUT);
            if (r == -EAGAIN)
                transport_close(t);
        }
        if (r == 0)
            return 0;
        t->endpoint = (t->endpoint + 1) % t->endpoint_count;
    }
    t->endpoint_count = 0; /* resolved anew next time */
    transport_away(t, "connect", r == -EAGAIN ? ETIMEDOUT : -r);
    return r == -EAGAIN ? r : -ENOTCONN;
}

/* What differs over TLS is where the bytes go through. */
static bool is_tls(const struct transport *t)
{
    return t->address.type == ADDRESS_TLS;
}

static bool is_open(const struct transport *t)
{
    return is_tls(t) ? tls_is_open(t) : t->fd >= 0 && !t->connecting;
}

static int stream_open(struct transport *t, uint64_t deadline)
{
    return is_tls(t) ? tls_open(t, deadline) : stream_connect(t, deadline);
}

static void stream_close(struct transport *t)
{
    if (is_tls(t))
        tls_close(t);
    else
        transport_close(t);
}

static long stream_put(struct transport *t, const char *data, size_t length)
{
    if (is_tls(t))
        return tls_write(t, data, length);
    return sys(sendto, t->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
}

/* Takes what the peer says and forgets it; false: it closed or broke the connection. */
static bool peer_is_there(struct transport *t)
{
    char unread[512];

    if (is_tls(t))
        return tls_peer_is_there(t);
    for (int i = 0; i < DRAIN_READS; i++) {
        long n = sys(recvfrom, t->fd, unread, sizeof(unread), MSG_DONTWAIT, 0, 0);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n == -EAGAIN;
    }
    return true;
}

/* Sends from *at on. 0, -EAGAIN at the deadline, -errno: broken. */
static int stream_write(struct transport *t, const char *data, size_t length, size_t *at,
                        uint64_t deadline)
{
    while (*at < length) {
        long n = stream_put(t, data + *at, length - *at);
        if (n > 0) {
            *at += (size_t)n;
            t->moved = true;
            continue;
        }
        if (n == -EINTR)
            continue;
        if (n != -EAGAIN)
            return n ? (int)n : -EIO;
        /* A peer that talks must be listened to, or both would wait for ever. */
        int events = wait_for(is_tls(t) ? tls_descriptor(t) : t->fd, POLLOUT | POLLIN, deadline);
        if (events <= 0)
            return events ? events : -EAGAIN;
        if ((events & (POLLIN | POLLERR | POLLHUP)) && !peer_is_there(t))
            return -EPIPE;
    }
    return 0;
}

int stream_send(struct transport *t, const char *data, size_t length, uint64_t deadline)
{
    bool inside = t->stopped > 0; /* the connection has the front of a unit */
    size_t at = unit_resume(t, data, length);
    int r = -ENOTCONN;

    if (inside && !at)
        stream_close(t); /* another unit was begun there: its rest will never come */
    for (int i = 0; i < 2; i++) {
        if (is_open(t) && !peer_is_there(t)) {
            stream_close(t);
            at = 0;
        }
        if (!is_open(t)) {
            at = 0;
            if (stream_open(t, deadline) < 0)
                return -EAGAIN; /* the reason is set */
        }
        r = stream_write(t, data, length, &at, deadline);
        if (r == 0)
            return 0;
        if (r == -EAGAIN) {
            unit_stopped(t, data, length, at);
            return transport_away(t, "send", EAGAIN);
        }
        stream_close(t);
        at = 0;
    }
    return transport_away(t, "send", -r);
}
