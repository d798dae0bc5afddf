/* Threads are cancelled inside watched calls; their cleanup handlers run. */
/* scope-test: */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int ends[2], pair[2];
static int cleaned;

static void clean(void *arg)
{
    cleaned++;
    write(1, "cleaned\n", 8);
}

static void *in_read(void *arg)
{
    char c;
    pthread_cleanup_push(clean, NULL);
    read(ends[0], &c, 1);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *in_getc(void *arg)
{
    FILE *f = fdopen(dup(ends[0]), "r");
    pthread_cleanup_push(clean, NULL);
    fgetc(f);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *in_recv(void *arg)
{
    char c;
    pthread_cleanup_push(clean, NULL);
    recv(pair[0], &c, 1, 0);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *in_poll(void *arg)
{
    struct pollfd p = {ends[0], POLLIN, 0};
    pthread_cleanup_push(clean, NULL);
    poll(&p, 1, -1);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *in_loop(void *arg)
{
    int fd = open("/dev/null", O_WRONLY);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (;;)
        write(fd, "x", 1);
}

int main(void)
{
    void *(*routines[])(void *) = {in_read, in_getc, in_recv, in_poll, in_loop};
    pipe(ends);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    for (int i = 0; i < 5; i++) {
        pthread_t t;
        void *result;
        pthread_create(&t, NULL, routines[i], NULL);
        usleep(10000);
        pthread_cancel(t);
        pthread_join(t, &result);
        printf("%d: %s\n", i, result == PTHREAD_CANCELED ? "cancelled" : "ended");
        fflush(stdout);
    }
    printf("%d cleaned\n", cleaned);
    return 0;
}
