/* Weights times activations: the blocks of a matrix over the threads, its panels kept in the cache
 * while all tokens pass. */
#include "kernels/cpu/cpu.h"

static const void *block_at(const struct kern_matrix *m, int64_t block)
{
    int64_t cols = m->layout == KERN_LAYOUT_B16 ? (m->cols + 1) / 2 : m->cols;

    return (const char *)m->data + block * cols * 64;
}

static const void *row_at(const struct kern_in *x, int64_t row)
{
    return (const char *)x->data + row * x->ld * (int64_t)kern_type_bytes(x->type);
}

static int64_t blocks_of(const struct kern_matrix *m)
{
    return (m->rows + KERN_BLOCK - 1) / KERN_BLOCK;
}

/* y[16 rows of a block] of one token. */
static void put_linear(const struct kern_linear *p, int64_t block, int64_t row, const float *sum)
{
    int64_t first = block * KERN_BLOCK;
    float *y = p->y + row * p->ld + first;

    for (int64_t i = 0; i < KERN_BLOCK && first + i < p->w.rows; i += VEC) {
        int64_t n = p->w.rows - first - i;
        vec v = vec_load(sum + i);

        if (p->bias != NULL)
            v += vec_load_n(p->bias + first + i, n);
        if (p->is_added)
            v += vec_load_n(y + i, n);
        vec_store_n(y + i, v, n);
    }
}

/* Two blocks from `block` (the second may not exist), all tokens. */
static void run_linear(const struct kern_linear *p, int64_t block, int64_t end)
{
    bool is_pair = block + 1 < end;
    struct tile t = {.layout = p->w.layout,
                     .cols = p->w.cols,
                     .ld = p->x.ld,
                     .w0 = block_at(&p->w, block),
                     .w1 = is_pair ? block_at(&p->w, block + 1) : NULL};
    struct tile_out out;

    for (int64_t row = 0; row < p->rows; row += TILE_TOKENS) {
        t.tokens = (int32_t)(p->rows - row < TILE_TOKENS ? p->rows - row : TILE_TOKENS);
        t.x = row_at(&p->x, row);
        FN(tile)(&t, &out);
        for (int32_t i = 0; i < t.tokens; i++) {
            put_linear(p, block, row + i, out.y[0][i]);
            if (is_pair)
                put_linear(p, block + 1, row + i, out.y[1][i]);
        }
    }
}

/* Pairs of blocks a thread takes at once from the shared part. */
static int64_t step_of(const struct kern_matrix *m, int64_t units, const struct kern_thread *th)
{
    int64_t bytes = 2 * 64 * (int64_t)m->cols, step = (256 * 1024 + bytes - 1) / bytes;
    int64_t most = units / 16 / th->size;

    return step < most ? step : most < 1 ? 1 : most;
}

int FN(linear)(struct kern_thread *th, const struct kern_linear *p)
{
    CPU_BEGIN(linear);
    int64_t blocks = blocks_of(&p->w), units = (blocks + 1) / 2;
    struct kern_share s = kern_share_begin(th, units, step_of(&p->w, units, th));

    do
        for (int64_t u = s.from; u < s.to; u++)
            run_linear(p, 2 * u, blocks);
    while (kern_share_next(th, &s));
    return 0;
}

static void put_swiglu(const struct kern_out *y, int64_t rows, int64_t block, int64_t row,
                       const float *gate, const float *up)
{
    int64_t first = block * KERN_BLOCK;

    for (int64_t i = 0; i < KERN_BLOCK && first + i < rows; i += VEC)
        put_vec(y, row, first + i, vec_silu(vec_load(gate + i)) * vec_load(up + i),
                rows - first - i);
}

/* One block of both matrices, rows [from, to) of x and y. */
static void run_swiglu(const struct kern_linear_swiglu *p, int64_t block, int64_t from, int64_t to)
{
    struct tile t = {.layout = p->gate.layout,
                     .cols = p->gate.cols,
                     .ld = p->x.ld,
                     .w0 = block_at(&p->gate, block),
                     .w1 = block_at(&p->up, block)};
    struct tile_out out;

    for (int64_t row = from; row < to; row += TILE_TOKENS) {
        t.tokens = (int32_t)(to - row < TILE_TOKENS ? to - row : TILE_TOKENS);
        t.x = row_at(&p->x, row);
        FN(tile)(&t, &out);
        for (int32_t i = 0; i < t.tokens; i++)
            put_swiglu(&p->y, p->gate.rows, block, row + i, out.y[0][i], out.y[1][i]);
    }
}

int FN(linear_swiglu)(struct kern_thread *th, const struct kern_linear_swiglu *p)
{
    CPU_BEGIN(linear_swiglu);
    int64_t blocks = blocks_of(&p->gate);
    struct kern_share s = kern_share_begin(th, blocks, step_of(&p->gate, blocks, th));

    do
        for (int64_t b = s.from; b < s.to; b++)
            run_swiglu(p, b, 0, p->rows);
    while (kern_share_next(th, &s));
    return 0;
}

/* The sorted rows of one expert through one block (swiglu) or a pair of blocks. */
static void run_expert(const struct kern_moe_linear *p, int32_t expert, int64_t unit)
{
    int64_t from = p->start[expert], to = p->start[expert + 1];

    if (p->up != NULL) {
        struct kern_linear_swiglu s = {p->w[expert], p->up[expert], p->x, p->y, 0};

        run_swiglu(&s, unit, from, to);
        return;
    }
    struct kern_linear l = {.w = p->w[expert],
                            .x = p->x,
                            .y = (float *)p->y.data + from * p->y.ld,
                            .ld = p->y.ld,
                            .rows = (int32_t)(to - from)};

    l.x.data = row_at(&p->x, from);
    run_linear(&l, 2 * unit, blocks_of(&l.w));
}

int FN(moe_linear)(struct kern_thread *th, const struct kern_moe_linear *p)
{
    CPU_BEGIN(moe_linear);
    int64_t blocks = blocks_of(&p->w[0]), units = p->up != NULL ? blocks : (blocks + 1) / 2;
    int32_t *active = th->scratch, count = 0; /* experts that have rows */

    for (int32_t e = 0; e < p->experts; e++)
        if (p->start[e] < p->start[e + 1])
            active[count++] = e;
    struct kern_share s = kern_share_begin(th, count * units, 1);
    do
        for (int64_t u = s.from; u < s.to; u++)
            run_expert(p, active[u / units], u % units);
    while (kern_share_next(th, &s));
    return 0;
}
