/* Wrappers of the calls that move bytes through sockets: the send and recv families. */
#include "intercept/socket.h"

#include "intercept/flow.h"
#include "intercept/inject.h"

#include <netinet/in.h>
#include <sys/uio.h>

ssize_t __send(int fd, const void *buffer, size_t size, int flags);
ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *restrict buffer, size_t size, size_t room, int flags,
                       __SOCKADDR_ARG address, socklen_t *restrict length);

/* What a wrapper knows of its call, handed to the slow parts as one. */
struct moved {
    struct lane *lane;
    enum op op;
    int fd;
    fd_entry entry;
    uint64_t start, end;
    int64_t result;
    int flags;
};

/* Before the real call; the time last, after a descriptor that is new to us was asked about. */
static inline __attribute__((always_inline)) struct moved moving(struct lane *lane, enum op op,
                                                                 int fd, int flags)
{
    struct moved m = {.lane = lane, .op = op, .fd = fd, .flags = flags};

    m.entry = entry_of(lane, fd);
    m.start = ticks_now();
    return m;
}

/* These flags make a receive something else than taking bytes from the peer. */
enum { NOT_TAKEN = MSG_PEEK | MSG_ERRQUEUE };

/* A stream's bytes, for its flow. buffer and vector NULL: they are not to be seen. */
static void flowed(const struct moved *m, int64_t bytes, const void *buffer,
                   const struct iovec *vector, uint64_t parts, int direction)
{
    if (unlikely((m->entry & (FD_FLOW | FD_SHOWN)) == FD_FLOW) && !(m->flags & MSG_OOB))
        after_flow(m->lane, m->fd, m->entry, m->start, m->end, bytes, buffer, vector, parts,
                   direction);
}

static inline bool is_stream(fd_entry entry)
{
    return FD_KIND(entry) == KIND_TCP || FD_KIND(entry) == KIND_UNIX_STREAM;
}

/* ------------------------------------------------------------------ sending */

static inline void count_sent(const struct moved *m)
{
    socket_count(m->lane, m->op, m->fd, m->entry, m->start, m->end, m->result, 'w');
    if (unlikely(m->entry & FD_CONNECTING))
        socket_connect_outcome(m->lane, m->op, m->fd, m->entry, m->start, m->end, m->result);
    if (unlikely(m->result == -ECONNRESET) && is_stream(m->entry))
        socket_ended(m->lane, m->op, m->fd, m->entry, m->start, m->end, m->result);
}

/* The first data and the connect in one call (TCP fast open); the outcome is known later. */
static __attribute__((noinline)) void sent_fast_open(const struct moved *m, const void *address,
                                                     uint64_t length)
{
    if (FD_KIND(m->entry) == KIND_TCP && (m->result >= 0 || m->result == -EINPROGRESS) &&
        !(m->entry & (FD_CONNECTED | FD_CONNECTING)))
        socket_connected(m->lane, m->op, m->fd, m->entry, m->start, m->end, -EINPROGRESS, address,
                         length);
}

/* A request must be known before another thread reads its answer: flow.h. */
static inline void showing(struct moved *m, const void *buffer, size_t size)
{
    if (may_be_overtaken(m->entry) && !(m->flags & MSG_OOB))
        m->entry = before_flow(m->lane, m->fd, m->entry, m->start, buffer, size);
}

static inline void sent(struct moved *m, const void *buffer, size_t size, const void *address,
                        uint64_t length)
{
    fd_entry entry = m->entry;

    if (unlikely(entry & FD_SHOWN))
        after_shown(m->fd, entry, m->result, size, NULL, 0);
    count_sent(m);
    if (unlikely(address && (m->flags & MSG_FASTOPEN)))
        sent_fast_open(m, address, length);
    flowed(m, m->result, buffer, NULL, 0, 'w');
    if (m->result >= 0 && address)
        entry |= socket_addressed(m->lane, m->op, m->fd, entry, m->start, m->end, m->result, 'w',
                                  address, length);
    if (unlikely(entry & (FD_DNS | FD_JOURNAL)) && m->result > 0) {
        struct piece piece = {buffer, size < UINT32_MAX ? (uint32_t)size : UINT32_MAX};
        socket_data(m->lane, m->op, m->fd, entry, m->start, m->end, m->result, &piece, 1, 'w');
    }
    after_any(hook_region);
}

#define SENDING(m) (&(struct sending){(m).lane, (m).fd, (m).entry, (m).start})

#define SEND(name)                                                                        \
    EXPORT ssize_t name(int fd, const void *buffer, size_t size, int flags)               \
    {                                                                                     \
        REAL(name);                                                                       \
        struct lane *lane = hook_lane();                                                  \
        if (unlikely(!lane))                                                              \
            return real(fd, buffer, size, flags);                                         \
        struct moved m = moving(lane, OP_SEND, fd, flags);                                \
        showing(&m, buffer, size);                                                        \
        ssize_t n = injects(m.entry) ? inject_send(SENDING(m), real, buffer, size, flags) \
                                     : real(fd, buffer, size, flags);                     \
        m.end = ticks_now();                                                              \
        m.result = with_errno(n);                                                         \
        sent(&m, buffer, size, NULL, 0);                                                  \
        return n;                                                                         \
    }

SEND(send)
SEND(__send)

/* sendto without an address is send. */
static __attribute__((noinline)) ssize_t send_to(const struct moved *m,
                                                 __typeof__(&sendto) real_sendto,
                                                 const void *buffer, size_t size,
                                                 __CONST_SOCKADDR_ARG address, socklen_t length)
{
    REAL(send)
    if (!address.__sockaddr__ && !length)
        return inject_send(SENDING(*m), real, buffer, size, m->flags);
    if (!inject_settle(SENDING(*m), m->flags))
        return -1;
    return real_sendto(m->fd, buffer, size, m->flags, address, length);
}

EXPORT ssize_t sendto(int fd, const void *buffer, size_t size, int flags,
                      __CONST_SOCKADDR_ARG address, socklen_t length)
{
    REAL(sendto);
    INTERCEPT_LANE(real(fd, buffer, size, flags, address, length));

    struct moved m = moving(lane, OP_SENDTO, fd, flags);
    showing(&m, buffer, size);
    ssize_t n = injects(m.entry) ? send_to(&m, real, buffer, size, address, length)
                                 : real(fd, buffer, size, flags, address, length);
    m.end = ticks_now();
    m.result = with_errno(n);
    sent(&m, buffer, size, address.__sockaddr__, length);
    return n;
}

/* One message of sendmsg or sendmmsg, which the kernel has accepted: `bytes` of it. */
static void sent_message(const struct moved *m, const struct msghdr *message, int64_t bytes)
{
    fd_entry entry = m->entry;

    if (unlikely(message->msg_name != NULL)) {
        if (m->flags & MSG_FASTOPEN)
            sent_fast_open(m, message->msg_name, message->msg_namelen);
        entry |= socket_addressed(m->lane, m->op, m->fd, entry, m->start, m->end, bytes, 'w',
                                  message->msg_name, message->msg_namelen);
    }
    flowed(m, bytes, NULL, message->msg_iov, message->msg_iovlen, 'w');
    if (unlikely(entry & (FD_DNS | FD_JOURNAL)) && bytes > 0)
        socket_data_vector(m->lane, m->op, m->fd, entry, m->start, m->end, bytes, message->msg_iov,
                           message->msg_iovlen, 'w');
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg);
    INTERCEPT_LANE(real(fd, message, flags));

    struct moved m = moving(lane, OP_SENDMSG, fd, flags);
    if (may_be_overtaken(m.entry) && !(flags & MSG_OOB))
        m.entry = before_flow_message(lane, fd, m.entry, m.start, message);
    ssize_t n = injects(m.entry) ? inject_sendmsg(SENDING(m), real, message, flags)
                                 : real(fd, message, flags);
    m.end = ticks_now();
    m.result = with_errno(n);
    if (unlikely(m.entry & FD_SHOWN))
        after_shown(fd, m.entry, n, 0, message->msg_iov, message->msg_iovlen);
    count_sent(&m);
    if (n >= 0 || m.result == -EINPROGRESS) /* the latter with MSG_FASTOPEN alone */
        sent_message(&m, message, m.result);
    after_any(hook_region);
    return n;
}

/* Counted as one call; its bytes are those of all messages that went. */
EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    REAL(sendmmsg);
    INTERCEPT_LANE(real(fd, messages, count, flags));

    struct moved m = moving(lane, OP_SENDMMSG, fd, flags);
    int n = injects(m.entry) && !inject_settle(SENDING(m), flags)
                ? -1
                : real(fd, messages, count, flags);
    m.end = ticks_now();
    m.result = n < 0 ? -errno : 0;
    for (int i = 0; i < n; i++)
        m.result += messages[i].msg_len;
    count_sent(&m);
    for (int i = 0; i < n; i++)
        sent_message(&m, &messages[i].msg_hdr, messages[i].msg_len);
    after_any(hook_region);
    return n;
}

/* ------------------------------------------------------------------ receiving */

/* `wanted`: whether the call asked for at least one byte, without which 0 says nothing. */
static inline void count_received(const struct moved *m, bool wanted)
{
    bool taken = !(m->flags & NOT_TAKEN);

    if (likely(taken))
        socket_count(m->lane, m->op, m->fd, m->entry, m->start, m->end, m->result, 'r');
    else /* a look: a call, but no bytes */
        socket_count(m->lane, m->op, m->fd, m->entry, m->start, m->end,
                     m->result < 0 ? m->result : 0, 0);
    if (unlikely(m->entry & FD_CONNECTING))
        socket_connect_outcome(m->lane, m->op, m->fd, m->entry, m->start, m->end, m->result);
    if (unlikely(m->result == 0 || m->result == -ECONNRESET) && is_stream(m->entry) && taken &&
        !(m->flags & MSG_OOB) && (wanted || m->result))
        socket_ended(m->lane, m->op, m->fd, m->entry, m->start, m->end, m->result);
}

/* A datagram longer than the buffer was cut, and MSG_TRUNC gives the length that it had. */
static void received_bytes(const struct moved *m, fd_entry entry, const void *buffer, size_t size)
{
    struct piece piece = {buffer, size < UINT32_MAX ? (uint32_t)size : UINT32_MAX};

    if (m->result > 0 && (uint64_t)m->result <= size && !(m->flags & NOT_TAKEN) &&
        !(FD_KIND(entry) == KIND_TCP && (m->flags & MSG_TRUNC)))
        socket_data(m->lane, m->op, m->fd, entry, m->start, m->end, m->result, &piece, 1, 'r');
}

/* What MSG_TRUNC threw away of a stream was in no buffer. */
static void received_flow(const struct moved *m, const void *buffer)
{
    if (!(m->flags & NOT_TAKEN))
        flowed(m, m->result, m->flags & MSG_TRUNC ? NULL : buffer, NULL, 0, 'r');
}

static inline void received(struct moved *m, const void *buffer, size_t size)
{
    count_received(m, size > 0);
    received_flow(m, buffer);
    if (unlikely(m->entry & FD_DNS))
        received_bytes(m, m->entry, buffer, size);
    after_any(hook_region);
}

EXPORT ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
    REAL(recv);
    INTERCEPT_LANE(real(fd, buffer, size, flags));

    struct moved m = moving(lane, OP_RECV, fd, flags);
    ssize_t n = real(fd, buffer, size, flags);
    m.end = ticks_now();
    m.result = with_errno(n);
    received(&m, buffer, size);
    return n;
}

EXPORT ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags)
{
    REAL(__recv_chk);
    INTERCEPT_LANE(real(fd, buffer, size, room, flags));

    struct moved m = moving(lane, OP_RECV, fd, flags);
    ssize_t n = real(fd, buffer, size, room, flags);
    m.end = ticks_now();
    m.result = with_errno(n);
    received(&m, buffer, size);
    return n;
}

static void received_from(struct moved *m, const void *buffer, size_t size, const void *address,
                          const socklen_t *length, uint32_t room)
{
    fd_entry entry = m->entry;

    count_received(m, size > 0);
    if (m->result >= 0 && address && length && *length && address_whole(address, *length, room))
        entry |= socket_addressed(m->lane, m->op, m->fd, entry, m->start, m->end, m->result, 'r',
                                  address, *length);
    received_flow(m, buffer);
    if (unlikely(entry & FD_DNS))
        received_bytes(m, entry, buffer, size);
    after_any(hook_region);
}

EXPORT ssize_t recvfrom(int fd, void *restrict buffer, size_t size, int flags,
                        __SOCKADDR_ARG address, socklen_t *restrict length)
{
    REAL(recvfrom);
    INTERCEPT_LANE(real(fd, buffer, size, flags, address, length));

    uint32_t room = address_room(length);
    struct moved m = moving(lane, OP_RECVFROM, fd, flags);
    ssize_t n = real(fd, buffer, size, flags, address, length);
    m.end = ticks_now();
    m.result = with_errno(n);
    received_from(&m, buffer, size, address.__sockaddr__, length, room);
    return n;
}

EXPORT ssize_t __recvfrom_chk(int fd, void *restrict buffer, size_t size, size_t room, int flags,
                              __SOCKADDR_ARG address, socklen_t *restrict length)
{
    REAL(__recvfrom_chk);
    INTERCEPT_LANE(real(fd, buffer, size, room, flags, address, length));

    uint32_t address_size = address_room(length);
    struct moved m = moving(lane, OP_RECVFROM, fd, flags);
    ssize_t n = real(fd, buffer, size, room, flags, address, length);
    m.end = ticks_now();
    m.result = with_errno(n);
    received_from(&m, buffer, size, address.__sockaddr__, length, address_size);
    return n;
}

/*
 * Descriptors that came with a message (SCM_RIGHTS; also with MSG_PEEK, which installs them too).
 * Whatever the table says of these numbers is of a life that ended unseen, so the kernel is asked.
 */
static __attribute__((noinline)) void received_descriptors(struct lane *lane,
                                                           const struct msghdr *message)
{
    const uint8_t *control = message->msg_control;
    uint64_t left = message->msg_controllen;

    while (left >= sizeof(struct cmsghdr)) {
        struct cmsghdr head;
        __builtin_memcpy(&head, control, sizeof(head));
        if (head.cmsg_len < CMSG_LEN(0) || head.cmsg_len > left)
            return;
        if (head.cmsg_level == SOL_SOCKET && head.cmsg_type == SCM_RIGHTS) {
            for (uint64_t at = CMSG_LEN(0); at + sizeof(int) <= head.cmsg_len; at += sizeof(int)) {
                int fd;
                __builtin_memcpy(&fd, control + at, sizeof(fd));
                if (hook_region->sandboxed)
                    fd_opened(hook_region, fd, KIND_UNKNOWN, FD_OPEN);
                else
                    hook_fd_unknown(lane, fd);
            }
        }
        uint64_t whole = CMSG_ALIGN(head.cmsg_len);
        if (whole >= left)
            return;
        control += whole;
        left -= whole;
    }
}

/* Whether a message had room for bytes. */
static bool message_wants(const struct msghdr *message)
{
    for (size_t i = 0; i < message->msg_iovlen; i++)
        if (message->msg_iov[i].iov_len)
            return true;
    return false;
}

/* How much room a message has for an address: as address_room. */
static inline __attribute__((always_inline)) uint32_t message_room(const struct msghdr *message)
{
    uintptr_t above = (uintptr_t)message - (uintptr_t)__builtin_frame_address(0);
    return above < 65536 ? message->msg_namelen : ROOM_UNKNOWN;
}

/* One message of recvmsg or recvmmsg that came in: `bytes` of it. */
static void received_message(const struct moved *m, const struct msghdr *message, int64_t bytes,
                             uint32_t room)
{
    fd_entry entry = m->entry;

    if (unlikely(message->msg_control && message->msg_controllen >= sizeof(struct cmsghdr)))
        received_descriptors(m->lane, message);
    if (m->flags & NOT_TAKEN)
        return;
    flowed(m, bytes, NULL, m->flags & MSG_TRUNC ? NULL : message->msg_iov, message->msg_iovlen,
           'r');
    if (message->msg_name && message->msg_namelen &&
        address_whole(message->msg_name, message->msg_namelen, room))
        entry |= socket_addressed(m->lane, m->op, m->fd, entry, m->start, m->end, bytes, 'r',
                                  message->msg_name, message->msg_namelen);
    if (unlikely(entry & FD_DNS) && bytes > 0 && !(message->msg_flags & MSG_TRUNC))
        socket_data_vector(m->lane, m->op, m->fd, entry, m->start, m->end, bytes, message->msg_iov,
                           message->msg_iovlen, 'r');
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    REAL(recvmsg);
    INTERCEPT_LANE(real(fd, message, flags));

    uint32_t room = message_room(message);
    struct moved m = moving(lane, OP_RECVMSG, fd, flags);
    ssize_t n = real(fd, message, flags);
    m.end = ticks_now();
    m.result = with_errno(n);
    count_received(&m, n == 0 && message_wants(message));
    if (n >= 0)
        received_message(&m, message, n, room);
    after_any(hook_region);
    return n;
}

/* Counted as one call; its bytes are those of all messages that came. */
EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout)
{
    REAL(recvmmsg);
    INTERCEPT_LANE(real(fd, messages, count, flags, timeout));

    struct moved m = moving(lane, OP_RECVMMSG, fd, flags);
    int n = real(fd, messages, count, flags, timeout);
    m.end = ticks_now();
    m.result = n < 0 ? -errno : 0;
    for (int i = 0; i < n; i++)
        m.result += messages[i].msg_len;
    count_received(&m, n > 0 && m.result == 0 && message_wants(&messages[0].msg_hdr));
    for (int i = 0; i < n; i++)
        received_message(&m, &messages[i].msg_hdr, messages[i].msg_len, ROOM_UNKNOWN);
    after_any(hook_region);
    return n;
}
