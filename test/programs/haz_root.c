/*
 * The root directory changes: programs in the new root start without a complaint of their loader,
 * and what changed it goes on. scope-test:
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void work(int how)
{
    if (chroot("root") || chdir("/")) {
        printf("no chroot: %d\n", errno);
        exit(1);
    }
    FILE *f = fopen("/inside", "w");
    fprintf(f, "%d\n", how);
    printf("inside: %d\n", fclose(f));
    fflush(stdout);
    if (how == 1)
        execl("/echo", "echo", "from the new root", (char *)NULL);
    if (how == 2 && vfork() == 0) {
        execl("/echo", "echo", "after vfork", (char *)NULL);
        _exit(7);
    }
    if (how == 2)
        wait(NULL);
    if (how == 3)
        execlp("busybox", "busybox", "echo", "static", (char *)NULL);
    if (how == 4) {
        printf("buffered\n");
        exit(execl("/missing", "missing", (char *)NULL) + 5);
    }
    exit(3);
}

int main(void)
{
    int status;
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* A root with a program, its loader and libc, and nothing else. */
    if (geteuid() != 0 ||
        system("mkdir root root/bin && cp /bin/echo root/ && cp $(command -v busybox) root/bin/ && "
               "for f in $(ldd /bin/echo | grep -o '/[^ ]*'); do mkdir -p root${f%/*} && cp $f "
               "root$f; done")) {
        printf("no root of our own\n");
        return 0;
    }
    setenv("PATH", "/bin", 1);
    for (int how = 0; how < 5; how++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            work(how);
        waitpid(pid, &status, 0);
        printf("%d: %x\n", how, status);
    }
    setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
    printf("removed: %d\n", system("rm -r root"));
    return 0;
}
