/* The HTTP/1.1 server: listeners, connections, exchanges. Everything above (routes, dialects) sees
 * struct exchange and the functions here; libevent, http-parser and OpenSSL stay below.
 *
 *   listener ──accept──> connection ──gate, http-parser──> exchange ──route──> handler
 *                             ^── exchange_respond / exchange_stream_* ──────────┘
 *
 * One exchange at a time on a connection; a pipelined request waits in the input buffer until the
 * response before it is complete. Handlers never free or close anything: conn.c alone does.
 */
#ifndef ROUTER_HTTP_SERVER_H
#define ROUTER_HTTP_SERVER_H

#include "base/buf.h"
#include "base/config.h"
#include "base/json.h"
#include "router/deadline.h"
#include "router/errors.h"
#include "router/http/gate.h"
#include "shm/counters.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct exchange;
struct tls_context;

/* What a handler leaves behind. */
enum handler_result {
    HANDLER_DONE,    /* the response is complete */
    HANDLER_PENDING, /* it will come; ops is set */
};

/* Who may call a route. */
#define AUTH_CLASSES(X)                                                                            \
    X(AUTH_OPEN, "open")     /* anybody who reaches the listener */                                \
    X(AUTH_CLIENT, "client") /* a key, once one is configured */
#define X(constant, text) constant,
enum auth_class { AUTH_CLASSES(X) AUTH_CLASSES_N };
#undef X

#define KEY_NONE    -1 /* anonymous */
#define KEY_REVOKED -2 /* was known when the head came; a reload has removed it */

#define BODY_NONE 0u
#define BODY_MAX  UINT64_MAX /* gateway.body_max_mb */

struct route {
    enum gate_method method;
    const char *path; /* exact, or ending in "/" + "*": the rest is the parameter */
    enum auth_class auth;
    uint64_t body_max; /* bytes; BODY_NONE = a body is refused */
    enum handler_result (*handle)(struct exchange *x);
};

/* Called by the connection on behalf of a PENDING exchange. */
struct exchange_ops {
    void (*gone)(struct exchange *x);    /* the client closed; no answer is wanted any more */
    void (*drained)(struct exchange *x); /* the client read: output is below the low mark */
    void (*silent)(struct exchange *x);  /* a stream has been silent for almost a second */
};

/* What the server asks of the program above it. */
struct http_app {
    const struct route *routes; /* ends with a row whose path is NULL */
    /* Answer with an error in the dialect of x->path. */
    void (*refuse)(struct exchange *x, enum api_error error, const char *text);
    /* Set x->key from the credential (NULL = none was sent). False = refuse with 401. */
    bool (*authorize)(struct exchange *x, const char *credential, size_t len);
};

/* One request and its response. */
struct exchange {
    struct http_server *server; /* borrowed */
    const struct route *route;  /* borrowed, static */
    enum gate_method method;
    bool is_http10;
    char *path;      /* owned, decoded */
    char *query;     /* owned, raw, without '?'; "" when there is none */
    const char *parameter; /* into path: what "*" matched, or "" */
    struct json_object *body; /* owned; NULL without one. A handler may take it (set NULL) */
    int key;         /* index into config.keys, or KEY_NONE, KEY_REVOKED */
    uint64_t session; /* hash of x-session-id, 0 = none given */
    char request_id[32];
    const struct exchange_ops *ops; /* borrowed, static */
    void *call;                     /* the handler's own state */
};

struct http_server {
    struct event_base *base;       /* borrowed */
    const struct config *config;   /* borrowed, replaced on reload */
    struct router_counters *counters; /* borrowed */
    const struct http_app *app;    /* borrowed, static */
    void *context;                 /* borrowed: for handlers */
    uint64_t id_prefix;            /* part of request ids, differs between starts */

    struct tls_context *tls; /* owned, NULL = plain */
    struct gate_hosts hosts; /* names owned */
    char *hosts_text;
    struct listener *listener; /* owned */
    struct conn_list *conns;   /* owned */
    struct addresses *addresses; /* owned: connections per remote address */
    struct reaper *reaper;       /* owned: trees being freed */
    bool is_metrics;           /* the metrics listener: never TLS */
    bool is_draining;
    struct deadline_queue head_due, idle_due, write_due, tls_due, silent_due;
    char date[40]; /* value of the Date field, refreshed by http_server_tick */
    uint64_t n_exchanges;
    uint64_t n_conns; /* open now */
};

/* listen_fd is inherited and listening; owned from here on. 0 or -errno. */
int http_server_start(struct http_server *s, int listen_fd, struct err *e);
/* Take a new configuration: timeouts, hosts, TLS. On an error the old one stays. */
int http_server_configure(struct http_server *s, const struct config *config, struct err *e);
/* Every TICK_MS. */
void http_server_tick(struct http_server *s, uint64_t now_ns);
/* Before the old configuration is freed: exchanges hold keys by their index. */
void http_server_rekey(struct http_server *s, const struct config *from, const struct config *to);
/* A request is arriving or being answered, or an answer is not written yet. */
bool http_server_is_busy(const struct http_server *s);
/* Close idle connections, answer further requests with 503. */
void http_server_drain(struct http_server *s);
void http_server_stop(struct http_server *s);

/* --- answers --- */

/* A complete response. headers: further "name: value\r\n" lines or "". */
void exchange_respond(struct exchange *x, int status, const char *type, const char *headers,
                      const char *body, size_t len);

/* A streamed response: the head (flushed at once), pieces, the end. Between begin and end of a
 * piece the caller appends to the returned buffer. From the head on, ops->silent is called
 * whenever nothing was written for almost a second. */
void exchange_stream_start(struct exchange *x, const char *type, const char *headers);
bool exchange_is_streaming(const struct exchange *x);
struct buf *exchange_piece_begin(struct exchange *x);
void exchange_piece_end(struct exchange *x);
void exchange_stream_end(struct exchange *x);

/* Bytes accepted but not yet taken by the kernel. */
size_t exchange_pending_bytes(const struct exchange *x);
#define OUTPUT_LOW_MARK (64u << 10)

/* Write what was appended since the last flush, on every connection that has something. */
void http_server_flush(struct http_server *s);

/* Free a request body, a large one over several turns of the loop. */
void http_server_discard(struct http_server *s, struct json_object **tree);

/* --- inside router/http --- */
void reaper_open(struct http_server *s);
void reaper_close(struct http_server *s);
struct conn;
void listener_close(struct http_server *s);
int listener_open(struct http_server *s, int fd, struct err *e);
bool address_admit(struct http_server *s, const void *sockaddr);
void address_release(struct http_server *s, const void *sockaddr);
void conn_open(struct http_server *s, int fd, const void *sockaddr, size_t len);
void conns_init(struct http_server *s);
void conns_tick(struct http_server *s, uint64_t now_ns);
void conns_drain(struct http_server *s);
void conns_close(struct http_server *s);

#endif
