/*
 * Finds the real functions: our own symbol lookup over the objects that were loaded at start, in
 * the loader's order after us. No dl lock, no allocation: it may run in another library's
 * constructor, inside the allocator, or in a signal handler.
 */
#include "hook/internal.h"

#include <sys/auxv.h>

extern ElfW(Dyn) _DYNAMIC[] __attribute__((visibility("hidden")));

enum { OBJECTS_MAX = 512, LIBC_PARTS = 8 };

struct seen_object {
    struct elf_object elf;
    bool is_libc; /* a part of the C library */
};

/* The snapshot: written once, by whoever needs it first, then only read. */
static struct seen_object objects[OBJECTS_MAX];
static uint32_t object_count;
static struct link_map *chain_start; /* the loader's list ... */
static struct link_map *last_map;    /* ... and the last one loaded at start; never unloaded */
static struct elf_object self_object;
static const struct elf_object *libc_object;
static bool is_second;
enum { SNAPSHOT_NONE, SNAPSHOT_BUILDING, SNAPSHOT_READY };
static uint32_t snapshot_state;

static bool is_libc_name(const char *name)
{
    static const char *const parts[] = {"libc.so.",   "libpthread.so.", "libdl.so.",
                                        "librt.so.",  "libresolv.so.",  "libutil.so.",
                                        "libanl.so.", "libnsl.so."};
    if (!name)
        return false;
    for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (elf_starts(name, parts[i]))
            return true;
    }
    return false;
}

/* The loader's list of objects, from the main program's DT_DEBUG. NULL: not to be found. */
static struct link_map *first_map(void)
{
    const ElfW(Phdr) *headers = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    size_t count = getauxval(AT_PHNUM);
    uintptr_t base = 0;
    const ElfW(Phdr) *dynamic = NULL;

    for (size_t i = 0; headers && i < count; i++) {
        if (headers[i].p_type == PT_PHDR)
            base = (uintptr_t)headers - headers[i].p_vaddr;
        else if (headers[i].p_type == PT_DYNAMIC)
            dynamic = &headers[i];
    }
    if (!dynamic)
        return NULL;
    for (const ElfW(Dyn) *d = (const ElfW(Dyn) *)(base + dynamic->p_vaddr); d->d_tag; d++) {
        if (d->d_tag == DT_DEBUG && d->d_un.d_ptr)
            return ((const struct r_debug *)d->d_un.d_ptr)->r_map;
    }
    return NULL;
}

static bool is_vdso(const struct link_map *map)
{
    return map->l_addr && map->l_addr == getauxval(AT_SYSINFO_EHDR);
}

/* Visits the objects after ours (or, if libc is not among those, all but ours). */
typedef bool visit(void *context, const struct elf_object *object, bool is_libc);

static void each_object(struct link_map *first, visit *take, void *context)
{
    struct link_map *own = first;
    while (own && own->l_ld != _DYNAMIC)
        own = own->l_next;
    bool after = false;
    struct elf_object o;
    for (struct link_map *m = own ? own->l_next : NULL; m && !after; m = m->l_next)
        after = elf_read(&o, m->l_addr, m->l_ld) && is_libc_name(o.soname);
    for (struct link_map *m = after ? own->l_next : first; m; m = m->l_next) {
        if (m->l_ld == _DYNAMIC || is_vdso(m) || !elf_read(&o, m->l_addr, m->l_ld))
            continue;
        if (take(context, &o, is_libc_name(o.soname)))
            return;
    }
}

static bool keep(void *context, const struct elf_object *object, bool is_libc)
{
    (void)context;
    if (object_count >= (is_libc ? OBJECTS_MAX : OBJECTS_MAX - LIBC_PARTS))
        return false; /* of very many objects libc's own are the ones that matter */
    objects[object_count].elf = *object;
    objects[object_count].is_libc = is_libc;
    if (is_libc && !libc_object && elf_starts(object->soname, "libc.so."))
        libc_object = &objects[object_count].elf;
    object_count++;
    return false;
}

static void look_for_copies(struct link_map *first)
{
    for (struct link_map *m = first; m && m->l_ld != _DYNAMIC; m = m->l_next) {
        struct elf_object o;
        if (self_object.soname && !is_vdso(m) && elf_read(&o, m->l_addr, m->l_ld) && o.soname &&
            elf_same(o.soname, self_object.soname))
            is_second = true;
    }
}

static uintptr_t own_base(struct link_map *first)
{
    for (struct link_map *m = first; m; m = m->l_next) {
        if (m->l_ld == _DYNAMIC)
            return m->l_addr;
    }
    return 0;
}

/* Without DT_DEBUG (an odd linker made the program): the list that dl_iterate_phdr walks. */
static int keep_listed(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size, (void)context;
    struct elf_object o;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_DYNAMIC)
            continue;
        const ElfW(Dyn) *dynamic =
            (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        if (dynamic == _DYNAMIC)
            elf_read(&self_object, info->dlpi_addr, dynamic);
        else if (info->dlpi_addr != getauxval(AT_SYSINFO_EHDR) &&
                 elf_read(&o, info->dlpi_addr, dynamic))
            keep(NULL, &o, is_libc_name(o.soname));
    }
    return 0;
}

/* True: the snapshot can be read. False: somebody else is making it just now. */
static bool snapshot(void)
{
    uint32_t state = __atomic_load_n(&snapshot_state, __ATOMIC_ACQUIRE);
    if (likely(state == SNAPSHOT_READY))
        return true;
    if (state != SNAPSHOT_NONE ||
        !__atomic_compare_exchange_n(&snapshot_state, &state, SNAPSHOT_BUILDING, false,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return false;
    uintptr_t page = getauxval(AT_PAGESZ);
    if (page)
        elf_page = page;
    struct link_map *first = first_map();
    if (first) {
        elf_read(&self_object, own_base(first), _DYNAMIC);
        look_for_copies(first);
        each_object(first, keep, NULL);
        chain_start = first;
        for (last_map = first; last_map->l_next;)
            last_map = last_map->l_next;
    } else {
        dl_iterate_phdr(keep_listed, NULL);
    }
    __atomic_store_n(&snapshot_state, SNAPSHOT_READY, __ATOMIC_RELEASE);
    return true;
}

/* A lookup in progress. */
struct wanted {
    const char *name;
    uint32_t hash;
    bool libc_only;
    void *found;
};

static bool look_into(void *context, const struct elf_object *object, bool is_libc)
{
    struct wanted *w = context;
    if (w->libc_only && !is_libc)
        return false;
    const ElfW(Sym) *s = elf_find(object, w->name, w->hash);
    if (!s)
        return false;
    w->found = elf_address(object, s);
    return w->found != NULL;
}

/* What glibc before 2.34 keeps in libraries of its own, which may come by dlopen after the start.
 */
static bool may_come_later(const char *name)
{
    static const char *const prefixes[] = {"pthread_", "dl",    "shm_",   "res_",
                                           "__res",    "thrd_", "forkpty"};
    if (!last_map || !__atomic_load_n(&last_map->l_next, __ATOMIC_ACQUIRE) || !libc_object)
        return false;
    if (elf_find(libc_object, "pthread_create", elf_gnu_hash("pthread_create")))
        return false;
    for (unsigned i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (elf_starts(name, prefixes[i]))
            return true;
    }
    return false;
}

static int look_later(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct elf_object o;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_DYNAMIC)
            continue;
        const ElfW(Dyn) *dynamic =
            (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        if (dynamic != _DYNAMIC && elf_read(&o, info->dlpi_addr, dynamic) &&
            is_libc_name(o.soname) && look_into(context, &o, true))
            return 1;
    }
    return 0;
}

static void *look_up(const char *name, bool libc_only)
{
    struct wanted w = {name, elf_gnu_hash(name), libc_only, NULL};
    if (unlikely(!snapshot())) {
        each_object(first_map(), look_into, &w);
        return w.found;
    }
    for (uint32_t i = 0; i < object_count; i++) {
        if (look_into(&w, &objects[i].elf, objects[i].is_libc))
            return w.found;
    }
    if (may_come_later(name))
        dl_iterate_phdr(look_later, &w);
    return w.found;
}

void *hook_next(const char *name)
{
    return look_up(name, false);
}

void *hook_libc(const char *name)
{
    return look_up(name, true);
}

const struct elf_object *preload_self(void)
{
    return snapshot() && self_object.symbols ? &self_object : NULL;
}

const struct elf_object *preload_libc(void)
{
    return snapshot() ? libc_object : NULL;
}

bool preload_is_second(void)
{
    return snapshot() && is_second;
}

const char *hook_own_path(void)
{
    for (const struct link_map *m = snapshot() ? chain_start : NULL; m; m = m->l_next) {
        if (m->l_ld == _DYNAMIC)
            return m->l_name;
        if (m == last_map)
            break;
    }
    return NULL;
}

bool preload_is_initial(const ElfW(Dyn) * dynamic)
{
    if (!snapshot() || !last_map || dynamic == _DYNAMIC)
        return true;
    for (const struct link_map *m = chain_start; m; m = m->l_next) {
        if (m->l_ld == dynamic)
            return true;
        if (m == last_map)
            return false;
    }
    return false;
}

bool hook_is_initial(const void *dynamic)
{
    return preload_is_initial(dynamic);
}
