/*
 * What the fold keeps of one observed process, and what its parts (fold.c, descriptors.c,
 * connections.c, names.c, events.c, metrics.c, process.c, resource.c, streams) ask of each other.
 * Private to the fold; on the reporter's thread alone.
 */
#ifndef SCOPE_REPORT_FOLD_STATE_H
#define SCOPE_REPORT_FOLD_STATE_H

#include "protocol/http_message.h"
#include "report/fold_filter.h"
#include "report/fold_lines.h"
#include "report/fold_series.h"
#include "report/report.h"

enum {
    DESCRIPTORS_MAX = 65536,
    DESCRIPTOR_BUCKETS = 1024,
    GHOSTS = 256,
    READY_BYTES_MAX = 8 << 20, /* log records that wait for fold_logs */
    EVENT_ATTRIBUTES = 40,
    EVENT_SCRATCH = 12288,
    EVENT_TEXTS = 128,
    QUERIES_MAX = 256,
    CHILDREN_MAX = 1024,
    PATH_LIMIT = 8192,
    STREAMS_MAX = 4096,
    STREAMS = 3, /* of one file: as a log, standard output, standard error */
};

/* ------------------------------------------------------------------ descriptors and files */

/* What was done on descriptors, summed. */
struct sums {
    uint64_t read_bytes, write_bytes, read_ops, write_ops, errors, other_ops, ticks;
};

struct endpoint {
    uint16_t family; /* AF_*; 0 not known */
    uint16_t port;
    uint8_t address[16];
    uint32_t zone; /* IPv6 */
    char *path;    /* unix: malloc'ed, '@' first when abstract; NULL: unnamed */
};

enum role { ROLE_NONE, ROLE_CLIENT, ROLE_SERVER };

struct connection {
    struct endpoint local, peer;
    uint64_t began;     /* ticks: connect called, or accept returned; 0 not known */
    uint64_t connected; /* ticks: when it stood; 0 not known */
    uint8_t role;       /* enum role */
    uint8_t ended_by;   /* 0 nobody yet, 'p' the peer, 'l' we, by shutdown */
    bool connecting;    /* the outcome of a non-blocking connect is awaited */
    bool told;          /* its open event was due (wanted or not) */
    bool counted;       /* in connections.open */
    bool tls_seen;      /* its TLS is one that we look into: a handshake or plaintext was told of */
    bool tls_unseen;    /* ciphertext went by, and nothing of what it says */
    int end_error;      /* errno of the end, ECONNRESET; 0 orderly */
};

/* Bytes of one write that came in parts (RECORD_MORE). */
struct parts {
    struct parts *next;
    int32_t tid;
    uint64_t start; /* ticks: of the write */
    uint32_t passes;
    char *data;
    size_t length, room;
};

struct stream {
    struct stream *next, *previous; /* in fold.streams */
    struct description *of;
    struct lines lines;
    struct parts *parts;
    uint8_t which; /* 0 a log file, 1 standard output, 2 standard error */
};

/* An open file description: what dup'ed descriptors share. */
struct description {
    uint32_t refs;      /* descriptors that are open on it */
    uint32_t unsettled; /* descriptors that are closed and whose sums may still come in */
    uint8_t kind;       /* enum kind */
    bool inherited;     /* met, not seen being opened */
    bool closed_told;
    int32_t fd;      /* the descriptor it was opened as */
    char *path;      /* malloc'ed, NUL-ended; NULL not known */
    uint64_t opened; /* ticks; 0 not known */
    uint64_t closed; /* ticks of the last close */
    int32_t closed_tid;
    struct sums sums;
    struct connection *connection;
    struct stream *stream[STREAMS];
};

enum life { LIFE_OPEN, LIFE_CLOSED, LIFE_SUPERSEDED };

struct descriptor {
    struct descriptor *next;    /* in its bucket */
    struct descriptor *closing; /* the next in fold.closing */
    struct description *description;
    struct talk *talk; /* what is spoken on it; NULL: nothing that is read (fold_trace.h) */
    int32_t fd;
    uint32_t generation;
    uint8_t life;    /* enum life */
    uint32_t passes; /* since it left LIFE_OPEN */
    uint64_t left;   /* CLOCK_MONOTONIC ns: when the fold was told */
};

/* A descriptor that was settled lately: sums that come in late are told from new ones. */
struct ghost {
    int32_t fd;
    uint32_t generation;
};

/* ------------------------------------------------------------------ log records */

/* One that is ready: the structure, its attributes and its strings in one block. */
struct ready {
    struct ready *next;
    size_t size;
    struct log_record record;
};

/* An event under construction; texts are borrowed until event_submit. */
struct event {
    struct log_record record;
    size_t count, text_count, scratch_used; /* in the page that is touched anyway */
    struct attribute attributes[EVENT_ATTRIBUTES];
    struct text texts[EVENT_TEXTS];
    char scratch[EVENT_SCRATCH];
};

/* So many a second. */
struct rate {
    uint64_t second;
    uint64_t count;
};

/* ------------------------------------------------------------------ names, processes */

/* A DNS question on the wire: without an answer yet, or answered and not told yet. */
struct query {
    uint64_t start, end; /* ticks; start 0: free, end 0: no answer yet */
    int32_t fd;
    uint32_t generation;
    int32_t tid; /* who asked */
    uint16_t id, type;
    uint8_t rcode;
    uint8_t passes; /* since the answer */
    uint16_t answer_count;
    char *name;                  /* malloc'ed */
    struct name_answer *answers; /* malloc'ed */
};

struct child {
    int32_t pid;
    uint64_t start; /* ticks */
    char *path;     /* NULL: a fork, the same executable */
};

/* ------------------------------------------------------------------ metrics */

enum instrument_id {
    METRIC_FILE_DURATION,
    METRIC_FILE_ERRORS,
    METRIC_FILE_IO,
    METRIC_SOCKET_DURATION,
    METRIC_SOCKET_ERRORS,
    METRIC_SOCKET_IO,
    METRIC_OPENED,
    METRIC_ACCEPTED,
    METRIC_OPEN,
    METRIC_FAILED,
    METRIC_CONNECT_DURATION,
    METRIC_NAME_DURATION,
    METRIC_HTTP_SERVER, /* durations */
    METRIC_HTTP_CLIENT,
    METRIC_HTTP_SERVER_REQUEST, /* sizes of bodies */
    METRIC_HTTP_SERVER_RESPONSE,
    METRIC_HTTP_CLIENT_REQUEST,
    METRIC_HTTP_CLIENT_RESPONSE,
    METRIC_HTTP_SERVER_ACTIVE,
    METRIC_HTTP_CLIENT_ACTIVE,
    METRIC_RPC_SERVER,
    METRIC_RPC_CLIENT,
    METRIC_PROCESS_DURATION,
    METRIC_PROCESS_ERRORS,
    METRIC_THREADS_STARTED,
    METRIC_CPU_TIME,
    METRIC_MEMORY,
    METRIC_MEMORY_VIRTUAL,
    METRIC_THREADS,
    METRIC_DESCRIPTORS,
    METRIC_SWITCHES,
    METRIC_FAULTS,
    METRIC_UPTIME,
    METRIC_DROPPED,
    METRIC_EXPORTED_POINTS, /* the next three as enum signal */
    METRIC_EXPORTED_LOGS,
    METRIC_EXPORTED_SPANS,
    METRIC_PROCESSED_POINTS, /* and these */
    METRIC_PROCESSED_LOGS,
    METRIC_PROCESSED_SPANS,
    METRIC_INFLIGHT_POINTS, /* and these */
    METRIC_INFLIGHT_LOGS,
    METRIC_INFLIGHT_SPANS,
    METRIC_QUEUE_SIZE_LOGS,
    METRIC_QUEUE_SIZE_SPANS,
    METRIC_QUEUE_CAPACITY_LOGS,
    METRIC_QUEUE_CAPACITY_SPANS,
    METRIC_EXPORT_DURATION,
    METRIC_IDS
};

/* One operation on one kind: what the lanes' cells summed up to when last looked at. */
struct cell_sum {
    uint64_t bytes, ticks;
    uint64_t min, max; /* taken since, in ticks */
    uint32_t bucket[HISTOGRAM_BUCKETS];
};

struct cell_state {
    uint8_t op, kind;
    bool touched; /* in this collection */
    struct cell_sum was, now;
    struct series *duration, *io;
};

struct error_state {
    uint32_t key; /* as in struct error_count */
    uint32_t was, now;
    struct series *series;
};

struct metrics {
    uint16_t cell_of[OP_COUNT][KIND_COUNT]; /* index + 1 into cells */
    struct cell_state *cells;
    uint32_t cell_count, cell_room;
    struct error_state *errors;
    uint32_t error_count, error_room;
};

/* ------------------------------------------------------------------ all of it */

struct process_identity;

/* Of /proc/PID/stat. */
struct process_stat {
    int32_t parent;
    uint64_t user_ticks, system_ticks, minor_faults, major_faults;
    uint64_t threads, start_ticks;                   /* since boot */
    uint64_t virtual_size, resident;                 /* bytes */
    uint64_t arg_start, arg_end, env_start, env_end; /* addresses in the process; 0 not told */
};

struct fold {
    const struct conf *conf;
    struct region_head *region;
    int32_t pid;
    bool self;       /* the reporter runs inside the observed process */
    bool pass_begun; /* fold_logs was called in this pass and has not said 0 yet */
    bool start_told, exec_seen;
    uint64_t started;    /* unix ns: when the fold was made */
    uint64_t last_ticks; /* the latest end of a record */
    uint64_t fixed_now;  /* tests: CLOCK_MONOTONIC as fold_now says it; 0: the real one */
    uint64_t drops[DROP_COUNT];

    uint32_t descriptor_count;
    uint32_t bucket_high; /* buckets beyond were never used */
    struct descriptor *closing, **closing_end;

    struct stream *streams;
    uint32_t stream_count;
    struct ready *ready, **ready_end;
    size_t ready_bytes;
    struct rate event_rate, line_rate;

    uint32_t query_count;
    struct child *children;
    uint32_t child_count, child_next;
    char *cwd; /* absolute; NULL: not asked yet */

    struct trouble_list troubles;
    struct traces *traces;       /* fold_trace.h; NULL: nothing yet */
    enum http_contexts contexts; /* what is read of a request that comes in */

    struct filter *filter_file, *filter_connection, *filter_name, *filter_process, *filter_lines;

    struct series_set series;
    struct process_identity *identity;
    struct process_stat stat;
    uint64_t stat_read; /* CLOCK_MONOTONIC ns; 0 never */
    char instance[37];  /* service.instance.id */

    /* Large, and in short processes hardly touched. */
    struct metrics metrics;
    struct descriptor *bucket[DESCRIPTOR_BUCKETS]; /* open ones, by number */
    struct event event;                            /* the one under construction */
    struct descriptor *past[DESCRIPTOR_BUCKETS];   /* not open ones, by generation */
    struct ghost ghosts[GHOSTS];                   /* by generation */
    struct query queries[QUERIES_MAX];
    char path_room[2][PATH_LIMIT]; /* the one who ends a process may have a small stack */
};

extern const struct telemetry_scope scope_file, scope_socket, scope_name, scope_process, scope_log,
    scope_self, scope_http, scope_rpc, scope_tls;

/* fold.c */
const char *op_name(unsigned op);
unsigned op_class(unsigned op);
const char *kind_name(unsigned kind);
const char *errno_name(int error, char room[16]);          /* "ENOENT", or "errno_123" in room */
uint64_t fold_nano(const struct fold *f, uint64_t ticks);  /* a duration, ns */
double fold_seconds(const struct fold *f, uint64_t ticks); /* a duration, s */
uint64_t fold_unix(const struct fold *f, uint64_t ticks);  /* unix ns of a tick */
uint64_t fold_mono(const struct fold *f, uint64_t ticks);  /* CLOCK_MONOTONIC ns of a tick */
uint64_t fold_now(const struct fold *f);                   /* CLOCK_MONOTONIC ns */
bool rate_allows(struct rate *r, uint32_t limit, uint64_t unix_nano, uint32_t n);

/* fold_paths.c */
/* Tidies an absolute path in place; ".." only right behind the current directory. New length. */
size_t path_tidy(struct fold *f, char *path, size_t length);
/* The path of a record (plain, or struct dir_path), absolute if that is known; to out[PATH_LIMIT].
 */
struct text path_of_record(struct fold *f, const struct record *r, const uint8_t *payload,
                           char *out);
/* path relative to dirfd (the latest life of that number), or as it is; to out[PATH_LIMIT]. */
struct text path_at(struct fold *f, int32_t dirfd, const char *path, size_t length, char *out);

void path_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid);

/* descriptors.c */
struct descriptor *descriptor_find(struct fold *f, int32_t fd, uint32_t generation);
struct descriptor *descriptor_latest(struct fold *f, int32_t fd);
struct descriptor *descriptor_make(struct fold *f, int32_t fd, uint32_t generation, unsigned kind);
void descriptor_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid);
void descriptors_settle(struct fold *f, bool final); /* once a pass */
void descriptors_exit(struct fold *f);               /* close events of what is open at the end */
void descriptors_free(struct fold *f);

/* connections.c */
struct connection *connection_of(struct description *d);
void connection_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid);
void connection_seen(struct fold *f, struct description *d, const struct record *r,
                     const uint8_t *payload);
void connection_closed(struct fold *f, struct description *d); /* counts; the event comes later */
void connection_event_close(struct fold *f, struct description *d, const char *reason);
void connection_free(struct connection *c);
const char *transport_name(unsigned kind); /* NULL: none */
struct text endpoint_text(const struct endpoint *e, char *out, size_t size, bool with_port);

/* names.c */
void name_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid);
void names_settle(struct fold *f, bool final); /* once a pass */
void names_free(struct fold *f);

/* process.c */
void process_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid);
void process_started(struct fold *f,
                     uint64_t unix_nano); /* of the first that is known; told once */
void process_metrics(struct fold *f);
void process_free(struct fold *f);

/* process_span.c */
/*
 * The span of the process, which ended as `end` (RECORD_EXIT) says; texts are borrowed from arena
 * and the resource. False: it is none, or not sampled.
 */
bool process_span(struct fold *f, const struct record *end, struct arena *arena, struct span *out);
void process_span_end(struct fold *f, const struct record *end); /* makes it and puts it */

/* spans.c: queues a copy, if the span is sampled. Within READY_BYTES_MAX; beyond: DROP_STATE. */
void spans_put(struct fold *f, const struct span *span);
/* Fills a span's ids and flags as they stand in `ids`. */
void span_ids(const struct trace_ids *ids, struct span *span);

/* fold_streams.c */
void stream_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid);
void streams_tick(struct fold *f, bool final);
void stream_close(struct fold *f, struct description *d);

/* events.c */
struct event *event_begin(struct fold *f, const char *name, const struct telemetry_scope *scope,
                          uint64_t ticks, int32_t tid);
void event_text(struct event *e, const char *key, struct text value);
void event_string(struct event *e, const char *key, const char *value); /* NULL: left out */
void event_int(struct event *e, const char *key, int64_t value);
void event_double(struct event *e, const char *key, double value);
void event_bool(struct event *e, const char *key, bool value);
void event_list(struct event *e, const char *key, const struct text *items, size_t count);
void event_error(struct event *e, int64_t result);     /* error.type, when result is a -errno */
char *event_scratch(struct event *e, size_t size);     /* NULL: no room */
void event_submit(struct fold *f, struct event *e);    /* within events.rate */
bool ready_put(struct fold *f, const struct event *e); /* whatever the rate */
size_t ready_take(struct fold *f, size_t max, struct arena *arena, struct batch *batch);
void ready_free(struct fold *f);

/* metrics.c */
int metrics_init(struct fold *f);
void metrics_free(struct fold *f);
struct series *fold_series(struct fold *f, enum instrument_id id,
                           const struct attribute *attributes, uint32_t count);
struct attribute attribute_text(const char *key, const char *value);

/* resource.c */
void process_describe(struct fold *f, struct event *e); /* process.* attributes of a start */
/* The tracestate that came with the process's trace; empty: none did. */
struct text process_trace_state(struct fold *f);
void resource_free(struct fold *f);

#endif
