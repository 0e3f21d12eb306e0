/* Rotary positions; q and k normalised, rotated and written. */
#include "kernels/cpu/cpu.h"

int FN(rope)(struct kern_thread *th, const struct kern_rope *p)
{
    CPU_BEGIN(rope);
    for (int32_t i = 0; i < p->span_count; i++) {
        int64_t from, to;

        kern_split(th, p->spans[i].rows, &from, &to);
        for (int64_t r = from; r < to; r++) {
            int64_t row = (p->spans[i].row + r) * p->half;
            float pos = (float)(p->spans[i].pos + r);

            for (int32_t j = 0; j < p->half; j++) {
                double angle = (double)(pos * p->inv_freq[j]); /* a float, as published */

                p->cos[row + j] = (float)(cos(angle) * (double)p->scaling);
                p->sin[row + j] = (float)(sin(angle) * (double)p->scaling);
            }
        }
    }
    return 0;
}

static void norm_head(const struct kern_qk_norm_rope_write *p, const float *x, const float *w,
                      float *y)
{
    int32_t n = p->kv.head_dim;

    if (w == NULL) {
        memcpy(y, x, (size_t)n * sizeof *y);
        return;
    }
    vec scale = vec_set(1.0f / sqrtf(square_sum(x, n) / (float)n + p->eps));
    vec one = vec_set(p->is_plus_one ? 1.0f : 0.0f);
    for (int32_t i = 0; i < n; i += VEC)
        vec_store_n(y + i, vec_load_n(x + i, n - i) * scale * (one + vec_load_n(w + i, n - i)),
                    n - i);
}

static void rotate_head(const struct kern_qk_norm_rope_write *p, int64_t row, float *y)
{
    const float *c = p->cos + row * p->half, *s = p->sin + row * p->half;

    for (int32_t i = 0; i < p->half; i += VEC) {
        int64_t n = p->half - i;
        vec a = vec_load_n(y + i, n), b = vec_load_n(y + i + p->half, n);
        vec cosine = vec_load_n(c + i, n), sine = vec_load_n(s + i, n);

        vec_store_n(y + i, a * cosine - b * sine, n);
        vec_store_n(y + i + p->half, b * cosine + a * sine, n);
    }
}

static void write_k(const struct kern_kv *kv, char *page, int32_t head, int32_t t, const float *y)
{
    int64_t first = (int64_t)head * kv->head_dim * kv->page_tokens + t;

    for (int32_t d = 0; d < kv->head_dim; d++)
        if (kv->type == KERN_BF16)
            ((uint16_t *)page)[first + d * kv->page_tokens] = kern_f32_to_bf16(y[d]);
        else
            ((float *)page)[first + d * kv->page_tokens] = y[d];
}

static void write_v(const struct kern_kv *kv, char *page, int32_t head, int32_t t, const float *v)
{
    int64_t ld = kern_round16(kv->head_dim);
    int64_t k_part = (int64_t)kv->heads * kv->head_dim * kv->page_tokens;
    struct kern_out y = {kv->type, page + (size_t)k_part * kern_type_bytes(kv->type), ld};

    for (int32_t d = 0; d < ld; d += VEC) { /* the padding too: it is multiplied */
        vec x = d < kv->head_dim ? vec_load_n(v + d, kv->head_dim - d) : vec_zero();

        put_vec(&y, (int64_t)head * kv->page_tokens + t, d, x, VEC);
    }
}

/* Head h of a row: the query heads, then the key heads with their values. */
static void write_head(const struct kern_qk_norm_rope_write *p, const struct kern_span *span,
                       int32_t r, int32_t h)
{
    const struct kern_kv *kv = &p->kv;
    int64_t row = span->row + r;
    int32_t pos = span->pos + r, kh = h - p->q_heads;
    float y[KERN_HEAD_MAX];

    if (h < p->q_heads) {
        float *to = p->y + (row * p->q_heads + h) * kv->head_dim;

        norm_head(p, p->q + row * p->ld_q + (int64_t)h * p->q_stride, p->q_w, to);
        rotate_head(p, row, to);
        return;
    }
    int64_t from = row * p->ld_kv + (int64_t)kh * kv->head_dim;
    char *page = (char *)kv->base + (size_t)span->pages[pos / kv->page_tokens] * kv->stride;
    norm_head(p, p->k + from, p->k_w, y);
    rotate_head(p, row, y);
    write_k(kv, page, kh, pos % kv->page_tokens, y);
    write_v(kv, page, kh, pos % kv->page_tokens, p->v + from);
}

int FN(qk_norm_rope_write)(struct kern_thread *th, const struct kern_qk_norm_rope_write *p)
{
    CPU_BEGIN(qk_norm_rope_write);
    int32_t heads = p->q_heads + p->kv.heads;

    for (int32_t i = 0; i < p->span_count; i++) {
        int64_t from, to;

        kern_split(th, (int64_t)p->spans[i].rows * heads, &from, &to);
        for (int64_t u = from; u < to; u++)
            write_head(p, &p->spans[i], (int32_t)(u / heads), (int32_t)(u % heads));
    }
    return 0;
}
