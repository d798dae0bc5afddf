/*
 * Connections: addresses, who opened and who ended them, their counters and events.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "report/fold_state.h"
#include "telemetry/number.h"

const char *transport_name(unsigned kind)
{
    switch (kind) {
    case KIND_TCP:
        return "tcp";
    case KIND_UDP:
        return "udp";
    case KIND_UNIX_STREAM:
    case KIND_UNIX_DGRAM:
        return "unix";
    default:
        return NULL;
    }
}

struct connection *connection_of(struct description *d)
{
    if (!d->connection)
        d->connection = calloc(1, sizeof(*d->connection));
    return d->connection;
}

void connection_free(struct connection *c)
{
    if (!c)
        return;
    free(c->local.path);
    free(c->peer.path);
    free(c);
}

/* ------------------------------------------------------------------ addresses */

static char *unix_path(const uint8_t *sun, size_t length)
{
    const char *path = (const char *)sun + offsetof(struct sockaddr_un, sun_path);
    size_t n = length > offsetof(struct sockaddr_un, sun_path)
                   ? length - offsetof(struct sockaddr_un, sun_path)
                   : 0;
    if (!n)
        return NULL;
    if (path[0])
        return strndup(path, n);
    char *copy = malloc(n + 1); /* abstract: NULs are part of the name, and are shown as '@' */
    if (!copy)
        return NULL;
    for (size_t i = 0; i < n; i++)
        copy[i] = path[i] ? path[i] : '@';
    copy[n] = 0;
    return copy;
}

static void endpoint_set(struct endpoint *e, const uint8_t *address, size_t length)
{
    uint16_t family = 0;
    if (length < sizeof(family))
        return;
    memcpy(&family, address, sizeof(family));
    struct endpoint new = {.family = family};
    if (family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        new.port = ntohs(in.sin_port);
        memcpy(new.address, &in.sin_addr, 4);
    } else if (family == AF_INET6 && length >= 24) {
        struct sockaddr_in6 in = {0};
        memcpy(&in, address, length < sizeof(in) ? length : sizeof(in));
        new.port = ntohs(in.sin6_port);
        new.zone = in.sin6_scope_id;
        memcpy(new.address, &in.sin6_addr, 16);
    } else if (family == AF_UNIX) {
        new.path = unix_path(address, length);
    } else {
        return; /* no address, or none that we can spell */
    }
    free(e->path);
    *e = new;
}

static void endpoints_set(struct connection *c, const struct record *r, const uint8_t *payload)
{
    struct address_pair pair;
    if (r->payload < sizeof(pair))
        return;
    memcpy(&pair, payload, sizeof(pair));
    size_t local = pair.local_length < sizeof(pair.local) ? pair.local_length : sizeof(pair.local);
    size_t peer = pair.peer_length < sizeof(pair.peer) ? pair.peer_length : sizeof(pair.peer);
    endpoint_set(&c->local, pair.local, local);
    endpoint_set(&c->peer, pair.peer, peer);
}

static bool is_mapped(const struct endpoint *e)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return e->family == AF_INET6 && !memcmp(e->address, prefix, sizeof(prefix));
}

/* An IPv4 peer of a dual-stack socket is an IPv4 peer. */
static const char *type_name(const struct endpoint *e)
{
    if (e->family == AF_INET || is_mapped(e))
        return "ipv4";
    return e->family == AF_INET6 ? "ipv6" : NULL;
}

/* What inet_ntop writes, without printf inside: each request of a traced server has one. */
static size_t ipv4_text(const uint8_t address[4], char out[INET_ADDRSTRLEN])
{
    size_t n = 0;
    for (unsigned i = 0; i < 4; i++) {
        if (i)
            out[n++] = '.';
        n += number_unsigned(out + n, address[i]);
    }
    return n;
}

struct text endpoint_text(const struct endpoint *e, char *out, size_t size, bool with_port)
{
    char address[INET6_ADDRSTRLEN + 12] = "";
    size_t n = 0;
    if (e->family == AF_UNIX)
        return text_of(e->path ? e->path : "");
    if (e->family == AF_INET || is_mapped(e))
        n = ipv4_text(e->address + (e->family == AF_INET ? 0 : 12), address);
    else if (e->family == AF_INET6 && inet_ntop(AF_INET6, e->address, address, INET6_ADDRSTRLEN))
        n = strlen(address);
    else
        return (struct text){0};
    if (e->family == AF_INET6 && e->zone && !is_mapped(e))
        n += (size_t)snprintf(address + n, sizeof(address) - n, "%%%u", e->zone);
    if (!with_port) {
        if (n >= size)
            return (struct text){out, 0};
        memcpy(out, address, n);
        return (struct text){out, n};
    }
    int written = memchr(address, ':', n) ? snprintf(out, size, "[%s]:%u", address, e->port)
                                          : snprintf(out, size, "%s:%u", address, e->port);
    return (struct text){out, written > 0 && (size_t)written < size ? (size_t)written : 0};
}

/* ------------------------------------------------------------------ events */

static bool wanted(struct fold *f, const struct connection *c)
{
    char room[80];
    return f->conf->events_connection.enabled &&
           filter_pass(f->filter_connection, endpoint_text(&c->peer, room, sizeof(room), true));
}

static void endpoint_attributes(struct event *e, const struct endpoint *p, const char *address,
                                const char *port)
{
    if (!p->family || (p->family == AF_UNIX && !p->path))
        return;
    char *room = event_scratch(e, 72);
    if (!room)
        return;
    event_text(e, address, endpoint_text(p, room, 72, false));
    if (p->family != AF_UNIX)
        event_int(e, port, p->port);
}

static const char *role_name(unsigned role)
{
    return role == ROLE_CLIENT ? "client" : role == ROLE_SERVER ? "server" : NULL;
}

static void attributes(struct event *e, const struct description *d)
{
    const struct connection *c = d->connection;
    event_string(e, "network.transport", transport_name(d->kind));
    event_string(e, "network.type", type_name(c->peer.family ? &c->peer : &c->local));
    endpoint_attributes(e, &c->peer, "network.peer.address", "network.peer.port");
    endpoint_attributes(e, &c->local, "network.local.address", "network.local.port");
    event_string(e, "scope.connection.role", role_name(c->role));
    event_int(e, "scope.descriptor", d->fd);
}

/* error: 0 or a negative errno. duration: in ticks, of connect; 0 none. */
static void event_open(struct fold *f, const struct description *d, const struct record *r,
                       int64_t error, uint64_t duration, int32_t tid)
{
    if (!wanted(f, d->connection))
        return;
    struct event *e = event_begin(f, "scope.connection.open", &scope_socket, r->end, tid);
    attributes(e, d);
    if (duration)
        event_double(e, "scope.duration", fold_seconds(f, duration));
    event_error(e, error);
    event_submit(f, e);
}

static const char *ended_by(const struct connection *c, const char *reason)
{
    if (c->ended_by)
        return c->ended_by == 'p' ? "peer" : "local";
    return strcmp(reason, "close") ? NULL : "local";
}

void connection_event_close(struct fold *f, struct description *d, const char *reason)
{
    struct connection *c = d->connection;
    if (!c || !c->told || !wanted(f, c))
        return;
    uint64_t end = d->closed ? d->closed : f->last_ticks;
    struct event *e =
        event_begin(f, "scope.connection.close", &scope_socket, end, d->closed ? d->closed_tid : 0);
    attributes(e, d);
    event_int(e, "scope.io.read.bytes", (int64_t)d->sums.read_bytes);
    event_int(e, "scope.io.read.operations", (int64_t)d->sums.read_ops);
    event_int(e, "scope.io.write.bytes", (int64_t)d->sums.write_bytes);
    event_int(e, "scope.io.write.operations", (int64_t)d->sums.write_ops);
    event_int(e, "scope.io.errors", (int64_t)d->sums.errors);
    event_double(e, "scope.io.time", fold_seconds(f, d->sums.ticks));
    if (c->began && end > c->began)
        event_double(e, "scope.duration", fold_seconds(f, end - c->began));
    event_string(e, "scope.connection.closed_by", ended_by(c, reason));
    event_string(e, "scope.close.reason", reason);
    if (c->tls_seen || c->tls_unseen)
        event_bool(e, "scope.tls.observed", c->tls_seen);
    if (c->end_error)
        event_error(e, -c->end_error);
    event_submit(f, e);
}

/* ------------------------------------------------------------------ counters */

static struct series *series(struct fold *f, enum instrument_id id, const struct description *d,
                             unsigned role, int64_t error)
{
    struct attribute a[SERIES_ATTRIBUTES_MAX];
    char room[16];
    uint32_t n = 0;
    const struct connection *c = d->connection;
    const char *transport = transport_name(d->kind);
    const char *type = type_name(c->peer.family ? &c->peer : &c->local);
    if (transport)
        a[n++] = attribute_text("network.transport", transport);
    if (type)
        a[n++] = attribute_text("network.type", type);
    if (role_name(role))
        a[n++] = attribute_text("scope.connection.role", role_name(role));
    if (error < 0)
        a[n++] = attribute_text("error.type", errno_name((int)-error, room));
    return fold_series(f, id, a, n);
}

static bool counting(const struct fold *f)
{
    return f->conf->metrics && f->conf->metrics_socket;
}

static void opened(struct fold *f, struct description *d, const struct record *r, int32_t tid)
{
    struct connection *c = d->connection;
    c->connecting = false;
    c->told = true;
    c->connected = r->end;
    if (counting(f)) {
        if (c->role == ROLE_SERVER)
            series_add_int(series(f, METRIC_ACCEPTED, d, ROLE_NONE, 0), 1);
        else
            series_add_int(series(f, METRIC_OPENED, d, ROLE_NONE, 0), 1);
        if (c->role == ROLE_CLIENT)
            series_record(series(f, METRIC_CONNECT_DURATION, d, c->role, 0),
                          fold_seconds(f, r->end - c->began));
        if (!c->counted)
            series_add_int(series(f, METRIC_OPEN, d, c->role, 0), 1);
        c->counted = true;
    }
    event_open(f, d, r, 0, c->role == ROLE_CLIENT ? r->end - c->began : 0, tid);
}

static void failed(struct fold *f, struct description *d, const struct record *r, int32_t tid)
{
    struct connection *c = d->connection;
    c->connecting = false;
    if (counting(f)) {
        series_add_int(series(f, METRIC_FAILED, d, c->role, r->result), 1);
        series_record(series(f, METRIC_CONNECT_DURATION, d, c->role, r->result),
                      fold_seconds(f, r->end - c->began));
    }
    event_open(f, d, r, r->result, r->end - c->began, tid);
}

void connection_closed(struct fold *f, struct description *d)
{
    struct connection *c = d->connection;
    if (!c || !c->counted)
        return;
    c->counted = false;
    series_add_int(series(f, METRIC_OPEN, d, c->role, 0), -1);
}

/* ------------------------------------------------------------------ records */

void connection_seen(struct fold *f, struct description *d, const struct record *r,
                     const uint8_t *payload)
{
    struct connection *c = connection_of(d);
    if (!c)
        return;
    (void)f;
    endpoints_set(c, r, payload);
    if (c->peer.family)
        c->told = true; /* it is a connection; when it was opened is not known */
    if (r->flags & RECORD_SERVER)
        c->role = ROLE_SERVER;
}

static void connect_called(struct fold *f, struct description *d, const struct record *r,
                           const uint8_t *payload, int32_t tid)
{
    struct connection *c = d->connection;
    uint16_t family = AF_UNSPEC;
    if (r->payload >= sizeof(struct address_pair))
        memcpy(&family, ((const struct address_pair *)payload)->peer, sizeof(family));
    if (r->result == -EALREADY || r->result == -EISCONN || (r->result >= 0 && family == AF_UNSPEC))
        return; /* says nothing new, or dissolves an association */
    endpoints_set(c, r, payload);
    c->role = ROLE_CLIENT;
    c->began = r->start;
    c->ended_by = 0;
    if (r->result == -EINPROGRESS || r->result == -EINTR ||
        (r->result == -EAGAIN && d->kind == KIND_TCP))
        c->connecting = true;
    else if (r->result < 0)
        failed(f, d, r, tid);
    else
        opened(f, d, r, tid);
}

/* The outcome of a connect that was under way; r->start may be when its outcome was asked for. */
static void connect_ended(struct fold *f, struct description *d, const struct record *r,
                          const uint8_t *payload, int32_t tid)
{
    struct connection *c = d->connection;
    endpoints_set(c, r, payload);
    if (c->role == ROLE_NONE)
        c->role = ROLE_CLIENT;
    if (!c->began)
        c->began = r->start;
    if (r->result < 0)
        failed(f, d, r, tid);
    else
        opened(f, d, r, tid);
}

static void accepted(struct fold *f, struct description *d, const struct record *r,
                     const uint8_t *payload, int32_t tid)
{
    struct connection *c = d->connection;
    d->opened = c->began = r->end;
    c->role = ROLE_SERVER;
    endpoints_set(c, r, payload);
    opened(f, d, r, tid);
}

/* A datagram socket that was never connected has met its peer. */
static void peer_met(struct fold *f, struct description *d, const struct record *r,
                     const uint8_t *payload, int32_t tid)
{
    struct connection *c = d->connection;
    if (c->told)
        return;
    endpoints_set(c, r, payload);
    c->began = r->start;
    c->told = true;
    event_open(f, d, r, 0, 0, tid);
}

static void ended(struct connection *c, const struct record *r)
{
    if (r->type == RECORD_SHUTDOWN) {
        if (r->result >= 0 && r->a != 0 && !c->ended_by) /* not SHUT_RD */
            c->ended_by = 'l';
        return;
    }
    if (!c->ended_by)
        c->ended_by = 'p';
    if (r->result < 0)
        c->end_error = (int)-r->result;
}

void connection_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    if (r->type == RECORD_SOCKET || r->type == RECORD_ACCEPT)
        if (r->result < 0)
            return;
    struct descriptor *found = descriptor_make(f, r->fd, r->generation, r->kind);
    if (!found || !connection_of(found->description))
        return;
    struct description *d = found->description;
    if (kind_is_socket(r->kind))
        d->kind = r->kind;
    switch (r->type) {
    case RECORD_SOCKET:
        d->opened = r->end;
        break;
    case RECORD_BIND:
    case RECORD_LISTEN:
        if (r->result >= 0)
            endpoints_set(d->connection, r, payload);
        break;
    case RECORD_ACCEPT:
        accepted(f, d, r, payload, tid);
        break;
    case RECORD_CONNECT:
        connect_called(f, d, r, payload, tid);
        break;
    case RECORD_CONNECTED:
        connect_ended(f, d, r, payload, tid);
        break;
    case RECORD_PEER:
        peer_met(f, d, r, payload, tid);
        break;
    case RECORD_SHUTDOWN:
    case RECORD_END:
        ended(d->connection, r);
        break;
    default:
        break;
    }
}
