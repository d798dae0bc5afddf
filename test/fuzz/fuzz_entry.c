/* Any bytes as a function's code: no byte outside is read, and what is moved stays within its room.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "hook/x86.c"
#include "hook/entry_plan.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
    if (!holds)
        __builtin_trap();
}

static bool every_second(void *context, int64_t offset)
{
    (void)context;
    return offset & 1;
}

/* The first two bytes say where the function ends in the code around it, the third where it begins.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct x86_instruction i;
    struct x86_exit exits[8];
    struct entry_plan plan;
    const char *reason = NULL;
    if (size < 4)
        return 0;
    size_t around = size - 3, begin = data[2] % around;
    size_t length = (size_t)(data[0] | data[1] << 8) % (around - begin + 1);
    const uint8_t *code = data + 3 + begin;
    for (size_t at = 0; at < length; at++) {
        if (!x86_decode(code + at, length - at, &i))
            continue;
        require(i.length >= 1 && i.length <= X86_LENGTH_MAX && i.length <= length - at);
        require(i.opcode_at < i.length && i.modrm_at < i.length);
        require(!i.rip_at || i.rip_at + 4 <= i.length);
        require(!i.relative_at || i.relative_at + i.relative_len <= i.length);
        require(!x86_decode(code + at, i.length - 1u, &i));
    }
    long count = x86_exits(code, length, every_second, NULL, exits, 8, &reason);
    require(count >= 0 || reason);
    for (long n = 0; n < count && n < 8; n++)
        require(exits[n].offset + exits[n].length <= length);
    reason = entry_plan(code, length, -(int64_t)begin, (int64_t)(around - begin), &plan);
    if (reason)
        return 0;
    require(plan.length >= ENTRY_JUMP && plan.length <= ENTRY_MOVED_MAX);
    require((size_t)plan.at + plan.length <= length);
    uint8_t out[ENTRY_MOVED_ROOM];
    require(entry_move(&plan, code, 0x7f0000001000, out, 0x7f0000000000) <= sizeof(out));
    entry_move(&plan, code, 0x7f0000001000, out, 0x10000);
    return 0;
}
