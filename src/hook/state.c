/* The library's state: the region, each thread's lane and how it is bound, given back and swept. */
#include "hook/internal.h"

#include <errno.h>
#include <pthread.h>

#include "os/sys.h"

struct region_head *hook_region;
const struct conf *hook_conf;
uint32_t hook_main_gone;
int hook_exit_code;
__thread struct lane *hook_self __attribute__((tls_model("initial-exec")));

/* A thread that got no lane asks again after so many calls: asking costs a system call. */
enum { CALLS_WITHOUT_LANE = 1024 };
static __thread uint32_t calls_without __attribute__((tls_model("initial-exec")));

/* glibc keeps the first 32 keys' values inside the thread: setting those allocates nothing. */
enum { KEYS_INSIDE_THREAD = 32 };
static pthread_key_t exit_key;
static int (*set_specific)(pthread_key_t, const void *);

/* The thread is ending; if a later destructor makes a watched call, a lane is bound once more. */
static void thread_ends(void *value)
{
    (void)value;
    struct lane *lane = hook_self;
    hook_exit_code = 0;
    if ((uintptr_t)lane <= 1)
        return;
    hook_self = NULL;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    lane_release(hook_region, lane);
}

void state_make_key(void)
{
    int (*create)(pthread_key_t *, void (*)(void *)) =
        (int (*)(pthread_key_t *, void (*)(void *)))hook_libc("pthread_key_create");
    int (*set)(pthread_key_t, const void *) =
        (int (*)(pthread_key_t, const void *))hook_libc("pthread_setspecific");
    int (*forget)(pthread_key_t) = (int (*)(pthread_key_t))hook_libc("pthread_key_delete");
    if (!create || !set || !forget || create(&exit_key, thread_ends) != 0)
        return; /* a thread's end is then found by hook_sweep() */
    if (exit_key < KEYS_INSIDE_THREAD)
        set_specific = set;
    else
        forget(exit_key);
}

void state_publish(struct region_head *region, int32_t pid)
{
    region->pid = pid;
    __atomic_store_n(&hook_region, region, __ATOMIC_RELEASE);
}

/*
 * This thread's number. In a sandbox the kernel's answer to gettid may be death; there libc, which
 * writes the owner into what it locks, tells it. Without threads in libc there is the main one
 * alone.
 */
static int32_t thread_number(const struct region_head *region)
{
    if (!region->sandboxed)
        return (int32_t)sys(gettid);
    pthread_mutex_t mine = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    int (*lock)(pthread_mutex_t *) = (int (*)(pthread_mutex_t *))hook_libc("pthread_mutex_trylock");
    return lock && lock(&mine) == 0 ? mine.__data.__owner : region->pid;
}

/* Binds a lane to this thread. A signal handler may do the same meanwhile: the first one stays. */
static struct lane *bind(struct region_head *region)
{
    if (calls_without) {
        calls_without--;
        drop_count(region, DROP_NO_LANE, 1);
        return NULL;
    }
    int32_t tid = thread_number(region);
    struct lane *lane = lane_bind(region, region->pid, tid);
    if (!lane) {
        calls_without = CALLS_WITHOUT_LANE;
        return NULL;
    }
    struct lane *expected = NULL;
    if (!__atomic_compare_exchange_n(&hook_self, &expected, lane, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED)) {
        lane_release(region, lane);
        return expected == HOOK_OFF ? NULL : expected;
    }
    if (set_specific)
        set_specific(exit_key, lane);
    return lane;
}

/* The parent is back: libc's function jumped over us, and its child has left its number here. */
static void tell_vfork(struct region_head *region, struct lane *lane, uint32_t attention)
{
    uint64_t now = ticks_now();
    int64_t child = attention >> LANE_CHILD_SHIFT;
    if (!child || attention & LANE_TOLD || !(region->watch & WATCH_PROCESSES))
        return;
    struct record r = {.type = RECORD_FORK,
                       .op = OP_VFORK,
                       .kind = KIND_NONE,
                       .start = now,
                       .end = now,
                       .fd = -1,
                       .result = child};
    record_write(region, lane, &r, NULL, 0);
}

struct lane *hook_lane_slow(void)
{
    struct region_head *region = __atomic_load_n(&hook_region, __ATOMIC_ACQUIRE);
    struct lane *lane = hook_self;
    if (unlikely(!region)) {
        if (!init_early())
            return NULL;
        region = hook_region;
        lane = hook_self;
    }
    if (lane == HOOK_OFF || !region->enabled)
        return NULL;
    if (!lane)
        return bind(region);
    if (lane->attention & LANE_VFORK) {
        uint32_t attention = lane->attention;
        int32_t pid = (int32_t)sys(getpid);
        if (pid != lane->pid) {
            if (!(attention & LANE_TOLD))
                lane->attention = LANE_VFORK | (uint32_t)pid << LANE_CHILD_SHIFT;
            return NULL;
        }
        lane->attention = 0;
        tell_vfork(region, lane, attention);
    }
    return lane;
}

void hook_thread_off(void)
{
    struct lane *lane = hook_self;
    hook_self = HOOK_OFF;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if ((uintptr_t)lane > 1)
        lane_release(hook_region, lane);
}

void hook_sweep(void)
{
    struct region_head *region = hook_region;
    if (!region || region->sandboxed)
        return;
    uint32_t high = __atomic_load_n(&region->lanes_high, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < high && i < region->lanes; i++) {
        struct lane *lane = region_lane(region, i);
        int32_t tid = __atomic_load_n(&lane->tid, __ATOMIC_ACQUIRE);
        if (tid > 0 && lane->pid == region->pid && sys(tgkill, region->pid, tid, 0) == -ESRCH &&
            __atomic_load_n(&lane->tid, __ATOMIC_ACQUIRE) == tid)
            lane_release(region, lane);
    }
}

bool hook_may_stay(void)
{
    return hook_main_gone != MAIN_LEAVES && hook_libc("__nptl_nthreads") != NULL;
}

bool hook_seccomp_coming(struct lane *lane)
{
    struct region_head *region = hook_region;
    if (!region || !lane || region->sandboxed)
        return false;
    fd_meet_inherited(region, lane, true); /* later nothing can be asked */
    __atomic_store_n(&region->sandboxed, 1, __ATOMIC_SEQ_CST);
    reporter_wake(); /* from here on it has to look by itself whether something is asked of it */
    uint64_t now = ticks_now();
    struct record r = {.type = RECORD_NOTE,
                       .op = OP_FCNTL,
                       .kind = KIND_NONE,
                       .start = now,
                       .end = now,
                       .fd = -1,
                       .a = NOTE_SECCOMP};
    record_write(region, lane, &r, NULL, 0);
    return true;
}

void hook_seccomp_failed(bool coming)
{
    if (coming && hook_region)
        hook_region->sandboxed = 0;
}

void hook_strict_coming(void)
{
    struct lane *lane = hook_self;
    if ((uintptr_t)lane > 1 && lane->tid == hook_region->pid)
        __atomic_store_n(&hook_main_gone, MAIN_LEAVES, __ATOMIC_RELEASE);
    hook_thread_off();
    reporter_wake();
}
