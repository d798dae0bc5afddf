/* fork: a chain, a crowd, from a busy threaded process, _Fork and clone. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int status_of(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

/* Each forks the next and waits for it: the depth comes back as a status. */
static int chain(int depth)
{
    if (!depth)
        return 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(chain(depth - 1) == 0 ? 0 : 1);
    return pid < 0 ? 2 : status_of(pid);
}

static volatile int stop;
static void *busy(void *unused)
{
    char byte;
    int pipes[2];
    if (pipe(pipes))
        return NULL;
    while (!stop) {
        free(malloc(100));
        write(pipes[1], "x", 1);
        read(pipes[0], &byte, 1);
    }
    close(pipes[0]);
    close(pipes[1]);
    return unused;
}

static int in_clone(void *argument)
{
    dprintf(1, "clone's child: %s\n", (char *)argument);
    return 12;
}

static int in_shared(void *argument)
{
    *(int *)argument = 77;
    return 13;
}

extern pid_t _Fork(void) __attribute__((weak));

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("chain: %d\n", chain(200));

    pid_t crowd[50];
    for (int i = 0; i < 50; i++) {
        crowd[i] = fork();
        if (crowd[i] == 0)
            _exit(i);
    }
    int sum = 0;
    for (int i = 0; i < 50; i++)
        sum += status_of(crowd[i]);
    printf("crowd: %d\n", sum);

    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, busy, NULL);
    int good = 0;
    for (int i = 0; i < 100; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            char *memory = malloc(1000);
            memset(memory, 1, 1000);
            usleep(i % 10 == 0 ? 2000 : 0);
            _exit(memory[999]);
        }
        good += status_of(pid) == 1;
    }
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("from a busy process: %d\n", good);

    if (_Fork) {
        pid_t pid = _Fork();
        if (pid == 0) {
            dprintf(1, "_Fork's child\n");
            _exit(11);
        }
        printf("_Fork: %d\n", status_of(pid));
    }
    static char stack[65536] __attribute__((aligned(64)));
    pid_t pid = clone(in_clone, stack + sizeof(stack), SIGCHLD, "hello");
    printf("clone: %d\n", status_of(pid));
    int shared = 0;
    pid = clone(in_shared, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, &shared);
    printf("clone with this memory: %d, %d\n", status_of(pid), shared);
    pid_t raw = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (raw == 0) {
        dprintf(1, "raw clone's child\n");
        _exit(14);
    }
    printf("raw: %d\n", status_of(raw));
    return 0;
}
