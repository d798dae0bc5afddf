/*
 * Leaving a wrapper early: a thread cancelled inside accept and recv runs its cleanup handlers; a
 * signal handler jumps out of recvfrom, many times; what follows works as before.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int pair[2], listener;

static void cleaned(void *what)
{
    printf("cleaned %s\n", (char *)what);
}

static void *wait_recv(void *unused)
{
    char buffer[8];
    pthread_cleanup_push(cleaned, "recv");
    recv(pair[0], buffer, sizeof(buffer), 0);
    pthread_cleanup_pop(0);
    return unused;
}

static void *wait_accept(void *unused)
{
    pthread_cleanup_push(cleaned, "accept");
    accept(listener, NULL, NULL);
    pthread_cleanup_pop(0);
    return unused;
}

static sigjmp_buf out;

static void jump(int number)
{
    siglongjmp(out, number);
}

int main(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    void *(*const waits[])(void *) = {wait_recv, wait_accept};
    volatile int jumps = 0;
    char buffer[8];

    setvbuf(stdout, NULL, _IOLBF, 0);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    bind(listener, (struct sockaddr *)&in, sizeof(in));
    listen(listener, 1);
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        void *result;
        pthread_create(&thread, NULL, waits[i], NULL);
        usleep(20000);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        printf("canceled %d\n", result == PTHREAD_CANCELED);
    }
    signal(SIGALRM, jump);
    while (jumps < 200) {
        if (sigsetjmp(out, 1) == 0) {
            struct itimerval soon = {.it_value = {0, 300}};
            setitimer(ITIMER_REAL, &soon, NULL);
            for (;;) {
                send(pair[1], "x", 1, 0);
                recvfrom(pair[0], buffer, 1, 0, NULL, NULL);
                recv(pair[0], buffer, 1, MSG_DONTWAIT);
            }
        }
        jumps++;
    }
    while (recv(pair[0], buffer, 1, MSG_DONTWAIT) > 0)
        ;
    send(pair[1], "last", 4, 0);
    printf("%d jumps, then %zd\n", jumps, recv(pair[0], buffer, 8, 0));
    return 0;
}
