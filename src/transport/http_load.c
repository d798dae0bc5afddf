/*
 * Finds and loads libscope-http.so, which lies beside the object that this code is in.
 */
#include "transport/http_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/sys.h"
#include "transport/http.h"
#include "transport/loader.h"

struct transport_loader transport_loader;

#define LIBRARY_NAME "libscope-http.so"

static uintptr_t hex_number(const char **p)
{
    uintptr_t n = 0;

    for (;; (*p)++) {
        char c = **p;
        if (c >= '0' && c <= '9')
            n = n << 4 | (uintptr_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            n = n << 4 | (uintptr_t)(c - 'a' + 10);
        else
            return n;
    }
}

/* The path of the file that is mapped where `address` is. False: not to be found out. */
static bool mapped_path(uintptr_t address, char *out, size_t size)
{
    char room[4096];
    size_t used = 0;
    bool found = false;
    long n, fd = sys(openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);

    while (fd >= 0 && !found && (n = sys(read, fd, room + used, sizeof(room) - 1 - used)) > 0) {
        used += (size_t)n;
        room[used] = '\0';
        char *line = room, *end;
        for (; !found && (end = strchr(line, '\n')); line = end + 1) {
            const char *at = line;
            *end = '\0';
            uintptr_t from = hex_number(&at);
            at += *at == '-';
            uintptr_t to = hex_number(&at);
            const char *path = strchr(line, '/');
            found = address >= from && address < to && path && strlen(path) < size;
            if (found)
                strcpy(out, path);
        }
        if (found)
            break;
        used = strlen(line);
        if (used >= sizeof(room) - 1)
            used = 0; /* no line of this file is that long */
        memmove(room, line, used);
    }
    if (fd >= 0)
        sys(close, fd);
    return found;
}

static void *open_beside(char *path, size_t size)
{
    /* an installed or built library; a test's program, one directory below */
    static const char *const places[] = {"", "../", "../lib/"};
    char directory[1024];
    void *handle = NULL;

    const char *own = transport_loader.own_path;
    if (!mapped_path((uintptr_t)http_library, directory, sizeof(directory)))
        snprintf(directory, sizeof(directory), "%s",
                 own && strchr(own, '/') ? own : SCOPE_LIBDIR "/");
    char *slash = strrchr(directory, '/');
    slash[1] = '\0';
    for (unsigned i = 0; !handle && i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, size, "%s%s" LIBRARY_NAME, directory, places[i]);
        if (sys(faccessat, AT_FDCWD, path, R_OK) == 0)
            handle = transport_loader.open(path, 2 /* RTLD_NOW, and local */);
    }
    return handle;
}

const struct http_library *http_library(const char **error)
{
    static const struct http_library *library;
    static bool tried;
    struct http_host functions = {malloc, calloc, realloc, free, transport_loader.libc};
    char path[1200] = "";

    if (library)
        return library;
    *error = "HTTP: " LIBRARY_NAME " is not beside libscope.so, or cannot be loaded";
    if (tried || !transport_loader.open || !transport_loader.symbol || !transport_loader.libc)
        return NULL;
    tried = true; /* what cannot be loaded will not be the next time */
    void *handle = open_beside(path, sizeof(path));
    http_library_get *get =
        handle ? (http_library_get *)transport_loader.symbol(handle, HTTP_LIBRARY_SYMBOL) : NULL;
    if (!get)
        return NULL;
    *error = "HTTP: " LIBRARY_NAME " is of another version than libscope.so, or has no memory";
    const struct http_library *got = get(&functions);
    if (got && got->version == HTTP_LIBRARY_VERSION)
        library = got;
    return library;
}
