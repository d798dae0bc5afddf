/* Every way to end, each in a child: the parent tells what it saw of it. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void at_exit_writes(void)
{
    printf("handler after main\n");
    dprintf(1, "straight from the handler\n");
}

static void quick(void)
{
    write(1, "quick handler\n", 14);
}

static void *leave(void *status)
{
    exit((int)(long)status);
}

static void *work(void *unused)
{
    usleep(20000);
    printf("worker goes last\n");
    return unused;
}

static void from_handler(int number)
{
    exit(number == SIGUSR1 ? 41 : 42);
}

static sigjmp_buf back;
static void jump(int number)
{
    siglongjmp(back, number);
}

static void way(int n)
{
    pthread_t t;
    switch (n) {
    case 0:
        printf("buffered until the end\n");
        exit(3);
    case 1:
        printf("never written\n");
        _exit(4);
    case 2:
        _Exit(5);
    case 3:
        at_quick_exit(quick);
        quick_exit(6);
    case 4:
        abort();
    case 5:
        pthread_create(&t, NULL, leave, (void *)7);
        pause();
        break;
    case 6:
        pthread_create(&t, NULL, work, NULL);
        pthread_exit(NULL);
    case 7:
        signal(SIGUSR1, from_handler);
        raise(SIGUSR1);
        break;
    case 8:
        *(volatile int *)8 = 1;
        break;
    case 9:
        kill(getpid(), SIGKILL);
        break;
    case 10:
        atexit(at_exit_writes);
        exit(8);
    case 11: /* abort that does not end it */
        signal(SIGABRT, jump);
        if (!sigsetjmp(back, 1))
            abort();
        printf("back from abort\n");
        exit(9);
    case 12: /* pthread_exit by main, alone */
        printf("main leaves\n");
        pthread_exit(NULL);
    case 13:
        raise(SIGTERM);
        break;
    }
    exit(99);
}

int main(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    for (int n = 0; n < 14; n++) {
        int status;
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            way(n);
        if (waitpid(pid, &status, 0) != pid)
            return 1;
        if (WIFEXITED(status))
            printf("way %d: status %d\n", n, WEXITSTATUS(status));
        else
            printf("way %d: signal %d\n", n, WTERMSIG(status));
    }
    return 0;
}
