/* Hooks on many functions of a real library at once, while it works: every third one of libcrypto.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

#include "hook/elf.c"
#include "hook/x86.c"
#include "hook/entry_plan.c"
#include "hook/entry.c"
#include "hook/entry_find.c"

#if defined(__x86_64__)

enum { TOGETHER = 120 };

/* Replacements for functions of any signature: each counts, and goes on to the original. */
extern const char stubs[];
void *stub_originals[TOGETHER];
unsigned long stub_counts[TOGETHER];
__asm__(".pushsection .text\n.balign 32\nstubs:\n.set n,0\n.rept 120\n.balign 32\n"
        "lock incq stub_counts+8*n(%rip)\n.balign 16\njmp *stub_originals+8*n(%rip)\n"
        ".balign 32\n.set n,n+1\n.endr\n.popsection\n");

/* Hashes, encrypts, signs and verifies; what of it can be said in advance comes into `out`. */
static void work(uint8_t out[64])
{
    uint8_t text[4096], cipher[4200], signature[256];
    int length, rest;
    size_t signed_length = sizeof(signature);
    for (unsigned i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)(i * 7);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    assert_int_equal(EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, text, text + 32), 1);
    assert_int_equal(EVP_EncryptUpdate(c, cipher, &length, text, sizeof(text)), 1);
    assert_int_equal(EVP_EncryptFinal_ex(c, cipher + length, &rest), 1);
    EVP_CIPHER_CTX_free(c);
    SHA256(cipher, (size_t)(length + rest), out);
    assert_int_equal(EVP_Digest(text, sizeof(text), out + 32, NULL, EVP_sha3_256(), NULL), 1);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    EVP_MD_CTX *m = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(m, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(m, signature, &signed_length, text, sizeof(text)), 1);
    EVP_MD_CTX_free(m);
    m = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(m, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestVerify(m, signature, signed_length, text, sizeof(text)), 1);
    EVP_MD_CTX_free(m);
    EVP_PKEY_free(key);
}

/* How many symbols there are: the last one that is hashed. */
static uint32_t symbol_count(const struct elf_object *o)
{
    uint32_t buckets = o->gnu_hash[0], first = o->gnu_hash[1], words = o->gnu_hash[2], last = 0;
    const uint32_t *bucket = (const uint32_t *)((const ElfW(Addr) *)(o->gnu_hash + 4) + words);
    const uint32_t *chain = bucket + buckets;
    for (uint32_t i = 0; i < buckets; i++)
        last = bucket[i] > last ? bucket[i] : last;
    while (!(chain[last - first] & 1))
        last++;
    return last + 1;
}

static unsigned fill(const struct elf_object *o, uint32_t *next, struct entry_request *requests)
{
    unsigned n = 0;
    for (uint32_t all = symbol_count(o); *next < all && n < TOGETHER; *next += 3) {
        const ElfW(Sym) *s = &o->symbols[*next];
        if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || !s->st_shndx || !s->st_size)
            continue;
        requests[n] = (struct entry_request){.function = (void *)(o->base + s->st_value),
                                             .size = s->st_size,
                                             .replacement = (void *)(uintptr_t)(stubs + n * 32),
                                             .original = &stub_originals[n]};
        n++;
    }
    return n;
}

static void test_libcrypto(void **state)
{
    (void)state;
    struct link_map *map = dlopen("libcrypto.so.3", RTLD_LAZY | RTLD_NOLOAD);
    struct elf_object o;
    uint8_t before[64], now[64];
    unsigned hooked = 0, offered = 0, reached = 0, n;
    assert_non_null(map);
    assert_true(elf_read(&o, map->l_addr, map->l_ld));
    work(before);
    struct entry_request requests[TOGETHER];
    for (uint32_t next = o.gnu_hash[1]; (n = fill(&o, &next, requests)) != 0; offered += n) {
        memset(stub_counts, 0, sizeof(stub_counts));
        hooked += entry_hook_all(requests, n, ENTRY_QUIET);
        work(now);
        assert_memory_equal(before, now, sizeof(now));
        for (unsigned i = 0; i < n; i++) {
            const char *reason = "";
            /* two symbols may name one function */
            if (requests[i].result != 0 && requests[i].result != -EALREADY)
                assert_int_equal(requests[i].result, -ENOTSUP);
            if (requests[i].result == 0)
                assert_int_equal(entry_unhook(requests[i].function, ENTRY_QUIET, &reason), 0);
            reached += stub_counts[i] != 0;
        }
    }
    work(now);
    assert_memory_equal(before, now, sizeof(now));
    print_message("%u functions of %u hooked, %u of them called\n", hooked, offered, reached);
    assert_true(hooked * 10 > offered * 9);
    assert_true(reached > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_libcrypto)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    return 0;
}

#endif
