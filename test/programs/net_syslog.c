/* syslog with %m, without an ident, masked, with a long text and a wrong priority; errno stays. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

static void through(int priority, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsyslog(priority, format, arguments);
    va_end(arguments);
}

int main(void)
{
    static char text[5000];
    char ident[] = "first";
    int count = 0;

    memset(text, 'x', sizeof(text) - 1);
    syslog(LOG_INFO, "no ident yet");
    openlog(ident, LOG_PERROR | LOG_NDELAY, LOG_LOCAL3);
    errno = ENOENT;
    syslog(LOG_ERR, "cannot: %m");
    printf("%s\n", strerrorname_np(errno));
    memcpy(ident, "other", 5); /* libc reads the ident anew each time */
    syslog(LOG_DAEMON | LOG_WARNING, "%s %d%%%n", "ratio", 50, &count);
    printf("%d\n", count);
    syslog(LOG_NOTICE, "%s", text);
    through(LOG_DEBUG, "%5.2f|%-8s|%*d", 3.14159, "left", 6, 42);
    printf("%d\n", setlogmask(LOG_UPTO(LOG_ERR)));
    syslog(LOG_INFO, "masked");
    syslog(LOG_CRIT, "not masked");
    syslog(LOG_ERR, "two\nlines");
    syslog(LOG_ERR, "%s", "");
    closelog();
    syslog(LOG_ERR, "after closelog");
    return 0;
}
