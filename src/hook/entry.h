/*
 * entry: hooks at the entries of functions, for those that no symbol leads to us: inside an
 * executable, or called from within their own library.
 *
 * Owns: the jumps that it puts in, and the pages near each object that hold what these replaced.
 * Called by src/intercept from the constructor, after a dlopen, or while all threads are stopped;
 * never after the program has asked for a seccomp filter (it makes system calls), never from a
 * signal handler. Must not allocate or wait: two callers at once, and one is told so. Fails open:
 * where anything is not as expected nothing is changed, and the reason is said.
 *
 * The replacement has the function's own signature and calls *original for the real one; exceptions
 * and cancellation pass through it as through any other frame. x86-64 only.
 */
#ifndef SCOPE_HOOK_ENTRY_H
#define SCOPE_HOOK_ENTRY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * No thread can be running the function: the process has one thread, the object has only just been
 * opened, or the threads are stopped elsewhere. Without this a function is hooked only if the jump
 * takes the place of one instruction, in one atomic store.
 */
enum { ENTRY_QUIET = 1 };

/*
 * From now on every call of the function (`size` bytes long, from its symbol) reaches
 * `replacement`. *original, which is set before the first such call, calls the function as it was,
 * also after entry_unhook. Returns 0, or -errno with a static text in *reason and nothing changed:
 * -ENOTSUP, the function or machine is not one for this; -EBUSY, threads may be in it, or another
 * caller is at work; -EACCES, memory may not be changed; -EALREADY; -ENOSPC.
 */
int entry_hook(void *function, size_t size, void *replacement, unsigned flags, void **original,
               const char **reason);

/* The same for several, which is cheaper: what is mapped is read once for each object. */
struct entry_request {
    void *function; /* NULL: it was not found, and that is the reason given */
    size_t size;
    void *replacement, **original;
    int result;         /* out: as entry_hook returns it */
    const char *reason; /* out: NULL when it is hooked */
};

/* Returns how many were hooked; each by itself is or is not. */
unsigned entry_hook_all(struct entry_request *requests, unsigned count, unsigned flags);

/* Puts the function's bytes back. -ENOENT: it is not hooked, or no longer as the hook left it. */
int entry_unhook(void *function, unsigned flags, const char **reason);

/* A function of the main executable. */
struct entry_symbol {
    const char *name;
    void *address; /* NULL: not found, or more than one has this name */
    size_t size;   /* bytes */
};

/*
 * Looks up functions that the main executable defines: in its dynamic symbols, and those that are
 * not there in the symbol table of its file, which is mapped for the moment. Returns how many were
 * found. Uses no lock and no allocation.
 */
unsigned entry_find(struct entry_symbol *symbols, unsigned count);

/* The same in its dynamic symbols alone: no system call, well below a microsecond a name. */
unsigned entry_find_exported(struct entry_symbol *symbols, unsigned count);

/* Bytes of the main executable's code; 0: not known. */
size_t entry_code_size(void);

#endif
