/*
 * Metrics, their points and exemplars as OTLP's messages.
 */
#include "otlp/tree.h"

static Otlp__Exemplar **exemplars(struct tree *t, const struct metric_point *p, bool is_int,
                                  size_t *count)
{
    Otlp__Exemplar **list;
    Otlp__Exemplar *out =
        tree_messages(t, &otlp__exemplar__descriptor, p->exemplar_count, (void *)&list);

    *count = out ? p->exemplar_count : 0;
    for (size_t i = 0; i < *count; i++) {
        const struct exemplar *e = &p->exemplars[i];
        struct tree_attributes a = tree_attributes(t, &e->filtered, SAID_OF_RESOURCE);
        out[i].time_unix_nano = e->time;
        /* Of a metric of integers it is one too, if the double has kept it. */
        if (is_int && e->value >= -9007199254740992.0 && e->value <= 9007199254740992.0 &&
            e->value == (double)(int64_t)e->value) {
            out[i].value_case = OTLP__EXEMPLAR__VALUE_AS_INT;
            out[i].as_int = (int64_t)e->value;
        } else {
            out[i].value_case = OTLP__EXEMPLAR__VALUE_AS_DOUBLE;
            out[i].as_double = e->value;
        }
        out[i].trace_id = tree_id(e->trace_id, sizeof(e->trace_id));
        out[i].span_id = tree_id(e->span_id, sizeof(e->span_id));
        out[i].n_filtered_attributes = a.count;
        out[i].filtered_attributes = a.items;
    }
    return list;
}

/* What the three kinds of points have under the same names. */
#define POINT(t, p, is_int, out)                                                                  \
    do {                                                                                          \
        struct tree_attributes attributes_ = tree_attributes(t, &(p)->attributes, SAID_OF_POINT); \
        (out)->n_attributes = attributes_.count;                                                  \
        (out)->attributes = attributes_.items;                                                    \
        (out)->start_time_unix_nano = (p)->start_time;                                            \
        (out)->time_unix_nano = (p)->time;                                                        \
        (out)->exemplars = exemplars(t, p, is_int, &(out)->n_exemplars);                          \
    } while (0)

/* And the two kinds of histograms; the case of a oneof is its field's number. */
#define TOTALS(h, out)                \
    do {                              \
        (out)->count = (h)->count;    \
        (out)->optional_sum_case = 5; \
        (out)->sum = (h)->sum;        \
    } while (0)

static Otlp__NumberDataPoint **numbers(struct tree *t, const struct metric_point *points,
                                       size_t count)
{
    Otlp__NumberDataPoint **list;
    Otlp__NumberDataPoint *out =
        tree_messages(t, &otlp__number_data_point__descriptor, count, (void *)&list);

    for (size_t i = 0; out && i < count; i++) {
        const struct metric_point *p = &points[i];
        POINT(t, p, p->is_int, &out[i]);
        if (p->is_int) {
            out[i].value_case = OTLP__NUMBER_DATA_POINT__VALUE_AS_INT;
            out[i].as_int = p->integer;
        } else {
            out[i].value_case = OTLP__NUMBER_DATA_POINT__VALUE_AS_DOUBLE;
            out[i].as_double = p->number;
        }
    }
    return list;
}

/* Arrays of numbers are taken where they lie: protobuf-c only reads what is to be packed. */
static uint64_t *counts(const uint64_t *buckets)
{
    return (uint64_t *)(uintptr_t)buckets;
}

static Otlp__HistogramDataPoint **histograms(struct tree *t, const struct metric_point *points,
                                             size_t count)
{
    Otlp__HistogramDataPoint **list;
    Otlp__HistogramDataPoint *out =
        tree_messages(t, &otlp__histogram_data_point__descriptor, count, (void *)&list);

    for (size_t i = 0; out && i < count; i++) {
        const struct histogram *h = &points[i].histogram;
        POINT(t, &points[i], false, &out[i]);
        TOTALS(h, &out[i]);
        if (h->has_extremes) {
            out[i].optional_min_case = OTLP__HISTOGRAM_DATA_POINT__OPTIONAL_MIN_MIN;
            out[i].min = h->min;
            out[i].optional_max_case = OTLP__HISTOGRAM_DATA_POINT__OPTIONAL_MAX_MAX;
            out[i].max = h->max;
        }
        if (h->buckets) {
            out[i].n_bucket_counts = h->bound_count + 1;
            out[i].bucket_counts = counts(h->buckets);
            out[i].n_explicit_bounds = h->bound_count;
            out[i].explicit_bounds = (double *)(uintptr_t)h->bounds;
        }
    }
    return list;
}

static void buckets(struct tree *t, const struct exponential *e,
                    Otlp__ExponentialHistogramDataPoint *out)
{
    if (!e->bucket_count)
        return;
    out->positive =
        tree_messages(t, &otlp__exponential_histogram_data_point__buckets__descriptor, 1, NULL);
    if (!out->positive)
        return;
    out->positive->offset = e->offset;
    out->positive->n_bucket_counts = e->bucket_count;
    out->positive->bucket_counts = counts(e->buckets);
}

static Otlp__ExponentialHistogramDataPoint **
exponentials(struct tree *t, const struct metric_point *points, size_t count)
{
    Otlp__ExponentialHistogramDataPoint **list;
    Otlp__ExponentialHistogramDataPoint *out =
        tree_messages(t, &otlp__exponential_histogram_data_point__descriptor, count, (void *)&list);

    for (size_t i = 0; out && i < count; i++) {
        const struct exponential *e = &points[i].exponential;
        POINT(t, &points[i], false, &out[i]);
        TOTALS(e, &out[i]);
        if (e->has_extremes) {
            out[i].optional_min_case = OTLP__EXPONENTIAL_HISTOGRAM_DATA_POINT__OPTIONAL_MIN_MIN;
            out[i].min = e->min;
            out[i].optional_max_case = OTLP__EXPONENTIAL_HISTOGRAM_DATA_POINT__OPTIONAL_MAX_MAX;
            out[i].max = e->max;
        }
        out[i].scale = e->scale;
        out[i].zero_count = e->zero_count;
        buckets(t, e, &out[i]);
    }
    return list;
}

/* ------------------------------------------------------------------ metrics */

static void gauge(struct tree *t, const struct metric_point *points, size_t count,
                  Otlp__Metric *out)
{
    Otlp__Gauge *g = tree_messages(t, &otlp__gauge__descriptor, 1, NULL);

    if (!g)
        return;
    g->data_points = numbers(t, points, count);
    g->n_data_points = g->data_points ? count : 0;
    out->data_case = OTLP__METRIC__DATA_GAUGE;
    out->gauge = g;
}

static void sum(struct tree *t, const struct metric *m, const struct metric_point *points,
                size_t count, Otlp__Metric *out)
{
    Otlp__Sum *s = tree_messages(t, &otlp__sum__descriptor, 1, NULL);

    if (!s)
        return;
    s->aggregation_temporality = (Otlp__AggregationTemporality)m->temporality;
    s->is_monotonic = m->monotonic;
    s->data_points = numbers(t, points, count);
    s->n_data_points = s->data_points ? count : 0;
    out->data_case = OTLP__METRIC__DATA_SUM;
    out->sum = s;
}

static void histogram(struct tree *t, const struct metric *m, const struct metric_point *points,
                      size_t count, Otlp__Metric *out)
{
    Otlp__Histogram *h = tree_messages(t, &otlp__histogram__descriptor, 1, NULL);

    if (!h)
        return;
    h->aggregation_temporality = (Otlp__AggregationTemporality)m->temporality;
    h->data_points = histograms(t, points, count);
    h->n_data_points = h->data_points ? count : 0;
    out->data_case = OTLP__METRIC__DATA_HISTOGRAM;
    out->histogram = h;
}

static void exponential(struct tree *t, const struct metric *m, const struct metric_point *points,
                        size_t count, Otlp__Metric *out)
{
    Otlp__ExponentialHistogram *e =
        tree_messages(t, &otlp__exponential_histogram__descriptor, 1, NULL);

    if (!e)
        return;
    e->aggregation_temporality = (Otlp__AggregationTemporality)m->temporality;
    e->data_points = exponentials(t, points, count);
    e->n_data_points = e->data_points ? count : 0;
    out->data_case = OTLP__METRIC__DATA_EXPONENTIAL_HISTOGRAM;
    out->exponential_histogram = e;
}

void tree_metric(struct tree *t, const struct metric *m, size_t first, size_t count,
                 Otlp__Metric *out)
{
    const struct metric_point *points = m->points + first;

    out->name = tree_name(t, m->name);
    out->unit = tree_name(t, m->unit);
    out->description = tree_name(t, m->description);
    switch (m->type) {
    case METRIC_GAUGE:
        gauge(t, points, count, out);
        break;
    case METRIC_SUM:
        sum(t, m, points, count, out);
        break;
    case METRIC_HISTOGRAM:
        histogram(t, m, points, count, out);
        break;
    case METRIC_EXPONENTIAL:
        exponential(t, m, points, count, out);
        break;
    }
}
