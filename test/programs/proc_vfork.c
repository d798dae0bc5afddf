/* vfork: the child runs on the parent's memory, writes there, fails an exec, and execs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int seen;

static int once(int how)
{
    char *const args[] = {"sh", "-c", "exit 5", NULL};
    char *const no_env[] = {NULL};
    int status = -1;
    pid_t pid = vfork();
    if (pid == 0) {
        seen++;
        if (how == 0)
            _exit(3);
        if (how == 1) {
            execve("/nonexistent/program", args, no_env);
            _exit(errno == ENOENT ? 4 : 98);
        }
        if (how == 2)
            execve("/bin/sh", args, no_env);
        if (how == 3)
            execvp("sh", args);
        if (how == 4) {
            dup2(2, 17);
            close(17);
            execl("/bin/sh", "sh", "-c", "exit 6", (char *)NULL);
        }
        _exit(97);
    }
    if (waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

int main(void)
{
    for (int i = 0; i < 60; i++) {
        int r = once(i % 5);
        if (i < 5)
            printf("%d: %d\n", i, r);
        else if (r != (int[]){3, 4, 5, 5, 6}[i % 5])
            printf("%d differs: %d\n", i, r);
    }
    printf("children: %d, descriptor 17: %d\n", seen, dup2(17, 18));
    return 0;
}
