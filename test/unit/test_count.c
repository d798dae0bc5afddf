/* Counters, histograms, errors and totals: exact, whatever happens and wherever they end up. */
#include "region_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

static struct lane *lane;
static struct drain *drain;
static uint64_t table[4096];

static int set_up(void **state)
{
    (void)state;
    region_open(64, 8);
    drain = drain_new(region);
    lane = lane_bind(region, getpid(), gettid());
    memset(table, 0, sizeof(table));
    fd_table = table;
    return !drain || !lane;
}

static int tear_down(void **state)
{
    (void)state;
    drain_free(drain);
    region_close();
    fd_table = NULL;
    return 0;
}

static const struct cell *cell_for(enum op op, enum kind kind)
{
    unsigned at = lane->cell_of[op][kind];
    return at && at != 255 ? &lane->cell[at - 1] : NULL;
}

static void bounds(void **state)
{
    (void)state;
    uint64_t expect = 1000;
    const unsigned steps[3] = {1, 2, 5};
    for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
        assert_int_equal(region->bound_ticks[i], expect * steps[i % 3]);
        if (i % 3 == 2)
            expect *= 10;
    }
    assert_int_equal(region->bound_ticks[HISTOGRAM_BOUNDS - 1], 10000000000);
    /* a counter of 2.6 GHz, one of 24 MHz, one of 1 MHz, and none */
    const double hertz[] = {2.6e9, 24e6, 1e6, 5.1e9};
    for (unsigned c = 0; c < 4; c++) {
        struct clock_relation clock = {.mult = (uint64_t)(1e9 / hertz[c] * 4294967296.0)};
        region_set_clock(region, &clock);
        for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
            unsigned __int128 nano = (unsigned __int128)region->bound_ticks[i] * clock.mult >> 32;
            unsigned __int128 more =
                (unsigned __int128)(region->bound_ticks[i] + 1) * clock.mult >> 32;
            uint64_t bound = (uint64_t)1000 * steps[i % 3];
            for (unsigned k = 0; k < i / 3; k++)
                bound *= 10;
            assert_true(nano <= bound && more >= bound);
        }
        for (uint64_t d = 1; d < 1ULL << 40; d += 1 + d / 7) {
            unsigned b = 0;
            while (b < HISTOGRAM_BOUNDS && d > region->bound_ticks[b])
                b++;
            assert_int_equal(count_bucket(region, d), b);
        }
        for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) { /* a bound belongs to its bucket */
            assert_int_equal(count_bucket(region, region->bound_ticks[i]), i);
            assert_int_equal(count_bucket(region, region->bound_ticks[i] + 1), i + 1);
        }
        assert_int_equal(count_bucket(region, 0), 0);
        assert_int_equal(count_bucket(region, ~0ULL), HISTOGRAM_BOUNDS);
    }
}

static void a_call(void **state)
{
    (void)state;
    const uint64_t durations[] = {500, 1000, 1001, 7000, 0, 20000000000};
    uint64_t sum = 0;
    for (unsigned i = 0; i < 6; i++) {
        count_call(region, lane, OP_STAT, KIND_NONE, 5000, 5000 + durations[i], 3, 0);
        sum += durations[i];
    }
    count_call(region, lane, OP_STAT, KIND_NONE, 5000, 4990, 0, 0); /* another core's counter */
    const struct cell *cell = cell_for(OP_STAT, KIND_NONE);
    assert_non_null(cell);
    assert_int_equal(cell->bytes, 18);
    assert_int_equal(cell->ticks, sum);
    assert_int_equal(cell->min, 0);
    assert_int_equal(cell->max, 20000000000);
    assert_int_equal(cell->bucket[0], 4);
    assert_int_equal(cell->bucket[1], 1);
    assert_int_equal(cell->bucket[3], 1);
    assert_int_equal(cell->bucket[HISTOGRAM_BOUNDS], 1);
    region->watch = 0;
    count_call(region, lane, OP_STAT, KIND_NONE, 0, 1, 0, 0);
    assert_int_equal(cell_count(OP_STAT, KIND_NONE), 7);
}

static void cells_run_out(void **state)
{
    (void)state;
    unsigned n = 0;
    for (unsigned op = 0; op < 10; op++) {
        for (unsigned kind = 0; kind < KIND_COUNT; kind++, n++) {
            for (unsigned i = 0; i <= n; i++)
                count_call(region, lane, op, kind, 0, 5 + i, 2, 0);
        }
    }
    n = 0;
    for (unsigned op = 0; op < 10; op++) {
        for (unsigned kind = 0; kind < KIND_COUNT; kind++, n++)
            assert_int_equal(cell_count(op, kind), n + 1);
    }
    assert_int_equal(lane->cell_of[9][KIND_COUNT - 1], 255);
    const struct cell *cell = &region->shared_cell[9][KIND_COUNT - 1];
    assert_int_equal(cell->bytes, 2 * n);
    assert_int_equal(cell->min, 5);
    assert_int_equal(cell->max, 4 + n);
    assert_int_equal(region->shared_used, 1);
}

static uint64_t error_total(unsigned op, unsigned kind, unsigned error)
{
    uint32_t key = 1u << 31 | op << 20 | kind << 16 | error;
    uint64_t n = 0;
    for (unsigned i = 0; i < LANE_ERRORS; i++)
        n += lane->error[i].key == key ? lane->error[i].count : 0;
    for (unsigned i = 0; i < SHARED_ERRORS; i++)
        n += region->shared_error[i].key == key ? region->shared_error[i].count : 0;
    return n;
}

static void errors_run_out(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned e = 1; e <= 133; e++)
            count_call(region, lane, OP_OPEN, KIND_FILE, 0, 1, 0, (int)e);
    }
    for (unsigned e = 1; e <= 133; e++)
        assert_int_equal(error_total(OP_OPEN, KIND_FILE, e), 3);
    assert_int_equal(region->drops[DROP_CARDINALITY], 0);
    for (unsigned e = 1; e <= 200; e++)
        count_call(region, lane, OP_READ, KIND_TCP, 0, 1, 0, (int)e);
    uint64_t kept = 0;
    for (unsigned e = 1; e <= 200; e++)
        kept += error_total(OP_READ, KIND_TCP, e);
    assert_int_equal(kept + region->drops[DROP_CARDINALITY], 200);
    assert_true(region->drops[DROP_CARDINALITY] > 0);
}

static void totals_of_a_descriptor(void **state)
{
    (void)state;
    struct totals t;
    fd_entry e = fd_opened(region, 3, KIND_FILE, 0);
    count_io(region, lane, OP_READ, 3, e, 100, 150, 10, 'r');
    count_io(region, lane, OP_READ, 3, e, 200, 260, -11, 'r');
    count_io(region, lane, OP_WRITE, 3, e, 300, 370, 7, 'w');
    count_io(region, lane, OP_LSEEK, 3, e, 400, 401, 123456, 0);
    count_io(region, lane, OP_READ, 3, e, 500, 501, -9, 'r'); /* EBADF says nothing of this life */
    totals_add(region, lane, 3, e, 600, 1000, 'w');
    assert_int_equal(totals_take(lane, 3, FD_GENERATION(e), &t), 1);
    assert_int_equal(t.fd, 3);
    assert_int_equal(t.generation, FD_GENERATION(e));
    assert_int_equal(t.read_bytes, 10);
    assert_int_equal(t.read_ops, 2);
    assert_int_equal(t.write_bytes, 1007);
    assert_int_equal(t.write_ops, 2);
    assert_int_equal(t.other_ops, 1);
    assert_int_equal(t.errors, 1);
    assert_int_equal(t.ticks, 50 + 60 + 70 + 1);
    assert_int_equal(t.last, 600);
    assert_int_equal(totals_take(lane, 3, FD_GENERATION(e), &t), 0);
    assert_int_equal(t.fd, 3);
    assert_int_equal(t.read_ops, 0);
    assert_int_equal(cell_count(OP_READ, KIND_FILE), 3);
    assert_int_equal(error_total(OP_READ, KIND_FILE, 11), 1);
    assert_int_equal(error_total(OP_READ, KIND_FILE, 9), 1);
    assert_int_equal(cell_for(OP_LSEEK, KIND_FILE)->bytes, 0);
}

static void what_is_not_ours_to_count(void **state)
{
    (void)state;
    fd_entry e = fd_opened(region, 3, KIND_FILE, FD_IGNORED);
    count_io(region, lane, OP_READ, 3, e, 0, 1, 10, 'r');
    assert_int_equal(cell_count(OP_READ, KIND_FILE), 0);
    count_io(region, lane, OP_READ, 77, 0, 0, 1, 10, 'r'); /* never met */
    assert_int_equal(cell_count(OP_READ, KIND_UNKNOWN), 1);
    for (unsigned i = 0; i < LANE_TOTALS; i++)
        assert_int_equal(lane->totals[i].generation, 0);
}

/* Many more descriptors than places: what is evicted comes as records, and adds up. */
static void evicted_totals_add_up(void **state)
{
    (void)state;
    static fd_entry e[200];
    struct gathered g = {0};
    for (int fd = 0; fd < 200; fd++)
        e[fd] = fd_opened(region, fd, KIND_FILE, 0);
    for (unsigned i = 0; i < 4000; i++) {
        int fd = (int)(i * 7919 % 200);
        count_io(region, lane, OP_READ, fd, e[fd], 100, 103, fd, 'r');
        if (i % 500 == 0)
            drain_run(drain, i % 1000 == 0, gather, &g); /* looked at meanwhile: nothing twice */
    }
    drain_run(drain, true, gather, &g);
    drain_run(drain, true, gather, &g);
    assert_int_equal(g.totals.read_ops, 4000);
    assert_int_equal(g.totals.ticks, 12000);
    assert_int_equal(g.totals.read_bytes, 20 * 199 * 200 / 2);
    assert_int_equal(region->drops[DROP_POOL_EMPTY], 0);
}

/* Where there is no room for the record, the newest is lost, once, and counted. */
static void eviction_without_room(void **state)
{
    (void)state;
    struct gathered g = {0};
    fd_entry a = fd_opened(region, 3, KIND_FILE, 0);
    fd_entry b = fd_opened(region, 3 + LANE_TOTALS, KIND_FILE, 0);
    for (unsigned i = 0; i < 10; i++)
        count_io(region, lane, OP_READ, 3, a, 0, 1, 1, 'r');
    while (write_pattern(lane, 1) == 0)
        ;
    struct record r = {.type = RECORD_PATH};
    while (record_write(region, lane, &r, NULL, 0) == 0)
        ;
    uint64_t drops = region->drops[DROP_POOL_EMPTY];
    count_io(region, lane, OP_READ, 3 + LANE_TOTALS, b, 0, 1, 1, 'r');
    assert_int_equal(region->drops[DROP_POOL_EMPTY], drops + 1);
    count_io(region, lane, OP_READ, 3, a, 0, 1, 1, 'r'); /* the old one is still there */
    assert_int_equal(region->drops[DROP_POOL_EMPTY], drops + 1);
    drain_run(drain, true, gather, &g);
    drain_run(drain, true, gather, &g);
    assert_int_equal(g.totals.read_ops, 11);
    assert_int_equal(cell_count(OP_READ, KIND_FILE), 12);
}

/* ------------------------------------------------------------------ a storm */

static fd_entry storm_entry[3];
static _Atomic uint64_t storm_calls[3];

static void storm_count(unsigned which)
{
    /* two that share a place, and one that does not */
    static const int fds[3] = {3, 3 + LANE_TOTALS, 4};
    count_io(region, lane, OP_READ, fds[which], storm_entry[which], 100, 100 + 3, 5, 'r');
    atomic_fetch_add(&storm_calls[which], 1);
}

static void on_storm(int signal)
{
    (void)signal;
    storm_count(1);
    storm_count(0);
    storm_count(2);
}

static void storm_is_counted_exactly(void **state)
{
    (void)state;
    struct gathered g = {0};
    struct sigaction sa = {.sa_handler = on_storm, .sa_flags = SA_NODEFER | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    struct itimerspec every = {{0, 100000}, {0, 100000}};
    timer_t timer;
    for (unsigned i = 0; i < 3; i++)
        storm_calls[i] = 0;
    storm_entry[0] = fd_opened(region, 3, KIND_FILE, 0);
    storm_entry[1] = fd_opened(region, 3 + LANE_TOTALS, KIND_FILE, 0);
    storm_entry[2] = fd_opened(region, 4, KIND_FILE, 0);
    sigaction(SIGUSR1, &sa, NULL);
    event._sigev_un._tid = gettid();
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    timer_settime(timer, 0, &every, NULL);
    for (unsigned i = 0; i < 15000000; i++) {
        storm_count(i % 1024 == 0);
        if (i % 65536 == 0)
            drain_run(drain, true, gather, &g);
    }
    timer_delete(timer);
    signal(SIGUSR1, SIG_IGN);
    drain_run(drain, true, gather, &g);
    drain_run(drain, true, gather, &g);
    uint64_t calls = storm_calls[0] + storm_calls[1] + storm_calls[2];
    print_message("storm: %llu calls, %llu in handlers\n", (unsigned long long)calls,
                  (unsigned long long)storm_calls[2] * 3);
    assert_true(storm_calls[2] > 0);
    assert_int_equal(region->drops[DROP_POOL_EMPTY], 0);
    assert_int_equal(cell_count(OP_READ, KIND_FILE), calls);
    assert_int_equal(cell_for(OP_READ, KIND_FILE)->bytes, 5 * calls);
    assert_int_equal(cell_for(OP_READ, KIND_FILE)->ticks, 3 * calls);
    assert_int_equal(g.totals.read_ops, calls);
    assert_int_equal(g.totals.read_bytes, 5 * calls);
    assert_int_equal(g.totals.ticks, 3 * calls);
}

/* ------------------------------------------------------------------ several threads on one */

enum { WORKERS = 4, CALLS = 300000 };
static pthread_barrier_t all_done;

static void *worker(void *p)
{
    struct lane *own = lane_bind(region, getpid(), gettid());
    fd_entry e = *(fd_entry *)p;
    for (unsigned i = 0; i < CALLS; i++)
        count_io(region, own, OP_WRITE, 3, e, 10, 12, 8, 'w');
    pthread_barrier_wait(&all_done); /* counted */
    pthread_barrier_wait(&all_done); /* closed */
    return NULL;
}

/* One of several threads closes: what the others hold comes before the close. */
static uint64_t before_close;
static bool closed;

static void order(void *context, const struct record *r, const uint8_t *payload, int32_t tid)
{
    gather(context, r, payload, tid);
    if (r->type == RECORD_TOTALS && !closed)
        before_close += ((const struct totals *)payload)->write_ops;
    if (r->type == RECORD_CLOSE) {
        closed = true;
        before_close += ((const struct totals *)payload)->write_ops;
    }
}

static void all_threads_totals_come_with_the_close(void **state)
{
    (void)state;
    pthread_t threads[WORKERS];
    struct gathered g = {0};
    fd_entry e = fd_opened(region, 3, KIND_FILE, 0);
    before_close = 0;
    closed = false;
    pthread_barrier_init(&all_done, NULL, WORKERS + 1);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_create(&threads[i], NULL, worker, &e);
    for (unsigned i = 0; i < 10; i++)
        drain_run(drain, i == 5, order, &g);
    pthread_barrier_wait(&all_done);
    struct totals t;
    totals_take(lane, 3, FD_GENERATION(e), &t);
    struct record r = {
        .type = RECORD_CLOSE, .end = ticks_now(), .fd = 3, .generation = FD_GENERATION(e)};
    struct piece piece = {&t, sizeof(t)};
    record_write(region, lane, &r, &piece, 1);
    drain_run(drain, false, order, &g);
    assert_true(closed);
    assert_int_equal(before_close, WORKERS * CALLS);
    assert_int_equal(g.totals.write_bytes, 8ULL * WORKERS * CALLS);
    pthread_barrier_wait(&all_done);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    drain_run(drain, true, order, &g);
    assert_int_equal(g.totals.write_ops, WORKERS * CALLS);
    assert_int_equal(cell_count(OP_WRITE, KIND_FILE), WORKERS * CALLS);
    pthread_barrier_destroy(&all_done);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        TEST(bounds),
        TEST(a_call),
        TEST(cells_run_out),
        TEST(errors_run_out),
        TEST(totals_of_a_descriptor),
        TEST(what_is_not_ours_to_count),
        TEST(evicted_totals_add_up),
        TEST(eviction_without_room),
        TEST(storm_is_counted_exactly),
        TEST(all_threads_totals_come_with_the_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
