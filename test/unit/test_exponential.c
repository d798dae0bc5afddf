/* Exponential histograms: where a value falls, and what is kept of an explicit one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "report/exponential.h"

/* The definition, with libm: above base^index, at most base^(index + 1). */
static void holds(double value, int scale)
{
    int32_t index = exponential_index(value, scale);
    double low = exp2(ldexp(index, -scale)), high = exp2(ldexp(index + 1.0, -scale));
    /* libm rounds at the bounds of fine scales: one part in 10^12 is given */
    assert_true(value > low * (1 - 1e-12));
    assert_true(value <= high * (1 + 1e-12));
}

static void values_fall_where_the_definition_says(void **state)
{
    (void)state;
    srandom(7);
    for (int i = 0; i < 20000; i++) {
        double value = ldexp((double)(random() + 1), (int)(random() % 60) - 45);
        for (int scale = -5; scale <= 20; scale++)
            holds(value, scale);
    }
}

static void powers_of_two_belong_below(void **state)
{
    (void)state;
    for (int e = -30; e <= 30; e++) {
        assert_int_equal(exponential_index(ldexp(1, e), 0), e - 1);
        assert_int_equal(exponential_index(ldexp(1, e), 4), e * 16 - 1);
        assert_int_equal(exponential_index(ldexp(1, e) * 1.0001, 0), e);
    }
    assert_int_equal(exponential_index(4, -1), 0);
    assert_int_equal(exponential_index(4.1, -1), 1);
}

static const struct exponential *convert(const struct histogram *h, struct arena *arena)
{
    struct metric_point p = {.histogram = *h};
    struct metric m = {.name = TEXT("m"), .type = METRIC_HISTOGRAM, .points = &p, .count = 1};
    const struct metric *out = exponential_metrics(&m, 1, arena);
    assert_non_null(out);
    assert_int_equal(out->type, METRIC_EXPONENTIAL);
    const struct exponential *e = &out->points[0].exponential;
    uint64_t sum = e->zero_count;
    for (size_t i = 0; i < e->bucket_count; i++)
        sum += e->buckets[i];
    assert_int_equal(sum, e->count);
    assert_int_equal(e->count, h->count);
    assert_true(e->sum == h->sum && e->min == h->min && e->max == h->max);
    assert_true(e->bucket_count <= EXPONENTIAL_SIZE_MAX);
    return e;
}

static void known_values_get_the_finest_scale(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    const double bounds[] = {1}, one[] = {0.003}, many[] = {0, 0.001, 0.25, 1000};
    const uint64_t buckets[] = {1, 0}, more[] = {3, 1};
    struct histogram h = {.count = 1, .sum = 0.003, .min = 0.003, .max = 0.003,
                          .has_extremes = true, .bounds = bounds, .buckets = buckets,
                          .bound_count = 1, .values = one};
    const struct exponential *e = convert(&h, arena);
    assert_int_equal(e->scale, EXPONENTIAL_SCALE_MAX);
    assert_int_equal(e->bucket_count, 1);
    assert_int_equal(e->offset, exponential_index(0.003, 20));
    h = (struct histogram){.count = 4, .sum = 1000.251, .min = 0, .max = 1000,
                           .has_extremes = true, .bounds = bounds, .buckets = more,
                           .bound_count = 1, .values = many};
    e = convert(&h, arena);
    assert_int_equal(e->zero_count, 1);
    assert_true(e->scale == 2 || e->scale == 3); /* 20 powers of two in 160 buckets */
    assert_int_equal(e->buckets[exponential_index(0.25, e->scale) - e->offset], 1);
    arena_free(arena);
}

static void buckets_keep_every_count_and_stay_within_the_extremes(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    const double bounds[] = {1e-6, 2e-6, 5e-6, 1, 10};
    const uint64_t buckets[] = {7, 0, 3, 2, 0, 1};
    struct histogram h = {.count = 13, .sum = 20, .min = 4e-7, .max = 17, .has_extremes = true,
                          .bounds = bounds, .buckets = buckets, .bound_count = 5};
    const struct exponential *e = convert(&h, arena);
    assert_int_equal(e->scale, 0);
    assert_true(e->offset >= exponential_index(4e-7, 0));
    assert_true(e->offset + (int32_t)e->bucket_count - 1 <= exponential_index(17, 0));
    const uint64_t none[6] = {0};
    h = (struct histogram){.bounds = bounds, .buckets = none, .bound_count = 5};
    e = convert(&h, arena);
    assert_int_equal(e->bucket_count, 0);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_fall_where_the_definition_says),
        cmocka_unit_test(powers_of_two_belong_below),
        cmocka_unit_test(known_values_get_the_finest_scale),
        cmocka_unit_test(buckets_keep_every_count_and_stay_within_the_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
