/* Calls that need a process of one thread, and what follows them. scope-test: unordered */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int in_child(int (*work)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        exit(work());
    waitpid(pid, &status, 0);
    return status;
}

static int user(void)
{
    usleep(1000); /* lets a reporter start */
    if (unshare(CLONE_NEWUSER) != 0)
        return errno;
    usleep(1000);
    FILE *f = fopen("made", "w");
    fprintf(f, "in a user namespace\n");
    fclose(f);
    return 0;
}

static int again(void)
{
    for (int i = 0; i < 20; i++) {
        if (unshare(CLONE_NEWUSER) != 0)
            return errno == EUSERS || errno == ENOSPC ? 0 : errno;
        usleep(500);
    }
    return 0;
}

static int mount(void)
{
    int fd = open("/proc/self/ns/mnt", O_RDONLY);
    if (unshare(CLONE_NEWNS) != 0)
        return errno;
    usleep(1000);
    return setns(fd, CLONE_NEWNS) == 0 ? 0 : errno;
}

static int processes(void)
{
    if (unshare(CLONE_NEWPID) != 0)
        return errno;
    usleep(1000);
    pid_t pid = fork();
    if (pid == 0)
        _exit(getpid() == 1 ? 5 : 6);
    int status;
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

static int files(void)
{
    return unshare(CLONE_FILES | CLONE_FS) == 0 ? 0 : errno;
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("user: %d\n", in_child(user));
    printf("again: %d\n", in_child(again));
    printf("mount: %d\n", in_child(mount));
    printf("processes: %d\n", in_child(processes));
    printf("files: %d\n", in_child(files));
    printf("here: %d\n", user());
    return 0;
}
