/*
 * Which container a process runs in, asked for as cheaply as the kernel allows.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "os/sys.h"
#include "report/fold_process.h"

enum {
    FILE_MAX = 1 << 20,
    CONTAINER_ID = 64,
    MOUNT_ID = 0x1000, /* of statx, which older headers do not have */
    MOUNT_ID_UNIQUE = 0x4000,
    MOUNT_ID_AT = 0x90,
    SYS_STATMOUNT = 457, /* x86-64 and aarch64 */
    STATMOUNT_MNT_ROOT_ = 8,
    STATMOUNT_ROOT_AT = 104, /* offset of mnt_root in struct statmount */
    STATMOUNT_STRINGS = 512, /* its size: strings follow */
};

/* The first run of 64 hex digits that is a whole path element (with docker- and .scope around it).
 */
struct text container_find(const char *text, size_t length, const char *after)
{
    size_t run = 0;
    for (size_t i = 0; i <= length; i++) {
        bool hex = i < length &&
                   ((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'));
        if (hex) {
            run++;
            continue;
        }
        size_t from = i - run;
        bool opened =
            run == CONTAINER_ID && from && (text[from - 1] == '/' || text[from - 1] == '-');
        bool closed = i == length || memchr("/\n. ", text[i], 4);
        if (opened && closed && after) {
            size_t n = strlen(after);
            opened = from >= n && !memcmp(text + from - n, after, n);
        }
        if (opened && closed)
            return (struct text){text + from, CONTAINER_ID};
        run = 0;
    }
    return (struct text){0};
}

/* The mount that a path is on: its unique id if the kernel has such, else the old one. 0: unknown.
 */
static uint64_t mount_of(const char *path, bool *unique)
{
    struct statx s = {0};
    if (sys(statx, AT_FDCWD, path, 0, MOUNT_ID | MOUNT_ID_UNIQUE, &s) != 0)
        return 0;
    *unique = s.stx_mask & MOUNT_ID_UNIQUE;
    uint64_t id;
    memcpy(&id, (const char *)&s + MOUNT_ID_AT, sizeof(id));
    return s.stx_mask & (MOUNT_ID | MOUNT_ID_UNIQUE) ? id : 0;
}

/* What of its file system is mounted there (statmount, Linux 6.8), to out. Its length, or -errno.
 */
static long mount_root(uint64_t id, char *out, size_t size)
{
    struct {
        uint32_t size, spare;
        uint64_t id, mask;
    } request = {.size = sizeof(request), .id = id, .mask = STATMOUNT_MNT_ROOT_};
    char answer[1024] __attribute__((aligned(8)));
    uint32_t at;
    long rc = sys_call6(SYS_STATMOUNT, (long)&request, (long)answer, sizeof(answer), 0, 0, 0);
    if (rc < 0)
        return rc;
    memcpy(&at, answer + STATMOUNT_ROOT_AT, sizeof(at));
    if (at >= sizeof(answer) - STATMOUNT_STRINGS)
        return -ENOENT;
    const char *root = answer + STATMOUNT_STRINGS + at;
    size_t n = strnlen(root, sizeof(answer) - STATMOUNT_STRINGS - at);
    n = n < size ? n : size;
    memcpy(out, root, n);
    return (long)n;
}

/* A copy of the id in what was read, if there is one. */
static struct text id_in(struct arena *arena, const char *text, long n, const char *after)
{
    struct text found = n > 0 ? container_find(text, (size_t)n, after) : (struct text){0};
    return found.length ? arena_copy(arena, found.data, found.length) : found;
}

static bool exists(const char *path)
{
    return sys(faccessat, AT_FDCWD, path, 0) == 0;
}

/*
 * Docker and podman mount .../containers/ID/hostname on /etc/hostname; elsewhere the cgroup names
 * the container, unless it has a name space of its own and is just "/". Listing all mounts is dear
 * (2 us each): that is for kernels that cannot be asked about one.
 */
struct text container_id(struct arena *arena, int directory, bool kubernetes)
{
    bool engine = exists("/.dockerenv") || exists("/run/.containerenv");
    if (!engine && !kubernetes)
        return (struct text){0}; /* no runtime has left its mark */
    bool unique = false;
    uint64_t mount = engine ? mount_of("/etc/hostname", &unique) : 0;
    bool own = engine && (!mount || mount != mount_of("/", &unique));
    char text[1024];
    long n = own && mount && unique ? mount_root(mount, text, sizeof(text)) : -ENOSYS;
    bool told = n >= 0;
    struct text id = id_in(arena, text, n, "containers/");
    if (id.length)
        return id;
    n = read_at(directory, "cgroup", text, sizeof(text));
    id = id_in(arena, text, n, NULL);
    if (id.length || !own || told)
        return id;
    char *all = malloc(FILE_MAX);
    if (all)
        id = id_in(arena, all, read_at(directory, "mountinfo", all, FILE_MAX), "containers/");
    free(all);
    return id;
}
