/*
 * Descriptors and what they are open on: opened, dup'ed, used, closed, and the events of that.
 *
 * A descriptor is (number, generation); several may share one open file description. When the last
 * of them is closed, the close event waits for one more pass, in which other threads' sums come in.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/fold_trace.h"

static const uint64_t SETTLE_NANO = 300000000;

/* Generations are unique, numbers are reused: a closed one would be in the way by its number. */
static struct descriptor **bucket_of(struct fold *f, const struct descriptor *d)
{
    if (d->life == LIFE_OPEN)
        return &f->bucket[(uint32_t)d->fd & (DESCRIPTOR_BUCKETS - 1)];
    return &f->past[d->generation & (DESCRIPTOR_BUCKETS - 1)];
}

static void link_in(struct fold *f, struct descriptor *d)
{
    struct descriptor **bucket = bucket_of(f, d);
    d->next = *bucket;
    *bucket = d;
    unsigned number = (uint32_t)d->fd & (DESCRIPTOR_BUCKETS - 1);
    if (d->life == LIFE_OPEN && number >= f->bucket_high)
        f->bucket_high = number + 1;
}

static void link_out(struct fold *f, const struct descriptor *d)
{
    struct descriptor **at = bucket_of(f, d);
    while (*at && *at != d)
        at = &(*at)->next;
    if (*at)
        *at = d->next;
}

static struct descriptor *past_find(struct fold *f, int32_t fd, uint32_t generation)
{
    struct descriptor *d = f->past[generation & (DESCRIPTOR_BUCKETS - 1)];
    while (d && (d->fd != fd || d->generation != generation))
        d = d->next;
    return d;
}

struct descriptor *descriptor_find(struct fold *f, int32_t fd, uint32_t generation)
{
    struct descriptor *d = descriptor_latest(f, fd);
    return d && d->generation == generation ? d : past_find(f, fd, generation);
}

/* There is one open life of a number: a new one supersedes it. */
struct descriptor *descriptor_latest(struct fold *f, int32_t fd)
{
    struct descriptor *d = f->bucket[(uint32_t)fd & (DESCRIPTOR_BUCKETS - 1)];
    while (d && d->fd != fd)
        d = d->next;
    return d;
}

static bool is_ghost(const struct fold *f, int32_t fd, uint32_t generation)
{
    const struct ghost *g = &f->ghosts[generation % GHOSTS];
    return generation && g->fd == fd && g->generation == generation;
}

static void leave(struct fold *f, struct descriptor *d, enum life life)
{
    link_out(f, d);
    d->life = (uint8_t)life;
    link_in(f, d);
    d->passes = 0;
    d->left = fold_now(f);
    d->closing = NULL;
    *f->closing_end = d;
    f->closing_end = &d->closing;
}

/* A descriptor on `shared`, or on a description of its own. NULL at the bound, counted. */
static struct descriptor *make(struct fold *f, int32_t fd, uint32_t generation, unsigned kind,
                               struct description *shared)
{
    struct descriptor *d = NULL;
    struct description *of = shared;
    if (f->descriptor_count < DESCRIPTORS_MAX)
        d = calloc(1, sizeof(*d));
    if (d && !of)
        of = calloc(1, sizeof(*of));
    if (!of || !d) {
        free(d);
        f->drops[DROP_STATE]++;
        return NULL;
    }
    struct descriptor *old = descriptor_latest(f, fd);
    bool late = old && (int32_t)(generation - old->generation) < 0; /* heard of after its end */
    if (old && !late)
        leave(f, old, LIFE_SUPERSEDED); /* its close comes later, or was dropped */
    if (!shared) {
        of->kind = (uint8_t)(kind < KIND_COUNT ? kind : KIND_UNKNOWN);
        of->fd = fd;
    }
    of->refs++;
    d->description = of;
    d->fd = fd;
    d->generation = generation;
    link_in(f, d);
    f->descriptor_count++;
    if (late)
        leave(f, d, LIFE_SUPERSEDED);
    return d;
}

/* The descriptor, made if it was never heard of. NULL: at the bound, or it is long closed. */
struct descriptor *descriptor_make(struct fold *f, int32_t fd, uint32_t generation, unsigned kind)
{
    struct descriptor *d = descriptor_find(f, fd, generation);
    if (d || fd < 0 || is_ghost(f, fd, generation))
        return d;
    return make(f, fd, generation, kind, NULL);
}

/* ------------------------------------------------------------------ events */

/* Something with a name in the file system; "pipe:[123]" is none. */
static bool is_file(const struct description *d)
{
    return (d->path && d->path[0] == '/') || d->kind == KIND_FILE || d->kind == KIND_DIRECTORY;
}

static bool file_wanted(struct fold *f, const char *path)
{
    return f->conf->events_file.enabled && filter_pass(f->filter_file, text_of(path ? path : ""));
}

struct flag {
    unsigned value;
    const char *name;
};

static const struct flag open_flags[] = {
    {O_CREAT, "O_CREAT"},
    {O_EXCL, "O_EXCL"},
    {O_NOCTTY, "O_NOCTTY"},
    {O_TRUNC, "O_TRUNC"},
    {O_APPEND, "O_APPEND"},
    {O_NONBLOCK, "O_NONBLOCK"},
    {O_SYNC & ~O_DSYNC, "O_SYNC"},
    {O_DSYNC, "O_DSYNC"},
    {O_DIRECT, "O_DIRECT"},
    {O_TMPFILE & ~O_DIRECTORY, "O_TMPFILE"},
    {O_DIRECTORY, "O_DIRECTORY"},
    {O_NOFOLLOW, "O_NOFOLLOW"},
    {O_NOATIME, "O_NOATIME"},
    {O_CLOEXEC, "O_CLOEXEC"},
    {O_PATH, "O_PATH"},
};

/* "O_WRONLY|O_CREAT", as strace writes it. */
static const char *flags_text(struct event *e, uint64_t flags)
{
    static const char *const access[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};
    enum { SIZE = 192 };
    char *out = event_scratch(e, SIZE);
    if (!out)
        return NULL;
    size_t n = (size_t)snprintf(out, SIZE, "%s", access[flags & O_ACCMODE]);
    for (size_t i = 0; i < sizeof(open_flags) / sizeof(*open_flags) && n < SIZE - 16; i++)
        if (flags & open_flags[i].value)
            n += (size_t)snprintf(out + n, SIZE - n, "|%s", open_flags[i].name);
    return out;
}

static void event_open(struct fold *f, const struct record *r, struct text path, int32_t tid)
{
    if (!f->conf->events_file.enabled || !filter_pass(f->filter_file, path))
        return;
    struct event *e = event_begin(f, "scope.file.open", &scope_file, r->end, tid);
    if (path.length) /* the kernel may not have read it */
        event_text(e, "file.path", path);
    event_string(e, "scope.operation", op_name(r->op));
    if (r->result >= 0) {
        event_string(e, "scope.descriptor.kind", kind_name(r->kind));
        event_int(e, "scope.descriptor", r->result);
    }
    event_string(e, "scope.open.flags", flags_text(e, r->a));
    char *mode = (r->a & O_CREAT) ? event_scratch(e, 16) : NULL;
    if (mode) {
        snprintf(mode, 16, "%04o", (unsigned)r->b & 07777u);
        event_string(e, "file.mode", mode);
    }
    event_double(e, "scope.duration", fold_seconds(f, r->end - r->start));
    event_error(e, r->result);
    event_submit(f, e);
}

static void event_close(struct fold *f, struct description *d, const char *reason)
{
    if (!file_wanted(f, d->path))
        return;
    struct event *e =
        event_begin(f, "scope.file.close", &scope_file, d->closed ? d->closed : f->last_ticks,
                    d->closed ? d->closed_tid : 0);
    event_string(e, "file.path", d->path);
    event_string(e, "scope.descriptor.kind", kind_name(d->kind));
    event_int(e, "scope.descriptor", d->fd);
    event_int(e, "scope.io.read.bytes", (int64_t)d->sums.read_bytes);
    event_int(e, "scope.io.read.operations", (int64_t)d->sums.read_ops);
    event_int(e, "scope.io.write.bytes", (int64_t)d->sums.write_bytes);
    event_int(e, "scope.io.write.operations", (int64_t)d->sums.write_ops);
    event_int(e, "scope.io.other.operations", (int64_t)d->sums.other_ops);
    event_int(e, "scope.io.errors", (int64_t)d->sums.errors);
    event_double(e, "scope.io.time", fold_seconds(f, d->sums.ticks));
    if (d->opened) /* of an inherited one it is not known since when */
        event_double(e, "scope.duration",
                     fold_seconds(f, (d->closed ? d->closed : f->last_ticks) - d->opened));
    event_string(e, "scope.close.reason", reason);
    event_submit(f, e);
}

static bool had_traffic(const struct sums *s)
{
    return s->read_ops || s->write_ops || s->other_ops || s->errors;
}

static void tell_close(struct fold *f, struct description *d, const char *reason)
{
    if (kind_is_socket(d->kind))
        connection_event_close(f, d, reason);
    else if (is_file(d))
        event_close(f, d, reason);
}

/* ------------------------------------------------------------------ the end of a life */

static void description_free(struct fold *f, struct description *d)
{
    stream_close(f, d);
    connection_free(d->connection);
    free(d->path);
    free(d);
}

static void unlink_descriptor(struct fold *f, struct descriptor *gone)
{
    link_out(f, gone);
    f->ghosts[gone->generation % GHOSTS] =
        (struct ghost){.fd = gone->fd, .generation = gone->generation};
    f->descriptor_count--;
    talk_free(f, gone->talk);
    free(gone);
}

/* The descriptor is done with; with the last one its description is too. */
static void settle(struct fold *f, struct descriptor *gone)
{
    struct description *d = gone->description;
    bool seen_closed = gone->life == LIFE_CLOSED;
    if (seen_closed)
        d->unsettled--;
    else if (--d->refs == 0)
        connection_closed(f, d); /* the record of its close was dropped: no event of it */
    unlink_descriptor(f, gone);
    if (d->refs || d->unsettled)
        return;
    if (seen_closed)
        tell_close(f, d, "close");
    description_free(f, d);
}

void descriptors_settle(struct fold *f, bool final)
{
    /*
     * With one lane nothing can still come in; otherwise other lanes' sums come with the next pass.
     * Passes within one long drain do not count: hence the time.
     */
    bool alone = f->region->lanes_high <= 1;
    uint64_t now = fold_now(f);
    struct descriptor *d = f->closing;
    f->closing = NULL;
    f->closing_end = &f->closing;
    while (d) {
        struct descriptor *next = d->closing;
        bool waited = d->passes >= 1 && now - d->left >= SETTLE_NANO;
        bool done = waited || (alone && d->life == LIFE_CLOSED);
        d->passes++;
        if (done || final) {
            settle(f, d);
        } else {
            d->closing = NULL;
            *f->closing_end = d;
            f->closing_end = &d->closing;
        }
        d = next;
    }
}

void descriptors_exit(struct fold *f)
{
    const char *reason = f->exec_seen ? "exec" : "exit";
    for (unsigned i = 0; i < f->bucket_high; i++)
        for (struct descriptor *d = f->bucket[i]; d; d = d->next) {
            struct description *of = d->description;
            talk_end(f, d, f->last_ticks, true);
            if (!had_traffic(&of->sums))
                continue;
            tell_close(f, of, reason);
            of->sums = (struct sums){0}; /* told; if the process lives on, the rest comes later */
        }
}

static void chain_free(struct fold *f, struct descriptor *d)
{
    while (d) {
        struct descriptor *next = d->next;
        struct description *of = d->description;
        if (d->life == LIFE_CLOSED)
            of->unsettled--;
        else
            of->refs--;
        if (!of->refs && !of->unsettled)
            description_free(f, of);
        talk_free(f, d->talk);
        free(d);
        f->descriptor_count--;
        d = next;
    }
}

void descriptors_free(struct fold *f)
{
    /* Pages that were never written are not touched: a short process pays for each. */
    for (unsigned i = 0; i < f->bucket_high; i++) {
        chain_free(f, f->bucket[i]);
        f->bucket[i] = NULL;
    }
    for (unsigned i = 0; i < DESCRIPTOR_BUCKETS && f->descriptor_count; i++) {
        chain_free(f, f->past[i]);
        f->past[i] = NULL;
    }
}

/* ------------------------------------------------------------------ records */

static void set_path(struct description *d, struct text path)
{
    if (!path.length || d->path)
        return;
    d->path = strndup(path.data, path.length);
}

static void opened(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    struct text path = path_of_record(f, r, payload, f->path_room[0]);
    struct descriptor *d =
        r->result >= 0 ? descriptor_make(f, r->fd, r->generation, r->kind) : NULL;
    if (d) {
        d->description->opened = r->end;
        if (r->kind < KIND_COUNT)
            d->description->kind = r->kind;
        set_path(d->description, path);
    }
    file_span(f, r, path, tid);
    if (path.length)
        event_open(f, r, path, tid);
}

static void add(struct fold *f, const struct record *r, const uint8_t *payload,
                struct descriptor *d)
{
    struct totals t;
    if (r->payload < sizeof(t))
        return;
    memcpy(&t, payload, sizeof(t));
    if (!d) {
        if (t.read_ops | t.write_ops | t.errors | t.other_ops)
            f->drops[DROP_STATE]++; /* too late, or beyond the bound */
        return;
    }
    struct sums *s = &d->description->sums;
    s->read_bytes += t.read_bytes;
    s->write_bytes += t.write_bytes;
    s->read_ops += t.read_ops;
    s->write_ops += t.write_ops;
    s->errors += t.errors;
    s->other_ops += t.other_ops;
    s->ticks += t.ticks;
}

static void closed(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    struct descriptor *d = descriptor_make(f, r->fd, r->generation, r->kind);
    add(f, r, payload, d);
    if (!d || d->life == LIFE_CLOSED || (r->result < 0 && r->result != -EINTR))
        return;
    struct description *of = d->description;
    if (of->kind == KIND_NONE)
        of->kind = r->kind;
    if (d->life == LIFE_SUPERSEDED)
        d->life = LIFE_CLOSED; /* it is in the queue already */
    else
        leave(f, d, LIFE_CLOSED);
    if (of->connection && r->a == CLOSE_TLS_SEEN)
        of->connection->tls_seen = true;
    if (of->connection && r->a == CLOSE_TLS_UNSEEN)
        of->connection->tls_unseen = true;
    talk_end(f, d, r->end, false);
    of->unsettled++;
    of->closed = r->end;
    of->closed_tid = tid;
    if (--of->refs == 0)
        connection_closed(f, of);
}

static void duplicated(struct fold *f, const struct record *r)
{
    struct descriptor *d = descriptor_make(f, r->fd, r->generation, r->kind);
    int32_t fd = (int32_t)r->a;
    if (!d || r->result < 0 || descriptor_find(f, fd, (uint32_t)r->b))
        return;
    make(f, fd, (uint32_t)r->b, r->kind, d->description);
}

static void pair(struct fold *f, const struct record *r)
{
    if (r->result < 0)
        return;
    struct descriptor *one = descriptor_make(f, r->fd, r->generation, r->kind);
    struct descriptor *two = descriptor_make(f, (int32_t)r->a, (uint32_t)r->b, r->kind);
    if (one)
        one->description->opened = r->end;
    if (two)
        two->description->opened = r->end;
}

static void seen(struct fold *f, const struct record *r, const uint8_t *payload)
{
    struct descriptor *d = descriptor_make(f, r->fd, r->generation, r->kind);
    if (!d)
        return;
    d->description->inherited = true;
    if (r->kind < KIND_COUNT)
        d->description->kind = r->kind;
    if (kind_is_socket(r->kind)) {
        connection_seen(f, d->description, r, payload);
    } else {
        size_t length = strnlen((const char *)payload, r->payload);
        set_path(d->description, (struct text){(const char *)payload, length});
    }
}

static void mapped(struct fold *f, const struct record *r, int32_t tid)
{
    struct descriptor *d = descriptor_find(f, r->fd, r->generation);
    const char *path = d ? d->description->path : NULL;
    if (!file_wanted(f, path))
        return;
    struct event *e = event_begin(f, "scope.file.map", &scope_file, r->end, tid);
    event_string(e, "file.path", path);
    event_int(e, "scope.descriptor", r->fd);
    event_int(e, "scope.map.length", (int64_t)r->a);
    event_int(e, "scope.map.offset", (int64_t)r->b);
    event_error(e, r->result);
    event_submit(f, e);
}

void descriptor_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    switch (r->type) {
    case RECORD_OPEN:
        opened(f, r, payload, tid);
        break;
    case RECORD_CLOSE:
        closed(f, r, payload, tid);
        break;
    case RECORD_TOTALS:
        add(f, r, payload, descriptor_make(f, r->fd, r->generation, r->kind));
        break;
    case RECORD_DUP:
        duplicated(f, r);
        break;
    case RECORD_PIPE:
        pair(f, r);
        break;
    case RECORD_SEEN:
        seen(f, r, payload);
        break;
    case RECORD_MMAP:
        mapped(f, r, tid);
        break;
    default:
        break;
    }
}
