/*
 * Metric points: totals for each set of attributes, and what each reader has had of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/hash.h"
#include "report/fold_series.h"

enum { TABLE_FIRST = 64 };

static size_t value_size(const struct instrument *i)
{
    size_t buckets = i->type == METRIC_HISTOGRAM ? i->bound_count + 1u : 0;
    return sizeof(struct series_value) + buckets * sizeof(uint64_t);
}

int series_init(struct series_set *set, const struct instrument *instruments, uint32_t count,
                uint32_t limit, uint64_t start)
{
    *set = (struct series_set){.instruments = instruments,
                               .instrument_count = count,
                               .limit = limit < 2 ? 2 : limit,
                               .start = start};
    set->states = calloc(count, sizeof(*set->states));
    set->table = calloc(TABLE_FIRST, sizeof(*set->table));
    set->table_size = TABLE_FIRST;
    if (!set->states || !set->table) {
        series_clear(set);
        return -ENOMEM;
    }
    return 0;
}

static void series_free(struct series *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->attribute_count; i++)
        if (s->attributes[i].type == VALUE_TEXT)
            free((char *)(uintptr_t)s->attributes[i].text.data);
    for (unsigned r = 0; r < SERIES_READERS; r++)
        free(s->sent[r]);
    free(s->before);
    free(s->recent);
    free(s->exemplars);
    free(s->total);
    free(s);
}

void series_clear(struct series_set *set)
{
    for (uint32_t i = 0; set->states && i < set->instrument_count; i++) {
        struct series *s = set->states[i].first;
        while (s) {
            struct series *next = s->next;
            series_free(s);
            s = next;
        }
    }
    free(set->states);
    free(set->table);
    set->states = NULL;
    set->table = NULL;
}

static uint64_t hash_of(uint32_t instrument, const struct attribute *a, uint32_t count)
{
    uint64_t h = hash_word(HASH_FIRST, instrument);
    for (uint32_t i = 0; i < count; i++) {
        h = hash_bytes(h, a[i].key.data, a[i].key.length);
        if (a[i].type == VALUE_TEXT)
            h = hash_bytes(h, a[i].text.data, a[i].text.length);
        else
            h = hash_word(h, (uint64_t)a[i].integer);
    }
    return h ? h : 1;
}

static bool text_same(struct text a, struct text b)
{
    return a.length == b.length &&
           (a.data == b.data || !a.length || !memcmp(a.data, b.data, a.length));
}

static bool same(const struct series *s, const struct attribute *a, uint32_t count)
{
    if (s->attribute_count != count)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct attribute *b = &s->attributes[i];
        if (b->type != a[i].type || !text_same(b->key, a[i].key))
            return false;
        if (a[i].type == VALUE_TEXT ? !text_same(b->text, a[i].text) : b->integer != a[i].integer)
            return false;
    }
    return true;
}

static void table_put(struct series **table, uint32_t size, struct series *s)
{
    uint32_t at = (uint32_t)s->hash & (size - 1);
    while (table[at])
        at = (at + 1) & (size - 1);
    table[at] = s;
}

static bool table_grow(struct series_set *set)
{
    if (set->table_used * 2 < set->table_size)
        return true;
    struct series **table = calloc((size_t)set->table_size * 2, sizeof(*table));
    if (!table)
        return set->table_used + 1 < set->table_size;
    for (uint32_t i = 0; i < set->table_size; i++)
        if (set->table[i])
            table_put(table, set->table_size * 2, set->table[i]);
    free(set->table);
    set->table = table;
    set->table_size *= 2;
    return true;
}

static struct series_value *value_new(const struct instrument *i)
{
    struct series_value *v = calloc(1, value_size(i));
    if (v) {
        v->min = 1;
        v->max = 0;
    }
    return v;
}

static struct series *series_new(struct series_set *set, uint32_t instrument,
                                 const struct attribute *a, uint32_t count)
{
    struct series *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->instrument = &set->instruments[instrument];
    s->total = value_new(s->instrument);
    bool good = s->total != NULL;
    for (uint32_t i = 0; i < count && good; i++) {
        s->attributes[i] = a[i];
        if (a[i].type == VALUE_TEXT) {
            char *copy = malloc(a[i].text.length + 1);
            if (copy && a[i].text.length)
                memcpy(copy, a[i].text.data, a[i].text.length);
            s->attributes[i].text.data = copy;
            good = copy != NULL;
        }
        s->attribute_count++;
    }
    if (!good) {
        series_free(s);
        return NULL;
    }
    struct instrument_state *state = &set->states[instrument];
    if (state->last)
        state->last->next = s;
    else
        state->first = s;
    state->last = s;
    state->count++;
    return s;
}

static struct series *overflow(struct series_set *set, uint32_t instrument)
{
    struct instrument_state *state = &set->states[instrument];
    if (!state->overflow) {
        struct attribute a = {
            .key = TEXT("otel.metric.overflow"), .type = VALUE_BOOL, .boolean = true};
        state->overflow = series_new(set, instrument, &a, 1);
    }
    set->overflowed++;
    return state->overflow;
}

struct series *series_get(struct series_set *set, uint32_t instrument, const struct attribute *a,
                          uint32_t count)
{
    if (!set->table || count > SERIES_ATTRIBUTES_MAX)
        return NULL;
    uint64_t hash = hash_of(instrument, a, count);
    uint32_t mask = set->table_size - 1;
    for (uint32_t at = (uint32_t)hash & mask; set->table[at]; at = (at + 1) & mask) {
        struct series *s = set->table[at];
        if (s->hash == hash && s->instrument == &set->instruments[instrument] && same(s, a, count))
            return s;
    }
    if (set->states[instrument].count >= set->limit - 1)
        return overflow(set, instrument);
    if (!table_grow(set))
        return overflow(set, instrument);
    struct series *s = series_new(set, instrument, a, count);
    if (!s)
        return NULL;
    s->hash = hash;
    table_put(set->table, set->table_size, s);
    set->table_used++;
    return s;
}

void series_add_int(struct series *s, int64_t n)
{
    if (!s)
        return;
    s->total->integer += n;
    s->used = true;
}

void series_set_int(struct series *s, int64_t n)
{
    if (!s)
        return;
    s->total->integer = n;
    s->used = true;
}

void series_set_number(struct series *s, double n)
{
    if (!s)
        return;
    s->total->number = n;
    s->used = true;
}

static void extremes(struct series_value *v, double min, double max)
{
    if (min > max)
        return;
    if (v->min > v->max) {
        v->min = min;
        v->max = max;
        return;
    }
    if (min < v->min)
        v->min = min;
    if (max > v->max)
        v->max = max;
}

static uint32_t bucket_of(const struct instrument *i, double value)
{
    uint32_t b = 0;
    while (b < i->bound_count && value > i->bounds[b])
        b++;
    return b;
}

void series_record(struct series *s, double value)
{
    if (!s || s->instrument->type != METRIC_HISTOGRAM)
        return;
    uint32_t b = bucket_of(s->instrument, value);
    if (!s->recent)
        s->recent = malloc(SERIES_RECENT * sizeof(*s->recent));
    if (s->recent && s->recorded == s->total->count)
        s->recent[s->recorded++ % SERIES_RECENT] = value;
    s->total->bucket[b]++;
    s->total->count++;
    s->total->number += value;
    s->used = true;
    extremes(s->total, value, value);
    for (unsigned r = 0; r < SERIES_READERS; r++)
        if (s->sent[r])
            extremes(s->sent[r], value, value);
}

/* OpenTelemetry's reservoir for explicit buckets: one example for each. */
void series_record_traced(struct series *s, double value, uint64_t time,
                          const struct trace_ids *ids)
{
    series_record(s, value);
    if (!s || s->instrument->type != METRIC_HISTOGRAM)
        return;
    if (!s->exemplars)
        s->exemplars = calloc(s->instrument->bound_count + 1u, sizeof(*s->exemplars));
    if (!s->exemplars)
        return;
    struct exemplar *e = &s->exemplars[bucket_of(s->instrument, value)];
    *e = (struct exemplar){.time = time, .value = value};
    memcpy(e->trace_id, ids->trace_id, sizeof(e->trace_id));
    memcpy(e->span_id, ids->span_id, sizeof(e->span_id));
}

void series_merge(struct series *s, const uint64_t *buckets, double sum, double min, double max)
{
    if (!s || s->instrument->type != METRIC_HISTOGRAM)
        return;
    for (uint32_t b = 0; b <= s->instrument->bound_count; b++) {
        s->total->bucket[b] += buckets[b];
        s->total->count += buckets[b];
    }
    s->total->number += sum;
    s->used = true;
    extremes(s->total, min, max);
    for (unsigned r = 0; r < SERIES_READERS; r++)
        if (s->sent[r])
            extremes(s->sent[r], min, max);
}

/* The last `count` measurements, oldest first, where all of them are known; else NULL. */
static const double *values_of(const struct series *s, uint64_t count, struct arena *arena)
{
    if (!s->recent || s->recorded != s->total->count || count > SERIES_RECENT)
        return NULL;
    double *values = arena_take(arena, (size_t)count * sizeof(*values));
    for (uint64_t i = 0; values && i < count; i++)
        values[i] = s->recent[(s->recorded - count + i) % SERIES_RECENT];
    return values;
}

/* Fills a histogram's figures: the total, less what `since` had. False: nothing new. */
static bool histogram_fill(const struct series *s, const struct series_value *since,
                           struct arena *arena, struct metric_point *p)
{
    const struct instrument *i = s->instrument;
    uint64_t count = s->total->count - (since ? since->count : 0);
    if (since && !count)
        return false;
    uint64_t *buckets = arena_take(arena, (i->bound_count + 1) * sizeof(*buckets));
    if (!buckets)
        return false;
    for (uint32_t b = 0; b <= i->bound_count; b++)
        buckets[b] = s->total->bucket[b] - (since ? since->bucket[b] : 0);
    const struct series_value *range = since ? since : s->total;
    p->histogram = (struct histogram){
        .count = count,
        .sum = s->total->number - (since ? since->number : 0),
        .min = range->min,
        .max = range->max,
        .has_extremes = range->min <= range->max,
        .bounds = i->bounds,
        .buckets = buckets,
        .bound_count = i->bound_count,
        .values = since ? values_of(s, count, arena) : NULL,
    };
    if (p->histogram.sum < 0)
        p->histogram.sum = 0;
    return true;
}

static bool number_fill(const struct series *s, const struct series_value *since,
                        struct metric_point *p)
{
    p->is_int = s->instrument->is_int;
    if (p->is_int) {
        p->integer = s->total->integer - (since ? since->integer : 0);
        return !since || p->integer != 0;
    }
    p->number = s->total->number - (since ? since->number : 0);
    return !since || p->number > 0;
}

/* What a delta reader had at its last collection; made at its first. NULL: no memory. */
static struct series_value *sent_of(struct series *s, unsigned reader)
{
    if (!s->sent[reader]) {
        s->sent[reader] = value_new(s->instrument);
        if (s->sent[reader]) {
            s->sent[reader]->min = s->total->min;
            s->sent[reader]->max = s->total->max;
        }
    }
    return s->sent[reader];
}

/* The reader has now had everything. Its extremes start anew. */
static void mark_sent(struct series *s, unsigned reader)
{
    memcpy(s->sent[reader], s->total, value_size(s->instrument));
    s->sent[reader]->min = 1;
    s->sent[reader]->max = 0;
}

/* Those that came since the reader's last collection. */
static void exemplars_fill(const struct series_set *set, const struct series *s, unsigned reader,
                           struct arena *arena, struct metric_point *p)
{
    uint32_t buckets = s->instrument->bound_count + 1;
    struct exemplar *e = s->exemplars ? arena_take(arena, buckets * sizeof(*e)) : NULL;
    size_t n = 0;
    for (uint32_t b = 0; e && b < buckets; b++)
        if (s->exemplars[b].time > set->collected[reader])
            e[n++] = s->exemplars[b];
    p->exemplars = e;
    p->exemplar_count = n;
}

/* When a delta begins. */
static uint64_t start_of(const struct series_set *set, const struct series_value *since,
                         unsigned reader)
{
    if (since->since)
        return since->since;
    return set->collected[reader] ? set->collected[reader] : set->start;
}

static bool point_fill(struct series_set *set, struct series *s, unsigned reader, bool delta,
                       uint64_t now, struct arena *arena, struct metric_point *p)
{
    if (!s->used)
        return false;
    const struct series_value *since = delta ? sent_of(s, reader) : NULL;
    if (delta && !since)
        return false;
    *p = (struct metric_point){.attributes = {s->attributes, s->attribute_count, 0}, .time = now};
    if (s->instrument->type != METRIC_GAUGE)
        p->start_time = delta ? start_of(set, since, reader) : set->start;
    bool filled = s->instrument->type == METRIC_HISTOGRAM ? histogram_fill(s, since, arena, p)
                                                          : number_fill(s, since, p);
    if (filled && s->instrument->type == METRIC_HISTOGRAM)
        exemplars_fill(set, s, reader, arena, p);
    if (filled)
        s->offered |= (uint8_t)(1u << reader);
    return filled;
}

static bool is_delta(const struct instrument *in, enum temporality temporality)
{
    bool sum = in->type == METRIC_SUM;
    return temporality == TEMPORALITY_DELTA && in->type != METRIC_GAUGE && !(sum && !in->monotonic);
}

void series_taken(struct series_set *set, unsigned reader, enum temporality temporality)
{
    if (!set->states || reader >= SERIES_READERS)
        return;
    for (uint32_t i = 0; i < set->instrument_count; i++) {
        if (!is_delta(&set->instruments[i], temporality))
            continue;
        for (struct series *s = set->states[i].first; s; s = s->next)
            if (s->offered >> reader & 1)
                mark_sent(s, reader);
    }
    set->collected[reader] = set->offered[reader];
}

void series_remember(struct series_set *set, unsigned reader, enum temporality temporality)
{
    if (!set->states || reader >= SERIES_READERS)
        return;
    set->before = set->collected[reader];
    for (uint32_t i = 0; i < set->instrument_count; i++) {
        const struct instrument *in = &set->instruments[i];
        for (struct series *s = set->states[i].first; s; s = s->next) {
            s->remembered = false;
            if (!is_delta(in, temporality) || !(s->offered >> reader & 1))
                continue;
            if (!s->before)
                s->before = malloc(value_size(in));
            if (s->before)
                memcpy(s->before, s->sent[reader], value_size(in));
            s->remembered = s->before != NULL;
        }
    }
}

static void put_back(const struct series_set *set, struct series *s, unsigned reader)
{
    struct series_value *sent = s->sent[reader];
    double min = sent->min, max = sent->max; /* since then */

    memcpy(sent, s->before, value_size(s->instrument));
    extremes(sent, min, max);
    if (!sent->since)
        sent->since = set->before ? set->before : set->start;
    s->remembered = false;
}

void series_back(struct series_set *set, unsigned reader, size_t from, size_t count)
{
    size_t at = 0;

    if (!set->states || reader >= SERIES_READERS)
        return;
    for (uint32_t i = 0; i < set->instrument_count; i++) {
        for (struct series *s = set->states[i].first; s; s = s->next) {
            if (!(s->offered >> reader & 1))
                continue;
            if (at >= from && at - from < count && s->remembered)
                put_back(set, s, reader);
            at++;
        }
    }
}

size_t series_collect(struct series_set *set, unsigned reader, enum temporality temporality,
                      uint64_t now, struct arena *arena, const struct metric **metrics)
{
    struct metric *out = arena_take(arena, set->instrument_count * sizeof(*out));
    size_t metric_count = 0;
    if (!out || !set->states || reader >= SERIES_READERS)
        return 0;
    for (uint32_t i = 0; i < set->instrument_count; i++) {
        const struct instrument *in = &set->instruments[i];
        struct instrument_state *state = &set->states[i];
        if (!state->count)
            continue;
        for (struct series *s = state->first; s; s = s->next)
            s->offered &= (uint8_t) ~(1u << reader);
        bool delta = is_delta(in, temporality);
        struct metric_point *points = arena_take(arena, state->count * sizeof(*points));
        if (!points)
            continue;
        size_t n = 0;
        for (struct series *s = state->first; s; s = s->next)
            if (point_fill(set, s, reader, delta, now, arena, &points[n]))
                n++;
        if (!n)
            continue;
        out[metric_count++] = (struct metric){
            .name = text_of(in->name),
            .unit = text_of(in->unit),
            .description = text_of(in->description),
            .scope = in->scope,
            .type = in->type,
            .temporality = delta ? TEMPORALITY_DELTA : TEMPORALITY_CUMULATIVE,
            .monotonic = in->monotonic,
            .points = points,
            .count = n,
        };
    }
    set->offered[reader] = now;
    *metrics = out;
    return metric_count;
}
