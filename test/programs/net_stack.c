/* Sockets used on a coroutine's stack of 4 KiB, with a pattern below and above it that must stay.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

static ucontext_t back, coroutine;
static int results[16];

static void run(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(in);
    char buffer[16];
    int n = 0, error = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

    results[n++] = bind(listener, (struct sockaddr *)&in, sizeof(in));
    results[n++] = listen(listener, 4);
    getsockname(listener, (struct sockaddr *)&in, &length);
    results[n++] = connect(client, (struct sockaddr *)&in, sizeof(in));
    int server = accept(listener, (struct sockaddr *)&in, &length);
    results[n++] = (int)send(client, "hello", 5, 0);
    results[n++] = (int)recv(server, buffer, sizeof(buffer), 0);
    struct iovec vector = {buffer, 5};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    results[n++] = (int)sendmsg(server, &message, 0);
    results[n++] = (int)recvmsg(client, &message, 0);
    length = sizeof(error);
    results[n++] = getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length);
    results[n++] = shutdown(client, SHUT_WR);
    results[n++] = (int)recvfrom(server, buffer, sizeof(buffer), 0, NULL, NULL);
    close(server);
    close(client);
    close(listener);
}

int main(void)
{
    /* pages that may not be touched stand on both sides */
    char *place = mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(place + 4096, 4096, PROT_READ | PROT_WRITE);
    close(socket(AF_INET, SOCK_STREAM, 0)); /* the loader's lazy binding, which needs more stack */
    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = place + 4096;
    coroutine.uc_stack.ss_size = 4096;
    coroutine.uc_link = &back;
    makecontext(&coroutine, run, 0);
    swapcontext(&back, &coroutine);
    for (int i = 0; i < 10; i++)
        printf("%d ", results[i]);
    printf("\n");
    return 0;
}
