/* Non-blocking connects whose outcome becomes known in each of the ways there are. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *name(long r)
{
    return r < 0 ? strerrorname_np(errno) : "ok";
}

static int start(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int r = connect(fd, (const struct sockaddr *)to, sizeof(*to));
    printf("connect %s\n", name(r));
    poll(&(struct pollfd){fd, POLLOUT, 0}, 1, 2000);
    return fd;
}

int main(void)
{
    struct sockaddr_in open = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in shut = open;
    struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "no-such-socket"};
    socklen_t length = sizeof(open);
    int listener = socket(AF_INET, SOCK_STREAM, 0), error, fd;
    char buffer[8];

    bind(listener, (struct sockaddr *)&open, sizeof(open));
    listen(listener, 16);
    getsockname(listener, (struct sockaddr *)&open, &length);
    shut.sin_port = htons(1);

    for (int refused = 0; refused < 2; refused++) {
        const struct sockaddr_in *to = refused ? &shut : &open;
        fd = start(to); /* known by SO_ERROR */
        length = sizeof(error);
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
        printf("SO_ERROR %s\n", error ? strerrorname_np(error) : "0");
        close(fd);
        fd = start(to); /* by connecting again */
        for (int i = 0; i < 3; i++)
            printf("again %s\n", name(connect(fd, (const struct sockaddr *)to, sizeof(*to))));
        close(fd);
        fd = start(to); /* by writing */
        printf("send %s\n", name(send(fd, "x", 1, MSG_NOSIGNAL)));
        printf("send %s\n", name(send(fd, "x", 1, MSG_NOSIGNAL)));
        close(fd);
        fd = start(to); /* by write(2) */
        printf("write %s\n", name(refused ? read(fd, buffer, 8) : write(fd, "x", 1)));
        close(fd);
        fd = start(to); /* by reading: nothing has come yet */
        printf("recv %s\n", name(recv(fd, buffer, 8, 0)));
        close(fd);
    }
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    printf("unix %s\n", name(connect(fd, (struct sockaddr *)&path, sizeof(path))));
    close(fd);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    printf("udp %s\n", name(connect(fd, (struct sockaddr *)&open, sizeof(open))));
    printf("udp %s\n", name(connect(fd, &(struct sockaddr){.sa_family = AF_UNSPEC}, 16)));
    printf("udp send %s\n", name(send(fd, "x", 1, 0)));
    close(fd);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    printf("short %s\n", name(connect(fd, (struct sockaddr *)&open, 4)));
    printf("wrong %s\n", name(connect(fd, (struct sockaddr *)&path, sizeof(path))));
    printf("blocking %s\n", name(connect(fd, (struct sockaddr *)&open, sizeof(open))));
    printf("twice %s\n", name(connect(fd, (struct sockaddr *)&open, sizeof(open))));
    close(fd);
    return 0;
}
