/* syscall: which number is which operation, and what its arguments are; see syscall.c. */
#ifndef SCOPE_INTERCEPT_SYSCALL_H
#define SCOPE_INTERCEPT_SYSCALL_H

#include <stdint.h>

enum how {
    PASS,
    COUNT, /* on a name: counted alone */
    ON_FD, /* on descriptor a: counted alone */
    READ,  /* (a, b, c) */
    WRITE,
    READV,
    WRITEV,
    OPEN,    /* (path, flags, mode) */
    OPENAT,  /* (dirfd, path, flags, mode) */
    OPENAT2, /* (dirfd, path, how) */
    CREAT,   /* (path, mode) */
    CLOSE,
    CLOSE_RANGE,
    DUP,
    DUP_TO,
    FCNTL,
    PIPE,
    EVENT, /* a new descriptor of no name; flags in b */
    MEMFD,
    ONE,     /* (path, extra) */
    ONE_AT,  /* (dirfd, path, extra) */
    TWO,     /* (path, path) */
    TWO_AT,  /* (dirfd, path, dirfd, path, extra) */
    LINK,    /* (text, path) */
    LINK_AT, /* (text, dirfd, path) */
    CHDIR,
    FCHDIR,
    MMAP,
    SENDFILE, /* (out, in) */
    SPLICE,   /* (in, offset, out) */
    TEE,      /* (in, out) */
    VMSPLICE,
    BY_NAME, /* by the wrapper of the same name */
    BLOCK,   /* waits: see block.c */
    FORK,
    IO_URING,
    AIO,
    SECCOMP,
    EXIT,
    EXIT_GROUP,
};

struct syscall_known {
    uint8_t how, op;
};

enum { SYSCALL_NUMBERS = 512 };

/* By number; PASS: not watched. */
extern const struct syscall_known syscall_known[SYSCALL_NUMBERS];

#endif
