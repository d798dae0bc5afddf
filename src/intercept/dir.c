/* Directories: reading them, and where the process stands. */
#include "intercept/file.h"

#include <dirent.h>
#include <unistd.h>

enum { OPENDIR_FLAGS = O_RDONLY | O_DIRECTORY | O_CLOEXEC };

/* The descriptor inside a DIR. */
static int fd_of(DIR *dir)
{
    static __typeof__(&dirfd) real_pointer;
    __typeof__(&dirfd) real = __atomic_load_n(&real_pointer, __ATOMIC_RELAXED);
    if (unlikely(!real)) {
        real = (__typeof__(&dirfd))hook_next("dirfd");
        __atomic_store_n(&real_pointer, real, __ATOMIC_RELAXED);
    }
    return dir && real ? real(dir) : -1;
}

EXPORT DIR *opendir(const char *path)
{
    REAL(opendir)
    INTERCEPT_LANE(real(path));
    uint64_t start = ticks_now();
    DIR *dir = real(path);
    after_open(lane, OP_OPENDIR, AT_FDCWD, path, OPENDIR_FLAGS, 0, start,
               dir ? fd_of(dir) : -(int64_t)errno);
    return dir;
}

/* Opens nothing: the descriptor lives on inside the DIR. */
EXPORT DIR *fdopendir(int fd)
{
    REAL(fdopendir)
    INTERCEPT_LANE(real(fd));
    DIR *dir = real(fd);
    if (dir)
        entry_of(lane, fd);
    after_any(hook_region);
    return dir;
}

EXPORT int closedir(DIR *dir)
{
    REAL(closedir)
    INTERCEPT_LANE(real(dir));
    int fd = fd_of(dir);
    fd_entry was = fd_closing(fd);
    uint64_t start = ticks_now();
    int r = real(dir);
    after_close(lane, OP_CLOSE, fd, was, start, with_errno(r));
    return r;
}

/* One entry. NULL with errno as it was is the end; only a changed errno is an error. */
#define READDIR(name, type)                                                        \
    EXPORT type *name(DIR *dir)                                                    \
    {                                                                              \
        REAL(name)                                                                 \
        INTERCEPT_LANE(real(dir));                                                 \
        int fd = fd_of(dir), saved = errno;                                        \
        fd_entry entry = entry_of(lane, fd);                                       \
        errno = 0;                                                                 \
        uint64_t start = ticks_now();                                              \
        type *found = real(dir);                                                   \
        after_fd(lane, OP_READDIR, fd, entry, start, found ? 1 : -(int64_t)errno); \
        if (errno == 0)                                                            \
            errno = saved;                                                         \
        return found;                                                              \
    }

/* It returns the error. */
#define READDIR_R(name, type)                                      \
    EXPORT int name(DIR *dir, type *entry_of_caller, type **found) \
    {                                                              \
        REAL(name)                                                 \
        INTERCEPT_LANE(real(dir, entry_of_caller, found));         \
        int fd = fd_of(dir);                                       \
        fd_entry entry = entry_of(lane, fd);                       \
        uint64_t start = ticks_now();                              \
        int r = real(dir, entry_of_caller, found);                 \
        after_fd(lane, OP_READDIR, fd, entry, start, -(int64_t)r); \
        return r;                                                  \
    }

/* clang-format off */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
READDIR(readdir, struct dirent)
READDIR(readdir64, struct dirent64)
READDIR_R(readdir_r, struct dirent)
READDIR_R(readdir64_r, struct dirent64)

WRAP_FD(ssize_t, getdents64, (int fd, void *buffer, size_t size), (fd, buffer, size), fd,
        after_fd(lane, OP_GETDENTS, fd, entry, start, result))
/* clang-format on */

/* Where the process stands now. */
static void record_chdir(struct lane *lane, enum op op, uint64_t start, uint64_t end)
{
    size_t length;
    const char *here = hook_cwd_in_place(&length);
    struct record r = {
        .type = RECORD_CHDIR, .op = (uint8_t)op, .start = start, .end = end, .fd = -1};
    struct piece piece = {here, (uint32_t)length};
    record_write(hook_region, lane, &r, &piece, 1);
}

void after_chdir(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                 int64_t result)
{
    uint64_t end = ticks_now();
    struct region_head *region = hook_region;
    if (result == 0)
        hook_cwd_changed();
    if (op == OP_FCHDIR)
        count_io(region, lane, op, fd, entry, start, end, result, 0);
    else
        count_call(region, lane, op, KIND_NONE, start, end, 0, result < 0 ? (int)-result : 0);
    if (result == 0)
        record_chdir(lane, op, start, end);
    after_any(region);
}

/* clang-format off */
WRAP(int, chdir, (const char *path), (path), after_chdir(lane, OP_CHDIR, -1, 0, start, result))
WRAP(int, chroot, (const char *path), (path), after_chdir(lane, OP_CHROOT, -1, 0, start, result))
WRAP_FD(int, fchdir, (int fd), (fd), fd, after_chdir(lane, OP_FCHDIR, fd, entry, start, result))
/* clang-format on */
