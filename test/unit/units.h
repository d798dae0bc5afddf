/*
 * What tests of encoders of lines share: the units that came, one behind the other.
 */
#ifndef SCOPE_TEST_UNITS_H
#define SCOPE_TEST_UNITS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "report/sink.h"

static struct {
    char *data; /* NUL-ended */
    size_t length, units, items, biggest;
} got;

/* For sink_encoder.encode: whole lines, and no unit of nothing. */
static void collect(void *context, const void *data, size_t length, size_t items)
{
    (void)context;
    assert_true(length > 0);
    assert_int_equal(((const char *)data)[length - 1], '\n');
    got.data = realloc(got.data, got.length + length + 1);
    memcpy(got.data + got.length, data, length);
    got.length += length;
    got.data[got.length] = '\0';
    got.units++;
    got.items += items;
    if (length > got.biggest)
        got.biggest = length;
}

/* A batch, through `encoder`, into `got`; conf NULL: one with nothing set. */
static size_t encode_with(const struct sink_encoder *encoder, const struct batch *batch,
                          const struct conf *conf, size_t unit_max)
{
    static const struct conf none;

    free(got.data);
    memset(&got, 0, sizeof(got));
    got.data = strdup("");
    return encoder->encode(batch, conf ? conf : &none, unit_max, collect, NULL);
}

/* How many lines came. */
static inline size_t lines(void)
{
    size_t n = 0;

    for (size_t i = 0; i < got.length; i++)
        n += got.data[i] == '\n';
    return n;
}

static struct attribute text_attribute(const char *key, const char *value)
{
    struct attribute a = {.key = text_of(key), .type = VALUE_TEXT};
    a.text = text_of(value);
    return a;
}

#endif
