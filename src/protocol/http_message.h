/*
 * http_message: the header section of one HTTP message, whichever version it came by, and what the
 * semantic conventions want to know of it. Pure: bytes in, texts out; no I/O, no globals. Called on
 * the reporter's thread; input is hostile.
 */
#ifndef SCOPE_PROTOCOL_HTTP_MESSAGE_H
#define SCOPE_PROTOCOL_HTTP_MESSAGE_H

#include <stdbool.h>

#include "telemetry/telemetry.h"

enum { HTTP_FIELDS_MAX = 128 };

struct http_field {
    struct text name;  /* as it came; compare without regard to case */
    struct text value; /* without white space around it */
};

/* Borrows from the bytes that it was parsed from. */
struct http_message {
    bool is_request;
    uint8_t major, minor; /* 1.0, 1.1, 2.0 */
    uint16_t status;      /* responses */
    struct text method;   /* requests */
    struct text target; /* as it came: origin, absolute, authority or asterisk form; HTTP/2 :path */
    struct text scheme; /* HTTP/2 :scheme, or that of an absolute target; empty: not said */
    struct text authority; /* HTTP/2 :authority, or that of an absolute target; empty: not said */
    struct http_field fields[HTTP_FIELDS_MAX];
    size_t field_count;
    uint32_t fields_dropped; /* beyond HTTP_FIELDS_MAX */
};

/* A whole header section of HTTP/1, start line to empty line (which may be missing: it was cut).
   Returns 0 or -EBADMSG. */
int http1_parse(const char *bytes, size_t length, struct http_message *out);

/* The first field of this name (lower case), empty when there is none. */
struct text http_field(const struct http_message *m, const char *name);

/* "GET" and the others that are known to the semantic conventions, as they are; else "_OTHER". */
struct text http_method_name(struct text method);

/* ---- what a request asked for */

struct http_target {
    struct text scheme; /* "http" or "https" */
    struct text host;   /* without port and brackets; empty: not known */
    int port;           /* 0: not said and no default */
    struct text path;   /* of the target; "" for authority and asterisk forms */
    struct text query;  /* without '?', redacted; empty: none */
    bool has_query;
};

/*
 * Server's view (3.1): scheme by X-Forwarded-Proto and Forwarded, host by Forwarded,
 * X-Forwarded-Host, authority, Host. Client's view: authority, Host. tls: the connection is
 * encrypted. Texts are borrowed from the message or live in the arena.
 */
void http_target_of(const struct http_message *request, bool server, bool tls, struct arena *arena,
                    struct http_target *out);

/* url.full of a client's request (3.2): userinfo and the values of secret parameters redacted. */
struct text http_url_full(const struct http_message *request, bool tls, struct text peer_address,
                          int peer_port, struct arena *arena);

/* client.address of a server's request: Forwarded's or X-Forwarded-For's first; empty: not said. */
struct text http_client_address(const struct http_message *request, struct arena *arena);

/* Values of the secret parameters (3.2) of a query replaced by REDACTED, keys kept. */
struct text http_query_redacted(struct text query, struct arena *arena);

/*
 * http.route by templates: the first of `templates` ("/users/{id}", "/files/{path...}" for the rest
 * of a path, "/static/..." likewise) that the path matches, NULL when none does.
 */
const char *http_route(const char *const *templates, size_t count, struct text path);

/* ---- contexts that came with a request */

#include "capture/trace.h"

/*
 * By W3C trace context: traceparent once and valid, tracestate combined in order (members checked,
 * at most 32; a bad one voids it). With b3, where there is no traceparent field: B3, single header
 * or several. Fills trace_id, parent_id, flags; *state lives in the arena or the message. Returns
 * whether there is a context. *deferred: B3 gave ids without a decision to sample.
 */
bool http_context(const struct http_message *request, bool b3, struct trace_ids *out,
                  struct text *state, bool *deferred, struct arena *arena);

#endif
