/*
 * The StatsD encoder, plain and DogStatsD: metric points as lines, packed into datagrams. How each
 * kind of metric is sent, and why so, stands in docs/sinks.md. Logs and spans have no place in
 * StatsD.
 */
#include "report/sink.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry/number.h"

enum { UNIT_SIZE = 64 * 1024, TAGS_ROOM = 16 * 1024, NAME_ROOM = 4096 };

struct buffer {
    char *data;
    size_t length, room;
    bool full; /* something did not fit: what is there is not to be used */
};

struct encoding {
    const struct conf *conf;
    bool dog; /* DogStatsD: tags and the container; plain: their values in the name */
    struct buffer unit;
    struct buffer point;  /* the lines of the point at hand */
    struct buffer name;   /* its name with the prefix (and, plain, the tags) */
    struct buffer tags;   /* "|#a:b,c:d" of the point */
    struct buffer common; /* the tags that every point has, each with a comma (a dot) before it */
    struct buffer suffix; /* "|c:container|e:external" */
    const struct resource *resource;
    size_t unit_max, items, left_out;
    bool unsendable; /* the point at hand has a line that does not fit */
    sink_emit *emit;
    void *context;
};

/* ------------------------------------------------------------------ text */

static void put(struct buffer *b, const char *data, size_t length)
{
    if (b->full || b->room - b->length < length) {
        b->full = true;
        return;
    }
    if (length)
        memcpy(b->data + b->length, data, length);
    b->length += length;
}
#define PUT(b, literal) put(b, literal, sizeof(literal) - 1)

static void put_buffer(struct buffer *b, const struct buffer *from)
{
    b->full |= from->full;
    put(b, from->data, from->length);
}

static void put_number(struct buffer *b, double number)
{
    char out[NUMBER_PLAIN_MAX];

    put(b, out, number_plain(out, number));
}

static void put_signed(struct buffer *b, int64_t n)
{
    char out[NUMBER_INT_MAX];

    put(b, out, number_signed(out, n));
}

static bool is_word(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Names take letters, digits, underscores and (dots true) dots; all else becomes an underscore. */
static void put_name(struct buffer *b, struct text text, bool dots)
{
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.data[i];
        char out = is_word(c) || (dots && c == '.') ? (char)c : '_';
        put(b, &out, 1);
    }
}

/* In tags what separates becomes an underscore: in values a colon may stay (addresses, URLs). */
static void put_tag_text(struct buffer *b, struct text text, bool colon)
{
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool bad = c < 0x20 || c == 0x7f || c == '|' || c == ',' || c == '#' || c == '@' ||
                   (c == ':' && !colon);
        char out = bad ? '_' : (char)c;
        put(b, &out, 1);
    }
}

/* ------------------------------------------------------------------ tags */

/* ",key:value", or for plain StatsD ".key_value", a part of the name. An empty value is no tag. */
static void put_tag(const struct encoding *e, struct buffer *b, struct text key, struct text value)
{
    if (!value.length || !key.length)
        return;
    if (e->dog) {
        PUT(b, ",");
        put_tag_text(b, key, false);
        PUT(b, ":");
        put_tag_text(b, value, true);
    } else {
        PUT(b, ".");
        put_name(b, key, false);
        PUT(b, "_");
        put_name(b, value, false);
    }
}

static void put_attribute(const struct encoding *e, struct buffer *b, const struct attribute *a)
{
    char number[NUMBER_PLAIN_MAX];
    struct text value = {number, 0};

    switch (a->type) {
    case VALUE_TEXT:
        value = a->text;
        break;
    case VALUE_BOOL:
        value = a->boolean ? TEXT("true") : TEXT("false");
        break;
    case VALUE_INT:
        value.length = number_signed(number, a->integer);
        break;
    case VALUE_DOUBLE:
        if (isfinite(a->number))
            value.length = number_plain(number, a->number);
        break;
    case VALUE_TEXTS:
        for (size_t i = 0; i < a->texts.count; i++)
            put_tag(e, b, a->key, a->texts.items[i]);
        return;
    }
    put_tag(e, b, a->key, value);
}

static const struct attribute *find(const struct attributes *attributes, const char *key)
{
    for (size_t i = 0; i < attributes->count; i++) {
        if (text_is(attributes->items[i].key, key))
            return &attributes->items[i];
    }
    return NULL;
}

static bool is_tag(const struct conf *conf, const char *key)
{
    for (size_t i = 0; i < conf->tags.count; i++) {
        if (!strcmp(conf->tags.items[i].key, key))
            return true;
    }
    return false;
}

/*
 * The tags of the configuration, then the chosen attributes of the resource; each key once, and
 * none that the point has itself (NULL: no point).
 */
static void put_common(const struct encoding *e, struct buffer *b, const struct attributes *point)
{
    const struct conf *conf = e->conf;

    for (size_t i = 0; i < conf->tags.count; i++) {
        const struct conf_pair *tag = &conf->tags.items[i];
        if (!point || !find(point, tag->key))
            put_tag(e, b, text_of(tag->key), text_of(tag->value));
    }
    for (size_t i = 0; e->resource && i < conf->statsd_tags.count; i++) {
        const char *key = conf->statsd_tags.items[i];
        const struct attribute *a = find(&e->resource->attributes, key);
        if (a && !is_tag(conf, key) && (!point || !find(point, key)))
            put_attribute(e, b, a);
    }
    if (e->dog && conf->statsd_entity)
        put_tag(e, b, TEXT("dd.internal.entity_id"), text_of(conf->statsd_entity));
}

static bool has_common(const struct encoding *e, const struct attributes *point)
{
    for (size_t i = 0; i < point->count; i++) {
        for (size_t k = 0; k < e->conf->statsd_tags.count; k++) {
            if (text_is(point->items[i].key, e->conf->statsd_tags.items[k]))
                return true;
        }
        for (size_t k = 0; k < e->conf->tags.count; k++) {
            if (text_is(point->items[i].key, e->conf->tags.items[k].key))
                return true;
        }
    }
    return false;
}

/* What tells the agent where it comes from; `others` may stand in the value besides words. */
static void put_origin(struct buffer *b, const char *field, struct text value, const char *others)
{
    if (!value.length)
        return;
    put(b, field, strlen(field));
    for (size_t i = 0; i < value.length; i++) {
        char c = value.data[i];
        char out = is_word((unsigned char)c) || (c && strchr(others, c)) ? c : '_';
        put(b, &out, 1);
    }
}

/* The container, and what Datadog's admission controller has told the pod about itself. */
static void make_suffix(struct encoding *e)
{
    const struct attribute *container =
        e->resource ? find(&e->resource->attributes, "container.id") : NULL;

    if (!e->dog)
        return;
    if (container && container->type == VALUE_TEXT)
        put_origin(&e->suffix, "|c:", container->text, "-.");
    put_origin(&e->suffix, "|e:", text_of(e->conf->statsd_external), "-.,:/");
}

/* The name and the tags of one point. */
static void make_head(struct encoding *e, const struct metric *m, const struct metric_point *p)
{
    struct buffer *tags = &e->tags;

    e->name.length = tags->length = e->point.length = 0;
    e->name.full = tags->full = e->point.full = e->unsendable = false;
    if (e->conf->statsd_prefix)
        put_name(&e->name, text_of(e->conf->statsd_prefix), true);
    put_name(&e->name, m->name, true);
    for (size_t i = 0; i < p->attributes.count; i++)
        put_attribute(e, tags, &p->attributes.items[i]);
    if (has_common(e, &p->attributes))
        put_common(e, tags, &p->attributes);
    else
        put_buffer(tags, &e->common);
}

/* ------------------------------------------------------------------ lines */

/* "name[.part]:", to which a value follows. Plain: the tags stand behind the name. */
static void start_line(struct encoding *e, const char *part)
{
    put_buffer(&e->point, &e->name);
    put(&e->point, part, strlen(part));
    if (!e->dog)
        put_buffer(&e->point, &e->tags);
    PUT(&e->point, ":");
}

static void end_line(struct encoding *e, const char *type)
{
    struct buffer *b = &e->point;

    put(b, type, strlen(type));
    if (e->dog && e->tags.length) {
        PUT(b, "|#");
        b->full |= e->tags.full;
        put(b, e->tags.data + 1, e->tags.length - 1);
    }
    if (e->dog)
        put_buffer(b, &e->suffix);
    PUT(b, "\n");
}

static void number_line(struct encoding *e, const char *part, double number, const char *type)
{
    if (!isfinite(number))
        return;
    /* To a plain server "-5|g" means five less: a gauge below zero starts from zero. */
    if (!e->dog && number < 0 && !strcmp(type, "|g")) {
        start_line(e, part);
        PUT(&e->point, "0");
        end_line(e, type);
    }
    start_line(e, part);
    put_number(&e->point, number);
    end_line(e, type);
}

static void integer_line(struct encoding *e, const char *part, int64_t n, const char *type)
{
    if (!e->dog && n < 0 && !strcmp(type, "|g")) {
        start_line(e, part);
        PUT(&e->point, "0");
        end_line(e, type);
    }
    start_line(e, part);
    put_signed(&e->point, n);
    end_line(e, type);
}

/* ------------------------------------------------------------------ units */

static void emit_unit(struct encoding *e)
{
    if (e->unit.length)
        e->emit(e->context, e->unit.data, e->unit.length, e->items);
    e->unit.length = 0;
    e->items = 0;
}

/* Puts the lines that are ready into units, together where they fit together. */
static void pack_lines(struct encoding *e)
{
    const char *p = e->point.data, *end = p + e->point.length, *next;

    e->unsendable |= e->point.full;
    if (e->unit.length + e->point.length > e->unit_max)
        emit_unit(e);
    for (; p < end && !e->unsendable; p = next) {
        next = (const char *)memchr(p, '\n', (size_t)(end - p)) + 1;
        size_t length = (size_t)(next - p);
        if (length > e->unit_max) {
            e->unsendable = true;
            break;
        }
        if (e->unit.length + length > e->unit_max)
            emit_unit(e);
        put(&e->unit, p, length);
    }
    e->point.length = 0;
}

/* ------------------------------------------------------------------ points */

/* A plain server's timers are in milliseconds, and have no packing. */
static void timer_lines(struct encoding *e, const struct metric *m, const struct histogram *h)
{
    double factor = text_is(m->unit, "s") ? 1000 : 1;

    for (size_t i = 0; i < h->count; i++) {
        if (e->point.length > UNIT_SIZE / 2)
            pack_lines(e);
        number_line(e, "", h->values[i] * factor, "|ms");
    }
}

/* Every measurement itself: DogStatsD's packed values, as many to a line as a unit holds. */
static void distribution_lines(struct encoding *e, const struct histogram *h)
{
    size_t closing = sizeof("|d|#\n") + e->tags.length + e->suffix.length;
    size_t start = e->point.length;
    char out[NUMBER_PLAIN_MAX];

    for (size_t i = 0; i < h->count; i++) {
        if (!isfinite(h->values[i]))
            continue;
        size_t length = number_plain(out, h->values[i]);
        if (e->point.length > start &&
            e->point.length - start + 1 + length + closing > e->unit_max) {
            end_line(e, "|d");
            if (e->point.length > UNIT_SIZE / 2)
                pack_lines(e);
            start = e->point.length;
        }
        if (e->point.length == start)
            start_line(e, "");
        else
            PUT(&e->point, ":");
        put(&e->point, out, length);
    }
    if (e->point.length > start)
        end_line(e, "|d");
}

/* What can be said of any histogram without inventing measurements: `extremes` NULL: not known. */
static void summary_lines(struct encoding *e, bool delta, uint64_t count, double sum,
                          const double extremes[2])
{
    const char *type = delta ? "|c" : "|g";

    if (!count && delta)
        return; /* nothing was measured */
    integer_line(e, ".count", (int64_t)count, type);
    number_line(e, ".sum", sum, type);
    if (extremes) {
        number_line(e, ".min", extremes[0], "|g");
        number_line(e, ".max", extremes[1], "|g");
    }
}

static void exponential_lines(struct encoding *e, const struct metric *m,
                              const struct exponential *x)
{
    const double extremes[2] = {x->min, x->max};

    summary_lines(e, m->temporality == TEMPORALITY_DELTA, x->count, x->sum,
                  x->has_extremes ? extremes : NULL);
}

static void histogram_lines(struct encoding *e, const struct metric *m, const struct histogram *h)
{
    bool delta = m->temporality == TEMPORALITY_DELTA;
    const double extremes[2] = {h->min, h->max};

    summary_lines(e, delta, h->count, h->sum, h->has_extremes ? extremes : NULL);
    if (!h->values || !delta)
        return;
    if (e->dog)
        distribution_lines(e, h);
    else
        timer_lines(e, m, h);
}

/* One point: counted in the unit that has its last line, or as left out. */
static void encode_point(struct encoding *e, const struct metric *m, const struct metric_point *p)
{
    bool count = m->type == METRIC_SUM && m->temporality == TEMPORALITY_DELTA;
    bool number = m->type == METRIC_SUM || m->type == METRIC_GAUGE;
    const char *type = count ? "|c" : "|g";

    make_head(e, m, p);
    if (m->type == METRIC_HISTOGRAM)
        histogram_lines(e, m, &p->histogram);
    else if (m->type == METRIC_EXPONENTIAL)
        exponential_lines(e, m, &p->exponential);
    else if (p->is_int)
        integer_line(e, "", p->integer, type);
    else
        number_line(e, "", p->number, type);
    if (number && !e->point.length)
        e->unsendable = true; /* not a number: StatsD has no word for it */
    bool lines = e->point.length > 0;
    pack_lines(e);
    if (e->unsendable)
        e->left_out++;
    else if (lines)
        e->items++;
}

/* ------------------------------------------------------------------ batches */

static struct buffer part_of(char **memory, size_t room)
{
    struct buffer b = {.data = *memory, .room = room};

    *memory += room;
    return b;
}

static size_t statsd_encode(const struct batch *batch, const struct conf *conf, size_t unit_max,
                            sink_emit *emit, void *context)
{
    struct encoding e = {
        .conf = conf, .resource = batch->resource, .emit = emit, .context = context};
    size_t points = batch->signal == SIGNAL_METRICS ? batch_items(batch) : 0;

    if (!points)
        return 0;
    e.dog = conf->statsd_format == STATSD_DOGSTATSD;
    e.unit_max = unit_max < UNIT_SIZE ? unit_max : UNIT_SIZE;
    char *all = malloc(2 * UNIT_SIZE + NAME_ROOM + 2 * TAGS_ROOM + NAME_ROOM), *memory = all;
    if (!all)
        return points;
    e.unit = part_of(&memory, UNIT_SIZE);
    e.point = part_of(&memory, UNIT_SIZE);
    e.name = part_of(&memory, NAME_ROOM);
    e.tags = part_of(&memory, TAGS_ROOM);
    e.common = part_of(&memory, TAGS_ROOM);
    e.suffix = part_of(&memory, NAME_ROOM);

    put_common(&e, &e.common, NULL);
    make_suffix(&e);
    for (size_t i = 0; i < batch->count; i++) {
        for (size_t point = 0; point < batch->metrics[i].count; point++)
            encode_point(&e, &batch->metrics[i], &batch->metrics[i].points[point]);
    }
    emit_unit(&e);
    free(all);
    return e.left_out;
}

const struct sink_encoder statsd_encoder = {
    .name = "statsd",
    .temporality = TEMPORALITY_DELTA,
    .encode = statsd_encode,
};
