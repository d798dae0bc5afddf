/*
 * Members of JSON lines: texts with what is no UTF-8 escaped and named, attributes, and what log
 * records and spans have.
 */
#include "ndjson/jsonl.h"

#include <string.h>

/* ------------------------------------------------------------------ members */

static void note_escaped(struct jsonl *l, const char *group, struct text name)
{
    struct text whole[] = {text_of(group), name};
    struct json *e = &l->escaped;

    JSON_RAW(e, "\"");
    for (unsigned i = 0; i < 2; i++) {
        size_t start = e->length;
        json_text_escaped(e, whole[i]);
        /* two strings in one: without the quotes between them */
        if (!e->full) {
            memmove(e->data + start, e->data + start + 1, e->length - start - 2);
            e->length -= 2;
        }
    }
    JSON_RAW(e, "\",");
}

/* ,"name":"text" */
void jsonl_text(struct jsonl *l, const char *member, size_t length, const char *name,
                struct text text)
{
    json_raw(&l->out, member, length);
    if (json_text_plain(&l->out, text))
        return;
    if (json_is_utf8(text)) {
        json_text(&l->out, text);
    } else {
        json_text_escaped(&l->out, text);
        note_escaped(l, "", text_of(name));
    }
}

static void string(struct json *j, struct text text, bool escaped)
{
    if (escaped)
        json_text_escaped(j, text);
    else
        json_text(j, text);
}

static bool is_clean(const struct attribute *a, struct conf_limit length)
{
    if (!json_is_utf8(a->key))
        return false;
    if (a->type == VALUE_TEXT)
        return json_is_utf8(limits_text(a->text, length));
    for (size_t i = 0; a->type == VALUE_TEXTS && i < a->texts.count; i++) {
        if (!json_is_utf8(limits_text(a->texts.items[i], length)))
            return false;
    }
    return true;
}

static void value(struct json *j, const struct attribute *a, struct conf_limit length, bool escaped)
{
    switch (a->type) {
    case VALUE_TEXT:
        string(j, limits_text(a->text, length), escaped);
        break;
    case VALUE_BOOL:
        if (a->boolean)
            JSON_RAW(j, "true");
        else
            JSON_RAW(j, "false");
        break;
    case VALUE_INT:
        json_signed(j, a->integer);
        break;
    case VALUE_DOUBLE:
        json_double(j, a->number);
        break;
    case VALUE_TEXTS:
        JSON_RAW(j, "[");
        for (size_t i = 0; i < a->texts.count; i++) {
            if (i)
                JSON_RAW(j, ",");
            string(j, limits_text(a->texts.items[i], length), escaped);
        }
        JSON_RAW(j, "]");
        break;
    }
}

/* An attribute as most are, written in one pass. False: it is another, and *j is as it was. */
static bool attribute_plain(struct json *j, const struct attribute *a, struct conf_limit length)
{
    size_t start = j->length;

    if (a->type == VALUE_TEXTS || !json_text_plain(j, a->key))
        return false;
    JSON_RAW(j, ":");
    if (a->type != VALUE_TEXT)
        value(j, a, length, false);
    else if (!json_text_plain(j, limits_text(a->text, length)))
        j->length = start;
    return j->full || j->length > start;
}

static void attribute_within(struct jsonl *l, const char *group, const struct attribute *a,
                             struct conf_limit length)
{
    if (attribute_plain(&l->out, a, length))
        return;
    bool escaped = !is_clean(a, length);

    string(&l->out, a->key, escaped);
    JSON_RAW(&l->out, ":");
    value(&l->out, a, length, escaped);
    if (escaped)
        note_escaped(l, group, a->key);
}

void jsonl_attribute(struct jsonl *l, const char *group, const struct attribute *a)
{
    attribute_within(l, group, a, (struct conf_limit){0});
}

void jsonl_attribute_string(struct jsonl *l, const char *group, const struct attribute *a)
{
    bool quoted = a->type == VALUE_TEXT || a->type == VALUE_TEXTS;
    const struct conf_limit none = {0};
    bool escaped = !is_clean(a, none);

    string(&l->out, a->key, escaped);
    if (quoted)
        JSON_RAW(&l->out, ":");
    else
        JSON_RAW(&l->out, ":\"");
    value(&l->out, a, none, escaped);
    if (!quoted)
        JSON_RAW(&l->out, "\"");
    if (escaped)
        note_escaped(l, group, a->key);
}

bool jsonl_has_key(const struct attributes *attributes, struct text key)
{
    for (size_t i = 0; i < attributes->count; i++) {
        const struct text *own = &attributes->items[i].key;
        if (own->length == key.length && !memcmp(own->data, key.data, key.length))
            return true;
    }
    return false;
}

static void write_said(struct jsonl *l, const char *group, struct said *said)
{
    const struct attribute *a;

    JSON_RAW(&l->out, ",\"attributes\":{");
    while ((a = said_next(said))) {
        if (said->count > 1)
            JSON_RAW(&l->out, ",");
        attribute_within(l, group, a, said->limits.value_length);
    }
    JSON_RAW(&l->out, "}");
    if (said->dropped) {
        JSON_RAW(&l->out, ",\"attributes_dropped\":");
        json_unsigned(&l->out, said->dropped);
    }
}

/* Of something inside a line, if it has any; the group is named in `escaped`. */
static void inner_attributes(struct jsonl *l, enum said_of what, const char *group,
                             const struct attributes *attributes)
{
    struct said said = said_of(l->conf, what, attributes);

    if (attributes->count || attributes->dropped)
        write_said(l, group, &said);
}

void jsonl_attributes(struct jsonl *l, enum said_of what, const struct telemetry_scope *scope,
                      const struct attributes *attributes)
{
    struct said said = said_of(l->conf, what, attributes);

    if (scope && scope->name.length)
        JSONL_TEXT(l, "scope", scope->name);
    write_said(l, "attributes.", &said);
}

void jsonl_escaped(struct jsonl *l)
{
    if (l->escaped.length) {
        JSON_RAW(&l->out, ",\"escaped\":[");
        json_raw(&l->out, l->escaped.data, l->escaped.length - 1);
        JSON_RAW(&l->out, "]");
    }
}

static bool is_set(const uint8_t *id, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (id[i])
            return true;
    }
    return false;
}

void jsonl_id(struct json *j, const char *member, size_t length, const uint8_t *id, size_t size)
{
    if (is_set(id, size)) {
        json_raw(j, member, length);
        json_hex(j, id, size);
    }
}

/* ------------------------------------------------------------------ what points, records, spans
 * have */

/* A time as the first member of an object of an array. */
static void open_item(struct json *j, bool first, uint64_t time)
{
    if (!first)
        JSON_RAW(j, ",");
    JSON_RAW(j, "{\"time\":");
    json_time(j, time);
}

void jsonl_exemplars(struct jsonl *l, const struct metric_point *p)
{
    struct json *j = &l->out;

    for (size_t i = 0; i < p->exemplar_count; i++) {
        const struct exemplar *e = &p->exemplars[i];
        if (!i)
            JSON_RAW(j, ",\"exemplars\":[");
        open_item(j, !i, e->time);
        JSON_RAW(j, ",\"value\":");
        json_double(j, e->value);
        JSONL_ID(j, "trace_id", e->trace_id);
        JSONL_ID(j, "span_id", e->span_id);
        inner_attributes(l, SAID_OF_RESOURCE, "exemplars.attributes.", &e->filtered);
        JSON_RAW(j, "}");
    }
    if (p->exemplar_count)
        JSON_RAW(j, "]");
}

/* "INFO", "INFO2" and so on, as the log data model names the numbers; empty: not known. */
static struct text severity_name(unsigned number, char out[8])
{
    static const char *const names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"};

    if (number < 1 || number > 24)
        return (struct text){out, 0};
    struct text t = {out, strlen(names[(number - 1) / 4])};
    memcpy(out, names[(number - 1) / 4], t.length);
    if ((number - 1) % 4)
        out[t.length++] = (char)('1' + (number - 1) % 4);
    return t;
}

uint64_t jsonl_log_time(const struct log_record *r)
{
    return r->time ? r->time : r->observed_time;
}

void jsonl_log(struct jsonl *l, const struct log_record *r)
{
    char name[8];
    struct text severity = severity_name(r->severity, name);

    if (r->event_name.length)
        JSONL_TEXT(l, "name", r->event_name);
    if (r->body.length || !r->event_name.length)
        JSONL_TEXT(l, "body", r->body);
    if (severity.length) {
        JSONL_TEXT(l, "severity", severity);
        JSON_RAW(&l->out, ",\"severity_number\":");
        json_unsigned(&l->out, r->severity);
    }
    if (r->severity_text.length &&
        (r->severity_text.length != severity.length ||
         memcmp(r->severity_text.data, severity.data, severity.length) != 0))
        JSONL_TEXT(l, "severity_text", r->severity_text);
    JSONL_ID(&l->out, "trace_id", r->trace_id);
    JSONL_ID(&l->out, "span_id", r->span_id);
    jsonl_attributes(l, SAID_OF_RECORD, r->scope, &r->attributes);
}

static void span_events(struct jsonl *l, const struct span *s)
{
    struct json *j = &l->out;
    size_t count = limits_count(s->event_count, l->conf->span_events);
    size_t dropped = s->dropped_events + (s->event_count - count);

    for (size_t i = 0; i < count; i++) {
        const struct span_event *e = &s->events[i];
        if (!i)
            JSON_RAW(j, ",\"events\":[");
        open_item(j, !i, e->time);
        jsonl_text(l, ",\"name\":", 8, "events.name", e->name);
        inner_attributes(l, SAID_OF_EVENT, "events.attributes.", &e->attributes);
        JSON_RAW(j, "}");
    }
    if (count)
        JSON_RAW(j, "]");
    if (dropped) {
        JSON_RAW(j, ",\"events_dropped\":");
        json_unsigned(j, dropped);
    }
}

static void span_links(struct jsonl *l, const struct span *s)
{
    struct json *j = &l->out;
    size_t count = limits_count(s->link_count, l->conf->span_links);
    size_t dropped = s->dropped_links + (s->link_count - count);

    for (size_t i = 0; i < count; i++) {
        const struct span_link *link = &s->links[i];
        if (i)
            JSON_RAW(j, ",{\"trace_id\":");
        else
            JSON_RAW(j, ",\"links\":[{\"trace_id\":");
        json_hex(j, link->trace_id, sizeof(link->trace_id));
        JSONL_ID(j, "span_id", link->span_id);
        if (link->trace_state.length)
            jsonl_text(l, ",\"trace_state\":", 15, "links.trace_state", link->trace_state);
        inner_attributes(l, SAID_OF_LINK, "links.attributes.", &link->attributes);
        JSON_RAW(j, "}");
    }
    if (count)
        JSON_RAW(j, "]");
    if (dropped) {
        JSON_RAW(j, ",\"links_dropped\":");
        json_unsigned(j, dropped);
    }
}

void jsonl_span(struct jsonl *l, const struct span *s)
{
    static const char *const kinds[] = {"internal", "server", "client", "producer", "consumer"};
    struct json *j = &l->out;

    JSONL_TEXT(l, "name", s->name);
    if (s->kind >= SPAN_INTERNAL && s->kind <= SPAN_CONSUMER)
        JSONL_TEXT(l, "kind", text_of(kinds[s->kind - SPAN_INTERNAL]));
    if (s->end_time >= s->start_time) {
        JSON_RAW(j, ",\"duration\":");
        json_time(j, s->end_time - s->start_time);
    }
    if (s->status == STATUS_ERROR)
        JSON_RAW(j, ",\"status\":\"error\"");
    else if (s->status == STATUS_OK)
        JSON_RAW(j, ",\"status\":\"ok\"");
    if (s->status_message.length)
        JSONL_TEXT(l, "status_message", s->status_message);
    JSONL_ID(j, "trace_id", s->trace_id);
    JSONL_ID(j, "span_id", s->span_id);
    JSONL_ID(j, "parent_span_id", s->parent_span_id);
    if (s->trace_state.length)
        JSONL_TEXT(l, "trace_state", s->trace_state);
    span_events(l, s);
    span_links(l, s);
    jsonl_attributes(l, SAID_OF_SPAN, s->scope, &s->attributes);
}
