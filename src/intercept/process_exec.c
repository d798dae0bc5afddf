/*
 * Watches programs being executed and spawned: what is executed is recorded and all that was
 * recorded is delivered before the image is replaced, and the environment carries the library on.
 * In the child of a vfork, which has its parent's memory, the environment is all there is to do.
 */
#include "intercept/process.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <unistd.h>

#include "intercept/common.h"
#include "report/lifecycle.h"

enum { ARGUMENTS_MAX = 40, LINK_BYTES = 256 };

/* ------------------------------------------------------------------ records */

/* path NUL argv[0] NUL argv[1] ..., as far as it can be read. */
static void record_program(struct lane *lane, struct record *record, const char *path,
                           char *const *argv)
{
    struct piece pieces[ARGUMENTS_MAX + 1];
    struct peek array = {0}, text = {0};
    size_t room = RECORD_PAYLOAD_MAX;
    unsigned count = 0;

    for (; count <= ARGUMENTS_MAX; count++) {
        const char *string = path;
        if (count) {
            if (!argv || !peek_ok(&array, &argv[count - 1]))
                break;
            string = argv[count - 1];
        }
        long n = string ? peek_length(&text, string, room) : -1;
        if (n < 0)
            break;
        if ((size_t)n >= room) {
            record->flags |= RECORD_TRUNCATED;
            break;
        }
        pieces[count] = (struct piece){string, (uint32_t)n + 1};
        room -= (size_t)n + 1;
    }
    if (count > ARGUMENTS_MAX)
        record->flags |= RECORD_TRUNCATED;
    record->end = ticks_now();
    record_write(hook_region, lane, record, pieces, count);
}

static bool is_watched(const struct lane *lane)
{
    return lane && (hook_region->watch & WATCH_PROCESSES);
}

/* ------------------------------------------------------------------ exec */

struct exec {
    struct env_plan env;
    struct lane *lane; /* NULL: nothing is recorded */
    const char *path;
    uint64_t start;
};

static void exec_begin(struct exec *e, enum target target, const char *path, char *const *argv,
                       char *const *envp)
{
    int saved = errno;

    *e = (struct exec){.path = path, .start = ticks_now()};
    (void)hook_lane(); /* a vfork's child leaves its number with its parent */
    bool ours = hook_self != HOOK_OFF && reporter_is_ours();
    env_plan(&e->env, envp, target, ours);
    if (ours)
        e->lane = hook_lane();
    /* One that is not there costs no delivery: shells try every directory of PATH. */
    if (e->lane && target != TARGET_MISSING && target != TARGET_REFUSED) {
        struct record record = {
            .type = RECORD_EXEC,
            .op = OP_EXEC,
            .kind = KIND_NONE,
            .start = e->start,
            .fd = -1,
        };
        if (is_watched(e->lane))
            record_program(e->lane, &record, path, argv);
        reporter_deliver();
    }
    errno = saved;
}

static int exec_failed(struct exec *e, int r)
{
    int saved = errno;
    struct peek peek = {0};

    reporter_goes_on();
    if (e->lane)
        count_call(hook_region, e->lane, OP_EXEC, KIND_NONE, e->start, ticks_now(), 0, saved);
    if (is_watched(e->lane)) {
        struct record record = {
            .type = RECORD_EXEC_FAILED,
            .op = OP_EXEC,
            .kind = KIND_NONE,
            .start = e->start,
            .end = ticks_now(),
            .fd = -1,
            .result = -(int64_t)saved,
        };
        long n = e->path ? peek_length(&peek, e->path, RECORD_PAYLOAD_MAX - 1) : -1;
        struct piece piece = {e->path, n < 0 ? 0 : (uint32_t)n};
        record_write(hook_region, e->lane, &record, &piece, n < 0 ? 0 : 1);
        after_call();
    }
    errno = saved;
    return r;
}

/* What a name leads to; one that cannot be read is for the kernel to refuse. */
static enum target look(int dirfd, const char *path, int flags)
{
    struct peek peek = {0};

    if (!hook_conf || (hook_region && hook_region->sandboxed))
        return TARGET_NATIVE;
    if (!path || peek_length(&peek, path, 4096) < 0)
        return TARGET_MISSING;
    return target_at(dirfd, path, flags);
}

static enum target search(const char *file)
{
    struct peek peek = {0};

    if (!hook_conf || (hook_region && hook_region->sandboxed))
        return TARGET_NATIVE;
    if (!file || peek_length(&peek, file, 4096) < 0)
        return TARGET_MISSING;
    return target_search(file, env_path());
}

/*
 * The room is on the stack: in a vfork's child there is no other place. Arguments that are too many
 * with what we add may not be too many without.
 */
#define EXEC(target, path, argv, envp, call)            \
    struct exec e;                                      \
    exec_begin(&e, target, path, argv, envp);           \
    char *room[e.env.room / sizeof(char *) + 1];        \
    char *const *env = env_make(&e.env, room);          \
    int failed = call;                                  \
    if (errno == E2BIG && env == (char *const *)room) { \
        env = e.env.given;                              \
        failed = call;                                  \
    }                                                   \
    return exec_failed(&e, failed)

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    REAL(execve);
    EXEC(look(AT_FDCWD, path, 0), path, argv, envp, real(path, argv, env));
}

EXPORT int execv(const char *path, char *const argv[])
{
    REAL(execve);
    EXEC(look(AT_FDCWD, path, 0), path, argv, environ, real(path, argv, env));
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    REAL(execvpe);
    EXEC(search(file), file, argv, envp, real(file, argv, env));
}

EXPORT int execvp(const char *file, char *const argv[])
{
    REAL(execvpe);
    EXEC(search(file), file, argv, environ, real(file, argv, env));
}

/* The name by which a descriptor was opened, for the record only. */
static const char *link_of(int fd, char *out)
{
    char name[32] = "/proc/self/fd/";
    unsigned number = (unsigned)fd, at = 14, digits = 1;

    for (unsigned n = number; n >= 10; n /= 10)
        digits++;
    name[at + digits] = '\0';
    for (unsigned i = digits; i--; number /= 10)
        name[at + i] = (char)('0' + number % 10);
    long n = fd < 0 || !hook_region || hook_region->sandboxed
                 ? 0
                 : sys(readlinkat, AT_FDCWD, name, out, LINK_BYTES - 1);
    out[n > 0 ? n : 0] = '\0';
    return out;
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    REAL(fexecve);
    char name[LINK_BYTES];
    EXEC(look(fd, "", AT_EMPTY_PATH), link_of(fd, name), argv, envp, real(fd, argv, env));
}

EXPORT int execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
    REAL_OR(execveat, )
    char name[LINK_BYTES];
    struct peek peek = {0};
    bool by_fd = (flags & AT_EMPTY_PATH) && peek_ok(&peek, path) && !*path;
    EXEC(look(dirfd, path, flags), by_fd ? link_of(dirfd, name) : path, argv, envp,
         real ? real(dirfd, path, argv, env, flags)
              : (int)raw_result(sys(execveat, dirfd, path, argv, env, flags)));
}

/* ------------------------------------------------------------------ argument lists */

/* How many arguments follow `first`, it included, before the NULL. */
static size_t count_arguments(const char *first, va_list *list)
{
    size_t n = 0;

    for (const char *a = first; a; a = va_arg(*list, const char *))
        n++;
    return n;
}

/* Declares argv, on the stack as libc itself does it, and leaves `list` behind the NULL. */
#define ARGUMENTS(first)                                               \
    va_list list;                                                      \
    va_start(list, first);                                             \
    size_t count = count_arguments(first, &list);                      \
    va_end(list);                                                      \
    char *argv[count + 1];                                             \
    va_start(list, first);                                             \
    for (size_t i = 0; i < count; i++)                                 \
        argv[i] = i ? va_arg(list, char *) : (char *)(uintptr_t)first; \
    argv[count] = NULL;                                                \
    if (count)                                                         \
    (void)va_arg(list, char *)

EXPORT int execl(const char *path, const char *first, ...)
{
    REAL(execve);
    ARGUMENTS(first);
    va_end(list);
    EXEC(look(AT_FDCWD, path, 0), path, argv, environ, real(path, argv, env));
}

EXPORT int execlp(const char *file, const char *first, ...)
{
    REAL(execvpe);
    ARGUMENTS(first);
    va_end(list);
    EXEC(search(file), file, argv, environ, real(file, argv, env));
}

EXPORT int execle(const char *path, const char *first, ...)
{
    REAL(execve);
    ARGUMENTS(first);
    char *const *envp = va_arg(list, char *const *);
    va_end(list);
    EXEC(look(AT_FDCWD, path, 0), path, argv, envp, real(path, argv, env));
}

/* ------------------------------------------------------------------ spawn */

static void spawned(struct lane *lane, uint64_t start, int error, pid_t pid, const char *path,
                    char *const *argv)
{
    if (lane)
        count_call(hook_region, lane, OP_POSIX_SPAWN, KIND_NONE, start, ticks_now(), 0, error);
    if (!is_watched(lane))
        return;
    struct record record = {
        .type = error ? RECORD_EXEC_FAILED : RECORD_SPAWN,
        .op = OP_POSIX_SPAWN,
        .kind = KIND_NONE,
        .start = start,
        .fd = -1,
        .result = error ? -(int64_t)error : pid,
    };
    record_program(lane, &record, path, error ? NULL : argv);
    after_call();
}

#define SPAWN(name, looked)                                                                      \
    EXPORT int name(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,     \
                    const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]) \
    {                                                                                            \
        REAL(name);                                                                              \
        struct lane *lane = hook_lane();                                                         \
        uint64_t start = ticks_now();                                                            \
        struct env_plan plan;                                                                    \
        pid_t child = 0;                                                                         \
        int saved = errno;                                                                       \
        env_plan(&plan, envp, looked, false);                                                    \
        char *room[plan.room / sizeof(char *) + 1];                                              \
        char *const *env = env_make(&plan, room);                                                \
        errno = saved;                                                                           \
        int error = real(&child, path, actions, attributes, argv, env);                          \
        if (error == E2BIG && plan.room)                                                         \
            error = real(&child, path, actions, attributes, argv, plan.given);                   \
        if (!error && pid)                                                                       \
            *pid = child;                                                                        \
        saved = errno;                                                                           \
        spawned(lane, start, error, child, path, argv);                                          \
        errno = saved;                                                                           \
        return error;                                                                            \
    }

SPAWN(posix_spawn, look(AT_FDCWD, path, 0))
SPAWN(posix_spawnp, search(path))
