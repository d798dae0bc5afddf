/*
 * The name of a user, from /etc/passwd by raw system calls: the C library's way would load modules,
 * take locks and talk to daemons inside the host. Users that only a directory service knows have
 * none.
 */
#include "conf/internal.h"
#include "os/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { LINE_SIZE = 512 };

/* Whether one line is NAME:x:UID:...; leaves the name, NUL-ended, at its beginning. */
static bool line_is(char *line, uint32_t uid)
{
    char *name_end = strchr(line, ':');
    char *number = name_end ? strchr(name_end + 1, ':') : NULL;
    char *end = number ? strchr(++number, ':') : NULL;
    uint64_t value;
    if (!end || name_end == line)
        return false;
    *end = 0;
    *name_end = 0;
    return value_count(number, &value) == 0 && value == uid;
}

bool user_name(uint32_t uid, char *out, size_t size)
{
    char buffer[LINE_SIZE + 1];
    size_t have = 0;
    bool found = false, skip = false; /* skip: the rest of a line that was too long */
    int fd = (int)sys(openat, AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
    if (fd < 0)
        return false;
    while (!found) {
        long n = sys(read, fd, buffer + have, LINE_SIZE - have);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            break;
        have += (size_t)n;
        buffer[have] = 0;
        char *line = buffer, *newline;
        while (!found && (newline = memchr(line, '\n', have - (size_t)(line - buffer)))) {
            *newline = 0;
            found = !skip && line_is(line, uid) && strlen(line) < size;
            if (found)
                memcpy(out, line, strlen(line) + 1);
            skip = false;
            line = newline + 1;
        }
        have -= (size_t)(line - buffer);
        memmove(buffer, line, have);
        if (have == LINE_SIZE) {
            have = 0;
            skip = true;
        }
    }
    sys(close, fd);
    return found;
}
