/* Datagrams to the system's log: what is found lies inside what came. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct journal_text t, const uint8_t *data, size_t size)
{
    const char *from = (const char *)data;
    if (t.length &&
        (t.data < from || t.data > from + size || t.length > size - (size_t)(t.data - from)))
        abort();
}

static void check(const struct journal_entry *e, const uint8_t *data, size_t size)
{
    if (e->priority < -1 || e->priority > 191)
        abort();
    inside(e->message, data, size);
    inside(e->identifier, data, size);
    inside(e->pid, data, size);
    inside(e->file, data, size);
    inside(e->line, data, size);
    inside(e->function, data, size);
    inside(e->message_id, data, size);
    inside(e->errno_text, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct journal_entry e;
    uint8_t *copy = malloc(size ? size : 1);
    if (size)
        memcpy(copy, data, size);
    if (journal_parse(copy, size, &e) == 0)
        check(&e, copy, size);
    if (syslog_parse(copy, size, &e) == 0)
        check(&e, copy, size);
    free(copy);
    return 0;
}
