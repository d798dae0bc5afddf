/* The current directory changes under several threads, is removed, and is left by descriptor. */
/* scope-test: */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void *to_and_fro(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        if (chdir(i % 2 ? "/" : "/usr/lib") != 0)
            printf("lost\n");
        close(open("etc/passwd", O_RDONLY));
    }
    return NULL;
}

int main(void)
{
    char path[4096], *end;
    getcwd(path, sizeof(path));
    int here = open(".", O_RDONLY | O_DIRECTORY);
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, to_and_fro, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    printf("back %d\n", fchdir(here));
    mkdir("gone", 0700);
    chdir("gone");
    printf("removed %d\n", rmdir("../gone"));
    errno = 0;
    int fd = open("file", O_WRONLY | O_CREAT, 0600);
    printf("open %d %s\n", fd, strerror(errno));
    printf("away %d %s\n", chdir("/no/such/place"), strerror(errno));
    fchdir(here);
    fd = open("file", O_WRONLY | O_CREAT, 0600);
    printf("open %d\n", fd >= 0);
    return 0;
}
