/* Log-probabilities of an answer's tokens, in the two forms of OpenAI's API. Elements are added
 * token by token and taken as one object: with every event of a stream, or once for a response.
 *
 * JSON has no infinity: an impossible token has -9999.0. Text that is not UTF-8 by itself is shown
 * with U+FFFD; chat has the exact bytes beside it. */
#ifndef ROUTER_API_LOGPROBS_H
#define ROUTER_API_LOGPROBS_H

#include "base/buf.h"
#include "router/route/record.h"

#include <stdbool.h>

struct logprobs {
    struct buf tokens;                /* owned: elements of arrays, comma after comma */
    struct buf values, tops, offsets; /* owned: completions have four of them */
    uint64_t n_chars;                 /* of all tokens before the next one */
};

void logprobs_free(struct logprobs **l); /* NULL is none */

/* A token with n_tops of at least 1, itself the first. */
void logprobs_add_chat(struct logprobs *l, const struct top *tops, size_t n_tops);
void logprobs_add_completion(struct logprobs *l, const struct top *tops, size_t n_tops);

static inline bool logprobs_is_pending(const struct logprobs *l)
{
    return l != NULL && buf_pending(&l->tokens) > 0;
}
size_t logprobs_bytes(const struct logprobs *l);

/* Append the object and forget its elements; null when nothing is pending. */
void logprobs_take_chat(struct logprobs *l, struct buf *out);
void logprobs_take_completion(struct logprobs *l, struct buf *out);

#endif
