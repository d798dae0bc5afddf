/* Queues: order, bound, back-off, a sink that goes away and comes back, forks. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report/report.h"

#define MS 1000000ull

static struct conf conf = {.memory_queue = 1 << 20, .ndjson_keep = 5};
static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/test_queue_XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static struct queue *new_queue(const struct sink_encoder *encoder, const char *url)
{
    const char *error = NULL;
    struct queue *q = queue_new(&(struct queue_options){.encoder = encoder, .url = url, .conf = &conf,
                                                       .saved_stdout = -1, .saved_stderr = -1},
                                &error);

    if (!q)
        fail_msg("%s", error);
    return q;
}

/* Queues log lines whose times are the numbers from `from` on. */
static uint64_t put_logs(struct queue *q, unsigned from, unsigned count, size_t body)
{
    static struct log_record r[5000];
    static char text[100000];
    struct batch b = {.signal = SIGNAL_LOGS, .logs = r, .count = count};

    memset(text, 'x', sizeof(text));
    for (unsigned i = 0; i < count; i++)
        r[i] = (struct log_record){.time = (uint64_t)(from + i) * 1000000000, .body = {text, body}};
    return queue_put(q, &b);
}

/* Checks that a text has the lines from `from` on, in order, and nothing else. Returns how many. */
static unsigned check_lines(const char *text, size_t length, unsigned from)
{
    unsigned n = 0;

    for (const char *p = text; p < text + length; n++) {
        unsigned number;
        assert_int_equal(sscanf(p, "{\"time\":%u.000000000,", &number), 1);
        assert_int_equal(number, from + n);
        p = memchr(p, '\n', (size_t)(text + length - p));
        assert_non_null(p++);
        assert_memory_equal(p - 3, "}}\n", 3);
    }
    return n;
}

static size_t read_file(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, out, size);
    close(fd);
    return n > 0 ? (size_t)n : 0;
}

static void what_is_put_arrives_in_order(void **state)
{
    (void)state;
    char path[128];
    static char data[4 << 20];
    snprintf(path, sizeof(path), "%s/log", dir);
    struct queue *q = new_queue(&ndjson_encoder, path);
    uint64_t failed = 9;

    assert_true(queue_flush(q, now_mono() + 1000 * MS, false, &failed));
    assert_int_equal(failed, 0);
    assert_int_equal(queue_due(q), UINT64_MAX);
    assert_int_equal(put_logs(q, 0, 1000, 300), 0);
    assert_int_equal(put_logs(q, 1000, 1, 90000), 0); /* longer than a usual unit */
    assert_int_equal(put_logs(q, 1001, 999, 10), 0);
    assert_int_equal(queue_items(q), 2000);
    assert_true(queue_due(q) <= now_mono());
    assert_true(queue_flush(q, now_mono() + 1000 * MS, false, &failed));
    assert_int_equal(queue_items(q), 0);
    assert_int_equal(check_lines(data, read_file(path, data, sizeof(data)), 0), 2000);
    queue_free(q);
    queue_free(NULL);
}

static void bad_addresses_are_refused_with_a_reason(void **state)
{
    (void)state;
    const char *error = NULL;

    assert_null(queue_new(&(struct queue_options){.encoder = &ndjson_encoder, .url = "gopher://x",
                                                  .conf = &conf},
                          &error));
    assert_non_null(error);
}

static int serve(uint16_t *port, int type)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(*port)};
    socklen_t size = sizeof(a);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(fd, (void *)&a, size), 0);
    if (type == SOCK_STREAM)
        listen(fd, 8);
    getsockname(fd, (void *)&a, &size);
    *port = ntohs(a.sin_port);
    return fd;
}

static void a_sink_that_is_away_is_waited_for_within_the_bound(void **state)
{
    (void)state;
    uint16_t port = 0;
    int server = serve(&port, SOCK_STREAM);
    close(server);
    char url[64];
    static char data[2 << 20];
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", port);
    struct queue *q = new_queue(&ndjson_encoder, url);
    uint64_t failed, dropped = 0, least = 400 * MS;
    unsigned put = 0;

    /* Each failure doubles the wait, give or take a fifth, up to half a minute. */
    put_logs(q, put++, 1, 100);
    for (int i = 0; i < 9; i++) {
        uint64_t before = now_mono();
        assert_false(queue_flush(q, now_mono() + 50 * MS, true, &failed));
        uint64_t due = queue_due(q);
        assert_in_range(due, before + least, now_mono() + least * 3 / 2);
        assert_non_null(strstr(queue_reason(q), "refused"));
        if (least < 24000 * MS)
            least = least * 2 < 24000 * MS ? least * 2 : 24000 * MS;
    }
    /* During it nothing is tried unless insisted on. */
    server = serve(&port, SOCK_STREAM);
    assert_false(queue_flush(q, now_mono() + 50 * MS, false, &failed));
    fcntl(server, F_SETFL, O_NONBLOCK);
    assert_int_equal(accept(server, NULL, NULL), -1);

    /* Beyond the bound the newest are dropped, and counted exactly. */
    while (!dropped)
        dropped += put_logs(q, put++, 1, 1000);
    for (int i = 0; i < 50; i++, put++)
        dropped += put_logs(q, put, 1, 1000);
    assert_int_equal(dropped, 51);
    assert_int_equal(queue_items(q) + dropped, put);

    fcntl(server, F_SETFL, 0);
    pid_t reader = fork();
    if (!reader) {
        int peer = accept(server, NULL, NULL);
        size_t n = 0;
        ssize_t k;
        while ((k = read(peer, data + n, sizeof(data) - n)) > 0)
            n += (size_t)k;
        _exit(check_lines(data, n, 0) == put - dropped ? 0 : 1);
    }
    assert_true(queue_flush(q, now_mono() + 5000 * MS, true, &failed));
    assert_int_equal(failed, 0);
    assert_string_equal(queue_reason(q), "");
    assert_int_equal(queue_items(q), 0);
    queue_free(q);
    int status;
    waitpid(reader, &status, 0);
    assert_int_equal(status, 0);
    close(server);
}

/* The deadline passes in the middle: the rest stays, in order, and goes next time. */
static void a_slow_sink_gets_it_all_in_the_end(void **state)
{
    (void)state;
    int p[2];
    static char data[4 << 20];
    size_t n = 0;
    uint64_t failed;
    const char *error;
    assert_int_equal(pipe(p), 0);
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    struct queue *q = queue_new(&(struct queue_options){.encoder = &ndjson_encoder, .url = "stdout",
                                                       .conf = &conf, .saved_stdout = p[1],
                                                       .saved_stderr = -1},
                                &error);
    assert_non_null(q);

    assert_int_equal(put_logs(q, 0, 2500, 200), 0);
    size_t before = queue_items(q);
    for (int i = 0; i < 10000 && !queue_flush(q, now_mono() + MS, true, &failed); i++) {
        assert_true(queue_items(q) <= before);
        before = queue_items(q);
        assert_true(queue_due(q) <= now_mono() + 600 * MS); /* slow is not away */
        ssize_t k = read(p[0], data + n, 30000);
        n += k > 0 ? (size_t)k : 0;
    }
    ssize_t k;
    while ((k = read(p[0], data + n, sizeof(data) - n)) > 0)
        n += (size_t)k;
    assert_int_equal(check_lines(data, n, 0), 2500);
    assert_int_equal(queue_items(q), 0);
    queue_free(q);
    close(p[0]);
    close(p[1]);
}

/* What could not be written is exactly what still waits: no line twice, none missing. */
static void a_full_file_system_is_counted_by_the_line(void **state)
{
    (void)state;
    char path[160], mounted[128];
    static char data[1 << 20];
    uint64_t failed;
    snprintf(mounted, sizeof(mounted), "%s/small", dir);
    snprintf(path, sizeof(path), "%s/log", mounted);
    assert_int_equal(mkdir(mounted, 0700), 0);
    if (mount("none", mounted, "tmpfs", 0, "size=200k") < 0)
        skip();
    struct queue *q = new_queue(&ndjson_encoder, path);

    assert_int_equal(put_logs(q, 0, 1500, 200), 0);
    assert_false(queue_flush(q, now_mono() + 1000 * MS, true, &failed));
    assert_false(queue_flush(q, now_mono() + 1000 * MS, true, &failed));
    assert_string_equal(queue_reason(q), "write: no space left");
    unsigned written = check_lines(data, read_file(path, data, sizeof(data)), 0);
    assert_true(written > 100);
    assert_int_equal(queue_items(q) + written, 1500);
    assert_int_equal(mount("none", mounted, "tmpfs", MS_REMOUNT, "size=2m"), 0);
    assert_true(queue_flush(q, now_mono() + 1000 * MS, true, &failed));
    assert_int_equal(check_lines(data, read_file(path, data, sizeof(data)), 0), 1500);
    queue_free(q);
    assert_int_equal(umount(mounted), 0);
}

static void datagrams_are_packed_and_long_lines_go_alone(void **state)
{
    (void)state;
    uint16_t port = 0;
    int server = serve(&port, SOCK_DGRAM);
    char url[64];
    static char data[70000];
    uint64_t failed;
    unsigned n = 0, datagrams = 0;
    snprintf(url, sizeof(url), "udp://127.0.0.1:%u", port);
    struct queue *q = new_queue(&ndjson_encoder, url);

    assert_int_equal(put_logs(q, 0, 20, 100), 0);
    assert_int_equal(put_logs(q, 20, 1, 5000), 0);
    assert_int_equal(put_logs(q, 21, 20, 100), 0);
    assert_int_equal(put_logs(q, 41, 1, 70000), 1); /* no datagram holds that */
    assert_int_equal(queue_items(q), 41);
    assert_true(queue_flush(q, now_mono() + 1000 * MS, false, &failed));
    while (n < 41) {
        ssize_t size = recv(server, data, sizeof(data), 0);
        unsigned lines = check_lines(data, (size_t)size, n);
        assert_true(size <= 1432 || lines == 1);
        n += lines;
        datagrams++;
    }
    assert_int_equal(failed, 0);
    assert_true(datagrams < 15);
    queue_free(q);
    close(server);
}

static void statsd_datagrams_end_without_a_newline(void **state)
{
    (void)state;
    uint16_t port = 0;
    int server = serve(&port, SOCK_DGRAM);
    char url[64], data[1500];
    uint64_t failed;
    struct metric_point p[2] = {{.is_int = true, .integer = 1}, {.is_int = true, .integer = 2}};
    struct metric m = {.name = TEXT("m"),
                       .type = METRIC_SUM,
                       .temporality = TEMPORALITY_DELTA,
                       .points = p,
                       .count = 2};
    struct batch b = {.signal = SIGNAL_METRICS, .metrics = &m, .count = 1};
    snprintf(url, sizeof(url), "udp://127.0.0.1:%u", port);
    struct queue *q = new_queue(&statsd_encoder, url);

    assert_int_equal(queue_put(q, &b), 0);
    assert_int_equal(queue_items(q), 2);
    assert_true(queue_flush(q, now_mono() + 1000 * MS, false, &failed));
    assert_int_equal(recv(server, data, sizeof(data), 0), 11);
    assert_memory_equal(data, "m:1|c\nm:2|c", 11);
    queue_free(q);
    close(server);
}

static size_t encode_too_big(const struct batch *batch, const struct conf *c, size_t unit_max,
                             sink_emit *emit, void *context)
{
    static char big[70000];
    (void)batch;
    (void)c;
    (void)unit_max;
    emit(context, big, sizeof(big), 3);
    emit(context, "ok\n", 3, 1);
    return 2;
}

static void what_is_refused_for_good_is_counted_and_passed_over(void **state)
{
    (void)state;
    const struct sink_encoder encoder = {.name = "test", .temporality = TEMPORALITY_DELTA, .encode = encode_too_big};
    struct batch b = {0};
    uint16_t port = 0;
    int server = serve(&port, SOCK_DGRAM);
    char url[64], data[16];
    uint64_t failed;
    snprintf(url, sizeof(url), "udp://127.0.0.1:%u", port);
    struct queue *q = new_queue(&encoder, url);

    assert_int_equal(queue_put(q, &b), 2);
    assert_true(queue_flush(q, now_mono() + 1000 * MS, false, &failed));
    assert_int_equal(failed, 3);
    assert_true(queue_flush(q, now_mono() + 1000 * MS, false, &failed));
    assert_int_equal(failed, 0);
    assert_int_equal(recv(server, data, sizeof(data), 0), 3);
    queue_free(q);
    close(server);
}

static void a_child_forgets_what_its_parent_queued(void **state)
{
    (void)state;
    char path[128];
    static char data[100000];
    uint64_t failed;
    int status;
    snprintf(path, sizeof(path), "%s/forked", dir);
    struct queue *q = new_queue(&ndjson_encoder, path);

    put_logs(q, 0, 1, 10);
    assert_true(queue_flush(q, now_mono() + 1000 * MS, false, &failed));
    put_logs(q, 1, 1, 10);
    pid_t child = fork();
    if (!child) {
        queue_after_fork(q);
        if (queue_items(q) || queue_due(q) != UINT64_MAX)
            _exit(1);
        put_logs(q, 2, 1, 10);
        _exit(queue_flush(q, now_mono() + 1000 * MS, false, &failed) ? 0 : 2);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_true(queue_flush(q, now_mono() + 1000 * MS, false, &failed));
    size_t n = read_file(path, data, sizeof(data));
    data[n] = '\0';
    const char *two = strstr(data, "{\"time\":2."), *one = strstr(data, "{\"time\":1.");
    assert_non_null(one);
    assert_true(two && two < one);
    assert_null(strstr(one + 1, "{\"time\":1."));
    queue_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_arrives_in_order),
        cmocka_unit_test(bad_addresses_are_refused_with_a_reason),
        cmocka_unit_test(a_sink_that_is_away_is_waited_for_within_the_bound),
        cmocka_unit_test(a_slow_sink_gets_it_all_in_the_end),
        cmocka_unit_test(a_full_file_system_is_counted_by_the_line),
        cmocka_unit_test(datagrams_are_packed_and_long_lines_go_alone),
        cmocka_unit_test(statsd_datagrams_end_without_a_newline),
        cmocka_unit_test(what_is_refused_for_good_is_counted_and_passed_over),
        cmocka_unit_test(a_child_forgets_what_its_parent_queued),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
