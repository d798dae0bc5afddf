/*
 * got: reaches objects that bind past preloaded symbols (RTLD_DEEPBIND), through their GOT.
 */
#ifndef SCOPE_HOOK_GOT_H
#define SCOPE_HOOK_GOT_H

#include <stdbool.h>

#include "hook/elf.h"

/* An object in memory with its program headers. */
struct got_object {
    struct elf_object elf;
    const ElfW(Phdr) * headers;
    size_t header_count;
    uint32_t name_hash[2]; /* of its soname and of its file's name; 0: none */
    bool in_tree;          /* belongs to what is being patched */
};

/*
 * Which function a slot should hold instead. `value`: what it holds; `bound`: whether it was bound
 * already. Returns NULL to leave it.
 */
typedef void *got_replace(void *context, const char *name, const void *value, bool bound);

/*
 * Offers every JUMP_SLOT and GLOB_DAT slot of the object that names an undefined symbol to
 * `replace`, stores what it returns, and puts the protection of the pages back. Returns how many
 * were changed, or -errno when pages could not be made writable (nothing was changed then).
 */
long got_patch_object(const struct got_object *object, got_replace *replace, void *context);

/*
 * After dlopen has returned `handle`: patches the object and what it needs, as far as these were
 * not there at start, so that libc's functions of ours are reached. False: something could not be
 * patched. On the thread that opened it; the handle keeps the objects in place.
 */
bool got_patch_opened(void *handle);

/* Whether this object was opened with RTLD_DEEPBIND: what it needs goes before what is global. */
bool got_is_deep(const ElfW(Dyn) * dynamic);

/* How many objects were patched so far, and how many could not be. Any thread. */
void got_counts(unsigned *patched, unsigned *refused);

/*
 * Whether an object that this address lies in searches libraries along a path of its own (RPATH,
 * RUNPATH); true as well where the object is not found.
 */
bool got_has_run_path(const void *address);

#endif
