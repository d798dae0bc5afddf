/*
 * Log streams: what was written to standard output, standard error and log files goes through the
 * line cutter and becomes log records; syslog and journal messages become log records as they are.
 */
#include <stdlib.h>
#include <string.h>

#include "protocol/journal.h"
#include "report/fold_severity.h"
#include "report/fold_trace.h"

enum { PARTS_MAX = 16 << 20, PARTS_PASSES = 2 };

static struct lines_options options(const struct fold *f)
{
    return (struct lines_options){.line_max = f->conf->logs_line_max ? f->conf->logs_line_max : 1,
                                  .continuation = f->conf->logs_continuation};
}

/* ------------------------------------------------------------------ log records */

struct emission {
    struct fold *fold;
    struct stream *stream;
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* What passes the filter and the rate. */
static bool line_wanted(struct fold *f, struct text body, uint64_t unix_nano, uint32_t lines)
{
    if (!filter_pass(f->filter_lines, body))
        return false;
    if (rate_allows(&f->line_rate, f->conf->logs_rate, unix_nano, lines))
        return true;
    f->drops[DROP_LOG_RATE] += lines;
    return false;
}

static void take_entry(void *context, const struct line_entry *entry)
{
    struct emission *m = context;
    struct fold *f = m->fold;
    const struct description *d = m->stream->of;
    f->drops[DROP_LOG_LENGTH] += entry->cut;
    if (!line_wanted(f, entry->body, entry->origin.unix_nano, entry->lines))
        return;
    struct event *e = event_begin(f, NULL, &scope_log, 0, entry->origin.tid);
    e->record.time = entry->origin.unix_nano;
    e->record.body = entry->body;
    e->record.severity = severity_of_line(entry->body, &e->record.severity_text);
    if (m->stream->which)
        event_string(e, "log.iostream", m->stream->which == 1 ? "stdout" : "stderr");
    else if (d->path) {
        event_string(e, "log.file.path", d->path);
        event_string(e, "log.file.name", base_name(d->path));
    }
    if (entry->cut)
        event_bool(e, "scope.log.truncated", true);
    if (entry->origin.traced)
        log_identify(f, &entry->origin.ids, &e->record);
    (void)ready_put(f, e);
}

static void take_binary(void *context, uint64_t lines)
{
    struct emission *m = context;
    m->fold->drops[DROP_LOG_BINARY] += lines;
}

static struct lines_sink sink_of(struct emission *m)
{
    return (struct lines_sink){.entry = take_entry, .binary = take_binary, .context = m};
}

/* ------------------------------------------------------------------ streams */

static struct stream *stream_of(struct fold *f, struct description *d, unsigned which)
{
    struct stream *s = d->stream[which];
    if (s)
        return s;
    s = f->stream_count < STREAMS_MAX ? calloc(1, sizeof(*s)) : NULL;
    if (!s)
        return NULL;
    f->stream_count++;
    lines_init(&s->lines);
    s->of = d;
    s->which = (uint8_t)which;
    s->next = f->streams;
    if (f->streams)
        f->streams->previous = s;
    f->streams = s;
    d->stream[which] = s;
    return s;
}

static void put(struct fold *f, struct stream *s, const char *data, size_t length,
                const struct line_origin *origin)
{
    struct emission m = {f, s};
    struct lines_sink sink = sink_of(&m);
    struct lines_options o = options(f);
    if (!lines_put(&s->lines, &o, data, length, origin, &sink))
        f->drops[DROP_STATE]++;
}

static void gap(struct fold *f, struct stream *s)
{
    struct emission m = {f, s};
    struct lines_sink sink = sink_of(&m);
    struct lines_options o = options(f);
    lines_gap(&s->lines, &o, &sink);
}

/* The parts under way of one thread; a write whose later parts never came ends in a gap. */
static struct parts *parts_of(struct stream *s, int32_t tid)
{
    for (struct parts *p = s->parts; p; p = p->next)
        if (p->tid == tid)
            return p;
    return NULL;
}

static void parts_free(struct stream *s, struct parts *gone)
{
    struct parts **at = &s->parts;
    while (*at && *at != gone)
        at = &(*at)->next;
    if (*at)
        *at = gone->next;
    free(gone->data);
    free(gone);
}

static bool parts_add(struct parts *p, const uint8_t *data, size_t length)
{
    if (p->length + length > p->room) {
        size_t room = p->room ? p->room * 2 : 16384;
        while (room < p->length + length)
            room *= 2;
        char *grown = room <= PARTS_MAX ? realloc(p->data, room) : NULL;
        if (!grown)
            return false;
        p->data = grown;
        p->room = room;
    }
    memcpy(p->data + p->length, data, length);
    p->length += length;
    return true;
}

static void parts_put(struct fold *f, struct stream *s, struct parts *p, bool whole,
                      const struct line_origin *origin)
{
    put(f, s, p->data, p->length, origin);
    if (!whole)
        gap(f, s);
    parts_free(s, p);
}

static struct line_origin origin_of(struct fold *f, const struct record *r, int32_t tid)
{
    struct line_origin origin = {
        .unix_nano = fold_unix(f, r->end), .mono_nano = fold_mono(f, r->end), .tid = tid};
    const struct trace_ids *ids = r->flags & RECORD_BUFFERED ? NULL : context_of(f, r, tid);
    origin.traced = ids != NULL;
    if (ids)
        origin.ids = *ids;
    return origin;
}

static void data(struct fold *f, struct stream *s, const struct record *r, const uint8_t *payload,
                 int32_t tid)
{
    struct line_origin origin = origin_of(f, r, tid);
    struct parts *p = parts_of(s, tid);
    if (p && p->start != r->start) {
        parts_put(f, s, p, false, &origin);
        p = NULL;
    }
    if (r->flags & RECORD_BINARY) {
        gap(f, s);
        return;
    }
    if (r->flags & RECORD_MORE && !p) {
        p = calloc(1, sizeof(*p));
        if (p) {
            p->tid = tid;
            p->start = r->start;
            p->next = s->parts;
            s->parts = p;
        }
    }
    if (p && !parts_add(p, payload, r->payload)) { /* no memory: in order, but no longer in one */
        parts_put(f, s, p, true, &origin);
        p = NULL;
    }
    if (!p)
        put(f, s, (const char *)payload, r->payload, &origin);
    else if (!(r->flags & RECORD_MORE))
        parts_put(f, s, p, true, &origin);
    if (r->flags & RECORD_TRUNCATED)
        gap(f, s);
}

static void stream_tick(struct fold *f, struct stream *s, uint64_t now, bool final)
{
    struct emission m = {f, s};
    struct lines_sink sink = sink_of(&m);
    struct lines_options o = options(f);
    for (struct parts *p = s->parts, *next; p; p = next) {
        next = p->next;
        struct line_origin origin = {.unix_nano = fold_unix(f, p->start),
                                     .mono_nano = fold_mono(f, p->start),
                                     .tid = p->tid};
        if (final || ++p->passes > PARTS_PASSES)
            parts_put(f, s, p, false, &origin);
    }
    if (final)
        lines_flush(&s->lines, &o, &sink);
    else if (lines_pending(&s->lines))
        lines_tick(&s->lines, &o, now, &sink);
    lines_relax(&s->lines);
}

void streams_tick(struct fold *f, bool final)
{
    uint64_t now = fold_now(f);
    for (struct stream *s = f->streams; s; s = s->next)
        stream_tick(f, s, now, final);
}

void stream_close(struct fold *f, struct description *d)
{
    for (unsigned i = 0; i < STREAMS; i++) {
        struct stream *s = d->stream[i];
        if (!s)
            continue;
        stream_tick(f, s, 0, true);
        if (s->previous)
            s->previous->next = s->next;
        else
            f->streams = s->next;
        if (s->next)
            s->next->previous = s->previous;
        lines_clear(&s->lines);
        free(s);
        f->stream_count--;
        d->stream[i] = NULL;
    }
}

/* ------------------------------------------------------------------ syslog, journal */

static void journal_string(struct event *e, const char *key, struct journal_text t)
{
    if (t.length)
        event_text(e, key, (struct text){t.data, t.length});
}

static const char *facility_name(unsigned priority)
{
    static const char *const names[] = {"kern", "user", "mail", "daemon", "auth",     "syslog",
                                        "lpr",  "news", "uucp", "cron",   "authpriv", "ftp"};
    static const char *const local[] = {"local0", "local1", "local2", "local3",
                                        "local4", "local5", "local6", "local7"};
    unsigned n = priority >> 3;
    if (n >= 16 && n < 24)
        return local[n - 16];
    return n < sizeof(names) / sizeof(*names) ? names[n] : NULL;
}

static void message(struct fold *f, const struct record *r, const char *source,
                    const struct journal_entry *j, int32_t tid)
{
    struct text body = {j->message.data, j->message.length};
    uint32_t cut = 0;
    while (body.length && body.data[body.length - 1] == '\n')
        body.length--;
    if (body.length > f->conf->logs_line_max) {
        body.length = f->conf->logs_line_max;
        cut = 1;
    }
    if (r->flags & RECORD_TRUNCATED)
        cut = 1;
    f->drops[DROP_LOG_LENGTH] += cut;
    if (!line_wanted(f, body, fold_unix(f, r->end), 1))
        return;
    struct event *e = event_begin(f, NULL, &scope_log, r->end, tid);
    e->record.body = body;
    event_string(e, "scope.log.source", source);
    if (j->priority >= 0) {
        e->record.severity = severity_of_syslog((unsigned)j->priority, &e->record.severity_text);
        if (j->priority > 7 || strcmp(source, "journal"))
            event_string(e, "scope.syslog.facility", facility_name((unsigned)j->priority));
    }
    journal_string(e, "scope.syslog.identifier", j->identifier);
    journal_string(e, "code.file.path", j->file);
    journal_string(e, "code.line.number", j->line);
    journal_string(e, "code.function.name", j->function);
    if (cut)
        event_bool(e, "scope.log.truncated", true);
    const struct trace_ids *ids = context_of(f, r, tid);
    if (ids)
        log_identify(f, ids, &e->record);
    (void)ready_put(f, e);
}

static void syslog_message(struct fold *f, const struct record *r, const uint8_t *payload,
                           int32_t tid)
{
    struct journal_entry j = {.priority = -1};
    if (r->flags & RECORD_RAW) {
        bool lines = r->payload && payload[0] == '<';
        int rc =
            lines ? syslog_parse(payload, r->payload, &j) : journal_parse(payload, r->payload, &j);
        if (rc < 0)
            f->drops[DROP_INVALID]++;
        else
            message(f, r, lines ? "syslog" : "journal", &j, tid);
        return;
    }
    const char *text = (const char *)payload;
    size_t ident = strnlen(text, r->payload);
    j.priority = (int)(r->a & 0x3ff);
    j.identifier = (struct journal_text){text, ident};
    if (ident < r->payload) {
        j.message.data = text + ident + 1;
        j.message.length = r->payload - ident - 1;
        j.message.length = strnlen(j.message.data, j.message.length);
    }
    message(f, r, "syslog", &j, tid);
}

void stream_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    if (r->type == RECORD_SYSLOG) {
        syslog_message(f, r, payload, tid);
        return;
    }
    struct descriptor *d = descriptor_make(f, r->fd, r->generation, r->kind);
    unsigned which = r->flags & RECORD_OUT ? 1 : r->flags & RECORD_ERR ? 2 : 0;
    struct stream *s = d ? stream_of(f, d->description, which) : NULL;
    if (s)
        data(f, s, r, payload, tid);
    else
        f->drops[DROP_STATE]++;
}
