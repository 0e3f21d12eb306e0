/* gdn_step: decoding a ragged batch, and drafts that are taken back. */
#include <stdio.h>
#include <string.h>

#include "tests/kernels/cuda_cases.h"
#include "tests/kernels/cuda_util.h"

static const struct step_case {
    struct kern_gdn_heads heads;
    enum kern_type type, to;
    int32_t sequences;
} cases[] = {
    {{1, 3, 128, 128, 4, false}, KERN_BF16, KERN_F32, 3}, /* parts in a cluster */
    {{2, 4, 64, 64, 4, true}, KERN_F32, KERN_F32, 2},
    {{1, 1, 256, 256, 4, false}, KERN_BF16, KERN_BF16, 1},
    {{1, 2, 128, 96, 4, false}, KERN_BF16, KERN_F32, 1}, /* three tiles */
    {{2, 2, 24, 40, 3, false}, KERN_F32, KERN_F32, 2},   /* the general way */
    {{1, 2, 100, 33, 4, false}, KERN_BF16, KERN_F32, 1},
    {{1, 1, 130, 16, 2, false}, KERN_F32, KERN_F32, 1},
    {{1, 1, 1, 1, 4, false}, KERN_F32, KERN_F32, 1},
    {{48, 48, 64, 64, 4, false}, KERN_BF16, KERN_F32, 4}, /* more blocks than there is room for */
};

struct run {
    const struct layer *l;
    struct slots slots;
    struct buffer y;
    enum kern_type to;
};

static struct run make_run(const struct layer *l, int32_t slots, int32_t keep, enum kern_type to)
{
    struct run r = {l, make_slots(l, slots, keep), {0}, to};

    r.y = take_buffer((size_t)l->rows * (size_t)l->ld_y * kern_cuda_type_bytes(to));
    memset(r.y.host, 0xff, r.y.bytes);
    send(&r.y);
    return r;
}

/* One call of gdn_step on both sides. */
static void step(const struct run *r, struct batch *b)
{
    struct kern_cuda_spans spans = send_spans(b, r->l->rows);

    for (int at = 0; at < 2; at++) {
        struct kern_cuda_gdn_step p = {.heads = r->l->heads,
                                       .slots = slots_of(&r->slots, at == 1),
                                       .spans = spans,
                                       .x = in_of(r->l, &r->l->x, r->l->ld, at == 1),
                                       .w = (const void *)(at == 1 ? r->l->w.device : r->l->w.host),
                                       .gates = gates_of(r->l, at == 1),
                                       .norm = norm_of(r->l, at == 1, true),
                                       .y = {r->to, at == 1 ? r->y.device : r->y.host, r->l->ld_y}};

        if (at == 0)
            must(kern_cuda_ref()->gdn_step(NULL, NULL, &p), "gdn_step of the reference");
        else
            must(device.api->ops.gdn_step(device.c, device.stream, &p), "gdn_step");
    }
}

static double error_of_rows(const struct run *r, int32_t rows)
{
    char *got = fetch(&r->y);
    double most = 0;

    for (int32_t t = 0; t < rows; t++) {
        size_t from = (size_t)(t * r->l->ld_y) * kern_cuda_type_bytes(r->to);
        double e = relative_error(r->to, got + from, r->y.host + from, (size_t)r->l->width);

        most = e > most ? e : most;
    }
    return most;
}

static size_t state_count(const struct run *r)
{
    return (size_t)r->l->heads.hv * (size_t)(r->l->heads.dk * r->l->heads.dv);
}

static double error_of_states(const struct run *r)
{
    char *got = fetch(&r->slots.memory);
    double most = 0;

    for (int32_t i = 0; i < r->slots.shape.count; i++) {
        size_t from = (size_t)i * r->slots.shape.stride;
        double e =
            relative_error(KERN_F32, got + from, r->slots.memory.host + from, state_count(r));

        most = e > most ? e : most;
    }
    return most;
}

/* Several steps of sequences in slots of another order, one slot left alone. */
static void run_case(const struct step_case *k, enum kind kind, int steps)
{
    struct layer l = make_layer(k->heads, k->type, steps * k->sequences, kind);
    struct run r = make_run(&l, k->sequences + 1, 0, k->to);
    char what[128];

    for (int s = 0; s < steps; s++) {
        struct batch b = {.count = k->sequences};

        for (int32_t i = 0; i < k->sequences; i++)
            b.spans[i] = (struct kern_cuda_span){.row = s * k->sequences + i,
                                                 .rows = 1,
                                                 .pos = s,
                                                 .slot = k->sequences - i,
                                                 .checkpoint = -1};
        step(&r, &b);
    }
    snprintf(what, sizeof what, "gdn_step %d/%d x %dx%d %s", k->heads.hk, k->heads.hv, k->heads.dk,
             k->heads.dv, kind_names[kind]);
    report(what, error_of_rows(&r, l.rows), k->to == KERN_BF16 ? 4e-3 : 2e-5);
    snprintf(what, sizeof what, "gdn_step %d/%d x %dx%d %s: states", k->heads.hk, k->heads.hv,
             k->heads.dk, k->heads.dv, kind_names[kind]);
    report(what, error_of_states(&r), 1e-5);
}

void check_step(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (enum kind kind = 0; kind < (i == 0 ? KINDS : OPEN); kind++) {
            seed(100 * i + kind);
            run_case(&cases[i], kind, cases[i].heads.hk > 8 ? 2 : 6);
            release_all();
        }
}

/* Drafts of 4, of which 2, 0, 4, 1, 3 stay; then a fold.  A second sequence sees only those that
 * stay, one by one: the same bits. */
static void run_drafts(struct kern_gdn_heads heads, enum kern_type type, const char *name)
{
    enum { DRAFTS = 4 };
    static const int32_t stay[] = {2, 0, 4, 1, 3};
    enum { CALLS = sizeof stay / sizeof stay[0] };
    struct layer l = make_layer(heads, type, CALLS * DRAFTS, PLAIN);
    struct run drafts = make_run(&l, 2, DRAFTS, KERN_F32);
    struct run plain = make_run(&l, 1, 0, KERN_F32);
    int32_t pos = 0, pending = 0;
    char what[128];

    for (int32_t call = 0; call < CALLS; call++) {
        struct batch b = {.spans = {{.row = call * DRAFTS,
                                     .rows = DRAFTS,
                                     .pos = pos,
                                     .slot = 1,
                                     .pending = pending,
                                     .checkpoint = -1}},
                          .count = 1};

        step(&drafts, &b);
        for (int32_t t = 0; t < stay[call]; t++) {
            struct batch one = {
                .spans = {{.row = call * DRAFTS + t, .rows = 1, .pos = pos + t, .checkpoint = -1}},
                .count = 1};

            step(&plain, &one);
        }
        pos += stay[call];
        pending = stay[call];
    }
    snprintf(what, sizeof what, "drafts %s", name);
    report(what, error_of_rows(&drafts, l.rows), 2e-5);
    struct batch b = {
        .spans = {{.rows = 1, .pos = pos, .slot = 1, .pending = pending, .checkpoint = -1}},
        .count = 1};
    struct kern_cuda_gdn_fold fold = {heads, slots_of(&drafts.slots, true), send_spans(&b, 1)};
    must(device.api->ops.gdn_fold(device.c, device.stream, &fold), "gdn_fold");
    fold.slots = slots_of(&drafts.slots, false);
    must(kern_cuda_ref()->gdn_fold(NULL, NULL, &fold), "gdn_fold of the reference");
    snprintf(what, sizeof what, "drafts %s: states after a fold", name);
    report(what, error_of_states(&drafts), 1e-5);
    snprintf(what, sizeof what, "drafts %s: bits of a sequence without the others", name);
    char *mine = (char *)fetch(&drafts.slots.memory) + drafts.slots.shape.stride;
    report_true(what,
                memcmp(mine, fetch(&plain.slots.memory), state_count(&plain) * sizeof(float)) == 0);
}

void check_drafts(void)
{
    seed(7);
    run_drafts((struct kern_gdn_heads){1, 2, 128, 128, 4, false}, KERN_BF16, "1/2 x 128x128");
    release_all();
    run_drafts((struct kern_gdn_heads){2, 4, 20, 12, 3, true}, KERN_F32, "2/4 x 20x12");
    release_all();
}
