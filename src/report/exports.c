/*
 * What became of what was exported, and how the queues stand, as metrics: OpenTelemetry's
 * otel.sdk.*.
 */
#include <stdio.h>

#include "report/fold_state.h"

enum { COMPONENT_ROOM = 64 };

/* The series of a component; there is one of each type, so its name is TYPE/0. */
static struct series *series_of(struct fold *f, enum instrument_id id, const char *component,
                                const char *error)
{
    char name[COMPONENT_ROOM];
    struct attribute a[3] = {attribute_text("otel.component.type", component)};
    uint32_t count = 1;

    snprintf(name, sizeof(name), "%s/0", component);
    a[count++] = attribute_text("otel.component.name", name);
    if (error)
        a[count++] = attribute_text("error.type", error);
    return fold_series(f, id, a, count);
}

void fold_note_export(struct fold *f, const char *component, enum signal signal, const char *error,
                      uint64_t n)
{
    enum instrument_id id = METRIC_EXPORTED_POINTS + (enum instrument_id)signal;

    series_add_int(series_of(f, id, component, error), (int64_t)n);
}

void fold_note_processed(struct fold *f, const char *component, enum signal signal,
                         const char *error, uint64_t n)
{
    enum instrument_id id = METRIC_PROCESSED_POINTS + (enum instrument_id)signal;

    series_add_int(series_of(f, id, component, error), (int64_t)n);
}

void fold_note_operation(struct fold *f, const char *component, const char *error, uint64_t ns)
{
    series_record(series_of(f, METRIC_EXPORT_DURATION, component, error), (double)ns / 1e9);
}

void fold_note_queue(struct fold *f, enum signal signal, const struct queue_levels *levels)
{
    enum instrument_id inflight = METRIC_INFLIGHT_POINTS + (enum instrument_id)signal;
    enum instrument_id logs = signal == SIGNAL_LOGS ? 0 : 1;

    series_set_int(series_of(f, inflight, levels->exporter, NULL), (int64_t)levels->inflight);
    if (signal == SIGNAL_METRICS || !levels->capacity)
        return;
    series_set_int(series_of(f, METRIC_QUEUE_SIZE_LOGS + logs, levels->processor, NULL),
                   (int64_t)levels->waiting);
    series_set_int(series_of(f, METRIC_QUEUE_CAPACITY_LOGS + logs, levels->processor, NULL),
                   (int64_t)levels->capacity);
}
