/*
 * The names of GnuTLS. Its own functions call each other by these names: that is told once, of the
 * outermost.
 */
#include "intercept/tls.h"

#include "intercept/common.h"

#define ARGUMENTS(...) __VA_ARGS__

/* Where there is no such library (somebody took our name for a sign of it) the call fails. */
#define CALL(member, name, type, parameters, arguments, none)                       \
    type name parameters;                                                           \
    EXPORT type name parameters                                                     \
    {                                                                               \
        struct tls_found found = tls_gnutls_of(__builtin_return_address(0), #name); \
        const struct tls_gnutls *api = found.api;                                   \
        if (unlikely(!api || !api->member))                                         \
            return none;                                                            \
        if (unlikely(found.inside))                                                 \
            return api->member arguments;                                           \
        return tls_gnutls_##member(api, ARGUMENTS arguments);                       \
    }
TLS_GNUTLS_CALLS(CALL)
