/*
 * Datagrams to the system's log, taken apart.
 */
#include "protocol/journal.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is(struct journal_text t, const char *name)
{
    return t.length == strlen(name) && !memcmp(t.data, name, t.length);
}

/* ------------------------------------------------------------------ journald */

static int number(struct journal_text t, unsigned max)
{
    unsigned n = 0;
    if (!t.length || t.length > 4)
        return -1;
    for (size_t i = 0; i < t.length; i++) {
        if (!is_digit(t.data[i]))
            return -1;
        n = n * 10 + (unsigned)(t.data[i] - '0');
    }
    return n <= max ? (int)n : -1;
}

struct priority {
    int level, facility;
};

static void field(struct journal_entry *e, struct priority *p, struct journal_text key,
                  struct journal_text value)
{
    if (is(key, "MESSAGE"))
        e->message = value;
    else if (is(key, "PRIORITY"))
        p->level = number(value, 7);
    else if (is(key, "SYSLOG_FACILITY"))
        p->facility = number(value, 23);
    else if (is(key, "SYSLOG_IDENTIFIER"))
        e->identifier = value;
    else if (is(key, "SYSLOG_PID"))
        e->pid = value;
    else if (is(key, "CODE_FILE"))
        e->file = value;
    else if (is(key, "CODE_LINE"))
        e->line = value;
    else if (is(key, "CODE_FUNC"))
        e->function = value;
    else if (is(key, "MESSAGE_ID"))
        e->message_id = value;
    else if (is(key, "ERRNO"))
        e->errno_text = value;
}

int journal_parse(const uint8_t *data, size_t length, struct journal_entry *entry)
{
    const char *p = (const char *)data;
    struct priority priority = {-1, -1};
    bool said = false;
    *entry = (struct journal_entry){.priority = -1};
    while (length) {
        const char *end = memchr(p, '\n', length);
        size_t line = end ? (size_t)(end - p) : length;
        size_t taken = end ? line + 1 : line;
        const char *equals = memchr(p, '=', line);
        struct journal_text key = {p, equals ? (size_t)(equals - p) : line};
        struct journal_text value = {0};
        if (equals) {
            value = (struct journal_text){equals + 1, line - key.length - 1};
        } else if (line) { /* the value stands behind its length, 64 bits, low byte first */
            uint64_t n = 0;
            if (length - taken < 8)
                break;
            for (unsigned i = 0; i < 8; i++)
                n |= (uint64_t)(uint8_t)p[taken + i] << (8 * i);
            taken += 8;
            if (n > length - taken)
                break;
            value = (struct journal_text){p + taken, (size_t)n};
            taken += (size_t)n;
            if (taken < length && p[taken] == '\n')
                taken++;
        }
        if (key.length)
            field(entry, &priority, key, value);
        said = said || is(key, "MESSAGE");
        p += taken;
        length -= taken;
    }
    if (!said)
        return -EBADMSG;
    if (priority.level >= 0)
        entry->priority = priority.level | (priority.facility > 0 ? priority.facility << 3 : 0);
    return 0;
}

/* ------------------------------------------------------------------ syslog */

struct cursor {
    const char *p, *end;
};

static size_t left(const struct cursor *c)
{
    return (size_t)(c->end - c->p);
}

/* Up to the next blank, and past it. "-" is nothing. */
static struct journal_text word(struct cursor *c)
{
    const char *end = memchr(c->p, ' ', left(c));
    struct journal_text t = {c->p, end ? (size_t)(end - c->p) : left(c)};
    c->p = end ? end + 1 : c->end;
    return is(t, "-") ? (struct journal_text){0} : t;
}

/* RFC 5424's structured data: "-" or [..."]"...]... */
static void skip_structured(struct cursor *c)
{
    if (left(c) && *c->p == '-') {
        c->p++;
    } else {
        while (left(c) && *c->p == '[') {
            bool quoted = false;
            while (c->p < c->end && (quoted || *c->p != ']')) {
                if (*c->p == '\\' && quoted && left(c) > 1)
                    c->p++;
                else if (*c->p == '"')
                    quoted = !quoted;
                c->p++;
            }
            if (c->p < c->end)
                c->p++;
        }
    }
    if (left(c) && *c->p == ' ')
        c->p++;
    if (left(c) >= 3 && !memcmp(c->p, "\xef\xbb\xbf", 3))
        c->p += 3;
}

static void rfc5424(struct cursor *c, struct journal_entry *e)
{
    c->p += 2;     /* "1 " */
    (void)word(c); /* time */
    (void)word(c); /* host */
    e->identifier = word(c);
    e->pid = word(c);
    e->message_id = word(c);
    skip_structured(c);
}

/* "Jan  2 03:04:05 " or an ISO time stamp, if there is one. */
static void skip_time(struct cursor *c)
{
    static const char shape[] = "Aaa dd dd:dd:dd ";
    size_t n = sizeof(shape) - 1;
    if (left(c) >= n) {
        size_t i = 0;
        for (; i < n; i++) {
            char x = c->p[i];
            bool fits = shape[i] == 'd'   ? is_digit(x) || x == ' '
                        : shape[i] == 'A' ? x >= 'A' && x <= 'Z'
                        : shape[i] == 'a' ? x >= 'a' && x <= 'z'
                                          : x == shape[i];
            if (!fits)
                break;
        }
        if (i == n) {
            c->p += n;
            return;
        }
    }
    if (left(c) > 20 && is_digit(c->p[0]) && is_digit(c->p[3]) && c->p[4] == '-' && c->p[10] == 'T')
        (void)word(c);
}

/* "ident[123]: ", if it is one: no blank before the colon. */
static void rfc3164(struct cursor *c, struct journal_entry *e)
{
    skip_time(c);
    size_t i = 0;
    while (i < left(c) && c->p[i] != ':' && c->p[i] != ' ' && c->p[i] != '[')
        i++;
    struct journal_text name = {c->p, i};
    struct journal_text pid = {0};
    if (i < left(c) && c->p[i] == '[') {
        const char *close = memchr(c->p + i, ']', left(c) - i);
        if (!close)
            return;
        pid = (struct journal_text){c->p + i + 1, (size_t)(close - c->p) - i - 1};
        i = (size_t)(close - c->p) + 1;
    }
    if (!name.length || i >= left(c) || c->p[i] != ':')
        return;
    i++;
    if (i < left(c) && c->p[i] == ' ')
        i++;
    c->p += i;
    e->identifier = name;
    e->pid = pid;
}

int syslog_parse(const uint8_t *data, size_t length, struct journal_entry *entry)
{
    struct cursor c = {(const char *)data, (const char *)data + length};
    unsigned value = 0, digits = 0;
    *entry = (struct journal_entry){.priority = -1};
    if (length < 3 || data[0] != '<')
        return -EBADMSG;
    for (c.p++; left(&c) && is_digit(*c.p) && digits < 3; c.p++, digits++)
        value = value * 10 + (unsigned)(*c.p - '0');
    if (!digits || value > 191 || !left(&c) || *c.p != '>')
        return -EBADMSG;
    c.p++;
    entry->priority = (int)value;
    if (left(&c) >= 2 && !memcmp(c.p, "1 ", 2))
        rfc5424(&c, entry);
    else
        rfc3164(&c, entry);
    while (left(&c) && (c.end[-1] == '\n' || c.end[-1] == 0))
        c.end--;
    entry->message = (struct journal_text){c.p, left(&c)};
    return 0;
}
