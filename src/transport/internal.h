/*
 * What the kinds of transport share: the structure, waiting, writing without a signal, and keeping
 * the place in a unit that was taken in part. For src/transport alone.
 */
#ifndef SCOPE_TRANSPORT_INTERNAL_H
#define SCOPE_TRANSPORT_INTERNAL_H

#include "transport/transport.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

enum { ENDPOINTS_MAX = 8, PIECE_MAX = 4096 /* PIPE_BUF: taken whole or not at all by a pipe */ };

struct endpoint {
    socklen_t length;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
    };
};

struct transport {
    struct address address;
    struct transport_options options;
    int fd; /* -1: none */
    char reason[192];

    /* Of the last unit that was not taken: whole lines of it that were, and where it stopped. */
    size_t partial;
    bool moved;
    bool exposed; /* HTTP: the request was begun, and no reply came to it */
    size_t stopped, stopped_length;
    uint64_t stopped_hash;
    bool mend; /* the last thing written there ended inside a line */

    /* files, standard output */
    char *path;         /* absolute, of a file */
    struct stat target; /* what fd is; for standard output what the kept duplicate is */
    bool readable;      /* the file's end can be looked at */

    /* sockets */
    struct endpoint endpoints[ENDPOINTS_MAX];
    unsigned endpoint_count, endpoint; /* 0: not resolved; which one is in use or tried next */
    bool connecting;                   /* a connect is under way on fd */
    uint64_t connect_started;

    struct http_state *http; /* http, https, tls: see http_client.h */
};

enum { SECOND_NS = 1000000000 };

/* Sets the reason ("what: error in words", or what alone if error is 0). Returns -EAGAIN. */
int transport_away(struct transport *t, const char *what, int error);
void transport_close(struct transport *t);

/* Waits for events until the deadline. The events that came, 0 at the deadline, -errno. */
int wait_for(int fd, short events, uint64_t deadline);

/* writev without SIGPIPE or SIGXFSZ for the calling thread. Bytes or -errno. */
long write_quietly(int fd, const struct iovec *parts, int count);

/*
 * Where to go on in this unit: behind what was sent of it before, if the last one that stopped was
 * this one, else at 0. And the note for next time.
 */
size_t unit_resume(struct transport *t, const void *data, size_t length);
void unit_stopped(struct transport *t, const void *data, size_t length, size_t at);
uint64_t unit_hash(const void *unit, size_t length);
size_t whole_lines(const char *data, size_t length); /* bytes up to and with the last newline */

/*
 * Lines into something that can be full (a pipe, a terminal, a stream socket): whole lines of at
 * most PIECE_MAX bytes at a time, so that a pipe takes each whole. As transport_send.
 */
enum piece_way { PIECES_WRITE, PIECES_SEND, PIECES_CAREFUL };
int pieces_send(struct transport *t, int fd, enum piece_way way, const char *data, size_t length,
                uint64_t deadline);

int file_new(struct transport *t); /* 0 or -ENOMEM */
void file_prepare(struct transport *t);
int file_send(struct transport *t, const char *data, size_t length, uint64_t deadline);
/* One write to a regular file, which may end short (-ENOSPC; partial and mend are set). 0 or
 * -errno. */
int file_append(struct transport *t, int fd, const char *data, size_t length);
void console_new(struct transport *t);
int console_send(struct transport *t, const char *data, size_t length, uint64_t deadline);
int datagram_send(struct transport *t, const void *data, size_t length, uint64_t deadline);
int stream_send(struct transport *t, const char *data, size_t length, uint64_t deadline);

/* Fills endpoints (at least one) or says why not: 0 or -EAGAIN. */
int resolve(struct transport *t, uint64_t deadline);
/* A numeric address, a zone (`%eth0`) allowed. False: it is a name. Port in host order. */
bool resolve_numeric(const char *host, uint16_t port, struct endpoint *endpoint);

#endif
