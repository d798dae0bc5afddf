/*
 * vfork: notes in the thread's lane that one is under way, and jumps on. A function of C would have
 * the child return through a frame that the parent needs.
 */
#define LANE_ATTENTION 4 /* offset of struct lane's `attention` */
#define LANE_VFORK 1

    .text
    .globl vfork
    .type vfork, %function

#if defined(__x86_64__)
    .p2align 4
vfork:
    .cfi_startproc
    endbr64
    movq hook_self@gottpoff(%rip), %rax
    movq %fs:(%rax), %rax
    cmpq $1, %rax
    jb 2f /* no lane yet: the child must not be the one to bind it */
    je 1f
    orl $LANE_VFORK, LANE_ATTENTION(%rax)
1:  movq process_vfork(%rip), %rax
    testq %rax, %rax
    jz 2f
    jmpq *%rax
2:  subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    call process_before_vfork
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    jmpq *%rax
    .cfi_endproc

#elif defined(__aarch64__)
    .p2align 2
vfork:
    .cfi_startproc
    hint #34
    adrp x0, :gottprel:hook_self
    ldr x0, [x0, #:gottprel_lo12:hook_self]
    mrs x1, tpidr_el0
    ldr x0, [x1, x0]
    cmp x0, #1
    b.lo 2f /* no lane yet: the child must not be the one to bind it */
    b.eq 1f
    ldr w1, [x0, #LANE_ATTENTION]
    orr w1, w1, #LANE_VFORK
    str w1, [x0, #LANE_ATTENTION]
1:  adrp x16, process_vfork
    ldr x16, [x16, #:lo12:process_vfork]
    cbz x16, 2f
    br x16
2:  stp x29, x30, [sp, #-16]!
    .cfi_adjust_cfa_offset 16
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    bl process_before_vfork
    mov x16, x0
    ldp x29, x30, [sp], #16
    .cfi_adjust_cfa_offset -16
    .cfi_restore x29
    .cfi_restore x30
    br x16
    .cfi_endproc
#endif
    .size vfork, . - vfork
    .globl __vfork
    .set __vfork, vfork

#if defined(__x86_64__)
/* Declares that this code keeps to indirect branch tracking and shadow stacks. */
    .section .note.gnu.property, "a"
    .p2align 3
    .long 4, 16, 5
    .asciz "GNU"
    .long 0xc0000002, 4, 3, 0
#endif
    .section .note.GNU-stack, "", %progbits
