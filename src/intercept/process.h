/*
 * What the process wrappers share: the environment that an exec carries on, and reading what a
 * program hands to exec without trusting its pointers.
 *
 * Called on application threads and in the child of a vfork, which has its parent's memory: nothing
 * here keeps anything, allocates, or changes errno. System calls: those that each says.
 */
#ifndef SCOPE_INTERCEPT_PROCESS_H
#define SCOPE_INTERCEPT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "capture/ops.h"
#include "conf/conf.h"
#include "hook/hook.h"
#include "os/target.h"

/*
 * From the constructor, on the main thread: keeps what env and vfork need. A process that is not
 * observed hands our library on as it is, but not to where it cannot be loaded.
 */
void process_start(const struct conf *conf, bool observed);
/* The status that quick_exit was called with. */
int process_quick_status(void);

/* A child was made by `op`: result is its number or -errno. Counts and records; keeps errno. */
void process_made(struct lane *lane, enum op op, uint64_t start, int64_t result);

/* ------------------------------------------------------------------ memory of the program's */

/* The page that was last found readable, so that a page is asked about once. */
struct peek {
    uintptr_t page;
};
/* Whether the byte at p can be read. One rt_sigprocmask for a page not asked about yet. */
bool peek_ok(struct peek *peek, const void *p);
/* Length of the string at p, at most `most`; -1 if it cannot be read. */
long peek_length(struct peek *peek, const char *p, size_t most);

/* ------------------------------------------------------------------ env.c */

/* What is to be done with an environment. */
struct env_plan {
    char *const *given;
    size_t count;     /* of given */
    size_t preload;   /* the index of LD_PRELOAD in it, or count */
    unsigned missing; /* bits: which of our kept variables are not in it */
    size_t value;     /* bytes that the new LD_PRELOAD takes, 0: it stays as it is */
    bool take_out;
    size_t room; /* bytes that env_make needs, 0: `given` is passed on as it stands */
};

/*
 * From here on execs carry the library on: what LD_PRELOAD and SCOPE_* are now is what children
 * get. Without conf->follow takes ours out of the environment at once instead.
 */
void env_start(const struct conf *conf, bool observed);

/* target: what is going to be executed. Looks whether our library is there (one open). */
void env_plan(struct env_plan *plan, char *const *envp, enum target target);
/* Makes the environment in `room` (plan->room bytes, pointer-aligned) where one has to be made. */
char *const *env_make(const struct env_plan *plan, void *room);

/* The value of PATH in the program's environment, or NULL. */
const char *env_path(void);

#endif
