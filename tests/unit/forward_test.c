/* The forward pass against transformers in float64, on a small checkpoint of every family; and
 * against itself: cut anywhere, among others, on any number of threads, the bits stay. */
#include "base/buf.h"
#include "base/fd.h"
#include "tests/unit/model_open.h"
#include "worker/model/forward_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#define EXPECT_MAGIC 0x78676f6c

enum { ROWS = 320, PAGE_TOKENS = 16, SEQUENCES = 8, CONTEXT = 1024 };

/* Largest |log p - reference| over all prompts, positions and tokens. Weights as they are in the
 * file, sums in f32: */
#define BOUND_F32 1e-4
/* activations rounded to bf16 in front of each matrix; transformers in bf16 is X to X away: */
#define BOUND_BF16 0.35
#define BOUND_KV_BF16 0.1

static const struct forward_shape base_shape = {
    .rows = ROWS,
    .spans = SEQUENCES,
    .picks = ROWS,
    .slots = SEQUENCES,
    .pages = SEQUENCES * CONTEXT / PAGE_TOKENS,
    .page_tokens = PAGE_TOKENS,
    .context = CONTEXT,
    .threads = 2,
    .kv_type = KERN_F32,
};

/* --- what is expected --- */

struct prompt {
    int32_t n;
    const int32_t *ids;
    const float *logits; /* [n, vocab] */
};

struct greedy {
    int32_t n_prompt, n;
    const int32_t *ids; /* [n_prompt + n] */
};

struct expect {
    struct buf data;
    int32_t n_prompts, n_greedy, vocab;
    struct prompt prompts[16];
    struct greedy greedy[16];
};

static bool read_file(const char *path, struct buf *out)
{
    struct err e = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd == -1)
        return false;
    assert_int_equal(fd_read_all(fd, out, 64 << 20, &e), 0);
    close(fd);
    return true;
}

/* count numbers of four bytes. */
static const void *take(struct buf *b, size_t count)
{
    const void *at = b->data + b->pos;

    assert_true(count * 4 <= buf_pending(b));
    b->pos += count * 4;
    return at;
}

static int32_t take_int(struct buf *b)
{
    return *(const int32_t *)take(b, 1);
}

static void read_expect(const char *folder, struct expect *x)
{
    char path[600];

    *x = (struct expect){0};
    snprintf(path, sizeof path, "%s/expect.bin", folder);
    assert_true(read_file(path, &x->data));
    assert_int_equal(take_int(&x->data), EXPECT_MAGIC);
    x->n_prompts = take_int(&x->data);
    x->vocab = take_int(&x->data);
    assert_in_range(x->n_prompts, 1, 16);
    for (int32_t i = 0; i < x->n_prompts; i++) {
        x->prompts[i].n = take_int(&x->data);
        x->prompts[i].ids = take(&x->data, (size_t)x->prompts[i].n);
        x->prompts[i].logits = take(&x->data, (size_t)x->prompts[i].n * (size_t)x->vocab);
    }
    x->n_greedy = take_int(&x->data);
    assert_in_range(x->n_greedy, 1, 16);
    for (int32_t i = 0; i < x->n_greedy; i++) {
        x->greedy[i].n_prompt = take_int(&x->data);
        x->greedy[i].n = take_int(&x->data);
        x->greedy[i].ids = take(&x->data, (size_t)(x->greedy[i].n_prompt + x->greedy[i].n));
    }
    assert_int_equal(buf_pending(&x->data), 0);
}

/* --- sequences --- */

/* Sequence i has slot i, and pages that lie apart and backwards. */
static const int32_t *pages_of(int32_t sequence)
{
    enum { PAGES = CONTEXT / PAGE_TOKENS };
    static int32_t pages[SEQUENCES][PAGES];

    for (int32_t i = 0; i < PAGES; i++)
        pages[sequence][i] = (PAGES - 1 - i) * SEQUENCES + (sequence * 5 + 3) % SEQUENCES;
    return pages[sequence];
}

static struct kern_span make_span(int32_t sequence, int32_t row, int32_t rows, int32_t pos)
{
    return (struct kern_span){.row = row,
                              .rows = rows,
                              .pos = pos,
                              .slot = sequence,
                              .page_count = (pos + rows + PAGE_TOKENS - 1) / PAGE_TOKENS,
                              .pages = pages_of(sequence)};
}

static void run_batch(struct model_pass *p, const struct forward_batch *b,
                      struct forward_logits *out)
{
    assert_int_equal(forward_run(p->forward, b, out), 0);
    assert_true(out->ld >= p->vocab);
}

/* Rows of logits, without what is between them. */
static void keep_logits(const struct model_pass *p, const struct forward_logits *from,
                        int32_t first, int32_t rows, float *to)
{
    for (int32_t r = 0; r < rows; r++)
        memcpy(to + (int64_t)r * p->vocab, from->logits + (first + r) * from->ld,
               (size_t)p->vocab * sizeof *to);
}

/* ids [from, from + n) of a sequence that has read what is in front. Their logits into `to`. */
static void feed(struct model_pass *p, int32_t sequence, const int32_t *ids, int32_t from,
                 int32_t n, float *to)
{
    struct kern_span span = make_span(sequence, 0, n, from);
    int32_t picks[ROWS];
    struct forward_logits logits;

    for (int32_t i = 0; i < n; i++)
        picks[i] = i;
    struct forward_batch b = {.ids = ids + from,
                              .rows = n,
                              .spans = &span,
                              .span_count = 1,
                              .picks = picks,
                              .pick_count = n};
    run_batch(p, &b, &logits);
    keep_logits(p, &logits, 0, n, to + (int64_t)from * p->vocab);
}

/* All ids of a new sequence, `piece` at a time. [n, vocab], to be freed. */
static float *read_prompt(struct model_pass *p, int32_t sequence, const int32_t *ids, int32_t n,
                          int32_t piece)
{
    float *logits = calloc((size_t)n * (size_t)p->vocab, sizeof *logits);

    assert_non_null(logits);
    forward_clear_slot(p->forward, sequence);
    for (int32_t at = 0; at < n; at += piece)
        feed(p, sequence, ids, at, n - at < piece ? n - at : piece, logits);
    return logits;
}

/* --- distances --- */

static double log_sum_exp(const float *x, int32_t n)
{
    double most = -INFINITY, sum = 0;

    for (int32_t i = 0; i < n; i++)
        most = fmax(most, (double)x[i]);
    for (int32_t i = 0; i < n; i++)
        sum += exp((double)x[i] - most);
    return most + log(sum);
}

/* The largest |difference| of log p over rows. */
static double distance(const float *a, const float *b, int32_t rows, int32_t vocab)
{
    double most = 0;

    for (int32_t r = 0; r < rows; r++, a += vocab, b += vocab) {
        double la = log_sum_exp(a, vocab), lb = log_sum_exp(b, vocab);
        for (int32_t i = 0; i < vocab; i++) {
            double d = fabs(((double)a[i] - la) - ((double)b[i] - lb));
            most = d > most || isnan(d) ? d : most;
        }
    }
    return most;
}

static double prompts_distance(struct model_pass *p, const struct expect *x)
{
    double most = 0;

    for (int32_t i = 0; i < x->n_prompts; i++) {
        float *logits = read_prompt(p, i % SEQUENCES, x->prompts[i].ids, x->prompts[i].n, ROWS);
        most = fmax(most, distance(logits, x->prompts[i].logits, x->prompts[i].n, x->vocab));
        free(logits);
    }
    return most;
}

static void expect_distance(const char *what, const char *name, double found, double bound)
{
    if (getenv("FORWARD_TEST_PRINT") != NULL)
        print_message("%-24s %-20s %.2e of %.2e\n", what, name, found, bound);
    if (!(found <= bound))
        fail_msg("%s: %s: log p differs by %.3e, bound %.3e", name, what, found, bound);
}

/* --- every checkpoint --- */

typedef void use_checkpoint(const char *name, const char *folder, struct model_open *m,
                            const struct expect *x);

static bool is_exact(const struct model_open *m)
{
    return m->plan.layers[0].at[WEIGHT_GATE] != NULL
               ? m->plan.layers[0].at[WEIGHT_GATE]->dtype != TENSOR_BF16
               : m->plan.embed->dtype != TENSOR_BF16;
}

static int walk_checkpoints(enum weights_mode mode, use_checkpoint *use)
{
    DIR *dir = opendir(CHECKPOINTS);
    struct dirent *entry;
    int n = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        static struct model_open m;
        static struct expect x;
        char folder[512];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(folder, sizeof folder, "%s/%s", CHECKPOINTS, entry->d_name);
        read_expect(folder, &x);
        model_open(&m, folder, mode);
        assert_int_equal(m.config.vocab_size, x.vocab);
        use(entry->d_name, folder, &m, &x);
        model_close(&m);
        buf_free(&x.data);
        n++;
    }
    if (dir != NULL)
        closedir(dir);
    return n;
}

static void check_greedy(struct model_pass *p, const char *name, const struct greedy *g)
{
    struct forward_logits logits;
    int32_t pick = 0;
    float *skipped = read_prompt(p, 0, g->ids, g->n_prompt - 1, ROWS);

    free(skipped);
    for (int32_t at = g->n_prompt - 1; at < g->n_prompt + g->n - 1; at++) {
        struct kern_span span = make_span(0, 0, 1, at);
        struct forward_batch b = {g->ids + at, 1, &span, 1, &pick, 1};
        run_batch(p, &b, &logits);
        if (logits.best[0] != g->ids[at + 1])
            fail_msg("%s: token %d of a greedy text is %d, expected %d", name,
                     at + 1 - g->n_prompt, logits.best[0], g->ids[at + 1]);
    }
}

static void compare_exact(const char *name, const char *folder, struct model_open *m,
                          const struct expect *x)
{
    struct model_pass p;
    (void)folder;

    model_pass_open(&p, m, kern_cpu_best(), &base_shape);
    expect_distance("best, f32", name, prompts_distance(&p, x), BOUND_F32);
    for (int32_t i = 0; i < x->n_greedy; i++)
        check_greedy(&p, name, &x->greedy[i]);
    model_pass_close(&p);
}

/* Whatever the file has, weights kept as f32 are its very numbers. */
static void agrees_with_transformers_in_f32(void **state)
{
    (void)state;
    assert_true(walk_checkpoints(WEIGHTS_F32, compare_exact) >= 14);
}

static void compare_auto(const char *name, const char *folder, struct model_open *m,
                         const struct expect *x)
{
    struct model_pass p;
    (void)folder;

    model_pass_open(&p, m, kern_cpu_best(), &base_shape);
    expect_distance("best, auto", name, prompts_distance(&p, x),
                    is_exact(m) ? BOUND_F32 : BOUND_BF16);
    for (int32_t i = 0; is_exact(m) && i < x->n_greedy; i++)
        check_greedy(&p, name, &x->greedy[i]);
    model_pass_close(&p);
    struct forward_shape shape = base_shape;
    shape.kv_type = KERN_BF16;
    model_pass_open(&p, m, kern_cpu_best(), &shape);
    expect_distance("best, auto, KV bf16", name, prompts_distance(&p, x),
                    is_exact(m) ? BOUND_KV_BF16 : BOUND_BF16);
    model_pass_close(&p);
}

static void agrees_with_transformers_in_the_files_types(void **state)
{
    (void)state;
    assert_true(walk_checkpoints(WEIGHTS_AUTO, compare_auto) >= 14);
}

static void compare_bf16(const char *name, const char *folder, struct model_open *m,
                         const struct expect *x)
{
    struct model_pass p;
    (void)folder;

    model_pass_open(&p, m, kern_cpu_best(), &base_shape);
    expect_distance("best, bf16", name, prompts_distance(&p, x), 100);
    model_pass_close(&p);
}

static void agrees_with_transformers_in_bf16(void **state)
{
    (void)state;
    assert_true(walk_checkpoints(WEIGHTS_BF16, compare_bf16) >= 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_transformers_in_f32),
        cmocka_unit_test(agrees_with_transformers_in_the_files_types),
        cmocka_unit_test(agrees_with_transformers_in_bf16),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
