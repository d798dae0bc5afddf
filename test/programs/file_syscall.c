/* Everything through syscall(): results, errno, six arguments, calls that return twice. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHOW(call)                                                                                 \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long r_ = (call);                                                                          \
        int e_ = errno;                                                                            \
        printf("%s = %ld, errno %d\n", #call, r_, e_);                                             \
    } while (0)

static char child_stack[65536] __attribute__((aligned(16)));

static int child(void *argument)
{
    int fd = open("/dev/null", O_WRONLY);
    return fd < 0 || write(fd, argument, 1) != 1 || close(fd);
}

int main(void)
{
    char buffer[64];
    struct stat st;
    int ends[2];
    struct iovec iov[2] = {{"one ", 4}, {"two\n", 4}};

    SHOW(syscall(SYS_openat, AT_FDCWD, "file", O_RDWR | O_CREAT, 0600));
    SHOW(syscall(SYS_write, 3, "text", 4L));
    SHOW(syscall(SYS_writev, 3, iov, 2L));
    SHOW(syscall(SYS_pwrite64, 3, "T", 1L, 0L));
    SHOW(syscall(SYS_lseek, 3, 0L, SEEK_SET));
    SHOW(syscall(SYS_read, 3, buffer, sizeof(buffer)));
    SHOW(syscall(SYS_pread64, 3, buffer, 4L, 4L));
    SHOW(syscall(SYS_fstat, 3, &st));
    SHOW(syscall(SYS_dup, 3));
    SHOW(syscall(SYS_dup3, 3, 9, 0));
    SHOW(syscall(SYS_fcntl, 3, F_DUPFD, 20));
    SHOW(syscall(SYS_close, 4));
    SHOW(syscall(SYS_close, 9));
    SHOW(syscall(SYS_close, 20));
    SHOW(syscall(SYS_pipe2, ends, O_NONBLOCK));
    SHOW(syscall(SYS_read, ends[0], buffer, 1L));
    SHOW(syscall(SYS_close, ends[0]));
    SHOW(syscall(SYS_close, ends[1]));
    SHOW(syscall(SYS_write, 99, "x", 1L));
    SHOW(syscall(SYS_openat, AT_FDCWD, (char *)8, O_RDONLY));
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "file2", 0L));
    SHOW(syscall(SYS_unlinkat, AT_FDCWD, "file", 0L));
    SHOW(syscall(SYS_mkdirat, AT_FDCWD, "dir", 0700L));
    SHOW(syscall(SYS_chdir, "dir"));
    SHOW(syscall(SYS_chdir, ".."));
    SHOW(syscall(SYS_unlinkat, AT_FDCWD, "dir", AT_REMOVEDIR));
    SHOW(syscall(SYS_memfd_create, "name", 0L));
    SHOW(syscall(SYS_ftruncate, 4, 8192L));
    void *map =
        (void *)syscall(SYS_mmap, NULL, 4096L, PROT_READ | PROT_WRITE, MAP_SHARED, 4, 4096L);
    printf("mapped %d\n", map != MAP_FAILED && strcpy(map, "shared") == map);
    SHOW(syscall(SYS_pread64, 4, buffer, 7L, 4096L));
    printf("%.6s\n", buffer);
    SHOW(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, ends));
    SHOW(syscall(SYS_sendto, ends[0], "hello", 5L, 0, NULL, 0L));
    SHOW(syscall(SYS_recvfrom, ends[1], buffer, sizeof(buffer), 0, NULL, NULL));
    SHOW(syscall(SYS_shutdown, ends[0], SHUT_WR));
    SHOW(syscall(SYS_close_range, 3, ~0L, 0L));
    SHOW(syscall(SYS_unlinkat, AT_FDCWD, "file2", 0L));
    SHOW(syscall(SYS_getppid) > 0);
    SHOW(syscall(99999L));
    fflush(stdout);

    int status;
    for (int i = 0; i < 2; i++) { /* fork by its bare number, and as clone */
        long pid = i ? syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0L) : fork();
        if (pid == 0)
            syscall(SYS_exit_group, child("x") ? 1 : 5 + i);
        waitpid((pid_t)pid, &status, 0);
        printf("child ended with %d\n", WEXITSTATUS(status));
    }
    /* a child on our memory, its own stack */
    int pid = clone(child, child_stack + sizeof(child_stack), CLONE_VM | CLONE_VFORK | SIGCHLD,
                    (void *)"x");
    waitpid(pid, &status, 0);
    printf("child ended with %d\n", WEXITSTATUS(status));
    fflush(stdout);
    syscall(SYS_exit_group, 3);
    return 4;
}
