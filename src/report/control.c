/*
 * Reads the control file of a running process.
 */
#include "report/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/sys.h"
#include "report/diagnostics.h"

enum { CONTROL_FILE_MAX = 4096, STRINGS_MAX = 1 << 20, KEPT_MAX = 64 };

/* statx has one layout everywhere, and needs no symbol. */
static long look(int fd, const char *path, int flags, struct statx *s)
{
    return sys(statx, fd, path, flags, STATX_BASIC_STATS, s);
}

static bool is_ours_alone(const struct statx *s, unsigned type)
{
    uint32_t uid = (uint32_t)sys(geteuid);

    return (s->stx_mode & S_IFMT) == type && (s->stx_uid == uid || s->stx_uid == 0) &&
           !(s->stx_mode & (S_IWGRP | S_IWOTH));
}

/*
 * What configures us, as it was at the start: servers write their title over the memory that
 * /proc/self/environ shows.
 */
static char *kept[KEPT_MAX];

static bool configures(const char *variable)
{
    static const char *const starts[] = {"SCOPE_", "OTEL_", "XDG_", "HOME="};

    for (unsigned i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        if (!strncmp(variable, starts[i], strlen(starts[i])))
            return true;
    }
    return false;
}

static void keep_environment(void)
{
    unsigned n = 0;

    if (kept[0])
        return;
    for (char **e = environ; e && *e && n < KEPT_MAX; e++) {
        if (configures(*e) && (kept[n] = strdup(*e)))
            n++;
    }
}

/* Who has changed its user cannot enter the first one's directory. */
static void name_directory(struct control *c)
{
    int n = snprintf(c->path, sizeof(c->path), "/tmp/scope-%u", c->uid);

    c->directory = (size_t)n;
}

void control_start(struct control *c, const struct conf *conf, int32_t pid, uint64_t started)
{
    const char *runtime = NULL;
    int n = 0;

    *c = (struct control){.started = started, .uid = (uint32_t)sys(getuid)};
    if (!conf->control)
        return;
    keep_environment();
    c->by_user = !conf->control_dir;
    for (char **e = environ; e && *e; e++) {
        if (!strncmp(*e, "XDG_RUNTIME_DIR=/", 17))
            runtime = *e + 16;
    }
    if (conf->control_dir)
        n = snprintf(c->path, sizeof(c->path), "%s", conf->control_dir);
    else if (runtime)
        n = snprintf(c->path, sizeof(c->path), "%s/scope", runtime);
    else
        name_directory(c);
    if (n > 0 && (size_t)n < sizeof(c->path) - 16)
        c->directory = (size_t)n;
    control_after_fork(c, pid, started);
}

void control_after_fork(struct control *c, int32_t pid, uint64_t started)
{
    c->started = started;
    c->path[c->directory] = '\0';
    if (c->directory)
        snprintf(c->path + c->directory, sizeof(c->path) - c->directory, "/%d", pid);
    c->seen_seconds = 0;
    c->seen_nano = 0;
    c->seen_size = 0;
}

static unsigned read_commands(long fd)
{
    char text[CONTROL_FILE_MAX + 1];
    unsigned asked = 0;

    long n = sys(read, fd, text, CONTROL_FILE_MAX);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    for (char *line = text; line;) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        size_t length = strlen(line);
        while (length && (line[length - 1] == ' ' || line[length - 1] == '\r'))
            line[--length] = '\0';
        if (!strcmp(line, "off"))
            asked = (asked & ~(unsigned)CONTROL_ON) | CONTROL_OFF;
        else if (!strcmp(line, "on"))
            asked = (asked & ~(unsigned)CONTROL_OFF) | CONTROL_ON;
        else if (!strcmp(line, "reload"))
            asked |= CONTROL_RELOAD;
        else if (!strcmp(line, "status"))
            asked |= CONTROL_STATUS;
        else if (*line)
            diagnostics(DIAGNOSTICS_WARN,
                        "control file: \"%.40s\" is none of off, on, reload, status", line);
        line = next;
    }
    return asked;
}

static bool directory_is_safe(const struct control *c)
{
    char directory[sizeof(c->path)];
    struct statx s;

    memcpy(directory, c->path, c->directory);
    directory[c->directory] = '\0';
    return look(AT_FDCWD, directory, AT_SYMLINK_NOFOLLOW, &s) == 0 && is_ours_alone(&s, S_IFDIR);
}

static void follow_user(struct control *c)
{
    uint32_t uid = (uint32_t)sys(getuid);
    char name[16];

    if (!c->by_user || uid == c->uid)
        return;
    c->uid = uid;
    snprintf(name, sizeof(name), "%s", c->path + c->directory);
    name_directory(c);
    snprintf(c->path + c->directory, sizeof(c->path) - c->directory, "%s", name);
}

unsigned control_look(struct control *c)
{
    struct statx s;
    unsigned asked = 0;

    if (!c->path[0])
        return 0;
    follow_user(c);
    if (look(AT_FDCWD, c->path, AT_SYMLINK_NOFOLLOW, &s) != 0)
        return 0;
    if (s.stx_mtime.tv_sec == c->seen_seconds && s.stx_mtime.tv_nsec == c->seen_nano &&
        s.stx_size == c->seen_size)
        return 0;
    c->seen_seconds = s.stx_mtime.tv_sec;
    c->seen_nano = s.stx_mtime.tv_nsec;
    c->seen_size = s.stx_size;
    /* Process numbers are used again: what an earlier process was told is not for this one. */
    if ((uint64_t)s.stx_mtime.tv_sec < c->started / 1000000000u || !directory_is_safe(c)) {
        diagnostics(DIAGNOSTICS_INFO, "control file %s: ignored", c->path);
        return 0;
    }
    long fd = sys(openat, AT_FDCWD, c->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (look((int)fd, "", AT_EMPTY_PATH, &s) == 0 && is_ours_alone(&s, S_IFREG))
        asked = read_commands(fd);
    else
        diagnostics(DIAGNOSTICS_WARN, "control file %s: others may write it: ignored", c->path);
    sys(close, fd);
    return asked;
}

/* ------------------------------------------------------------------ status */

/* Under another name first: who reads the answer finds all of it. */
static long write_new(long directory, const char *name, const char *text, size_t length)
{
    sys(unlinkat, directory, name, 0);
    long fd =
        sys(openat, directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fd;
    long n = sys(write, fd, text, length);
    sys(close, fd);
    return n < 0 ? n : (size_t)n == length ? 0 : -ENOSPC;
}

int control_answer(const struct control *c, const char *text, size_t length)
{
    const char *name = c->path + c->directory + 1;
    char directory[sizeof(c->path)], new[32], final[32];

    if (!c->path[0] || !directory_is_safe(c))
        return -EPERM;
    memcpy(directory, c->path, c->directory);
    directory[c->directory] = '\0';
    snprintf(new, sizeof(new), ".%.16s.status", name);
    snprintf(final, sizeof(final), "%.16s.status", name);
    long at = sys(openat, AT_FDCWD, directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (at < 0)
        return (int)at;
    long r = write_new(at, new, text, length);
    if (r == 0)
        r = sys(renameat, at, new, at, final);
    if (r != 0)
        sys(unlinkat, at, new, 0);
    sys(close, at);
    return (int)r;
}

/* ------------------------------------------------------------------ reload */

static int reload_troubles = -1;

static void count_trouble(void *context, const struct conf_trouble *trouble)
{
    reload_troubles++;
    diagnostics_trouble(context, trouble);
}

int control_reload_troubles(void)
{
    return reload_troubles;
}

/* A file of NUL-ended strings as an array of them; *text and the array are the caller's to free. */
static char **read_strings(const char *path, char **text)
{
    size_t size = 0, room = 0, count = 0;
    long n = 0;

    *text = NULL;
    long fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    do {
        size += (size_t)n;
        if (room - size < 2) {
            char *larger = room < STRINGS_MAX ? realloc(*text, room += 16384) : NULL;
            if (!larger)
                break;
            *text = larger;
        }
        n = sys(read, fd, *text + size, room - size - 1);
    } while (n > 0);
    sys(close, fd);
    if (!*text)
        return NULL;
    (*text)[size] = '\0';
    for (size_t i = 0; i < size; i++)
        count += (*text)[i] == '\0';
    char **strings = calloc(count + 2, sizeof(*strings));
    if (!strings)
        return NULL;
    size_t k = 0;
    for (size_t i = 0; i < size && k <= count; i += strlen(*text + i) + 1)
        strings[k++] = *text + i;
    return strings;
}

/* What was kept, then the rest of what the program was started with, as far as it is still there.
 */
static char **whole_environment(char **text)
{
    char **now = read_strings("/proc/self/environ", text);
    size_t count = 0, n = 0;

    while (now && now[count])
        count++;
    char **all = calloc(KEPT_MAX + count + 1, sizeof(*all));
    for (size_t i = 0; all && i < KEPT_MAX && kept[i]; i++)
        all[n++] = kept[i];
    for (size_t i = 0; all && i < count; i++) {
        if (!configures(now[i]))
            all[n++] = now[i];
    }
    free(now);
    return all;
}

struct conf *control_reload(void)
{
    char executable[4096];
    char *environ_text, *argument_text;

    long n = sys(readlinkat, AT_FDCWD, "/proc/self/exe", executable, sizeof(executable) - 1);
    executable[n > 0 ? n : 0] = '\0';
    char **environment = whole_environment(&environ_text);
    char **arguments = read_strings("/proc/self/cmdline", &argument_text);
    struct conf_input input = {
        .environ = environment,
        .executable = n > 0 ? executable : NULL,
        .arguments = arguments,
        .uid = (uint32_t)sys(geteuid),
    };
    struct conf *conf = NULL;
    if (environment) {
        reload_troubles = 0;
        conf = conf_load(&input, count_trouble, NULL);
    }
    free(environment);
    free(arguments);
    free(environ_text);
    free(argument_text);
    return conf;
}
