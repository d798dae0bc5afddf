/*
 * Files: whole lines appended by many processes at once, rotation, and disks that fill up.
 *
 * Every unit is appended by one write under a lock on the file (flock, waited for only briefly): so
 * the name is known to lead to the file being written, two processes cannot rotate it at once, and
 * a line that a full disk or a kill cut off can be taken back before anybody writes behind it.
 * Without the lock (a file system without locks, a stopped process that holds it) O_APPEND alone
 * keeps lines whole; then nothing is rotated or taken back, and the next write begins with a
 * newline if need be.
 *
 * Symbolic links are followed: logs are often placed that way, and the kernel's own rules for links
 * and files in sticky directories apply, because each open is a creating one.
 */
#include "transport/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "os/clock.h"
#include "os/sys.h"
#include "telemetry/number.h"

enum { LOCK_PATIENCE = 50 * 1000000, LINKS_MAX = 8, TRIES = 8, NAME_ROOM = PATH_MAX + 16 };
enum { TORN_BLOCK = 4096, TORN_MAX = 1 << 20 };

int file_new(struct transport *t)
{
    const char *path = t->address.path;
    char here[PATH_MAX];
    size_t length = 0;

    /* The program may change its directory: what was meant is the directory of now. */
    if (*path != '/') {
        long n = sys(getcwd, here, sizeof(here));
        if (n > 1 && here[0] == '/') {
            length = (size_t)n - 1;
            here[length++] = '/';
        }
    }
    size_t size = strlen(path) + 1;
    t->path = malloc(length + size);
    if (!t->path)
        return -ENOMEM;
    memcpy(t->path, here, length);
    memcpy(t->path + length, path, size);
    return 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* ------------------------------------------------------------------ opening */

static int open_path(const struct transport *t, int access, bool exists)
{
    const int flags = access | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    long fd = exists ? -EEXIST : sys(openat, AT_FDCWD, t->path, flags | O_EXCL, t->options.mode);

    if (fd >= 0) {
        sys(fchmod, fd, t->options.mode); /* whatever the program's umask says */
        return (int)fd;
    }
    return (int)sys(openat, AT_FDCWD, t->path, flags, t->options.mode);
}

/* Opens the file that the path leads to now, in place of the one that is open. 0 or -errno. */
static int file_open(struct transport *t)
{
    struct stat s, before;
    bool readable = true;
    int access = O_RDWR; /* to look at the file's end */

    /* A FIFO or a device is never read: that would make us its reader too. */
    bool exists = sys(newfstatat, AT_FDCWD, t->path, &before, 0) == 0;
    if (exists && !S_ISREG(before.st_mode))
        access = O_WRONLY;
    int fd = open_path(t, access, exists);
    if (access == O_WRONLY || fd == -EACCES || fd == -EPERM) {
        readable = false;
        if (access != O_WRONLY)
            fd = open_path(t, O_WRONLY, exists);
    }
    if (fd < 0)
        return fd;
    int r = (int)sys(fstat, fd, &s);
    if (r < 0) {
        sys(close, fd);
        return r;
    }
    transport_close(t);
    t->fd = fd;
    t->target = s;
    t->readable = readable && S_ISREG(s.st_mode);
    t->mend = false;
    return 0;
}

/* False: the path leads elsewhere or nowhere (renamed, removed, replaced). *s: of the open file. */
static bool is_current(const struct transport *t, struct stat *s)
{
    long r = sys(newfstatat, AT_FDCWD, t->path, s, 0);

    if (r == 0)
        return same_file(s, &t->target);
    /* A path out of reach (privileges dropped) is no reason to let go of what is open. */
    return r != -ENOENT && r != -ENOTDIR && sys(fstat, t->fd, s) == 0;
}

/* Has the file open that the path leads to; one that cannot be replaced is kept while it exists. */
static int file_ready(struct transport *t)
{
    struct stat s;

    if (t->fd >= 0 && is_current(t, &s))
        return 0;
    int r = file_open(t);
    if (r < 0 && t->fd >= 0 && sys(fstat, t->fd, &s) == 0 && s.st_nlink > 0)
        return 0;
    if (r < 0)
        transport_close(t);
    return r;
}

void file_prepare(struct transport *t)
{
    file_ready(t);
}

static bool file_lock(const struct transport *t, uint64_t deadline)
{
    const struct timespec pause = {0, 500000};
    uint64_t limit = now_mono() + LOCK_PATIENCE;

    if (limit > deadline)
        limit = deadline;
    for (;;) {
        long r = sys(flock, t->fd, LOCK_EX | LOCK_NB);
        if (r == 0)
            return true;
        if ((r != -EWOULDBLOCK && r != -EINTR) || now_mono() >= limit)
            return false;
        sys(nanosleep, &pause, 0);
    }
}

/* ------------------------------------------------------------------ rotation */

/* The name behind the path's last symbolic links. */
static bool real_name(const char *path, char *out, size_t size)
{
    char link[PATH_MAX];

    if (strlen(path) >= size)
        return false;
    strcpy(out, path);
    for (int i = 0; i < LINKS_MAX; i++) {
        long n = sys(readlinkat, AT_FDCWD, out, link, sizeof(link) - 1);
        if (n < 0)
            return n == -EINVAL;
        link[n] = '\0';
        char *slash = strrchr(out, '/');
        char *to = link[0] == '/' || !slash ? out : slash + 1;
        if ((size_t)(to - out) + (size_t)n >= size)
            return false;
        memcpy(to, link, (size_t)n + 1);
    }
    return false;
}

static void numbered(char *out, const char *name, unsigned number)
{
    size_t n = strlen(name);

    memcpy(out, name, n);
    out[n++] = '.';
    out[n + number_unsigned(out + n, number)] = '\0';
}

/*
 * Renames path.N-1 to path.N and so on, then path to path.1, with the file locked and known to be
 * the one that the path leads to. The rename of the path comes last: only then can another process
 * create, fill and rotate the next one. 0 or -errno: nothing was lost.
 */
static int rotate(struct transport *t)
{
    char name[PATH_MAX], from[NAME_ROOM], to[NAME_ROOM];
    struct stat s;
    unsigned keep = t->options.rotate_keep, free_number = 1;

    if (!real_name(t->path, name, sizeof(name)))
        return -ELOOP;
    long r = sys(newfstatat, AT_FDCWD, name, &s, AT_SYMLINK_NOFOLLOW);
    if (r < 0 || !same_file(&s, &t->target))
        return r < 0 ? (int)r : -ESTALE;
    if (!keep)
        return (int)sys(unlinkat, AT_FDCWD, name, 0);

    for (; free_number < keep; free_number++) {
        numbered(to, name, free_number);
        if (sys(newfstatat, AT_FDCWD, to, &s, AT_SYMLINK_NOFOLLOW) == -ENOENT)
            break;
    }
    for (unsigned i = free_number; i > 1; i--) {
        numbered(from, name, i - 1);
        numbered(to, name, i);
        r = sys(renameat, AT_FDCWD, from, AT_FDCWD, to);
        if (r < 0 && r != -ENOENT)
            return (int)r;
    }
    numbered(to, name, 1);
    return (int)sys(renameat, AT_FDCWD, name, AT_FDCWD, to);
}

/* ------------------------------------------------------------------ writing */

int file_append(struct transport *t, int fd, const char *data, size_t length)
{
    size_t mend = t->mend ? 1 : 0;
    struct iovec parts[2] = {{.iov_base = "\n", .iov_len = mend},
                             {.iov_base = (void *)data, .iov_len = length}};
    long n = write_quietly(fd, parts + !mend, mend ? 2 : 1);

    if (n < 0)
        return (int)n;
    if (n == 0)
        return -ENOSPC;
    size_t taken = (size_t)n - mend;
    t->mend = taken && data[taken - 1] != '\n';
    if (taken == length)
        return 0;
    t->partial = whole_lines(data, taken);
    t->moved = taken > 0;
    return -ENOSPC;
}

static bool ends_inside_line(const struct transport *t, off_t size)
{
    char last = '\n';

    if (!t->readable || !size)
        return t->mend;
    return sys(pread64, t->fd, &last, 1, size - 1) == 1 && last != '\n';
}

/*
 * Where the line that ends unfinished at `size` begins, if it is plainly one of ours: whoever wrote
 * it was killed inside its write. -1: it may be somebody else's text, which is kept.
 */
static off_t torn_line(const struct transport *t, off_t size)
{
    static const char start[] = "{\"time\":";
    char block[TORN_BLOCK];
    off_t at = size;

    while (at > 0 && size - at < TORN_MAX) {
        size_t n = at < TORN_BLOCK ? (size_t)at : TORN_BLOCK;
        if (sys(pread64, t->fd, block, n, at - (off_t)n) != (long)n)
            return -1;
        if (at == size && block[n - 1] == '}')
            return -1; /* a whole object without its newline */
        const char *newline = memrchr(block, '\n', n);
        at -= newline ? (off_t)(block + n - newline) - 1 : (off_t)n;
        if (newline || !at)
            break;
    }
    bool ours = sys(pread64, t->fd, block, sizeof(start) - 1, at) == sizeof(start) - 1 &&
                !memcmp(block, start, sizeof(start) - 1);
    return ours ? at : -1;
}

/* Appends with the file locked, `size` long: nobody who locks it writes in between. */
static int append_locked(struct transport *t, const char *data, size_t length, off_t size)
{
    struct stat s;

    t->mend = ends_inside_line(t, size);
    if (t->mend) {
        off_t torn = torn_line(t, size);
        if (torn >= 0 && sys(fstat, t->fd, &s) == 0 && s.st_size == size &&
            sys(ftruncate, t->fd, torn) == 0) {
            t->mend = false;
            size = torn;
        }
    }
    off_t keep = size + (t->mend ? 1 : 0);
    int r = file_append(t, t->fd, data, length);
    if (r < 0 && t->mend) {
        /* Full inside a line. It is taken back, unless somebody without the lock wrote behind it.
         */
        long end = sys(lseek, t->fd, 0, SEEK_CUR);
        keep += (off_t)t->partial;
        if (sys(fstat, t->fd, &s) == 0 && s.st_size == end && end > keep &&
            sys(ftruncate, t->fd, keep) == 0)
            t->mend = false;
    }
    return r;
}

static bool wants_rotation(const struct transport *t, off_t size, size_t length)
{
    return t->options.rotate_bytes && size > 0 && (uint64_t)size + length > t->options.rotate_bytes;
}

/* One try. 0, -ESTALE: rotated, or the path leads elsewhere by now: open and try again; -errno. */
static int regular_send(struct transport *t, const char *data, size_t length, uint64_t deadline)
{
    bool locked = file_lock(t, deadline);
    struct stat s;
    int r;

    if (!locked) {
        r = file_append(t, t->fd, data, length);
    } else {
        if (!is_current(t, &s)) {
            /* Rotated while we waited. Closing the old file ends its lock. */
            r = file_ready(t);
            if (r < 0 || is_current(t, &s))
                return r < 0 ? r : -ESTALE;
            if (sys(fstat, t->fd, &s) < 0)
                return -EBADF;
        }
        if (wants_rotation(t, s.st_size, length) && rotate(t) == 0)
            r = -ESTALE;
        else
            r = append_locked(t, data, length, s.st_size);
        sys(flock, t->fd, LOCK_UN);
    }
    return r;
}

int file_send(struct transport *t, const char *data, size_t length, uint64_t deadline)
{
    int r = -ESTALE;

    for (int i = 0; i < TRIES && r == -ESTALE; i++) {
        r = file_ready(t);
        if (r < 0)
            return transport_away(t, "open", -r);
        if (S_ISREG(t->target.st_mode))
            r = regular_send(t, data, length, deadline);
        else
            r = pieces_send(t, t->fd, PIECES_WRITE, data, length, deadline);
    }
    if (r == 0 || r == -EAGAIN)
        return r;
    /* What has no space keeps its descriptor; anything else is opened anew. */
    if (r != -ENOSPC && r != -EDQUOT && r != -EFBIG && r != -EIO)
        transport_close(t);
    return transport_away(t, "write", -r);
}
