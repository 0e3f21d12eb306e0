#include "base/check.h"
#include "worker/model/forward_parts.h"

#include <string.h>

/* --- one step --- */

static void begin_step(struct forward_step *s)
{
    const struct forward *f = s->f;
    const struct forward_batch *b = &f->batch;

    FORWARD_OP(s, embed, .table = f->weights->embed, .ids = b->ids, .y = f->x, .ld = f->ld.hidden,
               .rows = b->rows);
    if (f->n_attention > 0)
        FORWARD_OP(s, rope, .spans = b->spans, .span_count = b->span_count, .rows = b->rows,
                   .inv_freq = f->inv_freq, .half = f->rotary_half, .scaling = f->rotary_scaling,
                   .cos = f->cos, .sin = f->sin);
    kern_barrier(s->th);
}

static void finish_step(struct forward_step *s)
{
    const struct forward *f = s->f;
    const struct forward_batch *b = &f->batch;
    const struct kern_matrix *head = &f->weights->head;

    if (b->pick_count == 0)
        return;
    forward_norm(s, f->weights->final_norm,
                 1u << (f->config->is_headless ? KERN_F32 : kern_operand(head->layout)), b->picks,
                 b->pick_count);
    if (f->config->is_headless)
        return;
    FORWARD_OP(s, linear, .w = *head, .x = forward_input(s, head), .y = f->logits,
               .ld = f->ld.vocab, .rows = b->pick_count);
    kern_barrier(s->th);
    FORWARD_OP(s, logits_stat, .logits = f->logits, .ld = f->ld.vocab, .rows = b->pick_count,
               .vocab = (int32_t)f->config->vocab_size, .best = f->best, .lse = f->lse);
}

static int run_step(struct kern_thread *th, void *arg)
{
    const struct forward *f = arg;
    struct forward_step s = {.f = f, .th = th};

    begin_step(&s);
    for (uint32_t i = 0; i < f->config->n_layers; i++) {
        forward_mix(&s, &f->layers[i]);
        forward_feed(&s, &f->layers[i]);
    }
    finish_step(&s);
    return s.rc;
}

/* --- a batch --- */

static void check_batch(const struct forward *f, const struct forward_batch *b)
{
    int32_t rows = 0;

    CHECK(b->rows >= 1 && b->rows <= f->shape.rows);
    CHECK(b->span_count >= 1 && b->span_count <= f->shape.spans);
    CHECK(b->pick_count >= 0 && b->pick_count <= f->shape.picks);
    for (int32_t i = 0; i < b->span_count; i++) {
        const struct kern_span *span = &b->spans[i];
        CHECK(span->row == rows && span->rows >= 1 && span->rows <= b->rows - rows);
        CHECK(span->pos >= 0 && span->pos <= f->shape.context - span->rows);
        CHECK(f->n_linear == 0 || (span->slot >= 0 && span->slot < f->slots.count));
        rows += span->rows;
    }
    CHECK(rows == b->rows);
    for (int32_t i = 0; i < b->pick_count; i++)
        CHECK(b->picks[i] >= 0 && b->picks[i] < b->rows);
}

static bool *slot_mark(const struct forward *f, int32_t slot)
{
    char *base = (char *)f->slots.base + (size_t)slot * f->slots.stride;

    return (bool *)(base + (size_t)f->n_linear * f->slot_bytes);
}

/* DeltaNet takes single rows and longer spans apart. */
static void sort_spans(struct forward *f)
{
    const struct forward_batch *b = &f->batch;
    int32_t n = 0;

    for (int32_t i = 0; i < b->span_count; i++)
        if (b->spans[i].rows == 1)
            f->spans[n++] = b->spans[i];
    f->n_single = n;
    for (int32_t i = 0; i < b->span_count; i++)
        if (b->spans[i].rows > 1)
            f->spans[n++] = b->spans[i];
    for (int32_t i = 0; f->n_linear > 0 && i < n; i++)
        *slot_mark(f, f->spans[i].slot) = true;
}

int forward_run(struct forward *f, const struct forward_batch *b, struct forward_logits *out)
{
    check_batch(f, b);
    f->batch = *b;
    sort_spans(f);
    int rc = kern_pool_run(f->pool, run_step, f);
    *out = (struct forward_logits){
        .logits = f->logits, .ld = f->ld.vocab, .best = f->best, .lse = f->lse};
    if (f->config->is_headless) /* where forward_norm has left them */
        *out = (struct forward_logits){
            .hidden = forward_is_solo(b->pick_count) ? f->own[0].h.f32 : f->h.f32,
            .hidden_ld = f->ld.hidden};
    return rc;
}

/* --- slots and pages --- */

struct clearing {
    char *from;
    size_t bytes;
};

static int clear_part(struct kern_thread *th, void *arg)
{
    const struct clearing *c = arg;
    int64_t from, to;

    kern_split(th, (int64_t)(c->bytes / KERN_ALIGN), &from, &to);
    memset(c->from + from * KERN_ALIGN, 0, (size_t)(to - from) * KERN_ALIGN);
    return 0;
}

void forward_clear_slot(struct forward *f, int32_t slot)
{
    if (f->n_linear == 0)
        return;
    CHECK(slot >= 0 && slot < f->slots.count);
    if (!*slot_mark(f, slot)) /* as it was mapped */
        return;
    struct clearing c = {(char *)f->slots.base + (size_t)slot * f->slots.stride, f->slots.stride};
    kern_pool_run(f->pool, clear_part, &c);
}

struct copying {
    const struct kern_ops *ops;
    struct kern_copy copy;
};

static int copy_part(struct kern_thread *th, void *arg)
{
    const struct copying *c = arg;

    return c->ops->copy(th, &c->copy);
}

static void copy_block(struct forward *f, void *base, size_t stride, int32_t to, int32_t from)
{
    struct copying c = {f->ops,
                        {.to = (char *)base + (size_t)to * stride,
                         .from = (char *)base + (size_t)from * stride,
                         .bytes = stride}};

    CHECK(kern_pool_run(f->pool, copy_part, &c) == 0);
}

void forward_copy_slot(struct forward *f, int32_t to, int32_t from)
{
    CHECK(to >= 0 && to < f->slots.count && from >= 0 && from < f->slots.count);
    copy_block(f, f->slots.base, f->slots.stride, to, from);
}

void forward_copy_page(struct forward *f, int32_t to, int32_t from)
{
    CHECK(to >= 0 && to < f->kv.pages && from >= 0 && from < f->kv.pages);
    copy_block(f, f->kv.base, f->kv.stride, to, from);
}
