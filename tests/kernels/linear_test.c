/* Matrices: packing, linear, linear_swiglu, the experts; bounds against the reference, and the
 * bits alone, in a batch and on several threads. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tests/kernels/kernels_util.h"

struct shape {
    int32_t rows, out, cols;
};

static const struct shape shapes[] = {
    {1, 1, 1},    {1, 16, 2},    {2, 31, 33},   {3, 32, 31},  {12, 33, 32},
    {13, 15, 64}, {25, 100, 77}, {31, 48, 128}, {33, 257, 1}, {5, 513, 512},
};
static const enum kern_layout layouts[] = {KERN_LAYOUT_F32, KERN_LAYOUT_B16};

static enum kern_type operand(enum kern_layout layout)
{
    return layout == KERN_LAYOUT_B16 ? KERN_BF16 : KERN_F32;
}

struct problem {
    struct kern_linear linear;
    float *y0; /* y before */
    size_t y_count;
};

static struct problem make_problem(const struct shape *s, enum kern_layout layout, double scale)
{
    int64_t ld = s->cols + 3;
    size_t count = (size_t)s->rows * (size_t)(s->out + 5);
    struct problem p = {.y0 = random_floats(count, scale), .y_count = count};

    p.linear = (struct kern_linear){
        .w = make_matrix(layout, random_floats((size_t)s->out * (size_t)s->cols, 1), s->out,
                         s->cols),
        .x = make_in(operand(layout), random_floats((size_t)(s->rows * ld), scale), s->rows, ld),
        .bias = random_floats((size_t)s->out, scale),
        .ld = s->out + 5,
        .rows = s->rows,
        .is_added = true,
    };
    return p;
}

static float *run_problem(const struct kern_ops *ops, const struct problem *p, int threads)
{
    struct kern_linear l = p->linear;

    l.y = take_floats(p->y_count);
    memcpy(l.y, p->y0, p->y_count * sizeof(float));
    assert_int_equal(RUN(ops, linear, &l, threads), 0);
    return l.y;
}

/* A sum of n products in f32 against one in double: n roundings of partial sums below
 * sum |w x|, about 1.3 n scale here; the root is what they add up to. */
static double linear_bound(int32_t cols, double scale)
{
    return 1e-6 * sqrt(cols + 4) * scale;
}

static void linear_equals_reference(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int l = 0; l < 4; l++) {
            double scale = l < 2 ? 1 : 1e4;
            seed(i + 10);
            struct problem p = make_problem(&shapes[i], layouts[l % 2], scale);
            float *want = run_problem(kern_ref(), &p, 1);
            for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
                char what[64];

                snprintf(what, sizeof what, "%s linear %zu layout %d", (*ops)->name, i, l);
                check_close(what, run_problem(*ops, &p, 1), want, p.y_count,
                            linear_bound(shapes[i].cols, scale));
                check_same("linear on 3 threads", run_problem(*ops, &p, 3),
                           run_problem(*ops, &p, 1), p.y_count * sizeof(float));
            }
            release_all();
        }
}

static void a_row_alone_has_the_same_bits(void **unused)
{
    static const struct shape s = {29, 83, 301};

    (void)unused;
    for (int l = 0; l < 2; l++)
        for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
            seed(3);
            struct problem p = make_problem(&s, layouts[l], 1);
            float *want = run_problem(*ops, &p, 2);
            for (int32_t from = 0; from < s.rows;) {
                int32_t n = 1 + from % 14 < s.rows - from ? 1 + from % 14 : s.rows - from;
                struct problem one = p;

                one.linear.rows = n;
                one.linear.x.data =
                    (const char *)p.linear.x.data + from * p.linear.x.ld * (l == 0 ? 4 : 2);
                one.y0 = p.y0 + from * p.linear.ld;
                one.y_count = (size_t)(n * p.linear.ld);
                check_same("some rows", run_problem(*ops, &one, 1), want + from * p.linear.ld,
                           one.y_count * sizeof(float));
                from += n;
            }
            release_all();
        }
}

static void swiglu_equals_reference(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int l = 0; l < 2; l++) {
            seed(i + 50);
            const struct shape *s = &shapes[i];
            size_t w = (size_t)s->out * (size_t)s->cols, n = (size_t)(s->rows * s->out);
            struct kern_linear_swiglu p = {
                make_matrix(layouts[l], random_floats(w, 0.3), s->out, s->cols),
                make_matrix(layouts[l], random_floats(w, 0.3), s->out, s->cols),
                make_in(operand(layouts[l]), random_floats((size_t)(s->rows * s->cols), 1), s->rows,
                        s->cols),
                {KERN_F32, take_floats(n), s->out},
                s->rows};
            float *want = p.y.data;

            assert_int_equal(RUN(kern_ref(), linear_swiglu, &p, 1), 0);
            for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
                p.y.data = take_floats(n);
                assert_int_equal(RUN(*ops, linear_swiglu, &p, 2), 0);
                check_close("linear_swiglu", p.y.data, want, n, 4e-6 * sqrt(s->cols + 4));
            }
            release_all();
        }
}

/* Twelve rows through 9 experts, 3 each, up, gate, down and back. */
struct moe {
    const struct kern_ops *ops;
    struct kern_moe_route route;
    struct kern_moe_gather gather;
    struct kern_moe_linear up, down;
    struct kern_moe_combine combine;
};

static int run_moe(struct kern_thread *th, void *arg)
{
    const struct moe *m = arg;
    int rc = m->ops->moe_route(th, &m->route);

    kern_barrier(th);
    rc |= m->ops->moe_gather(th, &m->gather);
    kern_barrier(th);
    rc |= m->ops->moe_linear(th, &m->up);
    kern_barrier(th);
    rc |= m->ops->moe_linear(th, &m->down);
    kern_barrier(th);
    rc |= m->ops->moe_combine(th, &m->combine);
    return rc;
}

enum { EXPERTS = 9, TOP = 3, HIDDEN = 37, INNER = 50 };

static float *run_moe_on(const struct kern_ops *ops, struct moe m, const float *logits,
                         const float *x, int32_t rows, enum kern_layout layout, int threads)
{
    int32_t sorted = rows * TOP;
    enum kern_type type = operand(layout);
    void *gathered = take_bytes((size_t)(sorted * HIDDEN) * 4);
    void *inner = take_bytes((size_t)(sorted * INNER) * 4);
    float *out = take_floats((size_t)(sorted * HIDDEN)), *y = take_floats((size_t)(rows * HIDDEN));

    m.ops = ops;
    m.route = (struct kern_moe_route){logits,
                                      EXPERTS,
                                      rows,
                                      EXPERTS,
                                      TOP,
                                      true,
                                      take_bytes((size_t)sorted * 4),
                                      take_floats((size_t)sorted),
                                      take_bytes((EXPERTS + 1) * 4),
                                      take_bytes((size_t)sorted * 4)};
    m.gather = (struct kern_moe_gather){
        make_in(type, x, rows, HIDDEN), {type, gathered, HIDDEN}, m.route.place, rows, TOP, HIDDEN};
    m.up.x = (struct kern_in){type, gathered, HIDDEN};
    m.up.y = (struct kern_out){type, inner, INNER};
    m.down.x = (struct kern_in){type, inner, INNER};
    m.down.y = (struct kern_out){KERN_F32, out, HIDDEN};
    m.up.start = m.down.start = m.route.start;
    m.up.experts = m.down.experts = EXPERTS;
    m.up.sorted_rows = m.down.sorted_rows = sorted;
    m.combine = (struct kern_moe_combine){out,    HIDDEN, m.route.place, m.route.weights, y,
                                          HIDDEN, rows,   TOP,           HIDDEN};
    assert_int_equal(run_team(threads, run_moe, &m), 0);
    return y;
}

static const struct kern_matrix *make_experts(enum kern_layout layout, int32_t rows, int32_t cols)
{
    struct kern_matrix *m = take_bytes(EXPERTS * sizeof *m);

    for (int e = 0; e < EXPERTS; e++)
        m[e] = make_matrix(layout, random_floats((size_t)(rows * cols), 0.2), rows, cols);
    return m;
}

static void experts_equal_reference(void **unused)
{
    enum { ROWS = 40 };

    (void)unused;
    for (int l = 0; l < 2; l++) {
        seed((uint64_t)l + 70);
        float *logits = random_floats(ROWS * EXPERTS, 2), *x = random_floats(ROWS * HIDDEN, 1);
        for (int i = 0; i < EXPERTS; i++)
            logits[i] = 1; /* equals: the lower number goes first */
        struct moe m = {.up = {.w = make_experts(layouts[l], INNER, HIDDEN),
                               .up = make_experts(layouts[l], INNER, HIDDEN)},
                        .down = {.w = make_experts(layouts[l], HIDDEN, INNER)}};
        float *want = run_moe_on(kern_ref(), m, logits, x, ROWS, layouts[l], 1);
        for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
            float *got = run_moe_on(*ops, m, logits, x, ROWS, layouts[l], 1);

            /* bf16: an inner value may round to the other neighbour, 2^-9 of it */
            check_close("experts", got, want, ROWS * HIDDEN, l == 0 ? 1e-5 : 5e-3);
            check_same("experts on 3 threads", got,
                       run_moe_on(*ops, m, logits, x, ROWS, layouts[l], 3),
                       ROWS * HIDDEN * sizeof(float));
            for (int r = 0; r < ROWS; r += 7)
                check_same(
                    "one row of experts", got + r * HIDDEN,
                    run_moe_on(*ops, m, logits + r * EXPERTS, x + r * HIDDEN, 1, layouts[l], 1),
                    HIDDEN * sizeof(float));
        }
        release_all();
    }
}

static float element_at(enum kern_source source, const char *from, int i)
{
    uint16_t h;
    float x;

    if (source == KERN_SOURCE_F32) {
        memcpy(&x, from + 4 * i, sizeof x);
        return x;
    }
    memcpy(&h, from + 2 * i, sizeof h);
    return source == KERN_SOURCE_F16 ? kern_f16_to_f32(h) : kern_bf16_to_f32(h);
}

static void packing_keeps_every_value(void **unused)
{
    enum { ROWS = 37, COLS = 21 };
    uint16_t source[ROWS * COLS], halves[ROWS * COLS];
    float out[COLS];

    (void)unused;
    for (int i = 0; i < ROWS * COLS; i++) {
        source[i] = (uint16_t)(i * 83 & 0xbfff); /* finite */
        halves[i] = (uint16_t)(0x3c00 + i);
    }
    void *data = take_bytes(kern_matrix_bytes(KERN_LAYOUT_B16, ROWS, COLS));
    memset(data, 0xff, kern_matrix_bytes(KERN_LAYOUT_B16, ROWS, COLS));
    for (int first = 0; first < ROWS; first += 16) { /* as several readers would */
        struct kern_pack p = {KERN_LAYOUT_B16,
                              KERN_SOURCE_BF16,
                              source + first * COLS,
                              COLS,
                              first,
                              first + 16 < ROWS ? 16 : ROWS - first,
                              ROWS,
                              COLS,
                              data};
        assert_int_equal(kern_pack(&p), 0);
    }
    struct kern_matrix m = {KERN_LAYOUT_B16, ROWS, COLS, data};
    for (int r = 0; r < ROWS; r++) {
        assert_int_equal(kern_unpack_row(&m, r, out), 0);
        for (int c = 0; c < COLS; c++)
            assert_int_equal(kern_f32_to_bf16(out[c]), source[r * COLS + c]);
    }
    struct kern_pack f16 = {KERN_LAYOUT_F32,
                            KERN_SOURCE_F16,
                            halves,
                            COLS,
                            0,
                            ROWS,
                            ROWS,
                            COLS,
                            take_bytes(kern_matrix_bytes(KERN_LAYOUT_F32, ROWS, COLS))};
    assert_int_equal(kern_pack(&f16), 0);
    m = (struct kern_matrix){KERN_LAYOUT_F32, ROWS, COLS, f16.dest};
    for (int r = 0; r < ROWS; r++) {
        assert_int_equal(kern_unpack_row(&m, r, out), 0);
        for (int c = 0; c < COLS; c++)
            assert_true(out[c] == 1 + (float)(r * COLS + c) / 1024);
    }
    release_all();
}

/* Any rows at any time, of every type into every layout: the same as all at once, and each element
 * as the conversions say. */
static void packing_by_pieces_is_packing_at_once(void **unused)
{
    enum { ROWS = 53, COLS_MAX = 270 };
    static const int cuts[] = {0, 5, 16, 32, 37, 48, ROWS}, cols[] = {1, 2, 9, 256, 270};
    static uint32_t source[ROWS * COLS_MAX + 1];

    (void)unused;
    for (int i = 0; i < ROWS * COLS_MAX; i++)
        source[i] = (uint32_t)i * 2654435761u & 0xbbbbbbbb; /* finite in every type, at any byte */
    for (int s = KERN_SOURCE_F32; s <= KERN_SOURCE_BF16; s++)
        for (int l = KERN_LAYOUT_F32; l <= KERN_LAYOUT_B16; l++)
            for (size_t c = 0; c < sizeof cols / sizeof cols[0]; c++) {
                size_t element = s == KERN_SOURCE_F32 ? 4 : 2;
                size_t bytes = kern_matrix_bytes((enum kern_layout)l, ROWS, cols[c]);
                const char *from = (const char *)source + 1; /* as a file may have it */
                struct kern_pack p = {
                    (enum kern_layout)l, (enum kern_source)s, from, cols[c], 0, ROWS, ROWS, cols[c],
                    take_bytes(bytes)};
                struct kern_matrix m = {p.layout, ROWS, cols[c], take_bytes(bytes)};
                float row[COLS_MAX];

                memset(p.dest, 0xff, bytes);
                assert_int_equal(kern_pack(&p), 0);
                for (int r = 0; r < ROWS; r++) {
                    assert_int_equal(
                        kern_unpack_row(&(struct kern_matrix){p.layout, ROWS, cols[c], p.dest}, r,
                                        row),
                        0);
                    for (int k = 0; k < cols[c]; k++) {
                        float expected = element_at(p.source, from, r * cols[c] + k);

                        if (l == KERN_LAYOUT_B16)
                            expected = kern_bf16_to_f32(kern_f32_to_bf16(expected));
                        check_same("an element", &row[k], &expected, sizeof expected);
                    }
                }
                for (int i = sizeof cuts / sizeof cuts[0] - 2; i >= 0; i--) {
                    struct kern_pack piece = p;

                    piece.first = cuts[i];
                    piece.rows = cuts[i + 1] - cuts[i];
                    piece.from = from + (size_t)(cuts[i] * cols[c]) * element;
                    piece.dest = (void *)(uintptr_t)m.data;
                    assert_int_equal(kern_pack(&piece), 0);
                }
                check_same("by pieces", m.data, p.dest, bytes);
                release_all();
            }
}

static void what_does_not_fit_is_found(void **unused)
{
    enum { N = 1000 };
    static const struct {
        enum kern_source source;
        enum kern_layout layout;
        uint32_t fits, unfit;
    } cases[] = {
        {KERN_SOURCE_F32, KERN_LAYOUT_F32, 0xff7fffff, 0x7f800000},
        {KERN_SOURCE_F32, KERN_LAYOUT_F32, 0x00000001, 0xffc00000},
        {KERN_SOURCE_F32, KERN_LAYOUT_B16, 0xff7f7fff, 0x7f7f8000},
        {KERN_SOURCE_F16, KERN_LAYOUT_F32, 0xfbff, 0x7c00},
        {KERN_SOURCE_F16, KERN_LAYOUT_B16, 0x7bff, 0xfe00},
        {KERN_SOURCE_BF16, KERN_LAYOUT_B16, 0xff7f, 0xff80},
        {KERN_SOURCE_BF16, KERN_LAYOUT_F32, 0x7f7f, 0x7fc0},
    };

    (void)unused;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        size_t element = cases[c].source == KERN_SOURCE_F32 ? 4 : 2;
        char data[4 * N + 1];

        for (size_t i = 0; i < N; i++)
            memcpy(data + 1 + i * element, &cases[c].fits, element);
        assert_int_equal(kern_find_unfit(cases[c].source, cases[c].layout, data + 1, N), -1);
        float all[N];
        kern_to_floats(cases[c].source, data + 1, N, all);
        for (int i = 0; i < N; i++)
            assert_true(all[i] == element_at(cases[c].source, data + 1, i));
        for (size_t i = N; i-- > 0;) {
            memcpy(data + 1 + i * element, &cases[c].unfit, element);
            assert_int_equal(kern_find_unfit(cases[c].source, cases[c].layout, data + 1, N), i);
        }
    }
}

static void every_half_is_the_float_it_was(void **unused)
{
    (void)unused;
    for (uint32_t h = 0; h < 0x10000; h++) {
        int exponent = (int)(h >> 10 & 31), mantissa = (int)(h & 0x3ff);
        float x = kern_f16_to_f32((uint16_t)h), magnitude = fabsf(x);

        assert_int_equal(signbit(x) != 0, h >> 15);
        if (exponent == 31)
            assert_true(mantissa == 0 ? isinf(x) : isnan(x));
        else if (exponent == 0)
            assert_true(magnitude == ldexpf((float)mantissa, -24));
        else
            assert_true(magnitude == ldexpf((float)(1024 + mantissa), exponent - 25));
    }
}

static void conversions_round_to_nearest_even(void **unused)
{
    (void)unused;
    assert_int_equal(kern_f32_to_bf16(1.00390625f), 0x3f80); /* halfway, down to even */
    assert_int_equal(kern_f32_to_bf16(1.01171875f), 0x3f82); /* halfway, up to even */
    assert_int_equal(kern_f32_to_bf16(-INFINITY), 0xff80);
    assert_true(isnan(kern_bf16_to_f32(kern_f32_to_bf16(NAN))));
    assert_true(kern_f16_to_f32(0x0001) == 0x1p-24f);
    assert_true(kern_f16_to_f32(0xfbff) == -65504);
    assert_true(isinf(kern_f16_to_f32(0x7c00)));
    assert_true(isnan(kern_f16_to_f32(0x7e00)));
    for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
        static const float in[] = {1.00390625f, 1.01171875f, -3.1f, 1e-42f, 3.4e38f, 65280.0f,
                                   -0.0f,       1e10f,       7,     8,      9,       10,
                                   11,          12,          13,    14,     15.0625f};
        enum { N = sizeof in / sizeof in[0] };
        static const float ones[N];
        uint16_t out[N];
        float x[N];

        memcpy(x, in, sizeof in);
        /* a gate of 0 halves: exact, so only the rounding to bf16 is left */
        struct kern_gate_mul p = {x, ones, N, N, {KERN_BF16, out, N}, 1, N, false, false};
        assert_int_equal(RUN(*ops, gate_mul, &p, 1), 0);
        for (int i = 0; i < N; i++)
            assert_int_equal(out[i], kern_f32_to_bf16(x[i] * 0.5f));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packing_keeps_every_value),
        cmocka_unit_test(packing_by_pieces_is_packing_at_once),
        cmocka_unit_test(what_does_not_fit_is_found),
        cmocka_unit_test(every_half_is_the_float_it_was),
        cmocka_unit_test(conversions_round_to_nearest_even),
        cmocka_unit_test(linear_equals_reference),
        cmocka_unit_test(a_row_alone_has_the_same_bits),
        cmocka_unit_test(swiglu_equals_reference),
        cmocka_unit_test(experts_equal_reference),
    };

    return cmocka_run_group_tests_name("linear", tests, NULL, NULL);
}
