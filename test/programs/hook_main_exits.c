/* The main thread ends first; the process ends with its last thread, status 0, handlers run. */
/* scope-test: */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *outlive(void *arg)
{
    usleep(30000);
    printf("still here\n");
    return NULL;
}

static void at_end(void)
{
    printf("exit handler\n");
}

int main(void)
{
    pthread_t t;
    atexit(at_end);
    pthread_create(&t, NULL, outlive, NULL);
    pthread_detach(t);
    printf("main goes\n");
    pthread_exit(NULL);
}
