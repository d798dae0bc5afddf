/*
 * Exits nobody plans: while other threads are in the middle of calls, in a signal handler that
 * interrupts a call, twice, from handlers that make calls, and by several threads at once.
 */
/* scope-test: */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void *busy(void *arg)
{
    int null = open("/dev/null", O_WRONLY);
    char byte = 'x';
    for (;;) {
        write(null, &byte, 1);
        close(open("/dev/zero", O_RDONLY));
    }
    return arg;
}

static void *blocked(void *arg)
{
    int ends[2];
    char byte;
    pipe(ends);
    read(ends[0], &byte, 1);
    return arg;
}

static void *leaves(void *arg)
{
    usleep(1000);
    _exit((int)(long)arg);
}

static void threads(int n, void *(*run)(void *), void *arg)
{
    pthread_t thread;
    while (n--)
        pthread_create(&thread, NULL, run, arg);
    usleep(1000);
}

static void from_handler(int number)
{
    (void)number;
    exit(31);
}

static void quits(int number)
{
    (void)number;
    _exit(32);
}

static void last_calls(void)
{
    int ends[2];
    char text[32] = "";
    pipe(ends);
    write(ends[1], "from a handler", 14);
    read(ends[0], text, sizeof(text) - 1);
    FILE *f = fopen("left", "w");
    fprintf(f, "%s\n", text);
    fclose(f);
    printf("%s\n", text);
}

static void again(void)
{
    exit(33); /* from a handler: goes on with the next one */
}

static void with_argument(int status, void *arg)
{
    dprintf(1, "status %d, %s\n", status, (char *)arg);
}

static void alarms(void (*handler)(int))
{
    struct itimerval soon = {{0, 500}, {0, 3000}};
    signal(SIGALRM, handler);
    setitimer(ITIMER_REAL, &soon, NULL);
    busy(NULL);
}

static void way(int n)
{
    switch (n) {
    case 0:
        threads(6, busy, NULL);
        exit(20);
    case 1:
        threads(6, busy, NULL);
        _exit(21);
    case 2:
        threads(6, blocked, NULL);
        exit(22);
    case 3:
        alarms(from_handler);
        break;
    case 4:
        alarms(quits);
        break;
    case 5:
        threads(2, busy, NULL);
        alarms(from_handler);
        break;
    case 6:
        atexit(last_calls);
        atexit(again);
        exit(23);
    case 7:
        on_exit(with_argument, "an argument");
        exit(24);
    case 8:
        threads(4, leaves, (void *)25L);
        busy(NULL);
        break;
    case 9:
        errx(26, "said by errx");
    case 10:
        threads(3, busy, NULL);
        raise(SIGKILL);
        break;
    case 11:
        threads(3, busy, NULL);
        abort();
    case 12:
        threads(3, busy, NULL);
        execl("/bin/sh", "sh", "-c", "exit 27", (char *)NULL);
        break;
    }
    exit(99);
}

int main(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    for (int round = 0; round < 2; round++) {
        for (int n = 0; n < 13; n++) {
            int status = -1;
            fflush(stdout);
            pid_t pid = fork();
            if (pid == 0)
                way(n);
            waitpid(pid, &status, 0);
            printf("way %d: %x\n", n, status);
        }
    }
    return 0;
}
