/* What an executable is: by its head, by its name, by a search. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/target.h"

static char directory[] = "/tmp/scope-target-XXXXXX";

static const char *make(const char *name, const void *data, size_t length, mode_t mode)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0700);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, length), (ssize_t)length);
    close(fd);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

/* A small ELF file: a header, one program header, and the interpreter's name behind them. */
static enum target of_elf(unsigned char class, uint16_t machine, const char *interpreter)
{
    struct {
        Elf64_Ehdr e;
        Elf64_Phdr p;
        char name[64];
    } file = {0};

    memcpy(file.e.e_ident, ELFMAG, SELFMAG);
    file.e.e_ident[EI_CLASS] = class;
    file.e.e_ident[EI_DATA] = ELFDATA2LSB;
    file.e.e_machine = machine;
    file.e.e_phoff = sizeof(file.e);
    file.e.e_phentsize = sizeof(Elf64_Phdr);
    file.e.e_phnum = 1;
    if (interpreter) {
        file.p.p_type = PT_INTERP;
        file.p.p_offset = offsetof(__typeof__(file), name);
        strcpy(file.name, interpreter);
    }
    return target_at(AT_FDCWD, make("elf", &file, sizeof(file), 0700), 0);
}

#if defined(__x86_64__)
enum { OURS = EM_X86_64, OTHER = EM_AARCH64 };
#else
enum { OURS = EM_AARCH64, OTHER = EM_X86_64 };
#endif

/* What this very program is: one with gcc's AddressSanitizer starts behind no other library. */
#ifdef __SANITIZE_ADDRESS__
enum { SELF = TARGET_UNWILLING };
#else
enum { SELF = TARGET_NATIVE };
#endif

static void elf_files(void **state)
{
    (void)state;
    assert_int_equal(of_elf(ELFCLASS64, OURS, "/lib64/ld-linux-x86-64.so.2"), TARGET_NATIVE);
    assert_int_equal(of_elf(ELFCLASS64, OURS, "/lib/ld-musl-x86_64.so.1"), TARGET_FOREIGN);
    assert_int_equal(of_elf(ELFCLASS64, OURS, NULL), TARGET_STATIC);
    assert_int_equal(of_elf(ELFCLASS32, EM_386, "/lib/ld-linux.so.2"), TARGET_FOREIGN);
    assert_int_equal(of_elf(ELFCLASS64, OTHER, "/lib/ld-linux.so.1"), TARGET_FOREIGN);
    assert_int_equal(target_at(AT_FDCWD, "/proc/self/exe", 0), SELF);
    int fd = open("/proc/self/exe", O_PATH);
    assert_int_equal(target_at(fd, "", AT_EMPTY_PATH), SELF);
    close(fd);
}

/* Heads cut anywhere, and headers that point outside the file: an answer, never a fault. */
static void broken_files(void **state)
{
    unsigned char bytes[256];

    (void)state;
    int fd = open("/proc/self/exe", O_RDONLY);
    assert_int_equal(read(fd, bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
    close(fd);
    for (size_t n = 0; n < sizeof(bytes); n++)
        (void)target_at(AT_FDCWD, make("cut", bytes, n, 0700), 0);
    ((Elf64_Ehdr *)(void *)bytes)->e_phoff = UINT64_MAX - 8;
    assert_int_equal(target_at(AT_FDCWD, make("far", bytes, sizeof(bytes), 0700), 0),
                     TARGET_NATIVE);
}

static void scripts(void **state)
{
    char text[300];

    (void)state;
    assert_int_equal(target_at(AT_FDCWD, make("s", "#!/bin/sh\n", 10, 0700), 0), TARGET_NATIVE);
    assert_int_equal(of_elf(ELFCLASS32, EM_386, NULL), TARGET_FOREIGN);
    int n = snprintf(text, sizeof(text), "#! \t%s/elf  -x\n", directory);
    assert_int_equal(target_at(AT_FDCWD, make("odd", text, (size_t)n, 0700), 0), TARGET_FOREIGN);
    /* One that names itself is looked at once. */
    n = snprintf(text, sizeof(text), "#!%s/self\n", directory);
    assert_int_equal(target_at(AT_FDCWD, make("self", text, (size_t)n, 0700), 0), TARGET_NATIVE);
    assert_int_equal(target_at(AT_FDCWD, make("none", "#!", 2, 0700), 0), TARGET_NATIVE);
}

static void searches(void **state)
{
    char out[256], path[600];

    (void)state;
    make("there", "#!/bin/sh\n", 10, 0700);
    snprintf(path, sizeof(path), "/nonexistent:%s:/bin", directory);
    assert_int_equal(target_find("there", path, out, sizeof(out)), TARGET_NATIVE);
    assert_string_equal(strrchr(out, '/'), "/there");
    assert_int_equal(target_find("absent", path, out, sizeof(out)), TARGET_MISSING);
    assert_string_equal(out, "");
    assert_int_equal(target_find("", path, out, sizeof(out)), TARGET_MISSING);
    assert_int_equal(target_find("/nonexistent/x", path, out, sizeof(out)), TARGET_MISSING);
    assert_int_equal(target_find("sh", NULL, out, sizeof(out)), TARGET_NATIVE);
    assert_int_equal(target_search("sh", NULL), TARGET_NATIVE);
    assert_int_equal(target_find("/etc", path, out, sizeof(out)), TARGET_REFUSED);
    assert_int_equal(target_find("/etc/passwd", path, out, sizeof(out)), TARGET_REFUSED);
    /* An empty entry is the current directory. */
    assert_int_equal(chdir(directory), 0);
    assert_int_equal(target_find("there", "/nonexistent:", out, sizeof(out)), TARGET_NATIVE);
    assert_string_equal(out, "there");
    /* What does not fit is not guessed. */
    assert_int_equal(target_find("there", directory, out, 10), TARGET_MISSING);
}

static int begin(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int end(void **state)
{
    char command[300];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", directory);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elf_files),
        cmocka_unit_test(broken_files),
        cmocka_unit_test(scripts),
        cmocka_unit_test(searches),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
