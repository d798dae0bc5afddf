/*
 * Retry-After: how long a server asks to be left alone (RFC 9110 10.2.3).
 */
#include "transport/http_client.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t SECOND = 1000000000u;

/* Reads `count` digits, or as many as there are where count is 0. -1: there are none. */
static int64_t digits(const char **p, unsigned count)
{
    int64_t n = 0;
    unsigned got = 0;

    while (**p >= '0' && **p <= '9' && (!count || got < count)) {
        if (n < INT64_MAX / 100)
            n = n * 10 + (**p - '0');
        (*p)++;
        got++;
    }
    return got && (!count || got == count) ? n : -1;
}

static bool skip(const char **p, const char *what)
{
    size_t length = strlen(what);

    if (strncmp(*p, what, length) != 0)
        return false;
    *p += length;
    return true;
}

static int month_of(const char **p)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (int i = 0; i < 12; i++) {
        if (!strncmp(*p, names + 3 * i, 3)) {
            *p += 3;
            return i + 1;
        }
    }
    return 0;
}

struct date {
    int64_t year, month, day, hour, minute, second;
};

static bool time_of_day(const char **p, struct date *d)
{
    d->hour = digits(p, 2);
    if (d->hour < 0 || !skip(p, ":"))
        return false;
    d->minute = digits(p, 2);
    if (d->minute < 0 || !skip(p, ":"))
        return false;
    d->second = digits(p, 2);
    return d->second >= 0;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994". */
static bool parse_date(const char *p, struct date *d, int64_t year_now)
{
    size_t name = strcspn(p, ", ");
    bool comma = p[name] == ',';

    if (name < 3 || name > 9 || !p[name])
        return false;
    p += name + (comma ? 2 : 1);
    if (!comma) {
        d->month = month_of(&p);
        if (!d->month || !skip(&p, " "))
            return false;
        skip(&p, " ");
        d->day = digits(&p, 0);
        if (d->day < 0 || !skip(&p, " ") || !time_of_day(&p, d) || !skip(&p, " "))
            return false;
        d->year = digits(&p, 4);
        return d->year >= 0 && !*p;
    }
    d->day = digits(&p, 2);
    bool dashes = *p == '-';
    if (d->day < 0 || !skip(&p, dashes ? "-" : " "))
        return false;
    d->month = month_of(&p);
    if (!d->month || !skip(&p, dashes ? "-" : " "))
        return false;
    d->year = digits(&p, dashes ? 2 : 4);
    if (d->year < 0)
        return false;
    if (dashes) { /* what seems more than fifty years ahead is past */
        d->year += year_now / 100 * 100;
        if (d->year > year_now + 50)
            d->year -= 100;
    }
    return skip(&p, " ") && time_of_day(&p, d) && !strcmp(p, " GMT");
}

/* Days since 1970-01-01 of a date in the Gregorian calendar. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t shifted = (month + 9) % 12; /* from March on, so that February's end is the year's */
    int64_t of_year = (153 * shifted + 2) / 5 + day - 1;

    return 365 * y + y / 4 - y / 100 + y / 400 + of_year - 719468;
}

uint64_t retry_after_parse(const char *value, uint64_t now)
{
    const char *p = value;
    struct date d = {0};

    int64_t seconds = digits(&p, 0);
    if (seconds >= 0) {
        if (*p)
            return 0;
        return (uint64_t)seconds > UINT64_MAX / SECOND ? UINT64_MAX : (uint64_t)seconds * SECOND;
    }
    int64_t year_now = 1970 + (int64_t)(now / SECOND / 31556952);
    if (!parse_date(value, &d, year_now) || d.day < 1 || d.day > 31 || d.hour > 23 ||
        d.minute > 59 || d.second > 60 || d.year < 1970)
        return 0;
    int64_t then =
        days_of(d.year, d.month, d.day) * 86400 + d.hour * 3600 + d.minute * 60 + d.second;
    int64_t left = then - (int64_t)(now / SECOND);
    return left > 0 ? (uint64_t)left * SECOND : 0;
}
