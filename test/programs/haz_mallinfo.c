/* What libc's allocator says of itself is the same before and after a thousand calls. */
/* scope-test: */
#define _GNU_SOURCE
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
    struct stat st;
    char byte;
    struct mallinfo before = mallinfo();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++) {
            int fd = open("/dev/zero", O_RDONLY);
            read(fd, &byte, 1);
            fstat(fd, &st);
            close(fd);
        }
        usleep(50000);
    }
    struct mallinfo after = mallinfo();
    printf("arena %d, in use %d, free %d, mapped %d\n", after.arena - before.arena,
           after.uordblks - before.uordblks, after.fordblks - before.fordblks,
           after.hblks - before.hblks);
    return 0;
}
