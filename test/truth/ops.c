/*
 * Makes every watched call on files and sockets, by each of its names, succeeding and failing. How
 * often is told by strace; this program checks nothing. Runs in an empty directory.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>

enum { BAD = 999 }; /* a descriptor that is not open */
static char buffer[8192];
static struct iovec vector[2] = {{buffer, 10}, {buffer + 100, 20}};

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);
int __open(const char *path, int flags, ...);
int __open64(const char *path, int flags, ...);
int __close(int fd);
int __dup2(int fd, int to);
int __fcntl(int fd, int command, ...);
int __pipe(int ends[2]);
int __connect(int fd, const struct sockaddr *address, socklen_t length);
int __statfs(const char *path, struct statfs *st);
off_t __lseek(int fd, off_t offset, int whence);
ssize_t __read(int fd, void *to, size_t count);
ssize_t __write(int fd, const void *from, size_t count);
ssize_t __send(int fd, const void *from, size_t count, int flags);
ssize_t __pread64(int fd, void *to, size_t count, off64_t offset);
ssize_t __pwrite64(int fd, const void *from, size_t count, off64_t offset);
ssize_t __read_chk(int fd, void *to, size_t count, size_t room);
ssize_t __pread_chk(int fd, void *to, size_t count, off_t offset, size_t room);
ssize_t __pread64_chk(int fd, void *to, size_t count, off64_t offset, size_t room);
ssize_t __readlink_chk(const char *path, char *to, size_t size, size_t room);
ssize_t __readlinkat_chk(int dirfd, const char *path, char *to, size_t size, size_t room);
ssize_t __recv_chk(int fd, void *to, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *to, size_t size, size_t room, int flags, void *from, void *length);

/* Names that old programs are linked to, and newer ones cannot be. */
#ifdef __x86_64__
#define OLD(name, version) __asm__(".symver " #name ", " #name "@" version)
OLD(__xstat, "GLIBC_2.2.5");
OLD(__xstat64, "GLIBC_2.2.5");
OLD(__lxstat, "GLIBC_2.2.5");
OLD(__lxstat64, "GLIBC_2.2.5");
OLD(__fxstat, "GLIBC_2.2.5");
OLD(__fxstat64, "GLIBC_2.2.5");
OLD(__fxstatat, "GLIBC_2.4");
OLD(__fxstatat64, "GLIBC_2.4");
#endif
int __xstat(int version, const char *path, void *st);
int __xstat64(int version, const char *path, void *st);
int __lxstat(int version, const char *path, void *st);
int __lxstat64(int version, const char *path, void *st);
int __fxstat(int version, int fd, void *st);
int __fxstat64(int version, int fd, void *st);
int __fxstatat(int version, int dirfd, const char *path, void *st, int flags);
int __fxstatat64(int version, int dirfd, const char *path, void *st, int flags);

static void opening(void)
{
    const char *name = "a", *none = "none/x";
    int dir = open(".", O_RDONLY | O_DIRECTORY);

    close(creat(name, 0644));
    close(creat64(name, 0644));
    close(open(name, O_RDWR));
    close(open64(name, O_RDONLY));
    close(openat(dir, name, O_RDONLY));
    close(openat64(dir, "b", O_CREAT | O_WRONLY, 0600));
    __close(__open(name, O_RDONLY));
    close(__open64(name, O_RDONLY));
    close(__open_2(name, O_RDONLY));
    close(__open64_2(name, O_RDONLY));
    close(__openat_2(dir, name, O_RDONLY));
    close(__openat64_2(dir, name, O_RDONLY));
    close(open(".", O_TMPFILE | O_RDWR, 0600));
    close(open(name, O_PATH));
    open(none, O_RDONLY);
    open64(none, O_RDONLY);
    open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
    open("a/b", O_RDONLY);
    open(NULL, O_RDONLY);
    openat(BAD, name, O_RDONLY);
    openat64(dir, none, O_RDONLY);
    creat(".", 0644);
    creat64(none, 0644);
    __open_2(none, O_RDONLY);
    __openat_2(dir, none, O_RDONLY);
    close(BAD);
    __close(BAD);
    close(dir);

    for (int i = 0; i < 4; i++)
        fcntl(0, F_DUPFD, 800 + i);
    close_range(800, 801, 0);
    close_range(9, 8, 0);
    closefrom(802);
}

static void duplicates(void)
{
    int ends[2], fd = open("a", O_RDWR | O_CREAT, 0600), other = dup(fd);

    dup(BAD);
    dup2(fd, other);
    dup2(fd, fd);
    dup2(BAD, other);
    __dup2(fd, other);
    dup3(fd, other, O_CLOEXEC);
    dup3(fd, fd, 0);
    close(fcntl(fd, F_DUPFD_CLOEXEC, 20));
    close(fcntl64(fd, F_DUPFD, 20));
    fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(BAD, F_GETFD);
    fcntl64(fd, 12345);
    __fcntl(fd, F_GETFD);
    struct flock lock = {.l_type = F_WRLCK};
    fcntl(fd, F_SETLK, &lock);
    lockf(fd, F_ULOCK, 0);
    ioctl(fd, FIONBIO, &(int){1});
    close(other);
    close(fd);
    pipe(ends);
    close(ends[0]), close(ends[1]);
    __pipe(ends);
    close(ends[0]), close(ends[1]);
    pipe2(ends, O_CLOEXEC);
    pipe2(NULL, 0);
    pipe2(ends, 0x7fffffff);
    close(ends[0]), close(ends[1]);
}

static void events(void)
{
    sigset_t none;
    eventfd_t value;
    int fd = eventfd(1, 0);

    sigemptyset(&none);
    eventfd_read(fd, &value);
    eventfd_write(fd, 5);
    eventfd_read(BAD, &value);
    eventfd_write(BAD, 5);
    read(fd, buffer, 8);
    read(fd, buffer, 1); /* EINVAL */
    close(fd);
    eventfd(0, 0x7fffffff);
    close(epoll_create(1));
    close(epoll_create1(0));
    epoll_create1(0x7fffffff);
    close(timerfd_create(CLOCK_MONOTONIC, 0));
    timerfd_create(99, 0);
    close(inotify_init());
    close(inotify_init1(IN_CLOEXEC));
    inotify_init1(0x7fffffff);
    fd = signalfd(-1, &none, 0);
    signalfd(fd, &none, 0);
    close(fd);
    signalfd(BAD, &none, 0);
    close(memfd_create("m", MFD_CLOEXEC));
    memfd_create("m", 0x7fffffff);
    shm_unlink("/scope-truth");
    close(shm_open("/scope-truth", O_CREAT | O_RDWR, 0600));
    shm_open("/scope-truth", O_CREAT | O_EXCL | O_RDWR, 0600);
    shm_unlink("/scope-truth");
}

static void bytes(void)
{
    int fd = open("data", O_RDWR | O_CREAT | O_TRUNC, 0600);

    write(fd, buffer, 5000);
    __write(fd, buffer, 7);
    pwrite(fd, buffer, 100, 50);
    pwrite64(fd, buffer, 101, 50);
    __pwrite64(fd, buffer, 102, 50);
    writev(fd, vector, 2);
    pwritev(fd, vector, 2, 0);
    pwritev64(fd, vector, 1, 0);
    pwritev2(fd, vector, 2, 0, 0);
    pwritev64v2(fd, vector, 2, 5, 0);
    write(fd, buffer, 0);
    write(fd, NULL, 10);
    write(BAD, buffer, 1);
    __write(BAD, buffer, 1);
    pwrite(BAD, buffer, 1, 0);
    pwrite64(fd, buffer, 1, -1);
    writev(fd, vector, -1);
    pwritev(BAD, vector, 2, 0);
    pwritev2(fd, vector, 2, 0, 0x40000000);
    lseek(fd, 0, SEEK_SET);
    lseek64(fd, 0, SEEK_CUR);
    __lseek(fd, 3, SEEK_SET);
    lseek(fd, -5, SEEK_SET);
    lseek64(BAD, 0, SEEK_SET);
    read(fd, buffer, 100);
    __read(fd, buffer, 101);
    __read_chk(fd, buffer, 102, sizeof(buffer));
    pread(fd, buffer, 103, 0);
    pread64(fd, buffer, 104, 9);
    __pread64(fd, buffer, 104, 9);
    __pread_chk(fd, buffer, 105, 9, sizeof(buffer));
    __pread64_chk(fd, buffer, 106, 9, sizeof(buffer));
    readv(fd, vector, 2);
    preadv(fd, vector, 2, 0);
    preadv64(fd, vector, 1, 0);
    preadv2(fd, vector, 2, 0, 0);
    preadv64v2(fd, vector, 2, 5, 0);
    read(fd, buffer, 0);
    read(fd, NULL, 10);
    read(BAD, buffer, 1);
    pread(BAD, buffer, 1, 0);
    pread64(fd, buffer, 1, -1);
    readv(BAD, vector, 2);
    preadv(fd, vector, 2, -2);
    preadv2(fd, vector, 2, 0, 0x40000000);
    close(fd);
    fd = open("data", O_WRONLY);
    read(fd, buffer, 10); /* EBADF, of a descriptor that is open */
    lseek(fd, 0, SEEK_END);
    close(fd);
    fd = open(".", O_RDONLY);
    read(fd, buffer, 10); /* EISDIR */
    close(fd);
}

static void copies(void)
{
    off_t at = 0;
    loff_t from = 0, to = 0;
    int ends[2], more[2], in = open("data", O_RDONLY), out = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0600);

    pipe(ends), pipe(more);
    sendfile(out, in, &at, 100);
    sendfile64(out, in, NULL, 200);
    sendfile(BAD, in, NULL, 5);
    sendfile64(out, BAD, NULL, 5);
    copy_file_range(in, &from, out, &to, 300, 0);
    copy_file_range(in, NULL, BAD, NULL, 300, 0);
    write(ends[1], buffer, 100);
    tee(ends[0], more[1], 50, 0);
    tee(ends[0], in, 50, 0);
    splice(ends[0], NULL, out, NULL, 60, 0);
    splice(in, NULL, out, NULL, 60, 0);
    vmsplice(more[1], vector, 2, 0);
    vmsplice(BAD, vector, 2, 0);
    close(in), close(out), close(ends[0]), close(ends[1]), close(more[0]), close(more[1]);
}

static void settling(void)
{
    int fd = open("data", O_RDWR);

    fsync(fd), fsync(BAD);
    fdatasync(fd), fdatasync(BAD);
    sync_file_range(fd, 0, 0, 0), sync_file_range(BAD, 0, 0, 0);
    fallocate(fd, 0, 0, 9000), fallocate(fd, 0, 0, 0);
    fallocate64(fd, 0, 0, 9001), fallocate64(BAD, 0, 0, 1);
    posix_fallocate(fd, 0, 9002), posix_fallocate(BAD, 0, 1);
    posix_fallocate64(fd, 0, 9003);
    ftruncate(fd, 100), ftruncate(fd, -1);
    ftruncate64(fd, 90), ftruncate64(BAD, 9);
    fchmod(fd, 0640), fchmod(BAD, 0);
    fchown(fd, getuid(), getgid()), fchown(BAD, 0, 0);
    munmap(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0), 4096);
    munmap(mmap64(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0), 4096);
    munmap(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
    mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, BAD, 0);
    close(fd);
}

static void asking(void)
{
    union {
        struct stat st;
        struct stat64 st64;
        struct statx x;
        struct statfs fs;
        struct statfs64 fs64;
        struct statvfs vfs;
        struct statvfs64 vfs64;
    } u;
    int fd = open("data", O_RDONLY), dir = open(".", O_RDONLY);

    stat("data", &u.st), stat("none", &u.st);
    stat64("data", &u.st64), stat64("data/x", &u.st64);
    lstat("data", &u.st), lstat("none", &u.st);
    lstat64("data", &u.st64), lstat64("", &u.st64);
    fstat(fd, &u.st), fstat(BAD, &u.st);
    fstat64(fd, &u.st64), fstat64(BAD, &u.st64);
    fstatat(dir, "data", &u.st, 0), fstatat(dir, "none", &u.st, 0);
    fstatat64(dir, "data", &u.st64, AT_SYMLINK_NOFOLLOW), fstatat64(BAD, "data", &u.st64, 0);
    fstatat(fd, "", &u.st, AT_EMPTY_PATH);
    __xstat(1, "data", &u), __xstat64(1, "none", &u);
    __lxstat(1, "data", &u), __lxstat64(1, "none", &u);
    __fxstat(1, fd, &u), __fxstat64(1, BAD, &u);
    __fxstatat(1, dir, "data", &u, 0), __fxstatat64(1, dir, "none", &u, 0);
    statx(dir, "data", 0, STATX_ALL, &u.x), statx(dir, "none", 0, STATX_ALL, &u.x);
    statfs("data", &u.fs), statfs("none", &u.fs);
    statfs64("data", &u.fs64), statfs64("none", &u.fs64);
    __statfs("data", &u.fs);
    fstatfs(fd, &u.fs), fstatfs(BAD, &u.fs);
    fstatfs64(fd, &u.fs64), fstatfs64(BAD, &u.fs64);
    statvfs("data", &u.vfs), statvfs("none", &u.vfs);
    statvfs64("data", &u.vfs64);
    fstatvfs(fd, &u.vfs), fstatvfs(BAD, &u.vfs);
    fstatvfs64(fd, &u.vfs64);
    access("data", R_OK), access("none", R_OK);
    euidaccess("data", R_OK), euidaccess("none", R_OK);
    eaccess("data", R_OK);
    faccessat(dir, "data", R_OK, 0), faccessat(dir, "none", R_OK, 0);
    faccessat(dir, "data", R_OK, AT_EACCESS);
    close(fd), close(dir);
}

static void names(void)
{
    int dir = open(".", O_RDONLY | O_DIRECTORY);

    mkdir("d", 0755), mkdir("d", 0755);
    mkdirat(dir, "e", 0755), mkdirat(dir, "e", 0755);
    link("data", "l1"), link("none", "l2");
    linkat(dir, "data", dir, "l3", 0), linkat(dir, "none", dir, "l4", 0);
    symlink("data", "s1"), symlink("data", "s1");
    symlinkat("data", dir, "s2"), symlinkat("data", BAD, "s2");
    readlink("s1", buffer, 100), readlink("data", buffer, 100);
    readlinkat(dir, "s2", buffer, 100), readlinkat(dir, "none", buffer, 100);
    __readlink_chk("s1", buffer, 100, sizeof(buffer));
    __readlinkat_chk(dir, "s2", buffer, 100, sizeof(buffer));
    rename("l1", "l5"), rename("none", "l5");
    renameat(dir, "l5", dir, "l6"), renameat(dir, "none", dir, "l6");
    renameat2(dir, "l6", dir, "l7", RENAME_NOREPLACE), renameat2(dir, "l7", dir, "l3", RENAME_NOREPLACE);
    truncate("data", 50), truncate("none", 50);
    truncate64("data", 60), truncate64(".", 60);
    chmod("data", 0600), chmod("none", 0600);
    lchmod("data", 0600), lchmod("none", 0600);
    fchmodat(dir, "data", 0600, 0), fchmodat(dir, "none", 0600, 0);
    fchmodat(dir, "data", 0600, AT_SYMLINK_NOFOLLOW);
    chown("data", getuid(), getgid()), chown("none", 0, 0);
    lchown("s1", getuid(), getgid()), lchown("none", 0, 0);
    fchownat(dir, "data", getuid(), getgid(), 0), fchownat(dir, "none", 0, 0, 0);
    unlink("l3"), unlink("none"), unlink("d");
    unlinkat(dir, "l7", 0), unlinkat(dir, "e", AT_REMOVEDIR), unlinkat(dir, "e", AT_REMOVEDIR);
    rmdir("d"), rmdir("d"), rmdir("data");
    mkdir("d", 0755);
    remove("d"), remove("s1"), remove("s2"), remove("none");
    mkdir("d", 0755);
    chdir("d"), chdir("none");
    fchdir(dir), fchdir(BAD);
    chroot("none");
    chroot("/");
    fchdir(dir);
    close(dir);
}

static void directories(void)
{
    struct dirent entry, *found;
    struct dirent64 entry64, *found64;
    struct dirent **list;

    close(creat("d/one", 0600)), close(creat("d/two", 0600));
    DIR *dir = opendir("d");
    while (readdir(dir))
        continue;
    rewinddir(dir);
    while (readdir64(dir))
        continue;
    closedir(dir);
    opendir("none"), opendir("data");
    dir = fdopendir(open("d", O_RDONLY | O_DIRECTORY));
    while (!readdir_r(dir, &entry, &found) && found)
        continue;
    seekdir(dir, telldir(dir));
    closedir(dir);
    dir = opendir("d");
    while (!readdir64_r(dir, &entry64, &found64) && found64)
        continue;
    closedir(dir);
    fdopendir(BAD);
    int fd = open("d", O_RDONLY | O_DIRECTORY);
    while (getdents64(fd, buffer, sizeof(buffer)) > 0)
        continue;
    getdents64(BAD, buffer, sizeof(buffer));
    close(fd);
    int n = scandir("d", &list, NULL, alphasort);
    while (n-- > 0)
        free(list[n]);
    free(list);
}

static int visit(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)path, (void)st, (void)kind, (void)where;
    return 0;
}

/* Functions that make system calls of their own and are not watched. */
static void unwatched(void)
{
    glob_t found;

    nftw("d", visit, 4, FTW_PHYS);
    glob("d/*", 0, NULL, &found);
    globfree(&found);
    free(realpath("d/one", NULL));
    free(realpath("none/x", NULL));
    free(getcwd(NULL, 0));
    system(":");
    sysconf(_SC_NPROCESSORS_ONLN);
    getloadavg((double[1]){0}, 1);
}

static void temporary(void)
{
    char name[64];

#define TEMP(call) (strcpy(name, "tmpXXXXXX.c"), close(call), unlink(name))
    strcpy(name, "tmpXXXXXX"), close(mkstemp(name)), unlink(name);
    strcpy(name, "tmpXXXXXX"), close(mkstemp64(name)), unlink(name);
    strcpy(name, "tmpXXXXXX"), close(mkostemp(name, O_CLOEXEC)), unlink(name);
    strcpy(name, "tmpXXXXXX"), close(mkostemp64(name, O_CLOEXEC)), unlink(name);
    TEMP(mkstemps(name, 2));
    TEMP(mkstemps64(name, 2));
    TEMP(mkostemps(name, 2, O_CLOEXEC));
    TEMP(mkostemps64(name, 2, O_CLOEXEC));
    strcpy(name, "none/XXXXXX"), mkstemp(name);
    strcpy(name, "dirXXXXXX"), mkdtemp(name), rmdir(name);
    strcpy(name, "none/XXXXXX"), mkdtemp(name);
    fclose(tmpfile());
    fclose(tmpfile64());
}

static void streams(void)
{
    char *line = NULL;
    size_t room = 0;
    FILE *f = fopen("stream", "w");

    for (int i = 0; i < 3000; i++)
        fprintf(f, "line %d\n", i);
    fflush(f);
    fputs("more", f);
    fclose(f);
    f = fopen64("stream", "a+");
    fputs("end\n", f);
    rewind(f);
    fgets(buffer, 20, f);
    fseek(f, 0, SEEK_END);
    ftell(f);
    fclose(f);
    f = fopen("stream", "r+");
    while (getline(&line, &room, f) > 0)
        continue;
    fseek(f, 10, SEEK_SET);
    fread(buffer, 1, 5000, f);
    f = freopen("stream", "r", f);
    fgetc(f);
    f = freopen64("data", "w", f);
    setvbuf(f, NULL, _IONBF, 0);
    fputs("unbuffered", f);
    fputc('x', f);
    fclose(f);
    f = fopen("stream", "w+");
    fwprintf(f, L"wide %d\n", 1);
    fclose(f);
    f = fopen("stream", "rm"); /* mapped, if libc likes */
    fgets(buffer, 20, f);
    fclose(f);
    f = fdopen(open("stream", O_RDONLY), "r");
    fgetc(f);
    fclose(f);
    f = fopen("/dev/full", "w");
    fputs("no room", f);
    fclose(f); /* ENOSPC */
    fopen("none/x", "r"), fopen64("none/x", "w");
    fopen("data", "q"), fdopen(BAD, "r");
    free(line);
    f = popen(":", "r");
    fgets(buffer, 20, f);
    pclose(f);
    errno = ENOENT;
    perror("ops");
    puts("at exit");
}

static void by_number(void)
{
    struct stat st;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "data", O_RDWR), ends[2];

    syscall(SYS_write, fd, buffer, 300);
    syscall(SYS_pwrite64, fd, buffer, 300, 0);
    syscall(SYS_writev, fd, vector, 2);
    syscall(SYS_lseek, fd, 0, SEEK_SET);
    syscall(SYS_read, fd, buffer, 10);
    syscall(SYS_pread64, fd, buffer, 10, 0);
    syscall(SYS_readv, fd, vector, 2);
    syscall(SYS_read, BAD, buffer, 10);
    syscall(SYS_newfstatat, AT_FDCWD, "data", &st, 0);
    syscall(SYS_fstat, fd, &st);
    syscall(SYS_fsync, fd);
    syscall(SYS_ftruncate, fd, 5);
    syscall(SYS_fallocate, fd, 0, 0, 10);
    syscall(SYS_fcntl, fd, F_GETFL);
    close((int)syscall(SYS_dup, fd));
    close((int)syscall(SYS_dup3, fd, 50, 0));
    syscall(SYS_pipe2, ends, 0);
    syscall(SYS_close, ends[0]);
    syscall(SYS_close_range, ends[1], ends[1], 0);
    close((int)syscall(SYS_eventfd2, 0, 0));
    close((int)syscall(SYS_memfd_create, "m", 0));
    syscall(SYS_mkdirat, AT_FDCWD, "sd", 0700);
    syscall(SYS_unlinkat, AT_FDCWD, "sd", AT_REMOVEDIR);
    syscall(SYS_faccessat, AT_FDCWD, "none", R_OK);
    syscall(SYS_readlinkat, AT_FDCWD, "none", buffer, 10);
    syscall(SYS_fchmodat, AT_FDCWD, "data", 0600);
    close((int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0));
    struct {
        uint64_t flags, mode, resolve;
    } how = {O_RDONLY, 0, 0};
    close((int)syscall(SYS_openat2, AT_FDCWD, "data", &how, sizeof(how)));
    syscall(SYS_openat2, AT_FDCWD, "none", &how, sizeof(how));
#ifdef SYS_open
    close((int)syscall(SYS_open, "data", O_RDONLY));
    close((int)syscall(SYS_creat, "data", 0600));
    syscall(SYS_stat, "data", &st), syscall(SYS_lstat, "none", &st);
    syscall(SYS_access, "data", R_OK);
    syscall(SYS_mkdir, "sd", 0700), syscall(SYS_rename, "sd", "se"), syscall(SYS_rmdir, "se");
    syscall(SYS_symlink, "data", "sl"), syscall(SYS_readlink, "sl", buffer, 10), syscall(SYS_unlink, "sl");
    syscall(SYS_chmod, "data", 0600), syscall(SYS_link, "data", "sk"), syscall(SYS_unlink, "sk");
    close((int)syscall(SYS_dup2, fd, 51));
#endif
    syscall(SYS_close, fd);
    syscall(SYS_close, BAD);
}

static struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &vector[0], .msg_iovlen = 1}},
                                     {.msg_hdr = {.msg_iov = &vector[1], .msg_iovlen = 1}}};

static void stream_sockets(int family, const struct sockaddr *to, socklen_t length)
{
    struct sockaddr_storage from;
    socklen_t room = sizeof(from);
    int listening = socket(family, SOCK_STREAM, 0), value;

    bind(listening, to, length);
    listen(listening, 5);
    room = sizeof(from);
    getsockname(listening, (struct sockaddr *)&from, &room);
    int client = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), second = socket(family, SOCK_STREAM, 0);
    connect(client, (struct sockaddr *)&from, room);
    __connect(second, (struct sockaddr *)&from, room);
    int one = accept(listening, NULL, NULL), two = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
    send(client, buffer, 100, 0), __send(client, buffer, 50, 0);
    recv(one, buffer, 60, MSG_WAITALL), __recv_chk(one, buffer, 60, sizeof(buffer), MSG_WAITALL);
    sendto(one, buffer, 30, 0, NULL, 0);
    recvfrom(client, buffer, 10, 0, NULL, NULL), __recvfrom_chk(client, buffer, 20, sizeof(buffer), 0, NULL, NULL);
    sendmsg(one, &messages[0].msg_hdr, 0), recvmsg(client, &messages[0].msg_hdr, 0);
    sendmmsg(one, messages, 2, 0), recvmmsg(client, messages, 1, 0, NULL);
    write(client, buffer, 11), read(one, buffer, 20);
    writev(client, vector, 2), readv(one, vector, 2);
    recv(two, buffer, 10, 0); /* EAGAIN */
    room = sizeof(value);
    getsockopt(client, SOL_SOCKET, SO_ERROR, &value, &room);
    getsockopt(client, SOL_SOCKET, 9999, &value, &room);
    connect(client, to, length);
    shutdown(client, SHUT_WR);
    recv(one, buffer, 10, 0);
    send(client, buffer, 1, MSG_NOSIGNAL); /* EPIPE */
    close(client), close(second), close(one), close(two), close(listening);
}

static void datagram_sockets(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage from;
    socklen_t length = sizeof(to), room = sizeof(from);
    int server = socket(AF_INET, SOCK_DGRAM, 0), client = socket(AF_INET, SOCK_DGRAM, 0), pair[2];

    bind(server, (struct sockaddr *)&to, length);
    bind(server, (struct sockaddr *)&to, length);
    getsockname(server, (struct sockaddr *)&to, &length);
    sendto(client, buffer, 100, 0, (struct sockaddr *)&to, length);
    recvfrom(server, buffer, 200, 0, (struct sockaddr *)&from, &room);
    connect(client, (struct sockaddr *)&to, length);
    send(client, buffer, 10, 0), recv(server, buffer, 100, 0);
    sendmmsg(client, messages, 2, 0), recvmmsg(server, messages, 2, 0, NULL);
    write(client, buffer, 0), read(server, buffer, 10);
    recv(server, buffer, 10, MSG_DONTWAIT); /* EAGAIN */
    recvmsg(server, &messages[0].msg_hdr, MSG_DONTWAIT);
    recvmmsg(server, messages, 2, MSG_DONTWAIT, NULL);
    close(server), close(client);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    socketpair(AF_INET, SOCK_STREAM, 0, pair + 0);
    write(pair[0], buffer, 5), read(pair[1], buffer, 10);
    close(pair[0]), close(pair[1]);
}

static void refused(void)
{
    struct sockaddr_un none = {.sun_family = AF_UNIX, .sun_path = "none"};
    struct sockaddr_in closed = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(1)};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    connect(fd, (struct sockaddr *)&none, sizeof(none));
    listen(fd, 1);
    accept(fd, NULL, NULL), accept4(fd, NULL, NULL, 0);
    close(fd);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    connect(fd, (struct sockaddr *)&closed, sizeof(closed));
    send(fd, buffer, 1, MSG_NOSIGNAL), recv(fd, buffer, 1, 0), shutdown(fd, SHUT_RD);
    close(fd);
    socket(AF_INET, 99, 0);
    bind(BAD, NULL, 0), listen(BAD, 1), accept(BAD, NULL, NULL), accept4(BAD, NULL, NULL, 0);
    connect(BAD, NULL, 0), send(BAD, buffer, 1, 0), recv(BAD, buffer, 1, 0), shutdown(BAD, SHUT_RD);
    sendto(BAD, buffer, 1, 0, NULL, 0), recvfrom(BAD, buffer, 1, 0, NULL, NULL);
    sendmsg(BAD, &messages[0].msg_hdr, 0), recvmsg(BAD, &messages[0].msg_hdr, 0);
    sendmmsg(BAD, messages, 1, 0), recvmmsg(BAD, messages, 1, 0, NULL);
    fd = open("data", O_RDONLY); /* no socket */
    send(fd, buffer, 1, 0), listen(fd, 1), shutdown(fd, SHUT_RD);
    close(fd);
}

static void *thread(void *unused)
{
    for (int i = 0; i < 20; i++)
        close(open("data", O_RDONLY));
    return unused;
}

int main(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 here6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_un named = {.sun_family = AF_UNIX, .sun_path = "sock"};
    pthread_t threads[3];

    opening();
    duplicates();
    events();
    bytes();
    copies();
    settling();
    asking();
    names();
    directories();
    unwatched();
    temporary();
    streams();
    by_number();
    stream_sockets(AF_INET, (struct sockaddr *)&here, sizeof(here));
    stream_sockets(AF_INET6, (struct sockaddr *)&here6, sizeof(here6));
    stream_sockets(AF_UNIX, (struct sockaddr *)&named, sizeof(named));
    datagram_sockets();
    refused();
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, thread, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
