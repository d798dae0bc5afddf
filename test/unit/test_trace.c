/* Contexts and ids: whose child a span is, which are sampled, and that no two are the same. */
#include "region_fixture.h"

#include <signal.h>
#include <sys/wait.h>

static const struct trace_ids none;

static int open_region(void **state)
{
    (void)state;
    region_open(2, 4);
    region->random_seed = 0x1234567890abcdefULL;
    region->sample_below = 1ULL << 56;
    region->sampler = SAMPLER_PARENT;
    return 0;
}

static int close_region(void **state)
{
    (void)state;
    region_close();
    return 0;
}

static bool is_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

static struct trace_ids parent_of(uint8_t flags)
{
    struct trace_ids p = {.flags = flags};
    memset(p.trace_id, 0x5a, sizeof(p.trace_id));
    memset(p.span_id, 0xc3, sizeof(p.span_id));
    memset(p.parent_id, 0x99, sizeof(p.parent_id));
    return p;
}

static void current_is_thread_then_process(void **state)
{
    (void)state;
    struct lane *lane = lane_bind(region, 1, 1);
    struct trace_ids out = parent_of(0);

    trace_current(region, lane, &out);
    assert_memory_equal(&out, &none, sizeof(out));
    region->process = parent_of(TRACE_SAMPLED);
    trace_current(region, lane, &out);
    assert_memory_equal(&out, &region->process, sizeof(out));
    trace_current(region, NULL, &out);
    assert_memory_equal(&out, &region->process, sizeof(out));
    trace_begin(region, lane, &none, &lane->context);
    trace_current(region, lane, &out);
    assert_memory_equal(&out, &lane->context, sizeof(out));
}

static void root_has_ids_of_its_own(void **state)
{
    (void)state;
    struct lane *lane = lane_bind(region, 1, 1);
    struct trace_ids out = parent_of(0);

    trace_begin(region, lane, &none, &out);
    assert_false(is_zero(out.trace_id, 8));
    assert_false(is_zero(out.trace_id + 8, 8));
    assert_false(is_zero(out.span_id, 8));
    assert_true(is_zero(out.parent_id, 8));
    assert_int_equal(out.flags, TRACE_SAMPLED | TRACE_RANDOM);
    assert_int_equal(out.remote, 0);
}

static void child_is_of_its_parents_trace(void **state)
{
    (void)state;
    struct lane *lane = lane_bind(region, 1, 1);
    struct trace_ids parent = parent_of(TRACE_SAMPLED), out;

    trace_begin(region, lane, &parent, &out);
    assert_memory_equal(out.trace_id, parent.trace_id, 16);
    assert_memory_equal(out.parent_id, parent.span_id, 8);
    assert_memory_not_equal(out.span_id, parent.span_id, 8);
    assert_int_equal(out.flags, TRACE_SAMPLED);
    assert_int_equal(out.remote, 0);

    /* as traceparent_parse leaves it */
    memset(parent.span_id, 0, 8);
    trace_begin(region, lane, &parent, &parent);
    assert_memory_equal(parent.trace_id, out.trace_id, 16);
    assert_int_equal(parent.parent_id[0], 0x99);
    assert_int_equal(parent.remote, 1);
}

static void parents_decision_holds_or_not(void **state)
{
    (void)state;
    struct lane *lane = lane_bind(region, 1, 1);
    struct trace_ids out, not_sampled = parent_of(TRACE_RANDOM), sampled = parent_of(TRACE_SAMPLED);

    trace_begin(region, lane, &not_sampled, &out);
    assert_int_equal(out.flags, TRACE_RANDOM);
    region->sampler = SAMPLER_OWN;
    trace_begin(region, lane, &not_sampled, &out);
    assert_int_equal(out.flags, TRACE_RANDOM | TRACE_SAMPLED);
    region->sample_below = 0;
    trace_begin(region, lane, &sampled, &out);
    assert_int_equal(out.flags, 0);
    /* the bound itself is not below */
    region->sample_below = 0x5a5a5a5a5a5a5aULL;
    trace_begin(region, lane, &sampled, &out);
    assert_int_equal(out.flags, 0);
    region->sample_below++;
    trace_begin(region, lane, &sampled, &out);
    assert_int_equal(out.flags, TRACE_SAMPLED);
    /* the bytes before the last seven, the eighth from the end too, have no part in it */
    memset(sampled.trace_id, 0xff, 9);
    trace_begin(region, lane, &sampled, &out);
    assert_int_equal(out.flags, TRACE_SAMPLED);
}

static void a_share_of_roots_is_sampled(void **state)
{
    (void)state;
    struct lane *lane = lane_bind(region, 1, 1);
    unsigned sampled = 0;

    region->sample_below = 1ULL << 54; /* a quarter */
    for (int i = 0; i < 40000; i++) {
        struct trace_ids out;
        uint64_t number = 0;
        trace_begin(region, lane, &none, &out);
        for (int k = 9; k < 16; k++)
            number = number << 8 | out.trace_id[k];
        assert_int_equal(out.flags & TRACE_SAMPLED, number < region->sample_below);
        sampled += out.flags & TRACE_SAMPLED;
    }
    assert_in_range(sampled, 9300, 10700); /* eight standard deviations */
}

/* -------- no two the same */

enum { DRAWS = 20000, SETS = 5 };
static uint64_t drawn[SETS * DRAWS * 2];

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void draw_into(uint64_t *to, struct lane *lane, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct trace_ids out;
        trace_begin(region, lane, &none, &out);
        memcpy(to++, out.span_id, 8);
        memcpy(to++, out.trace_id + 8, 8);
    }
}

static void all_differ(size_t n)
{
    qsort(drawn, n, sizeof(*drawn), compare);
    for (size_t i = 1; i < n; i++)
        assert_true(drawn[i] != drawn[i - 1]);
}

static void lanes_and_regions_draw_apart(void **state)
{
    (void)state;
    struct lane *a = lane_bind(region, 1, 1), *b = lane_bind(region, 1, 2);

    draw_into(drawn, a, DRAWS);
    draw_into(drawn + 2 * DRAWS, b, DRAWS);
    draw_into(drawn + 4 * DRAWS, NULL, DRAWS);
    /* the next thread on this lane goes on */
    lane_release(region, a);
    assert_ptr_equal(lane_bind(region, 1, 3), a);
    draw_into(drawn + 6 * DRAWS, a, DRAWS);
    all_differ(8 * DRAWS);
}

static void a_forked_child_draws_apart(void **state)
{
    (void)state;
    struct lane *own = lane_bind(region, 1, 1);
    size_t bytes = 2 * DRAWS * sizeof(*drawn);
    uint64_t *shared =
        mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(shared != MAP_FAILED);
    draw_into(drawn, own, 1); /* seeded: the child has a copy of that */
    for (int child = 0; child < 2; child++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (!pid) {
            region_after_fork(region, own, getpid(), gettid());
            draw_into(shared + child * 2 * DRAWS, own, DRAWS);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    draw_into(drawn, own, DRAWS);
    memcpy(drawn + 2 * DRAWS, shared, 2 * bytes);
    munmap(shared, 2 * bytes);
    all_differ(6 * DRAWS);
}

#if defined(__x86_64__)
static struct lane *busy_lane;
static volatile size_t in_handler;

static void handler(int signal)
{
    (void)signal;
    if (in_handler < DRAWS)
        draw_into(drawn + 2 * (DRAWS + in_handler++), busy_lane, 1);
}

/* A trap behind each instruction: a handler draws at every place where one can come. */
static void draw_step_by_step(size_t n)
{
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
    draw_into(drawn + 2 * n, busy_lane, 1);
    __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
}

static void handlers_draw_apart(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = handler}, before;
    size_t n = 0;

    busy_lane = lane_bind(region, 1, 1);
    sigaction(SIGTRAP, &action, &before);
    for (; n < 40; n++) {
        if (n % 2) /* the seeding is interrupted, too */
            busy_lane->random[0] = busy_lane->random[1] = 0;
        draw_step_by_step(n);
    }
    sigaction(SIGTRAP, &before, NULL);
    assert_true(in_handler > 40 * 20);
    memmove(drawn + 2 * n, drawn + 2 * DRAWS, in_handler * 16);
    all_differ(2 * (n + in_handler));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_region, close_region)
        TEST(current_is_thread_then_process), TEST(root_has_ids_of_its_own),
        TEST(child_is_of_its_parents_trace),  TEST(parents_decision_holds_or_not),
        TEST(a_share_of_roots_is_sampled),    TEST(lanes_and_regions_draw_apart),
        TEST(a_forked_child_draws_apart),     TEST(handlers_draw_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
