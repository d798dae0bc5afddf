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
 * Through an exec, a process's span goes on: this variable hands it over. It is of use only to the
 * process whose number it has.
 */
#define SPAN_VARIABLE "SCOPE_SPAN="
enum { SPAN_HANDED = 160 }; /* of its value, NUL included, at most */

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

/* What is to be done with what an environment says of the trace. */
enum { VARIABLE_TRACEPARENT, VARIABLE_TRACESTATE, VARIABLE_SPAN, TRACE_VARIABLES };
struct env_trace {
    size_t at[TRACE_VARIABLES];         /* the index in what was given, or its count */
    const char *value[TRACE_VARIABLES]; /* NAME=value to put there, NULL: none */
    uint8_t change[TRACE_VARIABLES];    /* 1: value, or nothing, takes its place */
    char traceparent[sizeof("TRACEPARENT=") + 55];
    char span[sizeof(SPAN_VARIABLE) + SPAN_HANDED];
};

/* What is to be done with an environment. */
struct env_plan {
    char *const *given;
    size_t count;     /* of given */
    size_t preload;   /* the index of LD_PRELOAD in it, or count */
    unsigned missing; /* bits: which of our kept variables are not in it */
    size_t value;     /* bytes that the new LD_PRELOAD takes, 0: it stays as it is */
    bool take_out;
    struct env_trace trace;
    size_t room; /* bytes that env_make needs, 0: `given` is passed on as it stands */
};

/*
 * From here on execs carry the library on: what LD_PRELOAD and SCOPE_* are now is what children
 * get. Without conf->follow takes ours out of the environment at once instead.
 */
void env_start(const struct conf *conf, bool observed);

/*
 * target: what is going to be executed, in this process itself (`same`) or in a child. Looks
 * whether our library is there (one open).
 */
void env_plan(struct env_plan *plan, char *const *envp, enum target target, bool same);
/* Makes the environment in `room` (plan->room bytes, pointer-aligned) where one has to be made. */
char *const *env_make(const struct env_plan *plan, void *room);

/* ------------------------------------------------------------------ env_trace.c */

/*
 * From the constructor, once the region says what this process's span is: puts that into `environ`,
 * which is what children of system() and popen() get; keeps what the environment said before.
 */
void env_trace_start(void);
/*
 * The same where this image is not observed, and nobody will tell of the span that was handed to
 * it: its children are its parent's.
 */
void env_trace_unseen(void);
/* In a forked child, once region->process is its own. */
void env_trace_forked(void);
/* Whether contexts are kept, and children are told. */
bool env_trace_is_on(void);
/*
 * Notes variable `e`, number n of an environment, if it is one of those. False: it cannot be read.
 */
bool env_trace_meet(struct env_trace *trace, struct peek *peek, const char *e, size_t n);
/*
 * Decides, once all `count` were met. same: the image of this very process is replaced; unseen: by
 * one that will not be observed. Returns how many change.
 */
unsigned env_trace_plan(struct env_trace *trace, char *const *given, size_t count, bool same,
                        bool unseen);

/* ------------------------------------------------------------------ env_lend.c */

/* Around a call that hands `environ` on to a child. */
struct env_loan {
    struct env_plan *plan; /* NULL: nothing was lent */
    char **room, **was;
};
void env_lend(struct env_loan *loan);
void env_return(struct env_loan *loan);

/* The value of PATH in the program's environment, or NULL. */
const char *env_path(void);

#endif
