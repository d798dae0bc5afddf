/*
 * Metrics: the instruments, and how the lanes' counters become their points.
 *
 * Counters in lanes only grow and wrap; what is new is the difference between two sums over all
 * lanes, modulo their width. Nothing in a lane is ever reset but the extremes, which are taken.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/exponential.h"
#include "report/fold_state.h"

const struct telemetry_scope scope_file = {TEXT("scope.file"), TEXT(SCOPE_VERSION)};
const struct telemetry_scope scope_socket = {TEXT("scope.socket"), TEXT(SCOPE_VERSION)};
const struct telemetry_scope scope_name = {TEXT("scope.name"), TEXT(SCOPE_VERSION)};
const struct telemetry_scope scope_process = {TEXT("scope.process"), TEXT(SCOPE_VERSION)};
const struct telemetry_scope scope_log = {TEXT("scope.log"), TEXT(SCOPE_VERSION)};
const struct telemetry_scope scope_http = {TEXT("scope.http"), TEXT(SCOPE_VERSION)};
const struct telemetry_scope scope_rpc = {TEXT("scope.rpc"), TEXT(SCOPE_VERSION)};
const struct telemetry_scope scope_tls = {TEXT("scope.tls"), TEXT(SCOPE_VERSION)};
const struct telemetry_scope scope_self = {TEXT("scope.self"), TEXT(SCOPE_VERSION)};

/* The bounds of layout.h's histograms, in seconds. */
static const double call_bounds[HISTOGRAM_BOUNDS] = {
    1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3,
    5e-3, 1e-2, 2e-2, 5e-2, 1e-1, 2e-1, 5e-1, 1.0,  2.0,  5.0,  10.0,
};
/* What semantic conventions give dns.lookup.duration. */
static const double name_bounds[] = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25,
                                     0.5,   0.75, 1.0,   2.5,  5.0,   7.5, 10.0};

static const double size_bounds[] = {0,     64,     256,     1024,    4096,     16384,
                                     65536, 262144, 1048576, 4194304, 16777216, 67108864};

enum { ERRORS_MAX = 4096 };

#define HISTOGRAM(scope_, name_, text_, bounds_)                            \
    {                                                                       \
        .name = name_, .unit = "s", .description = text_, .scope = &scope_, \
        .type = METRIC_HISTOGRAM, .bounds = bounds_,                        \
        .bound_count = sizeof(bounds_) / sizeof(*bounds_)                   \
    }
#define SIZE(scope_, name_, text_)                                           \
    {                                                                        \
        .name = name_, .unit = "By", .description = text_, .scope = &scope_, \
        .type = METRIC_HISTOGRAM, .bounds = size_bounds,                     \
        .bound_count = sizeof(size_bounds) / sizeof(*size_bounds)            \
    }
#define COUNTER(scope_, name_, unit_, text_)                                                      \
    {                                                                                             \
        .name = name_, .unit = unit_, .description = text_, .scope = &scope_, .type = METRIC_SUM, \
        .monotonic = true, .is_int = true                                                         \
    }
#define LEVEL(scope_, name_, unit_, text_) /* goes up and down */                                 \
    {                                                                                             \
        .name = name_, .unit = unit_, .description = text_, .scope = &scope_, .type = METRIC_SUM, \
        .is_int = true                                                                            \
    }

static const struct instrument instruments[METRIC_IDS] = {
    [METRIC_FILE_DURATION] = HISTOGRAM(scope_file, "scope.file.operation.duration",
                                       "Duration of file operations", call_bounds),
    [METRIC_FILE_ERRORS] = COUNTER(scope_file, "scope.file.operation.errors", "{error}",
                                   "File operations that failed"),
    [METRIC_FILE_IO] = COUNTER(scope_file, "scope.file.io", "By", "Bytes read and written"),
    [METRIC_SOCKET_DURATION] = HISTOGRAM(scope_socket, "scope.socket.operation.duration",
                                         "Duration of socket operations", call_bounds),
    [METRIC_SOCKET_ERRORS] = COUNTER(scope_socket, "scope.socket.operation.errors", "{error}",
                                     "Socket operations that failed"),
    [METRIC_SOCKET_IO] =
        COUNTER(scope_socket, "scope.socket.io", "By", "Bytes received and transmitted"),
    [METRIC_OPENED] = COUNTER(scope_socket, "scope.socket.connections.opened", "{connection}",
                              "Connections made by connect"),
    [METRIC_ACCEPTED] = COUNTER(scope_socket, "scope.socket.connections.accepted", "{connection}",
                                "Connections accepted"),
    [METRIC_OPEN] = LEVEL(scope_socket, "scope.socket.connections.open", "{connection}",
                          "Connections that are open now"),
    [METRIC_FAILED] = COUNTER(scope_socket, "scope.socket.connections.failed", "{connection}",
                              "Connects that failed"),
    [METRIC_CONNECT_DURATION] = HISTOGRAM(scope_socket, "scope.socket.connect.duration",
                                          "Time from connect to its outcome", call_bounds),
    [METRIC_NAME_DURATION] =
        HISTOGRAM(scope_name, "dns.lookup.duration",
                  "Measures the time taken to perform a DNS lookup.", name_bounds),
    [METRIC_HTTP_SERVER] = HISTOGRAM(scope_http, "http.server.request.duration",
                                     "Duration of HTTP server requests.", name_bounds),
    [METRIC_HTTP_CLIENT] = HISTOGRAM(scope_http, "http.client.request.duration",
                                     "Duration of HTTP client requests.", name_bounds),
    [METRIC_HTTP_SERVER_REQUEST] =
        SIZE(scope_http, "http.server.request.body.size", "Size of HTTP server request bodies."),
    [METRIC_HTTP_SERVER_RESPONSE] =
        SIZE(scope_http, "http.server.response.body.size", "Size of HTTP server response bodies."),
    [METRIC_HTTP_CLIENT_REQUEST] =
        SIZE(scope_http, "http.client.request.body.size", "Size of HTTP client request bodies."),
    [METRIC_HTTP_CLIENT_RESPONSE] =
        SIZE(scope_http, "http.client.response.body.size", "Size of HTTP client response bodies."),
    [METRIC_HTTP_SERVER_ACTIVE] = LEVEL(scope_http, "http.server.active_requests", "{request}",
                                        "Number of active HTTP server requests."),
    [METRIC_HTTP_CLIENT_ACTIVE] = LEVEL(scope_http, "http.client.active_requests", "{request}",
                                        "Number of active HTTP requests."),
    [METRIC_RPC_SERVER] = HISTOGRAM(scope_rpc, "rpc.server.call.duration",
                                    "Measures the duration of inbound remote procedure calls "
                                    "(RPC).",
                                    name_bounds),
    [METRIC_RPC_CLIENT] = HISTOGRAM(scope_rpc, "rpc.client.call.duration",
                                    "Measures the duration of outbound remote procedure calls "
                                    "(RPC).",
                                    name_bounds),
    [METRIC_PROCESS_DURATION] = HISTOGRAM(scope_process, "scope.process.operation.duration",
                                          "Duration of process and thread operations", call_bounds),
    [METRIC_PROCESS_ERRORS] = COUNTER(scope_process, "scope.process.operation.errors", "{error}",
                                      "Process and thread operations that failed"),
    [METRIC_THREADS_STARTED] = COUNTER(scope_process, "scope.process.threads.started", "{thread}",
                                       "Threads that were started"),
    [METRIC_CPU_TIME] = {.name = "process.cpu.time",
                         .unit = "s",
                         .scope = &scope_process,
                         .description = "Total CPU seconds broken down by different CPU modes.",
                         .type = METRIC_SUM,
                         .monotonic = true},
    [METRIC_MEMORY] =
        LEVEL(scope_process, "process.memory.usage", "By", "The amount of physical memory in use."),
    [METRIC_MEMORY_VIRTUAL] = LEVEL(scope_process, "process.memory.virtual", "By",
                                    "The amount of committed virtual memory."),
    [METRIC_THREADS] =
        LEVEL(scope_process, "process.thread.count", "{thread}", "Process threads count."),
    [METRIC_DESCRIPTORS] =
        LEVEL(scope_process, "process.unix.file_descriptor.count", "{file_descriptor}",
              "Number of unix file descriptors in use by the process."),
    [METRIC_SWITCHES] = COUNTER(scope_process, "process.context_switches", "{context_switch}",
                                "Number of times the process has been context switched."),
    [METRIC_FAULTS] = COUNTER(scope_process, "process.paging.faults", "{fault}",
                              "Number of page faults the process has made."),
    [METRIC_UPTIME] = {.name = "process.uptime",
                       .unit = "s",
                       .scope = &scope_process,
                       .description = "The time the process has been running.",
                       .type = METRIC_GAUGE},
    [METRIC_DROPPED] = COUNTER(scope_self, "scope.dropped", "{item}",
                               "What was not recorded or not delivered, by cause"),
    [METRIC_EXPORTED_POINTS] =
        COUNTER(scope_self, "otel.sdk.exporter.metric_data_point.exported", "{data_point}",
                "The number of metric data points for which the export has finished, either "
                "successful or failed."),
    [METRIC_EXPORTED_LOGS] = COUNTER(scope_self, "otel.sdk.exporter.log.exported", "{log_record}",
                                     "The number of log records for which the export has finished, "
                                     "either successful or failed."),
    [METRIC_EXPORTED_SPANS] = COUNTER(scope_self, "otel.sdk.exporter.span.exported", "{span}",
                                      "The number of spans for which the export has finished, "
                                      "either successful or failed."),
    [METRIC_PROCESSED_POINTS] =
        COUNTER(scope_self, "scope.processor.metric_data_point.processed", "{data_point}",
                "Metric data points that were done with before they were sent"),
    [METRIC_PROCESSED_LOGS] =
        COUNTER(scope_self, "otel.sdk.processor.log.processed", "{log_record}",
                "The number of log records for which the processing has "
                "finished, either successful or failed."),
    [METRIC_PROCESSED_SPANS] = COUNTER(scope_self, "otel.sdk.processor.span.processed", "{span}",
                                       "The number of spans for which the processing has finished, "
                                       "either successful or failed."),
    [METRIC_INFLIGHT_POINTS] = LEVEL(
        scope_self, "otel.sdk.exporter.metric_data_point.inflight", "{data_point}",
        "The number of metric data points which were passed to the exporter, but that have not "
        "been exported yet (neither successful, nor failed)."),
    [METRIC_INFLIGHT_LOGS] =
        LEVEL(scope_self, "otel.sdk.exporter.log.inflight", "{log_record}",
              "The number of log records which were passed to the exporter, but that have not been "
              "exported yet (neither successful, nor failed)."),
    [METRIC_INFLIGHT_SPANS] = LEVEL(
        scope_self, "otel.sdk.exporter.span.inflight", "{span}",
        "The number of spans which were passed to the exporter, but that have not been exported "
        "yet (neither successful, nor failed)."),
    [METRIC_QUEUE_SIZE_LOGS] =
        LEVEL(scope_self, "otel.sdk.processor.log.queue.size", "{log_record}",
              "The number of log records in the queue of the processor."),
    [METRIC_QUEUE_SIZE_SPANS] = LEVEL(scope_self, "otel.sdk.processor.span.queue.size", "{span}",
                                      "The number of spans in the queue of the processor."),
    [METRIC_QUEUE_CAPACITY_LOGS] =
        LEVEL(scope_self, "otel.sdk.processor.log.queue.capacity", "{log_record}",
              "The maximum number of log records the queue of the processor can hold."),
    [METRIC_QUEUE_CAPACITY_SPANS] =
        LEVEL(scope_self, "otel.sdk.processor.span.queue.capacity", "{span}",
              "The maximum number of spans the queue of the processor can hold."),
    [METRIC_EXPORT_DURATION] =
        HISTOGRAM(scope_self, "otel.sdk.exporter.operation.duration",
                  "The duration of exporting a batch of telemetry records.", name_bounds),
};

struct attribute attribute_text(const char *key, const char *value)
{
    return (struct attribute){.key = text_of(key), .type = VALUE_TEXT, .text = text_of(value)};
}

struct series *fold_series(struct fold *f, enum instrument_id id,
                           const struct attribute *attributes, uint32_t count)
{
    return series_get(&f->series, id, attributes, count);
}

int metrics_init(struct fold *f)
{
    uint32_t limit = f->conf->cardinality_limit ? f->conf->cardinality_limit : 2000;
    return series_init(&f->series, instruments, METRIC_IDS, limit, f->started);
}

void metrics_free(struct fold *f)
{
    series_clear(&f->series);
    free(f->metrics.cells);
    free(f->metrics.errors);
}

/* ------------------------------------------------------------------ which metric */

enum family { FAMILY_NONE, FAMILY_FILE, FAMILY_SOCKET, FAMILY_PROCESS };

static enum family family_of(unsigned op, unsigned kind)
{
    if (op >= OP_GETADDRINFO && op <= OP_DNS)
        return FAMILY_NONE; /* dns.lookup.duration, from records */
    if (op >= OP_FORK && op <= OP_THREAD)
        return FAMILY_PROCESS;
    if (op == OP_SYSLOG)
        return FAMILY_NONE;
    if (kind_is_socket(kind) || (op >= OP_SOCKET && op <= OP_GETSOCKOPT))
        return FAMILY_SOCKET;
    return FAMILY_FILE;
}

static bool family_on(const struct fold *f, enum family family)
{
    switch (family) {
    case FAMILY_FILE:
        return f->conf->metrics_file;
    case FAMILY_SOCKET:
        return f->conf->metrics_socket;
    case FAMILY_PROCESS:
        return f->conf->metrics_process;
    default:
        return false;
    }
}

/* Sockets by what they transport; files by what kind of thing they are. */
static uint32_t kind_attribute(enum family family, unsigned kind, struct attribute *a)
{
    if (family == FAMILY_SOCKET) {
        if (!transport_name(kind))
            return 0;
        *a = attribute_text("network.transport", transport_name(kind));
        return 1;
    }
    if (family != FAMILY_FILE || kind == KIND_NONE)
        return 0;
    *a = attribute_text("scope.descriptor.kind", kind_name(kind));
    return 1;
}

static struct series *duration_series(struct fold *f, enum family family, unsigned op,
                                      unsigned kind)
{
    static const enum instrument_id ids[] = {[FAMILY_FILE] = METRIC_FILE_DURATION,
                                             [FAMILY_SOCKET] = METRIC_SOCKET_DURATION,
                                             [FAMILY_PROCESS] = METRIC_PROCESS_DURATION};
    struct attribute a[2] = {attribute_text("scope.operation", op_name(op))};
    return fold_series(f, ids[family], a, 1 + kind_attribute(family, kind, &a[1]));
}

/* sendfile and its like count with the descriptor they write to. */
static struct series *io_series(struct fold *f, enum family family, unsigned op, unsigned kind)
{
    bool in = op_class(op) == CLASS_READ;
    struct attribute a[2];
    if (family == FAMILY_SOCKET)
        a[0] = attribute_text("network.io.direction", in ? "receive" : "transmit");
    else
        a[0] = attribute_text("scope.io.direction", in ? "read" : "write");
    enum instrument_id id = family == FAMILY_SOCKET ? METRIC_SOCKET_IO : METRIC_FILE_IO;
    return fold_series(f, id, a, 1 + kind_attribute(family, kind, &a[1]));
}

/* ------------------------------------------------------------------ cells */

static struct cell_state *cell_state(struct metrics *m, unsigned op, unsigned kind)
{
    uint16_t at = m->cell_of[op][kind];
    if (at)
        return &m->cells[at - 1];
    if (m->cell_count == m->cell_room) {
        uint32_t room = m->cell_room ? m->cell_room * 2 : 16;
        struct cell_state *cells = realloc(m->cells, room * sizeof(*cells));
        if (!cells)
            return NULL;
        m->cells = cells;
        m->cell_room = room;
    }
    struct cell_state *s = &m->cells[m->cell_count++];
    memset(s, 0, sizeof(*s));
    s->op = (uint8_t)op;
    s->kind = (uint8_t)kind;
    m->cell_of[op][kind] = (uint16_t)m->cell_count;
    return s;
}

static void cell_add(struct metrics *m, unsigned op, unsigned kind, struct cell *c)
{
    struct cell_state *s = cell_state(m, op, kind);
    if (!s)
        return;
    if (!s->touched) {
        s->touched = true;
        memset(&s->now, 0, sizeof(s->now));
        s->now.min = ~0ULL;
    }
    for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
        s->now.bucket[b] += __atomic_load_n(&c->bucket[b], __ATOMIC_RELAXED);
    s->now.bytes += __atomic_load_n(&c->bytes, __ATOMIC_RELAXED);
    s->now.ticks += __atomic_load_n(&c->ticks, __ATOMIC_RELAXED);
    uint64_t min = __atomic_exchange_n(&c->min, ~0ULL, __ATOMIC_RELAXED);
    uint64_t max = __atomic_exchange_n(&c->max, 0, __ATOMIC_RELAXED);
    if (min < s->now.min)
        s->now.min = min;
    if (max > s->now.max)
        s->now.max = max;
}

/* What a cell has gained goes into its series. */
static void cell_settle(struct fold *f, struct cell_state *s)
{
    enum family family = family_of(s->op, s->kind);
    uint64_t buckets[HISTOGRAM_BUCKETS], count = 0;
    for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
        buckets[b] = (uint32_t)(s->now.bucket[b] - s->was.bucket[b]);
        count += buckets[b];
    }
    uint64_t bytes = s->now.bytes - s->was.bytes;
    uint64_t ticks = s->now.ticks - s->was.ticks;
    s->was = s->now;
    s->touched = false;
    if (!family_on(f, family) || (!count && !bytes))
        return;
    if (!s->duration)
        s->duration = duration_series(f, family, s->op, s->kind);
    bool extremes = s->now.min <= s->now.max;
    series_merge(s->duration, buckets, fold_seconds(f, ticks),
                 extremes ? fold_seconds(f, s->now.min) : 1,
                 extremes ? fold_seconds(f, s->now.max) : 0);
    if (!bytes)
        return;
    if (!s->io)
        s->io = io_series(f, family, s->op, s->kind);
    series_add_int(s->io, (int64_t)bytes);
}

/* Most of the table is empty: eight places are passed over at a time. */
static void lane_cells(struct fold *f, struct lane *lane)
{
    const uint8_t *table = &lane->cell_of[0][0];
    for (unsigned i = 0; i < OP_COUNT * KIND_COUNT; i += 8) {
        uint64_t eight = 0;
        unsigned n = OP_COUNT * KIND_COUNT - i < 8 ? OP_COUNT * KIND_COUNT - i : 8;
        memcpy(&eight, table + i, n);
        if (!eight)
            continue;
        for (unsigned k = i; k < i + n; k++) {
            unsigned at = table[k];
            if (at && at <= LANE_CELLS)
                cell_add(&f->metrics, k / KIND_COUNT, k % KIND_COUNT, &lane->cell[at - 1]);
        }
    }
}

static void shared_cells(struct fold *f)
{
    struct region_head *r = f->region;
    for (unsigned op = 0; op < OP_COUNT; op++)
        for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
            struct cell *c = &r->shared_cell[op][kind];
            if (!c->ticks && !c->max && !c->bucket[0])
                continue;
            if (!__atomic_load_n(&c->min, __ATOMIC_RELAXED)) /* there 0 means none, too */
                __atomic_store_n(&c->min, ~0ULL, __ATOMIC_RELAXED);
            cell_add(&f->metrics, op, kind, c);
        }
}

/* ------------------------------------------------------------------ errors */

static struct error_state *error_state(struct metrics *m, uint32_t key)
{
    for (uint32_t i = 0; i < m->error_count; i++)
        if (m->errors[i].key == key)
            return &m->errors[i];
    if (m->error_count == m->error_room) {
        uint32_t room = m->error_room ? m->error_room * 2 : 16;
        if (room > ERRORS_MAX)
            return NULL; /* more than a sane region can hold */
        struct error_state *errors = realloc(m->errors, room * sizeof(*errors));
        if (!errors)
            return NULL;
        m->errors = errors;
        m->error_room = room;
    }
    struct error_state *s = &m->errors[m->error_count++];
    *s = (struct error_state){.key = key};
    return s;
}

static void error_add(struct metrics *m, const struct error_count *e)
{
    uint32_t key = __atomic_load_n(&e->key, __ATOMIC_RELAXED);
    if (!(key >> 31) || (key >> 20 & 0x7ff) >= OP_COUNT || (key >> 16 & 0xf) >= KIND_COUNT)
        return;
    struct error_state *s = error_state(m, key);
    if (s)
        s->now += __atomic_load_n(&e->count, __ATOMIC_RELAXED);
}

static struct series *error_series(struct fold *f, enum family family, unsigned op, unsigned kind,
                                   unsigned error)
{
    static const enum instrument_id ids[] = {[FAMILY_FILE] = METRIC_FILE_ERRORS,
                                             [FAMILY_SOCKET] = METRIC_SOCKET_ERRORS,
                                             [FAMILY_PROCESS] = METRIC_PROCESS_ERRORS};
    char room[16];
    struct attribute a[3] = {attribute_text("scope.operation", op_name(op)),
                             attribute_text("error.type", errno_name((int)error, room))};
    return fold_series(f, ids[family], a, 2 + kind_attribute(family, kind, &a[2]));
}

static void error_settle(struct fold *f, struct error_state *s)
{
    unsigned op = (s->key >> 20) & 0x7ff, kind = (s->key >> 16) & 0xf;
    uint32_t n = s->now - s->was;
    s->was = s->now;
    s->now = 0;
    if (!n)
        return;
    enum family family = family_of(op, kind);
    if (!family_on(f, family))
        return;
    if (!s->series)
        s->series = error_series(f, family, op, kind, s->key & 0xffff);
    series_add_int(s->series, n);
}

/* ------------------------------------------------------------------ a collection */

static void counters(struct fold *f)
{
    struct region_head *r = f->region;
    struct metrics *m = &f->metrics;
    uint32_t lanes = __atomic_load_n(&r->lanes_high, __ATOMIC_ACQUIRE);
    if (lanes > r->lanes)
        lanes = r->lanes;
    for (uint32_t i = 0; i < lanes; i++) {
        struct lane *lane = region_lane(r, i);
        lane_cells(f, lane);
        for (unsigned e = 0; e < LANE_ERRORS; e++)
            error_add(m, &lane->error[e]);
    }
    if (__atomic_load_n(&r->shared_used, __ATOMIC_ACQUIRE)) {
        shared_cells(f);
        for (unsigned e = 0; e < SHARED_ERRORS; e++)
            error_add(m, &r->shared_error[e]);
    }
    for (uint32_t i = 0; i < m->cell_count; i++)
        if (m->cells[i].touched)
            cell_settle(f, &m->cells[i]);
    for (uint32_t i = 0; i < m->error_count; i++)
        error_settle(f, &m->errors[i]);
}

static const char *drop_name(unsigned cause)
{
    static const char *const names[DROP_COUNT] = {
#define SCOPE_DROP_NAME(id, name) name,
        SCOPE_DROPS(SCOPE_DROP_NAME)
#undef SCOPE_DROP_NAME
    };
    return names[cause];
}

static void dropped(struct fold *f)
{
    f->drops[DROP_CARDINALITY] += f->series.overflowed;
    f->series.overflowed = 0;
    for (unsigned i = 0; i < DROP_COUNT; i++) {
        uint64_t n = __atomic_load_n(&f->region->drops[i], __ATOMIC_RELAXED) + f->drops[i];
        if (!n)
            continue;
        struct attribute a = attribute_text("scope.drop.cause", drop_name(i));
        series_set_int(fold_series(f, METRIC_DROPPED, &a, 1), (int64_t)n);
    }
}

uint64_t fold_dropped(const struct fold *f, enum drop cause)
{
    if (cause >= DROP_COUNT)
        return 0;
    return __atomic_load_n(&f->region->drops[cause], __ATOMIC_RELAXED) + f->drops[cause] +
           (cause == DROP_CARDINALITY ? f->series.overflowed : 0);
}

size_t fold_metrics(struct fold *f, unsigned reader, enum temporality temporality, bool exponential,
                    struct arena *arena, struct batch *batch)
{
    const struct metric *metrics = NULL;
    counters(f);
    if (f->conf->metrics_process)
        process_metrics(f);
    dropped(f);
    size_t n = series_collect(&f->series, reader, temporality, now_unix(), arena, &metrics);
    if (exponential)
        metrics = exponential_metrics(metrics, n, arena);
    if (!metrics)
        n = 0;
    if (n)
        *batch = (struct batch){
            .signal = SIGNAL_METRICS, .resource = fold_resource(f), .metrics = metrics, .count = n};
    return n;
}

void fold_metrics_taken(struct fold *f, unsigned reader, enum temporality temporality)
{
    series_taken(&f->series, reader, temporality);
}

void fold_metrics_remember(struct fold *f, unsigned reader, enum temporality temporality)
{
    series_remember(&f->series, reader, temporality);
}

void fold_metrics_back(struct fold *f, unsigned reader, size_t from, size_t count)
{
    series_back(&f->series, reader, from, count);
}
