/*
 * A fold on a small region of its own, fed with records made by hand. One tick is one nanosecond;
 * tick 0 is 2024-01-01 00:00:00 UTC.
 */
#ifndef SCOPE_TEST_FOLD_FIXTURE_H
#define SCOPE_TEST_FOLD_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture/capture.h"
#include "report/fold_state.h"
#include "report/report.h"

#define EPOCH 1704067200000000000ULL
#define MS 1000000ULL
#define SEC 1000000000ULL

enum { LOGS_MAX = 4096 };

struct fixture {
    struct conf conf;
    struct region_head *region;
    size_t region_size;
    struct fold *fold;
    struct arena *arena;
    struct log_record logs[LOGS_MAX];
    size_t log_count;
};

static inline struct fixture *fixture_new(void)
{
    struct fixture *x = calloc(1, sizeof(*x));
    x->conf = (struct conf){
        .enabled = true,
        .metrics = true,
        .metrics_file = true,
        .metrics_socket = true,
        .metrics_name = true,
        .metrics_process = false,
        .cardinality_limit = 2000,
        .events_file.enabled = true,
        .events_connection.enabled = true,
        .events_name.enabled = true,
        .events_process.enabled = false,
        .logs_line_max = 16384,
        .logs_continuation = true,
    };
    x->region_size = 4 << 20;
    x->region =
        mmap(NULL, x->region_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(region_init(x->region, x->region_size, 16, 16), 0);
    struct clock_relation clock = {.unix_nano = EPOCH, .mult = 1ULL << 32};
    region_set_clock(x->region, &clock);
    x->region->watch = ~0u;
    x->region->enabled = 1;
    x->arena = arena_new(64 << 20);
    return x;
}

static inline void fixture_start(struct fixture *x)
{
    x->fold = fold_new(&x->conf, x->region, (int32_t)getpid());
    assert_non_null(x->fold);
    x->fold->fixed_now = 1;
}

static inline void fixture_free(struct fixture *x)
{
    fold_free(x->fold);
    arena_free(x->arena);
    munmap(x->region, x->region_size);
    free(x);
}

/* Everything that is ready now, appended to x->logs. */
static inline void take(struct fixture *x, bool final)
{
    struct batch batch;
    size_t n;
    while ((n = fold_logs(x->fold, final, 100, x->arena, &batch)) > 0)
        for (size_t i = 0; i < n && x->log_count < LOGS_MAX; i++)
            x->logs[x->log_count++] = batch.logs[i];
}

static inline void put(struct fixture *x, struct record r, const void *payload, size_t length)
{
    uint64_t room[RECORD_PAYLOAD_MAX / 8 + 1] = {0};
    if (length)
        memcpy(room, payload, length);
    r.payload = (uint32_t)length;
    fold_record(x->fold, &r, (const uint8_t *)room, 7);
}

static inline const struct log_record *event_at(struct fixture *x, const char *name, size_t nth)
{
    for (size_t i = 0; i < x->log_count; i++)
        if (text_is(x->logs[i].event_name, name) && !nth--)
            return &x->logs[i];
    return NULL;
}

static inline size_t event_count(struct fixture *x, const char *name)
{
    size_t n = 0;
    while (event_at(x, name, n))
        n++;
    return n;
}

static inline const struct attribute *find(struct attributes a, const char *key)
{
    for (size_t i = 0; i < a.count; i++)
        if (text_is(a.items[i].key, key))
            return &a.items[i];
    return NULL;
}

static inline void has_text(struct attributes a, const char *key, const char *value)
{
    const struct attribute *at = find(a, key);
    if (!at)
        fail_msg("no %s", key);
    assert_int_equal(at->type, VALUE_TEXT);
    if (!text_is(at->text, value))
        fail_msg("%s is '%.*s', not '%s'", key, (int)at->text.length, at->text.data, value);
}

static inline void has_int(struct attributes a, const char *key, int64_t value)
{
    const struct attribute *at = find(a, key);
    if (!at)
        fail_msg("no %s", key);
    assert_int_equal(at->type, VALUE_INT);
    if (at->integer != value)
        fail_msg("%s is %lld, not %lld", key, (long long)at->integer, (long long)value);
}

static inline void has_double(struct attributes a, const char *key, double value)
{
    const struct attribute *at = find(a, key);
    if (!at)
        fail_msg("no %s", key);
    assert_int_equal(at->type, VALUE_DOUBLE);
    if (fabs(at->number - value) > 1e-9)
        fail_msg("%s is %g, not %g", key, at->number, value);
}

static inline void has_not(struct attributes a, const char *key)
{
    if (find(a, key))
        fail_msg("%s is there", key);
}

/* The point of a metric whose attributes hold key=value (key NULL: the first). */
static inline const struct metric *metric_of(const struct batch *b, const char *name)
{
    for (size_t i = 0; i < b->count; i++)
        if (text_is(b->metrics[i].name, name))
            return &b->metrics[i];
    return NULL;
}

static inline const struct metric_point *point_of(const struct batch *b, const char *name,
                                                  const char *key, const char *value)
{
    const struct metric *m = metric_of(b, name);
    for (size_t i = 0; m && i < m->count; i++) {
        const struct attribute *a = key ? find(m->points[i].attributes, key) : NULL;
        if (!key || (a && a->type == VALUE_TEXT && text_is(a->text, value)))
            return &m->points[i];
    }
    return NULL;
}

#endif
