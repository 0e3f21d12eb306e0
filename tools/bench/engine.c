/* engine -- a checkpoint's speed without the service around it: prompts of P tokens, then G tokens
 * each, for S sequences together.
 *
 *   engine DIRECTORY THREADS P G S      -> one line of JSON, as llama-peer prints it
 *
 * Beside the rates, how fast the same threads only read the same weights: the limit of decoding. */
#include "tools/bench/probe.h"
#include "worker/io/root.h"
#include "worker/io/safetensors.h"
#include "worker/model/config.h"
#include "worker/model/forward.h"
#include "worker/model/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { ROWS = 512, PAGE_TOKENS = 32, SEQUENCES_MAX = 64, PROBES = 5 };

struct bench {
    struct root root;
    struct model_config config;
    struct safetensors tensors;
    struct weights_plan plan;
    struct weights_layout *layout;
    struct weights weights;
    void *block;
    uint64_t bytes;
    struct kern_pool *pool;
    struct forward *forward;
    struct forward_shape shape;
    int32_t *pages; /* [sequences][pages_each] */
    int32_t pages_each, sequences;
    struct probe probe;
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void stop(const struct err *e)
{
    fprintf(stderr, "engine: %s\n", e->text);
    exit(1);
}

static void load(struct bench *b, const char *path)
{
    struct err e = {0};
    struct reader_stats stats;

    if (root_open(&b->root, path, &e) != 0 || model_config_load(&b->config, &b->root, &e) != 0 ||
        safetensors_open(&b->tensors, &b->root, &e) != 0 ||
        weights_plan_make(&b->plan, &b->config, &b->tensors, &e) != 0 ||
        weights_layout_new(&b->layout, &b->config, &b->plan, WEIGHTS_AUTO, &e) != 0)
        stop(&e);
    b->bytes = weights_layout_bytes(b->layout);
    b->block = mmap(NULL, b->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->block == MAP_FAILED) {
        perror("engine: mmap");
        exit(1);
    }
    madvise(b->block, b->bytes, MADV_HUGEPAGE);
    struct weights_fill f = {.layout = b->layout,
                             .tensors = &b->tensors,
                             .root = &b->root,
                             .mode = READER_PREAD,
                             .dest = b->block};
    if (weights_fill(&f, &stats, &e) != 0)
        stop(&e);
    weights_bind(&b->weights, b->layout, b->block);
}

static void open_forward(struct bench *b, int threads, int32_t context)
{
    struct err e = {0};
    bool is_bf16 = b->weights.embed.layout == KERN_LAYOUT_B16;

    b->pages_each = (context + PAGE_TOKENS - 1) / PAGE_TOKENS;
    b->shape = (struct forward_shape){.rows = ROWS,
                                      .spans = b->sequences,
                                      .picks = b->sequences,
                                      .slots = b->sequences,
                                      .pages = b->pages_each * b->sequences,
                                      .page_tokens = PAGE_TOKENS,
                                      .context = context,
                                      .threads = threads,
                                      .kv_type = is_bf16 ? KERN_BF16 : KERN_F32};
    if (kern_pool_open(&b->pool, threads, NULL) != 0) {
        fprintf(stderr, "engine: cannot start %d threads\n", threads);
        exit(1);
    }
    if (forward_new(&b->forward, &b->config, &b->weights, &b->shape, kern_cpu_best(), b->pool,
                    &e) != 0)
        stop(&e);
    b->pages = calloc((size_t)b->shape.pages + 1, sizeof *b->pages);
    for (int32_t i = 0; i < b->shape.pages; i++)
        b->pages[i] = i;
    for (int32_t i = 0; i < b->sequences; i++)
        forward_clear_slot(b->forward, i);
}

static struct kern_span span_of(const struct bench *b, int32_t sequence, int32_t row, int32_t rows,
                                int32_t pos)
{
    return (struct kern_span){.row = row,
                              .rows = rows,
                              .pos = pos,
                              .slot = sequence,
                              .page_count = b->pages_each,
                              .pages = b->pages + sequence * b->pages_each};
}

static void run(struct bench *b, const struct forward_batch *batch, struct forward_logits *out)
{
    int rc = forward_run(b->forward, batch, out);

    if (rc == 0)
        return;
    fprintf(stderr, "engine: forward_run: %s\n", strerror(-rc));
    exit(1);
}

static void read_prompts(struct bench *b, int32_t n_prompt, int32_t *next)
{
    int32_t ids[ROWS];
    struct forward_logits logits;

    for (int32_t s = 0; s < b->sequences; s++)
        for (int32_t pos = 0; pos < n_prompt; pos += ROWS) {
            int32_t rows = n_prompt - pos < ROWS ? n_prompt - pos : ROWS, last = rows - 1;
            struct kern_span span = span_of(b, s, 0, rows, pos);
            struct forward_batch batch = {.ids = ids,
                                          .rows = rows,
                                          .spans = &span,
                                          .span_count = 1,
                                          .picks = &last,
                                          .pick_count = pos + rows == n_prompt};
            for (int32_t i = 0; i < rows; i++)
                ids[i] = (int32_t)(((int64_t)(pos + i) * 7919 + s * INT64_C(104729)) %
                                   b->config.vocab_size);
            run(b, &batch, &logits);
            if (batch.pick_count > 0)
                next[s] = logits.best[0];
        }
}

static void generate(struct bench *b, int32_t n_prompt, int32_t n_tokens, int32_t *next)
{
    struct kern_span spans[SEQUENCES_MAX];
    int32_t picks[SEQUENCES_MAX];
    struct forward_logits logits;
    struct forward_batch batch = {.ids = next,
                                  .rows = b->sequences,
                                  .spans = spans,
                                  .span_count = b->sequences,
                                  .picks = picks,
                                  .pick_count = b->sequences};

    for (int32_t i = 0; i < n_tokens; i++) {
        for (int32_t s = 0; s < b->sequences; s++) {
            spans[s] = span_of(b, s, s, 1, n_prompt + i);
            picks[s] = s;
        }
        run(b, &batch, &logits);
        memcpy(next, logits.best, (size_t)b->sequences * sizeof *next);
    }
}

/* The best of a few rounds, bytes a second. */
static double probe(struct bench *b)
{
    double best = 0;

    b->probe.data = b->block;
    b->probe.bytes = b->bytes;
    for (int i = 0; i < PROBES; i++) {
        double begun = now_s();
        kern_pool_run(b->pool, probe_read, &b->probe);
        double rate = (double)b->bytes / (now_s() - begun);
        if (rate > best)
            best = rate;
    }
    return best;
}

int main(int argc, char **argv)
{
    static struct bench b;
    int32_t next[SEQUENCES_MAX], warm[SEQUENCES_MAX];

    if (argc != 6) {
        fprintf(stderr, "usage: engine DIRECTORY THREADS P G S\n");
        return 100;
    }
    int threads = atoi(argv[2]);
    int32_t n_prompt = atoi(argv[3]), n_tokens = atoi(argv[4]);
    b.sequences = atoi(argv[5]);
    if (threads < 1 || n_prompt < 1 || n_tokens < 1 || b.sequences < 1 ||
        b.sequences > SEQUENCES_MAX) {
        fprintf(stderr, "engine: numbers of at least 1, at most %d sequences\n", SEQUENCES_MAX);
        return 100;
    }
    load(&b, argv[1]);
    open_forward(&b, threads, n_prompt + n_tokens + 1);
    read_prompts(&b, 1, warm); /* pages and caches */
    for (int32_t s = 0; s < b.sequences; s++)
        forward_clear_slot(b.forward, s);

    double begun = now_s();
    read_prompts(&b, n_prompt, next);
    double prefilled = now_s();
    generate(&b, n_prompt, n_tokens, next);
    double ended = now_s();
    double rate = probe(&b);
    printf("{\"prefill\": %.2f, \"decode\": %.2f, \"weights_mb\": %.1f, \"probe_gb_s\": %.2f, "
           "\"limit\": %.2f, \"isa\": \"%s\"}\n",
           b.sequences * n_prompt / (prefilled - begun),
           b.sequences * n_tokens / (ended - prefilled), (double)b.bytes / 1e6, rate / 1e9,
           b.sequences * rate / (double)b.bytes, kern_cpu_best()->name);
    return 0;
}
