/* Reads the header blocks of HTTP/1: start line, and of the fields those that measure a message. */
#include "capture/http1_internal.h"

#include "capture/primitive.h"

enum field {
    FIELD_OTHER,
    FIELD_LENGTH,
    FIELD_CODING,
    FIELD_CONNECTION,
    FIELD_UPGRADE,
    FIELD_CONTEXT,
};

/* Where in a value a byte stands: struct http1_side's `part`. */
enum { BEFORE, INSIDE, BEHIND };

const uint8_t http1_token[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*',
    ['+'] = '+', ['-'] = '-', ['.'] = '.', ['0'] = '0', ['1'] = '1', ['2'] = '2',   ['3'] = '3',
    ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9',   ['A'] = 'a',
    ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g',   ['H'] = 'h',
    ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n',   ['O'] = 'o',
    ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u',   ['V'] = 'v',
    ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z', ['^'] = '^', ['_'] = '_',   ['`'] = '`',
    ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f',   ['g'] = 'g',
    ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm',   ['n'] = 'n',
    ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't',   ['u'] = 'u',
    ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z', ['|'] = '|',   ['~'] = '~',
};

static void lose(struct http1_side *s)
{
    s->state = AT_LOST;
}

static int is_space(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* lower: of lower case, as long as `length`. */
static int same(const uint8_t *bytes, const char *lower, unsigned length)
{
    for (unsigned i = 0; i < length; i++) {
        if (http1_token[bytes[i]] != (uint8_t)lower[i])
            return 0;
    }
    return 1;
}

static void text_add(struct http1_side *s, uint8_t c)
{
    if (s->text_length < HTTP1_NAME)
        s->text[s->text_length++] = c;
}

static int text_is(const struct http1_side *s, const char *lower, unsigned length)
{
    return s->text_length == length && same(s->text, lower, length);
}

/* -------- start lines */

static uint8_t method_of(const struct http1_side *s)
{
    /* Methods have a case: "head" is one of its own. */
    if (s->text_length == 4 && s->text[0] == 'H' && s->text[1] == 'E' && s->text[2] == 'A' &&
        s->text[3] == 'D')
        return METHOD_HEAD;
    if (!text_is(s, "connect", 7))
        return METHOD_OTHER;
    for (unsigned i = 0; i < 7; i++) {
        if (s->text[i] & 0x20)
            return METHOD_OTHER;
    }
    return METHOD_CONNECT;
}

static const uint8_t *method(struct http1_side *s, const uint8_t *p, const uint8_t *end)
{
    for (; p < end && http1_token[*p]; p++)
        text_add(s, *p);
    if (p == end)
        return p;
    if (*p != ' ' || !s->text_length) {
        lose(s);
        return p;
    }
    s->method = method_of(s);
    s->part = 0;
    s->state = AT_TARGET;
    return p + 1;
}

static const uint8_t *target(struct http1_side *s, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *from = p;

    while (p<end && * p> ' ' && *p != 0x7f)
        p++;
    if (p > from)
        s->part = 1;
    if (p == end)
        return p;
    if (*p != ' ' || !s->part) {
        lose(s);
        return p;
    }
    s->part = 0;
    s->state = AT_VERSION;
    return p + 1;
}

/* One byte of what both sides' start lines have, and of a response's. */
static void start_line(struct http1_side *s, int response, uint8_t c)
{
    int digit = c >= '0' && c <= '9';

    if (s->state == AT_VERSION && c == (uint8_t) "HTTP/1."[s->part]) {
        if (++s->part == 7)
            s->state = AT_MINOR;
    } else if (s->state == AT_MINOR && digit) {
        s->minor = c != '0';
        s->state = response ? AT_SPACE : AT_LINE_END;
    } else if (s->state == AT_SPACE && c == ' ') {
        s->part = 0;
        s->state = AT_STATUS;
    } else if (s->state == AT_STATUS && digit && (s->part || c != '0')) {
        s->status = (uint16_t)(s->status * 10 + (c - '0'));
        if (++s->part == 3)
            s->state = AT_STATUS_END;
    } else if (s->state == AT_STATUS_END && c == ' ') {
        s->state = AT_REASON;
    } else if ((s->state == AT_STATUS_END || s->state == AT_LINE_END) && c == '\r') {
        s->state = AT_LINE_LF;
    } else if ((s->state == AT_STATUS_END || s->state == AT_LINE_END || s->state == AT_LINE_LF) &&
               c == '\n') {
        s->state = AT_FIELD;
    } else {
        lose(s);
    }
}

/*
 * The whole of a version, and of what follows it in nearly every request line; returns p when it is
 * another, or split: start_line takes it byte by byte.
 */
static const uint8_t *version(struct http1_side *s, int response, const uint8_t *p,
                              const uint8_t *end)
{
    uint64_t x;

    if (s->part || end - p < 8)
        return p;
    __builtin_memcpy(&x, p, 8);
    if (x != 0x312e312f50545448) /* "HTTP/1.1" */
        return p;
    s->minor = 1;
    s->state = response ? AT_SPACE : AT_LINE_END;
    p += 8;
    if (response || end - p < 2 || p[0] != '\r' || p[1] != '\n')
        return p;
    s->state = AT_FIELD;
    return p + 2;
}

/* -------- values */

static void length_byte(struct http1_side *s, uint8_t c)
{
    if (is_space(c)) {
        if (s->part == INSIDE)
            s->part = BEHIND;
        return;
    }
    if (c < '0' || c > '9' || s->part == BEHIND || s->body >= (uint64_t)1 << 59) {
        lose(s);
        return;
    }
    s->part = INSIDE;
    s->body = s->body * 10 + (uint64_t)(c - '0');
}

static void length_end(struct http1_side *s)
{
    if (s->part == BEFORE || (s->said & SAID_LENGTH && s->left != s->body)) {
        lose(s);
        return;
    }
    s->said |= SAID_LENGTH;
    s->left = s->body;
    s->body = 0;
}

/* A member of Transfer-Encoding is complete; an empty one is no coding that is known. */
static void coding(struct http1_side *s)
{
    if (s->said & SAID_CHUNKED) {
        lose(s);
        return;
    }
    if (text_is(s, "chunked", 7))
        s->said |= SAID_CHUNKED;
    else if (!text_is(s, "gzip", 4) && !text_is(s, "deflate", 7) && !text_is(s, "compress", 8) &&
             !text_is(s, "x-gzip", 6) && !text_is(s, "x-compress", 10))
        lose(s);
    s->said |= SAID_CODING;
}

/* A member of Connection is complete. */
static void option(struct http1_side *s)
{
    if (text_is(s, "close", 5))
        s->said |= SAID_CLOSE;
    else if (text_is(s, "keep-alive", 10))
        s->said |= SAID_KEEP_ALIVE;
}

/* One byte of a list of tokens; each is in `text` when it is complete. */
static void list_byte(struct http1_side *s, uint8_t c, void (*complete)(struct http1_side *))
{
    if (is_space(c)) {
        if (s->part == INSIDE)
            s->part = BEHIND;
    } else if (c == ',') {
        complete(s);
        s->part = BEFORE;
        s->text_length = 0;
    } else {
        /* Two words: no member that is known. */
        if (s->part == BEHIND)
            s->text_length = HTTP1_NAME;
        s->part = INSIDE;
        text_add(s, c);
    }
}

static void context_byte(struct http1_frame *f, uint8_t c)
{
    if (is_space(c)) {
        /* It may be behind the value: too long only when something follows. */
        if (f->context_length && f->context_length < FRAME_CONTEXT)
            f->context[f->context_length++] = c;
        return;
    }
    if (f->context_length < FRAME_CONTEXT)
        f->context[f->context_length++] = c;
    else
        f->context_length = FRAME_CONTEXT + 1;
}

static void context_end(struct http1_frame *f)
{
    while (f->context_length && f->context_length <= FRAME_CONTEXT &&
           is_space(f->context[f->context_length - 1]))
        f->context_length--;
}

static void value_byte(struct http1_frame *f, struct http1_side *s, uint8_t c)
{
    switch (s->field) {
    case FIELD_LENGTH:
        length_byte(s, c);
        break;
    case FIELD_CODING:
        list_byte(s, c, coding);
        break;
    case FIELD_CONNECTION:
        list_byte(s, c, option);
        break;
    case FIELD_UPGRADE:
        if (!is_space(c))
            s->said |= SAID_UPGRADE;
        break;
    case FIELD_CONTEXT:
        context_byte(f, c);
        break;
    default:
        break;
    }
}

/* The line has ended. */
static void value_end(struct http1_frame *f, struct http1_side *s)
{
    s->state = AT_FIELD;
    if (s->field == FIELD_LENGTH)
        length_end(s);
    else if (s->field == FIELD_CODING)
        coding(s);
    else if (s->field == FIELD_CONNECTION)
        option(s);
    else if (s->field == FIELD_CONTEXT)
        context_end(f);
}

/*
 * Of eight bytes: not 0 when one is below 14, and then the lowest bit set is that of the first such
 * byte (borrows go upwards only, and both machines that we know are little-endian).
 */
static uint64_t controls(const uint8_t *p)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t x;

    __builtin_memcpy(&x, p, 8);
    return (x - ones * 14) & ~x & ones * 0x80;
}

const uint8_t *http1_value_end(const uint8_t *p, const uint8_t *end)
{
    for (;; p++) {
        uint64_t found = 0;
        while (end - p >= 8 && !(found = controls(p)))
            p += 8;
        if (found)
            p += __builtin_ctzll(found) >> 3;
        while (p<end && * p> '\r')
            p++;
        if (p == end || *p == '\r' || *p == '\n' || !*p)
            return p;
    }
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "controls counts from the lowest byte");

/*
 * What value_byte would say of the first bytes of a value, where it can be said of many at once: of
 * what nearly every head has. Returns the first byte that it leaves to value_byte.
 */
static const uint8_t *value_first(struct http1_frame *f, struct http1_side *s, const uint8_t *p,
                                  const uint8_t *end)
{
    if (p < end && *p == ' ')
        p++;
    if (s->field == FIELD_CONTEXT && end - p >= 55 && http1_value_end(p, p + 55) == p + 55 &&
        !is_space(*p)) {
        bytes_copy(f->context, p, 55);
        f->context_length = 55;
        return p + 55;
    }
    if (s->field == FIELD_CONNECTION && end - p >= 10 && same(p, "keep-alive", 10)) {
        bytes_copy(s->text, p, 10);
        s->text_length = 10;
        s->part = INSIDE;
        return p + 10;
    }
    return p;
}

static const uint8_t *value(struct http1_frame *f, struct http1_side *s, const uint8_t *p,
                            const uint8_t *end)
{
    if (s->field == FIELD_OTHER) {
        p = http1_value_end(p, end);
    } else {
        for (; p < end && *p != '\r' && *p != '\n' && *p; p++) {
            value_byte(f, s, *p);
            if (s->state == AT_LOST)
                return p;
        }
    }
    if (p == end)
        return p;
    if (*p == '\r' && end - p >= 2 && p[1] == '\n')
        value_end(f, s), p++;
    else if (*p == '\r')
        s->state = AT_VALUE_LF;
    else if (*p == '\n')
        value_end(f, s);
    else
        lose(s);
    return p + 1;
}

/* -------- fields */

static enum field field_of(const uint8_t *name, size_t length)
{
    const uint32_t lengths = 1u << 7 | 1u << 10 | 1u << 11 | 1u << 14 | 1u << 17;

    if (length > 17 || !(lengths >> length & 1))
        return FIELD_OTHER;
    switch (length) {
    case 7:
        return same(name, "upgrade", 7) ? FIELD_UPGRADE : FIELD_OTHER;
    case 10:
        return same(name, "connection", 10) ? FIELD_CONNECTION : FIELD_OTHER;
    case 11:
        return same(name, "traceparent", 11) ? FIELD_CONTEXT : FIELD_OTHER;
    case 14:
        return same(name, "content-length", 14) ? FIELD_LENGTH : FIELD_OTHER;
    case 17:
        return same(name, "transfer-encoding", 17) ? FIELD_CODING : FIELD_OTHER;
    default:
        return FIELD_OTHER;
    }
}

static void field_begin(struct http1_frame *f, struct http1_side *s)
{
    s->part = BEFORE;
    s->text_length = 0;
    s->state = AT_VALUE;
    if (s->field != FIELD_CONTEXT)
        return;
    if (!f) {
        s->field = FIELD_OTHER;
        return;
    }
    f->context_length = 0;
    if (f->contexts < 2)
        f->contexts++;
}

static const uint8_t *name(struct http1_frame *f, struct http1_side *s, const uint8_t *p,
                           const uint8_t *end)
{
    const uint8_t *from = p;

    while (p < end && http1_token[*p])
        p++;
    size_t length = (size_t)(p - from);
    int whole = p < end && !s->text_length;
    for (size_t i = 0; !whole && i < length && s->text_length < HTTP1_NAME; i++)
        text_add(s, from[i]);
    if (p == end)
        return p;
    if (*p != ':' || (whole && !length)) {
        lose(s);
        return p;
    }
    s->field = (uint8_t)(whole ? field_of(from, length) : field_of(s->text, s->text_length));
    field_begin(f, s);
    return value_first(f, s, p + 1, end);
}

/*
 * Whole lines of fields that measure nothing, as most are: told by their first letter, which none
 * of field_of's has. Returns the first line that is left to the others, whatever it is.
 */
static const uint8_t *plain_lines(const uint8_t *p, const uint8_t *end)
{
    while (p < end) {
        uint8_t first = http1_token[*p];
        const uint8_t *at = p;

        if (first == 'c' || first == 't' || first == 'u')
            return p;
        while (at < end && http1_token[*at])
            at++;
        if (at == end || *at != ':' || at == p)
            return p;
        at = http1_value_end(at + 1, end);
        if (end - at < 2 || at[0] != '\r' || at[1] != '\n')
            return p;
        p = at + 2;
    }
    return p;
}

/* The first byte of a line behind the start line; a name's is left to be read again. */
static const uint8_t *line(struct http1_side *s, const uint8_t *p)
{
    s->text_length = 0;
    s->state = *p == '\r' ? AT_HEAD_LF : *p == '\n' ? AT_HEAD_END : AT_NAME;
    return s->state == AT_NAME ? p : p + 1;
}

/* A state that few bytes meet. */
static const uint8_t *rare(struct http1_frame *f, struct http1_side *s, const uint8_t *p,
                           const uint8_t *end)
{
    const uint8_t *from = p;

    switch (s->state) {
    case AT_METHOD:
        return method(s, p, end);
    case AT_TARGET:
        return target(s, p, end);
    case AT_REASON:
        p = http1_value_end(p, end);
        if (p < end)
            s->state = AT_LINE_END;
        return p;
    case AT_VALUE_LF:
        if (*p == '\n')
            value_end(f, s);
        else
            lose(s);
        return p + 1;
    case AT_HEAD_LF:
        s->state = *p == '\n' ? AT_HEAD_END : AT_LOST;
        return p + 1;
    case AT_VERSION:
        p = version(s, !f, p, end);
        break;
    default:
        break;
    }
    if (p == from)
        start_line(s, !f, *p++);
    return p;
}

const uint8_t *http1_head(struct http1_frame *f, struct http1_side *s, const uint8_t *p,
                          const uint8_t *end)
{
    while (p < end && s->state < AT_HEAD_END) {
        if (s->state == AT_FIELD) {
            p = plain_lines(p, end);
            if (p < end)
                p = line(s, p);
        } else if (s->state < AT_FIELD || s->state > AT_VALUE) {
            p = rare(f, s, p, end);
        }
        if (p < end && s->state == AT_NAME)
            p = name(f, s, p, end);
        if (p < end && s->state == AT_VALUE)
            p = value(f, s, p, end);
    }
    return p;
}
