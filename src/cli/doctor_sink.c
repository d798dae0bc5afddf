/*
 * Tries whether a sink can be reached now, from where a program stands: in a child of its own, so
 * that a name server or a file system that hangs costs a second and no more.
 */
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transport/transport.h"

enum { PROBE_MS = 1000, REFUSAL_MS = 100 };

struct finding {
    enum fact_state state;
    char text[480];
};

static struct finding found(enum fact_state state, const char *what, const char *why)
{
    struct finding f = {.state = state};

    snprintf(f.text, sizeof(f.text), "%s%s%s", what, why ? ": " : "", why ? why : "");
    return f;
}

/* ------------------------------------------------------------------ the place */

/* Root goes where the program stands; anybody else stands there already, or cannot look. */
static void go_there(const struct process *p)
{
    char path[64];

    if (geteuid() != 0)
        return;
    if (p->other_network) {
        snprintf(path, sizeof(path), "/proc/%d/ns/net", p->pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
            (void)!setns(fd, CLONE_NEWNET);
    }
    snprintf(path, sizeof(path), "/proc/%d/cwd", p->pid);
    int cwd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (p->root[0])
        (void)!chroot(p->root);
    if (cwd < 0 || fchdir(cwd) != 0)
        (void)!chdir("/");
    if (p->uid != 0) {
        gid_t group = p->gid;
        (void)!setgroups(1, &group);
        (void)!setresgid(p->gid, p->gid, p->gid);
        (void)!setresuid(p->uid, p->uid, p->uid);
    }
}

/* ------------------------------------------------------------------ files */

static struct finding probe_directory(const char *path)
{
    char directory[PATH_MAX];
    struct stat s;
    struct statvfs v;

    snprintf(directory, sizeof(directory), "%s", path);
    char *slash = strrchr(directory, '/');
    if (!slash)
        strcpy(directory, ".");
    else
        slash[slash == directory] = '\0';
    if (stat(directory, &s) != 0)
        return found(FACT_NO, directory, strerror(errno));
    if (faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) != 0)
        return found(FACT_NO, directory, strerror(errno));
    if (statvfs(directory, &v) == 0 && v.f_blocks && !v.f_bavail)
        return found(FACT_NO, "its file system is full", NULL);
    return found(FACT_OK, "can be made", NULL);
}

static struct finding probe_file(const char *path)
{
    struct stat s;
    struct statvfs v;

    if (stat(path, &s) != 0)
        return errno == ENOENT ? probe_directory(path) : found(FACT_NO, path, strerror(errno));
    if (S_ISDIR(s.st_mode))
        return found(FACT_NO, "is a directory", NULL);
    if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0)
        return found(FACT_NO, "may not be written", strerror(errno));
    if (S_ISFIFO(s.st_mode)) {
        int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            return found(FACT_NO, "is a FIFO that nobody reads", NULL);
        close(fd);
    }
    if (statvfs(path, &v) == 0 && v.f_blocks && !v.f_bavail)
        return found(FACT_NO, "its file system is full", NULL);
    return found(FACT_OK, "can be written", NULL);
}

/* ------------------------------------------------------------------ sockets */

/* UDP says nothing of who listens, but for a port on a near host that refuses. */
static struct finding probe_datagram(int fd)
{
    struct pollfd p = {.fd = fd, .events = 0};
    int error = 0;
    socklen_t size = sizeof(error);

    if (send(fd, "", 0, MSG_NOSIGNAL) < 0)
        return found(FACT_NO, "cannot be sent to", strerror(errno));
    if (poll(&p, 1, REFUSAL_MS) > 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
        error)
        return found(FACT_NO, "nobody listens there", strerror(error));
    return found(FACT_OK, "can be sent to; UDP does not tell whether it is received", NULL);
}

static struct finding probe_network(const struct address *a)
{
    bool stream = a->type != ADDRESS_UDP;
    struct addrinfo hints = {.ai_socktype = stream ? SOCK_STREAM : SOCK_DGRAM};
    struct addrinfo *list = NULL;
    struct finding f = found(FACT_NO, "has no address", NULL);

    int r = getaddrinfo(a->host, a->port, &hints, &list);
    if (r != 0)
        return found(FACT_NO, a->host, gai_strerror(r));
    for (struct addrinfo *i = list; i; i = i->ai_next) {
        int fd = socket(i->ai_family, i->ai_socktype | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, i->ai_addr, i->ai_addrlen) != 0)
            f = found(FACT_NO, "cannot be reached", strerror(errno));
        else if (stream)
            f = found(FACT_OK, "takes connections", NULL);
        else
            f = probe_datagram(fd);
        if (fd >= 0)
            close(fd);
        if (f.state == FACT_OK)
            break;
    }
    freeaddrinfo(list);
    return f;
}

static struct finding probe_unix(const struct address *a)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t length = strlen(a->path);

    if (length >= sizeof(to.sun_path))
        return found(FACT_NO, a->path, strerror(ENAMETOOLONG));
    memcpy(to.sun_path, a->path, length);
    if (*a->path == '@')
        to.sun_path[0] = '\0';
    else
        length++;
    int type = a->type == ADDRESS_UNIXGRAM ? SOCK_DGRAM : SOCK_STREAM;
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0 ||
        connect(fd, (void *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) != 0)
        return found(FACT_NO, "cannot be reached", strerror(errno));
    close(fd);
    return found(FACT_OK, type == SOCK_STREAM ? "takes connections" : "is there", NULL);
}

/* ------------------------------------------------------------------ in a child */

static struct finding probe(const struct address *a)
{
    switch (a->type) {
    case ADDRESS_FILE:
        return probe_file(a->path);
    case ADDRESS_STDOUT:
        return found(FACT_OK, "the program's own standard output", NULL);
    case ADDRESS_STDERR:
        return found(FACT_OK, "the program's own standard error", NULL);
    case ADDRESS_TCP:
    case ADDRESS_UDP:
    case ADDRESS_TLS:
    case ADDRESS_HTTP:
    case ADDRESS_HTTPS:
        return probe_network(a);
    case ADDRESS_UNIX:
    case ADDRESS_HTTP_UNIX:
    case ADDRESS_UNIXGRAM:
        return probe_unix(a);
    default:
        return found(FACT_NO, "is no address", NULL);
    }
}

enum fact_state doctor_probe(const char *url, const struct process *from, char *text, size_t size)
{
    struct address address;
    struct finding f = found(FACT_NO, "no answer within a second", NULL);
    const char *error = NULL;
    int ends[2];

    if (address_parse(url, &address, &error) < 0) {
        snprintf(text, size, "%s", error ? error : "is no address");
        return FACT_NO;
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        snprintf(text, size, "%s", strerror(errno));
        return FACT_NO;
    }
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (from)
            go_there(from);
        f = probe(&address);
        _exit(write(ends[1], &f, sizeof(f)) == (ssize_t)sizeof(f) ? 0 : 1);
    }
    close(ends[1]);
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    struct finding answer;
    if (child > 0 && poll(&p, 1, PROBE_MS) > 0 &&
        read(ends[0], &answer, sizeof(answer)) == (ssize_t)sizeof(answer))
        f = answer;
    close(ends[0]);
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    snprintf(text, size, "%s", f.text);
    return f.state;
}
