/* Whether an answer reasons, and how long where that is limited: when the limit is reached the next
 * token is </think>. A pure function of the tokens. */
#ifndef WORKER_ENGINE_THINKING_H
#define WORKER_ENGINE_THINKING_H

#include "worker/params.h"

struct thinking {
    uint32_t start, end; /* ids of <think> and </think>, or TOKENIZER_NOT_FOUND */
    uint32_t n_left;     /* tokens; THINKING_UNLIMITED: not counted */
    bool is_open;
};

/* The next token of the answer. */
static inline void thinking_see(struct thinking *t, uint32_t token)
{
    if (token == (t->is_open ? t->end : t->start))
        t->is_open = !t->is_open;
    else if (t->is_open && t->n_left > 0 && t->n_left != THINKING_UNLIMITED)
        t->n_left--;
}

/* Whether the next token must be t->end. */
static inline bool thinking_is_over(const struct thinking *t)
{
    return t->is_open && t->n_left == 0;
}

#endif
