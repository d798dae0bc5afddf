/* What the framers find becomes records, and the contexts of threads. */
#include "capture/flow_internal.h"

enum { PART_MAX = RECORD_PAYLOAD_MAX - sizeof(struct message_part) };

static const struct trace_ids no_ids;

/* ------------------------------------------------------------------ the thread's context */

/* The lane's context from here on; all zero: none. */
static void context_set(struct region_head *region, struct lane *lane, const struct trace_ids *ids,
                        int fd, uint32_t generation, uint64_t now)
{
    lane->context = *ids;
    lane->context_number = 0;
    lane->context_children = 0;
    lane->context_since = now;
    lane->context_fd = fd;
    lane->context_generation = generation;
    lane->context_lent = 0;
    lane->context_over = 0;
    lane->context_acted = 0;
    if (trace_is_none(ids))
        return; /* records with number 0 have none */
    uint32_t number = lane->next_context % 65535 + 1;
    lane->next_context = number;
    struct record r = {
        .type = RECORD_CONTEXT, .kind = KIND_NONE, .start = now, .end = now, .fd = -1, .a = number};
    struct piece piece = {ids, sizeof(*ids)};
    if (record_write(region, lane, &r, &piece, 1) == 0)
        lane->context_number = number;
}

static int same_span(const struct trace_ids *a, const struct trace_ids *b)
{
    return !trace_differ(a->span_id, b->span_id, 8) && !trace_differ(a->trace_id, b->trace_id, 16);
}

static void context_become(struct flow_call *call, const struct trace_ids *ids)
{
    struct lane *lane = call->m->lane;
    if (!(call->region->watch & WATCH_TRACES) || same_span(&lane->context, ids))
        return;
    if (!turn_to(lane, call->m->fd))
        ids = &no_ids;
    context_set(call->region, lane, ids, call->m->fd, call->flow->generation, call->m->end);
}

void trace_leave(struct region_head *region, struct lane *lane)
{
    (void)region;
    lane->context = no_ids;
    lane->context_number = 0;
    lane->context_over = 0;
}

void trace_tell(struct region_head *region, struct lane *lane)
{
    struct trace_ids ids = lane->context;
    if (!trace_is_none(&ids))
        context_set(region, lane, &ids, lane->context_fd, lane->context_generation, ticks_now());
}

/* The request that came on this connection as the span that is named, while it has no whole answer.
 */
static const struct flow *unanswered(int fd, uint32_t generation, const uint8_t span_id[8])
{
    const struct flow *f = flow_place(fd);
    if (!f)
        return NULL;
    int waits = f->state == FLOW_HTTP2 || (f->state == FLOW_HTTP1 && http1_outstanding(&f->http1));
    return f->generation == generation && waits && !trace_differ(f->ids.span_id, span_id, 8) ? f
                                                                                             : NULL;
}

static int outstanding(const struct lane *lane)
{
    const struct flow *f =
        unanswered(lane->context_fd, lane->context_generation, lane->context.span_id);
    return f && !f->drawn;
}

void flow_idle(struct region_head *region, struct lane *lane)
{
    lane->crowd = 0;
    trace_leave(region, lane);
}

void flow_wait(struct region_head *region, struct lane *lane)
{
    if (!outstanding(lane))
        trace_leave(region, lane);
}

/* ------------------------------------------------------------------ requests */

/* The context that a request names in its own bytes; parent_id is its span. */
static int said_parent(const struct flow_call *call, struct trace_ids *said)
{
    const struct flow *f = call->flow;
    int reads = f->state == FLOW_HTTP1 && call->region->watch & WATCH_W3C;
    size_t length = 0;
    const uint8_t *value = reads ? http1_traceparent(&f->http1, &length) : NULL;
    return value && traceparent_parse(value, length, said) == 0;
}

/*
 * Of several that came at once it is not known which one the thread turns to: in one read, or in
 * several (TLS gives its records one by one) without anything being answered, or waited for,
 * between.
 */
static int is_crowd(const struct flow_call *call)
{
    struct flow *f = call->flow;
    const struct lane *lane = call->m->lane;
    uint32_t others = f->state == FLOW_HTTP2 ? __atomic_fetch_add(&f->open, 1, __ATOMIC_RELAXED)
                                             : http1_outstanding(&f->http1) - 1;
    int same = lane->context_fd == call->m->fd && lane->context_generation == f->generation &&
               !trace_is_none(&lane->context) && !lane->context_acted;
    return call->requests > 1 || (others && (same || lane->crowd == f->generation));
}

/* A request that came in begins a span, below the one that its sender named if it did. */
static void server_span(struct flow_call *call, uint32_t number, struct trace_ids *ids)
{
    struct flow *f = call->flow;
    struct trace_ids parent = no_ids;
    int said = said_parent(call, &parent);
    if (!said)
        parent = no_ids;
    trace_begin(call->region, call->m->lane, &parent, ids);
    ids->local = !said && (f->state == FLOW_HTTP2 || call->region->watch & WATCH_B3);
    f->ids = *ids;
    call->requests++;
    int crowd = is_crowd(call);
    call->m->lane->crowd = crowd ? f->generation : 0;
    call->m->lane->turn_fd = -1; /* another on the same connection is another event */
    context_become(call, crowd ? &no_ids : ids);
    call->m->lane->context_stream = number;
}

static int is_passed_on(const struct trace_ids *said, const struct trace_ids *context)
{
    return !trace_differ(said->trace_id, context->trace_id, 16) &&
           !trace_differ(said->parent_id, context->parent_id, 8);
}

/*
 * What a thread connected for is what the first request there is for, whatever an event loop has
 * turned to between; NULL: not known.
 */
static const struct trace_ids *caused(struct region_head *region, const struct flow_bytes *m,
                                      const struct flow_cause *cause)
{
    uint64_t most = region->adopt_ticks;
    if (!cause->tid || cause->tid != m->lane->tid || (most && m->start - cause->since >= most))
        return NULL;
    static const uint8_t none[8];
    const struct flow *f = trace_differ(cause->span_id, none, 8)
                               ? unanswered(cause->fd, cause->generation, cause->span_id)
                               : NULL;
    return f ? &f->ids : NULL;
}

/*
 * Whether a thread connected for a request of which nothing is known any more (of several on one
 * connection of HTTP/2 the latest alone is), and has turned to another one: it is not for that.
 */
static int is_of_another(const struct flow_bytes *m, const struct flow_cause *cause)
{
    const struct lane *lane = m->lane;
    return cause->tid && cause->tid == lane->tid && !trace_is_none(&lane->context) &&
           trace_differ(cause->span_id, lane->context.span_id, 8);
}

int flow_client_parent(struct region_head *region, const struct flow_bytes *m, const struct flow *f,
                       struct trace_ids *parent)
{
    const struct lane *lane = m->lane;
    const struct trace_ids *cause = f ? caused(region, m, &f->cause) : NULL;
    trace_current(region, lane, parent);
    if (cause && !same_span(cause, &lane->context)) {
        *parent = *cause;
        return 1;
    }
    if (!cause && f && is_of_another(m, &f->cause)) {
        *parent = region->process;
        return 0;
    }
    return !trace_is_none(&lane->context) && same_span(parent, &lane->context);
}

static void client_span(struct flow_call *call, struct trace_ids *ids)
{
    struct flow *f = call->flow;
    struct lane *lane = call->m->lane;
    if (f->drawn) { /* and sent */
        f->drawn = 0;
        *ids = f->ids;
    } else {
        struct trace_ids parent, said;
        f->adopted = (uint8_t)flow_client_parent(call->region, call->m, f, &parent);
        /* One that the program put in itself is the parent, but for a proxy that passes on what it
           got. */
        if (said_parent(call, &said) && !(f->adopted && is_passed_on(&said, &parent))) {
            parent = said;
            f->adopted = 0;
        }
        trace_begin(call->region, lane, &parent, ids);
    }
    f->cause.tid = 0;
    if (f->adopted && !trace_differ(ids->parent_id, lane->context.span_id, 8)) {
        lane->context_children++;
        lane->context_acted = 1;
    }
    f->ids = *ids;
}

/* Who reads the rest of a request has turned to it. */
static void body_moves(struct flow_call *call)
{
    const struct flow *f = call->flow;
    if (f->state == FLOW_HTTP1 && call->m->direction == 'r' && !call->requests)
        context_become(call, http1_outstanding(&f->http1) == 1 ? &f->ids : &no_ids);
}

/* Bytes of a response tell what the thread works on: the request that is answered, or the one that
   asked. */
static void response_moves(struct flow_call *call)
{
    struct flow *f = call->flow;
    struct lane *lane = call->m->lane;
    int one = f->state == FLOW_HTTP1 && http1_outstanding(&f->http1) == 1 && !f->drawn &&
              !trace_is_none(&f->ids);
    if (call->m->direction == 'w') {
        int had = same_span(&lane->context, &f->ids);
        if (!one || had)
            return;
        /* in a loop, what comes behind may have been put off by another */
        context_become(call, lane->turns && turn_order != TURN_NEVER ? &no_ids : &f->ids);
        lane->context_lent = !lane->turns;
    } else if (!one || !f->adopted) {
        if (lane->turns)
            context_become(call, &no_ids);
    } else {
        struct trace_ids ids = f->ids;
        __builtin_memcpy(ids.span_id, ids.parent_id, 8);
        __builtin_memset(ids.parent_id, 0, 8);
        context_become(call, &ids);
    }
}

/* ------------------------------------------------------------------ records */

static void part_write(struct flow_call *call, const struct message_part *part,
                       const uint8_t *bytes, size_t length)
{
    const struct flow_bytes *m = call->m;
    struct record r = {.type = RECORD_MESSAGE,
                       .kind = (uint8_t)FD_KIND(m->entry),
                       .start = m->start,
                       .end = m->end,
                       .fd = m->fd,
                       .generation = call->flow->generation,
                       .flags = m->entry & FD_SERVER ? RECORD_SERVER : 0};
    if (call->first_at) {
        r.start = call->first_at;
        if (m->direction == 'r')
            r.end = call->first_at;
    }
    struct piece pieces[2] = {{part, sizeof(*part)}, {bytes, (uint32_t)length}};
    record_write(call->region, m->lane, &r, pieces, 2);
}

static void tell(struct flow_call *call, enum frame_side side, const struct frame_step *step,
                 const struct trace_ids *ids, const uint8_t *bytes)
{
    struct flow *f = call->flow;
    size_t left = step->what == FRAME_HEAD ? step->used : 0;
    uint16_t first = step->flags & FRAME_FIRST,
             last = step->flags & (FRAME_HEAD_END | FRAME_END | FRAME_CUT);
    struct message_part part = {.number = step->number,
                                .body = step->body,
                                .what = step->what,
                                .protocol =
                                    f->state == FLOW_HTTP2 ? PROTOCOL_HTTP2 : PROTOCOL_HTTP1,
                                .side = (uint8_t)side,
                                .direction = (uint8_t)call->m->direction,
                                .tls = f->plain,
                                .messages = step->messages};
    do {
        size_t n = left < PART_MAX ? left : PART_MAX;
        left -= n;
        part.flags =
            (uint16_t)((step->flags & ~(FRAME_FIRST | FRAME_HEAD_END | FRAME_END | FRAME_CUT)) |
                       first | (left ? 0 : last));
        part.ids = left ? no_ids : *ids;
        part.sequence = ++f->sequence[call->way];
        part_write(call, &part, bytes, n);
        bytes += n;
        first = 0;
    } while (left);
}

static int is_request_head(enum frame_side side, const struct frame_step *step)
{
    return side == SIDE_REQUEST &&
           (step->flags & (FRAME_HEAD_END | FRAME_TRAILER)) == FRAME_HEAD_END;
}

/* A flow that begins anew in another protocol: h2c, or one that is not read. */
static void upgraded(struct flow *f)
{
    words_clear(&f->http1, sizeof(f->http1));
    words_clear(&f->http2, sizeof(f->http2));
    f->state = FLOW_NEW;
    f->first[0].length = f->first[1].length = 0;
    f->requests = 0;
    f->lost[0] &= LOST_ORDER;
    f->lost[1] &= LOST_ORDER;
    f->ids = no_ids;
    f->drawn = f->line_left = 0;
}

/*
 * A pool's thread that answered for another may take up anything now. (One with an event loop goes
 * back to it, and may write a line of the request before.)
 */
static void answered(struct flow_call *call)
{
    struct lane *lane = call->m->lane;
    if (lane->context_lent && !lane->turns && same_span(&lane->context, &call->flow->ids))
        lane->context_over = 1;
}

/* HTTP/2: an answer that is given to another request than the one that is worked on. */
static void stream_moves(struct flow_call *call, uint32_t stream)
{
    struct lane *lane = call->m->lane;
    if (call->m->direction == 'w' && lane->context_fd == call->m->fd &&
        lane->context_generation == call->flow->generation && lane->context_stream != stream)
        trace_leave(call->region, lane);
}

/* One that is reset behind its end is counted twice: never below nothing. */
static void stream_ends(struct flow *f)
{
    uint32_t open = __atomic_load_n(&f->open, __ATOMIC_RELAXED);
    while (open && !__atomic_compare_exchange_n(&f->open, &open, open - 1, 0, __ATOMIC_RELAXED,
                                                __ATOMIC_RELAXED))
        ;
}

static void found(struct flow_call *call, enum frame_side side, const struct frame_step *step,
                  const uint8_t *bytes)
{
    struct flow *f = call->flow;
    struct trace_ids ids = no_ids;
    if (is_request_head(side, step)) {
        if (call->m->direction == 'r')
            server_span(call, step->number, &ids);
        else
            client_span(call, &ids);
    }
    if (side == SIDE_RESPONSE && step->flags & FRAME_END)
        answered(call);
    if (f->state == FLOW_HTTP2 && side == SIDE_RESPONSE && step->number)
        stream_moves(call, step->number);
    if (step->what == FRAME_RESET ||
        (f->state == FLOW_HTTP2 && side == SIDE_RESPONSE && step->flags & FRAME_END))
        stream_ends(f);
    if (side == SIDE_REQUEST && step->what == FRAME_BODY && step->used)
        body_moves(call);
    if (step->what == FRAME_LOST) {
        if (f->lost[call->way] & LOST_TOLD)
            return;
        __atomic_fetch_or(&f->lost[call->way], LOST_TOLD, __ATOMIC_RELAXED);
        drop_count(call->region, DROP_FLOW, 1);
    }
    if (step->what != FRAME_BODY || step->flags & (FRAME_END | FRAME_HEAD_END) || step->body)
        tell(call, side, step, &ids, bytes);
}

static enum frame_side side_of(const struct flow_call *call)
{
    return call->flow->requests == call->m->direction ? SIDE_REQUEST : SIDE_RESPONSE;
}

uint64_t flow_feed(struct flow_call *call, const uint8_t *bytes, uint64_t length)
{
    struct flow *f = call->flow;
    enum frame_side side = side_of(call);
    uint64_t done = 0;

    if (f->state == FLOW_HTTP2 && !bytes) { /* nobody knows what went by */
        __atomic_fetch_or(&f->lost[call->way], LOST_ORDER, __ATOMIC_RELAXED);
        drop_count(call->region, DROP_FLOW, 1);
        return length;
    }
    if (side == SIDE_RESPONSE)
        response_moves(call);
    while (done < length) {
        struct frame_step step = {0};
        const uint8_t *at = bytes ? bytes + done : NULL;
        if (f->state == FLOW_HTTP2)
            http2_step(&f->http2, side, at, length - done, &step);
        else
            http1_step(&f->http1, side, at, length - done, &step);
        if (step.what == FRAME_UPGRADED) { /* its bytes are the first of what comes now */
            upgraded(f);
            return done;
        }
        found(call, side, &step, at);
        done += step.used;
        if (!step.used)
            break;
    }
    if (call->m->lane->context_over)
        trace_leave(call->region, call->m->lane);
    return done < length ? length : done;
}

void flow_feed_end(struct flow_call *call)
{
    enum frame_side side = side_of(call);
    struct frame_step step = {0};
    if (http1_end(&call->flow->http1, side, &step))
        found(call, side, &step, NULL);
}
