/* What is done to names: how a name becomes a record, and the calls that remove, rename and make.
 */
#include "intercept/file.h"
#include "intercept/process.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NAME_MAX_BYTES = 4096, /* PATH_MAX: the kernel reads no more */
    HERE_SIZE = 192,       /* of the current directory that fits into our frame */
};

int names_were_read(int64_t result)
{
    switch (result) {
    case -EFAULT: /* it is one of the names that could not be read */
    case -EINVAL: /* flags and lengths are looked at first */
    case -E2BIG:
    case -ENOSYS:
        return 0;
    case -EPERM:
    case -EACCES:
        return !hook_region->sandboxed; /* a filter refuses before anything is read */
    default:
        return 1;
    }
}

static uint32_t name_length(const char *name)
{
    uint32_t n = 0;
    while (n < NAME_MAX_BYTES && name[n])
        n++;
    return n;
}

/* Addresses in the first page are no names, whatever a call that looks at flags first answers. */
static int is_readable(const char *name)
{
    return (uintptr_t)name >= 4096;
}

/*
 * The kernel may answer what is wrong with the first name (ENOENT, say) where the second cannot be
 * read. So after a failure the second is tried first.
 */
static int second_is_readable(const char *name)
{
    struct peek peek = {0};
    return !hook_region->sandboxed && peek_length(&peek, name, NAME_MAX_BYTES) >= 0;
}

static int is_relative(int dirfd, const char *name)
{
    return name[0] != '/' && (name[0] || dirfd != AT_FDCWD);
}

void record_name(struct lane *lane, struct record *record, int dirfd, const char *path, int dirfd2,
                 const char *path2)
{
    char copied[HERE_SIZE];
    const char *here = copied;
    struct dir_path head = {.dirfd = AT_FDCWD};
    struct piece pieces[8];
    unsigned count = 0;

    if (!is_readable(path) || (path2 && !is_readable(path2))) {
        record_write(hook_region, lane, record, NULL, 0);
        return;
    }
    /* an empty name is nowhere, or the descriptor itself */
    int relative = is_relative(dirfd, path), relative2 = path2 && is_relative(dirfd2, path2);
    size_t here_length = 0;
    const char *slash = "/";
    if ((relative && dirfd == AT_FDCWD) || (relative2 && dirfd2 == AT_FDCWD)) {
        here_length = hook_cwd(copied, sizeof(copied));
        if (unlikely(!here_length))
            here = hook_cwd_in_place(&here_length);
        if (here_length == 1)
            slash = "";
    }

    /* the fold joins what we cannot: names relative to a descriptor */
    int joined = (!relative || (dirfd == AT_FDCWD && here_length)) &&
                 (!relative2 || (dirfd2 == AT_FDCWD && here_length));
    if (!joined) {
        if (relative && dirfd != AT_FDCWD) {
            head.dirfd = dirfd;
            head.generation = FD_GENERATION(entry_of(lane, dirfd));
        }
        record->flags |= RECORD_DIRFD;
        pieces[count++] = (struct piece){&head, sizeof(head)};
    }
    if (relative && dirfd == AT_FDCWD && here_length) {
        pieces[count++] = (struct piece){here, (uint32_t)here_length};
        pieces[count++] = (struct piece){slash, slash[0] != '\0'};
    }
    pieces[count++] = (struct piece){path, name_length(path)};
    if (path2) {
        pieces[count++] = (struct piece){"", 1};
        if (relative2 && dirfd2 == AT_FDCWD && here_length) {
            pieces[count++] = (struct piece){here, (uint32_t)here_length};
            pieces[count++] = (struct piece){slash, slash[0] != '\0'};
        }
        pieces[count++] = (struct piece){path2, name_length(path2)};
    }
    record_write(hook_region, lane, record, pieces, count);
}

static __attribute__((noinline)) void record_path(struct lane *lane, enum op op, int dirfd,
                                                  const char *path, int dirfd2, const char *path2,
                                                  uint64_t extra, uint64_t start, uint64_t end,
                                                  int64_t result)
{
    struct record r = {
        .type = RECORD_PATH,
        .op = (uint8_t)op,
        .kind = KIND_NONE,
        .start = start,
        .end = end,
        .fd = -1,
        .result = result,
        .a = extra,
        .b = (uint32_t)dirfd | (uint64_t)(uint32_t)dirfd2 << 32,
    };
    if (names_were_read(result) && (!path2 || result >= 0 || second_is_readable(path2)))
        record_name(lane, &r, dirfd, path, dirfd2, path2);
    else
        record_write(hook_region, lane, &r, NULL, 0);
}

void after_path(struct lane *lane, enum op op, int dirfd, const char *path, int dirfd2,
                const char *path2, uint64_t extra, uint64_t start, int64_t result)
{
    uint64_t end = ticks_now();
    struct region_head *region = hook_region;
    count_call(region, lane, op, KIND_NONE, start, end, 0, result < 0 ? (int)-result : 0);
    if (region->watch & WATCH_FILES || count_is_remarkable(region, lane, end - start, result))
        record_path(lane, op, dirfd, path, dirfd2, path2, extra, start, end, result);
    after_any(region);
}

void after_look(struct lane *lane, enum op op, int dirfd, const char *path, uint64_t start,
                int64_t result)
{
    uint64_t end = ticks_now();
    struct region_head *region = hook_region;
    count_call(region, lane, op, KIND_NONE, start, end, 0, result < 0 ? (int)-result : 0);
    if (count_is_remarkable(region, lane, end - start, result)) {
        struct record r = {.type = RECORD_OPERATION,
                           .op = (uint8_t)op,
                           .kind = KIND_NONE,
                           .start = start,
                           .end = end,
                           .fd = -1,
                           .result = result};
        if (names_were_read(result))
            record_name(lane, &r, dirfd, path, AT_FDCWD, NULL);
        else
            record_write(region, lane, &r, NULL, 0);
    }
    after_any(region);
}

#define ONE(op, dirfd, path, extra) \
    after_path(lane, op, dirfd, path, AT_FDCWD, NULL, (uint64_t)(extra), start, result)
#define TWO(op, dirfd, path, dirfd2, path2, extra) \
    after_path(lane, op, dirfd, path, dirfd2, path2, (uint64_t)(extra), start, result)

/* clang-format off */
WRAP(int, unlink, (const char *path), (path), ONE(OP_UNLINK, AT_FDCWD, path, 0))
WRAP(int, unlinkat, (int dirfd, const char *path, int flags), (dirfd, path, flags),
     ONE(OP_UNLINKAT, dirfd, path, flags))
WRAP(int, rmdir, (const char *path), (path), ONE(OP_RMDIR, AT_FDCWD, path, 0))
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), ONE(OP_MKDIR, AT_FDCWD, path, mode))
WRAP(int, mkdirat, (int dirfd, const char *path, mode_t mode), (dirfd, path, mode),
     ONE(OP_MKDIRAT, dirfd, path, mode))
WRAP(int, rename, (const char *from, const char *to), (from, to),
     TWO(OP_RENAME, AT_FDCWD, from, AT_FDCWD, to, 0))
WRAP(int, renameat, (int dirfd, const char *from, int dirfd2, const char *to),
     (dirfd, from, dirfd2, to), TWO(OP_RENAMEAT, dirfd, from, dirfd2, to, 0))
WRAP(int, renameat2, (int dirfd, const char *from, int dirfd2, const char *to, unsigned flags),
     (dirfd, from, dirfd2, to, flags), TWO(OP_RENAMEAT2, dirfd, from, dirfd2, to, flags))
WRAP(int, link, (const char *from, const char *to), (from, to),
     TWO(OP_LINK, AT_FDCWD, from, AT_FDCWD, to, 0))
WRAP(int, linkat, (int dirfd, const char *from, int dirfd2, const char *to, int flags),
     (dirfd, from, dirfd2, to, flags), TWO(OP_LINKAT, dirfd, from, dirfd2, to, flags))
WRAP(int, truncate, (const char *path, off_t length), (path, length),
     ONE(OP_TRUNCATE, AT_FDCWD, path, length))
WRAP(int, truncate64, (const char *path, off64_t length), (path, length),
     ONE(OP_TRUNCATE, AT_FDCWD, path, length))
WRAP(int, chmod, (const char *path, mode_t mode), (path, mode), ONE(OP_CHMOD, AT_FDCWD, path, mode))
WRAP(int, lchmod, (const char *path, mode_t mode), (path, mode),
     ONE(OP_FCHMODAT, AT_FDCWD, path, mode))
WRAP(int, fchmodat, (int dirfd, const char *path, mode_t mode, int flags),
     (dirfd, path, mode, flags), ONE(OP_FCHMODAT, dirfd, path, mode))

#define OWNER ((uint64_t)user << 32 | group)
WRAP(int, chown, (const char *path, uid_t user, gid_t group), (path, user, group),
     ONE(OP_CHOWN, AT_FDCWD, path, OWNER))
WRAP(int, lchown, (const char *path, uid_t user, gid_t group), (path, user, group),
     ONE(OP_LCHOWN, AT_FDCWD, path, OWNER))
WRAP(int, fchownat, (int dirfd, const char *path, uid_t user, gid_t group, int flags),
     (dirfd, path, user, group, flags), ONE(OP_FCHOWNAT, dirfd, path, OWNER))
/* clang-format on */

/* A link's target is text that may lead nowhere: the record names the link. */
/* clang-format off */
WRAP(int, symlink, (const char *target, const char *path), (target, path),
     ONE(OP_SYMLINK, AT_FDCWD, path, 0))
WRAP(int, symlinkat, (const char *target, int dirfd, const char *path), (target, dirfd, path),
     ONE(OP_SYMLINKAT, dirfd, path, 0))
/* clang-format on */

/*
 * libc tries unlink, and rmdir where that says EISDIR. Which of them it was shows in errno, which a
 * success leaves as it is.
 */
EXPORT int remove(const char *path)
{
    REAL(remove)
    INTERCEPT_LANE(real(path));
    int saved = errno;
    errno = 0;
    uint64_t start = ticks_now();
    int r = real(path);
    int64_t result = with_errno(r);
    int directory = errno == EISDIR || result == -ENOTEMPTY || result == -EEXIST;
    if (errno == 0)
        errno = saved;
    ONE(directory ? OP_RMDIR : OP_UNLINK, AT_FDCWD, path, 0);
    return r;
}
