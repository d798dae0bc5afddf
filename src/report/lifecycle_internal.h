/* What the parts of the life cycle share with one another, and with nobody else. */
#ifndef SCOPE_REPORT_LIFECYCLE_INTERNAL_H
#define SCOPE_REPORT_LIFECYCLE_INTERNAL_H

#include "report/control.h"
#include "report/lifecycle.h"
#include "report/reporter.h"

enum thread_state { THREAD_NONE, THREAD_THERE };
/* LATE: who asked waits no longer, the thread sees to it that another is started. */
enum stop { STOP_NONE, STOP_ASKED, STOP_LATE, STOP_DONE };

/* One to a process; a forked child has its copy, see reporter_child(). */
struct life {
    const struct conf *conf;
    struct region_head *region;

    /*
     * What only the reporter may touch: the thread where there is one, else whoever has got
     * `owner`. `busy`: it is at it now. `forking`: fork is copying memory, nothing of it may
     * change.
     */
    struct reporter *reporter;
    struct reporter *inherited; /* the parent's, as copied by fork: to be freed */
    struct control control;
    uint32_t owner; /* a thread (tid) that delivers in place; 0: none */
    uint32_t busy;
    uint32_t forking;      /* how many forks are under way; futex */
    uint64_t exit_bound; /* conf's, apart: threads of the program read it while a reload frees conf */
    uint32_t prepared; /* futex: 1 once the thread has opened what it must open early */
    uint32_t quiet;        /* `busy` was not set when the latest fork began */
    uint32_t fork_blocked; /* signals are blocked while it goes on; fork_mask: what was before */
    uint64_t fork_mask;
    uint32_t goes_on; /* the next child is this process under another number */

    /* The thread. */
    uint32_t state; /* enum thread_state */
    int32_t tid;
    uint32_t stop;      /* enum stop: it is to end */
    uint64_t stop_by;   /* when its last turn is to be over, CLOCK_MONOTONIC ns; 0: not asked */
    uint32_t transient; /* 1: its descriptors are in the program's table, and are not kept */
    uint64_t try_again; /* after a failed start, CLOCK_MONOTONIC ns */

    /* Asking it to deliver: a number is drawn from `asked`, and waited for in `answered`. */
    uint32_t asked;      /* futex */
    uint32_t answered;   /* futex */
    uint32_t keep_lines; /* output is still to come: unfinished lines are not final */

    /* The end. */
    uint64_t end_by;   /* CLOCK_MONOTONIC ns; 0: not ending */
    uint32_t away;     /* after the latest turn something was left that no sink would take */
    uint32_t hurried;  /* our parent's sinks were away: no use in waiting long for them */
    uint32_t ended;    /* RECORD_EXIT was written */
    struct lane *last; /* the lane of the thread that ends the process */
};
extern struct life life;

/* lifecycle_thread.c */
int thread_start(void);
void thread_stop(void); /* and waits until the kernel has let go of it */
void thread_after_fork(void);
/* Around whatever changes memory of the reporter's: waits while a fork copies it. */
void life_busy_begin(void);
void life_busy_end(void);
/* Builds the reporter if there is none yet. */
bool life_build(int saved_stdout, int saved_stderr);

/* lifecycle_stack.c: runs work(context) on a stack of our own. False: there was no memory. */
bool on_own_stack(void (*work)(void *), void *context);

/* All signals but 32 and 33, which glibc needs for cancellation and setuid, stay away. */
void signals_block(uint64_t *before);
void signals_restore(const uint64_t *before);

/* Waits while *word is `value`, until `until` (CLOCK_MONOTONIC ns) at most. */
void futex_wait_until(uint32_t *word, uint32_t value, uint64_t until, bool shared);
void futex_wake_all(uint32_t *word);

#endif
