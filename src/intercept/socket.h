/*
 * What the socket wrappers share, and what the wrappers of read and write ask about sockets.
 *
 * Called on application threads, in signal handlers too. Nothing here allocates, waits, or changes
 * errno. System calls: only where a declaration says so, and none once region->sandboxed is set.
 */
#ifndef SCOPE_INTERCEPT_SOCKET_H
#define SCOPE_INTERCEPT_SOCKET_H

#include <stdint.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "intercept/common.h"

/* ------------------------------------------------------------------ for the I/O wrappers */

/*
 * What moved through a descriptor with FD_DNS or FD_JOURNAL: `result` > 0 bytes of `pieces`, the
 * buffers as the program gave them. direction: 'r' or 'w'. Writes RECORD_DNS for each whole
 * message, RECORD_SYSLOG for a journal datagram.
 */
void socket_data(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                 uint64_t end, int64_t result, const struct piece *pieces, unsigned count,
                 int direction);

/*
 * An operation on a descriptor with FD_CONNECTING returned `result` (or -errno): where that tells
 * how the connect ended, writes RECORD_CONNECTED (one getsockname) and changes the flags.
 */
void socket_connect_outcome(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                            uint64_t end, int64_t result);

/* ------------------------------------------------------------------ among the socket wrappers */

enum { ADDRESS_MAX = 112 };

/* Records of sockets are wanted, of this one too. */
static inline int socket_watched(fd_entry entry)
{
    return (hook_region->watch & WATCH_SOCKETS) && !(entry & FD_IGNORED);
}

/* Counts a call on a socket, as count_io. */
static inline void socket_count(struct lane *lane, enum op op, int fd, fd_entry entry,
                                uint64_t start, uint64_t end, int64_t result, int direction)
{
    if (likely(!(entry & FD_IGNORED)))
        count_io(hook_region, lane, op, fd, entry, start, end, result, direction);
}

/* What a socket of these arguments is. */
enum kind socket_kind(int domain, int type, int protocol);

/* Copies an address that the kernel has accepted or written; length 0 if it is none. */
void address_copy(uint8_t *to, uint16_t *to_length, const void *from, uint64_t length);

/*
 * How much room there was for an address, as a value-result length said before the call. It is read
 * only where that cannot fault, in a caller's frame; elsewhere, where a pointer may be one that the
 * kernel will refuse, the room is not known.
 */
#define ROOM_UNKNOWN UINT32_MAX
static inline __attribute__((always_inline)) uint32_t address_room(const socklen_t *length)
{
    uintptr_t above = (uintptr_t)length - (uintptr_t)__builtin_frame_address(0);
    return length && above < 65536 ? *(const volatile socklen_t *)length : ROOM_UNKNOWN;
}

/* Whether the kernel wrote all of an address of `length` bytes into `room`. */
static inline bool address_whole(const void *address, uint64_t length, uint32_t room)
{
    if (room != ROOM_UNKNOWN)
        return length >= 2 && length <= room;
    /* The one who gave less room than the usual sizes would have to be looked for. */
    return (length == 16 && *(const uint16_t *)address == AF_INET) ||
           (length == 28 && *(const uint16_t *)address == AF_INET6);
}

/* Asks the kernel: one getsockname or getpeername. Length 0 when sandboxed or not known. */
void address_local(int fd, struct address_pair *pair);
void address_peer(int fd, struct address_pair *pair);

/* The port of an AF_INET or AF_INET6 address, 0 for others. */
unsigned address_port(const uint8_t *address, unsigned length);

/* FD_DNS or FD_JOURNAL, if that is what is at this address, else 0. */
uint32_t address_flags(enum kind kind, const uint8_t *address, unsigned length);

/* A record about a descriptor with its addresses; pair may be NULL. */
void socket_record(struct lane *lane, enum record_type type, enum op op, int fd, fd_entry entry,
                   uint64_t start, uint64_t end, int64_t result, uint64_t a, uint64_t b,
                   const struct address_pair *pair);

/* A connect was made, by connect or with the first data (op): RECORD_CONNECT, flags. */
void socket_connected(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                      uint64_t end, int64_t result, const void *address, uint64_t length);

/* The peer has ended the stream: RECORD_END, once for each life of the descriptor. */
void socket_ended(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                  uint64_t end, int64_t result);

/*
 * A datagram went to, or came from, an address given with it (which the kernel has accepted or
 * written): RECORD_PEER at the first time each way. Returns FD_DNS or FD_JOURNAL if that is what is
 * there, for socket_data.
 */
uint32_t socket_addressed(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                          uint64_t end, int64_t result, int direction, const void *address,
                          uint64_t length);

/* socket_data for a message in an iovec that the kernel has accepted. */
struct iovec;
void socket_data_vector(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                        uint64_t end, int64_t result, const struct iovec *vector, uint64_t parts,
                        int direction);

/* Turns an iovec array, accepted by the kernel, into at most `max` pieces. Returns how many. */
unsigned pieces_of(const struct iovec *vector, uint64_t parts, struct piece *pieces, unsigned max);

#endif
