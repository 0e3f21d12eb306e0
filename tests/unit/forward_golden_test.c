/* The forward pass against transformers in float64, on a small checkpoint of every family. */
#include "kernels/pack.h"
#include "tests/unit/golden_util.h"

#include <math.h>

/* log p of every token after every position of every prompt, at most. Weights and sums in f32.
 */
#define BOUND_F32       1e-4
/* bf16 in front of every matrix: transformers in bfloat16 rounds there, too, and elsewhere. */
#define BOUND_BF16_RATIO 1.2
/* Keys and values in bf16, all else f32: found up to 0.19. */
#define BOUND_KV_BF16 0.3
/* f32 weights rounded to bf16, on average: found up to 0.094. At most it may be anything, for where
 * two experts are close the other one is taken. */
#define BOUND_ROUNDED_MEAN 0.15
/* 10,000 tokens, one at a time: found up to 5.8e-5, as much in the first thousand as in the last.
 */
#define BOUND_DRIFT 1e-4

enum { DRIFT_PAGE = 64 };

static struct golden_distance run_prompts(struct golden *g, const struct kern_ops *ops,
                                          enum kern_type kv_type)
{
    struct golden_distance all = {0};
    struct forward_shape shape = golden_shape;
    struct model_pass p;

    shape.kv_type = kv_type;
    model_pass_open(&p, &g->model, ops, &shape);
    for (int32_t i = 0; i < g->n_prompts; i++) {
        const struct golden_prompt *t = &g->prompts[i];
        float *logits = golden_prefill(&p, i % GOLDEN_SEQUENCES, t->ids, t->n, GOLDEN_ROWS);
        struct golden_distance d = golden_compare(logits, t->logits, t->n, g->vocab);
        all.most = d.most > all.most || isnan(d.most) ? d.most : all.most;
        all.mean += d.mean / g->n_prompts;
        free(logits);
    }
    model_pass_close(&p);
    return all;
}

/* The reference and every instruction set of this machine. */
static void compare_implementations(struct golden *g)
{
    for (int isa = 0; isa <= KERN_ISAS; isa++) {
        const struct kern_ops *ops = isa < KERN_ISAS ? kern_cpu((enum kern_isa)isa) : kern_ref();
        if (ops != NULL)
            golden_expect(ops->name, g->name, run_prompts(g, ops, KERN_F32).most, BOUND_F32);
    }
}

static void agrees_with_transformers_in_f32(void **state)
{
    (void)state;
    golden_walk(NULL, WEIGHTS_F32, compare_implementations);
}

static bool has_bf16(const struct golden *g)
{
    return g->model.plan.embed->dtype == TENSOR_BF16;
}

static void compare_types(struct golden *g)
{
    double bound = has_bf16(g) ? BOUND_BF16_RATIO * golden_apart_bf16(g->name) : BOUND_F32;

    assert_true(!has_bf16(g) || golden_apart_bf16(g->name) > 0);
    golden_expect("types of the file", g->name, run_prompts(g, kern_cpu_best(), KERN_F32).most,
                  bound);
    golden_expect("and pages of bf16", g->name, run_prompts(g, kern_cpu_best(), KERN_BF16).most,
                  fmax(bound, BOUND_KV_BF16));
}

static void agrees_with_transformers_in_the_files_types(void **state)
{
    (void)state;
    golden_walk(NULL, WEIGHTS_AUTO, compare_types);
}

static void compare_rounded(struct golden *g)
{
    golden_expect("rounded to bf16, mean", g->name, run_prompts(g, kern_cpu_best(), KERN_F32).mean,
                  BOUND_ROUNDED_MEAN);
}

static void agrees_on_average_when_weights_are_rounded(void **state)
{
    (void)state;
    golden_walk(NULL, WEIGHTS_BF16, compare_rounded);
}

/* --- types mixed within a layer --- */

static bool is_widened(const char *name)
{
    static const char *const parts[] = {
        ".in_proj_a.",         ".k_proj.",
        "1.mlp.gate_proj.",    "2.linear_attn.out_proj.",
        "2.mlp.down_proj.",    "layers.0.mlp.gate.",
        "experts.3.up_proj.",  "2.mlp.experts.1.down_proj.",
        "3.self_attn.o_proj.",
    };

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(name, parts[i]) != NULL)
            return true;
    return false;
}

static void add_entry(struct buf *header, const struct tensor *t, bool is_wide, uint64_t at,
                      uint64_t end)
{
    buf_printf(header, "%c\"%s\":{\"dtype\":\"%s\",\"shape\":[", header->len == 0 ? '{' : ',',
               t->name, is_wide ? "F32" : tensor_dtype_name(t->dtype));
    for (uint32_t i = 0; i < t->n_dims; i++)
        buf_printf(header, "%s%llu", i > 0 ? "," : "", (unsigned long long)t->shape[i]);
    buf_printf(header, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
               (unsigned long long)end);
}

/* Some of the tensors as F32, with the same values. How many. */
static unsigned widen_tensors(const struct model_dir *d)
{
    struct buf header = {0}, data = {0}, all = {0};
    struct safetensors s;
    struct root root;
    struct err e = {0};
    unsigned n = 0;

    model_must(root_open(&root, d->path, &e), &e);
    model_must(safetensors_open(&s, &root, &e), &e);
    for (size_t i = 0; i < s.n_tensors; i++) {
        const struct tensor *t = &s.tensors[i];
        bool is_wide = t->dtype == TENSOR_BF16 && is_widened(t->name);
        uint64_t at = data.len;
        char *from = malloc(t->bytes);
        model_must(root_read(&s.files[0].file, "model", t->offset, from, t->bytes, &e), &e);
        for (uint64_t b = 0; is_wide && b < t->bytes; b += 2) {
            float x;
            kern_to_floats(KERN_SOURCE_BF16, from + b, 1, &x);
            buf_add(&data, &x, sizeof x);
        }
        if (!is_wide)
            buf_add(&data, from, t->bytes);
        add_entry(&header, t, is_wide, at, data.len);
        n += is_wide;
        free(from);
    }
    buf_add_char(&header, '}');
    uint64_t len = header.len;
    buf_add(&all, &len, sizeof len);
    buf_add(&all, header.data, header.len);
    buf_add(&all, data.data, data.len);
    safetensors_close(&s);
    root_close(&root);
    model_dir_write(d, "model.safetensors", all.data, all.len);
    buf_free(&header);
    buf_free(&data);
    buf_free(&all);
    return n;
}

static void compare_widened(const char *name)
{
    static struct golden g;
    struct model_dir d;

    golden_copy(name, &d);
    assert_true(widen_tensors(&d) >= 5);
    golden_open(&g, d.path, WEIGHTS_AUTO);
    golden_expect("types mixed", name, run_prompts(&g, kern_cpu_best(), KERN_F32).most,
                  BOUND_BF16_RATIO * golden_apart_bf16(name));
    golden_close(&g);
    model_dir_remove(&d);
}

static void types_may_be_mixed_in_a_layer(void **state)
{
    (void)state;
    compare_widened("qwen3_5");
    compare_widened("qwen3_moe");
}

/* --- greedy --- */

static void continue_greedily(struct model_pass *p, const char *name, const struct golden_greedy *t)
{
    struct forward_logits logits;
    int32_t pick = 0;

    free(golden_prefill(p, 0, t->ids, t->n_prompt - 1, GOLDEN_ROWS));
    for (int32_t at = t->n_prompt - 1; at < t->n_prompt + t->n - 1; at++) {
        struct kern_span span = golden_span(0, 0, 1, at);
        struct forward_batch b = {t->ids + at, 1, &span, 1, &pick, 1};
        assert_int_equal(forward_run(p->forward, &b, &logits), 0);
        if (logits.best[0] != t->ids[at + 1])
            fail_msg("%s: token %d of a greedy text is %d, expected %d", name, at + 1 - t->n_prompt,
                     logits.best[0], t->ids[at + 1]);
    }
}

static void check_greedy(struct golden *g)
{
    struct model_pass p;

    model_pass_open(&p, &g->model, kern_cpu_best(), &golden_shape);
    for (int32_t i = 0; i < g->n_greedy; i++)
        continue_greedily(&p, g->name, &g->greedy[i]);
    model_pass_close(&p);
}

static void greedy_text_is_the_same(void **state)
{
    (void)state;
    golden_walk(NULL, WEIGHTS_F32, check_greedy);
}

/* --- drift --- */

/* One sequence of n tokens from start to end, each token a step of its own. */
static void run_drift(struct golden *g)
{
    struct buf data = {0};
    struct model_pass p;

    golden_read(g, "expect_drift.bin", &data);
    golden_take_int(&data);
    int32_t n = golden_take_int(&data);
    const int32_t *ids = golden_take(&data, (size_t)n);
    int32_t n_positions = golden_take_int(&data);
    int32_t pages = (n + DRIFT_PAGE - 1) / DRIFT_PAGE, *numbers = calloc((size_t)pages, 4);
    struct forward_shape shape = {.rows = 1,
                                  .spans = 1,
                                  .picks = 1,
                                  .slots = 1,
                                  .pages = pages,
                                  .page_tokens = DRIFT_PAGE,
                                  .context = n,
                                  .threads = 1,
                                  .kv_type = KERN_F32};

    assert_non_null(numbers);
    for (int32_t i = 0; i < pages; i++)
        numbers[i] = i;
    model_pass_open(&p, &g->model, kern_cpu_best(), &shape);
    assert_int_equal(p.shape.context, n);
    float *found = calloc((size_t)p.vocab, sizeof *found);
    int32_t at = 0, pick = 0;
    for (int32_t i = 0; i < n_positions; i++) {
        int32_t position = golden_take_int(&data);
        const float *expected = golden_take(&data, (size_t)p.vocab);
        struct forward_logits logits;
        for (; at <= position; at++) {
            struct kern_span span = {.rows = 1, .pos = at, .page_count = pages, .pages = numbers};
            struct forward_batch b = {ids + at, 1, &span, 1, &pick, at == position};
            assert_int_equal(forward_run(p.forward, &b, &logits), 0);
        }
        golden_keep(&p, &logits, 0, found);
        char what[64];
        snprintf(what, sizeof what, "drift, position %d", position);
        golden_expect(what, g->name, golden_compare(found, expected, 1, p.vocab).most, BOUND_DRIFT);
    }
    assert_int_equal(at, n);
    assert_int_equal(buf_pending(&data), 0);
    free(found);
    free(numbers);
    model_pass_close(&p);
    buf_free(&data);
}

static void ten_thousand_tokens_do_not_drift(void **state)
{
    (void)state;
    golden_walk("qwen3_5_tied", WEIGHTS_AUTO, run_drift);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_transformers_in_f32),
        cmocka_unit_test(agrees_with_transformers_in_the_files_types),
        cmocka_unit_test(agrees_on_average_when_weights_are_rounded),
        cmocka_unit_test(types_may_be_mixed_in_a_layer),
        cmocka_unit_test(greedy_text_is_the_same),
        cmocka_unit_test(ten_thousand_tokens_do_not_drift),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
