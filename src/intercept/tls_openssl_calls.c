/*
 * The names of OpenSSL. SSL_peek is none of them: what it shows is read later. What happens inside
 * of OpenSSL (BIO_read of an SSL BIO) passes no name, and is not seen here.
 */
#include "intercept/tls.h"

#include "intercept/common.h"

#define ARGUMENTS(...) __VA_ARGS__

/* Where there is no such library (somebody took our name for a sign of it) the call fails. */
#define CALL(member, name, type, parameters, arguments, none)                        \
    type name parameters;                                                            \
    EXPORT type name parameters                                                      \
    {                                                                                \
        struct tls_found found = tls_openssl_of(__builtin_return_address(0), #name); \
        const struct tls_openssl *api = found.api;                                   \
        if (unlikely(!api || !api->member))                                          \
            return none;                                                             \
        if (unlikely(found.inside))                                                  \
            return api->member arguments;                                            \
        return tls_openssl_##member(api, ARGUMENTS arguments);                       \
    }
TLS_OPENSSL_CALLS(CALL)
