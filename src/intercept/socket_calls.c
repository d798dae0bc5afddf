/* Wrappers of the calls that make, connect and end sockets. */
#include "intercept/socket.h"

#include "intercept/flow.h"
#include "report/lifecycle.h"

#include <netinet/in.h>

int __connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length);

/* The flags that a new descriptor has from the type argument of socket, or from accept4's. */
static uint32_t flags_of(int flags)
{
    return FD_OPEN | (flags & SOCK_NONBLOCK ? FD_NONBLOCK : 0u);
}

/* ------------------------------------------------------------------ socket, socketpair */

EXPORT int socket(int domain, int type, int protocol)
{
    REAL(socket);
    INTERCEPT_LANE(real(domain, type, protocol));

    uint64_t start = ticks_now();
    int fd = real(domain, type, protocol);
    uint64_t end = ticks_now();
    enum kind kind = socket_kind(domain, type, protocol);
    fd_entry entry;

    count_call(hook_region, lane, OP_SOCKET, kind, start, end, 0, fd < 0 ? errno : 0);
    if (fd >= 0) {
        entry = fd_opened(hook_region, fd, kind, flags_of(type));
        if (socket_watched(entry))
            socket_record(lane, RECORD_SOCKET, OP_SOCKET, fd, entry, start, end, fd,
                          (unsigned)domain, (unsigned)type & 0xf, NULL);
    }
    after_any(hook_region);
    return fd;
}

EXPORT int socketpair(int domain, int type, int protocol, int fds[2])
{
    REAL(socketpair);
    INTERCEPT_LANE(real(domain, type, protocol, fds));

    uint64_t start = ticks_now();
    int result = real(domain, type, protocol, fds);
    uint64_t end = ticks_now();
    enum kind kind = socket_kind(domain, type, protocol);

    count_call(hook_region, lane, OP_SOCKETPAIR, kind, start, end, 0, result < 0 ? errno : 0);
    if (result == 0) {
        uint32_t flags = flags_of(type) | FD_CONNECTED;
        fd_entry one = fd_opened(hook_region, fds[0], kind, flags);
        fd_entry two = fd_opened(hook_region, fds[1], kind, flags);
        if (socket_watched(one))
            socket_record(lane, RECORD_PIPE, OP_SOCKETPAIR, fds[0], one, start, end, 0,
                          (unsigned)fds[1], FD_GENERATION(two), NULL);
    }
    after_any(hook_region);
    return result;
}

/* ------------------------------------------------------------------ bind, listen */

static __attribute__((noinline)) void bound(struct lane *lane, int fd, fd_entry entry,
                                            uint64_t start, uint64_t end, const void *address,
                                            uint64_t length)
{
    struct address_pair pair = {0};
    uint16_t family;

    address_copy(pair.local, &pair.local_length, address, length);
    if (pair.local_length < sizeof(family))
        return;
    __builtin_memcpy(&family, pair.local, sizeof(family));
    /* Port 0, and a unix address without a name, let the kernel choose. */
    if (((family == AF_INET || family == AF_INET6) &&
         !address_port(pair.local, pair.local_length)) ||
        (family == AF_UNIX && pair.local_length == sizeof(family)))
        address_local(fd, &pair);
    socket_record(lane, RECORD_BIND, OP_BIND, fd, entry, start, end, 0, 0, 0, &pair);
}

EXPORT int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
    REAL(bind);
    INTERCEPT_LANE(real(fd, address, length));

    fd_entry entry = entry_of(lane, fd);
    uint64_t start = ticks_now();
    int result = real(fd, address, length);
    uint64_t end = ticks_now();

    socket_count(lane, OP_BIND, fd, entry, start, end, with_errno(result), 0);
    if (result == 0 && socket_watched(entry))
        bound(lane, fd, entry, start, end, address.__sockaddr__, length);
    after_any(hook_region);
    return result;
}

static __attribute__((noinline)) void listening(struct lane *lane, int fd, fd_entry entry,
                                                uint64_t start, uint64_t end)
{
    struct address_pair pair = {0};

    address_local(fd, &pair);
    socket_record(lane, RECORD_LISTEN, OP_LISTEN, fd, entry, start, end, 0, 0, 0, &pair);
}

EXPORT int listen(int fd, int backlog)
{
    REAL(listen);
    INTERCEPT_LANE(real(fd, backlog));

    fd_entry entry = entry_of(lane, fd);
    uint64_t start = ticks_now();
    int result = real(fd, backlog);
    uint64_t end = ticks_now();

    socket_count(lane, OP_LISTEN, fd, entry, start, end, with_errno(result), 0);
    if (result == 0)
        fd_change(fd, FD_GENERATION(entry), FD_LISTENS, FD_FLOW);
    if (result == 0 && socket_watched(entry))
        listening(lane, fd, entry, start, end);
    after_any(hook_region);
    return result;
}

/* ------------------------------------------------------------------ accept */

static __attribute__((noinline)) void accepted(struct lane *lane, enum op op, int listener,
                                               fd_entry listening_entry, int fd, int flags,
                                               uint64_t start, uint64_t end, const void *address,
                                               const socklen_t *length, uint32_t room)
{
    struct address_pair pair = {0};
    fd_entry entry = fd_opened(hook_region, fd, (enum kind)FD_KIND(listening_entry),
                               flags_of(flags) | FD_SERVER | FD_CONNECTED);

    if (!socket_watched(entry))
        return;
    if (address && length && address_whole(address, *length, room))
        address_copy(pair.peer, &pair.peer_length, address, *length);
    else
        address_peer(fd, &pair);
    address_local(fd, &pair);
    socket_record(lane, RECORD_ACCEPT, op, fd, entry, start, end, fd, (unsigned)listener,
                  FD_GENERATION(listening_entry), &pair);
}

/*
 * A call that found nothing to accept is counted and leaves no record. What accept4 was not told is
 * not inherited: on Linux a new socket is blocking, whatever the listening one is.
 */
#define ACCEPT(op, flags, call)                                                                  \
    do {                                                                                         \
        struct lane *lane = hook_lane();                                                         \
        if (unlikely(!lane))                                                                     \
            return call;                                                                         \
        before_blocking();                                                                       \
        fd_entry entry = entry_of(lane, fd);                                                     \
        uint32_t room = address_room(length);                                                    \
        uint64_t start = ticks_now();                                                            \
        int made = call;                                                                         \
        uint64_t end = ticks_now();                                                              \
        socket_count(lane, op, fd, entry, start, end, made < 0 ? -errno : 0, 0);                 \
        if (made >= 0)                                                                           \
            accepted(lane, op, fd, entry, made, flags, start, end, address.__sockaddr__, length, \
                     room);                                                                      \
        after_any(hook_region);                                                                  \
        return made;                                                                             \
    } while (0)

EXPORT int accept(int fd, __SOCKADDR_ARG address, socklen_t *restrict length)
{
    REAL(accept);
    ACCEPT(OP_ACCEPT, 0, real(fd, address, length));
}

EXPORT int accept4(int fd, __SOCKADDR_ARG address, socklen_t *restrict length, int flags)
{
    REAL(accept4);
    ACCEPT(OP_ACCEPT4, flags, real(fd, address, length, flags));
}

/* ------------------------------------------------------------------ connect */

/* Whether the kernel had read the address before it answered so. */
static bool address_was_read(int64_t result)
{
    switch (result) {
    case 0:
    case -EINPROGRESS:
    case -EINTR:
    case -ECONNREFUSED:
    case -ECONNRESET:
    case -ECONNABORTED:
    case -ETIMEDOUT:
    case -ENETUNREACH:
    case -EHOSTUNREACH:
    case -EADDRNOTAVAIL:
    case -EADDRINUSE:
    case -EAFNOSUPPORT:
    case -EPROTOTYPE:
    case -ENOENT:
    case -EAGAIN:
        return true;
    case -EACCES:
    case -EPERM:
        return !hook_region->sandboxed; /* a filter refuses without looking */
    default:
        return false;
    }
}

void socket_connected(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                      uint64_t end, int64_t result, const void *address, uint64_t length)
{
    struct address_pair pair = {0};
    uint32_t found = FD_CONNECTED | FD_CONNECTING | FD_DNS | FD_JOURNAL;
    unsigned kind = FD_KIND(entry);
    uint16_t family = AF_UNSPEC;

    if (address_was_read(result))
        address_copy(pair.peer, &pair.peer_length, address, length);
    if (pair.peer_length >= sizeof(family))
        __builtin_memcpy(&family, pair.peer, sizeof(family));
    if (result == 0 && family == AF_UNSPEC) { /* takes a datagram socket's peer away */
        fd_change(fd, FD_GENERATION(entry), 0, found | FD_PEER_SAID | FD_PEER_HEARD);
        return;
    }
    /* A connect that a signal interrupted goes on, exactly as a non-blocking one. */
    if (result == -EINTR)
        result = -EINPROGRESS;
    if (result == 0 || result == -EINPROGRESS) {
        uint32_t now = address_flags((enum kind)kind, pair.peer, pair.peer_length) |
                       (result ? FD_CONNECTING : FD_CONNECTED) | FD_DIALED;
        fd_change(fd, FD_GENERATION(entry), now, found & ~now);
        if (!result && (kind == KIND_TCP || kind == KIND_UDP))
            address_local(fd, &pair);
        after_flow_connect(lane, fd, entry, start, end);
    }
    if (socket_watched(entry))
        socket_record(lane, RECORD_CONNECT, op, fd, entry, start, end, result, 0, 0, &pair);
}

static __attribute__((noinline)) void connect_returned(struct lane *lane, int fd, fd_entry entry,
                                                       uint64_t start, uint64_t end, int64_t result,
                                                       const void *address, uint64_t length)
{
    socket_count(lane, OP_CONNECT, fd, entry, start, end, result, 0);
    if (entry & FD_CONNECTING) /* asks how the connect under way went */
        socket_connect_outcome(lane, OP_CONNECT, fd, entry, start, end,
                               result == -EISCONN ? 0 : result);
    else if (result != -EISCONN && result != -EALREADY && result != -EBADF && result != -ENOTSOCK)
        socket_connected(lane, OP_CONNECT, fd, entry, start, end, result, address, length);
    after_any(hook_region);
}

#define CONNECT(name)                                                                           \
    EXPORT int name(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)                     \
    {                                                                                           \
        REAL(name);                                                                             \
        struct lane *lane = hook_lane();                                                        \
        if (unlikely(!lane))                                                                    \
            return real(fd, address, length);                                                   \
        fd_entry entry = entry_of(lane, fd);                                                    \
        uint64_t start = ticks_now();                                                           \
        int result = real(fd, address, length);                                                 \
        uint64_t end = ticks_now();                                                             \
        connect_returned(lane, fd, entry, start, end, with_errno(result), address.__sockaddr__, \
                         length);                                                               \
        return result;                                                                          \
    }

CONNECT(connect)
CONNECT(__connect)

/* ------------------------------------------------------------------ shutdown, getsockopt */

EXPORT int shutdown(int fd, int how)
{
    REAL(shutdown);
    INTERCEPT_LANE(real(fd, how));

    fd_entry entry = entry_of(lane, fd);
    uint64_t start = ticks_now();
    int result = real(fd, how);
    uint64_t end = ticks_now();

    socket_count(lane, OP_SHUTDOWN, fd, entry, start, end, with_errno(result), 0);
    if (result == 0 && how != SHUT_RD)
        after_flow_end(lane, fd, entry, start, end, 'w');
    if (result == 0 && socket_watched(entry))
        socket_record(lane, RECORD_SHUTDOWN, OP_SHUTDOWN, fd, entry, start, end, 0, (unsigned)how,
                      0, NULL);
    after_any(hook_region);
    return result;
}

EXPORT int getsockopt(int fd, int level, int option, void *restrict value,
                      socklen_t *restrict length)
{
    REAL(getsockopt);
    INTERCEPT_LANE(real(fd, level, option, value, length));

    fd_entry entry = entry_of(lane, fd);
    uint64_t start = ticks_now();
    int result = real(fd, level, option, value, length);
    uint64_t end = ticks_now();

    socket_count(lane, OP_GETSOCKOPT, fd, entry, start, end, with_errno(result), 0);
    if (unlikely(entry & FD_CONNECTING) && result == 0 && level == SOL_SOCKET &&
        option == SO_ERROR && *length == sizeof(int)) {
        int error;
        __builtin_memcpy(&error, value, sizeof(error));
        socket_connect_outcome(lane, OP_GETSOCKOPT, fd, entry, start, end, -(int64_t)error);
    }
    after_any(hook_region);
    return result;
}
