/* Functions with as many arguments as it pleases: every one arrives, in whatever type. */
/* scope-test: */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned mode_of(const char *name)
{
    struct stat st = {0};
    stat(name, &st);
    unlink(name);
    return st.st_mode & 07777;
}

#define SHOW(call)                                     \
    do {                                               \
        errno = 0;                                     \
        long result = (long)(call);                    \
        printf("%s = %ld %d\n", #call, result, errno); \
    } while (0)

int main(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_start = 1LL << 33, .l_len = 7};
    struct f_owner_ex owner = {F_OWNER_PID, getpid()}, asked = {0};
    uint64_t hint = 3;
    int ready = -1, status, on = 1, pair[2], pipes[2];
    char buffer[16] = "";
    struct iovec iov[2] = {{buffer, 3}, {buffer + 3, 9}};

    umask(0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    close(open("a", O_CREAT | O_WRONLY, 0641));
    printf("open: %o\n", mode_of("a"));
    close(openat(AT_FDCWD, "a", O_CREAT | O_WRONLY, 04750));
    printf("openat: %o\n", mode_of("a"));
    close(creat("a", 0604));
    printf("creat: %o\n", mode_of("a"));
    struct stat st = {0};
    int fd = open(".", O_TMPFILE | O_RDWR, 0611);
    SHOW(fstat(fd, &st));
    printf("unnamed: %o\n", st.st_mode & 07777);
    fd = open("a", O_CREAT | O_RDWR, 0600);
    SHOW(fcntl(fd, F_SETLK, &lock));
    lock.l_type = F_RDLCK;
    SHOW(fcntl(fd, F_GETLK, &lock));
    SHOW(lock.l_type == F_UNLCK);
    lock = (struct flock){.l_type = F_WRLCK, .l_len = 1};
    SHOW(fcntl(fd, F_OFD_SETLK, &lock));
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    SHOW(fcntl(pair[0], F_SETOWN_EX, &owner));
    SHOW(fcntl(pair[0], F_GETOWN_EX, &asked));
    SHOW(asked.pid == getpid() && fcntl(pair[0], F_GETOWN) == getpid());
    SHOW(fcntl(fd, F_SETLEASE, F_UNLCK));
    SHOW(pipe(pipes));
    SHOW(fcntl(pipes[0], F_SETPIPE_SZ, 8192));
    SHOW(fcntl(pipes[0], F_GETPIPE_SZ));
    SHOW(fcntl(fd, F_SET_RW_HINT, &hint));
    SHOW(fcntl(fd, F_DUPFD_CLOEXEC, 333));
    SHOW(fcntl(333, F_GETFD));
    SHOW(fcntl(333, F_SETFD, 0));
    SHOW(fcntl(333, F_GETFD));
    int sealed = memfd_create("sealed", MFD_ALLOW_SEALING);
    SHOW(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE));
    SHOW(fcntl(sealed, F_GET_SEALS));
    SHOW(write(sealed, "x", 1));
    SHOW(write(pair[1], "12345", 5));
    SHOW(ioctl(pair[0], FIONREAD, &ready));
    SHOW(ready);
    SHOW(ioctl(pair[0], FIONBIO, &on));
    SHOW(readv(pair[0], iov, 2));
    SHOW(read(pair[0], buffer, 1));
    SHOW(pwritev2(fd, iov, 1, 4096, RWF_DSYNC));
    SHOW(preadv2(fd, iov, 2, 4096, 0));
    SHOW(preadv2(fd, iov, 1, 0, 0x40000000));
    unlink("a");
    if (fork() == 0)
        execl("/bin/echo", "echo", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12",
              "13", "14", "15", "16", "17", "18", "19", "20", "21", "22", "23", "24", "25", "26",
              "27", "28", "29", "30", "31", "32", "33", "34", "35", "36", "37", "38", "39", "40",
              (char *)NULL);
    wait(&status);
    char *env[] = {"MARK=last", NULL};
    if (fork() == 0)
        execle("/bin/sh", "sh", "-c", "echo $# $9 $MARK", "0", "1", "2", "3", "4", "5", "6", "7",
               "8", "9", "10", (char *)NULL, env);
    wait(&status);
    printf("prctl: %d\n", prctl(PR_SET_NAME, "a name of it"));
    prctl(PR_GET_NAME, buffer);
    printf("%s\n", buffer);
    return 0;
}
