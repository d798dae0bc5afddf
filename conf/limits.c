/*
 * Limits of attributes: what each kind of record takes from the general ones.
 */
#include "conf/internal.h"

void limits_settle(struct loader *l)
{
    static const struct {
        uint16_t to, from;
    } limits[] = {
#define MEMBER(name) offsetof(struct conf, name)
        {MEMBER(limits_log.attributes), MEMBER(limits_all.attributes)},
        {MEMBER(limits_span.attributes), MEMBER(limits_all.attributes)},
        {MEMBER(event_attributes), MEMBER(limits_all.attributes)},
        {MEMBER(link_attributes), MEMBER(limits_all.attributes)},
        {MEMBER(limits_log.value_length), MEMBER(limits_all.value_length)},
        {MEMBER(limits_span.value_length), MEMBER(limits_all.value_length)},
#undef MEMBER
    };
    if (!l->to->origins)
        return; /* nothing was said */
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        conf_inherit(l, limits[i].to, limits[i].from, sizeof(struct conf_limit));
}
