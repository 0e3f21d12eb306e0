/* Gated DeltaNet: convolution, gates, and the recurrence with the state folded once per chunk. */
#include "kernels/ref/ref.h"

struct slot {
    float *s, *k, *u;
    double *g;
    float *conv;
};

static struct slot find_slot(const struct kern_slots *slots, const struct kern_gdn_heads *h,
                             int32_t index)
{
    struct kern_slot_parts parts = kern_slot_parts(h);
    char *base = (char *)slots->base + (size_t)index * slots->stride;

    return (struct slot){(float *)(base + parts.s), (float *)(base + parts.k),
                         (float *)(base + parts.u), (double *)(base + parts.g),
                         (float *)(base + parts.conv)};
}

static void convolve_channel(const struct kern_conv1d *p, const struct kern_span *span,
                             float *state, int32_t channel, int32_t channels)
{
    int32_t left = p->heads.conv - 1;

    for (int32_t r = span->row; r < span->row + span->rows; r++) {
        float newest = p->x[r * p->ld_x + channel];
        double sum = (double)newest * (double)p->w[left * channels + channel];

        for (int32_t i = 0; i < left; i++)
            sum += (double)state[i * channels + channel] * (double)p->w[i * channels + channel];
        for (int32_t i = 1; i < left; i++)
            state[(i - 1) * channels + channel] = state[i * channels + channel];
        state[(left - 1) * channels + channel] = newest;
        p->y[r * p->ld_y + channel] = (float)ref_silu(sum);
    }
}

int ref_conv1d(struct kern_thread *th, const struct kern_conv1d *p)
{
    REF_BEGIN(conv1d);
    int32_t channels = kern_slot_parts(&p->heads).channels;
    for (int32_t i = 0; i < p->span_count; i++) {
        struct slot slot = find_slot(&p->slots, &p->heads, p->spans[i].slot);

        for (int32_t c = 0; c < channels; c++)
            convolve_channel(p, &p->spans[i], slot.conv, c, channels);
    }
    return 0;
}

int ref_gdn_gates(struct kern_thread *th, const struct kern_gdn_gates *p)
{
    REF_BEGIN(gdn_gates);
    for (int32_t i = 0; i < p->span_count; i++)
        for (int32_t r = p->spans[i].row; r < p->spans[i].row + p->spans[i].rows; r++)
            for (int32_t j = 0; j < p->heads.hv; j++) {
                double a = (double)p->a[r * p->ld_ab + j] + (double)p->dt_bias[j];
                double rate = p->is_a_exp ? -(double)p->a_log[j] : exp((double)p->a_log[j]);
                double softplus = a > 20 ? a : log1p(exp(a));

                p->g[r * p->heads.hv + j] = (float)fmax(-rate * softplus, (double)KERN_GATE_MIN);
                p->beta[r * p->heads.hv + j] = (float)ref_sigmoid((double)p->b[r * p->ld_ab + j]);
            }
    return 0;
}

struct token {
    double q[KERN_HEAD_MAX], k[KERN_HEAD_MAX], u[KERN_HEAD_MAX], o[KERN_HEAD_MAX];
};

static void normalise(const float *x, int32_t n, double scale, double *y)
{
    double sum = 0;

    for (int32_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    for (int32_t i = 0; i < n; i++)
        y[i] = (double)x[i] * scale / sqrt(sum + 1e-6);
}

/* The state at token n of the chunk, read through the tail:
 * x' (e^{G_n} S + sum_{t < end} e^{G_n - G_t} k_t u_t'). */
static void read_state(const struct kern_gdn_heads *h, const struct slot *at, int32_t n,
                       int32_t end, const double *x, double *y)
{
    int32_t dvp = kern_round16(h->dv);

    for (int32_t c = 0; c < h->dv; c++) {
        y[c] = 0;
        for (int32_t d = 0; d < h->dk; d++)
            y[c] += x[d] * (double)at->s[d * dvp + c];
        y[c] *= exp(at->g[n]);
    }
    for (int32_t t = 0; t < end; t++) {
        double dot = 0;

        for (int32_t d = 0; d < h->dk; d++)
            dot += x[d] * (double)at->k[d * KERN_CHUNK + t];
        for (int32_t c = 0; c < h->dv; c++)
            y[c] += exp(at->g[n] - at->g[t]) * dot * (double)at->u[t * dvp + c];
    }
}

static void fold(const struct kern_gdn_heads *h, const struct slot *at)
{
    int32_t dvp = kern_round16(h->dv), last = KERN_CHUNK - 1;

    for (int32_t d = 0; d < h->dk; d++)
        for (int32_t c = 0; c < h->dv; c++) {
            double s = (double)at->s[d * dvp + c] * exp(at->g[last]);

            for (int32_t t = 0; t < KERN_CHUNK; t++)
                s += exp(at->g[last] - at->g[t]) * (double)at->k[d * KERN_CHUNK + t] *
                     (double)at->u[t * dvp + c];
            at->s[d * dvp + c] = (float)s;
        }
}

static void put_normed(const struct kern_gdn *p, int32_t row, int32_t head, const double *o)
{
    int32_t dv = p->heads.dv;
    double sum = 0;

    for (int32_t c = 0; c < dv; c++)
        sum += o[c] * o[c];
    for (int32_t c = 0; c < dv; c++)
        ref_put(&p->y, row, head * dv + c,
                o[c] / sqrt(sum / dv + (double)p->eps) * (double)p->norm_w[c] *
                    ref_silu((double)p->z[row * p->ld_z + head * dv + c]));
}

/* One token of one value head: row r of the span. */
static void step(const struct kern_gdn *p, const struct kern_span *span, int32_t r, int32_t head)
{
    const struct kern_gdn_heads *h = &p->heads;
    int32_t row = span->row + r, n = (span->pos + r) % KERN_CHUNK, dvp = kern_round16(h->dv);
    int32_t key_head = h->is_value_permuted ? head % h->hk : head / (h->hv / h->hk);
    struct slot slot = find_slot(&p->slots, h, span->slot), *at = &slot;
    const float *qkv = p->qkv + row * p->ld_qkv;
    const float *v = qkv + 2 * h->hk * h->dk + head * h->dv;
    double beta = (double)p->beta[row * h->hv + head];
    double g = fmax((double)p->g[row * h->hv + head], (double)KERN_GATE_MIN);
    struct token t;

    at->s += (size_t)head * (size_t)(h->dk * dvp);
    at->k += (size_t)key_head * (size_t)(h->dk * KERN_CHUNK);
    at->u += (size_t)head * (size_t)(KERN_CHUNK * dvp);
    at->g += head * KERN_CHUNK;
    normalise(qkv + key_head * h->dk, h->dk, 1 / sqrt(h->dk), t.q);
    normalise(qkv + (h->hk + key_head) * h->dk, h->dk, 1, t.k);
    at->g[n] = g + (n > 0 ? at->g[n - 1] : 0);
    for (int32_t d = 0; d < h->dk; d++)
        at->k[d * KERN_CHUNK + n] = (float)t.k[d];
    read_state(h, at, n, n, t.k, t.u);
    for (int32_t c = 0; c < h->dv; c++)
        at->u[n * dvp + c] = (float)(beta * ((double)v[c] - t.u[c]));
    read_state(h, at, n, n + 1, t.q, t.o);
    put_normed(p, row, head, t.o);
    if (n == KERN_CHUNK - 1)
        fold(h, at);
}

int ref_gdn_chunk(struct kern_thread *th, const struct kern_gdn *p)
{
    REF_BEGIN(gdn_chunk);
    const struct kern_gdn_heads *h = &p->heads;
    for (int32_t i = 0; i < p->span_count; i++)
        for (int32_t r = 0; r < p->spans[i].rows; r++)
            for (int32_t j = 0; j < h->hv; j++)
                step(p, &p->spans[i], r, j);
    return 0;
}

int ref_gdn_step(struct kern_thread *th, const struct kern_gdn *p)
{
    REF_BEGIN(gdn_step);
    return ref_gdn_chunk(th, p);
}
