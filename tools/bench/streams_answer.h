/* What one answer of the simulated model must be, and how far it has come. */
#ifndef BENCH_STREAMS_ANSWER_H
#define BENCH_STREAMS_ANSWER_H

#include "tools/bench/streams_json.h"
#include "tools/bench/streams_stats.h"
#include "worker/sim/words.h"

enum answer_stage {
    STAGE_ROLE, /* of a chat stream: the first chunk */
    STAGE_TEXT,
    STAGE_USAGE, /* after the chunk with the finish reason */
    STAGE_DONE,  /* before "[DONE]" */
    STAGE_OVER,
};

/* The same for all requests of a run. */
struct expectation {
    uint32_t n_tokens;
    bool is_chat;
    const char *finish; /* NULL = any */
};

struct answer {
    const struct expectation *expected; /* borrowed */
    uint64_t seed;
    enum answer_stage stage;
    uint32_t n_tokens; /* complete ones that came */
    uint32_t id_hash;  /* of the id in the first chunk */
    double worker_ms;  /* the worker's own time, as the server tells it */
    uint8_t word_at, word_len;
    char word[SIM_WORD_MAX]; /* token n_tokens, of which word_at bytes came */
};

void answer_init(struct answer *a, const struct expectation *expected, uint64_t seed);

/* One event of a stream, without "data: ". FAULT_NONE when it is what must come now. */
enum fault answer_take_event(struct answer *a, const char *data, size_t len);

/* The whole body of an answer that is not streamed. */
enum fault answer_take_body(struct answer *a, const char *data, size_t len);

#endif
