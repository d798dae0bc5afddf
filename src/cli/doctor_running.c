/*
 * scope doctor PID: facts from outside, and the process's own answer.
 */
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/run.h"
#include "report/status.h"

enum { PATIENCE_LEAST = 2, PATIENCE_MOST = 12 };

enum { USER_SIZE = 64 };

static const char *user_of(uid_t uid, char *out)
{
    struct passwd *user = getpwuid(uid);

    if (user)
        snprintf(out, USER_SIZE, "%s", user->pw_name);
    else
        snprintf(out, USER_SIZE, "%u", uid);
    return out;
}

/* ------------------------------------------------------------------ may we look */

static bool tell_denied(struct doctor *d, const struct process *p)
{
    char one[USER_SIZE], other[USER_SIZE];

    if (!p->denied)
        return false;
    if (p->denied == ENOENT)
        fact(d, FACT_NO, "process", "%d (%s) is a thread of the kernel's, or has just ended",
             p->pid, p->name);
    else if (p->uid != geteuid())
        fact(
            d, FACT_NO, "permission",
            "%d (%s) belongs to %s and you are %s: only its user and root may look into it; ask as "
            "root: sudo scope doctor %d",
            p->pid, p->name, user_of(p->uid, one), user_of(geteuid(), other), p->pid);
    else
        fact(
            d, FACT_NO, "permission",
            "%d (%s) has rights of its own (setuid, capabilities) or shields itself: only root may "
            "look into it, and privileged programs are never observed; ask as root: sudo scope "
            "doctor %d",
            p->pid, p->name, p->pid);
    return true;
}

static bool tell_process(struct doctor *d, const struct process *p)
{
    char user[USER_SIZE];

    if (p->state == 'Z' || p->state == 'X') {
        fact(d, FACT_NO, "process", "%d (%s) has ended, and its parent has not taken notice",
             p->pid, p->name);
        return false;
    }
    if (tell_denied(d, p))
        return false;
    fact(d, FACT_OK, "process", "%d (%s), of %s", p->pid, p->name, user_of(p->uid, user));
    if (p->state == 'T' || p->state == 't')
        fact(d, FACT_NOTE, "process", "it is stopped, by a signal or a debugger");
    if (p->root[0])
        fact(d, FACT_NOTE, "container",
             "it has file systems of its own%s: its paths are as seen from there",
             p->inner_pid != p->pid ? " (and process ids)" : "");
    return true;
}

/* ------------------------------------------------------------------ the library in it */

/* The version that a library's file says it has; empty: it is none of ours. */
static void library_version(const char *path, char *out, size_t size)
{
    static const char mark[] = STATUS_VERSION_MARK;
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    out[0] = '\0';
    if (fd < 0)
        return;
    if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && s.st_size > 64) {
        size_t length = (size_t)s.st_size;
        char *data = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data != MAP_FAILED) {
            char *at = memmem(data, length - 32, mark, sizeof(mark) - 1);
            if (at)
                snprintf(out, size, "%.30s", at + sizeof(mark) - 1);
            munmap(data, length);
        }
    }
    close(fd);
}

static bool tell_mapped(struct doctor *d, const struct process *p)
{
    char path[PATH_MAX + 64], version[32];

    if (p->library_gone) {
        fact(d, FACT_NOTE, "library",
             "%s is loaded; its file was removed or replaced since: a restart loads the new one",
             p->library);
        return true;
    }
    snprintf(path, sizeof(path), "%s%s", p->root, p->library);
    if (access(path, F_OK) != 0) /* after a chroot the mapping's name is the one that we see */
        snprintf(path, sizeof(path), "%s", p->library);
    library_version(path, version, sizeof(version));
    if (!version[0]) {
        fact(d, FACT_NO, "library",
             "%s is loaded, and is not this library but another of that name", p->library);
        return false;
    }
    fact(d, FACT_OK, "library", "%s is loaded, version %s", p->library, version);
    if (strcmp(version, SCOPE_VERSION) != 0)
        fact(d, FACT_NOTE, "library", "this command is of version %s", SCOPE_VERSION);
    return true;
}

/* The entry of LD_PRELOAD that means us. */
static bool preload_entry(const char *value, char *out, size_t size)
{
    while (value && *value) {
        size_t n = strcspn(value, ": ");
        if (n < size) {
            memcpy(out, value, n);
            out[n] = '\0';
            if (strstr(out, "libscope.so"))
                return true;
        }
        value += n + (value[n] != '\0');
    }
    return false;
}

static void tell_unmapped(struct doctor *d, const struct process *p)
{
    char entry[PATH_MAX], path[PATH_MAX + 64];

    if (preload_entry(running_variable(p, "LD_PRELOAD"), entry, sizeof(entry))) {
        snprintf(path, sizeof(path), "%s%s", p->root, entry);
        if (*entry == '/' && access(path, F_OK) != 0)
            fact(d, FACT_NO, "library",
                 "LD_PRELOAD names %s, and there is no such file where it runs", entry);
        else
            fact(d, FACT_NO, "library",
                 "LD_PRELOAD names %s, and the loader has not loaded it: it says why on the "
                 "program's standard error",
                 entry);
        return;
    }
    if (run_find_library(path, sizeof(path)) != 0)
        snprintf(path, sizeof(path), "/path/to/libscope.so");
    fact(d, FACT_NO, "library",
         "it was started without it%s; start it anew under scope run, or with LD_PRELOAD=%s in its "
         "environment",
         p->overwritten ? "" : " (LD_PRELOAD does not name it)", path);
}

static bool tell_library(struct doctor *d, const struct process *p, const struct program *program)
{
    bool loadable = program_facts(d, program, p->exe);

    if (p->secure) {
        fact(
            d, FACT_NO, "privileged",
            "it has more rights than its caller (setuid, setgid, capabilities): the loader ignores "
            "LD_PRELOAD there, and the library leaves it alone");
        return false;
    }
    if (p->library[0])
        return tell_mapped(d, p);
    if (loadable)
        tell_unmapped(d, p);
    return false;
}

/* ------------------------------------------------------------------ from inside */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void tell_hooks(struct doctor *d, const json_t *inside)
{
    const json_t *hooks = json_object_get(inside, "hooks");
    const char *stdio = text_of(hooks, "stdio");
    long long patched = number_of(hooks, "got_patched"), refused = number_of(hooks, "got_refused");

    fact(d, FACT_OK, "hooks", "preloaded functions%s",
         !strcmp(stdio, "patched") ? ", stdio's tables" : "");
    if (strcmp(stdio, "patched") != 0)
        fact(d, FACT_NO, "stdio", "what goes through printf, fgets and their kind is not seen: %s",
             stdio);
    if (patched > 0)
        fact(d, FACT_OK, "hooks", "%lld libraries opened with RTLD_DEEPBIND, through their GOT",
             patched);
    if (refused > 0)
        fact(d, FACT_NOTE, "unseen",
             "%lld libraries opened with RTLD_DEEPBIND: their pages may not be written", refused);
}

static void tell_watched(struct doctor *d, const json_t *inside)
{
    char text[256] = "";
    size_t i, n = 0;
    json_t *word;

    json_array_foreach(json_object_get(inside, "watch"), i, word)
    {
        const char *name = json_string_value(word);
        if (name && n < sizeof(text))
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? ", " : "", name);
    }
    fact(d, n ? FACT_OK : FACT_NO, "watches", "%s", n ? text : "nothing: every family is off");
}

static void tell_sinks(struct doctor *d, const json_t *inside, const struct process *p)
{
    const json_t *sinks = json_object_get(inside, "sinks");
    char text[512];
    json_t *s;
    size_t i;

    if (!json_array_size(sinks))
        fact(d, FACT_NO, "sink",
             "none is configured: what is recorded goes nowhere; name one, with "
             "SCOPE_NDJSON_TO for instance");
    json_array_foreach(sinks, i, s)
    {
        const char *name = text_of(s, "name"), *to = text_of(s, "to"), *state = text_of(s, "state");
        const char *why = text_of(s, "reason");
        if (!strcmp(state, "ok")) {
            fact(d, FACT_OK, "sink", "%s to %s: %lld items delivered, %lld wait", name, to,
                 number_of(s, "sent"), number_of(s, "queued"));
        } else if (!strcmp(state, "idle")) {
            enum fact_state reached = doctor_probe(to, p, text, sizeof(text));
            fact(d, reached, "sink", "%s to %s: nothing was sent yet; %s", name, to, text);
        } else {
            fact(d, FACT_NO, "sink", "%s to %s: %s%s%s; %lld items wait", name, to,
                 !strcmp(state, "away") ? "away" : "cannot be used", *why ? ": " : "", why,
                 number_of(s, "queued"));
        }
    }
}

static void tell_drops(struct doctor *d, const json_t *inside)
{
    static const struct {
        const char *cause, *meaning;
        bool harmless;
    } causes[] = {
        {"pool_empty", "records came faster than they were taken: make memory.pool larger", false},
        {"abandoned", "a signal handler jumped out of a record", true},
        {"no_lane", "more threads than memory.threads", false},
        {"descriptor_range", "descriptor numbers above 1,048,575 are not followed", true},
        {"log_rate", "more lines a second than logs.rate", false},
        {"log_binary", "binary data in something taken for a log", true},
        {"log_length", "lines longer than logs.line_max were cut", false},
        {"event_rate", "more events a second than events.rate", false},
        {"cardinality", "more series than metrics.cardinality_limit", false},
        {"state_limit", "more open descriptors or names than are followed", false},
        {"queue_full", "a sink was away longer than memory.queue lasts", false},
        {"sink_failed", "a sink refused it for good", false},
        {"exit_bound", "not delivered within exit.bound", false},
        {"invalid", "records that made no sense: something has overwritten them", false},
    };
    const json_t *drops = json_object_get(inside, "drops");
    bool any = false;

    for (unsigned i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
        long long n = number_of(drops, causes[i].cause);
        if (n <= 0)
            continue;
        any = true;
        fact(d, causes[i].harmless ? FACT_NOTE : FACT_NO, "dropped", "%s: %lld (%s)",
             causes[i].cause, n, causes[i].meaning);
    }
    if (!any)
        fact(d, FACT_OK, "dropped", "nothing");
}

static bool is_noted(const json_t *inside, const char *what)
{
    json_t *word;
    size_t i;

    json_array_foreach(json_object_get(inside, "unseen"), i, word)
    {
        if (json_string_value(word) && !strcmp(json_string_value(word), what))
            return true;
    }
    return false;
}

static void tell_inside(struct doctor *d, const struct process *p, const json_t *inside)
{
    const json_t *conf = json_object_get(inside, "configuration");
    const json_t *pool = json_object_get(inside, "pool"), *lanes = json_object_get(inside, "lanes");

    if (json_is_false(json_object_get(inside, "enabled"))) {
        d->observed = false;
        fact(d, FACT_NO, "switched off", "by its control file, where `on` switches it on again");
    }
    tell_hooks(d, inside);
    tell_watched(d, inside);
    fact(d, FACT_OK, "memory", "%lld of %lld chunks free, %lld of %lld lanes in use",
         number_of(pool, "free"), number_of(pool, "total"), number_of(lanes, "used"),
         number_of(lanes, "total"));
    if (p->overwritten) {
        const char *path = text_of(conf, "path");
        long long troubles = number_of(conf, "troubles");
        fact(d, troubles ? FACT_NO : FACT_OK, "configuration", "%s; %lld troubles%s",
             *path ? path : "there is no scope.yml", troubles,
             troubles ? " (diagnostics.to names a file for them)" : "");
    }
    tell_sinks(d, inside, p);
    tell_drops(d, inside);
    if (is_noted(inside, "aio"))
        fact(d, FACT_NOTE, "unseen",
             "it uses asynchronous I/O (aio): what is done there is not seen");
    if (is_noted(inside, "deepbind"))
        fact(d, FACT_NOTE, "unseen",
             "a library was opened with RTLD_DEEPBIND or in a namespace of its own, and its calls "
             "are not reached");
}

/* What either side may know of. */
static void tell_unseen(struct doctor *d, const struct process *p, const struct program *program)
{
    if (p->io_uring || is_noted(d->inside, "io_uring"))
        fact(d, FACT_NOTE, "unseen", "it uses io_uring: what is done there is not seen");
    bool both = program->tls[0] && !strstr(p->tls, program->tls);
    if (p->tls[0] || program->tls[0])
        fact(d, FACT_NOTE, "tls",
             "%s%s%s: TLS plaintext is read at its functions; its connections and their bytes "
             "are seen",
             p->tls, p->tls[0] && both ? ", " : "", both ? program->tls : "");
    if (p->seccomp || json_is_true(json_object_get(d->inside, "sandboxed")))
        fact(d, FACT_NOTE, "seccomp",
             "it has a system call filter: we make no calls of our own for it, so descriptors that "
             "were not seen being opened stay unnamed");
}

/* ------------------------------------------------------------------ asking */

static double patience(const struct conf *conf)
{
    double seconds = conf ? (double)conf->events_interval * 1e-9 + 1 : PATIENCE_LEAST + 1;

    return seconds < PATIENCE_LEAST  ? PATIENCE_LEAST
           : seconds > PATIENCE_MOST ? PATIENCE_MOST
                                     : seconds;
}

static void add_place(char **places, unsigned *n, char *path)
{
    for (unsigned i = 0; i < *n; i++) {
        if (!strcmp(places[i], path))
            return;
    }
    if (*path)
        places[(*n)++] = path;
}

/* Where its control file may be: it may have changed its user, or lost its environment. */
static json_t *ask_everywhere(const struct process *p, const struct conf *conf, char *why,
                              size_t size)
{
    char first[PATH_MAX] = "", runtime[64], temporary[64];
    char *places[5] = {NULL}, *named = getenv("SCOPE_CONTROL_DIR");
    unsigned n = 0;

    doctor_control_directory(conf, running_variable(p, "XDG_RUNTIME_DIR"), p->real_uid, first,
                             sizeof(first));
    if (!first[0] && !p->overwritten) {
        snprintf(why, size, "control.enabled is false");
        return NULL;
    }
    if (p->overwritten && named) /* its own is lost: whoever asks may know it */
        add_place(places, &n, named);
    add_place(places, &n, first);
    snprintf(runtime, sizeof(runtime), "/run/user/%u/scope", p->real_uid);
    snprintf(temporary, sizeof(temporary), "/tmp/scope-%u", p->real_uid);
    if (p->overwritten)
        add_place(places, &n, runtime);
    if (!conf->control_dir)
        add_place(places, &n, temporary);
    return doctor_ask(p, places, patience(p->overwritten ? NULL : conf), why, size);
}

static void tell_unanswered(struct doctor *d, const struct process *p, const struct conf *conf,
                            const char *why)
{
    fact(d, conf->control ? FACT_NO : FACT_NOTE, "answer",
         "it does not tell how it is: %s%s%s; hooks, drops and what it delivers are not known", why,
         p->state == 'T' || p->state == 't' ? " (it is stopped)" : "",
         p->overwritten && !getenv("SCOPE_CONTROL_DIR")
             ? " (if it was given a control.dir: SCOPE_CONTROL_DIR=DIR scope doctor PID)"
             : "");
    if (!p->overwritten && !doctor_sinks(d, conf, p))
        fact(d, FACT_NO, "sink", "none is configured: what is recorded goes nowhere");
}

static void tell_observed(struct doctor *d, const struct process *p, const struct conf *conf)
{
    char why[PATH_MAX + 128];

    d->observed = p->reporter != 0 || !p->overwritten;
    if (p->reporter)
        fact(d, FACT_OK, "reporter", "thread %d", p->reporter);
    else
        fact(d, p->overwritten ? FACT_NO : FACT_NOTE, "reporter", "no thread of ours is in it: %s",
             p->overwritten
                 ? "its configuration leaves it alone"
                 : "a forked child gets one when it first waits; until then what it did is "
                   "delivered at its end");
    if (!p->reporter)
        return;
    d->inside = ask_everywhere(p, conf, why, sizeof(why));
    if (d->inside)
        tell_inside(d, p, d->inside);
    else
        tell_unanswered(d, p, conf, why);
}

static void tell_all(struct doctor *d, const struct process *p)
{
    char exe[32];
    struct program program;
    struct conf_input input = {
        .environ = p->environment,
        .privileged = p->secure,
        .executable = p->exe,
        .arguments = p->arguments,
        .uid = p->uid,
    };

    snprintf(exe, sizeof(exe), "/proc/%d/exe", p->pid);
    program_read(exe, &program);
    bool loaded = tell_library(d, p, &program);
    if (p->overwritten)
        fact(
            d, FACT_NOTE, "configuration",
            "the program has overwritten its environment (servers write their title there): how it "
            "was configured, only it can tell");
    /* Where it is not loaded, a rule matters only if it would stay so. */
    struct conf *conf =
        loaded && !p->overwritten ? doctor_conf(d, &input) : conf_load(&input, NULL, NULL);
    bool observes =
        conf && (p->overwritten || p->secure || (!loaded && conf_observes(conf, &input)) ||
                 doctor_rules(d, conf, &input));
    if (loaded && observes)
        tell_observed(d, p, conf);
    tell_unseen(d, p, &program);
    conf_free(conf);
}

void doctor_running(struct doctor *d, int pid)
{
    static struct process p;

    if (running_read(&p, pid) < 0)
        fact(d, FACT_NO, "process", "there is no process %d, or /proc does not show it to you",
             pid);
    else if (tell_process(d, &p))
        tell_all(d, &p);
    running_free(&p);
}
