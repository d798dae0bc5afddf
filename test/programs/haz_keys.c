/*
 * Thread-specific data: all keys but one, destructors in their order, calls from the last of
 * them, threads that last a millisecond, and a thread that never makes a call.
 */
/* scope-test: */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* One of libc's 1,024 is the library's, as docs/limits.md says. */
enum { KEYS = PTHREAD_KEYS_MAX - 1 };

static pthread_key_t keys[KEYS];
static int made, null;
static long late, silent;

static void destructor(void *value)
{
    struct stat st;
    int fd = open("/dev/zero", O_RDONLY);
    char byte;
    if (read(fd, &byte, 1) == 1 && write(null, &byte, 1) == 1 && stat("/", &st) == 0 &&
        close(fd) == 0)
        __atomic_add_fetch(&late, 1, __ATOMIC_RELAXED);
}

static void *brief(void *arg)
{
    pthread_setspecific(keys[0], arg);
    pthread_setspecific(keys[made - 1], arg);
    usleep(1000);
    return arg;
}

static void *none(void *arg)
{
    __atomic_add_fetch(&silent, 1, __ATOMIC_RELAXED);
    return arg;
}

int main(void)
{
    null = open("/dev/null", O_WRONLY);
    while (made < KEYS && pthread_key_create(&keys[made], destructor) == 0)
        made++;
    printf("keys: %d\n", made);
    for (int round = 0; round < 100; round++) {
        pthread_t threads[40];
        for (int i = 0; i < 40; i++)
            pthread_create(&threads[i], NULL, i % 2 ? brief : none, &threads[i]);
        for (int i = 0; i < 40; i++)
            pthread_join(threads[i], NULL);
    }
    printf("late calls %ld, silent threads %ld\n", late, silent);
    for (int i = 0; i < made; i++)
        pthread_key_delete(keys[i]);
    return 0;
}
