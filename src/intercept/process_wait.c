/*
 * Watches children ending, as their parent's wait family tells it: status, signal, core dump.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "intercept/common.h"
#include "report/lifecycle.h"

/* result: the child's number, 0 for none yet, or -errno. */
static void waited(uint64_t start, int64_t result, int status)
{
    struct lane *lane = hook_lane();

    if (!lane)
        return;
    uint64_t end = ticks_now();
    count_call(hook_region, lane, OP_WAIT, KIND_NONE, start, end, 0, result < 0 ? (int)-result : 0);
    if (result <= 0 || !(hook_region->watch & WATCH_PROCESSES) ||
        !(WIFEXITED(status) || WIFSIGNALED(status)))
        return;
    struct record record = {
        .type = RECORD_WAIT,
        .op = OP_WAIT,
        .kind = KIND_NONE,
        .start = start,
        .end = end,
        .fd = -1,
        .result = result,
        .a = (uint32_t)status,
    };
    record_write(hook_region, lane, &record, NULL, 0);
}

/* The status goes to the program's own pointer, which the kernel judges; ours only if it gave none.
 */
#define WAIT(type, name, parameters, arguments)                                    \
    EXPORT type name parameters                                                    \
    {                                                                              \
        REAL(name);                                                                \
        (void)hook_lane(); /* a vfork before this is told before its child ends */ \
        before_blocking();                                                         \
        int own = 0;                                                               \
        if (!status)                                                               \
            status = &own;                                                         \
        uint64_t start = ticks_now();                                              \
        type pid = real arguments;                                                 \
        waited(start, with_errno(pid), pid > 0 ? *status : 0);                     \
        after_call();                                                              \
        return pid;                                                                \
    }

pid_t __wait(int *status);
pid_t __waitpid(pid_t which, int *status, int options);

WAIT(pid_t, wait, (int *status), (status))
WAIT(pid_t, __wait, (int *status), (status))
WAIT(pid_t, waitpid, (pid_t which, int *status, int options), (which, status, options))
WAIT(pid_t, __waitpid, (pid_t which, int *status, int options), (which, status, options))
WAIT(pid_t, wait3, (int *status, int options, struct rusage *usage), (status, options, usage))
WAIT(pid_t, wait4, (pid_t which, int *status, int options, struct rusage *usage),
     (which, status, options, usage))

/* A wait status from what waitid says. */
static int status_of(const siginfo_t *info)
{
    switch (info->si_code) {
    case CLD_EXITED:
        return (info->si_status & 0xff) << 8;
    case CLD_KILLED:
        return info->si_status & 0x7f;
    case CLD_DUMPED:
        return (info->si_status & 0x7f) | 0x80;
    default:
        return 0x7f; /* stopped or continued */
    }
}

EXPORT int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    REAL(waitid);
    (void)hook_lane();
    before_blocking();
    siginfo_t own;
    if (!info)
        info = &own;
    if (info == &own)
        own.si_pid = 0;
    uint64_t start = ticks_now();
    int r = real(type, id, info, options);
    /* One that is only looked at will be waited for again. */
    bool taken = r == 0 && !(options & WNOWAIT) && info->si_pid > 0;
    waited(start, taken ? info->si_pid : with_errno(r), taken ? status_of(info) : 0);
    after_call();
    return r;
}
