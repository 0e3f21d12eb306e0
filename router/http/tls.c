#include "router/http/tls.h"

#include "base/check.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

struct tls_context {
    SSL_CTX *ctx;
};

struct tls_conn {
    SSL *ssl;
    int is_broken; /* no close_notify after a fatal error */
};

static const char *last_error(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text != NULL ? text : "unknown error";
}

static int choose_http11(SSL *ssl, const unsigned char **out, unsigned char *outlen,
                         const unsigned char *in, unsigned int inlen, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, outlen, ours, sizeof ours - 1, in, inlen) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

struct tls_context *tls_context_new(const char *cert, const char *key, struct err *e)
{
    struct tls_context *t = calloc(1, sizeof *t);
    CHECK(t != NULL);
    ERR_clear_error();
    t->ctx = SSL_CTX_new(TLS_server_method());
    if (t->ctx == NULL) {
        err_set(e, ENOMEM, "tls: %s", last_error());
    } else if (SSL_CTX_use_certificate_chain_file(t->ctx, cert) != 1) {
        err_set(e, EINVAL, "tls_cert %s: %s", cert, last_error());
    } else if (SSL_CTX_use_PrivateKey_file(t->ctx, key, SSL_FILETYPE_PEM) != 1) {
        err_set(e, EINVAL, "tls_key %s: %s", key, last_error());
    } else if (SSL_CTX_check_private_key(t->ctx) != 1) {
        err_set(e, EINVAL, "tls_key %s does not belong to tls_cert %s", key, cert);
    } else {
        SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
        SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                     SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_alpn_select_cb(t->ctx, choose_http11, NULL);
        return t;
    }
    tls_context_free(&t);
    return NULL;
}

void tls_context_free(struct tls_context **t)
{
    if (*t == NULL)
        return;
    SSL_CTX_free((*t)->ctx);
    free(*t);
    *t = NULL;
}

struct tls_conn *tls_accept_new(struct tls_context *t, int fd)
{
    struct tls_conn *c = calloc(1, sizeof *c);
    CHECK(c != NULL);
    c->ssl = SSL_new(t->ctx);
    CHECK(c->ssl != NULL);
    CHECK(SSL_set_fd(c->ssl, fd) == 1);
    SSL_set_accept_state(c->ssl);
    return c;
}

void tls_conn_free(struct tls_conn **c)
{
    if (*c == NULL)
        return;
    ERR_clear_error();
    if (!(*c)->is_broken && SSL_is_init_finished((*c)->ssl))
        SSL_shutdown((*c)->ssl);
    SSL_free((*c)->ssl);
    free(*c);
    *c = NULL;
}

static enum tls_result classify(struct tls_conn *c, int rc)
{
    switch (SSL_get_error(c->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_CLOSED;
    default:
        c->is_broken = 1;
        return TLS_FAILED;
    }
}

enum tls_result tls_handshake(struct tls_conn *c)
{
    ERR_clear_error();
    int rc = SSL_accept(c->ssl);
    return rc == 1 ? TLS_OK : classify(c, rc);
}

enum tls_result tls_read(struct tls_conn *c, void *data, size_t len, size_t *got)
{
    ERR_clear_error();
    int rc = SSL_read_ex(c->ssl, data, len, got);
    return rc == 1 ? TLS_OK : classify(c, rc);
}

enum tls_result tls_write(struct tls_conn *c, const void *data, size_t len, size_t *put)
{
    ERR_clear_error();
    int rc = SSL_write_ex(c->ssl, data, len, put);
    return rc == 1 ? TLS_OK : classify(c, rc);
}
