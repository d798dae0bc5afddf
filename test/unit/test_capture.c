/* Region, lanes, fork, and what is copied of data written to logs. */
#include "region_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

static int set_up(void **state)
{
    (void)state;
    region_open(64, 128);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    region_close();
    return 0;
}

static void region_shapes(void **state)
{
    (void)state;
    size_t head = (sizeof(struct region_head) + 4095) & ~(size_t)4095;
    struct region_head *r = calloc(1, head + 3 * CHUNK_SIZE);
    assert_int_equal(region_init(r, head, 4, 4), -EINVAL);
    assert_int_equal(region_init(r, head + CHUNK_SIZE + LANE_SIZE - 1, 4, 4), -EINVAL);
    assert_int_equal(region_init(r, head + CHUNK_SIZE + LANE_SIZE, 0, 4), -EINVAL);
    assert_int_equal(region_init(r, head + CHUNK_SIZE + LANE_SIZE, 4, 0), -EINVAL);
    assert_int_equal(region_init(r, head + CHUNK_SIZE + LANE_SIZE, 4, 4), 0);
    assert_int_equal(r->chunks, 1);
    assert_int_equal(r->lanes, 1);
    assert_int_equal(r->chunk_free[0], 1);
    assert_int_equal(r->lane_free[0], 1);
    memset(r, 0, head);
    assert_int_equal(region_init(r, head + 3 * CHUNK_SIZE, 2, 4), 0);
    assert_int_equal(r->chunks, 2);
    assert_int_equal(r->lanes, 2);
    assert_true(r->lanes_at + 2 * LANE_SIZE <= r->size);
    assert_int_equal(region_chunk(r, 0)->head, 0);
    free(r);
}

static void lanes_are_the_lowest_free(void **state)
{
    (void)state;
    struct lane *l[130];
    for (int i = 0; i < 128; i++) {
        l[i] = lane_bind(region, 10, 100 + i);
        assert_int_equal(l[i]->number, i);
        assert_int_equal(l[i]->tid, 100 + i);
        assert_int_equal(l[i]->pid, 10);
    }
    assert_int_equal(region->lanes_high, 128);
    assert_null(lane_bind(region, 10, 1));
    assert_int_equal(region->drops[DROP_NO_LANE], 1);
    lane_release(region, l[100]);
    lane_release(region, l[3]);
    lane_release(region, l[3]); /* the sweep and the thread's own end: once */
    assert_int_equal(lane_bind(region, 10, 1)->number, 3);
    assert_int_equal(lane_bind(region, 10, 1)->number, 100);
    assert_null(lane_bind(region, 10, 1));
}

static void counters_outlive_the_thread(void **state)
{
    (void)state;
    struct lane *lane = lane_bind(region, 10, 1);
    count_call(region, lane, OP_STAT, KIND_NONE, 0, 5, 0, 0);
    lane->attention = LANE_VFORK;
    lane->alt_hi = 1000;
    lane->context.span_id[1] = 7;
    lane_release(region, lane);
    assert_ptr_equal(lane_bind(region, 10, 2), lane);
    assert_int_equal(lane->attention, 0);
    assert_int_equal(lane->alt_hi, 0);
    assert_int_equal(lane->context.span_id[1], 0);
    count_call(region, lane, OP_STAT, KIND_NONE, 0, 5, 0, 0);
    assert_int_equal(cell_count(OP_STAT, KIND_NONE), 2);
    assert_int_equal(lane->next_cell, 1);
}

/* The bitmap under contention: no lane is ever two threads', none is lost. */
static _Atomic int owner[128];

static void *bind_and_release(void *p)
{
    for (int i = 0; i < 100000; i++) {
        struct lane *lane = lane_bind(region, 1, 1);
        demand(lane && !atomic_exchange(&owner[lane->number], 1));
        atomic_store(&owner[lane->number], 0);
        lane_release(region, lane);
    }
    return p;
}

static void no_lane_is_lost_or_shared(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, bind_and_release, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(region->lane_free[0], ~0ULL);
    assert_int_equal(region->lane_free[1], ~0ULL);
    assert_in_range(region->lanes_high, 1, 4);
}

static void the_reporter_is_woken(void **state)
{
    (void)state;
    struct lane *lane = lane_bind(region, 10, 1);
    region->reporter_sleeps = 1;
    write_pattern(lane, 1);
    assert_int_equal(region->reporter_sleeps, 1); /* not for a record */
    uint32_t first = lane->chunk;
    for (unsigned i = 0; lane->chunk == first; i++)
        write_pattern(lane, i);
    assert_int_equal(region->reporter_sleeps, 0); /* for a full chunk */
    assert_true(region->chunk_full[(first - 1) / 64] >> (first - 1) % 64 & 1);
    region->reporter_sleeps = 1;
    lane_hand_over(region, lane);
    assert_int_equal(region->reporter_sleeps, 0);
    region->reporter_sleeps = 1;
    region->sandboxed = 1; /* a system call could kill the process */
    lane_hand_over(region, lane);
    assert_int_equal(region->reporter_sleeps, 1);
    region->sandboxed = 0;
    /* many threads that hold a chunk each and fill none */
    for (int i = 0; i < 60; i++)
        write_pattern(lane_bind(region, 10, 2 + i), 1);
    assert_int_equal(region->reporter_sleeps, 0);
}

/* ------------------------------------------------------------------ fork */

static void a_child_begins_anew(void **state)
{
    (void)state;
    static uint64_t table[64];
    fd_table = table;
    fd_entry e = fd_opened(region, 3, KIND_FILE, 0);
    struct lane *low = lane_bind(region, getpid(), 11);
    struct lane *own = lane_bind(region, getpid(), 12);
    struct lane *high = lane_bind(region, getpid(), 13);
    struct lane *lanes[3] = {low, own, high};
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned n = 0; n < 100; n++)
            write_pattern(lanes[i], n);
        count_io(region, lanes[i], OP_READ, 3, e, 0, 100, 10, 'r');
        count_io(region, lanes[i], OP_READ, 3, e, 0, 1, -5, 'r');
    }
    region->drops[DROP_LOG_RATE] = 5;
    region->late = 1;
    pid_t child = fork();
    if (child == 0) {
        static uint8_t seen[512];
        struct gathered g = {.seen = seen, .seen_room = 512};
        region_after_fork(region, own, getpid(), gettid());
        demand(chunks_free() == 64 && own->chunk == 0 && own->tid == gettid());
        demand(region->drops[DROP_LOG_RATE] == 0 && !region->late && region->pid == getpid());
        demand(cell_count(OP_READ, KIND_FILE) == 0);
        demand(region->lanes_high == 2);
        check_free_chunks();
        struct drain *d = drain_new(region);
        demand(drain_run(d, true, gather, &g) == 0);
        write_pattern(own, 300);
        count_io(region, own, OP_READ, 3, e, 0, 100, 10, 'r');
        count_io(region, own, OP_READ, 3, e, 0, 100, -5, 'r');
        struct lane *other = lane_bind(region, getpid(), 20);
        demand(other == low); /* the parent's threads are not here */
        struct lane *third = lane_bind(region, getpid(), 21);
        demand(third == high);
        count_io(region, third, OP_READ, 3, e, 0, 100, 10, 'r');
        demand(cell_count(OP_READ, KIND_FILE) == 3);
        write_pattern(third, 301);
        drain_run(d, true, gather, &g);
        drain_run(d, true, gather, &g);
        demand(g.data == 2 && seen[300] && seen[301] && g.threads == 2);
        demand(g.totals.read_ops == 3 && g.totals.read_bytes == 20 && g.totals.errors == 1);
        demand(own->cell[own->cell_of[OP_READ][KIND_FILE] - 1].min == 100);
        _exit(0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(cell_count(OP_READ, KIND_FILE), 6); /* the parent's are its own */
    fd_table = NULL;
}

/* A child whose thread had no lane: all lanes are free, and clean once bound. */
static void a_child_without_a_lane(void **state)
{
    (void)state;
    struct lane *lane = lane_bind(region, 1, 11);
    count_call(region, lane, OP_STAT, KIND_NONE, 0, 5, 0, 0);
    for (unsigned i = 0; i < 300; i++) /* the shared ones as well */
        count_call(region, lane, i / KIND_COUNT, i % KIND_COUNT, 0, 5, 0, (int)(i % 50));
    assert_int_equal(region->shared_used, 1);
    region_after_fork(region, NULL, 2, 2);
    assert_int_equal(region->lanes_high, 0);
    for (unsigned op = 0; op < OP_COUNT; op++) {
        for (unsigned kind = 0; kind < KIND_COUNT; kind++)
            assert_int_equal(cell_count(op, kind), 0);
    }
    for (unsigned i = 0; i < SHARED_ERRORS; i++)
        assert_int_equal(region->shared_error[i].key, 0);
    assert_ptr_equal(lane_bind(region, 2, 2), lane);
    assert_int_equal(cell_count(OP_STAT, KIND_NONE), 0);
    assert_int_equal(lane->error[0].key | lane->error[1].key | lane->error[2].key, 0);
}

/* fork() from a signal handler that interrupted a writer: its chunk is left alone. */
static void a_child_of_an_interrupted_writer(void **state)
{
    (void)state;
    struct lane *lane = lane_bind(region, 1, 11);
    write_pattern(lane, 1);
    uint32_t c = lane->chunk;
    lane->writer = (uint64_t)&c | 1;
    region_after_fork(region, lane, 2, 2);
    assert_int_equal(chunks_free(), 63);
    assert_false(region->chunk_free[(c - 1) / 64] >> (c - 1) % 64 & 1);
}

/* ------------------------------------------------------------------ logs */

static void globs(const char *const *list)
{
    memset(region->log_globs, 0, LOG_GLOBS_SIZE);
    for (char *p = region->log_globs; *list; list++) {
        strcpy(p, *list);
        p += strlen(*list) + 1;
    }
}

static void log_names(void **state)
{
    (void)state;
    assert_false(is_log_name(region, "/var/log/x.log"));
    globs((const char *const[]){"*.log", "/var/log/*", "*/a?c*d", NULL});
    assert_true(is_log_name(region, "/srv/x.log"));
    assert_true(is_log_name(region, "/srv/x.log.log"));
    assert_false(is_log_name(region, "/srv/x.log.1"));
    assert_true(is_log_name(region, "/var/log/"));
    assert_true(is_log_name(region, "/var/log/a/b"));
    assert_false(is_log_name(region, "/var/lo"));
    assert_true(is_log_name(region, "/abcd"));
    assert_true(is_log_name(region, "/x/abcabc-d"));
    assert_false(is_log_name(region, "/ac-d"));
    assert_false(is_log_name(region, ""));
    globs((const char *const[]){"*", NULL});
    assert_true(is_log_name(region, ""));
    /* the worst case for a matcher that goes back ends, and soon */
    globs((const char *const[]){"*a*a*a*a*a*a*a*a*a*a*a*a*b", NULL});
    char path[4096];
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_false(is_log_name(region, path));
    /* a list without an end does not lead out of it */
    memset(region->log_globs, 'x', LOG_GLOBS_SIZE);
    memset(path, 'x', LOG_GLOBS_SIZE);
    path[LOG_GLOBS_SIZE] = '\0';
    assert_true(is_log_name(region, path));
}

struct data_seen {
    char bytes[200000];
    size_t length;
    unsigned records, more, truncated, binary;
    uint64_t whole;
};

static void see_data(void *context, const struct record *r, const uint8_t *payload, int32_t tid)
{
    struct data_seen *s = context;
    (void)tid;
    if (r->type != RECORD_DATA)
        return;
    assert_int_equal(r->b, s->length);
    assert_true(s->length + r->payload <= sizeof(s->bytes));
    memcpy(s->bytes + s->length, payload, r->payload);
    s->length += r->payload;
    s->records++;
    s->more += (r->flags & RECORD_MORE) != 0;
    s->truncated += (r->flags & RECORD_TRUNCATED) != 0;
    s->binary += (r->flags & RECORD_BINARY) != 0;
    s->whole = r->a;
}

static void data_of(struct data_seen *s, fd_entry e, const struct piece *pieces, unsigned count,
                    int64_t result)
{
    struct drain *d = drain_new(region);
    struct lane *lane = lane_bind(region, 1, 1);
    memset(s, 0, sizeof(*s));
    record_data(region, lane, OP_WRITEV, 3, e, 1, 2, result, pieces, count, RECORD_OUT);
    drain_run(d, true, see_data, s);
    drain_run(d, true, see_data, s);
    lane_release(region, lane);
    drain_free(d);
}

static void data_is_copied_in_parts(void **state)
{
    (void)state;
    static struct data_seen s;
    static char text[100000];
    struct piece pieces[50];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 23);
    for (unsigned i = 0; i < 50; i++) {
        pieces[i].data = text + i * 2000;
        pieces[i].length = 2000;
    }
    region->data_max = 1 << 20;
    data_of(&s, 0, pieces, 50, sizeof(text));
    assert_int_equal(s.length, sizeof(text));
    assert_memory_equal(s.bytes, text, sizeof(text));
    assert_int_equal(s.more, s.records - 1);
    assert_int_equal(s.truncated, 0);
    assert_int_equal(s.whole, sizeof(text));
    data_of(&s, 0, pieces, 50, 4321); /* a short write: what the kernel took, no more */
    assert_int_equal(s.length, 4321);
    assert_memory_equal(s.bytes, text, 4321);
    region->data_max = 10000;
    data_of(&s, 0, pieces, 50, sizeof(text));
    assert_int_equal(s.length, 10000);
    assert_int_equal(s.truncated, 1);
    assert_int_equal(s.whole, sizeof(text));
    data_of(&s, 0, pieces, 50, -11);
    assert_int_equal(s.records, 0);
    data_of(&s, 0, pieces, 50, 0);
    assert_int_equal(s.records, 0);
    region->data_max = 0;
    data_of(&s, 0, pieces, 50, 100);
    assert_int_equal(s.records, 0);
}

static void binary_is_left_out(void **state)
{
    (void)state;
    static struct data_seen s;
    static uint64_t table[16];
    char bytes[2000];
    memset(bytes, 'x', sizeof(bytes));
    struct piece pieces[2] = {{bytes, 300}, {bytes + 300, 1700}};
    fd_table = table;
    fd_entry e = fd_opened(region, 3, KIND_FILE, FD_LOG);
    bytes[512] = 0; /* beyond what is looked at */
    data_of(&s, e, pieces, 2, 2000);
    assert_int_equal(s.length, 2000);
    bytes[512] = 'x';
    bytes[511] = 0;
    data_of(&s, e, pieces, 2, 511); /* and beyond what was written */
    assert_int_equal(s.length, 511);
    data_of(&s, e, pieces, 2, 2000);
    assert_int_equal(s.length, 0);
    assert_int_equal(s.binary, 1);
    assert_int_equal(region->drops[DROP_LOG_BINARY], 1);
    e = fd_get(3);
    assert_true(e & FD_BINARY);
    bytes[511] = 'x';
    bytes[1999] = 0; /* now all of it is looked at */
    data_of(&s, e, pieces, 2, 2000);
    assert_int_equal(s.records, 0);
    assert_int_equal(region->drops[DROP_LOG_BINARY], 2);
    data_of(&s, e, pieces, 2, 1999);
    assert_int_equal(s.length, 1999);
    fd_table = NULL;
}

static void the_budget_is_kept(void **state)
{
    (void)state;
    static struct data_seen s;
    struct piece piece = {"one\ntwo\nthree", 13};
    region->log_budget = 20;
    data_of(&s, 0, &piece, 1, 13);
    assert_int_equal(s.length, 13);
    assert_int_equal(region->log_budget, 7);
    data_of(&s, 0, &piece, 1, 13);
    assert_int_equal(s.records, 0);
    assert_int_equal(region->drops[DROP_LOG_RATE], 2);
    data_of(&s, 0, &piece, 1, 4); /* a shorter one still has room */
    assert_int_equal(s.length, 4);
    data_of(&s, 0, &piece, 1, 3);
    assert_int_equal(s.length, 3);
    assert_int_equal(region->log_budget, 0);
    data_of(&s, 0, &piece, 1, 3); /* no line's end, and yet not silent */
    assert_int_equal(region->drops[DROP_LOG_RATE], 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        TEST(region_shapes),
        TEST(lanes_are_the_lowest_free),
        TEST(counters_outlive_the_thread),
        TEST(no_lane_is_lost_or_shared),
        TEST(the_reporter_is_woken),
        TEST(a_child_begins_anew),
        TEST(a_child_without_a_lane),
        TEST(a_child_of_an_interrupted_writer),
        TEST(log_names),
        TEST(data_is_copied_in_parts),
        TEST(binary_is_left_out),
        TEST(the_budget_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
