/*
 * http: the contract between libscope.so and libscope-http.so, the second library, which alone has
 * libcurl and its TLS in it, statically and hidden.
 *
 * libscope.so resolves names and connects sockets by itself, and loads the library when it has a
 * connection: where nobody listens it is never loaded. Everything here is called on the reporter's
 * thread, or by the one that ends the process; no function waits, raises a signal, reads the
 * environment, or resolves a name. Memory comes
 * from the host's functions.
 */
#ifndef SCOPE_TRANSPORT_HTTP_H
#define SCOPE_TRANSPORT_HTTP_H

#include "report/sink.h"
#include "transport/transport.h"

enum { HTTP_REPLY_MAX = 4 << 20 };
/* Both sides must have been built from one contract: its number, and the sizes of what they share.
 */
#define HTTP_LIBRARY_VERSION \
    (3u << 24 | (uint32_t)sizeof(struct http_options) << 12 | (uint32_t)sizeof(struct http_library))

struct http_host {
    void *(*alloc)(size_t size);
    void *(*zalloc)(size_t count, size_t size);
    void *(*resize)(void *p, size_t size);
    void (*release)(void *p);
    /*
     * A function of libc's by name, NULL: it has none. For what glibc had in libpthread before 2.34,
     * where no symbol of the library's would find it.
     */
    void *(*libc)(const char *name);
};

struct http; /* one place to send to: its connection, and the request under way on it */

struct http_result {
    struct reply reply;      /* valid until the next call */
    const char *retry_after; /* the header's value, "" if there was none */
    const char *error;       /* of -EIO and -ESTALE: in words */
    bool unsent;             /* of -EIO: nothing of the request went out */
};

/* What has to happen before the next step is of use. */
struct http_wait {
    int fd; /* -1: only time */
    short events;
    uint64_t most; /* ns: not longer than this */
};

struct http_library {
    uint32_t version;
    /* url: as the request has it. options' texts must outlive it. NULL: no memory. */
    struct http *(*open)(const char *url, const struct http_options *options);
    void (*close)(struct http *h);
    /* There is a connection from before that may serve the next request. */
    bool (*is_connected)(const struct http *h);
    int (*descriptor)(const struct http *h); /* of that connection, to be waited for; -1: none */
    /*
     * Begins a request. fd: a connected socket (to the server, or to its proxy), which the library
     * owns from here on; -1: the connection that there is. body is borrowed until the request is
     * over. proxy: whether fd leads to options->proxy. 0 or -ENOMEM.
     */
    int (*start)(struct http *h, int fd, bool proxy, const void *body, size_t length);
    /*
     * Goes on with it as far as that needs no waiting. 0: a whole reply is in *result. -EAGAIN: see
     * *wait. -ESTALE: the kept connection was closed before anything was answered: connect, and
     * start again. -EIO: it broke.
     */
    int (*step)(struct http *h, struct http_result *result, struct http_wait *wait);
    void (*abandon)(struct http *h); /* the request under way, and its connection */

    /* Byte streams over TLS: the same handshake, then bytes. -EAGAIN, -EIO with *error. */
    int (*tls_start)(struct http *h, int fd);
    int (*tls_step)(struct http *h, const char **error, struct http_wait *wait);
    long (*tls_send)(struct http *h, const void *data, size_t length);
    long (*tls_receive)(struct http *h, void *data, size_t size); /* 0: the peer has closed */
};

/* The one symbol that the library exports. NULL: it could not be initialised. */
typedef const struct http_library *http_library_get(const struct http_host *host);
#define HTTP_LIBRARY_SYMBOL "scope_http_library"

#endif
