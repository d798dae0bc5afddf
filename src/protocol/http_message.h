/*
 * http_message: the header section of one HTTP message, whichever version it came by, and what the
 * semantic conventions want to know of it. Pure: bytes in, texts out; no I/O, no globals. Called on
 * the reporter's thread; input is hostile.
 */
#ifndef SCOPE_PROTOCOL_HTTP_MESSAGE_H
#define SCOPE_PROTOCOL_HTTP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "telemetry/telemetry.h"

enum { HTTP_FIELDS_MAX = 128 };

struct http_field {
    struct text name;  /* as it came; compare without regard to case */
    struct text value; /* without white space around it */
};

/* Borrows from the bytes that it was parsed from, and from the arena. */
struct http_message {
    bool is_request;
    uint8_t major, minor; /* 1.0, 1.1, 2.0 */
    uint16_t status;      /* responses */
    struct text method;   /* requests */
    struct text target; /* as it came: origin, absolute, authority or asterisk form; HTTP/2 :path */
    struct text scheme; /* HTTP/2 :scheme, or that of an absolute target; empty: not said */
    /* HTTP/2 :authority, that of an absolute target, or CONNECT's target; empty: not said */
    struct text authority;
    size_t field_count;
    uint32_t fields_dropped; /* beyond HTTP_FIELDS_MAX, malformed, or cut in the middle */
    bool cut; /* the end of the section is missing: there may have been more fields */
    struct http_field fields[HTTP_FIELDS_MAX]; /* last: a copy has as many as there are */
};

/* Empty. Fields that are not there are 4 KiB that nobody looks at. */
static inline void http_message_clear(struct http_message *m)
{
    memset(m, 0, offsetof(struct http_message, fields));
}

/*
 * A whole header section of HTTP/1, start line to empty line (which may be missing: it was cut;
 * what is behind it is not looked at). A line that is no field (no colon, white space before it, a
 * name that is no token, NUL or a bare CR in the value) is left out, as is a last line without its
 * end; both are counted. The arena takes values that came on several lines, joined by a space; it
 * may be NULL, and such fields are left out too. Returns 0, or -EBADMSG and *out empty: the start
 * line is none of HTTP/1.
 */
int http1_parse(const char *bytes, size_t length, struct arena *arena, struct http_message *out);

/* The first field of this name (lower case), empty when there is none. */
struct text http_field(const struct http_message *m, const char *name);

/* "GET" and the others that are known to the semantic conventions, as they are; else "_OTHER".
   Case counts. Static text. */
struct text http_method_name(struct text method);

/* ---- what a request asked for */

struct http_target {
    struct text scheme; /* "http" or "https"; empty: an absolute target names another */
    struct text host;   /* without port and brackets; empty: not known */
    int port;           /* 0: not said and no default */
    struct text path;   /* of the target; "" for authority and asterisk forms */
    struct text query;  /* without '?', redacted; empty: none */
    bool has_query;
};

/*
 * Server's view (3.1): scheme by Forwarded, X-Forwarded-Proto, the message, tls; host by Forwarded,
 * X-Forwarded-Host, authority, Host. Client's view: authority, Host. tls: the connection is
 * encrypted. A host that is no host, or Host given twice with different values, is not known; a
 * port has its scheme's default where a host without one is known, and CONNECT has none. A
 * fragment, which has no place in a target, is left out. Texts are borrowed from the message or
 * live in the arena; at its limit the query is empty.
 */
void http_target_of(const struct http_message *request, bool server, bool tls, struct arena *arena,
                    struct http_target *out);

/*
 * url.full of a client's request (3.2): userinfo and the values of secret parameters redacted. The
 * authority is the request's, as it came, or the peer's where it surely has none (peer_address: an
 * IP address without brackets or a name, empty when it has none). CONNECT's is its authority alone.
 * Empty: not known, or the arena is at its limit.
 */
struct text http_url_full(const struct http_message *request, bool tls, struct text peer_address,
                          int peer_port, struct arena *arena);

/*
 * client.address of a server's request: Forwarded's first, or else X-Forwarded-For's; an IP address
 * without port and brackets. Empty: not said; then data is NULL where no proxy spoke of a client,
 * so that the peer is the client, and not NULL where one did but hides it ("unknown", "_gazonk").
 */
struct text http_client_address(const struct http_message *request, struct arena *arena);

/*
 * Values of the secret parameters (3.2) of a query replaced by REDACTED, keys kept as they came
 * (but compared decoded: %73ig is sig). A key may begin behind '&', ';' or '?', a secret value ends
 * at '&' alone: what readers split differently is rather redacted. Borrowed when nothing had to be;
 * empty at the arena's limit.
 */
struct text http_query_redacted(struct text query, struct arena *arena);

/* The same for a whole URL, absolute or relative, and its userinfo; a fragment is left out. */
struct text http_url_redacted(struct text url, struct arena *arena);

/*
 * http.route by templates: the first of `templates` ("/users/{id}", "/files/{path...}" for the rest
 * of a path, "/static/..." likewise) that the path matches, NULL when none does. {id} is one whole
 * segment that is not empty; a rest may be empty, but the '/' before it must be there. The path is
 * compared as it came, without decoding.
 */
const char *http_route(const char *const *templates, size_t count, struct text path);

/* ---- headers that configuration asks for */

/* Whether values of this field are secret: authorization, proxy-authorization, cookie, set-cookie,
   and names that contain token, secret, password or api-key (api_key, apikey). */
bool http_header_secret(struct text name);

/*
 * Adds, for each entry of `allowed` that the message has a field of, the attribute
 * "http.request.header.<name>" or "http.response.header.<name>" with the values of all fields of
 * that name, in order, to the list; key and items live in the list's arena, values there or in the
 * message. An entry is a whole field name, its case does not count; what is none matches nothing.
 * Values of secret fields become REDACTED each, and those of referer, location and content-location
 * are redacted as URLs, unless the entry ends with '!', which asks for them as they came
 * ("authorization!"). Of two entries of one name the later decides. Returns how many attributes
 * were set; what the arena had no memory for is counted in list->dropped.
 */
size_t http_headers_allowed(const struct http_message *m, const char *const *allowed, size_t count,
                            struct attribute_list *list);

/* ---- contexts that came with a request */

#include "capture/trace.h"

/* Which formats are read. */
enum http_contexts { HTTP_CONTEXT_W3C, HTTP_CONTEXT_W3C_B3, HTTP_CONTEXT_B3, HTTP_CONTEXT_NONE };

/*
 * By W3C trace context: traceparent once and valid, tracestate combined in order (members checked,
 * at most 32; a bad one voids it). By B3 where there is no traceparent field, or it is not read:
 * single header or several; ids of 8 bytes get zeros in front. Fills trace_id, parent_id, flags and
 * remote; *state lives in the arena or the message and is empty when there is none. Returns whether
 * there is a context; without one *out is all zero. *deferred: B3 gave ids without a decision to
 * sample.
 */
bool http_context(const struct http_message *request, enum http_contexts formats,
                  struct trace_ids *out, struct text *state, bool *deferred, struct arena *arena);

#endif
