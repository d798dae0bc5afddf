/* Terminals: forkpty, openpty, a child's job control, a hang-up; what is a terminal stays one. */
/* scope-test: */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

int main(void)
{
    int master, slave, status;
    struct winsize size = {.ws_row = 31, .ws_col = 77};
    struct termios t;
    char buffer[4096];
    size_t n = 0;

    signal(SIGHUP, SIG_IGN);
    pid_t pid = forkpty(&master, NULL, NULL, &size);
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c",
              "stty size; tty >/dev/null && echo a tty; read x; echo \"got $x\"; exit 6",
              (char *)NULL);
        _exit(9);
    }
    write(master, "typed\n", 6);
    for (ssize_t got;
         n < sizeof(buffer) && (got = read(master, buffer + n, sizeof(buffer) - n)) > 0;)
        n += (size_t)got;
    printf("errno at the end: %d\n", errno);
    waitpid(pid, &status, 0);
    /* The echo comes when it comes: lines of the child only. */
    buffer[n < sizeof(buffer) ? n : n - 1] = '\0';
    printf("size %d, tty %d, got %d, status %x\n", strstr(buffer, "31 77") != NULL,
           strstr(buffer, "a tty") != NULL, strstr(buffer, "got typed") != NULL, status);
    close(master);

    printf("openpty %d\n", openpty(&master, &slave, NULL, NULL, &size));
    printf("terminal %d %d %d\n", isatty(master), isatty(slave),
           isatty(open("/dev/null", O_RDONLY)));
    tcgetattr(slave, &t);
    cfmakeraw(&t);
    tcsetattr(slave, TCSANOW, &t);
    write(slave, "raw\n", 4);
    printf("read %zd\n", read(master, buffer, sizeof(buffer)));
    FILE *f = fdopen(slave, "w");
    fprintf(f, "line buffered\nrest");
    printf("read %zd\n", read(master, buffer, sizeof(buffer)));
    close(master);
    errno = 0;
    printf("write after the hang-up: %d", fflush(f));
    printf(" %d\n", errno);
    return 0;
}
