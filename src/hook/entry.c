/* Puts jumps to replacements at the entries of functions, and takes them away again. */
#include "hook/entry.h"

#include <errno.h>

#if defined(__x86_64__)

#include <cpuid.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>

#include "hook/entry_plan.h"
#include "os/sys.h"

enum {
    PAGE = 4096,
    SLOT = 64,  /* bytes for one function: what was moved, and the way to the replacement */
    RELAY = 48, /* where in a slot that way begins */
    HOOKS = 128,
    ARENAS = 32,
};
#define REACH (1L << 30)  /* half of what a jump reaches: the other half is for its operands */
#define LOWEST 0x10000UL  /* below it the kernel gives nothing */
#define ROOMY (16 * PAGE) /* a gap from which a page is not missed */

_Static_assert((int)ENTRY_MOVED_ROOM <= (int)RELAY, "what was moved fits before the way out");

struct hook {
    uint8_t *at; /* where the jump is; NULL: free */
    void *function;
    uint8_t was[ENTRY_JUMP], is[ENTRY_JUMP];
    struct entry_request *request; /* waits for its slot to be in place; NULL: does not wait */
    uintptr_t slot;
    int protection; /* of the code, while it waits */
};

static struct hook hooks[HOOKS];
static struct {
    uintptr_t page;
    unsigned used; /* slots */
} arenas[ARENAS];
static int patching;

/* -------------------------------------------------- what is mapped where */

struct place {
    uintptr_t low, high; /* the code around the function, all of one protection */
    int protection;
    bool is_private;
    uintptr_t below, above; /* where there is room for a page on either side; 0: nowhere near */
};

/* What the requests of one call share. */
struct batch {
    struct place place; /* as it was found for the request before, or empty */
    uint8_t *page;      /* what the arena's page will be, still to be written; NULL: none begun */
    unsigned arena;
};

struct mapping {
    uintptr_t low, high;
    int protection;
    bool is_private;
};

/* Reads the list of mappings, a character at a time. */
struct list {
    long fd, have, at; /* have 0: at its end */
    char text[PAGE];
};

static struct list list; /* under `patching` */

static int next_character(void)
{
    if (list.at == list.have && list.have > 0) {
        list.have = sys(read, list.fd, list.text, sizeof(list.text));
        list.at = 0;
    }
    if (list.have <= 0)
        return -1;
    return list.text[list.at++];
}

static uintptr_t next_number(void)
{
    uintptr_t number = 0;
    for (;;) {
        int c = next_character();
        if (c >= '0' && c <= '9')
            number = number * 16 + (uintptr_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            number = number * 16 + (uintptr_t)(c - 'a') + 10;
        else
            return number;
    }
}

static bool next_mapping(struct mapping *m)
{
    m->low = next_number();
    m->high = next_number();
    m->protection = next_character() == 'r' ? PROT_READ : 0;
    m->protection |= next_character() == 'w' ? PROT_WRITE : 0;
    m->protection |= next_character() == 'x' ? PROT_EXEC : 0;
    int c = next_character();
    m->is_private = c == 'p';
    while (c != '\n' && c != -1)
        c = next_character();
    return m->high > m->low && c == '\n';
}

/* A gap between mappings: is a page of it near the function? */
static void meet_gap(struct place *p, uintptr_t function, uintptr_t low, uintptr_t high)
{
    if (low < LOWEST)
        low = LOWEST;
    if (high < low + ROOMY)
        return;
    /* right below an object: behind it the heap may have to grow */
    if (high <= function && function - high < REACH)
        p->below = high - PAGE;
    uintptr_t middle = (low + (high - low < REACH ? high - low : REACH / 2) / 2) & ~(PAGE - 1UL);
    if (low > function && middle - function < REACH && !p->above)
        p->above = middle;
}

static bool find_place(uintptr_t function, struct place *place)
{
    struct mapping m, run = {0, 0, 0, false};
    struct place p = {0, 0, 0, false, 0, 0};
    list.fd = sys(openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
    list.have = list.at = 1; /* as if one had been read to its end */
    if (list.fd < 0)
        return false;
    while (next_mapping(&m)) {
        if (m.low > run.high)
            meet_gap(&p, function, run.high, m.low);
        if (m.low == run.high && m.protection == run.protection && m.is_private == run.is_private)
            run.high = m.high;
        else
            run = m;
        if (function >= run.low && function < run.high) {
            p.low = run.low;
            p.high = run.high;
            p.protection = run.protection;
            p.is_private = run.is_private;
        }
    }
    sys(close, list.fd);
    *place = p;
    return p.high != 0;
}

/* -------------------------------------------------- pages for what was moved */

static bool is_near(uintptr_t page, uintptr_t function)
{
    return (page > function ? page - function : function - page) < REACH;
}

static bool make_arena(unsigned n, const struct place *place)
{
    const uintptr_t tries[2] = {place->below, place->above};
    for (unsigned i = 0; i < 2; i++) {
        if (!tries[i])
            continue;
        long got = sys(mmap, tries[i], PAGE, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (got == (long)tries[i]) {
            arenas[n].page = tries[i];
            return true;
        }
        if (got > 0) /* a kernel that does not know MAP_FIXED_NOREPLACE */
            sys(munmap, got, PAGE);
    }
    return false;
}

/* An arena with a slot that is near the function. */
static int find_arena(uintptr_t function, struct place *place)
{
    for (unsigned n = 0; n < ARENAS; n++) {
        if (!arenas[n].page) {
            /* what was found for a function before may be taken by now */
            if (make_arena(n, place) || (find_place(function, place) && make_arena(n, place)))
                return (int)n;
            return -1;
        }
        if (arenas[n].used < PAGE / SLOT && is_near(arenas[n].page, function))
            return (int)n;
    }
    return -1;
}

/* notrack jmp *(%rip), and the address. */
static void put_relay(uint8_t *out, uintptr_t replacement)
{
    static const uint8_t jump[] = {0x3e, 0xff, 0x25, 0, 0, 0, 0};
    for (unsigned i = 0; i < sizeof(jump); i++)
        out[i] = jump[i];
    for (unsigned i = 0; i < 8; i++)
        out[sizeof(jump) + i] = (uint8_t)(replacement >> (8 * i));
}

static void leave_arena(unsigned n)
{
    if (arenas[n].used)
        return;
    sys(munmap, arenas[n].page, PAGE);
    arenas[n].page = 0;
}

/*
 * Begins a page for an arena. Threads may be running what is in it already, so the page is made
 * anew beside it, sealed, and moved over the former in one step: at no time can it be written and
 * run.
 */
static bool begin_page(struct batch *b, unsigned n)
{
    long made = sys(mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made < 0 && made > -PAGE)
        return false;
    b->page = (uint8_t *)made;
    b->arena = n;
    uintptr_t old = (uintptr_t)arenas[n].used * SLOT;
    for (uintptr_t i = 0; i < PAGE; i++)
        b->page[i] = i < old ? ((const uint8_t *)arenas[n].page)[i] : 0xcc;
    return true;
}

/* Writes the next slot; 0: what the code refers to is too far away. */
static uintptr_t fill_slot(struct batch *b, const struct entry_plan *plan, const uint8_t *code,
                           uintptr_t replacement)
{
    uintptr_t offset = (uintptr_t)arenas[b->arena].used * SLOT;
    uintptr_t slot = arenas[b->arena].page + offset;
    uint8_t moved[ENTRY_MOVED_ROOM];
    size_t length = entry_move(plan, code, (uintptr_t)code, moved, slot);
    if (!length)
        return 0;
    for (size_t i = 0; i < length; i++)
        b->page[offset + i] = moved[i];
    put_relay(b->page + offset + RELAY, replacement);
    arenas[b->arena].used++;
    return slot;
}

static const char *seal_page(struct batch *b)
{
    const char *reason = NULL;
    uintptr_t page = arenas[b->arena].page;
    if (sys(mprotect, b->page, PAGE, PROT_READ | PROT_EXEC) != 0)
        reason = "memory with code of ours is not allowed";
    else if (sys(mremap, b->page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, page) != (long)page)
        reason = "no memory near it";
    if (reason)
        sys(munmap, b->page, PAGE);
    b->page = NULL;
    return reason;
}

/* -------------------------------------------------- writing code */

static bool has_cmpxchg16b(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && c & bit_CMPXCHG16B;
}

/* Within 16 aligned bytes, or 8 where that is all the processor has, a store is atomic. */
static bool is_one_store(uintptr_t at)
{
    return (at & 7) + ENTRY_JUMP <= 8 || ((at & 15) + ENTRY_JUMP <= 16 && has_cmpxchg16b());
}

/* One atomic exchange of the 8 or 16 bytes around; false: somebody else wrote there. */
static bool store_whole(uint8_t *at, const uint8_t *bytes)
{
    bool small = ((uintptr_t)at & 7) + ENTRY_JUMP <= 8;
    uint8_t *whole = (uint8_t *)((uintptr_t)at & ~(small ? 7UL : 15UL));
    union {
        uint64_t words[2];
        uint8_t bytes[16];
    } old, new;
    bool done;
    old.words[0] = ((uint64_t *)whole)[0];
    old.words[1] = small ? 0 : ((uint64_t *)whole)[1];
    new = old;
    for (unsigned i = 0; i < ENTRY_JUMP; i++)
        new.bytes[(size_t)(at - whole) + i] = bytes[i];
    /* by hand: thread sanitizer's own would write down that code was written, where it cannot */
    if (small) {
        __asm__ volatile("lock cmpxchgq %3, %1"
                         : "=@ccz"(done), "+m"(*(uint64_t *)whole), "+a"(old.words[0])
                         : "r"(new.words[0])
                         : "memory");
        return done;
    }
    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(done), "+m"(*(unsigned __int128 *)whole), "+a"(old.words[0]),
                       "+d"(old.words[1])
                     : "b"(new.words[0]), "c"(new.words[1])
                     : "memory");
    return done;
}

/*
 * Writes the five bytes at `at`. The pages stay executable meanwhile, since others may run on them,
 * and because a system that would refuse to make them so again refuses already the first step.
 */
static const char *write_code(uint8_t *at, const uint8_t *bytes, int protection)
{
    uintptr_t low = (uintptr_t)at & ~(PAGE - 1UL);
    uintptr_t high = ((uintptr_t)at + ENTRY_JUMP + PAGE - 1) & ~(PAGE - 1UL);
    bool done = true;
    if (sys(mprotect, low, high - low, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        return "its code may not be changed";
    if (is_one_store((uintptr_t)at)) {
        done = store_whole(at, bytes);
    } else {
        for (unsigned i = 0; i < ENTRY_JUMP; i++)
            __asm__ volatile("movb %1, %0" : "=m"(at[i]) : "q"(bytes[i]));
    }
    sys(mprotect, low, high - low, protection);
    return done ? NULL : "somebody else is changing it";
}

/* -------------------------------------------------- the hooks */

static struct hook *find_hook(const void *function)
{
    for (unsigned i = 0; i < HOOKS; i++) {
        if (hooks[i].function == function)
            return &hooks[i];
    }
    return NULL;
}

/* Whether the jump is there; an object that was closed has taken it along. */
static bool is_there(const struct hook *hook)
{
    for (unsigned i = 0; i < ENTRY_JUMP; i++) {
        if (hook->at[i] != hook->is[i])
            return false;
    }
    return true;
}

/* A thread's shadow stack pointer; where there is none the instruction does nothing. */
static bool has_shadow_stack(void)
{
    uint64_t pointer = 0;
    __asm__ volatile("rdsspq %0" : "+r"(pointer));
    return pointer != 0;
}

static const char *check_place(const struct place *place, uintptr_t function, size_t size)
{
    if (size > place->high - function)
        return "it is longer than the code that it lies in";
    if (!(place->protection & PROT_READ) || !(place->protection & PROT_EXEC))
        return "it is not in code that can be read";
    return place->is_private ? NULL : "its code is shared with other processes";
}

static int refuse(int error, const char *text, const char **reason)
{
    *reason = text;
    return -error;
}

/* Puts the jump of a hook in, whose slot is ready. */
static void finish_hook(struct hook *hook, const char *why)
{
    struct entry_request *r = hook->request;
    hook->request = NULL;
    if (!why) {
        void *before = *r->original;
        __atomic_store_n(r->original, (void *)hook->slot, __ATOMIC_SEQ_CST);
        why = write_code(hook->at, hook->is, hook->protection);
        if (why)
            *r->original = before;
    }
    if (!why)
        return;
    hook->function = NULL;
    r->result = refuse(EACCES, why, &r->reason);
}

/* Puts the page in place that was begun, and then the jumps to what is in it. */
static void finish_page(struct batch *b)
{
    unsigned waiting = 0;
    if (!b->page)
        return;
    const char *why = seal_page(b);
    for (unsigned i = 0; i < HOOKS; i++) {
        if (!hooks[i].request)
            continue;
        waiting++;
        finish_hook(&hooks[i], why);
    }
    if (why)
        arenas[b->arena].used -= waiting;
    leave_arena(b->arena);
}

/* Makes the hook wait for its page. */
static int add_hook(struct batch *b, struct hook *hook, const struct entry_plan *plan,
                    struct entry_request *r)
{
    uint8_t *code = r->function;
    int n = find_arena((uintptr_t)code, &b->place);
    if (n < 0)
        return refuse(ENOSPC, "no room near it", &r->reason);
    if (b->page && b->arena != (unsigned)n)
        finish_page(b);
    if (!b->page && !begin_page(b, (unsigned)n)) {
        leave_arena((unsigned)n);
        return refuse(EACCES, "no memory", &r->reason);
    }
    hook->slot = fill_slot(b, plan, code, (uintptr_t)r->replacement);
    if (!hook->slot)
        return refuse(ENOTSUP, "what it refers to is too far away", &r->reason);
    hook->at = code + plan->at;
    int64_t distance = (int64_t)(hook->slot + RELAY - (uintptr_t)hook->at - ENTRY_JUMP);
    hook->is[0] = 0xe9;
    hook->was[0] = hook->at[0];
    for (unsigned i = 1; i < ENTRY_JUMP; i++) {
        hook->was[i] = hook->at[i];
        hook->is[i] = (uint8_t)((uint64_t)distance >> (8 * (i - 1)));
    }
    hook->function = code;
    hook->protection = b->place.protection;
    hook->request = r;
    return 0;
}

/* Where a hook would go, and whether one is there already; the plan, or why there is none. */
static int plan_hook(struct batch *b, const struct entry_request *r, unsigned flags,
                     struct entry_plan *plan, const char **reason)
{
    const struct hook *old = find_hook(r->function);
    const struct place *place = &b->place;
    uint8_t *code = r->function;
    bool known = (uintptr_t)code >= place->low && (uintptr_t)code < place->high;
    if (!known && !find_place((uintptr_t)code, &b->place))
        return refuse(EACCES, "its mapping is not known", reason);
    const char *why = check_place(place, (uintptr_t)code, r->size);
    bool in_place = old && (uintptr_t)old->at + ENTRY_JUMP <= place->high;
    if (!why && old && (old->request || (in_place && is_there(old))))
        return refuse(EALREADY, "it is hooked already", reason);
    if (!why)
        why = entry_plan(code, r->size, (int64_t)(place->low - (uintptr_t)code),
                         (int64_t)(place->high - (uintptr_t)code), plan);
    if (!why && plan->calls && has_shadow_stack())
        why = "it begins with a call, and there is a shadow stack";
    if (why)
        return refuse(ENOTSUP, why, reason);
    if (flags & ENTRY_QUIET)
        return 0;
    if (plan->instructions > 1)
        return refuse(EBUSY, "a thread may be between its first instructions", reason);
    if (!is_one_store((uintptr_t)code + plan->at))
        return refuse(EBUSY, "its first instruction cannot be replaced at once", reason);
    return 0;
}

static int hook_held(struct batch *b, struct entry_request *r, unsigned flags)
{
    struct entry_plan plan;
    if (!r->function || !r->size)
        return refuse(ENOTSUP, r->function ? "its size is not known" : "it was not found",
                      &r->reason);
    int result = plan_hook(b, r, flags, &plan, &r->reason);
    if (result != 0)
        return result;
    struct hook *hook = find_hook(r->function); /* of an object that is gone from there */
    if (!hook)
        hook = find_hook(NULL);
    if (!hook)
        return refuse(ENOSPC, "too many are hooked", &r->reason);
    return add_hook(b, hook, &plan, r);
}

unsigned entry_hook_all(struct entry_request *requests, unsigned count, unsigned flags)
{
    struct batch batch = {.page = NULL};
    unsigned hooked = 0;
    bool mine = !__atomic_exchange_n(&patching, 1, __ATOMIC_ACQUIRE);
    for (unsigned i = 0; i < count; i++) {
        struct entry_request *r = &requests[i];
        r->reason = NULL;
        r->result = mine ? hook_held(&batch, r, flags)
                         : refuse(EBUSY, "another thread is changing code", &r->reason);
    }
    if (mine) {
        finish_page(&batch);
        __atomic_store_n(&patching, 0, __ATOMIC_RELEASE);
    }
    for (unsigned i = 0; i < count; i++)
        hooked += requests[i].result == 0;
    return hooked;
}

static int unhook_held(struct hook *hook, unsigned flags, const char **reason)
{
    struct place place;
    if (!hook)
        return refuse(ENOENT, "it is not hooked", reason);
    if (!find_place((uintptr_t)hook->at, &place) ||
        check_place(&place, (uintptr_t)hook->at, ENTRY_JUMP) || !is_there(hook))
        return refuse(ENOENT, "its code is gone, or somebody else has changed it", reason);
    if (!(flags & ENTRY_QUIET) && !is_one_store((uintptr_t)hook->at))
        return refuse(EBUSY, "its jump cannot be replaced at once", reason);
    const char *why = write_code(hook->at, hook->was, place.protection);
    if (why)
        return refuse(EACCES, why, reason);
    hook->function = NULL;
    return 0;
}

int entry_unhook(void *function, unsigned flags, const char **reason)
{
    if (__atomic_exchange_n(&patching, 1, __ATOMIC_ACQUIRE))
        return refuse(EBUSY, "another thread is changing code", reason);
    int result = unhook_held(function ? find_hook(function) : NULL, flags, reason);
    __atomic_store_n(&patching, 0, __ATOMIC_RELEASE);
    return result;
}

#else

unsigned entry_hook_all(struct entry_request *requests, unsigned count, unsigned flags)
{
    (void)flags;
    for (unsigned i = 0; i < count; i++) {
        requests[i].reason = "not on this machine";
        requests[i].result = -ENOTSUP;
    }
    return 0;
}

int entry_unhook(void *function, unsigned flags, const char **reason)
{
    (void)function, (void)flags;
    *reason = "it is not hooked";
    return -ENOENT;
}

#endif

int entry_hook(void *function, size_t size, void *replacement, unsigned flags, void **original,
               const char **reason)
{
    struct entry_request r = {function, size, replacement, original, 0, NULL};
    entry_hook_all(&r, 1, flags);
    if (r.reason)
        *reason = r.reason;
    return r.result;
}
