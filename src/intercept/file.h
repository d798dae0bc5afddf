/*
 * file: what happens after descriptors came and went, and after something was done to a name; for
 * stdio's and the process family's wrappers too. start: time before the real call; result: what it
 * returned, or -errno. All keep errno, and may be called in a signal handler.
 */
#ifndef SCOPE_INTERCEPT_FILE_H
#define SCOPE_INTERCEPT_FILE_H

#include <fcntl.h>

#include "intercept/common.h"

/*
 * A name was opened: result is the new descriptor. dirfd: AT_FDCWD where the call has none. path is
 * read only if the kernel has read it. Asks the kernel what was opened (one fstat, unless
 * sandboxed).
 */
void after_open(struct lane *lane, enum op op, int dirfd, const char *path, int flags,
                unsigned mode, uint64_t start, int64_t result);

/* A descriptor without a name in the file system: `name` is what /proc/self/fd shows. */
void after_open_unnamed(struct lane *lane, enum op op, enum kind kind, const char *name, int flags,
                        uint64_t start, int64_t result);

/* was: what fd_closing(fd) gave before the real call. */
void after_close(struct lane *lane, enum op op, int fd, fd_entry was, uint64_t start,
                 int64_t result);

/*
 * result is a duplicate of fd, whose entry was `entry`. replaced: the entry that the number
 * `result` had before the call where the call closes it (dup2), else 0.
 */
void after_dup(struct lane *lane, enum op op, int fd, fd_entry entry, fd_entry replaced,
               uint64_t start, int64_t result);

/* fcntl: what it duplicated, which flags it set. */
void after_fcntl(struct lane *lane, int fd, fd_entry entry, int command, long argument,
                 uint64_t start, int64_t result);

/* close_range, closefrom: ends every life between two numbers. */
void after_close_range(struct lane *lane, unsigned first, unsigned last, int flags, uint64_t start,
                       int64_t result);

/* pipe, pipe2: both ends, read only when result is 0. */
void after_pipe(struct lane *lane, enum op op, const int ends[2], int flags, uint64_t start,
                int64_t result);

/*
 * Something was done to one or two names (path2 NULL: one); extra: mode or flags. Counts, and
 * writes RECORD_PATH.
 */
void after_path(struct lane *lane, enum op op, int dirfd, const char *path, int dirfd2,
                const char *path2, uint64_t extra, uint64_t start, int64_t result);

/* A name was asked about: counts, and records only what is slow or fails within a context. */
void after_look(struct lane *lane, enum op op, int dirfd, const char *path, uint64_t start,
                int64_t result);

/* chdir, chroot; fchdir with its descriptor (else -1). */
void after_chdir(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                 int64_t result);

/* mmap of a file. */
void after_mmap(struct lane *lane, int fd, fd_entry entry, uint64_t length, uint64_t offset,
                uint64_t start, int64_t result);

/* sendfile, splice, tee, copy_file_range. result: bytes moved. */
void after_copy(struct lane *lane, enum op op, int in, fd_entry in_entry, int out,
                fd_entry out_entry, uint64_t start, int64_t result);

/* The same with memory for one of the two. */
void after_vmsplice(struct lane *lane, int fd, fd_entry entry, uint64_t start, int64_t result);

void after_memfd(struct lane *lane, const char *name, int flags, uint64_t start, int64_t result);

/* The program does something that cannot be watched: RECORD_NOTE, once for each kind of thing. */
void note_unseen(struct lane *lane, enum note what);

/* What the kernel says a descriptor is, by fstat; `otherwise` where it may not be asked. */
enum kind kind_of_fd(int fd, enum kind otherwise);

/* Whether the kernel is certain to have read the names that it was given, by what it answered. */
int names_were_read(int64_t result);

/*
 * Writes a record whose payload is the absolute form of a name, or struct dir_path (RECORD_DIRFD)
 * where the name is relative to a descriptor. path NULL: no payload.
 */
void record_name(struct lane *lane, struct record *record, int dirfd, const char *path, int dirfd2,
                 const char *path2);

#endif
