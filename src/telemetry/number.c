/*
 * Numbers as text: integers, and doubles in the fewest digits that read back as the same double.
 *
 * Most of our doubles are few decimal digits (durations of whole nanoseconds), which one division
 * proves; the rest is done exactly, digit by digit, with big integers (Steele and White's
 * free-format algorithm): slower, but right for every double and without tables.
 */
#include "telemetry/number.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* ------------------------------------------------------------------ integers */

size_t number_unsigned(char *out, uint64_t n)
{
    char digits[NUMBER_INT_MAX];
    size_t count = 0;

    do {
        digits[sizeof(digits) - ++count] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    memcpy(out, digits + sizeof(digits) - count, count);
    return count;
}

size_t number_signed(char *out, int64_t n)
{
    if (n >= 0)
        return number_unsigned(out, (uint64_t)n);
    *out = '-';
    return 1 + number_unsigned(out + 1, 0 - (uint64_t)n);
}

size_t number_padded(char *out, uint64_t n, unsigned digits)
{
    for (unsigned i = digits; i-- > 0; n /= 10)
        out[i] = (char)('0' + n % 10);
    return digits;
}

/* ------------------------------------------------------------------ big integers */

enum { LIMBS = 40 }; /* 2^1130 at most: the smallest double's denominator and some */

struct big {
    unsigned count; /* limbs in use; the top one is not 0 */
    uint32_t limb[LIMBS];
};

static void big_set(struct big *b, uint64_t n)
{
    b->limb[0] = (uint32_t)n;
    b->limb[1] = (uint32_t)(n >> 32);
    b->count = n >> 32 ? 2 : n ? 1 : 0;
}

static void big_multiply(struct big *b, uint32_t factor)
{
    uint64_t carry = 0;

    for (unsigned i = 0; i < b->count; i++) {
        carry += (uint64_t)b->limb[i] * factor;
        b->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry)
        b->limb[b->count++] = (uint32_t)carry;
}

static void big_power_of_ten(struct big *b, unsigned power)
{
    for (; power >= 9; power -= 9)
        big_multiply(b, 1000000000);
    for (; power; power--)
        big_multiply(b, 10);
}

static void big_shift(struct big *b, unsigned bits)
{
    unsigned whole = bits / 32, rest = bits % 32;

    if (!b->count || !bits)
        return;
    if (rest)
        big_multiply(b, 1u << rest);
    memmove(b->limb + whole, b->limb, b->count * sizeof(b->limb[0]));
    memset(b->limb, 0, whole * sizeof(b->limb[0]));
    b->count += whole;
}

static int big_compare(const struct big *a, const struct big *b)
{
    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    for (unsigned i = a->count; i-- > 0;) {
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i] ? -1 : 1;
    }
    return 0;
}

/* a + b against c */
static int big_compare_sum(const struct big *a, const struct big *b, const struct big *c)
{
    struct big sum = *a;
    uint64_t carry = 0;

    for (unsigned i = 0; i < sum.count || i < b->count || carry; i++) {
        if (i >= sum.count)
            sum.limb[sum.count++] = 0;
        carry += (uint64_t)sum.limb[i] + (i < b->count ? b->limb[i] : 0);
        sum.limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return big_compare(&sum, c);
}

static void big_subtract(struct big *a, const struct big *b)
{
    int64_t borrow = 0;

    for (unsigned i = 0; i < a->count; i++) {
        borrow += (int64_t)a->limb[i] - (i < b->count ? b->limb[i] : 0);
        a->limb[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
    while (a->count && !a->limb[a->count - 1])
        a->count--;
}

/* a / b for a quotient below 10; a keeps the remainder. */
static unsigned big_digit(struct big *a, const struct big *b)
{
    unsigned digit = 0;

    while (big_compare(a, b) >= 0) {
        big_subtract(a, b);
        digit++;
    }
    return digit;
}

/* ------------------------------------------------------------------ doubles */

/* value = 0.DDDD * 10^point: digits without leading or trailing zeros. */
struct decimal {
    char digits[24];
    int count;
    int point;
};

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/*
 * The cheap way: n / 10^k, both exact, is rounded once, just as a reader of "n e-k" rounds; if the
 * division gives the value back, so will the reader.
 */
static bool decimal_short(double value, struct decimal *d)
{
    static const unsigned char tries[] = {0, 3, 6, 9, 12, 15, 18};

    if (!(value < 9e15) || value < 1e-7)
        return false;
    for (unsigned i = 0; i < sizeof(tries); i++) {
        double scaled = value * powers[tries[i]];
        if (!(scaled < 9e15))
            return false;
        uint64_t n = (uint64_t)(scaled + 0.5);
        if (!n || (double)n / powers[tries[i]] != value)
            continue;
        int exponent = -(int)tries[i];
        while (n % 10 == 0) {
            n /= 10;
            exponent++;
        }
        d->count = (int)number_unsigned(d->digits, n);
        d->point = d->count + exponent;
        return d->count <= 15; /* 16 digits may not be the fewest */
    }
    return false;
}

/* value = r / s exactly; up and down are half the gaps to the neighbours, in the same units. */
struct ratio {
    struct big r, s, up, down;
    int exponent; /* 2^exponent <= value */
    bool even;    /* a tie reads back as this value */
};

static void ratio_start(double value, struct ratio *q)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    uint64_t mantissa = bits & ((1ull << 52) - 1);
    int exponent = (int)(bits >> 52 & 2047);
    bool narrow = !mantissa && exponent > 1; /* the lower neighbour is half as far away */

    if (exponent)
        mantissa |= 1ull << 52;
    else
        exponent = 1;
    exponent -= 1075;
    q->even = !(mantissa & 1);
    q->exponent = exponent + 63 - __builtin_clzll(mantissa);
    unsigned extra = narrow ? 2 : 1;
    big_set(&q->r, mantissa);
    big_set(&q->s, 1);
    big_set(&q->up, 1);
    big_set(&q->down, 1);
    big_shift(&q->r, extra + (exponent > 0 ? (unsigned)exponent : 0));
    big_shift(&q->s, extra + (exponent < 0 ? (unsigned)-exponent : 0));
    big_shift(&q->up, extra - 1 + (exponent > 0 ? (unsigned)exponent : 0));
    big_shift(&q->down, exponent > 0 ? (unsigned)exponent : 0);
}

static bool reaches(const struct ratio *q)
{
    int order = big_compare_sum(&q->r, &q->up, &q->s);

    return q->even ? order >= 0 : order > 0;
}

/* Scales so that r / s lies in [0.1, 1) (its upper neighbour taken along). Returns the power. */
static int ratio_scale(struct ratio *q)
{
    /* value >= 2^exponent, so its logarithm is at least this: the power is at most one too low. */
    double least = q->exponent * 0.30102999566398120 - 1e-10;
    int power = (int)least;

    if (least > power)
        power++;
    if (power >= 0) {
        big_power_of_ten(&q->s, (unsigned)power);
    } else {
        big_power_of_ten(&q->r, (unsigned)-power);
        big_power_of_ten(&q->up, (unsigned)-power);
        big_power_of_ten(&q->down, (unsigned)-power);
    }
    if (reaches(q)) {
        big_multiply(&q->s, 10);
        power++;
    }
    return power;
}

static void decimal_exact(double value, struct decimal *d)
{
    struct ratio q;
    bool low, high;

    ratio_start(value, &q);
    d->point = ratio_scale(&q);
    d->count = 0;
    for (;;) {
        big_multiply(&q.r, 10);
        big_multiply(&q.up, 10);
        big_multiply(&q.down, 10);
        unsigned digit = big_digit(&q.r, &q.s);
        int order = big_compare(&q.r, &q.down);
        low = q.even ? order <= 0 : order < 0;
        high = reaches(&q);
        if ((!low && !high) && d->count < 17) {
            d->digits[d->count++] = (char)('0' + digit);
            continue;
        }
        if (high && (!low || big_compare_sum(&q.r, &q.r, &q.s) > 0))
            digit++; /* at most 9: `reaches` was false before this digit */
        d->digits[d->count++] = (char)('0' + digit);
        break;
    }
    while (d->count > 1 && d->digits[d->count - 1] == '0')
        d->count--;
}

static void decimal_of(double value, struct decimal *d)
{
    if (value == 0) {
        d->digits[0] = '0';
        d->count = 1;
        d->point = 1;
    } else if (!decimal_short(value, d)) {
        decimal_exact(value, d);
    }
}

/* Digits with the point where it belongs; zeros on either side as needed. */
static size_t write_fixed(char *out, const struct decimal *d, bool always_point)
{
    char *p = out;

    if (d->point <= 0) {
        *p++ = '0';
        *p++ = '.';
        for (int i = d->point; i < 0; i++)
            *p++ = '0';
        memcpy(p, d->digits, (size_t)d->count);
        return (size_t)(p + d->count - out);
    }
    for (int i = 0; i < d->point; i++)
        *p++ = i < d->count ? d->digits[i] : '0';
    if (d->count > d->point) {
        *p++ = '.';
        for (int i = d->point; i < d->count; i++)
            *p++ = d->digits[i];
    } else if (always_point) {
        *p++ = '.';
        *p++ = '0';
    }
    return (size_t)(p - out);
}

static size_t write_exponent(char *out, const struct decimal *d)
{
    char *p = out;

    *p++ = d->digits[0];
    *p++ = '.';
    if (d->count == 1)
        *p++ = '0';
    memcpy(p, d->digits + 1, (size_t)(d->count - 1));
    p += d->count - 1;
    *p++ = 'e';
    return (size_t)(p - out) + number_signed(p, d->point - 1);
}

size_t number_double(char *out, double number)
{
    struct decimal d;
    size_t sign = signbit(number) ? 1 : 0;

    if (sign)
        *out = '-';
    decimal_of(fabs(number), &d);
    if (d.point > -5 && d.point <= 17)
        return sign + write_fixed(out + sign, &d, true);
    return sign + write_exponent(out + sign, &d);
}

size_t number_plain(char *out, double number)
{
    struct decimal d;
    size_t sign = number < 0 ? 1 : 0;

    if (sign)
        *out = '-';
    decimal_of(fabs(number), &d);
    return sign + write_fixed(out + sign, &d, false);
}
