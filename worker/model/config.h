/* What a checkpoint's config.json says of the model, as numbers that have been checked. A key that
 * this table does not know and that is not null is an error: it may change the mathematics. */
#ifndef WORKER_MODEL_CONFIG_H
#define WORKER_MODEL_CONFIG_H

#include "base/err.h"
#include "worker/io/root.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum family_flag {
    FAMILY_LINEAR = 1 << 0,          /* has DeltaNet layers */
    FAMILY_FUSED = 1 << 1,           /* their projections are in_proj_qkvz and in_proj_ba */
    FAMILY_GATE = 1 << 2,            /* attention output gate, in q_proj beside each head's query */
    FAMILY_NORM_PLUS_1 = 1 << 3,     /* RMSNorm multiplies with 1 + w (not DeltaNet's own norm) */
    FAMILY_QK_NORM = 1 << 4,         /* q_norm and k_norm over head_dim */
    FAMILY_QKV_BIAS = 1 << 5,        /* q, k and v projections have a bias */
    FAMILY_MOE = 1 << 6,             /* experts in the layers that config.layers says */
    FAMILY_SHARED = 1 << 7,          /* and one shared expert behind a gate */
    FAMILY_TOPK_NORM = 1 << 8,       /* norm_topk_prob unless the config says otherwise */
    FAMILY_WINDOW = 1 << 9,          /* sliding_window holds by itself, not only as use_... says */
    FAMILY_WINDOW_UPPER = 1 << 10,   /* and only for the layers from max_window_layers on */
    FAMILY_QUARTER_ROTARY = 1 << 11, /* partial_rotary_factor is 0.25 unless given */
};

#define FAMILY_QWEN3_5 \
    FAMILY_LINEAR | FAMILY_GATE | FAMILY_NORM_PLUS_1 | FAMILY_QK_NORM | FAMILY_QUARTER_ROTARY
#define FAMILY_QWEN3_5_MOE FAMILY_QWEN3_5 | FAMILY_MOE | FAMILY_SHARED | FAMILY_TOPK_NORM

/* X(model_type, head_dim unless given (0: hidden_size / heads), flags) */
#define FAMILIES(X) \
    X("qwen3_5", 256, FAMILY_QWEN3_5) \
    X("qwen3_5_text", 256, FAMILY_QWEN3_5) \
    X("qwen3_5_moe", 256, FAMILY_QWEN3_5_MOE) \
    X("qwen3_5_moe_text", 256, FAMILY_QWEN3_5_MOE) \
    X("qwen3_next", 256, FAMILY_QWEN3_5_MOE | FAMILY_FUSED) \
    X("qwen3", 128, FAMILY_QK_NORM | FAMILY_WINDOW_UPPER) \
    X("qwen3_moe", 0, FAMILY_QK_NORM | FAMILY_MOE) \
    X("qwen2", 0, FAMILY_QKV_BIAS | FAMILY_WINDOW_UPPER) \
    X("llama", 0, 0) \
    X("mistral", 0, FAMILY_WINDOW)

struct family {
    const char *model_type;
    uint32_t head_dim;
    uint32_t flags;
};

enum layer_kind { LAYER_LINEAR, LAYER_ATTENTION };

enum rope_kind { ROPE_DEFAULT, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN };

struct model_rope {
    enum rope_kind kind;
    uint32_t rotated; /* dimensions of a head that rotate; even */
    double theta;
    double factor;                            /* linear, llama3, yarn */
    double original_positions;                /* llama3, yarn */
    double low_freq_factor, high_freq_factor; /* llama3 */
    double beta_fast, beta_slow;              /* yarn */
    double attention_factor;                  /* yarn; 0: from the factor and the two mscales */
    double mscale, mscale_all_dim;            /* yarn; 0: not configured */
    bool is_truncated;                        /* yarn: the correction range is rounded outwards */
};

#define CONFIG_LAYERS_MAX 512
#define CONFIG_EOS_MAX    64

struct model_config {
    const struct family *family;
    uint32_t vocab_size, hidden_size, n_layers;
    uint32_t intermediate_size; /* of the dense MLP; 0: no layer has one */
    uint32_t n_heads, n_kv_heads, head_dim;
    uint32_t max_positions;  /* at most max_position_embeddings, and the sliding window if any */
    uint32_t sliding_window; /* of some layer, 0: none; up to it a window hides nothing */
    double rms_norm_eps;
    bool is_tied;     /* the head is the embedding */
    bool is_headless; /* it gives hidden states, not logits: pooling.h says so, not this file */
    bool has_vision;
    struct model_rope rope;
    struct {
        enum layer_kind kind;
        bool is_moe;
    } layers[CONFIG_LAYERS_MAX];
    struct { /* DeltaNet; zero without FAMILY_LINEAR */
        uint32_t conv_width, n_key_heads, n_value_heads, key_dim, value_dim;
    } linear;
    struct { /* zero without FAMILY_MOE */
        uint32_t n_experts, top_k, intermediate_size, shared_intermediate_size;
        bool norm_topk_prob;
    } moe;
    uint32_t n_eos, eos[CONFIG_EOS_MAX]; /* generation_config.json overrides them */
};

/* 0, or -EINVAL with a sentence that starts with "config.json: " and names the key. */
int model_config_parse(struct model_config *c, const char *json, size_t len, struct err *e);

/* The same from the model's directory. */
int model_config_load(struct model_config *c, const struct root *root, struct err *e);

static inline bool model_config_has(const struct model_config *c, uint32_t flags)
{
    return (c->family->flags & flags) == flags;
}

#endif
