/* The members of an OpenAI answer or stream chunk that the load generator checks, picked out of the
 * JSON text without building a tree. Its own code, not the server's, so that both cannot be wrong
 * in the same way. */
#ifndef BENCH_STREAMS_JSON_H
#define BENCH_STREAMS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The inside of a string literal, still escaped; at NULL when the member is absent or null. */
struct text {
    const char *at;
    size_t len;
};

struct chunk {
    struct text id;
    struct text object;
    struct text role;   /* of choices[0].delta or .message */
    struct text text;   /* their content, or choices[0].text */
    struct text finish; /* choices[0].finish_reason */
    bool has_choice, has_usage, has_error;
    uint64_t prompt_tokens, completion_tokens;
    double worker_ms; /* timing: prefill_ms + decode_ms */
};

/* 0, or -1 when the text is not one JSON object. */
int chunk_parse(struct chunk *c, const char *json, size_t len);

bool text_is(struct text t, const char *expected);

/* Undo the escapes of t into out (t.len bytes are enough). The length, or -1 for a bad escape. */
long text_unescape(struct text t, char *out);

#endif
