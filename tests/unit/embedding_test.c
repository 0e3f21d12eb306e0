/* Vectors of a small embedding model against sentence-transformers in float64
 * (tests/golden/make_embedding_fixtures.py), and that nothing around them changes a bit. */
#include "base/json.h"
#include "tests/unit/golden_util.h"

#include <math.h>

/* Of any element; sentence-transformers in float32 is up to 3.4e-6 from itself in float64, of
 * vectors of length 1 up to 6.2e-7. Found: 6.4e-6, 1.1e-6. */
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

enum { WIDTH = 32, TEXTS = 16 };

/* Of one text, for each kind of pooling. */
struct sums {
    double of[POOLING_KINDS_N][WIDTH];
};

/* Rows [from, from + n) of a text as part of a step. */
static void pool(struct sums *s, const struct text *t, int32_t from, int32_t n,
                 const struct forward_logits *out, int32_t row)
{
    for (enum pooling_kind kind = POOLING_NONE + 1; kind < POOLING_KINDS_N; kind++) {
        struct pooling p = {.kind = kind};
        for (int32_t i = 0; i < n; i++)
            if (from + i >= (int32_t)pooling_first(&p, (uint32_t)t->n))
                pooling_add(s->of[kind], out->hidden + (row + i) * out->hidden_ld, WIDTH);
    }
}

static void finish(const struct pooling *p, const struct text *t, const struct sums *s,
                   uint32_t width, float *vector)
{
    uint32_t n_rows = (uint32_t)t->n - pooling_first(p, (uint32_t)t->n);

    assert_int_equal(pooling_finish(p, s->of[p->kind], n_rows, width, vector), 0);
}

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

static struct sums read_text(struct model_pass *pass, const struct text *t, int32_t piece)
{
    struct sums s = {0};

    for (int32_t at = 0; at < t->n; at += piece) {
        int32_t n = t->n - at < piece ? t->n - at : piece;
        struct kern_span span = golden_span(0, 0, n, at);
        struct forward_logits out;
        run(pass, t->ids + at, &span, 1, &out);
        pool(&s, t, at, n, &out, 0);
    }
    return s;
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

static double compare_text(const struct json_object *v, size_t i, const struct text *t,
                           const struct sums *s)
{
    const struct json_object *expected = json_at(json_get(v, "vectors"), i);
    float vector[WIDTH];
    uint32_t width;
    double most = 0;
    struct pooling p = read_variant(v, &width);

    assert_int_equal(json_length(expected), width);
    finish(&p, t, s, width, vector);
    for (uint32_t k = 0; k < width; k++)
        most = fmax(most, fabs((double)vector[k] - json_number(json_at(expected, k))));
    return most;
}

static void compare_all(struct model_pass *pass, const char *name)
{
    const struct json_object *variants = json_get(expect, "variants");
    double most[2] = {0}; /* by is_normalised */

    for (size_t i = 0; i < count_texts(); i++) {
        struct text t = take_text(i);
        struct sums s = read_text(pass, &t, GOLDEN_ROWS);
        for (size_t k = 0; k < json_length(variants); k++) {
            const struct json_object *v = json_at(variants, k);
            double *to = &most[json_bool(json_get(v, "normalize"))];
            *to = fmax(*to, compare_text(v, i, &t, &s));
        }
        free(t.ids);
    }
    golden_expect("as they are", name, most[0], BOUND);
    golden_expect("normalised", name, most[1], BOUND_NORMALISED);
}

static void agrees_with_sentence_transformers(void **state)
{
    (void)state;

    assert_int_equal(json_length(json_get(expect, "variants")), 8);
    assert_true(count_texts() >= 9 && count_texts() <= TEXTS);
    for (int isa = 0; isa <= KERN_ISAS; isa++) {
        const struct kern_ops *ops = isa < KERN_ISAS ? kern_cpu((enum kern_isa)isa) : kern_ref();
        struct model_pass pass;
        if (ops == NULL)
            continue;
        open_pass(&pass, ops);
        compare_all(&pass, ops->name);
        model_pass_close(&pass);
    }
}

static void is_laid_out_as_its_files_say(void **state)
{
    (void)state;
    assert_int_equal(model.pooling.kind, POOLING_LAST);
    assert_true(model.pooling.is_normalised && model.config.is_headless);
    assert_int_equal(model.config.hidden_size, WIDTH);
    assert_null(model.plan.head);
    assert_null(model.weights.head.data);
    assert_int_equal(model.plan.aside[ASIDE_UNEXPECTED].n, 0);
}

/* --- the same bits, however it was read --- */

/* All texts in one step after the other, a few rows of each. */
static void read_together(struct model_pass *pass, const struct text *texts, struct sums *sums)
{
    int32_t done[GOLDEN_SEQUENCES] = {0}, ids[GOLDEN_ROWS], count;

    do {
        struct kern_span spans[GOLDEN_SEQUENCES];
        int32_t owner[GOLDEN_SEQUENCES], rows = 0;
        struct forward_logits out;
        count = 0;
        for (int32_t i = 0; i < GOLDEN_SEQUENCES; i++) {
            int32_t n = texts[i].n - done[i] < 5 + 3 * i ? texts[i].n - done[i] : 5 + 3 * i;
            if (n == 0)
                continue;
            memcpy(ids + rows, texts[i].ids + done[i], (size_t)n * sizeof *ids);
            spans[count] = golden_span(i, rows, n, done[i]);
            owner[count++] = i;
            rows += n;
        }
        if (count > 0)
            run(pass, ids, spans, count, &out);
        for (int32_t k = 0; k < count; k++) {
            int32_t i = owner[k];
            pool(&sums[i], &texts[i], done[i], spans[k].rows, &out, spans[k].row);
            done[i] += spans[k].rows;
        }
    } while (count > 0);
}

static void has_the_same_bits_in_any_split_and_batch(void **state)
{
    static const int32_t pieces[] = {1, 7, 64, 65, 128};
    struct text texts[GOLDEN_SEQUENCES];
    struct sums whole[GOLDEN_SEQUENCES], together[GOLDEN_SEQUENCES] = {0};
    struct model_pass pass;
    (void)state;

    open_pass(&pass, kern_cpu_best());
    for (int32_t i = 0; i < GOLDEN_SEQUENCES; i++) {
        texts[i] = take_text((size_t)i);
        whole[i] = read_text(&pass, &texts[i], GOLDEN_ROWS);
        for (size_t k = 0; k < sizeof pieces / sizeof pieces[0]; k++) {
            struct sums other = read_text(&pass, &texts[i], pieces[k]);
            assert_memory_equal(&whole[i], &other, sizeof other);
        }
    }
    read_together(&pass, texts, together);
    assert_memory_equal(whole, together, sizeof whole);
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
