/*
 * Names of errno values, as error.type gives them.
 */
#include <errno.h>
#include <stdio.h>

#include "report/fold_state.h"

#define NAMED(e) [e] = #e

static const char *const names[] = {
    NAMED(EPERM),
    NAMED(ENOENT),
    NAMED(ESRCH),
    NAMED(EINTR),
    NAMED(EIO),
    NAMED(ENXIO),
    NAMED(E2BIG),
    NAMED(ENOEXEC),
    NAMED(EBADF),
    NAMED(ECHILD),
    NAMED(EAGAIN),
    NAMED(ENOMEM),
    NAMED(EACCES),
    NAMED(EFAULT),
    NAMED(ENOTBLK),
    NAMED(EBUSY),
    NAMED(EEXIST),
    NAMED(EXDEV),
    NAMED(ENODEV),
    NAMED(ENOTDIR),
    NAMED(EISDIR),
    NAMED(EINVAL),
    NAMED(ENFILE),
    NAMED(EMFILE),
    NAMED(ENOTTY),
    NAMED(ETXTBSY),
    NAMED(EFBIG),
    NAMED(ENOSPC),
    NAMED(ESPIPE),
    NAMED(EROFS),
    NAMED(EMLINK),
    NAMED(EPIPE),
    NAMED(EDOM),
    NAMED(ERANGE),
    NAMED(EDEADLK),
    NAMED(ENAMETOOLONG),
    NAMED(ENOLCK),
    NAMED(ENOSYS),
    NAMED(ENOTEMPTY),
    NAMED(ELOOP),
    NAMED(ENODATA),
    NAMED(ETIME),
    NAMED(EPROTO),
    NAMED(EBADMSG),
    NAMED(EOVERFLOW),
    NAMED(EILSEQ),
    NAMED(ENOTSOCK),
    NAMED(EDESTADDRREQ),
    NAMED(EMSGSIZE),
    NAMED(EPROTOTYPE),
    NAMED(ENOPROTOOPT),
    NAMED(EPROTONOSUPPORT),
    NAMED(ESOCKTNOSUPPORT),
    NAMED(EOPNOTSUPP),
    NAMED(EPFNOSUPPORT),
    NAMED(EAFNOSUPPORT),
    NAMED(EADDRINUSE),
    NAMED(EADDRNOTAVAIL),
    NAMED(ENETDOWN),
    NAMED(ENETUNREACH),
    NAMED(ENETRESET),
    NAMED(ECONNABORTED),
    NAMED(ECONNRESET),
    NAMED(ENOBUFS),
    NAMED(EISCONN),
    NAMED(ENOTCONN),
    NAMED(ESHUTDOWN),
    NAMED(ETOOMANYREFS),
    NAMED(ETIMEDOUT),
    NAMED(ECONNREFUSED),
    NAMED(EHOSTDOWN),
    NAMED(EHOSTUNREACH),
    NAMED(EALREADY),
    NAMED(EINPROGRESS),
    NAMED(ESTALE),
    NAMED(EDQUOT),
    NAMED(ECANCELED),
    NAMED(EOWNERDEAD),
    NAMED(ENOTRECOVERABLE),
};

const char *errno_name(int error, char room[16])
{
    if (error > 0 && (size_t)error < sizeof(names) / sizeof(*names) && names[error])
        return names[error];
    snprintf(room, 16, "errno_%d", error);
    return room;
}
