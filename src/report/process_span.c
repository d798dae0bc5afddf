/*
 * The process as a span: made when its end is seen, from what the region says that it is.
 *
 * One that is killed, or that leaves by a raw system call, has none: nobody was there to say how it
 * ended, and its parent's word for that (RECORD_WAIT) knows neither its ids nor when it began.
 */
#include <stdio.h>
#include <string.h>

#include "report/fold_process.h"
#include "report/fold_state.h"

enum {
    ARENA_BYTES = 16 * 1024,
    CODE_MASK = 0xff, /* of what exit is given, a parent sees so much */
};

/* The text of one attribute of the resource; empty: it has none. */
static const struct attribute *of_resource(const struct resource *resource, const char *key)
{
    for (size_t i = 0; i < resource->attributes.count; i++) {
        if (text_is(resource->attributes.items[i].key, key))
            return &resource->attributes.items[i];
    }
    return NULL;
}

static void describe(struct fold *f, struct attribute_list *list, struct span *span)
{
    const struct resource *resource = fold_resource(f);
    const struct attribute *name = of_resource(resource, "process.executable.name");
    const struct attribute *arguments = of_resource(resource, "process.command_args");
    const struct attribute *parent = of_resource(resource, "process.parent_pid");

    span->name = TEXT("process");
    if (name && name->type == VALUE_TEXT) {
        span->name = name->text;
        attributes_text(list, "process.executable.name", name->text);
    }
    attributes_int(list, "process.pid", f->pid);
    if (parent && parent->type == VALUE_INT)
        attributes_int(list, "process.parent_pid", parent->integer);
    if (arguments && arguments->type == VALUE_TEXTS)
        attributes_texts(list, "process.command_args", arguments->texts.items,
                         arguments->texts.count);
}

/* ------------------------------------------------------------------ tracestate */

static struct text value_of(const char *environment, size_t n, const char *name)
{
    size_t length = strlen(name);
    for (size_t at = 0; at < n;) {
        struct text entry = {environment + at, strnlen(environment + at, n - at)};
        if (entry.length > length && entry.data[length] == '=' && !memcmp(entry.data, name, length))
            return (struct text){entry.data + length + 1, entry.length - length - 1};
        at += entry.length + 1;
    }
    return (struct text){0};
}

struct text process_read_trace_state(const struct fold *f, struct arena *arena,
                                     const char *environment, size_t length)
{
    struct trace_ids came;
    if (!(f->region->watch & WATCH_TRACES))
        return (struct text){0};
    struct text parent = value_of(environment, length, "TRACEPARENT");
    struct text state = value_of(environment, length, "TRACESTATE");
    if (!state.length || !parent.length ||
        traceparent_parse((const uint8_t *)parent.data, parent.length, &came) != 0 ||
        memcmp(came.trace_id, f->region->process.trace_id, sizeof(came.trace_id)) != 0)
        return (struct text){0};
    return arena_copy(arena, state.data, state.length);
}

/* ------------------------------------------------------------------ the span */

/* How it ended. A process that aborts has no exit code: a signal ends it. */
static void outcome(const struct record *end, struct attribute_list *list, struct span *span)
{
    int64_t code = end->result & CODE_MASK;

    if (end->op == OP_ABORT) {
        span->status = STATUS_ERROR;
        attributes_text(list, "error.type", TEXT("SIGABRT"));
        return;
    }
    attributes_int(list, "process.exit.code", code);
    if (!code)
        return;
    span->status = STATUS_ERROR;
    attributes_text(list, "error.type", arena_format(list->arena, "%d", (int)code));
}

bool process_span(struct fold *f, const struct record *end, struct arena *arena, struct span *out)
{
    const struct region_head *region = f->region;
    const struct trace_ids *ids = &region->process;
    struct attribute_list list = {.arena = arena};

    if (!(region->watch & WATCH_PROCESS_SPAN) || !(ids->flags & TRACE_SAMPLED))
        return false;
    *out = (struct span){
        .kind = SPAN_INTERNAL,
        .start_time = region->process_since,
        .end_time = fold_unix(f, end->end),
        .scope = &scope_process,
        .trace_state = process_trace_state(f),
    };
    span_ids(ids, out);
    if (out->end_time < out->start_time) /* one is of the wall clock, the other of ticks */
        out->end_time = out->start_time;
    describe(f, &list, out);
    outcome(end, &list, out);
    out->attributes = attributes_done(&list);
    return true;
}

void process_span_end(struct fold *f, const struct record *end)
{
    struct arena *arena = arena_new(ARENA_BYTES);
    struct span span;

    if (arena && process_span(f, end, arena, &span))
        spans_put(f, &span);
    if (arena)
        arena_free(arena);
}
