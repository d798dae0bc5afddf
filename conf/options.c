/*
 * The option table, and finding one's way in it by key, by variable and by likeness.
 */
#include "conf/internal.h"

#include <stdio.h>
#include <string.h>

#define OPTION(name, kind, member, value, help, ...) \
    {.key = name,                                    \
     .type = OPTION_##kind,                          \
     .offset = offsetof(struct conf, member),        \
     .number = (value),                              \
     __VA_ARGS__},
const struct option options[] = {
#include "conf/options.def"
};
#undef OPTION

const size_t option_count = sizeof(options) / sizeof(options[0]);
_Static_assert(sizeof(options) / sizeof(options[0]) <= OPTIONS_MAX, "origins and bitmaps hold all");

/* Programs that run other people's programs, or that a machine cannot do without. */
static const char left_alone[] =
    /* init, services, sessions */
    "init\0systemd\0systemd-*\0(sd-pam)\0dbus-daemon\0dbus-broker*\0polkitd\0udevd\0"
    "runit*\0s6-*\0openrc*\0dinit\0tini\0dumb-init\0agetty\0login\0NetworkManager\0"
    /* remote and changed identity */
    "sshd\0sshd-*\0sftp-server\0su\0sudo\0sudoedit\0doas\0pkexec\0runuser\0setpriv\0passwd\0"
    "newgrp\0newuidmap\0newgidmap\0"
    /* package managers */
    "apt\0apt-*\0aptitude\0dpkg\0dpkg-*\0unattended-upgrade*\0rpm\0rpmdb\0dnf\0dnf5\0dnf-*\0"
    "microdnf\0yum\0zypper\0apk\0pacman\0snap\0snapd\0flatpak\0nix-daemon\0"
    /* container runtimes */
    "containerd\0containerd-shim*\0dockerd\0docker-proxy\0docker-init\0runc\0crun\0youki\0"
    "podman\0conmon\0conmonrs\0crio\0buildah\0kubelet\0lxc-*\0bwrap\0catatonit\0";

static const char log_files[] = "*.log\0*/log/*\0*/logs/*\0";

static const char statsd_tags[] = "service.name\0service.version\0deployment.environment.name\0"
                                  "host.name\0process.executable.name\0process.pid\0";

static const char propagators[] = "tracecontext\0baggage\0";

/* What the conventions for HTTP call well-known. */
static const char methods[] =
    "CONNECT\0DELETE\0GET\0HEAD\0OPTIONS\0PATCH\0POST\0PUT\0QUERY\0TRACE\0";

size_t pairs_list(const struct option *o)
{
    static const uint16_t offsets[PAIRS_LISTS] = {
        offsetof(struct conf, attributes),
        offsetof(struct conf, tags),
        offsetof(struct conf, ndjson_headers),
        offsetof(struct conf, otlp_all.headers),
        offsetof(struct conf, otlp[OTLP_METRICS].headers),
        offsetof(struct conf, otlp[OTLP_LOGS].headers),
        offsetof(struct conf, otlp[OTLP_TRACES].headers),
    };
    size_t i = 0;
    while (i < PAIRS_LISTS - 1 && offsets[i] != o->offset)
        i++;
    return i;
}

const char *option_items(const struct option *o)
{
    switch (o->type >= OPTION_LIST ? o->number : LIST_NONE) {
    case LIST_LEFT_ALONE:
        return left_alone;
    case LIST_LOG_FILES:
        return log_files;
    case LIST_STATSD_TAGS:
        return statsd_tags;
    case LIST_PROPAGATORS:
        return propagators;
    case LIST_METHODS:
        return methods;
    default:
        return "";
    }
}

const struct option *option_find(size_t from, const char *key)
{
    for (size_t i = from; i < option_count; i++)
        if (strcmp(options[i].key, key) == 0)
            return &options[i];
    return NULL;
}

bool option_has_choice(const struct option *o, const char *name)
{
    size_t length = strlen(name);
    for (const char *c = o->names; *c; c += strcspn(c, "|"), c += *c == '|')
        if (strcspn(c, "|") == length && memcmp(c, name, length) == 0)
            return true;
    return false;
}

static char variable_letter(char c)
{
    if (c == '.')
        return '_';
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* 0: not this one, 1: exactly, 2: the section's own name, which switches its `enabled`. */
static int variable_is(const struct option *o, const char *name, size_t length)
{
    size_t i = 0;
    while (i < length && o->key[i] && variable_letter(o->key[i]) == name[i])
        i++;
    if (i < length)
        return 0;
    if (!o->key[i])
        return 1;
    return strcmp(o->key + i, ".enabled") == 0 ? 2 : 0;
}

const struct option *option_of_variable(const char *name, size_t length)
{
    const struct option *section = NULL;
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        if (o->type == OPTION_SECTION || o->type == OPTION_CUSTOM)
            continue;
        switch (variable_is(o, name, length)) {
        case 1:
            return o;
        case 2:
            section = o;
            break;
        default:
            break;
        }
    }
    return section;
}

void option_variable(const struct option *o, char *out)
{
    memcpy(out, "SCOPE_", 6);
    size_t i = 0;
    for (; o->key[i]; i++)
        out[6 + i] = variable_letter(o->key[i]);
    out[6 + i] = 0;
}

/* `.` and `_` are the same here: metrics_interval is nearly right. */
static bool letters_differ(char a, char b)
{
    return (a == '.' ? '_' : a) != (b == '.' ? '_' : b);
}

/* How many letters must change to make one of the other. Both are shorter than 64. */
static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
    uint8_t row[64];
    for (size_t j = 0; j <= nb; j++)
        row[j] = (uint8_t)j;
    for (size_t i = 1; i <= na; i++) {
        uint8_t diagonal = row[0];
        row[0] = (uint8_t)i;
        for (size_t j = 1; j <= nb; j++) {
            uint8_t best = (uint8_t)(diagonal + letters_differ(a[i - 1], b[j - 1]));
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = (uint8_t)(row[j] + 1);
            if (row[j - 1] + 1 < best)
                best = (uint8_t)(row[j - 1] + 1);
            row[j] = best;
        }
    }
    return row[nb];
}

const char *option_nearest(const char *key)
{
    size_t length = strlen(key);
    if (length == 0 || length > 63)
        return NULL;
    const char *leaf = strrchr(key, '.') ? strrchr(key, '.') + 1 : key;
    unsigned limit = length < 9 ? 2 : 3, best = limit + 1;
    const char *found = NULL, *elsewhere = NULL;
    for (size_t i = 0; i < option_count; i++) {
        const char *other = options[i].key;
        unsigned d = distance(key, length, other, strlen(other));
        if (d < best) {
            best = d;
            found = other;
        }
        const char *dot = strrchr(other, '.');
        if (!elsewhere && dot && strcmp(dot + 1, leaf) == 0)
            elsewhere = other;
    }
    /* The right name in the wrong place is nearer than another name. */
    return best <= 1 || !elsewhere ? found : elsewhere;
}

static void write_names(const struct option *o, char *out, size_t size)
{
    size_t n = 0;
    for (const char *c = o->names; *c && n + 3 < size; c++) {
        out[n++] = *c == '|' ? ',' : *c;
        if (*c == '|')
            out[n++] = ' ';
    }
    out[n] = 0;
}

void option_allowed(const struct option *o, char *out, size_t size)
{
    char low[32], high[32];
    size_t n;
    switch (o->type) {
    case OPTION_SECTION:
        snprintf(out, size, "a mapping of keys");
        break;
    case OPTION_CUSTOM:
        snprintf(out, size, "a list of mappings with `match` and `config`");
        break;
    case OPTION_BOOL:
        snprintf(out, size, "true or false (also on, off, yes, no, 1, 0)");
        break;
    case OPTION_COUNT:
        snprintf(out, size, "a whole number from %llu to %llu", (unsigned long long)o->low,
                 (unsigned long long)o->high);
        break;
    case OPTION_LIMIT:
        snprintf(out, size, "a whole number from 0 to %llu, or none", (unsigned long long)o->high);
        break;
    case OPTION_SIZE:
    case OPTION_SIZE32:
        value_format_size(o->low, low);
        value_format_size(o->high, high);
        snprintf(out, size, "a size such as 4MiB or 64k, from %s to %s", low, high);
        break;
    case OPTION_DURATION:
        value_format_duration(o->low, low);
        value_format_duration(o->high, high);
        snprintf(out, size, "a duration such as 10s or 500ms, from %s to %s", low, high);
        break;
    case OPTION_RATIO:
        snprintf(out, size, "a number from 0 to 1");
        break;
    case OPTION_CHOICE:
        write_names(o, out, size);
        break;
    case OPTION_TEXT:
        snprintf(out, size, "a text");
        break;
    case OPTION_PATH:
        snprintf(out, size, "an absolute path");
        break;
    case OPTION_URL:
        snprintf(out, size,
                 "/path, file:///path, stdout, stderr, tcp://host:port, tls://host:port, "
                 "udp://host:port, unix:///path, unixgram:///path, http://host/path, "
                 "https://host/path, http+unix:///socket:/path, off");
        break;
    case OPTION_ENDPOINT:
        snprintf(out, size, "http://host:port, https://host/path, http+unix:///socket:/path, off");
        break;
    case OPTION_LIST:
        snprintf(out, size, "a list of texts");
        break;
    case OPTION_NAMES:
        n = (size_t)snprintf(out, size, "a list of ");
        write_names(o, out + n, size - n);
        break;
    case OPTION_ROUTES:
        snprintf(out, size, "a list of paths such as /users/{id}");
        break;
    case OPTION_FIELDS:
        snprintf(out, size, "a list of names of headers, with ! behind what is not redacted");
        break;
    case OPTION_GLOBS:
        snprintf(out, size, "a list of globs, together at most %llu bytes",
                 (unsigned long long)o->high);
        break;
    case OPTION_REGEXES:
        snprintf(out, size, "a list of regular expressions (PCRE2)");
        break;
    case OPTION_PAIRS:
        snprintf(out, size, "a mapping of names to texts");
        break;
    default:
        snprintf(out, size, "a list of globs, or of mappings with executable, argument, user");
        break;
    }
}
