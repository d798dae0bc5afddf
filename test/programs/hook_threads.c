/* Threads that live a moment, and write again in every round of their keys' destructors. */
/* scope-test: unordered */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_key_t keys[3];
static int null;
static int rounds;

static void again(void *value)
{
    long n = (long)value;
    write(null, "late", 4);
    __atomic_fetch_add(&rounds, 1, __ATOMIC_RELAXED);
    if (n > 1)
        pthread_setspecific(keys[n % 3], (void *)(n - 1));
}

static void *live(void *arg)
{
    for (int i = 0; i < 3; i++)
        pthread_setspecific(keys[i], (void *)3L);
    write(null, "x", 1);
    if ((long)arg % 100 == 0)
        printf("thread %ld\n", (long)arg);
    return arg;
}

int main(void)
{
    null = open("/dev/null", O_WRONLY);
    for (int i = 0; i < 3; i++)
        pthread_key_create(&keys[i], again);
    for (long i = 0; i < 2000; i += 8) {
        pthread_t t[8];
        int made[8];
        for (long k = 0; k < 8; k++)
            made[k] = pthread_create(&t[k], NULL, live, (void *)(i + k)) == 0;
        for (long k = 0; k < 8; k++) {
            void *r = NULL;
            if (made[k])
                pthread_join(t[k], &r);
            if (r != (void *)(i + k))
                printf("thread %ld returned %ld\n", i + k, (long)r);
        }
    }
    printf("destructors: %s\n", rounds >= 2000 * 3 ? "all" : "some");
    return 0;
}
