/*
 * trace: contexts and ids as capture has them. They are made here, on the application's thread,
 * because they must exist before the next call is made: a child's environment, a request that goes
 * out, an SDK may carry them on. The fold uses these ids and makes none of its own.
 *
 * A thread's context is what its lane holds (lane->context); it lasts until the thread goes back to
 * its event loop or reads the next request. Freestanding, as all of capture.
 */
#ifndef SCOPE_CAPTURE_TRACE_H
#define SCOPE_CAPTURE_TRACE_H

#include <stddef.h>
#include <stdint.h>

/* As in telemetry and on the wire: bytes in network order. All zero: none. */
struct trace_ids {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_id[8]; /* all zero: a root, or a parent that is not known */
    uint8_t flags;        /* W3C: TRACE_SAMPLED, TRACE_RANDOM */
    uint8_t remote;       /* the parent came in with the request */
    uint8_t local; /* the request came with a trace that capture did not read: not for others */
    uint8_t spare[5];
};
_Static_assert(sizeof(struct trace_ids) == 40, "five words");

static inline int trace_differ(const uint8_t *a, const uint8_t *b, unsigned n)
{
    unsigned different = 0;
    for (unsigned i = 0; i < n; i++)
        different |= a[i] ^ b[i];
    return different != 0;
}

static inline int trace_is_none(const struct trace_ids *ids)
{
    uint64_t span;
    __builtin_memcpy(&span, ids->span_id, sizeof(span));
    return !span;
}

static inline int trace_has_trace(const struct trace_ids *ids)
{
    uint64_t words[2];
    __builtin_memcpy(words, ids->trace_id, sizeof(words));
    return (words[0] | words[1]) != 0;
}

enum { TRACE_SAMPLED = 1, TRACE_RANDOM = 2 };

/*
 * W3C trace context, section 3.2, of a traceparent's value (no white space around it): version 00
 * to fe, ids that are not zero, lower case hexadecimal alone; a version above 00 may be longer,
 * with
 * '-' behind the flags. Fills trace_id, parent_id (the sender's span) and flags (the two bits that
 * are known, others cleared); the rest of *out is zero. Returns 0, or -EINVAL and *out all zero.
 */
int traceparent_parse(const uint8_t *value, size_t length, struct trace_ids *out);

/* "00-<trace>-<span>-<flags>", of ids->span_id. Exactly 55 bytes, no NUL. */
enum { TRACEPARENT_LENGTH = 55 };
void traceparent_print(const struct trace_ids *ids, uint8_t out[TRACEPARENT_LENGTH]);

struct region_head;
struct lane;

/*
 * The ids that a child, or a request that goes out, would have as its parent: the thread's context,
 * else that of the process (region->process), else all zero. span_id is the parent's. lane may be
 * NULL.
 */
void trace_current(const struct region_head *region, const struct lane *lane,
                   struct trace_ids *out);

/*
 * Draws ids of a new span below `parent`; all zero: of a new trace, with TRACE_RANDOM. The parent
 * is parent->span_id; where that is zero, as traceparent_parse leaves it, it is parent->parent_id,
 * and *out is marked remote. What is below a local context is local. Sampled as the parent is
 * (SAMPLER_PARENT), else as region->sample_below says. Safe in signal handlers: a lane's draws
 * never repeat. Without a lane the ids are mixed from the seed, the ticks and the frame's address.
 * out may be parent.
 */
void trace_begin(const struct region_head *region, struct lane *lane,
                 const struct trace_ids *parent, struct trace_ids *out);

/* Whether a trace that nobody decided on is sampled: by its id, as all programs decide. */
int trace_is_below(const struct region_head *region, const uint8_t trace_id[16]);

/* Another seed, never zero, from a seed and what tells it from others. */
uint64_t trace_mix(uint64_t seed, uint64_t salt);

#endif
