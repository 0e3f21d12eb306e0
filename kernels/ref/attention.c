/* Rotary positions, the KV pages, attention over them. */
#include "kernels/ref/ref.h"

int ref_rope(struct kern_thread *th, const struct kern_rope *p)
{
    REF_BEGIN(rope);
    for (int32_t i = 0; i < p->span_count; i++)
        for (int32_t r = 0; r < p->spans[i].rows; r++) {
            int64_t row = p->spans[i].row + r;
            float pos = (float)(p->spans[i].pos + r);

            for (int32_t j = 0; j < p->half; j++) {
                double angle = (double)(pos * p->inv_freq[j]); /* a float, as published */

                p->cos[row * p->half + j] = (float)(cos(angle) * (double)p->scaling);
                p->sin[row * p->half + j] = (float)(sin(angle) * (double)p->scaling);
            }
        }
    return 0;
}

/* Element of a page; the offset of K and V parts is the caller's. */
static size_t page_index(const struct kern_kv *kv, const struct kern_span *span, int32_t pos)
{
    return (size_t)span->pages[pos / kv->page_tokens] * kv->stride / kern_type_bytes(kv->type);
}

static size_t k_index(const struct kern_kv *kv, int32_t head, int32_t d, int32_t pos)
{
    return (size_t)((head * kv->head_dim + d) * kv->page_tokens + pos % kv->page_tokens);
}

static size_t v_index(const struct kern_kv *kv, int32_t head, int32_t d, int32_t pos)
{
    int32_t hdp = kern_round16(kv->head_dim);

    return (size_t)(kv->heads * kv->head_dim * kv->page_tokens) +
           (size_t)((head * kv->page_tokens + pos % kv->page_tokens) * hdp + d);
}

static void kv_put(const struct kern_kv *kv, size_t i, double value)
{
    if (kv->type == KERN_BF16)
        ((uint16_t *)kv->base)[i] = kern_f32_to_bf16((float)value);
    else
        ((float *)kv->base)[i] = (float)value;
}

static double kv_get(const struct kern_kv *kv, size_t i)
{
    if (kv->type == KERN_BF16)
        return (double)kern_bf16_to_f32(((const uint16_t *)kv->base)[i]);
    return (double)((const float *)kv->base)[i];
}

static void norm_and_rotate(const struct kern_qk_norm_rope_write *p, int64_t row, const float *x,
                            const float *w, double *y)
{
    int32_t n = p->kv.head_dim;
    double sum = 0;

    for (int32_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    for (int32_t i = 0; i < n; i++)
        y[i] = w == NULL ? (double)x[i]
                         : (double)x[i] / sqrt(sum / n + (double)p->eps) *
                               ((p->is_plus_one ? 1.0 : 0.0) + (double)w[i]);
    for (int32_t i = 0; i < p->half; i++) {
        double c = (double)p->cos[row * p->half + i], s = (double)p->sin[row * p->half + i];
        double a = y[i], b = y[i + p->half];

        y[i] = a * c - b * s;
        y[i + p->half] = b * c + a * s;
    }
}

static void write_row(const struct kern_qk_norm_rope_write *p, const struct kern_span *span,
                      int64_t row, int32_t pos)
{
    const struct kern_kv *kv = &p->kv;
    size_t page = page_index(kv, span, pos);
    double y[KERN_HEAD_MAX];

    for (int32_t h = 0; h < p->q_heads; h++) {
        norm_and_rotate(p, row, p->q + row * p->ld_q + h * p->q_stride, p->q_w, y);
        for (int32_t d = 0; d < kv->head_dim; d++)
            p->y[(row * p->q_heads + h) * kv->head_dim + d] = (float)y[d];
    }
    for (int32_t h = 0; h < kv->heads; h++) {
        norm_and_rotate(p, row, p->k + row * p->ld_kv + h * kv->head_dim, p->k_w, y);
        for (int32_t d = 0; d < kv->head_dim; d++) {
            kv_put(kv, page + k_index(kv, h, d, pos), y[d]);
            kv_put(kv, page + v_index(kv, h, d, pos),
                   (double)p->v[row * p->ld_kv + h * kv->head_dim + d]);
        }
    }
}

int ref_qk_norm_rope_write(struct kern_thread *th, const struct kern_qk_norm_rope_write *p)
{
    REF_BEGIN(qk_norm_rope_write);
    for (int32_t i = 0; i < p->span_count; i++)
        for (int32_t r = 0; r < p->spans[i].rows; r++)
            write_row(p, &p->spans[i], p->spans[i].row + r, p->spans[i].pos + r);
    return 0;
}

static double score(const struct kern_attention *p, const struct kern_span *span, const float *q,
                    int32_t head, int32_t pos)
{
    size_t page = page_index(&p->kv, span, pos);
    double sum = 0;

    for (int32_t d = 0; d < p->kv.head_dim; d++)
        sum += (double)q[d] * kv_get(&p->kv, page + k_index(&p->kv, head, d, pos));
    return sum * (double)p->scale;
}

/* One query head of one row: two passes over the keys, the largest score first. */
static void attend(const struct kern_attention *p, const struct kern_span *span, int64_t row,
                   int32_t pos, int32_t h)
{
    int32_t dim = p->kv.head_dim, head = h / (p->q_heads / p->kv.heads);
    const float *q = p->q + (row * p->q_heads + h) * dim;
    double largest = -INFINITY, total = 0, sum[KERN_HEAD_MAX] = {0};

    for (int32_t t = 0; t <= pos; t++)
        largest = fmax(largest, score(p, span, q, head, t));
    for (int32_t t = 0; t <= pos; t++) {
        double weight = exp(score(p, span, q, head, t) - largest);
        size_t page = page_index(&p->kv, span, t);

        total += weight;
        for (int32_t d = 0; d < dim; d++)
            sum[d] += weight * kv_get(&p->kv, page + v_index(&p->kv, head, d, t));
    }
    for (int32_t d = 0; d < dim; d++) {
        double gate = 1;

        if (p->gate != NULL)
            gate = ref_sigmoid((double)p->gate[row * p->ld_gate + h * p->gate_stride + d]);
        ref_put(&p->y, row, h * dim + d, sum[d] / total * gate);
    }
}

int ref_attention(struct kern_thread *th, const struct kern_attention *p)
{
    REF_BEGIN(attention);
    for (int32_t i = 0; i < p->span_count; i++)
        for (int32_t r = 0; r < p->spans[i].rows; r++)
            for (int32_t h = 0; h < p->q_heads; h++)
                attend(p, &p->spans[i], p->spans[i].row + r, p->spans[i].pos + r, h);
    return 0;
}
