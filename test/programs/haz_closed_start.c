/* Starts with 0, 1 and 2 closed, and with descriptors that close all over: new files get the
 * numbers. */
/* scope-test: */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int work(void)
{
    int out = open("/proc/self/fd/9", O_WRONLY);
    int first = open("numbers", O_RDWR | O_CREAT | O_TRUNC, 0600);
    dprintf(9, "numbers %d %d\n", out, first);
    printf("to descriptor one\n"); /* which is the file */
    fprintf(stderr, "to descriptor two\n");
    fflush(NULL);
    usleep(3000);
    int second = dup(first);
    dprintf(9, "then %d, size %ld\n", second, (long)lseek(first, 0, SEEK_END));
    int status = system("echo text; exit 3");
    dprintf(9, "system %x\n", status);
    if (fork() == 0) {
        close(0);
        close(1);
        close(2);
        execl("/bin/sh", "sh", "-c", "echo a word >&9; exit 4", (char *)NULL);
        _exit(5);
    }
    wait(&status);
    dprintf(9, "child %x\n", status);
    unlink("numbers");
    return 0;
}

int main(int argc, char **argv)
{
    int status;
    if (argc > 1)
        return work();
    for (int closed = 0; closed < 8; closed++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            dup2(1, 9);
            for (int i = 0; i < 3; i++)
                if (closed & 1 << i)
                    close(i);
                else
                    dup2(open("/dev/null", O_RDWR | O_CLOEXEC), i);
            execl("/proc/self/exe", argv[0], "work", (char *)NULL);
            _exit(9);
        }
        waitpid(pid, &status, 0);
        printf("%d: %x\n", closed, status);
    }
    return 0;
}
