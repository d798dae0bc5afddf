/*
 * What a hook at a function's entry would overwrite, whether that is safe, and the same
 * instructions written elsewhere. Pure: reads only the bytes given; x86-64 code, on any machine and
 * thread.
 */
#ifndef SCOPE_HOOK_ENTRY_PLAN_H
#define SCOPE_HOOK_ENTRY_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ENTRY_JUMP = 5,        /* bytes of the jump that is put in */
    ENTRY_MOVED_MAX = 19,  /* bytes that it can take away: 4, and an instruction */
    ENTRY_MOVED_ROOM = 48, /* bytes that these can become elsewhere, with the way back */
};

struct entry_plan {
    uint8_t at;           /* where the jump goes: 0, or 4 behind an endbr64 */
    uint8_t length;       /* bytes of the instructions that it overwrites, whole */
    uint8_t instructions; /* how many these are */
    /*
     * The last of them is a call: moved, it leaves a return address of its own on the stack, the
     * one of the function's code, for unwinders; so it must not be done where there is a shadow
     * stack.
     */
    bool calls;
};

/*
 * Plans a hook for the function code[0, size). [low, high): the code around it that may be read,
 * as offsets from `code`; jumps out of the body are followed a little there. NULL: *plan is filled
 * in. Otherwise why not, a static text.
 */
const char *entry_plan(const uint8_t *code, size_t size, int64_t low, int64_t high,
                       struct entry_plan *plan);

/*
 * Writes the instructions that the plan takes away, as they must be at the address `to`, and a jump
 * back. `from`: the address of code[0]. `out`: ENTRY_MOVED_ROOM bytes. Returns how many were
 * written, or 0: the distance is too great.
 */
size_t entry_move(const struct entry_plan *plan, const uint8_t *code, uint64_t from, uint8_t *out,
                  uint64_t to);

#endif
