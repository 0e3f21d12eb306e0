/* Vectors of a small embedding model against sentence-transformers in float64
 * (tests/golden/make_embedding_fixtures.py), and that nothing around them changes a bit. */
#include "base/json.h"
#include "tests/unit/golden_util.h"

#include <math.h>

/* Of any element; sentence-transformers in float32 is up to 3.4e-6 from itself in float64, of
 * vectors of length 1 up to 6.2e-7. Found: 6.4e-6, 9.7e-7. */
#define BOUND            1e-5
#define BOUND_NORMALISED 2e-6

static struct model_open model;
static struct json_object *expect; /* owned */

static int open_model(void **state)
{
    struct buf text = {0};
    struct err e = {0};
    (void)state;

    model_open(&model, EMBEDDING, WEIGHTS_AUTO);
    model_must(root_read_all(&model.root, "expect.json", 1 << 20, &text, &e), &e);
    model_must(json_parse(text.data, text.len, &expect, &e), &e);
    buf_free(&text);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    json_free(&expect);
    model_close(&model);
    return 0;
}

static void open_pass(struct model_pass *p, const struct kern_ops *ops)
{
    model_pass_open(p, &model, ops, &golden_shape);
}

/* --- texts --- */

struct text {
    int32_t n;
    int32_t *ids; /* owned */
};

static struct text take_text(size_t i)
{
    const struct json_object *ids = json_get(json_at(json_get(expect, "inputs"), i), "ids");
    struct text t = {.n = (int32_t)json_length(ids)};

    t.ids = calloc((size_t)t.n, sizeof *t.ids);
    assert_non_null(t.ids);
    for (int32_t k = 0; k < t.n; k++)
        t.ids[k] = (int32_t)json_integer(json_at(ids, (size_t)k));
    return t;
}

static size_t count_texts(void)
{
    return json_length(json_get(expect, "inputs"));
}

/* Rows [from, from + n) of a text as part of a step; those that count go into sum. */
static void pool(const struct pooling *p, const struct text *t, int32_t from, int32_t n,
                 const struct forward_logits *out, int32_t row, double *sum)
{
    for (int32_t i = 0; i < n; i++)
        if (from + i >= (int32_t)pooling_first(p, (uint32_t)t->n))
            pooling_add(sum, out->hidden + (row + i) * out->hidden_ld, model.config.hidden_size);
}

static void finish(const struct pooling *p, const struct text *t, const double *sum, uint32_t width,
                   float *vector)
{
    uint32_t n = (uint32_t)t->n;

    assert_int_equal(pooling_finish(p, sum, n - pooling_first(p, n), width, vector), 0);
}

enum { WIDTH = 32, TEXTS = 16 };

static void run(struct model_pass *pass, const int32_t *ids, struct kern_span *spans, int32_t count,
                struct forward_logits *out)
{
    int32_t picks[GOLDEN_ROWS], rows = spans[count - 1].row + spans[count - 1].rows;

    for (int32_t i = 0; i < rows; i++)
        picks[i] = i;
    struct forward_batch b = {.ids = ids,
                              .rows = rows,
                              .spans = spans,
                              .span_count = count,
                              .picks = picks,
                              .pick_count = rows};
    assert_int_equal(forward_run(pass->forward, &b, out), 0);
    assert_null(out->logits);
}

static void embed(struct model_pass *pass, const struct pooling *p, const struct text *t,
                  int32_t piece, uint32_t width, float *vector)
{
    double sum[WIDTH] = {0};

    for (int32_t at = 0; at < t->n; at += piece) {
        int32_t n = t->n - at < piece ? t->n - at : piece;
        struct kern_span span = golden_span(0, 0, n, at);
        struct forward_logits out;
        run(pass, t->ids + at, &span, 1, &out);
        pool(p, t, at, n, &out, 0, sum);
    }
    finish(p, t, sum, width, vector);
}

/* --- the same as sentence-transformers --- */

static struct pooling read_variant(const struct json_object *v, uint32_t *width)
{
    const struct json_object *dimensions = json_get(v, "dimensions");
    const char *mode = json_string(json_get(v, "pooling"), NULL);

    *width = dimensions != NULL ? (uint32_t)json_integer(dimensions) : model.config.hidden_size;
    return (struct pooling){.kind = strcmp(mode, "mean") == 0 ? POOLING_MEAN : POOLING_LAST,
                            .is_normalised = json_bool(json_get(v, "normalize"))};
}

static void compare_variant(struct model_pass *pass, const char *name, const struct json_object *v)
{
    uint32_t width;
    struct pooling p = read_variant(v, &width);
    double most = 0;

    for (size_t i = 0; i < count_texts(); i++) {
        const struct json_object *expected = json_at(json_get(v, "vectors"), i);
        struct text t = take_text(i);
        float vector[WIDTH];
        assert_int_equal(json_length(expected), width);
        embed(pass, &p, &t, GOLDEN_ROWS, width, vector);
        for (uint32_t k = 0; k < width; k++)
            most = fmax(most, fabs((double)vector[k] - json_number(json_at(expected, k))));
        free(t.ids);
    }
    golden_expect(p.is_normalised ? "normalised" : "as they are", name, most,
                  p.is_normalised ? BOUND_NORMALISED : BOUND);
}

static void agrees_with_sentence_transformers(void **state)
{
    const struct json_object *variants = json_get(expect, "variants");
    (void)state;

    assert_int_equal(json_length(variants), 8);
    assert_true(count_texts() >= 9 && count_texts() <= TEXTS);
    for (int isa = 0; isa <= KERN_ISAS; isa++) {
        const struct kern_ops *ops = isa < KERN_ISAS ? kern_cpu((enum kern_isa)isa) : kern_ref();
        struct model_pass pass;
        if (ops == NULL)
            continue;
        open_pass(&pass, ops);
        for (size_t i = 0; i < json_length(variants); i++)
            compare_variant(&pass, ops->name, json_at(variants, i));
        model_pass_close(&pass);
    }
}

static void is_laid_out_as_its_files_say(void **state)
{
    (void)state;
    assert_int_equal(model.pooling.kind, POOLING_LAST);
    assert_true(model.pooling.is_normalised && model.config.is_headless);
    assert_null(model.plan.head);
    assert_null(model.weights.head.data);
    assert_int_equal(model.plan.aside[ASIDE_UNEXPECTED].n, 0);
}

/* --- the same bits, however it was read --- */

/* All texts in one step after the other, a few rows of each. */
static void embed_together(struct model_pass *pass, const struct pooling *p, struct text *texts,
                           int32_t n_texts, float vectors[][WIDTH])
{
    double sum[GOLDEN_SEQUENCES][WIDTH] = {0};
    int32_t done[GOLDEN_SEQUENCES] = {0}, ids[GOLDEN_ROWS];

    for (;;) {
        struct kern_span spans[GOLDEN_SEQUENCES];
        int32_t owner[GOLDEN_SEQUENCES], count = 0, rows = 0;
        struct forward_logits out;
        for (int32_t i = 0; i < n_texts; i++) {
            int32_t n = texts[i].n - done[i] < 5 + 3 * i ? texts[i].n - done[i] : 5 + 3 * i;
            if (n == 0)
                continue;
            memcpy(ids + rows, texts[i].ids + done[i], (size_t)n * sizeof *ids);
            spans[count] = golden_span(i, rows, n, done[i]);
            owner[count++] = i;
            rows += n;
        }
        if (count == 0)
            break;
        run(pass, ids, spans, count, &out);
        for (int32_t k = 0; k < count; k++) {
            int32_t i = owner[k];
            pool(p, &texts[i], done[i], spans[k].rows, &out, spans[k].row, sum[i]);
            done[i] += spans[k].rows;
        }
    }
    for (int32_t i = 0; i < n_texts; i++)
        finish(p, &texts[i], sum[i], WIDTH, vectors[i]);
}

static void has_the_same_bits_in_any_split_and_batch(void **state)
{
    static const int32_t pieces[] = {1, 7, 64, 65, 128};
    struct text texts[GOLDEN_SEQUENCES];
    struct model_pass pass;
    (void)state;

    open_pass(&pass, kern_cpu_best());
    for (int32_t i = 0; i < GOLDEN_SEQUENCES; i++)
        texts[i] = take_text((size_t)i);
    for (enum pooling_kind kind = POOLING_LAST; kind <= POOLING_MEAN; kind++) {
        struct pooling p = {.kind = kind, .is_normalised = kind == POOLING_LAST};
        float whole[GOLDEN_SEQUENCES][WIDTH], other[GOLDEN_SEQUENCES][WIDTH];
        for (int32_t i = 0; i < GOLDEN_SEQUENCES; i++)
            embed(&pass, &p, &texts[i], GOLDEN_ROWS, WIDTH, whole[i]);
        for (size_t k = 0; k < sizeof pieces / sizeof pieces[0]; k++)
            for (int32_t i = 0; i < GOLDEN_SEQUENCES; i++) {
                embed(&pass, &p, &texts[i], pieces[k], WIDTH, other[i]);
                assert_memory_equal(whole[i], other[i], sizeof whole[i]);
            }
        memset(other, 0, sizeof other);
        embed_together(&pass, &p, texts, GOLDEN_SEQUENCES, other);
        assert_memory_equal(whole, other, sizeof whole);
    }
    for (int32_t i = 0; i < GOLDEN_SEQUENCES; i++)
        free(texts[i].ids);
    model_pass_close(&pass);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_laid_out_as_its_files_say),
        cmocka_unit_test(agrees_with_sentence_transformers),
        cmocka_unit_test(has_the_same_bits_in_any_split_and_batch),
    };

    return cmocka_run_group_tests(tests, open_model, close_model);
}
