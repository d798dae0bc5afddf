/*
 * Descriptors of every kind there is, and those that come by ways nobody watches: io_uring,
 * pidfd_getfd, a raw system call.
 */
/* scope-test: */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static char buffer[4096];

static void use(const char *name, int fd)
{
    errno = 0;
    ssize_t got = read(fd, buffer, sizeof(buffer));
    printf("%s: read %zd %d", name, got, errno);
    errno = 0;
    ssize_t put = write(fd, "12345678", 8);
    printf(", write %zd %d", put, errno);
    errno = 0;
    struct stat st;
    printf(", fstat %d", fstat(fd, &st));
    errno = 0;
    int other = dup(fd);
    printf(", dup %d, close %d %d\n", other >= 0, close(fd), close(other));
}

/* Opens and reads a file by io_uring alone, where the kernel lets us. */
static void by_ring(void)
{
    struct io_uring_params p = {0};
    int ring = (int)syscall(SYS_io_uring_setup, 4, &p);
    if (ring < 0) {
        printf("ring: no\n");
        return;
    }
    char *sq = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED,
                    ring, IORING_OFF_SQ_RING);
    char *cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe),
                    PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
    struct io_uring_sqe *e = mmap(NULL, p.sq_entries * sizeof(*e), PROT_READ | PROT_WRITE,
                                  MAP_SHARED, ring, IORING_OFF_SQES);
    memset(e, 0, sizeof(*e));
    e->opcode = IORING_OP_OPENAT;
    e->fd = AT_FDCWD;
    e->addr = (uint64_t)(uintptr_t) "/etc/passwd";
    e->open_flags = O_RDONLY;
    *(uint32_t *)(sq + p.sq_off.array) = 0;
    __atomic_store_n((uint32_t *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
    long r = syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
    int fd = ((struct io_uring_cqe *)(cq + p.cq_off.cqes))->res;
    printf("ring: %ld, opened %d, reads %zd\n", r, fd >= 0, read(fd, buffer, 4));
    printf("close %d %d\n", close(fd), close(ring));
}

int main(void)
{
    int pair[2], pipes[2];
    sigset_t set;
    struct itimerspec soon = {{0, 0}, {0, 1}};
    struct epoll_event event = {.events = EPOLLIN};

    use("eventfd", eventfd(1, EFD_NONBLOCK));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1);
    use("signalfd", signalfd(-1, &set, SFD_NONBLOCK));
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(timer, 0, &soon, NULL);
    use("timerfd", timer);
    use("inotify", inotify_init1(IN_NONBLOCK));
    use("memfd", memfd_create("scratch", 0));
    use("directory", open("/", O_RDONLY | O_DIRECTORY));
    use("path only", open("/etc/passwd", O_PATH));
    use("proc", open("/proc/self/comm", O_RDWR));
    use("null", open("/dev/null", O_RDWR));
    use("full", open("/dev/full", O_RDWR));
    int poller = epoll_create1(0);
    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
    epoll_ctl(poller, EPOLL_CTL_ADD, pair[0], &event);
    send(pair[1], "", 0, 0);
    printf("epoll_wait %d\n", epoll_wait(poller, &event, 1, 100));
    use("epoll", poller);
    use("seqpacket", pair[0]);
    use("netlink", socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, 0));
    int child = (int)syscall(SYS_pidfd_open, getpid(), 0);
    pipe2(pipes, O_NONBLOCK);
    int stolen = (int)syscall(SYS_pidfd_getfd, child, pipes[0], 0);
    printf("pidfd_getfd: %s\n", stolen >= 0 ? "yes" : strerror(errno));
    write(pipes[1], "for both", 8);
    use("stolen", stolen);
    use("pidfd", child);
    by_ring();
    /* A number that was something else a moment ago, changed behind libc's back. */
    int fd = open("/etc/passwd", O_RDONLY);
#ifdef __x86_64__
    long r;
    __asm__ volatile("syscall"
                     : "=a"(r)
                     : "a"(SYS_dup2), "D"(pair[1]), "S"(fd)
                     : "rcx", "r11", "memory");
    printf("raw dup2: %d\n", r == fd);
#else
    dup2(pair[1], fd);
    printf("raw dup2: 1\n");
#endif
    use("was a file", fd);
    return 0;
}
