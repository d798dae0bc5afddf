/*
 * Green threads: a thousand coroutines on stacks of 8 KiB that make calls between their turns and
 * move between two threads; and some that a signal takes the processor from in the middle of a
 * call.
 */
/* scope-test: */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

enum { MANY = 1000, SMALL = 8192, FEW = 6 };

static ucontext_t back, routine[MANY];
static int left[MANY], null, zero;
static long made, wrong;

static void *stack_of(size_t size)
{
    char *p = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(p, 4096, PROT_NONE);
    return p + 4096;
}

static void turn(int i)
{
    for (left[i] = 4; left[i] > 0; left[i]--) {
        char byte = (char)i;
        int fd = open("/dev/zero", O_RDONLY);
        if (fd < 0 || read(fd, &byte, 1) != 1 || write(null, &byte, 1) != 1 || close(fd))
            wrong++;
        made++;
        swapcontext(&routine[i], &back);
    }
}

static void *resume_all(void *arg)
{
    for (int i = 0; i < MANY; i++) {
        if (left[i] > 0)
            swapcontext(&back, &routine[i]);
    }
    return arg;
}

/* ------------------------------------------------------------------ the processor is taken away */

static ucontext_t green[FEW];
static volatile long work[FEW];
static volatile int current, preempts, stop;

static void preempt(int number)
{
    int from = current, to = (from + 1) % FEW;
    (void)number;
    preempts++;
    current = to;
    swapcontext(&green[from], &green[to]);
}

/* A context starts with the signal blocked: one that comes before the stack is changed is lost. */
static void alarms(int how)
{
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    sigprocmask(how, &alarm, NULL);
}

static void spin(int i)
{
    char byte;
    alarms(SIG_UNBLOCK);
    while (!stop) {
        int fd = open("/dev/null", O_WRONLY);
        if (fd < 0 || write(fd, "x", 1) != 1 || read(zero, &byte, 1) != 1 || close(fd))
            wrong++;
        work[i]++;
        if (preempts >= 2000)
            stop = 1;
    }
    alarms(SIG_BLOCK);
    setcontext(&back);
}

int main(void)
{
    null = open("/dev/null", O_WRONLY);
    zero = open("/dev/zero", O_RDONLY);
    for (int i = 0; i < MANY; i++) {
        getcontext(&routine[i]);
        routine[i].uc_stack.ss_sp = stack_of(SMALL);
        routine[i].uc_stack.ss_size = SMALL;
        routine[i].uc_link = &back;
        makecontext(&routine[i], (void (*)(void))turn, 1, i);
        left[i] = 1;
    }
    for (int round = 0; round < 6; round++) {
        pthread_t thread;
        if (round % 2 == 0) {
            resume_all(NULL);
        } else {
            pthread_create(&thread, NULL, resume_all, NULL);
            pthread_join(thread, NULL);
        }
    }
    printf("turns %ld, wrong %ld\n", made, wrong);

    struct sigaction action = {.sa_handler = preempt, .sa_flags = SA_RESTART};
    struct itimerval every = {{0, 200}, {0, 200}};
    volatile int started = 0;
    sigaction(SIGALRM, &action, NULL);
    alarms(SIG_BLOCK);
    for (int i = 0; i < FEW; i++) {
        getcontext(&green[i]);
        green[i].uc_stack.ss_sp = stack_of(65536);
        green[i].uc_stack.ss_size = 65536;
        green[i].uc_link = NULL;
        makecontext(&green[i], (void (*)(void))spin, 1, i);
    }
    getcontext(&back);
    if (!started) {
        started = 1;
        setitimer(ITIMER_REAL, &every, NULL);
        setcontext(&green[0]);
    }
    memset(&every, 0, sizeof(every));
    setitimer(ITIMER_REAL, &every, NULL);
    int busy = 0;
    for (int i = 0; i < FEW; i++)
        busy += work[i] > 0;
    printf("preempted %s, busy %d, wrong %ld\n", preempts >= 2000 ? "often" : "seldom", busy,
           wrong);
    return 0;
}
