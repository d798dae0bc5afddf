/*
 * What a test of the TLS wrappers stands on: a region and a lane, and in the place of flow.c
 * something that remembers what it was told. Include it before the sources under test.
 */
#ifndef SCOPE_TEST_TLS_FIXTURE_H
#define SCOPE_TEST_TLS_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define flow_plain test_flow_plain
#define flow_handshake test_flow_handshake
#define flow_by_random test_flow_by_random
#include "hook/hook.h"
#include "intercept/tls.h"
#include "intercept/common.h"

enum { TOLD_MAX = 1 << 21, FDS = 64, RANDOMS = 8 };

/* Plaintext by descriptor and direction, one behind the other. */
static struct {
    uint8_t *bytes;
    size_t length;
    size_t unseen; /* bytes that were told without what they were */
    unsigned calls;
} told[FDS][2];

static struct {
    struct tls_handshake what;
    char name[64], protocol[64];
    int64_t result;
    uint64_t start, end;
    unsigned count;
} shaken[FDS];

static struct {
    uint8_t random[32];
    int fd;
    int direction; /* 0: it went by in both */
} randoms[RANDOMS];

static struct region_head *test_region;
struct region_head *hook_region;
__thread struct lane *hook_self __attribute__((tls_model("initial-exec")));

struct lane *hook_lane_slow(void)
{
    return NULL;
}

void *hook_next(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}

fd_entry hook_fd(struct lane *lane, int fd)
{
    (void)lane;
    return fd_get(fd);
}

void intercept_late(void)
{
}

void flow_plain(struct region_head *region, const struct flow_bytes *m, const void *bytes,
                uint64_t length)
{
    assert_ptr_equal(region, hook_region);
    assert_ptr_equal(m->lane, hook_self);
    assert_in_range(m->fd, 0, FDS - 1);
    assert_true(m->direction == 'r' || m->direction == 'w');
    assert_true(m->start && m->end >= m->start);
    assert_int_equal(FD_GENERATION(m->entry), FD_GENERATION(fd_get(m->fd)));
    unsigned way = m->direction == 'w';
    told[m->fd][way].calls++;
    if (!bytes) {
        told[m->fd][way].unseen += length;
        return;
    }
    if (!told[m->fd][way].bytes)
        told[m->fd][way].bytes = malloc(TOLD_MAX);
    assert_true(told[m->fd][way].length + length <= TOLD_MAX);
    memcpy(told[m->fd][way].bytes + told[m->fd][way].length, bytes, length);
    told[m->fd][way].length += length;
}

void flow_handshake(struct region_head *region, const struct flow_bytes *m,
                    const struct tls_handshake *what, const char *name, const char *protocol,
                    int64_t result)
{
    assert_ptr_equal(region, hook_region);
    assert_in_range(m->fd, 0, FDS - 1);
    shaken[m->fd].what = *what;
    snprintf(shaken[m->fd].name, sizeof(shaken[0].name), "%s", name ? name : "");
    snprintf(shaken[m->fd].protocol, sizeof(shaken[0].protocol), "%s", protocol ? protocol : "");
    shaken[m->fd].result = result;
    shaken[m->fd].start = m->start;
    shaken[m->fd].end = m->end;
    shaken[m->fd].count++;
}

int flow_by_random(const uint8_t random[32], int direction, fd_entry *entry)
{
    for (unsigned i = 0; i < RANDOMS; i++) {
        if (memcmp(randoms[i].random, random, 32) == 0 &&
            (!direction || !randoms[i].direction || direction == randoms[i].direction)) {
            *entry = fd_get(randoms[i].fd);
            return randoms[i].fd;
        }
    }
    return -1;
}

static void forget_told(void)
{
    for (unsigned i = 0; i < FDS * 2; i++) {
        free(told[i / 2][i % 2].bytes);
        memset(&told[i / 2][i % 2], 0, sizeof(told[0][0]));
    }
    memset(shaken, 0, sizeof(shaken));
    memset(randoms, 0, sizeof(randoms));
    memset(hook_region->drops, 0, sizeof(hook_region->drops));
}

static int tls_open(void **state)
{
    (void)state;
    size_t size = sizeof(struct region_head) + 16 * CHUNK_SIZE + 8 * LANE_SIZE;
    if (!test_region) {
        test_region = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);
        fd_table = calloc(FD_TABLE_SIZE, sizeof(uint64_t));
    }
    memset(test_region, 0, size);
    if (region_init(test_region, size, 8, 4) != 0)
        return -1;
    hook_region = test_region;
    hook_region->enabled = 1;
    hook_region->watch = WATCH_FLOWS;
    hook_self = lane_bind(hook_region, getpid(), getpid());
    forget_told();
    return hook_self ? 0 : -1;
}

/* Two ends of a connection that is not waited on, both known to the descriptor table. */
static void connect_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    for (unsigned i = 0; i < 2; i++)
        assert_true(fd_opened(hook_region, fds[i], KIND_UNIX_STREAM, FD_OPEN | FD_CONNECTED) != 0);
}

static void close_pair(const int fds[2])
{
    for (unsigned i = 0; i < 2; i++) {
        fd_closing(fds[i]);
        close(fds[i]);
    }
}

static void *by_dlsym(void *context, const char *name)
{
    return dlsym(context, name);
}

static inline void assert_told(int fd, char direction, const void *bytes, size_t length)
{
    unsigned way = direction == 'w';
    assert_int_equal(told[fd][way].length, length);
    if (length)
        assert_memory_equal(told[fd][way].bytes, bytes, length);
}

#endif
