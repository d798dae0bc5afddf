/*
 * The URLs of OTLP/HTTP: from the base that is said for all signals to the one of each.
 */
#include "conf/internal.h"
#include "transport/transport.h"

#include <stdio.h>
#include <string.h>

static const char unix_scheme[] = "http+unix://";

/* Where the path of an http URL begins, at its end if it has none; NULL: it is no such URL. */
static const char *path_of(const char *url)
{
    if (strncmp(url, unix_scheme, sizeof(unix_scheme) - 1) == 0) {
        /* The path stands behind the colon that ends the socket's name. */
        const char *colon = strchr(url + sizeof(unix_scheme) - 1, ':');
        return colon ? colon + 1 : url + strlen(url);
    }
    const char *host = strncmp(url, "http://", 7) == 0    ? url + 7
                       : strncmp(url, "https://", 8) == 0 ? url + 8
                                                          : NULL;
    return host ? host + strcspn(host, "/?") : NULL;
}

int conf_otlp_url(const char *base, const char *signal, char *out, size_t size)
{
    const char *path = path_of(base);
    if (!path)
        return -1;
    size_t before = (size_t)(path - base), length = strcspn(path, "?");
    bool colon = strncmp(base, unix_scheme, sizeof(unix_scheme) - 1) == 0 && path[-1] != ':';
    /* A query stays behind the path that is made longer. */
    const char *query = path + length;
    bool slash = length && path[length - 1] == '/';
    int n = signal ? snprintf(out, size, "%.*s%s%.*s%sv1/%s%s", (int)before, base, colon ? ":" : "",
                              (int)length, path, slash ? "" : "/", signal, query)
                   : snprintf(out, size, "%.*s%s%.*s%s%s", (int)before, base, colon ? ":" : "",
                              (int)length, path, length ? "" : "/", query);
    return n > 0 && (size_t)n < size ? n : -1;
}

const char *value_endpoint_wrong(const char *text)
{
    struct address address;
    const char *wrong = NULL;
    if (!path_of(text))
        return "is no URL of http, https or http+unix, which OTLP goes to";
    return address_parse(text, &address, &wrong) < 0 ? wrong : NULL;
}
