/*
 * syscall(): numbers that return twice or on another stack go straight to the real function, by a
 * jump, for a frame of ours would be returned through twice. All others go to syscall.c.
 */
#include <sys/syscall.h>

#define CLONE_VM 0x100
#define CLONE_VM_BIT 8

    .text
    .hidden syscall_watched
    .hidden syscall_before_child
    .globl syscall
    .type syscall, %function

#if defined(__x86_64__)
    .p2align 4
syscall:
    .cfi_startproc
    endbr64
    cmpq $SYS_vfork, %rdi
    je 1f
    cmpq $SYS_clone3, %rdi
    je 1f
    cmpq $SYS_clone, %rdi
    jne syscall_watched
    testl $CLONE_VM, %esi
    jnz 1f
    testq %rdx, %rdx
    jz syscall_watched /* no stack of its own, no memory shared: a fork */
1:
    pushq %rdi
    .cfi_adjust_cfa_offset 8
    pushq %rsi
    .cfi_adjust_cfa_offset 8
    pushq %rdx
    .cfi_adjust_cfa_offset 8
    pushq %rcx
    .cfi_adjust_cfa_offset 8
    pushq %r8
    .cfi_adjust_cfa_offset 8
    pushq %r9
    .cfi_adjust_cfa_offset 8
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    call syscall_before_child
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq %r9
    .cfi_adjust_cfa_offset -8
    popq %r8
    .cfi_adjust_cfa_offset -8
    popq %rcx
    .cfi_adjust_cfa_offset -8
    popq %rdx
    .cfi_adjust_cfa_offset -8
    popq %rsi
    .cfi_adjust_cfa_offset -8
    popq %rdi
    .cfi_adjust_cfa_offset -8
    movq %rax, %r11
    xorl %eax, %eax
    jmp *%r11
    .cfi_endproc
#elif defined(__aarch64__)
    .p2align 4
syscall:
    .cfi_startproc
    hint #34 /* bti c */
    mov x9, #SYS_clone3
    cmp x0, x9
    b.eq 1f
    cmp x0, #SYS_clone
    b.ne syscall_watched
    tbnz x1, #CLONE_VM_BIT, 1f
    cbz x2, syscall_watched /* no stack of its own, no memory shared: a fork */
1:
    stp x29, x30, [sp, #-80]!
    .cfi_adjust_cfa_offset 80
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    stp x0, x1, [sp, #16]
    stp x2, x3, [sp, #32]
    stp x4, x5, [sp, #48]
    str x6, [sp, #64]
    bl syscall_before_child
    mov x16, x0
    ldp x0, x1, [sp, #16]
    ldp x2, x3, [sp, #32]
    ldp x4, x5, [sp, #48]
    ldr x6, [sp, #64]
    ldp x29, x30, [sp], #80
    .cfi_adjust_cfa_offset -80
    .cfi_restore x29
    .cfi_restore x30
    br x16
    .cfi_endproc
#endif
    .size syscall, . - syscall
#if defined(__x86_64__)
/* Declares that this code keeps to indirect branch tracking and shadow stacks. */
    .section .note.gnu.property, "a"
    .p2align 3
    .long 4, 16, 5
    .asciz "GNU"
    .long 0xc0000002, 4, 3, 0
#endif
    .section .note.GNU-stack, "", %progbits
