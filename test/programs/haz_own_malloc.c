/*
 * The program brings its own allocator, which itself makes calls. What it hands out while the
 * program does nothing but calls is nothing: none of our data comes from it.
 */
/* scope-test: */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char arena[64 << 20] __attribute__((aligned(16)));
static size_t used;
static long handed, returned;

/* An allocator with a trace file: it writes while it allocates, before any constructor too. */
__attribute__((visibility("default"))) void *malloc(size_t size)
{
    static int trace = -2;
    static __thread int inside;
    if (!inside) {
        inside = 1;
        if (trace == -2)
            trace = open("/dev/null", O_WRONLY | O_CLOEXEC);
        int saved = errno;
        write(trace, &size, sizeof(size));
        errno = saved;
        inside = 0;
    }
    size = (size + 31) & ~(size_t)15;
    size_t at = __atomic_fetch_add(&used, size, __ATOMIC_RELAXED);
    if (at + size > sizeof(arena)) {
        errno = ENOMEM;
        return NULL;
    }
    __atomic_add_fetch(&handed, 1, __ATOMIC_RELAXED);
    *(size_t *)(arena + at) = size;
    return arena + at + 16;
}

__attribute__((visibility("default"))) void free(void *p)
{
    if (p)
        __atomic_add_fetch(&returned, 1, __ATOMIC_RELAXED);
    if (p && ((char *)p < arena || (char *)p >= arena + sizeof(arena)))
        write(2, "not from here\n", 14);
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size)
{
    void *p = n && size > SIZE_MAX / n ? NULL : malloc(n * size);
    return p ? memset(p, 0, n * size) : NULL;
}

__attribute__((visibility("default"))) void *realloc(void *old, size_t size)
{
    void *p = malloc(size);
    if (p && old) {
        size_t had = *(size_t *)((char *)old - 16) - 16;
        memcpy(p, old, had < size ? had : size);
    }
    return p;
}

static void calls(void)
{
    struct stat st;
    int pair[2];
    char byte;
    for (int i = 0; i < 2000; i++) {
        int fd = open("/dev/zero", O_RDONLY);
        read(fd, &byte, 1);
        fstat(fd, &st);
        close(fd);
        stat("/nonexistent", &st);
        open("/nonexistent", O_RDONLY);
    }
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    for (int i = 0; i < 2000; i++) {
        send(pair[0], "x", 1, 0);
        recv(pair[1], &byte, 1, 0);
    }
    close(pair[0]);
    close(pair[1]);
}

static void *elsewhere(void *arg)
{
    calls();
    return arg;
}

int main(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, elsewhere, NULL);
    pthread_join(thread, NULL);
    calls();
    usleep(100000); /* whoever reads what we recorded has had its turn */
    long before = handed, before_returned = returned;
    for (int i = 0; i < 3; i++) {
        calls();
        usleep(100000);
    }
    printf("handed out by calls: %ld, taken back: %ld\n", handed - before,
           returned - before_returned);
    pthread_create(&thread, NULL, elsewhere, NULL);
    pthread_join(thread, NULL);
    printf("arena used %s\n", used < sizeof(arena) / 2 ? "a little" : "up");
    return 0;
}
