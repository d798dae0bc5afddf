/* What GnuTLS gives to a program and takes from it, and its handshakes. */
#include "intercept/tls.h"

#include "intercept/common.h"
#include "intercept/inject.h"

enum {
    RANDOM_SIZE = 32,
    NAME_MAX_LENGTH = 255,
    INVALID_REQUEST = -50, /* GNUTLS_E_INVALID_REQUEST: a client has no name that was sent to it */
    TLS_FIRST = 1,         /* GNUTLS_SSL3 to GNUTLS_TLS1_3 are 1 to 5 */
    TLS_LAST = 5,
    VERSION_FIRST = 0x0300,
};

bool tls_gnutls_fill(struct tls_gnutls *api, tls_look_up *look_up, void *context)
{
    bool all = true;
    TLS_GNUTLS_CALLS(TLS_FILL)
    TLS_GNUTLS_HELPERS(TLS_FILL_HELPER)
    TLS_GNUTLS_EXTRAS(TLS_FILL)
    api->library = TLS_GNUTLS;
    api->observable = all;
    return all;
}

/*
 * The descriptor that one direction goes through. Programs with transport functions of their own
 * give any pointer: only what could be a number, and is that of a socket, is taken for one.
 */
static int descriptor(const struct tls_gnutls *api, void *session, struct lane *lane, int direction)
{
    void *in = NULL, *out = NULL;
    api->transport(session, &in, &out);
    uintptr_t value = (uintptr_t)(direction == 'r' ? in : out);
    if (value >= FD_TABLE_SIZE)
        return -1;
    fd_entry entry = entry_of(lane, (int)value);
    return entry & FD_OPEN && kind_is_socket(FD_KIND(entry)) ? (int)value : -1;
}

/* False: the real call alone. errno is kept. */
static bool before(const struct tls_gnutls *api, void *session, int direction,
                   struct tls_call *call)
{
    if (unlikely(!session || !api->observable || !tls_begin(call, direction)))
        return false;
    int error = errno;
    bool observed = tls_on(call, descriptor(api, session, call->moved.lane, direction));
    errno = error;
    return observed;
}

static bool place(const struct tls_gnutls *api, void *session, struct tls_call *call, bool plain)
{
    struct tls_datum client = {NULL, 0}, server = {NULL, 0};
    if (likely(call->moved.fd >= 0))
        return true;
    api->random(session, &client, &server);
    return client.data && client.size == RANDOM_SIZE &&
           tls_place(call, session, client.data, 0, plain);
}

/* After a call that moved bytes. `length` 0 or less: none. */
static void after(const struct tls_gnutls *api, void *session, struct tls_call *call,
                  const void *bytes, int64_t length)
{
    if (length <= 0)
        return;
    int error = errno;
    call->moved.end = ticks_now();
    if (place(api, session, call, true))
        tls_tell(call, bytes, (uint64_t)length);
    errno = error;
}

/* ------------------------------------------------------------------ bytes */

#define RECEIVE(member, arguments)         \
    struct tls_call call;                  \
    if (!before(api, session, 'r', &call)) \
        return api->member arguments;      \
    ssize_t n = api->member arguments;     \
    after(api, session, &call, data, n);   \
    return n

ssize_t tls_gnutls_recv(TLS_GNUTLS_API, void *data, size_t size)
{
    RECEIVE(recv, (session, data, size));
}

ssize_t tls_gnutls_recv_seq(TLS_GNUTLS_API, void *data, size_t size, uint8_t *sequence)
{
    RECEIVE(recv_seq, (session, data, size, sequence));
}

ssize_t tls_gnutls_recv_early_data(TLS_GNUTLS_API, void *data, size_t size)
{
    RECEIVE(recv_early_data, (session, data, size));
}

ssize_t tls_gnutls_recv_packet(TLS_GNUTLS_API, void **packet)
{
    struct tls_call call;
    if (!before(api, session, 'r', &call))
        return api->recv_packet(session, packet);
    ssize_t n = api->recv_packet(session, packet);
    struct tls_datum datum = {NULL, 0};
    if (n > 0 && *packet && api->packet_get)
        api->packet_get(*packet, &datum, NULL);
    after(api, session, &call, datum.size >= (size_t)(n > 0 ? n : 0) ? datum.data : NULL, n);
    return n;
}

/*
 * What is corked counts when it is given, not when it is sent. A call that goes on with an earlier
 * one may give no data: then the bytes went by unseen.
 */
#define SEND(member, arguments)                                              \
    struct tls_call call;                                                    \
    if (!before(api, session, 'w', &call))                                   \
        return api->member arguments;                                        \
    ssize_t n = api->member arguments;                                       \
    after(api, session, &call, n > 0 && (size_t)n <= size ? data : NULL, n); \
    return n

static __attribute__((noinline)) ssize_t with_line(const struct tls_gnutls *api, void *session,
                                                   struct tls_call *call, const void *data,
                                                   size_t size)
{
    int error = errno;
    if (call)
        place(api, session, call, true);
    errno = error;
    return inject_gnutls(api, session, call, data, size);
}

ssize_t tls_gnutls_send(TLS_GNUTLS_API, const void *data, size_t size)
{
    struct tls_call call, *observed = before(api, session, 'w', &call) ? &call : NULL;
    bool injected = injects_tls(observed);
    ssize_t n =
        injected ? with_line(api, session, observed, data, size) : api->send(session, data, size);
    if (observed)
        after(api, session, &call, n > 0 && (size_t)n <= size ? data : NULL, n);
    return n;
}

ssize_t tls_gnutls_send2(TLS_GNUTLS_API, const void *data, size_t size, size_t pad, unsigned flags)
{
    SEND(send2, (session, data, size, pad, flags));
}

ssize_t tls_gnutls_send_range(TLS_GNUTLS_API, const void *data, size_t size, const void *range)
{
    SEND(send_range, (session, data, size, range));
}

/* 0 is success: it is kept until the handshake sends it. */
ssize_t tls_gnutls_send_early_data(TLS_GNUTLS_API, const void *data, size_t size)
{
    SEND(send_early_data, (session, data, size));
}

ssize_t tls_gnutls_send_file(TLS_GNUTLS_API, int fd, off_t *offset, size_t count)
{
    struct tls_call call;
    if (!before(api, session, 'w', &call))
        return api->send_file(session, fd, offset, count);
    ssize_t n = api->send_file(session, fd, offset, count);
    after(api, session, &call, NULL, n);
    return n;
}

/* ------------------------------------------------------------------ handshakes, ends */

static uint16_t wire_version(int version)
{
    return version >= TLS_FIRST && version <= TLS_LAST
               ? (uint16_t)(VERSION_FIRST + version - TLS_FIRST)
               : 0;
}

static __attribute__((noinline)) void after_handshake(const struct tls_gnutls *api, void *session,
                                                      struct tls_call *call, int result)
{
    uint64_t start = tls_handshake_ends(session);
    call->moved.end = ticks_now();
    if (!start || !place(api, session, call, false))
        return;
    char name[NAME_MAX_LENGTH + 1];
    size_t size = sizeof(name);
    unsigned type = 0;
    int named = api->server_name ? api->server_name(session, name, &size, &type, 0) : 0;
    struct tls_datum chosen = {NULL, 0};
    char protocol[NAME_MAX_LENGTH + 1];
    bool has_protocol = api->alpn && !result && api->alpn(session, &chosen) == 0 && chosen.size &&
                        chosen.size <= NAME_MAX_LENGTH;
    if (has_protocol) {
        __builtin_memcpy(protocol, chosen.data, chosen.size);
        protocol[chosen.size] = '\0';
    }
    bool has_name = api->server_name && named == 0 && size <= NAME_MAX_LENGTH;
    name[has_name ? size : 0] = '\0';
    struct tls_handshake what = {.version = wire_version(result ? 0 : api->version(session)),
                                 .server = api->server_name && named != INVALID_REQUEST,
                                 .library = api->library};
    call->moved.start = start;
    flow_handshake(hook_region, &call->moved, &what, has_name ? name : NULL,
                   has_protocol ? protocol : NULL, result ? -EPROTO : 0);
    after_any(hook_region);
}

int tls_gnutls_handshake(TLS_GNUTLS_API)
{
    struct tls_call call;
    if (!before(api, session, 'r', &call))
        return api->handshake(session);
    uint64_t since = tls_handshake_since(session);
    tls_handshake_begins(session, since ? since : call.moved.start);
    int r = api->handshake(session);
    int error = errno;
    if (r >= 0 || api->error_is_fatal(r))
        after_handshake(api, session, &call, r < 0 ? r : 0);
    errno = error;
    return r;
}

void tls_gnutls_deinit(TLS_GNUTLS_API)
{
    tls_forget(session);
    api->deinit(session);
}
