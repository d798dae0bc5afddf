/*
 * tree: a batch as OTLP's messages, the protobuf-c structures that both protocols are written from.
 *
 * For otlp/ alone. A tree lies in one arena and points into the batch wherever a text can be taken
 * as it is; it lives until the arena is reset. Reporter's thread. Nothing here fails on its own:
 * where memory is short `full` is set and what was built is not to be used.
 */
#ifndef SCOPE_OTLP_TREE_H
#define SCOPE_OTLP_TREE_H

#include "conf/conf.h"
#include "otlp/logs.pb-c.h"
#include "otlp/metrics.pb-c.h"
#include "otlp/trace.pb-c.h"
#include "report/limits.h"
#include "telemetry/telemetry.h"

struct tree {
    struct arena *arena;
    const struct conf *conf;
    size_t text_max; /* bytes at most of a text that may be cut, for an item too large; 0: any */
    bool full;       /* the arena is: the tree is not complete */
};

/* Zeroed memory of the arena, 16-aligned; NULL sets `full`. */
void *tree_take(struct tree *t, size_t size);

/*
 * `count` messages of one kind, side by side and initialised: the first, or NULL. list (may be
 * NULL): the address of the pointer to an array of pointers to them.
 */
void *tree_messages(struct tree *t, const ProtobufCMessageDescriptor *descriptor, size_t count,
                    void *list);

/* The text as UTF-8: as it is, or escaped as ndjson/json.h does. For names, which are whole. */
ProtobufCBinaryData tree_name(struct tree *t, struct text name);
/* The same of a value, at most `text_max` bytes; *cut counts the texts that this took from. */
ProtobufCBinaryData tree_text(struct tree *t, struct text text, uint32_t *cut);

ProtobufCBinaryData tree_id(const uint8_t *id, size_t size); /* empty if all zero */

/* What a set of attributes becomes. */
struct tree_attributes {
    size_t count;
    Otlp__KeyValue **items;
    uint32_t dropped; /* with those that a limit left out or text_max cut */
};
struct tree_attributes tree_attributes(struct tree *t, const struct attributes *attributes,
                                       enum said_of what);

/* One item each into a message that is initialised. */
void tree_span(struct tree *t, const struct span *span, Otlp__Span *out);
void tree_record(struct tree *t, const struct log_record *record, Otlp__LogRecord *out);
/* A metric with `count` of its points from `first` on. */
void tree_metric(struct tree *t, const struct metric *metric, size_t first, size_t count,
                 Otlp__Metric *out);

#endif
