/* Counters, gauges and histograms: one list each, from which the struct in the segment, the
 * Prometheus text, `cortexctl counters` and docs/reference come.
 *
 * Each value has one writing process, so adding is a relaxed load and a relaxed store: no locked
 * instruction on a hot path. Counters survive a restart of their writer; it goes on adding.
 */
#ifndef SHM_COUNTERS_H
#define SHM_COUNTERS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, kind, unit, help); the Prometheus name is cortex_<name>[_total]. */
#define SUPERVISOR_COUNTERS(X)                                                                     \
    X(child_starts, COUNTER, NONE, "Processes started")                                            \
    X(child_deaths, COUNTER, NONE, "Processes that ended without being asked to")                  \
    X(child_hangs, COUNTER, NONE, "Processes killed because they made no progress")                \
    X(child_kill_escalations, COUNTER, NONE, "Processes that ignored SIGTERM and got SIGKILL")     \
    X(protocol_violations, COUNTER, NONE, "Processes killed because they broke the protocol")      \
    X(circuit_opens, COUNTER, NONE, "Times a worker's circuit breaker opened")                     \
    X(config_reloads, COUNTER, NONE, "Configuration reloads that took effect")                     \
    X(config_reload_errors, COUNTER, NONE, "Configuration reloads refused")                        \
    X(late_ticks, COUNTER, NONE, "Supervision ticks that came more than 500 ms late")

#define ROUTER_COUNTERS(X)                                                                         \
    X(connections_accepted, COUNTER, NONE, "Client connections accepted")                          \
    X(connections_open, GAUGE, NONE, "Client connections open")                                    \
    X(connections_refused, COUNTER, NONE, "Connections closed at once: a limit was reached")       \
    X(accept_pauses, COUNTER, NONE, "Times accepting paused because no descriptor was left")       \
    X(tls_handshake_errors, COUNTER, NONE, "TLS handshakes that failed")                           \
    X(http_requests, COUNTER, NONE, "HTTP requests answered")                                      \
    X(http_rejects, COUNTER, NONE, "HTTP requests refused by the gate")                            \
    X(json_rejects, COUNTER, NONE, "Bodies refused by the JSON validator")                         \
    X(auth_failures, COUNTER, NONE, "Requests with no key or a wrong one where one is needed")     \
    X(bytes_received, COUNTER, BYTES, "Bytes read from clients")                                   \
    X(bytes_sent, COUNTER, BYTES, "Bytes written to clients")                                      \
    X(keepalives_sent, COUNTER, NONE, "Keep-alive comments sent on silent streams")                \
    X(requests_open, GAUGE, NONE, "Requests that hold a slot")                                     \
    X(links_up, GAUGE, NONE, "Workers linked to the router")                                       \
    X(ring_stalls, COUNTER, NONE, "Submissions that waited because a worker's ring was full")      \
    X(ring_rescues, COUNTER, NONE, "Events found by the sweep that no wake-up announced; a bug")   \
    X(ring_events, COUNTER, NONE, "Entries taken from workers' rings")                             \
    X(worker_violations, COUNTER, NONE, "Workers reported for breaking the ring protocol")         \
    X(quarantined_requests, COUNTER, NONE, "Requests failed because they kill workers")            \
    X(internal_errors, COUNTER, NONE, "Answers with code 500; a bug")                              \
    X(slow_reader_cancels, COUNTER, NONE, "Streams cancelled: the client read nothing for 60 s")

/* Per model, labels model and node. */
#define MODEL_COUNTERS(X)                                                                          \
    X(requests, COUNTER, NONE, "Requests accepted")                                                \
    X(request_errors, COUNTER, NONE, "Requests that ended in an error")                            \
    X(requests_cancelled, COUNTER, NONE, "Requests whose client went away")                        \
    X(requests_rejected, COUNTER, NONE, "Requests refused: queue full")                            \
    X(requests_resumed, COUNTER, NONE, "Times a request went on after its worker died")            \
    X(prompt_tokens, COUNTER, NONE, "Prompt tokens")                                               \
    X(completion_tokens, COUNTER, NONE, "Generated tokens sent to clients")                        \
    X(cached_prompt_tokens, COUNTER, NONE, "Prompt tokens found in the prefix cache")              \
    X(model_in_flight, GAUGE, NONE, "Requests on workers")                                         \
    X(model_queue_depth, GAUGE, NONE, "Requests waiting for a worker")

#define WORKER_COUNTERS(X)                                                                         \
    X(worker_requests, COUNTER, NONE, "Requests taken from the ring")                              \
    X(worker_tokens, COUNTER, NONE, "Tokens given, echoed ones and those of texts included")       \
    X(worker_tokens_replayed, COUNTER, NONE, "Tokens replayed to resume requests")                 \
    X(worker_steps, COUNTER, NONE, "Engine steps")                                                 \
    X(worker_cancels, COUNTER, NONE, "Requests cancelled at a step boundary")                      \
    X(worker_credit_waits, COUNTER, NONE, "Times a request waited for credit")                     \
    X(worker_ring_full, COUNTER, NONE, "Events that waited because the ring was full")             \
    X(prefix_hits, COUNTER, NONE, "Requests that found a part of their prompt in the prefix cache") \
    X(prefix_hit_tokens, COUNTER, NONE, "Prompt tokens that were found there")                     \
    X(prefix_diverged, COUNTER, NONE, "Requests with a prompt that went on as none before it")     \
    X(prefix_evicted, COUNTER, NONE, "Requests that could have used more, had it not been evicted") \
    X(prefix_no_checkpoint, COUNTER, NONE, "Requests with more known tokens, but no state behind them") \
    X(prefix_evictions, COUNTER, NONE, "Pages and states evicted from the prefix cache")           \
    X(prefix_cached_bytes, GAUGE, BYTES, "Pages and states that only the prefix cache holds")

/* X(name, help): times in seconds on the common bounds. */
#define MODEL_HISTOGRAMS(X)                                                                        \
    X(request_duration_seconds, "From acceptance to the last byte")                                \
    X(time_to_first_token_seconds, "From acceptance to the first generated token")                 \
    X(queue_wait_seconds, "From acceptance to the worker's ring")                                  \
    X(inter_token_seconds, "Between two tokens of a request")                                      \
    X(resume_gap_seconds, "From the last token before a worker's death to the next one")

#define ROUTER_HISTOGRAMS(X)                                                                       \
    X(loop_lag_seconds, "Time one turn of the event loop took")

enum counter_kind { COUNTER_COUNTER, COUNTER_GAUGE };
enum counter_unit { UNIT_NONE, UNIT_BYTES };

#define COUNTER_MEMBER(name, kind, unit, help) _Atomic uint64_t name;
struct supervisor_counters {
    SUPERVISOR_COUNTERS(COUNTER_MEMBER)
};
struct router_counters {
    ROUTER_COUNTERS(COUNTER_MEMBER)
};
struct model_counters {
    MODEL_COUNTERS(COUNTER_MEMBER)
};
struct worker_counters {
    WORKER_COUNTERS(COUNTER_MEMBER)
};

/* Upper bounds of the buckets in nanoseconds; the last bucket has none. */
#define HISTOGRAM_BOUNDS(X)                                                                        \
    X(100000) X(250000) X(500000) X(1000000) X(2500000) X(5000000) X(10000000) X(25000000)         \
    X(50000000) X(100000000) X(250000000) X(500000000) X(1000000000) X(2500000000)                 \
    X(5000000000) X(10000000000) X(30000000000) X(60000000000) X(300000000000)
#define HISTOGRAM_BUCKETS 20

struct histogram {
    _Atomic uint64_t bucket[HISTOGRAM_BUCKETS]; /* not cumulative */
    _Atomic uint64_t sum_ns;
};

#define HISTOGRAM_MEMBER(name, help) struct histogram name;
struct model_histograms {
    MODEL_HISTOGRAMS(HISTOGRAM_MEMBER)
};
struct router_histograms {
    ROUTER_HISTOGRAMS(HISTOGRAM_MEMBER)
};

struct counter_desc {
    const char *name;
    const char *help;
    size_t offset; /* in its struct, of one _Atomic uint64_t */
    enum counter_kind kind;
    enum counter_unit unit;
};
struct histogram_desc {
    const char *name;
    const char *help;
    size_t offset; /* of one struct histogram */
};

/* The tables end with a row whose name is NULL. */
extern const struct counter_desc supervisor_counter_descs[];
extern const struct counter_desc router_counter_descs[];
extern const struct counter_desc model_counter_descs[];
extern const struct counter_desc worker_counter_descs[];
extern const struct histogram_desc model_histogram_descs[];
extern const struct histogram_desc router_histogram_descs[];
extern const uint64_t histogram_bounds_ns[HISTOGRAM_BUCKETS - 1];

static inline void counter_add(_Atomic uint64_t *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}
static inline void counter_sub(_Atomic uint64_t *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) - n,
                          memory_order_relaxed);
}
static inline void counter_set(_Atomic uint64_t *c, uint64_t v)
{
    atomic_store_explicit(c, v, memory_order_relaxed);
}
static inline uint64_t counter_get(const _Atomic uint64_t *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

void histogram_add(struct histogram *h, uint64_t ns);

#endif
