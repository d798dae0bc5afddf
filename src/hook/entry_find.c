/* Finds functions of the main executable: dynamic symbols first, then the table in its file. */
#include "hook/entry.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "hook/elf.h"
#include "os/sys.h"

struct executable {
    uintptr_t base;
    const ElfW(Phdr) * headers;
    size_t count;
    const ElfW(Dyn) * dynamic;
};

static bool read_executable(struct executable *e)
{
    bool based = false;
    e->headers = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    e->count = getauxval(AT_PHNUM);
    e->dynamic = NULL;
    if (!e->headers)
        return false;
    for (size_t i = 0; i < e->count; i++) {
        if (e->headers[i].p_type == PT_PHDR) {
            e->base = (uintptr_t)e->headers - e->headers[i].p_vaddr;
            based = true;
        }
    }
    for (size_t i = 0; based && i < e->count; i++) {
        if (e->headers[i].p_type == PT_DYNAMIC)
            e->dynamic = (const ElfW(Dyn) *)(e->base + e->headers[i].p_vaddr);
    }
    return based;
}

/* Whether it is a function with code that is loaded. */
static bool is_function(const struct executable *e, const ElfW(Sym) * s)
{
    return ELF64_ST_TYPE(s->st_info) == STT_FUNC && s->st_shndx != SHN_UNDEF &&
           s->st_shndx != SHN_ABS && s->st_size &&
           elf_in_segment(e->base, e->headers, e->count, e->base + s->st_value, s->st_size, PF_X);
}

static unsigned find_dynamic(const struct executable *e, struct entry_symbol *symbols,
                             unsigned count)
{
    struct elf_object object;
    unsigned found = 0;
    if (!elf_read(&object, e->base, e->dynamic))
        return 0;
    for (unsigned i = 0; i < count; i++) {
        const char *name = symbols[i].name;
        const ElfW(Sym) *s = elf_find(&object, name, elf_gnu_hash(name));
        if (!s || !is_function(e, s))
            continue;
        symbols[i].address = (void *)(e->base + s->st_value);
        symbols[i].size = s->st_size;
        found++;
    }
    return found;
}

/* -------------------------------------------------- the file */

struct symbol_table {
    const ElfW(Sym) * symbols;
    size_t count;
    const char *names;
    size_t names_size;
};

static bool in_file(size_t length, uint64_t offset, uint64_t size)
{
    return offset <= length && size <= length - offset;
}

/* Whether this is the file that the program was loaded from: its program headers are the same. */
static bool is_same_file(const struct executable *e, const uint8_t *file, size_t length)
{
    const ElfW(Ehdr) *h = (const ElfW(Ehdr) *)file;
    size_t size = e->count * sizeof(*e->headers);
    if (length < sizeof(*h) || h->e_phnum != e->count || !in_file(length, h->e_phoff, size))
        return false;
    for (size_t i = 0; i < size; i++) {
        if (file[h->e_phoff + i] != ((const uint8_t *)e->headers)[i])
            return false;
    }
    return true;
}

static bool read_table(const uint8_t *file, size_t length, struct symbol_table *table)
{
    const ElfW(Ehdr) *h = (const ElfW(Ehdr) *)file;
    const ElfW(Shdr) *s = (const ElfW(Shdr) *)(file + h->e_shoff);
    if (h->e_shentsize != sizeof(*s) || h->e_shoff % sizeof(uint64_t) ||
        !in_file(length, h->e_shoff, h->e_shnum * sizeof(*s)))
        return false;
    for (unsigned i = 0; i < h->e_shnum; i++) {
        if (s[i].sh_type != SHT_SYMTAB || s[i].sh_link >= h->e_shnum)
            continue;
        const ElfW(Shdr) *names = &s[s[i].sh_link];
        if (names->sh_type != SHT_STRTAB || !names->sh_size || s[i].sh_offset % sizeof(uint64_t) ||
            !in_file(length, s[i].sh_offset, s[i].sh_size) ||
            !in_file(length, names->sh_offset, names->sh_size))
            return false;
        table->symbols = (const ElfW(Sym) *)(file + s[i].sh_offset);
        table->count = s[i].sh_size / sizeof(ElfW(Sym));
        table->names = (const char *)file + names->sh_offset;
        table->names_size = names->sh_size;
        return table->names[table->names_size - 1] == '\0';
    }
    return false;
}

enum { AT_ONCE = 32 }; /* names that one pass over the table looks for */

struct match {
    const ElfW(Sym) * best;
    bool many;
};

/* Of two definitions the global one counts; of two local ones none: nobody knows which is meant. */
static void meet(struct match *m, const ElfW(Sym) * s)
{
    bool global = ELF64_ST_BIND(s->st_info) != STB_LOCAL;
    if (m->best && ELF64_ST_BIND(m->best->st_info) != STB_LOCAL)
        return;
    m->many = m->best && !global && (m->many || m->best->st_value != s->st_value);
    m->best = s;
}

/* Looks for at most AT_ONCE names; those that have an address already are left. */
static void search(const struct executable *e, const struct symbol_table *t,
                   struct entry_symbol *symbols, unsigned count)
{
    struct match matches[AT_ONCE] = {{NULL, false}};
    for (size_t i = 0; i < t->count; i++) {
        const ElfW(Sym) *s = &t->symbols[i];
        if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || s->st_name >= t->names_size)
            continue;
        for (unsigned n = 0; n < count; n++) {
            if (!symbols[n].address && elf_same(t->names + s->st_name, symbols[n].name) &&
                is_function(e, s))
                meet(&matches[n], s);
        }
    }
    for (unsigned n = 0; n < count; n++) {
        if (!matches[n].best || matches[n].many)
            continue;
        symbols[n].address = (void *)(e->base + matches[n].best->st_value);
        symbols[n].size = matches[n].best->st_size;
    }
}

static unsigned find_in_file(const struct executable *e, struct entry_symbol *symbols,
                             unsigned count)
{
    struct stat status;
    struct symbol_table table;
    unsigned found = 0;
    long fd = sys(openat, AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    long file = -1;
    size_t length = 0;
    if (sys(newfstatat, fd, "", &status, AT_EMPTY_PATH) == 0 && status.st_size > 0) {
        length = (size_t)status.st_size;
        file = sys(mmap, 0, length, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    sys(close, fd);
    if (file < 0 && file > -4096)
        return 0;
    if (is_same_file(e, (const uint8_t *)file, length) &&
        read_table((const uint8_t *)file, length, &table)) {
        for (unsigned i = 0; i < count; i += AT_ONCE)
            search(e, &table, symbols + i, count - i < AT_ONCE ? count - i : AT_ONCE);
        for (unsigned i = 0; i < count; i++)
            found += symbols[i].address != NULL;
    }
    sys(munmap, file, length);
    return found;
}

static bool begin(struct executable *e, struct entry_symbol *symbols, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        symbols[i].address = NULL;
        symbols[i].size = 0;
    }
    return read_executable(e);
}

unsigned entry_find_exported(struct entry_symbol *symbols, unsigned count)
{
    struct executable e;
    return begin(&e, symbols, count) ? find_dynamic(&e, symbols, count) : 0;
}

unsigned entry_find(struct entry_symbol *symbols, unsigned count)
{
    struct executable e;
    if (!begin(&e, symbols, count))
        return 0;
    unsigned found = find_dynamic(&e, symbols, count);
    if (found == count)
        return found;
    unsigned all = find_in_file(&e, symbols, count);
    return all > found ? all : found;
}

size_t entry_code_size(void)
{
    struct executable e;
    size_t size = 0;
    if (!read_executable(&e))
        return 0;
    for (size_t i = 0; i < e.count; i++) {
        if (e.headers[i].p_type == PT_LOAD && e.headers[i].p_flags & PF_X)
            size += e.headers[i].p_filesz;
    }
    return size;
}
