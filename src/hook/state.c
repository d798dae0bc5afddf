/* The library's state: the region, each thread's lane and how it is bound, given back and swept. */
#include "hook/internal.h"

#include <errno.h>
#include <fcntl.h>
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

/* Binds a lane to this thread. A signal handler may do the same meanwhile: the first one stays. */
static struct lane *bind(struct region_head *region)
{
    if (calls_without) {
        calls_without--;
        drop_count(region, DROP_NO_LANE, 1);
        return NULL;
    }
    int32_t tid = (int32_t)sys(gettid);
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
        if ((int32_t)sys(getpid) != lane->pid)
            return NULL;
        lane->attention &= ~(uint32_t)LANE_VFORK;
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

/* getdents64's entries. */
struct directory_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

/* Whether the main thread, seen from another one, has ended: a zombie until the process ends. */
static int main_has_ended(void)
{
    char stat[512];
    long fd = sys(openat, AT_FDCWD, "/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    long n = sys(read, fd, stat, sizeof(stat) - 1);
    sys(close, fd);
    /* pid (name) state: the name may hold anything, a parenthesis too */
    for (long at = n - 3; at > 0; at--) {
        if (stat[at] == ')')
            return stat[at + 2] == 'Z';
    }
    return -1;
}

int hook_alone(void)
{
    int ended = main_has_ended();
    if (ended <= 0)
        return ended;
    int32_t pid = (int32_t)sys(getpid), tid = (int32_t)sys(gettid);
    long fd = sys(openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    char buffer[1024] __attribute__((aligned(8)));
    bool others = false;
    long n;
    while (!others && (n = sys(getdents64, fd, buffer, sizeof(buffer))) > 0) {
        for (long at = 0; at < n;) {
            const struct directory_entry *e = (const struct directory_entry *)(buffer + at);
            int32_t number = 0;
            for (const char *p = e->name; *p >= '0' && *p <= '9'; p++)
                number = number * 10 + (*p - '0');
            if (number && number != pid && number != tid)
                others = true;
            at += e->length;
        }
    }
    sys(close, fd);
    return !others && n >= 0;
}

bool hook_seccomp_coming(struct lane *lane)
{
    struct region_head *region = hook_region;
    if (!region || !lane || region->sandboxed)
        return false;
    region->sandboxed = 1;
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
