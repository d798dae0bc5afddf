/* Bytes that never come into the program: sendfile, splice, tee, vmsplice, copies, maps, memfds. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SHOW(call) printf("%s = %ld\n", #call, (long)(call))

int main(void)
{
    char buffer[8192];
    int p[2], q[2];
    memset(buffer, 'a', sizeof(buffer));
    int from = open("from", O_RDWR | O_CREAT, 0600), to = open("to", O_RDWR | O_CREAT, 0600);
    SHOW(write(from, buffer, sizeof(buffer)));
    off_t at = 100;
    loff_t in = 0, out = 5000;
    SHOW(sendfile(to, from, &at, 1000));
    printf("at %ld\n", (long)at);
    SHOW(sendfile(to, from, NULL, 1000));
    SHOW(copy_file_range(from, &in, to, &out, 3000, 0) == 3000 || errno == EXDEV ||
         errno == EOPNOTSUPP);
    SHOW(pipe(p));
    SHOW(pipe2(q, O_CLOEXEC | O_NONBLOCK));
    in = 0;
    SHOW(splice(from, &in, p[1], NULL, 2000, 0));
    SHOW(tee(p[0], q[1], 2000, 0));
    SHOW(splice(p[0], NULL, to, NULL, 2000, 0));
    SHOW(read(q[0], buffer, sizeof(buffer)));
    SHOW(read(q[0], buffer, sizeof(buffer)));
    struct iovec iov = {buffer, 600};
    SHOW(vmsplice(p[1], &iov, 1, 0));
    SHOW(read(p[0], buffer, sizeof(buffer)));
    SHOW(ftruncate(to, 12345));
    struct stat st;
    fstat(to, &st);
    printf("size %ld\n", (long)st.st_size);

    char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, from, 4096);
    printf("map %c\n", map == MAP_FAILED ? '-' : map[4095]);
    munmap(map, 4096);
    int memory = memfd_create("scratch", 0);
    SHOW(write(memory, buffer, 100));
    SHOW(pread(memory, buffer, 200, 50));
    char name[64];
    snprintf(name, sizeof(name), "/scope-test-%d", (int)getpid());
    int shared = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    SHOW(shared >= 0);
    SHOW(ftruncate(shared, 4096));
    SHOW(shm_unlink(name));
    int event = eventfd(3, 0);
    eventfd_t value = 0;
    SHOW(eventfd_read(event, &value));
    printf("value %ld\n", (long)value);
    SHOW(eventfd_write(event, 9));
    SHOW(read(event, buffer, 8));
    SHOW(fallocate(from, 0, 0, 20000) == 0 || errno == EOPNOTSUPP);
    SHOW(posix_fallocate(from, 0, 30000));
    SHOW(fdatasync(from));
    SHOW(sync_file_range(from, 0, 0, SYNC_FILE_RANGE_WRITE) == 0 || errno == ESPIPE);
    char t1[] = "tempXXXXXX", t2[] = "tempXXXXXX.txt", t3[] = "dirXXXXXX";
    SHOW(mkstemp(t1) >= 0);
    SHOW(mkostemps(t2, 4, O_APPEND) >= 0);
    SHOW(mkdtemp(t3) == t3);
    SHOW(unlink(t1) || unlink(t2) || rmdir(t3));
    return unlink("from") || unlink("to");
}
