/*
 * Real code for test_x86.c, function by function, and what Zydis says of it.
 */
#ifndef SCOPE_TEST_X86_REFERENCE_H
#define SCOPE_TEST_X86_REFERENCE_H

#include <Zydis/Zydis.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hook/x86.h"

struct code_range {
    uint64_t start, size;
    bool whole; /* a symbol of a function, not a part of one */
};

/* One object: its file, and the functions in it, by address, none over another. */
struct code_object {
    char path[PATH_MAX];
    const uint8_t *file;
    size_t length;
    struct code_range *ranges;
    size_t count, room;
};

static ZydisDecoder reference;

static void add_range(struct code_object *o, uint64_t start, uint64_t size, bool whole)
{
    if (o->count == o->room) {
        o->room = o->room ? o->room * 2 : 4096;
        o->ranges = realloc(o->ranges, o->room * sizeof(*o->ranges));
    }
    o->ranges[o->count++] = (struct code_range){start, size, whole};
}

/* Where an address of the object's executable segments is in the file; NULL: in none. */
static const uint8_t *code_at(const struct code_object *o, uint64_t address, uint64_t size)
{
    const Elf64_Ehdr *e = (const void *)o->file;
    const Elf64_Phdr *p = (const void *)(o->file + e->e_phoff);
    for (unsigned i = 0; i < e->e_phnum; i++) {
        if (p[i].p_type == PT_LOAD && p[i].p_flags & PF_X && address >= p[i].p_vaddr &&
            address + size <= p[i].p_vaddr + p[i].p_filesz)
            return o->file + p[i].p_offset + (address - p[i].p_vaddr);
    }
    return NULL;
}

static void add_symbols(struct code_object *o, const Elf64_Shdr *sections, unsigned n)
{
    const Elf64_Sym *s = (const void *)(o->file + sections[n].sh_offset);
    const char *names = (const char *)o->file + sections[sections[n].sh_link].sh_offset;
    for (size_t i = 0; i < sections[n].sh_size / sizeof(*s); i++) {
        if (ELF64_ST_TYPE(s[i].st_info) == STT_FUNC && s[i].st_shndx && s[i].st_size &&
            code_at(o, s[i].st_value, s[i].st_size))
            add_range(o, s[i].st_value, s[i].st_size, !strstr(names + s[i].st_name, ".cold"));
    }
}

/* The parts of functions that unwind tables tell of, for files without symbols. */
static void add_unwind(struct code_object *o, const Elf64_Shdr *section)
{
    const uint8_t *h = o->file + section->sh_offset;
    uint32_t count;
    if (h[0] != 1 || h[2] != 0x03 || h[3] != 0x3b) /* udata4 count; a table of sdata4 from here */
        return;
    memcpy(&count, h + 8, sizeof(count));
    for (uint32_t i = 0; i < count; i++) {
        int32_t at, fde;
        uint32_t size;
        memcpy(&at, h + 12 + (size_t)i * 8, sizeof(at));
        memcpy(&fde, h + 16 + (size_t)i * 8, sizeof(fde));
        memcpy(&size, h + fde + 12, sizeof(size));
        uint64_t start = section->sh_addr + (uint64_t)(int64_t)at;
        if (size && code_at(o, start, size))
            add_range(o, start, size, false);
    }
}

static int by_start(const void *a, const void *b)
{
    const struct code_range *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    if (x->whole != y->whole)
        return x->whole ? -1 : 1;
    return x->size == y->size ? 0 : x->size > y->size ? -1 : 1;
}

static bool open_object(struct code_object *o, const char *path)
{
    struct stat st;
    memset(o, 0, sizeof(*o));
    int fd = path && realpath(path, o->path) ? open(o->path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &st) != 0)
        return false;
    o->length = (size_t)st.st_size;
    o->file = mmap(NULL, o->length, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    assert_ptr_not_equal(o->file, MAP_FAILED);
    const Elf64_Ehdr *e = (const void *)o->file;
    if (memcmp(o->file, ELFMAG, SELFMAG) != 0 || e->e_machine != EM_X86_64)
        return false;
    const Elf64_Shdr *s = (const void *)(o->file + e->e_shoff);
    const char *names = (const char *)o->file + s[e->e_shstrndx].sh_offset;
    for (unsigned i = 0; i < e->e_shnum; i++) {
        if (s[i].sh_type == SHT_SYMTAB || s[i].sh_type == SHT_DYNSYM)
            add_symbols(o, s, i);
        if (strcmp(names + s[i].sh_name, ".eh_frame_hdr") == 0)
            add_unwind(o, &s[i]);
    }
    qsort(o->ranges, o->count, sizeof(*o->ranges), by_start);
    size_t kept = 0;
    for (size_t i = 0; i < o->count; i++) {
        if (kept && o->ranges[kept - 1].start + o->ranges[kept - 1].size > o->ranges[i].start)
            continue;
        o->ranges[kept++] = o->ranges[i];
    }
    o->count = kept;
    return true;
}

static void close_object(struct code_object *o)
{
    if (o->file)
        munmap((void *)(uintptr_t)o->file, o->length);
    free(o->ranges);
}

static const char *path_of_library(const char *soname)
{
    struct link_map *map = dlopen(soname, RTLD_LAZY);
    return map ? map->l_name : NULL;
}

/* The programs and libraries whose code is read, by number; NULL behind the last. */
static const char *code_path(unsigned n)
{
    static const char *const names[] = {"libc.so.6", "libcrypto.so.3", "libssl.so.3"};
    static char found[PATH_MAX];
    if (n < 3)
        return path_of_library(names[n]);
    FILE *which = popen(n == 3 ? "command -v node" : "command -v /usr/bin/python3", "r");
    if (n > 4 || !fgets(found, sizeof(found), which))
        found[0] = '\0';
    pclose(which);
    found[strcspn(found, "\n")] = '\0';
    return n > 4 ? NULL : found;
}

/* -------------------------------------------------- the reference's word */

static unsigned kind_of(const ZydisDecodedInstruction *z)
{
    bool relative = z->raw.imm[0].is_relative;
    switch (z->mnemonic) {
    case ZYDIS_MNEMONIC_JMP:
        if (z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
            return X86_FAR;
        return relative ? X86_JUMP : X86_JUMP_INDIRECT;
    case ZYDIS_MNEMONIC_CALL:
        if (z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
            return X86_FAR;
        return relative ? X86_CALL : X86_CALL_INDIRECT;
    case ZYDIS_MNEMONIC_RET:
        return z->opcode == 0xc2 || z->opcode == 0xc3 ? X86_RETURN : X86_FAR;
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_SYSRET:
    case ZYDIS_MNEMONIC_SYSEXIT:
        return X86_FAR;
    case ZYDIS_MNEMONIC_HLT:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
        return X86_STOP;
    case ZYDIS_MNEMONIC_LOOP:
    case ZYDIS_MNEMONIC_LOOPE:
    case ZYDIS_MNEMONIC_LOOPNE:
    case ZYDIS_MNEMONIC_JCXZ:
    case ZYDIS_MNEMONIC_JECXZ:
    case ZYDIS_MNEMONIC_JRCXZ:
    case ZYDIS_MNEMONIC_XBEGIN:
        return X86_LOOP;
    default:
        return relative ? X86_BRANCH : X86_PLAIN;
    }
}

/* NULL: both say the same. */
static const char *differs(const ZydisDecodedInstruction *z, const struct x86_instruction *i)
{
    bool rip =
        z->attributes & ZYDIS_ATTRIB_HAS_MODRM && z->raw.modrm.mod == 0 && z->raw.modrm.rm == 5;
    if (z->length != i->length)
        return "length";
    if (kind_of(z) != i->kind)
        return "kind";
    if (rip != (i->rip_at != 0) ||
        (rip && (i->rip_at != z->raw.disp.offset || i->displacement != z->raw.disp.value)))
        return "operand from the instruction's address";
    if (z->raw.imm[0].is_relative != (i->relative_at != 0))
        return "relative branch";
    if (i->relative_at &&
        (i->relative_at != z->raw.imm[0].offset || i->relative_len * 8 != z->raw.imm[0].size ||
         i->relative != z->raw.imm[0].value.s))
        return "target";
    return NULL;
}

static bool ask_reference(const uint8_t *code, size_t size, ZydisDecodedInstruction *z)
{
    if (reference.machine_mode != ZYDIS_MACHINE_MODE_LONG_64)
        ZydisDecoderInit(&reference, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&reference, NULL, code, size, z));
}

static void complain(const char *what, const char *where, uint64_t address, const uint8_t *code,
                     size_t size)
{
    fprintf(stderr, "%s: %s at %#lx:", what, where, (unsigned long)address);
    for (size_t n = 0; n < size && n < X86_LENGTH_MAX; n++)
        fprintf(stderr, " %02x", code[n]);
    fprintf(stderr, "\n");
}

/* -------------------------------------------------- the tests */

struct compared {
    unsigned long instructions, unlike, not_code;
};

static void compare_range(const struct code_object *o, const struct code_range *r,
                          struct compared *sum)
{
    const uint8_t *code = code_at(o, r->start, r->size);
    for (uint64_t at = 0; at < r->size;) {
        ZydisDecodedInstruction z;
        struct x86_instruction i;
        if (!ask_reference(code + at, r->size - at, &z)) {
            sum->not_code++; /* data among the code: what follows is not known to be code */
            return;
        }
        const char *what = x86_decode(code + at, r->size - at, &i) ? differs(&z, &i) : "unknown";
        if (what && sum->unlike++ < 20)
            complain(what, o->path, r->start + at, code + at, z.length);
        sum->instructions++;
        at += z.length;
    }
}

static void test_real_code(void **state)
{
    (void)state;
    unsigned long total = 0;
    const char *path;
    for (unsigned n = 0; (path = code_path(n)) || n < 5; n++) {
        struct code_object o;
        struct compared sum = {0, 0, 0};
        assert_true(open_object(&o, path));
        for (size_t i = 0; i < o.count; i++)
            compare_range(&o, &o.ranges[i], &sum);
        print_message("%s: %zu functions, %lu instructions compared, %lu functions left at data\n",
                      o.path, o.count, sum.instructions, sum.not_code);
        assert_int_equal(sum.unlike, 0);
        assert_true(sum.instructions > 10000);
        assert_true(sum.not_code * 100 < o.count);
        total += sum.instructions;
        close_object(&o);
    }
    print_message("%lu instructions compared\n", total);
    assert_true(total > 1000000);
}

struct known_functions {
    const struct code_object *object;
    uint64_t start;
};

static bool is_symbol(void *context, int64_t offset)
{
    const struct known_functions *k = context;
    struct code_range key = {k->start + (uint64_t)offset, 0, true};
    size_t low = 0, high = k->object->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (k->object->ranges[middle].start < key.start)
            low = middle + 1;
        else
            high = middle;
    }
    return low < k->object->count && k->object->ranges[low].start == key.start &&
           k->object->ranges[low].whole;
}

/* What a plain search by the reference finds: every return and every direct jump out. */
static bool check_exits(const uint8_t *code, uint64_t size, const struct x86_exit *exits,
                        long count)
{
    long found = 0;
    for (uint64_t at = 0; at < size;) {
        ZydisDecodedInstruction z;
        if (!ask_reference(code + at, size - at, &z))
            return false; /* VIA's xsha512 in node is one that it does not know */
        unsigned kind = kind_of(&z);
        int64_t to =
            (int64_t)(at + z.length) + (z.raw.imm[0].is_relative ? z.raw.imm[0].value.s : 0);
        bool out = to < 0 || to >= (int64_t)size;
        if (kind == X86_RETURN || kind == X86_JUMP_INDIRECT ||
            ((kind == X86_JUMP || kind == X86_BRANCH) && out)) {
            assert_true(found < count);
            assert_int_equal(exits[found].offset, at);
            assert_int_equal(exits[found].length, z.length);
            assert_int_equal(exits[found].kind, kind);
            found++;
        }
        at += z.length;
    }
    assert_int_equal(found, count);
    return true;
}

static void test_real_exits(void **state)
{
    (void)state;
    static struct x86_exit exits[X86_BODY_MAX];
    static const char *reasons[16];
    static unsigned long times[16];
    unsigned long proved = 0, bodies = 0, unchecked = 0;
    for (unsigned n = 0; n < 5; n++) {
        struct code_object o;
        unsigned long here = 0, whole = 0;
        assert_true(open_object(&o, code_path(n)));
        for (size_t i = 0; i < o.count; i++) {
            struct known_functions known = {&o, o.ranges[i].start};
            const uint8_t *code = code_at(&o, o.ranges[i].start, o.ranges[i].size);
            const char *reason = NULL;
            if (!o.ranges[i].whole)
                continue;
            whole++;
            long count =
                x86_exits(code, o.ranges[i].size, is_symbol, &known, exits, X86_BODY_MAX, &reason);
            if (count >= 0) {
                here++;
                unchecked += !check_exits(code, o.ranges[i].size, exits, count);
                continue;
            }
            unsigned r = 0;
            while (reasons[r] && reasons[r] != reason)
                r++;
            reasons[r] = reason;
            times[r]++;
        }
        print_message("%s: all exits of %lu functions of %lu proved\n", o.path, here, whole);
        proved += here;
        bodies += whole;
        close_object(&o);
    }
    for (unsigned r = 0; r < 16 && reasons[r]; r++)
        print_message("refused %lu times: %s\n", times[r], reasons[r]);
    assert_true(unchecked <= 1);
    assert_true(proved * 2 > bodies);
}

/* Bytes at random, most of them near real instructions: no length other than the reference's. */
static void test_any_bytes(void **state)
{
    (void)state;
    static const uint8_t starts[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x48, 0x4f, 0x0f,
                                     0xc4, 0xc5, 0x62, 0x8f, 0xff, 0xf6, 0xf7, 0xc7};
    uint64_t seed = 88172645463325252u;
    unsigned long both = 0, ours_alone = 0, theirs_alone = 0;
    for (unsigned n = 0; n < 2000000; n++) {
        uint8_t bytes[16];
        for (unsigned i = 0; i < sizeof(bytes); i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes[i] = (uint8_t)(seed >> 32);
            if (i < 3 && seed & 1)
                bytes[i] = starts[(seed >> 8) % sizeof(starts)];
            if (i == 1 && seed & 2)
                bytes[i] = 0x0f;
        }
        ZydisDecodedInstruction z;
        struct x86_instruction i;
        uint8_t *exact = NULL;
        bool ours = x86_decode(bytes, X86_LENGTH_MAX, &i);
        bool theirs = ask_reference(bytes, X86_LENGTH_MAX, &z);
        both += ours && theirs;
        ours_alone += ours && !theirs;
        theirs_alone += !ours && theirs;
        const char *what = ours && theirs ? differs(&z, &i) : NULL;
        if (what)
            complain(what, "bytes", n, bytes, X86_LENGTH_MAX);
        assert_null(what);
        if (!ours || n % 16)
            continue;
        /* with one byte less it is no instruction, and no byte behind is read */
        struct x86_instruction shorter;
        exact = malloc(i.length);
        memcpy(exact, bytes, i.length);
        assert_true(x86_decode(exact, i.length, &shorter));
        exact = realloc(exact, i.length > 1 ? i.length - 1u : 1u);
        assert_false(x86_decode(exact, i.length - 1u, &shorter));
        free(exact);
    }
    print_message("at random: %lu by both, %lu by us alone, %lu by the reference alone\n", both,
                  ours_alone, theirs_alone);
    assert_true(both > 500000);
}

#endif
