/* What must not change a bit of the forward pass: where a prompt is cut, what else is in the batch,
 * the number of threads, what a slot held before. And its memory: as measured, or refused. */
#include "tests/unit/golden_util.h"
#include "worker/model/forward_parts.h"

#include <errno.h>
#include <sys/mman.h>

static const struct golden_prompt *longest(const struct golden *g)
{
    return &g->prompts[g->n_prompts - 1];
}

static void expect_same(const struct golden *g, const char *what, int32_t which, const float *a,
                        const float *b, int32_t rows)
{
    for (int32_t r = 0; r < rows; r++)
        if (memcmp(a + (int64_t)r * g->vocab, b + (int64_t)r * g->vocab,
                   (size_t)g->vocab * sizeof *a) != 0)
            fail_msg("%s: %s %d: row %d of %d has other bits", g->name, what, which, r, rows);
}

static void open_pass(struct model_pass *p, const struct golden *g, int32_t threads,
                      enum kern_type kv_type)
{
    struct forward_shape shape = golden_shape;

    shape.threads = threads;
    shape.kv_type = kv_type;
    model_pass_open(p, &g->model, kern_cpu_best(), &shape);
}

/* --- pieces --- */

static void cut_prompt(struct golden *g)
{
    static const int32_t pieces[] = {1, 2, 3, 4, 63, 64, 65, 200};
    const struct golden_prompt *t = longest(g);
    struct model_pass p;

    for (enum kern_type kv = KERN_F32; kv <= KERN_BF16; kv++) {
        open_pass(&p, g, 1, kv);
        float *whole = golden_prefill(&p, 0, t->ids, t->n, GOLDEN_ROWS);
        for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
            float *cut = golden_prefill(&p, 1, t->ids, t->n, pieces[i]);
            expect_same(g, "pieces of", pieces[i], cut, whole, t->n);
            free(cut);
        }
        free(whole);
        model_pass_close(&p);
    }
}

static void pieces_are_the_whole(void **state)
{
    (void)state;
    golden_walk(NULL, WEIGHTS_AUTO, cut_prompt);
}

/* --- others in the batch --- */

struct lane {
    const struct golden_prompt *prompt;
    float *alone; /* [n, vocab] */
    int32_t at;
};

static uint32_t draw(uint32_t below)
{
    static uint32_t state = 1;

    state = state * 1664525 + 1013904223;
    return (state >> 8) % below;
}

/* What a lane brings to a batch: one row, or a few, or nothing. */
static int32_t draw_rows(const struct lane *l)
{
    int32_t rest = l->prompt->n - l->at;
    int32_t rows = draw(3) == 0 ? (int32_t)draw(37) : 1;

    return rows < rest ? rows : rest;
}

/* One batch, of whose rows some are asked for their logits: these are what they were alone. Counts
 * them. */
static void run_mixed(struct golden *g, struct model_pass *p, struct lane *lanes, int32_t n,
                      int32_t *compared)
{
    struct kern_span spans[GOLDEN_SEQUENCES];
    int32_t ids[GOLDEN_ROWS], picks[GOLDEN_ROWS];
    const float *alone[GOLDEN_ROWS];
    struct forward_batch b = {.ids = ids, .spans = spans, .picks = picks};
    struct forward_logits logits;

    for (int32_t i = 0; i < n; i++) {
        struct lane *l = &lanes[i];
        int32_t rows = draw_rows(l);
        if (rows > 0)
            spans[b.span_count++] = golden_span(i, b.rows, rows, l->at);
        for (int32_t r = 0; r < rows; r++, l->at++) {
            alone[b.pick_count] = l->alone + (int64_t)l->at * p->vocab;
            ids[b.rows] = l->prompt->ids[l->at];
            if (draw(3) != 0)
                picks[b.pick_count++] = b.rows;
            b.rows++;
        }
    }
    if (b.rows == 0)
        return;
    assert_int_equal(forward_run(p->forward, &b, &logits), 0);
    for (int32_t i = 0; i < b.pick_count; i++)
        expect_same(g, "among others, row", picks[i], logits.logits + i * logits.ld, alone[i], 1);
    *compared += b.pick_count;
}

static bool is_done(const struct lane *lanes, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (lanes[i].at < lanes[i].prompt->n)
            return false;
    return true;
}

static void mix_prompts(struct golden *g)
{
    struct lane lanes[GOLDEN_SEQUENCES];
    struct model_pass p;
    int32_t n = g->n_prompts < GOLDEN_SEQUENCES ? g->n_prompts : GOLDEN_SEQUENCES, compared = 0;

    open_pass(&p, g, 2, KERN_F32);
    for (int32_t i = 0; i < n; i++) {
        const struct golden_prompt *t = &g->prompts[g->n_prompts - n + i];
        lanes[i] = (struct lane){t, golden_prefill(&p, i, t->ids, t->n, GOLDEN_ROWS), 0};
        forward_clear_slot(p.forward, i);
    }
    while (!is_done(lanes, n))
        run_mixed(g, &p, lanes, n, &compared);
    assert_true(compared > longest(g)->n / 2);
    for (int32_t i = 0; i < n; i++)
        free(lanes[i].alone);
    model_pass_close(&p);
}

static void a_sequence_alone_is_one_among_others(void **state)
{
    (void)state;
    golden_walk(NULL, WEIGHTS_AUTO, mix_prompts);
}

/* --- threads --- */

static void compare_threads(struct golden *g, const struct golden_prompt *t, int32_t piece)
{
    float *one = NULL;

    for (int32_t threads = 1; threads <= 3; threads++) {
        struct model_pass p;
        open_pass(&p, g, threads, KERN_F32);
        float *found = golden_prefill(&p, 0, t->ids, t->n, piece);
        model_pass_close(&p);
        if (threads == 1) {
            one = found;
            continue;
        }
        expect_same(g, "threads", threads, found, one, t->n);
        free(found);
    }
    free(one);
}

static void vary_threads(struct golden *g)
{
    compare_threads(g, longest(g), GOLDEN_ROWS);
    compare_threads(g, longest(g), 7);
    compare_threads(g, &g->prompts[g->n_prompts - 2], 1);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    golden_walk(NULL, WEIGHTS_AUTO, vary_threads);
}

/* --- copies --- */

/* What sequence 0 has read so far, for sequence 1. */
static void copy_sequence(struct model_pass *p, int32_t n)
{
    struct kern_span from = golden_span(0, 0, n, 0), to = golden_span(1, 0, n, 0);

    for (int32_t i = 0; i < from.page_count && p->forward->n_attention > 0; i++)
        forward_copy_page(p->forward, to.pages[i], from.pages[i]);
    if (p->forward->n_linear > 0)
        forward_copy_slot(p->forward, to.slot, from.slot);
}

static void go_on_in_copies(struct golden *g)
{
    static const int32_t cuts[] = {1, 3, 16, 47, 63, 64, 65, 100, 128, 150};
    const struct golden_prompt *t = longest(g);
    struct model_pass p;

    open_pass(&p, g, 2, KERN_BF16);
    float *whole = golden_prefill(&p, 0, t->ids, t->n, GOLDEN_ROWS);
    float *rest = calloc((size_t)t->n * (size_t)p.vocab, sizeof *rest);
    free(golden_prefill(&p, 1, t->ids, t->n, GOLDEN_ROWS)); /* leaves something to write over */
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0] && cuts[i] < t->n; i++) {
        free(golden_prefill(&p, 0, t->ids, cuts[i], 7));
        copy_sequence(&p, cuts[i]);
        golden_feed(&p, 0, t->ids, cuts[i], t->n - cuts[i], rest); /* the copy does not notice */
        golden_feed(&p, 1, t->ids, cuts[i], t->n - cuts[i], rest);
        expect_same(g, "a copy behind", cuts[i], rest, whole + (int64_t)cuts[i] * p.vocab,
                    t->n - cuts[i]);
    }
    free(rest);
    free(whole);
    model_pass_close(&p);
}

static void a_copy_goes_on_as_the_original(void **state)
{
    (void)state;
    golden_walk(NULL, WEIGHTS_AUTO, go_on_in_copies);
}

/* --- long sequences that decode together --- */

enum { LONG = 700, DECODERS = 3 };

static void decode_together(struct model_pass *p, const int32_t *ids, float *to)
{
    struct kern_span spans[DECODERS];
    int32_t picks[DECODERS], next[DECODERS];
    struct forward_batch b = {next, DECODERS, spans, DECODERS, picks, DECODERS};
    struct forward_logits logits;

    for (int32_t i = 0; i < DECODERS; i++) {
        spans[i] = golden_span(i, i, 1, LONG - i * 60);
        picks[i] = i;
        next[i] = ids[i];
    }
    assert_int_equal(forward_run(p->forward, &b, &logits), 0);
    for (int32_t i = 0; i < DECODERS; i++)
        golden_keep(p, &logits, i, to + (int64_t)i * p->vocab);
}

/* The work buffer cut to what one of them needs. */
static void group_decoders(struct golden *g)
{
    float *ignored = malloc((size_t)GOLDEN_ROWS * (size_t)g->vocab * sizeof(float));
    float *all = calloc(2 * DECODERS * (size_t)g->vocab, sizeof *all);
    float *one_by_one = all + DECODERS * g->vocab;
    int32_t ids[LONG];
    struct model_pass p;

    for (int32_t i = 0; i < LONG; i++)
        ids[i] = (i * 31 + 7) % g->vocab;
    open_pass(&p, g, 2, KERN_F32);
    for (int32_t i = 0; i < DECODERS; i++) {
        forward_clear_slot(p.forward, i);
        for (int32_t at = 0; at < LONG - i * 60; at += 100)
            golden_feed(&p, i, ids, at, LONG - i * 60 - at < 100 ? LONG - i * 60 - at : 100,
                        ignored);
    }
    /* Attention does not mind a position that is written twice, but DeltaNet goes on. */
    assert_int_equal(p.forward->n_linear, 0);
    decode_together(&p, ids, all);
    size_t whole = p.forward->work_bytes;
    p.forward->work_bytes =
        kern_attention_work_bytes(&p.forward->kv, (int32_t)g->model.config.n_heads, 1, LONG + 1);
    assert_true(whole >= DECODERS * p.forward->work_bytes);
    decode_together(&p, ids, one_by_one);
    expect_same(g, "decoders", DECODERS, one_by_one, all, DECODERS);
    model_pass_close(&p);
    free(all);
    free(ignored);
}

static void long_sequences_decode_in_groups(void **state)
{
    (void)state;
    golden_walk("llama3", WEIGHTS_AUTO, group_decoders);
    golden_walk("qwen3", WEIGHTS_AUTO, group_decoders);
}

/* --- memory --- */

/* The linker sends every call of these here (--wrap). */
void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t len);
void *__real_malloc(size_t len);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t len);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t len);

static uint64_t bytes_mapped;
static unsigned n_maps, n_allocations;

void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
    bytes_mapped += len;
    n_maps++;
    return __real_mmap(at, len, prot, flags, fd, offset);
}

int __wrap_munmap(void *at, size_t len)
{
    bytes_mapped -= len;
    return __real_munmap(at, len);
}

void *__wrap_malloc(size_t len)
{
    n_allocations++;
    return __real_malloc(len);
}

void *__wrap_calloc(size_t n, size_t size)
{
    n_allocations++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t len)
{
    n_allocations++;
    return __real_realloc(p, len);
}

/* From here to there nothing else may take memory: the other threads only compute. */
static void measure_rows(struct golden *g, struct kern_pool *pool, int32_t rows, float *logits)
{
    struct forward_shape shape = golden_shape;
    struct forward_bytes bytes;
    struct err e = {0};
    struct model_pass p = {.pool = pool, .vocab = g->vocab};

    shape.threads = kern_pool_size(pool);
    shape.rows = shape.picks = rows;
    shape.spans = rows < GOLDEN_SEQUENCES ? rows : GOLDEN_SEQUENCES;
    assert_int_equal(forward_measure(&g->model.config, &shape, &bytes, &e), 0);
    uint64_t expected =
        bytes.activations + (uint64_t)shape.pages * bytes.page + (uint64_t)shape.slots * bytes.slot;
    bytes_mapped = 0;
    n_maps = n_allocations = 0;
    assert_int_equal(forward_new(&p.forward, &g->model.config, &g->model.weights, &shape,
                                 kern_cpu_best(), pool, &e),
                     0);
    assert_int_equal(bytes_mapped, expected);
    unsigned n_before = n_maps;
    for (int32_t i = 0; i < 3; i++) {
        golden_feed(&p, 0, longest(g)->ids, 0, rows, logits);
        forward_clear_slot(p.forward, 0);
    }
    assert_int_equal(n_maps, n_before);
    assert_int_equal(n_allocations, 0);
    forward_free(&p.forward);
    assert_int_equal(bytes_mapped, 0);
}

static void measure_pass(struct golden *g)
{
    static const int32_t rows[] = {1, 8, 9, 40};
    float *logits = calloc(40 * (size_t)g->vocab, sizeof *logits);
    struct kern_pool *pool;

    assert_int_equal(kern_pool_open(&pool, 3, NULL), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        measure_rows(g, pool, rows[i], logits);
    kern_pool_close(&pool);
    free(logits);
}

static void memory_is_what_was_measured(void **state)
{
    (void)state;
    golden_walk(NULL, WEIGHTS_AUTO, measure_pass);
}

/* --- shapes without code --- */

static void expect_refused(const struct model_config *c, const struct forward_shape *shape,
                           const char *sentence)
{
    struct forward_bytes bytes;
    struct err e = {0};

    assert_int_equal(forward_measure(c, shape, &bytes, &e), -ENOTSUP);
    if (strstr(e.text, sentence) == NULL)
        fail_msg("found \"%s\", expected \"%s\"", e.text, sentence);
}

static void refuse_shapes(struct golden *g)
{
    struct forward_shape shape = golden_shape;
    struct model_config c = g->model.config;

    c.head_dim = 512;
    expect_refused(&c, &shape, "attention: found 2 key heads of 512 in pages of 16 tokens");
    c = g->model.config;
    c.linear.key_dim = 300;
    expect_refused(&c, &shape, "DeltaNet: found 4 value heads of 16, key heads of 300");
    c = g->model.config;
    c.moe.n_experts = 2000;
    expect_refused(&c, &shape, "experts: found 2000 of which 2");
    c = g->model.config;
    shape.page_tokens = 24;
    expect_refused(&c, &shape, "in pages of 24 tokens");
    shape = golden_shape;
    shape.context = (int32_t)c.max_positions + 1;
    expect_refused(&c, &shape, "context: found 2049 positions, expected 1 to 2048");
}

static void shapes_without_code_are_refused(void **state)
{
    (void)state;
    golden_walk("qwen3_next", WEIGHTS_AUTO, refuse_shapes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_the_whole),
        cmocka_unit_test(a_sequence_alone_is_one_among_others),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(a_copy_goes_on_as_the_original),
        cmocka_unit_test(long_sequences_decode_in_groups),
        cmocka_unit_test(memory_is_what_was_measured),
        cmocka_unit_test(shapes_without_code_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
