/*
 * sink: from the data model to one wire format.
 *
 * A sink is a pure function of a batch: it encodes into units (a datagram, or whole lines) and hands
 * each to `emit`. It owns no queue, no time, no retry: the reporter (report/queue.h) does. Called on
 * the reporter's thread; must not keep pointers into the batch.
 */
#ifndef SCOPE_REPORT_SINK_H
#define SCOPE_REPORT_SINK_H

#include "conf/conf.h"
#include "telemetry/telemetry.h"

/* Takes one encoded unit that carries `items` points, records or spans; copies what it keeps. */
typedef void sink_emit(void *context, const void *data, size_t length, size_t items);

struct sink_encoder {
    const char *name; /* "ndjson", "statsd" */
    enum temporality temporality;
    /* Encodes one batch into units of at most unit_max bytes. Returns the items it had to leave out. */
    size_t (*encode)(const struct batch *batch, const struct conf *conf, size_t unit_max,
                     sink_emit *emit, void *context);
};

extern const struct sink_encoder ndjson_encoder; /* ndjson/ */
extern const struct sink_encoder statsd_encoder; /* statsd/ */

#endif
