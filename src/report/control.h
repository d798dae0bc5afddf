/*
 * control: a running process is switched off and on, or told to read its configuration again, by a
 * file that only its own user may write: <control.dir>/<pid>, lines `off`, `on`, `reload`; and
 * `status`: it then says how it is in <control.dir>/<pid>.status (report/status.h).
 *
 * Called on the reporter's thread. One stat when nothing has changed. The directory and the file
 * must belong to the process's user (or root) and be writable by nobody else, or they are ignored;
 * so is a file that is older than the process.
 */
#ifndef SCOPE_REPORT_CONTROL_H
#define SCOPE_REPORT_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"

struct control {
    char path[512];       /* empty: no control file */
    size_t directory;     /* length of the directory's part of it */
    uint32_t uid;         /* whose directory it is */
    bool by_user;         /* it goes by the user: control.dir is not set */
    uint64_t started;     /* the process: CLOCK_REALTIME, ns */
    int64_t seen_seconds; /* the file's time when it was last read */
    uint32_t seen_nano;
    uint64_t seen_size;
};

/* What a changed file asks for. */
enum {
    CONTROL_OFF = 1u,
    CONTROL_ON = 2u,
    CONTROL_RELOAD = 4u,
    CONTROL_STATUS = 8u,
};

/* Main thread, before others may change the environment. started: CLOCK_REALTIME, ns. */
void control_start(struct control *c, const struct conf *conf, int32_t pid, uint64_t started);
/* A forked child has a file of its own. */
void control_after_fork(struct control *c, int32_t pid, uint64_t started);
/* Bits of what is asked for since the last look; of `off` and `on` the last one. */
unsigned control_look(struct control *c);

/*
 * Leaves the answer to `status` beside the control file, readable by the user alone, whole or not
 * at all. 0 or -errno; -EPERM where the directory is not ours alone.
 */
int control_answer(const struct control *c, const char *text, size_t length);

/*
 * Loads the configuration anew, for this process as it was started. Troubles go to diagnostics.
 * NULL: no memory. The caller owns it (conf_free).
 */
struct conf *control_reload(void);
/* How many troubles the latest control_reload() found; before it, -1. */
int control_reload_troubles(void);

#endif
