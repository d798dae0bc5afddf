/* Calls that settle what an open file holds: length, space, owner, and when it is on the disk. */
#include "intercept/file.h"

#include <sys/stat.h>
#include <unistd.h>

/* clang-format off */
#define COUNT_FD(op) after_fd(lane, op, fd, entry, start, result)

WRAP_FD(int, fsync, (int fd), (fd), fd, COUNT_FD(OP_FSYNC))
WRAP_FD(int, fdatasync, (int fd), (fd), fd, COUNT_FD(OP_FDATASYNC))
WRAP_FD(int, sync_file_range, (int fd, off64_t offset, off64_t count, unsigned flags),
        (fd, offset, count, flags), fd, COUNT_FD(OP_SYNC_RANGE))
WRAP_FD(int, ftruncate, (int fd, off_t length), (fd, length), fd, COUNT_FD(OP_FTRUNCATE))
WRAP_FD(int, ftruncate64, (int fd, off64_t length), (fd, length), fd, COUNT_FD(OP_FTRUNCATE))
WRAP_FD(int, fchmod, (int fd, mode_t mode), (fd, mode), fd, COUNT_FD(OP_FCHMOD))
WRAP_FD(int, fchown, (int fd, uid_t user, gid_t group), (fd, user, group), fd, COUNT_FD(OP_FCHOWN))
WRAP_FD(int, fallocate, (int fd, int mode, off_t offset, off_t length),
        (fd, mode, offset, length), fd, COUNT_FD(OP_FALLOCATE))
WRAP_FD(int, fallocate64, (int fd, int mode, off64_t offset, off64_t length),
        (fd, mode, offset, length), fd, COUNT_FD(OP_FALLOCATE))

/* These return the error, and leave errno alone. */
WRAP_FD(int, posix_fallocate, (int fd, off_t offset, off_t length), (fd, offset, length), fd,
        ((void)result, after_fd(lane, OP_FALLOCATE, fd, entry, start, -(int64_t)r)))
WRAP_FD(int, posix_fallocate64, (int fd, off64_t offset, off64_t length), (fd, offset, length), fd,
        ((void)result, after_fd(lane, OP_FALLOCATE, fd, entry, start, -(int64_t)r)))
/* clang-format on */
