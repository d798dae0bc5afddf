/*
 * What an environment says of the trace: TRACEPARENT and TRACESTATE for who comes after, and the
 * process's own span for the image that an exec puts in its place.
 */
#include "intercept/process.h"

#include <string.h>
#include <unistd.h>

#include "os/heap.h"
#include "os/sys.h"

enum {
    VALUE_MAX = 128, /* of a TRACEPARENT that was there before us */
    LINEAGE = 8,
};

static const char *const names[TRACE_VARIABLES] = {"TRACEPARENT=", "TRACESTATE=", SPAN_VARIABLE};
static const size_t name_length[TRACE_VARIABLES] = {12, 11, sizeof(SPAN_VARIABLE) - 1};

static struct {
    bool has_started;
    bool is_put;
    char started[VALUE_MAX]; /* TRACEPARENT's value as we were started with it */
    char put[sizeof("TRACEPARENT=") + TRACEPARENT_LENGTH]; /* what stands in environ */
    /* Spans whose TRACEPARENT a program may have copied out of environ: the first is that of the
       start, which shells hold on to, then those of the forks that led here. */
    uint8_t lineage[LINEAGE][8];
    unsigned generations;
    char *state;          /* TRACESTATE=..., as we were started with it, of ... */
    uint8_t state_of[16]; /* ... this trace */
} kept;

bool env_trace_is_on(void)
{
    return hook_region && (hook_region->watch & WATCH_TRACES);
}

static void print(char *out, const struct trace_ids *ids)
{
    memcpy(out, names[VARIABLE_TRACEPARENT], name_length[VARIABLE_TRACEPARENT]);
    out += name_length[VARIABLE_TRACEPARENT];
    traceparent_print(ids, (uint8_t *)out);
    out[TRACEPARENT_LENGTH] = '\0';
}

static bool is_zero(const uint8_t *p, size_t n)
{
    while (n && !*p)
        p++, n--;
    return !n;
}

/* ------------------------------------------------------------------ environ */

static char **slot_of(unsigned which)
{
    for (char **e = environ; e && *e; e++) {
        if (!strncmp(*e, names[which], name_length[which]))
            return e;
    }
    return NULL;
}

/* The list on the initial stack has no room for one more; libc copies the one that it is given. */
static void add_to_environ(char *text)
{
    size_t n = 0;

    while (environ && environ[n])
        n++;
    char **longer = heap_alloc((n + 2) * sizeof(*longer));
    if (!longer)
        return;
    if (n)
        memcpy(longer, environ, n * sizeof(*longer));
    longer[n] = text;
    longer[n + 1] = NULL;
    environ = longer;
}

static void note_lineage(void)
{
    /* of a long line of forks the latest are kept, and the start's */
    unsigned at =
        kept.generations < LINEAGE ? kept.generations : 1 + (kept.generations - 1) % (LINEAGE - 1);
    memcpy(kept.lineage[at], hook_region->process.span_id, 8);
    kept.generations++;
}

/* A tracestate goes with the traceparent that it came with, or nowhere. */
static void keep_state(const char *started)
{
    struct trace_ids ids;
    char **state = slot_of(VARIABLE_TRACESTATE);

    if (!state)
        return;
    if (started)
        (void)traceparent_parse((const uint8_t *)started, strlen(started), &ids);
    else
        memset(&ids, 0, sizeof(ids));
    size_t length = strlen(*state) + 1;
    kept.state = heap_alloc(length);
    if (kept.state)
        memcpy(kept.state, *state, length);
    memcpy(kept.state_of, ids.trace_id, sizeof(kept.state_of));
}

/* Of a tracestate that is another trace's, or none's, children are not told. */
static void take_out_state(void)
{
    char **e = slot_of(VARIABLE_TRACESTATE);

    if (!e || !memcmp(kept.state_of, hook_region->process.trace_id, sizeof(kept.state_of)))
        return;
    for (; *e; e++)
        e[0] = e[1];
}

void env_trace_start(void)
{
    if (!env_trace_is_on())
        return;
    char **slot = slot_of(VARIABLE_TRACEPARENT);
    const char *started = slot ? *slot + name_length[VARIABLE_TRACEPARENT] : NULL;
    if (started) {
        kept.has_started = true;
        memcpy(kept.started, started, strnlen(started, sizeof(kept.started) - 1));
    }
    keep_state(started);
    if (!(hook_region->watch & WATCH_PROCESS_SPAN))
        return;
    take_out_state();
    note_lineage();
    print(kept.put, &hook_region->process);
    kept.is_put = true;
    slot = slot_of(VARIABLE_TRACEPARENT);
    if (slot)
        *slot = kept.put;
    else
        add_to_environ(kept.put);
}

/* Where a value that print_span wrote has its two traceparents; false: it is another process's. */
static bool take_apart(const char *handed, const char **own, const char **parent)
{
    enum { BETWEEN = 3 }; /* ":0:" */
    uint64_t pid = 0;

    for (; *handed >= '0' && *handed <= '9' && pid < INT32_MAX; handed++)
        pid = pid * 10 + (uint64_t)(*handed - '0');
    handed = *handed == ':' ? strchr(handed + 1, ':') : NULL;
    if (!handed || (long)pid != sys(getpid) ||
        strlen(handed + 1) != 2 * TRACEPARENT_LENGTH + BETWEEN)
        return false;
    *own = handed + 1;
    *parent = handed + 1 + TRACEPARENT_LENGTH + BETWEEN;
    return true;
}

void env_trace_unseen(void)
{
    char **span = slot_of(VARIABLE_SPAN), **slot = slot_of(VARIABLE_TRACEPARENT);
    const char *own, *parent;
    size_t name = name_length[VARIABLE_TRACEPARENT];

    if (!span || !slot || !take_apart(*span + name_length[VARIABLE_SPAN], &own, &parent) ||
        strlen(*slot) != name + TRACEPARENT_LENGTH ||
        memcmp(*slot + name, own, TRACEPARENT_LENGTH) != 0)
        return;
    memcpy(kept.put, *slot, name);
    memcpy(kept.put + name, parent, TRACEPARENT_LENGTH + 1);
    *slot = kept.put;
}

/* Whoever has the string has this process's span with it: there is one thread here yet. */
void env_trace_forked(void)
{
    if (!kept.is_put)
        return;
    note_lineage();
    print(kept.put, &hook_region->process);
}

/* ------------------------------------------------------------------ an exec */

bool env_trace_meet(struct env_trace *trace, struct peek *peek, const char *e, size_t n)
{
    for (unsigned i = 0; i < TRACE_VARIABLES; i++) {
        long length = peek_length(peek, e, name_length[i]);
        if (length < 0)
            return false;
        if (length != (long)name_length[i] || memcmp(e, names[i], name_length[i]) != 0)
            continue;
        if (trace->at[i] == (size_t)-1) /* of several, getenv finds the first */
            trace->at[i] = n;
        return i != VARIABLE_TRACEPARENT || peek_length(peek, e + length, VALUE_MAX) >= 0;
    }
    return true;
}

/* Whether nobody but us, or who started us, has set this value. */
static bool is_ours(const char *value)
{
    size_t length = strnlen(value, VALUE_MAX);
    struct trace_ids ids;

    if (kept.has_started && !strncmp(value, kept.started, VALUE_MAX - 1))
        return true;
    if (length != TRACEPARENT_LENGTH ||
        traceparent_parse((const uint8_t *)value, length, &ids) != 0)
        return false;
    unsigned n = kept.generations < LINEAGE ? kept.generations : LINEAGE;
    for (unsigned i = 0; i < n; i++) {
        if (!memcmp(kept.lineage[i], ids.parent_id, 8))
            return true;
    }
    return false;
}

static char *put_number(char *at, uint64_t n)
{
    char digits[20];
    unsigned count = 0;

    do {
        digits[count++] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    while (count)
        *at++ = digits[--count];
    *at++ = ':';
    return at;
}

/* As span.c reads it. */
static void print_span(char *out, const struct region_head *region)
{
    struct trace_ids ids = region->process;

    memcpy(out, SPAN_VARIABLE, sizeof(SPAN_VARIABLE) - 1);
    out = put_number(out + sizeof(SPAN_VARIABLE) - 1, (uint64_t)region->pid);
    out = put_number(out, region->process_since);
    traceparent_print(&ids, (uint8_t *)out);
    out += TRACEPARENT_LENGTH;
    *out++ = ':';
    *out++ = (char)('0' + (ids.remote & 1));
    if (!is_zero(ids.parent_id, sizeof(ids.parent_id))) {
        *out++ = ':';
        memcpy(ids.span_id, ids.parent_id, sizeof(ids.span_id));
        traceparent_print(&ids, (uint8_t *)out);
        out += TRACEPARENT_LENGTH;
    }
    *out = '\0';
}

static void put(struct env_trace *trace, unsigned which, const char *value)
{
    trace->change[which] = 1;
    trace->value[which] = value;
}

static void plan_state(struct env_trace *trace, char *const *given, size_t count,
                       const struct trace_ids *ids)
{
    size_t at = trace->at[VARIABLE_TRACESTATE];

    if (!kept.state)
        return;
    if (!memcmp(kept.state_of, ids->trace_id, sizeof(kept.state_of))) {
        if (at >= count)
            put(trace, VARIABLE_TRACESTATE, kept.state);
    } else if (at < count && !strcmp(given[at], kept.state)) {
        put(trace, VARIABLE_TRACESTATE, NULL); /* another trace's */
    }
}

unsigned env_trace_plan(struct env_trace *trace, char *const *given, size_t count, bool same,
                        bool unseen)
{
    const struct region_head *region = hook_region;
    const struct lane *lane = (uintptr_t)hook_self > 1 ? hook_self : NULL;
    size_t at = trace->at[VARIABLE_TRACEPARENT];
    struct trace_ids ids;
    bool spans = region->watch & WATCH_PROCESS_SPAN;

    if (at < count && !is_ours(given[at] + name_length[VARIABLE_TRACEPARENT]))
        return 0;
    trace_current(region, lane, &ids);
    if (same && spans)
        ids = region->process;
    if (is_zero(ids.trace_id, sizeof(ids.trace_id)))
        return 0;
    /* Nobody will tell of the span that this process had: what comes is its parent's child. */
    if (same && spans && unseen && !is_zero(ids.parent_id, sizeof(ids.parent_id)))
        memcpy(ids.span_id, ids.parent_id, sizeof(ids.span_id));
    print(trace->traceparent, &ids);
    if (at >= count || strcmp(given[at], trace->traceparent) != 0)
        put(trace, VARIABLE_TRACEPARENT, trace->traceparent);
    plan_state(trace, given, count, &ids);
    if (same && spans) {
        print_span(trace->span, region);
        put(trace, VARIABLE_SPAN, trace->span);
    }
    unsigned changes = 0;
    for (unsigned i = 0; i < TRACE_VARIABLES; i++)
        changes += trace->change[i];
    return changes;
}
