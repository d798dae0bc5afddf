/* Bytes that move between two descriptors inside the kernel: no data to look at, two totals. */
#include "intercept/file.h"
#include "intercept/flow.h"
#include "intercept/inject.h"

#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

/* One operation, counted on the descriptor that is written; both keep their totals. */
void after_copy(struct lane *lane, enum op op, int in, fd_entry in_entry, int out,
                fd_entry out_entry, uint64_t start, int64_t result)
{
    uint64_t end = ticks_now();
    struct region_head *region = hook_region;
    count_io(region, lane, op, out, out_entry, start, end, result, 'w');
    if (result >= 0)
        totals_add(region, lane, in, in_entry, end, result, 'r');
    if (unlikely(out_entry & FD_FLOW))
        after_flow(lane, out, out_entry, start, end, result, NULL, NULL, 0, 'w');
    if (unlikely(in_entry & FD_FLOW) && op != OP_TEE)
        after_flow(lane, in, in_entry, start, end, result, NULL, NULL, 0, 'r');
    after_any(region);
}

#define SETTLED(...) \
    (likely(!injects(out_entry)) || inject_settle(&(struct sending){__VA_ARGS__}, -1))

#define COPY(type, name, op, parameters, arguments)                               \
    EXPORT type name parameters                                                   \
    {                                                                             \
        REAL(name)                                                                \
        INTERCEPT_LANE(real arguments);                                           \
        fd_entry in_entry = entry_of(lane, in), out_entry = entry_of(lane, out);  \
        uint64_t start = ticks_now();                                             \
        type r = SETTLED(lane, out, out_entry, start) ? real arguments : -1;      \
        after_copy(lane, op, in, in_entry, out, out_entry, start, with_errno(r)); \
        return r;                                                                 \
    }

/* clang-format off */
COPY(ssize_t, sendfile, OP_SENDFILE, (int out, int in, off_t *offset, size_t count),
     (out, in, offset, count))
COPY(ssize_t, sendfile64, OP_SENDFILE, (int out, int in, off64_t *offset, size_t count),
     (out, in, offset, count))
COPY(ssize_t, splice, OP_SPLICE,
     (int in, off64_t *in_offset, int out, off64_t *out_offset, size_t count, unsigned flags),
     (in, in_offset, out, out_offset, count, flags))
COPY(ssize_t, tee, OP_TEE, (int in, int out, size_t count, unsigned flags), (in, out, count, flags))
COPY(ssize_t, copy_file_range, OP_COPY_RANGE,
     (int in, off64_t *in_offset, int out, off64_t *out_offset, size_t count, unsigned flags),
     (in, in_offset, out, out_offset, count, flags))
/* clang-format on */

/* From memory into a pipe, or, at the end that is read, out of it. */
void after_vmsplice(struct lane *lane, int fd, fd_entry entry, uint64_t start, int64_t result)
{
    uint64_t end = ticks_now();
    count_io(hook_region, lane, OP_VMSPLICE, fd, entry, start, end, result,
             entry & FD_READ_END ? 'r' : 'w');
    after_any(hook_region);
}

/* clang-format off */
WRAP_FD(ssize_t, vmsplice, (int fd, const struct iovec *iov, size_t count, unsigned flags),
        (fd, iov, count, flags), fd, after_vmsplice(lane, fd, entry, start, result))
/* clang-format on */
