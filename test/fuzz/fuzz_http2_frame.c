/*
 * Any bytes as a direction of HTTP/2: whatever the split the same is told, and what is told of
 * bodies, ends and gRPC messages is what a reader with all frames in memory finds.
 */
#include "../unit/http2_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* -------- the reader with all frames in memory: it stops where the framer was lost */

struct reader {
    struct wire_stream streams[WIRE_STREAMS];
    struct wire_grpc grpc[WIRE_STREAMS];
    size_t count;
    bool full;
};

static struct wire_stream *reader_stream(struct reader *r, uint32_t number)
{
    for (size_t i = 0; i < r->count; i++) {
        if (r->streams[i].number == number)
            return &r->streams[i];
    }
    if (r->count == WIRE_STREAMS) {
        r->full = true;
        return NULL;
    }
    r->grpc[r->count] = (struct wire_grpc){0};
    r->streams[r->count] = (struct wire_stream){.number = number};
    return &r->streams[r->count++];
}

static void reader_frame(struct reader *r, const uint8_t *frame, size_t length)
{
    uint32_t stream = wire_number(frame);
    size_t pad = frame[3] == 0 && frame[4] & 8 ? 1u + frame[9] : 0;
    struct wire_stream *s;

    if (frame[3] > 1 || !(s = reader_stream(r, stream)))
        return;
    if (frame[3] == 0) {
        s->body += length - pad;
        wire_grpc(&r->grpc[s - r->streams], frame + 9 + (pad ? 1 : 0), length - pad);
    }
    s->ended = s->ended || (frame[4] & 1);
}

static void reader_run(struct reader *r, const uint8_t *bytes, size_t n)
{
    r->count = 0;
    r->full = false;
    while (n >= 9) {
        size_t length = (size_t)bytes[0] << 16 | (size_t)bytes[1] << 8 | bytes[2];
        /* A block may be complete, and end its stream, ahead of padding that has not come. */
        if (n - 9 < length && bytes[3] == 1)
            reader_frame(r, bytes, length);
        if (n - 9 < length)
            break;
        reader_frame(r, bytes, length);
        bytes += 9 + length;
        n -= 9 + length;
    }
}

/*
 * Of every stream whose end was told. A stream that goes on behind its end, which no peer takes, is
 * told of wrongly: ends_are_ends leaves such bytes out.
 */
static void compare(struct reader *r, struct wire_side *s)
{
    for (size_t i = 0; i < s->stream_count; i++) {
        const struct wire_stream *got = &s->streams[i];
        const struct wire_stream *want = got->ended ? reader_stream(r, got->number) : NULL;
        if (!want)
            continue;
        REQUIRE(want->ended);
        REQUIRE(got->body == want->body);
        if (got->known)
            REQUIRE(!r->grpc[want - r->streams].none && !r->grpc[want - r->streams].have &&
                    got->messages == r->grpc[want - r->streams].count);
    }
}

/* Whether no DATA, HEADERS or RST_STREAM come for a stream behind its end or its reset. */
static bool ends_are_ends(const uint8_t *bytes, size_t n)
{
    static uint32_t over[WIRE_STREAMS];
    size_t count = 0;

    while (n >= 9) {
        size_t length = (size_t)bytes[0] << 16 | (size_t)bytes[1] << 8 | bytes[2];
        uint32_t stream = wire_number(bytes);
        if (bytes[3] <= 1 || bytes[3] == 3) {
            for (size_t i = 0; i < count; i++) {
                if (over[i] == stream)
                    return false;
            }
        }
        if ((bytes[3] <= 1 && bytes[4] & 1) || bytes[3] == 3) {
            if (count == WIRE_STREAMS)
                return false;
            over[count++] = stream;
        }
        if (n - 9 < length)
            break;
        bytes += 9 + length;
        n -= 9 + length;
    }
    return true;
}

/* -------- */

static void show_split(struct wire *w, enum frame_side side, const uint8_t *bytes, size_t n,
                       uint32_t seed)
{
    while (n) {
        size_t some = seed == 0   ? n
                      : seed == 1 ? 1
                                  : 1 + (seed = seed * 1103515245 + 12345) / 65536 % 40;
        if (some > n)
            some = n;
        /* Memory of exactly this size, so that ASan sees overruns. */
        uint8_t *given = malloc(some);
        REQUIRE(given != NULL);
        memcpy(given, bytes, some);
        wire_show(w, side, given, some);
        free(given);
        bytes += some;
        n -= some;
    }
}

/* The first byte says which side and how the bytes are split; the server's need no preface. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wire whole, split;
    static struct reader reader;
    size_t skip = 0;

    if (size < 2)
        return 0;
    enum frame_side side = data[0] & 1 ? SIDE_RESPONSE : SIDE_REQUEST;
    uint32_t seed = 1 + data[0] / 2u;
    data++, size--;
    http2_sniff(data, size);
    wire_begin(&whole, true);
    wire_begin(&split, true);
    if (side == SIDE_REQUEST) {
        static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        if (http2_sniff(data, size) == 1) {
            skip = HTTP2_PREFACE;
        } else {
            show_split(&whole, side, preface, HTTP2_PREFACE, 0);
            show_split(&split, side, preface, HTTP2_PREFACE, seed);
        }
    }
    show_split(&whole, side, data, size, 0);
    show_split(&split, side, data, size, seed);
    REQUIRE(wire_same(&whole.side[side].steps, &split.side[side].steps));
    REQUIRE(wire_same(&whole.side[side].heads, &split.side[side].heads));
    if (!whole.side[side].lost && ends_are_ends(data + skip, size - skip)) {
        reader_run(&reader, data + skip, size - skip);
        compare(&reader, &whole.side[side]);
    }
    wire_end(&whole);
    wire_end(&split);
    return 0;
}
