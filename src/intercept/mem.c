/* Files in memory: mappings, memfd, POSIX shared memory. */
#include "intercept/file.h"

#include <sys/mman.h>
#include <unistd.h>

enum { SHARED_NAME_SIZE = 300 }; /* "/dev/shm/" and NAME_MAX */

void after_mmap(struct lane *lane, int fd, fd_entry entry, uint64_t length, uint64_t offset,
                uint64_t start, int64_t result)
{
    uint64_t end = ticks_now();
    struct region_head *region = hook_region;
    if (entry & FD_IGNORED)
        return;
    count_io(region, lane, OP_MMAP, fd, entry, start, end, result < 0 ? result : 0, 0);
    if (region->watch & WATCH_FILES) {
        struct record r = {
            .type = RECORD_MMAP,
            .op = OP_MMAP,
            .kind = (uint8_t)FD_KIND(entry),
            .start = start,
            .end = end,
            .fd = fd,
            .generation = FD_GENERATION(entry),
            .result = result < 0 ? result : 0,
            .a = length,
            .b = offset,
        };
        record_write(region, lane, &r, NULL, 0);
    }
    after_any(region);
}

/* Anonymous memory is none of our business: allocators get it by this name too. */
#define MMAP(name, type)                                                                       \
    EXPORT void *name(void *at, size_t length, int protection, int flags, int fd, type offset) \
    {                                                                                          \
        REAL(name)                                                                             \
        if (likely(flags & MAP_ANONYMOUS))                                                     \
            return real(at, length, protection, flags, fd, offset);                            \
        INTERCEPT_LANE(real(at, length, protection, flags, fd, offset));                       \
        fd_entry entry = entry_of(lane, fd);                                                   \
        uint64_t start = ticks_now();                                                          \
        void *r = real(at, length, protection, flags, fd, offset);                             \
        after_mmap(lane, fd, entry, length, (uint64_t)offset, start,                           \
                   r == MAP_FAILED ? -(int64_t)errno : 0);                                     \
        return r;                                                                              \
    }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

/* Joins a fixed start and a name of the program's, which the kernel has read. */
static void join(char *out, size_t size, const char *start, const char *name)
{
    size_t n = 0;
    while (*start && n < size - 1)
        out[n++] = *start++;
    while (*name && n < size - 1)
        out[n++] = *name++;
    out[n] = '\0';
}

void after_memfd(struct lane *lane, const char *name, int flags, uint64_t start, int64_t result)
{
    char full[SHARED_NAME_SIZE];
    join(full, sizeof(full), "/memfd:", names_were_read(result) ? name : "");
    after_open_unnamed(lane, OP_MEMFD, KIND_MEMORY, full,
                       O_RDWR | ((unsigned)flags & MFD_CLOEXEC ? O_CLOEXEC : 0), start, result);
}

/* libc looks at the name itself before the kernel does: an invalid one is not looked at again. */
static const char *shared_name(char *out, size_t size, const char *name, int64_t result)
{
    if (!names_were_read(result) || result == -ENAMETOOLONG)
        name = "";
    while (*name == '/')
        name++;
    join(out, size, "/dev/shm/", name);
    return out;
}

static __attribute__((noinline)) void after_shm_open(struct lane *lane, const char *name, int flags,
                                                     mode_t mode, uint64_t start, int64_t result)
{
    char full[SHARED_NAME_SIZE];
    after_open(lane, OP_SHM_OPEN, AT_FDCWD, shared_name(full, sizeof(full), name, result), flags,
               mode, start, result);
}

static __attribute__((noinline)) void after_shm_unlink(struct lane *lane, const char *name,
                                                       uint64_t start, int64_t result)
{
    char full[SHARED_NAME_SIZE];
    after_path(lane, OP_UNLINK, AT_FDCWD, shared_name(full, sizeof(full), name, result), AT_FDCWD,
               NULL, 0, start, result);
}

/* Before glibc 2.34 these are librt's; a program that does not load it has no use for them. */
static int no_shm_open(const char *name, int flags, mode_t mode)
{
    (void)name, (void)flags, (void)mode;
    return (int)raw_result(-ENOSYS);
}
static int no_shm_unlink(const char *name)
{
    (void)name;
    return (int)raw_result(-ENOSYS);
}

/* clang-format off */
WRAP(int, memfd_create, (const char *name, unsigned flags), (name, flags),
     after_memfd(lane, name, (int)flags, start, result))
WRAP_OR(int, shm_open, (const char *name, int flags, mode_t mode), (name, flags, mode), no_shm_open,
        after_shm_open(lane, name, flags, mode, start, result))
WRAP_OR(int, shm_unlink, (const char *name), (name), no_shm_unlink,
        after_shm_unlink(lane, name, start, result))
/* clang-format on */
