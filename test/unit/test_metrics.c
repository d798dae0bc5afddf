/* Metrics: what lanes counted comes out exactly, for each reader, through wraps and overflow. */
#include "fold_fixture.h"

#include <errno.h>
#include <stdio.h>

static struct lane *lane(struct fixture *x, int tid)
{
    struct lane *l = lane_bind(x->region, getpid(), tid);
    assert_non_null(l);
    return l;
}

static void call(struct fixture *x, struct lane *l, enum op op, enum kind kind, uint64_t ticks,
                 uint64_t bytes, int error)
{
    count_call(x->region, l, op, kind, 1000, 1000 + ticks, bytes, error);
}

static size_t collect(struct fixture *x, unsigned reader, enum temporality t, struct batch *b)
{
    memset(b, 0, sizeof(*b));
    size_t n = fold_metrics(x->fold, reader, t, false, x->arena, b);
    fold_metrics_taken(x->fold, reader, t);
    return n;
}

static uint64_t bucket_sum(const struct histogram *h)
{
    uint64_t n = 0;
    for (size_t i = 0; i <= h->bound_count; i++)
        n += h->buckets[i];
    return n;
}

static void exact(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    struct batch b;
    fixture_start(x);
    struct lane *a = lane(x, 1), *c = lane(x, 2);
    call(x, a, OP_READ, KIND_FILE, 1000, 10, 0);     /* 1 us: upper-inclusive, the first bucket */
    call(x, a, OP_READ, KIND_FILE, 1001, 20, 0);     /* the second */
    call(x, c, OP_READ, KIND_FILE, 20 * SEC, 30, 0); /* beyond the last bound */
    call(x, c, OP_READ, KIND_FILE, 500, 0, EIO);
    call(x, c, OP_SEND, KIND_TCP, 5000, 99, 0);
    call(x, c, OP_OPENAT, KIND_NONE, 5000, 0, ENOENT);
    assert_true(collect(x, 0, TEMPORALITY_DELTA, &b) > 0);
    assert_int_equal(b.signal, SIGNAL_METRICS);
    const struct metric *m = metric_of(&b, "scope.file.operation.duration");
    assert_non_null(m);
    assert_true(text_is(m->unit, "s"));
    assert_int_equal(m->temporality, TEMPORALITY_DELTA);
    const struct metric_point *p =
        point_of(&b, "scope.file.operation.duration", "scope.operation", "read");
    assert_non_null(p);
    has_text(p->attributes, "scope.descriptor.kind", "file");
    assert_int_equal(p->histogram.count, 4);
    assert_int_equal(bucket_sum(&p->histogram), 4);
    assert_int_equal(p->histogram.bound_count, HISTOGRAM_BOUNDS);
    assert_int_equal(p->histogram.buckets[0], 2);
    assert_int_equal(p->histogram.buckets[1], 1);
    assert_int_equal(p->histogram.buckets[HISTOGRAM_BOUNDS], 1);
    assert_true(fabs(p->histogram.sum - 20.000002501) < 1e-12);
    assert_true(p->histogram.has_extremes);
    assert_true(fabs(p->histogram.min - 500e-9) < 1e-15 && fabs(p->histogram.max - 20) < 1e-12);
    p = point_of(&b, "scope.file.io", "scope.io.direction", "read");
    assert_int_equal(p->integer, 60);
    p = point_of(&b, "scope.file.operation.errors", "error.type", "EIO");
    assert_int_equal(p->integer, 1);
    has_text(p->attributes, "scope.operation", "read");
    p = point_of(&b, "scope.file.operation.errors", "error.type", "ENOENT");
    has_text(p->attributes, "scope.operation", "openat");
    has_not(p->attributes, "scope.descriptor.kind");
    p = point_of(&b, "scope.socket.io", "network.io.direction", "transmit");
    assert_int_equal(p->integer, 99);
    has_text(p->attributes, "network.transport", "tcp");
    assert_non_null(point_of(&b, "scope.socket.operation.duration", "scope.operation", "send"));
    assert_null(metric_of(&b, "scope.dropped"));
    assert_int_equal(collect(x, 0, TEMPORALITY_DELTA, &b), 0); /* nothing new, nothing sent */
    fixture_free(x);
}

static void readers(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    struct batch b;
    fixture_start(x);
    struct lane *a = lane(x, 1);
    call(x, a, OP_WRITE, KIND_FILE, 3000, 7, 0);
    collect(x, 0, TEMPORALITY_DELTA, &b);
    call(x, a, OP_WRITE, KIND_FILE, 1500, 5, 0);
    collect(x, 0, TEMPORALITY_DELTA, &b);
    const struct metric_point *p = point_of(&b, "scope.file.io", NULL, NULL);
    assert_int_equal(p->integer, 5);
    assert_true(p->start_time >= x->fold->started && p->time >= p->start_time);
    p = point_of(&b, "scope.file.operation.duration", NULL, NULL);
    assert_int_equal(p->histogram.count, 1);
    assert_true(fabs(p->histogram.max - 1.5e-6) < 1e-12); /* of this period alone */
    assert_true(fabs(p->histogram.min - 1.5e-6) < 1e-12);
    collect(x, 1, TEMPORALITY_CUMULATIVE, &b);
    p = point_of(&b, "scope.file.operation.duration", NULL, NULL);
    assert_int_equal(p->histogram.count, 2);
    assert_true(fabs(p->histogram.max - 3e-6) < 1e-12);
    assert_true(fabs(p->histogram.min - 1.5e-6) < 1e-12);
    assert_int_equal(p->start_time, x->fold->started);
    collect(x, 1, TEMPORALITY_CUMULATIVE, &b); /* unchanged, and still sent */
    assert_int_equal(point_of(&b, "scope.file.io", NULL, NULL)->integer, 12);
    collect(x, 2, TEMPORALITY_DELTA, &b); /* came late: has missed nothing */
    p = point_of(&b, "scope.file.operation.duration", NULL, NULL);
    assert_int_equal(p->histogram.count, 2);
    assert_true(fabs(p->histogram.max - 3e-6) < 1e-12);
    fixture_free(x);
}

static void wraps(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    struct batch b;
    fixture_start(x);
    struct lane *a = lane(x, 1);
    call(x, a, OP_READ, KIND_FILE, 100, 1, 0);
    struct cell *cell = &a->cell[a->cell_of[OP_READ][KIND_FILE] - 1];
    cell->bucket[0] = 0xfffffff0u; /* as after four thousand million reads */
    cell->bytes = ~0ULL - 4;
    collect(x, 0, TEMPORALITY_DELTA, &b);
    for (int i = 0; i < 32; i++)
        call(x, a, OP_READ, KIND_FILE, 100, 1, 0);
    collect(x, 0, TEMPORALITY_DELTA, &b);
    assert_int_equal(point_of(&b, "scope.file.operation.duration", NULL, NULL)->histogram.count,
                     32);
    assert_int_equal(point_of(&b, "scope.file.io", NULL, NULL)->integer, 32);
    fixture_free(x);
}

/* More operations than a lane has cells for: the rest counts in the region's shared ones. */
static void shared(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    struct batch b;
    fixture_start(x);
    struct lane *a = lane(x, 1);
    unsigned n = 0;
    for (unsigned op = OP_OPEN; op <= OP_CHROOT; op++, n++)
        for (int i = 0; i < 3; i++)
            call(x, a, (enum op)op, KIND_FILE, 100 + op, 0, i ? 0 : (int)(1 + op));
    assert_true(n > LANE_CELLS);
    collect(x, 0, TEMPORALITY_DELTA, &b);
    const struct metric *m = metric_of(&b, "scope.file.operation.duration");
    assert_int_equal(m->count, n);
    for (size_t i = 0; i < m->count; i++) {
        assert_int_equal(m->points[i].histogram.count, 3);
        assert_true(m->points[i].histogram.has_extremes);
        assert_true(m->points[i].histogram.min == m->points[i].histogram.max);
    }
    m = metric_of(&b, "scope.file.operation.errors");
    assert_int_equal(m->count, n);
    for (size_t i = 0; i < m->count; i++)
        assert_int_equal(m->points[i].integer, 1);
    assert_int_equal(collect(x, 0, TEMPORALITY_DELTA, &b), 0);
    fixture_free(x);
}

static void overflow(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    struct batch b;
    x->conf.cardinality_limit = 10;
    fixture_start(x);
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d.example", i % 50);
        struct attribute a = {
            .key = TEXT("dns.question.name"), .type = VALUE_TEXT, .text = text_of(name)};
        series_record(fold_series(x->fold, METRIC_NAME_DURATION, &a, 1), 0.001);
    }
    collect(x, 0, TEMPORALITY_DELTA, &b);
    const struct metric *m = metric_of(&b, "dns.lookup.duration");
    assert_int_equal(m->count, 10);
    uint64_t total = 0;
    const struct metric_point *over = NULL;
    for (size_t i = 0; i < m->count; i++) {
        total += m->points[i].histogram.count;
        if (find(m->points[i].attributes, "otel.metric.overflow"))
            over = &m->points[i];
    }
    assert_int_equal(total, 100); /* no measurement is lost */
    assert_non_null(over);
    assert_int_equal(over->histogram.count, 82);
    assert_int_equal(over->attributes.count, 1);
    assert_int_equal(point_of(&b, "scope.dropped", "scope.drop.cause", "cardinality")->integer, 82);
    fixture_free(x);
}

/* What an arena had no room for is not taken to be sent: it comes with the next. */
static void no_room(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    struct batch b;
    fixture_start(x);
    struct lane *a = lane(x, 1);
    for (unsigned op = OP_OPEN; op < OP_OPEN + 20; op++)
        call(x, a, (enum op)op, KIND_FILE, 100, 0, 0);
    uint64_t count = 0;
    unsigned collections = 0;
    for (size_t limit = 3000; limit < 20000; limit += 700) {
        struct arena *small = arena_new(limit);
        const struct metric *m = NULL;
        if (fold_metrics(x->fold, 0, TEMPORALITY_DELTA, false, small, &b))
            m = metric_of(&b, "scope.file.operation.duration");
        for (size_t i = 0; m && i < m->count; i++)
            count += m->points[i].histogram.count;
        collections += m != NULL;
        fold_metrics_taken(x->fold, 0, TEMPORALITY_DELTA);
        arena_free(small);
    }
    assert_int_equal(count, 20); /* each once */
    assert_true(collections > 1);
    fixture_free(x);
}

static size_t number_of(const struct batch *b, const struct metric_point *of)
{
    size_t n = 0;
    for (size_t i = 0; i < b->count; i++)
        for (size_t k = 0; k < b->metrics[i].count; k++, n++)
            if (&b->metrics[i].points[k] == of)
                return n;
    fail();
    return 0;
}

/* As collect() of a sink that can have a batch back. */
static void collect_remembered(struct fixture *x, struct batch *b)
{
    arena_reset(x->arena);
    assert_true(fold_metrics(x->fold, 0, TEMPORALITY_DELTA, false, x->arena, b) > 0);
    fold_metrics_remember(x->fold, 0, TEMPORALITY_DELTA);
    fold_metrics_taken(x->fold, 0, TEMPORALITY_DELTA);
}

/* What was not delivered is part of the next, from its own beginning; the rest is not sent twice.
 */
static void what_was_not_delivered_comes_again(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    struct batch b;
    fixture_start(x);
    struct lane *a = lane(x, 1);
    call(x, a, OP_WRITE, KIND_FILE, 1500, 5, 0);
    collect_remembered(x, &b);
    uint64_t first = point_of(&b, "scope.file.io", NULL, NULL)->time;
    call(x, a, OP_WRITE, KIND_FILE, 9000, 7, 0);
    collect_remembered(x, &b);
    assert_int_equal(point_of(&b, "scope.file.io", NULL, NULL)->start_time, first);
    size_t duration = number_of(&b, point_of(&b, "scope.file.operation.duration", NULL, NULL));
    call(x, a, OP_WRITE, KIND_FILE, 3000, 2, 0);
    fold_metrics_back(x->fold, 0, duration, 1); /* io was delivered */
    collect_remembered(x, &b);
    const struct metric_point *p = point_of(&b, "scope.file.io", NULL, NULL);
    assert_int_equal(p->integer, 2);
    assert_true(p->start_time > first);
    p = point_of(&b, "scope.file.operation.duration", NULL, NULL);
    assert_int_equal(p->histogram.count, 2);
    assert_true(fabs(p->histogram.sum - 12e-6) < 1e-12);
    assert_true(fabs(p->histogram.max - 9e-6) < 1e-12);
    assert_true(fabs(p->histogram.min - 3e-6) < 1e-12);
    assert_int_equal(p->start_time, first);
    /* Given up again and again: it is all there in the end, once. */
    for (unsigned i = 0; i < 3; i++) {
        fold_metrics_back(x->fold, 0, 0, SIZE_MAX);
        fold_metrics_back(x->fold, 0, 0, SIZE_MAX); /* what is back cannot come back */
        call(x, a, OP_WRITE, KIND_FILE, 1000, 1, 0);
        collect_remembered(x, &b);
        p = point_of(&b, "scope.file.io", NULL, NULL);
        assert_int_equal(p->integer, 3 + i);
    }
    p = point_of(&b, "scope.file.operation.duration", NULL, NULL);
    assert_int_equal(p->histogram.count, 5);
    assert_int_equal(p->start_time, first);
    call(x, a, OP_WRITE, KIND_FILE, 1000, 1, 0);
    collect_remembered(x, &b);
    assert_int_equal(point_of(&b, "scope.file.io", NULL, NULL)->integer, 1);
    assert_true(point_of(&b, "scope.file.io", NULL, NULL)->start_time > first);
    /* Another reader is not concerned. */
    collect(x, 1, TEMPORALITY_DELTA, &b);
    assert_int_equal(point_of(&b, "scope.file.io", NULL, NULL)->integer, 18);
    fixture_free(x);
}

static void drops(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    struct batch b;
    fixture_start(x);
    drop_count(x->region, DROP_POOL_EMPTY, 5);
    fold_note_drop(x->fold, DROP_QUEUE_FULL, 2);
    collect(x, 0, TEMPORALITY_CUMULATIVE, &b);
    assert_int_equal(metric_of(&b, "scope.dropped")->count, 2);
    assert_int_equal(point_of(&b, "scope.dropped", "scope.drop.cause", "pool_empty")->integer, 5);
    collect(x, 1, TEMPORALITY_DELTA, &b);
    drop_count(x->region, DROP_POOL_EMPTY, 3);
    collect(x, 1, TEMPORALITY_DELTA, &b);
    assert_int_equal(metric_of(&b, "scope.dropped")->count, 1);
    assert_int_equal(point_of(&b, "scope.dropped", "scope.drop.cause", "pool_empty")->integer, 3);
    fixture_free(x);
}

static void switched_off(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    struct batch b;
    x->conf.metrics_file = false;
    fixture_start(x);
    struct lane *a = lane(x, 1);
    call(x, a, OP_READ, KIND_FILE, 100, 1, EIO);
    call(x, a, OP_RECV, KIND_UDP, 100, 1, 0);
    collect(x, 0, TEMPORALITY_DELTA, &b);
    assert_null(metric_of(&b, "scope.file.io"));
    assert_null(metric_of(&b, "scope.file.operation.errors"));
    assert_non_null(metric_of(&b, "scope.socket.io"));
    fixture_free(x);
}

/* A program can write into the region: nothing there is an index that is not checked. */
static void hostile(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    struct batch b;
    fixture_start(x);
    struct lane *a = lane(x, 1);
    memset(a->cell_of, 0x7f, sizeof(a->cell_of));
    memset(a->error, 0xff, sizeof(a->error));
    memset(x->region->shared_error, 0xff, sizeof(x->region->shared_error));
    x->region->shared_used = 1;
    uint32_t high = x->region->lanes_high;
    x->region->lanes_high = 0x7fffffff;
    collect(x, 0, TEMPORALITY_DELTA, &b);
    x->region->lanes_high = high;
    fixture_free(x);
}

static void of_process(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    struct batch b;
    x->conf.metrics_process = true;
    fixture_start(x);
    collect(x, 0, TEMPORALITY_CUMULATIVE, &b);
    assert_true(point_of(&b, "process.cpu.time", "cpu.mode", "user")->number >= 0);
    assert_non_null(
        point_of(&b, "process.context_switches", "process.context_switch.type", "voluntary"));
    assert_non_null(point_of(&b, "process.paging.faults", "system.paging.fault.type", "minor"));
    assert_true(point_of(&b, "process.memory.usage", NULL, NULL)->integer > 100000);
    assert_true(point_of(&b, "process.memory.virtual", NULL, NULL)->integer >
                point_of(&b, "process.memory.usage", NULL, NULL)->integer);
    assert_int_equal(point_of(&b, "process.thread.count", NULL, NULL)->integer, 1);
    int64_t before = point_of(&b, "process.unix.file_descriptor.count", NULL, NULL)->integer;
    assert_true(before >= 3);
    int fd = dup(0);
    collect(x, 0, TEMPORALITY_DELTA, &b); /* a level stays cumulative */
    assert_int_equal(metric_of(&b, "process.unix.file_descriptor.count")->temporality,
                     TEMPORALITY_CUMULATIVE);
    assert_int_equal(point_of(&b, "process.unix.file_descriptor.count", NULL, NULL)->integer,
                     before + 1);
    close(fd);
    assert_int_equal(metric_of(&b, "process.uptime")->type, METRIC_GAUGE);
    fixture_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact),
        cmocka_unit_test(readers),
        cmocka_unit_test(wraps),
        cmocka_unit_test(shared),
        cmocka_unit_test(overflow),
        cmocka_unit_test(drops),
        cmocka_unit_test(no_room),
        cmocka_unit_test(switched_off),
        cmocka_unit_test(hostile),
        cmocka_unit_test(of_process),
        cmocka_unit_test(what_was_not_delivered_comes_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
