/* Locks all of its memory, now and in future, and goes on, with threads. */
/* scope-test: */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *thread(void *arg)
{
    write(1, "thread\n", 7);
    return NULL;
}

static long resident(void)
{
    long size = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    fscanf(f, "%ld %ld", &size, &pages);
    fclose(f);
    return pages * 4;
}

int main(void)
{
    pthread_t t;
    long before = resident();
    int r = mlockall(MCL_CURRENT | MCL_FUTURE);
    printf("locked %d %s\n", r, r ? strerror(errno) : "");
    printf("grown by more than 32 MiB: %d\n", resident() - before > 32768);
    for (int i = 0; i < 3; i++) {
        if (pthread_create(&t, NULL, thread, NULL) == 0)
            pthread_join(t, NULL);
    }
    printf("unlocked %d\n", munlockall());
    return 0;
}
