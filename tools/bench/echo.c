/* echo: a bare libevent server that sends what Cortex would send, at the same pace, and does
 * nothing else: no checks, no rings, no workers. The limit that the router is compared with. */
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "tools/bench/echo_answer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_MAX 65536

struct conn {
    struct event readable, writable, due;
    int fd;
    struct buf in, out; /* out: what the socket did not take */
    struct echo_request request;
    bool is_busy;
    uint32_t index; /* next token */
    uint64_t base_ns;
};

static struct event_base *base;
static uint64_t rate; /* tokens a second of each stream; 0 = all at once */
static struct buf scratch;

static void close_conn(struct conn *c)
{
    event_del(&c->readable);
    event_del(&c->writable);
    event_del(&c->due);
    close(c->fd);
    buf_free(&c->in);
    buf_free(&c->out);
    free(c);
}

/* Everything in scratch goes out, now or when the socket is writable again. */
static void send_scratch(struct conn *c)
{
    ssize_t n = 0;

    if (buf_pending(&c->out) == 0) {
        n = send(c->fd, scratch.data, buf_pending(&scratch), MSG_NOSIGNAL);
        if (n < 0)
            n = 0; /* a connection that is gone says so when it is read */
    }
    buf_consume(&scratch, (size_t)n);
    if (buf_pending(&scratch) == 0)
        return;
    buf_add(&c->out, scratch.data + scratch.pos, buf_pending(&scratch));
    buf_clear(&scratch);
    event_add(&c->writable, NULL);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    ssize_t n = send(fd, c->out.data + c->out.pos, buf_pending(&c->out), MSG_NOSIGNAL);

    (void)what;
    if (n > 0)
        buf_consume(&c->out, (size_t)n);
    if (buf_pending(&c->out) > 0)
        event_add(&c->writable, NULL);
}

static uint64_t token_due_ns(const struct conn *c, uint32_t i)
{
    return rate == 0 ? c->base_ns : c->base_ns + i * NS_PER_S / rate;
}

static void wait_until(struct conn *c, uint64_t due_ns, uint64_t now_ns)
{
    uint64_t us = due_ns > now_ns ? (due_ns - now_ns + 999) / 1000 : 0;
    struct timeval in = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};

    event_add(&c->due, &in);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    const struct echo_request *r = &c->request;
    uint64_t now_ns = clock_now_ns();
    double decode_ms = (double)(now_ns - c->base_ns) / 1e6;

    (void)fd;
    (void)what;
    if (r->is_streamed) {
        while (c->index < r->n_tokens && token_due_ns(c, c->index) <= now_ns)
            echo_token(r, c->index++, &scratch);
        if (c->index == r->n_tokens)
            echo_end(r, decode_ms, &scratch);
    } else if (token_due_ns(c, r->n_tokens - 1) <= now_ns) {
        c->index = r->n_tokens;
        echo_whole(r, decode_ms, &scratch);
    }
    if (buf_pending(&scratch) > 0)
        send_scratch(c);
    if (c->index < r->n_tokens) {
        wait_until(c, token_due_ns(c, r->is_streamed ? c->index : r->n_tokens - 1), now_ns);
        return;
    }
    c->is_busy = false;
}

static void begin_answer(struct conn *c)
{
    c->is_busy = true;
    c->index = 0;
    c->base_ns = clock_now_ns();
    if (c->request.is_streamed) {
        echo_begin(&c->request, &scratch);
        send_scratch(c);
    }
    on_due(c->fd, 0, c);
}

static void serve_requests(struct conn *c)
{
    while (!c->is_busy && buf_pending(&c->in) > 0) {
        long n = echo_read_request(c->in.data + c->in.pos, buf_pending(&c->in), &c->request);
        if (n == 0)
            return;
        if (n < 0 || c->request.n_tokens == 0) {
            close_conn(c);
            return;
        }
        buf_consume(&c->in, (size_t)n);
        begin_answer(c);
    }
    if (buf_pending(&c->in) == 0)
        buf_free(&c->in);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    static char data[READ_MAX];
    struct conn *c = arg;
    ssize_t n = recv(fd, data, sizeof data, 0);

    (void)what;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        close_conn(c);
        return;
    }
    buf_add(&c->in, data, (size_t)n);
    serve_requests(c);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    int one = 1;
    int client;

    (void)what;
    (void)arg;
    while ((client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = calloc(1, sizeof *c);
        CHECK(c != NULL);
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->fd = client;
        CHECK(event_assign(&c->readable, base, client, EV_READ | EV_PERSIST, on_readable, c) == 0);
        CHECK(event_assign(&c->writable, base, client, EV_WRITE, on_writable, c) == 0);
        CHECK(evtimer_assign(&c->due, base, on_due, c) == 0);
        CHECK(event_add(&c->readable, NULL) == 0);
    }
}

static int listen_on(uint16_t port, struct err *e)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return err_set(e, errno, "socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        int rc = err_set(e, errno, "127.0.0.1:%u: %s", port, strerror(errno));
        close(fd);
        return rc;
    }
    printf("listening 127.0.0.1:%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static int serve(int fd)
{
    struct event_config *config = event_config_new();
    struct event acceptable;

    CHECK(config != NULL && event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER) == 0);
    base = event_base_new_with_config(config);
    CHECK(base != NULL);
    event_config_free(config);
    CHECK(event_assign(&acceptable, base, fd, EV_READ | EV_PERSIST, on_acceptable, NULL) == 0);
    CHECK(event_add(&acceptable, NULL) == 0);
    return event_base_dispatch(base) == 0 ? EXIT_OK : EXIT_TEMPORARY;
}

static int usage(void)
{
    fprintf(stderr, "echo [--port PORT] [--rate TOKENS_PER_S]\n"
                    "Port 0, the default, is any free one; the address is printed. Rate 0, the\n"
                    "default, is all at once.\n");
    return EXIT_PERMANENT;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"port", required_argument, NULL, 'p'}, {"rate", required_argument, NULL, 'r'}, {0}};
    unsigned long port = 0;
    struct rlimit files;
    struct err e = {0};
    int found;

    while ((found = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (found == 'p')
            port = strtoul(optarg, NULL, 10);
        else if (found == 'r')
            rate = strtoull(optarg, NULL, 10);
        else
            return usage();
    }
    if (optind < argc || port > 65535)
        return usage();
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    int fd = listen_on((uint16_t)port, &e);
    if (fd < 0) {
        fprintf(stderr, "echo: %s\n", e.text);
        return EXIT_TEMPORARY;
    }
    return serve(fd);
}
