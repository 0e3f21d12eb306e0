/* Operations on rows that know no sequence. */
#include "kernels/cpu/cpu.h"

int FN(embed)(struct kern_thread *th, const struct kern_embed *p)
{
    CPU_BEGIN(embed);
    int64_t from, to;

    kern_split(th, p->rows, &from, &to);
    for (int64_t r = from; r < to; r++)
        kern_unpack_row(&p->table, p->ids[r], p->y + r * p->ld);
    return 0;
}

static void norm_row(const struct kern_rms_norm *p, int64_t row)
{
    float *x = p->x + (p->pick != NULL ? p->pick[row] : row) * p->ld;

    if (p->residual != NULL)
        for (int32_t i = 0; i < p->n; i += VEC) {
            vec sum =
                vec_load_n(x + i, p->n - i) + vec_load_n(p->residual + row * p->ld + i, p->n - i);

            vec_store_n(x + i, sum, p->n - i);
        }
    vec scale = vec_set(1.0f / sqrtf(square_sum(x, p->n) / (float)p->n + p->eps));
    vec one = vec_set(p->is_plus_one ? 1.0f : 0.0f);
    for (int32_t i = 0; i < p->n; i += VEC) {
        vec w = one + vec_load_n(p->w + i, p->n - i);

        put_vec(&p->y, row, i, vec_load_n(x + i, p->n - i) * scale * w, p->n - i);
    }
}

int FN(rms_norm)(struct kern_thread *th, const struct kern_rms_norm *p)
{
    CPU_BEGIN(rms_norm);
    int64_t from, to;

    kern_split(th, p->rows, &from, &to);
    for (int64_t r = from; r < to; r++)
        norm_row(p, r);
    return 0;
}

/* Rows by columns in pieces of this many, so that one row occupies several threads too. */
enum { PIECE = 1024 };

struct pieces {
    int64_t from, to, per_row;
};

static struct pieces split_pieces(struct kern_thread *th, int32_t rows, int32_t n)
{
    struct pieces p = {.per_row = (n + PIECE - 1) / PIECE};

    kern_split(th, rows * p.per_row, &p.from, &p.to);
    return p;
}

static int32_t piece_end(int32_t first, int32_t n)
{
    return n - first < PIECE ? n : first + PIECE;
}

int FN(swiglu)(struct kern_thread *th, const struct kern_swiglu *p)
{
    CPU_BEGIN(swiglu);
    struct pieces s = split_pieces(th, p->rows, p->n);

    for (int64_t u = s.from; u < s.to; u++) {
        int64_t row = u / s.per_row;
        int32_t first = (int32_t)(u % s.per_row) * PIECE;

        for (int32_t i = first; i < piece_end(first, p->n); i += VEC)
            put_vec(&p->y, row, i,
                    vec_silu(vec_load_n(p->gate + row * p->ld + i, p->n - i)) *
                        vec_load_n(p->up + row * p->ld + i, p->n - i),
                    p->n - i);
    }
    return 0;
}

static vec gated(const struct kern_gate_mul *p, int64_t row, int32_t i)
{
    const float *gate = p->gate + row * p->ld_gate;
    vec g = p->is_scalar ? vec_set(gate[0]) : vec_load_n(gate + i, p->n - i);
    vec y = vec_load_n(p->x + row * p->ld_x + i, p->n - i) * vec_sigmoid(g);

    if (p->is_added)
        y += vec_load_n((const float *)p->y.data + row * p->y.ld + i, p->n - i);
    return y;
}

int FN(gate_mul)(struct kern_thread *th, const struct kern_gate_mul *p)
{
    CPU_BEGIN(gate_mul);
    struct pieces s = split_pieces(th, p->rows, p->n);

    for (int64_t u = s.from; u < s.to; u++) {
        int64_t row = u / s.per_row;
        int32_t first = (int32_t)(u % s.per_row) * PIECE;

        for (int32_t i = first; i < piece_end(first, p->n); i += VEC)
            put_vec(&p->y, row, i, gated(p, row, i), p->n - i);
    }
    return 0;
}

static void stat_row(const struct kern_logits_stat *p, int64_t row)
{
    const float *x = p->logits + row * p->ld;
    vec largest = vec_set(x[0]), sum = vec_zero();
    int32_t whole = p->vocab / VEC * VEC, best = 0;
    float rest = 0;

    for (int32_t i = 0; i < whole; i += VEC)
        largest = vec_max(vec_load(x + i), largest);
    float top = vec_largest(largest);
    for (int32_t i = whole; i < p->vocab; i++)
        top = x[i] > top ? x[i] : top;
    while (best < p->vocab - 1 && x[best] != top)
        best++;
    for (int32_t i = 0; i < whole; i += VEC)
        sum += vec_exp(vec_load(x + i) - top);
    for (int32_t i = whole; i < p->vocab; i++)
        rest += vec_exp(vec_set(x[i] - top))[0];
    p->best[row] = best;
    p->lse[row] = top + logf(vec_sum(sum) + rest);
}

int FN(logits_stat)(struct kern_thread *th, const struct kern_logits_stat *p)
{
    CPU_BEGIN(logits_stat);
    int64_t from, to;

    kern_split(th, p->rows, &from, &to);
    for (int64_t r = from; r < to; r++)
        stat_row(p, r);
    return 0;
}

int FN(copy)(struct kern_thread *th, const struct kern_copy *p)
{
    CPU_BEGIN(copy);
    int64_t from, to, units = (int64_t)((p->bytes + 4095) / 4096);

    kern_split(th, units, &from, &to);
    size_t first = (size_t)from * 4096, end = (size_t)to * 4096;
    if (first < p->bytes)
        memcpy((char *)p->to + first, (const char *)p->from + first,
               (end < p->bytes ? end : p->bytes) - first);
    return 0;
}
