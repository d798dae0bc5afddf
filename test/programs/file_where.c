/*
 * Where names lead: chdir, fchdir, descriptors of directories, directories deeper than any buffer,
 * one that is removed while we stand in it, and two threads that move under each other.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEEP = 60, LONG_NAME = 100 };

static volatile int stop;

static void *move(void *unused)
{
    while (!stop) {
        chdir("/tmp");
        chdir("/usr/bin");
    }
    return unused;
}

static int count(const char *path)
{
    DIR *dir = opendir(path);
    int n = 0;
    if (!dir)
        return -errno;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

int main(void)
{
    int home = open(".", O_RDONLY | O_DIRECTORY);
    mkdir("sub", 0700);
    int sub = open("sub", O_PATH | O_DIRECTORY);
    int fd = openat(sub, "file", O_WRONLY | O_CREAT, 0600);
    printf("openat %d\n", fd >= 0);
    close(fd);
    printf("fchdir %d, access %d\n", fchdir(sub), access("file", F_OK));
    printf("renameat %d\n", renameat(sub, "file", home, "moved"));
    printf("unlinkat %d\n", unlinkat(home, "moved", 0));
    printf("removed under us %d\n", rmdir("../sub"));
    printf("open %d errno %d\n", open("file", O_CREAT | O_WRONLY, 0600), errno);
    printf("mkdir %d errno %d\n", mkdir("x", 0700), errno);
    printf("back %d\n", fchdir(home));

    char name[LONG_NAME + 1];
    memset(name, 'd', LONG_NAME);
    name[LONG_NAME] = '\0';
    int made = 0;
    for (; made < DEEP && mkdir(name, 0700) == 0 && chdir(name) == 0; made++) {
        fd = open("file", O_CREAT | O_WRONLY, 0600);
        if (fd < 0 || write(fd, "x", 1) != 1 || close(fd) || rename("file", "other"))
            break;
    }
    printf("made %d, entries %d\n", made, count("."));
    for (int i = 0; i < made; i++) {
        if (unlink("other") || chdir("..") || rmdir(name))
            printf("failed at %d, errno %d\n", i, errno);
    }
    printf("home again: %d entries\n", count("."));

    pthread_t thread;
    pthread_create(&thread, NULL, move, NULL);
    int wrong = 0;
    for (int i = 0; i < 3000; i++) {
        if (open("not-here-at-all", O_RDONLY) != -1 || errno != ENOENT)
            wrong++;
    }
    stop = 1;
    pthread_join(thread, NULL);
    printf("wrong %d\n", wrong);
    return 0;
}
