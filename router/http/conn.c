/* Connections: reading, writing, deadlines, closing. Nothing else opens or closes one. */
#include "router/http/conn.h"

#include "base/check.h"
#include "base/clock.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE     (64u << 10)
#define READS_AT_ONCE 1 /* a large body is parsed as it comes: one piece, then the others */
#define NOTSENT_LOWAT (64 << 10)
#define LINGER_NS     (2 * NS_PER_S)
#define LINGER_BYTES  (16u << 20)
#define OUT_KEEP      (16u << 10) /* an emptied output buffer larger than this is given back */

#define BODY_GRACE_NS (10 * NS_PER_S)
#define BODY_RATE     1024 /* bytes a second after the grace */

enum io_result { IO_OK, IO_AGAIN, IO_END };

static char read_buffer[READ_SIZE]; /* one loop, one buffer */

static void close_conn(struct conn *c)
{
    struct http_server *s = c->server;

    if (c->state == CONN_BUSY && c->x.ops != NULL)
        c->x.ops->gone(&c->x);
    exchange_forget(c);
    if (c->wait_queue != NULL)
        deadline_disarm(c->wait_queue, &c->wait_due);
    deadline_disarm(&s->write_due, &c->write_due);
    deadline_disarm(&s->silent_due, &c->silent_due);
    if (c->is_dirty)
        TAILQ_REMOVE(&s->conns->dirty, c, dirty_entry);
    TAILQ_REMOVE(&s->conns->all, c, entry);
    address_release(s, &c->peer);
    s->n_conns--;
    counter_sub(&s->counters->connections_open, 1);
    event_free(c->readable);
    event_free(c->writable);
    tls_conn_free(&c->tls);
    close(c->fd);
    buf_free(&c->in);
    buf_free(&c->out);
    json_reader_free(&c->reader);
    free(c);
}

static void wait_for(struct conn *c, struct deadline_queue *q)
{
    if (c->wait_queue != NULL)
        deadline_disarm(c->wait_queue, &c->wait_due);
    c->wait_queue = q;
    if (q != NULL)
        deadline_arm(q, &c->wait_due, c, clock_now_ns());
}

void conn_mark_dirty(struct conn *c)
{
    if (c->is_dirty)
        return;
    c->is_dirty = true;
    TAILQ_INSERT_TAIL(&c->server->conns->dirty, c, dirty_entry);
}

/* ---- reading ---- */

static enum io_result read_some(struct conn *c, size_t *got)
{
    if (c->tls != NULL) {
        switch (tls_read(c->tls, read_buffer, sizeof read_buffer, got)) {
        case TLS_OK:
            return IO_OK;
        case TLS_WANT_READ:
        case TLS_WANT_WRITE:
            return IO_AGAIN;
        case TLS_CLOSED:
        case TLS_FAILED:
            return IO_END;
        }
    }
    ssize_t n = recv(c->fd, read_buffer, sizeof read_buffer, 0);
    if (n > 0) {
        *got = (size_t)n;
        return IO_OK;
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? IO_AGAIN : IO_END;
}

static void on_readable(evutil_socket_t fd, short what, void *arg);

/* While an answer is due, a client that keeps sending is left in its socket buffer; its close is
 * still noticed. */
static void set_reading(struct conn *c, bool on)
{
    if (c->is_reading == on)
        return;
    event_del(c->readable);
    event_assign(c->readable, c->server->base, c->fd, (on ? EV_READ : EV_CLOSED) | EV_PERSIST,
                 on_readable, c);
    event_add(c->readable, NULL);
    c->is_reading = on;
    if (on && c->tls != NULL) /* OpenSSL may hold bytes that the socket will not announce */
        event_active(c->readable, EV_READ, 0);
}

/* Give bytes to whatever the state wants; returns how many were taken. */
static size_t consume(struct conn *c, const char *data, size_t len)
{
    size_t used = 0;

    while (used < len) {
        size_t n = 0;
        if (c->state == CONN_HEAD) {
            if (c->is_idle) {
                c->is_idle = false;
                wait_for(c, &c->server->head_due);
            }
            n = exchange_take_head(c, data + used, len - used);
            if (c->state != CONN_HEAD)
                wait_for(c, NULL);
        } else if (c->state == CONN_BODY) {
            n = exchange_take_body(c, data + used, len - used);
        } else if (c->state == CONN_CLOSING || c->state == CONN_LINGER) {
            n = len - used;
        }
        if (n == 0)
            break;
        used += n;
    }
    return used;
}

/* Work on what is in `in` already. */
static void consume_buffered(struct conn *c)
{
    if (buf_pending(&c->in) == 0)
        return;
    buf_consume(&c->in, consume(c, c->in.data + c->in.pos, buf_pending(&c->in)));
    if (buf_pending(&c->in) == 0)
        buf_free(&c->in);
}

static void take_input(struct conn *c, const char *data, size_t len)
{
    counter_add(&c->server->counters->bytes_received, len);
    if (buf_pending(&c->in) > 0) {
        buf_add(&c->in, data, len);
        consume_buffered(c);
    } else {
        size_t used = consume(c, data, len);
        buf_add(&c->in, data + used, len - used);
    }
    if (c->state == CONN_BUSY && buf_pending(&c->in) > GATE_HEAD_MAX)
        set_reading(c, false);
}

static bool flush_conn(struct conn *c);

static void finish_handshake(struct conn *c)
{
    switch (tls_handshake(c->tls)) {
    case TLS_OK:
        c->state = CONN_HEAD;
        c->is_idle = true;
        wait_for(c, &c->server->idle_due);
        break;
    case TLS_WANT_READ:
        break;
    case TLS_WANT_WRITE:
        if (!c->waits_writable)
            event_add(c->writable, NULL);
        c->waits_writable = true;
        break;
    case TLS_CLOSED:
    case TLS_FAILED:
        counter_add(&c->server->counters->tls_handshake_errors, 1);
        close_conn(c);
        break;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    struct http_server *s = c->server;

    (void)fd;
    if (what & EV_CLOSED) {
        close_conn(c);
        return;
    }
    if (c->state == CONN_TLS) {
        finish_handshake(c);
        return;
    }
    for (int i = 0; i < READS_AT_ONCE; i++) {
        size_t got = 0;
        enum io_result rc = read_some(c, &got);

        if (rc == IO_AGAIN)
            break;
        if (rc == IO_END) {
            close_conn(c);
            http_server_flush(s);
            return;
        }
        if (c->state == CONN_LINGER && (c->body_seen += got) > LINGER_BYTES) {
            close_conn(c);
            http_server_flush(s);
            return;
        }
        take_input(c, read_buffer, got);
        if ((c->tls == NULL && got < sizeof read_buffer) || !c->is_reading)
            break;
        if (i + 1 == READS_AT_ONCE)
            event_active(c->readable, EV_READ, 0); /* the rest, after the others had their turn */
    }
    http_server_flush(s);
}

/* ---- writing ---- */

static enum io_result write_some(struct conn *c, size_t *put)
{
    const char *data = c->out.data + c->out.pos;
    size_t len = buf_pending(&c->out);

    if (c->tls != NULL) {
        switch (tls_write(c->tls, data, len, put)) {
        case TLS_OK:
            return IO_OK;
        case TLS_WANT_READ:
        case TLS_WANT_WRITE:
            return IO_AGAIN;
        case TLS_CLOSED:
        case TLS_FAILED:
            return IO_END;
        }
    }
    ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
    if (n >= 0) {
        *put = (size_t)n;
        return IO_OK;
    }
    return errno == EAGAIN || errno == EINTR ? IO_AGAIN : IO_END;
}

static void start_lingering(struct conn *c)
{
    c->state = CONN_LINGER;
    c->body_seen = 0;
    shutdown(c->fd, SHUT_WR);
    set_reading(c, true);
    wait_for(c, &c->server->conns->linger_due);
}

/* Everything is written. False = the connection is gone. */
static bool after_output(struct conn *c)
{
    if (c->out.cap > OUT_KEEP)
        buf_free(&c->out);
    deadline_disarm(&c->server->write_due, &c->write_due);
    if (c->waits_writable) {
        event_del(c->writable);
        c->waits_writable = false;
    }
    if (c->state != CONN_CLOSING)
        return true;
    if (c->must_linger && c->tls == NULL) {
        start_lingering(c);
        return true;
    }
    close_conn(c);
    return false;
}

/* Write what can be written. False = the connection is gone. */
static bool flush_conn(struct conn *c)
{
    struct http_server *s = c->server;
    size_t before = buf_pending(&c->out);
    size_t total = 0;

    while (buf_pending(&c->out) > 0) {
        size_t put = 0;
        enum io_result rc = write_some(c, &put);

        if (rc == IO_END) {
            close_conn(c);
            return false;
        }
        if (rc == IO_AGAIN)
            break;
        buf_consume(&c->out, put);
        total += put;
    }
    if (total > 0) {
        counter_add(&s->counters->bytes_sent, total);
        uint64_t now_ns = clock_now_ns();
        if (c->is_streaming)
            deadline_arm(&s->silent_due, &c->silent_due, c, now_ns);
        if (buf_pending(&c->out) > 0)
            deadline_arm(&s->write_due, &c->write_due, c, now_ns);
    }
    if (buf_pending(&c->out) == 0) {
        if (!after_output(c))
            return false;
    } else if (!c->waits_writable) {
        c->waits_writable = true;
        event_add(c->writable, NULL);
        if (!deadline_is_armed(&c->write_due))
            deadline_arm(&s->write_due, &c->write_due, c, clock_now_ns());
    }
    if (before > OUTPUT_LOW_MARK && buf_pending(&c->out) <= OUTPUT_LOW_MARK &&
        c->state == CONN_BUSY && c->x.ops != NULL)
        c->x.ops->drained(&c->x);
    return true;
}

/* The response before is complete: a pipelined request may start. */
static void continue_input(struct conn *c)
{
    if (c->state != CONN_HEAD)
        return;
    set_reading(c, true);
    if (buf_pending(&c->in) > 0) {
        consume_buffered(c);
    } else if (!c->is_idle) {
        c->is_idle = true;
        wait_for(c, &c->server->idle_due);
        if (c->server->is_draining) {
            c->state = CONN_CLOSING;
            conn_mark_dirty(c);
        }
    }
}

void http_server_flush(struct http_server *s)
{
    struct conn *c;

    while ((c = TAILQ_FIRST(&s->conns->dirty)) != NULL) {
        TAILQ_REMOVE(&s->conns->dirty, c, dirty_entry);
        c->is_dirty = false;
        if (flush_conn(c))
            continue_input(c);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    struct http_server *s = c->server;

    (void)fd;
    (void)what;
    if (c->state == CONN_TLS) {
        event_del(c->writable);
        c->waits_writable = false;
        finish_handshake(c);
    } else if (flush_conn(c)) {
        continue_input(c);
    }
    http_server_flush(s);
}

/* ---- deadlines ---- */

static void on_head_due(void *owner, uint64_t now_ns)
{
    struct conn *c = owner;

    (void)now_ns;
    c->keeps_alive = false;
    c->must_linger = true;
    c->state = CONN_BUSY;
    c->server->app->refuse(&c->x, ERROR_TIMEOUT, "the request head did not arrive in time");
}

static void on_wait_due(void *owner, uint64_t now_ns)
{
    (void)now_ns;
    close_conn(owner);
}

static void on_tls_due(void *owner, uint64_t now_ns)
{
    struct conn *c = owner;

    (void)now_ns;
    counter_add(&c->server->counters->tls_handshake_errors, 1);
    close_conn(c);
}

static void on_write_due(void *owner, uint64_t now_ns)
{
    struct conn *c = owner;

    (void)now_ns;
    counter_add(&c->server->counters->slow_reader_cancels, 1);
    close_conn(c);
}

static void on_silent_due(void *owner, uint64_t now_ns)
{
    struct conn *c = owner;

    if (!c->is_streaming || c->x.ops == NULL)
        return;
    /* Bytes that wait for a slow reader are no silence of ours. */
    if (buf_pending(&c->out) == 0)
        c->x.ops->silent(&c->x);
    if (!deadline_is_armed(&c->silent_due))
        deadline_arm(&c->server->silent_due, &c->silent_due, c, now_ns);
}

static bool is_body_too_slow(const struct conn *c, uint64_t now_ns)
{
    uint64_t age_ns = now_ns - c->body_start_ns;

    return c->state == CONN_BODY && age_ns > BODY_GRACE_NS &&
           c->body_seen < (age_ns - BODY_GRACE_NS) / NS_PER_S * BODY_RATE;
}

void conns_tick(struct http_server *s, uint64_t now_ns)
{
    struct conn *c, *next;

    deadline_queue_run(&s->head_due, now_ns);
    deadline_queue_run(&s->idle_due, now_ns);
    deadline_queue_run(&s->tls_due, now_ns);
    deadline_queue_run(&s->conns->linger_due, now_ns);
    deadline_queue_run(&s->write_due, now_ns);
    deadline_queue_run(&s->silent_due, now_ns);
    /* Once a second: the few connections that are in a body. */
    static const uint64_t sweep_ns = NS_PER_S;
    if (now_ns / sweep_ns != (now_ns - TICK_MS * NS_PER_MS) / sweep_ns)
        for (c = TAILQ_FIRST(&s->conns->all); c != NULL; c = next) {
            next = TAILQ_NEXT(c, entry);
            if (is_body_too_slow(c, now_ns)) {
                c->keeps_alive = false;
                c->state = CONN_BUSY;
                s->app->refuse(&c->x, ERROR_TIMEOUT, "the body arrives too slowly");
            }
        }
    http_server_flush(s);
}

/* ---- life ---- */

void conns_init(struct http_server *s)
{
    s->conns = calloc(1, sizeof *s->conns);
    CHECK(s->conns != NULL);
    reaper_open(s);
    TAILQ_INIT(&s->conns->all);
    TAILQ_INIT(&s->conns->dirty);
    deadline_queue_init(&s->head_due, 0, on_head_due);
    deadline_queue_init(&s->idle_due, 0, on_wait_due);
    deadline_queue_init(&s->tls_due, 0, on_tls_due);
    deadline_queue_init(&s->write_due, 0, on_write_due);
    deadline_queue_init(&s->silent_due, 900 * NS_PER_MS, on_silent_due);
    deadline_queue_init(&s->conns->linger_due, LINGER_NS, on_wait_due);
}

void conn_open(struct http_server *s, int fd, const void *sockaddr, size_t len)
{
    struct conn *c = calloc(1, sizeof *c);
    int one = 1, lowat = NOTSENT_LOWAT;

    CHECK(c != NULL);
    c->server = s;
    c->fd = fd;
    c->x.server = s;
    c->x.key = -1;
    memcpy(&c->peer, sockaddr, len < sizeof c->peer ? len : sizeof c->peer);
    /* Small pieces must leave at once; the kernel must not hide a slow reader behind megabytes. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof lowat);
    c->readable = event_new(s->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    c->writable = event_new(s->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
    CHECK(c->readable != NULL && c->writable != NULL);
    event_add(c->readable, NULL);
    c->is_reading = true;
    TAILQ_INSERT_TAIL(&s->conns->all, c, entry);
    counter_add(&s->counters->connections_accepted, 1);
    s->n_conns++;
    counter_add(&s->counters->connections_open, 1);
    if (s->tls != NULL) {
        c->tls = tls_accept_new(s->tls, fd);
        c->state = CONN_TLS;
        wait_for(c, &s->tls_due);
    } else {
        c->state = CONN_HEAD;
        c->is_idle = true;
        wait_for(c, &s->idle_due);
    }
}

void conns_drain(struct http_server *s)
{
    struct conn *c, *next;

    for (c = TAILQ_FIRST(&s->conns->all); c != NULL; c = next) {
        next = TAILQ_NEXT(c, entry);
        if (c->is_idle || c->state == CONN_TLS)
            close_conn(c);
    }
}

void conns_close(struct http_server *s)
{
    struct conn *c;

    while ((c = TAILQ_FIRST(&s->conns->all)) != NULL)
        close_conn(c);
    reaper_close(s);
    free(s->conns);
    s->conns = NULL;
}
