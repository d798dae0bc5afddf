/*
 * What we read of a loaded object: its dynamic symbols, its relocations, and which of its pages the
 * loader made read-only. Only memory that the loader has mapped is read; no lock, no allocation.
 */
#ifndef SCOPE_HOOK_ELF_H
#define SCOPE_HOOK_ELF_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_relocations {
    const void *table; /* ElfW(Rela)[] or ElfW(Rel)[] */
    size_t count;
    size_t entry; /* bytes of one */
};

struct elf_object {
    uintptr_t base; /* what is added to the addresses in the file */
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *gnu_hash;
    const uint32_t *sysv_hash;
    const ElfW(Half) * versions;
    const char *soname; /* NULL: it has none */
    const ElfW(Dyn) * dynamic;
    bool has_run_path;                     /* DT_RPATH or DT_RUNPATH */
    struct elf_relocations relocations[3]; /* DT_RELA, DT_REL, DT_JMPREL */
};

/* Reads a dynamic section. False: there is no symbol table to look into. */
bool elf_read(struct elf_object *object, uintptr_t base, const ElfW(Dyn) * dynamic);

uint32_t elf_gnu_hash(const char *name);

/*
 * The definition of name that a new link would bind to: the default version, else (where only old
 * versions are kept, like __xstat) the newest hidden one. NULL: none. gnu_hash: elf_gnu_hash(name).
 */
const ElfW(Sym) * elf_find(const struct elf_object *object, const char *name, uint32_t gnu_hash);

/* A definition's address; an indirect function's resolver is called. */
void *elf_address(const struct elf_object *object, const ElfW(Sym) * symbol);

/* The pages that the loader made read-only after relocation, [*low, *high); empty: none. */
void elf_relro(uintptr_t base, const ElfW(Phdr) * headers, size_t count, uintptr_t *low,
               uintptr_t *high);

/* Whether [address, address + size) lies in one loaded segment whose flags include `flags`. */
bool elf_in_segment(uintptr_t base, const ElfW(Phdr) * headers, size_t count, uintptr_t address,
                    size_t size, uint32_t flags);

bool elf_same(const char *a, const char *b);
bool elf_starts(const char *text, const char *prefix);

/* The page size that relocation read-only-ness is rounded to; 4096 until told otherwise. */
extern uintptr_t elf_page;

#endif
