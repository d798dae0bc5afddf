/*
 * Wrappers of name lookups: getaddrinfo, getnameinfo, the gethostby... family.
 *
 * Each call of the program counts once, by its name here. What happens inside it, measured on glibc
 * 2.36 with strace and ltrace: libc and its resolver (a part of libc since 2.34) open files,
 * connect and send by internal calls, which pass no hook; an NSS module of another library calls
 * through its PLT and is seen for what it does, a unix socket to its daemon for example.
 * Before 2.34 the resolver is in libresolv and some of its calls are seen as well; the fold can
 * tell by their time that DNS messages of this thread within a lookup are that lookup's own.
 *
 * Calls that only convert a number (AI_NUMERICHOST, NI_NUMERICHOST, no host at all) look nothing
 * up: they are counted, and leave no RECORD_NAME.
 *
 * getaddrinfo_a looks up on threads of libc's own. Since 2.34 these call getaddrinfo internally, so
 * those lookups are not seen; before, they go through this wrapper.
 */
#include "intercept/name.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>

/* ------------------------------------------------------------------ records */

void name_add(struct name_asked *asked, unsigned family, const void *address)
{
    struct name_answer answer = {.family = (uint16_t)family};

    if ((family != AF_INET && family != AF_INET6) || asked->answers == NAME_ANSWERS)
        return;
    if (family == AF_INET)
        __builtin_memcpy(answer.address, address, 4);
    else
        __builtin_memcpy(answer.address, address, 16);
    for (unsigned i = 0; i < asked->answers; i++)
        if (!__builtin_memcmp(&asked->answer[i], &answer, sizeof(answer)))
            return;
    asked->answer[asked->answers++] = answer;
}

/*
 * The resolver before glibc 2.34 makes its sockets by calls that are seen, and closes them by calls
 * that are not. A number that stayed behind would lend its kind to libc's next file, so after a
 * lookup the kernel is asked about each socket to a name server, where libc is as old as that.
 */
static void forget_resolver_sockets(void)
{
    static uint32_t resolver; /* 1: in libc, 2: in a library of its own */
    uint32_t where = __atomic_load_n(&resolver, __ATOMIC_RELAXED);

    if (unlikely(!where)) {
        where = hook_libc("res_query") ? 1 : 2;
        __atomic_store_n(&resolver, where, __ATOMIC_RELAXED);
    }
    if (likely(where == 1) || hook_region->sandboxed)
        return;
    for (unsigned fd = 0, high = fd_high(); fd < high; fd++) {
        fd_entry entry = fd_get((int)fd);
        if ((entry & (FD_DNS | FD_OPEN)) == (FD_DNS | FD_OPEN) && sys(fcntl, fd, F_GETFD) == -EBADF)
            fd_change((int)fd, FD_GENERATION(entry), 0, FD_OPEN);
    }
}

static uint32_t length_of(const char *text)
{
    uint32_t length = 0;

    while (text && length < NAME_LENGTH_MAX && text[length])
        length++;
    return length;
}

__attribute__((noinline)) void name_done(struct name_asked *asked)
{
    static const char zeros[4];
    int error = asked->error == EAI_SYSTEM ? errno : 0;
    struct name_lookup lookup = {.error = asked->error, .answers = (uint16_t)asked->answers};
    struct record record = {
        .type = RECORD_NAME,
        .op = (uint8_t)asked->op,
        .kind = KIND_NONE,
        .start = asked->start,
        .end = asked->end,
        .fd = -1,
        .result = asked->result,
        .a = asked->a,
        .b = asked->b,
        .flags = asked->flags,
    };
    uint32_t name = length_of(asked->name), domain = length_of(asked->domain);
    uint32_t whole = name + (domain ? domain + 1 : 0);
    struct piece pieces[] = {
        {&lookup, sizeof(lookup)},
        {asked->name, name},
        {".", domain ? 1 : 0},
        {asked->domain, domain},
        {zeros, (4 - whole % 4) % 4},
        {asked->answer, asked->answers * (uint32_t)sizeof(asked->answer[0])},
        {asked->message, asked->message_length},
    };

    count_call(hook_region, asked->lane, asked->op, KIND_NONE, asked->start, asked->end, 0, error);
    if ((hook_region->watch & WATCH_NAMES) && asked->looked_up) {
        lookup.name_length = (uint16_t)whole;
        record_write(hook_region, asked->lane, &record, pieces, sizeof(pieces) / sizeof(*pieces));
    }
    forget_resolver_sockets();
    after_any(hook_region);
}

/* Whether what was found was only read out of an address in digits: nothing was looked up. */
static bool is_literal(const char *name)
{
    bool digits = true, colon = false;

    for (; name && *name; name++) {
        digits = digits && ((*name >= '0' && *name <= '9') || *name == '.');
        colon = colon || *name == ':';
    }
    return digits || colon;
}

static void add_socket_address(struct name_asked *asked, const struct sockaddr *address)
{
    if (address && address->sa_family == AF_INET)
        name_add(asked, AF_INET, &((const struct sockaddr_in *)address)->sin_addr);
    else if (address && address->sa_family == AF_INET6)
        name_add(asked, AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr);
}

/* ------------------------------------------------------------------ getaddrinfo, getnameinfo */

static __attribute__((noinline)) void addresses_found(struct lane *lane, uint64_t start,
                                                      uint64_t end, int error, const char *node,
                                                      const struct addrinfo *hints,
                                                      struct addrinfo **result)
{
    struct name_asked asked = {.lane = lane,
                               .op = OP_GETADDRINFO,
                               .start = start,
                               .end = end,
                               .result = error,
                               .error = error};

    if (hints) {
        asked.a = (unsigned)hints->ai_flags;
        asked.b = (unsigned)hints->ai_family;
    }
    asked.name = node;
    asked.looked_up = node && !(asked.a & AI_NUMERICHOST) && (error || !is_literal(node));
    for (const struct addrinfo *i = error ? NULL : *result; i; i = i->ai_next)
        add_socket_address(&asked, i->ai_addr);
    name_done(&asked);
}

EXPORT int getaddrinfo(const char *restrict node, const char *restrict service,
                       const struct addrinfo *restrict hints, struct addrinfo **restrict result)
{
    REAL(getaddrinfo);
    INTERCEPT_LANE(real(node, service, hints, result));
    uint64_t start = ticks_now();
    int error = real(node, service, hints, result);

    addresses_found(lane, start, ticks_now(), error, node, hints, result);
    return error;
}

static __attribute__((noinline)) void name_found(struct lane *lane, uint64_t start, uint64_t end,
                                                 int error, const struct sockaddr *address,
                                                 socklen_t length, const char *host, int flags)
{
    struct name_asked asked = {.lane = lane,
                               .op = OP_GETNAMEINFO,
                               .start = start,
                               .end = end,
                               .result = error,
                               .error = error,
                               .a = (unsigned)flags};

    if (host && !(flags & NI_NUMERICHOST) && address && length >= sizeof(struct sockaddr_in)) {
        asked.looked_up = true;
        if (address->sa_family == AF_INET || length >= sizeof(struct sockaddr_in6))
            add_socket_address(&asked, address);
        asked.name = error ? NULL : host;
    }
    name_done(&asked);
}

EXPORT int getnameinfo(const struct sockaddr *restrict address, socklen_t length,
                       char *restrict host, socklen_t host_length, char *restrict service,
                       socklen_t service_length, int flags)
{
    REAL(getnameinfo);
    INTERCEPT_LANE(real(address, length, host, host_length, service, service_length, flags));
    uint64_t start = ticks_now();
    int error = real(address, length, host, host_length, service, service_length, flags);

    name_found(lane, start, ticks_now(), error, address, length, host_length ? host : NULL, flags);
    return error;
}

/* ------------------------------------------------------------------ gethostby... */

/* host: what was found, or NULL; error: h_errno of that. */
static __attribute__((noinline)) void host_found(struct lane *lane, enum op op, uint64_t start,
                                                 uint64_t end, const struct hostent *host,
                                                 int error, const char *name, const void *address,
                                                 socklen_t length, int family)
{
    struct name_asked asked = {.lane = lane,
                               .op = op,
                               .start = start,
                               .end = end,
                               .result = host ? 0 : -1,
                               .error = host ? 0 : name_h_error(error),
                               .name = name,
                               .looked_up = !host || !name || !is_literal(name),
                               .b = (unsigned)family};

    if (op == OP_GETHOSTBYADDR) {
        if ((family == AF_INET && length == 4) || (family == AF_INET6 && length == 16))
            name_add(&asked, (unsigned)family, address);
        asked.name = host ? host->h_name : NULL;
    } else if (host) {
        for (char **i = host->h_addr_list; i && *i; i++)
            name_add(&asked, (unsigned)host->h_addrtype, *i);
    }
    name_done(&asked);
}

EXPORT struct hostent *gethostbyname(const char *name)
{
    REAL(gethostbyname);
    INTERCEPT_LANE(real(name));
    uint64_t start = ticks_now();
    struct hostent *host = real(name);

    host_found(lane, OP_GETHOSTBYNAME, start, ticks_now(), host, h_errno, name, NULL, 0, AF_INET);
    return host;
}

EXPORT struct hostent *gethostbyname2(const char *name, int family)
{
    REAL(gethostbyname2);
    INTERCEPT_LANE(real(name, family));
    uint64_t start = ticks_now();
    struct hostent *host = real(name, family);

    host_found(lane, OP_GETHOSTBYNAME, start, ticks_now(), host, h_errno, name, NULL, 0, family);
    return host;
}

EXPORT struct hostent *gethostbyaddr(const void *address, socklen_t length, int family)
{
    REAL(gethostbyaddr);
    INTERCEPT_LANE(real(address, length, family));
    uint64_t start = ticks_now();
    struct hostent *host = real(address, length, family);

    host_found(lane, OP_GETHOSTBYADDR, start, ticks_now(), host, h_errno, NULL, address, length,
               family);
    return host;
}

EXPORT int gethostbyname_r(const char *restrict name, struct hostent *restrict space,
                           char *restrict buffer, size_t size, struct hostent **restrict result,
                           int *restrict error)
{
    REAL(gethostbyname_r);
    INTERCEPT_LANE(real(name, space, buffer, size, result, error));
    uint64_t start = ticks_now();
    int r = real(name, space, buffer, size, result, error);

    host_found(lane, OP_GETHOSTBYNAME, start, ticks_now(), r ? NULL : *result, *error, name, NULL,
               0, AF_INET);
    return r;
}

EXPORT int gethostbyname2_r(const char *restrict name, int family, struct hostent *restrict space,
                            char *restrict buffer, size_t size, struct hostent **restrict result,
                            int *restrict error)
{
    REAL(gethostbyname2_r);
    INTERCEPT_LANE(real(name, family, space, buffer, size, result, error));
    uint64_t start = ticks_now();
    int r = real(name, family, space, buffer, size, result, error);

    host_found(lane, OP_GETHOSTBYNAME, start, ticks_now(), r ? NULL : *result, *error, name, NULL,
               0, family);
    return r;
}

EXPORT int gethostbyaddr_r(const void *restrict address, socklen_t length, int family,
                           struct hostent *restrict space, char *restrict buffer, size_t size,
                           struct hostent **restrict result, int *restrict error)
{
    REAL(gethostbyaddr_r);
    INTERCEPT_LANE(real(address, length, family, space, buffer, size, result, error));
    uint64_t start = ticks_now();
    int r = real(address, length, family, space, buffer, size, result, error);

    host_found(lane, OP_GETHOSTBYADDR, start, ticks_now(), r ? NULL : *result, *error, NULL,
               address, length, family);
    return r;
}
