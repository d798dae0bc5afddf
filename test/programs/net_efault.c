/*
 * Bad pointers in every socket call: the answer is the kernel's, and nobody dereferences them
 * first. scope-test:
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static void say(const char *what, long r)
{
    int e = errno;
    printf("%s %ld %s\n", what, r, r < 0 ? strerrorname_np(e) : "");
}

int main(void)
{
    void *const bads[] = {NULL, (void *)1, (void *)-1,
                          mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(in), none = 0;
    char buffer[16];
    int udp = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0);
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    bind(udp, (struct sockaddr *)&in, sizeof(in));
    getsockname(udp, (struct sockaddr *)&in, &length);
    connect(out, (struct sockaddr *)&in, sizeof(in));
    listen(tcp, 4);
    for (int i = 0; i < 4; i++) {
        void *bad = bads[i];
        struct iovec vector = {bad, 8};
        struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
        struct msghdr worse = {.msg_iov = bad, .msg_iovlen = 1};
        struct msghdr named = {.msg_name = bad, .msg_namelen = 16};
        struct mmsghdr many[2] = {{.msg_hdr = message}, {.msg_hdr = message}};
        printf("-- %d\n", i);
        say("connect", connect(tcp, bad, 16));
        say("connect 0", connect(tcp, bad, 0));
        say("bind", bind(tcp, bad, 16));
        say("accept", accept(tcp, bad, bad));
        say("accept4", accept4(tcp, (void *)&in, bad, 0));
        say("send", send(out, bad, 8, 0));
        say("sendto", sendto(udp, "x", 1, 0, bad, bad ? 16 : 0));
        say("sendmsg", sendmsg(out, bad, 0));
        say("sendmsg data", sendmsg(out, &message, 0));
        say("sendmsg vector", sendmsg(out, &worse, 0));
        say("sendmsg name", sendmsg(udp, &named, 0));
        say("sendmmsg", sendmmsg(out, many, 2, 0));
        say("sendmmsg list", sendmmsg(out, bad, 2, 0));
        say("getsockopt", getsockopt(tcp, SOL_SOCKET, SO_ERROR, bad, &length));
        say("getsockopt length", getsockopt(tcp, SOL_SOCKET, SO_ERROR, buffer, bad));
        say("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, bad));
        send(out, "12345678", 8, 0);
        say("recv", recv(udp, bad, 8, 0));
        send(out, "12345678", 8, 0);
        say("recvfrom length", recvfrom(udp, buffer, 8, 0, (void *)&in, bad));
        send(out, "12345678", 8, 0);
        say("recvfrom address", recvfrom(udp, buffer, 8, MSG_DONTWAIT, bad, &length));
        length = sizeof(in);
        send(out, "12345678", 8, 0);
        none = 0; /* room for nothing: the kernel never looks at the pointer */
        say("recvfrom no room", recvfrom(udp, buffer, 8, MSG_DONTWAIT, bad, &none));
        send(out, "12345678", 8, 0);
        say("recvmsg", recvmsg(udp, bad, MSG_DONTWAIT));
        say("recvmsg data", recvmsg(udp, &message, MSG_DONTWAIT));
        send(out, "12345678", 8, 0);
        many[0].msg_hdr = many[1].msg_hdr = message;
        say("recvmmsg", recvmmsg(udp, many, 2, MSG_DONTWAIT, NULL));
        say("recvmmsg list", recvmmsg(udp, bad, 2, MSG_DONTWAIT, NULL));
        while (recv(udp, buffer, 8, MSG_DONTWAIT) > 0)
            ;
    }
    /* what is no socket, and what is no descriptor */
    int pipes[2];
    pipe(pipes);
    const int fds[] = {pipes[0], -1, 4000, 2000000000};
    for (int i = 0; i < 4; i++) {
        printf("-- fd %d\n", i);
        say("connect", connect(fds[i], bads[1], 16));
        say("bind", bind(fds[i], (void *)&in, 16));
        say("listen", listen(fds[i], 1));
        say("accept", accept(fds[i], NULL, NULL));
        say("send", send(fds[i], "", 0, 0));
        say("recv", recv(fds[i], buffer, 0, 0));
        say("recvmsg", recvmsg(fds[i], bads[1], 0));
        say("shutdown", shutdown(fds[i], SHUT_WR));
        say("getsockopt", getsockopt(fds[i], SOL_SOCKET, SO_ERROR, bads[1], bads[1]));
    }
    return 0;
}
