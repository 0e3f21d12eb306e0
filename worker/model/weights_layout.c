#include "worker/model/weights_layout.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* The model is walked twice in the same order: once to list the parts, once to point into a block
 * that has them. What a layer has is what the plan found. */
struct walk {
    const struct model_config *config;
    enum weights_mode mode;
    struct weights_layout *list; /* NULL: pointing */
    const char *block;           /* NULL: listing */
    uint64_t used;
    int rc;
    struct err *e;
};

enum kern_source weights_source_type(const struct tensor *t)
{
    CHECK(t->dtype == TENSOR_F32 || t->dtype == TENSOR_F16 || t->dtype == TENSOR_BF16);
    return t->dtype == TENSOR_F32   ? KERN_SOURCE_F32
           : t->dtype == TENSOR_F16 ? KERN_SOURCE_F16
                                    : KERN_SOURCE_BF16;
}

/* --- the list --- */

static void *grow(void *list, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return list;
    *cap = *cap == 0 ? 256 : *cap * 2;
    list = reallocarray(list, *cap, size);
    CHECK(list != NULL); /* bounded by the tensors of the plan and the experts of the config */
    return list;
}

static void add_part(struct weights_layout *l, const struct weights_part *part)
{
    l->parts = grow(l->parts, l->n_parts, &l->cap_parts, sizeof *l->parts);
    l->parts[l->n_parts++] = *part;
}

static void begin_source(struct walk *w, const struct tensor *t, uint64_t cols)
{
    struct weights_layout *l = w->list;

    if (l == NULL || w->rc != 0)
        return;
    l->sources = grow(l->sources, l->n_sources, &l->cap_sources, sizeof *l->sources);
    l->sources[l->n_sources++] =
        (struct weights_source){.tensor = t, .cols = cols, .first_run = l->n_runs};
}

/* The next rows of the tensor begun last. part counts back from the newest: 0. */
static void add_run(struct walk *w, uint32_t rows, uint32_t part, uint32_t to)
{
    struct weights_layout *l = w->list;

    if (l == NULL || w->rc != 0)
        return;
    struct weights_source *s = &l->sources[l->n_sources - 1];
    l->runs = grow(l->runs, l->n_runs, &l->cap_runs, sizeof *l->runs);
    struct weights_run *run = &l->runs[l->n_runs++];
    *run = (struct weights_run){.rows = rows, .part = l->n_parts - 1 - part, .to = to};
    if (s->n_runs++ > 0)
        run->first = run[-1].first + run[-1].rows;
}

/* --- parts --- */

/* Room of that many bytes; NULL while only listing. */
static const void *place_bytes(struct walk *w, uint64_t bytes)
{
    uint64_t offset = w->used, end;

    if (!size_add(offset, bytes, &end) || end > UINT64_MAX - KERN_ALIGN) {
        if (w->rc == 0)
            w->rc = err_set(w->e, EOVERFLOW, "weights: found more than 2^64 bytes");
        return NULL;
    }
    w->used = (end + KERN_ALIGN - 1) / KERN_ALIGN * KERN_ALIGN;
    return w->block == NULL ? NULL : w->block + offset;
}

static void place_matrix(struct walk *w, struct kern_matrix *to, const char *name,
                         enum kern_layout layout, uint64_t rows, uint64_t cols)
{
    size_t bytes = rows > INT32_MAX || cols > INT32_MAX
                       ? 0
                       : kern_matrix_bytes(layout, (int64_t)rows, (int64_t)cols);

    if (bytes == 0 && w->rc == 0)
        w->rc = err_set(w->e, EINVAL,
                        "%s: found a matrix of [%" PRIu64 ", %" PRIu64
                        "], expected no more than the kernels take",
                        name, rows, cols);
    if (w->rc != 0)
        return;
    if (w->list != NULL)
        add_part(w->list, &(struct weights_part){w->used, FORM_MATRIX, layout, (uint32_t)rows,
                                                 (uint32_t)cols});
    *to = (struct kern_matrix){layout, (int32_t)rows, (int32_t)cols, place_bytes(w, bytes)};
}

static enum kern_layout choose_layout(const struct walk *w, const struct tensor *t)
{
    if (w->mode == WEIGHTS_AUTO)
        return t->dtype == TENSOR_BF16 ? KERN_LAYOUT_B16 : KERN_LAYOUT_F32;
    return w->mode == WEIGHTS_BF16 ? KERN_LAYOUT_B16 : KERN_LAYOUT_F32;
}

/* One layout for what the kernels multiply together: the wider one. */
static enum kern_layout choose_layout_of(const struct walk *w, const struct tensor *a,
                                         const struct tensor *b)
{
    return choose_layout(w, a) == KERN_LAYOUT_F32 ? KERN_LAYOUT_F32 : choose_layout(w, b);
}

/* A whole tensor [rows, cols]. */
static void place_tensor(struct walk *w, struct kern_matrix *to, const struct tensor *t,
                         enum kern_layout layout)
{
    place_matrix(w, to, t->name, layout, t->shape[0], t->shape[1]);
    begin_source(w, t, t->shape[1]);
    add_run(w, (uint32_t)t->shape[0], 0, 0);
}

static void place_floats(struct walk *w, const float **to, const struct tensor *t,
                         enum weights_form form, uint64_t rows, uint64_t cols)
{
    if (w->list != NULL)
        add_part(w->list, &(struct weights_part){w->used, form, KERN_LAYOUT_F32, (uint32_t)rows,
                                                 (uint32_t)cols});
    *to = place_bytes(w, rows * cols * sizeof(float)); /* as many as the plan found elements */
    begin_source(w, t, cols);
    add_run(w, (uint32_t)rows, 0, 0);
}

/* --- layers --- */

#define LAYER_VECTORS(X) \
    X(input_norm, WEIGHT_INPUT_NORM) \
    X(post_norm, WEIGHT_POST_NORM) \
    X(q_bias, WEIGHT_Q_BIAS) \
    X(k_bias, WEIGHT_K_BIAS) \
    X(v_bias, WEIGHT_V_BIAS) \
    X(q_norm, WEIGHT_Q_NORM) \
    X(k_norm, WEIGHT_K_NORM) \
    X(a_log, WEIGHT_A_LOG) \
    X(dt_bias, WEIGHT_DT_BIAS) \
    X(linear_norm, WEIGHT_LINEAR_NORM)

#define LAYER_MATRICES(X) \
    X(q, WEIGHT_Q) \
    X(k, WEIGHT_K) \
    X(v, WEIGHT_V) \
    X(o, WEIGHT_O) \
    X(in_qkv, WEIGHT_IN_QKV) \
    X(in_z, WEIGHT_IN_Z) \
    X(in_b, WEIGHT_IN_B) \
    X(in_a, WEIGHT_IN_A) \
    X(out, WEIGHT_LINEAR_OUT) \
    X(down, WEIGHT_DOWN) \
    X(moe.router, WEIGHT_ROUTER) \
    X(moe.shared_down, WEIGHT_SHARED_DOWN) \
    X(moe.shared_router, WEIGHT_SHARED_ROUTER)

/* X(gate, its weight, up, its weight) */
#define LAYER_PAIRS(X) \
    X(gate, WEIGHT_GATE, up, WEIGHT_UP) \
    X(moe.shared_gate, WEIGHT_SHARED_GATE, moe.shared_up, WEIGHT_SHARED_UP)

/* Per key head [q dk | k dk | v r*dv | z r*dv]; the kernels' channels are [Q | K | V]. */
static void place_fused(struct walk *w, const struct weights_layer *from,
                        struct weights_layer_bound *to)
{
    const struct tensor *qkvz = from->at[WEIGHT_IN_QKVZ], *ba = from->at[WEIGHT_IN_BA];
    uint32_t hk = w->config->linear.n_key_heads, hv = w->config->linear.n_value_heads;
    uint32_t dk = w->config->linear.key_dim, r = hv / hk, values = r * w->config->linear.value_dim;
    uint64_t cols = qkvz->shape[1];

    place_matrix(w, &to->in_qkv, qkvz->name, choose_layout(w, qkvz), hk * (2 * dk + values), cols);
    place_matrix(w, &to->in_z, qkvz->name, choose_layout(w, qkvz), hk * values, cols);
    begin_source(w, qkvz, cols);
    for (uint32_t h = 0; h < hk; h++) {
        add_run(w, dk, 1, h * dk);
        add_run(w, dk, 1, (hk + h) * dk);
        add_run(w, values, 1, 2 * hk * dk + h * values);
        add_run(w, values, 0, h * values);
    }
    place_matrix(w, &to->in_b, ba->name, choose_layout(w, ba), hv, cols);
    place_matrix(w, &to->in_a, ba->name, choose_layout(w, ba), hv, cols);
    begin_source(w, ba, cols);
    for (uint32_t h = 0; h < hk; h++) {
        add_run(w, r, 1, h * r);
        add_run(w, r, 0, h * r);
    }
}

/* Stacks [experts][gate | up][hidden] and [experts][hidden][inner]. */
static void place_stacked(struct walk *w, const struct weights_layer *from, struct weights_moe *to)
{
    const struct tensor *both = from->at[WEIGHT_EXPERTS_GATE_UP];
    const struct tensor *down = from->at[WEIGHT_EXPERTS_DOWN];
    uint64_t n = both->shape[0], inner = both->shape[1] / 2;

    begin_source(w, both, both->shape[2]);
    for (uint64_t i = 0; i < n; i++) {
        place_matrix(w, &to->gate[i], both->name, choose_layout(w, both), inner, both->shape[2]);
        add_run(w, (uint32_t)inner, 0, 0);
        place_matrix(w, &to->up[i], both->name, choose_layout(w, both), inner, both->shape[2]);
        add_run(w, (uint32_t)inner, 0, 0);
    }
    begin_source(w, down, down->shape[2]);
    for (uint64_t i = 0; i < n; i++) {
        place_matrix(w, &to->down[i], down->name, choose_layout(w, down), down->shape[1],
                     down->shape[2]);
        add_run(w, (uint32_t)down->shape[1], 0, 0);
    }
}

/* Each expert by itself; all of them in the widest layout that one of them needs. */
static void place_experts(struct walk *w, const struct weights_layer *from, struct weights_moe *to)
{
    enum kern_layout both = choose_layout(w, from->experts[0][EXPERT_GATE]);
    enum kern_layout down = choose_layout(w, from->experts[0][EXPERT_DOWN]);

    for (uint32_t i = 0; i < w->config->moe.n_experts; i++) {
        const struct tensor *const *at = from->experts[i];
        if (choose_layout_of(w, at[EXPERT_GATE], at[EXPERT_UP]) == KERN_LAYOUT_F32)
            both = KERN_LAYOUT_F32;
        if (choose_layout(w, at[EXPERT_DOWN]) == KERN_LAYOUT_F32)
            down = KERN_LAYOUT_F32;
    }
    for (uint32_t i = 0; i < w->config->moe.n_experts; i++) {
        place_tensor(w, &to->gate[i], from->experts[i][EXPERT_GATE], both);
        place_tensor(w, &to->up[i], from->experts[i][EXPERT_UP], both);
        place_tensor(w, &to->down[i], from->experts[i][EXPERT_DOWN], down);
    }
}

static void place_layer(struct walk *w, const struct weights_layer *from,
                        struct weights_layer_bound *to)
{
#define X(field, weight) \
    if (from->at[weight] != NULL) \
        place_floats(w, &to->field, from->at[weight], FORM_VECTOR, 1, from->at[weight]->shape[0]);
    LAYER_VECTORS(X)
#undef X
#define X(field, weight) \
    if (from->at[weight] != NULL) \
        place_tensor(w, &to->field, from->at[weight], choose_layout(w, from->at[weight]));
    LAYER_MATRICES(X)
#undef X
#define X(gate, gate_weight, up, up_weight) \
    if (from->at[gate_weight] != NULL) { \
        enum kern_layout both = choose_layout_of(w, from->at[gate_weight], from->at[up_weight]); \
        place_tensor(w, &to->gate, from->at[gate_weight], both); \
        place_tensor(w, &to->up, from->at[up_weight], both); \
    }
    LAYER_PAIRS(X)
#undef X
    if (from->at[WEIGHT_CONV] != NULL)
        place_floats(w, &to->conv, from->at[WEIGHT_CONV], FORM_COLUMNS,
                     from->at[WEIGHT_CONV]->shape[0], from->at[WEIGHT_CONV]->shape[2]);
    if (from->at[WEIGHT_IN_QKVZ] != NULL)
        place_fused(w, from, to);
    if (from->at[WEIGHT_EXPERTS_GATE_UP] != NULL)
        place_stacked(w, from, &to->moe);
    if (from->experts != NULL)
        place_experts(w, from, &to->moe);
}

/* --- the whole --- */

static void alloc_weights(struct weights *w, const struct model_config *c)
{
    *w =
        (struct weights){.n_layers = c->n_layers, .layers = calloc(c->n_layers, sizeof *w->layers)};
    CHECK(w->layers != NULL);
    for (uint32_t i = 0; i < c->n_layers; i++) {
        struct weights_moe *moe = &w->layers[i].moe;
        if (!c->layers[i].is_moe)
            continue;
        moe->gate = calloc(3 * (size_t)c->moe.n_experts, sizeof *moe->gate);
        CHECK(moe->gate != NULL);
        moe->up = moe->gate + c->moe.n_experts;
        moe->down = moe->up + c->moe.n_experts;
    }
}

static void place_model(struct walk *w, const struct weights_plan *p, struct weights *to)
{
    place_tensor(w, &to->embed, p->embed, choose_layout(w, p->embed));
    if (p->head == p->embed)
        to->head = to->embed;
    else if (p->head != NULL)
        place_tensor(w, &to->head, p->head, choose_layout(w, p->head));
    place_floats(w, &to->final_norm, p->final_norm, FORM_VECTOR, 1, p->final_norm->shape[0]);
    for (uint32_t i = 0; i < p->n_layers && w->rc == 0; i++)
        place_layer(w, &p->layers[i], &to->layers[i]);
}

static int compare_places(const void *a, const void *b)
{
    const struct tensor *x = ((const struct weights_source *)a)->tensor;
    const struct tensor *y = ((const struct weights_source *)b)->tensor;

    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

int weights_layout_new(struct weights_layout **out, const struct model_config *c,
                       const struct weights_plan *p, enum weights_mode mode, struct err *e)
{
    struct weights_layout *l = calloc(1, sizeof *l);
    struct weights scratch;

    CHECK(l != NULL);
    CHECK((unsigned)mode < WEIGHTS_MODES_N);
    CHECK(p->n_layers == c->n_layers);
    *l = (struct weights_layout){.config = c, .plan = p, .mode = mode};
    struct walk w = {.config = c, .mode = mode, .list = l, .e = e};
    alloc_weights(&scratch, c);
    place_model(&w, p, &scratch);
    weights_unbind(&scratch);
    l->bytes = w.used;
    if (w.rc != 0)
        weights_layout_free(&l);
    else
        qsort(l->sources, l->n_sources, sizeof *l->sources, compare_places);
    *out = l;
    return w.rc;
}

void weights_layout_free(struct weights_layout **l)
{
    if (*l == NULL)
        return;
    free((*l)->parts);
    free((*l)->runs);
    free((*l)->sources);
    free(*l);
    *l = NULL;
}

uint64_t weights_layout_bytes(const struct weights_layout *l)
{
    return l->bytes;
}

void weights_bind(struct weights *w, const struct weights_layout *l, const void *block)
{
    struct walk walk = {.config = l->config, .mode = l->mode, .block = block};

    CHECK((uintptr_t)block % KERN_ALIGN == 0);
    alloc_weights(w, l->config);
    place_model(&walk, l->plan, w);
    CHECK(walk.rc == 0);
    CHECK(walk.used == l->bytes);
}

void weights_unbind(struct weights *w)
{
    for (uint32_t i = 0; i < w->n_layers; i++)
        free(w->layers[i].moe.gate); /* up and down are behind it */
    free(w->layers);
    *w = (struct weights){0};
}

/* --- the key --- */

static void add_number(struct buf *b, uint64_t v)
{
    buf_add(b, &v, sizeof v);
}

static void add_list(struct buf *b, const struct weights_layout *l)
{
    for (uint32_t i = 0; i < l->n_parts; i++) {
        const struct weights_part *p = &l->parts[i];
        add_number(b, p->offset);
        add_number(b, (uint64_t)p->form << 32 | (uint64_t)p->layout);
        add_number(b, (uint64_t)p->rows << 32 | p->cols);
    }
    for (uint32_t i = 0; i < l->n_sources; i++) {
        const struct weights_source *s = &l->sources[i];
        add_number(b, (uint64_t)s->tensor->file << 32 | (uint64_t)s->tensor->dtype);
        add_number(b, s->tensor->offset);
        add_number(b, s->cols);
        for (uint32_t j = s->first_run; j < s->first_run + s->n_runs; j++) {
            add_number(b, l->runs[j].first);
            add_number(b, (uint64_t)l->runs[j].part << 32 | l->runs[j].to);
        }
    }
}

uint64_t weights_key(const struct weights_layout *l, const struct safetensors *s)
{
    struct buf b = {0};

    add_number(&b, WEIGHTS_LAYOUT_VERSION);
    for (size_t i = 0; i < s->n_files; i++) {
        const struct root_file *f = &s->files[i].file;
        add_number(&b, f->dev);
        add_number(&b, f->ino);
        add_number(&b, f->size);
        add_number(&b, (uint64_t)f->mtime_ns);
    }
    add_number(&b, l->bytes);
    add_list(&b, l);
    uint64_t key = hash_xxh3(b.data, b.len);
    buf_free(&b);
    return key;
}
