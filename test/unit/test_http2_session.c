/*
 * Framer and decoder against nghttp2's own sessions: two of them talk by scripts that are made from
 * a number, and what each received must be what we saw go by.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <nghttp2/nghttp2.h>

#include "http2_wire.h"

enum { BODIES = 256, SCRIPTS = 400 };

struct body {
    uint8_t *bytes;
    size_t length, at;
    bool trailer;
};

struct talk;
struct endpoint {
    struct talk *talk;
    nghttp2_session *session;
    enum frame_side sends; /* what it sends; it receives the other */
};

struct talk {
    uint64_t random;
    struct endpoint client, server;
    struct wire wire;
    /* What the receivers saw, by the side that sent it. */
    struct wire_side seen[2];
    struct wire_grpc grpc[2][WIRE_STREAMS];
    struct http_message building[2];
    uint32_t building_number[2];
    struct arena *arena;
    struct body bodies[BODIES];
    size_t body_count;
    unsigned split, big; /* how bytes are split; one in `big` messages has a huge field */
    bool only_grpc;
    int32_t refused; /* once what is on its way has been received, or it would be ignored */
    size_t continuations, padded, settled;
};

static uint32_t pick(struct talk *t, uint32_t below)
{
    t->random = t->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((t->random >> 33) % below);
}

/* -------- bodies */

static void body_grpc(struct talk *t, struct wire_text *out)
{
    static const uint8_t zero[4000];

    for (uint32_t left = pick(t, 6); left; left--) {
        uint32_t n = pick(t, 4) ? pick(t, 40) : pick(t, 4000);
        uint8_t prefix[5] = {(uint8_t)pick(t, 2), 0, 0, (uint8_t)(n >> 8), (uint8_t)n};
        wire_bytes(out, prefix, 5);
        wire_bytes(out, zero, n);
    }
    if (!t->only_grpc && !pick(t, 8))
        wire_bytes(out, "\0\0\0\1", 1 + pick(t, 4)); /* ends within a message */
}

static struct body *body_new(struct talk *t)
{
    struct wire_text out = {0};

    if (t->body_count == BODIES)
        return NULL;
    struct body *b = &t->bodies[t->body_count++];
    if (t->only_grpc || pick(t, 3)) {
        body_grpc(t, &out);
    } else {
        for (uint32_t left = pick(t, 3000); left; left--) {
            uint8_t byte = (uint8_t)pick(t, 256);
            wire_bytes(&out, &byte, 1);
        }
    }
    *b = (struct body){(uint8_t *)out.data, out.length, 0, pick(t, 3) == 0};
    return b;
}

static ssize_t body_read(nghttp2_session *session, int32_t stream, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct talk *t = ((struct endpoint *)user)->talk;
    struct body *b = source->ptr;
    size_t n = pick(t, 3) ? 1 + pick(t, 60) : 1 + pick(t, 3000);

    if (n > b->length - b->at)
        n = b->length - b->at;
    if (n > room)
        n = room;
    if (n)
        memcpy(to, b->bytes + b->at, n);
    b->at += n;
    /* Sometimes an empty DATA frame ends the stream. */
    if (b->at == b->length && (!n || pick(t, 2))) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (b->trailer) {
            nghttp2_nv nv = {(uint8_t *)"grpc-status", (uint8_t *)"0", 11, 1, 0};
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            REQUIRE(!nghttp2_submit_trailer(session, stream, &nv, 1));
        }
    }
    return (ssize_t)n;
}

/* -------- fields */

struct fields {
    nghttp2_nv nv[40];
    size_t count;
    char text[40][64];
    char *huge;
};

static void field_add(struct talk *t, struct fields *f, const char *name, const char *value)
{
    nghttp2_nv *nv = &f->nv[f->count++];

    nv->name = (uint8_t *)(uintptr_t)name;
    nv->namelen = strlen(name);
    nv->value = (uint8_t *)(uintptr_t)value;
    nv->valuelen = strlen(value);
    nv->flags = pick(t, 4) ? NGHTTP2_NV_FLAG_NONE : NGHTTP2_NV_FLAG_NO_INDEX;
}

static void fields_regular(struct talk *t, struct fields *f)
{
    static const char *const names[] = {"accept", "x-a", "x-b", "cookie", "user-agent", "etag"};

    for (uint32_t left = pick(t, 12); left; left--) {
        char *value = f->text[f->count];
        snprintf(value, sizeof(f->text[0]), "v%u", pick(t, 30) * 7919u);
        field_add(t, f, names[pick(t, 6)], value);
    }
    if (!pick(t, 10))
        field_add(t, f, "x-empty", "");
    if (t->big && !pick(t, t->big)) {
        size_t n = pick(t, 2) ? 8000 : 30000;
        f->huge = malloc(n + 1);
        REQUIRE(f->huge != NULL);
        for (size_t i = 0; i < n; i++)
            f->huge[i] = (char)('!' + pick(t, 90));
        f->huge[n] = '\0';
        field_add(t, f, "x-huge", f->huge);
    }
}

static void fields_request(struct talk *t, struct fields *f)
{
    f->count = 0;
    f->huge = NULL;
    field_add(t, f, ":method", pick(t, 2) ? "GET" : "POST");
    snprintf(f->text[1], sizeof(f->text[1]), "/p/%u", pick(t, 20));
    field_add(t, f, ":path", f->text[1]);
    field_add(t, f, ":scheme", "http");
    field_add(t, f, ":authority", "example");
    fields_regular(t, f);
}

static void fields_response(struct talk *t, struct fields *f, const char *status)
{
    f->count = 0;
    f->huge = NULL;
    field_add(t, f, ":status", status);
    fields_regular(t, f);
}

/* -------- what the receivers saw */

static enum frame_side received(const struct endpoint *e)
{
    return e->sends == SIDE_REQUEST ? SIDE_RESPONSE : SIDE_REQUEST;
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct endpoint *e = user;
    enum frame_side side = received(e);

    (void)session;
    memset(&e->talk->building[side], 0, sizeof(struct http_message));
    e->talk->building_number[side] = frame->hd.type == NGHTTP2_PUSH_PROMISE
                                         ? (uint32_t)frame->push_promise.promised_stream_id
                                         : (uint32_t)frame->hd.stream_id;
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t namelen, const uint8_t *value, size_t valuelen, uint8_t flags,
                     void *user)
{
    struct endpoint *e = user;
    struct http_message *m = &e->talk->building[received(e)];
    struct text n = arena_copy(e->talk->arena, (const char *)name, namelen);
    struct text v = arena_copy(e->talk->arena, (const char *)value, valuelen);

    (void)session, (void)frame, (void)flags;
    REQUIRE(n.data && v.data);
    if (text_is(n, ":status"))
        m->status = (uint16_t)atoi(v.data);
    else if (text_is(n, ":method"))
        m->method = v;
    else if (text_is(n, ":path"))
        m->target = v;
    else if (text_is(n, ":scheme"))
        m->scheme = v;
    else if (text_is(n, ":authority"))
        m->authority = v;
    else
        m->fields[m->field_count++] = (struct http_field){n, v};
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t n, void *user)
{
    struct endpoint *e = user;
    struct wire_side *seen = &e->talk->seen[received(e)];
    struct wire_stream *s = wire_stream(seen, (uint32_t)stream);

    (void)session, (void)flags;
    REQUIRE(s != NULL);
    s->body += n;
    wire_grpc(&e->talk->grpc[received(e)][s - seen->streams], data, n);
    return 0;
}

static void respond(struct talk *t, int32_t stream)
{
    nghttp2_session *session = t->server.session;
    struct fields f;

    if (!pick(t, 10)) {
        fields_response(t, &f, "103");
        REQUIRE(!nghttp2_submit_headers(session, 0, stream, NULL, f.nv, f.count, NULL));
        free(f.huge);
    }
    if (!pick(t, 10)) {
        fields_request(t, &f);
        int32_t promised = nghttp2_submit_push_promise(session, 0, stream, f.nv, f.count, NULL);
        REQUIRE(promised > 0);
        free(f.huge);
        fields_response(t, &f, "200");
        struct body *b = body_new(t);
        nghttp2_data_provider data = {{.ptr = b}, body_read};
        REQUIRE(!nghttp2_submit_response(session, promised, f.nv, f.count, b ? &data : NULL));
        free(f.huge);
    }
    if (!pick(t, 15)) {
        t->refused = stream;
        return;
    }
    struct body *b = pick(t, 5) ? body_new(t) : NULL;
    nghttp2_data_provider data = {{.ptr = b}, body_read};
    fields_response(t, &f, pick(t, 3) ? "200" : "404");
    REQUIRE(!nghttp2_submit_response(session, stream, f.nv, f.count, b ? &data : NULL));
    free(f.huge);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct endpoint *e = user;
    struct talk *t = e->talk;
    enum frame_side side = received(e);
    struct wire_side *seen = &t->seen[side];
    bool push = frame->hd.type == NGHTTP2_PUSH_PROMISE;

    (void)session;
    if (frame->hd.type == NGHTTP2_HEADERS || push) {
        wire_format(&seen->heads, "%s %u 0\n", push ? "push" : "head", t->building_number[side]);
        wire_message(&seen->heads, &t->building[side]);
        if (side == SIDE_REQUEST && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
            respond(t, frame->hd.stream_id);
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        wire_stream(seen, (uint32_t)frame->hd.stream_id)->reset = true;
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        wire_stream(seen, (uint32_t)frame->hd.stream_id)->ended = true;
    if (frame->hd.type == NGHTTP2_SETTINGS)
        t->settled += frame->hd.flags & NGHTTP2_FLAG_ACK;
    t->padded += frame->hd.type == NGHTTP2_DATA && frame->data.padlen > 0;
    return 0;
}

static ssize_t on_padding(nghttp2_session *session, const nghttp2_frame *frame, size_t most,
                          void *user)
{
    struct talk *t = ((struct endpoint *)user)->talk;
    size_t room = most - frame->hd.length;

    (void)session;
    return (ssize_t)(frame->hd.length + (pick(t, 2) && room ? pick(t, (uint32_t)room + 1) : 0));
}

static void endpoint_begin(struct talk *t, struct endpoint *e, enum frame_side sends)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;

    e->talk = t;
    e->sends = sends;
    REQUIRE(!nghttp2_session_callbacks_new(&callbacks));
    REQUIRE(!nghttp2_option_new(&option));
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_select_padding_callback(callbacks, on_padding);
    nghttp2_option_set_max_deflate_dynamic_table_size(option, HTTP2_TABLE_MAX);
    if (sends == SIDE_REQUEST)
        REQUIRE(!nghttp2_session_client_new2(&e->session, callbacks, e, option));
    else
        REQUIRE(!nghttp2_session_server_new2(&e->session, callbacks, e, option));
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
}

/* -------- bytes on their way: header blocks are cut up, and unknown frames stand in between */

/* A frame with a whole header block, as one that continues. */
static void block_cut(struct talk *t, struct wire_text *out, const uint8_t *frame, size_t length)
{
    const uint8_t *p = frame + 9;
    unsigned type = frame[3], flags = frame[4];
    uint32_t stream = wire_number(frame);
    size_t pad = flags & NGHTTP2_FLAG_PADDED ? p[0] : 0;
    size_t fixed = (flags & NGHTTP2_FLAG_PADDED ? 1u : 0u) + (type == NGHTTP2_PUSH_PROMISE    ? 4u
                                                              : flags & NGHTTP2_FLAG_PRIORITY ? 5u
                                                                                              : 0u);
    size_t end = length - pad;
    size_t cut = fixed + pick(t, (uint32_t)(end - fixed + 1));

    wire_frame(out, cut + pad, type, flags & ~(unsigned)NGHTTP2_FLAG_END_HEADERS, stream);
    wire_bytes(out, p, cut);
    wire_bytes(out, p + end, pad);
    for (unsigned left = 1 + pick(t, 3); left; left--) {
        size_t n = left == 1 ? end - cut : pick(t, (uint32_t)(end - cut + 1));
        wire_frame(out, n, NGHTTP2_CONTINUATION, left == 1 ? NGHTTP2_FLAG_END_HEADERS : 0, stream);
        wire_bytes(out, p + cut, n);
        cut += n;
        t->continuations++;
    }
}

static void reframe(struct talk *t, struct wire_text *out, const uint8_t *bytes, size_t n)
{
    bool inside = false;

    while (n) {
        REQUIRE(n >= 9);
        size_t length = (size_t)bytes[0] << 16 | (size_t)bytes[1] << 8 | bytes[2];
        bool head = bytes[3] == NGHTTP2_HEADERS || bytes[3] == NGHTTP2_PUSH_PROMISE;
        bool whole = bytes[4] & NGHTTP2_FLAG_END_HEADERS;
        REQUIRE(n >= 9 + length);
        if (!inside && !pick(t, 12) && bytes[3] != NGHTTP2_SETTINGS) {
            size_t some = pick(t, 30);
            static const uint8_t junk[30] = "any bytes at all, really";
            wire_frame(out, some, 0xb0 + pick(t, 9), pick(t, 256), pick(t, 99));
            wire_bytes(out, junk, some);
        }
        if (head && whole && pick(t, 2))
            block_cut(t, out, bytes, length);
        else
            wire_bytes(out, bytes, 9 + length);
        inside = head || bytes[3] == NGHTTP2_CONTINUATION ? !whole : inside;
        t->continuations += bytes[3] == NGHTTP2_CONTINUATION;
        bytes += 9 + length;
        n -= 9 + length;
    }
}

static void show(struct talk *t, enum frame_side side, const uint8_t *bytes, size_t n)
{
    while (n) {
        size_t some = t->split == 0 ? n : t->split == 1 ? 1 : 1 + pick(t, 200);
        if (some > n)
            some = n;
        wire_show(&t->wire, side, bytes, some);
        bytes += some;
        n -= some;
    }
}

/* All that one endpoint has to say, to the other and to us. Returns how much it was. */
static size_t deliver(struct talk *t, struct endpoint *from, struct endpoint *to)
{
    struct wire_text raw = {0}, out = {0};
    const uint8_t *chunk;
    ssize_t n;

    while ((n = nghttp2_session_mem_send(from->session, &chunk)) > 0)
        wire_bytes(&raw, chunk, (size_t)n);
    REQUIRE(n == 0);
    size_t preface = http2_sniff((uint8_t *)raw.data, raw.length) == 1 ? HTTP2_PREFACE : 0;
    wire_bytes(&out, raw.data, preface);
    reframe(t, &out, (uint8_t *)raw.data + preface, raw.length - preface);
    show(t, from->sends, (uint8_t *)out.data, out.length);
    n = nghttp2_session_mem_recv(to->session, (uint8_t *)out.data, out.length);
    REQUIRE(n == (ssize_t)out.length);
    if (t->refused)
        REQUIRE(!nghttp2_submit_rst_stream(to->session, 0, t->refused, NGHTTP2_REFUSED_STREAM));
    t->refused = 0;
    free(raw.data);
    free(out.data);
    return (size_t)n;
}

/* -------- scripts */

static void settings(struct talk *t, struct endpoint *e)
{
    static const uint32_t sizes[] = {0, 60, 128, 4096, 20000, 65536};
    nghttp2_settings_entry entries[4] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 24}};
    size_t count = 1;

    for (uint32_t left = pick(t, 4); left; left--)
        entries[count++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, sizes[pick(t, 6)]};
    REQUIRE(!nghttp2_submit_settings(e->session, 0, entries, count));
}

static void request(struct talk *t)
{
    nghttp2_priority_spec priority;
    struct fields f;
    struct body *b = pick(t, 3) ? body_new(t) : NULL;
    nghttp2_data_provider data = {{.ptr = b}, body_read};

    nghttp2_priority_spec_init(&priority, 0, (int32_t)(1 + pick(t, 256)), 0);
    fields_request(t, &f);
    int32_t stream = nghttp2_submit_request(t->client.session, pick(t, 2) ? &priority : NULL, f.nv,
                                            f.count, b ? &data : NULL, NULL);
    REQUIRE(stream > 0);
    free(f.huge);
    if (!pick(t, 10))
        REQUIRE(!nghttp2_submit_priority(t->client.session, 0, stream, &priority));
}

static void round_of(struct talk *t, unsigned most)
{
    for (uint32_t left = 1 + pick(t, most); left; left--)
        request(t);
    if (!pick(t, 3))
        settings(t, pick(t, 2) ? &t->client : &t->server);
    if (!pick(t, 3))
        REQUIRE(!nghttp2_submit_ping(t->client.session, 0, NULL));
    size_t moved;
    do {
        moved = deliver(t, &t->client, &t->server);
        moved += deliver(t, &t->server, &t->client);
    } while (moved);
}

static struct talk *talk_run(uint64_t seed, unsigned most, unsigned big, bool only_grpc)
{
    struct talk *t = calloc(1, sizeof(*t));

    REQUIRE(t != NULL);
    t->random = seed;
    t->big = big;
    t->only_grpc = only_grpc;
    t->split = pick(t, 3);
    t->arena = arena_new((size_t)1 << 28);
    wire_begin(&t->wire, true);
    endpoint_begin(t, &t->client, SIDE_REQUEST);
    endpoint_begin(t, &t->server, SIDE_RESPONSE);
    settings(t, &t->client);
    settings(t, &t->server);
    for (uint32_t rounds = 1 + pick(t, 5); rounds; rounds--)
        round_of(t, most);
    return t;
}

static void talk_end(struct talk *t)
{
    nghttp2_session_del(t->client.session);
    nghttp2_session_del(t->server.session);
    wire_end(&t->wire);
    free(t->seen[0].heads.data);
    free(t->seen[1].heads.data);
    for (size_t i = 0; i < t->body_count; i++)
        free(t->bodies[i].bytes);
    arena_free(t->arena);
    free(t);
}

static void compare_heads(const struct wire_side *ours, const struct wire_side *theirs)
{
    assert_false(ours->lost);
    assert_false(ours->undecodable);
    if (ours->cut)
        assert_true(ours->heads.length <= theirs->heads.length);
    else
        assert_int_equal(ours->heads.length, theirs->heads.length);
    assert_memory_equal(ours->heads.data ? ours->heads.data : "",
                        theirs->heads.data ? theirs->heads.data : "", ours->heads.length);
}

/* Adds to the counts of streams with messages that are known, and that are not. */
static void compare_streams(struct talk *t, enum frame_side side, size_t *known, size_t *unknown)
{
    struct wire_side *ours = &t->wire.side[side], *theirs = &t->seen[side];

    for (size_t i = 0; i < theirs->stream_count; i++) {
        const struct wire_stream *want = &theirs->streams[i];
        const struct wire_grpc *grpc = &t->grpc[side][i];
        const struct wire_stream *got = wire_stream(ours, want->number);
        assert_non_null(got);
        assert_int_equal(got->ended, want->ended);
        assert_int_equal(got->reset, want->reset);
        if (!want->ended)
            continue;
        assert_int_equal(got->body, want->body);
        bool whole = !grpc->none && !grpc->have;
        if (got->known) {
            assert_true(whole);
            assert_int_equal(got->messages, grpc->count);
        }
        *known += whole && got->known;
        *unknown += whole && !got->known;
    }
    for (size_t i = 0; i < ours->stream_count; i++)
        assert_non_null(wire_stream(theirs, ours->streams[i].number));
    assert_true(ours->stream_count <= theirs->stream_count);
}

static void test_streams_headers_and_bodies_are_what_nghttp2_received(void **state)
{
    size_t continuations = 0, padded = 0, settled = 0, known = 0, unknown = 0, streams = 0;

    (void)state;
    for (unsigned seed = 0; seed < SCRIPTS; seed++) {
        struct talk *t = talk_run(seed, 30, 0, false);
        for (int side = 0; side < 2; side++) {
            compare_heads(&t->wire.side[side], &t->seen[side]);
            compare_streams(t, (enum frame_side)side, &known, &unknown);
            streams += t->seen[side].stream_count;
        }
        continuations += t->continuations, padded += t->padded, settled += t->settled;
        talk_end(t);
    }
    print_message("%zu streams, %zu continuations, %zu padded, %zu settled, %zu counted, %zu not\n",
                  streams, continuations, padded, settled, known, unknown);
    /* The scripts do what they are for. */
    assert_true(streams > 5000 && continuations > 2000 && padded > 2000 && settled > SCRIPTS);
    assert_true(known > 1000 && unknown > 100);
}

static void test_messages_of_a_few_streams_at_once_are_always_counted(void **state)
{
    size_t known = 0, unknown = 0;

    (void)state;
    for (unsigned seed = 0; seed < SCRIPTS; seed++) {
        /* A push for each request may be under way beside it. */
        struct talk *t = talk_run(seed, HTTP2_PARKED / 2, 0, true);
        for (int side = 0; side < 2; side++)
            compare_streams(t, (enum frame_side)side, &known, &unknown);
        talk_end(t);
    }
    assert_true(known > 1000);
    assert_int_equal(unknown, 0);
}

static void test_a_header_block_that_is_too_long_hides_later_ones_and_no_body(void **state)
{
    size_t cut = 0, known = 0, unknown = 0;

    (void)state;
    for (unsigned seed = 0; seed < SCRIPTS / 4; seed++) {
        struct talk *t = talk_run(seed, 10, 8, false);
        for (int side = 0; side < 2; side++) {
            compare_heads(&t->wire.side[side], &t->seen[side]);
            compare_streams(t, (enum frame_side)side, &known, &unknown);
            cut += t->wire.side[side].cut;
        }
        talk_end(t);
    }
    assert_true(cut > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_headers_and_bodies_are_what_nghttp2_received),
        cmocka_unit_test(test_messages_of_a_few_streams_at_once_are_always_counted),
        cmocka_unit_test(test_a_header_block_that_is_too_long_hides_later_ones_and_no_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
