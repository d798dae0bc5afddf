/*
 * capture: what is written down, and how.
 *
 * Owns: the writing side of lanes, chunks and records (layout.h), and the descriptor table.
 * Called by: src/intercept and src/hook only, on the application's threads and inside its signal
 * handlers; everything here is async-signal-safe and takes its lane as a parameter.
 * Must not: call libc, allocate, block, use thread-local storage, or make a system call other than
 * gettid (lane_bind), getpid (a vfork is armed) and one futex wake per full chunk. The files of this
 * folder are compiled freestanding. Nothing here touches errno.
 *
 * Durations are in ticks (ticks_now). Results are what the call returned, or -errno.
 */
#ifndef SCOPE_CAPTURE_CAPTURE_H
#define SCOPE_CAPTURE_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

#include "capture/layout.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* ------------------------------------------------------------------ the descriptor table */

/*
 * One word for each descriptor number: what it is, and which life of the number this is. Process
 * private (a forked child has its copy). 0: never met.
 *
 *   bits 0-7 kind (enum kind)   8-31 FD_* flags   32-63 generation
 *
 * A hook loads the entry *before* the real call, so that a number that is closed and reused
 * meanwhile does not lend its new kind to the old call.
 */
typedef uint64_t fd_entry;

enum {
    FD_OUT = 1u << 8,      /* standard output */
    FD_ERR = 1u << 9,      /* standard error */
    FD_LOG = 1u << 10,     /* a file that looks like a log */
    FD_DNS = 1u << 11,     /* a socket whose peer is port 53: its messages are captured */
    FD_JOURNAL = 1u << 12, /* a datagram socket to journald or /dev/log */
    FD_SERVER = 1u << 13,  /* came from accept */
    FD_CONNECTING = 1u << 14, /* a non-blocking connect is under way */
    FD_CONNECTED = 1u << 15,  /* has a peer */
    FD_ENDED = 1u << 16,   /* the peer has ended the stream; RECORD_END was written */
    FD_BINARY = 1u << 17,  /* what is written here turned out to be binary */
    FD_OPEN = 1u << 18,    /* the descriptor is open as far as we know */
    FD_PEER_SAID = 1u << 19, /* RECORD_PEER was written */
    FD_APPEND = 1u << 20,
    FD_NONBLOCK = 1u << 21,
    FD_IGNORED = 1u << 22, /* not the program's own doing: counted nowhere */
    FD_PEER_HEARD = 1u << 24, /* RECORD_PEER was written for what came in; FD_PEER_SAID: went out */
    FD_INHERITED = 1u << 25, /* open in the parent at the fork; not met yet in this process */
    FD_READ_END = 1u << 23, /* the end of a pipe that is read */
    FD_FLOW = 1u << 26, /* what moves here is looked at: flow.h */
    FD_TLS = 1u << 27,  /* what moves here is ciphertext */
    FD_LISTENS = 1u << 28, /* connections come in here */
    FD_SHOWN = 1u << 29, /* in a call's own copy alone: its bytes were shown to the flow before it */
};

#define FD_KIND(e) ((unsigned)((e) & 0xff))
#define FD_GENERATION(e) ((uint32_t)((e) >> 32))

enum { FD_TABLE_SIZE = 1 << 20 };

extern uint64_t *fd_table; /* FD_TABLE_SIZE words, mapped by hook's constructor; NULL before */

/* The entry of fd, 0 if it was never met, is negative, or is beyond the table. */
static inline fd_entry fd_get(int fd)
{
    if (unlikely((unsigned)fd >= FD_TABLE_SIZE || !fd_table))
        return 0;
    return __atomic_load_n(&fd_table[fd], __ATOMIC_RELAXED);
}

/* A new life of number fd. Returns its entry (with the new generation), 0 beyond the table. */
fd_entry fd_opened(struct region_head *region, int fd, enum kind kind, uint32_t flags);

/*
 * fd is about to be closed: marks it not open and returns the entry it had. Call it before the real
 * call, and fd_reopened() with the result if that fails with anything but EINTR (the entry comes
 * back unless the number has got a new life meanwhile).
 */
fd_entry fd_closing(int fd);
void fd_reopened(int fd, fd_entry was);

/*
 * A forked child: what the parent knew of its descriptors is in the parent's reporter. Each is to be
 * met again at its first use (hook_fd): FD_OPEN gives way to FD_INHERITED, kind and flags stay.
 */
void fd_after_fork(void);

/* Nothing is known of any descriptor any more: what was done to them went by unseen. */
void fd_forget(void);

/* One more than the highest number that fd_opened was given: tables are scanned no further. */
unsigned fd_high(void);

/* Sets and clears flags of this life of fd; does nothing if the number has had another since. */
void fd_change(int fd, uint32_t generation, uint32_t set, uint32_t clear);

/* ------------------------------------------------------------------ time */

extern uint32_t ticks_are_tsc; /* set once by the constructor */
uint64_t ticks_slow(void);     /* CLOCK_MONOTONIC in ns through the vDSO pointer ticks_clock */
extern int (*ticks_clock)(int, void *);

static inline uint64_t ticks_now(void)
{
#if defined(__x86_64__)
    if (likely(ticks_are_tsc))
        return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    if (likely(ticks_are_tsc)) {
        uint64_t t;
        __asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
        return t;
    }
#endif
    return ticks_slow();
}

/* ------------------------------------------------------------------ lanes */

/* Adds to a counter of one's own lane: one instruction, so that a signal handler loses nothing. */
#if defined(__x86_64__)
static inline void lane_add64(uint64_t *p, uint64_t n)
{
    __asm__ volatile("addq %1, %0" : "+m"(*p) : "er"(n) : "cc");
}
static inline void lane_add32(uint32_t *p, uint32_t n)
{
    __asm__ volatile("addl %1, %0" : "+m"(*p) : "ir"(n) : "cc");
}
#else
static inline void lane_add64(uint64_t *p, uint64_t n)
{
    __atomic_fetch_add(p, n, __ATOMIC_RELAXED); /* stadd, or exclusives */
}
static inline void lane_add32(uint32_t *p, uint32_t n)
{
    __atomic_fetch_add(p, n, __ATOMIC_RELAXED);
}
#endif

/*
 * Lays out and initialises a region in `memory` (zeroed, `size` bytes): chunks of the pool and as
 * many lanes as fit. Returns 0, or -EINVAL when the size holds less than one of each.
 */
int region_init(struct region_head *memory, uint64_t size, uint32_t chunks, uint32_t lanes);

/* Fills the histogram bounds from what a tick is worth. Call it again when that is refined. */
void region_set_clock(struct region_head *region, const struct clock_relation *clock);

/*
 * Wakes the reporter if region->reporter_sleeps is 1 (and makes it 0). It waits on that word with
 * FUTEX_WAIT, not FUTEX_WAIT_PRIVATE: it may be another process. No system call in a sandbox.
 */
void region_wake(struct region_head *region);

/* A forked child's copy: forgets what the parent recorded, keeps `own` (may be NULL) bound. */
void region_after_fork(struct region_head *region, struct lane *own, int32_t pid, int32_t tid);

/* A free lane for thread tid of process pid, or NULL (counted as DROP_NO_LANE). */
struct lane *lane_bind(struct region_head *region, int32_t pid, int32_t tid);

/* The thread ends or goes unobserved: its lane is free for the next one, chunk and counters kept. */
void lane_release(struct region_head *region, struct lane *lane);

/*
 * Calls the reporter to what the lane has written now, without waiting for the chunk to fill. (It
 * reads chunks where they are: the lane keeps its own.)
 */
void lane_hand_over(struct region_head *region, struct lane *lane);

#include "capture/count.h"

/* ------------------------------------------------------------------ records */

/* The parts of a record's payload, laid one behind the other. */
struct piece {
    const void *data;
    uint32_t length;
};

/*
 * Writes one record; pieces together at most RECORD_PAYLOAD_MAX (more is cut, RECORD_TRUNCATED set).
 * `record` is a template: word is ignored, payload is set here. Reading the pieces may fault only
 * where the caller gives a pointer that the kernel has not accepted: give none such.
 * Returns 0, or -ENOSPC when there was no room (counted as DROP_POOL_EMPTY).
 */
int record_write(struct region_head *region, struct lane *lane, const struct record *record,
                 const struct piece *pieces, unsigned count);

/*
 * Data written to a log stream, stdout or stderr: `pieces` as the program gave them (an iovec's
 * parts), of which `result` bytes were accepted by the kernel. Copies up to region->data_max bytes
 * into as many RECORD_DATA as that takes, leaves binary data out, honours the log budget.
 */
void record_data(struct region_head *region, struct lane *lane, enum op op, int fd, fd_entry entry,
                 uint64_t start, uint64_t end, int64_t result, const struct piece *pieces,
                 unsigned count, uint32_t flags);

/* Whether a path matches one of region->log_globs (`*` any run, `?` one character; no classes). */
int is_log_name(const struct region_head *region, const char *path);

/* Counts something dropped. */
static inline void drop_count(struct region_head *region, enum drop cause, uint64_t n)
{
    __atomic_fetch_add(&region->drops[cause], n, __ATOMIC_RELAXED);
}

#endif
