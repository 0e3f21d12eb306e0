/* Inside forward*.c: what a forward pass holds, and what one thread knows during a step.
 *
 * One job of the pool is one step. Between two barriers no thread reads what another writes: the
 * rows of a norm are divided only when there are many of them (and then a barrier follows), of few
 * rows every thread makes its own copy. That leaves, per layer, the barriers behind
 *
 *   DeltaNet   projections | convolution, gates, recurrence | out |
 *   attention  projections | rotary, pages | attention | out |
 *   MLP        gate and up | down |
 *   experts    router, shared gate and up | gate and up of experts, shared down | down | sum |
 */
#ifndef WORKER_MODEL_FORWARD_PARTS_H
#define WORKER_MODEL_FORWARD_PARTS_H

#include "worker/model/forward.h"

#define FORWARD_SOLO_ROWS \
    8 /* each thread norms and routes so many itself: cheaper than to wait \
       */

/* What attention keeps of long sequences that decode: at most so many bytes, or what one sequence
 * of the whole context needs; more of them are done one group after the other. */
#define FORWARD_WORK_BYTES ((size_t)16 << 20)

struct forward_layer {
    const struct weights_layer_bound *w;
    bool is_linear, is_moe;
    uint32_t mixer_types, mlp_types; /* bits of kern_type: what reads the norm in front */
    int32_t index;                   /* among the layers of its kind: its part of slots or pages */
};

/* A norm's output in the types that are read. */
struct forward_rows {
    float *f32;
    uint16_t *bf16;
};

/* Which row goes to which expert, and the rows in the experts' order. */
struct forward_routing {
    int32_t *ids, *place; /* [rows, top] */
    float *weights;       /* [rows, top] */
    int32_t *start;       /* [experts + 1] */
    void *sorted;         /* [rows * top, hidden] */
};

/* FORWARD_SOLO_ROWS rows of one thread. */
struct forward_own {
    struct forward_rows h;
    struct forward_routing routing;
};

/* Elements from row to row. */
struct forward_widths {
    int64_t hidden, channels, values, heads, q, kv, context, mlp, shared, experts, expert, vocab;
};

struct forward {
    const struct model_config *config; /* borrowed, as the next three */
    const struct weights *weights;
    const struct kern_ops *ops;
    struct kern_pool *pool;
    struct forward_shape shape;
    struct forward_bytes bytes;
    struct forward_widths ld;

    /* One page number is a page of every attention layer, one slot number a slot of every DeltaNet
     * layer, each in one piece. Behind a slot's layers: a bool, not zero since it was written to.
     */
    struct kern_kv kv;           /* base of the first layer */
    struct kern_gdn_heads heads; /* hk 0: no DeltaNet layer */
    struct kern_slots slots;
    size_t page_bytes, slot_bytes; /* of one layer */
    int32_t n_attention, n_linear;

    int32_t rotary_half;
    float rotary_scaling;
    float *inv_freq, *cos, *sin; /* [half], [rows, half] */

    struct forward_layer *layers; /* [n_layers] */
    struct forward_own *own;      /* [threads] */

    /* The step that runs: its one-row spans, then the others. */
    struct forward_batch batch;
    struct kern_span *spans;
    int32_t n_single;

    float *x; /* [rows, hidden] the residual stream */
    struct forward_rows h;
    void *y; /* [rows, values or context] what the mixer gives to out or o */
    /* DeltaNet */
    float *qkv, *conv, *z, *a, *b, *g, *beta;
    /* attention */
    float *q, *k, *v, *rotated;
    void *work;
    size_t work_bytes;
    /* MLP; experts */
    void *inner; /* [rows, mlp or shared] */
    float *router, *shared, *shared_gate;
    struct forward_routing routing;
    void *expert_inner; /* [rows * top, expert] */
    float *expert_out;  /* [rows * top, hidden] */

    float *logits, *lse;
    int32_t *best;
};

/* One thread in a step. An operation that fails is the last one; the barriers go on, so that no
 * thread waits for another. */
struct forward_step {
    const struct forward *f;
    struct kern_thread *th;
    struct forward_rows h; /* of the last norm: shared, or this thread's own */
    int rc;
};

#define FORWARD_OP_ON(s, thread, op, ...) \
    do { \
        if ((s)->rc == 0) \
            (s)->rc = (s)->f->ops->op(thread, &(struct kern_##op){__VA_ARGS__}); \
    } while (0)
#define FORWARD_OP(s, op, ...) FORWARD_OP_ON(s, (s)->th, op, __VA_ARGS__)

static inline bool forward_is_solo(int32_t rows)
{
    return rows <= FORWARD_SOLO_ROWS;
}

/* h = norm of all rows of x, or of the picked ones; ready to be read by this thread. */
void forward_norm(struct forward_step *s, const float *w, uint32_t types, const int32_t *pick,
                  int32_t rows);
/* What m multiplies of the last norm. */
struct kern_in forward_input(const struct forward_step *s, const struct kern_matrix *m);

/* x += the mixer of norm(x); x += the MLP or the experts of norm(x). A barrier is behind each. */
void forward_mix(struct forward_step *s, const struct forward_layer *l);
void forward_feed(struct forward_step *s, const struct forward_layer *l);

#endif
