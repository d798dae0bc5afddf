/*
 * Descriptor numbers: loops that close everything, dup2 onto what is open, numbers above 1024 and
 * above 65536 and beyond any table, a limit lowered below what is open, and none left.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

extern int close_range(unsigned, unsigned, int);
#pragma weak close_range
extern void closefrom(int);
#pragma weak closefrom

static int open_now(int from, int to)
{
    int n = 0;
    for (int fd = from; fd < to; fd++)
        n += fcntl(fd, F_GETFD) != -1;
    return n;
}

int main(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    rlim_t hard = limit.rlim_max;

    for (int fd = 3; fd < 65536; fd++)
        close(fd);
    printf("after the loop: %d\n", open_now(3, 1024));

    for (int i = 0; i < 20; i++)
        open("/dev/null", O_RDONLY);
    printf("opened: %d\n", open_now(3, 1024));
    if (close_range)
        printf("close_range: %d, left %d\n", close_range(5, 10, 0), open_now(3, 1024));
    if (close_range)
        printf("close_range: %d, errno %d\n", close_range(10, 5, 0), errno);
    if (closefrom)
        closefrom(3);
    printf("closefrom: left %d\n", open_now(3, 1024));

    int high[] = {1500, 70000, 400000};
    limit.rlim_cur = hard;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (unsigned i = 0; i < sizeof(high) / sizeof(high[0]); i++) {
        if ((rlim_t)high[i] >= hard)
            continue;
        int fd = dup2(1, high[i]);
        char line[64];
        int n = snprintf(line, sizeof(line), "written through %d\n", fd);
        fflush(stdout);
        if (write(fd, line, (size_t)n) != n)
            return 1;
        struct stat st;
        printf("fstat %d, close %d, again %d\n", fstat(fd, &st), close(fd), close(fd));
    }

    int a = open("a", O_RDWR | O_CREAT, 0600), b = open("b", O_RDWR | O_CREAT, 0600);
    printf("dup2 onto an open one: %d\n", dup2(a, b) == b);
    printf("write %zd\n", write(b, "to a", 4));
    struct stat st;
    stat("a", &st);
    printf("size of a %ld\n", (long)st.st_size);
    stat("b", &st);
    printf("size of b %ld\n", (long)st.st_size);
    printf("dup2 onto itself %d\n", dup2(a, a) == a);

    int top = fcntl(a, F_DUPFD, 200);
    limit.rlim_cur = 16;
    setrlimit(RLIMIT_NOFILE, &limit);
    printf("above the limit: write %zd\n", write(top, "x", 1));
    printf("dup2 %d errno %d\n", dup2(a, 300), errno);
    int opened = 0;
    while (open("/dev/null", O_RDONLY) != -1)
        opened++;
    printf("opened %d more, then errno %d\n", opened, errno);
    printf("close %d\n", close(top));
    close(a);
    close(b);
    return unlink("a") || unlink("b");
}
