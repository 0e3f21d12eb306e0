/* What each token of a simulated answer is: a pure function of the request and the index. */
#ifndef WORKER_SIM_TOKEN_H
#define WORKER_SIM_TOKEN_H

#include "worker/sim/sim.h"
#include "worker/sim/words.h"

/* A token and what its pointers point to. */
struct sim_token {
    struct token token;
    char text[SIM_WORD_MAX];
    struct token_top top[TOPS_MAX];
    char top_text[TOPS_MAX][SIM_WORD_MAX];
};

/* index < seat->n_tokens. */
void sim_token_make(const struct sim_seat *seat, uint32_t index, struct sim_token *t);

#endif
