/*
 * Children by clone and clone3 with odd flags: memory, descriptors or directories shared, with and
 * without the parent standing still, thread-local storage shared too.
 */
/* scope-test: */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif

static int null, shared_fd = -1;
static volatile long rounds;

static int calls(void *argument)
{
    char byte = 'x';
    long n = (long)argument;
    for (long i = 0; i < n; i++) {
        int fd = open("/dev/zero", O_RDONLY);
        if (fd < 0 || read(fd, &byte, 1) != 1 || write(null, &byte, 1) != 1 || close(fd))
            return 90;
        rounds++;
    }
    return 21;
}

static int moves(void *argument)
{
    shared_fd = open("/dev/null", O_RDONLY);
    return chdir("/") == 0 ? 22 : 91;
}

static int status_of(pid_t pid)
{
    int status = -1;
    return waitpid(pid, &status, __WALL) == pid ? status : -2;
}

static pid_t start(int (*run)(void *), int flags, long argument)
{
    enum { STACK = 256 * 1024 };
    char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return clone(run, stack + STACK, flags, (void *)argument);
}

int main(void)
{
    char here[4096] = "", byte = 'y';

    setvbuf(stdout, NULL, _IOLBF, 0);
    null = open("/dev/null", O_WRONLY);
    pid_t pid = start(calls, SIGCHLD, 100);
    printf("own memory: %x\n", status_of(pid));
    pid = start(calls, CLONE_VM | CLONE_VFORK | SIGCHLD, 100);
    int status = status_of(pid);
    printf("this memory, standing still: %x, %ld\n", status, rounds);
    pid = start(calls, CLONE_VM | SIGCHLD, 2000);
    status = status_of(pid);
    printf("this memory, waiting: %x, %ld\n", status, rounds);
    /* Two tasks with the same thread-local storage, both in our code. */
    pid = start(calls, CLONE_VM | CLONE_FILES | SIGCHLD, 3000);
    for (int i = 0; i < 3000; i++)
        write(null, &byte, 1);
    printf("this memory, at once: %x\n", status_of(pid));
    pid = start(moves, CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD, 0);
    printf("descriptors and directory: %x", status_of(pid));
    printf(", %s, %d %d\n", getcwd(here, sizeof(here)), shared_fd, close(shared_fd));
    printf("no signal at the end: %x\n", status_of(start(calls, 0, 10)));
    uint64_t args[11] = {0, 0, 0, 0, SIGCHLD};
    long raw = syscall(SYS_clone3, args, sizeof(args));
    if (raw == 0) {
        write(1, "clone3's child\n", 15);
        _exit(23);
    }
    printf("clone3: %x\n", status_of((pid_t)raw));
    args[0] = CLONE_VM; /* refused: no stack and no signal may be odd, memory shared without a stack
                           not */
    args[4] = 200;
    printf("clone3, refused: %ld\n", syscall(SYS_clone3, args, sizeof(args)));
    for (int i = 0; i < 20; i++) {
        pid = start(calls, i % 2 ? CLONE_VM | CLONE_VFORK | SIGCHLD : SIGCHLD, 10);
        if (status_of(pid) != 21 << 8)
            printf("%d differs\n", i);
    }
    return 0;
}
