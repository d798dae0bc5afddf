/*
 * OpenSSL inside the executable, where no symbol leads to us: hooks SSL_read and SSL_write at their
 * entries, talks TLS between two threads, and counts what came through.
 */
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "hook/entry.h"

enum { MESSAGES = 50 };

static int (*real_read)(SSL *, void *, int);
static int (*real_write)(SSL *, const void *, int);
static int reads, writes, same;

static int our_read(SSL *ssl, void *data, int size)
{
    int n = real_read(ssl, data, size);
    __atomic_fetch_add(&reads, 1, __ATOMIC_RELAXED);
    return n;
}

static int our_write(SSL *ssl, const void *data, int size)
{
    __atomic_fetch_add(&writes, 1, __ATOMIC_RELAXED);
    return real_write(ssl, data, size);
}

static SSL_CTX *server_context(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_sign(cert, key, EVP_sha256());
    if (SSL_CTX_use_certificate(context, cert) != 1 || SSL_CTX_use_PrivateKey(context, key) != 1)
        return NULL;
    return context;
}

/* Sends back what comes, until the other closes. */
static void *serve(void *argument)
{
    char data[256];
    int n;
    SSL *ssl = SSL_new(server_context());
    SSL_set_fd(ssl, *(int *)argument);
    if (SSL_accept(ssl) == 1) {
        while ((n = SSL_read(ssl, data, sizeof(data))) > 0)
            SSL_write(ssl, data, n);
    }
    SSL_free(ssl);
    return NULL;
}

static int talk(void)
{
    int pair[2];
    pthread_t thread;
    char data[256], back[256];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        return 1;
    pthread_create(&thread, NULL, serve, &pair[1]);
    SSL *ssl = SSL_new(SSL_CTX_new(TLS_client_method()));
    SSL_set_fd(ssl, pair[0]);
    if (SSL_connect(ssl) != 1)
        return 1;
    for (int i = 0; i < MESSAGES; i++) {
        int n = snprintf(data, sizeof(data), "message %d", i);
        SSL_write(ssl, data, n);
        same += SSL_read(ssl, back, sizeof(back)) == n && memcmp(data, back, (size_t)n) == 0;
    }
    SSL_shutdown(ssl);
    pthread_join(thread, NULL);
    SSL_free(ssl);
    return 0;
}

static int hook(struct entry_symbol *symbol, void *replacement, void **real)
{
    const char *reason = "not found";
    if (symbol->address &&
        entry_hook(symbol->address, symbol->size, replacement, ENTRY_QUIET, real, &reason) == 0)
        return 0;
    printf("%s: %s\n", symbol->name, reason);
    return 1;
}

int main(void)
{
    const char *reason = "";
    struct entry_symbol s[] = {{"SSL_read", NULL, 0}, {"SSL_write", NULL, 0}};
    entry_find(s, 2);
    if (hook(&s[0], (void *)our_read, (void **)&real_read) ||
        hook(&s[1], (void *)our_write, (void **)&real_write) || talk())
        return 1;
    printf("hooked: %d reads, %d writes, %d of %d the same\n", reads, writes, same, MESSAGES);
    reads = writes = same = 0;
    if (entry_unhook(s[0].address, ENTRY_QUIET, &reason) ||
        entry_unhook(s[1].address, ENTRY_QUIET, &reason) || talk())
        return 1;
    printf("unhooked: %d reads, %d writes, %d of %d the same\n", reads, writes, same, MESSAGES);
    return 0;
}
