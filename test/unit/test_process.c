/* Processes: their events, and what is read of the kernel. */
#include "fold_fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "report/fold_process.h"

static struct fixture *begin(void)
{
    struct fixture *x = fixture_new();
    x->conf.events_process.enabled = true;
    fixture_start(x);
    return x;
}

static void start(void **state)
{
    (void)state;
    struct fixture *x = begin();
    take(x, false);
    take(x, false);
    assert_int_equal(event_count(x, "scope.process.start"), 1);
    struct attributes a = event_at(x, "scope.process.start", 0)->attributes;
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[n] = 0;
    has_text(a, "process.executable.path", exe);
    has_int(a, "process.pid", getpid());
    has_int(a, "process.parent_pid", getppid());
    assert_int_equal(find(a, "process.command_args")->type, VALUE_TEXTS);
    fixture_free(x);
}

static void children(void **state)
{
    (void)state;
    struct fixture *x = begin();
    struct record r = {
        .type = RECORD_SPAWN, .op = OP_POSIX_SPAWN, .start = SEC, .end = SEC, .result = 4242};
    put(x, r, "/bin/sh\0sh\0-c\0\0", 15);
    r = (struct record){
        .type = RECORD_FORK, .op = OP_FORK, .start = SEC, .end = SEC, .result = 4243};
    put(x, r, NULL, 0);
    r = (struct record){.type = RECORD_WAIT,
                        .op = OP_WAIT,
                        .start = SEC,
                        .end = 3 * SEC,
                        .result = 4242,
                        .a = 7 << 8};
    put(x, r, NULL, 0);
    r.result = 4243;
    r.a = SIGSEGV | 0x80;
    put(x, r, NULL, 0);
    r.result = 4243;
    r.a = SIGSTOP << 8 | 0x7f; /* stopped: not the end */
    put(x, r, NULL, 0);
    take(x, false);
    struct attributes a = event_at(x, "scope.process.spawn", 0)->attributes;
    has_text(a, "process.executable.path", "/bin/sh");
    has_int(a, "scope.child.pid", 4242);
    const struct attribute *args = find(a, "process.command_args");
    assert_int_equal(args->texts.count, 3);
    assert_true(text_is(args->texts.items[1], "-c") && text_is(args->texts.items[2], ""));
    has_int(event_at(x, "scope.process.fork", 0)->attributes, "scope.child.pid", 4243);
    assert_int_equal(event_count(x, "scope.process.exit"), 2);
    a = event_at(x, "scope.process.exit", 0)->attributes;
    has_int(a, "process.exit.code", 7);
    has_text(a, "process.executable.path", "/bin/sh");
    has_double(a, "scope.duration", 2);
    has_text(a, "scope.exit.seen_by", "parent");
    has_not(a, "scope.exit.signal");
    a = event_at(x, "scope.process.exit", 1)->attributes;
    has_text(a, "scope.exit.signal", "SIGSEGV");
    has_int(a, "scope.exit.signal_number", SIGSEGV);
    assert_true(find(a, "scope.exit.core_dumped")->boolean);
    has_not(a, "process.exit.code");
    assert_int_equal(x->fold->child_count, 0);
    fixture_free(x);
}

static void own_end(void **state)
{
    (void)state;
    struct fixture *x = begin();
    put(x, (struct record){.type = RECORD_EXIT, .op = OP_EXIT, .end = SEC, .result = 256 + 3}, NULL,
        0);
    put(x, (struct record){.type = RECORD_EXIT, .op = OP_ABORT, .end = SEC, .result = 0}, NULL, 0);
    take(x, true);
    has_int(event_at(x, "scope.process.exit", 0)->attributes, "process.exit.code", 3);
    has_text(event_at(x, "scope.process.exit", 0)->attributes, "scope.exit.seen_by", "self");
    has_not(event_at(x, "scope.process.exit", 1)->attributes, "process.exit.code");
    has_text(event_at(x, "scope.process.exit", 1)->attributes, "scope.operation", "abort");
    fixture_free(x);
}

static void replaced(void **state)
{
    (void)state;
    struct fixture *x = begin();
    put(x, (struct record){.type = RECORD_EXEC, .op = OP_EXEC, .end = SEC}, "/bin/ls\0ls\0-l", 14);
    put(x,
        (struct record){.type = RECORD_EXEC_FAILED, .op = OP_EXEC, .end = SEC, .result = -ENOEXEC},
        "/bin/ls", 7);
    put(x, (struct record){.type = RECORD_NOTE, .end = SEC, .a = NOTE_IO_URING}, NULL, 0);
    take(x, false);
    struct attributes a = event_at(x, "scope.process.exec", 0)->attributes;
    has_text(a, "process.executable.path", "/bin/ls");
    assert_int_equal(find(a, "process.command_args")->texts.count, 2);
    has_text(event_at(x, "scope.process.exec", 1)->attributes, "error.type", "ENOEXEC");
    assert_false(x->fold->exec_seen);
    has_text(event_at(x, "scope.unobserved", 0)->attributes, "scope.unobserved.what", "io_uring");
    fixture_free(x);
}

static void many_children(void **state)
{
    (void)state;
    struct fixture *x = begin();
    for (int i = 1; i <= 3 * CHILDREN_MAX; i++)
        put(x, (struct record){.type = RECORD_SPAWN, .op = OP_POSIX_SPAWN, .end = SEC, .result = i},
            "/x\0x", 5);
    assert_int_equal(x->fold->child_count, CHILDREN_MAX);
    fixture_free(x);
}

static void threads(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    struct batch b;
    x->conf.metrics_process = true;
    fixture_start(x);
    for (int i = 0; i < 3; i++)
        put(x,
            (struct record){.type = RECORD_THREAD_START,
                            .op = OP_THREAD,
                            .end = SEC,
                            .fd = 100 + i,
                            .result = i == 2 ? -EAGAIN : 0},
            NULL, 0);
    fold_metrics(x->fold, 0, TEMPORALITY_DELTA, false, x->arena, &b);
    assert_int_equal(point_of(&b, "scope.process.threads.started", NULL, NULL)->integer, 2);
    fixture_free(x);
}

static void stat_lines(void **state)
{
    (void)state;
    struct process_stat s;
    static const char line[] =
        "12 (a) b (c)) S 34 12 12 0 -1 4194304 99 1 2 3 4 5 6 7 20 0 8 0 194259 "
        "3133440 380 18446744073709551615 9";
    assert_true(process_parse_stat(line, sizeof(line) - 1, &s));
    assert_int_equal(s.parent, 34);
    assert_int_equal(s.minor_faults, 99);
    assert_int_equal(s.major_faults, 2);
    assert_int_equal(s.user_ticks, 4);
    assert_int_equal(s.system_ticks, 5);
    assert_int_equal(s.threads, 8);
    assert_int_equal(s.start_ticks, 194259);
    assert_int_equal(s.virtual_size, 3133440);
    assert_int_equal(s.resident, 380 * sysconf(_SC_PAGESIZE));
    assert_false(process_parse_stat("", 0, &s));
    assert_false(process_parse_stat("1 (x) S 2 3", 11, &s));
    assert_false(process_parse_stat(")", 1, &s));
}

/* Another process than our own, as a companion sees it. */
static void other(void **state)
{
    (void)state;
    struct fixture *x = fixture_new();
    struct batch b;
    pid_t child = fork();
    if (!child) {
        pause();
        _exit(0);
    }
    x->conf.metrics_process = true;
    x->fold = fold_new(&x->conf, x->region, child);
    const struct attribute *a = find(fold_resource(x->fold)->attributes, "process.parent_pid");
    assert_int_equal(a->integer, getpid());
    assert_non_null(find(fold_resource(x->fold)->attributes, "process.owner"));
    fold_metrics(x->fold, 0, TEMPORALITY_CUMULATIVE, false, x->arena, &b);
    assert_non_null(point_of(&b, "process.cpu.time", "cpu.mode", "system"));
    assert_true(point_of(&b, "process.memory.usage", NULL, NULL)->integer > 0);
    assert_true(point_of(&b, "process.unix.file_descriptor.count", NULL, NULL)->integer >= 3);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_true(fold_metrics(x->fold, 0, TEMPORALITY_CUMULATIVE, false, x->arena, &b) >
                0); /* gone: no harm */
    fixture_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start),      cmocka_unit_test(children),      cmocka_unit_test(own_end),
        cmocka_unit_test(replaced),   cmocka_unit_test(many_children), cmocka_unit_test(threads),
        cmocka_unit_test(stat_lines), cmocka_unit_test(other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
