/* Lets a unit test load libscope-http.so, as the life cycle does in a host program. */
#ifndef SCOPE_TEST_HTTP_LIBRARY_H
#define SCOPE_TEST_HTTP_LIBRARY_H

#include <dlfcn.h>

#include "transport/loader.h"

static void *libc_function(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}

static void use_http_library(void)
{
    transport_loader.open = dlopen;
    transport_loader.symbol = dlsym;
    transport_loader.libc = libc_function;
}

#endif
