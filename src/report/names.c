/*
 * Name lookups: libc's, and the DNS messages of programs that resolve for themselves.
 *
 * An answer on the wire is told one pass later: if by then libc has reported a lookup of the same
 * thread around it, the messages were libc's own, and are no lookup of their own.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/dns.h"
#include "report/fold_trace.h"

enum { ANSWERS_MAX = 64, H_ERRNO_BASE = -1000, QUERY_TIMEOUT_S = 30 };

struct named {
    int value;
    const char *name;
};

static const char *error_name(int error)
{
    static const struct named names[] = {
        {EAI_BADFLAGS, "EAI_BADFLAGS"},
        {EAI_NONAME, "EAI_NONAME"},
        {EAI_AGAIN, "EAI_AGAIN"},
        {EAI_FAIL, "EAI_FAIL"},
        {EAI_FAMILY, "EAI_FAMILY"},
        {EAI_SOCKTYPE, "EAI_SOCKTYPE"},
        {EAI_SERVICE, "EAI_SERVICE"},
        {EAI_MEMORY, "EAI_MEMORY"},
        {EAI_SYSTEM, "EAI_SYSTEM"},
        {EAI_OVERFLOW, "EAI_OVERFLOW"},
        {EAI_NODATA, "EAI_NODATA"},
        {EAI_ADDRFAMILY, "EAI_ADDRFAMILY"},
        {H_ERRNO_BASE - HOST_NOT_FOUND, "host_not_found"},
        {H_ERRNO_BASE - TRY_AGAIN, "try_again"},
        {H_ERRNO_BASE - NO_RECOVERY, "no_recovery"},
        {H_ERRNO_BASE - NO_DATA, "no_data"},
    };
    if (!error)
        return NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (names[i].value == error)
            return names[i].name;
    return "_OTHER";
}

/* A lookup as it is told. */
struct lookup {
    uint64_t start, end;
    int32_t tid;
    unsigned op;
    struct text name;
    const char *type;  /* of the question; NULL not known */
    const char *error; /* NULL: none */
    struct name_answer answers[ANSWERS_MAX];
    size_t answer_count;
};

static struct text answer_text(const struct name_answer *a, char *room, size_t size)
{
    if (a->family != AF_INET && a->family != AF_INET6)
        return (struct text){0};
    return inet_ntop(a->family, a->address, room, (socklen_t)size) ? text_of(room)
                                                                   : (struct text){0};
}

static void tell_event(struct fold *f, const struct lookup *l)
{
    if (!f->conf->events_name.enabled || !filter_pass(f->filter_name, l->name))
        return;
    struct event *e = event_begin(f, "scope.name.lookup", &scope_name, l->end, l->tid);
    event_text(e, "dns.question.name", l->name);
    event_string(e, "dns.question.type", l->type);
    event_string(e, "scope.operation", op_name(l->op));
    struct text answers[ANSWERS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < l->answer_count; i++) {
        char *room = event_scratch(e, INET6_ADDRSTRLEN);
        if (!room)
            break;
        answers[n] = answer_text(&l->answers[i], room, INET6_ADDRSTRLEN);
        n += answers[n].length > 0;
    }
    if (n)
        event_list(e, "dns.answers", answers, n);
    event_double(e, "scope.duration", fold_seconds(f, l->end - l->start));
    event_string(e, "error.type", l->error);
    event_submit(f, e);
}

static void tell(struct fold *f, const struct lookup *l)
{
    if (f->conf->metrics && f->conf->metrics_name) {
        struct attribute a[2] = {
            {.key = TEXT("dns.question.name"), .type = VALUE_TEXT, .text = l->name}};
        uint32_t n = 1;
        if (l->error)
            a[n++] = attribute_text("error.type", l->error);
        series_record(fold_series(f, METRIC_NAME_DURATION, a, n),
                      fold_seconds(f, l->end - l->start));
    }
    tell_event(f, l);
    if (!l->error)
        lookup_note(f, l->tid, l->name, l->start, l->end, l->answers, l->answer_count);
}

/* ------------------------------------------------------------------ libc's lookups */

static void add_dns_answers(struct lookup *l, const struct dns_message *m)
{
    for (unsigned i = 0; i < m->answers && l->answer_count < ANSWERS_MAX; i++) {
        const struct dns_answer *from = &m->answer[i];
        struct name_answer *to = &l->answers[l->answer_count];
        if (from->length != 4 && from->length != 16)
            continue;
        *to = (struct name_answer){.family = from->length == 4 ? AF_INET : AF_INET6};
        memcpy(to->address, from->address, from->length);
        l->answer_count++;
    }
}

static void query_forget(struct fold *f, struct query *q)
{
    free(q->name);
    free(q->answers);
    *q = (struct query){0};
    f->query_count--;
}

/* What went over the wire within this lookup, on its thread, was a part of it. */
static void absorb(struct fold *f, const struct record *r, int32_t tid)
{
    for (unsigned i = 0; i < QUERIES_MAX && f->query_count; i++) {
        struct query *q = &f->queries[i];
        if (q->start && q->tid == tid && q->start >= r->start && q->start <= r->end)
            query_forget(f, q);
    }
}

static void libc_lookup(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    struct dns_message message;
    struct name_lookup head;
    struct lookup l = {.start = r->start, .end = r->end, .tid = tid, .op = r->op};
    absorb(f, r, tid);
    if (r->payload < sizeof(head))
        return;
    memcpy(&head, payload, sizeof(head));
    size_t at = sizeof(head);
    size_t room = r->payload - at;
    if (head.name_length > room)
        head.name_length = (uint16_t)room;
    l.name = (struct text){(const char *)payload + at, head.name_length};
    at += (head.name_length + 3u) & ~3u;
    for (unsigned i = 0; i < head.answers && l.answer_count < ANSWERS_MAX; i++) {
        if (at + sizeof(struct name_answer) > r->payload)
            break;
        memcpy(&l.answers[l.answer_count++], payload + at, sizeof(struct name_answer));
        at += sizeof(struct name_answer);
    }
    if ((r->flags & RECORD_RAW) && at < r->payload &&
        dns_parse(payload + at, r->payload - at, &message) == 0)
        add_dns_answers(&l, &message);
    if (r->op == OP_RES_QUERY)
        l.type = dns_type_name((unsigned)r->a);
    l.error = error_name(head.error);
    tell(f, &l);
}

/* ------------------------------------------------------------------ on the wire */

static struct query *query_find(struct fold *f, const struct record *r, const struct dns_message *m)
{
    for (unsigned i = 0; i < QUERIES_MAX && f->query_count; i++) {
        struct query *q = &f->queries[i];
        if (q->start && !q->end && q->id == m->id && q->type == m->question_type &&
            q->fd == r->fd && q->generation == r->generation && !strcasecmp(q->name, m->question))
            return q;
    }
    return NULL;
}

static struct query *query_new(struct fold *f)
{
    for (unsigned i = 0; i < QUERIES_MAX; i++)
        if (!f->queries[i].start) {
            f->query_count++;
            return &f->queries[i];
        }
    f->drops[DROP_STATE]++;
    return NULL;
}

static void wire_question(struct fold *f, const struct record *r, const struct dns_message *m,
                          int32_t tid)
{
    if (query_find(f, r, m))
        return; /* sent again: the lookup began with the first */
    char *name = strdup(m->question);
    struct query *q = name ? query_new(f) : NULL;
    if (!q) {
        free(name);
        return;
    }
    *q = (struct query){.start = r->start ? r->start : 1,
                        .fd = r->fd,
                        .tid = tid,
                        .generation = r->generation,
                        .id = m->id,
                        .type = m->question_type,
                        .name = name};
}

static void wire_answer(struct fold *f, const struct record *r, const struct dns_message *m)
{
    struct lookup l = {0};
    struct query *q = query_find(f, r, m);
    if (!q || m->truncated)
        return; /* truncated: it is asked again over TCP */
    q->end = r->end;
    q->rcode = m->rcode;
    add_dns_answers(&l, m);
    if (!l.answer_count)
        return;
    q->answers = malloc(l.answer_count * sizeof(*q->answers));
    if (!q->answers)
        return;
    memcpy(q->answers, l.answers, l.answer_count * sizeof(*q->answers));
    q->answer_count = (uint16_t)l.answer_count;
}

static void wire_told(struct fold *f, struct query *q)
{
    struct lookup l = {.start = q->start,
                       .end = q->end,
                       .tid = q->tid,
                       .op = OP_DNS,
                       .name = text_of(q->name),
                       .type = dns_type_name(q->type),
                       .answer_count = q->answer_count};
    if (q->answer_count)
        memcpy(l.answers, q->answers, q->answer_count * sizeof(*q->answers));
    if (q->rcode) {
        l.error = dns_rcode_name(q->rcode);
        if (!l.error)
            l.error = "_OTHER";
    }
    tell(f, &l);
}

void names_settle(struct fold *f, bool final)
{
    for (unsigned i = 0; i < QUERIES_MAX && f->query_count; i++) {
        struct query *q = &f->queries[i];
        if (!q->start)
            continue;
        if (q->end && (final || q->passes++)) {
            wire_told(f, q);
            query_forget(f, q);
        } else if (!q->end && f->last_ticks > q->start &&
                   fold_seconds(f, f->last_ticks - q->start) > QUERY_TIMEOUT_S) {
            query_forget(f, q); /* nobody answered: how it ended, only the program knows */
        }
    }
}

void names_free(struct fold *f)
{
    for (unsigned i = 0; i < QUERIES_MAX && f->query_count; i++)
        if (f->queries[i].start)
            query_forget(f, &f->queries[i]);
}

void name_record(struct fold *f, const struct record *r, const uint8_t *payload, int32_t tid)
{
    struct dns_message message;
    if (r->type == RECORD_NAME) {
        libc_lookup(f, r, payload, tid);
        return;
    }
    if (dns_parse(payload, r->payload, &message) != 0) {
        f->drops[DROP_INVALID]++;
        return;
    }
    if (message.opcode)
        return; /* updates and the like are no lookups */
    if (message.response && r->a == 1)
        wire_answer(f, r, &message);
    else if (!message.response && r->a == 0)
        wire_question(f, r, &message, tid);
}
