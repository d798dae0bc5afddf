/*
 * Retry-After: how long a server wants to be left alone. Parsed here, for libc's parsers know
 * locales and time zones.
 */
#include "transport/retry_after.h"

#include <stdbool.h>
#include <string.h>

static const uint64_t SECOND = 1000000000u;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Exactly `count` digits. */
static bool digits(const char **p, unsigned count, int *out)
{
    int n = 0;

    for (unsigned i = 0; i < count; i++, (*p)++) {
        if (!is_digit(**p))
            return false;
        n = n * 10 + (**p - '0');
    }
    *out = n;
    return true;
}

static bool text(const char **p, const char *wanted)
{
    size_t n = strlen(wanted);

    if (strncmp(*p, wanted, n) != 0)
        return false;
    *p += n;
    return true;
}

static bool month(const char **p, int *out)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (int i = 0; i < 12; i++) {
        if (!strncmp(*p, names + i * 3, 3)) {
            *p += 3;
            *out = i + 1;
            return true;
        }
    }
    return false;
}

struct date {
    int year, month, day, hour, minute, second;
};

static bool time_of_day(const char **p, struct date *d)
{
    return digits(p, 2, &d->hour) && text(p, ":") && digits(p, 2, &d->minute) && text(p, ":") &&
           digits(p, 2, &d->second) && d->hour < 24 && d->minute < 60 && d->second <= 60;
}

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in(int year, int m)
{
    static const char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[m - 1] + (m == 2 && is_leap(year));
}

static int64_t seconds_of(const struct date *d)
{
    int64_t days = 0;

    for (int y = 1970; y < d->year; y++)
        days += 365 + is_leap(y);
    for (int m = 1; m < d->month; m++)
        days += days_in(d->year, m);
    days += d->day - 1;
    return ((days * 24 + d->hour) * 60 + d->minute) * 60 + d->second;
}

/* Two digits of a year: the one that is at most 50 years ahead (RFC 9110, 5.6.7). */
static int full_year(int two, uint64_t now)
{
    int this_year = 1970 + (int)(now / SECOND / 31556952);
    int year = this_year - this_year % 100 + two;

    return year > this_year + 50 ? year - 100 : year;
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool fixed_form(const char *p, struct date *d)
{
    return text(&p, ", ") && digits(&p, 2, &d->day) && text(&p, " ") && month(&p, &d->month) &&
           text(&p, " ") && digits(&p, 4, &d->year) && text(&p, " ") && time_of_day(&p, d) &&
           text(&p, " GMT") && !*p;
}

/* Sunday, 06-Nov-94 08:49:37 GMT, behind the name of the day */
static bool old_form(const char *p, struct date *d, uint64_t now)
{
    int two;

    if (!(text(&p, ", ") && digits(&p, 2, &d->day) && text(&p, "-") && month(&p, &d->month) &&
          text(&p, "-") && digits(&p, 2, &two) && text(&p, " ") && time_of_day(&p, d) &&
          text(&p, " GMT") && !*p))
        return false;
    d->year = full_year(two, now);
    return true;
}

/* Sun Nov  6 08:49:37 1994 */
static bool asctime_form(const char *p, struct date *d)
{
    if (!(text(&p, " ") && month(&p, &d->month) && text(&p, " ")))
        return false;
    bool one = text(&p, " ");
    return digits(&p, one ? 1 : 2, &d->day) && text(&p, " ") && time_of_day(&p, d) &&
           text(&p, " ") && digits(&p, 4, &d->year) && !*p;
}

static bool parse_date(const char *value, uint64_t now, struct date *d)
{
    static const char *const names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
    bool known = false;

    for (unsigned i = 0; i < 7 && !known; i++) {
        const char *p = value;
        if (text(&p, names[i])) {
            known = old_form(p, d, now);
        } else if (!strncmp(value, names[i], 3)) {
            known = fixed_form(value + 3, d) || asctime_form(value + 3, d);
        }
    }
    return known && d->year >= 1970 && d->day >= 1 && d->day <= days_in(d->year, d->month);
}

uint64_t retry_after(const char *value, uint64_t now)
{
    struct date d = {0};
    uint64_t n = 0;
    const char *p = value;

    if (is_digit(*p)) {
        for (; is_digit(*p); p++) {
            if (n < RETRY_AFTER_MAX)
                n = n * 10 + (uint64_t)(*p - '0');
        }
        if (*p)
            return 0;
        return n < RETRY_AFTER_MAX / SECOND ? n * SECOND : RETRY_AFTER_MAX;
    }
    if (!parse_date(value, now, &d))
        return 0;
    int64_t at = seconds_of(&d);
    if (at <= (int64_t)(now / SECOND))
        return 0;
    n = (uint64_t)at - now / SECOND;
    return n < RETRY_AFTER_MAX / SECOND ? n * SECOND - now % SECOND : RETRY_AFTER_MAX;
}
