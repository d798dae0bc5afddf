/*
 * sink: from the data model to one wire format.
 *
 * A sink is a pure function of a batch: it encodes into units (a datagram, whole lines, the body of
 * a request) and hands each to `emit`. It owns no queue, no time, no retry: the reporter
 * (report/queue.h) does. Called on the reporter's thread; must not keep pointers into the batch.
 */
#ifndef SCOPE_REPORT_SINK_H
#define SCOPE_REPORT_SINK_H

#include "conf/conf.h"
#include "telemetry/telemetry.h"

/* Takes one encoded unit that carries `items` points, records or spans; copies what it keeps. */
typedef void sink_emit(void *context, const void *data, size_t length, size_t items);

/* What a server said to one request (HTTP). Borrowed until the verdict is given. */
struct reply {
    int status; /* the HTTP status code of the final response */
    const char *content_type; /* lower case, without parameters; "" if there was none */
    const uint8_t *body; /* decompressed */
    size_t length;
    bool too_large; /* more than the limit: what is in body is not all */
};

enum outcome {
    OUTCOME_TAKEN,   /* but for `rejected` items */
    OUTCOME_RETRY,   /* the same again later */
    OUTCOME_REFUSED, /* never again */
};

struct verdict {
    enum outcome outcome;
    uint64_t rejected; /* TAKEN: items that the server took out */
    char message[192]; /* the server's own words, made printable; "" if it had none */
};

struct sink_encoder {
    const char *name; /* "ndjson", "statsd", "otlp", "splunk" */
    enum temporality temporality; /* what it wants where the configuration does not say */
    /*
     * Encodes one batch into units of at most unit_max bytes. Returns the items it had to leave out.
     */
    size_t (*encode)(const struct batch *batch, const struct conf *conf, size_t unit_max,
                     sink_emit *emit, void *context);
    bool whole; /* a unit is one message, not lines: it is neither joined with another nor divided */
    /* Over HTTP: what the server meant. Pure. */
    void (*judge)(const struct reply *reply, struct verdict *verdict);
};

extern const struct sink_encoder ndjson_encoder; /* ndjson/ */
extern const struct sink_encoder otlp_lines_encoder; /* otlp/: OpenTelemetry's JSON lines */
extern const struct sink_encoder splunk_encoder; /* ndjson/: Splunk's HTTP event collector */
extern const struct sink_encoder statsd_encoder; /* statsd/ */
extern const struct sink_encoder otlp_encoder;   /* otlp/: protobuf or JSON, one request a unit */

#endif
