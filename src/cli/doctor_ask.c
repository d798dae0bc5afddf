/*
 * Asks an observed process how it is: `status` in its control file, its answer beside it. The
 * directory may belong to another user (root asks about anybody's process), so nothing in it is
 * followed or trusted.
 */
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MAX = 65536, COMMANDS_MAX = 4096, PLACES = 4, LOOK_MS = 20, FRESH_SECONDS = 5 };

struct place {
    int at; /* the directory; -1: none */
    bool made;
    char path[PATH_MAX];
    char question[32], answer[40];
    struct timespec asked; /* the file's time: to tell whether it is still ours */
};

/* ------------------------------------------------------------------ the directory */

static bool can_enter(const struct process *p, const struct stat *s)
{
    return !p->uid || s->st_uid == p->uid || (s->st_mode & S_IXOTH);
}

static bool make_directory(const struct process *p, struct place *d)
{
    if (mkdir(d->path, 0700) != 0)
        return false;
    d->made = true;
    if (geteuid() != p->uid && fchownat(AT_FDCWD, d->path, p->uid, p->gid, AT_SYMLINK_NOFOLLOW)) {
        rmdir(d->path);
        d->made = false;
    }
    return d->made;
}

static bool open_place(const struct process *p, struct place *d, const char *path, char *why,
                       size_t size)
{
    struct stat s;

    *d = (struct place){.at = -1};
    if (*path != '/' || strlen(path) + sizeof(p->root) >= sizeof(d->path))
        return false;
    snprintf(d->path, sizeof(d->path), "%s%s", p->root, path);
    snprintf(d->question, sizeof(d->question), "%d", p->inner_pid);
    snprintf(d->answer, sizeof(d->answer), "%d.status", p->inner_pid);
    int fd = open(d->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && make_directory(p, d))
        fd = open(d->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        snprintf(why, size, "its control directory %s: %s", path, strerror(errno));
        return false;
    }
    if (fstat(fd, &s) != 0 || (s.st_uid != p->uid && s.st_uid != 0) ||
        (s.st_mode & (S_IWGRP | S_IWOTH))) {
        snprintf(why, size, "its control directory %s may be written by others than its user",
                 path);
    } else if (!can_enter(p, &s)) {
        snprintf(why, size, "it has changed its user and may not enter its control directory %s",
                 path);
    } else {
        d->at = fd;
        return true;
    }
    close(fd);
    return false;
}

/* ------------------------------------------------------------------ question and answer */

/* What it was told just now may not have been read yet: that is not to be lost. */
static size_t pending_commands(const struct place *d, char *text, size_t size)
{
    struct stat s;
    ssize_t n = 0;

    int fd = openat(d->at, d->question, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && time(NULL) - s.st_mtime <= FRESH_SECONDS)
        n = read(fd, text, size);
    close(fd);
    if (n <= 0)
        return 0;
    if (text[n - 1] != '\n')
        text[n++] = '\n';
    return (size_t)n;
}

static bool put_question(struct place *d)
{
    char text[COMMANDS_MAX + 16], new[48];
    size_t n = pending_commands(d, text, COMMANDS_MAX - 16);
    struct stat s;

    memcpy(text + n, "status\n", 7);
    n += 7;
    snprintf(new, sizeof(new), ".%s.%d", d->question, (int)getpid());
    unlinkat(d->at, d->answer, 0);
    unlinkat(d->at, new, 0);
    int fd = openat(d->at, new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return false;
    bool good = fchmod(fd, 0644) == 0 && write(fd, text, n) == (ssize_t)n && fstat(fd, &s) == 0;
    close(fd);
    if (good && renameat(d->at, new, d->at, d->question) == 0) {
        d->asked = s.st_mtim;
        return true;
    }
    unlinkat(d->at, new, 0);
    return false;
}

static json_t *get_answer(const struct process *p, const struct place *d)
{
    static char text[ANSWER_MAX];
    struct stat s;
    ssize_t n = 0;

    int fd = openat(d->at, d->answer, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && (s.st_uid == p->uid || s.st_uid == 0))
        n = read(fd, text, sizeof(text));
    close(fd);
    json_t *answer = n > 0 ? json_loadb(text, (size_t)n, 0, NULL) : NULL;
    if (json_integer_value(json_object_get(answer, "pid")) == p->inner_pid)
        return answer;
    json_decref(answer);
    return NULL;
}

static void leave_place(struct place *d)
{
    struct stat s;

    if (d->at < 0)
        return;
    unlinkat(d->at, d->answer, 0);
    if (fstatat(d->at, d->question, &s, AT_SYMLINK_NOFOLLOW) == 0 &&
        s.st_mtim.tv_sec == d->asked.tv_sec && s.st_mtim.tv_nsec == d->asked.tv_nsec)
        unlinkat(d->at, d->question, 0);
    close(d->at);
    if (d->made)
        rmdir(d->path);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

json_t *doctor_ask(const struct process *p, char *const *directories, double seconds, char *why,
                   size_t size)
{
    static struct place places[PLACES];
    unsigned count = 0, asked = 0;
    json_t *answer = NULL;

    snprintf(why, size, "no control directory is known");
    for (; *directories && count < PLACES; directories++) {
        struct place *d = &places[count];
        if (!open_place(p, d, *directories, why, size))
            continue;
        count++;
        if (put_question(d))
            asked++;
        else
            snprintf(why, size, "its control directory %s: %s", *directories, strerror(errno));
    }
    double until = now() + seconds;
    while (asked && !answer && now() < until) {
        nanosleep(&(struct timespec){0, LOOK_MS * 1000000L}, NULL);
        for (unsigned i = 0; i < count && !answer; i++)
            answer = get_answer(p, &places[i]);
    }
    for (unsigned i = 0; i < count; i++)
        leave_place(&places[i]);
    if (asked && !answer)
        snprintf(why, size, "no answer within %.1f s", seconds);
    return answer;
}
