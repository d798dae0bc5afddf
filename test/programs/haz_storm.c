/*
 * Three threads, each under a storm of signals of its own, delivered to an alternate stack. The
 * handlers jump out of open, read, write, close and send wherever they find them, or make calls
 * themselves first. scope-test:
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { JUMPS = 1500 };

static __thread sigjmp_buf out;
static __thread volatile sig_atomic_t may_jump, jumps;
static __thread int mode, zero, null, pair[2];

static void handler(int number)
{
    struct stat st;
    char byte;

    (void)number;
    if (mode == 1 && (stat("/", &st) || read(zero, &byte, 1) != 1))
        abort();
    if (!may_jump)
        return;
    may_jump = 0;
    jumps++;
    siglongjmp(out, 1);
}

static void calls(void)
{
    char buffer[64] = "";
    /* A jump may leave it open: as many as there are jumps, at most. */
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    read(zero, buffer, sizeof(buffer));
    write(null, buffer, sizeof(buffer));
    send(pair[0], buffer, 1, MSG_DONTWAIT);
    recv(pair[1], buffer, 1, MSG_DONTWAIT);
    lseek(zero, 0, SEEK_SET);
}

static void *run(void *arg)
{
    long which = (long)arg;
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    struct itimerspec every = {{0, 70000 + which * 7000}, {0, 70000 + which * 7000}};
    timer_t timer;

    mode = which == 1;
    zero = open("/dev/zero", O_RDONLY);
    null = open("/dev/null", O_WRONLY);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    sigaltstack(&stack, NULL);
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &every, NULL))
        return NULL;
    while (jumps < JUMPS) {
        if (!sigsetjmp(out, 1))
            may_jump = 1;
        while (may_jump)
            calls();
    }
    timer_delete(timer);
    return (void *)(long)jumps;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    pthread_t threads[3];
    void *result;

    sigaction(SIGUSR1, &action, NULL);
    for (long i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, run, (void *)i);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], &result);
        printf("thread %d: %s\n", i, (long)result >= JUMPS ? "jumped" : "no");
    }
    /* What comes after is as if nothing had been. */
    char text[16] = "";
    FILE *f = fopen("after", "w+");
    fprintf(f, "%d lines\n", 1);
    rewind(f);
    printf("after: %s", fgets(text, sizeof(text), f));
    fclose(f);
    return 0;
}
