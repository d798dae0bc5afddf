/*
 * stdio where it really reads and writes: the jump tables of libc's FILEs. printf, fgets and C++'s
 * streams on top of them are seen at the flush or fill, once, whichever call caused it.
 *
 * A table is patched only where its read and write slots are what we expect, by atomic stores, with
 * the protection of exactly the touched pages put back. Otherwise stdio stays as it is, unobserved.
 */
#include "hook/stdio.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "hook/internal.h"
#include "intercept/file.h"
#include "intercept/io.h"

/* The slots of struct _IO_jump_t, unchanged from glibc 2.1 to 2.41. */
enum { SLOT_READ = 14, SLOT_WRITE, SLOT_SEEK, SLOT_CLOSE, SLOT_STAT, SLOTS_END };
/* How far one table is from the next: since 2.38 they form an array, before each is aligned. */
enum { SLOTS = 21, SLOTS_ALIGNED = 24 };
enum { FILE_UNBUFFERED = 2, FILE_LINE_BUFFERED = 0x200 };

static struct {
    ssize_t (*read)(FILE *, void *, ssize_t);
    ssize_t (*write)(FILE *, const void *, ssize_t);
    off64_t (*seek)(FILE *, off64_t, int);
    int (*close)(FILE *);
    int (*close_process)(FILE *); /* popen's */
    int (*close_mapped)(FILE *);  /* fopen's with "m"; not exported, met in its table */
    int (*stat)(FILE *, void *);
} original;

static uintptr_t relro_low, relro_high;
static uint32_t patching;

/* The descriptor behind a FILE, without the checks and the lock of fileno(). */
static int descriptor_of(const FILE *file)
{
    return file->_fileno;
}

/* -------------------------------------------------- what stands in the slots */

static ssize_t stdio_read(FILE *file, void *buffer, ssize_t size)
{
    struct lane *lane = hook_lane();
    if (unlikely(!lane))
        return original.read(file, buffer, size);
    int fd = descriptor_of(file);
    fd_entry entry = entry_of(lane, fd);
    uint64_t start = ticks_now();
    ssize_t n = original.read(file, buffer, size);
    after_read(lane, OP_READ, fd, entry, start, n, size > 0 ? buffer : NULL);
    return n;
}

/* Data on its way from a full buffer may end in mid-line: the record says so. */
static void after_buffered(struct lane *lane, int fd, fd_entry entry, uint64_t start, ssize_t n,
                           const void *buffer)
{
    struct region_head *region = hook_region;
    uint64_t end = ticks_now();
    struct piece piece = {buffer, (uint32_t)n};
    uint32_t wanted =
        (entry & (FD_OUT | FD_ERR) ? WATCH_CONSOLE : 0) | (entry & FD_LOG ? WATCH_LOGS : 0);
    count_io(region, lane, OP_WRITE, fd, entry, start, end, n, 'w');
    if (region->watch & wanted)
        record_data(region, lane, OP_WRITE, fd, entry, start, end, n, &piece, 1,
                    RECORD_BUFFERED | (entry & FD_ERR ? RECORD_ERR : 0) |
                        (entry & FD_OUT ? RECORD_OUT : 0));
    after_any(region);
}

/*
 * perror and psignal write to a duplicate of standard error that libc makes for itself: a
 * descriptor that nobody saw, and the same file as number 2.
 */
static fd_entry met_writing(struct lane *lane, int fd)
{
    struct stat one, two;
    fd_entry entry = hook_fd(lane, fd);
    if (fd <= 2 || hook_region->sandboxed || !(entry & FD_OPEN) || sys(fstat, fd, &one) != 0 ||
        sys(fstat, 2, &two) != 0 || one.st_dev != two.st_dev || one.st_ino != two.st_ino)
        return entry;
    fd_change(fd, FD_GENERATION(entry), FD_ERR, 0);
    return fd_get(fd);
}

/* libc's function writes until all is written or a write fails, and says only how far it came. */
static ssize_t stdio_write(FILE *file, const void *buffer, ssize_t size)
{
    struct lane *lane = hook_lane();
    if (unlikely(!lane))
        return original.write(file, buffer, size);
    int fd = descriptor_of(file);
    bool full = !(file->_flags & (FILE_UNBUFFERED | FILE_LINE_BUFFERED));
    fd_entry entry = fd_get(fd);
    if (unlikely(!(entry & FD_OPEN)))
        entry = met_writing(lane, fd);
    uint64_t start = ticks_now();
    ssize_t n = original.write(file, buffer, size);
    const uint32_t data = FD_OUT | FD_ERR | FD_LOG;
    if (n > 0 && n <= UINT32_MAX && full && entry & data && !(entry & (IO_WRITE_SLOW & ~data)))
        after_buffered(lane, fd, entry, start, n, buffer);
    else if (n > 0)
        after_write(lane, OP_WRITE, fd, entry, start, n, buffer);
    if (n < size && size > 0)
        after_write(lane, OP_WRITE, fd, entry, start, -1, buffer);
    return n;
}

static off64_t stdio_seek(FILE *file, off64_t offset, int whence)
{
    struct lane *lane = hook_lane();
    if (unlikely(!lane))
        return original.seek(file, offset, whence);
    int fd = descriptor_of(file);
    fd_entry entry = fd_get(fd);
    uint64_t start = ticks_now();
    off64_t r = original.seek(file, offset, whence);
    int64_t result = with_errno(r);
    if (likely(entry & FD_OPEN))
        after_fd(lane, OP_LSEEK, fd, entry, start, result);
    else /* fopen with "a" seeks before it returns: the wrapper's after_open is still to come */
        count_call(hook_region, lane, OP_LSEEK, kind_of_fd(fd, KIND_FILE), start, ticks_now(), 0,
                   result < 0 ? (int)-result : 0);
    return r;
}

static int stdio_stat(FILE *file, void *status)
{
    struct lane *lane = hook_lane();
    if (unlikely(!lane))
        return original.stat(file, status);
    int fd = descriptor_of(file);
    fd_entry entry = entry_of(lane, fd);
    uint64_t start = ticks_now();
    int r = original.stat(file, status);
    after_fd(lane, OP_FSTAT, fd, entry, start, with_errno(r));
    return r;
}

static int close_with(FILE *file, int (*real)(FILE *), bool waits)
{
    struct lane *lane = hook_lane();
    if (unlikely(!lane))
        return real(file);
    int fd = descriptor_of(file);
    fd_entry was = fd_closing(fd);
    uint64_t start = ticks_now();
    int r = real(file);
    /* popen's returns the child's status; without a child to wait for it has closed all the same */
    int64_t result = r != -1 || (waits && errno == ECHILD) ? 0 : with_errno(r);
    if (result < 0 && result != -EINTR)
        fd_reopened(fd, was);
    after_close(lane, OP_CLOSE, fd, was, start, result);
    return r;
}

static int stdio_close(FILE *file)
{
    return close_with(file, original.close, false);
}

static int stdio_close_process(FILE *file)
{
    return close_with(file, original.close_process, true);
}

static int stdio_close_mapped(FILE *file)
{
    return close_with(file, original.close_mapped, false);
}

/* -------------------------------------------------- putting them there */

static bool known_protection(void)
{
    const struct elf_object *libc = preload_libc();
    if (!libc)
        return false;
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)libc->base;
    static const unsigned char magic[4] = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3};
    for (unsigned i = 0; i < sizeof(magic); i++) {
        if (header->e_ident[i] != magic[i])
            return false;
    }
    const ElfW(Phdr) *headers = (const ElfW(Phdr) *)(libc->base + header->e_phoff);
    elf_relro(libc->base, headers, header->e_phnum, &relro_low, &relro_high);
    return true;
}

static bool in_libc_data(const void **table)
{
    const struct elf_object *libc = preload_libc();
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)libc->base;
    const ElfW(Phdr) *headers = (const ElfW(Phdr) *)(libc->base + header->e_phoff);
    return elf_in_segment(libc->base, headers, header->e_phnum, (uintptr_t)table,
                          SLOTS_END * sizeof(*table), PF_W);
}

/* Makes the pages of [from, to) writable, or puts back what they were. */
static bool protect(uintptr_t from, uintptr_t to, int protection)
{
    uintptr_t low = from & ~(elf_page - 1), high = (to + elf_page - 1) & ~(elf_page - 1);
    low = low > relro_low ? low : relro_low;
    high = high < relro_high ? high : relro_high;
    return low >= high || sys(mprotect, low, high - low, protection) == 0;
}

static void put(const void **table, unsigned slot, const void *expected, const void *ours)
{
    if (expected && __atomic_load_n(&table[slot], __ATOMIC_RELAXED) == expected)
        __atomic_store_n(&table[slot], ours, __ATOMIC_RELEASE);
}

static bool is_ours(const void **table)
{
    return __atomic_load_n(&table[SLOT_READ], __ATOMIC_RELAXED) == (const void *)stdio_read;
}

static bool is_expected(const void **table)
{
    return __atomic_load_n(&table[SLOT_READ], __ATOMIC_RELAXED) == (const void *)original.read &&
           __atomic_load_n(&table[SLOT_WRITE], __ATOMIC_RELAXED) == (const void *)original.write;
}

/* A close of the table's own: there is one such table, which maps files. */
static void put_close_mapped(const void **table)
{
    const void *close = __atomic_load_n(&table[SLOT_CLOSE], __ATOMIC_RELAXED);
    if (close == (const void *)original.close || close == (const void *)original.close_process)
        return;
    if (!original.close_mapped)
        original.close_mapped = (int (*)(FILE *))close;
    put(table, SLOT_CLOSE, (const void *)original.close_mapped, (const void *)stdio_close_mapped);
}

static void patch_slots(const void **table)
{
    put_close_mapped(table);
    put(table, SLOT_SEEK, (const void *)original.seek, (const void *)stdio_seek);
    put(table, SLOT_CLOSE, (const void *)original.close, (const void *)stdio_close);
    put(table, SLOT_CLOSE, (const void *)original.close_process, (const void *)stdio_close_process);
    put(table, SLOT_STAT, (const void *)original.stat, (const void *)stdio_stat);
    put(table, SLOT_WRITE, (const void *)original.write, (const void *)stdio_write);
    put(table, SLOT_READ, (const void *)original.read, (const void *)stdio_read);
}

/* One or two tables (two NULL), on pages that are made writable together. True: they are ours. */
static bool patch_tables(const void **one, const void **two)
{
    /* who finds another thread at it leaves it to that one, or to the next stream of this kind */
    if (__atomic_exchange_n(&patching, 1, __ATOMIC_ACQUIRE))
        return false;
    const void **low = two && two < one ? two : one, **high = two && two > one ? two : one;
    uintptr_t from = (uintptr_t)&low[SLOT_READ], to = (uintptr_t)&high[SLOTS_END];
    bool writable = protect(from, to, PROT_READ | PROT_WRITE);
    if (writable) {
        patch_slots(one);
        if (two)
            patch_slots(two);
        protect(from, to, PROT_READ);
    }
    __atomic_store_n(&patching, 0, __ATOMIC_RELEASE);
    return writable;
}

/* A FILE of libc's ends with the pointer to its table. */
static const void **table_of(FILE *file)
{
    return *(const void ***)(file + 1);
}

bool stdio_patch(void)
{
    const void **bytes = hook_libc("_IO_file_jumps");
    const void **wide = hook_libc("_IO_wfile_jumps");
    if (!bytes || !known_protection())
        return false;
    original.write = (ssize_t(*)(FILE *, const void *, ssize_t))hook_libc("_IO_file_write");
    original.seek = (off64_t(*)(FILE *, off64_t, int))hook_libc("_IO_file_seek");
    original.close = (int (*)(FILE *))hook_libc("_IO_file_close");
    original.close_process = (int (*)(FILE *))hook_libc("_IO_proc_close");
    original.stat = (int (*)(FILE *, void *))hook_libc("_IO_file_stat");
    original.read = (ssize_t(*)(FILE *, void *, ssize_t))hook_libc("_IO_file_read");
    if (!original.write || !original.read)
        return false;
    if (!in_libc_data(bytes) || !is_expected(bytes))
        return false;
    if (wide && (!in_libc_data(wide) || !is_expected(wide)))
        wide = NULL;
    return patch_tables(bytes, wide);
}

/* True: the table is ours, now or already. */
static bool patch_met(const void **table)
{
    if (!in_libc_data(table))
        return false;
    return is_ours(table) || (is_expected(table) && patch_tables(table, NULL));
}

bool stdio_patch_file(FILE *file)
{
    const void **table = table_of(file);
    if (!original.read)
        return false;
    if (in_libc_data(table) && is_ours(table))
        return true;
    if (!patch_met(table))
        return false;
    /* a file that may be mapped moves on to the table beside this one when it is */
    for (int slots = SLOTS; slots <= SLOTS_ALIGNED; slots += SLOTS_ALIGNED - SLOTS) {
        patch_met(table - slots);
        patch_met(table + slots);
    }
    return true;
}

const char *stdio_unseen(void)
{
    const void **bytes = hook_libc("_IO_file_jumps");

    if (!bytes || !original.read || !original.write)
        return "libc does not show its table";
    if (!in_libc_data(bytes))
        return "libc's table is not where its data is";
    if (is_ours(bytes))
        return NULL;
    return is_expected(bytes) ? "its table may not be written"
                              : "its table is not as expected: another library has changed it";
}
