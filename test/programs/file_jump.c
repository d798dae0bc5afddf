/*
 * A signal handler that jumps out of file calls, wherever it finds them, thousands of times; and one
 * that makes file calls itself. Nothing is lost of what the program does, and nothing hangs.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static sigjmp_buf out;
static volatile sig_atomic_t jumps, may_jump, handled, wrong;

static void jump(int signal)
{
    (void)signal;
    if (!may_jump)
        return;
    may_jump = 0;
    jumps++;
    siglongjmp(out, 1);
}

static void work(int signal)
{
    struct stat st;
    (void)signal;
    int fd = open("/dev/null", O_WRONLY);
    if (fd >= 0) {
        if (write(fd, "x", 1) != 1 || stat("/", &st))
            wrong = 1;
        close(fd);
        handled++;
    }
}

static void every(long microseconds)
{
    struct itimerval timer = {{0, microseconds}, {0, microseconds}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

int main(void)
{
    int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
    int blocked[2];
    char buffer[256];
    struct stat st;

    /* out of a call that blocks */
    signal(SIGALRM, jump);
    if (pipe(blocked))
        return 1;
    for (volatile int i = 0; i < 50; i++) {
        if (!sigsetjmp(out, 1)) {
            may_jump = 1;
            every(500);
            read(blocked[0], buffer, sizeof(buffer));
        }
    }
    printf("out of a blocked read: %d\n", (int)jumps);

    /* out of anything */
    jumps = 0;
    every(100);
    while (jumps < 2000) {
        if (!sigsetjmp(out, 1))
            may_jump = 1;
        while (may_jump) {
            read(zero, buffer, 1);
            write(null, buffer, 1);
            stat("/", &st);
            lseek(null, 0, SEEK_SET);
        }
    }
    may_jump = 0;
    every(0);
    printf("out of anything: %d\n", (int)jumps);

    /* handlers that make calls while we make some */
    signal(SIGALRM, work);
    every(100);
    long done = 0;
    while (handled < 1000) {
        int fd = open("/dev/null", O_WRONLY);
        if (fd < 0 || write(fd, buffer, sizeof(buffer)) != (ssize_t)sizeof(buffer) || close(fd))
            wrong = 1;
        done++;
    }
    every(0);
    printf("handled %d, wrong %d, done %d\n", (int)handled >= 1000, (int)wrong, done > 0);
    int next = open("/dev/null", O_RDONLY);
    printf("the next descriptor is %d\n", next);
    return 0;
}
