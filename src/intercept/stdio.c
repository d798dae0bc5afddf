/*
 * The calls that make stdio streams. What goes through a stream, and its close, are seen in its
 * jump table (hook/stdio.c); here the descriptor gets its life, and a table of the stream's own is
 * met.
 */
#include "hook/stdio.h"

#include <stdio.h>

#include "intercept/file.h"
#include "intercept/process.h"

enum { MODE_MAX = 7, CREATE_MODE = 0666 };

/* The flags that fopen makes of its mode; -1: it refused the mode and opened nothing. */
static int flags_of(const char *mode)
{
    int flags;
    switch (*mode) {
    case 'r':
        flags = O_RDONLY;
        break;
    case 'w':
        flags = O_WRONLY | O_CREAT | O_TRUNC;
        break;
    case 'a':
        flags = O_WRONLY | O_CREAT | O_APPEND;
        break;
    default:
        return -1;
    }
    for (int i = 1; i < MODE_MAX && mode[i] && mode[i] != ','; i++) {
        if (mode[i] == '+')
            flags = (flags & ~O_ACCMODE) | O_RDWR;
        else if (mode[i] == 'x')
            flags |= O_EXCL;
        else if (mode[i] == 'e')
            flags |= O_CLOEXEC;
    }
    return flags;
}

static void after_fopen(struct lane *lane, FILE *file, const char *path, const char *mode,
                        uint64_t start)
{
    int64_t result = file ? file->_fileno : -(int64_t)errno;
    int flags = flags_of(mode);
    if (flags >= 0)
        after_open(lane, OP_OPENAT, AT_FDCWD, path, flags, CREATE_MODE, start, result);
    if (file)
        stdio_patch_file(file);
}

#define FOPEN(name)                                       \
    EXPORT FILE *name(const char *path, const char *mode) \
    {                                                     \
        REAL(name)                                        \
        INTERCEPT_LANE(real(path, mode));                 \
        uint64_t start = ticks_now();                     \
        FILE *file = real(path, mode);                    \
        after_fopen(lane, file, path, mode, start);       \
        return file;                                      \
    }
FOPEN(fopen)
FOPEN(fopen64)

/*
 * libc has opened the name as another descriptor, put that onto the old number (dup3) and closed
 * it; where it could not open, it has closed the old one. Its flush before that still saw the old
 * life.
 */
static void after_freopen(struct lane *lane, FILE *file, int old, fd_entry was, const char *path,
                          const char *mode, uint64_t start)
{
    int64_t result = file ? file->_fileno : -(int64_t)errno;
    int flags = flags_of(mode);
    if (flags < 0)
        flags = 0;
    if (old >= 0 && was & FD_OPEN) {
        fd_change(old, FD_GENERATION(was), 0, FD_OPEN);
        after_close(lane, OP_CLOSE, old, was, start, 0);
    }
    if (path) {
        after_open(lane, OP_OPENAT, AT_FDCWD, path, flags, CREATE_MODE, start, result);
    } else { /* the same file again, through /proc/self/fd: its name is asked for */
        count_call(hook_region, lane, OP_OPENAT, (enum kind)FD_KIND(was), start, ticks_now(), 0,
                   result < 0 ? (int)-result : 0);
        if (result >= 0)
            hook_fd(lane, (int)result);
    }
    if (file && old >= 0 && result == old)
        count_call(hook_region, lane, OP_DUP3, (enum kind)FD_KIND(fd_get(old)), start, ticks_now(),
                   0, 0);
    if (file)
        stdio_patch_file(file);
}

#define FREOPEN(name)                                                   \
    EXPORT FILE *name(const char *path, const char *mode, FILE *stream) \
    {                                                                   \
        REAL(name)                                                      \
        INTERCEPT_LANE(real(path, mode, stream));                       \
        int old = stream->_fileno;                                      \
        fd_entry was = old >= 0 ? fd_get(old) : 0;                      \
        uint64_t start = ticks_now();                                   \
        FILE *file = real(path, mode, stream);                          \
        int error = errno;                                              \
        after_freopen(lane, file, old, was, path, mode, start);         \
        errno = error;                                                  \
        return file;                                                    \
    }
FREOPEN(freopen)
FREOPEN(freopen64)

EXPORT FILE *fdopen(int fd, const char *mode)
{
    REAL(fdopen)
    INTERCEPT_LANE(real(fd, mode));
    FILE *file = real(fd, mode);
    if (file)
        stdio_patch_file(file);
    return file;
}

EXPORT FILE *popen(const char *command, const char *mode)
{
    REAL(popen)
    INTERCEPT_LANE(real(command, mode));
    uint64_t start = ticks_now();
    struct env_loan loan;
    int saved = errno;
    env_lend(&loan);
    errno = saved;
    FILE *file = real(command, mode);
    saved = errno;
    env_return(&loan);
    errno = saved;
    if (!file) {
        after_count(lane, OP_POPEN, start, -(int64_t)errno);
        return NULL;
    }
    after_open_unnamed(lane, OP_POPEN, KIND_PIPE, "pipe:", flags_of(mode) & O_ACCMODE, start,
                       file->_fileno);
    stdio_patch_file(file);
    return file;
}

#define TMPFILE(name)                                                                      \
    EXPORT FILE *name(void)                                                                \
    {                                                                                      \
        REAL(name)                                                                         \
        INTERCEPT_LANE(real());                                                            \
        uint64_t start = ticks_now();                                                      \
        FILE *file = real();                                                               \
        int64_t result = file ? file->_fileno : -(int64_t)errno;                           \
        after_open_unnamed(lane, OP_TMPFILE, KIND_FILE, "tmpfile", O_RDWR | O_EXCL, start, \
                           result);                                                        \
        if (file)                                                                          \
            stdio_patch_file(file);                                                        \
        return file;                                                                       \
    }
TMPFILE(tmpfile)
TMPFILE(tmpfile64)
