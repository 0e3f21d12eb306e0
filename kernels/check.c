#include "kernels/check.h"

#include <errno.h>
#include <math.h>

#include "kernels/pack.h"
#include "kernels/pool.h"

#define TRY(check) \
    do { \
        int rc_ = (check); \
        if (rc_ != 0) \
            return rc_; \
    } while (0)

static int refuse_unless(bool ok)
{
    return ok ? 0 : -EINVAL;
}

static bool is_aligned(const void *p, size_t to)
{
    return p != NULL && (uintptr_t)p % to == 0;
}

/* Floats, n wide, ld apart. */
static int check_floats(const float *p, int64_t ld, int64_t n)
{
    return refuse_unless(is_aligned(p, sizeof *p) && ld >= n);
}

static int check_eps(float eps)
{
    return refuse_unless(eps >= 0 && isfinite(eps));
}

static int check_in(const struct kern_in *x, int64_t n)
{
    if (x->type != KERN_F32 && x->type != KERN_BF16)
        return -ENOTSUP;
    return refuse_unless(is_aligned(x->data, kern_type_bytes(x->type)) && x->ld >= n);
}

static int check_out(const struct kern_out *y, int64_t n)
{
    if (y->type != KERN_F32 && y->type != KERN_BF16)
        return -ENOTSUP;
    return refuse_unless(is_aligned(y->data, kern_type_bytes(y->type)) && y->ld >= n);
}

static int check_matrix(const struct kern_matrix *m)
{
    if (m->layout != KERN_LAYOUT_F32 && m->layout != KERN_LAYOUT_B16)
        return -ENOTSUP;
    return refuse_unless(kern_matrix_bytes(m->layout, m->rows, m->cols) != 0 &&
                         is_aligned(m->data, KERN_ALIGN));
}

static int check_operand(const struct kern_matrix *m, const struct kern_in *x)
{
    TRY(check_matrix(m));
    TRY(check_in(x, m->cols));
    return refuse_unless(x->type == kern_operand(m->layout));
}

static bool is_alike(const struct kern_matrix *a, const struct kern_matrix *b)
{
    return a->layout == b->layout && a->rows == b->rows && a->cols == b->cols;
}

static int check_spans(const struct kern_span *spans, int32_t count, int32_t rows)
{
    TRY(refuse_unless(spans != NULL && count >= 1 && rows >= 1));
    for (int32_t i = 0; i < count; i++) {
        const struct kern_span *s = &spans[i];

        if (s->row < 0 || s->rows < 1 || s->rows > rows || s->row > rows - s->rows || s->pos < 0 ||
            s->pos > INT32_MAX - s->rows)
            return -EINVAL;
    }
    return 0;
}

/* ---- rows ---- */
int kern_check_embed(const struct kern_embed *p)
{
    TRY(refuse_unless(p != NULL));
    TRY(check_matrix(&p->table));
    TRY(refuse_unless(p->ids != NULL && p->rows >= 1));
    TRY(check_floats(p->y, p->ld, p->table.cols));
    for (int32_t i = 0; i < p->rows; i++)
        TRY(refuse_unless(p->ids[i] >= 0 && p->ids[i] < p->table.rows));
    return 0;
}

int kern_check_rms_norm(const struct kern_rms_norm *p)
{
    TRY(refuse_unless(p != NULL && p->rows >= 1 && p->n >= 1));
    TRY(check_floats(p->x, p->ld, p->n));
    TRY(check_floats(p->w, p->n, p->n));
    TRY(check_out(&p->y, p->n));
    TRY(refuse_unless(p->residual == NULL || p->pick == NULL));
    for (int32_t i = 0; p->pick != NULL && i < p->rows; i++)
        TRY(refuse_unless(p->pick[i] >= 0));
    return check_eps(p->eps);
}

int kern_check_linear(const struct kern_linear *p)
{
    TRY(refuse_unless(p != NULL && p->rows >= 1));
    TRY(check_operand(&p->w, &p->x));
    return check_floats(p->y, p->ld, p->w.rows);
}

int kern_check_linear_swiglu(const struct kern_linear_swiglu *p)
{
    TRY(refuse_unless(p != NULL && p->rows >= 1));
    TRY(check_operand(&p->gate, &p->x));
    TRY(check_matrix(&p->up));
    TRY(refuse_unless(is_alike(&p->gate, &p->up)));
    return check_out(&p->y, p->gate.rows);
}

int kern_check_swiglu(const struct kern_swiglu *p)
{
    TRY(refuse_unless(p != NULL && p->rows >= 1 && p->n >= 1));
    TRY(check_floats(p->gate, p->ld, p->n));
    TRY(check_floats(p->up, p->ld, p->n));
    return check_out(&p->y, p->n);
}

int kern_check_gate_mul(const struct kern_gate_mul *p)
{
    TRY(refuse_unless(p != NULL && p->rows >= 1 && p->n >= 1));
    TRY(check_floats(p->x, p->ld_x, p->n));
    TRY(check_floats(p->gate, p->ld_gate, p->is_scalar ? 1 : p->n));
    TRY(check_out(&p->y, p->n));
    return refuse_unless(!p->is_added || p->y.type == KERN_F32);
}

int kern_check_logits_stat(const struct kern_logits_stat *p)
{
    TRY(refuse_unless(p != NULL && p->rows >= 1 && p->vocab >= 1));
    TRY(check_floats(p->logits, p->ld, p->vocab));
    return refuse_unless(p->best != NULL && p->lse != NULL);
}

int kern_check_copy(const struct kern_copy *p)
{
    return refuse_unless(p != NULL && p->to != NULL && p->from != NULL);
}

/* ---- DeltaNet ---- */
static int check_heads(const struct kern_gdn_heads *h)
{
    if (h->hk < 1 || h->hv < h->hk || h->hv % h->hk != 0 || h->dk < 1 || h->dv < 1)
        return -EINVAL;
    if (h->hv > 1024 || h->conv < 2)
        return -EINVAL;
    return h->dk <= KERN_HEAD_MAX && h->dv <= KERN_HEAD_MAX && h->conv <= KERN_CONV_MAX ? 0
                                                                                        : -ENOTSUP;
}

struct kern_slot_parts kern_slot_parts(const struct kern_gdn_heads *h)
{
    size_t hk = (size_t)h->hk, hv = (size_t)h->hv, dk = (size_t)h->dk;
    size_t dvp = (size_t)kern_round16(h->dv);
    struct kern_slot_parts p = {.dvp = (int32_t)dvp, .channels = 2 * h->hk * h->dk + h->hv * h->dv};

    p.k = p.s + hv * dk * dvp * sizeof(float);
    p.u = p.k + hk * dk * KERN_CHUNK * sizeof(float);
    p.g = p.u + hv * KERN_CHUNK * dvp * sizeof(float);
    p.conv = p.g + hv * KERN_CHUNK * sizeof(double);
    p.bytes = p.conv + (size_t)(h->conv - 1) * (size_t)p.channels * sizeof(float);
    p.bytes = (p.bytes + KERN_ALIGN - 1) / KERN_ALIGN * KERN_ALIGN;
    return p;
}

size_t kern_gdn_slot_bytes(const struct kern_gdn_heads *h)
{
    return h == NULL || check_heads(h) != 0 ? 0 : kern_slot_parts(h).bytes;
}

static int check_slots(const struct kern_slots *slots, const struct kern_gdn_heads *h,
                       const struct kern_span *spans, int32_t count)
{
    TRY(refuse_unless(is_aligned(slots->base, KERN_ALIGN) && slots->stride % KERN_ALIGN == 0 &&
                      slots->stride >= kern_slot_parts(h).bytes));
    for (int32_t i = 0; i < count; i++)
        TRY(refuse_unless(spans[i].slot >= 0 && spans[i].slot < slots->count));
    return 0;
}

int kern_check_conv1d(const struct kern_conv1d *p)
{
    TRY(refuse_unless(p != NULL));
    TRY(check_heads(&p->heads));
    TRY(check_spans(p->spans, p->span_count, p->rows));
    TRY(check_slots(&p->slots, &p->heads, p->spans, p->span_count));
    int32_t channels = kern_slot_parts(&p->heads).channels;
    TRY(check_floats(p->x, p->ld_x, channels));
    TRY(check_floats(p->y, p->ld_y, channels));
    TRY(check_floats(p->w, channels, channels));
    return refuse_unless(p->x != p->y);
}

int kern_check_gdn_gates(const struct kern_gdn_gates *p)
{
    TRY(refuse_unless(p != NULL));
    TRY(check_heads(&p->heads));
    TRY(check_spans(p->spans, p->span_count, p->rows));
    TRY(check_floats(p->a, p->ld_ab, p->heads.hv));
    TRY(check_floats(p->b, p->ld_ab, p->heads.hv));
    return refuse_unless(p->a_log != NULL && p->dt_bias != NULL && p->g != NULL && p->beta != NULL);
}

int kern_check_gdn_chunk(const struct kern_gdn *p)
{
    TRY(refuse_unless(p != NULL));
    TRY(check_heads(&p->heads));
    TRY(check_spans(p->spans, p->span_count, p->rows));
    TRY(check_slots(&p->slots, &p->heads, p->spans, p->span_count));
    TRY(check_floats(p->qkv, p->ld_qkv, kern_slot_parts(&p->heads).channels));
    TRY(check_floats(p->z, p->ld_z, (int64_t)p->heads.hv * p->heads.dv));
    TRY(check_out(&p->y, (int64_t)p->heads.hv * p->heads.dv));
    TRY(refuse_unless(p->g != NULL && p->beta != NULL && p->norm_w != NULL));
    return check_eps(p->eps);
}

int kern_check_gdn_step(const struct kern_gdn *p)
{
    TRY(kern_check_gdn_chunk(p));
    for (int32_t i = 0; i < p->span_count; i++)
        TRY(refuse_unless(p->spans[i].rows == 1));
    return 0;
}

/* ---- attention ---- */
static int check_kv_shape(const struct kern_kv *kv)
{
    if (kv->type != KERN_F32 && kv->type != KERN_BF16)
        return -ENOTSUP;
    if (kv->heads < 1 || kv->heads > 1024 || kv->head_dim < 1)
        return -EINVAL;
    if (kv->head_dim > KERN_HEAD_MAX ||
        (kv->page_tokens != 16 && kv->page_tokens != 32 && kv->page_tokens != 64))
        return -ENOTSUP;
    return 0;
}

size_t kern_kv_page_bytes(const struct kern_kv *kv)
{
    if (kv == NULL || check_kv_shape(kv) != 0)
        return 0;
    return (size_t)kv->heads * (size_t)kv->page_tokens *
           (size_t)(kv->head_dim + kern_round16(kv->head_dim)) * kern_type_bytes(kv->type);
}

size_t kern_attention_work_bytes(const struct kern_kv *kv, int32_t q_heads, int32_t spans,
                                 int32_t tokens)
{
    if (kv == NULL || check_kv_shape(kv) != 0 || q_heads < 1 || spans < 1 || tokens < 1)
        return 0;
    size_t splits = ((size_t)tokens + KERN_SPLIT - 1) / KERN_SPLIT;
    return (size_t)spans * splits * (size_t)q_heads *
           ((size_t)kern_round16(kv->head_dim) + KERN_BLOCK) * sizeof(float);
}

static int check_kv(const struct kern_kv *kv, const struct kern_span *spans, int32_t count)
{
    TRY(check_kv_shape(kv));
    TRY(refuse_unless(is_aligned(kv->base, KERN_ALIGN) && kv->stride % KERN_ALIGN == 0 &&
                      kv->stride >= kern_kv_page_bytes(kv) && kv->pages >= 1));
    for (int32_t i = 0; i < count; i++) {
        const struct kern_span *s = &spans[i];

        if (s->pages == NULL || s->page_count < (s->pos + s->rows - 1) / kv->page_tokens + 1)
            return -EINVAL;
        for (int32_t j = 0; j < s->page_count; j++)
            if (s->pages[j] < 0 || s->pages[j] >= kv->pages)
                return -EINVAL;
    }
    return 0;
}

static bool is_grouped(int32_t q_heads, int32_t kv_heads)
{
    return q_heads >= kv_heads && q_heads % kv_heads == 0 && q_heads <= 4096;
}

int kern_check_rope(const struct kern_rope *p)
{
    TRY(refuse_unless(p != NULL));
    TRY(check_spans(p->spans, p->span_count, p->rows));
    return refuse_unless(p->inv_freq != NULL && p->half >= 1 && p->cos != NULL && p->sin != NULL);
}

int kern_check_qk_norm_rope_write(const struct kern_qk_norm_rope_write *p)
{
    TRY(refuse_unless(p != NULL));
    TRY(check_spans(p->spans, p->span_count, p->rows));
    TRY(check_kv(&p->kv, p->spans, p->span_count));
    int64_t dim = p->kv.head_dim;
    TRY(refuse_unless(is_grouped(p->q_heads, p->kv.heads) && p->q_stride >= dim));
    TRY(check_floats(p->q, p->ld_q, (int64_t)(p->q_heads - 1) * p->q_stride + dim));
    TRY(check_floats(p->k, p->ld_kv, p->kv.heads * dim));
    TRY(check_floats(p->v, p->ld_kv, p->kv.heads * dim));
    TRY(refuse_unless((p->q_w == NULL) == (p->k_w == NULL)));
    TRY(refuse_unless(p->half >= 0 && 2 * (int64_t)p->half <= dim));
    TRY(refuse_unless(p->half == 0 || (p->cos != NULL && p->sin != NULL)));
    TRY(refuse_unless(p->y != NULL && p->y != p->q));
    return check_eps(p->eps);
}

int kern_check_attention(const struct kern_attention *p)
{
    TRY(refuse_unless(p != NULL));
    TRY(check_spans(p->spans, p->span_count, p->rows));
    TRY(check_kv(&p->kv, p->spans, p->span_count));
    int64_t dim = p->kv.head_dim;
    TRY(refuse_unless(is_grouped(p->q_heads, p->kv.heads)));
    TRY(check_floats(p->q, p->q_heads * dim, p->q_heads * dim));
    if (p->gate != NULL) {
        TRY(refuse_unless(p->gate_stride >= dim));
        TRY(check_floats(p->gate, p->ld_gate, (int64_t)(p->q_heads - 1) * p->gate_stride + dim));
    }
    TRY(check_out(&p->y, p->q_heads * dim));
    TRY(refuse_unless(isfinite(p->scale)));
    size_t need = 0;
    for (int32_t i = 0; i < p->span_count; i++)
        if (p->spans[i].rows == 1 && p->spans[i].pos >= KERN_SPLIT)
            need += kern_attention_work_bytes(&p->kv, p->q_heads, 1, p->spans[i].pos + 1);
    if (need > 0 && p->work_bytes < need)
        return -ENOSPC;
    return refuse_unless(need == 0 || is_aligned(p->work, KERN_ALIGN));
}

/* ---- mixture of experts ---- */
int kern_check_moe_route(const struct kern_moe_route *p)
{
    TRY(refuse_unless(p != NULL && p->rows >= 1 && p->experts >= 1 && p->top >= 1 &&
                      p->top <= p->experts));
    if (p->experts > KERN_EXPERTS_MAX || p->top > KERN_TOP_MAX || p->rows > INT32_MAX / p->top)
        return -ENOTSUP;
    TRY(check_floats(p->logits, p->ld, p->experts));
    return refuse_unless(p->ids != NULL && p->weights != NULL && p->start != NULL &&
                         p->place != NULL);
}

static int check_place(const int32_t *place, int32_t rows, int32_t top)
{
    TRY(refuse_unless(place != NULL && rows >= 1 && top >= 1 && rows <= INT32_MAX / top));
    for (int32_t i = 0; i < rows * top; i++)
        TRY(refuse_unless(place[i] >= 0 && place[i] < rows * top));
    return 0;
}

int kern_check_moe_gather(const struct kern_moe_gather *p)
{
    TRY(refuse_unless(p != NULL && p->n >= 1 && p->x.type == p->y.type));
    TRY(check_in(&p->x, p->n));
    TRY(check_out(&p->y, p->n));
    return check_place(p->place, p->rows, p->top);
}

int kern_check_moe_linear(const struct kern_moe_linear *p)
{
    TRY(refuse_unless(p != NULL && p->w != NULL && p->experts >= 1 && p->start != NULL &&
                      p->sorted_rows >= 1));
    if (p->experts > KERN_EXPERTS_MAX)
        return -ENOTSUP;
    TRY(check_operand(&p->w[0], &p->x));
    for (int32_t e = 0; e < p->experts; e++) {
        TRY(check_matrix(&p->w[e]));
        TRY(refuse_unless(is_alike(&p->w[e], &p->w[0])));
        if (p->up != NULL) {
            TRY(check_matrix(&p->up[e]));
            TRY(refuse_unless(is_alike(&p->up[e], &p->w[0])));
        }
        TRY(refuse_unless(p->start[e] >= 0 && p->start[e] <= p->start[e + 1]));
    }
    TRY(refuse_unless(p->start[p->experts] <= p->sorted_rows));
    TRY(check_out(&p->y, p->w[0].rows));
    return refuse_unless(p->up != NULL || p->y.type == KERN_F32);
}

int kern_check_moe_combine(const struct kern_moe_combine *p)
{
    TRY(refuse_unless(p != NULL && p->n >= 1 && p->weights != NULL));
    TRY(check_floats(p->x, p->ld_x, p->n));
    TRY(check_floats(p->y, p->ld_y, p->n));
    return check_place(p->place, p->rows, p->top);
}
