/* Hooks at functions' entries: beginnings of every kind, moved or refused, called, and put back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <execinfo.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hook/elf.c"
#include "hook/x86.c"
#include "hook/entry_plan.c"
#include "hook/entry.c"
#include "hook/entry_find.c"

#if defined(__x86_64__)

/* A function in assembly, and where it ends; each takes an int and gives one. */
#define FUNCTION_AT(align, name, code)                                                         \
    extern int name(int);                                                                      \
    extern const char name##_end[];                                                            \
    __asm__(".pushsection .text\n" align ".globl " #name "\n.type " #name ",@function\n" #name \
            ":\n" code "\n" #name "_end:\n.globl " #name "_end\n.size " #name ", .-" #name     \
            "\n.balign 16\n.popsection\n")
#define FUNCTION(name, code) FUNCTION_AT(".balign 16\n", name, code)
#define SIZE(name) ((size_t)(name##_end - (const char *)(name)))

int entry_value = 1000;
int entry_called(int x);
int (*entry_pointer)(int) = entry_called;

int entry_called(int x)
{
    return x + 7;
}

static const void *return_address;
int entry_asks(int x);
int (*entry_asks_pointer)(int) = entry_asks;

/* As profilers do, and unwinders: who calls? */
__attribute__((noinline)) int entry_asks(int x)
{
    return_address = __builtin_return_address(0);
    return x + 7;
}

/* -------- those that can be moved; each gives 3 for 1 */

FUNCTION(f_frame, "push %rbp\nmov %rsp,%rbp\nsub $16,%rsp\nmov %edi,-4(%rbp)\nmov -4(%rbp),%eax\n"
                  "add $2,%eax\nleave\nret");
FUNCTION(f_endbr, "endbr64\npush %rbp\nmov %rsp,%rbp\nlea 2(%rdi),%eax\npop %rbp\nret");
FUNCTION(f_address, "mov entry_value(%rip),%eax\nlea -998(%rax,%rdi),%eax\nadd $0,%eax\nret");
FUNCTION(f_address_behind, "cmpl $1000,entry_value(%rip)\njne 1f\nlea 2(%rdi),%eax\nret\n1: ud2");
FUNCTION(f_branch, "test %edi,%edi\nje 1f\nlea 2(%rdi),%eax\nret\n1: mov $-1,%eax\nret");
FUNCTION(f_branches, "cmp $1,%edi\n{disp8} jb 1f\n{disp8} jne 1f\nlea 2(%rdi),%eax\nret\n"
                     "1: mov $-1,%eax\nret");
FUNCTION(f_branch_long, "test %edi,%edi\n.byte 0x0f,0x84\n.long 1f-.-4\nlea 2(%rdi),%eax\nret\n"
                        "1: mov $-1,%eax\nret");
FUNCTION(f_jump, ".byte 0xe9\n.long f_frame-.-4");
FUNCTION(f_jump_on, "test %eax,%eax\njmp 1f\n.skip 200,0x90\n1: lea 2(%rdi),%eax\nret");
FUNCTION(f_jump_memory, "sub $6,%edi\njmp *f_pointer(%rip)\n.pushsection .data\n"
                        "f_pointer: .quad f_add8\n.popsection");
FUNCTION(f_add8, "lea 8(%rdi),%eax\nret\nnop");
FUNCTION(f_return, "lea 2(,%rdi),%eax\nret");
FUNCTION(f_recursive, "push %rbx\nmov $2,%eax\ntest %edi,%edi\nje 1f\ndec %edi\ncall f_recursive\n"
                      "inc %eax\n1: pop %rbx\nret");
FUNCTION(f_tail_pointer, "lea -4(%rdi),%edi\nlea entry_pointer(%rip),%rax\njmp *(%rax)");
FUNCTION(f_table, "push %rbx\npush %r12\nsub $8,%rsp\nlea 1f(%rip),%rbx\ntest %edi,%edi\nje 2f\n"
                  "jmp *%rbx\n1: lea 2(%rdi),%eax\njmp 3f\n2: xor %eax,%eax\n"
                  "3: add $8,%rsp\npop %r12\npop %rbx\nret");
FUNCTION(f_one, "mov $2,%eax\nadd %edi,%eax\nret");
FUNCTION_AT(".balign 16\n.skip 13,0x90\n", f_astride, "mov $2,%eax\nadd %edi,%eax\nret");

FUNCTION(f_call, "sub $8,%rsp\ncall entry_asks\nsub $5,%eax\nadd $8,%rsp\nret");
FUNCTION(f_call_first, "call entry_asks\nsub $5,%eax\nret");
FUNCTION(f_profiled, "push %rbp\nmov %rsp,%rbp\ncall entry_asks\nsub $5,%eax\npop %rbp\nret");
FUNCTION(f_fentry, "endbr64\ncall *entry_asks_pointer(%rip)\nsub $5,%eax\nret");

/* -------- and those that cannot */

FUNCTION(r_call, "call *(%rdi)\nmov $2,%eax\nret");
FUNCTION(r_call_early, "call *%rax\ncall entry_called\nret");
FUNCTION(r_short, "xor %eax,%eax\nret");
FUNCTION(r_short_endbr, "endbr64\nlea 1(%rdi),%eax\nret");
FUNCTION(r_ends, "xor %eax,%eax\nret\n.skip 8,0x90");
FUNCTION(r_jumps, ".byte 0xeb,3\nnop\nnop\nnop\n1: xor %eax,%eax\nret");
FUNCTION(r_loops, "1: add $1,%eax\ndec %edi\njne 1b\nret");
FUNCTION(r_loops_endbr, "endbr64\n1: add $1,%eax\ndec %edi\njne 1b\nret");
FUNCTION(r_inside, "xor %eax,%eax\n1: add %edi,%eax\ndec %edi\njne 1b\nret");
FUNCTION(r_inside_called, "xor %eax,%eax\n1: add %edi,%eax\ndec %edi\nje 2f\ncall 1b\n2: ret");
FUNCTION(r_table, "xor %eax,%eax\nmov %edi,%ecx\ntest %edi,%edi\nje 1f\njmp *%rdx\n1: ret");
FUNCTION(r_label, "xor %eax,%eax\n1: mov %edi,%ecx\nlea 1b(%rip),%rdx\nret");
FUNCTION(r_unknown, "mov $2,%eax\n.byte 0x06\nret");
FUNCTION(r_counts, "jrcxz 1f\nmov %edi,%eax\nnop\n1: ret");
FUNCTION(r_stopped, "int3\nmov $2,%eax\nret");
FUNCTION(r_elsewhere, "xor %eax,%eax\n1: add %edi,%eax\ncmp $100,%eax\njl r_elsewhere_cold\nret\n"
                      ".pushsection .text.unlikely\nr_elsewhere_cold: inc %eax\njmp 1b\n"
                      ".popsection");

/* -------------------------------------------------- one at a time */

static int calls;
static int (*original)(int);

static int replacement(int x)
{
    __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
    return __atomic_load_n(&original, __ATOMIC_ACQUIRE)(x) + 100;
}

/* The protection of the page, as the kernel says it; and no page may be written and run. */
static void protection_of(const void *address, char out[5])
{
    unsigned long low, high;
    char line[512], protection[5];
    FILE *maps = fopen("/proc/self/maps", "re");
    strcpy(out, "none");
    while (fgets(line, sizeof(line), maps)) {
        assert_int_equal(sscanf(line, "%lx-%lx %4s", &low, &high, protection), 3);
        assert_null(strstr(protection, "wx"));
        if ((unsigned long)address >= low && (unsigned long)address < high)
            strcpy(out, protection);
    }
    fclose(maps);
}

static void hook_and_back(const char *name, int (*function)(int), size_t size, int expected_calls)
{
    uint8_t before[512], now[512];
    char protection[5];
    const char *reason = "";
    assert_true(size <= sizeof(before));
    memcpy(before, (void *)function, size);
    int (*volatile call)(int) = function;
    assert_int_equal(call(1), 3);
    calls = 0;
    if (entry_hook((void *)function, size, (void *)replacement, ENTRY_QUIET, (void **)&original,
                   &reason) != 0)
        fail_msg("%s: %s", name, reason);
    protection_of((const void *)function, protection);
    assert_string_equal(protection, "r-xp");
    protection_of((const void *)original, protection);
    assert_string_equal(protection, "r-xp");
    assert_int_equal(call(1), 3 + 100 * expected_calls);
    assert_int_equal(calls, expected_calls);
    calls = 0;
    assert_int_equal(original(1), 3 + 100 * (expected_calls - 1));
    assert_int_equal(calls, expected_calls - 1);
    assert_int_equal(entry_hook((void *)function, size, (void *)replacement, ENTRY_QUIET,
                                (void **)&original, &reason),
                     -EALREADY);
    assert_int_equal(entry_unhook((void *)function, ENTRY_QUIET, &reason), 0);
    memcpy(now, (void *)function, size);
    assert_memory_equal(before, now, size);
    protection_of((const void *)function, protection);
    assert_string_equal(protection, "r-xp");
    calls = 0;
    assert_int_equal(call(1), 3);
    assert_int_equal(original(1), 3); /* who still holds it may call it */
    assert_int_equal(calls, 0);
    assert_int_equal(entry_unhook((void *)function, ENTRY_QUIET, &reason), -ENOENT);
}

#define BACK(name, times) hook_and_back(#name, name, SIZE(name), times)

static void test_moved(void **state)
{
    (void)state;
    BACK(f_frame, 1);
    BACK(f_endbr, 1);
    BACK(f_address, 1);
    BACK(f_address_behind, 1);
    BACK(f_branch, 1);
    BACK(f_branches, 1);
    BACK(f_branch_long, 1);
    BACK(f_jump, 1);
    BACK(f_jump_memory, 1);
    BACK(f_return, 1);
    BACK(f_recursive, 2); /* every caller is seen, itself as well */
    BACK(f_table, 1);
    BACK(f_one, 1);
    BACK(f_astride, 1);
}

/* A call that was moved still comes from the function itself, for whoever looks at the stack. */
static void test_moved_calls(void **state)
{
    (void)state;
    int (*const functions[])(int) = {f_call, f_call_first, f_profiled, f_fentry};
    const size_t sizes[] = {SIZE(f_call), SIZE(f_call_first), SIZE(f_profiled), SIZE(f_fentry)};
    for (unsigned i = 0; i < 4; i++) {
        const char *reason = "";
        int (*volatile call)(int) = functions[i];
        call(1);
        const void *before = return_address;
        if (entry_hook((void *)functions[i], sizes[i], (void *)replacement, ENTRY_QUIET,
                       (void **)&original, &reason) != 0)
            fail_msg("%u: %s", i, reason);
        return_address = NULL;
        assert_int_equal(call(1), 103);
        assert_ptr_equal(return_address, before);
        assert_int_equal(entry_unhook((void *)functions[i], ENTRY_QUIET, &reason), 0);
    }
    BACK(f_call, 1);
    BACK(f_fentry, 1);
}

static int frames;
static const void *frame_of_main;
static const void *frames_met[64];
int entry_walks(int x);

__attribute__((noinline)) int entry_walks(int x)
{
    frames = backtrace((void **)(uintptr_t)frames_met, 64);
    return x + 7;
}

/* With what an unwinder needs, as a compiler writes it; the call is among what is moved. */
FUNCTION(f_unwound, ".cfi_startproc\nsub $8,%rsp\n.cfi_adjust_cfa_offset 8\ncall entry_walks\n"
                    "sub $5,%eax\nadd $8,%rsp\n.cfi_adjust_cfa_offset -8\nret\n.cfi_endproc");
FUNCTION(f_unwound_later,
         ".cfi_startproc\npush %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %rbp,0\n"
         "mov %rsp,%rbp\nmov %edi,%edi\nmov %edi,%edi\ncall entry_walks\nsub $5,%eax\npop %rbp\n"
         ".cfi_adjust_cfa_offset -8\n.cfi_restore %rbp\nret\n.cfi_endproc");

/* Unwinding (exceptions, cancellation, profilers) goes through a hooked function to the end. */
static void test_unwound(void **state)
{
    (void)state;
    int (*const functions[])(int) = {f_unwound, f_unwound_later};
    const size_t sizes[] = {SIZE(f_unwound), SIZE(f_unwound_later)};
    for (unsigned i = 0; i < 2; i++) {
        const char *reason = "";
        int (*volatile call)(int) = functions[i];
        assert_int_equal(call(1), 3);
        int bare = frames;
        frame_of_main = frames_met[frames - 1];
        assert_true(bare > 3);
        if (entry_hook((void *)functions[i], sizes[i], (void *)replacement, ENTRY_QUIET,
                       (void **)&original, &reason) != 0)
            fail_msg("%u: %s", i, reason);
        assert_int_equal(call(1), 103);
        assert_int_equal(frames, bare + 1); /* the replacement's */
        assert_ptr_equal(frames_met[frames - 1], frame_of_main);
        assert_int_equal(entry_unhook((void *)functions[i], ENTRY_QUIET, &reason), 0);
    }
}

/* What branches moved instructions take is as before, on both ways. */
static void test_moved_branches(void **state)
{
    (void)state;
    const char *reason = "";
    int (*const functions[])(int) = {f_branch, f_branches, f_branch_long};
    const size_t sizes[] = {SIZE(f_branch), SIZE(f_branches), SIZE(f_branch_long)};
    for (unsigned i = 0; i < 3; i++) {
        int (*volatile call)(int) = functions[i];
        assert_int_equal(entry_hook((void *)functions[i], sizes[i], (void *)replacement,
                                    ENTRY_QUIET, (void **)&original, &reason),
                         0);
        assert_int_equal(call(0), 99);
        assert_int_equal(call(1), 103);
        assert_int_equal(entry_unhook((void *)functions[i], ENTRY_QUIET, &reason), 0);
    }
    /* a tail call through a pointer: its target is a function, so it may be in it */
    int (*volatile tail)(int) = f_tail_pointer;
    assert_int_equal(entry_hook((void *)f_tail_pointer, SIZE(f_tail_pointer), (void *)replacement,
                                ENTRY_QUIET, (void **)&original, &reason),
                     0);
    assert_int_equal(tail(1), 104);
    assert_int_equal(entry_unhook((void *)f_tail_pointer, ENTRY_QUIET, &reason), 0);
}

static void refused(const char *name, int (*function)(int), size_t size, const char *why)
{
    uint8_t before[512];
    const char *reason = NULL;
    void *kept = &before, *way = kept;
    memcpy(before, (void *)function, size);
    if (entry_hook((void *)function, size, (void *)replacement, ENTRY_QUIET, &way, &reason) !=
        -ENOTSUP)
        fail_msg("%s was hooked", name);
    if (!strstr(reason, why))
        fail_msg("%s: %s, not %s", name, reason, why);
    assert_ptr_equal(way, kept);
    assert_memory_equal(before, (void *)function, size);
}

#define REFUSED(name, why) refused(#name, name, SIZE(name), why)

static void test_refused(void **state)
{
    (void)state;
    REFUSED(r_call, "indirect call");
    REFUSED(r_call_early, "indirect call");
    REFUSED(r_short, "too short");
    REFUSED(r_short_endbr, "too short");
    REFUSED(r_ends, "ends before");
    REFUSED(r_jumps, "ends before");
    REFUSED(r_loops, "loops to its entry");
    REFUSED(r_loops_endbr, "loops to its entry");
    REFUSED(r_inside, "branch goes into");
    REFUSED(r_inside_called, "branch goes into");
    REFUSED(r_table, "indirect jump");
    REFUSED(r_label, "makes an address");
    REFUSED(r_unknown, "not known");
    REFUSED(r_counts, "cannot be moved");
    REFUSED(r_stopped, "breakpoint");
    REFUSED(r_elsewhere, "lies elsewhere");
    refused("no size", f_frame, 0, "size is not known");
}

/* -------------------------------------------------- many, near and far */

/* 100 functions of 16 bytes: mov $N,%eax; lea (%rdi,%rax),%eax; ret */
extern const char many_functions[];
__asm__(".pushsection .text\n.balign 16\nmany_functions:\n.set n,0\n.rept 100\n.balign 16\n"
        "mov $n,%eax\nlea (%rdi,%rax),%eax\nret\n.set n,n+1\n.endr\n.popsection\n");

static void test_many(void **state)
{
    (void)state;
    static int (*originals[100])(int);
    const char *reason = "";
    for (int i = 0; i < 100; i++) {
        void *f = (void *)(uintptr_t)(many_functions + i * 16);
        assert_int_equal(
            entry_hook(f, 9, (void *)replacement, ENTRY_QUIET, (void **)&originals[i], &reason), 0);
    }
    for (int i = 0; i < 100; i++) {
        int (*volatile call)(int) = (int (*)(int))(uintptr_t)(many_functions + i * 16);
        original = originals[i];
        assert_int_equal(call(5), 105 + i);
    }
    for (int i = 0; i < 100; i++) {
        void *f = (void *)(uintptr_t)(many_functions + i * 16);
        int (*volatile call)(int) = (int (*)(int))f;
        assert_int_equal(entry_unhook(f, 0, &reason), 0);
        assert_int_equal(call(5), 5 + i);
    }
}

/* -------------------------------------------------- while threads call */

static int stop;

static void *caller(void *argument)
{
    int (*volatile call)(int) = f_one;
    long wrong = 0;
    (void)argument;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        int got = call(1);
        wrong += got != 3 && got != 103;
    }
    return (void *)wrong;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[3];
    const char *reason = "";
    original = NULL;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, caller, NULL), 0);
    for (unsigned i = 0; i < 300; i++) {
        int (*volatile call)(int) = f_one;
        assert_int_equal(entry_hook((void *)f_one, SIZE(f_one), (void *)replacement, 0,
                                    (void **)&original, &reason),
                         0);
        assert_int_equal(call(1), 103);
        assert_int_equal(entry_unhook((void *)f_one, 0, &reason), 0);
        assert_int_equal(call(1), 3);
    }
    /* between whose instructions a thread may be, and one that no single store covers */
    void *way = NULL;
    assert_int_equal(
        entry_hook((void *)f_frame, SIZE(f_frame), (void *)replacement, 0, &way, &reason), -EBUSY);
    assert_int_equal(
        entry_hook((void *)f_astride, SIZE(f_astride), (void *)replacement, 0, &way, &reason),
        -EBUSY);
    assert_null(way);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 3; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
}

/* -------------------------------------------------- where code may not be changed */

/* As systemd's MemoryDenyWriteExecute does it: no mprotect with these bits. */
static void deny_mprotect(unsigned bits)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 32), /* the third argument */
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, bits, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &program))
        _exit(10);
}

static int in_strict_child(unsigned bits)
{
    const char *reason = "";
    char protection[5];
    uint8_t before[64];
    void *way = NULL;
    int (*volatile call)(int) = f_address;
    memcpy(before, (void *)f_address, SIZE(f_address));
    deny_mprotect(bits);
    if (entry_hook((void *)f_address, SIZE(f_address), (void *)replacement, ENTRY_QUIET, &way,
                   &reason) != -EACCES)
        return 1;
    if (memcmp(before, (void *)f_address, SIZE(f_address)) || way || call(1) != 3)
        return 2;
    protection_of((const void *)f_address, protection);
    if (strcmp(protection, "r-xp") != 0)
        return 3;
    return strstr(reason, bits & PROT_WRITE ? "may not be changed" : "not allowed") ? 0 : 4;
}

static void test_not_allowed(void **state)
{
    (void)state;
    const unsigned bits[] = {PROT_EXEC, PROT_EXEC | PROT_WRITE};
    for (unsigned i = 0; i < 2; i++) {
        int status;
        fflush(NULL);
        pid_t child = fork();
        if (child == 0)
            _exit(in_strict_child(bits[i]));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    /* data, and nothing at all */
    const char *reason = "";
    void *way = NULL;
    assert_int_equal(entry_hook(&entry_value, 4, (void *)replacement, ENTRY_QUIET, &way, &reason),
                     -ENOTSUP);
    assert_int_equal(entry_hook((void *)16, 64, (void *)replacement, ENTRY_QUIET, &way, &reason),
                     -EACCES);
    assert_int_equal(entry_hook(NULL, 64, (void *)replacement, ENTRY_QUIET, &way, &reason),
                     -ENOTSUP);
}

/* -------------------------------------------------- compiled functions, found by name */

#define APART __attribute__((noinline, used))

static APART double entry_mixed(double a, int b, const char *c, long d, float e)
{
    return a * b + (c ? c[0] : 0) + (double)d + (double)e;
}

struct entry_wide {
    long a, b, c;
};

static APART struct entry_wide entry_by_value(struct entry_wide w, int n)
{
    for (int i = 0; i < n; i++)
        w.a += w.b ^ w.c;
    return w;
}

static double (*original_mixed)(double, int, const char *, long, float);
static struct entry_wide (*original_by_value)(struct entry_wide, int);

static double our_mixed(double a, int b, const char *c, long d, float e)
{
    calls++;
    return original_mixed(a, b, c, d, e);
}

static struct entry_wide our_by_value(struct entry_wide w, int n)
{
    calls++;
    return original_by_value(w, n);
}

static void test_compiled(void **state)
{
    (void)state;
    const char *reason = "";
    struct entry_symbol s[] = {{"entry_mixed", NULL, 0},
                               {"entry_by_value", NULL, 0},
                               {"f_frame", NULL, 0},
                               {"entry_value", NULL, 0},
                               {"entry_not_there", NULL, 0}};
    assert_int_equal(entry_find(s, 5), 3);
    assert_ptr_equal(s[0].address, (void *)entry_mixed);
    assert_ptr_equal(s[2].address, (void *)f_frame);
    assert_int_equal(s[2].size, SIZE(f_frame));
    assert_null(s[3].address); /* a variable */
    assert_null(s[4].address);
    double (*volatile mixed)(double, int, const char *, long, float) = entry_mixed;
    struct entry_wide (*volatile by_value)(struct entry_wide, int) = entry_by_value;
    double expected = mixed(1.5, 4, "A", -9, 0.25f);
    struct entry_wide w = by_value((struct entry_wide){1, 2, 3}, 5);
    calls = 0;
    /* how a compiler begins them is its own affair; where it can be hooked it must be right */
    int hooked = entry_hook(s[0].address, s[0].size, (void *)our_mixed, ENTRY_QUIET,
                            (void **)&original_mixed, &reason) == 0;
    hooked += entry_hook(s[1].address, s[1].size, (void *)our_by_value, ENTRY_QUIET,
                         (void **)&original_by_value, &reason) == 0;
    struct entry_wide x = by_value((struct entry_wide){1, 2, 3}, 5);
    assert_true(mixed(1.5, 4, "A", -9, 0.25f) == expected);
    assert_memory_equal(&w, &x, sizeof(w));
    assert_int_equal(calls, hooked);
    assert_true(hooked >= 1);
    for (unsigned i = 0; i < 2; i++)
        entry_unhook(s[i].address, ENTRY_QUIET, &reason);
}

/* Of a program without a symbol table only what is exported is found. */
static void test_stripped(void **state)
{
    (void)state;
    char self[512] = "", copy[] = "/tmp/test_entry_XXXXXX", command[1200];
    assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    int fd = mkstemp(copy);
    assert_true(fd >= 0);
    close(fd);
    snprintf(command, sizeof(command), "strip -o %s %s && chmod 755 %s && %s --find", copy, self,
             copy, copy);
    int status = system(command);
    snprintf(command, sizeof(command), "%s --find", self);
    int whole = system(command);
    unlink(copy);
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(WEXITSTATUS(whole), 2);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--find") == 0) {
        struct entry_symbol s[] = {{"entry_mixed", NULL, 0}, {"f_frame", NULL, 0}};
        return (int)entry_find(s, 2);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moved),       cmocka_unit_test(test_moved_branches),
        cmocka_unit_test(test_moved_calls), cmocka_unit_test(test_unwound),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_many),
        cmocka_unit_test(test_threads),     cmocka_unit_test(test_not_allowed),
        cmocka_unit_test(test_compiled),    cmocka_unit_test(test_stripped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void test_elsewhere(void **state)
{
    (void)state;
    const char *reason = "";
    void *way = NULL;
    assert_int_equal(entry_hook((void *)test_elsewhere, 64, &way, ENTRY_QUIET, &way, &reason),
                     -ENOTSUP);
    assert_string_equal(reason, "not on this machine");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_elsewhere)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
