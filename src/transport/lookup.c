/*
 * Host names: /etc/hosts, then DNS over UDP, with the search list of /etc/resolv.conf and a
 * deadline.
 */
#include "transport/lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "os/clock.h"
#include "os/sys.h"
#include "protocol/dns.h"

enum {
    SERVERS_MAX = 3,
    SEARCH_MAX = 6,
    PER_FAMILY = ENDPOINTS_MAX / 2,
    FILE_MAX = 1 << 20,
    NAME_MAX_LENGTH = 253,
    QUERY_MAX = 12 + 255 + 4,
};

struct resolver {
    struct endpoint servers[SERVERS_MAX];
    unsigned server_count;
    char search[SEARCH_MAX][256];
    unsigned search_count;
    unsigned ndots, attempts;
    uint64_t timeout; /* for one server to answer, nanoseconds */
    uint16_t server_port;
};

struct found {
    struct endpoint v6[PER_FAMILY], v4[PER_FAMILY];
    unsigned v6_count, v4_count;
    uint16_t port;
};

/* ------------------------------------------------------------------ files */

/* The whole of a file, NUL-ended, from the heap; NULL: not there, too big, no memory. */
static char *read_file(const char *path)
{
    size_t length = 0, room = 4096;
    long fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd < 0)
        return NULL;
    char *data = malloc(room + 1);

    while (data) {
        long n = sys(read, fd, data + length, room - length);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            break;
        length += (size_t)n;
        if (length < room)
            continue;
        char *more = room < FILE_MAX ? realloc(data, 2 * room + 1) : NULL;
        if (!more)
            break; /* what has been read will do */
        data = more;
        room *= 2;
    }
    sys(close, fd);
    if (data)
        data[length] = '\0';
    return data;
}

/* The next word of a line, NUL-ended in place; NULL at the line's end or a comment. */
static char *next_word(char **at)
{
    char *p = *at + strspn(*at, " \t\r");

    if (!*p || *p == '#' || *p == ';')
        return NULL;
    *at = p + strcspn(p, " \t\r");
    if (**at)
        *(*at)++ = '\0';
    return p;
}

static char *next_line(char **at)
{
    char *line = *at;

    if (!line || !*line)
        return NULL;
    char *end = strchr(line, '\n');
    *at = end ? end + 1 : line + strlen(line);
    if (end)
        *end = '\0';
    return line;
}

static void take(struct found *f, const struct endpoint *e)
{
    if (e->any.sa_family == AF_INET6 && f->v6_count < PER_FAMILY)
        f->v6[f->v6_count++] = *e;
    if (e->any.sa_family == AF_INET && f->v4_count < PER_FAMILY)
        f->v4[f->v4_count++] = *e;
}

static void look_into_hosts(const char *path, const char *host, struct found *f)
{
    char *data = read_file(path), *at = data, *line, *address, *name;
    struct endpoint e;

    while ((line = next_line(&at))) {
        address = next_word(&line);
        if (!address || !resolve_numeric(address, f->port, &e))
            continue;
        while ((name = next_word(&line))) {
            if (!strcasecmp(name, host)) {
                take(f, &e);
                break;
            }
        }
    }
    free(data);
}

static unsigned small_number(const char *text, unsigned most)
{
    unsigned n = 0;

    while (*text >= '0' && *text <= '9' && n <= most)
        n = n * 10 + (unsigned)(*text++ - '0');
    return n < most ? n : most;
}

static void read_option(struct resolver *r, const char *word)
{
    if (!strncmp(word, "ndots:", 6))
        r->ndots = small_number(word + 6, 15);
    if (!strncmp(word, "attempts:", 9))
        r->attempts = small_number(word + 9, 5);
    if (!strncmp(word, "timeout:", 8))
        r->timeout = small_number(word + 8, 30) * (uint64_t)SECOND_NS;
}

static void read_resolver(struct resolver *r, const struct lookup_sources *sources)
{
    char *data = read_file(sources->resolv_conf ? sources->resolv_conf : "/etc/resolv.conf");
    char *at = data, *line, *word;

    *r = (struct resolver){.ndots = 1, .attempts = 2, .timeout = 2ull * SECOND_NS};
    r->server_port = sources->port ? sources->port : 53;
    while ((line = next_line(&at))) {
        char *key = next_word(&line);
        if (!key)
            continue;
        if (!strcmp(key, "search") || !strcmp(key, "domain"))
            r->search_count = 0; /* the last one counts */
        while ((word = next_word(&line))) {
            if (!strcmp(key, "options"))
                read_option(r, word);
            if (!strcmp(key, "nameserver") && r->server_count < SERVERS_MAX &&
                resolve_numeric(word, r->server_port, &r->servers[r->server_count]))
                r->server_count++;
            if ((!strcmp(key, "search") || !strcmp(key, "domain")) &&
                r->search_count < SEARCH_MAX && strlen(word) < sizeof(r->search[0]))
                strcpy(r->search[r->search_count++], word);
        }
    }
    if (!r->attempts)
        r->attempts = 1;
    if (!r->timeout)
        r->timeout = SECOND_NS;
    if (!r->server_count)
        resolve_numeric("127.0.0.1", r->server_port, &r->servers[r->server_count++]);
    free(data);
}

/* ------------------------------------------------------------------ questions */

/* A question for addresses of one type. Its length, 0: not a name that DNS can carry. */
static size_t make_query(uint8_t *out, uint16_t id, const char *name, uint8_t type)
{
    size_t n = 12;

    memset(out, 0, 12);
    out[0] = (uint8_t)(id >> 8);
    out[1] = (uint8_t)id;
    out[2] = 1; /* recursion desired */
    out[5] = 1; /* one question */
    while (*name) {
        size_t label = strcspn(name, ".");
        if (!label || label > 63 || n + label + 1 > 12 + 254)
            return 0;
        out[n++] = (uint8_t)label;
        memcpy(out + n, name, label);
        n += label;
        name += label + (name[label] == '.');
    }
    const uint8_t end[5] = {0, 0, type, 0, 1};
    memcpy(out + n, end, sizeof(end));
    return n + sizeof(end);
}

static void take_answers(struct found *f, const struct dns_message *m)
{
    for (unsigned i = 0; i < m->answers; i++) {
        struct endpoint e;
        memset(&e, 0, sizeof(e));
        if (m->answer[i].length == 4) {
            e.v4.sin_family = AF_INET;
            e.v4.sin_port = htons(f->port);
            memcpy(&e.v4.sin_addr, m->answer[i].address, 4);
            e.length = sizeof(e.v4);
        } else if (m->answer[i].length == 16) {
            e.v6.sin6_family = AF_INET6;
            e.v6.sin6_port = htons(f->port);
            memcpy(&e.v6.sin6_addr, m->answer[i].address, 16);
            e.length = sizeof(e.v6);
        } else {
            continue;
        }
        take(f, &e);
    }
}

/* What one server said about both types. */
struct exchange {
    const char *name;
    uint16_t id[2];
    bool answered[2];
    bool failed; /* it answered that it cannot answer */
};

static const uint8_t types[2] = {DNS_TYPE_AAAA, DNS_TYPE_A};

/* Reads answers until both have come. Answers that were not asked for are passed over. */
static void receive(long fd, struct exchange *x, struct found *f, uint64_t deadline)
{
    uint8_t data[4096];
    struct dns_message m;
    size_t length = strlen(x->name);

    while (!(x->answered[0] && x->answered[1]) && wait_for((int)fd, POLLIN, deadline) > 0) {
        long n = sys(recvfrom, fd, data, sizeof(data), MSG_DONTWAIT, 0, 0);
        if (n == -EAGAIN || n == -EINTR)
            continue;
        if (n < 0)
            return; /* refused: nobody listens there */
        if (dns_parse(data, (size_t)n, &m) < 0 || !m.response || m.opcode)
            continue;
        if (length && x->name[length - 1] == '.' && strlen(m.question) == length - 1)
            length--;
        if (strlen(m.question) != length || strncasecmp(m.question, x->name, length) != 0)
            continue;
        for (unsigned i = 0; i < 2; i++) {
            if (x->answered[i] || m.id != x->id[i] || m.question_type != types[i])
                continue;
            x->answered[i] = true;
            if (m.rcode == 0)
                take_answers(f, &m);
            else if (m.rcode != 3 /* NXDOMAIN */)
                x->failed = true;
        }
    }
}

/* Asks one server. 0: it answered (the name may not exist), -EAGAIN: it did not, or could not. */
static int ask(const struct endpoint *server, const char *name, struct found *f, uint64_t deadline)
{
    struct exchange x = {.name = name};
    uint8_t query[QUERY_MAX];
    long fd = sys(socket, server->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -EAGAIN;
    if (sys(getrandom, x.id, sizeof(x.id), 1 /* GRND_NONBLOCK */) != (long)sizeof(x.id)) {
        x.id[0] = (uint16_t)(now_mono() >> 3);
        x.id[1] = (uint16_t)(x.id[0] + 1);
    }
    long r = sys(connect, fd, &server->any, server->length);
    for (unsigned i = 0; i < 2 && r >= 0; i++) {
        size_t length = make_query(query, x.id[i], name, types[i]);
        r = sys(sendto, fd, query, length, MSG_NOSIGNAL, 0, 0);
    }
    if (r >= 0)
        receive(fd, &x, f, deadline);
    sys(close, fd);
    if (f->v4_count || f->v6_count)
        return 0;
    return x.answered[0] && x.answered[1] && !x.failed ? 0 : -EAGAIN;
}

/* Asks the servers in turn until one answers. */
static int ask_all(const struct resolver *r, const char *name, struct found *f, uint64_t deadline)
{
    uint8_t query[QUERY_MAX];

    if (!make_query(query, 0, name, DNS_TYPE_A))
        return 0; /* such a name cannot exist */
    for (unsigned attempt = 0; attempt < r->attempts; attempt++) {
        for (unsigned i = 0; i < r->server_count; i++) {
            uint64_t now = now_mono(), limit = now + r->timeout;
            if (now >= deadline)
                return -EAGAIN;
            if (ask(&r->servers[i], name, f, limit < deadline ? limit : deadline) == 0)
                return 0;
        }
    }
    return -EAGAIN;
}

static unsigned count_dots(const char *name)
{
    unsigned dots = 0;

    for (; *name; name++)
        dots += *name == '.';
    return dots;
}

/* The name as it is and below each domain of the search list, in the customary order. */
static int look_into_dns(const struct resolver *r, const char *host, struct found *f,
                         uint64_t deadline)
{
    size_t length = strlen(host);
    bool absolute = length && host[length - 1] == '.';
    bool first = absolute || count_dots(host) >= r->ndots;
    int result = first ? ask_all(r, host, f, deadline) : 0;

    for (unsigned i = 0; !absolute && i < r->search_count && !f->v4_count && !f->v6_count; i++) {
        char name[512];
        if (length + strlen(r->search[i]) + 1 > NAME_MAX_LENGTH)
            continue;
        memcpy(name, host, length);
        name[length] = '.';
        strcpy(name + length + 1, r->search[i]);
        int one = ask_all(r, name, f, deadline);
        result = one < 0 ? one : result;
    }
    if (!first && !f->v4_count && !f->v6_count) {
        int one = ask_all(r, host, f, deadline);
        result = one < 0 ? one : result;
    }
    return result;
}

int lookup(const char *host, uint16_t port, const struct lookup_sources *sources,
           struct endpoint *endpoints, uint64_t deadline)
{
    struct found f = {.port = port};
    struct resolver r;
    int result = 0;

    if (strlen(host) > NAME_MAX_LENGTH + 1)
        return -ENOENT;
    look_into_hosts(sources->hosts ? sources->hosts : "/etc/hosts", host, &f);
    if (!f.v4_count && !f.v6_count) {
        read_resolver(&r, sources);
        result = look_into_dns(&r, host, &f, deadline);
    }
    memcpy(endpoints, f.v6, f.v6_count * sizeof(f.v6[0]));
    memcpy(endpoints + f.v6_count, f.v4, f.v4_count * sizeof(f.v4[0]));
    unsigned count = f.v6_count + f.v4_count;
    return count ? (int)count : result < 0 ? result : -ENOENT;
}
