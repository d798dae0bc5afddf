/*
 * Requests through every call that sends, on blocking and non-blocking sockets, into errors too:
 * what each call returns is printed, and is as without us. scope-test: inject
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define HEAD "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
#define BODY "0123456789"
#define ALL HEAD BODY
enum { N = sizeof(ALL) - 1, H = sizeof(HEAD) - 1 };

static int client, server, listener;
static volatile int signals;

static void on_signal(int number)
{
    (void)number;
    signals++;
}

static void say(const char *what, long r)
{
    int e = errno;
    printf("%s %ld %s\n", what, r, r < 0 ? strerrorname_np(e) : "");
    errno = 0;
}

/* What came at the other end, without the line that may be in it; then the answer. */
static void answer(void)
{
    char text[4096], *line;
    ssize_t n = 0, more;
    while (!memmem(text, n, BODY, 10) && (more = recv(server, text + n, sizeof(text) - 1 - n, 0)) > 0)
        n += more;
    text[n] = 0;
    unsigned lines = 0;
    while ((line = strstr(text, "traceparent: "))) {
        char *end = strchr(line, '\n') + 1;
        memmove(line, end, strlen(end) + 1);
        lines++;
    }
    fprintf(stderr, "%u", lines);
    printf("came %d\n", strcmp(text, ALL));
    send(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38, 0);
    recv(client, text, 38, MSG_WAITALL);
}

static void connect_anew(int nonblock)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(in);
    close(client);
    close(server);
    if (!listener) {
        listener = socket(AF_INET, SOCK_STREAM, 0);
        bind(listener, (struct sockaddr *)&in, sizeof(in));
        listen(listener, 4);
    }
    getsockname(listener, (struct sockaddr *)&in, &length);
    client = socket(AF_INET, SOCK_STREAM, 0);
    connect(client, (struct sockaddr *)&in, sizeof(in));
    server = accept(listener, NULL, NULL);
    if (nonblock)
        fcntl(client, F_SETFL, O_NONBLOCK);
}

static void requests(void)
{
    struct iovec one = {ALL, N}, two[3] = {{HEAD, 0}, {HEAD, H}, {BODY, 10}};
    struct iovec odd[2] = {{HEAD, 9}, {HEAD + 9, H - 9}};
    struct msghdr m1 = {.msg_iov = &one, .msg_iovlen = 1}, m2 = {.msg_iov = two, .msg_iovlen = 3};
    struct mmsghdr many = {.msg_hdr = m2};
    int on = 1, off = 0;

    say("write", write(client, ALL, N)), answer();
    say("send", send(client, ALL, N, MSG_NOSIGNAL)), answer();
    say("sendto", sendto(client, ALL, N, 0, NULL, 0)), answer();
    say("writev", writev(client, &one, 1)), answer();
    say("writev 3", writev(client, two, 3)), answer();
    say("sendmsg", sendmsg(client, &m1, MSG_DONTWAIT)), answer();
    say("sendmsg 3", sendmsg(client, &m2, 0)), answer();
    say("sendmmsg", sendmmsg(client, &many, 1, 0)), answer();
    say("more", send(client, HEAD, H, MSG_MORE)), say("body", send(client, BODY, 10, 0)), answer();
    setsockopt(client, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
    say("corked", write(client, HEAD, H)), say("body", write(client, BODY, 10));
    setsockopt(client, IPPROTO_TCP, TCP_CORK, &off, sizeof(off));
    answer();
    say("odd", writev(client, odd, 2)), say("body", write(client, BODY, 10)), answer();
    for (int i = 0; i < N; i++) /* byte by byte */
        if (write(client, ALL + i, 1) != 1)
            say("byte", i);
    answer();
    int file = memfd_create("body", 0);
    off_t at = 0;
    write(file, BODY, 10);
    say("head", write(client, HEAD, H)), say("sendfile", sendfile(client, file, &at, 10)), answer();
    close(file);
}

/* Bytes until there is no more room; the next request does not go either. */
static void no_room(void)
{
    static char zero[1 << 16];
    while (write(client, zero, sizeof(zero)) > 0)
        ;
    while (write(client, zero, 1) > 0)
        ;
    say("full", write(client, ALL, N));
    say("full", send(client, ALL, N, 0));
}

static void *read_later(void *unused)
{
    char bytes[1 << 16];
    size_t n = 0;
    for (ssize_t more; n < N + (4 << 20) && (more = recv(server, bytes, sizeof(bytes), 0)) > 0;)
        n += more;
    return NULL;
}

int main(void)
{
    void *bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGPIPE, &action, NULL);
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);

    for (int nonblock = 0; nonblock < 2; nonblock++) {
        connect_anew(nonblock);
        requests();
        struct iovec iov = {bad, N};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1}, worse = {.msg_iov = bad, .msg_iovlen = 1};
        say("EFAULT", write(client, bad, N));
        say("EFAULT", write(client, NULL, N));
        say("EFAULT", send(client, bad, N, 0));
        say("EFAULT", writev(client, &iov, 1));
        say("EFAULT", writev(client, bad, 1));
        say("EFAULT", sendmsg(client, &message, 0));
        say("EFAULT", sendmsg(client, &worse, 0));
        say("EFAULT", sendmsg(client, bad, 0));
        say("EINVAL", writev(client, &iov, -1));
        say("EMSGSIZE", writev(client, &iov, 2000));
        say("nothing", write(client, ALL, 0));
        say("ENOTSOCK", send(0, ALL, N, 0));
        shutdown(client, SHUT_WR);
        say("EPIPE", write(client, ALL, N));
        say("EPIPE", send(client, ALL, N, MSG_NOSIGNAL));
        printf("signals %d\n", signals);
        close(client);
        say("EBADF", write(client, ALL, N));
        client = -1;
        connect_anew(nonblock);
        struct linger linger = {1, 0};
        setsockopt(server, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        close(server);
        server = -1;
        usleep(20000);
        say("reset", write(client, ALL, N));
        say("reset", write(client, ALL, N));
    }
    connect_anew(1);
    no_room();
    /* one that waits for room: its body is larger than any buffer */
    static char large[N + (4 << 20)] = HEAD;
    pthread_t thread;
    connect_anew(0);
    pthread_create(&thread, NULL, read_later, NULL);
    say("large", write(client, large, sizeof(large)));
    pthread_join(thread, NULL);
    printf("signals %d\n", signals);
    return 0;
}
