/* Locks its memory again and again after a crowd of threads has come and gone. */
/* scope-test: env=SCOPE_METRICS_PERIOD:10ms */
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { THREADS = 200 };

static pthread_barrier_t all;

static void *thread(void *arg)
{
    write(-1, "", 0);
    pthread_barrier_wait(&all);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    pthread_barrier_init(&all, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], &small, thread, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    int failed = 0;
    for (int i = 0; i < 200; i++) {
        failed += mlockall(MCL_CURRENT) != 0;
        munlockall();
    }
    printf("all or none: %d\n", failed == 0 || failed == 200);
    return 0;
}
