/* Routing, and the rows to and from the experts' order; the products are in linear.c. */
#include "kernels/cpu/cpu.h"

/* Softmax of a row into w [experts]. */
static void softmax(const float *x, int32_t n, float *w)
{
    float largest = x[0], rest = 0;
    int32_t whole = n / VEC * VEC;
    vec sum = vec_zero();

    for (int32_t i = 1; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    for (int32_t i = 0; i < n; i += VEC) {
        vec e = vec_exp(vec_load_n(x + i, n - i) - largest);

        vec_store_n(w + i, e, n - i);
        if (i < whole)
            sum += e;
    }
    for (int32_t i = whole; i < n; i++)
        rest += w[i];
    vec by = vec_set(1.0f / (vec_sum(sum) + rest));
    for (int32_t i = 0; i < n; i += VEC)
        vec_store_n(w + i, vec_load_n(w + i, n - i) * by, n - i);
}

static void route_row(const struct kern_moe_route *p, int64_t row, float *w)
{
    const float *x = p->logits + row * p->ld;
    int32_t *ids = p->ids + row * p->top, kept = 0;
    float *weights = p->weights + row * p->top, sum = 0;

    softmax(x, p->experts, w);
    for (int32_t e = 0; e < p->experts; e++) {
        int32_t at = kept;

        if (kept == p->top && !(x[e] > x[ids[kept - 1]]))
            continue;
        if (kept < p->top)
            kept++;
        else
            at--;
        for (; at > 0 && x[e] > x[ids[at - 1]]; at--)
            ids[at] = ids[at - 1];
        ids[at] = e;
    }
    for (int32_t c = 0; c < p->top; c++)
        sum += w[ids[c]];
    for (int32_t c = 0; c < p->top; c++)
        weights[c] = p->is_renormalised ? w[ids[c]] / sum : w[ids[c]];
}

/* A counting sort: start[e + 1] first counts expert e, then says where its next row goes. */
static void sort_by_expert(const struct kern_moe_route *p)
{
    int32_t pairs = p->rows * p->top, next = 0;

    memset(p->start, 0, (size_t)(p->experts + 1) * sizeof *p->start);
    for (int32_t i = 0; i < pairs; i++)
        p->start[p->ids[i] + 1]++;
    for (int32_t e = 0; e < p->experts; e++) {
        int32_t count = p->start[e + 1];

        p->start[e + 1] = next;
        next += count;
    }
    for (int32_t i = 0; i < pairs; i++)
        p->place[i] = p->start[p->ids[i] + 1]++;
}

int FN(moe_route)(struct kern_thread *th, const struct kern_moe_route *p)
{
    CPU_BEGIN(moe_route);
    int64_t from, to;

    kern_split(th, p->rows, &from, &to);
    for (int64_t r = from; r < to; r++)
        route_row(p, r, th->scratch);
    kern_barrier(th);
    if (th->rank == 0)
        sort_by_expert(p);
    return 0;
}

int FN(moe_gather)(struct kern_thread *th, const struct kern_moe_gather *p)
{
    CPU_BEGIN(moe_gather);
    size_t bytes = kern_type_bytes(p->x.type);
    int64_t from, to;

    kern_split(th, (int64_t)p->rows * p->top, &from, &to);
    for (int64_t i = from; i < to; i++)
        memcpy((char *)p->y.data + (size_t)(p->place[i] * p->y.ld) * bytes,
               (const char *)p->x.data + (size_t)(i / p->top * p->x.ld) * bytes,
               (size_t)p->n * bytes);
    return 0;
}

int FN(moe_combine)(struct kern_thread *th, const struct kern_moe_combine *p)
{
    CPU_BEGIN(moe_combine);
    int64_t vecs = (p->n + VEC - 1) / VEC, from, to;

    kern_split(th, p->rows * vecs, &from, &to);
    for (int64_t u = from; u < to; u++) {
        int64_t row = u / vecs, d = u % vecs * VEC, n = p->n - d;
        float *y = p->y + row * p->ld_y + d;
        vec sum = vec_load_n(y, n);

        for (int64_t c = row * p->top; c < (row + 1) * p->top; c++)
            sum = vec_fma(vec_set(p->weights[c]), vec_load_n(p->x + p->place[c] * p->ld_x + d, n),
                          sum);
        vec_store_n(y, sum, n);
    }
    return 0;
}
