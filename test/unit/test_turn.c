/* Threads that overtake one another on a connection, and event loops that put work off. */
#include "flow_fixture.h"

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

/* ------------------------------------------------------------------ turns of an event loop */

static void turn(int wait)
{
    now += 1000;
    turn_begin(region, lane, ticks_now(), wait);
}

static int has_parent(int fd, const char *request)
{
    out(fd, request);
    in(fd, OK);
    take_spans();
    int has = 0;
    for (size_t i = 0; i < span_count; i++)
        if (spans[i].kind == SPAN_CLIENT)
            has = !none(spans[i].parent_span_id, 8);
    return has;
}

static void two_served(void)
{
    for (int fd = 5; fd <= 8; fd++)
        open_fd(fd, (fd < 7 ? FD_SERVER : 0) | FD_NONBLOCK);
}

static void work_of_one_event_is_that_of_its_request(void **state)
{
    (void)state;
    two_served();
    turn_order = TURN_UNKNOWN;
    turn(-1);
    in(5, GET);
    assert_true(has_parent(7, GET));
}

static void behind_two_events_it_is_not_known_whose_work_it_is(void **state)
{
    (void)state;
    two_served();
    turn_order = TURN_UNKNOWN;
    turn(-1);
    in(5, GET);
    in(6, GET);
    log_line("whose\n");
    assert_false(has_parent(7, GET));
    assert_true(none(line_of("whose")->span_id, 8));
    out(5, OK);
    turn(-1); /* another turn, of which more is known */
    in(5, GET);
    assert_false(trace_is_none(&lane->context));
}

static void a_loop_that_puts_nothing_off_has_many_events(void **state)
{
    (void)state;
    two_served();
    turn_order = TURN_NEVER;
    turn(-1);
    in(5, GET);
    in(6, GET);
    assert_true(has_parent(7, GET));
    turn_order = TURN_UNKNOWN;
}

static void what_was_put_off_is_nobodys(void **state)
{
    (void)state;
    two_served();
    turn_order = TURN_TOLD;
    turn(-1);
    in(5, GET);
    in(6, GET);
    assert_false(trace_is_none(&lane->context));
    turn_put_off(region, lane);
    out(5, OK); /* an answer, by a timer: who comes next is another */
    assert_true(trace_is_none(&lane->context));
    assert_false(has_parent(7, GET));
    turn_order = TURN_UNKNOWN;
}

/* A timer that was due before the wait is over may be what runs now. */
static void a_timer_that_may_be_due_ends_the_context(void **state)
{
    (void)state;
    two_served();
    turn_order = TURN_NEVER;
    turn_ticks_of_ms = 1;
    turn(5);
    in(5, GET);
    assert_false(has_parent(7, GET));
    turn_ticks_of_ms = 1ULL << 40;
    turn(5);
    in(6, GET);
    assert_true(has_parent(8, GET));
    turn_order = TURN_UNKNOWN;
}

/* A wake-up, a database's answer: what follows is of whoever waited for it. */
static void what_else_is_read_ends_the_context(void **state)
{
    (void)state;
    two_served();
    fd_opened(region, 9, KIND_EVENT, FD_NONBLOCK);
    fd_opened(region, 10, KIND_FILE, 0);
    turn_order = TURN_TOLD;
    turn(-1);
    in(5, GET);
    turn_read(region, lane, 10, fd_get(10));
    assert_false(trace_is_none(&lane->context));
    turn_read_none(region, lane, 9, -EAGAIN);
    assert_false(trace_is_none(&lane->context));
    turn_read(region, lane, 9, fd_get(9));
    assert_true(trace_is_none(&lane->context));
    assert_false(has_parent(7, GET));
    turn_order = TURN_UNKNOWN;
}

/* Who takes no events is in no loop: a thread for each connection, whatever else it reads. */
static void a_thread_of_its_own_keeps_its_request(void **state)
{
    (void)state;
    two_served();
    fd_opened(region, 9, KIND_EVENT, FD_NONBLOCK);
    in(5, GET);
    turn_read(region, lane, 9, fd_get(9));
    turn_read_none(region, lane, 8, 0);
    assert_true(has_parent(7, GET));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_may_overtake_the_call_that_asked),
        TEST(what_was_shown_and_not_sent_comes_again),
        TEST(a_direction_is_lost_once),
        TEST(work_of_one_event_is_that_of_its_request),
        TEST(behind_two_events_it_is_not_known_whose_work_it_is),
        TEST(a_loop_that_puts_nothing_off_has_many_events),
        TEST(what_was_put_off_is_nobodys),
        TEST(a_timer_that_may_be_due_ends_the_context),
        TEST(what_else_is_read_ends_the_context),
        TEST(a_thread_of_its_own_keeps_its_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
