/*
 * What a traced HTTP request costs, without hooks, system calls and the network: nanoseconds of the
 * application's thread for the steps of capture, and of the reporter's for a request that has
 * become a span and its metrics, in NDJSON lines to /dev/null.
 *
 *     build/release/bench/trace_bench [ROUNDS]
 *
 * The median of the rounds, and the least and the most. For counts that no neighbour disturbs:
 *
 *     valgrind --tool=callgrind --collect-atstart=no --toggle-collect=PART trace_bench 1
 *
 * with PART measure_request, measure_head, measure_ids, measure_record or measure_reporter: divide
 * by N.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "capture/flow.h"
#include "capture/http1_frame.h"
#include "report/reporter.h"

enum { REGION = 64 << 20, FD = 7, FDS = 32, N = 2000, ROUNDS_MOST = 99 };

static const char request[] =
    "GET /api/v1/orders/4711?currency=EUR HTTP/1.1\r\n"
    "Host: shop.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "Connection: keep-alive\r\n"
    "\r\n";
static const char request_traced[] =
    "GET /api/v1/orders/4711?currency=EUR HTTP/1.1\r\n"
    "Host: shop.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
    "Connection: keep-alive\r\n"
    "\r\n";
static const char response[] = "HTTP/1.1 200 OK\r\n"
                               "Server: nginx/1.22.1\r\n"
                               "Date: Wed, 25 Nov 2026 10:00:00 GMT\r\n"
                               "Content-Type: application/json\r\n"
                               "Content-Length: 1024\r\n"
                               "Connection: keep-alive\r\n"
                               "ETag: \"6565b1c2-400\"\r\n"
                               "Accept-Ranges: bytes\r\n"
                               "\r\n";
static char body[1024];

static struct region_head *region;
static struct lane *lane;
static fd_entry entry[FDS];
static struct reporter *reporter;
static volatile uint64_t sink;

static double nano(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ------------------------------------------------------------------ what is measured */

static void moved(unsigned i, int direction, const struct piece *pieces, unsigned count)
{
    uint64_t now = ticks_now(), length = 0;
    for (unsigned k = 0; k < count; k++)
        length += pieces[k].length;
    struct flow_bytes m = {.lane = lane,
                           .fd = FD + (int)(i % FDS),
                           .entry = entry[i % FDS],
                           .start = now,
                           .end = now + 1,
                           .direction = direction};
    flow_moved(region, &m, pieces, count, length);
}

/* A request and its answer, as nginx moves them: one recv, one writev of head and body. */
static void exchange(unsigned i, const char *asked, size_t length)
{
    const struct piece in = {asked, (uint32_t)length};
    const struct piece out[2] = {{response, sizeof(response) - 1}, {body, sizeof(body)}};
    moved(i, 'r', &in, 1);
    moved(i, 'w', out, 2);
    flow_idle(region, lane);
}

__attribute__((noinline)) static void measure_request(void)
{
    for (unsigned i = 0; i < N; i++)
        exchange(i, request, sizeof(request) - 1);
}

__attribute__((noinline)) static void measure_traced(void)
{
    for (unsigned i = 0; i < N; i++)
        exchange(i, request_traced, sizeof(request_traced) - 1);
}

/* The framer alone, of the request's head. */
__attribute__((noinline)) static void measure_head(void)
{
    for (unsigned i = 0; i < N; i++) {
        struct http1_frame f = {0};
        struct frame_step step = {0};
        http1_step(&f, SIDE_REQUEST, (const uint8_t *)request, sizeof(request) - 1, &step);
        sink += step.used;
    }
}

__attribute__((noinline)) static void measure_ids(void)
{
    static const struct trace_ids none;
    for (unsigned i = 0; i < N; i++) {
        struct trace_ids ids;
        trace_begin(region, lane, &none, &ids);
        sink += ids.span_id[0];
    }
}

/* A record as long as that of the request's head. */
__attribute__((noinline)) static void measure_record(void)
{
    struct record r = {.type = RECORD_NOTE, .kind = KIND_TCP, .fd = FD};
    struct piece pieces[2] = {{body, sizeof(struct message_part)}, {request, sizeof(request) - 1}};
    for (unsigned i = 0; i < N; i++)
        record_write(region, lane, &r, pieces, 2);
}

__attribute__((noinline)) static void measure_reporter(void)
{
    reporter_pass(reporter, PASS_FINAL | PASS_KEEP_LINES, UINT64_MAX, NULL);
}

/* ------------------------------------------------------------------ the rounds */

struct part {
    const char *name;
    void (*before)(void), (*run)(void);
    double per_call[ROUNDS_MOST];
};

static void empty(void)
{
    reporter_pass(reporter, PASS_FINAL | PASS_KEEP_LINES, UINT64_MAX, NULL);
}

static void full(void)
{
    empty();
    measure_request();
}

static void full_traced(void)
{
    empty();
    measure_traced();
}

static struct part parts[] = {
    {"capture: request and answer", empty, measure_request, {0}},
    {"capture: the same with traceparent", empty, measure_traced, {0}},
    {"capture: http1_step of the request's head", empty, measure_head, {0}},
    {"capture: trace_begin of a new trace", empty, measure_ids, {0}},
    {"capture: record_write of the request's head", empty, measure_record, {0}},
    {"reporter: request and answer", full, measure_reporter, {0}},
    {"reporter: the same with traceparent", full_traced, measure_reporter, {0}},
};
enum { PARTS = sizeof(parts) / sizeof(parts[0]) };

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void *map(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED)
        exit(1);
    return p;
}

static void open_region(void)
{
    region = map(REGION);
    fd_table = map(FD_TABLE_SIZE * sizeof(*fd_table));
    flow_table = map((size_t)FLOW_MAX * FLOW_SIZE);
    if (region_init(region, REGION, 2048, 64))
        exit(1);
    region->pid = getpid();
    region->enabled = 1;
    region->watch = WATCH_METRICS | WATCH_SOCKETS | WATCH_FLOWS | WATCH_TRACES;
    region->sample_below = 1ULL << 56;
    region->random_seed = 42;
    ticks_are_tsc = 1;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    struct clock_relation clock = {
        .mult = 1ULL << 31, .ticks = ticks_now(), .unix_nano = (uint64_t)t.tv_sec * 1000000000};
    region_set_clock(region, &clock);
    lane = lane_bind(region, getpid(), getpid());
    for (int i = 0; i < FDS; i++)
        entry[i] = fd_opened(region, FD + i, KIND_TCP, FD_FLOW | FD_SERVER);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 15;
    char *environment[] = {(char *)"HOME=/nonexistent", NULL};
    char *sets[] = {(char *)"ndjson.to=file:///dev/null", NULL};
    struct conf_input input = {.environ = environment, .file = "/dev/null", .sets = sets};

    if (rounds < 1 || rounds > ROUNDS_MOST)
        return 64;
    open_region();
    struct reporter_options options = {.region = region,
                                       .conf = conf_load(&input, NULL, NULL),
                                       .saved_stdout = -1,
                                       .saved_stderr = -1};
    reporter = options.conf ? reporter_new(&options, getpid()) : NULL;
    if (!reporter)
        return 1;
    for (int round = 0; round < rounds; round++) {
        for (unsigned p = 0; p < PARTS; p++) {
            parts[p].before();
            double start = nano();
            parts[p].run();
            parts[p].per_call[round] = (nano() - start) / N;
        }
    }
    printf("%-46s %8s %18s\n", "ns of CPU a request, or a call", "median", "least to most");
    for (unsigned p = 0; p < PARTS; p++) {
        qsort(parts[p].per_call, (size_t)rounds, sizeof(double), compare);
        printf("%-46s %8.0f %8.0f to %7.0f\n", parts[p].name, parts[p].per_call[rounds / 2],
               parts[p].per_call[0], parts[p].per_call[rounds - 1]);
    }
    for (unsigned i = 0; i < DROP_COUNT; i++)
        if (region->drops[i])
            printf("dropped in capture, cause %u: %llu\n", i, (unsigned long long)region->drops[i]);
    return 0;
}
