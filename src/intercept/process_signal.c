/*
 * A process that kills itself by a signal: what it recorded is delivered before. (A signal from
 * outside leaves no such moment: its parent tells of it, and what was not sent yet is lost.)
 */
#include <signal.h>

#include "intercept/common.h"
#include "report/lifecycle.h"

/* Whether this signal, as things stand, ends the process. */
static bool is_fatal(int number)
{
    struct {
        uintptr_t handler;
        unsigned long flags;
        void *restorer;
        uint64_t mask;
    } action = {0};

    switch (number) {
    case 0:
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH:
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
        return false;
    }
    return sys(rt_sigaction, number, NULL, &action, sizeof(action.mask)) == 0 && !action.handler;
}

static bool prepare(bool self, int number)
{
    int saved = errno;
    bool fatal = self && hook_lane() && !hook_region->sandboxed && is_fatal(number);

    if (fatal)
        reporter_deliver();
    errno = saved;
    return fatal;
}

EXPORT int kill(pid_t pid, int number)
{
    REAL(kill);
    bool fatal = prepare(hook_region && (pid == hook_region->pid || !pid), number);
    int r = real(pid, number);
    if (fatal)
        reporter_goes_on();
    return r;
}

EXPORT int raise(int number)
{
    REAL(raise);
    bool fatal = prepare(true, number);
    int r = real(number);
    if (fatal)
        reporter_goes_on();
    return r;
}
