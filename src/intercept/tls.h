/*
 * tls: plaintext of TLS, at the functions by which programs give it to a library and take it.
 *
 * A library's object in memory is a table of its real functions (struct tls_openssl, tls_gnutls,
 * tls_nss); the tls_..._read() and so on are whole calls on such a table: what the exported symbols
 * do (tls_openssl_calls.c ...), and what a hook at a function's entry does with a table whose
 * functions lead around the hook. A table may lie anywhere; it must stay while it is called.
 *
 * Each call has the result, errno and error queue of the real one; nothing is held across it. A
 * table without `observable`, or a thread without a lane, gives the real call alone. Helpers are
 * only called for sessions that the program is inside a call of, on its thread. Async-signal-safe
 * as far as the library is.
 */
#ifndef SCOPE_INTERCEPT_TLS_H
#define SCOPE_INTERCEPT_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "capture/flow.h"

/* ------------------------------------------------------------------ tables of real functions */

/*
 * X(member, name, type, parameters, arguments, none): what is called by the program. A member is
 * NULL where this version lacks it. none: what the exported name gives where there is no such
 * function.
 */
#define TLS_OPENSSL_CALLS(X)                                                                      \
    X(read, SSL_read, int, (void *ssl, void *buffer, int size), (ssl, buffer, size), -1)          \
    X(read_ex, SSL_read_ex, int, (void *ssl, void *buffer, size_t size, size_t *done),            \
      (ssl, buffer, size, done), 0)                                                               \
    X(write, SSL_write, int, (void *ssl, const void *buffer, int size), (ssl, buffer, size), -1)  \
    X(write_ex, SSL_write_ex, int, (void *ssl, const void *buffer, size_t size, size_t *done),    \
      (ssl, buffer, size, done), 0)                                                               \
    X(write_ex2, SSL_write_ex2, int,                                                              \
      (void *ssl, const void *buffer, size_t size, uint64_t flags, size_t *done),                 \
      (ssl, buffer, size, flags, done), 0)                                                        \
    X(sendfile, SSL_sendfile, ssize_t, (void *ssl, int fd, off_t offset, size_t size, int flags), \
      (ssl, fd, offset, size, flags), -1)                                                         \
    X(read_early_data, SSL_read_early_data, int,                                                  \
      (void *ssl, void *buffer, size_t size, size_t *done), (ssl, buffer, size, done), 0)         \
    X(write_early_data, SSL_write_early_data, int,                                                \
      (void *ssl, const void *buffer, size_t size, size_t *done), (ssl, buffer, size, done), 0)   \
    X(do_handshake, SSL_do_handshake, int, (void *ssl), (ssl), -1)                                \
    X(connect, SSL_connect, int, (void *ssl), (ssl), -1)                                          \
    X(accept, SSL_accept, int, (void *ssl), (ssl), -1)                                            \
    X(clear, SSL_clear, int, (void *ssl), (ssl), 0)                                               \
    X(release, SSL_free, void, (void *ssl), (ssl), )

/* Helpers that must be there for an object to be observed, and those that may lack. */
#define TLS_OPENSSL_HELPERS(X)                                        \
    X(is_init_finished, SSL_is_init_finished, int, (const void *ssl)) \
    X(in_before, SSL_in_before, int, (const void *ssl))               \
    X(is_server, SSL_is_server, int, (const void *ssl))               \
    X(version, SSL_version, int, (const void *ssl))                   \
    X(want, SSL_want, int, (const void *ssl))                         \
    X(get_error, SSL_get_error, int, (const void *ssl, int result))   \
    X(get_rbio, SSL_get_rbio, void *, (const void *ssl))              \
    X(get_wbio, SSL_get_wbio, void *, (const void *ssl))              \
    X(get_rfd, SSL_get_rfd, int, (const void *ssl))                   \
    X(get_wfd, SSL_get_wfd, int, (const void *ssl))                   \
    X(client_random, SSL_get_client_random, size_t, (const void *ssl, uint8_t *out, size_t size))
#define TLS_OPENSSL_EXTRAS(X)                                                     \
    X(alpn, SSL_get0_alpn_selected, void,                                         \
      (const void *ssl, const uint8_t **protocol, unsigned *length))              \
    X(server_name, SSL_get_servername, const char *, (const void *ssl, int type)) \
    X(peek_error, ERR_peek_error, unsigned long, (void))                           \
    X(ctrl, SSL_ctrl, long, (void *ssl, int command, long value, void *more))

#define TLS_GNUTLS_CALLS(X)                                                                 \
    X(recv, gnutls_record_recv, ssize_t, (void *session, void *data, size_t size),          \
      (session, data, size), TLS_NO_GNUTLS)                                                 \
    X(recv_seq, gnutls_record_recv_seq, ssize_t,                                            \
      (void *session, void *data, size_t size, uint8_t *sequence),                          \
      (session, data, size, sequence), TLS_NO_GNUTLS)                                       \
    X(recv_packet, gnutls_record_recv_packet, ssize_t, (void *session, void **packet),      \
      (session, packet), TLS_NO_GNUTLS)                                                     \
    X(recv_early_data, gnutls_record_recv_early_data, ssize_t,                              \
      (void *session, void *data, size_t size), (session, data, size), TLS_NO_GNUTLS)       \
    X(send, gnutls_record_send, ssize_t, (void *session, const void *data, size_t size),    \
      (session, data, size), TLS_NO_GNUTLS)                                                 \
    X(send2, gnutls_record_send2, ssize_t,                                                  \
      (void *session, const void *data, size_t size, size_t pad, unsigned flags),           \
      (session, data, size, pad, flags), TLS_NO_GNUTLS)                                     \
    X(send_range, gnutls_record_send_range, ssize_t,                                        \
      (void *session, const void *data, size_t size, const void *range),                    \
      (session, data, size, range), TLS_NO_GNUTLS)                                          \
    X(send_early_data, gnutls_record_send_early_data, ssize_t,                              \
      (void *session, const void *data, size_t size), (session, data, size), TLS_NO_GNUTLS) \
    X(send_file, gnutls_record_send_file, ssize_t,                                          \
      (void *session, int fd, off_t *offset, size_t count), (session, fd, offset, count),   \
      TLS_NO_GNUTLS)                                                                        \
    X(handshake, gnutls_handshake, int, (void *session), (session), TLS_NO_GNUTLS)          \
    X(deinit, gnutls_deinit, void, (void *session), (session), )

enum { TLS_NO_GNUTLS = -1250 }; /* GNUTLS_E_UNIMPLEMENTED_FEATURE */

struct tls_datum {
    uint8_t *data;
    unsigned size;
};

#define TLS_GNUTLS_HELPERS(X)                                                             \
    X(error_is_fatal, gnutls_error_is_fatal, int, (int error))                            \
    X(version, gnutls_protocol_get_version, int, (void *session))                         \
    X(transport, gnutls_transport_get_ptr2, void, (void *session, void **in, void **out)) \
    X(random, gnutls_session_get_random, void,                                            \
      (void *session, struct tls_datum *client, struct tls_datum *server))
#define TLS_GNUTLS_EXTRAS(X)                                                                     \
    X(alpn, gnutls_alpn_get_selected_protocol, int, (void *session, struct tls_datum *protocol)) \
    X(server_name, gnutls_server_name_get, int,                                                  \
      (void *session, void *name, size_t *size, unsigned *type, unsigned index))                 \
    X(max_size, gnutls_record_get_max_size, size_t, (void *session))                              \
    X(corked, gnutls_record_check_corked, size_t, (void *session))                                \
    X(packet_get, gnutls_packet_get, void,                                                       \
      (void *packet, struct tls_datum *data, uint8_t *sequence))

/*
 * NSS: bytes go through NSPR's calls, on descriptors whose topmost layer is NSS's. Filled from
 * NSS's own object a table has all of it; from NSPR's, what NSPR has.
 */
#define TLS_NSS_CALLS(X)                                                                           \
    X(read, PR_Read, int32_t, (void *file, void *data, int32_t size), (file, data, size), -1)      \
    X(write, PR_Write, int32_t, (void *file, const void *data, int32_t size), (file, data, size),  \
      -1)                                                                                          \
    X(recv, PR_Recv, int32_t, (void *file, void *data, int32_t size, int flags, uint32_t timeout), \
      (file, data, size, flags, timeout), -1)                                                      \
    X(send, PR_Send, int32_t,                                                                      \
      (void *file, const void *data, int32_t size, int flags, uint32_t timeout),                   \
      (file, data, size, flags, timeout), -1)                                                      \
    X(end, PR_Close, int, (void *file), (file), -1)
#define TLS_NSS_SSL_CALLS(X)                                                                \
    X(handshake, SSL_ForceHandshake, int, (void *file), (file), -1)                         \
    X(handshake_within, SSL_ForceHandshakeWithTimeout, int, (void *file, uint32_t timeout), \
      (file, timeout), -1)
#define TLS_NSS_HELPERS(X)                                                            \
    X(identity_name, PR_GetNameForIdentity, const char *, (int identity))             \
    X(descriptor, PR_FileDesc2NativeHandle, int, (void *file))                        \
    X(get_error, PR_GetError, int32_t, (void))                                        \
    X(channel_info, SSL_GetChannelInfo, int, (void *file, void *info, unsigned size)) \
    X(next_protocol, SSL_GetNextProto, int,                                           \
      (void *file, int *state, void *out, unsigned *length, unsigned room))           \
    X(security, SSL_SecurityStatus, int,                                              \
      (void *file, int *on, char **cipher, int *key, int *secret, char **issuer, char **subject))

#define TLS_MEMBER(member, name, type, parameters, ...) type(*member) parameters;

struct tls_openssl {
    TLS_OPENSSL_CALLS(TLS_MEMBER)
    TLS_OPENSSL_HELPERS(TLS_MEMBER)
    TLS_OPENSSL_EXTRAS(TLS_MEMBER)
    uint8_t library;    /* enum tls_library */
    uint8_t observable; /* all helpers are there */
};

struct tls_gnutls {
    TLS_GNUTLS_CALLS(TLS_MEMBER)
    TLS_GNUTLS_HELPERS(TLS_MEMBER)
    TLS_GNUTLS_EXTRAS(TLS_MEMBER)
    uint8_t library;
    uint8_t observable;
};

struct tls_nss {
    TLS_NSS_CALLS(TLS_MEMBER)
    TLS_NSS_SSL_CALLS(TLS_MEMBER)
    TLS_NSS_HELPERS(TLS_MEMBER)
    uint8_t library;
    uint8_t observable;
};

/* Where a name is defined, in the library or in what it needs. NULL: nowhere. */
typedef void *tls_look_up(void *context, const char *name);

/* One member of the table `api`, for the X lists above; `all` is false where a helper lacks. */
#define TLS_FILL(member, name, type, parameters, ...) \
    api->member = (type(*) parameters)look_up(context, #name);
#define TLS_FILL_HELPER(member, name, type, parameters, ...) \
    TLS_FILL(member, name, type, parameters)                 \
    all &= api->member != NULL;

/* Fills a table; false (and not observable) where a helper lacks. Calls that lack are NULL. */
bool tls_openssl_fill(struct tls_openssl *api, tls_look_up *look_up, void *context);
bool tls_gnutls_fill(struct tls_gnutls *api, tls_look_up *look_up, void *context);
bool tls_nss_fill(struct tls_nss *api, tls_look_up *look_up, void *context);

/* ------------------------------------------------------------------ whole calls */

#define TLS_OPENSSL_API const struct tls_openssl *api, void *ssl
int tls_openssl_read(TLS_OPENSSL_API, void *buffer, int size);
int tls_openssl_read_ex(TLS_OPENSSL_API, void *buffer, size_t size, size_t *done);
int tls_openssl_write(TLS_OPENSSL_API, const void *buffer, int size);
int tls_openssl_write_ex(TLS_OPENSSL_API, const void *buffer, size_t size, size_t *done);
int tls_openssl_write_ex2(TLS_OPENSSL_API, const void *buffer, size_t size, uint64_t flags,
                          size_t *done);
ssize_t tls_openssl_sendfile(TLS_OPENSSL_API, int fd, off_t offset, size_t size, int flags);
int tls_openssl_read_early_data(TLS_OPENSSL_API, void *buffer, size_t size, size_t *done);
int tls_openssl_write_early_data(TLS_OPENSSL_API, const void *buffer, size_t size, size_t *done);
int tls_openssl_do_handshake(TLS_OPENSSL_API);
int tls_openssl_connect(TLS_OPENSSL_API);
int tls_openssl_accept(TLS_OPENSSL_API);
int tls_openssl_clear(TLS_OPENSSL_API);
void tls_openssl_release(TLS_OPENSSL_API);

#define TLS_GNUTLS_API const struct tls_gnutls *api, void *session
ssize_t tls_gnutls_recv(TLS_GNUTLS_API, void *data, size_t size);
ssize_t tls_gnutls_recv_seq(TLS_GNUTLS_API, void *data, size_t size, uint8_t *sequence);
ssize_t tls_gnutls_recv_packet(TLS_GNUTLS_API, void **packet);
ssize_t tls_gnutls_recv_early_data(TLS_GNUTLS_API, void *data, size_t size);
ssize_t tls_gnutls_send(TLS_GNUTLS_API, const void *data, size_t size);
ssize_t tls_gnutls_send2(TLS_GNUTLS_API, const void *data, size_t size, size_t pad, unsigned flags);
ssize_t tls_gnutls_send_range(TLS_GNUTLS_API, const void *data, size_t size, const void *range);
ssize_t tls_gnutls_send_early_data(TLS_GNUTLS_API, const void *data, size_t size);
ssize_t tls_gnutls_send_file(TLS_GNUTLS_API, int fd, off_t *offset, size_t count);
int tls_gnutls_handshake(TLS_GNUTLS_API);
void tls_gnutls_deinit(TLS_GNUTLS_API);

#define TLS_NSS_API const struct tls_nss *api, void *file
int32_t tls_nss_read(TLS_NSS_API, void *data, int32_t size);
int32_t tls_nss_write(TLS_NSS_API, const void *data, int32_t size);
int32_t tls_nss_recv(TLS_NSS_API, void *data, int32_t size, int flags, uint32_t timeout);
int32_t tls_nss_send(TLS_NSS_API, const void *data, int32_t size, int flags, uint32_t timeout);
int tls_nss_end(TLS_NSS_API);
int tls_nss_handshake(TLS_NSS_API);
int tls_nss_handshake_within(TLS_NSS_API, uint32_t timeout);

/* ------------------------------------------------------------------ sessions (tls_session.c) */

/*
 * What is remembered of a session, by its pointer: since when its handshake goes on, and, where its
 * library works on memory buffers, which descriptor its bytes go through. Process private, bounded;
 * at the bound the oldest is forgotten, and asked for anew.
 */
struct tls_call {
    struct flow_bytes moved; /* lane and start are set; fd -1: to be found by the random */
    bool by_number;          /* the library has the descriptor's number */
    bool unfinished;         /* the handshake was not over before the call */
    bool stale;              /* there may have been old errors in the library's queue */
};

/* Before anything else: whether there is something to be told at all. False: call through. */
bool tls_begin(struct tls_call *call, int direction);
/*
 * Last before the real call. fd: where the library has a number, else -1. False: it is none of a
 * stream (DTLS, QUIC): call through.
 */
bool tls_on(struct tls_call *call, int fd);
/* After it: what moved (bytes NULL: unseen), once the descriptor is known. */
void tls_tell(struct tls_call *call, const void *bytes, uint64_t length);

/* A handshake begins (anew) on this session. */
void tls_handshake_begins(const void *session, uint64_t start);
/* When the one under way began; 0: none is. */
uint64_t tls_handshake_since(const void *session);
/* It has ended: when it began, or 0 where that was not seen or somebody has told the end. */
uint64_t tls_handshake_ends(const void *session);
/* The session is gone, or starts afresh. */
void tls_forget(const void *session);

/*
 * Finds the descriptor of a session without one by the ClientHello's random, which *call then has.
 * hello_direction: as
 * flow_by_random has it. False: it cannot be found; that plaintext could not be placed is counted
 * once a session, if `plain`.
 */
bool tls_place(struct tls_call *call, const void *session, const uint8_t random[32],
               int hello_direction, bool plain);

/* ------------------------------------------------------------------ objects (tls_object.c) */

/* The table of the object that a caller at `from` means by `name`; NULL: there is none. */
struct tls_found {
    const void *api;
    bool inside; /* the call comes from the library itself, or from us: it is told of elsewhere */
};
struct tls_found tls_openssl_of(const void *from, const char *name);
struct tls_found tls_gnutls_of(const void *from, const char *name);
struct tls_found tls_nss_of(const void *from, const char *name);
/* The table of NSS itself, whoever asks; NULL: not loaded, or not observable. */
const struct tls_nss *tls_nss_loaded(void);

/*
 * From the constructor, while the program has not begun: hooks an OpenSSL that the executable
 * itself has inside. What cannot be hooked is told once (NOTE_TLS_UNSEEN). (tls_entry.c)
 */
void tls_entry_start(void);

/* Whether the process has one thread. */
bool tls_is_alone(void);

/* Objects may have gone (dlclose): what was found is to be found anew. */
void tls_objects_changed(void);

#endif
