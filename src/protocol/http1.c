/*
 * Reads a whole header section of HTTP/1 (RFC 9112): strict where a guess would be an invention,
 * tolerant where servers are.
 */
#include "protocol/http_message.h"

#include <errno.h>

#include "protocol/http_text.h"

struct lines {
    struct text bytes;
    size_t at;
};

/*
 * The next line, without its end; false: there is none. *whole: it has an end. A CR that is the
 * last byte is one: the cut went through it.
 */
static bool line_next(struct lines *l, struct text *line, bool *whole)
{
    if (l->at >= l->bytes.length)
        return false;
    size_t from = l->at, to = http_find(l->bytes, from, '\n');
    *whole = to < l->bytes.length;
    l->at = to + *whole;
    if (to > from && l->bytes.data[to - 1] == '\r') {
        *whole = true;
        to--;
    }
    *line = http_piece(l->bytes, from, to);
    return true;
}

/* The next word of a start line, which spaces part; empty: none. */
static struct text word_next(struct text line, size_t *at)
{
    while (*at < line.length && line.data[*at] == ' ')
        ++*at;
    size_t from = *at;
    *at = http_find(line, from, ' ');
    return http_piece(line, from, *at);
}

/* "HTTP/1.x" and nothing else. */
static bool version_read(struct text word, struct http_message *out)
{
    if (word.length != 8 || memcmp(word.data, "HTTP/1.", 7) || !http_digit(word.data[7]))
        return false;
    out->major = 1;
    out->minor = (uint8_t)(word.data[7] - '0');
    return true;
}

static bool target_read(struct http_message *m)
{
    struct http_url url;

    if (!m->target.length)
        return false;
    for (size_t i = 0; i < m->target.length; i++) {
        unsigned char c = (unsigned char)m->target.data[i];
        if (c <= ' ' || c == 0x7f)
            return false;
    }
    if (text_is(m->method, "CONNECT")) {
        m->authority = m->target;
    } else if (http_url_absolute(m->target, &url)) {
        m->scheme = url.scheme;
        m->authority = url.authority;
    }
    return true;
}

static bool request_line(struct text line, struct http_message *out)
{
    size_t at = 0;

    out->is_request = true;
    if (line.data[0] == ' ')
        return false;
    out->method = word_next(line, &at);
    out->target = word_next(line, &at);
    struct text version = word_next(line, &at);
    /* A fourth word: the target had a space in it, and where it ends is anybody's guess. */
    return http_token(out->method) && !word_next(line, &at).length && version_read(version, out) &&
           target_read(out);
}

static bool status_line(struct text line, struct http_message *out)
{
    size_t at = 0;

    if (!version_read(word_next(line, &at), out))
        return false;
    struct text code = word_next(line, &at);
    if (code.length != 3 || code.data[0] < '1')
        return false;
    for (size_t i = 0; i < 3; i++) {
        if (!http_digit(code.data[i]))
            return false;
        out->status = (uint16_t)(out->status * 10 + (code.data[i] - '0'));
    }
    return true;
}

static bool start_line(struct text line, struct http_message *out)
{
    while (line.length && http_blank(line.data[line.length - 1]))
        line.length--;
    if (line.length >= 5 && !memcmp(line.data, "HTTP/", 5))
        return status_line(line, out);
    return line.length && request_line(line, out);
}

/* A value that came on several lines (obs-fold), on one; NULL data: no memory. */
static struct text unfolded(struct text value, struct arena *arena)
{
    struct lines l = {value, 0};
    struct text line;
    bool whole;
    size_t length = 0;
    char *out = arena ? arena_take(arena, value.length + 1) : NULL;

    if (!out)
        return (struct text){NULL, 0};
    while (line_next(&l, &line, &whole)) {
        line = http_trimmed(line);
        if (!line.length)
            continue;
        if (length)
            out[length++] = ' ';
        memcpy(out + length, line.data, line.length);
        length += line.length;
    }
    return (struct text){out, length};
}

/* NUL and a bare CR are where readers differ on what a value is. */
static bool is_clear(struct text value)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    size_t i = 0;

    for (; value.length - i >= 8; i += 8) {
        uint64_t v, cr;
        memcpy(&v, value.data + i, 8);
        cr = v ^ ones * '\r';
        if ((((v - ones) & ~v) | ((cr - ones) & ~cr)) & high)
            return false;
    }
    while (i < value.length && value.data[i] && value.data[i] != '\r')
        i++;
    return i == value.length;
}

/* One field with all its lines. False: it is none, or nothing that a text could be said of. */
static bool field_read(struct text raw, bool folded, struct arena *arena, struct http_field *out)
{
    size_t colon = http_token_length(raw);

    if (!colon || colon == raw.length || raw.data[colon] != ':')
        return false;
    out->name = http_piece(raw, 0, colon);
    out->value = http_piece(raw, colon + 1, raw.length);
    out->value = folded ? unfolded(out->value, arena) : http_trimmed(out->value);
    return out->value.data && is_clear(out->value);
}

static void fields_read(struct lines *l, struct arena *arena, struct http_message *out)
{
    struct text line;
    bool whole, more = line_next(l, &line, &whole);

    while (more && line.length) {
        struct text raw = line;
        bool complete = whole, folded = false;

        while ((more = line_next(l, &line, &whole)) && line.length && http_blank(line.data[0])) {
            raw.length = (size_t)(line.data + line.length - raw.data);
            complete = whole;
            folded = true;
        }
        /* What was cut in the middle of a line may have been longer: "Host: exam" is no host. */
        if (complete && out->field_count < HTTP_FIELDS_MAX &&
            field_read(raw, folded, arena, &out->fields[out->field_count]))
            out->field_count++;
        else
            out->fields_dropped++;
    }
    out->cut = !more;
}

int http1_parse(const char *bytes, size_t length, struct arena *arena, struct http_message *out)
{
    struct lines l = {{bytes, length}, 0};
    struct text line;
    bool whole, more;

    http_message_clear(out);
    do {
        more = line_next(&l, &line, &whole);
    } while (more && !line.length);
    if (!more || !start_line(line, out)) {
        http_message_clear(out);
        return -EBADMSG;
    }
    fields_read(&l, arena, out);
    return 0;
}
