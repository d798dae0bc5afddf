/* dns_parse against messages written out by hand from RFC 1035, and against malformed ones. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/dns.h"

/* A message under construction, parsed from memory of exactly its size so that ASan sees overruns.
 */
struct wire {
    uint8_t data[70000];
    size_t length;
};

static void put(struct wire *w, const void *bytes, size_t n)
{
    memcpy(w->data + w->length, bytes, n);
    w->length += n;
}

static void put16(struct wire *w, unsigned value)
{
    uint8_t bytes[] = {(uint8_t)(value >> 8), (uint8_t)value};
    put(w, bytes, 2);
}

static void header(struct wire *w, unsigned flags, unsigned questions, unsigned answers)
{
    w->length = 0;
    put16(w, 0x1234);
    put16(w, flags);
    put16(w, questions);
    put16(w, answers);
    put16(w, 0);
    put16(w, 0);
}

/* "www.example.com" as labels. */
static void name(struct wire *w, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, ".");
        uint8_t size = (uint8_t)n;
        put(w, &size, 1);
        put(w, text, n);
        text += n + (text[n] == '.');
    }
    put(w, "", 1);
}

static void question(struct wire *w, const char *text, unsigned type)
{
    name(w, text);
    put16(w, type);
    put16(w, 1);
}

/* A record whose owner is a pointer to the question. */
static void answer(struct wire *w, unsigned type, unsigned class, uint32_t ttl, const void *value,
                   unsigned size)
{
    put16(w, 0xc00c);
    put16(w, type);
    put16(w, class);
    put16(w, ttl >> 16);
    put16(w, ttl & 0xffff);
    put16(w, size);
    put(w, value, size);
}

static int parse(const struct wire *w, size_t length, struct dns_message *m)
{
    uint8_t *exact = malloc(length ? length : 1);
    assert_non_null(exact);
    memcpy(exact, w->data, length);
    memset(m, 0xa5, sizeof(*m));
    int r = dns_parse(exact, length, m);
    free(exact);
    return r;
}

static struct wire w;
static struct dns_message m;

static void a_query(void **state)
{
    (void)state;
    header(&w, 0x0100, 1, 0);
    question(&w, "www.example.com", DNS_TYPE_AAAA);
    assert_int_equal(parse(&w, w.length, &m), 0);
    assert_int_equal(m.id, 0x1234);
    assert_false(m.response);
    assert_false(m.truncated);
    assert_int_equal(m.opcode, 0);
    assert_int_equal(m.question_type, 28);
    assert_string_equal(m.question, "www.example.com");
    assert_int_equal(m.answers, 0);
}

static void every_cut_of_a_query_is_refused(void **state)
{
    (void)state;
    header(&w, 0x0100, 1, 0);
    question(&w, "www.example.com", 1);
    for (size_t n = 0; n < w.length; n++)
        assert_int_equal(parse(&w, n, &m), -EBADMSG);
}

static void a_response_with_addresses_behind_an_alias(void **state)
{
    static const uint8_t six[16] = {0x20, 1, 0xd, 0xb8, [15] = 9};
    (void)state;
    header(&w, 0x8580, 1, 4);
    question(&w, "www.example.com", 1);
    answer(&w, DNS_TYPE_CNAME, 1, 300, "\3web\xc0\x10", 6);
    answer(&w, DNS_TYPE_A, 1, 60, "\xc0\0\2\1", 4);
    answer(&w, DNS_TYPE_AAAA, 1, 0x80000000u, six, 16);
    answer(&w, DNS_TYPE_A, 3, 60, "\1\2\3\4", 4); /* class CHAOS: no address of the Internet */
    assert_int_equal(parse(&w, w.length, &m), 0);
    assert_true(m.response);
    assert_int_equal(m.rcode, 0);
    assert_int_equal(m.answers, 2);
    assert_int_equal(m.answer[0].type, 1);
    assert_int_equal(m.answer[0].ttl, 60);
    assert_int_equal(m.answer[0].length, 4);
    assert_memory_equal(m.answer[0].address, "\xc0\0\2\1\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_int_equal(m.answer[1].type, 28);
    assert_int_equal(m.answer[1].ttl, 0); /* the highest bit set means 0 */
    assert_memory_equal(m.answer[1].address, six, 16);
}

static void every_cut_of_a_response_keeps_what_was_whole(void **state)
{
    size_t whole[3];
    (void)state;
    header(&w, 0x8180, 1, 2);
    question(&w, "a.b", 1);
    whole[0] = w.length;
    answer(&w, 1, 1, 1, "\1\2\3\4", 4);
    whole[1] = w.length;
    answer(&w, 1, 1, 1, "\5\6\7\10", 4);
    whole[2] = w.length;
    for (size_t n = whole[0]; n <= whole[2]; n++) {
        assert_int_equal(parse(&w, n, &m), 0);
        assert_int_equal(m.answers, (n >= whole[1]) + (n >= whole[2]));
    }
}

static void header_bits(void **state)
{
    (void)state;
    header(&w, 0x8000 | 5 << 11 | 0x0200 | 3, 1, 0);
    question(&w, "x", 255);
    assert_int_equal(parse(&w, w.length, &m), 0);
    assert_int_equal(m.opcode, 5);
    assert_true(m.truncated);
    assert_int_equal(m.rcode, 3);
}

static void number_of_questions(void **state)
{
    (void)state;
    header(&w, 0x0100, 0, 0);
    question(&w, "x", 1);
    assert_int_equal(parse(&w, w.length, &m), -EBADMSG);
    header(&w, 0x0100, 2, 0);
    question(&w, "x", 1);
    question(&w, "y", 1);
    assert_int_equal(parse(&w, w.length, &m), -EBADMSG);
}

static void the_root(void **state)
{
    (void)state;
    header(&w, 0x0100, 1, 0);
    question(&w, "", 2);
    assert_int_equal(parse(&w, w.length, &m), 0);
    assert_string_equal(m.question, ".");
}

static void odd_octets_are_escaped(void **state)
{
    (void)state;
    header(&w, 0x0100, 1, 0);
    put(&w, "\7a.\\ \xff\1_\2z-", 12);
    w.length--; /* z- is one label of two; the literal counts its NUL */
    put(&w, "", 1);
    put16(&w, 1);
    put16(&w, 1);
    assert_int_equal(parse(&w, w.length, &m), 0);
    assert_string_equal(m.question, "a\\046\\092\\032\\255\\001_.z-");
}

static void the_longest_name(void **state)
{
    uint8_t label[64];
    char want[DNS_NAME_MAX];
    size_t n = 0;
    (void)state;
    /* 63 + 63 + 63 + 61 octets, each of which takes four characters: 255 octets on the wire */
    header(&w, 0x0100, 1, 0);
    for (int i = 0; i < 4; i++) {
        unsigned size = i < 3 ? 63 : 61;
        label[0] = (uint8_t)size;
        memset(label + 1, 0, 63);
        put(&w, label, 1 + size);
        if (i)
            want[n++] = '.';
        for (unsigned k = 0; k < size; k++, n += 4)
            memcpy(want + n, "\\000", 4);
    }
    want[n] = '\0';
    put(&w, "", 1);
    put16(&w, 1);
    put16(&w, 1);
    assert_int_equal(parse(&w, w.length, &m), 0);
    assert_string_equal(m.question, want);
    assert_true(n < DNS_NAME_MAX);

    /* one octet more is no name */
    header(&w, 0x0100, 1, 0);
    for (int i = 0; i < 4; i++) {
        unsigned size = i < 3 ? 63 : 62;
        label[0] = (uint8_t)size;
        put(&w, label, 1 + size);
    }
    put(&w, "", 1);
    put16(&w, 1);
    put16(&w, 1);
    assert_int_equal(parse(&w, w.length, &m), -EBADMSG);
}

static void pointers_that_lead_nowhere(void **state)
{
    static const unsigned targets[] = {
        0xc00c /* itself */, 0xc00d, 0xc000 /* the header */, 0xc00b, 0xffff, 0xc012 /* forward */};
    (void)state;
    for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
        header(&w, 0x0100, 1, 0);
        put16(&w, targets[i]);
        put16(&w, 1);
        put16(&w, 1);
        name(&w, "x");
        assert_int_equal(parse(&w, w.length, &m), -EBADMSG);
    }
}

static void label_types_that_do_not_exist(void **state)
{
    (void)state;
    for (unsigned type = 0x40; type <= 0x80; type += 0x40) {
        uint8_t byte = (uint8_t)(type | 1);
        header(&w, 0x0100, 1, 0);
        put(&w, &byte, 1);
        put(&w, "x", 2);
        put16(&w, 1);
        put16(&w, 1);
        assert_int_equal(parse(&w, w.length, &m), -EBADMSG);
    }
}

static void a_circle_in_an_answer(void **state)
{
    (void)state;
    header(&w, 0x8180, 1, 2);
    question(&w, "x", 1);
    size_t here = w.length;
    answer(&w, 1, 1, 1, "\1\2\3\4", 4);
    w.data[here] = 0xc0; /* the owner points to itself */
    w.data[here + 1] = (uint8_t)here;
    answer(&w, 1, 1, 1, "\1\2\3\4", 4);
    assert_int_equal(parse(&w, w.length, &m), 0);
    assert_int_equal(m.answers, 0);
}

static void an_address_of_a_wrong_length(void **state)
{
    (void)state;
    header(&w, 0x8180, 1, 2);
    question(&w, "x", 1);
    answer(&w, 1, 1, 1, "\1\2\3", 3);
    answer(&w, 1, 1, 1, "\1\2\3\4", 4);
    assert_int_equal(parse(&w, w.length, &m), 0);
    assert_int_equal(m.answers, 0);
}

static void more_answers_than_are_kept(void **state)
{
    (void)state;
    header(&w, 0x8180, 1, DNS_ANSWERS_MAX + 8);
    question(&w, "x", 1);
    for (unsigned i = 0; i < DNS_ANSWERS_MAX + 8; i++) {
        uint8_t address[4] = {10, 0, 0, (uint8_t)i};
        answer(&w, 1, 1, 1, address, 4);
    }
    assert_int_equal(parse(&w, w.length, &m), 0);
    assert_int_equal(m.answers, DNS_ANSWERS_MAX);
    assert_int_equal(m.answer[DNS_ANSWERS_MAX - 1].address[3], DNS_ANSWERS_MAX - 1);
}

static void counts_that_lie(void **state)
{
    (void)state;
    header(&w, 0x8180, 1, 65535);
    question(&w, "x", 1);
    answer(&w, 1, 1, 1, "\1\2\3\4", 4);
    assert_int_equal(parse(&w, w.length, &m), 0);
    assert_int_equal(m.answers, 1);
}

static void a_query_has_no_answers(void **state)
{
    (void)state;
    header(&w, 0x0100, 1, 1);
    question(&w, "x", 1);
    answer(&w, 1, 1, 1, "\1\2\3\4", 4);
    assert_int_equal(parse(&w, w.length, &m), 0);
    assert_int_equal(m.answers, 0);
}

static void names_of_codes(void **state)
{
    (void)state;
    assert_string_equal(dns_rcode_name(0), "NOERROR");
    assert_string_equal(dns_rcode_name(2), "SERVFAIL");
    assert_string_equal(dns_rcode_name(3), "NXDOMAIN");
    assert_string_equal(dns_rcode_name(5), "REFUSED");
    assert_string_equal(dns_rcode_name(10), "NOTZONE");
    assert_string_equal(dns_rcode_name(23), "BADCOOKIE");
    assert_null(dns_rcode_name(12));
    assert_null(dns_rcode_name(24));
    assert_null(dns_rcode_name(~0u));
    assert_string_equal(dns_type_name(1), "A");
    assert_string_equal(dns_type_name(28), "AAAA");
    assert_string_equal(dns_type_name(51), "NSEC3PARAM");
    assert_string_equal(dns_type_name(65), "HTTPS");
    assert_string_equal(dns_type_name(257), "CAA");
    assert_null(dns_type_name(0));
    assert_null(dns_type_name(65280));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query),
        cmocka_unit_test(every_cut_of_a_query_is_refused),
        cmocka_unit_test(a_response_with_addresses_behind_an_alias),
        cmocka_unit_test(every_cut_of_a_response_keeps_what_was_whole),
        cmocka_unit_test(header_bits),
        cmocka_unit_test(number_of_questions),
        cmocka_unit_test(the_root),
        cmocka_unit_test(odd_octets_are_escaped),
        cmocka_unit_test(the_longest_name),
        cmocka_unit_test(pointers_that_lead_nowhere),
        cmocka_unit_test(label_types_that_do_not_exist),
        cmocka_unit_test(a_circle_in_an_answer),
        cmocka_unit_test(an_address_of_a_wrong_length),
        cmocka_unit_test(more_answers_than_are_kept),
        cmocka_unit_test(counts_that_lie),
        cmocka_unit_test(a_query_has_no_answers),
        cmocka_unit_test(names_of_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
