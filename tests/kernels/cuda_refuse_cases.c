/* What is refused before any launch. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/kernels/cuda_cases.h"
#include "tests/kernels/cuda_util.h"

enum { ROWS = 4 };

/* Good params of every operation. */
struct params {
    struct kern_cuda_conv1d conv1d;
    struct kern_cuda_gdn_step gdn_step;
    struct kern_cuda_gdn_fold gdn_fold;
    struct kern_cuda_gdn_chunk gdn_chunk, gdn_rows;
    struct kern_cuda_span spans[2];
    int32_t checkpoints[2];
};

static char memory[1 << 20] __attribute__((aligned(256)));

static struct params *make_params(void)
{
    static struct params p;
    struct kern_gdn_heads heads = {1, 2, 64, 16, 4, false};
    struct kern_in x = {KERN_BF16, memory, 256}, narrow = {KERN_F32, memory, 2};
    struct kern_out y = {KERN_F32, memory + 4096, 256};
    struct kern_cuda_slots slots = {memory, kern_cuda_slot_bytes(&heads, 2, KERN_BF16), 2, 2,
                                    KERN_BF16};
    struct kern_cuda_spans spans = {p.spans, p.spans, 2, ROWS};
    const float *f = (const float *)(const void *)memory;
    struct kern_cuda_gates gates = {narrow, narrow, f, f, false};
    struct kern_cuda_gate_norm norm = {{KERN_BF16, memory, 32}, f, 1e-6f};
    struct kern_cuda_list list = {p.checkpoints, p.checkpoints, 1};

    p = (struct params){.spans = {{0, 2, 1023, 0, 0, 0, 0}, {2, 2, 8, 1, 0, 2, -1}},
                        .checkpoints = {1, 1}};
    p.conv1d = (struct kern_cuda_conv1d){heads, slots, spans, list, x, f, y};
    p.gdn_step = (struct kern_cuda_gdn_step){heads, slots, spans, x, f, gates, norm, y};
    p.gdn_fold = (struct kern_cuda_gdn_fold){heads, slots, spans};
    p.gdn_chunk = (struct kern_cuda_gdn_chunk){heads, slots, spans,  list,         x, gates, norm,
                                               y,     0,     memory, sizeof memory};
    p.gdn_rows = p.gdn_chunk;
    return &p;
}

static void expect(const char *what, int want, int got)
{
    char line[160];

    if (want == got)
        return;
    snprintf(line, sizeof line, "%.100s: %d, not %d", what, got, want);
    report_true(line, false);
}

/* The library's answer to a broken field; accepted ones are asked of the check alone. */
#define REFUSED(op, code, change) \
    do { \
        struct params *p = make_params(); \
        change; \
        expect(#op " after " #change, code, device.api->ops.op(device.c, device.stream, &p->op)); \
    } while (0)

#define ACCEPTED(op, change) \
    do { \
        struct params *p = make_params(); \
        change; \
        expect(#op " after " #change, 0, kern_cuda_check_##op(&p->op)); \
    } while (0)

static void refuse_spans(void)
{
    REFUSED(conv1d, -EINVAL, p->conv1d.spans.host = NULL);
    REFUSED(conv1d, -EINVAL, p->conv1d.spans.device = NULL);
    REFUSED(conv1d, -EINVAL, p->conv1d.spans.count = 0);
    REFUSED(conv1d, -EINVAL, p->spans[1].rows = 0);
    REFUSED(conv1d, -EINVAL, p->spans[1].row = 3);
    REFUSED(conv1d, -EINVAL, p->spans[1].row = -1);
    REFUSED(conv1d, -EINVAL, p->spans[1].pos = INT32_MAX);
    REFUSED(conv1d, -EINVAL, p->spans[1].slot = 2);
    REFUSED(conv1d, -EINVAL, p->spans[1].chunk = 1);      /* not numbered */
    REFUSED(conv1d, -EINVAL, p->spans[0].checkpoint = 1); /* behind the list */
    REFUSED(conv1d, -EINVAL, p->checkpoints[0] = 2);
    REFUSED(conv1d, -EINVAL, p->conv1d.checkpoints.device = NULL);
    REFUSED(gdn_step, -EINVAL, p->spans[0].pending = 3); /* more than are kept */
    REFUSED(gdn_step, -EINVAL, p->spans[1].rows = 3);
    REFUSED(gdn_step, -EINVAL, p->gdn_step.slots.keep = 0); /* then one row at a time */
    REFUSED(gdn_chunk, -EINVAL, p->spans[0].pending = 1);
    REFUSED(gdn_fold, -EINVAL, p->spans[0].slot = -1);
}

static void refuse_shapes(void)
{
    REFUSED(conv1d, -EINVAL, p->conv1d.heads.hk = 0);
    REFUSED(conv1d, -ENOTSUP, p->conv1d.heads.conv = KERN_CONV_MAX + 1);
    REFUSED(gdn_step, -EINVAL, p->gdn_step.heads.hk = 3);
    REFUSED(gdn_step, -ENOTSUP, p->gdn_step.heads.dv = KERN_HEAD_MAX + 1);
    REFUSED(gdn_step, -ENOTSUP, p->gdn_step.slots.keep = KERN_CUDA_KEEP_MAX + 1);
    REFUSED(gdn_step, -EINVAL, p->gdn_step.slots.keep = -1);
    REFUSED(gdn_fold, -EINVAL, p->gdn_fold.slots.stride -= KERN_ALIGN);
    REFUSED(gdn_fold, -EINVAL, p->gdn_fold.slots.base = memory + 4);
    REFUSED(gdn_fold, -EINVAL, p->gdn_fold.slots.base = NULL);
    REFUSED(gdn_chunk, -ENOTSUP, p->gdn_chunk.heads.dk = KERN_HEAD_MAX + 1);
    struct kern_gdn_heads odd = {1, 1, 300, 8, 4, false};
    expect("size of a slot of heads of 300", 0, (int)kern_cuda_slot_bytes(&odd, 0, KERN_F32));
    expect("work of heads of 300", 0, (int)kern_cuda_gdn_work_bytes(&odd, 1, 1, 1));
}

static void refuse_memory(void)
{
    REFUSED(conv1d, -EINVAL, p->conv1d.x.ld = 100);
    REFUSED(conv1d, -EINVAL, p->conv1d.x.type = KERN_F32); /* not the slot's */
    REFUSED(conv1d, -ENOTSUP, p->conv1d.y.type = (enum kern_type)7);
    REFUSED(conv1d, -EINVAL, p->conv1d.y.data = memory); /* is x */
    REFUSED(conv1d, -EINVAL, p->conv1d.w = NULL);
    REFUSED(gdn_step, -EINVAL, p->gdn_step.x.data = memory + 1);
    REFUSED(gdn_step, -EINVAL, p->gdn_step.y.data = memory + 2);
    REFUSED(gdn_step, -EINVAL, p->gdn_step.gates.a.data = NULL);
    REFUSED(gdn_step, -EINVAL, p->gdn_step.gates.dt_bias = NULL);
    REFUSED(gdn_step, -EINVAL, p->gdn_step.norm.w = NULL);
    REFUSED(gdn_step, -EINVAL, p->gdn_step.norm.eps = NAN);
    REFUSED(gdn_step, -EINVAL, p->gdn_step.norm.z.ld = 31);
    REFUSED(gdn_chunk, -EINVAL, p->gdn_chunk.qkv.data = memory + 2); /* read in vectors */
    REFUSED(gdn_chunk, -EINVAL, p->gdn_chunk.qkv.ld = 257);
    REFUSED(gdn_chunk, -ENOSPC, p->gdn_chunk.work_bytes = 6 * KERN_CUDA_PREPARED_BYTES - 1);
    REFUSED(gdn_chunk, -ENOSPC, p->gdn_chunk.work_bytes = 6 * KERN_CUDA_PREPARED_BYTES;
            p->gdn_chunk.segments = 2);
    REFUSED(gdn_chunk, -EINVAL, p->gdn_chunk.segments = -1);
    REFUSED(gdn_chunk, -ENOTSUP, p->gdn_chunk.segments = KERN_CUDA_SEGMENTS_MAX + 1);
    REFUSED(gdn_rows, -ENOTSUP, p->gdn_rows.segments = 2);
    REFUSED(gdn_chunk, -EINVAL, p->gdn_chunk.y.type = KERN_BF16; p->gdn_chunk.y.data = memory + 2);
    REFUSED(gdn_chunk, -EINVAL, p->gdn_chunk.work = memory + 4);
    REFUSED(gdn_rows, -EINVAL, p->gdn_rows.y.ld = 31);
}

void check_refusals(void)
{
    int before = failures();

#define X(op, params) \
    ACCEPTED(op, (void)p); \
    expect(#op " of NULL", -EINVAL, device.api->ops.op(device.c, device.stream, NULL));
    KERN_CUDA_OPS(X)
#undef X
    ACCEPTED(gdn_chunk, p->gdn_chunk.work_bytes = 6 * KERN_CUDA_PREPARED_BYTES);
    ACCEPTED(gdn_rows, p->gdn_rows.qkv.data = memory + 2; p->gdn_rows.work = NULL);
    refuse_spans();
    refuse_shapes();
    refuse_memory();
    report_true("bad arguments are refused", failures() == before);
}
