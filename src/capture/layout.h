/*
 * The binary layout that capture writes and the reporter reads: one region of memory, private or a
 * shared memfd, the same in both cases.
 *
 *     region = [ struct region_head | chunks (the pool) | lanes ]
 *
 * A *lane* is where one thread writes: exact counters, and the chunk that its records go into. A
 * thread binds a lane at its first watched call and gives it back when it ends; the next thread goes
 * on with the lane as it stands, counters and half-filled chunk included. Counters only ever grow;
 * the reporter subtracts what it saw before. (Shared memory is hostile input to a companion: nothing
 * read from here is trusted as an index or a length without a check.)
 *
 * Rules of writing, each from shared/reference/techniques.md, "Ring and counters":
 *  - a lane's counters are changed by its thread and that thread's signal handlers alone, each by
 *    one instruction (no lock prefix): lane_add();
 *  - a slot is reserved by one unlocked xadd on the chunk's `head`, and committed by storing its
 *    word last. A zero word: reserved, nothing written yet (all its lines are zero);
 *  - an uncommitted slot is abandoned once a later record of depth 0 of the same lane is committed;
 *  - what is left at a chunk's end is filled with a committed slot of type RECORD_NONE;
 *  - chunks are zero in the free pool: the reporter clears what was used of one before it frees it.
 */
#ifndef SCOPE_CAPTURE_LAYOUT_H
#define SCOPE_CAPTURE_LAYOUT_H

#include <stdint.h>

#include "capture/ops.h"
#include "capture/frame.h"
#include "capture/trace.h"

#define LAYOUT_MAGIC 0x65706f63734c4f4dULL
#define LAYOUT_VERSION 1u

enum {
    CHUNK_SIZE = 16384,
    CHUNK_DATA = 64,        /* the first slot's offset in a chunk */
    CHUNK_MAX = 4096,       /* chunks at most: 64 MiB */
    LANE_SIZE = 8192,
    SLOT_ALIGN = 64,
    RECORD_PAYLOAD_MAX = 8192, /* bytes behind one record; longer data goes into several */
    HISTOGRAM_BOUNDS = 22,  /* 1, 2, 5 to a decade, 1 us to 10 s */
    HISTOGRAM_BUCKETS = HISTOGRAM_BOUNDS + 1,
    LANE_CELLS = 32,
    LANE_TOTALS = 32,
    LANE_ERRORS = 16,
    SHARED_ERRORS = 256,
    LANES_MAX = 16384,
};

/* One operation on one kind of descriptor: a latency histogram with its sums. Durations in ticks. */
struct cell {
    uint64_t bytes;
    uint64_t ticks;
    uint64_t min; /* since the reporter last took it; ~0 when nothing came */
    uint64_t max; /* 0 when nothing came */
    uint32_t bucket[HISTOGRAM_BUCKETS]; /* count = their sum */
    uint32_t recent; /* the bucket of a recent one, which the next is tried on first */
};
_Static_assert(sizeof(struct cell) == 128, "a cell is two cache lines");

/* Operations that failed, by errno. key = 1 << 31 | op << 20 | kind << 16 | errno; 0 is free. */
struct error_count {
    uint32_t key;
    uint32_t count;
};

/*
 * What one descriptor did on one lane. Operations that failed are counted as operations too.
 * The sums grow from when the place was claimed until it is evicted; drain turns what it reads here
 * and in records into what is new, so that what it hands out can simply be added up.
 */
struct totals {
    union {
        struct {
            int32_t fd;
            uint32_t generation; /* of the descriptor; tells a number's lives apart. 0: free */
        };
        uint64_t key; /* both of them, to compare at once */
    };
    uint64_t read_bytes;
    uint64_t write_bytes;
    uint32_t read_ops;
    uint32_t write_ops;
    uint32_t errors;
    uint32_t other_ops;  /* seeks, syncs, stats */
    uint64_t ticks;      /* time inside all of these */
    uint64_t last;       /* ticks: the end of the latest of these */
    uint32_t claim;      /* which tenant of its place in the lane; 0: new amounts, to be added */
    uint32_t spare;
};
_Static_assert(sizeof(struct totals) == 64, "totals are one cache line");
enum { TOTALS_LEAVING = 1u << 31 }; /* in totals.fd: being evicted, nothing is added any more */

struct lane {
    /* the thread's line: everything a call reads or writes first */
    uint32_t forks;   /* region_head.forks when it was bound: otherwise what it holds is a parent's */
    uint32_t attention; /* LANE_*: something for the slow way in */
    uint32_t chunk;   /* the chunk written into, plus one; 0 none */
    uint32_t reclaim; /* set by the reporter while it wants the chunk */
    /* Writers in progress: the thread, and handlers on top of it. The outermost one's stack pointer
       with the low 6 bits cleared, and how many there are in these; 0: none. One word, so that it
       never tells half of it to a handler. */
    uint64_t writer;
    uint64_t alt_lo, alt_hi; /* the alternate signal stack, where the thread set one */
    int32_t tid;      /* the thread that holds it; 0: free */
    int32_t pid;
    uint32_t number;  /* its own index */
    uint32_t next_cell;
    uint32_t thread_said; /* the tid that the last RECORD_THREAD named */
    uint32_t context_number; /* of the context, 1 to 65535; 0: none, or not told for want of room */
    uint32_t next_sequence; /* of the next chunk */
    struct trace_ids context; /* the thread's, all zero none */
    uint32_t next_context;
    uint32_t context_children;
    uint64_t context_since;   /* ticks */
    uint8_t context_lent;     /* it came with an answer that this thread gives, not with the request */
    uint8_t event_loop;       /* this thread goes back to one: that ends its contexts */
    uint8_t context_over;     /* that answer is whole */
    uint8_t context_spare;
    uint32_t crowd;           /* generation of the connection that brought several requests since the
                                 thread came from its event loop; 0: none has */
    int32_t context_fd;       /* the connection that the request came on, or is answered on */
    uint32_t context_generation;
    uint64_t random[2];       /* of the id generator; 0: to be seeded */
    /* indices: 0 none yet, n + 1 a cell of this lane, 255 the region's shared cells */
    uint8_t cell_of[OP_COUNT][KIND_COUNT];
    struct error_count error[LANE_ERRORS];
    uint64_t counter; /* stack pointer of the outermost that is adding to totals; 0: none */
    struct totals totals[LANE_TOTALS] __attribute__((aligned(64)));
    struct cell cell[LANE_CELLS] __attribute__((aligned(64)));
};
_Static_assert(sizeof(struct lane) <= LANE_SIZE, "a lane is two pages");

/* lane.attention */
enum {
    LANE_VFORK = 1u, /* a vfork is under way: compare getpid before recording */
    LANE_TOLD = 2u,  /* its child is told of elsewhere */
    LANE_CHILD_SHIFT = 8, /* from here on the child's number, once it was met: 22 bits on Linux */
};

struct chunk {
    uint32_t head;     /* offset of the next free byte; may overshoot CHUNK_SIZE */
    uint32_t lane;
    uint32_t sequence; /* of this chunk within its lane */
    uint32_t spare;
    uint8_t unused[CHUNK_DATA - 16];
    uint8_t data[CHUNK_SIZE - CHUNK_DATA];
};
_Static_assert(sizeof(struct chunk) == CHUNK_SIZE, "chunk");

/* record.word = length in bytes of the whole slot (a multiple of 64) << 8 | depth << 2 | state */
enum { SLOT_EMPTY = 0, SLOT_OPEN = 1, SLOT_COMMITTED = 2, SLOT_STATE = 3 };
#define SLOT_DEPTH(word) (((word) >> 2) & 63u)
#define SLOT_LENGTH(word) ((word) >> 8)

/*
 * One thing that happened. `result` is what the call returned, or -errno.
 * What a, b, c and the payload are, by type, stands beside each type below.
 */
struct record {
    uint32_t word;
    uint16_t type;  /* enum record_type */
    uint8_t op;     /* enum op */
    uint8_t kind;   /* enum kind */
    uint64_t start; /* ticks */
    uint64_t end;   /* ticks */
    int32_t fd;
    uint32_t generation;
    int64_t result;
    uint64_t a, b;
    uint32_t payload; /* bytes behind this structure */
    uint32_t flags;   /* RECORD_* */
};
_Static_assert(sizeof(struct record) == 64, "a record is one line, its payload follows");

enum {
    RECORD_TRUNCATED = 1u, /* the payload is a part: `a` or the type says how long the whole was */
    RECORD_NONBLOCK = 2u,  /* the descriptor was non-blocking */
    RECORD_BINARY = 4u,    /* data held NUL bytes and was left out */
    RECORD_SERVER = 8u,    /* the descriptor came from accept */
    RECORD_MORE = 16u,     /* RECORD_DATA: the next record of this lane continues this write */
    RECORD_ERR = 32u,      /* RECORD_DATA: goes to standard error */
    RECORD_OUT = 64u,      /* RECORD_DATA: goes to standard output */
    RECORD_BUFFERED = 128u, /* RECORD_DATA: from a fully buffered stdio stream */
    RECORD_RAW = 512u,      /* RECORD_SYSLOG, RECORD_NAME: bytes as on the wire, see there */
    RECORD_CONTEXT_SHIFT = 16, /* from here on the number of the lane's context; 0: none */
    RECORD_DIRFD = 256u,   /* the payload is struct dir_path: a path relative to a descriptor. In
                              RECORD_PATH with two names the path in it is path NUL path2, and
                              b names both descriptors */
};

enum record_type {
    RECORD_NONE,
    RECORD_THREAD,   /* the lane's thread from here on. fd = tid */
    RECORD_OPEN,     /* fd, generation (of the new one). a = open flags, b = mode; payload = path,
                        absolute unless result of a dirfd: then flags say nothing and
                        payload = struct dir_path */
    RECORD_CLOSE,    /* payload = struct totals of the lane that closed it. a = enum close_tls */
    RECORD_TOTALS,   /* payload = struct totals, evicted */
    RECORD_DUP,      /* fd, generation: the old one. a = the new number, b = its generation */
    RECORD_PIPE,     /* fd, generation: the first. a, b: the second. pipe, socketpair */
    RECORD_PATH,     /* an operation on a name. payload = path [NUL path2]; a = mode or flags,
                        b = (uint32_t)dirfd | (uint64_t)(uint32_t)dirfd2 << 32, AT_FDCWD if none */
    RECORD_MMAP,     /* of a file. a = length, b = offset */
    RECORD_SEEN,     /* a descriptor met for the first time: inherited, received. a = st_rdev or 0;
                        payload: struct address_pair for sockets, path for others */
    RECORD_SOCKET,   /* a = domain, b = type */
    RECORD_BIND,     /* payload = struct address_pair (local) */
    RECORD_LISTEN,   /* payload = struct address_pair (local) */
    RECORD_ACCEPT,   /* fd, generation: the new one. a = listening fd; payload = struct address_pair */
    RECORD_CONNECT,  /* result -EINPROGRESS: RECORD_CONNECTED follows. payload = struct address_pair */
    RECORD_CONNECTED, /* the outcome of a non-blocking connect; start = when connect was called */
    RECORD_SHUTDOWN, /* a = how */
    RECORD_PEER,     /* an unconnected datagram socket's first use of a peer: struct address_pair */
    RECORD_END,      /* the peer ended the stream: a read returned 0, or ECONNRESET */
    RECORD_NAME,     /* a name lookup (not a mere conversion: AI_NUMERICHOST, NI_NUMERICHOST).
                        payload = struct name_lookup. getaddrinfo: a = ai_flags, b = ai_family.
                        getnameinfo, gethostbyaddr: the one answer is the address asked for, the
                        name is what came out, if anything. res_query family: a = type, b = class;
                        RECORD_RAW: behind the name comes the response message */
    RECORD_DNS,      /* a message on the wire. a: 0 sent, 1 received; payload = the message. One
                        of the same lane within a RECORD_NAME's time is libc's own part of that
                        lookup (glibc before 2.34), not another one */
    RECORD_DATA,     /* bytes written to a log, stdout or stderr. a = bytes of the whole write,
                        b = where in them the payload begins. Parts of one write have one start; a
                        part with RECORD_MORE whose next did not come was followed by a drop */
    RECORD_SYSLOG,   /* a = priority with facility; payload = ident NUL message (no ident: the
                        program's name). RECORD_RAW: payload is the datagram, a = its length:
                        "<priority>..." as for /dev/log, else journald's native protocol */
    RECORD_FORK,     /* op tells which call. result = the child's pid */
    RECORD_SPAWN,    /* result = the child's pid; payload = path NUL argv[0] NUL argv[1] ... */
    RECORD_EXEC,     /* before the image is replaced. payload as RECORD_SPAWN */
    RECORD_EXEC_FAILED, /* result = -errno; payload = path */
    RECORD_EXIT,     /* result = the status passed to exit or _exit; op = EXIT or ABORT */
    RECORD_WAIT,     /* a child ended. result = its pid, a = the wait status */
    RECORD_THREAD_START, /* fd = tid of the new thread, 0 if not known; result = 0 or -errno */
    RECORD_CHDIR,    /* payload = the new directory, absolute */
    RECORD_NOTE,     /* something that we cannot see. a = enum note */
    RECORD_CONTEXT,  /* the thread's context from here on (ids all zero: none). payload = struct
                        trace_ids. Records that follow on this lane have its number in flags */
    RECORD_MESSAGE,  /* a part of a message of a protocol: payload = struct message_part and bytes */
    RECORD_OPERATION, /* on a file, in a context, slow or failed; no other record tells of it. fd,
                        generation, or payload = path as in RECORD_PATH */
    RECORD_TLS,      /* a handshake ended. payload = struct tls_handshake, server name, protocol */
    RECORD_TYPES
};

/* What framers found in a connection's bytes (frame.h). */
struct message_part {
    struct trace_ids ids; /* of the span, with a request's FRAME_HEAD_END; else zero */
    uint32_t number;      /* of the message, or the stream */
    uint32_t sequence;    /* of parts of this side of this connection, from 1: a gap is a loss */
    uint64_t body;
    uint16_t what;  /* enum frame_what */
    uint16_t flags; /* FRAME_* */
    uint8_t protocol; /* enum protocol */
    uint8_t side;     /* enum frame_side */
    uint8_t direction; /* 'r' or 'w', as the program has it */
    uint8_t tls;      /* the bytes are plaintext of TLS */
    uint32_t messages;
    uint32_t spare;
};
_Static_assert(sizeof(struct message_part) == 72, "message_part");

enum protocol { PROTOCOL_NONE, PROTOCOL_HTTP1, PROTOCOL_HTTP2 };

struct tls_handshake {
    uint16_t version;    /* on the wire: 0x0303, 0x0304; 0 not known */
    uint8_t server;      /* the program is the server */
    uint8_t library;     /* enum tls_library */
    uint16_t name_length;     /* of the server name, behind this structure; 0 not known */
    uint16_t protocol_length; /* of ALPN's choice, behind the name */
};

/* Whether plaintext of a connection was seen. CLOSE_NO_TLS: it was no TLS, or that is not known. */
enum close_tls { CLOSE_NO_TLS, CLOSE_TLS_UNSEEN, CLOSE_TLS_SEEN };

enum tls_library { TLS_UNKNOWN, TLS_OPENSSL, TLS_GNUTLS, TLS_NSS, TLS_BORINGSSL };

/* A path relative to a directory descriptor: the fold joins the two. */
struct dir_path {
    int32_t dirfd;
    uint32_t generation; /* of dirfd when it was used */
    char path[];
};

/* Socket addresses as the kernel gives them (struct sockaddr_*), length 0: not known. */
struct address_pair {
    uint16_t local_length;
    uint16_t peer_length;
    uint8_t local[112];
    uint8_t peer[112];
};

/* The fixed part of RECORD_NAME's payload; name and answers follow. */
struct name_lookup {
    int32_t error;     /* 0, or EAI_*, or -1000 - h_errno */
    uint16_t name_length;
    uint16_t answers;  /* how many of struct name_answer follow the name (padded to 4 bytes) */
    uint16_t port_known;
    uint16_t spare;
};
struct name_answer {
    uint16_t family; /* AF_INET, AF_INET6 */
    uint16_t spare;
    uint8_t address[16];
};

enum note {
    NOTE_IO_URING = 1,    /* the program uses io_uring: what it does there is not seen */
    NOTE_AIO,             /* the same of the kernel's asynchronous I/O */
    NOTE_STDIO_UNSEEN,    /* stdio's table was not as expected */
    NOTE_SECCOMP,         /* a filter was set: no system calls of ours from here */
    NOTE_DEEPBIND_UNSEEN, /* a library's GOT could not be patched */
    NOTE_TLS_UNSEEN, /* TLS inside the executable could not be hooked; payload = what, and why */
};

/* Why something was not recorded. Exported as `scope.dropped` with attribute `scope.drop.cause`. */
#define SCOPE_DROPS(X)                                                              \
    X(POOL_EMPTY, "pool_empty")       /* no chunk was free */                       \
    X(ABANDONED, "abandoned")         /* a handler jumped out of a record */        \
    X(NO_LANE, "no_lane")             /* more threads than lanes */                 \
    X(DESCRIPTOR, "descriptor_range") /* a number beyond the descriptor table */    \
    X(LOG_RATE, "log_rate")           /* lines beyond the limit a second */         \
    X(LOG_BINARY, "log_binary")       /* binary data left out of logs */            \
    X(LOG_LENGTH, "log_length")       /* a line was cut */                          \
    X(EVENT_RATE, "event_rate")       /* events beyond the limit a second */        \
    X(CARDINALITY, "cardinality")     /* points folded into otel.metric.overflow */ \
    X(STATE, "state_limit")           /* descriptors or names beyond the fold's */  \
    X(QUEUE_FULL, "queue_full")       /* a sink's queue was full */                 \
    X(SINK_FAILED, "sink_failed")     /* a sink refused it for good */              \
    X(REJECTED, "rejected")           /* a server took a batch, but not these of it */ \
    X(TIMEOUT, "timeout")             /* a batch was tried for as long as it may be */ \
    X(EXIT_BOUND, "exit_bound")       /* not delivered within the bound at exit */  \
    X(INVALID, "invalid")             /* a record that made no sense */ \
    X(FLOW, "flow_lost")              /* a connection's bytes that could not be followed */

enum drop {
#define SCOPE_DROP_ENUM(id, name) DROP_##id,
    SCOPE_DROPS(SCOPE_DROP_ENUM)
#undef SCOPE_DROP_ENUM
    DROP_COUNT
};

/* What capture writes records for (region_head.watch). Counters are kept whatever this says. */
enum {
    WATCH_FILES = 1u,
    WATCH_SOCKETS = 2u,
    WATCH_NAMES = 4u,
    WATCH_PROCESSES = 8u,
    WATCH_CONSOLE = 16u,  /* standard output and standard error as logs */
    WATCH_LOGS = 32u,     /* files that look like logs */
    WATCH_SYSLOG = 64u,
    WATCH_DNS_WIRE = 128u,
    WATCH_METRICS = 256u, /* counters and histograms */
    WATCH_FLOWS = 1024u,    /* messages of protocols: spans, and metrics of HTTP and RPC */
    WATCH_TRACES = 2048u,   /* contexts: spans are made of what is seen */
    WATCH_PROCESS_SPAN = 4096u, /* region_head.process is a span of ours; else it came from outside */
    WATCH_INJECT = 8192u, /* traceparent is written into requests that go out */
    WATCH_B3 = 16384u,    /* the fold may find the trace of a request in headers of B3 */
    WATCH_W3C = 32768u,     /* a request's traceparent says whose child it is */
    WATCH_NO_TOTALS = 512u, /* no event will tell what was done on a descriptor: no sums of that */
};

/* Ticks, and what they are worth. Written by the hook's constructor, refined by the reporter. */
struct clock_relation {
    uint64_t ticks;      /* at this tick ... */
    uint64_t unix_nano;  /* ... it was this time, CLOCK_REALTIME */
    uint64_t mono_nano;  /* CLOCK_MONOTONIC at the same tick */
    uint64_t mult;       /* nanoseconds = (ticks * mult) >> 32 */
    uint32_t tsc;        /* 1: ticks are rdtsc / cntvct; 0: they are CLOCK_MONOTONIC nanoseconds */
    uint32_t spare;
};

enum { LOG_GLOBS_SIZE = 1024 };

/* As OTEL_TRACES_SAMPLER: whether the parent's decision holds, else `sample_below` decides alone. */
enum sampler { SAMPLER_OWN, SAMPLER_PARENT };

struct region_head {
    uint64_t magic;
    uint32_t version;
    uint32_t size_of_head;
    uint64_t size;         /* of the region, bytes */
    uint64_t chunks_at;    /* offsets from the region's start */
    uint64_t lanes_at;
    uint32_t chunks;       /* how many of each */
    uint32_t lanes;
    int32_t pid;
    uint32_t enabled;      /* 0: switched off at run time, hooks pass through */
    uint32_t watch;        /* WATCH_* */
    uint32_t sandboxed;    /* 1: a seccomp filter is on, capture makes no system call */
    uint64_t slow_ticks;   /* file operations in a context that take longer are recorded, and those
                              that fail; 0: none is */
    uint32_t late;         /* 1: the process is ending, see reporter_late() */
    uint32_t data_max;     /* bytes of one write to a log that are copied at most */
    struct trace_ids process; /* the span of the process, the parent where no other is known */
    uint64_t process_since;   /* unix ns: when that span began */
    uint64_t random_seed;  /* ids are drawn from this; anew in each forked child */
    uint64_t sample_below; /* a new trace is sampled if the last 7 bytes of its id are below this */
    uint32_t sampler;      /* enum sampler: what is done about a parent's decision */
    uint32_t adopt_children; /* spans that one context adopts at most; 0: no limit */
    uint64_t adopt_ticks;  /* a context adopts nothing after this; 0: no limit */
    struct clock_relation clock;
    /* upper-inclusive bounds, in ticks; two more, ~0, so that a search need not look for the end */
    uint64_t bound_ticks[HISTOGRAM_BOUNDS + 2];
    uint8_t bucket_from[64]; /* the first bucket to try for a duration whose highest bit is n */
    uint64_t least_ticks[HISTOGRAM_BUCKETS]; /* the shortest duration of each bucket */
    /* names of files that look like logs: globs, each NUL-ended, an empty one ends the list */
    char log_globs[LOG_GLOBS_SIZE];

    uint32_t reporter_sleeps __attribute__((aligned(64))); /* futex: 1 while the reporter sleeps */
    uint32_t lanes_high;   /* lanes ever used: the reporter looks no further */
    uint64_t log_budget;   /* bytes of log data that capture may still copy; refilled by the reporter */
    uint64_t drops[DROP_COUNT] __attribute__((aligned(64)));  /* locked adds: rare */
    uint64_t chunk_free[CHUNK_MAX / 64] __attribute__((aligned(64))); /* bit set: free */
    uint64_t chunk_full[CHUNK_MAX / 64] __attribute__((aligned(64))); /* bit set: given to the reporter */
    uint64_t lane_free[LANES_MAX / 64] __attribute__((aligned(64)));     /* bit set: free, 16,384 lanes at most */
    uint32_t chunks_used __attribute__((aligned(64))); /* not free; only a hint */
    uint32_t next_generation; /* of descriptors */
    uint32_t forks;        /* how often region_after_fork was here */
    uint32_t shared_used;  /* 1: something stands in shared_cell or shared_error */
    struct error_count shared_error[SHARED_ERRORS]; /* where a lane's own are exhausted; locked adds */
    /* where a lane's own cells are exhausted; locked adds. min is 0, too, when nothing came */
    struct cell shared_cell[OP_COUNT][KIND_COUNT] __attribute__((aligned(64)));
};

static inline struct lane *region_lane(struct region_head *r, uint32_t i)
{
    return (struct lane *)((uint8_t *)r + r->lanes_at + (uint64_t)i * LANE_SIZE);
}

static inline struct chunk *region_chunk(struct region_head *r, uint32_t i)
{
    return (struct chunk *)((uint8_t *)r + r->chunks_at + (uint64_t)i * CHUNK_SIZE);
}

#endif
