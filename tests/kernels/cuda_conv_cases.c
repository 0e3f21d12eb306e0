/* conv1d: segments of any length with the carried inputs on their left, checkpoints. */
#include <stdio.h>
#include <string.h>

#include "tests/kernels/cuda_cases.h"
#include "tests/kernels/cuda_util.h"

static const struct conv_case {
    struct kern_gdn_heads heads;
    enum kern_type type, to;
} cases[] = {
    {{2, 4, 16, 16, 4, false}, KERN_BF16, KERN_BF16}, /* vectors of 8 */
    {{2, 4, 16, 16, 4, false}, KERN_BF16, KERN_F32},
    {{2, 4, 16, 16, 4, false}, KERN_F32, KERN_F32}, /* vectors of 4 */
    {{1, 3, 5, 7, 4, false}, KERN_BF16, KERN_BF16}, /* one by one */
    {{1, 1, 8, 8, 2, false}, KERN_F32, KERN_BF16},
    {{1, 2, 8, 8, 7, false}, KERN_BF16, KERN_F32}, /* a wide one */
    {{1, 1, 1, 1, 8, false}, KERN_F32, KERN_F32},
};

/* Two calls: what the first leaves is what the second begins with.  Lengths 1, 2, 3, 64 and more;
 * one sequence passes 1,024 and 2,048 in the second call. */
static void run_case(const struct conv_case *k, const char *name)
{
    enum { ROWS = 1400 };
    static const int32_t lengths[2][4] = {{1, 2, 65, 130}, {3, 1, 1200, 64}};
    static const int32_t starts[4] = {0, 63, 1000, 0};
    struct layer l = make_layer(k->heads, k->type, ROWS, PLAIN);
    struct slots slots = make_slots(&l, 6, 0);
    size_t y_bytes = (size_t)ROWS * (size_t)l.ld * kern_cuda_type_bytes(k->to);
    struct buffer y = take_buffer(y_bytes), list = take_buffer(2 * sizeof(int32_t));

    memcpy(list.host, (int32_t[]){5, 4}, list.bytes);
    send(&list);
    for (int call = 0; call < 2; call++) {
        struct batch b = {.count = 4};
        int32_t row = 0;

        for (int32_t i = 0; i < 4; i++) {
            b.spans[i] = (struct kern_cuda_span){.row = row,
                                                 .rows = lengths[call][i],
                                                 .pos = starts[i] + (call == 1 ? lengths[0][i] : 0),
                                                 .slot = 3 - i,
                                                 .checkpoint = i == 2 ? call : -1};
            row += lengths[call][i];
        }
        memset(y.host, 0xff, y.bytes);
        send(&y);
        struct kern_cuda_spans spans = send_spans(&b, ROWS);
        struct kern_cuda_conv1d p[2];
        for (int at = 0; at < 2; at++)
            p[at] = (struct kern_cuda_conv1d){
                .heads = l.heads,
                .slots = slots_of(&slots, at == 1),
                .spans = spans,
                .checkpoints = {(const void *)list.host, (const void *)list.device, 2},
                .x = in_of(&l, &l.x, l.ld, at == 1),
                .w = (const void *)(at == 1 ? l.w.device : l.w.host),
                .y = {k->to, at == 1 ? y.device : y.host, l.ld}};
        must(kern_cuda_ref()->conv1d(NULL, NULL, &p[0]), "conv1d of the reference");
        must(device.api->ops.conv1d(device.c, device.stream, &p[1]), "conv1d");
        void *got = fetch(&y);
        double most = 0;
        bool is_left = true; /* what is no output stays poisoned */
        for (int32_t t = 0; t < ROWS; t++) {
            size_t element = kern_cuda_type_bytes(k->to), from = (size_t)(t * l.ld) * element;
            size_t width = t < row ? (size_t)l.channels : 0;
            double e = relative_error(k->to, (char *)got + from, y.host + from, width);

            most = e > most ? e : most;
            is_left &= memcmp((char *)got + from + width * element, y.host + from + width * element,
                              ((size_t)l.ld - width) * element) == 0;
        }
        char what[128];
        snprintf(what, sizeof what, "conv1d %s call %d", name, call);
        report(what, most, k->to == KERN_BF16 ? 4e-3 : 1e-6);
        snprintf(what, sizeof what, "conv1d %s call %d: slots and checkpoints", name, call);
        report_true(what, memcmp(fetch(&slots.memory), slots.memory.host, slots.memory.bytes) == 0);
        snprintf(what, sizeof what, "conv1d %s call %d: nothing else written", name, call);
        report_true(what, is_left);
    }
}

void check_conv1d(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct conv_case *k = &cases[i];
        char name[64];

        seed(i + 1);
        snprintf(name, sizeof name, "width %d, %d channels, %s to %s", k->heads.conv,
                 2 * k->heads.hk * k->heads.dk + k->heads.hv * k->heads.dv,
                 k->type == KERN_BF16 ? "bf16" : "f32", k->to == KERN_BF16 ? "bf16" : "f32");
        run_case(k, name);
        release_all();
    }
}
