/* What a request brings, as the simulated model sees it: messages rendered in a fixed way, and the
 * text cut into tokens, a word with the space in front of it each. */
#ifndef WORKER_SIM_PROMPT_H
#define WORKER_SIM_PROMPT_H

#include "worker/params.h"

#define SIM_PIECE_MAX 200 /* bytes of a token; a longer word is several */

struct sim_piece {
    uint32_t token; /* SIM_NO_TOKEN: not looked up yet */
    uint32_t end;   /* of its bytes in the text; they begin where those of the one before end */
};
#define SIM_NO_TOKEN UINT32_MAX

struct sim_prompt {
    struct buf text;         /* owned */
    struct sim_piece *piece; /* owned */
    uint32_t n, room;
};

/* 0, or -EINVAL with the sentence for an id that is no word; then it is empty. */
int sim_prompt_read(struct sim_prompt *p, const struct params *params, struct err *e);
void sim_prompt_free(struct sim_prompt *p);

/* The prompt becomes its embedding: base64 in pieces. The vector has SIM_DIMENSIONS numbers, or the
 * first `dimensions` of them (0: all). Number i is the sum over the words of a pseudo-random number
 * in
 * [-1, 1), a function of the word's token and i; then the vector is made of length 1. -EINVAL with
 * the sentence. */
#define SIM_DIMENSIONS 64
int sim_prompt_embed(struct sim_prompt *p, uint32_t dimensions, struct err *e);

/* The bytes of a token, borrowed: not always whole UTF-8 sequences. */
const char *sim_prompt_piece(const struct sim_prompt *p, uint32_t i, size_t *len);
uint32_t sim_prompt_token(const struct sim_prompt *p, uint32_t i);

#endif
