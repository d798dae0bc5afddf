/* A region to test capture and drain with, and what came out of it. */
#ifndef SCOPE_TEST_REGION_FIXTURE_H
#define SCOPE_TEST_REGION_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "capture/capture.h"
#include "report/report.h"

static struct region_head *region;
static size_t region_bytes;

/* For threads other than the test's own, which cmocka's assertions cannot leave. */
#define demand(condition)                                                           \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

/* An inaccessible page on either side, so that whoever leaves the region falls. */
static void region_open(uint32_t chunks, uint32_t lanes)
{
    size_t head = (sizeof(struct region_head) + 4095) & ~(size_t)4095;
    region_bytes = head + (size_t)chunks * CHUNK_SIZE + (size_t)lanes * LANE_SIZE;
    uint8_t *p = mmap(NULL, region_bytes + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    assert_int_equal(mprotect(p + 4096, region_bytes, PROT_READ | PROT_WRITE), 0);
    region = (struct region_head *)(p + 4096);
    assert_int_equal(region_init(region, region_bytes, chunks, lanes), 0);
    /* Registered now, or drain waits a second before it does so. */
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    assert_int_equal(region->chunks, chunks);
    assert_int_equal(region->lanes, lanes);
    region->watch = WATCH_METRICS | WATCH_FILES | WATCH_SOCKETS | WATCH_CONSOLE | WATCH_LOGS;
    region->enabled = 1;
    region->data_max = 65536;
    region->log_budget = 1 << 30;
    region->pid = getpid();
}

static void region_close(void)
{
    munmap((uint8_t *)region - 4096, region_bytes + 8192);
    region = NULL;
}

static inline unsigned chunks_free(void)
{
    unsigned n = 0;
    for (uint32_t w = 0; w < (region->chunks + 63) / 64; w++)
        n += (unsigned)__builtin_popcountll(region->chunk_free[w]);
    return n;
}

/* What is free must be zero. */
static inline void check_free_chunks(void)
{
    static const uint8_t zero[CHUNK_SIZE];
    for (uint32_t i = 0; i < region->chunks; i++) {
        if (region->chunk_free[i / 64] >> i % 64 & 1)
            assert_memory_equal(region_chunk(region, i), zero, CHUNK_SIZE);
    }
}

/* The calls counted on an operation and kind, on all lanes. */
static inline uint64_t cell_count(enum op op, enum kind kind)
{
    uint64_t n = 0;
    for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
        n += region->shared_cell[op][kind].bucket[b];
    for (uint32_t i = 0; i < region->lanes_high; i++) {
        struct lane *lane = region_lane(region, i);
        unsigned at = lane->cell_of[op][kind];
        if (at && at != 255) {
            for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
                n += lane->cell[at - 1].bucket[b];
        }
    }
    return n;
}

/* What the payload of record number n is: any other byte in it is a torn record. The first are
   short, as they are written one instruction at a time. */
static inline uint32_t pattern_length(uint64_t n)
{
    return (uint32_t)(n * 2654435761u >> 7) % (n < 512 ? 90 : 500);
}

static inline void pattern_fill(uint8_t *to, uint64_t n)
{
    for (uint32_t i = 0; i < pattern_length(n); i++)
        to[i] = (uint8_t)(n + i * 7);
}

static inline int write_bytes(struct lane *lane, uint64_t n, const uint8_t *bytes, uint32_t length)
{
    struct record r = {.type = RECORD_DATA,
                       .op = OP_WRITE,
                       .kind = KIND_FILE,
                       .start = n,
                       .end = ticks_now(),
                       .fd = 3,
                       .a = n,
                       .b = ~n};
    struct piece pieces[2] = {{bytes, length / 3}, {bytes + length / 3, length - length / 3}};
    return record_write(region, lane, &r, pieces, 2);
}

static inline int write_pattern(struct lane *lane, uint64_t n)
{
    uint8_t bytes[512];
    pattern_fill(bytes, n);
    return write_bytes(lane, n, bytes, pattern_length(n));
}

static inline void check_pattern(const struct record *r, const uint8_t *payload)
{
    uint8_t bytes[512];
    demand(r->b == ~r->a && r->start == r->a && r->payload == pattern_length(r->a));
    pattern_fill(bytes, r->a);
    demand(memcmp(bytes, payload, r->payload) == 0);
}

/* Sums of what drain handed out. */
struct gathered {
    uint64_t records, threads, data, closes;
    uint8_t *seen; /* by record number, where not NULL */
    uint64_t seen_room, twice;
    struct totals totals; /* of the descriptor of this key, or of all if 0 */
};

static inline void gather(void *context, const struct record *r, const uint8_t *payload, int32_t tid)
{
    struct gathered *g = context;
    (void)tid;
    g->records++;
    assert_in_range(r->type, 1, RECORD_TYPES - 1);
    if (r->type == RECORD_THREAD)
        g->threads++;
    if (r->type == RECORD_DATA) {
        g->data++;
        if (g->seen) {
            check_pattern(r, payload);
            assert_true(r->a < g->seen_room);
            g->twice += g->seen[r->a];
            g->seen[r->a] = 1;
        }
    }
    if (r->type == RECORD_CLOSE)
        g->closes++;
    if ((r->type == RECORD_TOTALS || r->type == RECORD_CLOSE) &&
        r->payload >= sizeof(struct totals)) {
        struct totals t;
        memcpy(&t, payload, sizeof(t));
        if (g->totals.key && g->totals.key != t.key)
            return;
        g->totals.read_bytes += t.read_bytes;
        g->totals.write_bytes += t.write_bytes;
        g->totals.read_ops += t.read_ops;
        g->totals.write_ops += t.write_ops;
        g->totals.errors += t.errors;
        g->totals.other_ops += t.other_ops;
        g->totals.ticks += t.ticks;
    }
}

#endif
