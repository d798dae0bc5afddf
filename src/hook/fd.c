/*
 * First sight: what a descriptor is that nobody saw being opened. The one place that asks the
 * kernel, once for each life of a number.
 */
#include "hook/internal.h"

#include <asm/termbits.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "intercept/socket.h"
#include "os/sys.h"

/* Higher inherited numbers are rare, and met when they are used: listing /proc/self/fd costs 30 us.
 */
enum { INHERITED = 10, PATH_SIZE = 512 };

/* What a forked child goes on knowing of a descriptor that the parent opened. */
enum { KEPT_FLAGS = FD_LOG | FD_DNS | FD_JOURNAL | FD_SERVER | FD_ENDED | FD_BINARY | FD_READ_END };
enum { MEMORY_MAJOR = 1, NULL_MINOR = 3, TTY_MAJOR = 4, PTS_FIRST = 136, PTS_LAST = 143 };

/* What was found out about one descriptor. */
struct sight {
    enum kind kind;
    uint32_t flags;
    uint64_t device;
    bool is_socket;
    union {
        struct address_pair addresses;
        char path[PATH_SIZE];
    };
    uint32_t path_length;
};

static int socket_option(int fd, int option)
{
    int value = -1;
    socklen_t length = sizeof(value);
    return sys(getsockopt, fd, SOL_SOCKET, option, &value, &length) == 0 ? value : -1;
}

static void see_socket(int fd, struct sight *s)
{
    struct address_pair *a = &s->addresses;
    *a = (struct address_pair){0};
    s->is_socket = true;
    s->kind = socket_kind(socket_option(fd, SO_DOMAIN), socket_option(fd, SO_TYPE),
                          socket_option(fd, SO_PROTOCOL));
    address_local(fd, a);
    address_peer(fd, a);
    if (a->peer_length) {
        s->flags |= FD_CONNECTED;
        s->flags |= address_flags(s->kind, a->peer, a->peer_length);
    }
}

static char *put_number(char *at, uint64_t value)
{
    char digits[20];
    unsigned n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while (n)
        *at++ = digits[--n];
    return at;
}

static char *put_text(char *at, const char *text)
{
    while (*text)
        *at++ = *text++;
    return at;
}

/* Reads where /proc/self/fd/N points to. */
static void read_path(int fd, struct sight *s)
{
    char link[32];
    *put_number(put_text(link, "/proc/self/fd/"), (unsigned)fd) = '\0';
    long length = sys(readlinkat, AT_FDCWD, link, s->path, sizeof(s->path) - 1);
    s->path_length = length > 0 ? (uint32_t)length : 0;
    s->path[s->path_length] = '\0';
}

/* What the link in /proc says; without reading it, which costs 10 us, for the commonest of all. */
static void see_path(int fd, const struct stat *st, struct sight *s)
{
    if (S_ISCHR(st->st_mode) && st->st_rdev == makedev(MEMORY_MAJOR, NULL_MINOR)) {
        char *end = put_text(s->path, "/dev/null");
        *end = '\0';
        s->path_length = (uint32_t)(end - s->path);
    } else {
        read_path(fd, s);
    }
}

static bool is_tty(int fd, unsigned from)
{
    struct termios t;
    if (from == MEMORY_MAJOR)
        return false;
    if ((from >= PTS_FIRST && from <= PTS_LAST) || from == TTY_MAJOR)
        return true;
    return sys(ioctl, fd, TCGETS, &t) == 0;
}

static enum kind mode_kind(int fd, const struct stat *st, const struct sight *s)
{
    switch (st->st_mode & S_IFMT) {
    case S_IFREG:
        return elf_starts(s->path, "/memfd:") ? KIND_MEMORY : KIND_FILE;
    case S_IFDIR:
        return KIND_DIRECTORY;
    case S_IFIFO:
        return KIND_PIPE;
    case S_IFCHR:
        return is_tty(fd, major(st->st_rdev)) ? KIND_TTY : KIND_DEVICE;
    case S_IFBLK:
        return KIND_DEVICE;
    case 0: /* an anonymous inode: eventfd, epoll, timerfd, ... */
        return KIND_EVENT;
    default:
        return KIND_UNKNOWN;
    }
}

/*
 * Asks the kernel. False: the number is not open, or not to be looked at closely `yet`. Where a
 * path leads is asked in /proc, 20 us the first time: that is for what is really used.
 */
static bool look(struct region_head *region, int fd, bool yet, struct sight *s)
{
    struct stat st;
    if (sys(fstat, fd, &st) != 0)
        return false;
    if (!yet && (S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode))) {
        uint64_t kind = S_ISREG(st.st_mode) ? KIND_FILE : KIND_PIPE;
        __atomic_store_n(&fd_table[fd], FD_INHERITED | kind, __ATOMIC_RELAXED);
        return false;
    }
    s->kind = KIND_UNKNOWN;
    s->flags = FD_OPEN;
    s->device = 0;
    s->is_socket = false;
    s->path_length = 0;
    if (fd == 1)
        s->flags |= FD_OUT;
    else if (fd == 2)
        s->flags |= FD_ERR;
    long status = sys(fcntl, fd, F_GETFL, 0);
    if (status >= 0 && status & O_NONBLOCK)
        s->flags |= FD_NONBLOCK;
    if (status >= 0 && status & O_APPEND)
        s->flags |= FD_APPEND;
    if (S_ISSOCK(st.st_mode)) {
        see_socket(fd, s);
        return true;
    }
    see_path(fd, &st, s);
    s->kind = mode_kind(fd, &st, s);
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
        s->device = st.st_rdev;
    if (s->kind == KIND_FILE && s->path_length && is_log_name(region, s->path))
        s->flags |= FD_LOG;
    return true;
}

static fd_entry meet(struct region_head *region, struct lane *lane, int fd, bool yet)
{
    struct sight s;
    fd_entry before = fd_get(fd);
    if (!look(region, fd, yet, &s))
        return KIND_UNKNOWN; /* not open: what it was in an earlier life says nothing */
    if (before & FD_INHERITED)
        s.flags |= (uint32_t)before & KEPT_FLAGS;
    if (fd_get(fd) != before)
        return fd_get(fd); /* another thread has met it, or it has had a new life since */
    fd_entry entry = fd_opened(region, fd, s.kind, s.flags);
    uint64_t now = ticks_now();
    struct record r = {.type = RECORD_SEEN,
                       .op = OP_FSTAT,
                       .kind = (uint8_t)s.kind,
                       .start = now,
                       .end = now,
                       .fd = fd,
                       .generation = FD_GENERATION(entry),
                       .flags = s.flags & FD_SERVER ? RECORD_SERVER : 0,
                       .a = s.device};
    struct piece piece = {s.is_socket ? (const void *)&s.addresses : s.path,
                          s.is_socket ? (uint32_t)sizeof(s.addresses) : s.path_length};
    if (lane)
        record_write(region, lane, &r, &piece, 1);
    return entry;
}

fd_entry hook_fd_unknown(struct lane *lane, int fd)
{
    struct region_head *region = hook_region;
    if (!region || (unsigned)fd >= FD_TABLE_SIZE)
        return KIND_UNKNOWN;
    if (region->sandboxed) {
        fd_entry entry = fd_get(fd);
        return entry ? entry : KIND_UNKNOWN;
    }
    fd_entry entry = meet(region, lane, fd, true);
    return entry ? entry : KIND_UNKNOWN;
}

fd_entry hook_fd(struct lane *lane, int fd)
{
    fd_entry entry = fd_get(fd);
    if (likely(entry & FD_OPEN))
        return entry;
    return hook_fd_unknown(lane, fd);
}

void fd_meet_inherited(struct region_head *region, struct lane *lane, bool all)
{
    __atomic_fetch_or(&fd_table[0], 0,
                      __ATOMIC_RELAXED); /* a write first: one page fault, not two */
    for (int fd = 0; fd < INHERITED; fd++)
        if (!(fd_get(fd) & FD_OPEN))
            meet(region, lane, fd, all);
}
