/*
 * Descriptors that come by SCM_RIGHTS (by recvmsg, recvmmsg and a MSG_PEEK), and sockets whose
 * numbers are above 1024 and above 65536.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

union control {
    struct cmsghdr head;
    char room[CMSG_SPACE(3 * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

static void prepare(struct msghdr *message, struct iovec *vector, char *byte,
                    union control *control)
{
    memset(message, 0, sizeof(*message));
    vector->iov_base = byte;
    vector->iov_len = 1;
    message->msg_iov = vector;
    message->msg_iovlen = 1;
    message->msg_control = control;
    message->msg_controllen = sizeof(*control);
}

static void pass(int to, const int *fds, int count)
{
    struct msghdr message;
    struct iovec vector;
    union control control = {0};
    char byte = 'f';

    prepare(&message, &vector, &byte, &control);
    message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(&control.head), fds, (size_t)count * sizeof(int));
    printf("passed %zd\n", sendmsg(to, &message, 0));
}

/* Uses what came: writes into the last, reads from the first. */
static void use(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        int fds[8];
        int count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        if (c->cmsg_type != SCM_RIGHTS)
            continue;
        memcpy(fds, CMSG_DATA(c), (size_t)count * sizeof(int));
        char buffer[8] = "";
        ssize_t wrote = write(fds[count - 1], "abc", 3);
        ssize_t got = read(fds[0], buffer, sizeof(buffer));
        printf("got %d: wrote %zd, read %zd %.3s\n", count, wrote, got, buffer);
        for (int i = 0; i < count; i++)
            close(fds[i]);
    }
}

int main(void)
{
    int pair[2], pipes[2], high[2];
    struct msghdr message;
    struct mmsghdr many[2] = {0};
    struct iovec vector, vectors[2];
    union control control, controls[2];
    char byte, bytes[2];
    struct rlimit limit = {100000, 100000};

    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    pipe2(pipes, O_NONBLOCK);
    pass(pair[0], pipes, 2);
    prepare(&message, &vector, &byte, &control);
    printf("peek %zd\n", recvmsg(pair[1], &message, MSG_PEEK));
    use(&message);
    prepare(&message, &vector, &byte, &control);
    printf("take %zd\n", recvmsg(pair[1], &message, 0));
    use(&message);
    /* a message that does not fit: the kernel cuts the control data */
    pass(pair[0], (int[]){pipes[0], pipes[0], pipes[1]}, 3);
    prepare(&message, &vector, &byte, &control);
    message.msg_controllen = CMSG_LEN(sizeof(int));
    printf("cut %zd\n", recvmsg(pair[1], &message, 0));
    printf("flags %d\n", message.msg_flags & MSG_CTRUNC);
    use(&message);
    pass(pair[0], pipes, 2);
    pass(pair[0], pipes, 2);
    for (int i = 0; i < 2; i++)
        prepare(&many[i].msg_hdr, &vectors[i], &bytes[i], &controls[i]);
    printf("both %d\n", recvmmsg(pair[1], many, 2, 0, NULL));
    use(&many[0].msg_hdr);
    use(&many[1].msg_hdr);

    setrlimit(RLIMIT_NOFILE, &limit);
    for (int at = 1500; at < 100000; at *= 50) {
        socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
        high[0] = fcntl(pair[0], F_DUPFD, at);
        high[1] = fcntl(pair[1], F_DUPFD_CLOEXEC, at);
        if (high[0] < 0) {
            printf("no number from %d\n", at);
            continue;
        }
        close(pair[0]);
        close(pair[1]);
        char buffer[8] = "";
        ssize_t sent = send(high[0], "high", 4, 0), got = recv(high[1], buffer, 8, 0);
        printf("%d %d: %zd %zd %s\n", high[0] >= at, high[1] >= at, sent, got, buffer);
        close(high[0]);
        printf("end %zd\n", recv(high[1], buffer, 8, 0));
        close(high[1]);
    }
    return 0;
}
