/* From one row of logits to a token: penalties, bias, mask, temperature, top-k, top-p, min-p, one
 * draw.  Plain C in double precision and in index order: the same request gives the same token on
 * every machine whose logits agree. */
#ifndef KERNELS_SAMPLE_H
#define KERNELS_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

struct kern_token_count {
    int32_t token;
    int32_t count_all;    /* in prompt and answer: repetition penalty */
    int32_t count_answer; /* in the answer: frequency and presence penalties */
};

struct kern_token_bias {
    int32_t token;
    float bias;
};

struct kern_sampler {
    const struct kern_token_count *seen; /* [seen_count] each token once */
    int32_t seen_count;
    float repetition, frequency, presence; /* 1, 0, 0: off */
    const struct kern_token_bias *bias;    /* [bias_count] */
    int32_t bias_count;
    const uint32_t *mask; /* [ceil(vocab / 32)] bit set: allowed; or NULL */
    float temperature;    /* 0: the largest logit, no draw */
    int32_t top_k;        /* 0: off */
    float top_p;          /* 1: off */
    float min_p;          /* 0: off */
    uint64_t seed;
    uint64_t position; /* of the token to be drawn */
};

struct kern_candidate {
    double weight;
    int32_t token;
    int32_t unused;
};

/* Changes logits [vocab] in place.  work: [vocab].  -EINVAL; -ERANGE when nothing is allowed or no
 * logit is a number. */
int kern_sample(const struct kern_sampler *s, float *logits, int32_t vocab,
                struct kern_candidate *work, int32_t *token);

/* The n largest of logits, largest first, the lower token first among equals; their log p given
 * log(sum(exp)) of the row.  n <= vocab, small. */
int kern_top_logprobs(const float *logits, int32_t vocab, double lse, int32_t n, int32_t *tokens,
                      float *logprobs);

/* Philox4x32-10: four words from a 128-bit counter and a 64-bit key. */
void kern_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Uniform in [0, 1), 53 bits, of (seed, position). */
double kern_uniform(uint64_t seed, uint64_t position);

#endif
