/*
 * What NSS gives to a program and takes from it, and its handshakes: on NSPR descriptors on top of
 * which SSL_ImportFD put NSS's layer. Programs that put layers of their own on top of that
 * (Firefox) call NSS by its method table, and are not seen here.
 */
#include "intercept/tls.h"

#include "hook/elf.h"
#include "intercept/common.h"

enum {
    PLAIN_IDENTITY = 0, /* PR_NSPR_IO_LAYER */
    PEEK = 2,           /* PR_MSG_PEEK */
    WOULD_BLOCK = -5998,
    TIMED_OUT = -5990,
    INTERRUPTED = -5993,
    SUCCESS = 0,             /* SECSuccess, PR_SUCCESS */
    PROTOCOL_NEGOTIATED = 1, /* SSL_NEXT_PROTO_NEGOTIATED */
    PROTOCOL_SELECTED = 3,   /* SSL_NEXT_PROTO_SELECTED */
    PROTOCOL_MAX = 255,
};

/* The beginning of SSLChannelInfo, which stays as it is: NSS is told how much of it is asked for.
 */
struct channel_info {
    uint32_t length;
    uint16_t version;
    uint16_t cipher_suite;
};

/* PRFileDesc: its layout is public (prio.h). */
struct layer {
    const void *methods;
    void *secret;
    struct layer *lower, *higher;
    void *destroy;
    int identity;
};

bool tls_nss_fill(struct tls_nss *api, tls_look_up *look_up, void *context)
{
    bool all = true;
    TLS_NSS_CALLS(TLS_FILL)
    TLS_NSS_SSL_CALLS(TLS_FILL)
    TLS_NSS_HELPERS(TLS_FILL_HELPER)
    api->library = TLS_NSS;
    api->observable = all;
    return all;
}

/* The number that NSPR gave to the layer named "SSL"; it is not given away again. */
static bool is_ssl(const struct tls_nss *api, int identity)
{
    static int ssl = PLAIN_IDENTITY, other = PLAIN_IDENTITY;
    if (identity == __atomic_load_n(&ssl, __ATOMIC_RELAXED))
        return true;
    if (identity == __atomic_load_n(&other, __ATOMIC_RELAXED) || !api->identity_name)
        return false;
    const char *name = api->identity_name(identity);
    bool found = name && elf_same(name, "SSL");
    __atomic_store_n(found ? &ssl : &other, identity, __ATOMIC_RELAXED);
    return found;
}

static bool is_finished(const struct tls_nss *nss, void *file)
{
    int on = 0;
    return nss->security(file, &on, NULL, NULL, NULL, NULL, NULL) == SUCCESS && on;
}

/* The table of NSS itself, where this is one of its descriptors and something is to be told. */
static const struct tls_nss *before(const struct tls_nss *api, void *file, int direction,
                                    struct tls_call *call)
{
    const struct layer *layer = file;
    if (likely(!layer || layer->identity == PLAIN_IDENTITY) || !tls_begin(call, direction))
        return NULL;
    int error = errno;
    const struct tls_nss *nss = is_ssl(api, layer->identity) ? tls_nss_loaded() : NULL;
    if (nss && !tls_on(call, nss->descriptor(file)))
        nss = NULL;
    if (nss && call->moved.fd >= 0) {
        call->unfinished = !is_finished(nss, file);
        if (call->unfinished && !tls_handshake_since(file))
            tls_handshake_begins(file, call->moved.start);
    }
    errno = error;
    return call->moved.fd >= 0 ? nss : NULL;
}

static __attribute__((noinline)) void after_handshake(const struct tls_nss *nss, void *file,
                                                      const struct tls_call *call, int64_t result)
{
    uint64_t start = tls_handshake_ends(file);
    if (!start)
        return;
    struct channel_info info = {0};
    char protocol[PROTOCOL_MAX + 1];
    unsigned length = 0;
    int state = 0;
    if (!result && nss->channel_info(file, &info, sizeof(info)) != SUCCESS)
        info.version = 0;
    if (result || nss->next_protocol(file, &state, protocol, &length, PROTOCOL_MAX) != SUCCESS ||
        (state != PROTOCOL_NEGOTIATED && state != PROTOCOL_SELECTED) || length > PROTOCOL_MAX)
        length = 0;
    protocol[length] = '\0';
    struct tls_handshake what = {.version = info.version,
                                 .server = (call->moved.entry & FD_SERVER) != 0,
                                 .library = nss->library};
    struct flow_bytes whole = call->moved;
    whole.start = start;
    flow_handshake(hook_region, &whole, &what, NULL, length ? protocol : NULL, result);
    after_any(hook_region);
}

/* After a call that moved `n` bytes; failed: it says that nothing could be done now, or ever. */
static void after(const struct tls_nss *nss, void *file, struct tls_call *call, const void *data,
                  int32_t n, bool failed)
{
    int error = errno;
    call->moved.end = ticks_now();
    if (unlikely(call->unfinished)) {
        int32_t why = failed ? nss->get_error() : 0;
        if (is_finished(nss, file))
            after_handshake(nss, file, call, 0);
        else if (failed && why != WOULD_BLOCK && why != TIMED_OUT && why != INTERRUPTED)
            after_handshake(nss, file, call, -EPROTO);
    }
    if (n > 0)
        tls_tell(call, data, (uint64_t)n);
    errno = error;
}

#define MOVE(direction, real, seen)                                  \
    struct tls_call call;                                            \
    const struct tls_nss *nss = before(api, file, direction, &call); \
    if (!nss)                                                        \
        return real;                                                 \
    int32_t n = real;                                                \
    after(nss, file, &call, data, (seen) ? n : 0, n < 0);            \
    return n

int32_t tls_nss_read(TLS_NSS_API, void *data, int32_t size)
{
    MOVE('r', api->read(file, data, size), true);
}

int32_t tls_nss_write(TLS_NSS_API, const void *data, int32_t size)
{
    MOVE('w', api->write(file, data, size), true);
}

int32_t tls_nss_recv(TLS_NSS_API, void *data, int32_t size, int flags, uint32_t timeout)
{
    MOVE('r', api->recv(file, data, size, flags, timeout), !(flags & PEEK));
}

int32_t tls_nss_send(TLS_NSS_API, const void *data, int32_t size, int flags, uint32_t timeout)
{
    MOVE('w', api->send(file, data, size, flags, timeout), true);
}

#define HANDSHAKE(real)                                        \
    struct tls_call call;                                      \
    const struct tls_nss *nss = before(api, file, 'r', &call); \
    if (!nss)                                                  \
        return real;                                           \
    int r = real;                                              \
    after(nss, file, &call, NULL, 0, r != SUCCESS);            \
    return r

int tls_nss_handshake(TLS_NSS_API)
{
    HANDSHAKE(api->handshake(file));
}

int tls_nss_handshake_within(TLS_NSS_API, uint32_t timeout)
{
    HANDSHAKE(api->handshake_within(file, timeout));
}

int tls_nss_end(TLS_NSS_API)
{
    const struct layer *layer = file;
    if (layer && layer->identity != PLAIN_IDENTITY)
        tls_forget(file);
    return api->end(file);
}
