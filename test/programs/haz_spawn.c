/* posix_spawn with every file action and attribute, from threads, with the environment as it is. */
/* scope-test: */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int wait_for(pid_t pid)
{
    int status = -1;
    return waitpid(pid, &status, 0) == pid ? status : -2;
}

static void actions(void)
{
    posix_spawn_file_actions_t a;
    posix_spawnattr_t attr;
    sigset_t set;
    pid_t pid = 0;
    char *const args[] = {
        "sh", "-c",
        "cat <&5; pwd | sed 's,.*/,,'; echo out >&6; ls /proc/self/fd | wc -w; "
        "grep -E 'SigBlk|SigIgn' /proc/self/status | sed 's/.*\\(.......\\)$/\\1/'; echo to one",
        NULL};

    int fd = open("input", O_CREAT | O_WRONLY, 0600);
    write(fd, "the input\n", 10);
    close(fd);
    mkdir("elsewhere", 0700);
    posix_spawn_file_actions_init(&a);
    posix_spawn_file_actions_addopen(&a, 5, "input", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&a, 6, "output", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&a, 6, 40);
    posix_spawn_file_actions_addclose(&a, 40);
    posix_spawn_file_actions_addchdir_np(&a, "elsewhere");
#if __GLIBC_PREREQ(2, 34)
    posix_spawn_file_actions_addclosefrom_np(&a, 7);
#endif
    posix_spawnattr_init(&attr);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    posix_spawnattr_setsigmask(&attr, &set);
    sigaddset(&set, SIGPIPE);
    posix_spawnattr_setsigdefault(&attr, &set);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                        POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_RESETIDS);
    signal(SIGPIPE, SIG_IGN);
    int r = posix_spawn(&pid, "/bin/sh", &a, &attr, args, environ);
    printf("spawn: %d, status %d\n", r, wait_for(pid));

    /* An action that fails fails the call, or the child with 127, as libc does it. */
    posix_spawn_file_actions_addopen(&a, 8, "/nonexistent/file", O_RDONLY, 0);
    pid = -7;
    r = posix_spawn(&pid, "/bin/sh", &a, &attr, args, environ);
    printf("failed action: %d\n", r);
    posix_spawn_file_actions_destroy(&a);
    posix_spawnattr_destroy(&attr);
    signal(SIGPIPE, SIG_DFL);
    unlink("input");
    unlink("output");
    rmdir("elsewhere");
}

static void *many(void *arg)
{
    char *const args[] = {"true", NULL};
    long good = 0;
    for (int i = 0; i < 15; i++) {
        pid_t pid;
        if (posix_spawnp(&pid, "true", NULL, NULL, args, i % 2 ? environ : NULL) == 0)
            good += wait_for(pid) == 0;
    }
    return (void *)good;
}

int main(void)
{
    pthread_t threads[4];
    void *result;
    long good = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    actions();
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, many, NULL);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &result);
        good += (long)result;
    }
    printf("spawned by threads: %ld\n", good);
    FILE *p = popen("cat >&2; exit 4", "w");
    fputs("through popen\n", p);
    printf("pclose: %d\n", pclose(p));
    p = popen("echo from popen; exit 5", "re");
    char line[40] = "";
    printf("popen: %s", fgets(line, sizeof(line), p));
    printf("pclose: %d\n", pclose(p));
    errno = 0;
    p = popen("true", "x");
    printf("popen: %d, %d\n", p == NULL, errno);
    return 0;
}
