/*
 * Writes a traceparent into requests of HTTP/1 that go out (traces.inject), on their way through
 * the calls that send. What a program sees of such a call is what it would have seen without: the
 * count is that of its own bytes, errno the kernel's, signals and cancellation as ever.
 *
 * Called in the place of the real call, on application threads; nothing is held across it. Nothing
 * is allocated; up to 1 KiB of stack. System calls of ours: two that ask for the room in the send
 * buffer, and one for each page that is looked at before the kernel has accepted it.
 */
#ifndef SCOPE_INTERCEPT_INJECT_H
#define SCOPE_INTERCEPT_INJECT_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "capture/inject.h"
#include "intercept/common.h"

/* Whether what goes out here is for the functions below. */
static inline bool injects(fd_entry entry)
{
    return unlikely(entry & FD_FLOW) && unlikely(hook_region->watch & WATCH_INJECT);
}

/* One call that sends. `start`: ticks before it. */
struct sending {
    struct lane *lane;
    int fd;
    fd_entry entry;
    uint64_t start;
};

/* The calls themselves; real: what is called where nothing is to be done. */
ssize_t inject_write(const struct sending *s, ssize_t (*real)(int, const void *, size_t),
                     const void *buffer, size_t size);
ssize_t inject_writev(const struct sending *s, ssize_t (*real)(int, const struct iovec *, int),
                      const struct iovec *iov, int count);
ssize_t inject_send(const struct sending *s, ssize_t (*real)(int, const void *, size_t, int),
                    const void *buffer, size_t size, int flags);
ssize_t inject_sendmsg(const struct sending *s, ssize_t (*real)(int, const struct msghdr *, int),
                       const struct msghdr *message, int flags);

/*
 * Before any other call that sends: what is left of a line goes first. False: it could not; errno
 * and the signal are what the call itself would have given, which is to return -1.
 */
bool inject_settle(const struct sending *s, int flags);

/*
 * Whether memory can be read, without reading it: the kernel looks at what it is given before it
 * finds that there is no such operation. Programs may hand over what the kernel will refuse.
 */
bool inject_readable(const void *memory, size_t bytes);

/* Whether a socket takes so many bytes at once. No: also where that is not known. */
bool inject_has_room(int fd, uint64_t bytes);

/* ------------------------------------------------------------------ TLS (inject_tls.c) */

struct tls_call;
struct tls_openssl;
struct tls_gnutls;

/* Sessions whose write was with a line and is to be tried again. */
extern uint32_t inject_waiting;

/* Whether a session's write is for the functions below. call: NULL, it is not observed. */
static inline bool injects_tls(const struct tls_call *call)
{
    return unlikely(call && hook_region->watch & WATCH_INJECT) ||
           unlikely(__atomic_load_n(&inject_waiting, __ATOMIC_RELAXED));
}

/*
 * A program's SSL_write in one of its forms. write: what does it, with `done` as SSL_write_ex has
 * it. Returns what that returned, *done in the program's own bytes.
 */
struct openssl_write {
    int (*write)(const struct tls_openssl *api, void *ssl, const struct openssl_write *how,
                 const void *buffer, size_t size, size_t *done);
    uint64_t flags;
};
int inject_openssl(const struct tls_openssl *api, void *ssl, struct tls_call *call,
                   const struct openssl_write *how, const void *buffer, size_t size, size_t *done);

/* gnutls_record_send. call in both: placed, or NULL. */
ssize_t inject_gnutls(const struct tls_gnutls *api, void *session, struct tls_call *call,
                      const void *data, size_t size);

/* The session is gone, or starts afresh. */
void inject_forget(const void *session);

#endif
