/*
 * hook: how a call reaches us, and how a wrapper reaches the real function.
 *
 * Owns: the table of real functions, the region, each thread's lane, the library's state. Called by
 * src/intercept on any application thread, before main and after exit too. Must not allocate, take a
 * lock or use libc's I/O. Fails open: whatever is missing, the real function is called.
 *
 * A wrapper looks like this:
 *
 *     EXPORT ssize_t read(int fd, void *buf, size_t count)
 *     {
 *         REAL(read);                                   // static pointer `real`, resolved once
 *         struct lane *lane = hook_lane();
 *         if (unlikely(!lane))
 *             return real(fd, buf, count);
 *         fd_entry entry = fd_get(fd);
 *         uint64_t start = ticks_now();
 *         ssize_t n = real(fd, buf, count);
 *         after_read(lane, OP_READ, fd, entry, start, n, buf);  // keeps errno
 *         return n;
 *     }
 */
#ifndef SCOPE_HOOK_HOOK_H
#define SCOPE_HOOK_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/capture.h"

#define EXPORT __attribute__((visibility("default")))

/* ------------------------------------------------------------------ real functions (preload.c) */

/*
 * The next definition of `name` after our own library in the loader's global order: what
 * dlsym(RTLD_NEXT) gives, by our own reading of the objects' symbol tables: no lock, no allocation.
 * NULL where no object has it.
 */
void *hook_next(const char *name);

/*
 * The definition in the C library itself (libc, and on 2.31 libpthread, libdl, ...), past every other
 * interposer: for our own calls to functions whose link-time version would be above 2.31, and for
 * libc's data. NULL where it has none.
 */
void *hook_libc(const char *name);

/* Whether the object with this dynamic section was there at start, in the loader's global order. */
bool hook_is_initial(const void *dynamic);

/* libscope.so's own path, as the loader has it (it may be relative). NULL: not known. */
const char *hook_own_path(void);

/*
 * Declares `real`, a pointer to the real function of this wrapper. Resolved at first use (safe on
 * any thread: all find the same). A name that this libc lacks gives NULL: see REAL_OR.
 */
#define REAL(name) REAL_OR(name, __builtin_unreachable())
#define REAL_OR(name, otherwise)                                                                   \
    static __typeof__(&(name)) real_pointer;                                                       \
    __typeof__(&(name)) real = __atomic_load_n(&real_pointer, __ATOMIC_RELAXED);                   \
    if (unlikely(!real)) {                                                                         \
        real = (__typeof__(&(name)))hook_next(#name);                                              \
        if (!real) {                                                                               \
            otherwise;                                                                             \
        }                                                                                          \
        __atomic_store_n(&real_pointer, real, __ATOMIC_RELAXED);                                   \
    }

/* ------------------------------------------------------------------ state */

extern struct region_head *hook_region; /* NULL until the constructor has made it */

/* This thread's lane. HOOK_OFF: a thread of our own, or one that is not to be seen. */
extern __thread struct lane *hook_self __attribute__((tls_model("initial-exec")));
#define HOOK_OFF ((struct lane *)1)

struct lane *hook_lane_slow(void);

struct conf;
/*
 * The configuration as it was at start; never freed or changed. NULL: none was read (AT_SECURE, a
 * second copy of the library, too early), then an exec's environment is left alone.
 */
extern const struct conf *hook_conf;

/* What the constructor found wrong in the configuration: lines of text, "" when all was well. */
const char *hook_troubles(void);

/* Applies what capture needs of a (re)loaded configuration to the region. Reporter's thread. */
void hook_set_conf(const struct conf *conf);

/* Releases lanes whose thread is gone without having said so. Reporter's thread, now and then. */
void hook_sweep(void);

/*
 * The main thread is gone, or may go unseen, while the process lives on. After MAIN_EXITS
 * (pthread_exit) glibc ends the process when the last thread that it counts has ended, after
 * MAIN_LEAVES (a raw exit, or strict mode) the kernel does when there is none left. No thread of ours
 * may keep them from it, nor be that last one: its descriptors are not the program's.
 */
enum { MAIN_EXITS = 1, MAIN_LEAVES = 2 };
extern uint32_t hook_main_gone;
extern int hook_exit_code; /* of the thread that ended last: the status where nobody says exit */
/* Whether a thread of ours may go on now: glibc's count, where it can be reached, leaves it out. */
bool hook_may_stay(void);

/*
 * The lane to record on, or NULL: pass straight through (not ready yet, switched off, one of our own
 * threads, a vfork's child, no lane free). Binds the thread's lane at its first call.
 */
static inline struct lane *hook_lane(void)
{
    struct lane *lane = hook_self;
    if (likely((uintptr_t)lane > 1 && !lane->attention && hook_region->enabled))
        return lane;
    return hook_lane_slow();
}

/*
 * In a forked child, after region_after_fork: the process gets a span of its own below what the
 * forking thread was in. goes_on: it is the same program going on under another number (daemon),
 * and so is its span. Async-signal-safe.
 */
void hook_forked(struct region_head *region, struct lane *own, bool goes_on);

/* Before the calling thread ends, or for one of our own threads. */
void hook_thread_off(void);

/* Around mlockall: takes the lanes that nobody uses out of it (lock.c). */
uint32_t lock_hold_unused(struct region_head *region);
void lock_give_back(struct region_head *region, uint32_t from);

/* The current directory, absolute, as of the last chdir; copied to out (size >= 1). Length, or 0. */
size_t hook_cwd(char *out, size_t size);
void hook_cwd_changed(void); /* after a successful chdir, fchdir, chroot */

/*
 * The same where it lies, for directories too long for a caller's frame: always memory that can be
 * read, but mixed if the directory changes twice meanwhile. *length 0: not known.
 */
const char *hook_cwd_in_place(size_t *length);

/*
 * Before a call that sets a seccomp filter: from here on no system call of ours. Notes it. If the
 * call fails, hook_seccomp_failed() with what this returned takes it back.
 */
bool hook_seccomp_coming(struct lane *lane);
void hook_seccomp_failed(bool coming);
/* Besides, before strict mode: this thread may not even read the time, and ends by a raw exit. */
void hook_strict_coming(void);

/*
 * The entry of a descriptor that may be one we did not see opened: if so, asks the kernel what it is
 * (fstat, getsockopt, getsockname: the one place that does) and writes RECORD_SEEN. errno is kept.
 */
fd_entry hook_fd(struct lane *lane, int fd);
fd_entry hook_fd_unknown(struct lane *lane, int fd);

/* ------------------------------------------------------------------ the reporter, from hooks */

/* What the reporter can be asked for from an application thread; report/lifecycle.c. */
void reporter_wake(void);
/* Delivers all that was recorded and waits, at most what is left of the exit bound. */
void reporter_deliver(void);
/* After each hooked call while region->late is set: hands over and waits within the exit bound. */
void reporter_late(void);
/* First blocking call of a forked child: starts its reporter. Cheap when there is nothing to do. */
void reporter_before_blocking(void);

#endif
