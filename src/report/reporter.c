/*
 * The reporter's loop body: from the rings to the sinks' queues and out, and when to do it next.
 */
#include "report/reporter.h"

#include <stdlib.h>
#include <string.h>

#include "report/diagnostics.h"
#include "report/status.h"

enum {
    SINKS = 2,
    LOGS_AT_ONCE = 256,         /* records of one batch */
    RECORDS_BETWEEN_LOGS = 512, /* what the fold may hold ready, whatever a burst brings */
    ARENA_LIMIT = 16 << 20,
    LINE_BUDGET = 4096, /* bytes of log data that capture may copy for each line that may pass */
};

static const uint64_t SECOND = 1000000000u;
static const uint64_t FLUSH_TIME = 200000000u; /* the rings fill meanwhile: no longer */

struct sink {
    const struct sink_encoder *encoder; /* NULL: not configured */
    struct queue *queue;
    enum temporality temporality;
    bool logs;
    const char *reason; /* the last one that diagnostics were told */
};

struct reporter {
    struct reporter_options options;
    int32_t pid;
    struct drain *drain;
    struct fold *fold;
    struct arena *arena;
    struct sink sinks[SINKS];
    uint64_t next_logs, next_metrics; /* CLOCK_MONOTONIC ns */
    uint64_t deadline;                /* of the turn under way */
    unsigned taken;                   /* records since log records were last collected */
    bool insist;
    uint32_t notes; /* 1 << enum note, for each that was met */
    size_t told_waiting; /* what the last final pass said was left */
};

void (*reporter_sweep)(void);

/* ------------------------------------------------------------------ sinks */

static enum temporality sink_temporality(const struct sink_encoder *encoder,
                                         const struct conf *conf)
{
    /* StatsD has no other. */
    if (encoder == &statsd_encoder || conf->temporality == TEMPORALITY_AUTO)
        return encoder->temporality;
    return conf->temporality == TEMPORALITY_PREFER_DELTA ? TEMPORALITY_DELTA
                                                         : TEMPORALITY_CUMULATIVE;
}

static void sink_open(struct reporter *r, struct sink *s, const struct sink_encoder *encoder,
                      const char *to, bool logs)
{
    const struct conf *conf = r->options.conf;
    const char *error = NULL;

    *s = (struct sink){0};
    if (!to || !*to)
        return;
    s->queue =
        queue_new(encoder, to, conf, r->options.saved_stdout, r->options.saved_stderr, &error);
    if (!s->queue) {
        diagnostics(DIAGNOSTICS_ERROR, "%s sink: %s: %s", encoder->name, to,
                    error ? error : "no memory");
        return;
    }
    s->encoder = encoder;
    s->logs = logs;
    s->temporality = sink_temporality(encoder, conf);
}

static void sinks_open(struct reporter *r)
{
    sink_open(r, &r->sinks[0], &ndjson_encoder, r->options.conf->ndjson_to, true);
    sink_open(r, &r->sinks[1], &statsd_encoder, r->options.conf->statsd_to, false);
}

static void sinks_close(struct reporter *r)
{
    for (unsigned i = 0; i < SINKS; i++) {
        if (r->sinks[i].queue)
            queue_free(r->sinks[i].queue);
        r->sinks[i] = (struct sink){0};
    }
}

static void sink_put(struct reporter *r, struct sink *s, const struct batch *batch)
{
    uint64_t dropped = queue_put(s->queue, batch);

    if (dropped)
        fold_note_drop(r->fold, DROP_QUEUE_FULL, dropped);
}

static void sink_flush(struct reporter *r, struct sink *s, uint64_t deadline)
{
    uint64_t failed = 0;

    bool done = queue_flush(s->queue, deadline, r->insist, &failed);
    if (failed)
        fold_note_drop(r->fold, DROP_SINK_FAILED, failed);
    if (done && !failed) {
        if (s->reason)
            diagnostics(DIAGNOSTICS_INFO, "%s sink: delivers again", s->encoder->name);
        s->reason = NULL;
    } else if (!s->reason) {
        const char *reason = queue_reason(s->queue);
        s->reason = "away";
        diagnostics(DIAGNOSTICS_WARN, "%s sink: %s", s->encoder->name,
                    reason && *reason ? reason : "does not take what it is sent");
    }
}

/* Each sink gets its share of the time that is left, so that one that hangs starves no other. */
static void sinks_flush(struct reporter *r)
{
    for (unsigned i = 0; i < SINKS; i++) {
        struct sink *s = &r->sinks[i];
        if (!s->queue)
            continue;
        unsigned left = 0;
        for (unsigned j = i; j < SINKS; j++)
            left += r->sinks[j].queue != NULL;
        uint64_t now = now_mono();
        uint64_t share = r->deadline > now ? (r->deadline - now) / left : 0;
        sink_flush(r, s, now + share);
    }
}

static size_t sinks_waiting(const struct reporter *r)
{
    size_t n = 0;

    for (unsigned i = 0; i < SINKS; i++) {
        if (r->sinks[i].queue)
            n += queue_items(r->sinks[i].queue);
    }
    return n;
}

/* ------------------------------------------------------------------ logs and metrics */

static void put_logs(struct reporter *r, bool final)
{
    struct batch batch;

    r->taken = 0;
    for (;;) {
        arena_reset(r->arena);
        if (!fold_logs(r->fold, final, LOGS_AT_ONCE, r->arena, &batch))
            break;
        for (unsigned i = 0; i < SINKS; i++) {
            struct sink *s = &r->sinks[i];
            if (!s->queue || !s->logs)
                continue;
            sink_put(r, s, &batch);
            /*
             * A burst is larger than a queue: what can go, goes now. A sink that takes it gets the
             * time that it needs, though the turn lasts longer: better than to drop what would go.
             */
            if (batch.count == LOGS_AT_ONCE)
                sink_flush(r, s, r->insist ? r->deadline : now_mono() + FLUSH_TIME);
        }
    }
    arena_reset(r->arena);
}

static void put_metrics(struct reporter *r, bool final)
{
    struct batch batch;

    if (!r->options.conf->metrics)
        return;
    for (unsigned i = 0; i < SINKS; i++) {
        struct sink *s = &r->sinks[i];
        if (!s->queue)
            continue;
        /* Logs before: what they fill should be gone before the counts come. */
        if (!queue_is_light(s->queue))
            sink_flush(r, s, r->deadline);
        uint64_t left_out = 0;
        arena_reset(r->arena);
        if (!fold_metrics(r->fold, i, s->temporality, final, r->arena, &batch))
            continue;
        bool taken = queue_put_whole(s->queue, &batch, &left_out);
        if (!taken && queue_items(s->queue)) {
            sink_flush(r, s, r->deadline);
            taken = queue_put_whole(s->queue, &batch, &left_out);
        }
        if (taken)
            fold_metrics_taken(r->fold, i, s->temporality);
        if (left_out)
            fold_note_drop(r->fold, DROP_SINK_FAILED, left_out);
    }
    arena_reset(r->arena);
}

static void take_record(void *context, const struct record *record, const uint8_t *payload,
                        int32_t tid)
{
    struct reporter *r = context;

    if (record->type == RECORD_NOTE && record->a < 32)
        r->notes |= 1u << record->a;
    fold_record(r->fold, record, payload, tid);
    if (++r->taken >= RECORDS_BETWEEN_LOGS)
        put_logs(r, false);
}

/* ------------------------------------------------------------------ a turn */

static void refill_log_budget(struct reporter *r)
{
    const struct conf *conf = r->options.conf;
    uint64_t line = conf->logs_line_max < LINE_BUDGET ? conf->logs_line_max : LINE_BUDGET;
    uint64_t budget = UINT64_MAX / 2;

    if (conf->logs_rate)
        budget = conf->logs_rate * line;
    __atomic_store_n(&r->options.region->log_budget, budget, __ATOMIC_RELAXED);
}

/* The next time of something that is due every `interval`, without catching up on missed ones. */
static uint64_t next_time(uint64_t last, uint64_t interval, uint64_t now)
{
    if (interval < SECOND / 100)
        interval = SECOND / 100;
    return last + interval > now ? last + interval : now + interval;
}

static uint64_t next_turn(const struct reporter *r, uint64_t now)
{
    uint64_t due = r->next_logs;

    if (r->options.conf->metrics && r->next_metrics < due)
        due = r->next_metrics;
    for (unsigned i = 0; i < SINKS; i++) {
        if (!r->sinks[i].queue)
            continue;
        uint64_t t = queue_due(r->sinks[i].queue);
        if (t < due)
            due = t;
    }
    /* Whatever a queue says, we do not spin. */
    return due > now + SECOND / 1000 ? due : now + SECOND / 1000;
}

uint64_t reporter_pass(struct reporter *r, unsigned flags, uint64_t deadline, size_t *rest)
{
    const struct conf *conf = r->options.conf;
    bool final = flags & PASS_FINAL;
    uint64_t now = now_mono();
    bool logs = final || now >= r->next_logs;
    bool metrics = final || now >= r->next_metrics;

    r->deadline = final || deadline < now + FLUSH_TIME ? deadline : now + FLUSH_TIME;
    r->insist = final;
    if (metrics && !final && reporter_sweep)
        reporter_sweep();
    /* With `reclaim` the lanes' own totals of descriptors come too: at the end they must. */
    drain_run(r->drain, logs || drain_is_tight(r->drain), take_record, r);
    if (logs) {
        refill_log_budget(r);
        r->next_logs = next_time(r->next_logs, conf->events_interval, now);
        put_logs(r, final && !(flags & PASS_KEEP_LINES));
        fold_troubles(r->fold, diagnostics_trouble, NULL);
    }
    if (metrics) {
        r->next_metrics = next_time(r->next_metrics, conf->metrics_interval, now);
        put_metrics(r, final);
    }
    sinks_flush(r);
    size_t waiting = sinks_waiting(r);
    /* Nobody is left to export this count: where troubles are told, it is told. */
    if (final && waiting && waiting != r->told_waiting)
        diagnostics(DIAGNOSTICS_WARN, "%zu items still wait for a sink at the end: exit_bound", waiting);
    r->told_waiting = final ? waiting : 0;
    if (rest)
        *rest = waiting;
    return next_turn(r, now_mono());
}

bool reporter_is_tight(const struct reporter *r)
{
    return drain_is_tight(r->drain);
}

/* ------------------------------------------------------------------ life */

struct reporter *reporter_new(const struct reporter_options *options, int32_t pid)
{
    struct reporter *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->options = *options;
    r->pid = pid;
    r->arena = arena_new(ARENA_LIMIT);
    r->drain = drain_new(options->region);
    r->fold = fold_new(options->conf, options->region, pid);
    if (!r->arena || !r->drain || !r->fold) {
        reporter_free(r);
        return NULL;
    }
    sinks_open(r);
    uint64_t now = now_mono();
    r->next_logs = now + options->conf->events_interval;
    r->next_metrics = now + options->conf->metrics_interval;
    refill_log_budget(r);
    return r;
}

void reporter_prepare(struct reporter *r)
{
    for (unsigned i = 0; i < SINKS; i++) {
        if (r->sinks[i].queue)
            queue_prepare(r->sinks[i].queue);
    }
}

void reporter_free(struct reporter *r)
{
    if (!r)
        return;
    sinks_close(r);
    if (r->fold)
        fold_free(r->fold);
    if (r->drain)
        drain_free(r->drain);
    if (r->arena)
        arena_free(r->arena);
    free(r);
}

void reporter_free_copy(struct reporter *r)
{
    if (!r)
        return;
    for (unsigned i = 0; i < SINKS; i++) {
        if (r->sinks[i].queue)
            queue_after_fork(r->sinks[i].queue);
    }
    reporter_free(r);
}

void reporter_close_sinks(struct reporter *r, bool force)
{
    size_t waiting = sinks_waiting(r);

    /* A sink that waits for its peer has no connection to close. */
    if (waiting && !force)
        return;
    if (waiting)
        fold_note_drop(r->fold, DROP_QUEUE_FULL, waiting);
    sinks_close(r);
    sinks_open(r);
}

void reporter_set_conf(struct reporter *r, const struct conf *conf)
{
    uint64_t now = now_mono();
    size_t lost;

    r->deadline = now + FLUSH_TIME;
    r->insist = true;
    put_logs(r, false);
    sinks_flush(r);
    lost = sinks_waiting(r);
    if (lost)
        fold_note_drop(r->fold, DROP_QUEUE_FULL, lost);
    sinks_close(r);
    r->options.conf = conf;
    fold_set_conf(r->fold, conf);
    sinks_open(r);
    r->next_logs = now + conf->events_interval;
    r->next_metrics = now + conf->metrics_interval;
}

/* ------------------------------------------------------------------ what it says of itself */

static void sink_status(const struct sink *s, const char *name, const char *to,
                        struct status_sink *out)
{
    *out = (struct status_sink){.name = name, .to = to, .state = SINK_BROKEN};
    if (!s->queue)
        return;
    out->queued = queue_items(s->queue);
    out->sent = queue_sent(s->queue);
    out->state = s->reason ? SINK_AWAY : out->sent ? SINK_OK : SINK_IDLE;
    if (s->reason)
        out->reason = queue_reason(s->queue);
}

void reporter_status(const struct reporter *r, struct status *s)
{
    const struct conf *conf = r->options.conf;
    const char *to[SINKS] = {conf->ndjson_to, conf->statsd_to};
    const char *names[SINKS] = {ndjson_encoder.name, statsd_encoder.name};

    _Static_assert((int)SINKS == (int)STATUS_SINKS, "a place for each sink");
    s->sinks = 0;
    for (unsigned i = 0; i < SINKS; i++) {
        if (to[i] && *to[i])
            sink_status(&r->sinks[i], names[i], to[i], &s->sink[s->sinks++]);
    }
    for (unsigned i = 0; i < DROP_COUNT; i++)
        s->drops[i] = fold_dropped(r->fold, (enum drop)i);
    s->notes = r->notes;
    s->configuration = conf->path;
}
