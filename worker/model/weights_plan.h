/* Which tensor of the checkpoint is which weight of the model. Every weight that the configuration
 * calls for is found by name, and has the expected shape and a type the engine reads, or the plan
 * is refused with one sentence. Every other tensor is counted by what it is. */
#ifndef WORKER_MODEL_WEIGHTS_PLAN_H
#define WORKER_MODEL_WEIGHTS_PLAN_H

#include "base/buf.h"
#include "base/err.h"
#include "worker/io/safetensors.h"
#include "worker/model/config.h"

#include <stddef.h>
#include <stdint.h>

/* X(constant, name behind "layers.N.", which layers have it, dimensions) */
#define LAYER_WEIGHTS(X) \
    X(WEIGHT_INPUT_NORM, "input_layernorm.weight", 0, DIM_HIDDEN) \
    X(WEIGHT_POST_NORM, "post_attention_layernorm.weight", 0, DIM_HIDDEN) \
    X(WEIGHT_Q, "self_attn.q_proj.weight", HAS_ATTENTION, DIM_Q, DIM_HIDDEN) \
    X(WEIGHT_K, "self_attn.k_proj.weight", HAS_ATTENTION, DIM_KV, DIM_HIDDEN) \
    X(WEIGHT_V, "self_attn.v_proj.weight", HAS_ATTENTION, DIM_KV, DIM_HIDDEN) \
    X(WEIGHT_O, "self_attn.o_proj.weight", HAS_ATTENTION, DIM_HIDDEN, DIM_CONTEXT) \
    X(WEIGHT_Q_BIAS, "self_attn.q_proj.bias", HAS_BIAS, DIM_Q) \
    X(WEIGHT_K_BIAS, "self_attn.k_proj.bias", HAS_BIAS, DIM_KV) \
    X(WEIGHT_V_BIAS, "self_attn.v_proj.bias", HAS_BIAS, DIM_KV) \
    X(WEIGHT_Q_NORM, "self_attn.q_norm.weight", HAS_QK_NORM, DIM_HEAD) \
    X(WEIGHT_K_NORM, "self_attn.k_norm.weight", HAS_QK_NORM, DIM_HEAD) \
    X(WEIGHT_IN_QKV, "linear_attn.in_proj_qkv.weight", HAS_SPLIT, DIM_CHANNELS, DIM_HIDDEN) \
    X(WEIGHT_IN_Z, "linear_attn.in_proj_z.weight", HAS_SPLIT, DIM_VALUES, DIM_HIDDEN) \
    X(WEIGHT_IN_B, "linear_attn.in_proj_b.weight", HAS_SPLIT, DIM_VALUE_HEADS, DIM_HIDDEN) \
    X(WEIGHT_IN_A, "linear_attn.in_proj_a.weight", HAS_SPLIT, DIM_VALUE_HEADS, DIM_HIDDEN) \
    X(WEIGHT_IN_QKVZ, "linear_attn.in_proj_qkvz.weight", HAS_FUSED, DIM_QKVZ, DIM_HIDDEN) \
    X(WEIGHT_IN_BA, "linear_attn.in_proj_ba.weight", HAS_FUSED, DIM_BA, DIM_HIDDEN) \
    X(WEIGHT_CONV, "linear_attn.conv1d.weight", HAS_LINEAR, DIM_CHANNELS, DIM_ONE, DIM_WIDTH) \
    X(WEIGHT_A_LOG, "linear_attn.A_log", HAS_LINEAR, DIM_VALUE_HEADS) \
    X(WEIGHT_DT_BIAS, "linear_attn.dt_bias", HAS_LINEAR, DIM_VALUE_HEADS) \
    X(WEIGHT_LINEAR_NORM, "linear_attn.norm.weight", HAS_LINEAR, DIM_VALUE) \
    X(WEIGHT_LINEAR_OUT, "linear_attn.out_proj.weight", HAS_LINEAR, DIM_HIDDEN, DIM_VALUES) \
    X(WEIGHT_GATE, "mlp.gate_proj.weight", HAS_MLP, DIM_MLP, DIM_HIDDEN) \
    X(WEIGHT_UP, "mlp.up_proj.weight", HAS_MLP, DIM_MLP, DIM_HIDDEN) \
    X(WEIGHT_DOWN, "mlp.down_proj.weight", HAS_MLP, DIM_HIDDEN, DIM_MLP) \
    X(WEIGHT_ROUTER, "mlp.gate.weight", HAS_MOE, DIM_EXPERTS, DIM_HIDDEN) \
    X(WEIGHT_EXPERTS_GATE_UP, "mlp.experts.gate_up_proj", HAS_STACK, DIM_EXPERTS, DIM_GATE_UP, \
      DIM_HIDDEN) \
    X(WEIGHT_EXPERTS_DOWN, "mlp.experts.down_proj", HAS_STACK, DIM_EXPERTS, DIM_HIDDEN, \
      DIM_EXPERT) \
    X(WEIGHT_SHARED_GATE, "mlp.shared_expert.gate_proj.weight", HAS_SHARED, DIM_SHARED, \
      DIM_HIDDEN) \
    X(WEIGHT_SHARED_UP, "mlp.shared_expert.up_proj.weight", HAS_SHARED, DIM_SHARED, DIM_HIDDEN) \
    X(WEIGHT_SHARED_DOWN, "mlp.shared_expert.down_proj.weight", HAS_SHARED, DIM_HIDDEN, \
      DIM_SHARED) \
    X(WEIGHT_SHARED_ROUTER, "mlp.shared_expert_gate.weight", HAS_SHARED, DIM_ONE, DIM_HIDDEN)

/* X(constant, name behind "layers.N.mlp.experts.M.", dimensions), of an expert on its own */
#define EXPERT_WEIGHTS(X) \
    X(EXPERT_GATE, "gate_proj.weight", DIM_EXPERT, DIM_HIDDEN) \
    X(EXPERT_UP, "up_proj.weight", DIM_EXPERT, DIM_HIDDEN) \
    X(EXPERT_DOWN, "down_proj.weight", DIM_HIDDEN, DIM_EXPERT)

#define X(constant, ...) constant,
enum layer_weight { LAYER_WEIGHTS(X) LAYER_WEIGHTS_N };
enum expert_weight { EXPERT_WEIGHTS(X) EXPERT_WEIGHTS_N };
#undef X

/* The tensors are the table's; NULL where the layer has no such weight. */
struct weights_layer {
    const struct tensor *at[LAYER_WEIGHTS_N];
    /* [n_experts][EXPERT_WEIGHTS_N] when each expert has tensors of its own, NULL when they are
     * stacked in WEIGHT_EXPERTS_*. In a stack the rows of an expert are [gate | up]. */
    const struct tensor *(*experts)[EXPERT_WEIGHTS_N];
};

/* What is left aside, each with its reason. X(constant, what it is) */
#define ASIDE_KINDS(X) \
    X(ASIDE_VISION, "of the vision tower") \
    X(ASIDE_MTP, "of multi-token prediction") \
    X(ASIDE_TIED, "a head equal to the embedding") \
    X(ASIDE_HEAD, "a head that no embedding needs") \
    X(ASIDE_ROTARY, "rotary tables") \
    X(ASIDE_UNEXPECTED, "unexpected")

#define X(constant, text) constant,
enum aside_kind { ASIDE_KINDS(X) ASIDE_KINDS_N };
#undef X

struct weights_plan {
    const struct tensor *embed, *final_norm;
    const struct tensor *head; /* is embed when tied; NULL: headless */
    struct weights_layer *layers;
    uint32_t n_layers;
    size_t n_bound; /* tensors in use, and their bytes */
    uint64_t bytes;
    struct {
        size_t n;
        uint64_t bytes;
        const char *first; /* a name among them, the table's; NULL when n is 0 */
    } aside[ASIDE_KINDS_N];
};

/* Tensors of s, which must live as long as the plan. On failure nothing is left to free. */
int weights_plan_make(struct weights_plan *p, const struct model_config *c, const struct safetensors *s,
                      struct err *e);
void weights_plan_free(struct weights_plan *p);

/* One line for the log: what is bound, what is left aside and why. */
void weights_plan_describe(const struct weights_plan *p, struct buf *out);

#endif
