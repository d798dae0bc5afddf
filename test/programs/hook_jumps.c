/* A signal handler makes watched calls, and now and then jumps out of the one it interrupted. */
/* scope-test: */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile sig_atomic_t fired, may_jump;
static int null;

static void handler(int signal)
{
    int saved = errno, fd = open("/etc/passwd", O_RDONLY);
    char c;
    read(fd, &c, 1);
    write(null, &c, 1);
    close(fd);
    close(-1);
    fired++;
    errno = saved;
    if (may_jump && fired % 5 == 0)
        siglongjmp(back, 1);
}

int main(void)
{
    static char stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | SA_ONSTACK};
    struct itimerval timer = {{0, 200}, {0, 200}};
    null = open("/dev/null", O_WRONLY);
    sigaltstack(&alternate, NULL);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    volatile int wrong = 0, jumps = 0;
    while (fired < 3000) {
        if (sigsetjmp(back, 1))
            jumps++;
        may_jump = 1;
        for (int i = 0; i < 20; i++) {
            errno = 0;
            if (write(null, "0123456789", 10) != 10 || errno != 0)
                wrong++;
            if (close(-1) != -1 || errno != EBADF)
                wrong++;
        }
        may_jump = 0;
    }
    memset(&timer, 0, sizeof(timer));
    setitimer(ITIMER_REAL, &timer, NULL);
    printf("jumped %s, wrong %d\n", jumps > 10 ? "often" : "seldom", wrong);
    return 0;
}
