/* What hook/dlopen.S asks for: the real functions, and the way of RTLD_DEEPBIND. */
#include <dlfcn.h>

#include "hook/got.h"
#include "intercept/common.h"
#include "intercept/tls.h"

__attribute__((visibility("hidden"))) void *(*dl_real_open)(const char *, int);

/* Where libc has none (2.31, libdl never loaded), nobody can have linked to it either. */
static void *no_open(const char *name, int flags)
{
    (void)name, (void)flags;
    return NULL;
}

static void *no_open_namespace(Lmid_t namespace, const char *name, int flags)
{
    (void)namespace;
    return no_open(name, flags);
}

static void note_unseen(void)
{
    struct lane *lane = hook_lane();
    if (!lane)
        return;
    uint64_t now = ticks_now();
    struct record r = {.type = RECORD_NOTE,
                       .kind = KIND_NONE,
                       .start = now,
                       .end = now,
                       .fd = -1,
                       .a = NOTE_DEEPBIND_UNSEEN};
    record_write(hook_region, lane, &r, NULL, 0);
}

/* The function to jump to. */
void *(*dl_find_open(void))(const char *, int)
{
    void *(*real)(const char *, int) = (void *(*)(const char *, int))hook_next("dlopen");
    if (!real)
        return no_open;
    __atomic_store_n(&dl_real_open, real, __ATOMIC_RELAXED);
    return real;
}

void *(*dl_find_open_namespace(void))(Lmid_t, const char *, int)
{
    void *(*real)(Lmid_t, const char *, int) =
        (void *(*)(Lmid_t, const char *, int))hook_next("dlmopen");
    note_unseen(); /* a namespace of its own has a libc of its own, which no hook of ours reaches */
    return real ? real : no_open_namespace;
}

struct opening {
    void *handle;
    long opened; /* 0: not here; the caller itself must call the real function */
};

/* What a name means must not depend on who asks, where we ask instead of the caller. */
static bool means_the_same(const char *name, const void *caller)
{
    bool slash = false;
    for (const char *p = name; *p; p++) {
        if (*p == '$')
            return false;
        slash |= *p == '/';
    }
    return slash || !got_has_run_path(caller);
}

struct opening dl_open_deep(const char *name, int flags, const void *caller)
{
    struct opening o = {NULL, 0};
    void *(*real)(const char *, int) = dl_real_open ? dl_real_open : dl_find_open();
    if (!hook_region || !name || flags & RTLD_NOLOAD || real == no_open)
        return o;
    if (!means_the_same(name, caller)) {
        note_unseen();
        return o;
    }
    o.opened = 1;
    o.handle = real(name, flags);
    int error = errno;
    if (o.handle && !got_patch_opened(o.handle))
        note_unseen();
    errno = error;
    return o;
}

/* A library that goes leaves addresses behind that the next one may have. */
EXPORT int dlclose(void *handle)
{
    REAL_OR(dlclose, return -1)
    int r = real(handle);
    tls_objects_changed();
    return r;
}
