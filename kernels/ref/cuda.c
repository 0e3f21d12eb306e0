/* The operations of kern_cuda.h on host memory: token by token, sums in double, rounded where the
 * slot or the output stores. */
#include <math.h>
#include <string.h>

#include "kernels/cuda/check.h"
#include "kernels/ref/ref.h"

struct slot {
    float *s;
    char *conv;
    float *k, *u, *a;
};

static struct slot find_slot(const struct kern_cuda_slots *slots, const struct kern_gdn_heads *h,
                             int32_t index)
{
    struct kern_cuda_parts parts = kern_cuda_slot_parts(h, slots->keep, slots->type);
    char *base = (char *)slots->base + (size_t)index * slots->stride;

    return (struct slot){(float *)(void *)base, base + parts.conv,
                         (float *)(void *)(base + parts.k), (float *)(void *)(base + parts.u),
                         (float *)(void *)(base + parts.a)};
}

/* The slot of the checkpoint at `pos`, or -1. */
static int32_t checkpoint_at(const struct kern_cuda_list *list, const struct kern_cuda_span *span,
                             int32_t pos)
{
    if (span->checkpoint < 0 || pos % KERN_CUDA_CHECKPOINT != 0)
        return -1;
    return list->host[span->checkpoint + pos / KERN_CUDA_CHECKPOINT -
                      span->pos / KERN_CUDA_CHECKPOINT - 1];
}

/* The convolution's input ring of one slot. */
struct ring {
    struct kern_in rows;
    int32_t count;
};

static struct ring ring_of(const struct kern_cuda_slots *slots, const struct kern_gdn_heads *h,
                           int32_t index)
{
    struct kern_cuda_parts parts = kern_cuda_slot_parts(h, slots->keep, slots->type);

    return (struct ring){{slots->type, find_slot(slots, h, index).conv, parts.channels},
                         parts.conv_rows};
}

static void copy_input(const struct ring *to, int32_t pos, const struct kern_in *x, int64_t row)
{
    size_t bytes = kern_cuda_type_bytes(x->type);
    char *dest = (char *)(uintptr_t)to->rows.data;

    memcpy(dest + (size_t)(pos % to->count * to->rows.ld) * bytes,
           (const char *)x->data + (size_t)(row * x->ld) * bytes, (size_t)to->rows.ld * bytes);
}

/* SiLU of the convolution of a channel at token t of the span. */
static double convolve(const struct kern_gdn_heads *h, const struct ring *ring,
                       const struct kern_cuda_span *span, const struct kern_in *x, const float *w,
                       int32_t t, int32_t channel)
{
    double sum = 0;

    for (int32_t i = 0; i < h->conv; i++) {
        int32_t token = t - h->conv + 1 + i, pos = span->pos + token;
        double value = token >= 0 ? ref_get(x, span->row + token, channel)
                       : pos >= 0 ? ref_get(&ring->rows, pos % ring->count, channel)
                                  : 0;

        sum += value * (double)w[(int64_t)i * ring->rows.ld + channel];
    }
    return ref_silu(sum);
}

/* The inputs before `end`, at most conv - 1, from the span or the old ring. */
static void keep_inputs(const struct kern_gdn_heads *h, const struct ring *from,
                        const struct ring *to, const struct kern_cuda_span *span,
                        const struct kern_in *x, int32_t end)
{
    for (int32_t t = end - h->conv + 1; t < end; t++)
        if (t >= 0)
            copy_input(to, span->pos + t, x, span->row + t);
        else if (span->pos + t >= 0 && from != to)
            copy_input(to, span->pos + t, &from->rows, (span->pos + t) % from->count);
}

static int conv1d(struct kern_cuda *c, void *stream, const struct kern_cuda_conv1d *p)
{
    int rc = kern_cuda_check_conv1d(p);

    (void)c, (void)stream;
    for (int32_t i = 0; rc == 0 && i < p->spans.count; i++) {
        const struct kern_cuda_span *span = &p->spans.host[i];
        struct ring own = ring_of(&p->slots, &p->heads, span->slot);

        for (int32_t t = 0; t < span->rows; t++) {
            int32_t slot = checkpoint_at(&p->checkpoints, span, span->pos + t + 1);

            for (int32_t ch = 0; ch < own.rows.ld; ch++)
                ref_put(&p->y, span->row + t, ch,
                        convolve(&p->heads, &own, span, &p->x, p->w, t, ch));
            if (slot >= 0) {
                struct ring other = ring_of(&p->slots, &p->heads, slot);

                keep_inputs(&p->heads, &own, &other, span, &p->x, t + 1);
            }
        }
        keep_inputs(&p->heads, &own, &own, span, &p->x, span->rows);
    }
    return rc;
}

/* A value head at work: the state in double, what a token brings. */
struct head {
    const struct kern_gdn_heads *h;
    int32_t value, key;
    double s[KERN_HEAD_MAX * KERN_HEAD_MAX];
    double q[KERN_HEAD_MAX], k[KERN_HEAD_MAX], v[KERN_HEAD_MAX];
    double u[KERN_HEAD_MAX], o[KERN_HEAD_MAX];
    double beta, decay;
};

static struct head head; /* 512 KB: too large for a stack, and the reference has one thread */

static size_t state_at(const struct head *d)
{
    return (size_t)d->value * (size_t)(d->h->dk * d->h->dv);
}

static void load_state(struct head *d, const float *s)
{
    for (int32_t i = 0; i < d->h->dk * d->h->dv; i++)
        d->s[i] = (double)s[state_at(d) + (size_t)i];
}

static void store_state(const struct head *d, float *s)
{
    for (int32_t i = 0; i < d->h->dk * d->h->dv; i++)
        s[state_at(d) + (size_t)i] = (float)d->s[i];
}

/* S <- a S + k u' */
static void add_token(struct head *d)
{
    for (int32_t i = 0; i < d->h->dk; i++)
        for (int32_t c = 0; c < d->h->dv; c++)
            d->s[i * d->h->dv + c] = d->decay * d->s[i * d->h->dv + c] + d->k[i] * d->u[c];
}

static void normalise(double *x, int32_t n, double scale)
{
    double sum = 0;

    for (int32_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    for (int32_t i = 0; i < n; i++)
        x[i] *= scale / sqrt(sum + 1e-6);
}

/* What the token's q, k, v, beta and decay make of the state and the output. */
static void step(struct head *d)
{
    int32_t dk = d->h->dk, dv = d->h->dv;

    normalise(d->q, dk, 1 / sqrt(dk));
    normalise(d->k, dk, 1);
    for (int32_t c = 0; c < dv; c++) {
        double sk = 0;

        for (int32_t i = 0; i < dk; i++)
            sk += d->s[i * dv + c] * d->k[i];
        d->u[c] = d->beta * (d->v[c] - d->decay * sk);
    }
    add_token(d);
    for (int32_t c = 0; c < dv; c++) {
        d->o[c] = 0;
        for (int32_t i = 0; i < dk; i++)
            d->o[c] += d->s[i * dv + c] * d->q[i];
    }
}

static void load_gates(struct head *d, const struct kern_cuda_gates *p, int64_t row)
{
    double a = ref_get(&p->a, row, d->value) + (double)p->dt_bias[d->value];
    double a_log = (double)p->a_log[d->value], rate = p->is_a_exp ? -a_log : exp(a_log);
    double softplus = a > 20 ? a : log1p(exp(a));

    d->beta = ref_sigmoid(ref_get(&p->b, row, d->value));
    d->decay = exp(fmax(-rate * softplus, (double)KERN_GATE_MIN));
}

static void put_outputs(const struct head *d, const struct kern_cuda_gate_norm *n,
                        const struct kern_out *y, int64_t row)
{
    int32_t dv = d->h->dv;
    double sum = 0;

    for (int32_t c = 0; c < dv; c++)
        sum += d->o[c] * d->o[c];
    for (int32_t c = 0; c < dv; c++) {
        int64_t column = (int64_t)d->value * dv + c;
        double o = d->o[c];

        if (n->z.data != NULL)
            o *= (double)n->w[c] * ref_silu(ref_get(&n->z, row, column)) /
                 sqrt(sum / dv + (double)n->eps);
        ref_put(y, row, column, o);
    }
}

static void choose_head(const struct kern_gdn_heads *h, int32_t value)
{
    head.h = h;
    head.value = value;
    head.key = h->is_value_permuted ? value % h->hk : value / (h->hv / h->hk);
}

static int gdn_chunk(struct kern_cuda *c, void *stream, const struct kern_cuda_gdn_chunk *p)
{
    int rc = kern_cuda_check_gdn_rows(p);

    (void)c, (void)stream;
    for (int32_t i = 0; rc == 0 && i < p->spans.count * p->heads.hv; i++) {
        const struct kern_cuda_span *span = &p->spans.host[i / p->heads.hv];
        const struct kern_gdn_heads *h = &p->heads;

        choose_head(h, i % h->hv);
        load_state(&head, find_slot(&p->slots, h, span->slot).s);
        for (int32_t t = 0; t < span->rows; t++) {
            int64_t row = span->row + t;
            int32_t slot = checkpoint_at(&p->checkpoints, span, span->pos + t + 1);

            for (int32_t d = 0; d < h->dk; d++) {
                head.q[d] = ref_get(&p->qkv, row, head.key * h->dk + d);
                head.k[d] = ref_get(&p->qkv, row, (h->hk + head.key) * h->dk + d);
            }
            for (int32_t d = 0; d < h->dv; d++)
                head.v[d] = ref_get(&p->qkv, row, 2 * h->hk * h->dk + head.value * h->dv + d);
            load_gates(&head, &p->gates, row);
            step(&head);
            put_outputs(&head, &p->norm, &p->y, row);
            if (slot >= 0)
                store_state(&head, find_slot(&p->slots, h, slot).s);
        }
        store_state(&head, find_slot(&p->slots, h, span->slot).s);
    }
    return rc;
}

/* The pending tokens of a span into the chosen head. */
static void add_pending(const struct kern_cuda_slots *slots, const struct kern_cuda_span *span)
{
    const struct kern_gdn_heads *h = head.h;
    struct slot slot = find_slot(slots, h, span->slot);

    for (int32_t t = span->pos - span->pending; t < span->pos; t++) {
        int64_t ring = t % (2 * slots->keep);

        for (int32_t d = 0; d < h->dk; d++)
            head.k[d] = (double)slot.k[(ring * h->hk + head.key) * h->dk + d];
        for (int32_t d = 0; d < h->dv; d++)
            head.u[d] = (double)slot.u[(ring * h->hv + head.value) * h->dv + d];
        head.decay = (double)slot.a[ring * h->hv + head.value];
        add_token(&head);
    }
}

static void keep_token(const struct kern_cuda_slots *slots, const struct kern_cuda_span *span,
                       int32_t t)
{
    const struct kern_gdn_heads *h = head.h;
    struct slot slot = find_slot(slots, h, span->slot);
    int64_t ring = (span->pos + t) % (2 * slots->keep);

    for (int32_t d = 0; d < h->dk; d++)
        slot.k[(ring * h->hk + head.key) * h->dk + d] = (float)head.k[d];
    for (int32_t d = 0; d < h->dv; d++)
        slot.u[(ring * h->hv + head.value) * h->dv + d] = (float)head.u[d];
    slot.a[ring * h->hv + head.value] = (float)head.decay;
}

static void step_head(const struct kern_cuda_gdn_step *p, const struct kern_cuda_span *span)
{
    const struct kern_gdn_heads *h = &p->heads;
    struct ring ring = ring_of(&p->slots, h, span->slot);
    float *s = find_slot(&p->slots, h, span->slot).s;

    load_state(&head, s);
    add_pending(&p->slots, span);
    if (span->pending > 0)
        store_state(&head, s);
    for (int32_t t = 0; t < span->rows; t++) {
        for (int32_t d = 0; d < h->dk; d++) {
            int32_t q = head.key * h->dk + d, k = (h->hk + head.key) * h->dk + d;

            head.q[d] = convolve(h, &ring, span, &p->x, p->w, t, q);
            head.k[d] = convolve(h, &ring, span, &p->x, p->w, t, k);
        }
        for (int32_t d = 0; d < h->dv; d++)
            head.v[d] = convolve(h, &ring, span, &p->x, p->w, t,
                                 2 * h->hk * h->dk + head.value * h->dv + d);
        load_gates(&head, &p->gates, span->row + t);
        step(&head);
        put_outputs(&head, &p->norm, &p->y, span->row + t);
        if (p->slots.keep > 0)
            keep_token(&p->slots, span, t);
    }
    if (p->slots.keep == 0)
        store_state(&head, s);
}

static int gdn_step(struct kern_cuda *c, void *stream, const struct kern_cuda_gdn_step *p)
{
    int rc = kern_cuda_check_gdn_step(p);

    (void)c, (void)stream;
    for (int32_t i = 0; rc == 0 && i < p->spans.count; i++) {
        const struct kern_cuda_span *span = &p->spans.host[i];
        struct ring ring = ring_of(&p->slots, &p->heads, span->slot);

        for (int32_t j = 0; j < p->heads.hv; j++) {
            choose_head(&p->heads, j);
            step_head(p, span);
        }
        for (int32_t t = 0; t < span->rows; t++)
            copy_input(&ring, span->pos + t, &p->x, span->row + t);
    }
    return rc;
}

static int gdn_fold(struct kern_cuda *c, void *stream, const struct kern_cuda_gdn_fold *p)
{
    int rc = kern_cuda_check_gdn_fold(p);

    (void)c, (void)stream;
    for (int32_t i = 0; rc == 0 && i < p->spans.count * p->heads.hv; i++) {
        const struct kern_cuda_span *span = &p->spans.host[i / p->heads.hv];
        float *s = find_slot(&p->slots, &p->heads, span->slot).s;

        choose_head(&p->heads, i % p->heads.hv);
        load_state(&head, s);
        add_pending(&p->slots, span);
        store_state(&head, s);
    }
    return rc;
}

const struct kern_cuda_ops *kern_cuda_ref(void)
{
    static const struct kern_cuda_ops ops = {
        .conv1d = conv1d,
        .gdn_step = gdn_step,
        .gdn_fold = gdn_fold,
        .gdn_chunk = gdn_chunk,
        .gdn_rows = gdn_chunk,
    };

    return &ops;
}
