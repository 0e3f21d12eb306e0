/* kernels -- speed of the CPU operations beside the machine's own in the same run.
 *
 *   kernels [threads] [isa]    isa: 0 plain, 2 avx2, 3 avx512, 4 avx512_bf16; best without
 *
 * Prints a read-bandwidth probe, then for weights (B16, 400 MB, one to eight rows) GB/s and its
 * share of the probe, for prefill GFLOP/s, and microseconds for DeltaNet and attention.  Medians of
 * interleaved rounds, in about five seconds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "kernels/kern.h"
#include "kernels/pack.h"
#include "kernels/pool.h"
#include "tools/bench/probe.h"

enum { ROUNDS = 5, MATRICES = 28, OUT = 7168, COLS = 1024, TOKENS = 512 };

struct bench {
    const struct kern_ops *ops;
    struct kern_pool *pool;
    char *weights; /* MATRICES x [OUT, COLS] as B16 */
    size_t matrix_bytes;
    uint16_t *x;
    float *y;
    void *pages, *slot, *work;
    float *qkv, *gates;
    int32_t *page_list;
    struct probe probe;
    struct kern_linear linear;
    struct kern_gdn gdn;
    struct kern_attention attention;
    struct kern_span span;
};

static void *take(size_t bytes)
{
    void *p =
        mmap(NULL, bytes + (2 << 20), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        perror("kernels: mmap");
        exit(111);
    }
    madvise(p, bytes, MADV_HUGEPAGE);
    return p;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint64_t state = 88172645463325252u;

static float random_float(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (float)(state >> 40) * 0x1p-23f - 1.0f;
}

static int read_all(struct kern_thread *th, void *arg)
{
    struct bench *b = arg;

    return probe_read(th, &b->probe);
}

static int multiply_all(struct kern_thread *th, void *arg)
{
    struct bench *b = arg;
    int rc = 0;

    for (int i = 0; i < MATRICES && rc == 0; i++) {
        struct kern_linear l = b->linear;

        l.w.data = b->weights + (size_t)i * b->matrix_bytes;
        rc = b->ops->linear(th, &l);
        kern_barrier(th);
    }
    return rc;
}

static int multiply_once(struct kern_thread *th, void *arg)
{
    struct bench *b = arg;

    return b->ops->linear(th, &b->linear);
}

static int run_gdn(struct kern_thread *th, void *arg)
{
    struct bench *b = arg;

    return b->span.rows == 1 ? b->ops->gdn_step(th, &b->gdn) : b->ops->gdn_chunk(th, &b->gdn);
}

static int run_attention(struct kern_thread *th, void *arg)
{
    struct bench *b = arg;

    return b->ops->attention(th, &b->attention);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

struct timing {
    double all[ROUNDS];
};

static double median(struct timing *t)
{
    qsort(t->all, ROUNDS, sizeof t->all[0], compare);
    return t->all[ROUNDS / 2];
}

static void run_job(struct bench *b, kern_job *job, struct timing *t, int round)
{
    double start = now();
    int rc = kern_pool_run(b->pool, job, b);

    if (rc != 0) {
        fprintf(stderr, "kernels: an operation refused its arguments: %s\n", strerror(-rc));
        exit(70);
    }
    t->all[round] = now() - start;
}

static void set_rows(struct bench *b, int32_t rows)
{
    b->linear = (struct kern_linear){.w = {KERN_LAYOUT_B16, OUT, COLS, b->weights},
                                     .x = {KERN_BF16, b->x, COLS},
                                     .y = b->y,
                                     .ld = OUT,
                                     .rows = rows};
}

static void bench_weights(struct bench *b)
{
    static const int32_t rows[] = {1, 2, 4, 8};
    struct timing probe, gemv[4], gemm, down;
    double bytes = (double)b->matrix_bytes * MATRICES, flops = 2.0 * OUT * COLS * TOKENS;

    for (int r = 0; r < ROUNDS; r++) {
        run_job(b, read_all, &probe, r);
        for (int i = 0; i < 4; i++) {
            set_rows(b, rows[i]);
            run_job(b, multiply_all, &gemv[i], r);
        }
        set_rows(b, TOKENS);
        run_job(b, multiply_once, &gemm, r);
        b->linear = (struct kern_linear){.w = {KERN_LAYOUT_B16, COLS, OUT, b->weights},
                                         .x = {KERN_BF16, b->x, OUT},
                                         .y = b->y,
                                         .ld = COLS,
                                         .rows = TOKENS};
        run_job(b, multiply_once, &down, r);
    }
    double rate = bytes / median(&probe) / 1e9;
    printf("read probe                 %7.2f GB/s\n", rate);
    for (int i = 0; i < 4; i++) {
        double got = bytes / median(&gemv[i]) / 1e9;

        printf("linear B16, %d row%s         %7.2f GB/s  %.2f of the probe\n", rows[i],
               rows[i] == 1 ? " " : "s", got, got / rate);
    }
    printf("linear B16, %d rows, K %d %7.1f GFLOP/s\n", TOKENS, COLS, flops / median(&gemm) / 1e9);
    printf("linear B16, %d rows, K %d %7.1f GFLOP/s\n", TOKENS, OUT, flops / median(&down) / 1e9);
}

static void bench_gdn(struct bench *b)
{
    enum { H = 16, D = 128, CHANNELS = 3 * H * D };
    struct kern_gdn_heads heads = {H, H, D, D, 4, false};
    struct timing step, chunk;

    b->slot = take(kern_gdn_slot_bytes(&heads));
    b->qkv = take((size_t)TOKENS * CHANNELS * sizeof(float));
    b->gates = take((size_t)TOKENS * H * sizeof(float));
    for (int i = 0; i < TOKENS * CHANNELS; i++)
        b->qkv[i] = random_float();
    for (int i = 0; i < TOKENS * H; i++)
        b->gates[i] = -0.5f + 0.4f * random_float();
    b->gdn = (struct kern_gdn){.heads = heads,
                               .slots = {b->slot, kern_gdn_slot_bytes(&heads), 1},
                               .spans = &b->span,
                               .span_count = 1,
                               .rows = TOKENS,
                               .qkv = b->qkv,
                               .ld_qkv = CHANNELS,
                               .g = b->gates,
                               .beta = b->qkv,
                               .z = b->qkv,
                               .ld_z = CHANNELS,
                               .norm_w = b->qkv,
                               .y = {KERN_F32, b->y, H * D}};
    for (int r = 0; r < ROUNDS; r++) {
        b->span = (struct kern_span){.rows = TOKENS};
        run_job(b, run_gdn, &chunk, r);
        b->span = (struct kern_span){.rows = 1, .pos = 32};
        run_job(b, run_gdn, &step, r);
    }
    printf("gdn_chunk 16x128x128, %d  %7.0f us\n", TOKENS, median(&chunk) * 1e6);
    printf("gdn_step  16x128x128, half a chunk %4.0f us\n", median(&step) * 1e6);
}

static void bench_attention(struct bench *b)
{
    enum { Q = 8, KV = 2, D = 256, CONTEXT = 4096, PAGE = 32 };
    struct kern_kv kv = {.type = KERN_BF16,
                         .pages = CONTEXT / PAGE,
                         .page_tokens = PAGE,
                         .heads = KV,
                         .head_dim = D};
    struct timing decode, prefill;
    static const char *const names[] = {"512 rows", "1 row of 4096"};
    size_t work = kern_attention_work_bytes(&kv, Q, 1, CONTEXT);

    kv.stride = kern_kv_page_bytes(&kv);
    kv.base = take(kv.stride * (size_t)kv.pages);
    memcpy(kv.base, b->weights, kv.stride * (size_t)kv.pages);
    b->page_list = take(CONTEXT / PAGE * sizeof *b->page_list);
    for (int i = 0; i < CONTEXT / PAGE; i++)
        b->page_list[i] = i;
    b->work = take(work);
    b->attention = (struct kern_attention){.kv = kv,
                                           .spans = &b->span,
                                           .span_count = 1,
                                           .rows = TOKENS,
                                           .q_heads = Q,
                                           .q = b->qkv,
                                           .scale = 0.0625f,
                                           .y = {KERN_F32, b->y, Q * D},
                                           .work = b->work,
                                           .work_bytes = work};
    for (int r = 0; r < ROUNDS; r++) {
        b->span =
            (struct kern_span){.rows = TOKENS, .page_count = CONTEXT / PAGE, .pages = b->page_list};
        run_job(b, run_attention, &prefill, r);
        b->span = (struct kern_span){
            .rows = 1, .pos = CONTEXT - 1, .page_count = CONTEXT / PAGE, .pages = b->page_list};
        run_job(b, run_attention, &decode, r);
    }
    printf("attention 8/2x256, %-13s %7.0f us\n", names[0], median(&prefill) * 1e6);
    printf("attention 8/2x256, %-13s %7.0f us\n", names[1], median(&decode) * 1e6);
}

static void fill(struct bench *b)
{
    size_t words = b->matrix_bytes * MATRICES / 2;
    uint16_t *w = (uint16_t *)(void *)b->weights;

    for (size_t i = 0; i < words; i++)
        w[i] = i < (1 << 20) ? kern_f32_to_bf16(random_float()) : w[i - (1 << 20) + 7];
    for (int i = 0; i < TOKENS * OUT; i++)
        b->x[i] = w[i];
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 2, isa = argc > 2 ? atoi(argv[2]) : -1;
    struct bench *b = take(sizeof *b);

    b->ops = isa >= 0 && isa < KERN_ISAS ? kern_cpu((enum kern_isa)isa) : kern_cpu_best();
    if (b->ops == NULL || kern_pool_open(&b->pool, threads, NULL) != 0) {
        fprintf(stderr, "usage: kernels [threads] [isa]; this machine lacks one of them\n");
        return 100;
    }
    b->matrix_bytes = kern_matrix_bytes(KERN_LAYOUT_B16, OUT, COLS);
    b->weights = take(b->matrix_bytes * MATRICES);
    b->probe.data = b->weights;
    b->probe.bytes = b->matrix_bytes * MATRICES;
    b->x = take((size_t)TOKENS * OUT * sizeof *b->x);
    b->y = take((size_t)TOKENS * OUT * sizeof *b->y);
    fill(b);
    printf("%s, %d threads\n", b->ops->name, threads);
    bench_weights(b);
    bench_gdn(b);
    bench_attention(b);
    kern_pool_close(&b->pool);
    return 0;
}
