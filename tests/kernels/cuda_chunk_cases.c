/* gdn_rows and gdn_chunk: whole prompts, pieces of them, checkpoints, hostile values. */
#include <stdio.h>
#include <string.h>

#include "tests/kernels/cuda_cases.h"
#include "tests/kernels/cuda_util.h"

/* What a run of one of them made, on both sides. */
struct run {
    const struct layer *l;
    struct slots slots;
    struct buffer y, work, list;
    enum kern_type to;
    bool is_normed;
    int32_t segments;
};

typedef int chunk_op(struct kern_cuda *, void *, const struct kern_cuda_gdn_chunk *);

static struct run make_run(const struct layer *l, int32_t slots, enum kern_type to, bool is_normed,
                           int32_t segments)
{
    struct run r = {.l = l,
                    .slots = make_slots(l, slots, 0),
                    .to = to,
                    .is_normed = is_normed,
                    .segments = segments};
    int32_t pieces = l->rows / KERN_CHUNK + 2 * SPANS_MAX;
    size_t state = r.slots.shape.stride;

    r.y = take_buffer((size_t)l->rows * (size_t)l->ld_y * kern_cuda_type_bytes(to));
    r.work = take_buffer(kern_cuda_gdn_work_bytes(&l->heads, pieces, SPANS_MAX, segments));
    r.list = take_buffer(2 * sizeof(int32_t));
    memcpy(r.list.host, (int32_t[]){slots - 1, slots - 2}, r.list.bytes);
    send(&r.list);
    memset(r.y.host, 0xff, r.y.bytes);
    send(&r.y);
    memset(r.work.host, 0xff, r.work.bytes);
    send(&r.work);
    for (int32_t i = 0; i < slots; i++) /* a state that is not zero */
        for (int32_t j = 0; j < l->heads.hv * l->heads.dk * l->heads.dv; j++)
            ((float *)(void *)(r.slots.memory.host + (size_t)i * state))[j] =
                (float)(0.1 * gauss());
    send(&r.slots.memory);
    return r;
}

static void call(const struct run *r, struct batch *b, chunk_op *op)
{
    struct kern_cuda_spans spans = send_spans(b, r->l->rows);

    for (int at = 0; at < 2; at++) {
        struct kern_cuda_gdn_chunk p = {
            .heads = r->l->heads,
            .slots = slots_of(&r->slots, at == 1),
            .spans = spans,
            .checkpoints = {(const void *)r->list.host, (const void *)r->list.device, 2},
            .qkv = in_of(r->l, &r->l->qkv, r->l->ld, at == 1),
            .gates = gates_of(r->l, at == 1),
            .norm = norm_of(r->l, at == 1, r->is_normed),
            .y = {r->to, at == 1 ? r->y.device : r->y.host, r->l->ld_y},
            .segments = at == 1 ? r->segments : 0,
            .work = r->work.device,
            .work_bytes = r->work.bytes};

        if (at == 0)
            must(kern_cuda_ref()->gdn_chunk(NULL, NULL, &p), "gdn_chunk of the reference");
        else
            must(op(device.c, device.stream, &p), "gdn_chunk");
    }
}

/* Of all outputs together; a NaN anywhere is infinite. */
static double error_of_outputs(const struct run *r)
{
    char *got = fetch(&r->y);
    size_t element = kern_cuda_type_bytes(r->to), n = 0;
    size_t width = (size_t)r->l->width * element;

    for (int32_t t = 0; t < r->l->rows; t++, n += width) { /* the rows moved together */
        size_t from = (size_t)(t * r->l->ld_y) * element;

        memmove(got + n, got + from, width);
        memmove(r->y.host + n, r->y.host + from, width);
    }
    return relative_error(r->to, got, r->y.host, n / element);
}

static double error_of_states(const struct run *r)
{
    char *got = fetch(&r->slots.memory);
    size_t n = (size_t)r->l->heads.hv * (size_t)(r->l->heads.dk * r->l->heads.dv);
    double most = 0;

    for (int32_t i = 0; i < r->slots.shape.count; i++) {
        size_t from = (size_t)i * r->slots.shape.stride;
        double e = relative_error(KERN_F32, got + from, r->slots.memory.host + from, n);

        most = e > most ? e : most;
    }
    return most;
}

/* Three sequences: from the middle of a chunk, over several, a single token. */
static struct batch ragged(int32_t rows)
{
    int32_t first = rows / 3;

    return (struct batch){
        .spans = {{.row = 1 + first, .rows = rows - first - 1, .pos = 0, .slot = 2},
                  {.row = 0, .rows = 1, .pos = 63, .slot = 0},
                  {.row = 1, .rows = first, .pos = 50, .slot = 1}},
        .count = 3};
}

static void without_checkpoints(struct batch *b)
{
    for (int32_t i = 0; i < b->count; i++)
        b->spans[i].checkpoint = -1;
}

struct chunk_case {
    struct kern_gdn_heads heads;
    enum kern_type type, to;
    int32_t rows;
    bool is_normed;
    int32_t segments;
};

static void run_case(const struct chunk_case *k, enum kind kind, chunk_op *op, const char *name,
                     double bound)
{
    struct layer l = make_layer(k->heads, k->type, k->rows, kind);
    struct run r = make_run(&l, 3, k->to, k->is_normed, k->segments);
    struct batch b = ragged(k->rows);
    char what[128];

    without_checkpoints(&b);
    call(&r, &b, op);
    snprintf(what, sizeof what, "%s %d/%d x %dx%d %s", name, k->heads.hk, k->heads.hv, k->heads.dk,
             k->heads.dv, kind_names[kind]);
    report(what, error_of_outputs(&r), bound);
    snprintf(what, sizeof what, "%s %d/%d x %dx%d %s: states", name, k->heads.hk, k->heads.hv,
             k->heads.dk, k->heads.dv, kind_names[kind]);
    report(what, error_of_states(&r), bound);
}

void check_rows(void)
{
    static const struct chunk_case cases[] = {
        {{1, 2, 128, 128, 4, false}, KERN_BF16, KERN_F32, 80, true, 0},
        {{1, 1, 64, 64, 4, false}, KERN_F32, KERN_F32, 90, false, 0},
        {{1, 2, 256, 130, 4, true}, KERN_F32, KERN_F32, 20, true, 0},
        {{2, 4, 31, 33, 4, true}, KERN_F32, KERN_F32, 70, true, 0},
        {{1, 1, 1, 1, 2, false}, KERN_F32, KERN_BF16, 70, true, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (enum kind kind = 0; kind < (i == 0 ? KINDS : KEYS_ALIKE); kind++) {
            seed(10 * i + kind);
            run_case(&cases[i], kind, device.api->ops.gdn_rows, "gdn_rows",
                     cases[i].to == KERN_BF16 ? 4e-3 : 2e-5);
            release_all();
        }
}

/* The operands of the tensor cores are bf16 (8 bits): S, X, T, P and u.  Where keys are alike, what
 * a chunk rounds adds up along their common direction until the next chunk reads it from S. */
static const double bounds[KINDS] = {
    [PLAIN] = 6e-3, [KEYS_ALIKE] = 3e-2, [REPEATED] = 1e-2,
    [OPEN] = 8e-3,  [SHUT] = 6e-3,       [LARGE] = 6e-3,
};

/* A prompt at once and cut at multiples of 64: the same bits; every 1,024 tokens the state. */
static void check_cuts(struct kern_gdn_heads heads)
{
    enum { ROWS = 1152, CUT = 192 };
    struct layer l = make_layer(heads, KERN_BF16, ROWS, PLAIN);
    struct run whole = make_run(&l, 2, KERN_F32, false, 0);
    struct run cut = make_run(&l, 2, KERN_F32, false, 0);
    struct batch b = {.spans = {{.rows = ROWS, .checkpoint = 0}}, .count = 1};

    memset(whole.slots.memory.host, 0, whole.slots.memory.bytes);
    send(&whole.slots.memory);
    memset(cut.slots.memory.host, 0, cut.slots.memory.bytes);
    send(&cut.slots.memory);
    call(&whole, &b, device.api->ops.gdn_chunk);
    for (int32_t from = 0; from < ROWS; from += CUT) {
        struct batch part = {.spans = {{.row = from, .rows = CUT, .pos = from, .checkpoint = 0}},
                             .count = 1};

        call(&cut, &part, device.api->ops.gdn_chunk);
    }
    report_true("gdn_chunk cut at multiples of 64: bits of y",
                memcmp(fetch(&whole.y), fetch(&cut.y), whole.y.bytes) == 0);
    report_true("gdn_chunk cut at multiples of 64: bits of S and of the checkpoint",
                memcmp(fetch(&whole.slots.memory), fetch(&cut.slots.memory),
                       whole.slots.memory.bytes) == 0);
    report("gdn_chunk, the checkpoint at 1,024", error_of_states(&whole), bounds[PLAIN]);
    struct run parts = make_run(&l, 2, KERN_F32, false, 4);
    call(&parts, &b, device.api->ops.gdn_chunk);
    report("gdn_chunk in segments, the checkpoint at 1,024", error_of_states(&parts),
           bounds[PLAIN]);
}

/* Several segments at a time: two spans have fewer pieces than segments. */
static void check_segments(void)
{
    static const struct chunk_case cases[] = {
        {{1, 2, 128, 48, 4, false}, KERN_BF16, KERN_F32, 600, true, 3},
        {{1, 1, 64, 64, 4, false}, KERN_BF16, KERN_BF16, 900, false, 7},
        {{1, 1, 256, 16, 4, false}, KERN_BF16, KERN_F32, 400, false, 2},
    };
    struct kern_gdn_heads small = {16, 16, 128, 128, 4, false},
                          large = {16, 48, 128, 128, 4, false};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (enum kind kind = 0; kind < (i == 0 ? KINDS : KEYS_ALIKE); kind++) {
            char name[64];

            seed(40 * i + kind);
            snprintf(name, sizeof name, "gdn_chunk in %d segments", cases[i].segments);
            run_case(&cases[i], kind, device.api->ops.gdn_chunk, name, bounds[kind]);
            release_all();
        }
    report_true("segments where heads are few and chunks many",
                kern_cuda_gdn_segments(&small, 128, 1, 132) == 4 &&
                    kern_cuda_gdn_segments(&small, 16, 1, 132) == 1 &&
                    kern_cuda_gdn_segments(&large, 128, 1, 132) == 1);
}

void check_chunk(void)
{
    static const struct chunk_case cases[] = {
        {{1, 3, 128, 128, 4, false}, KERN_BF16, KERN_F32, 230, true, 0},
        {{2, 4, 64, 64, 4, true}, KERN_BF16, KERN_BF16, 150, true, 0},
        {{1, 1, 256, 48, 4, false}, KERN_BF16, KERN_F32, 150, false, 0},
        {{1, 1, 128, 16, 4, false}, KERN_BF16, KERN_BF16, 150, false, 0},
        {{1, 2, 96, 32, 4, false}, KERN_BF16, KERN_F32, 100, true, 0},    /* no tensor-core code */
        {{16, 16, 64, 256, 4, false}, KERN_BF16, KERN_F32, 70, false, 0}, /* four warps a block */
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (enum kind kind = 0; kind < (i == 0 ? KINDS : KEYS_ALIKE); kind++) {
            seed(20 * i + kind);
            run_case(&cases[i], kind, device.api->ops.gdn_chunk, "gdn_chunk", bounds[kind]);
            release_all();
        }
    check_segments();
    seed(1000);
    check_cuts((struct kern_gdn_heads){1, 1, 64, 32, 4, false});
    release_all();
}
