/*
 * Reads what /proc tells of a running process.
 */
#include "cli/doctor.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sys/auxv.h>

enum { STRINGS_MAX = 4 << 20 };

static int open_of(const struct process *p, const char *what)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", p->pid, what);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

/* All of a file, NUL behind it; the caller frees it. NULL: not to be read, errno tells. */
static char *read_all(const struct process *p, const char *what, size_t *size)
{
    size_t room = 16384, n = 0;
    char *text = malloc(room);
    ssize_t got = -1;

    int fd = open_of(p, what);
    if (fd < 0) {
        free(text);
        errno = -fd;
        return NULL;
    }
    while (text && (got = read(fd, text + n, room - n - 1)) > 0) {
        n += (size_t)got;
        if (room - n > 1)
            continue;
        char *larger = room < STRINGS_MAX ? realloc(text, room *= 2) : NULL;
        if (!larger)
            break;
        text = larger;
    }
    int error = errno;
    close(fd);
    if (!text || got < 0) {
        free(text);
        errno = error;
        return NULL;
    }
    text[n] = '\0';
    *size = n;
    return text;
}

/* ------------------------------------------------------------------ status */

static void read_status_line(struct process *p, const char *line)
{
    unsigned id, effective;

    if (sscanf(line, "Name:\t%63[^\n]", p->name) == 1 || sscanf(line, "State:\t%c", &p->state) == 1)
        return;
    if (sscanf(line, "Uid:\t%u\t%u", &id, &effective) == 2) {
        p->uid = effective;
        p->real_uid = id;
    } else if (sscanf(line, "Gid:\t%u\t%u", &id, &effective) == 2)
        p->gid = effective;
    else if (sscanf(line, "Seccomp:\t%u", &id) == 1)
        p->seccomp = id == 2;
    else if (!strncmp(line, "NSpid:", 6)) {
        const char *last = strrchr(line, '\t');
        int pid = last ? atoi(last + 1) : 0;
        p->inner_pid = pid > 0 ? pid : p->pid;
    }
}

static int read_status(struct process *p)
{
    size_t size;
    char *text = read_all(p, "status", &size), *state = NULL;

    if (!text)
        return -errno;
    p->inner_pid = p->pid;
    for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state))
        read_status_line(p, line);
    free(text);
    return 0;
}

/* ------------------------------------------------------------------ strings */

static char **split(char *text, size_t size)
{
    size_t count = 0, k = 0;

    for (size_t i = 0; i < size; i++)
        count += text[i] == '\0';
    char **strings = calloc(count + 2, sizeof(*strings));
    for (size_t at = 0; strings && at < size; at += strlen(text + at) + 1)
        strings[k++] = text + at;
    return strings;
}

static char **read_strings(struct process *p, const char *what, void **text)
{
    size_t size = 0;

    *text = read_all(p, what, &size);
    if (!*text) {
        p->denied = errno;
        return calloc(1, sizeof(char *));
    }
    return split(*text, size);
}

/* Servers that show a title write it over their arguments, and over the environment behind them. */
static bool is_overwritten(char **environment)
{
    for (char **e = environment; e && *e; e++) {
        if (!**e || **e == '=' || !strchr(*e, '='))
            return true;
    }
    return false;
}

const char *running_variable(const struct process *p, const char *name)
{
    size_t n = strlen(name);

    for (char **e = p->environment; e && *e; e++) {
        if (!strncmp(*e, name, n) && (*e)[n] == '=')
            return *e + n + 1;
    }
    return NULL;
}

/* ------------------------------------------------------------------ maps */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static void take_mapping(struct process *p, char *line)
{
    unsigned long inode;
    int at = 0;

    if (sscanf(line, "%*s %*s %*s %*s %lu %n", &inode, &at) != 1 || !at || line[at] != '/')
        return;
    char *path = line + at;
    char *gone = strstr(path, " (deleted)");
    if (gone)
        *gone = '\0';
    const char *base = base_name(path);
    if (!p->library[0] && !strncmp(base, "libscope.so", 11)) {
        snprintf(p->library, sizeof(p->library), "%s", path);
        p->library_gone = gone != NULL;
        p->library_inode = inode;
    }
    if (program_is_tls_library(base) && !strstr(p->tls, base)) {
        size_t n = strlen(p->tls);
        snprintf(p->tls + n, sizeof(p->tls) - n, "%s%s", n ? ", " : "", base);
    }
}

static void read_maps(struct process *p)
{
    size_t size;
    char *text = read_all(p, "maps", &size), *state = NULL;

    if (!text) {
        p->denied = errno;
        return;
    }
    for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state))
        take_mapping(p, line);
    free(text);
}

/* ------------------------------------------------------------------ the rest */

static void read_auxiliary(struct process *p)
{
    Elf64_auxv_t pairs[64];
    int fd = open_of(p, "auxv");

    if (fd < 0)
        return;
    ssize_t n = read(fd, pairs, sizeof(pairs));
    close(fd);
    for (ssize_t i = 0; i < n / (ssize_t)sizeof(pairs[0]); i++) {
        if (pairs[i].a_type == AT_SECURE)
            p->secure = pairs[i].a_un.a_val != 0;
    }
}

static DIR *open_directory(const struct process *p, const char *what)
{
    int fd = open_of(p, what);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;

    if (fd >= 0 && !directory)
        close(fd);
    return directory;
}

static void look_for_reporter(struct process *p)
{
    struct dirent *e;
    DIR *tasks = open_directory(p, "task");

    while (tasks && !p->reporter && (e = readdir(tasks))) {
        char what[300];
        size_t size;
        if (e->d_name[0] == '.')
            continue;
        snprintf(what, sizeof(what), "task/%s/comm", e->d_name);
        char *name = read_all(p, what, &size);
        if (name && !strcmp(name, "scope\n") && atoi(e->d_name) != p->pid)
            p->reporter = atoi(e->d_name);
        free(name);
    }
    if (tasks)
        closedir(tasks);
}

static void look_for_rings(struct process *p)
{
    struct dirent *e;
    DIR *descriptors = open_directory(p, "fd");

    while (descriptors && !p->io_uring && (e = readdir(descriptors))) {
        char target[64];
        ssize_t n = readlinkat(dirfd(descriptors), e->d_name, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        p->io_uring = !strcmp(target, "anon_inode:[io_uring]");
    }
    if (descriptors)
        closedir(descriptors);
}

/* Whether a link below /proc/PID leads elsewhere than our own. */
static bool differs(const struct process *p, const char *what)
{
    char path[64], own[64];
    struct stat a, b;

    snprintf(path, sizeof(path), "/proc/%d/%s", p->pid, what);
    snprintf(own, sizeof(own), "/proc/self/%s", what);
    return stat(path, &a) == 0 && stat(own, &b) == 0 &&
           (a.st_dev != b.st_dev || a.st_ino != b.st_ino);
}

int running_read(struct process *p, int pid)
{
    char path[64];

    memset(p, 0, sizeof(*p));
    p->pid = pid;
    int r = read_status(p);
    if (r < 0)
        return r;
    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    ssize_t n = readlink(path, p->exe, sizeof(p->exe) - 1);
    if (n < 0) {
        p->denied = errno;
        return 0;
    }
    p->exe[n] = '\0';
    char *gone = strstr(p->exe, " (deleted)");
    if (gone)
        *gone = '\0';
    p->environment = read_strings(p, "environ", &p->texts[0]);
    p->arguments = read_strings(p, "cmdline", &p->texts[1]);
    p->overwritten = is_overwritten(p->environment);
    read_maps(p);
    read_auxiliary(p);
    look_for_reporter(p);
    look_for_rings(p);
    if (differs(p, "ns/mnt") || differs(p, "root/."))
        snprintf(p->root, sizeof(p->root), "/proc/%d/root", pid);
    p->other_network = differs(p, "ns/net");
    return 0;
}

void running_free(struct process *p)
{
    free(p->environment);
    free(p->arguments);
    free(p->texts[0]);
    free(p->texts[1]);
}
