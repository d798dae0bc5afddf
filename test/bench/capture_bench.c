/*
 * What capture itself costs, without hooks and system calls: nanoseconds for each of its inlined
 * ways, beside the two readings of the clock that every watched call needs. Best of several rounds.
 *
 *     cc -O2 -D_GNU_SOURCE -Isrc -I. test/bench/capture_bench.c src/capture/[a-z]*.c \
 *        src/report/drain*.c src/os/clock.c -lpthread -o capture_bench
 *     capture_bench [million calls per round]
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "capture/capture.h"
#include "report/report.h"

enum { ROUNDS = 7, FD = 7, REGION = 32 << 20 };

static struct region_head *region;
static fd_entry entry, other_entry;
static uint64_t calls = 4000000;
static volatile uint64_t sink;

typedef void bench(struct lane *lane, uint64_t n);

static double nano(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void nothing(struct lane *lane, uint64_t n)
{
    (void)lane;
    for (uint64_t i = 0; i < n; i++)
        __asm__ volatile("" ::: "memory");
}

static void two_clocks(struct lane *lane, uint64_t n)
{
    (void)lane;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t start = ticks_now();
        __asm__ volatile("" ::: "memory");
        sink = ticks_now() - start;
    }
}

static void io(struct lane *lane, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t start = ticks_now();
        __asm__ volatile("" ::: "memory");
        count_io(region, lane, OP_READ, FD, entry, start, ticks_now(), 4096, 'r');
    }
}

/* The same without a clock: what is left is ours. */
static void io_alone(struct lane *lane, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        count_io(region, lane, OP_READ, FD, entry, 1000, 2000 + (i & 1023), 4096, 'r');
}

static void io_failing(struct lane *lane, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        count_io(region, lane, OP_READ, FD, entry, 1000, 2000, -11, 'r');
}

/* Durations all over: the branch that asks for the latest bucket is foretold wrong half the time.
 */
static void io_varied(struct lane *lane, uint64_t n)
{
    uint64_t x = 1;
    for (uint64_t i = 0; i < n; i++) {
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        count_io(region, lane, OP_READ, FD, entry, 1000, 1000 + (x >> 50), 4096, 'r');
    }
}

/* Two descriptors that share a place: each call evicts the other. */
static void io_evicting(struct lane *lane, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        count_io(region, lane, OP_READ, i & 1 ? FD : FD + LANE_TOTALS, i & 1 ? entry : other_entry,
                 1000, 2000, 4096, 'r');
}

static void call_alone(struct lane *lane, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        count_call(region, lane, OP_STAT, KIND_NONE, 1000, 2000 + (i & 1023), 0, 0);
}

static void record_of(struct lane *lane, uint64_t n, uint32_t payload)
{
    static const char bytes[256];
    struct record r = {.type = RECORD_DATA, .op = OP_WRITE, .kind = KIND_FILE, .fd = FD};
    struct piece piece = {bytes, payload};
    for (uint64_t i = 0; i < n; i++) {
        r.end = i;
        record_write(region, lane, &r, &piece, 1);
    }
}

static void record_empty(struct lane *lane, uint64_t n)
{
    record_of(lane, n, 0);
}

static void record_64(struct lane *lane, uint64_t n)
{
    record_of(lane, n, 64);
}

static void record_200(struct lane *lane, uint64_t n)
{
    record_of(lane, n, 200);
}

struct thread {
    pthread_t id;
    bench *run;
    uint64_t n;
    double took;
    pthread_barrier_t *barrier;
};

static void *thread_main(void *p)
{
    struct thread *t = p;
    struct lane *lane = lane_bind(region, getpid(), gettid());
    t->run(lane, 1000);
    pthread_barrier_wait(t->barrier);
    double start = nano();
    t->run(lane, t->n);
    t->took = nano() - start;
    lane_release(region, lane);
    return NULL;
}

static size_t taken;
static void take(void *context, const struct record *r, const uint8_t *payload, int32_t tid)
{
    (void)context, (void)r, (void)payload, (void)tid;
    taken++;
}

/* Nanoseconds for one call, the best of the rounds, on `threads` threads at once. */
static double measure(bench *run, unsigned threads, uint64_t n)
{
    double best = 1e18;
    struct drain *d = drain_new(region);
    for (int round = 0; round < ROUNDS; round++) {
        struct thread t[2];
        pthread_barrier_t barrier;
        pthread_barrier_init(&barrier, NULL, threads);
        for (unsigned i = 0; i < threads; i++) {
            t[i] = (struct thread){.run = run, .n = n, .barrier = &barrier};
            pthread_create(&t[i].id, NULL, thread_main, &t[i]);
        }
        double took = 0;
        for (unsigned i = 0; i < threads; i++) {
            pthread_join(t[i].id, NULL);
            took = t[i].took > took ? t[i].took : took;
        }
        pthread_barrier_destroy(&barrier);
        best = took / (double)n < best ? took / (double)n : best;
        drain_run(d, true, take, NULL);
        drain_run(d, true, take, NULL);
    }
    drain_free(d);
    return best;
}

static void row(const char *name, bench *run, uint64_t n)
{
    double loop = measure(nothing, 1, n);
    printf("%-44s %9.1f %11.1f\n", name, measure(run, 1, n) - loop, measure(run, 2, n) - loop);
}

/* Reading, for each record, what was written before. */
static void reading(void)
{
    double best = 1e18;
    struct drain *d = drain_new(region);
    struct lane *lane = lane_bind(region, getpid(), gettid());
    for (int round = 0; round < ROUNDS; round++) {
        record_64(lane, 20000);
        taken = 0;
        double start = nano();
        drain_run(d, true, take, NULL);
        double took = (nano() - start) / (double)(taken ? taken : 1);
        best = took < best ? took : best;
    }
    printf("%-44s %9.1f\n", "reader: one record, payload 64", best);
    lane_release(region, lane);
    drain_free(d);
}

/* A run with nothing new, with so many lanes that each hold totals. */
static void idle_run(unsigned lanes)
{
    static struct lane *bound[1024];
    double best = 1e18;
    struct drain *d = drain_new(region);
    for (unsigned i = 0; i < lanes; i++) {
        bound[i] = lane_bind(region, getpid(), (int)i + 1);
        for (int fd = 0; fd < 8; fd++)
            count_io(region, bound[i], OP_READ, fd, 1ULL << 32 | KIND_FILE, 1, 2, 1, 'r');
    }
    drain_run(d, true, take, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        double start = nano();
        drain_run(d, true, take, NULL);
        best = nano() - start < best ? nano() - start : best;
    }
    printf("reader: an idle run, %4u lanes, 8 totals each     %9.1f us\n", lanes, best / 1000);
    for (unsigned i = 0; i < lanes; i++)
        lane_release(region, bound[i]);
    drain_free(d);
}

/* What a forked child does before it goes on. */
static void after_fork(unsigned lanes)
{
    static struct lane *bound[64];
    double *took = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double best = 1e18;
    for (unsigned i = 0; i < lanes; i++) {
        bound[i] = lane_bind(region, getpid(), (int)i + 1);
        record_64(bound[i], 20);
        call_alone(bound[i], 10);
        io_alone(bound[i], 10);
    }
    for (int round = 0; round < ROUNDS; round++) {
        pid_t child = fork();
        if (!child) {
            double start = nano();
            region_after_fork(region, bound[0], getpid(), gettid());
            *took = nano() - start;
            _exit(0);
        }
        waitpid(child, NULL, 0);
        best = *took < best ? *took : best;
    }
    printf("region_after_fork, %2u lanes and chunks in use       %9.1f us\n", lanes, best / 1000);
    for (unsigned i = 0; i < lanes; i++)
        lane_release(region, bound[i]);
    struct drain *d = drain_new(region);
    drain_run(d, true, take, NULL);
    drain_run(d, true, take, NULL);
    drain_free(d);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        calls = strtoull(argv[1], NULL, 10) * 1000000;
    region = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fd_table = mmap(NULL, FD_TABLE_SIZE * sizeof(*fd_table), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED || fd_table == MAP_FAILED || region_init(region, REGION, 1024, 1200))
        return 1;
    region->watch = WATCH_METRICS | WATCH_FILES | WATCH_SOCKETS;
    ticks_are_tsc = 1;
    double start = nano();
    uint64_t ticks = ticks_now();
    while (nano() - start < 2e7)
        ;
    struct clock_relation clock = {
        .mult = (uint64_t)((nano() - start) * 4294967296.0 / (double)(ticks_now() - ticks))};
    region_set_clock(region, &clock);
    entry = fd_opened(region, FD, KIND_FILE, 0);
    other_entry = fd_opened(region, FD + LANE_TOTALS, KIND_FILE, 0);

    uint64_t records = 10 * 1000; /* they fit into the pool */
    printf("%-44s %9s %11s\n", "ns a call", "1 thread", "2 threads");
    row("ticks_now twice", two_clocks, calls);
    row("ticks_now twice and count_io", io, calls);
    row("count_io alone", io_alone, calls);
    row("count_io alone, durations of every length", io_varied, calls);
    row("count_io alone, failing", io_failing, calls);
    row("count_call alone", call_alone, calls);
    row("count_io, evicting another each time", io_evicting, records);
    row("record_write, no payload", record_empty, records);
    row("record_write, payload 64", record_64, records);
    row("record_write, payload 200", record_200, records);
    reading();
    after_fork(1);
    after_fork(8);
    idle_run(16);
    idle_run(1000);
    printf("dropped: pool_empty %llu\n", (unsigned long long)region->drops[DROP_POOL_EMPTY]);
    return 0;
}
