/*
 * Include and exclude lists of regular expressions, matched within limits.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/fold_filter.h"
#include "report/report.h"

enum {
    MATCH_LIMIT = 5000, /* backtracking steps for one start */
    DEPTH_LIMIT = 1000,
    HEAP_LIMIT_KIB = 512,
    STRIKES = 3,              /* a pattern that hit a limit so often is switched off */
    SLOW_NANO = 50 * 1000000, /* one match that took this long is a strike too */
    TIMED_FROM = 256,         /* shorter subjects are not timed */
    TROUBLES_MAX = 64,
};

struct pattern {
    pcre2_code *code;
    const char *text; /* a copy */
    unsigned strikes;
};

struct filter {
    struct pattern *patterns; /* includes, then excludes */
    size_t includes, count;
    pcre2_match_context *context;
    pcre2_match_data *data;
    const char *origin;
    struct trouble_list *troubles;
};

void trouble_add(struct trouble_list *list, const char *origin, const char *format, ...)
{
    if (list->count >= TROUBLES_MAX)
        return;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    char *copy = strdup(text);
    struct conf_trouble *items = realloc(list->items, (list->count + 1) * sizeof(*items));
    if (items)
        list->items = items;
    if (!items || !copy) {
        free(copy);
        return;
    }
    items[list->count++] = (struct conf_trouble){.origin = origin, .text = copy};
}

void trouble_take(struct trouble_list *list, conf_report *report, void *context)
{
    for (size_t i = 0; i < list->count; i++) {
        if (report)
            report(context, &list->items[i]);
        free((char *)(uintptr_t)list->items[i].text);
    }
    free(list->items);
    *list = (struct trouble_list){0};
}

static void compile(struct filter *f, const struct conf_list *list, const char *which)
{
    for (size_t i = 0; i < list->count; i++) {
        int error = 0;
        PCRE2_SIZE at = 0;
        pcre2_code *code = pcre2_compile((PCRE2_SPTR)list->items[i], PCRE2_ZERO_TERMINATED,
                                         PCRE2_NEVER_UTF, &error, &at, NULL);
        char *text = code ? strdup(list->items[i]) : NULL;
        if (code && text) {
            f->patterns[f->count++] = (struct pattern){.code = code, .text = text};
            continue;
        }
        if (code) {
            pcre2_code_free(code);
            continue;
        }
        char reason[256] = "";
        pcre2_get_error_message(error, (PCRE2_UCHAR *)reason, sizeof(reason));
        trouble_add(f->troubles, f->origin,
                    "%s: '%.200s' is no regular expression: %s at offset %zu; it is ignored", which,
                    list->items[i], reason, (size_t)at);
    }
}

struct filter *filter_new(const struct conf_list *include, const struct conf_list *exclude,
                          const char *origin, struct trouble_list *troubles)
{
    size_t room = include->count + exclude->count;
    if (!room)
        return NULL;
    struct filter *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->origin = origin;
    f->troubles = troubles;
    f->patterns = calloc(room, sizeof(*f->patterns));
    f->context = pcre2_match_context_create(NULL);
    f->data = pcre2_match_data_create(1, NULL);
    if (!f->patterns || !f->context || !f->data) {
        filter_free(f);
        return NULL;
    }
    pcre2_set_match_limit(f->context, MATCH_LIMIT);
    pcre2_set_depth_limit(f->context, DEPTH_LIMIT);
    pcre2_set_heap_limit(f->context, HEAP_LIMIT_KIB);
    compile(f, include, "include");
    f->includes = f->count;
    compile(f, exclude, "exclude");
    if (!f->count) {
        filter_free(f);
        return NULL;
    }
    return f;
}

void filter_free(struct filter *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->count; i++) {
        pcre2_code_free(f->patterns[i].code);
        free((char *)(uintptr_t)f->patterns[i].text);
    }
    free(f->patterns);
    pcre2_match_context_free(f->context);
    pcre2_match_data_free(f->data);
    free(f);
}

static void strike(struct filter *f, struct pattern *p)
{
    if (++p->strikes == STRIKES)
        trouble_add(f->troubles, f->origin,
                    "'%.200s' takes too many steps to match; it is switched off", p->text);
}

/* 1 matches, 0 does not, -1 cannot tell. */
static int match(struct filter *f, struct pattern *p, struct text subject)
{
    if (p->strikes >= STRIKES)
        return -1;
    bool timed = subject.length >= TIMED_FROM;
    uint64_t before = timed ? now_mono() : 0;
    int rc = pcre2_match(p->code, (PCRE2_SPTR)(subject.data ? subject.data : ""), subject.length, 0,
                         0, f->data, f->context);
    if (timed && now_mono() - before > SLOW_NANO)
        strike(f, p);
    if (rc >= 0)
        return 1;
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    strike(f, p);
    return -1;
}

bool filter_pass(struct filter *f, struct text subject)
{
    if (!f)
        return true;
    bool wanted = f->includes == 0;
    for (size_t i = 0; i < f->includes && !wanted; i++)
        wanted = match(f, &f->patterns[i], subject) != 0;
    for (size_t i = f->includes; i < f->count && wanted; i++)
        wanted = match(f, &f->patterns[i], subject) != 1;
    return wanted;
}
