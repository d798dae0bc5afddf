/*
 * report: drains what capture wrote, folds it into telemetry, and sends it on.
 *
 * Owns: the reading side of a region, all knowledge of descriptors, connections, lines and series,
 * the sinks' queues, the schedule. Called on the reporter's thread alone (or, where there is no
 * such thread, by the one that is ending the process); one caller at a time, see lifecycle.c. Uses
 * raw system calls (os/sys.h) and our own heap, never the program's. What it reads from a region is
 * checked before it is used: a program can write there.
 */
#ifndef SCOPE_REPORT_REPORT_H
#define SCOPE_REPORT_REPORT_H

#include "capture/layout.h"
#include "conf/conf.h"
#include "os/clock.h"
#include "report/sink.h"
#include "telemetry/telemetry.h"

/* ------------------------------------------------------------------ drain.c */

struct drain;
struct drain *drain_new(struct region_head *region);
void drain_free(struct drain *d);

/* One record, copied out of the ring. payload has `record->payload` bytes, 8-aligned. */
typedef void drain_take(void *context, const struct record *record, const uint8_t *payload,
                        int32_t tid);

/*
 * Takes every record that is committed, in the order of `end` across lanes, and gives full and
 * empty chunks back. With reclaim, also takes half-filled chunks from lanes that are not writing
 * (membarrier), so that idle threads hold none. Returns the number of records taken.
 */
size_t drain_run(struct drain *d, bool reclaim, drain_take *take, void *context);

/* True while more than three quarters of the pool are in use. */
bool drain_is_tight(const struct drain *d);

/* ------------------------------------------------------------------ fold.c */

enum { METRIC_READERS = 4 };

/* What is known of one observed process. */
struct fold;
struct fold *fold_new(const struct conf *conf, struct region_head *region, int32_t pid);
void fold_free(struct fold *f);
void fold_set_conf(struct fold *f, const struct conf *conf); /* a reload */

/* Takes one record: updates descriptors, connections, lines; may queue an event or a log line. */
void fold_record(struct fold *f, const struct record *record, const uint8_t *payload, int32_t tid);

/*
 * Log records and events that are ready: at most `max` of them, in *batch, from `arena`. With
 * final, unfinished lines and open continuations too. Returns how many; 0 when none is left.
 */
size_t fold_logs(struct fold *f, bool final, size_t max, struct arena *arena, struct batch *batch);

/* Spans that are over: at most `max`, borrowed until the next call. Returns how many. */
size_t fold_spans(struct fold *f, size_t max, struct arena *arena, struct batch *batch);

/*
 * All metrics since this reader's last collection (delta), or since the start (cumulative). With
 * exponential, histograms are base-2 exponential ones.
 * reader: 0 to METRIC_READERS - 1, one for each sink that takes metrics. Returns the number of metrics.
 */
size_t fold_metrics(struct fold *f, unsigned reader, enum temporality temporality,
                    bool exponential, struct arena *arena, struct batch *batch);

/*
 * The batch of the last fold_metrics has a place in its sink's queue. Without this the same amounts
 * come again with the next: metrics wait here, folded, for a sink that is away, and lose nothing.
 */
void fold_metrics_taken(struct fold *f, unsigned reader, enum temporality temporality);
/*
 * Before fold_metrics_taken: what it takes can be had back. fold_metrics_back: points of the batch
 * that was taken last, by their number in it, were not delivered and never will be; they are part of
 * the next. Nothing may have been collected for this reader meanwhile.
 */
void fold_metrics_remember(struct fold *f, unsigned reader, enum temporality temporality);
void fold_metrics_back(struct fold *f, unsigned reader, size_t from, size_t count);

/* What is wrong with the patterns of the configuration; each is told once, later ones when found.
 */
void fold_troubles(struct fold *f, conf_report *report, void *context);

/* Drops and queue figures of the reporter itself, to be exported with the metrics. */
void fold_note_drop(struct fold *f, enum drop cause, uint64_t n);
/*
 * An exporter is done with items of a signal: error NULL: they were taken; else the error.type:
 * "rejected", "timeout", an HTTP status and so on. component: as otel.component.type names it.
 */
void fold_note_export(struct fold *f, const char *component, enum signal signal, const char *error,
                      uint64_t n);
/* A processor is done with items: error NULL: they went to its exporter; else why they did not. */
void fold_note_processed(struct fold *f, const char *component, enum signal signal,
                         const char *error, uint64_t n);
/* An exporter was at one request for so many ns, retries included; error as above. */
void fold_note_operation(struct fold *f, const char *component, const char *error, uint64_t ns);
/* How things stand with one signal's queue: logs and spans only have a capacity (0: no such). */
struct queue_levels {
    const char *processor, *exporter; /* components */
    uint64_t waiting, inflight, capacity;
};
void fold_note_queue(struct fold *f, enum signal signal, const struct queue_levels *levels);
/* How much was dropped for this cause so far, whoever dropped it. */
uint64_t fold_dropped(const struct fold *f, enum drop cause);

/* resource.c: what this process is. Strings live as long as the fold. */
const struct resource *fold_resource(struct fold *f);

/* ------------------------------------------------------------------ queue.c */

/* One sink: its encoder, its transport, and what waits for it. */
struct queue;
struct http_options;

struct queue_options {
    const struct sink_encoder *encoder;
    const char *url;                 /* borrowed for queue_new */
    const struct conf *conf;         /* must outlive the queue */
    const struct http_options *http; /* of http, https and tls URLs; its texts must outlive it */
    size_t unit_max;                 /* bytes of a unit; 0: what the transport takes */
    uint64_t limit;                  /* ns that a unit is tried, retries included; 0: for ever */
    size_t items_max;                /* that wait, besides the bound in bytes; 0: no such bound */
    /*
     * Told what became of items that were sent: error NULL: taken; "rejected": by the server, with
     * the rest of the unit taken; "timeout": given up; "refused": by the transport; or the HTTP
     * status. May be NULL.
     */
    void (*done)(void *context, uint64_t items, const char *error);
    /* Told how many items are tried for the first time. May be NULL. */
    void (*begun)(void *context, uint64_t items);
    /* Told when a unit is done with, after so many ns; error NULL: all of it was taken. May be NULL. */
    void (*ended)(void *context, uint64_t duration, const char *error);
    /*
     * Asked when a unit is given up that no server can have taken: it has the items from `from` on
     * of the batch that it came with. True: they will come again with another batch, `done` is not
     * told of them. May be NULL.
     */
    bool (*keep)(void *context, size_t from, size_t items);
    void *context;
    int saved_stdout, saved_stderr;
};
/* NULL: *error says what is wrong. */
struct queue *queue_new(const struct queue_options *options, const char **error);
void queue_free(struct queue *q);
/* Encodes and appends; beyond the bound the newest is dropped. Returns items dropped by it. */
uint64_t queue_put(struct queue *q, const struct batch *batch);
/*
 * The same for metrics, all of it or nothing. False: there is no room, the queue is as it was. An
 * empty queue takes any batch (its size is bounded by the cardinality limit), and logs leave the
 * last eighth of the bound free, so that a flood of lines does not silence the counts of its drops.
 * *left_out: items that the format has no place for, or that are too large.
 */
bool queue_put_whole(struct queue *q, const struct batch *batch, uint64_t *left_out);
/*
 * Sends what waits, within the deadline, honouring the back-off. True when nothing is left.
 * *failed: items refused for good since the last call. With insist, tries even during a back-off.
 */
bool queue_flush(struct queue *q, uint64_t deadline, bool insist, uint64_t *failed);
/* A request was sent, and its answer is not here yet. */
bool queue_is_under_way(const struct queue *q);
/* When it wants to be flushed next (CLOCK_MONOTONIC ns), UINT64_MAX when empty. */
uint64_t queue_due(const struct queue *q);
size_t queue_items(const struct queue *q); /* waiting, with those in flight */
size_t queue_inflight(const struct queue *q); /* tried, and not done with */
void queue_prepare(struct queue *q);       /* opens a file to send to, see transport_prepare */
/* What waits is little, and may go together with what comes next. */
bool queue_is_light(const struct queue *q);
/* More than half of what may wait does. */
bool queue_is_heavy(const struct queue *q);
uint64_t queue_sent(const struct queue *q);      /* items that were taken so far */
const char *queue_reason(const struct queue *q); /* why the last attempt failed */
void queue_after_fork(struct queue *q); /* forgets what the parent queued, and its connection */

/* ------------------------------------------------------------------ lifecycle.c (see hook/hook.h)
 */

struct reporter_options {
    struct region_head *region;
    const struct conf *conf;
    int saved_stdout, saved_stderr;
};

#endif
