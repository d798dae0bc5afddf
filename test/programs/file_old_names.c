/* Names that only programs built long ago, or with _FORTIFY_SOURCE, call. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIND(type, name, parameters)                                                               \
    type(*name) parameters = (type(*) parameters)dlsym(RTLD_DEFAULT, #name)

int main(void)
{
    FIND(int, __xstat, (int, const char *, struct stat *));
    FIND(int, __lxstat64, (int, const char *, struct stat64 *));
    FIND(int, __fxstat, (int, int, struct stat *));
    FIND(int, __fxstatat, (int, int, const char *, struct stat *, int));
    FIND(int, __open, (const char *, int, ...));
    FIND(int, __open64_2, (const char *, int));
    FIND(int, __openat_2, (int, const char *, int));
    FIND(ssize_t, __read, (int, void *, size_t));
    FIND(ssize_t, __read_chk, (int, void *, size_t, size_t));
    FIND(ssize_t, __pread64_chk, (int, void *, size_t, off64_t, size_t));
    FIND(ssize_t, __write, (int, const void *, size_t));
    FIND(ssize_t, __readlink_chk, (const char *, char *, size_t, size_t));
    FIND(off_t, __lseek, (int, off_t, int));
    FIND(int, __close, (int));
    FIND(int, __dup2, (int, int));
    FIND(int, __fcntl, (int, int, ...));
    FIND(int, __pipe, (int *));
    struct stat st = {0};
    struct stat64 st64 = {0};
    char buffer[64];
    int ends[2];

    int fd = __open("file", O_RDWR | O_CREAT, 0600);
    printf("%d %zd %ld\n", fd, __write(fd, "some text", 9), (long)__lseek(fd, 0, SEEK_SET));
    printf("%zd %zd\n", __read(fd, buffer, 4), __read_chk(fd, buffer, 64, sizeof(buffer)));
    printf("%zd\n", __pread64_chk(fd, buffer, 4, 5, sizeof(buffer)));
    if (__xstat) {
        printf("%d %ld\n", __xstat(1, "file", &st), (long)st.st_size);
        printf("%d %ld\n", __lxstat64(1, "file", &st64), (long)st64.st_size);
        printf("%d %ld\n", __fxstat(1, fd, &st), (long)st.st_size);
        printf("%d %ld\n", __fxstatat(1, AT_FDCWD, "file", &st, 0), (long)st.st_size);
        errno = 0;
        printf("%d %d\n", __xstat(1, "missing", &st), errno);
    }
    printf("%d %d\n", __open64_2("file", O_RDONLY), __openat_2(AT_FDCWD, "missing", O_RDONLY));
    printf("%d\n", __dup2(fd, 9));
    printf("%d\n", __fcntl(9, F_DUPFD_CLOEXEC, 12));
    printf("%d %d\n", __close(9), __close(12));
    printf("%d %d\n", __pipe(ends), ends[1] - ends[0]);
    symlink("target", "link");
    printf("%zd\n", __readlink_chk("link", buffer, sizeof(buffer), sizeof(buffer)));
    return unlink("file") || unlink("link");
}
