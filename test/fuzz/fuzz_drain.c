/*
 * A ring that a hostile program wrote: drain must end, stay inside the region, and hand out nothing
 * that is out of range. The input is a list of writes of bytes to places in the region, with runs
 * of drain between them: [place selector, offset (2), length, bytes ...].
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "capture/capture.h"
#include "report/report.h"

enum { CHUNKS = 4, LANES = 4 };

static void take(void *context, const struct record *r, const uint8_t *payload, int32_t tid)
{
    uint32_t *sum = context;
    (void)tid;
    if (r->type == RECORD_NONE || r->type >= RECORD_TYPES || r->op >= OP_COUNT ||
        r->kind >= KIND_COUNT || r->payload > RECORD_PAYLOAD_MAX || (uintptr_t)payload % 8)
        abort();
    for (uint32_t i = 0; i < r->payload; i++)
        *sum += payload[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *pages;
    static size_t bytes;
    if (!pages) {
        bytes = ((sizeof(struct region_head) + 4095) & ~(size_t)4095) + CHUNKS * CHUNK_SIZE +
                LANES * LANE_SIZE;
        pages = mmap(NULL, bytes + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(pages + 4096, bytes, PROT_READ | PROT_WRITE);
    }
    struct region_head *region = (struct region_head *)(pages + 4096);
    memset(region, 0, bytes);
    if (region_init(region, bytes, CHUNKS, LANES))
        abort();
    struct drain *d = drain_new(region);
    struct lane *lane = lane_bind(region, 1, 1);
    if (!d || !lane)
        abort();
    uint32_t sum = 0;
    struct record r = {.type = RECORD_CLOSE, .end = 1, .fd = 3, .generation = 1};
    struct totals t = {.fd = 3, .generation = 1, .claim = 1, .read_ops = 1};
    struct piece piece = {&t, sizeof(t)};
    for (int i = 0; i < 3; i++)
        record_write(region, lane, &r, &piece, 1);
    while (size >= 4) {
        uint8_t where = data[0], length = data[3];
        size_t offset = (size_t)data[1] << 8 | data[2];
        data += 4;
        size -= 4;
        if (length > size)
            length = (uint8_t)size;
        uint8_t *base = (uint8_t *)region;
        size_t room = offsetof(struct region_head, shared_error);
        if (where % 8 < 4) {
            base = (uint8_t *)region_chunk(region, where % 4);
            room = CHUNK_SIZE;
        } else if (where % 8 < 6) {
            base = (uint8_t *)region_lane(region, where % 2);
            room = LANE_SIZE;
        } else if (where % 8 == 6) { /* the head, behind its shape */
            base += offsetof(struct region_head, reporter_sleeps);
            room -= offsetof(struct region_head, reporter_sleeps);
        } else {
            drain_run(d, where & 8, take, &sum);
            continue;
        }
        if (where & 16)
            offset &= ~(size_t)63;
        offset %= room;
        size_t n = length < room - offset ? length : room - offset;
        memcpy(base + offset, data, n);
        data += n;
        size -= n;
    }
    drain_run(d, true, take, &sum);
    drain_run(d, false, take, &sum);
    drain_free(d);
    return 0;
}
