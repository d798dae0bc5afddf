/* What others may notice of a thread: identity changes, limits, descriptors, signals, counts. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int count_descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static volatile int handled;
static void handle(int number)
{
    (void)number;
    handled++;
}

static int in_child(int (*work)(void))
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        exit(work());
    waitpid(pid, &status, 0);
    return status;
}

static int becomes_nobody(void)
{
    usleep(1000);
    if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
        return errno;
    usleep(1000);
    return getuid() == geteuid() ? 0 : 1;
}

static int closes_everything(void)
{
    usleep(1000);
    for (int i = 3; i < 1024; i++)
        close(i);
    usleep(1000);
    int fd = open("/dev/null", O_RDONLY);
    return fd == 3 ? 0 : fd;
}

static int few_descriptors(void)
{
    struct rlimit few = {3, 3};
    setrlimit(RLIMIT_NOFILE, &few);
    usleep(2000);
    return open("/dev/null", O_RDONLY) < 0 && errno == EMFILE ? 0 : 1;
}

static int few_processes(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_NPROC, &none);
    if (geteuid() == 0 && setuid(65534))
        return 9;
    usleep(2000);
    return fork() < 0 && errno == EAGAIN ? 0 : 1;
}

static int little_memory(void)
{
    struct rlimit little = {64 << 20, 64 << 20};
    setrlimit(RLIMIT_AS, &little);
    usleep(2000);
    return malloc(100 << 20) == NULL ? 0 : 1;
}

static int signals(void)
{
    sigset_t all;
    sigfillset(&all);
    signal(SIGUSR1, handle);
    usleep(2000);
    for (int i = 0; i < 1000; i++)
        kill(getpid(), SIGUSR1);
    /* Blocked here, and in no other thread of ours: it has to wait. */
    sigprocmask(SIG_BLOCK, &all, NULL);
    int before = handled;
    kill(getpid(), SIGUSR1);
    usleep(5000);
    sigset_t waiting;
    sigpending(&waiting);
    return handled == before && sigismember(&waiting, SIGUSR1) ? 0 : 1;
}

static int pipe_end(void)
{
    /* The reader sees the end when the last writer is gone: nobody keeps a copy. */
    int ends[2];
    char c;
    pipe(ends);
    usleep(2000);
    close(ends[1]);
    return read(ends[0], &c, 1) == 0 ? 0 : 1;
}

int main(void)
{
    printf("descriptors: %d\n", count_descriptors());
    usleep(5000);
    printf("descriptors: %d\n", count_descriptors());
    printf("nobody: %d\n", in_child(becomes_nobody));
    printf("closes: %d\n", in_child(closes_everything));
    printf("few descriptors: %d\n", in_child(few_descriptors));
    printf("few processes: %d\n", in_child(few_processes));
    printf("little memory: %d\n", in_child(little_memory));
    printf("signals: %d\n", in_child(signals));
    printf("pipe: %d\n", in_child(pipe_end));
    printf("daemon: ");
    fflush(stdout);
    int ends[2], status;
    char text[32] = "";
    pipe(ends);
    if (fork() == 0) {
        close(ends[0]);
        if (daemon(1, 0) == 0)
            dprintf(ends[1], "from the daemon");
        _exit(0);
    }
    wait(&status);
    close(ends[1]);
    read(ends[0], text, sizeof(text) - 1);
    printf("%d, %s\n", status, text);
    return becomes_nobody();
}
