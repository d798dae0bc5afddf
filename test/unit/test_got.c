/* Patching of GOT slots: in an object made by hand, with every sort of slot, on real pages. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hook/elf.c"
#include "hook/got.c"
#include "hook/preload.c"

enum { PAGE = 4096, TEXT = 0, RELRO = PAGE, DATA = 2 * PAGE, SIZE = 3 * PAGE };

static const char names[] = "\0read\0write\0own\0other";
enum { READ = 1, WRITE = 6, OWN = 12, OTHER = 16 };
static const ElfW(Sym) symbols[] = {
    {0}, {.st_name = READ}, {.st_name = WRITE}, {.st_name = OWN, .st_shndx = 1}, {.st_name = OTHER},
};
static char *memory;
static int before, instead; /* their addresses stand for functions */

static ElfW(Rela) slot(size_t at, unsigned symbol, unsigned type, const void *value)
{
    memcpy(memory + at, &value, sizeof(value));
    return (ElfW(Rela)){.r_offset = at, .r_info = ELF64_R_INFO(symbol, type)};
}

static void *value_at(size_t at)
{
    void *value;
    memcpy(&value, memory + at, sizeof(value));
    return value;
}

static const ElfW(Phdr) headers[] = {
    {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = TEXT, .p_memsz = PAGE},
    {.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = RELRO, .p_memsz = 2 * PAGE},
    {.p_type = PT_GNU_RELRO, .p_vaddr = RELRO, .p_memsz = PAGE},
};

static struct got_object object(void)
{
    return (struct got_object){
        .elf = {.base = (uintptr_t)memory, .symbols = symbols, .strings = names},
        .headers = headers,
        .header_count = 3,
    };
}

static unsigned unbound_seen;

static void *replace(void *context, const char *name, const void *value, bool bound)
{
    (void)context;
    unbound_seen += !bound;
    assert_string_not_equal(name, "own");
    if (strcmp(name, "read") != 0 && strcmp(name, "write") != 0)
        return NULL;
    return !bound || value == &before ? &instead : NULL;
}

static int set_up(void **state)
{
    (void)state;
    memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unbound_seen = 0;
    return memory == MAP_FAILED;
}

static int tear_down(void **state)
{
    (void)state;
    return munmap(memory, SIZE);
}

static void protection_of(const char *at, char flags[5])
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    flags[0] = '\0';
    while (fgets(line, sizeof(line), maps)) {
        unsigned long low, high;
        char f[5];
        if (sscanf(line, "%lx-%lx %4s", &low, &high, f) == 3 && (uintptr_t)at >= low &&
            (uintptr_t)at < high)
            memcpy(flags, f, 5);
    }
    fclose(maps);
}

static void test_slots(void **state)
{
    (void)state;
    const ElfW(Rela) data[] = {
        slot(RELRO + 8, 1, GLOB_DAT, &before),      /* patched, behind read-only pages */
        slot(RELRO + 16, 4, GLOB_DAT, &before),     /* a name that is not asked for */
        slot(DATA + 8, 1, GLOB_DAT, &unbound_seen), /* bound to something else */
        slot(DATA + 16, 3, GLOB_DAT, &before),      /* the object's own function */
        slot(DATA + 24, 1, 0, &before),             /* not a slot of the GOT */
        slot(DATA + 36, 1, GLOB_DAT, &before),      /* not aligned */
    };
    const ElfW(Rela) jump[] = {
        slot(DATA + 48, 2, JUMP_SLOT, &before),                       /* patched */
        slot(DATA + 56, 2, JUMP_SLOT, memory + TEXT),                 /* not bound yet: patched */
        {.r_offset = TEXT + 8, .r_info = ELF64_R_INFO(1, JUMP_SLOT)}, /* not in writable memory */
        {.r_offset = SIZE, .r_info = ELF64_R_INFO(1, JUMP_SLOT)},     /* not in the object */
    };
    struct got_object g = object();
    char flags[5];
    g.elf.relocations[0] = (struct elf_relocations){data, 6, sizeof(data[0])};
    g.elf.relocations[2] = (struct elf_relocations){jump, 4, sizeof(jump[0])};
    assert_int_equal(mprotect(memory + RELRO, PAGE, PROT_READ), 0);

    assert_int_equal(got_patch_object(&g, replace, NULL), 3);
    assert_ptr_equal(value_at(RELRO + 8), &instead);
    assert_ptr_equal(value_at(RELRO + 16), &before);
    assert_ptr_equal(value_at(DATA + 8), &unbound_seen);
    assert_ptr_equal(value_at(DATA + 16), &before);
    assert_ptr_equal(value_at(DATA + 24), &before);
    assert_ptr_equal(value_at(DATA + 36), &before);
    assert_ptr_equal(value_at(DATA + 48), &instead);
    assert_ptr_equal(value_at(DATA + 56), &instead);
    assert_true(unbound_seen > 0);
    protection_of(memory + RELRO, flags);
    assert_string_equal(flags, "r--p");
    protection_of(memory + DATA, flags);
    assert_string_equal(flags, "rw-p");
    /* once more: nothing is left to do */
    unbound_seen = 0;
    assert_int_equal(got_patch_object(&g, replace, NULL), 0);
    assert_int_equal(unbound_seen, 0);
}

/* REL entries are shorter, and lie in a table of their own. */
static void test_rel(void **state)
{
    (void)state;
    const ElfW(Rela) one = slot(DATA, 1, GLOB_DAT, &before);
    const ElfW(Rela) two = slot(DATA + 8, 2, JUMP_SLOT, &before);
    const ElfW(Rel) table[] = {{one.r_offset, one.r_info}, {two.r_offset, two.r_info}};
    struct got_object g = object();
    g.elf.relocations[1] = (struct elf_relocations){table, 1, sizeof(table[0])};
    g.elf.relocations[2] = (struct elf_relocations){&table[1], 1, sizeof(table[0])};
    assert_int_equal(got_patch_object(&g, replace, NULL), 2);
    assert_ptr_equal(value_at(DATA), &instead);
    assert_ptr_equal(value_at(DATA + 8), &instead);
}

/* Where pages cannot be made writable, nothing is changed. */
static void test_refused(void **state)
{
    (void)state;
    const ElfW(Rela)
        data[] = {slot(RELRO + 8, 1, GLOB_DAT, &before), slot(DATA + 8, 1, GLOB_DAT, &before)};
    struct got_object g = object();
    g.elf.relocations[0] = (struct elf_relocations){data, 2, sizeof(data[0])};
    char name[] = "/tmp/test_got_XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    /* a shared read-only mapping of a file that is open for reading alone */
    assert_int_equal(write(fd, memory, SIZE), SIZE);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    FILE *again = fopen(path, "r");
    assert_ptr_equal(
        mmap(memory + RELRO, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fileno(again), RELRO),
        memory + RELRO);
    assert_int_equal(got_patch_object(&g, replace, NULL), -EACCES);
    assert_ptr_equal(value_at(DATA + 8), &before);
    fclose(again);
    close(fd);
}

/* The lookup by itself: what it finds is what the loader finds behind the program. */
static void test_next(void **state)
{
    (void)state;
    static const char *const wanted[] = {"read",  "memcpy", "time",    "pthread_create",
                                         "qsort", "stdout", "__xstat", "dlopen"};
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    for (unsigned i = 0; i < 8; i++) {
        if (strcmp(wanted[i], "__xstat") == 0) {
            assert_ptr_equal(hook_libc(wanted[i]), dlvsym(libc, wanted[i], "GLIBC_2.2.5"));
            continue;
        }
        assert_ptr_equal(hook_next(wanted[i]), dlsym(RTLD_NEXT, wanted[i]));
        assert_ptr_equal(hook_libc(wanted[i]), dlsym(libc, wanted[i]));
    }
    assert_null(hook_next("no_such_function"));
    assert_ptr_equal(hook_next("_cmocka_run_group_tests"),
                     dlsym(RTLD_DEFAULT, "_cmocka_run_group_tests"));
    assert_null(hook_libc("_cmocka_run_group_tests"));
    assert_true(preload_is_initial(_DYNAMIC));
    assert_false(preload_is_second());
    assert_non_null(preload_libc());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_slots, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test(test_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
