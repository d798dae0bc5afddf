/* A queue over HTTP: what a server's answer does to what waits. Against a scripted server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "otlp/otlp.h"
#include "report/report.h"
#include "http_library.h"
#include "transport/transport.h"

#define MS 1000000ull

/* ------------------------------------------------------------------ a server */

enum { SCRIPT_MAX = 8 };

/* One answer to a request: its head's rest and body; NULL: the connection is closed instead. */
struct answer {
    const char *text;
    size_t length; /* 0: strlen */
    unsigned wait_ms;
};

static struct server {
    int fd;
    uint16_t port;
    pthread_t thread;
    const struct answer *script;
    unsigned count; /* answers; the last is given again and again */
    _Atomic unsigned requests, connections;
} server;

static void answer_one(int fd, const struct answer *a)
{
    if (a->wait_ms)
        usleep(a->wait_ms * 1000);
    size_t length = a->length ? a->length : strlen(a->text);
    assert_int_equal(send(fd, a->text, length, MSG_NOSIGNAL), length);
}

/* Reads one request whole. False: the peer has gone. */
static bool read_request(int fd)
{
    char data[65536];
    size_t n = 0, body = 0;
    char *end = NULL;

    while (!end || n < (size_t)(end - data) + 4 + body) {
        ssize_t r = recv(fd, data + n, sizeof(data) - 1 - n, 0);
        if (r <= 0)
            return false;
        n += (size_t)r;
        data[n] = '\0';
        end = strstr(data, "\r\n\r\n");
        char *length = strstr(data, "Content-Length: ");
        body = length ? strtoul(length + 16, NULL, 10) : 0;
    }
    return true;
}

static void *serve(void *unused)
{
    int fd;

    while ((fd = accept(server.fd, NULL, NULL)) >= 0) {
        server.connections++;
        while (read_request(fd)) {
            unsigned i = server.requests < server.count ? server.requests : server.count - 1;
            server.requests++;
            if (!server.script[i].text)
                break;
            answer_one(fd, &server.script[i]);
        }
        close(fd);
    }
    return unused;
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void start_server(const struct answer *script, unsigned count)
{
    struct sockaddr_in a = loopback(0);
    socklen_t size = sizeof(a);

    server = (struct server){.script = script, .count = count};
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server.fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(server.fd, 8), 0);
    assert_int_equal(getsockname(server.fd, (struct sockaddr *)&a, &size), 0);
    server.port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void stop_server(void)
{
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.fd);
}

/* ------------------------------------------------------------------ a queue */

static struct conf conf = {.memory_queue = 1 << 20, .otlp_request_max = 1 << 20};

static size_t encode_three(const struct batch *batch, const struct conf *c, size_t unit_max,
                           sink_emit *emit, void *context)
{
    (void)c;
    (void)unit_max;
    for (size_t i = 0; i < batch->count; i++)
        emit(context, "abc", 3, 3);
    return 0;
}

static const struct sink_encoder encoder = {.name = "test",
                                            .temporality = TEMPORALITY_DELTA,
                                            .encode = encode_three,
                                            .whole = true,
                                            .judge = otlp_judge};

static struct told {
    uint64_t taken, lost, begun, ended, kept;
    size_t from; /* of the items that were kept last */
    char error[32], end[32];
} told;
static bool keeps;

static void tell(void *context, uint64_t items, const char *error)
{
    (void)context;
    if (error)
        snprintf(told.error, sizeof(told.error), "%s", error);
    *(error ? &told.lost : &told.taken) += items;
}

static void tell_begun(void *context, uint64_t items)
{
    (void)context;
    told.begun += items;
}

static void tell_ended(void *context, uint64_t duration, const char *error)
{
    (void)context;
    assert_true(duration < 60000 * MS);
    snprintf(told.end, sizeof(told.end), "%s", error ? error : "taken");
    told.ended++;
}

static bool keep(void *context, size_t from, size_t items)
{
    (void)context;
    if (!keeps)
        return false;
    told.from = from;
    told.kept += items;
    return true;
}

static struct queue *new_queue(uint64_t limit, size_t items_max)
{
    static const struct http_options http = {.content_type = "application/x-protobuf",
                                             .attempt_timeout = 2000 * MS};
    static char url[64];
    const char *error = NULL;

    told = (struct told){0};
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1/logs", server.port);
    struct queue *q = queue_new(&(struct queue_options){.encoder = &encoder,
                                                        .url = url,
                                                        .conf = &conf,
                                                        .http = &http,
                                                        .limit = limit,
                                                        .items_max = items_max,
                                                        .done = tell,
                                                        .begun = tell_begun,
                                                        .ended = tell_ended,
                                                        .keep = keep},
                                &error);
    if (!q)
        fail_msg("%s", error);
    return q;
}

static uint64_t put(struct queue *q, size_t units)
{
    return queue_put(q, &(struct batch){.signal = SIGNAL_LOGS, .count = units});
}

static bool flush(struct queue *q, unsigned ms)
{
    return queue_flush(q, now_mono() + ms * MS, true, NULL);
}

#define REPLY(status, headers, body, length) \
    "HTTP/1.1 " status "\r\n" headers "Content-Length: " length "\r\n\r\n" body
#define TYPE "Content-Type: application/x-protobuf\r\n"

/* ------------------------------------------------------------------ tests */

static bool library_is_loaded(void)
{
    char line[4096];
    bool found = false;
    FILE *in = fopen("/proc/self/maps", "r");

    while (fgets(line, sizeof(line), in))
        found = found || strstr(line, "libscope-http.so");
    fclose(in);
    return found;
}

/* First of all, for the library stays once it is there. */
static void where_nobody_listens_the_library_is_not_loaded(void **state)
{
    (void)state;
    const struct answer unused[] = {{.text = "x"}};
    start_server(unused, 1);
    stop_server();
    struct queue *q = new_queue(0, 0);
    put(q, 1);
    assert_false(flush(q, 200));
    assert_string_equal(queue_reason(q), "connect: the connection was refused");
    assert_false(library_is_loaded());
    assert_int_equal(told.lost + told.taken, 0);
    queue_free(q);
}

static void what_is_taken_is_told_and_the_connection_kept(void **state)
{
    (void)state;
    const struct answer script[] = {{.text = REPLY("200 OK", "", "", "0")}};
    start_server(script, 1);
    struct queue *q = new_queue(10000 * MS, 0);
    assert_int_equal(put(q, 5), 0);
    assert_true(flush(q, 2000));
    assert_true(library_is_loaded());
    assert_int_equal(told.taken, 15);
    assert_int_equal(told.begun, 15);
    assert_int_equal(told.ended, 5);
    assert_string_equal(told.end, "taken");
    assert_int_equal(told.lost, 0);
    assert_int_equal(server.requests, 5);
    assert_int_equal(server.connections, 1);
    queue_free(q);
    stop_server();
}

static void a_busy_server_is_asked_again_when_it_says(void **state)
{
    (void)state;
    const struct answer script[] = {
        {.text = REPLY("503 Busy", "Retry-After: 2\r\n", "", "0")},
        {.text = REPLY("200 OK", "", "", "0")},
    };
    start_server(script, 2);
    struct queue *q = new_queue(10000 * MS, 0);
    put(q, 1);
    uint64_t before = now_mono();
    assert_false(queue_flush(q, before + 1000 * MS, false, NULL));
    assert_in_range(queue_due(q), before + 1900 * MS, now_mono() + 2000 * MS);
    assert_non_null(strstr(queue_reason(q), "HTTP 503"));
    assert_int_equal(told.lost + told.taken, 0);
    assert_true(flush(q, 2000)); /* a process that ends insists */
    assert_int_equal(told.taken, 3);
    queue_free(q);
    stop_server();
}

static void a_poisoned_retry_after_is_capped(void **state)
{
    (void)state;
    const struct answer script[] = {
        {.text = REPLY("429 Slow down", "Retry-After: 31536000\r\n", "", "0")}};
    start_server(script, 1);
    struct queue *q = new_queue(0, 0);
    put(q, 1);
    assert_false(queue_flush(q, now_mono() + 1000 * MS, false, NULL));
    assert_true(queue_due(q) <= now_mono() + 30000 * MS);
    queue_free(q);
    stop_server();
}

static void what_is_refused_is_dropped_and_never_sent_again(void **state)
{
    (void)state;
    static const char *const refusals[] = {
        REPLY("400 Bad Request", "", "", "0"),
        REPLY("401 No", "", "", "0"),
        REPLY("500 Oh", "", "", "0"),
        REPLY("501 No", "", "", "0"),
        REPLY("307 There", "Location: /\r\n", "", "0"),
    };
    for (unsigned i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct answer script[] = {{.text = refusals[i]}};
        start_server(script, 1);
        struct queue *q = new_queue(10000 * MS, 0);
        put(q, 1);
        assert_true(flush(q, 2000));
        assert_int_equal(told.lost, 3);
        assert_memory_equal(told.error, refusals[i] + 9, 3);
        assert_int_equal(server.requests, 1);
        queue_free(q);
        stop_server();
    }
}

static void a_batch_is_given_up_when_its_time_is_over(void **state)
{
    (void)state;
    const struct answer script[] = {{.text = REPLY("503 Busy", "", "", "0")}};
    start_server(script, 1);
    struct queue *q = new_queue(300 * MS, 0);
    put(q, 2);
    assert_false(flush(q, 1000));
    assert_int_equal(told.lost, 0);
    usleep(320 * 1000);
    assert_false(flush(q, 1000)); /* the first is given up, the second waits still */
    assert_int_equal(told.lost, 3);
    assert_string_equal(told.error, "timeout");
    assert_int_equal(queue_items(q), 3);
    queue_free(q);
    stop_server();
}

/* Two units that are given up one after the other, the first after what the server did. */
static struct queue *given_up(const struct answer *script, unsigned count)
{
    start_server(script, count);
    struct queue *q = new_queue(300 * MS, 0);
    keeps = true;
    put(q, 2);
    assert_int_equal(queue_inflight(q), 0);
    flush(q, 100);
    assert_int_equal(queue_inflight(q), 3);
    assert_int_equal(told.begun, 3);
    usleep(320 * 1000);
    flush(q, 100);
    keeps = false;
    return q;
}

static void what_no_server_can_have_taken_is_kept(void **state)
{
    (void)state;
    const struct answer busy[] = {{.text = REPLY("503 Busy", "", "", "0")}};
    struct queue *q = given_up(busy, 1);
    assert_int_equal(told.kept, 3);
    assert_int_equal(told.from, 0);
    assert_int_equal(told.lost, 0);
    assert_string_equal(told.end, "timeout");
    keeps = true;
    usleep(320 * 1000);
    flush(q, 100);
    keeps = false;
    assert_int_equal(told.kept, 6);
    assert_int_equal(told.from, 3); /* the second unit's own */
    queue_free(q);
    stop_server();

    /* Nobody listens. */
    start_server(busy, 1);
    stop_server();
    q = new_queue(300 * MS, 0);
    keeps = true;
    put(q, 1);
    flush(q, 100);
    usleep(320 * 1000);
    assert_true(flush(q, 100));
    keeps = false;
    assert_int_equal(told.kept, 3);
    queue_free(q);
}

/* It would be counted twice. */
static void what_a_server_may_have_taken_is_not_kept(void **state)
{
    (void)state;
    const struct answer slow[] = {{.text = REPLY("200 OK", "", "", "0"), .wait_ms = 1000}};
    const struct answer gone[] = {{.text = NULL}, {.text = REPLY("503 Busy", "", "", "0")}};
    struct queue *q = given_up(slow, 1);
    assert_int_equal(told.kept, 0);
    assert_int_equal(told.lost, 3);
    queue_free(q);
    stop_server();
    /* The first try was not answered: the later refusal says nothing of it. */
    start_server(gone, 2);
    q = new_queue(300 * MS, 0);
    keeps = true;
    put(q, 1);
    flush(q, 100);
    flush(q, 100);
    usleep(320 * 1000);
    assert_true(flush(q, 100));
    keeps = false;
    assert_int_equal(server.requests, 2);
    assert_int_equal(told.kept, 0);
    assert_int_equal(told.lost, 3);
    queue_free(q);
    stop_server();
}

static void part_of_a_batch_is_rejected_once(void **state)
{
    (void)state;
    /* partial_success { rejected 2, error_message "no" } */
    static const char body[] = REPLY("200 OK", TYPE, "\x0a\x06\x08\x02\x12\x02no", "8");
    const struct answer script[] = {{.text = body, .length = sizeof(body) - 1}};
    start_server(script, 1);
    struct queue *q = new_queue(10000 * MS, 0);
    put(q, 1);
    assert_true(flush(q, 2000));
    assert_int_equal(told.lost, 2);
    assert_string_equal(told.error, "rejected");
    assert_int_equal(told.taken, 1);
    assert_int_equal(told.begun, 3);
    assert_int_equal(told.ended, 1);
    assert_string_equal(told.end, "rejected");
    assert_int_equal(server.requests, 1);
    queue_free(q);
    stop_server();
}

static void a_slow_answer_is_waited_for_over_several_turns(void **state)
{
    (void)state;
    const struct answer script[] = {{.text = REPLY("200 OK", "", "", "0"), .wait_ms = 300}};
    start_server(script, 1);
    struct queue *q = new_queue(10000 * MS, 0);
    put(q, 1);
    unsigned turns = 0;
    while (!flush(q, 20) && turns < 1000) {
        assert_true(queue_is_under_way(q));
        assert_int_equal(queue_inflight(q), 3);
        turns++;
    }
    assert_true(turns > 2);
    assert_int_equal(told.begun, 3); /* once, however long it takes */
    assert_int_equal(queue_inflight(q), 0);
    assert_int_equal(told.taken, 3);
    assert_int_equal(server.requests, 1);
    queue_free(q);
    stop_server();
}

static void a_server_that_closes_kept_connections_gets_everything_once(void **state)
{
    (void)state;
    const struct answer script[] = {
        {.text = REPLY("200 OK", "Connection: close\r\n", "", "0")},
    };
    start_server(script, 1);
    struct queue *q = new_queue(10000 * MS, 0);
    put(q, 3);
    while (!flush(q, 2000))
        assert_int_equal(told.lost, 0);
    assert_int_equal(told.taken, 9);
    assert_in_range(server.requests, 3, 3);
    queue_free(q);
    stop_server();
}

static void a_connection_that_ends_before_its_answer_is_tried_again(void **state)
{
    (void)state;
    const struct answer script[] = {{.text = NULL}, {.text = REPLY("200 OK", "", "", "0")}};
    start_server(script, 2);
    struct queue *q = new_queue(10000 * MS, 0);
    put(q, 1);
    assert_false(flush(q, 2000));
    assert_int_equal(told.lost, 0);
    assert_true(flush(q, 2000));
    assert_int_equal(told.taken, 3);
    queue_free(q);
    stop_server();
}

static void a_queue_holds_no_more_items_than_it_may(void **state)
{
    (void)state;
    const struct answer script[] = {{.text = REPLY("200 OK", "", "", "0")}};
    start_server(script, 1);
    struct queue *q = new_queue(0, 7);
    assert_int_equal(put(q, 4), 6); /* two units of three fit */
    assert_int_equal(queue_items(q), 6);
    assert_true(flush(q, 2000));
    queue_free(q);
    stop_server();
}

int main(void)
{
    use_http_library();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_nobody_listens_the_library_is_not_loaded),
        cmocka_unit_test(what_is_taken_is_told_and_the_connection_kept),
        cmocka_unit_test(a_busy_server_is_asked_again_when_it_says),
        cmocka_unit_test(a_poisoned_retry_after_is_capped),
        cmocka_unit_test(what_is_refused_is_dropped_and_never_sent_again),
        cmocka_unit_test(a_batch_is_given_up_when_its_time_is_over),
        cmocka_unit_test(what_no_server_can_have_taken_is_kept),
        cmocka_unit_test(what_a_server_may_have_taken_is_not_kept),
        cmocka_unit_test(part_of_a_batch_is_rejected_once),
        cmocka_unit_test(a_slow_answer_is_waited_for_over_several_turns),
        cmocka_unit_test(a_server_that_closes_kept_connections_gets_everything_once),
        cmocka_unit_test(a_connection_that_ends_before_its_answer_is_tried_again),
        cmocka_unit_test(a_queue_holds_no_more_items_than_it_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
