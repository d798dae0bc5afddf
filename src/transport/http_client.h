/*
 * http_client: what src/transport keeps for HTTP and TLS: connecting, the library, the request
 * under way. For src/transport alone.
 */
#ifndef SCOPE_TRANSPORT_HTTP_CLIENT_H
#define SCOPE_TRANSPORT_HTTP_CLIENT_H

#include "transport/internal.h"

/* 0 or -ENOMEM: what t needs to send over HTTP or TLS. */
int http_new(struct transport *t, const struct http_options *options);
void http_free(struct transport *t);
void http_forget(struct transport *t); /* in a forked child: without touching a descriptor */
/* As transport_send. */
int http_send(struct transport *t, const void *data, size_t length, uint64_t deadline);
const struct reply *http_reply(const struct transport *t);
uint64_t http_retry_after(const struct transport *t);

/* TLS streams: what stream.c does with sockets. Connected after it: 0, or -EAGAIN with a reason. */
int tls_open(struct transport *t, uint64_t deadline);
bool tls_is_open(const struct transport *t);
void tls_close(struct transport *t);
long tls_write(struct transport *t, const void *data, size_t length); /* -EAGAIN, -EIO */
bool tls_peer_is_there(struct transport *t);
int tls_descriptor(const struct transport *t); /* to wait for; -1: none */

/* Connects t->fd by its address: 0, -EAGAIN: under way or away, the reason is set. (stream.c) */
int stream_connect(struct transport *t, uint64_t deadline);

/* The library, loaded when it is first asked for. NULL: *error says why not. (http_load.c) */
struct http_library;
const struct http_library *http_library(const char **error);

#endif
