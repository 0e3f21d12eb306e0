#include "worker/model/weights_plan.h"

#include "base/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIMS_MAX 3

enum layer_has {
    HAS_ATTENTION = 1 << 0,
    HAS_BIAS = 1 << 1,
    HAS_QK_NORM = 1 << 2,
    HAS_LINEAR = 1 << 3,
    HAS_SPLIT = 1 << 4,
    HAS_FUSED = 1 << 5,
    HAS_MLP = 1 << 6,
    HAS_MOE = 1 << 7,
    HAS_STACK = 1 << 8,
    HAS_SHARED = 1 << 9,
};

/* X(constant, value for config c) */
#define DIMS(X) \
    X(DIM_NONE, 0) \
    X(DIM_ONE, 1) \
    X(DIM_VOCAB, c->vocab_size) \
    X(DIM_HIDDEN, c->hidden_size) \
    X(DIM_MLP, c->intermediate_size) \
    X(DIM_HEAD, c->head_dim) \
    X(DIM_CONTEXT, (uint64_t)c->n_heads * c->head_dim) \
    X(DIM_Q, (uint64_t)c->n_heads * c->head_dim * (model_config_has(c, FAMILY_GATE) ? 2 : 1)) \
    X(DIM_KV, (uint64_t)c->n_kv_heads * c->head_dim) \
    X(DIM_WIDTH, c->linear.conv_width) \
    X(DIM_VALUE, c->linear.value_dim) \
    X(DIM_VALUE_HEADS, c->linear.n_value_heads) \
    X(DIM_BA, 2 * (uint64_t)c->linear.n_value_heads) \
    X(DIM_VALUES, (uint64_t)c->linear.n_value_heads * c->linear.value_dim) \
    X(DIM_CHANNELS, (uint64_t)c->linear.n_key_heads * c->linear.key_dim * 2 + \
                        (uint64_t)c->linear.n_value_heads * c->linear.value_dim) \
    X(DIM_QKVZ, (uint64_t)c->linear.n_key_heads * c->linear.key_dim * 2 + \
                    (uint64_t)c->linear.n_value_heads * c->linear.value_dim * 2) \
    X(DIM_EXPERTS, c->moe.n_experts) \
    X(DIM_EXPERT, c->moe.intermediate_size) \
    X(DIM_GATE_UP, 2 * (uint64_t)c->moe.intermediate_size) \
    X(DIM_SHARED, c->moe.shared_intermediate_size)

#define X(constant, value) constant,
enum dim { DIMS(X) DIMS_N };
#undef X

struct row {
    const char *name;
    uint32_t has;
    enum dim dims[DIMS_MAX]; /* up to the first DIM_NONE */
};

#define X(constant, name, has, ...) {name, has, {__VA_ARGS__}},
static const struct row layer_rows[LAYER_WEIGHTS_N] = {LAYER_WEIGHTS(X)};
#undef X
#define X(constant, name, ...) {name, 0, {__VA_ARGS__}},
static const struct row expert_rows[EXPERT_WEIGHTS_N] = {EXPERT_WEIGHTS(X)};
#undef X
static const struct row embed_row = {"embed_tokens.weight", 0, {DIM_VOCAB, DIM_HIDDEN}};
static const struct row norm_row = {"norm.weight", 0, {DIM_HIDDEN}};
static const struct row head_row = {"lm_head.weight", 0, {DIM_VOCAB, DIM_HIDDEN}};

struct binder {
    struct weights_plan *plan;
    const struct model_config *config;
    const struct safetensors *table;
    const char *prefix;
    bool *is_used; /* [table->n_tensors] */
    uint64_t dims[DIMS_N];
};

/* --- one weight --- */

static void describe_expected(const struct binder *b, const struct row *row,
                              char out[TENSOR_TEXT_MAX])
{
    int n = snprintf(out, TENSOR_TEXT_MAX, "[");

    for (unsigned i = 0; i < DIMS_MAX && row->dims[i] != DIM_NONE; i++)
        n += snprintf(out + n, (size_t)(TENSOR_TEXT_MAX - n), "%s%" PRIu64, i > 0 ? ", " : "",
                      b->dims[row->dims[i]]);
    snprintf(out + n, (size_t)(TENSOR_TEXT_MAX - n), "]");
}

static bool has_shape(const struct binder *b, const struct row *row, const struct tensor *t)
{
    unsigned n = 0;

    while (n < DIMS_MAX && row->dims[n] != DIM_NONE) {
        if (n >= t->n_dims || t->shape[n] != b->dims[row->dims[n]])
            return false;
        n++;
    }
    return n == t->n_dims;
}

static int bind_tensor(struct binder *b, const char *name, const struct row *row,
                       const struct tensor **out, struct err *e)
{
    const struct tensor *t = safetensors_find(b->table, name);
    char found[TENSOR_TEXT_MAX], expected[TENSOR_TEXT_MAX];

    describe_expected(b, row, expected);
    if (t == NULL)
        return err_set(e, EINVAL, "%s: found none, expected a tensor of %s", name, expected);
    tensor_describe(t, found);
    const char *file = t->file < b->table->n_files ? b->table->files[t->file].name : "checkpoint";
    if (!has_shape(b, row, t))
        return err_set(e, EINVAL, "%s: found %s in %s, expected %s", name, found, file, expected);
    if (t->dtype != TENSOR_F32 && t->dtype != TENSOR_F16 && t->dtype != TENSOR_BF16)
        return err_set(e, EINVAL, "%s: found %s in %s, expected F32, F16 or BF16", name, found,
                       file);
    bool *is_used = &b->is_used[t - b->table->tensors];
    CHECK(!*is_used);
    *is_used = true;
    b->plan->n_bound++;
    b->plan->bytes += t->bytes; /* no more than its file has */
    *out = t;
    return 0;
}

/* --- layers --- */

static bool layer_has_tensor(const struct binder *b, uint32_t layer, const char *name)
{
    char full[SAFETENSORS_NAME_MAX + 1];

    snprintf(full, sizeof full, "%slayers.%" PRIu32 ".%s", b->prefix, layer, name);
    return safetensors_find(b->table, full) != NULL;
}

static uint32_t list_parts(const struct binder *b, uint32_t layer)
{
    const struct model_config *c = b->config;
    uint32_t has = 0;

    if (c->layers[layer].kind == LAYER_ATTENTION)
        has |= HAS_ATTENTION | (model_config_has(c, FAMILY_QKV_BIAS) ? HAS_BIAS : 0) |
               (model_config_has(c, FAMILY_QK_NORM) ? HAS_QK_NORM : 0);
    else
        has |= HAS_LINEAR | (model_config_has(c, FAMILY_FUSED) ? HAS_FUSED : HAS_SPLIT);
    if (!c->layers[layer].is_moe)
        return has | HAS_MLP;
    if (model_config_has(c, FAMILY_SHARED))
        has |= HAS_SHARED;
    if (layer_has_tensor(b, layer, layer_rows[WEIGHT_EXPERTS_GATE_UP].name) ||
        layer_has_tensor(b, layer, layer_rows[WEIGHT_EXPERTS_DOWN].name))
        has |= HAS_STACK;
    return has | HAS_MOE;
}

static int bind_expert(struct binder *b, uint32_t layer, uint32_t expert, struct err *e)
{
    const struct tensor **to = b->plan->layers[layer].experts[expert];
    char name[SAFETENSORS_NAME_MAX + 1];
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < EXPERT_WEIGHTS_N; i++) {
        snprintf(name, sizeof name, "%slayers.%" PRIu32 ".mlp.experts.%" PRIu32 ".%s", b->prefix,
                 layer, expert, expert_rows[i].name);
        rc = bind_tensor(b, name, &expert_rows[i], &to[i], e);
    }
    return rc;
}

static int bind_experts(struct binder *b, uint32_t layer, struct err *e)
{
    struct weights_layer *l = &b->plan->layers[layer];
    uint32_t n = b->config->moe.n_experts;
    int rc = 0;

    l->experts = calloc(n, sizeof *l->experts);
    CHECK(l->experts != NULL);
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        rc = bind_expert(b, layer, i, e);
    return rc;
}

static int bind_layer(struct binder *b, uint32_t layer, struct err *e)
{
    uint32_t has = list_parts(b, layer);
    char name[SAFETENSORS_NAME_MAX + 1];
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < LAYER_WEIGHTS_N; i++) {
        if ((layer_rows[i].has & has) != layer_rows[i].has)
            continue;
        snprintf(name, sizeof name, "%slayers.%" PRIu32 ".%s", b->prefix, layer,
                 layer_rows[i].name);
        rc = bind_tensor(b, name, &layer_rows[i], &b->plan->layers[layer].at[i], e);
    }
    if (rc == 0 && (has & HAS_MOE) != 0 && (has & HAS_STACK) == 0)
        rc = bind_experts(b, layer, e);
    return rc;
}

/* --- the whole --- */

/* The text model's tensors: beside a vision tower, below a head, or for themselves. */
static const char *find_prefix(const struct model_config *c, const struct safetensors *s)
{
    static const char *const prefixes[] = {"model.language_model.", "model.", ""};
    char name[SAFETENSORS_NAME_MAX + 1];

    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        snprintf(name, sizeof name, "%s%s", prefixes[i], embed_row.name);
        if (safetensors_find(s, name) != NULL)
            return prefixes[i];
    }
    return c->has_vision ? "model.language_model." : "model.";
}

static int bind_outer(struct binder *b, struct err *e)
{
    char name[SAFETENSORS_NAME_MAX + 1];

    snprintf(name, sizeof name, "%s%s", b->prefix, embed_row.name);
    int rc = bind_tensor(b, name, &embed_row, &b->plan->embed, e);
    snprintf(name, sizeof name, "%s%s", b->prefix, norm_row.name);
    if (rc == 0)
        rc = bind_tensor(b, name, &norm_row, &b->plan->final_norm, e);
    if (rc != 0 || b->config->is_headless)
        return rc;
    if (b->config->is_tied)
        b->plan->head = b->plan->embed;
    else
        rc = bind_tensor(b, head_row.name, &head_row, &b->plan->head, e);
    return rc;
}

static bool starts_with(const char *name, const char *start)
{
    return strncmp(name, start, strlen(start)) == 0;
}

static enum aside_kind classify(const struct model_config *c, const char *name)
{
    static const char rotary[] = ".rotary_emb.inv_freq";
    size_t len = strlen(name), n = sizeof rotary - 1;

    if (starts_with(name, "mtp."))
        return ASIDE_MTP;
    if (starts_with(name, "model.visual.") || starts_with(name, "visual."))
        return ASIDE_VISION;
    if (strcmp(name, head_row.name) == 0 && (c->is_headless || c->is_tied))
        return c->is_headless ? ASIDE_HEAD : ASIDE_TIED;
    if (len > n && strcmp(name + len - n, rotary) == 0)
        return ASIDE_ROTARY;
    return ASIDE_UNEXPECTED;
}

static void count_aside(struct binder *b)
{
    for (size_t i = 0; i < b->table->n_tensors; i++) {
        const struct tensor *t = &b->table->tensors[i];
        if (b->is_used[i])
            continue;
        enum aside_kind kind = classify(b->config, t->name);
        if (b->plan->aside[kind].n++ == 0)
            b->plan->aside[kind].first = t->name;
        b->plan->aside[kind].bytes += t->bytes;
    }
}

int weights_plan_make(struct weights_plan *p, const struct model_config *c, const struct safetensors *s,
                      struct err *e)
{
    *p = (struct weights_plan){.n_layers = c->n_layers};
    struct binder b = {
        .plan = p,
        .config = c,
        .table = s,
        .prefix = find_prefix(c, s),
        .is_used = calloc(s->n_tensors + 1, sizeof *b.is_used),
#define X(constant, value) [constant] = value,
        .dims = {DIMS(X)},
#undef X
    };
    p->layers = calloc(c->n_layers, sizeof *p->layers);
    CHECK(b.is_used != NULL);
    CHECK(p->layers != NULL);
    int rc = bind_outer(&b, e);
    for (uint32_t i = 0; rc == 0 && i < c->n_layers; i++)
        rc = bind_layer(&b, i, e);
    if (rc == 0)
        count_aside(&b);
    else
        weights_plan_free(p);
    free(b.is_used);
    return rc;
}

void weights_plan_free(struct weights_plan *p)
{
    for (uint32_t i = 0; p->layers != NULL && i < p->n_layers; i++)
        free(p->layers[i].experts);
    free(p->layers);
    *p = (struct weights_plan){0};
}

void weights_plan_describe(const struct weights_plan *p, struct buf *out)
{
#define X(constant, text) text,
    static const char *const texts[ASIDE_KINDS_N] = { ASIDE_KINDS(X) };
#undef X

    buf_printf(out, "%zu tensors, %" PRIu64 " bytes", p->n_bound, p->bytes);
    for (unsigned i = 0; i < ASIDE_KINDS_N; i++)
        if (p->aside[i].n > 0)
            buf_printf(out, "; left aside: %zu %s (%s%s), %" PRIu64 " bytes", p->aside[i].n,
                       texts[i], p->aside[i].first, p->aside[i].n > 1 ? ", ..." : "",
                       p->aside[i].bytes);
}
