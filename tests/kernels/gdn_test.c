/* DeltaNet: the fast forms against the reference, the reference against float64, and the bits. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tests/kernels/kernels_util.h"

enum kind { PLAIN_VALUES, CORRELATED, GATES_OPEN, GATES_SHUT, REPEATED, LARGE, KINDS };

struct shape {
    int32_t hk, r, dk, dv, conv, tokens;
    bool is_permuted;
};

static const struct shape shapes[] = {
    {1, 1, 1, 1, 2, 5, false},     {2, 1, 16, 16, 4, 64, false}, {1, 2, 31, 33, 4, 70, false},
    {2, 3, 32, 17, 4, 129, false}, {1, 2, 33, 31, 3, 131, true}, {2, 2, 128, 128, 4, 200, false},
    {1, 1, 5, 130, 8, 66, false},
};

/* Inputs of one sequence and what the layer makes of them. */
struct layer {
    struct kern_gdn_heads heads;
    int32_t tokens, channels, hv;
    float *x, *w, *a, *b, *a_log, *dt_bias, *z, *norm_w; /* inputs */
    size_t slot_bytes;
};

struct result {
    float *y; /* [tokens, hv*dv] */
    char *slot;
};

static struct layer make_layer(const struct shape *s, enum kind kind)
{
    struct layer l = {.heads = {s->hk, s->hk * s->r, s->dk, s->dv, s->conv, s->is_permuted},
                      .tokens = s->tokens};
    size_t t = (size_t)s->tokens;

    l.hv = s->hk * s->r;
    l.channels = 2 * s->hk * s->dk + l.hv * s->dv;
    l.slot_bytes = kern_gdn_slot_bytes(&l.heads);
    assert_true(l.slot_bytes > 0);
    l.x = random_floats(t * (size_t)l.channels, kind == LARGE ? 1e4 : 1);
    l.w = random_floats((size_t)(s->conv * l.channels), 0.5);
    l.a = random_floats(t * (size_t)l.hv, 1);
    l.b = random_floats(t * (size_t)l.hv, 1);
    l.a_log = random_floats((size_t)l.hv, 1);
    l.dt_bias = random_floats((size_t)l.hv, 1);
    l.z = random_floats(t * (size_t)(l.hv * s->dv), 1);
    l.norm_w = random_floats((size_t)s->dv, 1);
    for (size_t i = 0; i < t; i++)
        for (int32_t c = 0; c < l.channels; c++) {
            float *x = &l.x[i * (size_t)l.channels + (size_t)c];

            if (kind == REPEATED && i > 0)
                *x = l.x[c];
            if (kind == CORRELATED && c < 2 * s->hk * s->dk) /* keys and queries nearly one */
                *x = 1 + 1e-3f * *x;
        }
    for (size_t i = 0; i < t * (size_t)l.hv; i++) {
        if (kind == CORRELATED || kind == REPEATED)
            l.b[i] = 30; /* beta -> 1 */
        if (kind == CORRELATED || kind == GATES_OPEN || kind == REPEATED)
            l.a[i] = -40; /* g -> 0 */
        if (kind == GATES_SHUT && i % 3 == 0)
            l.a[i] = 1e6f; /* g -> -inf, now and then */
    }
    return l;
}

/* One piece of the sequence in one call of each operation. */
struct piece {
    const struct kern_ops *ops;
    const struct layer *l;
    struct kern_span span;
    struct kern_slots slots;
    float *qkv, *g, *beta, *y;
    bool is_step;
};

static int run_piece(struct kern_thread *th, void *arg)
{
    const struct piece *p = arg;
    const struct layer *l = p->l;
    const struct kern_ops *ops = p->ops;
    int32_t rows = l->tokens, width = l->hv * l->heads.dv;
    int rc = ops->conv1d(th, &(struct kern_conv1d){l->heads, p->slots, &p->span, 1, rows, l->x,
                                                   l->w, p->qkv, l->channels, l->channels});

    if (rc == 0)
        rc = ops->gdn_gates(th,
                            &(struct kern_gdn_gates){l->heads, &p->span, 1, rows, l->a, l->b, l->hv,
                                                     l->a_log, l->dt_bias, p->g, p->beta, false});
    if (ops == kern_ref())
        kern_barrier(th);
    struct kern_gdn gdn = {.heads = l->heads,
                           .slots = p->slots,
                           .spans = &p->span,
                           .span_count = 1,
                           .rows = rows,
                           .qkv = p->qkv,
                           .ld_qkv = l->channels,
                           .g = p->g,
                           .beta = p->beta,
                           .z = l->z,
                           .ld_z = width,
                           .norm_w = l->norm_w,
                           .y = {KERN_F32, p->y, width},
                           .eps = 1e-6f};
    if (rc == 0)
        rc = p->is_step ? ops->gdn_step(th, &gdn) : ops->gdn_chunk(th, &gdn);
    return rc;
}

/* The sequence in pieces of `piece` tokens; single tokens go through gdn_step. */
static struct result run_layer(const struct kern_ops *ops, const struct layer *l, int32_t piece,
                               int threads)
{
    size_t t = (size_t)l->tokens, width = (size_t)(l->hv * l->heads.dv);
    struct result r = {take_floats(t * width), take_bytes(l->slot_bytes)};
    struct piece p = {.ops = ops, .l = l, .slots = {r.slot, l->slot_bytes, 1}, .y = r.y};

    p.qkv = take_floats(t * (size_t)l->channels);
    p.g = take_floats(t * (size_t)l->hv);
    p.beta = take_floats(t * (size_t)l->hv);
    for (int32_t from = 0; from < l->tokens; from += piece) {
        int32_t n = l->tokens - from < piece ? l->tokens - from : piece;

        p.span = (struct kern_span){.row = from, .rows = n, .pos = from};
        p.is_step = n == 1;
        assert_int_equal(run_team(threads, run_piece, &p), 0);
    }
    return r;
}

/* Bounds on |dy| / (1 + |y|) after the gated norm, which divides by the size of o.  Where keys
 * nearly repeat, o is a small difference of large terms. */
static const double bounds[KINDS] = {
    [PLAIN_VALUES] = 2e-5, [CORRELATED] = 2e-4, [GATES_OPEN] = 4e-5,
    [GATES_SHUT] = 5e-5,   [REPEATED] = 2e-5,   [LARGE] = 1e-5,
};

static void fast_equals_reference(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (enum kind kind = 0; kind < KINDS; kind++) {
            seed(100 * i + kind);
            struct layer l = make_layer(&shapes[i], kind);
            struct result want = run_layer(kern_ref(), &l, l.tokens, 1);
            for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
                char what[64];
                struct result got = run_layer(*ops, &l, l.tokens, 1);

                snprintf(what, sizeof what, "%s shape %zu kind %d", (*ops)->name, i, (int)kind);
                check_close(what, got.y, want.y, (size_t)(l.tokens * l.hv * l.heads.dv),
                            bounds[kind]);
            }
            release_all();
        }
}

static void splits_and_threads_keep_bits(void **unused)
{
    static const int32_t pieces[] = {1, 2, 3, 4, 63, 64, 65, 200};

    (void)unused;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
            seed(i);
            struct layer l = make_layer(&shapes[i], i % 2 ? CORRELATED : PLAIN_VALUES);
            struct result want = run_layer(*ops, &l, l.tokens, 1);
            for (size_t j = 0; j < sizeof pieces / sizeof pieces[0]; j++) {
                struct result got = run_layer(*ops, &l, pieces[j], 1);

                check_same("y in pieces", got.y, want.y,
                           (size_t)(l.tokens * l.hv * l.heads.dv) * sizeof(float));
                check_same("state in pieces", got.slot, want.slot, l.slot_bytes);
            }
            struct result got = run_layer(*ops, &l, 50, 3);
            check_same("y of three threads", got.y, want.y,
                       (size_t)(l.tokens * l.hv * l.heads.dv) * sizeof(float));
            check_same("state of three threads", got.slot, want.slot, l.slot_bytes);
            release_all();
        }
}

/* Three sequences in one call, at different positions, one of them a single token. */
struct batch {
    const struct kern_ops *ops;
    const struct layer *l;
    struct kern_span spans[3];
    struct kern_slots slots;
    float *qkv, *g, *beta, *y;
};

static int run_batch(struct kern_thread *th, void *arg)
{
    const struct batch *b = arg;
    const struct layer *l = b->l;
    int32_t width = l->hv * l->heads.dv;
    int rc =
        b->ops->conv1d(th, &(struct kern_conv1d){l->heads, b->slots, b->spans, 3, l->tokens, l->x,
                                                 l->w, b->qkv, l->channels, l->channels});

    rc |= b->ops->gdn_gates(th, &(struct kern_gdn_gates){l->heads, b->spans, 3, l->tokens, l->a,
                                                         l->b, l->hv, l->a_log, l->dt_bias, b->g,
                                                         b->beta, false});
    rc |= b->ops->gdn_chunk(th, &(struct kern_gdn){l->heads,
                                                   b->slots,
                                                   b->spans,
                                                   3,
                                                   l->tokens,
                                                   b->qkv,
                                                   l->channels,
                                                   b->g,
                                                   b->beta,
                                                   l->z,
                                                   width,
                                                   l->norm_w,
                                                   {KERN_F32, b->y, width},
                                                   1e-6f});
    return rc;
}

static void batch_keeps_bits(void **unused)
{
    static const struct kern_span spans[3] = {
        {.row = 70, .rows = 61, .pos = 10, .slot = 2},
        {.row = 0, .rows = 69, .pos = 0, .slot = 0},
        {.row = 69, .rows = 1, .pos = 63, .slot = 1},
    };
    const struct shape *shape = &shapes[4];

    (void)unused;
    for (const struct kern_ops *const *ops = implementations(); *ops != NULL; ops++) {
        seed(7);
        struct layer l = make_layer(shape, PLAIN_VALUES);
        size_t t = (size_t)l.tokens, width = (size_t)(l.hv * l.heads.dv);
        struct batch b = {*ops,
                          &l,
                          {spans[0], spans[1], spans[2]},
                          {take_bytes(3 * l.slot_bytes), l.slot_bytes, 3},
                          take_floats(t * (size_t)l.channels),
                          take_floats(t * (size_t)l.hv),
                          take_floats(t * (size_t)l.hv),
                          take_floats(t * width)};
        float *alone = take_floats(t * width);
        void *alone_slots = take_bytes(3 * l.slot_bytes);

        assert_int_equal(run_team(2, run_batch, &b), 0);
        for (int i = 0; i < 3; i++) {
            struct piece p = {.ops = *ops,
                              .l = &l,
                              .span = spans[i],
                              .slots = {alone_slots, l.slot_bytes, 3},
                              .qkv = b.qkv,
                              .g = b.g,
                              .beta = b.beta,
                              .y = alone,
                              .is_step = spans[i].rows == 1};

            assert_int_equal(run_team(1, run_piece, &p), 0);
        }
        check_same("y in a batch", b.y, alone, t * width * sizeof(float));
        check_same("slots of a batch", b.slots.base, alone_slots, 3 * l.slot_bytes);
        release_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_equals_reference),
        cmocka_unit_test(splits_and_threads_keep_bits),
        cmocka_unit_test(batch_keeps_bits),
    };

    return cmocka_run_group_tests_name("gdn", tests, NULL, NULL);
}
