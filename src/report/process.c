/*
 * Processes: started, forked, replaced, ended; and what the kernel says of this one.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "os/sys.h"
#include "report/diagnostics.h"
#include "report/fold_process.h"
#include "report/fold_state.h"

enum { ARGUMENTS_MAX = 128 };
static const uint64_t START_SLACK = 60000000000; /* ns: the reporter starts after the program */

/* ------------------------------------------------------------------ events */

static bool wanted(struct fold *f, struct text executable)
{
    return f->conf->events_process.enabled && filter_pass(f->filter_process, executable);
}

void process_started(struct fold *f, uint64_t unix_nano)
{
    if (f->start_told)
        return;
    f->start_told = true;
    if (!f->conf->events_process.enabled || !wanted(f, process_executable(f)))
        return;
    struct event *e = event_begin(f, "scope.process.start", &scope_process, 0, 0);
    bool sane = unix_nano < f->started && f->started - unix_nano < START_SLACK;
    e->record.time = sane ? unix_nano : f->started;
    process_describe(f, e);
    event_submit(f, e);
}

/* path NUL argv[0] NUL argv[1] ...: the path, and the arguments into the event. */
static struct text first_string(const struct record *r, const uint8_t *payload)
{
    return (struct text){(const char *)payload, strnlen((const char *)payload, r->payload)};
}

static void arguments(struct event *e, const struct record *r, const uint8_t *payload)
{
    struct text items[ARGUMENTS_MAX];
    size_t n = 0, at = first_string(r, payload).length + 1;
    while (at < r->payload && n < ARGUMENTS_MAX) {
        items[n] = (struct text){(const char *)payload + at,
                                 strnlen((const char *)payload + at, r->payload - at)};
        at += items[n++].length + 1;
    }
    if (n)
        event_list(e, "process.command_args", items, n);
}

/* What is executed, by path; a name alone was looked for along PATH. */
static void executable(struct event *e, struct text path)
{
    bool name = path.length && !memchr(path.data, '/', path.length);
    event_text(e, name ? "process.executable.name" : "process.executable.path", path);
}

static struct child *child_of(struct fold *f, int32_t pid)
{
    for (uint32_t i = 0; i < f->child_count; i++)
        if (f->children[i].pid == pid)
            return &f->children[i];
    return NULL;
}

static void child_add(struct fold *f, int32_t pid, uint64_t start, struct text path)
{
    struct child *c = child_of(f, pid);
    if (!f->children)
        f->children = calloc(CHILDREN_MAX, sizeof(*f->children));
    if (!f->children)
        return;
    if (!c) /* beyond the bound the oldest is forgotten: its end is told without its path */
        c = f->child_count < CHILDREN_MAX ? &f->children[f->child_count++]
                                          : &f->children[f->child_next++ % CHILDREN_MAX];
    free(c->path);
    *c = (struct child){
        .pid = pid, .start = start, .path = path.length ? strndup(path.data, path.length) : NULL};
}

static void forked(struct fold *f, const struct record *r, int32_t tid)
{
    bool timed = r->op != OP_VFORK; /* that one is told at the parent's next call */
    if (r->result > 0 && timed)
        child_add(f, (int32_t)r->result, r->end, (struct text){0});
    if (!wanted(f, process_executable(f)))
        return;
    struct event *e = event_begin(f, "scope.process.fork", &scope_process, r->end, tid);
    event_string(e, "scope.operation", op_name(r->op));
    if (r->result > 0)
        event_int(e, "scope.child.pid", r->result);
    if (timed)
        event_double(e, "scope.duration", fold_seconds(f, r->end - r->start));
    event_error(e, r->result);
    event_submit(f, e);
}

static void spawned(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    struct text path = first_string(r, payload);
    if (r->result > 0)
        child_add(f, (int32_t)r->result, r->end, path);
    if (!wanted(f, path))
        return;
    struct event *e = event_begin(f, "scope.process.spawn", &scope_process, r->end, tid);
    event_string(e, "scope.operation", op_name(r->op));
    executable(e, path);
    arguments(e, r, payload);
    if (r->result > 0)
        event_int(e, "scope.child.pid", r->result);
    event_double(e, "scope.duration", fold_seconds(f, r->end - r->start));
    event_error(e, r->result);
    event_submit(f, e);
}

/* The image is about to be replaced; a failure is told by the record that follows. */
static void replaced(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    struct text path = first_string(r, payload);
    f->exec_seen = true;
    if (!wanted(f, path))
        return;
    struct event *e = event_begin(f, "scope.process.exec", &scope_process, r->end, tid);
    executable(e, path);
    arguments(e, r, payload);
    event_submit(f, e);
}

static void not_replaced(struct fold *f, const struct record *r, const uint8_t *payload,
                         int32_t tid)
{
    struct text path = first_string(r, payload);
    f->exec_seen = false;
    if (!wanted(f, path))
        return;
    struct event *e = event_begin(f, "scope.process.exec", &scope_process, r->end, tid);
    executable(e, path);
    event_error(e, r->result);
    event_submit(f, e);
}

static void exiting(struct fold *f, const struct record *r, int32_t tid)
{
    f->exec_seen = false;
    process_span_end(f, r);
    if (!wanted(f, process_executable(f)))
        return;
    struct event *e = event_begin(f, "scope.process.exit", &scope_process, r->end, tid);
    event_string(e, "scope.exit.seen_by", "self");
    event_int(e, "process.pid", f->pid);
    event_string(e, "scope.operation", op_name(r->op));
    if (r->op != OP_ABORT)
        event_int(e, "process.exit.code", r->result & 0xff);
    event_submit(f, e);
}

static const char *signal_name(int signal)
{
    static const char *const names[] = {
        [SIGHUP] = "SIGHUP",       [SIGINT] = "SIGINT",   [SIGQUIT] = "SIGQUIT",
        [SIGILL] = "SIGILL",       [SIGTRAP] = "SIGTRAP", [SIGABRT] = "SIGABRT",
        [SIGBUS] = "SIGBUS",       [SIGFPE] = "SIGFPE",   [SIGKILL] = "SIGKILL",
        [SIGUSR1] = "SIGUSR1",     [SIGSEGV] = "SIGSEGV", [SIGUSR2] = "SIGUSR2",
        [SIGPIPE] = "SIGPIPE",     [SIGALRM] = "SIGALRM", [SIGTERM] = "SIGTERM",
        [SIGSTKFLT] = "SIGSTKFLT", [SIGXCPU] = "SIGXCPU", [SIGXFSZ] = "SIGXFSZ",
        [SIGVTALRM] = "SIGVTALRM", [SIGPROF] = "SIGPROF", [SIGIO] = "SIGIO",
        [SIGPWR] = "SIGPWR",       [SIGSYS] = "SIGSYS",
    };
    return signal > 0 && (size_t)signal < sizeof(names) / sizeof(*names) ? names[signal] : NULL;
}

static void child_ended(struct fold *f, const struct record *r, int32_t tid)
{
    int status = (int)r->a;
    if (r->result <= 0 || (!WIFEXITED(status) && !WIFSIGNALED(status)))
        return; /* stopped or continued */
    struct child *c = child_of(f, (int32_t)r->result);
    struct text path = c && c->path ? text_of(c->path) : (struct text){0};
    if (wanted(f, path.length ? path : process_executable(f))) {
        struct event *e = event_begin(f, "scope.process.exit", &scope_process, r->end, tid);
        event_string(e, "scope.exit.seen_by", "parent");
        event_int(e, "scope.child.pid", r->result);
        if (path.length)
            executable(e, path);
        if (WIFEXITED(status)) {
            event_int(e, "process.exit.code", WEXITSTATUS(status));
        } else {
            int number = WTERMSIG(status);
            event_string(e, "scope.exit.signal", signal_name(number));
            event_int(e, "scope.exit.signal_number", number);
            event_bool(e, "scope.exit.core_dumped", WCOREDUMP(status));
        }
        if (c && r->end > c->start)
            event_double(e, "scope.duration", fold_seconds(f, r->end - c->start));
        event_submit(f, e);
    }
    if (c) {
        free(c->path);
        *c = f->children[--f->child_count];
    }
}

static void noted(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    static const char *const names[] = {
        [NOTE_IO_URING] = "io_uring",        [NOTE_AIO] = "aio",
        [NOTE_STDIO_UNSEEN] = "stdio",       [NOTE_SECCOMP] = "seccomp",
        [NOTE_DEEPBIND_UNSEEN] = "deepbind", [NOTE_TLS_UNSEEN] = "tls",
    };
    const char *name = r->a < sizeof(names) / sizeof(*names) ? names[r->a] : NULL;
    if (!name)
        return;
    struct event *e = event_begin(f, "scope.unobserved", &scope_self, r->end, tid);
    e->record.severity = SEVERITY_WARN;
    event_string(e, "scope.unobserved.what", name);
    struct text why = first_string(r, payload);
    if (why.length) {
        event_text(e, "scope.unobserved.reason", why);
        diagnostics(DIAGNOSTICS_WARN, "%s is not observed: %.*s", name, (int)why.length, why.data);
    }
    event_submit(f, e);
}

static void changed_directory(struct fold *f, const struct record *r, const uint8_t *payload)
{
    struct text path = first_string(r, payload);
    if (!path.length || path.data[0] != '/')
        return;
    char *copy = strndup(path.data, path.length);
    if (!copy)
        return;
    free(f->cwd);
    f->cwd = copy;
}

void process_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    switch (r->type) {
    case RECORD_FORK:
        forked(f, r, tid);
        break;
    case RECORD_SPAWN:
        spawned(f, r, payload, tid);
        break;
    case RECORD_EXEC:
        replaced(f, r, payload, tid);
        break;
    case RECORD_EXEC_FAILED:
        not_replaced(f, r, payload, tid);
        break;
    case RECORD_EXIT:
        exiting(f, r, tid);
        break;
    case RECORD_WAIT:
        child_ended(f, r, tid);
        break;
    case RECORD_THREAD_START:
        if (r->result >= 0 && f->conf->metrics && f->conf->metrics_process)
            series_add_int(fold_series(f, METRIC_THREADS_STARTED, NULL, 0), 1);
        break;
    case RECORD_CHDIR:
        changed_directory(f, r, payload);
        break;
    case RECORD_NOTE:
        noted(f, r, payload, tid);
        break;
    default:
        break;
    }
}

void process_free(struct fold *f)
{
    for (uint32_t i = 0; i < f->child_count; i++)
        free(f->children[i].path);
    free(f->children);
    free(f->cwd);
}

/* ------------------------------------------------------------------ metrics */

static void set_int(struct fold *f, enum instrument_id id, const char *key, const char *value,
                    int64_t n)
{
    struct attribute a = key ? attribute_text(key, value) : (struct attribute){0};
    series_set_int(fold_series(f, id, &a, key ? 1 : 0), n);
}

static void set_number(struct fold *f, enum instrument_id id, const char *key, const char *value,
                       double n)
{
    struct attribute a = key ? attribute_text(key, value) : (struct attribute){0};
    series_set_number(fold_series(f, id, &a, key ? 1 : 0), n);
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

/* Everything that one process can be asked about itself, in one call. */
static void own_usage(struct fold *f)
{
    struct rusage u;
    if (sys(getrusage, RUSAGE_SELF, &u) != 0)
        return;
    set_number(f, METRIC_CPU_TIME, "cpu.mode", "user", seconds(u.ru_utime));
    set_number(f, METRIC_CPU_TIME, "cpu.mode", "system", seconds(u.ru_stime));
    set_int(f, METRIC_SWITCHES, "process.context_switch.type", "voluntary", u.ru_nvcsw);
    set_int(f, METRIC_SWITCHES, "process.context_switch.type", "involuntary", u.ru_nivcsw);
    set_int(f, METRIC_FAULTS, "system.paging.fault.type", "minor", u.ru_minflt);
    set_int(f, METRIC_FAULTS, "system.paging.fault.type", "major", u.ru_majflt);
}

/* Of another process: /proc counts processor time in ticks of 10 ms. */
static void others_usage(struct fold *f, const struct process_stat *s)
{
    set_number(f, METRIC_CPU_TIME, "cpu.mode", "user", (double)s->user_ticks / CLOCK_TICKS);
    set_number(f, METRIC_CPU_TIME, "cpu.mode", "system", (double)s->system_ticks / CLOCK_TICKS);
    set_int(f, METRIC_FAULTS, "system.paging.fault.type", "minor", (int64_t)s->minor_faults);
    set_int(f, METRIC_FAULTS, "system.paging.fault.type", "major", (int64_t)s->major_faults);
}

/* Since Linux 6.2 the size of the directory is how many there are; before it is 0. */
static int64_t descriptor_count(int directory)
{
    struct stat st;
    if (sys(newfstatat, directory, "fd", &st, 0) != 0)
        return -1;
    if (st.st_size)
        return st.st_size;
    int fd = (int)sys(openat, directory, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int64_t n = process_count_entries(fd);
    sys(close, fd);
    return n;
}

void process_metrics(struct fold *f)
{
    struct process_stat s;
    if (f->region->sandboxed) /* a call that the program does not make itself may be its death */
        return;
    bool self = process_is_self(f);
    if (self)
        own_usage(f);
    int directory = process_directory(f);
    int64_t descriptors = descriptor_count(directory);
    if (descriptors >= 0)
        set_int(f, METRIC_DESCRIPTORS, NULL, NULL, descriptors);
    bool known = process_read_stat(f, directory, &s);
    if (directory >= 0)
        sys(close, directory);
    if (!known)
        return;
    if (!self)
        others_usage(f, &s);
    set_int(f, METRIC_MEMORY, NULL, NULL, (int64_t)s.resident);
    set_int(f, METRIC_MEMORY_VIRTUAL, NULL, NULL, (int64_t)s.virtual_size);
    set_int(f, METRIC_THREADS, NULL, NULL, (int64_t)s.threads);
    struct timespec now;
    if (sys(clock_gettime, CLOCK_BOOTTIME, &now) == 0) {
        double up =
            (double)now.tv_sec + (double)now.tv_nsec * 1e-9 - (double)s.start_ticks / CLOCK_TICKS;
        set_number(f, METRIC_UPTIME, NULL, NULL, up > 0 ? up : 0);
    }
}
