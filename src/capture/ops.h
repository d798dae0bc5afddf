/*
 * The operations that are watched: one name for each call as POSIX or Linux spells it.
 *
 * The name is what `scope.operation` says in every sink, and, where a system call has it, the name
 * that strace prints. Operations are appended, never renumbered: the number is part of the layout.
 *
 * X(id, name, class): class says what the result means (see enum op_class).
 */
#ifndef SCOPE_CAPTURE_OPS_H
#define SCOPE_CAPTURE_OPS_H

enum op_class {
    CLASS_OTHER,  /* counted and timed */
    CLASS_READ,   /* result is the number of bytes that came in */
    CLASS_WRITE,  /* result is the number of bytes that went out */
    CLASS_COPY,   /* sendfile, splice, copy_file_range, tee: bytes moved between two descriptors */
    CLASS_OPEN,   /* result is a new descriptor */
    CLASS_CLOSE,
    CLASS_PATH,   /* acts on a name */
};

/* clang-format off */
#define SCOPE_OPS(X)                                  \
    /* files: opening and closing */                  \
    X(OPEN,          "open",            CLASS_OPEN)   \
    X(OPENAT,        "openat",          CLASS_OPEN)   \
    X(OPENAT2,       "openat2",         CLASS_OPEN)   \
    X(CREAT,         "creat",           CLASS_OPEN)   \
    X(CLOSE,         "close",           CLASS_CLOSE)  \
    X(CLOSE_RANGE,   "close_range",     CLASS_CLOSE)  \
    X(DUP,           "dup",             CLASS_OPEN)   \
    X(DUP2,          "dup2",            CLASS_OPEN)   \
    X(DUP3,          "dup3",            CLASS_OPEN)   \
    X(FCNTL,         "fcntl",           CLASS_OTHER)  \
    X(PIPE,          "pipe",            CLASS_OPEN)   \
    X(PIPE2,         "pipe2",           CLASS_OPEN)   \
    X(EVENTFD,       "eventfd2",        CLASS_OPEN)   \
    X(MEMFD,         "memfd_create",    CLASS_OPEN)   \
    X(SHM_OPEN,      "shm_open",        CLASS_OPEN)   \
    X(MKSTEMP,       "mkstemp",         CLASS_OPEN)   \
    X(TMPFILE,       "tmpfile",         CLASS_OPEN)   \
    X(POPEN,         "popen",           CLASS_OPEN)   \
    X(EPOLL_CREATE,  "epoll_create1",   CLASS_OPEN)   \
    X(OPENDIR,       "opendir",         CLASS_OPEN)   \
    /* files: bytes */                                \
    X(READ,          "read",            CLASS_READ)   \
    X(READV,         "readv",           CLASS_READ)   \
    X(PREAD,         "pread64",         CLASS_READ)   \
    X(PREADV,        "preadv",          CLASS_READ)   \
    X(PREADV2,       "preadv2",         CLASS_READ)   \
    X(WRITE,         "write",           CLASS_WRITE)  \
    X(WRITEV,        "writev",          CLASS_WRITE)  \
    X(PWRITE,        "pwrite64",        CLASS_WRITE)  \
    X(PWRITEV,       "pwritev",         CLASS_WRITE)  \
    X(PWRITEV2,      "pwritev2",        CLASS_WRITE)  \
    X(SENDFILE,      "sendfile",        CLASS_COPY)   \
    X(SPLICE,        "splice",          CLASS_COPY)   \
    X(TEE,           "tee",             CLASS_COPY)   \
    X(VMSPLICE,      "vmsplice",        CLASS_COPY)   \
    X(COPY_RANGE,    "copy_file_range", CLASS_COPY)   \
    X(READDIR,       "readdir",         CLASS_OTHER)  \
    X(GETDENTS,      "getdents64",      CLASS_OTHER)  \
    X(LSEEK,         "lseek",           CLASS_OTHER)  \
    X(FSYNC,         "fsync",           CLASS_OTHER)  \
    X(FDATASYNC,     "fdatasync",       CLASS_OTHER)  \
    X(SYNC_RANGE,    "sync_file_range", CLASS_OTHER)  \
    X(FALLOCATE,     "fallocate",       CLASS_OTHER)  \
    X(FTRUNCATE,     "ftruncate",       CLASS_OTHER)  \
    X(MMAP,          "mmap",            CLASS_OTHER)  \
    X(FSTAT,         "fstat",           CLASS_OTHER)  \
    X(FSTATFS,       "fstatfs",         CLASS_OTHER)  \
    X(FCHMOD,        "fchmod",          CLASS_OTHER)  \
    X(FCHOWN,        "fchown",          CLASS_OTHER)  \
    X(FCHDIR,        "fchdir",          CLASS_OTHER)  \
    /* files: names */                                \
    X(STAT,          "stat",            CLASS_PATH)   \
    X(LSTAT,         "lstat",           CLASS_PATH)   \
    X(FSTATAT,       "newfstatat",      CLASS_PATH)   \
    X(STATX,         "statx",           CLASS_PATH)   \
    X(STATFS,        "statfs",          CLASS_PATH)   \
    X(ACCESS,        "access",          CLASS_PATH)   \
    X(FACCESSAT,     "faccessat",       CLASS_PATH)   \
    X(UNLINK,        "unlink",          CLASS_PATH)   \
    X(UNLINKAT,      "unlinkat",        CLASS_PATH)   \
    X(RENAME,        "rename",          CLASS_PATH)   \
    X(RENAMEAT,      "renameat",        CLASS_PATH)   \
    X(RENAMEAT2,     "renameat2",       CLASS_PATH)   \
    X(MKDIR,         "mkdir",           CLASS_PATH)   \
    X(MKDIRAT,       "mkdirat",         CLASS_PATH)   \
    X(RMDIR,         "rmdir",           CLASS_PATH)   \
    X(LINK,          "link",            CLASS_PATH)   \
    X(LINKAT,        "linkat",          CLASS_PATH)   \
    X(SYMLINK,       "symlink",         CLASS_PATH)   \
    X(SYMLINKAT,     "symlinkat",       CLASS_PATH)   \
    X(READLINK,      "readlink",        CLASS_PATH)   \
    X(READLINKAT,    "readlinkat",      CLASS_PATH)   \
    X(TRUNCATE,      "truncate",        CLASS_PATH)   \
    X(CHMOD,         "chmod",           CLASS_PATH)   \
    X(FCHMODAT,      "fchmodat",        CLASS_PATH)   \
    X(CHOWN,         "chown",           CLASS_PATH)   \
    X(LCHOWN,        "lchown",          CLASS_PATH)   \
    X(FCHOWNAT,      "fchownat",        CLASS_PATH)   \
    X(CHDIR,         "chdir",           CLASS_PATH)   \
    X(CHROOT,        "chroot",          CLASS_PATH)   \
    /* sockets */                                     \
    X(SOCKET,        "socket",          CLASS_OPEN)   \
    X(SOCKETPAIR,    "socketpair",      CLASS_OPEN)   \
    X(BIND,          "bind",            CLASS_OTHER)  \
    X(LISTEN,        "listen",          CLASS_OTHER)  \
    X(ACCEPT,        "accept",          CLASS_OPEN)   \
    X(ACCEPT4,       "accept4",         CLASS_OPEN)   \
    X(CONNECT,       "connect",         CLASS_OTHER)  \
    X(SEND,          "send",            CLASS_WRITE)  \
    X(SENDTO,        "sendto",          CLASS_WRITE)  \
    X(SENDMSG,       "sendmsg",         CLASS_WRITE)  \
    X(SENDMMSG,      "sendmmsg",        CLASS_WRITE)  \
    X(RECV,          "recv",            CLASS_READ)   \
    X(RECVFROM,      "recvfrom",        CLASS_READ)   \
    X(RECVMSG,       "recvmsg",         CLASS_READ)   \
    X(RECVMMSG,      "recvmmsg",        CLASS_READ)   \
    X(SHUTDOWN,      "shutdown",        CLASS_OTHER)  \
    X(GETSOCKOPT,    "getsockopt",      CLASS_OTHER)  \
    /* names */                                       \
    X(GETADDRINFO,   "getaddrinfo",     CLASS_OTHER)  \
    X(GETHOSTBYNAME, "gethostbyname",   CLASS_OTHER)  \
    X(GETHOSTBYADDR, "gethostbyaddr",   CLASS_OTHER)  \
    X(GETNAMEINFO,   "getnameinfo",     CLASS_OTHER)  \
    X(RES_QUERY,     "res_query",       CLASS_OTHER)  \
    X(DNS,           "dns",             CLASS_OTHER)  /* a message on the wire */ \
    /* processes and threads */                       \
    X(FORK,          "fork",            CLASS_OTHER)  \
    X(VFORK,         "vfork",           CLASS_OTHER)  \
    X(CLONE,         "clone",           CLASS_OTHER)  \
    X(POSIX_SPAWN,   "posix_spawn",     CLASS_OTHER)  \
    X(EXEC,          "execve",          CLASS_OTHER)  \
    X(EXIT,          "exit",            CLASS_OTHER)  \
    X(ABORT,         "abort",           CLASS_OTHER)  \
    X(WAIT,          "wait4",           CLASS_OTHER)  \
    X(THREAD,        "pthread_create",  CLASS_OTHER)  \
    /* logs */                                        \
    X(SYSLOG,        "syslog",          CLASS_OTHER)  \
    /* files again */                                 \
    X(SIGNALFD,      "signalfd4",       CLASS_OPEN)   \
    X(TIMERFD,       "timerfd_create",  CLASS_OPEN)   \
    X(INOTIFY,       "inotify_init1",   CLASS_OPEN)
/* clang-format on */

enum op {
#define SCOPE_OP_ENUM(id, name, class) OP_##id,
    SCOPE_OPS(SCOPE_OP_ENUM)
#undef SCOPE_OP_ENUM
    OP_COUNT
};

/* What a descriptor is. KIND_NONE: the call acts on a name, or on no descriptor at all. */
#define SCOPE_KINDS(X)         \
    X(NONE, "none")            \
    X(UNKNOWN, "unknown")      \
    X(FILE, "file")            \
    X(DIRECTORY, "directory")  \
    X(PIPE, "pipe")            \
    X(DEVICE, "device")        \
    X(TTY, "tty")              \
    X(TCP, "tcp")              \
    X(UDP, "udp")              \
    X(UNIX_STREAM, "unix")     \
    X(UNIX_DGRAM, "unixgram")  \
    X(SOCKET, "socket")        \
    X(EVENT, "event")          \
    X(MEMORY, "memory")

enum kind {
#define SCOPE_KIND_ENUM(id, name) KIND_##id,
    SCOPE_KINDS(SCOPE_KIND_ENUM)
#undef SCOPE_KIND_ENUM
    KIND_COUNT
};

static inline int kind_is_socket(unsigned kind)
{
    return kind >= KIND_TCP && kind <= KIND_SOCKET;
}

#endif
