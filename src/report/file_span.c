/* File operations that were slow or failed while a request was worked on. */
#include "report/fold_trace.h"

static bool is_remarkable(const struct fold *f, const struct record *r)
{
    return r->result < 0 || fold_nano(f, r->end - r->start) >= f->conf->traces_file_slow;
}

void file_span(struct fold *f, const struct record *r, struct text path, int32_t tid)
{
    struct thread_context *c = context_place(f, r, tid);
    uint32_t most = f->conf->traces_adopt_children;
    struct arena *arena =
        c && is_remarkable(f, r) && (!most || c->files < most) ? span_arena(f) : NULL;
    if (!arena || sdk_tells(f))
        return;
    c->files++;
    struct attribute_list list = {.arena = arena};
    struct span span = {.name = text_of(op_name(r->op)),
                        .start_time = fold_unix(f, r->start),
                        .end_time = fold_unix(f, r->end),
                        .scope = &scope_file};
    if (path.length)
        attributes_text(&list, "file.path", path);
    attributes_text(&list, "scope.operation", span.name);
    if (r->fd >= 0)
        attributes_int(&list, "scope.descriptor", r->fd);
    attributes_int(&list, "thread.id", tid);
    span_child(f, &c->ids, &span, r->result, &list);
}

void operation_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    struct text path = {0};
    if (r->payload) {
        path = path_of_record(f, r, payload, f->path_room[0]);
    } else {
        const struct descriptor *d = descriptor_find(f, r->fd, r->generation);
        path = text_of(d ? d->description->path : NULL);
    }
    file_span(f, r, path, tid);
}
