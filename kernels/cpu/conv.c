/* DeltaNet's convolution and gates, one key head with its value heads at a time. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/gdn_units.h"

struct conv {
    const struct kern_conv1d *p;
    const struct kern_span *span;
    float *state; /* [conv - 1][channels] */
    int32_t channels, left;
};

/* Input t of state ++ segment. */
static const float *input_at(const struct conv *c, int64_t t)
{
    if (t < c->left)
        return c->state + t * c->channels;
    return c->p->x + (c->span->row + t - c->left) * c->p->ld_x;
}

static void convolve_row(const struct conv *c, int32_t r, int32_t first, int32_t end)
{
    const float *in[KERN_CONV_MAX];
    float *y = c->p->y + (c->span->row + r) * c->p->ld_y;

    for (int32_t i = 0; i <= c->left; i++)
        in[i] = input_at(c, r + i);
    for (int32_t ch = first; ch < end; ch += VEC) {
        vec sum = vec_zero();

        for (int32_t i = 0; i <= c->left; i++)
            sum = vec_fma(vec_load_n(in[i] + ch, end - ch),
                          vec_load_n(c->p->w + i * c->channels + ch, end - ch), sum);
        vec_store_n(y + ch, vec_silu(sum), end - ch);
    }
}

static void convolve_channels(const struct conv *c, int32_t first, int32_t n)
{
    for (int32_t r = 0; r < c->span->rows; r++)
        convolve_row(c, r, first, first + n);
    /* Ascending: a state row is read before it is overwritten. */
    for (int32_t i = 0; i < c->left; i++)
        memmove(c->state + i * c->channels + first, input_at(c, c->span->rows + i) + first,
                (size_t)n * sizeof(float));
}

int FN(conv1d)(struct kern_thread *th, const struct kern_conv1d *p)
{
    CPU_BEGIN(conv1d);
    const struct kern_gdn_heads *h = &p->heads;
    struct kern_slot_parts parts = kern_slot_parts(h);
    struct gdn_units u = gdn_units_begin(th, p->spans, p->span_count, h->hk);

    while (gdn_units_next(&u)) {
        const struct kern_span *span = &p->spans[u.span];
        char *slot = (char *)p->slots.base + (size_t)span->slot * p->slots.stride;
        struct conv c = {p, span, (float *)(slot + parts.conv), parts.channels, h->conv - 1};

        convolve_channels(&c, u.key_head * h->dk, h->dk);
        convolve_channels(&c, (h->hk + u.key_head) * h->dk, h->dk);
        for (int32_t i = 0; i < h->hv / h->hk; i++)
            convolve_channels(&c, 2 * h->hk * h->dk + kern_value_head(h, u.key_head, i) * h->dv,
                              h->dv);
    }
    return 0;
}

static void gate(const struct kern_gdn_gates *p, int64_t row, int32_t j)
{
    float a = p->a[row * p->ld_ab + j] + p->dt_bias[j], b = p->b[row * p->ld_ab + j];
    float rate = p->is_a_exp ? -p->a_log[j] : expf(p->a_log[j]);
    float softplus = a > 20.0f ? a : log1pf(expf(a));
    float g = -rate * softplus;

    p->g[row * p->heads.hv + j] = g < KERN_GATE_MIN ? KERN_GATE_MIN : g;
    p->beta[row * p->heads.hv + j] = 1.0f / (1.0f + expf(-b));
}

int FN(gdn_gates)(struct kern_thread *th, const struct kern_gdn_gates *p)
{
    CPU_BEGIN(gdn_gates);
    struct gdn_units u = gdn_units_begin(th, p->spans, p->span_count, p->heads.hk);

    while (gdn_units_next(&u)) {
        const struct kern_span *span = &p->spans[u.span];

        for (int32_t i = 0; i < p->heads.hv / p->heads.hk; i++)
            for (int32_t r = 0; r < span->rows; r++)
                gate(p, span->row + r, kern_value_head(&p->heads, u.key_head, i));
    }
    return 0;
}
