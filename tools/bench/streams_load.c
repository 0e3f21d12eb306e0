#include "base/check.h"
#include "base/clock.h"
#include "tools/bench/streams_answer.h"
#include "tools/bench/streams_http.h"
#include "tools/bench/streams_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define READ_MAX   65536

struct conn {
    int fd; /* -1: over */
    bool is_connected;
    struct response response;
    struct answer answer;
    struct buf out, body; /* body: of an answer that came in several pieces */
    uint64_t sent_ns;
};

struct load {
    const struct options *o;
    struct result *r;
    struct expectation expected;
    struct conn *conn; /* owned */
    int epoll;
    uint64_t n_open;
    uint64_t next_seed, end_ns; /* no request begins after that */
    char data[READ_MAX];
};

static void close_conn(struct load *load, struct conn *c)
{
    close(c->fd);
    response_free(&c->response);
    buf_free(&c->out);
    buf_free(&c->body);
    *c = (struct conn){.fd = -1};
    load->n_open--;
}

static void fail_conn(struct load *load, struct conn *c, enum fault fault, const char *detail)
{
    result_fault(load->r, fault, c->answer.seed, "status %d, %s", c->response.status, detail);
    close_conn(load, c);
}

static void open_conn(struct load *load, struct conn *c)
{
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};

    *c = (struct conn){.fd = run_connect(load->o)};
    if (c->fd < 0) {
        result_fault(load->r, FAULT_CONNECT, 0, "%s", strerror(-c->fd));
        c->fd = -1;
        return;
    }
    load->n_open++;
    CHECK(epoll_ctl(load->epoll, EPOLL_CTL_ADD, c->fd, &event) == 0);
}

static void wait_for(struct load *load, struct conn *c, uint32_t what)
{
    struct epoll_event event = {.events = what, .data.ptr = c};
    CHECK(epoll_ctl(load->epoll, EPOLL_CTL_MOD, c->fd, &event) == 0);
}

/* The next request, or the end of the connection when the time is over. */
static void begin_request(struct load *load, struct conn *c)
{
    uint64_t now_ns = clock_now_ns();

    if (now_ns >= load->end_ns) {
        close_conn(load, c);
        return;
    }
    answer_init(&c->answer, &load->expected, load->next_seed++);
    response_init(&c->response);
    buf_clear(&c->body);
    run_request(load->o, c->answer.seed, false, &c->out);
    load->r->n_started++;
    c->sent_ns = now_ns;
    int rc = run_send(c->fd, &c->out);
    if (rc < 0)
        fail_conn(load, c, FAULT_CLOSED, strerror(-rc));
    else if (rc == 0)
        wait_for(load, c, EPOLLOUT);
}

static void become_writable(struct load *load, struct conn *c)
{
    int rc = c->is_connected ? run_send(c->fd, &c->out) : run_connected(c->fd);

    if (rc < 0) {
        fail_conn(load, c, c->is_connected ? FAULT_CLOSED : FAULT_CONNECT, strerror(-rc));
        return;
    }
    if (c->is_connected && rc == 0)
        return;
    wait_for(load, c, EPOLLIN);
    if (!c->is_connected) {
        c->is_connected = true;
        begin_request(load, c);
    }
}

static void complete(struct load *load, struct conn *c, const char *body, size_t len)
{
    enum fault fault =
        c->response.status != 200 ? FAULT_STATUS : answer_take_body(&c->answer, body, len);

    if (fault != FAULT_NONE) {
        char text[200];
        snprintf(text, sizeof text, "%.*s", (int)(len < 190 ? len : 190), body);
        fail_conn(load, c, fault, text);
        return;
    }
    load->r->n_tokens += c->answer.n_tokens;
    run_answered(load->r, clock_now_ns() - c->sent_ns, c->answer.worker_ms);
    if (c->response.is_last) {
        close_conn(load, c);
        open_conn(load, c);
    } else {
        begin_request(load, c);
    }
}

static void receive(struct load *load, struct conn *c)
{
    const char *data = load->data, *piece = NULL;
    size_t piece_len = 0;
    ssize_t n = recv(c->fd, load->data, sizeof load->data, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        fail_conn(load, c, FAULT_CLOSED, n < 0 ? strerror(errno) : "end of connection");
        return;
    }
    load->r->n_bytes += (uint64_t)n;
    for (size_t len = (size_t)n; len > 0;) {
        enum fault fault = response_next(&c->response, &data, &len, &piece, &piece_len);
        bool is_over = c->response.state == RESPONSE_OVER;
        if (fault != FAULT_NONE || (is_over && len > 0)) {
            fail_conn(load, c, FAULT_HTTP, "malformed, or more than the answer");
            return;
        }
        if (is_over && buf_pending(&c->body) == 0) { /* in one piece: the usual case */
            complete(load, c, piece_len > 0 ? piece : "", piece_len);
            return;
        }
        buf_add(&c->body, piece, piece_len);
        if (is_over) {
            struct buf body = c->body;
            c->body = (struct buf){0};
            complete(load, c, body.data, buf_pending(&body));
            buf_free(&body);
            return;
        }
    }
}

static void serve(struct load *load)
{
    struct epoll_event event[EVENTS_MAX];
    uint64_t give_up_ns = load->r->begun_ns + (uint64_t)(load->o->timeout_s * 1e9);

    while (load->n_open > 0) {
        uint64_t now_ns = clock_now_ns();
        if (now_ns >= give_up_ns) {
            for (uint64_t i = 0; i < load->o->n_streams; i++)
                if (load->conn[i].fd >= 0)
                    fail_conn(load, &load->conn[i], FAULT_TIMEOUT, "no answer");
            return;
        }
        int n = epoll_wait(load->epoll, event, EVENTS_MAX,
                           (int)((give_up_ns - now_ns) / NS_PER_MS) + 1);
        for (int i = 0; i < n; i++) {
            struct conn *c = event[i].data.ptr;
            if (!c->is_connected || buf_pending(&c->out) > 0)
                become_writable(load, c);
            else
                receive(load, c);
        }
    }
}

void run_load(const struct options *o, struct result *r)
{
    struct load *load = calloc(1, sizeof *load);

    CHECK(load != NULL);
    load->o = o;
    load->r = r;
    load->expected = (struct expectation){
        .n_tokens = (uint32_t)o->n_tokens, .is_chat = !o->is_completions, .finish = o->finish};
    load->next_seed = o->seed;
    load->conn = calloc(o->n_streams, sizeof *load->conn);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(load->conn != NULL && load->epoll >= 0);

    if (r->router_pid != 0)
        (void)proc_read_usage(r->router_pid, 1, &r->baseline);
    r->begun_ns = clock_now_ns();
    load->end_ns = r->begun_ns + (uint64_t)(o->seconds * 1e9);
    for (uint64_t i = 0; i < o->n_streams; i++)
        open_conn(load, &load->conn[i]);
    serve(load);
    r->ended_ns = clock_now_ns();
    if (r->router_pid != 0)
        (void)proc_read_usage(r->router_pid, 1, &r->end);
    r->rss_kib_max = r->end.rss_kib;
    close(load->epoll);
    free(load->conn);
    free(load);
}
