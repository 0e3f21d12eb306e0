/* Operations on rows: bounds against the reference at odd sizes and extreme values, and the bits of
 * a row alone and on several threads. */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tests/kernels/kernels_util.h"

static const int32_t sizes[] = {1, 15, 16, 31, 32, 33, 1024, 1025, 4099};
enum { SIZES = sizeof sizes / sizeof sizes[0], ROWS = 5 };

/* gauss, with values where exp over- and underflows and a row of large ones. */
static float *hard_floats(size_t count, int32_t n)
{
    static const float hard[] = {0, -0.0f, 88, -88, 104, -104, 1e4f, -1e4f, 1e-30f, -87.33f};
    float *x = random_floats(count, 2);

    for (size_t i = 0; i < count; i += 3)
        x[i] = hard[i / 3 % (sizeof hard / sizeof hard[0])];
    for (size_t i = count - (size_t)n; i < count; i++)
        x[i] *= 1e5f;
    return x;
}

static float *run_norm(const struct kern_ops *ops, struct kern_rms_norm p, const float *x,
                       int threads)
{
    size_t count = (size_t)(ROWS * p.ld);

    p.x = take_floats(count);
    memcpy(p.x, x, count * sizeof(float));
    p.y = (struct kern_out){KERN_F32, take_floats(count), p.ld};
    assert_int_equal(RUN(ops, rms_norm, &p, threads), 0);
    if (p.residual != NULL) { /* the new x matters as much as y */
        float *y = p.y.data;

        for (size_t i = 0; i < count; i++)
            y[i] += 1e-3f * p.x[i];
    }
    return p.y.data;
}

static void rms_norm_equals_reference(void **unused)
{
    static const int32_t pick[] = {4, 0, 0, 3, 1};

    (void)unused;
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; kind < 3; kind++) {
            int32_t n = sizes[i];
            seed((uint64_t)(i * 3 + kind));
            float *x = hard_floats((size_t)(ROWS * (n + 1)), n + 1);
            struct kern_rms_norm p = {.w = random_floats((size_t)n, 1),
                                      .ld = n + 1,
                                      .rows = ROWS,
                                      .n = n,
                                      .eps = 1e-6f,
                                      .is_plus_one = kind > 0,
                                      .pick = kind == 1 ? pick : NULL};
            if (kind == 2)
                p.residual = random_floats((size_t)(ROWS * (n + 1)), 1);
            float *want = run_norm(kern_ref(), p, x, 1);
            for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
                float *got = run_norm(*ops, p, x, 1);

                check_close("rms_norm", got, want, (size_t)(ROWS * (n + 1)), 2e-6);
                check_same("rms_norm on 3 threads", run_norm(*ops, p, x, 3), got,
                           (size_t)(ROWS * (n + 1)) * sizeof(float));
            }
            release_all();
        }
}

static void products_equal_reference(void **unused)
{
    (void)unused;
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; kind < 4; kind++) {
            int32_t n = sizes[i];
            size_t count = (size_t)(ROWS * n);
            seed((uint64_t)i);
            float *a = hard_floats(count, n), *b = random_floats(count, 1);
            float *y0 = random_floats(count, 1), *want = take_floats(count);
            struct kern_swiglu s = {a, b, n, {KERN_F32, want, n}, ROWS, n};
            struct kern_gate_mul g = {b,    a, n,         n,        {KERN_F32, want, n},
                                      ROWS, n, kind == 1, kind == 2};

            memcpy(want, y0, count * sizeof(float));
            assert_int_equal(
                kind == 3 ? RUN(kern_ref(), swiglu, &s, 1) : RUN(kern_ref(), gate_mul, &g, 1), 0);
            for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
                s.y.data = g.y.data = take_floats(count);
                memcpy(s.y.data, y0, count * sizeof(float));
                assert_int_equal(kind == 3 ? RUN(*ops, swiglu, &s, 3) : RUN(*ops, gate_mul, &g, 3),
                                 0);
                check_close("swiglu and gate_mul", s.y.data, want, count, 1e-6);
            }
            release_all();
        }
}

static void logits_stat_equals_reference(void **unused)
{
    (void)unused;
    for (int i = 0; i < SIZES; i++) {
        int32_t n = sizes[i], best[ROWS], want_best[ROWS];
        float lse[ROWS], want_lse[ROWS];
        seed((uint64_t)i + 5);
        float *x = random_floats((size_t)(ROWS * n), 20);
        x[n / 2] = x[n - 1] = 200; /* equals: the first */
        for (int32_t j = 0; j < n; j++)
            x[n + j] = -1e30f;
        struct kern_logits_stat p = {x, n, ROWS, n, want_best, want_lse};
        assert_int_equal(RUN(kern_ref(), logits_stat, &p, 1), 0);
        assert_int_equal(want_best[0], n / 2);
        p.best = best;
        p.lse = lse;
        for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
            assert_int_equal(RUN(*ops, logits_stat, &p, 2), 0);
            check_close("lse", lse, want_lse, ROWS, 1e-6);
            assert_memory_equal(best, want_best, sizeof best);
        }
        release_all();
    }
}

static void embed_and_copy_are_exact(void **unused)
{
    enum { VOCAB = 37, N = 33 };
    static const int32_t ids[] = {36, 0, 16, 36};

    (void)unused;
    for (int layout = KERN_LAYOUT_F32; layout <= KERN_LAYOUT_B16; layout++) {
        seed(11);
        float *w = random_floats(VOCAB * N, 1), *y = take_floats(4 * N);
        for (int i = 0; i < VOCAB * N && layout == KERN_LAYOUT_B16; i++)
            w[i] = kern_bf16_to_f32(kern_f32_to_bf16(w[i]));
        struct kern_embed p = {make_matrix((enum kern_layout)layout, w, VOCAB, N), ids, y, N, 4};
        for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
            memset(y, 0xff, 4 * N * sizeof *y);
            assert_int_equal(RUN(*ops, embed, &p, 2), 0);
            for (int i = 0; i < 4; i++)
                assert_memory_equal(y + i * N, w + ids[i] * N, N * sizeof *y);
        }
        release_all();
    }
    for (size_t bytes = 0; bytes < 20000; bytes += 4999)
        for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
            unsigned char *from = take_bytes(bytes), *to = take_bytes(bytes);
            struct kern_copy p = {to, from, bytes};

            for (size_t i = 0; i < bytes; i++)
                from[i] = (unsigned char)(i * 7);
            assert_int_equal(RUN(*ops, copy, &p, 3), 0);
            assert_memory_equal(to, from, bytes);
            release_all();
        }
}

/* Through SiLU with up = 1, SiLU(x) / x = 1 / (1 + e^-x): the exponential over its range. */
static void exponential_is_close_everywhere(void **unused)
{
    enum { N = 20001 };
    float *x = take_floats(N), *one = take_floats(N), *y = take_floats(N);

    (void)unused;
    for (int i = 0; i < N; i++) {
        x[i] = -90.0f + 180.0f * (float)i / (N - 1);
        one[i] = 1;
    }
    struct kern_swiglu p = {x, one, N, {KERN_F32, y, N}, 1, N};
    for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
        assert_int_equal(RUN(*ops, swiglu, &p, 1), 0);
        for (int i = 0; i < N; i++) {
            double want = (double)x[i] / (1 + exp(-(double)x[i]));

            if (!(fabs((double)y[i] - want) <= 5e-7 * fabs(want) + (double)FLT_MIN * 100))
                fail_msg("%s: SiLU(%.9g) = %.9g, exactly %.9g", (*ops)->name, (double)x[i],
                         (double)y[i], want);
        }
    }
    release_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rms_norm_equals_reference),
        cmocka_unit_test(products_equal_reference),
        cmocka_unit_test(logits_stat_equals_reference),
        cmocka_unit_test(embed_and_copy_are_exact),
        cmocka_unit_test(exponential_is_close_everywhere),
    };

    return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
