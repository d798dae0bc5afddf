/* Decides whether a function's first instructions can be moved, and moves them. */
#include "hook/entry_plan.h"

#include "hook/x86.h"

enum { FOLLOWED = 256 }; /* instructions behind a jump out of the body */

static bool ends(uint8_t kind)
{
    return kind == X86_JUMP || kind == X86_JUMP_INDIRECT || kind == X86_RETURN || kind == X86_STOP;
}

/* The whole instructions that a jump at plan->at overwrites; they end in frame set-up: *settles. */
static const char *take_first(const uint8_t *code, size_t size, struct entry_plan *plan,
                              bool *settles)
{
    struct x86_instruction i = {0};
    size_t at = plan->at;
    for (; at < (size_t)plan->at + ENTRY_JUMP; at += i.length) {
        if (at > plan->at && ends(i.kind))
            return "it ends before there is room for a jump";
        if (!x86_decode(code + at, size - at, &i))
            return at >= size ? "it is too short" : "its first instructions are not known";
        if (plan->calls || (i.kind == X86_CALL_INDIRECT && !i.rip_at))
            return "it begins with an indirect call";
        plan->calls = i.kind == X86_CALL || i.kind == X86_CALL_INDIRECT;
        if (i.kind == X86_LOOP || i.kind == X86_FAR)
            return "it begins with an instruction that cannot be moved";
        if (i.legacy && !i.map && code[at + i.opcode_at] == 0xcc)
            return "it begins with a breakpoint";
        *settles = x86_is_prologue(code + at, &i);
        plan->instructions++;
    }
    plan->length = (uint8_t)(at - plan->at);
    return NULL;
}

/* Whether an offset is among the overwritten bytes behind the first. */
static bool is_inside(const struct entry_plan *plan, int64_t offset)
{
    return offset > plan->at && offset < plan->at + plan->length;
}

static bool is_entry(const struct entry_plan *plan, int64_t offset)
{
    return offset >= 0 && offset <= plan->at;
}

/*
 * Code that a function's body jumps to may be its own, put elsewhere because it is seldom run, and
 * may jump back. Follows it to the next instruction that does not go on.
 */
static bool comes_back(const uint8_t *code, int64_t to, int64_t high, const struct entry_plan *plan)
{
    struct x86_instruction i;
    for (unsigned n = 0; n < FOLLOWED && to < high; n++) {
        if (!x86_decode(code + to, (size_t)(high - to), &i))
            return false;
        int64_t target = to + i.length + i.relative;
        if (i.relative_at && i.kind != X86_CALL &&
            (is_inside(plan, target) || is_entry(plan, target)))
            return true;
        if (ends(i.kind))
            return false;
        to += i.length;
    }
    return false;
}

static const char *check_target(const uint8_t *code, size_t size, int64_t low, int64_t high,
                                int64_t to, bool call, const struct entry_plan *plan)
{
    if (is_inside(plan, to))
        return "a branch goes into its first instructions";
    if (!call && is_entry(plan, to))
        return "it loops to its entry";
    if (!call && (to < 0 || to >= (int64_t)size) && to >= low && to < high &&
        comes_back(code, to, high, plan))
        return "a part of it that lies elsewhere jumps to its first instructions";
    return NULL;
}

/* Every instruction of the body: where it branches, and what addresses it makes. */
static const char *check_body(const uint8_t *code, size_t size, int64_t low, int64_t high,
                              bool settles, const struct entry_plan *plan)
{
    struct x86_instruction i;
    const char *reason = NULL;
    bool branches = false, indirect = false;
    for (size_t at = 0; at < size && !reason; at += i.length) {
        if (!x86_decode(code + at, size - at, &i))
            return "it has an instruction that is not known";
        int64_t next = (int64_t)at + i.length;
        if (i.relative_at)
            reason =
                check_target(code, size, low, high, next + i.relative, i.kind == X86_CALL, plan);
        if (i.rip_at && is_inside(plan, next + i.displacement))
            reason = "it makes an address among its first instructions";
        branches = branches || (i.relative_at && i.kind != X86_CALL);
        indirect = indirect || (i.kind == X86_JUMP_INDIRECT && !i.rip_at);
    }
    /*
     * A table of branches may hold any place of the body, but none where the stack would be set up
     * once more. Without other branches the jump is a tail call.
     */
    if (!reason && indirect && branches && !settles)
        reason = "an indirect jump of it may go to its first instructions";
    return reason;
}

const char *entry_plan(const uint8_t *code, size_t size, int64_t low, int64_t high,
                       struct entry_plan *plan)
{
    bool settles = false;
    *plan = (struct entry_plan){0};
    if (!size)
        return "its size is not known";
    if (x86_is_endbr(code, size))
        plan->at = 4;
    if (size < (size_t)plan->at + ENTRY_JUMP)
        return "it is too short";
    const char *reason = take_first(code, size, plan, &settles);
    return reason ? reason : check_body(code, size, low, high, settles, plan);
}

/* -------------------------------------------------- moving */

struct mover {
    uint8_t *out;
    uint64_t to;
    size_t used;
    bool fits;
};

static void put_bytes(struct mover *m, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        m->out[m->used++] = bytes[i];
}

static void put_distance(uint8_t *at, int64_t distance)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)((uint64_t)distance >> (8 * i));
}

/* Writes the distance from the next instruction, at address `next`, to the target. */
static void put_target(struct mover *m, uint8_t *at, uint64_t target, uint64_t next)
{
    int64_t distance = (int64_t)(target - next);
    m->fits = m->fits && distance >= INT32_MIN && distance <= INT32_MAX;
    put_distance(at, distance);
}

static void put_branch(struct mover *m, const uint8_t *opcode, size_t count, uint64_t target)
{
    static const uint8_t none[4];
    put_bytes(m, opcode, count);
    put_bytes(m, none, sizeof(none));
    put_target(m, m->out + m->used - 4, target, m->to + m->used);
}

/* As a call does: so that the callee returns into the function itself, and not to us. */
static void put_return_address(struct mover *m, uint64_t address)
{
    uint8_t push[] = {0x68, 0, 0, 0, 0};                   /* push $low */
    uint8_t high[] = {0xc7, 0x44, 0x24, 0x04, 0, 0, 0, 0}; /* movl $high, 4(%rsp) */
    put_distance(push + 1, (int64_t)address);
    put_distance(high + 4, (int64_t)(address >> 32));
    put_bytes(m, push, sizeof(push));
    put_bytes(m, high, sizeof(high));
}

static void move_call(struct mover *m, uint64_t next, const struct x86_instruction *i)
{
    static const uint8_t direct = 0xe9, indirect[] = {0xff, 0x25};
    put_return_address(m, next);
    if (i->kind == X86_CALL)
        put_branch(m, &direct, 1, next + (uint64_t)(int64_t)i->relative);
    else
        put_branch(m, indirect, 2, next + (uint64_t)(int64_t)i->displacement);
}

static void move_one(struct mover *m, const uint8_t *code, uint64_t from,
                     const struct x86_instruction *i)
{
    static const uint8_t jump = 0xe9;
    uint64_t next = from + i->length;
    if (i->kind == X86_CALL || i->kind == X86_CALL_INDIRECT) {
        move_call(m, next, i);
    } else if (i->kind == X86_JUMP) {
        put_branch(m, &jump, 1, next + (uint64_t)(int64_t)i->relative);
    } else if (i->kind == X86_BRANCH) {
        const uint8_t branch[2] = {0x0f, (uint8_t)(0x80 | (code[i->opcode_at] & 15))};
        put_branch(m, branch, 2, next + (uint64_t)(int64_t)i->relative);
    } else {
        put_bytes(m, code, i->length);
        if (i->rip_at)
            put_target(m, m->out + m->used - i->length + i->rip_at,
                       next + (uint64_t)(int64_t)i->displacement, m->to + m->used);
    }
}

size_t entry_move(const struct entry_plan *plan, const uint8_t *code, uint64_t from, uint8_t *out,
                  uint64_t to)
{
    static const uint8_t endbr[] = {0xf3, 0x0f, 0x1e, 0xfa}, jump = 0xe9;
    struct mover m = {out, to, 0, true};
    struct x86_instruction i = {0};
    size_t at = plan->at, end = (size_t)plan->at + plan->length;
    put_bytes(&m, endbr, sizeof(endbr)); /* it is called through a pointer */
    for (; at < end; at += i.length) {
        if (!x86_decode(code + at, end - at, &i))
            return 0;
        move_one(&m, code + at, from + at, &i);
    }
    if (!ends(i.kind) && !plan->calls)
        put_branch(&m, &jump, 1, from + end);
    return m.fits ? m.used : 0;
}
