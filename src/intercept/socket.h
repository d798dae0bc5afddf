/*
 * What the socket wrappers share, and what the wrappers of read and write ask about sockets.
 *
 * Called on application threads, in signal handlers too. Nothing here allocates, waits, or changes
 * errno. System calls: only where a declaration says so, and none once region->sandboxed is set.
 */
#ifndef SCOPE_INTERCEPT_SOCKET_H
#define SCOPE_INTERCEPT_SOCKET_H

#include <stdint.h>
#include <sys/socket.h>

#include "hook/hook.h"

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

/* The descriptor's entry, asked about if it was never met. */
static inline fd_entry socket_entry(struct lane *lane, int fd)
{
    fd_entry entry = fd_get(fd);
    if (unlikely(!(entry & FD_OPEN)))
        entry = hook_fd(lane, fd);
    return entry;
}

/* The last thing a wrapper does. */
static inline void socket_done(void)
{
    if (unlikely(hook_region->late))
        reporter_late();
}

/* Records of sockets are wanted, of this one too. */
static inline int socket_watched(fd_entry entry)
{
    return (hook_region->watch & WATCH_SOCKETS) && !(entry & FD_IGNORED);
}

/* What a socket of these arguments is. */
enum kind socket_kind(int domain, int type, int protocol);

/* Copies an address that the kernel has accepted or written; length 0 if it is none. */
void address_copy(uint8_t *to, uint16_t *to_length, const void *from, uint64_t length);

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

/*
 * What went to, or came from, an address given with the data itself (`address` was accepted or
 * written by the kernel). RECORD_PEER at the first time each way; the bytes, if the address is that
 * of a name server or of the journal. `moved` > 0: as `result` of socket_data.
 */
void socket_addressed(struct lane *lane, enum op op, int fd, fd_entry entry, uint64_t start,
                      uint64_t end, int64_t moved, const struct piece *pieces, unsigned count,
                      int direction, const void *address, uint64_t length);

/* Turns an iovec array, accepted by the kernel, into at most `max` pieces. Returns how many. */
struct iovec;
unsigned pieces_of(const struct iovec *vector, uint64_t parts, struct piece *pieces, unsigned max);

#endif
