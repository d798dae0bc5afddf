/*
 * OpenSSL or BoringSSL inside the executable, where no symbol leads to us: hooks at the functions'
 * entries, put in before the program has begun.
 */
#include "intercept/tls.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "hook/elf.h"
#include "hook/entry.h"
#include "intercept/common.h"

/*
 * A program's dynamic symbols say at once whether it has SSL_read. A library that was linked in
 * without being exported is looked for in the symbol table of the file, which costs far more, and
 * so only where there is code enough for it: the smallest TLS 1.3 client on libssl.a and
 * libcrypto.a has 2.5 MB.
 */
enum { CODE_LEAST = 3 << 19 };

enum {
#define NUMBER(member, ...) CALL_##member,
    TLS_OPENSSL_CALLS(NUMBER) CALLS,
    AFTER_CALLS = CALLS - 1,
    TLS_OPENSSL_HELPERS(NUMBER) TLS_OPENSSL_EXTRAS(NUMBER) NAMES,
};

static struct tls_openssl api; /* the calls lead around the hooks */
static struct entry_symbol symbols[NAMES] = {
#define SYMBOL(member, name, ...) {#name, NULL, 0},
    TLS_OPENSSL_CALLS(SYMBOL) TLS_OPENSSL_HELPERS(SYMBOL) TLS_OPENSSL_EXTRAS(SYMBOL)};

/* Whether one of the functions calls another: that is told of by the outer one. */
static bool is_inside(const void *from)
{
    for (unsigned i = 0; i < CALLS; i++) {
        if ((uintptr_t)from - (uintptr_t)symbols[i].address < symbols[i].size)
            return true;
    }
    return false;
}

#define ARGUMENTS(...) __VA_ARGS__
#define REPLACEMENT(member, name, type, parameters, arguments, ...) \
    static type entry_##member parameters                           \
    {                                                               \
        if (unlikely(is_inside(__builtin_return_address(0))))       \
            return api.member arguments;                            \
        return tls_openssl_##member(&api, ARGUMENTS arguments);     \
    }
TLS_OPENSSL_CALLS(REPLACEMENT)

static void *look_up(void *context, const char *name)
{
    (void)context;
    for (unsigned i = 0; i < NAMES; i++) {
        if (elf_same(symbols[i].name, name))
            return symbols[i].address;
    }
    return NULL;
}

/* Tells once what is not seen, and why: "name: reason". */
static void tell(const char *name, const char *reason)
{
    static const char colon[] = ": ";
    struct lane *lane = hook_lane();
    uint64_t now = ticks_now();
    struct record r = {.type = RECORD_NOTE,
                       .kind = KIND_NONE,
                       .start = now,
                       .end = now,
                       .fd = -1,
                       .a = NOTE_TLS_UNSEEN};
    struct piece pieces[3] = {{name, (uint32_t)__builtin_strlen(name)},
                              {colon, sizeof(colon) - 1},
                              {reason, (uint32_t)__builtin_strlen(reason)}};
    if (lane)
        record_write(hook_region, lane, &r, pieces, 3);
}

/* Bytes go through each of these: without one of them half of a conversation would be missing. */
static bool is_essential(unsigned call)
{
    return call == CALL_read || call == CALL_write || call == CALL_read_ex || call == CALL_write_ex;
}

static bool is_alone(void)
{
    struct stat status;
    return sys(newfstatat, AT_FDCWD, "/proc/self/task", &status, 0) == 0 && status.st_nlink == 3;
}

/* False: one that is needed could not be hooked, and none is. */
static bool hook_all(void)
{
    struct entry_request requests[CALLS] = {
#define REQUEST(member, ...)                           \
    {.function = symbols[CALL_##member].address,       \
     .size = symbols[CALL_##member].size,              \
     .replacement = (void *)(uintptr_t)entry_##member, \
     .original = (void **)(void *)&api.member},
        TLS_OPENSSL_CALLS(REQUEST)};
    /* each handshake begins with it, inside; one that the program begins anew is seen without */
    requests[CALL_clear].function = NULL;
    unsigned flags = is_alone() ? ENTRY_QUIET : 0;
    const char *told = NULL; /* what is in the way of one is often in the way of all */
    bool whole = true;
    entry_hook_all(requests, CALLS, flags);
    for (unsigned i = 0; i < CALLS; i++) {
        if (!requests[i].function || requests[i].result == 0)
            continue;
        if (requests[i].reason != told)
            tell(symbols[i].name, requests[i].reason);
        told = requests[i].reason;
        whole &= !is_essential(i);
    }
    for (unsigned i = 0; i < CALLS && !whole; i++) {
        const char *reason;
        if (requests[i].function && requests[i].result == 0)
            entry_unhook(requests[i].function, flags, &reason);
    }
    return whole;
}

/* The first helper that is not there; NULL: all are. */
static const char *lacking(void)
{
#define LACKS(member, name, ...) \
    if (!api.member)             \
        return #name;
    TLS_OPENSSL_HELPERS(LACKS)
    return api.write ? NULL : "SSL_write";
}

void tls_entry_start(void)
{
    struct entry_symbol probe = {"SSL_read", NULL, 0};
    if (entry_find_exported(&probe, 1))
        entry_find_exported(symbols, NAMES);
    else if (entry_code_size() >= CODE_LEAST)
        entry_find(symbols, NAMES);
    if (!symbols[CALL_read].address)
        return;
    tls_openssl_fill(&api, look_up, NULL);
    const char *lacks = lacking();
    if (lacks)
        tell(lacks, "this function of OpenSSL is not in the executable");
    else if (!hook_all())
        api.observable = 0;
}
