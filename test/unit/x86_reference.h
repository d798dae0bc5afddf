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

static bool ask_reference(const uint8_t *code, size_t size, ZydisDecodedInstruction *z)
{
    if (reference.machine_mode != ZYDIS_MACHINE_MODE_LONG_64)
        ZydisDecoderInit(&reference, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&reference, NULL, code, size, z));
}

#endif
