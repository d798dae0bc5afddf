/*
 * A hash of bytes for tables and for telling units apart: not for secrets, and of one process, for
 * it depends on the order of bytes in a word.
 */
#ifndef SCOPE_OS_HASH_H
#define SCOPE_OS_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HASH_FIRST 0xcbf29ce484222325ULL

/* The product's upper half comes down, or a table's places would be of the lowest bits alone. */
static inline uint64_t hash_word(uint64_t h, uint64_t word)
{
    unsigned __int128 product = (unsigned __int128)(h ^ word) * 0x9e3779b97f4a7c15ULL;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The length too, so that what stands next to each other is told apart. */
static inline uint64_t hash_bytes(uint64_t h, const void *data, size_t length)
{
    const uint8_t *p = data;
    size_t left = length;
    uint64_t word;

    for (; left >= sizeof(word); left -= sizeof(word), p += sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        h = hash_word(h, word);
    }
    word = 0;
    for (size_t i = 0; i < left; i++)
        word = word << 8 | p[i];
    return hash_word(h + length, word);
}

#endif
