/* Calls that ask about names and descriptors: counted and timed, never recorded. */
#include "intercept/file.h"

#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Stand-ins for what glibc exports from 2.33 on; the kernel's struct stat is libc's. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "one struct stat on 64 bits");

static int raw_fstatat(int dirfd, const char *path, void *st, int flags)
{
    return (int)raw_result(sys(newfstatat, dirfd, path, st, flags));
}
static int raw_stat(const char *path, void *st)
{
    return raw_fstatat(AT_FDCWD, path, st, 0);
}
static int raw_lstat(const char *path, void *st)
{
    return raw_fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}
static int raw_fstat(int fd, void *st)
{
    return (int)raw_result(sys(fstat, fd, st));
}

int __xstat(int version, const char *path, struct stat *st);
int __xstat64(int version, const char *path, struct stat64 *st);
int __lxstat(int version, const char *path, struct stat *st);
int __lxstat64(int version, const char *path, struct stat64 *st);
int __fxstat(int version, int fd, struct stat *st);
int __fxstat64(int version, int fd, struct stat64 *st);
int __fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags);
int __fxstatat64(int version, int dirfd, const char *path, struct stat64 *st, int flags);
int __statfs(const char *path, struct statfs *st);
ssize_t __readlink_chk(const char *path, char *buffer, size_t size, size_t room);
ssize_t __readlinkat_chk(int dirfd, const char *path, char *buffer, size_t size, size_t room);

/* clang-format off */
#define COUNT(op) after_look(lane, op, AT_FDCWD, path, start, result)
#define COUNT_AT(op) after_look(lane, op, dirfd, path, start, result)
#define COUNT_FD(op) after_fd(lane, op, fd, entry, start, result)

#define STAT(name, xname, fallback, op, type)                                                      \
    WRAP_OR(int, name, (const char *path, struct type *st), (path, st), (void *)fallback, COUNT(op)) \
    WRAP(int, xname, (int version, const char *path, struct type *st), (version, path, st), COUNT(op))
STAT(stat, __xstat, raw_stat, OP_STAT, stat)
STAT(stat64, __xstat64, raw_stat, OP_STAT, stat64)
STAT(lstat, __lxstat, raw_lstat, OP_LSTAT, stat)
STAT(lstat64, __lxstat64, raw_lstat, OP_LSTAT, stat64)

#define FSTAT(name, xname, type)                                                                   \
    WRAP_FD_OR(int, name, (int fd, struct type *st), (fd, st), fd, (void *)raw_fstat,              \
               COUNT_FD(OP_FSTAT))                                                                 \
    WRAP_FD(int, xname, (int version, int fd, struct type *st), (version, fd, st), fd,             \
            COUNT_FD(OP_FSTAT))
FSTAT(fstat, __fxstat, stat)
FSTAT(fstat64, __fxstat64, stat64)

#define FSTATAT(name, xname, type)                                                                 \
    WRAP_OR(int, name, (int dirfd, const char *path, struct type *st, int flags),                  \
            (dirfd, path, st, flags), (void *)raw_fstatat, COUNT_AT(OP_FSTATAT))                      \
    WRAP(int, xname, (int version, int dirfd, const char *path, struct type *st, int flags),       \
         (version, dirfd, path, st, flags), COUNT_AT(OP_FSTATAT))
FSTATAT(fstatat, __fxstatat, stat)
FSTATAT(fstatat64, __fxstatat64, stat64)

WRAP(int, statx, (int dirfd, const char *path, int flags, unsigned mask, struct statx *st),
     (dirfd, path, flags, mask, st), COUNT_AT(OP_STATX))

WRAP(int, statfs, (const char *path, struct statfs *st), (path, st), COUNT(OP_STATFS))
WRAP(int, __statfs, (const char *path, struct statfs *st), (path, st), COUNT(OP_STATFS))
WRAP(int, statfs64, (const char *path, struct statfs64 *st), (path, st), COUNT(OP_STATFS))
WRAP(int, statvfs, (const char *path, struct statvfs *st), (path, st), COUNT(OP_STATFS))
WRAP(int, statvfs64, (const char *path, struct statvfs64 *st), (path, st), COUNT(OP_STATFS))
WRAP_FD(int, fstatfs, (int fd, struct statfs *st), (fd, st), fd, COUNT_FD(OP_FSTATFS))
WRAP_FD(int, fstatfs64, (int fd, struct statfs64 *st), (fd, st), fd, COUNT_FD(OP_FSTATFS))
WRAP_FD(int, fstatvfs, (int fd, struct statvfs *st), (fd, st), fd, COUNT_FD(OP_FSTATFS))
WRAP_FD(int, fstatvfs64, (int fd, struct statvfs64 *st), (fd, st), fd, COUNT_FD(OP_FSTATFS))

WRAP(int, access, (const char *path, int mode), (path, mode), COUNT(OP_ACCESS))
WRAP(int, euidaccess, (const char *path, int mode), (path, mode), COUNT(OP_ACCESS))
WRAP(int, eaccess, (const char *path, int mode), (path, mode), COUNT(OP_ACCESS))
WRAP(int, faccessat, (int dirfd, const char *path, int mode, int flags),
     (dirfd, path, mode, flags), COUNT_AT(OP_FACCESSAT))

WRAP(ssize_t, readlink, (const char *path, char *buffer, size_t size), (path, buffer, size),
     COUNT(OP_READLINK))
WRAP(ssize_t, __readlink_chk, (const char *path, char *buffer, size_t size, size_t room),
     (path, buffer, size, room), COUNT(OP_READLINK))
WRAP(ssize_t, readlinkat, (int dirfd, const char *path, char *buffer, size_t size),
     (dirfd, path, buffer, size), COUNT_AT(OP_READLINKAT))
WRAP(ssize_t, __readlinkat_chk, (int dirfd, const char *path, char *buffer, size_t size, size_t room),
     (dirfd, path, buffer, size, room), COUNT_AT(OP_READLINKAT))
/* clang-format on */
