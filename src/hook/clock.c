/* Chooses where ticks come from, and finds what a tick is worth. */
#include "hook/internal.h"

#include <fcntl.h>
#include <sys/auxv.h>
#include <time.h>

#include "os/sys.h"

enum { APART_NANO = 20000, VDSO_CYCLES = 160 };

static int clock_by_syscall(int id, void *time)
{
    return (int)sys(clock_gettime, id, time);
}

/* The vDSO's clock_gettime, read out of its own symbol table. */
static void find_vdso_clock(void)
{
    ticks_clock = clock_by_syscall;
    const ElfW(Ehdr) *vdso = (const ElfW(Ehdr) *)getauxval(AT_SYSINFO_EHDR);
    if (!vdso)
        return;
    const ElfW(Phdr) *headers = (const ElfW(Phdr) *)((uintptr_t)vdso + vdso->e_phoff);
    struct elf_object object;
    for (unsigned i = 0; i < vdso->e_phnum; i++) {
        if (headers[i].p_type != PT_DYNAMIC)
            continue;
        if (!elf_read(&object, (uintptr_t)vdso,
                      (const ElfW(Dyn) *)((uintptr_t)vdso + headers[i].p_vaddr)))
            return;
#if defined(__aarch64__)
        const char *name = "__kernel_clock_gettime";
#else
        const char *name = "__vdso_clock_gettime";
#endif
        const ElfW(Sym) *s = elf_find(&object, name, elf_gnu_hash(name));
        if (s)
            ticks_clock = (int (*)(int, void *))elf_address(&object, s);
    }
}

static uint64_t clock_nano(int id)
{
    struct timespec t = {0, 0};
    ticks_clock(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/prctl.h>

/* The kernel watches the counter: where it has fallen back to another device, it had a reason. */
static bool kernel_distrusts(void)
{
    static const char *const slow[] = {"hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit"};
    char name[32];
    long fd =
        sys(openat, AT_FDCWD, "/sys/devices/system/clocksource/clocksource0/current_clocksource",
            O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    long n = sys(read, fd, name, sizeof(name) - 1);
    sys(close, fd);
    if (n <= 0)
        return false;
    name[n] = '\0';
    for (unsigned i = 0; i < sizeof(slow) / sizeof(slow[0]); i++) {
        if (elf_starts(name, slow[i]))
            return true;
    }
    return false;
}

/*
 * Whether the vDSO answers without a system call, which it does only where the kernel itself takes
 * its time from the counter: then there is no need to read what it thinks of it.
 */
static bool kernel_uses_it(void)
{
    uint64_t best = ~0ULL;
    for (int i = 0; i < 4; i++) {
        struct timespec t;
        uint64_t before = __builtin_ia32_rdtsc();
        ticks_clock(CLOCK_MONOTONIC, &t);
        uint64_t width = __builtin_ia32_rdtsc() - before;
        best = width < best ? width : best;
    }
    return best < VDSO_CYCLES;
}

/*
 * Whether the counter runs at one speed. The loader has asked already, and libc says what it was
 * told (since 2.33): under a hypervisor each cpuid costs 8 us. Every x86-64 has this leaf.
 */
static bool is_invariant(void)
{
    enum { LEAF_80000007 = 4, EDX = 3, INVARIANT = 1 << 8 };
    const unsigned *(*leaf)(unsigned) =
        (const unsigned *(*)(unsigned))hook_libc("__x86_get_cpuid_feature_leaf");
    const unsigned *known = leaf ? leaf(LEAF_80000007) : NULL;
    unsigned a, b, c, d;
    if (known && known[EDX] & INVARIANT)
        return true;
    __cpuid(0x80000007, a, b, c, d);
    return d & INVARIANT;
}

static bool counter_is_good(void)
{
    int mode = 0;
    if (sys(prctl, PR_GET_TSC, &mode) == 0 && mode != PR_TSC_ENABLE)
        return false;
    if (!is_invariant())
        return false;
    return kernel_uses_it() || !kernel_distrusts();
}
#elif defined(__aarch64__)
static bool counter_is_good(void)
{
    return true; /* the architecture promises a constant rate */
}
#endif

bool clock_choose(void)
{
    find_vdso_clock();
    ticks_are_tsc = counter_is_good();
    return ticks_are_tsc;
}

struct clock_pair clock_read(void)
{
    struct clock_pair best = {0, 0};
    uint64_t width = ~0ULL;
    for (int i = 0; i < 3; i++) {
        uint64_t before = ticks_now();
        uint64_t mono = clock_nano(CLOCK_MONOTONIC);
        uint64_t after = ticks_now();
        if (after - before < width) {
            width = after - before;
            best.ticks = before + width / 2;
            best.mono = mono;
        }
    }
    return best;
}

void clock_relate(struct clock_relation *relation, const struct clock_pair *first)
{
    struct clock_pair second = clock_read();
    relation->tsc = ticks_are_tsc;
    relation->mult = 1ULL << 32;
    if (ticks_are_tsc) {
        while (second.mono - first->mono < APART_NANO || second.ticks <= first->ticks)
            second = clock_read();
        uint64_t nano = second.mono - first->mono, ticks = second.ticks - first->ticks;
        /* 128 bits only where it must be: the compiler's function for it lies on a page of its own
         */
        relation->mult =
            nano >> 32 ? (uint64_t)(((unsigned __int128)nano << 32) / ticks) : (nano << 32) / ticks;
    }
    relation->ticks = second.ticks;
    relation->mono_nano = second.mono;
    /* the wall clock at the same moment: what has passed since is taken off again */
    uint64_t unix_nano = clock_nano(CLOCK_REALTIME);
    relation->unix_nano = unix_nano - (clock_nano(CLOCK_MONOTONIC) - second.mono);
    relation->spare = 0;
}
