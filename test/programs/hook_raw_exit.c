/* The main thread ends by a raw exit call: its status is the process's, and no handler runs. */
/* scope-test: */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void never(void)
{
    write(1, "handler\n", 8);
}

static void *outlive(void *arg)
{
    usleep(30000);
    write(1, "other thread\n", 13);
    return NULL;
}

static void alone(void)
{
    syscall(SYS_exit, 6);
}

static void with_another(void)
{
    pthread_t t;
    pthread_create(&t, NULL, outlive, NULL);
    syscall(SYS_exit, 7);
}

static void child(void (*what)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        poll(NULL, 0, 20);
        what();
    }
    waitpid(pid, &status, 0);
    printf("status %x\n", status);
    fflush(stdout);
}

int main(void)
{
    atexit(never);
    child(alone);
    child(with_another);
    with_another();
}
