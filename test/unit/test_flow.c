/* Bytes of connections in, spans out: capture's flows with the real drain and fold behind them. */
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

static int begin(void **state)
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

static int end(void **state)
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

static void take_one(void *context, const struct record *r, const uint8_t *payload, int32_t tid)
{
    (void)context;
    fold_record(x->fold, r, payload, tid);
}

static void take_spans(void)
{
    struct batch batch;
    drain_run(drain, true, take_one, NULL);
    span_count = fold_spans(x->fold, SPANS, x->arena, &batch);
    if (span_count)
        memcpy(spans, batch.spans, span_count * sizeof(*spans));
    take(x, true);
}

static void open_fd(int fd, uint32_t flags)
{
    fd_opened(region, fd, KIND_TCP, FD_CONNECTED | flags);
}

static struct flow_bytes moved_at(int fd, int direction)
{
    now += 1000;
    return (struct flow_bytes){.lane = lane,
                               .fd = fd,
                               .entry = fd_get(fd),
                               .start = now,
                               .end = now + 500,
                               .direction = direction};
}

static void move(int fd, int direction, const void *bytes, size_t length)
{
    struct flow_bytes m = moved_at(fd, direction);
    struct piece piece = {bytes, (uint32_t)length};
    if (m.entry & FD_FLOW)
        flow_moved(region, &m, &piece, 1, length);
}

static void in(int fd, const char *text)
{
    move(fd, 'r', text, strlen(text));
}

static void out(int fd, const char *text)
{
    move(fd, 'w', text, strlen(text));
}

static void log_line(const char *text)
{
    struct piece piece = {text, (uint32_t)strlen(text)};
    now += 1000;
    record_data(region, lane, OP_WRITE, 1, fd_get(1), now, now, (int64_t)strlen(text), &piece, 1,
                RECORD_OUT);
}

static const struct log_record *line_of(const char *text)
{
    for (size_t i = 0; i < x->log_count; i++)
        if (text_is(x->logs[i].body, text))
            return &x->logs[i];
    fail_msg("no line %s", text);
    return NULL;
}

static void has(const struct span *s, const char *key, const char *value)
{
    for (size_t i = 0; i < s->attributes.count; i++)
        if (text_is(s->attributes.items[i].key, key)) {
            assert_true(text_is(s->attributes.items[i].text, value));
            return;
        }
    fail_msg("no attribute %s", key);
}

static const struct span *only(enum span_kind kind)
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

static bool none(const uint8_t *id, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (id[i])
            return false;
    return true;
}

#define GET "GET /a?b=1 HTTP/1.1\r\nHost: h:81\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define PARENT "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"

static void a_request_is_a_span_and_its_lines_belong_to_it(void **state)
{
    (void)state;
    open_fd(5, FD_SERVER);
    in(5, GET);
    log_line("within\n");
    out(5, OK);
    log_line("behind the answer\n");
    flow_idle(region, lane);
    log_line("elsewhere\n");
    take_spans();
    assert_int_equal(span_count, 1);
    const struct span *s = only(SPAN_SERVER);
    assert_true(text_is(s->name, "GET"));
    has(s, "url.path", "/a");
    has(s, "url.query", "b=1");
    has(s, "server.address", "h");
    assert_true(none(s->parent_span_id, 8));
    assert_memory_equal(line_of("within")->span_id, s->span_id, 8);
    assert_memory_equal(line_of("behind the answer")->trace_id, s->trace_id, 16);
    assert_true(none(line_of("elsewhere")->span_id, 8));
}

static void the_caller_is_the_parent(void **state)
{
    (void)state;
    static const uint8_t trace[] = {0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd},
                         parent[] = {0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31};
    open_fd(5, FD_SERVER);
    in(5, "GET / HTTP/1.1\r\nHost: h\r\nTraceParent: 00-" PARENT "-01\r\ntracestate: a=b\r\n\r\n");
    out(5, OK);
    in(5, "GET / HTTP/1.1\r\nHost: h\r\ntraceparent: 00-" PARENT "-00\r\n\r\n"); /* not sampled */
    out(5, OK);
    take_spans();
    assert_int_equal(span_count, 1);
    assert_memory_equal(spans[0].trace_id, trace, sizeof(trace));
    assert_memory_equal(spans[0].parent_span_id, parent, sizeof(parent));
    assert_int_equal(spans[0].flags & 0x301, 0x301);
    assert_true(text_is(spans[0].trace_state, "a=b"));
}

static void of_two_at_once_it_is_not_known_which_is_worked_on(void **state)
{
    (void)state;
    open_fd(5, FD_SERVER);
    in(5, GET GET);
    assert_true(trace_is_none(&lane->context));
    log_line("which\n");
    out(5, OK OK);
    take_spans();
    assert_int_equal(span_count, 2);
    assert_memory_not_equal(spans[0].trace_id, spans[1].trace_id, 16);
    assert_true(none(line_of("which")->span_id, 8));
}

/* An event loop: the request, the call it makes, another request, and then the answers. */
static void a_call_is_the_child_of_its_cause(void **state)
{
    (void)state;
    open_fd(5, FD_SERVER);
    open_fd(6, FD_SERVER);
    open_fd(9, 0);
    in(5, "GET /one HTTP/1.1\r\nHost: h\r\n\r\n");
    out(9, "GET /down HTTP/1.1\r\nHost: d\r\n\r\n");
    flow_idle(region, lane);
    in(6, "GET /two HTTP/1.1\r\nHost: h\r\n\r\n");
    flow_idle(region, lane);
    in(9, OK); /* brings the first one back */
    log_line("first\n");
    out(5, OK);
    flow_idle(region, lane);
    out(6, OK); /* so does writing its answer */
    log_line("second\n");
    take_spans();
    assert_int_equal(span_count, 3);
    const struct span *client = only(SPAN_CLIENT), *one = NULL, *two = NULL;
    for (size_t i = 0; i < span_count; i++)
        if (spans[i].kind == SPAN_SERVER) {
            const struct attribute *path = NULL;
            for (size_t k = 0; k < spans[i].attributes.count; k++)
                if (text_is(spans[i].attributes.items[k].key, "url.path"))
                    path = &spans[i].attributes.items[k];
            assert_non_null(path);
            *(text_is(path->text, "/one") ? &one : &two) = &spans[i];
        }
    assert_memory_equal(client->parent_span_id, one->span_id, 8);
    assert_memory_equal(client->trace_id, one->trace_id, 16);
    has(client, "url.full", "http://d/down");
    assert_memory_equal(line_of("first")->span_id, one->span_id, 8);
    assert_memory_equal(line_of("second")->span_id, two->span_id, 8);
}

static void a_thread_that_waits_keeps_what_is_not_answered(void **state)
{
    (void)state;
    open_fd(5, FD_SERVER);
    in(5, GET);
    flow_wait(region, lane);
    assert_false(trace_is_none(&lane->context));
    out(5, OK);
    flow_wait(region, lane);
    assert_true(trace_is_none(&lane->context));
}

/* A pool's thread answers what another has read, and may take up anything then. */
static void a_context_that_was_lent_ends_with_the_answer(void **state)
{
    (void)state;
    struct lane *reader = lane;
    open_fd(5, FD_SERVER);
    in(5, GET);
    lane = lane_bind(region, getpid(), 8);
    out(5, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
    assert_false(trace_is_none(&lane->context));
    out(5, "k");
    assert_true(trace_is_none(&lane->context));
    assert_false(trace_is_none(&reader->context));
}

static void adoption_has_limits(void **state)
{
    (void)state;
    open_fd(5, FD_SERVER);
    open_fd(9, 0);
    region->adopt_children = 2;
    in(5, GET);
    for (int i = 0; i < 3; i++) {
        out(9, GET);
        in(9, OK);
    }
    take_spans();
    size_t with = 0, without = 0;
    for (size_t i = 0; i < span_count; i++)
        *(none(spans[i].parent_span_id, 8) ? &without : &with) += 1;
    assert_int_equal(with, 2);
    assert_int_equal(without, 1);
}

static void any_split_is_the_same(void **state)
{
    (void)state;
    static const char request[] =
        "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n0\r\n\r\n" GET;
    static const char answer[] = OK "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
    for (size_t step = 1; step <= 64; step++) {
        open_fd(5, FD_SERVER);
        for (size_t at = 0; at < sizeof(request) - 1; at += step)
            move(5, 'r', request + at,
                 sizeof(request) - 1 - at < step ? sizeof(request) - 1 - at : step);
        for (size_t at = 0; at < sizeof(answer) - 1; at += step)
            move(5, 'w', answer + at,
                 sizeof(answer) - 1 - at < step ? sizeof(answer) - 1 - at : step);
        take_spans();
        assert_int_equal(span_count, 2);
        assert_true(text_is(spans[0].name, "POST"));
        assert_true(text_is(spans[1].name, "GET"));
    }
    assert_int_equal(region->drops[DROP_FLOW], 0);
}

static void what_is_not_read_is_left_alone(void **state)
{
    (void)state;
    static const char *const greetings[] = {"SSH-2.0-OpenSSH_9.2\r\n", "220 mail ESMTP\r\n",
                                            "*1\r\n$4\r\nPING\r\n", "\x16\x02\x00\x00\x00\x00",
                                            "GETTING somewhere else entirely\r\n"};
    for (size_t i = 0; i < sizeof(greetings) / sizeof(*greetings); i++) {
        open_fd(5, FD_SERVER);
        in(5, greetings[i]);
        in(5, greetings[i]);
        in(5, greetings[i]);
        assert_false(fd_get(5) & FD_FLOW);
    }
    take_spans();
    assert_int_equal(span_count, 0);
}

static void plaintext_belongs_to_its_connection(void **state)
{
    (void)state;
    uint8_t hello[100] = {22, 3, 1, 0, 95, 1};
    uint8_t random[32];
    fd_entry entry = 0;
    for (int i = 0; i < 32; i++)
        hello[11 + i] = random[i] = (uint8_t)(i * 7 + 1);
    open_fd(8, 0);
    move(8, 'w', hello, 5); /* in two */
    move(8, 'w', hello + 5, sizeof(hello) - 5);
    assert_true(fd_get(8) & FD_TLS);
    assert_int_equal(flow_by_random(random, 0, &entry), 8);
    assert_int_equal(FD_GENERATION(entry), FD_GENERATION(fd_get(8)));
    random[0] ^= 1;
    assert_int_equal(flow_by_random(random, 0, &entry), -1);
    struct flow_bytes m = moved_at(8, 'w');
    struct tls_handshake tls = {.version = 0x0304, .library = TLS_OPENSSL};
    flow_handshake(region, &m, &tls, "example", NULL, 0);
    m = moved_at(8, 'w');
    flow_plain(region, &m, GET, strlen(GET));
    m = moved_at(8, 'r');
    flow_plain(region, &m, OK, strlen(OK));
    take_spans();
    const struct span *s = only(SPAN_CLIENT);
    has(s, "url.full", "https://h:81/a?b=1");
    has(s, "tls.protocol.version", "1.3");
    const struct span *child = only(SPAN_INTERNAL);
    assert_true(text_is(child->name, "TLS client handshake example"));
    assert_memory_equal(child->parent_span_id, s->span_id, 8);
}

static void a_number_that_is_used_again_is_another_connection(void **state)
{
    (void)state;
    open_fd(5, FD_SERVER);
    in(5, "GET /half HTTP/1.1\r\nHo");
    open_fd(5, FD_SERVER);
    in(5, GET);
    out(5, OK);
    take_spans();
    assert_int_equal(span_count, 1);
    has(&spans[0], "url.path", "/a");
}

/* Records that found no room: what is told is right, what is not told is counted. */
static void a_loss_voids_what_it_tore(void **state)
{
    (void)state;
    size_t told = 0;
    open_fd(5, FD_SERVER);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 4000; i++) {
            in(5, GET);
            out(5, OK);
        }
        struct batch batch;
        drain_run(drain, true, take_one, NULL);
        for (size_t n; (n = fold_spans(x->fold, 1000, x->arena, &batch)); told += n)
            for (size_t i = 0; i < n; i++) {
                has(&batch.spans[i], "url.path", "/a");
                assert_int_equal(batch.spans[i].kind, SPAN_SERVER);
            }
        arena_reset(x->arena);
    }
    assert_true(region->drops[DROP_POOL_EMPTY] > 0);
    assert_true(told > 100 && told < 16000);
}

static void a_peer_that_leaves_is_an_error_of_the_client(void **state)
{
    (void)state;
    open_fd(9, 0);
    out(9, GET);
    struct record over = {.type = RECORD_END,
                          .op = OP_READ,
                          .kind = KIND_TCP,
                          .start = now,
                          .end = now + 600,
                          .fd = 9,
                          .generation = FD_GENERATION(fd_get(9))};
    record_write(region, lane, &over, NULL, 0);
    struct totals nothing = {.fd = 9, .generation = over.generation};
    struct piece piece = {&nothing, sizeof(nothing)};
    over.type = RECORD_CLOSE;
    over.op = OP_CLOSE;
    over.end = now + 700;
    record_write(region, lane, &over, &piece, 1);
    take_spans();
    const struct span *s = only(SPAN_CLIENT);
    has(s, "error.type", "connection_closed");
    assert_int_equal(s->status, STATUS_ERROR);
}

static void unsampled_requests_are_measured(void **state)
{
    (void)state;
    struct batch batch;
    region->sample_below = 0;
    open_fd(5, FD_SERVER);
    in(5, GET);
    out(5, OK);
    take_spans();
    assert_int_equal(span_count, 0);
    size_t n = fold_metrics(x->fold, 0, TEMPORALITY_CUMULATIVE, false, x->arena, &batch);
    bool found = false;
    for (size_t i = 0; i < n; i++)
        if (text_is(batch.metrics[i].name, "http.server.request.duration")) {
            found = true;
            assert_int_equal(batch.metrics[i].points[0].histogram.count, 1);
            assert_int_equal(batch.metrics[i].points[0].exemplar_count, 0);
        }
    assert_true(found);
}

/* What is about to be sent, and how much of it the kernel then took. */
static void send_shown(int fd, const char *text, size_t gone)
{
    struct flow_bytes m = moved_at(fd, 'w');
    struct piece piece = {text, (uint32_t)strlen(text)};
    m.end = m.start;
    assert_true(flow_sending(region, &m, &piece, 1, piece.length));
    if (gone < piece.length)
        flow_unsent(&m, piece.length - gone);
}

/* Another thread reads the answer before the call that sent the request is back. */
static void an_answer_may_overtake_the_call_that_asked(void **state)
{
    (void)state;
    struct lane *other = lane_bind(region, getpid(), 8), *own = lane;
    open_fd(9, 0);
    for (int i = 0; i < 3; i++) {
        send_shown(9, GET, strlen(GET));
        lane = other;
        in(9, OK);
        lane = own;
    }
    take_spans();
    assert_int_equal(span_count, 3);
    assert_int_equal(region->drops[DROP_FLOW], 0);
}

/* Whatever part of a request went, it is one request: what did not go comes again. */
static void what_was_shown_and_not_sent_comes_again(void **state)
{
    (void)state;
    static const char post[] = "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody";
    size_t length = strlen(post);
    open_fd(9, 0);
    for (size_t gone = 0; gone < length; gone += 7) {
        send_shown(9, post, gone);
        send_shown(9, post + gone, 0); /* it would have to wait */
        send_shown(9, post + gone, 1);
        out(9, post + gone + 1); /* told behind the call: the thread is alone again */
        in(9, OK);
    }
    take_spans();
    assert_int_equal(span_count, (length + 6) / 7);
    for (size_t i = 0; i < span_count; i++) {
        has(&spans[i], "url.full", "http://h/up");
        assert_int_equal(spans[i].kind, SPAN_CLIENT);
    }
    assert_int_equal(region->drops[DROP_FLOW], 0);
}

static void a_direction_is_lost_once(void **state)
{
    (void)state;
    open_fd(5, FD_SERVER);
    in(5, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    out(5, OK);
    for (int i = 0; i < 5; i++) {
        struct flow_bytes m = moved_at(5, 'r');
        flow_moved(region, &m, NULL, 0, 100); /* thrown away unseen: MSG_TRUNC */
    }
    take_spans();
    assert_int_equal(span_count, 1);
    assert_int_equal(region->drops[DROP_FLOW], 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static void connects(int fd)
{
    struct flow_bytes m = moved_at(fd, 0);
    flow_connects(region, &m);
}

static const struct span *of_peer(enum span_kind kind, const char *path)
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

/* A proxy: both wait for their connections, and each sends when the loop has the other in hand. */
static void an_event_loop_asks_for_whom_it_connected(void **state)
{
    (void)state;
    for (int fd = 5; fd <= 8; fd++)
        open_fd(fd, fd < 7 ? FD_SERVER : 0);
    in(5, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    connects(7);
    flow_idle(region, lane);
    in(6, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    connects(8);
    out(7, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"); /* the context is the other's */
    flow_idle(region, lane);
    out(8, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n"); /* there is none */
    flow_idle(region, lane);
    in(8, OK);
    log_line("behind b\n");
    out(6, OK);
    in(7, OK);
    out(5, OK);
    flow_idle(region, lane);
    out(7, "GET /c HTTP/1.1\r\nHost: h\r\n\r\n"); /* the second is nobody's */
    in(7, OK);
    take_spans();
    assert_int_equal(span_count, 5);
    const struct span *a = of_peer(SPAN_SERVER, "/a"), *b = of_peer(SPAN_SERVER, "/b");
    assert_memory_equal(of_peer(SPAN_CLIENT, "/a")->parent_span_id, a->span_id, 8);
    assert_memory_equal(of_peer(SPAN_CLIENT, "/a")->trace_id, a->trace_id, 16);
    assert_memory_equal(of_peer(SPAN_CLIENT, "/b")->parent_span_id, b->span_id, 8);
    assert_true(none(of_peer(SPAN_CLIENT, "/c")->parent_span_id, 8));
    assert_memory_equal(line_of("behind b")->span_id, b->span_id, 8);
}

static void what_was_answered_connects_for_nobody(void **state)
{
    (void)state;
    open_fd(5, FD_SERVER);
    open_fd(7, 0);
    in(5, GET);
    connects(7);
    out(5, OK);
    flow_idle(region, lane);
    out(7, GET);
    in(7, OK);
    take_spans();
    assert_true(none(only(SPAN_CLIENT)->parent_span_id, 8));
}

static void another_thread_takes_no_connection_for_its_own(void **state)
{
    (void)state;
    struct lane *first = lane;
    open_fd(5, FD_SERVER);
    open_fd(7, 0);
    in(5, GET);
    connects(7);
    lane = lane_bind(region, getpid(), 8);
    out(7, GET);
    in(7, OK);
    lane = first;
    out(5, OK);
    take_spans();
    assert_true(none(only(SPAN_CLIENT)->parent_span_id, 8));
}

/* The body of one arrives while the loop's latest context is another's. */
static void the_rest_of_a_request_is_its_own(void **state)
{
    (void)state;
    for (int fd = 5; fd <= 7; fd++)
        open_fd(fd, fd < 7 ? FD_SERVER : 0);
    in(5, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
    flow_idle(region, lane);
    in(6, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    in(5, "body");
    log_line("of a\n");
    out(7, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    in(7, OK);
    out(5, OK);
    out(6, OK);
    take_spans();
    const struct span *a = of_peer(SPAN_SERVER, "/a");
    assert_memory_equal(only(SPAN_CLIENT)->parent_span_id, a->span_id, 8);
    assert_memory_equal(line_of("of a")->span_id, a->span_id, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_a_span_and_its_lines_belong_to_it),
        TEST(the_caller_is_the_parent),
        TEST(of_two_at_once_it_is_not_known_which_is_worked_on),
        TEST(a_call_is_the_child_of_its_cause),
        TEST(a_thread_that_waits_keeps_what_is_not_answered),
        TEST(a_context_that_was_lent_ends_with_the_answer),
        TEST(adoption_has_limits),
        TEST(any_split_is_the_same),
        TEST(what_is_not_read_is_left_alone),
        TEST(plaintext_belongs_to_its_connection),
        TEST(a_number_that_is_used_again_is_another_connection),
        TEST(a_loss_voids_what_it_tore),
        TEST(a_peer_that_leaves_is_an_error_of_the_client),
        TEST(unsampled_requests_are_measured),
        TEST(an_answer_may_overtake_the_call_that_asked),
        TEST(what_was_shown_and_not_sent_comes_again),
        TEST(a_direction_is_lost_once),
        TEST(an_event_loop_asks_for_whom_it_connected),
        TEST(what_was_answered_connects_for_nobody),
        TEST(another_thread_takes_no_connection_for_its_own),
        TEST(the_rest_of_a_request_is_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
