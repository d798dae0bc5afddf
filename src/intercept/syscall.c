/*
 * syscall(2) as a function: programs call it for what libc has no name for, and for what it has.
 * A table tells which number is which operation; what happens after the call is the same as after
 * the call by name. Not a cancellation point, so libc's named functions are not called instead.
 */
#include "intercept/file.h"
#include "intercept/flow.h"
#include "intercept/io.h"
#include "intercept/process.h"
#include "intercept/syscall.h"
#include "report/lifecycle.h"

#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>


/* One call in progress. */
struct call {
    struct lane *lane;
    enum op op;
    uint64_t start;
    fd_entry entry, other;
    long number, a, b, c, d, e, f;
};

/* Which argument is the descriptor whose entry is needed before the call; -1: none. */
static long descriptor_of(enum how how, const struct call *k)
{
    switch (how) {
    case ON_FD:
    case READ:
    case WRITE:
    case READV:
    case WRITEV:
    case DUP:
    case DUP_TO:
    case FCNTL:
    case FCHDIR:
    case SPLICE:
    case TEE:
    case VMSPLICE:
        return k->a;
    case SENDFILE:
        return k->b;
    case MMAP:
        return k->e;
    default:
        return -1;
    }
}

void note_unseen(struct lane *lane, enum note what)
{
    static uint32_t said;
    uint32_t bit = 1u << what;
    if (__atomic_fetch_or(&said, bit, __ATOMIC_RELAXED) & bit)
        return;
    uint64_t now = ticks_now();
    struct record r = {.type = RECORD_NOTE,
                       .op = OP_OPENAT,
                       .kind = KIND_NONE,
                       .start = now,
                       .end = now,
                       .fd = -1,
                       .a = what};
    record_write(hook_region, lane, &r, NULL, 0);
}

static const char *event_name(enum op op)
{
    switch (op) {
    case OP_EVENTFD:
        return "anon_inode:[eventfd]";
    case OP_EPOLL_CREATE:
        return "anon_inode:[eventpoll]";
    case OP_TIMERFD:
        return "anon_inode:[timerfd]";
    case OP_SIGNALFD:
        return "anon_inode:[signalfd]";
    default:
        return "anon_inode:inotify";
    }
}

static int event_flags(const struct call *k)
{
    switch (k->number) {
    case SYS_eventfd2:
    case SYS_timerfd_create:
        return (int)k->b;
    case SYS_epoll_create1:
    case SYS_inotify_init1:
        return (int)k->a;
    case SYS_signalfd4:
        return (int)k->d;
    default:
        return 0;
    }
}

/* After calls that give or take descriptors. */
static void after_descriptors(enum how how, const struct call *k, int64_t result)
{
    static const struct {
        uint64_t flags, mode;
    } unread;
    const uint64_t *opening = &unread.flags;
    switch (how) {
    case OPEN:
        after_open(k->lane, k->op, AT_FDCWD, (const char *)k->a, (int)k->b, (unsigned)k->c,
                   k->start, result);
        break;
    case OPENAT:
        after_open(k->lane, k->op, (int)k->a, (const char *)k->b, (int)k->c, (unsigned)k->d,
                   k->start, result);
        break;
    case OPENAT2:
        if (names_were_read(result))
            opening = (const uint64_t *)k->c;
        after_open(k->lane, k->op, (int)k->a, (const char *)k->b, (int)opening[0],
                   (unsigned)opening[1], k->start, result);
        break;
    case CREAT:
        after_open(k->lane, k->op, AT_FDCWD, (const char *)k->a, O_CREAT | O_WRONLY | O_TRUNC,
                   (unsigned)k->b, k->start, result);
        break;
    case CLOSE:
        after_close(k->lane, k->op, (int)k->a, k->entry, k->start, result);
        break;
    case CLOSE_RANGE:
        after_close_range(k->lane, (unsigned)k->a, (unsigned)k->b, (int)k->c, k->start, result);
        break;
    case DUP:
        after_dup(k->lane, k->op, (int)k->a, k->entry, 0, k->start, result);
        break;
    case DUP_TO:
        after_dup(k->lane, k->op, (int)k->a, k->entry, k->other, k->start, result);
        break;
    case FCNTL:
        after_fcntl(k->lane, (int)k->a, k->entry, (int)k->b, k->c, k->start, result);
        break;
    case PIPE:
        after_pipe(k->lane, k->op, (const int *)k->a, k->op == OP_PIPE2 ? (int)k->b : 0, k->start,
                   result);
        break;
    case EVENT:
        if (k->op == OP_SIGNALFD && (int)k->a != -1)
            after_fd(k->lane, k->op, (int)k->a, entry_of(k->lane, (int)k->a), k->start, result);
        else
            after_open_unnamed(k->lane, k->op, KIND_EVENT, event_name(k->op),
                               O_RDWR | event_flags(k), k->start, result);
        break;
    case MEMFD:
        after_memfd(k->lane, (const char *)k->a, (int)k->b, k->start, result);
        break;
    case IO_URING:
        if (result >= 0) {
            fd_opened(hook_region, (int)result, KIND_EVENT, FD_OPEN);
            note_unseen(k->lane, NOTE_IO_URING);
        }
        break;
    case AIO:
        if (result >= 0)
            note_unseen(k->lane, NOTE_AIO);
        break;
    default:
        break;
    }
}

/* After calls on names, and on two descriptors. */
static void after_names(enum how how, const struct call *k, int64_t result)
{
    switch (how) {
    case ONE:
        after_path(k->lane, k->op, AT_FDCWD, (const char *)k->a, AT_FDCWD, NULL, (uint64_t)k->b,
                   k->start, result);
        break;
    case ONE_AT:
        after_path(k->lane, k->op, (int)k->a, (const char *)k->b, AT_FDCWD, NULL, (uint64_t)k->c,
                   k->start, result);
        break;
    case TWO:
        after_path(k->lane, k->op, AT_FDCWD, (const char *)k->a, AT_FDCWD, (const char *)k->b, 0,
                   k->start, result);
        break;
    case TWO_AT:
        after_path(k->lane, k->op, (int)k->a, (const char *)k->b, (int)k->c, (const char *)k->d,
                   k->op == OP_RENAMEAT ? 0 : (uint64_t)k->e, k->start, result);
        break;
    case LINK:
        after_path(k->lane, k->op, AT_FDCWD, (const char *)k->b, AT_FDCWD, NULL, 0, k->start,
                   result);
        break;
    case LINK_AT:
        after_path(k->lane, k->op, (int)k->b, (const char *)k->c, AT_FDCWD, NULL, 0, k->start,
                   result);
        break;
    case CHDIR:
        after_chdir(k->lane, k->op, -1, 0, k->start, result);
        break;
    case FCHDIR:
        after_chdir(k->lane, k->op, (int)k->a, k->entry, k->start, result);
        break;
    case SENDFILE:
        after_copy(k->lane, k->op, (int)k->b, k->entry, (int)k->a, k->other, k->start, result);
        break;
    case SPLICE:
        after_copy(k->lane, k->op, (int)k->a, k->entry, (int)k->c, k->other, k->start, result);
        break;
    case TEE:
        after_copy(k->lane, k->op, (int)k->a, k->entry, (int)k->b, k->other, k->start, result);
        break;
    case VMSPLICE:
        after_vmsplice(k->lane, (int)k->a, k->entry, k->start, result);
        break;
    default:
        after_descriptors(how, k, result);
        break;
    }
}

static void after_number(enum how how, const struct call *k, long r, int64_t result)
{
    switch (how) {
    case COUNT:
        after_count(k->lane, k->op, k->start, result);
        break;
    case ON_FD:
        after_fd(k->lane, k->op, (int)k->a, k->entry, k->start, result);
        break;
    case READ:
        after_read(k->lane, k->op, (int)k->a, k->entry, k->start, r,
                   k->c ? (const void *)k->b : NULL);
        break;
    case WRITE:
        after_write(k->lane, k->op, (int)k->a, k->entry, k->start, r,
                    k->c ? (const void *)k->b : NULL);
        break;
    case READV:
        after_readv(k->lane, k->op, (int)k->a, k->entry, k->start, r, (const struct iovec *)k->b,
                    (int)k->c);
        break;
    case WRITEV:
        after_writev(k->lane, k->op, (int)k->a, k->entry, k->start, r, (const struct iovec *)k->b,
                     (int)k->c);
        break;
    case MMAP:
        after_mmap(k->lane, (int)k->e, k->entry, (uint64_t)k->b, (uint64_t)k->f, k->start,
                   result < 0 ? result : 0);
        break;
    default:
        after_names(how, k, result);
        break;
    }
}

/*
 * Sockets, and what changes the process, by their wrappers. They differ from the bare call in one
 * thing: those that wait are cancellation points.
 */
static long by_name(long number, long a, long b, long c, long d, long e, long f)
{
    struct sockaddr *address = (struct sockaddr *)b;
    switch (number) {
    case SYS_socket:
        return socket((int)a, (int)b, (int)c);
    case SYS_socketpair:
        return socketpair((int)a, (int)b, (int)c, (int *)d);
    case SYS_bind:
        return bind((int)a, address, (socklen_t)c);
    case SYS_listen:
        return listen((int)a, (int)b);
    case SYS_accept:
        return accept((int)a, address, (socklen_t *)c);
    case SYS_accept4:
        return accept4((int)a, address, (socklen_t *)c, (int)d);
    case SYS_connect:
        return connect((int)a, address, (socklen_t)c);
    case SYS_sendto:
        return sendto((int)a, (void *)b, (size_t)c, (int)d, (struct sockaddr *)e, (socklen_t)f);
    case SYS_sendmsg:
        return sendmsg((int)a, (struct msghdr *)b, (int)c);
    case SYS_sendmmsg:
        return sendmmsg((int)a, (struct mmsghdr *)b, (unsigned)c, (int)d);
    case SYS_recvfrom:
        return recvfrom((int)a, (void *)b, (size_t)c, (int)d, (struct sockaddr *)e, (socklen_t *)f);
    case SYS_recvmsg:
        return recvmsg((int)a, (struct msghdr *)b, (int)c);
    case SYS_recvmmsg:
        return recvmmsg((int)a, (struct mmsghdr *)b, (unsigned)c, (int)d, (struct timespec *)e);
    case SYS_shutdown:
        return shutdown((int)a, (int)b);
    case SYS_execve:
        return execve((const char *)a, (char **)b, (char **)c);
    case SYS_wait4:
        return wait4((pid_t)a, (int *)b, (int)c, (struct rusage *)d);
    case SYS_prctl:
        return prctl((int)a, b, c, d, e);
    case SYS_unshare:
        return unshare((int)a);
    case SYS_setns:
        return setns((int)a, (int)b);
    default:
        return getsockopt((int)a, (int)b, (int)c, (void *)d, (socklen_t *)e);
    }
}

static long with_seccomp(long (*real)(long, ...), struct lane *lane, long a, long b, long c)
{
    enum { STRICT, FILTER, GET_ACTION_AVAIL, TSYNC = 1 }; /* the last and above set no filter */
    if (a >= GET_ACTION_AVAIL)
        return real(SYS_seccomp, a, b, c);
    if (a == FILTER && b & TSYNC) /* it would hold for the reporter's thread too */
        reporter_step_aside();
    else /* a forked child's reporter: later it may not be allowed to start one */
        reporter_before_blocking();
    bool coming = hook_seccomp_coming(lane);
    if (a == STRICT)
        hook_strict_coming();
    long r = real(SYS_seccomp, a, b, c);
    if (r != 0)
        hook_seccomp_failed(coming);
    return r;
}

/*
 * fork by its number, and clone where it is a fork: a child with a copy of everything, on a copy of
 * this stack. No atfork handler runs, so what ours would do is done here.
 */
static long forks(long (*real)(long, ...), enum op op, long number, long a, long b, long c, long d,
                  long e)
{
    uint64_t start = ticks_now();
    reporter_fork_begin();
    long pid = real(number, a, b, c, d, e);
    if (pid == 0) {
        reporter_child();
        return 0;
    }
    int error = errno;
    reporter_fork_end();
    process_made(hook_lane(), op, start, pid < 0 ? -error : pid);
    errno = error;
    return pid;
}

/* A thread's own end. If it is the main thread's, the others still make the process. */
static void thread_exits(const struct lane *lane)
{
    if (lane->tid == hook_region->pid) {
        hook_main_gone = MAIN_LEAVES;
        if (!hook_region->sandboxed)
            reporter_wake();
    }
    hook_thread_off();
}

/* Reached by a jump from syscall_entry.S, with the arguments where the caller put them. */
long syscall_watched(long number, long a, long b, long c, long d, long e, long f);

long syscall_watched(long number, long a, long b, long c, long d, long e, long f)
{
    REAL(syscall)
    struct syscall_known what = {PASS, 0};
    if (likely((unsigned long)number < SYSCALL_NUMBERS))
        what = syscall_known[number];
    enum how how = (enum how)what.how;
    if (likely(how == PASS) || (how == MMAP && (int)e < 0))
        return real(number, a, b, c, d, e, f);
    if (how == EXIT)
        hook_exit_code = (int)a;
    INTERCEPT_LANE(real(number, a, b, c, d, e, f));
    switch (how) {
    case BY_NAME:
        return by_name(number, a, b, c, d, e, f);
    case FORK:
        return forks(real, (enum op)what.op, number, a, b, c, d, e);
    case BLOCK:
        before_blocking();
        if (number == SYS_epoll_wait || number == SYS_epoll_pwait || number == SYS_epoll_pwait2)
            before_events();
        return real(number, a, b, c, d, e, f);
    case SECCOMP:
        return with_seccomp(real, lane, a, b, c);
    case EXIT_GROUP:
        reporter_end(OP_EXIT, (int)a);
        return real(number, a);
    case EXIT:
        thread_exits(lane);
        return real(number, a);
    default:
        break;
    }
    struct call k = {lane, (enum op)what.op, 0, 0, 0, number, a, b, c, d, e, f};
    long fd = descriptor_of(how, &k);
    if (fd >= 0)
        k.entry = entry_of(lane, (int)fd);
    else if (how == CLOSE)
        k.entry = fd_closing((int)a);
    if (how == DUP_TO)
        k.other = fd_get((int)b);
    else if (how == SENDFILE)
        k.other = entry_of(lane, (int)a);
    else if (how == SPLICE)
        k.other = entry_of(lane, (int)c);
    else if (how == TEE)
        k.other = entry_of(lane, (int)b);
    k.start = ticks_now();
    long r = real(number, a, b, c, d, e, f);
    after_number(how, &k, r, with_errno(r));
    return r;
}

/*
 * For the calls that return twice, or on another stack: gives the real function to jump to. A child
 * that runs on our memory is not to touch our tables: the next call looks whose it is.
 */
void *syscall_before_child(long number, long flags);

void *syscall_before_child(long number, long flags)
{
    REAL(syscall)
    struct lane *lane = hook_lane();
    /* a thread has a block of its own only if it has thread-local storage of its own */
    if (lane && !(number == SYS_clone && (flags & (CLONE_THREAD | CLONE_SETTLS))))
        lane->attention |= LANE_VFORK | (number == SYS_clone ? LANE_TOLD : 0);
    return (void *)real;
}
