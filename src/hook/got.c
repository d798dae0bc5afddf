/* Patches the GOT slots of objects that were opened with RTLD_DEEPBIND. */
#include "hook/got.h"

#include <errno.h>
#include <sys/mman.h>

#include "hook/internal.h"
#include "os/sys.h"

#if defined(__x86_64__)
enum { JUMP_SLOT = R_X86_64_JUMP_SLOT, GLOB_DAT = R_X86_64_GLOB_DAT };
#elif defined(__aarch64__)
enum { JUMP_SLOT = R_AARCH64_JUMP_SLOT, GLOB_DAT = R_AARCH64_GLOB_DAT };
#endif

enum { CANDIDATES = 384, DEEP = 128, TURNS = 1000 };

/* -------------------------------------------------- one object */

struct range {
    uintptr_t low, high; /* of slots on pages that are read-only */
};

typedef void *each_slot(void *context, const char *name, const void *value, bool bound);

static bool is_bound(const struct got_object *g, unsigned type, uintptr_t value)
{
    /* an unbound slot leads back into the object's own PLT */
    return type != JUMP_SLOT ||
           !elf_in_segment(g->elf.base, g->headers, g->header_count, value, 1, PF_X);
}

/* Visits the slots of one table; with `store` changes them, else only widens the range. */
static long visit_table(const struct got_object *g, const struct elf_relocations *table,
                        each_slot *replace, void *context, struct range *range,
                        const struct range *relro, bool store)
{
    long changed = 0;
    for (size_t i = 0; i < table->count; i++) {
        const ElfW(Rel) *r = (const ElfW(Rel) *)((const char *)table->table + i * table->entry);
        unsigned type = (unsigned)ELF64_R_TYPE(r->r_info);
        if (type != JUMP_SLOT && type != GLOB_DAT)
            continue;
        const ElfW(Sym) *s = &g->elf.symbols[ELF64_R_SYM(r->r_info)];
        uintptr_t at = g->elf.base + r->r_offset;
        if (s->st_shndx != SHN_UNDEF || !s->st_name || at % sizeof(void *) ||
            !elf_in_segment(g->elf.base, g->headers, g->header_count, at, sizeof(void *), PF_W))
            continue;
        void **slot = (void **)at;
        void *value = __atomic_load_n(slot, __ATOMIC_RELAXED);
        void *ours = replace(context, g->elf.strings + s->st_name, value,
                             is_bound(g, type, (uintptr_t)value));
        if (!ours || ours == value)
            continue;
        changed++;
        if (store) {
            __atomic_store_n(slot, ours, __ATOMIC_RELEASE);
        } else if (at >= relro->low && at < relro->high) {
            range->low = range->low && range->low < at ? range->low : at;
            range->high = range->high > at + sizeof(void *) ? range->high : at + sizeof(void *);
        }
    }
    return changed;
}

long got_patch_object(const struct got_object *object, got_replace *replace, void *context)
{
    struct range relro, range = {0, 0};
    long found = 0, changed = 0;

    elf_relro(object->elf.base, object->headers, object->header_count, &relro.low, &relro.high);
    for (unsigned i = 0; i < 3; i++)
        found += visit_table(object, &object->elf.relocations[i], replace, context, &range, &relro,
                             false);
    if (!found)
        return 0;
    uintptr_t low = range.low & ~(elf_page - 1);
    uintptr_t high = (range.high + elf_page - 1) & ~(elf_page - 1);
    if (range.high && sys(mprotect, low, high - low, PROT_READ | PROT_WRITE) != 0)
        return -EACCES;
    for (unsigned i = 0; i < 3; i++)
        changed += visit_table(object, &object->elf.relocations[i], replace, context, &range,
                               &relro, true);
    if (range.high)
        sys(mprotect, low, high - low, PROT_READ);
    return changed;
}

/* -------------------------------------------------- what was opened */

struct opened {
    const ElfW(Dyn) * root;
    struct got_object *objects;
    size_t count;
    const struct got_object *current; /* whose slots are offered */
};

static uint32_t base_name_hash(const char *path)
{
    const char *name = path;
    for (const char *p = path; *p; p++) {
        if (*p == '/')
            name = p + 1;
    }
    return *name ? elf_gnu_hash(name) : 0;
}

/*
 * Only hashes are taken of names here, under the loader's lock: objects outside of the handle's
 * tree may be gone afterwards.
 */
static int collect(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct opened *o = context;
    for (size_t i = 0; i < info->dlpi_phnum && o->count < CANDIDATES; i++) {
        if (info->dlpi_phdr[i].p_type != PT_DYNAMIC)
            continue;
        const ElfW(Dyn) *dynamic =
            (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        struct got_object *g = &o->objects[o->count];
        if (preload_is_initial(dynamic) || !elf_read(&g->elf, info->dlpi_addr, dynamic))
            continue;
        g->headers = info->dlpi_phdr;
        g->header_count = info->dlpi_phnum;
        g->name_hash[0] = g->elf.soname ? elf_gnu_hash(g->elf.soname) : 0;
        g->name_hash[1] = info->dlpi_name ? base_name_hash(info->dlpi_name) : 0;
        g->in_tree = dynamic == o->root;
        o->count++;
    }
    return 0;
}

static bool add_needed(struct opened *o, const struct got_object *by)
{
    bool added = false;
    for (const ElfW(Dyn) *d = by->elf.dynamic; d->d_tag != DT_NULL; d++) {
        if (d->d_tag != DT_NEEDED)
            continue;
        uint32_t hash = base_name_hash(by->elf.strings + d->d_un.d_val);
        for (size_t i = 0; i < o->count; i++) {
            struct got_object *g = &o->objects[i];
            if (!g->in_tree && (g->name_hash[0] == hash || g->name_hash[1] == hash))
                g->in_tree = added = true;
        }
    }
    return added;
}

static const ElfW(Dyn) * deep[DEEP];
static uint32_t deep_next;

bool got_is_deep(const ElfW(Dyn) * dynamic)
{
    for (uint32_t i = 0; i < DEEP; i++) {
        if (__atomic_load_n(&deep[i], __ATOMIC_RELAXED) == dynamic)
            return true;
    }
    return false;
}

/* False: there are too many to be told apart later. Under got_patch_opened's lock. */
static bool note_deep(const ElfW(Dyn) * dynamic)
{
    if (got_is_deep(dynamic))
        return true;
    if (deep_next == DEEP)
        return false;
    __atomic_store_n(&deep[deep_next++], dynamic, __ATOMIC_RELEASE);
    return true;
}

/*
 * Names of TLS libraries: whichever library the slot means is found by who calls (tls_object.c), so
 * that ours may stand in every slot.
 */
static bool is_any_library(const char *name)
{
    return elf_starts(name, "SSL_") || elf_starts(name, "gnutls_") || elf_starts(name, "PR_");
}

/* Ours, where the slot leads, or would lead, to libc's function of that name. */
static void *ours_for(void *context, const char *name, const void *value, bool bound)
{
    const struct opened *o = context;
    const struct elf_object *self = preload_self();
    uint32_t hash = elf_gnu_hash(name);
    const ElfW(Sym) *s = self ? elf_find(self, name, hash) : NULL;
    if (!s)
        return NULL;
    if (is_any_library(name))
        return note_deep(o->current->elf.dynamic) ? elf_address(self, s) : NULL;
    if (bound)
        return value == hook_libc(name) || value == hook_next(name) ? elf_address(self, s) : NULL;
    for (size_t i = 0; i < o->count; i++) {
        /* a library beside it has a function of that name: that is the one which it means */
        if (o->objects[i].in_tree && elf_find(&o->objects[i].elf, name, hash))
            return NULL;
    }
    return elf_address(self, s);
}

static unsigned patched_count, refused_count;

void got_counts(unsigned *patched, unsigned *refused)
{
    *patched = __atomic_load_n(&patched_count, __ATOMIC_RELAXED);
    *refused = __atomic_load_n(&refused_count, __ATOMIC_RELAXED);
}

static bool patch_tree(struct opened *o)
{
    bool all = true;
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < o->count; i++) {
            if (o->objects[i].in_tree)
                more |= add_needed(o, &o->objects[i]);
        }
    }
    for (size_t i = 0; i < o->count; i++) {
        o->current = &o->objects[i];
        long changed = o->objects[i].in_tree ? got_patch_object(&o->objects[i], ours_for, o) : 0;
        if (changed > 0)
            __atomic_fetch_add(&patched_count, 1, __ATOMIC_RELAXED);
        if (changed < 0) {
            __atomic_fetch_add(&refused_count, 1, __ATOMIC_RELAXED);
            all = false;
        }
    }
    return all;
}

bool got_patch_opened(void *handle)
{
    static uint32_t busy;
    const size_t size = CANDIDATES * sizeof(struct got_object);
    const struct link_map *map = handle;

    if (preload_is_initial(map->l_ld))
        return true;
    /* two at the same pages would take each other's write permission away */
    for (int turn = 0; __atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE); turn++) {
        if (turn == TURNS)
            return false;
        sys(sched_yield);
    }
    bool all = false;
    long memory = sys(mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory > 0 || memory < -4095) {
        struct opened o = {map->l_ld, (struct got_object *)memory, 0, NULL};
        dl_iterate_phdr(collect, &o);
        all = patch_tree(&o);
        sys(munmap, memory, size);
    }
    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
    return all;
}

/* -------------------------------------------------- who called */

struct caller {
    uintptr_t address;
    bool has_run_path;
};

static int look_for_caller(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct caller *c = context;
    if (!elf_in_segment(info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum, c->address, 1, PF_X))
        return 0;
    struct elf_object object;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_DYNAMIC &&
            elf_read(&object, info->dlpi_addr, (const ElfW(Dyn) *)(info->dlpi_addr + p->p_vaddr)))
            c->has_run_path = object.has_run_path;
    }
    return 1;
}

bool got_has_run_path(const void *address)
{
    struct caller c = {(uintptr_t)address, true};
    dl_iterate_phdr(look_for_caller, &c);
    return c.has_run_path;
}
