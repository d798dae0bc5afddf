/*
 * Sandboxes that let through what this program itself calls, and kill for anything else. A forked
 * one, one with threads, one that binds all threads, and strict mode.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALLOW(number)                                        \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##number, 0, 1), \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int sandbox(unsigned flags)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(write),
        ALLOW(read),
        ALLOW(exit),
        ALLOW(exit_group),
        ALLOW(rt_sigreturn),
        ALLOW(newfstatat),
        ALLOW(brk),
        ALLOW(rt_sigprocmask),
        ALLOW(madvise),
        ALLOW(munmap),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return 1;
    if (flags)
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) ? errno : 0;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? errno : 0;
}

static int in_child(int how)
{
    int status;
    char text[] = "written in the sandbox\n";
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (how == 1)
            usleep(2000);
        int r = how == 4   ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)
                : how == 2 ? sandbox(SECCOMP_FILTER_FLAG_TSYNC)
                           : sandbox(0);
        if (r)
            _exit(50);
        write(1, text, strlen(text));
        if (how == 4)
            syscall(SYS_exit, 6);
        if (how == 3) {
            printf("buffered in the sandbox\n");
            exit(7);
        }
        _exit(5);
    }
    waitpid(pid, &status, 0);
    return status;
}

int main(void)
{
    char line[] = "here too\n";
    printf("plain: %d\n", in_child(0));
    printf("after a wait: %d\n", in_child(1));
    printf("all threads: %d\n", in_child(2));
    printf("exit: %d\n", in_child(3));
    printf("strict: %d\n", in_child(4));
    fflush(stdout);
    sandbox(0);
    for (int i = 0; i < 1000; i++)
        write(1, line, strlen(line));
    printf("the end\n");
    return 3;
}
