/* The reference of the GPU's operations against that of the CPU's, which tests/golden holds against
 * float64: the same layer from an empty sequence. */
#include <string.h>

#include "kernels/pool.h"
#include "tests/kernels/cuda_cases.h"
#include "tests/kernels/cuda_util.h"

enum { ROWS = 150 };

/* What the CPU's reference makes of the layer: qkv and y. */
static void run_cpu(const struct layer *l, float *qkv, float *y)
{
    struct kern_thread th = {.size = 1};
    struct kern_span span = {.rows = ROWS};
    size_t slot_bytes = kern_gdn_slot_bytes(&l->heads), gates = (size_t)(ROWS * l->heads.hv);
    struct kern_slots slots = {take_buffer(slot_bytes).host, slot_bytes, 1};
    float *g = (void *)take_buffer(gates * sizeof(float)).host;
    float *beta = (void *)take_buffer(gates * sizeof(float)).host;
    struct kern_cuda_gates in = gates_of(l, false);
    struct kern_cuda_gate_norm norm = norm_of(l, false, true);
    struct kern_conv1d conv = {
        l->heads, slots, &span, 1, ROWS, (const void *)l->x.host, (const void *)l->w.host,
        qkv,      l->ld, l->ld};
    struct kern_gdn_gates gate = {l->heads,    &span,    1,          ROWS, in.a.data, in.b.data,
                                  l->heads.hv, in.a_log, in.dt_bias, g,    beta,      false};
    struct kern_gdn gdn = {l->heads,
                           slots,
                           &span,
                           1,
                           ROWS,
                           qkv,
                           l->ld,
                           g,
                           beta,
                           norm.z.data,
                           l->width,
                           norm.w,
                           {KERN_F32, y, l->ld_y},
                           norm.eps};

    must(kern_ref()->conv1d(&th, &conv), "conv1d of the CPU's reference");
    must(kern_ref()->gdn_gates(&th, &gate), "gdn_gates of the CPU's reference");
    must(kern_ref()->gdn_chunk(&th, &gdn), "gdn_chunk of the CPU's reference");
}

static void run_gpu(const struct layer *l, float *qkv, float *y)
{
    struct slots slots = make_slots(l, 1, 0);
    struct batch b = {.spans = {{.rows = ROWS, .checkpoint = -1}}, .count = 1};
    struct kern_cuda_conv1d conv = {.heads = l->heads,
                                    .slots = slots_of(&slots, false),
                                    .spans = send_spans(&b, ROWS),
                                    .x = in_of(l, &l->x, l->ld, false),
                                    .w = (const void *)l->w.host,
                                    .y = {KERN_F32, qkv, l->ld}};
    struct kern_cuda_gdn_chunk gdn = {.heads = l->heads,
                                      .slots = conv.slots,
                                      .spans = conv.spans,
                                      .qkv = {KERN_F32, qkv, l->ld},
                                      .gates = gates_of(l, false),
                                      .norm = norm_of(l, false, true),
                                      .y = {KERN_F32, y, l->ld_y}};

    must(kern_cuda_ref()->conv1d(NULL, NULL, &conv), "conv1d of the reference");
    must(kern_cuda_ref()->gdn_rows(NULL, NULL, &gdn), "gdn_rows of the reference");
}

void check_reference(void)
{
    static const struct kern_gdn_heads heads = {2, 6, 48, 40, 4, true};

    for (enum kind kind = 0; kind < KINDS; kind++) {
        seed(500 + kind);
        struct layer l = make_layer(heads, KERN_F32, ROWS, kind);
        size_t qkv_count = (size_t)(ROWS * l.ld), y_count = (size_t)(ROWS * l.ld_y);
        struct buffer qkv[2], y[2];
        for (int i = 0; i < 2; i++) {
            qkv[i] = take_buffer(qkv_count * sizeof(float));
            y[i] = take_buffer(y_count * sizeof(float));
        }
        run_cpu(&l, (void *)qkv[0].host, (void *)y[0].host);
        run_gpu(&l, (void *)qkv[1].host, (void *)y[1].host);
        report("the two references, conv1d",
               relative_error(KERN_F32, qkv[1].host, qkv[0].host, qkv_count), 1e-7);
        report("the two references, gdn", relative_error(KERN_F32, y[1].host, y[0].host, y_count),
               kind == KEYS_ALIKE ? 2e-5 : 2e-6);
        release_all();
    }
}
