/* The reference, and after it every implementation, against float64 results and published tables
 * (tests/golden/make_kernel_fixtures.py makes both). */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kernels/rope.h"
#include "tests/kernels/kernels_util.h"

static uint64_t values;

static float next_value(void)
{
    uint64_t z = values += 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (float)(z >> 40) * 0x1p-23f - 1.0f;
}

static float *take_values(int64_t count, float scale, float plus)
{
    float *x = take_floats((size_t)count);

    for (int64_t i = 0; i < count; i++)
        x[i] = next_value() * scale + plus;
    return x;
}

struct gdn_case {
    const char *y;
    struct kern_gdn_heads heads;
    int32_t tokens;
    uint64_t seed;
    bool is_correlated;
    double bound, fast_bound;
};

static const struct gdn_case gdn_cases[] = {
    {"gdn.y", {2, 4, 16, 24, 4, false}, 128, 1, false, 2e-6, 1e-5},
    {"gdn_permuted.y", {2, 6, 8, 16, 4, true}, 100, 2, false, 2e-6, 1e-5},
    {"gdn_correlated.y", {1, 2, 32, 16, 4, false}, 130, 3, true, 2e-5, 2e-4},
    /* 10,000 tokens: the state neither drifts nor decays into noise */
    {"gdn_long.y", {1, 1, 16, 16, 4, false}, 10000, 4, false, 5e-6, 1e-5},
};

struct layer {
    const struct kern_ops *ops;
    struct kern_conv1d conv;
    struct kern_gdn_gates gates;
    struct kern_gdn gdn;
};

static int run_layer(struct kern_thread *th, void *arg)
{
    const struct layer *l = arg;
    int rc = l->ops->conv1d(th, &l->conv);

    rc |= l->ops->gdn_gates(th, &l->gates);
    return rc | l->ops->gdn_chunk(th, &l->gdn);
}

/* Outputs [tokens, hv*dv]; *slot is the state after them. */
static float *run_gdn(const struct kern_ops *ops, const struct gdn_case *c, void **slot)
{
    const struct kern_gdn_heads *h = &c->heads;
    int32_t t = c->tokens, channels = 2 * h->hk * h->dk + h->hv * h->dv, width = h->hv * h->dv;
    static struct kern_span span;
    size_t slot_bytes = kern_gdn_slot_bytes(h);
    struct kern_slots slots = {take_bytes(slot_bytes), slot_bytes, 1};

    span = (struct kern_span){.rows = t};
    values = c->seed;
    float *x = take_values((int64_t)t * channels, 1, 0);
    float *w = take_values(h->conv * channels, 1, 0);
    float *a = take_values((int64_t)t * h->hv, 4, c->is_correlated ? -12.0f : 0.0f);
    float *b = take_values((int64_t)t * h->hv, 4, c->is_correlated ? 12.0f : 0.0f);
    float *a_log = take_values(h->hv, 1, 0), *dt_bias = take_values(h->hv, 1, 0);
    float *z = take_values((int64_t)t * width, 1, 0), *norm_w = take_values(h->dv, 1, 0);
    for (int64_t i = 0; c->is_correlated && i < (int64_t)t * channels; i++)
        if (i % channels < 2 * h->hk * h->dk)
            x[i] = 1 + x[i] / 128;
    float *qkv = take_floats((size_t)(t * channels)), *y = take_floats((size_t)(t * width));
    float *g = take_floats((size_t)(t * h->hv)), *beta = take_floats((size_t)(t * h->hv));
    struct layer l = {ops,
                      {*h, slots, &span, 1, t, x, w, qkv, channels, channels},
                      {*h, &span, 1, t, a, b, h->hv, a_log, dt_bias, g, beta, false},
                      {*h,
                       slots,
                       &span,
                       1,
                       t,
                       qkv,
                       channels,
                       g,
                       beta,
                       z,
                       width,
                       norm_w,
                       {KERN_F32, y, width},
                       1e-6f}};
    assert_int_equal(run_team(1, run_layer, &l), 0);
    *slot = slots.base;
    return y;
}

static void check_gdn(const struct kern_ops *ops, const struct gdn_case *c, double bound)
{
    char what[64];
    void *slot;
    size_t count;
    const float *want = golden(c->y, &count);
    size_t all = (size_t)c->tokens * (size_t)(c->heads.hv * c->heads.dv);
    float *got = run_gdn(ops, c, &slot);

    snprintf(what, sizeof what, "%s %s", ops->name, c->y);
    check_close(what, got + all - count, want, count, bound);
    if (strcmp(c->y, "gdn.y") != 0)
        return;
    /* 128 tokens: both chunks are folded; rows of dv 24 lie 32 apart */
    const float *state = golden("gdn.state", &count), *s = slot;
    for (size_t row = 0; row < count / 24; row++)
        check_close("state", s + row * 32, state + row * 24, 24, bound);
}

static void gdn_equals_float64(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof gdn_cases / sizeof gdn_cases[0]; i++) {
        const struct gdn_case *c = &gdn_cases[i];

        check_gdn(kern_ref(), c, c->bound);
        for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++)
            check_gdn(*ops, c, c->fast_bound);
        release_all();
    }
}

enum { KV_HEADS = 2, GROUP = 3, DIM = 24, HALF = 5, TOKENS = 80, PAGE = 16 };

struct attention {
    const struct kern_ops *ops;
    struct kern_rope rope;
    struct kern_qk_norm_rope_write write;
    struct kern_attention attention;
};

static int run_attention(struct kern_thread *th, void *arg)
{
    const struct attention *a = arg;
    int rc = a->ops->rope(th, &a->rope);

    rc |= a->ops->qk_norm_rope_write(th, &a->write);
    return rc | a->ops->attention(th, &a->attention);
}

static void check_attention(const struct kern_ops *ops, double bound)
{
    static const int32_t pages[TOKENS / PAGE] = {3, 0, 4, 1, 2};
    enum { HEADS = KV_HEADS * GROUP, WIDTH = HEADS * DIM };
    struct kern_span span = {.rows = TOKENS, .pages = pages, .page_count = TOKENS / PAGE};
    struct kern_kv kv = {.type = KERN_F32,
                         .pages = TOKENS / PAGE,
                         .page_tokens = PAGE,
                         .heads = KV_HEADS,
                         .head_dim = DIM};

    values = 5;
    float *q = take_values(TOKENS * HEADS * 2 * DIM, 1, 0);
    float *k = take_values(TOKENS * KV_HEADS * DIM, 1, 0);
    float *v = take_values(TOKENS * KV_HEADS * DIM, 1, 0);
    float *q_w = take_values(DIM, 1, 0), *k_w = take_values(DIM, 1, 0);
    float *cosine = take_floats(TOKENS * HALF), *sine = take_floats(TOKENS * HALF);
    float *y = take_floats(TOKENS * WIDTH), *qr = take_floats(TOKENS * WIDTH);
    kv.stride = (kern_kv_page_bytes(&kv) + 63) / 64 * 64;
    kv.base = take_bytes(kv.stride * TOKENS / PAGE);
    struct attention a = {
        ops,
        {&span, 1, TOKENS, golden("attention.inv_freq", NULL), HALF, 1, cosine, sine},
        {.kv = kv,
         .spans = &span,
         .span_count = 1,
         .rows = TOKENS,
         .q_heads = HEADS,
         .q = q,
         .k = k,
         .v = v,
         .ld_q = 2 * WIDTH,
         .ld_kv = KV_HEADS * DIM,
         .q_stride = 2 * DIM,
         .q_w = q_w,
         .k_w = k_w,
         .eps = 1e-6f,
         .is_plus_one = true,
         .cos = cosine,
         .sin = sine,
         .half = HALF,
         .y = qr},
        {.kv = kv,
         .spans = &span,
         .span_count = 1,
         .rows = TOKENS,
         .q_heads = HEADS,
         .q = qr,
         .gate = q + DIM,
         .ld_gate = 2 * WIDTH,
         .gate_stride = 2 * DIM,
         .scale = 1 / sqrtf(DIM),
         .y = {KERN_F32, y, WIDTH}}};
    assert_int_equal(run_team(1, run_attention, &a), 0);
    check_close(ops->name, y, golden("attention.y", NULL), TOKENS * WIDTH, bound);
}

static void attention_equals_float64(void **unused)
{
    (void)unused;
    check_attention(kern_ref(), 1e-6);
    for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++)
        check_attention(*ops, 3e-6);
    release_all();
}

static void rope_tables_equal_the_published(void **unused)
{
    static const struct {
        const char *name;
        struct kern_rope_config config;
    } cases[] = {
        {"rope.default", {.kind = KERN_ROPE_DEFAULT, .theta = 1e7}},
        {"rope.linear", {.kind = KERN_ROPE_LINEAR, .theta = 1e4, .factor = 4}},
        {"rope.llama3",
         {.kind = KERN_ROPE_LLAMA3,
          .theta = 5e5,
          .factor = 8,
          .original_positions = 8192,
          .low_freq_factor = 1,
          .high_freq_factor = 4}},
        {"rope.yarn",
         {.kind = KERN_ROPE_YARN,
          .theta = 1e6,
          .factor = 4,
          .original_positions = 32768,
          .beta_fast = 32,
          .beta_slow = 1,
          .is_truncated = true}},
        {"rope.yarn_mscale",
         {.kind = KERN_ROPE_YARN,
          .theta = 1e4,
          .factor = 40,
          .original_positions = 4096,
          .beta_fast = 32,
          .beta_slow = 1,
          .mscale = 0.7,
          .mscale_all_dim = 1}},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kern_rope_config c = cases[i].config;
        size_t count;
        const float *want = golden(cases[i].name, &count);
        float got[65];

        c.rotated = 128;
        assert_int_equal(count, 65);
        assert_int_equal(kern_rope_frequencies(&c, got, &got[64]), 0);
        for (size_t j = 0; j < count; j++)
            if (fabs((double)got[j] - (double)want[j]) > 3e-7 * fabs((double)want[j]))
                fail_msg("%s[%zu]: %.9g, published %.9g", cases[i].name, j, (double)got[j],
                         (double)want[j]);
    }
    release_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gdn_equals_float64),
        cmocka_unit_test(attention_equals_float64),
        cmocka_unit_test(rope_tables_equal_the_published),
    };

    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
