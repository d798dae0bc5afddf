/*
 * How values are written as YAML, for print.c and text.c. Uses stdio: for the scope command only,
 * never called inside a host.
 */
#ifndef SCOPE_CONF_WRITE_H
#define SCOPE_CONF_WRITE_H

#include "conf/internal.h"

/* The value of any option but a section, of `conf`, in flow style on one line. */
void write_value(FILE *out, const struct conf *conf, const struct option *o);
void write_text(FILE *out, const char *text);       /* quoted where it must be */
void write_pair_value(FILE *out, const char *text); /* `$` doubled: it begins ${NAME} otherwise */
/* The same, broken into lines of 100 columns that begin with `start`. */
void write_value_wrapped(FILE *out, const struct conf *conf, const struct option *o,
                         const char *first, const char *start);
const struct conf_pairs *write_pairs_of(const struct conf *conf, const struct option *o);
const char *option_leaf(const struct option *o);
int option_depth(const struct option *o); /* dots in the key */
const char *option_help(const struct option *o);

#endif
