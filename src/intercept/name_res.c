/*
 * Wrappers of the resolver's own interface, under both names that glibc has had for each: res_query
 * in libc since 2.34, __res_query (what <resolv.h> made of it) in libresolv before, kept in libc
 * since. The response goes into the record as it came: the reporter reads the answers out of it.
 *
 * A libc without the name answers -1 with NO_RECOVERY; nobody can have linked to it.
 */
#include "intercept/name.h"

#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>

#undef res_query
#undef res_search
#undef res_querydomain
#undef res_nquery
#undef res_nsearch
#undef res_nquerydomain

typedef unsigned char byte;

int res_query(const char *name, int class, int type, byte *answer, int room);
int __res_query(const char *name, int class, int type, byte *answer, int room);
int res_search(const char *name, int class, int type, byte *answer, int room);
int __res_search(const char *name, int class, int type, byte *answer, int room);
int res_querydomain(const char *name, const char *domain, int class, int type, byte *answer,
                    int room);
int __res_querydomain(const char *name, const char *domain, int class, int type, byte *answer,
                      int room);
int res_nquery(res_state state, const char *name, int class, int type, byte *answer, int room);
int __res_nquery(res_state state, const char *name, int class, int type, byte *answer, int room);
int res_nsearch(res_state state, const char *name, int class, int type, byte *answer, int room);
int __res_nsearch(res_state state, const char *name, int class, int type, byte *answer, int room);
int res_nquerydomain(res_state state, const char *name, const char *domain, int class, int type,
                     byte *answer, int room);
int __res_nquerydomain(res_state state, const char *name, const char *domain, int class, int type,
                       byte *answer, int room);

static __attribute__((noinline)) void queried(struct lane *lane, uint64_t start, uint64_t end,
                                              int n, const char *name, const char *domain,
                                              int class, int type, const byte *answer, int room)
{
    struct name_asked asked = {.lane = lane,
                               .op = OP_RES_QUERY,
                               .start = start,
                               .end = end,
                               .result = n,
                               .error = n < 0 ? name_h_error(h_errno) : 0,
                               .a = (unsigned)type,
                               .b = (unsigned)class,
                               .looked_up = true,
                               .name = name,
                               .domain = domain};
    enum { MESSAGE_MAX = RECORD_PAYLOAD_MAX - NAME_LENGTH_MAX * 2 - 32 };

    if (n > 0 && room > 0) {
        int length = n < room ? n : room; /* a longer response says its length all the same */
        asked.message = answer;
        asked.message_length = (uint32_t)(length < MESSAGE_MAX ? length : MESSAGE_MAX);
        asked.flags = RECORD_RAW | ((int)asked.message_length < n ? RECORD_TRUNCATED : 0u);
    }
    name_done(&asked);
}

#define LACKING(name)          \
    REAL_OR(name, {            \
        h_errno = NO_RECOVERY; \
        return -1;             \
    })

#define PLAIN(function)                                                                \
    EXPORT int function(const char *name, int class, int type, byte *answer, int room) \
    {                                                                                  \
        LACKING(function)                                                              \
        INTERCEPT_LANE(real(name, class, type, answer, room));                         \
        uint64_t start = ticks_now();                                                  \
        int n = real(name, class, type, answer, room);                                 \
        queried(lane, start, ticks_now(), n, name, NULL, class, type, answer, room);   \
        return n;                                                                      \
    }

#define PLAIN_DOMAIN(function)                                                                   \
    EXPORT int function(const char *name, const char *domain, int class, int type, byte *answer, \
                        int room)                                                                \
    {                                                                                            \
        LACKING(function)                                                                        \
        INTERCEPT_LANE(real(name, domain, class, type, answer, room));                           \
        uint64_t start = ticks_now();                                                            \
        int n = real(name, domain, class, type, answer, room);                                   \
        queried(lane, start, ticks_now(), n, name, domain, class, type, answer, room);           \
        return n;                                                                                \
    }

#define WITH_STATE(function)                                                                  \
    EXPORT int function(res_state state, const char *name, int class, int type, byte *answer, \
                        int room)                                                             \
    {                                                                                         \
        LACKING(function)                                                                     \
        INTERCEPT_LANE(real(state, name, class, type, answer, room));                         \
        uint64_t start = ticks_now();                                                         \
        int n = real(state, name, class, type, answer, room);                                 \
        queried(lane, start, ticks_now(), n, name, NULL, class, type, answer, room);          \
        return n;                                                                             \
    }

#define WITH_STATE_DOMAIN(function)                                                       \
    EXPORT int function(res_state state, const char *name, const char *domain, int class, \
                        int type, byte *answer, int room)                                 \
    {                                                                                     \
        LACKING(function)                                                                 \
        INTERCEPT_LANE(real(state, name, domain, class, type, answer, room));             \
        uint64_t start = ticks_now();                                                     \
        int n = real(state, name, domain, class, type, answer, room);                     \
        queried(lane, start, ticks_now(), n, name, domain, class, type, answer, room);    \
        return n;                                                                         \
    }

PLAIN(res_query)
PLAIN(__res_query)
PLAIN(res_search)
PLAIN(__res_search)
PLAIN_DOMAIN(res_querydomain)
PLAIN_DOMAIN(__res_querydomain)
WITH_STATE(res_nquery)
WITH_STATE(__res_nquery)
WITH_STATE(res_nsearch)
WITH_STATE(__res_nsearch)
WITH_STATE_DOMAIN(res_nquerydomain)
WITH_STATE_DOMAIN(__res_nquerydomain)
