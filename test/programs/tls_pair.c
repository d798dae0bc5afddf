/*
 * One process with both ends of TLS connections over TCP, on two threads: an HTTP exchange with
 * SSL_read and SSL_write or their _ex forms, with a handshake of its own or an implicit one. Says
 * what it sent, and what stood in the error queue.
 *
 *     tls_pair CERTIFICATE KEY NUMBER-OF-CONNECTIONS
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static SSL_CTX *server_context, *client_context;
static int listener, connections;

static void *serve(void *nothing)
{
    char request[1024];
    const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";
    for (int i = 0; i < connections; i++) {
        int fd = accept(listener, NULL, NULL);
        SSL *ssl = SSL_new(server_context);
        size_t n = 0;
        SSL_set_fd(ssl, fd);
        SSL_set_accept_state(ssl);
        if (i % 2)
            SSL_accept(ssl);
        SSL_peek(ssl, request, 5);
        if (i % 2)
            SSL_read_ex(ssl, request, sizeof(request), &n);
        else
            SSL_read(ssl, request, sizeof(request));
        if (i % 2)
            SSL_write_ex(ssl, answer, sizeof(answer) - 1, &n);
        else
            SSL_write(ssl, answer, sizeof(answer) - 1);
        SSL_shutdown(ssl);
        SSL_free(ssl);
        close(fd);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    pthread_t thread;
    server_context = SSL_CTX_new(TLS_server_method());
    client_context = SSL_CTX_new(TLS_client_method());
    if (argc < 4 || SSL_CTX_use_certificate_file(server_context, argv[1], SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(server_context, argv[2], SSL_FILETYPE_PEM) != 1)
        return 2;
    connections = atoi(argv[3]);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    bind(listener, (struct sockaddr *)&address, length);
    listen(listener, 16);
    getsockname(listener, (struct sockaddr *)&address, &length);
    pthread_create(&thread, NULL, serve, NULL);
    for (int i = 0; i < connections; i++) {
        char text[128], answer[256];
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        connect(fd, (struct sockaddr *)&address, length);
        SSL *ssl = SSL_new(client_context);
        SSL_set_fd(ssl, fd);
        SSL_set_tlsext_host_name(ssl, "pair.example");
        SSL_set_connect_state(ssl);
        if (i % 2)
            SSL_do_handshake(ssl);
        int size = sprintf(text, "GET /pair/%d HTTP/1.1\r\nHost: pair.example\r\n\r\n", i);
        int sent = SSL_write(ssl, text, size), got = 0, r;
        while ((r = SSL_read(ssl, answer, sizeof(answer))) > 0)
            got += r;
        printf("%d sent %d got %d ends %d errors %lu\n", i, sent == size, got,
               SSL_get_error(ssl, r), ERR_get_error());
        SSL_free(ssl);
        close(fd);
    }
    pthread_join(thread, NULL);
    return 0;
}
