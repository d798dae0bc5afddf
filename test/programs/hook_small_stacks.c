/* Watched calls on the smallest stacks: a signal's 2 KiB beyond its frame, a thread's minimum. */
/* scope-test: */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

static void calls(void)
{
    char c;
    int fd = open("/dev/zero", O_RDONLY);
    read(fd, &c, 1);
    close(fd);
    int ends[2];
    pipe(ends);
    write(ends[1], "x", 1);
    close(ends[0]);
    close(ends[1]);
    write(1, "done\n", 5);
}

static void handler(int signal)
{
    calls();
}

static void *thread(void *arg)
{
    calls();
    return NULL;
}

/* A stack that ends in a page that cannot be touched. */
static void *guarded(size_t size)
{
    size = (size + 4095) & ~4095UL;
    char *p = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(p, 4096, PROT_NONE);
    return p + 4096;
}

int main(void)
{
    size_t least = getauxval(AT_MINSIGSTKSZ) ? getauxval(AT_MINSIGSTKSZ) : 2048;
    size_t size = ((least + 2048) + 4095) & ~4095UL;
    stack_t s = {.ss_sp = guarded(size), .ss_size = size};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    sigaltstack(&s, NULL);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN);
    pthread_t t;
    if (pthread_create(&t, &attributes, thread, NULL) == 0)
        pthread_join(t, NULL);
    static ucontext_t here, there;
    getcontext(&there);
    there.uc_stack.ss_sp = guarded(4096);
    there.uc_stack.ss_size = 4096;
    there.uc_link = &here;
    makecontext(&there, calls, 0);
    swapcontext(&here, &there);
    printf("back\n");
    return 0;
}
