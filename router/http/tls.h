/* TLS of the client API: OpenSSL over the connection's own socket. OpenSSL is visible here alone. */
#ifndef ROUTER_HTTP_TLS_H
#define ROUTER_HTTP_TLS_H

#include "base/err.h"

#include <stddef.h>
#include <sys/types.h>

struct tls_context;
struct tls_conn;

/* PEM files; TLS 1.2 or newer, ALPN http/1.1. */
struct tls_context *tls_context_new(const char *cert, const char *key, struct err *e);
void tls_context_free(struct tls_context **t);

struct tls_conn *tls_accept_new(struct tls_context *t, int fd);
void tls_conn_free(struct tls_conn **c); /* sends close_notify when it can */

enum tls_result { TLS_OK, TLS_WANT_READ, TLS_WANT_WRITE, TLS_CLOSED, TLS_FAILED };

enum tls_result tls_handshake(struct tls_conn *c);
enum tls_result tls_read(struct tls_conn *c, void *data, size_t len, size_t *got);
enum tls_result tls_write(struct tls_conn *c, const void *data, size_t len, size_t *put);

#endif
