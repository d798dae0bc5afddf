/* Threads: their creation, the end of the main one, their signal stacks; sandboxes; mlockall. */
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <threads.h>

#include "intercept/common.h"
#include "report/lifecycle.h"

/* error: 0 or a positive errno, as pthread_create returns it. */
static void after_create(struct lane *lane, uint64_t start, int error)
{
    struct region_head *region = hook_region;
    uint64_t end = ticks_now();
    count_call(region, lane, OP_THREAD, KIND_NONE, start, end, 0, error);
    if (region->watch & WATCH_PROCESSES) {
        struct record r = {.type = RECORD_THREAD_START,
                           .op = OP_THREAD,
                           .kind = KIND_NONE,
                           .start = start,
                           .end = end,
                           .fd = 0,
                           .result = -error};
        record_write(region, lane, &r, NULL, 0);
    }
    after_any(region);
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*routine)(void *), void *argument)
{
    REAL_OR(pthread_create, return ENOSYS)
    INTERCEPT_LANE(real(thread, attributes, routine, argument));
    uint64_t start = ticks_now();
    int error = real(thread, attributes, routine, argument);
    after_create(lane, start, error);
    return error;
}

EXPORT int thrd_create(thrd_t *thread, thrd_start_t routine, void *argument)
{
    REAL_OR(thrd_create, return thrd_error)
    INTERCEPT_LANE(real(thread, routine, argument));
    uint64_t start = ticks_now();
    int result = real(thread, routine, argument);
    after_create(lane, start, result == thrd_success ? 0 : result == thrd_nomem ? ENOMEM : EAGAIN);
    return result;
}

/* The process goes on with its other threads, and ends with the last of them. */
static void main_may_go(void)
{
    struct lane *lane = hook_lane();
    if (lane && lane->tid == hook_region->pid) {
        __atomic_store_n(&hook_main_gone, MAIN_EXITS, __ATOMIC_RELEASE);
        if (!hook_may_stay())
            reporter_step_aside();
    }
}

EXPORT void pthread_exit(void *value)
{
    REAL(pthread_exit)
    main_may_go();
    real(value);
    __builtin_unreachable();
}

EXPORT void thrd_exit(int result)
{
    REAL(thrd_exit)
    main_may_go();
    real(result);
    __builtin_unreachable();
}

EXPORT int sigaltstack(const stack_t *restrict stack, stack_t *restrict old)
{
    REAL(sigaltstack)
    INTERCEPT_LANE(real(stack, old));
    int r = real(stack, old);
    if (r == 0 && stack && stack != old) {
        bool on = !(stack->ss_flags & SS_DISABLE);
        lane->alt_lo = on ? (uint64_t)(uintptr_t)stack->ss_sp : 0;
        lane->alt_hi = on ? lane->alt_lo + stack->ss_size : 0;
    }
    return r;
}

/* prctl is variadic; the kernel looks at five arguments at most. */
EXPORT int prctl(int option, ...)
{
    REAL(prctl)
    va_list list;
    va_start(list, option);
    unsigned long a = va_arg(list, unsigned long), b = va_arg(list, unsigned long);
    unsigned long c = va_arg(list, unsigned long), d = va_arg(list, unsigned long);
    va_end(list);
    if (likely(option != PR_SET_SECCOMP && option != PR_SET_TSC))
        return real(option, a, b, c, d);
    INTERCEPT_LANE(real(option, a, b, c, d));
    if (option == PR_SET_TSC) {
        /* after this the counter that we read may be a fault */
        if (a == PR_TSC_SIGSEGV)
            hook_region->enabled = 0;
        return real(option, a, b, c, d);
    }
    reporter_before_blocking(); /* a forked child's reporter: later it may not be allowed to start
                                 */
    reporter_before_blocking(); /* a forked child's: later it may not be allowed to start one */
    bool coming = hook_seccomp_coming(lane);
    if (a == SECCOMP_MODE_STRICT)
        hook_strict_coming();
    int r = real(option, a, b, c, d);
    if (r != 0)
        hook_seccomp_failed(coming);
    return r;
}

EXPORT int mlockall(int flags)
{
    REAL(mlockall)
    struct lane *lane = hook_lane();
    if (!lane || hook_region->sandboxed || !(flags & MCL_CURRENT) || flags & MCL_ONFAULT)
        return real(flags);
    uint32_t held = lock_hold_unused(hook_region);
    int r = real(flags);
    lock_give_back(hook_region, held);
    return r;
}
