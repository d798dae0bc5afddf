/* A chain of a thousand forks, each made by the one before; then double forks that leave orphans.
 */
/* scope-test: */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int status_of(pid_t pid)
{
    int status = 0;
    if (waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

int main(void)
{
    int ends[2];
    char text[64] = "";

    if (pipe(ends))
        return 1;
    /* Whoever has forked leaves: a chain of living ones costs the kernel the square of its length.
     */
    pid_t first = fork();
    if (first == 0) {
        for (int depth = 1; depth < 1000; depth++) {
            pid_t next = fork();
            if (next)
                _exit(next < 0);
        }
        _exit(write(ends[1], "the thousandth is here", 22) != 22);
    }
    close(ends[1]);
    printf("the first one said %d\n", status_of(first));
    while (read(ends[0], text + strlen(text), 32 - strlen(text)) > 0)
        ;
    printf("%s\n", text);
    fflush(stdout);
    close(ends[0]);
    if (pipe(ends))
        return 1;
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (fork() == 0) {
                setsid();
                usleep(1000);
                _exit(write(ends[1], "o", 1) != 1);
            }
            _exit(0);
        }
        if (status_of(pid) != 0)
            printf("the middle one failed\n");
    }
    close(ends[1]);
    int orphans = 0;
    char byte;
    while (read(ends[0], &byte, 1) == 1)
        orphans++;
    printf("orphans: %d\n", orphans);
    return 0;
}
