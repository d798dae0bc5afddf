/*
 * A traceparent on its way through SSL_write and gnutls_record_send. What goes there is one buffer,
 * so that it is copied; and a write that is to be tried again has to be given as it was, so that
 * the copy is kept until it is done.
 */
#include "intercept/inject.h"

#include <sys/mman.h>

#include "intercept/tls.h"

enum {
    WHOLE_MAX = 16000, /* with its line one TLS record of the usual size */
    SLOTS = 64,        /* writes with a line at a time, in the process */
    SLOT_TEXT = WHOLE_MAX + INJECT_LINE,
    RECORD_EXTRA = 256, /* what encryption adds to a record, and more */
    /* OpenSSL's numbers, the same since 0.9 */
    WANT_NOTHING = 1,
    CTRL_MODE = 33,
    CTRL_CLEAR_MODE = 78,
    MODE_PARTIAL_WRITE = 1,
    MODE_MOVING_BUFFER = 2,
    /* GnuTLS's */
    AGAIN = -28,
    INTERRUPTED = -52,
};

struct slot {
    const void *buffer; /* the program's, and what it gave of it */
    uint32_t size;
    uint32_t place; /* of the line in the text */
    uint32_t waits; /* it is to be tried again */
    struct trace_ids ids;
    uint8_t text[SLOT_TEXT];
};

static struct table {
    uint64_t key[SLOTS]; /* the session's address; 0: free */
    struct slot slot[SLOTS];
} * table;
uint32_t inject_waiting;

static struct table *slots(void)
{
    struct table *t = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
    if (likely(t) || hook_region->sandboxed)
        return t;
    const size_t size = sizeof(*t);
    long at = sys(mmap, NULL, size, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at < 0 && at > -4096)
        return NULL;
    sys(munlock, at, size);
    sys(madvise, at, size, MADV_DONTDUMP);
    struct table *made = (struct table *)at;
    if (__atomic_compare_exchange_n(&table, &t, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return made;
    sys(munmap, at, size);
    return t;
}

/* The session's slot; NULL: it has none. */
static struct slot *find(const void *session)
{
    struct table *t = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
    for (unsigned i = 0; t && i < SLOTS; i++) {
        if (__atomic_load_n(&t->key[i], __ATOMIC_ACQUIRE) == (uintptr_t)session)
            return &t->slot[i];
    }
    return NULL;
}

static struct slot *claim(const void *session)
{
    struct table *t = slots();
    for (unsigned i = 0; t && i < SLOTS; i++) {
        uint64_t none = 0;
        if (__atomic_compare_exchange_n(&t->key[i], &none, (uintptr_t)session, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return &t->slot[i];
    }
    return NULL;
}

static void wait_for(struct slot *s, bool waits)
{
    if (s->waits != waits)
        __atomic_fetch_add(&inject_waiting, waits ? 1u : -1u, __ATOMIC_RELAXED);
    s->waits = waits;
}

static struct slot *waiting(const void *session)
{
    struct slot *s = __atomic_load_n(&inject_waiting, __ATOMIC_RELAXED) ? find(session) : NULL;
    return s && s->waits ? s : NULL;
}

static void release(struct slot *s)
{
    wait_for(s, false);
    __atomic_store_n(&table->key[s - table->slot], 0, __ATOMIC_RELEASE);
}

void inject_forget(const void *session)
{
    struct slot *s = table ? find(session) : NULL;
    if (unlikely(s))
        release(s);
}

/* The text with the line in it; NULL where it is not for us, or there is no room. */
static struct slot *prepare(const void *session, const struct tls_call *call, const uint8_t *buffer,
                            size_t size)
{
    struct trace_ids ids;
    uint32_t place = flow_inject(hook_region, &call->moved, buffer, size, 1, &ids);
    struct slot *s = place ? claim(session) : NULL;
    if (!s)
        return NULL;
    s->buffer = buffer;
    s->size = (uint32_t)size;
    s->place = place;
    s->ids = ids;
    s->waits = 0;
    __builtin_memcpy(s->text, buffer, place);
    inject_line(&ids, s->text + place);
    __builtin_memcpy(s->text + place + INJECT_LINE, buffer + place, size - place);
    return s;
}

/* Behind memory buffers it is the program that sends, whenever it can. */
static bool may(const struct tls_call *call, size_t size)
{
    return call && hook_region->watch & WATCH_INJECT && size && size <= WHOLE_MAX &&
           call->moved.fd >= 0 && flow_may_inject(&call->moved, 1) &&
           (!call->by_number || inject_has_room(call->moved.fd, size + INJECT_LINE + RECORD_EXTRA));
}

/* ------------------------------------------------------------------ OpenSSL */

/* Without partial writes a write ends with all of it done, or is to be tried again as it was. */
static int write_whole(const struct tls_openssl *api, void *ssl, const struct openssl_write *how,
                       const struct slot *s)
{
    size_t done = 0;
    bool partial = api->ctrl(ssl, CTRL_MODE, 0, NULL) & MODE_PARTIAL_WRITE;

    if (partial)
        api->ctrl(ssl, CTRL_CLEAR_MODE, MODE_PARTIAL_WRITE, NULL);
    int r = how->write(api, ssl, how, s->text, s->size + INJECT_LINE, &done);
    if (partial)
        api->ctrl(ssl, CTRL_MODE, MODE_PARTIAL_WRITE, NULL);
    return r;
}

/* Whether the program tries again what it tried, as OpenSSL wants it. */
static bool is_again(const struct tls_openssl *api, void *ssl, const struct slot *s,
                     const void *buffer, size_t size)
{
    return size >= s->size &&
           (buffer == s->buffer || api->ctrl(ssl, CTRL_MODE, 0, NULL) & MODE_MOVING_BUFFER) &&
           !__builtin_memcmp(buffer, s->text, s->place) &&
           !__builtin_memcmp((const uint8_t *)buffer + s->place, s->text + s->place + INJECT_LINE,
                             s->size - s->place);
}

int inject_openssl(const struct tls_openssl *api, void *ssl, struct tls_call *call,
                   const struct openssl_write *how, const void *buffer, size_t size, size_t *done)
{
    struct slot *s = waiting(ssl);

    if (s && !is_again(api, ssl, s, buffer, size)) {
        release(s); /* OpenSSL has the say */
        return how->write(api, ssl, how, buffer, size, done);
    }
    if (!s && api->ctrl && may(call, size) && !call->unfinished && !api->is_server(ssl))
        s = prepare(ssl, call, buffer, size);
    if (!s)
        return how->write(api, ssl, how, buffer, size, done);
    int r = write_whole(api, ssl, how, s);
    if (r <= 0) {
        if (api->want(ssl) == WANT_NOTHING)
            release(s);
        else
            wait_for(s, true);
        return r;
    }
    *done = s->size;
    if (call && call->moved.fd >= 0)
        flow_injected(hook_region, &call->moved, &s->ids, 0);
    r = r == (int)(s->size + INJECT_LINE) ? (int)s->size : r;
    release(s);
    return r;
}

/* ------------------------------------------------------------------ GnuTLS */

/* What GnuTLS could not send it keeps itself, with the size that it was given. */
static ssize_t gnutls_done(struct tls_call *call, struct slot *s, ssize_t n)
{
    if (n == AGAIN || n == INTERRUPTED) {
        wait_for(s, true);
        return n;
    }
    if (n == (ssize_t)s->size + INJECT_LINE) {
        if (call && call->moved.fd >= 0)
            flow_injected(hook_region, &call->moved, &s->ids, 0);
        n = s->size;
    }
    release(s);
    return n;
}

ssize_t inject_gnutls(const struct tls_gnutls *api, void *session, struct tls_call *call,
                      const void *data, size_t size)
{
    struct slot *s = waiting(session);

    if (s)
        return gnutls_done(call, s, api->send(session, data, size));
    if (!s && data && api->max_size && api->corked && may(call, size) && !api->corked(session) &&
        api->max_size(session) >= size + INJECT_LINE)
        s = prepare(session, call, data, size);
    if (!s)
        return api->send(session, data, size);
    return gnutls_done(call, s, api->send(session, s->text, s->size + INJECT_LINE));
}
