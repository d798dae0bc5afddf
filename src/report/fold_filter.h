/*
 * Include and exclude lists of regular expressions (PCRE2, unanchored, bytes), compiled on the
 * reporter's thread with our own malloc, matched by PCRE2's interpreter within limits, so that no
 * pattern can hold up the reporter: one that keeps hitting a limit is switched off and reported.
 * A filter that cannot tell lets the subject pass: nothing is lost because of a pattern.
 */
#ifndef SCOPE_REPORT_FOLD_FILTER_H
#define SCOPE_REPORT_FOLD_FILTER_H

#include "conf/conf.h"
#include "telemetry/telemetry.h"

/* What is wrong with patterns, each once, until somebody takes it. */
struct trouble_list {
    struct conf_trouble *items; /* text is malloc'ed, origin static */
    size_t count;
};
void trouble_add(struct trouble_list *list, const char *origin, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void trouble_take(struct trouble_list *list, conf_report *report, void *context);

struct filter;
/*
 * NULL when both lists are empty (everything passes) or without memory. origin: the option's name,
 * static text, such as "events.file"; troubles go to the list, which must outlive the filter.
 */
struct filter *filter_new(const struct conf_list *include, const struct conf_list *exclude,
                          const char *origin, struct trouble_list *troubles);
void filter_free(struct filter *f);

/* Whether the subject is wanted: it matches an include (or there is none), and no exclude. */
bool filter_pass(struct filter *f, struct text subject);

#endif
