/*
 * Series: the metric points that the fold keeps, each an instrument with one set of attributes, its
 * totals since the start, and what each reader has had of them. Owns copies of attribute values.
 * Bounded: beyond the cardinality limit of an instrument everything goes into its overflow point,
 * as OpenTelemetry prescribes, so no measurement is lost.
 */
#ifndef SCOPE_REPORT_FOLD_SERIES_H
#define SCOPE_REPORT_FOLD_SERIES_H

#include "capture/layout.h"
#include "telemetry/telemetry.h"

enum {
    SERIES_READERS = 4,
    SERIES_BOUNDS_MAX = HISTOGRAM_BOUNDS,
    SERIES_ATTRIBUTES_MAX = 8,
    SERIES_RECENT = 32
};

struct instrument {
    const char *name, *unit, *description;
    const struct telemetry_scope *scope;
    enum metric_type type;
    bool monotonic; /* sums; one that is not is always cumulative */
    bool is_int;
    const double *bounds;
    uint32_t bound_count;
};

/* One point's figures; buckets are there for histograms only. */
struct series_value {
    int64_t integer;
    double number;   /* a sum's or gauge's value, or the histogram's sum */
    double min, max; /* max < min: none */
    uint64_t count;
    uint64_t since; /* unix ns from which the next delta counts; 0: as the reader's others */
    uint64_t bucket[];
};

struct series {
    struct series *next; /* of the same instrument */
    uint64_t hash;
    struct attribute attributes[SERIES_ATTRIBUTES_MAX];
    uint32_t attribute_count;
    bool used; /* something was measured */
    /*
     * The latest measurements themselves, a ring by their number: a sink that sends distributions
     * gets them where it has missed none. `recorded` falls behind total->count where some came in
     * buckets.
     */
    double *recent;
    uint64_t recorded;
    struct exemplar *exemplars; /* the latest of each bucket; NULL: none yet. time 0: none */
    uint8_t offered;            /* 1 << reader: it is in that reader's last collection */
    const struct instrument *instrument;
    struct series_value *total;
    struct series_value *sent[SERIES_READERS]; /* as of the last collection; NULL: never */
    struct series_value *before;               /* sent, as it was when remembered */
    bool remembered;                           /* of the last collection that was */
};

struct instrument_state {
    struct series *first, *last, *overflow;
    uint32_t count;
};

struct series_set {
    const struct instrument *instruments;
    struct instrument_state *states;
    uint32_t instrument_count;
    uint32_t limit;      /* points of one instrument, the overflow point among them */
    uint64_t overflowed; /* measurements that went into overflow points */
    uint64_t start;      /* unix ns */
    uint64_t collected[SERIES_READERS]; /* unix ns of the last collection that was taken, 0 never */
    uint64_t offered[SERIES_READERS];   /* unix ns of the last collection */
    uint64_t before;                    /* collected, as it was when remembered */
    struct series **table;              /* by hash, open addressing */
    uint32_t table_size, table_used;
};

/* 0 or -ENOMEM. instruments must outlive the set. */
int series_init(struct series_set *set, const struct instrument *instruments, uint32_t count,
                uint32_t limit, uint64_t start);
void series_clear(struct series_set *set);

/*
 * The series of an instrument with these attributes (in this order), made if need be; the overflow
 * series beyond the limit; NULL without memory. Keys must be static text.
 */
struct series *series_get(struct series_set *set, uint32_t instrument,
                          const struct attribute *attributes, uint32_t count);

void series_add_int(struct series *s, int64_t n);
void series_set_int(struct series *s, int64_t n); /* an observed total or gauge */
void series_set_number(struct series *s, double n);
void series_record(struct series *s, double value); /* one measurement into a histogram */
/* The same, of what was done in this trace at `time` (unix ns): it may be shown as an example. */
void series_record_traced(struct series *s, double value, uint64_t time,
                          const struct trace_ids *ids);
/* Many at once, already in buckets. min > max: extremes not known. */
void series_merge(struct series *s, const uint64_t *buckets, double sum, double min, double max);

/*
 * All points of one reader; *metrics from arena. Returns the number of metrics. What a delta reader
 * is given stays due to it until series_taken: a batch that found no room is not lost, but part of
 * the next. Nothing may be measured between the two.
 */
size_t series_collect(struct series_set *set, unsigned reader, enum temporality temporality,
                      uint64_t now, struct arena *arena, const struct metric **metrics);

/* The reader has got what the last series_collect gave for it, with the same `temporality`. */
void series_taken(struct series_set *set, unsigned reader, enum temporality temporality);

/*
 * For one reader of deltas. series_remember, before series_taken: what that takes can be had back.
 * series_back: so many points of that collection, counted through all metrics, were not delivered:
 * they are due again, with what came since, until the next series_collect for this reader.
 */
void series_remember(struct series_set *set, unsigned reader, enum temporality temporality);
void series_back(struct series_set *set, unsigned reader, size_t from, size_t count);

#endif
