/*
 * From explicit bounds to base-2 exponential histograms.
 */
#include "report/exponential.h"

#include <string.h>

/*
 * No libm inside a host program. frexp and the logarithm of a mantissa are all that is needed: the
 * fraction of the exponent is found bit by bit, squaring the mantissa: at most 20 steps.
 */
int32_t exponential_index(double value, int scale)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    int32_t exponent = (int32_t)(bits >> 52 & 0x7ff) - 1023;
    uint64_t fraction = bits & 0xfffffffffffffu;
    if (exponent == -1023) { /* subnormal: the lowest bucket of the normal ones */
        exponent = -1022;
        fraction = 0;
    }
    if (scale <= 0) {
        /* An exact power belongs below: bounds are inclusive above. */
        int32_t index = fraction ? exponent : exponent - 1;
        return index >> -scale;
    }
    bits = fraction | (uint64_t)1023 << 52;
    double mantissa; /* 1 <= mantissa < 2 */
    memcpy(&mantissa, &bits, sizeof(mantissa));
    int32_t index = exponent;
    for (int i = 0; i < scale; i++) {
        mantissa *= mantissa;
        index *= 2;
        if (mantissa >= 2) {
            mantissa /= 2;
            index++;
        }
    }
    return fraction || mantissa > 1 ? index : index - 1;
}

struct placed {
    double value;
    uint64_t count;
};

static double square_root(double v)
{
    return __builtin_sqrt(v);
}

/* What a bucket's measurements are taken to be. */
static double middle(const struct histogram *h, size_t b)
{
    double low = b ? h->bounds[b - 1] : 0;
    double high = b < h->bound_count ? h->bounds[b] : low;

    if (h->has_extremes && h->min > low)
        low = h->min;
    if (h->has_extremes && (b == h->bound_count || h->max < high))
        high = h->max;
    if (low <= 0)
        low = high / 2;
    return low < high ? square_root(low * high) : high;
}

/* Takes one measurement out of placed[at] and puts it where it is known to have been. */
static void move_one(struct placed *placed, size_t *n, size_t at, double value)
{
    if (placed[at].count == 1) {
        placed[at].value = value;
        return;
    }
    placed[at].count--;
    placed[(*n)++] = (struct placed){value, 1};
}

/* Room for bound_count + 3, or for count where every value is known. */
static size_t place(const struct histogram *h, struct placed *out)
{
    size_t n = 0;

    if (h->values) {
        for (uint64_t i = 0; i < h->count; i++)
            out[n++] = (struct placed){h->values[i], 1};
        return n;
    }
    for (size_t b = 0; b <= h->bound_count; b++)
        if (h->buckets[b])
            out[n++] = (struct placed){middle(h, b), h->buckets[b]};
    /* The smallest and the largest are known. */
    size_t last = n - 1;
    if (n && h->has_extremes && h->count > 1)
        move_one(out, &n, last, h->max);
    if (n && h->has_extremes)
        move_one(out, &n, 0, h->min);
    return n;
}

/* The finest scale at which all of it lies within the size limit. */
static int choose_scale(double low, double high, bool exact)
{
    int scale = exact ? EXPONENTIAL_SCALE_MAX : 0;

    while ((int64_t)exponential_index(high, scale) - exponential_index(low, scale) >=
           EXPONENTIAL_SIZE_MAX)
        scale--;
    return scale;
}

static bool convert(const struct histogram *h, struct arena *arena, struct exponential *out)
{
    size_t room = h->values ? (size_t)h->count : h->bound_count + 3;
    struct placed *placed = arena_take(arena, (room ? room : 1) * sizeof(*placed));
    double low = 0, high = 0;

    if (!placed)
        return false;
    size_t n = place(h, placed);
    struct exponential e = {.count = h->count,
                            .sum = h->sum,
                            .min = h->min,
                            .max = h->max,
                            .has_extremes = h->has_extremes};
    for (size_t i = 0; i < n; i++) {
        if (placed[i].value <= 0) {
            e.zero_count += placed[i].count;
            continue;
        }
        low = low == 0 || placed[i].value < low ? placed[i].value : low;
        high = placed[i].value > high ? placed[i].value : high;
    }
    if (high > 0) {
        e.scale = choose_scale(low, high, h->values != NULL);
        e.offset = exponential_index(low, e.scale);
        e.bucket_count = (size_t)(exponential_index(high, e.scale) - e.offset) + 1;
        uint64_t *buckets = arena_take(arena, e.bucket_count * sizeof(*buckets));
        if (!buckets)
            return false;
        for (size_t i = 0; i < n; i++)
            if (placed[i].value > 0)
                buckets[exponential_index(placed[i].value, e.scale) - e.offset] += placed[i].count;
        e.buckets = buckets;
    }
    *out = e;
    return true;
}

const struct metric *exponential_metrics(const struct metric *metrics, size_t count,
                                         struct arena *arena)
{
    struct metric *out = arena_take(arena, (count ? count : 1) * sizeof(*out));

    for (size_t i = 0; out && i < count; i++) {
        out[i] = metrics[i];
        if (metrics[i].type != METRIC_HISTOGRAM)
            continue;
        struct metric_point *points = arena_take(arena, metrics[i].count * sizeof(*points));
        if (!points)
            return NULL;
        for (size_t k = 0; k < metrics[i].count; k++) {
            points[k] = metrics[i].points[k];
            if (!convert(&metrics[i].points[k].histogram, arena, &points[k].exponential))
                return NULL;
        }
        out[i].type = METRIC_EXPONENTIAL;
        out[i].points = points;
    }
    return out;
}
