/*
 * Queues: what waits for one sink, in order and bounded, and when it is tried again.
 */
#include "report/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/sys.h"
#include "report/diagnostics.h"
#include "transport/transport.h"

enum {
    STREAM_UNIT = 64 * 1024,
    LINE_MAX = 256 * 1024, /* one line, where the transport has no limit of its own */
    DATAGRAM_MAX = 65507,  /* one line over datagrams: what UDP can carry at all */
    UNIT_ROOM = 12000,     /* of the first unit: what comes next goes with it, in one send */
    METRICS_SHARE = 8,     /* one part in so many of the bound is for metrics alone */
};

#define BACK_OFF_FIRST 500000000ull
#define BACK_OFF_MOST 30000000000ull
/* While a request is under way nobody tells us of its answer: it is looked for. */
#define LOOK_FIRST 2000000ull
#define LOOK_MOST 64000000ull

struct unit {
    struct unit *next;
    size_t items;
    size_t from;       /* the first of them, counted in the batch that they came with */
    bool exposed;      /* a server may have taken it, and did not say so */
    uint64_t tried;    /* when first, CLOCK_MONOTONIC ns; 0: not yet */
    size_t at, length; /* what is left of data: at to length */
    size_t room;       /* of data */
    char data[];
};

struct queue {
    const struct sink_encoder *encoder;
    const struct conf *conf;
    struct queue_options options; /* without what only queue_new borrows */
    struct transport *transport;
    struct unit *first, *last;
    size_t bytes, items;
    size_t room;              /* bytes that what is being put may fill */
    size_t pack;              /* lines go into units of this size; a longer line into its own */
    size_t line_max;          /* what the encoder may make */
    bool separated;           /* newlines stand between lines only: StatsD datagrams */
    size_t put;               /* items of the batch that is being put, so far */
    uint64_t dropped, failed; /* items: at the bound; refused for good */
    uint64_t sent;            /* items */
    unsigned failures;        /* attempts in a row that got nowhere */
    uint64_t next_try;        /* CLOCK_MONOTONIC ns; 0: any time */
    uint64_t look;            /* ns until the next look at what is under way; 0: nothing is */
    uint64_t random;
    char reason[192];
};

static void seed(struct queue *q)
{
    q->random = (now_mono() ^ (uint64_t)(uintptr_t)q ^ (uint64_t)sys(getpid) << 40) | 1;
}

/* How long lines and units may be, and how they are packed. */
static void size_units(struct queue *q)
{
    bool statsd = q->encoder == &statsd_encoder;
    bool datagrams = transport_is_datagram(q->transport);

    q->pack = transport_unit_max(q->transport);
    if (q->pack > STREAM_UNIT)
        q->pack = STREAM_UNIT;
    /* A small queue holds many small units rather than none. */
    if (!datagrams && q->pack > q->conf->memory_queue / 16)
        q->pack = q->conf->memory_queue / 16;
    /* A StatsD line must fit a datagram; an NDJSON line that does not has a bigger one to itself.
     */
    q->line_max = statsd ? q->pack : datagrams ? DATAGRAM_MAX : LINE_MAX;
    if (q->options.unit_max)
        q->line_max = q->options.unit_max;
    q->separated = statsd && datagrams;
}

struct queue *queue_new(const struct queue_options *o, const char **error)
{
    struct address address;
    struct transport_options options = {
        .http = o->http,
        .rotate_bytes = o->conf->ndjson_rotate,
        .rotate_keep = o->conf->ndjson_keep,
        .saved_stdout = o->saved_stdout,
        .saved_stderr = o->saved_stderr,
        .mode = 0600,
    };

    if (address_parse(o->url, &address, error) < 0)
        return NULL;
    struct queue *q = calloc(1, sizeof(*q));
    if (q)
        q->transport = transport_new(&address, &options);
    if (!q || !q->transport) {
        free(q);
        *error = "no memory";
        return NULL;
    }
    bool http = transport_is_http(q->transport);
    if ((o->encoder->whole && !http) || (http && !o->encoder->judge)) {
        *error = http ? "this format does not go over HTTP" : "this format goes over HTTP only";
        queue_free(q);
        return NULL;
    }
    q->encoder = o->encoder;
    q->conf = o->conf;
    q->options = *o;
    q->options.http = NULL;
    q->options.url = NULL;
    size_units(q);
    seed(q);
    return q;
}

void queue_prepare(struct queue *q)
{
    transport_prepare(q->transport);
}

static void pop(struct queue *q)
{
    struct unit *u = q->first;

    q->first = u->next;
    if (!q->first)
        q->last = NULL;
    q->bytes -= sizeof(*u) + u->length;
    q->items -= u->items;
    free(u);
}

void queue_free(struct queue *q)
{
    if (!q)
        return;
    while (q->first)
        pop(q);
    transport_free(q->transport);
    free(q);
}

/* ------------------------------------------------------------------ in */

/* Into the last unit, if that has room and was not tried yet: each send has its price. */
static bool append(struct queue *q, const char *data, size_t length, size_t items)
{
    struct unit *u = q->last;

    if (!u || q->encoder->whole || q->failures || u->at || u->tried ||
        u->room - u->length < length || u->length + length > q->pack || q->bytes + length > q->room)
        return false;
    memcpy(u->data + u->length, data, length);
    u->length += length;
    u->items += items;
    q->bytes += length;
    q->items += items;
    return true;
}

static void add(struct queue *q, const char *data, size_t length, size_t items)
{
    if (q->separated && length && data[length - 1] == '\n')
        length--;
    struct unit *u = NULL;
    size_t room = length;
    size_t from = q->put;
    q->put += items;
    if (q->options.items_max && q->items + items > q->options.items_max) {
        q->dropped += items;
        return;
    }
    if (!transport_is_datagram(q->transport)) {
        if (append(q, data, length, items))
            return;
        if (!q->first && !q->encoder->whole && room < UNIT_ROOM)
            room = UNIT_ROOM;
    }
    if (q->bytes + sizeof(*u) + length <= q->room)
        u = malloc(sizeof(*u) + room);
    if (!u) {
        q->dropped += items;
        return;
    }
    *u = (struct unit){.items = items, .from = from, .length = length, .room = room};
    memcpy(u->data, data, length);
    if (q->last)
        q->last->next = u;
    else
        q->first = u;
    q->last = u;
    q->bytes += sizeof(*u) + length;
    q->items += items;
}

static size_t count_lines(const char *data, size_t length)
{
    const char *end = data + length;
    size_t lines = 0;

    for (const char *p = data; p < end && (p = memchr(p, '\n', (size_t)(end - p))); p++)
        lines++;
    return lines;
}

/* Units bigger than a datagram should be, of one item to a line: as many lines to one as fit. */
static void take_unit(void *context, const void *data, size_t length, size_t items)
{
    struct queue *q = context;
    const char *p = data, *end = p + length;

    if (length <= q->pack || q->encoder->whole || count_lines(p, length) != items) {
        add(q, p, length, items);
        return;
    }
    while (p < end) {
        size_t left = (size_t)(end - p), size = left;
        if (left > q->pack) {
            const char *cut = memrchr(p, '\n', q->pack);
            if (!cut)
                cut = memchr(p, '\n', left);
            size = cut ? (size_t)(cut - p) + 1 : left;
        }
        add(q, p, size, count_lines(p, size));
        p += size;
    }
}

uint64_t queue_put(struct queue *q, const struct batch *batch)
{
    q->dropped = 0;
    q->put = 0;
    q->room = q->conf->memory_queue - q->conf->memory_queue / METRICS_SHARE;
    size_t left_out = q->encoder->encode(batch, q->conf, q->line_max, take_unit, q);
    return q->dropped + left_out;
}

bool queue_put_whole(struct queue *q, const struct batch *batch, uint64_t *left_out)
{
    struct unit *last = q->last, before = last ? *last : (struct unit){0};

    q->dropped = 0;
    q->put = 0;
    q->room = q->first ? q->conf->memory_queue : SIZE_MAX;
    *left_out = q->encoder->encode(batch, q->conf, q->line_max, take_unit, q);
    if (!q->dropped)
        return true;
    /* Some of it did not fit: the rest goes again. */
    struct unit *u = last ? last->next : q->first;
    if (last) {
        q->bytes -= last->length - before.length;
        q->items -= last->items - before.items;
        *last = before; /* it was the last: nothing came behind it */
    } else {
        q->first = NULL;
    }
    q->last = last;
    while (u) {
        struct unit *next = u->next;
        q->bytes -= sizeof(*u) + u->length;
        q->items -= u->items;
        free(u);
        u = next;
    }
    return false;
}

/* ------------------------------------------------------------------ out */

static void keep_reason(struct queue *q)
{
    const char *reason = transport_reason(q->transport);
    size_t length = strnlen(reason, sizeof(q->reason) - 1);

    memcpy(q->reason, reason, length);
    q->reason[length] = '\0';
}

/* Items of the unit at the front are done with: taken (error NULL), or lost for this reason. */
static void settle(struct queue *q, uint64_t items, const char *error)
{
    if (error)
        q->failed += items;
    else
        q->sent += items;
    if (items && q->options.done)
        q->options.done(q->options.context, items, error);
}

/* And so is the whole unit. */
static void end(struct queue *q, const char *error)
{
    if (q->options.ended)
        q->options.ended(q->options.context, now_mono() - q->first->tried, error);
}

static uint64_t longest_back_off(const struct queue *q)
{
    uint64_t most = BACK_OFF_MOST;

    /* What may be tried for a limited time should be tried more than once in it. */
    if (q->options.limit && q->options.limit / 4 < most)
        most = q->options.limit / 4;
    return most > BACK_OFF_FIRST ? most : BACK_OFF_FIRST;
}

/*
 * Half a second, doubled with each failure up to half a minute, give or take a fifth; or what the
 * server asked for, up to half a minute too: one odd header must not stop a queue.
 */
static void back_off(struct queue *q, uint64_t asked)
{
    uint64_t delay = BACK_OFF_FIRST << (q->failures < 6 ? q->failures : 6);
    uint64_t most = longest_back_off(q);

    if (delay > most)
        delay = most;
    if (q->failures < UINT32_MAX)
        q->failures++;
    q->random ^= q->random << 13;
    q->random ^= q->random >> 7;
    q->random ^= q->random << 17;
    delay = delay * 4 / 5 + q->random % (delay * 2 / 5 + 1);
    if (asked)
        delay = asked < BACK_OFF_MOST ? asked : BACK_OFF_MOST;
    q->next_try = now_mono() + delay;
}

/* When the first unit is given up, retries included; UINT64_MAX: never. */
static uint64_t gives_up_at(const struct queue *q)
{
    const struct unit *u = q->first;

    return u && u->tried && q->options.limit ? u->tried + q->options.limit : UINT64_MAX;
}

/* What no server can have taken need not be lost with its unit. */
static bool is_kept(struct queue *q, const struct unit *u)
{
    return !u->exposed && q->options.keep && q->options.keep(q->options.context, u->from, u->items);
}

/* What has been tried for as long as it may be is dropped. */
static void give_up(struct queue *q)
{
    while (now_mono() >= gives_up_at(q)) {
        if (q->look)
            snprintf(q->reason, sizeof(q->reason), "no answer in time");
        q->look = 0;
        if (is_kept(q, q->first))
            q->failed += q->first->items;
        else
            settle(q, q->first->items, "timeout");
        end(q, "timeout");
        pop(q);
    }
}

/* The front of the first unit was taken as whole lines: what is left is sent alone. */
static void trim(struct queue *q, size_t taken)
{
    struct unit *u = q->first;
    size_t before = count_lines(u->data + u->at, u->length - u->at);

    u->at += taken;
    size_t lines = count_lines(u->data + u->at, u->length - u->at);
    /* Where a line is not an item, what cannot be told stays counted as waiting. */
    size_t items = before == u->items || lines < u->items ? lines : u->items;
    q->items -= u->items - items;
    q->sent += u->items - items;
    u->items = items;
}

static void set_reason(struct queue *q, int status, const char *message)
{
    snprintf(q->reason, sizeof(q->reason), "HTTP %d%s%.160s", status, *message ? ": " : "",
             message);
}

/* What a server made of the first unit. 0: done with, -EAGAIN: again later. */
static int judge(struct queue *q, const struct unit *u)
{
    const struct reply *reply = transport_reply(q->transport);
    struct verdict verdict = {.outcome = OUTCOME_REFUSED};
    char status[16];

    q->encoder->judge(reply, &verdict);
    if (verdict.outcome != OUTCOME_TAKEN || verdict.message[0])
        set_reason(q, reply->status, verdict.message);
    else
        q->reason[0] = '\0';
    if (verdict.outcome == OUTCOME_RETRY)
        return -EAGAIN;
    if (verdict.outcome == OUTCOME_REFUSED) {
        snprintf(status, sizeof(status), "%d", reply->status);
        settle(q, u->items, status);
        end(q, status);
        return 0;
    }
    uint64_t rejected = verdict.rejected < u->items ? verdict.rejected : u->items;
    if (verdict.message[0])
        diagnostics(DIAGNOSTICS_WARN, "%s sink: taken, but the server says: %s", q->encoder->name,
                    verdict.message);
    settle(q, rejected, "rejected");
    settle(q, u->items - rejected, NULL);
    end(q, rejected ? "rejected" : NULL);
    return 0;
}

/* One try of the first unit. 0: done with, -EAGAIN: again later, -EINPROGRESS: under way. */
static int try_first(struct queue *q, uint64_t deadline)
{
    struct unit *u = q->first;
    uint64_t now = now_mono();

    if (!u->tried) {
        u->tried = now;
        if (q->options.begun)
            q->options.begun(q->options.context, u->items);
    }
    if (q->options.limit && deadline > u->tried + q->options.limit)
        deadline = u->tried + q->options.limit;
    int r = transport_send(q->transport, u->data + u->at, u->length - u->at, deadline);
    if (r == -EAGAIN || r == -EINPROGRESS) {
        u->exposed |= transport_exposed(q->transport);
        if (r == -EAGAIN)
            keep_reason(q);
        return r;
    }
    if (r < 0) {
        keep_reason(q);
        settle(q, u->items, "refused");
        end(q, "refused");
        return 0;
    }
    if (transport_is_http(q->transport))
        return judge(q, u);
    q->reason[0] = '\0';
    settle(q, u->items, NULL);
    end(q, NULL);
    return 0;
}

/* It is not done with: later, or never. */
static void not_yet(struct queue *q, int r)
{
    if (r == -EINPROGRESS) {
        q->look = q->look ? q->look * 2 : LOOK_FIRST;
        if (q->look > LOOK_MOST)
            q->look = LOOK_MOST;
        q->next_try = now_mono() + q->look;
    } else {
        uint64_t asked = transport_is_http(q->transport) ? transport_retry_after(q->transport) : 0;
        q->look = 0;
        if (transport_moved(q->transport))
            q->failures = 0;
        if (transport_partial(q->transport))
            trim(q, transport_partial(q->transport));
        back_off(q, asked);
    }
}

bool queue_flush(struct queue *q, uint64_t deadline, bool insist, uint64_t *failed)
{
    give_up(q);
    while (q->first && (insist || now_mono() >= q->next_try)) {
        int r = try_first(q, deadline);
        if (r != 0) {
            not_yet(q, r);
            give_up(q);
            break;
        }
        q->look = 0;
        q->failures = 0;
        q->next_try = 0;
        pop(q);
        if (now_mono() >= deadline)
            break;
    }
    if (failed) {
        *failed = q->failed;
        q->failed = 0;
    }
    return !q->first;
}

bool queue_is_under_way(const struct queue *q)
{
    return q->look != 0;
}

bool queue_is_light(const struct queue *q)
{
    return !q->failures && q->bytes <= q->pack / 2;
}

bool queue_is_heavy(const struct queue *q)
{
    return q->bytes > q->conf->memory_queue / 2 ||
           (q->options.items_max && q->items > q->options.items_max / 2);
}

uint64_t queue_due(const struct queue *q)
{
    uint64_t end = gives_up_at(q);

    return !q->first ? UINT64_MAX : q->next_try < end ? q->next_try : end;
}

size_t queue_items(const struct queue *q)
{
    return q->items;
}

size_t queue_inflight(const struct queue *q)
{
    return q->first && q->first->tried ? q->first->items : 0;
}

uint64_t queue_sent(const struct queue *q)
{
    return q->sent;
}

const char *queue_reason(const struct queue *q)
{
    return q->reason;
}

void queue_after_fork(struct queue *q)
{
    while (q->first)
        pop(q);
    transport_after_fork(q->transport);
    q->dropped = q->failed = q->sent = 0;
    q->failures = 0;
    q->next_try = 0;
    q->look = 0;
    q->reason[0] = '\0';
    seed(q); /* or parent and child would come back in step */
}
