/*
 * Tells of the library's own troubles, in a file of the user's choice and nowhere else.
 */
#include "report/diagnostics.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "os/sys.h"
#include "report/report.h"

enum { LINES_A_SECOND = 20, LINE_MAX_BYTES = 512 };

static char path[1024];
static enum diagnostics_level most = DIAGNOSTICS_WARN;
static uint64_t second; /* of CLOCK_MONOTONIC, in which `lines` were written */
static uint32_t lines;
static uint32_t suppressed; /* since a line was last written */

void diagnostics_start(const struct conf *conf)
{
    path[0] = '\0';
    most = conf->diagnostics_level;
    if (!conf->diagnostics_to)
        return;
    const char *to = conf->diagnostics_to;
    if (!strncmp(to, "file://", 7))
        to += 7;
    if (strlen(to) < sizeof(path))
        memcpy(path, to, strlen(to) + 1);
}

/* True when there is room for one more line in this second. */
static bool admitted(uint32_t *missed)
{
    uint64_t now = now_mono() / 1000000000u;

    if (__atomic_exchange_n(&second, now, __ATOMIC_RELAXED) != now)
        __atomic_store_n(&lines, 0, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&lines, 1, __ATOMIC_RELAXED) > LINES_A_SECOND) {
        __atomic_add_fetch(&suppressed, 1, __ATOMIC_RELAXED);
        return false;
    }
    *missed = __atomic_exchange_n(&suppressed, 0, __ATOMIC_RELAXED);
    return true;
}

static void write_line(const char *line, size_t length)
{
    long fd =
        sys(openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0)
        return;
    (void)sys(write, fd, line, length);
    (void)sys(close, fd);
}

void diagnostics(enum diagnostics_level level, const char *format, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    char line[LINE_MAX_BYTES];
    uint32_t missed;

    if (!path[0] || level > most || !admitted(&missed))
        return;
    uint64_t now = now_unix();
    int n =
        snprintf(line, sizeof(line), "%llu.%03llu %ld %s ", (unsigned long long)(now / 1000000000u),
                 (unsigned long long)(now / 1000000u % 1000u), sys(getpid),
                 names[level <= DIAGNOSTICS_DEBUG ? level : DIAGNOSTICS_DEBUG]);
    size_t at = (size_t)n;
    if (missed)
        at += (size_t)snprintf(line + at, sizeof(line) - at, "(%u lines left out) ", missed);
    va_list args;
    va_start(args, format);
    n = vsnprintf(line + at, sizeof(line) - at - 1, format, args);
    va_end(args);
    at += n < 0 ? 0 : (size_t)n;
    if (at > sizeof(line) - 2)
        at = sizeof(line) - 2;
    /* A message may quote what a user wrote: one line stays one line. */
    for (size_t i = 0; i < at; i++) {
        if ((unsigned char)line[i] < ' ')
            line[i] = ' ';
    }
    line[at++] = '\n';
    write_line(line, at);
}

void diagnostics_trouble(void *context, const struct conf_trouble *trouble)
{
    (void)context;
    if (trouble->line)
        diagnostics(DIAGNOSTICS_WARN, "%s:%u:%u: %s", trouble->origin, trouble->line,
                    trouble->column, trouble->text);
    else
        diagnostics(DIAGNOSTICS_WARN, "%s: %s", trouble->origin, trouble->text);
}
