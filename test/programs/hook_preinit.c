/* Makes watched calls before any constructor has run, the library's own included. */
/* scope-test: */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int early_fd = -2;
static char early[64];

static void before_all(int argc, char **argv, char **envp)
{
    early_fd = open("/etc/passwd", O_RDONLY);
    if (early_fd >= 0)
        read(early_fd, early, 4);
    write(1, "first\n", 6);
}
__attribute__((section(".preinit_array"), used)) static void (*entry)(int, char **,
                                                                      char **) = before_all;

__attribute__((constructor(102))) static void second(void)
{
    write(1, "second\n", 7);
}

int main(void)
{
    printf("read early: %s, %s\n", early_fd >= 0 ? "open" : "no", early);
    printf("%zd more\n", read(early_fd, early, 1));
    return close(early_fd);
}
