/* Finds where a traceparent may stand in a request that goes out, and keeps what is left of it. */
#include "capture/inject.h"

#include "capture/flow_internal.h"
#include "capture/http1_internal.h"

/* ------------------------------------------------------------------ the head */

/* Fields that make a request one to be left alone. "x-b3-" stands for all that begin with it. */
static const char fields[][12] = {"traceparent", "tracestate", "upgrade", "b3", "x-b3-"};
enum { FIELDS = sizeof(fields) / sizeof(fields[0]), PREFIX = FIELDS - 1 };

static int is_alone(const uint8_t *name, uint32_t length)
{
    for (unsigned i = 0; i < FIELDS; i++) {
        uint32_t n = 0;
        while (fields[i][n] && n < length && http1_token[name[n]] == (uint8_t)fields[i][n])
            n++;
        if (!fields[i][n] && (n == length || i == PREFIX))
            return 1;
    }
    return 0;
}

/* The offset behind the request line; 0: it is none. */
static uint32_t request_line(const uint8_t *bytes, uint32_t length)
{
    static const char version[] = " HTTP/1.";
    uint32_t at = 0;

    if (http1_sniff(bytes, length) != 1)
        return 0;
    if (bytes[0] == 'C' && bytes[2] == 'N') /* CONNECT, not COPY */
        return 0;
    while (bytes[at] != ' ')
        at++;
    uint32_t target = ++at;
    while (at < length && bytes[at] > ' ' && bytes[at] != 0x7f)
        at++;
    if (at == target || length - at < 11)
        return 0;
    for (unsigned i = 0; i < 8; i++) {
        if (bytes[at + i] != (uint8_t)version[i])
            return 0;
    }
    at += 8;
    if ((bytes[at] != '0' && bytes[at] != '1') || bytes[at + 1] != '\r' || bytes[at + 2] != '\n')
        return 0;
    return at + 3;
}

/* The offset behind the field line that begins at `at`; 0: it is none, or one to be left alone. */
static uint32_t field_line(const uint8_t *bytes, uint32_t at, uint32_t length)
{
    uint32_t name = at;

    while (at < length && http1_token[bytes[at]])
        at++;
    if (at == name || at == length || bytes[at] != ':' || is_alone(bytes + name, at - name))
        return 0;
    for (at++; at < length && bytes[at] != '\r'; at++) {
        if ((bytes[at] < ' ' && bytes[at] != '\t') || bytes[at] == 0x7f)
            return 0;
    }
    return length - at >= 2 && bytes[at + 1] == '\n' ? at + 2 : 0;
}

uint32_t inject_place(const uint8_t *bytes, uint64_t length)
{
    uint32_t end = length < INJECT_HEAD_MAX ? (uint32_t)length : INJECT_HEAD_MAX;
    uint32_t at = end ? request_line(bytes, end) : 0;

    for (unsigned i = 0; at && i <= INJECT_FIELDS_MAX; i++) {
        if (end - at >= 2 && bytes[at] == '\r')
            return bytes[at + 1] == '\n' ? at : 0;
        at = field_line(bytes, at, end);
    }
    return 0;
}

void inject_line(const struct trace_ids *ids, uint8_t line[INJECT_LINE])
{
    bytes_copy(line, (const uint8_t *)"traceparent: ", 13);
    traceparent_print(ids, line + 13);
    line[INJECT_LINE - 2] = '\r';
    line[INJECT_LINE - 1] = '\n';
}

/* ------------------------------------------------------------------ the flow */

/* Whether the conversation, as far as it is read, begins with the next bytes. */
static int begins(const struct flow *f, int plain)
{
    if (!f || (plain && !f->plain)) /* what went by so far was ciphertext */
        return 1;
    return f->state == FLOW_NEW && f->plain == plain && !f->first[0].length && !f->first[1].length;
}

int flow_may_inject(const struct flow_bytes *m, int plain)
{
    const uint32_t never = FD_SERVER | FD_IGNORED | FD_LISTENS | FD_ENDED;
    unsigned kind = FD_KIND(m->entry);

    if ((kind != KIND_TCP && kind != KIND_UNIX_STREAM) || m->entry & never || !flow_place(m->fd) ||
        !(m->entry & FD_DIALED) || !FD_GENERATION(m->entry) || m->lane->context.local)
        return 0;
    const struct flow *f = flow_now(m);
    if (f && f->ahead) /* the flow has had these bytes */
        return 0;
    if (begins(f, plain))
        return 1;
    return f->state == FLOW_HTTP1 && f->plain == plain && f->requests == 'w' && !f->lost[1] &&
           !f->drawn && !f->line_left && !__atomic_load_n(&f->busy[1], __ATOMIC_RELAXED) &&
           http1_stays(&f->http1);
}

/*
 * Whether the framer, too, will find a whole head in these bytes, and nothing before it: else there
 * would be a line on the way whose ids no span has.
 */
static int is_found(const struct flow_bytes *m, const uint8_t *head, uint32_t length, int plain)
{
    const struct flow *f = flow_now(m);
    struct http1_frame copy;
    struct frame_step step = {0};

    if (begins(f, plain))
        words_clear(&copy, sizeof(copy));
    else
        bytes_copy((uint8_t *)&copy, (const uint8_t *)&f->http1, sizeof(copy));
    http1_step(&copy, SIDE_REQUEST, head, length, &step);
    return step.what == FRAME_HEAD && step.used == length &&
           (step.flags & (FRAME_FIRST | FRAME_HEAD_END | FRAME_CUT)) ==
               (FRAME_FIRST | FRAME_HEAD_END);
}

uint32_t flow_inject(struct region_head *region, const struct flow_bytes *m, const uint8_t *bytes,
                     uint64_t length, int plain, struct trace_ids *ids)
{
    struct trace_ids parent;
    uint32_t place = inject_place(bytes, length);

    if (!place || !is_found(m, bytes, place + 2, plain))
        return 0;
    flow_client_parent(region, m, flow_now(m), &parent);
    if (parent.local)
        return 0;
    trace_begin(region, m->lane, &parent, ids);
    return place;
}

void flow_injected(struct region_head *region, const struct flow_bytes *m,
                   const struct trace_ids *ids)
{
    struct flow *f = flow_of(region, m);
    struct trace_ids parent;
    if (!f)
        return;
    f->adopted = (uint8_t)flow_client_parent(region, m, f, &parent);
    f->ids = *ids;
    f->line_left = 0;
    f->drawn = 1;
}

void flow_not_injected(const struct flow_bytes *m)
{
    struct flow *f = flow_now(m);
    if (f)
        f->drawn = 0;
}

void flow_line_waits(const struct flow_bytes *m, unsigned bytes)
{
    struct flow *f = flow_now(m);
    if (f)
        f->line_left = (uint8_t)bytes;
}

unsigned flow_line_left(const struct flow_bytes *m, uint8_t line[INJECT_LINE])
{
    struct flow *f = flow_now(m);
    unsigned left = f ? f->line_left : 0;

    if (!left || left > INJECT_LINE)
        return 0;
    inject_line(&f->ids, line);
    for (unsigned i = 0; i < left; i++) {
        line[i] = line[INJECT_LINE - left + i];
        compiler_barrier(); /* or the compiler calls memmove for the loop */
    }
    return left;
}

void flow_line_sent(const struct flow_bytes *m, unsigned bytes)
{
    struct flow *f = flow_now(m);
    if (f)
        f->line_left = (uint8_t)(bytes < f->line_left ? f->line_left - bytes : 0);
}
