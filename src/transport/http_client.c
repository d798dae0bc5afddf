/*
 * HTTP from the sending side: connects by itself, and has the library do the rest.
 */
#include "transport/http_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "os/sys.h"
#include "transport/http.h"
#include "transport/lifeline.h"
#include "transport/proxy.h"
#include "transport/retry_after.h"

struct http_state {
    struct http_options options;
    const struct http_library *library; /* NULL: not loaded yet */
    struct http *http;                  /* NULL: not opened yet */
    struct transport *link;             /* connects: to the server, or to its proxy */
    bool proxied;                       /* link leads to the proxy */
    char proxy[1024];                   /* its URL, as curl takes it */
    bool connecting, under_way;
    size_t length;     /* of the unit that is under way */
    uint64_t hash;     /* and what it is: another may have its address meanwhile */
    const char *wrong; /* with the proxy; NULL: nothing */
    uint64_t started;  /* the attempt, CLOCK_MONOTONIC ns */
    struct http_result result;
    uint64_t retry_after;
    char url[2400];
};

/* ------------------------------------------------------------------ making one */

static bool is_http(const struct transport *t)
{
    return t->address.type != ADDRESS_TLS;
}

static void make_url(struct http_state *s, const struct address *a)
{
    bool v6 = strchr(a->host, ':') != NULL;

    if (a->type == ADDRESS_HTTP_UNIX)
        snprintf(s->url, sizeof(s->url), "http://localhost%s", a->target);
    else
        snprintf(s->url, sizeof(s->url), "%s://%s%s%s:%s%s",
                 a->type == ADDRESS_HTTP ? "http" : "https", v6 ? "[" : "", a->host, v6 ? "]" : "",
                 a->port, a->type == ADDRESS_TLS ? "/" : a->target);
    /* Servers expect their name without the port that goes without saying. */
    char *port = strstr(s->url + 8, a->type == ADDRESS_HTTP ? ":80/" : ":443/");
    if (a->type == ADDRESS_HTTP_UNIX || !port || !is_http(&(struct transport){.address = *a}))
        return;
    char *end = strchr(port, '/');
    memmove(port, end, strlen(end) + 1);
}

/* Where to connect to: the server itself, or the proxy before it. */
static void link_address(const struct transport *t, struct http_state *s, struct address *link)
{
    const struct address *a = &t->address;
    const char *proxy = s->options.proxy;

    *link = *a;
    link->type = a->type == ADDRESS_HTTP_UNIX ? ADDRESS_UNIX : ADDRESS_TCP;
    s->proxied = proxy && *proxy && is_http(t) && a->type != ADDRESS_HTTP_UNIX &&
                 !proxy_is_excepted(s->options.no_proxy, a->host, a->port);
    if (!s->proxied)
        return;
    s->options.proxy = s->proxy;
    proxy_parse(proxy, link, s->proxy, sizeof(s->proxy), &s->wrong);
}

int http_new(struct transport *t, const struct http_options *options)
{
    struct http_state *s = calloc(1, sizeof(*s));
    struct transport_options none = {.saved_stdout = -1, .saved_stderr = -1};
    struct address link;

    if (!s)
        return -ENOMEM;
    if (options)
        s->options = *options;
    make_url(s, &t->address);
    link_address(t, s, &link);
    s->link = transport_new(&link, &none);
    if (!s->link) {
        free(s);
        return -ENOMEM;
    }
    t->http = s;
    return 0;
}

static void drop_http(struct http_state *s)
{
    if (s->http) {
        lifeline_begin();
        s->library->close(s->http);
        lifeline_end();
    }
    s->http = NULL;
    s->under_way = s->connecting = false;
}

void http_free(struct transport *t)
{
    struct http_state *s = t->http;

    if (!s)
        return;
    drop_http(s);
    transport_free(s->link);
    free(s);
    t->http = NULL;
}

/*
 * The copy of a connection that a fork made: its numbers mean other descriptors here, so nothing of
 * it may be closed. The memory of curl's is given up.
 */
void http_forget(struct transport *t)
{
    struct http_state *s = t->http;

    s->http = NULL;
    s->under_way = s->connecting = false;
    transport_after_fork(s->link);
}

/* ------------------------------------------------------------------ one attempt */

static int away(struct transport *t, const char *what)
{
    struct http_state *s = t->http;

    s->connecting = s->under_way = false;
    return transport_away(t, what, 0);
}

/* The time of this attempt: past it, what is under way will not come any more. */
static uint64_t attempt_end(const struct http_state *s)
{
    return s->options.attempt_timeout ? s->started + s->options.attempt_timeout : UINT64_MAX;
}

/* Still under way at the deadline; or for too long. */
static int still(struct transport *t)
{
    struct http_state *s = t->http;

    if (now_mono() < attempt_end(s))
        return -EINPROGRESS;
    bool connecting = s->connecting;
    if (s->under_way) {
        lifeline_begin();
        s->library->abandon(s->http);
        lifeline_end();
    }
    transport_close(s->link);
    return away(t, connecting ? "connect: no answer in time" : "no answer in time");
}

/* Connected: *fd is a socket of its own. 0, -EINPROGRESS, -EAGAIN with the reason. */
static int connect_link(struct transport *t, uint64_t deadline, int *fd)
{
    struct http_state *s = t->http;
    uint64_t end = attempt_end(s);

    s->connecting = true;
    int r = stream_connect(s->link, deadline < end ? deadline : end);
    if (r != 0 && s->link->connecting)
        return still(t);
    s->connecting = false;
    if (r != 0)
        return away(t, transport_reason(s->link));
    *fd = s->link->fd;
    s->link->fd = -1;
    return 0;
}

static int get_library(struct transport *t)
{
    struct http_state *s = t->http;
    const char *error = "no memory";

    if (s->http)
        return 0;
    lifeline_begin();
    if (!s->library)
        s->library = http_library(&error);
    if (s->library)
        s->http = s->library->open(s->url, &s->options);
    lifeline_end();
    return s->http ? 0 : away(t, error);
}

/* Has a socket for the request: the kept one (fd -1) or a new one. */
static int get_connection(struct transport *t, uint64_t deadline, bool fresh, int *fd)
{
    struct http_state *s = t->http;

    *fd = -1;
    if (!fresh && s->http && s->library->is_connected(s->http))
        return 0;
    int r = connect_link(t, deadline, fd);
    if (r == 0)
        r = get_library(t);
    if (r != 0 && *fd >= 0)
        sys(close, *fd);
    return r;
}

static int begin(struct transport *t, const void *data, size_t length, uint64_t deadline,
                 bool fresh)
{
    struct http_state *s = t->http;
    int fd, r = get_connection(t, deadline, fresh, &fd);

    if (r != 0)
        return r;
    lifeline_begin();
    r = s->library->start(s->http, fd, s->proxied, data, length);
    lifeline_end();
    if (r < 0)
        return away(t, "no memory");
    s->under_way = true;
    t->exposed = true;
    return 0;
}

/* Outside of the library, so that a fork of the program's need not wait for a server. */
static void wait_for_it(const struct http_wait *wait, uint64_t until)
{
    uint64_t now = now_mono(), end = now + wait->most < until ? now + wait->most : until;

    wait_for(wait->fd, wait->events, end);
}

static int finish(struct transport *t, uint64_t deadline)
{
    struct http_state *s = t->http;
    uint64_t end = attempt_end(s), until = deadline < end ? deadline : end;
    struct http_wait wait;

    for (;;) {
        lifeline_begin();
        int r = s->library->step(s->http, &s->result, &wait);
        lifeline_end();
        if (r != -EAGAIN) {
            s->under_way = false;
            t->exposed = r != 0 && !s->result.unsent;
            if (r == -EIO)
                return away(t, s->result.error);
            if (r == 0)
                s->retry_after = retry_after(s->result.retry_after, now_unix());
            return r;
        }
        if (now_mono() >= until)
            return still(t);
        wait_for_it(&wait, until);
    }
}

int http_send(struct transport *t, const void *data, size_t length, uint64_t deadline)
{
    struct http_state *s = t->http;
    uint64_t hash = unit_hash(data, length);
    bool resumes = (s->under_way || s->connecting) && s->hash == hash && s->length == length;
    int r = 0;

    s->retry_after = 0;
    if (s->wrong)
        return transport_away(t, s->wrong, 0);
    if (lifeline_is_cut())
        return transport_away(t, "the process was forked in the middle of a request", 0);
    if (s->under_way && !resumes) {
        lifeline_begin();
        s->library->abandon(s->http);
        lifeline_end();
        s->under_way = false;
    }
    if (!resumes) {
        s->started = now_mono();
        t->exposed = false;
    }
    s->hash = hash;
    s->length = length;
    if (!s->under_way)
        r = begin(t, data, length, deadline, false);
    if (r == 0)
        r = finish(t, deadline);
    if (r == -ESTALE) {
        r = begin(t, data, length, deadline, true);
        if (r == 0)
            r = finish(t, deadline);
        if (r == -ESTALE)
            r = away(t, s->result.error);
    }
    return r;
}

const struct reply *http_reply(const struct transport *t)
{
    return &t->http->result.reply;
}

uint64_t http_retry_after(const struct transport *t)
{
    return t->http->retry_after;
}

/* ------------------------------------------------------------------ streams over TLS */

bool tls_is_open(const struct transport *t)
{
    return t->http->http != NULL && !t->http->under_way && !t->http->connecting;
}

void tls_close(struct transport *t)
{
    transport_close(t->http->link);
    drop_http(t->http);
}

int tls_open(struct transport *t, uint64_t deadline)
{
    struct http_state *s = t->http;
    const char *error = "";
    int fd = -1, r = 0;

    if (lifeline_is_cut())
        return transport_away(t, "the process was forked in the middle of a handshake", 0);
    if (!s->under_way) {
        if (!s->connecting)
            s->started = now_mono();
        r = connect_link(t, deadline, &fd);
        if (r == 0)
            r = get_library(t);
        if (r != 0) {
            if (fd >= 0)
                sys(close, fd);
            return r == -EINPROGRESS ? transport_away(t, "connect", ETIMEDOUT) : r;
        }
        lifeline_begin();
        r = s->library->tls_start(s->http, fd);
        lifeline_end();
        s->under_way = r == 0;
    }
    while (r == 0) {
        struct http_wait wait;
        lifeline_begin();
        r = s->library->tls_step(s->http, &error, &wait);
        lifeline_end();
        if (r != -EAGAIN || now_mono() >= deadline)
            break;
        wait_for_it(&wait, deadline);
        r = 0;
    }
    if (r == -EAGAIN)
        return transport_away(t, "handshake", ETIMEDOUT);
    s->under_way = false;
    if (r == 0)
        return 0;
    transport_away(t, error, 0);
    drop_http(s);
    return -EAGAIN;
}

long tls_write(struct transport *t, const void *data, size_t length)
{
    lifeline_begin();
    long n = t->http->library->tls_send(t->http->http, data, length);
    lifeline_end();
    return n;
}

bool tls_peer_is_there(struct transport *t)
{
    char unread[512];
    long n;

    lifeline_begin();
    do
        n = t->http->library->tls_receive(t->http->http, unread, sizeof(unread));
    while (n > 0);
    lifeline_end();
    return n == -EAGAIN;
}

int tls_descriptor(const struct transport *t)
{
    return t->http->library->descriptor(t->http->http);
}
