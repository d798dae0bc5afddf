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
    static const char sixteen[] =
        "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90";
    /* in turn: 64-bit mode has none; a jump that Intel and AMD read differently; too long; an
     * escape of nothing; no such group; a vector prefix behind another; a map that is not */
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

/* NULL: both say the same. */
static const char *differs(const ZydisDecodedInstruction *z, const struct x86_instruction *i)
{
    bool rip =
        z->attributes & ZYDIS_ATTRIB_HAS_MODRM && z->raw.modrm.mod == 0 && z->raw.modrm.rm == 5;
    if (z->length != i->length)
        return "length";
    if (kind_of(z) != i->kind)
        return "kind";
    if (rip != (i->rip_at != 0) ||
        (rip && (i->rip_at != z->raw.disp.offset || i->displacement != z->raw.disp.value)))
        return "operand from the instruction's address";
    if (z->raw.imm[0].is_relative != (i->relative_at != 0))
        return "relative branch";
    if (i->relative_at &&
        (i->relative_at != z->raw.imm[0].offset || i->relative_len * 8 != z->raw.imm[0].size ||
         i->relative != z->raw.imm[0].value.s))
        return "target";
    return NULL;
}

static void complain(const char *what, const char *where, uint64_t address, const uint8_t *code,
                     size_t size)
{
    fprintf(stderr, "%s: %s at %#lx:", what, where, (unsigned long)address);
    for (size_t n = 0; n < size && n < X86_LENGTH_MAX; n++)
        fprintf(stderr, " %02x", code[n]);
    fprintf(stderr, "\n");
}

struct compared {
    unsigned long instructions, unlike, not_code;
};

static void compare_range(const struct code_object *o, const struct code_range *r,
                          struct compared *sum)
{
    const uint8_t *code = code_at(o, r->start, r->size);
    for (uint64_t at = 0; at < r->size;) {
        ZydisDecodedInstruction z;
        struct x86_instruction i;
        if (!ask_reference(code + at, r->size - at, &z)) {
            sum->not_code++; /* data among the code: what follows is not known to be code */
            return;
        }
        const char *what = x86_decode(code + at, r->size - at, &i) ? differs(&z, &i) : "unknown";
        if (what && sum->unlike++ < 20)
            complain(what, o->path, r->start + at, code + at, z.length);
        sum->instructions++;
        at += z.length;
    }
}

static void test_real_code(void **state)
{
    (void)state;
    unsigned long total = 0;
    const char *path;
    for (unsigned n = 0; (path = code_path(n)) || n < 5; n++) {
        struct code_object o;
        struct compared sum = {0, 0, 0};
        assert_true(open_object(&o, path));
        for (size_t i = 0; i < o.count; i++)
            compare_range(&o, &o.ranges[i], &sum);
        print_message("%s: %zu functions, %lu instructions compared, %lu functions left at data\n",
                      o.path, o.count, sum.instructions, sum.not_code);
        assert_int_equal(sum.unlike, 0);
        assert_true(sum.instructions > 10000);
        assert_true(sum.not_code * 100 < o.count);
        total += sum.instructions;
        close_object(&o);
    }
    print_message("%lu instructions compared\n", total);
    assert_true(total > 1000000);
}

struct known_functions {
    const struct code_object *object;
    uint64_t start;
};

static bool is_symbol(void *context, int64_t offset)
{
    const struct known_functions *k = context;
    struct code_range key = {k->start + (uint64_t)offset, 0, true};
    size_t low = 0, high = k->object->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (k->object->ranges[middle].start < key.start)
            low = middle + 1;
        else
            high = middle;
    }
    return low < k->object->count && k->object->ranges[low].start == key.start &&
           k->object->ranges[low].whole;
}

/* What a plain search by the reference finds: every return and every direct jump out. */
static bool check_exits(const uint8_t *code, uint64_t size, const struct x86_exit *exits,
                        long count)
{
    long found = 0;
    for (uint64_t at = 0; at < size;) {
        ZydisDecodedInstruction z;
        if (!ask_reference(code + at, size - at, &z))
            return false; /* VIA's xsha512 in node is one that it does not know */
        unsigned kind = kind_of(&z);
        int64_t to =
            (int64_t)(at + z.length) + (z.raw.imm[0].is_relative ? z.raw.imm[0].value.s : 0);
        bool out = to < 0 || to >= (int64_t)size;
        if (kind == X86_RETURN || kind == X86_JUMP_INDIRECT ||
            ((kind == X86_JUMP || kind == X86_BRANCH) && out)) {
            assert_true(found < count);
            assert_int_equal(exits[found].offset, at);
            assert_int_equal(exits[found].length, z.length);
            assert_int_equal(exits[found].kind, kind);
            found++;
        }
        at += z.length;
    }
    assert_int_equal(found, count);
    return true;
}

static void test_real_exits(void **state)
{
    (void)state;
    static struct x86_exit exits[X86_BODY_MAX];
    static const char *reasons[16];
    static unsigned long times[16];
    unsigned long proved = 0, bodies = 0, unchecked = 0;
    for (unsigned n = 0; n < 5; n++) {
        struct code_object o;
        unsigned long here = 0, whole = 0;
        assert_true(open_object(&o, code_path(n)));
        for (size_t i = 0; i < o.count; i++) {
            struct known_functions known = {&o, o.ranges[i].start};
            const uint8_t *code = code_at(&o, o.ranges[i].start, o.ranges[i].size);
            const char *reason = NULL;
            if (!o.ranges[i].whole)
                continue;
            whole++;
            long count =
                x86_exits(code, o.ranges[i].size, is_symbol, &known, exits, X86_BODY_MAX, &reason);
            if (count >= 0) {
                here++;
                unchecked += !check_exits(code, o.ranges[i].size, exits, count);
                continue;
            }
            unsigned r = 0;
            while (reasons[r] && reasons[r] != reason)
                r++;
            reasons[r] = reason;
            times[r]++;
        }
        print_message("%s: all exits of %lu functions of %lu proved\n", o.path, here, whole);
        proved += here;
        bodies += whole;
        close_object(&o);
    }
    for (unsigned r = 0; r < 16 && reasons[r]; r++)
        print_message("refused %lu times: %s\n", times[r], reasons[r]);
    assert_true(unchecked <= 1);
    assert_true(proved * 2 > bodies);
}

/* Bytes at random, most of them near real instructions: no length other than the reference's. */
static void test_any_bytes(void **state)
{
    (void)state;
    static const uint8_t starts[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x48, 0x4f, 0x0f,
                                     0xc4, 0xc5, 0x62, 0x8f, 0xff, 0xf6, 0xf7, 0xc7};
    uint64_t seed = 88172645463325252u;
    unsigned long both = 0, ours_alone = 0, theirs_alone = 0;
    for (unsigned n = 0; n < 2000000; n++) {
        uint8_t bytes[16];
        for (unsigned i = 0; i < sizeof(bytes); i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes[i] = (uint8_t)(seed >> 32);
            if (i < 3 && seed & 1)
                bytes[i] = starts[(seed >> 8) % sizeof(starts)];
            if (i == 1 && seed & 2)
                bytes[i] = 0x0f;
        }
        ZydisDecodedInstruction z;
        struct x86_instruction i;
        uint8_t *exact = NULL;
        bool ours = x86_decode(bytes, X86_LENGTH_MAX, &i);
        bool theirs = ask_reference(bytes, X86_LENGTH_MAX, &z);
        both += ours && theirs;
        ours_alone += ours && !theirs;
        theirs_alone += !ours && theirs;
        const char *what = ours && theirs ? differs(&z, &i) : NULL;
        if (what)
            complain(what, "bytes", n, bytes, X86_LENGTH_MAX);
        assert_null(what);
        if (!ours || n % 16)
            continue;
        /* with one byte less it is no instruction, and no byte behind is read */
        struct x86_instruction shorter;
        exact = malloc(i.length);
        memcpy(exact, bytes, i.length);
        assert_true(x86_decode(exact, i.length, &shorter));
        exact = realloc(exact, i.length > 1 ? i.length - 1u : 1u);
        assert_false(x86_decode(exact, i.length - 1u, &shorter));
        free(exact);
    }
    print_message("at random: %lu by both, %lu by us alone, %lu by the reference alone\n", both,
                  ours_alone, theirs_alone);
    assert_true(both > 500000);
}
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
