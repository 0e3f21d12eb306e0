/* Operations on rows that know no sequence. */
#include "kernels/ref/ref.h"

int ref_embed(struct kern_thread *th, const struct kern_embed *p)
{
    REF_BEGIN(embed);
    for (int32_t r = 0; r < p->rows; r++)
        kern_unpack_row(&p->table, p->ids[r], p->y + r * p->ld);
    return 0;
}

int ref_rms_norm(struct kern_thread *th, const struct kern_rms_norm *p)
{
    REF_BEGIN(rms_norm);
    for (int32_t r = 0; r < p->rows; r++) {
        float *x = p->x + (p->pick != NULL ? p->pick[r] : r) * p->ld;
        double sum = 0;

        for (int32_t i = 0; i < p->n; i++) {
            if (p->residual != NULL)
                x[i] += p->residual[r * p->ld + i];
            sum += (double)x[i] * (double)x[i];
        }
        double scale = 1 / sqrt(sum / p->n + (double)p->eps);
        for (int32_t i = 0; i < p->n; i++)
            ref_put(&p->y, r, i,
                    (double)x[i] * scale * ((p->is_plus_one ? 1.0 : 0.0) + (double)p->w[i]));
    }
    return 0;
}

double ref_dot(const struct kern_matrix *w, int32_t out, const struct kern_in *x, int64_t row)
{
    int64_t even = (w->cols + 1) / 2 * 2, block = out / KERN_BLOCK, lane = out % KERN_BLOCK;
    double sum = 0;

    for (int64_t k = 0; k < w->cols; k++) {
        float a;

        if (w->layout == KERN_LAYOUT_F32)
            a = ((const float *)w->data)[(block * w->cols + k) * KERN_BLOCK + lane];
        else
            a = kern_bf16_to_f32((
                (const uint16_t *)w
                    ->data)[block * KERN_BLOCK * even + k / 2 * 2 * KERN_BLOCK + 2 * lane + k % 2]);
        sum += (double)a * ref_get(x, row, k);
    }
    return sum;
}

int ref_linear(struct kern_thread *th, const struct kern_linear *p)
{
    REF_BEGIN(linear);
    for (int32_t r = 0; r < p->rows; r++)
        for (int32_t o = 0; o < p->w.rows; o++) {
            float *y = &p->y[r * p->ld + o];
            double sum = ref_dot(&p->w, o, &p->x, r);

            if (p->bias != NULL)
                sum += (double)p->bias[o];
            *y = (float)(sum + (p->is_added ? (double)*y : 0.0));
        }
    return 0;
}

int ref_linear_swiglu(struct kern_thread *th, const struct kern_linear_swiglu *p)
{
    REF_BEGIN(linear_swiglu);
    for (int32_t r = 0; r < p->rows; r++)
        for (int32_t o = 0; o < p->gate.rows; o++)
            ref_put(&p->y, r, o,
                    ref_silu(ref_dot(&p->gate, o, &p->x, r)) * ref_dot(&p->up, o, &p->x, r));
    return 0;
}

int ref_swiglu(struct kern_thread *th, const struct kern_swiglu *p)
{
    REF_BEGIN(swiglu);
    for (int32_t r = 0; r < p->rows; r++)
        for (int32_t i = 0; i < p->n; i++)
            ref_put(&p->y, r, i,
                    ref_silu((double)p->gate[r * p->ld + i]) * (double)p->up[r * p->ld + i]);
    return 0;
}

int ref_gate_mul(struct kern_thread *th, const struct kern_gate_mul *p)
{
    REF_BEGIN(gate_mul);
    for (int32_t r = 0; r < p->rows; r++)
        for (int32_t i = 0; i < p->n; i++) {
            double gate = (double)p->gate[r * p->ld_gate + (p->is_scalar ? 0 : i)];
            double y = (double)p->x[r * p->ld_x + i] * ref_sigmoid(gate);

            if (p->is_added)
                y += (double)((const float *)p->y.data)[r * p->y.ld + i];
            ref_put(&p->y, r, i, y);
        }
    return 0;
}

int ref_logits_stat(struct kern_thread *th, const struct kern_logits_stat *p)
{
    REF_BEGIN(logits_stat);
    for (int32_t r = 0; r < p->rows; r++) {
        const float *x = p->logits + r * p->ld;
        int32_t best = 0;
        double sum = 0;

        for (int32_t i = 1; i < p->vocab; i++)
            if (x[i] > x[best])
                best = i;
        for (int32_t i = 0; i < p->vocab; i++)
            sum += exp((double)x[i] - (double)x[best]);
        p->best[r] = best;
        p->lse[r] = (float)((double)x[best] + log(sum));
    }
    return 0;
}

int ref_copy(struct kern_thread *th, const struct kern_copy *p)
{
    REF_BEGIN(copy);
    memcpy(p->to, p->from, p->bytes);
    return 0;
}
