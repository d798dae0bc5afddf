/*
 * The reporter's thread: how it starts without the program's noticing, what it does in a loop, and
 * how it gets out of the way.
 */
#include "report/lifecycle_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "os/sys.h"
#include "hook/got.h"
#include "hook/stdio.h"
#include "report/diagnostics.h"
#include "report/sinks.h"
#include "report/status.h"

enum {
    STACK_BYTES = 128 * 1024,   /* a name lookup of libc's takes most of it */
    STACK_FOR_LIBC = 64 * 1024, /* where libc does not say how much it takes for itself */
    SANDBOXED_LOOK_MS = 50,
};

static const uint64_t MILLISECOND = 1000000u, SECOND = 1000000000u;

/* How long the reporter lets full chunks gather, for each byte of the pool: 10 ms for 4 MiB. */
static const uint64_t NAP_BYTES_A_SECOND = 400u << 20;

/* libc's count of threads, where it shows it, and whether we took ours out of it. */
static unsigned *thread_count;
static uint32_t uncounted;

/* ------------------------------------------------------------------ waiting */

void futex_wait_until(uint32_t *word, uint32_t value, uint64_t until, bool shared)
{
    struct {
        int64_t seconds, nano;
    } at = {(int64_t)(until / SECOND), (int64_t)(until % SECOND)};

    sys(futex, word, FUTEX_WAIT_BITSET | (shared ? 0 : FUTEX_PRIVATE_FLAG), value, &at, NULL,
        FUTEX_BITSET_MATCH_ANY);
}

void futex_wake_all(uint32_t *word)
{
    sys(futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX, NULL, NULL, 0);
}

void signals_block(uint64_t *before)
{
    uint64_t all = ~(uint64_t)0 & ~((uint64_t)1 << 31) & ~((uint64_t)1 << 32);

    sys(rt_sigprocmask, 0 /* SIG_BLOCK */, &all, before, sizeof(all));
}

void signals_restore(const uint64_t *before)
{
    sys(rt_sigprocmask, 2 /* SIG_SETMASK */, before, NULL, sizeof(*before));
}

/* ------------------------------------------------------------------ descriptors */

/* Closes everything from `first` on in this thread's own table, where close_range is refused. */
static bool leave_by_hand(unsigned first)
{
    struct entry {
        uint64_t inode;
        int64_t offset;
        uint16_t length;
        uint8_t type;
        char name[];
    };
    char buffer[2048] __attribute__((aligned(8)));
    long n;

    if (sys(unshare, CLONE_FILES) != 0)
        return false;
    long fd = sys(openat, AT_FDCWD, "/proc/thread-self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        /* Not to be listed: the usual ones, and nothing of the program's can be touched. */
        for (unsigned i = first; i < 4096; i++)
            sys(close, i);
        return true;
    }
    while ((n = sys(getdents64, fd, buffer, sizeof(buffer))) > 0) {
        for (long at = 0; at < n;) {
            const struct entry *e = (const struct entry *)(buffer + at);
            unsigned number = 0;
            for (const char *p = e->name; *p >= '0' && *p <= '9'; p++)
                number = number * 10 + (unsigned)(*p - '0');
            if (e->name[0] != '.' && number >= first && number != (unsigned)fd)
                sys(close, number);
            at += e->length;
        }
    }
    sys(close, fd);
    return true;
}

/*
 * From here on this thread has a table of its own, with nothing in it but what a sink writes to:
 * pipes see their end, and a loop that closes everything cannot touch ours.
 */
static void leave_descriptors(int *saved_stdout, int *saved_stderr)
{
    bool out = sinks_use(life.conf, ADDRESS_STDOUT), err = sinks_use(life.conf, ADDRESS_STDERR);

    *saved_stdout = out ? 1 : -1;
    *saved_stderr = err ? 2 : -1;
    if (sys(close_range, 3, ~0U, CLOSE_RANGE_UNSHARE) != 0 && !leave_by_hand(3)) {
        life.transient = 1;
        *saved_stdout = out ? (int)sys(fcntl, 1, F_DUPFD_CLOEXEC, 900) : -1;
        *saved_stderr = err ? (int)sys(fcntl, 2, F_DUPFD_CLOEXEC, 900) : -1;
        return;
    }
    sys(close, 0);
    if (!out)
        sys(close, 1);
    if (!err)
        sys(close, 2);
}

/* ------------------------------------------------------------------ the loop */

bool life_build(int saved_stdout, int saved_stderr)
{
    if (life.inherited) {
        reporter_free_copy(life.inherited);
        life.inherited = NULL;
    }
    if (life.reporter)
        return true;
    struct reporter_options options = {
        .region = life.region,
        .conf = life.conf,
        .saved_stdout = saved_stdout,
        .saved_stderr = saved_stderr,
    };
    reporter_sweep = hook_sweep;
    life.reporter = reporter_new(&options, life.region->pid);
    return life.reporter != NULL;
}

static bool has_full_chunks(const struct region_head *region)
{
    for (unsigned i = 0; i < CHUNK_MAX / 64; i++) {
        if (__atomic_load_n(&region->chunk_full[i], __ATOMIC_RELAXED))
            return true;
    }
    return false;
}

static bool is_asked(void)
{
    return __atomic_load_n(&life.asked, __ATOMIC_SEQ_CST) !=
               __atomic_load_n(&life.answered, __ATOMIC_RELAXED) ||
           __atomic_load_n(&life.stop, __ATOMIC_SEQ_CST);
}

/* What cannot wake us is looked at now and then. */
static uint64_t sooner(uint64_t due)
{
    uint64_t now = now_mono();

    /* One that is sandboxed cannot wake us: it makes no system call. */
    if (life.region->sandboxed && due > now + SANDBOXED_LOOK_MS * MILLISECOND)
        due = now + SANDBOXED_LOOK_MS * MILLISECOND;
    return due;
}

/* Waits until `due`, a full chunk, or until asked to deliver. Whoever wakes us clears the word. */
static void sleep_until(uint64_t due)
{
    uint32_t *word = &life.region->reporter_sleeps;

    __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
    if (!is_asked() && !has_full_chunks(life.region))
        futex_wait_until(word, 1, sooner(due), true);
    __atomic_store_n(word, 0, __ATOMIC_SEQ_CST);
}

/* A busy program fills chunk after chunk: they are let gather, and it need not wake us for each. */
static void nap(uint64_t due)
{
    const struct region_head *region = life.region;
    uint64_t pool = (uint64_t)region->chunks * CHUNK_SIZE;
    uint64_t until = now_mono() + pool * MILLISECOND / (NAP_BYTES_A_SECOND / 1000);
    uint32_t asked = __atomic_load_n(&life.asked, __ATOMIC_SEQ_CST);

    if (!is_asked() && !reporter_is_tight(life.reporter))
        futex_wait_until(&life.asked, asked, until < due ? until : due, false);
}

static unsigned start_troubles(void)
{
    unsigned n = 0;

    for (const char *text = hook_troubles(); *text; text++)
        n += *text == '\n';
    return n;
}

/* Answers `status`: what there is to say is small, and asked for by a person now and then. */
static void tell_status(void)
{
    int troubles = control_reload_troubles();
    struct status s = {
        .pid = life.region->pid,
        .time = now_unix(),
        .stdio = stdio_unseen(),
        .troubles = troubles < 0 ? start_troubles() : (unsigned)troubles,
    };
    char *text = malloc(STATUS_BYTES);

    if (!text)
        return;
    got_counts(&s.got_patched, &s.got_refused);
    status_of_region(&s, life.region);
    reporter_status(life.reporter, &s);
    size_t length = status_encode(&s, text, STATUS_BYTES);
    int r = length ? control_answer(&life.control, text, length) : -ENOSPC;
    if (r < 0)
        diagnostics(DIAGNOSTICS_WARN, "status: not written (error %d)", -r);
    free(text);
}

static void apply_control(void)
{
    unsigned asked = control_look(&life.control);

    if (asked & CONTROL_RELOAD) {
        struct conf *fresh = control_reload();
        if (fresh) {
            const struct conf *old = life.conf;
            reporter_set_conf(life.reporter, fresh);
            hook_set_conf(fresh);
            life.conf = fresh;
            life.exit_bound = fresh->exit_bound;
            if (old != hook_conf)
                conf_free((struct conf *)(uintptr_t)old);
            diagnostics(DIAGNOSTICS_INFO, "configuration read again");
        }
    }
    if (asked & (CONTROL_OFF | CONTROL_ON)) {
        if (asked & CONTROL_ON && !life.region->enabled) {
            /* descriptors and directory may have changed meanwhile: they are met anew */
            fd_forget();
            hook_cwd_changed();
        }
        __atomic_store_n(&life.region->enabled, asked & CONTROL_ON ? 1 : 0, __ATOMIC_RELEASE);
        diagnostics(DIAGNOSTICS_INFO, "switched %s", asked & CONTROL_ON ? "on" : "off");
    }
    if (asked & CONTROL_STATUS)
        tell_status();
}

/*
 * Begins something that changes memory of ours. While a fork copies it, nothing may change: what is
 * copied page by page is a picture of no one moment.
 */
void life_busy_begin(void)
{
    for (;;) {
        __atomic_store_n(&life.busy, 1, __ATOMIC_SEQ_CST);
        uint32_t forks = __atomic_load_n(&life.forking, __ATOMIC_SEQ_CST);
        if (!forks)
            return;
        __atomic_store_n(&life.busy, 0, __ATOMIC_SEQ_CST);
        futex_wait_until(&life.forking, forks, now_mono() + MILLISECOND, false);
    }
}

void life_busy_end(void)
{
    __atomic_store_n(&life.busy, 0, __ATOMIC_SEQ_CST);
}

/* One turn, with what was asked for meanwhile. Returns when the next is due. */
static uint64_t turn(void)
{
    life_busy_begin();
    uint32_t asked = __atomic_load_n(&life.asked, __ATOMIC_SEQ_CST);
    bool deliver = asked != life.answered || __atomic_load_n(&life.stop, __ATOMIC_SEQ_CST);
    unsigned flags = 0;
    size_t rest;
    uint64_t now = now_mono(), due, deadline = now + SECOND;

    if (deliver) {
        flags = PASS_FINAL |
                (__atomic_load_n(&life.keep_lines, __ATOMIC_RELAXED) ? PASS_KEEP_LINES : 0);
        uint64_t end_by = __atomic_load_n(&life.end_by, __ATOMIC_RELAXED);
        deadline = end_by ? end_by : now + life.exit_bound;
        if (__atomic_load_n(&life.stop, __ATOMIC_SEQ_CST) && life.stop_by)
            deadline = deadline < life.stop_by ? deadline : life.stop_by;
    }
    due = reporter_pass(life.reporter, flags, deadline, &rest);
    life.away = rest != 0;
    if (life.transient)
        reporter_close_sinks(life.reporter, false);
    if (deliver) {
        __atomic_store_n(&life.answered, asked, __ATOMIC_SEQ_CST);
        futex_wake_all(&life.answered);
    } else {
        apply_control();
    }
    life_busy_end();
    return due;
}

/*
 * After a raw exit of the main thread the process ends with its last thread, and with that one's
 * status: this one must not be it.
 */
static bool must_leave(void)
{
    return __atomic_load_n(&hook_main_gone, __ATOMIC_RELAXED) == MAIN_LEAVES;
}

static void loop(void)
{
    while (!__atomic_load_n(&life.stop, __ATOMIC_SEQ_CST)) {
        uint64_t due = turn();
        if (is_asked())
            continue;
        sleep_until(due);
        if (has_full_chunks(life.region))
            nap(due);
        if (must_leave())
            return;
    }
}

static void count_thread(bool in)
{
    if (in && uncounted)
        __atomic_fetch_add(thread_count, 1, __ATOMIC_RELAXED);
    uncounted = 0;
    if (in)
        return;
    thread_count = hook_libc("__nptl_nthreads");
    if (!thread_count || __atomic_load_n(thread_count, __ATOMIC_RELAXED) < 2)
        return;
    __atomic_fetch_sub(thread_count, 1, __ATOMIC_RELAXED);
    uncounted = 1;
}

static bool stop_becomes(uint32_t from, uint32_t to)
{
    return __atomic_compare_exchange_n(&life.stop, &from, to, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

/* There is none, or it can do nothing: a later blocking call tries again. */
static void no_thread(void)
{
    life.try_again = now_mono() + SECOND;
    __atomic_store_n(&life.state, THREAD_NONE, __ATOMIC_SEQ_CST);
    __atomic_store_n(&reporter_wanted, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&life.answered, __atomic_load_n(&life.asked, __ATOMIC_SEQ_CST),
                     __ATOMIC_SEQ_CST);
    futex_wake_all(&life.answered);
}

/*
 * libc keeps a pointer into the middle of this thread's table of TLS blocks, and we live until the
 * process ends: the program's leak checker would wonder. One to its start is kept here.
 */
static void *volatile thread_table;

static void keep_table(void)
{
    enum { ENTRY = 2 * sizeof(void *) }; /* libc's pointer is one entry behind the start */
#if defined(__x86_64__)
    char *table;
    __asm__("movq %%fs:8, %0" : "=r"(table));
#elif defined(__aarch64__)
    char **block;
    __asm__("mrs %0, tpidr_el0" : "=r"(block));
    char *table = block[0];
#endif
    thread_table = table - ENTRY;
}

static void *thread_main(void *unused)
{
    int saved_stdout, saved_stderr;

    (void)unused;
    hook_thread_off();
    keep_table();
    __atomic_store_n(&life.tid, (int32_t)sys(gettid), __ATOMIC_RELEASE);
    sys(prctl, PR_SET_NAME, "scope");
    leave_descriptors(&saved_stdout, &saved_stderr);
    life_busy_begin();
    bool built = life_build(saved_stdout, saved_stderr);
    /* In the program's own table nothing may stay open. */
    if (built && !life.transient)
        reporter_prepare(life.reporter);
    life_busy_end();
    __atomic_store_n(&life.prepared, 1, __ATOMIC_SEQ_CST);
    futex_wake_all(&life.prepared);
    if (built) {
        loop();
        stop_becomes(STOP_NONE, STOP_ASKED);
        turn();
        /* The table, and with it every connection, ends with this thread. */
        reporter_close_sinks(life.reporter, true);
    } else {
        no_thread();
    }
    count_thread(true);
    if (built && !stop_becomes(STOP_ASKED, STOP_DONE))
        no_thread(); /* who asked has gone on */
    if (must_leave()) {
        no_thread();
        sys(exit, hook_exit_code);
    }
    return unused;
}

void thread_after_fork(void)
{
    uncounted = 0; /* libc has begun to count anew */
}

/* ------------------------------------------------------------------ start and stop */

/* pthread_create and what belongs to it; in libpthread before glibc 2.34. */
struct threads {
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    int (*attr_init)(pthread_attr_t *);
    int (*attr_destroy)(pthread_attr_t *);
    int (*set_detached)(pthread_attr_t *, int);
    int (*set_stack)(pthread_attr_t *, size_t);
    size_t (*least_stack)(const pthread_attr_t *);
};

static bool threads_find(struct threads *t)
{
    static void *(*open_library)(const char *, int);

    t->create = (__typeof__(t->create))hook_libc("pthread_create");
    if (!t->create && !open_library) {
        /* glibc before 2.34, and a program without threads so far */
        open_library = (void *(*)(const char *, int))hook_libc("__libc_dlopen_mode");
        if (open_library)
            (void)open_library("libpthread.so.0", (int)0x80000002u); /* RTLD_NOW, libc's own */
        t->create = (__typeof__(t->create))hook_libc("pthread_create");
    }
    t->attr_init = (__typeof__(t->attr_init))hook_libc("pthread_attr_init");
    t->attr_destroy = (__typeof__(t->attr_destroy))hook_libc("pthread_attr_destroy");
    t->set_detached = (__typeof__(t->set_detached))hook_libc("pthread_attr_setdetachstate");
    t->set_stack = (__typeof__(t->set_stack))hook_libc("pthread_attr_setstacksize");
    t->least_stack = (__typeof__(t->least_stack))hook_libc("__pthread_get_minstack");
    return t->create && t->attr_init && t->attr_destroy && t->set_detached && t->set_stack;
}

static int create_thread(void)
{
    struct threads t;
    pthread_attr_t attr;
    pthread_t thread;
    uint64_t mask;

    if (!threads_find(&t))
        return -ENOSYS;
    if (t.attr_init(&attr) != 0)
        return -ENOMEM;
    /* A thread's static TLS, the program's included, is taken from its stack. */
    size_t least = t.least_stack ? t.least_stack(&attr) : STACK_FOR_LIBC;
    t.set_stack(&attr, (STACK_BYTES + least + 4095) & ~(size_t)4095);
    t.set_detached(&attr, PTHREAD_CREATE_DETACHED);
    signals_block(&mask);
    int r = t.create(&thread, &attr, thread_main, NULL);
    signals_restore(&mask);
    t.attr_destroy(&attr);
    if (r == 0)
        count_thread(false);
    return -r;
}

int thread_start(void)
{
    uint32_t none = THREAD_NONE;

    /* it would keep the process from ending: what is recorded from here on is delivered in place */
    if (hook_main_gone && !hook_may_stay()) {
        __atomic_store_n(&reporter_wanted, 0, __ATOMIC_SEQ_CST);
        return -ESRCH;
    }
    if (!__atomic_compare_exchange_n(&life.state, &none, THREAD_THERE, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        return 0;
    life.stop = STOP_NONE;
    life.stop_by = 0;
    life.tid = 0;
    __atomic_store_n(&reporter_wanted, 0, __ATOMIC_SEQ_CST);
    int r = create_thread();
    if (r != 0)
        no_thread();
    return r;
}

void thread_stop(void)
{
    if (__atomic_load_n(&life.state, __ATOMIC_SEQ_CST) == THREAD_NONE)
        return;
    uint64_t until = now_mono() + life.exit_bound;
    life.stop_by = until - life.exit_bound / 4; /* it needs time to end as well */
    __atomic_store_n(&life.stop, STOP_ASKED, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&life.asked, 1, __ATOMIC_SEQ_CST);
    futex_wake_all(&life.asked);
    reporter_wake();
    /*
     * The kernel counts a thread in its group until it has been reaped, which is after its tid word
     * is cleared: so we ask for the thread itself.
     */
    for (;;) {
        int32_t tid = __atomic_load_n(&life.tid, __ATOMIC_ACQUIRE);
        if (tid && sys(tgkill, life.region->pid, tid, 0) == -ESRCH)
            break;
        if (now_mono() > until && stop_becomes(STOP_ASKED, STOP_LATE))
            return;
        struct {
            int64_t seconds, nano;
        } moment = {0, 50000};
        sys(nanosleep, &moment, NULL);
    }
    __atomic_store_n(&life.stop, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&life.state, THREAD_NONE, __ATOMIC_SEQ_CST);
    __atomic_store_n(&reporter_wanted, 1, __ATOMIC_SEQ_CST);
}
