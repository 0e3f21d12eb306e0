#include "kernels/cuda/check.h"

#include <errno.h>
#include <math.h>

#define TRY(check) \
    do { \
        int rc_ = (check); \
        if (rc_ != 0) \
            return rc_; \
    } while (0)

enum { SPANS_MAX = 65535, HEADS_MAX = 1024 };

static int refuse_unless(bool ok)
{
    return ok ? 0 : -EINVAL;
}

static bool is_aligned(const void *p, size_t to)
{
    return p != NULL && (uintptr_t)p % to == 0;
}

static int check_heads(const struct kern_gdn_heads *h)
{
    if (h->hk < 1 || h->hv < h->hk || h->hv % h->hk != 0 || h->dk < 1 || h->dv < 1 ||
        h->hv > HEADS_MAX || h->conv < 2)
        return -EINVAL;
    return h->dk <= KERN_HEAD_MAX && h->dv <= KERN_HEAD_MAX && h->conv <= KERN_CONV_MAX ? 0
                                                                                        : -ENOTSUP;
}

static int check_type(enum kern_type type)
{
    return type == KERN_F32 || type == KERN_BF16 ? 0 : -ENOTSUP;
}

static size_t align_up(size_t bytes)
{
    return (bytes + KERN_ALIGN - 1) / KERN_ALIGN * KERN_ALIGN;
}

struct kern_cuda_parts kern_cuda_slot_parts(const struct kern_gdn_heads *h, int32_t keep,
                                            enum kern_type type)
{
    size_t hk = (size_t)h->hk, hv = (size_t)h->hv, dk = (size_t)h->dk, dv = (size_t)h->dv;
    size_t ring = 2 * (size_t)keep;
    struct kern_cuda_parts p = {.conv_rows = h->conv - 1 + (keep > 1 ? keep : 1),
                                .ring_rows = 2 * keep,
                                .channels = 2 * h->hk * h->dk + h->hv * h->dv};

    p.conv = align_up(hv * dk * dv * sizeof(float));
    p.k = p.conv + align_up((size_t)p.conv_rows * (size_t)p.channels * kern_cuda_type_bytes(type));
    p.u = p.k + align_up(ring * hk * dk * sizeof(float));
    p.a = p.u + align_up(ring * hv * dv * sizeof(float));
    p.bytes = p.a + align_up(ring * hv * sizeof(float));
    return p;
}

static int check_shape(const struct kern_gdn_heads *h, int32_t keep, enum kern_type type)
{
    TRY(check_heads(h));
    TRY(check_type(type));
    TRY(refuse_unless(keep >= 0));
    return keep <= KERN_CUDA_KEEP_MAX ? 0 : -ENOTSUP;
}

size_t kern_cuda_slot_bytes(const struct kern_gdn_heads *h, int32_t keep, enum kern_type type)
{
    if (h == NULL || check_shape(h, keep, type) != 0)
        return 0;
    return kern_cuda_slot_parts(h, keep, type).bytes;
}

size_t kern_cuda_gdn_work_bytes(const struct kern_gdn_heads *h, int32_t chunks, int32_t spans,
                                int32_t segments)
{
    if (h == NULL || check_heads(h) != 0 || chunks < 1 || spans < 1 || segments < 0 ||
        segments > KERN_CUDA_SEGMENTS_MAX)
        return 0;
    size_t matrix = (size_t)h->dk * (size_t)(h->dv + h->dk) * sizeof(float);
    size_t between = segments > 1 ? (size_t)spans * (size_t)segments * matrix : 0;

    return (size_t)h->hv * (between + (size_t)chunks * KERN_CUDA_PREPARED_BYTES);
}

int32_t kern_cuda_gdn_segments(const struct kern_gdn_heads *h, int32_t chunks, int32_t spans,
                               int32_t sms)
{
    if (h == NULL || check_heads(h) != 0 || spans < 1)
        return 1;
    int64_t warps = (int64_t)spans * h->hv * ((h->dv + 15) / 16);
    int64_t segments = 4 * (int64_t)sms / warps, most = chunks / spans / 8;

    if (most > KERN_CUDA_SEGMENTS_MAX)
        most = KERN_CUDA_SEGMENTS_MAX;
    segments = segments < most ? segments : most;
    return segments > 2 ? (int32_t)segments : 1; /* two cost as much as they bring */
}

bool kern_cuda_has_tensor_path(const struct kern_gdn_heads *h, enum kern_type qkv)
{
    return qkv == KERN_BF16 && (h->dk == 64 || h->dk == 128 || h->dk == 256) && h->dv % 16 == 0;
}

int32_t kern_cuda_number_chunks(struct kern_cuda_span *spans, int32_t count)
{
    int32_t chunks = 0;

    for (int32_t i = 0; i < count; i++) {
        spans[i].chunk = chunks;
        chunks += kern_cuda_pieces(spans[i].pos, spans[i].rows);
    }
    return chunks;
}

static int check_slots(const struct kern_cuda_slots *s, const struct kern_gdn_heads *h)
{
    TRY(check_shape(h, s->keep, s->type));
    return refuse_unless(is_aligned(s->base, KERN_ALIGN) && s->stride % KERN_ALIGN == 0 &&
                         s->stride >= kern_cuda_slot_parts(h, s->keep, s->type).bytes &&
                         s->count >= 1);
}

/* rows_max: most rows of one span. */
static int check_spans(const struct kern_cuda_spans *spans, const struct kern_cuda_slots *slots,
                       int32_t rows_max)
{
    TRY(refuse_unless(spans->host != NULL && is_aligned(spans->device, sizeof(int32_t)) &&
                      spans->count >= 1 && spans->rows >= 1));
    if (spans->count > SPANS_MAX)
        return -ENOTSUP;
    int64_t chunk = 0;
    for (int32_t i = 0; i < spans->count; i++) {
        const struct kern_cuda_span *s = &spans->host[i];

        if (s->row < 0 || s->rows < 1 || s->rows > rows_max || s->rows > spans->rows ||
            s->row > spans->rows - s->rows || s->pos < 0 || s->pos > INT32_MAX - s->rows)
            return -EINVAL;
        TRY(refuse_unless(s->slot >= 0 && s->slot < slots->count && s->chunk == chunk));
        TRY(refuse_unless(s->pending >= 0 && s->pending <= slots->keep && s->pending <= s->pos));
        chunk += kern_cuda_pieces(s->pos, s->rows);
    }
    return refuse_unless(chunk <= INT32_MAX);
}

/* Every checkpoint a span passes has a slot in the list. */
static int check_checkpoints(const struct kern_cuda_list *list, const struct kern_cuda_spans *spans,
                             const struct kern_cuda_slots *slots)
{
    bool is_there = list->host != NULL;

    TRY(refuse_unless(is_there == (list->device != NULL) && list->count >= 0));
    for (int32_t i = 0; is_there && i < list->count; i++)
        TRY(refuse_unless(list->host[i] >= 0 && list->host[i] < slots->count));
    for (int32_t i = 0; i < spans->count; i++) {
        const struct kern_cuda_span *s = &spans->host[i];
        int32_t passed = (s->pos + s->rows) / KERN_CUDA_CHECKPOINT - s->pos / KERN_CUDA_CHECKPOINT;

        TRY(refuse_unless(s->checkpoint >= -1));
        if (s->checkpoint >= 0)
            TRY(refuse_unless(is_there && passed <= list->count &&
                              s->checkpoint <= list->count - passed));
    }
    return 0;
}

static int check_in(const struct kern_in *x, int64_t n)
{
    TRY(check_type(x->type));
    return refuse_unless(is_aligned(x->data, kern_cuda_type_bytes(x->type)) && x->ld >= n);
}

static int check_out(const struct kern_out *y, int64_t n)
{
    TRY(check_type(y->type));
    return refuse_unless(is_aligned(y->data, kern_cuda_type_bytes(y->type)) && y->ld >= n);
}

static int check_floats(const float *p)
{
    return refuse_unless(is_aligned(p, sizeof *p));
}

static int check_gates(const struct kern_cuda_gates *g, int32_t hv)
{
    TRY(check_in(&g->a, hv));
    TRY(check_in(&g->b, hv));
    TRY(check_floats(g->a_log));
    return check_floats(g->dt_bias);
}

static int check_norm(const struct kern_cuda_gate_norm *n, int64_t width)
{
    if (n->z.data == NULL)
        return 0;
    TRY(check_in(&n->z, width));
    TRY(check_floats(n->w));
    return refuse_unless(n->eps >= 0 && isfinite(n->eps));
}

int kern_cuda_check_conv1d(const struct kern_cuda_conv1d *p)
{
    TRY(refuse_unless(p != NULL));
    TRY(check_slots(&p->slots, &p->heads));
    TRY(check_spans(&p->spans, &p->slots, INT32_MAX));
    TRY(check_checkpoints(&p->checkpoints, &p->spans, &p->slots));
    int32_t channels = kern_cuda_slot_parts(&p->heads, 0, KERN_F32).channels;
    TRY(check_in(&p->x, channels));
    TRY(refuse_unless(p->x.type == p->slots.type));
    TRY(check_floats(p->w));
    TRY(check_out(&p->y, channels));
    return refuse_unless(p->x.data != p->y.data);
}

int kern_cuda_check_gdn_step(const struct kern_cuda_gdn_step *p)
{
    TRY(refuse_unless(p != NULL));
    TRY(check_slots(&p->slots, &p->heads));
    TRY(check_spans(&p->spans, &p->slots, p->slots.keep > 1 ? p->slots.keep : 1));
    TRY(check_in(&p->x, kern_cuda_slot_parts(&p->heads, 0, KERN_F32).channels));
    TRY(refuse_unless(p->x.type == p->slots.type));
    TRY(check_floats(p->w));
    TRY(check_gates(&p->gates, p->heads.hv));
    int64_t width = (int64_t)p->heads.hv * p->heads.dv;
    TRY(check_norm(&p->norm, width));
    return check_out(&p->y, width);
}

int kern_cuda_check_gdn_fold(const struct kern_cuda_gdn_fold *p)
{
    TRY(refuse_unless(p != NULL));
    TRY(check_slots(&p->slots, &p->heads));
    return check_spans(&p->spans, &p->slots, INT32_MAX);
}

static int check_prompt(const struct kern_cuda_gdn_chunk *p)
{
    TRY(refuse_unless(p != NULL));
    TRY(check_slots(&p->slots, &p->heads));
    TRY(check_spans(&p->spans, &p->slots, INT32_MAX));
    for (int32_t i = 0; i < p->spans.count; i++)
        TRY(refuse_unless(p->spans.host[i].pending == 0));
    TRY(check_checkpoints(&p->checkpoints, &p->spans, &p->slots));
    TRY(check_in(&p->qkv, kern_cuda_slot_parts(&p->heads, 0, KERN_F32).channels));
    TRY(check_gates(&p->gates, p->heads.hv));
    int64_t width = (int64_t)p->heads.hv * p->heads.dv;
    TRY(check_norm(&p->norm, width));
    TRY(refuse_unless(p->segments >= 0));
    return check_out(&p->y, width);
}

int kern_cuda_check_gdn_rows(const struct kern_cuda_gdn_chunk *p)
{
    TRY(check_prompt(p));
    return p->segments <= 1 ? 0 : -ENOTSUP;
}

int kern_cuda_check_gdn_chunk(const struct kern_cuda_gdn_chunk *p)
{
    TRY(check_prompt(p));
    if (!kern_cuda_has_tensor_path(&p->heads, p->qkv.type))
        return p->segments <= 1 ? 0 : -ENOTSUP;
    if (p->segments > KERN_CUDA_SEGMENTS_MAX || p->segments * p->spans.count > SPANS_MAX)
        return -ENOTSUP;
    TRY(refuse_unless(is_aligned(p->qkv.data, KERN_CUDA_VECTOR) && p->qkv.ld % 8 == 0));
    if (p->y.type == KERN_BF16) /* written in pairs */
        TRY(refuse_unless((uintptr_t)p->y.data % 4 == 0 && p->y.ld % 2 == 0));
    const struct kern_cuda_span *last = &p->spans.host[p->spans.count - 1];
    int32_t chunks = last->chunk + kern_cuda_pieces(last->pos, last->rows);
    if (p->work_bytes < kern_cuda_gdn_work_bytes(&p->heads, chunks, p->spans.count, p->segments))
        return -ENOSPC;
    return refuse_unless(is_aligned(p->work, KERN_ALIGN));
}
