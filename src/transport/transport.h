/*
 * transport: bytes to somewhere. Files, standard output, datagrams, streams.
 *
 * Owns: one descriptor (or none while away) and its address. Called by the reporter alone, on its
 * thread or in its companion process, through raw system calls (os/sys.h), so nothing here is ever
 * observed. Never blocks longer than the deadline it is given (CLOCK_MONOTONIC nanoseconds), never
 * raises SIGPIPE, never writes to the host's standard error. Descriptors are close-on-exec.
 *
 * Addresses are URLs: file:///path or a plain path, stdout, stderr, tcp://host:port, udp://host:port,
 * unix:///path, unixgram:///path; unix names with `@` first are abstract. [v6] in brackets.
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
};

struct address {
    enum address_type type;
    char host[256];  /* tcp, udp */
    char port[8];
    char path[1024]; /* file, unix: an abstract name keeps its '@' */
};

/* Parses a URL. 0, or -EINVAL with *error (static text, says what is wrong and what is allowed). */
int address_parse(const char *url, struct address *address, const char **error);
/* Writes the URL form; always NUL-ended. Returns its length. */
size_t address_format(const struct address *address, char *out, size_t size);

struct transport_options {
    uint64_t rotate_bytes;   /* file: rename and start anew past this size; 0: never */
    unsigned rotate_keep;    /* file: how many renamed ones are kept (path.1 ... path.N) */
    int saved_stdout;        /* descriptors kept for stdout and stderr, -1 none */
    int saved_stderr;
    uint32_t mode;           /* file: permissions of a new one, 0600 */
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
 */
int transport_send(struct transport *t, const void *data, size_t length, uint64_t deadline);

/*
 * After -EAGAIN: bytes at the front of that unit, whole lines, that were taken all the same (a disk
 * that filled up inside it, a full pipe). The caller sends the rest alone next time.
 */
size_t transport_partial(const struct transport *t);
/* After -EAGAIN: some bytes went out. The receiver is slow, not away. */
bool transport_moved(const struct transport *t);

/* After a failure: the reason in words, for doctor and the log. Valid until the next call. */
const char *transport_reason(const struct transport *t);
bool transport_is_datagram(const struct transport *t);
size_t transport_unit_max(const struct transport *t); /* datagrams: 1432 or 8192; else SIZE_MAX */
/* A forked child: forgets the connection without touching the parent's descriptor numbers. */
void transport_after_fork(struct transport *t);

#endif
