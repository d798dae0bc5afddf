/* Plans of hooks for every function of real programs, held against another decoder (Zydis). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "hook/x86.c"
#include "hook/entry_plan.c"

#if defined(HAVE_ZYDIS)
#include "x86_reference.h"

enum { AWAY = 1 << 20 }; /* how far from a function its first instructions are moved */

/* The address that a branch goes to or an operand is at; 0: it depends on no address. */
static uint64_t refers_to(const ZydisDecodedInstruction *z, uint64_t address)
{
    uint64_t next = address + z->length;
    if (z->raw.imm[0].is_relative)
        return next + z->raw.imm[0].value.u;
    if (z->attributes & ZYDIS_ATTRIB_IS_RELATIVE)
        return next + (uint64_t)z->raw.disp.value;
    return 0;
}

/* A call became two instructions that push its return address, and a jump to where it goes. */
static void check_call(const uint8_t *out, size_t size, uint64_t to,
                       const ZydisDecodedInstruction *was, uint64_t from)
{
    ZydisDecodedInstruction is;
    uint64_t pushed, high;
    assert_true(ask_reference(out, size, &is));
    assert_int_equal(is.mnemonic, ZYDIS_MNEMONIC_PUSH);
    pushed = is.raw.imm[0].value.u & UINT32_MAX;
    size_t at = is.length;
    assert_true(ask_reference(out + at, size - at, &is));
    assert_int_equal(is.mnemonic, ZYDIS_MNEMONIC_MOV);
    assert_int_equal(is.raw.disp.value, 4);
    assert_int_equal(is.raw.sib.base, 4);
    high = is.raw.imm[0].value.u & UINT32_MAX;
    assert_int_equal(pushed | high << 32, from + was->length);
    at += is.length;
    assert_true(ask_reference(out + at, size - at, &is));
    assert_int_equal(is.mnemonic, ZYDIS_MNEMONIC_JMP);
    assert_int_equal(is.raw.imm[0].is_relative, was->raw.imm[0].is_relative);
    assert_int_equal(refers_to(&is, to + at), refers_to(was, from));
    assert_int_equal(at + is.length, size);
}

/* What was moved does what it did: the same instructions, of the same addresses, and then back. */
static void check_moved(const uint8_t *code, uint64_t from, const struct entry_plan *plan)
{
    uint8_t out[ENTRY_MOVED_ROOM + 8];
    ZydisDecodedInstruction was, is;
    uint64_t to = from - AWAY;
    memset(out, 0xa5, sizeof(out));
    size_t length = entry_move(plan, code, from, out, to), at = 4;
    assert_in_range(length, 4 + ENTRY_JUMP, ENTRY_MOVED_ROOM);
    assert_true(x86_is_endbr(out, length));
    for (size_t i = length; i < sizeof(out); i++)
        assert_int_equal(out[i], 0xa5);
    memset(&was, 0, sizeof(was));
    for (size_t i = plan->at; i < (size_t)plan->at + plan->length; i += was.length) {
        assert_true(ask_reference(code + i, X86_LENGTH_MAX, &was));
        assert_true(ask_reference(out + at, length - at, &is));
        if (was.mnemonic == ZYDIS_MNEMONIC_CALL) {
            check_call(out + at, length - at, to + at, &was, from + i);
            return;
        }
        assert_int_equal(was.mnemonic, is.mnemonic);
        assert_int_equal(refers_to(&was, from + i), refers_to(&is, to + at));
        if (!was.raw.imm[0].is_relative) {
            assert_int_equal(was.length, is.length);
            assert_int_equal(was.raw.modrm.reg, is.raw.modrm.reg);
            assert_int_equal(was.raw.imm[0].value.u, is.raw.imm[0].value.u);
        }
        at += is.length;
    }
    unsigned kind = kind_of(&was);
    if (kind != X86_JUMP && kind != X86_RETURN && kind != X86_JUMP_INDIRECT && kind != X86_STOP) {
        assert_true(ask_reference(out + at, length - at, &is));
        assert_int_equal(kind_of(&is), X86_JUMP);
        assert_int_equal(refers_to(&is, to + at), from + plan->at + plan->length);
        at += is.length;
    }
    assert_int_equal(at, length);
}

/* Nothing in the body goes to what is overwritten, but calls of itself. */
static void check_body_of(const uint8_t *code, uint64_t size, const struct entry_plan *plan)
{
    for (uint64_t at = 0; at < size;) {
        ZydisDecodedInstruction z;
        if (!ask_reference(code + at, size - at, &z))
            return;
        int64_t to = (int64_t)(at + z.length + z.raw.imm[0].value.u);
        if (z.raw.imm[0].is_relative && to >= 0 && to < plan->at + plan->length) {
            assert_int_equal(kind_of(&z), X86_CALL);
            assert_in_range(to, 0, plan->at);
        }
        at += z.length;
    }
}

static unsigned long planned, whole;

static void plan_object(const struct code_object *o)
{
    static const char *reasons[32];
    static unsigned long times[32];
    unsigned long here = 0, all = 0;
    for (size_t i = 0; i < o->count; i++) {
        const struct code_range *r = &o->ranges[i];
        const uint8_t *code = code_at(o, r->start, r->size);
        struct entry_plan plan;
        if (!r->whole)
            continue;
        all++;
        const char *reason = entry_plan(code, r->size, 0, (int64_t)r->size, &plan);
        if (!reason) {
            here++;
            check_moved(code, r->start, &plan);
            check_body_of(code, r->size, &plan);
            continue;
        }
        unsigned n = 0;
        while (reasons[n] && reasons[n] != reason)
            n++;
        reasons[n] = reason;
        times[n]++;
    }
    print_message("%s: %lu of %lu functions can be hooked\n", o->path, here, all);
    for (unsigned n = 0; n < 32 && reasons[n]; n++) {
        print_message("  %lu refused: %s\n", times[n], reasons[n]);
        times[n] = 0;
    }
    planned += here;
    whole += all;
}

static void test_real_functions(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 5; n++) {
        struct code_object o;
        assert_true(open_object(&o, code_path(n)));
        plan_object(&o);
        close_object(&o);
    }
    print_message("%lu of %lu functions can be hooked\n", planned, whole);
    assert_true(whole > 50000);
    assert_true(planned * 4 > whole * 3);
}

/* Of a function's name in an object, its range. */
static const struct code_range *range_of(const struct code_object *o, const char *name)
{
    const Elf64_Ehdr *e = (const void *)o->file;
    const Elf64_Shdr *s = (const void *)(o->file + e->e_shoff);
    for (unsigned i = 0; i < e->e_shnum; i++) {
        if (s[i].sh_type != SHT_DYNSYM && s[i].sh_type != SHT_SYMTAB)
            continue;
        const Elf64_Sym *symbols = (const void *)(o->file + s[i].sh_offset);
        const char *names = (const char *)o->file + s[s[i].sh_link].sh_offset;
        for (size_t n = 0; n < s[i].sh_size / sizeof(*symbols); n++) {
            if (!symbols[n].st_shndx || strcmp(names + symbols[n].st_name, name) != 0)
                continue;
            for (size_t r = 0; r < o->count; r++) {
                if (o->ranges[r].start == symbols[n].st_value)
                    return &o->ranges[r];
            }
        }
    }
    return NULL;
}

/* What TLS is read from, in OpenSSL's library and inside node. */
static void test_tls(void **state)
{
    (void)state;
    static const char *const names[] = {
        "SSL_read",    "SSL_write",    "SSL_do_handshake", "SSL_free",
        "SSL_read_ex", "SSL_write_ex", "SSL_get_fd",       "SSL_get_client_random"};
    for (unsigned n = 2; n < 4; n++) {
        struct code_object o;
        assert_true(open_object(&o, code_path(n)));
        for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
            struct entry_plan plan;
            const struct code_range *r = range_of(&o, names[i]);
            assert_non_null(r);
            const char *reason =
                entry_plan(code_at(&o, r->start, r->size), r->size, 0, (int64_t)r->size, &plan);
            if (reason)
                fail_msg("%s in %s: %s", names[i], o.path, reason);
        }
        close_object(&o);
    }
}

#else
static void test_without_reference(void **state)
{
    (void)state;
    skip();
}
#endif

/* What is too far away is not moved. */
static void test_distance(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x8b, 0x05, 0xf0, 0xff, 0xff, 0x7f, 0xc3};
    uint8_t out[ENTRY_MOVED_ROOM];
    struct entry_plan plan;
    assert_null(entry_plan(code, sizeof(code), 0, sizeof(code), &plan));
    assert_int_equal(plan.length, 6);
    assert_int_equal(plan.instructions, 1);
    assert_int_equal(entry_move(&plan, code, 0x100000, out, 0x100000), 4 + 6 + 5);
    assert_int_equal(entry_move(&plan, code, 0x100000, out, 0x0ff000), 0);
    assert_int_equal(entry_move(&plan, code, 0x100000, out, 0x100000 + (1ull << 32)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance),
#if defined(HAVE_ZYDIS)
        cmocka_unit_test(test_real_functions),
        cmocka_unit_test(test_tls),
#else
        cmocka_unit_test(test_without_reference),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
