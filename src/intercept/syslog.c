/*
 * Wrappers of syslog(3), whose messages leave libc by internal calls and would pass no hook.
 *
 * The text is made a second time, by vsnprintf, before the real call (%m is the caller's errno). It
 * is cut at MESSAGE_MAX bytes. The buffer makes the frame larger than elsewhere: syslog itself
 * formats into libc's buffers on the same stack, which takes more.
 */
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

#include "intercept/common.h"

enum { MESSAGE_MAX = 1024, IDENT_MAX = 64 };

void __syslog_chk(int priority, int flag, const char *format, ...);
void __vsyslog_chk(int priority, int flag, const char *format, va_list arguments);
int __vsnprintf_chk(char *text, size_t room, int flag, size_t size, const char *format,
                    va_list arguments);

/*
 * What openlog and setlogmask left behind, as libc keeps it for the whole process: the ident by
 * address, read anew for each message.
 */
static const char *log_ident;
static int log_facility = LOG_USER;
static int log_mask = 0xff;

static bool is_masked(int priority)
{
    return !(LOG_MASK(LOG_PRI(priority)) & __atomic_load_n(&log_mask, __ATOMIC_RELAXED));
}

/* What the message goes out with: without bits that have no meaning, with a facility. */
static int whole_priority(int priority)
{
    priority &= LOG_PRIMASK | LOG_FACMASK;
    if (priority & LOG_FACMASK)
        return priority;
    return priority | __atomic_load_n(&log_facility, __ATOMIC_RELAXED);
}

static void write_record(struct lane *lane, uint64_t start, uint64_t end, int priority,
                         const char *text, int length)
{
    const char *ident = __atomic_load_n(&log_ident, __ATOMIC_RELAXED);
    uint32_t ident_length = 0;
    bool cut = length >= MESSAGE_MAX;
    struct record record = {
        .type = RECORD_SYSLOG,
        .op = OP_SYSLOG,
        .kind = KIND_NONE,
        .start = start,
        .end = end,
        .fd = -1,
        .a = (unsigned)priority,
        .flags = cut ? RECORD_TRUNCATED : 0u,
    };

    while (ident && ident_length < IDENT_MAX && ident[ident_length])
        ident_length++;
    struct piece pieces[] = {
        {ident, ident_length},
        {"", 1},
        {text, (uint32_t)(cut ? MESSAGE_MAX - 1 : length)},
    };
    record_write(hook_region, lane, &record, pieces, sizeof(pieces) / sizeof(*pieces));
}

/* flag: that of the checking variants, -1 for the plain ones. */
static void log_real(int priority, int flag, const char *format, va_list arguments)
{
    if (flag < 0) {
        REAL(vsyslog);
        real(priority, format, arguments);
    } else {
        REAL(__vsyslog_chk);
        real(priority, flag, format, arguments);
    }
}

static __attribute__((noinline)) void log_seen(struct lane *lane, int priority, int flag,
                                               const char *format, va_list arguments)
{
    char text[MESSAGE_MAX];
    int length = -1, before = errno;
    va_list copy;

    if ((hook_region->watch & WATCH_SYSLOG) && !is_masked(priority)) {
        va_copy(copy, arguments);
        /* the checking variant ends a program whose format it finds forged: so must ours */
        length = flag < 0 ? vsnprintf(text, sizeof(text), format, copy)
                          : __vsnprintf_chk(text, sizeof(text), flag, sizeof(text), format, copy);
        va_end(copy);
        errno = before;
    }
    uint64_t start = ticks_now();
    log_real(priority, flag, format, arguments);
    uint64_t end = ticks_now();

    count_call(hook_region, lane, OP_SYSLOG, KIND_NONE, start, end, 0, 0);
    if (length >= 0)
        write_record(lane, start, end, whole_priority(priority), text, length);
    after_any(hook_region);
}

static void log_message(int priority, int flag, const char *format, va_list arguments)
{
    struct lane *lane = hook_lane();

    if (likely(lane))
        log_seen(lane, priority, flag, format, arguments);
    else
        log_real(priority, flag, format, arguments);
}

EXPORT void vsyslog(int priority, const char *format, va_list arguments)
{
    log_message(priority, -1, format, arguments);
}

EXPORT void __vsyslog_chk(int priority, int flag, const char *format, va_list arguments)
{
    log_message(priority, flag, format, arguments);
}

EXPORT void syslog(int priority, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    log_message(priority, -1, format, arguments);
    va_end(arguments);
}

EXPORT void __syslog_chk(int priority, int flag, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    log_message(priority, flag, format, arguments);
    va_end(arguments);
}

EXPORT void openlog(const char *ident, int option, int facility)
{
    REAL(openlog);
    if (ident)
        __atomic_store_n(&log_ident, ident, __ATOMIC_RELAXED);
    if (facility && !(facility & ~LOG_FACMASK))
        __atomic_store_n(&log_facility, facility, __ATOMIC_RELAXED);
    real(ident, option, facility);
}

EXPORT void closelog(void)
{
    REAL(closelog);
    __atomic_store_n(&log_ident, NULL, __ATOMIC_RELAXED);
    real();
}

EXPORT int setlogmask(int mask)
{
    REAL(setlogmask);
    if (mask)
        __atomic_store_n(&log_mask, mask, __ATOMIC_RELAXED);
    return real(mask);
}
