/* The memory of a forward pass: measured, then taken, by the same walk. */
#include "base/check.h"
#include "kernels/rope.h"
#include "worker/model/forward_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>

#define MAP_UNIT ((uint64_t)4096)
#define ROW_UNIT 32 /* elements: rows of bf16 start on KERN_ALIGN, too */

/* base NULL: only measured. */
struct arena {
    char *base;
    uint64_t used, most;
};

static uint64_t round_up(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static void *take(struct arena *a, int64_t count, size_t size)
{
    char *at = a->base == NULL ? NULL : a->base + a->used;

    a->used += round_up((uint64_t)count * size, KERN_ALIGN);
    if (a->used > a->most)
        a->most = a->used;
    return count == 0 ? NULL : at;
}

#define TAKE(arena, to, count) ((to) = take(arena, count, sizeof *(to)))

/* --- widths --- */

static int64_t width_of(uint64_t n)
{
    return (int64_t)round_up(n, ROW_UNIT);
}

static void set_widths(struct forward *f)
{
    const struct model_config *c = f->config;
    uint64_t context = (uint64_t)c->n_heads * c->head_dim;
    uint64_t values = (uint64_t)c->linear.n_value_heads * c->linear.value_dim;
    uint64_t keys = (uint64_t)c->linear.n_key_heads * c->linear.key_dim;

    f->ld = (struct forward_widths){
        .hidden = width_of(c->hidden_size),
        .channels = width_of(2 * keys + values),
        .values = width_of(values),
        .heads = width_of(c->linear.n_value_heads),
        .q = width_of(model_config_has(c, FAMILY_GATE) ? 2 * context : context),
        .kv = width_of((uint64_t)c->n_kv_heads * c->head_dim),
        .context = width_of(context),
        .mlp = width_of(c->intermediate_size),
        .shared = width_of(c->moe.shared_intermediate_size),
        .experts = width_of(c->moe.n_experts),
        .expert = width_of(c->moe.intermediate_size),
        .vocab = width_of(c->vocab_size),
    };
}

static int set_attention(struct forward *f, struct err *e)
{
    const struct model_config *c = f->config;

    f->kv = (struct kern_kv){.type = f->shape.kv_type,
                             .page_tokens = f->shape.page_tokens,
                             .heads = (int32_t)c->n_kv_heads,
                             .head_dim = (int32_t)c->head_dim};
    f->page_bytes = round_up(kern_kv_page_bytes(&f->kv), KERN_ALIGN);
    if (f->page_bytes == 0)
        return err_set(e, ENOTSUP,
                       "attention: found %u key heads of %u in pages of %d tokens, expected heads "
                       "of at most %d in pages of 16, 32 or 64",
                       c->n_kv_heads, c->head_dim, f->shape.page_tokens, KERN_HEAD_MAX);
    size_t one = kern_attention_work_bytes(&f->kv, (int32_t)c->n_heads, 1, f->shape.context);
    size_t all = one * (size_t)f->shape.spans;
    f->work_bytes = all < FORWARD_WORK_BYTES || f->shape.spans == 1 ? all
                    : one > FORWARD_WORK_BYTES                      ? one
                                                                    : FORWARD_WORK_BYTES;
    f->rotary_half = (int32_t)c->rope.rotated / 2;
    f->bytes.page = round_up((uint64_t)f->n_attention * f->page_bytes, MAP_UNIT);
    return 0;
}

static int set_linear(struct forward *f, struct err *e)
{
    const struct model_config *c = f->config;

    f->heads = (struct kern_gdn_heads){.hk = (int32_t)c->linear.n_key_heads,
                                       .hv = (int32_t)c->linear.n_value_heads,
                                       .dk = (int32_t)c->linear.key_dim,
                                       .dv = (int32_t)c->linear.value_dim,
                                       .conv = (int32_t)c->linear.conv_width};
    f->slot_bytes = kern_gdn_slot_bytes(&f->heads);
    if (f->slot_bytes == 0)
        return err_set(e, ENOTSUP,
                       "DeltaNet: found %d value heads of %d, key heads of %d, a convolution of "
                       "%d, expected at most 1024, %d, %d and %d",
                       f->heads.hv, f->heads.dv, f->heads.dk, f->heads.conv, KERN_HEAD_MAX,
                       KERN_HEAD_MAX, KERN_CONV_MAX);
    f->bytes.slot = round_up((uint64_t)f->n_linear * f->slot_bytes + sizeof(bool), MAP_UNIT);
    return 0;
}

static int check_shape(const struct model_config *c, const struct forward_shape *s, struct err *e)
{
    CHECK(s->rows >= 1);
    CHECK(s->spans >= 1);
    CHECK(s->picks >= 0);
    CHECK(s->threads >= 1 && s->threads <= KERN_THREADS_MAX);
    if (s->context < 1 || (uint32_t)s->context > c->max_positions)
        return err_set(e, ENOTSUP, "context: found %d positions, expected 1 to %u, the model's",
                       s->context, c->max_positions);
    if (c->moe.n_experts > KERN_EXPERTS_MAX || c->moe.top_k > KERN_TOP_MAX)
        return err_set(e, ENOTSUP,
                       "experts: found %u of which %u take a token, expected at most %d and %d",
                       c->moe.n_experts, c->moe.top_k, KERN_EXPERTS_MAX, KERN_TOP_MAX);
    return 0;
}

/* All of f that follows from config and shape alone, but for the pointers. */
static int set_numbers(struct forward *f, const struct model_config *c,
                       const struct forward_shape *shape, struct err *e)
{
    *f = (struct forward){.config = c, .shape = *shape};
    int rc = check_shape(c, shape, e);

    for (uint32_t i = 0; i < c->n_layers; i++)
        *(c->layers[i].kind == LAYER_LINEAR ? &f->n_linear : &f->n_attention) += 1;
    set_widths(f);
    if (rc == 0 && f->n_attention > 0)
        rc = set_attention(f, e);
    if (rc == 0 && f->n_linear > 0)
        rc = set_linear(f, e);
    return rc;
}

/* --- pointers --- */

static void take_rows(struct arena *a, struct forward_rows *h, const struct forward *f,
                      int64_t rows)
{
    TAKE(a, h->f32, rows * f->ld.hidden);
    TAKE(a, h->bf16, rows * f->ld.hidden);
}

static void take_routing(struct arena *a, struct forward_routing *r, const struct forward *f,
                         int64_t rows)
{
    int64_t pairs = rows * f->config->moe.top_k;

    TAKE(a, r->ids, pairs);
    TAKE(a, r->place, pairs);
    TAKE(a, r->weights, pairs);
    TAKE(a, r->start, f->config->moe.n_experts + 1);
    r->sorted = take(a, pairs * f->ld.hidden, sizeof(float));
}

static void take_linear(struct arena *a, struct forward *f)
{
    int64_t rows = f->shape.rows;

    TAKE(a, f->qkv, rows * f->ld.channels);
    TAKE(a, f->conv, rows * f->ld.channels);
    TAKE(a, f->z, rows * f->ld.values);
    TAKE(a, f->a, rows * f->ld.heads);
    TAKE(a, f->b, rows * f->ld.heads);
    TAKE(a, f->g, rows * f->heads.hv);
    TAKE(a, f->beta, rows * f->heads.hv);
}

static void take_attention(struct arena *a, struct forward *f)
{
    int64_t rows = f->shape.rows;

    TAKE(a, f->q, rows * f->ld.q);
    TAKE(a, f->k, rows * f->ld.kv);
    TAKE(a, f->v, rows * f->ld.kv);
    TAKE(a, f->rotated, rows * f->ld.context);
    f->work = take(a, (int64_t)f->work_bytes, 1);
}

static void take_inner(struct arena *a, struct forward *f)
{
    int64_t rows = f->shape.rows, pairs = rows * f->config->moe.top_k;
    int64_t widest = f->ld.mlp > f->ld.shared ? f->ld.mlp : f->ld.shared;

    f->inner = take(a, rows * widest, sizeof(float));
    if (pairs == 0)
        return;
    TAKE(a, f->router, rows * f->ld.experts);
    TAKE(a, f->shared_gate, rows);
    TAKE(a, f->shared, rows * f->ld.hidden);
    take_routing(a, &f->routing, f, rows);
    f->expert_inner = take(a, pairs * f->ld.expert, sizeof(float));
    TAKE(a, f->expert_out, pairs * f->ld.hidden);
}

static void take_whole_step(struct arena *a, struct forward *f)
{
    TAKE(a, f->layers, f->config->n_layers);
    TAKE(a, f->spans, f->shape.spans);
    TAKE(a, f->own, f->shape.threads);
    TAKE(a, f->inv_freq, f->rotary_half);
    TAKE(a, f->cos, (int64_t)f->shape.rows * f->rotary_half);
    TAKE(a, f->sin, (int64_t)f->shape.rows * f->rotary_half);
    TAKE(a, f->x, f->shape.rows * f->ld.hidden);
    take_rows(a, &f->h, f, f->shape.rows);
    f->y = take(a, f->shape.rows * (f->ld.values > f->ld.context ? f->ld.values : f->ld.context),
                sizeof(float));
    int64_t picks = f->config->is_headless ? 0 : f->shape.picks;
    TAKE(a, f->logits, picks * f->ld.vocab);
    TAKE(a, f->lse, picks);
    TAKE(a, f->best, picks);
    for (int32_t i = 0; i < f->shape.threads; i++) {
        struct forward_own unplaced, *own = a->base == NULL ? &unplaced : &f->own[i];
        take_rows(a, &own->h, f, FORWARD_SOLO_ROWS);
        if (f->config->moe.n_experts > 0)
            take_routing(a, &own->routing, f, FORWARD_SOLO_ROWS);
    }
}

/* What the layers of each kind use is never alive together: one place for all of them. */
static void take_all(struct arena *a, struct forward *f)
{
    take(a, 1, sizeof *f); /* itself */
    take_whole_step(a, f);
    uint64_t shared = a->used;
    if (f->n_linear > 0)
        take_linear(a, f);
    a->used = shared;
    if (f->n_attention > 0)
        take_attention(a, f);
    a->used = shared;
    take_inner(a, f);
}

static uint64_t measure_activations(struct forward *f)
{
    struct arena a = {0};

    take_all(&a, f);
    return round_up(a.most, MAP_UNIT);
}

int forward_measure(const struct model_config *c, const struct forward_shape *shape,
                    struct forward_bytes *out, struct err *e)
{
    struct forward f;
    int rc = set_numbers(&f, c, shape, e);

    *out = f.bytes;
    if (rc != 0)
        return rc;
    out->activations = measure_activations(&f);
    return 0;
}

/* --- taking it --- */

/* Zeroed, touched page by page as it is used. */
static void *map_memory(uint64_t bytes, const char *what, struct err *e)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        err_set(e, ENOMEM, "forward: found no memory for %" PRIu64 " bytes of %s", bytes, what);
        return NULL;
    }
    madvise(p, bytes, MADV_HUGEPAGE); /* a wish */
    return p;
}

static uint32_t type_of(const struct kern_matrix *m)
{
    return m->data == NULL ? 0 : 1u << kern_operand(m->layout);
}

static void set_layers(struct forward *f)
{
    int32_t n_attention = 0, n_linear = 0;

    for (uint32_t i = 0; i < f->config->n_layers; i++) {
        const struct weights_layer_bound *w = &f->weights->layers[i];
        struct forward_layer *l = &f->layers[i];
        const struct weights_moe *moe = &w->moe;
        *l = (struct forward_layer){.w = w,
                                    .is_linear = f->config->layers[i].kind == LAYER_LINEAR,
                                    .is_moe = f->config->layers[i].is_moe};
        l->index = l->is_linear ? n_linear++ : n_attention++;
        l->mixer_types = l->is_linear ? type_of(&w->in_qkv) | type_of(&w->in_z) |
                                            type_of(&w->in_b) | type_of(&w->in_a)
                                      : type_of(&w->q) | type_of(&w->k) | type_of(&w->v);
        l->mlp_types = type_of(&w->gate);
        if (l->is_moe)
            l->mlp_types = type_of(&moe->router) | type_of(&moe->gate[0]) |
                           type_of(&moe->shared_gate) | type_of(&moe->shared_router);
    }
}

static int set_rotary(struct forward *f, struct err *e)
{
    static const enum kern_rope_kind kinds[] = {
        [ROPE_DEFAULT] = KERN_ROPE_DEFAULT,
        [ROPE_LINEAR] = KERN_ROPE_LINEAR,
        [ROPE_LLAMA3] = KERN_ROPE_LLAMA3,
        [ROPE_YARN] = KERN_ROPE_YARN,
    };
    const struct model_rope *r = &f->config->rope;
    struct kern_rope_config rope = {.kind = kinds[r->kind],
                                    .rotated = (int32_t)r->rotated,
                                    .theta = r->theta,
                                    .factor = r->factor,
                                    .original_positions = r->original_positions,
                                    .low_freq_factor = r->low_freq_factor,
                                    .high_freq_factor = r->high_freq_factor,
                                    .beta_fast = r->beta_fast,
                                    .beta_slow = r->beta_slow,
                                    .attention_factor = r->attention_factor,
                                    .mscale = r->mscale,
                                    .mscale_all_dim = r->mscale_all_dim,
                                    .is_truncated = r->is_truncated};

    if (kern_rope_frequencies(&rope, f->inv_freq, &f->rotary_scaling) != 0)
        return err_set(e, ENOTSUP,
                       "rotary embedding: found %d dimensions with theta %g and factor "
                       "%g, expected a table for them",
                       rope.rotated, rope.theta, rope.factor);
    return 0;
}

static int map_caches(struct forward *f, struct err *e)
{
    if (f->n_attention > 0) {
        CHECK(f->shape.pages >= 1);
        f->kv.pages = f->shape.pages;
        f->kv.stride = f->bytes.page;
        f->kv.base = map_memory(f->bytes.page * (uint64_t)f->shape.pages, "KV pages", e);
        if (f->kv.base == NULL)
            return -ENOMEM;
    }
    if (f->n_linear > 0) {
        CHECK(f->shape.slots >= 1);
        f->slots.count = f->shape.slots;
        f->slots.stride = f->bytes.slot;
        f->slots.base = map_memory(f->bytes.slot * (uint64_t)f->shape.slots, "DeltaNet states", e);
        if (f->slots.base == NULL)
            return -ENOMEM;
    }
    return 0;
}

int forward_new(struct forward **out, const struct model_config *c, const struct weights *w,
                const struct forward_shape *shape, const struct kern_ops *ops,
                struct kern_pool *pool, struct err *e)
{
    struct forward numbers;

    *out = NULL;
    CHECK(kern_pool_size(pool) == shape->threads);
    CHECK(w->n_layers == c->n_layers);
    int rc = set_numbers(&numbers, c, shape, e);
    if (rc != 0)
        return rc;
    numbers.bytes.activations = measure_activations(&numbers);
    struct forward *f = map_memory(numbers.bytes.activations, "activations", e);
    if (f == NULL)
        return -ENOMEM;
    *f = numbers;
    f->weights = w;
    f->ops = ops;
    f->pool = pool;
    take_all(&(struct arena){.base = (char *)f}, f);
    set_layers(f);
    if (f->n_attention > 0)
        rc = set_rotary(f, e);
    if (rc == 0)
        rc = map_caches(f, e);
    if (rc != 0)
        forward_free(&f);
    *out = f;
    return rc;
}

void forward_free(struct forward **f)
{
    struct forward *gone = *f;

    *f = NULL;
    if (gone == NULL)
        return;
    if (gone->kv.base != NULL)
        munmap(gone->kv.base, gone->bytes.page * (uint64_t)gone->shape.pages);
    if (gone->slots.base != NULL)
        munmap(gone->slots.base, gone->bytes.slot * (uint64_t)gone->shape.slots);
    munmap(gone, gone->bytes.activations);
}
