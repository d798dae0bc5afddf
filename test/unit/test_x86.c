/* The decoder of instructions, held against another one (Zydis) on all code of real programs. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "hook/x86.c"

/* -------------------------------------------------- what the bytes say */

static struct x86_instruction decoded(const char *bytes, size_t size)
{
    struct x86_instruction i;
    assert_true(x86_decode((const uint8_t *)bytes, size, &i));
    return i;
}

#define DECODED(bytes) decoded(bytes, sizeof(bytes) - 1)

static void test_branches(void **state)
{
    (void)state;
    struct x86_instruction i = DECODED("\xeb\xfe");
    assert_int_equal(i.kind, X86_JUMP);
    assert_int_equal(i.relative, -2);
    assert_int_equal(i.relative_len, 1);
    i = DECODED("\x0f\x84\x10\x00\x00\x80");
    assert_int_equal(i.kind, X86_BRANCH);
    assert_int_equal(i.relative, INT32_MIN + 16);
    assert_int_equal(i.relative_at, 2);
    i = DECODED("\x67\xe8\x01\x02\x03\x04");
    assert_int_equal(i.kind, X86_CALL);
    assert_int_equal(i.relative, 0x04030201);
    i = DECODED("\xc7\xf8\x05\x00\x00\x00");
    assert_int_equal(i.kind, X86_LOOP);
    assert_int_equal(i.relative, 5);
    i = DECODED("\xe3\x05");
    assert_int_equal(i.kind, X86_LOOP);
    i = DECODED("\x3e\xff\xe0");
    assert_int_equal(i.kind, X86_JUMP_INDIRECT);
    i = DECODED("\xff\x25\x11\x00\x00\x00");
    assert_int_equal(i.kind, X86_JUMP_INDIRECT);
    assert_int_equal(i.rip_at, 2);
    assert_int_equal(i.displacement, 0x11);
    i = DECODED("\xff\x54\x24\x08");
    assert_int_equal(i.kind, X86_CALL_INDIRECT);
    assert_int_equal(i.rip_at, 0);
    i = DECODED("\xf2\xc3");
    assert_int_equal(i.kind, X86_RETURN);
    i = DECODED("\x48\xcf");
    assert_int_equal(i.kind, X86_FAR);
    i = DECODED("\x0f\x0b");
    assert_int_equal(i.kind, X86_STOP);
}

static void test_unknown(void **state)
{
    (void)state;
    struct x86_instruction i;
    /* in turn: 64-bit mode has none; a jump that Intel and AMD read differently; 16 bytes; an
     * escape of nothing; no such group; a vector prefix behind another; a map that is not */
    static const char sixteen[] = {"\x66\x66\x66\x66\x66\x66\x66\x66"
                                   "\x66\x66\x66\x66\x66\x66\x66\x90"};
    static const char *const bytes[] = {
        "\x06\x90\x90\x90\x90\x90", "\x66\xe9\x01\x02\x03\x04\x05", sixteen,
        "\x0f\x0a\x90\x90\x90\x90", "\xff\xf8\x90\x90\x90\x90",     "\x66\xc5\xf8\x77\x90\x90",
        "\xc4\xe5\xf8\x77\x90\x90"};
    for (unsigned n = 0; n < sizeof(bytes) / sizeof(*bytes); n++)
        assert_false(x86_decode((const uint8_t *)bytes[n], strlen(bytes[n]), &i));
    assert_false(x86_decode((const uint8_t *)"", 0, &i));
}

static void test_prologues(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        bool is;
    } cases[] = {{"\x55", true},          {"\x41\x57", true},         {"\x48\x89\xe5", true},
                 {"\x48\x8b\xec", true},  {"\x48\x83\xec\x48", true}, {"\x49\x83\xec\x48", false},
                 {"\x83\xec\x48", false}, {"\x48\x89\xe6", false},    {"\x49\x89\xe5", false},
                 {"\x58", false},         {"\x48\x83\xc4\x48", false}};
    for (unsigned n = 0; n < sizeof(cases) / sizeof(*cases); n++) {
        struct x86_instruction i = decoded(cases[n].bytes, strlen(cases[n].bytes));
        assert_int_equal(i.length, strlen(cases[n].bytes));
        assert_int_equal(x86_is_prologue((const uint8_t *)cases[n].bytes, &i), cases[n].is);
    }
}

/* -------------------------------------------------- exits of bodies */

static bool every_function(void *context, int64_t offset)
{
    (void)context;
    return offset == 0x105;
}

static long exits_of(const char *bytes, size_t size, x86_is_function *known, struct x86_exit *exits,
                     const char **reason)
{
    *reason = NULL;
    return x86_exits((const uint8_t *)bytes, size, known, NULL, exits, 4, reason);
}

#define EXITS(bytes, known) exits_of(bytes, sizeof(bytes) - 1, known, exits, &reason)

static void test_exits(void **state)
{
    (void)state;
    struct x86_exit exits[4];
    const char *reason;
    /* two returns, and padding behind */
    assert_int_equal(EXITS("\x85\xff\x74\x01\xc3\x31\xc0\xc3\x0f\x1f\x00", NULL), 2);
    assert_int_equal(exits[0].offset, 4);
    assert_int_equal(exits[1].offset, 7);
    assert_int_equal(exits[1].kind, X86_RETURN);
    /* a tail call only where its target is known for a function */
    assert_int_equal(EXITS("\xe9\x00\x01\x00\x00", every_function), 1);
    assert_int_equal(exits[0].kind, X86_JUMP);
    assert_int_equal(EXITS("\xe9\x00\x01\x00\x00", NULL), -1);
    assert_non_null(strstr(reason, "not known to be a function"));
    assert_int_equal(EXITS("\xe9\x01\x01\x00\x00", every_function), -1);
    /* through memory without an index; through a register with nothing else in it */
    assert_int_equal(EXITS("\x74\x06\xff\x25\x00\x00\x00\x00\xc3", NULL), 2);
    assert_int_equal(EXITS("\x48\x8b\x07\xff\xe0", NULL), 1);
    assert_int_equal(exits[0].kind, X86_JUMP_INDIRECT);
    /* which otherwise may be a table's */
    assert_int_equal(EXITS("\x74\x02\xff\xe0\xc3", NULL), -1);
    assert_string_equal(reason, "it has an indirect jump");
    assert_int_equal(EXITS("\xff\xe0\xc3", NULL), -1);
    assert_int_equal(EXITS("\xff\xe0\x90\x74\xfb", NULL), -1);
    /* behind its end; the middle of an instruction; past a lock; nothing known */
    assert_int_equal(EXITS("\x31\xc0", NULL), -1);
    assert_string_equal(reason, "it goes on behind its end");
    assert_int_equal(EXITS("\x74\x01\xb8\x01\x02\x03\xc3\xc3", NULL), -1);
    assert_non_null(strstr(reason, "middle"));
    assert_int_equal(EXITS("\x74\x01\xf0\x0f\xb1\x17\xc3", NULL), 1);
    assert_int_equal(EXITS("\xc3\x06", NULL), -1);
    assert_non_null(strstr(reason, "not known"));
    assert_int_equal(EXITS("", NULL), -1);
    /* no more than there is room for is written */
    assert_int_equal(EXITS("\xc3\xc3\xc3\xc3\xc3\xc3", NULL), 6);
}

#if defined(HAVE_ZYDIS)
#include "x86_reference.h"
#else
static void test_real_code_without_reference(void **state)
{
    (void)state;
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_branches),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_prologues),
        cmocka_unit_test(test_exits),
#if defined(HAVE_ZYDIS)
        cmocka_unit_test(test_real_code),
        cmocka_unit_test(test_real_exits),
        cmocka_unit_test(test_any_bytes),
#else
        cmocka_unit_test(test_real_code_without_reference),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
