/*
 * x86: how long an x86-64 instruction is and where it may go next. Pure: reads the bytes given and
 * nothing else, no libc, no state; any thread, any machine (code of a file, too). What it is not
 * sure of it calls unknown: a caller must then leave the code alone.
 */
#ifndef SCOPE_HOOK_X86_H
#define SCOPE_HOOK_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum x86_kind {
    X86_PLAIN,         /* goes on to the next instruction */
    X86_JUMP,          /* jmp to a fixed target */
    X86_BRANCH,        /* jcc: a fixed target, or on */
    X86_LOOP,          /* loop, jrcxz, xbegin: as X86_BRANCH, but there is no longer form of it */
    X86_CALL,          /* call of a fixed target */
    X86_CALL_INDIRECT, /* call through a register or memory */
    X86_JUMP_INDIRECT, /* jmp through a register or memory */
    X86_RETURN,        /* near ret */
    X86_FAR,           /* far or privileged transfers: iret, sysret, retf, far jmp and call */
    X86_STOP,          /* ud2, hlt: does not go on */
};

enum { X86_LENGTH_MAX = 15 };

struct x86_instruction {
    uint8_t length;      /* bytes, 1 to 15 */
    uint8_t kind;        /* enum x86_kind */
    uint8_t opcode_at;   /* offset of the opcode's last byte */
    uint8_t map;         /* 0: one-byte opcodes, 1: 0F, 2: 0F38, 3: 0F3A; VEX, EVEX, XOP: theirs */
    bool legacy;         /* neither VEX, EVEX nor XOP */
    bool wide;           /* REX.W */
    uint8_t modrm_at;    /* offset of ModRM; 0: none */
    uint8_t rip_at;      /* offset of the 4-byte displacement from the instruction's end; 0: none */
    uint8_t relative_at; /* offset of the relative target; 0: none */
    uint8_t relative_len; /* 1 or 4 */
    int32_t relative;     /* the target, from the instruction's end */
    int32_t displacement; /* with rip_at */
};

/* Decodes one instruction of at most `size` bytes. False: unknown, or cut off. */
bool x86_decode(const uint8_t *code, size_t size, struct x86_instruction *instruction);

/* Whether the bytes are an endbr64. */
bool x86_is_endbr(const uint8_t *code, size_t size);

/*
 * Whether this instruction makes room on the stack or sets the frame pointer, as only the beginning
 * of a function does: code that is no loop's.
 */
bool x86_is_prologue(const uint8_t *code, const struct x86_instruction *instruction);

/* A way out of a function's body. */
struct x86_exit {
    uint32_t offset; /* of the instruction */
    uint8_t length;
    uint8_t kind; /* X86_RETURN; X86_JUMP, X86_BRANCH, X86_JUMP_INDIRECT: a tail call */
};

/*
 * Whether a direct jump out of the body, to code + offset, goes to the start of another function
 * (and is then a tail call), not to a part of this one that lies elsewhere and may come back.
 */
typedef bool x86_is_function(void *context, int64_t offset);

/* Bodies longer than this are refused: the proof takes time that grows with the square. */
enum { X86_BODY_MAX = 65536 };

/*
 * Lists every way out of the body code[0, size): returns and tail calls, in the order of addresses.
 * Returns how many there are (more than `room`: only the first `room` are written), or -1 with a
 * static text in *reason when it cannot prove that there are no others. is_function NULL: no direct
 * jump out of the body counts as proved.
 */
long x86_exits(const uint8_t *code, size_t size, x86_is_function *is_function, void *context,
               struct x86_exit *exits, size_t room, const char **reason);

#endif
