/* Datagrams: many in one call, empty ones, cut ones, looked at without being taken, to two ports.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

int main(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage from[4];
    socklen_t length = sizeof(to);
    int in = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0);
    struct mmsghdr send[4] = {0}, got[4] = {0};
    struct iovec parts[4][2], room[4];
    char buffer[4][8];
    char text[] = "0123456789";

    bind(in, (struct sockaddr *)&to, sizeof(to));
    getsockname(in, (struct sockaddr *)&to, &length);
    for (int i = 0; i < 4; i++) {
        parts[i][0] = (struct iovec){text, (size_t)i};
        parts[i][1] = (struct iovec){text + 5, (size_t)i};
        send[i].msg_hdr = (struct msghdr){
            .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = parts[i], .msg_iovlen = 2};
        room[i] = (struct iovec){buffer[i], 5};
        got[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                         .msg_namelen = sizeof(from[i]),
                                         .msg_iov = &room[i],
                                         .msg_iovlen = 1};
    }
    printf("sent %d:", sendmmsg(out, send, 4, 0));
    for (int i = 0; i < 4; i++)
        printf(" %u", send[i].msg_len);
    printf("\npeek %zd\n", recv(in, buffer[0], 8, MSG_PEEK));
    printf("length %zd\n", recv(in, buffer[0], 0, MSG_PEEK | MSG_TRUNC));
    printf("got %d:", recvmmsg(in, got, 4, MSG_WAITFORONE, NULL));
    for (int i = 0; i < 4; i++)
        printf(" %u%s %d", got[i].msg_len, got[i].msg_hdr.msg_flags & MSG_TRUNC ? "+" : "",
               (int)got[i].msg_hdr.msg_namelen);
    int none = recvmmsg(in, got, 4, MSG_DONTWAIT, NULL);
    printf("\nnone %d %s\n", none, errno == EAGAIN ? "EAGAIN" : "?");
    for (int i = 0; i < 3; i++)
        sendto(out, text, (size_t)i * 5, 0, (struct sockaddr *)&to, sizeof(to));
    for (int i = 0; i < 3; i++) {
        char little[4];
        length = 3; /* an address that is cut */
        memset(&from[0], 0xee, sizeof(from[0]));
        ssize_t n = recvfrom(in, little, sizeof(little), i == 2 ? MSG_TRUNC : 0,
                             (struct sockaddr *)&from[0], &length);
        printf("recvfrom %zd, address %u\n", n, length);
    }
    ssize_t n = recv(in, text, 8, MSG_ERRQUEUE);
    printf("errors %zd %s\n", n, errno == EAGAIN ? "EAGAIN" : "?");
    return 0;
}
