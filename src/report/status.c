/*
 * Writes what a process says of itself, for scope doctor.
 */
#include "report/status.h"

#include <string.h>

#include "ndjson/json.h"

static const char version[] = STATUS_VERSION_MARK SCOPE_VERSION;

static const char *const watches[] = {"files",     "sockets", "names",    "processes", "console",
                                      "log_files", "syslog",  "dns_wire", "metrics"};
static const char *const notes[] = {
    [NOTE_IO_URING] = "io_uring",        [NOTE_AIO] = "aio",
    [NOTE_STDIO_UNSEEN] = "stdio",       [NOTE_SECCOMP] = "seccomp",
    [NOTE_DEEPBIND_UNSEEN] = "deepbind", [NOTE_TLS_UNSEEN] = "tls",
};
static const char *const states[] = {
    [SINK_IDLE] = "idle", [SINK_OK] = "ok", [SINK_AWAY] = "away", [SINK_BROKEN] = "broken"};

enum { NOTES = sizeof(notes) / sizeof(notes[0]), WATCHES = sizeof(watches) / sizeof(watches[0]) };

const char *status_drop_name(unsigned cause)
{
    static const char *const names[DROP_COUNT] = {
#define SCOPE_DROP_NAME(id, name) name,
        SCOPE_DROPS(SCOPE_DROP_NAME)
#undef SCOPE_DROP_NAME
    };
    return cause < DROP_COUNT ? names[cause] : NULL;
}

static uint32_t bits(const uint64_t *words, uint32_t count)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < count; i += 64) {
        uint64_t word = __atomic_load_n(&words[i / 64], __ATOMIC_RELAXED);
        if (count - i < 64)
            word &= ((uint64_t)1 << (count - i)) - 1;
        while (word) {
            word &= word - 1;
            n++;
        }
    }
    return n;
}

void status_of_region(struct status *s, struct region_head *region)
{
    s->enabled = __atomic_load_n(&region->enabled, __ATOMIC_RELAXED) != 0;
    s->sandboxed = __atomic_load_n(&region->sandboxed, __ATOMIC_RELAXED) != 0;
    s->watch = region->watch;
    s->chunks = region->chunks < CHUNK_MAX ? region->chunks : CHUNK_MAX;
    s->chunks_free = bits(region->chunk_free, s->chunks);
    s->lanes = region->lanes < LANES_MAX ? region->lanes : LANES_MAX;
    s->lanes_used = s->lanes - bits(region->lane_free, s->lanes);
}

/* ------------------------------------------------------------------ JSON */

static void text(struct json *j, const char *s)
{
    struct text t = {s, strlen(s)};

    if (json_is_utf8(t))
        json_text(j, t);
    else
        json_text_escaped(j, t);
}

static void member(struct json *j, const char *name)
{
    JSON_RAW(j, ",\n\"");
    json_raw(j, name, strlen(name));
    JSON_RAW(j, "\":");
}

static void flag(struct json *j, bool value)
{
    if (value)
        JSON_RAW(j, "true");
    else
        JSON_RAW(j, "false");
}

/* The names of the bits that are set, as an array. */
static void names(struct json *j, uint32_t set, const char *const *all, unsigned count)
{
    bool first = true;

    JSON_RAW(j, "[");
    for (unsigned i = 0; i < count; i++) {
        if (!(set & 1u << i) || !all[i])
            continue;
        if (!first)
            JSON_RAW(j, ",");
        first = false;
        text(j, all[i]);
    }
    JSON_RAW(j, "]");
}

static void hooks(struct json *j, const struct status *s)
{
    JSON_RAW(j, "{\"preload\":true,\"stdio\":");
    text(j, s->stdio ? s->stdio : "patched");
    JSON_RAW(j, ",\"got_patched\":");
    json_unsigned(j, s->got_patched);
    JSON_RAW(j, ",\"got_refused\":");
    json_unsigned(j, s->got_refused);
    JSON_RAW(j, "}");
}

static void share(struct json *j, const char *one, uint32_t n, const char *other, uint32_t m)
{
    JSON_RAW(j, "{");
    text(j, one);
    JSON_RAW(j, ":");
    json_unsigned(j, n);
    JSON_RAW(j, ",");
    text(j, other);
    JSON_RAW(j, ":");
    json_unsigned(j, m);
    JSON_RAW(j, "}");
}

static void sinks(struct json *j, const struct status *s)
{
    JSON_RAW(j, "[");
    for (unsigned i = 0; i < s->sinks && i < STATUS_SINKS; i++) {
        const struct status_sink *k = &s->sink[i];
        if (i)
            JSON_RAW(j, ",");
        JSON_RAW(j, "\n  {\"name\":");
        text(j, k->name);
        JSON_RAW(j, ",\"to\":");
        text(j, k->to);
        JSON_RAW(j, ",\"state\":");
        text(j, states[k->state]);
        if (k->reason && *k->reason) {
            JSON_RAW(j, ",\"reason\":");
            text(j, k->reason);
        }
        JSON_RAW(j, ",\"queued\":");
        json_unsigned(j, k->queued);
        JSON_RAW(j, ",\"sent\":");
        json_unsigned(j, k->sent);
        JSON_RAW(j, "}");
    }
    JSON_RAW(j, "]");
}

static void drops(struct json *j, const struct status *s)
{
    bool first = true;

    JSON_RAW(j, "{");
    for (unsigned i = 0; i < DROP_COUNT; i++) {
        if (!s->drops[i])
            continue;
        if (!first)
            JSON_RAW(j, ",");
        first = false;
        text(j, status_drop_name(i));
        JSON_RAW(j, ":");
        json_unsigned(j, s->drops[i]);
    }
    JSON_RAW(j, "}");
}

size_t status_encode(const struct status *s, char *out, size_t size)
{
    struct json j = {.data = out, .room = size};

    JSON_RAW(&j, "{\"version\":");
    text(&j, version + sizeof(STATUS_VERSION_MARK) - 1);
    member(&j, "pid");
    json_signed(&j, s->pid);
    member(&j, "time");
    json_time(&j, s->time);
    member(&j, "enabled");
    flag(&j, s->enabled);
    member(&j, "sandboxed");
    flag(&j, s->sandboxed);
    member(&j, "watch");
    names(&j, s->watch, watches, WATCHES);
    member(&j, "hooks");
    hooks(&j, s);
    member(&j, "lanes");
    share(&j, "used", s->lanes_used, "total", s->lanes);
    member(&j, "pool");
    share(&j, "free", s->chunks_free, "total", s->chunks);
    member(&j, "sinks");
    sinks(&j, s);
    member(&j, "drops");
    drops(&j, s);
    member(&j, "unseen");
    names(&j, s->notes, notes, NOTES);
    member(&j, "configuration");
    JSON_RAW(&j, "{\"path\":");
    if (s->configuration)
        text(&j, s->configuration);
    else
        JSON_RAW(&j, "null");
    JSON_RAW(&j, ",\"troubles\":");
    json_unsigned(&j, s->troubles);
    JSON_RAW(&j, "}}\n");
    return j.full ? 0 : j.length;
}
