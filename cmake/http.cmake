# libscope-http.so: libcurl and its TLS, static and hidden, for the reporter to load when it needs them.
#
# libcurl is the distribution's source, HTTP only (scripts/build-curl), built once for all presets; or,
# with -DSCOPE_CURL=system, the distribution's own shared library.
set(SCOPE_CURL "static" CACHE STRING "Where libscope-http.so has libcurl from: static, or system")

set(HTTP_WRAPPED malloc calloc realloc free strdup strndup)
set(HTTP_SOURCES src/transport/http.c)
if(SCOPE_CURL STREQUAL "static")
    list(APPEND HTTP_SOURCES src/transport/http_compat.c)
    list(APPEND HTTP_WRAPPED connect stat lstat fstat dlopen dlsym dlclose dlerror dladdr pthread_once pthread_rwlock_init
         pthread_rwlock_destroy pthread_rwlock_rdlock pthread_rwlock_wrlock pthread_rwlock_unlock pthread_key_create
         pthread_key_delete pthread_setspecific pthread_getspecific)
endif()
list(JOIN HTTP_WRAPPED ",--wrap=" HTTP_WRAPPED)
add_library(scope_http SHARED ${HTTP_SOURCES})
set_target_properties(scope_http PROPERTIES OUTPUT_NAME scope-http)
# Sanitizers watch what we test; this is loaded by name, as in a host program.
target_compile_options(scope_http PRIVATE -fno-sanitize=all -fasynchronous-unwind-tables -Wno-missing-prototypes)
target_link_options(scope_http PRIVATE -fno-sanitize=all
    -Wl,-z,relro -Wl,-z,now -Wl,-z,nodelete -Wl,-Bsymbolic -Wl,--no-undefined -Wl,--exclude-libs,ALL
    -Wl,--hash-style=gnu -Wl,--as-needed -Wl,--gc-sections
    -Wl,--wrap=${HTTP_WRAPPED})

find_library(Z_STATIC NAMES libz.a REQUIRED)
if(SCOPE_CURL STREQUAL "system")
    find_library(CURL_SHARED NAMES libcurl.so REQUIRED)
    find_library(CRYPTO_SHARED NAMES libcrypto.so REQUIRED)
    target_link_libraries(scope_http PRIVATE ${CURL_SHARED} ${CRYPTO_SHARED} ${Z_STATIC})
else()
    find_library(SSL_STATIC NAMES libssl.a REQUIRED)
    find_library(CRYPTO_STATIC NAMES libcrypto.a REQUIRED)
    set(CURL_DIR ${PROJECT_SOURCE_DIR}/build/deps/curl)
    if(NOT EXISTS ${CURL_DIR}/.done)
        message(STATUS "Building libcurl from the distribution's source")
        execute_process(COMMAND ${PROJECT_SOURCE_DIR}/scripts/build-curl ${CURL_DIR}
                        OUTPUT_QUIET RESULT_VARIABLE curl_failed)
        if(curl_failed)
            message(FATAL_ERROR "scripts/build-curl failed; -DSCOPE_CURL=system takes the distribution's library")
        endif()
    endif()
    target_include_directories(scope_http SYSTEM PRIVATE ${CURL_DIR}/include)
    target_link_libraries(scope_http PRIVATE ${CURL_DIR}/lib/libcurl.a ${SSL_STATIC} ${CRYPTO_STATIC}
                          ${CURL_DIR}/lib/libnghttp2.a ${Z_STATIC})
endif()
