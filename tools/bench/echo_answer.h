/* The bytes that a Cortex with a simulated model would send. */
#ifndef BENCH_ECHO_ANSWER_H
#define BENCH_ECHO_ANSWER_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define ECHO_MODEL_MAX 64

struct echo_request {
    uint64_t seed;
    uint32_t n_tokens;
    bool is_streamed, is_chat;
    char model[ECHO_MODEL_MAX];
};

/* Length of the request in front of data, 0 when it is not complete, or -1 when it is none that
 * the load generator sends. */
long echo_read_request(const char *data, size_t len, struct echo_request *r);

/* Head of a stream and, for chat, the chunk with the role. */
void echo_begin(const struct echo_request *r, struct buf *out);
void echo_token(const struct echo_request *r, uint32_t index, struct buf *out);
/* Finish chunk, usage chunk, [DONE]. */
void echo_end(const struct echo_request *r, double decode_ms, struct buf *out);

/* The whole answer that is not streamed. */
void echo_whole(const struct echo_request *r, double decode_ms, struct buf *out);

#endif
