/* The line cutter: lines, continuation, bounds, and that the split of the stream does not matter.
 */
#include "fold_fixture.h"

#include <stdio.h>

#include "report/fold_lines.h"

struct taken {
    char text[65536];
    size_t length;
    unsigned entries, lines, cut, binary;
};

static void on_entry(void *context, const struct line_entry *e)
{
    struct taken *t = context;
    t->length += (size_t)snprintf(t->text + t->length, sizeof(t->text) - t->length, "<%.*s>",
                                  (int)e->body.length, e->body.data);
    t->entries++;
    t->lines += e->lines;
    t->cut += e->cut;
}

static void on_binary(void *context, uint64_t lines)
{
    ((struct taken *)context)->binary += (unsigned)lines;
}

static struct taken *cut(const char *data, size_t length, size_t step, size_t line_max,
                         bool continuation)
{
    static struct taken t;
    memset(&t, 0, sizeof(t));
    struct lines l;
    struct lines_options o = {line_max, continuation};
    struct lines_sink sink = {on_entry, on_binary, &t};
    struct line_origin origin = {.unix_nano = 1, .mono_nano = 1, .tid = 1};
    lines_init(&l);
    for (size_t at = 0; at < length; at += step)
        assert_true(
            lines_put(&l, &o, data + at, length - at < step ? length - at : step, &origin, &sink));
    lines_flush(&l, &o, &sink);
    lines_clear(&l);
    return &t;
}

/* Whatever the split. */
static struct taken *same(const char *data, size_t length, size_t line_max, bool continuation)
{
    struct taken whole = *cut(data, length, length, line_max, continuation);
    for (size_t step = 1; step < 20 && step < length; step++) {
        struct taken *t = cut(data, length, step, line_max, continuation);
        assert_string_equal(t->text, whole.text);
        assert_int_equal(t->cut, whole.cut);
        assert_int_equal(t->binary, whole.binary);
        assert_int_equal(t->lines, whole.lines);
    }
    return cut(data, length, length, line_max, continuation);
}

#define GIVES(data, ...) \
    assert_string_equal(same(data, sizeof(data) - 1, 16384, true)->text, __VA_ARGS__)

static void plain(void **state)
{
    (void)state;
    GIVES("one\ntwo\r\nthree", "<one><two><three>");
    GIVES("\n\none\n\n\ntwo\n", "<one><two>");
    GIVES("a\rb\r\n", "<a\rb>");
}

static void indented(void **state)
{
    (void)state;
    GIVES("one\n  more\n\tand more\ntwo\n", "<one\n  more\n\tand more><two>");
    GIVES("     1\tx\n     2\ty\n", "<     1\tx><     2\ty>");
    GIVES("a\n\n  b\n", "<a><  b>");
}

static void java(void **state)
{
    (void)state;
    GIVES("ERROR x\njava.lang.A: m\n\tat a.b(C.java:1)\n\t... 2 more\nCaused by: java.lang.B: n\n"
          "\tat d.e(F.java:2)\n... 3 more\nnext\n",
          "<ERROR x><java.lang.A: m\n\tat a.b(C.java:1)\n\t... 2 more\nCaused by: java.lang.B: n\n"
          "\tat d.e(F.java:2)\n... 3 more><next>");
}

#define TRACEBACK \
    "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    x\nValueError: y\n"

static void python(void **state)
{
    (void)state;
    GIVES("hello\n" TRACEBACK "bye\n",
          "<hello><Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    x\n"
          "ValueError: y><bye>");
    GIVES("ERROR:root:oh\n" TRACEBACK "bye\n",
          "<ERROR:root:oh\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n"
          "    x\nValueError: y><bye>");
    GIVES(TRACEBACK
          "\nDuring handling of the above exception, another exception occurred:\n\n" TRACEBACK
          "bye\n",
          "<Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    x\nValueError: "
          "y\n\n"
          "During handling of the above exception, another exception occurred:\n\n"
          "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    x\nValueError: y>"
          "<bye>");
    GIVES(
        TRACEBACK "\nother\n",
        "<Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    x\nValueError: y>"
        "<other>");
}

static void go(void **state)
{
    (void)state;
    GIVES("before\npanic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:4 +0x39\n\n"
          "goroutine 5 [select]:\nmain.f(0x1)\n\t/x.go:9\ncreated by main.main\n\t/x.go:2\n"
          "exit status 2\nafter\n",
          "<before><panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:4 +0x39\n\n"
          "goroutine 5 [select]:\nmain.f(0x1)\n\t/x.go:9\ncreated by main.main\n\t/x.go:2\n"
          "exit status 2><after>");
}

static void rust(void **state)
{
    (void)state;
    GIVES("thread 'main' panicked at src/main.rs:2:5:\nboom\nstack backtrace:\n   0: a\n"
          "             at b\nnote: run with `RUST_BACKTRACE=1`\nafter\n",
          "<thread 'main' panicked at src/main.rs:2:5:\nboom\nstack backtrace:\n   0: a\n"
          "             at b\nnote: run with `RUST_BACKTRACE=1`><after>");
}

static void php(void **state)
{
    (void)state;
    GIVES("PHP Fatal error:  Uncaught Exception: x in /a.php:3\nStack trace:\n#0 {main}\n"
          "  thrown in /a.php on line 3\nafter\n",
          "<PHP Fatal error:  Uncaught Exception: x in /a.php:3\nStack trace:\n#0 {main}\n"
          "  thrown in /a.php on line 3><after>");
}

static void off(void **state)
{
    (void)state;
    struct taken *t = same("one\n  more\n", 11, 100, false);
    assert_string_equal(t->text, "<one><  more>");
}

static void bounds(void **state)
{
    (void)state;
    struct taken *t = same("12345678\n1234567\n12345678\r\n123456789\n", 37, 8, true);
    assert_string_equal(t->text, "<12345678><1234567><12345678><12345678>");
    assert_int_equal(t->cut, 1);
    t = same("1234567\xc3\xa4\n", 10, 8, true); /* not inside a character */
    assert_string_equal(t->text, "<1234567>");
    t = same("aaaa\n bbb\n ccc\n", 15, 8, true); /* together too long: two entries, nothing lost */
    assert_string_equal(t->text, "<aaaa>< bbb>< ccc>");
    assert_int_equal(t->cut, 0);
    t = same("12345678\r\r\n", 11, 8, true); /* one CR is part of the line, so it is too long */
    assert_int_equal(t->cut, 1);
}

static void binary(void **state)
{
    (void)state;
    struct taken *t = same("one\nx\0y\ntwo\n", 12, 100, true);
    assert_string_equal(t->text, "<one><two>");
    assert_int_equal(t->binary, 1);
}

static void in_time(void **state)
{
    (void)state;
    struct taken t = {0};
    struct lines l;
    struct lines_options o = {8, true};
    struct lines_sink sink = {on_entry, on_binary, &t};
    struct line_origin origin = {.unix_nano = 1, .mono_nano = SEC, .tid = 1};
    lines_init(&l);
    lines_put(&l, &o, "one\n  x\ntw", 10, &origin, &sink);
    lines_tick(&l, &o, SEC + 900 * MS, &sink);
    assert_int_equal(t.entries, 0);
    lines_tick(&l, &o, 6 * SEC - 1, &sink);
    assert_string_equal(t.text, ""); /* the unfinished line may still belong to it */
    lines_tick(&l, &o, 6 * SEC, &sink);
    assert_string_equal(t.text, "<one\n  x><tw>");
    origin.mono_nano = 7 * SEC;
    lines_put(&l, &o, "o\n", 2, &origin, &sink); /* not lost */
    lines_tick(&l, &o, 8 * SEC, &sink);
    assert_string_equal(t.text, "<one\n  x><tw><o>");
    lines_put(&l, &o, "123456789abc", 12, &origin, &sink);
    lines_tick(&l, &o, 20 * SEC, &sink);
    lines_put(&l, &o, "rest\nnew\n", 9, &origin, &sink);
    lines_flush(&l, &o, &sink);
    assert_string_equal(t.text, "<one\n  x><tw><o><12345678><new>");
    assert_int_equal(t.cut, 1);
    lines_clear(&l);
}

static void gaps(void **state)
{
    (void)state;
    struct taken t = {0};
    struct lines l;
    struct lines_options o = {100, true};
    struct lines_sink sink = {on_entry, on_binary, &t};
    struct line_origin origin = {.unix_nano = 1, .mono_nano = SEC, .tid = 1};
    lines_init(&l);
    lines_put(&l, &o, "one\ntw", 6, &origin, &sink);
    lines_gap(&l, &o, &sink);
    lines_put(&l, &o, "three\n", 6, &origin, &sink);
    lines_flush(&l, &o, &sink);
    assert_string_equal(t.text, "<one><tw><three>");
    assert_int_equal(t.cut, 1);
    lines_clear(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),  cmocka_unit_test(indented), cmocka_unit_test(java),
        cmocka_unit_test(python), cmocka_unit_test(go),       cmocka_unit_test(rust),
        cmocka_unit_test(php),    cmocka_unit_test(off),      cmocka_unit_test(bounds),
        cmocka_unit_test(binary), cmocka_unit_test(in_time),  cmocka_unit_test(gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
