/*
 * Units of JSON lines: a buffer that grows and is kept, whole lines, what does not fit counted.
 */
#include "ndjson/jsonl.h"

#include <stdlib.h>
#include <string.h>

enum {
    UNIT_SIZE = 64 * 1024,
    ESCAPED_ROOM = 4096,
    ROOM_FIRST = 24 * 1024 - 64, /* what a short process says fits */
    ROOM_MOST = 4 * UNIT_SIZE,
};

/* Where lines are written: kept from batch to batch, for fresh memory costs more than the lines. */
struct jsonl_buffer {
    size_t room;
    char data[]; /* `room` bytes for the unit, and ESCAPED_ROOM behind them */
};
static struct jsonl_buffer *spare;

/* ------------------------------------------------------------------ the buffer */

static bool buffer_new(struct jsonl *l, size_t room)
{
    struct jsonl_buffer *b = malloc(sizeof(*b) + room + ESCAPED_ROOM);

    if (!b)
        return false;
    b->room = room;
    if (l->out.length)
        memcpy(b->data, l->out.data, l->out.length);
    if (l->escaped.length)
        memcpy(b->data + room, l->escaped.data, l->escaped.length);
    free(l->buffer);
    l->buffer = b;
    return true;
}

static void buffer_use(struct jsonl *l)
{
    l->out.data = l->buffer->data;
    l->out.room = l->buffer->room < l->room_max ? l->buffer->room : l->room_max;
    l->escaped.data = l->buffer->data + l->buffer->room;
    l->escaped.room = ESCAPED_ROOM;
}

static bool buffer_take(struct jsonl *l)
{
    l->buffer = __atomic_exchange_n(&spare, NULL, __ATOMIC_ACQ_REL);
    if (!l->buffer && !buffer_new(l, ROOM_FIRST))
        return false;
    buffer_use(l);
    return true;
}

static void buffer_give(struct jsonl *l)
{
    free(__atomic_exchange_n(&spare, l->buffer, __ATOMIC_ACQ_REL));
}

static bool buffer_grow(struct jsonl *l)
{
    size_t room = 2 * l->buffer->room;

    if (l->out.room >= l->room_max || !buffer_new(l, room < ROOM_MOST ? room : ROOM_MOST))
        return false;
    buffer_use(l);
    return true;
}

/* ------------------------------------------------------------------ units */

static void emit_front(struct jsonl *l, size_t length)
{
    if (length)
        l->emit(l->context, l->out.data, length, l->items);
    l->items = 0;
    memmove(l->out.data, l->out.data + length, l->out.length - length);
    l->out.length -= length;
}

static bool leave_out(struct jsonl *l, size_t start, size_t items)
{
    l->out.length = start;
    l->unsayable = false;
    l->left_out += items;
    return false;
}

bool jsonl_put(struct jsonl *l, size_t items, jsonl_write *write, const void *what)
{
    for (;;) {
        size_t start = l->out.length;
        write(l, what);
        bool full = l->out.full || l->escaped.full, small = l->out.full;
        l->out.full = l->escaped.full = false;
        l->escaped.length = l->tail_escaped;
        if (l->unsayable)
            return leave_out(l, start, items);
        if (!full) {
            if (start && l->out.length > l->pack)
                emit_front(l, start);
            l->items += items;
            if (l->out.length > l->pack)
                emit_front(l, l->out.length);
            return true;
        }
        /* It did not fit behind the others: once more, in more room or alone. */
        l->out.length = start;
        if (small && start <= l->pack && buffer_grow(l))
            continue;
        if (!start)
            return leave_out(l, start, items);
        emit_front(l, start);
    }
}

static bool make_tail(struct jsonl *l, jsonl_write *write, const void *what)
{
    struct json *j = &l->out;

    do {
        j->full = false;
        j->length = l->escaped.length = 0;
        write(l, what);
    } while (j->full && !l->escaped.full && buffer_grow(l));
    l->tail_escaped = l->escaped.length;
    if (j->full || l->escaped.full)
        return false;
    l->tail.data = malloc(j->length + 1);
    if (!l->tail.data)
        return false;
    l->tail.room = l->tail.length = j->length;
    memcpy(l->tail.data, j->data, j->length);
    j->length = 0;
    return true;
}

bool jsonl_begin(struct jsonl *l, size_t unit_max, jsonl_write *tail, const void *what)
{
    l->pack = unit_max < UNIT_SIZE ? unit_max : UNIT_SIZE;
    l->room_max = unit_max < ROOM_MOST ? unit_max : ROOM_MOST;
    if (!buffer_take(l))
        return false;
    if (make_tail(l, tail, what))
        return true;
    buffer_give(l);
    return false;
}

size_t jsonl_end(struct jsonl *l)
{
    emit_front(l, l->out.length);
    free(l->tail.data);
    buffer_give(l);
    return l->left_out;
}
