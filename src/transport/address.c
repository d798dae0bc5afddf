/*
 * Addresses of sinks: from URL to struct address and back.
 */
#include "transport/transport.h"

#include <errno.h>
#include <string.h>
#include <sys/un.h>

#include "telemetry/number.h"

static const struct {
    const char *prefix;
    enum address_type type;
} schemes[] = {
    {"file://", ADDRESS_FILE},
    {"tcp://", ADDRESS_TCP},
    {"udp://", ADDRESS_UDP},
    {"unix://", ADDRESS_UNIX},
    {"unixgram://", ADDRESS_UNIXGRAM},
    {"tls://", ADDRESS_TLS},
    {"http://", ADDRESS_HTTP},
    {"https://", ADDRESS_HTTPS},
    {"http+unix://", ADDRESS_HTTP_UNIX},
};

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A path of a URL, %XX decoded; an incomplete escape stands for itself. False: does not fit. */
static bool copy_path(const char *from, bool decode, char *out, size_t size)
{
    size_t n = 0;

    for (; *from; from++) {
        char c = *from;
        if (decode && c == '%' && hex(from[1]) >= 0 && hex(from[2]) >= 0) {
            c = (char)(hex(from[1]) << 4 | hex(from[2]));
            from += 2;
        }
        if (!c || n + 1 >= size)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return n > 0;
}

static const char *parse_path(const char *rest, struct address *a)
{
    bool local = a->type != ADDRESS_FILE;

    if (local && *rest == '@') {
        if (!rest[1] ||
            !copy_path(rest, true, a->path, sizeof(((struct sockaddr_un *)0)->sun_path)))
            return "an abstract socket name has 1 to 106 bytes after its @";
        return NULL;
    }
    if (*rest != '/')
        return local ? "a socket is unix:///path, unixgram:///path, or @name for an abstract one"
                     : "a file is file:///path, with three slashes, or a plain path";
    if (!copy_path(rest, true, a->path,
                   local ? sizeof(((struct sockaddr_un *)0)->sun_path) : sizeof(a->path)))
        return local ? "a socket's path has at most 107 bytes" : "a path has at most 1023 bytes";
    return NULL;
}

static const char *parse_port(const char *text, struct address *a)
{
    unsigned long port = 0;
    size_t n = 0;

    while (text[n] >= '0' && text[n] <= '9' && n < 6)
        port = port * 10 + (unsigned long)(text[n++] - '0');
    if (!n || port < 1 || port > 65535 || (text[n] && strcmp(text + n, "/")))
        return "a port is a number from 1 to 65535";
    a->port[number_unsigned(a->port, port)] = '\0';
    return NULL;
}

static const char *parse_host(const char *rest, struct address *a)
{
    const char *host = rest, *end, *port;

    if (*rest == '[') {
        host++;
        end = strchr(host, ']');
        if (!end || end[1] != ':')
            return "an IPv6 address stands in brackets before the port: [::1]:8125";
        port = end + 2;
    } else {
        end = strchr(host, ':');
        if (!end)
            return "a port is missing: host:port";
        port = end + 1;
        if (strchr(port, ':'))
            return "an IPv6 address stands in brackets: [::1]:8125";
    }
    size_t length = (size_t)(end - host);
    if (!length || length >= sizeof(a->host))
        return "a host has 1 to 255 bytes";
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)host[i] <= ' ' || strchr("/@?#\\", host[i]))
            return "a host is a name or an address, without user, path or query";
    }
    memcpy(a->host, host, length);
    a->host[length] = '\0';
    return parse_port(port, a);
}

/* Path and query of an http URL, kept as they are: they go into a request line. */
static const char *parse_target(const char *text, struct address *a)
{
    size_t length = strlen(text);

    for (size_t i = 0; i < length; i++) {
        if (text[i] == '#')
            return "a fragment (#...) means nothing to a server";
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7f)
            return "a path holds printable ASCII only: %XX stands for other bytes";
    }
    if (length + 2 > sizeof(a->target))
        return "a path has at most 1022 bytes";
    bool slash = *text == '/';
    a->target[0] = '/';
    memcpy(a->target + !slash, text, length + 1);
    return NULL;
}

/* host[:port][/path][?query] */
static const char *parse_http(const char *rest, struct address *a)
{
    char authority[sizeof(a->host) + 16];
    size_t length = strcspn(rest, "/?#");
    const char *colon = memrchr(rest, ':', length), *bracket = memrchr(rest, ']', length);
    bool port = colon && !(bracket && colon < bracket);

    if (memchr(rest, '@', length))
        return "a user and password do not belong into a URL: headers may say who asks";
    if (length + 5 > sizeof(authority))
        return "a host has 1 to 255 bytes";
    memcpy(authority, rest, length);
    authority[length] = '\0';
    if (!port)
        strcpy(authority + length, a->type == ADDRESS_HTTP ? ":80" : ":443");
    const char *wrong = parse_host(authority, a);
    return wrong ? wrong : parse_target(rest + length, a);
}

/* /socket[:/path], @name[:/path]: the first colon ends the socket's name. */
static const char *parse_http_unix(const char *rest, struct address *a)
{
    char name[sizeof(((struct sockaddr_un *)0)->sun_path) * 3 + 1];
    size_t length = strcspn(rest, ":");

    if (length >= sizeof(name))
        return "a socket's path has at most 107 bytes";
    memcpy(name, rest, length);
    name[length] = '\0';
    const char *wrong = parse_path(name, a);
    return wrong ? wrong : parse_target(rest[length] ? rest + length + 1 : "", a);
}

static const char *parse(const char *url, struct address *a)
{
    if (!*url)
        return "is empty; a path, stdout, stderr, tcp://host:port, udp://host:port, unix:///path "
               "or "
               "unixgram:///path is wanted";
    if (!strcmp(url, "stdout") || !strcmp(url, "stderr")) {
        a->type = url[3] == 'o' ? ADDRESS_STDOUT : ADDRESS_STDERR;
        return NULL;
    }
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t length = strlen(schemes[i].prefix);
        if (strncmp(url, schemes[i].prefix, length))
            continue;
        a->type = schemes[i].type;
        if (a->type == ADDRESS_TCP || a->type == ADDRESS_UDP || a->type == ADDRESS_TLS)
            return parse_host(url + length, a);
        if (a->type == ADDRESS_HTTP || a->type == ADDRESS_HTTPS)
            return parse_http(url + length, a);
        if (a->type == ADDRESS_HTTP_UNIX)
            return parse_http_unix(url + length, a);
        return parse_path(url + length, a);
    }
    if (strstr(url, "://"))
        return "is of an unknown kind; file, tcp, tls, udp, unix, unixgram, http, https and "
               "http+unix "
               "URLs, stdout, stderr and plain paths are known";
    a->type = ADDRESS_FILE;
    if (!copy_path(url, false, a->path, sizeof(a->path)))
        return "a path has at most 1023 bytes";
    return NULL;
}

int address_parse(const char *url, struct address *address, const char **error)
{
    struct address a;

    memset(&a, 0, sizeof(a));
    const char *wrong = parse(url, &a);
    if (wrong) {
        memset(address, 0, sizeof(*address));
        if (error)
            *error = wrong;
        return -EINVAL;
    }
    *address = a;
    return 0;
}

struct out {
    char *data;
    size_t size, length;
};

static void put(struct out *o, const char *text, bool encode)
{
    for (; *text; text++) {
        char code[4] = {*text};
        if (encode && *text == '%')
            memcpy(code, "%25", 3);
        for (const char *c = code; *c && o->length + 1 < o->size; c++)
            o->data[o->length++] = *c;
    }
}

size_t address_format(const struct address *address, char *out, size_t size)
{
    struct out o = {out, size, 0};

    if (!size)
        return 0;
    if (address->type == ADDRESS_STDOUT)
        put(&o, "stdout", false);
    if (address->type == ADDRESS_STDERR)
        put(&o, "stderr", false);
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (schemes[i].type != address->type)
            continue;
        if (address->host[0]) {
            bool v6 = strchr(address->host, ':');
            put(&o, schemes[i].prefix, false);
            put(&o, v6 ? "[" : "", false);
            put(&o, address->host, false);
            put(&o, v6 ? "]:" : ":", false);
            put(&o, address->port, false);
            put(&o, address->target, false);
        } else {
            bool plain = address->type == ADDRESS_FILE && *address->path != '/';
            put(&o, plain ? "" : schemes[i].prefix, false);
            put(&o, address->path, !plain);
            put(&o, address->target[0] ? ":" : "", false);
            put(&o, address->target, false);
        }
    }
    out[o.length] = '\0';
    return o.length;
}
