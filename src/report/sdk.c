/*
 * Whether an OpenTelemetry SDK or another vendor's tracer is in the process already: its spans are
 * its own, and ours beside them would tell everything twice. Asked once, when the first span of a
 * request is about to be told; what a process is started with, and what it has mapped, says so.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/sys.h"
#include "report/diagnostics.h"
#include "report/fold_trace.h"

/* Texts in arguments, in environment variables that name what to load, and in names of mapped
 * files. */
static const char *const marks[] = {
    "opentelemetry-javaagent",
    "opentelemetry-instrument",
    "opentelemetry/instrumentation",
    "@opentelemetry/",
    "libopentelemetry",
    "otel_auto",
    "dd-java-agent",
    "ddtrace",
    "dd-trace",
    "newrelic",
    "elastic-apm",
    "elasticapm",
    "applicationinsights-agent",
    "skywalking-agent",
    "liboneagent",
    "instana",
    "appdynamics",
    "OTEL_CTX",
};

/* Only these variables are looked at: others may say anything. */
static const char *const variables[] = {
    "JAVA_TOOL_OPTIONS=", "JDK_JAVA_OPTIONS=", "NODE_OPTIONS=",    "PYTHONPATH=",
    "LD_PRELOAD=",        "RUBYOPT=",          "PHP_INI_SCAN_DIR="};

static const char *mark_in(const char *text, size_t length)
{
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
        if (memmem(text, length, marks[i], strlen(marks[i])))
            return marks[i];
    return NULL;
}

static bool begins_variable(const char *text, size_t length)
{
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        size_t n = strlen(variables[i]);
        if (length > n && !memcmp(text, variables[i], n))
            return true;
    }
    return false;
}

/* A file of /proc as far as it fits; NULL: it cannot be read. */
static char *read_all(int32_t pid, const char *name, size_t most, size_t *length)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    long fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    char *text = fd >= 0 ? malloc(most) : NULL;
    size_t n = 0;
    while (text && n < most) {
        long got = sys(read, fd, text + n, most - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    if (fd >= 0)
        sys(close, fd);
    *length = n;
    return text;
}

static const char *in_environment(int32_t pid)
{
    size_t length = 0;
    char *text = read_all(pid, "environ", 256 * 1024, &length);
    const char *found = NULL;
    for (size_t at = 0; text && at < length && !found;) {
        size_t n = strnlen(text + at, length - at);
        if (begins_variable(text + at, n))
            found = mark_in(text + at, n);
        at += n + 1;
    }
    free(text);
    return found;
}

static const char *in_file(int32_t pid, const char *name)
{
    size_t length = 0;
    char *text = read_all(pid, name, 1 << 20, &length);
    const char *found = text ? mark_in(text, length) : NULL;
    free(text);
    return found;
}

bool sdk_tells(struct fold *f)
{
    struct traces *t = traces_of(f);
    if (!t || f->conf->traces_sdk == TRACES_SDK_IGNORE)
        return false;
    if (t->sdk_asked)
        return t->sdk_found;
    t->sdk_asked = true;
    if (f->region->sandboxed)
        return false;
    const char *found = in_environment(f->pid);
    if (!found)
        found = in_file(f->pid, "cmdline");
    if (!found)
        found = in_file(f->pid, "maps");
    t->sdk_found = found != NULL;
    if (found)
        diagnostics(
            DIAGNOSTICS_WARN,
            "traces: \"%s\" is in this process and tells of its requests itself; metrics and "
            "logs go on, spans of requests do not (traces.sdk: ignore has both)",
            found);
    return t->sdk_found;
}
