/* Retry-After in both forms, three of them dates, and all that is neither. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "transport/retry_after.h"

#define SECOND 1000000000ull
#define NOW (784111777ull * SECOND) /* Sun, 06 Nov 1994 08:49:37 GMT */

static void seconds_and_dates(void **state)
{
    (void)state;
    const struct {
        const char *value;
        uint64_t seconds;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"120", 120},
        {"0007", 7},
        {"Sun, 06 Nov 1994 08:49:38 GMT", 1},
        {"Sunday, 06-Nov-94 08:50:37 GMT", 60},
        {"Sun Nov  6 08:49:39 1994", 2},
        {"Wed Nov 16 08:49:37 1994", 10 * 86400},
        {"Tue, 07 Mar 1995 08:49:37 GMT", 121 * 86400},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 0}, /* now */
        {"Sun, 06 Nov 1994 08:49:36 GMT", 0}, /* passed */
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(retry_after(cases[i].value, NOW), cases[i].seconds * SECOND);
    assert_int_equal(retry_after("Sun, 06 Nov 1994 08:49:39 GMT", NOW + SECOND / 4),
                     2 * SECOND - SECOND / 4);
    /* A year of two digits is never more than 50 years ahead. */
    assert_int_equal(retry_after("Sunday, 06-Nov-93 08:50:37 GMT", NOW), 0);
}

static void what_is_huge_has_a_bound(void **state)
{
    (void)state;
    const char *const values[] = {"99999999", "18446744073709551616",
                                  "184467440737095516160000000000",
                                  "Fri, 31 Dec 9999 23:59:59 GMT"};

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        assert_int_equal(retry_after(values[i], NOW), RETRY_AFTER_MAX);
}

static void garbage_says_nothing(void **state)
{
    (void)state;
    const char *const values[] = {
        "",
        "-1",
        "+1",
        "1.5",
        "1s",
        " 1",
        "soon",
        "Sun",
        "Sun, ",
        "Sunday",
        "Sunday,",
        "Sun, 06 Nov 1995 08:49:37",
        "Sun, 06 Nov 1995 08:49:37 GMT ",
        "Sun, 6 Nov 1995 08:49:37 GMT",
        "Sun, 31 Feb 1995 08:49:37 GMT",
        "Sun, 00 Nov 1995 08:49:37 GMT",
        "Sun, 06 Nov 1995 24:00:00 GMT",
        "Sun, 06 Nov 1995 08:60:00 GMT",
        "Sun, 06 Now 1995 08:49:37 GMT",
        "Xxx, 06 Nov 1995 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1995",
        "Sun, 06 Nov 1969 08:49:37 GMT",
        "Sun, 06 Nov 1995 08:49:37 PST",
        "Sunday, 06-Nov-1995 08:49:37 GMT",
    };

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (retry_after(values[i], NOW) != 0)
            fail_msg("taken: %s", values[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seconds_and_dates),
        cmocka_unit_test(what_is_huge_has_a_bound),
        cmocka_unit_test(garbage_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
