/* Reads of loaded objects: what elf_find says is held against what the loader itself says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <string.h>

#include "hook/elf.c"

static struct elf_object object_of(const char *soname)
{
    struct link_map *map = dlopen(soname, RTLD_LAZY | RTLD_NOLOAD);
    struct elf_object o = {0};
    assert_non_null(map);
    assert_true(elf_read(&o, map->l_addr, map->l_ld));
    return o;
}

/* Every visible function and variable of libc is found where dlsym finds it. */
static void test_all_of_libc(void **state)
{
    (void)state;
    struct elf_object o = object_of("libc.so.6");
    void *handle = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    unsigned compared = 0;
    assert_string_equal(o.soname, "libc.so.6");
    assert_false(o.has_run_path);
    /* the symbols that are hashed go from the table's first to the end of the last chain */
    uint32_t buckets = o.gnu_hash[0], first = o.gnu_hash[1], words = o.gnu_hash[2];
    const uint32_t *bucket = (const uint32_t *)((const ElfW(Addr) *)(o.gnu_hash + 4) + words);
    const uint32_t *chain = bucket + buckets;
    uint32_t last = 0;
    for (uint32_t i = 0; i < buckets; i++)
        last = bucket[i] > last ? bucket[i] : last;
    while (!(chain[last - first] & 1))
        last++;
    for (uint32_t i = first; i <= last; i++) {
        const ElfW(Sym) *s = &o.symbols[i];
        if (o.versions[i] & 0x8000 || ELF64_ST_TYPE(s->st_info) == STT_TLS ||
            s->st_shndx == SHN_ABS)
            continue;
        const char *name = o.strings + s->st_name;
        const ElfW(Sym) *found = elf_find(&o, name, elf_gnu_hash(name));
        assert_non_null(found);
        assert_ptr_equal(elf_address(&o, found), dlsym(handle, name));
        compared++;
    }
    assert_true(compared > 2000);
}

static void test_versions(void **state)
{
    (void)state;
    struct elf_object o = object_of("libc.so.6");
    assert_null(elf_find(&o, "no_such_function", elf_gnu_hash("no_such_function")));
    assert_null(elf_find(&o, "", elf_gnu_hash("")));
    /* an old function that new programs do not bind to, and one with two versions */
    const ElfW(Sym) *s = elf_find(&o, "__xstat", elf_gnu_hash("__xstat"));
    assert_non_null(s);
    assert_ptr_equal(elf_address(&o, s), dlvsym(RTLD_DEFAULT, "__xstat", "GLIBC_2.2.5"));
    s = elf_find(&o, "posix_spawn", elf_gnu_hash("posix_spawn"));
    assert_ptr_equal(elf_address(&o, s), dlvsym(RTLD_DEFAULT, "posix_spawn", "GLIBC_2.15"));
}

/* A small object made by hand, with the older hash table, versions, and symbols of every sort. */
static const char names[] = "\0two\0old\0unknown\0hidden\0thread";
enum { TWO = 1, OLD = 5, UNKNOWN = 9, HIDDEN = 17, THREAD = 24 };
#define FUNCTION(name, section, value)                                                        \
    {                                                                                         \
        .st_name = name, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), .st_shndx = section, \
        .st_value = value                                                                     \
    }
static const ElfW(Sym) symbols[] = {
    {0},
    FUNCTION(TWO, 1, 0x10),    /* version 2, hidden */
    FUNCTION(TWO, 1, 0x20),    /* version 3: the default */
    FUNCTION(OLD, 1, 0x30),    /* only hidden: 2 */
    FUNCTION(OLD, 1, 0x40),    /* ... and 4 */
    FUNCTION(UNKNOWN, 0, 0),   /* undefined here */
    FUNCTION(HIDDEN, 1, 0x60), /* local to the object by its version */
    {.st_name = THREAD, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_TLS), .st_shndx = 1},
    FUNCTION(TWO, SHN_ABS, 0x1234), /* beyond the table's count: never reached */
};
static const ElfW(Half) versions[] = {0, 0x8002, 3, 0x8002, 0x8004, 0, 0, 2, 3};
/* one bucket, all in one chain: 1, 2, ... 7 */
static const uint32_t chained[] = {1, 8, 1, 0, 2, 3, 4, 5, 6, 7, 0};

static const ElfW(Sym) * find(const char *name)
{
    const struct elf_object o = {
        .symbols = symbols, .strings = names, .sysv_hash = chained, .versions = versions};
    return elf_find(&o, name, elf_gnu_hash(name));
}

static void test_made_by_hand(void **state)
{
    (void)state;
    assert_int_equal(find("two")->st_value, 0x20);
    assert_int_equal(find("old")->st_value, 0x40);
    assert_null(find("unknown"));
    assert_null(find("hidden"));
    assert_null(find("thread"));
    assert_null(find("tw"));
    assert_null(find("twoo"));
}

static void test_without_hash_or_versions(void **state)
{
    (void)state;
    struct elf_object o = {.symbols = symbols, .strings = names};
    assert_null(elf_find(&o, "two", elf_gnu_hash("two")));
    o.sysv_hash = chained;
    assert_int_equal(elf_find(&o, "two", elf_gnu_hash("two"))->st_value, 0x10);
    const uint32_t empty[] = {0, 0};
    o.sysv_hash = empty;
    assert_null(elf_find(&o, "two", elf_gnu_hash("two")));
}

static void test_read_refuses(void **state)
{
    (void)state;
    struct elf_object o;
    const ElfW(Dyn) none[] = {{.d_tag = DT_NULL}};
    assert_false(elf_read(&o, 0, NULL));
    assert_false(elf_read(&o, 0, none));
    /* tables of a size that makes no sense are empty ones */
    const ElfW(Dyn) odd[] = {{.d_tag = DT_SYMTAB, .d_un.d_ptr = (uintptr_t)symbols},
                             {.d_tag = DT_STRTAB, .d_un.d_ptr = (uintptr_t)names},
                             {.d_tag = DT_RELA, .d_un.d_ptr = (uintptr_t)names},
                             {.d_tag = DT_RELASZ, .d_un.d_val = 240},
                             {.d_tag = DT_RELAENT, .d_un.d_val = 0},
                             {.d_tag = DT_RUNPATH, .d_un.d_val = 1},
                             {.d_tag = DT_JMPREL, .d_un.d_ptr = (uintptr_t)names},
                             {.d_tag = DT_PLTREL, .d_un.d_val = DT_REL},
                             {.d_tag = DT_PLTRELSZ, .d_un.d_val = 48},
                             {.d_tag = DT_NULL}};
    assert_true(elf_read(&o, 0, odd));
    assert_int_equal(o.relocations[0].count, 0);
    assert_int_equal(o.relocations[2].count, 3);
    assert_true(o.has_run_path);
    assert_null(o.soname);
}

static void test_pages(void **state)
{
    (void)state;
    uintptr_t low, high;
    const ElfW(Phdr) headers[] = {
        {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = 0, .p_memsz = 0x1000},
        {.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = 0x2100, .p_memsz = 0x3000},
        {.p_type = PT_GNU_RELRO, .p_vaddr = 0x2100, .p_memsz = 0x1000}};
    elf_page = 4096;
    elf_relro(0x10000, headers, 3, &low, &high);
    assert_int_equal(low, 0x12000);
    assert_int_equal(high, 0x13000); /* the page that .data begins on stays out */
    elf_relro(0x10000, headers, 2, &low, &high);
    assert_int_equal(low, high);

    assert_true(elf_in_segment(0x10000, headers, 3, 0x12100, 8, PF_W));
    assert_false(elf_in_segment(0x10000, headers, 3, 0x120ff, 8, PF_W));
    assert_true(elf_in_segment(0x10000, headers, 3, 0x150f8, 8, PF_W));
    assert_false(elf_in_segment(0x10000, headers, 3, 0x150f9, 8, PF_W));
    assert_false(elf_in_segment(0x10000, headers, 3, 0x10000, 8, PF_W));
    assert_false(elf_in_segment(0x10000, headers, 3, 0x12100, SIZE_MAX, PF_W));
}

static void test_strings(void **state)
{
    (void)state;
    assert_true(elf_same("", ""));
    assert_false(elf_same("a", ""));
    assert_false(elf_same("a", "ab"));
    assert_true(elf_starts("libc.so.6", "libc.so."));
    assert_false(elf_starts("libc", "libc.so."));
    assert_int_equal(elf_gnu_hash("printf"), 0x156b2bb8);
    assert_int_equal(sysv_hash("printf"), 0x077905a6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_of_libc),  cmocka_unit_test(test_versions),
        cmocka_unit_test(test_made_by_hand), cmocka_unit_test(test_without_hash_or_versions),
        cmocka_unit_test(test_read_refuses), cmocka_unit_test(test_pages),
        cmocka_unit_test(test_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
