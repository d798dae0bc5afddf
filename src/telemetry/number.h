/*
 * Numbers as text, the same on every machine: the program's locale has no say. Pure functions; each
 * returns the length written and ends nothing with NUL.
 */
#ifndef SCOPE_TELEMETRY_NUMBER_H
#define SCOPE_TELEMETRY_NUMBER_H

#include <stddef.h>
#include <stdint.h>

enum { NUMBER_INT_MAX = 20, NUMBER_DOUBLE_MAX = 32, NUMBER_PLAIN_MAX = 352 };

size_t number_unsigned(char *out, uint64_t n); /* at most NUMBER_INT_MAX bytes */
size_t number_signed(char *out, int64_t n);
size_t number_padded(char *out, uint64_t n, unsigned digits); /* exactly `digits`, leading zeros */

/*
 * The fewest digits that read back as the same finite double (not for NaN and infinities). Always
 * with a point or an exponent, so that a reader keeps the type: 5.0, 0.0001, 1.5e-9, 1.0e300. At
 * most NUMBER_DOUBLE_MAX bytes.
 */
size_t number_double(char *out, double number);

/* The same digits without an exponent or a needless ".0". At most NUMBER_PLAIN_MAX bytes. */
size_t number_plain(char *out, double number);

#endif
