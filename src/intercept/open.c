/* Calls that open a name, and what is found out about the descriptor that they give. */
#include "intercept/file.h"

#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { JOINED_SIZE = 384, MEMORY_DEVICES = 1 };

static enum kind kind_of_mode(int fd, const struct stat *st)
{
    switch (st->st_mode & S_IFMT) {
    case S_IFREG:
        return KIND_FILE;
    case S_IFDIR:
        return KIND_DIRECTORY;
    case S_IFIFO:
        return KIND_PIPE;
    case S_IFCHR: {
        char settings[64]; /* struct termios of the kernel: 36 bytes */
        if (major(st->st_rdev) != MEMORY_DEVICES && sys(ioctl, fd, TCGETS, settings) == 0)
            return KIND_TTY;
        return KIND_DEVICE;
    }
    case S_IFBLK:
        return KIND_DEVICE;
    case S_IFSOCK:
        return KIND_SOCKET;
    default:
        return KIND_EVENT; /* anonymous inodes have no type */
    }
}

__attribute__((noinline)) enum kind kind_of_fd(int fd, enum kind otherwise)
{
    struct stat st;
    if (hook_region->sandboxed || sys(fstat, fd, &st) != 0)
        return otherwise;
    return kind_of_mode(fd, &st);
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

/* A relative name against globs of absolute ones. */
static __attribute__((noinline)) int is_log_here(const char *path)
{
    char joined[JOINED_SIZE];
    size_t n = hook_cwd(joined, sizeof(joined) - 1);
    if (!n)
        return 0;
    if (joined[n - 1] != '/')
        joined[n++] = '/';
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    while (*path && n < sizeof(joined) - 1)
        joined[n++] = *path++;
    joined[n] = '\0';
    return !*path && is_log_name(hook_region, joined);
}

/* What the name says about the data: a log, or standard output and error by their other names. */
static uint32_t flags_by_name(int dirfd, const char *path, int flags, enum kind kind)
{
    if ((flags & O_ACCMODE) == O_RDONLY || (flags & O_PATH) || kind == KIND_DIRECTORY)
        return 0;
    if (same(path, "/dev/stdout"))
        return FD_OUT;
    if (same(path, "/dev/stderr"))
        return FD_ERR;
    if (is_log_name(hook_region, path))
        return FD_LOG;
    return path[0] != '/' && dirfd == AT_FDCWD && is_log_here(path) ? FD_LOG : 0;
}

static uint32_t flags_of_open(int flags)
{
    return FD_OPEN | (flags & O_APPEND ? FD_APPEND : 0) | (flags & O_NONBLOCK ? FD_NONBLOCK : 0);
}

__attribute__((noinline)) void after_open(struct lane *lane, enum op op, int dirfd,
                                          const char *path, int flags, unsigned mode,
                                          uint64_t start, int64_t result)
{
    uint64_t end = ticks_now();
    struct region_head *region = hook_region;
    struct record r = {
        .type = RECORD_OPEN,
        .op = (uint8_t)op,
        .kind = KIND_NONE,
        .start = start,
        .end = end,
        .fd = -1,
        .result = result,
        .a = (uint32_t)flags,
        .b = mode,
    };
    uint32_t set = 0;
    if (result >= 0) {
        int fd = (int)result;
        enum kind kind = (flags & O_TMPFILE) == O_DIRECTORY ? KIND_DIRECTORY
                         : op == OP_SHM_OPEN                ? KIND_MEMORY
                         /* what was made just now is what it was made as: nothing to ask */
                         : (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)
                             ? KIND_FILE
                             : kind_of_fd(fd, KIND_FILE);
        set = flags_of_open(flags) | fd_number_flags(fd) | flags_by_name(dirfd, path, flags, kind);
        fd_entry entry = fd_opened(region, fd, kind, set);
        r.fd = fd;
        r.kind = (uint8_t)kind;
        r.generation = FD_GENERATION(entry);
    }
    count_call(region, lane, op, (enum kind)r.kind, start, end, 0, result < 0 ? (int)-result : 0);
    if ((region->watch & WATCH_FILES) || count_is_remarkable(region, lane, end - start, result) ||
        ((set & FD_LOG) && (region->watch & WATCH_LOGS))) {
        if (names_were_read(result))
            record_name(lane, &r, dirfd, path, AT_FDCWD, NULL);
        else
            record_write(region, lane, &r, NULL, 0);
    }
    after_any(region);
}

__attribute__((noinline)) void after_open_unnamed(struct lane *lane, enum op op, enum kind kind,
                                                  const char *name, int flags, uint64_t start,
                                                  int64_t result)
{
    uint64_t end = ticks_now();
    struct region_head *region = hook_region;
    struct record r = {
        .type = RECORD_OPEN,
        .op = (uint8_t)op,
        .kind = (uint8_t)kind,
        .start = start,
        .end = end,
        .fd = -1,
        .result = result,
        .a = (uint32_t)flags,
    };
    if (result >= 0) {
        fd_entry entry = fd_opened(region, (int)result, kind, flags_of_open(flags));
        r.fd = (int)result;
        r.generation = FD_GENERATION(entry);
    }
    count_call(region, lane, op, result < 0 ? KIND_NONE : kind, start, end, 0,
               result < 0 ? (int)-result : 0);
    if (region->watch & WATCH_FILES) {
        struct piece piece = {name, (uint32_t)__builtin_strlen(name)};
        record_write(region, lane, &r, &piece, 1);
    }
    after_any(region);
}

/* The mode is there only with these flags; it is passed on as it came either way. */
#define WITH_MODE(last)                                   \
    mode_t mode = 0;                                      \
    if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) { \
        va_list list;                                     \
        va_start(list, last);                             \
        mode = va_arg(list, mode_t);                      \
        va_end(list);                                     \
    }

#define OPEN(name)                                                                    \
    EXPORT int name(const char *path, int flags, ...)                                 \
    {                                                                                 \
        WITH_MODE(flags)                                                              \
        REAL(name)                                                                    \
        INTERCEPT_LANE(real(path, flags, mode));                                      \
        uint64_t start = ticks_now();                                                 \
        int r = real(path, flags, mode);                                              \
        after_open(lane, OP_OPEN, AT_FDCWD, path, flags, mode, start, with_errno(r)); \
        return r;                                                                     \
    }

#define OPENAT(name)                                                                 \
    EXPORT int name(int dirfd, const char *path, int flags, ...)                     \
    {                                                                                \
        WITH_MODE(flags)                                                             \
        REAL(name)                                                                   \
        INTERCEPT_LANE(real(dirfd, path, flags, mode));                              \
        uint64_t start = ticks_now();                                                \
        int r = real(dirfd, path, flags, mode);                                      \
        after_open(lane, OP_OPENAT, dirfd, path, flags, mode, start, with_errno(r)); \
        return r;                                                                    \
    }

int __open(const char *path, int flags, ...);
int __open64(const char *path, int flags, ...);
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);

/* clang-format off */
OPEN(open)
OPEN(open64)
OPEN(__open)
OPEN(__open64)
OPENAT(openat)
OPENAT(openat64)

#define OPEN_2(name)                                                                               \
    WRAP(int, name, (const char *path, int flags), (path, flags),                                  \
         after_open(lane, OP_OPEN, AT_FDCWD, path, flags, 0, start, result))
#define OPENAT_2(name)                                                                             \
    WRAP(int, name, (int dirfd, const char *path, int flags), (dirfd, path, flags),                \
         after_open(lane, OP_OPENAT, dirfd, path, flags, 0, start, result))
#define CREAT(name)                                                                                \
    WRAP(int, name, (const char *path, mode_t mode), (path, mode),                                 \
         after_open(lane, OP_CREAT, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode, start,     \
                    result))
OPEN_2(__open_2)
OPEN_2(__open64_2)
OPENAT_2(__openat_2)
OPENAT_2(__openat64_2)
CREAT(creat)
CREAT(creat64)
/* clang-format on */

/* The kernel's struct open_how. Newer headers have it, and the function, with types of their own.
 */
struct how {
    uint64_t flags, mode, resolve;
};
int watched_openat2(int dirfd, const char *path, const struct how *how,
                    size_t size) __asm__("openat2");

static int raw_openat2(int dirfd, const char *path, const struct how *how, size_t size)
{
    return (int)raw_result(sys(openat2, dirfd, path, how, size));
}

EXPORT int watched_openat2(int dirfd, const char *path, const struct how *how, size_t size)
{
    static __typeof__(&raw_openat2) real_pointer;
    __typeof__(&raw_openat2) real = __atomic_load_n(&real_pointer, __ATOMIC_RELAXED);
    if (unlikely(!real)) {
        real = (__typeof__(real))hook_next("openat2");
        if (!real)
            real = raw_openat2;
        __atomic_store_n(&real_pointer, real, __ATOMIC_RELAXED);
    }
    INTERCEPT_LANE(real(dirfd, path, how, size));
    uint64_t start = ticks_now();
    int64_t result = with_errno(real(dirfd, path, how, size));
    int read = names_were_read(result);
    after_open(lane, OP_OPENAT2, dirfd, path, read ? (int)how->flags : 0,
               read ? (unsigned)how->mode : 0, start, result);
    return result < 0 ? -1 : (int)result;
}
