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
enum { PHDR_MAX = 64, DYNAMIC_BLOCK = 24 };

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

struct elf {
    long fd;
    const unsigned char *head;
    long length;
    Elf64_Ehdr e;
};

static bool program_header(const struct elf *f, unsigned i, Elf64_Phdr *p)
{
    uint64_t at = f->e.e_phoff + i * sizeof(*p);

    /* compared so that an offset near the top of the range does not wrap into the head */
    if (at <= (uint64_t)f->length && (uint64_t)f->length - at >= sizeof(*p)) {
        memcpy(p, f->head + at, sizeof(*p));
        return true;
    }
    return sys(pread64, f->fd, p, sizeof(*p), at) == sizeof(*p);
}

static uint64_t offset_of(const struct elf *f, uint64_t address)
{
    Elf64_Phdr p;

    for (unsigned i = 0; i < f->e.e_phnum && i < PHDR_MAX; i++) {
        if (program_header(f, i, &p) && p.p_type == PT_LOAD && address - p.p_vaddr < p.p_filesz)
            return p.p_offset + (address - p.p_vaddr);
    }
    return 0;
}

/*
 * gcc's AddressSanitizer is a shared library that ends the program unless it is the first to be
 * loaded, so the first one needed; clang's is a part of the program, and lets others in.
 */
static bool needs_asan(const struct elf *f, const Elf64_Phdr *dynamic)
{
    Elf64_Dyn d[DYNAMIC_BLOCK];
    uint64_t needed = 0, strings = 0, end = dynamic->p_offset + dynamic->p_filesz;
    char name[32];
    bool found = false, over = false;
    long n;

    for (uint64_t from = dynamic->p_offset; from < end && !over && !strings; from += sizeof(d)) {
        n = sys(pread64, f->fd, d, sizeof(d), from);
        over = n < (long)sizeof(d);
        for (long i = 0; i < n / (long)sizeof(d[0]); i++) {
            if (d[i].d_tag == DT_NULL) {
                over = true;
                break;
            }
            if (d[i].d_tag == DT_NEEDED && !found) {
                needed = d[i].d_un.d_val;
                found = true;
            } else if (d[i].d_tag == DT_STRTAB) {
                strings = d[i].d_un.d_ptr;
            }
        }
    }
    uint64_t at = found && strings ? offset_of(f, strings) : 0;
    if (!at)
        return false;
    n = sys(pread64, f->fd, name, sizeof(name) - 1, at + needed);
    name[n > 0 ? n : 0] = '\0';
    return !strncmp(name, "libasan.so", 10) || !strncmp(name, "libclang_rt.asan", 16);
}

static enum target elf_target(long fd, const unsigned char *head, long length)
{
    struct elf f = {.fd = fd, .head = head, .length = length};
    Elf64_Phdr p, dynamic = {0};
    char name[NAME_BYTES];
    bool has_loader = false;

    if (length < (long)sizeof(f.e))
        return TARGET_NATIVE;
    memcpy(&f.e, head, sizeof(f.e));
    if (f.e.e_ident[EI_CLASS] != ELFCLASS64 || f.e.e_machine != OUR_MACHINE ||
        f.e.e_ident[EI_DATA] !=
            (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB))
        return TARGET_FOREIGN;
    if (f.e.e_phentsize != sizeof(p))
        return TARGET_NATIVE;
    for (unsigned i = 0; i < f.e.e_phnum && i < PHDR_MAX; i++) {
        if (!program_header(&f, i, &p))
            return TARGET_NATIVE;
        if (p.p_type == PT_DYNAMIC)
            dynamic = p;
        if (p.p_type != PT_INTERP)
            continue;
        long n = sys(pread64, fd, name, sizeof(name) - 1, p.p_offset);
        name[n > 0 ? n : 0] = '\0';
        if (is_other_libc(name))
            return TARGET_FOREIGN;
        has_loader = true;
    }
    if (!has_loader)
        return TARGET_STATIC;
    return needs_asan(&f, &dynamic) ? TARGET_UNWILLING : TARGET_NATIVE;
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
