/*
 * A scripted HTTP server in a thread, with or without TLS: it answers request after request with
 * what it was told, and keeps what it was asked.
 */
#ifndef SCOPE_TEST_HTTP_SERVER_H
#define SCOPE_TEST_HTTP_SERVER_H

#include <dlfcn.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CLOSES = 1, RESETS = 2, UNREAD = 4 };

struct scripted {
    const char *data; /* NULL: a plain 200 */
    size_t length;    /* 0: strlen */
    unsigned how;     /* CLOSES, RESETS: after it; UNREAD: without reading the request */
    unsigned wait;    /* ms before it */
};

struct seen {
    size_t length;
    char head[4096], body[65536]; /* the front of each */
};

struct server {
    int listener;
    uint16_t port;
    const struct scripted *script;
    size_t count;
    SSL_CTX *tls;
    pthread_t thread;
    unsigned connections, requests;
    pthread_mutex_t lock;
    struct seen seen;    /* under the lock */
    struct seen current; /* the thread's own */
};

struct peer {
    int fd;
    SSL *ssl;
};

static long peer_read(struct peer *p, void *out, size_t size)
{
    return p->ssl ? SSL_read(p->ssl, out, (int)size) : read(p->fd, out, size);
}

static void peer_write(struct peer *p, const char *data, size_t length)
{
    while (length) {
        size_t part = length < 16384 ? length : 16384;
        long n =
            p->ssl ? SSL_write(p->ssl, data, (int)part) : send(p->fd, data, part, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        data += n;
        length -= (size_t)n;
    }
}

static void peer_close(struct peer *p, bool reset)
{
    struct linger now = {1, 0};

    if (p->fd < 0)
        return;
    if (reset)
        setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    else if (p->ssl)
        SSL_shutdown(p->ssl);
    SSL_free(p->ssl);
    close(p->fd);
    p->fd = -1;
    p->ssl = NULL;
}

/* False: the client went away. */
static bool peer_accept(struct server *s, struct peer *p)
{
    p->fd = accept(s->listener, NULL, NULL);
    if (p->fd < 0)
        return false;
    __atomic_add_fetch(&s->connections, 1, __ATOMIC_SEQ_CST);
    if (!s->tls)
        return true;
    p->ssl = SSL_new(s->tls);
    SSL_set_fd(p->ssl, p->fd);
    if (SSL_accept(p->ssl) == 1)
        return true;
    peer_close(p, false);
    return false;
}

static bool read_request(struct server *s, struct peer *p)
{
    struct seen *now = &s->current;
    size_t have = 0, want = 0;
    static __thread char rest[65536];
    char *end = NULL;

    while (!end) {
        long n = peer_read(p, now->head + have, sizeof(now->head) - 1 - have);
        if (n <= 0)
            return false;
        have += (size_t)n;
        now->head[have] = '\0';
        end = strstr(now->head, "\r\n\r\n");
    }
    const char *length = strcasestr(now->head, "content-length:");
    if (length)
        want = strtoul(length + 15, NULL, 10);
    now->length = have - (size_t)(end + 4 - now->head);
    memcpy(now->body, end + 4, now->length);
    end[4] = '\0';
    while (now->length < want) {
        long n = peer_read(p, rest,
                           want - now->length < sizeof(rest) ? want - now->length : sizeof(rest));
        if (n <= 0)
            return false;
        if (now->length + (size_t)n <= sizeof(now->body))
            memcpy(now->body + now->length, rest, (size_t)n);
        now->length += (size_t)n;
    }
    pthread_mutex_lock(&s->lock);
    s->seen = *now;
    pthread_mutex_unlock(&s->lock);
    return true;
}

static void *serve_script(void *argument)
{
    static const char usual[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    struct server *s = argument;
    struct peer p = {.fd = -1};

    for (size_t i = 0; i < s->count;) {
        const struct scripted *now = &s->script[i];
        if (p.fd < 0 && !peer_accept(s, &p)) {
            if (!s->tls)
                break;
            i++; /* a handshake that was to fail */
            continue;
        }
        if (!(now->how & UNREAD) && !read_request(s, &p)) {
            peer_close(&p, false);
            continue;
        }
        __atomic_add_fetch(&s->requests, 1, __ATOMIC_SEQ_CST);
        usleep(now->wait * 1000);
        const char *data = now->data ? now->data : usual;
        peer_write(&p, data, now->length ? now->length : strlen(data));
        if (now->how & (CLOSES | RESETS))
            peer_close(&p, now->how & RESETS);
        i++;
    }
    /* The client closes first, or the listener. */
    char rest[64];
    while (p.fd >= 0 && peer_read(&p, rest, sizeof(rest)) > 0)
        ;
    peer_close(&p, false);
    return NULL;
}

static void server_listen(struct server *s, const struct scripted *script, size_t count,
                          SSL_CTX *tls, const char *unix_path)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(v4);

    pthread_mutex_init(&s->lock, NULL);
    s->script = script;
    s->count = count;
    s->tls = tls;
    s->listener = socket(unix_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (unix_path) {
        strcpy(un.sun_path, unix_path);
        size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(unix_path));
        if (*unix_path == '@')
            un.sun_path[0] = '\0';
        else
            unlink(unix_path);
    }
    if (bind(s->listener, unix_path ? (void *)&un : (void *)&v4, size) != 0)
        abort();
    listen(s->listener, 16);
    if (!unix_path)
        getsockname(s->listener, (void *)&v4, &size);
    s->port = ntohs(v4.sin_port);
    pthread_create(&s->thread, NULL, serve_script, s);
}

/* Waits until the script is through and the client has closed. */
static void server_end(struct server *s)
{
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
    free(s);
}

/* What the latest request was. */
static inline unsigned server_requests(struct server *s)
{
    return __atomic_load_n(&s->requests, __ATOMIC_SEQ_CST);
}

static inline unsigned server_connections(struct server *s)
{
    return __atomic_load_n(&s->connections, __ATOMIC_SEQ_CST);
}

static inline const struct seen *server_seen(struct server *s)
{
    static struct seen copy;

    pthread_mutex_lock(&s->lock);
    copy = s->seen;
    pthread_mutex_unlock(&s->lock);
    return &copy;
}

#define server_head(s) (server_seen(s)->head)
#define server_body(s) (server_seen(s)->body)
#define server_length(s) (server_seen(s)->length)

static inline struct server *server_start(const struct scripted *script, size_t count)
{
    struct server *s = calloc(1, sizeof(*s));

    server_listen(s, script, count, NULL, NULL);
    return s;
}

/* Whether the HTTP library is in this process. */
static inline bool transport_http_loaded(void)
{
    char line[4096];
    bool found = false;
    FILE *in = fopen("/proc/self/maps", "r");

    while (in && fgets(line, sizeof(line), in))
        found = found || strstr(line, "libscope-http.so");
    if (in)
        fclose(in);
    return found;
}

#endif
