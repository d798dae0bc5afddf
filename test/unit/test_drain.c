/* The reading side: order, reclaiming, many threads, and rings that lie. */
#include "region_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

static struct drain *drain;

static int set_up(void **state)
{
    (void)state;
    region_open(256, 2048);
    drain = drain_new(region);
    return !drain;
}

static int tear_down(void **state)
{
    (void)state;
    drain_free(drain);
    region_close();
    return 0;
}

static int write_at(struct lane *lane, uint64_t end, uint64_t number)
{
    struct record r = {.type = RECORD_PATH, .op = OP_STAT, .end = end, .a = number};
    return record_write(region, lane, &r, NULL, 0);
}

struct list {
    struct {
        uint64_t end, number;
        int32_t tid;
    } item[5000];
    size_t count;
};

static void note(void *context, const struct record *r, const uint8_t *payload, int32_t tid)
{
    struct list *l = context;
    (void)payload;
    if (r->type != RECORD_PATH)
        return;
    assert_true(l->count < 5000);
    l->item[l->count].end = r->end;
    l->item[l->count].number = r->a;
    l->item[l->count++].tid = tid;
}

static void ordered_by_end_across_lanes(void **state)
{
    (void)state;
    static struct list l;
    struct lane *lane[7];
    l.count = 0;
    for (int i = 0; i < 7; i++)
        lane[i] = lane_bind(region, 1, 100 + i);
    uint64_t base = ticks_now() - 1000000;
    for (unsigned i = 0; i < 3000; i++) /* within a lane mostly in order, as calls are */
        write_at(lane[i * 31 % 7], base + i * 17 % 2500, i);
    drain_run(drain, false, note, &l);
    assert_int_equal(l.count, 3000);
    for (unsigned i = 0; i < 3000; i++) {
        if (i)
            assert_true(l.item[i - 1].end <= l.item[i].end);
        assert_int_equal(l.item[i].tid, 100 + l.item[i].number * 31 % 7);
    }
}

/* Records that end in the same tick on one lane keep their order. */
static void equal_ends_keep_their_order(void **state)
{
    (void)state;
    static struct list l;
    struct lane *a = lane_bind(region, 1, 1), *b = lane_bind(region, 1, 2);
    l.count = 0;
    for (unsigned i = 0; i < 1000; i++) {
        write_at(i % 3 ? a : b, 1000 - i / 100, i);
    }
    drain_run(drain, false, note, &l);
    assert_int_equal(l.count, 1000);
    for (unsigned i = 1; i < 1000; i++) {
        if (l.item[i].end == l.item[i - 1].end && l.item[i].tid == l.item[i - 1].tid)
            assert_true(l.item[i].number > l.item[i - 1].number);
    }
}

static void what_ends_later_waits_for_the_next_run(void **state)
{
    (void)state;
    static struct list l;
    struct lane *lane = lane_bind(region, 1, 1);
    l.count = 0;
    write_at(lane, ticks_now() + 3600000000000, 1); /* nonsense, but one run is all it waits */
    write_at(lane, 5, 2);
    assert_int_equal(drain_run(drain, false, note, &l), 1);
    assert_int_equal(l.count, 1);
    assert_int_equal(l.item[0].number, 2);
    write_at(lane, ticks_now(), 3);
    drain_run(drain, false, note, &l);
    assert_int_equal(l.count, 3);
    assert_int_equal(l.item[1].number, 3);
    assert_int_equal(l.item[2].number, 1);
    region->late = 1; /* the process is ending: there may be no next run */
    write_at(lane, ticks_now() + 3600000000000, 4);
    drain_run(drain, false, note, &l);
    assert_int_equal(l.count, 4);
}

/* Partly filled chunks are read in place, again and again, and stay with their lanes. */
static void chunks_are_read_in_place(void **state)
{
    (void)state;
    static struct list l;
    struct lane *lane = lane_bind(region, 1, 1);
    l.count = 0;
    for (unsigned i = 0; i < 50; i++) {
        write_at(lane, i, i);
        drain_run(drain, false, note, &l);
        assert_int_equal(l.count, i + 1);
    }
    assert_int_equal(lane->next_sequence, 1);
    assert_int_equal(chunks_free(), 255);
    drain_run(drain, true, note, &l); /* an idle thread holds none after this */
    assert_int_equal(l.count, 50);
    assert_int_equal(chunks_free(), 256);
    assert_int_equal(lane->chunk, 0);
    check_free_chunks();
}

/* ------------------------------------------------------------------ reclaim against a writer */

enum { HAMMER_THREADS = 2, HAMMER_RECORDS = 400000 };
static _Atomic int hammering;
static uint8_t *hammer_seen;

static void *hammer(void *p)
{
    unsigned which = (unsigned)(uintptr_t)p;
    struct lane *lane = lane_bind(region, 1, gettid());
    for (unsigned i = 0; i < HAMMER_RECORDS; i++) {
        uint64_t n = (uint64_t)which * HAMMER_RECORDS + i;
        while (write_pattern(lane, n))
            sched_yield(); /* the pool is empty */
        if (i % 64 == 0)
            sched_yield();
    }
    lane_release(region, lane);
    hammering--;
    return NULL;
}

static void reclaiming_loses_nothing(void **state)
{
    (void)state;
    pthread_t threads[HAMMER_THREADS];
    hammer_seen = calloc(HAMMER_THREADS, HAMMER_RECORDS);
    struct gathered g = {.seen = hammer_seen, .seen_room = HAMMER_THREADS * HAMMER_RECORDS};
    hammering = HAMMER_THREADS;
    for (unsigned i = 0; i < HAMMER_THREADS; i++)
        pthread_create(&threads[i], NULL, hammer, (void *)(uintptr_t)i);
    unsigned runs = 0;
    while (hammering) {
        drain_run(drain, true, gather, &g);
        runs++;
    }
    for (unsigned i = 0; i < HAMMER_THREADS; i++)
        pthread_join(threads[i], NULL);
    drain_run(drain, true, gather, &g);
    drain_run(drain, true, gather, &g);
    print_message("%u reclaims, %u records\n", runs, (unsigned)g.data);
    assert_int_equal(g.data, HAMMER_THREADS * HAMMER_RECORDS);
    assert_int_equal(g.twice, 0);
    assert_int_equal(region->drops[DROP_ABANDONED], 0);
    assert_int_equal(region->drops[DROP_INVALID], 0);
    assert_int_equal(chunks_free(), 256);
    check_free_chunks();
    free(hammer_seen);
}

/* ------------------------------------------------------------------ many threads */

/* A thousand threads that write one record each between two runs share a pool of 256 chunks. */
static void a_thousand_slow_threads_lose_nothing(void **state)
{
    (void)state;
    static struct lane *lane[1000];
    struct gathered g = {0};
    unsigned wakes = 0;
    for (int i = 0; i < 1000; i++)
        lane[i] = lane_bind(region, 1, i + 1);
    for (unsigned second = 0; second < 20; second++) {
        for (unsigned i = 0; i < 1000; i++) {
            assert_int_equal(write_pattern(lane[i * 7 % 1000], i), 0);
            if (!region->reporter_sleeps) { /* it was woken: it runs before the next record */
                drain_run(drain, drain_is_tight(drain), gather, &g);
                region->reporter_sleeps = 1;
                wakes++;
            }
        }
        drain_run(drain, true, gather, &g);
    }
    drain_run(drain, true, gather, &g);
    assert_int_equal(region->drops[DROP_POOL_EMPTY], 0);
    assert_int_equal(g.data, 20000);
    assert_int_equal(g.threads, 1000);
    assert_int_equal(chunks_free(), 256);
    assert_true(wakes < 20 * 10); /* a handful a second, not one for each record */
}

static void *short_life(void *p)
{
    struct lane *lane = lane_bind(region, 1, gettid());
    demand(lane && write_pattern(lane, (uint64_t)(uintptr_t)p) == 0);
    lane_release(region, lane);
    return NULL;
}

static void ten_thousand_short_threads_share_a_few_lanes(void **state)
{
    (void)state;
    static uint8_t seen[10000];
    memset(seen, 0, sizeof(seen));
    struct gathered g = {.seen = seen, .seen_room = 10000};
    for (unsigned i = 0; i < 10000; i += 4) {
        pthread_t threads[4];
        for (unsigned k = 0; k < 4; k++)
            pthread_create(&threads[k], NULL, short_life, (void *)(uintptr_t)(i + k));
        for (unsigned k = 0; k < 4; k++)
            pthread_join(threads[k], NULL);
        if (i % 100 == 0)
            drain_run(drain, false, gather, &g);
    }
    drain_run(drain, true, gather, &g);
    drain_run(drain, true, gather, &g);
    assert_int_equal(g.data, 10000);
    assert_int_equal(g.twice, 0);
    /* each thread is named, but for one that got the number of the one before it on that lane */
    assert_in_range(g.threads, 9990, 10000);
    assert_in_range(region->lanes_high, 1, 4);
    assert_int_equal(region->drops[DROP_ABANDONED], 0);
    assert_int_equal(region->drops[DROP_POOL_EMPTY], 0);
}

/* ------------------------------------------------------------------ chunks that were lost */

/* A jump between taking a chunk off the lane and saying so: it is read and freed all the same. */
static void a_chunk_that_nobody_named_is_found(void **state)
{
    (void)state;
    static struct list l;
    struct lane *lane = lane_bind(region, 1, 1);
    l.count = 0;
    for (unsigned i = 0; i < 10; i++)
        write_at(lane, i, i);
    lane->chunk = 0;
    for (unsigned i = 10; i < 20; i++)
        write_at(lane, i, i);
    drain_run(drain, true, note, &l);
    assert_int_equal(l.count, 20);
    drain_run(drain, true, note, &l);
    assert_int_equal(chunks_free(), 256);
    check_free_chunks();
}

/* An empty chunk on its way to a lane that gives it back: it may come again as another's. */
static void a_chunk_on_its_way_is_left_alone(void **state)
{
    (void)state;
    static struct list l;
    struct lane *lane = lane_bind(region, 1, 1);
    l.count = 0;
    region->chunk_free[0] &= ~1ULL;
    struct chunk *chunk = region_chunk(region, 0);
    chunk->lane = lane->number;
    chunk->sequence = lane->next_sequence++;
    chunk->head = CHUNK_DATA;
    for (unsigned i = 0; i < 3; i++)
        drain_run(drain, true, note, &l);
    assert_false(region->chunk_free[0] & 1);
    memset(chunk, 0, CHUNK_DATA); /* given back */
    region->chunk_free[0] |= 1;
    write_at(lane, 1, 1);
    assert_int_equal(lane->chunk, 1);
    drain_run(drain, false, note, &l);
    drain_run(drain, false, note, &l);
    assert_int_equal(l.count, 1);
    assert_int_equal(region->drops[DROP_INVALID], 0);
}

/* A full chunk calls the reporter once: one that cannot be freed yet does not keep it from
 * sleeping. */
static void a_full_chunk_calls_once(void **state)
{
    (void)state;
    static struct list l;
    struct lane *lane = lane_bind(region, 1, 1);
    l.count = 0;
    write_at(lane, 1, 1);
    struct chunk *chunk = region_chunk(region, lane->chunk - 1);
    chunk->head += 64; /* abandoned: the chunk is kept for a while */
    for (unsigned i = 2; i < 400; i++)
        write_at(lane, i, i);
    assert_int_not_equal(region->chunk_full[0] | region->chunk_full[1] | region->chunk_full[2] |
                             region->chunk_full[3],
                         0);
    drain_run(drain, false, note, &l);
    for (unsigned w = 0; w < 4; w++)
        assert_int_equal(region->chunk_full[w], 0);
    assert_int_equal(l.count, 399);
    assert_int_equal(region->drops[DROP_ABANDONED], 1);
    drain_run(drain, true, note, &l);
    assert_int_equal(chunks_free(), 255);
}

/* ------------------------------------------------------------------ rings that lie */

static void nonsense_is_counted(void **state)
{
    (void)state;
    static struct list l;
    struct lane *lane = lane_bind(region, 1, 1);
    l.count = 0;
    write_at(lane, 1, 1);
    struct chunk *chunk = region_chunk(region, lane->chunk - 1);
    struct record *first = (struct record *)((uint8_t *)chunk + chunk->head);
    write_at(lane, 2, 2);
    write_at(lane, 3, 3);
    write_at(lane, 4, 4);
    write_at(lane, 5, 5);
    write_at(lane, 6, 6);
    first[0].type = RECORD_TYPES;
    first[1].op = OP_COUNT;
    first[2].kind = KIND_COUNT;
    first[3].payload = 1;
    drain_run(drain, false, note, &l);
    assert_int_equal(l.count, 2);
    assert_int_equal(region->drops[DROP_INVALID], 4);
    write_at(lane, 7, 7);
    first[5].word = 65 << 8 | SLOT_COMMITTED; /* no length that a slot can have: the rest is lost */
    write_at(lane, 8, 8);
    drain_run(drain, false, note, &l);
    assert_int_equal(l.count, 2);
    assert_int_equal(region->drops[DROP_INVALID], 5);
}

static void a_header_that_lies(void **state)
{
    (void)state;
    struct gathered g = {0};
    const struct region_head honest = *region;
    assert_non_null(region);
    drain_free(drain);
    region->chunks = CHUNK_MAX + 1;
    assert_null(drain_new(region));
    region->chunks = 4000; /* more than lie there */
    assert_null(drain_new(region));
    region->chunks = honest.chunks;
    region->lanes = LANES_MAX;
    assert_null(drain_new(region));
    region->lanes = honest.lanes;
    region->chunks_at = region->size + 64;
    assert_null(drain_new(region));
    region->chunks_at = 64;
    assert_null(drain_new(region));
    region->chunks_at = honest.chunks_at + 1;
    assert_null(drain_new(region));
    region->chunks_at = honest.chunks_at;
    region->lanes_at = honest.chunks_at;
    assert_null(drain_new(region));
    region->lanes_at = ~0ULL - 63;
    assert_null(drain_new(region));
    region->lanes_at = honest.lanes_at;
    region->magic++;
    assert_null(drain_new(region));
    region->magic--;
    region->version++;
    assert_null(drain_new(region));
    region->version--;
    drain = drain_new(region);
    assert_non_null(drain);
    /* and one that changes its mind afterwards is not asked again */
    region->chunks = UINT32_MAX;
    region->lanes = UINT32_MAX;
    region->lanes_high = UINT32_MAX;
    region->chunks_at = ~0ULL;
    region->lanes_at = ~0ULL;
    drain_run(drain, true, gather, &g);
    region->chunks = honest.chunks;
    region->lanes = honest.lanes;
    region->chunks_at = honest.chunks_at;
    region->lanes_at = honest.lanes_at;
}

static uint64_t random_state = 88172645463325252ULL;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

/* Bytes from anywhere, in chunks, bitmaps and lanes: it ends, and stays inside. */
static void noise_is_survived(void **state)
{
    (void)state;
    struct gathered g = {0};
    drain_free(drain);
    region_close();
    for (unsigned round = 0; round < 200; round++) {
        region_open(8, 8);
        drain = drain_new(region);
        struct lane *lane = lane_bind(region, 1, 1);
        for (unsigned i = 0; i < 100; i++)
            write_pattern(lane, i);
        for (unsigned run = 0; run < 4; run++) {
            uint64_t *lanes = (uint64_t *)region_lane(region, 0);
            for (unsigned i = 0; i < 8; i++) {
                struct chunk *chunk = region_chunk(region, i);
                uint32_t *words = (uint32_t *)chunk;
                for (unsigned k = 0; k < 40; k++)
                    words[random_next() % (CHUNK_SIZE / 4)] = (uint32_t)random_next();
                for (unsigned at = CHUNK_DATA; at < CHUNK_SIZE; at += 64) {
                    if (random_next() % 4 == 0)
                        words[at / 4] =
                            (uint32_t)(random_next() % 40 * 64) << 8 | (random_next() & 0xff);
                    if (random_next() % 4 == 0)
                        words[at / 4 + 1] = (uint32_t)random_next() & 0xf0f1f;
                }
                chunk->head = (uint32_t)(random_next() % 20000);
                chunk->lane = (uint32_t)(random_next() % 10);
                chunk->sequence = (uint32_t)random_next() % 4;
            }
            for (unsigned i = 0; i < 500; i++)
                lanes[random_next() % (8 * LANE_SIZE / 8)] = random_next();
            region->chunk_free[0] = random_next();
            region->chunk_full[0] = random_next();
            region->lanes_high = (uint32_t)random_next() % 20;
            drain_run(drain, run & 1, gather, &g);
        }
        drain_free(drain);
        region_close();
    }
    assert_true(g.records > 0);
    region_open(2, 2);
    drain = drain_new(region);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        TEST(ordered_by_end_across_lanes),
        TEST(equal_ends_keep_their_order),
        TEST(what_ends_later_waits_for_the_next_run),
        TEST(chunks_are_read_in_place),
        TEST(reclaiming_loses_nothing),
        TEST(a_thousand_slow_threads_lose_nothing),
        TEST(ten_thousand_short_threads_share_a_few_lanes),
        TEST(a_chunk_that_nobody_named_is_found),
        TEST(a_chunk_on_its_way_is_left_alone),
        TEST(a_full_chunk_calls_once),
        TEST(nonsense_is_counted),
        TEST(a_header_that_lies),
        TEST(noise_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
