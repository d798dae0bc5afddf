/*
 * Spans and log records as OTLP's messages.
 */
#include "otlp/tree.h"

/* The three members that attributes become in every message that has them. */
#define SET_ATTRIBUTES(out, a)                         \
    do {                                               \
        (out)->n_attributes = (a).count;               \
        (out)->attributes = (a).items;                 \
        (out)->dropped_attributes_count = (a).dropped; \
    } while (0)

static void event(struct tree *t, const struct span_event *e, Otlp__Span__Event *out)
{
    struct tree_attributes a = tree_attributes(t, &e->attributes, SAID_OF_EVENT);

    out->time_unix_nano = e->time;
    out->name = tree_name(t, e->name);
    SET_ATTRIBUTES(out, a);
}

static void link_of(struct tree *t, const struct span_link *l, Otlp__Span__Link *out)
{
    struct tree_attributes a = tree_attributes(t, &l->attributes, SAID_OF_LINK);

    out->trace_id = tree_id(l->trace_id, sizeof(l->trace_id));
    out->span_id = tree_id(l->span_id, sizeof(l->span_id));
    out->trace_state = tree_name(t, l->trace_state);
    out->flags = l->flags;
    SET_ATTRIBUTES(out, a);
}

static void status(struct tree *t, const struct span *s, uint32_t *cut, Otlp__Span *out)
{
    if (s->status == STATUS_UNSET && !s->status_message.length)
        return;
    out->status = tree_messages(t, &otlp__status__descriptor, 1, NULL);
    if (!out->status)
        return;
    out->status->code = (Otlp__Status__Code)s->status;
    out->status->message = tree_text(t, s->status_message, cut);
}

void tree_span(struct tree *t, const struct span *s, Otlp__Span *out)
{
    struct tree_attributes a = tree_attributes(t, &s->attributes, SAID_OF_SPAN);
    Otlp__Span__Event *events;
    Otlp__Span__Link *links;

    out->trace_id = tree_id(s->trace_id, sizeof(s->trace_id));
    out->span_id = tree_id(s->span_id, sizeof(s->span_id));
    out->parent_span_id = tree_id(s->parent_span_id, sizeof(s->parent_span_id));
    out->flags = s->flags;
    out->trace_state = tree_name(t, s->trace_state);
    out->name = tree_name(t, s->name);
    out->kind = (Otlp__Span__Kind)s->kind;
    out->start_time_unix_nano = s->start_time;
    out->end_time_unix_nano = s->end_time;
    status(t, s, &a.dropped, out);
    SET_ATTRIBUTES(out, a);

    size_t count = limits_count(s->event_count, t->conf->span_events);
    out->dropped_events_count = s->dropped_events + (uint32_t)(s->event_count - count);
    events = tree_messages(t, &otlp__span__event__descriptor, count, &out->events);
    for (size_t i = 0; events && i < count; i++)
        event(t, &s->events[i], &events[i]);
    out->n_events = events ? count : 0;

    count = limits_count(s->link_count, t->conf->span_links);
    out->dropped_links_count = s->dropped_links + (uint32_t)(s->link_count - count);
    links = tree_messages(t, &otlp__span__link__descriptor, count, &out->links);
    for (size_t i = 0; links && i < count; i++)
        link_of(t, &s->links[i], &links[i]);
    out->n_links = links ? count : 0;
}

void tree_record(struct tree *t, const struct log_record *r, Otlp__LogRecord *out)
{
    struct tree_attributes a = tree_attributes(t, &r->attributes, SAID_OF_RECORD);

    out->time_unix_nano = r->time;
    out->observed_time_unix_nano = r->observed_time;
    out->severity_number = r->severity;
    out->severity_text = tree_name(t, r->severity_text);
    out->event_name = tree_name(t, r->event_name);
    out->flags = r->trace_flags;
    out->trace_id = tree_id(r->trace_id, sizeof(r->trace_id));
    out->span_id = tree_id(r->span_id, sizeof(r->span_id));
    /* An empty line is a body; an event without one has none. */
    if (r->body.length || !r->event_name.length)
        out->body = tree_messages(t, &otlp__any_value__descriptor, 1, NULL);
    if (out->body) {
        out->body->value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
        out->body->string_value = tree_text(t, r->body, &a.dropped);
    }
    SET_ATTRIBUTES(out, a);
}
