/*
 * Which TLS library a caller means. Libraries are often opened long after the start, and there may
 * be several of a kind; so the object that calls is found, what it imports the name from (its
 * symbol version names a file), and the table of that object. What was found is kept by return
 * address.
 */
#include "intercept/tls.h"

#include "hook/got.h"
#include "intercept/common.h"

enum { TABLES = 64, CALLERS = 512, WAYS = 4, INSIDE = 1 };

/* The low bit of `value` is INSIDE. address is 0 while the others are written. */
struct caller {
    uintptr_t address;
    uintptr_t value;
};

extern ElfW(Dyn) _DYNAMIC[] __attribute__((visibility("hidden")));

/* -------------------------------------------------- objects */

/* What a version of an import says: where it comes from and what it is called. NULL: not known. */
struct import {
    const char *file;
    const char *version;
};

/* The address in a dynamic section's entry: glibc has relocated it, other loaders have not. */
static const char *table_at(const struct elf_object *o, const ElfW(Dyn) * d)
{
    return (const char *)(d->d_un.d_ptr < o->base ? o->base + d->d_un.d_ptr : d->d_un.d_ptr);
}

static struct import import_of_version(const struct elf_object *o, unsigned index)
{
    const char *at = NULL;
    size_t count = 0;
    for (const ElfW(Dyn) *d = o->dynamic; d->d_tag != DT_NULL; d++) {
        if (d->d_tag == DT_VERNEED)
            at = table_at(o, d);
        else if (d->d_tag == DT_VERNEEDNUM)
            count = d->d_un.d_val;
    }
    for (size_t i = 0; at && i < count; i++) {
        const ElfW(Verneed) *need = (const ElfW(Verneed) *)at;
        const char *aux_at = at + need->vn_aux;
        for (unsigned j = 0; j < need->vn_cnt; j++) {
            const ElfW(Vernaux) *aux = (const ElfW(Vernaux) *)aux_at;
            if ((aux->vna_other & 0x7fff) == index)
                return (struct import){o->strings + need->vn_file, o->strings + aux->vna_name};
            aux_at += aux->vna_next;
        }
        if (!need->vn_next)
            break;
        at += need->vn_next;
    }
    return (struct import){NULL, NULL};
}

/* How an object imports `name`, where its symbol has a version. */
static struct import import_of(const struct elf_object *o, const char *name)
{
    for (unsigned t = 0; t < 3; t++) {
        const struct elf_relocations *table = &o->relocations[t];
        for (size_t i = 0; o->versions && i < table->count; i++) {
            const ElfW(Rel) *r = (const ElfW(Rel) *)((const char *)table->table + i * table->entry);
            size_t index = ELF64_R_SYM(r->r_info);
            const ElfW(Sym) *s = &o->symbols[index];
            if (index && s->st_shndx == SHN_UNDEF && elf_same(o->strings + s->st_name, name))
                return import_of_version(o, o->versions[index] & 0x7fffu);
        }
    }
    return (struct import){NULL, NULL};
}

/* Whether an import of this version binds to the definition; NULL, and no versions, bind to any. */
static bool has_version(const struct elf_object *o, const ElfW(Sym) * s, const char *version)
{
    const char *at = NULL;
    size_t count = 0;
    for (const ElfW(Dyn) *d = o->dynamic; d->d_tag != DT_NULL; d++) {
        if (d->d_tag == DT_VERDEF)
            at = table_at(o, d);
        else if (d->d_tag == DT_VERDEFNUM)
            count = d->d_un.d_val;
    }
    if (!version || !o->versions || !at)
        return true;
    unsigned index = o->versions[s - o->symbols] & 0x7fffu;
    for (size_t i = 0; i < count; i++) {
        const ElfW(Verdef) *def = (const ElfW(Verdef) *)at;
        const ElfW(Verdaux) *aux = (const ElfW(Verdaux) *)(at + def->vd_aux);
        if ((def->vd_ndx & 0x7fffu) == index)
            return elf_same(o->strings + aux->vda_name, version);
        if (!def->vd_next)
            break;
        at += def->vd_next;
    }
    return index <= 1; /* of an object with versions a symbol that has none */
}

/*
 * What the loader would take without us: the first of the objects that were there at start whose
 * version fits (another's wrapper, perhaps), then what the caller has around it.
 */
enum weight { NONE, ANY, NEEDED, FILE_NAMED, ITSELF, INITIAL };

struct search {
    const char *name; /* the function */
    uint32_t hash;
    struct import import;    /* how the caller imports it */
    const ElfW(Dyn) * needs; /* the caller's dynamic section, for what it needs */
    const char *strings;
    struct elf_object best;
    bool as_loader;     /* what the loader would take, not what lies beside the caller */
    enum weight weight; /* of the best: enum weight */
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
    if (!object_of(info, &o) || o.dynamic == _DYNAMIC)
        return 0;
    const ElfW(Sym) *symbol = elf_find(&o, s->name, s->hash);
    if (!symbol)
        return 0;
    enum weight weight = ANY;
    if (s->as_loader && hook_is_initial(o.dynamic) && has_version(&o, symbol, s->import.version))
        weight = INITIAL;
    else if (o.dynamic == s->needs)
        weight = ITSELF;
    else if (s->import.file && o.soname && elf_same(o.soname, s->import.file))
        weight = FILE_NAMED;
    else if (needs(s, o.soname))
        weight = NEEDED;
    if (weight > s->weight) {
        s->weight = weight;
        s->best = o;
    }
    return weight == INITIAL;
}

/* The object whose `name` is meant by `by` (NULL: by nobody in particular), and how surely. */
static enum weight library_of(const struct elf_object *by, const char *name, bool as_loader,
                              struct elf_object *library)
{
    struct search s = {.name = name, .hash = elf_gnu_hash(name), .as_loader = as_loader};
    if (by) {
        s.import = import_of(by, name);
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
    if (library_of(o, name, false, &other) < NEEDED)
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
    uint32_t turn; /* of the callers' places that give way to others */
    struct {
        const ElfW(Dyn) * object;
        uint32_t closes; /* as it was when the table was filled */
    } of[TABLES];
};

static uint32_t closes; /* how often objects may have gone */

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
static struct family openssl = {.tables = (char *)openssl_tables,
                                .size = sizeof(openssl_tables[0]),
                                .fill = fill_openssl,
                                .callers = openssl_callers};
static struct family gnutls = {.tables = (char *)gnutls_tables,
                               .size = sizeof(gnutls_tables[0]),
                               .fill = fill_gnutls,
                               .callers = gnutls_callers};
static struct family nss = {.tables = (char *)nss_tables,
                            .size = sizeof(nss_tables[0]),
                            .fill = fill_nss,
                            .callers = nss_callers};

static void forget(struct caller *callers)
{
    for (unsigned i = 0; i < CALLERS; i++) {
        if (__atomic_load_n(&callers[i].address, __ATOMIC_RELAXED))
            __atomic_store_n(&callers[i].address, 0, __ATOMIC_RELAXED);
    }
}

/* The table that is as this one; a library that was there before keeps its own. */
static const void *keep(struct family *f, const void *made, const ElfW(Dyn) * object, uint32_t when)
{
    uint32_t used = __atomic_load_n(&f->used, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < used && i < TABLES; i++) {
        if (!__builtin_memcmp(f->tables + i * f->size, made, f->size)) {
            __atomic_store_n(&f->of[i].object, NULL, __ATOMIC_RELAXED);
            __atomic_store_n(&f->of[i].closes, when, __ATOMIC_RELEASE);
            __atomic_store_n(&f->of[i].object, object, __ATOMIC_RELEASE);
            return f->tables + i * f->size;
        }
    }
    /* so many that some must have gone: the oldest gives way, and whoever means it asks again */
    uint32_t turn = __atomic_fetch_add(&f->used, 1, __ATOMIC_ACQ_REL), at = turn % TABLES;
    if (turn >= TABLES) {
        forget(f->callers);
        __atomic_store_n(&nss_itself, NULL, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&f->of[at].object, NULL, __ATOMIC_RELEASE);
    __builtin_memcpy(f->tables + at * f->size, made, f->size);
    __atomic_store_n(&f->of[at].closes, when, __ATOMIC_RELEASE);
    __atomic_store_n(&f->of[at].object, object, __ATOMIC_RELEASE);
    return f->tables + at * f->size;
}

/* The table of this object, if it was filled since objects may last have gone. */
static const void *kept(struct family *f, const ElfW(Dyn) * object, uint32_t when)
{
    for (uint32_t i = 0; i < TABLES && i < __atomic_load_n(&f->used, __ATOMIC_ACQUIRE); i++) {
        if (__atomic_load_n(&f->of[i].object, __ATOMIC_ACQUIRE) == object &&
            __atomic_load_n(&f->of[i].closes, __ATOMIC_ACQUIRE) == when)
            return f->tables + i * f->size;
    }
    return NULL;
}

static const void *table_of(struct family *f, struct elf_object *library, uint32_t when)
{
    union {
        struct tls_openssl openssl;
        struct tls_gnutls gnutls;
        struct tls_nss nss;
    } made;
    const void *api = kept(f, library->dynamic, when);
    if (api)
        return api;
    __builtin_memset(&made, 0, sizeof(made));
    f->fill(&made, in_object, library);
    return keep(f, &made, library->dynamic, when);
}

static __attribute__((noinline, cold)) struct tls_found
find_out(struct family *f, struct caller *place, const void *from, const char *name)
{
    struct lookup_caller caller = {.address = (uintptr_t)from};
    struct elf_object library;
    struct tls_found found = {NULL, false};
    uint32_t when = __atomic_load_n(&closes, __ATOMIC_ACQUIRE);
    int error = errno;

    dl_iterate_phdr(look_for_caller, &caller);
    if (!library_of(caller.found ? &caller.object : NULL, name,
                    !caller.found || !got_is_deep(caller.object.dynamic), &library))
        return found;
    found.api = table_of(f, &library, when);
    found.inside = caller.found &&
                   (caller.object.dynamic == _DYNAMIC || caller.object.dynamic == library.dynamic);
    __atomic_store_n(&place->address, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&place->value, (uintptr_t)found.api | (found.inside ? INSIDE : 0),
                     __ATOMIC_RELAXED);
    __atomic_store_n(&place->address, (uintptr_t)from, __ATOMIC_RELEASE);
    if (__atomic_load_n(&closes, __ATOMIC_ACQUIRE) != when)
        __atomic_store_n(&place->address, 0, __ATOMIC_RELAXED);
    errno = error;
    return found;
}

/* Where a new caller goes; of many that share a place, each gives way in turn. */
static struct caller *free_way(struct family *f, struct caller *ways)
{
    for (unsigned i = 0; i < WAYS; i++) {
        if (!__atomic_load_n(&ways[i].address, __ATOMIC_RELAXED))
            return &ways[i];
    }
    return &ways[__atomic_fetch_add(&f->turn, 1, __ATOMIC_RELAXED) % WAYS];
}

static inline struct tls_found found_by(struct family *f, const void *from, const char *name)
{
    uintptr_t address = (uintptr_t)from;
    struct caller *ways = &f->callers[(address ^ address >> 8) % (CALLERS / WAYS) * WAYS];
    for (unsigned i = 0; i < WAYS; i++) {
        if (__atomic_load_n(&ways[i].address, __ATOMIC_ACQUIRE) != address)
            continue;
        uintptr_t value = __atomic_load_n(&ways[i].value, __ATOMIC_ACQUIRE);
        if (likely(__atomic_load_n(&ways[i].address, __ATOMIC_RELAXED) == address))
            return (struct tls_found){(const void *)(value & ~(uintptr_t)INSIDE), value & INSIDE};
    }
    return find_out(f, free_way(f, ways), from, name);
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
    uint32_t when = __atomic_load_n(&closes, __ATOMIC_ACQUIRE);
    int error = errno;
    if (library_of(NULL, "SSL_ForceHandshake", false, &library))
        api = table_of(&nss, &library, when);
    if (api && api->observable)
        __atomic_store_n(&nss_itself, api, __ATOMIC_RELEASE);
    errno = error;
    return api && api->observable ? api : NULL;
}

void tls_objects_changed(void)
{
    __atomic_fetch_add(&closes, 1, __ATOMIC_ACQ_REL);
    if (__atomic_load_n(&openssl.used, __ATOMIC_RELAXED))
        forget(openssl_callers);
    if (__atomic_load_n(&gnutls.used, __ATOMIC_RELAXED))
        forget(gnutls_callers);
    if (__atomic_load_n(&nss.used, __ATOMIC_RELAXED)) {
        forget(nss_callers);
        __atomic_store_n(&nss_itself, NULL, __ATOMIC_RELAXED);
    }
}
