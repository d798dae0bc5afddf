/* What an OpenSSL (BoringSSL, LibreSSL) gives to a program and takes from it, and its handshakes.
 */
#include "intercept/tls.h"

#include "intercept/common.h"
#include "intercept/inject.h"

enum {
    RANDOM_SIZE = 32,
    PROTOCOL_MAX = 255,
    WANT_NOTHING = 1,   /* SSL_NOTHING */
    ERROR_SSL = 1,      /* SSL_ERROR_SSL */
    ERROR_SYSCALL = 5,  /* SSL_ERROR_SYSCALL */
    EARLY_SUCCESS = 1,  /* SSL_READ_EARLY_DATA_SUCCESS */
    NAME_TYPE_HOST = 0, /* TLSEXT_NAMETYPE_host_name */
};

bool tls_openssl_fill(struct tls_openssl *api, tls_look_up *look_up, void *context)
{
    bool all = true;
    TLS_OPENSSL_CALLS(TLS_FILL)
    TLS_OPENSSL_HELPERS(TLS_FILL_HELPER)
    TLS_OPENSSL_EXTRAS(TLS_FILL)
    api->library = TLS_OPENSSL;
    api->observable = all;
    return all;
}

/*
 * The descriptor that one direction goes through. Without a BIO SSL_get_rfd leaves an error in the
 * queue (3.0 and later): it is not asked then.
 */
static int descriptor(const struct tls_openssl *api, const void *ssl, int direction)
{
    if (direction == 'r')
        return api->get_rbio(ssl) ? api->get_rfd(ssl) : -1;
    return api->get_wbio(ssl) ? api->get_wfd(ssl) : -1;
}

/* False: the real call alone. errno is kept. */
static bool before(const struct tls_openssl *api, const void *ssl, int direction,
                   struct tls_call *call)
{
    if (unlikely(!ssl || !api->observable || !tls_begin(call, direction)))
        return false;
    int error = errno;
    call->unfinished = !api->is_init_finished(ssl);
    bool observed = tls_on(call, descriptor(api, ssl, direction));
    if (unlikely(observed && call->unfinished)) {
        call->stale = !api->peek_error || api->peek_error() != 0;
        if (api->in_before(ssl))
            tls_handshake_begins(ssl, call->moved.start);
    }
    errno = error;
    return observed;
}

/* Makes sure that the descriptor is known. False: it cannot be. */
static bool place(const struct tls_openssl *api, const void *ssl, struct tls_call *call, bool plain)
{
    uint8_t random[RANDOM_SIZE] = {0};
    if (likely(call->moved.fd >= 0))
        return true;
    return api->client_random(ssl, random, sizeof(random)) == sizeof(random) &&
           tls_place(call, ssl, random, api->is_server(ssl) ? 'r' : 'w', plain);
}

static void tell_handshake(const struct tls_openssl *api, const void *ssl,
                           const struct tls_call *call, uint64_t start, int64_t result)
{
    struct tls_call whole = *call;
    if (!place(api, ssl, &whole, false))
        return;
    struct tls_handshake what = {.version = (uint16_t)(result ? 0 : api->version(ssl)),
                                 .server = api->is_server(ssl) != 0,
                                 .library = api->library};
    const uint8_t *chosen = NULL;
    unsigned length = 0;
    char protocol[PROTOCOL_MAX + 1];
    if (api->alpn)
        api->alpn(ssl, &chosen, &length);
    length = chosen && length <= PROTOCOL_MAX ? length : 0;
    if (length)
        __builtin_memcpy(protocol, chosen, length);
    protocol[length] = '\0';
    whole.moved.start = start;
    flow_handshake(hook_region, &whole.moved, &what,
                   api->server_name ? api->server_name(ssl, NAME_TYPE_HOST) : NULL,
                   length ? protocol : NULL, result);
    after_any(hook_region);
}

/*
 * Whether a handshake that did not go on has failed: -errno, or 0 while it only waits. The end of
 * the stream leaves SSL_want as if it waited for more, so that SSL_get_error is asked as well,
 * which takes an old entry of the error queue for a failure: it is not believed where there may be
 * one.
 */
static int64_t failure(const struct tls_openssl *api, const void *ssl, const struct tls_call *call,
                       int result, int error)
{
    if (api->want(ssl) == WANT_NOTHING)
        return -EPROTO;
    int why = call->stale ? 0 : api->get_error(ssl, result);
    if (why == ERROR_SSL)
        return -EPROTO;
    if (why == ERROR_SYSCALL)
        return error && error != EAGAIN ? -(int64_t)error : -ECONNRESET;
    return 0;
}

static __attribute__((noinline)) void after_handshake(const struct tls_openssl *api,
                                                      const void *ssl, const struct tls_call *call,
                                                      bool failed, int result, int error)
{
    bool finished = api->is_init_finished(ssl) != 0;
    int64_t code = !finished && failed ? failure(api, ssl, call, result, error) : 0;
    if (!finished && !code)
        return;
    uint64_t start = tls_handshake_ends(ssl);
    if (start)
        tell_handshake(api, ssl, call, start, code);
}

/*
 * After a call that moved `length` bytes, with what it returned; failed: it says that nothing could
 * be done now, or ever.
 */
static void after(const struct tls_openssl *api, const void *ssl, struct tls_call *call,
                  const void *bytes, uint64_t length, bool failed, int result)
{
    int error = errno;
    call->moved.end = ticks_now();
    if (unlikely(call->unfinished))
        after_handshake(api, ssl, call, failed, result, error);
    if (length && place(api, ssl, call, true))
        tls_tell(call, bytes, length);
    errno = error;
}

/* ------------------------------------------------------------------ bytes */

int tls_openssl_read(TLS_OPENSSL_API, void *buffer, int size)
{
    struct tls_call call;
    if (!before(api, ssl, 'r', &call))
        return api->read(ssl, buffer, size);
    int r = api->read(ssl, buffer, size);
    after(api, ssl, &call, buffer, r > 0 ? (uint64_t)r : 0, r <= 0, r);
    return r;
}

/* The three forms of a write, each as SSL_write_ex has its result. */
static int by_write(const struct tls_openssl *api, void *ssl, const struct openssl_write *how,
                    const void *buffer, size_t size, size_t *done)
{
    (void)how;
    int r = api->write(ssl, buffer, (int)size);
    *done = r > 0 ? (size_t)r : 0;
    return r;
}

static int by_write_ex(const struct tls_openssl *api, void *ssl, const struct openssl_write *how,
                       const void *buffer, size_t size, size_t *done)
{
    (void)how;
    return api->write_ex(ssl, buffer, size, done);
}

static int by_write_ex2(const struct tls_openssl *api, void *ssl, const struct openssl_write *how,
                        const void *buffer, size_t size, size_t *done)
{
    return api->write_ex2(ssl, buffer, size, how->flags, done);
}

/* call: NULL, it is not observed. */
static __attribute__((noinline)) int with_line(const struct tls_openssl *api, void *ssl,
                                               struct tls_call *call,
                                               const struct openssl_write *how, const void *buffer,
                                               size_t size, size_t *done)
{
    int error = errno;
    if (call && !call->unfinished)
        place(api, ssl, call, true);
    errno = error;
    return inject_openssl(api, ssl, call, how, buffer, size, done);
}

int tls_openssl_write(TLS_OPENSSL_API, const void *buffer, int size)
{
    struct tls_call call, *observed = before(api, ssl, 'w', &call) ? &call : NULL;
    size_t done;
    int r = injects_tls(observed) && size > 0
                ? with_line(api, ssl, observed, &(struct openssl_write){by_write, 0}, buffer,
                            (size_t)size, &done)
                : api->write(ssl, buffer, size);
    if (observed)
        after(api, ssl, &call, buffer, r > 0 ? (uint64_t)r : 0, r <= 0, r);
    return r;
}

/* The forms that give the count through a pointer: it holds only where the result says so. */
#define EX(direction, real, success)                                       \
    struct tls_call call;                                                  \
    if (!before(api, ssl, direction, &call))                               \
        return real;                                                       \
    int r = real;                                                          \
    after(api, ssl, &call, buffer, r == (success) ? *done : 0, r <= 0, r); \
    return r

int tls_openssl_read_ex(TLS_OPENSSL_API, void *buffer, size_t size, size_t *done)
{
    EX('r', api->read_ex(ssl, buffer, size, done), 1);
}

#define WRITE_EX(form, flags_, real)                                                           \
    struct tls_call call, *observed = before(api, ssl, 'w', &call) ? &call : NULL;             \
    int r = injects_tls(observed)                                                              \
                ? with_line(api, ssl, observed, &(struct openssl_write){form, flags_}, buffer, \
                            size, done)                                                        \
                : real;                                                                        \
    if (observed)                                                                              \
        after(api, ssl, &call, buffer, r == 1 ? *done : 0, r <= 0, r);                         \
    return r

int tls_openssl_write_ex(TLS_OPENSSL_API, const void *buffer, size_t size, size_t *done)
{
    WRITE_EX(by_write_ex, 0, api->write_ex(ssl, buffer, size, done));
}

int tls_openssl_write_ex2(TLS_OPENSSL_API, const void *buffer, size_t size, uint64_t flags,
                          size_t *done)
{
    WRITE_EX(by_write_ex2, flags, api->write_ex2(ssl, buffer, size, flags, done));
}

int tls_openssl_read_early_data(TLS_OPENSSL_API, void *buffer, size_t size, size_t *done)
{
    EX('r', api->read_early_data(ssl, buffer, size, done), EARLY_SUCCESS);
}

int tls_openssl_write_early_data(TLS_OPENSSL_API, const void *buffer, size_t size, size_t *done)
{
    EX('w', api->write_early_data(ssl, buffer, size, done), 1);
}

/* The kernel encrypts what it takes from the file: how much is known, what it was is not. */
ssize_t tls_openssl_sendfile(TLS_OPENSSL_API, int fd, off_t offset, size_t size, int flags)
{
    struct tls_call call;
    if (!before(api, ssl, 'w', &call))
        return api->sendfile(ssl, fd, offset, size, flags);
    ssize_t r = api->sendfile(ssl, fd, offset, size, flags);
    after(api, ssl, &call, NULL, r > 0 ? (uint64_t)r : 0, r <= 0, (int)r);
    return r;
}

/* ------------------------------------------------------------------ handshakes, ends */

#define HANDSHAKE(direction, function)          \
    struct tls_call call;                       \
    if (!before(api, ssl, direction, &call))    \
        return api->function(ssl);              \
    int r = api->function(ssl);                 \
    after(api, ssl, &call, NULL, 0, r <= 0, r); \
    return r

int tls_openssl_do_handshake(TLS_OPENSSL_API)
{
    HANDSHAKE('r', do_handshake);
}

int tls_openssl_connect(TLS_OPENSSL_API)
{
    HANDSHAKE('r', connect);
}

int tls_openssl_accept(TLS_OPENSSL_API)
{
    HANDSHAKE('r', accept);
}

int tls_openssl_clear(TLS_OPENSSL_API)
{
    tls_forget(ssl);
    return api->clear(ssl);
}

/* Before it: the next session may have this address at once. (One that is held elsewhere as well is
 * found anew.) */
void tls_openssl_release(TLS_OPENSSL_API)
{
    tls_forget(ssl);
    api->release(ssl);
}
