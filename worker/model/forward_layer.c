/* The two halves of a layer: what mixes positions, and what feeds forward. */
#include "worker/model/forward_parts.h"

#include <math.h>

static struct kern_out make_out(enum kern_type type, void *data, int64_t ld)
{
    return (struct kern_out){.type = type, .data = data, .ld = ld};
}

/* Activations in the type that m multiplies. */
static struct kern_out out_for(const struct kern_matrix *m, void *data, int64_t ld)
{
    return make_out(kern_operand(m->layout), data, ld);
}

static struct kern_in as_in(struct kern_out y)
{
    return (struct kern_in){.type = y.type, .data = y.data, .ld = y.ld};
}

/* --- norms and projections --- */

void forward_norm(struct forward_step *s, const float *w, uint32_t types, const int32_t *pick,
                  int32_t rows)
{
    const struct forward *f = s->f;
    bool is_solo = forward_is_solo(rows);
    struct kern_thread solo = kern_solo(s->th), *th = is_solo ? &solo : s->th;

    s->h = is_solo ? f->own[s->th->rank].h : f->h;
    for (enum kern_type type = KERN_F32; type <= KERN_BF16; type++) {
        void *to = type == KERN_F32 ? (void *)s->h.f32 : (void *)s->h.bf16;
        if ((types & 1u << type) == 0)
            continue;
        FORWARD_OP_ON(s, th, rms_norm, .x = f->x, .w = w, .pick = pick, .ld = f->ld.hidden,
                      .y = make_out(type, to, f->ld.hidden), .rows = rows,
                      .n = (int32_t)f->config->hidden_size, .eps = (float)f->config->rms_norm_eps,
                      .is_plus_one = model_config_has(f->config, FAMILY_NORM_PLUS_1));
    }
    if (!is_solo)
        kern_barrier(s->th);
}

struct kern_in forward_input(const struct forward_step *s, const struct kern_matrix *m)
{
    enum kern_type type = kern_operand(m->layout);

    return (struct kern_in){.type = type,
                            .data = type == KERN_F32 ? (void *)s->h.f32 : (void *)s->h.bf16,
                            .ld = s->f->ld.hidden};
}

static void project(struct forward_step *s, const struct kern_matrix *m, const float *bias,
                    float *y, int64_t ld)
{
    FORWARD_OP(s, linear, .w = *m, .x = forward_input(s, m), .bias = bias, .y = y, .ld = ld,
               .rows = s->f->batch.rows);
}

/* x += m y */
static void add_to_stream(struct forward_step *s, const struct kern_matrix *m, struct kern_in y)
{
    FORWARD_OP(s, linear, .w = *m, .x = y, .y = s->f->x, .ld = s->f->ld.hidden,
               .rows = s->f->batch.rows, .is_added = true);
}

/* --- Gated DeltaNet --- */

/* One layer's part of every slot. */
static struct kern_slots slots_of(const struct forward *f, const struct forward_layer *l)
{
    struct kern_slots slots = f->slots;

    slots.base = (char *)slots.base + (size_t)l->index * f->slot_bytes;
    return slots;
}

static void recur(struct forward_step *s, const struct forward_layer *l,
                  const struct kern_span *spans, int32_t count, bool is_single)
{
    const struct forward *f = s->f;
    const struct weights_layer_bound *w = l->w;
    int32_t rows = f->batch.rows;
    struct kern_gdn p = {.heads = f->heads,
                         .slots = slots_of(f, l),
                         .spans = spans,
                         .span_count = count,
                         .rows = rows,
                         .qkv = f->conv,
                         .ld_qkv = f->ld.channels,
                         .g = f->g,
                         .beta = f->beta,
                         .z = f->z,
                         .ld_z = f->ld.values,
                         .norm_w = w->linear_norm,
                         .y = out_for(&w->out, f->y, f->ld.values),
                         .eps = (float)f->config->rms_norm_eps};

    if (count == 0)
        return;
    FORWARD_OP(s, conv1d, .heads = p.heads, .slots = p.slots, .spans = spans, .span_count = count,
               .rows = rows, .x = f->qkv, .ld_x = f->ld.channels, .w = w->conv, .y = f->conv,
               .ld_y = f->ld.channels);
    FORWARD_OP(s, gdn_gates, .heads = p.heads, .spans = spans, .span_count = count, .rows = rows,
               .a = f->a, .b = f->b, .ld_ab = f->ld.heads, .a_log = w->a_log, .dt_bias = w->dt_bias,
               .g = f->g, .beta = f->beta);
    if (s->rc == 0)
        s->rc = is_single ? f->ops->gdn_step(s->th, &p) : f->ops->gdn_chunk(s->th, &p);
}

static void mix_linear(struct forward_step *s, const struct forward_layer *l)
{
    const struct forward *f = s->f;
    const struct weights_layer_bound *w = l->w;

    /* The narrow ones first: one thread has them, and the others then take more of the wide. */
    project(s, &w->in_b, NULL, f->b, f->ld.heads);
    project(s, &w->in_a, NULL, f->a, f->ld.heads);
    project(s, &w->in_qkv, NULL, f->qkv, f->ld.channels);
    project(s, &w->in_z, NULL, f->z, f->ld.values);
    kern_barrier(s->th);
    recur(s, l, f->spans, f->n_single, true);
    recur(s, l, f->spans + f->n_single, f->batch.span_count - f->n_single, false);
    kern_barrier(s->th);
    add_to_stream(s, &w->out, as_in(out_for(&w->out, f->y, f->ld.values)));
    kern_barrier(s->th);
}

/* --- attention --- */

static struct kern_kv kv_of(const struct forward *f, const struct forward_layer *l)
{
    struct kern_kv kv = f->kv;

    kv.base = (char *)kv.base + (size_t)l->index * f->page_bytes;
    return kv;
}

/* What a span needs of the work buffer: those whose keys are divided over the threads do. */
static size_t work_of(const struct forward *f, const struct kern_span *span)
{
    if (span->rows > 1 || span->pos < KERN_SPLIT)
        return 0;
    return kern_attention_work_bytes(&f->kv, (int32_t)f->config->n_heads, 1, span->pos + 1);
}

/* As many spans from `from` on as the work buffer has room for. */
static int32_t group_end(const struct forward *f, int32_t from)
{
    size_t need = work_of(f, &f->batch.spans[from]);
    int32_t to = from + 1;

    while (to < f->batch.span_count && need + work_of(f, &f->batch.spans[to]) <= f->work_bytes)
        need += work_of(f, &f->batch.spans[to++]);
    return to;
}

static void attend(struct forward_step *s, const struct forward_layer *l)
{
    const struct forward *f = s->f;
    const struct forward_batch *b = &f->batch;
    int32_t dim = f->kv.head_dim;
    bool has_gate = model_config_has(f->config, FAMILY_GATE);

    for (int32_t from = 0, to; from < b->span_count; from = to) {
        to = group_end(f, from);
        FORWARD_OP(s, attention, .kv = kv_of(f, l), .spans = b->spans + from,
                   .span_count = to - from, .rows = b->rows, .q_heads = (int32_t)f->config->n_heads,
                   .q = f->rotated, .gate = has_gate ? f->q + dim : NULL, .ld_gate = f->ld.q,
                   .gate_stride = 2 * dim, .scale = 1 / sqrtf((float)dim),
                   .y = out_for(&l->w->o, f->y, f->ld.context), .work = f->work,
                   .work_bytes = f->work_bytes);
        kern_barrier(s->th);
    }
}

static void mix_attention(struct forward_step *s, const struct forward_layer *l)
{
    const struct forward *f = s->f;
    const struct weights_layer_bound *w = l->w;
    bool has_gate = model_config_has(f->config, FAMILY_GATE);

    project(s, &w->q, w->q_bias, f->q, f->ld.q);
    project(s, &w->k, w->k_bias, f->k, f->ld.kv);
    project(s, &w->v, w->v_bias, f->v, f->ld.kv);
    kern_barrier(s->th);
    FORWARD_OP(s, qk_norm_rope_write, .kv = kv_of(f, l), .spans = f->batch.spans,
               .span_count = f->batch.span_count, .rows = f->batch.rows,
               .q_heads = (int32_t)f->config->n_heads, .q = f->q, .k = f->k, .v = f->v,
               .ld_q = f->ld.q, .ld_kv = f->ld.kv, .q_stride = f->kv.head_dim * (has_gate ? 2 : 1),
               .q_w = w->q_norm, .k_w = w->k_norm, .eps = (float)f->config->rms_norm_eps,
               .is_plus_one = model_config_has(f->config, FAMILY_NORM_PLUS_1), .cos = f->cos,
               .sin = f->sin, .half = f->rotary_half, .y = f->rotated);
    kern_barrier(s->th);
    attend(s, l);
    add_to_stream(s, &w->o, as_in(out_for(&w->o, f->y, f->ld.context)));
    kern_barrier(s->th);
}

void forward_mix(struct forward_step *s, const struct forward_layer *l)
{
    forward_norm(s, l->w->input_norm, l->mixer_types, NULL, s->f->batch.rows);
    if (l->is_linear)
        mix_linear(s, l);
    else
        mix_attention(s, l);
}

/* --- feed forward --- */

/* inner = SiLU(gate h) * (up h), typed for what multiplies it. */
static struct kern_in gate_and_up(struct forward_step *s, const struct kern_matrix *gate,
                                  const struct kern_matrix *up, const struct kern_matrix *down,
                                  int64_t ld)
{
    struct kern_out inner = out_for(down, s->f->inner, ld);

    FORWARD_OP(s, linear_swiglu, .gate = *gate, .up = *up, .x = forward_input(s, gate), .y = inner,
               .rows = s->f->batch.rows);
    return as_in(inner);
}

static void feed_dense(struct forward_step *s, const struct forward_layer *l)
{
    const struct weights_layer_bound *w = l->w;
    struct kern_in inner = gate_and_up(s, &w->gate, &w->up, &w->down, s->f->ld.mlp);

    kern_barrier(s->th);
    add_to_stream(s, &w->down, inner);
    kern_barrier(s->th);
}

/* Routes all rows and copies them into the experts' order, divided or each thread for itself. */
static const struct forward_routing *route(struct forward_step *s, const struct weights_moe *moe)
{
    const struct forward *f = s->f;
    int32_t rows = f->batch.rows, top = (int32_t)f->config->moe.top_k;
    bool is_solo = forward_is_solo(rows);
    struct kern_thread solo = kern_solo(s->th), *th = is_solo ? &solo : s->th;
    const struct forward_routing *r = is_solo ? &f->own[s->th->rank].routing : &f->routing;
    struct kern_in x = forward_input(s, &moe->gate[0]);

    FORWARD_OP_ON(s, th, moe_route, .logits = f->router, .ld = f->ld.experts, .rows = rows,
                  .experts = (int32_t)f->config->moe.n_experts, .top = top,
                  .is_renormalised = f->config->moe.norm_topk_prob, .ids = r->ids,
                  .weights = r->weights, .start = r->start, .place = r->place);
    if (!is_solo)
        kern_barrier(s->th);
    FORWARD_OP_ON(s, th, moe_gather, .x = x, .y = make_out(x.type, r->sorted, f->ld.hidden),
                  .place = r->place, .rows = rows, .top = top,
                  .n = (int32_t)f->config->hidden_size);
    if (!is_solo)
        kern_barrier(s->th);
    return r;
}

/* The shared expert beside the others, in three steps with a barrier between them. */
static void begin_shared(struct forward_step *s, const struct weights_moe *moe)
{
    if (moe->shared_gate.data == NULL)
        return;
    project(s, &moe->shared_router, NULL, s->f->shared_gate, 1);
    gate_and_up(s, &moe->shared_gate, &moe->shared_up, &moe->shared_down, s->f->ld.shared);
}

static void multiply_shared(struct forward_step *s, const struct weights_moe *moe)
{
    const struct forward *f = s->f;
    struct kern_out inner = out_for(&moe->shared_down, f->inner, f->ld.shared);

    if (moe->shared_gate.data == NULL)
        return;
    FORWARD_OP(s, linear, .w = moe->shared_down, .x = as_in(inner), .y = f->shared,
               .ld = f->ld.hidden, .rows = f->batch.rows);
}

static void add_shared(struct forward_step *s, const struct weights_moe *moe)
{
    const struct forward *f = s->f;

    if (moe->shared_gate.data == NULL)
        return;
    FORWARD_OP(s, gate_mul, .x = f->shared, .gate = f->shared_gate, .ld_x = f->ld.hidden,
               .ld_gate = 1, .y = make_out(KERN_F32, f->x, f->ld.hidden), .rows = f->batch.rows,
               .n = (int32_t)f->config->hidden_size, .is_scalar = true, .is_added = true);
}

static void feed_experts(struct forward_step *s, const struct forward_layer *l)
{
    const struct forward *f = s->f;
    const struct weights_moe *moe = &l->w->moe;
    int32_t rows = f->batch.rows, top = (int32_t)f->config->moe.top_k;
    int32_t experts = (int32_t)f->config->moe.n_experts;
    struct kern_out inner = out_for(&moe->down[0], f->expert_inner, f->ld.expert);

    project(s, &moe->router, NULL, f->router, f->ld.experts);
    begin_shared(s, moe);
    kern_barrier(s->th);
    const struct forward_routing *r = route(s, moe);
    FORWARD_OP(s, moe_linear, .w = moe->gate, .up = moe->up,
               .x = {kern_operand(moe->gate[0].layout), r->sorted, f->ld.hidden}, .y = inner,
               .start = r->start, .experts = experts, .sorted_rows = rows * top);
    multiply_shared(s, moe);
    kern_barrier(s->th);
    FORWARD_OP(s, moe_linear, .w = moe->down, .x = as_in(inner),
               .y = make_out(KERN_F32, f->expert_out, f->ld.hidden), .start = r->start,
               .experts = experts, .sorted_rows = rows * top);
    add_shared(s, moe);
    kern_barrier(s->th);
    FORWARD_OP(s, moe_combine, .x = f->expert_out, .ld_x = f->ld.hidden, .place = r->place,
               .weights = r->weights, .y = f->x, .ld_y = f->ld.hidden, .rows = rows, .top = top,
               .n = (int32_t)f->config->hidden_size);
    kern_barrier(s->th);
}

void forward_feed(struct forward_step *s, const struct forward_layer *l)
{
    forward_norm(s, l->w->post_norm, l->mlp_types, NULL, s->f->batch.rows);
    if (l->is_moe)
        feed_experts(s, l);
    else
        feed_dense(s, l);
}
