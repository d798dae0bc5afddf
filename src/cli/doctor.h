/*
 * doctor: what the parts of scope doctor share: a list of facts, and who finds which.
 *
 * Each part looks at one thing and states facts; doctor.c prints them and draws the conclusion. Runs
 * in the scope command's own process. What is read of another process, its answer included, is
 * untrusted: it is bounded, parsed strictly and printed without control characters.
 */
#ifndef SCOPE_CLI_DOCTOR_H
#define SCOPE_CLI_DOCTOR_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "os/target.h"

/* ------------------------------------------------------------------ doctor.c */

enum fact_state {
    FACT_OK,
    FACT_NO,   /* something is wrong, or keeps the program from being observed */
    FACT_NOTE, /* worth knowing, and as it should be */
};

struct doctor {
    bool json, colour;
    bool observed; /* what the facts come to */
    bool wrong;    /* a FACT_NO was stated */
    json_t *facts;
    json_t *inside; /* the process's own answer; NULL: none */
    json_t *target;
};

/* States one fact: a line for a person. topic: one word. */
void fact(struct doctor *d, enum fact_state state, const char *topic, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A string of JSON from bytes of any kind. */
json_t *doctor_text(const char *bytes);

/* ------------------------------------------------------------------ doctor_program.c */

/* An executable file, as far as it matters for a library that is preloaded. */
struct program {
    enum target target;
    bool go;         /* built by Go's compiler: its own calls pass libc by */
    char tls[160];   /* TLS libraries that it links or holds, in words; empty: none found */
    char class_[16]; /* "64-bit", "32-bit"; empty: no ELF file */
    char loader[256];
};

/* Reads the file. False: it cannot be read (what is not known is empty). */
bool program_read(const char *path, struct program *p);
/* Why an exec of this file by us would be privileged (AT_SECURE), in words; NULL: it would not. */
const char *program_privileged(const char *path, char *out, size_t size);
/* States what the file is. Returns whether the library can be loaded into it. */
bool program_facts(struct doctor *d, const struct program *p, const char *path);
/* Whether a library's file name is one that does TLS. */
bool program_is_tls_library(const char *base);

/* ------------------------------------------------------------------ doctor_process.c */

/* A running process, as seen from outside. */
struct process {
    int pid, inner_pid; /* the latter in its own pid namespace */
    char name[64];
    char state;
    uid_t uid, real_uid; /* the first is the effective one */
    gid_t gid;
    bool seccomp;
    int denied; /* errno of what may not be read of it; 0: all may */
    char exe[PATH_MAX];
    char **environment; /* NULL-ended */
    char **arguments;
    bool overwritten; /* its environment is not what it was started with */
    bool secure;      /* AT_SECURE */
    char root[32];    /* what stands before its paths to reach them: "" or /proc/PID/root */
    bool other_network;
    int reporter; /* the tid of our thread in it; 0: none */
    bool io_uring;
    char library[PATH_MAX]; /* libscope.so as mapped; empty: it is not */
    bool library_gone;      /* its file was removed or replaced since */
    unsigned long library_inode;
    char tls[256]; /* TLS libraries mapped */
    void *texts[2];
};

/* 0, or -errno where there is no such process. */
int running_read(struct process *p, int pid);
void running_free(struct process *p);
const char *running_variable(const struct process *p, const char *name);

/* ------------------------------------------------------------------ doctor_ask.c */

/*
 * Asks the process by its control file in any of these directories (NULL-ended, absolute, as the
 * process sees them), and waits. The answer, the caller's to free; NULL: none, and why.
 */
json_t *doctor_ask(const struct process *p, char *const *directories, double seconds, char *why,
            size_t size);

/* ------------------------------------------------------------------ doctor_sink.c */

/* Where a sink is looked at from: a running process's place, or NULL for ours. */
enum fact_state doctor_probe(const char *url, const struct process *from, char *text, size_t size);

/* ------------------------------------------------------------------ doctor_conf.c */

/* Loads the configuration and states what is wrong in it. NULL: no memory. */
struct conf *doctor_conf(struct doctor *d, const struct conf_input *input);
/* States whether the configuration lets this program be observed, or by which rule not. */
bool doctor_rules(struct doctor *d, const struct conf *conf, const struct conf_input *input);
/* States for each sink whether it can be reached; returns how many there are. */
unsigned doctor_sinks(struct doctor *d, const struct conf *conf, const struct process *from);

/* Where its control file is, absolute; empty: control is off. runtime: its XDG_RUNTIME_DIR. */
void doctor_control_directory(const struct conf *conf, const char *runtime, uid_t uid, char *out,
                            size_t size);

/* ------------------------------------------------------------------ the three questions */

void doctor_running(struct doctor *d, int pid); /* doctor_running.c */
struct doctor_options {
    const char *config;
    char *const *sets;
};
void doctor_command(struct doctor *d, char **command, const struct doctor_options *o);
void doctor_installation(struct doctor *d, const struct doctor_options *o);

#endif
