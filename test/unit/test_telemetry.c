/* The data model's helpers: arena, attribute lists, text, numbers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry/number.h"
#include "telemetry/telemetry.h"

static void arena_gives_zeroed_aligned_memory_up_to_its_limit(void **state)
{
    (void)state;
    struct arena *a = arena_new(100000);
    size_t taken = 0;
    unsigned char *p;

    for (int round = 0; round < 3; round++) {
        taken = 0;
        for (size_t size = 1; (p = arena_take(a, size)); size = size * 3 % 9001 + 1) {
            assert_int_equal((uintptr_t)p % 16, 0);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(p[i], 0);
            memset(p, 0xaa, size);
            taken += size;
        }
        assert_in_range(taken, 60000, 100000);
        arena_reset(a);
    }
    assert_non_null(arena_take(a, 90000)); /* bigger than any block */
    assert_null(arena_take(a, 90000));
    assert_null(arena_take(a, SIZE_MAX - 3));
    arena_free(a);
    arena_free(NULL);
}

static void arena_copies_and_formats(void **state)
{
    (void)state;
    struct arena *a = arena_new(1 << 16);
    char big[3001];
    memset(big, 'x', 3000);
    big[3000] = '\0';

    assert_true(text_is(arena_copy(a, "ab\0c", 2), "ab"));
    assert_int_equal(arena_copy(a, NULL, 0).length, 0);
    assert_true(text_is(arena_format(a, "%d-%s", 7, "x"), "7-x"));
    struct text t = arena_format(a, "%s!", big);
    assert_int_equal(t.length, 3001);
    assert_memory_equal(t.data, big, 3000);
    assert_int_equal(t.data[3000], '!');
    arena_free(a);
}

static void attributes_replace_the_same_key(void **state)
{
    (void)state;
    struct arena *a = arena_new(1 << 16);
    struct attribute_list list = {.arena = a};
    static char keys[40][16];
    char other[] = "k3"; /* equal text elsewhere */

    for (int i = 0; i < 40; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%d", i);
        attributes_int(&list, keys[i], i);
    }
    attributes_text(&list, other, TEXT("three"));
    attributes_bool(&list, keys[4], true);
    attributes_double(&list, keys[5], 0.5);
    struct attributes done = attributes_done(&list);
    assert_int_equal(done.count, 40);
    assert_int_equal(done.items[3].type, VALUE_TEXT);
    assert_true(text_is(done.items[3].text, "three"));
    assert_true(done.items[4].boolean);
    assert_int_equal(done.items[39].integer, 39);
    assert_int_equal(done.dropped, 0);
    arena_free(a);
}

static void attributes_beyond_the_arena_are_counted(void **state)
{
    (void)state;
    struct arena *a = arena_new(8 * sizeof(struct attribute));
    struct attribute_list list = {.arena = a};
    static char keys[10][16];

    for (int i = 0; i < 10; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%d", i);
        attributes_int(&list, keys[i], i);
    }
    struct attributes done = attributes_done(&list);
    assert_int_equal(done.count, 8);
    assert_int_equal(done.dropped, 2);
    arena_free(a);
}

static void text_compares(void **state)
{
    (void)state;
    assert_int_equal(text_of(NULL).length, 0);
    assert_true(text_is(text_of(NULL), ""));
    assert_true(text_is(TEXT("abc"), "abc"));
    assert_false(text_is(TEXT("abc"), "abd"));
    assert_false(text_is(TEXT("ab"), "abc"));
}

/* ------------------------------------------------------------------ numbers */

static void integers_are_exact(void **state)
{
    (void)state;
    const int64_t numbers[] = {0, 1, -1, 10, 1ll << 53, (1ll << 53) + 1, INT64_MAX, INT64_MIN};
    char out[64], want[64];

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        out[number_signed(out, numbers[i])] = '\0';
        snprintf(want, sizeof(want), "%lld", (long long)numbers[i]);
        assert_string_equal(out, want);
    }
    out[number_unsigned(out, UINT64_MAX)] = '\0';
    assert_string_equal(out, "18446744073709551615");
    out[number_padded(out, 42, 9)] = '\0';
    assert_string_equal(out, "000000042");
}

/* Digits of a decimal without zeros at either end. */
static int digits(const char *s)
{
    int n = 0, zeros = 0;

    for (; *s && *s != 'e'; s++) {
        if (*s < '0' || *s > '9' || (!n && *s == '0'))
            continue;
        n++;
        zeros = *s == '0' ? zeros + 1 : 0;
    }
    return n - zeros;
}

static void check_double(double v)
{
    char out[NUMBER_PLAIN_MAX + 1], shortest[64];
    int precision = 0;

    size_t n = number_double(out, v);
    assert_in_range(n, 3, NUMBER_DOUBLE_MAX);
    out[n] = '\0';
    assert_true(strtod(out, NULL) == v);
    assert_non_null(strpbrk(out, ".e"));
    do
        snprintf(shortest, sizeof(shortest), "%.*e", precision, v);
    while (precision++ < 17 && strtod(shortest, NULL) != v);
    assert_true(digits(out) <= digits(shortest));

    n = number_plain(out, v);
    assert_in_range(n, 1, NUMBER_PLAIN_MAX);
    out[n] = '\0';
    assert_true(strtod(out, NULL) == v);
    assert_null(strpbrk(out, "eE"));
}

static void doubles_read_back_in_the_fewest_digits(void **state)
{
    (void)state;
    const double odd[] = {0.1 + 0.2, 1e23,    5e-324,   DBL_MIN,    DBL_MAX, 9007199254740993.0,
                          0.3,       1e21,    1e22,     123456.789, 4.35,    9.5,
                          1.0 / 3,   2.0 / 3, 1e15,     1e16,       1e17,    1e-5,
                          5e-7,      99.95,   0.000001, 1e-9,       1e100,   -2.5};
    uint64_t x = 88172645463325252u;

    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        check_double(odd[i]);
    for (int i = 0; i < 60000; i++) {
        double v;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        if (i % 3 == 0)
            v = (double)(x % 10000000000u) / 1e9;
        else if (i % 3 == 1)
            v = ldexp((double)(x >> 11), -48 - (int)(x % 40));
        else
            memcpy(&v, &x, sizeof(v));
        if (isfinite(v))
            check_double(v);
    }
}

static void doubles_look_as_documented(void **state)
{
    (void)state;
    const struct {
        double v;
        const char *text, *plain;
    } cases[] = {{5, "5.0", "5"},
                 {0, "0.0", "0"},
                 {-0.0, "-0.0", "0"},
                 {0.000123456, "0.000123456", "0.000123456"},
                 {1e-9, "1.0e-9", "0.000000001"},
                 {-1.5e300, "-1.5e300", NULL},
                 {1e16, "10000000000000000.0", "10000000000000000"}};
    char out[NUMBER_PLAIN_MAX + 1];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        out[number_double(out, cases[i].v)] = '\0';
        assert_string_equal(out, cases[i].text);
        out[number_plain(out, cases[i].v)] = '\0';
        if (cases[i].plain)
            assert_string_equal(out, cases[i].plain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_gives_zeroed_aligned_memory_up_to_its_limit),
        cmocka_unit_test(arena_copies_and_formats),
        cmocka_unit_test(attributes_replace_the_same_key),
        cmocka_unit_test(attributes_beyond_the_arena_are_counted),
        cmocka_unit_test(text_compares),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(doubles_read_back_in_the_fewest_digits),
        cmocka_unit_test(doubles_look_as_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
