/*
 * Threads cancelled inside blocking file calls: their clean-up handlers run, and the calls go on
 * working for everybody else. syscall() is not a cancellation point and stays none.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int ends[2];

static void cleaned(void *name)
{
    printf("clean-up of %s\n", (char *)name);
}

static void *in_read(void *name)
{
    char buffer[8];
    pthread_cleanup_push(cleaned, name);
    read(ends[0], buffer, sizeof(buffer));
    pthread_cleanup_pop(0);
    return NULL;
}

static void *in_readv(void *name)
{
    char buffer[8];
    struct iovec iov = {buffer, sizeof(buffer)};
    pthread_cleanup_push(cleaned, name);
    readv(ends[0], &iov, 1);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *in_open(void *name)
{
    pthread_cleanup_push(cleaned, name);
    open("fifo", O_RDONLY);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *in_lock(void *name)
{
    struct flock lock = {.l_type = F_WRLCK};
    int fd = open("lock", O_RDWR);
    pthread_cleanup_push(cleaned, name);
    fcntl(fd, F_OFD_SETLKW, &lock);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *in_syscall(void *name)
{
    char buffer[8];
    pthread_cleanup_push(cleaned, name);
    long n = syscall(SYS_read, ends[0], buffer, sizeof(buffer));
    printf("syscall gave %ld\n", n);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_cleanup_pop(0);
    return name;
}

int main(void)
{
    static const struct {
        void *(*run)(void *);
        const char *name;
    } cases[] = {{in_read, "read"}, {in_readv, "readv"}, {in_open, "open"}, {in_lock, "fcntl"}};
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (pipe(ends) || mkfifo("fifo", 0600))
        return 1;
    struct flock lock = {.l_type = F_WRLCK};
    int fd = open("lock", O_RDWR | O_CREAT, 0600);
    fcntl(fd, F_OFD_SETLK, &lock);
    pthread_t thread;
    void *result;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pthread_create(&thread, NULL, cases[i].run, (void *)cases[i].name);
        usleep(20000);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        printf("%s: %s\n", cases[i].name, result == PTHREAD_CANCELED ? "cancelled" : "returned");
    }
    pthread_create(&thread, NULL, in_syscall, "syscall");
    usleep(20000);
    pthread_cancel(thread);
    usleep(20000);
    write(ends[1], "data", 4);
    pthread_join(thread, &result);
    printf("syscall: %s\n", result == PTHREAD_CANCELED ? "cancelled" : "returned");
    char buffer[8];
    write(ends[1], "more", 4);
    printf("read %zd\n", read(ends[0], buffer, sizeof(buffer)));
    return unlink("fifo") || unlink("lock");
}
