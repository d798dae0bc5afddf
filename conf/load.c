/*
 * One load from beginning to end: the defaults, then each source over the one before it.
 */
#include "conf/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TROUBLES_MAX = 100 };

void loader_trouble(struct loader *l, const char *origin, unsigned line, unsigned column,
                    const char *format, ...)
{
    char text[768];
    l->troubles++;
    if (!l->report || l->troubles > TROUBLES_MAX)
        return;
    if (l->troubles == TROUBLES_MAX) {
        snprintf(text, sizeof(text), "more troubles follow, which are not reported");
    } else {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
    }
    /* What is quoted may hold anything; a report is one line. */
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    l->report(l->context, &(struct conf_trouble){origin, line, column, text});
}

/* What the defaults need of the table, in a tenth of its memory: a process's start reads it cold.
 */
#define OPTION(name, kind, member, value, help, ...) \
    {.number = (value), .offset = offsetof(struct conf, member), .type = OPTION_##kind},
static const struct initial {
    uint64_t number;
    uint16_t offset;
    uint8_t type;
} initials[] = {
#include "conf/options.def"
};
#undef OPTION

const struct option *option_at(size_t offset)
{
    size_t i = 0;
    while (initials[i].offset != offset || initials[i].type == OPTION_SECTION ||
           initials[i].type == OPTION_CUSTOM)
        i++;
    return &options[i];
}

/* A list of the default's items; they stay where they are, in the library's own text. */
static void set_default_items(struct loader *l, const struct option *o)
{
    char *at = (char *)&l->to->conf + o->offset;
    size_t count = 0;
    const char *first = option_items(o);
    for (const char *item = first; *item; item += strlen(item) + 1)
        count++;
    if (o->type == OPTION_MATCHES) {
        struct conf_match *items = pool_take(&l->to->pool, count * sizeof(*items));
        for (size_t i = 0; items && i < count; i++, first += strlen(first) + 1)
            items[i].executable = (char *)first;
        *(struct conf_match **)(void *)at = items;
        *(size_t *)(void *)((char *)&l->to->conf + o->count_offset) = count;
    } else {
        char **items = pool_take(&l->to->pool, count * sizeof(*items));
        for (size_t i = 0; items && i < count; i++, first += strlen(first) + 1)
            items[i] = (char *)first;
        *(struct conf_list *)(void *)at = (struct conf_list){items, count};
    }
}

static void set_default(struct loader *l, size_t index)
{
    const struct initial *d = &initials[index];
    void *at = (char *)&l->to->conf + d->offset;
    switch (d->type) {
    case OPTION_SECTION:
    case OPTION_CUSTOM:
        break;
    case OPTION_BOOL:
        *(bool *)at = d->number != 0;
        break;
    case OPTION_CHOICE:
        *(unsigned *)at = (unsigned)d->number;
        break;
    case OPTION_COUNT:
    case OPTION_SIZE32:
        *(uint32_t *)at = (uint32_t)d->number;
        break;
    case OPTION_LIMIT:
        if (d->number != UNLIMITED)
            *(struct conf_limit *)at = (struct conf_limit){true, (uint32_t)d->number};
        break;
    case OPTION_SIZE:
    case OPTION_DURATION:
        *(uint64_t *)at = d->number;
        break;
    case OPTION_RATIO:
        *(double *)at = (double)d->number;
        break;
    case OPTION_TEXT:
    case OPTION_PATH:
    case OPTION_URL:
    case OPTION_ENDPOINT:
        if (d->number == EMPTY_KEPT)
            *(char **)at = (char *)"";
        break;
    default:
        if (d->number != LIST_NONE)
            set_default_items(l, &options[index]);
        break;
    }
}

bool loader_begin(struct loader *l, const struct conf_input *input, conf_report *report,
                  void *context)
{
    *l = (struct loader){.input = input, .report = report, .context = context};
    l->to = calloc(1, sizeof(*l->to));
    if (!l->to)
        return false;
    l->to->conf.origins = l->to;
    l->to->pool.at = l->to->first;
    l->to->pool.end = l->to->first + sizeof(l->to->first);
    for (size_t i = 0; i < sizeof(initials) / sizeof(initials[0]); i++)
        set_default(l, i);
    return true;
}

/*
 * service.name is said in one place only: the attribute moves to service_name, unless that comes
 * from a source at least as strong.
 */
static void settle_service_name(struct loader *l)
{
    struct conf *conf = &l->to->conf;
    struct conf_pairs *pairs = &conf->attributes;
    for (size_t i = 0; i < pairs->count; i++) {
        if (strcmp(pairs->items[i].key, "service.name") != 0)
            continue;
        struct origin *name = origin_note(l->to, option_find(0, "resource.service_name"));
        if (name && l->to->pair_origins[0][i].kind > name->kind) {
            conf->service_name = pairs->items[i].value;
            *name = l->to->pair_origins[0][i];
        }
        size_t after = --pairs->count - i;
        memmove(&pairs->items[i], &pairs->items[i + 1], after * sizeof(pairs->items[0]));
        memmove(&l->to->pair_origins[0][i], &l->to->pair_origins[0][i + 1],
                after * sizeof(struct origin));
        return;
    }
}

struct conf *loader_end(struct loader *l)
{
    bool failed = l->to->pool.failed || l->scratch.failed;
    if (!failed) {
        preset_apply(l);
        settle_service_name(l);
        otlp_settle(l);
        limits_settle(l);
        failed = l->to->pool.failed || l->scratch.failed;
    }
    pool_free(&l->scratch);
    if (failed) {
        conf_free(&l->to->conf);
        return NULL;
    }
    return &l->to->conf;
}

struct conf *conf_load(const struct conf_input *input, conf_report *report, void *context)
{
    struct loader l;
    if (!loader_begin(&l, input, report, context))
        return NULL;
    if (!input->privileged) {
        environment_otel(&l);
        file_search(&l);
        environment_scope(&l);
        environment_sets(&l);
    }
    return loader_end(&l);
}

void conf_free(struct conf *conf)
{
    if (!conf)
        return;
    struct loaded *loaded = conf->origins;
    pool_free(&loaded->pool);
    free(loaded);
}
