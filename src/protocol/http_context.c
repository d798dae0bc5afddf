/* Which trace a request that came in belongs to: W3C trace context, or B3. */
#include "protocol/http_message.h"

#include "protocol/http_text.h"

enum { MEMBERS_MAX = 32, KEY_MAX = 256, VALUE_MAX = 256 };

/* ---- tracestate */

static bool key_valid(struct text key)
{
    if (!key.length || key.length > KEY_MAX)
        return false;
    for (size_t i = 0; i < key.length; i++) {
        char c = key.data[i];
        bool first = (c >= 'a' && c <= 'z') || http_digit(c);
        if (!first && (!i || !(c == '_' || c == '-' || c == '*' || c == '/' || c == '@')))
            return false;
    }
    return true;
}

static bool value_valid(struct text value)
{
    if (!value.length || value.length > VALUE_MAX)
        return false;
    for (size_t i = 0; i < value.length; i++) {
        char c = value.data[i];
        if (c < ' ' || c > '~' || c == '=')
            return false;
    }
    return true;
}

/*
 * The members of all tracestate fields, in order, to `out` (NULL: only measured), with commas alone
 * between. Returns the length; 0: there are none, or too many, or one that is malformed.
 */
static size_t state_join(const struct http_message *m, char *out)
{
    struct text member;
    size_t length = 0, members = 0;

    for (size_t i = 0; i < m->field_count; i++) {
        if (!http_text_like(m->fields[i].name, "tracestate"))
            continue;
        for (size_t at = 0; http_element(m->fields[i].value, &at, &member);) {
            if (!member.length)
                continue;
            size_t equals = http_find(member, 0, '=');
            if (++members > MEMBERS_MAX || equals == member.length ||
                !key_valid(http_piece(member, 0, equals)) ||
                !value_valid(http_piece(member, equals + 1, member.length)))
                return 0;
            if (out && length)
                out[length] = ',';
            length += length > 0;
            if (out)
                memcpy(out + length, member.data, member.length);
            length += member.length;
        }
    }
    return length;
}

static struct text state_read(const struct http_message *m, struct arena *arena)
{
    struct text first;
    size_t fields = http_field_count(m, "tracestate", &first);
    size_t length = fields ? state_join(m, NULL) : 0;

    if (!length)
        return (struct text){NULL, 0};
    if (fields == 1 && length == first.length)
        return first;
    char *out = arena_take(arena, length + 1);
    if (!out)
        return (struct text){NULL, 0};
    return (struct text){out, state_join(m, out)};
}

/* ---- B3 */

static int hex_digit(char c)
{
    if (http_digit(c))
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `count` bytes in lower case hexadecimal, not all of them zero. */
static bool id_read(struct text t, uint8_t *out, size_t count)
{
    int any = 0;

    if (t.length != 2 * count)
        return false;
    for (size_t i = 0; i < count; i++) {
        int high = hex_digit(t.data[2 * i]), low = hex_digit(t.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        any |= high | low;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return any;
}

static bool b3_ids(struct text trace, struct text span, struct trace_ids *out)
{
    bool is_short = trace.length == 16;

    return id_read(trace, out->trace_id + (is_short ? 8 : 0), is_short ? 8 : 16) &&
           id_read(span, out->parent_id, 8);
}

/* 1 sample, 0 do not, -1 no decision that we know. */
static int b3_decision(struct text t)
{
    if (text_is(t, "1") || text_is(t, "d") || http_text_like(t, "true"))
        return 1;
    return text_is(t, "0") || http_text_like(t, "false") ? 0 : -1;
}

static void b3_decide(int decision, struct trace_ids *out, bool *deferred)
{
    out->flags = decision == 1 ? TRACE_SAMPLED : 0;
    *deferred = decision < 0;
}

/* "trace-span", "trace-span-decision", "trace-span-decision-parent". */
static bool b3_single(struct text value, struct trace_ids *out, bool *deferred)
{
    struct text part[4];
    size_t count = 0;
    uint8_t parent[8];

    for (size_t at = 0; at <= value.length; count++) {
        size_t dash = http_find(value, at, '-');
        if (count == 4)
            return false;
        part[count] = http_piece(value, at, dash);
        at = dash + 1;
    }
    if (count < 2 || !b3_ids(part[0], part[1], out))
        return false;
    int decision = count > 2 && part[2].length == 1 ? b3_decision(part[2]) : -1;
    if ((count > 2 && decision < 0) || (count > 3 && !id_read(part[3], parent, sizeof(parent))))
        return false;
    b3_decide(decision, out, deferred);
    return true;
}

static bool b3_several(const struct http_message *m, struct trace_ids *out, bool *deferred)
{
    struct text trace, span, sampled, flags;

    if (http_field_count(m, "x-b3-traceid", &trace) != 1 ||
        http_field_count(m, "x-b3-spanid", &span) != 1 || !b3_ids(trace, span, out))
        return false;
    bool one = http_field_count(m, "x-b3-sampled", &sampled) == 1;
    bool debug = http_field_count(m, "x-b3-flags", &flags) == 1 && text_is(flags, "1");
    b3_decide(debug ? 1 : one ? b3_decision(sampled) : -1, out, deferred);
    return true;
}

static bool b3_read(const struct http_message *m, struct trace_ids *out, bool *deferred)
{
    struct text single;

    if (http_field_count(m, "b3", &single) == 1) {
        /* A decision without ids is valid, and says that there is no trace to belong to. */
        if (single.length == 1 && b3_decision(single) >= 0)
            return false;
        if (b3_single(single, out, deferred))
            return true;
        *out = (struct trace_ids){0};
    }
    return b3_several(m, out, deferred);
}

bool http_context(const struct http_message *request, enum http_contexts formats,
                  struct trace_ids *out, struct text *state, bool *deferred, struct arena *arena)
{
    struct text parent;
    bool w3c = formats == HTTP_CONTEXT_W3C || formats == HTTP_CONTEXT_W3C_B3;
    bool b3 = formats == HTTP_CONTEXT_B3 || formats == HTTP_CONTEXT_W3C_B3;
    size_t parents = w3c ? http_field_count(request, "traceparent", &parent) : 0;
    bool found = false;

    *out = (struct trace_ids){0};
    *state = (struct text){NULL, 0};
    *deferred = false;
    if (parents == 1) {
        found = !traceparent_parse((const uint8_t *)parent.data, parent.length, out);
        if (found)
            *state = state_read(request, arena);
    } else if (!parents && b3) {
        found = b3_read(request, out, deferred);
    }
    if (found)
        out->remote = 1;
    else
        *out = (struct trace_ids){0};
    return found;
}
