/*
 * transport: bytes to somewhere. Files, standard output, datagrams, streams.
 *
 * Owns: one descriptor (or none while away) and its address. Called by the reporter alone, on its
 * thread or in its companion process, through raw system calls (os/sys.h), so nothing here is ever
 * observed. Never blocks longer than the deadline it is given (CLOCK_MONOTONIC nanoseconds), never
 * raises SIGPIPE, never writes to the host's standard error. Descriptors are close-on-exec.
 *
 * Addresses are URLs: file:///path or a plain path, stdout, stderr, tcp://host:port,
 * udp://host:port, tls://host:port, unix:///path, unixgram:///path, http://host[:port]/path,
 * https://host[:port]/path, http+unix:///socket:/path (HTTP over a unix socket); unix names with
 * `@` first are abstract. [v6] in brackets.
 */
#ifndef SCOPE_TRANSPORT_TRANSPORT_H
#define SCOPE_TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum address_type {
    ADDRESS_NONE,
    ADDRESS_FILE,
    ADDRESS_STDOUT,
    ADDRESS_STDERR,
    ADDRESS_TCP,
    ADDRESS_UDP,
    ADDRESS_UNIX,
    ADDRESS_UNIXGRAM,
    ADDRESS_TLS,  /* a stream over TCP and TLS: the HTTP library has it */
    ADDRESS_HTTP, /* the next three: one unit is the body of one POST */
    ADDRESS_HTTPS,
    ADDRESS_HTTP_UNIX, /* path is the socket's, target the URL's */
};

struct address {
    enum address_type type;
    char host[256];    /* tcp, udp, tls, http, https */
    char port[8];      /* http and https without one: "80", "443" */
    char path[1024];   /* file, unix: an abstract name keeps its '@' */
    char target[1024]; /* http: path and query, as they go into the request; "/" at least */
};

/* Parses a URL. 0, or -EINVAL with *error (static text, says what is wrong and what is allowed). */
int address_parse(const char *url, struct address *address, const char **error);
/* Writes the URL form; always NUL-ended. Returns its length. */
size_t address_format(const struct address *address, char *out, size_t size);

struct transport_header {
    const char *name, *value;
};

/* What a TLS connection or an HTTP request needs besides its address. NULL members: the default. */
struct http_options {
    const struct transport_header
        *headers; /* borrowed for the transport's life, as all text here */
    size_t header_count;
    const char *content_type, *user_agent;
    const char *ca_file; /* PEM; NULL: SSL_CERT_FILE, else where distributions keep theirs */
    const char *client_cert, *client_key; /* PEM */
    const char *proxy,
        *no_proxy;            /* what HTTP(S)_PROXY and NO_PROXY said at the start; NULL: none */
    bool gzip;                /* request bodies that gain by it */
    uint64_t attempt_timeout; /* ns: of one request from connect to the last byte; 0: none */
    size_t reply_max;         /* bytes after decompression; 0: 4 MiB */
};

struct transport_options {
    const struct http_options *http; /* of tls, http, https; NULL: all defaults; copied by value */
    uint64_t rotate_bytes;           /* file: rename and start anew past this size; 0: never */
    unsigned rotate_keep;            /* file: how many renamed ones are kept (path.1 ... path.N) */
    int saved_stdout;                /* descriptors kept for stdout and stderr, -1 none */
    int saved_stderr;
    uint32_t mode; /* file: permissions of a new one, 0600 */
};

struct transport;
/* NULL only without memory. Opens nothing yet. */
struct transport *transport_new(const struct address *address, const struct transport_options *o);
void transport_free(struct transport *t);

/*
 * Opens what can be opened without waiting (a file), so that it stays in reach of a program that
 * gives up its privileges or changes its root. What fails is tried again when there is something to
 * send.
 */
void transport_prepare(struct transport *t);

/*
 * Sends one unit whole: for datagrams one datagram, for files and streams whole lines.
 * 0: all of it was taken. -EAGAIN: nothing was taken (but see transport_partial), try later: away,
 * full, no space, deadline.
 * Any other: nothing was taken and it never will be (-EMSGSIZE for instance).
 * A stream that broke inside a unit is reconnected and the unit sent again from its start.
 *
 * HTTP: 0 means that a whole reply came, whatever it says: see transport_reply. -EAGAIN: no
 * connection, or it ended before the reply did (and the request may be sent again); the reason says
 * which. -EINPROGRESS: the deadline came first; the request is under way, and calling again with
 * the same unit goes on with it (with another: abandons it).
 */
int transport_send(struct transport *t, const void *data, size_t length, uint64_t deadline);

/*
 * After -EAGAIN: bytes at the front of that unit, whole lines, that were taken all the same (a disk
 * that filled up inside it, a full pipe). The caller sends the rest alone next time.
 */
size_t transport_partial(const struct transport *t);
/* After -EAGAIN: some bytes went out. The receiver is slow, not away. */
bool transport_moved(const struct transport *t);

/*
 * HTTP, after -EAGAIN or -EINPROGRESS: the server may have got the request of this attempt, and has
 * not said what it did with it. False: it surely has not taken it.
 */
bool transport_exposed(const struct transport *t);

/* HTTP, after 0: what the server answered; valid until the next call. */
struct reply;
const struct reply *transport_reply(const struct transport *t);
/* And how long it asked to be left alone (Retry-After, in both forms): ns; 0: it did not say. */
uint64_t transport_retry_after(const struct transport *t);

/* After a failure: the reason in words, for doctor and the log. Valid until the next call. */
const char *transport_reason(const struct transport *t);
bool transport_is_datagram(const struct transport *t);
bool transport_is_http(const struct transport *t);
size_t transport_unit_max(const struct transport *t); /* datagrams: 1432 or 8192; else SIZE_MAX */
/* A forked child: forgets the connection without touching the parent's descriptor numbers. */
void transport_after_fork(struct transport *t);

#endif
