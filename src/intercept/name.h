/*
 * name: what the wrappers of name lookups share. Called on application threads after the real call;
 * keeps errno and h_errno; no system calls.
 */
#ifndef SCOPE_INTERCEPT_NAME_H
#define SCOPE_INTERCEPT_NAME_H

#include "intercept/common.h"

enum { NAME_ANSWERS = 16, NAME_LENGTH_MAX = 1025 };

/* What a lookup asked and got. */
struct name_asked {
    struct lane *lane;
    enum op op;
    uint64_t start, end;
    int64_t result; /* what the call returned */
    int32_t error;  /* as struct name_lookup's */
    uint32_t flags; /* RECORD_* */
    uint64_t a, b;  /* as RECORD_NAME's */
    const char *name;
    const char *domain;     /* the name goes on with this, behind a dot; NULL: it does not */
    const uint8_t *message; /* RECORD_RAW: the response, of message_length bytes */
    uint32_t message_length;
    bool looked_up; /* something was: a record is due, without a name too */
    uint32_t answers;
    struct name_answer answer[NAME_ANSWERS];
};

/* Appends an address (4 or 16 bytes by its family), unless it is there already or there is no room.
 */
void name_add(struct name_asked *asked, unsigned family, const void *address);

/* Counts the call; writes RECORD_NAME if names are watched and one was looked up. */
void name_done(struct name_asked *asked);

/* h_errno as struct name_lookup has it. */
static inline int32_t name_h_error(int error)
{
    return -1000 - error;
}

#endif
