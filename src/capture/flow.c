/* Flows: whose bytes are whose, what their first ones say, and where plaintext comes from. */
#include "capture/flow_internal.h"

uint8_t *flow_table;

enum {
    TLS_HANDSHAKE = 22,
    TLS_CLIENT_HELLO = 1,
    TLS_SERVER_HELLO = 2,
    TLS_RANDOM_AT = 11, /* record 5, handshake 4, version 2 */
    RECENT = 64,        /* ClientHellos that are remembered */
};

/* Descriptors (plus one) on which a ClientHello went by: where flow_by_random looks. */
static uint32_t recent[RECENT];
static uint32_t recent_next;

struct flow *flow_place(int fd)
{
    if (unlikely((unsigned)fd >= FLOW_MAX || !flow_table))
        return NULL;
    return (struct flow *)(flow_table + (size_t)fd * FLOW_SIZE);
}

struct flow *flow_now(const struct flow_bytes *m)
{
    struct flow *f = flow_place(m->fd);
    uint32_t generation = FD_GENERATION(m->entry);
    return f && generation && __atomic_load_n(&f->generation, __ATOMIC_ACQUIRE) == generation
               ? f
               : NULL;
}

struct flow *flow_of(struct region_head *region, const struct flow_bytes *m)
{
    struct flow *f = flow_place(m->fd);
    uint32_t generation = FD_GENERATION(m->entry);
    if (unlikely(!f)) {
        if (flow_table && m->fd >= FLOW_MAX) {
            drop_count(region, DROP_FLOW, 1);
            fd_change(m->fd, generation, 0, FD_FLOW);
        }
        return NULL;
    }
    uint32_t was = __atomic_load_n(&f->generation, __ATOMIC_ACQUIRE);
    if (likely(was == generation))
        return f;
    /* Of two threads that meet a new life at once one makes it; the other's bytes are lost to it.
     */
    if (!generation || !__atomic_compare_exchange_n(&f->generation, &was, 0, 0, __ATOMIC_ACQUIRE,
                                                    __ATOMIC_RELAXED))
        return NULL;
    words_clear((uint8_t *)f + sizeof(uint64_t), FLOW_SIZE - sizeof(uint64_t));
    f->state = FLOW_NEW;
    f->plain = f->requests = f->has_random = 0;
    __atomic_store_n(&f->generation, generation, __ATOMIC_RELEASE);
    return f;
}

/* One direction is read by one at a time: who comes meanwhile cannot be put in order. */
static int flow_enter(struct region_head *region, struct flow *f, unsigned way)
{
    if (unlikely(f->lost[way] & LOST_ORDER))
        return 0;
    if (likely(!__atomic_exchange_n(&f->busy[way], 1, __ATOMIC_ACQUIRE)))
        return 1;
    __atomic_fetch_or(&f->lost[way], LOST_ORDER, __ATOMIC_RELAXED);
    drop_count(region, DROP_FLOW, 1);
    return 0;
}

static void flow_leave(struct flow *f, unsigned way)
{
    __atomic_store_n(&f->busy[way], 0, __ATOMIC_RELEASE);
}

/* ------------------------------------------------------------------ the first bytes */

static void client_hello(struct flow *f, int fd, int direction, const uint8_t *bytes)
{
    bytes_copy(f->random, bytes + TLS_RANDOM_AT, sizeof(f->random));
    __atomic_store_n(&f->has_random, (uint8_t)direction, __ATOMIC_RELEASE);
    uint32_t at = __atomic_fetch_add(&recent_next, 1, __ATOMIC_RELAXED) % RECENT;
    __atomic_store_n(&recent[at], (uint32_t)fd + 1, __ATOMIC_RELEASE);
}

/* Whether these begin TLS: 1 yes, 0 no, -1 more bytes are needed. */
static int tls_sniff(const uint8_t *bytes, size_t length)
{
    if (bytes[0] != TLS_HANDSHAKE || (length > 1 && bytes[1] != 3))
        return 0;
    if (length < 6)
        return -1;
    if (bytes[5] == TLS_SERVER_HELLO)
        return 1;
    if (bytes[5] != TLS_CLIENT_HELLO)
        return 0;
    return length < TLS_RANDOM_AT + 32 ? -1 : 1;
}

/* What the first bytes of a direction say. Returns 0 while more are needed. */
static int decide(struct flow_call *call, const uint8_t *bytes, size_t length)
{
    struct flow *f = call->flow;
    int direction = call->m->direction, other = direction == 'r' ? 'w' : 'r';
    int http1 = http1_sniff(bytes, length), http2 = http2_sniff(bytes, length);
    int tls = f->plain ? 0 : tls_sniff(bytes, length);

    if (http2 > 0) {
        f->state = FLOW_HTTP2;
        f->requests = (uint8_t)(http2 == 1 ? direction : other);
    } else if (http1 > 0 && http2 == 0) {
        f->state = FLOW_HTTP1;
        f->requests = (uint8_t)(http1 == 1 ? direction : other);
    } else if (tls > 0) {
        if (bytes[5] == TLS_CLIENT_HELLO)
            client_hello(f, call->m->fd, direction, bytes);
        f->state = FLOW_CIPHER;
        fd_change(call->m->fd, f->generation, FD_TLS, FD_FLOW);
    } else if (http1 < 0 || http2 < 0 || tls < 0) {
        return 0;
    } else {
        f->state = FLOW_OTHER;
        fd_change(call->m->fd, f->generation, 0, FD_FLOW);
    }
    return 1;
}

static int is_read(const struct flow *f)
{
    return f->state == FLOW_HTTP1 || f->state == FLOW_HTTP2;
}

/*
 * Bytes of a flow of which nothing is known yet: decides, or holds them. Returns how many it has
 * taken; the others are for the framer that was decided on.
 */
static uint64_t first_bytes(struct flow_call *call, const uint8_t *bytes, uint64_t length)
{
    struct flow *f = call->flow;
    struct flow_first *first = &f->first[call->way];

    if (!bytes) { /* a body of what we have not seen the head of */
        f->state = FLOW_OTHER;
        fd_change(call->m->fd, f->generation, 0, FD_FLOW);
        return length;
    }
    if (!first->length && length >= FLOW_HOLD) {
        if (!decide(call, bytes, FLOW_HOLD))
            f->state = FLOW_OTHER;
        return 0;
    }
    if (!first->length)
        f->held_at[call->way] = call->m->direction == 'r' ? call->m->end : call->m->start;
    uint64_t n = FLOW_HOLD - first->length;
    if (n > length)
        n = length;
    bytes_copy(first->bytes + first->length, bytes, n);
    first->length = (uint8_t)(first->length + n);
    if (!decide(call, first->bytes, first->length) && first->length == FLOW_HOLD)
        f->state = FLOW_OTHER;
    return n;
}

/* What was held belongs to a protocol that is read: it goes first. */
static void feed_held(struct flow_call *call)
{
    struct flow_first *first = &call->flow->first[call->way];
    uint8_t held[FLOW_HOLD];
    unsigned length = first->length;

    bytes_copy(held, first->bytes, length);
    first->length = 0;
    call->first_at = call->flow->held_at[call->way];
    flow_feed(call, held, length);
    call->first_at = 0;
}

static void flow_bytes_in(struct flow_call *call, const uint8_t *bytes, uint64_t length)
{
    struct flow *f = call->flow;
    while (length) {
        uint64_t n = length;
        if (f->state == FLOW_NEW)
            n = first_bytes(call, bytes, length);
        if (is_read(f) && f->first[call->way].length)
            feed_held(call);
        else if (is_read(f) && n)
            n = flow_feed(call, bytes, length);
        if (bytes)
            bytes += n;
        length -= n;
        if (!is_read(f) && f->state != FLOW_NEW)
            return;
    }
}

/* ------------------------------------------------------------------ what capture.h's users call */

/* Bytes that were shown before, and did not go, come again: returns how many of these are such. */
static uint64_t shown_before(struct flow *f, const struct flow_bytes *m, uint64_t length)
{
    if (likely(!f->ahead || m->direction != 'w'))
        return 0;
    uint64_t n = f->ahead < length ? f->ahead : length;
    f->ahead -= (uint32_t)n;
    return n;
}

static void show(struct region_head *region, const struct flow_bytes *m, struct flow *f,
                 const struct piece *pieces, unsigned count, uint64_t length)
{
    struct flow_call call = {.region = region, .m = m, .flow = f, .way = flow_way(m->direction)};
    if (!flow_enter(region, f, call.way))
        return;
    uint64_t skip = shown_before(f, m, length);
    if (!pieces && length > skip)
        flow_bytes_in(&call, NULL, length - skip);
    for (unsigned i = 0; i < count && length; i++) {
        uint64_t n = pieces[i].length < length ? pieces[i].length : length;
        uint64_t from = skip < n ? skip : n;
        length -= n;
        skip -= from;
        if (n > from)
            flow_bytes_in(&call, (const uint8_t *)pieces[i].data + from, n - from);
    }
    flow_leave(f, call.way);
}

void flow_moved(struct region_head *region, const struct flow_bytes *m, const struct piece *pieces,
                unsigned count, uint64_t length)
{
    (void)flow_sending(region, m, pieces, count, length);
}

int flow_sending(struct region_head *region, const struct flow_bytes *m, const struct piece *pieces,
                 unsigned count, uint64_t length)
{
    struct flow *f = flow_of(region, m);
    if (!f || f->plain)
        return 0;
    show(region, m, f, pieces, count, length);
    return 1;
}

void flow_unsent(const struct flow_bytes *m, uint64_t length)
{
    struct flow *f = flow_now(m);
    if (f)
        f->ahead += (uint32_t)length;
}

void flow_connects(struct region_head *region, const struct flow_bytes *m)
{
    struct lane *lane = m->lane;
    struct trace_ids now;
    if (!(region->watch & WATCH_TRACES) || !lane)
        return;
    trace_current(region, lane, &now);
    int known = !trace_is_none(&lane->context) &&
                !trace_differ(now.span_id, lane->context.span_id, sizeof(now.span_id));
    /* in an event loop it stays unknown, whatever the thread is at when the connection stands */
    if (!known && !lane->turns)
        return;
    struct flow *f = flow_of(region, m);
    if (!f)
        return;
    f->cause = (struct flow_cause){.fd = lane->context_fd,
                                   .generation = lane->context_generation,
                                   .since = m->start,
                                   .tid = lane->tid};
    if (!known)
        return;
    bytes_copy(f->cause.span_id, lane->context.span_id, sizeof(f->cause.span_id));
    lane->context_acted = 1;
}

void flow_ended(struct region_head *region, const struct flow_bytes *m)
{
    struct flow *f = flow_now(m);
    if (!f || f->state != FLOW_HTTP1)
        return;
    for (unsigned way = 0; way < 2; way++) {
        struct flow_bytes one = *m;
        one.direction = way ? 'w' : 'r';
        if (m->direction && m->direction != one.direction)
            continue;
        struct flow_call call = {.region = region, .m = &one, .flow = f, .way = way};
        if (!flow_enter(region, f, way))
            continue;
        flow_feed_end(&call);
        flow_leave(f, way);
    }
}

void flow_plain(struct region_head *region, const struct flow_bytes *m, const void *bytes,
                uint64_t length)
{
    struct flow *f = flow_of(region, m);
    if (!f)
        return;
    if (unlikely(!f->plain)) {
        /* what was made of the ciphertext, if anything, was a mistake or the talk before it */
        f->plain = 1;
        f->state = FLOW_NEW;
        f->requests = 0;
        f->lost[0] = f->lost[1] = 0;
        f->ahead = 0;
        f->first[0].length = f->first[1].length = 0;
        words_clear(&f->http1, sizeof(f->http1));
        words_clear(&f->http2, sizeof(f->http2));
        fd_change(m->fd, f->generation, FD_TLS, FD_FLOW);
    }
    struct flow_call call = {.region = region, .m = m, .flow = f, .way = flow_way(m->direction)};
    if (!flow_enter(region, f, call.way))
        return;
    flow_bytes_in(&call, bytes, length);
    flow_leave(f, call.way);
}

unsigned flow_tls(const struct flow_bytes *m)
{
    const struct flow *f = flow_now(m);
    /* a duplicate has the flag, and what was seen is known of the other number */
    if (!(m->entry & FD_TLS) || !f)
        return CLOSE_NO_TLS;
    return f->plain ? CLOSE_TLS_SEEN : CLOSE_TLS_UNSEEN;
}

int flow_by_random(const uint8_t random[32], int direction, fd_entry *entry)
{
    for (unsigned i = 0; i < RECENT; i++) {
        uint32_t at = __atomic_load_n(&recent[i], __ATOMIC_ACQUIRE);
        struct flow *f = at ? flow_place((int)at - 1) : NULL;
        int way = f ? __atomic_load_n(&f->has_random, __ATOMIC_ACQUIRE) : 0;
        if (!way || (direction && way != direction))
            continue;
        fd_entry now = fd_get((int)at - 1);
        if (FD_GENERATION(now) != f->generation || !(now & FD_OPEN))
            continue;
        unsigned same = 0;
        while (same < sizeof(f->random) && f->random[same] == random[same])
            same++;
        if (same < sizeof(f->random))
            continue;
        *entry = now;
        return (int)at - 1;
    }
    return -1;
}

static unsigned text_length(const char *text, unsigned most)
{
    unsigned n = 0;
    while (text && n < most && text[n])
        n++;
    return n;
}

void flow_handshake(struct region_head *region, const struct flow_bytes *m,
                    const struct tls_handshake *what, const char *name, const char *protocol,
                    int64_t result)
{
    if (!(region->watch & WATCH_FLOWS))
        return;
    struct tls_handshake head = *what;
    head.name_length = (uint16_t)text_length(name, 255);
    head.protocol_length = (uint16_t)text_length(protocol, 255);
    struct record r = {.type = RECORD_TLS,
                       .kind = (uint8_t)FD_KIND(m->entry),
                       .start = m->start,
                       .end = m->end,
                       .fd = m->fd,
                       .generation = FD_GENERATION(m->entry),
                       .result = result};
    struct piece pieces[3] = {
        {&head, sizeof(head)}, {name, head.name_length}, {protocol, head.protocol_length}};
    record_write(region, m->lane, &r, pieces, 3);
}
