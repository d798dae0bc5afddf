/*
 * Header compression of HTTP/2: turns header blocks into messages; the only user of nghttp2.
 */
#include "protocol/http2.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

/* SETTINGS frames that wait for their acknowledgement; who sends more than this at once is odd. */
enum { PENDING_MAX = 16 };

struct pending {
    bool says;
    uint32_t least, last;
};

struct http2_decoder {
    nghttp2_hd_inflater *inflater;
    bool broken; /* what it knows is no longer what the encoder knows */
    unsigned pending_count;
    struct pending pending[PENDING_MAX]; /* the oldest first */
};

struct http2_decoder *http2_decoder_new(void)
{
    struct http2_decoder *d = calloc(1, sizeof(*d));

    if (d && nghttp2_hd_inflate_new(&d->inflater) != 0) {
        free(d);
        return NULL;
    }
    return d;
}

void http2_decoder_free(struct http2_decoder *d)
{
    if (!d)
        return;
    nghttp2_hd_inflate_del(d->inflater);
    free(d);
}

void http2_decoder_settings(struct http2_decoder *d, bool says, uint32_t least, uint32_t last)
{
    if (d->pending_count == PENDING_MAX) {
        d->broken = true;
        return;
    }
    d->pending[d->pending_count++] = (struct pending){says, least, last};
}

/* An encoder that makes use of more than the maximum is found out by its next block. */
static void table_size(struct http2_decoder *d, uint32_t size)
{
    if (size > HTTP2_TABLE_MAX)
        size = HTTP2_TABLE_MAX;
    if (nghttp2_hd_inflate_change_table_size(d->inflater, size) != 0)
        d->broken = true;
}

void http2_decoder_settled(struct http2_decoder *d)
{
    if (d->broken || !d->pending_count)
        return;
    struct pending p = d->pending[0];
    d->pending_count--;
    memmove(d->pending, d->pending + 1, d->pending_count * sizeof(p));
    if (!p.says)
        return;
    if (p.least < p.last)
        table_size(d, p.least);
    table_size(d, p.last);
}

/* A block on its way to a message. */
struct reading {
    struct arena *arena;
    struct http_message *message;
    size_t copied;   /* bytes of names and values */
    bool regular;    /* a field that is not pseudo has come */
    bool no_message; /* its pseudo fields contradict each other */
    bool no_room;    /* a pseudo field did not fit */
    bool of_request;
    bool of_response;
};

/* *place: empty so far. An empty value is one, too: its data is not NULL. */
static void pseudo_keep(struct reading *r, struct text *place, struct text value)
{
    if (place->data) {
        r->no_message = true;
        return;
    }
    *place = arena_copy(r->arena, value.data, value.length);
    if (!place->data)
        r->no_room = true;
}

static void status_read(struct reading *r, struct text value)
{
    unsigned status = 0;

    for (size_t i = 0; i < value.length && i < 4; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            r->no_message = true;
        status = status * 10 + (unsigned)(value.data[i] - '0');
    }
    if (r->message->status || value.length != 3 || status < 100)
        r->no_message = true;
    if (!r->no_message)
        r->message->status = (uint16_t)status;
}

/* Returns whether the name is that of a pseudo field which has a place of its own. */
static bool pseudo_read(struct reading *r, struct text name, struct text value)
{
    struct http_message *m = r->message;
    struct text *place = text_is(name, ":method")      ? &m->method
                         : text_is(name, ":path")      ? &m->target
                         : text_is(name, ":scheme")    ? &m->scheme
                         : text_is(name, ":authority") ? &m->authority
                                                       : NULL;

    if (place) {
        r->of_request = true;
        pseudo_keep(r, place, value);
    } else if (text_is(name, ":status")) {
        r->of_response = true;
        status_read(r, value);
    } else if (!text_is(name, ":protocol")) {
        r->no_message = true; /* RFC 9113, section 8.3: no others are known */
    } else {
        r->of_request = true; /* RFC 8441; kept as a field */
        return false;
    }
    return true;
}

static struct text trimmed(struct text t)
{
    while (t.length && (t.data[0] == ' ' || t.data[0] == '\t'))
        t.data++, t.length--;
    while (t.length && (t.data[t.length - 1] == ' ' || t.data[t.length - 1] == '\t'))
        t.length--;
    return t;
}

static void field_read(struct reading *r, const nghttp2_nv *nv)
{
    struct http_message *m = r->message;
    struct text name = {(const char *)nv->name, nv->namelen};
    struct text value = trimmed((struct text){(const char *)nv->value, nv->valuelen});
    bool pseudo = name.length && name.data[0] == ':';

    if (pseudo && r->regular)
        r->no_message = true;
    r->regular = r->regular || !pseudo;
    /* Once it is none, only the table has to be kept up to date: what is copied is bounded. */
    if (r->no_message || (pseudo && pseudo_read(r, name, value)))
        return;
    if (m->field_count == HTTP_FIELDS_MAX ||
        name.length + value.length > HTTP2_HEAD_MAX - r->copied) {
        m->fields_dropped++;
        return;
    }
    struct http_field f = {arena_copy(r->arena, name.data, name.length),
                           arena_copy(r->arena, value.data, value.length)};
    if (!f.name.data || !f.value.data) {
        m->fields_dropped++;
        return;
    }
    r->copied += name.length + value.length;
    m->fields[m->field_count++] = f;
}

static int reading_result(struct reading *r)
{
    struct http_message *m = r->message;

    m->is_request = r->of_request;
    if (r->no_message || (r->of_request && r->of_response))
        return -EPROTO;
    if (r->no_room)
        return -ENOMEM;
    if (r->of_request && !m->method.length)
        return -EPROTO;
    return 0;
}

int http2_decode(struct http2_decoder *d, const uint8_t *block, size_t length, struct arena *arena,
                 struct http_message *out)
{
    struct reading r = {.arena = arena, .message = out};
    int flags = 0;

    http_message_clear(out);
    out->major = 2;
    if (d->broken)
        return -EBADMSG;
    if (!length)
        block = (const uint8_t *)""; /* which may have been NULL */
    while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
        nghttp2_nv nv;
        ssize_t n = nghttp2_hd_inflate_hd2(d->inflater, &nv, &flags, block, length, 1);

        if (n < 0 || (size_t)n > length) {
            d->broken = true;
            return n == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EBADMSG;
        }
        block += n;
        length -= (size_t)n;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            field_read(&r, &nv);
        else if (!length)
            break;
    }
    nghttp2_hd_inflate_end_headers(d->inflater);
    return reading_result(&r);
}
