/*
 * target: what an executable file is, as far as matters for a library that is preloaded into it.
 *
 * Raw system calls only, no memory, errno is left alone; safe in a vfork's child. Used by the exec
 * wrappers and by the scope command.
 */
#ifndef SCOPE_OS_TARGET_H
#define SCOPE_OS_TARGET_H

enum target {
    TARGET_NATIVE,  /* our class and machine, or not known to be otherwise */
    TARGET_STATIC,  /* the same, but no loader: nothing can be preloaded */
    TARGET_FOREIGN, /* another class, machine or C library: the loader would complain, or fail */
    TARGET_UNWILLING, /* its AddressSanitizer refuses to start behind another library */
    TARGET_MISSING, /* there is no such file */
    TARGET_REFUSED, /* it may not be executed */
};

/* The library is not to be loaded there, and could be tried: take it out of LD_PRELOAD. */
static inline int target_refuses(enum target target)
{
    return target == TARGET_FOREIGN || target == TARGET_UNWILLING;
}

/* A file by name, relative to dirfd (AT_FDCWD: the current directory). Scripts: their interpreter.
 */
enum target target_at(int dirfd, const char *path, int flags);

/*
 * As execvp finds it: `file` with a slash as it stands, else in `directories` (the value of PATH;
 * NULL: libc's default).
 */
enum target target_search(const char *file, const char *directories);

/* The same, and where it was found; out is empty if nowhere. */
enum target target_find(const char *file, const char *directories, char *out, unsigned long size);

#endif
