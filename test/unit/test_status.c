/* What a process says of itself: valid JSON whatever it holds, and an answer for its user alone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/capture.h"
#include "report/control.h"
#include "report/report.h"
#include "report/status.h"

static char text[STATUS_BYTES];

static json_t *encode(const struct status *s)
{
    size_t length = status_encode(s, text, sizeof(text));
    json_error_t error;

    assert_true(length > 0 && length <= sizeof(text));
    json_t *all = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (!all)
        fail_msg("line %d: %s", error.line, error.text);
    return all;
}

static const char *string(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void members(void **state)
{
    struct status s = {
        .pid = 4711,
        .time = 1700000000123456789u,
        .enabled = true,
        .watch = WATCH_FILES | WATCH_METRICS,
        .got_patched = 3,
        .lanes_used = 2,
        .lanes = 16,
        .chunks_free = 250,
        .chunks = 256,
        .sink = {{"ndjson", "tcp://collector:4000", SINK_AWAY, "connect: refused", 12, 7},
                 {"statsd", "udp://127.0.0.1:8125", SINK_IDLE, "", 0, 0}},
        .sinks = 2,
        .notes = 1u << NOTE_IO_URING | 1u << 31,
        .troubles = 2,
    };

    (void)state;
    s.drops[DROP_LOG_RATE] = UINT32_MAX;
    json_t *all = encode(&s);
    assert_string_equal(string(all, "version"), SCOPE_VERSION);
    assert_int_equal(json_integer_value(json_object_get(all, "pid")), 4711);
    assert_true(json_is_true(json_object_get(all, "enabled")));
    assert_true(json_is_false(json_object_get(all, "sandboxed")));
    json_t *watch = json_object_get(all, "watch");
    assert_int_equal(json_array_size(watch), 2);
    assert_string_equal(json_string_value(json_array_get(watch, 0)), "files");
    assert_string_equal(json_string_value(json_array_get(watch, 1)), "metrics");
    json_t *hooks = json_object_get(all, "hooks");
    assert_string_equal(string(hooks, "stdio"), "patched");
    assert_int_equal(json_integer_value(json_object_get(hooks, "got_patched")), 3);
    json_t *sinks = json_object_get(all, "sinks"), *first = json_array_get(sinks, 0);
    assert_int_equal(json_array_size(sinks), 2);
    assert_string_equal(string(first, "state"), "away");
    assert_string_equal(string(first, "reason"), "connect: refused");
    assert_int_equal(json_integer_value(json_object_get(first, "queued")), 12);
    assert_int_equal(json_integer_value(json_object_get(first, "sent")), 7);
    assert_null(json_object_get(json_array_get(sinks, 1), "reason"));
    json_t *drops = json_object_get(all, "drops");
    assert_int_equal(json_object_size(drops), 1);
    assert_int_equal(json_integer_value(json_object_get(drops, "log_rate")), UINT32_MAX);
    json_t *unseen = json_object_get(all, "unseen");
    assert_int_equal(json_array_size(unseen), 1);
    assert_string_equal(json_string_value(json_array_get(unseen, 0)), "io_uring");
    json_t *conf = json_object_get(all, "configuration");
    assert_true(json_is_null(json_object_get(conf, "path")));
    assert_int_equal(json_integer_value(json_object_get(conf, "troubles")), 2);
    json_decref(all);
}

/* Paths may hold anything. */
static void any_bytes(void **state)
{
    struct status s = {
        .stdio = "\"not\\\n as expected\"",
        .sink = {{"ndjson", "/tmp/\xff\xc3(\x01", SINK_BROKEN, "\xf0\x9f", 0, 0}},
        .sinks = 1,
        .configuration = "/etc/\xe2\x82\xac.yml",
    };

    (void)state;
    json_t *all = encode(&s);
    assert_string_equal(string(json_object_get(all, "hooks"), "stdio"), s.stdio);
    assert_string_equal(string(json_object_get(all, "configuration"), "path"), s.configuration);
    assert_string_equal(string(json_array_get(json_object_get(all, "sinks"), 0), "to"),
                        "/tmp/\\xff\\xc3(\x01");
    json_decref(all);
}

static void too_large(void **state)
{
    struct status s = {.configuration = "/etc/scope/scope.yml"};
    size_t whole = status_encode(&s, text, sizeof(text));

    (void)state;
    assert_true(whole > 0);
    for (size_t room = 0; room < whole; room++)
        assert_int_equal(status_encode(&s, text, room), 0);
}

/* With everything as long as it can be, it still fits. */
static void largest(void **state)
{
    static char path[4096], to[1100], reason[192];
    struct status s = {.configuration = path, .stdio = reason, .sinks = STATUS_SINKS};

    (void)state;
    memset(path, 'p', sizeof(path) - 1);
    memset(to, 1, sizeof(to) - 1);
    memset(reason, 1, sizeof(reason) - 1);
    for (unsigned i = 0; i < STATUS_SINKS; i++)
        s.sink[i] =
            (struct status_sink){"statsd", to, SINK_AWAY, reason, UINT64_MAX / 2, UINT64_MAX / 2};
    for (unsigned i = 0; i < DROP_COUNT; i++)
        s.drops[i] = INT64_MAX;
    s.watch = s.notes = ~0u;
    json_decref(encode(&s));
}

static void counts(void **state)
{
    const uint32_t chunks = 70, lanes = 3;
    const size_t size =
        sizeof(struct region_head) + (chunks + 2) * (size_t)CHUNK_SIZE + lanes * (size_t)LANE_SIZE;
    struct region_head *region =
        aligned_alloc(CHUNK_SIZE, (size + CHUNK_SIZE) / CHUNK_SIZE * CHUNK_SIZE);
    struct status s = {0};

    (void)state;
    assert_non_null(region);
    memset(region, 0, size);
    assert_int_equal(region_init(region, size, chunks, lanes), 0);
    region->enabled = 1;
    status_of_region(&s, region);
    assert_int_equal(s.chunks, chunks);
    assert_int_equal(s.chunks_free, chunks);
    assert_int_equal(s.lanes, lanes);
    assert_int_equal(s.lanes_used, 0);
    assert_true(s.enabled);
    assert_non_null(lane_bind(region, 1, 1));
    region->chunk_free[1] &= ~(uint64_t)1;
    status_of_region(&s, region);
    assert_int_equal(s.lanes_used, 1);
    assert_int_equal(s.chunks_free, chunks - 1);
    free(region);
}

static void causes(void **state)
{
    (void)state;
    assert_string_equal(status_drop_name(DROP_POOL_EMPTY), "pool_empty");
    assert_string_equal(status_drop_name(DROP_COUNT - 1), "flow_lost");
    assert_null(status_drop_name(DROP_COUNT));
}

/* ------------------------------------------------------------------ the answer's file */

static char directory[] = "/tmp/scope-status-XXXXXX";

static void answer(void **state)
{
    struct conf conf = {.control = true, .control_dir = directory};
    struct control c;
    struct stat st;
    char path[64], victim[64], got[16] = "";

    (void)state;
    assert_non_null(mkdtemp(directory));
    control_start(&c, &conf, 77, now_unix());
    snprintf(path, sizeof(path), "%s/77.status", directory);
    snprintf(victim, sizeof(victim), "%s/victim", directory);
    assert_int_equal(control_answer(&c, "{}\n", 3), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 3);
    /* Links that stand in the way are replaced, never followed. */
    unlink(path);
    int fd = open(victim, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "safe", 4), 4);
    close(fd);
    assert_int_equal(symlink(victim, path), 0);
    char temporary[64];
    snprintf(temporary, sizeof(temporary), "%s/.77.status", directory);
    assert_int_equal(symlink(victim, temporary), 0);
    assert_int_equal(control_answer(&c, "{}\n", 3), 0);
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    fd = open(victim, O_RDONLY);
    assert_int_equal(read(fd, got, sizeof(got)), 4);
    close(fd);
    assert_string_equal(got, "safe");
    /* A directory that others may write gets none. */
    unlink(path);
    chmod(directory, 0777);
    assert_int_equal(control_answer(&c, "{}\n", 3), -EPERM);
    assert_int_equal(stat(path, &st), -1);
    unlink(victim);
    rmdir(directory);
}

static void asked(void **state)
{
    char name[] = "/tmp/scope-status-XXXXXX", path[64];
    struct conf conf = {.control = true, .control_dir = name};
    struct control c;

    (void)state;
    assert_non_null(mkdtemp(name));
    control_start(&c, &conf, 78, now_unix());
    snprintf(path, sizeof(path), "%s/78", name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "on\nstatus\n", 10), 10);
    close(fd);
    assert_int_equal(control_look(&c), CONTROL_ON | CONTROL_STATUS);
    assert_int_equal(control_look(&c), 0);
    unlink(path);
    rmdir(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members), cmocka_unit_test(any_bytes), cmocka_unit_test(too_large),
        cmocka_unit_test(largest), cmocka_unit_test(counts),    cmocka_unit_test(causes),
        cmocka_unit_test(answer),  cmocka_unit_test(asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
