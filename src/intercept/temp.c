/* Temporary files and directories: libc finds the name, and the template holds it afterwards. */
#include "intercept/file.h"

#include <stdlib.h>
#include <unistd.h>

enum { TEMP_FLAGS = O_RDWR | O_CREAT | O_EXCL, TEMP_MODE = 0600, TEMP_DIRECTORY_MODE = 0700 };

/* A template that libc refuses (EINVAL) is not the kernel's to read. */
static void after_temp(struct lane *lane, const char *path, int flags, uint64_t start,
                       int64_t result)
{
    after_open(lane, OP_MKSTEMP, AT_FDCWD, path, TEMP_FLAGS | flags, TEMP_MODE, start, result);
}

/* clang-format off */
#define TEMP(name, parameters, arguments, flags)                                                   \
    WRAP(int, name, parameters, arguments, after_temp(lane, path, flags, start, result))
TEMP(mkstemp, (char *path), (path), 0)
TEMP(mkstemp64, (char *path), (path), 0)
TEMP(mkostemp, (char *path, int flags), (path, flags), flags)
TEMP(mkostemp64, (char *path, int flags), (path, flags), flags)
TEMP(mkstemps, (char *path, int suffix), (path, suffix), 0)
TEMP(mkstemps64, (char *path, int suffix), (path, suffix), 0)
TEMP(mkostemps, (char *path, int suffix, int flags), (path, suffix, flags), flags)
TEMP(mkostemps64, (char *path, int suffix, int flags), (path, suffix, flags), flags)
/* clang-format on */

EXPORT char *mkdtemp(char *path)
{
    REAL(mkdtemp)
    INTERCEPT_LANE(real(path));
    uint64_t start = ticks_now();
    char *r = real(path);
    after_path(lane, OP_MKDIR, AT_FDCWD, path, AT_FDCWD, NULL, TEMP_DIRECTORY_MODE, start,
               r ? 0 : -(int64_t)errno);
    return r;
}
