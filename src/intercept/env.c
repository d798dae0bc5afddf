/*
 * The environment of an exec: the library and its configuration are carried on where they can be
 * loaded, and taken out where the loader would complain. Nothing else in it is touched.
 */
#include "intercept/process.h"

#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

#include "os/heap.h"
#include "os/sys.h"

enum {
    KEPT_MAX = 32,    /* our variables */
    COUNT_MAX = 8192, /* of an environment; a larger one is passed on as it is */
    VALUE_MAX = 8192, /* of LD_PRELOAD */
};

static const char PRELOAD[] = "LD_PRELOAD=";
enum { PRELOAD_LENGTH = sizeof(PRELOAD) - 1 };

static struct {
    bool active;
    bool adds; /* false: this process is not observed, so ours is taken out at most */
    unsigned count;
    char *variables[KEPT_MAX];    /* SCOPE_NAME=value as we were started with */
    size_t name_length[KEPT_MAX]; /* with the '=' */
    size_t library_length;
    char library[4096]; /* absolute; last, for most of it is never touched */
} kept;

/* ------------------------------------------------------------------ our own path */

static int find_self(struct dl_phdr_info *info, size_t size, void *unused)
{
    uintptr_t here = (uintptr_t)&kept;

    (void)size;
    (void)unused;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + p->p_vaddr;
        if (p->p_type != PT_LOAD || here < from || here >= from + p->p_memsz)
            continue;
        size_t n = info->dlpi_name ? strlen(info->dlpi_name) : 0, at = 0;
        if (n && info->dlpi_name[0] != '/') {
            long cwd = sys(getcwd, kept.library, sizeof(kept.library));
            if (cwd <= 1)
                return 1;
            at = (size_t)cwd - 1;
            kept.library[at++] = '/';
        }
        if (n && at + n < sizeof(kept.library)) {
            memcpy(kept.library + at, info->dlpi_name, n + 1);
            kept.library_length = at + n;
        }
        return 1;
    }
    return 0;
}

static const char *base_name(const char *path, size_t length)
{
    const char *base = path;

    for (size_t i = 0; i < length; i++) {
        if (path[i] == '/')
            base = path + i + 1;
    }
    return base;
}

static bool is_ours(const char *entry, size_t length)
{
    const char *base = base_name(entry, length);
    const char *own = base_name(kept.library, kept.library_length);
    size_t n = length - (size_t)(base - entry);

    return n && n == strlen(own) && !memcmp(base, own, n);
}

static bool is_separator(char c)
{
    return c == ':' || c == ' ';
}

/*
 * Copies the entries of a value of LD_PRELOAD that are not ours. Returns the length; out may be
 * NULL. *found: whether there was one of ours.
 */
static size_t others(const char *value, char *out, bool *found)
{
    size_t length = 0;

    *found = false;
    while (*value) {
        size_t n = 0;
        while (value[n] && !is_separator(value[n]))
            n++;
        if (n && is_ours(value, n)) {
            *found = true;
        } else if (n) {
            if (out && length)
                out[length] = ':';
            length += length != 0;
            if (out)
                memcpy(out + length, value, n);
            length += n;
        }
        value += n;
        while (is_separator(*value))
            value++;
    }
    return length;
}

/* ------------------------------------------------------------------ start */

static char *copy(const char *text, size_t length)
{
    char *p = heap_alloc(length + 1);

    if (p) {
        memcpy(p, text, length);
        p[length] = '\0';
    }
    return p;
}

/* Children of system() and popen() get `environ` itself: so it is there that ours goes out. */
static void take_out_of_environ(void)
{
    for (char **e = environ; e && *e;) {
        bool found;
        if (strncmp(*e, PRELOAD, PRELOAD_LENGTH) != 0) {
            e++;
            continue;
        }
        size_t n = others(*e + PRELOAD_LENGTH, NULL, &found);
        char *left = found && n ? heap_alloc(PRELOAD_LENGTH + n + 1) : NULL;
        if (left) {
            memcpy(left, PRELOAD, PRELOAD_LENGTH);
            others(*e + PRELOAD_LENGTH, left + PRELOAD_LENGTH, &found);
            left[PRELOAD_LENGTH + n] = '\0';
            *e = left;
        } else if (found) {
            for (char **f = e; (*f = f[1]); f++)
                ;
            continue;
        }
        e++;
    }
}

void env_start(const struct conf *conf, bool observed)
{
    dl_iterate_phdr(find_self, NULL);
    if (!kept.library_length || strpbrk(kept.library, ": "))
        return;
    if (!conf->follow) {
        take_out_of_environ();
        return;
    }
    kept.adds = observed;
    for (char **e = environ; observed && e && *e && kept.count < KEPT_MAX; e++) {
        const char *equals = strchr(*e, '=');
        if (strncmp(*e, "SCOPE_", 6) != 0 || !equals)
            continue;
        char *variable = copy(*e, strlen(*e));
        if (!variable)
            continue;
        kept.name_length[kept.count] = (size_t)(equals + 1 - *e);
        kept.variables[kept.count++] = variable;
    }
    kept.active = true;
}

const char *env_path(void)
{
    for (char **e = environ; e && *e; e++) {
        if (!strncmp(*e, "PATH=", 5))
            return *e + 5;
    }
    return NULL;
}

/* ------------------------------------------------------------------ plan */

/*
 * Whether whoever is executed from here can read the library: asked for the real user and without
 * the capabilities that an exec takes away. (Where real and effective user differ, the loader
 * ignores LD_PRELOAD.)
 */
static bool library_is_there(void)
{
    return sys(faccessat, AT_FDCWD, kept.library, R_OK) == 0;
}

/* Finds LD_PRELOAD and our variables. False: it cannot be read, the kernel is to say so. */
static bool survey(struct env_plan *plan, bool *has_library)
{
    struct peek peek = {0}, text = {0};
    size_t n = 0;

    *has_library = false;
    for (unsigned i = 0; i < TRACE_VARIABLES; i++)
        plan->trace.at[i] = (size_t)-1;
    plan->missing = (unsigned)((1ULL << kept.count) - 1);
    plan->preload = (size_t)-1;
    for (;; n++) {
        char *const *e = &plan->given[n];
        if (n > COUNT_MAX || !peek_ok(&peek, e))
            return false;
        if (!*e)
            break;
        if (!peek_ok(&text, *e))
            return false;
        char first = **e;
        if ((first == 'T' || first == 'S') && !env_trace_meet(&plan->trace, &text, *e, n))
            return false;
        if (first == 'L' && peek_length(&text, *e, PRELOAD_LENGTH) == PRELOAD_LENGTH &&
            !memcmp(*e, PRELOAD, PRELOAD_LENGTH)) {
            if (peek_length(&text, *e, VALUE_MAX) < 0)
                return false;
            plan->preload = n; /* of several, the loader takes the last */
        } else if (first == 'S') {
            for (unsigned i = 0; i < kept.count; i++) {
                long length = (long)kept.name_length[i];
                if (peek_length(&text, *e, kept.name_length[i]) == length &&
                    !memcmp(*e, kept.variables[i], kept.name_length[i]))
                    plan->missing &= ~(1u << i);
            }
        }
    }
    plan->count = n;
    if (plan->preload == (size_t)-1)
        plan->preload = n;
    else
        others(plan->given[plan->preload] + PRELOAD_LENGTH, NULL, has_library);
    return true;
}

static void plan_library(struct env_plan *plan, enum target target, bool has_library)
{
    bool found;
    const char *value = "";

    if (plan->preload < plan->count)
        value = plan->given[plan->preload] + PRELOAD_LENGTH;
    plan->take_out = target_refuses(target) || !library_is_there();
    if (plan->take_out) {
        plan->missing = 0;
        if (has_library)
            plan->value = PRELOAD_LENGTH + others(value, NULL, &found) + 1;
    } else if (!has_library && kept.adds) {
        plan->value = PRELOAD_LENGTH + strlen(value) + 1 + kept.library_length + 1;
    }
}

void env_plan(struct env_plan *plan, char *const *envp, enum target target, bool same)
{
    static char *const none[] = {NULL};
    bool traced = env_trace_is_on(), has_library;
    unsigned changes = 0;

    *plan = (struct env_plan){.given = envp ? envp : none};
    if (!(kept.active || traced) || target == TARGET_MISSING || target == TARGET_REFUSED ||
        !survey(plan, &has_library)) {
        plan->given = envp;
        return;
    }
    if (kept.active)
        plan_library(plan, target, has_library);
    else
        plan->take_out = true;
    if (traced)
        changes = env_trace_plan(&plan->trace, plan->given, plan->count, same,
                                 plan->take_out || target == TARGET_STATIC);
    if (!plan->value && !plan->missing && !changes) {
        plan->given = envp;
        return;
    }
    plan->room = (plan->count + 2 + kept.count + TRACE_VARIABLES) * sizeof(char *) + plan->value;
}

/* Writes the new LD_PRELOAD to `text`. Returns its length, that of the name alone if it is empty.
 */
static size_t make_preload(const struct env_plan *plan, char *text)
{
    const char *value = "";
    size_t at = PRELOAD_LENGTH;
    bool found;

    if (plan->preload < plan->count)
        value = plan->given[plan->preload] + PRELOAD_LENGTH;
    memcpy(text, PRELOAD, PRELOAD_LENGTH);
    if (plan->take_out) {
        at += others(value, text + at, &found);
    } else {
        size_t length = strlen(value);
        memcpy(text + at, value, length);
        at += length;
        if (length)
            text[at++] = ':';
        memcpy(text + at, kept.library, kept.library_length);
        at += kept.library_length;
    }
    text[at] = '\0';
    return at;
}

/* The variable of the trace that changes at index n of what was given, or -1. */
static int changed_at(const struct env_trace *trace, size_t n)
{
    for (int i = 0; i < TRACE_VARIABLES; i++) {
        if (trace->change[i] && trace->at[i] == n)
            return i;
    }
    return -1;
}

char *const *env_make(const struct env_plan *plan, void *room)
{
    if (!plan->room)
        return plan->given;
    char **out = room;
    char *text = (char *)(out + plan->count + 2 + kept.count + TRACE_VARIABLES);
    size_t n = 0, length = plan->value ? make_preload(plan, text) : 0;
    for (size_t i = 0; i < plan->count; i++) {
        int changed = changed_at(&plan->trace, i);
        if (changed >= 0) {
            if (plan->trace.value[changed])
                out[n++] = (char *)(uintptr_t)plan->trace.value[changed];
        } else if (i != plan->preload || !plan->value)
            out[n++] = plan->given[i];
        else if (length > PRELOAD_LENGTH)
            out[n++] = text;
    }
    if (length > PRELOAD_LENGTH && plan->preload == plan->count)
        out[n++] = text;
    for (unsigned i = 0; i < kept.count; i++) {
        if (plan->missing & 1u << i)
            out[n++] = kept.variables[i];
    }
    for (unsigned i = 0; i < TRACE_VARIABLES; i++) {
        if (plan->trace.value[i] && plan->trace.at[i] >= plan->count)
            out[n++] = (char *)(uintptr_t)plan->trace.value[i];
    }
    out[n] = NULL;
    return out;
}
