/* The operations of a forward pass: one table per implementation, one params struct per operation.
 *
 * Threads.  Every thread of a team calls the same operations with the same params in the same
 * order; each does its share and returns without waiting.  A result may be read by the other
 * threads after kern_barrier (kernels/pool.h).  No barrier is needed between conv1d, gdn_gates and
 * gdn_step/gdn_chunk over the same spans and heads: they divide by (span, key head) alike.
 * moe_route and attention wait inside, where their params say so.
 *
 * Bits.  A row's result depends on the row and on what its sequence holds, never on the other rows
 * of the call, on the number of threads or on where a prompt was cut: every reduction has one order
 * per row.  gdn_step and gdn_chunk give the same bits for the same token, and so does attention for
 * a row that comes alone or in a tile, so decoding and prefilling a text are the same computation.
 * Different implementations (enum kern_isa) agree within the bounds of tests/kernels only.
 *
 * Errors.  0 or a negative errno: -EINVAL (null, negative, misaligned, out of range), -ENOTSUP (a
 * layout or size this implementation has no code for), -ENOSPC (a work buffer too small).  All
 * arguments are checked before anything is written.  Values are not: NaN in, NaN out; finite in,
 * finite out as long as the exact result is a finite float.
 */
#ifndef KERNELS_KERN_H
#define KERNELS_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kern_thread; /* kernels/pool.h */

enum {
    KERN_ALIGN = 64,     /* of matrices, states and pages */
    KERN_BLOCK = 16,     /* rows of a matrix that lie interleaved */
    KERN_CHUNK = 64,     /* tokens of one DeltaNet chunk, counted from position 0 */
    KERN_SPLIT = 512,    /* keys one thread takes of a long sequence when it decodes */
    KERN_HEAD_MAX = 256, /* largest head dimension, DeltaNet and attention */
    KERN_CONV_MAX = 8,   /* widest convolution */
    KERN_EXPERTS_MAX = 1024,
    KERN_TOP_MAX = 64, /* most experts per token */
};

/* Element types of activations, tables and KV pages. */
enum kern_type { KERN_F32, KERN_BF16 };

/* Internal layouts of weight matrices, made by kern_pack (kernels/pack.h).  Rows are padded with
 * zeros to KERN_BLOCK.  x is the operand's type: B16 multiplies bf16 activations, F32 floats.
 *
 *   F32  [block][k][16 rows]            f32
 *   B16  [block][k/2][16 rows][2]       bf16, k padded with a zero to an even number
 *   I8   [block][k/64][2x16 f16 scales, 16 x (16 rows x 4 k)]  u8, biased by 128
 *   I4   the same with nibbles
 *
 * I8 and I4 have no code yet and are refused with -ENOTSUP.
 */
enum kern_layout { KERN_LAYOUT_F32, KERN_LAYOUT_B16, KERN_LAYOUT_I8, KERN_LAYOUT_I4 };

struct kern_matrix {
    enum kern_layout layout;
    int32_t rows, cols; /* y[rows] = W x[cols] */
    const void *data;   /* borrowed, aligned to KERN_ALIGN */
};

/* The type of x. */
static inline enum kern_type kern_operand(enum kern_layout layout)
{
    return layout == KERN_LAYOUT_B16 ? KERN_BF16 : KERN_F32;
}

/* Rows of activations; ld counts elements and may exceed the width. */
struct kern_in {
    enum kern_type type;
    const void *data;
    int64_t ld;
};

struct kern_out {
    enum kern_type type;
    void *data;
    int64_t ld;
};

/* Consecutive rows of a batch that belong to one sequence. */
struct kern_span {
    int32_t row, rows;    /* first row in the batch, number of rows, at least 1 */
    int32_t pos;          /* position of the first row in its sequence */
    int32_t slot;         /* DeltaNet slot of the sequence */
    int32_t page_count;   /* pages listed: at least ceil((pos + rows) / page_tokens) */
    const int32_t *pages; /* [page_count] page numbers of its KV cache */
};

/* ---- rows ---- */
struct kern_embed {
    struct kern_matrix table; /* [vocab, n] */
    const int32_t *ids;       /* [rows] each below vocab */
    float *y;                 /* [rows, ld] */
    int64_t ld;
    int32_t rows;
};

/* x += residual when there is one; y = x / sqrt(mean(x^2) + eps) * (w or 1 + w). */
struct kern_rms_norm {
    float *x;              /* [.., ld] written only when residual is set */
    const float *residual; /* [.., ld] or NULL; not together with pick */
    const float *w;        /* [n] */
    const int32_t *pick;   /* [rows] rows of x to take, or NULL for 0..rows-1 */
    int64_t ld;
    struct kern_out y; /* [rows, n] */
    int32_t rows, n;
    float eps;
    bool is_plus_one;
};

/* y = W x + bias, added to y when is_added.  Logits are this over rows taken by rms_norm.pick. */
struct kern_linear {
    struct kern_matrix w;
    struct kern_in x;  /* [rows, w.cols] of the type the layout multiplies */
    const float *bias; /* [w.rows] or NULL */
    float *y;          /* [rows, ld] */
    int64_t ld;
    int32_t rows;
    bool is_added;
};

/* y = SiLU(gate x) * (up x) in one pass over both matrices: an MLP's first half. */
struct kern_linear_swiglu {
    struct kern_matrix gate, up; /* same layout and shape */
    struct kern_in x;            /* [rows, cols] */
    struct kern_out y;           /* [rows, gate.rows] */
    int32_t rows;
};

/* y = SiLU(gate) * up */
struct kern_swiglu {
    const float *gate, *up; /* [rows, ld] */
    int64_t ld;
    struct kern_out y; /* [rows, n] */
    int32_t rows, n;
};

/* y = x * sigmoid(gate), added to y when is_added (then y is f32). */
struct kern_gate_mul {
    const float *x;    /* [rows, ld_x] */
    const float *gate; /* [rows, ld_gate], n wide, or 1 wide when is_scalar */
    int64_t ld_x, ld_gate;
    struct kern_out y; /* [rows, n] */
    int32_t rows, n;
    bool is_scalar, is_added;
};

/* ---- Gated DeltaNet ---- */
struct kern_gdn_heads {
    int32_t hk, hv; /* key heads, value heads: a multiple of hk */
    int32_t dk, dv;
    int32_t conv;           /* width of the convolution, 2..KERN_CONV_MAX */
    bool is_value_permuted; /* value head j uses key head j mod hk (GGUF), not j / (hv / hk) */
};

/* One slot per sequence and layer, all zeros for an empty sequence, from kern_gdn_slot_bytes:
 *
 *   S     f32 [hv][dk][dvp]       state at the last position that is a multiple of KERN_CHUNK
 *   K     f32 [hk][dk][64]        keys since then, token t of the chunk in column t
 *   U     f32 [hv][64][dvp]       their updates u
 *   G     f64 [hv][64]            their summed log gates
 *   conv  f32 [conv - 1][channels] last inputs of the convolution, oldest first
 *
 * dvp is dv rounded up to 16; each part starts on KERN_ALIGN.  The state after position p is
 * e^{G_p} S + sum_t e^{G_p - G_t} k_t u_t': S is folded once per chunk and only read in between,
 * which makes a token's bits independent of how its prompt was cut. */
struct kern_slots {
    void *base;
    size_t stride; /* bytes between slots, at least kern_gdn_slot_bytes, a multiple of KERN_ALIGN */
    int32_t count;
};

/* Causal depthwise convolution and SiLU over channels [Q hk*dk | K hk*dk | V hv*dv]. */
struct kern_conv1d {
    struct kern_gdn_heads heads;
    struct kern_slots slots;
    const struct kern_span *spans;
    int32_t span_count, rows;
    const float *x; /* [rows, ld_x] */
    const float *w; /* [conv][channels], the newest input's tap last */
    float *y;       /* [rows, ld_y] not x */
    int64_t ld_x, ld_y;
};

/* beta = sigmoid(b); g = -exp(A_log) softplus(a + dt_bias), not below KERN_GATE_MIN. */
#define KERN_GATE_MIN (-200.0f) /* e^-200 is 0 in f32; bounds the sums of g */
struct kern_gdn_gates {
    struct kern_gdn_heads heads;
    const struct kern_span *spans;
    int32_t span_count, rows;
    const float *a, *b; /* [rows, ld_ab], hv wide */
    int64_t ld_ab;
    const float *a_log;   /* [hv] A_log, or -exp(A_log) when is_a_exp (GGUF ssm_a) */
    const float *dt_bias; /* [hv] */
    float *g, *beta;      /* [rows, hv] */
    bool is_a_exp;
};

/* L2 norms, recurrence and gated norm: y = RMSNorm(o) * norm_w * SiLU(z) per head.
 * gdn_step: every span is one row, S read in a single pass.  gdn_chunk: any spans. */
struct kern_gdn {
    struct kern_gdn_heads heads;
    struct kern_slots slots;
    const struct kern_span *spans;
    int32_t span_count, rows;
    const float *qkv; /* [rows, ld_qkv] output of conv1d */
    int64_t ld_qkv;
    const float *g, *beta; /* [rows, hv] */
    const float *z;        /* [rows, ld_z], head j at j*dv */
    int64_t ld_z;
    const float *norm_w; /* [dv] */
    struct kern_out y;   /* [rows, hv*dv] */
    float eps;
};

/* ---- attention ---- */
/* Pages of one layer's cache.  A page holds K then V, of kern_kv_page_bytes:
 * K [heads][head_dim][page_tokens], V [heads][page_tokens][hdp], hdp = head_dim rounded up to 16.
 */
struct kern_kv {
    void *base;
    size_t stride; /* bytes between pages */
    enum kern_type type;
    int32_t pages;       /* in all */
    int32_t page_tokens; /* 16, 32 or 64 */
    int32_t heads, head_dim;
};

/* cos and sin of pos * inv_freq, times the attention scaling, once per step for all layers. */
struct kern_rope {
    const struct kern_span *spans;
    int32_t span_count, rows;
    const float *inv_freq; /* [half] from kern_rope_frequencies (kernels/rope.h) */
    int32_t half;          /* rotated dimensions / 2 */
    float scaling;
    float *cos, *sin; /* [rows, half] */
};

/* q and k: RMSNorm over head_dim when there is a weight, rotate-half of the first 2*half
 * dimensions; q to y, k and v to the pages. */
struct kern_qk_norm_rope_write {
    struct kern_kv kv;
    const struct kern_span *spans;
    int32_t span_count, rows;
    int32_t q_heads;    /* a multiple of kv.heads */
    const float *q;     /* [rows, ld_q], head h at h*q_stride */
    const float *k, *v; /* [rows, ld_kv], head h at h*head_dim */
    int64_t ld_q, ld_kv;
    int32_t q_stride;       /* head_dim, or 2*head_dim when a gate follows each head */
    const float *q_w, *k_w; /* [head_dim] or both NULL */
    float eps;
    bool is_plus_one;
    const float *cos, *sin; /* [rows, half] */
    int32_t half;
    float *y; /* [rows, q_heads*head_dim] */
};

/* Causal softmax(q k' * scale) v over everything written up to each row's position, times
 * sigmoid(gate) when there is a gate.  Waits for all threads when a span of one row has more than
 * KERN_SPLIT keys; work then holds kern_attention_work_bytes. */
struct kern_attention {
    struct kern_kv kv;
    const struct kern_span *spans;
    int32_t span_count, rows;
    int32_t q_heads;
    const float *q;    /* [rows, q_heads*head_dim] */
    const float *gate; /* [rows, ld_gate], head h at h*gate_stride, or NULL */
    int64_t ld_gate;
    int32_t gate_stride;
    float scale;
    struct kern_out y; /* [rows, q_heads*head_dim] */
    void *work;
    size_t work_bytes;
};

/* ---- mixture of experts ---- */
/* Softmax over all experts, the top of them (the lower number first among equals), renormalised on
 * request.  Then the (row, choice) pairs ordered by expert: expert e has the sorted rows
 * start[e]..start[e+1], and choice c of row r is sorted row place[r*top + c].  Waits once inside.
 */
struct kern_moe_route {
    const float *logits; /* [rows, ld] */
    int64_t ld;
    int32_t rows, experts, top;
    bool is_renormalised;
    int32_t *ids;   /* [rows, top] */
    float *weights; /* [rows, top] */
    int32_t *start; /* [experts + 1] */
    int32_t *place; /* [rows, top] */
};

/* Sorted copies: y[place[r*top + c]] = x[r]. */
struct kern_moe_gather {
    struct kern_in x;  /* [rows, n] */
    struct kern_out y; /* [rows*top, n] of the same type */
    const int32_t *place;
    int32_t rows, top, n;
};

/* y[s] = W_e x[s] for the sorted rows of each expert; with up, y = SiLU(W_e x) * (up_e x). */
struct kern_moe_linear {
    const struct kern_matrix *w;  /* [experts] of one layout and shape */
    const struct kern_matrix *up; /* [experts] like w, or NULL */
    struct kern_in x;             /* [sorted rows, cols] */
    struct kern_out y;            /* [sorted rows, w.rows]; f32 without up */
    const int32_t *start;         /* [experts + 1] */
    int32_t experts;
    int32_t sorted_rows; /* room in x and y: start[experts] at most */
};

/* y[r] += sum over c of weights[r][c] * x[place[r][c]], in the order of c. */
struct kern_moe_combine {
    const float *x; /* [sorted rows, ld_x] */
    int64_t ld_x;
    const int32_t *place;
    const float *weights;
    float *y; /* [rows, ld_y] */
    int64_t ld_y;
    int32_t rows, top, n;
};

/* ---- the end of a step ---- */
/* Of each row: the first largest logit and log(sum(exp(x))), for greedy tokens and log p. */
struct kern_logits_stat {
    const float *logits; /* [rows, ld] */
    int64_t ld;
    int32_t rows, vocab;
    int32_t *best; /* [rows] */
    float *lse;    /* [rows] */
};

/* Bytes of slots, checkpoints and pages, divided over the threads. */
struct kern_copy {
    void *to;
    const void *from;
    size_t bytes;
};

#define KERN_OPS(X) \
    X(embed, kern_embed) \
    X(rms_norm, kern_rms_norm) \
    X(linear, kern_linear) \
    X(linear_swiglu, kern_linear_swiglu) \
    X(swiglu, kern_swiglu) \
    X(gate_mul, kern_gate_mul) \
    X(conv1d, kern_conv1d) \
    X(gdn_gates, kern_gdn_gates) \
    X(gdn_step, kern_gdn) \
    X(gdn_chunk, kern_gdn) \
    X(rope, kern_rope) \
    X(qk_norm_rope_write, kern_qk_norm_rope_write) \
    X(attention, kern_attention) \
    X(moe_route, kern_moe_route) \
    X(moe_gather, kern_moe_gather) \
    X(moe_linear, kern_moe_linear) \
    X(moe_combine, kern_moe_combine) \
    X(logits_stat, kern_logits_stat) \
    X(copy, kern_copy)

struct kern_ops {
    const char *name; /* of the implementation */
#define X(op, params) int (*op)(struct kern_thread *, const struct params *);
    KERN_OPS(X)
#undef X
};

/* Sizes; 0 when the shape is refused by the operations. */
size_t kern_gdn_slot_bytes(const struct kern_gdn_heads *heads);
size_t kern_kv_page_bytes(const struct kern_kv *kv);
/* For `spans` sequences that decode with at most `tokens` keys each. */
size_t kern_attention_work_bytes(const struct kern_kv *kv, int32_t q_heads, int32_t spans,
                                 int32_t tokens);

/* The plain C reference; rank 0 does all the work. */
const struct kern_ops *kern_ref(void);

/* CPU implementations, best last. */
enum kern_isa { KERN_PLAIN, KERN_NEON, KERN_AVX2, KERN_AVX512, KERN_AVX512_BF16, KERN_ISAS };

const struct kern_ops *kern_cpu(enum kern_isa isa); /* NULL: not built, or not on this machine */
const struct kern_ops *kern_cpu_best(void);

#endif
