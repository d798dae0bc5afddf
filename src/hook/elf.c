/* Reads loaded objects: symbols by hash, relocation tables, pages that relocation left read-only.
 */
#include "hook/elf.h"

#include <sys/auxv.h>

uintptr_t elf_page = 4096;

/* Versions of symbols: bit 15 says that a new link does not see it, 0 that it is local. */
enum { VERSION_HIDDEN = 0x8000, VERSION_INDEX = 0x7fff };

bool elf_same(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

bool elf_starts(const char *text, const char *prefix)
{
    while (*prefix) {
        if (*text++ != *prefix++)
            return false;
    }
    return true;
}

/* glibc relocates the addresses in a writable dynamic section, other loaders do not. */
static uintptr_t in_memory(uintptr_t base, ElfW(Addr) value)
{
    return value < base ? base + value : value;
}

bool elf_read(struct elf_object *object, uintptr_t base, const ElfW(Dyn) * dynamic)
{
    struct elf_object o = {.base = base, .dynamic = dynamic};
    size_t soname = 0, rela_size = 0, rel_size = 0, jump_size = 0;
    size_t rela_entry = sizeof(ElfW(Rela)), rel_entry = sizeof(ElfW(Rel));
    bool jump_is_rela = true;

    if (!dynamic)
        return false;
    for (const ElfW(Dyn) *d = dynamic; d->d_tag != DT_NULL; d++) {
        uintptr_t at = in_memory(base, d->d_un.d_ptr);
        switch (d->d_tag) {
        case DT_SYMTAB:
            o.symbols = (const ElfW(Sym) *)at;
            break;
        case DT_STRTAB:
            o.strings = (const char *)at;
            break;
        case DT_GNU_HASH:
            o.gnu_hash = (const uint32_t *)at;
            break;
        case DT_HASH:
            o.sysv_hash = (const uint32_t *)at;
            break;
        case DT_VERSYM:
            o.versions = (const ElfW(Half) *)at;
            break;
        case DT_SONAME:
            soname = d->d_un.d_val;
            break;
        case DT_RPATH:
        case DT_RUNPATH:
            o.has_run_path = true;
            break;
        case DT_RELA:
            o.relocations[0].table = (const void *)at;
            break;
        case DT_RELASZ:
            rela_size = d->d_un.d_val;
            break;
        case DT_RELAENT:
            rela_entry = d->d_un.d_val;
            break;
        case DT_REL:
            o.relocations[1].table = (const void *)at;
            break;
        case DT_RELSZ:
            rel_size = d->d_un.d_val;
            break;
        case DT_RELENT:
            rel_entry = d->d_un.d_val;
            break;
        case DT_JMPREL:
            o.relocations[2].table = (const void *)at;
            break;
        case DT_PLTRELSZ:
            jump_size = d->d_un.d_val;
            break;
        case DT_PLTREL:
            jump_is_rela = d->d_un.d_val == DT_RELA;
            break;
        default: /* DT_RELR holds relative relocations only: none of them names a symbol */
            break;
        }
    }
    if (!o.symbols || !o.strings)
        return false;
    if (soname)
        o.soname = o.strings + soname;
    const size_t sizes[3] = {rela_size, rel_size, jump_size};
    const size_t entries[3] = {rela_entry, rel_entry, jump_is_rela ? rela_entry : rel_entry};
    for (unsigned i = 0; i < 3; i++) {
        struct elf_relocations *r = &o.relocations[i];
        r->entry = entries[i];
        r->count = r->table && r->entry >= sizeof(ElfW(Rel)) ? sizes[i] / r->entry : 0;
    }
    *object = o;
    return true;
}

uint32_t elf_gnu_hash(const char *name)
{
    uint32_t h = 5381;
    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        h = h * 33 + *p;
    return h;
}

static uint32_t sysv_hash(const char *name)
{
    uint32_t h = 0;
    for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
        h = (h << 4) + *p;
        h ^= (h >> 24) & 0xf0;
    }
    return h & 0x0fffffff;
}

/* The best of the definitions of one name met so far. */
struct choice {
    const ElfW(Sym) * visible, *hidden;
    unsigned hidden_version;
};

/* Weighs one symbol; true: nothing better can come. */
static bool consider(const struct elf_object *o, uint32_t index, const char *name,
                     struct choice *choice)
{
    const ElfW(Sym) *s = &o->symbols[index];
    unsigned type = ELF64_ST_TYPE(s->st_info);
    if (s->st_shndx == SHN_UNDEF || type == STT_TLS || type == STT_SECTION || type == STT_FILE)
        return false;
    if (ELF64_ST_BIND(s->st_info) == STB_LOCAL || !elf_same(o->strings + s->st_name, name))
        return false;
    if (!o->versions) {
        choice->visible = s;
        return true;
    }
    unsigned version = o->versions[index];
    if (!(version & VERSION_INDEX))
        return false;
    if (!(version & VERSION_HIDDEN)) {
        choice->visible = s;
        return true;
    }
    if (!choice->hidden || (version & VERSION_INDEX) > choice->hidden_version) {
        choice->hidden = s;
        choice->hidden_version = version & VERSION_INDEX;
    }
    return false;
}

static void find_gnu(const struct elf_object *o, const char *name, uint32_t h, struct choice *c)
{
    const uint32_t *table = o->gnu_hash;
    uint32_t buckets = table[0], first = table[1], words = table[2], shift = table[3];
    if (!buckets || !words)
        return;
    const ElfW(Addr) *bloom = (const ElfW(Addr) *)(table + 4);
    enum { BITS = sizeof(ElfW(Addr)) * 8 };
    ElfW(Addr) word = bloom[(h / BITS) & (words - 1)];
    if (!((word >> (h % BITS)) & (word >> ((h >> shift) % BITS)) & 1))
        return;
    const uint32_t *bucket = (const uint32_t *)(bloom + words);
    const uint32_t *chain = bucket + buckets;
    uint32_t i = bucket[h % buckets];
    if (i < first)
        return;
    for (;; i++) {
        uint32_t here = chain[i - first];
        if ((here | 1) == (h | 1) && consider(o, i, name, c))
            return;
        if (here & 1)
            return;
    }
}

static void find_sysv(const struct elf_object *o, const char *name, struct choice *c)
{
    const uint32_t *table = o->sysv_hash;
    uint32_t buckets = table[0], symbols = table[1];
    if (!buckets)
        return;
    const uint32_t *chain = table + 2 + buckets;
    for (uint32_t i = table[2 + sysv_hash(name) % buckets]; i && i < symbols; i = chain[i]) {
        if (consider(o, i, name, c))
            return;
    }
}

const ElfW(Sym) * elf_find(const struct elf_object *object, const char *name, uint32_t gnu_hash)
{
    struct choice c = {NULL, NULL, 0};
    if (object->gnu_hash)
        find_gnu(object, name, gnu_hash, &c);
    else if (object->sysv_hash)
        find_sysv(object, name, &c);
    return c.visible ? c.visible : c.hidden;
}

void *elf_address(const struct elf_object *object, const ElfW(Sym) * symbol)
{
    uintptr_t at = symbol->st_value;
    if (symbol->st_shndx != SHN_ABS)
        at += object->base;
    if (ELF64_ST_TYPE(symbol->st_info) != STT_GNU_IFUNC)
        return (void *)at;
#if defined(__aarch64__)
    struct {
        unsigned long size, hwcap, hwcap2;
    } features = {sizeof(features), getauxval(AT_HWCAP), getauxval(AT_HWCAP2)};
    void *(*resolve)(uint64_t, const void *) = (void *(*)(uint64_t, const void *))at;
    return resolve(features.hwcap | (1ULL << 62), &features);
#else
    void *(*resolve)(void) = (void *(*)(void))at;
    return resolve();
#endif
}

void elf_relro(uintptr_t base, const ElfW(Phdr) * headers, size_t count, uintptr_t *low,
               uintptr_t *high)
{
    *low = *high = 0;
    for (size_t i = 0; i < count; i++) {
        if (headers[i].p_type != PT_GNU_RELRO)
            continue;
        /* both ends down, as the loader does: a page that it shares with .data stays writable */
        *low = (base + headers[i].p_vaddr) & ~(elf_page - 1);
        *high = (base + headers[i].p_vaddr + headers[i].p_memsz) & ~(elf_page - 1);
    }
}

bool elf_in_segment(uintptr_t base, const ElfW(Phdr) * headers, size_t count, uintptr_t address,
                    size_t size, uint32_t flags)
{
    for (size_t i = 0; i < count; i++) {
        const ElfW(Phdr) *p = &headers[i];
        if (p->p_type != PT_LOAD || (p->p_flags & flags) != flags)
            continue;
        uintptr_t from = base + p->p_vaddr;
        if (address >= from && size <= p->p_memsz && address - from <= p->p_memsz - size)
            return true;
    }
    return false;
}
