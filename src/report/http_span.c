/* A request and its answer as a span and as measurements: HTTP's names, or gRPC's. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "report/fold_trace.h"

/* What is worked out of an exchange once, for span and metrics alike. */
struct told {
    struct fold *f;
    const struct description *d;
    const struct talk *talk;
    const struct exchange *x;
    const struct ending *ending;
    struct arena *arena;
    struct http_target target;
    struct text method;     /* known, or _OTHER */
    struct text peer;       /* address without port; empty: not known */
    struct text error;      /* error.type; empty: none */
    struct text rpc_method; /* gRPC */
    struct text rpc_status;
    const char *route;
    const char *version;
    bool rpc_error;
    uint64_t end; /* ticks */
};

/* A request that asked for h2c came by HTTP/1.1, and what it got by HTTP/2. */
static const char *version_of(const struct http_message *m, const struct http_message *response)
{
    if (m->major == 2 || (response && response->major == 2))
        return "2";
    return m->major == 1 && m->minor == 0 ? "1.0" : "1.1";
}

/* Why there is an error; a request that we gave up ourselves is none. */
static struct text error_of(const struct told *t)
{
    const struct exchange *x = t->x;
    unsigned status = x->response ? x->response->status : 0;
    if (x->grpc && t->rpc_status.length)
        return t->rpc_error ? t->rpc_status : (struct text){0};
    if (status >= 500 || (!x->server && status >= 400))
        return arena_format(t->arena, "%u", status);
    if (t->ending->how == ENDED_RESET && t->ending->code)
        return TEXT("stream_reset");
    if (t->ending->how == ENDED_BY_PEER && !x->server)
        return t->d->connection && t->d->connection->end_error ? TEXT("connection_reset")
                                                               : TEXT("connection_closed");
    return (struct text){0};
}

static bool work_out(struct told *t)
{
    const struct exchange *x = t->x;
    char room[128];
    t->arena = span_arena(t->f);
    if (!t->arena || !x->request)
        return false;
    const struct connection *c = t->d->connection;
    if (c) {
        struct text peer = endpoint_text(&c->peer, room, sizeof(room), false);
        t->peer = arena_copy(t->arena, peer.data, peer.length);
    }
    http_target_of(x->request, x->server, x->tls, t->arena, &t->target);
    /* who is asked without a name is asked by address; a name that we failed to read is not known
     */
    if (!t->target.host.length && !x->server && !x->request->cut && !x->request->fields_dropped &&
        !http_field(x->request, "host").length) {
        t->target.host = t->peer;
        t->target.port = c ? c->peer.port : 0;
    }
    t->method = http_method_name(x->request->method);
    t->version = version_of(x->request, x->response);
    const struct conf_list *routes = &t->f->conf->traces_routes;
    if (x->server && routes->count)
        t->route = http_route((const char *const *)routes->items, routes->count, t->target.path);
    if (x->grpc) {
        int code = -1;
        t->rpc_method = grpc_method(x->request);
        t->rpc_status = x->trailer    ? grpc_status(x->trailer, &code)
                        : x->response ? grpc_status(x->response, &code)
                                      : (struct text){0};
        t->rpc_error = grpc_is_error(code, x->server);
    }
    t->error = error_of(t);
    /* a client's ends with the head of the answer, whose body may be read at leisure */
    t->end = !x->server && !x->grpc && x->answer_at ? x->answer_at : t->ending->ticks;
    return true;
}

/* ------------------------------------------------------------------ the span */

static void put(struct attribute_list *list, const char *key, struct text value)
{
    if (value.length)
        attributes_text(list, key, value);
}

static void network(struct attribute_list *list, const struct told *t)
{
    const struct connection *c = t->d->connection;
    put(list, "network.peer.address", t->peer);
    if (c && c->peer.family && c->peer.family != AF_UNIX)
        attributes_int(list, "network.peer.port", c->peer.port);
    put(list, "server.address", t->target.host);
    if (t->target.port)
        attributes_int(list, "server.port", t->target.port);
}

static void http_attributes(struct attribute_list *list, const struct told *t)
{
    const struct exchange *x = t->x;
    attributes_text(list, "http.request.method", t->method);
    if (text_is(t->method, "_OTHER"))
        put(list, "http.request.method_original", x->request->method);
    if (x->response)
        attributes_int(list, "http.response.status_code", x->response->status);
    if (x->server) {
        attributes_text(list, "url.path", t->target.path);
        put(list, "url.scheme", t->target.scheme);
        put(list, "url.query", t->target.query);
        if (t->route)
            attributes_text(list, "http.route", text_of(t->route));
        struct text client = http_client_address(x->request, t->arena);
        put(list, "client.address", client.data ? client : t->peer);
    } else {
        const struct connection *c = t->d->connection;
        int port = c && c->peer.family != AF_UNIX ? c->peer.port : 0;
        put(list, "url.full", http_url_full(x->request, x->tls, t->peer, port, t->arena));
    }
    put(list, "user_agent.original", http_field(x->request, "user-agent"));
    attributes_text(list, "network.protocol.version", text_of(t->version));
    if (x->request_ended)
        attributes_int(list, "http.request.body.size", (int64_t)x->asked.bytes);
    if (t->ending->how == ENDED_WELL)
        attributes_int(list, "http.response.body.size", (int64_t)x->answer.bytes);
    const struct conf_list *headers = &t->f->conf->traces_headers;
    if (!headers->count)
        return;
    http_headers_allowed(x->request, (const char *const *)headers->items, headers->count, list);
    if (x->response)
        http_headers_allowed(x->response, (const char *const *)headers->items, headers->count,
                             list);
}

static void rpc_attributes(struct attribute_list *list, const struct told *t)
{
    const struct exchange *x = t->x;
    attributes_text(list, "rpc.system.name", TEXT("grpc"));
    put(list, "rpc.method", t->rpc_method);
    put(list, "rpc.response.status_code", t->rpc_status);
    if (x->request_ended && !x->asked.uncounted)
        attributes_int(list, "scope.rpc.request.messages", (int64_t)x->asked.messages);
    if (t->ending->how == ENDED_WELL && !x->answer.uncounted)
        attributes_int(list, "scope.rpc.response.messages", (int64_t)x->answer.messages);
}

static struct text name_of(const struct told *t)
{
    if (t->x->grpc && t->rpc_method.length)
        return t->rpc_method;
    const char *method = text_is(t->method, "_OTHER") ? "HTTP" : t->method.data;
    size_t length = text_is(t->method, "_OTHER") ? 4 : t->method.length;
    if (t->route)
        return arena_format(t->arena, "%.*s %s", (int)length, method, t->route);
    return (struct text){method, length};
}

static void tell_span(const struct told *t)
{
    const struct exchange *x = t->x;
    struct attribute_list list = {.arena = t->arena};
    struct span span = {.name = name_of(t),
                        .kind = x->server ? SPAN_SERVER : SPAN_CLIENT,
                        .start_time = fold_unix(t->f, x->start),
                        .end_time = fold_unix(t->f, t->end > x->start ? t->end : x->start),
                        .scope = x->grpc ? &scope_rpc : &scope_http};
    span_identify(t->f, &x->ids, &span);
    if (!(span.flags & TRACE_SAMPLED))
        return;
    if (x->grpc)
        rpc_attributes(&list, t);
    else
        http_attributes(&list, t);
    network(&list, t);
    const char *tls = x->tls ? tls_version_text(t->talk->tls.version) : NULL;
    if (tls)
        attributes_text(&list, "tls.protocol.version", text_of(tls));
    if (t->error.length) {
        attributes_text(&list, "error.type", t->error);
        span.status = STATUS_ERROR;
    }
    span.attributes = attributes_done(&list);
    spans_put(t->f, &span);
}

/* ------------------------------------------------------------------ the measurements */

static uint32_t dimensions(const struct told *t, struct attribute a[SERIES_ATTRIBUTES_MAX])
{
    const struct exchange *x = t->x;
    uint32_t n = 0;
    if (x->grpc) {
        a[n++] = attribute_text("rpc.system.name", "grpc");
        if (t->rpc_method.length)
            a[n++] = (struct attribute){
                .key = TEXT("rpc.method"), .type = VALUE_TEXT, .text = t->rpc_method};
        if (t->rpc_status.length)
            a[n++] = (struct attribute){
                .key = TEXT("rpc.response.status_code"), .type = VALUE_TEXT, .text = t->rpc_status};
    } else {
        a[n++] = (struct attribute){
            .key = TEXT("http.request.method"), .type = VALUE_TEXT, .text = t->method};
        if (x->response)
            a[n++] = (struct attribute){.key = TEXT("http.response.status_code"),
                                        .type = VALUE_INT,
                                        .integer = x->response->status};
        a[n++] = attribute_text("network.protocol.version", t->version);
        if (x->server && t->target.scheme.length)
            a[n++] = (struct attribute){
                .key = TEXT("url.scheme"), .type = VALUE_TEXT, .text = t->target.scheme};
        if (t->route)
            a[n++] = attribute_text("http.route", t->route);
    }
    if (!x->server && t->target.host.length) {
        a[n++] = (struct attribute){
            .key = TEXT("server.address"), .type = VALUE_TEXT, .text = t->target.host};
        if (t->target.port)
            a[n++] = (struct attribute){
                .key = TEXT("server.port"), .type = VALUE_INT, .integer = t->target.port};
    }
    if (t->error.length)
        a[n++] =
            (struct attribute){.key = TEXT("error.type"), .type = VALUE_TEXT, .text = t->error};
    return n;
}

static void measure(const struct told *t, enum instrument_id id, const struct attribute *a,
                    uint32_t n, double value)
{
    struct text state;
    struct trace_ids ids = trace_told(t->f, &t->x->ids, &state);
    struct series *series = fold_series(t->f, id, a, n);
    enum exemplar_filter filter = t->f->conf->exemplars;
    bool sampled =
        ids.flags & TRACE_SAMPLED && t->f->region->watch & WATCH_TRACES && !sdk_tells(t->f);
    if (filter == EXEMPLARS_ALWAYS_ON || (filter == EXEMPLARS_TRACE_BASED && sampled))
        series_record_traced(series, value, fold_unix(t->f, t->end), &ids);
    else
        series_record(series, value);
}

static void tell_metrics(const struct told *t)
{
    const struct exchange *x = t->x;
    struct attribute a[SERIES_ATTRIBUTES_MAX];
    uint32_t n = dimensions(t, a);
    double seconds = t->end > x->start ? fold_seconds(t->f, t->end - x->start) : 0;
    if (x->grpc) {
        measure(t, x->server ? METRIC_RPC_SERVER : METRIC_RPC_CLIENT, a, n, seconds);
        return;
    }
    measure(t, x->server ? METRIC_HTTP_SERVER : METRIC_HTTP_CLIENT, a, n, seconds);
    if (x->request_ended)
        measure(t, x->server ? METRIC_HTTP_SERVER_REQUEST : METRIC_HTTP_CLIENT_REQUEST, a, n,
                (double)x->asked.bytes);
    if (t->ending->how == ENDED_WELL)
        measure(t, x->server ? METRIC_HTTP_SERVER_RESPONSE : METRIC_HTTP_CLIENT_RESPONSE, a, n,
                (double)x->answer.bytes);
}

void exchange_told(struct fold *f, const struct description *d, const struct talk *talk,
                   const struct exchange *x, const struct ending *ending)
{
    struct told t = {.f = f, .d = d, .talk = talk, .x = x, .ending = ending};
    if (!work_out(&t))
        return;
    if (f->conf->metrics && f->conf->metrics_http)
        tell_metrics(&t);
    if (f->region->watch & WATCH_TRACES && !sdk_tells(f))
        tell_span(&t);
}

void exchange_counted(struct fold *f, const struct exchange *x, int change)
{
    struct attribute a[2];
    if (!f->conf->metrics || !f->conf->metrics_http || x->grpc || !x->request)
        return;
    a[0] = (struct attribute){.key = TEXT("http.request.method"),
                              .type = VALUE_TEXT,
                              .text = http_method_name(x->request->method)};
    a[1] = attribute_text("url.scheme", x->tls ? "https" : "http");
    series_add_int(
        fold_series(f, x->server ? METRIC_HTTP_SERVER_ACTIVE : METRIC_HTTP_CLIENT_ACTIVE, a, 2),
        change);
}
