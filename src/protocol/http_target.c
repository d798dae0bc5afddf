/*
 * What a request asked for, and of whom: targets of every form, what proxies say of the original
 * request, and all of it without its secrets.
 */
#include "protocol/http_message.h"

#include <arpa/inet.h>

#include "protocol/http_text.h"

/* ---- URLs */

void http_url_rest(struct text rest, struct http_url *out)
{
    struct text r = http_piece(rest, 0, http_find(rest, 0, '#'));
    size_t mark = http_find(r, 0, '?');

    out->path = http_piece(r, 0, mark);
    out->has_query = mark < r.length;
    out->query = out->has_query ? http_piece(r, mark + 1, r.length) : TEXT("");
}

static void authority_rest(struct text url, size_t from, struct http_url *out)
{
    size_t to = from;

    while (to < url.length && url.data[to] != '/' && url.data[to] != '?' && url.data[to] != '#')
        to++;
    out->authority = http_piece(url, from, to);
    http_url_rest(http_piece(url, to, url.length), out);
}

bool http_url_absolute(struct text url, struct http_url *out)
{
    size_t colon = http_find(url, 0, ':');

    *out = (struct http_url){0};
    if (!colon || url.length - colon < 3 || memcmp(url.data + colon, "://", 3))
        return false;
    for (size_t i = 0; i < colon; i++) {
        char c = http_lower(url.data[i]);
        bool letter = c >= 'a' && c <= 'z';
        if (!letter && (!i || !(http_digit(c) || c == '+' || c == '-' || c == '.')))
            return false;
    }
    out->scheme = http_piece(url, 0, colon);
    authority_rest(url, colon + 3, out);
    return true;
}

/* ---- redaction */

/* Text under construction; out NULL: only measured. */
struct sink {
    char *out;
    size_t length;
};

static void put(struct sink *s, struct text t)
{
    if (s->out && t.length)
        memcpy(s->out + s->length, t.data, t.length);
    s->length += t.length;
}

static int hex_value(char c)
{
    if (http_digit(c))
        return c - '0';
    c = http_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether a key is `name` once it is decoded: a server would find the value all the same. */
static bool key_is(struct text key, const char *name)
{
    size_t at = 0;

    for (; *name; name++) {
        if (at >= key.length)
            return false;
        int c = (unsigned char)key.data[at++];
        if (c == '%' && key.length - at >= 2 && hex_value(key.data[at]) >= 0 &&
            hex_value(key.data[at + 1]) >= 0) {
            c = hex_value(key.data[at]) * 16 + hex_value(key.data[at + 1]);
            at += 2;
        }
        if (c != (unsigned char)*name)
            return false;
    }
    return at == key.length;
}

static bool key_secret(struct text key)
{
    static const char *const secret[] = {
        "X-Amz-Signature",  "X-Amz-Credential", "X-Amz-Security-Token",
        "AWSAccessKeyId",   "Signature",        "sig",
        "X-Goog-Signature",
    };

    for (size_t i = 0; i < sizeof(secret) / sizeof(*secret); i++) {
        if (key_is(key, secret[i]))
            return true;
    }
    return false;
}

static bool key_begins_behind(char c)
{
    return c == '&' || c == ';' || c == '?';
}

/* Returns whether anything was redacted. */
static bool put_query(struct sink *s, struct text query)
{
    bool redacted = false;

    for (size_t at = 0; at < query.length;) {
        size_t end = at;
        while (end < query.length && query.data[end] != '=' && !key_begins_behind(query.data[end]))
            end++;
        if (end < query.length && query.data[end] == '=' &&
            key_secret(http_piece(query, at, end))) {
            put(s, http_piece(query, at, end + 1));
            put(s, TEXT(HTTP_REDACTED));
            at = http_find(query, end, '&');
            redacted = true;
            continue;
        }
        while (end < query.length && !key_begins_behind(query.data[end]))
            end++;
        end += end < query.length;
        put(s, http_piece(query, at, end));
        at = end;
    }
    return redacted;
}

struct text http_query_redacted(struct text query, struct arena *arena)
{
    struct sink s = {NULL, 0};

    if (!put_query(&s, query))
        return query;
    s.out = arena_take(arena, s.length + 1);
    if (!s.out)
        return TEXT("");
    s.length = 0;
    put_query(&s, query);
    return (struct text){s.out, s.length};
}

/* An authority without its userinfo. */
static struct text authority_host(struct text authority)
{
    size_t from = authority.length;

    while (from && authority.data[from - 1] != '@')
        from--;
    return http_piece(authority, from, authority.length);
}

static void put_authority(struct sink *s, struct text authority)
{
    struct text host = authority_host(authority);

    if (host.length < authority.length)
        put(s, TEXT(HTTP_REDACTED ":" HTTP_REDACTED "@"));
    put(s, host);
}

static void put_url(struct sink *s, const struct http_url *url)
{
    put(s, url->scheme);
    if (url->scheme.length)
        put(s, TEXT(":"));
    if (url->scheme.length || url->authority.length)
        put(s, TEXT("//"));
    put_authority(s, url->authority);
    put(s, url->path);
    if (url->has_query) {
        put(s, TEXT("?"));
        put_query(s, url->query);
    }
}

static struct text url_text(const struct http_url *url, struct arena *arena)
{
    struct sink s = {NULL, 0};

    put_url(&s, url);
    s.out = arena_take(arena, s.length + 1);
    if (!s.out)
        return TEXT("");
    s.length = 0;
    put_url(&s, url);
    return (struct text){s.out, s.length};
}

struct text http_url_redacted(struct text url, struct arena *arena)
{
    struct http_url u;

    if (!http_url_absolute(url, &u)) {
        if (url.length >= 2 && !memcmp(url.data, "//", 2))
            authority_rest(url, 2, &u);
        else
            http_url_rest(url, &u);
    }
    return url_text(&u, arena);
}

/* ---- hosts and addresses */

static bool is_address(int family, struct text t)
{
    char string[INET6_ADDRSTRLEN];
    struct in6_addr ignored;

    if (!t.length || t.length >= sizeof(string) || http_find(t, 0, '\0') < t.length)
        return false;
    memcpy(string, t.data, t.length);
    string[t.length] = '\0';
    return inet_pton(family, string, &ignored) == 1;
}

/* An IPv6 address in brackets at the front of t; *end is behind them. False: there is none. */
static bool bracketed(struct text t, struct text *address, size_t *end)
{
    size_t close = http_find(t, 0, ']');

    if (close == t.length || t.data[0] != '[')
        return false;
    *address = http_piece(t, 1, close);
    *end = close + 1;
    return is_address(AF_INET6, *address) && (*end == t.length || t.data[*end] == ':');
}

/* A name or IPv4 address: what RFC 3986 allows, and bytes of other alphabets. */
static bool is_name(struct text t)
{
    static const bool excluded[256] = {
        [0 ... ' '] = true, ['"'] = true, ['#'] = true, ['/'] = true,  [':'] = true,
        ['<'] = true,       ['>'] = true, ['?'] = true, ['@'] = true,  ['['] = true,
        ['\\'] = true,      [']'] = true, ['^'] = true, ['`'] = true,  ['{'] = true,
        ['|'] = true,       ['}'] = true, [','] = true, [0x7f] = true,
    };

    for (size_t i = 0; i < t.length; i++) {
        if (excluded[(unsigned char)t.data[i]])
            return false;
    }
    return t.length > 0;
}

/* 1 to 65535; 0 when there is nothing behind the colon; -1: that is no port. */
static int port_read(struct text t)
{
    int port = 0;

    if (t.length > 5)
        return -1;
    for (size_t i = 0; i < t.length; i++) {
        if (!http_digit(t.data[i]))
            return -1;
        port = port * 10 + (t.data[i] - '0');
    }
    return port > 65535 || (t.length && !port) ? -1 : port;
}

/* "host", "host:port", "[address]:port", userinfo before it left out. False: it is no authority. */
static bool authority_read(struct text authority, struct text *host, int *port)
{
    struct text t = authority_host(authority);
    size_t end;

    if (!bracketed(t, host, &end)) {
        end = http_find(t, 0, ':');
        *host = http_piece(t, 0, end);
        if (!is_name(*host))
            return false;
    }
    *port = port_read(http_piece(t, end + 1, t.length));
    return *port >= 0;
}

/* The one Host. Two that differ are two answers, and so none. */
static struct text host_field(const struct http_message *m)
{
    struct text first;

    http_field_count(m, "host", &first);
    for (size_t i = 0; i < m->field_count; i++) {
        if (http_text_like(m->fields[i].name, "host") && !http_text_same(m->fields[i].value, first))
            return TEXT("");
    }
    return first;
}

/* ---- Forwarded (RFC 7239) */

/* A quoted string whose opening quote is at *at; moves behind it. False: it does not end. */
static bool quoted_read(struct text t, size_t *at, struct arena *arena, struct text *value)
{
    size_t from = ++*at, escapes = 0;

    while (*at < t.length && t.data[*at] != '"') {
        if (t.data[*at] == '\\') {
            escapes++;
            ++*at;
        }
        ++*at;
    }
    if (*at >= t.length)
        return false;
    *value = http_piece(t, from, (*at)++);
    if (!escapes)
        return true;

    char *out = arena_take(arena, value->length);
    size_t length = 0;
    if (!out)
        return false;
    for (size_t i = 0; i < value->length; i++) {
        i += value->data[i] == '\\';
        out[length++] = value->data[i];
    }
    *value = (struct text){out, length};
    return true;
}

static void blanks_skip(struct text t, size_t *at)
{
    while (*at < t.length && http_blank(t.data[*at]))
        ++*at;
}

/*
 * The next "name=value" from *at on. Colons and brackets are taken without quotes too, and spaces
 * around ';': many proxies write so. False: there is none left, or what follows cannot be read.
 */
static bool pair_next(struct text t, size_t *at, struct arena *arena, struct text *name,
                      struct text *value)
{
    while (*at < t.length && (http_blank(t.data[*at]) || t.data[*at] == ';' || t.data[*at] == ','))
        ++*at;
    size_t from = *at;
    *at = http_find(t, from, '=');
    *name = http_piece(t, from, *at);
    if (*at == t.length || !http_token(*name))
        return false;
    from = ++*at;
    if (from < t.length && t.data[from] == '"') {
        if (!quoted_read(t, at, arena, value))
            return false;
    } else {
        while (*at < t.length && t.data[*at] != ';' && t.data[*at] != ',' && t.data[*at] != '"' &&
               !http_blank(t.data[*at]))
            ++*at;
        *value = http_piece(t, from, *at);
    }
    blanks_skip(t, at);
    return *at == t.length || t.data[*at] == ';' || t.data[*at] == ',';
}

/* The first value of a parameter in all the Forwarded fields, in order; empty: there is none. */
static struct text forwarded(const struct http_message *m, const char *parameter,
                             struct arena *arena)
{
    struct text name, value;

    for (size_t i = 0; i < m->field_count; i++) {
        if (!http_text_like(m->fields[i].name, "forwarded"))
            continue;
        for (size_t at = 0; pair_next(m->fields[i].value, &at, arena, &name, &value);) {
            if (value.length && http_text_like(name, parameter))
                return value;
        }
    }
    return TEXT("");
}

/* The first element that is not empty of the first field of this name. */
static struct text first_element(const struct http_message *m, const char *name)
{
    struct text list = http_field(m, name), element;

    for (size_t at = 0; http_element(list, &at, &element);) {
        if (element.length)
            return element;
    }
    return TEXT("");
}

/* An IP address out of a node ("1.2.3.4:5", "[::1]:_p", "::1"); as http_client_address says. */
static struct text node_address(struct text node)
{
    struct text address;
    size_t end;

    if (is_address(AF_INET6, node))
        return node;
    if (bracketed(node, &address, &end))
        return address;
    struct text name = http_piece(node, 0, http_find(node, 0, ':'));
    if (is_address(AF_INET, name))
        return name;
    bool hidden = (name.length && name.data[0] == '_') || http_text_like(name, "unknown");
    return hidden ? TEXT("") : (struct text){NULL, 0};
}

struct text http_client_address(const struct http_message *request, struct arena *arena)
{
    struct text address = node_address(forwarded(request, "for", arena));

    return address.data ? address : node_address(first_element(request, "x-forwarded-for"));
}

/* ---- targets */

/* "http" or "https"; empty: another one, or none. */
static struct text scheme_known(struct text scheme)
{
    if (http_text_like(scheme, "https"))
        return TEXT("https");
    return http_text_like(scheme, "http") ? TEXT("http") : TEXT("");
}

static struct text scheme_of(const struct http_message *m, bool server, bool tls,
                             struct arena *arena)
{
    struct text scheme = TEXT("");

    if (server)
        scheme = scheme_known(forwarded(m, "proto", arena));
    if (server && !scheme.length)
        scheme = scheme_known(first_element(m, "x-forwarded-proto"));
    if (scheme.length)
        return scheme;
    if (m->scheme.length)
        return scheme_known(m->scheme);
    return tls ? TEXT("https") : TEXT("http");
}

/* CONNECT as it always was; that of RFC 8441 has a path, and asks for a resource. */
static bool is_tunnel(const struct http_message *m)
{
    return text_is(m->method, "CONNECT") && (m->major < 2 || !m->target.length);
}

static struct text authority_of(const struct http_message *m)
{
    return m->authority.length || is_tunnel(m) ? m->authority : host_field(m);
}

/* The target's path and query, by its form. False: it has none of the forms. */
static bool target_parts(const struct http_message *m, struct http_url *out)
{
    *out = (struct http_url){.path = TEXT(""), .query = TEXT("")};
    if (is_tunnel(m) || text_is(m->target, "*"))
        return true;
    if (m->target.length && m->target.data[0] == '/') {
        http_url_rest(m->target, out);
        return true;
    }
    return http_url_absolute(m->target, out);
}

void http_target_of(const struct http_message *request, bool server, bool tls, struct arena *arena,
                    struct http_target *out)
{
    struct http_url url;
    bool known = false;

    *out = (struct http_target){.scheme = scheme_of(request, server, tls, arena)};
    if (server)
        known = authority_read(forwarded(request, "host", arena), &out->host, &out->port) ||
                authority_read(first_element(request, "x-forwarded-host"), &out->host, &out->port);
    if (!known && !authority_read(authority_of(request), &out->host, &out->port)) {
        out->host = TEXT("");
        out->port = 0;
    }
    if (!out->port && out->host.length && out->scheme.length && !is_tunnel(request))
        out->port = text_is(out->scheme, "https") ? 443 : 80;

    target_parts(request, &url);
    /* RFC 9110, section 4.2.3: no path is "/", but for OPTIONS, where it is "*". */
    if (url.scheme.length && !url.path.length && !text_is(request->method, "OPTIONS"))
        url.path = TEXT("/");
    out->path = url.path.data ? url.path : TEXT("");
    out->has_query = url.has_query;
    out->query = http_query_redacted(url.query, arena);
}

/* Whether a request names no authority at all: not in fields that did not reach us either. */
static bool authority_unsaid(const struct http_message *m)
{
    struct text host;
    size_t hosts = http_field_count(m, "host", &host);

    return !is_tunnel(m) && !m->authority.length && hosts <= 1 && !host.length && !m->cut &&
           !m->fields_dropped;
}

/* The peer as an authority; empty: it cannot be one. */
static struct text peer_authority(struct text address, int port, bool tls, struct arena *arena)
{
    bool v6 = is_address(AF_INET6, address);
    const char *open = v6 ? "[" : "", *close = v6 ? "]" : "";

    if ((!v6 && !is_name(address)) || port <= 0 || port > 65535 || address.length > 255)
        return TEXT("");
    if (port == (tls ? 443 : 80))
        return arena_format(arena, "%s%.*s%s", open, (int)address.length, address.data, close);
    return arena_format(arena, "%s%.*s%s:%d", open, (int)address.length, address.data, close, port);
}

/* CONNECT asks for no resource: whom it wants to be connected with is all there is. */
static struct text tunnel_text(struct text authority, struct arena *arena)
{
    struct sink s = {NULL, 0};

    put_authority(&s, authority);
    s.out = arena_take(arena, s.length + 1);
    if (!s.out)
        return TEXT("");
    s.length = 0;
    put_authority(&s, authority);
    return (struct text){s.out, s.length};
}

struct text http_url_full(const struct http_message *request, bool tls, struct text peer_address,
                          int peer_port, struct arena *arena)
{
    struct http_url url;
    struct text host;
    int port;

    if (!target_parts(request, &url))
        return TEXT("");
    if (!url.scheme.length) {
        url.scheme = scheme_of(request, false, tls, arena);
        url.authority = authority_of(request);
        if (authority_unsaid(request)) {
            bool secure = text_is(url.scheme, "https");
            url.authority = peer_authority(peer_address, peer_port, secure, arena);
        }
    }
    if (!url.scheme.length || !authority_read(url.authority, &host, &port))
        return TEXT("");
    return is_tunnel(request) ? tunnel_text(url.authority, arena) : url_text(&url, arena);
}
