/*
 * limits: which attributes are said of one item, and how much of each. Every format that tells log
 * records and spans asks here, so that the limits mean the same in all. Pure; any thread.
 *
 * A limit of 0 leaves everything out; what is left out is counted, what is cut is not. Metric
 * points, exemplars and the resource have no limits, as the specification has it.
 */
#ifndef SCOPE_REPORT_LIMITS_H
#define SCOPE_REPORT_LIMITS_H

#include "conf/conf.h"
#include "telemetry/telemetry.h"

enum said_of {
    SAID_OF_RESOURCE, /* or an exemplar: all of it */
    SAID_OF_POINT,    /* all, and the configuration's tags */
    SAID_OF_RECORD,   /* within limits, and the tags */
    SAID_OF_SPAN,
    SAID_OF_EVENT, /* of a span: within limits, without tags */
    SAID_OF_LINK,
};

struct said {
    struct conf_limits limits;
    uint32_t count, dropped; /* so far; with what the item says that it lost itself */
    /* the rest is limits.c's */
    const struct attributes *own;
    const struct conf_pairs *tags;
    size_t next;
    struct attribute tag;
};

/* conf and attributes are borrowed. */
struct said said_of(const struct conf *conf, enum said_of what, const struct attributes *own);
/* At most so many will come, said or dropped. */
size_t said_room(const struct said *s);
/* The next one, its texts not cut yet; valid until the next call. NULL: no more. */
const struct attribute *said_next(struct said *s);

/*
 * The front of a text that has at most so many characters. A text that is not UTF-8 is told with
 * escapes (ndjson/json.h), whose characters count as they will be written.
 */
struct text limits_text(struct text text, struct conf_limit limit);
size_t limits_count(size_t count, struct conf_limit limit); /* the smaller one */

#endif
