/*
 * HTTP and TLS by libcurl: the only user of libcurl, in a library of its own (see http.h).
 */
#include "transport/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>
#include <zlib.h>

#include "os/sys.h"

enum {
    HEADERS_MAX = 64 * 1024, /* bytes of a reply's headers */
    GZIP_LEAST = 1024,       /* shorter bodies gain nothing by it */
};

static const uint64_t MILLISECOND = 1000000u;
static const uint64_t WAIT_MOST = 1000000000u, WAIT_BLIND = 5000000u; /* ns */

/* The host's: set before anything else is called. */
struct http_host http_host;
#define host http_host

struct http {
    const struct http_options *options;
    char *url;
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers, *resolve;
    int offered;    /* the socket that curl may take next; -1: none */
    int connection; /* the socket that it has; -1: none */
    bool under_way, kept, stream;
    bool proxy; /* what the connection leads to */

    char *packed; /* the request's body, compressed */
    /* the reply */
    uint8_t *body;
    size_t length, room, header_bytes;
    bool too_large, answered, headers_whole, headers_long;
    char retry_after[64], content_type[64];
    char error[CURL_ERROR_SIZE];
};

/* ------------------------------------------------------------------ memory: --wrap sends it here
 */

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t max);

void *__wrap_malloc(size_t size)
{
    return host.alloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return host.zalloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return host.resize(p, size);
}

void __wrap_free(void *p)
{
    host.release(p);
}

char *__wrap_strndup(const char *s, size_t max)
{
    size_t length = strnlen(s, max);
    char *copy = host.alloc(length + 1);

    if (copy) {
        memcpy(copy, s, length);
        copy[length] = '\0';
    }
    return copy;
}

char *__wrap_strdup(const char *s)
{
    return __wrap_strndup(s, SIZE_MAX);
}

/* ------------------------------------------------------------------ sockets */

/* curl asks for a socket: it gets the one that the client has connected, or none. */
static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http *h = context;
    int fd = h->offered;

    (void)purpose;
    (void)address;
    h->offered = -1;
    if (fd >= 0)
        h->connection = fd;
    return fd >= 0 ? fd : CURL_SOCKET_BAD;
}

static int tell_connected(void *context, curl_socket_t fd, curlsocktype purpose)
{
    (void)context;
    (void)fd;
    (void)purpose;
    return CURL_SOCKOPT_ALREADY_CONNECTED;
}

static int close_socket(void *context, curl_socket_t fd)
{
    struct http *h = context;

    if (fd == h->connection)
        h->connection = -1;
    sys(close, fd);
    return 0;
}

/* ------------------------------------------------------------------ the reply */

static size_t take_body(char *data, size_t one, size_t length, void *context)
{
    struct http *h = context;
    size_t most = h->options->reply_max ? h->options->reply_max : HTTP_REPLY_MAX;

    (void)one;
    h->answered = true;
    if (length > most - h->length) {
        h->too_large = true;
        return 0; /* which ends the transfer */
    }
    if (h->length + length > h->room) {
        size_t room = h->room ? h->room * 2 : 4096;
        while (room < h->length + length)
            room *= 2;
        uint8_t *body = realloc(h->body, room);
        if (!body)
            return 0;
        h->body = body;
        h->room = room;
    }
    memcpy(h->body + h->length, data, length);
    h->length += length;
    return length;
}

static void copy_value(char *out, size_t size, const char *from, size_t length)
{
    while (length && (*from == ' ' || *from == '\t')) {
        from++;
        length--;
    }
    while (length && strchr("\r\n\t ", from[length - 1]))
        length--;
    if (length > size - 1)
        length = size - 1;
    memcpy(out, from, length);
    out[length] = '\0';
}

static size_t take_header(char *data, size_t one, size_t length, void *context)
{
    struct http *h = context;

    (void)one;
    h->answered = true;
    h->header_bytes += length;
    h->headers_long = h->header_bytes > HEADERS_MAX;
    if (h->headers_long)
        return 0;
    if (length > 5 && !strncmp(data, "HTTP/", 5)) { /* of the final response, not of a 100 */
        h->retry_after[0] = h->content_type[0] = '\0';
        h->headers_whole = false;
    }
    if (length <= 2 && data[length - 1] == '\n')
        h->headers_whole = true;
    if (length > 12 && !strncasecmp(data, "retry-after:", 12))
        copy_value(h->retry_after, sizeof(h->retry_after), data + 12, length - 12);
    if (length > 13 && !strncasecmp(data, "content-type:", 13)) {
        copy_value(h->content_type, sizeof(h->content_type), data + 13, length - 13);
        h->content_type[strcspn(h->content_type, "; ")] = '\0';
        for (char *p = h->content_type; *p; p++)
            if (*p >= 'A' && *p <= 'Z')
                *p = (char)(*p + 'a' - 'A');
    }
    return length;
}

/* ------------------------------------------------------------------ options */

static const char *find_ca(void)
{
    /* Debian, Alpine and most others; Red Hat; SUSE; an old Red Hat; Alpine's link. */
    static const char *const places[] = {
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/pki/tls/cacert.pem",
        "/etc/ssl/cert.pem",
    };

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (sys(faccessat, -100 /* AT_FDCWD */, places[i], 4 /* R_OK */) == 0)
            return places[i];
    return places[0];
}

static bool add_header(struct http *h, const char *name, const char *value)
{
    size_t room = strlen(name) + strlen(value) + 3;

    /* What would become a header of its own, or end them all, is left out. */
    if (strpbrk(name, "\r\n:") || strpbrk(value, "\r\n"))
        return true;
    char *line = malloc(room);
    struct curl_slist *list = NULL;

    if (line) {
        /* A header without a value is written with a semicolon, which curl takes away. */
        snprintf(line, room, *value ? "%s: %s" : "%s;", name, value);
        list = curl_slist_append(h->headers, line);
    }
    free(line);
    if (list)
        h->headers = list;
    return list != NULL;
}

static bool set_headers(struct http *h, bool packed)
{
    const struct http_options *o = h->options;
    bool good =
        add_header(h, "Content-Type", o->content_type ? o->content_type : "application/json");

    good = good && (!packed || add_header(h, "Content-Encoding", "gzip"));
    if (good && h->headers) { /* never "Expect: 100-continue" */
        struct curl_slist *list = curl_slist_append(h->headers, "Expect:");
        good = list != NULL;
        h->headers = list ? list : h->headers;
    }
    for (size_t i = 0; good && i < o->header_count; i++)
        good = add_header(h, o->headers[i].name, o->headers[i].value);
    return good;
}

/* A write that could not be finished is begun again, with the same bytes at another address. */
static CURLcode allow_moving(CURL *easy, void *context, void *unused)
{
    (void)easy;
    (void)unused;
    SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
    return CURLE_OK;
}

static void set_tls(struct http *h)
{
    const struct http_options *o = h->options;

    curl_easy_setopt(h->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(h->easy, CURLOPT_SSL_CTX_FUNCTION, allow_moving);
    curl_easy_setopt(h->easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(h->easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(h->easy, CURLOPT_CAINFO, o->ca_file ? o->ca_file : find_ca());
    if (o->client_cert)
        curl_easy_setopt(h->easy, CURLOPT_SSLCERT, o->client_cert);
    if (o->client_key || o->client_cert)
        curl_easy_setopt(h->easy, CURLOPT_SSLKEY, o->client_key ? o->client_key : o->client_cert);
}

/* The address is never used, for the socket is connected; it keeps curl from asking a resolver. */
static bool set_resolve(struct http *h, const char *url)
{
    char entry[320];
    const char *at = strstr(url, "://"), *end;

    if (!at)
        return false;
    const char *port = at - url == 5 ? ":443" : ":80"; /* https, http */
    at += 3;
    end = at + strcspn(at, "/");
    const char *user = memrchr(at, '@', (size_t)(end - at)); /* of a proxy */
    at = user ? user + 1 : at;
    if (*at == '[' || (size_t)(end - at) > sizeof(entry) - 24)
        return true;
    if (memchr(at, ':', (size_t)(end - at)))
        port = "";
    snprintf(entry, sizeof(entry), "%.*s%s:127.0.0.1", (int)(end - at), at, port);
    struct curl_slist *list = curl_slist_append(h->resolve, entry);
    if (!list)
        return false;
    h->resolve = list;
    curl_easy_setopt(h->easy, CURLOPT_RESOLVE, h->resolve);
    return true;
}

static bool set_common(struct http *h)
{
    CURL *e = h->easy;

    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, h->error);
    curl_easy_setopt(e, CURLOPT_PRIVATE, h);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, h);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, h);
    curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, tell_connected);
    curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 0L); /* the client has set it */
    curl_easy_setopt(e, CURLOPT_NOPROXY, "");
    curl_easy_setopt(e, CURLOPT_URL, h->url);
    set_tls(h);
    return set_resolve(h, h->url) && (!h->options->proxy || set_resolve(h, h->options->proxy));
}

static void set_exchange(struct http *h)
{
    CURL *e = h->easy;

    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(e, CURLOPT_USERAGENT,
                     h->options->user_agent ? h->options->user_agent : "scope");
    curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "gzip");
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, h);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, h);
}

/* ------------------------------------------------------------------ life */

static void http_close(struct http *h)
{
    if (!h)
        return;
    if (h->easy && h->under_way)
        curl_multi_remove_handle(h->multi, h->easy);
    if (h->easy)
        curl_easy_cleanup(h->easy);
    if (h->multi)
        curl_multi_cleanup(h->multi);
    if (h->offered >= 0)
        sys(close, h->offered);
    curl_slist_free_all(h->headers);
    curl_slist_free_all(h->resolve);
    free(h->packed);
    free(h->body);
    free(h->url);
    free(h);
}

static struct http *http_open(const char *url, const struct http_options *options)
{
    struct http *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    h->options = options;
    h->offered = h->connection = -1;
    h->url = strdup(url);
    h->multi = curl_multi_init();
    h->easy = curl_easy_init();
    if (!h->url || !h->multi || !h->easy || !set_common(h)) {
        http_close(h);
        return NULL;
    }
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 1L);
    set_exchange(h);
    return h;
}

static bool is_connected(const struct http *h)
{
    return h->connection >= 0;
}

static int descriptor(const struct http *h)
{
    return h->connection;
}

/* ------------------------------------------------------------------ a request */

/* In h->packed, or not at all where it does not get shorter. Its length; 0: as it is. */
static size_t compress_body(struct http *h, const void *body, size_t length)
{
    z_stream z = {0};
    size_t packed = 0;

    if (!h->options->gzip || length < GZIP_LEAST ||
        deflateInit2(&z, 3, Z_DEFLATED, 15 + 16 /* gzip */, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    h->packed = malloc(length);
    z.next_in = (Bytef *)(uintptr_t)body;
    z.avail_in = (uInt)length;
    z.next_out = (Bytef *)h->packed;
    z.avail_out = (uInt)length;
    if (h->packed && deflate(&z, Z_FINISH) == Z_STREAM_END)
        packed = z.total_out;
    deflateEnd(&z);
    if (!packed) {
        free(h->packed);
        h->packed = NULL;
    }
    return packed;
}

static void over(struct http *h)
{
    if (h->under_way)
        curl_multi_remove_handle(h->multi, h->easy);
    h->under_way = false;
    free(h->packed);
    h->packed = NULL;
    if (h->offered >= 0)
        sys(close, h->offered);
    h->offered = -1;
}

static void forget_reply(struct http *h)
{
    free(h->body);
    h->body = NULL;
    h->length = h->room = h->header_bytes = 0;
    h->too_large = h->answered = h->headers_whole = h->headers_long = false;
    h->retry_after[0] = h->content_type[0] = h->error[0] = '\0';
}

static int begin(struct http *h, int fd)
{
    h->kept = fd < 0;
    h->offered = fd;
    forget_reply(h);
    if (curl_multi_add_handle(h->multi, h->easy) != CURLM_OK)
        return -ENOMEM;
    h->under_way = true;
    return 0;
}

static int http_start(struct http *h, int fd, bool proxy, const void *body, size_t length)
{
    size_t packed = compress_body(h, body, length);

    curl_slist_free_all(h->headers);
    h->headers = NULL;
    if (!set_headers(h, packed != 0)) {
        h->offered = fd;
        over(h);
        return -ENOMEM;
    }
    curl_easy_setopt(h->easy, CURLOPT_PROXY, proxy ? h->options->proxy : "");
    curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, h->headers);
    curl_easy_setopt(h->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(h->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(packed ? packed : length));
    curl_easy_setopt(h->easy, CURLOPT_POSTFIELDS, packed ? h->packed : body);
    int r = begin(h, fd);
    if (r < 0)
        over(h);
    return r;
}

static void what_to_wait_for(struct http *h, struct http_wait *wait)
{
    fd_set in, out, odd;
    long ms = -1;
    int most = -1;

    *wait = (struct http_wait){.fd = -1, .most = WAIT_MOST};
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&odd);
    curl_multi_fdset(h->multi, &in, &out, &odd, &most);
    if (h->connection >= 0 && h->connection < FD_SETSIZE)
        wait->events = (short)((FD_ISSET(h->connection, &in) ? POLLIN : 0) |
                               (FD_ISSET(h->connection, &out) ? POLLOUT : 0));
    if (wait->events)
        wait->fd = h->connection;
    else /* a number that no fd_set holds, or nothing to wait for */
        wait->most = WAIT_BLIND;
    curl_multi_timeout(h->multi, &ms);
    if (ms >= 0 && (uint64_t)ms * MILLISECOND < wait->most)
        wait->most = (uint64_t)ms * MILLISECOND;
}

/* 0: the transfer is over. -EAGAIN: not yet, see *wait. */
static int drive(struct http *h, CURLcode *code, struct http_wait *wait)
{
    int running = 0, left;
    CURLMsg *message;

    curl_multi_perform(h->multi, &running);
    while ((message = curl_multi_info_read(h->multi, &left))) {
        if (message->msg != CURLMSG_DONE || message->easy_handle != h->easy)
            continue;
        *code = message->data.result;
        return 0;
    }
    what_to_wait_for(h, wait);
    return -EAGAIN;
}

static const char *words(const struct http *h, CURLcode code)
{
    if (code == CURLE_SSL_CACERT_BADFILE)
        return "the file of CA certificates cannot be read";
    if (code == CURLE_SSL_CERTPROBLEM)
        return "the client certificate cannot be read";
    if (h->headers_long)
        return "the headers of the reply are too long";
    if (code == CURLE_OK)
        return "the connection ended inside the headers of the reply";
    return h->error[0] ? h->error : curl_easy_strerror(code);
}

static int http_step(struct http *h, struct http_result *result, struct http_wait *wait)
{
    CURLcode code = CURLE_OK;
    long status = 0, sent = 0;

    result->unsent = false;
    if (!h->under_way)
        return -EIO;
    if (drive(h, &code, wait) == -EAGAIN)
        return -EAGAIN;
    curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
    /* A handshake that failed, for instance. */
    result->unsent =
        curl_easy_getinfo(h->easy, CURLINFO_REQUEST_SIZE, &sent) == CURLE_OK && sent == 0;
    over(h);
    result->retry_after = h->retry_after;
    result->error = words(h, code);
    /* An encoding that is none: what it says is not known, but its status is. */
    if (code == CURLE_BAD_CONTENT_ENCODING && h->headers_whole) {
        code = CURLE_OK;
        h->length = 0;
    }
    if (h->too_large)
        h->length = 0;
    if ((code != CURLE_OK && !h->too_large) || !h->headers_whole) {
        /* A connection that was kept may have been closed meanwhile: no fault of anybody's. */
        return h->kept && !h->answered ? -ESTALE : -EIO;
    }
    result->reply = (struct reply){.status = (int)status,
                                   .content_type = h->content_type,
                                   .body = h->body,
                                   .length = h->length,
                                   .too_large = h->too_large};
    return 0;
}

static void http_abandon(struct http *h)
{
    over(h);
}

/* ------------------------------------------------------------------ streams over TLS */

static int tls_start(struct http *h, int fd)
{
    h->stream = true;
    curl_easy_setopt(h->easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(h->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(h->easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
    int r = begin(h, fd);
    if (r < 0)
        over(h);
    return r;
}

static int tls_step(struct http *h, const char **error, struct http_wait *wait)
{
    CURLcode code = CURLE_OK;

    if (drive(h, &code, wait) == -EAGAIN)
        return -EAGAIN;
    *error = words(h, code);
    /* The handle stays in the multi handle: its connection ends with its removal. */
    return code == CURLE_OK ? 0 : -EIO;
}

static long tls_send(struct http *h, const void *data, size_t length)
{
    size_t sent = 0;
    CURLcode code = curl_easy_send(h->easy, data, length, &sent);

    if (code == CURLE_OK)
        return (long)sent;
    return code == CURLE_AGAIN ? -EAGAIN : -EIO;
}

static long tls_receive(struct http *h, void *data, size_t size)
{
    size_t received = 0;
    CURLcode code = curl_easy_recv(h->easy, data, size, &received);

    if (code == CURLE_OK)
        return (long)received;
    return code == CURLE_AGAIN ? -EAGAIN : -EIO;
}

/* ------------------------------------------------------------------ the library */

static const struct http_library library = {
    .version = HTTP_LIBRARY_VERSION,
    .open = http_open,
    .close = http_close,
    .is_connected = is_connected,
    .descriptor = descriptor,
    .start = http_start,
    .step = http_step,
    .abandon = http_abandon,
    .tls_start = tls_start,
    .tls_step = tls_step,
    .tls_send = tls_send,
    .tls_receive = tls_receive,
};

http_library_get scope_http_library __attribute__((visibility("default")));

const struct http_library *scope_http_library(const struct http_host *functions)
{
    host = *functions;
    /* First of all: no handler at exit (the reporter may be at it then), nobody's openssl.cnf. */
    if (!OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CONFIG, NULL))
        return NULL;
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? &library : NULL;
}
