/* Frequencies of the rotary embedding, as published checkpoints configure them. */
#ifndef KERNELS_ROPE_H
#define KERNELS_ROPE_H

#include <stdbool.h>
#include <stdint.h>

enum kern_rope_kind { KERN_ROPE_DEFAULT, KERN_ROPE_LINEAR, KERN_ROPE_LLAMA3, KERN_ROPE_YARN };

struct kern_rope_config {
    enum kern_rope_kind kind;
    int32_t rotated;               /* dimensions that rotate, even */
    double theta;                  /* rope_theta */
    double factor;                 /* linear, llama3, yarn */
    double original_positions;     /* llama3, yarn: original_max_position_embeddings */
    double low_freq_factor;        /* llama3 */
    double high_freq_factor;       /* llama3 */
    double beta_fast, beta_slow;   /* yarn: 32 and 1 unless configured */
    double attention_factor;       /* yarn; 0: from the factor and the two mscales */
    double mscale, mscale_all_dim; /* yarn; 0: not configured */
    bool is_truncated;             /* yarn: the correction range is rounded outwards */
};

/* inv_freq[rotated / 2] and the factor of cos and sin; -EINVAL for a config without a table. */
int kern_rope_frequencies(const struct kern_rope_config *c, float *inv_freq, float *scaling);

#endif
