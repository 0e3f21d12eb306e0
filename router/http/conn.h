/* Inside router/http: one client connection. */
#ifndef ROUTER_HTTP_CONN_H
#define ROUTER_HTTP_CONN_H

#include "router/http/chunked.h"
#include "router/http/server.h"
#include "router/http/tls.h"

#include <netinet/in.h>
#include <sys/queue.h>

struct event;

/* X(constant, text) */
#define CONN_STATES(X)                                                                             \
    X(CONN_TLS, "tls handshake")                                                                   \
    X(CONN_HEAD, "reading a head") /* or idle, when nothing has arrived */                         \
    X(CONN_BODY, "reading a body")                                                                 \
    X(CONN_BUSY, "waiting for the answer")                                                         \
    X(CONN_CLOSING, "writing the rest")                                                            \
    X(CONN_LINGER, "discarding what the client still sends")
#define X(constant, text) constant,
enum conn_state { CONN_STATES(X) };
#undef X

struct conn {
    TAILQ_ENTRY(conn) entry;
    TAILQ_ENTRY(conn) dirty_entry;
    struct http_server *server; /* borrowed */
    struct tls_conn *tls;       /* owned, NULL = plain */
    struct event *readable;     /* owned */
    struct event *writable;     /* owned */
    enum conn_state state;
    int fd;
    bool is_dirty;          /* on the dirty list */
    bool has_more;          /* on the waiting list: a pipelined request is in `in` */
    bool is_reading;        /* `readable` waits for bytes, not only for a close */
    bool waits_writable;    /* `writable` is added */
    bool is_idle;           /* CONN_HEAD and not a byte of the next request */
    bool keeps_alive;       /* after this response */
    bool is_streaming;      /* between stream_start and stream_end */
    bool is_chunked_out;
    bool must_linger;       /* the client may still be sending: do not reset it */
    struct buf in;          /* received, not consumed */
    struct buf out;         /* to be written */
    size_t piece_at;        /* of the open piece's size line in out */
    size_t scanned;         /* of the incomplete head in `in` */
    struct chunked chunked; /* of the request body */
    bool is_chunked_in;
    uint64_t body_left, body_seen, body_max;
    uint64_t body_start_ns;
    struct json_reader *reader; /* owned, kept between requests */
    struct deadline wait_due;   /* head, idle, TLS or linger: which follows from the state */
    struct deadline_queue *wait_queue;
    struct deadline write_due, silent_due;
    struct exchange x;
    struct sockaddr_in6 peer; /* or a sockaddr_in */
};

TAILQ_HEAD(conn_tailq, conn);
struct conn_list {
    struct conn_tailq all, dirty, waiting; /* one of dirty and waiting at a time */
    struct event *go_on;                   /* the waiting ones */
    struct deadline_queue linger_due;
};

static inline struct conn *conn_of(struct exchange *x)
{
    return (struct conn *)((char *)x - offsetof(struct conn, x));
}

/* conn.c */
void conn_mark_dirty(struct conn *c);

/* exchange.c */
void exchange_make_id(struct conn *c);
/* What arrived. Each returns the bytes consumed; 0 = more is needed. */
size_t exchange_take_head(struct conn *c, const char *data, size_t len);
size_t exchange_take_body(struct conn *c, const char *data, size_t len);
void exchange_forget(struct conn *c); /* free what the exchange owns */

#endif
