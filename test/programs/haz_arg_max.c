/*
 * As many arguments as the kernel takes, with an environment of nothing: what we add for the child
 * must not make it too much.
 */
/* scope-test: */
#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char *none[] = {NULL};

static int try(size_t n, int how)
{
    static char **args;
    pid_t pid;
    int status = 0;

    args = realloc(args, (n + 2) * sizeof(*args));
    args[0] = "true";
    for (size_t i = 1; i <= n; i++)
        args[i] = "argument";
    args[n + 1] = NULL;
    if (how == 1)
        return posix_spawn(&pid, "/bin/true", NULL, NULL, args, none) == 0 &&
               waitpid(pid, &status, 0) == pid && status == 0;
    pid = how ? vfork() : fork();
    if (pid == 0) {
        execve("/bin/true", args, none);
        _exit(errno == E2BIG ? 7 : 8);
    }
    waitpid(pid, &status, 0);
    if (status && WEXITSTATUS(status) != 7)
        printf("failed otherwise: %x\n", status);
    return status == 0;
}

int main(void)
{
    struct rlimit stack = {1 << 20, RLIM_INFINITY};

    setrlimit(RLIMIT_STACK, &stack); /* a quarter of it is what arguments may take */
    for (int how = 0; how < 3; how++) {
        size_t good = 0, bad = 1 << 20;
        while (bad - good > 1) {
            size_t middle = (good + bad) / 2;
            if (try(middle, how))
                good = middle;
            else
                bad = middle;
        }
        printf("%d: %zu arguments\n", how, good);
    }
    return 0;
}
