/*
 * Where the reporter runs in a host program, from the constructor to after the last destructor:
 * forks, deliveries and the end.
 */
#include "report/lifecycle_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>

#include "intercept/process.h"
#include "os/heap.h"
#include "os/sys.h"
#include "report/diagnostics.h"
#include "transport/lifeline.h"
#include "transport/loader.h"

/* A shell starts thousands of children: with a collector that hangs, each may wait that share. */
enum { HURRIED_SHARE = 10 };
#define PREPARE_BOUND 100000000u  /* ns */
#define HTTP_FORK_BOUND 50000000u /* ns: a step of the HTTP library takes one or two ms at most */

struct life life;
uint32_t reporter_wanted;

extern void *__dso_handle;

/* ------------------------------------------------------------------ whose process this is */

/* Two processes with one memory (vfork, CLONE_VM) must not both be at it. */
static bool shares_memory(int32_t parent)
{
    enum { KCMP_VM_ = 1 };

    return sys(kcmp, sys(getpid), parent, KCMP_VM_, 0, 0) <= 0; /* an error: who knows */
}

bool reporter_is_ours(void)
{
    struct region_head *region = life.region;
    struct lane *lane = hook_self;

    if (!region)
        return false;
    bool armed = (uintptr_t)lane > 1 && (lane->attention & LANE_VFORK);
    /* One that is sandboxed asks nothing. */
    if (region->sandboxed)
        return !armed;
    int32_t pid = (int32_t)sys(getpid);
    if (pid == region->pid)
        return true;
    if (armed || shares_memory(region->pid))
        return false;
    /* Made by a raw clone that no hook saw: the last moment to notice. */
    life.quiet = 0;
    life.fork_blocked = 0;
    reporter_child();
    return true;
}

/* ------------------------------------------------------------------ the bound */

/* When what ends the process must be done: set at its first step, the same for all later ones. */
static uint64_t end_by(void)
{
    uint64_t none = 0;
    uint64_t by = now_mono() + life.exit_bound / (life.hurried ? HURRIED_SHARE : 1);

    if (__atomic_compare_exchange_n(&life.end_by, &none, by, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST))
        return by;
    return none;
}

void reporter_goes_on(void)
{
    __atomic_store_n(&life.end_by, 0, __ATOMIC_SEQ_CST);
}

/* ------------------------------------------------------------------ delivery */

static void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

static void deliver_by_thread(uint64_t until)
{
    uint32_t mine = __atomic_add_fetch(&life.asked, 1, __ATOMIC_SEQ_CST);

    if (!life.region->sandboxed) {
        futex_wake_all(&life.asked);
        reporter_wake();
    }
    for (;;) {
        uint32_t answered = __atomic_load_n(&life.answered, __ATOMIC_SEQ_CST);
        if ((int32_t)(answered - mine) >= 0 || now_mono() >= until)
            return;
        /* The thread looks now and then whether a sandboxed one wants something. */
        if (!life.region->sandboxed)
            futex_wait_until(&life.answered, answered, until, false);
        else
            for (int i = 0; i < 100; i++)
                cpu_relax();
    }
}

static void deliver_here(void *context)
{
    const uint64_t *until = context;
    unsigned flags = PASS_FINAL | (life.keep_lines ? PASS_KEEP_LINES : 0);

    if (!life_build(1, 2))
        return;
    size_t rest;
    reporter_pass(life.reporter, flags, *until, &rest);
    life.away = rest != 0;
    reporter_close_sinks(life.reporter, false);
}

/*
 * There is no thread: a forked child that never blocked, or no thread could be had. All of it runs
 * with signals blocked, so that no handler of the program's finds us at it.
 */
static void deliver_in_place(uint64_t until)
{
    uint32_t none = 0;
    uint64_t mask;

    /* What a sandboxed thread may do, we do not know. */
    if (life.region->sandboxed)
        return;
    signals_block(&mask);
    while (!__atomic_compare_exchange_n(&life.owner, &none, (uint32_t)sys(gettid), false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        struct {
            int64_t seconds, nano;
        } moment = {0, 1000000};
        if (now_mono() >= until)
            goto out;
        none = 0;
        sys(nanosleep, &moment, NULL);
    }
    struct lane *self = hook_self;
    hook_self = HOOK_OFF;
    life_busy_begin();
    on_own_stack(deliver_here, &until);
    life_busy_end();
    hook_self = self;
    __atomic_store_n(&life.owner, 0, __ATOMIC_SEQ_CST);
out:
    signals_restore(&mask);
}

void reporter_wake(void)
{
    struct region_head *region = life.region;

    if (region && __atomic_exchange_n(&region->reporter_sleeps, 0, __ATOMIC_SEQ_CST))
        sys(futex, &region->reporter_sleeps, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0);
}

static void deliver(void)
{
    uint64_t until = end_by();

    if (now_mono() >= until)
        return;
    if (__atomic_load_n(&life.state, __ATOMIC_SEQ_CST) != THREAD_NONE)
        deliver_by_thread(until);
    else
        deliver_in_place(until);
}

void reporter_deliver(void)
{
    int saved = errno;

    if (hook_self != HOOK_OFF && reporter_is_ours())
        deliver();
    errno = saved;
}

void reporter_late(void)
{
    int saved = errno;

    /* Only the thread that ends the process: others go on at their speed while they can. */
    if (life.last && hook_self == life.last) {
        life.keep_lines = 0;
        deliver();
    }
    errno = saved;
}

/* ------------------------------------------------------------------ before blocking */

void reporter_before_blocking(void)
{
    int saved = errno;

    if (!__atomic_load_n(&reporter_wanted, __ATOMIC_RELAXED) || hook_self == HOOK_OFF ||
        !life.region || life.region->sandboxed || now_mono() < life.try_again ||
        !reporter_is_ours())
        return;
    thread_start();
    errno = saved;
}

void reporter_before_privileges(void)
{
    int saved = errno;

    if (__atomic_load_n(&reporter_wanted, __ATOMIC_RELAXED)) {
        uint64_t until = now_mono() + PREPARE_BOUND;
        reporter_before_blocking();
        /* No thread could be had: nothing to wait for. */
        while (__atomic_load_n(&life.state, __ATOMIC_SEQ_CST) != THREAD_NONE &&
               !__atomic_load_n(&life.prepared, __ATOMIC_SEQ_CST) && now_mono() < until)
            futex_wait_until(&life.prepared, 0, until, false);
    }
    errno = saved;
}

void reporter_step_aside(void)
{
    int saved = errno;

    if (hook_self != HOOK_OFF && reporter_is_ours())
        thread_stop();
    errno = saved;
}

/* ------------------------------------------------------------------ the end */

static void record_end(enum op op, int status)
{
    struct lane *lane = hook_lane();
    uint32_t none = 0;

    if (!lane || !__atomic_compare_exchange_n(&life.ended, &none, 1, false, __ATOMIC_SEQ_CST,
                                              __ATOMIC_SEQ_CST))
        return;
    uint64_t now = ticks_now();
    struct record record = {
        .type = RECORD_EXIT,
        .op = (uint8_t)op,
        .kind = KIND_NONE,
        .start = now,
        .end = now,
        .fd = -1,
        .result = status,
    };
    record_write(life.region, lane, &record, NULL, 0);
}

void reporter_end(enum op op, int status)
{
    int saved = errno;

    if (hook_self != HOOK_OFF && reporter_is_ours()) {
        record_end(op, status);
        deliver();
    }
    errno = saved;
}

/*
 * libc runs this after every destructor, for it was registered before main's own, and before it
 * writes stdio's buffers: what is written from here on is handed over call by call.
 */
static void at_exit(int status, void *unused)
{
    (void)unused;
    if (!reporter_is_ours())
        return;
    record_end(OP_EXIT, status);
    if ((uintptr_t)hook_self > 1)
        life.last = hook_self;
    life.region->late = 1;
    /* Only a look, no lock: another thread may hold it for ever. */
    life.keep_lines = __fpending(stdout) > 0;
    reporter_deliver();
}

static void at_quick_exit_(void *unused)
{
    (void)unused;
    reporter_end(OP_EXIT, process_quick_status());
}

/* ------------------------------------------------------------------ fork */

/*
 * From here to the end of the fork the heap is held, so no handler of the program's may run: it
 * might fork, or end the process, and wait for ever for what it stands on.
 */
static void before_fork(void)
{
    bool blocks = !life.region->sandboxed;
    uint64_t mask = 0;

    if (blocks)
        signals_block(&mask);
    __atomic_fetch_add(&life.forking, 1, __ATOMIC_SEQ_CST);
    if (blocks)
        lifeline_before_fork(now_mono() + HTTP_FORK_BOUND);
    life.quiet = !__atomic_load_n(&life.busy, __ATOMIC_SEQ_CST);
    heap_before_fork();
    /* the heap's lock keeps these too */
    life.fork_blocked = blocks;
    life.fork_mask = mask;
}

static void after_fork(void)
{
    bool blocked = life.fork_blocked;
    uint64_t mask = life.fork_mask;

    heap_after_fork();
    if (blocked)
        lifeline_after_fork();
    if (!__atomic_sub_fetch(&life.forking, 1, __ATOMIC_SEQ_CST))
        futex_wake_all(&life.forking);
    if (blocked)
        signals_restore(&mask);
}

void reporter_fork_begin(void)
{
    if (life.region)
        before_fork();
}

void reporter_fork_end(void)
{
    if (life.region)
        after_fork();
}

void reporter_daemon(bool coming)
{
    life.goes_on = coming;
}

void reporter_child(void)
{
    int saved = errno;

    if (!life.region)
        return;
    heap_after_fork();
    struct lane *own = hook_self;
    region_after_fork(life.region, (uintptr_t)own > 1 ? own : NULL, (int32_t)sys(getpid),
                      (int32_t)sys(gettid));
    hook_forked(life.region, (uintptr_t)own > 1 ? own : NULL, life.goes_on);
    life.goes_on = 0;
    fd_after_fork();
    lifeline_after_fork_child();
    /* A picture of a reporter at work is of no use: it is left where it is. */
    if (life.quiet && !life.inherited)
        life.inherited = life.reporter;
    life.reporter = NULL;
    life.owner = 0;
    life.busy = 0;
    life.forking = 0;
    thread_after_fork();
    hook_main_gone = 0;
    life.state = THREAD_NONE;
    life.tid = 0;
    life.stop = 0;
    life.transient = 0;
    life.try_again = 0;
    life.asked = 0;
    life.answered = 0;
    life.keep_lines = 0;
    life.prepared = 0;
    life.end_by = 0;
    life.hurried = life.away;
    life.ended = 0;
    life.last = NULL;
    control_after_fork(&life.control, life.region->pid, now_unix());
    reporter_wanted = 1;
    if (life.fork_blocked)
        signals_restore(&life.fork_mask);
    life.fork_blocked = 0;
    errno = saved;
}

/* ------------------------------------------------------------------ the start */

static void tell_troubles(void)
{
    const char *text = hook_troubles();

    while (*text) {
        const char *end = text;
        while (*end && *end != '\n')
            end++;
        diagnostics(DIAGNOSTICS_WARN, "%.*s", (int)(end - text), text);
        text = *end ? end + 1 : end;
    }
}

/* By name: where libc has them in the library, and where it keeps them to programs. */
static void register_handlers(void)
{
    int (*at_fork)(void (*)(void), void (*)(void), void (*)(void), void *) =
        (__typeof__(at_fork))hook_libc("__register_atfork");
    int (*quick)(void (*)(void *), void *) = (__typeof__(quick))hook_libc("__cxa_at_quick_exit");

    if (at_fork)
        at_fork(before_fork, after_fork, reporter_child, __dso_handle);
    if (on_exit(at_exit, NULL) != 0)
        diagnostics(DIAGNOSTICS_WARN,
                    "no exit handler to be had: what stdio writes last is not seen");
    if (quick)
        quick(at_quick_exit_, __dso_handle);
}

static void *(*libc_open)(const char *, int);

static void *open_by_libc(const char *path, int mode)
{
    return libc_open(path, mode | (int)0x80000000u); /* a mark that libc wants to see */
}

/* In libc itself since glibc 2.34; before, libc has its own of them. */
static void find_loader(void)
{
    transport_loader.own_path = hook_own_path();
    transport_loader.libc = hook_libc;
    transport_loader.open = (__typeof__(transport_loader.open))hook_libc("dlopen");
    transport_loader.symbol = (__typeof__(transport_loader.symbol))hook_libc("dlsym");
    if (transport_loader.open && transport_loader.symbol)
        return;
    libc_open = (__typeof__(libc_open))hook_libc("__libc_dlopen_mode");
    transport_loader.open = libc_open ? open_by_libc : NULL;
    transport_loader.symbol = (__typeof__(transport_loader.symbol))hook_libc("__libc_dlsym");
}

int reporter_start(const struct conf *conf, struct region_head *region)
{
    find_loader();
    life.conf = conf;
    life.exit_bound = conf->exit_bound;
    diagnostics_start(conf);
    tell_troubles();
    control_start(&life.control, conf, region->pid, now_unix());
    process_start(conf, true);
    __atomic_store_n(&life.region, region, __ATOMIC_RELEASE);
    register_handlers();
    if (thread_start() != 0)
        diagnostics(DIAGNOSTICS_WARN, "no thread to be had: delivering at exit only");
    return 0;
}
