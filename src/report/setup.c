/*
 * What a connection's first request had to wait for: the lookup of a name, the connect, the TLS
 * handshake. Each becomes a span below that request's (semantic conventions, .NET's network
 * traces).
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "report/fold_trace.h"

/* Seconds: a lookup that ended longer than this before a connect was not waited for by it; less
   where another thread made it. */
static const double lookup_age = 1, lookup_age_elsewhere = 0.1;

void lookup_note(struct fold *f, int32_t tid, struct text name, uint64_t start, uint64_t end,
                 const struct name_answer *answers, size_t count)
{
    struct traces *t = f->region->watch & WATCH_TRACES ? traces_of(f) : NULL;
    if (!t || !count)
        return;
    struct noted_lookup *l = &t->lookup[t->lookup_next++ % LOOKUPS];
    size_t most = sizeof(l->answers) / sizeof(l->answers[0]);
    *l = (struct noted_lookup){.tid = tid, .start = start, .end = end};
    snprintf(l->name, sizeof(l->name), "%.*s", (int)name.length, name.data);
    l->count = count < most ? count : most;
    memcpy(l->answers, answers, l->count * sizeof(l->answers[0]));
}

static bool is_answer(const struct name_answer *a, const struct endpoint *peer)
{
    size_t n = a->family == AF_INET ? 4 : 16;
    return a->family == peer->family && !memcmp(a->address, peer->address, n);
}

/*
 * The latest lookup that gave the peer's address before the connect: of this thread, or, where
 * names are looked up on a thread of their own, of another.
 */
static struct noted_lookup *lookup_of(struct fold *f, const struct connection *c, int32_t tid)
{
    struct noted_lookup *best = NULL;
    for (unsigned i = 0; i < LOOKUPS; i++) {
        struct noted_lookup *l = &f->traces->lookup[i];
        bool own = l->tid == tid;
        if (!l->count || l->told || l->end > c->began || (best && best->tid == tid && !own) ||
            fold_seconds(f, c->began - l->end) > (own ? lookup_age : lookup_age_elsewhere))
            continue;
        bool later = !best || l->end > best->end || (own && best->tid != tid);
        for (size_t k = 0; later && k < l->count; k++)
            if (is_answer(&l->answers[k], &c->peer))
                best = l;
    }
    return best;
}

/* One span below `ids`; its attributes come in `list`. */
static void child(struct fold *f, const struct trace_ids *ids, struct text name, uint64_t start,
                  uint64_t end, int64_t error, struct attribute_list *list,
                  const struct telemetry_scope *scope)
{
    struct span span = {.name = name,
                        .start_time = fold_unix(f, start),
                        .end_time = fold_unix(f, end),
                        .scope = scope};
    span_child(f, ids, &span, error, list);
}

static void tell_lookup(struct fold *f, const struct trace_ids *ids, struct noted_lookup *l)
{
    struct arena *arena = span_arena(f);
    if (!arena)
        return;
    struct attribute_list list = {.arena = arena};
    l->told = true;
    attributes_text(&list, "dns.question.name", text_of(l->name));
    child(f, ids, arena_format(arena, "DNS lookup %s", l->name), l->start, l->end, 0, &list,
          &scope_name);
}

static void tell_connect(struct fold *f, const struct trace_ids *ids, const struct description *d)
{
    const struct connection *c = d->connection;
    struct arena *arena = span_arena(f);
    char with[128], without[128];
    if (!arena)
        return;
    struct attribute_list list = {.arena = arena};
    struct text peer = endpoint_text(&c->peer, with, sizeof(with), true);
    struct text address = endpoint_text(&c->peer, without, sizeof(without), false);
    if (!peer.length)
        return;
    attributes_text(&list, "network.peer.address", address);
    if (c->peer.family != AF_UNIX)
        attributes_int(&list, "network.peer.port", c->peer.port);
    if (transport_name(d->kind))
        attributes_text(&list, "network.transport", text_of(transport_name(d->kind)));
    child(f, ids, arena_format(arena, "socket connect %.*s", (int)peer.length, peer.data), c->began,
          c->connected, 0, &list, &scope_socket);
}

const char *tls_version_text(unsigned version)
{
    switch (version) {
    case 0x0301:
        return "1.0";
    case 0x0302:
        return "1.1";
    case 0x0303:
        return "1.2";
    case 0x0304:
        return "1.3";
    default:
        return NULL;
    }
}

static void tell_handshake(struct fold *f, const struct trace_ids *ids, const struct talk *t,
                           struct text server)
{
    struct arena *arena = span_arena(f);
    const char *version = tls_version_text(t->tls.version);
    if (!arena)
        return;
    struct attribute_list list = {.arena = arena};
    struct text name = t->tls_name ? text_of(t->tls_name) : server;
    attributes_text(&list, "tls.protocol.name", TEXT("tls"));
    if (version)
        attributes_text(&list, "tls.protocol.version", text_of(version));
    child(f, ids,
          arena_format(arena, "TLS %s handshake %.*s", t->tls.server ? "server" : "client",
                       (int)name.length, name.data),
          t->tls_start, t->tls_end, t->tls_result, &list, &scope_tls);
}

uint64_t setup_told(struct fold *f, const struct description *d, struct talk *t,
                    const struct trace_ids *ids, int32_t tid, uint64_t start, struct text server)
{
    const struct connection *c = d->connection;
    uint64_t first = start;
    if (t->setup_told || !(ids->flags & TRACE_SAMPLED) || sdk_tells(f))
        return start;
    t->setup_told = true;
    if (c && c->role == ROLE_CLIENT && c->began && c->connected && c->began < first) {
        struct noted_lookup *lookup = lookup_of(f, c, tid);
        tell_connect(f, ids, d);
        first = c->began;
        if (lookup) {
            tell_lookup(f, ids, lookup);
            first = lookup->start;
        }
    }
    if (t->tls_start) {
        tell_handshake(f, ids, t, server);
        if (t->tls_start < first)
            first = t->tls_start;
    }
    return first;
}
