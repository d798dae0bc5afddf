/*
 * Datagrams to the system's log: journald's native protocol, and syslog's lines (RFC 3164 as libc
 * writes them, RFC 5424). Bytes in, slices of them out. No I/O, no globals, no allocation; never
 * reads beyond the given bytes.
 */
#ifndef SCOPE_PROTOCOL_JOURNAL_H
#define SCOPE_PROTOCOL_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

/* Inside the datagram; length 0: not there. */
struct journal_text {
    const char *data;
    size_t length;
};

struct journal_entry {
    int priority; /* facility * 8 + level, as in syslog; the level alone where no facility; -1 none
                   */
    struct journal_text message;
    struct journal_text identifier;           /* SYSLOG_IDENTIFIER, the tag, APP-NAME */
    struct journal_text pid;                  /* as written */
    struct journal_text file, line, function; /* CODE_FILE and so on */
    struct journal_text message_id;           /* MESSAGE_ID, MSGID */
    struct journal_text errno_text;           /* ERRNO */
};

/* journald's "KEY=value" lines and "KEY" length value. 0, or -EBADMSG when there is no MESSAGE. */
int journal_parse(const uint8_t *data, size_t length, struct journal_entry *entry);

/* "<priority>..." 0, or -EBADMSG when it does not start with a priority. */
int syslog_parse(const uint8_t *data, size_t length, struct journal_entry *entry);

#endif
