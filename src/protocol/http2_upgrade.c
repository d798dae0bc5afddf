/* How a connection becomes HTTP/2 in the clear (RFC 7540, section 3.2): what both ends say of it.
 */
#include "protocol/http2.h"
#include "protocol/http_text.h"

enum { HEADER_TABLE_SIZE = 1, ENTRY = 6 };

bool http2_is_upgrade(const struct http_message *response)
{
    return response->status == 101 && http_text_like(http_field(response, "upgrade"), "h2c");
}

/* -1: no digit of base64url. */
static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool http2_settings_read(struct text value, uint32_t *least, uint32_t *last)
{
    uint64_t entry = 0;
    unsigned bits = 0, held = 0, bytes = 0;
    bool said = false;

    while (value.length && value.data[value.length - 1] == '=')
        value.length--;
    for (size_t i = 0; i < value.length; i++) {
        int d = digit(value.data[i]);
        if (d < 0)
            return false;
        held = held << 6 | (unsigned)d;
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        entry = entry << 8 | (held >> bits & 0xff);
        if (++bytes % ENTRY)
            continue;
        if ((entry >> 32 & 0xffff) == HEADER_TABLE_SIZE) {
            *last = (uint32_t)entry;
            *least = said && *least < *last ? *least : *last;
            said = true;
        }
    }
    return said && bytes % ENTRY == 0;
}
