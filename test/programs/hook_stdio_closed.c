/* Standard output and error are closed, reused, and written to all the same. */
/* scope-test: */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
    int keep = dup(1);
    close(1);
    printf("nowhere\n");
    int r = fflush(stdout), e = errno;
    dprintf(keep, "flush %d %s\n", r, strerror(e));
    int fd = open("elsewhere", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dprintf(keep, "number %d\n", fd);
    printf("into the file\n");
    dprintf(keep, "flush %d\n", fflush(stdout));
    dup2(keep, 1);
    printf("back again\n");
    fclose(stderr);
    return fclose(stdout);
}
