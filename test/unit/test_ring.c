/*
 * The ring under signal handlers: interrupted, and left for good, at every single instruction (the
 * processor's trap flag), and by a fast timer; on one stack and on an alternate one.
 */
#include "region_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <ucontext.h>

/* ThreadSanitizer keeps signals back: they interrupt nothing there. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

static struct lane *lane;
static struct drain *drain;

static void open_all(uint32_t chunks)
{
    region_open(chunks, 4);
    drain = drain_new(region);
    assert_non_null(drain);
    lane = lane_bind(region, getpid(), gettid());
    assert_non_null(lane);
}

static void close_all(void)
{
    drain_free(drain);
    region_close();
}

static void run_drain(struct gathered *g)
{
    /* twice: what ends after a run has begun may wait for the next */
    drain_run(drain, true, gather, g);
    drain_run(drain, true, gather, g);
}

static void records_come_back(void **state)
{
    (void)state;
    static uint8_t seen[3000];
    struct gathered g = {.seen = seen, .seen_room = 3000};
    open_all(128);
    for (unsigned i = 0; i < 3000; i++)
        assert_int_equal(write_pattern(lane, i), 0);
    run_drain(&g);
    assert_int_equal(g.data, 3000);
    assert_int_equal(g.threads, 1);
    assert_int_equal(g.twice, 0);
    assert_int_equal(chunks_free(), 128);
    check_free_chunks();
    close_all();
}

static void long_payload_is_cut(void **state)
{
    (void)state;
    struct gathered g = {0};
    open_all(4);
    char *bytes = calloc(1, 10000);
    struct record r = {.type = RECORD_PATH, .op = OP_STAT};
    struct piece piece = {bytes, 10000};
    assert_int_equal(record_write(region, lane, &r, &piece, 1), 0);
    const struct record *slot =
        (const struct record *)(region_chunk(region, lane->chunk - 1)->data);
    slot++; /* RECORD_THREAD */
    assert_int_equal(slot->payload, RECORD_PAYLOAD_MAX);
    assert_true(slot->flags & RECORD_TRUNCATED);
    run_drain(&g);
    assert_int_equal(g.records, 2);
    free(bytes);
    close_all();
}

static void exhaustion_is_counted(void **state)
{
    (void)state;
    struct gathered g = {0};
    open_all(2);
    uint64_t written = 0, refused = 0;
    for (unsigned i = 0; i < 1000; i++) {
        if (write_pattern(lane, i) == 0)
            written++;
        else
            refused++;
    }
    assert_true(written > 10 && refused > 10);
    assert_int_equal(region->drops[DROP_POOL_EMPTY], refused);
    run_drain(&g);
    assert_int_equal(g.data, written);
    assert_int_equal(region->drops[DROP_ABANDONED], 0);
    assert_int_equal(chunks_free(), 2);
    assert_int_equal(write_pattern(lane, 1), 0);
    close_all();
}

static void a_writer_gives_the_chunk_that_it_is_asked_for(void **state)
{
    (void)state;
    struct gathered g = {0};
    open_all(8);
    write_pattern(lane, 1);
    uint32_t first = lane->chunk;
    lane->reclaim = 1;
    write_pattern(lane, 2);
    assert_int_not_equal(lane->chunk, first);
    assert_int_equal(lane->reclaim, 0); /* once: the next record goes where this one went */
    uint32_t second = lane->chunk;
    write_pattern(lane, 3);
    assert_int_equal(lane->chunk, second);
    /* one that is installed and empty, too */
    drain_run(drain, true, gather, &g);
    write_pattern(lane, 4);
    region_chunk(region, lane->chunk - 1)->head = CHUNK_DATA;
    memset(region_chunk(region, lane->chunk - 1)->data, 0, 1024);
    lane->reclaim = 1;
    write_pattern(lane, 5);
    run_drain(&g);
    assert_int_equal(chunks_free(), 8);
    close_all();
}

/* A chunk that was given before it was full, and nothing written since: free once that has settled.
 */
static void a_chunk_left_by_a_quiet_thread_is_freed(void **state)
{
    (void)state;
    struct gathered g = {0};
    open_all(8);
    write_pattern(lane, 1);
    lane->chunk = 0;
    drain_run(drain, false, gather, &g);
    assert_int_equal(g.data, 1);
    lane->writer = (uint64_t)&g | 1; /* as long as somebody may hold it */
    usleep(5000);
    drain_run(drain, false, gather, &g);
    assert_int_equal(chunks_free(), 7);
    lane->writer = 0;
    drain_run(drain, false, gather, &g);
    assert_int_equal(chunks_free(), 8);
    close_all();
}

static void thread_is_named_before_its_first_record(void **state)
{
    (void)state;
    struct gathered g = {0};
    open_all(4);
    write_pattern(lane, 1);
    lane_release(region, lane);
    lane = lane_bind(region, getpid(), 4711);
    write_pattern(lane, 2);
    const struct record *slot =
        (const struct record *)(region_chunk(region, lane->chunk - 1)->data);
    assert_int_equal(slot->type, RECORD_THREAD);
    assert_int_equal(slot->fd, gettid());
    unsigned threads = 0;
    for (uint32_t at = CHUNK_DATA; at < region_chunk(region, lane->chunk - 1)->head;) {
        slot = (const struct record *)((uint8_t *)region_chunk(region, lane->chunk - 1) + at);
        threads += slot->type == RECORD_THREAD;
        at += SLOT_LENGTH(slot->word);
    }
    assert_int_equal(threads, 2);
    run_drain(&g);
    assert_int_equal(g.threads, 2);
    close_all();
}

/* ------------------------------------------------------------------ every instruction */

#if defined(__x86_64__) && !UNDER_TSAN

typedef void action(void);

/* Every instruction of the first, then fewer: each run begins anew, and a step costs 10 us here. */
#if defined(__SANITIZE_ADDRESS__)
#define STRIDE(n) (1 + (n) / 40)
#else
#define STRIDE(n) (1 + (n) / 200)
#endif

static sigjmp_buf jump;
static volatile long step, stop_at;
static action *volatile at_stop; /* what the handler does at that instruction; NULL: it jumps out */

static void on_trap(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    if (++step != stop_at)
        return;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100LL;
    if (!at_stop)
        siglongjmp(jump, 1);
    at_stop();
}

/* Below the red zone: the compiler may keep something there. */
#define TRAP_FLAG(instruction, mask)                                               \
    __asm__ volatile("leaq -128(%%rsp), %%rsp\n\tpushfq\n\t" instruction           \
                     " %0, (%%rsp)\n\tpopfq\n\tleaq 128(%%rsp), %%rsp" ::"i"(mask) \
                     : "memory", "cc")
#define TRAP_ON TRAP_FLAG("orq", 0x100)
#define TRAP_OFF TRAP_FLAG("andq", -257)

/* Runs `what` up to its instruction number n. False when it has fewer. */
static bool run_to(action *what, long n, action *then)
{
    at_stop = then;
    step = 0;
    stop_at = n;
    if (sigsetjmp(jump, 1))
        return true;
    TRAP_ON;
    what();
    TRAP_OFF; /* it is off already where the handler came back */
    return step >= n;
}

/* Made beforehand, so that the steps that are taken are capture's. */
static struct {
    uint8_t bytes[512];
    uint32_t length;
} prepared[512];

static void trap_handler(bool on_alternate)
{
    static uint8_t stack[65536];
    stack_t s = {.ss_sp = stack, .ss_size = sizeof(stack)};
    if (on_alternate) {
        sigaltstack(&s, NULL);
        lane->alt_lo = (uint64_t)stack;
        lane->alt_hi = (uint64_t)stack + sizeof(stack);
    }
    for (uint64_t n = 0; n < 512 && !prepared[511].length; n++) {
        pattern_fill(prepared[n].bytes, n);
        prepared[n].length = pattern_length(n);
    }
    struct sigaction sa = {.sa_sigaction = on_trap,
                           .sa_flags = SA_SIGINFO | (on_alternate ? SA_ONSTACK : 0)};
    sigaction(SIGTRAP, &sa, NULL);
}

static uint64_t completed, completed_nested, next_number;
static fd_entry entry, colliding;

static void write_one(void)
{
    uint64_t n = __atomic_fetch_add(&next_number, 1, __ATOMIC_RELAXED);
    if (write_bytes(lane, n, prepared[n].bytes, prepared[n].length) == 0)
        __atomic_fetch_add(&completed, 1, __ATOMIC_RELAXED);
}

static void nested_write(void)
{
    uint64_t n = __atomic_fetch_add(&next_number, 1, __ATOMIC_RELAXED);
    if (write_bytes(lane, n, prepared[n].bytes, prepared[n].length) == 0)
        completed_nested++;
}

/* The lane's chunk as full as it gets: the next record needs another one. */
static void fill_chunk(void)
{
    struct record r = {.type = RECORD_PATH, .op = OP_STAT};
    while (!lane->chunk || CHUNK_SIZE - region_chunk(region, lane->chunk - 1)->head >= 128)
        record_write(region, lane, &r, NULL, 0);
    if (lane->chunk && region_chunk(region, lane->chunk - 1)->head < CHUNK_SIZE)
        record_write(region, lane, &r, NULL, 0);
}

static void ask_for_chunk(void)
{
    if (lane->chunk)
        lane->reclaim = 1;
}

static void no_preparation(void)
{
}

static void fresh_thread(void)
{
    lane->thread_said = 0;
}

/* Left at instruction n: what comes after is whole, nothing waits for ever, no chunk is lost. */
static void leave_at_every_instruction(action *prepare, bool on_alternate)
{
    bool reached = true;
    long n = 1;
    for (; reached; n += STRIDE(n)) {
        static uint8_t seen[64];
        memset(seen, 0, sizeof(seen));
        struct gathered g = {.seen = seen, .seen_room = sizeof(seen)};
        open_all(8);
        trap_handler(on_alternate);
        completed = next_number = 0;
        write_one();
        prepare();
        reached = run_to(write_one, n, NULL);
        uint64_t attempted = next_number;
        for (int i = 0; i < 3; i++)
            write_one();
        assert_int_equal(lane->writer, 0);
        run_drain(&g);
        assert_int_equal(g.twice, 0);
        for (uint64_t i = 0; i < next_number; i++) {
            if (i == 0 || i >= attempted)
                assert_int_equal(seen[i], 1);
        }
        assert_true(g.data == completed || (reached && g.data == completed + 1));
        /* the record that was left is whole, abandoned and counted, or was never begun */
        assert_true(g.data - completed + region->drops[DROP_ABANDONED] <= (reached ? 1 : 0));
        assert_int_equal(region->drops[DROP_POOL_EMPTY], 0);
        assert_int_equal(region->drops[DROP_INVALID], 0);
        check_free_chunks();
        /* chunks with a hole are kept for a while, and one that was on its way is not lost */
        assert_true(chunks_free() >= 6);
        close_all();
    }
    print_message("%ld instructions\n", n);
    assert_true(n > 30);
}

static void left_anywhere(void **state)
{
    (void)state;
    leave_at_every_instruction(no_preparation, false);
}

static void left_anywhere_at_a_chunks_end(void **state)
{
    (void)state;
    leave_at_every_instruction(fill_chunk, false);
}

static void left_anywhere_while_asked_for_the_chunk(void **state)
{
    (void)state;
    leave_at_every_instruction(ask_for_chunk, false);
}

static void left_anywhere_by_a_new_thread(void **state)
{
    (void)state;
    leave_at_every_instruction(fresh_thread, false);
}

static void left_anywhere_from_an_alternate_stack(void **state)
{
    (void)state;
    leave_at_every_instruction(no_preparation, true);
}

/* Interrupted at instruction n by a handler that writes and returns: nothing is lost at all. */
static void interrupt_at_every_instruction(action *prepare, action *nested, bool on_alternate)
{
    bool reached = true;
    long n = 1;
    for (; reached; n += STRIDE(n)) {
        static uint8_t seen[512];
        memset(seen, 0, sizeof(seen));
        struct gathered g = {.seen = seen, .seen_room = sizeof(seen)};
        open_all(8);
        trap_handler(on_alternate);
        completed = completed_nested = next_number = 0;
        write_one();
        prepare();
        reached = run_to(write_one, n, nested);
        write_one();
        assert_int_equal(lane->writer, 0);
        run_drain(&g);
        assert_int_equal(completed + completed_nested, next_number);
        assert_int_equal(g.data, next_number);
        assert_int_equal(g.twice, 0);
        assert_int_equal(region->drops[DROP_ABANDONED], 0);
        assert_int_equal(region->drops[DROP_INVALID], 0);
        assert_int_equal(chunks_free(), 8);
        check_free_chunks();
        close_all();
    }
    print_message("%ld instructions\n", n);
    assert_true(n > 30);
}

static void nested_writes_fill_a_chunk(void)
{
    for (int i = 0; i < 60; i++)
        nested_write();
}

static void interrupted_anywhere(void **state)
{
    (void)state;
    interrupt_at_every_instruction(no_preparation, nested_write, false);
}

static void interrupted_anywhere_at_a_chunks_end(void **state)
{
    (void)state;
    interrupt_at_every_instruction(fill_chunk, nested_write, false);
}

static void interrupted_anywhere_while_asked_for_the_chunk(void **state)
{
    (void)state;
    interrupt_at_every_instruction(ask_for_chunk, nested_write, false);
}

static void interrupted_anywhere_by_many(void **state)
{
    (void)state;
    interrupt_at_every_instruction(no_preparation, nested_writes_fill_a_chunk, false);
}

static void interrupted_anywhere_on_an_alternate_stack(void **state)
{
    (void)state;
    interrupt_at_every_instruction(no_preparation, nested_write, true);
}

/* The reader runs at every instruction of a writer: nothing twice, nothing torn, nothing given up.
 */
static struct gathered *reading_into;

static void nested_drain(void)
{
    drain_run(drain, true, gather, reading_into);
}

static void read_at_every_instruction(action *prepare)
{
    bool reached = true;
    long n = 1;
    for (; reached; n += STRIDE(n)) {
        static uint8_t seen[64];
        memset(seen, 0, sizeof(seen));
        struct gathered g = {.seen = seen, .seen_room = sizeof(seen)};
        open_all(8);
        trap_handler(false);
        completed = next_number = 0;
        write_one();
        prepare();
        reading_into = &g;
        reached = run_to(write_one, n, nested_drain);
        write_one();
        run_drain(&g);
        assert_int_equal(completed, next_number);
        assert_int_equal(g.data, next_number);
        assert_int_equal(g.twice, 0);
        assert_int_equal(region->drops[DROP_ABANDONED], 0);
        assert_int_equal(region->drops[DROP_INVALID], 0);
        assert_int_equal(chunks_free(), 8);
        check_free_chunks();
        close_all();
    }
    print_message("%ld instructions\n", n);
    assert_true(n > 30);
}

static void read_anywhere(void **state)
{
    (void)state;
    read_at_every_instruction(no_preparation);
}

static void read_anywhere_at_a_chunks_end(void **state)
{
    (void)state;
    read_at_every_instruction(fill_chunk);
}

/*
 * The alternate stack lies above the frame that is interrupted: by their addresses alone the
 * handler would look like a frame that comes after the writer's.
 */
static ucontext_t test_context, low_context;

static void nested_write_and_drain(void)
{
    nested_write();
    drain_run(drain, false, gather, reading_into);
}

static void on_the_low_stack_stepped(void)
{
    TRAP_ON;
    write_one();
    TRAP_OFF;
}

static void interrupted_on_an_alternate_stack_above(void **state)
{
    (void)state;
    static uint8_t stacks[2 * 65536] __attribute__((aligned(64)));
    bool reached = true;
    volatile long n = 1;
    for (; reached; n += STRIDE(n)) {
        static uint8_t seen[64];
        memset(seen, 0, sizeof(seen));
        struct gathered g = {.seen = seen, .seen_room = sizeof(seen)};
        open_all(8);
        trap_handler(true);
        stack_t above = {.ss_sp = stacks + 65536, .ss_size = 65536};
        sigaltstack(&above, NULL);
        lane->alt_lo = (uint64_t)stacks + 65536;
        lane->alt_hi = (uint64_t)stacks + sizeof(stacks);
        completed = completed_nested = next_number = 0;
        reading_into = &g;
        at_stop = nested_write_and_drain;
        step = 0;
        stop_at = n;
        getcontext(&low_context);
        low_context.uc_stack.ss_sp = stacks;
        low_context.uc_stack.ss_size = 65536;
        low_context.uc_link = &test_context;
        makecontext(&low_context, on_the_low_stack_stepped, 0);
        swapcontext(&test_context, &low_context);
        reached = step >= n;
        run_drain(&g);
        assert_int_equal(completed + completed_nested, next_number);
        assert_int_equal(g.data, next_number);
        assert_int_equal(region->drops[DROP_ABANDONED], 0);
        close_all();
    }
    print_message("%ld instructions\n", n);
    assert_true(n > 30);
}

/* ---- the same for counters and totals */

static uint64_t calls_completed;

static void count_one(void)
{
    count_io(region, lane, OP_READ, 3, entry, 1000, 3000, 100, 'r');
    __atomic_fetch_add(&calls_completed, 1, __ATOMIC_RELAXED);
}

static void count_failing(void)
{
    count_io(region, lane, OP_READ, 3, entry, 1000, 3000, -11, 'r');
    __atomic_fetch_add(&calls_completed, 1, __ATOMIC_RELAXED);
}

static void count_colliding(void)
{
    count_io(region, lane, OP_READ, 3 + LANE_TOTALS, colliding, 1000, 9000, 10, 'r');
}

static void place_is_taken(void)
{
    count_colliding();
}

static void count_both(void)
{
    count_one();
    count_colliding();
    count_one();
}

static void open_counting(void)
{
    static uint64_t table[256];
    open_all(8);
    fd_table = table;
    memset(table, 0, sizeof(table));
    entry = fd_opened(region, 3, KIND_FILE, 0);
    colliding = fd_opened(region, 3 + LANE_TOTALS, KIND_FILE, 0);
    calls_completed = 0;
}

static void count_interrupted(action *prepare, action *what, action *nested)
{
    bool reached = true;
    long n = 1;
    for (; reached; n += STRIDE(n)) {
        open_counting();
        trap_handler(false);
        struct gathered g = {.totals = {.key = (entry & 0xffffffff00000000) | 3}};
        prepare();
        uint64_t others = cell_count(OP_READ, KIND_FILE);
        reached = run_to(what, n, nested);
        count_one();
        others = cell_count(OP_READ, KIND_FILE) - calls_completed;
        run_drain(&g);
        if (nested) {
            uint64_t colliding_calls =
                (uint64_t)(prepare == place_is_taken) + (nested != count_one && reached);
            assert_int_equal(others, colliding_calls);
            assert_int_equal(g.totals.read_ops, calls_completed);
            assert_int_equal(g.totals.ticks, 2000 * calls_completed);
            if (what == count_one)
                assert_int_equal(g.totals.read_bytes, 100 * calls_completed);
        } else { /* left for good: the one call is counted or not, everything else is */
            assert_in_range(g.totals.read_ops, calls_completed, calls_completed + reached);
            assert_in_range(others, prepare == place_is_taken,
                            (prepare == place_is_taken) + reached);
        }
        if (nested)
            assert_int_equal(lane->counter, 0);
        assert_int_equal(region->drops[DROP_INVALID], 0);
        close_all();
        fd_table = NULL;
    }
    print_message("%ld instructions\n", n);
    assert_true(n > 20);
}

static void counting_interrupted_anywhere(void **state)
{
    (void)state;
    count_interrupted(no_preparation, count_one, count_one);
    count_interrupted(no_preparation, count_one, count_both);
    count_interrupted(count_one, count_one, count_both);
    count_interrupted(place_is_taken, count_one, count_both);
    count_interrupted(place_is_taken, count_failing, count_both);
}

static void counting_left_anywhere(void **state)
{
    (void)state;
    count_interrupted(no_preparation, count_one, NULL);
    count_interrupted(place_is_taken, count_one, NULL);
    count_interrupted(count_one, count_failing, NULL);
}

#endif

#if !UNDER_TSAN

/* ------------------------------------------------------------------ a storm */

enum { STORM_RECORDS = 4000000 };

static uint8_t *storm_done; /* by record number: 1 its write returned 0 */
static uint8_t *storm_seen;
static _Atomic uint64_t storm_next;
static _Atomic uint64_t jumps;
static sigjmp_buf storm_jump;
static volatile sig_atomic_t may_jump;
static _Atomic bool storm_over;
static __thread unsigned handler_turn;

static void storm_write(void)
{
    uint64_t n = atomic_fetch_add(&storm_next, 1);
    if (n < STORM_RECORDS && write_pattern(lane, n) == 0)
        storm_done[n] = 1;
}

static void on_storm(int signal)
{
    (void)signal;
    storm_write();
    if (++handler_turn % 3 == 0 && may_jump) {
        atomic_fetch_add(&jumps, 1);
        siglongjmp(storm_jump, 1);
    }
    storm_write();
}

static void *storm_thread(void *p)
{
    struct timespec deadline;
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    (void)p;
    lane = lane_bind(region, getpid(), gettid());
    event._sigev_un._tid = gettid();
    demand(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    struct itimerspec every = {{0, 100000}, {0, 100000}};
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += 2;
    sigsetjmp(storm_jump, 1);
    may_jump = 1;
    timer_settime(timer, 0, &every, NULL);
    for (;;) {
        struct timespec now;
        for (int i = 0; i < 16; i++)
            storm_write();
        while (chunks_free() < 32) /* the reader checks every byte: it is the slower one */
            usleep(10);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > deadline.tv_sec ||
            (now.tv_sec == deadline.tv_sec && now.tv_nsec > deadline.tv_nsec))
            break;
    }
    may_jump = 0;
    timer_delete(timer);
    lane_release(region, lane);
    return NULL;
}

static void storm_gather(void *context, const struct record *r, const uint8_t *payload, int32_t tid)
{
    uint64_t *taken = context;
    (void)tid;
    if (r->type != RECORD_DATA)
        return;
    check_pattern(r, payload);
    demand(r->a < STORM_RECORDS && !storm_seen[r->a]);
    storm_seen[r->a] = 1;
    ++*taken;
}

static void *storm_reader(void *p)
{
    bool last;
    do {
        last = storm_over;
        drain_run(drain, true, storm_gather, p);
    } while (!last);
    return NULL;
}

static void storm(bool on_alternate)
{
    struct sigaction sa = {.sa_handler = on_storm,
                           .sa_flags = SA_NODEFER | (on_alternate ? SA_ONSTACK : 0)};
    uint64_t taken = 0;
    pthread_t writer, reader;
    sigaction(SIGUSR1, &sa, NULL);
    region_open(1024, 4);
    drain = drain_new(region);
    storm_done = calloc(1, STORM_RECORDS);
    storm_seen = calloc(1, STORM_RECORDS);
    storm_next = jumps = 0;
    storm_over = false;
    pthread_create(&reader, NULL, storm_reader, &taken);
    pthread_create(&writer, NULL, storm_thread, NULL);
    pthread_join(writer, NULL);
    storm_over = true;
    pthread_join(reader, NULL);
    drain_run(drain, true, storm_gather, &taken);
    drain_run(drain, true, storm_gather, &taken);

    uint64_t started = storm_next < STORM_RECORDS ? storm_next : STORM_RECORDS;
    uint64_t returned = 0, abandoned = region->drops[DROP_ABANDONED];
    for (uint64_t i = 0; i < started; i++) {
        returned += storm_done[i];
        if (storm_done[i])
            assert_int_equal(storm_seen[i], 1); /* who was told that it is written was right */
    }
    uint64_t dropped = region->drops[DROP_POOL_EMPTY];
    print_message(
        "storm: %llu begun, %llu returned, %llu taken, %llu abandoned, %llu without room, "
        "%llu jumps\n",
        (unsigned long long)started, (unsigned long long)returned, (unsigned long long)taken,
        (unsigned long long)abandoned, (unsigned long long)dropped, (unsigned long long)jumps);
    assert_true(taken >= returned);
    assert_true(taken + abandoned + dropped <= started + jumps);
    assert_true(abandoned <= 3 * jumps);
    assert_int_equal(region->drops[DROP_INVALID], 0);
    assert_true(jumps > 0);
    drain_free(drain);
    region_close();
    free(storm_done);
    free(storm_seen);
}

static void storm_of_handlers_that_jump(void **state)
{
    (void)state;
    storm(false);
}

#endif

/* ------------------------------------------------------------------ holes by hand */

static struct record *reserve_by_hand(uint32_t length, uint32_t word)
{
    struct chunk *chunk = region_chunk(region, lane->chunk - 1);
    struct record *slot = (struct record *)((uint8_t *)chunk + chunk->head);
    chunk->head += length;
    slot->word = word;
    return slot;
}

static void open_slot_is_waited_for(void **state)
{
    (void)state;
    struct gathered g = {0};
    open_all(8);
    write_pattern(lane, 0);
    run_drain(&g);
    assert_int_equal(g.data, 1);
    write_pattern(lane, 1); /* its chunk was reclaimed: there is a new one now */
    struct record *slot = reserve_by_hand(128, 128 << 8 | SLOT_OPEN);
    lane->writer = ~0ULL << 12 | 1; /* as if it were being written */
    write_pattern(lane, 2);         /* a handler's: depth 1, proves nothing */
    run_drain(&g);
    assert_int_equal(g.data, 2);
    assert_int_equal(region->drops[DROP_ABANDONED], 0);
    *slot = (struct record){.word = 128 << 8 | SLOT_OPEN, .type = RECORD_PATH, .payload = 10};
    slot->word = 128 << 8 | SLOT_COMMITTED;
    run_drain(&g);
    assert_int_equal(g.data, 3);
    assert_int_equal(g.records, 5);
    lane->writer = 0;
    close_all();
}

static void later_outer_record_proves_a_hole(void **state)
{
    (void)state;
    const uint32_t words[] = {192 << 8 | SLOT_OPEN, 0};
    for (unsigned i = 0; i < 2; i++) {
        struct gathered g = {0};
        open_all(8);
        write_pattern(lane, 0);
        reserve_by_hand(192, words[i]);
        drain_run(drain, false, gather, &g);
        assert_int_equal(region->drops[DROP_ABANDONED], 0);
        write_pattern(lane, 1);
        drain_run(drain, false, gather, &g);
        drain_run(drain, false, gather, &g);
        assert_int_equal(region->drops[DROP_ABANDONED], 1);
        assert_int_equal(g.data, 2);
        close_all();
    }
}

static void released_lane_proves_a_hole_and_its_chunk_is_kept_a_while(void **state)
{
    (void)state;
    struct gathered g = {0};
    open_all(8);
    write_pattern(lane, 0);
    reserve_by_hand(128, 0);
    drain_run(drain, false, gather, &g);
    assert_int_equal(region->drops[DROP_ABANDONED], 0);
    lane_release(region, lane);
    run_drain(&g);
    run_drain(&g);
    assert_int_equal(region->drops[DROP_ABANDONED], 1);
    assert_int_equal(lane->chunk, 0); /* reclaimed */
    assert_int_equal(chunks_free(), 7);
    usleep(2100000);
    run_drain(&g);
    assert_int_equal(chunks_free(), 8);
    check_free_chunks();
    close_all();
}

static void unproven_hole_is_given_up_after_a_while(void **state)
{
    (void)state;
    struct gathered g = {0};
    open_all(8);
    write_pattern(lane, 0);
    reserve_by_hand(128, 128 << 8 | SLOT_OPEN);
    lane->writer = ~0ULL << 12 | 1;
    write_pattern(lane, 1);
    run_drain(&g);
    assert_int_equal(g.data, 1);
    usleep(2100000);
    run_drain(&g);
    assert_int_equal(g.data, 2);
    assert_int_equal(region->drops[DROP_ABANDONED], 1);
    close_all();
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back),
        cmocka_unit_test(long_payload_is_cut),
        cmocka_unit_test(exhaustion_is_counted),
        cmocka_unit_test(a_writer_gives_the_chunk_that_it_is_asked_for),
        cmocka_unit_test(a_chunk_left_by_a_quiet_thread_is_freed),
        cmocka_unit_test(thread_is_named_before_its_first_record),
#if defined(__x86_64__) && !UNDER_TSAN
        cmocka_unit_test(left_anywhere),
        cmocka_unit_test(left_anywhere_at_a_chunks_end),
        cmocka_unit_test(left_anywhere_while_asked_for_the_chunk),
        cmocka_unit_test(left_anywhere_by_a_new_thread),
        cmocka_unit_test(left_anywhere_from_an_alternate_stack),
        cmocka_unit_test(interrupted_anywhere),
        cmocka_unit_test(interrupted_anywhere_at_a_chunks_end),
        cmocka_unit_test(interrupted_anywhere_while_asked_for_the_chunk),
        cmocka_unit_test(interrupted_anywhere_by_many),
        cmocka_unit_test(interrupted_anywhere_on_an_alternate_stack),
        cmocka_unit_test(interrupted_on_an_alternate_stack_above),
        cmocka_unit_test(read_anywhere),
        cmocka_unit_test(read_anywhere_at_a_chunks_end),
        cmocka_unit_test(counting_interrupted_anywhere),
        cmocka_unit_test(counting_left_anywhere),
#endif
#if !UNDER_TSAN
        cmocka_unit_test(storm_of_handlers_that_jump),
#endif
        cmocka_unit_test(open_slot_is_waited_for),
        cmocka_unit_test(later_outer_record_proves_a_hole),
        cmocka_unit_test(released_lane_proves_a_hole_and_its_chunk_is_kept_a_while),
        cmocka_unit_test(unproven_hole_is_given_up_after_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
