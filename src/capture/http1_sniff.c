/* Tells from the first bytes of a connection whether it speaks HTTP/1. */
#include "capture/http1_internal.h"

enum { METHOD_MAX = 16 };

/* RFC 9110, PATCH, QUERY, WebDAV (RFC 3253 and 4918 as far as they are used), and the caches'. */
static const char methods[][METHOD_MAX] = {
    "GET ",      "HEAD ",      "POST ",   "PUT ",    "DELETE ", "CONNECT ", "OPTIONS ",
    "TRACE ",    "PATCH ",     "QUERY ",  "COPY ",   "LOCK ",   "MKCOL ",   "MOVE ",
    "PROPFIND ", "PROPPATCH ", "SEARCH ", "UNLOCK ", "REPORT ", "PURGE ",
};

/* 1: the bytes begin with `whole`; -1: they may, with more of them. */
static int begins(const uint8_t *bytes, size_t length, const char *whole)
{
    for (size_t i = 0; whole[i]; i++) {
        if (i == length)
            return -1;
        if (bytes[i] != (uint8_t)whole[i])
            return 0;
    }
    return 1;
}

int http1_sniff(const uint8_t *bytes, size_t length)
{
    int verdict = begins(bytes, length, "HTTP/1.");

    if (verdict > 0) {
        if (length < 9)
            return length == 8 && (bytes[7] < '0' || bytes[7] > '9') ? 0 : -1;
        return bytes[7] >= '0' && bytes[7] <= '9' && bytes[8] == ' ' ? 2 : 0;
    }
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        int one = begins(bytes, length, methods[i]);
        if (one > 0)
            return 1;
        if (one < 0)
            verdict = -1;
    }
    return verdict;
}
