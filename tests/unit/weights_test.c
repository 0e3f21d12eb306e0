/* The weights' block: every element of every tensor where it belongs, in every mode, in whatever
 * order the pieces come; keys; what is refused. On the checkpoints of make_fixtures.py. */
#include "tests/unit/golden_util.h"
#include "tests/unit/model_dir.h"
#include "worker/model/weights_pack.h"

#include <errno.h>
#include <math.h>

/* --- files to be bent --- */

static void patch_file(const struct model_dir *d, const char *name, uint64_t offset,
                       const void *data, size_t len)
{
    FILE *f = fopen(model_dir_path(d, name), "r+b");

    assert_non_null(f);
    assert_int_equal(fseek(f, (long)offset, SEEK_SET), 0);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* --- the layout --- */

static void check_layout(struct golden *g)
{
    const struct weights_layout *l = g->model.layout;
    struct weights_layout *again;
    struct err e = {0};
    uint64_t end = 0, elements = 0, in_files = 0;

    for (uint32_t i = 0; i < l->n_parts; i++) {
        const struct weights_part *p = &l->parts[i];
        uint64_t bytes = p->form == FORM_MATRIX ? kern_matrix_bytes(p->layout, p->rows, p->cols)
                                                : 4 * (uint64_t)p->rows * p->cols;
        assert_int_equal(p->offset, end); /* nothing between two parts but for alignment */
        end = (p->offset + bytes + KERN_ALIGN - 1) / KERN_ALIGN * KERN_ALIGN;
        elements += (uint64_t)p->rows * p->cols;
    }
    assert_int_equal(weights_layout_bytes(l), end);
    for (uint32_t i = 0; i < l->n_sources; i++) {
        const struct weights_source *s = &l->sources[i];
        uint64_t rows = 0;
        for (uint32_t r = s->first_run; r < s->first_run + s->n_runs; r++) {
            assert_int_equal(l->runs[r].first, rows);
            rows += l->runs[r].rows;
        }
        assert_int_equal(rows * s->cols * (s->tensor->dtype == TENSOR_F32 ? 4 : 2),
                         s->tensor->bytes);
        in_files += rows * s->cols;
    }
    assert_int_equal(elements, in_files);
    assert_int_equal(l->n_sources, g->model.plan.n_bound);

    assert_int_equal(weights_layout_new(&again, &g->model.config, &g->model.plan, l->mode, &e), 0);
    assert_memory_equal(again->parts, l->parts, l->n_parts * sizeof *l->parts);
    assert_int_equal(weights_key(again, &g->model.tensors), weights_key(l, &g->model.tensors));
    weights_layout_free(&again);
}

static void layouts_are_tight_and_the_same_again(void **state)
{
    (void)state;
    for (enum weights_mode mode = 0; mode < WEIGHTS_MODES_N; mode++)
        golden_walk(NULL, mode, check_layout);
}

/* --- every element --- */

static float convert(float x, const struct weights_part *p)
{
    return p->form == FORM_MATRIX && p->layout == KERN_LAYOUT_B16
               ? kern_bf16_to_f32(kern_f32_to_bf16(x))
               : x;
}

static void read_part_row(const struct golden *g, const struct weights_part *p, uint32_t row,
                          float *to)
{
    const float *floats = (const float *)(const void *)((const char *)g->model.block + p->offset);
    struct kern_matrix m = {p->layout, (int32_t)p->rows, (int32_t)p->cols, floats};

    if (p->form == FORM_MATRIX)
        assert_int_equal(kern_unpack_row(&m, row, to), 0);
    for (uint32_t c = 0; p->form != FORM_MATRIX && c < p->cols; c++)
        to[c] = p->form == FORM_VECTOR ? floats[row * p->cols + c] : floats[c * p->rows + row];
}

/* The tensor's bytes as they are in the file; to be freed. */
static char *read_tensor(const struct golden *g, const struct tensor *t)
{
    const struct safetensors_file *f = &g->model.tensors.files[t->file];
    char *data = malloc(t->bytes);
    struct err e = {0};

    assert_non_null(data);
    assert_int_equal(root_read(&f->file, f->name, t->offset, data, t->bytes, &e), 0);
    return data;
}

static void check_source(const struct golden *g, const struct weights_source *s)
{
    const struct weights_layout *l = g->model.layout;
    char *data = read_tensor(g, s->tensor);
    size_t row_bytes = s->cols * (s->tensor->dtype == TENSOR_F32 ? 4 : 2);
    float *expected = calloc(2 * s->cols, sizeof *expected), *found = expected + s->cols;

    assert_non_null(expected);
    for (uint32_t i = s->first_run; i < s->first_run + s->n_runs; i++) {
        const struct weights_part *p = &l->parts[l->runs[i].part];
        for (uint32_t r = 0; r < l->runs[i].rows; r++) {
            kern_to_floats(weights_source_type(s->tensor),
                           data + (l->runs[i].first + r) * row_bytes, (int64_t)s->cols, expected);
            read_part_row(g, p, l->runs[i].to + r, found);
            for (uint64_t c = 0; c < s->cols; c++)
                if (!(found[c] == convert(expected[c], p)))
                    fail_msg("%s: %s: row %u, column %u is %g, expected %g", g->name,
                             s->tensor->name, r, (unsigned)c, (double)found[c],
                             (double)expected[c]);
        }
    }
    free(expected);
    free(data);
}

static void check_elements(struct golden *g)
{
    for (uint32_t i = 0; i < g->model.layout->n_sources; i++)
        check_source(g, &g->model.layout->sources[i]);
}

static void every_element_is_in_its_place(void **state)
{
    (void)state;
    for (enum weights_mode mode = 0; mode < WEIGHTS_MODES_N; mode++)
        golden_walk(NULL, mode, check_elements);
}

/* --- fused rows, by the formula of the family --- */

static void expect_row(const struct golden *g, const struct kern_matrix *m, int64_t row,
                       const struct tensor *t, const char *data, uint64_t source_row)
{
    uint64_t cols = t->shape[1];
    float expected[64], found[64];

    assert_true(cols <= 64 && t->dtype == TENSOR_F32);
    memcpy(expected, data + source_row * cols * 4, cols * 4);
    assert_int_equal(kern_unpack_row(m, row, found), 0);
    if (memcmp(expected, found, cols * 4) != 0)
        fail_msg("%s: %s: row %d is not row %d", g->name, t->name, (int)row, (int)source_row);
}

static void check_fused_layer(struct golden *g, uint32_t layer)
{
    const struct tensor *qkvz = g->model.plan.layers[layer].at[WEIGHT_IN_QKVZ];
    const struct tensor *ba = g->model.plan.layers[layer].at[WEIGHT_IN_BA];
    const struct weights_layer_bound *w = &g->model.weights.layers[layer];
    uint32_t hk = g->model.config.linear.n_key_heads, hv = g->model.config.linear.n_value_heads;
    uint32_t dk = g->model.config.linear.key_dim, dv = g->model.config.linear.value_dim;
    uint32_t r = hv / hk, group = 2 * dk + 2 * r * dv;
    char *data = read_tensor(g, qkvz), *data_ba = read_tensor(g, ba);

    for (uint32_t h = 0; h < hk; h++)
        for (uint32_t d = 0; d < dk; d++) {
            expect_row(g, &w->in_qkv, h * dk + d, qkvz, data, h * group + d);
            expect_row(g, &w->in_qkv, (hk + h) * dk + d, qkvz, data, h * group + dk + d);
        }
    for (uint32_t j = 0; j < hv; j++) {
        uint64_t at = j / r * group + 2 * dk + j % r * dv;
        for (uint32_t d = 0; d < dv; d++) {
            expect_row(g, &w->in_qkv, 2 * hk * dk + j * dv + d, qkvz, data, at + d);
            expect_row(g, &w->in_z, j * dv + d, qkvz, data, at + r * dv + d);
        }
        expect_row(g, &w->in_b, j, ba, data_ba, j / r * 2 * r + j % r);
        expect_row(g, &w->in_a, j, ba, data_ba, j / r * 2 * r + r + j % r);
    }
    free(data);
    free(data_ba);
}

static void check_fused(struct golden *g)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < g->model.plan.n_layers; i++)
        if (g->model.plan.layers[i].at[WEIGHT_IN_QKVZ] != NULL) {
            check_fused_layer(g, i);
            n++;
        }
    assert_true(n > 0);
}

static void fused_rows_come_apart(void **state)
{
    (void)state;
    golden_walk("qwen3_next", WEIGHTS_AUTO, check_fused);
    golden_walk("qwen3_next_mixed", WEIGHTS_AUTO, check_fused);
}

/* --- pieces --- */

struct piece {
    uint32_t source;
    uint64_t offset;
    size_t len;
};

/* Orders a list by a key of its own per turn: backwards, or mixed. */
static uint64_t order_of(const struct piece *p, unsigned turn)
{
    uint64_t x = p->offset + ((uint64_t)p->source << 40);

    return turn == 0 ? ~x : (x * 0x9e3779b97f4a7c15u) >> 13;
}

static unsigned order_turn;

static int compare_pieces(const void *a, const void *b)
{
    uint64_t x = order_of(a, order_turn), y = order_of(b, order_turn);

    return (x > y) - (x < y);
}

static struct piece *cut_sources(const struct weights_layout *l, size_t len, size_t *n)
{
    struct piece *list = NULL;

    *n = 0;
    for (uint32_t i = 0; i < l->n_sources; i++) {
        uint64_t bytes = l->sources[i].tensor->bytes;
        list = reallocarray(list, *n + bytes / len + 1, sizeof *list);
        assert_non_null(list);
        for (uint64_t at = 0; at < bytes; at += len)
            list[(*n)++] = (struct piece){i, at, bytes - at < len ? (size_t)(bytes - at) : len};
    }
    return list;
}

static void pack_pieces(struct golden *g, size_t len, unsigned turn)
{
    const struct weights_layout *l = g->model.layout;
    void *block = aligned_alloc(KERN_ALIGN, weights_layout_bytes(l));
    struct weights_pack *pack = weights_pack_new(l, &g->model.tensors, block);
    char **data = calloc(l->n_sources, sizeof *data);
    struct err e = {0};
    size_t n;
    struct piece *list = cut_sources(l, len, &n);

    memset(block, 0, weights_layout_bytes(l));
    for (uint32_t i = 0; i < l->n_sources; i++)
        data[i] = read_tensor(g, l->sources[i].tensor);
    order_turn = turn;
    qsort(list, n, sizeof *list, compare_pieces);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(weights_pack_piece(pack, list[i].source, list[i].offset,
                                            data[list[i].source] + list[i].offset, list[i].len, &e),
                         0);
    assert_int_equal(weights_pack_waiting(pack), 0);
    assert_memory_equal(block, g->model.block, weights_layout_bytes(l));
    weights_pack_free(&pack);
    for (uint32_t i = 0; i < l->n_sources; i++)
        free(data[i]);
    free(data);
    free(list);
    free(block);
}

static void pack_in_any_order(struct golden *g)
{
    static const size_t lengths[] = {61, 1000, 4096, 1 << 20};

    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (unsigned turn = 0; turn < 2; turn++)
            pack_pieces(g, lengths[i], turn);
}

static void pieces_come_in_any_order(void **state)
{
    (void)state;
    golden_walk("qwen3_next", WEIGHTS_AUTO, pack_in_any_order);
    golden_walk("qwen3_5_odd", WEIGHTS_BF16, pack_in_any_order);
    golden_walk("qwen3_5_moe", WEIGHTS_F32, pack_in_any_order);
    golden_walk("qwen3", WEIGHTS_AUTO, pack_in_any_order);
}

/* Pieces that come in the order of the file, as many under way as the reader has: the buffers are
 * no more than the cuts between them. */
static void buffers_of(struct golden *g)
{
    const struct weights_layout *l = g->model.layout;
    enum { FLYING = 4, LEN = 500 };
    struct weights_pack *pack;
    struct err e = {0};
    size_t n;
    struct piece *list = cut_sources(l, LEN, &n);
    void *block = aligned_alloc(KERN_ALIGN, weights_layout_bytes(l));

    pack = weights_pack_new(l, &g->model.tensors, block);
    for (size_t from = 0; from < n; from += FLYING)
        for (size_t i = FLYING; i-- > 0;) {
            if (from + i >= n)
                continue;
            const struct piece *p = &list[from + i];
            char *data = read_tensor(g, l->sources[p->source].tensor);
            assert_int_equal(
                weights_pack_piece(pack, p->source, p->offset, data + p->offset, p->len, &e), 0);
            free(data);
        }
    assert_in_range(weights_pack_buffers(pack), 1, FLYING + 1);
    weights_pack_free(&pack);
    free(block);
    free(list);
}

static void buffers_are_few(void **state)
{
    (void)state;
    golden_walk("qwen3_next", WEIGHTS_AUTO, buffers_of);
}

/* --- both readers, and a key per file --- */

static void fill_with_uring(struct golden *g)
{
    void *block = aligned_alloc(KERN_ALIGN, weights_layout_bytes(g->model.layout));
    struct reader_stats stats;
    struct err e = {0};
    struct weights_fill fill = {.layout = g->model.layout,
                                .tensors = &g->model.tensors,
                                .root = &g->model.root,
                                .mode = READER_URING,
                                .dest = block,
                                .touch_threads = 2};

    memset(block, 0, weights_layout_bytes(g->model.layout));
    int rc = weights_fill(&fill, &stats, &e);
    if (rc == 0) {
        assert_memory_equal(block, g->model.block, weights_layout_bytes(g->model.layout));
        assert_int_equal(stats.bytes, g->model.plan.bytes);
    } else if (rc != -ENOSYS && rc != -EPERM) {
        fail_msg("%s", e.text);
    }
    free(block);
}

static void both_readers_fill_the_same(void **state)
{
    (void)state;
    golden_walk(NULL, WEIGHTS_AUTO, fill_with_uring);
}

static uint64_t key_of(const struct model_dir *d, enum weights_mode mode)
{
    static struct model_open m;

    model_open(&m, d->path, mode);
    uint64_t key = weights_key(m.layout, &m.tensors);
    model_close(&m);
    return key;
}

static void keys_tell_files_and_layouts_apart(void **state)
{
    struct model_dir d;
    (void)state;

    golden_copy("qwen2", &d);
    uint64_t key = key_of(&d, WEIGHTS_AUTO);
    assert_int_equal(key_of(&d, WEIGHTS_AUTO), key);
    assert_int_equal(key_of(&d, WEIGHTS_F32), key); /* the same block */
    assert_int_not_equal(key_of(&d, WEIGHTS_BF16), key);
    const struct timespec times[2] = {{1, 0}, {1, 0}};
    const char *file = model_dir_path(&d, "model-00001-of-00002.safetensors");
    assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
    uint64_t touched = key_of(&d, WEIGHTS_AUTO);
    assert_int_not_equal(touched, key);
    model_dir_remove(&d);
}

/* --- what is refused --- */

/* Opens a bent copy up to the filling, which must fail. */
static void expect_refused(const struct model_dir *d, enum weights_mode mode, int code,
                           const char *sentence, void (*before)(const struct model_dir *))
{
    static struct model_open m;
    struct reader_stats stats;
    struct err e = {0};

    model_must(root_open(&m.root, d->path, &e), &e);
    model_must(model_config_load(&m.config, &m.root, &e), &e);
    model_must(safetensors_open(&m.tensors, &m.root, &e), &e);
    model_must(weights_plan_make(&m.plan, &m.config, &m.tensors, &e), &e);
    model_must(weights_layout_new(&m.layout, &m.config, &m.plan, mode, &e), &e);
    m.block = aligned_alloc(KERN_ALIGN, weights_layout_bytes(m.layout));
    if (before != NULL)
        before(d);
    struct weights_fill fill = {.layout = m.layout,
                                .tensors = &m.tensors,
                                .root = &m.root,
                                .mode = READER_PREAD,
                                .dest = m.block};
    int rc = weights_fill(&fill, &stats, &e);
    if (rc != code || strstr(e.text, sentence) == NULL)
        fail_msg("found %d \"%s\", expected \"%s\"", rc, e.text, sentence);
    m.weights = (struct weights){0};
    model_close(&m);
}

static uint64_t offset_of(const struct model_dir *d, const char *tensor)
{
    struct safetensors s;
    struct root root;
    struct err e = {0};

    assert_int_equal(root_open(&root, d->path, &e), 0);
    assert_int_equal(safetensors_open(&s, &root, &e), 0);
    const struct tensor *t = safetensors_find(&s, tensor);
    assert_non_null(t);
    uint64_t offset = t->offset;
    safetensors_close(&s);
    root_close(&root);
    return offset;
}

static void values_that_are_no_numbers_are_refused(void **state)
{
    static const struct {
        const char *checkpoint, *tensor;
        unsigned element;
        uint32_t bits;
        size_t len;
        enum weights_mode mode;
        const char *sentence;
    } cases[] = {
        {"mistral", "model.layers.1.mlp.down_proj.weight", 805, 0x7fc00000, 4, WEIGHTS_AUTO,
         "model.layers.1.mlp.down_proj.weight in model.safetensors: found nan as element 805, "
         "expected a finite number of f32"},
        {"mistral", "model.norm.weight", 47, 0xff800000, 4, WEIGHTS_AUTO,
         "model.norm.weight in model.safetensors: found -inf as element 47, "},
        {"mistral", "model.embed_tokens.weight", 1, 0x7f7fffff, 4, WEIGHTS_BF16,
         "found 3.40282e+38 as element 1, expected a finite number of bf16"},
        {"qwen3", "model.layers.2.self_attn.q_proj.weight", 96 * 48 - 1, 0x7f80, 2, WEIGHTS_AUTO,
         "found inf as element 4607, expected a finite number of bf16"},
        {"llama3", "model.layers.0.mlp.up_proj.weight", 17, 0xfe00, 2, WEIGHTS_AUTO,
         "as element 17, expected a finite number of f32"},
        {"qwen3_5", "model.language_model.layers.0.linear_attn.conv1d.weight", 9, 0xff80, 2,
         WEIGHTS_BF16,
         "conv1d.weight in model.safetensors: found -inf as element 9, expected a "
         "finite number of f32"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct model_dir d;
        golden_copy(cases[i].checkpoint, &d);
        patch_file(&d, "model.safetensors",
                   offset_of(&d, cases[i].tensor) + cases[i].element * cases[i].len, &cases[i].bits,
                   cases[i].len);
        expect_refused(&d, cases[i].mode, -EINVAL, cases[i].sentence, NULL);
        model_dir_remove(&d);
    }
}

static void cut_file(const struct model_dir *d)
{
    assert_int_equal(truncate(model_dir_path(d, "model.safetensors"), 100000), 0);
}

static void a_file_that_shrinks_is_refused(void **state)
{
    struct model_dir d;
    (void)state;

    golden_copy("mistral", &d);
    expect_refused(&d, WEIGHTS_AUTO, -EIO, "it shrank while it was read", cut_file);
    model_dir_remove(&d);
}

static bool stop_at_once(void *to, uint64_t bytes_done, uint64_t bytes_all)
{
    uint64_t *seen = to;

    assert_true(bytes_done <= bytes_all);
    *seen = bytes_all;
    return true;
}

static void stop_filling(struct golden *g)
{
    struct reader_stats stats;
    struct err e = {0};
    uint64_t seen = 0;
    struct weights_fill fill = {.layout = g->model.layout,
                                .tensors = &g->model.tensors,
                                .root = &g->model.root,
                                .mode = READER_PREAD,
                                .dest = g->model.block,
                                .progress = stop_at_once,
                                .to = &seen};

    assert_int_equal(weights_fill(&fill, &stats, &e), -ECANCELED);
    assert_int_equal(seen, g->model.plan.bytes);
}

static void filling_can_be_stopped(void **state)
{
    (void)state;
    golden_walk("qwen2", WEIGHTS_AUTO, stop_filling);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts_are_tight_and_the_same_again),
        cmocka_unit_test(every_element_is_in_its_place),
        cmocka_unit_test(fused_rows_come_apart),
        cmocka_unit_test(pieces_come_in_any_order),
        cmocka_unit_test(buffers_are_few),
        cmocka_unit_test(both_readers_fill_the_same),
        cmocka_unit_test(keys_tell_files_and_layouts_apart),
        cmocka_unit_test(values_that_are_no_numbers_are_refused),
        cmocka_unit_test(a_file_that_shrinks_is_refused),
        cmocka_unit_test(filling_can_be_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
