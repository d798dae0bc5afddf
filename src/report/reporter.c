/*
 * The reporter's loop body: from the rings to the sinks' queues and out, and when to do it next.
 */
#include "report/reporter.h"

#include <stdlib.h>
#include <string.h>

#include "report/diagnostics.h"
#include "report/sinks.h"
#include "report/status.h"

enum {
    LOGS_AT_ONCE = 256, /* records of one batch */
    ARENA_LIMIT = 16 << 20,
    LINE_BUDGET = 4096, /* bytes of log data that capture may copy for each line that may pass */
};

static const uint64_t SECOND = 1000000000u;
static const uint64_t FLUSH_TIME = 200000000u; /* the rings fill meanwhile: no longer */

struct reporter {
    struct reporter_options options;
    int32_t pid;
    struct drain *drain;
    struct fold *fold;
    struct arena *arena;
    struct sinks sinks;
    uint64_t next_logs; /* CLOCK_MONOTONIC ns */
    uint64_t deadline;  /* of the turn under way */
    unsigned taken;     /* records since log records were last collected */
    bool insist;
    uint32_t notes;      /* 1 << enum note, for each that was met */
    size_t told_waiting; /* what the last final pass said was left */
};

void (*reporter_sweep)(void);

/* ------------------------------------------------------------------ sinks */

/* The next time of something that is due every `interval`, without catching up on missed ones. */
static uint64_t next_time(uint64_t last, uint64_t interval, uint64_t now)
{
    if (interval < SECOND / 100)
        interval = SECOND / 100;
    return last + interval > now ? last + interval : now + interval;
}

/* What gathers for a sink that wants it less often is not due yet. */
static bool gathers(const struct reporter *r, const struct sink *s, uint64_t now)
{
    return !r->insist && now < s->next_flush && queue_items(s->queue) < s->batch;
}

/* Of the time that is left: one part for each sink from the i-th on that has something to send. */
static uint64_t share_of(const struct reporter *r, unsigned i, uint64_t now)
{
    unsigned left = 0;

    for (unsigned j = i; j < SINKS_MAX; j++)
        left += r->sinks.all[j].queue && queue_items(r->sinks.all[j].queue);
    return r->deadline > now ? (r->deadline - now) / (left ? left : 1) : 0;
}

/* Each sink gets its share of the time that is left, so that one that hangs starves no other. */
static void flush_all(struct reporter *r)
{
    for (unsigned i = 0; i < SINKS_MAX; i++) {
        struct sink *s = &r->sinks.all[i];
        uint64_t now = now_mono();
        if (!s->queue || gathers(r, s, now))
            continue;
        if (s->next_flush && now >= s->next_flush)
            s->next_flush = next_time(s->next_flush, s->logs_interval, now);
        sink_flush(s, now + share_of(r, i, now), r->insist);
    }
}

/*
 * A burst is larger than a queue: what can go, goes now. A sink that takes it gets the time that it
 * needs, though the turn lasts longer: better than to drop what would go. At the end there is no
 * more time than there is.
 */
static void flush_burst(struct reporter *r, unsigned i)
{
    uint64_t now = now_mono();

    sink_flush(&r->sinks.all[i], r->insist ? now + share_of(r, 0, now) : now + FLUSH_TIME,
               r->insist);
}

/* ------------------------------------------------------------------ logs and metrics */

/* The next batch of lines or of spans, from the emptied arena; 0: there is none left. */
static size_t next_batch(struct reporter *r, enum signal signal, bool final, struct batch *batch)
{
    arena_reset(r->arena);
    return signal == SIGNAL_LOGS ? fold_logs(r->fold, final, LOGS_AT_ONCE, r->arena, batch)
                                 : fold_spans(r->fold, LOGS_AT_ONCE, r->arena, batch);
}

static void put_batches(struct reporter *r, enum signal signal, bool final)
{
    struct batch batch;

    while (next_batch(r, signal, final, &batch)) {
        for (unsigned i = 0; i < SINKS_MAX; i++) {
            struct sink *s = &r->sinks.all[i];
            if (!sink_takes(s, signal))
                continue;
            sink_put(s, &batch);
            if (batch.count == LOGS_AT_ONCE || queue_is_heavy(s->queue))
                flush_burst(r, i);
        }
    }
    arena_reset(r->arena);
}

static void put_logs_and_spans(struct reporter *r, bool final)
{
    r->taken = 0;
    put_batches(r, SIGNAL_LOGS, final);
    put_batches(r, SIGNAL_TRACES, final);
}

static void put_metrics_of(struct reporter *r, struct sink *s)
{
    struct batch batch;
    uint64_t left_out = 0;

    /* Logs before: what they fill should be gone before the counts come. */
    if (!queue_is_light(s->queue) || (s->keeps && queue_items(s->queue)))
        sink_flush(s, r->deadline, r->insist);
    /* Whether what is on its way gets there is not known yet: what is new waits in the fold. */
    if (s->keeps && queue_items(s->queue) && !r->insist)
        return;
    s->outstanding = false;
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        arena_reset(r->arena);
        if (!fold_metrics(r->fold, s->reader, s->temporality, s->exponential, r->arena, &batch))
            return;
        if (sink_put_metrics(s, &batch, &left_out) || !queue_items(s->queue))
            break;
        /* What this tells the fold is measured too: the batch is made anew. */
        sink_flush(s, r->deadline, r->insist);
    }
    if (left_out)
        fold_note_drop(r->fold, DROP_SINK_FAILED, left_out);
}

static void put_metrics(struct reporter *r, bool final, uint64_t now)
{
    if (!r->options.conf->metrics)
        return;
    for (unsigned i = 0; i < SINKS_MAX; i++) {
        struct sink *s = &r->sinks.all[i];
        if (!sink_takes(s, SIGNAL_METRICS) || (!final && now < s->next_metrics))
            continue;
        s->next_metrics = next_time(s->next_metrics, s->metrics_interval, now);
        sinks_tell(&r->sinks);
        put_metrics_of(r, s);
    }
    arena_reset(r->arena);
}

static uint64_t metrics_due(const struct reporter *r)
{
    uint64_t due = UINT64_MAX;

    for (unsigned i = 0; r->options.conf->metrics && i < SINKS_MAX; i++) {
        const struct sink *s = &r->sinks.all[i];
        if (sink_takes(s, SIGNAL_METRICS) && s->next_metrics < due)
            due = s->next_metrics;
    }
    return due;
}

static void take_record(void *context, const struct record *record, const uint8_t *payload,
                        int32_t tid)
{
    struct reporter *r = context;

    if (record->type == RECORD_NOTE && record->a < 32)
        r->notes |= 1u << record->a;
    fold_record(r->fold, record, payload, tid);
    if (++r->taken >= r->sinks.gather) {
        put_logs_and_spans(r, false);
    }
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

static uint64_t next_turn(const struct reporter *r, uint64_t now)
{
    uint64_t due = metrics_due(r);

    if (r->next_logs < due)
        due = r->next_logs;
    for (unsigned i = 0; i < SINKS_MAX; i++) {
        const struct sink *s = &r->sinks.all[i];
        if (!s->queue)
            continue;
        uint64_t t = queue_due(s->queue);
        if (t < s->next_flush && queue_items(s->queue) < s->batch)
            t = s->next_flush;
        if (t < due)
            due = t;
    }
    /* Whatever a queue says, we do not spin. */
    return due > now + SECOND / 1000 ? due : now + SECOND / 1000;
}

uint64_t reporter_pass(struct reporter *r, unsigned flags, uint64_t deadline, size_t *rest)
{
    bool final = flags & PASS_FINAL;
    uint64_t now = now_mono();
    bool logs = final || now >= r->next_logs;
    bool metrics = final || now >= metrics_due(r);

    r->deadline = final || deadline < now + FLUSH_TIME ? deadline : now + FLUSH_TIME;
    r->insist = final;
    if (metrics && !final && reporter_sweep)
        reporter_sweep();
    /* With `reclaim` the lanes' own totals of descriptors come too: at the end they must. */
    drain_run(r->drain, logs || drain_is_tight(r->drain), take_record, r);
    if (logs) {
        refill_log_budget(r);
        r->next_logs = next_time(r->next_logs, r->sinks.logs_interval, now);
        put_logs_and_spans(r, final && !(flags & PASS_KEEP_LINES));
        fold_troubles(r->fold, diagnostics_trouble, NULL);
    }
    if (metrics)
        put_metrics(r, final, now);
    flush_all(r);
    size_t waiting = sinks_waiting(&r->sinks);
    /* Nobody is left to export this count: where troubles are told, it is told. */
    if (final && waiting && waiting != r->told_waiting)
        diagnostics(DIAGNOSTICS_WARN, "%zu items still wait for a sink at the end: exit_bound",
                    waiting);
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

static void open_sinks(struct reporter *r, uint64_t now)
{
    sinks_open(&r->sinks, &r->options, r->fold, now);
    r->next_logs = now + r->sinks.logs_interval;
}

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
    open_sinks(r, now_mono());
    refill_log_budget(r);
    return r;
}

void reporter_prepare(struct reporter *r)
{
    for (unsigned i = 0; i < SINKS_MAX; i++) {
        if (r->sinks.all[i].queue)
            queue_prepare(r->sinks.all[i].queue);
    }
}

void reporter_free(struct reporter *r)
{
    if (!r)
        return;
    sinks_close(&r->sinks);
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
    for (unsigned i = 0; i < SINKS_MAX; i++) {
        if (r->sinks.all[i].queue)
            queue_after_fork(r->sinks.all[i].queue);
    }
    reporter_free(r);
}

void reporter_close_sinks(struct reporter *r, bool force)
{
    size_t waiting = sinks_waiting(&r->sinks);

    /* A sink that waits for its peer has no connection to close. */
    if (waiting && !force)
        return;
    if (waiting)
        fold_note_drop(r->fold, DROP_QUEUE_FULL, waiting);
    uint64_t next_logs = r->next_logs;
    sinks_close(&r->sinks);
    open_sinks(r, now_mono());
    r->next_logs = next_logs;
}

void reporter_set_conf(struct reporter *r, const struct conf *conf)
{
    uint64_t now = now_mono();
    size_t lost;

    r->deadline = now + FLUSH_TIME;
    r->insist = true;
    put_logs_and_spans(r, false);
    flush_all(r);
    lost = sinks_waiting(&r->sinks);
    if (lost)
        fold_note_drop(r->fold, DROP_QUEUE_FULL, lost);
    sinks_close(&r->sinks);
    r->options.conf = conf;
    fold_set_conf(r->fold, conf);
    open_sinks(r, now);
}

/* ------------------------------------------------------------------ what it says of itself */

void reporter_status(const struct reporter *r, struct status *s)
{
    const struct conf *conf = r->options.conf;

    sinks_status(&r->sinks, s);
    for (unsigned i = 0; i < DROP_COUNT; i++)
        s->drops[i] = fold_dropped(r->fold, (enum drop)i);
    s->notes = r->notes;
    s->configuration = conf->path;
}
