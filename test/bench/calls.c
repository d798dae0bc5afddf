/*
 * Measures what one call costs: calls OP ROUNDS COUNT prints, for each round, nanoseconds a call of
 * CPU time of the calling thread (robust against neighbours) and of wall time. Run bare and under
 * the library, in turn, by bench.py.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int fd, pair[2];
static FILE *stream;
static char buffer[4096];

static void setup_null(void)
{
    fd = open("/dev/null", O_WRONLY);
}
static void do_write(void)
{
    if (write(fd, buffer, 1) != 1)
        _exit(2);
}
static void setup_zero(void)
{
    fd = open("/dev/zero", O_RDONLY);
}
static void do_read(void)
{
    if (read(fd, buffer, 1) != 1)
        _exit(2);
}
static void setup_file(void)
{
    fd = open("bench.data", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (write(fd, buffer, sizeof(buffer)) != sizeof(buffer))
        _exit(2);
}
static void do_pread(void)
{
    if (pread(fd, buffer, 512, 0) != 512)
        _exit(2);
}
static void do_open_close(void)
{
    int f = open("bench.data", O_RDONLY);
    if (f < 0 || close(f))
        _exit(2);
}
static void do_stat(void)
{
    struct stat st;
    if (stat("bench.data", &st))
        _exit(2);
}
static void setup_unix(void)
{
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        _exit(2);
}
static void do_send_recv(void)
{
    if (send(pair[0], buffer, 64, 0) != 64 || recv(pair[1], buffer, 64, 0) != 64)
        _exit(2);
}
static void setup_tcp(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(s, (void *)&a, n) || listen(s, 1) || getsockname(s, (void *)&a, &n))
        _exit(2);
    pair[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(pair[0], (void *)&a, n))
        _exit(2);
    pair[1] = accept(s, NULL, NULL);
}
static void setup_log(void)
{
    fd = open("bench.log", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    memset(buffer, 'x', 100);
    buffer[99] = '\n';
}
static void do_log(void)
{
    static unsigned n;
    if (write(fd, buffer, 100) != 100)
        _exit(2);
    if (++n % 100000 == 0 && ftruncate(fd, 0))
        _exit(2);
}
static void setup_stream(void)
{
    stream = fopen("/dev/null", "w");
}
static void do_fwrite(void)
{
    if (fwrite(buffer, 64, 1, stream) != 1)
        _exit(2);
}
static void setup_unbuffered(void)
{
    setup_stream();
    setvbuf(stream, NULL, _IONBF, 0);
}
static void setup_epoll(void)
{
    struct epoll_event e = {.events = EPOLLIN};
    setup_unix();
    fd = epoll_create1(0);
    if (epoll_ctl(fd, EPOLL_CTL_ADD, pair[0], &e))
        _exit(2);
}
static void do_epoll(void)
{
    struct epoll_event e;
    if (epoll_wait(fd, &e, 1, 0))
        _exit(2);
}
static void do_poll(void)
{
    struct pollfd p = {.fd = pair[0], .events = POLLIN};
    if (poll(&p, 1, 0))
        _exit(2);
}
static void setup_nothing(void)
{
}
static void do_lseek(void)
{
    if (lseek(fd, 0, SEEK_SET))
        _exit(2);
}

static const struct {
    const char *name;
    void (*setup)(void), (*run)(void);
} ops[] = {
    {"write", setup_null, do_write},         {"read", setup_zero, do_read},
    {"pread", setup_file, do_pread},         {"open_close", setup_file, do_open_close},
    {"stat", setup_file, do_stat},           {"lseek", setup_file, do_lseek},
    {"unix_send_recv", setup_unix, do_send_recv}, {"tcp_send_recv", setup_tcp, do_send_recv},
    {"log_write", setup_log, do_log},        {"fwrite", setup_stream, do_fwrite},
    {"fwrite_unbuffered", setup_unbuffered, do_fwrite}, {"epoll_wait", setup_epoll, do_epoll},
    {"poll", setup_unix, do_poll},
};

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    (void)setup_nothing;
    if (argc != 4)
        return 64;
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (strcmp(ops[i].name, argv[1]))
            continue;
        ops[i].setup();
        long count = atol(argv[3]);
        for (long n = 0; n < count / 4; n++)
            ops[i].run();
        for (int round = atoi(argv[2]); round; round--) {
            double cpu = seconds(CLOCK_THREAD_CPUTIME_ID), wall = seconds(CLOCK_MONOTONIC);
            for (long n = 0; n < count; n++)
                ops[i].run();
            cpu = seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
            wall = seconds(CLOCK_MONOTONIC) - wall;
            printf("%.1f %.1f\n", cpu / (double)count * 1e9, wall / (double)count * 1e9);
        }
        return 0;
    }
    return 64;
}
