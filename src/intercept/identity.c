/*
 * Calls by which a process gives up a user's identity: they are not counted, but a forked child
 * without its reporter starts it first, as the new user may not open the files it reports to
 * (a server's workers, that drop root right after the fork).
 */
#include <grp.h>
#include <unistd.h>

#include "report/lifecycle.h"

#define IDENTITY(name, parameters, arguments)                              \
    EXPORT int name parameters                                             \
    {                                                                      \
        REAL(name);                                                        \
        if (unlikely(__atomic_load_n(&reporter_wanted, __ATOMIC_RELAXED))) \
            reporter_before_privileges();                                  \
        return real arguments;                                             \
    }

IDENTITY(setuid, (uid_t uid), (uid))
IDENTITY(seteuid, (uid_t uid), (uid))
IDENTITY(setreuid, (uid_t real_uid, uid_t effective), (real_uid, effective))
IDENTITY(setresuid, (uid_t real_uid, uid_t effective, uid_t saved), (real_uid, effective, saved))
IDENTITY(setgid, (gid_t gid), (gid))
IDENTITY(setegid, (gid_t gid), (gid))
IDENTITY(setregid, (gid_t real_gid, gid_t effective), (real_gid, effective))
IDENTITY(setresgid, (gid_t real_gid, gid_t effective, gid_t saved), (real_gid, effective, saved))
