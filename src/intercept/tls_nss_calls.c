/* The names of NSS, and of NSPR, through which its bytes go. */
#include "intercept/tls.h"

#include "intercept/common.h"

#define ARGUMENTS(...) __VA_ARGS__

#define CALL(member, name, type, parameters, arguments, none)                    \
    type name parameters;                                                        \
    EXPORT type name parameters                                                  \
    {                                                                            \
        struct tls_found found = tls_nss_of(__builtin_return_address(0), #name); \
        const struct tls_nss *api = found.api;                                   \
        if (unlikely(!api || !api->member))                                      \
            return none;                                                         \
        if (unlikely(found.inside))                                              \
            return api->member arguments;                                        \
        return tls_nss_##member(api, ARGUMENTS arguments);                       \
    }
TLS_NSS_CALLS(CALL)
TLS_NSS_SSL_CALLS(CALL)
