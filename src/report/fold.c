/*
 * The fold: records and counters in, telemetry out. Hands each record to the part that knows it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/sys.h"
#include "report/fold_trace.h"

/* ------------------------------------------------------------------ names */

const char *op_name(unsigned op)
{
    static const char *const names[OP_COUNT] = {
#define SCOPE_OP_NAME(id, name, class) name,
        SCOPE_OPS(SCOPE_OP_NAME)
#undef SCOPE_OP_NAME
    };
    return op < OP_COUNT ? names[op] : NULL;
}

unsigned op_class(unsigned op)
{
    static const uint8_t classes[OP_COUNT] = {
#define SCOPE_OP_CLASS(id, name, class) class,
        SCOPE_OPS(SCOPE_OP_CLASS)
#undef SCOPE_OP_CLASS
    };
    return op < OP_COUNT ? classes[op] : CLASS_OTHER;
}

const char *kind_name(unsigned kind)
{
    static const char *const names[KIND_COUNT] = {
#define SCOPE_KIND_NAME(id, name) name,
        SCOPE_KINDS(SCOPE_KIND_NAME)
#undef SCOPE_KIND_NAME
    };
    return kind < KIND_COUNT ? names[kind] : NULL;
}

/* ------------------------------------------------------------------ time */

uint64_t fold_nano(const struct fold *f, uint64_t ticks)
{
    return (uint64_t)((unsigned __int128)ticks * f->region->clock.mult >> 32);
}

double fold_seconds(const struct fold *f, uint64_t ticks)
{
    return (double)fold_nano(f, ticks) / 1e9;
}

static uint64_t since(const struct fold *f, uint64_t ticks, uint64_t base)
{
    uint64_t at = f->region->clock.ticks;
    return ticks >= at ? base + fold_nano(f, ticks - at) : base - fold_nano(f, at - ticks);
}

uint64_t fold_unix(const struct fold *f, uint64_t ticks)
{
    return since(f, ticks, f->region->clock.unix_nano);
}

uint64_t fold_mono(const struct fold *f, uint64_t ticks)
{
    return since(f, ticks, f->region->clock.mono_nano);
}

uint64_t fold_now(const struct fold *f)
{
    return f->fixed_now ? f->fixed_now : now_mono();
}

bool rate_allows(struct rate *r, uint32_t limit, uint64_t unix_nano, uint32_t n)
{
    uint64_t second = unix_nano / 1000000000;
    if (!limit)
        return true;
    if (second > r->second) {
        r->second = second;
        r->count = 0;
    }
    if (r->count + n > limit && r->count)
        return false;
    r->count += n;
    return true;
}

/* ------------------------------------------------------------------ life */

static enum http_contexts contexts_read(const struct conf *c)
{
    bool w3c = false, b3 = false;
    for (size_t i = 0; i < c->propagators.count; i++) {
        w3c |= !strcmp(c->propagators.items[i], "tracecontext");
        b3 |= !strncmp(c->propagators.items[i], "b3", 2);
    }
    if (w3c)
        return b3 ? HTTP_CONTEXT_W3C_B3 : HTTP_CONTEXT_W3C;
    return b3 ? HTTP_CONTEXT_B3 : HTTP_CONTEXT_NONE;
}

static void filters_make(struct fold *f)
{
    const struct conf *c = f->conf;
    f->contexts = contexts_read(c);
    f->filter_file =
        filter_new(&c->events_file.include, &c->events_file.exclude, "events.file", &f->troubles);
    f->filter_connection = filter_new(&c->events_connection.include, &c->events_connection.exclude,
                                      "events.connection", &f->troubles);
    f->filter_name =
        filter_new(&c->events_name.include, &c->events_name.exclude, "events.name", &f->troubles);
    f->filter_process = filter_new(&c->events_process.include, &c->events_process.exclude,
                                   "events.process", &f->troubles);
    f->filter_lines = filter_new(&c->logs_include, &c->logs_exclude, "logs", &f->troubles);
}

static void filters_free(struct fold *f)
{
    filter_free(f->filter_file);
    filter_free(f->filter_connection);
    filter_free(f->filter_name);
    filter_free(f->filter_process);
    filter_free(f->filter_lines);
}

struct fold *fold_new(const struct conf *conf, struct region_head *region, int32_t pid)
{
    struct fold *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->conf = conf;
    f->region = region;
    f->pid = pid;
    f->self = pid == (int32_t)sys(getpid);
    f->started = now_unix();
    f->closing_end = &f->closing;
    f->ready_end = &f->ready;
    if (metrics_init(f) < 0) {
        free(f);
        return NULL;
    }
    filters_make(f);
    return f;
}

void fold_free(struct fold *f)
{
    if (!f)
        return;
    descriptors_free(f);
    traces_free(f);
    names_free(f);
    ready_free(f);
    metrics_free(f);
    process_free(f);
    resource_free(f);
    filters_free(f);
    trouble_take(&f->troubles, NULL, NULL);
    free(f);
}

void fold_set_conf(struct fold *f, const struct conf *conf)
{
    filters_free(f);
    f->conf = conf;
    f->series.limit = conf->cardinality_limit > 1 ? conf->cardinality_limit : 2;
    filters_make(f);
    if (!f->region->sandboxed) /* what was read then cannot be read again */
        resource_free(f);      /* attributes and tags may have changed */
    struct event *e = event_begin(f, "scope.configuration", &scope_self, 0, 0);
    e->record.time = now_unix();
    ready_put(f, e);
}

void fold_troubles(struct fold *f, conf_report *report, void *context)
{
    trouble_take(&f->troubles, report, context);
}

void fold_note_drop(struct fold *f, enum drop cause, uint64_t n)
{
    if (cause < DROP_COUNT)
        f->drops[cause] += n;
}

/* ------------------------------------------------------------------ in and out */

static bool makes_sense(const struct record *r)
{
    return r->type < RECORD_TYPES && r->op < OP_COUNT && r->kind < KIND_COUNT &&
           r->payload <= RECORD_PAYLOAD_MAX;
}

void fold_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    struct record mended;
    if (!makes_sense(r)) {
        f->drops[DROP_INVALID]++;
        return;
    }
    if (r->end < r->start) { /* the counters of two processors may differ by a hair */
        mended = *r;
        mended.start = r->end;
        r = &mended;
    }
    if (r->end > f->last_ticks)
        f->last_ticks = r->end;
    process_started(f, fold_unix(f, r->start));
    switch (r->type) {
    case RECORD_OPEN:
    case RECORD_CLOSE:
    case RECORD_TOTALS:
    case RECORD_DUP:
    case RECORD_PIPE:
    case RECORD_SEEN:
    case RECORD_MMAP:
        descriptor_record(f, r, payload, tid);
        break;
    case RECORD_PATH:
        path_record(f, r, payload, tid);
        break;
    case RECORD_SOCKET:
    case RECORD_BIND:
    case RECORD_LISTEN:
    case RECORD_ACCEPT:
    case RECORD_CONNECT:
    case RECORD_CONNECTED:
    case RECORD_SHUTDOWN:
    case RECORD_PEER:
    case RECORD_END:
        connection_record(f, r, payload, tid);
        break;
    case RECORD_CONTEXT:
        context_record(f, r, payload, tid);
        break;
    case RECORD_MESSAGE:
        message_record(f, r, payload, tid);
        break;
    case RECORD_OPERATION:
        operation_record(f, r, payload, tid);
        break;
    case RECORD_TLS:
        tls_record(f, r, payload, tid);
        break;
    case RECORD_NAME:
    case RECORD_DNS:
        name_record(f, r, payload, tid);
        break;
    case RECORD_DATA:
    case RECORD_SYSLOG:
        stream_record(f, r, payload, tid);
        break;
    default:
        process_record(f, r, payload, tid);
        break;
    }
}

size_t fold_logs(struct fold *f, bool final, size_t max, struct arena *arena, struct batch *batch)
{
    if (!f->pass_begun) { /* the caller comes back until there is nothing left */
        f->pass_begun = true;
        process_started(f, f->started);
        descriptors_settle(f, final);
        names_settle(f, final);
        streams_tick(f, final);
        if (final)
            descriptors_exit(f);
    }
    size_t n = ready_take(f, max, arena, batch);
    if (!n)
        f->pass_begun = false;
    return n;
}
