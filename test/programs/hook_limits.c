/* Starts itself with hardly any address space, then data, then descriptors, then threads. */
/* scope-test: */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void *nothing(void *arg)
{
    return arg;
}

static int work(const char *limit)
{
    int fd = open("/etc/passwd", O_RDONLY);
    char c;
    printf("%s: read %zd\n", limit, read(fd, &c, 1));
    size_t room = strcmp(limit, "space48") == 0 ? 8 << 20 : 24 << 20;
    void *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("%s: room %d\n", limit, p != MAP_FAILED);
    return 0;
}

static void with(int resource, rlim_t amount, const char *name, char **argv)
{
    int status;
    struct rlimit limit = {amount, amount};
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(resource, &limit);
        execl("/proc/self/exe", argv[0], name, NULL);
        _exit(9);
    }
    waitpid(pid, &status, 0);
    printf("%s: %x\n", name, status);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return work(argv[1]);
    with(RLIMIT_AS, 48 << 20, "space48", argv);
    with(RLIMIT_AS, 200 << 20, "space200", argv);
    with(RLIMIT_AS, 1 << 30, "space1G", argv);
    with(RLIMIT_DATA, 64 << 20, "data", argv);
    with(RLIMIT_NOFILE, 4, "files", argv);
    with(RLIMIT_NPROC, 1, "threads", argv);
    with(RLIMIT_CORE, 0, "core", argv);
    with(RLIMIT_STACK, 128 << 10, "stack", argv);
    return 0;
}
