/* Counts of faults, and distributions that keep one percent of precision at any size. */
#ifndef BENCH_STREAMS_STATS_H
#define BENCH_STREAMS_STATS_H

#include <stdint.h>

/* What can be wrong with an answer; X(constant, name, meaning) */
#define FAULTS(X) \
    X(FAULT_CONNECT, "connect", "no connection") \
    X(FAULT_CLOSED, "closed", "connection ended before the answer did") \
    X(FAULT_STATUS, "status", "another status than 200") \
    X(FAULT_HTTP, "http", "malformed head or framing, or a field missing") \
    X(FAULT_SSE, "sse", "malformed event stream") \
    X(FAULT_JSON, "json", "malformed or incomplete JSON") \
    X(FAULT_ORDER, "order", "chunk that does not belong where it is") \
    X(FAULT_TEXT, "text", "bytes that differ from the expected answer") \
    X(FAULT_ERROR, "error", "error event inside a stream") \
    X(FAULT_FINISH, "finish", "another finish_reason than expected") \
    X(FAULT_USAGE, "usage", "token counts that are wrong") \
    X(FAULT_TIMEOUT, "timeout", "not over when the time was")

#define X(constant, name, meaning) constant,
enum fault { FAULT_NONE, FAULTS(X) FAULTS_N };
#undef X

const char *fault_name(enum fault f);
const char *fault_meaning(enum fault f);

/* Log-linear: 128 steps for each power of two. */
#define STEPS_LOG2 7
#define DIST_CELLS ((64 - STEPS_LOG2 + 1) << STEPS_LOG2)

struct dist {
    uint64_t cell[DIST_CELLS];
    uint64_t n, max;
};

void dist_add(struct dist *d, uint64_t value);
/* The value that `share` of all do not exceed (0.5 = the median), or 0 when there are none. */
uint64_t dist_at(const struct dist *d, double share);

#endif
