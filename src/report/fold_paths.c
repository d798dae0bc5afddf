/*
 * Paths as records carry them become tidy absolute ones; what was done to names becomes events.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/sys.h"
#include "report/fold_trace.h"

/* The current directory; the kernel's word when no record has named one. */
static const char *current(struct fold *f)
{
    if (!f->cwd) {
        char path[PATH_LIMIT];
        long n = sys(readlinkat, -100, "/proc/self/cwd", path, sizeof(path) - 1);
        path[n > 0 ? n : 0] = 0;
        f->cwd = strdup(path);
    }
    return f->cwd ? f->cwd : "";
}

/*
 * "/cwd/../x": the current directory is a physical path, so its parent is the directory above it.
 * Anywhere else ".." may stand behind a symbolic link and is left as it is.
 */
static size_t climb(struct fold *f, char *path, size_t length)
{
    if (!memmem(path, length, "/..", 3))
        return length;
    const char *cwd = current(f);
    size_t n = strlen(cwd);
    while (n > 1 && cwd[n - 1] == '/')
        n--;
    if (!n || cwd[0] != '/' || length < n || memcmp(path, cwd, n))
        return length;
    size_t rest = n == 1 ? 0 : n; /* cwd "/": the rest starts with that slash */
    size_t top = rest;
    if (rest < length && path[rest] != '/')
        return length;
    while (length - rest >= 3 && !memcmp(path + rest, "/..", 3) &&
           (rest + 3 == length || path[rest + 3] == '/')) {
        rest += 3;
        while (top && path[--top] != '/')
            ;
    }
    memmove(path + top, path + rest, length - rest);
    length -= rest - top;
    if (!length)
        path[length++] = '/';
    return length;
}

/* "//" and "/./" say nothing, nor does "/" at the end. */
static size_t squeeze(char *path, size_t length)
{
    size_t out = 0;
    for (size_t i = 0; i < length;) {
        if (path[i] == '/') {
            size_t end = i + 1;
            while (end < length && path[end] != '/')
                end++;
            size_t name = end - i - 1;
            if (name && !(name == 1 && path[i + 1] == '.')) {
                memmove(path + out, path + i, end - i);
                out += end - i;
            }
            i = end;
        } else {
            path[out++] = path[i++];
        }
    }
    if (!out && length)
        path[out++] = '/';
    return out;
}

size_t path_tidy(struct fold *f, char *path, size_t length)
{
    if (!length || path[0] != '/')
        return length;
    return squeeze(path, climb(f, path, squeeze(path, length)));
}

static struct text join(struct fold *f, const char *directory, const char *path, size_t length,
                        char *out)
{
    size_t n = directory ? strlen(directory) : 0;
    if (n + 1 > PATH_LIMIT - 1)
        n = 0;
    memcpy(out, directory, n);
    if (n)
        out[n++] = '/';
    if (length > PATH_LIMIT - 1 - n)
        length = PATH_LIMIT - 1 - n;
    memcpy(out + n, path, length);
    n = path_tidy(f, out, n + length);
    out[n] = 0;
    return (struct text){out, n};
}

static const char *directory_of(const struct descriptor *d)
{
    return d && d->description ? d->description->path : NULL;
}

struct text path_of_record(struct fold *f, const struct record *r, const uint8_t *payload,
                           char *out)
{
    if (!(r->flags & RECORD_DIRFD))
        return join(f, "", (const char *)payload, strnlen((const char *)payload, r->payload), out);
    const struct dir_path *relative = (const struct dir_path *)payload;
    if (r->payload <= sizeof(*relative))
        return (struct text){out, 0};
    size_t length = strnlen(relative->path, r->payload - sizeof(*relative));
    const char *directory = NULL;
    if (length && relative->path[0] != '/')
        directory = directory_of(descriptor_find(f, relative->dirfd, relative->generation));
    return join(f, directory ? directory : "", relative->path, length, out);
}

struct text path_at(struct fold *f, int32_t dirfd, const char *path, size_t length, char *out)
{
    const char *directory = NULL;
    if (length && path[0] != '/' && dirfd >= 0)
        directory = directory_of(descriptor_latest(f, dirfd));
    return join(f, directory ? directory : "", path, length, out);
}

/* ------------------------------------------------------------------ operations on names */

static const char *event_of(const struct record *r)
{
    switch (r->op) {
    case OP_UNLINK:
        return "scope.file.delete";
    case OP_UNLINKAT:
        return r->a & AT_REMOVEDIR ? "scope.file.delete_directory" : "scope.file.delete";
    case OP_RMDIR:
        return "scope.file.delete_directory";
    case OP_RENAME:
    case OP_RENAMEAT:
    case OP_RENAMEAT2:
        return "scope.file.rename";
    case OP_MKDIR:
    case OP_MKDIRAT:
        return "scope.file.create_directory";
    case OP_LINK:
    case OP_LINKAT:
        return "scope.file.link";
    case OP_SYMLINK:
    case OP_SYMLINKAT:
        return "scope.file.symlink";
    case OP_TRUNCATE:
        return "scope.file.truncate";
    case OP_CHMOD:
    case OP_FCHMODAT:
        return "scope.file.change_mode";
    case OP_CHOWN:
    case OP_LCHOWN:
    case OP_FCHOWNAT:
        return "scope.file.change_owner";
    default:
        return NULL; /* looked at, not changed */
    }
}

static const char *second_name(const struct record *r)
{
    switch (r->op) {
    case OP_SYMLINK:
    case OP_SYMLINKAT: /* path is what the link says, path2 the link */
        return "scope.file.link_path";
    default:
        return "scope.file.new_path";
    }
}

struct names {
    struct text first, second;
};

/* path [NUL path2], with the descriptors that each is relative to in b. */
static struct names names_of(struct fold *f, const struct record *r, const uint8_t *payload)
{
    struct names n = {0};
    const char *p = (const char *)payload;
    size_t length = r->payload;
    if (r->flags & RECORD_DIRFD) {
        size_t head = sizeof(struct dir_path);
        if (length <= head)
            return n;
        p += head;
        length -= head;
    }
    size_t first = strnlen(p, length);
    bool verbatim = r->op == OP_SYMLINK || r->op == OP_SYMLINKAT;
    if (verbatim)
        n.first = (struct text){p, first};
    else
        n.first = path_at(f, (int32_t)(uint32_t)r->b, p, first, f->path_room[0]);
    if (first + 1 < length)
        n.second = path_at(f, (int32_t)(uint32_t)(r->b >> 32), p + first + 1,
                           strnlen(p + first + 1, length - first - 1), f->path_room[1]);
    return n;
}

void path_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    const char *name = event_of(r);
    bool traced = r->flags >> RECORD_CONTEXT_SHIFT;
    if (!name || (!f->conf->events_file.enabled && !traced))
        return;
    struct names n = names_of(f, r, payload);
    if (traced)
        file_span(f, r, n.first, tid);
    if (!f->conf->events_file.enabled)
        return;
    bool wanted = filter_pass(f->filter_file, n.first) ||
                  (n.second.length && filter_pass(f->filter_file, n.second));
    if (!wanted)
        return;
    struct event *e = event_begin(f, name, &scope_file, r->end, tid);
    if (n.first.length) /* the kernel may not have read it */
        event_text(e, "file.path", n.first);
    if (n.second.length)
        event_text(e, second_name(r), n.second);
    event_string(e, "scope.operation", op_name(r->op));
    bool has_mode =
        r->op == OP_MKDIR || r->op == OP_MKDIRAT || r->op == OP_CHMOD || r->op == OP_FCHMODAT;
    char *mode = has_mode ? event_scratch(e, 16) : NULL;
    if (mode) {
        snprintf(mode, 16, "%04o", (unsigned)r->a & 07777u);
        event_string(e, "file.mode", mode);
    }
    event_double(e, "scope.duration", fold_seconds(f, r->end - r->start));
    event_error(e, r->result);
    event_submit(f, e);
}
