/*
 * system and popen hand `environ` itself to their shell. While the thread works on a request, the
 * shell's is to name that as its parent: for the time of the call there is another list in its
 * place, where the program has no other thread that might look.
 */
#include "intercept/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "intercept/common.h"
#include "os/heap.h"

/* As libc counts: the reporter's thread is none of them. */
static bool is_alone(void)
{
    static unsigned *count;

    if (!count)
        count = hook_libc("__nptl_nthreads");
    return count && __atomic_load_n(count, __ATOMIC_RELAXED) < 2;
}

static bool has_context(const struct lane *lane)
{
    static const uint8_t none[sizeof(lane->context.trace_id)];

    return lane && memcmp(lane->context.trace_id, none, sizeof(none)) != 0;
}

/* All of it on the heap: a handler that jumps out of the call leaves the list where it stands. */
void env_lend(struct env_loan *loan)
{
    *loan = (struct env_loan){0};
    if (!env_trace_is_on() || !has_context(hook_lane()) || !is_alone())
        return;
    loan->plan = heap_alloc(sizeof(*loan->plan));
    if (!loan->plan)
        return;
    env_plan(loan->plan, environ, TARGET_NATIVE, false);
    loan->room = loan->plan->room ? heap_alloc(loan->plan->room) : NULL;
    if (!loan->room)
        return;
    loan->was = environ;
    environ = (char **)(uintptr_t)env_make(loan->plan, loan->room);
}

void env_return(struct env_loan *loan)
{
    if (loan->room && environ == loan->room)
        environ = loan->was;
    heap_free(loan->room);
    heap_free(loan->plan);
}

EXPORT int system(const char *command)
{
    REAL(system);
    struct env_loan loan;
    int saved = errno;

    if (!command)
        return real(command);
    env_lend(&loan);
    errno = saved;
    int status = real(command);
    saved = errno;
    env_return(&loan);
    errno = saved;
    return status;
}
