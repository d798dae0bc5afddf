/*
 * A traceparent in what is sent: which heads get one and where, that the program sees its own bytes
 * counted however the kernel splits what it is given, and that the request's span has the ids.
 */
#include "intercept/inject.h"

#include <errno.h>
#include <fcntl.h>

#include "capture/flow_internal.h"
#include "intercept/flow.h"
#include "region_fixture.h"

struct region_head *hook_region;
__thread struct lane *hook_self __attribute__((tls_model("initial-exec")));
static struct lane *lane;
static int fds[2];
static fd_entry entry;

#define HEAD "POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
#define REQUEST HEAD "hello"
enum { PLACE = sizeof(HEAD) - 1 - 2, SIZE = sizeof(REQUEST) - 1 };

/* ------------------------------------------------------------------ the kernel, as it may be */

/* What the next calls take: bytes, or -errno; beyond the last of them everything. */
static long takes[64];
static unsigned takes_next, takes_count;
static bool full; /* a call that takes less than all leaves no room for another */
static uint8_t wire[65536];
static size_t wire_length;
static unsigned calls;
static int last_flags;

static void fill(void)
{
    static const uint8_t zero[4096];
    while (send(fds[0], zero, sizeof(zero), MSG_DONTWAIT) > 0 ||
           send(fds[0], zero, 1, MSG_DONTWAIT) > 0)
        ;
}

/* What went to the socket itself, past the kernel above; without what filled it. */
static void drain_socket(void)
{
    uint8_t bytes[4096];
    ssize_t n;
    int error = errno;
    while ((n = recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i])
                wire[wire_length++] = bytes[i];
        }
    }
    errno = error;
}

static ssize_t take(const struct iovec *iov, size_t count)
{
    size_t whole = 0, left;
    calls++;
    drain_socket();
    for (size_t i = 0; i < count; i++)
        whole += iov[i].iov_len;
    long may = takes_next < takes_count ? takes[takes_next++] : (long)whole;
    if (may < 0) {
        errno = (int)-may;
        return -1;
    }
    left = (size_t)may < whole ? (size_t)may : whole;
    ssize_t taken = (ssize_t)left;
    for (size_t i = 0; i < count && left; i++) {
        size_t n = iov[i].iov_len < left ? iov[i].iov_len : left;
        memcpy(wire + wire_length, iov[i].iov_base, n);
        wire_length += n;
        left -= n;
    }
    if ((size_t)taken < whole && full)
        fill();
    return taken;
}

static ssize_t take_writev(int fd, const struct iovec *iov, int count)
{
    assert_int_equal(fd, fds[0]);
    return take(iov, (size_t)count);
}

static ssize_t take_write(int fd, const void *buffer, size_t size)
{
    struct iovec iov = {(void *)buffer, size};
    return take_writev(fd, &iov, 1);
}

static ssize_t take_sendmsg(int fd, const struct msghdr *message, int flags)
{
    assert_int_equal(fd, fds[0]);
    last_flags = flags;
    return take(message->msg_iov, message->msg_iovlen);
}

static ssize_t take_send(int fd, const void *buffer, size_t size, int flags)
{
    struct iovec iov = {(void *)buffer, size};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    return take_sendmsg(fd, &message, flags);
}

void *hook_next(const char *name)
{
    return strcmp(name, "writev") == 0 ? (void *)take_writev : (void *)take_sendmsg;
}

/* ------------------------------------------------------------------ a program that sends */

enum way { WRITE, WRITEV, SEND, SENDMSG, WAYS };

/* What the entry was behind the call. */
static fd_entry behind;

/* A vector has three parts; the second has the head. */
static ssize_t send_by(enum way way, const uint8_t *bytes, size_t size)
{
    behind = fd_get(fds[0]);
    struct sending s = {lane, fds[0], behind, ticks_now(), &behind};
    size_t first = size > 5 ? size - 5 : size;
    struct iovec iov[3] = {
        {(void *)bytes, 0}, {(void *)bytes, first}, {(void *)(bytes + first), size - first}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 3};
    if (way == WRITE)
        return inject_write(&s, take_write, bytes, size);
    if (way == WRITEV)
        return inject_writev(&s, take_writev, iov, 3);
    if (way == SEND)
        return inject_send(&s, take_send, bytes, size, MSG_NOSIGNAL);
    return inject_sendmsg(&s, take_sendmsg, &message, MSG_NOSIGNAL);
}

static struct flow_bytes moved(int direction)
{
    return (struct flow_bytes){lane, fds[0], fd_get(fds[0]), ticks_now(), ticks_now(), direction};
}

/* What the wrapper does behind the call. */
static void feed(int direction, const void *bytes, size_t size)
{
    struct flow_bytes m = moved(direction);
    struct piece piece = {bytes, (uint32_t)size};
    flow_moved(region, &m, &piece, 1, size);
}

/* Sends all of it as programs do; returns how many calls that took. */
static unsigned send_all(enum way way, const char *text, size_t size)
{
    size_t sent = 0;
    unsigned tries = 0;
    while (sent < size) {
        assert_true(++tries < 400);
        ssize_t n = send_by(way, (const uint8_t *)text + sent, size - sent);
        if (behind & FD_SHOWN)
            after_shown(fds[0], behind, n, size - sent, NULL, 0);
        if (n < 0) {
            assert_true(errno == EAGAIN || errno == EINTR);
            drain_socket();
            continue;
        }
        assert_in_range(n, 1, size - sent);
        if (!(behind & FD_SHOWN))
            feed('w', text + sent, (size_t)n);
        sent += (size_t)n;
    }
    drain_socket();
    return tries;
}

static struct flow *flow(void)
{
    return flow_place(fds[0]);
}

static void answer(void)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    feed('r', ok, sizeof(ok) - 1);
}

/* A connection of its own, with nothing said on it. */
static void connect_anew(uint32_t flags)
{
    drain_socket();
    entry = fd_opened(region, fds[0], KIND_UNIX_STREAM, FD_CONNECTED | FD_DIALED | flags);
    assert_true(entry & FD_FLOW);
    wire_length = calls = takes_next = takes_count = 0;
    full = false;
}

/* The wire has the request, once with a line, whose ids are those that the flow has. */
static void check_with_line(const char *text, size_t place, size_t size)
{
    uint8_t line[INJECT_LINE];
    inject_line(&flow()->ids, line);
    assert_int_equal(wire_length, size + INJECT_LINE);
    assert_memory_equal(wire, text, place);
    assert_memory_equal(wire + place, line, INJECT_LINE);
    assert_memory_equal(wire + place + INJECT_LINE, text + place, size - place);
    assert_int_equal(flow()->state, FLOW_HTTP1);
    assert_false(flow()->drawn);
    assert_int_equal(flow()->line_left, 0);
    assert_int_equal(http1_outstanding(&flow()->http1), 1);
}

static int begin(void **state)
{
    (void)state;
    region_open(16, 4);
    hook_region = region;
    region->watch |= WATCH_FLOWS | WATCH_TRACES | WATCH_W3C | WATCH_INJECT;
    region->random_seed = 0x1234567890abcdefULL;
    region->sample_below = 1ULL << 56;
    region->sampler = SAMPLER_PARENT;
    lane = hook_self = lane_bind(region, 1, 1);
    fd_table = calloc(FD_TABLE_SIZE, sizeof(*fd_table));
    flow_table = mmap(NULL, (size_t)FLOW_MAX * FLOW_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    connect_anew(0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    close(fds[0]);
    close(fds[1]);
    munmap(flow_table, (size_t)FLOW_MAX * FLOW_SIZE);
    free(fd_table);
    region_close();
    return 0;
}

/* ------------------------------------------------------------------ heads */

static void place_is_the_empty_line(void **state)
{
    (void)state;
    static const char *const good[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
        "DELETE /x HTTP/1.1\r\nTraceparents: 1\r\nx: 2\r\nupgrade-insecure-requests: 1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nA:\r\nB: \t \r\nC: \xc3\xa4\r\n\r\n",
        "COPY /x HTTP/1.1\r\nx-b3: no\r\nb33: 1\r\n\r\n",
        "GET http://h:80/\xc3\xa4?q=[] HTTP/1.1\r\nConnection: close, te\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        size_t length = strlen(good[i]);
        char more[512];
        assert_int_equal(inject_place((const uint8_t *)good[i], length), length - 2);
        /* what follows the head is not looked at */
        snprintf(more, sizeof(more), "%straceparent: \r\n\r\n", good[i]);
        assert_int_equal(inject_place((const uint8_t *)more, strlen(more)), length - 2);
        /* in memory of just its size: nothing beyond is read */
        for (size_t n = 0; n < length; n++) {
            uint8_t *part = malloc(n ? n : 1);
            memcpy(part, good[i], n);
            assert_int_equal(inject_place(part, n), 0);
            free(part);
        }
    }
}

static void other_heads_are_left_alone(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "\r\nGET / HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "BREW / HTTP/1.1\r\n\r\n",
        "get / HTTP/1.1\r\n\r\n",
        "GET  HTTP/1.1\r\n\r\n",
        "GET / x HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.2\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/1.1\n\n",
        "GET / HTTP/1.1\r\nA: b\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n\n",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nnothing\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\nA: \001\r\n\r\n",
        "GET / HTTP/1.1\r\nA: \x7f\r\n\r\n",
        "GET / HTTP/1.1\r\ntraceparent: 00-1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTraceParent:\r\n\r\n",
        "GET / HTTP/1.1\r\nTRACESTATE: a=b\r\n\r\n",
        "GET / HTTP/1.1\r\nb3: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nX-B3-TraceId: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (inject_place((const uint8_t *)bad[i], strlen(bad[i])))
            fail_msg("%s", bad[i]);
    }
}

static void heads_have_bounds(void **state)
{
    (void)state;
    char text[8192];
    for (int length = INJECT_HEAD_MAX - 1; length <= INJECT_HEAD_MAX + 1; length++) {
        int fixed = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nA: ");
        memset(text + fixed, 'a', (size_t)(length - fixed - 4));
        memcpy(text + length - 4, "\r\n\r\nbody", 9);
        assert_int_equal(inject_place((uint8_t *)text, (size_t)length + 4),
                         length <= INJECT_HEAD_MAX ? length - 2 : 0);
    }
    for (int fields = INJECT_FIELDS_MAX - 1; fields <= INJECT_FIELDS_MAX + 1; fields++) {
        int at = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n");
        for (int i = 0; i < fields; i++)
            at += snprintf(text + at, sizeof(text) - (size_t)at, "A%d: b\r\n", i);
        at += snprintf(text + at, sizeof(text) - (size_t)at, "\r\n");
        assert_int_equal(inject_place((uint8_t *)text, (size_t)at),
                         fields <= INJECT_FIELDS_MAX ? at - 2 : 0);
    }
}

/* ------------------------------------------------------------------ what the program sees */

static void whole_call_counts_own_bytes(void **state)
{
    (void)state;
    for (enum way way = 0; way < WAYS; way++) {
        connect_anew(0);
        errno = 77;
        assert_int_equal(send_by(way, (const uint8_t *)REQUEST, SIZE), SIZE);
        assert_int_equal(errno, 77);
        assert_int_equal(calls, 1);
        if (way >= SEND)
            assert_int_equal(last_flags, MSG_NOSIGNAL);
        feed('w', REQUEST, SIZE);
        check_with_line(REQUEST, PLACE, SIZE);
        /* and the next on the same connection */
        answer();
        struct trace_ids first = flow()->ids;
        wire_length = 0;
        assert_int_equal(send_all(way, REQUEST, SIZE), 1);
        check_with_line(REQUEST, PLACE, SIZE);
        assert_memory_not_equal(first.span_id, flow()->ids.span_id, 8);
    }
}

/* The kernel takes n bytes of all that it is given, then pieces of `step`. */
static void split_at(enum way way, long n, long step, long fails, bool without_room)
{
    connect_anew(0);
    full = without_room;
    takes[takes_count++] = n;
    while (takes_count < 60) {
        if (fails)
            takes[takes_count++] = -fails;
        takes[takes_count++] = step;
    }
    send_all(way, REQUEST, SIZE);
    if (n > PLACE) {
        check_with_line(REQUEST, PLACE, SIZE);
    } else {
        assert_int_equal(wire_length, SIZE);
        assert_memory_equal(wire, REQUEST, SIZE);
        assert_false(flow()->drawn);
        assert_int_equal(http1_outstanding(&flow()->http1), 1);
    }
    answer();
    wire_length = 0;
    takes_count = takes_next = 0;
    full = false;
    send_all(way, REQUEST, SIZE);
    check_with_line(REQUEST, PLACE, SIZE);
}

static void every_split_is_made_whole(void **state)
{
    (void)state;
    for (enum way way = 0; way < WAYS; way++) {
        for (long n = 1; n < SIZE + INJECT_LINE; n++) {
            for (int room = 0; room < 2; room++) {
                split_at(way, n, 1000, 0, room);
                split_at(way, n, 7, 0, room);
                split_at(way, n, 7, EAGAIN, room);
                split_at(way, n, 1000, EINTR, room);
            }
        }
    }
}

/* Where another thread may read the answer, the request is known before it is sent. */
static void request_is_known_before_it_is_sent(void **state)
{
    lane_bind(region, 2, 2);
    every_split_is_made_whole(state);
    for (enum way way = 0; way < WAYS; way++) {
        connect_anew(0);
        assert_int_equal(send_by(way, (const uint8_t *)REQUEST, SIZE), SIZE);
        assert_true(behind & FD_SHOWN);
        answer();
        assert_int_equal(http1_outstanding(&flow()->http1), 0);
        assert_true(http1_stays(&flow()->http1));
    }
    /* what could not go at all has its ids, and no line when it goes */
    connect_anew(0);
    takes[takes_count++] = -EAGAIN;
    send_all(SEND, REQUEST, SIZE);
    assert_int_equal(wire_length, SIZE);
    assert_int_equal(http1_outstanding(&flow()->http1), 1);
}

static void short_count_ends_before_the_line(void **state)
{
    (void)state;
    for (long n = 1; n < SIZE + INJECT_LINE; n++) {
        connect_anew(0);
        full = true;
        takes[takes_count++] = n;
        ssize_t told = send_by(WRITE, (const uint8_t *)REQUEST, SIZE);
        assert_int_equal(told, n <= PLACE ? n : n < PLACE + INJECT_LINE ? PLACE : n - INJECT_LINE);
        drain_socket();
    }
}

/* What is left of the line fails as the program's own bytes would have. */
static void errors_are_the_kernels(void **state)
{
    (void)state;
    static const int errors[] = {EAGAIN, EINTR, EPIPE, ECONNRESET, ENOBUFS, EBADF};
    for (enum way way = 0; way < WAYS; way++) {
        for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
            connect_anew(0);
            takes[takes_count++] = -errors[i];
            errno = 0;
            assert_int_equal(send_by(way, (const uint8_t *)REQUEST, SIZE), -1);
            assert_int_equal(errno, errors[i]);
            assert_int_equal(flow()->generation == FD_GENERATION(entry) && flow()->drawn, 0);

            connect_anew(0);
            full = true;
            takes[takes_count++] = PLACE + 10;
            takes[takes_count++] = -errors[i];
            takes[takes_count++] = 3;
            takes[takes_count++] = -errors[i];
            assert_int_equal(send_by(way, (const uint8_t *)REQUEST, SIZE), PLACE);
            feed('w', REQUEST, PLACE);
            for (int j = 0; j < 2; j++) {
                errno = 0;
                assert_int_equal(send_by(way, (const uint8_t *)&REQUEST[PLACE], SIZE - PLACE), -1);
                assert_int_equal(errno, errors[i]);
            }
            assert_int_equal(flow()->line_left, INJECT_LINE - 10 - 3);
            assert_int_equal(send_by(way, (const uint8_t *)&REQUEST[PLACE], SIZE - PLACE),
                             SIZE - PLACE);
            feed('w', &REQUEST[PLACE], SIZE - PLACE);
            drain_socket();
            check_with_line(REQUEST, PLACE, SIZE);
        }
    }
}

/* sendfile and its like do not pass a line that is not whole. */
static void other_calls_wait_for_the_line(void **state)
{
    (void)state;
    struct sending s = {lane, fds[0], entry, ticks_now(), NULL};
    assert_true(inject_settle(&s, -1));
    assert_int_equal(calls, 0);
    connect_anew(0);
    s.entry = entry;
    full = true;
    takes[takes_count++] = PLACE + 1;
    takes[takes_count++] = -EAGAIN;
    assert_int_equal(send_by(SEND, (const uint8_t *)REQUEST, SIZE), PLACE);
    assert_false(inject_settle(&s, -1));
    assert_int_equal(errno, EAGAIN);
    assert_true(inject_settle(&s, -1));
    drain_socket();
    assert_int_equal(wire_length, PLACE + INJECT_LINE);
    /* of another life of the number nothing is left */
    connect_anew(0);
    full = true;
    takes[takes_count++] = PLACE + 1;
    send_by(SEND, (const uint8_t *)REQUEST, SIZE);
    connect_anew(0);
    s.entry = entry;
    assert_true(inject_settle(&s, -1));
    assert_int_equal(calls, 0);
}

static void what_the_kernel_refuses_is_not_read(void **state)
{
    (void)state;
    uint8_t *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(pages + 4096, 4096, PROT_NONE);
    memcpy(pages + 4096 - 20, "GET / HTTP/1.1\r\nA: b", 20);
    struct sending s = {lane, fds[0], entry, ticks_now(), NULL};
    struct iovec iov = {pages + 4096 - 20, 100};
    struct msghdr message = {.msg_iov = (void *)(pages + 4096), .msg_iovlen = 1};
    void *const bad[] = {NULL, (void *)8, (void *)-8, pages + 4096};
    for (int i = 0; i < 4; i++) { /* the real calls read it, and give EFAULT */
        assert_int_equal(inject_write(&s, write, bad[i], 100), -1);
        assert_int_equal(errno, EFAULT);
        assert_int_equal(inject_send(&s, send, bad[i], 100, 0), -1);
        assert_int_equal(errno, EFAULT);
        assert_int_equal(inject_writev(&s, writev, bad[i], 1), -1);
        assert_int_equal(errno, EFAULT);
        assert_int_equal(inject_sendmsg(&s, sendmsg, bad[i], 0), -1);
        assert_int_equal(errno, EFAULT);
    }
    assert_int_equal(inject_sendmsg(&s, sendmsg, &message, 0), -1);
    assert_int_equal(errno, EFAULT);
    inject_writev(&s, writev, &iov, 1);
    assert_int_equal(calls, 0);
    munmap(pages, 8192);
}

static void needs_room(void **state)
{
    (void)state;
    static char big[1 << 20] = HEAD;
    int small = 1;
    socklen_t length = sizeof(small);
    struct sending s = {lane, fds[0], entry, ticks_now(), NULL};
    takes[takes_count++] = 3000;
    assert_int_equal(inject_write(&s, take_write, big, sizeof(big)), 3000);
    assert_memory_equal(wire, big, 3000);

    connect_anew(0);
    s.entry = entry;
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    getsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, &length);
    assert_true(inject_has_room(fds[0], (uint64_t)small / 2 - 1));
    assert_false(inject_has_room(fds[0], (uint64_t)small / 2));
    fill();
    assert_false(inject_has_room(fds[0], 1));
    assert_int_equal(inject_write(&s, take_write, REQUEST, SIZE), SIZE);
    drain_socket();
    assert_memory_equal(wire, REQUEST, SIZE);
    assert_int_equal(wire_length, SIZE);
    assert_false(inject_has_room(-1, 1));
}

/* ------------------------------------------------------------------ where there is none */

static void check_left_alone(enum way way)
{
    wire_length = 0;
    assert_int_equal(send_by(way, (const uint8_t *)REQUEST, SIZE), SIZE);
    assert_int_equal(wire_length, SIZE);
    assert_memory_equal(wire, REQUEST, SIZE);
}

static void only_clients_at_a_boundary(void **state)
{
    (void)state;
    static const uint32_t flags[] = {FD_SERVER, FD_IGNORED, FD_ENDED};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        connect_anew(flags[i]);
        check_left_alone(WRITE);
    }
    connect_anew(0);
    fd_change(fds[0], FD_GENERATION(entry), FD_TLS, 0);
    check_left_alone(SEND);

    connect_anew(0);
    fd_change(fds[0], FD_GENERATION(entry), 0, FD_DIALED);
    check_left_alone(SEND);

    static const char *const before[] = {
        /* the middle of a head, of a body, an upgrade asked for, the last request, not HTTP/1 */
        "GET / HTTP/1.1\r\nHost: x\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "G",
        "\r\n",
        "EHLO example\r\n",
    };
    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        connect_anew(0);
        feed('w', before[i], strlen(before[i]));
        check_left_alone(SENDMSG);
    }
    /* who is spoken to first is no client; and whose answers make no sense is not understood */
    connect_anew(0);
    feed('r', "GET / HTTP/1.1\r\n\r\n", 18);
    check_left_alone(WRITE);
    connect_anew(0);
    feed('r', "220 hello\r\n", 11);
    check_left_alone(WRITE);
    connect_anew(0);
    feed('w', REQUEST, SIZE);
    feed('r', "HTTP/1.1 2x0 OK\r\n\r\n", 19);
    check_left_alone(WRITE);
}

static void calls_that_do_more_are_left_alone(void **state)
{
    (void)state;
    struct sending s = {lane, fds[0], entry, ticks_now(), NULL};
    struct iovec iov[20] = {{(void *)REQUEST, SIZE}};
    char control[32] = {0};
    struct msghdr message = {
        .msg_iov = iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    inject_sendmsg(&s, take_sendmsg, &message, 0);
    message =
        (struct msghdr){.msg_iov = iov, .msg_iovlen = 1, .msg_name = control, .msg_namelen = 16};
    inject_sendmsg(&s, take_sendmsg, &message, 0);
    message = (struct msghdr){.msg_iov = iov, .msg_iovlen = 20};
    inject_sendmsg(&s, take_sendmsg, &message, 0);
    inject_writev(&s, take_writev, iov, 20);
    inject_send(&s, take_send, REQUEST, SIZE, MSG_OOB);
    inject_send(&s, take_send, REQUEST, SIZE, MSG_ZEROCOPY);
    inject_send(&s, take_send, REQUEST, SIZE, MSG_FASTOPEN);
    region->sandboxed = 1;
    inject_send(&s, take_send, REQUEST, SIZE, 0);
    region->sandboxed = 0;
    /* a head in two parts */
    iov[0].iov_len = 10;
    iov[1] = (struct iovec){(void *)&REQUEST[10], SIZE - 10};
    inject_writev(&s, take_writev, iov, 2);
    assert_int_equal(wire_length, 9 * SIZE);
    for (int i = 0; i < 9; i++)
        assert_memory_equal(wire + i * SIZE, REQUEST, SIZE);
}

/* ------------------------------------------------------------------ ids */

static void line_has_the_context(void **state)
{
    (void)state;
    struct trace_ids context = {.flags = TRACE_RANDOM}, told;
    memset(context.trace_id, 0xab, 16);
    memset(context.span_id, 0xcd, 8);
    lane->context = context;
    lane->context_since = ticks_now();
    send_all(WRITE, REQUEST, SIZE);
    check_with_line(REQUEST, PLACE, SIZE);
    assert_int_equal(traceparent_parse(wire + PLACE + 13, TRACEPARENT_LENGTH, &told), 0);
    assert_memory_equal(told.trace_id, context.trace_id, 16);
    assert_memory_equal(told.parent_id, flow()->ids.span_id, 8);
    assert_memory_equal(flow()->ids.parent_id, context.span_id, 8);
    assert_int_equal(told.flags, TRACE_RANDOM); /* not sampled, as the parent */
    assert_true(flow()->adopted);
    assert_int_equal(lane->context_children, 1);
}

/* A trace that has another name outside is not told of by the one that it has here. */
static void local_context_is_not_told(void **state)
{
    (void)state;
    memset(lane->context.trace_id, 0xab, 16);
    memset(lane->context.span_id, 0xcd, 8);
    lane->context.local = 1;
    check_left_alone(WRITE);
    feed('w', REQUEST, SIZE);
    assert_true(flow()->ids.local); /* and so with what is below it */
    assert_memory_equal(flow()->ids.parent_id, lane->context.span_id, 8);
}

static void server_context_is_local_where_it_may_be_another(void **state)
{
    (void)state;
    static const char with[] = "GET / HTTP/1.1\r\ntraceparent: "
                               "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
    for (int b3 = 0; b3 < 2; b3++) {
        region->watch = (region->watch & ~(uint32_t)WATCH_B3) | (b3 ? WATCH_B3 : 0);
        connect_anew(FD_SERVER);
        feed('r', REQUEST, SIZE);
        assert_int_equal(lane->context.local, b3);
        connect_anew(FD_SERVER);
        feed('r', with, sizeof(with) - 1);
        assert_int_equal(lane->context.local, 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(place_is_the_empty_line),
        TEST(other_heads_are_left_alone),
        TEST(heads_have_bounds),
        TEST(whole_call_counts_own_bytes),
        TEST(every_split_is_made_whole),
        TEST(request_is_known_before_it_is_sent),
        TEST(short_count_ends_before_the_line),
        TEST(errors_are_the_kernels),
        TEST(other_calls_wait_for_the_line),
        TEST(what_the_kernel_refuses_is_not_read),
        TEST(needs_room),
        TEST(only_clients_at_a_boundary),
        TEST(calls_that_do_more_are_left_alone),
        TEST(line_has_the_context),
        TEST(local_context_is_not_told),
        TEST(server_context_is_local_where_it_may_be_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
