/*
 * The process as a span: its ids, whose child it is and when it began, at the start, after an exec
 * and in a forked child; and the seed that all ids are drawn from.
 */
#include <string.h>
#include <sys/auxv.h>

#include "conf/conf.h"
#include "hook/internal.h"
#include "intercept/process.h"
#include "os/clock.h"
#include "os/sys.h"

/* ------------------------------------------------------------------ what is asked for */

/* The value of NAME= in an environment; NULL: it is not there. */
static const char *variable(char *const *environment, const char *name)
{
    size_t length = strlen(name);

    for (char *const *e = environment; e && *e; e++) {
        if (!strncmp(*e, name, length))
            return *e + length;
    }
    return NULL;
}

/* `scope run` says so to all that runs under it. */
static bool is_run;

uint32_t span_watch(const struct conf *conf)
{
    bool wanted = conf->traces_processes == TRACES_PROCESSES_ON ||
                  (conf->traces_processes == TRACES_PROCESSES_AUTO && is_run);

    return conf->traces && wanted ? WATCH_PROCESS_SPAN : 0;
}

void span_sample(struct region_head *region, const struct conf *conf)
{
    static const uint64_t all = 1ULL << 56;
    double ratio = conf->sampler_ratio < 0 ? 0 : conf->sampler_ratio < 1 ? conf->sampler_ratio : 1;

    switch (conf->sampler) {
    case SAMPLER_ALWAYS_ON:
    case SAMPLER_PARENT_ALWAYS_ON:
        region->sample_below = all;
        break;
    case SAMPLER_ALWAYS_OFF:
    case SAMPLER_PARENT_ALWAYS_OFF:
        region->sample_below = 0;
        break;
    default:
        region->sample_below = (uint64_t)(ratio * (double)all);
    }
    region->sampler = conf->sampler == SAMPLER_ALWAYS_ON || conf->sampler == SAMPLER_ALWAYS_OFF ||
                              conf->sampler == SAMPLER_RATIO
                          ? SAMPLER_OWN
                          : SAMPLER_PARENT;
}

/* ------------------------------------------------------------------ the seed */

/* Where the kernel has none to give, both halves of what it gave at exec: neither shows. */
static uint64_t seed(void)
{
    enum { NONBLOCK = 1 };
    uint64_t s = 0, given[2];

    if (sys(getrandom, &s, sizeof(s), NONBLOCK) == (long)sizeof(s) && s)
        return s;
    const void *at = (const void *)getauxval(AT_RANDOM);
    if (at) {
        memcpy(given, at, sizeof(given));
        s = given[0] ^ given[1];
    }
    return trace_mix(s, ticks_now() ^ (uint64_t)sys(getpid) << 48);
}

/* ------------------------------------------------------------------ through an exec */

static const char *number(const char *at, uint64_t *out)
{
    const char *from = at;

    for (*out = 0; *at >= '0' && *at <= '9' && at - from < 19; at++)
        *out = *out * 10 + (unsigned)(*at - '0');
    return at > from && *at == ':' ? at + 1 : NULL;
}

/* PID:SINCE:TRACEPARENT:TRACEPARENT OF THE PARENT:REMOTE, as env_trace.c writes it. */
static bool goes_on(struct region_head *region, const char *text)
{
    uint64_t pid, since;
    struct trace_ids own, parent = {0};

    text = number(text, &pid);
    text = text ? number(text, &since) : NULL;
    if (!text || (long)pid != sys(getpid) || strnlen(text, SPAN_HANDED) < TRACEPARENT_LENGTH + 2 ||
        traceparent_parse((const uint8_t *)text, TRACEPARENT_LENGTH, &own) != 0)
        return false;
    text += TRACEPARENT_LENGTH;
    if (text[0] != ':' || (text[1] != '0' && text[1] != '1'))
        return false;
    uint8_t remote = text[1] == '1';
    if (text[2] == ':' &&
        (strlen(text + 3) != TRACEPARENT_LENGTH ||
         traceparent_parse((const uint8_t *)text + 3, TRACEPARENT_LENGTH, &parent) != 0))
        return false;
    memcpy(own.span_id, own.parent_id, sizeof(own.span_id));
    memcpy(own.parent_id, parent.parent_id, sizeof(own.parent_id));
    own.remote = remote;
    region->process = own;
    region->process_since = since;
    return true;
}

static void take_out(char **environment, const char *name)
{
    size_t length = strlen(name);

    for (char **e = environment; e && *e; e++) {
        while (*e && !strncmp(*e, name, length)) {
            for (char **f = e; (*f = f[1]); f++)
                ;
        }
        if (!*e)
            return;
    }
}

/* ------------------------------------------------------------------ the process's span */

/* A span of our own below `parent`, which is another process's whoever it was. */
static void begin(struct region_head *region, struct lane *lane, const struct trace_ids *parent)
{
    struct trace_ids ids;
    uint8_t remote = (uint8_t)trace_has_trace(parent);

    trace_begin(region, lane, parent, &ids);
    ids.remote = remote;
    region->process = ids;
    region->process_since = now_unix();
}

void span_start(struct region_head *region, const struct conf *conf, char **environment)
{
    struct trace_ids parent = {0};
    const char *before = variable(environment, SPAN_VARIABLE);
    const char *said = variable(environment, "TRACEPARENT=");

    region->random_seed = seed();
    is_run = variable(environment, "SCOPE_RUN=") != NULL;
    region->watch |= span_watch(conf);
    bool spans = region->watch & WATCH_PROCESS_SPAN,
         on = before && spans && goes_on(region, before);
    if (before)
        take_out(environment, SPAN_VARIABLE);
    if (on || !(region->watch & WATCH_TRACES))
        return;
    if (said)
        (void)traceparent_parse((const uint8_t *)said, strlen(said), &parent);
    if (spans) {
        begin(region, NULL, &parent);
    } else if (trace_has_trace(&parent)) {
        /* what came from outside is the parent of what has no other */
        memcpy(parent.span_id, parent.parent_id, sizeof(parent.span_id));
        memset(parent.parent_id, 0, sizeof(parent.parent_id));
        parent.remote = 1;
        region->process = parent;
    }
}

void hook_forked(struct region_head *region, struct lane *own, bool goes_on_)
{
    if (!(region->watch & WATCH_PROCESS_SPAN) || goes_on_)
        return;
    struct trace_ids parent;
    trace_current(region, own, &parent);
    begin(region, own, &parent);
    if (own) {
        own->context = (struct trace_ids){0};
        own->context_number = 0;
    }
    env_trace_forked();
}
