#include "tools/bench/streams_run.h"
#include "base/check.h"
#include "base/clock.h"
#include "tools/bench/streams_answer.h"
#include "tools/bench/streams_http.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_MAX 512
#define READ_MAX   65536
#define STARTS_MAX 64 /* in a row, before those who run are looked at again */
#define SAMPLE_NS  NS_PER_S

struct stream {
    int fd; /* -1: not begun, or over */
    bool is_connected;
    struct response response;
    struct sse sse;
    struct answer answer;
    struct buf out;
    uint64_t begun_ns, sent_ns, byte_ns, token_ns; /* the latter two: the last one */
    uint64_t silence_ns, gap_ns;                   /* the longest ones */
    uint32_t *offset_us; /* owned: of each token, since sent_ns; NULL without --rate */
};

struct run {
    const struct options *o;
    struct result *r;
    struct expectation expected;
    struct stream *stream; /* owned */
    int epoll;
    uint64_t n_begun, n_with_token, n_over;
    uint64_t sample_ns; /* when the router's memory is looked at next */
    char data[READ_MAX];
};

static uint64_t seed_of(const struct run *run, const struct stream *s)
{
    return run->o->seed + (uint64_t)(s - run->stream);
}

/* --- the router's figures --- */

static void sample_router(struct run *run, int with_pss, struct usage *u)
{
    struct result *r = run->r;

    if (r->router_pid != 0 && proc_read_usage(r->router_pid, with_pss, u) == 0 &&
        u->rss_kib > r->rss_kib_max)
        r->rss_kib_max = u->rss_kib;
    u->at_ns = clock_now_ns();
}

static void begin_plateau(struct run *run)
{
    sample_router(run, 1, &run->r->plateau_begin);
    run->r->plateau_tokens = run->r->n_tokens;
}

static void end_plateau(struct run *run)
{
    struct result *r = run->r;

    if (r->plateau_begin.at_ns == 0 || r->plateau_end.at_ns != 0)
        return;
    sample_router(run, 1, &r->plateau_end);
    r->plateau_tokens = r->n_tokens - r->plateau_tokens;
}

/* --- times of a stream --- */

/* How much later than the ideal schedule token i came; the schedule begins with the request. */
static int64_t lateness_ns(const struct run *run, const struct stream *s, uint32_t i)
{
    uint64_t due_ns = run->o->prefill_ms * NS_PER_MS + i * NS_PER_S / run->o->rate;
    return (int64_t)(s->offset_us[i] * NS_PER_US) - (int64_t)due_ns;
}

static void judge_schedule(struct run *run, const struct stream *s)
{
    int64_t best = INT64_MAX;

    for (uint32_t i = 0; i < s->answer.n_tokens; i++)
        if (lateness_ns(run, s, i) < best)
            best = lateness_ns(run, s, i);
    for (uint32_t i = 0; i < s->answer.n_tokens; i++) {
        int64_t late = lateness_ns(run, s, i);
        dist_add(&run->r->added, late > 0 ? (uint64_t)late : 0);
        dist_add(&run->r->jitter, (uint64_t)(late - best));
    }
}

static void note_byte(struct run *run, struct stream *s, uint64_t now_ns)
{
    uint64_t silence_ns = now_ns - s->byte_ns;

    if (s->byte_ns == s->sent_ns)
        dist_add(&run->r->first_byte, silence_ns);
    if (silence_ns > s->silence_ns)
        s->silence_ns = silence_ns;
    s->byte_ns = now_ns;
}

static void note_token(struct run *run, struct stream *s, uint32_t i, uint64_t now_ns)
{
    run->r->n_tokens++;
    if (run->r->stamp_ns != NULL)
        dist_add(&run->r->one_way,
                 now_ns - atomic_load_explicit(run->r->stamp_ns, memory_order_relaxed));
    if (s->offset_us != NULL)
        s->offset_us[i] = (uint32_t)((now_ns - s->sent_ns) / NS_PER_US);
    if (i == 0) {
        dist_add(&run->r->first_token, now_ns - s->sent_ns);
        if (++run->n_with_token == run->o->n_streams)
            begin_plateau(run);
    } else {
        uint64_t gap_ns = now_ns - s->token_ns;
        dist_add(&run->r->token_gap, gap_ns);
        if (gap_ns > s->gap_ns)
            s->gap_ns = gap_ns;
    }
    s->token_ns = now_ns;
}

/* --- life of a stream --- */

static void close_stream(struct run *run, struct stream *s)
{
    end_plateau(run);
    if (s->fd >= 0)
        close(s->fd); /* leaves the epoll set too */
    s->fd = -1;
    run->n_over++;
    response_free(&s->response);
    sse_free(&s->sse);
    buf_free(&s->out);
    free(s->offset_us);
    s->offset_us = NULL;
}

static void complete_stream(struct run *run, struct stream *s)
{
    struct result *r = run->r;

    run_answered(r, s->byte_ns - s->sent_ns, s->answer.worker_ms);
    dist_add(&r->silence, s->silence_ns);
    dist_add(&r->stream_gap, s->gap_ns);
    if (s->offset_us != NULL)
        judge_schedule(run, s);
    close_stream(run, s);
}

static void fail_stream(struct run *run, struct stream *s, enum fault fault, const char *detail)
{
    result_fault(run->r, fault, seed_of(run, s), "after %u tokens: %s", s->answer.n_tokens, detail);
    close_stream(run, s);
}

static void begin_stream(struct run *run, struct stream *s)
{
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = s};

    answer_init(&s->answer, &run->expected, seed_of(run, s));
    s->begun_ns = clock_now_ns();
    s->fd = run_connect(run->o);
    if (s->fd < 0) {
        int rc = s->fd;
        s->fd = -1;
        fail_stream(run, s, FAULT_CONNECT, strerror(-rc));
        return;
    }
    if (run->o->rate > 0) {
        s->offset_us = calloc(run->expected.n_tokens, sizeof *s->offset_us);
        CHECK(s->offset_us != NULL);
    }
    CHECK(epoll_ctl(run->epoll, EPOLL_CTL_ADD, s->fd, &event) == 0);
    run->r->n_started++;
}

static void send_request(struct run *run, struct stream *s)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};

    if (!s->is_connected) {
        int rc = run_connected(s->fd);
        if (rc != 0) {
            fail_stream(run, s, FAULT_CONNECT, strerror(-rc));
            return;
        }
        s->is_connected = true;
        dist_add(&run->r->connect, clock_now_ns() - s->begun_ns);
        run_request(run->o, seed_of(run, s), true, &s->out);
    }
    int rc = run_send(s->fd, &s->out);
    if (rc < 0)
        fail_stream(run, s, FAULT_CLOSED, strerror(-rc));
    if (rc != 1)
        return;
    buf_free(&s->out);
    s->sent_ns = s->byte_ns = clock_now_ns();
    CHECK(epoll_ctl(run->epoll, EPOLL_CTL_MOD, s->fd, &event) == 0);
}

static enum fault take_events(struct run *run, struct stream *s, const char *piece, size_t len,
                              uint64_t now_ns)
{
    while (len > 0) {
        enum sse_kind kind;
        const char *text;
        size_t n;
        enum fault fault = sse_next(&s->sse, &piece, &len, &kind, &text, &n);
        if (fault != FAULT_NONE)
            return fault;
        run->r->n_comments += kind == SSE_COMMENT;
        if (kind != SSE_EVENT)
            continue;
        uint32_t before = s->answer.n_tokens;
        fault = answer_take_event(&s->answer, text, n);
        for (uint32_t i = before; i < s->answer.n_tokens; i++)
            note_token(run, s, i, now_ns);
        if (fault != FAULT_NONE)
            return fault;
    }
    return FAULT_NONE;
}

/* Everything that came with one read. */
static enum fault take_data(struct run *run, struct stream *s, const char *data, size_t len,
                            uint64_t now_ns)
{
    struct response *response = &s->response;

    while (len > 0 && response->state != RESPONSE_OVER) {
        const char *piece;
        size_t n;
        enum fault fault = response_next(response, &data, &len, &piece, &n);
        if (fault != FAULT_NONE)
            return fault;
        if (response->state != IN_HEAD && response->status != 200)
            return FAULT_STATUS;
        if (response->state != IN_HEAD && !response->is_event_stream)
            return FAULT_HTTP;
        if (n > 0 && (fault = take_events(run, s, piece, n, now_ns)) != FAULT_NONE)
            return fault;
    }
    if (len > 0)
        return FAULT_HTTP; /* more than one answer */
    return response->state == RESPONSE_OVER && s->answer.stage != STAGE_OVER ? FAULT_ORDER
                                                                             : FAULT_NONE;
}

static void describe(const struct stream *s, const char *data, size_t len, char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size, "status %d, then: ", s->response.status);

    for (size_t i = 0; i < len && n < size - 1; i++)
        out[n++] = data[i] >= 0x20 && data[i] < 0x7f ? data[i] : '.';
    out[n] = '\0';
}

static void receive(struct run *run, struct stream *s)
{
    char detail[300];
    ssize_t n = recv(s->fd, run->data, sizeof run->data, 0);
    uint64_t now_ns = clock_now_ns();

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        fail_stream(run, s, FAULT_CLOSED, n < 0 ? strerror(errno) : "end of connection");
        return;
    }
    run->r->n_bytes += (uint64_t)n;
    note_byte(run, s, now_ns);
    enum fault fault = take_data(run, s, run->data, (size_t)n, now_ns);
    if (fault != FAULT_NONE) {
        describe(s, run->data, (size_t)n, detail, sizeof detail);
        fail_stream(run, s, fault, detail);
    } else if (s->response.state == RESPONSE_OVER) {
        complete_stream(run, s);
    }
}

/* --- the loop --- */

/* Begin those whose time has come; when the next one's comes. */
static uint64_t begin_due(struct run *run, uint64_t now_ns)
{
    const struct options *o = run->o;
    double step_ns = o->ramp_s * 1e9 / (double)o->n_streams;

    for (int i = 0; i < STARTS_MAX; i++) {
        if (run->n_begun == o->n_streams)
            return UINT64_MAX;
        uint64_t at_ns = run->r->begun_ns + (uint64_t)(step_ns * (double)run->n_begun);
        if (at_ns > now_ns)
            return at_ns;
        begin_stream(run, &run->stream[run->n_begun++]);
    }
    return now_ns;
}

static void wait_and_serve(struct run *run, uint64_t until_ns)
{
    struct epoll_event event[EVENTS_MAX];
    uint64_t now_ns = clock_now_ns();
    uint64_t wait_ms = until_ns > now_ns ? (until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS : 0;
    int n = epoll_wait(run->epoll, event, EVENTS_MAX, (int)wait_ms);

    for (int i = 0; i < n; i++) {
        struct stream *s = event[i].data.ptr;
        if (s->sent_ns == 0)
            send_request(run, s);
        else
            receive(run, s);
    }
}

static void time_out(struct run *run)
{
    for (uint64_t i = 0; i < run->n_begun; i++)
        if (run->stream[i].fd >= 0)
            fail_stream(run, &run->stream[i], FAULT_TIMEOUT, "see --timeout");
    for (; run->n_begun < run->o->n_streams; run->n_begun++)
        result_fault(run->r, FAULT_TIMEOUT, run->o->seed + run->n_begun, "never begun");
}

static void serve_all(struct run *run)
{
    const struct options *o = run->o;
    uint64_t end_ns = run->r->begun_ns + (uint64_t)(o->timeout_s * 1e9);
    struct usage sample;

    while (run->n_over < o->n_streams) {
        uint64_t now_ns = clock_now_ns();
        if (now_ns >= end_ns) {
            time_out(run);
            return;
        }
        uint64_t until_ns = begin_due(run, now_ns);
        if (now_ns >= run->sample_ns) {
            sample_router(run, 0, &sample);
            run->sample_ns = now_ns + SAMPLE_NS;
        }
        if (until_ns > run->sample_ns)
            until_ns = run->sample_ns;
        wait_and_serve(run, until_ns < end_ns ? until_ns : end_ns);
    }
}

void run_streams(const struct options *o, struct result *r)
{
    struct run *run = calloc(1, sizeof *run);

    CHECK(run != NULL);
    run->o = o;
    run->r = r;
    run->expected = (struct expectation){
        .n_tokens = (uint32_t)o->n_tokens, .is_chat = !o->is_completions, .finish = o->finish};
    run->stream = calloc(o->n_streams, sizeof *run->stream);
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(run->stream != NULL && run->epoll >= 0);
    for (uint64_t i = 0; i < o->n_streams; i++)
        run->stream[i].fd = -1;

    sample_router(run, 1, &r->baseline);
    r->begun_ns = clock_now_ns();
    serve_all(run);
    r->ended_ns = clock_now_ns();
    sample_router(run, 1, &r->end);
    close(run->epoll);
    free(run->stream);
    free(run);
}
