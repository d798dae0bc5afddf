/*
 * Transports: making and ending one, choosing its kind, and what the kinds share.
 */
#include "transport/http_client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "os/clock.h"
#include "os/hash.h"
#include "os/sys.h"
#include "telemetry/number.h"

enum { UDP_UNIT = 1432, UNIXGRAM_UNIT = 8192 };

struct transport *transport_new(const struct address *address, const struct transport_options *o)
{
    struct transport *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->address = *address;
    t->options = *o;
    t->fd = -1;
    bool http = transport_is_http(t) || address->type == ADDRESS_TLS;
    if ((address->type == ADDRESS_FILE && file_new(t) < 0) || (http && http_new(t, o->http) < 0)) {
        free(t);
        return NULL;
    }
    if (address->type == ADDRESS_STDOUT || address->type == ADDRESS_STDERR)
        console_new(t);
    return t;
}

void transport_close(struct transport *t)
{
    if (t->fd >= 0)
        sys(close, t->fd);
    t->fd = -1;
    t->connecting = false;
}

void transport_free(struct transport *t)
{
    if (!t)
        return;
    transport_close(t);
    if (t->http)
        http_free(t);
    free(t->path);
    free(t);
}

void transport_prepare(struct transport *t)
{
    if (t->address.type == ADDRESS_FILE)
        file_prepare(t);
}

void transport_after_fork(struct transport *t)
{
    t->fd = -1;
    t->connecting = false;
    if (t->http)
        http_forget(t);
    t->stopped = 0;
    t->partial = 0;
    t->mend = false; /* the parent mends what it began */
}

int transport_send(struct transport *t, const void *data, size_t length, uint64_t deadline)
{
    t->partial = 0;
    t->moved = false;
    t->reason[0] = '\0';
    switch (t->address.type) {
    case ADDRESS_FILE:
        return file_send(t, data, length, deadline);
    case ADDRESS_STDOUT:
    case ADDRESS_STDERR:
        return console_send(t, data, length, deadline);
    case ADDRESS_HTTP:
    case ADDRESS_HTTPS:
    case ADDRESS_HTTP_UNIX:
        return http_send(t, data, length, deadline);
    case ADDRESS_TCP:
    case ADDRESS_UNIX:
    case ADDRESS_TLS:
        return stream_send(t, data, length, deadline);
    case ADDRESS_UDP:
    case ADDRESS_UNIXGRAM:
        return datagram_send(t, data, length, deadline);
    default:
        return -EINVAL;
    }
}

size_t transport_partial(const struct transport *t)
{
    return t->partial;
}

bool transport_moved(const struct transport *t)
{
    return t->moved;
}

bool transport_exposed(const struct transport *t)
{
    return t->exposed;
}

const char *transport_reason(const struct transport *t)
{
    return t->reason;
}

bool transport_is_datagram(const struct transport *t)
{
    return t->address.type == ADDRESS_UDP || t->address.type == ADDRESS_UNIXGRAM;
}

bool transport_is_http(const struct transport *t)
{
    return t->address.type == ADDRESS_HTTP || t->address.type == ADDRESS_HTTPS ||
           t->address.type == ADDRESS_HTTP_UNIX;
}

const struct reply *transport_reply(const struct transport *t)
{
    return http_reply(t);
}

uint64_t transport_retry_after(const struct transport *t)
{
    return http_retry_after(t);
}

size_t transport_unit_max(const struct transport *t)
{
    if (t->address.type == ADDRESS_UDP)
        return UDP_UNIT;
    return t->address.type == ADDRESS_UNIXGRAM ? UNIXGRAM_UNIT : SIZE_MAX;
}

/* ------------------------------------------------------------------ reasons */

/* Not strerror: it looks into the program's locale, and its thread-safe forms are too new. */
static const char *error_words(int error)
{
    static const struct {
        int error;
        const char *words;
    } known[] = {
        {EPERM, "not permitted"},
        {ENOENT, "no such file or directory"},
        {EIO, "input/output error"},
        {ENXIO, "nobody reads there, or it is a socket"},
        {EBADF, "the descriptor is closed"},
        {EAGAIN, "full"},
        {ENOMEM, "no memory"},
        {EACCES, "permission denied"},
        {EISDIR, "is a directory"},
        {ENOTDIR, "a part of the path is no directory"},
        {ENFILE, "too many open files in the system"},
        {EMFILE, "too many open files"},
        {EFBIG, "the file has reached a size limit"},
        {ENOSPC, "no space left"},
        {EROFS, "the file system is read-only"},
        {EPIPE, "the other end is closed"},
        {ELOOP, "too many symbolic links"},
        {ENAMETOOLONG, "the name is too long"},
        {EDQUOT, "the disk quota is used up"},
        {EPROTOTYPE,
         "a socket of the other kind: unix:// is a stream, unixgram:// takes datagrams"},
        {EMSGSIZE, "longer than the socket takes"},
        {EADDRNOTAVAIL, "the address is not available"},
        {ENETUNREACH, "the network cannot be reached"},
        {EHOSTUNREACH, "the host cannot be reached"},
        {ECONNRESET, "the connection was reset"},
        {ECONNREFUSED, "the connection was refused"},
        {ETIMEDOUT, "no answer in time"},
        {ENOBUFS, "no buffer space"},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].error == error)
            return known[i].words;
    }
    return NULL;
}

int transport_away(struct transport *t, const char *what, int error)
{
    char number[8 + NUMBER_INT_MAX] = "error ";
    const char *words = error_words(error);
    size_t n = strlen(what);

    if (n > sizeof(t->reason) - 1)
        n = sizeof(t->reason) - 1;
    memcpy(t->reason, what, n);
    if (error && !words) {
        number[6 + number_signed(number + 6, error)] = '\0';
        words = number;
    }
    if (error && n + 2 + strlen(words) < sizeof(t->reason)) {
        memcpy(t->reason + n, ": ", 2);
        memcpy(t->reason + n + 2, words, strlen(words));
        n += 2 + strlen(words);
    }
    t->reason[n] = '\0';
    return -EAGAIN;
}

/* ------------------------------------------------------------------ waiting and writing */

int wait_for(int fd, short events, uint64_t deadline)
{
    for (;;) {
        uint64_t now = now_mono();
        uint64_t left = deadline > now ? deadline - now : 0;
        struct timespec limit = {(time_t)(left / SECOND_NS), (long)(left % SECOND_NS)};
        struct pollfd p = {.fd = fd, .events = events};
        long n = sys(ppoll, &p, 1, &limit, 0, 0);
        if (n > 0)
            return p.revents;
        if (n == 0 || n != -EINTR)
            return (int)n;
    }
}

long write_quietly(int fd, const struct iovec *parts, int count)
{
    const uint64_t one = 1, ours = one << (SIGPIPE - 1) | one << (SIGXFSZ - 1);
    const struct timespec none = {0, 0};
    uint64_t before = 0, pending = 0;
    long n;

    sys(rt_sigprocmask, SIG_BLOCK, &ours, &before, sizeof(ours));
    sys(rt_sigpending, &pending, sizeof(pending));
    do {
        n = sys(writev, fd, parts, count);
    } while (n == -EINTR);
    if (n == -EPIPE || n == -EFBIG) {
        uint64_t raised = ours & ~pending;
        if (raised)
            sys(rt_sigtimedwait, &raised, 0, &none, sizeof(raised));
    }
    if ((before & ours) != ours)
        sys(rt_sigprocmask, SIG_SETMASK, &before, 0, sizeof(before));
    return n;
}

/* ------------------------------------------------------------------ units taken in part */

uint64_t unit_hash(const void *unit, size_t length)
{
    return hash_bytes(HASH_FIRST, unit, length);
}

size_t unit_resume(struct transport *t, const void *data, size_t length)
{
    size_t at = t->stopped;

    t->stopped = 0;
    return at && at < length && length == t->stopped_length &&
                   unit_hash(data, length) == t->stopped_hash
               ? at
               : 0;
}

void unit_stopped(struct transport *t, const void *data, size_t length, size_t at)
{
    t->stopped = at;
    t->stopped_length = length;
    if (at)
        t->stopped_hash = unit_hash(data, length);
}

size_t whole_lines(const char *data, size_t length)
{
    const char *last = length ? memrchr(data, '\n', length) : NULL;

    return last ? (size_t)(last - data) + 1 : 0;
}
