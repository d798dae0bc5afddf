/*
 * Descriptors that one thread closes while another uses them, and whose numbers are taken again at
 * once; thousands of threads that live for one call.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { ROUNDS = 3000, SHORT_THREADS = 2000 };

static volatile int number = -1, stop;

static void *use(void *unused)
{
    char buffer[16];
    while (!stop) {
        int fd = number;
        if (fd >= 0 && read(fd, buffer, sizeof(buffer)) < 0 && errno != EBADF && errno != EAGAIN &&
            errno != EISDIR)
            printf("read: errno %d\n", errno);
    }
    return unused;
}

static void *once(void *unused)
{
    int fd = open("/dev/null", O_WRONLY);
    if (fd < 0 || write(fd, "x", 1) != 1 || close(fd))
        printf("a short thread failed: errno %d\n", errno);
    return unused;
}

int main(void)
{
    pthread_t user;
    pthread_create(&user, NULL, use, NULL);
    int first = -1, same = 0;
    for (int i = 0; i < ROUNDS; i++) {
        int ends[2] = {-1, -1}, fd;
        switch (i % 3) {
        case 0:
            fd = open("/dev/zero", O_RDONLY);
            break;
        case 1:
            fd = open("/", O_RDONLY | O_DIRECTORY);
            break;
        default:
            pipe2(ends, O_NONBLOCK);
            fd = ends[0];
        }
        if (first < 0)
            first = fd;
        same += fd == first;
        number = fd;
        close(fd);
        if (ends[1] >= 0)
            close(ends[1]);
    }
    number = -1;
    stop = 1;
    pthread_join(user, NULL);
    printf("the same number every time: %d\n", same == ROUNDS);
    for (int i = 0; i < SHORT_THREADS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, once, NULL))
            return 1;
        pthread_join(thread, NULL);
    }
    int fd = open("/dev/null", O_RDONLY);
    printf("the next number: %d\n", fd == first);
    return 0;
}
