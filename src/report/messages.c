/*
 * Messages put together from their parts, and requests paired with their answers.
 *
 * A part that is missing (its record found no room) voids the head that it belonged to, and on
 * HTTP/2 everything behind it in that direction: header compression cannot go on without it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/fold_trace.h"

/* ------------------------------------------------------------------ what is kept */

static struct talk *talk_of(struct descriptor *d)
{
    if (!d->talk) {
        d->talk = calloc(1, sizeof(*d->talk));
        if (d->talk)
            d->talk->end = &d->talk->first;
    }
    return d->talk;
}

struct http_message *message_keep(const struct http_message *m)
{
    size_t head = offsetof(struct http_message, fields) + m->field_count * sizeof(m->fields[0]);
    size_t bytes = m->method.length + m->target.length + m->scheme.length + m->authority.length;
    for (size_t i = 0; i < m->field_count; i++)
        bytes += m->fields[i].name.length + m->fields[i].value.length;
    struct http_message *copy = malloc(head + bytes);
    if (!copy)
        return NULL;
    char *at = (char *)copy + head;
    memcpy(copy, m, head);
    copy->method = text_keep(&at, m->method);
    copy->target = text_keep(&at, m->target);
    copy->scheme = text_keep(&at, m->scheme);
    copy->authority = text_keep(&at, m->authority);
    for (size_t i = 0; i < m->field_count; i++) {
        copy->fields[i].name = text_keep(&at, m->fields[i].name);
        copy->fields[i].value = text_keep(&at, m->fields[i].value);
    }
    return copy;
}

/* ------------------------------------------------------------------ exchanges of a connection */

static struct exchange *exchange_find(const struct talk *t, uint32_t number)
{
    for (struct exchange *x = t->first; x; x = x->next)
        if (x->number == number)
            return x;
    return NULL;
}

static struct exchange *exchange_new(struct fold *f, struct talk *t, uint32_t number)
{
    struct traces *all = traces_of(f);
    struct exchange *x = all && all->exchanges < EXCHANGES_MAX && t->count < EXCHANGES_OF_TALK
                             ? calloc(1, sizeof(*x))
                             : NULL;
    if (!x) {
        f->drops[DROP_STATE]++;
        return NULL;
    }
    all->exchanges++;
    t->count++;
    x->number = number;
    *t->end = x;
    t->end = &x->next;
    return x;
}

static void exchange_free(struct fold *f, struct talk *t, struct exchange *gone)
{
    struct exchange **at = &t->first;
    while (*at && *at != gone)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = gone->next;
    if (!gone->next)
        t->end = at;
    t->count--;
    f->traces->exchanges--;
    if (gone->passing) {
        passing_ends(f, &gone->ids);
        trace_over(f, &gone->ids);
    }
    free(gone->request);
    free(gone->response);
    free(gone->trailer);
    free(gone);
}

static void exchange_over(struct fold *f, struct descriptor *d, struct exchange *x,
                          const struct ending *ending)
{
    exchange_told(f, d->description, d->talk, x, ending);
    exchange_counted(f, x, -1);
    exchange_free(f, d->talk, x);
}

/* ------------------------------------------------------------------ heads */

static bool head_add(struct talk_way *w, const uint8_t *bytes, size_t length)
{
    if (w->length + length > w->room) {
        size_t room = w->room ? w->room * 2 : 1024;
        while (room < w->length + length)
            room *= 2;
        char *head = room <= HTTP2_HEAD_MAX ? realloc(w->head, room) : NULL;
        if (!head)
            return false;
        w->head = head;
        w->room = room;
    }
    memcpy(w->head + w->length, bytes, length);
    w->length += length;
    return true;
}

/* A connection that is idle holds no room for heads: there may be ten thousand. */
static void head_void(struct talk_way *w)
{
    free(w->head);
    w->head = NULL;
    w->open = false;
    w->length = w->room = 0;
}

/* One part as it came. */
struct arrived {
    struct fold *f;
    struct descriptor *d;
    const struct record *r;
    const struct message_part *part;
    struct talk_way *way;
    int32_t tid;
};

/* Bytes that come in were there when the call ended; those that go out when it began. */
static uint64_t time_of_first(const struct arrived *a)
{
    return a->part->direction == 'r' ? a->r->end : a->r->start;
}

/* Of one direction of HTTP/2, made when it is needed; NULL: no memory. */
static struct http2_decoder *decoder_of(struct talk_way *w)
{
    if (!w->decoder)
        w->decoder = http2_decoder_new();
    return w->decoder;
}

static int parse(const struct arrived *a, struct text head, struct arena *arena,
                 struct http_message *out)
{
    if (a->part->protocol == PROTOCOL_HTTP1)
        return http1_parse(head.data, head.length, arena, out);
    struct http2_decoder *decoder = decoder_of(a->way);
    if (!decoder)
        return -ENOMEM;
    return http2_decode(decoder, (const uint8_t *)head.data, head.length, arena, out);
}

/* What the request's own fields say of its parent, beyond what capture read of them. */
static void context_came(struct fold *f, struct exchange *x, const struct http_message *m,
                         struct arena *arena)
{
    static const uint8_t none[8];
    struct trace_ids remote;
    struct text state = {0};
    bool deferred = false;
    bool said = http_context(m, f->contexts, &remote, &state, &deferred, arena);
    if (!x->server) {
        if (said)
            passed_on(f, &x->ids, &remote);
        trace_learn_child(f, &x->ids);
        /* what a proxy passes on is its caller's: the parent of one that goes out is known better
         */
        bool same = said && !memcmp(remote.trace_id, x->ids.trace_id, sizeof(remote.trace_id));
        if (!same && memcmp(x->ids.parent_id, none, sizeof(none)) != 0)
            return;
    }
    if (!said)
        return;
    if (deferred)
        remote.flags |= x->ids.flags & TRACE_SAMPLED;
    trace_learn(f, &x->ids, &remote, state);
    if (x->server) {
        passing_begins(f, &x->ids, &remote);
        x->passing = true;
    }
}

static void request_came(const struct arrived *a, const struct http_message *m, struct arena *arena)
{
    struct fold *f = a->f;
    struct talk *t = a->d->talk;
    struct exchange *x = exchange_find(t, a->part->number);
    if (x) /* a trailer */
        return;
    x = exchange_new(f, t, a->part->number);
    if (!x)
        return;
    x->ids = a->part->ids;
    x->server = a->part->direction == 'r';
    x->tls = a->part->tls;
    x->tid = a->tid;
    x->start = a->way->first;
    x->request = message_keep(m);
    x->grpc = a->part->protocol == PROTOCOL_HTTP2 && grpc_is(m);
    context_came(f, x, m, arena);
    if (!x->server) {
        struct http_target target;
        char host[256];
        http_target_of(m, false, x->tls, arena, &target);
        size_t n = target.host.length < sizeof(host) ? target.host.length : 0;
        memcpy(host, n ? target.host.data : "", n); /* the arena is emptied for each span */
        x->start =
            setup_told(f, a->d->description, t, &x->ids, a->tid, x->start, (struct text){host, n});
    }
    exchange_counted(f, x, 1);
}

/*
 * A request that asked for h2c and got it is answered on stream 1, and what it said of the size of
 * the table is settled with that (RFC 7540, 3.2).
 */
static void exchange_upgraded(const struct arrived *a, struct exchange *x)
{
    uint32_t least = 0, last = 0;
    x->number = 1;
    if (!http2_settings_read(http_field(x->request, "http2-settings"), &least, &last))
        return;
    struct http2_decoder *decoder = decoder_of(a->way);
    if (!decoder)
        return;
    http2_decoder_settings(decoder, true, least, last);
    http2_decoder_settled(decoder);
}

static void response_came(const struct arrived *a, const struct http_message *m)
{
    struct exchange *x = exchange_find(a->d->talk, a->part->number);
    if (!x)
        return;
    if (a->part->protocol == PROTOCOL_HTTP1 && x->request && http2_is_upgrade(m)) {
        exchange_upgraded(a, x);
        return;
    }
    if (a->part->flags & FRAME_INTERIM)
        return;
    if (x->response) { /* behind it comes its trailer */
        free(x->trailer);
        x->trailer = message_keep(m);
        return;
    }
    if (m->status / 100 == 1 && m->status != 101)
        return;
    x->response = message_keep(m);
    x->answer_at = a->r->end;
}

static void head_told(const struct arrived *a, struct text head)
{
    struct http_message message;
    struct arena *arena = span_arena(a->f);
    int error = arena ? parse(a, head, arena, &message) : -ENOMEM;
    if (error) {
        a->f->drops[DROP_FLOW]++;
        a->way->lost = error == -EBADMSG && a->part->protocol == PROTOCOL_HTTP2;
        return;
    }
    if (a->part->flags & FRAME_PUSH)
        return; /* decoded, as what follows depends on it; nobody asked for what it promises */
    if (a->part->side == SIDE_REQUEST)
        request_came(a, &message, arena);
    else
        response_came(a, &message);
}

/* A whole head. Nearly all come in one part, and are read where that lies. */
static void head_came(const struct arrived *a, struct text head)
{
    a->way->open = false;
    head_told(a, head);
    head_void(a->way);
}

static void head_part(const struct arrived *a, const uint8_t *bytes, size_t length)
{
    struct talk_way *w = a->way;
    if (a->part->flags & FRAME_FIRST) {
        head_void(w);
        w->open = true;
        w->number = a->part->number;
        w->first = time_of_first(a);
    }
    if (!w->open || w->number != a->part->number)
        return;
    if (a->part->flags & FRAME_CUT && a->part->protocol == PROTOCOL_HTTP2) {
        head_void(w);
        w->lost = true;
        a->f->drops[DROP_FLOW]++;
        return;
    }
    bool whole = a->part->flags & FRAME_HEAD_END && !(a->part->flags & FRAME_TRAILER);
    if (whole && !w->length) {
        head_came(a, (struct text){(const char *)bytes, length});
        return;
    }
    if (!head_add(w, bytes, length)) {
        head_void(w);
        w->lost = a->part->protocol == PROTOCOL_HTTP2;
        a->f->drops[DROP_STATE]++;
        return;
    }
    if (whole)
        head_came(a, (struct text){w->head, w->length});
}

/* ------------------------------------------------------------------ ends */

static void body_came(const struct arrived *a)
{
    struct exchange *x = exchange_find(a->d->talk, a->part->number);
    if (!x || (!a->part->body && !(a->part->flags & FRAME_END)))
        return;
    struct body *body = a->part->side == SIDE_REQUEST ? &x->asked : &x->answer;
    body->bytes += a->part->body;
    body->messages += a->part->messages;
    body->uncounted |= a->part->body && !(a->part->flags & FRAME_GRPC);
}

static void message_ended(const struct arrived *a)
{
    struct exchange *x = exchange_find(a->d->talk, a->part->number);
    if (!x)
        return;
    if (a->part->side == SIDE_REQUEST) {
        x->request_ended = true;
        return;
    }
    if (a->part->flags & FRAME_INTERIM || !x->response)
        return;
    struct ending ending = {.how = ENDED_WELL, .ticks = a->r->end};
    /* answers come in order: what was asked before and has none will get none */
    while (a->part->protocol == PROTOCOL_HTTP1 && a->d->talk->first != x)
        exchange_free(a->f, a->d->talk, a->d->talk->first);
    exchange_over(a->f, a->d, x, &ending);
}

static void stream_reset(const struct arrived *a)
{
    struct exchange *x = exchange_find(a->d->talk, a->part->number);
    if (!x)
        return;
    struct ending ending = {.how = a->part->side == SIDE_RESPONSE ? ENDED_RESET
                                   : x->server                    ? ENDED_BY_PEER
                                                                  : ENDED_BY_US,
                            .ticks = a->r->end,
                            .code = a->part->body};
    exchange_over(a->f, a->d, x, &ending);
}

/* What one end says of its table is for the blocks of the other, from when that acknowledges it. */
static void settings_came(const struct arrived *a)
{
    struct http2_decoder *other = decoder_of(&a->d->talk->way[a->part->direction == 'r']);
    bool says = a->part->body != FRAME_UNSAID;
    if (other)
        http2_decoder_settings(other, says, a->part->number, says ? (uint32_t)a->part->body : 0);
}

static void part_came(const struct arrived *a, const uint8_t *bytes, size_t length)
{
    switch (a->part->what) {
    case FRAME_HEAD:
        head_part(a, bytes, length);
        break;
    case FRAME_LOST:
        head_void(a->way);
        a->way->lost = a->part->protocol == PROTOCOL_HTTP2;
        break;
    case FRAME_RESET:
        stream_reset(a);
        break;
    case FRAME_SETTINGS:
        settings_came(a);
        break;
    case FRAME_SETTLED:
        if (a->way->decoder)
            http2_decoder_settled(a->way->decoder);
        break;
    case FRAME_BODY:
        body_came(a);
        if (a->part->flags & FRAME_HEAD_END)
            head_part(a, bytes, 0);
        break;
    default:
        break;
    }
    if (a->part->flags & FRAME_END)
        message_ended(a);
}

void message_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    struct message_part part;
    if (r->payload < sizeof(part)) {
        f->drops[DROP_INVALID]++;
        return;
    }
    memcpy(&part, payload, sizeof(part));
    struct descriptor *found = descriptor_make(f, r->fd, r->generation, r->kind);
    struct talk *t = found ? talk_of(found) : NULL;
    if (!t || part.side > SIDE_RESPONSE) {
        f->drops[t ? DROP_INVALID : DROP_STATE]++;
        return;
    }
    struct talk_way *w = &t->way[part.direction == 'w'];
    struct arrived a = {f, found, r, &part, w, tid};
    if (part.sequence != w->sequence + 1) {
        head_void(w);
        if (part.protocol == PROTOCOL_HTTP2 && w->sequence)
            w->lost = true;
    }
    w->sequence = part.sequence;
    if (w->lost) {
        if (part.flags & FRAME_FIRST)
            f->drops[DROP_FLOW]++;
        return;
    }
    part_came(&a, payload + sizeof(part), r->payload - sizeof(part));
}

/* ------------------------------------------------------------------ TLS, the end */

void tls_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    struct tls_handshake head;
    (void)tid;
    if (r->payload < sizeof(head))
        return;
    memcpy(&head, payload, sizeof(head));
    struct descriptor *found = descriptor_make(f, r->fd, r->generation, r->kind);
    struct talk *t = found ? talk_of(found) : NULL;
    if (!t)
        return;
    if (found->description->connection)
        found->description->connection->tls_seen = true;
    size_t room = r->payload - sizeof(head);
    size_t n = head.name_length < room ? head.name_length : room;
    t->tls = head;
    t->tls_version_known = head.version != 0;
    t->tls_start = r->start;
    t->tls_end = r->end;
    t->tls_result = r->result;
    free(t->tls_name);
    t->tls_name = n ? strndup((const char *)payload + sizeof(head), n) : NULL;
}

void talk_end(struct fold *f, struct descriptor *d, uint64_t ticks, bool exit)
{
    struct talk *t = d->talk;
    while (t && t->first) {
        struct ending ending = {.how = exit ? ENDED_EXIT : ENDED_BY_US, .ticks = ticks};
        const struct connection *c = d->description->connection;
        if (!exit && c && c->ended_by == 'p')
            ending.how = ENDED_BY_PEER;
        exchange_over(f, d, t->first, &ending);
    }
}

void talk_free(struct fold *f, struct talk *t)
{
    if (!t)
        return;
    while (t->first)
        exchange_free(f, t, t->first);
    for (unsigned i = 0; i < 2; i++) {
        free(t->way[i].head);
        if (t->way[i].decoder)
            http2_decoder_free(t->way[i].decoder);
    }
    free(t->tls_name);
    free(t);
}
