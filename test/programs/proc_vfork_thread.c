/* The first thing that a thread does is vfork: the child opens a file, then the parent another. */
/* scope-test: */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void *thread(void *arg)
{
    int status = -1;
    pid_t pid = vfork();
    if (pid == 0) {
        close(open("of-the-child", O_CREAT | O_RDWR, 0600));
        _exit(3);
    }
    close(open("of-the-parent", O_CREAT | O_RDWR, 0600));
    waitpid(pid, &status, 0);
    dprintf(1, "child %d\n", WEXITSTATUS(status));
    return NULL;
}

int main(void)
{
    pthread_t t;
    pthread_create(&t, NULL, thread, NULL);
    pthread_join(t, NULL);
    return 0;
}
