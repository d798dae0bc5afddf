/*
 * Standard output and error: the duplicates that were kept of them at start.
 *
 * The duplicate shares its flags with the program's own descriptor, which must not become
 * non-blocking. So a pipe or a terminal is opened a second time through /proc, with flags of its
 * own; where that is refused (another user's terminal), every write is preceded by a poll. Before
 * each unit the number is checked to be still what was kept: a program that closed it may have
 * reused it.
 */
#include "transport/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "os/sys.h"
#include "telemetry/number.h"

static int saved(const struct transport *t)
{
    return t->address.type == ADDRESS_STDOUT ? t->options.saved_stdout : t->options.saved_stderr;
}

static bool is_same(int fd, const struct stat *as)
{
    struct stat s;

    return sys(fstat, fd, &s) == 0 && s.st_dev == as->st_dev && s.st_ino == as->st_ino &&
           s.st_rdev == as->st_rdev;
}

void console_new(struct transport *t)
{
    if (saved(t) >= 0 && sys(fstat, saved(t), &t->target) < 0)
        memset(&t->target, 0, sizeof(t->target));
}

/* A description of our own for the same pipe or terminal; -1 where there is none to be had. */
static int reopen(const struct transport *t)
{
    char path[48] = "/proc/thread-self/fd/";
    size_t n = strlen(path);

    path[n + number_signed(path + n, saved(t))] = '\0';
    int fd = (int)sys(openat, AT_FDCWD, path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
    if (fd >= 0 && !is_same(fd, &t->target)) {
        sys(close, fd);
        fd = -1;
    }
    return fd;
}

int console_send(struct transport *t, const char *data, size_t length, uint64_t deadline)
{
    int fd = saved(t), r;

    if (fd < 0)
        return transport_away(t, "no descriptor was kept of it", 0);
    if (!t->target.st_mode || !is_same(fd, &t->target)) {
        transport_close(t);
        return transport_away(t, "the program closed it", 0);
    }
    if (S_ISREG(t->target.st_mode)) {
        r = file_append(t, fd, data, length);
    } else if (S_ISSOCK(t->target.st_mode)) {
        r = pieces_send(t, fd, PIECES_SEND, data, length, deadline);
    } else {
        if (t->fd < 0)
            t->fd = reopen(t);
        r = t->fd >= 0 ? pieces_send(t, t->fd, PIECES_WRITE, data, length, deadline)
                       : pieces_send(t, fd, PIECES_CAREFUL, data, length, deadline);
    }
    return r == 0 || r == -EAGAIN ? r : transport_away(t, "write", -r);
}
