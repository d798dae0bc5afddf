/*
 * Looks at the head of an executable file: whether our library can be loaded into it.
 */
#include "os/target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "os/sys.h"

#ifndef AT_EACCESS
#define AT_EACCESS 0x200
#endif

enum { HEAD_BYTES = 1024, NAME_BYTES = 256, PATH_BYTES = 1024 };

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#endif

/* C libraries that a library made for glibc cannot be loaded beside. */
static bool is_other_libc(const char *interpreter)
{
    return strstr(interpreter, "musl") || strstr(interpreter, "uClibc") ||
           strstr(interpreter, "linker64");
}

static enum target elf_target(long fd, const unsigned char *head, long length)
{
    Elf64_Ehdr e;
    char name[NAME_BYTES];

    if (length < (long)sizeof(e))
        return TARGET_NATIVE;
    memcpy(&e, head, sizeof(e));
    if (e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_machine != OUR_MACHINE ||
        e.e_ident[EI_DATA] !=
            (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB))
        return TARGET_FOREIGN;
    if (e.e_phentsize != sizeof(Elf64_Phdr))
        return TARGET_NATIVE;
    for (unsigned i = 0; i < e.e_phnum && i < 64; i++) {
        Elf64_Phdr p;
        uint64_t at = e.e_phoff + i * sizeof(p);
        if (at <= (uint64_t)length && (uint64_t)length - at >= sizeof(p))
            memcpy(&p, head + at, sizeof(p));
        else if (sys(pread64, fd, &p, sizeof(p), at) != sizeof(p))
            return TARGET_NATIVE;
        if (p.p_type != PT_INTERP)
            continue;
        long n = sys(pread64, fd, name, sizeof(name) - 1, p.p_offset);
        name[n > 0 ? n : 0] = '\0';
        return is_other_libc(name) ? TARGET_FOREIGN : TARGET_NATIVE;
    }
    return TARGET_STATIC;
}

static enum target fd_target(long fd, bool script);

/* The file that the first line names; what that is, is not asked again. */
static enum target script_target(const unsigned char *head, long length)
{
    char name[NAME_BYTES];
    long from = 2, n = 0;

    while (from < length && (head[from] == ' ' || head[from] == '\t'))
        from++;
    while (from < length && n + 1 < (long)sizeof(name) && head[from] > ' ')
        name[n++] = (char)head[from++];
    name[n] = '\0';
    long fd = sys(openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return TARGET_NATIVE;
    enum target target = fd_target(fd, false);
    sys(close, fd);
    return target;
}

static enum target fd_target(long fd, bool script)
{
    unsigned char head[HEAD_BYTES];

    long n = sys(pread64, fd, head, sizeof(head), 0);
    if (n == -EISDIR)
        return TARGET_REFUSED;
    if (n >= 4 && !memcmp(head, ELFMAG, SELFMAG))
        return elf_target(fd, head, n);
    if (script && n > 2 && head[0] == '#' && head[1] == '!')
        return script_target(head, n);
    return TARGET_NATIVE;
}

enum target target_at(int dirfd, const char *path, int flags)
{
    long fd;

    if ((flags & AT_EMPTY_PATH) && !*path) {
        /* A descriptor may have been opened with O_PATH: read through its name. */
        static const char prefix[] = "/proc/self/fd/";
        char name[sizeof(prefix) + 12];
        char *p = name + sizeof(name);
        unsigned number = (unsigned)dirfd;
        *--p = '\0';
        do {
            *--p = (char)('0' + number % 10);
            number /= 10;
        } while (number);
        p -= sizeof(prefix) - 1;
        memcpy(p, prefix, sizeof(prefix) - 1);
        fd = sys(openat, AT_FDCWD, p, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    } else {
        fd = sys(openat, dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    }
    if (fd == -ENOENT || fd == -ENOTDIR)
        return TARGET_MISSING;
    if (fd < 0)
        return TARGET_NATIVE; /* it may be executed and not read */
    enum target target = fd_target(fd, true);
    sys(close, fd);
    return target;
}

enum target target_find(const char *file, const char *directories, char *out, unsigned long size)
{
    enum target result = TARGET_MISSING;
    size_t length = strlen(file);

    out[0] = '\0';
    if (!length)
        return TARGET_MISSING;
    if (strchr(file, '/')) {
        if (length >= size)
            return TARGET_NATIVE;
        memcpy(out, file, length + 1);
        result = target_at(AT_FDCWD, file, 0);
        if (result != TARGET_MISSING && sys(faccessat, AT_FDCWD, file, X_OK) == -EACCES)
            result = TARGET_REFUSED;
        return result;
    }
    for (const char *d = directories ? directories : "/bin:/usr/bin"; d;) {
        const char *end = strchr(d, ':');
        size_t n = end ? (size_t)(end - d) : strlen(d);
        if (n + length + 2 <= size) {
            memcpy(out, d, n);
            if (n)
                out[n++] = '/';
            memcpy(out + n, file, length + 1);
            long r = sys(faccessat, AT_FDCWD, out, X_OK);
            if (r == 0) {
                enum target found = target_at(AT_FDCWD, out, 0);
                if (found != TARGET_MISSING)
                    return found;
            } else if (r == -EACCES) {
                result = TARGET_REFUSED;
            }
        }
        d = end ? end + 1 : NULL;
    }
    out[0] = '\0';
    return result;
}

enum target target_search(const char *file, const char *directories)
{
    char path[PATH_BYTES];

    return target_find(file, directories, path, sizeof(path));
}
