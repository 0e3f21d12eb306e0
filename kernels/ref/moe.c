/* Mixture of experts: route, sort by expert, multiply, combine. */
#include "kernels/ref/ref.h"

static void route_row(const struct kern_moe_route *p, int32_t row)
{
    const float *x = p->logits + row * p->ld;
    int32_t *ids = p->ids + row * p->top;
    float *weights = p->weights + row * p->top;
    double largest = -INFINITY, sum = 0, kept = 0;

    for (int32_t e = 0; e < p->experts; e++)
        largest = fmax(largest, (double)x[e]);
    for (int32_t e = 0; e < p->experts; e++)
        sum += exp((double)x[e] - largest);
    for (int32_t c = 0; c < p->top; c++) {
        int32_t best = -1;

        for (int32_t e = 0; e < p->experts; e++) {
            bool is_taken = false;

            for (int32_t i = 0; i < c; i++)
                is_taken |= ids[i] == e;
            if (!is_taken && (best < 0 || x[e] > x[best]))
                best = e;
        }
        ids[c] = best;
        kept += exp((double)x[best] - largest) / sum;
    }
    for (int32_t c = 0; c < p->top; c++)
        weights[c] =
            (float)(exp((double)x[ids[c]] - largest) / sum / (p->is_renormalised ? kept : 1.0));
}

int ref_moe_route(struct kern_thread *th, const struct kern_moe_route *p)
{
    REF_BEGIN(moe_route);
    int32_t next = 0;
    for (int32_t r = 0; r < p->rows; r++)
        route_row(p, r);
    for (int32_t e = 0; e < p->experts; e++) {
        p->start[e] = next;
        for (int32_t i = 0; i < p->rows * p->top; i++)
            if (p->ids[i] == e)
                p->place[i] = next++;
    }
    p->start[p->experts] = next;
    return 0;
}

int ref_moe_gather(struct kern_thread *th, const struct kern_moe_gather *p)
{
    REF_BEGIN(moe_gather);
    for (int32_t i = 0; i < p->rows * p->top; i++)
        for (int32_t k = 0; k < p->n; k++)
            ref_put(&p->y, p->place[i], k, ref_get(&p->x, i / p->top, k));
    return 0;
}

int ref_moe_linear(struct kern_thread *th, const struct kern_moe_linear *p)
{
    REF_BEGIN(moe_linear);
    for (int32_t e = 0; e < p->experts; e++)
        for (int32_t s = p->start[e]; s < p->start[e + 1]; s++)
            for (int32_t o = 0; o < p->w[e].rows; o++) {
                double y = ref_dot(&p->w[e], o, &p->x, s);

                if (p->up != NULL)
                    y = ref_silu(y) * ref_dot(&p->up[e], o, &p->x, s);
                ref_put(&p->y, s, o, y);
            }
    return 0;
}

int ref_moe_combine(struct kern_thread *th, const struct kern_moe_combine *p)
{
    REF_BEGIN(moe_combine);
    for (int32_t r = 0; r < p->rows; r++)
        for (int32_t i = 0; i < p->n; i++) {
            double sum = (double)p->y[r * p->ld_y + i];

            for (int32_t c = 0; c < p->top; c++)
                sum += (double)p->weights[r * p->top + c] *
                       (double)p->x[p->place[r * p->top + c] * p->ld_x + i];
            p->y[r * p->ld_y + i] = (float)sum;
        }
    return 0;
}
