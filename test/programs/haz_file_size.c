/* A limit on the size of files: the signal and the error are the program's own, and there as bare.
 */
/* scope-test: */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int signals;

static void count(int number)
{
    signals++;
}

static void work(int ignored)
{
    struct rlimit limit = {1000, 1000};
    char buffer[600] = {0};

    signal(SIGXFSZ, ignored == 1 ? SIG_IGN : ignored == 2 ? count : SIG_DFL);
    setrlimit(RLIMIT_FSIZE, &limit);
    int fd = open("limited", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    usleep(30000);
    for (int i = 0; i < 4; i++) {
        errno = 0;
        ssize_t n = write(fd, buffer, sizeof(buffer));
        dprintf(1, "wrote %zd %d\n", n, errno);
        usleep(5000);
    }
    dprintf(1, "signals: %d\n", signals);
    exit(0);
}

int main(void)
{
    int status;
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    for (int i = 0; i < 3; i++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            work(i);
        waitpid(pid, &status, 0);
        printf("%d: %x\n", i, status);
    }
    unlink("limited");
    return 0;
}
