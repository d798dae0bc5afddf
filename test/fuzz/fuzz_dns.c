/* Any bytes as a DNS message: no overrun, no endless loop, and a result that keeps its promises. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "protocol/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
    if (!holds)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_message m;

    memset(&m, 0xa5, sizeof(m));
    if (dns_parse(data, size, &m) != 0)
        return 0;
    size_t length = strnlen(m.question, sizeof(m.question));
    require(length > 0 && length < sizeof(m.question));
    for (size_t i = 0; i < length; i++)
        require(m.question[i] > ' ' && m.question[i] < 0x7f);
    require(m.answers <= DNS_ANSWERS_MAX && (m.response || !m.answers));
    require(m.rcode < 16 && m.opcode < 16);
    for (unsigned i = 0; i < m.answers; i++)
        require((m.answer[i].type == DNS_TYPE_A && m.answer[i].length == 4) ||
                (m.answer[i].type == DNS_TYPE_AAAA && m.answer[i].length == 16));
    dns_rcode_name(m.rcode);
    dns_type_name(m.question_type);
    return 0;
}
