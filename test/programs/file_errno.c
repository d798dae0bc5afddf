/*
 * Results and errno of file calls, good and bad: bad pointers, lengths of zero, names that are not
 * there, flags that do not exist; and errno left alone by what succeeds.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SHOW(call)                                                                                 \
    do {                                                                                           \
        errno = 77;                                                                                \
        long r_ = (long)(call);                                                                    \
        int e_ = errno;                                                                            \
        printf("%s: %s errno %d\n", #call, r_ == -1 ? "-1" : r_ == 0 ? "0" : "other", e_);         \
    } while (0)

int main(void)
{
    char *bad = (char *)8, buffer[16];
    const char *volatile null = NULL;
    /* a name that ends at the end of mapped memory, and one that runs past it */
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + 4096, 4096);
    char *edge = strcpy(page + 4096 - 6, "exist");
    char *over = memset(page + 4096 - 16, 'x', 16);
    (void)edge;
    char longest[5000];
    memset(longest, 'n', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    struct stat st;
    struct statfs fs;
    struct statvfs vfs;

    SHOW(open("missing", O_RDONLY));
    SHOW(open(bad, O_RDONLY));
    SHOW(open(null, O_RDONLY));
    SHOW(open(over, O_RDONLY));
    SHOW(open(longest, O_RDONLY));
    SHOW(open("", O_RDONLY));
    SHOW(open("file", O_RDWR | O_CREAT | O_EXCL, 0640));
    SHOW(open("file", O_RDWR | O_CREAT | O_EXCL, 0640));
    SHOW(open("file/below", O_RDONLY));
    SHOW(open("file", O_DIRECTORY));
    SHOW(open(bad, O_TMPFILE | O_RDONLY, 0600));
    SHOW(openat(999, "missing", O_RDONLY));
    SHOW(openat(AT_FDCWD, bad, O_RDONLY));
    SHOW(syscall(SYS_openat2, AT_FDCWD, bad, bad, 24L));
    SHOW(creat("/nowhere/file", 0600));
    int fd = open("file", O_RDWR);
    SHOW(read(fd, buffer, 0));
    SHOW(read(fd, NULL, 0));
    SHOW(read(fd, buffer, sizeof(buffer)));
    SHOW(write(fd, NULL, 0));
    SHOW(write(fd, bad, 10));
    SHOW(write(fd, "abc", 3));
    SHOW(pread(fd, buffer, 3, 0));
    SHOW(pread(fd, buffer, 3, -1));
    SHOW(pread(fd, bad, 3, 0));
    SHOW(readv(fd, (struct iovec *)bad, 2));
    SHOW(readv(fd, NULL, 0));
    SHOW(writev(fd, NULL, -1));
    struct iovec odd[2] = {{buffer, 3}, {bad, 3}};
    SHOW(pwritev(fd, odd, 2, 0) >= -1);
    SHOW(read(-1, buffer, 1));
    SHOW(write(999, buffer, 1));
    SHOW(lseek(fd, -5, SEEK_SET));
    SHOW(lseek(fd, 0, 99));
    SHOW(ftruncate(fd, -1));
    SHOW(truncate(bad, -1));
    SHOW(truncate("missing", 3));
    SHOW(fsync(fd));
    SHOW(fsync(999));
    SHOW(posix_fallocate(fd, -1, 3));
    SHOW(posix_fallocate(999, 0, 3));
    SHOW(fallocate(fd, 0x4000, 0, 10));
    SHOW(fchmod(fd, 0600));
    SHOW(fcntl(fd, 9999));
    SHOW(fcntl(999, F_GETFD));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_GETLK, bad));
    SHOW(dup(999));
    SHOW(dup2(999, 5));
    SHOW(dup2(fd, fd) == fd);
    SHOW(dup3(fd, fd, 0));
    SHOW(close(999));
    SHOW(close(-1));
    SHOW(close(fd));
    SHOW(stat("missing", &st));
    SHOW(stat("file", &st));
    SHOW(stat(bad, &st));
    SHOW(lstat("file", (struct stat *)bad));
    SHOW(fstat(999, &st));
    SHOW(fstatat(AT_FDCWD, "missing", &st, 0));
    SHOW(statfs("missing", &fs));
    SHOW(statvfs(".", &vfs));
    SHOW(access("file", R_OK));
    SHOW(access(bad, R_OK));
    SHOW(faccessat(AT_FDCWD, "file", F_OK, 0x10000));
    SHOW(readlink("file", buffer, sizeof(buffer)));
    SHOW(symlink("anywhere", "link"));
    SHOW(readlink("link", buffer, sizeof(buffer)) == 8);
    SHOW(link("file", "file2"));
    SHOW(link(bad, "file3"));
    SHOW(rename("file2", "file4"));
    SHOW(rename("missing", "file5"));
    SHOW(rename("file4", bad));
    char *wild = (char *)0x7000000000;
    SHOW(rename("nowhere/file", wild));
    SHOW(rename("", wild));
    SHOW(link("nowhere", wild));
    SHOW(renameat2(AT_FDCWD, bad, AT_FDCWD, bad, 0x100));
    SHOW(renameat2(AT_FDCWD, "file", AT_FDCWD, "file4", RENAME_NOREPLACE));
    SHOW(unlink("file4"));
    SHOW(unlink(bad));
    SHOW(unlinkat(AT_FDCWD, bad, 0x10000));
    SHOW(mkdir("directory", 0700));
    SHOW(mkdir("directory", 0700));
    SHOW(creat("directory/inside", 0600) > 0);
    SHOW(remove("directory"));
    SHOW(remove("directory/inside"));
    SHOW(remove("missing"));
    SHOW(rmdir("file"));
    SHOW(remove("directory"));
    SHOW(mkdirat(999, "x", 0700));
    SHOW(chmod("missing", 0600));
    SHOW(chown("missing", 0, 0));
    SHOW(chdir("missing"));
    SHOW(chdir(bad));
    SHOW(fchdir(999));
    SHOW(opendir("missing") == NULL);
    SHOW(opendir("file") == NULL);
    SHOW(fdopendir(999) == NULL);
    SHOW(mmap(NULL, 0, PROT_READ, MAP_PRIVATE, 0, 0));
    SHOW(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 999, 0));
    SHOW(memfd_create(bad, 0));
    SHOW(memfd_create("name", 0x8000));
    SHOW(pipe((int *)bad));
    SHOW(pipe2((int *)buffer, 4));
    SHOW(copy_file_range(999, NULL, 998, NULL, 10, 0));
    SHOW(splice(999, NULL, 998, NULL, 10, 0));
    char fixed[] = "notemplate";
    SHOW(mkstemp(fixed));
    SHOW(mkdtemp(fixed) == NULL);
    SHOW(shm_open("/a/b", O_RDWR, 0600));
    SHOW(shm_unlink("/scope-test-is-not-there"));
    SHOW(syscall(SYS_close, 999));
    SHOW(syscall(100000L));
    SHOW(syscall(-1L));

    DIR *dir = opendir(".");
    int entries = 0;
    errno = 55;
    while (readdir(dir))
        entries++;
    printf("entries %d, errno at the end %d\n", entries, errno);
    SHOW(closedir(dir));
    SHOW(remove("link"));
    SHOW(remove("file"));
    return 0;
}
