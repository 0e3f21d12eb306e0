#include "tools/bench/streams_run.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAULTS_TOLD 10

uint64_t result_faults(const struct result *r)
{
    uint64_t n = 0;
    for (int f = FAULT_NONE + 1; f < FAULTS_N; f++)
        n += r->n_faults[f];
    return n;
}

void result_fault(struct result *r, enum fault f, uint64_t seed, const char *fmt, ...)
{
    va_list ap;

    r->n_faults[f]++;
    if (result_faults(r) > FAULTS_TOLD)
        return;
    fprintf(stderr, "streams: seed %" PRIu64 ": %s (%s): ", seed, fault_name(f), fault_meaning(f));
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void run_answered(struct result *r, uint64_t total_ns, double worker_ms)
{
    uint64_t worker_ns = (uint64_t)(worker_ms * 1e6);

    r->n_completed++;
    dist_add(&r->answer, total_ns);
    dist_add(&r->proxied, total_ns > worker_ns ? total_ns - worker_ns : 0);
}

int run_connect(const struct options *o)
{
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (const struct sockaddr *)&o->address, sizeof o->address) == 0 ||
        errno == EINPROGRESS)
        return fd;
    int rc = -errno;
    close(fd);
    return rc;
}

int run_connected(int fd)
{
    int code = 0;
    socklen_t len = sizeof code;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) != 0)
        return -errno;
    return -code;
}

/* What asks, in front of the numbers: the same for all requests. */
static void add_question(const struct options *o, struct buf *out)
{
    if (o->is_completions)
        buf_printf(out, "{\"model\":\"%s\",\"prompt\":\"%s\"", o->model, o->prompt);
    else
        buf_printf(out, "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]",
                   o->model, o->prompt);
}

void run_request(const struct options *o, uint64_t seed, bool is_streamed, struct buf *out)
{
    static struct buf body; /* kept: one request is like the other */

    buf_clear(&body);
    add_question(o, &body);
    buf_printf(&body, ",\"stream\":%s,\"max_tokens\":%" PRIu64 ",\"seed\":%" PRIu64 "}",
               is_streamed ? "true" : "false", o->n_tokens, seed);
    buf_printf(out, "POST /v1/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n",
               o->is_completions ? "completions" : "chat/completions");
    if (o->key != NULL)
        buf_printf(out, "Authorization: Bearer %s\r\n", o->key);
    buf_printf(out, "Content-Length: %zu\r\n\r\n", buf_pending(&body));
    buf_add(out, body.data, buf_pending(&body));
}

int run_send(int fd, struct buf *out)
{
    while (buf_pending(out) > 0) {
        ssize_t n = send(fd, out->data + out->pos, buf_pending(out), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -errno;
        buf_consume(out, (size_t)n);
    }
    return 1;
}
