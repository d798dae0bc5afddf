/* File calls where there is little stack: an alternate signal stack, and a coroutine of 4 KiB. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

static int results[16];

static void calls(void)
{
    struct stat st;
    int fd = open("some/deep/file.log", O_RDWR | O_CREAT | O_APPEND, 0600);
    results[0] = fd >= 0;
    results[1] = (int)write(fd, "a line\n", 7);
    results[2] = fstat(fd, &st);
    results[3] = (int)lseek(fd, 0, SEEK_SET);
    results[4] = close(fd);
    results[5] = rename("some/deep/file.log", "some/deep/other");
    results[6] = unlink("some/deep/other");
    results[7] = open("some/deep/missing", O_RDONLY);
    results[8] = (int)write(1, "on little stack\n", 16);
}

static void show(const char *where)
{
    printf("%s:", where);
    for (int i = 0; i < 9; i++)
        printf(" %d", results[i]);
    printf("\n");
    fflush(stdout);
    memset(results, 0, sizeof(results));
}

static void handler(int signal)
{
    (void)signal;
    calls();
}

/* A stack with a page that must not be touched below it. */
static char *guarded(size_t size)
{
    size = (size + 4095) & ~4095ul;
    char *memory =
        mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(memory, 4096, PROT_NONE);
    return memory + 4096;
}

static ucontext_t main_context, small_context;

static void on_small_stack(void)
{
    calls();
}

int main(void)
{
    mkdir("some", 0700);
    mkdir("some/deep", 0700);
    calls(); /* the loader's lazy binding needs its own stack, the first time */
    show("plain");

    /* what the kernel's frame takes, and two KiB for the handler */
    size_t size = getauxval(AT_MINSIGSTKSZ) + 2048;
    stack_t stack = {.ss_sp = guarded(size), .ss_size = (size + 4095) & ~4095ul};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    show("alternate stack");

    getcontext(&small_context);
    small_context.uc_stack.ss_sp = guarded(4096);
    small_context.uc_stack.ss_size = 4096;
    small_context.uc_link = &main_context;
    makecontext(&small_context, on_small_stack, 0);
    swapcontext(&main_context, &small_context);
    show("coroutine");
    rmdir("some/deep");
    rmdir("some");
    return 0;
}
