/* What is remembered of TLS sessions: handshakes under way, and descriptors found by the random. */
#include "intercept/tls.h"

#include <sys/mman.h>

#include "intercept/common.h"
#include "intercept/inject.h"

enum {
    SESSIONS = 1 << 13,
    NEAR = 8,   /* places that one session may have */
    TRIES = 16, /* plaintext calls after which a session that is not found stays lost */
};

struct session {
    uint64_t key;   /* the session's address; 0 free, 1 being written */
    uint64_t start; /* of the handshake under way; 0: none */
    fd_entry entry;
    int32_t fd; /* -1: not found */
    uint32_t tries;
    uint8_t random[32];
};
_Static_assert(sizeof(struct session) == 64, "a session is one cache line");

/* Mapped at the first use: most programs have no TLS. */
static struct session *table;
static uint32_t no_room; /* there was no memory for it: not asked for at every call */

static struct session *sessions(void)
{
    struct session *t = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
    if (likely(t))
        return t;
    if (hook_region->sandboxed || __atomic_load_n(&no_room, __ATOMIC_RELAXED))
        return NULL;
    const size_t size = SESSIONS * sizeof(*t);
    long at = sys(mmap, NULL, size, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at < 0 && at > -4096) {
        __atomic_store_n(&no_room, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    sys(madvise, at, size, MADV_NOHUGEPAGE);
    /* where mlockall has all that is mapped filled and locked */
    sys(munlock, at, size);
    sys(madvise, at, size, MADV_DONTNEED);
    sys(madvise, at, size, MADV_DONTDUMP);
    struct session *made = (struct session *)at;
    if (__atomic_compare_exchange_n(&table, &t, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return made;
    sys(munmap, at, size);
    return t;
}

/* The first of the places that this session may have. */
static struct session *places(const void *session)
{
    struct session *t = sessions();
    uint64_t hash = ((uint64_t)(uintptr_t)session >> 4) * 0x9e3779b97f4a7c15ULL;
    return t ? t + (hash >> 40) % (SESSIONS / NEAR) * NEAR : NULL;
}

static struct session *find(const void *session)
{
    struct session *s = places(session);
    for (unsigned i = 0; s && i < NEAR; i++) {
        if (__atomic_load_n(&s[i].key, __ATOMIC_ACQUIRE) == (uintptr_t)session)
            return &s[i];
    }
    return NULL;
}

/* A place of one's own for a session that has none; NULL: others are taking places just now. */
static struct session *claim(const void *session, uint64_t start, const uint8_t *random)
{
    struct session *s = places(session), *best = NULL;
    for (unsigned i = 0; s && i < NEAR; i++) {
        uint64_t key = __atomic_load_n(&s[i].key, __ATOMIC_RELAXED);
        if (key == 1)
            continue;
        if (!best || !key || (best->key && s[i].start < best->start))
            best = &s[i];
        if (!key)
            break;
    }
    uint64_t key = best ? __atomic_load_n(&best->key, __ATOMIC_RELAXED) : 1;
    if (key == 1 || !__atomic_compare_exchange_n(&best->key, &key, 1, false, __ATOMIC_ACQUIRE,
                                                 __ATOMIC_RELAXED))
        return NULL;
    best->start = start;
    best->fd = -1;
    best->entry = 0;
    best->tries = 0;
    if (random)
        __builtin_memcpy(best->random, random, sizeof(best->random));
    else
        __builtin_memset(best->random, 0, sizeof(best->random));
    __atomic_store_n(&best->key, (uint64_t)(uintptr_t)session, __ATOMIC_RELEASE);
    return best;
}

void tls_handshake_begins(const void *session, uint64_t start)
{
    struct session *s = find(session);
    if (!s)
        claim(session, start, NULL);
    else
        __atomic_store_n(&s->start, start, __ATOMIC_RELAXED);
}

uint64_t tls_handshake_since(const void *session)
{
    struct session *s = find(session);
    return s ? __atomic_load_n(&s->start, __ATOMIC_RELAXED) : 0;
}

uint64_t tls_handshake_ends(const void *session)
{
    struct session *s = find(session);
    return s ? __atomic_exchange_n(&s->start, 0, __ATOMIC_RELAXED) : 0;
}

void tls_forget(const void *session)
{
    inject_forget(session);
    struct session *s = table ? find(session) : NULL;
    uint64_t key = (uintptr_t)session;
    if (s)
        __atomic_compare_exchange_n(&s->key, &key, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static bool is_zero(const uint8_t random[32])
{
    uint64_t words[4];
    __builtin_memcpy(words, random, sizeof(words));
    return !(words[0] | words[1] | words[2] | words[3]);
}

static bool still_open(int fd, fd_entry entry)
{
    fd_entry now = fd_get(fd);
    return now & FD_OPEN && FD_GENERATION(now) == FD_GENERATION(entry);
}

/*
 * The random is compared at each call: a pointer is used again for the next session, and not every
 * end of one is seen.
 */
bool tls_place(struct tls_call *call, const void *session, const uint8_t random[32],
               int hello_direction, bool plain)
{
    if (is_zero(random))
        return false; /* no ClientHello yet: no plaintext either */
    struct session *s = find(session);
    if (!s)
        s = claim(session, 0, random);
    bool same = s && !__builtin_memcmp(s->random, random, 32);
    if (same && s->fd >= 0 && still_open(s->fd, s->entry)) {
        call->moved.fd = s->fd;
        call->moved.entry = fd_get(s->fd);
        return true;
    }
    if (same && s->tries >= TRIES)
        return false;
    fd_entry entry = 0;
    int fd = flow_by_random(random, hello_direction, &entry);
    if (s && !same) {
        __builtin_memcpy(s->random, random, 32);
        s->tries = 0;
    }
    if (s) {
        s->entry = entry;
        s->fd = fd;
    }
    if (fd < 0) {
        if (plain && (!s || !s->tries++))
            drop_count(hook_region, DROP_FLOW, 1);
        return false;
    }
    call->moved.fd = fd;
    call->moved.entry = entry;
    return true;
}

bool tls_begin(struct tls_call *call, int direction)
{
    struct lane *lane = hook_lane();
    if (unlikely(!lane || !(hook_region->watch & WATCH_FLOWS)))
        return false;
    call->moved.lane = lane;
    call->moved.direction = direction;
    call->moved.fd = -1;
    call->unfinished = false;
    return true;
}

bool tls_on(struct tls_call *call, int fd)
{
    call->moved.fd = fd;
    call->by_number = fd >= 0;
    call->moved.entry = fd >= 0 ? entry_of(call->moved.lane, fd) : 0;
    unsigned kind = FD_KIND(call->moved.entry);
    if (unlikely(kind == KIND_UDP || kind == KIND_UNIX_DGRAM))
        return false;
    call->moved.end = 0;
    call->moved.start = ticks_now();
    return true;
}

void tls_tell(struct tls_call *call, const void *bytes, uint64_t length)
{
    flow_plain(hook_region, &call->moved, bytes, length);
    after_any(hook_region);
}
