/* Reads DNS messages: the header, the one question, and the addresses among the answers. */
#include "protocol/dns.h"

#include <errno.h>

enum {
    HEADER = 12,
    LABEL_MAX = 63,
    NAME_WIRE_MAX = 255, /* octets of a name, lengths and the root included */
    POINTER = 0xc0,
    CLASS_IN = 1,
    RECORD_FIXED = 10, /* type, class, ttl, length: what follows a record's name */
};

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

/* One octet of a label, escaped where a name's text could not hold it. Returns how many written. */
static size_t put_octet(char *out, uint8_t octet)
{
    if (octet > ' ' && octet < 0x7f && octet != '.' && octet != '\\') {
        out[0] = (char)octet;
        return 1;
    }
    out[0] = '\\';
    out[1] = (char)('0' + octet / 100);
    out[2] = (char)('0' + octet / 10 % 10);
    out[3] = (char)('0' + octet % 10);
    return 4;
}

/*
 * Reads the name at *at into out (DNS_NAME_MAX bytes; NULL: only passes over it) and moves *at
 * behind it. Each pointer must lead to before where the last one led, so there are no circles.
 * False: malformed.
 */
static bool read_name(const uint8_t *data, size_t length, size_t *at, char *out)
{
    size_t here = *at, lowest = *at, wire = 0, written = 0;
    bool jumped = false;

    for (;;) {
        if (here >= length)
            return false;
        unsigned size = data[here];
        if ((size & POINTER) == POINTER) {
            if (here + 2 > length)
                return false;
            size_t target = get16(data + here) & 0x3fff;
            if (!jumped)
                *at = here + 2;
            jumped = true;
            if (target < HEADER || target >= lowest)
                return false;
            here = lowest = target;
            continue;
        }
        wire += 1 + size;
        if (size > LABEL_MAX || wire > NAME_WIRE_MAX || size >= length - here)
            return false;
        here++;
        if (!size)
            break;
        if (out && written)
            out[written++] = '.';
        for (unsigned i = 0; i < size && out; i++)
            written += put_octet(out + written, data[here + i]);
        here += size;
    }
    if (!jumped)
        *at = here;
    if (out) {
        if (!written)
            out[written++] = '.';
        out[written] = '\0';
    }
    return true;
}

/* Keeps the record at *at if it is an address, and moves *at behind it. False: malformed. */
static bool read_answer(const uint8_t *data, size_t length, size_t *at, struct dns_message *message)
{
    if (!read_name(data, length, at, NULL) || length - *at < RECORD_FIXED)
        return false;
    const uint8_t *fixed = data + *at;
    unsigned type = get16(fixed), class = get16(fixed + 2), size = get16(fixed + 8);
    uint32_t ttl = get32(fixed + 4);
    unsigned wanted = type == DNS_TYPE_A ? 4 : type == DNS_TYPE_AAAA ? 16 : 0;

    *at += RECORD_FIXED;
    if (size > length - *at)
        return false;
    const uint8_t *value = data + *at;
    *at += size;
    if (!wanted || class != CLASS_IN)
        return true;
    if (size != wanted)
        return false;
    if (message->answers == DNS_ANSWERS_MAX)
        return true;
    struct dns_answer *answer = &message->answer[message->answers++];
    answer->type = (uint16_t)type;
    answer->ttl = ttl <= INT32_MAX ? ttl : 0; /* RFC 2181, 8 */
    answer->length = (uint8_t)size;
    for (unsigned i = 0; i < sizeof(answer->address); i++)
        answer->address[i] = i < size ? value[i] : 0;
    return true;
}

int dns_parse(const uint8_t *data, size_t length, struct dns_message *message)
{
    size_t at = HEADER;

    if (length < HEADER)
        return -EBADMSG;
    unsigned flags = get16(data + 2), questions = get16(data + 4), answers = get16(data + 6);

    message->id = (uint16_t)get16(data);
    message->response = flags >> 15;
    message->opcode = flags >> 11 & 15;
    message->truncated = flags >> 9 & 1;
    message->rcode = flags & 15;
    message->answers = 0;
    if (questions != 1 || !read_name(data, length, &at, message->question) || length - at < 4)
        return -EBADMSG;
    message->question_type = (uint16_t)get16(data + at);
    at += 4;
    for (unsigned i = 0; i < answers && message->response; i++) {
        if (!read_answer(data, length, &at, message))
            break;
    }
    return 0;
}

const char *dns_rcode_name(unsigned rcode)
{
    static const char *const names[] = {
        "NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",   "REFUSED",
        "YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE",  "DSOTYPENI",
        NULL,       NULL,      NULL,       NULL,       "BADVERS",  "BADKEY",
        "BADTIME",  "BADMODE", "BADNAME",  "BADALG",   "BADTRUNC", "BADCOOKIE",
    };

    return rcode < sizeof(names) / sizeof(*names) ? names[rcode] : NULL;
}

const char *dns_type_name(unsigned type)
{
    static const struct {
        uint16_t type;
        char name[12];
    } names[] = {
        {1, "A"},           {2, "NS"},      {5, "CNAME"},   {6, "SOA"},       {12, "PTR"},
        {13, "HINFO"},      {15, "MX"},     {16, "TXT"},    {17, "RP"},       {18, "AFSDB"},
        {24, "SIG"},        {25, "KEY"},    {28, "AAAA"},   {29, "LOC"},      {33, "SRV"},
        {35, "NAPTR"},      {36, "KX"},     {37, "CERT"},   {39, "DNAME"},    {41, "OPT"},
        {42, "APL"},        {43, "DS"},     {44, "SSHFP"},  {45, "IPSECKEY"}, {46, "RRSIG"},
        {47, "NSEC"},       {48, "DNSKEY"}, {49, "DHCID"},  {50, "NSEC3"},    {51, "NSEC3PARAM"},
        {52, "TLSA"},       {53, "SMIMEA"}, {55, "HIP"},    {59, "CDS"},      {60, "CDNSKEY"},
        {61, "OPENPGPKEY"}, {62, "CSYNC"},  {63, "ZONEMD"}, {64, "SVCB"},     {65, "HTTPS"},
        {99, "SPF"},        {108, "EUI48"}, {109, "EUI64"}, {249, "TKEY"},    {250, "TSIG"},
        {251, "IXFR"},      {252, "AXFR"},  {255, "ANY"},   {256, "URI"},     {257, "CAA"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (names[i].type == type)
            return names[i].name;
    return NULL;
}
