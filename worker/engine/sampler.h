/* How one request's tokens are drawn: its parameters over the model's defaults, and what its
 * penalties have to know of the tokens so far. A pure function of (parameters, seed, tokens): a
 * fresh sampler that has seen the first k tokens again is the sampler after k tokens. */
#ifndef WORKER_ENGINE_SAMPLER_H
#define WORKER_ENGINE_SAMPLER_H

#include "kernels/sample.h"
#include "worker/model/generation.h"
#include "worker/params.h"

#define SAMPLER_BIAS_MAX 1024

struct sampler {
    struct kern_sampler kern;      /* seen and bias point into the members below */
    struct kern_token_bias *bias;  /* owned */
    struct kern_token_count *seen; /* owned; NULL when no penalty is on */
    uint32_t *index;               /* owned: open addressing, slot -> place in seen + 1 */
    uint32_t index_mask;
    bool is_greedy; /* the first largest of the unchanged logits: no work per row */
};

/* Parameters of p over the defaults of g. n_tokens: of prompt and answer, at most. On failure
 * there is nothing to free: -EINVAL with the sentence. */
int sampler_init(struct sampler *s, const struct sampling *p, const struct generation *g,
                 uint32_t vocab, uint64_t seed, struct err *e);
/* Room for the tokens of the request, before the first sampler_see. */
void sampler_reserve(struct sampler *s, uint32_t vocab, uint32_t n_tokens);
void sampler_free(struct sampler *s);

/* The next token of prompt or answer. */
void sampler_see(struct sampler *s, uint32_t token, bool is_answer);

/* Working memory of one thread. */
struct sampler_work {
    float *logits;                     /* [vocab] */
    struct kern_candidate *candidates; /* [vocab] */
    uint32_t *mask;                    /* [ceil(vocab / 32)] for who makes one */
};

/* Which tokens may be drawn. */
struct sampler_choice {
    const uint32_t *mask;   /* borrowed: a bit for each token that may, or NULL: all */
    const uint32_t *banned; /* borrowed: tokens that may not */
    uint32_t n_banned;
};

/* The token at `position` of the answer, from a row of logits that stays as it is. 0, or -ERANGE
 * when no logit of a token that may be drawn is
 * a number. */
int sampler_draw(const struct sampler *s, uint64_t position, const float *logits, uint32_t vocab,
                 struct sampler_choice choice, struct sampler_work *work, uint32_t *token);

#endif
