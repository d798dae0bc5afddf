/*
 * DNS messages (RFC 1035, 3596, 6891): bytes in, structures out. No I/O, no globals, no allocation;
 * never reads beyond the given bytes, never follows a compression pointer forward or in circles.
 */
#ifndef SCOPE_PROTOCOL_DNS_H
#define SCOPE_PROTOCOL_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DNS_NAME_MAX = 1025, DNS_ANSWERS_MAX = 32 };
enum { DNS_TYPE_A = 1, DNS_TYPE_CNAME = 5, DNS_TYPE_PTR = 12, DNS_TYPE_AAAA = 28 };

struct dns_answer {
    uint16_t type;
    uint32_t ttl;        /* seconds */
    uint8_t length;      /* of address: 4 or 16; 0 for other types */
    uint8_t address[16];
};

struct dns_message {
    uint16_t id;
    bool response;
    bool truncated;
    uint8_t opcode;
    uint8_t rcode;       /* without the extended bits */
    uint16_t question_type;
    char question[DNS_NAME_MAX]; /* presentation form, no trailing dot, bytes escaped as \DDD */
    unsigned answers;    /* of type A and AAAA, at most DNS_ANSWERS_MAX kept */
    struct dns_answer answer[DNS_ANSWERS_MAX];
};

/*
 * Parses one message (over TCP: without the two length bytes). 0, -EBADMSG when the bytes are no
 * well-formed message with exactly one question. Answers after a malformed record are left out.
 */
int dns_parse(const uint8_t *data, size_t length, struct dns_message *message);

/* "NXDOMAIN" for 3 and so on (IANA's names, upper case); NULL if it has none. */
const char *dns_rcode_name(unsigned rcode);
const char *dns_type_name(unsigned type);

#endif
