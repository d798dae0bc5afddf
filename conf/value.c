/*
 * Scalars: truth values, numbers, sizes, durations, globs, escapes. No locale, no allocation.
 */
#include "conf/internal.h"
#include "transport/transport.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool value_same(const char *a, const char *b)
{
    while (*a && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) == lower(*b);
}

bool value_bool(const char *text, bool *out)
{
    static const char yes[][5] = {"true", "on", "yes", "1"};
    static const char no[][6] = {"false", "off", "no", "0"};
    for (size_t i = 0; i < 4; i++) {
        if (value_same(text, yes[i]) || value_same(text, no[i])) {
            *out = value_same(text, yes[i]);
            return true;
        }
    }
    return false;
}

/* Digits from *text on. -EINVAL: none, -ERANGE: too many. */
static int digits(const char **text, uint64_t *out)
{
    const char *c = *text;
    uint64_t n = 0;
    bool over = false;
    if (!is_digit(*c))
        return -EINVAL;
    for (; is_digit(*c); c++)
        over |= __builtin_mul_overflow(n, 10u, &n) || __builtin_add_overflow(n, (*c - '0'), &n);
    *text = c;
    *out = n;
    return over ? -ERANGE : 0;
}

int value_count(const char *text, uint64_t *out)
{
    int r = digits(&text, out);
    return r != -EINVAL && *text ? -EINVAL : r;
}

bool value_ratio(const char *text, double *out)
{
    uint64_t whole, fraction = 0, place = SECOND;
    if (digits(&text, &whole) != 0)
        return false;
    if (*text == '.') {
        if (!is_digit(*++text))
            return false;
        for (; is_digit(*text); text++) {
            place /= 10;
            fraction += (uint64_t)(*text - '0') * place;
        }
    }
    if (*text || whole > 1 || (whole == 1 && fraction))
        return false;
    *out = (double)whole + (double)fraction / (double)SECOND;
    return true;
}

/* A field name of HTTP: what it is made of is no secret and cannot be taken for one. */
bool value_is_field_name(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
              strchr("!#$%&'*+-.^_`|~", *c)))
            return false;
    return text[0] != 0;
}

struct unit {
    char name[4];
    uint64_t factor;
};

/* A number, perhaps with a fraction, and a unit. */
static int measure(const char *text, const struct unit *units, size_t count, uint64_t *out)
{
    uint64_t whole, fraction = 0, place = SECOND, product;
    int r = digits(&text, &whole);
    if (r == -EINVAL)
        return r;
    if (*text == '.') {
        if (!is_digit(*++text))
            return -EINVAL;
        for (; is_digit(*text); text++) {
            place /= 10;
            fraction += (uint64_t)(*text - '0') * place;
        }
    }
    if (text[0] == ' ' && text[1])
        text++;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, units[i].name) != 0)
            continue;
        if (r)
            return r;
        __extension__ unsigned __int128 part = (unsigned __int128)fraction * units[i].factor;
        if (__builtin_mul_overflow(whole, units[i].factor, &product) ||
            __builtin_add_overflow(product, (uint64_t)(part / SECOND), out))
            return -ERANGE;
        return 0;
    }
    return -EINVAL;
}

static const struct unit sizes[] = {
    {"", 1},          {"B", 1},          {"kB", 1000},
    {"KB", 1000},     {"MB", 1000000},   {"GB", 1000000000},
    {"k", KIB},       {"K", KIB},        {"Ki", KIB},
    {"KiB", KIB},     {"kiB", KIB},      {"m", MIB},
    {"M", MIB},       {"Mi", MIB},       {"MiB", MIB},
    {"g", 1 << 30},   {"G", 1 << 30},    {"Gi", 1 << 30},
    {"GiB", 1 << 30}, {"T", 1ull << 40}, {"TiB", 1ull << 40},
};

static const struct unit durations[] = {
    {"ns", 1},          {"us", 1000},         {"ms", 1000000},      {"s", SECOND},
    {"m", 60 * SECOND}, {"min", 60 * SECOND}, {"h", 3600 * SECOND}, {"d", DAY},
};

int conf_parse_size(const char *text, uint64_t *bytes)
{
    return measure(text, sizes, sizeof(sizes) / sizeof(sizes[0]), bytes);
}

int conf_parse_duration(const char *text, uint64_t *nanoseconds)
{
    if (strcmp(text, "0") == 0) {
        *nanoseconds = 0;
        return 0;
    }
    return measure(text, durations, sizeof(durations) / sizeof(durations[0]), nanoseconds);
}

void value_format_duration(uint64_t nanoseconds, char *out)
{
    static const struct unit largest[] = {
        {"d", DAY},      {"h", 3600 * SECOND}, {"m", 60 * SECOND}, {"s", SECOND},
        {"ms", 1000000}, {"us", 1000},         {"ns", 1},
    };
    const struct unit *u = largest;
    while (nanoseconds % u->factor || nanoseconds == 0) {
        if (nanoseconds == 0 || u->factor == 1) {
            u = &largest[nanoseconds == 0 ? 3 : 6];
            break;
        }
        u++;
    }
    snprintf(out, 32, "%llu%s", (unsigned long long)(nanoseconds / u->factor), u->name);
}

void value_format_size(uint64_t bytes, char *out)
{
    static const struct unit largest[] = {
        {"TiB", 1ull << 40}, {"GiB", 1 << 30}, {"MiB", MIB}, {"KiB", KIB}, {"", 1}};
    const struct unit *u = largest;
    while (u->factor > 1 && (bytes == 0 || bytes % u->factor))
        u++;
    snprintf(out, 32, "%llu%s", (unsigned long long)(bytes / u->factor), u->name);
}

/* The length of the valid UTF-8 character at c, 0 if there is none. */
static size_t utf8_length(const unsigned char *c)
{
    if (c[0] < 0x80)
        return 1;
    size_t n = c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : 2;
    if (c[0] < 0xc2 || c[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
        (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
        return 0;
    return n;
}

bool value_is_utf8(const char *text)
{
    while (*text) {
        size_t n = utf8_length((const unsigned char *)text);
        if (n == 0)
            return false;
        text += n;
    }
    return true;
}

static int hex(char c)
{
    if (is_digit(c))
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool value_percent_decode(char *text)
{
    char *to = text;
    for (const char *c = text; *c; c++) {
        if (*c != '%') {
            *to++ = *c;
            continue;
        }
        int high = hex(c[1]), low = high < 0 ? -1 : hex(c[2]);
        if (low < 0 || high + low == 0)
            return false;
        *to++ = (char)(high * 16 + low);
        c += 2;
    }
    *to = 0;
    return value_is_utf8(text);
}

/* host:port, [v6]:port; the port a number from 1 to 65535. */
static const char *host_port_wrong(const char *text)
{
    const char *colon = strrchr(text, ':');
    const char *bracket = strrchr(text, ']');
    uint64_t port;
    if (!colon || (bracket && colon < bracket))
        return "has no port";
    if (colon == text)
        return "has no host";
    if (bracket ? *text != '[' || bracket + 1 != colon || bracket == text + 1
                : memchr(text, ':', (size_t)(colon - text)) != NULL)
        return "has no host that can be read (IPv6 addresses stand in brackets)";
    if (value_count(colon + 1, &port) || port < 1 || port > 65535)
        return "has no port from 1 to 65535";
    if (memchr(text, '@', (size_t)(colon - text)))
        return "has a user in it, which means nothing there";
    if (colon - text > 255)
        return "has too long a host";
    return NULL;
}

const char *value_url_wrong(const char *text)
{
    if (strlen(text) > 1000)
        return "is too long";
    if (strcmp(text, "stdout") == 0 || strcmp(text, "stderr") == 0)
        return NULL;
    if (text[0] == '/')
        return NULL;
    if (strncmp(text, "file://", 7) == 0)
        return text[7] == '/' ? NULL : "has no absolute path";
    if (strncmp(text, "tcp://", 6) == 0 || strncmp(text, "udp://", 6) == 0 ||
        strncmp(text, "tls://", 6) == 0)
        return host_port_wrong(text + 6);
    if (strncmp(text, "http", 4) == 0) {
        struct address address;
        const char *wrong = NULL;
        return address_parse(text, &address, &wrong) < 0 ? wrong : NULL;
    }
    const char *name = strncmp(text, "unix://", 7) == 0        ? text + 7
                       : strncmp(text, "unixgram://", 11) == 0 ? text + 11
                                                               : NULL;
    if (name) {
        if ((name[0] != '/' && name[0] != '@') || !name[1])
            return "has no absolute path and no @name";
        return strlen(name) > 107 ? "has too long a path (107 bytes at most)" : NULL;
    }
    return "is no address (a path must be absolute)";
}

/* One step in text over one character; a byte that is no UTF-8 counts as one. */
static const char *next_character(const char *text)
{
    size_t n = utf8_length((const unsigned char *)text);
    return text + (n ? n : 1);
}

bool conf_glob(const char *pattern, const char *text)
{
    const char *star = NULL, *mark = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            mark = text;
        } else if (*pattern == '?') {
            pattern++;
            text = next_character(text);
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++mark;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}
