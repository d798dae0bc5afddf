/*
 * Which TLS library a caller means. Libraries are often opened long after the start, and there may
 * be several of a kind; so the object that calls is found, what it imports the name from (its
 * symbol version names a file), and the table of that object. What was found is kept by return
 * address.
 */
#include "intercept/tls.h"

#include "hook/elf.h"
#include "intercept/common.h"

enum { TABLES = 12, CALLERS = 256, INSIDE = 1 };

/* The low bit of `value` is INSIDE. address is 0 while the others are written. */
struct caller {
    uintptr_t address;
    uintptr_t value;
};

extern ElfW(Dyn) _DYNAMIC[] __attribute__((visibility("hidden")));

/* -------------------------------------------------- objects */

struct search {
    const char *name; /* the function */
    uint32_t hash;
    const char *file;        /* the soname that the caller's import names; NULL: not known */
    const ElfW(Dyn) * needs; /* the caller's dynamic section, for what it needs */
    const char *strings;
    struct elf_object best;
    int weight; /* of the best: 4 the caller itself, 3 file, 2 needed, 1 any, 0 none */
};

struct lookup_caller {
    uintptr_t address;
    struct elf_object object;
    bool found;
};

static bool object_of(const struct dl_phdr_info *info, struct elf_object *object)
{
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_DYNAMIC)
            return elf_read(object, info->dlpi_addr,
                            (const ElfW(Dyn) *)(info->dlpi_addr + p->p_vaddr));
    }
    return false;
}

static int look_for_caller(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct lookup_caller *c = context;
    if (!elf_in_segment(info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum, c->address, 1, PF_X))
        return 0;
    c->found = object_of(info, &c->object);
    return 1;
}

static bool needs(const struct search *s, const char *soname)
{
    for (const ElfW(Dyn) *d = s->needs; d && soname && d->d_tag != DT_NULL; d++) {
        if (d->d_tag == DT_NEEDED && elf_same(s->strings + d->d_un.d_val, soname))
            return true;
    }
    return false;
}

static int look_for_library(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct search *s = context;
    struct elf_object o;
    if (!object_of(info, &o) || o.dynamic == _DYNAMIC || !elf_find(&o, s->name, s->hash))
        return 0;
    int weight = 1;
    if (o.dynamic == s->needs)
        weight = 4; /* its own calls of what it has mean that */
    else if (s->file && o.soname && elf_same(o.soname, s->file))
        weight = 3;
    else if (needs(s, o.soname))
        weight = 2;
    if (weight > s->weight) {
        s->weight = weight;
        s->best = o;
    }
    return weight == 4;
}

/* The file that version `index` of an import comes from. */
static const char *file_of_version(const struct elf_object *o, unsigned index)
{
    const char *at = NULL;
    size_t count = 0;
    for (const ElfW(Dyn) *d = o->dynamic; d->d_tag != DT_NULL; d++) {
        if (d->d_tag == DT_VERNEED)
            at = (const char *)(d->d_un.d_ptr < o->base ? o->base + d->d_un.d_ptr : d->d_un.d_ptr);
        else if (d->d_tag == DT_VERNEEDNUM)
            count = d->d_un.d_val;
    }
    for (size_t i = 0; at && i < count; i++) {
        const ElfW(Verneed) *need = (const ElfW(Verneed) *)at;
        const char *aux_at = at + need->vn_aux;
        for (unsigned j = 0; j < need->vn_cnt; j++) {
            const ElfW(Vernaux) *aux = (const ElfW(Vernaux) *)aux_at;
            if ((aux->vna_other & 0x7fff) == index)
                return o->strings + need->vn_file;
            aux_at += aux->vna_next;
        }
        if (!need->vn_next)
            break;
        at += need->vn_next;
    }
    return NULL;
}

/* The file that an object imports `name` from, where its symbol has a version. */
static const char *file_of_import(const struct elf_object *o, const char *name)
{
    for (unsigned t = 0; t < 3; t++) {
        const struct elf_relocations *table = &o->relocations[t];
        for (size_t i = 0; o->versions && i < table->count; i++) {
            const ElfW(Rel) *r = (const ElfW(Rel) *)((const char *)table->table + i * table->entry);
            size_t index = ELF64_R_SYM(r->r_info);
            const ElfW(Sym) *s = &o->symbols[index];
            if (index && s->st_shndx == SHN_UNDEF && elf_same(o->strings + s->st_name, name))
                return file_of_version(o, o->versions[index] & 0x7fffu);
        }
    }
    return NULL;
}

/* The object whose `name` is meant by `by` (NULL: by nobody in particular). Its weight, 0: none. */
static int library_of(const struct elf_object *by, const char *name, struct elf_object *library)
{
    struct search s = {.name = name, .hash = elf_gnu_hash(name)};
    if (by) {
        s.file = file_of_import(by, name);
        s.needs = by->dynamic;
        s.strings = by->strings;
    }
    dl_iterate_phdr(look_for_library, &s);
    *library = s.best;
    return s.weight;
}

static void *in_object(void *context, const char *name)
{
    const struct elf_object *o = context;
    const ElfW(Sym) *s = elf_find(o, name, elf_gnu_hash(name));
    struct elf_object other;
    if (s)
        return elf_address(o, s);
    /* of a family of libraries the other one: ERR_peek_error is libcrypto's */
    if (library_of(o, name, &other) < 2)
        return NULL;
    s = elf_find(&other, name, elf_gnu_hash(name));
    return s ? elf_address(&other, s) : NULL;
}

/* -------------------------------------------------- tables */

/* Of one library family: its tables, and which caller means which. */
struct family {
    char *tables;
    size_t size; /* of one table */
    bool (*fill)(void *api, tls_look_up *look_up, void *context);
    struct caller *callers;
    uint32_t used;
};

static bool fill_openssl(void *api, tls_look_up *look_up, void *context)
{
    return tls_openssl_fill(api, look_up, context);
}

static bool fill_gnutls(void *api, tls_look_up *look_up, void *context)
{
    return tls_gnutls_fill(api, look_up, context);
}

static bool fill_nss(void *api, tls_look_up *look_up, void *context)
{
    return tls_nss_fill(api, look_up, context);
}

static struct tls_openssl openssl_tables[TABLES];
static struct tls_gnutls gnutls_tables[TABLES];
static struct tls_nss nss_tables[TABLES];
static struct caller openssl_callers[CALLERS], gnutls_callers[CALLERS], nss_callers[CALLERS];
static const struct tls_nss *nss_itself;
static struct family openssl = {(char *)openssl_tables, sizeof(openssl_tables[0]), fill_openssl,
                                openssl_callers, 0};
static struct family gnutls = {(char *)gnutls_tables, sizeof(gnutls_tables[0]), fill_gnutls,
                               gnutls_callers, 0};

static struct family nss = {(char *)nss_tables, sizeof(nss_tables[0]), fill_nss, nss_callers, 0};

/* The table that is as this one; a library that was there before keeps its own. */
static const void *keep(struct family *f, const void *made)
{
    uint32_t used = __atomic_load_n(&f->used, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < used && i < TABLES; i++) {
        if (!__builtin_memcmp(f->tables + i * f->size, made, f->size))
            return f->tables + i * f->size;
    }
    /* so many that some must have gone: the oldest gives way */
    uint32_t at = __atomic_fetch_add(&f->used, 1, __ATOMIC_ACQ_REL) % TABLES;
    __builtin_memcpy(f->tables + at * f->size, made, f->size);
    return f->tables + at * f->size;
}

static __attribute__((noinline, cold)) struct tls_found
find_out(struct family *f, struct caller *place, const void *from, const char *name)
{
    union {
        struct tls_openssl openssl;
        struct tls_gnutls gnutls;
        struct tls_nss nss;
    } made;
    struct lookup_caller caller = {.address = (uintptr_t)from};
    struct elf_object library;
    struct tls_found found = {NULL, false};
    int error = errno;

    dl_iterate_phdr(look_for_caller, &caller);
    if (!library_of(caller.found ? &caller.object : NULL, name, &library))
        return found;
    __builtin_memset(&made, 0, sizeof(made));
    f->fill(&made, in_object, &library);
    found.api = keep(f, &made);
    found.inside = caller.found &&
                   (caller.object.dynamic == _DYNAMIC || caller.object.dynamic == library.dynamic);
    __atomic_store_n(&place->address, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&place->value, (uintptr_t)found.api | (found.inside ? INSIDE : 0),
                     __ATOMIC_RELAXED);
    __atomic_store_n(&place->address, (uintptr_t)from, __ATOMIC_RELEASE);
    errno = error;
    return found;
}

static inline struct tls_found found_by(struct family *f, const void *from, const char *name)
{
    uintptr_t address = (uintptr_t)from;
    struct caller *place = &f->callers[(address ^ address >> 8) % CALLERS];
    if (likely(__atomic_load_n(&place->address, __ATOMIC_ACQUIRE) == address)) {
        uintptr_t value = __atomic_load_n(&place->value, __ATOMIC_ACQUIRE);
        if (likely(__atomic_load_n(&place->address, __ATOMIC_RELAXED) == address))
            return (struct tls_found){(const void *)(value & ~(uintptr_t)INSIDE), value & INSIDE};
    }
    return find_out(f, place, from, name);
}

struct tls_found tls_openssl_of(const void *from, const char *name)
{
    return found_by(&openssl, from, name);
}

struct tls_found tls_gnutls_of(const void *from, const char *name)
{
    return found_by(&gnutls, from, name);
}

struct tls_found tls_nss_of(const void *from, const char *name)
{
    return found_by(&nss, from, name);
}

const struct tls_nss *tls_nss_loaded(void)
{
    const struct tls_nss *api = __atomic_load_n(&nss_itself, __ATOMIC_ACQUIRE);
    struct elf_object library;
    if (likely(api))
        return api;
    struct tls_nss made;
    int error = errno;
    __builtin_memset(&made, 0, sizeof(made));
    if (library_of(NULL, "SSL_ForceHandshake", &library) &&
        tls_nss_fill(&made, in_object, &library)) {
        api = keep(&nss, &made);
        __atomic_store_n(&nss_itself, api, __ATOMIC_RELEASE);
    }
    errno = error;
    return api;
}

static void forget(struct caller *callers)
{
    for (unsigned i = 0; i < CALLERS; i++) {
        if (__atomic_load_n(&callers[i].address, __ATOMIC_RELAXED))
            __atomic_store_n(&callers[i].address, 0, __ATOMIC_RELAXED);
    }
}

void tls_objects_changed(void)
{
    if (__atomic_load_n(&openssl.used, __ATOMIC_RELAXED))
        forget(openssl_callers);
    if (__atomic_load_n(&gnutls.used, __ATOMIC_RELAXED))
        forget(gnutls_callers);
    if (__atomic_load_n(&nss.used, __ATOMIC_RELAXED)) {
        forget(nss_callers);
        __atomic_store_n(&nss_itself, NULL, __ATOMIC_RELAXED);
    }
}
