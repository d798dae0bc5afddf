/*
 * exponential: OpenTelemetry's base-2 exponential histograms, for the sinks that want them.
 *
 * The lanes count durations in buckets whose bounds lie a factor of 2 or 2.5 apart. Count, sum and
 * extremes carry over exactly. Where every measurement is known, each goes into its own bucket at
 * the finest scale that the size limit allows. Where only buckets are known, scale 0 (powers of
 * two) says no more than is known: a bucket's measurements go where its geometric middle lies, but
 * for the smallest and the largest of all, which are known. Pure.
 */
#ifndef SCOPE_REPORT_EXPONENTIAL_H
#define SCOPE_REPORT_EXPONENTIAL_H

#include "telemetry/telemetry.h"

/* MaxSize and MaxScale of the specification. */
enum { EXPONENTIAL_SIZE_MAX = 160, EXPONENTIAL_SCALE_MAX = 20 };

/*
 * The same metrics with every METRIC_HISTOGRAM as METRIC_EXPONENTIAL, in arena; what it does not
 * change is borrowed from `metrics`. NULL: no memory.
 */
const struct metric *exponential_metrics(const struct metric *metrics, size_t count,
                                         struct arena *arena);

/* The bucket of a positive value at a scale: above base^index, at most base^(index + 1). */
int32_t exponential_index(double value, int scale);

#endif
