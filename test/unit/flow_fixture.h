/* Bytes of connections in, spans out: capture's flows with the real drain and fold behind them. */
#ifndef TEST_FLOW_FIXTURE_H
#define TEST_FLOW_FIXTURE_H

/* before names that its functions have, too */
#include "capture/turn.h"

#include "region_fixture.h"

#include <errno.h>
#include <sys/socket.h>

#include "capture/flow.h"
#include "fold_fixture.h"

enum { SPANS = 64 };

static struct fixture *x;
static struct drain *drain;
static struct lane *lane;
static struct span spans[SPANS];
static size_t span_count;
static uint64_t now;

static __attribute__((unused)) int begin(void **state)
{
    (void)state;
    x = fixture_new();
    munmap(x->region, x->region_size);
    region_open(64, 4);
    x->region = region;
    x->conf.traces = x->conf.metrics_http = true;
    x->conf.traces_adopt_children = 1000;
    struct clock_relation clock = {.unix_nano = EPOCH, .mult = 1ULL << 32};
    region_set_clock(region, &clock);
    region->watch =
        WATCH_METRICS | WATCH_SOCKETS | WATCH_CONSOLE | WATCH_FLOWS | WATCH_TRACES | WATCH_W3C;
    region->random_seed = 42;
    region->sample_below = 1ULL << 56;
    region->sampler = SAMPLER_PARENT;
    flow_table = mmap(NULL, (size_t)FLOW_MAX * FLOW_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    fd_table = calloc(FD_TABLE_SIZE, sizeof(*fd_table));
    static char w3c[] = "tracecontext", *formats[] = {w3c};
    x->conf.propagators = (struct conf_list){formats, 1};
    fixture_start(x);
    x->conf.traces_sdk = TRACES_SDK_IGNORE;
    drain = drain_new(region);
    lane = lane_bind(region, getpid(), 7);
    now = 1000;
    return 0;
}

static __attribute__((unused)) int end(void **state)
{
    (void)state;
    drain_free(drain);
    fold_free(x->fold);
    arena_free(x->arena);
    free(x);
    munmap(flow_table, (size_t)FLOW_MAX * FLOW_SIZE);
    free(fd_table);
    fd_table = NULL;
    flow_table = NULL;
    region_close();
    return 0;
}

static __attribute__((unused)) void take_one(void *context, const struct record *r,
                                             const uint8_t *payload, int32_t tid)
{
    (void)context;
    fold_record(x->fold, r, payload, tid);
}

static __attribute__((unused)) void take_spans(void)
{
    struct batch batch;
    drain_run(drain, true, take_one, NULL);
    span_count = fold_spans(x->fold, SPANS, x->arena, &batch);
    if (span_count)
        memcpy(spans, batch.spans, span_count * sizeof(*spans));
    take(x, true);
}

static __attribute__((unused)) void open_fd(int fd, uint32_t flags)
{
    fd_opened(region, fd, KIND_TCP, FD_CONNECTED | flags);
}

static __attribute__((unused)) struct flow_bytes moved_at(int fd, int direction)
{
    now += 1000;
    return (struct flow_bytes){.lane = lane,
                               .fd = fd,
                               .entry = fd_get(fd),
                               .start = now,
                               .end = now + 500,
                               .direction = direction};
}

static __attribute__((unused)) void move(int fd, int direction, const void *bytes, size_t length)
{
    struct flow_bytes m = moved_at(fd, direction);
    struct piece piece = {bytes, (uint32_t)length};
    if (m.entry & FD_FLOW)
        flow_moved(region, &m, &piece, 1, length);
}

static __attribute__((unused)) void in(int fd, const char *text)
{
    move(fd, 'r', text, strlen(text));
}

static __attribute__((unused)) void out(int fd, const char *text)
{
    move(fd, 'w', text, strlen(text));
}

static __attribute__((unused)) void log_line(const char *text)
{
    struct piece piece = {text, (uint32_t)strlen(text)};
    now += 1000;
    record_data(region, lane, OP_WRITE, 1, fd_get(1), now, now, (int64_t)strlen(text), &piece, 1,
                RECORD_OUT);
}

static __attribute__((unused)) const struct log_record *line_of(const char *text)
{
    for (size_t i = 0; i < x->log_count; i++)
        if (text_is(x->logs[i].body, text))
            return &x->logs[i];
    fail_msg("no line %s", text);
    return NULL;
}

static __attribute__((unused)) void has(const struct span *s, const char *key, const char *value)
{
    for (size_t i = 0; i < s->attributes.count; i++)
        if (text_is(s->attributes.items[i].key, key)) {
            assert_true(text_is(s->attributes.items[i].text, value));
            return;
        }
    fail_msg("no attribute %s", key);
}

static __attribute__((unused)) const struct span *only(enum span_kind kind)
{
    const struct span *found = NULL;
    for (size_t i = 0; i < span_count; i++)
        if (spans[i].kind == kind) {
            assert_null(found);
            found = &spans[i];
        }
    assert_non_null(found);
    return found;
}

static __attribute__((unused)) bool none(const uint8_t *id, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (id[i])
            return false;
    return true;
}

#define GET "GET /a?b=1 HTTP/1.1\r\nHost: h:81\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define PARENT "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"

static __attribute__((unused)) void connects(int fd)
{
    struct flow_bytes m = moved_at(fd, 0);
    flow_connects(region, &m);
}

static __attribute__((unused)) const struct span *of_peer(enum span_kind kind, const char *path)
{
    for (size_t i = 0; i < span_count; i++)
        for (size_t k = 0; spans[i].kind == kind && k < spans[i].attributes.count; k++) {
            const struct attribute *a = &spans[i].attributes.items[k];
            if ((text_is(a->key, "url.path") || text_is(a->key, "url.full")) &&
                a->text.length >= strlen(path) &&
                !memcmp(a->text.data + a->text.length - strlen(path), path, strlen(path)))
                return &spans[i];
        }
    fail_msg("no span of %s", path);
    return NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif
