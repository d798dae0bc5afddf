/*
 * sinks: which sinks the configuration asks for, each with its encoder, its queue and its schedule.
 *
 * Owns: the queues, and what their transports borrow (header lists). Used by reporter.c alone, on
 * the reporter's thread.
 */
#ifndef SCOPE_REPORT_SINKS_H
#define SCOPE_REPORT_SINKS_H

#include "report/report.h"
#include "report/status.h"
#include "transport/transport.h"

/* NDJSON (one, or one file for each signal), StatsD, OTLP for each signal. */
enum { SINKS_MAX = 7 };

struct sink {
    const struct sink_encoder *encoder; /* NULL: not configured */
    struct queue *queue;                /* NULL: cannot be used, though configured */
    char *to;                           /* its URL */
    unsigned signals;                   /* 1 << enum signal, for each that goes there */
    unsigned reader;                    /* its number among those that take metrics */
    enum temporality temporality;
    bool exponential; /* wants exponential histograms */
    bool is_otlp;
    uint64_t logs_interval, metrics_interval; /* ns */
    uint64_t next_flush;   /* CLOCK_MONOTONIC ns; lines wait until then, or until `batch` wait */
    uint64_t next_metrics; /* CLOCK_MONOTONIC ns */
    size_t batch;
    bool away;                        /* diagnostics were told */
    struct fold *fold;                /* is told what became of what was sent */
    enum signal told;                 /* of a queue that carries one signal: which */
    const char *exporter, *processor; /* what that is called there */
    uint64_t capacity;                /* items that may wait; 0: not bounded by their number */
    bool keeps;       /* deltas that no server got are not lost when they are given up */
    bool outstanding; /* the last metrics that went into the queue can be had back */
    bool used;        /* something went into the queue */
    struct transport_header *headers;
    char *texts[2]; /* header values and a user agent that were put together here */
};

struct sinks {
    struct sink all[SINKS_MAX];
    uint64_t logs_interval; /* ns: the shortest of those that take logs */
    size_t gather; /* records that the fold may hold ready: a burst, or the smallest batch */
};

/*
 * Opens what the configuration asks for; what is wrong goes to diagnostics. conf and fold must
 * outlive it. now: CLOCK_MONOTONIC ns, from which the schedule counts.
 */
void sinks_open(struct sinks *s, const struct reporter_options *options, struct fold *fold,
                uint64_t now);
void sinks_close(struct sinks *s);

static inline bool sink_takes(const struct sink *s, enum signal signal)
{
    return s->queue && (s->signals >> signal & 1);
}

/* Queues a batch of log records or spans; what finds no room is dropped and counted. */
void sink_put(struct sink *s, const struct batch *batch);
/* Sends what waits until the deadline (CLOCK_MONOTONIC ns); with insist, during a back-off too. */
void sink_flush(struct sink *s, uint64_t deadline, bool insist);
/*
 * A batch of metrics, all of it or nothing. Such a sink as keeps deltas has one in its queue at a
 * time, but at the end. False: it is not taken.
 */
bool sink_put_metrics(struct sink *s, const struct batch *batch, uint64_t *left_out);
/* Tells the fold how the queues stand, before metrics are collected. */
void sinks_tell(const struct sinks *s);
/* Items that wait, in all. */
size_t sinks_waiting(const struct sinks *s);
/* What each has to say of itself. */
void sinks_status(const struct sinks *s, struct status *out);

/* Whether any sink of this configuration is an address of this type. */
bool sinks_use(const struct conf *conf, enum address_type type);

#endif
