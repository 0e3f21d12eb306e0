#include "tests/unit/golden_util.h"

#include "base/fd.h"
#include "base/json.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#define EXPECT_MAGIC 0x78676f6c

const struct forward_shape golden_shape = {
    .rows = GOLDEN_ROWS,
    .spans = GOLDEN_SEQUENCES,
    .picks = GOLDEN_ROWS,
    .slots = GOLDEN_SEQUENCES,
    .pages = GOLDEN_SEQUENCES * GOLDEN_CONTEXT / GOLDEN_PAGE_TOKENS,
    .page_tokens = GOLDEN_PAGE_TOKENS,
    .context = GOLDEN_CONTEXT,
    .threads = 1,
    .kv_type = KERN_F32,
};

/* --- files --- */

void golden_read(const struct golden *g, const char *file, struct buf *out)
{
    struct err e = {0};

    buf_clear(out);
    if (root_read_all(&g->model.root, file, 64 << 20, out, &e) != 0)
        fail_msg("%s", e.text);
}

const void *golden_take(struct buf *b, size_t count)
{
    const void *at = b->data + b->pos;

    assert_true(count * 4 <= buf_pending(b));
    b->pos += count * 4;
    return at;
}

int32_t golden_take_int(struct buf *b)
{
    return *(const int32_t *)golden_take(b, 1);
}

static void read_expected(struct golden *g)
{
    golden_read(g, "expect.bin", &g->data);
    assert_int_equal(golden_take_int(&g->data), EXPECT_MAGIC);
    g->n_prompts = golden_take_int(&g->data);
    g->vocab = golden_take_int(&g->data);
    assert_int_equal(g->vocab, g->model.config.vocab_size);
    assert_in_range(g->n_prompts, 1, GOLDEN_LISTED);
    for (int32_t i = 0; i < g->n_prompts; i++) {
        struct golden_prompt *p = &g->prompts[i];
        p->n = golden_take_int(&g->data);
        assert_true(i == 0 || p->n >= p[-1].n);
        p->ids = golden_take(&g->data, (size_t)p->n);
        p->logits = golden_take(&g->data, (size_t)p->n * (size_t)g->vocab);
    }
    g->n_greedy = golden_take_int(&g->data);
    assert_in_range(g->n_greedy, 1, GOLDEN_LISTED);
    for (int32_t i = 0; i < g->n_greedy; i++) {
        struct golden_greedy *t = &g->greedy[i];
        t->n_prompt = golden_take_int(&g->data);
        t->n = golden_take_int(&g->data);
        t->ids = golden_take(&g->data, (size_t)(t->n_prompt + t->n));
    }
    assert_int_equal(buf_pending(&g->data), 0);
}

double golden_apart_bf16(const char *name)
{
    static const struct {
        const char *name;
        double apart;
    } found[] = {{"qwen3_5", 0.41}, {"qwen3", 0.32}, {"qwen3_moe", 0.24}};

    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++)
        if (strcmp(found[i].name, name) == 0)
            return found[i].apart;
    return 0;
}

void golden_open(struct golden *g, const char *folder, enum weights_mode mode)
{
    const char *slash = strrchr(folder, '/');

    *g = (struct golden){.name = slash + 1};
    model_open(&g->model, folder, mode);
    read_expected(g);
}

void golden_close(struct golden *g)
{
    model_close(&g->model);
    buf_free(&g->data);
}

void golden_walk(const char *name, enum weights_mode mode, golden_use *use)
{
    DIR *dir = opendir(CHECKPOINTS);
    struct dirent *entry;
    unsigned n = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        static struct golden g;
        char folder[sizeof CHECKPOINTS + 1 + sizeof entry->d_name];
        if (entry->d_name[0] == '.' || (name != NULL && strcmp(name, entry->d_name) != 0))
            continue;
        snprintf(folder, sizeof folder, "%s/%s", CHECKPOINTS, entry->d_name);
        golden_open(&g, folder, mode);
        use(&g);
        golden_close(&g);
        n++;
    }
    closedir(dir);
    assert_true(n > 0);
}

void golden_copy(const char *name, struct model_dir *to)
{
    char folder[sizeof CHECKPOINTS + 64];
    struct root root;
    struct dirent *entry;
    struct buf data = {0};
    struct err e = {0};

    model_dir_make(to);
    snprintf(folder, sizeof folder, "%s/%s", CHECKPOINTS, name);
    assert_int_equal(root_open(&root, folder, &e), 0);
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        buf_clear(&data);
        assert_int_equal(root_read_all(&root, entry->d_name, 16 << 20, &data, &e), 0);
        model_dir_write(to, entry->d_name, data.data, data.len);
    }
    closedir(dir);
    root_close(&root);
    buf_free(&data);
}

/* --- sequences --- */

struct kern_span golden_span(int32_t sequence, int32_t row, int32_t rows, int32_t pos)
{
    enum { PAGES = GOLDEN_CONTEXT / GOLDEN_PAGE_TOKENS };
    static int32_t pages[GOLDEN_SEQUENCES][PAGES];

    for (int32_t i = 0; i < PAGES; i++)
        pages[sequence][i] =
            (PAGES - 1 - i) * GOLDEN_SEQUENCES + (sequence * 5 + 3) % GOLDEN_SEQUENCES;
    return (struct kern_span){.row = row,
                              .rows = rows,
                              .pos = pos,
                              .slot = sequence,
                              .page_count =
                                  (pos + rows + GOLDEN_PAGE_TOKENS - 1) / GOLDEN_PAGE_TOKENS,
                              .pages = pages[sequence]};
}

void golden_keep(const struct model_pass *p, const struct forward_logits *from, int32_t row,
                 float *to)
{
    assert_true(from->ld >= p->vocab);
    memcpy(to, from->logits + row * from->ld, (size_t)p->vocab * sizeof *to);
}

void golden_feed(struct model_pass *p, int32_t sequence, const int32_t *ids, int32_t from,
                 int32_t n, float *to)
{
    struct kern_span span = golden_span(sequence, 0, n, from);
    int32_t picks[GOLDEN_ROWS];
    struct forward_batch b = {.ids = ids + from,
                              .rows = n,
                              .spans = &span,
                              .span_count = 1,
                              .picks = picks,
                              .pick_count = n};
    struct forward_logits logits;

    for (int32_t i = 0; i < n; i++)
        picks[i] = i;
    assert_int_equal(forward_run(p->forward, &b, &logits), 0);
    for (int32_t i = 0; i < n; i++)
        golden_keep(p, &logits, i, to + (int64_t)i * p->vocab);
}

float *golden_prefill(struct model_pass *p, int32_t sequence, const int32_t *ids, int32_t n,
                      int32_t piece)
{
    float *logits = calloc((size_t)n * (size_t)p->vocab, sizeof *logits);

    assert_non_null(logits);
    forward_clear_slot(p->forward, sequence);
    for (int32_t at = 0; at < n; at += piece)
        golden_feed(p, sequence, ids, at, n - at < piece ? n - at : piece,
                    logits + (int64_t)at * p->vocab);
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

struct golden_distance golden_compare(const float *a, const float *b, int32_t rows, int32_t vocab)
{
    struct golden_distance d = {0};

    for (int32_t r = 0; r < rows; r++, a += vocab, b += vocab) {
        double la = log_sum_exp(a, vocab), lb = log_sum_exp(b, vocab);
        for (int32_t i = 0; i < vocab; i++) {
            double one = fabs(((double)a[i] - la) - ((double)b[i] - lb));
            d.most = one > d.most || isnan(one) ? one : d.most;
            d.mean += one / ((double)rows * vocab);
        }
    }
    return d;
}

void golden_expect(const char *what, const char *name, double found, double bound)
{
    if (getenv("FORWARD_TEST_PRINT") != NULL)
        print_message("%-28s %-18s %.2e of %.2e\n", what, name, found, bound);
    if (!(found <= bound))
        fail_msg("%s: %s: log p differs by %.3e, bound %.3e", name, what, found, bound);
}
