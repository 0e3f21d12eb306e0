/* The weights as the kernels read them: one block of memory with every matrix in its layout.
 *
 * Where each weight lies is a function of the configuration and the dtypes alone, so a block that
 * one worker has filled can be mapped by the next one: weights_key tells whether it is the same.
 *
 *   layout  from config and plan: sizes and offsets, before a byte is read
 *   fill    read and pack, into memory of weights_layout.bytes
 *   bind    pointers into the block, for forward.h
 */
#ifndef WORKER_MODEL_WEIGHTS_H
#define WORKER_MODEL_WEIGHTS_H

#include "kernels/kern.h"
#include "worker/io/reader.h"
#include "worker/model/weights_plan.h"

/* How matrices are kept: auto keeps BF16 as bf16, F32 and F16 as f32, so no value changes. */
#define X(constant, name) constant,
enum weights_mode { CONFIG_WEIGHTS_MODES(X) WEIGHTS_MODES_N };
#undef X

struct weights_moe {
    struct kern_matrix router;              /* [experts, hidden] */
    struct kern_matrix *gate, *up, *down;   /* [experts] each */
    struct kern_matrix shared_gate, shared_up, shared_down; /* data NULL: no shared expert */
    struct kern_matrix shared_router;       /* [1, hidden] */
};

/* Vectors (norms, biases, A_log, dt_bias, the convolution) are floats, whatever the file has. */
struct weights_layer_bound {
    const float *input_norm, *post_norm; /* [hidden] */
    /* attention; data NULL in a DeltaNet layer */
    struct kern_matrix q, k, v, o;
    const float *q_bias, *k_bias, *v_bias; /* or NULL */
    const float *q_norm, *k_norm;          /* [head_dim] or NULL */
    /* DeltaNet; data NULL in an attention layer. Fused projections come apart while packing. */
    struct kern_matrix in_qkv, in_z, in_b, in_a, out;
    const float *conv; /* [width][channels] */
    const float *a_log, *dt_bias, *linear_norm;
    /* one of the two */
    struct kern_matrix gate, up, down; /* data NULL: experts */
    struct weights_moe moe;
};

struct weights {
    struct kern_matrix embed, head; /* the same when tied; head.data NULL: headless */
    const float *final_norm;
    struct weights_layer_bound *layers; /* owned */
    uint32_t n_layers;
};

struct weights_layout; /* opaque: the list of parts */

/* 0, or -EINVAL, -EOVERFLOW with the sentence. The config, the plan and its table must outlive it.
 */
int weights_layout_new(struct weights_layout **out, const struct model_config *c,
                       const struct weights_plan *p, enum weights_mode mode, struct err *e);
void weights_layout_free(struct weights_layout **l);
uint64_t weights_layout_bytes(const struct weights_layout *l);

/* Of the files' identities (device, inode, size, time), the layout and its version. */
uint64_t weights_key(const struct weights_layout *l, const struct safetensors *s);

struct weights_fill {
    const struct weights_layout *layout;
    const struct safetensors *tensors;
    const struct root *root;
    enum reader_mode mode;
    void *dest;                /* weights_layout_bytes, aligned to KERN_ALIGN, zeroed */
    reader_progress *progress; /* may be NULL */
    void *to;                  /* of progress */
    int32_t touch_threads;     /* beside this one, so that dest has its pages in time; 0: none */
};
/* Read everything and pack it, with a few MB of buffers beside the reader's. A value that is not a
 * finite number, or not one any more in bf16, is refused: -EINVAL with tensor, file and element;
 * else what reader_run gives. */
int weights_fill(const struct weights_fill *f, struct reader_stats *stats, struct err *e);

/* Pointers into a filled block, which must outlive w. */
void weights_bind(struct weights *w, const struct weights_layout *l, const void *block);
void weights_unbind(struct weights *w);

#endif
