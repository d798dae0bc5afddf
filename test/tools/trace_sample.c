/*
 * Writes spans and log records, which standard input describes, as the library's own encoders do:
 * trace_sample flat|otlp traces|logs. For test_trace_command.py, so that what the command reads is
 * what the encoders write.
 *
 * A line has fields with tabs between them; %XX is a byte. An id of nothing is none.
 *   service NAME PID
 *   span TRACE ID PARENT START END KIND STATUS NAME MESSAGE ERROR_TYPE
 *   event TIME NAME TYPE MESSAGE                                      (of the span before it)
 *   log TRACE SPAN TIME SEVERITY BODY EVENT_NAME
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp/otlp.h"
#include "report/sink.h"

enum { ITEMS_MAX = 1 << 17, FIELDS = 11 };

static struct span spans[ITEMS_MAX];
static struct span_event events[ITEMS_MAX];
static struct log_record logs[ITEMS_MAX];
static size_t span_count, event_count, log_count;
static struct arena *arena;
static char *field[FIELDS];

static void fail(const char *why)
{
    fprintf(stderr, "trace_sample: %s\n", why);
    exit(2);
}

static struct text text_field(unsigned i)
{
    char *to = arena_take(arena, strlen(field[i]) + 1), *start = to;

    for (const char *p = field[i]; *p; p++) {
        unsigned byte;
        if (*p == '%' && sscanf(p + 1, "%2x", &byte) == 1) {
            *to++ = (char)byte;
            p += 2;
        } else {
            *to++ = *p;
        }
    }
    return (struct text){start, (size_t)(to - start)};
}

static uint64_t number_field(unsigned i)
{
    return strtoull(field[i], NULL, 10);
}

static void id_field(uint8_t *id, unsigned i, size_t size)
{
    unsigned byte;

    for (size_t n = 0; n < size && sscanf(field[i] + 2 * n, "%2x", &byte) == 1; n++)
        id[n] = (uint8_t)byte;
}

static struct attributes texts(const char *const *keys, const unsigned *fields, unsigned count)
{
    struct attribute_list list = {.arena = arena};

    for (unsigned i = 0; i < count; i++) {
        if (*field[fields[i]])
            attributes_text(&list, keys[i], text_field(fields[i]));
    }
    return attributes_done(&list);
}

/* ------------------------------------------------------------------ items */

static void take_span(void)
{
    struct span *s = &spans[span_count++];

    id_field(s->trace_id, 1, sizeof(s->trace_id));
    id_field(s->span_id, 2, sizeof(s->span_id));
    id_field(s->parent_span_id, 3, sizeof(s->parent_span_id));
    s->start_time = number_field(4);
    s->end_time = number_field(5);
    s->kind = (enum span_kind)number_field(6);
    s->status = (enum span_status)number_field(7);
    s->name = text_field(8);
    s->status_message = text_field(9);
    s->attributes = texts((const char *const[]){"error.type"}, (const unsigned[]){10}, 1);
}

static void take_event(void)
{
    struct span *s = &spans[span_count - 1];
    struct span_event *e = &events[event_count++];

    e->time = number_field(1);
    e->name = text_field(2);
    e->attributes = texts((const char *const[]){"exception.type", "exception.message"},
                          (const unsigned[]){3, 4}, 2);
    s->events = s->events ? s->events : e;
    s->event_count++;
}

static void take_log(void)
{
    struct log_record *r = &logs[log_count++];

    id_field(r->trace_id, 1, sizeof(r->trace_id));
    id_field(r->span_id, 2, sizeof(r->span_id));
    r->time = number_field(3);
    r->severity = (uint8_t)number_field(4);
    r->body = text_field(5);
    r->event_name = text_field(6);
}

/* ------------------------------------------------------------------ writing */

static void write_unit(void *context, const void *data, size_t length, size_t items)
{
    (void)context;
    (void)items;
    if (fwrite(data, 1, length, stdout) != length)
        fail("standard output");
}

/* What was described since the service before. */
static void flush_items(const struct sink_encoder *encoder, const struct resource *resource,
                        bool traces)
{
    static const struct conf conf;
    struct batch b = {.signal = traces ? SIGNAL_TRACES : SIGNAL_LOGS, .resource = resource};

    b.count = traces ? span_count : log_count;
    if (traces)
        b.spans = spans;
    else
        b.logs = logs;
    if (b.count && encoder->encode(&b, &conf, 4 << 20, write_unit, NULL) != 0)
        fail("an item was left out");
    memset(spans, 0, span_count * sizeof(spans[0]));
    memset(logs, 0, log_count * sizeof(logs[0]));
    span_count = event_count = log_count = 0;
}

static void split(char *line)
{
    static char none[] = "";

    line[strcspn(line, "\n")] = '\0';
    for (unsigned i = 0; i < FIELDS; i++) {
        field[i] = line ? strsep(&line, "\t") : none;
    }
}

int main(int count, char **argv)
{
    struct resource resource = {.id = 1};
    char *line = NULL;
    size_t room = 0;

    if (count != 3)
        fail("usage: trace_sample flat|otlp traces|logs");
    const struct sink_encoder *encoder =
        strcmp(argv[1], "otlp") ? &ndjson_encoder : &otlp_lines_encoder;
    bool traces = !strcmp(argv[2], "traces");
    arena = arena_new(SIZE_MAX / 2);
    while (getline(&line, &room, stdin) >= 0) {
        split(line);
        if (!strcmp(field[0], "service")) {
            struct attribute_list list = {.arena = arena};
            flush_items(encoder, &resource, traces);
            attributes_text(&list, "service.name", text_field(1));
            attributes_int(&list, "process.pid", (int64_t)number_field(2));
            resource.attributes = attributes_done(&list);
            resource.id++;
        } else if (span_count == ITEMS_MAX || event_count == ITEMS_MAX || log_count == ITEMS_MAX) {
            fail("too many items");
        } else if (!strcmp(field[0], "span")) {
            take_span();
        } else if (!strcmp(field[0], "event") && span_count) {
            take_event();
        } else if (!strcmp(field[0], "log")) {
            take_log();
        } else {
            fail(field[0]);
        }
    }
    flush_items(encoder, &resource, traces);
    free(line);
    arena_free(arena);
    return 0;
}
