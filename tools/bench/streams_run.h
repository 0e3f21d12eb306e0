/* The two kinds of load, and what they found. */
#ifndef BENCH_STREAMS_RUN_H
#define BENCH_STREAMS_RUN_H

#include "base/buf.h"
#include "tools/bench/streams_options.h"
#include "tools/bench/streams_proc.h"
#include "tools/bench/streams_stats.h"

/* Distributions of a run, in nanoseconds; X(member, name, meaning) */
#define DISTS(X) \
    X(connect, "connect", "connection made") \
    X(first_byte, "first_byte", "request sent to first byte of the answer") \
    X(first_token, "first_token", "request sent to first token") \
    X(one_way, "one_way", "event of --stamp to its arrival here") \
    X(token_gap, "token_gap", "between two tokens of a stream") \
    X(added, "added_latency", "token after its time: request sent + prefill + i/rate") \
    X(jitter, "jitter", "the same against the stream's own best token") \
    X(answer, "answer", "request sent to end of the answer") \
    X(proxied, "proxied", "the same without the prefill and decode time of the worker") \
    X(silence, "longest_silence", "longest time without a byte of each stream") \
    X(stream_gap, "longest_gap", "longest gap between tokens of each stream")

struct result {
    uint64_t n_faults[FAULTS_N];
    uint64_t n_started, n_completed, n_tokens, n_bytes, n_comments;
    uint64_t begun_ns, ended_ns;
    /* All streams run: from the last one's first token to the first one's end. */
    struct usage baseline, plateau_begin, plateau_end, end;
    uint64_t plateau_tokens;
    uint64_t rss_kib_max;
    double own_cpu_s;
    const _Atomic uint64_t *stamp_ns; /* borrowed: when the server's last event was; or NULL */
    int router_pid;                   /* 0: not measured */
#define X(member, name, meaning) struct dist member;
    DISTS(X)
#undef X
};

uint64_t result_faults(const struct result *r);

/* Count a fault; the first few are told on stderr. */
void result_fault(struct result *r, enum fault f, uint64_t seed, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* M streams, each on its own connection. */
void run_streams(const struct options *o, struct result *r);

/* Short requests over M kept-alive connections for a time. */
void run_load(const struct options *o, struct result *r);

/* --- what both need --- */

/* An answer that took total_ns from the sending of its request is complete. */
void run_answered(struct result *r, uint64_t total_ns, double worker_ms);

/* A connection in the making: its descriptor, or -errno. */
int run_connect(const struct options *o);

/* What became of a connection that epoll calls writable: 0 or -errno. */
int run_connected(int fd);

/* Append one request. */
void run_request(const struct options *o, uint64_t seed, bool is_streamed, struct buf *out);

/* Send what out holds: 1 all gone, 0 some left, or -errno. */
int run_send(int fd, struct buf *out);

#endif
