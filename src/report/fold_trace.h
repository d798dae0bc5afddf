/*
 * What the fold's parts for traces share: contexts of threads (contexts.c), spans on their way out
 * (spans.c), messages put together (messages.c), requests with their answers (exchanges.c), and
 * what they become (http_span.c). Private to the fold; on the reporter's thread alone.
 */
#ifndef SCOPE_REPORT_FOLD_TRACE_H
#define SCOPE_REPORT_FOLD_TRACE_H

#include "protocol/http2.h"
#include "protocol/http_message.h"
#include "report/fold_state.h"

enum {
    CONTEXTS = 1024,          /* threads whose context is remembered */
    KNOWN_TRACES = 4096,      /* traces of which more is known than their ids */
    KNOWN_WAYS = 8,           /* places that one may have */
    PASSING = 256,            /* requests under way whose context may be passed on */
    LOOKUPS = 64,             /* name lookups that a connection may have waited for */
    EXCHANGES_MAX = 16384,    /* requests under way in the process */
    EXCHANGES_OF_TALK = 4096, /* of one connection */
    SPAN_ARENA = 1 << 20,
};

/* ------------------------------------------------------------------ contexts.c */

struct thread_context {
    int32_t tid; /* 0: free */
    uint32_t number;
    uint32_t files; /* spans of file operations below it */
    struct trace_ids ids;
};

/* What came with a trace and is not in the ids that capture drew or read. */
struct known_trace {
    uint8_t local[16];       /* as capture drew it */
    struct trace_ids remote; /* trace_id and parent_id: what they stand for */
    bool known;              /* false: free */
    bool live;               /* its request is not answered yet */
    uint32_t age;
};

/* What came with a span's parent. */
struct known_state {
    uint64_t turn; /* when it was learned */
    uint8_t span_id[8];
    char *text; /* tracestate, malloc'ed; NULL: free */
};

struct traces;

void context_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid);
struct thread_context *context_place(struct fold *f, const struct record *r, int32_t tid);
/* The context in which a thread made this record, as capture has it; NULL: none that is known. */
const struct trace_ids *context_of(struct fold *f, const struct record *r, int32_t tid);

/*
 * A request came in whose context capture did not read (HTTP/2, B3), or with a tracestate: from
 * here on, what is told of the local trace is told of the remote one.
 */
void trace_learn(struct fold *f, const struct trace_ids *local, const struct trace_ids *remote,
                 struct text state);
/* A span that others will hang on, below one that may have come with a state. */
void trace_learn_child(struct fold *f, const struct trace_ids *child);
/* The request is over: what is known of its trace may make room. */
void trace_over(struct fold *f, const struct trace_ids *local);
/* Ids as they are to be told; *state is borrowed until the next trace_learn. */
struct trace_ids trace_told(struct fold *f, const struct trace_ids *local, struct text *state);

void traces_free(struct fold *f);

/* ------------------------------------------------------------------ passed_on.c */

/* A request that came in with a context and is not answered yet. */
struct passing {
    bool used;
    bool shared; /* another one came with the same, even if there was no room for it */
    struct trace_ids local, said;
};

void passing_begins(struct fold *f, const struct trace_ids *local, const struct trace_ids *said);
void passing_ends(struct fold *f, const struct trace_ids *local);
/* A request goes out that names `said` as its parent: it becomes the child of the one that came
   with the same, if there is one alone. */
void passed_on(struct fold *f, struct trace_ids *ids, const struct trace_ids *said);

/* ------------------------------------------------------------------ spans.c */

/* Queues a copy, if its flags say that it is sampled. Within READY_BYTES_MAX; beyond: DROP_STATE.
 */
/* A span's ids, parent, flags and state from local ids. */
void span_identify(struct fold *f, const struct trace_ids *ids, struct span *span);
/* The same of a log record. */
void log_identify(struct fold *f, const struct trace_ids *ids, struct log_record *log);
/*
 * Queues an INTERNAL span that nothing else hangs on, below a local one: ids, kind, error.type and
 * status (error: 0, or a negative errno), and what is in `list`, are put in here; name, times and
 * scope are the caller's.
 */
void span_child(struct fold *f, const struct trace_ids *parent, struct span *span, int64_t error,
                struct attribute_list *list);
/* An arena for one span's attributes, emptied; NULL: no memory. */
struct arena *span_arena(struct fold *f);
void spans_free(struct fold *f);

/* ------------------------------------------------------------------ messages.c, exchanges.c */

/* What came in of one direction of a connection. */
struct talk_way {
    uint32_t sequence;
    bool lost; /* HTTP/2: header compression has lost its state */
    bool open; /* a head is being put together */
    bool cut;
    uint32_t number;
    uint64_t first; /* ticks: of the head's first byte */
    char *head;
    size_t length, room;
    struct http2_decoder *decoder;
};

/* What went by of a body, so far. */
struct body {
    uint64_t bytes;
    uint64_t messages; /* of gRPC */
    bool uncounted;    /* not all of them could be */
};

/* A request, and its answer as far as it came. */
struct exchange {
    struct exchange *next;
    uint32_t number;
    struct trace_ids ids;
    bool server, tls, grpc, request_ended;
    bool passing; /* passed_on.c remembers it */
    int32_t tid;
    uint64_t start;     /* ticks: the request's first byte */
    uint64_t answer_at; /* ticks: the whole head of the final answer */
    struct body asked, answer;
    struct http_message *request, *response, *trailer; /* each one block */
};

/* The conversation on one connection. */
struct talk {
    struct talk_way way[2]; /* 'r', 'w' */
    struct exchange *first, **end;
    uint32_t count;
    uint8_t tls_version_known;
    struct tls_handshake tls;
    char *tls_name;              /* server name; NULL: not known */
    uint64_t tls_start, tls_end; /* of the handshake; 0: not seen */
    int64_t tls_result;
    bool setup_told; /* connect, lookup and handshake were told of, with the first request */
};

void message_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid);
void tls_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid);
/* The connection is closed (ticks), or the process ends: what is under way ends without an answer.
 */
void talk_end(struct fold *f, struct descriptor *d, uint64_t ticks, bool exit);
void talk_free(struct fold *f, struct talk *t);

/* A copy in one block, to be freed with free(). NULL: no memory. */
struct http_message *message_keep(const struct http_message *m);

/* Why an exchange ended. */
enum ended { ENDED_WELL, ENDED_RESET, ENDED_BY_PEER, ENDED_BY_US, ENDED_EXIT };
struct ending {
    enum ended how;
    uint64_t ticks;
    uint64_t code; /* ENDED_RESET: HTTP/2's error code */
};

/* "1.3" of 0x0304; NULL: not known. Static. */
const char *tls_version_text(unsigned version);

/* http_span.c: an exchange is over, or as far as it will come: its span and its measurements. */
void exchange_told(struct fold *f, const struct description *d, const struct talk *t,
                   const struct exchange *x, const struct ending *ending);
/* One has begun, or is over: counts those under way. */
void exchange_counted(struct fold *f, const struct exchange *x, int change);

/* ------------------------------------------------------------------ sdk.c */

/* Another tracer is in the process: requests are its to tell of. */
bool sdk_tells(struct fold *f);

/* ------------------------------------------------------------------ file_span.c */

/* A file operation that was slow or failed within a context becomes a span below it. path: absolute
   if known, or empty. */
void file_span(struct fold *f, const struct record *r, struct text path, int32_t tid);
void operation_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid);

/* ------------------------------------------------------------------ setup.c */

/* A name was looked up; remembered for the connection that was made with an answer. */
void lookup_note(struct fold *f, int32_t tid, struct text name, uint64_t start, uint64_t end,
                 const struct name_answer *answers, size_t count);
/*
 * The first request of a connection: spans of what it had to wait for, below `ids`. Returns when
 * the first of them began, or `start`.
 */
uint64_t setup_told(struct fold *f, const struct description *d, struct talk *t,
                    const struct trace_ids *ids, int32_t tid, uint64_t start, struct text server);

struct noted_lookup {
    int32_t tid;
    uint64_t start, end;
    char name[256];
    struct name_answer answers[8];
    size_t count;
    bool told;
};

/* All of it, made when the first of it comes. */
struct traces {
    struct thread_context context[CONTEXTS];
    struct known_trace known[KNOWN_TRACES];
    uint32_t known_next;
    struct passing passing[PASSING];
    struct known_state state[KNOWN_TRACES];
    struct noted_lookup lookup[LOOKUPS];
    uint32_t lookup_next;
    uint32_t exchanges;
    uint64_t drawn; /* how many ids */
    struct span_block *ready, **ready_end, *out;
    size_t ready_bytes;
    struct arena *arena;
    bool sdk_asked, sdk_found; /* sdk.c */
};
struct traces *traces_of(struct fold *f); /* NULL: no memory */

#endif
