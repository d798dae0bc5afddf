/*
 * A stack of our own for work that must run on an application's thread, whose stack may have only
 * a few KiB left. Return addresses stay in place, so shadow stacks agree.
 */
#include "report/lifecycle_internal.h"

#include <sys/mman.h>

#include "os/sys.h"

enum { STACK_BYTES = 192 * 1024, GUARD_BYTES = 4096 };

void call_on_stack(void (*work)(void *), void *context, void *top);

#if defined(__x86_64__)
__asm__(".pushsection .text\n"
        ".hidden call_on_stack\n"
        ".globl call_on_stack\n"
        ".type call_on_stack, @function\n"
        "call_on_stack:\n"
        ".cfi_startproc\n"
        "    endbr64\n"
        "    pushq %rbp\n"
        "    .cfi_def_cfa_offset 16\n"
        "    .cfi_offset %rbp, -16\n"
        "    movq %rsp, %rbp\n"
        "    .cfi_def_cfa_register %rbp\n"
        "    movq %rdi, %rax\n"
        "    movq %rsi, %rdi\n"
        "    movq %rdx, %rsp\n"
        "    callq *%rax\n"
        "    movq %rbp, %rsp\n"
        "    popq %rbp\n"
        "    .cfi_def_cfa %rsp, 8\n"
        "    retq\n"
        ".cfi_endproc\n"
        ".size call_on_stack, . - call_on_stack\n"
        ".popsection\n");
#elif defined(__aarch64__)
__asm__(".pushsection .text\n"
        ".hidden call_on_stack\n"
        ".globl call_on_stack\n"
        ".type call_on_stack, @function\n"
        "call_on_stack:\n"
        ".cfi_startproc\n"
        "    hint #34\n"
        "    stp x29, x30, [sp, #-16]!\n"
        "    .cfi_def_cfa_offset 16\n"
        "    .cfi_offset 29, -16\n"
        "    .cfi_offset 30, -8\n"
        "    mov x29, sp\n"
        "    .cfi_def_cfa_register 29\n"
        "    mov x9, x0\n"
        "    mov x0, x1\n"
        "    mov sp, x2\n"
        "    blr x9\n"
        "    mov sp, x29\n"
        "    .cfi_def_cfa_register 31\n"
        "    ldp x29, x30, [sp], #16\n"
        "    .cfi_def_cfa_offset 0\n"
        "    ret\n"
        ".cfi_endproc\n"
        ".size call_on_stack, . - call_on_stack\n"
        ".popsection\n");
#endif

bool on_own_stack(void (*work)(void *), void *context)
{
    long at = sys(mmap, NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at < 0 && at > -4096)
        return false;
    sys(madvise, at, STACK_BYTES, MADV_DONTDUMP); /* as all memory that telemetry is in */
    sys(mprotect, at, GUARD_BYTES, PROT_NONE);
    call_on_stack(work, context, (void *)(at + STACK_BYTES));
    sys(munmap, at, STACK_BYTES);
    return true;
}
