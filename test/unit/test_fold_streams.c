/* Log data, syslog and journal messages become log records. */
#include "fold_fixture.h"

#include <stdio.h>

#include "protocol/journal.h"

static struct fixture *begin(void)
{
    struct fixture *x = fixture_new();
    fixture_start(x);
    return x;
}

static void data(struct fixture *x, int32_t tid, uint32_t flags, uint64_t start, const char *text)
{
    uint64_t room[RECORD_PAYLOAD_MAX / 8 + 1] = {0};
    struct record r = {.type = RECORD_DATA,
                       .op = OP_WRITE,
                       .kind = KIND_PIPE,
                       .start = start,
                       .end = start + 1,
                       .fd = 1,
                       .generation = 1,
                       .flags = flags,
                       .payload = (uint32_t)strlen(text)};
    memcpy(room, text, strlen(text));
    fold_record(x->fold, &r, (const uint8_t *)room, tid);
}

static void body_is(struct fixture *x, size_t i, const char *body)
{
    assert_true(i < x->log_count);
    if (!text_is(x->logs[i].body, body))
        fail_msg("'%.*s', not '%s'", (int)x->logs[i].body.length, x->logs[i].body.data, body);
}

static void console(void **state)
{
    (void)state;
    struct fixture *x = begin();
    data(x, 5, RECORD_OUT, SEC, "hello\nERROR: wor");
    data(x, 6, RECORD_OUT, 2 * SEC, "ld\n");
    data(x, 6, RECORD_ERR, 3 * SEC, "on error\n");
    take(x, true);
    assert_int_equal(x->log_count, 3);
    body_is(x, 0, "hello");
    const struct log_record *l = NULL;
    for (size_t i = 0; i < 3; i++)
        if (text_is(x->logs[i].body, "ERROR: world"))
            l = &x->logs[i];
    assert_non_null(l);
    assert_int_equal(l->severity, 17);
    assert_true(text_is(l->severity_text, "ERROR"));
    assert_int_equal(l->time, EPOCH + SEC + 1); /* when it began */
    has_text(l->attributes, "log.iostream", "stdout");
    has_int(l->attributes, "thread.id", 5);
    assert_int_equal(l->event_name.length, 0);
    assert_true(l->observed_time > 0);
    fixture_free(x);
}

static void file(void **state)
{
    (void)state;
    struct fixture *x = begin();
    put(x,
        (struct record){.type = RECORD_OPEN,
                        .op = OP_OPENAT,
                        .kind = KIND_FILE,
                        .end = SEC,
                        .fd = 1,
                        .generation = 1,
                        .result = 1},
        "/var/log/a.log", 15);
    data(x, 5, 0, SEC, "line\n");
    /* what was unfinished when it is closed is not lost */
    data(x, 5, 0, SEC, "unfinished");
    put(x,
        (struct record){.type = RECORD_CLOSE,
                        .op = OP_CLOSE,
                        .kind = KIND_FILE,
                        .end = 2 * SEC,
                        .fd = 1,
                        .generation = 1},
        NULL, 0);
    take(x, false);
    const struct log_record *l = event_at(x, "scope.file.close", 0);
    assert_non_null(l);
    size_t lines = 0;
    for (size_t i = 0; i < x->log_count; i++)
        if (!x->logs[i].event_name.length) {
            lines++;
            has_text(x->logs[i].attributes, "log.file.path", "/var/log/a.log");
            has_text(x->logs[i].attributes, "log.file.name", "a.log");
            has_not(x->logs[i].attributes, "log.iostream");
        }
    assert_int_equal(lines, 2);
    fixture_free(x);
}

/* One write in parts, another thread's write between them: lines stay whole. */
static void in_parts(void **state)
{
    (void)state;
    struct fixture *x = begin();
    data(x, 5, RECORD_OUT | RECORD_MORE, SEC, "first half, ");
    data(x, 6, RECORD_OUT, SEC + 1, "between\n");
    data(x, 5, RECORD_OUT, SEC, "second half\n");
    take(x, true);
    assert_int_equal(x->log_count, 2);
    body_is(x, 0, "between");
    body_is(x, 1, "first half, second half");
    assert_int_equal(x->fold->drops[DROP_LOG_LENGTH], 0);
    fixture_free(x);
}

static void part_lost(void **state)
{
    (void)state;
    struct fixture *x = begin();
    data(x, 5, RECORD_OUT | RECORD_MORE, SEC, "whole\ncut he");
    data(x, 5, RECORD_OUT, 2 * SEC, "next\n"); /* another write: the rest was dropped */
    take(x, true);
    assert_int_equal(x->log_count, 3);
    body_is(x, 1, "cut he");
    body_is(x, 2, "next");
    assert_int_equal(x->fold->drops[DROP_LOG_LENGTH], 1);
    assert_non_null(find(x->logs[1].attributes, "scope.log.truncated"));
    fixture_free(x);
}

static void limits(void **state)
{
    (void)state;
    static char *out[] = {"secret"};
    struct fixture *x = fixture_new();
    char line[32];
    x->conf.logs_rate = 10;
    x->conf.logs_line_max = 8;
    x->conf.logs_exclude = (struct conf_list){out, 1};
    fixture_start(x);
    for (int i = 0; i < 25; i++) {
        snprintf(line, sizeof(line), "l%d\n", i);
        data(x, 5, RECORD_OUT, SEC, line);
    }
    data(x, 5, RECORD_OUT, 2 * SEC, "123456789\na secret\nend\n");
    take(x, true);
    assert_int_equal(x->fold->drops[DROP_LOG_RATE], 15);
    assert_int_equal(x->fold->drops[DROP_LOG_LENGTH], 1);
    assert_int_equal(x->log_count, 12);
    body_is(x, 10, "12345678");
    body_is(x, 11, "end");
    fixture_free(x);
}

static void idle(void **state)
{
    (void)state;
    struct fixture *x = begin();
    x->fold->fixed_now = 2 * SEC;
    data(x, 5, RECORD_OUT, 2 * SEC, "a line\npartial");
    take(x, false);
    x->fold->fixed_now = 4 * SEC;
    take(x, false);
    assert_int_equal(x->log_count, 0); /* the line after it has begun: it may be a continuation */
    x->fold->fixed_now = 8 * SEC;
    take(x, false);
    assert_int_equal(x->log_count, 2);
    body_is(x, 1, "partial");
    fixture_free(x);
}

static void binary(void **state)
{
    (void)state;
    struct fixture *x = begin();
    data(x, 5, RECORD_OUT, SEC, "text\npart");
    data(x, 5, RECORD_OUT | RECORD_BINARY, 2 * SEC, "");
    data(x, 5, RECORD_OUT, 3 * SEC, "again\n");
    take(x, true);
    assert_int_equal(x->log_count, 3);
    body_is(x, 0, "text");
    body_is(x, 2, "again");
    fixture_free(x);
}

/* ------------------------------------------------------------------ syslog, journal */

static void from_syslog(void **state)
{
    (void)state;
    struct fixture *x = begin();
    struct record r = {.type = RECORD_SYSLOG, .op = OP_SYSLOG, .end = SEC, .a = 3 * 8 + 3};
    put(x, r, "ident\0it failed\n", 16);
    r.flags = RECORD_RAW;
    put(x, r, "<13>Jan  2 03:04:05 me[42]: said", 32);
    static const char native[] = "PRIORITY=4\nSYSLOG_IDENTIFIER=unit\nCODE_LINE=12\nMESSAGE\n"
                                 "\x0b\0\0\0\0\0\0\0two\nlines!!\nX=y\n";
    put(x, r, native, sizeof(native) - 1);
    put(x, r, "nothing", 7);
    take(x, true);
    assert_int_equal(x->log_count, 3);
    body_is(x, 0, "it failed");
    assert_int_equal(x->logs[0].severity, 17);
    has_text(x->logs[0].attributes, "scope.syslog.identifier", "ident");
    has_text(x->logs[0].attributes, "scope.syslog.facility", "daemon");
    has_text(x->logs[0].attributes, "scope.log.source", "syslog");
    body_is(x, 1, "said");
    has_text(x->logs[1].attributes, "scope.syslog.identifier", "me");
    assert_int_equal(x->logs[1].severity, 10);
    body_is(x, 2, "two\nlines!!");
    assert_int_equal(x->logs[2].severity, 13);
    assert_true(text_is(x->logs[2].severity_text, "warning"));
    has_text(x->logs[2].attributes, "scope.log.source", "journal");
    has_text(x->logs[2].attributes, "scope.syslog.identifier", "unit");
    has_text(x->logs[2].attributes, "code.line.number", "12");
    assert_int_equal(x->fold->drops[DROP_INVALID], 1);
    fixture_free(x);
}

static bool is(struct journal_text t, const char *s)
{
    return t.length == strlen(s) && !memcmp(t.data, s, t.length);
}

static void syslog_lines(void **state)
{
    (void)state;
    struct journal_entry e;
    static const char rfc5424[] = "<165>1 2003-10-11T22:14:15.003Z host app 77 ID47 "
                                  "[x@1 a=\"b]\\\"\"][y@1 c=\"d\"] \xef\xbb\xbfmessage";
    assert_int_equal(syslog_parse((const uint8_t *)rfc5424, sizeof(rfc5424) - 1, &e), 0);
    assert_int_equal(e.priority, 165);
    assert_true(is(e.identifier, "app") && is(e.pid, "77") && is(e.message_id, "ID47"));
    assert_true(is(e.message, "message"));
    static const char plain[] = "<6>no tag here: really";
    assert_int_equal(syslog_parse((const uint8_t *)plain, sizeof(plain) - 1, &e), 0);
    assert_true(is(e.message, "no tag here: really") && !e.identifier.length);
    static const char *const bad[] = {"", "<", "<>", "<x>y", "<192>x", "<12", "12>x", "<0000>"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_true(syslog_parse((const uint8_t *)bad[i], strlen(bad[i]), &e) < 0);
}

static void native_fields(void **state)
{
    (void)state;
    struct journal_entry e;
    static const char short_length[] = "MESSAGE\n\x05\0\0";
    assert_true(journal_parse((const uint8_t *)short_length, sizeof(short_length) - 1, &e) < 0);
    static const char too_long[] = "MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xffx";
    assert_true(journal_parse((const uint8_t *)too_long, sizeof(too_long) - 1, &e) < 0);
    static const char empty[] = "MESSAGE=\nPRIORITY=9";
    assert_int_equal(journal_parse((const uint8_t *)empty, sizeof(empty) - 1, &e), 0);
    assert_int_equal(e.priority, -1); /* there is no level 9 */
    assert_int_equal(e.message.length, 0);
    static const char both[] = "MESSAGE=m\nPRIORITY=3\nSYSLOG_FACILITY=4\n";
    assert_int_equal(journal_parse((const uint8_t *)both, sizeof(both) - 1, &e), 0);
    assert_int_equal(e.priority, 4 * 8 + 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(console),      cmocka_unit_test(file),
        cmocka_unit_test(in_parts),     cmocka_unit_test(part_lost),
        cmocka_unit_test(limits),       cmocka_unit_test(idle),
        cmocka_unit_test(binary),       cmocka_unit_test(from_syslog),
        cmocka_unit_test(syslog_lines), cmocka_unit_test(native_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
