/* Threads that are in the middle of calls become somebody else: every thread of the process does.
 */
/* scope-test: */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 3 };

static volatile int stop;

static void *busy(void *arg)
{
    int null = open("/dev/null", O_WRONLY);
    while (!stop)
        write(null, "x", 1);
    return (void *)syscall(SYS_getuid);
}

/* How many threads of this process are still of this user. */
static int still(unsigned uid)
{
    int n = 0;
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *e;
    while (tasks && (e = readdir(tasks))) {
        char path[300], line[200];
        unsigned real, effective, saved, files;
        snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (f && fgets(line, sizeof(line), f)) {
            if (sscanf(line, "Uid: %u %u %u %u", &real, &effective, &saved, &files) == 4)
                n += real == uid || effective == uid || saved == uid || files == uid;
            if (sscanf(line, "Gid: %u %u %u %u", &real, &effective, &saved, &files) == 4)
                n += real == uid || effective == uid || saved == uid || files == uid;
        }
        if (f)
            fclose(f);
    }
    if (tasks)
        closedir(tasks);
    return n;
}

static void work(int how)
{
    pthread_t threads[THREADS];
    unsigned other = 65534;
    void *result;
    int r = 0;

    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, busy, NULL);
    usleep(2000);
    if (how == 1) { /* there and back, many times */
        for (int i = 0; i < 10; i++)
            r |= setegid(other) | seteuid(other) | seteuid(0) | setegid(0);
    }
    if (how == 2)
        r |= setgroups(0, NULL) | initgroups("nobody", other);
    r |= setresgid(other, other, other) | (how == 3 ? setreuid(other, other) : setuid(other));
    printf("became: %d, still root: %d, back: %d\n", r, still(0), seteuid(0));
    usleep(3000);
    stop = 1;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &result);
        if ((unsigned)(long)result != other)
            printf("a thread is %ld\n", (long)result);
    }
    FILE *f = fopen("/etc/passwd", "r");
    printf("reads: %d\n", f != NULL && fgetc(f) == 'r');
    printf("still root: %d\n", still(0));
}

int main(void)
{
    int status;
    if (geteuid() != 0) {
        printf("not root\n");
        return 0;
    }
    for (int how = 0; how < 4; how++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            work(how);
            exit(how);
        }
        waitpid(pid, &status, 0);
        printf("%d: %x\n", how, status);
    }
    work(0);
    return 5;
}
