/* What the operations refuse, in every implementation alike, before anything is written. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "kernels/rope.h"
#include "tests/kernels/kernels_util.h"

enum { N = 64, ROWS = 4 };

/* Good params of every operation over one set of memory. */
struct params {
    struct kern_embed embed;
    struct kern_rms_norm rms_norm;
    struct kern_linear linear;
    struct kern_linear_swiglu linear_swiglu;
    struct kern_swiglu swiglu;
    struct kern_gate_mul gate_mul;
    struct kern_conv1d conv1d;
    struct kern_gdn_gates gdn_gates;
    struct kern_gdn gdn_step, gdn_chunk;
    struct kern_rope rope;
    struct kern_qk_norm_rope_write qk_norm_rope_write;
    struct kern_attention attention;
    struct kern_moe_route moe_route;
    struct kern_moe_gather moe_gather;
    struct kern_moe_linear moe_linear;
    struct kern_moe_combine moe_combine;
    struct kern_logits_stat logits_stat;
    struct kern_copy copy;
    struct kern_span span;
    struct kern_matrix matrix;
    int32_t ids[N], pages[2], start[3], place[2 * ROWS];
};

static char *memory; /* every pointer points here; what is refused leaves it alone */
static size_t memory_bytes;

static struct params *make_params(void)
{
    struct params *p = take_bytes(sizeof *p);
    float *f = (float *)(void *)memory;
    struct kern_gdn_heads heads = {1, 2, 8, 8, 4, false};
    struct kern_slots slots = {memory, kern_gdn_slot_bytes(&heads), 1};
    struct kern_kv kv = {memory, 0, KERN_F32, 2, 16, 1, 16};
    struct kern_in x = {KERN_F32, f, N};
    struct kern_out y = {KERN_F32, f, N};

    kv.stride = kern_kv_page_bytes(&kv);
    p->span = (struct kern_span){.rows = ROWS, .page_count = 2, .pages = p->pages};
    p->matrix = (struct kern_matrix){KERN_LAYOUT_F32, N, N, memory};
    p->start[1] = p->start[2] = 2 * ROWS;
    p->embed = (struct kern_embed){p->matrix, p->ids, f, N, ROWS};
    p->rms_norm = (struct kern_rms_norm){.x = f, .w = f, .ld = N, .y = y, .rows = ROWS, .n = N};
    p->linear = (struct kern_linear){.w = p->matrix, .x = x, .y = f, .ld = N, .rows = ROWS};
    p->linear_swiglu = (struct kern_linear_swiglu){p->matrix, p->matrix, x, y, ROWS};
    p->swiglu = (struct kern_swiglu){f, f, N, y, ROWS, N};
    p->gate_mul = (struct kern_gate_mul){f, f, N, N, y, ROWS, N, false, false};
    p->conv1d = (struct kern_conv1d){heads, slots, &p->span, 1, ROWS, f, f, f + 1024, N, N};
    p->gdn_gates = (struct kern_gdn_gates){heads, &p->span, 1, ROWS, f, f, 2, f, f, f, f, false};
    p->gdn_chunk = (struct kern_gdn){heads, slots, &p->span, 1, ROWS, f, N, f, f, f, N, f, y, 0};
    p->gdn_step = p->gdn_chunk;
    p->rope = (struct kern_rope){&p->span, 1, ROWS, f, 4, 1, f, f};
    p->qk_norm_rope_write = (struct kern_qk_norm_rope_write){.kv = kv,
                                                             .spans = &p->span,
                                                             .span_count = 1,
                                                             .rows = ROWS,
                                                             .q_heads = 2,
                                                             .q = f,
                                                             .k = f,
                                                             .v = f,
                                                             .ld_q = N,
                                                             .ld_kv = N,
                                                             .q_stride = 16,
                                                             .cos = f,
                                                             .sin = f,
                                                             .half = 4,
                                                             .y = f + 1024};
    p->attention = (struct kern_attention){.kv = kv,
                                           .spans = &p->span,
                                           .span_count = 1,
                                           .rows = ROWS,
                                           .q_heads = 2,
                                           .q = f,
                                           .scale = 1,
                                           .y = y};
    p->moe_route = (struct kern_moe_route){f, N, ROWS, 2, 2, true, p->ids, f, p->ids, p->ids};
    p->moe_gather = (struct kern_moe_gather){x, y, p->place, ROWS, 2, N};
    p->moe_linear = (struct kern_moe_linear){&p->matrix, NULL, x, y, p->start, 1, 2 * ROWS};
    p->moe_combine = (struct kern_moe_combine){f, N, p->place, f, f, N, ROWS, 2, N};
    p->logits_stat = (struct kern_logits_stat){f, N, ROWS, N, p->ids, f};
    p->copy = (struct kern_copy){memory, memory + 4096, 64};
    return p;
}

static int answer; /* what all implementations said last */

static void ask(const struct kern_ops *ops, kern_job *op, const void *params)
{
    unsigned char *before = take_bytes(memory_bytes);

    memcpy(before, memory, memory_bytes);
    answer = run_op(op, params, 2);
    if (answer != 0 && memcmp(before, memory, memory_bytes) != 0)
        fail_msg("%s wrote before it refused", ops->name);
}

static void renew_memory(void)
{
    release_all();
    memory = take_bytes(memory_bytes);
}

/* Breaks one field of good params and expects the refusal of every implementation. */
#define REFUSED(op, code, change) \
    do { \
        const struct kern_ops *const *list = implementations(); \
        for (const struct kern_ops *ops = kern_ref(); ops != NULL; ops = *list++) { \
            struct params *p = make_params(); \
            change; \
            ask(ops, (kern_job *)(void (*)(void))ops->op, &p->op); \
            if (answer != (code)) \
                fail_msg("%s %s after %s: %d, not %d", ops->name, #op, #change, answer, (code)); \
        } \
        renew_memory(); \
    } while (0)

static int set_up(void **unused)
{
    (void)unused;
    memory_bytes = 1 << 17;
    memory = take_bytes(memory_bytes);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    release_all();
    return 0;
}

static void good_params_are_accepted(void **unused)
{
    (void)unused;
#define X(op, type) \
    if (strcmp(#op, "gdn_step") == 0) \
        REFUSED(op, 0, p->span.rows = 1); \
    else \
        REFUSED(op, 0, (void)p);
    KERN_OPS(X)
#undef X
}

static void rows_are_checked(void **unused)
{
    (void)unused;
    REFUSED(embed, -EINVAL, p->ids[2] = N);
    REFUSED(embed, -EINVAL, p->ids[3] = -1);
    REFUSED(embed, -EINVAL, p->embed.y = NULL);
    REFUSED(embed, -EINVAL, p->embed.rows = 0);
    REFUSED(embed, -ENOTSUP, p->embed.table.layout = KERN_LAYOUT_I8);
    REFUSED(rms_norm, -EINVAL, p->rms_norm.ld = N - 1);
    REFUSED(rms_norm, -EINVAL, p->rms_norm.w = NULL);
    REFUSED(rms_norm, -EINVAL, p->rms_norm.n = -1);
    REFUSED(rms_norm, -EINVAL, p->rms_norm.eps = -1);
    REFUSED(rms_norm, -EINVAL, p->rms_norm.y.data = memory + 2);
    REFUSED(rms_norm, -ENOTSUP, p->rms_norm.y.type = (enum kern_type)7);
    REFUSED(rms_norm, -EINVAL, p->rms_norm.residual = p->rms_norm.x; p->rms_norm.pick = p->ids);
    REFUSED(linear, -ENOTSUP, p->linear.w.layout = KERN_LAYOUT_I4);
    REFUSED(linear, -EINVAL, p->linear.w.layout = KERN_LAYOUT_B16); /* x is f32 */
    REFUSED(linear, -EINVAL, p->linear.w.data = memory + 32);
    REFUSED(linear, -EINVAL, p->linear.w.rows = INT32_MAX);
    REFUSED(linear, -EINVAL, p->linear.w.cols = 0);
    REFUSED(linear, -EINVAL, p->linear.x.ld = N - 1);
    REFUSED(linear, -EINVAL, p->linear.x.data = NULL);
    REFUSED(linear, -EINVAL, p->linear.rows = -4);
    REFUSED(linear_swiglu, -EINVAL, p->linear_swiglu.up.rows = N - 1);
    REFUSED(swiglu, -EINVAL, p->swiglu.up = NULL);
    REFUSED(gate_mul, -EINVAL, p->gate_mul.is_added = true; p->gate_mul.y.type = KERN_BF16);
    REFUSED(logits_stat, -EINVAL, p->logits_stat.best = NULL);
    REFUSED(copy, -EINVAL, p->copy.from = NULL);
}

static void deltanet_is_checked(void **unused)
{
    (void)unused;
    REFUSED(conv1d, -EINVAL, p->conv1d.y = (float *)(void *)memory); /* is x */
    REFUSED(conv1d, -EINVAL, p->span.slot = 1);
    REFUSED(conv1d, -EINVAL, p->span.row = 1);
    REFUSED(conv1d, -EINVAL, p->span.pos = INT32_MAX);
    REFUSED(conv1d, -ENOTSUP, p->conv1d.heads.conv = KERN_CONV_MAX + 1);
    REFUSED(conv1d, -EINVAL, p->conv1d.slots.stride -= 64);
    REFUSED(gdn_gates, -EINVAL, p->gdn_gates.ld_ab = 1);
    REFUSED(gdn_gates, -EINVAL, p->gdn_gates.heads.hv = 0);
    REFUSED(gdn_chunk, -EINVAL, p->gdn_chunk.heads.hk = 3);
    REFUSED(gdn_chunk, -ENOTSUP, p->gdn_chunk.heads.dk = KERN_HEAD_MAX + 1);
    REFUSED(gdn_chunk, -EINVAL, p->gdn_chunk.slots.base = memory + 16);
    REFUSED(gdn_chunk, -EINVAL, p->span.rows = 0);
    REFUSED(gdn_step, -EINVAL, (void)p); /* more than one row */
}

static void attention_is_checked(void **unused)
{
    (void)unused;
    REFUSED(rope, -EINVAL, p->rope.half = 0);
    REFUSED(qk_norm_rope_write, -EINVAL, p->qk_norm_rope_write.half = 9);
    REFUSED(qk_norm_rope_write, -EINVAL, p->qk_norm_rope_write.q_w = (float *)(void *)memory);
    REFUSED(qk_norm_rope_write, -EINVAL, p->qk_norm_rope_write.q_heads = 0);
    REFUSED(qk_norm_rope_write, -EINVAL, p->pages[1] = 2);
    REFUSED(attention, -EINVAL, p->span.page_count = 0);
    REFUSED(attention, -EINVAL, p->span.pos = 29); /* key 32 is on a third page */
    REFUSED(attention, -EINVAL, p->pages[0] = -1);
    REFUSED(attention, -ENOTSUP, p->attention.kv.page_tokens = 24);
    REFUSED(attention, -ENOTSUP, p->attention.kv.head_dim = KERN_HEAD_MAX + 1);
    REFUSED(attention, -EINVAL, p->attention.kv.stride /= 2);
    REFUSED(attention, -EINVAL, p->attention.gate = p->attention.q); /* no stride */
}

static void experts_are_checked(void **unused)
{
    (void)unused;
    REFUSED(moe_route, -EINVAL, p->moe_route.top = 3);
    REFUSED(moe_route, -ENOTSUP, p->moe_route.experts = KERN_EXPERTS_MAX + 1);
    REFUSED(moe_gather, -EINVAL, p->place[3] = 2 * ROWS);
    REFUSED(moe_gather, -EINVAL, p->moe_gather.y.type = KERN_BF16);
    REFUSED(moe_linear, -EINVAL, p->start[0] = 2 * ROWS + 1);
    REFUSED(moe_linear, -EINVAL, p->start[1] = 2 * ROWS + 1);
    REFUSED(moe_linear, -ENOTSUP, p->matrix.layout = KERN_LAYOUT_I8);
    REFUSED(moe_combine, -EINVAL, p->place[0] = -1);
}

static void helpers_refuse_too(void **unused)
{
    struct kern_gdn_heads heads = {1, 1, 300, 8, 4, false};
    struct kern_kv kv = {.type = KERN_F32, .page_tokens = 16, .heads = 0, .head_dim = 16};
    struct kern_pack pack = {KERN_LAYOUT_I8, KERN_SOURCE_F32, memory, 4, 0, 4, 4, 4, memory};
    struct kern_rope_config rope = {.rotated = 8, .theta = 1e4};
    float table[4], scaling;

    (void)unused;
    assert_int_equal(kern_gdn_slot_bytes(&heads), 0);
    assert_int_equal(kern_kv_page_bytes(&kv), 0);
    assert_int_equal(kern_attention_work_bytes(&kv, 1, 1, 1), 0);
    assert_int_equal(kern_matrix_bytes(KERN_LAYOUT_I4, 16, 64), 0);
    assert_int_equal(kern_matrix_bytes(KERN_LAYOUT_B16, INT64_MAX, 1), 0);
    assert_int_equal(kern_matrix_bytes(KERN_LAYOUT_B16, 1, INT64_MAX), 0);
    assert_int_equal(kern_pack(&pack), -ENOTSUP);
    pack.layout = KERN_LAYOUT_F32;
    assert_int_equal(kern_pack(&pack), 0);
    pack.first = 1;
    assert_int_equal(kern_pack(&pack), -EINVAL);
    pack.first = 0;
    pack.ld = 3;
    assert_int_equal(kern_pack(&pack), -EINVAL);
    assert_int_equal(kern_rope_frequencies(&rope, table, &scaling), 0);
    rope.rotated = 7;
    assert_int_equal(kern_rope_frequencies(&rope, table, &scaling), -EINVAL);
    rope.rotated = 8;
    rope.kind = KERN_ROPE_YARN; /* without a factor */
    assert_int_equal(kern_rope_frequencies(&rope, table, &scaling), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_params_are_accepted), cmocka_unit_test(rows_are_checked),
        cmocka_unit_test(deltanet_is_checked),      cmocka_unit_test(attention_is_checked),
        cmocka_unit_test(experts_are_checked),      cmocka_unit_test(helpers_refuse_too),
    };

    return cmocka_run_group_tests_name("refuse", tests, set_up, tear_down);
}
