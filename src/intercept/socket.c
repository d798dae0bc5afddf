/*
 * What the socket wrappers share: addresses, the outcome of a connect, and the messages whose bytes
 * are kept (DNS, the journal).
 *
 * Addresses come from the caller's memory only after the kernel has accepted or written them. What
 * the caller did not pass is asked of the kernel by one getsockname or getpeername: at connect,
 * accept, listen, a bind to port 0, and once where an outcome is found; never for each message, and
 * never after a seccomp filter was set, whose answer to an unexpected call may be death.
 */
#include "intercept/socket.h"

#include "intercept/flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "os/sys.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

enum { DNS_PORT = 53, DNS_HEADER = 12, PIECES_MAX = 8, JOURNAL_PIECES_MAX = 64 };

/* ------------------------------------------------------------------ addresses */

enum kind socket_kind(int domain, int type, int protocol)
{
    int how = type & 0xf;

    if (domain == AF_UNIX)
        return how == SOCK_DGRAM ? KIND_UNIX_DGRAM : KIND_UNIX_STREAM;
    if (domain != AF_INET && domain != AF_INET6)
        return KIND_SOCKET;
    if (how == SOCK_STREAM &&
        (protocol == 0 || protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP))
        return KIND_TCP;
    if (how == SOCK_DGRAM &&
        (protocol == 0 || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE))
        return KIND_UDP;
    return KIND_SOCKET;
}

void address_copy(uint8_t *to, uint16_t *to_length, const void *from, uint64_t length)
{
    const volatile uint8_t *bytes = from;

    *to_length = 0;
    if (!from || length < 2)
        return;
    if (length > ADDRESS_MAX)
        length = ADDRESS_MAX;
    for (uint64_t i = 0; i < length; i++)
        to[i] = bytes[i];
    *to_length = (uint16_t)length;
}

/* Asks the kernel for one end's address; 0 where it has none, or where nothing may be asked. */
static uint16_t address_ask(long call, int fd, uint8_t *to)
{
    uint32_t length = ADDRESS_MAX;

    if (hook_region->sandboxed || sys_call6(call, fd, (long)to, (long)&length, 0, 0, 0) != 0 ||
        length < 2)
        return 0;
    return (uint16_t)(length < ADDRESS_MAX ? length : ADDRESS_MAX);
}

void address_local(int fd, struct address_pair *pair)
{
    pair->local_length = address_ask(SYS_getsockname, fd, pair->local);
}

void address_peer(int fd, struct address_pair *pair)
{
    pair->peer_length = address_ask(SYS_getpeername, fd, pair->peer);
}

static unsigned address_family(const uint8_t *address, unsigned length)
{
    uint16_t family = AF_UNSPEC;

    if (length >= sizeof(family))
        __builtin_memcpy(&family, address, sizeof(family));
    return family;
}

unsigned address_port(const uint8_t *address, unsigned length)
{
    unsigned family = address_family(address, length);

    /* sin_port and sin6_port stand in the same place, in network order. */
    if ((family == AF_INET && length >= sizeof(struct sockaddr_in)) ||
        (family == AF_INET6 && length >= 24))
        return (unsigned)address[2] << 8 | address[3];
    return 0;
}

static bool is_path(const uint8_t *address, unsigned length, const char *path)
{
    for (unsigned i = 2;; i++, path++) {
        uint8_t at = i < length ? address[i] : 0;
        if (at != (uint8_t)*path)
            return false;
        if (!at)
            return true;
    }
}

uint32_t address_flags(enum kind kind, const uint8_t *address, unsigned length)
{
    if (kind == KIND_UDP || kind == KIND_TCP)
        return address_port(address, length) == DNS_PORT ? FD_DNS : 0;
    if (kind != KIND_UNIX_DGRAM || address_family(address, length) != AF_UNIX)
        return 0;
    if (is_path(address, length, "/run/systemd/journal/socket") ||
        is_path(address, length, "/run/systemd/journal/dev-log") ||
        is_path(address, length, "/dev/log"))
        return FD_JOURNAL;
    return 0;
}

/* ------------------------------------------------------------------ records */

void socket_record(struct lane *lane, enum record_type type, enum op op, int fd, fd_entry entry,
                   uint64_t start, uint64_t end, int64_t result, uint64_t a, uint64_t b,
                   const struct address_pair *pair)
{
    struct record record = {
        .type = (uint16_t)type,
        .op = (uint8_t)op,
        .kind = (uint8_t)FD_KIND(entry),
        .start = start,
        .end = end,
        .fd = fd,
        .generation = FD_GENERATION(entry),
        .result = result,
        .a = a,
        .b = b,
        .flags =
            (entry & FD_NONBLOCK ? RECORD_NONBLOCK : 0u) | (entry & FD_SERVER ? RECORD_SERVER : 0u),
    };
    struct piece piece = {pair, sizeof(*pair)};

    record_write(hook_region, lane, &record, &piece, pair ? 1 : 0);
}

/*
 * Sets and clears flags of this life of fd if `unless` is not set yet and `only` is (0: no matter).
 * True for exactly one of several threads that find the same thing at once.
 */
static bool flags_claim(int fd, fd_entry entry, uint32_t only, uint32_t unless, uint32_t set,
                        uint32_t clear)
{
    uint64_t was = fd_get(fd);

    do {
        if (!was || FD_GENERATION(was) != FD_GENERATION(entry) || (was & only) != only ||
            (was & unless))
            return false;
    } while (!__atomic_compare_exchange_n(&fd_table[fd], &was, (was | set) & ~(uint64_t)clear,
                                          false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return true;
}

void socket_ended(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                  uint64_t end, int64_t result)
{
    if (!flags_claim(fd, entry, 0, FD_ENDED, FD_ENDED, 0))
        return;
    after_flow_end(lane, fd, entry, start, end, 'r');
    if (socket_watched(entry))
        socket_record(lane, RECORD_END, op, fd, entry, start, end, result, 0, 0, NULL);
}

/* ------------------------------------------------------------------ the outcome of a connect */

/* Errors of I/O that say that the connection was never made. */
static bool says_refused(int64_t result)
{
    switch (result) {
    case -ECONNREFUSED:
    case -ETIMEDOUT:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
    case -EHOSTDOWN:
    case -ENETDOWN:
    case -ECONNABORTED:
    case -EADDRNOTAVAIL:
    case -EACCES:
    case -EPERM:
    case -ENOPROTOOPT:
    case -EPROTO:
        return true;
    default:
        return false;
    }
}

__attribute__((noinline)) void socket_connect_outcome(struct lane *lane, enum op op, int fd,
                                                      fd_entry entry, uint64_t start, uint64_t end,
                                                      int64_t result)
{
    struct address_pair pair = {0};
    bool refused =
        op == OP_GETSOCKOPT || says_refused(result) || (op == OP_CONNECT && result == -ECONNRESET);

    if (result < 0 && !refused) {
        /* A reset met by a read or a write came after the connection was made. */
        if (result != -ECONNRESET)
            return;
        result = 1;
    }
    if (result >= 0) {
        /*
         * A positive count proves it, and a connect that says so. SO_ERROR is 0 as well while the
         * connect is still under way, and so is a read of nothing: the peer's address settles it.
         */
        address_peer(fd, &pair);
        if (result == 0 && op != OP_CONNECT && !pair.peer_length &&
            !(op == OP_GETSOCKOPT && hook_region->sandboxed))
            return;
        result = 0;
        address_local(fd, &pair);
    }
    if (!flags_claim(fd, entry, FD_CONNECTING, 0, result ? 0 : FD_CONNECTED, FD_CONNECTING))
        return;
    if (op == OP_GETSOCKOPT)
        turn_read_none(hook_region, lane, fd, 0);
    if (socket_watched(entry))
        socket_record(lane, RECORD_CONNECTED, op, fd, entry, start, end, result, 0, 0, &pair);
}

/* ------------------------------------------------------------------ bytes that are kept */

unsigned pieces_of(const struct iovec *vector, uint64_t parts, struct piece *pieces, unsigned max)
{
    unsigned count = 0;

    for (uint64_t i = 0; i < parts && count < max; i++) {
        if (!vector[i].iov_len)
            continue;
        pieces[count].data = vector[i].iov_base;
        pieces[count++].length =
            vector[i].iov_len < UINT32_MAX ? (uint32_t)vector[i].iov_len : UINT32_MAX;
    }
    return count;
}

/* The part of `pieces` from `offset`, `length` bytes long. Returns how many pieces; 0: not whole.
 */
static unsigned pieces_slice(const struct piece *pieces, unsigned count, uint64_t offset,
                             uint64_t length, struct piece *out, unsigned max)
{
    unsigned made = 0;

    for (unsigned i = 0; i < count && length; i++) {
        if (offset >= pieces[i].length) {
            offset -= pieces[i].length;
            continue;
        }
        uint64_t here = pieces[i].length - offset;
        if (made == max)
            return 0;
        if (here > length)
            here = length;
        out[made].data = (const uint8_t *)pieces[i].data + offset;
        out[made++].length = (uint32_t)here;
        length -= here;
        offset = 0;
    }
    return length ? 0 : made;
}

/* Two bytes at `offset`, in network order; what is beyond the pieces is 0. */
static unsigned pieces_u16(const struct piece *pieces, unsigned count, uint64_t offset)
{
    unsigned value = 0;

    for (unsigned byte = 0; byte < 2; byte++) {
        struct piece at;
        if (!pieces_slice(pieces, count, offset + byte, 1, &at, 1))
            return 0;
        value = value << 8 | *(const uint8_t *)at.data;
    }
    return value;
}

static void dns_record(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                       uint64_t end, const struct piece *pieces, unsigned count, uint64_t offset,
                       uint64_t length, int direction)
{
    struct piece message[PIECES_MAX];
    unsigned parts = pieces_slice(pieces, count, offset, length, message, PIECES_MAX);
    struct record record = {
        .type = RECORD_DNS,
        .op = (uint8_t)op,
        .kind = (uint8_t)FD_KIND(entry),
        .start = start,
        .end = end,
        .fd = fd,
        .generation = FD_GENERATION(entry),
        .result = (int64_t)length,
        .a = direction == 'r',
    };

    if (length < DNS_HEADER || length > RECORD_PAYLOAD_MAX || !parts)
        return;
    record_write(hook_region, lane, &record, message, parts);
}

/*
 * Over TCP each message stands behind its length. Whole ones are recorded; a message whose length
 * went by in a call of its own is recognised by its header; what is in parts is left out.
 */
static void dns_stream(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                       uint64_t end, uint64_t moved, const struct piece *pieces, unsigned count,
                       int direction)
{
    uint64_t offset = 0;

    if (pieces_u16(pieces, count, 0) + 2u > moved || pieces_u16(pieces, count, 0) < DNS_HEADER) {
        /* One question, and the three bits that are reserved or rarely set are 0. */
        if (moved > DNS_HEADER && pieces_u16(pieces, count, 4) == 1 &&
            !(pieces_u16(pieces, count, 2) & 0x0040))
            dns_record(lane, op, fd, entry, start, end, pieces, count, 0, moved, direction);
        return;
    }
    while (moved - offset > 2 + DNS_HEADER) {
        uint64_t length = pieces_u16(pieces, count, offset);
        if (length < DNS_HEADER || length > moved - offset - 2)
            return;
        dns_record(lane, op, fd, entry, start, end, pieces, count, offset + 2, length, direction);
        offset += 2 + length;
    }
}

/* Takes `bytes` of what may be copied of logs until the reporter refills it. */
static bool log_budget_take(uint64_t bytes)
{
    uint64_t left = __atomic_load_n(&hook_region->log_budget, __ATOMIC_RELAXED);

    do {
        if (left < bytes) {
            drop_count(hook_region, DROP_LOG_RATE, 1);
            return false;
        }
    } while (!__atomic_compare_exchange_n(&hook_region->log_budget, &left, left - bytes, false,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return true;
}

static void journal_record(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                           uint64_t end, uint64_t moved, const struct piece *pieces, unsigned count)
{
    struct record record = {
        .type = RECORD_SYSLOG,
        .op = (uint8_t)op,
        .kind = (uint8_t)FD_KIND(entry),
        .start = start,
        .end = end,
        .fd = fd,
        .generation = FD_GENERATION(entry),
        .result = (int64_t)moved,
        .a = moved,
        .flags = RECORD_RAW,
    };
    uint64_t here = 0;

    for (unsigned i = 0; i < count; i++)
        here += pieces[i].length;
    if (here < moved || moved > RECORD_PAYLOAD_MAX)
        record.flags |= RECORD_TRUNCATED;
    if (log_budget_take(moved < RECORD_PAYLOAD_MAX ? moved : RECORD_PAYLOAD_MAX))
        record_write(hook_region, lane, &record, pieces, count);
}

void socket_data(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                 uint64_t end, int64_t result, const struct piece *pieces, unsigned count,
                 int direction)
{
    uint64_t moved = (uint64_t)result;

    if (result <= 0 || (entry & FD_IGNORED))
        return;
    if ((entry & FD_DNS) && (hook_region->watch & WATCH_DNS_WIRE)) {
        if (FD_KIND(entry) == KIND_TCP)
            dns_stream(lane, op, fd, entry, start, end, moved, pieces, count, direction);
        else
            dns_record(lane, op, fd, entry, start, end, pieces, count, 0, moved, direction);
    }
    if ((entry & FD_JOURNAL) && direction == 'w' && (hook_region->watch & WATCH_SYSLOG))
        journal_record(lane, op, fd, entry, start, end, moved, pieces, count);
}

/*
 * A message by its iovec. libsystemd gives the journal two parts to a field, dozens in all: hence
 * the one frame of 1 KiB here, entered only by messages to the journal and to name servers.
 */
__attribute__((noinline)) void socket_data_vector(struct lane *lane, enum op op, int fd,
                                                  fd_entry entry, uint64_t start, uint64_t end,
                                                  int64_t result, const struct iovec *vector,
                                                  uint64_t parts, int direction)
{
    struct piece pieces[JOURNAL_PIECES_MAX];
    unsigned count = pieces_of(vector, parts, pieces, JOURNAL_PIECES_MAX);

    socket_data(lane, op, fd, entry, start, end, result, pieces, count, direction);
}

static __attribute__((noinline)) void peer_said(struct lane *lane, enum op op, int fd,
                                                fd_entry entry, uint64_t start, uint64_t end,
                                                int64_t result, const void *address,
                                                uint64_t length)
{
    struct address_pair pair = {0};

    address_copy(pair.peer, &pair.peer_length, address, length);
    socket_record(lane, RECORD_PEER, op, fd, entry, start, end, result, 0, 0, &pair);
}

uint32_t socket_addressed(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                          uint64_t end, int64_t result, int direction, const void *address,
                          uint64_t length)
{
    unsigned kind = FD_KIND(entry);
    uint32_t said = direction == 'r' ? FD_PEER_HEARD : FD_PEER_SAID;

    if ((kind != KIND_UDP && kind != KIND_UNIX_DGRAM) || length < 2)
        return 0;
    if (unlikely(!(entry & (said | FD_CONNECTED))) && flags_claim(fd, entry, 0, said, said, 0) &&
        socket_watched(entry))
        peer_said(lane, op, fd, entry, start, end, result, address, length);
    return address_flags((enum kind)kind, address,
                         length < ADDRESS_MAX ? (unsigned)length : ADDRESS_MAX);
}
