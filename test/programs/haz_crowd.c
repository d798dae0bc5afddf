/* Ten thousand threads alive at once, each with a call before and after they all are there. */
/* scope-test: */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { THREADS = 10000, STACK = 32768 };

static pthread_t threads[THREADS];
static pthread_rwlock_t gate = PTHREAD_RWLOCK_INITIALIZER;
static int null;
static long before, after;

static void *live(void *arg)
{
    char byte = 'x';
    if (write(null, &byte, 1) == 1)
        __atomic_add_fetch(&before, 1, __ATOMIC_RELAXED);
    pthread_rwlock_rdlock(&gate);
    if (write(null, &byte, 1) == 1)
        __atomic_add_fetch(&after, 1, __ATOMIC_RELAXED);
    pthread_rwlock_unlock(&gate);
    return arg;
}

int main(void)
{
    pthread_attr_t attr;
    /* One mapping for all stacks: thousands of guard pages may be more than the kernel's limit. */
    char *stacks = mmap(NULL, (size_t)THREADS * STACK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int made = 0, joined = 0;

    null = open("/dev/null", O_WRONLY);
    pthread_attr_init(&attr);
    pthread_rwlock_wrlock(&gate);
    while (made < THREADS) {
        pthread_attr_setstack(&attr, stacks + (size_t)made * STACK, STACK);
        if (pthread_create(&threads[made], &attr, live, &threads[made]) != 0)
            break;
        made++;
    }
    printf("alive: %d\n", made);
    pthread_rwlock_unlock(&gate);
    for (int i = 0; i < made; i++) {
        void *result = NULL;
        joined += pthread_join(threads[i], &result) == 0 && result == &threads[i];
    }
    printf("joined: %d, calls %ld and %ld\n", joined, before, after);
    return 0;
}
