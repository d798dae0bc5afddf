/* What socket.c makes of addresses, and which bytes it keeps of DNS over TCP and of the journal. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "intercept/socket.h"

/* Records are caught where they would be written. */
static struct {
    struct record record;
    uint8_t payload[256];
    size_t length;
} caught[8];
static unsigned caught_count;

static int catch_record(struct region_head *region, struct lane *lane, const struct record *record,
                        const struct piece *pieces, unsigned count)
{
    (void)region;
    (void)lane;
    assert_true(caught_count < 8);
    caught[caught_count].record = *record;
    caught[caught_count].length = 0;
    for (unsigned i = 0; i < count; i++) {
        if (caught[caught_count].length + pieces[i].length <= sizeof(caught->payload))
            memcpy(caught[caught_count].payload + caught[caught_count].length, pieces[i].data,
                   pieces[i].length);
        caught[caught_count].length += pieces[i].length;
    }
    caught_count++;
    return 0;
}

#define record_write catch_record
#include "../../src/intercept/socket.c"
#undef record_write
void after_flow_end(struct lane *lane, int fd, fd_entry entry, uint64_t start, uint64_t end,
                    int direction)
{
    (void)lane, (void)fd, (void)entry, (void)start, (void)end, (void)direction;
}

static struct lane test_lane;
static struct region_head region;
struct region_head *hook_region = &region;
__thread struct lane *hook_self;
struct lane *hook_lane_slow(void)
{
    return NULL;
}
fd_entry hook_fd(struct lane *lane, int fd)
{
    (void)lane;
    return fd_get(fd);
}
fd_entry hook_fd_unknown(struct lane *lane, int fd)
{
    return hook_fd(lane, fd);
}
void intercept_late(void)
{
}

static uint64_t table[FD_TABLE_SIZE];

static int set_up(void **state)
{
    (void)state;
    fd_table = table;
    caught_count = 0;
    region.watch = WATCH_SOCKETS | WATCH_DNS_WIRE | WATCH_SYSLOG;
    region.log_budget = 1 << 20;
    region.sandboxed = 0;
    region.drops[DROP_LOG_RATE] = 0;
    return 0;
}

static void kinds(void **state)
{
    (void)state;
    assert_int_equal(socket_kind(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), KIND_TCP);
    assert_int_equal(socket_kind(AF_INET6, SOCK_STREAM, IPPROTO_TCP), KIND_TCP);
    assert_int_equal(socket_kind(AF_INET, SOCK_STREAM, 262), KIND_TCP);
    assert_int_equal(socket_kind(AF_INET, SOCK_STREAM, IPPROTO_SCTP), KIND_SOCKET);
    assert_int_equal(socket_kind(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP), KIND_UDP);
    assert_int_equal(socket_kind(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), KIND_SOCKET);
    assert_int_equal(socket_kind(AF_INET, SOCK_RAW, IPPROTO_UDP), KIND_SOCKET);
    assert_int_equal(socket_kind(AF_UNIX, SOCK_STREAM, 0), KIND_UNIX_STREAM);
    assert_int_equal(socket_kind(AF_UNIX, SOCK_DGRAM, 0), KIND_UNIX_DGRAM);
    assert_int_equal(socket_kind(AF_NETLINK, SOCK_RAW, 0), KIND_SOCKET);
}

static uint32_t unix_flags(const char *path, unsigned length)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, path, strlen(path));
    return address_flags(KIND_UNIX_DGRAM, (uint8_t *)&un, length ? length : sizeof(un));
}

static void addresses_that_matter(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(53)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
    (void)state;
    assert_int_equal(address_flags(KIND_UDP, (uint8_t *)&in, sizeof(in)), FD_DNS);
    assert_int_equal(address_flags(KIND_TCP, (uint8_t *)&in6, sizeof(in6)), FD_DNS);
    assert_int_equal(address_flags(KIND_UDP, (uint8_t *)&in, 8), 0);
    assert_int_equal(address_flags(KIND_SOCKET, (uint8_t *)&in, sizeof(in)), 0);
    in.sin_port = htons(5353);
    assert_int_equal(address_flags(KIND_UDP, (uint8_t *)&in, sizeof(in)), 0);
    assert_int_equal(unix_flags("/dev/log", 0), FD_JOURNAL);
    assert_int_equal(unix_flags("/dev/log", 2 + 8), FD_JOURNAL); /* without the NUL */
    assert_int_equal(unix_flags("/dev/log", 2 + 7), 0);
    assert_int_equal(unix_flags("/dev/logs", 0), 0);
    assert_int_equal(unix_flags("/run/systemd/journal/socket", 0), FD_JOURNAL);
    assert_int_equal(unix_flags("", 0), 0);
}

static const uint8_t message[] = "\0\7\1\0\0\1\0\0\0\0\0\0\1x\0\0\1\0\1"; /* 19 bytes: a question */
enum { MESSAGE = sizeof(message) - 1 };

/* Gives bytes to socket_data in parts of `part` bytes each. */
static void move(const uint8_t *bytes, size_t length, size_t part, uint64_t flags, enum kind kind)
{
    struct piece pieces[64];
    unsigned count = 0;
    for (size_t at = 0; at < length; at += part)
        pieces[count++] =
            (struct piece){bytes + at, (uint32_t)(length - at < part ? length - at : part)};
    caught_count = 0;
    socket_data(&test_lane, OP_SEND, 5, (uint64_t)kind | flags, 1, 2, (int64_t)length, pieces,
                count, 'w');
}

static void expect_messages(unsigned count)
{
    assert_int_equal(caught_count, count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(caught[i].record.type, RECORD_DNS);
        assert_int_equal(caught[i].record.a, 0);
        assert_int_equal(caught[i].length, MESSAGE);
        assert_memory_equal(caught[i].payload, message, MESSAGE);
    }
}

static void dns_over_tcp(void **state)
{
    uint8_t stream[3 * (2 + MESSAGE)];
    (void)state;
    for (int i = 0; i < 3; i++) {
        stream[i * (2 + MESSAGE)] = 0;
        stream[i * (2 + MESSAGE) + 1] = MESSAGE;
        memcpy(stream + i * (2 + MESSAGE) + 2, message, MESSAGE);
    }
    /* one or three messages, however the program cuts its iovec */
    for (size_t part = 3; part < sizeof(stream) + 1; part++) {
        move(stream, 2 + MESSAGE, part, FD_DNS, KIND_TCP);
        expect_messages(1);
        move(stream, sizeof(stream), part, FD_DNS, KIND_TCP);
        expect_messages(3);
    }
    /* the last one not whole: it is left out */
    move(stream, sizeof(stream) - 1, 100, FD_DNS, KIND_TCP);
    expect_messages(2);
    move(stream, 1 + MESSAGE, 100, FD_DNS, KIND_TCP);
    expect_messages(0);
    /* the length in a call of its own */
    move(stream, 2, 100, FD_DNS, KIND_TCP);
    expect_messages(0);
    move(message, MESSAGE, 100, FD_DNS, KIND_TCP);
    expect_messages(1);
    move(stream, 1, 100, FD_DNS, KIND_TCP);
    expect_messages(0);
}

static void dns_over_udp(void **state)
{
    (void)state;
    move(message, MESSAGE, 7, FD_DNS, KIND_UDP);
    expect_messages(1);
    move(message, 11, 7, FD_DNS, KIND_UDP);
    expect_messages(0);
    move(message, MESSAGE, 7, FD_DNS | FD_IGNORED, KIND_UDP);
    expect_messages(0);
    region.watch &= ~(uint32_t)WATCH_DNS_WIRE;
    move(message, MESSAGE, 7, FD_DNS, KIND_UDP);
    expect_messages(0);
}

static void the_journal(void **state)
{
    const uint8_t *text = (const uint8_t *)"PRIORITY=3\nMESSAGE=x\n";
    (void)state;
    move(text, 21, 4, FD_JOURNAL, KIND_UNIX_DGRAM);
    assert_int_equal(caught_count, 1);
    assert_int_equal(caught[0].record.type, RECORD_SYSLOG);
    assert_int_equal(caught[0].record.flags, RECORD_RAW);
    assert_int_equal(caught[0].record.a, 21);
    assert_memory_equal(caught[0].payload, text, 21);
    assert_int_equal(region.log_budget, (1 << 20) - 21);
    region.log_budget = 20;
    move(text, 21, 4, FD_JOURNAL, KIND_UNIX_DGRAM);
    assert_int_equal(caught_count, 0);
    assert_int_equal(region.drops[DROP_LOG_RATE], 1);
    assert_int_equal(region.log_budget, 20);
}

/* A vector of more parts than are kept: the record says that it is not the whole. */
static void the_journal_in_many_parts(void **state)
{
    struct iovec vector[JOURNAL_PIECES_MAX + 2];
    (void)state;
    for (int i = 0; i < JOURNAL_PIECES_MAX + 2; i++)
        vector[i] = (struct iovec){i % 2 ? "=\n" : "A", 1};
    socket_data_vector(&test_lane, OP_SENDMSG, 5, KIND_UNIX_DGRAM | FD_JOURNAL, 1, 2,
                       JOURNAL_PIECES_MAX, vector, JOURNAL_PIECES_MAX, 'w');
    socket_data_vector(&test_lane, OP_SENDMSG, 5, KIND_UNIX_DGRAM | FD_JOURNAL, 1, 2,
                       JOURNAL_PIECES_MAX + 2, vector, JOURNAL_PIECES_MAX + 2, 'w');
    assert_int_equal(caught_count, 2);
    assert_int_equal(caught[0].record.flags, RECORD_RAW);
    assert_int_equal(caught[1].record.flags, RECORD_RAW | RECORD_TRUNCATED);
}

static fd_entry connecting(int fd)
{
    return table[fd] = 7ULL << 32 | FD_OPEN | FD_CONNECTING | KIND_TCP;
}

static void outcomes(void **state)
{
    static const struct {
        enum op op;
        int64_t result;
        bool told;
        int64_t outcome;
    } cases[] = {
        {OP_SEND, 5, true, 0},
        {OP_SEND, -EAGAIN, false, 0},
        {OP_SEND, -EINTR, false, 0},
        {OP_SEND, -EPIPE, false, 0},
        {OP_SEND, -ECONNREFUSED, true, -ECONNREFUSED},
        {OP_RECV, -ETIMEDOUT, true, -ETIMEDOUT},
        {OP_RECV, -ECONNRESET, true, 0}, /* made first, then reset */
        {OP_GETSOCKOPT, -ECONNRESET, true, -ECONNRESET},
        {OP_GETSOCKOPT, -EHOSTUNREACH, true, -EHOSTUNREACH},
        {OP_GETSOCKOPT, 0, false, 0}, /* no peer: it is under way still */
        {OP_CONNECT, 0, true, 0},
        {OP_CONNECT, -EALREADY, false, 0},
        {OP_CONNECT, -ECONNREFUSED, true, -ECONNREFUSED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int fd = 900000; /* no descriptor: the kernel knows of no peer */
        fd_entry entry = connecting(fd);
        caught_count = 0;
        socket_connect_outcome(&test_lane, cases[i].op, fd, entry, 1, 2, cases[i].result);
        assert_int_equal(caught_count, cases[i].told);
        assert_int_equal(!!(table[fd] & FD_CONNECTING), !cases[i].told);
        if (!cases[i].told)
            continue;
        assert_int_equal(caught[0].record.type, RECORD_CONNECTED);
        assert_int_equal(caught[0].record.result, cases[i].outcome);
        assert_int_equal(!!(table[fd] & FD_CONNECTED), cases[i].outcome == 0);
        /* another thread finds the same: it is told once */
        socket_connect_outcome(&test_lane, cases[i].op, fd, entry, 1, 2, cases[i].result);
        assert_int_equal(caught_count, 1);
    }
    /* the number has had another life since */
    fd_entry entry = connecting(900001);
    table[900001] = 8ULL << 32 | FD_OPEN | FD_CONNECTING | KIND_TCP;
    caught_count = 0;
    socket_connect_outcome(&test_lane, OP_SEND, 900001, entry, 1, 2, 5);
    assert_int_equal(caught_count, 0);
    assert_true(table[900001] & FD_CONNECTING);
    /* under a seccomp filter the answer of SO_ERROR is taken as it is */
    region.sandboxed = 1;
    entry = connecting(900002);
    socket_connect_outcome(&test_lane, OP_GETSOCKOPT, 900002, entry, 1, 2, 0);
    assert_int_equal(caught_count, 1);
}

static void peers_and_ends_are_said_once(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(53)};
    fd_entry entry = table[70] = 3ULL << 32 | FD_OPEN | KIND_UDP;
    (void)state;
    assert_int_equal(
        socket_addressed(&test_lane, OP_SENDTO, 70, entry, 1, 2, 5, 'w', &in, sizeof(in)), FD_DNS);
    assert_int_equal(caught_count, 1);
    assert_int_equal(caught[0].record.type, RECORD_PEER);
    socket_addressed(&test_lane, OP_SENDTO, 70, fd_get(70), 1, 2, 5, 'w', &in, sizeof(in));
    assert_int_equal(caught_count, 1);
    socket_addressed(&test_lane, OP_RECVFROM, 70, fd_get(70), 1, 2, 5, 'r', &in, sizeof(in));
    assert_int_equal(caught_count, 2); /* the other way */
    table[71] = entry = 4ULL << 32 | FD_OPEN | FD_CONNECTED | KIND_UDP;
    socket_addressed(&test_lane, OP_RECVFROM, 71, entry, 1, 2, 5, 'r', &in, sizeof(in));
    assert_int_equal(caught_count, 2); /* connected: its peer is known */
    table[72] = entry = 5ULL << 32 | FD_OPEN | KIND_TCP;
    socket_ended(&test_lane, OP_RECV, 72, entry, 1, 2, 0);
    socket_ended(&test_lane, OP_RECV, 72, entry, 1, 2, 0);
    assert_int_equal(caught_count, 3);
    assert_int_equal(caught[2].record.type, RECORD_END);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(kinds, set_up),
        cmocka_unit_test_setup(addresses_that_matter, set_up),
        cmocka_unit_test_setup(dns_over_tcp, set_up),
        cmocka_unit_test_setup(dns_over_udp, set_up),
        cmocka_unit_test_setup(the_journal, set_up),
        cmocka_unit_test_setup(the_journal_in_many_parts, set_up),
        cmocka_unit_test_setup(outcomes, set_up),
        cmocka_unit_test_setup(peers_and_ends_are_said_once, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
