/* Rotary positions, pages and attention: bounds against the reference; bits in pieces, in a batch,
 * on several threads; long sequences whose splits go to different threads. */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tests/kernels/kernels_util.h"

struct shape {
    int32_t kv_heads, group, dim, half, page_tokens, tokens;
    bool is_gated, is_normed;
    double scale;
};

static const struct shape shapes[] = {
    {1, 1, 1, 0, 16, 3, false, false, 1},    {2, 1, 16, 8, 16, 65, true, true, 1},
    {1, 3, 33, 10, 32, 70, false, true, 1},  {2, 2, 31, 15, 64, 129, true, false, 30},
    {3, 5, 64, 32, 16, 40, false, true, 1},  {1, 30, 20, 4, 32, 33, true, true, 100},
    {2, 4, 256, 32, 32, 100, true, true, 1}, {1, 2, 32, 16, 32, 1300, false, true, 1},
};

struct layer {
    const struct shape *s;
    int32_t q_heads, q_stride;
    float *q, *k, *v, *q_w, *k_w, *inv_freq;
    int32_t *pages;
    struct kern_kv kv; /* base: set per run */
};

struct run {
    const struct kern_ops *ops;
    const struct layer *l;
    struct kern_span span;
    struct kern_kv kv;
    float *cos, *sin, *q, *y;
    void *work;
    size_t work_bytes;
};

static struct layer make_layer(const struct shape *s, enum kern_type type)
{
    struct layer l = {
        .s = s, .q_heads = s->kv_heads * s->group, .q_stride = s->is_gated ? 2 * s->dim : s->dim};
    size_t t = (size_t)s->tokens, kv_width = (size_t)(s->kv_heads * s->dim);
    int32_t count = (s->tokens + s->page_tokens - 1) / s->page_tokens;

    l.q = random_floats(t * (size_t)(l.q_heads * l.q_stride), s->scale);
    l.k = random_floats(t * kv_width, s->scale);
    l.v = random_floats(t * kv_width, s->scale);
    l.q_w = random_floats((size_t)s->dim, 0.1);
    l.k_w = random_floats((size_t)s->dim, 0.1);
    l.inv_freq = take_floats((size_t)s->half + 1);
    for (int32_t i = 0; i < s->half; i++)
        l.inv_freq[i] = (float)pow(10000, -(double)i / s->half);
    l.pages = take_bytes((size_t)count * sizeof *l.pages);
    for (int32_t i = 0; i < count; i++) /* out of order, with a page between */
        l.pages[i] = 2 * (count - 1 - i);
    l.kv = (struct kern_kv){.type = type,
                            .pages = 2 * count,
                            .page_tokens = s->page_tokens,
                            .heads = s->kv_heads,
                            .head_dim = s->dim};
    l.kv.stride = (kern_kv_page_bytes(&l.kv) + 63) / 64 * 64;
    return l;
}

static int run_piece(struct kern_thread *th, void *arg)
{
    const struct run *r = arg;
    const struct layer *l = r->l;
    const struct shape *s = l->s;
    int32_t kv_width = s->kv_heads * s->dim, width = l->q_heads * s->dim;
    int rc = 0;

    if (s->half > 0)
        rc = r->ops->rope(th, &(struct kern_rope){&r->span, 1, s->tokens, l->inv_freq, s->half,
                                                  1.25f, r->cos, r->sin});
    kern_barrier(th);
    if (rc == 0)
        rc = r->ops->qk_norm_rope_write(
            th, &(struct kern_qk_norm_rope_write){.kv = r->kv,
                                                  .spans = &r->span,
                                                  .span_count = 1,
                                                  .rows = s->tokens,
                                                  .q_heads = l->q_heads,
                                                  .q = l->q,
                                                  .k = l->k,
                                                  .v = l->v,
                                                  .ld_q = l->q_heads * l->q_stride,
                                                  .ld_kv = kv_width,
                                                  .q_stride = l->q_stride,
                                                  .q_w = s->is_normed ? l->q_w : NULL,
                                                  .k_w = s->is_normed ? l->k_w : NULL,
                                                  .eps = 1e-6f,
                                                  .is_plus_one = true,
                                                  .cos = r->cos,
                                                  .sin = r->sin,
                                                  .half = s->half,
                                                  .y = r->q});
    kern_barrier(th);
    if (rc == 0)
        rc = r->ops->attention(th,
                               &(struct kern_attention){.kv = r->kv,
                                                        .spans = &r->span,
                                                        .span_count = 1,
                                                        .rows = s->tokens,
                                                        .q_heads = l->q_heads,
                                                        .q = r->q,
                                                        .gate = s->is_gated ? l->q + s->dim : NULL,
                                                        .ld_gate = l->q_heads * l->q_stride,
                                                        .gate_stride = l->q_stride,
                                                        .scale = 1 / sqrtf((float)s->dim),
                                                        .y = {KERN_F32, r->y, width},
                                                        .work = r->work,
                                                        .work_bytes = r->work_bytes});
    return rc;
}

static struct run make_run(const struct kern_ops *ops, const struct layer *l)
{
    size_t t = (size_t)l->s->tokens, width = (size_t)(l->q_heads * l->s->dim);
    struct run r = {.ops = ops, .l = l, .kv = l->kv};

    r.kv.base = take_bytes(r.kv.stride * (size_t)r.kv.pages);
    /* what a page held before must not show: NaN everywhere */
    memset(r.kv.base, 0xff, r.kv.stride * (size_t)r.kv.pages);
    r.cos = take_floats(t * (size_t)(l->s->half + 1));
    r.sin = take_floats(t * (size_t)(l->s->half + 1));
    r.q = take_floats(t * width);
    r.y = take_floats(t * width);
    r.work_bytes = kern_attention_work_bytes(&l->kv, l->q_heads, 1, l->s->tokens);
    r.work = take_bytes(r.work_bytes);
    return r;
}

static float *run_layer(const struct kern_ops *ops, const struct layer *l, int32_t piece,
                        int threads)
{
    struct run r = make_run(ops, l);

    for (int32_t from = 0; from < l->s->tokens; from += piece) {
        int32_t n = l->s->tokens - from < piece ? l->s->tokens - from : piece;

        r.span = (struct kern_span){
            .row = from, .rows = n, .pos = from, .pages = l->pages, .page_count = l->kv.pages / 2};
        assert_int_equal(run_team(threads, run_piece, &r), 0);
    }
    return r.y;
}

static void fast_equals_reference(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int type = KERN_F32; type <= KERN_BF16; type++) {
            const struct shape *s = &shapes[i];
            seed(i + 200);
            struct layer l = make_layer(s, (enum kern_type)type);
            float *want = run_layer(kern_ref(), &l, s->tokens, 1);
            /* Scores of large unnormed q and k have ulps of 1e-3 and more, and their weights as
             * much; a bf16 key may round to the other neighbour. */
            double bound = type == KERN_BF16 ? 1e-3 : 5e-5;

            if (!s->is_normed && s->scale > 1)
                bound = 1e-2;
            for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
                char what[64];

                snprintf(what, sizeof what, "%s shape %zu type %d", (*ops)->name, i, type);
                check_close(what, run_layer(*ops, &l, s->tokens, 1), want,
                            (size_t)(s->tokens * l.q_heads * s->dim), bound);
            }
            release_all();
        }
}

static void pieces_and_threads_keep_bits(void **unused)
{
    static const int32_t pieces[] = {1, 2, 3, 63, 64, 65, 200};

    (void)unused;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
            const struct shape *s = &shapes[i];
            seed(i + 300);
            struct layer l = make_layer(s, i % 2 ? KERN_F32 : KERN_BF16);
            size_t bytes = (size_t)(s->tokens * l.q_heads * s->dim) * sizeof(float);
            float *want = run_layer(*ops, &l, s->tokens, 1);
            for (size_t j = s->tokens > 500 ? 4 : 0; j < sizeof pieces / sizeof pieces[0]; j++)
                check_same("attention in pieces", run_layer(*ops, &l, pieces[j], 1), want, bytes);
            check_same("attention on 3 threads", run_layer(*ops, &l, s->tokens, 3), want, bytes);
            release_all();
        }
}

/* The last token of 1300 alone: three splits over the threads, then merged. */
static void split_keys_keep_bits(void **unused)
{
    const struct shape *s = &shapes[7];

    (void)unused;
    for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++)
        for (int threads = 1; threads <= 3; threads++) {
            seed(9);
            struct layer l = make_layer(s, KERN_BF16);
            float *want = run_layer(*ops, &l, s->tokens, 2);
            struct run r = make_run(*ops, &l);
            size_t width = (size_t)(l.q_heads * s->dim), last = (size_t)s->tokens - 1;

            r.span = (struct kern_span){
                .rows = s->tokens - 1, .pages = l.pages, .page_count = l.kv.pages / 2};
            assert_int_equal(run_team(threads, run_piece, &r), 0);
            r.span.row = r.span.pos = s->tokens - 1;
            r.span.rows = 1;
            assert_int_equal(run_team(threads, run_piece, &r), 0);
            check_same("one row over split keys", r.y + last * width, want + last * width,
                       width * sizeof(float));
            r.work_bytes -= 1;
            assert_int_equal(run_team(threads, run_piece, &r), -ENOSPC);
            release_all();
        }
}

/* Decodes of several lengths and a prefill in one call equal each alone. */
struct batch {
    const struct kern_ops *ops;
    struct kern_attention a;
};

static int run_batch(struct kern_thread *th, void *arg)
{
    const struct batch *b = arg;

    return b->ops->attention(th, &b->a);
}

static void batch_keeps_bits(void **unused)
{
    const struct shape *s = &shapes[7];

    (void)unused;
    for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
        seed(10);
        struct layer l = make_layer(s, KERN_F32);
        struct run r = make_run(*ops, &l);
        size_t width = (size_t)(l.q_heads * s->dim);

        r.span =
            (struct kern_span){.rows = s->tokens, .pages = l.pages, .page_count = l.kv.pages / 2};
        assert_int_equal(run_team(2, run_piece, &r), 0); /* fills pages, q and y */
        struct kern_span spans[4] = {r.span, r.span, r.span, r.span};
        static const int32_t places[4][2] = {{1200, 1}, {40, 30}, {700, 1}, {5, 1}};
        for (int i = 0; i < 4; i++) {
            spans[i].row = spans[i].pos = places[i][0];
            spans[i].rows = places[i][1];
        }
        float *y = take_floats((size_t)s->tokens * width);
        size_t work = kern_attention_work_bytes(&r.kv, l.q_heads, 2, s->tokens);
        struct batch b = {*ops,
                          {.kv = r.kv,
                           .spans = spans,
                           .span_count = 4,
                           .rows = s->tokens,
                           .q_heads = l.q_heads,
                           .q = r.q,
                           .scale = 1 / sqrtf((float)s->dim),
                           .y = {KERN_F32, y, (int64_t)width},
                           .work = take_bytes(work),
                           .work_bytes = work}};
        assert_int_equal(run_team(3, run_batch, &b), 0);
        for (int i = 0; i < 4; i++)
            check_same("a span of a batch", y + (size_t)spans[i].row * width,
                       r.y + (size_t)spans[i].row * width,
                       (size_t)spans[i].rows * width * sizeof(float));
        release_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_equals_reference),
        cmocka_unit_test(pieces_and_threads_keep_bits),
        cmocka_unit_test(split_keys_keep_bits),
        cmocka_unit_test(batch_keeps_bits),
    };

    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
