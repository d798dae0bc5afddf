/*
 * Preloaded into a program that has OpenSSL inside: hooks functions of it at their entries, counts
 * their calls, and writes the counts at exit to the file that ENTRY_COUNT names.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hook/entry.h"

enum { READ, WRITE, HANDSHAKE, FREE, RANDOM, FD, FUNCTIONS };

static struct entry_symbol symbols[FUNCTIONS] = {{"SSL_read", NULL, 0},
                                                 {"SSL_write", NULL, 0},
                                                 {"SSL_do_handshake", NULL, 0},
                                                 {"SSL_free", NULL, 0},
                                                 {"SSL_get_client_random", NULL, 0},
                                                 {"SSL_get_fd", NULL, 0}};
static const char *reasons[FUNCTIONS];
static void *real[FUNCTIONS];
static unsigned long counts[FUNCTIONS], plain_bytes;

static void count(int function)
{
    __atomic_fetch_add(&counts[function], 1, __ATOMIC_RELAXED);
}

static int our_read(void *ssl, void *data, int size)
{
    count(READ);
    int n = ((int (*)(void *, void *, int))real[READ])(ssl, data, size);
    if (n > 0)
        __atomic_fetch_add(&plain_bytes, (unsigned long)n, __ATOMIC_RELAXED);
    return n;
}

static int our_write(void *ssl, const void *data, int size)
{
    count(WRITE);
    return ((int (*)(void *, const void *, int))real[WRITE])(ssl, data, size);
}

static int our_handshake(void *ssl)
{
    count(HANDSHAKE);
    return ((int (*)(void *))real[HANDSHAKE])(ssl);
}

static void our_free(void *ssl)
{
    count(FREE);
    ((void (*)(void *))real[FREE])(ssl);
}

static size_t our_random(const void *ssl, unsigned char *out, size_t size)
{
    count(RANDOM);
    return ((size_t(*)(const void *, unsigned char *, size_t))real[RANDOM])(ssl, out, size);
}

static int our_fd(const void *ssl)
{
    count(FD);
    return ((int (*)(const void *))real[FD])(ssl);
}

static __attribute__((constructor)) void start(void)
{
    void *const ours[FUNCTIONS] = {(void *)our_read, (void *)our_write,  (void *)our_handshake,
                                   (void *)our_free, (void *)our_random, (void *)our_fd};
    entry_find(symbols, FUNCTIONS);
    for (int i = 0; i < FUNCTIONS; i++) {
        reasons[i] = symbols[i].address ? "hooked" : "not found";
        if (symbols[i].address)
            entry_hook(symbols[i].address, symbols[i].size, ours[i], ENTRY_QUIET, &real[i],
                       &reasons[i]);
    }
}

static __attribute__((destructor)) void end(void)
{
    const char *name = getenv("ENTRY_COUNT");
    FILE *file = name ? fopen(name, "we") : NULL;
    if (!file)
        return;
    for (int i = 0; i < FUNCTIONS; i++)
        fprintf(file, "%s: %lu %s\n", symbols[i].name, counts[i], reasons[i]);
    fprintf(file, "bytes read: %lu\n", plain_bytes);
    fclose(file);
}
