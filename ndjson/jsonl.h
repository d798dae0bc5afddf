/*
 * jsonl: what the JSON formats share: members of an object, the text of log records and spans, and
 * the packing of lines into units. For ndjson/ alone; the reporter's thread.
 *
 * Owns one spare buffer, kept from batch to batch. Must not know where units go.
 */
#ifndef SCOPE_NDJSON_JSONL_H
#define SCOPE_NDJSON_JSONL_H

#include "ndjson/json.h"
#include "report/limits.h"
#include "report/sink.h"

/* The lines of one batch under construction. */
struct jsonl {
    struct json out;     /* the unit */
    struct json escaped; /* names of the line's strings that are escaped, each with a comma after */
    struct json tail;    /* the same for every line: the resource; the format's to write */
    const struct conf *conf;
    bool unsayable; /* set by a writer: the item has no form in this format */
    /* the rest is jsonl.c's */
    size_t tail_escaped; /* how much of `escaped` is the resource's */
    struct jsonl_buffer *buffer;
    size_t room_max; /* bytes of `out` at most */
    size_t pack;     /* units are at most this long, or one item */
    size_t items;    /* of the unit */
    size_t left_out;
    sink_emit *emit;
    void *context;
};

/* Writes an item's whole lines (or the tail) to l->out; may be called again for the same one. */
typedef void jsonl_write(struct jsonl *l, const void *what);

/*
 * What is the same for all lines is written by `tail`. False: no memory, or it does not fit; then
 * there is nothing to end.
 */
bool jsonl_begin(struct jsonl *l, size_t unit_max, jsonl_write *tail, const void *what);
/* `items` items that go or stay together. False: they were left out (and counted). */
bool jsonl_put(struct jsonl *l, size_t items, jsonl_write *write, const void *what);
/* Emits what is left; the items that were left out. */
size_t jsonl_end(struct jsonl *l);

/* ------------------------------------------------------------------ members, all with a comma
 * first */

/* ,"name":"text" */
void jsonl_text(struct jsonl *l, const char *member, size_t length, const char *name,
                struct text text);
#define JSONL_TEXT(l, name, text) \
    jsonl_text(l, ",\"" name "\":", sizeof(",\"" name "\":") - 1, name, text)

/* ,"name":"hex", unless all of it is zero */
void jsonl_id(struct json *j, const char *member, size_t length, const uint8_t *id, size_t size);
#define JSONL_ID(j, name, id) \
    jsonl_id(j, ",\"" name "\":", sizeof(",\"" name "\":") - 1, id, sizeof(id))

/* Without the comma: "key":value, or as a string whatever it is. `group` is for `escaped`. */
void jsonl_attribute(struct jsonl *l, const char *group, const struct attribute *a);
void jsonl_attribute_string(struct jsonl *l, const char *group, const struct attribute *a);
bool jsonl_has_key(const struct attributes *attributes, struct text key);

/* ,"scope", ,"attributes" with the configuration's tags, of a point, a record or a span */
void jsonl_attributes(struct jsonl *l, enum said_of what, const struct telemetry_scope *scope,
                      const struct attributes *attributes);
/* ,"escaped":[...], if there are any */
void jsonl_escaped(struct jsonl *l);
/* ,"exemplars":[...], if there are any */
void jsonl_exemplars(struct jsonl *l, const struct metric_point *p);
/* The members of a log record and of a span, but for the times, up to their attributes. */
void jsonl_log(struct jsonl *l, const struct log_record *r);
void jsonl_span(struct jsonl *l, const struct span *s);
/* The time of a log record: when it happened or, that unknown, was seen. */
uint64_t jsonl_log_time(const struct log_record *r);

#endif
