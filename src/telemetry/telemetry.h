/*
 * telemetry: the one data model, OpenTelemetry's, in plain C structures.
 *
 * Owns: nothing that lives; every structure borrows the strings and arrays it points to from the one
 * who built the batch (an arena, usually), until the batch has been exported. Called by the reporter
 * (which fills it) and the sinks (which read it), on the reporter's thread. Must not know any sink or
 * wire format. Times are nanoseconds since the Unix epoch; durations in values are seconds.
 */
#ifndef SCOPE_TELEMETRY_TELEMETRY_H
#define SCOPE_TELEMETRY_TELEMETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TELEMETRY_SCHEMA_URL "https://opentelemetry.io/schemas/1.44.0"

/* Bytes with a length; need not be NUL-ended, need not be valid UTF-8 (sinks escape). */
struct text {
    const char *data;
    size_t length;
};
#define TEXT(literal) ((struct text){(literal), sizeof(literal) - 1})

/* Of a NUL-ended string; {NULL, 0} for NULL. Here, so that a literal's length is known. */
static inline struct text text_of(const char *string)
{
    return (struct text){string, string ? strlen(string) : 0};
}

static inline bool text_is(struct text t, const char *string)
{
    size_t length = strlen(string);

    return t.length == length && (!length || !memcmp(t.data, string, length));
}
/* Copies the bytes to *at, and goes on behind them. Returns the copy. */
static inline struct text text_keep(char **at, struct text t)
{
    struct text copy = {*at, t.length};
    if (t.length)
        memcpy(*at, t.data, t.length);
    *at += t.length;
    return copy;
}

enum value_type { VALUE_TEXT, VALUE_BOOL, VALUE_INT, VALUE_DOUBLE, VALUE_TEXTS };

struct attribute {
    struct text key;
    enum value_type type;
    union {
        struct text text;
        bool boolean;
        int64_t integer;
        double number;
        struct {
            const struct text *items;
            size_t count;
        } texts;
    };
};

/* Keys are unique within one set. */
struct attributes {
    const struct attribute *items;
    size_t count;
    uint32_t dropped; /* left out because of a limit */
};

/* Who the telemetry is about: one for each process. `id` changes when the content does. */
struct resource {
    struct attributes attributes;
    uint64_t id;
};

/* The instrumentation scope, "scope.file" for instance. */
struct telemetry_scope {
    struct text name;
    struct text version;
};

enum metric_type { METRIC_SUM, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_EXPONENTIAL };
enum temporality { TEMPORALITY_DELTA = 1, TEMPORALITY_CUMULATIVE = 2 };

struct histogram {
    uint64_t count;
    double sum;
    double min, max; /* valid if has_extremes */
    bool has_extremes;
    const double *bounds;    /* bound_count, strictly increasing, upper-inclusive */
    const uint64_t *buckets; /* bound_count + 1; their sum is count */
    size_t bound_count;
    const double *values; /* all `count` measurements, where every one is known; else NULL */
};

/*
 * A histogram whose bounds are the powers of 2^(2^-scale): bucket i of `positive` counts what is
 * above base^(offset + i) and at most base^(offset + i + 1). What is measured here is never
 * negative.
 */
struct exponential {
    uint64_t count;
    double sum;
    double min, max; /* valid if has_extremes */
    bool has_extremes;
    int32_t scale;
    uint64_t zero_count;
    int32_t offset;
    const uint64_t *buckets; /* their sum and zero_count are count */
    size_t bucket_count;
};

/* One measurement that stands for others, with the trace that it was made in. */
struct exemplar {
    uint64_t time;
    double value;
    uint8_t trace_id[16]; /* all zero: none */
    uint8_t span_id[8];
    struct attributes filtered; /* attributes that the point does not have */
};

struct metric_point {
    struct attributes attributes;
    uint64_t start_time; /* of the period; for a gauge 0 */
    uint64_t time;
    bool is_int; /* a sum or gauge: integer, else number */
    union {
        int64_t integer;
        double number;
        struct histogram histogram;
        struct exponential exponential;
    };
    const struct exemplar *exemplars;
    size_t exemplar_count;
};

struct metric {
    struct text name;
    struct text unit; /* UCUM */
    struct text description;
    const struct telemetry_scope *scope;
    enum metric_type type;
    enum temporality temporality; /* sums and histograms */
    bool monotonic;               /* sums */
    const struct metric_point *points;
    size_t count;
};

/* SeverityNumber of the log data model; the first of each range. 0: not known. */
enum severity {
    SEVERITY_NONE = 0,
    SEVERITY_TRACE = 1,
    SEVERITY_DEBUG = 5,
    SEVERITY_INFO = 9,
    SEVERITY_WARN = 13,
    SEVERITY_ERROR = 17,
    SEVERITY_FATAL = 21,
};

struct log_record {
    uint64_t time;          /* 0: not known */
    uint64_t observed_time;
    struct text event_name; /* empty: a plain log line */
    struct text body;
    uint8_t severity;       /* number 1 to 24, 0 not known */
    struct text severity_text;
    struct attributes attributes;
    const struct telemetry_scope *scope;
    uint8_t trace_id[16];   /* all zero: none */
    uint8_t span_id[8];
    uint8_t trace_flags;
};

enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER, SPAN_CLIENT, SPAN_PRODUCER, SPAN_CONSUMER };
enum span_status { STATUS_UNSET, STATUS_OK, STATUS_ERROR };

struct span_event {
    uint64_t time;
    struct text name;
    struct attributes attributes;
};

struct span_link {
    uint8_t trace_id[16], span_id[8];
    uint32_t flags;
    struct text trace_state;
    struct attributes attributes;
};

struct span {
    uint8_t trace_id[16], span_id[8], parent_span_id[8]; /* parent all zero: a root */
    uint32_t flags; /* bits 0-7 W3C, 8 the parent's remoteness is known, 9 it is remote */
    struct text trace_state;
    struct text name;
    enum span_kind kind;
    uint64_t start_time, end_time;
    struct attributes attributes;
    const struct span_event *events;
    size_t event_count;
    const struct span_link *links;
    size_t link_count;
    uint32_t dropped_events, dropped_links;
    enum span_status status;
    struct text status_message;
    const struct telemetry_scope *scope;
};

enum signal { SIGNAL_METRICS, SIGNAL_LOGS, SIGNAL_TRACES, SIGNAL_COUNT };

/* What one export carries: one signal of one resource. */
struct batch {
    enum signal signal;
    const struct resource *resource;
    union {
        const struct metric *metrics;
        const struct log_record *logs;
        const struct span *spans;
    };
    size_t count; /* metrics, logs or spans */
};
/* Points, records or spans in it: what counts as one item everywhere. */
size_t batch_items(const struct batch *batch);

/* Memory that lives as long as one batch: bump allocation, freed as a whole. Not thread-safe. */
struct arena;
struct arena *arena_new(size_t limit); /* bytes at most; NULL: no memory */
void *arena_take(struct arena *arena, size_t size); /* zeroed, 16-aligned; NULL at the limit */
struct text arena_copy(struct arena *arena, const char *data, size_t length);
struct text arena_format(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void arena_reset(struct arena *arena);
void arena_free(struct arena *arena);

/* Attributes under construction, in an arena; adding the same key again replaces the value. */
struct attribute_list {
    struct arena *arena;
    struct attribute *items;
    size_t count, room;
    uint32_t dropped;
};
void attributes_text(struct attribute_list *list, const char *key, struct text value); /* key: static */
void attributes_int(struct attribute_list *list, const char *key, int64_t value);
void attributes_double(struct attribute_list *list, const char *key, double value);
void attributes_bool(struct attribute_list *list, const char *key, bool value);
void attributes_texts(struct attribute_list *list, const char *key, const struct text *items,
                      size_t count);
struct attributes attributes_done(const struct attribute_list *list);

#endif
